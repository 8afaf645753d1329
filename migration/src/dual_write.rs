//! Dual writing: every change of the log goes to ZooKeeper, in the log's order, many in flight.
//!
//! The log is the truth and is ahead; ZooKeeper follows. How far it is behind is the position lag.

#![expect(clippy::disallowed_methods, reason = "dual writing is where time passes: an idle claim is confirmed")]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{KRaftLeaderEpoch, Offset, Position};
use metadata_core::image::{ImageLoader, MetadataImage};
use metadata_core::log::{Append, LogBatch, MetadataLog};
use metadata_core::projection::Projection;
use metadata_core::record::{VersionedRecord, ZkMigrationState};
use metadata_core::store::{MetadataBatch, Receipt, StoreWriter, Txn};
use tokio::sync::{mpsc, oneshot, watch};

use crate::finalization::{Blocker, DIFFERENCES_NAMED, Finalization, divergence};

/// Records that are merged into one batch for ZooKeeper when the log is ahead: larger batches make fuller multis, and
/// what is behind by this much is a moment's work.
pub const RECORDS_PER_BATCH: usize = 500;

/// While there is nothing to write, the claim is confirmed so often: whoever was deposed must not take himself for the
/// controller until the next change.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);

/// Where dual writing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DualWriteProgress {
    /// The last position that ZooKeeper acknowledged (exclusive end).
    pub acknowledged: Position,
    /// Whether ZooKeeper has confirmed anything since dual writing began: a batch, or that it has everything.
    pub confirmed: bool,
    /// Batches acknowledged since dual writing began.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
}

/// The newest image that ZooKeeper is known to hold. It outlasts claims, so that going on after a failure needs no replay.
#[derive(Clone, Default)]
pub(crate) struct Acknowledged(Arc<Mutex<Option<MetadataImage>>>);

impl Acknowledged {
    pub(crate) fn keep(&self, image: MetadataImage) {
        *self.lock() = Some(image);
    }

    /// Where that image is.
    pub(crate) fn position(&self) -> Option<Position> {
        self.lock().as_ref().map(MetadataImage::position)
    }

    /// That image, if it is the one at `position`.
    pub(crate) fn image_at(&self, position: Position) -> Option<MetadataImage> {
        self.lock().as_ref().filter(|image| image.position() == position).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Option<MetadataImage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request to stand still for a moment. The answer is the image that ZooKeeper then holds exactly; writing goes on once
/// the guard is dropped.
pub(crate) struct HoldRequest {
    pub(crate) answer: oneshot::Sender<Result<MetadataImage>>,
    pub(crate) released: oneshot::Receiver<()>,
}

/// What the dual writer can be asked.
pub(crate) enum Request {
    /// Stand still.
    Hold(HoldRequest),
    /// Finalize.
    Finalize(FinalizeRequest),
}

/// The guards that don't need the writer.
pub(crate) type Guard = Box<dyn Fn(&MetadataImage) -> Vec<Blocker> + Send + Sync>;

/// A request to end dual writing for good.
pub(crate) struct FinalizeRequest {
    /// The guards that don't need the writer, judged on the image that ZooKeeper holds.
    pub(crate) guard: Guard,
    /// Compares ZooKeeper with that image.
    pub(crate) projection: Arc<dyn Projection>,
    /// The epoch under which the last record is appended.
    pub(crate) epoch: KRaftLeaderEpoch,
    pub(crate) answer: oneshot::Sender<Result<Finalization>>,
}

/// Why dual writing ended.
pub(crate) enum Ended {
    /// Something stopped it.
    Failed(Error),
    /// It is not needed any more: the log says POST_MIGRATION.
    Finalized,
}

/// How often the end of dual writing is tried anew because the log grew in between.
const END_ATTEMPTS_MAX: u32 = 50;

/// Follows the log from the store's position on.
pub(crate) struct DualWriter {
    log: Arc<dyn MetadataLog>,
    /// The epoch of our leadership.
    epoch: KRaftLeaderEpoch,
    writer: Box<dyn StoreWriter>,
    loader: ImageLoader,
    /// The image at the end of the last batch submitted, and the records replayed since.
    before: MetadataImage,
    records: Vec<VersionedRecord>,
    /// End of the batch that a predecessor had begun (exclusive): the first batch must end there.
    batch_end: Option<Offset>,
    in_flight: VecDeque<InFlight>,
    progress: Arc<watch::Sender<DualWriteProgress>>,
    kept: Acknowledged,
    asked: Option<Asked>,
}

/// A request, and where the log ended when it came: what was in the log then is written before.
struct Asked {
    request: Request,
    log_end: Offset,
}

struct InFlight {
    receipt: Receipt,
    records: u64,
    after: MetadataImage,
}

impl DualWriter {
    /// Dual writing on from `image`, which is what the store holds, save the first ops of a batch up to `batch_end`.
    pub(crate) fn new(
        log: Arc<dyn MetadataLog>,
        epoch: KRaftLeaderEpoch,
        writer: Box<dyn StoreWriter>,
        image: MetadataImage,
        batch_end: Option<Offset>,
        progress: Arc<watch::Sender<DualWriteProgress>>,
        kept: Acknowledged,
    ) -> Self {
        progress.send_replace(DualWriteProgress { acknowledged: image.position(), ..DualWriteProgress::default() });
        kept.keep(image.clone());
        let loader = ImageLoader::new(image.clone());
        Self {
            log,
            epoch,
            writer,
            loader,
            before: image,
            records: Vec::new(),
            batch_end,
            in_flight: VecDeque::new(),
            progress,
            kept,
            asked: None,
        }
    }

    /// Writes until it is finalized, standing still when asked to. Else it ends only with what stopped it.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<Request>) -> Ended {
        loop {
            match self.turn(&mut requests).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ended::Finalized,
                Err(error) => return Ended::Failed(error),
            }
        }
    }

    /// One turn: serves a request, else submits what the log has, else waits for an answer, for the log to grow, or for a
    /// request. A request that can be served comes first: under steady load the log always has something.
    async fn turn(&mut self, requests: &mut mpsc::Receiver<Request>) -> Result<ControlFlow<()>> {
        if self.asked.is_none()
            && let Ok(request) = requests.try_recv()
        {
            self.asked = Some(self.ask(request));
        }
        if let Some(Asked { request, .. }) =
            self.asked.take_if(|asked| self.before.position().end_offset >= asked.log_end)
        {
            return match request {
                Request::Hold(hold) => self.stand_still(hold).await.map(ControlFlow::Continue),
                Request::Finalize(finalize) => self.finalize(finalize).await,
            };
        }
        if self.write_what_the_log_has().await? {
            self.take_answers_at_hand().await?;
            // Whoever polls this listens to others too, and must come to it however much the log has.
            tokio::task::yield_now().await;
            return Ok(ControlFlow::Continue(()));
        }
        let at = self.loader.replayed_end();
        if self.in_flight.is_empty() && !self.progress.borrow().confirmed {
            // Nothing to write, so nothing will be acknowledged: ask whether that is so.
            self.settle().await?;
        }
        // In a fixed order, so that a run can be replayed. Answers come first: they make room and move what is held.
        tokio::select! {
            biased;
            answer = next_answer(&mut self.in_flight) => self.acknowledge(answer)?,
            Some(request) = requests.recv(), if self.asked.is_none() => self.asked = Some(self.ask(request)),
            grown = self.log.committed(at) => drop(grown?),
            () = tokio::time::sleep(CONFIRM_EVERY), if self.in_flight.is_empty() => self.settle().await?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Submits the next records of the log. Whether there were any. Those of a newer epoch are the next leader's to write,
    /// even where its records reach us before the news that it leads: it claims on what it knows of its log, and a marker
    /// behind that would look like one of another log.
    async fn write_what_the_log_has(&mut self) -> Result<bool> {
        let mut batches = self.log.read(self.loader.replayed_end(), RECORDS_PER_BATCH).await?;
        let ours = batches.iter().position(|batch| batch.epoch > self.epoch).unwrap_or(batches.len());
        if let (0, Some(newer)) = (ours, batches.first()) {
            return Err(led_by_another(newer.epoch, self.epoch));
        }
        batches.truncate(ours);
        if batches.is_empty() {
            return Ok(false);
        }
        for batch in self.merge(batches)? {
            self.writer.ready().await?;
            self.submit(batch);
        }
        Ok(true)
    }

    /// Ends dual writing for good, if nothing forbids it: asks the guards, compares, and appends POST_MIGRATION at exactly
    /// the offset that ZooKeeper confirmed. Until then it writes on.
    async fn finalize(&mut self, request: FinalizeRequest) -> Result<ControlFlow<()>> {
        let FinalizeRequest { guard, projection, epoch, answer } = request;
        self.settle().await?;
        let mut blockers = guard(&self.before);
        if blockers.is_empty() {
            match projection.compare(&self.before, DIFFERENCES_NAMED).await {
                Ok(comparison) => blockers.extend(divergence(&comparison)),
                Err(error) => {
                    let _ = answer.send(Err(error));
                    return Ok(ControlFlow::Continue(()));
                }
            }
        }
        if blockers.is_empty() {
            match self.append_the_end(&guard, epoch).await {
                Ok(Finalization::Done(end)) => {
                    // Whoever asked may be gone; it is done all the same.
                    let _ = answer.send(Ok(Finalization::Done(end)));
                    return Ok(ControlFlow::Break(()));
                }
                Ok(Finalization::Refused(reasons)) => blockers = reasons,
                Err(error) => {
                    // It may have happened. The log tells: the next decision is made on it.
                    let told = Error::unknown(
                        error.kind(),
                        format!("whether the migration is finalized is not known yet: {error}; `status` will tell"),
                    );
                    let _ = answer.send(Err(told));
                    return Err(error);
                }
            }
        }
        let _ = answer.send(Ok(Finalization::Refused(blockers)));
        Ok(ControlFlow::Continue(()))
    }

    /// Appends POST_MIGRATION behind the last record that ZooKeeper has. The guards are asked again at each attempt, on
    /// exactly what it is appended to: brokers and controllers may have come while ZooKeeper was compared.
    async fn append_the_end(&mut self, guard: &Guard, epoch: KRaftLeaderEpoch) -> Result<Finalization> {
        let growing = Finalization::Refused(vec![Blocker::LogKeepsGrowing { attempts: END_ATTEMPTS_MAX }]);
        for _ in 0..END_ATTEMPTS_MAX {
            // Up to here, and no further: a log that never rests must not keep this from ending.
            let goal = self.log.image().position().end_offset;
            while self.loader.replayed_end() < goal && self.write_what_the_log_has().await? {}
            self.settle().await?;
            if self.loader.in_transaction() {
                return Ok(growing);
            }
            let blockers = guard(&self.before);
            if !blockers.is_empty() {
                return Ok(Finalization::Refused(blockers));
            }
            let expected = self.before.position().end_offset;
            let records = vec![VersionedRecord::new(ZkMigrationState::PostMigration.to_record(), 0)];
            match self.log.append(Append { epoch, expected: Some(expected), txn: Txn::None, records }).await {
                Ok(end) => return Ok(Finalization::Done(end)),
                Err(error) if error.kind() == ErrorKind::Conflict && error.outcome() == Outcome::NotApplied => {
                    self.log.committed(expected).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(growing)
    }

    fn ask(&self, request: Request) -> Asked {
        Asked { request, log_end: self.log.image().position().end_offset }
    }

    /// Settles everything, hands out the image, waits for the release.
    async fn stand_still(&mut self, request: HoldRequest) -> Result<()> {
        self.settle().await?;
        if request.answer.send(Ok(self.before.clone())).is_ok() {
            // An error means that the guard was dropped without a word: released all the same.
            let _ = request.released.await;
        }
        Ok(())
    }

    /// Waits for all answers, and makes sure that the claim holds and ZooKeeper is where it should be.
    async fn settle(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            let answer = next_answer(&mut self.in_flight).await;
            self.acknowledge(answer)?;
        }
        let position = self.writer.barrier().await?;
        if position != self.before.position() {
            return Err(Error::not_applied(
                ErrorKind::Conflict,
                format!("ZooKeeper is at {position}, expected {}", self.before.position()),
            ));
        }
        self.progress.send_if_modified(|progress| !std::mem::replace(&mut progress.confirmed, true));
        Ok(())
    }

    /// Log batches as batches for the store: merged, but never across the end of the one that a predecessor had begun,
    /// and never cut within a transaction. What is not cut yet waits for the next turn.
    fn merge(&mut self, batches: Vec<LogBatch>) -> Result<Vec<MetadataBatch>> {
        let mut merged = Vec::new();
        let count = batches.len();
        for (index, batch) in batches.into_iter().enumerate() {
            replay(&mut self.loader, &batch)?;
            self.records.extend(batch.records.iter().cloned());
            let cut_here = match self.batch_end {
                Some(end) => batch.end_offset >= end,
                None => index + 1 == count || self.records.len() >= RECORDS_PER_BATCH,
            };
            if cut_here && !self.loader.in_transaction() {
                self.batch_end = None;
                let after = self.loader.image().clone();
                let before = std::mem::replace(&mut self.before, after.clone());
                let records = std::mem::take(&mut self.records).into();
                merged.push(MetadataBatch { txn: Txn::None, records, before, after });
            }
        }
        Ok(merged)
    }

    fn submit(&mut self, batch: MetadataBatch) {
        let (records, after) = (batch.records.len() as u64, batch.after.clone());
        let receipt = self.writer.submit(batch);
        self.in_flight.push_back(InFlight { receipt, records, after });
    }

    async fn take_answers_at_hand(&mut self) -> Result<()> {
        loop {
            let at_hand = tokio::select! {
                biased;
                answer = next_answer(&mut self.in_flight) => Some(answer),
                () = std::future::ready(()) => None,
            };
            match at_hand {
                Some(answer) => self.acknowledge(answer)?,
                None => return Ok(()),
            }
        }
    }

    fn acknowledge(&mut self, answer: Answer) -> Result<()> {
        let position = answer.position?;
        self.progress.send_modify(|progress| {
            progress.acknowledged = position;
            progress.confirmed = true;
            progress.batches += 1;
            progress.records += answer.records;
        });
        if answer.after.position() == position {
            self.kept.keep(answer.after);
        }
        self.log.hold(position.end_offset);
        Ok(())
    }
}

/// The log has gone on without us.
pub(crate) fn led_by_another(newer: KRaftLeaderEpoch, ours: KRaftLeaderEpoch) -> Error {
    Error::not_applied(
        ErrorKind::ControllerFenced,
        format!(
            "the metadata log is in epoch {newer}, and we led in epoch {ours}: another leader writes to ZooKeeper now"
        ),
    )
}

struct Answer {
    position: Result<Position>,
    records: u64,
    after: MetadataImage,
}

/// The answer to the oldest batch in flight; never, while there is none.
async fn next_answer(in_flight: &mut VecDeque<InFlight>) -> Answer {
    let Some(oldest) = in_flight.front_mut() else { return std::future::pending().await };
    let position = (&mut oldest.receipt).await;
    let after = oldest.after.clone();
    let answer = Answer { position, records: oldest.records, after };
    in_flight.pop_front();
    answer
}

fn replay(loader: &mut ImageLoader, batch: &LogBatch) -> Result<()> {
    loader.replay_batch(batch.base_offset, batch.end_offset, batch.epoch, batch.timestamp, &batch.records).map_err(
        |error| {
            Error::not_applied(
                ErrorKind::Corrupt,
                format!("the batch at offset {} of the metadata log contradicts what is before it", batch.base_offset),
            )
            .with_source(error)
        },
    )
}

/// The image at exactly `position`, rebuilt from the nearest one below; `None` when the log has no such image any more.
pub(crate) async fn image_at(log: &dyn MetadataLog, position: Position) -> Result<Option<MetadataImage>> {
    let Some(below) = log.image_at_most(position.end_offset).await? else { return Ok(None) };
    let mut loader = ImageLoader::new(below);
    while loader.replayed_end() < position.end_offset {
        let batches = log.read(loader.replayed_end(), RECORDS_PER_BATCH).await?;
        // No batch, or one that reaches past the position: it is no boundary of this log.
        if batches.first().is_none_or(|batch| batch.end_offset > position.end_offset) {
            return Ok(None);
        }
        for batch in batches.iter().take_while(|batch| batch.end_offset <= position.end_offset) {
            replay(&mut loader, batch)?;
        }
    }
    Ok((!loader.in_transaction() && loader.image().position() == position).then(|| loader.image().clone()))
}
