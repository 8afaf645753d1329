//! The reference store: everything in memory, every promise kept, unless it is told to break one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::mutant::Mutant;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{KRaftLeaderEpoch, NodeId, Position, TimestampMs, ZkControllerEpoch, ZkVersion};
use crate::image::MetadataImage;
use crate::leadership::{AfterClaim, Expected, Fence, KraftLeadership, Leadership, ZkClaim};
use crate::metadata_version::MetadataVersion;
use crate::record::MetadataRecord;
use crate::store::{
    Capability, Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Survey, SyncReport, Txn,
};

/// Records handed to the sink at a time.
const LOAD_RECORDS_MAX: usize = 64;

#[derive(Debug, Default)]
struct State {
    image: MetadataImage,
    position: Position,
    synced: bool,
    claim: Option<KraftLeadership>,
    /// When the epoch of the claim began in the claimant's log.
    began: Option<TimestampMs>,
    claims: i32,
    failing: usize,
    answers_lost: usize,
    transaction: Option<Transaction>,
    /// For [`Mutant::UnknownLandsLater`]: the batch, and whether a barrier was seen since.
    late: Option<(MetadataImage, bool)>,
}

/// An open transaction. Nobody looks at what is in it: its last batch has the image with all of it.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    batches: u32,
    end: Position,
}

impl State {
    /// The late batch that no barrier stopped.
    fn land(&mut self) {
        if let Some((image, _)) = self.late.take_if(|(_, behind_barrier)| *behind_barrier) {
            self.position = image.position();
            self.image = image;
        }
    }
}

/// A projection kept in memory. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct MemStore {
    state: Arc<Mutex<State>>,
    mutant: Option<Mutant>,
}

impl MemStore {
    /// An empty store that keeps every promise.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that breaks one promise.
    pub fn broken(mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..Self::default() }
    }

    /// A store that was never written from a log and holds this: ZooKeeper before its migration.
    pub fn holding(image: &MetadataImage) -> Self {
        let store = Self::default();
        store.state().image = image.at(Position::START, image.timestamp());
        store
    }

    /// What it holds.
    pub fn image(&self) -> MetadataImage {
        self.state().image.clone()
    }

    /// The next `count` batches are refused as if the server could not be reached; whether they happened is unknown to
    /// the writer, and they did not.
    pub fn fail_batches(&self, count: usize) {
        self.state().failing = count;
    }

    /// The next `count` batches happen, and the writer gets no answer.
    pub fn lose_answers(&self, count: usize) {
        self.state().answers_lost = count;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn fenced(leadership: &KraftLeadership, holder: &KraftLeadership) -> Error {
        Error::not_applied(
            ErrorKind::ControllerFenced,
            format!(
                "node {} with epoch {} can't write: node {} claimed the store with epoch {}",
                leadership.id, leadership.epoch, holder.id, holder.epoch
            ),
        )
    }

    /// Whether this leader may claim the store as it is.
    fn may_claim(&self, state: &State, leadership: &KraftLeadership, expected: &Expected) -> Result<()> {
        if let Some(holder) = state.claim {
            let newer = holder.epoch > leadership.epoch;
            let rival = holder.epoch == leadership.epoch && holder.id != leadership.id;
            if (newer && !self.is(Mutant::OldEpochMayClaim)) || (rival && !self.is(Mutant::RivalMayClaim)) {
                return Err(Self::fenced(leadership, &holder));
            }
        }
        let ahead = match expected.extent() {
            None => state.position > Position::START,
            Some(extent) => {
                state.position.last().is_some_and(|last| extent.epoch_at(last) != Some(state.position.epoch))
            }
        };
        if ahead && !self.is(Mutant::AheadOfLogMayClaim) {
            return Err(Error::not_applied(
                ErrorKind::Corrupt,
                format!("the store is at {}, which is not in the log of node {}", state.position, leadership.id),
            ));
        }
        let ours = state.claim.and_then(|holder| expected.extent()?.began.get(&holder.epoch).copied());
        if state.began.zip(ours).is_some_and(|(theirs, ours)| theirs != ours) && !self.is(Mutant::AnotherCopyMayClaim) {
            return Err(Error::not_applied(ErrorKind::Corrupt, "another copy of this log has claimed the store"));
        }
        Ok(())
    }

    /// Writes a batch. `held` says whether the claim held when it was submitted, of which only a mutant makes use.
    fn apply(&self, claim: (KraftLeadership, i32), batch: &MetadataBatch, held: bool) -> Result<Position> {
        let mut state = self.state();
        if state.failing > 0 {
            state.failing -= 1;
            return Err(Error::unknown(ErrorKind::Unavailable, "the server can't be reached"));
        }
        let stale = state.claims != claim.1;
        if stale && !self.is(Mutant::FencingForgotten) && !(held && self.is(Mutant::LateWritesLand)) {
            let holder = state.claim.unwrap_or(claim.0);
            return Err(Self::fenced(&claim.0, &holder));
        }
        let here = state.transaction.map_or(state.position, |transaction| transaction.end);
        if here != batch.expected() && !self.is(Mutant::ExpectedPositionIgnored) {
            return Err(Error::not_applied(
                ErrorKind::Conflict,
                format!("the store is at {here}, the batch expects {}", batch.expected()),
            ));
        }
        let visible = self.advance_transaction(&mut state, batch)?;
        let lost = visible && state.answers_lost > 0;
        if lost {
            state.answers_lost -= 1;
        }
        if lost && self.is(Mutant::UnknownLandsLater) {
            state.late = Some((batch.after.clone(), false));
        } else if visible || self.is(Mutant::TransactionVisibleEarly) {
            state.image = match self.mutant {
                Some(mutant) => mutant.after_batch(&state.image, &batch.after),
                None => batch.after.clone(),
            };
            state.position = batch.end();
        }
        if lost {
            return Err(Error::unknown(ErrorKind::Unavailable, "the answer was lost"));
        }
        Ok(state.position)
    }

    /// Takes a batch into the open transaction, if it is of one. Returns whether all up to its end is visible now.
    fn advance_transaction(&self, state: &mut State, batch: &MetadataBatch) -> Result<bool> {
        let open = state.transaction.take();
        let batches = open.map_or(1, |transaction| transaction.batches + 1);
        match (batch.txn, open) {
            (Txn::None, None) => Ok(true),
            (Txn::Begin, None) | (Txn::In, Some(_)) => {
                state.transaction = Some(Transaction { batches, end: batch.end() });
                Ok(false)
            }
            (Txn::End { batches: said }, Some(_)) if said == batches || self.is(Mutant::IncompleteTransactionLands) => {
                Ok(true)
            }
            (Txn::End { batches: said }, Some(_)) => Err(Error::not_applied(
                ErrorKind::Conflict,
                format!("the transaction has {batches} batches, not {said}; it is discarded, begin again"),
            )),
            (txn, _) => Err(Error::not_applied(ErrorKind::Invalid, format!("{txn:?} is out of order"))),
        }
    }
}

fn next(state: &State, expected: &Expected) -> AfterClaim {
    match expected {
        Expected::Nothing => AfterClaim::Copy,
        Expected::Log(_) if state.synced => AfterClaim::Resume,
        Expected::Log(_) | Expected::LogOverruling(_) => AfterClaim::FullSync,
    }
}

#[async_trait]
impl MetadataStore for MemStore {
    fn capability(&self) -> Capability {
        Capability::new("memory").with_batches_in_flight_max(8)
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        let (image, position) = {
            let mut state = self.state();
            state.land();
            (state.image.clone(), state.position)
        };
        // What never came from a log has no feature levels and no migration state either.
        let from_log = image.features().metadata_version();
        let mut records: VecDeque<_> = image
            .to_records_at(from_log.unwrap_or(MetadataVersion::LATEST_PRODUCTION))
            .map_err(|error| Error::not_applied(ErrorKind::Invalid, error.to_string()))?
            .filter(|record| from_log.is_some() || !matches!(record.record, MetadataRecord::ZkMigrationState(_)))
            .collect();
        if self.is(Mutant::LoadStopsEarly) {
            records.pop_back();
        }
        while !records.is_empty() {
            let batch = records.drain(..records.len().min(LOAD_RECORDS_MAX)).collect();
            let accepted = sink.accept(batch).await;
            if !self.is(Mutant::SinkErrorSwallowed) {
                accepted?;
            }
        }
        Ok(position)
    }

    async fn position(&self) -> Result<Position> {
        let mut state = self.state();
        state.land();
        Ok(state.position)
    }

    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey> {
        let survey = {
            let state = self.state();
            if !self.is(Mutant::SurveyOverlooksTheHolder) {
                self.may_claim(&state, leadership, expected)?;
            }
            Survey { claimed_before: state.claim.is_some(), position: state.position, next: next(&state, expected) }
        };
        if self.is(Mutant::SurveyClaims) {
            self.claim(leadership, expected).await?;
        }
        Ok(survey)
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        let mut state = self.state();
        self.may_claim(&state, leadership, expected)?;
        let began = |epoch| expected.extent().and_then(|extent| extent.began.get(&epoch).copied());
        let of_earlier_claim =
            state.began.filter(|_| state.claim.is_some_and(|holder| holder.epoch == leadership.epoch));
        state.began = began(leadership.epoch).or(of_earlier_claim);
        if state.claim != Some(*leadership) || !self.is(Mutant::ReclaimFencesNobody) {
            state.claims += 1;
        }
        state.claim = Some(*leadership);
        state.transaction = None;
        let next = next(&state, expected);
        let fence = Fence::ZooKeeper(ZkClaim {
            epoch: ZkControllerEpoch(state.claims),
            epoch_zk_version: ZkVersion(state.claims),
        });
        Ok(Claimed {
            leadership: Leadership { kraft: *leadership, fence },
            position: state.position,
            batch_end: None,
            next,
        })
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        let Fence::ZooKeeper(ZkClaim { epoch, .. }) = claimed.leadership.fence else {
            return Err(Error::not_applied(ErrorKind::Invalid, "this claim is of a log, not of this store"));
        };
        let queue = Queue {
            store: self.clone(),
            claim: (claimed.leadership.kraft, epoch.0),
            batches: VecDeque::new(),
            failed: false,
        };
        Ok(Box::new(MemWriter { queue: Arc::new(Mutex::new(queue)) }))
    }
}

/// A batch in the queue.
struct Submitted {
    batch: MetadataBatch,
    /// Whether the claim held at the call.
    held: bool,
    answer: oneshot::Sender<Result<Position>>,
}

/// Batches that were submitted and not written yet. They are written when somebody waits for them, as late as a slow
/// server would: so the suite sees what is visible before an answer, and in which order.
struct Queue {
    store: MemStore,
    claim: (KraftLeadership, i32),
    batches: VecDeque<Submitted>,
    failed: bool,
}

impl Queue {
    fn write_next(&mut self) {
        let reversed = self.store.is(Mutant::OrderReversed);
        let next = if reversed { self.batches.pop_back() } else { self.batches.pop_front() };
        let Some(Submitted { batch, held, answer }) = next else { return };
        if answer.is_closed() && self.store.is(Mutant::DroppedReceiptCancels) {
            return;
        }
        let result = if self.failed && !self.store.is(Mutant::HoleAfterFailure) {
            Err(Error::not_applied(ErrorKind::Conflict, "an earlier batch failed, and this one goes with it"))
        } else {
            self.store.apply(self.claim, &batch, held)
        };
        if result.is_err() {
            self.failed = true;
            self.store.state().transaction = None;
        }
        let result = if self.store.is(Mutant::FailureAcknowledged) { Ok(batch.end()) } else { result };
        // Whoever dropped the receipt does not want the answer.
        let _ = answer.send(result);
    }

    fn write_all(&mut self) {
        while !self.batches.is_empty() {
            self.write_next();
        }
    }
}

struct MemWriter {
    queue: Arc<Mutex<Queue>>,
}

impl MemWriter {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StoreWriter for MemWriter {
    async fn ready(&mut self) -> Result<()> {
        let mut queue = self.queue();
        while queue.batches.len() >= queue.store.capability().batches_in_flight_max {
            queue.write_next();
        }
        Ok(())
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        let (sender, receiver) = oneshot::channel();
        let out_of_order = {
            let mut queue = self.queue();
            let held = queue.store.state().claims == queue.claim.1;
            queue.batches.push_back(Submitted { batch, held, answer: sender });
            queue.store.is(Mutant::ReceiptsOutOfOrder)
        };
        let queue = Arc::clone(&self.queue);
        Receipt::new(async move {
            queue.lock().unwrap_or_else(PoisonError::into_inner).write_all();
            let answer = receiver.await.unwrap_or_else(|_| {
                Err(Error::unknown(ErrorKind::Unavailable, "the writer was dropped before the answer came"))
            });
            if out_of_order {
                // The answer is there, and shows at the second look only.
                tokio::task::yield_now().await;
            }
            answer
        })
    }

    async fn barrier(&mut self) -> Result<Position> {
        let mut queue = self.queue();
        if !queue.store.is(Mutant::BarrierDoesNotWait) {
            queue.write_all();
        }
        queue.failed = false;
        let mut state = queue.store.state();
        if let Some((_, behind_barrier)) = &mut state.late {
            *behind_barrier = true;
        }
        if state.claims != queue.claim.1 && !queue.store.is(Mutant::FencingForgotten) {
            let holder = state.claim.unwrap_or(queue.claim.0);
            return Err(MemStore::fenced(&queue.claim.0, &holder));
        }
        Ok(state.position)
    }

    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        let position = self.barrier().await?;
        let queue = self.queue();
        let mut state = queue.store.state();
        let equal = state.image.same_metadata(image) && position == image.position();
        let writes = !equal || queue.store.is(Mutant::SyncAlwaysWrites);
        state.image = match queue.store.mutant {
            Some(mutant) => mutant.after_sync(&state.image, image),
            None => image.clone(),
        };
        state.position = image.position();
        state.synced = true;
        Ok(SyncReport { compared: 1, written: u64::from(writes), ..SyncReport::default() })
    }
}

/// A leadership for tests.
pub fn leadership(id: i32, epoch: i32) -> KraftLeadership {
    KraftLeadership { id: NodeId(id), epoch: KRaftLeaderEpoch(epoch) }
}
