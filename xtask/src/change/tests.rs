//! What each change becomes, and what is refused.

use metadata_core::id::{BrokerEpoch, DirectoryId, KRaftLeaderEpoch, Offset, Position, TimestampMs, TopicId};
use metadata_core::id::{LeaderEpoch, PartitionEpoch, PartitionId};
use metadata_core::image::MetadataDelta;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    FeatureLevelRecord, PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord,
};

use super::*;

const T: TopicId = TopicId(Uuid::from_u64_pair(7, 10));
const FRESH: Uuid = Uuid::from_u64_pair(9, 20);

/// An image at 3.9-IV0 with topic `t` (two partitions on brokers 1, 2, 3), changed by `change`.
fn image_with(records: impl IntoIterator<Item = MetadataRecord>) -> MetadataImage {
    let empty = MetadataImage::empty();
    let mut delta = MetadataDelta::new(&empty);
    let level = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: MetadataVersion::V3_9_IV0.level(),
        ..Default::default()
    };
    delta.replay(&level.into()).unwrap();
    delta.replay(&TopicRecord { name: "t".into(), topic_id: T, ..Default::default() }.into()).unwrap();
    for number in 0..2 {
        delta.replay(&partition(number, &[1, 2, 3], &[1, 2]).into()).unwrap();
    }
    for record in records {
        delta.replay(&record).unwrap();
    }
    delta.apply(Position::after(Offset(9), KRaftLeaderEpoch(1)), TimestampMs(0))
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn partition(number: i32, replicas: &[i32], isr: &[i32]) -> PartitionRecord {
    PartitionRecord {
        partition_id: PartitionId(number),
        topic_id: T,
        replicas: nodes(replicas),
        isr: nodes(isr),
        leader: NodeId(isr[0]),
        leader_epoch: LeaderEpoch(4),
        partition_epoch: PartitionEpoch(5),
        ..Default::default()
    }
}

fn on(image: &MetadataImage, change: Change) -> Result<Decision, Refusal> {
    decide(&change, &Ground { image, alive: &BTreeSet::new(), fresh_id: FRESH })
}

/// The records of a change that is taken; they must replay on the image.
fn records(image: &MetadataImage, change: Change) -> Vec<MetadataRecord> {
    let decision = on(image, change).unwrap();
    let mut delta = MetadataDelta::new(image);
    delta.replay_all(&decision.records).unwrap();
    for record in &decision.records {
        let mut bytes = Vec::new();
        record.encode(&mut bytes).unwrap();
        assert_eq!(VersionedRecord::decode(&bytes).unwrap(), *record);
    }
    decision.records.into_iter().map(|record| record.record).collect()
}

fn reason(image: &MetadataImage, change: Change) -> String {
    let refusal = on(image, change).unwrap_err();
    assert!(!refusal.next.is_empty(), "{refusal}");
    refusal.reason
}

fn create(name: &str, partitions: u32, replication_factor: u32) -> Change {
    Change::CreateTopic { name: name.into(), partitions, replication_factor, configs: BTreeMap::new() }
}

fn secrets<const N: usize>(values: [(&str, &str); N]) -> BTreeMap<String, Secret> {
    values.map(|(key, value)| (key.to_owned(), Secret::new(value))).into()
}

fn keys<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn a_new_topic_has_its_configs_and_partitions_in_one_batch() {
    let image = image_with([]);
    let change = Change::CreateTopic {
        name: "orders".into(),
        partitions: 4,
        replication_factor: 2,
        configs: secrets([("retention.ms", "60000")]),
    };
    let made = records(&image, change);
    let mut delta = MetadataDelta::new(&image);
    made.iter().for_each(|record| delta.replay(record).unwrap());
    let topics = delta.image().topics();
    assert_eq!(topics.id("orders"), Some(TopicId(FRESH)));
    let placed: Vec<_> = topics.partitions(TopicId(FRESH)).map(|(_, p)| p.replicas.to_vec()).collect();
    // 20 mod 3 is 2: the first partition begins at the third broker, the next one a broker further.
    assert_eq!(placed, [nodes(&[3, 1]), nodes(&[1, 2]), nodes(&[2, 3]), nodes(&[3, 1])]);
    for (_, partition) in topics.partitions(TopicId(FRESH)) {
        assert_eq!(partition.leader, Some(partition.replicas[0]));
        assert_eq!((partition.leader_epoch.0, partition.partition_epoch.0), (0, 0));
        assert_eq!(partition.isr, partition.replicas);
    }
    let config = metadata_core::image::ConfigResource::topic("orders");
    assert_eq!(delta.image().config(&config).unwrap()["retention.ms"], "60000");
}

#[test]
fn records_have_the_version_of_the_images_metadata_version() {
    for (version, partition) in [(MetadataVersion::V3_6_IV2, 0), (MetadataVersion::V3_9_IV0, 1)] {
        let level = FeatureLevelRecord {
            name: MetadataVersion::FEATURE_NAME.to_owned(),
            feature_level: version.level(),
            ..Default::default()
        };
        let image = image_with([level.into()]);
        let made = on(&image, create("orders", 1, 1)).unwrap().records;
        assert_eq!(made.iter().map(|record| record.version).collect::<Vec<_>>(), [0, partition], "{version}");
    }
}

#[test]
fn topics_that_cannot_be_are_refused() {
    let image = image_with([]);
    let long = "x".repeat(250);
    for (name, expected) in [
        ("", "no topic can be called \"\""),
        (".", "no topic can be called"),
        ("..", "no topic can be called"),
        ("a/b", "no topic can be called"),
        ("a b", "no topic can be called"),
        ("é", "no topic can be called"),
        (long.as_str(), "no topic can be called"),
        ("t", "topic t exists already"),
    ] {
        assert!(reason(&image, create(name, 1, 1)).contains(expected), "{name}");
    }
    assert!(on(&image, create(&"x".repeat(249), 1, 1)).is_ok());
    assert!(reason(&image, create("new", 0, 1)).contains("needs partitions"));
    assert!(reason(&image, create("new", u32::MAX, 1)).contains("too many"));
    assert!(reason(&image, create("new", 10_000, 1)).contains("10001 records"));
    assert!(on(&image, create("new", 9_999, 1)).is_ok());
    // So many records would not fit into memory: they are refused before they are made.
    assert!(reason(&image, create("new", 2_147_483_647, 1)).contains("2147483647 records"));
    assert!(reason(&image, Change::AddPartitions { name: "t".into(), total: 2_000_000_000 }).contains("at most 10000"));
    assert!(reason(&image, create("new", 1, 0)).contains("at least one replica"));
    assert!(reason(&image, create("new", 1, 4)).contains("4 replicas need as many brokers, and 3 are known"));
    let bad_config = Change::CreateTopic {
        name: "new".into(),
        partitions: 1,
        replication_factor: 1,
        configs: secrets([("retention ms", "1")]),
    };
    assert!(reason(&image, bad_config).contains("no config can be called"));
}

#[test]
fn names_that_would_share_their_metrics_are_refused() {
    let other =
        TopicRecord { name: "a.b_c".into(), topic_id: TopicId(Uuid::from_u64_pair(1, 1)), ..Default::default() };
    let image = image_with([other.into()]);
    assert!(reason(&image, create("a_b.c", 1, 1)).contains("the same metrics as a.b_c"));
    assert!(on(&image, create("a.b_d", 1, 1)).is_ok());
}

#[test]
fn brokers_are_known_by_assignments_by_registration_or_by_being_alive() {
    let register = |id: i32, fenced: bool, directories: &[DirectoryId]| {
        MetadataRecord::from(RegisterBrokerRecord {
            broker_id: NodeId(id),
            broker_epoch: BrokerEpoch(1),
            fenced,
            log_dirs: directories.to_vec(),
            ..Default::default()
        })
    };
    let directory = |n| DirectoryId(Uuid::from_u64_pair(5, n));
    let image = image_with([
        register(3, true, &[]),
        register(5, false, &[directory(1)]),
        register(6, false, &[directory(2), directory(3)]),
        register(7, true, &[]),
    ]);
    let alive = BTreeSet::from([NodeId(4)]);
    let ground = Ground { image: &image, alive: &alive, fresh_id: FRESH };
    let made = decide(&create("orders", 1, 5), &ground).unwrap();
    let MetadataRecord::Partition(record) = &made.records[1].record else { panic!("{made:?}") };
    // 1 and 2 by assignment, 4 alive, 5 and 6 registered; 3 and 7 are fenced.
    assert_eq!(record.replicas, nodes(&[1, 2, 4, 5, 6]));
    let migrating = DirectoryId::MIGRATING;
    assert_eq!(record.directories, [migrating, migrating, migrating, directory(1), DirectoryId::UNASSIGNED]);
    assert!(decide(&create("orders", 1, 6), &ground).is_err());
}

#[test]
fn a_deleted_topic_is_named_by_its_id() {
    let image = image_with([]);
    let made = records(&image, Change::DeleteTopic { name: "t".into() });
    assert!(matches!(&made[..], [MetadataRecord::RemoveTopic(record)] if record.topic_id == T), "{made:?}");
    assert!(reason(&image, Change::DeleteTopic { name: "u".into() }).contains("no topic \"u\""));
}

#[test]
fn a_topic_grows_and_never_shrinks() {
    let image = image_with([]);
    let grow = |total| Change::AddPartitions { name: "t".into(), total };
    let made = records(&image, grow(4));
    let added: Vec<_> = made
        .iter()
        .map(|record| match record {
            MetadataRecord::Partition(record) => (record.partition_id.0, record.replicas.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(added, [(2, 3), (3, 3)]);
    for total in [0, 1, 2] {
        assert!(reason(&image, grow(total)).contains("a topic never shrinks"), "{total}");
    }
    assert!(reason(&image, grow(u32::MAX)).contains("too many"));
    assert!(reason(&image, Change::AddPartitions { name: "u".into(), total: 3 }).contains("no topic"));
}

fn reassign(replicas: &[i32]) -> Change {
    Change::Reassign { name: "t".into(), partition: 0, replicas: replicas.to_vec() }
}

fn only_change(made: &[MetadataRecord]) -> PartitionChangeRecord {
    match made {
        [MetadataRecord::PartitionChange(record)] => record.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reassignment_that_adds_replicas_waits_for_them() {
    let image = image_with([RegisterBrokerRecord { broker_id: NodeId(4), fenced: false, ..Default::default() }.into()]);
    let change = only_change(&records(&image, reassign(&[4, 2])));
    assert_eq!(change.replicas, Some(nodes(&[4, 2, 1, 3])));
    assert_eq!(change.adding_replicas, Some(nodes(&[4])));
    assert_eq!(change.removing_replicas, Some(nodes(&[1, 3])));
    assert_eq!((&change.isr, change.leader), (&None, NodeId(-2)), "nothing else changes");
    let mut delta = MetadataDelta::new(&image);
    delta.replay(&change.into()).unwrap();
    assert!(reason(delta.image(), reassign(&[1])).contains("is being reassigned already"));
}

#[test]
fn a_reassignment_that_only_takes_away_is_done_at_once() {
    let image = image_with([]);
    let order = only_change(&records(&image, reassign(&[3, 2, 1])));
    assert_eq!((order.replicas, order.isr, order.leader.0), (Some(nodes(&[3, 2, 1])), None, -2));
    let less = only_change(&records(&image, reassign(&[3, 2])));
    assert_eq!((less.replicas, less.isr, less.leader.0), (Some(nodes(&[3, 2])), Some(nodes(&[2])), 2));
    assert_eq!((less.adding_replicas, less.removing_replicas), (None, None));
    assert!(reason(&image, reassign(&[3])).contains("in sync"));
}

#[test]
fn reassignments_that_make_no_sense_are_refused() {
    let image = image_with([]);
    for (replicas, expected) in [
        (&[][..], "needs replicas"),
        (&[1, 1], "stands twice"),
        (&[1, 9], "broker 9 is not known"),
        (&[1, 2, 3], "has these replicas already"),
    ] {
        assert!(reason(&image, reassign(replicas)).contains(expected), "{replicas:?}");
    }
    let missing = Change::Reassign { name: "t".into(), partition: 2, replicas: vec![1] };
    assert!(reason(&image, missing).contains("no partition 2"));
}

#[test]
fn directories_move_with_their_replicas() {
    let directory = |n| DirectoryId(Uuid::from_u64_pair(5, n));
    let placed = PartitionRecord {
        directories: vec![directory(1), directory(2), directory(3)],
        ..partition(0, &[1, 2, 3], &[1, 2])
    };
    let image = image_with([placed.into()]);
    let change = only_change(&records(&image, reassign(&[3, 1])));
    assert_eq!(change.directories, Some(vec![directory(3), directory(1)]));
    let unknown = only_change(&records(&image_with([]), reassign(&[3, 1])));
    assert_eq!(unknown.directories, None);
}

#[test]
fn the_preferred_leader_is_elected_if_it_is_in_sync() {
    let elect = |partition| Change::ElectPreferredLeader { name: "t".into(), partition };
    let led_by_2 = partition(0, &[1, 2, 3], &[2, 1]);
    let not_in_sync = partition(1, &[3, 2, 1], &[1, 2]);
    let image = image_with([led_by_2.into(), not_in_sync.into()]);
    assert_eq!(only_change(&records(&image, elect(0))).leader, NodeId(1));
    assert!(reason(&image, elect(1)).contains("broker 3, the preferred leader"));
    assert!(reason(&image_with([]), elect(0)).contains("led by its preferred leader 1 already"));
    assert!(reason(&image, elect(7)).contains("no partition 7"));
}

#[test]
fn configs_are_set_and_deleted_by_resource() {
    let set = |resource, values| Change::SetConfigs { resource, values };
    let delete = |resource, names| Change::DeleteConfigs { resource, keys: names };
    let image = image_with([]);
    for (resource, kind, name) in
        [(Resource::Topic("t".into()), 2, "t"), (Resource::Broker(3), 4, "3"), (Resource::AllBrokers, 4, "")]
    {
        let made = records(&image, set(resource.clone(), secrets([("a.b", "1"), ("c", "2")])));
        assert_eq!(made.len(), 2);
        let MetadataRecord::Config(first) = &made[0] else { panic!("{made:?}") };
        assert_eq!((first.resource_type, first.resource_name.as_str(), first.name.as_str()), (kind, name, "a.b"));
        assert_eq!(first.value.as_deref(), Some("1"));

        let with = image_with(made);
        let gone = records(&with, delete(resource.clone(), keys(["c"])));
        let MetadataRecord::Config(gone) = &gone[0] else { panic!("{gone:?}") };
        assert_eq!((gone.name.as_str(), gone.value.as_deref()), ("c", None));
        assert!(reason(&with, delete(resource, keys(["d"]))).contains("does not set \"d\""));
    }
    assert!(reason(&image, set(Resource::Topic("u".into()), secrets([("a", "1")]))).contains("no topic \"u\""));
    assert!(reason(&image, set(Resource::Broker(-1), secrets([("a", "1")]))).contains("no broker id"));
    assert!(reason(&image, set(Resource::AllBrokers, secrets([]))).contains("no config is named"));
    assert!(reason(&image, delete(Resource::AllBrokers, keys([]))).contains("no config is named"));
    assert!(reason(&image, set(Resource::AllBrokers, secrets([("", "1")]))).contains("no config can be called"));
}

#[test]
fn config_values_are_shown_nowhere() {
    let change =
        Change::SetConfigs { resource: Resource::AllBrokers, values: secrets([("ssl.key.password", "hunter2")]) };
    let decision = on(&image_with([]), change.clone()).unwrap();
    assert!(!format!("{change:?} {decision:?}").contains("hunter2"));
    assert!(decision.summary.contains("ssl.key.password"));
}

#[test]
fn quotas_are_set_and_deleted_by_owner() {
    let user = |name: Option<&str>| QuotaOwner { user: Some(name.map(str::to_owned)), ..Default::default() };
    let both = QuotaOwner { client_id: Some(Some("c".into())), ..user(None) };
    let ip = QuotaOwner { ip: Some(Some("10.0.0.1".into())), ..Default::default() };
    let set = |owner: &QuotaOwner, key: &str, value| Change::SetQuotas {
        owner: owner.clone(),
        values: BTreeMap::from([(key.to_owned(), value)]),
    };
    let delete = |owner: &QuotaOwner, key: &str| Change::DeleteQuotas { owner: owner.clone(), keys: keys([key]) };
    let image = image_with([]);
    for (owner, key, value, shown) in [
        (user(Some("alice")), "producer_byte_rate", 1024.0, "user alice"),
        (user(None), "request_percentage", 12.5, "default user"),
        (both.clone(), "consumer_byte_rate", 0.0, "default user with client-id c"),
        (ip.clone(), "connection_creation_rate", 7.0, "ip 10.0.0.1"),
    ] {
        let decision = on(&image, set(&owner, key, value)).unwrap();
        assert!(decision.summary.contains(shown), "{}", decision.summary);
        let made = records(&image, set(&owner, key, value));
        let MetadataRecord::ClientQuota(record) = &made[0] else { panic!("{made:?}") };
        assert_eq!((record.key.as_str(), record.value, record.remove), (key, value, false));
        let with = image_with(made);
        let gone = records(&with, delete(&owner, key));
        assert!(matches!(&gone[..], [MetadataRecord::ClientQuota(record)] if record.remove));
        assert!(reason(&image, delete(&owner, key)).contains("has no quota"));
    }
    for (owner, key, value, expected) in [
        (QuotaOwner::default(), "producer_byte_rate", 1.0, "nobody is named"),
        (QuotaOwner { user: Some(None), ..ip.clone() }, "connection_creation_rate", 1.0, "quotas of its own"),
        (user(Some("")), "producer_byte_rate", 1.0, "the user is empty"),
        (
            QuotaOwner { ip: Some(Some("x".into())), ..Default::default() },
            "connection_creation_rate",
            1.0,
            "no address",
        ),
        (user(Some("a")), "connection_creation_rate", 1.0, "can have no quota"),
        (ip, "producer_byte_rate", 1.0, "can have no quota"),
        (user(Some("a")), "producer_byte_rate", 1.5, "can't be 1.5"),
        (user(Some("a")), "producer_byte_rate", 1e19, "can't be"),
        (user(Some("a")), "request_percentage", -1.0, "can't be -1"),
        (user(Some("a")), "request_percentage", f64::NAN, "can't be NaN"),
        (user(Some("a")), "request_percentage", f64::INFINITY, "can't be inf"),
    ] {
        assert!(reason(&image, set(&owner, key, value)).contains(expected), "{owner:?} {key} {value}");
    }
}

fn acl(resource_type: ResourceType, name: &str) -> Acl {
    Acl {
        resource_type,
        resource_name: name.into(),
        pattern_type: PatternType::Literal,
        principal: "User:alice".into(),
        host: "*".into(),
        operation: Operation::Read,
        permission: Permission::Allow,
    }
}

#[test]
fn entries_come_once_and_go_by_equality() {
    let image = image_with([]);
    let entry = acl(ResourceType::Topic, "t");
    let made = records(&image, Change::AddAcl(entry.clone()));
    let MetadataRecord::AccessControlEntry(record) = &made[0] else { panic!("{made:?}") };
    assert_eq!(record.id.0, FRESH);
    assert_eq!((record.resource_type, record.pattern_type, record.operation, record.permission_type), (2, 3, 3, 3));
    let with = image_with(made);
    assert!(reason(&with, Change::AddAcl(entry.clone())).contains("is there already"));
    let gone = records(&with, Change::RemoveAcl(entry.clone()));
    assert!(matches!(&gone[..], [MetadataRecord::RemoveAccessControlEntry(record)] if record.id.0 == FRESH));
    for other in [
        Acl { host: "h".into(), ..entry.clone() },
        Acl { operation: Operation::Write, ..entry.clone() },
        Acl { permission: Permission::Deny, ..entry.clone() },
        Acl { principal: "User:bob".into(), ..entry.clone() },
        Acl { pattern_type: PatternType::Prefixed, ..entry.clone() },
        acl(ResourceType::Group, "t"),
    ] {
        assert!(reason(&with, Change::RemoveAcl(other.clone())).contains("there is no entry"), "{other:?}");
        assert!(on(&with, Change::AddAcl(other)).is_ok());
    }
}

#[test]
fn entries_that_cannot_be_are_refused() {
    let image = image_with([]);
    for (entry, expected) in [
        (acl(ResourceType::Topic, ""), "has no name"),
        (acl(ResourceType::Cluster, "mine"), "no cluster resource"),
        (Acl { principal: "alice".into(), ..acl(ResourceType::Topic, "t") }, "no principal"),
        (Acl { principal: "User:".into(), ..acl(ResourceType::Topic, "t") }, "no principal"),
        (Acl { host: String::new(), ..acl(ResourceType::Topic, "t") }, "the host is empty"),
    ] {
        assert!(reason(&image, Change::AddAcl(entry.clone())).contains(expected), "{entry:?}");
    }
    assert!(on(&image, Change::AddAcl(acl(ResourceType::Cluster, "kafka-cluster"))).is_ok());
}

fn scram(mechanism: Mechanism, iterations: u32) -> Change {
    let keys = ScramKeys::derive(mechanism, "hunter2", b"salt".to_vec(), iterations);
    Change::SetScram { user: "alice".into(), mechanism, keys }
}

#[test]
fn a_credential_is_set_and_deleted() {
    let image = image_with([]);
    for (mechanism, code, length) in [(Mechanism::Sha256, 1, 32), (Mechanism::Sha512, 2, 64)] {
        let made = records(&image, scram(mechanism, 4096));
        let MetadataRecord::UserScramCredential(record) = &made[0] else { panic!("{made:?}") };
        assert_eq!((record.mechanism, record.iterations, record.stored_key.len()), (code, 4096, length));
        let with = image_with(made);
        let delete = |mechanism| Change::DeleteScram { user: "alice".into(), mechanism };
        assert_eq!(records(&with, delete(mechanism)).len(), 1);
        assert!(reason(&image, delete(mechanism)).contains("has no SCRAM"));
    }
    assert!(reason(&image, scram(Mechanism::Sha256, 4095)).contains("4095 iterations"));
    assert!(reason(&image, scram(Mechanism::Sha256, 16_385)).contains("16385 iterations"));
    let Change::SetScram { keys, .. } = scram(Mechanism::Sha256, 4096) else { panic!() };
    let other = Change::SetScram { user: "alice".into(), mechanism: Mechanism::Sha512, keys: keys.clone() };
    assert!(reason(&image, other).contains("no keys of SCRAM-SHA-512"));
    let nobody = Change::SetScram { user: String::new(), mechanism: Mechanism::Sha256, keys };
    assert!(reason(&image, nobody).contains("has no name"));
}

#[test]
fn keys_are_those_of_the_rfc() {
    // RFC 7677, section 3: user "user", password "pencil", and the server's signature that follows from these keys.
    let salt = b"W22ZaJ0SNY7soEsUEjb6gQ==";
    let salt = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, salt).unwrap();
    let keys = serde_json::to_value(ScramKeys::derive(Mechanism::Sha256, "pencil", salt, 4096)).unwrap();
    assert_eq!(keys["stored-key"], "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
    assert_eq!(keys["server-key"], "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
}

#[test]
fn no_secret_of_a_credential_is_shown() {
    let change = scram(Mechanism::Sha256, 4096);
    let decision = on(&image_with([]), change.clone()).unwrap();
    let shown = format!("{change:?} {decision:?}");
    let json = serde_json::to_string(&change).unwrap();
    let stored = json.split("\"stored-key\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(!shown.contains(stored) && !shown.contains("hunter2") && !json.contains("hunter2"), "{shown}");
    assert!(shown.contains("[redacted]"));
}

#[test]
fn every_change_survives_the_way_to_the_controller() {
    let owner = QuotaOwner { user: Some(None), client_id: Some(Some("c".into())), ip: None };
    for change in [
        Change::CreateTopic { name: "t".into(), partitions: 1, replication_factor: 2, configs: secrets([("a", "b")]) },
        Change::DeleteTopic { name: "t".into() },
        Change::AddPartitions { name: "t".into(), total: 3 },
        reassign(&[1, 2]),
        Change::ElectPreferredLeader { name: "t".into(), partition: 1 },
        Change::SetConfigs { resource: Resource::Topic("t".into()), values: secrets([("a", "b")]) },
        Change::DeleteConfigs { resource: Resource::AllBrokers, keys: keys(["a"]) },
        Change::SetQuotas { owner: owner.clone(), values: BTreeMap::from([("request_percentage".into(), 0.5)]) },
        Change::DeleteQuotas { owner, keys: keys(["request_percentage"]) },
        Change::AddAcl(acl(ResourceType::TransactionalId, "x")),
        Change::RemoveAcl(acl(ResourceType::Topic, "x")),
        scram(Mechanism::Sha512, 4096),
        Change::DeleteScram { user: "u".into(), mechanism: Mechanism::Sha256 },
    ] {
        let json = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change, "{json}");
    }
}
