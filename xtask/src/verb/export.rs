//! `cargo xtask export`: a stopped cluster in ZooKeeper mode becomes directories that KRaft starts from.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fencing::QuorumIdentity;
use metadata_core::error::ErrorKind;
use metadata_core::id::{NodeId, Offset};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::VersionedRecord;
use metadata_core::store::MetadataStore as _;
use serde::Serialize;
use serde_json::json;
use store_kraft::log::{
    BACKUP, BrokerDir, DumpedRecord, MetaProperties, Occupancy, RecordContent, convert, files_of_whole, occupancy,
    write_topic_id, write_whole,
};
use store_zk::client::config::PasswordEncoderSettings;
use store_zk::{ZkStore, ZkStoreOptions};

use super::dump_log::record_line;
use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeper, ZooKeeperArgs};
use crate::export::settings::{self, Advice, BrokerConfig, Quorum};
use crate::export::{
    BrokerLogs, Conversion, JudgedBrokers, Prepared, Stopped, derived, judge_brokers, look, place, prepare,
    supported_version,
};

/// Warnings of the import that are told, and kept in the object.
const WARNINGS_MAX: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// The controller's directory to be made: empty, or not there
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The metadata version to begin at, from 3.3-IV3 to 3.9-IV0
    #[arg(long, default_value = "3.9", value_name = "VERSION", value_parser = version)]
    metadata_version: MetadataVersion,

    /// The controller's id; no broker may have it
    #[arg(long, default_value_t = 3000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    node_id: i32,

    /// A log directory of a broker, to be checked; once for each directory of its log.dirs
    #[arg(long, value_name = "ID=DIR", value_parser = broker_dir)]
    broker_dir: Vec<(NodeId, PathBuf)>,

    /// A broker's server.properties: its log directories are checked, and its settings translated
    #[arg(long, value_name = "FILE")]
    broker_config: Vec<PathBuf>,

    /// Change the log directories that are named: meta.properties (the old one is kept) and missing partition.metadata
    #[arg(long)]
    convert_brokers: bool,

    /// Give an id to topics that have none, as those of brokers before Kafka 2.8; otherwise they are refused
    #[arg(long)]
    make_topic_ids: bool,

    /// Where the controller will listen, for the configurations that are proposed
    #[arg(long, default_value = "localhost:9093", value_name = "HOST:PORT")]
    controller: String,

    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Print every record as JSON, as dump-log does, secrets redacted
    #[arg(long, requires = "dry_run")]
    records: bool,
}

fn version(text: &str) -> Result<MetadataVersion, String> {
    supported_version(text.parse().map_err(|error| format!("{error}"))?)
}

fn broker_dir(text: &str) -> Result<(NodeId, PathBuf), String> {
    let (id, dir) = text.split_once('=').ok_or("write it as ID=DIR, 1=/var/lib/kafka for instance")?;
    let id = id.trim().parse().ok().filter(|id| *id >= 0).ok_or_else(|| format!("{id:?} is no broker id"))?;
    if dir.is_empty() { Err("the directory is missing".to_owned()) } else { Ok((NodeId(id), dir.into())) }
}

/// What is to be written, all of it decided.
struct Plan {
    cluster_id: String,
    properties: MetaProperties,
    prepared: Prepared,
    judged: JudgedBrokers,
    warnings: Vec<String>,
    warning_count: u64,
    pending_deletions: u64,
    configs: BrokerConfigs,
}

/// Configuration files, by whose they are.
type BrokerConfigs = Vec<(NodeId, BrokerConfig)>;

/// A log directory, for programs.
#[derive(Serialize)]
struct DirectoryObject {
    broker: i32,
    path: String,
    directory_id: String,
    replicas: usize,
    /// `done` before, `converted` now, or `to do`.
    state: &'static str,
}

#[derive(Serialize)]
struct SettingObject {
    setting: String,
    replacement: Option<String>,
    why: String,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let zookeeper = args.zookeeper.open(Absent::Refuse, shell).await?;
    let planned = tokio::select! {
        planned = plan(&args, &zookeeper) => planned?,
        () = interrupt.requested() => return Err(Failure::failed("interrupted").why("nothing was written")),
    };
    if args.records {
        print_records(&planned)?;
    }
    // Uninterrupted on purpose: it is short, and what a kill leaves is done anew.
    let (args, planned, shell) = (Arc::new(args), planned, shell.clone());
    let writing = {
        let args = Arc::clone(&args);
        tokio::task::spawn_blocking(move || {
            if !args.dry_run {
                write(&args, &planned, &shell)?;
            }
            Ok::<_, Failure>(report(&args, &planned))
        })
    };
    writing.await.map_err(|error| Failure::failed("the export did not end").because(&error))?
}

async fn plan(args: &Args, zookeeper: &ZooKeeper) -> Result<Plan, Failure> {
    let stopped = look(zookeeper.connector.as_ref()).await?;
    let (brokers, configs) = brokers(args)?;
    let mut reasons = stopped.reasons.clone();
    reasons.extend(target_reason(&args.data_dir)?);
    let cluster_id = stopped.seen.cluster_id.clone();
    let read = load(args, zookeeper, &cluster_id).await;
    let (records, store) = match read {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::Invalid => {
            // What can't be imported, a line each behind a heading.
            let text = error.to_string();
            let problems: Vec<String> = text.lines().skip(1).map(|line| line.trim().to_owned()).collect();
            reasons.extend(if problems.is_empty() { vec![text] } else { problems });
            return Err(refused(args, &stopped, reasons));
        }
        Err(error) => return Err(Failure::from(error).while_doing("can't read ZooKeeper's metadata")),
    };
    let prepared = prepare(records, args.metadata_version, stopped.time).map_err(contradiction)?;
    let node_id = NodeId(args.node_id);
    let mut judged = judge_brokers(&brokers, &prepared.image, &cluster_id);
    let has_replicas = prepared.image.topics().all_partitions().any(|(_, it)| it.replicas.contains(&node_id));
    if has_replicas || brokers.iter().any(|broker| broker.id == node_id) {
        reasons.push(format!("node id {node_id} is a broker's: choose another --node-id"));
    }
    if let Err(unwritable) = prepared.image.to_records() {
        reasons.push(unwritable.to_string());
    }
    reasons.append(&mut judged.problems);
    if !reasons.is_empty() {
        return Err(refused(args, &stopped, reasons));
    }
    // An id that is not in the directory yet is true only if it is put there.
    let known = |conversion: &&Conversion| args.convert_brokers || conversion.is_done;
    let ids: Vec<_> = judged.conversions.iter().filter(known).map(|conversion| conversion.directory_id).collect();
    let image = place(&prepared.image, |topic_id, partition, broker| {
        judged.places.get(&(topic_id, partition, broker)).filter(|id| ids.contains(id)).copied()
    });
    let prepared = Prepared { image: image.map_err(contradiction)?, ..prepared };
    let imported = store.last_import().unwrap_or_default();
    let warnings = stopped.notes.iter().cloned().chain(imported.warnings.iter().map(ToString::to_string));
    let directory_id = Some(derived(&["controller's directory", &cluster_id, &node_id.to_string()]));
    Ok(Plan {
        properties: MetaProperties { node_id, cluster_id: cluster_id.clone(), directory_id },
        cluster_id,
        prepared,
        judged,
        warnings: warnings.take(WARNINGS_MAX).collect(),
        warning_count: imported.warning_count + stopped.notes.len() as u64,
        pending_deletions: imported.manifest.pending_deletions,
        configs,
    })
}

fn refused(args: &Args, stopped: &Stopped, reasons: Vec<String>) -> Failure {
    Failure::blocked(format!(
        "cluster {} must not be exported into {}",
        stopped.seen.cluster_id,
        args.data_dir.display()
    ))
    .whys(reasons)
    .next("mend what is named, then run the same command again; nothing was written")
    .field("cluster_id", &stopped.seen.cluster_id)
}

fn contradiction(error: metadata_core::image::ReplayError) -> Failure {
    Failure::damaged("the metadata in ZooKeeper contradict each other").because(&error)
}

/// Why the directory can't be written into, if it can't.
fn target_reason(dir: &Path) -> Result<Option<String>, Failure> {
    let at = dir.display();
    Ok(match occupancy(dir).map_err(Failure::from)? {
        Occupancy::Free | Occupancy::Begun => None,
        Occupancy::Formatted(properties) => Some(format!(
            "{at} is formatted already, for node {} of cluster {}: name another --data-dir",
            properties.node_id, properties.cluster_id
        )),
        Occupancy::Foreign(name) => Some(format!("{at} is not empty, it holds {name}: name another --data-dir")),
    })
}

async fn load(
    args: &Args,
    zookeeper: &ZooKeeper,
    cluster_id: &str,
) -> metadata_core::error::Result<(Vec<VersionedRecord>, ZkStore)> {
    let quorum = QuorumIdentity { cluster_id: cluster_id.to_owned(), log_id: String::new() };
    let options = ZkStoreOptions {
        metadata_version: args.metadata_version,
        derives_topic_ids: args.make_topic_ids,
        secret: zookeeper.settings.password_encoder.as_ref().map(PasswordEncoderSettings::password_secret),
        ..ZkStoreOptions::new(quorum, [NodeId(args.node_id)].into())
    };
    let store = ZkStore::new(Arc::clone(&zookeeper.connector), options);
    let mut records = Vec::new();
    store.load(&mut records).await?;
    Ok((records, store))
}

/// The log directories that are named, looked at, and the configurations of brokers.
fn brokers(args: &Args) -> Result<(Vec<BrokerLogs>, BrokerConfigs), Failure> {
    let mut named: Vec<(NodeId, PathBuf)> = args.broker_dir.clone();
    let mut configs = Vec::new();
    for file in &args.broker_config {
        let unusable = |reason: String| Failure::failed("a broker's configuration can't be used").why(reason);
        let config = settings::read(file).map_err(unusable)?;
        let id = config.id().ok_or_else(|| {
            unusable(format!("{} has no broker.id", file.display()))
                .next("add broker.id: it is in meta.properties of the broker's log directories")
        })?;
        named.extend(config.log_dirs().into_iter().map(|dir| (id, dir)));
        configs.push((id, config));
    }
    let mut brokers: BTreeMap<NodeId, BTreeMap<PathBuf, BrokerDir>> = BTreeMap::new();
    for (id, path) in named {
        // One directory may be named in two ways.
        let path = path.canonicalize().map_err(|error| {
            Failure::failed(format!("{} of broker {id} can't be used", path.display()))
                .because(&error)
                .next("name a directory of its log.dirs that this user may read and write")
        })?;
        let dir = BrokerDir::look(&path).map_err(Failure::from)?;
        brokers.entry(id).or_default().insert(path, dir);
    }
    let brokers = brokers.into_iter().map(|(id, dirs)| BrokerLogs { id, dirs: dirs.into_values().collect() });
    Ok((brokers.collect(), configs))
}

/// Writes everything. The controller's directory comes last: if it is whole, everything is.
fn write(args: &Args, plan: &Plan, shell: &Shell) -> Result<(), Failure> {
    if args.convert_brokers {
        convert_brokers(plan, shell)?;
    }
    // Private, since the log holds credentials.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.data_dir);
    made.map_err(|error| Failure::failed(format!("can't make {}", args.data_dir.display())).because(&error))?;
    write_whole(&args.data_dir, &plan.properties, &plan.prepared.image).map_err(|error| {
        Failure::from(error)
            .while_doing(format!("can't write {}", args.data_dir.display()))
            .next("no controller starts on it; run the same command again, it is done anew")
    })
}

fn convert_brokers(plan: &Plan, shell: &Shell) -> Result<(), Failure> {
    let failed = |dir: &Path, error: metadata_core::error::Error| {
        Failure::from(error).while_doing(format!("can't convert {}", dir.display())).next(format!(
            "run the same command again, or go back: rename {BACKUP} to meta.properties in each directory that has it"
        ))
    };
    for missing in &plan.judged.without_topic_id {
        write_topic_id(&missing.dir, &missing.replica, missing.topic_id)
            .map_err(|error| failed(&missing.dir.join(&missing.replica), error))?;
    }
    for conversion in plan.judged.conversions.iter().filter(|conversion| !conversion.is_done) {
        shell.note(format_args!("converting {}", conversion.dir.display()));
        convert(&conversion.dir, conversion.broker, &plan.cluster_id, conversion.directory_id)
            .map_err(|error| failed(&conversion.dir, error))?;
    }
    Ok(())
}

/// The files that are written, in words.
fn files(args: &Args, plan: &Plan) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    if args.convert_brokers {
        let topic_ids = plan.judged.without_topic_id.iter();
        files.extend(topic_ids.map(|it| it.dir.join(&it.replica).join("partition.metadata").display().to_string()));
        for conversion in plan.judged.conversions.iter().filter(|conversion| !conversion.is_done) {
            files.extend([BACKUP, "meta.properties"].map(|name| conversion.dir.join(name).display().to_string()));
        }
    }
    let position = plan.prepared.image.position();
    files.extend(files_of_whole(position).iter().map(|file| args.data_dir.join(file).display().to_string()));
    files
}

fn by_type(plan: &Plan) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for record in plan.prepared.image.to_records().into_iter().flatten() {
        *counts.entry(record.record.name()).or_default() += 1;
    }
    counts
}

fn print_records(plan: &Plan) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (number, record) in plan.prepared.image.to_records().into_iter().flatten().enumerate() {
        let mut frame = Vec::new();
        record.encode(&mut frame).map_err(|error| Failure::failed("a record can't be written").because(&error))?;
        // In the snapshot its header comes first.
        let offset = Offset(i64::try_from(number).unwrap_or(i64::MAX - 1) + 1);
        let content = Ok(RecordContent::Metadata(record));
        // Nobody may be reading any more, which is no reason to fail.
        drop(writeln!(out, "{}", record_line(&DumpedRecord { offset, value_len: frame.len(), content }, false)));
    }
    drop(out.flush());
    Ok(())
}

fn report(args: &Args, plan: &Plan) -> Outcome {
    let (image, judged) = (&plan.prepared.image, &plan.judged);
    let (counts, files) = (by_type(plan), files(args, plan));
    let total: u64 = counts.values().sum();
    let verb = if args.dry_run { "would write" } else { "wrote" };
    let mut lines = vec![format!(
        "{verb} {total} records of cluster {} at metadata version {} into {}",
        plan.cluster_id,
        args.metadata_version,
        args.data_dir.display()
    )];
    lines.extend(counts.iter().map(|(name, count)| format!("  {name}: {count}")));
    lines.extend(files.iter().map(|file| format!("{verb} {file}")));
    let told = |heading: &str, what: &mut dyn Iterator<Item = String>| {
        let what: Vec<_> = what.map(|line| format!("  {line}")).collect();
        if what.is_empty() { Vec::new() } else { std::iter::once(format!("{heading}:")).chain(what).collect() }
    };
    let changes = plan.prepared.config_changes.iter();
    lines.extend(told(
        "configs that Kafka 4.x takes no more",
        &mut changes.clone().map(|it| format!("{} of {}: {}", it.name, it.resource, it.what)),
    ));
    lines.extend(told(
        "directories that the metadata do not have, which Kafka sets aside when it starts",
        &mut judged.strays.iter().cloned(),
    ));
    let pending = judged.without_topic_id.iter().map(|it| format!("{}/{}", it.dir.display(), it.replica));
    if !args.convert_brokers {
        lines.extend(told(
            "replicas without partition.metadata, over which KRaft does not start (--convert-brokers writes it)",
            &mut pending.clone(),
        ));
    }
    lines.extend(told("worth knowing", &mut judged.notes.iter().chain(&plan.warnings).cloned()));
    let advice = settings::advice_of_all(plan.configs.iter().map(|(_, config)| config));
    lines.extend(told("settings that are taken no more", &mut advice.iter().map(Advice::to_string)));
    let proposals = proposals(args, plan);
    for (name, config) in &proposals {
        lines.extend(told(&format!("configuration of {name}"), &mut config.iter().cloned()));
    }
    let directories: Vec<_> = judged.conversions.iter().map(|it| directory(args, it)).collect();
    let settings: Vec<_> = advice
        .into_iter()
        .map(|Advice { setting, replacement, why }| SettingObject { setting, replacement, why })
        .collect();
    let changes: Vec<_> =
        changes.map(|it| json!({"resource": it.resource, "config": it.name, "change": it.what})).collect();
    let mut outcome = Outcome::done();
    for line in lines {
        outcome = outcome.say(line);
    }
    outcome
        .field("cluster_id", &plan.cluster_id)
        .field("node_id", args.node_id)
        .field("data_dir", args.data_dir.display().to_string())
        .field("metadata_version", args.metadata_version.to_string())
        .field("migration_state", image.zk_migration_state().to_string())
        .field("dry_run", args.dry_run)
        .field("records", total)
        .field("by_type", counts)
        .field("topics", image.topics().len())
        .field("partitions", image.topics().partition_count())
        .field("pending_deletions", plan.pending_deletions)
        .field("files", files)
        .field("config_changes", changes)
        .field("log_directories", directories)
        .field("strays", &judged.strays)
        .field("without_topic_id", pending.collect::<Vec<_>>())
        .field("notes", &judged.notes)
        .field("warnings", &plan.warnings)
        .field("warning_count", plan.warning_count)
        .field("settings", settings)
        .field("proposed", proposals)
}

/// The configurations that are proposed, by whose they are. Without secrets.
fn proposals(args: &Args, plan: &Plan) -> BTreeMap<String, Vec<String>> {
    let quorum =
        Quorum { node_id: NodeId(args.node_id), address: args.controller.clone(), data_dir: args.data_dir.clone() };
    let mut proposals: BTreeMap<_, _> = plan
        .configs
        .iter()
        .map(|(id, config)| (format!("broker {id}"), settings::shown(&config.as_broker(*id, &quorum))))
        .collect();
    if let Some((_, config)) = plan.configs.first() {
        proposals.insert(format!("controller {}", quorum.node_id), settings::shown(&config.as_controller(&quorum)));
    }
    proposals
}

fn directory(args: &Args, conversion: &Conversion) -> DirectoryObject {
    let state = match (conversion.is_done, args.convert_brokers && !args.dry_run) {
        (true, _) => "done",
        (false, true) => "converted",
        (false, false) => "to do",
    };
    DirectoryObject {
        broker: conversion.broker.0,
        path: conversion.dir.display().to_string(),
        directory_id: conversion.directory_id.to_string(),
        replicas: conversion.replicas,
        state,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use store_kraft::log::MetaPropertiesVersion;
    use store_zk::client::config::{Properties, ZkSettings};
    use store_zk::client::{ZkAcl, ZkOp};
    use store_zk::testkit::fake::FakeZooKeeper;

    use super::*;

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
}
