//! Which brokers get the replicas of new partitions.

use std::collections::BTreeSet;

pub(super) use controller::decide::partition::new_directory;
use metadata_core::id::{DirectoryId, NodeId, PartitionId};
use metadata_core::image::MetadataImage;

use super::{Ground, Refusal, refuse};

/// The brokers that there are, as far as anybody knows: registered and not fenced, alive in `/brokers/ids`, or named by
/// an assignment (brokers in ZooKeeper mode need not have registered). Ascending.
pub(super) fn known_brokers(ground: &Ground<'_>) -> BTreeSet<NodeId> {
    let cluster = ground.image.cluster();
    let mut known: BTreeSet<NodeId> = ground.alive.clone();
    for (_, partition) in ground.image.topics().all_partitions() {
        known.extend(partition.replicas.iter().copied());
    }
    known.extend(cluster.brokers().map(|(id, _)| id));
    known.retain(|id| cluster.broker(*id).is_none_or(|broker| !broker.fenced));
    known
}

/// Round robin: replica `r` of partition `p` is on broker `start + p + r`. `start` differs by topic, so that not all first
/// partitions meet on one broker.
#[derive(Debug)]
pub(super) struct RoundRobin {
    brokers: Vec<NodeId>,
    replication_factor: usize,
    start: usize,
}

impl RoundRobin {
    pub(super) fn new(brokers: BTreeSet<NodeId>, replication_factor: u32, start: usize) -> Result<Self, Refusal> {
        let brokers: Vec<_> = brokers.into_iter().collect();
        let wanted = usize::try_from(replication_factor).unwrap_or(usize::MAX);
        if wanted == 0 {
            return refuse("a partition has at least one replica", "use a replication factor of 1 or more");
        }
        if wanted > brokers.len() {
            return refuse(
                format!("{wanted} replicas need as many brokers, and {} are known", brokers.len()),
                "use a smaller replication factor, or start more brokers",
            );
        }
        Ok(Self { brokers, replication_factor: wanted, start })
    }

    /// The replicas of one partition, the preferred leader first; all different.
    pub(super) fn replicas(&self, partition: PartitionId) -> Vec<NodeId> {
        let first = self.start.wrapping_add(usize::try_from(partition.0).unwrap_or_default());
        let around = self.brokers.iter().cycle().skip(first % self.brokers.len().max(1));
        around.take(self.replication_factor).copied().collect()
    }
}

/// The directories of new replicas, as a record carries them: none while none is known, or below the metadata version
/// that has them.
pub(super) fn new_directories(image: &MetadataImage, replicas: &[NodeId]) -> Vec<DirectoryId> {
    let directories: Vec<_> = replicas.iter().map(|id| new_directory(image, *id)).collect();
    let known = directories.iter().any(|id| *id != DirectoryId::MIGRATING);
    if known && has_directories(image) { directories } else { Vec::new() }
}

/// Whether records can name log directories at all (KIP-858).
pub(super) fn has_directories(image: &MetadataImage) -> bool {
    image.metadata_version_or_lowest().partition_record_version() >= 1
}
