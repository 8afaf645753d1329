//! Kafka's `DumpLogSegments`, of each release, reads our files as `dump-log` does: of a log that is being written, of one whose
//! controller was killed, of one that was closed; segments, snapshots and the bootstrap file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata_core::id::NodeId;
use metadata_core::log::{Append, MetadataLog as _};
use metadata_core::record::{ConfigRecord, VersionedRecord};
use metadata_core::store::Txn;
use serde::Serialize;
use store_kraft::{KraftLog, KraftLogOptions, SEGMENT_BYTES_MIN};
use store_zk::client::config::ZkSettings;
use tokio::process::{Child, Command};

use super::super::agreement::{Agreement, agreement, log_files};
use super::super::{Findings, Lab};
use crate::cli::Failure;
use crate::kafka::agree::TYPES_OF_OURS;
use crate::kafka::{Kafka, Release};
use crate::own::{end, finished, output, this_program, wait_for_dual_write};
use crate::seed::{Blueprint, HeldBrokers, Manifest};

/// How large the cluster is, and how many changes are made to it.
struct Size {
    topics: &'static str,
    changes: &'static str,
}

const SMALL: Size = Size { topics: "30", changes: "500" };
const FULL: Size = Size { topics: "300", changes: "3000" };

/// Changes that are asked for while files are copied and the controller is killed: more than can be made.
const WITHOUT_END: &str = "1000000";

/// The types of records that live brokers leave beside them.
const TYPES_OF_BROKERS: [&str; 2] = ["BROKER_REGISTRATION_CHANGE_RECORD", "REGISTER_BROKER_RECORD"];

/// A state in which a log was found.
struct Found {
    state: &'static str,
    files: Vec<PathBuf>,
    /// Whether its last batch may be torn.
    may_be_torn: bool,
}

/// What one release said of all states.
#[derive(Default, Serialize)]
struct Told {
    files: usize,
    batches: u64,
    records: u64,
    types: usize,
    torn: usize,
    unknown: u64,
    differences: usize,
}

/// Asks the releases, and adds what they said.
pub(super) async fn run(lab: &Lab, quick: bool, findings: &mut Findings) -> Result<(), Failure> {
    let releases: &[Release] = if quick { &[Release::V3_9] } else { &[Release::V3_9, Release::V4] };
    let mut kafkas = Vec::new();
    for release in releases {
        kafkas.push(lab.kafka(*release).await?);
    }
    let zookeeper = lab.zookeeper().await?;
    let folder = lab.folder("dumps")?;
    let size = if quick { SMALL } else { FULL };
    lab.note("a cluster is seeded, migrated, changed, killed and closed, for Kafka's log tools to read");
    let cluster = Cluster::seeded(&zookeeper.address(), &folder, &size).await?;
    let found = states(&cluster, &folder, &size).await?;
    let mut fields = BTreeMap::new();
    for kafka in &kafkas {
        let told = ask(kafka, &found, findings).await?;
        findings.say(format!(
            "DumpLogSegments of Kafka {}: {} files, {} batches, {} records of {} types, {} torn ends, {} differences",
            kafka.release(),
            told.files,
            told.batches,
            told.records,
            told.types,
            told.torn,
            told.differences
        ));
        fields.insert(kafka.release().to_string(), told);
    }
    findings.field("dumps", fields);
    Ok(())
}

async fn ask(kafka: &Kafka, found: &[Found], findings: &mut Findings) -> Result<Told, Failure> {
    let mut told = Told::default();
    let mut types: BTreeMap<String, u64> = BTreeMap::new();
    for Found { state, files, may_be_torn } in found {
        let place = format!("Kafka {}, {state} log", kafka.release());
        for Agreement { file, theirs, unknown, differences } in agreement(kafka, files).await? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            told.files += 1;
            told.batches += theirs.batches.len() as u64;
            told.records += theirs.records();
            told.unknown += unknown;
            told.differences += differences.len();
            told.torn += usize::from(theirs.torn_bytes > 0);
            if theirs.torn_bytes > 0 && !may_be_torn {
                findings.broken(format!("{place}: {name}: {} bytes at its end are no batch", theirs.torn_bytes));
            }
            if theirs.batches.is_empty() {
                findings.broken(format!("{place}: {name} has no batch"));
            }
            findings_of(findings, &format!("{place}: {name}"), differences);
            for (kind, count) in theirs.types() {
                *types.entry(kind).or_default() += count;
            }
        }
    }
    told.types = types.len();
    let expected = TYPES_OF_OURS.iter().chain(&TYPES_OF_BROKERS);
    let missing: Vec<_> = expected.filter(|name| !types.contains_key(**name)).collect();
    if !missing.is_empty() {
        findings.broken(format!("Kafka {}: no record of the types {missing:?} was there to be read", kafka.release()));
    }
    Ok(told)
}

fn findings_of(findings: &mut Findings, place: &str, differences: Vec<String>) {
    for difference in differences {
        findings.broken(format!("{place}: {difference}"));
    }
}

/// The log while it is written, after a kill, and closed: copies of each, and the closed one as it lies.
async fn states(cluster: &Cluster, folder: &Path, size: &Size) -> Result<Vec<Found>, Failure> {
    // Brokers live for as long as the first controller does, so that it registers and unfences them.
    let held = cluster.hold_brokers().await?;
    let mut controller = cluster.start()?;
    let result = written_and_killed(cluster, &mut controller, folder, size).await;
    end(&mut controller).await;
    held.release().await;
    let mut found = result?;

    // Mends what the kill left, and closes.
    let mut command = cluster.command("migrate", &["--until", "dual-write", "--unserved-brokers"])?;
    command.arg("--zookeeper-config").arg(&cluster.config);
    finished("migrate after the kill", command).await?;
    cluster.grow().await?;
    let (segments, snapshots) = (log_files(&cluster.data_dir, ".log")?, log_files(&cluster.data_dir, ".checkpoint")?);
    if segments.len() < 2 || snapshots.is_empty() {
        let counts = format!("{} segments, {} snapshots", segments.len(), snapshots.len());
        return Err(Failure::failed("the closed log is not what was to be read").why(counts));
    }
    let mut files = [segments, snapshots].concat();
    files.push(cluster.data_dir.join("bootstrap.checkpoint"));
    found.push(Found { state: "closed", files, may_be_torn: false });
    Ok(found)
}

async fn written_and_killed(
    cluster: &Cluster,
    controller: &mut Child,
    folder: &Path,
    size: &Size,
) -> Result<Vec<Found>, Failure> {
    wait_for_dual_write(&cluster.data_dir, controller).await?;
    finished("change", cluster.command("change", &["random", "--count", size.changes, "--seed", "70"])?).await?;
    let changing = cluster.command("change", &["random", "--count", WITHOUT_END, "--seed", "71"])?;
    let (_, live) = tokio::join!(output(changing), async {
        // The changes are under way; what is copied now is a log in the middle of them.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let live = copied(&log_files(&cluster.data_dir, ".log")?, &folder.join("live"));
        tokio::time::sleep(Duration::from_millis(300)).await;
        end(controller).await;
        live
    });
    let killed = copied(&log_files(&cluster.data_dir, ".log")?, &folder.join("killed"))?;
    Ok(vec![
        Found { state: "live", files: live?, may_be_torn: true },
        Found { state: "killed", files: killed, may_be_torn: true },
    ])
}

/// Copies of files, in a folder that is made.
fn copied(files: &[PathBuf], into: &Path) -> Result<Vec<PathBuf>, Failure> {
    let copy = || -> std::io::Result<Vec<PathBuf>> {
        fs::create_dir(into)?;
        let mut copies = Vec::new();
        for file in files {
            let copy = into.join(file.file_name().unwrap_or_default());
            fs::copy(file, &copy)?;
            copies.push(copy);
        }
        Ok(copies)
    };
    copy().map_err(|error| Failure::failed(format!("can't copy a log into {}", into.display())).because(&error))
}

/// A seeded cluster in a path of a ZooKeeper, and the data directory that it is migrated into.
struct Cluster {
    config: PathBuf,
    data_dir: PathBuf,
    account: Manifest,
}

impl Cluster {
    async fn seeded(zookeeper: &str, folder: &Path, size: &Size) -> Result<Self, Failure> {
        let [config, manifest] = ["kafka.properties", "manifest.json"].map(|name| folder.join(name));
        let mut command = this_program("seed")?;
        command.args(["--zookeeper", &format!("{zookeeper}/dumps"), "--seed", "70", "--topics", size.topics]);
        command.args(["--partitions-per-topic", "3", "--manifest"]).arg(&manifest);
        command.arg("--zookeeper-config-out").arg(&config);
        finished("seed", command).await?;
        let account = fs::read_to_string(&manifest)
            .map_err(|error| Failure::failed("can't read the seed's account").because(&error))?;
        let account: Manifest = serde_json::from_str(&account)
            .map_err(|error| Failure::failed("the seed's account is none").because(&error))?;
        Ok(Self { config, data_dir: folder.join("data"), account })
    }

    /// Registers the brokers of the seed in ZooKeeper, as if they lived.
    async fn hold_brokers(&self) -> Result<HeldBrokers, Failure> {
        let blueprint =
            Blueprint::new(self.account.options.clone()).map_err(|error| Failure::failed(error.to_string()))?;
        let settings = ZkSettings::load(&self.config)
            .map_err(|error| Failure::failed("the configuration can't be used").because(&error))?;
        let connector = settings.client.connector()?;
        HeldBrokers::register(connector.as_ref(), blueprint.brokers().collect(), settings.secure_acls).await
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Result<Command, Failure> {
        let mut command = this_program(verb)?;
        command.args(arguments).arg("--data-dir").arg(&self.data_dir);
        Ok(command)
    }

    fn start(&self) -> Result<Child, Failure> {
        let mut command = self.command("migrate", &["--unserved-brokers"])?;
        command.arg("--zookeeper-config").arg(&self.config);
        // Nobody reads what it says; a full pipe must not hold it.
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().map_err(|error| Failure::failed("can't start migrate").because(&error))
    }

    /// Adds records until a second segment is begun, takes a snapshot, and closes.
    async fn grow(&self) -> Result<(), Failure> {
        let mut options = KraftLogOptions::new(&self.data_dir, NodeId(3000), &self.account.cluster_id);
        options.segment_bytes = SEGMENT_BYTES_MIN;
        let log = KraftLog::open(options).await?;
        let epoch = log.leadership(None).await?.epoch;
        // Long values fill a segment with few records; a text has at most 32 KiB.
        for round in 0.. {
            if log_files(&self.data_dir, ".log")?.len() > 1 {
                break;
            }
            let record = |number: u32| ConfigRecord {
                resource_type: 4,
                resource_name: "1".to_owned(),
                name: format!("long.{round}.{number}"),
                value: Some("x".repeat(30_000)),
                ..Default::default()
            };
            let records = (0..20).map(|number| VersionedRecord::new(record(number), 0)).collect();
            let expected = Some(log.image().position().end_offset);
            log.append(Append { epoch, expected, txn: Txn::None, records }).await?;
        }
        log.snapshot().await?;
        log.shutdown().await?;
        Ok(())
    }
}
