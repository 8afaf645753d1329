//! The watch on `/brokers/ids`: no change is missed, whatever happens to connections and sessions.

use std::sync::Arc;
use std::time::Duration;

use metadata_core::brokers::BrokerIds;
use metadata_core::id::NodeId;
use store_zk::ZkBrokerIds;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{CreateMode, ZkAcl, ZkConnector, ZkOp};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};
use store_zk::testkit::proxy::FaultProxy;

use crate::real_faults::{connector, own_server, run};

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
    assert_eq!(broker.endpoints.get("PLAINTEXT").map(ToString::to_string).as_deref(), Some("h:9092"));
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
async fn a_registration_that_is_written_anew_is_a_change() {
    let (zookeeper, mut watch) = cluster().await;
    register(&zookeeper, 1);
    register(&zookeeper, 2);
    watch.next().await.expect("the present state");
    for id in [2, 1, 2] {
        let endpoint = format!("PLAINTEXT://moved-{id}:9092");
        let data = BROKER.replace("PLAINTEXT://h:9092", &endpoint);
        zookeeper.foreign(vec![ZkOp::set_data(format!("/brokers/ids/{id}"), data, None)]).expect("a new registration");
        let change = tokio::time::timeout(Duration::from_secs(3600), watch.next()).await.expect("the watch is deaf");
        let brokers = change.expect("a change");
        assert!(
            brokers.get(&NodeId(id)).is_some_and(|broker| broker.endpoints["PLAINTEXT"].to_string().contains("moved"))
        );
        assert_eq!(brokers.len(), 2);
        zookeeper.foreign(vec![ZkOp::set_data(format!("/brokers/ids/{id}"), BROKER, None)]).expect("and back");
        watch.next().await.expect("a change");
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

/// The ids that the watch reports, once they are these: on a real server a change may show in several steps.
async fn until_reported(watch: &mut ZkBrokerIds, ids: &[i32]) {
    let reported = async { while next(watch).await != ids {} };
    tokio::time::timeout(Duration::from_secs(60), reported).await.unwrap_or_else(|_| panic!("{ids:?} never came"));
}

#[test]
fn real_changes_while_the_connection_or_the_session_is_lost_are_not_missed() {
    run(async {
        let server = own_server().await;
        let observer = connector(&server.address()).connect().await.expect("a session");
        let create = |path: &str| ZkOp::create(path, BROKER, ZkAcl::world_all());
        observer.multi(vec![create("/brokers"), create("/brokers/ids")]).await.expect("the parents");
        let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
        let config = ZkClientConfig::from_connect_string(&proxy.address()).expect("an address");
        let short = ZooKeeperConnector::new(ZkClientConfig {
            session_timeout: Duration::from_secs(1),
            connection_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(20),
            ..config
        });
        let mut watch = ZkBrokerIds::new(Arc::new(short.clone()));
        until_reported(&mut watch, &[]).await;

        // Present while it looks.
        observer.multi(vec![create("/brokers/ids/1")]).await.expect("a registration");
        until_reported(&mut watch, &[1]).await;
        let moved = BROKER.replace("h:9092", "moved:9092");
        observer.multi(vec![ZkOp::set_data("/brokers/ids/1", moved, None)]).await.expect("a new registration");
        let brokers = watch.next().await.expect("a change");
        assert!(brokers[&NodeId(1)].endpoints["PLAINTEXT"].to_string().contains("moved"));

        // Away for a moment: the session lives.
        proxy.set_refusing(true);
        proxy.cut_all();
        observer.multi(vec![create("/brokers/ids/2")]).await.expect("a registration");
        proxy.set_refusing(false);
        until_reported(&mut watch, &[1, 2]).await;

        // Away until the server has expired a session that was begun before.
        let ephemeral = ZkOp::Create {
            path: "/ephemeral".into(),
            data: Default::default(),
            acl: ZkAcl::world_all(),
            mode: CreateMode::Ephemeral,
        };
        let doomed = short.connect().await.expect("a session like the watch's");
        doomed.multi(vec![ephemeral]).await.expect("an ephemeral");
        let (_, expired) = observer.watch_exists("/ephemeral").await.expect("a look at it");
        proxy.set_refusing(true);
        proxy.cut_all();
        let gone = vec![ZkOp::delete("/brokers/ids/1", None), create("/brokers/ids/3")];
        observer.multi(gone).await.expect("one goes, one comes");
        expired.await;
        proxy.set_refusing(false);
        until_reported(&mut watch, &[2, 3]).await;
        observer.multi(vec![ZkOp::delete("/brokers/ids/2", None)]).await.expect("one more goes");
        until_reported(&mut watch, &[3]).await;
    });
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_is_told_though_nobody_came_or_went() {
    let (zookeeper, mut watch) = cluster().await;
    register(&zookeeper, 1);
    assert_eq!(next(&mut watch).await, [1]);
    zookeeper.fail_request(0, Fault::DropRequest);
    register(&zookeeper, 2);
    unregister(&zookeeper, 2);
    assert!(watch.next().await.is_err(), "whoever asks is told that the watch is deaf");
    assert_eq!(next(&mut watch).await, [1], "and that it is not any more");
}
