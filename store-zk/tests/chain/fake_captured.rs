//! ZooKeepers that hold what real Kafka clusters wrote (`testdata/captured`), put into the in-memory one: read, claimed,
//! synchronized, compared.

use std::collections::BTreeSet;

use metadata_core::error::ErrorKind;
use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::leadership::{AfterClaim, Expected};
use metadata_core::projection::Projection;
use metadata_core::record::VersionedRecord;
use metadata_core::store::MetadataStore;
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::import::{ImportContext, import_tree};
use store_zk::testkit::captured::CapturedTree;
use store_zk::testkit::fake::FakeZooKeeper;
use store_zk::znode::password::PasswordSecret;
use store_zk::znode::path::{Family, Place};
use store_zk::{ZkStore, ZkStoreOptions};

use crate::story::{leader, options};

const OLD: &str = include_str!("../../testdata/captured/kafka-2.4.1-half-done.jsonl");

/// Whose topics have ids.
const MIGRATABLE: [(&str, &str); 5] = [
    ("3.9.2", include_str!("../../testdata/captured/kafka-3.9.2.jsonl")),
    ("3.9.2 half done", include_str!("../../testdata/captured/kafka-3.9.2-half-done.jsonl")),
    ("3.9.2 unclean", include_str!("../../testdata/captured/kafka-3.9.2-unclean.jsonl")),
    ("3.9.2 secure", include_str!("../../testdata/captured/kafka-3.9.2-secure.jsonl")),
    ("2.4.1 upgraded", include_str!("../../testdata/captured/kafka-2.4.1-upgraded-to-3.9.2.jsonl")),
];

/// A ZooKeeper with a captured tree, at the captured versions. Its brokers are gone; anyone may do anything.
fn zookeeper(text: &str) -> (CapturedTree, FakeZooKeeper, ZkStore) {
    let tree = CapturedTree::parse(text).expect("a captured tree");
    let zookeeper = FakeZooKeeper::new();
    let mut ops = Vec::new();
    for (path, znode) in tree.znodes.iter().filter(|(_, znode)| !znode.ephemeral) {
        ops.push(ZkOp::create(path, znode.data.clone(), ZkAcl::world_all()));
        ops.extend((0..znode.version).map(|_| ZkOp::set_data(path, znode.data.clone(), None)));
    }
    zookeeper.foreign(ops).expect("the captured znodes");
    let secret = Some(PasswordSecret::new(&tree.origin.password_encoder_secret));
    let options = ZkStoreOptions { secret, ..options() };
    let store = ZkStore::new(std::sync::Arc::new(zookeeper.connector()), options);
    (tree, zookeeper, store)
}

fn image_of(records: &[VersionedRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    delta.replay_all(records).expect("records that fit");
    delta.apply(Position { epoch: KRaftLeaderEpoch(1), end_offset: Offset(1000) }, TimestampMs(0))
}

#[tokio::test(start_paused = true)]
async fn reading_in_bulk_gives_what_importing_the_tree_gives() {
    for (name, text) in MIGRATABLE {
        let (tree, _zookeeper, store) = zookeeper(text);
        let mut records = Vec::new();
        store.load(&mut records).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let context = ImportContext {
            secret: Some(PasswordSecret::new(&tree.origin.password_encoder_secret)),
            metadata_version: options().metadata_version,
        };
        let (expected, imported) = import_tree(&tree.znodes(), context).expect("an import");
        assert_eq!(records, expected, "{name}");
        assert_eq!(store.last_import(), Some(imported), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_cluster_must_be_upgraded_before_it_is_copied() {
    let (_, _zookeeper, store) = zookeeper(OLD);
    let error = store.load(&mut Vec::new()).await.expect_err("topics without ids");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("inter.broker.protocol.version 2.8 or later"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_copied_cluster_is_claimed_and_synchronized_with_few_writes_and_equals_its_image() {
    for (name, text) in MIGRATABLE {
        let (tree, zookeeper, store) = zookeeper(text);
        let before = zookeeper.dump();
        let claimed = store.claim(&leader(1), &Expected::Nothing).await.expect("a claim");
        assert_eq!(claimed.next, AfterClaim::Copy, "{name}");
        let mut records = Vec::new();
        store.load(&mut records).await.expect("a copy");
        let image = image_of(&records);
        let mut writer = store.writer(claimed).await.expect("a writer");
        let report = writer.full_sync(&image).await.expect("a sync");
        assert_eq!(report.unrepresentable, [], "{name}");
        let comparison = store.compare(&image, 100).await.expect("a comparison");
        assert_eq!(comparison.differences, [], "{name}");
        assert!(comparison.total().compared > 150, "{name}");
        assert_eq!(store.foreign_writes(), 0, "{name}");

        // What was written beside the claim: what was half done, and what the old release did not know.
        let after = zookeeper.dump();
        let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let written: BTreeSet<&str> = paths
            .into_iter()
            .filter(|path| before.get(*path) != after.get(*path))
            .map(String::as_str)
            .filter(|path| {
                let claim = matches!(Place::of(path).family(), Family::Controller | Family::Migration);
                // The rest of a parent's stat counts its children.
                let same = before
                    .get(*path)
                    .zip(after.get(*path))
                    .is_some_and(|(one, other)| (&one.data, one.stat.version) == (&other.data, other.stat.version));
                !claim && !same
            })
            .collect();
        let half_done = tree.znodes.contains_key("/admin/delete_topics/doomed");
        let expected = written.iter().all(|path| {
            path.contains("/doomed") || *path == "/config/clients/former" || path.starts_with("/config/changes/")
        });
        assert!(expected, "{name}: {written:?}");
        assert_eq!(written.contains("/brokers/topics/doomed"), half_done, "{name}");
        assert_eq!(written.is_empty(), !half_done, "{name}: {written:?}");
    }
}
