//! Every kind of metadata, made and unmade through Kafka's own tools.

use std::fs;

use metadata_core::id::NodeId;
use metadata_core::record::MetadataRecord;

use super::super::lab::failed;
use super::cluster::{CONTROLLER, KraftCluster, PASSWORD, USER};
use crate::cli::Failure;
use crate::kafka::{Program, Release};

/// What Kafka's own tools list at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Names of the topics.
    pub(super) topics: Vec<String>,
    /// How many access control entries.
    pub(super) acls: usize,
}

/// A few changes, for a cluster that is about something else.
pub(super) async fn few(cluster: &KraftCluster) -> Result<(), Failure> {
    topic(cluster, "orders", &["--partitions", "3", "--replication-factor", "2"]).await?;
    topic(cluster, "gone", &["--partitions", "1"]).await?;
    config(cluster, &["--entity-type", "topics", "--entity-name", "orders", "--add-config", "retention.ms=60000"])
        .await?;
    cluster.tool(Program::Topics, &["--delete", "--topic", "gone"]).await.map(drop)
}

/// All kinds. Afterwards broker 2 is stopped and unregistered.
pub(super) async fn all(cluster: &mut KraftCluster) -> Result<(), Failure> {
    let is_4 = cluster.kafka.release() == Release::V4;
    few(cluster).await?;
    topic(cluster, "moved", &["--replica-assignment", "1:2", "--config", "min.insync.replicas=2"]).await?;
    topic(cluster, "other", &["--replica-assignment", "1,1"]).await?;
    cluster.tool(Program::Topics, &["--alter", "--topic", "other", "--partitions", "4"]).await?;
    configs(cluster, is_4).await?;
    acls(cluster).await?;
    tokens(cluster).await?;
    let bootstrap = cluster.bootstrap();
    let producer = ["--bootstrap-server", &bootstrap, "--topic", "other"];
    let produced = cluster.kafka.run(Program::ConsoleProducer, &producer, "a message of a producer with an id\n").await;
    produced.map_err(failed("a producer does not produce"))?;
    reassignment(cluster).await?;
    features(cluster, is_4).await?;
    broker_lives_and_dies(cluster, is_4).await
}

async fn topic(cluster: &KraftCluster, name: &str, more: &[&str]) -> Result<(), Failure> {
    cluster.tool(Program::Topics, &[&["--create", "--topic", name], more].concat()).await.map(drop)
}

async fn config(cluster: &KraftCluster, more: &[&str]) -> Result<(), Failure> {
    cluster.tool(Program::Configs, &[&["--alter"], more].concat()).await.map(drop)
}

async fn configs(cluster: &KraftCluster, is_4: bool) -> Result<(), Failure> {
    let topic = ["--entity-type", "topics", "--entity-name", "orders"];
    let broker = ["--entity-type", "brokers", "--entity-name", "1"];
    let brokers = ["--entity-type", "brokers", "--entity-default"];
    let user = ["--entity-type", "users", "--entity-name", "bob"];
    let client = ["--entity-type", "clients", "--entity-name", "app", "--entity-type", "users", "--entity-default"];
    let ip = ["--entity-type", "ips", "--entity-name", "127.0.0.9"];
    let metrics = ["--entity-type", "client-metrics", "--entity-name", "lag"];
    let changes: [(&[&str], &str, &str); 11] = [
        (&topic, "--add-config", "cleanup.policy=[compact,delete],segment.bytes=2000000"),
        (&topic, "--delete-config", "retention.ms"),
        (&broker, "--add-config", "log.cleaner.threads=2"),
        (&brokers, "--add-config", "message.max.bytes=2000000"),
        (&user, "--add-config", "producer_byte_rate=1024,consumer_byte_rate=2048"),
        (&user, "--delete-config", "consumer_byte_rate"),
        (&user, "--add-config", "SCRAM-SHA-512=[iterations=4096,password=bobs]"),
        (&user, "--delete-config", "SCRAM-SHA-512"),
        (&client, "--add-config", "request_percentage=50"),
        (&ip, "--add-config", "connection_creation_rate=10"),
        (&metrics, "--add-config", "interval.ms=5000,metrics=[org.apache.kafka.producer.]"),
    ];
    for (entity, what, value) in changes {
        config(cluster, &[entity, &[what, value]].concat()).await?;
    }
    if is_4 {
        let cordoned = format!("cordoned.log.dirs={}", cluster.log_dir(1, 1).display());
        config(cluster, &[&broker[..], &["--add-config", &cordoned]].concat()).await?;
        cluster
            .wait_for("a log directory is cordoned", |record| match record {
                MetadataRecord::BrokerRegistrationChange(change) => change.cordoned_log_dirs.is_some(),
                _ => false,
            })
            .await?;
    }
    Ok(())
}

async fn acls(cluster: &KraftCluster) -> Result<(), Failure> {
    let bob = ["--allow-principal", "User:bob", "--operation", "Read", "--operation", "Write", "--topic", "orders"];
    cluster.tool(Program::Acls, &[&["--add"], &bob[..]].concat()).await?;
    let prefixed = ["--deny-principal", "User:eve", "--deny-host", "10.0.0.1", "--operation", "All", "--group", "a"];
    let prefixed = [&["--add"], &prefixed[..], &["--resource-pattern-type", "prefixed"]].concat();
    cluster.tool(Program::Acls, &prefixed).await?;
    let gone = ["--allow-principal", "User:bob", "--operation", "Write", "--topic", "orders"];
    cluster.tool(Program::Acls, &[&["--remove", "--force"], &gone[..]].concat()).await.map(drop)
}

async fn tokens(cluster: &KraftCluster) -> Result<(), Failure> {
    let config = cluster.folder.join("alice.properties");
    let text = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n\
         sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"{USER}\" \
         password=\"{PASSWORD}\";\n"
    );
    let written = fs::write(&config, text);
    written.map_err(|error| Failure::failed(format!("can't write {}", config.display())).because(&error))?;
    let (config, bootstrap) = (config.display().to_string(), cluster.sasl_bootstrap());
    let with = ["--bootstrap-server", bootstrap.as_str(), "--command-config", config.as_str()];
    let run = async |more: &[&str]| {
        let done = cluster.kafka.run(Program::DelegationTokens, &[&with, more].concat(), "").await;
        done.map_err(failed("a tool does not do what it is asked with a delegation token"))
    };
    let create = ["--create", "--max-life-time-period", "-1", "--renewer-principal", "User:bob"];
    run(&create).await?;
    let made = run(&create).await?;
    // Below a head line: the token's id, then what it is known by to its owner.
    let last = made.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let hmac = last.split_whitespace().nth(1).unwrap_or_default();
    run(&["--renew", "--renew-time-period", "3600000", "--hmac", hmac]).await?;
    run(&["--expire", "--expiry-time-period", "-1", "--hmac", hmac]).await?;
    Ok(())
}

async fn reassignment(cluster: &KraftCluster) -> Result<(), Failure> {
    let plan = cluster.folder.join("plan.json");
    let text = r#"{"version":1,"partitions":[{"topic":"other","partition":0,"replicas":[2]}]}"#;
    fs::write(&plan, text).map_err(|error| Failure::failed("can't write a plan").because(&error))?;
    let plan = plan.display().to_string();
    cluster.tool(Program::Reassign, &["--execute", "--reassignment-json-file", &plan]).await?;
    cluster
        .wait_for("a reassignment is done", |record| match record {
            MetadataRecord::PartitionChange(change) => change.replicas.as_deref() == Some(&[NodeId(2)]),
            _ => false,
        })
        .await
}

/// A feature down and up again. Nothing depends on these two steps.
async fn features(cluster: &KraftCluster, is_4: bool) -> Result<(), Failure> {
    let [down, up] =
        if is_4 { ["share.version=1", "share.version=2"] } else { ["metadata.version=20", "metadata.version=21"] };
    cluster.tool(Program::Features, &["downgrade", "--feature", down]).await?;
    cluster.tool(Program::Features, &["upgrade", "--feature", up]).await.map(drop)
}

/// Broker 2 is killed and fenced, comes back, shuts down in an orderly way, and is unregistered.
async fn broker_lives_and_dies(cluster: &mut KraftCluster, is_4: bool) -> Result<(), Failure> {
    let of_broker_2 = |record: &MetadataRecord, what: fn(i8, i8) -> bool| match record {
        MetadataRecord::BrokerRegistrationChange(change) => {
            change.broker_id == NodeId(2) && what(change.fenced, change.in_controlled_shutdown)
        }
        _ => false,
    };
    let no_broker = || Failure::failed("there is no broker 2");
    cluster.brokers.get_mut(1).ok_or_else(no_broker)?.kill();
    cluster.wait_for("broker 2 is fenced", |record| of_broker_2(record, |fenced, _| fenced == 1)).await?;
    if is_4 {
        cluster
            .wait_for("a partition has an eligible leader replica", |record| match record {
                MetadataRecord::PartitionChange(change) => {
                    change.eligible_leader_replicas.as_deref() == Some(&[NodeId(2)])
                }
                _ => false,
            })
            .await?;
        let moved = ["--entity-type", "topics", "--entity-name", "moved", "--add-config", "min.insync.replicas=1"];
        config(cluster, &moved).await?;
    }
    let broker = cluster.brokers.get_mut(1).ok_or_else(no_broker)?;
    broker.restart().await.map_err(failed("broker 2 does not come back"))?;
    broker.stop().await.map_err(failed("broker 2 does not stop"))?;
    cluster.wait_for("broker 2 was shut down", |record| of_broker_2(record, |_, shutdown| shutdown == 1)).await?;
    let bootstrap = cluster.bootstrap();
    let unregister = ["unregister", "--bootstrap-server", &bootstrap, "--id", "2"];
    cluster.kafka.run(Program::Cluster, &unregister, "").await.map_err(failed("broker 2 is not unregistered"))?;
    cluster.wait_for("broker 2 is unregistered", |record| matches!(record, MetadataRecord::UnregisterBroker(_))).await
}

/// A second controller registers, is stopped, and is unregistered: Kafka 4.4 alone can do the last.
pub(super) async fn controller_comes_and_goes(cluster: &KraftCluster) -> Result<(), Failure> {
    let id = CONTROLLER + 1;
    let mut second = cluster.observer(id).await?;
    cluster
        .wait_for("a second controller registers", |record| match record {
            MetadataRecord::RegisterController(register) => register.controller_id == NodeId(id),
            _ => false,
        })
        .await?;
    second.stop().await.map_err(failed("a second controller does not stop"))?;
    let (bootstrap, id) = (cluster.controller_bootstrap(), id.to_string());
    let unregister = ["unregister-controller", "--bootstrap-controller", &bootstrap, "--id", &id];
    cluster.kafka.run(Program::Cluster, &unregister, "").await.map_err(failed("a controller is not unregistered"))?;
    cluster
        .wait_for("a controller is unregistered", |record| matches!(record, MetadataRecord::UnregisterController(_)))
        .await
}

/// What Kafka's tools list.
pub(super) async fn listed(cluster: &KraftCluster) -> Result<Listed, Failure> {
    let topics = cluster.tool(Program::Topics, &["--list"]).await?;
    let acls = cluster.tool(Program::Acls, &["--list"]).await?;
    let mut topics: Vec<String> =
        topics.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    topics.sort();
    Ok(Listed { topics, acls: acls.matches("(principal=").count() })
}
