//! Three controllers within this process, each with a way of its own to each other and to ZooKeeper.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersion;
use store_kraft::{PeerOptions, QuorumTimeouts};
use store_zk::client::ZkSession;
use store_zk::client::config::{Properties, ZkClientConfig, ZkSettings};
use store_zk::testkit::free_port;
use store_zk::testkit::proxy::FaultProxy;
use store_zk::testkit::server::{ServerOptions, ZkServer};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use xtask::change::Change;
use xtask::cli::{Failure, Interrupt, Progress};
use xtask::control::Reporter;
use xtask::controller::{Controller, ControllerOptions, DataDir, Showing, StatusReport, VerifyReport, look_first};
use xtask::fleet::{FleetMember, logs_agree};
use xtask::seed::{self, Blueprint, PASSWORD_ENCODER_SECRET, SeedOptions};

use crate::proxy::Way;

/// Nothing takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const IDS: [NodeId; 3] = [NodeId(3000), NodeId(3001), NodeId(3002)];

/// Short elections: the tests wait for many.
const TIMEOUTS: QuorumTimeouts = QuorumTimeouts {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(400),
    election_max: Duration::from_millis(800),
};

/// A ZooKeeper with a cluster in it.
pub(crate) async fn seeded(number: u64) -> (ZkServer, ZkSettings) {
    let server = ZkServer::start(ServerOptions::default()).await.unwrap();
    let text = format!(
        "zookeeper.connect={}\npassword.encoder.secret={PASSWORD_ENCODER_SECRET}\nzookeeper.session.timeout.ms=4000\n\
         zookeeper.connection.timeout.ms=2000\n",
        server.address()
    );
    let properties = Properties::parse(&text).unwrap();
    let settings = ZkSettings::from_properties(&properties, &|_| unreachable!("no file is named")).unwrap();
    let options = SeedOptions { topics: 20, partitions_per_topic: 3, seed: number, ..SeedOptions::default() };
    let blueprint = Blueprint::new(options).unwrap();
    let session = settings.client.connector().unwrap().connect().await.unwrap();
    seed::write(session.as_ref(), &blueprint, false, &Progress::hidden(), &Interrupt::never()).await.unwrap();
    session.close().await.unwrap();
    (server, settings)
}

/// See the module.
pub(crate) struct Trio {
    folder: TempDir,
    settings: ZkSettings,
    cluster_id: String,
    to_zookeeper: BTreeMap<NodeId, FaultProxy>,
    ports: BTreeMap<NodeId, SocketAddr>,
    ways: BTreeMap<(NodeId, NodeId), Way>,
    controllers: BTreeMap<NodeId, Arc<Controller>>,
    _server: ZkServer,
}

/// What a controller is cut off from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Peers,
    ZooKeeper,
    Both,
}

impl Trio {
    /// All run, one leads, and it dual-writes.
    pub(crate) async fn dual_writing(number: u64) -> Self {
        let mut trio = Self::formed(number).await;
        for id in IDS {
            trio.start(id).await;
        }
        trio.leader().await;
        trio
    }

    /// Nobody runs yet.
    pub(crate) async fn formed(number: u64) -> Self {
        let (server, settings) = seeded(number).await;
        let mut to_zookeeper = BTreeMap::new();
        let mut ports = BTreeMap::new();
        for id in IDS {
            to_zookeeper.insert(id, FaultProxy::start(server.socket_address()).await.unwrap());
            ports.insert(id, SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())));
        }
        let mut ways = BTreeMap::new();
        for from in IDS {
            for to in IDS.into_iter().filter(|to| *to != from) {
                ways.insert((from, to), Way::to(ports[&to]).await);
            }
        }
        let cluster_id = look_first(settings.client.connector().unwrap().as_ref()).await.unwrap().cluster_id;
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings,
            cluster_id,
            to_zookeeper,
            ports,
            ways,
            controllers: BTreeMap::new(),
            _server: server,
        }
    }

    pub(crate) fn options(&self, id: NodeId) -> ControllerOptions {
        let proxied = ZkClientConfig::from_connect_string(&self.to_zookeeper[&id].address()).unwrap();
        let client = ZkClientConfig { connect: proxied.connect, ..self.settings.client.clone() };
        let address = |to: NodeId| match self.ways.get(&(id, to)) {
            Some(way) => way.address.to_string(),
            None => self.ports[&to].to_string(),
        };
        let voters = IDS.into_iter().map(|to| (to, address(to))).collect();
        let mut peers = PeerOptions::new(self.ports[&id].to_string(), voters);
        peers.timeouts = TIMEOUTS;
        // The settings are the same for all: only the way differs.
        let mut options = ControllerOptions::new(client.connector().unwrap(), self.settings.clone());
        options.unserved_brokers = true;
        options.peers = Some(peers);
        options
    }

    pub(crate) async fn start(&mut self, id: NodeId) {
        self.start_with(id, self.options(id)).await;
    }

    pub(crate) async fn start_with(&mut self, id: NodeId, options: ControllerOptions) {
        let path = self.folder.path().join(format!("controller-{id}"));
        let dir = DataDir::prepare(&path, id, &self.cluster_id, MetadataVersion::V3_9_IV0).unwrap();
        self.controllers.insert(id, Arc::new(Controller::start(options, dir).await.unwrap()));
    }

    pub(crate) async fn stop(&mut self, id: NodeId) {
        self.controllers.remove(&id).unwrap().stop().await.unwrap();
    }

    /// Stops all, however they are.
    pub(crate) async fn stopped(mut self) -> Self {
        for (_, controller) in std::mem::take(&mut self.controllers) {
            controller.stop().await.unwrap();
        }
        self
    }

    /// Why a controller does not start.
    pub(crate) async fn refused(&self, id: NodeId) -> Failure {
        let path = self.folder.path().join(format!("controller-{id}"));
        let dir = DataDir::prepare(&path, id, &self.cluster_id, MetadataVersion::V3_9_IV0).unwrap();
        match Controller::start(self.options(id), dir).await {
            Ok(_) => panic!("it starts"),
            Err(failure) => failure,
        }
    }

    pub(crate) async fn session(&self) -> Arc<dyn ZkSession> {
        self.settings.client.connector().unwrap().connect().await.unwrap()
    }

    pub(crate) fn of(&self, id: NodeId) -> &Controller {
        &self.controllers[&id]
    }

    pub(crate) fn cut(&self, id: NodeId, from: From) {
        if from != From::ZooKeeper {
            self.ways_of(id).for_each(Way::cut);
        }
        if from != From::Peers {
            self.to_zookeeper[&id].set_frozen(true);
        }
    }

    /// Mends the ways. What was under way on them is lost, as behind a router that came back.
    pub(crate) fn mend(&self, id: NodeId, from: From) {
        if from != From::ZooKeeper {
            self.ways_of(id).for_each(Way::mend);
        }
        if from != From::Peers {
            self.to_zookeeper[&id].set_frozen(false);
            self.to_zookeeper[&id].cut_all();
        }
    }

    fn ways_of(&self, id: NodeId) -> impl Iterator<Item = &Way> {
        self.ways.iter().filter(move |((from, to), _)| *from == id || *to == id).map(|(_, way)| way)
    }

    /// The way from one to another.
    pub(crate) fn way(&self, from: NodeId, to: NodeId) -> &Way {
        &self.ways[&(from, to)]
    }

    /// Waits until one of those that run dual-writes and ZooKeeper lacks nothing.
    pub(crate) async fn leader(&self) -> NodeId {
        self.leader_among(&IDS).await
    }

    pub(crate) async fn leader_among(&self, ids: &[NodeId]) -> NodeId {
        let looking = async {
            loop {
                for id in ids {
                    let Some(controller) = self.controllers.get(id) else { continue };
                    if dual_writes(&controller.status().await) {
                        return *id;
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        match timeout(PATIENCE, looking).await {
            Ok(id) => id,
            Err(_) => panic!("nobody dual-writes: {:#?}", self.words().await),
        }
    }

    pub(crate) async fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (id, controller) in &self.controllers {
            let status = controller.status().await;
            words.push(format!("{id}: {} {:?} {:?}", status.driver_state, status.reason, status.quorum));
        }
        words
    }

    /// Waits until the status of a controller is as it should be.
    pub(crate) async fn until(&self, id: NodeId, what: &str, is_so: impl Fn(&StatusReport) -> bool) -> StatusReport {
        let waiting = async {
            loop {
                let status = self.of(id).status().await;
                if is_so(&status) {
                    return status;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("{what}: {:#?}", self.words().await),
        }
    }

    /// Makes a topic through a controller.
    pub(crate) async fn make(&self, id: NodeId, topic: &str) -> Result<(), Failure> {
        self.of(id).change(&topic_named(topic)).await.map(drop)
    }

    /// Waits until all that run have the whole log, and compares every znode at the leader.
    pub(crate) async fn settles(&self) -> VerifyReport {
        let leader = self.leader().await;
        let end = self.of(leader).status().await.log_end_offset;
        for id in self.controllers.keys() {
            self.until(*id, "it has the whole log", |status| status.log_end_offset >= end).await;
        }
        let (reporter, _reports) = Reporter::new();
        let verified =
            self.of(leader).verify(Showing { differences_max: 10, secrets: false }, &reporter).await.unwrap();
        assert_eq!(verified.total.divergent, 0, "{verified:#?}");
        assert!(verified.total.compared > 100);
        verified
    }

    /// Stops all, and compares their logs byte by byte.
    pub(crate) async fn end(mut self) {
        for (_, controller) in std::mem::take(&mut self.controllers) {
            controller.stop().await.unwrap();
        }
        let members: Vec<_> = IDS
            .into_iter()
            .map(|id| FleetMember { id, data_dir: self.folder.path().join(format!("controller-{id}")) })
            .collect();
        assert!(logs_agree(&members).unwrap().batches > 0);
    }
}

pub(crate) fn topic_named(name: &str) -> Change {
    Change::CreateTopic { name: name.to_owned(), partitions: 1, replication_factor: 1, configs: BTreeMap::new() }
}

/// Whether it leads, as far as it knows, and ZooKeeper lacks nothing.
pub(crate) fn dual_writes(status: &StatusReport) -> bool {
    let leads = status.quorum.as_ref().is_some_and(|quorum| quorum.leader == Some(status.node_id));
    leads && status.driver_state == "DUAL_WRITE" && status.lag_records == Some(0)
}
