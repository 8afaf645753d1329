//! Kafka's metadata log as files: what a real KRaft controller has in its `metadata.log.dir`.
//!
//! | path | content | module |
//! | --- | --- | --- |
//! | `.lock` | held while a process owns the directory | `lock` |
//! | `meta.properties` | whose directory it is | `properties` |
//! | `bootstrap.checkpoint` | the first records of an empty log | `snapshot` |
//! | `__cluster_metadata-0/%020d.log` | committed batches, back to back | `segment`, `writer` |
//! | `…/%020d-%010d.checkpoint` | snapshots | `snapshot` |
//! | `…/leader-epoch-checkpoint` | where each epoch starts | `epochs` |
//! | `…/quorum-state` | the last known leader | `quorum_state` |
//! | `…/partition.metadata` | the topic's id | `layout` |
//!
//! Index files (`.index`, `.timeindex`, `.snapshot`) are left out on purpose: Kafka rebuilds all of them at each start
//! from the batches (`LogLoader`, `LogSegment.recover`; the metadata log is always opened as after a crash), and a file
//! that isn't there can't contradict the log.

mod broker_dir;
pub(crate) mod damage;
mod dump;
pub(crate) mod epochs;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod properties;
pub(crate) mod quorum_state;
pub(crate) mod read;
pub(crate) mod segment;
pub(crate) mod snapshot;
mod whole;
pub(crate) mod writer;

pub use broker_dir::{BACKUP, BrokerDir, ReplicaDir, convert, write_topic_id};
pub use damage::Damage;
pub use dump::{Dump, DumpItem, DumpedBatch, DumpedRecord, RecordContent, UnknownRecord, Unreadable};
pub use layout::SnapshotId;
pub use lock::DirectoryLock;
pub use properties::{MetaProperties, MetaPropertiesVersion};
pub use quorum_state::FoundQuorumState;
pub use whole::{Occupancy, files_of_whole, occupancy, write_whole};

#[cfg(test)]
mod captured;
#[cfg(test)]
mod tests;
