//! What an import must notice, one claim a test.

use std::collections::{BTreeMap, BTreeSet};

use crate::edits::{Editor, edits};
use crate::kafka_tree::{Choices, KafkaTree};
use crate::normal::normal;
use metadata_core::id::{NodeId, PartitionEpoch, ZkControllerEpoch};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{MetadataRecord, VersionedRecord};
use proptest::prelude::*;
use store_zk::import::{ImportContext, ImportError, Imported, Importer, PROBLEMS_KEPT_MAX, import_tree};
use store_zk::znode::Znode;
use store_zk::znode::password::{self, PasswordSecret};

type Result = std::result::Result<(Vec<VersionedRecord>, Imported), ImportError>;

fn tree(znodes: &[(&str, &str)]) -> BTreeMap<String, Znode> {
    let znode = |data: &str| if data.is_empty() { Znode::container() } else { Znode::new(data.to_owned(), 5.into()) };
    znodes.iter().map(|(path, data)| ((*path).to_owned(), znode(data))).collect()
}

fn context() -> ImportContext {
    ImportContext {
        secret: Some(PasswordSecret::new("encoder-secret")),
        metadata_version: MetadataVersion::LATEST_PRODUCTION,
    }
}

fn import(znodes: &[(&str, &str)]) -> Result {
    import_tree(&tree(znodes), context())
}

/// The only problem of an import: its path and its text.
fn problem(result: Result) -> (String, String) {
    let error = result.unwrap_err();
    assert_eq!(error.problem_count, 1, "{error:?}");
    (error.problems[0].path.clone(), error.problems[0].reason.clone())
}

fn names(records: &[VersionedRecord]) -> Vec<&'static str> {
    records.iter().map(|record| record.record.name()).collect()
}

const STATE: &str = r#"{"version":1,"leader":2,"leader_epoch":14,"controller_epoch":7,"isr":[2,1]}"#;
const TOPIC: &str = r#"{"version":3,"topic_id":"AQIDBAUGBwieN3m5f0p8FQ","partitions":{"0":[1,2]},"adding_replicas":{},"removing_replicas":{}}"#;
const CREDENTIAL: &str = "salt=c2FsdA==,stored_key=a2V5MQ==,server_key=a2V5Mg==,iterations=8192";

fn config(properties: &[(&str, &str)]) -> String {
    let map: BTreeMap<&str, &str> = properties.iter().copied().collect();
    format!(r#"{{"version":1,"config":{}}}"#, serde_json::to_string(&map).unwrap())
}

#[test]
fn records_come_in_kafkas_order_at_version_zero() {
    let token = r#"{"version":3,"owner":"User%3Aa","tokenRequester":"User%3Aa","renewers":[],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"t"}"#;
    let acl = r#"{"version":1,"acls":[{"principal":"User:a","permissionType":"Allow","operation":"Read","host":"*"}]}"#;
    let user = config(&[("SCRAM-SHA-256", CREDENTIAL), ("request_percentage", "10.0")]);
    let quota = config(&[("request_percentage", "1.0")]);
    let (records, imported) = import(&[
        ("/brokers/topics/a", TOPIC),
        ("/brokers/topics/a/partitions/0/state", STATE),
        ("/config/topics/a", &config(&[("retention.ms", "1")])),
        ("/config/brokers/<default>", &config(&[("x", "1")])),
        ("/config/users/u", &user),
        ("/config/users/u/clients", ""),
        ("/config/users/u/clients/c", &quota),
        ("/config/clients/c", &quota),
        ("/config/ips/<default>", &config(&[("connection_creation_rate", "3")])),
        ("/latest_producer_id_block", r#"{"version":1,"broker":4,"block_start":"3000","block_end":"3999"}"#),
        ("/kafka-acl/Topic/x", acl),
        ("/kafka-acl-extended/prefixed/Group/x", acl),
        ("/delegation_token/tokens/t", token),
    ])
    .unwrap();
    let expected = [
        "TOPIC_RECORD",
        "CONFIG_RECORD",
        "PARTITION_RECORD",
        "CONFIG_RECORD",
        "USER_SCRAM_CREDENTIAL_RECORD",
        "CLIENT_QUOTA_RECORD",
        "CLIENT_QUOTA_RECORD",
        "CLIENT_QUOTA_RECORD",
        "CLIENT_QUOTA_RECORD",
        "PRODUCER_IDS_RECORD",
        "ACCESS_CONTROL_ENTRY_RECORD",
        "ACCESS_CONTROL_ENTRY_RECORD",
        "DELEGATION_TOKEN_RECORD",
    ];
    assert_eq!(names(&records), expected);
    assert!(records.iter().all(|record| record.version == 0));
    assert_eq!(imported.manifest.record_count(), 13);
    assert_eq!(imported.manifest.records["CLIENT_QUOTA_RECORD"], 4);
    assert_eq!(imported.warnings, []);

    let MetadataRecord::Config(default_broker) = &records[3].record else { panic!() };
    assert_eq!((default_broker.resource_type, default_broker.resource_name.as_str()), (4, ""));
    // The order of the entity's parts is Kafka's.
    let MetadataRecord::ClientQuota(both) = &records[7].record else { panic!() };
    let parts: Vec<_> =
        both.entity.iter().map(|part| (part.entity_type.as_str(), part.entity_name.as_deref())).collect();
    assert_eq!(parts, [("user", Some("u")), ("client-id", Some("c"))]);
    // KAFKA-16411: the default of a quota is null, of a config it is empty.
    let MetadataRecord::ClientQuota(default_ip) = &records[8].record else { panic!() };
    assert_eq!(default_ip.entity[0].entity_name, None);
}

#[test]
fn the_partition_epoch_is_the_znodes_version() {
    let (records, _) =
        import(&[("/brokers/topics/a", TOPIC), ("/brokers/topics/a/partitions/0/state", STATE)]).unwrap();
    let MetadataRecord::Partition(partition) = &records[1].record else { panic!() };
    assert_eq!(partition.partition_epoch, PartitionEpoch(5));
    assert_eq!((partition.leader, partition.leader_epoch.0), (NodeId(2), 14));
    assert!(partition.directories.is_empty());
}

/// KAFKA-15552: the block in ZooKeeper is in use.
#[test]
fn the_next_producer_id_is_the_one_after_the_block() {
    let (records, _) =
        import(&[("/latest_producer_id_block", r#"{"broker":4,"block_start":"3000","block_end":"3999"}"#)]).unwrap();
    let MetadataRecord::ProducerIds(ids) = &records[0].record else { panic!() };
    assert_eq!((ids.next_producer_id.0, ids.broker_id, ids.broker_epoch.0), (4000, NodeId(4), -1));
    assert_eq!(import(&[("/latest_producer_id_block", "")]).unwrap().0, []);
}

/// G19.
#[test]
fn all_topics_without_an_id_are_named() {
    let old = r#"{"version":2,"partitions":{"0":[1]}}"#;
    let error = import(&[("/brokers/topics/one", old), ("/brokers/topics/two", old)]).unwrap_err();
    let paths: Vec<&str> = error.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/brokers/topics/one", "/brokers/topics/two"]);
    assert!(error.problems[0].reason.contains("has no id"));
    assert!(error.to_string().starts_with("2 znodes can't be imported, the first: /brokers/topics/one"));
}

#[test]
fn two_topics_with_one_id_are_named() {
    let (path, reason) = problem(import(&[
        ("/brokers/topics/a", TOPIC),
        ("/brokers/topics/a/partitions/0/state", STATE),
        ("/brokers/topics/b", TOPIC),
        ("/brokers/topics/b/partitions/0/state", STATE),
    ]));
    assert_eq!(path, "/brokers/topics/b");
    assert!(reason.contains("\"a\" has the same id"), "{reason}");
}

/// G20.
#[test]
fn a_missing_state_is_made_up_as_kafka_does_and_reported() {
    let (records, imported) = import(&[("/brokers/topics/a", TOPIC)]).unwrap();
    let MetadataRecord::Partition(partition) = &records[1].record else { panic!() };
    assert_eq!((partition.leader, partition.leader_epoch.0, partition.partition_epoch.0), (NodeId(1), 0, 0));
    assert_eq!(partition.isr, partition.replicas);
    assert_eq!(imported.warnings[0].path, "/brokers/topics/a/partitions/0/state");
}

/// G20: as if it were new, it would start again at leader epoch 0, and brokers would refuse its leaders for ever.
#[test]
fn a_partition_that_lost_its_state_is_named() {
    let (path, reason) = problem(import(&[("/brokers/topics/a", TOPIC), ("/brokers/topics/a/partitions/0", "")]));
    assert_eq!(path, "/brokers/topics/a/partitions/0/state");
    assert!(reason.contains("restore the state, or delete /brokers/topics/a/partitions/0"), "{reason}");
}

#[test]
fn states_that_no_controller_writes_are_named() {
    let cases = [
        (STATE.replace("[2,1]", "[2,-1]"), "-1 among its in-sync replicas"),
        (STATE.replace("[2,1]", "[1,1]"), "broker 1 is twice among its in-sync replicas"),
        (STATE.replace("14", "-5"), "`leader_epoch` is -5"),
        (STATE.replace("\"leader\":2", "\"leader\":-2"), "`leader` is -2"),
    ];
    for (state, expected) in cases {
        let (path, reason) =
            problem(import(&[("/brokers/topics/a", TOPIC), ("/brokers/topics/a/partitions/0/state", &state)]));
        assert_eq!(path, "/brokers/topics/a/partitions/0/state");
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_leader_or_an_in_sync_replica_that_is_no_replica_is_copied_and_reported() {
    let cases = [
        (STATE.to_owned(), &[][..]),
        (STATE.replace("\"leader\":2", "\"leader\":-1"), &[]),
        (STATE.replace("\"leader\":2", "\"leader\":3"), &["broker 3"]),
        (STATE.replace("[2,1]", "[2,5,4]"), &["broker 4", "broker 5"]),
    ];
    for (state, expected) in cases {
        let (records, imported) =
            import(&[("/brokers/topics/a", TOPIC), ("/brokers/topics/a/partitions/0/state", &state)]).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(imported.warning_count, expected.len() as u64, "{state}");
        for (warning, broker) in imported.warnings.iter().zip(expected) {
            assert_eq!(warning.path, "/brokers/topics/a/partitions/0/state");
            assert!(warning.reason.starts_with(broker), "{warning}");
        }
    }
}

#[test]
fn what_is_not_looked_at_is_reported() {
    let topic = TOPIC.replace("\"adding_replicas\":{}", "\"adding_replicas\":{\"7\":[3]}");
    let (records, imported) = import(&[
        ("/brokers/topics/a", &topic),
        ("/brokers/topics/a/partitions/0/state", STATE),
        ("/kafka-acl/Topic", ""),
        ("/kafka-acl/topic/x", ""),
        ("/kafka-acl-extended/PREFIXED/Topic/x", ""),
        ("/kafka-acl-extended/prefixed/Broker/x", ""),
    ])
    .unwrap();
    assert_eq!(records.len(), 2);
    let paths: Vec<&str> = imported.warnings.iter().map(|warning| warning.path.as_str()).collect();
    let expected = [
        "/brokers/topics/a",
        "/kafka-acl-extended/PREFIXED",
        "/kafka-acl/topic",
        "/kafka-acl-extended/prefixed/Broker",
    ];
    assert_eq!(paths, expected);
    assert!(imported.warnings[0].reason.starts_with("partition 7 is reassigned"), "{}", imported.warnings[0]);
}

#[test]
fn a_broken_state_is_no_missing_state() {
    for broken in ["{", "", r#"{"leader":1}"#] {
        let (path, _) =
            problem(import(&[("/brokers/topics/a", TOPIC), ("/brokers/topics/a/partitions/0/state", broken)]));
        assert_eq!(path, "/brokers/topics/a/partitions/0/state");
    }
}

/// KAFKA-15605.
#[test]
fn a_topic_that_is_being_deleted_is_left_out() {
    let (records, imported) =
        import(&[("/brokers/topics/a", "broken"), ("/admin/delete_topics/a", ""), ("/admin/delete_topics/b", "")])
            .unwrap();
    assert_eq!(records, []);
    assert_eq!(imported.manifest.pending_deletions, 1);
    assert_eq!(imported.warnings[0].path, "/admin/delete_topics/a");
}

#[test]
fn a_topic_is_imported_whole_or_not_at_all() {
    let bad_config = r#"{"version":1,"config":{"a":1}}"#;
    let error = import(&[
        ("/brokers/topics/a", &TOPIC.replace("[1,2]", "[1,1,-1]")),
        ("/brokers/topics/a/partitions/0/state", "{"),
        ("/config/topics/a", bad_config),
    ])
    .unwrap_err();
    let paths: Vec<&str> = error.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["/brokers/topics/a", "/config/topics/a", "/brokers/topics/a/partitions/0/state"]);

    let mut importer = Importer::new(context());
    let topic = Znode::new(TOPIC, 0.into());
    let state = Znode::new("{", 0.into());
    let states = BTreeMap::from([(0.into(), state)]);
    let znodes = store_zk::import::TopicZnodes {
        name: "a",
        topic: Some(&topic),
        config: None,
        states: &states,
        stateless: &BTreeSet::new(),
    };
    assert_eq!(importer.topic(&znodes), []);
    assert_eq!(importer.manifest().record_count(), 0);
    // Who replicates is known all the same.
    assert_eq!(importer.manifest().replicas, [NodeId(1), NodeId(2)].into());
}

#[test]
fn assignments_that_no_controller_makes_are_named() {
    let cases = [
        ("[]", "no replicas"),
        ("[1,2,1]", "broker 1 is twice among its replicas"),
        ("[1,-2]", "-2 among its replicas"),
    ];
    for (replicas, expected) in cases {
        let topic = TOPIC.replace("[1,2]", replicas);
        let (path, reason) =
            problem(import(&[("/brokers/topics/a", &topic), ("/brokers/topics/a/partitions/0/state", STATE)]));
        assert_eq!(path, "/brokers/topics/a");
        assert!(reason.contains("partition 0") && reason.contains(expected), "{reason}");
    }
}

/// KAFKA-14801.
#[test]
fn passwords_are_decrypted_on_the_way_in() {
    let encoded = password::encode("hunter2", "elsewhere", "k", &PasswordSecret::new("encoder-secret"));
    let data = config(&[("listener.name.x.ssl.key.password", &encoded), ("a", "b")]);
    let (records, _) = import(&[("/config/brokers/1", &data)]).unwrap();
    let values: Vec<_> = records
        .iter()
        .map(|record| match &record.record {
            MetadataRecord::Config(config) => config.value.as_deref(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, [Some("b"), Some("hunter2")]);
}

#[test]
fn passwords_without_a_secret_are_named_one_by_one() {
    let data = config(&[("ssl.key.password", "x"), ("ssl.keystore.password", "y"), ("a", "b")]);
    let context = ImportContext { secret: None, ..context() };
    let error = import_tree(&tree(&[("/config/brokers/1", &data)]), context).unwrap_err();
    assert_eq!(error.problem_count, 2);
    assert!(error.problems[0].reason.contains("`ssl.key.password`"));
    assert!(error.problems[0].reason.contains("set password.encoder.secret"));
}

#[test]
fn findings_never_show_secrets() {
    let wrong = password::encode("hunter2", "elsewhere", "k", &PasswordSecret::new("another"));
    let data = config(&[("ssl.key.password", &wrong), ("sasl.jaas.config", "hunter2")]);
    let user = config(&[("SCRAM-SHA-256", "salt=hunter2"), ("SCRAM-SHA-1", "hunter2")]);
    let error = import(&[("/config/brokers/1", &data), ("/config/users/a", &user)]).unwrap_err();
    assert_eq!(error.problem_count, 4);
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}

#[test]
fn a_quota_that_is_no_number_is_named_with_its_key() {
    let data = config(&[("producer_byte_rate", "many"), ("stray.property", "x")]);
    for path in ["/config/users/u", "/config/clients/c", "/config/ips/i", "/config/users/u/clients/c"] {
        let mut znodes = vec![(path, data.as_str())];
        if path.ends_with("clients/c") && path.contains("users") {
            znodes.push(("/config/users/u", ""));
        }
        let error = import(&znodes).unwrap_err();
        let found: Vec<_> =
            error.problems.iter().map(|problem| (problem.path.as_str(), &problem.reason[..10])).collect();
        assert_eq!(found, [(path, "`producer_"), (path, "`stray.pro")]);
    }
}

#[test]
fn a_quota_that_kafka_does_not_know_is_copied_and_reported() {
    let (records, imported) = import(&[("/config/users/u", &config(&[("connection_creation_rate", "7")]))]).unwrap();
    assert_eq!(records.len(), 1);
    let reason = &imported.warnings[0].reason;
    assert!(reason.contains("connection_creation_rate") && reason.contains("takes it out of ZooKeeper"), "{reason}");
}

#[test]
fn credentials_and_tokens_need_a_metadata_version_that_has_them() {
    let token = r#"{"version":1,"owner":"User%3Aa","renewers":[],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"t"}"#;
    let user = config(&[("SCRAM-SHA-512", CREDENTIAL)]);
    let znodes = tree(&[("/config/users/u", &user), ("/delegation_token/tokens/t", token)]);
    let at = |metadata_version| import_tree(&znodes, ImportContext { metadata_version, ..context() });
    let cases = [
        (MetadataVersion::V3_4_IV0, 2),
        (MetadataVersion::V3_5_IV2, 1),
        (MetadataVersion::V3_6_IV1, 1),
        (MetadataVersion::V3_6_IV2, 0),
    ];
    for (version, problems) in cases {
        assert_eq!(at(version).map_or_else(|error| error.problem_count, |_| 0), problems, "{version}");
    }
    let error = at(MetadataVersion::V3_4_IV0).unwrap_err();
    assert!(error.problems[0].reason.contains("3.5-IV2 or later"));
    assert!(error.problems[1].reason.contains("3.6-IV2 or later"));
}

#[test]
fn names_that_kafka_would_not_find_again_are_named() {
    let quota = config(&[("request_percentage", "1.0")]);
    for (path, expected) in [
        ("/config/users/a+b", "a%20b"),
        ("/config/clients/%7e", "%7E"),
        ("/config/ips/%zz", "hexadecimal"),
        ("/config/brokers/01", "broker id"),
        ("/config/brokers/abc", "broker id"),
        ("/config/brokers/-1", "broker id"),
    ] {
        let (found, reason) = problem(import(&[(path, &quota)]));
        assert_eq!(found, path);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn credentials_of_the_default_user_are_refused() {
    let data = config(&[("SCRAM-SHA-256", CREDENTIAL), ("request_percentage", "1.0")]);
    let (path, reason) = problem(import(&[("/config/users/<default>", &data)]));
    assert_eq!(path, "/config/users/<default>");
    assert!(reason.contains("belong to nobody"), "{reason}");
    // A user who is really called so has another node.
    let (records, _) = import(&[("/config/users/%3Cdefault%3E", &data)]).unwrap();
    let MetadataRecord::UserScramCredential(credential) = &records[0].record else { panic!() };
    assert_eq!(credential.name, "<default>");
}

#[test]
fn access_control_entries_keep_unknown_words_as_unknown() {
    let acl = r#"{"version":1,"acls":[{"principal":"User:a","permissionType":"Deny","operation":"CLUSTER_ACTION","host":"*"}]}"#;
    let (records, imported) = import(&[("/kafka-acl/Cluster/kafka-cluster", acl)]).unwrap();
    let MetadataRecord::AccessControlEntry(entry) = &records[0].record else { panic!() };
    assert_eq!((entry.operation, entry.permission_type, entry.pattern_type), (0, 2, 3));
    assert!(imported.warnings[0].reason.contains("\"CLUSTER_ACTION\""));
}

#[test]
fn equal_access_control_entries_are_one_and_their_ids_are_always_the_same() {
    let entry = r#"{"principal":"User:a","permissionType":"Allow","operation":"Read","host":"*"}"#;
    let twice = format!(r#"{{"version":1,"acls":[{entry},{entry}]}}"#);
    let once = format!(r#"{{"acls":[{entry}],"version":1}}"#);
    let literal = import(&[("/kafka-acl/Topic/x", &twice)]).unwrap().0;
    assert_eq!(literal, import(&[("/kafka-acl/Topic/x", &once)]).unwrap().0);
    assert_eq!(literal.len(), 1);
    let prefixed = import(&[("/kafka-acl-extended/prefixed/Topic/x", &once)]).unwrap().0;
    assert_ne!(literal, prefixed);
}

#[test]
fn other_broken_znodes_are_named() {
    let token = r#"{"version":4,"tokenId":"t"}"#;
    let cases = [
        ("/kafka-acl/Topic/x", r#"{"version":2,"acls":[]}"#, "version 2"),
        ("/kafka-acl/Topic/x", "broken", "not JSON"),
        ("/delegation_token/tokens/t", token, "version 4"),
        ("/latest_producer_id_block", r#"{"broker":1,"block_start":"x","block_end":"1"}"#, "`block_start`"),
        ("/config/brokers/1", "[]", "an array"),
    ];
    for (path, data, expected) in cases {
        let (found, reason) = problem(import(&[(path, data)]));
        assert_eq!(found, path);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_token_under_another_name_is_refused() {
    let token = r#"{"version":1,"owner":"User%3Aa","renewers":[],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"t"}"#;
    let (_, reason) = problem(import(&[("/delegation_token/tokens/u", token)]));
    assert!(reason.contains("not the znode's name"), "{reason}");
    // A node without data is a token that was being made.
    assert_eq!(import(&[("/delegation_token/tokens/u", "")]).unwrap().0, []);
}

#[test]
fn a_thousand_problems_are_listed_and_the_rest_counted() {
    let znodes: BTreeMap<String, Znode> =
        (0..1200).map(|n| (format!("/brokers/topics/t{n}"), Znode::new("{}", 0.into()))).collect();
    let error = import_tree(&znodes, context()).unwrap_err();
    assert_eq!((error.problems.len(), error.problem_count), (PROBLEMS_KEPT_MAX, 1200));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands there, an import ends with records or with problems that name their znodes.
    #[test]
    fn damaged_trees_never_panic(
        edits in edits(), seed: u64, damage in proptest::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 1..20),
    ) {
        let secret = PasswordSecret::new("encoder-secret");
        let mut tree = KafkaTree {
            choices: Choices::new(seed), secret: &secret, zk_epoch: ZkControllerEpoch(3), znodes: BTreeMap::new(),
        };
        tree.write(&normal(&Editor::new().apply(&edits), true));
        let mut znodes = tree.znodes;
        for (which, place, byte) in damage {
            let count = znodes.len();
            let znode = znodes.values_mut().nth(which % count).unwrap();
            if let Some(data) = &znode.data {
                let mut data = data.to_vec();
                match place % 3 {
                    0 => data.truncate(place / 3 % (data.len() + 1)),
                    _ if !data.is_empty() => {
                        let at = place / 3 % data.len();
                        data[at] = byte;
                    }
                    _ => {}
                }
                znode.data = Some(data.into());
            }
        }
        match import_tree(&znodes, context()) {
            Ok((records, imported)) => prop_assert_eq!(records.len() as u64, imported.manifest.record_count()),
            Err(error) => {
                for problem in error.problems {
                    prop_assert!(problem.path.starts_with('/'), "{problem}");
                }
            }
        }
    }
}
