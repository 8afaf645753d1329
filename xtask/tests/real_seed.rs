//! The seed on a real ZooKeeper, by the binary as people run it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use store_zk::client::ZkSession;
use store_zk::client::config::ZkClientConfig;
use store_zk::testkit::{shared_server, unique_path};
use xtask::cli::{Interrupt, Progress};
use xtask::seed::{self, Blueprint, HeldBrokers, Manifest, SeedOptions};

const SMALL: [&str; 4] = ["--topics", "20", "--partitions-per-topic", "3"];

fn small() -> Blueprint {
    Blueprint::new(SeedOptions { topics: 20, partitions_per_topic: 3, ..SeedOptions::default() }).unwrap()
}

/// A path of the test's own in the shared ZooKeeper, not made yet: servers and chroot.
async fn place() -> String {
    format!("{}{}", shared_server().await.unwrap().address(), unique_path())
}

async fn session(place: &str) -> Arc<dyn ZkSession> {
    ZkClientConfig::from_connect_string(place).unwrap().connector().unwrap().connect().await.unwrap()
}

/// Runs `cargo xtask seed` to its end, away from the async runtime.
async fn run_seed(arguments: Vec<String>) -> Output {
    let run = move || Command::new(env!("CARGO_BIN_EXE_xtask")).arg("seed").args(arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn arguments(place: &str, more: &[&str]) -> Vec<String> {
    let arguments = ["--zookeeper", place].into_iter().chain(SMALL).chain(more.iter().copied());
    arguments.map(str::to_owned).collect()
}

fn last_object(output: &Output) -> Value {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {stdout}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Everything that the seed generates is there, at its version, and nothing else.
async fn assert_there(session: &dyn ZkSession, blueprint: &Blueprint) {
    let mut count = 0;
    for node in blueprint.nodes() {
        let found = session.get_data(&node.path).await.unwrap();
        assert_eq!((found.data.as_ref(), found.stat.version.0), (node.data.as_slice(), node.version), "{}", node.path);
        count += 1;
    }
    assert_eq!(count_below(session, "/").await, count);
}

async fn count_below(session: &dyn ZkSession, path: &str) -> u64 {
    let mut count = 0;
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let names = session.get_children(&path).await.unwrap().names;
        count += names.len() as u64;
        pending.extend(names.iter().map(|name| format!("{}/{name}", path.trim_end_matches('/'))));
    }
    count
}

#[tokio::test]
async fn a_seed_is_written_as_generated_and_not_written_twice() {
    let place = place().await;
    let nested = format!("{place}/below/it");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (manifest, config) = (file("manifest.json"), file("kafka.properties"));
    let flags = ["--json", "--manifest", text(&manifest), "--zookeeper-config-out", text(&config)];

    let first = run_seed(arguments(&nested, &flags)).await;
    let object = last_object(&first);
    assert_eq!(first.status.code(), Some(0), "{object}");
    assert_eq!((&object["ok"], &object["verb"]), (&true.into(), &"seed".into()));
    assert_eq!(String::from_utf8_lossy(&first.stdout).lines().count(), 1);
    let written: Manifest = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    assert_eq!(written, small().manifest());
    assert_eq!(serde_json::from_value::<Manifest>(object["manifest"].clone()).unwrap(), written);
    assert!(std::fs::read_to_string(&config).unwrap().contains(&format!("zookeeper.connect={nested}")));
    assert_there(session(&nested).await.as_ref(), &small()).await;

    // The same path, and the path above it: neither is empty.
    for (place, found) in [(&nested, "/brokers"), (&place, "/below")] {
        let again = run_seed(arguments(place, &["--json"])).await;
        let object = last_object(&again);
        assert_eq!(again.status.code(), Some(3), "{object}");
        assert_eq!((&object["ok"], &object["exit_code"]), (&false.into(), &3.into()));
        assert!(object["reasons"][0].as_str().unwrap().contains(found), "{object}");
    }
    assert_there(session(&nested).await.as_ref(), &small()).await;
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn people_read_stdout_and_programs_read_its_last_line() {
    let place = place().await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("m.json");
    let output = run_seed(arguments(&place, &["--manifest", text(&manifest)])).await;
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains(&format!("seeded {place}")) && stdout.contains(text(&manifest)), "{stdout}");
    assert!(!stdout.contains('{'), "{stdout}");
}

#[tokio::test]
async fn wrong_usage_is_told_apart_from_failure() {
    let wrong = run_seed(arguments("127.0.0.1:1", &["--json", "--replication-factor", "7"])).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(last_object(&wrong)["verb"], "seed");
    let unknown = run_seed(arguments("127.0.0.1:1", &["--json", "--replicas", "7"])).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(last_object(&unknown)["exit_code"], 2);
    let unreadable = run_seed(arguments("127.0.0.1:1", &["--json", "--zookeeper-config", "/no/such/file"])).await;
    assert_eq!(unreadable.status.code(), Some(1));
    assert!(last_object(&unreadable)["error"].as_str().unwrap().contains("/no/such/file"));
}

#[tokio::test]
async fn the_library_seeds_and_holds_the_brokers() {
    let place = place().await;
    let config = ZkClientConfig::from_connect_string(&place).unwrap();
    seed::ensure_chroot(&config, false).await.unwrap();
    let session = session(&place).await;
    let blueprint = small();
    let manifest =
        seed::write(session.as_ref(), &blueprint, false, &Progress::hidden(), &Interrupt::never()).await.unwrap();
    assert_eq!(manifest, blueprint.manifest());

    let connector = config.connector().unwrap();
    let held = HeldBrokers::register(connector.as_ref(), blueprint.brokers().collect(), false).await.unwrap();
    for broker in blueprint.brokers() {
        let found = session.get_data(&broker.path).await.unwrap();
        assert_eq!((found.data.as_ref(), found.stat.version.0), (broker.data.as_slice(), 1));
        assert_ne!(found.stat.ephemeral_owner, 0);
    }
    held.release().await;
    assert_eq!(session.get_children("/brokers/ids").await.unwrap().names, Vec::<String>::new());
}
