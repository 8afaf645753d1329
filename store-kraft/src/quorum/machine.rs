//! The thread that owns the applied state, and what openraft and the log ask of it.
//!
//! Applying writes files and replays records, so it has a thread of its own: a busy or slow disk never holds up Raft's
//! heartbeats.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;

use metadata_core::error::ErrorKind;
use metadata_core::id::{NodeId, Offset};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;
use openraft::{AnyError, StorageIOError};
use tokio::sync::{oneshot, watch};

use super::apply::{ApplyError, SnapshotBase, StateMachine};
use super::proposal::Applied;
use super::recent::RecentImages;
use super::types::{Entry, LogId, Payload, StorageError, StoredMembership, node_id};
use super::view::View;
use crate::disk::{Disk, DiskError, DiskResult, During};
use crate::health::{Health, Stopped};
use crate::log::damage::LogError;
use crate::log::layout::Layout;
use crate::log::lock::DirectoryLock;
use crate::log::quorum_state::QuorumState;
use crate::log::snapshot::list_snapshots;
use crate::raftlog::EntryError;
use crate::sidecar::StoredSnapshot;

/// Sizes at which the thread does more than apply. All of them in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// After so much of Raft's log the sidecar is written: as much is applied again after a crash, at most.
    pub(crate) sidecar_every: u64,
    /// After so much of Raft's log a snapshot is due.
    pub(crate) snapshot_every: u64,
    /// Above it old snapshots go, and segments below the oldest one.
    pub(crate) retention: u64,
    /// Above it a hold is given up.
    pub(crate) hold: u64,
}

/// What is asked of the thread.
enum Job {
    Apply(Vec<Entry>, oneshot::Sender<Result<Vec<Applied>, Failed>>),
    State(oneshot::Sender<(Option<LogId>, StoredMembership)>),
    SnapshotBase(oneshot::Sender<SnapshotBase>),
    SnapshotWritten(StoredSnapshot, oneshot::Sender<Result<(), Failed>>),
    SnapshotFailed(String, oneshot::Sender<()>),
    CurrentSnapshot(oneshot::Sender<Option<StoredSnapshot>>),
    Install(StoredSnapshot, Box<MetadataImage>, oneshot::Sender<Result<(), Failed>>),
    Hold(Offset),
    Close(oneshot::Sender<Result<(), Failed>>),
}

/// The thread failed, or was closed. [`Health`] may tell another reason, which came first.
#[derive(Debug, Clone)]
pub(crate) struct Failed(pub(crate) Stopped);

impl From<Failed> for StorageError {
    fn from(failed: Failed) -> Self {
        StorageIOError::write_state_machine(AnyError::new(&failed.0)).into()
    }
}

/// Asks the thread. Clones ask the same one.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    jobs: mpsc::Sender<Job>,
    health: Health,
    /// Why the thread ended, if it failed: a last snapshot may do so after the log was told to stop.
    failure: Arc<OnceLock<Stopped>>,
    pub(crate) disk: Disk,
    pub(crate) layout: Layout,
    /// Held while a snapshot is written, which happens outside the thread.
    pub(crate) building: Arc<tokio::sync::Mutex<()>>,
}

/// What the thread works with.
pub(crate) struct MachineParts {
    pub(crate) state: StateMachine,
    pub(crate) disk: Disk,
    pub(crate) layout: Layout,
    pub(crate) limits: Limits,
    pub(crate) view: watch::Sender<View>,
    pub(crate) recent: Arc<RecentImages>,
    pub(crate) health: Health,
    /// Is told up to which entry (inclusive) the applied state is durable.
    pub(crate) durable: watch::Sender<Option<u64>>,
    /// Kept by the thread, so that nobody else opens the directory while it still writes.
    pub(crate) lock: Arc<DirectoryLock>,
}

impl Machine {
    /// Starts the thread.
    pub(crate) fn start(parts: MachineParts) -> Result<(Self, JoinHandle<()>), DiskError> {
        let (jobs, receiver) = mpsc::channel();
        let since_snapshot = parts.state.bytes_since_snapshot();
        let kept_from = kept_from(&parts.layout, parts.state.log.start())?;
        let machine = Self {
            jobs,
            health: parts.health.clone(),
            failure: Arc::default(),
            disk: parts.disk.clone(),
            layout: parts.layout.clone(),
            building: Arc::default(),
        };
        let worker = Worker {
            state: parts.state,
            disk: parts.disk,
            layout: parts.layout,
            limits: parts.limits,
            view: parts.view,
            recent: parts.recent,
            health: parts.health,
            durable: parts.durable,
            failure: Arc::clone(&machine.failure),
            kept_from,
            since_sidecar: 0,
            since_snapshot,
            snapshots_finished: 0,
            snapshots_failed: (0, String::new()),
            _lock: parts.lock,
        };
        worker.publish();
        let root = worker.layout.root().to_owned();
        let thread = std::thread::Builder::new().name("kraft-apply".to_owned());
        let thread = thread.spawn(move || worker.run(receiver));
        Ok((machine, thread.during("start the thread for", &root)?))
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Failed> {
        let (answer, answered) = oneshot::channel();
        // Either fails only when the thread has ended: after a failure, or after `close`.
        self.jobs.send(job(answer)).map_err(|_| self.failed())?;
        answered.await.map_err(|_| self.failed())
    }

    fn failed(&self) -> Failed {
        let closed = || Stopped { kind: ErrorKind::Unavailable, reason: "it was closed".to_owned() };
        Failed(self.failure.get().cloned().or_else(|| self.health.stopped()).unwrap_or_else(closed))
    }

    pub(crate) async fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Applied>, Failed> {
        self.ask(|answer| Job::Apply(entries, answer)).await?
    }

    /// The last applied entry and the membership.
    pub(crate) async fn state(&self) -> Result<(Option<LogId>, StoredMembership), Failed> {
        self.ask(Job::State).await
    }

    /// The state that a snapshot shows now.
    pub(crate) async fn snapshot_base(&self) -> Result<SnapshotBase, Failed> {
        self.ask(Job::SnapshotBase).await
    }

    /// Notes a snapshot whose file is durable. Once this returns Raft's log may be purged up to it.
    pub(crate) async fn snapshot_written(&self, snapshot: StoredSnapshot) -> Result<(), Failed> {
        self.ask(|answer| Job::SnapshotWritten(snapshot, answer)).await?
    }

    /// Notes that a snapshot could not be written. The log goes on without it.
    pub(crate) async fn snapshot_failed(&self, reason: String) -> Result<(), Failed> {
        self.ask(|answer| Job::SnapshotFailed(reason, answer)).await
    }

    /// The newest snapshot.
    pub(crate) async fn current_snapshot(&self) -> Result<Option<StoredSnapshot>, Failed> {
        self.ask(Job::CurrentSnapshot).await
    }

    /// Replaces everything by a snapshot that was received, and whose file is durable.
    pub(crate) async fn install(&self, snapshot: StoredSnapshot, image: MetadataImage) -> Result<(), Failed> {
        self.ask(|answer| Job::Install(snapshot, Box::new(image), answer)).await?
    }

    /// Keeps the log from `offset` on (inclusive), and a snapshot at or below it.
    pub(crate) fn hold(&self, offset: Offset) {
        // A thread that has ended removes nothing.
        let _ = self.jobs.send(Job::Hold(offset));
    }

    /// Makes the Kafka log whole and ends the thread.
    pub(crate) async fn close(&self) -> Result<(), Failed> {
        self.ask(Job::Close).await?
    }
}

struct Worker {
    state: StateMachine,
    disk: Disk,
    layout: Layout,
    limits: Limits,
    view: watch::Sender<View>,
    recent: Arc<RecentImages>,
    health: Health,
    durable: watch::Sender<Option<u64>>,
    failure: Arc<OnceLock<Stopped>>,
    /// From here on (inclusive) there are all batches and an image to replay them on.
    kept_from: Offset,
    /// Bytes of Raft's log that were applied since the sidecar was written.
    since_sidecar: u64,
    /// Bytes of Raft's log that were applied since the newest snapshot: it takes them back, also those that never made it
    /// into the Kafka log.
    since_snapshot: u64,
    snapshots_finished: u64,
    snapshots_failed: (u64, String),
    _lock: Arc<DirectoryLock>,
}

impl Worker {
    fn run(mut self, jobs: mpsc::Receiver<Job>) {
        for job in jobs {
            // Whoever asked may have been stopped meanwhile, so nobody may wait for an answer.
            match job {
                Job::Apply(entries, answer) => {
                    let applied = self.apply(entries);
                    let _ = answer.send(self.report(applied));
                }
                Job::State(answer) => {
                    let _ = answer.send((self.state.applied(), self.state.membership().clone()));
                }
                Job::SnapshotBase(answer) => {
                    let _ = answer.send(self.state.snapshot_base());
                }
                Job::SnapshotWritten(snapshot, answer) => {
                    let noted = self.snapshot_written(snapshot);
                    let _ = answer.send(self.report(noted));
                }
                Job::SnapshotFailed(reason, answer) => {
                    tracing::error!(%reason, "a snapshot could not be written; the log goes on without it");
                    // The next try comes when as much was written again.
                    self.since_snapshot = 0;
                    self.snapshots_failed = (self.snapshots_failed.0 + 1, reason);
                    self.publish();
                    let _ = answer.send(());
                }
                Job::CurrentSnapshot(answer) => {
                    let _ = answer.send(self.state.snapshot.clone());
                }
                Job::Install(snapshot, image, answer) => {
                    let installed = self.install(snapshot, *image);
                    let _ = answer.send(self.report(installed));
                }
                Job::Hold(offset) => {
                    let held = self.hold(offset);
                    // Whoever asks next is told.
                    let _ = self.report(held);
                }
                Job::Close(answer) => {
                    let closed = self.save();
                    let _ = answer.send(self.report(closed));
                    return;
                }
            }
            // After a failure nothing more is written: what the files hold is no longer known for sure.
            if self.failure.get().is_some() {
                return;
            }
        }
    }

    fn report<T>(&mut self, result: Result<T, ApplyError>) -> Result<T, Failed> {
        result.map_err(|error| {
            let kind = match &error {
                ApplyError::Log(LogError::Damage(_))
                | ApplyError::Entry(EntryError::Damage(_) | EntryError::Missing(_)) => ErrorKind::Corrupt,
                _ => ErrorKind::Unavailable,
            };
            let reason = error.to_string();
            tracing::error!(%reason, "the metadata log stops");
            self.health.stop(kind, reason.clone());
            let failure = Stopped { kind, reason };
            Failed(self.failure.get_or_init(|| failure).clone())
        })
    }

    fn apply(&mut self, entries: Vec<Entry>) -> Result<Vec<Applied>, ApplyError> {
        let mut answers = Vec::with_capacity(entries.len());
        let mut members_changed = false;
        for entry in entries {
            let bytes = entry_bytes(&entry);
            self.since_sidecar += bytes;
            self.since_snapshot += bytes;
            members_changed |= matches!(entry.payload, Payload::Membership(_));
            let answer = self.state.apply(entry)?;
            if let Applied::Started(_) = answer {
                self.note_leader()?;
            }
            answers.push(answer);
        }
        // The members are rare, and others look for them in the file.
        if members_changed || self.since_sidecar >= self.limits.sidecar_every {
            self.save()?;
        }
        self.publish();
        Ok(answers)
    }

    /// Tells Kafka's files about a new leader.
    fn note_leader(&self) -> Result<(), ApplyError> {
        let Some(started) = self.state.started() else { return Ok(()) };
        let voters: Vec<NodeId> = self.state.membership().membership().voter_ids().map(node_id).collect();
        let state = QuorumState::new(Some(started.leader), started.epoch, &voters);
        state.write(&self.disk, &self.layout.quorum_state())?;
        Ok(self.state.log.epochs().write(&self.disk, &self.layout.leader_epoch_checkpoint())?)
    }

    /// Syncs the Kafka log, then writes the sidecar.
    fn save(&mut self) -> Result<(), ApplyError> {
        self.state.log.sync()?;
        self.state.sidecar().write(&self.disk, &self.layout.raft())?;
        self.durable.send_replace(self.state.applied().map(|applied| applied.index));
        self.state.log.epochs().write(&self.disk, &self.layout.leader_epoch_checkpoint())?;
        self.since_sidecar = 0;
        Ok(())
    }

    fn snapshot_written(&mut self, snapshot: StoredSnapshot) -> Result<(), ApplyError> {
        let newer = self.state.snapshot.as_ref().is_none_or(|present| present.base.applied <= snapshot.base.applied);
        if newer {
            self.state.snapshot = Some(snapshot);
        }
        self.save()?;
        self.since_snapshot = 0;
        self.snapshots_finished += 1;
        self.retain()?;
        self.publish();
        Ok(())
    }

    fn install(&mut self, snapshot: StoredSnapshot, image: MetadataImage) -> Result<(), ApplyError> {
        self.recent.clear();
        self.state.install(snapshot, image);
        self.save()?;
        self.state.log.remove_replaced()?;
        self.since_snapshot = 0;
        self.kept_from = kept_from(&self.layout, self.state.log.start())?;
        self.publish();
        Ok(())
    }

    /// Holds the log for a store that lags behind. The first hold is saved at once, later ones with the next sidecar: an
    /// older one keeps more.
    fn hold(&mut self, offset: Offset) -> Result<(), ApplyError> {
        self.recent.forget_before(offset);
        let first = self.state.hold.replace(offset).is_none();
        if first {
            self.save()?;
        }
        if self.hold_given_up() != self.view.borrow().hold_given_up {
            self.publish();
        }
        Ok(())
    }

    /// Whether something from the hold on was removed.
    fn hold_given_up(&self) -> bool {
        self.state.hold.is_some_and(|hold| hold < self.kept_from)
    }

    /// Removes old snapshots and the segments below the oldest one, while there is more than the limit allows
    /// (`KafkaMetadataLog.cleanSnapshots`). The newest snapshot always stays.
    fn retain(&mut self) -> Result<(), ApplyError> {
        let dir = self.layout.partition();
        let mut snapshots = list_snapshots(&dir)?.into_iter().peekable();
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut total = self.state.log.segments().bytes();
        total += list_snapshots(&dir)?.iter().map(|id| size(dir.join(id.file_name()))).sum::<u64>();
        while total > self.limits.retention {
            let (Some(oldest), Some(next)) = (snapshots.next(), snapshots.peek()) else { break };
            if !self.may_remove_below(next.end_offset, total) {
                break;
            }
            let path = dir.join(oldest.file_name());
            total = total.saturating_sub(size(path.clone()));
            self.disk.remove(&path)?;
            let before = self.state.log.segments().bytes();
            self.state.log.remove_before(next.end_offset)?;
            self.kept_from = kept_from(&self.layout, self.state.log.start())?;
            total = total.saturating_sub(before - self.state.log.segments().bytes());
        }
        Ok(())
    }

    /// Whether the hold lets go of what lies below `offset` (exclusive). One that was given up holds nothing.
    fn may_remove_below(&self, offset: Offset, total: u64) -> bool {
        let Some(hold) = self.state.hold.filter(|hold| (self.kept_from..offset).contains(hold)) else { return true };
        let limit = self.limits.hold;
        if total <= limit {
            return false;
        }
        tracing::warn!(%hold, total, limit, "the log is no longer kept for the store that lags behind: it needs a full sync");
        true
    }

    fn publish(&self) {
        let image = self.state.image().clone();
        self.recent.keep(&image);
        let log = &self.state.log;
        let (epochs, began) = (log.epochs().as_slice().to_vec(), log.began().clone());
        let extent = LogExtent { epochs, end_offset: log.end(), began };
        self.view.send_replace(View {
            image,
            start: self.state.log.start(),
            extent,
            started: self.state.started(),
            snapshots_finished: self.snapshots_finished,
            snapshots_failed: self.snapshots_failed.clone(),
            snapshot_due: self.since_snapshot >= self.limits.snapshot_every,
            hold_given_up: self.hold_given_up(),
        });
    }
}

/// From where on (inclusive) a log that starts at `start` can be replayed: the oldest snapshot in it, or the empty image.
fn kept_from(layout: &Layout, start: Offset) -> DiskResult<Offset> {
    if start == Offset::ZERO {
        return Ok(start);
    }
    let snapshots = list_snapshots(&layout.partition())?;
    // Without a snapshot nothing can be.
    Ok(snapshots.into_iter().map(|id| id.end_offset).find(|end| *end >= start).unwrap_or(Offset(i64::MAX)))
}

fn entry_bytes(entry: &Entry) -> u64 {
    use super::proposal::Proposal;
    match &entry.payload {
        Payload::Normal(Proposal::Append { batches, .. }) => {
            batches.iter().map(|batch| batch.batch.0.len() as u64).sum()
        }
        _ => 64,
    }
}
