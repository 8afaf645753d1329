//! The way back from every stage, and a second migration after it.

use std::fs;

use metadata_core::id::{KRaftLeaderEpoch, NodeId};
use metadata_core::leadership::{Expected, KraftLeadership};
use metadata_core::log::{Append, MetadataLog as _};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{FeatureLevelRecord, VersionedRecord, ZkMigrationState};
use metadata_core::store::{MetadataStore as _, Txn};
use serde_json::Value;
use store_kraft::{KraftLog, KraftLogOptions};
use store_zk::client::{CreateMode, ZkAcl, ZkOp};
use xtask::cli::ZooKeeperArgs;
use xtask::controller::{DataDir, ROLLBACK_FILE, zk_store};

use super::harness::{Cluster, Ended, Running, xtask};

const VERSION: MetadataVersion = MetadataVersion::V3_9_IV0;

async fn roll_back(cluster: &Cluster, more: &[&str]) -> Ended {
    let config = cluster.path("kafka.properties");
    let flags: Vec<&str> = ["--zookeeper-config", &config].into_iter().chain(more.iter().copied()).collect();
    cluster.ask("rollback", &flags).await
}

fn assert_done(ended: &Ended, stage: &str, wrote: bool) {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let found = ["stage", "rolled_back", "wrote", "dry_run"].map(|field| &ended.object[field]);
    assert_eq!(found, [&Value::from(stage), &true.into(), &wrote.into(), &false.into()], "{ended:#?}");
}

/// Nothing of ours is in ZooKeeper, the directory is closed, a second run says so, and a fresh directory migrates.
async fn ends_well(cluster: &Cluster) {
    let session = cluster.session().await;
    for path in ["/migration", "/controller"] {
        assert_eq!(session.exists(path).await.unwrap(), None, "{path}");
    }
    let epoch = session.get_data("/controller_epoch").await.unwrap();
    session.close().await.unwrap();
    let again = roll_back(cluster, &[]).await;
    assert_done(&again, "GIVEN_BACK", false);
    assert_eq!(again.object["epoch"].to_string().as_bytes(), epoch.data, "the second run changes nothing");

    let refused = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("rolled back at") && refused.stderr.contains("fresh --data-dir"), "{refused:#?}");
    let status = cluster.get("status", &[]).await;
    assert!(status["reason"].as_str().unwrap().contains("rolled back at"), "{status}");
    let change = cluster.ask("change", &["topic", "create", "late"]).await;
    assert_eq!(change.code, Some(3), "{change:#?}");
    migrates_anew(cluster, "second").await;
    // What another log does since is none of this one's business.
    let again = roll_back(cluster, &[]).await;
    assert_done(&again, "GIVEN_BACK", false);
    assert_eq!(again.object["migrating_anew"], 3000, "{again:#?}");
}

async fn migrates_anew(cluster: &Cluster, name: &str) {
    let (config, data_dir) = (cluster.path("kafka.properties"), cluster.path(name));
    let place = ["--zookeeper-config", &config, "--data-dir", &data_dir];
    let migrate = ["migrate", "--json", "--unserved-brokers", "--until", "dual-write"];
    let ended = xtask(&[&migrate[..], &place].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let verified = xtask(&[&["verify", "--json"][..], &place].concat()).await;
    assert_eq!((verified.code, &verified.object["divergent"]), (Some(0), &0.into()), "{verified:#?}");
    assert!(verified.object["compared"].as_u64().unwrap() > 50, "{}", verified.object);
}

async fn append(log: &KraftLog, records: Vec<VersionedRecord>) {
    let epoch = log.leadership(None).await.unwrap().epoch;
    let expected = Some(log.end().await.unwrap().end_offset);
    log.append(Append { epoch, expected, txn: Txn::None, records }).await.unwrap();
}

/// A formatted directory whose log says PRE_MIGRATION, and what a controller of it has claimed.
async fn claimed_and_nothing_copied(cluster: &Cluster) {
    let path = cluster.file("data");
    let found = DataDir::prepare(&path, NodeId(3000), &cluster.manifest.cluster_id, VERSION).unwrap();
    let log = KraftLog::open(KraftLogOptions::new(&path, NodeId(3000), &found.cluster_id)).await.unwrap();
    let epoch = log.leadership(None).await.unwrap().epoch;
    let level = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: VERSION.level(),
        ..Default::default()
    };
    let records =
        vec![VersionedRecord::new(level, 0), VersionedRecord::new(ZkMigrationState::PreMigration.to_record(), 0)];
    append(&log, records).await;
    let args = ZooKeeperArgs { zookeeper: None, zookeeper_config: Some(cluster.file("kafka.properties")) };
    let settings = args.settings().unwrap().unwrap();
    let store = zk_store(cluster.connector().await, &settings, found.quorum(), VERSION, None);
    let leadership = KraftLeadership { id: NodeId(3000), epoch };
    store.claim(&leadership, &Expected::Nothing).await.unwrap();
    assert!(epoch > KRaftLeaderEpoch(0));
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_running_controller_goes_back_from_dual_write_and_ends() {
    let cluster = Cluster::seeded(90).await;
    let running = Running::start(&cluster).await;
    cluster.get("change", &["random", "--count", "60", "--seed", "4"]).await;
    let session = cluster.session().await;
    let before = session.get_data("/migration").await.unwrap();
    let planned = roll_back(&cluster, &["--dry-run"]).await;
    assert_eq!((planned.code, &planned.object["rolled_back"]), (Some(0), &false.into()), "{planned:#?}");
    assert!(planned.object["steps"].as_array().unwrap().len() >= 4, "{planned:#?}");
    assert!(!cluster.file("data").join(ROLLBACK_FILE).exists(), "a plan closes nothing");

    let ended = roll_back(&cluster, &[]).await;
    assert_done(&ended, "MIGRATING", true);
    let removed = ["/migration", "/controller"].map(Value::from).to_vec();
    assert_eq!(ended.object["removed"], Value::from(removed), "{ended:#?}");
    let raised = ended.object["epoch_raised"].as_i64().unwrap();
    assert!(raised > ended.object["partition_epoch_max"].as_i64().unwrap(), "{ended:#?}");
    assert_eq!(ended.object["versions_below"], 0, "no broker would ignore the next controller");
    let kept = fs::read_to_string(cluster.file("data").join(ROLLBACK_FILE)).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let marker = kept["kept"][0]["znodes"].as_array().unwrap().iter().find(|it| it["path"] == "/migration").unwrap();
    let quorum = |text: &str| serde_json::from_str::<Value>(text).unwrap()["quorum"].clone();
    assert_eq!(quorum(marker["text"].as_str().unwrap()), quorum(std::str::from_utf8(&before.data).unwrap()));
    // The process has ended by itself, and well.
    let last = running.ends().await;
    assert_eq!(last.code, Some(0), "{last:#?}");
    assert!(last.stdout.contains("DUAL_WRITE"), "{last:#?}");
    ends_well(&cluster).await;
}

#[tokio::test]
async fn a_stopped_and_a_killed_controller_are_rolled_back_without_them() {
    for (number, kill) in [(91, false), (92, true)] {
        let cluster = Cluster::seeded(number).await;
        let running = Running::start(&cluster).await;
        cluster.get("change", &["random", "--count", "200", "--seed", "5"]).await;
        if kill {
            running.kill().await
        } else {
            drop(running.stop().await)
        }
        assert_done(&roll_back(&cluster, &[]).await, "MIGRATING", true);
        ends_well(&cluster).await;
    }
}

#[tokio::test]
async fn provisioned_and_claimed_controllers_are_rolled_back() {
    let nobody = Cluster::seeded(93).await;
    let nothing = roll_back(&nobody, &[]).await;
    assert_eq!((nothing.code, &nothing.object["rolled_back"]), (Some(0), &false.into()), "{nothing:#?}");
    DataDir::prepare(&nobody.file("data"), NodeId(3000), &nobody.manifest.cluster_id, VERSION).unwrap();
    assert_done(&roll_back(&nobody, &[]).await, "NOTHING_TAKEN", false);
    ends_well(&nobody).await;

    let claimed = Cluster::seeded(94).await;
    claimed_and_nothing_copied(&claimed).await;
    // Without its directory nobody knows whose claim it is.
    let elsewhere = xtask(&[
        "rollback",
        "--json",
        "--zookeeper-config",
        &claimed.path("kafka.properties"),
        "--data-dir",
        &claimed.path("elsewhere"),
    ])
    .await;
    assert_eq!(elsewhere.code, Some(3), "{elsewhere:#?}");
    assert_done(&roll_back(&claimed, &[]).await, "ROLE_HELD", true);
    ends_well(&claimed).await;
}

#[tokio::test]
async fn a_rollback_that_was_interrupted_anywhere_is_finished_by_the_next() {
    // Before the multi: the copy is kept, and ZooKeeper is as it was.
    let cluster = Cluster::seeded(95).await;
    Running::start(&cluster).await.kill().await;
    let begun = r#"{"version":1,"begun_ms":1000,"done_ms":null,"stage":"MIGRATING","raised_to":null,"kept":[]}"#;
    let file = cluster.file("data").join(ROLLBACK_FILE);
    fs::write(&file, begun).unwrap();
    let refused = cluster.migrate(&["--unserved-brokers", "--until", "dual-write"]).await;
    assert_eq!(refused.code, Some(3), "{refused:#?}");
    assert!(refused.stderr.contains("run `rollback` again"), "{refused:#?}");
    assert_done(&roll_back(&cluster, &[]).await, "MIGRATING", true);
    // Behind the multi, before the seal.
    let mut seal: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    seal["done_ms"] = Value::Null;
    fs::write(&file, seal.to_string()).unwrap();
    assert_done(&roll_back(&cluster, &[]).await, "GIVEN_BACK", false);
    ends_well(&cluster).await;
}

#[tokio::test]
async fn a_rollback_killed_at_any_moment_is_finished_by_the_next() {
    let cluster = Cluster::seeded(96).await;
    for round in 0..6_u64 {
        let name = format!("round-{round}");
        let (config, data_dir) = (cluster.path("kafka.properties"), cluster.path(&name));
        let place = ["--zookeeper-config", &config, "--data-dir", &data_dir];
        let migrate = ["migrate", "--json", "--unserved-brokers", "--until", "dual-write"];
        let ended = xtask(&[&migrate[..], &place].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        // Each kill comes when another step has left its trace, or after it.
        let rollback = [&["rollback", "--json"][..], &place].concat();
        super::harness::kill_when(&rollback, async || match round {
            0 | 1 => cluster.file(&name).join(ROLLBACK_FILE).exists(),
            2 | 3 => cluster.session().await.exists("/migration").await.unwrap().is_none(),
            _ => cluster.file(&name).join(".lock").exists(),
        })
        .await;
        let ended = xtask(&rollback).await;
        assert_eq!((ended.code, &ended.object["rolled_back"]), (Some(0), &true.into()), "round {round}: {ended:#?}");
        let session = cluster.session().await;
        assert_eq!(session.exists("/migration").await.unwrap(), None, "round {round}");
        assert_eq!(session.exists("/controller").await.unwrap(), None, "round {round}");
        session.close().await.unwrap();
    }
    migrates_anew(&cluster, "last").await;
}

#[tokio::test]
async fn a_marker_that_somebody_forgot_goes_and_the_governing_broker_stays() {
    let cluster = Cluster::seeded(97).await;
    drop(Running::start(&cluster).await.stop().await);
    let session = cluster.session().await;
    let epoch = session.get_data("/controller_epoch").await.unwrap();
    let raised = String::from_utf8_lossy(&epoch.data).parse::<i32>().unwrap() + 1;
    let registration = ZkOp::Create {
        path: "/controller".to_owned(),
        data: r#"{"version":2,"brokerid":1,"timestamp":"5","kraftControllerEpoch":-1}"#.into(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::Ephemeral,
    };
    let election = vec![
        ZkOp::delete("/controller", None),
        registration,
        ZkOp::set_data("/controller_epoch", raised.to_string(), epoch.stat.version),
    ];
    session.multi(election).await.unwrap();
    let ended = roll_back(&cluster, &[]).await;
    assert_done(&ended, "MARKER_LEFT", true);
    assert_eq!((&ended.object["elected"], &ended.object["epoch"]), (&1.into(), &raised.into()), "{ended:#?}");
    assert_ne!(session.get_data("/controller").await.unwrap().stat.ephemeral_owner, 0);
    session.close().await.unwrap();
    ends_well(&cluster).await;
}

#[tokio::test]
async fn what_must_not_be_rolled_back_is_refused_with_its_reason() {
    let cluster = Cluster::seeded(98).await;
    drop(Running::start(&cluster).await.stop().await);
    // Another log's migration.
    let session = cluster.session().await;
    let ours = session.get_data("/migration").await.unwrap();
    let mut other: Value = serde_json::from_slice(&ours.data).unwrap();
    other["quorum"]["log_id"] = "another".into();
    session.multi(vec![ZkOp::set_data("/migration", other.to_string(), None)]).await.unwrap();
    let ended = roll_back(&cluster, &[]).await;
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("log another"), "{}", ended.stderr);
    session.multi(vec![ZkOp::set_data("/migration", ours.data.clone(), None)]).await.unwrap();
    // Nobody closed the directory for it.
    let data_dir = cluster.data_dir();
    assert!(!cluster.file("data").join(ROLLBACK_FILE).exists());

    // A finalized one.
    let found = DataDir::read(data_dir.as_ref()).unwrap().unwrap();
    let log =
        KraftLog::open(KraftLogOptions::new(data_dir.as_ref() as &std::path::Path, NodeId(3000), &found.cluster_id));
    let log = log.await.unwrap();
    append(&log, vec![VersionedRecord::new(ZkMigrationState::PostMigration.to_record(), 0)]).await;
    log.shutdown().await.unwrap();
    let before = session.get_data("/migration").await.unwrap();
    let ended = roll_back(&cluster, &[]).await;
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("POST_MIGRATION"), "{}", ended.stderr);
    assert_eq!(session.get_data("/migration").await.unwrap(), before);
}

#[tokio::test]
async fn live_brokers_that_elect_nobody_are_told_of_and_the_next_run_sees_the_election() {
    let cluster = Cluster::seeded(99).await;
    drop(Running::start(&cluster).await.stop().await);
    // They hold their registrations, and none of them stands for election.
    let brokers = cluster.hold_brokers().await;
    let ended = roll_back(&cluster, &["--election-seconds", "1"]).await;
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let found = ["rolled_back", "wrote", "elected"].map(|field| &ended.object[field]);
    assert_eq!(found, [&true.into(), &true.into(), &Value::Null], "{ended:#?}");
    assert!(ended.stderr.contains("no broker became the controller within"), "{}", ended.stderr);
    assert!(cluster.file("data").join(ROLLBACK_FILE).exists(), "it is sealed all the same");

    let session = cluster.session().await;
    let registration = ZkOp::Create {
        path: "/controller".to_owned(),
        data: r#"{"version":2,"brokerid":2,"timestamp":"5","kraftControllerEpoch":-1}"#.into(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::Ephemeral,
    };
    session.multi(vec![registration]).await.unwrap();
    let again = roll_back(&cluster, &["--election-seconds", "1"]).await;
    assert_done(&again, "GIVEN_BACK", false);
    assert_eq!(again.object["elected"], 2, "{again:#?}");
    brokers.release().await;
    session.close().await.unwrap();
    migrates_anew(&cluster, "second").await;
}
