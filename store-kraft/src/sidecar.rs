//! The sidecar ties Raft's log to the Kafka log: which entries the files in `__cluster_metadata-0` amount to.
//!
//! ```text
//! Raft's log:   purged <= snapshot <= applied
//! Kafka's log:  end of the snapshot <= end_offset <= what is in the files
//! ```
//!
//! The Kafka log is synced before the sidecar is written, and Raft's log is purged after it. So at an open everything up to
//! `end_offset` must be in the Kafka log, and what comes after it can be applied again from Raft's log: it is cut first.

use std::path::{Path, PathBuf};

use metadata_core::id::{KRaftLeaderEpoch, Offset};
use serde::{Deserialize, Serialize};

use crate::codec::Kind;
use crate::disk::Disk;
use crate::log::SnapshotId;
use crate::log::damage::LogError;
use crate::log::epochs::Epochs;
use crate::quorum::proposal::StoredPosition;
use crate::raftlog::{StoredLastMembership, StoredLogId};
use crate::sealed::{self, SealError};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// The last entry of Raft's log that is applied, unless none is.
    pub(crate) applied: Option<StoredLogId>,
    /// The membership as of `applied`.
    pub(crate) membership: StoredLastMembership,
    /// End of the Kafka log as of `applied` (exclusive).
    pub(crate) end_offset: i64,
    /// Where each epoch of the Kafka log starts (inclusive), as far as the log reaches back.
    pub(crate) epochs: Vec<(i32, i64)>,
    /// Where the log began anew, when a snapshot that was received replaced it (inclusive): segments that start before are
    /// of the log that was there until then, and go.
    pub(crate) restarted_at: i64,
    /// The transaction that is open as of `applied`.
    pub(crate) staged: Option<Staged>,
    /// The newest snapshot.
    pub(crate) snapshot: Option<StoredSnapshot>,
    /// From where on (inclusive) the log was last held for a store that lags behind: it may take a while after a start until
    /// that store is there to say so again.
    pub(crate) hold: Option<i64>,
}

/// An open transaction. Its records are in Raft's log, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Staged {
    /// The entry that begins with its Begin.
    pub(crate) begin: StoredLogId,
    /// How many batches it has so far, counting that of Begin.
    pub(crate) batches: u32,
    /// The state before the Begin: a snapshot shows that, so that Raft's log stays whole from the Begin on and nothing
    /// staged has to travel with the snapshot.
    pub(crate) before: Base,
}

/// A state that a snapshot can show.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Base {
    /// The last entry that it covers.
    pub(crate) applied: Option<StoredLogId>,
    /// The membership as of `applied`.
    pub(crate) membership: StoredLastMembership,
    /// The Kafka log's end as of `applied`.
    pub(crate) position: StoredPosition,
}

/// A snapshot as Raft sees it: the `.checkpoint` file of this position.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StoredSnapshot {
    /// What it covers.
    pub(crate) base: Base,
}

impl StoredSnapshot {
    /// Kafka's id of it, hence its file.
    pub(crate) fn id(&self) -> SnapshotId {
        let StoredPosition { epoch, end_offset } = self.base.position;
        SnapshotId { end_offset: Offset(end_offset), epoch: KRaftLeaderEpoch(epoch) }
    }
}

impl Sidecar {
    pub(crate) fn path(raft_dir: &Path) -> PathBuf {
        raft_dir.join("sidecar")
    }

    /// The sidecar, or `None` when none was ever written.
    pub(crate) fn read(raft_dir: &Path) -> Result<Option<Self>, LogError> {
        sealed::read(&Self::path(raft_dir), Kind::Sidecar)
    }

    /// Writes it, durably. The Kafka log must be synced up to `end_offset`.
    pub(crate) fn write(&self, disk: &Disk, raft_dir: &Path) -> Result<(), SealError> {
        sealed::write(disk, &Self::path(raft_dir), Kind::Sidecar, self)
    }

    /// The epochs of the Kafka log.
    pub(crate) fn epochs(&self) -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, start) in &self.epochs {
            epochs.observe(KRaftLeaderEpoch(*epoch), Offset(*start));
        }
        epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn the_bytes_stay_what_they_are() {
        let applied = Some(StoredLogId { term: 2, index: 9 });
        let base = Base {
            applied,
            membership: StoredLastMembership::default(),
            position: StoredPosition { epoch: 2, end_offset: 40 },
        };
        let sidecar = Sidecar {
            applied,
            membership: StoredLastMembership::default(),
            end_offset: 41,
            epochs: vec![(1, 0), (2, 30)],
            restarted_at: 3,
            staged: Some(Staged { begin: StoredLogId { term: 2, index: 7 }, batches: 3, before: base.clone() }),
            snapshot: Some(StoredSnapshot { base }),
            hold: Some(38),
        };
        let golden = [
            1, 4, 1, // format, kind, version
            1, 2, 9, // applied
            0, 0, 0, // no membership yet
            82, 2, 2, 0, 4, 60, 6, // end offset, epochs and restart, zig-zag
            1, 2, 7, 3, 1, 2, 9, 0, 0, 0, 4, 80, // staged
            1, 1, 2, 9, 0, 0, 0, 4, 80, // snapshot
            1, 76, // hold
        ];
        assert_eq!(codec::encode(Kind::Sidecar, &sidecar).unwrap(), golden);
        assert_eq!(codec::decode::<Sidecar>(Kind::Sidecar, &golden).unwrap(), sidecar);
    }
}
