//! What only one of the two migrates, or neither: there are no two logs to be compared, so what each does is tried.

use std::collections::BTreeMap;

use metadata_core::record::MetadataRecord;

use super::super::{Findings, Lab};
use super::compare::{Difference, What, compare};
use super::content::{Content, Seeded, Znode};
use super::explained::explain;
use super::log::MigrationLog;
use super::{kafkas, ours, unexplained};
use crate::cli::Failure;
use crate::kafka::Kafka;

/// Something that one of the two does not migrate.
pub(super) struct OneSided {
    /// What.
    pub(super) what: &'static str,
    /// What Kafka does with it: "Kafka ...".
    pub(super) kafka_does: &'static str,
    /// What Kafka's log has because of it, beside what it would have without.
    outcome: Outcome,
    ours: Ours,
}

enum Outcome {
    /// There is no log: the controller fails, with these words. Znodes on top of the seed make it.
    Fails { content: &'static str, znodes: &'static [Znode], words: &'static [&'static str] },
    /// So many differences, each of this kind. [`BAD`] makes them, all at once.
    Differs(u64, fn(&Difference) -> bool),
}

enum Ours {
    /// We refuse, and name this path.
    Refuse(&'static str),
    /// We migrate it.
    Migrate,
}

impl OneSided {
    /// What we do with it.
    pub(super) fn we_do(&self) -> &'static str {
        match self.ours {
            Ours::Refuse(_) => "refuse it by name",
            Ours::Migrate => "migrate it",
        }
    }
}

/// The topic whose partition 1 has lost its state: its id.
const LOST: &str = "bG9zdC1zdGF0ZS10b3BpYw";
/// The id of two topics.
const TWINS: &str = "dHdpbi10b3BpY3MtaWQtMQ";

/// The user of whom everybody without settings has the settings.
const DEFAULT: &str = "<default>";

pub(super) const ONE_SIDED: &[OneSided] = &[
    OneSided {
        what: "a topic without an id",
        kafka_does: "fails before its copy",
        ours: Ours::Refuse("/brokers/topics/no-id"),
        outcome: Outcome::Fails {
            content: "no-id",
            znodes: NO_ID,
            words: &["Error in topic consumer. Topic was no-id", "Encountered zk migration fault"],
        },
    },
    OneSided {
        what: "a password in another cipher than the controller's password.encoder.cipher.algorithm",
        kafka_does: "ends its process",
        ours: Ours::Migrate,
        outcome: Outcome::Fails {
            content: "cipher",
            znodes: GCM,
            words: &["AlgorithmParameterSpec not of GCMParameterSpec", "Aborting the ZK migration"],
        },
    },
    OneSided {
        what: "two topics with one id",
        kafka_does: "copies both, so that the second takes the place of the first",
        ours: Ours::Refuse("/brokers/topics/twin-"),
        outcome: Outcome::Differs(4, |difference| {
            missing(difference).is_some_and(|record| match record {
                MetadataRecord::Topic(topic) => topic.topic_id.0.to_string() == TWINS,
                MetadataRecord::Partition(partition) => partition.topic_id.0.to_string() == TWINS,
                _ => false,
            })
        }),
    },
    OneSided {
        what: "configs that are no JSON",
        kafka_does: "takes them as if there were none",
        ours: Ours::Refuse("/config/topics/no-partitions"),
        outcome: Outcome::Differs(0, |_| false),
    },
    OneSided {
        what: "a partition that has lost its state",
        kafka_does: "begins it again at leader epoch 0, with its first replica as leader and all in sync",
        ours: Ours::Refuse("/brokers/topics/lost-state/partitions/1/state"),
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
    OneSided {
        what: "encoded passwords without password.encoder.secret",
        kafka_does: "copies the encoded text as if it were the password",
        ours: Ours::Refuse("/config/brokers/1"),
        outcome: Outcome::Differs(2, |difference| {
            let value = match difference.kafka.as_ref().map(|entry| &entry.record.record) {
                Some(MetadataRecord::Config(config)) => config.value.as_deref().unwrap_or_default(),
                _ => return false,
            };
            difference.what == What::Field("value") && value.starts_with("keyFactoryAlgorithm:")
        }),
    },
    OneSided {
        what: "credentials of the default user",
        kafka_does: "gives them to a user who is called <default>",
        ours: Ours::Refuse("/config/users/<default>"),
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

/// `key-demo-password`, as Kafka 3.9.2's `kafka-configs` writes it with the seed's secret and
/// `password.encoder.cipher.algorithm=AES/GCM/NoPadding`.
const GCM: &[Znode] = &[(
    "/config/brokers/7",
    r#"{"version":1,"config":{"listener.name.external.ssl.key.password":"initializationVector:JlkGx8J38rKOdqN4,keyLength:128,salt:McHbDpDxg/crq6/IMbznnafhQ0/aHMts3US7rfwp2ecRdB9sfDz0OQwNovt3k2eJDxlMQzN4r3XUaO65wnPyxyjBoKamtYun6jQ9Dzb6E59Opf9/wmHEBf2luwdpowqaxc05/RYnzrIRti2bt5TG3/qZxQGdeIElWkQ8OS8jYKkRCX+6J+7E4rFxBlvayzFKyHOHD9t9KwLP1VGqWF5ClZNCvhQrrTsyHAw7m3SN929ogDI7CvqsU+R3wrshONgQpg62K552fGQWgA0jEw9YbY9/yrxraNQf55gOIaHtvksn3iFl1oWVxPVVub5igatn/QaiYkrYlooqV+v44peVZg==,keyFactoryAlgorithm:PBKDF2WithHmacSHA512,cipherAlgorithm:AES/GCM/NoPadding,authenticationTagLength:128,iterations:4096,passwordLength:17,encryptedPassword:TGBr4vRQO1oWc08Zyv1zW7h9cJHDrbths2H2RKuyvRtu"}}"#,
    "beside the seed's passwords in AES/CBC: no controller of Kafka's reads both",
)];

/// A record that Kafka has and we lack.
fn missing(difference: &Difference) -> Option<&MetadataRecord> {
    let kafka = difference.kafka.as_ref().filter(|_| difference.what == What::Missing)?;
    Some(&kafka.record.record)
}

/// Tries all of it: we must do what is said here, and so must Kafka. `ours` is our log of the same seed without.
pub(super) async fn judge(
    lab: &Lab,
    kafka: &Kafka,
    seeded: Seeded,
    ours: &MigrationLog,
    findings: &mut Findings,
) -> Result<(), Failure> {
    lab.note("content refused: much that we refuse, all at once");
    let bad = Seeded { name: "refused", extra: BAD, secret: false, ..seeded };
    let content = Content::seed(lab, bad).await?;
    let mut reasons = ours::refuse(lab, &content).await?;
    let kafkas = kafkas::start(lab, kafka, &content, ours.replicas()).await?.finish().await?;
    let differences = compare(&kafkas.log.copy, &ours.copy).differences;
    broken_outcomes(differences).into_iter().for_each(|what| findings.broken(what));

    for case in ONE_SIDED {
        let Outcome::Fails { content: name, znodes, words } = case.outcome else { continue };
        lab.note(format_args!("content {name}: {}", case.what));
        let content = Content::seed(lab, Seeded { name, extra: znodes, ..seeded }).await?;
        match case.ours {
            Ours::Refuse(_) => reasons.extend(ours::refuse(lab, &content).await?),
            Ours::Migrate => drop(ours::migrate(lab, &content).await?),
        }
        if kafkas::start(lab, kafka, &content, ours.replicas()).await?.fail(words).await? {
            findings.broken(format!("Kafka was to fail at {}, and copied it", case.what));
        }
    }
    broken_reasons(&reasons).into_iter().for_each(|what| findings.broken(what));
    findings.say(format!("  tried: what either does with {} things that one of us does not migrate", ONE_SIDED.len()));
    Ok(())
}

/// What Kafka did otherwise than is said here.
fn broken_outcomes(differences: Vec<Difference>) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut rest = Vec::new();
    for difference in explain(differences).unexplained {
        let of = |case: &&OneSided| matches!(case.outcome, Outcome::Differs(_, is) if is(&difference));
        match ONE_SIDED.iter().find(of) {
            Some(case) => *counts.entry(case.what).or_default() += 1,
            None => rest.push(difference),
        }
    }
    let mut broken: Vec<String> = unexplained("refused", &rest).into_iter().collect();
    for case in ONE_SIDED {
        let Outcome::Differs(expected, _) = case.outcome else { continue };
        let found = counts.get(case.what).copied().unwrap_or_default();
        if found != expected {
            let OneSided { what, kafka_does, .. } = case;
            broken.push(format!("{what}: Kafka was seen {found} times instead of {expected} where it {kafka_does}"));
        }
    }
    broken
}

/// What we did not refuse by its name.
fn broken_reasons(reasons: &[String]) -> Vec<String> {
    let unnamed = ONE_SIDED.iter().filter_map(|case| match case.ours {
        Ours::Refuse(path) if !reasons.iter().any(|reason| reason.contains(path)) => Some((case.what, path)),
        _ => None,
    });
    unnamed.map(|(what, path)| format!("we do not name {what} at {path}: {reasons:?}")).collect()
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{LeaderEpoch, NodeId, TopicId};
    use metadata_core::record::{ConfigRecord, PartitionRecord, TopicRecord, UserScramCredentialRecord};

    use super::super::entry::Entry;
    use super::super::entry::tests::{entry, partition};
    use super::*;

    fn of(id: &str) -> TopicId {
        TopicId(id.parse().unwrap())
    }

    fn topic(name: &str, id: &str) -> Entry {
        entry(TopicRecord { name: name.into(), topic_id: of(id), ..Default::default() })
    }

    fn lost(id: i32, leader_epoch: i32) -> Entry {
        let isr = if leader_epoch == 0 { vec![NodeId(1), NodeId(2)] } else { vec![NodeId(2)] };
        let leader_epoch = LeaderEpoch(leader_epoch);
        entry(PartitionRecord { topic_id: of(LOST), isr, leader_epoch, ..partition(0, id) })
    }

    fn password(value: &str) -> Entry {
        let name = value.len().to_string();
        entry(ConfigRecord { resource_type: 4, name, value: Some(value.into()), ..Default::default() })
    }

    fn scram(name: &str) -> Entry {
        entry(UserScramCredentialRecord { name: name.into(), ..Default::default() })
    }

    /// What Kafka makes of all that we refuse.
    fn kafkas() -> Vec<Entry> {
        let twin = |id| entry(PartitionRecord { topic_id: of(TWINS), ..partition(0, id) });
        vec![
            topic("twin-a", TWINS),
            topic("twin-b", TWINS),
            twin(0),
            twin(0),
            topic("lost-state", LOST),
            lost(0, 7),
            lost(1, 0),
            scram(DEFAULT),
        ]
    }

    /// The passwords, which both have, in Kafka's words and in ours.
    fn differences(mut kafka: Vec<Entry>) -> Vec<Difference> {
        let mut ours = Vec::new();
        for text in ["keyFactoryAlgorithm:1", "keyFactoryAlgorithm:12"] {
            kafka.push(password(text));
            let mut clear = password(text);
            if let MetadataRecord::Config(config) = &mut clear.record.record {
                config.value = Some("clear".to_owned());
            }
            ours.push(clear);
        }
        compare(&kafka, &ours).differences
    }

    #[test]
    fn what_kafka_does_is_what_is_said() {
        assert_eq!(broken_outcomes(differences(kafkas())), Vec::<String>::new());
    }

    #[test]
    fn whatever_kafka_does_otherwise_is_noticed() {
        for at in 0..kafkas().len() {
            let mut fewer = kafkas();
            fewer.remove(at);
            assert_eq!(broken_outcomes(differences(fewer)).len(), 1, "{at}");
            let mut more = kafkas();
            more.push(more[at].clone());
            assert_eq!(broken_outcomes(differences(more)).len(), 1, "{at}");
        }
        for stranger in [lost(0, 0), lost(1, 7), scram("someone"), topic("other", "AAAAAAAAAAAAAAAAAAAAAQ")] {
            let mut more = kafkas();
            more.push(stranger);
            assert!(broken_outcomes(differences(more))[0].contains("nothing explains"));
        }
        let clear = vec![Difference {
            what: What::Field("value"),
            kafka: Some(password("clear")),
            ours: Some(password("other")),
        }];
        let all = differences(kafkas()).into_iter().chain(clear).collect();
        assert!(broken_outcomes(all)[0].contains("nothing explains"));
    }

    #[test]
    fn each_case_must_name_its_path() {
        let paths = ONE_SIDED.iter().filter_map(|case| match case.ours {
            Ours::Refuse(path) => Some(path),
            Ours::Migrate => None,
        });
        let all: Vec<String> = paths.map(|path| format!("{path}: why")).collect();
        assert_eq!(broken_reasons(&all), Vec::<String>::new());
        for at in 0..all.len() {
            let mut fewer = all.clone();
            fewer.remove(at);
            assert_eq!(broken_reasons(&fewer).len(), 1, "{at}");
        }
    }
}
