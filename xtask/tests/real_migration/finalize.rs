//! The end of a migration, on a real ZooKeeper: guarded, final, and nothing is written after it.

use std::collections::BTreeMap;

use serde_json::Value;
use store_zk::client::{ZkAcl, ZkOp, ZkSession};
use store_zk::testkit::server::ZkServer;

use super::harness::{Cluster, Running, xtask};

/// Every znode below Kafka's roots with the transaction that wrote it last.
async fn written_by(session: &dyn ZkSession) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    let mut left: Vec<String> =
        ["/brokers", "/config", "/controller", "/controller_epoch", "/migration", "/admin"].map(str::to_owned).to_vec();
    while let Some(path) = left.pop() {
        let Ok(node) = session.get_data(&path).await else { continue };
        found.insert(path.clone(), node.stat.mzxid);
        let children = session.get_children(&path).await.map(|children| children.names).unwrap_or_default();
        left.extend(children.into_iter().map(|name| format!("{path}/{name}")));
    }
    found
}

fn reasons(object: &Value) -> String {
    object["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn it_is_refused_with_every_reason_then_done_and_zookeeper_is_written_no_more() {
    let cluster = Cluster::seeded(31).await;
    let running = Running::start(&cluster).await;
    cluster.get("change", &["random", "--count", "50", "--seed", "3"]).await;

    // Brokers have replicas and none is registered in KRaft mode.
    let refused = cluster.ask("finalize", &[]).await;
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    for id in &cluster.manifest.brokers {
        assert!(reasons(&refused.object).contains(&format!("broker {id} has ")), "{refused:#?}");
    }
    let status = cluster.get("status", &[]).await;
    assert_eq!((&status["driver_state"], &status["migration_state"]), (&"DUAL_WRITE".into(), &"MIGRATION".into()));
    assert_eq!(status["zookeeper_may_go"], false);

    // A znode that differs can't be overruled.
    let session = cluster.session().await;
    let stray = "/config/topics/nobody-knows-it";
    session.multi(vec![ZkOp::create(stray, r#"{"version":1,"config":{}}"#, ZkAcl::world_all())]).await.unwrap();
    let refused = cluster.ask("finalize", &["--despite-brokers"]).await;
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(reasons(&refused.object).contains(stray), "{refused:#?}");
    session.multi(vec![ZkOp::delete(stray, None)]).await.unwrap();

    let done = cluster.get("finalize", &["--despite-brokers"]).await;
    assert_eq!(done["already"], false);
    let before = written_by(session.as_ref()).await;
    assert!(before.len() > 50, "{} znodes", before.len());
    cluster.get("change", &["random", "--count", "50", "--seed", "4"]).await;
    let status = cluster.get("status", &[]).await;
    assert_eq!((&status["driver_state"], &status["migration_state"]), (&"INACTIVE".into(), &"POST_MIGRATION".into()));
    assert_eq!((&status["zookeeper_may_go"], &status["decision"]), (&true.into(), &"FINALIZED".into()));
    assert_eq!(cluster.get("finalize", &[]).await["already"], true);
    let stopped = running.stop().await;
    assert_eq!(stopped.code, Some(0), "{stopped:#?}");

    // Nor after a restart, and dual write is never reached again.
    let again = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(again.code, Some(3), "{again:#?}");
    assert!(reasons(&again.object).contains("finalized"), "{again:#?}");
    assert_eq!(written_by(session.as_ref()).await, before, "something was written to ZooKeeper");
}

#[tokio::test]
async fn without_a_process_it_catches_up_first_and_then_zookeeper_may_be_switched_off() {
    let (cluster, server): (Cluster, ZkServer) = Cluster::seeded_on_its_own(32).await;
    let running = Running::start(&cluster).await;
    cluster.get("change", &["random", "--count", "20", "--seed", "3"]).await;
    running.kill().await;
    let config = cluster.path("kafka.properties");
    let done = cluster.get("finalize", &["--despite-brokers", "--zookeeper-config", &config]).await;
    assert_eq!(done["already"], false);
    let status = cluster.get("status", &[]).await;
    assert_eq!((&status["migration_state"], &status["zookeeper_may_go"]), (&"POST_MIGRATION".into(), &true.into()));

    drop(server);
    let running = Running::start_finalized(&cluster).await;
    let made = cluster.get("change", &["topic", "create", "after", "--partitions", "1"]).await;
    assert_eq!(made["changes"], 1);
    let status = cluster.get("status", &[]).await;
    assert_eq!((&status["driver_state"], &status["reason"]), (&"INACTIVE".into(), &Value::Null));
    // The settings that nobody removed are mentioned, and do no harm.
    assert!(status["warnings"][0].as_str().unwrap().contains("ZooKeeper settings have no effect"), "{status}");
    assert_eq!(status["warnings"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(running.stop().await.code, Some(0));
    let unreachable = xtask(&["status", "--json", "--data-dir", &cluster.data_dir()]).await;
    assert_eq!(unreachable.object["migration_state"], "POST_MIGRATION");
}
