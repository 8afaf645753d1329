//! Batches made by hand.

use metadata_core::id::{LeaderEpoch, NodeId, PartitionEpoch, PartitionId, Position, TimestampMs, TopicId};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::record::{
    ConfigRecord, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord, VersionedRecord,
};
use metadata_core::store::{MetadataBatch, Txn};
use metadata_core::uuid::Uuid;

/// The id of a topic that is known by a number.
pub(crate) fn topic_id(number: u64) -> TopicId {
    TopicId(Uuid::from_u64_pair(77, number))
}

pub(crate) fn partitions(topic: u64, numbers: std::ops::Range<i32>) -> impl Iterator<Item = VersionedRecord> {
    numbers.map(move |partition| {
        let replicas: Vec<_> = (1..=3).map(NodeId).collect();
        let record = PartitionRecord {
            partition_id: PartitionId(partition),
            topic_id: topic_id(topic),
            isr: replicas.clone(),
            leader: replicas[0],
            replicas,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            ..Default::default()
        };
        VersionedRecord::new(record, 1)
    })
}

pub(crate) fn topic(number: u64, name: &str, partition_count: i32) -> Vec<VersionedRecord> {
    let record = TopicRecord { name: name.to_owned(), topic_id: topic_id(number), ..Default::default() };
    std::iter::once(record.into()).chain(partitions(number, 0..partition_count)).collect()
}

pub(crate) fn remove_topic(number: u64) -> VersionedRecord {
    RemoveTopicRecord { topic_id: topic_id(number), ..Default::default() }.into()
}

pub(crate) fn new_leader(topic: u64, partition: i32, leader: i32) -> VersionedRecord {
    let record = PartitionChangeRecord {
        partition_id: PartitionId(partition),
        topic_id: topic_id(topic),
        leader: NodeId(leader),
        ..Default::default()
    };
    VersionedRecord::new(record, 0)
}

/// A config of a topic (2) or a broker (4).
pub(crate) fn config(kind: i8, resource: &str, name: &str, value: Option<&str>) -> VersionedRecord {
    let record = ConfigRecord {
        resource_type: kind,
        resource_name: resource.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..Default::default()
    };
    VersionedRecord::new(record, 0)
}

pub(crate) fn batch(before: &MetadataImage, records: Vec<VersionedRecord>) -> MetadataBatch {
    let mut delta = MetadataDelta::new(before);
    delta.replay_all(&records).expect("records that fit");
    let end_offset = before.position().end_offset.plus(i64::try_from(records.len()).expect("a small number"));
    let after = delta.apply(Position { end_offset, ..before.position() }, TimestampMs(0));
    MetadataBatch { txn: Txn::None, records: records.into(), before: before.clone(), after }
}
