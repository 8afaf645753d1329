//! Topics and their partitions.

use std::ops::RangeInclusive;
use std::sync::Arc;

use imbl::OrdMap;

use super::partition::PartitionRegistration;
use crate::id::{PartitionId, TopicId};

/// A partition's place in the image: by topic id, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition in it.
    pub partition: PartitionId,
}

/// All topics, by id and by name. One flat map holds the partitions, so that a change of one costs O(log n) and two
/// images share all the rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopicsImage {
    names: OrdMap<TopicId, Arc<str>>,
    ids: OrdMap<Arc<str>, TopicId>,
    partitions: OrdMap<TopicPartition, Arc<PartitionRegistration>>,
}

fn all_of(topic_id: TopicId) -> RangeInclusive<TopicPartition> {
    TopicPartition { topic_id, partition: PartitionId(i32::MIN) }..=TopicPartition {
        topic_id,
        partition: PartitionId(i32::MAX),
    }
}

impl TopicsImage {
    /// How many topics there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no topic.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many partitions all topics have together.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// The id of the topic with this name.
    pub fn id(&self, name: &str) -> Option<TopicId> {
        self.ids.get(name).copied()
    }

    /// The name of the topic with this id.
    pub fn name(&self, id: TopicId) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// Id and name of each topic, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, &Arc<str>)> {
        self.names.iter().map(|(id, name)| (*id, name))
    }

    /// Name and id of each topic, in the order of the names (of their UTF-8 bytes).
    pub fn iter_by_name(&self) -> impl Iterator<Item = (&Arc<str>, TopicId)> {
        self.ids.iter().map(|(name, id)| (name, *id))
    }

    /// One partition.
    pub fn partition(&self, topic_id: TopicId, partition: PartitionId) -> Option<&Arc<PartitionRegistration>> {
        self.partitions.get(&TopicPartition { topic_id, partition })
    }

    /// The partitions of a topic, in the order of their numbers.
    pub fn partitions(&self, topic_id: TopicId) -> impl Iterator<Item = (PartitionId, &Arc<PartitionRegistration>)> {
        self.partitions.range(all_of(topic_id)).map(|(key, registration)| (key.partition, registration))
    }

    /// Every partition, by topic id and number.
    pub fn all_partitions(&self) -> impl Iterator<Item = (TopicPartition, &Arc<PartitionRegistration>)> {
        self.partitions.iter().map(|(key, registration)| (*key, registration))
    }

    /// The name map, for a cheap difference between two images: they share what is equal.
    pub fn names(&self) -> &OrdMap<TopicId, Arc<str>> {
        &self.names
    }

    /// The partition map, for a cheap difference between two images: they share what is equal.
    pub fn partition_map(&self) -> &OrdMap<TopicPartition, Arc<PartitionRegistration>> {
        &self.partitions
    }

    pub(super) fn insert(&mut self, id: TopicId, name: &str) -> Result<(), String> {
        if let Some(other) = self.id(name).filter(|other| *other != id) {
            return Err(format!("topic {name:?} exists already with id {}", other.0));
        }
        if let Some(previous) = self.name(id).cloned() {
            // The same id again resets the topic, as in Kafka's TopicsDelta.
            self.ids.remove(&previous);
            self.remove_partitions(id);
        }
        let name: Arc<str> = name.into();
        self.names.insert(id, Arc::clone(&name));
        self.ids.insert(name, id);
        Ok(())
    }

    pub(super) fn remove(&mut self, id: TopicId) -> Option<Arc<str>> {
        let name = self.names.remove(&id)?;
        self.ids.remove(&name);
        self.remove_partitions(id);
        Some(name)
    }

    pub(super) fn set_partition(&mut self, key: TopicPartition, registration: PartitionRegistration) {
        self.partitions.insert(key, Arc::new(registration));
    }

    fn remove_partitions(&mut self, id: TopicId) {
        let keys: Vec<TopicPartition> = self.partitions.range(all_of(id)).map(|(key, _)| *key).collect();
        for key in keys {
            self.partitions.remove(&key);
        }
    }
}
