//! Each line of the two normal forms, by its name in the documentation of `store_zk::project`. The laws hold for all of
//! them together; these say what each one means.

use std::collections::BTreeMap;

use metadata_core::id::{DirectoryId, NodeId, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::*;
use store_zk::import::{ImportContext, acl_id, import_tree};
use store_zk::project::{Projector, project};
use store_zk::znode::Znode;
use store_zk::znode::password;

use crate::project_traps::{acl, change, config, context, image, partition, partition_record, quota, scram, topic};
use crate::tree::Tree;

fn import(znodes: &BTreeMap<String, Znode>) -> MetadataImage {
    let context = ImportContext { secret: context().secret, metadata_version: MetadataVersion::V3_9_IV0 };
    let (records, _) = import_tree(znodes, context).unwrap();
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    delta.replay_all(&records).unwrap();
    delta.apply(Position::START, TimestampMs(0))
}

/// What is left of an image after it was projected and imported.
fn there_and_back(image: &MetadataImage) -> MetadataImage {
    import(&Tree::of(image, &context()).znodes)
}

/// What is left of a tree after it was imported and projected: its znodes without containers.
fn back_and_there(znodes: &[(&str, &str)]) -> BTreeMap<String, String> {
    let tree = znodes.iter().map(|(path, data)| {
        let znode = if data.is_empty() { Znode::container() } else { Znode::new((*data).to_owned(), 0.into()) };
        ((*path).to_owned(), znode)
    });
    let context = context();
    let image = import(&tree.collect());
    let projector = Projector::new(&image, &context);
    let nodes = projector
        .znodes()
        .filter_map(|node| Some((node.path.to_string(), String::from_utf8(node.data?.into()).unwrap())));
    nodes.collect()
}

const TOPIC: &str = r#"{"version":3,"topic_id":"AAAAAAAAAAEAAAAAAAAABw","partitions":{"0":[1,2]},"adding_replicas":{},"removing_replicas":{}}"#;
const STATE: &str = r#"{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":9,"isr":[1,2]}"#;
const EMPTY: &str = r#"{"version":1,"config":{}}"#;

#[test]
fn n1_levels_and_registrations_stay_behind() {
    let level = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 21, ..Default::default() };
    let broker = RegisterBrokerRecord { broker_id: NodeId(1), ..Default::default() };
    assert!(there_and_back(&image([level.into(), broker.into()])).same_metadata(&MetadataImage::empty()));
}

/// S78, S82: brokers are registered in the log alone, in whatever mode they run. ZooKeeper's own are theirs.
#[test]
fn registrations_reach_no_znode() {
    let before = image([topic("t", 7), partition(7, 0, 0)]);
    for is_migrating_zk_broker in [true, false] {
        let registered =
            RegisterBrokerRecord { broker_id: NodeId(1), fenced: true, is_migrating_zk_broker, ..Default::default() };
        let unfenced = BrokerRegistrationChangeRecord { broker_id: NodeId(1), fenced: -1, ..Default::default() };
        let after = image([topic("t", 7), partition(7, 0, 0), registered.into(), unfenced.into()]);
        assert!(!after.same_metadata(&before));
        for (source, target) in [(&before, &after), (&after, &before)] {
            let plan = project(source, target, &context());
            assert_eq!((plan.ops.len(), plan.unrepresentable.len()), (0, 0), "{is_migrating_zk_broker}");
        }
        assert!(Projector::new(&after, &context()).unrepresentable().is_empty());
    }
}

#[test]
fn n2_directories_and_eligible_leaders_stay_behind() {
    let present = image([topic("t", 7), partition(7, 0, 0)]);
    let with = image([
        topic("t", 7),
        PartitionRecord {
            directories: vec![DirectoryId::LOST; 2],
            eligible_leader_replicas: Some(vec![NodeId(2)]),
            last_known_elr: Some(vec![NodeId(1)]),
            ..partition_record(7, 0, 0)
        }
        .into(),
    ]);
    assert!(!with.same_metadata(&present));
    assert!(there_and_back(&with).same_metadata(&present));
    // The epoch stays: it is the znode's version.
    let later = image([topic("t", 7), partition(7, 0, 0), change(7, 0).into()]);
    assert!(there_and_back(&later).same_metadata(&later));
}

#[test]
fn n3_entries_have_ids_of_their_content() {
    let twice = image([acl(1, 2, "x", 3, "User:a"), acl(2, 2, "x", 3, "User:a")]);
    let back = there_and_back(&twice);
    let entries: Vec<_> = back.acls().iter().collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].0, acl_id(entries[0].1));
}

#[test]
fn n4_nearly_integer_quotas_are_integers() {
    let user = [("user", None)];
    let near = image([quota(&user, "producer_byte_rate", Some(999.999_999_9))]);
    assert!(there_and_back(&near).same_metadata(&image([quota(&user, "producer_byte_rate", Some(1000.0))])));
    let fraction = image([quota(&user, "request_percentage", Some(999.999_999_9))]);
    assert!(there_and_back(&fraction).same_metadata(&fraction));
}

#[test]
fn n5_no_producer_id_was_handed_out_below_one() {
    let next = |id: i64| image([ProducerIdsRecord { next_producer_id: id.into(), ..Default::default() }.into()]);
    assert_eq!(there_and_back(&next(0)).producer_id(), None);
    assert_eq!(there_and_back(&next(-1)).producer_id(), None);
    assert_eq!(there_and_back(&next(1)).producer_id(), Some(1.into()));
}

#[test]
fn n6_what_was_reported_is_gone() {
    let with = image([config(16, "m", "a", Some("1")), scram("a", 1)]);
    assert_eq!(Projector::new(&with, &context()).unrepresentable().len(), 1);
    assert!(there_and_back(&with).same_metadata(&image([scram("a", 1)])));
}

#[test]
fn c1_and_c2_data_have_one_form_and_the_claimed_epoch() {
    let old = r#"{"later":1,"partitions":{"0":[1,2]},"version":2,"topic_id":"AAAAAAAAAAEAAAAAAAAABw=="}"#;
    let state = r#"{"isr":[1,2],"leader_recovery_state":0,"leader":1,"controller_epoch":4,"leader_epoch":0}"#;
    let tree = back_and_there(&[("/brokers/topics/t", old), ("/brokers/topics/t/partitions/0/state", state)]);
    assert_eq!(tree["/brokers/topics/t"], TOPIC);
    assert_eq!(tree["/brokers/topics/t/partitions/0/state"], STATE);
}

#[test]
fn c3_pending_deletions_are_done() {
    let tree =
        back_and_there(&[("/brokers/topics/t", TOPIC), ("/admin/delete_topics/t", ""), ("/config/topics/t", EMPTY)]);
    assert_eq!(tree, BTreeMap::new());
}

#[test]
fn c4_partitions_are_those_that_are_listed() {
    let tree = back_and_there(&[("/brokers/topics/t", TOPIC), ("/brokers/topics/t/partitions/5/state", STATE)]);
    assert_eq!(tree["/brokers/topics/t/partitions/0/state"], STATE);
    assert!(!tree.contains_key("/brokers/topics/t/partitions/5/state"));
}

#[test]
fn c5_topics_and_their_configs_come_together() {
    let tree = back_and_there(&[("/brokers/topics/t", TOPIC), ("/config/topics/x", r#"{"config":{"a":"1"}}"#)]);
    assert_eq!(tree["/config/topics/t"], EMPTY);
    assert!(!tree.contains_key("/config/topics/x"));
}

#[test]
fn c6_entities_without_properties_have_no_node() {
    let tree = back_and_there(&[
        ("/config/brokers/1", EMPTY),
        ("/config/users/a", EMPTY),
        ("/config/users/b", ""),
        ("/config/users/b/clients", ""),
        ("/config/clients/c", EMPTY),
        ("/config/ips/i", ""),
    ]);
    assert_eq!(tree, BTreeMap::new());
    let quota = r#"{"version":1,"config":{"request_percentage":"1.0"}}"#;
    let tree = back_and_there(&[
        ("/config/users/a", ""),
        ("/config/users/a/clients", ""),
        ("/config/users/a/clients/c", quota),
    ]);
    let expected = [("/config/users/a", EMPTY), ("/config/users/a/clients/c", quota)];
    assert_eq!(tree, expected.map(|(path, data)| (path.to_owned(), data.to_owned())).into());
}

#[test]
fn c7_entries_have_kafkas_words_or_unknown() {
    let entry = |operation: &str| {
        format!(
            r#"{{"version":1,"acls":[{{"principal":"User:a","permissionType":"Allow","operation":"{operation}","host":"*"}}]}}"#
        )
    };
    let tree = back_and_there(&[
        ("/kafka-acl/Topic/a", &entry("describeconfigs")),
        ("/kafka-acl/Topic/b", &entry("Fly")),
        ("/kafka-acl/Topic/c", r#"{"version":1,"acls":[]}"#),
    ]);
    let expected = [("/kafka-acl/Topic/a", entry("DescribeConfigs")), ("/kafka-acl/Topic/b", entry("Unknown"))];
    assert_eq!(tree, expected.map(|(path, data)| (path.to_owned(), data)).into());
}

#[test]
fn c8_passwords_have_one_encryption() {
    let secret = context().secret.unwrap();
    let random = password::encode("hunter2", "another place, hence another salt", "k", &secret);
    let data = format!(r#"{{"version":1,"config":{{"ssl.key.password":"{random}"}}}}"#);
    let once = back_and_there(&[("/config/brokers/1", &data)])["/config/brokers/1"].clone();
    assert_ne!(once, data);
    assert_eq!(back_and_there(&[("/config/brokers/1", &once)])["/config/brokers/1"], once);
    assert!(once.contains(&password::encode("hunter2", "/config/brokers/1", "ssl.key.password", &secret)));
}

#[test]
fn c9_quotas_have_the_text_that_brokers_write() {
    let data = r#"{"config":{"producer_byte_rate":"1e3","request_percentage":" 10 ","no_such_quota":"1"}}"#;
    let tree = back_and_there(&[("/config/clients/c", data)]);
    let expected = r#"{"version":1,"config":{"producer_byte_rate":"1000","request_percentage":"10.0"}}"#;
    assert_eq!(tree["/config/clients/c"], expected);
}

#[test]
fn c10_the_producer_id_block_keeps_its_end() {
    let tree = back_and_there(&[(
        "/latest_producer_id_block",
        r#"{"version":1,"broker":4,"block_start":"3500","block_end":"3999"}"#,
    )]);
    let expected = r#"{"version":1,"broker":-1,"block_start":"3000","block_end":"3999"}"#;
    assert_eq!(tree["/latest_producer_id_block"], expected);
}

#[test]
fn c11_all_containers_are_there() {
    let context = context();
    let empty = MetadataImage::empty();
    let paths: Vec<String> = Projector::new(&empty, &context).znodes().map(|node| node.path.to_string()).collect();
    assert_eq!(paths, store_zk::znode::path::containers().collect::<Vec<_>>());
    for path in ["/consumers", "/brokers/seqid", "/kafka-acl/Cluster", "/delegation_token/token_changes"] {
        assert!(paths.iter().any(|found| found == path), "{path}");
    }
}

#[test]
fn c12_tokens_without_data_are_gone() {
    assert_eq!(back_and_there(&[("/delegation_token/tokens/t", "")]), BTreeMap::new());
}
