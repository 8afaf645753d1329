//! The nodes, and the steps of their time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use broker_registry::Service;
use metadata_core::contract::{LogMutant, MemLog, Workload};
use metadata_core::controllers::{ControllerAnnouncement, Controllers};
use metadata_core::id::{NodeId, Offset, Position, TimestampMs};
use metadata_core::log::MetadataLog as _;
use metadata_core::metadata_version::MetadataVersionRange;
use migration::{Migration, MigrationHandle, MigrationOptions, Ports, RetryPolicy, State};
use store_zk::testkit::fake::FakeZooKeeper;
use store_zk::{ZkBrokerIds, ZkStore, ZkStoreOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::chance::Chances;
use super::invariants::{self, Invariant};
use super::mistake::Mistake;
use super::mutant::Mutant;
use super::net::Net;
use super::process::Process;
use super::quorum::{Quorum, SimLog};
use super::session::SimConnector;
use super::store::{SimStore, Watched};
use super::truth::{Decisive, LogTruth};
use super::{Broken, History, content};
use crate::seed::Random;

/// The controllers.
pub(super) const VOTERS: [NodeId; 3] = [NodeId(3000), NodeId(3001), NodeId(3002)];

/// Largest request of histories in which batches take many multis.
const SMALL_REQUESTS: usize = 8 << 10;

/// Steps of a history that begins quietly; it needs far fewer.
const SETTLING_STEPS: u32 = 500;

/// One controller: its present run, if it runs.
pub(super) struct Node {
    pub(super) run: u32,
    pub(super) process: Arc<Process>,
    pub(super) handle: MigrationHandle,
    pub(super) task: JoinHandle<metadata_core::error::Result<()>>,
}

/// A controller that is down, and until when.
pub(super) struct Down {
    pub(super) run: u32,
    pub(super) until: Instant,
}

type Announcements = BTreeMap<NodeId, Option<ControllerAnnouncement>>;

pub(super) struct World {
    pub(super) seed: u64,
    /// What the controllers announce.
    pub(super) flags: watch::Sender<Announcements>,
    pub(super) random: Random,
    pub(super) net: Arc<Net>,
    pub(super) quorum: Quorum,
    pub(super) voters: BTreeSet<NodeId>,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) down: BTreeMap<NodeId, Down>,
    pub(super) rules: Vec<Box<dyn Invariant>>,
    pub(super) broken: Option<Broken>,
    /// Looks at ZooKeeper without delay or fault.
    pub(super) oracle: ZkStore,
    pub(super) decisive: Decisive,
    pub(super) log: LogTruth,
    pub(super) seen_multis: usize,
    /// The furthest position that the marker ever had.
    pub(super) furthest: Position,
    pub(super) chances: Chances,
    pub(super) workload: Workload,
    pub(super) mistake: Option<(u32, Mistake)>,
    /// A stranger wrote metadata, and nothing has yet shown that it was put right.
    pub(super) disturbed: bool,
    /// Znodes that strangers made.
    pub(super) foreign: BTreeSet<String>,
    request_size_max: Option<usize>,
}

/// The time of the history, for znodes.
fn virtual_time() -> TimestampMs {
    thread_local! {
        static BEGAN: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
    }
    let now = Instant::now();
    let began = BEGAN.with(|began| {
        // A thread runs one history after the other, and the time of each begins anew.
        let first = began.get().filter(|began| *began <= now && now - *began < Duration::from_secs(86_400));
        began.set(Some(first.unwrap_or(now)));
        first.unwrap_or(now)
    });
    TimestampMs(i64::try_from((now - began).as_millis()).unwrap_or(i64::MAX))
}

/// What every controller says of itself, with or without the flag.
pub(super) fn announced(migration_enabled: bool) -> Announcements {
    let announcement = ControllerAnnouncement {
        migration_enabled,
        metadata_versions: MetadataVersionRange::production(),
        zookeeper_fingerprint: None,
        zookeeper_reachable: None,
    };
    VOTERS.map(|id| (id, Some(announcement.clone()))).into()
}

/// Tells a controller what all announce.
struct Announced(watch::Receiver<Announcements>);

impl Announced {
    fn of(flags: &watch::Sender<Announcements>) -> Self {
        let mut receiver = flags.subscribe();
        receiver.mark_changed();
        Self(receiver)
    }
}

#[async_trait]
impl Controllers for Announced {
    async fn next(&mut self) -> metadata_core::error::Result<Announcements> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(self.0.borrow_and_update().clone())
    }
}

fn options(request_size_max: Option<usize>) -> ZkStoreOptions {
    let mut options = ZkStoreOptions::new(content::quorum(), VOTERS.into());
    options.deletions_share_max = 1.0;
    options.now = virtual_time;
    if let Some(limit) = request_size_max {
        options.request_size_max = limit;
    }
    options
}

impl World {
    pub(super) async fn new(seed: u64, mutant: Option<Mutant>) -> Result<Self, String> {
        let mut random = Random::of(seed, "sim world", 0);
        let zookeeper = FakeZooKeeper::new();
        content::make(&zookeeper, seed, 3 + usize::try_from(random.below(12)).unwrap_or_default())
            .map_err(|error| format!("the cluster before the migration can't be made: {error}"))?;
        let log = match mutant {
            Some(Mutant::CopyShownEarly) => MemLog::broken(LogMutant::TransactionShownEarly),
            _ => MemLog::new(),
        };
        let net = Arc::new(Net::new(zookeeper.clone(), mutant, Random::of(seed, "sim net", 0)));
        net.remember();
        net.state().slow = random.percent(60);
        let quorum = Quorum::new(&VOTERS, log.clone(), Random::of(seed, "sim quorum", 0));
        quorum.set_images_gone(random.pick([0, 0, 20, 60]));
        let oracle = ZkStore::new(Arc::new(zookeeper.connector()), options(None));
        let request_size_max = random.percent(50).then_some(SMALL_REQUESTS);
        let chances = Chances::draw(&mut random);
        let mistake = Mistake::draw(&mut random, chances.steps);
        let mut world = Self {
            seed,
            flags: watch::Sender::new(announced(true)),
            decisive: Decisive::from(&net.now()),
            log: LogTruth { extent: log.extent(), image: log.image() },
            seen_multis: zookeeper.multi_count(),
            furthest: Position::START,
            workload: Workload::new(seed),
            voters: VOTERS.into(),
            nodes: BTreeMap::new(),
            down: BTreeMap::new(),
            rules: invariants::all(),
            broken: None,
            disturbed: false,
            foreign: BTreeSet::new(),
            random,
            net,
            quorum,
            oracle,
            chances,
            mistake,
            request_size_max,
        };
        for id in VOTERS {
            world.start(id, 1);
        }
        Ok(world)
    }

    /// Starts a run of a node, from what its log has.
    pub(super) fn start(&mut self, id: NodeId, run: u32) {
        let process = Arc::new(Process::new());
        let connector = || SimConnector { net: Arc::clone(&self.net), process: Arc::clone(&process), node: id };
        let store = Arc::new(ZkStore::new(Arc::new(connector()), options(self.request_size_max)));
        let watched = Arc::new(Watched { node: id, net: Arc::clone(&self.net), status: OnceLock::new() });
        let ports = Ports {
            log: Arc::new(SimLog {
                quorum: self.quorum.clone(),
                id,
                process: Arc::clone(&process),
                mutant: self.net.mutant,
            }),
            zookeeper: Arc::new(SimStore { inner: Arc::clone(&store), watched: Arc::clone(&watched) }),
            projection: Arc::<ZkStore>::clone(&store),
            controllers: Box::new(Announced::of(&self.flags)),
            broker_ids: Box::new(ZkBrokerIds::new(Arc::new(connector()))),
            assigned_replicas: store,
            channel: None,
        };
        let options = MigrationOptions {
            service: Service::NoneByOperatorsWord,
            retry: RetryPolicy { first: Duration::from_millis(20), longest: Duration::from_millis(800) },
            ..MigrationOptions::new(content::quorum().cluster_id)
        };
        let (migration, handle) = Migration::new(ports, options);
        // It is set once, here.
        _ = watched.status.set(handle.watch());
        let task = tokio::spawn(migration.run());
        self.net.state().trace.event(format_args!("node {id} starts, run {run}"));
        self.nodes.insert(id, Node { run, process, handle, task });
    }

    /// The whole history.
    pub(super) async fn history(mut self) -> Result<History, String> {
        if self.chances.late {
            self.settle_in().await?;
        }
        for step in 0..self.chances.steps {
            if self.broken.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(u64::from(1 + self.random.below(self.chances.step_ms)))).await;
            self.make_mistake(step).await?;
            self.take_chances().await?;
            self.traffic().await?;
            self.look_at_beliefs();
        }
        let end = if self.broken.is_some() { "broken".to_owned() } else { self.finish().await? };
        let state = self.net.state();
        Ok(History {
            seed: self.seed,
            digest: state.trace.digest(),
            events: state.trace.events(),
            virtual_ms: state.trace.millis(),
            coverage: state.trace.counts().clone(),
            end,
            broken: self.broken.clone(),
            last: state.trace.last(),
        })
    }

    /// Nothing fails until a leader writes both sides: else most histories would be about the copy alone.
    async fn settle_in(&mut self) -> Result<(), String> {
        self.chances.over = true;
        self.elect_one();
        for _ in 0..SETTLING_STEPS {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.observe_log().await?;
            self.traffic().await?;
            self.look_at_beliefs();
            let writes = |node: &Node| node.handle.watch().borrow().state == State::DualWrite;
            if self.broken.is_some() || self.nodes.values().any(writes) {
                break;
            }
        }
        self.chances.over = false;
        self.net.state().trace.event("the faults begin");
        Ok(())
    }

    pub(super) fn log_end(&self) -> Offset {
        self.log.image.position().end_offset
    }

    /// A node that runs and is not paused.
    pub(super) fn is_awake(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| !node.process.is_paused())
    }
}
