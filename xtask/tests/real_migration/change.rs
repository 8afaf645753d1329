//! Changes through the running controller, and where they arrive.

use std::fs;

use super::harness::{Cluster, Running, xtask};

#[tokio::test]
async fn changes_of_every_kind_arrive_in_zookeeper() {
    let cluster = Cluster::seeded(40).await;
    let _running = Running::start(&cluster).await;
    let password = cluster.path("password");
    fs::write(&password, "hunter2\n").unwrap();
    let long = "listener.name.external.ssl.key.password=hunter2";
    for (line, path, expected) in [
        ("topic create orders --partitions 4 --replication-factor 3", "/brokers/topics/orders", "\"3\":["),
        ("topic add-partitions orders --total 5", "/brokers/topics/orders/partitions/4/state", "leader"),
        ("topic reassign orders 0 --replicas 1,2", "/brokers/topics/orders", "\"0\":[1,2"),
        ("config topic orders set retention.ms=7", "/config/topics/orders", "\"retention.ms\":\"7\""),
        ("config topic orders delete retention.ms", "/config/topics/orders", "\"config\":{}"),
        (&format!("config broker 2 set {long}"), "/config/brokers/2", "encryptedPassword"),
        ("config default set log.cleaner.threads=3", "/config/brokers/<default>", "\"log.cleaner.threads\":\"3\""),
        ("quota set --user zed producer_byte_rate=1024", "/config/users/zed", "1024"),
        (
            "acl add --principal User:zed --operation read --resource topic:orders",
            "/kafka-acl/Topic/orders",
            "User:zed",
        ),
        (&format!("scram set zed --password-file {password}"), "/config/users/zed", "SCRAM-SHA-512"),
        ("scram delete zed", "/config/users/zed", "1024"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let made = cluster.get("change", &arguments).await;
        assert_eq!(made["changes"], 1, "{line}: {made}");
        assert!(!made.to_string().contains("hunter2"), "{made}");
        // To compare is to wait until ZooKeeper has it.
        let verified = cluster.get("verify", &[]).await;
        assert_eq!(verified["divergent"], 0, "{line}: {verified}");
        let session = cluster.session().await;
        let found = session.get_data(path).await.unwrap();
        let text = String::from_utf8_lossy(&found.data).into_owned();
        assert!(text.contains(expected) && !text.contains("hunter2"), "{line}: {text}");
        session.close().await.unwrap();
    }
    cluster.get("change", &["topic", "delete", "orders"]).await;
    cluster.get("verify", &[]).await;
    assert_eq!(cluster.session().await.exists("/brokers/topics/orders").await.unwrap(), None);
    let log = fs::read_to_string(cluster.file("migrate.log")).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn random_changes_are_fast_to_make_and_exact_to_compare() {
    let cluster = Cluster::seeded(41).await;
    let _running = Running::start(&cluster).await;
    let before = cluster.get("status", &[]).await["log_end_offset"].as_i64().unwrap();
    let made = cluster.get("change", &["random", "--count", "2000", "--seed", "3"]).await;
    assert_eq!(made["changes"], 2000);
    assert_eq!(made["last_offset"].as_i64().unwrap(), before + made["records"].as_i64().unwrap() - 1);
    assert!(made["changes_per_second"].as_f64().unwrap() > 0.0);
    let verified = cluster.get("verify", &[]).await;
    assert_eq!((&verified["divergent"], &verified["behind_records"]), (&0.into(), &0.into()), "{verified}");
}

#[tokio::test]
async fn a_change_that_breaks_a_rule_is_refused_with_the_reason() {
    let cluster = Cluster::seeded(42).await;
    let _running = Running::start(&cluster).await;
    let before = cluster.get("status", &[]).await["log_end_offset"].clone();
    for (line, expected) in [
        ("topic delete absent", "there is no topic \"absent\""),
        ("topic create a/b", "no topic can be called"),
        ("topic create big --replication-factor 99", "99 replicas need as many brokers"),
        ("config topic absent set a=b", "there is no topic"),
        ("scram delete nobody", "nobody has no SCRAM-SHA-512 credential"),
    ] {
        let ended = cluster.ask("change", &line.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(ended.code, Some(1), "{line}: {ended:#?}");
        assert!(ended.stderr.contains(expected) && ended.stderr.contains("next:"), "{line}: {}", ended.stderr);
    }
    assert_eq!(cluster.get("status", &[]).await["log_end_offset"], before, "nothing was written");
}

#[tokio::test]
async fn without_a_controller_no_change_is_made() {
    let cluster = Cluster::seeded(43).await;
    let ended = cluster.ask("change", &["topic", "delete", "t"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("no controller holds") && ended.stderr.contains("start `migrate`"),
        "{}",
        ended.stderr
    );
    let said = xtask(&["status", "--data-dir", &cluster.path("absent")]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("is no data directory"), "{}", said.stderr);
}
