//! The port to a metadata log: [`MetadataLog`]. `store-kraft` implements it over openraft; a controller with its own
//! consensus implements it over that. [`LogStore`] makes a [`MetadataStore`](crate::store::MetadataStore) of any log.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs};
use crate::image::MetadataImage;
use crate::leadership::LogExtent;
use crate::record::VersionedRecord;
use crate::store::{Receipt, Txn};

mod adapter;
mod rules;

pub use adapter::LogStore;

/// Who leads, as this member knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaderAndEpoch {
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The epoch, never going back.
    pub epoch: KRaftLeaderEpoch,
    /// This member leads and has applied the first entry of the epoch: it may act.
    pub active: bool,
}

/// Records to append as one batch. What it may be is checked by [`Append::check`].
#[derive(Debug, Clone)]
pub struct Append {
    /// The epoch that the records were decided under: refused in any other.
    pub epoch: KRaftLeaderEpoch,
    /// Where the first record must land (inclusive). `None` only in a transaction, whose records get their offsets at its
    /// End; with that End it may be given, with Begin and within never.
    pub expected: Option<Offset>,
    /// Where in a transaction it stands.
    pub txn: Txn,
    /// At least one and at most [`RECORDS_PER_BATCH_MAX`] records.
    pub records: Vec<VersionedRecord>,
}

/// Kafka's limit for one append (`QuorumController.MAX_RECORDS_PER_BATCH`), inclusive.
pub const RECORDS_PER_BATCH_MAX: usize = 10_000;

/// A committed batch, as read.
#[derive(Debug, Clone)]
pub struct LogBatch {
    /// Offset of the first record (inclusive).
    pub base_offset: Offset,
    /// Offset after the last record (exclusive). Control records count.
    pub end_offset: Offset,
    /// The epoch it was written in.
    pub epoch: KRaftLeaderEpoch,
    /// When the leader opened it.
    pub timestamp: TimestampMs,
    /// The metadata records; empty for a batch of control records.
    pub records: Arc<[VersionedRecord]>,
}

impl LogBatch {
    /// Where the log is after this batch.
    pub fn end(&self) -> Position {
        Position { epoch: self.epoch, end_offset: self.end_offset }
    }
}

/// A metadata log: replicated or not, it orders records and says who leads.
///
/// Only committed records are ever shown: a transaction as a whole once it has ended, an aborted one never.
#[async_trait]
pub trait MetadataLog: Send + Sync {
    /// Waits until who leads differs from `known`, and returns it; `None` returns at once. Intermediate leaders may be
    /// skipped, the newest never.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`: the log was stopped.
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch>;

    /// Appends one batch, atomically. Not async on purpose: the order in the log is the order of the calls.
    ///
    /// The receipt resolves when the batch is durable on a majority and applied here; its position is the end of the
    /// batch. For `Begin` and `In` the position is the log's end, which they do not move.
    ///
    /// At most one transaction is open. A `Begin` discards one that is still open, and so does the next leader: a
    /// transaction whose appends failed is simply begun again. An `End` closes it either way: all of it is written, or it
    /// is discarded.
    ///
    /// # Errors
    /// By the receipt. Not applied: `ControllerFenced` (another epoch), `Conflict` (another end offset, no transaction
    /// that is open, or one that is discarded: miscounted, or in contradiction to the log), `Invalid` (what
    /// [`Append::check`] refuses, a record that can't be encoded or that contradicts the log). Unknown: `Unavailable`
    /// (leadership lost or stopped before the answer).
    fn append(&self, append: Append) -> Receipt;

    /// The end of the committed log, linearizable when this member leads. It waits until the fate of every append
    /// called before it is decided, so it serves as a barrier.
    ///
    /// # Errors
    /// `Unavailable`, when the leader can't confirm that it still leads.
    async fn end(&self) -> Result<Position>;

    /// The epochs and the end, as of now on this member.
    fn extent(&self) -> LogExtent;

    /// Waits until the committed end is past `end_offset` (exclusive end that the caller has seen), and returns it.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`: the log was stopped.
    async fn committed(&self, end_offset: Offset) -> Result<Offset>;

    /// Reads committed batches from `from` (inclusive; must be a batch boundary) on, at least one if there is one, until
    /// `records_max` records are passed. Empty at the end of the log.
    ///
    /// # Errors
    /// `Conflict`: `from` is below the log's start; begin at [`Self::image_at_most`]. `Corrupt`: damage, with the place.
    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>>;

    /// The newest image at hand whose position is at most `end_offset` (exclusive end), to replay from: of a snapshot,
    /// the cache, or the empty image. `None` when the log starts later and no snapshot is old enough.
    ///
    /// # Errors
    /// `Corrupt`: a snapshot is damaged, with the place.
    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>>;

    /// The image at the committed end, as applied by this member.
    fn image(&self) -> MetadataImage;

    /// Keeps records from `end_offset` on (and an image at or below it) from being purged; a later call replaces it. A log
    /// that is stored keeps it through a restart, since whoever holds may come back later than the log.
    fn hold(&self, end_offset: Offset);

    /// Gives up the leadership of `epoch`, so that another member is elected: for a leader that finds that it can't do what a
    /// leader must. Returns at once; the loss of the leadership shows as any other. Does nothing if this member does not
    /// lead in that epoch, or has nobody to make room for. Kafka: `RaftClient.resign`.
    fn resign(&self, epoch: KRaftLeaderEpoch) {
        let _ = epoch;
    }
}
