//! Images for tests.

use metadata_core::id::{BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId};
use metadata_core::image::{MetadataDelta, MetadataImage, PartitionRegistration, TopicPartition};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    FeatureLevelRecord, MetadataRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord, ZkMigrationState,
};
use metadata_core::uuid::Uuid;

pub(crate) const TOPIC: TopicId = TopicId(Uuid::from_u64_pair(7, 1));

pub(crate) fn ids(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

pub(crate) fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic_id: TOPIC, partition: PartitionId(partition) }
}

/// Broker `id`, whose epoch is its id.
pub(crate) fn broker(id: i32) -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: NodeId(id),
        broker_epoch: BrokerEpoch(id.into()),
        log_dirs: vec![DirectoryId(Uuid::from_u64_pair(9, u64::from(id.unsigned_abs())))],
        fenced: false,
        ..RegisterBrokerRecord::default()
    }
}

/// A partition in leader epoch 5 and partition epoch 8.
pub(crate) fn partition(number: i32, replicas: &[i32], isr: &[i32], leader: i32) -> PartitionRecord {
    PartitionRecord {
        topic_id: TOPIC,
        partition_id: PartitionId(number),
        replicas: ids(replicas),
        isr: ids(isr),
        leader: NodeId(leader),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(8),
        ..PartitionRecord::default()
    }
}

/// A cluster in this state with one topic.
pub(crate) fn image(state: ZkMigrationState, records: impl IntoIterator<Item = MetadataRecord>) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    let level = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: MetadataVersion::V3_9_IV0.level(),
        ..FeatureLevelRecord::default()
    };
    let topic = TopicRecord { name: "orders".into(), topic_id: TOPIC, ..TopicRecord::default() };
    let first: [MetadataRecord; 3] = [level.into(), state.to_record().into(), topic.into()];
    for record in first.into_iter().chain(records) {
        delta.replay(&record).unwrap();
    }
    delta.image().clone()
}

/// The image with these records too.
pub(crate) fn then(image: &MetadataImage, records: &[MetadataRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(image);
    records.iter().for_each(|record| delta.replay(record).unwrap());
    delta.image().clone()
}

pub(crate) fn found(image: &MetadataImage, number: i32) -> PartitionRegistration {
    image.topics().partition(TOPIC, PartitionId(number)).unwrap().as_ref().clone()
}
