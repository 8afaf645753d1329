//! A cluster in ZooKeeper mode: real brokers, with everything switched on that leaves metadata in ZooKeeper.

use std::path::{Path, PathBuf};

use store_zk::client::config::{Credentials, Secret, ZkClientConfig};
use store_zk::testkit::server::ZkServer;

use super::lab::{Lab, failed, port};
use crate::cli::Failure;
use crate::kafka::{Kafka, KafkaServer, Properties, Release, ServerSpec};

/// What encodes passwords in ZooKeeper. Nothing here is secret.
pub const PASSWORD_ENCODER_SECRET: &str = "encoders-secret";

/// What signs delegation tokens.
pub const TOKEN_SECRET: &str = "tokens-secret";

/// What a ZooKeeper-mode cluster is made of.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// The release that its brokers are of.
    pub kafka: Kafka,
    /// The brokers' ids.
    pub brokers: Vec<i32>,
    /// Below which path of the ZooKeeper: empty, or `/kafka`.
    pub chroot: String,
    /// More settings of every broker.
    pub extra: Properties,
    /// Whether brokers log in to ZooKeeper (SASL DIGEST-MD5) and keep their znodes from others.
    pub secure: bool,
}

/// Who brokers are in a ZooKeeper that wants to know. Nothing here is secret.
const ZOOKEEPER_USER: &str = "kafka";
const ZOOKEEPER_PASSWORD: &str = "kafkas-secret";

/// A cluster in ZooKeeper mode that runs. Dropping it kills its processes; its files go with the [`Lab`].
///
/// Each broker has a listener without security, whose clients are super users, and one with SCRAM (SASL_PLAINTEXT, both
/// mechanisms), which delegation tokens need. ACLs are on.
pub struct ZkModeCluster {
    /// Its brokers, in the order of the ids asked for. Dropped before their ZooKeeper.
    pub brokers: Vec<KafkaServer>,
    /// Its ZooKeeper.
    pub zookeeper: ZkServer,
    spec: ClusterSpec,
    folder: PathBuf,
    ports: Vec<Ports>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    plain: u16,
    sasl: u16,
}

impl ClusterSpec {
    /// Brokers with ids from 0.
    pub fn new(kafka: &Kafka, brokers: i32) -> Self {
        let brokers = (0..brokers).collect();
        Self { kafka: kafka.clone(), brokers, chroot: String::new(), extra: Properties::new(), secure: false }
    }
}

/// The file by which brokers' Java logs in to ZooKeeper.
const JAAS_FILE: &str = "zookeeper.jaas";

fn zookeeper_user() -> Credentials {
    Credentials { user: ZOOKEEPER_USER.to_owned(), password: Secret::new(ZOOKEEPER_PASSWORD.to_owned()) }
}

fn jaas() -> String {
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    format!("Client {{\n  {module}\n    username=\"{ZOOKEEPER_USER}\"\n    password=\"{ZOOKEEPER_PASSWORD}\";\n}};\n")
}

impl ZkModeCluster {
    /// Starts a ZooKeeper, then the brokers one after another, in a folder of this name.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start(lab: &Lab, name: &str, spec: ClusterSpec) -> Result<Self, Failure> {
        let folder = lab.folder(name)?;
        let zookeeper = lab.zookeeper_with(if spec.secure { vec![zookeeper_user()] } else { Vec::new() }).await?;
        if spec.secure {
            std::fs::write(folder.join(JAAS_FILE), jaas())
                .map_err(|error| Failure::failed(format!("can't write {JAAS_FILE}")).because(&error))?;
        }
        lab.note(format_args!(
            "starting {} ZooKeeper-mode brokers of Kafka {}",
            spec.brokers.len(),
            spec.kafka.release()
        ));
        let mut cluster = Self { brokers: Vec::new(), zookeeper, spec, folder, ports: Vec::new() };
        for id in cluster.spec.brokers.clone() {
            cluster.start_broker(id).await?;
        }
        Ok(cluster)
    }

    /// Starts one broker more.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_broker(&mut self, id: i32) -> Result<(), Failure> {
        let ports = Ports { plain: port()?, sasl: port()? };
        let properties = self.properties(id, ports);
        let mut spec = ServerSpec::new(&self.spec.kafka, format!("broker-{id}"), &self.folder, properties);
        if self.spec.secure {
            let jaas = self.folder.join(JAAS_FILE);
            spec.java.push(format!("-Djava.security.auth.login.config={}", jaas.display()));
        }
        self.brokers.push(KafkaServer::start(spec).await.map_err(failed("a broker does not start"))?);
        self.ports.push(ports);
        Ok(())
    }

    fn properties(&self, id: i32, ports: Ports) -> Properties {
        let Ports { plain, sasl } = ports;
        let old = self.spec.kafka.release() == Release::V2_4;
        let token_key = if old { "delegation.token.master.key" } else { "delegation.token.secret.key" };
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let mut properties = Properties::new()
            .with("broker.id", id)
            .with("zookeeper.connect", self.zookeeper_connect())
            .with("zookeeper.session.timeout.ms", 30_000)
            .with("listeners", format!("PLAINTEXT://localhost:{plain},SASL_PLAINTEXT://localhost:{sasl}"))
            .with("log.dirs", self.log_dir(id).display())
            .with("sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512")
            .with("listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config", scram)
            .with("listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config", scram)
            .with("authorizer.class.name", "kafka.security.authorizer.AclAuthorizer")
            .with("super.users", "User:ANONYMOUS;User:admin")
            .with("password.encoder.secret", PASSWORD_ENCODER_SECRET)
            .with(token_key, TOKEN_SECRET)
            .with("auto.create.topics.enable", false)
            .with("num.partitions", 1)
            .with("offsets.topic.replication.factor", 1)
            .with("offsets.topic.num.partitions", 3)
            .with("transaction.state.log.replication.factor", 1)
            .with("transaction.state.log.min.isr", 1)
            .with("transaction.state.log.num.partitions", 3)
            .with("group.initial.rebalance.delay.ms", 0);
        if self.spec.secure {
            properties.set("zookeeper.set.acl", true);
        }
        for (key, value) in self.spec.extra.iter() {
            properties.set(key, value);
        }
        properties
    }

    /// `zookeeper.connect` of its brokers.
    pub fn zookeeper_connect(&self) -> String {
        format!("{}{}", self.zookeeper.address(), self.spec.chroot)
    }

    /// How a client of ours reaches its ZooKeeper, below the chroot, and as whom.
    ///
    /// # Errors
    /// The chroot is none.
    pub fn zookeeper_client(&self) -> Result<ZkClientConfig, Failure> {
        let mut client = ZkClientConfig::from_connect_string(&self.zookeeper_connect())?;
        client.sasl = self.spec.secure.then(zookeeper_user);
        Ok(client)
    }

    /// Addresses of the listeners without security.
    pub fn bootstrap(&self) -> String {
        self.ports.iter().map(|ports| format!("localhost:{}", ports.plain)).collect::<Vec<_>>().join(",")
    }

    /// Addresses of the listeners with SCRAM.
    pub fn sasl_bootstrap(&self) -> String {
        self.ports.iter().map(|ports| format!("localhost:{}", ports.sasl)).collect::<Vec<_>>().join(",")
    }

    /// The log directory of a broker.
    pub fn log_dir(&self, id: i32) -> PathBuf {
        self.folder.join(format!("data-{id}"))
    }

    /// Its folder, for files of a test.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its release.
    pub fn kafka(&self) -> &Kafka {
        &self.spec.kafka
    }

    /// Stops its brokers one after another, as an operator would. ZooKeeper goes on.
    ///
    /// # Errors
    /// One of them does not stop.
    pub async fn stop_brokers(&mut self) -> Result<(), Failure> {
        for broker in &mut self.brokers {
            broker.stop().await.map_err(failed("a broker does not stop"))?;
        }
        Ok(())
    }
}
