//! Why a broker keeps the migration waiting, and what its operator should know.

use std::fmt;

use metadata_core::brokers::BrokerSource;
use metadata_core::id::NodeId;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};

use crate::facts::Known;
use crate::registration::RegistrationRefusal;
use crate::settings::RESERVED_BROKER_MAX_ID;

/// Why a broker keeps the migration waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadyReason {
    /// It is alive in ZooKeeper, and nobody would serve it.
    Unserved,
    /// It has replicas and is not there.
    Missing {
        /// How many.
        replicas: u64,
    },
    /// It has the id of a controller.
    HasTheControllersId {
        /// How many replicas it has; 0 when only its entry in `/brokers/ids` tells.
        replicas: u64,
    },
    /// It is alive in ZooKeeper and not registered in the log yet.
    NotRegistered,
    /// It is alive in ZooKeeper and does not ask to be registered, though it should: only a broker with
    /// `zookeeper.metadata.migration.enable` asks.
    WithoutTheFlag,
    /// It is alive in ZooKeeper, and a KRaft broker has its id.
    DuplicateId,
    /// Its entry can't be understood, or a listener in it can't be used.
    Malformed(String),
    /// It belongs to another cluster.
    OtherCluster {
        /// The broker's cluster.
        broker: Known<String>,
        /// The quorum's.
        expected: String,
    },
    /// It does not run at the log's metadata version.
    OtherMetadataVersion {
        /// What it supports: its `inter.broker.protocol.version`.
        supported: Known<MetadataVersionRange>,
        /// The log's.
        expected: MetadataVersion,
    },
    /// It has no listener where the controller would reach it.
    NoInterBrokerListener {
        /// The controller's `inter.broker.listener.name`.
        wanted: String,
    },
    /// Its id was generated, which brokers in a migration refuse.
    GeneratedId {
        /// Ids up to this one (inclusive) are never generated.
        reserved_max: NodeId,
    },
    /// It asked to be registered and was refused.
    Refused(RegistrationRefusal),
}

impl fmt::Display for UnreadyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unserved => f.write_str(
                "is alive in /brokers/ids and would be left without a controller: nobody serves it",
            ),
            Self::HasTheControllersId { replicas } => write!(
                f,
                "is a broker with {replicas} replicas, and its id is a controller's too: choose another node id"
            ),
            Self::Missing { replicas } => write!(f, "has {replicas} replicas and is not in /brokers/ids"),
            Self::NotRegistered => f.write_str("is alive in /brokers/ids and not registered in the metadata log yet"),
            Self::WithoutTheFlag => f.write_str(
                "is alive in /brokers/ids and does not ask to be registered: start it with \
                 zookeeper.metadata.migration.enable and the controllers' addresses, and see that it reaches them",
            ),
            Self::DuplicateId => f.write_str(
                "is alive in /brokers/ids, and a KRaft broker has its id: stop one of the two (the KRaft one is fenced)",
            ),
            Self::Malformed(reason) => write!(f, "has an entry in /brokers/ids that can't be understood: {reason}"),
            Self::OtherCluster { broker, expected } => {
                write!(f, "belongs to cluster {broker}, and the controllers to {expected}: correct one of the two")
            }
            Self::OtherMetadataVersion { supported, expected } => write!(
                f,
                "has inter.broker.protocol.version {supported}, and the controllers have metadata.version {expected}: \
                 make the two equal"
            ),
            Self::NoInterBrokerListener { wanted } => write!(
                f,
                "has no listener {wanted}, which is the controllers' inter.broker.listener.name: set both to one"
            ),
            Self::GeneratedId { reserved_max } => write!(
                f,
                "has an id above {reserved_max} that was generated: set it as broker.id, with \
                 broker.id.generation.enable=false"
            ),
            Self::Refused(refusal) => write!(f, "asked to be registered, {}: it {refusal}", refusal.error()),
        }
    }
}

/// What the operator should know of a broker. It keeps nothing waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerWarning {
    /// It would keep the migration waiting, but for the operator's word.
    Waived(UnreadyReason),
    /// Its id may have been generated.
    PerhapsGeneratedId {
        /// Ids up to this one (inclusive) are never generated.
        reserved_max: NodeId,
    },
    /// Nobody says what its `inter.broker.protocol.version` is.
    MetadataVersionUnknown {
        /// What it must be.
        expected: MetadataVersion,
    },
    /// The log's metadata version allows one log directory, and nobody says how many it has.
    DirectoriesUnknown {
        /// The log's.
        metadata_version: MetadataVersion,
    },
    /// Somebody else with its id asked to be registered and was refused.
    Refused(RegistrationRefusal),
}

impl fmt::Display for BrokerWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waived(reason) => write!(f, "{reason} (ignored by the operator's word)"),
            Self::PerhapsGeneratedId { reserved_max } => {
                let setting = "reserved.broker.max.id";
                let default = if *reserved_max == RESERVED_BROKER_MAX_ID { ", the default" } else { "" };
                write!(
                    f,
                    "has an id above {reserved_max} ({setting}{default}), so it may have been generated, which /brokers/ids \
                     does not tell: the broker's properties do, where broker.id is missing or -1, and /brokers/seqid, whose \
                     version counts generated ids. Set a generated id as broker.id, with broker.id.generation.enable=false"
                )
            }
            Self::MetadataVersionUnknown { expected } => {
                write!(f, "does not tell its inter.broker.protocol.version in /brokers/ids: see that it is {expected}")
            }
            Self::DirectoriesUnknown { metadata_version } => write!(
                f,
                "does not tell its log directories in /brokers/ids, and metadata.version {metadata_version} allows one: see \
                 that log.dirs has one"
            ),
            Self::Refused(refusal) => {
                write!(
                    f,
                    "has its id claimed by another that asked to be registered, {}: it {refusal}",
                    refusal.error()
                )
            }
        }
    }
}

/// A broker that keeps the migration waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadyBroker {
    /// Which.
    pub id: NodeId,
    /// Why.
    pub reason: UnreadyReason,
}

impl fmt::Display for UnreadyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broker {} {}", self.id, self.reason)
    }
}

impl UnreadyReason {
    /// Whether the operator's word that nobody needs to serve the brokers lets the migration go on all the same: what is
    /// only about serving them. Where the metadata of another cluster, or one id of two, is at stake, it does not.
    pub fn is_waived_when_unserved(&self) -> bool {
        match self {
            Self::Unserved
            | Self::Missing { .. }
            | Self::NotRegistered
            | Self::WithoutTheFlag
            | Self::Malformed(_)
            | Self::NoInterBrokerListener { .. }
            | Self::GeneratedId { .. } => true,
            // A znode of an old format says nothing but that it is old; any other number was told on purpose.
            Self::OtherMetadataVersion { supported, .. } => {
                supported.source == BrokerSource::ZooKeeper && supported.value.max() < MetadataVersion::LOWEST.level()
            }
            Self::HasTheControllersId { .. } | Self::DuplicateId | Self::OtherCluster { .. } => false,
            Self::Refused(refusal) => {
                !matches!(refusal, RegistrationRefusal::OtherCluster { .. } | RegistrationRefusal::HasAControllersId)
            }
        }
    }
}
