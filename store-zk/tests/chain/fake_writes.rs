//! What the chain writes, reads and watches, request by request.

use metadata_core::brokers::BrokerIds;
use metadata_core::id::NodeId;
use metadata_core::projection::Projection;
use metadata_core::record::RegisterBrokerRecord;
use metadata_core::store::MetadataStore;
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::testkit::fake::FakeZooKeeper;
use store_zk::{ZkBrokerIds, ZkStore, ZkStoreOptions};

use crate::fake_faults::{chain_session, cluster};
use crate::records::{batch, config, remove_topic, topic};
use crate::story::{Story, make_cluster, options};

#[tokio::test]
async fn every_write_is_conditional_on_the_claim_and_on_its_place_in_the_chain() {
    let (zookeeper, store) = cluster().await;
    let before = zookeeper.multi_count();
    let story = Story::new(111, 60);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    let (mut claims, mut barriers, mut writes) = (0, 0, 0);
    for multi in &zookeeper.history()[before..] {
        match multi.ops.as_slice() {
            [ZkOp::SetData { path, version: Some(_), .. }, ..] if path == "/controller_epoch" => claims += 1,
            [ZkOp::Check { path, .. }] if path == "/controller_epoch" => barriers += 1,
            [ZkOp::Check { path: fence, .. }, ZkOp::Check { path: place, .. }]
                if (fence.as_str(), place.as_str()) == ("/controller_epoch", "/migration") =>
            {
                barriers += 1;
            }
            [ZkOp::Check { path: fence, .. }, ZkOp::SetData { path: place, version: Some(_), .. }, ..]
                if (fence.as_str(), place.as_str()) == ("/controller_epoch", "/migration") =>
            {
                writes += 1;
            }
            other => panic!("neither a claim, nor a barrier, nor a link of the chain: {other:?}"),
        }
    }
    assert!(claims == 1 && barriers > 0 && writes >= story.batches.len(), "{claims}, {barriers}, {writes}");
}

#[tokio::test]
async fn dual_writing_reads_nothing() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(112, 60);
    let mut writer = story.begin(&store, 1).await;
    let (requests, multis) = (zookeeper.request_count(), zookeeper.multi_count());
    story.tell(&mut *writer).await.expect("the story");
    let (requests, multis) = (zookeeper.request_count() - requests, zookeeper.multi_count() - multis);
    assert!(multis >= story.batches.len(), "{multis}");
    assert_eq!(requests, multis as u64, "every request was a write or a barrier");
}

#[tokio::test]
async fn registrations_of_brokers_are_all_that_is_watched() {
    let (zookeeper, store) = cluster().await;
    let broker = || ZkOp::create("/brokers/ids/1", "{}", ZkAcl::world_all());
    zookeeper.foreign(vec![broker()]).expect("a registration");
    let mut watch = ZkBrokerIds::new(std::sync::Arc::new(zookeeper.connector()));
    drop(watch.next().await.expect("the brokers"));
    let story = Story::new(113, 24);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    store.load(&mut Vec::new()).await.expect("a load");
    let watched = zookeeper.watched();
    assert!(watched.contains("/brokers/ids") && watched.contains("/brokers/ids/1"), "{watched:?}");
    let others: Vec<_> = watched.iter().filter(|path| !path.starts_with("/brokers/ids")).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// The tree as bytes and versions.
async fn told(story: &Story) -> Vec<(String, bytes::Bytes, i32)> {
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    let options = ZkStoreOptions { now: || metadata_core::id::TimestampMs(1), ..options() };
    let store = ZkStore::new(std::sync::Arc::new(zookeeper.connector()), options);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    zookeeper.dump().into_iter().map(|(path, node)| (path, node.data, node.stat.version.0)).collect()
}

#[tokio::test]
async fn the_same_log_written_twice_gives_the_same_bytes() {
    let tree = told(&Story::new(114, 120)).await;
    assert!(tree.len() > 50, "{} znodes", tree.len());
    assert_eq!(told(&Story::new(114, 120)).await, tree);
    assert_ne!(told(&Story::new(115, 120)).await, tree);
}

#[tokio::test]
async fn registrations_in_the_log_are_not_written_into_zookeeper() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(116, 4);
    let mut writer = story.begin(&store, 1).await;
    let registration = RegisterBrokerRecord { broker_id: NodeId(7), ..Default::default() };
    let registered = batch(&story.base, vec![registration.into()]);
    writer.submit(registered.clone()).await.expect("the registration");
    writer.full_sync(&registered.after).await.expect("a sync");
    let history = zookeeper.history();
    let chain = chain_session(&zookeeper);
    let ours = history.iter().filter(|multi| multi.session == Some(chain)).flat_map(|multi| &multi.ops);
    let touched: Vec<_> = ours.map(ZkOp::path).filter(|path| path.starts_with("/brokers/ids/")).collect();
    assert!(touched.is_empty(), "{touched:?}");
}

#[tokio::test]
async fn a_config_that_was_left_behind_is_taken_over_by_the_topic_of_its_name() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(117, 4);
    let mut writer = story.begin(&store, 1).await;
    let left = ZkOp::create("/config/topics/again", r#"{"version":1,"config":{"a":"b"}}"#, ZkAcl::world_all());
    zookeeper.foreign(vec![left]).expect("a config without its topic");
    let made = batch(&story.base, topic(1, "again", 2));
    writer.submit(made.clone()).await.expect("the topic");
    let compared = store.compare(&made.after, 10).await.expect("a comparison");
    assert_eq!(compared.differences, []);
}

#[tokio::test]
async fn deleting_what_is_not_there_takes_nothing_else_along() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(118, 4);
    let mut writer = story.begin(&store, 1).await;
    let made = batch(&story.base, [topic(1, "gone", 1), topic(2, "kept", 1)].concat());
    writer.submit(made.clone()).await.expect("the topics");
    let below = ["/partitions/0/state", "/partitions/0", "/partitions", ""];
    let foreign = below.iter().map(|below| ZkOp::delete(format!("/brokers/topics/gone{below}"), None));
    zookeeper.foreign(foreign.collect()).expect("somebody deletes the topic");
    let records = vec![remove_topic(1), config(2, "kept", "retention.ms", Some("5"))];
    let changed = batch(&made.after, records);
    writer.submit(changed.clone()).await.expect("the deletion, and what comes with it");
    let compared = store.compare(&changed.after, 10).await.expect("a comparison");
    assert_eq!(compared.differences, []);
    assert!(String::from_utf8_lossy(&zookeeper.dump()["/config/topics/kept"].data).contains("retention.ms"));
}
