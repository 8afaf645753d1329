//! A KRaft cluster of Kafka's own: a controller and two brokers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata_core::record::MetadataRecord;
use store_kraft::log::{Dump, DumpItem, RecordContent};
use tokio::time::{Instant, sleep};

use super::super::lab::{Lab, failed, port};
use crate::cli::Failure;
use crate::kafka::{Kafka, KafkaServer, Program, Properties, ServerSpec};

/// The controller's id.
pub(super) const CONTROLLER: i32 = 3000;

const CLUSTER_ID: &str = "ZcQrXrnVQj-xXqg6iQ0pGg";

/// A user with SCRAM from the first moment on, as the format writes it.
pub(super) const USER: &str = "alice";
pub(super) const PASSWORD: &str = "alice-secret";

/// How long a record may take to appear in the log.
const RECORD_MAX: Duration = Duration::from_secs(120);

/// Where a quorum has its voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quorum {
    /// In the configuration: kraft.version 0.
    Static,
    /// In the log: kraft.version 1 (KIP-853).
    Dynamic,
}

impl Quorum {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

/// A cluster that runs. Dropping it kills its processes.
pub(super) struct KraftCluster {
    pub(super) kafka: Kafka,
    pub(super) controller: KafkaServer,
    pub(super) brokers: Vec<KafkaServer>,
    pub(super) folder: PathBuf,
    controller_port: u16,
    quorum: Quorum,
    ports: Vec<(u16, u16)>,
}

impl KraftCluster {
    /// Formats and starts a controller and the brokers 1 and 2, in a folder of this name.
    pub(super) async fn start(lab: &Lab, kafka: &Kafka, name: &str, quorum: Quorum) -> Result<Self, Failure> {
        let folder = lab.folder(name)?;
        let controller_port = port()?;
        let ports = vec![(port()?, port()?), (port()?, port()?)];
        let properties = controller_properties(&folder, CONTROLLER, controller_port, controller_port, quorum);
        let specs: Vec<_> = (1..)
            .zip(&ports)
            .map(|(id, ports)| {
                let properties = broker_properties(&folder, id, *ports, controller_port, quorum);
                ServerSpec::new(kafka, format!("broker-{id}"), &folder, properties)
            })
            .collect();
        let controller = ServerSpec::new(kafka, "controller", &folder, properties);
        let scram = format!("SCRAM-SHA-256=[name={USER},password={PASSWORD}]");
        let more: &[&str] = if quorum == Quorum::Dynamic { &["--standalone"] } else { &[] };
        format(&controller, &[more, &["--add-scram", &scram]].concat()).await?;
        for spec in &specs {
            format(spec, &[]).await?;
        }
        // All at once: none is ready before the others have come some way.
        let mut controller = KafkaServer::launch(controller).map_err(failed("a controller does not start"))?;
        let launched: Result<Vec<_>, _> = specs.into_iter().map(KafkaServer::launch).collect();
        let mut brokers = launched.map_err(failed("a broker does not start"))?;
        controller.started().await.map_err(failed("a controller does not start"))?;
        for broker in &mut brokers {
            broker.started().await.map_err(failed("a broker does not start"))?;
        }
        Ok(Self { kafka: kafka.clone(), controller, brokers, folder, controller_port, quorum, ports })
    }

    /// Starts a second controller, which observes the quorum.
    pub(super) async fn observer(&self, id: i32) -> Result<KafkaServer, Failure> {
        let properties = controller_properties(&self.folder, id, port()?, self.controller_port, self.quorum);
        let spec = ServerSpec::new(&self.kafka, format!("controller-{id}"), &self.folder, properties);
        format(&spec, &["--no-initial-controllers"]).await?;
        KafkaServer::start(spec).await.map_err(failed("a second controller does not start"))
    }

    /// The data directory of the controller.
    pub(super) fn data_dir(&self) -> PathBuf {
        data_dir(&self.folder, CONTROLLER)
    }

    /// A log directory of a broker, of two.
    pub(super) fn log_dir(&self, broker: i32, number: u8) -> PathBuf {
        log_dir(&self.folder, broker, number)
    }

    pub(super) fn bootstrap(&self) -> String {
        self.ports.iter().map(|(plain, _)| format!("localhost:{plain}")).collect::<Vec<_>>().join(",")
    }

    pub(super) fn sasl_bootstrap(&self) -> String {
        self.ports.iter().map(|(_, sasl)| format!("localhost:{sasl}")).collect::<Vec<_>>().join(",")
    }

    pub(super) fn controller_bootstrap(&self) -> String {
        format!("localhost:{}", self.controller_port)
    }

    /// Runs a tool on the cluster, as a super user.
    pub(super) async fn tool(&self, program: Program, arguments: &[&str]) -> Result<String, Failure> {
        let bootstrap = self.bootstrap();
        let all = [&["--bootstrap-server", bootstrap.as_str()], arguments].concat();
        self.kafka.run(program, &all, "").await.map_err(failed("a tool of Kafka's does not do what it is asked"))
    }

    /// Waits until a record is in the log, as our reader reads it while the controller writes.
    pub(super) async fn wait_for(&self, what: &str, is_it: impl Fn(&MetadataRecord) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + RECORD_MAX;
        while !in_log(&self.data_dir(), &is_it)? {
            if Instant::now() > deadline {
                let limit = RECORD_MAX.as_secs();
                return Err(Failure::failed(format!("the log does not say within {limit} s that {what}")));
            }
            sleep(Duration::from_millis(300)).await;
        }
        Ok(())
    }
}

fn in_log(data_dir: &Path, is_it: impl Fn(&MetadataRecord) -> bool) -> Result<bool, Failure> {
    for item in Dump::open(data_dir).map_err(Failure::from)? {
        // A torn end is what is being written.
        let DumpItem::Batch(batch) = item.map_err(Failure::from)? else { continue };
        for record in &batch.records {
            if let Ok(RecordContent::Metadata(record)) = &record.content
                && is_it(&record.record)
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn data_dir(folder: &Path, id: i32) -> PathBuf {
    folder.join(format!("controller-data-{id}"))
}

fn log_dir(folder: &Path, broker: i32, number: u8) -> PathBuf {
    folder.join(format!("broker-data-{broker}-{number}"))
}

fn of_quorum(properties: Properties, port: u16, quorum: Quorum) -> Properties {
    let properties = properties.with("controller.listener.names", "CONTROLLER");
    match quorum {
        Quorum::Static => properties.with("controller.quorum.voters", format!("{CONTROLLER}@localhost:{port}")),
        Quorum::Dynamic => properties.with("controller.quorum.bootstrap.servers", format!("localhost:{port}")),
    }
}

/// What all servers have: ACLs, tokens, and sessions of brokers that end soon.
fn of_cluster(properties: Properties) -> Properties {
    properties
        .with("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
        .with("super.users", "User:ANONYMOUS;User:admin")
        .with(
            "listener.security.protocol.map",
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        )
        .with("delegation.token.secret.key", "tokens-secret")
        .with("broker.session.timeout.ms", 9000)
        .with("broker.heartbeat.interval.ms", 1000)
}

fn controller_properties(folder: &Path, id: i32, port: u16, leader: u16, quorum: Quorum) -> Properties {
    let properties = Properties::new()
        .with("node.id", id)
        .with("process.roles", "controller")
        .with("listeners", format!("CONTROLLER://localhost:{port}"))
        .with("log.dirs", data_dir(folder, id).display())
        // Snapshots and segments in plenty.
        .with("metadata.log.max.record.bytes.between.snapshots", 2500)
        .with("metadata.log.segment.ms", 15_000);
    of_cluster(of_quorum(properties, leader, quorum))
}

fn broker_properties(folder: &Path, id: i32, ports: (u16, u16), controller: u16, quorum: Quorum) -> Properties {
    let (plain, sasl) = ports;
    let [first, second] = [0, 1].map(|number| log_dir(folder, id, number));
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let properties = Properties::new()
        .with("node.id", id)
        .with("process.roles", "broker")
        .with("broker.rack", format!("rack-{id}"))
        .with("listeners", format!("PLAINTEXT://localhost:{plain},SASL_PLAINTEXT://localhost:{sasl}"))
        .with("log.dirs", format!("{},{}", first.display(), second.display()))
        .with("sasl.enabled.mechanisms", "SCRAM-SHA-256")
        .with("listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config", scram)
        .with("offsets.topic.num.partitions", 1)
        .with("offsets.topic.replication.factor", 1);
    of_cluster(of_quorum(properties, controller, quorum))
}

async fn format(spec: &ServerSpec, more: &[&str]) -> Result<(), Failure> {
    let config = spec.folder.join(format!("{}-format.properties", spec.name));
    let written = spec.properties.write(&config);
    written.map_err(|error| Failure::failed(format!("can't write {}", config.display())).because(&error))?;
    let config = config.display().to_string();
    let arguments = [&["format", "--cluster-id", CLUSTER_ID, "--config", &config], more].concat();
    let formatted = spec.kafka.run(Program::Storage, &arguments, "").await;
    formatted.map(drop).map_err(failed("a directory can't be formatted"))
}
