//! Changes that are made on our side take effect in brokers that run in ZooKeeper mode.
//!
//! Real brokers run, with a real client's eyes on them; [`Ours`] takes the controllership from them, and changes go to our log
//! and, by dual write, to ZooKeeper. Then Kafka's tools and clients are asked. In the end the broker starts anew from what
//! ZooKeeper holds; our controller goes, as on the way back, and the broker, controller again, is asked once more.
//!
//! The broker is registered in our log meanwhile, and anew when it starts anew; one that is too old for a migration is not.
//!
//! Topics are no part of the live rounds: brokers hear of them from a controller by requests, which ours does not send.

mod asked;
pub(super) mod ours;
mod shown;
mod steps;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use metadata_core::id::NodeId;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::asked::{ALL_ENTITY_TYPES, AT_ONCE, Asked, OLD_ENTITY_TYPES};
use self::ours::Ours;
use self::steps::{Brokers, Check, Ground, NEW_PASSWORD, OLD_PASSWORD, Step, VAULT_PASSWORD};
use super::lab::{failed, port};
use super::{ClusterSpec, Findings, Lab, PartOptions, ZkModeCluster};
use crate::cli::Failure;
use crate::kafka::{Kafka, KafkaServer, Program, Properties, Release};

/// How long a change may take to show. Brokers hear of it at once, on a machine that has time.
const SHOWS_WITHIN: Duration = Duration::from_secs(45);

/// How long a broker may take to become the controller.
const ELECTED_WITHIN: Duration = Duration::from_secs(60);

/// The only broker.
const BROKER: NodeId = NodeId(0);

const PAUSE: Duration = Duration::from_millis(500);

/// What was found with the brokers of one release.
#[derive(Debug, Default, Serialize)]
struct Found {
    release: String,
    /// Times that the broker was registered in our log: for each of its starts, or never.
    registrations: usize,
    changes: usize,
    seen_by_running_broker: usize,
    lasting_changes: usize,
    seen_after_restart: usize,
    checks: usize,
    verify_compared: u64,
    verify_divergent: u64,
    verify_explained: u64,
    seconds: f64,
}

pub(super) async fn run(lab: &Lab, _options: PartOptions) -> Result<Findings, Failure> {
    let mut findings = Findings::new();
    let tools = lab.kafka(Release::V3_9).await?;
    let mut all = Vec::new();
    for (release, brokers) in [(Release::V3_9, Brokers::New), (Release::V2_4, Brokers::Old)] {
        let began = std::time::Instant::now();
        let found = one_release(lab, &tools, release, brokers, &mut findings).await;
        let mut found = found.map_err(|failure| failure.while_doing(format!("with brokers of Kafka {release}")))?;
        found.seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        findings.say(format!(
            "Kafka {release}: registered {} times; {} changes, {} seen by the running broker; after its restart {} of the {} that last; verify: \
             divergent {} of {} znodes ({} more that such a broker writes by itself); {:.0} s",
            found.registrations,
            found.changes,
            found.seen_by_running_broker,
            found.seen_after_restart,
            found.lasting_changes,
            found.verify_divergent,
            found.verify_compared,
            found.verify_explained,
            found.seconds
        ));
        all.push(found);
    }
    findings.field("releases", all);
    Ok(findings)
}

async fn one_release(
    lab: &Lab,
    tools: &Kafka,
    release: Release,
    brokers: Brokers,
    findings: &mut Findings,
) -> Result<Found, Failure> {
    let kafka = lab.kafka(release).await?;
    let mut cluster = start_cluster(lab, &kafka).await?;
    let vault = port()?;
    let ground = ground(&cluster, brokers, vault)?;
    let entity_types = if brokers == Brokers::New { ALL_ENTITY_TYPES } else { OLD_ENTITY_TYPES };
    let asked = Asked::new(tools, &cluster, format!("localhost:{vault}"), entity_types);
    prepare(&cluster, &asked, brokers).await?;
    lab.note("our controller takes over");
    let ours = Ours::take_over(&cluster).await?;
    let registered = match brokers {
        Brokers::New => Some(ours.registered(BROKER, None).await?),
        Brokers::Old => None,
    };

    let mut round = Round { lab, asked: &asked, findings, release, brokers };
    let mut found = Found { release: release.to_string(), ..Found::default() };
    let mut made = Vec::new();
    for steps in [steps::first_round(&ground), steps::second_round(&ground)] {
        let server = broker(&cluster)?;
        let log_before = server.log().len();
        lab.note(format_args!("making {} changes", steps.len()));
        for step in &steps {
            ours.change(&step.words).await?;
        }
        found.changes += steps.len();
        found.checks += steps.iter().map(|step| step.checks.len()).sum::<usize>();
        let logged = || broker(&cluster).map(|server| server.log().get(log_before..).unwrap_or_default().to_owned());
        found.seen_by_running_broker += round.seen("the running broker", &steps, logged).await?;
        made.extend(steps);
    }
    round.nothing_went_wrong("while it ran", &broker(&cluster)?.log());
    round.verified("before the restart", &ours, &mut found).await?;

    let topics = steps::topic_round(&ground);
    for step in &topics {
        ours.change(&step.words).await?;
    }
    made.extend(topics);
    lab.note("starting the broker anew");
    let server = cluster.brokers.first_mut().ok_or_else(no_broker)?;
    server.stop().await.map_err(failed("the broker does not stop"))?;
    server.restart().await.map_err(failed("the broker does not start from what ZooKeeper holds"))?;
    round.nothing_went_wrong("at its new start", &server.log());
    match registered {
        Some(earlier) => {
            ours.registered(BROKER, Some(earlier)).await?;
            found.registrations = 2;
        }
        None => ours.kept_out(BROKER).await?,
    }
    round.verified("after the restart", &ours, &mut found).await?;

    lab.note("our controller goes, and the broker becomes the controller");
    ours.go_back().await?;
    let elected = |log: &str| log.contains("successfully elected as the controller");
    server.wait_for(elected, ELECTED_WITHIN, "become the controller").await.map_err(failed("there is no way back"))?;
    let lasting = steps::lasting(&made);
    found.lasting_changes = lasting.len();
    found.seen_after_restart = round.seen("the broker after its restart", &lasting, || Ok(String::new())).await?;
    round.nothing_went_wrong("as controller again", &broker(&cluster)?.log());
    Ok(found)
}

fn no_broker() -> Failure {
    Failure::failed("the cluster has no broker")
}

fn broker(cluster: &ZkModeCluster) -> Result<&KafkaServer, Failure> {
    cluster.brokers.first().ok_or_else(no_broker)
}

async fn start_cluster(lab: &Lab, kafka: &Kafka) -> Result<ZkModeCluster, Failure> {
    let mut spec = ClusterSpec::new(kafka, 1);
    spec.chroot = "/kafka".to_owned();
    // With no controller to ask, a broker would wait long before it stops. The cleaner's memory is taken twice while it is
    // reconfigured, which is more than a small heap has.
    spec.extra =
        Properties::new().with("controlled.shutdown.enable", false).with("log.cleaner.dedupe.buffer.size", 4 << 20);
    let release = kafka.release();
    ZkModeCluster::start(lab, &format!("zk-brokers-{release}"), spec).await
}

/// The files that the changes name.
fn ground(cluster: &ZkModeCluster, brokers: Brokers, vault: u16) -> Result<Ground, Failure> {
    let write = |name: &str, text: String| {
        let file = cluster.folder().join(name);
        let written = std::fs::write(&file, text);
        written.map_err(|error| Failure::failed(format!("can't write {}", file.display())).because(&error))?;
        Ok::<_, Failure>(file.display().to_string())
    };
    let (plain, sasl) = (cluster.bootstrap(), cluster.sasl_bootstrap());
    let listeners = format!("PLAINTEXT://{plain},SASL_PLAINTEXT://{sasl},VAULT://localhost:{vault}");
    let protocols = "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,VAULT:SASL_PLAINTEXT";
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let configs = Properties::new()
        .with("listeners", &listeners)
        .with("listener.security.protocol.map", protocols)
        .with("listener.name.vault.sasl.enabled.mechanisms", "PLAIN")
        .with(
            "listener.name.vault.plain.sasl.jaas.config",
            format!("{module} required user_vera=\"{VAULT_PASSWORD}\";"),
        )
        .with("background.threads", 7);
    let vault_file = write("vault.properties", configs.text())?;
    let password_file = write("password", format!("{NEW_PASSWORD}\n"))?;
    Ok(Ground { brokers, password_file, vault_file, listeners })
}

/// What Kafka's own tools make before we take over.
async fn prepare(cluster: &ZkModeCluster, asked: &Asked, brokers: Brokers) -> Result<(), Failure> {
    let dave = ["--add", "--allow-principal", "User:dave", "--operation", "Write", "--topic", "orders"];
    asked.prepare(Program::Acls, &dave).await?;
    let password = format!("SCRAM-SHA-512=[password={OLD_PASSWORD}]");
    let bob = ["--alter", "--entity-type", "users", "--entity-name", "bob", "--add-config", &password];
    if brokers == Brokers::Old {
        // Its brokers take no such request: its own tool writes to ZooKeeper.
        let connect = cluster.zookeeper_connect();
        let all: Vec<&str> = ["--zookeeper", &connect].iter().chain(&bob).copied().collect();
        let done = cluster.kafka().run(Program::Configs, &all, "").await;
        return done.map(drop).map_err(failed("the cluster can't be prepared"));
    }
    asked.prepare(Program::Configs, &bob).await?;
    for topic in ["orders", "events-1", "small"] {
        let create = ["--create", "--topic", topic, "--partitions", "1", "--replication-factor", "1"];
        asked.prepare(Program::Topics, &create).await?;
    }
    let allow = ["--add", "--allow-principal", "User:bob", "--operation", "Write", "--topic", "orders"];
    asked.prepare(Program::Acls, &allow).await
}

/// Looks at brokers after changes.
struct Round<'a> {
    lab: &'a Lab,
    asked: &'a Asked,
    findings: &'a mut Findings,
    release: Release,
    brokers: Brokers,
}

impl Round<'_> {
    /// Waits until all checks of the steps hold, and tells which don't. Returns how many steps have all of theirs.
    async fn seen(
        &mut self,
        who: &str,
        steps: &[Step],
        logged: impl Fn() -> Result<String, Failure>,
    ) -> Result<usize, Failure> {
        self.lab.note(format_args!("looking whether {who} sees {} changes", steps.len()));
        let mut seen = steps.len();
        let mut unmet = self.shown(steps, &logged).await?;
        let checks = steps.iter().enumerate().flat_map(|(at, step)| step.checks.iter().map(move |check| (at, check)));
        let checks: Vec<_> = checks.collect();
        let asked = &*self;
        let answers = stream::iter(checks).map(|(at, check)| async move { (at, asked.answered(check).await) });
        for (at, reason) in answers.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await {
            if let Some(of_step) = unmet.get_mut(at) {
                of_step.extend(reason);
            }
        }
        for (step, unmet) in steps.iter().zip(unmet) {
            if !unmet.is_empty() {
                seen -= 1;
                let words = step.words.join(" ");
                let release = self.release;
                self.findings.broken(format!("Kafka {release}, {who}: `change {words}`: {}", unmet.join("; ")));
            }
        }
        Ok(seen)
    }

    /// What of each step's log lines and facts is not as it should be, once nothing is left or the time is over.
    async fn shown(
        &self,
        steps: &[Step],
        logged: impl Fn() -> Result<String, Failure>,
    ) -> Result<Vec<Vec<String>>, Failure> {
        let deadline = Instant::now() + SHOWS_WITHIN;
        loop {
            let log = logged()?;
            let of_log: Vec<_> = steps.iter().map(|step| unmet(&step.checks, &log, None)).collect();
            let over = Instant::now() > deadline;
            // The tools are slow, so they are asked when the log says that it is time.
            if over || of_log.iter().all(Vec::is_empty) {
                let facts = self.asked.facts().await.map_err(failed("a broker can't be asked"));
                match facts {
                    Ok(facts) => {
                        let all: Vec<_> = steps.iter().map(|step| unmet(&step.checks, &log, Some(&facts))).collect();
                        if over || all.iter().all(Vec::is_empty) {
                            return Ok(all);
                        }
                    }
                    Err(failure) if over => return Err(failure),
                    Err(_) => {}
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Why a client does not find out what it should, if so.
    async fn answered(&self, check: &Check) -> Option<String> {
        let Check::Answered(question, expected) = check else { return None };
        let deadline = Instant::now() + SHOWS_WITHIN;
        loop {
            let found = self.asked.answer(question).await;
            if found.as_ref() == Ok(expected) {
                return None;
            }
            if Instant::now() > deadline {
                let found = found.map_or_else(|reason| reason, |answer| format!("{answer:?}"));
                return Some(format!("{question}: expected {expected:?}, found {found}"));
            }
            sleep(PAUSE).await;
        }
    }

    /// A broker that can't make sense of what it is told says so in its log and goes on.
    fn nothing_went_wrong(&mut self, when: &str, log: &str) {
        let release = self.release;
        for line in complaints(log) {
            self.findings.broken(format!("Kafka {release}, {when}, the broker logs: {line}"));
        }
    }

    /// Compares every znode. What brokers of this release write by themselves is counted apart.
    async fn verified(&mut self, when: &str, ours: &Ours, found: &mut Found) -> Result<(), Failure> {
        let (counts, object) = ours.verify().await?;
        let (explained, rest) = differences(object.as_ref(), self.brokers);
        let explained = explained as u64;
        found.verify_compared = counts.compared;
        found.verify_explained += explained;
        found.verify_divergent += counts.divergent.saturating_sub(explained);
        if counts.divergent > explained {
            let release = self.release;
            self.findings.broken(format!(
                "Kafka {release}, {when}: divergent {}: {}",
                counts.divergent,
                rest.join(", ")
            ));
        }
        Ok(())
    }
}

/// Of what `verify` lists: how many that brokers of this kind write by themselves, and the others.
fn differences(object: Option<&Value>, brokers: Brokers) -> (usize, Vec<String>) {
    let listed = object.and_then(|object| object.get("differences")).and_then(Value::as_array);
    let all: Vec<&Value> = listed.into_iter().flatten().collect();
    let by_itself = |difference: &&&Value| {
        // A broker of before 3.0 takes a block of producer ids from ZooKeeper whenever it starts.
        brokers == Brokers::Old && difference.get("path").and_then(Value::as_str) == Some("/latest_producer_id_block")
    };
    let explained = all.iter().filter(by_itself).count();
    let rest = all.iter().filter(|difference| !by_itself(difference)).map(ToString::to_string).collect();
    (explained, rest)
}

/// The checks that don't hold, of those that a look at the log and (if there are any) at facts decides.
fn unmet(checks: &[Check], log: &str, facts: Option<&BTreeSet<String>>) -> Vec<String> {
    let reason = |check: &Check| match (check, facts) {
        (Check::Logged(line), _) if !log.contains(line) => Some(format!("it does not log {line:?}")),
        (Check::Shown(fact), Some(facts)) if !facts.contains(fact) => Some(format!("it does not show {fact:?}")),
        (Check::NotShown(fact), Some(facts)) if facts.contains(fact) => Some(format!("it still shows {fact:?}")),
        _ => None,
    };
    checks.iter().filter_map(reason).collect()
}

/// What a broker says of notifications and configs that it could not use.
fn complaints(log: &str) -> Vec<&str> {
    const ABOUT: [&str; 5] = [
        "rror processing change notification",
        "could not be decoded",
        "could not be applied",
        "event-process-thread]: Error",
        "Unparseable",
    ];
    log.lines().filter(|line| ABOUT.iter().any(|words| line.contains(words))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_does_not_hold_says_so() {
        let text = str::to_owned;
        let checks = [Check::Shown(text("a")), Check::NotShown(text("b")), Check::Logged(text("c"))];
        let facts = |all: &[&str]| all.iter().map(|fact| (*fact).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(unmet(&checks, "... c ...", Some(&facts(&["a", "x"]))), Vec::<String>::new());
        assert_eq!(unmet(&checks, "", Some(&facts(&["b"]))).len(), 3);
        // Without facts only the log is judged.
        assert_eq!(unmet(&checks, "", None), [r#"it does not log "c""#]);
    }

    #[test]
    fn only_the_producer_ids_of_old_brokers_may_differ() {
        let object = serde_json::json!({"differences": [{"path": "/latest_producer_id_block"}, {"path": "/a"}]});
        let other = vec![r#"{"path":"/a"}"#.to_owned()];
        assert_eq!(differences(Some(&object), Brokers::Old), (1, other));
        assert_eq!(differences(Some(&object), Brokers::New).1.len(), 2);
        assert_eq!(differences(None, Brokers::New), (0, Vec::new()));
    }

    #[test]
    fn a_broker_that_can_not_use_a_notification_is_heard() {
        let log = "[x] INFO fine (a)\n[x] ERROR error processing change notification USER:carol from /kafka-acl-changes/1\n\
                   [x] ERROR Dynamic password config a could not be decoded, ignoring.\n\tat x\n";
        assert_eq!(complaints(log).len(), 2);
    }
}
