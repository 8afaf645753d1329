//! Why a broker that asks is not registered.

use std::fmt;

use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::image::FeatureRange;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::ZkMigrationState;

/// Kafka's errors in answers to registrations and heartbeats (`Errors.java`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are Kafka's")]
pub enum ResponseError {
    UnsupportedVersion,
    StaleBrokerEpoch,
    DuplicateBrokerRegistration,
    BrokerIdNotRegistered,
    InconsistentClusterId,
    InvalidRegistration,
}

impl ResponseError {
    /// Kafka's number.
    pub fn code(self) -> i16 {
        match self {
            Self::UnsupportedVersion => 35,
            Self::StaleBrokerEpoch => 77,
            Self::DuplicateBrokerRegistration => 101,
            Self::BrokerIdNotRegistered => 102,
            Self::InconsistentClusterId => 104,
            Self::InvalidRegistration => 119,
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsupportedVersion => "UNSUPPORTED_VERSION",
            Self::StaleBrokerEpoch => "STALE_BROKER_EPOCH",
            Self::DuplicateBrokerRegistration => "DUPLICATE_BROKER_REGISTRATION",
            Self::BrokerIdNotRegistered => "BROKER_ID_NOT_REGISTERED",
            Self::InconsistentClusterId => "INCONSISTENT_CLUSTER_ID",
            Self::InvalidRegistration => "INVALID_REGISTRATION",
        })
    }
}

/// Why a broker that asks is not registered. The text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrationRefusal {
    /// It belongs to another cluster.
    OtherCluster {
        /// The broker's.
        broker: String,
        /// The quorum's.
        expected: String,
    },
    /// Another process with this id has a session.
    LiveSession,
    /// It is a KRaft broker, and a broker in ZooKeeper mode with its id is alive.
    ZkBrokerIsAlive,
    /// A controller of the quorum has its id.
    HasAControllersId,
    /// It is in ZooKeeper mode, and this controller takes part in no migration.
    MigrationDisabled,
    /// It is in ZooKeeper mode, and the log can't say so at its metadata version.
    MetadataVersionTooOld(MetadataVersion),
    /// It is in ZooKeeper mode, and there is no migration, or none any more.
    NoMigration(ZkMigrationState),
    /// It is a KRaft broker, and nothing was copied yet.
    NotBeforeTheCopy,
    /// It is in ZooKeeper mode and has no listener where the controller would reach it.
    NoInterBrokerListener {
        /// The controller's `inter.broker.listener.name`.
        wanted: String,
    },
    /// It tells no log directory, and must.
    NoLogDirectory,
    /// One of its log directories has an id that Kafka reserves.
    ReservedDirectory(DirectoryId),
    /// Two of its log directories have one id.
    DuplicateDirectory(DirectoryId),
    /// A log directory of it is another broker's.
    DirectoryOf {
        /// Which.
        directory: DirectoryId,
        /// Whose it is.
        owner: NodeId,
    },
    /// It has several log directories, and the metadata version knows of none.
    SeveralDirectories {
        /// How many.
        count: usize,
        /// The log's.
        metadata_version: MetadataVersion,
    },
    /// It does not support the log's metadata version.
    OtherMetadataVersion {
        /// What it supports; `None` when what it says is no range.
        supported: Option<MetadataVersionRange>,
        /// The log's.
        expected: MetadataVersion,
        /// Whether it is in ZooKeeper mode: what it supports is then its `inter.broker.protocol.version`.
        is_migrating_zk_broker: bool,
    },
    /// It does not support a feature at the level that is in use.
    UnsupportedFeature {
        /// Which.
        feature: String,
        /// The level in use.
        level: i16,
        /// What it supports.
        supported: Option<FeatureRange>,
    },
}

impl RegistrationRefusal {
    /// The error of Kafka's answer.
    pub fn error(&self) -> ResponseError {
        match self {
            Self::OtherCluster { .. } => ResponseError::InconsistentClusterId,
            Self::LiveSession | Self::ZkBrokerIsAlive => ResponseError::DuplicateBrokerRegistration,
            Self::MigrationDisabled
            | Self::MetadataVersionTooOld(_)
            | Self::NoMigration(_)
            | Self::NotBeforeTheCopy => ResponseError::BrokerIdNotRegistered,
            Self::HasAControllersId
            | Self::NoInterBrokerListener { .. }
            | Self::NoLogDirectory
            | Self::ReservedDirectory(_)
            | Self::DuplicateDirectory(_)
            | Self::DirectoryOf { .. }
            | Self::SeveralDirectories { .. } => ResponseError::InvalidRegistration,
            Self::OtherMetadataVersion { .. } | Self::UnsupportedFeature { .. } => ResponseError::UnsupportedVersion,
        }
    }
}

impl fmt::Display for RegistrationRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster { broker, expected } => {
                write!(f, "belongs to cluster {broker}, and the controllers to {expected}: correct one of the two")
            }
            Self::LiveSession => f.write_str("has the id of another process with a session: wait for its end"),
            Self::ZkBrokerIsAlive => f.write_str(
                "is a KRaft broker with the id of a broker that is alive in /brokers/ids: stop one of the two",
            ),
            Self::HasAControllersId => f.write_str("has the id of a controller: choose another node.id"),
            Self::MigrationDisabled => f.write_str(
                "is in ZooKeeper mode, and this controller was started without zookeeper.metadata.migration.enable",
            ),
            Self::MetadataVersionTooOld(version) => {
                write!(f, "is in ZooKeeper mode, which metadata.version {version} can't record")
            }
            Self::NoMigration(state) => {
                write!(f, "is in ZooKeeper mode, and the log is in state {state}: start it in KRaft mode")
            }
            Self::NotBeforeTheCopy => {
                f.write_str("is in KRaft mode, and nothing was copied yet: start it in ZooKeeper mode until then")
            }
            Self::NoInterBrokerListener { wanted } => write!(
                f,
                "has no listener {wanted}, which is the controllers' inter.broker.listener.name: set both to one"
            ),
            Self::NoLogDirectory => f.write_str("tells no id of a log directory"),
            Self::ReservedDirectory(id) => write!(f, "has a log directory with the reserved id {id}"),
            Self::DuplicateDirectory(id) => write!(f, "has two log directories with the id {id}"),
            Self::DirectoryOf { directory, owner } => {
                write!(f, "has log directory {directory}, which is broker {owner}'s: was a disk copied?")
            }
            Self::SeveralDirectories { count, metadata_version } => write!(
                f,
                "has {count} log directories, and metadata.version {metadata_version} allows one: raise \
                 inter.broker.protocol.version and metadata.version to {} or newer first, or move to one directory",
                MetadataVersion::V3_7_IV2
            ),
            Self::OtherMetadataVersion { supported, expected, is_migrating_zk_broker } => {
                let what = if *is_migrating_zk_broker { "has inter.broker.protocol.version" } else { "supports" };
                match supported {
                    Some(supported) => write!(f, "{what} {supported}")?,
                    None => write!(f, "{what} what is no range")?,
                }
                write!(f, ", and the controllers have metadata.version {expected}: make the two equal")
            }
            Self::UnsupportedFeature { feature, level, supported } => {
                write!(f, "does not support feature {feature} at level {level}")?;
                match supported {
                    Some(FeatureRange { min, max }) => write!(f, ", but {min} to {max}"),
                    None => Ok(()),
                }
            }
        }
    }
}
