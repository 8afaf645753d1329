//! Opens a data directory: verifies, mends, starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{KRaftLeaderEpoch, Offset};
use metadata_core::image::MetadataImage;
use metadata_core::log::LeaderAndEpoch;
use openraft::{Config, SnapshotPolicy};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::cache::ImageCache;
use crate::disk::Disk;
use crate::format;
use crate::health::Health;
use crate::kraft_log::Ending;
use crate::log::damage::LogError;
use crate::log::layout::{Layout, partition_metadata};
use crate::log::lock::DirectoryLock;
use crate::log::quorum_state::QuorumState;
use crate::log::read::{batch_ending_at, replay};
use crate::log::snapshot::{SnapshotReader, list_snapshots, remove_unfinished};
use crate::log::writer::{Kept, LogWriter, Segments};
use crate::log::{Damage, MetaProperties};
use crate::options::{KraftLogOptions, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::quorum::apply::{Images, StateMachine, epoch_of};
use crate::quorum::lead::Leading;
use crate::quorum::machine::{Limits, Machine, MachineParts};
use crate::quorum::network::NoPeers;
use crate::quorum::propose::{Arriving, Proposer};
use crate::quorum::types::{MemberAddress, Raft, raft_id};
use crate::quorum::view::View;
use crate::raftlog::{self, Opened, RaftLogStore};
use crate::sidecar::Sidecar;

/// A segment of Raft's log is closed at this size.
const RAFT_SEGMENT_BYTES: u64 = 64 << 20;

/// What an open found and mended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The end of Raft's log was torn: an append that was never acknowledged was being written. It was cut.
    pub torn_raft_log: Option<Damage>,
    /// The end of the Kafka log was torn. It was cut, and written again from Raft's log.
    pub torn_kafka_log: Option<Damage>,
    /// Bytes of the Kafka log that were cut, torn or not, and written again from Raft's log.
    pub rewritten_bytes: u64,
    /// Where the image came from: replay began there (exclusive end), instead of at the log's start.
    pub replayed_from: Offset,
    /// What was wrong with the cache, if it was set aside and is built anew.
    pub cache: Option<String>,
}

/// A log that runs, in parts.
pub(crate) struct Running {
    pub(crate) layout: Layout,
    pub(crate) health: Health,
    pub(crate) recovery: Recovery,
    pub(crate) segments: Arc<Segments>,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) leadership: watch::Receiver<LeaderAndEpoch>,
    pub(crate) appends: mpsc::UnboundedSender<Arriving>,
    pub(crate) raft: Raft,
    pub(crate) machine: Machine,
    pub(crate) tasks: Vec<AbortHandle>,
    pub(crate) ending: Ending,
}

/// What lies in the directory, verified and mended.
struct Found {
    layout: Layout,
    lock: Arc<DirectoryLock>,
    raft_log: Opened,
    sidecar: Sidecar,
    log: LogWriter,
    images: Images,
    cache: Option<Arc<ImageCache>>,
    recovery: Recovery,
}

fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::not_applied(ErrorKind::Unavailable, error.to_string())
}

pub(crate) async fn open(disk: Disk, options: &KraftLogOptions) -> Result<Running> {
    let (on_disk, of) = (disk.clone(), options.clone());
    let found = tokio::task::spawn_blocking(move || find(&on_disk, &of)).await.map_err(unavailable)??;
    start(disk, options, found).await
}

fn find(disk: &Disk, options: &KraftLogOptions) -> Result<Found> {
    let layout = Layout::new(&options.data_dir);
    let path = layout.meta_properties();
    let not_formatted = || {
        let message =
            format!("{} is no data directory: it has no meta.properties; format it first", layout.root().display());
        Error::not_applied(ErrorKind::Invalid, message)
    };
    if !path.is_file() {
        return Err(not_formatted());
    }
    let lock = Arc::new(DirectoryLock::acquire(&layout.lock())?);
    MetaProperties::read(&path)?.ok_or_else(not_formatted)?.expect(&path, options.node_id, &options.cluster_id)?;
    for dir in [layout.partition(), layout.raft()] {
        disk.create_dir(&dir)?;
        remove_unfinished(disk, &dir)?;
    }
    check_topic_id(disk, &layout)?;
    if !layout.empty_snapshot().is_file() {
        disk.create(&layout.empty_snapshot())?;
    }
    let sidecar = read_sidecar(disk, &layout)?;

    let segment_bytes = options.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    let epochs = sidecar.epochs();
    let mut raft_log = Opened::open(disk, &layout.raft(), RAFT_SEGMENT_BYTES)?;
    check_reaches_applied(&layout, &sidecar, &raft_log)?;
    check_vote(&layout, &raft_log)?;
    check_nobody_else_led(&layout, &raft_log)?;
    let kept = Kept { end: Offset(sidecar.end_offset), epochs: &epochs, restarted_at: Offset(sidecar.restarted_at) };
    let (log, cut) = LogWriter::open(disk, &layout.partition(), segment_bytes, kept)?;

    let mut recovery = Recovery::default();
    if let Some(torn) = raft_log.torn.take() {
        tracing::warn!(bytes = torn.bytes, "Raft's log was torn and is cut: {}", torn.place);
        recovery.torn_raft_log = Some(torn.place);
    }
    if let Some(cut) = cut {
        recovery.rewritten_bytes = cut.bytes;
        if let Some(torn) = &cut.torn {
            tracing::warn!(bytes = cut.bytes, "the Kafka log was torn and is written again from Raft's log: {torn}");
        }
        recovery.torn_kafka_log = cut.torn;
    }
    let cache = open_cache(options, &layout, &lock, &mut recovery);
    let images = images(&layout, &sidecar, &log, cache.as_deref(), &mut recovery).inspect_err(|_| {
        // Its thread keeps the directory locked.
        if let Some(cache) = &cache {
            cache.close();
        }
    })?;
    Ok(Found { layout, lock, raft_log, sidecar, log, images, cache, recovery })
}

/// Kafka refuses a directory of another topic, so nothing of ours must lie in one.
fn check_topic_id(disk: &Disk, layout: &Layout) -> Result<()> {
    let path = layout.partition_metadata();
    let expected = partition_metadata();
    match std::fs::read_to_string(&path) {
        Ok(found) if found.split_whitespace().eq(expected.split_whitespace()) => Ok(()),
        Ok(_) => {
            let message = format!("{} is not that of the metadata topic; use another data directory", path.display());
            Err(Error::not_applied(ErrorKind::Invalid, message))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(disk.replace(&path, expected.as_bytes())?),
        Err(error) => Err(unavailable(format!("can't read {}: {error}", path.display()))),
    }
}

/// The sidecar. A directory that Kafka's own tool formatted has none yet; a log without one is someone else's.
fn read_sidecar(disk: &Disk, layout: &Layout) -> Result<Sidecar> {
    if let Some(sidecar) = Sidecar::read(&layout.raft())? {
        return Ok(sidecar);
    }
    if format::holds_a_log(layout)? {
        let (log, sidecar) = (layout.partition(), Sidecar::path(&layout.raft()));
        let message = format!(
            "{} holds a log, but {} is missing: another program wrote it, or the directory is incomplete; use another data \
             directory, or restore this one from a backup",
            log.display(),
            sidecar.display()
        );
        return Err(Error::not_applied(ErrorKind::Invalid, message));
    }
    format::write_sidecar(disk, layout)?;
    Ok(Sidecar::default())
}

/// What was applied was committed, hence synced: a Raft log that ends before it lost acknowledged entries.
fn check_reaches_applied(layout: &Layout, sidecar: &Sidecar, raft_log: &Opened) -> Result<()> {
    let last = raft_log.last().map(|last| last.index);
    match sidecar.applied {
        Some(applied) if last.is_none_or(|last| last < applied.index) => {
            let last = last.map_or_else(|| "it is empty".to_owned(), |last| format!("it ends with entry {last}"));
            let reason = format!("entry {} of Raft's log was applied, but {last}", applied.index);
            Err(Damage { file: layout.raft(), position: 0, offset: None, reason }.into())
        }
        _ => Ok(()),
    }
}

/// A node saves its vote in a term before it writes an entry of it. One that forgot its vote could vote twice in a term, and
/// start one again that it led.
///
/// The first entry is there before the first vote. Without it nobody is a member, and the election would never end.
fn check_vote(layout: &Layout, raft_log: &Opened) -> Result<()> {
    let voted = raft_log.term();
    let (file, reason) = match raft_log.last().map(|last| last.leader_id.term) {
        None if voted > 0 => {
            (layout.raft(), format!("the vote is of term {voted}, and Raft's log has lost all of its entries"))
        }
        Some(written) if written > voted => {
            let reason = format!("Raft's log has an entry of term {written}, but the vote is lost or of term {voted}");
            (raftlog::vote_path(&layout.raft()), reason)
        }
        _ => return Ok(()),
    };
    Err(Damage { file, position: 0, offset: None, reason }.into())
}

/// A KRaft controller of Kafka's that took the directory over may have written records that Raft's log here knows nothing
/// of: they would be cut. It leaves its epoch in `quorum-state` before it writes anything.
fn check_nobody_else_led(layout: &Layout, raft_log: &Opened) -> Result<()> {
    let path = layout.quorum_state();
    let Some(epoch) = QuorumState::read_epoch(&path)? else { return Ok(()) };
    let known = epoch_of(raft_log.term());
    if epoch <= known {
        return Ok(());
    }
    let message = format!(
        "{} is of epoch {epoch}, while the controller here has seen {known}: another controller went on with this log; let \
         it, or restore the data directory from a backup",
        path.display()
    );
    Err(Error::not_applied(ErrorKind::Invalid, message))
}

fn open_cache(
    options: &KraftLogOptions,
    layout: &Layout,
    lock: &Arc<DirectoryLock>,
    recovery: &mut Recovery,
) -> Option<Arc<ImageCache>> {
    if !options.cache {
        return None;
    }
    let (cache, trouble) = ImageCache::open(&layout.cache(), Arc::clone(lock));
    recovery.cache = trouble;
    cache.map(Arc::new)
}

/// The image at the log's end, and that before an open transaction: from the newest of snapshots and cache that is old
/// enough, and by replay from there.
fn images(
    layout: &Layout,
    sidecar: &Sidecar,
    log: &LogWriter,
    cache: Option<&ImageCache>,
    recovery: &mut Recovery,
) -> Result<Images> {
    let before = sidecar.staged.as_ref().map(|staged| Offset(staged.before.position.end_offset));
    let latest = before.unwrap_or(log.end());
    let base = match cached(log, cache, latest, recovery) {
        Some(image) => image,
        None => from_snapshot(layout, log, latest)?,
    };
    recovery.replayed_from = base.position().end_offset;
    let mut at_begin = base.clone();
    let end = replay(log.segments(), &layout.partition(), base, log.end(), |image| {
        if Some(image.position().end_offset) == before {
            at_begin = image.clone();
        }
    })?;
    Ok(Images { end, before: at_begin })
}

/// The cached image, if it is one of this very log, and not past `latest` (exclusive end).
fn cached(
    log: &LogWriter,
    cache: Option<&ImageCache>,
    latest: Offset,
    recovery: &mut Recovery,
) -> Option<MetadataImage> {
    let cache = cache?;
    let mark_of = |position| batch_ending_at(&log.segments(), log.start(), position);
    match cache.load(latest, mark_of) {
        Ok(image) => image,
        Err(trouble) => {
            tracing::warn!(%trouble, "the cached image is not used");
            recovery.cache = Some(trouble);
            None
        }
    }
}

fn from_snapshot(layout: &Layout, log: &LogWriter, latest: Offset) -> Result<MetadataImage> {
    let dir = layout.partition();
    let usable = |end: Offset| end >= log.start() && end <= latest;
    let newest = list_snapshots(&dir)?.into_iter().rev().find(|id| usable(id.end_offset));
    if let Some(id) = newest {
        let reader = SnapshotReader::open(&dir.join(id.file_name()))?;
        return Ok(reader.load(id.position())?);
    }
    if log.start() == Offset::ZERO {
        return Ok(MetadataImage::empty());
    }
    let reason = format!("the log starts here, and there is no snapshot to begin with up to offset {latest}");
    Err(LogError::from(Damage { file: dir, position: 0, offset: Some(log.start()), reason }).into())
}

async fn start(disk: Disk, options: &KraftLogOptions, found: Found) -> Result<Running> {
    let Found { layout, lock, raft_log, sidecar, log, images, cache, recovery } = found;
    let own = raft_id(options.node_id);
    let health = Health::new();
    let segments = log.segments();
    let mut threads = Threads { cache: cache.clone(), ..Threads::default() };
    let config = match raft_config(&options.cluster_id) {
        Ok(config) => Arc::new(config),
        Err(error) => return Err(threads.end(error).await),
    };
    let (raft_log, thread) = match RaftLogStore::start(raft_log, own, health.clone(), Arc::clone(&lock)) {
        Ok(started) => started,
        Err(error) => return Err(threads.end(unavailable(error)).await),
    };
    threads.raft_log = Some(thread);
    let state = StateMachine::new(sidecar, log, images, raft_log.table());
    let view = watch::Sender::new(View::default());
    let view_receiver = view.subscribe();
    let limits = Limits {
        sidecar_every: options.sidecar_every,
        snapshot_every: options.snapshot_every,
        retention: options.retention_bytes,
        hold: options.hold_bytes,
    };
    let parts = MachineParts { state, disk, layout: layout.clone(), limits, view, health: health.clone(), lock };
    let (machine, thread) = match Machine::start(parts) {
        Ok(started) => started,
        Err(error) => {
            drop(raft_log);
            return Err(threads.end(error.into()).await);
        }
    };
    threads.applying = Some(thread);
    let raft = match start_raft(own, config, raft_log, machine.clone()).await {
        Ok(raft) => raft,
        Err(error) => {
            // Raft's error says less than the thread that failed.
            let error = health.stopped().map_or(error, |stopped| stopped.error(Outcome::NotApplied));
            drop(machine);
            return Err(threads.end(error).await);
        }
    };

    let initial = LeaderAndEpoch { leader: None, epoch: KRaftLeaderEpoch(0), active: false };
    let (leadership, leadership_receiver) = watch::channel(initial);
    let leading = Leading {
        raft: raft.clone(),
        own: options.node_id,
        health: health.clone(),
        view: view_receiver.clone(),
        leadership,
    };
    let (appends, arriving) = mpsc::unbounded_channel();
    let proposer =
        Proposer { raft: raft.clone(), health: health.clone(), leadership: leadership_receiver.clone(), arriving };
    let leading = tokio::spawn(leading.run()).abort_handle();
    let caching = cache.clone().map(|cache| {
        let follow = cache_after_snapshots(cache, Arc::clone(&segments), view_receiver.clone());
        tokio::spawn(follow).abort_handle()
    });
    let proposer = tokio::spawn(proposer.run());
    let ending = Ending { proposer, threads };
    Ok(Running {
        layout,
        health,
        recovery,
        segments,
        view: view_receiver,
        leadership: leadership_receiver,
        appends,
        raft,
        machine,
        tasks: [Some(leading), caching].into_iter().flatten().collect(),
        ending,
    })
}

/// Stores the image after each snapshot.
async fn cache_after_snapshots(cache: Arc<ImageCache>, segments: Arc<Segments>, mut view: watch::Receiver<View>) {
    let mut finished = view.borrow().snapshots_finished;
    while view.wait_for(|view| view.snapshots_finished > finished).await.is_ok() {
        let (image, start) = {
            let view = view.borrow_and_update();
            finished = view.snapshots_finished;
            (view.image.clone(), view.start)
        };
        let (cache, segments) = (Arc::clone(&cache), Arc::clone(&segments));
        // Finding the batch reads the log; that it was not found means that nothing is cached.
        let _ = tokio::task::spawn_blocking(move || store_image(&cache, &segments, start, image)).await;
    }
}

/// Stores an image whose last batch is in the log.
pub(crate) fn store_image(cache: &ImageCache, segments: &Arc<Segments>, start: Offset, image: MetadataImage) {
    if let Some(mark) = batch_ending_at(segments, start, image.position()) {
        cache.store(image, mark);
    }
}

/// Starts Raft and an election. When it fails, Raft has ended.
async fn start_raft(own: u64, config: Arc<Config>, raft_log: RaftLogStore, machine: Machine) -> Result<Raft> {
    let raft = Raft::new(own, config, NoPeers, raft_log, machine).await.map_err(unavailable)?;
    let elect = async {
        // The only voter has nobody to wait for. A new one elects itself when it is initialized.
        if raft.is_initialized().await.map_err(unavailable)? {
            return raft.trigger().elect().await.map_err(unavailable);
        }
        let members = BTreeMap::from([(own, MemberAddress::default())]);
        raft.initialize(members).await.map_err(unavailable)
    };
    if let Err(error) = elect.await {
        let _ = raft.shutdown().await;
        return Err(error);
    }
    Ok(raft)
}

/// The threads of a log. They hold the directory's lock, so whoever stops the log waits for them.
#[derive(Default)]
pub(crate) struct Threads {
    raft_log: Option<JoinHandle<()>>,
    applying: Option<JoinHandle<()>>,
    cache: Option<Arc<ImageCache>>,
}

impl Threads {
    /// Waits until all have ended. Nobody may be left to ask the first two for anything. `last` may store an image.
    pub(crate) async fn join(self, last: impl FnOnce(&ImageCache) + Send + 'static) {
        let join = tokio::task::spawn_blocking(move || {
            for thread in [self.applying, self.raft_log].into_iter().flatten() {
                let _ = thread.join();
            }
            if let Some(cache) = self.cache {
                last(&cache);
                cache.close();
            }
        });
        let _ = join.await;
    }

    /// Waits until all have ended, and returns the reason for which they had to.
    async fn end(self, error: Error) -> Error {
        self.join(|_| ()).await;
        error
    }
}

fn raft_config(cluster_id: &str) -> Result<Config> {
    let config = Config {
        cluster_name: cluster_id.to_owned(),
        // Kafka's 1000 ms (`controller.quorum.election.timeout.ms`), and as much again to spread candidates.
        election_timeout_min: 1000,
        election_timeout_max: 2000,
        heartbeat_interval: 250,
        // Snapshots are due by bytes of the Kafka log, which openraft does not know.
        snapshot_policy: SnapshotPolicy::Never,
        // Nobody else needs entries that a snapshot covers.
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    config.validate().map_err(unavailable)
}
