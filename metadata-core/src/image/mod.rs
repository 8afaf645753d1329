//! The image: all metadata at one position of the log, immutable and cheap to clone.
//!
//! Every map is persistent: two images that differ in one partition share all the rest, so keeping an image at two
//! offsets (the log's end and the position of ZooKeeper, say) costs their difference. [`MetadataDelta`] replays records
//! on an image and gives the next one; [`ImageLoader`] does it for whole batches, transactions included.

mod cluster;
mod delta;
mod entity;
mod loader;
mod partition;
mod records;
mod topics;

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

pub use cluster::{BrokerRegistration, ClusterImage, ControllerRegistration, Endpoint, FeatureRange};
pub use delta::{MetadataDelta, ReplayError};
pub use entity::{
    AccessControlEntry, AclsImage, ConfigEntries, ConfigResource, ConfigResourceType, DelegationToken, FeaturesImage,
    QuotaEntity, QuotaEntries, QuotaValue, ResourcePattern, ScramCredential, ScramKey,
};
pub use loader::ImageLoader;
pub use partition::{LeaderRecoveryState, PartitionRegistration};
pub use records::UnwritableMetadata;
pub use topics::{TopicPartition, TopicsImage};

use crate::id::{Position, ProducerId, TimestampMs};
use crate::metadata_version::MetadataVersion;
use crate::record::ZkMigrationState;

/// All metadata at one position. Clones share their content.
#[derive(Debug, Clone, Default)]
pub struct MetadataImage {
    position: Position,
    timestamp: TimestampMs,
    features: FeaturesImage,
    cluster: ClusterImage,
    topics: TopicsImage,
    configs: OrdMap<ConfigResource, Arc<ConfigEntries>>,
    quotas: OrdMap<QuotaEntity, Arc<QuotaEntries>>,
    producer_id: Option<ProducerId>,
    acls: AclsImage,
    scram: OrdMap<ScramKey, Arc<ScramCredential>>,
    tokens: OrdMap<Arc<str>, Arc<DelegationToken>>,
}

impl MetadataImage {
    /// Nothing, at the start of the log.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What the image covers: every record before `end_offset` (exclusive).
    pub fn position(&self) -> Position {
        self.position
    }

    /// When the last batch that the image covers was written (Kafka: `lastContainedLogTimeMs`).
    pub fn timestamp(&self) -> TimestampMs {
        self.timestamp
    }

    /// The same metadata said to be at another place: for batches that change nothing, and for tests.
    #[must_use]
    pub fn at(&self, position: Position, timestamp: TimestampMs) -> Self {
        Self { position, timestamp, ..self.clone() }
    }

    /// Whether both hold the same metadata, wherever they are in the log. Cheap when they share most of it.
    pub fn same_metadata(&self, other: &Self) -> bool {
        self.features == other.features
            && self.cluster == other.cluster
            && self.topics == other.topics
            && self.configs == other.configs
            && self.quotas == other.quotas
            && self.producer_id == other.producer_id
            && self.acls == other.acls
            && self.scram == other.scram
            && self.tokens == other.tokens
    }

    /// Feature levels and migration state.
    pub fn features(&self) -> &FeaturesImage {
        &self.features
    }

    /// The migration state in the log.
    pub fn zk_migration_state(&self) -> ZkMigrationState {
        self.features.zk_migration_state
    }

    /// The metadata version, the lowest one there is when no record has set it, as Kafka reads such a log.
    pub fn metadata_version_or_lowest(&self) -> MetadataVersion {
        self.features.metadata_version.unwrap_or(MetadataVersion::LOWEST)
    }

    /// Registered brokers and controllers.
    pub fn cluster(&self) -> &ClusterImage {
        &self.cluster
    }

    /// Topics and partitions.
    pub fn topics(&self) -> &TopicsImage {
        &self.topics
    }

    /// Configs by resource.
    pub fn configs(&self) -> &OrdMap<ConfigResource, Arc<ConfigEntries>> {
        &self.configs
    }

    /// The configs of one resource, none if it has none.
    pub fn config(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        self.configs.get(resource).map(|entries| &entries.0)
    }

    /// Quotas by entity.
    pub fn quotas(&self) -> &OrdMap<QuotaEntity, Arc<QuotaEntries>> {
        &self.quotas
    }

    /// The first producer id that was not handed out, if any was ever recorded.
    pub fn producer_id(&self) -> Option<ProducerId> {
        self.producer_id
    }

    /// Access control entries.
    pub fn acls(&self) -> &AclsImage {
        &self.acls
    }

    /// SCRAM credentials.
    pub fn scram(&self) -> &OrdMap<ScramKey, Arc<ScramCredential>> {
        &self.scram
    }

    /// Delegation tokens by id.
    pub fn tokens(&self) -> &OrdMap<Arc<str>, Arc<DelegationToken>> {
        &self.tokens
    }

    /// Whether nothing was copied into the log yet: no topic, config, quota, credential, access control entry, token or
    /// producer id. Registrations and feature levels don't count: they are there before the copy.
    pub fn is_free_of_cluster_metadata(&self) -> bool {
        self.topics.is_empty()
            && self.configs.is_empty()
            && self.quotas.is_empty()
            && self.scram.is_empty()
            && self.acls.is_empty()
            && self.tokens.is_empty()
            && self.producer_id.is_none()
    }
}
