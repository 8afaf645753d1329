//! An image as records: what a snapshot holds.

use super::{BrokerRegistration, MetadataImage, PartitionRegistration};
use crate::id::{BrokerEpoch, NodeId};
use crate::metadata_version::MetadataVersion;
use crate::record::{
    ClientQuotaRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord, ProducerIdsRecord, QuotaEntityData,
    TopicRecord, VersionedRecord, ZkMigrationState, ZkMigrationStateRecord, record_version,
};

/// Something that an image holds and that can't be written at a metadata version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} can't be written at metadata.version {version}, only from {needed} on: raise it, or take that away first"
)]
pub struct UnwritableMetadata {
    /// What: kind and name, never a secret. There may be more of it.
    pub what: String,
    /// The metadata version that lacks it.
    pub version: MetadataVersion,
    /// The lowest metadata version that holds it.
    pub needed: MetadataVersion,
}

impl MetadataImage {
    /// The records that recreate this image, in the order of Kafka's snapshots (`MetadataImage.java`), one at a time.
    ///
    /// The record versions are those of the image's metadata version. Replayed on an empty image, the records give the
    /// same metadata.
    ///
    /// # Errors
    /// The image holds something that its metadata version can't: nothing checks that as records are replayed. Kafka's
    /// `ImageWriterOptions` refuses to lose it as well.
    pub fn to_records(&self) -> Result<impl Iterator<Item = VersionedRecord> + Send + '_, UnwritableMetadata> {
        self.to_records_at(self.metadata_version_or_lowest())
    }

    /// The same at another metadata version than the image's own. The image's own level is among the records still.
    /// [`MetadataVersion::HIGHEST`] holds every image.
    ///
    /// # Errors
    /// As [`Self::to_records`].
    pub fn to_records_at(
        &self,
        version: MetadataVersion,
    ) -> Result<impl Iterator<Item = VersionedRecord> + Send + '_, UnwritableMetadata> {
        match self.unwritable_at(version) {
            Some(unwritable) => Err(unwritable),
            None => Ok(self.records_at(version)),
        }
    }

    /// The first thing found that `version` can't hold.
    fn unwritable_at(&self, version: MetadataVersion) -> Option<UnwritableMetadata> {
        let lost = |needed: MetadataVersion, find: &dyn Fn() -> Option<String>| {
            let what = if version < needed { find() } else { None };
            what.map(|what| UnwritableMetadata { what, version, needed })
        };
        let broker = |what: &str, holds: fn(&BrokerRegistration) -> bool| {
            self.cluster.brokers().find(|(_, broker)| holds(broker)).map(|(id, _)| format!("{what} of broker {id}"))
        };
        let partition = |what: &str, holds: fn(&PartitionRegistration) -> bool| {
            let (key, _) = self.topics.all_partitions().find(|(_, partition)| holds(partition))?;
            let topic = self.topics.name(key.topic_id).map_or("", |name| name);
            Some(format!("{what} of partition {topic}-{}", key.partition))
        };
        let state = self.features.zk_migration_state;
        lost(MetadataVersion::V3_3_IV3, &|| broker("the controlled shutdown", |b| b.in_controlled_shutdown))
            .or_else(|| {
                lost(MetadataVersion::V3_4_IV0, &|| {
                    let state = (state != ZkMigrationState::None).then(|| format!("the migration state {state}"));
                    state.or_else(|| broker("the mark as a migrating ZooKeeper broker", |b| b.is_migrating_zk_broker))
                })
            })
            .or_else(|| {
                lost(MetadataVersion::V3_5_IV2, &|| {
                    self.scram.keys().next().map(|key| format!("the SCRAM credential of user {:?}", key.user))
                })
            })
            .or_else(|| {
                lost(MetadataVersion::V3_6_IV2, &|| {
                    self.tokens.keys().next().map(|id| format!("the delegation token {id:?}"))
                })
            })
            .or_else(|| {
                lost(MetadataVersion::V3_7_IV0, &|| {
                    self.cluster.controllers().next().map(|(id, _)| format!("the registration of controller {id}"))
                })
            })
            .or_else(|| {
                lost(MetadataVersion::V3_7_IV2, &|| {
                    broker("the log directories", |b| !b.directories.is_empty())
                        .or_else(|| partition("the log directories", |p| !p.directories.is_empty()))
                })
            })
            .or_else(|| {
                lost(MetadataVersion::V4_0_IV1, &|| {
                    partition("the eligible leader replicas", |p| !p.elr.is_empty() || !p.last_known_elr.is_empty())
                })
            })
            .or_else(|| {
                lost(MetadataVersion::V4_3_IV0, &|| {
                    broker("the cordoned log directories", |b| b.cordoned_directories.is_some())
                })
            })
    }

    fn records_at(&self, version: MetadataVersion) -> impl Iterator<Item = VersionedRecord> + Send + '_ {
        self.feature_records(version)
            .chain(self.registration_records(version))
            .chain(self.topic_records(version))
            .chain(self.config_records())
            .chain(self.quota_records())
            .chain(self.producer_id_record())
            .chain(self.acls.iter().map(|(id, entry)| MetadataRecord::from(entry.to_record(id))))
            .chain(self.scram.iter().map(|(key, credential)| credential.to_record(key).into()))
            .chain(self.tokens.iter().map(|(id, token)| token.to_record(id).into()))
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
        let controllers = self.cluster.controllers().map(|(id, registration)| registration.to_record(id).into());
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
