//! Kafka's metadata log: files that `kafka-dump-log` reads as they lie and a KRaft controller boots from, replicated by
//! openraft, with a rebuildable sled cache beside them.
//!
//! [`KraftLog`] implements the port [`metadata_core::log::MetadataLog`] for a quorum of one voter, which is the default, or
//! of several: see [`PeerOptions`].
//!
//! ```no_run
//! use metadata_core::id::NodeId;
//! use metadata_core::log::{Append, MetadataLog};
//! use metadata_core::metadata_version::MetadataVersion;
//! use metadata_core::record::{NoOpRecord, VersionedRecord, ZkMigrationState};
//! use metadata_core::store::Txn;
//! use store_kraft::{KraftLog, KraftLogOptions};
//!
//! # async fn example() -> metadata_core::error::Result<()> {
//! let node = NodeId(3000);
//! KraftLog::format("/var/lib/kraft", node, "ZcQrXrnVQj-xXqg6iQ0pGg", MetadataVersion::V3_9_IV0)?;
//! let log = KraftLog::open(KraftLogOptions::new("/var/lib/kraft", node, "ZcQrXrnVQj-xXqg6iQ0pGg")).await?;
//!
//! let position = log.bootstrap(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration).await?;
//! let records = vec![VersionedRecord::new(NoOpRecord::default(), 0)];
//! let expected = Some(position.end_offset);
//! log.append(Append { epoch: position.epoch, expected, txn: Txn::None, records }).await?;
//! log.shutdown().await
//! # }
//! ```
//!
//! # Two logs
//!
//! ```text
//!   append ──> Raft's log (private, synced, then acknowledged) ──apply──> the Kafka log (committed batches only)
//!                    │                                                         │
//!                    └── purged up to the newest snapshot <── sidecar: which entries the Kafka log amounts to
//! ```
//!
//! Raft's log is what an acknowledgement stands on. The Kafka log is derived from it and synced now and then: first the
//! Kafka log, then the sidecar, then Raft's log is purged. What a crash leaves behind the sidecar's position is cut at the
//! next open and applied again.
//!
//! # Modules
//!
//! - [`batch`]: Kafka's record batches, built and read.
//! - [`log`]: the files of a controller's `metadata.log.dir`, and [`log::Dump`] to look at them.
//! - `raftlog`: Raft's own log. `sidecar`: what ties the two together.
//! - [`fetch`]: what brokers get of the log.
//! - `peer`: how controllers speak with each other.
//! - `quorum`: openraft's types, group commit, the state machine that derives the one log from the other.
//! - `cache`: the image in sled, never the only copy.
//! - `codec`: the one place that knows bincode. `disk`: every write.

pub mod batch;
mod cache;
mod codec;
mod disk;
pub mod fetch;
mod format;
mod health;
mod kraft_log;
pub mod log;
mod open;
mod options;
mod peer;
mod quorum;
mod raftlog;
mod sealed;
mod sidecar;

pub use kraft_log::{KraftLog, Recovery};
#[cfg(feature = "tls")]
pub use options::PeerTls;
pub use options::{
    KraftLogOptions, PeerOptions, PeerSecurity, QuorumTimeouts, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
};
pub use quorum::status::{QuorumMember, QuorumStatus};
pub use quorum::types::QuorumSeal;

#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod power_failure;
