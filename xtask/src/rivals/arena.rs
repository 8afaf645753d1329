//! A ZooKeeper with a cluster in it, a log server, and two rivals.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metadata_core::contract::Workload;
use metadata_core::id::{KRaftLeaderEpoch, NodeId};
use metadata_core::store::MetadataStore as _;
use store_zk::client::ZkConnector;
use store_zk::client::config::{Properties, ZkSettings};
use store_zk::testkit::proxy::FaultProxy;
use store_zk::testkit::server::{ServerOptions, ZkServer};
use store_zk::{ZkStore, ZkStoreOptions};
use tempfile::TempDir;

use super::history::ZkHistory;
use super::rival::Rival;
use super::server::LogServer;
use crate::cli::{Failure, Interrupt, Progress};
use crate::control::Reporter;
use crate::controller::{Compared, Showing, VerifyReport, compare, secret_of};
use crate::seed::{self, Blueprint, PASSWORD_ENCODER_SECRET, SeedOptions};

/// Where the cluster lies in the ZooKeeper.
pub(super) const CHROOT: &str = "/kafka";
/// The members of the log.
const NODES: [NodeId; 2] = [NodeId(3000), NodeId(3001)];
/// The log's own identity.
const LOG_ID: &str = "cml2YWxzLW9uZS1sb2c";

/// Everything that a fight needs. Dropping it ends all of it.
pub struct Arena {
    /// The two. They end first.
    pub rivals: [Rival; 2],
    /// Their log.
    pub log: LogServer,
    workload: Workload,
    settings: ZkSettings,
    connector: Arc<dyn ZkConnector>,
    store: ZkStore,
    server: ZkServer,
    _folder: TempDir,
}

impl Arena {
    /// Starts a ZooKeeper, seeds it, and starts both rivals with `program` (this one). Nobody leads yet.
    ///
    /// # Errors
    /// Something can't be started.
    pub async fn start(program: &Path, options: SeedOptions, session_timeout: Duration) -> Result<Self, Failure> {
        let seed = options.seed;
        let server = ZkServer::start(ServerOptions { heap: "512m".to_owned(), ..ServerOptions::default() })
            .await
            .map_err(|error| Failure::failed("there is no ZooKeeper").because(&error))?;
        let folder = tempfile::tempdir().map_err(|error| Failure::failed("can't make a folder").because(&error))?;
        let settings = settings_of(&server.address(), session_timeout)?;
        let connector = settings.client.connector()?;
        let cluster_id = seeded(&settings, &connector, options).await?;
        let log = LogServer::start(&folder.path().join("log.sock"))
            .map_err(|error| Failure::failed("can't serve the log").because(&error))?;
        let start = |node: NodeId| {
            let (folder, cluster_id, log) = (folder.path().to_owned(), cluster_id.clone(), log.socket().to_owned());
            let upstream = server.socket_address();
            async move {
                let proxy = FaultProxy::start(upstream)
                    .await
                    .map_err(|error| Failure::failed("there is no proxy").because(&error))?;
                let config = folder.join(format!("{node}.properties"));
                write_config(&config, &properties(&proxy.address(), session_timeout))?;
                let voters = NODES.map(|node| node.0.to_string()).join(",");
                let arguments = [
                    ("--log", log.display().to_string()),
                    ("--node-id", node.0.to_string()),
                    ("--voters", voters),
                    ("--cluster-id", cluster_id),
                    ("--log-id", LOG_ID.to_owned()),
                    ("--zookeeper-config", config.display().to_string()),
                ];
                let flags = arguments.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
                Rival::start(program, &["rival".to_owned()].into_iter().chain(flags).collect::<Vec<_>>(), node, proxy)
            }
        };
        let [first, second] = NODES;
        let rivals = [start(first).await?, start(second).await?];
        let quorum = fencing::QuorumIdentity { cluster_id, log_id: LOG_ID.to_owned() };
        let mut store_options = ZkStoreOptions::new(quorum, NODES.into_iter().collect());
        store_options.secret = secret_of(&settings);
        let store = ZkStore::new(Arc::clone(&connector), store_options);
        let workload = Workload::new(seed);
        Ok(Self { rivals, log, workload, settings, connector, store, server, _folder: folder })
    }

    /// Elects the first rival: it copies, and dual-writes when this returns, with its epoch.
    ///
    /// # Errors
    /// The migration does not come to dual writing.
    pub async fn begin(&mut self) -> Result<KRaftLeaderEpoch, Failure> {
        let epoch = self.elect(0)?;
        self.wait_until_written(0, epoch).await?;
        // What dual writing itself has written shows that it waits for nothing else.
        self.change(1).await?;
        self.wait_until_written(0, epoch).await?;
        Ok(epoch)
    }

    /// The ZooKeeper.
    pub fn server(&self) -> &ZkServer {
        &self.server
    }

    /// Elects a rival.
    pub fn elect(&self, who: usize) -> Result<KRaftLeaderEpoch, Failure> {
        Ok(self.log.elect(self.rival(who)?.node))
    }

    /// A rival, 0 or 1.
    pub fn rival(&self, who: usize) -> Result<&Rival, Failure> {
        self.rivals.get(who).ok_or_else(|| Failure::failed(format!("there is no rival {who}")))
    }

    /// Appends random changes as the leader, whoever that is, and waits for nothing but the log.
    pub async fn change(&mut self, count: usize) -> Result<(), Failure> {
        let changes = self.workload.changes(&self.log.image(), count);
        for change in changes {
            self.log.append(change).await?;
        }
        Ok(())
    }

    /// Waits until a rival, as the leader of `epoch`, has written everything that is in the log now.
    ///
    /// # Errors
    /// It never does.
    pub async fn wait_until_written(&self, who: usize, epoch: KRaftLeaderEpoch) -> Result<(), Failure> {
        let rival = self.rival(who)?;
        // The copy itself makes the log grow.
        loop {
            let end = self.log.end();
            rival
                .wait(&format!("everything is written in epoch {epoch}"), |seen| seen.has_written(epoch, end.0))
                .await?;
            if end == self.log.end() {
                return Ok(());
            }
        }
    }

    /// Compares every znode with the log. ZooKeeper must have everything, and stand still.
    ///
    /// # Errors
    /// ZooKeeper can't be read, or lacks something. A difference is no error.
    pub async fn verify(&self) -> Result<VerifyReport, Failure> {
        let image = self.log.image();
        let position = self.store.position().await?;
        if position != image.position() {
            let why = format!("it is at {position}, the log ends at {}", image.position());
            return Err(Failure::failed("ZooKeeper lacks something").why(why));
        }
        let compared = Compared { store: &self.store, connector: self.connector.as_ref(), settings: &self.settings };
        let showing = Showing { differences_max: 20, secrets: false };
        let (reporter, _) = Reporter::new();
        compare(compared, &image, image.position().end_offset.0, showing, &reporter).await
    }

    /// What ZooKeeper itself says of all that happened.
    ///
    /// # Errors
    /// Its log can't be read.
    pub fn history(&self) -> Result<ZkHistory, Failure> {
        ZkHistory::read(self.server.folder())
    }

    /// Opens sessions with the cluster's path, past the proxies.
    pub fn connector(&self) -> &Arc<dyn ZkConnector> {
        &self.connector
    }

    /// Where the cluster lies in the ZooKeeper.
    pub fn chroot(&self) -> &'static str {
        CHROOT
    }
}

fn properties(address: &str, session_timeout: Duration) -> String {
    format!(
        "zookeeper.connect={address}{CHROOT}\nzookeeper.session.timeout.ms={}\npassword.encoder.secret={}\n",
        session_timeout.as_millis(),
        PASSWORD_ENCODER_SECRET
    )
}

fn settings_of(address: &str, session_timeout: Duration) -> Result<ZkSettings, Failure> {
    let none = |_: &Path| Ok(String::new());
    Properties::parse(&properties(address, session_timeout))
        .and_then(|properties| ZkSettings::from_properties(&properties, &none))
        .map_err(|error| Failure::failed("the configuration can't be used").because(&error))
}

fn write_config(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| Failure::failed(format!("can't write {}", file.display())).because(&error))
}

/// Writes a cluster, and returns its id.
async fn seeded(
    settings: &ZkSettings,
    connector: &Arc<dyn ZkConnector>,
    options: SeedOptions,
) -> Result<String, Failure> {
    let blueprint =
        Blueprint::new(options).map_err(|error| Failure::usage("no cluster can be made").because(&error))?;
    seed::ensure_chroot(&settings.client, false).await?;
    let session = connector.connect().await?;
    let (hidden, never) = (Progress::hidden(), Interrupt::never());
    let manifest = seed::write(session.as_ref(), &blueprint, false, &hidden, &never).await?;
    session.close().await?;
    Ok(manifest.cluster_id)
}
