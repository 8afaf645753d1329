//! Our decoders read what Kafka 3.9.1 really writes, and our encoders say the same. The files are captures, see
//! `testdata/README.md`.

use metadata_core::image::LeaderRecoveryState;
use serde_json::Value;
use store_zk::znode::acl::AclZnode;
use store_zk::znode::broker::BrokerIdZnode;
use store_zk::znode::cluster::decode_cluster_id;
use store_zk::znode::config::ConfigZnode;
use store_zk::znode::controller::{ControllerZnode, decode_epoch, encode_epoch};
use store_zk::znode::marker::Marker;
use store_zk::znode::notification::{
    Notification, decode_acl_change, decode_config_change, decode_extended_acl_change,
};
use store_zk::znode::partition::PartitionState;
use store_zk::znode::password::{self, PasswordSecret};
use store_zk::znode::path::{self, Place};
use store_zk::znode::producer_ids::ProducerIdBlock;
use store_zk::znode::token::TokenZnode;
use store_zk::znode::topic::TopicZnode;
use store_zk::znode::{name, quota, scram};

const ZNODES: &str = include_str!("../../testdata/kafka-3.9.1-znodes.tsv");
const PASSWORDS: &str = include_str!("../../testdata/kafka-3.9.1-passwords.tsv");
const DOUBLES: &str = include_str!("../../testdata/java-doubles.tsv");

fn rows(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().map(|line| line.split('\t').collect())
}

/// All captures of the znodes that `wanted` picks.
fn captured(wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static [u8])> {
    let found: Vec<_> = rows(ZNODES).filter(|row| wanted(row[0])).map(|row| (row[0], row[1].as_bytes())).collect();
    assert!(!found.is_empty(), "no such capture");
    found
}

fn json(data: &[u8]) -> Value {
    serde_json::from_slice(data).unwrap()
}

#[test]
fn every_captured_znode_has_its_place() {
    for row in rows(ZNODES) {
        // Sequential znodes are captured without their number.
        let path = if row[0].ends_with('_') { format!("{}0000000000", row[0]) } else { row[0].to_owned() };
        assert_ne!(Place::of(&path), Place::Unknown, "{path}");
    }
}

#[test]
fn topics_say_the_same() {
    for (path, data) in captured(|path| matches!(Place::of(path), Place::Topic(_))) {
        let topic = TopicZnode::decode(data).unwrap();
        assert_eq!(topic.topic_id.is_some(), path.ends_with("orders"));
        assert_eq!(json(&topic.encode()), json(data), "{path}");
    }
}

#[test]
fn partition_states_say_the_same() {
    for (path, data) in captured(|path| matches!(Place::of(path), Place::PartitionState(..))) {
        let state = PartitionState::decode(data).unwrap();
        assert_eq!(state.leader.is_none(), state.leader_recovery_state == LeaderRecoveryState::Recovering);
        assert_eq!(json(&state.encode()), json(data), "{path}");
    }
}

#[test]
fn configs_and_credentials_say_the_same() {
    for (path, data) in captured(|path| matches!(Place::of(path), Place::TopicConfig(_) | Place::User(_))) {
        let config = ConfigZnode::decode(Some(data)).unwrap();
        assert_eq!(json(&config.encode()), json(data), "{path}");
        if let Some(text) = config.0.get("SCRAM-SHA-256") {
            let credential = scram::decode(text).unwrap();
            assert_eq!((credential.salt.as_slice(), credential.iterations), (b"salt".as_slice(), 8192));
            assert_eq!(scram::encode(&credential), *text);
            assert_eq!(quota::parse(&config.0["request_percentage"]), Some(58.58));
        }
    }
}

/// Kafka 3.9 reads older versions than it writes, so no capture has them. Written by hand from Kafka's decoders
/// (`ZkData.scala`).
#[test]
fn versions_that_kafka_only_reads_are_read() {
    let brokers = [
        (r#"{"version":1,"host":"h","port":9092,"jmx_port":-1,"timestamp":"5"}"#, "PLAINTEXT", None),
        (
            r#"{"version":2,"host":"h","port":9092,"jmx_port":-1,"timestamp":"5","endpoints":["SSL://h:9093"]}"#,
            "SSL",
            None,
        ),
        (
            r#"{"version":3,"host":"h","port":9092,"jmx_port":-1,"timestamp":"5","endpoints":["SASL_SSL://h:9093"],"rack":"r"}"#,
            "SASL_SSL",
            Some("r"),
        ),
        (
            r#"{"version":4,"host":null,"port":-1,"jmx_port":-1,"timestamp":"5","endpoints":["IN://h:9093"],"rack":"r","listener_security_protocol_map":{"IN":"SASL_PLAINTEXT"}}"#,
            "SASL_PLAINTEXT",
            Some("r"),
        ),
    ];
    for (json, protocol, rack) in brokers {
        let broker = BrokerIdZnode::decode(json.as_bytes()).unwrap();
        let protocols: Vec<&str> = broker.endpoints.iter().map(|end| end.security_protocol.as_str()).collect();
        assert_eq!((protocols, broker.rack.as_deref(), broker.features.len()), (vec![protocol], rack, 0), "{json}");
    }
    // Partition 0: replicas, adding, removing.
    let topics = [
        (r#"{"version":1,"partitions":{"0":[1,2]}}"#, [vec![1, 2], vec![], vec![]]),
        (
            r#"{"version":2,"partitions":{"0":[3,1,2]},"adding_replicas":{"0":[3]},"removing_replicas":{"0":[1]}}"#,
            [vec![3, 1, 2], vec![3], vec![1]],
        ),
    ];
    for (json, expected) in topics {
        let topic = TopicZnode::decode(json.as_bytes()).unwrap();
        assert_eq!(topic.topic_id, None, "{json}");
        let partition = &topic.partitions[&0.into()];
        let lists = [&partition.replicas, &partition.adding, &partition.removing];
        assert_eq!(lists.map(|list| list.iter().map(|id| id.0).collect::<Vec<_>>()), expected, "{json}");
    }
    for version in [1, 2] {
        let json = format!(
            r#"{{"version":{version},"owner":"User%3Aa","renewers":["User%3Ab"],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"t"}}"#
        );
        let token = TokenZnode::decode(json.as_bytes()).unwrap();
        assert_eq!((token.owner.as_str(), token.requester.as_str()), ("User:a", "User:a"), "{json}");
        assert_eq!((token.renewers, token.expiry_timestamp.0), (vec!["User:b".to_owned()], 3), "{json}");
    }
}

/// The captures have no quotas of client ids and IP addresses. Written by hand as `kafka-configs.sh` leaves them.
#[test]
fn quotas_of_client_ids_and_addresses_are_read() {
    let cases = [
        (path::client("app"), "consumer_byte_rate", "1024"),
        (path::client("<default>"), "request_percentage", "58.58"),
        (path::ip("10.0.0.1"), "connection_creation_rate", "100"),
        (path::ip("<default>"), "connection_creation_rate", "100"),
    ];
    for (place, key, value) in cases {
        assert!(matches!(Place::of(&place), Place::Client(_) | Place::Ip(_)), "{place}");
        let json = format!(r#"{{"version":1,"config":{{"{key}":"{value}"}}}}"#);
        let config = ConfigZnode::decode(Some(json.as_bytes())).unwrap();
        let known = if place.starts_with(path::IPS) { quota::ip_quota(key) } else { quota::user_or_client_quota(key) };
        let parsed = quota::parse(&config.0[key]).unwrap();
        assert_eq!(quota::text(known.unwrap(), parsed).as_deref(), Ok(value), "{place}");
        assert_eq!(self::json(&config.encode()), self::json(json.as_bytes()), "{place}");
    }
}

#[test]
fn names_are_sanitised_as_kafka_sanitises_them() {
    let name = "user/1@prod *~+%é<default>";
    let (path, _) = captured(|path| path.starts_with(path::USERS))[0];
    assert_eq!(path, path::user(&name::sanitise(name)));
    let Place::User(znode) = Place::of(path) else { panic!("{path}") };
    assert_eq!(name::parse_entity(znode), Ok(Some(name.to_owned())));
}

#[test]
fn controllers_and_epochs_say_the_same() {
    for (path, data) in captured(|path| path == path::CONTROLLER) {
        assert_eq!(json(&ControllerZnode::decode(data).unwrap().encode()), json(data), "{path}");
    }
    for (_, data) in captured(|path| path == path::CONTROLLER_EPOCH) {
        assert_eq!(encode_epoch(decode_epoch(data).unwrap()), data);
    }
}

#[test]
fn markers_say_the_same() {
    for (path, data) in captured(|path| path == path::MIGRATION) {
        assert_eq!(json(&Marker::decode(Some(data)).unwrap().encode()), json(data), "{path}");
    }
}

#[test]
fn producer_id_blocks_say_the_same() {
    for (path, data) in captured(|path| path == path::PRODUCER_IDS) {
        let block = ProducerIdBlock::decode(Some(data)).unwrap().unwrap();
        assert_eq!(json(&block.encode()), json(data), "{path}");
    }
}

#[test]
fn brokers_and_the_cluster_id_are_read() {
    for (path, data) in captured(|path| matches!(Place::of(path), Place::BrokerId(_))) {
        let broker = BrokerIdZnode::decode(data).unwrap();
        let protocols: Vec<&str> = broker.endpoints.iter().map(|e| e.security_protocol.as_str()).collect();
        let hosts: Vec<Option<&str>> = broker.endpoints.iter().map(|e| e.host.as_deref()).collect();
        match path {
            "/brokers/ids/1" => {
                assert_eq!(protocols, ["PLAINTEXT", "SASL_SSL"]);
                assert_eq!(hosts, [Some("h1"), Some("::1")]);
                assert_eq!(broker.rack.as_deref(), Some("a"));
            }
            _ => assert_eq!((protocols, broker.jmx_port), (vec!["PLAINTEXT"], 9999)),
        }
    }
    for (_, data) in captured(|path| path == path::CLUSTER_ID) {
        assert_eq!(decode_cluster_id(data).as_deref(), Ok("MkU3OEVBNTcwNTJENDM2Qg"));
    }
}

#[test]
fn access_control_entries_say_the_same() {
    for (path, data) in captured(|path| matches!(Place::of(path), Place::Acl(..))) {
        let node = AclZnode::decode(Some(data)).unwrap();
        assert_eq!(node.entries.len(), 13, "{path}");
        assert!(node.unknown_words.is_empty());
        let sorted = |data: &[u8]| {
            let mut entries: Vec<String> =
                json(data)["acls"].as_array().unwrap().iter().map(|entry| entry.to_string()).collect();
            entries.sort();
            entries
        };
        assert_eq!(sorted(&node.encode()), sorted(data), "{path}");
    }
}

#[test]
fn tokens_say_the_same() {
    for (path, data) in captured(|path| matches!(Place::of(path), Place::Token(_))) {
        let token = TokenZnode::decode(data).unwrap();
        assert_eq!(
            (token.owner.as_str(), token.renewers.as_slice()),
            ("User:alice@x", ["User:c:d".to_owned()].as_slice())
        );
        assert_eq!(json(&token.encode()), json(data), "{path}");
    }
}

#[test]
fn notifications_are_kafkas_to_the_letter() {
    use store_zk::znode::acl::{PatternType, ResourceType};
    let wanted = |prefix: &'static str| captured(move |path| path == prefix);
    for (_, data) in wanted(path::CONFIG_CHANGE_PREFIX) {
        let entity_path = decode_config_change(data).unwrap();
        assert_eq!(json(&Notification::config(&entity_path).data), json(data));
    }
    for (_, data) in wanted(path::ACL_CHANGE_PREFIX) {
        let (resource, name) = decode_acl_change(data).unwrap();
        assert_eq!(Notification::acl(PatternType::Literal, resource, &name).data, data);
    }
    for (_, data) in wanted(path::EXTENDED_ACL_CHANGE_PREFIX) {
        let (pattern, resource, name) = decode_extended_acl_change(data).unwrap();
        assert!(matches!(resource, ResourceType::Topic | ResourceType::TransactionalId));
        assert_eq!(json(&Notification::acl(pattern, resource, &name).data), json(data));
    }
    for (_, data) in wanted(path::TOKEN_CHANGE_PREFIX) {
        assert_eq!(Notification::token("w2bZ9iV2T9W0k0Z3dCkO3A").data, data);
    }
}

#[test]
fn passwords_that_kafka_encrypted_are_decrypted() {
    let mut ciphers = std::collections::BTreeSet::new();
    for row in rows(PASSWORDS) {
        let [secret, password, encoded] = row[..] else { panic!("{row:?}") };
        assert_eq!(password::decode(encoded, &PasswordSecret::new(secret)).as_deref(), Ok(password), "{encoded}");
        // A stream without padding decrypts to something under any secret.
        if !encoded.contains("FB/NoPadding") {
            assert!(password::decode(encoded, &PasswordSecret::new("wrong")).is_err(), "{encoded}");
        }
        ciphers.extend(encoded.split(',').find(|pair| pair.starts_with("cipherAlgorithm:")));
    }
    assert_eq!(ciphers.len(), 6, "{ciphers:?}");
}

#[test]
fn doubles_have_javas_text() {
    let (mut same, mut other) = (0, 0);
    for row in rows(DOUBLES) {
        let value = f64::from_bits(u64::from_str_radix(row[0], 16).unwrap());
        assert_eq!(quota::parse(row[1]), Some(value), "{}", row[1]);
        // Before Java 19 the last digits are sometimes others than the shortest ones (JDK-4511638); they mean the same.
        if quota::java_double(value) == row[1] { same += 1 } else { other += 1 }
    }
    assert!(same > 20 * other && same > 300, "{same} same, {other} others");
}
