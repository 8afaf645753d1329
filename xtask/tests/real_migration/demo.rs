//! The demo, small.

use std::path::Path;

use super::harness::{place, xtask};

#[tokio::test]
async fn the_demo_moves_a_cluster_and_accounts_for_every_znode() {
    let place = place().await;
    let flags = ["demo", "--json", "--topics", "20", "--partitions-per-topic", "3", "--zookeeper", &place];
    let ended = xtask(&flags).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let object = &ended.object;
    assert_eq!((&object["ok"], &object["verb"]), (&true.into(), &"demo".into()));
    assert_eq!((&object["divergent_znodes"], &object["migration_state"]), (&0.into(), &"MIGRATION".into()));
    assert!(object["topics"].as_u64().unwrap() >= 20);
    assert!(object["partitions"].as_u64().unwrap() >= 60);
    assert_eq!(object["records"], object["expected_records"]);
    assert_eq!(object["dual_write_changes"], 207);
    assert!(object["compared_znodes"].as_u64().unwrap() > 200);
    assert!(object["copy_seconds"].is_number());
    assert_eq!(ended.stdout.lines().count(), 1, "everything else is on stderr: {}", ended.stdout);
    assert!(ended.stderr.contains("--unserved-brokers"), "it says why: {}", ended.stderr);

    let again = xtask(&flags).await;
    assert_eq!(again.code, Some(3), "{again:#?}");
    assert!(again.stderr.contains("is not empty"), "{}", again.stderr);
}

#[tokio::test]
async fn a_kept_log_can_be_dumped() {
    let place = place().await;
    let flags = [
        "demo",
        "--json",
        "--topics",
        "2",
        "--partitions-per-topic",
        "1",
        "--changes",
        "5",
        "--keep",
        "--zookeeper",
        &place,
    ];
    let ended = xtask(&flags).await;
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let kept = ended.object["data_dir"].as_str().unwrap();
    assert_eq!(xtask(&["dump-log", kept]).await.code, Some(0));
    std::fs::remove_dir_all(Path::new(kept).parent().unwrap()).unwrap();
}
