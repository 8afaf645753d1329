//! The laws, over trees that real Kafka clusters wrote (`testdata/captured`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use metadata_core::id::{NodeId, Position, TimestampMs, ZkControllerEpoch};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{MetadataRecord, VersionedRecord};
use serde_json::{Value, json};
use store_zk::client::{AclEntry, Permissions, ZkAcl};
use store_zk::compare::{Comparer, compare_trees};
use store_zk::import::{ImportContext, ImportError, Imported, import_tree};
use store_zk::project::{ProjectionContext, Projector, ZnodeOp};
use store_zk::testkit::captured::CapturedTree;
use store_zk::znode::Znode;
use store_zk::znode::access::{Access, access_for};
use store_zk::znode::broker::BrokerIdZnode;
use store_zk::znode::cluster::{FeatureZnode, decode_cluster_id};
use store_zk::znode::controller::{ControllerZnode, decode_epoch};
use store_zk::znode::notification::{decode_acl_change, decode_config_change, decode_extended_acl_change};
use store_zk::znode::password::PasswordSecret;
use store_zk::znode::path::{Family, Place};

use crate::both_ways::full_sync_ops;
use crate::canonical::{canonical, readable};
use crate::normal::normal;
use crate::tree::Tree;

const HEALTHY: &str = include_str!("../../testdata/captured/kafka-3.9.2.jsonl");
const HALF_DONE: &str = include_str!("../../testdata/captured/kafka-3.9.2-half-done.jsonl");
const UNCLEAN: &str = include_str!("../../testdata/captured/kafka-3.9.2-unclean.jsonl");
const SECURE: &str = include_str!("../../testdata/captured/kafka-3.9.2-secure.jsonl");
const OLD: &str = include_str!("../../testdata/captured/kafka-2.4.1-half-done.jsonl");
const UPGRADED: &str = include_str!("../../testdata/captured/kafka-2.4.1-upgraded-to-3.9.2.jsonl");

const ALL: [(&str, &str); 6] = [
    ("3.9.2", HEALTHY),
    ("3.9.2 half done", HALF_DONE),
    ("3.9.2 unclean", UNCLEAN),
    ("3.9.2 secure", SECURE),
    ("2.4.1 half done", OLD),
    ("2.4.1 upgraded", UPGRADED),
];

/// The topic that is being deleted where something is half done, and the one that is being reassigned.
const DOOMED: &str = "doomed";
const MOVING: &str = "moving";

/// Kinds of entities with their names; `None` is the default.
type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

/// A capture, ready for the laws.
struct Capture {
    name: &'static str,
    tree: CapturedTree,
    /// As it was captured, but that topics without an id have one: what a newer controller would do.
    znodes: BTreeMap<String, Znode>,
    context: ProjectionContext,
}

impl Capture {
    fn all() -> Vec<Self> {
        ALL.into_iter().map(|(name, text)| Self::new(name, text)).collect()
    }

    fn new(name: &'static str, text: &str) -> Self {
        let tree = CapturedTree::parse(text).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        let mut znodes = tree.znodes();
        for (number, (path, znode)) in znodes.iter_mut().enumerate() {
            if matches!(Place::of(path), Place::Topic(_)) {
                let mut topic: Value = serde_json::from_slice(znode.content().unwrap()).unwrap();
                if topic.get("topic_id").is_none() {
                    topic["topic_id"] = json!(format!("AAAAAAAAAAEAAAAA{number:05}A"));
                    znode.data = Some(Bytes::from(topic.to_string()));
                }
            }
        }
        let zk_epoch = decode_epoch(&tree.znodes["/controller_epoch"].data).unwrap();
        let secret = Some(PasswordSecret::new(&tree.origin.password_encoder_secret));
        let context = ProjectionContext { zk_epoch, secret, secure: name.contains("secure"), notify: true };
        Self { name, tree, znodes, context }
    }

    fn secret(&self) -> &PasswordSecret {
        self.context.secret.as_ref().unwrap()
    }

    fn import(&self, znodes: &BTreeMap<String, Znode>) -> Result<(Vec<VersionedRecord>, Imported), ImportError> {
        let context =
            ImportContext { secret: self.context.secret.clone(), metadata_version: MetadataVersion::V3_9_IV0 };
        import_tree(znodes, context)
    }

    fn records(&self) -> (Vec<VersionedRecord>, Imported) {
        self.import(&self.znodes).unwrap_or_else(|error| panic!("{}: {error:#?}", self.name))
    }

    fn image(&self) -> MetadataImage {
        image_of(&self.records().0)
    }

    fn half_done(&self) -> bool {
        self.tree.znodes.contains_key("/admin/delete_topics/doomed")
    }

    fn of_place(&self, is: impl Fn(&Place<'_>) -> bool) -> impl Iterator<Item = (&str, &[u8])> {
        let there = self.tree.znodes.iter().filter(move |(path, _)| is(&Place::of(path)));
        there.map(|(path, znode)| (path.as_str(), &*znode.data))
    }
}

fn image_of(records: &[VersionedRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    delta.replay_all(records).unwrap();
    delta.apply(Position::START, TimestampMs(0))
}

#[test]
fn each_capture_has_znodes_of_every_family_of_its_release() {
    use Family::*;
    let always = [
        Containers,
        Topics,
        PartitionStates,
        TopicConfigs,
        BrokerConfigs,
        Users,
        Clients,
        ProducerIds,
        Acls,
        DelegationTokens,
        Controller,
        ClusterId,
        BrokerIds,
        Notifications,
    ];
    for capture in Capture::all() {
        let also: &[Family] = match capture.name {
            "3.9.2" | "3.9.2 secure" => &[Ips, Features],
            "3.9.2 half done" | "3.9.2 unclean" => &[Ips, Features, PendingDeletions],
            "2.4.1 half done" => &[PendingDeletions, AdminRequests],
            _ => &[PendingDeletions, AdminRequests, Features],
        };
        let found: BTreeSet<Family> = capture.tree.znodes.keys().map(|path| Place::of(path).family()).collect();
        let expected: BTreeSet<Family> = always.iter().chain(also).copied().collect();
        assert_eq!(found, expected, "{}", capture.name);
    }
}

#[test]
fn the_old_formats_are_really_there() {
    let versions = |capture: &Capture, is: fn(&Place<'_>) -> bool| -> BTreeSet<i64> {
        let version = |data: &[u8]| serde_json::from_slice::<Value>(data).unwrap()["version"].as_i64().unwrap();
        capture.of_place(is).map(|(_, data)| version(data)).collect()
    };
    let topics = |place: &Place<'_>| matches!(place, Place::Topic(_));
    let brokers = |place: &Place<'_>| matches!(place, Place::BrokerId(_));
    let tokens = |place: &Place<'_>| matches!(place, Place::Token(_));
    let controller = |place: &Place<'_>| matches!(place, Place::Controller);
    for capture in Capture::all() {
        let found = [topics, brokers, tokens, controller].map(|is| versions(&capture, is));
        let expected: [&[i64]; 4] = match capture.name {
            "2.4.1 half done" => [&[2], &[4], &[1], &[1]],
            // Nobody writes a token again.
            "2.4.1 upgraded" => [&[3], &[5], &[1], &[2]],
            _ => [&[3], &[5], &[3], &[2]],
        };
        assert_eq!(found, expected.map(|versions| versions.iter().copied().collect()), "{}", capture.name);
        let with_ids = capture.of_place(topics).filter(|(_, data)| String::from_utf8_lossy(data).contains("topic_id"));
        assert_eq!(with_ids.count() == 0, capture.name == "2.4.1 half done", "{}", capture.name);
        // What is not copied says so nowhere in the tree, but the reassignment is in the topic, too.
        let moving = capture.of_place(|place| *place == Place::Topic(MOVING)).next();
        let adding = moving.map(|(_, data)| serde_json::from_slice::<Value>(data).unwrap()["adding_replicas"].clone());
        assert_eq!(adding.is_some_and(|map| map["0"] == json!([2])), capture.half_done(), "{}", capture.name);
    }
}

#[test]
fn a_leader_that_was_not_in_sync_is_imported_as_one_that_recovers() {
    for capture in Capture::all() {
        let image = capture.image();
        let recovering = image.topics().all_partitions().filter(|(_, it)| it.leader_recovery_state.code() == 1);
        let recovering: Vec<_> = recovering.map(|(_, it)| (it.leader, it.isr.to_vec())).collect();
        let expected =
            if capture.name == "3.9.2 unclean" { vec![(Some(NodeId(2)), vec![NodeId(2)]); 2] } else { vec![] };
        assert_eq!(recovering, expected, "{}", capture.name);
    }
}

#[test]
fn topics_without_ids_are_the_only_problem_of_an_old_tree() {
    for capture in Capture::all() {
        let problems: BTreeMap<String, String> = match capture.import(&capture.tree.znodes()) {
            Ok(_) => BTreeMap::new(),
            Err(error) => error.problems.into_iter().map(|problem| (problem.path, problem.reason)).collect(),
        };
        if capture.name != "2.4.1 half done" {
            assert_eq!(problems, BTreeMap::new(), "{}", capture.name);
            continue;
        }
        let topics = capture.of_place(|place| matches!(place, Place::Topic(name) if *name != DOOMED));
        let topics: BTreeSet<String> = topics.map(|(path, _)| path.to_owned()).collect();
        assert_eq!(problems.keys().cloned().collect::<BTreeSet<_>>(), topics);
        assert!(problems.values().all(|reason| reason.starts_with("the topic has no id")), "{problems:?}");
    }
}

#[test]
fn an_import_warns_of_what_is_half_done_and_of_nothing_else() {
    for capture in Capture::all() {
        let warnings: Vec<String> = capture.records().1.warnings.iter().map(ToString::to_string).collect();
        let pending = format!("/admin/delete_topics/{DOOMED}: the topic is being deleted and is not copied");
        let expected = if capture.half_done() { vec![pending] } else { Vec::new() };
        assert_eq!(warnings, expected, "{}", capture.name);
    }
}

#[test]
fn importing_a_projected_capture_gives_its_image() {
    for capture in Capture::all() {
        let image = capture.image();
        assert_eq!(Projector::new(&image, &capture.context).unrepresentable(), [], "{}", capture.name);
        assert!(normal(&image, true).same_metadata(&image), "{}: what is imported is in normal form", capture.name);
        let (records, imported) = capture.import(&Tree::of(&image, &capture.context).znodes).unwrap();
        assert!(image_of(&records).same_metadata(&image), "{}", capture.name);
        assert_eq!(imported.warnings, [], "{}", capture.name);
    }
}

#[test]
fn projecting_an_imported_capture_gives_its_canonical_form() {
    for capture in Capture::all() {
        let image = capture.image();
        let projected = readable(Projector::new(&image, &capture.context).znodes(), capture.secret());
        let expected = canonical(&capture.znodes, capture.context.zk_epoch.0, capture.secret());
        // One by one, so that a failure can be read.
        for (path, expected) in &expected {
            assert_eq!(projected.get(path), Some(expected), "{}: {path}", capture.name);
        }
        let surplus: Vec<&String> = projected.keys().filter(|path| !expected.contains_key(*path)).collect();
        assert_eq!(surplus, Vec::<&String>::new(), "{}", capture.name);
    }
}

/// What a full sync would change.
fn awaits_a_sync(capture: &Capture, path: &str) -> bool {
    match Place::of(path) {
        // The containers of what the old release did not know.
        Place::Container => !capture.tree.znodes.contains_key(path),
        Place::PendingDeletion(topic)
        | Place::Topic(topic)
        | Place::Partitions(topic)
        | Place::Partition(topic, _)
        | Place::PartitionState(topic, _)
        | Place::TopicConfig(topic) => topic == DOOMED,
        // The old tool of configs left it empty.
        Place::Client(client) => client == "former" && capture.tree.origin.kafka == "2.4.1",
        _ => false,
    }
}

#[test]
fn a_capture_and_the_projection_of_its_import_differ_in_nothing_but_what_awaits_a_sync() {
    for capture in Capture::all() {
        let image = capture.image();
        let tree = Tree { znodes: capture.znodes.clone(), ..Tree::default() };
        let mut comparer = Comparer::new((&capture.context).into(), 1000);
        compare_trees(Projector::new(&image, &capture.context).znodes(), tree.walk(), &mut comparer);
        let (comparison, warnings) = comparer.finish();
        assert_eq!(warnings, Vec::<String>::new(), "{}", capture.name);
        assert_eq!(comparison.unknown, Vec::<String>::new(), "{}", capture.name);
        let compared = comparison.total().compared;
        let different: BTreeSet<String> = comparison.differences.into_iter().map(|it| it.entity).collect();
        let expected: BTreeSet<String> = Projector::new(&image, &capture.context)
            .znodes()
            .map(|node| node.path.to_string())
            .chain(capture.znodes.keys().cloned())
            .filter(|path| awaits_a_sync(&capture, path))
            .collect();
        assert_eq!(different, expected, "{}", capture.name);
        assert!(compared > 150, "{}", capture.name);
        // Kafka's JSON has another order of keys than ours, and passwords another salt: that masks, and hides nothing.
        assert!(comparison.families["topics"].masked > 0 && comparison.families["broker-configs"].masked > 0);
    }
}

#[test]
fn a_full_sync_after_the_copy_does_what_is_half_done_and_nothing_else() {
    for capture in Capture::all() {
        let image = capture.image();
        let mut tree = Tree { znodes: capture.znodes.clone(), ..Tree::default() };
        let (ops, warnings) = full_sync_ops(&capture.context, &image, &mut tree);
        assert_eq!(warnings, Vec::<String>::new(), "{}", capture.name);
        let rest: Vec<&ZnodeOp> = ops.iter().filter(|op| !awaits_a_sync(&capture, op.path().as_ref())).collect();
        assert!(rest.iter().all(|op| op.is_notification()), "{}: {rest:?}", capture.name);
        assert_eq!(ops.is_empty(), !capture.half_done(), "{}: {ops:?}", capture.name);
        assert_eq!(full_sync_ops(&capture.context, &image, &mut tree).0, [], "{}", capture.name);
    }
}

#[test]
fn znodes_get_the_access_lists_that_kafka_gives_them() {
    let capture = Capture::new("3.9.2 secure", SECURE);
    let kafka = |permissions| AclEntry { permissions, scheme: "sasl".into(), id: "kafka".into() };
    let anyone = AclEntry { permissions: Permissions::READ, scheme: "world".into(), id: "anyone".into() };
    let mut seen = BTreeMap::new();
    for (path, znode) in &capture.tree.znodes {
        let access = access_for(path, true);
        let expected = match access {
            Access::Open => ZkAcl::world_all(),
            Access::CreatorOnly => ZkAcl::new(vec![kafka(Permissions::ALL)]),
            Access::CreatorAndReaders => ZkAcl::new(vec![kafka(Permissions::ALL), anyone.clone()]),
        };
        assert_eq!(znode.acl, expected, "{path}");
        *seen.entry(format!("{access:?}")).or_insert(0) += 1;
    }
    assert!(seen["CreatorOnly"] > 10 && seen["CreatorAndReaders"] > 100 && seen["Open"] == 1, "{seen:?}");
    for (name, text) in ALL.into_iter().filter(|(name, _)| *name != "3.9.2 secure") {
        let open = Capture::new(name, text).tree.znodes.values().all(|znode| znode.acl == ZkAcl::world_all());
        assert!(open, "{name}");
    }
}

#[test]
fn what_is_not_imported_is_understood_too() {
    for capture in Capture::all() {
        let mut read: BTreeMap<Family, u32> = BTreeMap::new();
        for (path, znode) in &capture.tree.znodes {
            let (data, place) = (&*znode.data, Place::of(path));
            let understood = match place {
                Place::BrokerId(_) => BrokerIdZnode::decode(data).map(|broker| {
                    assert_eq!(broker.endpoints.len(), 2, "{path}");
                    // The broker's epoch is when its znode was made.
                    assert!(znode.ephemeral && znode.czxid.is_some_and(|zxid| zxid > 0), "{path}");
                }),
                Place::Controller => ControllerZnode::decode(data).map(|controller| {
                    assert!(znode.ephemeral && !controller.is_kraft(), "{path}");
                }),
                Place::ControllerEpoch => {
                    decode_epoch(data).map(|epoch| assert!(epoch >= ZkControllerEpoch(1), "{path}"))
                }
                Place::ClusterId => decode_cluster_id(data).map(|id| assert_eq!(id.len(), 22)),
                Place::Feature => FeatureZnode::decode(data).map(|feature| assert!(feature.enabled)),
                Place::ConfigChange => decode_config_change(data).map(drop),
                Place::AclChange if path.starts_with("/kafka-acl-changes/") => decode_acl_change(data).map(drop),
                Place::AclChange => decode_extended_acl_change(data).map(drop),
                _ => continue,
            };
            understood.unwrap_or_else(|reason| panic!("{}: {path}: {reason}", capture.name));
            assert_ne!(znode.ephemeral, !matches!(place, Place::BrokerId(_) | Place::Controller), "{path}");
            *read.entry(place.family()).or_default() += 1;
        }
        assert!(read[&Family::Notifications] > 20 && read[&Family::BrokerIds] >= 1, "{}: {read:?}", capture.name);
    }
}

#[test]
fn what_the_tools_were_told_is_in_the_image() {
    for capture in Capture::all() {
        let (records, _) = capture.records();
        let image = image_of(&records);
        let name = capture.name;
        let (old, secure) = (name.starts_with("2.4.1"), name.contains("secure"));

        let count = |topic: &str| image.topics().partitions(image.topics().id(topic).unwrap()).count();
        let topics =
            ["orders", "payments.v1_eu", "audit-log", "transactions", "__consumer_offsets", "__transaction_state"];
        assert_eq!(topics.map(count), [40, 3, 2, 2, 3, 3], "{name}");
        assert_eq!(image.topics().iter().count(), topics.len() + usize::from(capture.half_done()), "{name}");

        let config = |kind: i8, resource: &str, key: &str| {
            records.iter().find_map(|record| match &record.record {
                MetadataRecord::Config(it)
                    if (it.resource_type, &*it.resource_name, &*it.name) == (kind, resource, key) =>
                {
                    it.value.clone()
                }
                _ => None,
            })
        };
        let configs = [
            (2, "payments.v1_eu", "cleanup.policy", Some("compact,delete")),
            (2, "audit-log", "message.format.version", Some("2.3-IV1")),
            (2, "orders", "cleanup.policy", None),
            (4, "", "log.cleaner.threads", Some("2")),
            (4, "0", "log.cleaner.threads", Some("1")),
            (4, "0", "listener.name.sasl_plaintext.ssl.keystore.password", Some("keystore's secret, with = and ,")),
            (4, "0", "listener.name.sasl_plaintext.ssl.key.password", Some("key's secret")),
            (
                4,
                "2",
                "listener.name.sasl_plaintext.plain.sasl.jaas.config",
                Some(
                    r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="x" password="y=1,z";"#,
                ),
            ),
            // What encodes passwords is not kept beside them.
            (4, "7", "password.encoder.secret", None),
            (4, "7", "listener.name.external.ssl.key.password", (!secure).then_some("secret of the absent")),
        ];
        for (kind, resource, key, expected) in configs {
            assert_eq!(config(kind, resource, key).as_deref(), expected, "{name}: {resource} {key}");
        }

        let quota = |entity: Entity<'_>, key: &str| {
            image.quotas().iter().find_map(|(found, values)| {
                let found: Vec<(&str, Option<&str>)> =
                    found.0.iter().map(|(kind, name)| (&**kind, name.as_deref())).collect();
                (found == entity).then(|| values.iter().find(|(name, _)| &***name == key).map(|(_, value)| value.0))?
            })
        };
        let quotas: [(Entity<'_>, &str, Option<f64>); 13] = [
            (&[("user", Some("alice"))], "request_percentage", Some(58.58)),
            (&[("user", Some("carol 100%*"))], "consumer_byte_rate", Some(2e6)),
            (&[("user", None)], "producer_byte_rate", Some(3e7)),
            (&[("client-id", Some("client one/+~"))], "request_percentage", Some(100.0)),
            (&[("client-id", None)], "producer_byte_rate", Some(12_345_678_901.0)),
            (&[("client-id", Some("a b/c@d")), ("user", Some("alice"))], "consumer_byte_rate", Some(1024.0)),
            (&[("client-id", None), ("user", Some("dave"))], "producer_byte_rate", Some(2048.0)),
            (&[("client-id", Some("app")), ("user", None)], "producer_byte_rate", Some(4096.0)),
            (&[("client-id", None), ("user", None)], "request_percentage", Some(0.5)),
            (&[("client-id", Some("former"))], "producer_byte_rate", None),
            (&[("user", Some("erin"))], "controller_mutation_rate", (!old).then_some(10.0)),
            (&[("ip", Some("127.0.0.1"))], "connection_creation_rate", (!old).then_some(1000.0)),
            (&[("ip", None)], "connection_creation_rate", (!old).then_some(2000.0)),
        ];
        for (entity, key, expected) in quotas {
            assert_eq!(quota(entity, key), expected, "{name}: {entity:?} {key}");
        }
        assert_eq!(image.quotas().len(), if old { 9 } else { 12 }, "{name}");

        let users: BTreeSet<(&str, i8, i32)> =
            image.scram().iter().map(|(key, credential)| (&*key.user, key.mechanism, credential.iterations)).collect();
        let expected = [("a b/c@d", 4096, 4096), ("admin", 4096, 4096), ("alice", 8192, 4096), ("bob", 4096, 8192)];
        let expected = expected.into_iter().flat_map(|(user, one, two)| [(user, 1, one), (user, 2, two)]);
        assert_eq!(users, expected.collect(), "{name}");

        let mut acls: BTreeMap<(i8, i8), usize> = BTreeMap::new();
        for (_, entry) in image.acls().iter() {
            *acls.entry((entry.pattern.resource_type, entry.pattern.pattern_type)).or_default() += 1;
        }
        // By resource type and pattern: 2 topics and 2 groups for 2 principals from 2 hosts and 1 denied, 2 operations;
        // prefixes with 2; all names with 1; a topic with 6; the cluster with 7, allowed and denied.
        let mut expected = BTreeMap::from([
            ((2, 3), 20 + 1 + 6),
            ((3, 3), 20 + 1),
            ((4, 3), 14),
            ((5, 3), 1),
            ((6, 3), 1),
            ((2, 4), 2),
            ((3, 4), 2),
            ((5, 4), 2),
        ]);
        if !old {
            expected.insert((7, 3), 2);
        }
        assert_eq!(acls, expected, "{name}");

        let tokens: BTreeSet<(&str, &str, Vec<&str>)> = image
            .tokens()
            .iter()
            .map(|(_, token)| (&*token.owner, &*token.requester, token.renewers.iter().map(|it| &**it).collect()))
            .collect();
        let second = if old { "User:admin" } else { "User:bob" };
        let expected = [("User:alice", "User:alice", vec!["User:bob", "User:a b/c@d"]), (second, "User:admin", vec![])];
        assert_eq!(tokens, expected.into(), "{name}");

        assert!(image.producer_id().is_some_and(|next| next.0 >= 1000 && next.0 % 1000 == 0), "{name}");
    }
}
