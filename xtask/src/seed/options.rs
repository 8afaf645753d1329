//! What a seed can be asked for.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes that one topic's znode may have. ZooKeeper refuses requests of 1 MiB, as it would refuse them to Kafka.
const TOPIC_SIZE_MAX: u64 = 900_000;

/// The size of the cluster and the number that decides everything else. The same options give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedOptions {
    /// Ordinary topics. Kafka's two internal topics, and the awkward ones, come on top.
    pub topics: u32,
    /// Partitions of each ordinary topic, at least 1.
    pub partitions_per_topic: u32,
    /// Brokers; their ids are 1 to this number, inclusive.
    pub brokers: u32,
    /// Replicas of each partition, from 1 to the number of brokers.
    pub replication_factor: u32,
    /// Decides ids, names, epochs, credentials, times and the order of JSON keys.
    pub seed: u64,
    /// Whether to add what real clusters collect over the years: old formats, strange names, reassignments under way.
    pub awkward: bool,
}

impl Default for SeedOptions {
    fn default() -> Self {
        Self { topics: 1000, partitions_per_topic: 10, brokers: 6, replication_factor: 3, seed: 1, awkward: true }
    }
}

/// Options that no cluster could have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadOptions {
    /// No partitions.
    #[error("a topic has at least one partition: --partitions-per-topic can't be 0")]
    NoPartitions,
    /// No brokers, or too many for the ids to stay short.
    #[error("--brokers must be from 1 to 10000, it is {0}")]
    Brokers(u32),
    /// No replicas, or more than brokers.
    #[error("--replication-factor must be from 1 to the number of brokers ({brokers}), it is {replication_factor}")]
    ReplicationFactor {
        /// What was asked for.
        replication_factor: u32,
        /// The most that is possible.
        brokers: u32,
    },
    /// A topic's znode would be larger than ZooKeeper takes.
    #[error(
        "{partitions} partitions of {replicas} replicas need about {bytes} bytes in one topic's znode, and ZooKeeper's \
         requests end at 1 MiB: use more topics with fewer partitions each"
    )]
    TopicTooLarge {
        /// Partitions of the topic.
        partitions: u32,
        /// Replicas of each partition.
        replicas: u32,
        /// Estimated size.
        bytes: u64,
    },
}

impl SeedOptions {
    /// # Errors
    /// The first option that can't be, and the range it may have.
    pub fn check(&self) -> Result<(), BadOptions> {
        let &Self { partitions_per_topic, brokers, replication_factor, .. } = self;
        if partitions_per_topic == 0 {
            return Err(BadOptions::NoPartitions);
        }
        if !(1..=10_000).contains(&brokers) {
            return Err(BadOptions::Brokers(brokers));
        }
        if !(1..=brokers).contains(&replication_factor) {
            return Err(BadOptions::ReplicationFactor { replication_factor, brokers });
        }
        // `"12345":[` and `],`, and up to five digits and a comma for each replica.
        let bytes = u64::from(partitions_per_topic) * (12 + 6 * u64::from(replication_factor));
        if bytes > TOPIC_SIZE_MAX {
            return Err(BadOptions::TopicTooLarge {
                partitions: partitions_per_topic,
                replicas: replication_factor,
                bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_clusters_are_refused() {
        let check = |change: fn(&mut SeedOptions)| {
            let mut options = SeedOptions::default();
            change(&mut options);
            options.check()
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|o| (o.brokers, o.replication_factor) = (1, 1)), Ok(()));
        assert_eq!(check(|o| o.topics = 0), Ok(()));
        assert_eq!(check(|o| o.partitions_per_topic = 0), Err(BadOptions::NoPartitions));
        assert_eq!(check(|o| o.brokers = 0), Err(BadOptions::Brokers(0)));
        assert_eq!(check(|o| o.brokers = 10_001), Err(BadOptions::Brokers(10_001)));
        for replication_factor in [0, 7] {
            let options = SeedOptions { replication_factor, ..SeedOptions::default() };
            assert_eq!(options.check(), Err(BadOptions::ReplicationFactor { replication_factor, brokers: 6 }));
        }
        assert_eq!(check(|o| o.partitions_per_topic = 30_000), Ok(()));
        assert!(matches!(check(|o| o.partitions_per_topic = 30_001), Err(BadOptions::TopicTooLarge { .. })));
        assert!(matches!(check(|o| o.partitions_per_topic = u32::MAX), Err(BadOptions::TopicTooLarge { .. })));
    }
}
