//! Opens a data directory: verifies, mends, starts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId, Offset};
use metadata_core::image::MetadataImage;
use metadata_core::log::LeaderAndEpoch;
use tokio::net::TcpListener;
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
use crate::log::properties::random_directory_id;
use crate::log::quorum_state::QuorumState;
use crate::log::read::{batch_ending_at, replay};
use crate::log::snapshot::{SnapshotReader, list_snapshots, remove_unfinished};
use crate::log::writer::{Kept, LogWriter, Segments};
use crate::log::{Damage, MetaProperties};
use crate::options::{KraftLogOptions, PeerOptions, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::peer::announcer::{Announcing, OwnAnnouncement, announce};
use crate::peer::dialer::Dialer;
use crate::peer::network::Network;
use crate::peer::roster::{Own, Roster};
use crate::peer::security::Security;
use crate::peer::server::{Answering, serve};
use crate::quorum::apply::{Images, StateMachine, epoch_of};
use crate::quorum::config::raft_config;
use crate::quorum::lead::Leading;
use crate::quorum::machine::{Limits, Machine, MachineParts};
use crate::quorum::members::Members;
use crate::quorum::propose::{Arriving, Proposer};
use crate::quorum::recent::RecentImages;
use crate::quorum::types::{MemberAddress, Raft, RaftNodeId, StoredMembership, raft_id};
use crate::quorum::view::View;
use crate::raftlog::{self, Opened, RaftLogStore};
use crate::sidecar::{Sidecar, StoredSnapshot};

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
    pub(crate) directory_id: DirectoryId,
    pub(crate) layout: Layout,
    pub(crate) health: Health,
    pub(crate) recovery: Recovery,
    pub(crate) segments: Arc<Segments>,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) recent: Arc<RecentImages>,
    pub(crate) leadership: watch::Receiver<LeaderAndEpoch>,
    pub(crate) appends: mpsc::UnboundedSender<Arriving>,
    pub(crate) raft: Raft,
    pub(crate) machine: Machine,
    pub(crate) members: watch::Receiver<Members>,
    pub(crate) announcement: OwnAnnouncement,
    /// The term that is to be given up.
    pub(crate) resigning: watch::Sender<Option<u64>>,
    pub(crate) changes: Arc<AtomicUsize>,
    /// Nobody else votes, now or once the quorum is formed.
    pub(crate) is_only_voter: bool,
    pub(crate) held: watch::Sender<Option<Offset>>,
    pub(crate) peers: Option<Peers>,
    pub(crate) tasks: Vec<AbortHandle>,
    pub(crate) ending: Ending,
}

/// How the other controllers are reached.
pub(crate) struct Peers {
    /// Where this controller listens.
    pub(crate) listens_at: SocketAddr,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) announcing: Arc<Announcing>,
}

/// What is there of the peers before Raft is.
struct Meeting {
    listener: TcpListener,
    listens_at: SocketAddr,
    security: Security,
    dialer: Arc<Dialer>,
    roster: Arc<Roster>,
}

/// What lies in the directory, verified and mended.
struct Found {
    layout: Layout,
    directory_id: DirectoryId,
    lock: Arc<DirectoryLock>,
    raft_log: Opened,
    sidecar: Sidecar,
    log: LogWriter,
    images: Images,
    cache: Option<Arc<ImageCache>>,
    recovery: Recovery,
}

pub(crate) fn unavailable(error: impl std::fmt::Display) -> Error {
    Error::not_applied(ErrorKind::Unavailable, error.to_string())
}

pub(crate) async fn open(disk: Disk, options: &KraftLogOptions) -> Result<Running> {
    // Whoever can't listen changes nothing.
    let listener = match &options.peers {
        Some(peers) => Some((listen(peers).await?, security(peers)?)),
        None => None,
    };
    let (on_disk, of) = (disk.clone(), options.clone());
    let found = tokio::task::spawn_blocking(move || find(&on_disk, &of)).await.map_err(unavailable)?;
    start(disk, options, listener, found.map_err(|error| how_to_rebuild(error, options))?).await
}

/// One of several voters is built anew from the others. It must not forget what it voted and acknowledged: no old copy of its
/// directory may take part again.
fn how_to_rebuild(error: Error, options: &KraftLogOptions) -> Error {
    if error.kind() != ErrorKind::Corrupt || options.peers.is_none() {
        return error;
    }
    let (id, dir) = (options.node_id, options.data_dir.display());
    let damage = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Damage>());
    let what = damage.map_or_else(|| error.to_string(), ToString::to_string);
    let message = format!(
        "{what}; the other controllers go on without this one: to build it anew, remove controller {id} from the quorum, set \
         {dir} aside, start the controller on a new data directory so that it waits to be added, and add it. Do not put an \
         older copy of the directory in its place: it has forgotten what this controller acknowledged, and the quorum could \
         lose it"
    );
    Error::not_applied(ErrorKind::Corrupt, message)
}

async fn listen(peers: &PeerOptions) -> Result<TcpListener> {
    peers.timeouts.check()?;
    TcpListener::bind(peers.listen.as_str()).await.map_err(|error| {
        let message =
            format!("can't listen for other controllers at {}: {error}; choose another address", peers.listen);
        Error::not_applied(ErrorKind::Unavailable, message)
    })
}

fn security(peers: &PeerOptions) -> Result<Security> {
    match &peers.security {
        crate::options::PeerSecurity::Plaintext => Ok(Security::Plaintext),
        #[cfg(feature = "tls")]
        crate::options::PeerSecurity::Tls(files) => Ok(Security::Tls(crate::peer::tls::PeerIdentity::read(files)?)),
    }
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
    let properties = MetaProperties::read(&path)?.ok_or_else(not_formatted)?;
    properties.expect(&path, options.node_id, &options.cluster_id)?;
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
    check_vote(&layout, &raft_log, options.peers.is_some())?;
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
    let directory_id = match properties.directory_id {
        Some(id) => id,
        None => {
            // Files of old versions of Kafka have none. Others know this controller by it from now on.
            let drawn = random_directory_id()?;
            MetaProperties { directory_id: Some(drawn), ..properties }.write(disk, &path)?;
            drawn
        }
    };
    Ok(Found { layout, directory_id, lock, raft_log, sidecar, log, images, cache, recovery })
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

/// What was applied was committed, hence synced: a Raft log that ends before it lost acknowledged entries. One that was given up
/// for a snapshot ends before it too, if the process was stopped before that showed in the log: openraft gives the rest back now.
pub(crate) fn check_reaches_applied(layout: &Layout, sidecar: &Sidecar, raft_log: &Opened) -> Result<()> {
    let last = raft_log.last().map(|last| last.index);
    let installed = sidecar.snapshot.as_ref().is_some_and(|StoredSnapshot { base }| {
        base.applied == sidecar.applied && base.position.end_offset == sidecar.restarted_at
    });
    match sidecar.applied {
        Some(_) if installed => Ok(()),
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
/// In a quorum of one, the first entry is there before the first vote: without it nobody is a member, and the election would
/// never end. With peers, one that was not a member yet may have voted for another.
fn check_vote(layout: &Layout, raft_log: &Opened, has_peers: bool) -> Result<()> {
    let voted = raft_log.term();
    let (file, reason) = match raft_log.last().map(|last| last.leader_id.term) {
        None if voted > 0 && !has_peers => {
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

/// Draws the number by which others tell this process from the one before it.
fn incarnation() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(unavailable)?;
    Ok(u64::from_be_bytes(bytes))
}

async fn meet(
    disk: &Disk,
    options: &KraftLogOptions,
    layout: &Layout,
    directory_id: DirectoryId,
    (listener, security): (TcpListener, Security),
) -> Result<Meeting> {
    let listens_at = listener.local_addr().map_err(unavailable)?;
    let own = Own {
        cluster_id: options.cluster_id.clone(),
        node_id: options.node_id,
        directory_id: Some(directory_id),
        incarnation: incarnation()?,
    };
    let (disk, raft_dir) = (disk.clone(), layout.raft());
    let roster =
        tokio::task::spawn_blocking(move || Roster::open(&disk, &raft_dir, own)).await.map_err(unavailable)??;
    let roster = Arc::new(roster);
    let configured = options.peers.as_ref().map(|peers| peers.voters.clone()).unwrap_or_default();
    let dialer = Arc::new(Dialer::new(Arc::clone(&roster), security.clone(), configured));
    Ok(Meeting { listener, listens_at, security, dialer, roster })
}

async fn start(
    disk: Disk,
    options: &KraftLogOptions,
    listener: Option<(TcpListener, Security)>,
    found: Found,
) -> Result<Running> {
    let Found { layout, directory_id, lock, raft_log, sidecar, log, images, cache, recovery } = found;
    let own = raft_id(options.node_id);
    let health = Health::new();
    let segments = log.segments();
    let mut threads = Threads { cache: cache.clone(), ..Threads::default() };
    let timeouts = options.peers.as_ref().map(|peers| peers.timeouts).unwrap_or_default();
    let decided_members = Members::from(StoredMembership::from(sidecar.membership.clone()).membership());
    let config = match raft_config(options, &decided_members.voters) {
        Ok(config) => Arc::new(config),
        Err(error) => return Err(threads.end(error).await),
    };
    let meeting = match listener {
        None => None,
        Some(listener) => match meet(&disk, options, &layout, directory_id, listener).await {
            Ok(meeting) => Some(meeting),
            Err(error) => return Err(threads.end(error).await),
        },
    };
    let (raft_log, thread) = match RaftLogStore::start(raft_log, own, health.clone(), Arc::clone(&lock)) {
        Ok(started) => started,
        Err(error) => return Err(threads.end(unavailable(error)).await),
    };
    threads.raft_log = Some(thread);
    // What the log is called is what was decided, never what was only written here.
    let decided_name = decided_members.log_id();
    let durable = watch::Sender::new(sidecar.applied.map(|applied| applied.index));
    let raft_log = raft_log.purging_behind(durable.subscribe());
    let held = watch::Sender::new(sidecar.hold.map(Offset));
    let state = StateMachine::new(sidecar, log, images, raft_log.table());
    let view = watch::Sender::new(View::default());
    let view_receiver = view.subscribe();
    let limits = Limits {
        sidecar_every: options.sidecar_every,
        snapshot_every: options.snapshot_every,
        retention: options.retention_bytes,
        hold: options.hold_bytes,
    };
    let recent = Arc::new(RecentImages::default());
    let (layout_there, recent_there) = (layout.clone(), Arc::clone(&recent));
    let parts = MachineParts {
        state,
        disk,
        layout: layout_there,
        limits,
        view,
        recent: recent_there,
        health: health.clone(),
        durable,
        lock,
    };
    let (machine, thread) = match Machine::start(parts) {
        Ok(started) => started,
        Err(error) => {
            drop(raft_log);
            return Err(threads.end(error.into()).await);
        }
    };
    threads.applying = Some(thread);
    let configured = configured_members(options);
    let network = Network(meeting.as_ref().map(|meeting| Arc::clone(&meeting.dialer)));
    let raft = match start_raft(own, config, network, raft_log, machine.clone(), &configured).await {
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
    let members = Members::from(raft.metrics().borrow().membership_config.membership());
    let (members, members_receiver) = watch::channel(members);
    let is_only_voter = {
        let now = members_receiver.borrow();
        let voters: Vec<_> = if now.all.is_empty() { configured.keys().collect() } else { now.voters.iter().collect() };
        voters == [&options.node_id]
    };
    if let Some(meeting) = &meeting {
        let now = members_receiver.borrow();
        meeting.roster.members_changed(if now.all.is_empty() { &configured } else { &now.all }, decided_name);
    }
    let resigning = watch::Sender::new(None);
    let changes = Arc::<AtomicUsize>::default();
    let leading = Leading {
        raft: raft.clone(),
        own: options.node_id,
        health: health.clone(),
        view: view_receiver.clone(),
        leadership,
        members,
        roster: meeting.as_ref().map(|meeting| Arc::clone(&meeting.roster)),
        configured,
        unconfirmed_max: timeouts.unconfirmed_max(),
        directory_id,
        resigning: resigning.subscribe(),
        decided_name,
        changes: Arc::clone(&changes),
    };
    let (appends, arriving) = mpsc::unbounded_channel();
    let proposer =
        Proposer { raft: raft.clone(), health: health.clone(), leadership: leadership_receiver.clone(), arriving };
    let announcement = OwnAnnouncement::new(options.announcement.clone());
    let mut tasks = vec![tokio::spawn(leading.run()).abort_handle()];
    if let Some(cache) = cache.clone() {
        let follow = cache_after_snapshots(cache, Arc::clone(&segments), view_receiver.clone());
        tasks.push(tokio::spawn(follow).abort_handle());
    }
    let peers = meeting.map(|meeting| {
        let Meeting { listener, listens_at, security, dialer, roster } = meeting;
        let announcing = Arc::new(Announcing {
            announcement: announcement.clone(),
            view: view_receiver.clone(),
            leadership: leadership_receiver.clone(),
            held: held.clone(),
            machine: machine.clone(),
        });
        let (raft, roster_there) = (raft.clone(), Arc::clone(&roster));
        let answering = Answering { raft, roster: roster_there, announcing: Arc::clone(&announcing), security };
        tasks.push(tokio::spawn(serve(listener, Arc::new(answering))).abort_handle());
        tasks.push(tokio::spawn(announce(Arc::clone(&dialer), Arc::clone(&announcing))).abort_handle());
        Peers { listens_at, dialer, roster, announcing }
    });
    let proposer = tokio::spawn(proposer.run());
    let ending = Ending { proposer, threads };
    Ok(Running {
        directory_id,
        layout,
        health,
        recovery,
        segments,
        view: view_receiver,
        recent,
        leadership: leadership_receiver,
        appends,
        raft,
        machine,
        members: members_receiver,
        announcement,
        resigning,
        changes,
        is_only_voter,
        held,
        peers,
        tasks,
        ending,
    })
}

/// Those who form a new quorum: this controller alone, unless the options say otherwise.
fn configured_members(options: &KraftLogOptions) -> BTreeMap<NodeId, MemberAddress> {
    match &options.peers {
        None => BTreeMap::from([(options.node_id, MemberAddress::default())]),
        Some(peers) => peers.voters.iter().map(|(id, address)| (*id, MemberAddress::at(address))).collect(),
    }
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

/// Starts Raft, and an election where this is the only voter. When it fails, Raft has ended.
async fn start_raft(
    own: RaftNodeId,
    config: Arc<openraft::Config>,
    network: Network,
    raft_log: RaftLogStore,
    machine: Machine,
    configured: &BTreeMap<NodeId, MemberAddress>,
) -> Result<Raft> {
    let has_peers = network.0.is_some();
    let patience = std::time::Duration::from_millis(config.election_timeout_max);
    let raft = Raft::new(own, config, network, raft_log, machine).await.map_err(unavailable)?;
    let started = start_voting(&raft, own, has_peers, patience, configured).await;
    if let Err(error) = started {
        let _ = raft.shutdown().await;
        return Err(error);
    }
    Ok(raft)
}

async fn start_voting(
    raft: &Raft,
    own: RaftNodeId,
    has_peers: bool,
    patience: std::time::Duration,
    configured: &BTreeMap<NodeId, MemberAddress>,
) -> Result<()> {
    let members: BTreeMap<_, _> = configured.iter().map(|(id, member)| (raft_id(*id), member.clone())).collect();
    if raft.is_initialized().await.map_err(unavailable)? {
        let voters: Vec<_> = raft.metrics().borrow().membership_config.voter_ids().collect();
        // The only voter has nobody to wait for.
        if voters == [own] {
            return raft.trigger().elect().await.map_err(unavailable);
        }
        if !has_peers {
            let ids = voters.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let message = format!(
                "this log is that of a quorum with the voters {ids}: say where this controller listens and where the others are"
            );
            return Err(Error::not_applied(ErrorKind::Invalid, message));
        }
        return Ok(());
    }
    // A new quorum of one elects itself when it is initialized. Of several, the first voter initializes it; each of the
    // others would do the same, and waits in case that one is not there.
    let Some(rank) = members.keys().position(|id| *id == own) else { return Ok(()) };
    if rank == 0 {
        return raft.initialize(members).await.map_err(unavailable);
    }
    let raft = raft.clone();
    let wait = patience.saturating_mul(u32::try_from(rank).unwrap_or(u32::MAX));
    drop(tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        if let Ok(false) = raft.is_initialized().await
            && let Err(error) = raft.initialize(members).await
        {
            tracing::debug!(%error, "the quorum was formed meanwhile");
        }
    }));
    Ok(())
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
