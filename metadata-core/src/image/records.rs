//! An image as records: what a snapshot holds.

use super::MetadataImage;
use crate::id::{BrokerEpoch, NodeId};
use crate::metadata_version::MetadataVersion;
use crate::record::{
    ClientQuotaRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord, ProducerIdsRecord, QuotaEntityData,
    TopicRecord, VersionedRecord, ZkMigrationStateRecord, record_version,
};

impl MetadataImage {
    /// The records that recreate this image, in the order of Kafka's snapshots (`MetadataImage.java`), one at a time.
    ///
    /// The record versions are those of the image's metadata version; what that version can't hold is left out, as Kafka
    /// leaves it out: SCRAM below 3.5-IV2, tokens below 3.6-IV2, controllers below 3.7-IV0, directories below 3.7-IV2.
    pub fn to_records(&self) -> impl Iterator<Item = VersionedRecord> + Send + '_ {
        self.to_records_at(self.metadata_version_or_lowest())
    }

    /// The same at another metadata version than the image's own. The image's own level is among the records still.
    pub fn to_records_at(&self, version: MetadataVersion) -> impl Iterator<Item = VersionedRecord> + Send + '_ {
        self.feature_records(version)
            .chain(self.registration_records(version))
            .chain(self.topic_records(version))
            .chain(self.config_records())
            .chain(self.quota_records())
            .chain(self.producer_id_record())
            .chain(self.acls.iter().map(|(id, entry)| MetadataRecord::from(entry.to_record(id))))
            .chain(
                self.scram
                    .iter()
                    .filter(move |_| version.supports_scram())
                    .map(|(key, credential)| credential.to_record(key).into()),
            )
            .chain(
                self.tokens
                    .iter()
                    .filter(move |_| version.supports_delegation_tokens())
                    .map(|(id, token)| token.to_record(id).into()),
            )
            .map(move |record| {
                let record_version = record_version(&record, version);
                VersionedRecord { record, version: record_version }
            })
    }

    fn feature_records(&self, version: MetadataVersion) -> impl Iterator<Item = MetadataRecord> + Send + '_ {
        let level = |name: &str, feature_level: i16| {
            MetadataRecord::from(FeatureLevelRecord { name: name.to_owned(), feature_level, ..Default::default() })
        };
        let metadata_version =
            self.features.metadata_version.map(|version| level(MetadataVersion::FEATURE_NAME, version.level()));
        let state = version.supports_zk_migration_state().then(|| {
            MetadataRecord::from(ZkMigrationStateRecord {
                zk_migration_state: self.features.zk_migration_state.code(),
                ..Default::default()
            })
        });
        metadata_version
            .into_iter()
            .chain(self.features.finalized.iter().map(move |(name, feature)| level(name, *feature)))
            .chain(state)
    }

    fn registration_records(&self, version: MetadataVersion) -> impl Iterator<Item = MetadataRecord> + Send + '_ {
        let brokers = self
            .cluster
            .brokers()
            .map(move |(id, registration)| registration.to_record(id, version.register_broker_record_version()).into());
        let controllers = self
            .cluster
            .controllers()
            .filter(move |_| version.supports_controller_registration())
            .map(|(id, registration)| registration.to_record(id).into());
        brokers.chain(controllers)
    }

    fn topic_records(&self, version: MetadataVersion) -> impl Iterator<Item = MetadataRecord> + Send + '_ {
        self.topics.iter().flat_map(move |(topic_id, name)| {
            let topic = TopicRecord { name: name.to_string(), topic_id, ..Default::default() };
            let partitions = self.topics.partitions(topic_id).map(move |(partition, registration)| {
                registration.to_record(topic_id, partition, version.partition_record_version()).into()
            });
            std::iter::once(MetadataRecord::from(topic)).chain(partitions)
        })
    }

    fn config_records(&self) -> impl Iterator<Item = MetadataRecord> + Send + '_ {
        self.configs.iter().flat_map(|(resource, entries)| {
            entries.0.iter().map(|(name, value)| {
                ConfigRecord {
                    resource_type: resource.resource_type.code(),
                    resource_name: resource.name.to_string(),
                    name: name.clone(),
                    value: Some(value.clone()),
                    ..Default::default()
                }
                .into()
            })
        })
    }

    fn quota_records(&self) -> impl Iterator<Item = MetadataRecord> + Send + '_ {
        self.quotas.iter().flat_map(|(entity, entries)| {
            entries.iter().map(|(key, value)| {
                let entity = entity.0.iter().map(|(kind, name)| QuotaEntityData {
                    entity_type: kind.to_string(),
                    entity_name: name.as_deref().map(str::to_owned),
                    ..Default::default()
                });
                ClientQuotaRecord {
                    entity: entity.collect(),
                    key: key.to_string(),
                    value: value.0,
                    remove: false,
                    ..Default::default()
                }
                .into()
            })
        })
    }

    fn producer_id_record(&self) -> impl Iterator<Item = MetadataRecord> + Send + '_ {
        self.producer_id.into_iter().map(|next_producer_id| {
            ProducerIdsRecord {
                broker_id: NodeId::NONE,
                broker_epoch: BrokerEpoch(-1),
                next_producer_id,
                ..Default::default()
            }
            .into()
        })
    }
}
