//! Comparisons that find something.

use serde_json::Value;
use store_zk::client::{ZkAcl, ZkOp};

use super::harness::{Cluster, Ended, Running};

fn difference<'a>(ended: &'a Ended, path: &str) -> &'a Value {
    let differences = ended.object["differences"].as_array().unwrap();
    differences.iter().find(|it| it["path"] == path).unwrap_or_else(|| panic!("{path}: {ended:#?}"))
}

#[tokio::test]
async fn what_a_stranger_wrote_is_found_and_shown_without_secrets() {
    let cluster = Cluster::seeded(60).await;
    let running = Running::start(&cluster).await;
    cluster.get("change", &["topic", "create", "orders", "--replication-factor", "2"]).await;
    assert_eq!(cluster.get("verify", &[]).await["divergent"], 0);

    let session = cluster.session().await;
    let users = session.get_children("/config/users").await.unwrap().names;
    let mut credential = None;
    for name in &users {
        let path = format!("/config/users/{name}");
        let text = String::from_utf8(session.get_data(&path).await.unwrap().data.to_vec()).unwrap();
        if let Some(key) = text.split("stored_key=").nth(1).map(|rest| rest.split(',').next().unwrap().to_owned()) {
            credential = Some((path, text, key));
        }
    }
    let (user, text, stored_key) = credential.unwrap();
    session
        .multi(vec![
            ZkOp::set_data("/config/topics/orders", r#"{"version":1,"config":{"retention.ms":"7"}}"#, None),
            ZkOp::create("/config/topics/stranger", r#"{"version":1,"config":{}}"#, ZkAcl::world_all()),
            ZkOp::delete("/brokers/topics/orders/partitions/0/state", None),
            ZkOp::set_data(&user, text.replace("iterations=", "iterations=1"), None),
        ])
        .await
        .unwrap();

    let ended = cluster.ask("verify", &[]).await;
    assert_eq!(ended.code, Some(4), "{ended:#?}");
    assert_eq!((&ended.object["ok"], &ended.object["divergent"]), (&false.into(), &4.into()), "{ended:#?}");
    assert!(ended.object["compared"].as_u64().unwrap() > 100);
    let config = difference(&ended, "/config/topics/orders");
    assert!(config["found"].as_str().unwrap().contains("retention.ms"), "{config}");
    assert!(!config["expected"].as_str().unwrap().contains("retention.ms"), "{config}");
    assert_eq!(difference(&ended, "/config/topics/stranger")["expected"], Value::Null);
    assert_eq!(difference(&ended, "/brokers/topics/orders/partitions/0/state")["found"], Value::Null);
    difference(&ended, &user);
    assert!(!ended.stdout.contains(&stored_key) && !ended.stderr.contains(&stored_key), "{ended:#?}");

    let shown = cluster.ask("verify", &["--show-secrets"]).await;
    assert!(difference(&shown, &user)["found"].as_str().unwrap().contains(&stored_key), "{shown:#?}");
    assert!(difference(&shown, &user)["expected"].as_str().unwrap().contains(&stored_key), "{shown:#?}");
    let few = cluster.ask("verify", &["--differences", "1"]).await;
    assert_eq!((few.object["differences"].as_array().unwrap().len(), &few.object["divergent"]), (1, &4.into()));

    // The same without a process.
    assert_eq!(running.stop().await.code, Some(0));
    let config = cluster.path("kafka.properties");
    let alone = cluster.ask("verify", &["--zookeeper-config", &config]).await;
    assert_eq!((alone.code, &alone.object["divergent"]), (Some(4), &4.into()), "{alone:#?}");

    // What it advises makes both sides equal again.
    assert!(alone.stderr.contains("delete /migration"), "{alone:#?}");
    session.multi(vec![ZkOp::delete("/migration", None)]).await.unwrap();
    let again = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert_eq!(cluster.get("verify", &["--zookeeper-config", &config]).await["divergent"], 0);
}

#[tokio::test]
async fn a_directory_that_a_starting_controller_has_locked_is_left_to_it() {
    let cluster = Cluster::seeded(62).await;
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let config = cluster.path("kafka.properties");
    // As a controller that has opened its log and not yet its socket.
    let lock = store_kraft::log::DirectoryLock::take(&cluster.file("data")).unwrap();
    for verb in [&["verify", "--zookeeper-config", config.as_str()][..], &["change", "topic", "create", "late"]] {
        let ended = cluster.ask(verb[0], &verb[1..]).await;
        assert_eq!((ended.code, &ended.object["exit_code"]), (Some(3), &3.into()), "{ended:#?}");
        assert!(
            ended.stderr.contains("may just be starting") && ended.stderr.contains("try again"),
            "{}",
            ended.stderr
        );
    }
    let reason = cluster.get("status", &[]).await["reason"].to_string();
    assert!(reason.contains("is starting or ending"), "{reason}");
    drop(lock);
    assert_eq!(cluster.get("verify", &["--zookeeper-config", &config]).await["divergent"], 0);
}

#[tokio::test]
async fn without_a_process_the_zookeeper_must_be_named() {
    let cluster = Cluster::seeded(61).await;
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let ended = cluster.ask("verify", &[]).await;
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("no controller holds") && ended.stderr.contains("--zookeeper"), "{}", ended.stderr);
}
