//! The way to dual writing, and back to it after every kind of end.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::harness::{Cluster, Running, xtask};

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy_dir(&entry.path(), &target),
            kind if kind.is_file() => drop(fs::copy(entry.path(), target).unwrap()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn until_dual_write_ends_when_zookeeper_has_everything() {
    let cluster = Cluster::seeded(1).await;
    let _brokers = cluster.hold_brokers().await;
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let object = &ended.object;
    assert_eq!((&object["ok"], &object["verb"]), (&true.into(), &"migrate".into()));
    assert_eq!(object["driver_state"], "DUAL_WRITE");
    assert_eq!(object["migration_state"], "MIGRATION");
    assert_eq!(object["lag_records"], 0);
    assert_eq!(object["cluster_id"], cluster.manifest.cluster_id.as_str());
    assert_eq!(object["unserved_brokers"], serde_json::json!(cluster.manifest.brokers));
    let copy = &object["copy"];
    for (name, count) in cluster.manifest.expected_records.by_type() {
        assert_eq!(copy["by_type"][name], count, "{name}");
    }
    assert_eq!(copy["pending_deletions"], cluster.manifest.pending_deletions.len());
    assert!(copy["zookeeper_requests"].as_u64().unwrap() > 0);
    assert!(object["peak_resident_bytes"].as_u64().unwrap() > 0);
    assert!(ended.stderr.contains("to go on: cargo xtask migrate --zookeeper-config"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);

    // Nobody runs any more: the directory itself answers.
    let status = cluster.get("status", &[]).await;
    assert_eq!((&status["driver_state"], &status["migration_state"]), (&"NOT_RUNNING".into(), &"MIGRATION".into()));
    assert_eq!(status["topics"], cluster.manifest.topics);
    assert_eq!(status["log_end_offset"], object["log_end_offset"]);
    let config = cluster.path("kafka.properties");
    let verified = cluster.get("verify", &["--zookeeper-config", &config]).await;
    assert_eq!((&verified["divergent"], &verified["behind_records"]), (&0.into(), &0.into()));
    assert!(verified["compared"].as_u64().unwrap() > 100);

    let dumped = xtask(&["dump-log", "--json", &cluster.data_dir()]).await;
    assert_eq!(dumped.code, Some(0), "{}", dumped.stderr);
    for part in ["data/__cluster_metadata-0", "data/__cluster_metadata-0/00000000000000000000.log"] {
        let same = xtask(&["dump-log", "--json", &cluster.path(part)]).await;
        assert_eq!((same.code, same.stdout.lines().count()), (Some(0), dumped.stdout.lines().count()), "{part}");
    }
    let bootstrap = xtask(&["dump-log", &cluster.path("data/bootstrap.checkpoint")]).await;
    assert!(bootstrap.stdout.contains("FEATURE_LEVEL_RECORD"), "{}", bootstrap.stdout);
    let absent = xtask(&["dump-log", &cluster.path("absent.log")]).await;
    assert_eq!(absent.code, Some(1), "{}", absent.stderr);
    let lines: Vec<Value> = dumped.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let topics = lines.iter().filter(|line| line["type"] == "TOPIC_RECORD").count();
    assert_eq!(topics as u64, cluster.manifest.topics);
    assert!(lines.iter().any(|line| line["isControl"] == true));
    assert_eq!(dumped.object["ok"], true);
    let scram = lines.iter().find(|line| line["type"] == "USER_SCRAM_CREDENTIAL_RECORD").unwrap();
    assert_eq!(scram["data"]["storedKey"], "[redacted]");
}

#[tokio::test]
async fn a_killed_controller_goes_on_where_it_was() {
    let cluster = Cluster::seeded(2).await;
    let running = Running::start(&cluster).await;
    cluster.get("change", &["random", "--count", "300", "--seed", "5"]).await;
    running.kill().await;

    // What is on disk tells how far it came; nothing of it is damaged.
    let status = cluster.get("status", &[]).await;
    assert_eq!((&status["driver_state"], &status["process"]), (&"NOT_RUNNING".into(), &Value::Null));

    let running = Running::start(&cluster).await;
    let status = cluster.get("status", &[]).await;
    assert!(status["copy"].is_null(), "nothing is copied twice: {status}");
    assert!(status["sync"].is_null(), "and nothing is synced anew: {status}");
    cluster.get("change", &["random", "--count", "100", "--seed", "6"]).await;
    let verified = cluster.get("verify", &[]).await;
    assert_eq!(verified["divergent"], 0, "{verified}");
    let ended = running.stop().await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_eq!((&ended.object["ok"], &ended.object["driver_state"]), (&true.into(), &"DUAL_WRITE".into()));
    assert!(ended.stderr.contains("to go on: cargo xtask migrate"), "{}", ended.stderr);
}

#[tokio::test]
async fn status_names_the_brokers_that_nobody_serves() {
    let cluster = Cluster::seeded(3).await;
    let _running = Running::start(&cluster).await;
    assert_eq!(cluster.get("status", &[]).await["unserved_brokers"], serde_json::json!([]));
    // They come while dual writing is on.
    let brokers = cluster.hold_brokers().await;
    let mut status = Value::Null;
    for _ in 0..100 {
        status = cluster.get("status", &[]).await;
        if status["unserved_brokers"] == serde_json::json!(cluster.manifest.brokers) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(status["unserved_brokers"], serde_json::json!(cluster.manifest.brokers), "{status}");
    assert_eq!(status["brokers"].as_array().unwrap().len(), cluster.manifest.brokers.len());
    let said = xtask(&["status", "--data-dir", &cluster.data_dir()]).await;
    assert!(said.stdout.contains("NOBODY SERVES"), "{}", said.stdout);
    brokers.release().await;
}

#[tokio::test]
async fn a_data_directory_restored_from_an_old_copy_is_damaged_data() {
    let cluster = Cluster::seeded(4).await;
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let (data, old) = (cluster.file("data"), cluster.file("old"));
    copy_dir(&data, &old);
    let running = Running::start(&cluster).await;
    cluster.get("change", &["random", "--count", "50"]).await;
    assert_eq!(cluster.get("verify", &[]).await["divergent"], 0);
    running.stop().await;
    fs::rename(&data, cluster.file("newest")).unwrap();
    fs::rename(&old, &data).unwrap();

    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(5), "{ended:#?}");
    assert_eq!(ended.object["exit_code"], 5);
    let config = cluster.path("kafka.properties");
    let verify = cluster.ask("verify", &["--zookeeper-config", &config]).await;
    assert_eq!(verify.code, Some(5), "{verify:#?}");

    // The newest copy goes on.
    fs::remove_dir_all(&data).unwrap();
    fs::rename(cluster.file("newest"), &data).unwrap();
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
}

#[tokio::test]
async fn of_two_copies_of_a_data_directory_that_both_went_on_only_the_one_that_wrote_claims() {
    let cluster = Cluster::seeded(8).await;
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let (data, copy) = (cluster.file("data"), cluster.file("copy"));
    copy_dir(&data, &copy);
    // Each begins the same epoch at the same offset, and has as many records as the other.
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    fs::rename(&data, cluster.file("first")).unwrap();
    fs::rename(&copy, &data).unwrap();
    let session = cluster.session().await;
    let before = session.get_data("/migration").await.unwrap();
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(5), "{ended:#?}");
    assert!(ended.stderr.contains("two copies of one data directory"), "{}", ended.stderr);
    assert_eq!(session.get_data("/migration").await.unwrap().stat.version, before.stat.version);

    fs::rename(&data, cluster.file("second")).unwrap();
    fs::rename(cluster.file("first"), &data).unwrap();
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
}

#[tokio::test]
async fn a_zookeeper_that_someone_else_governed_is_not_claimed() {
    let cluster = Cluster::seeded(5).await;
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let session = cluster.session().await;
    let epoch = session.get_data("/controller_epoch").await.unwrap();
    let set = store_zk::client::ZkOp::set_data("/controller_epoch", "99", epoch.stat.version);
    session.multi(vec![set]).await.unwrap();
    let ended = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert_eq!(ended.object["driver_state"], "ZK_GOVERNED");
    assert!(!ended.object["reasons"].as_array().unwrap().is_empty());
    assert_eq!(session.get_data("/controller_epoch").await.unwrap().data, "99");
}

#[tokio::test]
async fn damage_in_the_log_is_said_with_its_place() {
    let cluster = Cluster::seeded(6).await;
    assert_eq!(cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await.code, Some(0));
    let segment = cluster.file("data/__cluster_metadata-0/00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let dumped = xtask(&["dump-log", "--json", &cluster.data_dir()]).await;
    assert_eq!(dumped.code, Some(5), "{}", dumped.stderr);
    let damage = &dumped.object["damage"][0];
    assert!(damage["file"].as_str().unwrap().ends_with("00000000000000000000.log"), "{damage}");
    assert!(damage["position"].as_u64().unwrap() <= middle as u64, "{damage}");
    assert!(dumped.stdout.lines().any(|line| line.contains("\"item\":\"damage\"")));
    let config = cluster.path("kafka.properties");
    for ended in [
        cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await,
        cluster.ask("status", &[]).await,
        cluster.ask("verify", &["--zookeeper-config", &config]).await,
    ] {
        assert_eq!((ended.code, &ended.object["exit_code"]), (Some(5), &5.into()), "{ended:#?}");
        assert!(ended.stderr.contains("00000000000000000000.log is damaged at byte"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_log_goes_on_while_zookeeper_is_away() {
    let (cluster, mut server) = Cluster::seeded_on_its_own(7).await;
    let running = Running::start(&cluster).await;
    let before = cluster.session().await.get_data("/migration").await.unwrap();
    server.kill();
    // Changes are the quorum's business alone.
    let made = cluster.get("change", &["random", "--count", "200", "--seed", "9"]).await;
    assert_eq!(made["changes"], 200);
    server.restart().await.unwrap();
    let mut verified = Value::Null;
    for _ in 0..300 {
        let ended = cluster.ask("verify", &[]).await;
        verified = ended.object;
        if ended.code == Some(0) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!((&verified["divergent"], &verified["behind_records"]), (&0.into(), &0.into()), "{verified}");
    let now = cluster.session().await.get_data("/migration").await.unwrap();
    assert!(now.stat.version > before.stat.version);
    assert_eq!(running.stop().await.code, Some(0));
}
