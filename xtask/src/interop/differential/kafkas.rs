//! Kafka's own migration of a content.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata_core::metadata_version::MetadataVersion;
use store_zk::testkit::server::ZkServer;

use super::super::cluster::TOKEN_SECRET;
use super::super::lab::{Lab, failed, port};
use super::content::{Content, Size, client};
use super::log::MigrationLog;
use super::manifest::{FINISHED, KafkaManifest};
use super::ours;
use crate::cli::Failure;
use crate::controller::look_first;
use crate::kafka::{Kafka, KafkaServer, Program, Properties, ServerSpec, StandIn};
use crate::seed::{HeldBrokers, SeedBroker};

/// The controller's id: far from the brokers'.
const NODE_ID: i32 = 3000;

/// The listener between brokers.
const LISTENER: &str = "PLAINTEXT";

/// How long a copy may take, the wait for its begin included.
const COPY_MAX: Duration = Duration::from_secs(300);

/// How long a controller may take to become the active one.
const ACTIVE_MAX: Duration = Duration::from_secs(60);

/// What came of it.
pub(super) struct KafkaMigration {
    /// The log that it wrote.
    pub(super) log: MigrationLog,
    /// What it says of its copy.
    pub(super) manifest: KafkaManifest,
}

/// A controller of Kafka's that migrates a copy of a content.
pub(super) struct KafkaAttempt {
    controller: KafkaServer,
    /// Where it keeps its log.
    data_dir: PathBuf,
    /// In ZooKeeper, those who are alive.
    held: HeldBrokers,
    /// Dropped last.
    _server: ZkServer,
}

/// Starts a controller of Kafka's on a copy of the content, and registers whom it waits for: the brokers of the cluster and
/// all `replicas`.
pub(super) async fn start(
    lab: &Lab,
    kafka: &Kafka,
    content: &Content,
    replicas: BTreeSet<i32>,
) -> Result<KafkaAttempt, Failure> {
    let server = content.thaw(lab, "kafkas").await?;
    let connector = client(&server)?.connector()?;
    let cluster_id = look_first(connector.as_ref()).await?.cluster_id;
    let folder = lab.folder(&format!("{}-kafkas", content.name))?;
    let data_dir = folder.join("controller");
    let port = port()?;
    let properties = properties(content, &server, port).with("log.dirs", data_dir.display());
    format(kafka, &folder, &properties, &cluster_id).await?;

    let brokers: BTreeSet<i32> = replicas.into_iter().chain(content.brokers.iter().copied()).collect();
    let held = brokers.iter().map(|&id| znode(id)).collect();
    let held = HeldBrokers::register(connector.as_ref(), held, false).await?;

    let mut spec = ServerSpec::new(kafka, "controller", &folder, properties);
    spec.heap = content.size().heap().to_owned();
    if content.size() == Size::Large {
        // It is measured: with all of Java's compilers.
        spec.java = vec!["-XX:TieredStopAtLevel=4".to_owned()];
    }
    let controller = KafkaServer::start(spec).await.map_err(failed("Kafka's controller does not start"))?;
    let address = format!("localhost:{port}");
    for &id in &brokers {
        let (cluster_id, listener) = (cluster_id.clone(), LISTENER.to_owned());
        let metadata_version = MetadataVersion::LATEST_PRODUCTION.level();
        let stand_in = StandIn { id, cluster_id, listener, metadata_version };
        stand_in.register(&address, ACTIVE_MAX).await.map_err(failed("a broker's stand-in is not registered"))?;
    }
    Ok(KafkaAttempt { controller, data_dir, held, _server: server })
}

impl KafkaAttempt {
    /// Waits for the end of the copy, and stops.
    pub(super) async fn finish(mut self) -> Result<KafkaMigration, Failure> {
        let migrated = self.controller.wait_for(|log| log.contains(FINISHED), COPY_MAX, "finish its copy").await;
        migrated.map_err(failed("Kafka does not migrate"))?;
        let manifest = KafkaManifest::find(&self.controller.log()).map_err(failed("Kafka's account of its copy"))?;
        let data_dir = self.stop().await?;
        Ok(KafkaMigration { log: ours::read(data_dir).await?, manifest })
    }

    /// Waits until it fails with all these words in its log, and stops. Returns whether it had finished a copy.
    pub(super) async fn fail(mut self, words: &[&str]) -> Result<bool, Failure> {
        let failing = |log: &str| words.iter().all(|word| log.contains(word)) || log.contains(FINISHED);
        let reached = self.controller.wait_for(failing, COPY_MAX, "fail, nor finish its copy").await;
        reached.map_err(failed("Kafka does neither migrate nor fail"))?;
        let finished = self.controller.log().contains(FINISHED);
        self.stop().await.map(|_| finished)
    }

    async fn stop(mut self) -> Result<PathBuf, Failure> {
        self.controller.stop().await.map_err(failed("Kafka's controller does not stop"))?;
        self.held.release().await;
        Ok(self.data_dir)
    }
}

fn properties(content: &Content, server: &ZkServer, port: u16) -> Properties {
    let mut properties = Properties::new()
        .with("process.roles", "controller")
        .with("node.id", NODE_ID)
        .with("controller.quorum.voters", format!("{NODE_ID}@localhost:{port}"))
        .with("controller.listener.names", "CONTROLLER")
        .with("listeners", format!("CONTROLLER://localhost:{port}"))
        .with("listener.security.protocol.map", format!("CONTROLLER:PLAINTEXT,{LISTENER}:PLAINTEXT"))
        .with("inter.broker.listener.name", LISTENER)
        .with("zookeeper.connect", server.address())
        .with("zookeeper.session.timeout.ms", 60_000)
        .with("zookeeper.metadata.migration.enable", true)
        // Without it the controller can't publish tokens.
        .with("delegation.token.secret.key", TOKEN_SECRET);
    for (key, value) in content.settings.iter() {
        properties.set(key, value);
    }
    properties
}

async fn format(kafka: &Kafka, folder: &Path, properties: &Properties, cluster_id: &str) -> Result<(), Failure> {
    let config = folder.join("format.properties");
    properties
        .write(&config)
        .map_err(|error| Failure::failed(format!("can't write {}", config.display())).because(&error))?;
    let config = config.display().to_string();
    // In one word: an id of before 2.5 may begin with a dash.
    let cluster_id = format!("--cluster-id={cluster_id}");
    let arguments = ["format", &cluster_id, "--config", &config];
    let formatted = kafka.run(Program::Storage, &arguments, "").await;
    formatted.map(drop).map_err(failed("Kafka does not format the controller's directory"))
}

/// A broker in `/brokers/ids`: Kafka's controller looks there for who is alive.
fn znode(id: i32) -> SeedBroker {
    let endpoint = format!("{LISTENER}://localhost:9");
    let data = serde_json::json!({
        "version": 5, "host": "localhost", "port": 9, "jmx_port": -1, "timestamp": "0", "endpoints": [endpoint],
        "listener_security_protocol_map": {LISTENER: "PLAINTEXT"}, "features": {},
    });
    SeedBroker { id, path: format!("/brokers/ids/{id}"), data: data.to_string().into_bytes(), registered_ms: 0 }
}
