//! What the chain does to passwords that it can't encrypt, or did not encrypt itself, on the in-memory ZooKeeper.

use std::sync::Arc;

use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::leadership::AfterClaim;
use metadata_core::record::{ConfigRecord, MetadataRecord, VersionedRecord};
use metadata_core::store::{MetadataBatch, MetadataStore, Txn};
use store_zk::testkit::fake::FakeZooKeeper;
use store_zk::znode::password::PasswordSecret;
use store_zk::{ZkStore, ZkStoreOptions};

use crate::story::{Story, leader, make_cluster, options};

fn store(zookeeper: &FakeZooKeeper, secret: Option<&str>) -> ZkStore {
    let options = ZkStoreOptions { secret: secret.map(PasswordSecret::new), ..options() };
    ZkStore::new(Arc::new(zookeeper.connector()), options)
}

fn config(broker: &str, name: &str, value: &str) -> VersionedRecord {
    let record = ConfigRecord {
        resource_type: 4,
        resource_name: broker.to_owned(),
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..Default::default()
    };
    VersionedRecord { record: MetadataRecord::from(record), version: 0 }
}

fn then(image: &MetadataImage, records: &[VersionedRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(image);
    delta.replay_all(records).expect("the records fit the image");
    let end_offset = Offset(image.position().end_offset.0.max(100) + records.len() as i64);
    delta.apply(Position { epoch: KRaftLeaderEpoch(1), end_offset }, TimestampMs(0))
}

/// A broker with a password, and a batch that changes another config of it, and one of another broker.
fn story() -> Story {
    let base = then(&MetadataImage::empty(), &[config("1", "a", "1"), config("1", "ssl.key.password", "hunter2")]);
    let records = vec![config("1", "a", "2"), config("2", "a", "2")];
    let after = then(&base, &records);
    let batch = MetadataBatch { txn: Txn::None, records: records.into(), before: base.clone(), after };
    Story { base, batches: vec![batch] }
}

fn data(zookeeper: &FakeZooKeeper, path: &str) -> String {
    let dump = zookeeper.dump();
    let node = dump.get(path).unwrap_or_else(|| panic!("{path} is not there"));
    String::from_utf8_lossy(&node.data).into_owned()
}

#[tokio::test]
async fn without_the_secret_a_brokers_password_outlives_a_change_and_a_sync() {
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    let story = story();
    drop(story.begin(&store(&zookeeper, Some("s")), 1).await);
    let there = data(&zookeeper, "/config/brokers/1");
    assert!(there.contains("encryptedPassword"), "{there}");

    let blind = store(&zookeeper, None);
    story.succeed(&blind, 2).await;
    assert_eq!(data(&zookeeper, "/config/brokers/1"), there);
    assert!(data(&zookeeper, "/config/brokers/2").contains(r#""a":"2""#));

    let claimed = blind.claim(&leader(3), &story.log()).await.expect("the claim");
    let mut writer = blind.writer(claimed).await.expect("the writer");
    let report = writer.full_sync(story.last()).await.expect("the sync");
    assert_eq!(data(&zookeeper, "/config/brokers/1"), there);
    let lost: Vec<&str> = report.unrepresentable.iter().map(|lost| lost.entity.as_str()).collect();
    assert_eq!(lost, ["config of broker 1"]);

    // Whoever has the secret brings it in step.
    let knowing = store(&zookeeper, Some("s"));
    let claimed = knowing.claim(&leader(4), &story.log()).await.expect("the claim");
    assert_eq!(claimed.next, AfterClaim::Resume);
    let mut writer = knowing.writer(claimed).await.expect("the writer");
    let report = writer.full_sync(story.last()).await.expect("the sync");
    assert_eq!((report.written, report.unrepresentable), (1, vec![]));
    assert!(data(&zookeeper, "/config/brokers/1").contains(r#""a":"2""#));
}

#[tokio::test]
async fn a_wrong_secret_does_not_get_into_zookeeper_by_a_sync() {
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    let story = story();
    drop(story.begin(&store(&zookeeper, Some("s")), 1).await);
    let there = data(&zookeeper, "/config/brokers/1");

    let wrong = store(&zookeeper, Some("another"));
    let claimed = wrong.claim(&leader(2), &story.log()).await.expect("the claim");
    let mut writer = wrong.writer(claimed).await.expect("the writer");
    let report = writer.full_sync(story.last()).await.expect("the sync");
    assert_eq!(data(&zookeeper, "/config/brokers/1"), there);
    assert!(data(&zookeeper, "/config/brokers/2").contains(r#""a":"2""#));
    assert_eq!(report.unrepresentable.len(), 1);
    let reason = &report.unrepresentable[0].reason;
    assert!(reason.starts_with("/config/brokers/1: `ssl.key.password`"), "{reason}");
}
