//! [`KraftLog`]: a controller's metadata log, and the port [`MetadataLog`] over it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fencing::{Quorum, QuorumIdentity};
use metadata_core::controllers::Controllers;
use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId, Offset, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog, RECORDS_PER_BATCH_MAX};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{BeginTransactionRecord, EndTransactionRecord, VersionedRecord, ZkMigrationState};
use metadata_core::store::{Receipt, Txn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::batch::BatchBuilder;
use crate::codec::Blob;
use crate::disk::Disk;
use crate::format;
use crate::health::Health;
use crate::log::MetaProperties;
use crate::log::layout::Layout;
use crate::log::read::{below_start, read_batches};
use crate::log::snapshot::{SnapshotReader, list_snapshots};
use crate::log::writer::Segments;
use crate::open::{self, Peers, Running, Threads};
use crate::options::KraftLogOptions;
use crate::peer::announcer::{OwnAnnouncement, QuorumControllers};
use crate::peer::message::{Announced, Request};
use crate::quorum::change::{Changing, not_leader};
use crate::quorum::machine::{Failed, Machine};
use crate::quorum::members::Members;
use crate::quorum::proposal::{ProposedBatch, ProposedTxn};
use crate::quorum::propose::{Arriving, Waiting, active_epoch, fenced, now};
use crate::quorum::recent::RecentImages;
use crate::quorum::status::{QuorumMember, QuorumStatus};
use crate::quorum::types::{QuorumSeal, Raft, StoredMembership};
use crate::quorum::view::View;
use crate::sidecar::Sidecar;

pub use crate::open::Recovery;

mod serve;

/// Kafka's metadata log: a real Raft log underneath, a real Kafka log directory on top.
///
/// - An append is acknowledged when it is synced in Raft's log by a majority of the voters, and applied to the Kafka log here.
/// - `__cluster_metadata-0` holds committed batches only, as a KRaft controller's would. After [`Self::shutdown`] it is
///   complete and whole; after a crash its end may be torn, until the next open mends it from Raft's log.
/// - Each leadership is an epoch of its own, with a LeaderChange batch. A quorum of one begins a new one with each start.
/// - The members of a quorum have the same bytes at the same offsets, as far as each has them.
///
/// Dropping it without [`Self::shutdown`] is like a crash that loses nothing. The directory's lock is given up when the
/// threads that write have ended.
pub struct KraftLog {
    options: KraftLogOptions,
    directory_id: DirectoryId,
    layout: Layout,
    health: Health,
    recovery: Recovery,
    segments: Arc<Segments>,
    view: watch::Receiver<View>,
    recent: Arc<RecentImages>,
    leadership: watch::Receiver<LeaderAndEpoch>,
    /// Gone once the log is shut down.
    appends: Mutex<Option<mpsc::UnboundedSender<Arriving>>>,
    raft: Raft,
    machine: Machine,
    members: watch::Receiver<Members>,
    announcement: OwnAnnouncement,
    resigning: watch::Sender<Option<u64>>,
    /// Changes of the members that are under way.
    changes: Arc<AtomicUsize>,
    held: watch::Sender<Option<Offset>>,
    peers: Option<Peers>,
    tasks: Vec<AbortHandle>,
    ending: Mutex<Option<Ending>>,
}

/// How long a snapshot may be under way before it is asked for again.
const SNAPSHOT_RETRY: Duration = Duration::from_millis(100);

/// What [`KraftLog::shutdown`] waits for.
pub(crate) struct Ending {
    pub(crate) proposer: tokio::task::JoinHandle<()>,
    pub(crate) threads: Threads,
}

impl std::fmt::Debug for KraftLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KraftLog").field("data_dir", &self.options.data_dir).finish_non_exhaustive()
    }
}

impl KraftLog {
    /// Makes `data_dir` a data directory of `node_id` in `cluster_id`, as `kafka-storage format` does: `meta.properties`
    /// with a random directory id, and `bootstrap.checkpoint` with the metadata version. It blocks on the disk.
    ///
    /// # Errors
    /// `Invalid`: the directory is formatted already or holds a log, a negative node id, an empty cluster id, or a metadata
    /// version below 3.3-IV0, at which no log can start. `Unavailable`: it can't be written.
    pub fn format(
        data_dir: impl AsRef<Path>,
        node_id: NodeId,
        cluster_id: &str,
        metadata_version: MetadataVersion,
    ) -> Result<MetaProperties> {
        let layout = Layout::new(data_dir.as_ref());
        format::format(&Disk::default(), &layout, node_id, cluster_id, metadata_version)
    }

    /// What a data directory says about itself, or `None` when it is not formatted.
    ///
    /// # Errors
    /// `Invalid`: its `meta.properties` is not Kafka's. `Unavailable`: it can't be read.
    pub fn properties(data_dir: impl AsRef<Path>) -> Result<Option<MetaProperties>> {
        MetaProperties::read(&Layout::new(data_dir.as_ref()).meta_properties())
    }

    /// Opens a formatted data directory. An only voter leads when this returns: everything that was ever acknowledged is
    /// applied then. With more voters, whoever wants to append waits for [`leadership`](MetadataLog::leadership). Must be
    /// called within a tokio runtime with its timers and its network enabled.
    ///
    /// # Errors
    /// `Unavailable`: another process has the directory, or it can't be read or written. `Invalid`: it is not formatted, or
    /// belongs to another node or cluster, or to a quorum of several while the options name no peers. `Corrupt`: damage, with the place; nothing was changed but for the torn ends
    /// that a crash leaves.
    pub async fn open(options: KraftLogOptions) -> Result<Self> {
        Self::open_on(Disk::default(), options).await
    }

    pub(crate) async fn open_on(disk: Disk, options: KraftLogOptions) -> Result<Self> {
        let Running {
            directory_id,
            layout,
            health,
            recovery,
            segments,
            view,
            recent,
            leadership,
            appends,
            raft,
            machine,
            members,
            announcement,
            resigning,
            changes,
            is_only_voter,
            held,
            peers,
            tasks,
            ending,
        } = open::open(disk, &options).await?;
        let log = Self {
            options,
            directory_id,
            layout,
            health,
            recovery,
            segments,
            view,
            recent,
            leadership,
            appends: Mutex::new(Some(appends)),
            raft,
            machine,
            members,
            announcement,
            resigning,
            changes,
            held,
            peers,
            tasks,
            ending: Mutex::new(Some(ending)),
        };
        if !is_only_voter {
            return Ok(log);
        }
        match log.wait_until_active().await {
            Ok(()) => Ok(log),
            Err(error) => {
                // The reason is known; the threads must not outlive it, since they hold the directory's lock.
                let _ = log.shutdown().await;
                Err(error)
            }
        }
    }

    async fn wait_until_active(&self) -> Result<()> {
        let mut leadership = self.leadership.clone();
        let own = self.options.node_id;
        // On a sealed log nobody begins to act.
        let leads = |present: &LeaderAndEpoch| present.leader == Some(own) && self.seal().is_some();
        let waited = leadership.wait_for(|present| present.active || leads(present));
        tokio::select! {
            waited = waited => waited.map(drop).map_err(|_| self.health.error(Outcome::NotApplied)),
            stopped = self.health.wait() => Err(stopped.error(Outcome::NotApplied)),
        }
    }

    /// What the open mended.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Whether the log is no longer kept from the last [`hold`](MetadataLog::hold) on, because it would have more than
    /// [`KraftLogOptions::hold_bytes`]: the store that lags behind needs a full sync. A hold outlives a restart.
    pub fn hold_given_up(&self) -> bool {
        self.view.borrow().hold_given_up
    }

    /// From where on (inclusive) the log is held for a store that lags behind, on this member: as it was told itself, or as the
    /// leader told it.
    pub fn held(&self) -> Option<Offset> {
        *self.held.borrow()
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &KraftLogOptions {
        &self.options
    }

    /// Writes the first records of an empty log, in one append: Begin "Bootstrap records", the metadata version, the
    /// migration state, End; without a transaction below 3.6-IV1 (`ActivationRecordsGenerator.java`). A migration starts
    /// with [`ZkMigrationState::PreMigration`], which the metadata version must allow.
    ///
    /// # Errors
    /// `Conflict`: the log has records already. `Invalid`: the metadata version is too low for a migration. Else as
    /// [`MetadataLog::append`].
    pub async fn bootstrap(&self, metadata_version: MetadataVersion, state: ZkMigrationState) -> Result<Position> {
        let start = self.leadership.borrow().epoch;
        let position = self.end().await?;
        // The LeaderChange batches of leaders who wrote nothing else don't count.
        if !self.is_free_of_records().await? {
            let message = format!("the log has records already; it ends at {position}");
            return Err(Error::not_applied(ErrorKind::Conflict, message));
        }
        if state == ZkMigrationState::PreMigration && !metadata_version.supports_zk_migration_start() {
            let least = MetadataVersion::V3_6_IV1;
            let message = format!("a migration needs metadata version {least} or later, not {metadata_version}");
            return Err(Error::not_applied(ErrorKind::Invalid, message));
        }
        let mut records = format::bootstrap_records(metadata_version);
        if metadata_version.supports_zk_migration_state() {
            records.push(VersionedRecord::new(state.to_record(), 0));
        }
        if metadata_version.supports_zk_migration_start() {
            let begin = BeginTransactionRecord { name: Some("Bootstrap records".to_owned()), ..Default::default() };
            records.insert(0, VersionedRecord::new(begin, 0));
            records.push(VersionedRecord::new(EndTransactionRecord::default(), 0));
        }
        self.append(Append { epoch: start, expected: Some(position.end_offset), txn: Txn::None, records }).await
    }

    /// What all voters say of themselves: the port that a migration waits for controllers by. The voters are those of Raft.
    pub fn controllers(&self) -> impl Controllers + use<> {
        QuorumControllers {
            own: self.options.node_id,
            announcement: self.announcement.clone(),
            members: self.members.clone(),
            roster: self.peers.as_ref().map(|peers| Arc::clone(&peers.roster)),
            health: self.health.clone(),
            told: None,
        }
    }

    /// How the quorum is, as this member sees it.
    pub fn quorum(&self) -> QuorumStatus {
        let LeaderAndEpoch { leader, epoch, .. } = *self.leadership.borrow();
        let members = self.members.borrow().clone();
        let mut news = self.peers.as_ref().map(|peers| peers.roster.look()).unwrap_or_default();
        let own = self.options.node_id;
        let described = members.all.iter().map(|(id, member)| {
            let heard = if *id == own { None } else { news.remove(id).flatten() };
            let announced = heard.as_ref().and_then(|heard| heard.announced.as_ref());
            let known = self.peers.as_ref().and_then(|peers| peers.roster.directory_of(*id));
            QuorumMember {
                id: *id,
                address: member.address.clone(),
                directory_id: member.directory_id.or(known),
                voter: members.voters.contains(id),
                end_offset: match *id == own {
                    true => Some(self.extent().end_offset),
                    false => announced.map(|announced| announced.position().end_offset),
                },
                silent: if *id == own { Some(Duration::ZERO) } else { heard.as_ref().map(|heard| heard.silent) },
                announcement: match *id == own {
                    true => Some(self.announcement.now()),
                    false => announced.and_then(|announced| announced.announcement()),
                },
            }
        });
        let members = described.collect::<Vec<_>>();
        let confirmed = {
            let metrics = self.raft.metrics();
            let now = metrics.borrow();
            let several = members.iter().filter(|member| member.voter).count() > 1;
            now.millis_since_quorum_ack.filter(|_| several).map(Duration::from_millis)
        };
        QuorumStatus { own, leader, epoch, members, confirmed }
    }

    /// The log's own id, the same on all members: that of the data directory of its first leader. `None` before there was one.
    pub fn log_id(&self) -> Option<DirectoryId> {
        self.members.borrow().log_id()
    }

    /// The id of the log in a data directory that no process holds; `None` if it never was a log's. After a kill it may
    /// be missing for a log that was named just before.
    ///
    /// # Errors
    /// `Corrupt`: the file is damaged, with the place. `Unavailable`: it can't be read.
    pub fn log_id_in(data_dir: impl AsRef<Path>) -> Result<Option<DirectoryId>> {
        let sidecar = Sidecar::read(&Layout::new(data_dir.as_ref()).raft())?;
        let members = sidecar.map(|sidecar| Members::from(StoredMembership::from(sidecar.membership).membership()));
        Ok(members.and_then(|members| members.log_id()))
    }

    /// Where this controller listens for others, if it does.
    pub fn listens_at(&self) -> Option<SocketAddr> {
        self.peers.as_ref().map(|peers| peers.listens_at)
    }

    /// Adds a voter while the quorum runs. The controller `id` must run already and wait to be added: started on a new data
    /// directory, with peers and without voters. It gets the log first, which may take minutes, and votes then. Kafka: KIP-853.
    ///
    /// # Errors
    /// Not applied: `ControllerFenced`: another controller leads, which is named; `Invalid`: this controller does not listen, or
    /// `id` is its own; `Conflict`: it is a voter already, or another change is under way; `Unavailable`: it can't be reached,
    /// refuses, or does not get the log in time, and then it may be a member that does not vote. Unknown: `Unavailable`: the
    /// change was not decided in time.
    pub async fn add_voter(&self, id: NodeId, address: &str) -> Result<()> {
        let probe = match &self.peers {
            Some(peers) => peers.announcing.now(),
            None => Announced::new(&self.announcement.now(), self.image().position(), None),
        };
        self.changing()?.add(id, address, Request::Announce(probe)).await
    }

    /// Removes a member while the quorum runs. It must not be started again on its data directory; the same id may be added
    /// again with a new one. A leader may remove itself: it leads until that is decided.
    ///
    /// # Errors
    /// As [`Self::add_voter`]; `Conflict`: it is no member; `Invalid`: it is the only voter.
    pub async fn remove_voter(&self, id: NodeId) -> Result<()> {
        self.changing()?.remove(id).await
    }

    /// Whether the log is sealed: then no leader begins to act on it.
    pub fn seal(&self) -> Option<QuorumSeal> {
        self.members.borrow().seal()
    }

    /// Returns once the seal is another than `known`.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`: the log was stopped.
    pub async fn seal_changed(&self, known: Option<QuorumSeal>) -> Result<Option<QuorumSeal>> {
        let mut members = self.members.clone();
        tokio::select! {
            waited = members.wait_for(|members| members.seal() != known) => {
                waited.map(|members| members.seal()).map_err(|_| self.health.error(Outcome::NotApplied))
            }
            stopped = self.health.wait() => Err(stopped.error(Outcome::NotApplied)),
        }
    }

    /// Seals the log for all members, or opens it again. Once it returns, every later leader knows it. Only the leader can, also
    /// one that does not act because the log is sealed.
    ///
    /// # Errors
    /// As [`Self::remove_voter`].
    pub async fn set_seal(&self, seal: Option<QuorumSeal>) -> Result<()> {
        self.changing()?.seal(seal).await
    }

    fn changing(&self) -> Result<Changing<'_>> {
        let own = self.options.node_id;
        let LeaderAndEpoch { leader, active, .. } = *self.leadership.borrow();
        let leads_a_sealed_one = leader == Some(own) && self.seal().is_some();
        if !active && !leads_a_sealed_one {
            return Err(not_leader(leader.filter(|leader| *leader != own)));
        }
        let configured = self.options.peers.as_ref().and_then(|peers| peers.voters.get(&own).cloned());
        let listens_at = self.listens_at().map(|at| at.to_string());
        Ok(Changing {
            raft: &self.raft,
            own,
            own_address: configured.or(listens_at).unwrap_or_default(),
            dialer: self.peers.as_ref().map(|peers| &peers.dialer),
            members: self.members.clone(),
            changes: &self.changes,
        })
    }

    /// Whether the log consists of LeaderChange batches alone.
    async fn is_free_of_records(&self) -> Result<bool> {
        let mut from = self.view.borrow().start;
        if from > Offset::ZERO {
            return Ok(false);
        }
        loop {
            let batches = self.read(from, RECORDS_PER_BATCH_MAX).await?;
            let Some(last) = batches.last() else { return Ok(true) };
            if batches.iter().any(|batch| !batch.records.is_empty()) {
                return Ok(false);
            }
            from = last.end_offset;
        }
    }

    /// Takes a snapshot now, and gives Raft's log back up to it. While a transaction is open it shows the state before its
    /// Begin. Returns what the snapshot covers.
    ///
    /// # Errors
    /// `Unavailable`: the snapshot can't be written, and the log goes on without it. `Unavailable` or `Corrupt`: the log has
    /// stopped, now or before.
    pub async fn snapshot(&self) -> Result<Position> {
        let failed = || self.health.error(Outcome::NotApplied);
        let mut view = self.view.clone();
        let wanted = self.machine.snapshot_base().await.map_err(|_| failed())?.base.applied;
        loop {
            let (finished, failures) = {
                let view = view.borrow_and_update();
                (view.snapshots_finished, view.snapshots_failed.0)
            };
            let newest = self.machine.current_snapshot().await.map_err(|_| failed())?;
            if let Some(newest) = newest.filter(|newest| newest.base.applied >= wanted) {
                return Ok(newest.id().position());
            }
            self.raft.trigger().snapshot().await.map_err(|_| failed())?;
            tokio::select! {
                waited = view.wait_for(|view| view.snapshots_finished > finished || view.snapshots_failed.0 > failures) => {
                    let view = waited.map_err(|_| failed())?;
                    if view.snapshots_failed.0 > failures {
                        return Err(Error::not_applied(ErrorKind::Unavailable, view.snapshots_failed.1.clone()));
                    }
                }
                stopped = self.health.wait() => return Err(stopped.error(Outcome::NotApplied)),
                // openraft lets a trigger go while it still thinks of the snapshot before.
                () = tokio::time::sleep(SNAPSHOT_RETRY) => {}
            }
        }
    }

    /// Stops: what was appended before is decided, then everything is synced. Afterwards the Kafka log is complete and
    /// whole, and the directory's lock is free. A second call does nothing.
    ///
    /// # Errors
    /// `Unavailable` or `Corrupt`: the log had stopped before for another reason, or the last sync failed. Nothing that was
    /// acknowledged is lost.
    pub async fn shutdown(&self) -> Result<()> {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Ending { proposer, threads }) = ending else { return Ok(()) };
        // Without a sender the proposer ends, once everything is answered.
        self.appends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = proposer.await;
        let stopped_before = self.health.stopped();
        self.health.stop(ErrorKind::Unavailable, "it was shut down");
        let _ = self.raft.shutdown().await;
        for task in &self.tasks {
            task.abort();
        }
        // A snapshot that is being written is finished; no other is begun.
        let _building = self.machine.building.lock().await;
        let closed = self.machine.close().await;
        let (image, start) = {
            let view = self.view.borrow();
            (view.image.clone(), view.start)
        };
        let segments = Arc::clone(&self.segments);
        threads.join(move |cache| open::store_image(cache, &segments, start, image)).await;
        match (stopped_before, closed) {
            (Some(stopped), _) => Err(stopped.error(Outcome::NotApplied)),
            (None, Err(Failed(stopped))) => Err(stopped.error(Outcome::NotApplied)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// Makes the batch of an append, or says why it can't be one.
    fn prepare(append: Append) -> Result<(KRaftLeaderEpoch, usize, ProposedBatch)> {
        let invalid = |message: String| Error::not_applied(ErrorKind::Invalid, message);
        append.check()?;
        let Append { epoch, expected, txn, records } = append;
        let mut builder = BatchBuilder::data(now());
        let mut frame = Vec::new();
        for record in &records {
            frame.clear();
            let name = record.record.name();
            record.encode(&mut frame).map_err(|error| invalid(format!("{name} can't be encoded: {error}")))?;
            builder.push(&frame).map_err(|full| invalid(format!("the records are too many for one batch: {full}")))?;
        }
        let batch = builder.finish(Offset::ZERO, KRaftLeaderEpoch(0));
        let expected = expected.map(|offset| offset.0);
        let batch = ProposedBatch { expected, txn: ProposedTxn::from(txn), batch: Blob(batch.into()) };
        Ok((epoch, records.len(), batch))
    }

    /// The epoch in which this member leads and may append, if it does.
    #[cfg(test)]
    pub(crate) fn active(&self) -> Option<KRaftLeaderEpoch> {
        active_epoch(*self.leadership.borrow())
    }

    fn submit(&self, arriving: Arriving) -> Result<()> {
        let appends = self.appends.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = appends.as_ref().is_some_and(|appends| appends.send(arriving).is_ok());
        if sent { Ok(()) } else { Err(self.health.error(Outcome::NotApplied)) }
    }
}

impl Drop for KraftLog {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Quorum for KraftLog {
    /// That of the log: see [`KraftLog::log_id`]. Whoever leads has it; before, this data directory stands for it.
    fn identity(&self) -> QuorumIdentity {
        let log_id = self.log_id().unwrap_or(self.directory_id).to_string();
        QuorumIdentity { cluster_id: self.options.cluster_id.clone(), log_id }
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.members.borrow().voters.clone()
    }
}

#[async_trait]
impl MetadataLog for KraftLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        if let Some(stopped) = self.health.stopped() {
            return Err(stopped.error(Outcome::NotApplied));
        }
        let mut leadership = self.leadership.clone();
        tokio::select! {
            waited = leadership.wait_for(|present| known != Some(*present)) => {
                waited.map(|present| *present).map_err(|_| self.health.error(Outcome::NotApplied))
            }
            stopped = self.health.wait() => Err(stopped.error(Outcome::NotApplied)),
        }
    }

    fn append(&self, append: Append) -> Receipt {
        if let Some(stopped) = self.health.stopped() {
            return Receipt::refused(stopped.error(Outcome::NotApplied));
        }
        let active = active_epoch(*self.leadership.borrow());
        if active.is_some_and(|active| active != append.epoch) {
            return Receipt::refused(fenced(append.epoch, active));
        }
        let (epoch, records, batch) = match Self::prepare(append) {
            Ok(prepared) => prepared,
            Err(error) => return Receipt::refused(error),
        };
        let (answer, answered) = oneshot::channel();
        if let Err(error) = self.submit(Arriving::Append(Waiting { epoch, records, batch, answer })) {
            return Receipt::refused(error);
        }
        let health = self.health.clone();
        Receipt::new(async move { answered.await.unwrap_or_else(|_| Err(health.error(Outcome::Unknown))) })
    }

    async fn end(&self) -> Result<Position> {
        let (answer, answered) = oneshot::channel();
        self.submit(Arriving::Barrier(answer))?;
        answered.await.map_err(|_| self.health.error(Outcome::NotApplied))?;
        if self.leadership.borrow().active {
            let confirmed = self.raft.ensure_linearizable().await;
            confirmed.map_err(|error| {
                let unconfirmed = || {
                    let message = format!("this controller can't confirm that it still leads: {error}");
                    Error::not_applied(ErrorKind::Unavailable, message)
                };
                self.health.stopped().map_or_else(unconfirmed, |stopped| stopped.error(Outcome::NotApplied))
            })?;
        }
        Ok(self.image().position())
    }

    fn extent(&self) -> LogExtent {
        self.view.borrow().extent.clone()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        let mut view = self.view.clone();
        tokio::select! {
            waited = view.wait_for(|view| view.extent.end_offset > end_offset) => {
                waited.map(|view| view.extent.end_offset).map_err(|_| self.health.error(Outcome::NotApplied))
            }
            stopped = self.health.wait() => Err(stopped.error(Outcome::NotApplied)),
        }
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        let (start, end) = {
            let view = self.view.borrow();
            (view.start, view.extent.end_offset)
        };
        if from < start {
            return Err(below_start(from, start));
        }
        let segments = Arc::clone(&self.segments);
        let read = tokio::task::spawn_blocking(move || read_batches(segments, from, end, records_max)).await;
        let read = read.map_err(|error| Error::not_applied(ErrorKind::Unavailable, error.to_string()))?;
        // The segment may have been removed while it was read.
        let start = self.view.borrow().start;
        if from < start {
            return Err(below_start(from, start));
        }
        Ok(read?)
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        let (image, start) = {
            let view = self.view.borrow();
            (view.image.clone(), view.start)
        };
        if image.position().end_offset <= end_offset {
            return Ok(Some(image));
        }
        if let Some(recent) = self.recent.at_most(end_offset).filter(|recent| recent.position().end_offset >= start) {
            return Ok(Some(recent));
        }
        let dir = self.layout.partition();
        let load = move || {
            let newest = list_snapshots(&dir)?.into_iter().rev().find(|id| id.end_offset <= end_offset);
            let Some(id) = newest.filter(|id| id.end_offset >= start) else {
                return Ok((start == Offset::ZERO).then(MetadataImage::empty));
            };
            let reader = SnapshotReader::open(&dir.join(id.file_name()))?;
            Ok::<_, Error>(Some(reader.load(id.position())?))
        };
        let loaded = tokio::task::spawn_blocking(load).await;
        loaded.map_err(|error| Error::not_applied(ErrorKind::Unavailable, error.to_string()))?
    }

    fn image(&self) -> MetadataImage {
        self.view.borrow().image.clone()
    }

    fn hold(&self, end_offset: Offset) {
        self.held.send_replace(Some(end_offset));
        self.machine.hold(end_offset);
    }

    fn resign(&self, epoch: KRaftLeaderEpoch) {
        if self.members.borrow().voters.len() > 1 {
            self.resigning.send_replace(u64::try_from(epoch.0).ok());
        }
    }
}
