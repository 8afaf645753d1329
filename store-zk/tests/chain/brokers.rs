//! The watch on `/brokers/ids`: no change is missed, whatever happens to connections and sessions.

use std::sync::Arc;
use std::time::Duration;

use metadata_core::brokers::BrokerIds;
use metadata_core::id::NodeId;
use store_zk::ZkBrokerIds;
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::testkit::fake::FakeZooKeeper;

const BROKER: &str = r#"{"version":5,"host":"h","port":9092,"jmx_port":-1,"timestamp":"1","endpoints":["PLAINTEXT://h:9092"],
  "listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"features":{}}"#;

fn register(zookeeper: &FakeZooKeeper, id: i32) {
    let path = format!("/brokers/ids/{id}");
    zookeeper.foreign(vec![ZkOp::create(path, BROKER, ZkAcl::world_all())]).expect("a registration");
}

fn unregister(zookeeper: &FakeZooKeeper, id: i32) {
    zookeeper.foreign(vec![ZkOp::delete(format!("/brokers/ids/{id}"), None)]).expect("a registration to end");
}

async fn cluster() -> (FakeZooKeeper, ZkBrokerIds) {
    let zookeeper = FakeZooKeeper::new();
    let parent = |path| ZkOp::create(path, "", ZkAcl::world_all());
    zookeeper.foreign(vec![parent("/brokers"), parent("/brokers/ids")]).expect("the parents");
    let watch = ZkBrokerIds::new(Arc::new(zookeeper.connector()));
    (zookeeper, watch)
}

/// The present ids, once the watch has them; errors on the way are part of life.
async fn next(watch: &mut ZkBrokerIds) -> Vec<i32> {
    for _ in 0..100 {
        match tokio::time::timeout(Duration::from_secs(3600), watch.next()).await.expect("the watch is deaf") {
            Ok(brokers) => return brokers.keys().map(|NodeId(id)| *id).collect(),
            Err(_) => continue,
        }
    }
    panic!("the watch never recovers");
}

#[tokio::test(start_paused = true)]
async fn every_change_is_reported_with_what_the_broker_says() {
    let (zookeeper, mut watch) = cluster().await;
    assert_eq!(next(&mut watch).await, [] as [i32; 0]);
    register(&zookeeper, 1);
    let brokers = watch.next().await.expect("a change");
    let broker = brokers.get(&NodeId(1)).expect("broker 1");
    assert_eq!(broker.endpoints.get("PLAINTEXT").map(String::as_str), Some("h:9092"));
    assert_eq!(broker.malformed, None);
    register(&zookeeper, 2);
    assert_eq!(next(&mut watch).await, [1, 2]);
    unregister(&zookeeper, 1);
    assert_eq!(next(&mut watch).await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_registration_is_a_broker_with_a_reason() {
    let (zookeeper, mut watch) = cluster().await;
    zookeeper.foreign(vec![ZkOp::create("/brokers/ids/7", "{", ZkAcl::world_all())]).expect("a registration");
    let brokers = watch.next().await.expect("the present state");
    assert!(brokers.get(&NodeId(7)).is_some_and(|broker| broker.malformed.is_some()));
}

#[tokio::test(start_paused = true)]
async fn changes_while_the_connection_or_the_session_is_lost_are_not_missed() {
    let (zookeeper, mut watch) = cluster().await;
    assert_eq!(next(&mut watch).await, [] as [i32; 0]);
    for (round, lost) in [true, false, true, false].into_iter().enumerate() {
        let id = i32::try_from(round).expect("a small number") + 1;
        for session in zookeeper.sessions() {
            if lost { zookeeper.disconnect(session) } else { zookeeper.expire(session) }
        }
        register(&zookeeper, id);
        let expected: Vec<i32> = (1..=id).collect();
        assert_eq!(next(&mut watch).await, expected, "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_restarts_between_two_looks_has_another_incarnation() {
    let (zookeeper, mut watch) = cluster().await;
    register(&zookeeper, 1);
    let before = watch.next().await.expect("the present state");
    unregister(&zookeeper, 1);
    register(&zookeeper, 1);
    let after = watch.next().await.expect("a change");
    assert_ne!(before.get(&NodeId(1)).map(|b| b.incarnation), after.get(&NodeId(1)).map(|b| b.incarnation));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_the_parent_is_empty_until_it_is_made() {
    let zookeeper = FakeZooKeeper::new();
    let mut watch = ZkBrokerIds::new(Arc::new(zookeeper.connector()));
    assert_eq!(next(&mut watch).await, [] as [i32; 0]);
    let parent = |path| ZkOp::create(path, "", ZkAcl::world_all());
    zookeeper.foreign(vec![parent("/brokers"), parent("/brokers/ids")]).expect("the parents");
    register(&zookeeper, 3);
    assert_eq!(next(&mut watch).await, [3]);
}
