//! The projection of one image, to the byte. A difference here is a difference between what two controllers write: change
//! `PROJECTION_VERSION` with it. The file is checked with Kafka's own decoders, see `testdata/README.md`.

use std::fmt::Write as _;

use metadata_core::id::{NodeId, ProducerId};
use metadata_core::record::{MetadataRecord, PartitionChangeRecord, ProducerIdsRecord};
use store_zk::project::{PROJECTION_VERSION, Projector};

use crate::project_traps::{acl, change, config, context, image, partition, quota, scram, token, topic};

const GOLDEN: &str = include_str!("../../testdata/projected-tree.tsv");

fn records() -> Vec<MetadataRecord> {
    let change = PartitionChangeRecord {
        leader: NodeId::NONE,
        isr: Some(vec![]),
        leader_recovery_state: 1,
        adding_replicas: Some(vec![NodeId(2)]),
        ..change(7, 1)
    };
    let next = ProducerIdsRecord { next_producer_id: ProducerId(7500), ..Default::default() };
    vec![
        topic("orders", 7),
        partition(7, 0, 3),
        partition(7, 1, 0),
        change.into(),
        topic("no-partitions", 8),
        config(2, "orders", "retention.ms", Some("60000")),
        config(2, "orders", "qu\"oted\\", Some("line\nbreak\u{1}é€😀")),
        config(4, "", "log.cleaner.threads", Some("2")),
        config(4, "1", "listener.name.internal.ssl.key.password", Some("pässword")),
        scram("user/1@prod", 1),
        scram("user/1@prod", 2),
        quota(&[("user", Some("user/1@prod"))], "producer_byte_rate", Some(1_000_000.0)),
        quota(&[("user", Some("user/1@prod"))], "request_percentage", Some(10_000_000.0)),
        quota(&[("user", None), ("client-id", Some("<default>"))], "controller_mutation_rate", Some(0.5)),
        quota(&[("client-id", Some("a b"))], "consumer_byte_rate", Some(7.0)),
        quota(&[("ip", Some("::1"))], "connection_creation_rate", Some(3.0)),
        next.into(),
        acl(1, 2, "orders", 3, "User:alice"),
        acl(2, 2, "orders", 3, "User:CN=a:b,O=ü"),
        acl(3, 5, "tx-", 4, "User:*"),
        acl(4, 4, "kafka-cluster", 3, "User:alice"),
        token("w2bZ9iV2T9W0k0Z3dCkO3A", "User:alice@x"),
    ]
}

#[test]
fn the_projection_is_the_checked_in_one() {
    let image = image(records());
    let context = context();
    let projector = Projector::new(&image, &context);
    assert_eq!(projector.unrepresentable(), []);
    let mut tree = String::new();
    for node in projector.znodes() {
        let data = String::from_utf8(node.data.unwrap_or_default().into()).unwrap();
        writeln!(tree, "{}\t{data}", node.path).unwrap();
    }
    assert_eq!(PROJECTION_VERSION, 1);
    assert!(tree == GOLDEN, "if this is meant, replace testdata/projected-tree.tsv by:\n{tree}");
}
