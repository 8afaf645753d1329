//! What we refuse to migrate and Kafka does not: it can't be compared, so that what Kafka does with it is tried.

use std::collections::BTreeMap;

use metadata_core::record::MetadataRecord;

use super::super::{Findings, Lab};
use super::compare::{Difference, What, compare};
use super::content::{Content, Seeded, Znode};
use super::explained::explain;
use super::log::MigrationLog;
use super::odd::ODD;
use super::{kafkas, ours, unexplained};
use crate::cli::Failure;
use crate::kafka::Kafka;

/// Something that we refuse.
pub(super) struct Refusal {
    /// What.
    pub(super) what: &'static str,
    /// What Kafka does with it: "Kafka ...".
    pub(super) kafka_does: &'static str,
    /// The path that our refusal names.
    path: &'static str,
    /// What Kafka's log has because of it, beside what it would have without.
    outcome: Outcome,
}

enum Outcome {
    /// There is no log: the controller fails, with these words.
    Fails(&'static [&'static str]),
    /// So many differences, each of this kind.
    Differs(u64, fn(&Difference) -> bool),
}

/// The topic whose partition 1 has lost its state: its id.
const LOST: &str = "bG9zdC1zdGF0ZS10b3BpYw";
/// The id of two topics.
const TWINS: &str = "dHdpbi10b3BpY3MtaWQtMQ";

/// The user of whom everybody without settings has the settings.
const DEFAULT: &str = "<default>";

pub(super) const REFUSALS: &[Refusal] = &[
    Refusal {
        what: "a topic without an id",
        kafka_does: "fails before its copy and tries again for ever",
        path: "/brokers/topics/no-id",
        outcome: Outcome::Fails(&["Error in topic consumer. Topic was no-id", "Encountered zk migration fault"]),
    },
    Refusal {
        what: "two topics with one id",
        kafka_does: "copies both, so that the second takes the place of the first",
        path: "/brokers/topics/twin-",
        outcome: Outcome::Differs(4, |difference| {
            missing(difference).is_some_and(|record| match record {
                MetadataRecord::Topic(topic) => topic.topic_id.0.to_string() == TWINS,
                MetadataRecord::Partition(partition) => partition.topic_id.0.to_string() == TWINS,
                _ => false,
            })
        }),
    },
    Refusal {
        what: "configs that are no JSON",
        kafka_does: "takes them as if there were none",
        path: "/config/topics/no-partitions",
        outcome: Outcome::Differs(0, |_| false),
    },
    Refusal {
        what: "a partition that has lost its state",
        kafka_does: "begins it again at leader epoch 0, with its first replica as leader and all in sync",
        path: "/brokers/topics/lost-state/partitions/1/state",
        outcome: Outcome::Differs(3, |difference| {
            missing(difference).is_some_and(|record| match record {
                MetadataRecord::Topic(topic) => topic.topic_id.0.to_string() == LOST,
                MetadataRecord::Partition(partition) => {
                    let (isr, replicas) = (&partition.isr, &partition.replicas);
                    let began_again = partition.leader_epoch.0 == 0 && isr == replicas;
                    let id = partition.partition_id.0;
                    partition.topic_id.0.to_string() == LOST && began_again == (id == 1)
                }
                _ => false,
            })
        }),
    },
    Refusal {
        what: "encoded passwords without password.encoder.secret",
        kafka_does: "copies the encoded text as if it were the password",
        path: "/config/brokers/1",
        outcome: Outcome::Differs(2, |difference| {
            let value = match difference.kafka.as_ref().map(|entry| &entry.record.record) {
                Some(MetadataRecord::Config(config)) => config.value.as_deref().unwrap_or_default(),
                _ => return false,
            };
            difference.what == What::Field("value") && value.starts_with("keyFactoryAlgorithm:")
        }),
    },
    Refusal {
        what: "credentials of the default user",
        kafka_does: "gives them to a user who is called <default>",
        path: "/config/users/<default>",
        outcome: Outcome::Differs(
            1,
            |difference| matches!(missing(difference), Some(MetadataRecord::UserScramCredential(scram)) if scram.name == DEFAULT),
        ),
    },
];

/// On top of the seed and the odd znodes.
const BAD: &[Znode] = &[
    (
        "/brokers/topics/twin-a",
        r#"{"version":3,"topic_id":"dHdpbi10b3BpY3MtaWQtMQ","partitions":{"0":[1]},"adding_replicas":{},"removing_replicas":{}}"#,
        "two topics with one id",
    ),
    (
        "/brokers/topics/twin-b",
        r#"{"version":3,"topic_id":"dHdpbi10b3BpY3MtaWQtMQ","partitions":{"0":[2]},"adding_replicas":{},"removing_replicas":{}}"#,
        "",
    ),
    ("/config/topics/no-partitions", "{", "no JSON"),
    (
        "/brokers/topics/lost-state",
        r#"{"version":3,"topic_id":"bG9zdC1zdGF0ZS10b3BpYw","partitions":{"0":[1,2],"1":[2,1]},"adding_replicas":{},"removing_replicas":{}}"#,
        "partition 1 has no state and partition 0 has one",
    ),
    ("/brokers/topics/lost-state/partitions", "", ""),
    ("/brokers/topics/lost-state/partitions/0", "", ""),
    (
        "/brokers/topics/lost-state/partitions/0/state",
        r#"{"controller_epoch":3,"leader":2,"version":1,"leader_epoch":7,"isr":[2]}"#,
        "",
    ),
    ("/brokers/topics/lost-state/partitions/1", "", ""),
    (
        "/config/users/<default>",
        r#"{"version":1,"config":{"consumer_byte_rate":"20971520","producer_byte_rate":"10485760","SCRAM-SHA-256":"salt=MWx2NHBkYnc0ZndxN25vdGN4bTB5eTFrN3E=,stored_key=mT0yyUUxnlJaC99HXgRTSYlbuqa4FSGtJCJfTMvjYCE=,server_key=8Yp0ZrWHhzKGBVnhZUVIdBaxZwLRlEyvKL1hvOKjpuU=,iterations=8192"}}"#,
        "the seed's quotas of the default user, and credentials",
    ),
];

/// What makes Kafka fail, alone.
const NO_ID: &[Znode] = &[("/brokers/topics/no-id", r#"{"version":2,"partitions":{"0":[1]}}"#, "a topic of Kafka 2.7")];

/// A record that Kafka has and we lack.
fn missing(difference: &Difference) -> Option<&MetadataRecord> {
    let kafka = difference.kafka.as_ref().filter(|_| difference.what == What::Missing)?;
    Some(&kafka.record.record)
}

/// Tries all of it: we must name each, and Kafka must do what is said here. `ours` is our log of the same seed without.
pub(super) async fn judge(
    lab: &Lab,
    kafka: &Kafka,
    seeded: Seeded,
    ours: &MigrationLog,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let mut reasons = Vec::new();

    lab.note("content refused: what we refuse, all at once");
    let bad = Seeded { name: "refused", extra: &[ODD, BAD], secret: false, ..seeded };
    let content = Content::seed(lab, bad).await?;
    reasons.extend(ours::refuse(lab, &content).await?);
    let kafkas = kafkas::start(lab, kafka, &content, ours.replicas()).await?.finish().await?;
    broken_outcomes(compare(&kafkas.log.copy, &ours.copy).differences)
        .into_iter()
        .for_each(|what| findings.broken(what));

    lab.note("content no-id: what Kafka fails at");
    let content = Content::seed(lab, Seeded { name: "no-id", extra: &[NO_ID], ..seeded }).await?;
    reasons.extend(ours::refuse(lab, &content).await?);
    for refusal in REFUSALS {
        let Outcome::Fails(words) = refusal.outcome else { continue };
        let finished = kafkas::start(lab, kafka, &content, ours.replicas()).await?.fail(words).await?;
        if finished {
            findings.broken(format!("Kafka was to fail at {}, and copied it", refusal.what));
        }
    }
    broken_reasons(&reasons).into_iter().for_each(|what| findings.broken(what));
    findings.say(format!("  tried: what Kafka does with {} things that we refuse, by name", REFUSALS.len()));
    Ok(())
}

/// What Kafka did otherwise than is said here.
fn broken_outcomes(differences: Vec<Difference>) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rest = Vec::new();
    for difference in explain(differences).unexplained {
        let of = |refusal: &&Refusal| matches!(refusal.outcome, Outcome::Differs(_, is) if is(&difference));
        match REFUSALS.iter().find(of) {
            Some(refusal) => *counts.entry(refusal.what).or_default() += 1,
            None => rest.push(difference),
        }
    }
    let mut broken: Vec<String> = unexplained("refused", &rest).into_iter().collect();
    for refusal in REFUSALS {
        let Outcome::Differs(expected, _) = refusal.outcome else { continue };
        let found = counts.get(refusal.what).copied().unwrap_or_default();
        if found != expected {
            let Refusal { what, kafka_does, .. } = refusal;
            broken.push(format!("{what}: Kafka was seen {found} times instead of {expected} where it {kafka_does}"));
        }
    }
    broken
}

/// What we did not refuse by its name.
fn broken_reasons(reasons: &[String]) -> Vec<String> {
    let unnamed = REFUSALS.iter().filter(|refusal| !reasons.iter().any(|reason| reason.contains(refusal.path)));
    unnamed.map(|refusal| format!("we do not name {} at {}: {reasons:?}", refusal.what, refusal.path)).collect()
}
