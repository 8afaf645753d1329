//! Leaders and in-sync replicas, as they must be for the brokers that are there.
//!
//! Kafka changes both in the append that fences a broker (`ReplicationControlManager.handleBrokerFenced`). Here they follow
//! from the image alone, whoever fenced the broker and whenever: what a leader did not get done before it died, the next one
//! finds by looking.

use std::collections::BTreeSet;

use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::image::{ConfigResource, MetadataImage, PartitionRegistration, TopicPartition};
use metadata_core::record::{MetadataRecord, ZkMigrationState};

use super::partition::{Election, Fitness, PartitionChange, new_directory};

/// The config that says whether a replica that is not in sync may lead.
const UNCLEAN: &str = "unclean.leader.election.enable";

/// Who may lead, by the image and by who is alive in ZooKeeper mode.
#[derive(Debug, Clone, Copy)]
pub struct ClusterFitness<'a> {
    /// Who is registered.
    pub image: &'a MetadataImage,
    /// Who is alive in ZooKeeper mode; `None` while that can't be told.
    pub in_zookeeper: Option<&'a BTreeSet<NodeId>>,
}

impl Fitness for ClusterFitness<'_> {
    /// Registered, unfenced, and not about to shut down.
    fn may_lead(&self, id: NodeId) -> bool {
        let broker = self.image.cluster().broker(id);
        broker.is_some_and(|broker| !broker.fenced && !broker.in_controlled_shutdown)
    }

    /// Beside those that may lead, brokers in ZooKeeper mode that are there, though fenced: right after the copy all are,
    /// until they have read the log, and they lead as before. While nobody can tell who is there, all of them are.
    fn may_stay(&self, id: NodeId) -> bool {
        self.may_lead(id)
            || match self.image.cluster().broker(id) {
                Some(broker) if broker.in_controlled_shutdown => false,
                Some(broker) => {
                    broker.is_migrating_zk_broker && self.in_zookeeper.is_none_or(|there| there.contains(&id))
                }
                None => false,
            }
    }

    fn directory(&self, id: NodeId) -> DirectoryId {
        new_directory(self.image, id)
    }
}

/// Whether leader epochs must be raised when a replica falls out of sync.
pub fn raises_epoch_on_shrink(image: &MetadataImage) -> bool {
    matches!(image.zk_migration_state(), ZkMigrationState::PreMigration | ZkMigrationState::Migration)
}

/// The changes that are due, in the order of the partitions, `max` at most.
pub fn elections(fitness: &ClusterFitness<'_>, max: usize) -> Vec<MetadataRecord> {
    let image = fitness.image;
    let raise_epoch_on_shrink = raises_epoch_on_shrink(image);
    let due = |(place, now): (TopicPartition, &std::sync::Arc<PartitionRegistration>)| {
        // Most partitions are as they should be.
        let settled =
            now.leader.is_some_and(|leader| fitness.may_stay(leader)) && now.isr.iter().all(|id| fitness.may_stay(*id));
        if settled {
            return None;
        }
        let mut change = PartitionChange::of(place, now, fitness);
        change.isr.retain(|id| fitness.may_stay(*id));
        change.raise_epoch_on_shrink = raise_epoch_on_shrink;
        if change.isr.is_empty() && allows_unclean(image, place) {
            change.election = Election::Unclean;
        }
        change.build().map(MetadataRecord::from)
    };
    image.topics().all_partitions().filter_map(due).take(max).collect()
}

/// Whether the topic, or else the cluster's default for brokers, allows a leader that is not in sync.
pub fn allows_unclean(image: &MetadataImage, place: TopicPartition) -> bool {
    let topic = image.topics().name(place.topic_id).map(|name| ConfigResource::topic(name.as_ref()));
    let said = |resource: ConfigResource| image.config(&resource).and_then(|configs| configs.get(UNCLEAN).cloned());
    topic.and_then(said).or_else(|| said(ConfigResource::broker(None))).is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests;
