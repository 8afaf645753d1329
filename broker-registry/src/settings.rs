//! What the rules must know beside the brokers themselves.

use std::collections::BTreeSet;

use metadata_core::id::NodeId;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};

/// Which brokers in ZooKeeper mode get into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RegisterBy {
    /// Every one that is in `/brokers/ids`, by the active controller, until it asks by itself. The operator answers for
    /// `zookeeper.metadata.migration.enable` on all of them, since no znode tells.
    Presence,
    /// Those that ask, as in Kafka 3.9. One that is in `/brokers/ids` and does not ask was started without the flag, or
    /// can't reach the controllers.
    Request,
}

/// What the operator says of all brokers, for facts that the brokers don't tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorsSettings {
    /// The id of the brokers' cluster: that of `/cluster/id`, which every broker compares with its own.
    pub cluster_id: Option<String>,
    /// Their `inter.broker.protocol.version`.
    pub inter_broker_protocol: Option<MetadataVersionRange>,
    /// How many ids were ever generated: the version of `/brokers/seqid`, 0 when it does not exist.
    pub ids_generated: Option<u32>,
    /// `reserved.broker.max.id`: ids up to this one (inclusive) are never generated.
    pub reserved_broker_max_id: Option<NodeId>,
}

/// Kafka's default of `reserved.broker.max.id`.
pub const RESERVED_BROKER_MAX_ID: NodeId = NodeId(1000);

impl OperatorsSettings {
    /// `reserved.broker.max.id`, or Kafka's default.
    pub fn reserved_max(&self) -> NodeId {
        self.reserved_broker_max_id.unwrap_or(RESERVED_BROKER_MAX_ID)
    }
}

/// What the rules must know beside the brokers themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The id of the cluster that the quorum was formatted for.
    pub cluster_id: String,
    /// What the log is at, or will be started with. A level in the log goes before it.
    pub metadata_version: MetadataVersion,
    /// `zookeeper.metadata.migration.enable` of this controller. Once everything is copied it keeps no broker out: the
    /// migration goes on until it is finalized, whoever leads.
    pub migration_enabled: bool,
    /// The controller's `inter.broker.listener.name`, in upper case: where brokers in ZooKeeper mode are reached. `None`
    /// when nobody sends them anything.
    pub inter_broker_listener: Option<String>,
    /// Everyone who votes in the quorum, this controller included.
    pub controllers: BTreeSet<NodeId>,
    /// Which brokers in ZooKeeper mode get into the log.
    pub register_by: RegisterBy,
    /// For what brokers don't tell.
    pub operator: OperatorsSettings,
}

impl RegistrySettings {
    /// The settings of a migration with one controller and nothing said about the brokers.
    pub fn new(cluster_id: impl Into<String>, metadata_version: MetadataVersion, controller: NodeId) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            metadata_version,
            migration_enabled: true,
            inter_broker_listener: None,
            controllers: [controller].into(),
            register_by: RegisterBy::Presence,
            operator: OperatorsSettings::default(),
        }
    }
}
