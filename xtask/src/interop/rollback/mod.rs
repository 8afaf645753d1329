//! After our rollback real brokers in ZooKeeper mode govern themselves again.
//!
//! A cluster of Kafka 3.9 runs; our controller takes it over, and topics, configs and access control lists are changed on our
//! side. Then `rollback`: in the first round by the controller that runs, in the second, in a fresh directory, after it was
//! killed. Each time the brokers must elect one of them, every partition must have a leader, messages must go in and come
//! out, and a topic must be creatable. Then they are started anew, and asked again. What our side wrote must not stop any
//! of this: the third migration compares every znode.

pub(in crate::interop) mod asked;

use serde::Serialize;
use serde_json::Value;

use self::asked::{Asked, Online};
use super::lab::failed;
use super::zk_brokers::ours::Ours;
use super::{ClusterSpec, Findings, Lab, PartOptions, ZkModeCluster};
use crate::cli::Failure;
use crate::kafka::{Program, Properties, Release};

/// What one way back has shown.
#[derive(Debug, Default, Serialize)]
struct Round {
    way: &'static str,
    changes: usize,
    epoch_raised: Option<i64>,
    elected: Option<i64>,
    election_seconds: Option<f64>,
    partitions: usize,
    online: usize,
    online_after_restart: usize,
    served: usize,
    verify_compared: u64,
    verify_divergent: u64,
}

/// The two ways back.
const WAYS: [(&str, bool); 2] = [("by the running controller", false), ("after the controller was killed", true)];

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let mut findings = Findings::new();
    let kafka = lab.kafka(Release::V3_9).await?;
    let brokers = if options.quick { 1 } else { 3 };
    let mut spec = ClusterSpec::new(&kafka, brokers);
    spec.chroot = "/kafka".to_owned();
    // While nobody leads, a broker would wait long before it stops.
    spec.extra = Properties::new().with("controlled.shutdown.enable", false);
    let mut cluster = ZkModeCluster::start(lab, "rollback", spec).await?;
    let asked = Asked::new(&cluster);
    prepare(&asked, brokers).await?;

    let mut rounds = Vec::new();
    for (number, (way, killed_first)) in WAYS.into_iter().enumerate() {
        lab.note(format_args!("our controller takes over; it is rolled back {way}"));
        let ours = Ours::take_over_in(&cluster, &format!("ours-{number}")).await?;
        let mut round = Round { way, ..Round::default() };
        compared(&ours, way, &mut round, &mut findings).await?;
        let changes = changes(number, brokers);
        for change in &changes {
            let words: Vec<String> = change.split(' ').map(str::to_owned).collect();
            ours.change(&words).await?;
        }
        round.changes = changes.len();
        compared(&ours, way, &mut round, &mut findings).await?;
        let object = ours.roll_back(killed_first).await?;
        told(&object, brokers, &mut round, &mut findings);

        lab.note("asking the brokers that have run all the time");
        let online = asked.online().await?;
        (round.partitions, round.online) = (online.partitions, online.with_leader);
        judge(&online, way, "running", &mut findings);
        served(&asked, number, "running", &mut round, &mut findings).await;
        lab.note("starting the brokers anew");
        for server in &mut cluster.brokers {
            server.stop().await.map_err(failed("a broker does not stop"))?;
        }
        for server in &mut cluster.brokers {
            server.restart().await.map_err(failed("a broker does not start from what ZooKeeper holds"))?;
        }
        let online = asked.online().await?;
        round.online_after_restart = online.with_leader;
        judge(&online, way, "restarted", &mut findings);
        served(&asked, number, "restarted", &mut round, &mut findings).await;
        findings.say(format!(
            "{way}: broker {} governs after {:.3} s; {} of {} partitions online, {} after a restart; {} times a topic served",
            round.elected.unwrap_or(-1),
            round.election_seconds.unwrap_or_default(),
            round.online,
            round.partitions,
            round.online_after_restart,
            round.served,
        ));
        rounds.push(round);
    }
    lab.note("a migration in a fresh directory");
    let ours = Ours::take_over_in(&cluster, "ours-last").await?;
    let mut last = Round { way: "no way back: the migration after them", ..Round::default() };
    compared(&ours, last.way, &mut last, &mut findings).await?;
    findings.say(format!("the migration after them: divergent {} of {}", last.verify_divergent, last.verify_compared));
    rounds.push(last);
    findings.field("rounds", rounds);
    Ok(findings)
}

/// What is there before we take over.
async fn prepare(asked: &Asked, brokers: i32) -> Result<(), Failure> {
    let replicas = brokers.to_string();
    for topic in ["orders", "events"] {
        let create = ["--create", "--topic", topic, "--partitions", "4", "--replication-factor", &replicas];
        asked.prepare(Program::Topics, &create).await?;
    }
    let allow = ["--add", "--allow-principal", "User:bob", "--operation", "Read", "--topic", "orders", "--group", "*"];
    asked.prepare(Program::Acls, &allow).await?;
    let quota =
        ["--alter", "--entity-type", "users", "--entity-name", "bob", "--add-config", "producer_byte_rate=9000"];
    asked.prepare(Program::Configs, &quota).await?;
    asked.produce("orders", &["before 1", "before 2"]).await
}

/// What is changed on our side, as typed behind `change`.
fn changes(round: usize, brokers: i32) -> Vec<String> {
    vec![
        format!("topic create ours-{round} --partitions 3 --replication-factor {brokers}"),
        format!("topic add-partitions orders --total {}", 5 + round),
        format!("config topic ours-{round} set retention.ms=720000{round}"),
        format!("acl add --principal User:ann{round} --operation read --resource topic:ours-{round}"),
        format!("quota set --user ann{round} producer_byte_rate=1024"),
    ]
}

/// Compares every znode with our log.
async fn compared(ours: &Ours, way: &str, round: &mut Round, findings: &mut Findings) -> Result<(), Failure> {
    let (counts, object) = ours.verify().await?;
    round.verify_compared += counts.compared;
    round.verify_divergent += counts.divergent;
    if counts.divergent > 0 || counts.compared == 0 {
        let shown = object.unwrap_or_default().to_string();
        findings.broken(format!("{way}: divergent {} of {}: {shown}", counts.divergent, counts.compared));
    }
    Ok(())
}

/// What `rollback` says of itself.
fn told(object: &Value, brokers: i32, round: &mut Round, findings: &mut Findings) {
    let number = |field: &str| object.get(field).and_then(Value::as_i64);
    round.epoch_raised = number("epoch_raised");
    round.elected = number("elected");
    round.election_seconds = object.get("election_seconds").and_then(Value::as_f64);
    let live = 0..i64::from(brokers);
    if !round.elected.is_some_and(|id| live.contains(&id)) {
        findings.broken(format!("{}: no live broker was elected: {object}", round.way));
    }
    // Whoever is elected raises the epoch once more.
    if number("epoch") <= round.epoch_raised || number("partition_epoch_max") > number("epoch") {
        findings.broken(format!("{}: the epochs are not in order: {object}", round.way));
    }
}

fn judge(online: &Online, way: &str, when: &str, findings: &mut Findings) {
    for partition in &online.without_leader {
        findings.broken(format!("{way}, {when}: {partition} has no leader, or lacks replicas in sync"));
    }
    if online.partitions == 0 {
        findings.broken(format!("{way}, {when}: the brokers show no partition"));
    }
}

/// Messages go into old and new topics and come out; a topic is created, which only a controller can do.
async fn served(asked: &Asked, number: usize, when: &str, round: &mut Round, findings: &mut Findings) {
    let created = format!("after-{number}-{when}");
    let made = asked.create(&created).await;
    let ours = (0..=number).map(|number| format!("ours-{number}"));
    let topics = ours.chain(["orders".to_owned()]).chain(made.is_ok().then(|| created.clone()));
    if let Err(failure) = &made {
        findings.broken(format!("{}, {when}: {created} can't be created: {failure}", round.way));
    }
    for topic in topics.collect::<Vec<_>>() {
        match asked.goes_through(&topic, &format!("{number} {when}")).await {
            Ok(()) => round.served += 1,
            Err(failure) => findings.broken(format!("{}, {when}: {topic} is not served: {failure}", round.way)),
        }
    }
}
