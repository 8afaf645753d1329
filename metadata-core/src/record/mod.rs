//! Kafka's metadata records and the control records of its Raft log: all that Kafka 3.9 and 4.4 know.
//!
//! The structs are generated from one table, `schema/metadata-records.txt`, by `cargo xtask codegen`; they keep Kafka's
//! names. [`VersionedRecord`] reads and writes the value of a record of the log, [`ControlRecord`] key and value of a
//! control record. Each struct keeps the tagged fields that it does not know, so that what a newer Kafka wrote survives
//! being read and written here. Keys and passwords are hidden in Debug output.
//!
//! Two conventions of Kafka's stay visible in the fields: `leader` is [`NodeId::NONE`] for "no leader", and
//! [`NO_LEADER_CHANGE`] in a [`PartitionChangeRecord`].

mod control;
mod field_value;
mod frame;
mod generated;
mod message;
mod version;
mod wire;
mod zk_migration_state;

pub use field_value::{FieldValue, Fields};
pub use frame::{RecordKind, VersionedRecord};
pub use generated::*;
pub use version::record_version;
pub use zk_migration_state::ZkMigrationState;

pub use crate::codec::{DecodeError, EncodeError, RawTag, UnknownTags};
use crate::id::NodeId;

/// The leader in a [`PartitionChangeRecord`] that does not change the leader. Naming the present leader instead raises
/// the leader epoch.
pub const NO_LEADER_CHANGE: NodeId = NodeId(-2);
