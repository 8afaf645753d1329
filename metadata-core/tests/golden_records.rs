//! The bytes that Kafka writes, and ours. Captured bodies in `testdata/`, and whole values as Kafka's own reader took
//! them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata_core::codec::Reader;
use metadata_core::id::{
    AclId, BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId,
    TimestampMs, TopicId,
};
use metadata_core::record::*;
use serde_json::Value;

const GOLDEN: &str = include_str!("../testdata/golden-records.tsv");

/// What Kafka 4.4 has and 3.9 has not.
const GOLDEN_4: &str = include_str!("../testdata/golden-records-4.4.tsv");

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One captured body, read and written by us.
struct Attempt {
    fields: Fields,
    defaults: Fields,
    encoded: Vec<u8>,
}

macro_rules! every_message {
    ($($record:ident)*) => {
        /// Every message with its versions.
        fn messages() -> BTreeSet<(&'static str, i16)> {
            let mut messages = BTreeSet::new();
            $(messages.extend($record::VERSIONS.map(|version| ($record::NAME, version)));)*
            messages
        }

        fn attempt(name: &str, version: i16, body: &[u8]) -> Attempt {
            let mut reader = Reader::new(body);
            let mut encoded = Vec::new();
            match name {
                $(stringify!($record) => {
                    let record = $record::decode_body(&mut reader, version).unwrap();
                    reader.finish().unwrap();
                    record.encode_body(version, &mut encoded).unwrap();
                    let defaults = $record::default().fields(version);
                    Attempt { fields: record.fields(version), defaults, encoded }
                })*
                _ => panic!("{name} is no message of ours"),
            }
        }
    };
}

every_message! {
    RegisterBrokerRecord UnregisterBrokerRecord TopicRecord PartitionRecord ConfigRecord PartitionChangeRecord
    FenceBrokerRecord UnfenceBrokerRecord RemoveTopicRecord DelegationTokenRecord UserScramCredentialRecord
    FeatureLevelRecord ClientQuotaRecord ProducerIdsRecord BrokerRegistrationChangeRecord AccessControlEntryRecord
    RemoveAccessControlEntryRecord NoOpRecord ZkMigrationStateRecord RemoveUserScramCredentialRecord
    BeginTransactionRecord EndTransactionRecord AbortTransactionRecord RemoveDelegationTokenRecord
    RegisterControllerRecord ClearElrRecord UnregisterControllerRecord
    LeaderChangeMessage SnapshotHeaderRecord SnapshotFooterRecord KRaftVersionRecord VotersRecord
}

/// Whether a field has the captured value.
fn same(ours: &FieldValue, captured: &Value) -> bool {
    match (ours, captured) {
        (FieldValue::Bool(ours), Value::Bool(captured)) => ours == captured,
        (FieldValue::Int(ours), Value::Number(captured)) => Some(*ours) == captured.as_i64(),
        (FieldValue::Double(ours), Value::Number(captured)) => Some(*ours) == captured.as_f64(),
        (FieldValue::Text(ours), Value::String(captured)) => ours == captured,
        (FieldValue::Bytes(ours), Value::String(captured)) => *ours == STANDARD.decode(captured).unwrap(),
        (FieldValue::Uuid(ours), Value::String(captured)) => ours.to_string() == *captured,
        (FieldValue::List(ours), Value::Array(captured)) => {
            ours.len() == captured.len() && ours.iter().zip(captured).all(|(ours, captured)| same(ours, captured))
        }
        (FieldValue::Struct(ours), Value::Object(captured)) => {
            ours.len() == captured.len()
                && ours.iter().all(|(name, ours)| captured.get(*name).is_some_and(|captured| same(ours, captured)))
        }
        (FieldValue::Null, Value::Null) => true,
        (FieldValue::Secret(ours), captured) => same(ours, captured),
        _ => false,
    }
}

#[test]
fn every_body_that_kafka_wrote_is_read_with_its_values_and_written_with_its_bytes() {
    let mut seen = BTreeSet::new();
    for (index, row) in [GOLDEN, GOLDEN_4].into_iter().flat_map(|file| file.lines().enumerate().skip(1)) {
        let [name, version, json, body] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("row {index} has no four columns");
        };
        let captured: Value = serde_json::from_str(json).unwrap();
        let mut captured = captured.as_object().unwrap().clone();
        let version = version.parse().unwrap();
        let attempt = attempt(name, version, &unhex(body));

        assert_eq!(hex(&attempt.encoded), body, "row {index}, {name} version {version}");
        for ((field, value), (_, default)) in attempt.fields.iter().zip(&attempt.defaults) {
            let same = match captured.remove(*field) {
                Some(captured) => same(value, &captured),
                // Tagged and absent.
                None => value == default,
            };
            assert!(same, "row {index}, {name} version {version}: {field} differs");
        }
        assert!(captured.is_empty(), "row {index}, {name} version {version}: we have no {:?}", captured.keys());
        seen.insert((name, version));
    }
    assert_eq!(seen, messages(), "every message in every version");
}

fn topic_id() -> TopicId {
    TopicId("Ur2NuSrDQ8CsDQQKBgcHaQ".parse().unwrap())
}

fn d1() -> DirectoryId {
    DirectoryId("J8aAPcfLQt2bqs1JT_rMgQ".parse().unwrap())
}

fn d2() -> DirectoryId {
    DirectoryId("JEXY6aqzQY-32P5TStzaFg".parse().unwrap())
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// Asserts that the value is this record in this version, and is written so.
fn assert_value(record: impl Into<MetadataRecord>, version: i16, value: &str) {
    let expected = VersionedRecord::new(record, version);
    let name = expected.record.name();
    let decoded = VersionedRecord::decode(&unhex(value)).unwrap();
    assert_eq!(decoded, expected, "{name}");
    let mut encoded = Vec::new();
    decoded.encode(&mut encoded).unwrap();
    assert_eq!(hex(&encoded), value, "{name}");
}

#[test]
fn small_values_are_kafkas() {
    let feature =
        FeatureLevelRecord { name: "metadata.version".into(), feature_level: 21, unknown_tags: UnknownTags::default() };
    assert_value(feature, 0, "010c00116d657461646174612e76657273696f6e001500");
    assert_value(ZkMigrationState::PreMigration.to_record(), 0, "0115000200");
    assert_value(ZkMigrationState::Migration.to_record(), 0, "0115000100");
    assert_value(NoOpRecord::default(), 0, "01140000");
    let producer_ids =
        ProducerIdsRecord { broker_id: NodeId(1), next_producer_id: ProducerId(5000), ..Default::default() };
    assert_value(producer_ids, 0, "010f0000000001ffffffffffffffff000000000000138800");
}

#[test]
fn values_of_transactions_are_kafkas() {
    let begin = |name: Option<&str>| BeginTransactionRecord { name: name.map(str::to_owned), ..Default::default() };
    assert_value(begin(Some("Bootstrap records")), 0, "01170001001212426f6f747374726170207265636f726473");
    assert_value(begin(Some("ZK Migration")), 0, "01170001000d0d5a4b204d6967726174696f6e");
    assert_value(begin(None), 0, "01170000");
    assert_value(EndTransactionRecord::default(), 0, "01180000");
    let abort = AbortTransactionRecord { reason: Some("Controller failover".into()), ..Default::default() };
    assert_value(abort, 0, "01190001001414436f6e74726f6c6c6572206661696c6f766572");
}

#[test]
fn values_of_topics_and_partitions_are_kafkas() {
    let topic = TopicRecord { name: "foo".into(), topic_id: topic_id(), ..Default::default() };
    assert_value(topic, 0, "01020004666f6f52bd8db92ac343c0ac0d040a0607076900");
    let remove = RemoveTopicRecord { topic_id: topic_id(), ..Default::default() };
    assert_value(remove, 0, "01090052bd8db92ac343c0ac0d040a0607076900");

    let partition = PartitionRecord {
        partition_id: PartitionId(0),
        topic_id: topic_id(),
        replicas: nodes(&[1, 2, 3]),
        isr: nodes(&[1, 2]),
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        ..Default::default()
    };
    let head = "0000000052bd8db92ac343c0ac0d040a0607076904000000010000000200000003030000000100000002010100000001000000\
                0500000009";
    assert_value(partition.clone(), 0, &format!("010300{head}00"));
    let recovering = PartitionRecord { leader_recovery_state: 1, ..partition.clone() };
    assert_value(recovering, 0, &format!("010300{head}01000101"));
    let directories = PartitionRecord {
        directories: vec![d1(), DirectoryId::MIGRATING, DirectoryId::UNASSIGNED],
        ..partition.clone()
    };
    let tail = "0427c6803dc7cb42dd9baacd494ffacc810000000000000000000000000000000000000000000000000000000000000001";
    assert_value(directories, 1, &format!("010301{head}{tail}00"));
}

#[test]
fn values_of_partition_changes_are_kafkas() {
    let change = PartitionChangeRecord {
        partition_id: PartitionId(0),
        topic_id: topic_id(),
        ..PartitionChangeRecord::default()
    };
    let head = "0000000052bd8db92ac343c0ac0d040a06070769";
    let no_leader = PartitionChangeRecord { isr: Some(nodes(&[1])), leader: NodeId::NONE, ..change.clone() };
    assert_value(no_leader, 0, &format!("010500{head}02000502000000010104ffffffff"));
    let new_leader = PartitionChangeRecord { leader: NodeId(2), ..change.clone() };
    assert_value(new_leader, 0, &format!("010500{head}01010400000002"));
    let reassigned = PartitionChangeRecord {
        replicas: Some(nodes(&[1, 2])),
        removing_replicas: Some(Vec::new()),
        directories: Some(vec![d1(), d2()]),
        leader_recovery_state: 0,
        ..change.clone()
    };
    let tail = "04020903000000010000000203010105010008210327c6803dc7cb42dd9baacd494ffacc812445d8e9aab3418fb7d8fe534adc\
                da16";
    assert_value(reassigned, 1, &format!("010501{head}{tail}"));
    assert_eq!(change.leader, NO_LEADER_CHANGE);
}

#[test]
fn values_of_configs_quotas_and_security_are_kafkas() {
    let config = |resource_type, resource: &str, name: &str, value: Option<&str>| ConfigRecord {
        resource_type,
        resource_name: resource.into(),
        name: name.into(),
        value: value.map(str::to_owned),
        ..Default::default()
    };
    let retention = "0104000204666f6f0d726574656e74696f6e2e6d73";
    assert_value(config(2, "foo", "retention.ms", Some("1000")), 0, &format!("{retention}053130303000"));
    assert_value(config(2, "foo", "retention.ms", None), 0, &format!("{retention}0000"));
    let threads = config(4, "", "log.cleaner.threads", Some("2"));
    assert_value(threads, 0, "0104000401146c6f672e636c65616e65722e74687265616473023200");

    let part = |kind: &str, name: Option<&str>| QuotaEntityData {
        entity_type: kind.into(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    let rate = ClientQuotaRecord {
        entity: vec![part("user", Some("alice")), part("client-id", None)],
        key: "producer_byte_rate".into(),
        value: 1_048_576.0,
        ..Default::default()
    };
    let value = "010e0003057573657206616c696365000a636c69656e742d696400001370726f64756365725f627974655f72617465413000\
                 00000000000000";
    assert_value(rate, 0, value);
    let removed = ClientQuotaRecord {
        entity: vec![part("ip", Some("10.0.0.1"))],
        key: "connection_creation_rate".into(),
        remove: true,
        ..Default::default()
    };
    let value = "010e00020369700931302e302e302e310019636f6e6e656374696f6e5f6372656174696f6e5f726174650000000000000000\
                 0100";
    assert_value(removed, 0, value);

    let scram = UserScramCredentialRecord {
        name: "alice".into(),
        mechanism: 1,
        salt: vec![1, 2, 3],
        stored_key: vec![10, 11],
        server_key: vec![12, 13],
        iterations: 4096,
        ..Default::default()
    };
    assert_value(scram, 0, "010b0006616c6963650104010203030a0b030c0d0000100000");
    let acl = AccessControlEntryRecord {
        id: AclId("MvDxzVmcRsaTz33bUuRU6A".parse().unwrap()),
        resource_type: 2,
        resource_name: "foo".into(),
        pattern_type: 3,
        principal: "User:alice".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
        ..Default::default()
    };
    let value = "01120032f0f1cd599c46c693cf7ddb52e454e80204666f6f030b557365723a616c696365022a030300";
    assert_value(acl, 0, value);
    let token = DelegationTokenRecord {
        owner: "User:alice".into(),
        requester: "User:bob".into(),
        renewers: vec!["User:carol".into()],
        issue_timestamp: TimestampMs(1),
        max_timestamp: TimestampMs(2),
        expiration_timestamp: TimestampMs(3),
        token_id: "tok1".into(),
        ..Default::default()
    };
    let value = "010a000b557365723a616c69636509557365723a626f62020b557365723a6361726f6c0000000000000001000000000000000\
                 2000000000000000305746f6b3100";
    assert_value(token, 0, value);
}

#[test]
fn values_of_registrations_are_kafkas() {
    let incarnation_id = IncarnationId("MvDxzVmcRsaTz33bUuRU6A".parse().unwrap());
    let broker = RegisterBrokerRecord {
        broker_id: NodeId(1),
        is_migrating_zk_broker: true,
        incarnation_id,
        broker_epoch: BrokerEpoch(7),
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "host1".into(),
            port: 9092,
            security_protocol: 0,
            ..Default::default()
        }],
        features: vec![BrokerFeature {
            name: "metadata.version".into(),
            min_supported_version: 21,
            max_supported_version: 21,
            ..Default::default()
        }],
        rack: None,
        ..Default::default()
    };
    let body = "000000010132f0f1cd599c46c693cf7ddb52e454e80000000000000007020a504c41494e5445585406686f7374312384000000\
                02116d657461646174612e76657273696f6e0015001500000100";
    assert_value(broker.clone(), 2, &format!("010002{body}00"));
    let with_directory = RegisterBrokerRecord { log_dirs: vec![d1()], ..broker };
    assert_value(with_directory, 3, &format!("010003{body}0100110227c6803dc7cb42dd9baacd494ffacc81"));

    let gone = UnregisterBrokerRecord { broker_id: NodeId(1), broker_epoch: BrokerEpoch(7), ..Default::default() };
    assert_value(gone, 0, "01010000000001000000000000000700");

    let change = BrokerRegistrationChangeRecord {
        broker_id: NodeId(1),
        broker_epoch: BrokerEpoch(7),
        ..BrokerRegistrationChangeRecord::default()
    };
    let unfenced = BrokerRegistrationChangeRecord { fenced: -1, ..change.clone() };
    assert_value(unfenced, 0, "011100000000010000000000000007010001ff");
    let stopping = BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..change.clone() };
    assert_value(stopping, 1, "01110100000001000000000000000701010101");
    let directory = BrokerRegistrationChangeRecord { log_dirs: vec![d1()], ..change };
    assert_value(directory, 2, "0111020000000100000000000000070102110227c6803dc7cb42dd9baacd494ffacc81");

    let controller = RegisterControllerRecord {
        controller_id: NodeId(3000),
        incarnation_id,
        zk_migration_ready: true,
        end_points: vec![ControllerEndpoint {
            name: "CONTROLLER".into(),
            host: "localhost".into(),
            port: 9093,
            security_protocol: 0,
            ..Default::default()
        }],
        features: vec![ControllerFeature {
            name: "metadata.version".into(),
            min_supported_version: 1,
            max_supported_version: 21,
            ..Default::default()
        }],
        ..Default::default()
    };
    let value = "011b0000000bb832f0f1cd599c46c693cf7ddb52e454e801020b434f4e54524f4c4c45520a6c6f63616c686f737423850000\
                 0002116d657461646174612e76657273696f6e000100150000";
    assert_value(controller, 0, value);
}

#[test]
fn keys_and_values_of_control_records_are_kafkas() {
    let leader = LeaderChangeVoter { voter_id: NodeId(3000), ..Default::default() };
    let leader_change = LeaderChangeMessage {
        leader_id: NodeId(3000),
        voters: vec![leader.clone()],
        granting_voters: vec![leader],
        ..Default::default()
    };
    let header = SnapshotHeaderRecord {
        last_contained_log_timestamp: TimestampMs(1_700_000_000_000),
        ..SnapshotHeaderRecord::default()
    };
    let voters = VotersRecord {
        voters: vec![QuorumVoter {
            voter_id: NodeId(3000),
            voter_directory_id: d1(),
            endpoints: vec![QuorumVoterEndpoint {
                name: "CONTROLLER".into(),
                host: "localhost".into(),
                port: 9093,
                ..Default::default()
            }],
            kraft_version_feature: KRaftVersionRange { max_supported_version: 1, ..Default::default() },
            ..Default::default()
        }],
        ..Default::default()
    };
    let kraft_version = KRaftVersionRecord { kraft_version: 1, ..Default::default() };
    let voters_value = "00000200000bb827c6803dc7cb42dd9baacd494ffacc81020b434f4e54524f4c4c45520a6c6f63616c686f7374\
                        23850000000001000000";
    for (record, name, key, value) in [
        (ControlRecord::from(leader_change), "LEADER_CHANGE", "00000002", "000000000bb80200000bb8000200000bb80000"),
        (header.into(), "SNAPSHOT_HEADER", "00000003", "00000000018bcfe5680000"),
        (SnapshotFooterRecord::default().into(), "SNAPSHOT_FOOTER", "00000004", "000000"),
        (kraft_version.into(), "KRAFT_VERSION", "00000005", "0000000100"),
        (voters.into(), "KRAFT_VOTERS", "00000006", voters_value),
    ] {
        assert_eq!(record.name(), name);
        assert_eq!(ControlRecord::decode(&unhex(key), &unhex(value)), Ok(record.clone()), "{name}");
        let (mut our_key, mut our_value) = (Vec::new(), Vec::new());
        record.encode(&mut our_key, &mut our_value).unwrap();
        assert_eq!((hex(&our_key).as_str(), hex(&our_value).as_str()), (key, value), "{name}");
    }
}
