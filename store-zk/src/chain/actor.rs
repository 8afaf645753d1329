//! The one task that issues requests, in the order of submission, on one session.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fencing::SyncState;
use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{Position, TimestampMs, ZkVersion};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{AfterClaim, Expected, LogExtent, ZkClaim};
use metadata_core::store::{MetadataBatch, SyncReport, Unrepresentable};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::batch::{Cut, MULTI_SIZE_MAX, Planned, Queued};
use super::brokers_present::BrokersPresent;
use super::claim::{Claimant, HeldClaim};
use super::left_out::Mended;
use super::notifications::SWEEP_EVERY;
use super::window::{Confirmed, Failure, Window};
use super::writer::Command;
use crate::client::{ZkConnector, ZkSession};
use crate::project::{Entity, ProjectionContext, project};
use crate::read::ReadCounters;
use crate::znode::marker::{ChainState, Marker};
use crate::znode::password::PasswordSecret;

/// What the chain must be told.
#[derive(Clone)]
pub(crate) struct ActorOptions {
    pub(crate) secret: Option<PasswordSecret>,
    pub(crate) secure: bool,
    pub(crate) request_size_max: usize,
    pub(crate) deletions_share_max: f64,
    pub(crate) counters: Arc<ReadCounters>,
    /// Counts writes of others that stood in our way.
    pub(crate) foreign_writes: Arc<AtomicU64>,
    /// Tells what is too large to be sent.
    pub(crate) left_out: Arc<Mutex<Vec<Unrepresentable>>>,
    /// What time it is.
    pub(crate) now: fn() -> TimestampMs,
}

/// What a multi in flight does.
#[derive(Debug)]
pub(super) struct Tag {
    /// The plan's index of each op of ours in it.
    pub(super) indices: Vec<u32>,
    /// Whether the batch ends with it.
    pub(super) last: bool,
}

/// The next op to issue: which queued batch, and which of its ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) batch: usize,
    pub(super) op: u32,
}

/// The chain on one claim.
pub(super) struct Actor {
    pub(super) connector: Arc<dyn ZkConnector>,
    pub(super) claimant: Claimant,
    pub(super) options: ActorOptions,
    pub(super) zk: ZkClaim,
    pub(super) next: AfterClaim,
    /// What our log is known to hold, for claiming again.
    pub(super) expected: Expected,
    pub(super) window: Window<Tag>,
    pub(super) queue: VecDeque<Queued>,
    pub(super) cursor: Cursor,
    pub(super) brokers: BrokersPresent,
    /// Entities with something too large to be sent, which ZooKeeper holds in some older state or not at all. While
    /// there are any the marker says that a sync is running: a successor would not know them.
    pub(super) left_out: HashSet<Entity>,
    /// Connections lost since a multi was last known to be applied.
    pub(super) losses: u32,
    /// Set by a batch that was refused for its position, until the next barrier.
    pub(super) refusing: bool,
    /// Set for good by what stopped the chain.
    pub(super) stopped: Option<Stop>,
}

/// Why the chain stopped: copied into every answer from then on.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl Stop {
    pub(super) fn of(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }

    fn error(&self, outcome: Outcome) -> Error {
        match outcome {
            Outcome::NotApplied => Error::not_applied(self.kind, self.message.clone()),
            Outcome::Unknown => Error::unknown(self.kind, self.message.clone()),
        }
    }
}

/// Starts the chain on a claim.
pub(crate) fn start(
    connector: Arc<dyn ZkConnector>,
    session: Arc<dyn ZkSession>,
    claimant: Claimant,
    expected: Expected,
    held: HeldClaim,
    options: ActorOptions,
) -> mpsc::UnboundedSender<Command> {
    let (commands, received) = mpsc::unbounded_channel();
    let confirmed = Confirmed { marker: held.marker, version: held.marker_version };
    let actor = Actor {
        connector,
        claimant,
        options,
        zk: held.zk,
        next: held.next,
        expected,
        brokers: BrokersPresent::watch(Arc::clone(&session)),
        window: Window::new(session, held.zk.epoch_zk_version, confirmed),
        queue: VecDeque::new(),
        cursor: Cursor { batch: 0, op: 0 },
        left_out: HashSet::new(),
        losses: 0,
        refusing: false,
        stopped: None,
    };
    tokio::spawn(actor.run(received));
    commands
}

impl Actor {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        self.rewind();
        let mut sweep = tokio::time::interval_at(tokio::time::Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.issue().await;
            tokio::select! {
                biased;
                answer = self.window.next() => self.answered(answer).await,
                _ = sweep.tick() => self.sweep_notifications().await,
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => break,
                },
            }
        }
        // Nobody can ask any more, but what was submitted is still to be written.
        self.settle_all().await;
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Submit { batch, permit, answer } => self.submit(*batch, permit, answer),
            Command::Barrier { answer } => {
                let result = self.barrier().await;
                let _ = answer.send(result);
            }
            Command::FullSync { image, answer } => {
                self.settle_all().await;
                let result = self.full_sync(&image).await;
                let _ = answer.send(result);
            }
        }
    }

    async fn answered(&mut self, answer: std::result::Result<(Tag, Vec<crate::client::OpResult>), Failure>) {
        match answer {
            Ok((tag, _)) => {
                self.losses = 0;
                self.applied(&tag);
            }
            Err(failure) => self.settle(failure).await,
        }
    }

    /// Notes that the oldest multi is in ZooKeeper.
    pub(super) fn applied(&mut self, tag: &Tag) {
        if !tag.last {
            if let Some(begun) = self.queue.front_mut() {
                begun.partial = true;
            }
            return;
        }
        if let Some(mut done) = self.queue.pop_front() {
            done.answer(Ok(done.batch.end()));
            self.cursor.batch = self.cursor.batch.saturating_sub(1);
        }
    }

    fn submit(
        &mut self,
        batch: MetadataBatch,
        permit: Option<OwnedSemaphorePermit>,
        answer: oneshot::Sender<Result<Position>>,
    ) {
        let at = self.queue.back().map_or(self.window.confirmed().marker.position, |last| last.batch.end());
        let mut queued = Queued::new(batch, answer, permit);
        if let Some(stop) = &self.stopped {
            queued.fail(stop.error(Outcome::NotApplied));
        } else if self.next != AfterClaim::Resume {
            queued.fail(Error::not_applied(
                ErrorKind::Conflict,
                "ZooKeeper was not brought in step yet; run a full sync before the first batch",
            ));
        } else if self.refusing {
            queued.fail(Error::not_applied(
                ErrorKind::Conflict,
                "an earlier batch was refused, and this one goes with it",
            ));
        } else if queued.batch.expected() != at || !self.ends_as_begun(&queued.batch) {
            self.refusing = true;
            queued.fail(Error::not_applied(
                ErrorKind::Conflict,
                format!(
                    "ZooKeeper is at {at}, the batch goes from {} to {}",
                    queued.batch.expected(),
                    queued.batch.end()
                ),
            ));
        } else {
            self.learn(&queued.batch.after, queued.batch.expected());
            queued.partial = self.queue.is_empty() && self.begun().is_some();
            self.queue.push_back(queued);
        }
    }

    /// The batch that a predecessor left half written must be finished as it was begun.
    fn ends_as_begun(&self, batch: &MetadataBatch) -> bool {
        let begun = self.begun().and_then(|chain| chain.batch_end).filter(|_| self.queue.is_empty());
        begun.is_none_or(|end| end == batch.end().end_offset)
    }

    /// The chain's state while a batch is half written.
    pub(super) fn begun(&self) -> Option<&ChainState> {
        self.chain().filter(|chain| chain.batch_end.is_some())
    }

    pub(super) fn chain(&self) -> Option<&ChainState> {
        self.window.confirmed().marker.chain.as_ref()
    }

    /// Remembers that our log reaches to `after`, so that the chain can be claimed again by what it has written itself.
    pub(super) fn learn(&mut self, after: &MetadataImage, from: Position) {
        let end = after.position();
        let mut extent = match &self.expected {
            Expected::Log(extent) | Expected::LogOverruling(extent) => extent.clone(),
            Expected::Nothing => LogExtent::default(),
        };
        if extent.epochs.last().is_none_or(|(epoch, _)| *epoch < end.epoch) {
            extent.epochs.push((end.epoch, from.end_offset));
        }
        extent.end_offset = extent.end_offset.max(end.end_offset);
        self.expected = Expected::Log(extent);
    }

    /// Issues as much as the window takes.
    pub(super) async fn issue(&mut self) {
        while self.stopped.is_none() && self.window.has_room() && self.cursor.batch < self.queue.len() {
            self.plan_at_cursor();
            match self.mend_at_cursor().await {
                Mended::Yes => {}
                Mended::AfterTheWindow => return,
                Mended::Failed => continue,
            }
            let Some(queued) = self.queue.get(self.cursor.batch) else { return };
            let Some(planned) = &queued.plan else { return };
            let (expected, end) = (queued.batch.expected(), queued.batch.end());
            let room = self.room();
            let chroot = self.window.session().chroot().len();
            let Cut { ops, indices, next_op, last } = planned.cut(self.cursor.op, room, chroot, &self.left_out);
            let marker = if last {
                self.marker(self.sync_state(), end, None, 0, false)
            } else {
                let sync = if planned.mended { SyncState::Running } else { self.sync_state() };
                self.marker(sync, expected, Some(end), next_op, planned.notify)
            };
            self.window.issue(marker, ops, Tag { indices, last });
            self.cursor = if last {
                Cursor { batch: self.cursor.batch + 1, op: 0 }
            } else {
                Cursor { op: next_op, ..self.cursor }
            };
        }
    }

    /// Makes the plan of the batch at the cursor, unless it is made. Whether there are notifications is decided now, or
    /// was by whoever began the batch.
    fn plan_at_cursor(&mut self) {
        let begun = self.begun().filter(|_| self.cursor.batch == 0);
        let notify = begun.map_or_else(|| self.brokers.get(), |chain| chain.notify);
        let context = self.context(notify);
        let Some(queued) = self.queue.get_mut(self.cursor.batch).filter(|queued| queued.plan.is_none()) else { return };
        let plan = project(&queued.batch.before, &queued.batch.after, &context);
        for warning in &plan.warnings {
            tracing::warn!(warning, "dual write");
        }
        report(&plan.unrepresentable);
        let withheld = plan.withheld_ops();
        queued.plan = Some(Planned::new(plan.ops, notify, withheld));
        self.note_what_fits_again();
        self.leave_out_oversize();
    }

    /// Bytes of a multi of ours beside its ops.
    pub(super) fn frame(&self) -> usize {
        let marker = self.marker(SyncState::Running, Position::START, Some(Position::START), u32::MAX, true);
        // The widest numbers that the marker may hold later are some digits longer than these.
        self.window.frame_size(&marker) + 64
    }

    /// Bytes of ops that fit into one multi.
    pub(super) fn room(&self) -> usize {
        MULTI_SIZE_MAX.min(self.options.request_size_max).saturating_sub(self.frame())
    }

    pub(super) fn context(&self, notify: bool) -> ProjectionContext {
        ProjectionContext {
            zk_epoch: self.zk.epoch,
            secret: self.options.secret.clone(),
            secure: self.options.secure,
            notify,
        }
    }

    /// What the marker says of ZooKeeper's content outside a sync.
    pub(super) fn sync_state(&self) -> SyncState {
        if self.left_out.is_empty() { SyncState::Done } else { SyncState::Running }
    }

    /// A marker of ours.
    pub(super) fn marker(
        &self,
        sync: SyncState,
        position: Position,
        batch_end: Option<Position>,
        next_op: u32,
        notify: bool,
    ) -> Marker {
        Marker {
            controller: Some(self.claimant.leadership.id),
            controller_epoch: Some(self.claimant.leadership.epoch),
            position,
            chain: Some(ChainState {
                quorum: self.claimant.quorum.clone(),
                epoch_zk_version: self.zk.epoch_zk_version,
                epoch_began: self.chain().and_then(|chain| chain.epoch_began),
                sync,
                batch_end: batch_end.map(|end| end.end_offset),
                next_op,
                notify,
                projection: crate::project::PROJECTION_VERSION,
            }),
        }
    }

    /// Puts the cursor behind what is confirmed.
    pub(super) fn rewind(&mut self) {
        let next_op = self.begun().map_or(0, |chain| chain.next_op);
        self.cursor = Cursor { batch: 0, op: next_op };
    }

    /// Waits until everything submitted is in ZooKeeper or the chain has stopped.
    pub(super) async fn settle_all(&mut self) {
        while self.stopped.is_none() && !(self.queue.is_empty() && self.window.is_empty()) {
            self.issue().await;
            if self.window.is_empty() {
                // Issuing met a failure and settled it.
                continue;
            }
            let answer = self.window.next().await;
            self.answered(answer).await;
        }
    }

    async fn barrier(&mut self) -> Result<Position> {
        loop {
            self.settle_all().await;
            if let Some(stop) = &self.stopped {
                return Err(stop.error(Outcome::Unknown));
            }
            match self.window.confirm().await {
                Ok(()) => {
                    (self.refusing, self.losses) = (false, 0);
                    return Ok(self.window.confirmed().marker.position);
                }
                Err(failure) => self.settle(failure).await,
            }
        }
    }

    /// Stops the chain for good and tells everyone who waits what is known of their batch.
    pub(super) fn stop(&mut self, error: &Error) {
        let stop = Stop::of(error);
        tracing::warn!(reason = stop.message, "the write chain stops");
        for mut queued in self.queue.drain(..) {
            let outcome = queued.outcome();
            queued.fail(stop.error(outcome));
        }
        self.stopped = Some(stop);
    }

    /// Nobody knows what became of the multis that were sent, until ZooKeeper was asked.
    pub(super) fn doubt(&mut self) {
        let issued = self.cursor.batch + usize::from(self.cursor.op > 0);
        for queued in self.queue.iter_mut().take(issued) {
            queued.in_doubt = true;
        }
    }

    /// Whatever was sent is settled: the confirmed marker says what of it is there.
    pub(super) fn settled(&mut self) {
        for queued in &mut self.queue {
            queued.in_doubt = false;
        }
        let begun = self.begun().is_some();
        if let Some(front) = self.queue.front_mut().filter(|_| begun) {
            front.partial = true;
        }
        self.rewind();
    }

    pub(super) fn saw_foreign_write(&self) {
        self.options.foreign_writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stop_error(&self) -> Error {
        let gone = Stop { kind: ErrorKind::Unavailable, message: "the write chain has stopped".to_owned() };
        self.stopped.as_ref().unwrap_or(&gone).error(Outcome::Unknown)
    }

    /// Takes over a new claim of ours.
    pub(super) fn adopt(&mut self, session: Arc<dyn ZkSession>, held: HeldClaim) {
        self.zk = held.zk;
        self.brokers = BrokersPresent::watch(Arc::clone(&session));
        let confirmed = Confirmed { marker: held.marker, version: held.marker_version };
        self.window.restart(session, held.zk.epoch_zk_version, confirmed);
    }

    pub(super) fn confirmed_version(&self) -> ZkVersion {
        self.window.confirmed().version
    }

    pub(super) fn finished_sync(&mut self, report: SyncReport) -> SyncReport {
        self.next = AfterClaim::Resume;
        self.refusing = false;
        // What a predecessor had begun is over: the next batch starts at its first op.
        self.rewind();
        report
    }
}

pub(super) fn report(unrepresentable: &[Unrepresentable]) {
    for lost in unrepresentable {
        tracing::warn!(entity = lost.entity, reason = lost.reason, "ZooKeeper can't hold it");
    }
}
