//! A metadata log in memory, for tests of whatever sits on the port.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs};
use crate::image::{ImageLoader, MetadataImage};
use crate::leadership::LogExtent;
use crate::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use crate::record::{MetadataRecord, VersionedRecord};
use crate::store::{Receipt, Txn};

/// One bug, built into [`MemLog`] on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogMutant {
    /// An append of another epoch is taken.
    StaleEpochAccepted,
    /// An append lands wherever the log ends.
    ExpectedOffsetIgnored,
    /// What no log may hold is taken.
    RulesForgotten,
    /// Batches of a transaction are shown before its end.
    TransactionShownEarly,
    /// The batches of a transaction are not counted.
    MiscountAccepted,
    /// What can be replayed of a transaction that contradicts the log is written.
    HalfATransactionWritten,
    /// A Begin goes on with the transaction that is open.
    BeginGoesOn,
    /// An open transaction outlives its leader.
    TransactionOutlivesItsLeader,
    /// An epoch is told to start after its first batch.
    EpochStartsLate,
    /// A read returns everything.
    ReadUnbounded,
    /// Whoever waits for more is told what is there.
    CommittedDoesNotWait,
    /// The image is always the newest.
    ImageTooNew,
    /// A hold removes what it should keep.
    HeldIsRemoved,
}

impl LogMutant {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::StaleEpochAccepted,
        Self::ExpectedOffsetIgnored,
        Self::RulesForgotten,
        Self::TransactionShownEarly,
        Self::MiscountAccepted,
        Self::HalfATransactionWritten,
        Self::BeginGoesOn,
        Self::TransactionOutlivesItsLeader,
        Self::EpochStartsLate,
        Self::ReadUnbounded,
        Self::CommittedDoesNotWait,
        Self::ImageTooNew,
        Self::HeldIsRemoved,
    ];
}

#[derive(Debug)]
struct State {
    batches: Vec<LogBatch>,
    /// The image at the end of each batch; cheap, since they share.
    images: Vec<MetadataImage>,
    epochs: Vec<(KRaftLeaderEpoch, Offset)>,
    staged: Option<Vec<Vec<VersionedRecord>>>,
    reply_lost: usize,
}

/// A log of one member that elects whom it is told to. Clones are the same log.
#[derive(Debug, Clone)]
pub struct MemLog {
    state: Arc<Mutex<State>>,
    leader: Arc<watch::Sender<LeaderAndEpoch>>,
    end: Arc<watch::Sender<Offset>>,
    broken: Option<LogMutant>,
}

impl Default for MemLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemLog {
    /// An empty log that nobody leads.
    pub fn new() -> Self {
        let nobody = LeaderAndEpoch { leader: None, epoch: KRaftLeaderEpoch(0), active: false };
        Self {
            state: Arc::new(Mutex::new(State {
                batches: Vec::new(),
                images: Vec::new(),
                epochs: Vec::new(),
                staged: None,
                reply_lost: 0,
            })),
            leader: Arc::new(watch::Sender::new(nobody)),
            end: Arc::new(watch::Sender::new(Offset::ZERO)),
            broken: None,
        }
    }

    /// The same with one bug.
    pub fn broken(mutant: LogMutant) -> Self {
        Self { broken: Some(mutant), ..Self::new() }
    }

    fn is(&self, mutant: LogMutant) -> bool {
        self.broken == Some(mutant)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `id` the leader of a new epoch, whose first batch is a control record. An open transaction is discarded.
    pub fn elect(&self, id: NodeId) -> LeaderAndEpoch {
        let epoch = KRaftLeaderEpoch(self.leader.borrow().epoch.0 + 1);
        {
            let mut state = self.state();
            if !self.is(LogMutant::TransactionOutlivesItsLeader) {
                state.staged = None;
            }
            let base = state.end();
            state.epochs.push((epoch, base));
            let image = state.image().at(Position { epoch, end_offset: base.plus(1) }, TimestampMs(0));
            state.push(base, base.plus(1), epoch, Arc::new([]), image);
        }
        let leader = LeaderAndEpoch { leader: Some(id), epoch, active: true };
        self.leader.send_replace(leader);
        self.publish();
        leader
    }

    /// A log of its own with the batches up to `end_offset` (exclusive) alone, as an old copy of the data directory has them.
    /// Nobody leads it.
    pub fn old_copy(&self, end_offset: Offset) -> Self {
        let copy = Self { broken: self.broken, ..Self::new() };
        {
            let (whole, mut state) = (self.state(), copy.state());
            let kept = whole.batches.iter().take_while(|batch| batch.end_offset <= end_offset).count();
            state.batches = whole.batches.iter().take(kept).cloned().collect();
            state.images = whole.images.iter().take(kept).cloned().collect();
            let end = state.end();
            state.epochs = whole.epochs.iter().filter(|(_, start)| *start < end).copied().collect();
            let epoch = state.epochs.last().map_or(KRaftLeaderEpoch(0), |(epoch, _)| *epoch);
            copy.leader.send_replace(LeaderAndEpoch { leader: None, epoch, active: false });
        }
        copy.publish();
        copy
    }

    /// Nobody leads any more.
    pub fn resign(&self) {
        self.leader.send_modify(|leader| {
            leader.leader = None;
            leader.active = false;
        });
    }

    /// The answers of the next `count` appends get lost: the append happens, its receipt says unknown.
    pub fn lose_replies(&self, count: usize) {
        self.state().reply_lost = count;
    }

    fn publish(&self) {
        let end = self.state().end();
        self.end.send_replace(end);
    }

    fn try_append(&self, append: Append) -> Result<Position> {
        let leader = *self.leader.borrow();
        let refused = |kind, reason: String| Err(Error::not_applied(kind, reason));
        let foreign = append.epoch != leader.epoch && !self.is(LogMutant::StaleEpochAccepted);
        if foreign || !leader.active {
            return refused(
                ErrorKind::ControllerFenced,
                format!("decided under epoch {}, the log is in epoch {}", append.epoch, leader.epoch),
            );
        }
        if !self.is(LogMutant::RulesForgotten) {
            append.check()?;
        }
        for record in &append.records {
            record.encode(&mut Vec::new()).map_err(|error| {
                let message = format!("{} can't be encoded", record.record.name());
                Error::not_applied(ErrorKind::Invalid, message).with_source(error)
            })?;
        }
        let mut state = self.state();
        let end = state.end();
        let misplaced = append.expected.is_some_and(|expected| expected != end);
        if misplaced && !self.is(LogMutant::ExpectedOffsetIgnored) {
            return refused(
                ErrorKind::Conflict,
                format!("the log ends at {end}, expected {}", append.expected.unwrap_or(end)),
            );
        }
        let discarded = || Error::not_applied(ErrorKind::Conflict, "no such transaction is open; begin again");
        let whole = append.txn == Txn::None;
        let batches = match append.txn {
            Txn::None => vec![append.records],
            Txn::Begin | Txn::In if self.is(LogMutant::TransactionShownEarly) => vec![append.records],
            Txn::Begin if self.is(LogMutant::BeginGoesOn) => {
                state.staged.get_or_insert_default().push(append.records);
                return Ok(state.image().position());
            }
            Txn::Begin => {
                state.staged = Some(vec![append.records]);
                return Ok(state.image().position());
            }
            Txn::In => {
                state.staged.as_mut().ok_or_else(discarded)?.push(append.records);
                return Ok(state.image().position());
            }
            Txn::End { batches } => {
                let mut staged = state.staged.take().ok_or_else(discarded)?;
                staged.push(append.records);
                if u32::try_from(staged.len()) != Ok(batches) && !self.is(LogMutant::MiscountAccepted) {
                    return Err(discarded());
                }
                staged
            }
        };
        let mut loader = ImageLoader::new(state.image());
        let mut written = Vec::new();
        let mut base = end;
        for records in batches {
            let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
            let next = base.plus(count);
            if self.is(LogMutant::HalfATransactionWritten) {
                for (base, next, records, image) in written.drain(..) {
                    state.push(base, next, leader.epoch, Vec::into(records), image);
                }
            }
            loader.replay_batch(base, next, leader.epoch, TimestampMs(next.0), &records).map_err(|error| {
                // Only of a transaction is it too late to say which append was wrong.
                let kind = if whole { ErrorKind::Invalid } else { ErrorKind::Conflict };
                Error::not_applied(kind, "a record contradicts the log").with_source(error)
            })?;
            written.push((base, next, records, loader.image().clone()));
            base = next;
        }
        for (base, next, records, image) in written {
            state.push(base, next, leader.epoch, records.into(), image);
        }
        let position = state.image().position();
        drop(state);
        self.publish();
        Ok(position)
    }
}

impl State {
    fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, |batch| batch.end_offset)
    }

    fn image(&self) -> MetadataImage {
        self.images.last().cloned().unwrap_or_default()
    }

    fn push(
        &mut self,
        base_offset: Offset,
        end_offset: Offset,
        epoch: KRaftLeaderEpoch,
        records: Arc<[VersionedRecord]>,
        image: MetadataImage,
    ) {
        debug_assert!(!records.iter().any(|r| matches!(r.record, MetadataRecord::AbortTransaction(_))));
        self.batches.push(LogBatch { base_offset, end_offset, epoch, timestamp: TimestampMs(end_offset.0), records });
        self.images.push(image);
    }
}

fn stopped() -> Error {
    Error::not_applied(ErrorKind::Unavailable, "the log was dropped")
}

#[async_trait]
impl MetadataLog for MemLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        let mut watch = self.leader.subscribe();
        let leader = watch.wait_for(|leader| Some(*leader) != known).await.map_err(|_| stopped())?;
        Ok(*leader)
    }

    fn append(&self, append: Append) -> Receipt {
        let result = self.try_append(append);
        let lost = {
            let mut state = self.state();
            let lost = state.reply_lost > 0;
            state.reply_lost = state.reply_lost.saturating_sub(1);
            lost
        };
        Receipt::ready(if lost {
            Err(Error::unknown(ErrorKind::Unavailable, "the answer to the append was lost"))
        } else {
            result
        })
    }

    async fn end(&self) -> Result<Position> {
        Ok(self.state().image().position())
    }

    fn extent(&self) -> LogExtent {
        let state = self.state();
        let late = i64::from(self.is(LogMutant::EpochStartsLate));
        let epochs = state.epochs.iter().map(|(epoch, start)| (*epoch, start.plus(late))).collect();
        LogExtent { epochs, end_offset: state.end(), ..LogExtent::default() }
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        let mut watch = self.end.subscribe();
        if self.is(LogMutant::CommittedDoesNotWait) {
            return Ok(*watch.borrow());
        }
        let end = watch.wait_for(|end| *end > end_offset).await.map_err(|_| stopped())?;
        Ok(*end)
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        let state = self.state();
        let mut records = 0;
        let wanted = state.batches.iter().filter(|batch| batch.base_offset >= from).take_while(|batch| {
            let first = records == 0;
            records += batch.records.len().max(1);
            first || records <= records_max || self.is(LogMutant::ReadUnbounded)
        });
        Ok(wanted.cloned().collect())
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        if self.is(LogMutant::ImageTooNew) {
            return Ok(Some(self.image()));
        }
        let state = self.state();
        let image = state.images.iter().rev().find(|image| image.position().end_offset <= end_offset);
        Ok(Some(image.cloned().unwrap_or_default()))
    }

    fn image(&self) -> MetadataImage {
        self.state().image()
    }

    /// Nothing is ever purged.
    fn hold(&self, _end_offset: Offset) {
        if self.is(LogMutant::HeldIsRemoved) {
            let mut state = self.state();
            let (last, images) = (state.batches.pop(), state.images.split_off(0));
            state.batches = last.into_iter().collect();
            state.images = images.into_iter().next_back().into_iter().collect();
        }
    }
}
