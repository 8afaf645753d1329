//! The names of files and directories.

use std::fmt;
use std::path::{Path, PathBuf};

use metadata_core::id::{KRaftLeaderEpoch, Offset, Position};
use metadata_core::uuid::Uuid;

/// Kafka's directory of the metadata topic's only partition.
pub(crate) const PARTITION_DIR: &str = "__cluster_metadata-0";
/// Kafka's name of the file that says whose directory it is.
pub(crate) const META_PROPERTIES: &str = "meta.properties";
/// Kafka's name of the file with the first records of an empty log.
pub(crate) const BOOTSTRAP_CHECKPOINT: &str = "bootstrap.checkpoint";
/// Kafka's name of the lock.
pub(crate) const LOCK: &str = ".lock";
/// Kafka's id of the metadata topic (`Uuid.METADATA_TOPIC_ID`).
const METADATA_TOPIC_ID: Uuid = Uuid::from_u64_pair(0, 1);

/// The paths inside one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    pub(crate) fn meta_properties(&self) -> PathBuf {
        self.root.join(META_PROPERTIES)
    }

    pub(crate) fn bootstrap_checkpoint(&self) -> PathBuf {
        self.root.join(BOOTSTRAP_CHECKPOINT)
    }

    /// Kafka's own directory.
    pub(crate) fn partition(&self) -> PathBuf {
        self.root.join(PARTITION_DIR)
    }

    /// Raft's private log, the vote and the sidecar.
    pub(crate) fn raft(&self) -> PathBuf {
        self.root.join("raft")
    }

    /// The snapshot of an empty log, for Raft: an empty file.
    pub(crate) fn empty_snapshot(&self) -> PathBuf {
        self.raft().join("empty-snapshot")
    }

    /// What can be rebuilt.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn partition_metadata(&self) -> PathBuf {
        self.partition().join("partition.metadata")
    }

    pub(crate) fn leader_epoch_checkpoint(&self) -> PathBuf {
        self.partition().join("leader-epoch-checkpoint")
    }

    pub(crate) fn quorum_state(&self) -> PathBuf {
        self.partition().join("quorum-state")
    }
}

/// The content of `partition.metadata`: 43 bytes, no line end behind the last (`PartitionMetadataFile.java`).
pub(crate) fn partition_metadata() -> String {
    format!("version: 0\ntopic_id: {METADATA_TOPIC_ID}")
}

/// Whether a file is a segment of the log, and from which offset on (inclusive).
pub(crate) fn parse_segment_name(name: &str) -> Option<Offset> {
    parse_number(name.strip_suffix(".log")?, 20).map(Offset)
}

/// The name of the segment that starts at `base` (inclusive).
pub(crate) fn segment_name(base: Offset) -> String {
    format!("{:020}.log", base.0)
}

fn parse_number(digits: &str, length: usize) -> Option<i64> {
    (digits.len() == length && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// What a snapshot covers: all records before `end_offset` (exclusive), the last of which is of `epoch`. Kafka's
/// `OffsetAndEpoch`, and the snapshot's file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// One past the last record (exclusive).
    pub end_offset: Offset,
    /// The last record's epoch.
    pub epoch: KRaftLeaderEpoch,
}

impl SnapshotId {
    /// The position of the snapshot's image.
    pub fn position(self) -> Position {
        Position { epoch: self.epoch, end_offset: self.end_offset }
    }

    /// The snapshot with Kafka's file name `<end offset, 20 digits>-<epoch, 10 digits>.checkpoint`.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (end_offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let epoch = i32::try_from(parse_number(epoch, 10)?).ok()?;
        Some(Self { end_offset: Offset(parse_number(end_offset, 20)?), epoch: KRaftLeaderEpoch(epoch) })
    }

    /// Kafka's file name of the snapshot.
    pub fn file_name(self) -> String {
        format!("{self}.checkpoint")
    }
}

impl From<Position> for SnapshotId {
    fn from(position: Position) -> Self {
        Self { end_offset: position.end_offset, epoch: position.epoch }
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end_offset.0, self.epoch.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        assert_eq!(segment_name(Offset(42)), "00000000000000000042.log");
        let id = SnapshotId { end_offset: Offset(42), epoch: KRaftLeaderEpoch(3) };
        assert_eq!(id.file_name(), "00000000000000000042-0000000003.checkpoint");
        assert_eq!(SnapshotId::from_file_name(&id.file_name()), Some(id));
        assert_eq!(parse_segment_name("00000000000000000042.log"), Some(Offset(42)));
        assert_eq!(partition_metadata().len(), 43);
    }

    #[test]
    fn other_names_are_no_segments_and_no_snapshots() {
        for name in ["42.log", "00000000000000000042.log.deleted", "-0000000000000000042.log", "00000000000000000042"] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
        for name in [
            "bootstrap.checkpoint",
            "00000000000000000042-0000000003.checkpoint.part",
            "00000000000000000042-9999999999.checkpoint",
            "00000000000000000042.checkpoint",
            "99999999999999999999-0000000003.checkpoint",
        ] {
            assert_eq!(SnapshotId::from_file_name(name), None, "{name}");
        }
    }
}
