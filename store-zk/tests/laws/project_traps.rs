//! What a plan must get right, one claim a test. The letters are those of the lists of known traps: L for those of the
//! ZooKeeper side, G for those of the driver.

use std::collections::{BTreeMap, BTreeSet};

use metadata_core::id::{
    AclId, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, Position, TimestampMs, TopicId,
    ZkControllerEpoch,
};
use metadata_core::image::{MetadataDelta, MetadataImage, ScramCredential, ScramKey};
use metadata_core::record::*;
use metadata_core::uuid::Uuid;
use store_zk::project::{
    CreateMode, Entity, PADDING_MAX, Plan, ProjectionContext, Projector, Replanned, ZnodeOp, project,
};
use store_zk::znode::access::Access;
use store_zk::znode::password::{self, PasswordSecret};

use crate::tree::Tree;

pub(crate) fn context() -> ProjectionContext {
    ProjectionContext {
        zk_epoch: ZkControllerEpoch(9),
        secret: Some(PasswordSecret::new("encoder-secret")),
        secure: true,
        notify: true,
    }
}

pub(crate) fn then(image: &MetadataImage, records: impl IntoIterator<Item = MetadataRecord>) -> MetadataImage {
    let mut delta = MetadataDelta::new(image);
    for record in records {
        delta.replay(&record).unwrap();
    }
    delta.apply(Position::START, TimestampMs(0))
}

pub(crate) fn image(records: impl IntoIterator<Item = MetadataRecord>) -> MetadataImage {
    then(&MetadataImage::empty(), records)
}

pub(crate) fn topic_id(number: u64) -> TopicId {
    TopicId(Uuid::from_u64_pair(1, number))
}

pub(crate) fn topic(name: &str, number: u64) -> MetadataRecord {
    TopicRecord { name: name.to_owned(), topic_id: topic_id(number), ..Default::default() }.into()
}

pub(crate) fn partition(topic: u64, number: i32, epoch: i32) -> MetadataRecord {
    partition_record(topic, number, epoch).into()
}

pub(crate) fn partition_record(topic: u64, number: i32, epoch: i32) -> PartitionRecord {
    PartitionRecord {
        partition_id: PartitionId(number),
        topic_id: topic_id(topic),
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1), NodeId(2)],
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(epoch),
        ..Default::default()
    }
}

pub(crate) fn change(topic: u64, number: i32) -> PartitionChangeRecord {
    PartitionChangeRecord { partition_id: PartitionId(number), topic_id: topic_id(topic), ..Default::default() }
}

pub(crate) fn config(resource_type: i8, resource: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    ConfigRecord {
        resource_type,
        resource_name: resource.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..Default::default()
    }
    .into()
}

pub(crate) fn quota(entity: &[(&str, Option<&str>)], key: &str, value: Option<f64>) -> MetadataRecord {
    let entity = entity.iter().map(|(kind, name)| QuotaEntityData {
        entity_type: (*kind).to_owned(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    });
    ClientQuotaRecord {
        entity: entity.collect(),
        key: key.to_owned(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
        ..Default::default()
    }
    .into()
}

pub(crate) fn scram(user: &str, mechanism: i8) -> MetadataRecord {
    let (salt, stored_key, server_key) = (b"salt".to_vec(), b"stored".to_vec(), b"server".to_vec());
    ScramCredential { salt, stored_key, server_key, iterations: 4096 }
        .to_record(&ScramKey { user: user.into(), mechanism })
        .into()
}

pub(crate) fn acl(id: u64, kind: i8, name: &str, pattern: i8, principal: &str) -> MetadataRecord {
    AccessControlEntryRecord {
        id: AclId(Uuid::from_u64_pair(id, id)),
        resource_type: kind,
        resource_name: name.to_owned(),
        pattern_type: pattern,
        principal: principal.to_owned(),
        host: "*".to_owned(),
        operation: 3,
        permission_type: 3,
        ..Default::default()
    }
    .into()
}

pub(crate) fn token(id: &str, owner: &str) -> MetadataRecord {
    DelegationTokenRecord {
        owner: owner.to_owned(),
        requester: owner.to_owned(),
        token_id: id.to_owned(),
        ..Default::default()
    }
    .into()
}

/// A plan as lines: `create /path {data}`, notifications as `notify {data}`.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let text = |op: &ZnodeOp| String::from_utf8(op.data().cloned().unwrap_or_default().into()).unwrap();
    plan.ops
        .iter()
        .map(|planned| match &planned.op {
            op @ ZnodeOp::Create { mode: CreateMode::PersistentSequential, .. } => format!("notify {}", text(op)),
            op @ ZnodeOp::Create { path, .. } => format!("create {path} {}", text(op)).trim_end().to_owned(),
            op @ ZnodeOp::Set { path, .. } => format!("set {path} {}", text(op)).trim_end().to_owned(),
            ZnodeOp::Delete { path } => format!("delete {path}"),
        })
        .collect()
}

fn step(before: &MetadataImage, records: impl IntoIterator<Item = MetadataRecord>) -> Plan {
    project(before, &then(before, records), &context())
}

fn verbs(plan: &Plan) -> Vec<String> {
    lines(plan).iter().map(|line| line.split(" {").next().unwrap().to_owned()).collect()
}

#[test]
fn a_new_topic_comes_with_all_its_znodes_parents_first() {
    let plan = step(&MetadataImage::empty(), [topic("t", 7), partition(7, 0, 0)]);
    let expected = [
        r#"create /brokers/topics/t {"version":3,"topic_id":"AAAAAAAAAAEAAAAAAAAABw","partitions":{"0":[1,2]},"adding_replicas":{},"removing_replicas":{}}"#,
        // KAFKA-16003: each topic has a config node, be it empty; and an empty one needs no notification.
        r#"create /config/topics/t {"version":1,"config":{}}"#,
        "create /brokers/topics/t/partitions",
        "create /brokers/topics/t/partitions/0",
        r#"create /brokers/topics/t/partitions/0/state {"version":1,"leader":1,"leader_epoch":0,"controller_epoch":9,"isr":[1,2]}"#,
    ];
    assert_eq!(lines(&plan), expected);
}

/// L1, G21, KAFKA-20488: a KRaft epoch there would make the partition untouchable after a rollback.
#[test]
fn partition_states_carry_the_claimed_zookeeper_epoch() {
    let before = image([topic("t", 7), partition(7, 0, 0)]);
    let context = ProjectionContext { zk_epoch: ZkControllerEpoch(3), ..context() };
    let after = then(&before, [PartitionChangeRecord { leader: NodeId(2), ..change(7, 0) }.into()]);
    let plan = project(&before, &after, &context);
    assert!(lines(&plan)[0].contains(r#""controller_epoch":3"#));
}

/// L4, G5, KAFKA-16180: what goes and comes back under one name goes first.
#[test]
fn a_topic_made_again_under_its_name_is_deleted_before_it_is_created() {
    let before = image([topic("t", 7), partition(7, 0, 3)]);
    let remove = RemoveTopicRecord { topic_id: topic_id(7), ..Default::default() };
    // The new id is lower, so an order by id alone would create first.
    let plan = step(&before, [remove.into(), topic("t", 2), partition(2, 0, 0)]);
    let expected = [
        "delete /brokers/topics/t/partitions/0/state",
        "delete /brokers/topics/t/partitions/0",
        "delete /brokers/topics/t/partitions",
        "delete /config/topics/t",
        "delete /brokers/topics/t",
        "create /brokers/topics/t",
        "create /config/topics/t",
        "create /brokers/topics/t/partitions",
        "create /brokers/topics/t/partitions/0",
        "create /brokers/topics/t/partitions/0/state",
    ];
    assert_eq!(verbs(&plan), expected);
}

/// KAFKA-16206: the config goes with its topic, once, and nobody is told.
#[test]
fn a_deleted_topic_takes_its_config_along() {
    let before = image([topic("t", 7), config(2, "t", "retention.ms", Some("1"))]);
    let plan = step(&before, [RemoveTopicRecord { topic_id: topic_id(7), ..Default::default() }.into()]);
    let expected = ["delete /brokers/topics/t/partitions", "delete /config/topics/t", "delete /brokers/topics/t"];
    assert_eq!(verbs(&plan), expected);
}

/// L8, G25.
#[test]
fn a_partition_goes_after_its_state() {
    // No record removes a partition; a topic recorded anew has fewer.
    let before = image([topic("t", 7), partition(7, 0, 0), partition(7, 1, 0)]);
    let after = image([topic("t", 7), partition(7, 0, 0)]);
    let plan = project(&before, &after, &context());
    let expected = [
        "set /brokers/topics/t",
        "delete /brokers/topics/t/partitions/1/state",
        "delete /brokers/topics/t/partitions/1",
    ];
    assert_eq!(verbs(&plan), expected);
}

/// L18: the znode's version counts changes as the partition's epoch does.
#[test]
fn each_change_of_a_partition_is_one_set() {
    let before = image([topic("t", 7), partition(7, 0, 4)]);
    let changes = [
        PartitionChangeRecord { leader: NodeId(2), ..change(7, 0) },
        // Nothing that ZooKeeper shows, and counted all the same.
        PartitionChangeRecord { directories: Some(vec![DirectoryId::LOST; 2]), ..change(7, 0) },
        PartitionChangeRecord { isr: Some(vec![NodeId(2)]), ..change(7, 0) },
    ];
    let plan = step(&before, changes.map(Into::into));
    let last = r#"set /brokers/topics/t/partitions/0/state {"version":1,"leader":2,"leader_epoch":1,"controller_epoch":9,"isr":[2]}"#;
    assert_eq!(lines(&plan), [last, last, last]);
}

#[test]
fn a_new_partition_is_padded_up_to_its_epoch() {
    let before = image([topic("t", 7), partition(7, 0, 0)]);
    let plan = step(&before, [partition(7, 1, 0), change(7, 1).into(), change(7, 1).into()]);
    let expected = [
        "set /brokers/topics/t",
        "create /brokers/topics/t/partitions/1",
        "create /brokers/topics/t/partitions/1/state",
        "set /brokers/topics/t/partitions/1/state",
        "set /brokers/topics/t/partitions/1/state",
    ];
    assert_eq!(verbs(&plan), expected);
}

#[test]
fn a_gap_too_wide_to_pad_is_reported() {
    let too_far = i32::try_from(PADDING_MAX).unwrap() + 1;
    let before = image([topic("t", 7), partition(7, 0, 0)]);
    let plan = project(&before, &image([topic("t", 7), partition(7, 0, too_far)]), &context());
    assert_eq!(verbs(&plan), ["set /brokers/topics/t/partitions/0/state"]);
    assert!(plan.warnings[0].contains("the gap is too wide"), "{:?}", plan.warnings);
    let plan = project(&before, &image([topic("t", 7), partition(7, 0, too_far - 1)]), &context());
    assert_eq!((plan.ops.len(), plan.warnings.len()), (PADDING_MAX as usize, 0));
}

#[test]
fn a_partition_whose_epoch_went_back_gets_a_new_znode() {
    let before = image([topic("t", 7), partition(7, 0, 5)]);
    let plan = project(&before, &image([topic("t", 7), partition(7, 0, 1)]), &context());
    let state = "/brokers/topics/t/partitions/0/state";
    assert_eq!(verbs(&plan), [format!("delete {state}"), format!("create {state}"), format!("set {state}")]);
    // So does one that differs at the same epoch; what ZooKeeper does not show is no difference.
    let elected = PartitionRecord { leader: NodeId(2), ..partition_record(7, 0, 5) };
    let plan = project(&before, &image([topic("t", 7), elected.into()]), &context());
    assert_eq!(verbs(&plan)[..2], [format!("delete {state}"), format!("create {state}")]);
    let moved = PartitionRecord { directories: vec![DirectoryId::LOST; 2], ..partition_record(7, 0, 5) };
    assert_eq!(verbs(&project(&before, &image([topic("t", 7), moved.into()]), &context())), [] as [&str; 0]);
}

/// KAFKA-15003.
#[test]
fn a_reassignment_rewrites_the_topic_before_the_partition() {
    let before = image([topic("t", 7), partition(7, 0, 0)]);
    let reassign = PartitionChangeRecord {
        replicas: Some(vec![NodeId(3), NodeId(1), NodeId(2)]),
        adding_replicas: Some(vec![NodeId(3)]),
        directories: Some(vec![DirectoryId::UNASSIGNED; 3]),
        ..change(7, 0)
    };
    let plan = step(&before, [reassign.into()]);
    assert_eq!(verbs(&plan), ["set /brokers/topics/t", "set /brokers/topics/t/partitions/0/state"]);
    assert!(lines(&plan)[0].contains(r#""partitions":{"0":[3,1,2]},"adding_replicas":{"0":[3]}"#));
}

#[test]
fn configs_are_written_whole_and_announced() {
    let before = image([topic("t", 7), config(2, "t", "a", Some("1"))]);
    let plan = step(&before, [config(2, "t", "b", Some("2"))]);
    assert_eq!(
        lines(&plan),
        [
            r#"set /config/topics/t {"version":1,"config":{"a":"1","b":"2"}}"#,
            r#"notify {"version":2,"entity_path":"topics/t"}"#,
        ]
    );
    let plan = step(&before, [config(2, "t", "a", None)]);
    assert_eq!(
        lines(&plan),
        [r#"set /config/topics/t {"version":1,"config":{}}"#, r#"notify {"version":2,"entity_path":"topics/t"}"#]
    );
}

#[test]
fn a_new_topic_comes_with_its_configs_and_is_announced() {
    let plan = step(&MetadataImage::empty(), [topic("t", 7), config(2, "t", "a", Some("1"))]);
    let expected = [
        r#"create /config/topics/t {"version":1,"config":{"a":"1"}}"#,
        r#"notify {"version":2,"entity_path":"topics/t"}"#,
        "create /brokers/topics/t/partitions",
    ];
    assert_eq!(lines(&plan)[1..], expected);
}

#[test]
fn broker_configs_come_and_go_with_their_nodes() {
    let empty = MetadataImage::empty();
    let with = image([config(4, "", "a", Some("1")), config(4, "12", "a", Some("1"))]);
    let expected = [
        r#"create /config/brokers/<default> {"version":1,"config":{"a":"1"}}"#,
        r#"notify {"version":2,"entity_path":"brokers/<default>"}"#,
        r#"create /config/brokers/12 {"version":1,"config":{"a":"1"}}"#,
        r#"notify {"version":2,"entity_path":"brokers/12"}"#,
    ];
    assert_eq!(lines(&project(&empty, &with, &context())), expected);
    let expected = [
        "delete /config/brokers/<default>",
        r#"notify {"version":2,"entity_path":"brokers/<default>"}"#,
        "delete /config/brokers/12",
        r#"notify {"version":2,"entity_path":"brokers/12"}"#,
    ];
    assert_eq!(lines(&project(&with, &empty, &context())), expected);
}

/// KAFKA-15004.
#[test]
fn passwords_are_never_written_in_clear_text() {
    let secret = PasswordSecret::new("encoder-secret");
    let plan = step(&MetadataImage::empty(), [config(4, "1", "ssl.key.password", Some("hunter2"))]);
    let data = lines(&plan).join("\n");
    assert!(!data.contains("hunter2"));
    let encoded = data.split("\"ssl.key.password\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(password::decode(encoded, &secret).as_deref(), Ok("hunter2"));
}

/// Whoever wrote such a config without its passwords would erase what the broker starts with.
#[test]
fn without_a_secret_a_config_with_passwords_is_withheld_and_reported() {
    let after = image([config(4, "1", "ssl.key.password", Some("hunter2")), config(4, "2", "a", Some("b"))]);
    let blind = ProjectionContext { secret: None, notify: false, ..context() };
    let plan = project(&MetadataImage::empty(), &after, &blind);
    // Its operations keep their places.
    assert_eq!(verbs(&plan), ["create /config/brokers/1", "create /config/brokers/2"]);
    assert_eq!(plan.withheld, BTreeSet::from([Entity::BrokerConfig("1".into())]));
    assert_eq!(plan.withheld_ops(), BTreeMap::from([(0, Replanned::Nothing)]));
    assert_eq!(plan.unrepresentable.len(), 1);
    assert_eq!(plan.unrepresentable[0].entity, "config of broker 1");
    assert!(plan.unrepresentable[0].reason.contains("ssl.key.password"), "{:?}", plan.unrepresentable);
    assert_eq!(plan.unrepresentable, Projector::new(&after, &blind).unrepresentable());
    assert!(!format!("{plan:?}").contains("hunter2"));
    // With a secret nothing is, and without passwords neither.
    assert_eq!(
        step(&MetadataImage::empty(), [config(4, "1", "ssl.key.password", Some("p"))]).withheld,
        BTreeSet::new()
    );
    let gone = then(&after, [config(4, "1", "ssl.key.password", None)]);
    assert_eq!(project(&after, &gone, &blind).withheld, BTreeSet::new());
}

#[test]
fn a_change_without_a_secret_leaves_the_passwords_that_are_there() {
    let before = image([config(4, "1", "a", Some("1")), config(4, "1", "ssl.key.password", Some("hunter2"))]);
    let mut tree = Tree::of(&before, &context());
    let there = tree.clone();
    let after = then(&before, [config(4, "1", "a", Some("2"))]);
    let plan = project(&before, &after, &ProjectionContext { secret: None, ..context() });
    assert!(!plan.ops.is_empty());
    tree.apply_plan(&plan);
    assert_eq!(tree, there);
}

/// KAFKA-14970: quotas and credentials share a node, so each write has both.
#[test]
fn a_user_is_written_with_quotas_and_credentials() {
    let before = image([scram("alice", 1), quota(&[("user", Some("alice"))], "request_percentage", Some(58.58))]);
    let plan = step(&before, [quota(&[("user", Some("alice"))], "producer_byte_rate", Some(1000.0))]);
    let credential = "salt=c2FsdA==,stored_key=c3RvcmVk,server_key=c2VydmVy,iterations=4096";
    let expected = format!(
        r#"set /config/users/alice {{"version":1,"config":{{"SCRAM-SHA-256":"{credential}","producer_byte_rate":"1000","request_percentage":"58.58"}}}}"#
    );
    assert_eq!(lines(&plan), [expected.as_str(), r#"notify {"version":2,"entity_path":"users/alice"}"#]);
    // And one without quotas is written, too (KAFKA-14859).
    let plan = step(&MetadataImage::empty(), [scram("alice", 2)]);
    assert!(lines(&plan)[0].starts_with(r#"create /config/users/alice {"version":1,"config":{"SCRAM-SHA-512":"#));
}

/// L12, G24: Kafka dereferences null there and loses the rest of the change.
#[test]
fn the_last_quota_of_an_entity_can_be_removed() {
    type Part<'a> = (&'a str, Option<&'a str>);
    let entities: [(&[Part<'_>], &str, &str); 5] = [
        (&[("user", Some("a b"))], "request_percentage", "users/a%20b"),
        (&[("client-id", None)], "request_percentage", "clients/<default>"),
        (&[("ip", Some("::1"))], "connection_creation_rate", "ips/%3A%3A1"),
        (&[("user", None), ("client-id", Some("c"))], "request_percentage", "users/<default>/clients/c"),
        (
            &[("user", Some("<default>")), ("client-id", None)],
            "request_percentage",
            "users/%3Cdefault%3E/clients/<default>",
        ),
    ];
    for (entity, key, path) in entities {
        let before = image([quota(entity, key, Some(5.0))]);
        let plan = step(&before, [quota(entity, key, None)]);
        let lines = lines(&plan);
        assert_eq!(lines[0], format!("delete /config/{path}"));
        assert_eq!(lines[1], format!(r#"notify {{"version":2,"entity_path":"{path}"}}"#));
        assert!(then(&before, [quota(entity, key, None)]).quotas().is_empty());
    }
}

#[test]
fn a_users_containers_live_as_long_as_its_client_ids() {
    let of = |client| [("user", Some("u")), ("client-id", Some(client))];
    let empty = MetadataImage::empty();
    let one = then(&empty, [quota(&of("c"), "request_percentage", Some(1.0))]);
    let two = then(&one, [quota(&of("d"), "request_percentage", Some(1.0))]);
    let quiet = ProjectionContext { notify: false, ..context() };
    let expected = [
        r#"create /config/users/u {"version":1,"config":{}}"#,
        "create /config/users/u/clients",
        r#"create /config/users/u/clients/c {"version":1,"config":{"request_percentage":"1.0"}}"#,
    ];
    assert_eq!(lines(&project(&empty, &one, &quiet)), expected);
    assert_eq!(verbs(&project(&one, &two, &quiet)), ["create /config/users/u/clients/d"]);
    assert_eq!(verbs(&project(&two, &one, &quiet)), ["delete /config/users/u/clients/d"]);
    let expected = ["delete /config/users/u/clients/c", "delete /config/users/u/clients", "delete /config/users/u"];
    assert_eq!(verbs(&project(&one, &empty, &quiet)), expected);
    // The user's own quotas keep its node.
    let own = then(&one, [quota(&[("user", Some("u"))], "request_percentage", Some(2.0))]);
    let own_only = then(&own, [quota(&of("c"), "request_percentage", None)]);
    let expected = ["delete /config/users/u/clients/c", "delete /config/users/u/clients"];
    assert_eq!(verbs(&project(&own, &own_only, &quiet)), expected);
}

#[test]
fn the_producer_id_block_ends_right_before_the_next_id() {
    let next = |id: i64| ProducerIdsRecord { next_producer_id: id.into(), ..Default::default() }.into();
    let plan = step(&MetadataImage::empty(), [next(4000)]);
    let block = r#"{"version":1,"broker":-1,"block_start":"3000","block_end":"3999"}"#;
    assert_eq!(lines(&plan), [format!("set /latest_producer_id_block {block}")]);
}

/// `c000b1fae2b`: Kafka once dropped or mangled the other entries.
#[test]
fn deleting_one_entry_keeps_the_others() {
    let before = image([acl(1, 2, "foo", 3, "User:a"), acl(2, 2, "foo", 3, "User:b"), acl(3, 2, "foo", 4, "User:c")]);
    let remove = |id| RemoveAccessControlEntryRecord { id: AclId(Uuid::from_u64_pair(id, id)), ..Default::default() };
    let plan = step(&before, [remove(1).into()]);
    let rest =
        r#"{"version":1,"acls":[{"principal":"User:b","permissionType":"Allow","operation":"Read","host":"*"}]}"#;
    assert_eq!(lines(&plan), [format!("set /kafka-acl/Topic/foo {rest}"), "notify TOPIC:foo".to_owned()]);
    let plan = step(&before, [remove(3).into()]);
    let expected = [
        "delete /kafka-acl-extended/prefixed/Topic/foo",
        r#"notify {"version":1,"resourceType":"TOPIC","name":"foo","patternType":"PREFIXED"}"#,
    ];
    assert_eq!(lines(&plan), expected);
}

#[test]
fn equal_entries_with_two_ids_are_one_in_zookeeper() {
    let before = image([acl(1, 2, "foo", 3, "User:a")]);
    assert_eq!(lines(&step(&before, [acl(2, 2, "foo", 3, "User:a")])), [] as [&str; 0]);
    let both = then(&before, [acl(2, 2, "foo", 3, "User:a")]);
    let remove = RemoveAccessControlEntryRecord { id: AclId(Uuid::from_u64_pair(1, 1)), ..Default::default() };
    assert_eq!(lines(&step(&both, [remove.into()])), [] as [&str; 0]);
}

#[test]
fn tokens_are_announced() {
    let plan = step(&MetadataImage::empty(), [token("abc", "User:a")]);
    assert!(lines(&plan)[0].starts_with(r#"create /delegation_token/tokens/abc {"version":3,"owner":"User%3Aa""#));
    assert_eq!(lines(&plan)[1], "notify abc");
    let before = image([token("abc", "User:a")]);
    let plan = step(&before, [RemoveDelegationTokenRecord { token_id: "abc".into(), ..Default::default() }.into()]);
    assert_eq!(lines(&plan), ["delete /delegation_token/tokens/abc", "notify abc"]);
}

#[test]
fn nobody_is_told_when_there_is_nobody_to_tell() {
    let after = image([
        topic("t", 7),
        config(2, "t", "a", Some("1")),
        scram("a", 1),
        acl(1, 2, "x", 3, "User:a"),
        token("t", "User:a"),
    ]);
    let plan = project(&MetadataImage::empty(), &after, &ProjectionContext { notify: false, ..context() });
    assert!(plan.ops.iter().all(|op| !op.op.is_notification()));
}

/// L17: Kafka judges new config nodes by half of their path, so credentials become readable by everyone.
#[test]
fn secrets_are_created_for_their_creator_alone() {
    let after = image([
        scram("alice", 1),
        quota(&[("user", Some("u")), ("client-id", Some("c"))], "request_percentage", Some(1.0)),
        config(4, "1", "a", Some("b")),
        token("t", "User:a"),
        quota(&[("client-id", Some("c"))], "request_percentage", Some(1.0)),
        topic("t", 7),
    ]);
    let access = |secure: bool| -> Vec<(String, Access)> {
        let plan = project(&MetadataImage::empty(), &after, &ProjectionContext { secure, ..context() });
        let creates = plan.ops.into_iter().filter_map(|planned| match planned.op {
            ZnodeOp::Create { path, access, .. } => Some((path.to_string(), access)),
            _ => None,
        });
        creates.collect()
    };
    for (path, given) in access(true) {
        let secret = ["/config/users", "/config/brokers", "/delegation_token/tokens"];
        let secret = secret.iter().any(|prefix| path.starts_with(prefix));
        assert_eq!(given, if secret { Access::CreatorOnly } else { Access::CreatorAndReaders }, "{path}");
    }
    assert!(access(false).iter().all(|(_, given)| *given == Access::Open));
}

/// L6, G23: Kafka's full sync stops at the first such config, for ever.
#[test]
fn what_zookeeper_can_not_hold_is_reported_and_blocks_nothing() {
    let nobody: &[(&str, Option<&str>)] = &[("user", Some(""))];
    let cases: Vec<(MetadataRecord, &str)> = vec![
        (config(16, "metrics", "interval.ms", Some("1")), "config of client-metrics"),
        (config(32, "g", "a", Some("1")), "config of group"),
        (config(99, "g", "a", Some("1")), "config of resource type 99"),
        (config(4, "broker", "a", Some("1")), "config of broker"),
        (config(2, "nowhere", "a", Some("1")), "config of topic"),
        (topic("a/b", 3), "topic \"a/b\""),
        (topic("..", 3), "topic \"..\""),
        (quota(nobody, "request_percentage", Some(1.0)), "quotas of user \"\""),
        (quota(&[("user", Some("."))], "request_percentage", Some(1.0)), "quotas of user \".\""),
        (quota(&[("user", None), ("ip", None)], "request_percentage", Some(1.0)), "quotas of user default, ip default"),
        (quota(&[("user", None)], "producer_byte_rate", Some(0.5)), "producer_byte_rate of user default"),
        (quota(&[("user", None)], "connection_creation_rate", Some(1.0)), "connection_creation_rate of user"),
        (quota(&[("ip", None)], "connection_creation_rate", Some(1e10)), "connection_creation_rate of ip"),
        (quota(&[("client-id", None)], "request_percentage", Some(f64::NAN)), "request_percentage of client-id"),
        (scram("", 1), "SCRAM credential of mechanism 1 of user \"\""),
        (scram("a", 3), "SCRAM credential of mechanism 3 of user \"a\""),
        (acl(1, 2, "a/b", 3, "User:a"), "acl of Topic \"a/b\""),
        (acl(1, 2, "a/b", 4, "User:a"), "acl of Topic \"a/b\"*"),
        (acl(1, 1, "a", 3, "User:a"), "acl of resource type 1"),
        (acl(1, 2, "a", 2, "User:a"), "acl of Topic \"a\""),
        (acl(1, 2, "a", 3, "nobody"), "acl of \"a\" for \"nobody\""),
        (
            AccessControlEntryRecord {
                operation: 15,
                resource_type: 2,
                pattern_type: 3,
                resource_name: "a".into(),
                principal: "User:a".into(),
                permission_type: 3,
                ..Default::default()
            }
            .into(),
            "acl of \"a\" for \"User:a\"",
        ),
        (token("a/b", "User:a"), "delegation token \"a/b\""),
        (token("t", "nobody"), "delegation token \"t\""),
    ];
    for (record, entity) in cases {
        let after = image([record.clone(), acl(9, 3, "g", 3, "User:z")]);
        let plan = project(&MetadataImage::empty(), &after, &context());
        assert_eq!(plan.unrepresentable.len(), 1, "{record:?}");
        let lost = &plan.unrepresentable[0];
        assert!(lost.entity.starts_with(entity), "{lost:?}");
        assert!(!lost.reason.is_empty());
        assert_eq!(verbs(&plan), ["create /kafka-acl/Group/g", "notify GROUP:g"], "{record:?}");
        assert_eq!(Projector::new(&after, &context()).unrepresentable(), plan.unrepresentable);
        // Going away, it is no loss and no operation.
        let plan = project(&after, &image([acl(9, 3, "g", 3, "User:z")]), &context());
        assert!(plan.ops.is_empty() && plan.unrepresentable.is_empty(), "{record:?}");
    }
}

#[test]
fn one_lost_quota_does_not_take_the_others_along() {
    let user = [("user", Some("u"))];
    let plan = step(
        &MetadataImage::empty(),
        [quota(&user, "producer_byte_rate", Some(0.5)), quota(&user, "consumer_byte_rate", Some(7.0))],
    );
    assert_eq!(lines(&plan)[0], r#"create /config/users/u {"version":1,"config":{"consumer_byte_rate":"7"}}"#);
    assert_eq!(plan.unrepresentable.len(), 1);
}

#[test]
fn families_are_written_in_kafkas_order() {
    let next = ProducerIdsRecord { next_producer_id: 4000.into(), ..Default::default() };
    let after = image([
        token("t", "User:a"),
        acl(1, 2, "x", 3, "User:a"),
        next.into(),
        quota(&[("ip", None)], "connection_creation_rate", Some(1.0)),
        quota(&[("client-id", None)], "request_percentage", Some(1.0)),
        quota(&[("user", None)], "request_percentage", Some(1.0)),
        config(4, "1", "a", Some("b")),
        topic("t", 7),
    ]);
    let plan = project(&MetadataImage::empty(), &after, &ProjectionContext { notify: false, ..context() });
    let expected = [
        "create /brokers/topics/t",
        "create /config/topics/t",
        "create /brokers/topics/t/partitions",
        "create /config/brokers/1",
        "create /config/users/<default>",
        "create /config/clients/<default>",
        "create /config/ips/<default>",
        "set /latest_producer_id_block",
        "create /kafka-acl/Topic/x",
        "create /delegation_token/tokens/t",
    ];
    assert_eq!(verbs(&plan), expected);
}
