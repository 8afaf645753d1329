//! Replay: a record and an image give the next image. The rules are Kafka's (`image/*Delta.java`); where Kafka's loader
//! reports a fault and goes on, this returns an error.

use std::sync::Arc;

use super::{
    AccessControlEntry, BrokerRegistration, ConfigEntries, ConfigResource, ConfigResourceType, ControllerRegistration,
    DelegationToken, MetadataImage, PartitionRegistration, QuotaEntity, QuotaEntries, QuotaValue, ScramCredential,
    ScramKey, TopicPartition,
};
use crate::id::{Position, TimestampMs, TopicId};
use crate::metadata_version::MetadataVersion;
use crate::record::{
    ClearElrRecord, ClientQuotaRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionChangeRecord,
    VersionedRecord, ZkMigrationState,
};

/// A record that can't be applied to the image it was meant for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{record} can't be replayed: {reason}")]
pub struct ReplayError {
    /// Kafka's name of the record.
    pub record: &'static str,
    /// What contradicts it.
    pub reason: String,
}

/// An image under change. Transactions are not for it: [`super::ImageLoader`] knows Begin, End and Abort, and takes them
/// out.
#[derive(Debug, Clone)]
pub struct MetadataDelta {
    image: MetadataImage,
}

impl MetadataDelta {
    /// Changes on top of `image`, which stays as it is.
    pub fn new(image: &MetadataImage) -> Self {
        Self { image: image.clone() }
    }

    /// The metadata as changed so far; its position is still that of the image it began with.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The image with all changes, at `position`.
    #[must_use]
    pub fn apply(self, position: Position, timestamp: TimestampMs) -> MetadataImage {
        MetadataImage { position, timestamp, ..self.image }
    }

    /// Replays one record after the other.
    ///
    /// # Errors
    /// The first record that can't be replayed; those before it have been.
    pub fn replay_all<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a VersionedRecord>,
    ) -> Result<(), ReplayError> {
        records.into_iter().try_for_each(|record| self.replay(&record.record))
    }

    /// Replays one record.
    ///
    /// # Errors
    /// The record contradicts the image: an unknown topic, another broker epoch, a value without meaning. Or it is of a
    /// transaction. The image is unchanged then.
    pub fn replay(&mut self, record: &MetadataRecord) -> Result<(), ReplayError> {
        self.try_replay(record).map_err(|reason| ReplayError { record: record.name(), reason })
    }

    fn try_replay(&mut self, record: &MetadataRecord) -> Result<(), String> {
        let image = &mut self.image;
        match record {
            MetadataRecord::RegisterBroker(r) => {
                image.cluster.brokers.insert(r.broker_id, Arc::new(BrokerRegistration::from(r)));
            }
            MetadataRecord::UnregisterBroker(r) => {
                // An unknown id is ignored and the epoch not compared, as in Kafka's loader.
                image.cluster.brokers.remove(&r.broker_id);
            }
            MetadataRecord::FenceBroker(r) => image.cluster.update_broker(r.id, r.epoch, |b| b.fenced = true)?,
            MetadataRecord::UnfenceBroker(r) => image.cluster.update_broker(r.id, r.epoch, |b| b.fenced = false)?,
            MetadataRecord::BrokerRegistrationChange(r) => image.cluster.change_broker(r)?,
            MetadataRecord::RegisterController(r) => {
                image.cluster.controllers.insert(r.controller_id, Arc::new(ControllerRegistration::from(r)));
            }
            MetadataRecord::UnregisterController(r) => {
                // An unknown id is ignored, as in Kafka's loader.
                image.cluster.controllers.remove(&r.controller_id);
            }
            MetadataRecord::FeatureLevel(r) => self.feature_level(r)?,
            MetadataRecord::ZkMigrationState(r) => {
                image.features.zk_migration_state = ZkMigrationState::from_code(r.zk_migration_state)
                    .ok_or_else(|| format!("migration state {} is unknown", r.zk_migration_state))?;
            }
            MetadataRecord::Topic(r) => image.topics.insert(r.topic_id, &r.name)?,
            MetadataRecord::Partition(r) => {
                known_topic(image, r.topic_id)?;
                let key = TopicPartition { topic_id: r.topic_id, partition: r.partition_id };
                image.topics.set_partition(key, PartitionRegistration::from_record(r)?);
            }
            MetadataRecord::PartitionChange(r) => self.partition_change(r)?,
            MetadataRecord::ClearElr(r) => self.clear_elr(r)?,
            MetadataRecord::RemoveTopic(r) => {
                let name = image.topics.remove(r.topic_id).ok_or_else(|| unknown_topic(r.topic_id))?;
                image.configs.remove(&ConfigResource::topic(name));
            }
            MetadataRecord::Config(r) => self.config(r),
            MetadataRecord::ClientQuota(r) => self.quota(r),
            MetadataRecord::ProducerIds(r) => image.producer_id = Some(r.next_producer_id),
            MetadataRecord::AccessControlEntry(r) => image.acls.insert(r.id, AccessControlEntry::from(r)),
            MetadataRecord::RemoveAccessControlEntry(r) => {
                image.acls.remove(r.id).ok_or_else(|| format!("there is no entry with id {}", r.id))?;
            }
            MetadataRecord::UserScramCredential(r) => {
                let (key, credential) = ScramCredential::from_record(r);
                image.scram.insert(key, Arc::new(credential));
            }
            MetadataRecord::RemoveUserScramCredential(r) => {
                image.scram.remove(&ScramKey { user: r.name.as_str().into(), mechanism: r.mechanism });
            }
            MetadataRecord::DelegationToken(r) => {
                image.tokens.insert(r.token_id.as_str().into(), Arc::new(DelegationToken::from_record(r)));
            }
            MetadataRecord::RemoveDelegationToken(r) => {
                image.tokens.remove(r.token_id.as_str());
            }
            MetadataRecord::NoOp(_) => {}
            MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {
                return Err("a transaction has no place here, only in a log".to_owned());
            }
        }
        Ok(())
    }

    fn feature_level(&mut self, record: &FeatureLevelRecord) -> Result<(), String> {
        let features = &mut self.image.features;
        if record.name == MetadataVersion::FEATURE_NAME {
            let version = MetadataVersion::from_level(record.feature_level)
                .ok_or_else(|| format!("metadata.version level {} is unknown", record.feature_level))?;
            features.metadata_version = Some(version);
        } else if record.feature_level == 0 {
            features.finalized.remove(record.name.as_str());
        } else {
            features.finalized.insert(record.name.as_str().into(), record.feature_level);
        }
        Ok(())
    }

    fn partition_change(&mut self, record: &PartitionChangeRecord) -> Result<(), String> {
        let topics = &mut self.image.topics;
        let key = TopicPartition { topic_id: record.topic_id, partition: record.partition_id };
        let present = topics
            .partition(key.topic_id, key.partition)
            .ok_or_else(|| format!("there is no partition {} of topic id {}", key.partition, key.topic_id))?;
        let merged = present.merge(record)?;
        topics.set_partition(key, merged);
        Ok(())
    }

    /// Only partitions that have such replicas change, and their epoch grows (`TopicDelta.java`).
    fn clear_elr(&mut self, record: &ClearElrRecord) -> Result<(), String> {
        let topics = &mut self.image.topics;
        let has_any =
            |partition: &PartitionRegistration| !(partition.elr.is_empty() && partition.last_known_elr.is_empty());
        let of = match record.topic_name.as_str() {
            "" => None,
            name => Some(topics.id(name).ok_or_else(|| format!("there is no topic {name:?}"))?),
        };
        let concerned = |key: &TopicPartition| of.is_none_or(|id| id == key.topic_id);
        let found: Vec<_> = topics
            .all_partitions()
            .filter(|(key, partition)| concerned(key) && has_any(partition))
            .map(|(key, partition)| (key, Arc::clone(partition)))
            .collect();
        let none = PartitionChangeRecord {
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            ..PartitionChangeRecord::default()
        };
        for (key, partition) in found {
            topics.set_partition(key, partition.merge(&none)?);
        }
        Ok(())
    }

    fn config(&mut self, record: &ConfigRecord) {
        let configs = &mut self.image.configs;
        let resource = ConfigResource {
            resource_type: ConfigResourceType::from_code(record.resource_type),
            name: record.resource_name.as_str().into(),
        };
        let mut entries = configs.get(&resource).map(|entries| ConfigEntries::clone(entries)).unwrap_or_default();
        match &record.value {
            Some(value) => entries.0.insert(record.name.clone(), value.clone()),
            None => entries.0.remove(&record.name),
        };
        if entries.0.is_empty() {
            configs.remove(&resource);
        } else {
            configs.insert(resource, Arc::new(entries));
        }
    }

    fn quota(&mut self, record: &ClientQuotaRecord) {
        let quotas = &mut self.image.quotas;
        let entity = QuotaEntity(
            record
                .entity
                .iter()
                .map(|part| (part.entity_type.as_str().into(), part.entity_name.as_deref().map(Into::into)))
                .collect(),
        );
        let mut entries = quotas.get(&entity).map(|entries| QuotaEntries::clone(entries)).unwrap_or_default();
        if record.remove {
            entries.remove(record.key.as_str());
        } else {
            entries.insert(record.key.as_str().into(), QuotaValue(record.value));
        }
        if entries.is_empty() {
            quotas.remove(&entity);
        } else {
            quotas.insert(entity, Arc::new(entries));
        }
    }
}

fn unknown_topic(id: TopicId) -> String {
    format!("there is no topic with id {id}")
}

fn known_topic(image: &MetadataImage, id: TopicId) -> Result<(), String> {
    image.topics.name(id).map(drop).ok_or_else(|| unknown_topic(id))
}
