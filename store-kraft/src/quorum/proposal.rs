//! What is proposed to Raft, and what `apply` answers.

use metadata_core::id::{KRaftLeaderEpoch, Position};
use metadata_core::store::Txn;
use serde::{Deserialize, Serialize};

use crate::batch::BATCH_BYTES_MAX;
use crate::codec::Blob;

/// Bytes of batches that share one entry, at most (inclusive).
pub(crate) const GROUP_BYTES_MAX: usize = BATCH_BYTES_MAX;

/// The content of a normal entry of Raft's log. It is on disk and goes to other members: see [`crate::codec`] before
/// changing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proposal {
    /// The first normal entry of each term: becomes Kafka's LeaderChange batch. Openraft's own blank entry knows only its
    /// term.
    LeaderStart {
        /// The new leader's node id.
        leader: i32,
        /// When it began to lead, as it saw the time.
        time_ms: i64,
        /// Node ids of the voters.
        voters: Vec<i32>,
    },
    /// Batches, each accepted or refused on its own.
    Append {
        /// The epoch that they were decided under.
        epoch: i32,
        /// In the order of the calls.
        batches: Vec<ProposedBatch>,
    },
}

/// One append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProposedBatch {
    /// Offset at which it must land (inclusive), if the writer says.
    pub(crate) expected: Option<i64>,
    /// Where in a transaction it stands.
    pub(crate) txn: ProposedTxn,
    /// The Kafka batch, whole but for its place: base offset and epoch are filled in by `apply`, its checksum covers
    /// neither.
    pub(crate) batch: Blob,
}

/// [`Txn`] as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProposedTxn {
    None,
    Begin,
    In,
    End { batches: u32 },
}

impl From<Txn> for ProposedTxn {
    fn from(txn: Txn) -> Self {
        match txn {
            Txn::None => Self::None,
            Txn::Begin => Self::Begin,
            Txn::In => Self::In,
            Txn::End { batches } => Self::End { batches },
        }
    }
}

impl From<ProposedTxn> for Txn {
    fn from(txn: ProposedTxn) -> Self {
        match txn {
            ProposedTxn::None => Self::None,
            ProposedTxn::Begin => Self::Begin,
            ProposedTxn::In => Self::In,
            ProposedTxn::End { batches } => Self::End { batches },
        }
    }
}

/// What `apply` did with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Applied {
    /// A blank or membership entry: nothing of it is in the Kafka log.
    #[default]
    Nothing,
    /// The leader's first entry: the log ends here now, and the leader may act.
    Started(StoredPosition),
    /// One answer for each batch of the entry.
    Batches(Vec<Result<StoredPosition, Refusal>>),
}

/// [`Position`] as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StoredPosition {
    pub(crate) epoch: i32,
    pub(crate) end_offset: i64,
}

impl From<Position> for StoredPosition {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch.0, end_offset: position.end_offset.0 }
    }
}

impl From<StoredPosition> for Position {
    fn from(stored: StoredPosition) -> Self {
        Self { epoch: KRaftLeaderEpoch(stored.epoch), end_offset: stored.end_offset.into() }
    }
}

/// Why a batch is not in the log. Every member comes to the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the records were decided in epoch {decided}, the log is in epoch {present}")]
    Epoch { decided: i32, present: i32 },
    #[error("the records were to start at offset {expected}, the log ends at {end}")]
    Offset { expected: i64, end: i64 },
    #[error("no transaction is open in this epoch: it was never begun, or was discarded")]
    NoTransaction,
    #[error("the transaction has {staged} batches, its end says {said}; all of it was discarded")]
    TransactionIncomplete { staged: u32, said: u32 },
    #[error("the transaction was discarded: {0}")]
    TransactionDiscarded(String),
    #[error("the batch can't be written: {0}")]
    Invalid(String),
}
