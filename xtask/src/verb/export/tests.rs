use clap::Parser as _;
use store_kraft::log::{BrokerDir, MetaPropertiesVersion};
use store_zk::client::config::{Properties, ZkSettings};
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::testkit::fake::FakeZooKeeper;

use super::*;
use crate::cli::ZooKeeper;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &[&str]) -> Result<Args, clap::Error> {
    Command::try_parse_from(["export"].iter().chain(line)).map(|command| command.args)
}

const TOPIC_ID: &str = "Ur2NuSrDQ8CsDQQKBgcHaQ";

/// A stopped cluster with one topic of one partition on broker 1, and that broker's log directory.
struct Stage {
    zookeeper: FakeZooKeeper,
    outer: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let zookeeper = FakeZooKeeper::new();
        let topic = format!(
            r#"{{"version":3,"topic_id":"{TOPIC_ID}","partitions":{{"0":[1]}},"adding_replicas":{{}},"removing_replicas":{{}}}}"#
        );
        let state = r#"{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":4,"isr":[1]}"#;
        let config = r#"{"version":1,"config":{"retention.ms":"7","message.format.version":"2.4"}}"#;
        let stage = Self { zookeeper, outer: tempfile::tempdir().unwrap() };
        stage.make(&[
            ("/cluster", ""),
            ("/cluster/id", r#"{"version":"1","id":"ours"}"#),
            ("/brokers", ""),
            ("/brokers/ids", ""),
            ("/brokers/topics", ""),
            ("/brokers/topics/t", &topic),
            ("/brokers/topics/t/partitions", ""),
            ("/brokers/topics/t/partitions/0", ""),
            ("/brokers/topics/t/partitions/0/state", state),
            ("/config", ""),
            ("/config/topics", ""),
            ("/config/topics/t", config),
            ("/controller_epoch", "1"),
        ]);
        let logs = stage.logs();
        std::fs::create_dir_all(logs.join("t-0")).unwrap();
        std::fs::create_dir(logs.join("gone-3")).unwrap();
        std::fs::write(logs.join("meta.properties"), "version=0\nbroker.id=1\ncluster.id=ours\n").unwrap();
        stage
    }

    fn make(&self, nodes: &[(&str, &str)]) {
        let made = nodes.iter().map(|(path, data)| ZkOp::create(*path, (*data).to_owned(), ZkAcl::world_all()));
        self.zookeeper.foreign(made.collect()).unwrap();
    }

    fn logs(&self) -> PathBuf {
        self.outer.path().canonicalize().unwrap().join("logs")
    }

    fn out(&self) -> PathBuf {
        self.outer.path().join("out")
    }

    async fn export(&self, more: &[&str]) -> VerbResult {
        let (out, logs) = (self.out().display().to_string(), format!("1={}", self.logs().display()));
        let line = [&["--data-dir", &out, "--broker-dir", &logs], more].concat();
        let args = parse(&line).unwrap();
        let properties = Properties::parse("zookeeper.connect=fake:1\n").unwrap();
        let settings = ZkSettings::from_properties(&properties, &|_| Ok(String::new())).unwrap();
        let connector = Arc::new(self.zookeeper.connector());
        let planned = plan(&args, &ZooKeeper { settings, connector, started: None }).await?;
        if !args.dry_run {
            write(&args, &planned, &Shell::new("export", true))?;
        }
        Ok(report(&args, &planned))
    }

    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let (mut found, mut folders) = (Vec::new(), vec![self.outer.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path)
                } else {
                    found.push((path.clone(), std::fs::read(path).unwrap()))
                }
            }
        }
        found.sort();
        found
    }
}

#[tokio::test]
async fn a_stopped_cluster_is_exported_once_and_whole() {
    let stage = Stage::new();
    let before = stage.everything();
    let tried = stage.export(&["--dry-run", "--convert-brokers"]).await.unwrap().into_fields().unwrap();
    assert_eq!(stage.everything(), before, "a dry run writes nothing");
    let done = stage.export(&["--convert-brokers"]).await.unwrap().into_fields().unwrap();
    assert_eq!(tried["files"], done["files"]);
    for file in done["files"].as_array().unwrap() {
        assert!(Path::new(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(done["by_type"]["PARTITION_RECORD"], 1);
    assert_eq!((&done["topics"], &done["partitions"]), (&1.into(), &1.into()));
    assert_eq!(done["strays"].as_array().unwrap().len(), 1);
    assert_eq!(done["config_changes"][0]["config"], "message.format.version");
    assert_eq!(done["log_directories"][0]["state"], "converted");
    let logs = BrokerDir::look(&stage.logs()).unwrap();
    let (version, properties) = logs.properties.unwrap();
    assert_eq!(version, MetaPropertiesVersion::V1);
    assert_eq!(done["log_directories"][0]["directory_id"], properties.directory_id.unwrap().to_string());
    assert_eq!(logs.replicas[1].topic_id.unwrap().to_string(), TOPIC_ID);
    let refused = stage.export(&["--convert-brokers"]).await.unwrap_err();
    assert!(refused.to_string().contains("formatted already"), "{refused}");
    crate::documents::assert_fields_are_documented(done.keys().map(String::as_str));
    let nested = ["log_directories", "config_changes"].map(|field| done[field][0].as_object().unwrap());
    crate::documents::assert_fields_are_documented(nested.into_iter().flat_map(|it| it.keys().map(String::as_str)));
}

#[tokio::test]
async fn an_export_again_into_another_directory_gives_the_same_snapshot() {
    let stage = Stage::new();
    stage.export(&["--convert-brokers"]).await.unwrap();
    let partition = stage.out().join("__cluster_metadata-0");
    let snapshot = |folder: &Path| {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let snapshot = files.filter(|file| file.extension().is_some_and(|it| it == "checkpoint"));
        snapshot.map(|file| std::fs::read(file).unwrap()).next().unwrap()
    };
    let first = snapshot(&partition);
    std::fs::remove_dir_all(stage.out()).unwrap();
    let again = stage.export(&["--convert-brokers"]).await.unwrap().into_fields().unwrap();
    assert_eq!(again["log_directories"][0]["state"], "done");
    assert_eq!(snapshot(&partition), first);
    std::fs::remove_dir_all(stage.out()).unwrap();
    stage.export(&["--metadata-version", "3.6"]).await.unwrap();
    assert_ne!(snapshot(&partition), first);
}

#[tokio::test]
async fn every_reason_is_told_at_once_and_nothing_is_written() {
    let stage = Stage::new();
    stage.make(&[("/brokers/ids/1", "{}"), ("/brokers/topics/bad", "{")]);
    std::fs::create_dir(stage.out()).unwrap();
    std::fs::write(stage.out().join("thesis.tex"), "x").unwrap();
    let before = stage.everything();
    let refused = stage.export(&["--convert-brokers"]).await.unwrap_err();
    assert_eq!(refused.exit(), crate::cli::Exit::Blocked);
    for part in ["broker 1 is alive", "/brokers/topics/bad", "thesis.tex"] {
        assert!(refused.reasons().iter().any(|reason| reason.contains(part)), "{part}: {:?}", refused.reasons());
    }
    assert_eq!(stage.everything(), before);
    let stage = Stage::new();
    let refused = stage.export(&["--node-id", "1"]).await.unwrap_err();
    assert!(refused.to_string().contains("node id 1 is a broker's"), "{refused}");
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for line in [
        &["--zookeeper", "z:1"][..],
        &["--data-dir", "d", "--records"],
        &["--data-dir", "d", "--broker-dir", "/x"],
        &["--data-dir", "d", "--broker-dir", "x=/x"],
        &["--data-dir", "d", "--broker-dir", "-1=/x"],
        &["--data-dir", "d", "--broker-dir", "1="],
        &["--data-dir", "d", "--metadata-version", "3.2"],
        &["--data-dir", "d", "--metadata-version", "4.0"],
        &["--data-dir", "d", "--node-id", "-1"],
    ] {
        assert!(parse(line).is_err(), "{line:?}");
    }
    let args = parse(&["--data-dir", "d", "--broker-dir", "1=/x=y", "--dry-run", "--records"]).unwrap();
    assert_eq!(args.broker_dir, [(NodeId(1), PathBuf::from("/x=y"))]);
    assert_eq!(args.metadata_version, MetadataVersion::V3_9_IV0);
}
