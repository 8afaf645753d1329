//! How a log is opened.

use std::path::PathBuf;

use metadata_core::id::NodeId;

/// Kafka's default for a segment, 1 GiB (`metadata.log.segment.bytes`).
pub const SEGMENT_BYTES_DEFAULT: u64 = 1 << 30;
/// Kafka's least for a segment, 8 MiB (`MetadataLogConfig`): a batch must fit.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 20;
/// Kafka's most for a segment: it counts a segment's bytes in 31 bits.
pub const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// Where the log of a quorum of one lies, and its limits. All sizes in bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KraftLogOptions {
    /// The directory: Kafka's `metadata.log.dir`. See [`KraftLog::format`](crate::KraftLog::format).
    pub data_dir: PathBuf,
    /// Whose it must be.
    pub node_id: NodeId,
    /// The cluster that it must belong to.
    pub cluster_id: String,
    /// A segment is closed when the next batch would exceed this. Kept between [`SEGMENT_BYTES_MIN`] and
    /// [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// A snapshot is taken after so many bytes of Raft's log, which are those of new batches, also of transactions that are
    /// discarded; Kafka's 20 MiB (`metadata.log.max.record.bytes.between.snapshots`).
    pub snapshot_every: u64,
    /// Old snapshots and the segments below them are removed above this total; Kafka's 100 MiB
    /// (`metadata.max.retention.bytes`). The newest snapshot always stays.
    pub retention_bytes: u64,
    /// Above this total a [`hold`](metadata_core::log::MetadataLog::hold) is given up: see
    /// [`hold_given_up`](crate::KraftLog::hold_given_up).
    pub hold_bytes: u64,
    /// The sidecar is written after so many bytes of Raft's log: as much is applied again after a crash.
    pub sidecar_every: u64,
    /// Whether the image is cached in a `sled` database, which makes the next open faster.
    pub cache: bool,
}

impl KraftLogOptions {
    /// The log of `node_id` of the cluster `cluster_id` in `data_dir`, with Kafka's limits.
    pub fn new(data_dir: impl Into<PathBuf>, node_id: NodeId, cluster_id: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            node_id,
            cluster_id: cluster_id.into(),
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            snapshot_every: 20 << 20,
            retention_bytes: 100 << 20,
            hold_bytes: 10 << 30,
            sidecar_every: 16 << 20,
            cache: true,
        }
    }
}
