//! Real brokers in ZooKeeper mode live through the takeover: our controller serves them.
//!
//! Three brokers of Kafka 3.9 with the flag for the migration. Our controller takes their cluster over, without any word of
//! an operator that they may be left alone: they register, read our log, and are told what to do. Then a topic is made on our
//! side, a broker is killed and comes back, another is stopped as it should be and comes back, and at last the cluster goes back
//! to ZooKeeper. A second cluster goes the whole way: its brokers are rolled into KRaft mode, the migration is finalized, and
//! ZooKeeper is stopped ([`rolled`]). Each time every partition must have a leader, every replica must be in sync in the end, and messages must go in
//! and come out.

mod rolled;

use std::time::{Duration, Instant};

use serde::Serialize;

use super::lab::{failed, port};
use super::rollback::asked::Asked;
use super::zk_brokers::ours::Ours;
use super::{ClusterSpec, Findings, Lab, PartOptions, ZkModeCluster};
use crate::cli::Failure;
use crate::kafka::{Program, Properties, Release};

/// The controller's id. No broker has it.
const CONTROLLER: i32 = 3000;

/// After this time at the latest ZooKeeper has ended the session of a broker that was killed.
const SESSION_ENDS_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// What a step has shown.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    partitions: usize,
    online: usize,
    seconds: f64,
}

/// The steps so far.
struct Steps<'a> {
    asked: Asked,
    findings: &'a mut Findings,
    done: Vec<Step>,
}

impl Steps<'_> {
    /// Waits until every partition is led by somebody else than `without`, or until all replicas are in sync, and sends
    /// messages through.
    async fn settle(&mut self, step: &'static str, without: Option<i32>, topics: &[&str]) -> Result<(), Failure> {
        let began = Instant::now();
        let online = match without {
            Some(id) => self.asked.online_without(id).await?,
            None => self.asked.online().await?,
        };
        let seconds = began.elapsed().as_secs_f64();
        if online.partitions == 0 || online.with_leader != online.partitions {
            let left = online.without_leader.join("; ");
            self.findings
                .broken(format!("{step}: {} of {} partitions online: {left}", online.with_leader, online.partitions));
        }
        for topic in topics {
            if let Err(failure) = self.asked.goes_through(topic, &step.replace(' ', "-")).await {
                self.findings.broken(format!("{step}: {topic} does not serve: {}", failure.lines().join("; ")));
            }
        }
        self.findings.say(format!(
            "{step}: {} of {} partitions online after {seconds:.1} s",
            online.with_leader, online.partitions
        ));
        self.done.push(Step { step, partitions: online.partitions, online: online.with_leader, seconds });
        Ok(())
    }
}

/// A broker that was killed can't come back before its session with ZooKeeper has ended.
async fn session_ended(cluster: &ZkModeCluster, id: i32) -> Result<(), Failure> {
    let session = cluster.zookeeper_client()?.connector()?.connect().await?;
    let deadline = Instant::now() + SESSION_ENDS_WITHIN;
    while session.exists(&format!("/brokers/ids/{id}")).await?.is_some() {
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("broker {id} was killed, and stays in /brokers/ids")));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(session.close().await?)
}

/// A cluster of three brokers whose controller-to-be listens at `listener`.
async fn cluster(lab: &Lab, name: &str, listener: u16) -> Result<ZkModeCluster, Failure> {
    let kafka = lab.kafka(Release::V3_9).await?;
    let mut spec = ClusterSpec::new(&kafka, 3);
    spec.chroot = "/kafka".to_owned();
    spec.extra = Properties::new()
        .with("zookeeper.metadata.migration.enable", true)
        .with("inter.broker.protocol.version", "3.9")
        .with("controller.quorum.voters", format!("{CONTROLLER}@localhost:{listener}"))
        .with("controller.listener.names", "CONTROLLER")
        .with(
            "listener.security.protocol.map",
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
        )
        .with("broker.id.generation.enable", false)
        // Longer than a broker's session with our controller: that one must do.
        .with("zookeeper.session.timeout.ms", 18_000)
        .with("offsets.topic.replication.factor", 3)
        .with("min.insync.replicas", 2);
    ZkModeCluster::start(lab, name, spec).await
}

/// Two topics, and messages in one of them.
async fn prepare(steps: &mut Steps<'_>) -> Result<(), Failure> {
    for topic in ["orders", "events"] {
        let create = ["--create", "--topic", topic, "--partitions", "4", "--replication-factor", "3"];
        steps.asked.prepare(Program::Topics, &create).await?;
    }
    steps.settle("before", None, &["orders"]).await
}

/// Compares every znode.
async fn compared(ours: &Ours, steps: &mut Steps<'_>) -> Result<u64, Failure> {
    let (counts, object) = ours.verify().await?;
    if counts.divergent > 0 || counts.compared == 0 {
        let shown = object.unwrap_or_default().to_string();
        steps.findings.broken(format!("divergent {} of {}: {shown}", counts.divergent, counts.compared));
    }
    steps.findings.say(format!("divergent {} of {}", counts.divergent, counts.compared));
    Ok(counts.compared)
}

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let mut findings = Findings::new();
    let (served, compared) = in_zookeeper_mode(lab, &options, &mut findings).await?;
    findings.field("steps", served);
    findings.field("verify_compared", compared);
    if !options.quick {
        let rolled = rolled::run(lab, &mut findings).await?;
        findings.field("rolled", rolled);
    }
    Ok(findings)
}

async fn in_zookeeper_mode(
    lab: &Lab,
    options: &PartOptions,
    findings: &mut Findings,
) -> Result<(Vec<Step>, u64), Failure> {
    let listener = port()?;
    let mut cluster = cluster(lab, "served", listener).await?;
    let mut steps = Steps { asked: Asked::new(&cluster), findings, done: Vec::new() };
    prepare(&mut steps).await?;

    lab.note("our controller takes over, and serves the brokers");
    let ours = Ours::serving(&cluster, "ours", CONTROLLER, listener).await?;
    steps.settle("taken over", None, &["orders"]).await?;

    lab.note("a topic is made on our side");
    let create = "topic create ours --partitions 3 --replication-factor 3";
    ours.change(&create.split(' ').map(str::to_owned).collect::<Vec<_>>()).await?;
    steps.settle("a topic of ours", None, &["ours"]).await?;

    lab.note("a broker is killed");
    cluster.brokers[1].kill();
    steps.settle("a broker killed", Some(1), &["orders", "ours"]).await?;
    session_ended(&cluster, 1).await?;
    cluster.brokers[1].restart().await.map_err(failed("a broker that was killed does not start again"))?;
    steps.settle("the broker back", None, &["orders"]).await?;

    if !options.quick {
        lab.note("a broker is stopped as it should be");
        cluster.brokers[2].stop().await.map_err(failed("a broker does not stop"))?;
        steps.settle("a broker stopped", Some(2), &["orders"]).await?;
        cluster.brokers[2].restart().await.map_err(failed("a broker that was stopped does not start again"))?;
        steps.settle("that broker back", None, &["orders"]).await?;
    }

    let compared = compared(&ours, &mut steps).await?;
    lab.note("the cluster goes back to ZooKeeper");
    ours.roll_back(false).await?;
    steps.settle("rolled back", None, &["orders", "ours"]).await?;
    Ok((steps.done, compared))
}
