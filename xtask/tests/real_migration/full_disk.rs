//! A disk that fills up under a running controller, its cache included.

use std::process::Command;

use super::harness::{Cluster, Ended};

/// Ways into a mount namespace of one's own, where a small disk is nobody else's: as root, or as root of a user namespace.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// Mounts a disk of that size at the folder and becomes the program behind it.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size="$0" tmpfs "$1" && shift && exec "$@""#;

fn on_a_small_disk(way: &[&str], size: &str, folder: &str, program: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", ON_A_SMALL_DISK, size, folder]).args(program);
    command
}

#[tokio::test]
async fn a_full_disk_ends_migrate_with_the_file_and_the_remedy() {
    let cluster = Cluster::seeded(81).await;
    let disk = cluster.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let can = |way: &&&[&str]| {
        let tried = on_a_small_disk(way, "64k", &disk, &["true"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let Some(way) = WAYS.iter().find(can) else {
        println!(
            "case a_full_disk_ends_migrate_with_the_file_and_the_remedy: not run, this machine lets nobody mount a small \
             disk (root, or unprivileged user namespaces)"
        );
        return;
    };
    let data_dir = format!("{disk}/data");
    let config = cluster.path("kafka.properties");
    let migrate = [
        env!("CARGO_BIN_EXE_xtask"),
        "migrate",
        "--json",
        "--zookeeper-config",
        &config,
        "--data-dir",
        &data_dir,
        "--unserved-brokers",
        "--until",
        "dual-write",
    ];
    let mut command = on_a_small_disk(way, "64k", &disk, &migrate);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let ended = Ended::from(output);
    assert_eq!((ended.code, &ended.object["exit_code"]), (Some(1), &1.into()), "{ended:#?}");
    let error = ended.object["error"].as_str().unwrap();
    for part in [data_dir.as_str(), "No space left on device", "make room"] {
        assert!(error.contains(part), "{part}: {ended:#?}");
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}
