//! We read Kafka's: every file that real controllers leave is decoded, record by record as Kafka's own tool decodes it, and
//! replayed into the image that it should give.

mod changes;
mod cluster;
mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use serde::Serialize;
use store_kraft::log::FoundQuorumState;
use tokio::time::{Instant, sleep};

use self::changes::Listed;
use self::cluster::{CONTROLLER, KraftCluster, Quorum};
use super::agreement::{Agreement, agreement, log_files};
use super::{Findings, Lab, PartOptions};
use crate::cli::Failure;
use crate::controller::LogOnDisk;
use crate::kafka::{Kafka, Program, Release};

/// What must have been there to be read, of both releases, each in its newest version.
const TYPES: [(&str, i64); 24] = [
    ("ACCESS_CONTROL_ENTRY_RECORD", 0),
    ("BEGIN_TRANSACTION_RECORD", 0),
    ("BROKER_REGISTRATION_CHANGE_RECORD", 0),
    ("BROKER_REGISTRATION_CHANGE_RECORD", 1),
    ("CLIENT_QUOTA_RECORD", 0),
    ("CONFIG_RECORD", 0),
    ("DELEGATION_TOKEN_RECORD", 0),
    ("END_TRANSACTION_RECORD", 0),
    ("FEATURE_LEVEL_RECORD", 0),
    ("KRAFT_VERSION", 0),
    ("KRAFT_VOTERS", 0),
    ("LEADER_CHANGE", 0),
    ("NO_OP_RECORD", 0),
    ("PRODUCER_IDS_RECORD", 0),
    ("REGISTER_CONTROLLER_RECORD", 0),
    ("REMOVE_ACCESS_CONTROL_ENTRY_RECORD", 0),
    ("REMOVE_DELEGATION_TOKEN_RECORD", 0),
    ("REMOVE_TOPIC_RECORD", 0),
    ("REMOVE_USER_SCRAM_CREDENTIAL_RECORD", 0),
    ("SNAPSHOT_FOOTER", 0),
    ("SNAPSHOT_HEADER", 0),
    ("TOPIC_RECORD", 0),
    ("UNREGISTER_BROKER_RECORD", 0),
    ("USER_SCRAM_CREDENTIAL_RECORD", 0),
];

/// The same, of Kafka 3.9 alone.
const TYPES_3_9: [(&str, i64); 4] = [
    ("PARTITION_CHANGE_RECORD", 1),
    ("PARTITION_RECORD", 1),
    ("REGISTER_BROKER_RECORD", 3),
    ("ZK_MIGRATION_STATE_RECORD", 0),
];

/// The same, of Kafka 4.4 alone.
const TYPES_4: [(&str, i64); 6] = [
    ("BROKER_REGISTRATION_CHANGE_RECORD", 3),
    ("CLEAR_ELR_RECORD", 0),
    ("PARTITION_CHANGE_RECORD", 2),
    ("PARTITION_RECORD", 2),
    ("REGISTER_BROKER_RECORD", 4),
    ("UNREGISTER_CONTROLLER_RECORD", 0),
];

/// How long a log may take to grow under a change.
const GROWTH_MAX: Duration = Duration::from_secs(60);

/// What was read of one release.
#[derive(Default, Serialize)]
struct Read {
    clusters: usize,
    files: usize,
    segments: usize,
    snapshots: usize,
    batches: u64,
    records: u64,
    /// Records by type.
    types: BTreeMap<String, u64>,
    unknown: u64,
    differences: usize,
    images_compared: usize,
    #[serde(skip)]
    versions: BTreeSet<(String, i64)>,
}

pub(super) async fn run(lab: &Lab, options: PartOptions) -> Result<Findings, Failure> {
    let mut findings = Findings::new();
    let mut fields = BTreeMap::new();
    for release in [Release::V3_9, Release::V4] {
        let kafka = lab.kafka(release).await?;
        let mut read = Read::default();
        for quorum in [Quorum::Static, Quorum::Dynamic] {
            let name = format!("{release}-{}", quorum.name());
            lab.note(format_args!("Kafka {release}, voters {}: a cluster is started and changed", quorum.name()));
            let (data_dir, listed) = written(lab, &kafka, &name, quorum).await?;
            lab.note(format_args!("reading {name}"));
            let found = read_all(lab, &kafka, &name, (&data_dir, quorum), &mut read, &mut findings).await?;
            images(lab, &name, &data_dir, &listed, &mut read, &mut findings)?;
            quorum_state(&name, &data_dir, quorum, &mut findings);
            if let Some(keep) = &options.keep {
                keep::keep(&keep.join(&name), &data_dir, &found)?;
            }
        }
        missing(release, &read, &mut findings);
        findings.say(format!(
            "Kafka {release}: {} clusters, {} segments and {} snapshots, {} batches, {} records of {} types, {} unknown, \
             {} differences, {} images compared",
            read.clusters,
            read.segments,
            read.snapshots,
            read.batches,
            read.records,
            read.types.len(),
            read.unknown,
            read.differences,
            read.images_compared
        ));
        fields.insert(release.to_string(), read);
    }
    findings.field("reads", fields);
    Ok(findings)
}

/// Has a cluster write, and ends it: with static voters in an orderly way after all kinds of changes, with voters in the log
/// by killing the controller amid a change.
async fn written(lab: &Lab, kafka: &Kafka, name: &str, quorum: Quorum) -> Result<(PathBuf, Listed), Failure> {
    let mut cluster = KraftCluster::start(lab, kafka, name, quorum).await?;
    let listed = match quorum {
        Quorum::Static => {
            changes::all(&mut cluster).await?;
            let listed = changes::listed(&cluster).await?;
            for broker in &mut cluster.brokers {
                broker.stop().await.map_err(super::lab::failed("a broker does not stop"))?;
            }
            cluster.controller.stop().await.map_err(super::lab::failed("a controller does not stop"))?;
            listed
        }
        Quorum::Dynamic => {
            changes::few(&cluster).await?;
            if kafka.release() == Release::V4 {
                changes::controller_comes_and_goes(&cluster).await?;
            }
            let listed = changes::listed(&cluster).await?;
            kill_amid_a_change(&mut cluster).await?;
            listed
        }
    };
    Ok((cluster.data_dir(), listed))
}

/// Kills the controller as soon as a large change reaches its log.
async fn kill_amid_a_change(cluster: &mut KraftCluster) -> Result<(), Failure> {
    let data_dir = cluster.data_dir();
    let before = log_size(&data_dir)?;
    let large = ["--create", "--topic", "large", "--partitions", "500", "--replication-factor", "2"];
    let grown = async {
        let deadline = Instant::now() + GROWTH_MAX;
        // More than what a log gets while nothing happens.
        while log_size(&data_dir)? < before + 20_000 {
            if Instant::now() > deadline {
                return Err(Failure::failed("the log of a controller does not grow under a change"));
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    };
    // The tool waits for an answer that will not come; it ends with this scope.
    tokio::select! {
        grown = grown => grown?,
        done = cluster.tool(Program::Topics, &large) => drop(done?),
    }
    cluster.controller.kill();
    Ok(())
}

fn log_size(data_dir: &Path) -> Result<u64, Failure> {
    let sizes = log_files(data_dir, ".log")?.into_iter().map(|file| fs::metadata(&file).map_or(0, |found| found.len()));
    Ok(sizes.sum())
}

/// Both tools on every file.
async fn read_all(
    lab: &Lab,
    kafka: &Kafka,
    name: &str,
    (data_dir, quorum): (&Path, Quorum),
    read: &mut Read,
    findings: &mut Findings,
) -> Result<Vec<Agreement>, Failure> {
    let (segments, mut files) = (log_files(data_dir, ".log")?, log_files(data_dir, ".checkpoint")?);
    // Kafka 4 puts its first records into a snapshot at offset 0 instead.
    files.extend([data_dir.join("bootstrap.checkpoint")].into_iter().filter(|file| file.exists()));
    // One that is killed early has no second segment.
    let needed = if quorum == Quorum::Static { 2 } else { 1 };
    if segments.len() < needed || files.len() < needed {
        let counts = format!("{} segments and {} snapshots", segments.len(), files.len());
        findings.not_run(format!("{name}: there were only {counts} to be read"));
    }
    read.clusters += 1;
    (read.segments, read.snapshots) = (read.segments + segments.len(), read.snapshots + files.len());
    files.extend(segments);
    let found = agreement(kafka, &files).await?;
    for Agreement { file, theirs, unknown, differences } in &found {
        let file = file.strip_prefix(lab.path()).unwrap_or(file).display().to_string();
        read.files += 1;
        read.batches += theirs.batches.len() as u64;
        read.records += theirs.records();
        read.unknown += unknown;
        read.differences += differences.len();
        read.versions.extend(theirs.kinds());
        for (kind, count) in theirs.types() {
            *read.types.entry(kind).or_default() += count;
        }
        if *unknown > 0 {
            findings.broken(format!("{file}: {unknown} records are of types or versions that we do not know"));
        }
        for difference in differences {
            findings.broken(format!("{file}: {difference}"));
        }
    }
    Ok(found)
}

/// The image of the newest snapshot and the log behind it is that of the whole log, and has what the tools listed.
fn images(
    lab: &Lab,
    name: &str,
    data_dir: &Path,
    listed: &Listed,
    read: &mut Read,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let from_newest = LogOnDisk::read(data_dir, None)?;
    let whole = lab.folder(&format!("{name}-whole"))?;
    without_later_snapshots(data_dir, &whole)?;
    let from_start = LogOnDisk::read(&whole, None)?;
    read.images_compared += 1;
    if from_newest.end != from_start.end {
        findings.broken(format!("{name}: the log ends at {:?} or at {:?}", from_newest.end, from_start.end));
    }
    if !from_newest.image.same_metadata(&from_start.image) {
        let parts = unlike_parts(&from_newest.image, &from_start.image).join(", ");
        findings.broken(format!("{name}: the newest snapshot and the whole log give different images: {parts}"));
    }
    let mut topics: Vec<String> = from_newest.image.topics().iter().map(|(_, name)| name.to_string()).collect();
    topics.sort();
    // What the controller was killed at was not there when the tools were asked.
    topics.retain(|topic| topic != "large" || listed.topics.contains(topic));
    if topics != listed.topics {
        findings.broken(format!("{name}: Kafka lists the topics {:?}, our image has {topics:?}", listed.topics));
    }
    let acls = from_newest.image.acls().len();
    if acls != listed.acls {
        findings.broken(format!("{name}: Kafka lists {} access control entries, our image has {acls}", listed.acls));
    }
    Ok(())
}

/// Copies the log into another data directory, with no snapshot but the one that it begins with.
fn without_later_snapshots(data_dir: &Path, into: &Path) -> Result<(), Failure> {
    let partition = into.join("__cluster_metadata-0");
    let copy = |files: &[PathBuf]| -> std::io::Result<()> {
        fs::create_dir(&partition)?;
        for file in files {
            fs::copy(file, partition.join(file.file_name().unwrap_or_default()))?;
        }
        Ok(())
    };
    let mut files = log_files(data_dir, ".log")?;
    files.extend(log_files(data_dir, "00000000000000000000-0000000000.checkpoint")?);
    copy(&files).map_err(|error| Failure::failed(format!("can't copy a log into {}", into.display())).because(&error))
}

fn unlike_parts(one: &MetadataImage, other: &MetadataImage) -> Vec<&'static str> {
    let parts = [
        ("features", one.features() == other.features()),
        ("registrations", one.cluster() == other.cluster()),
        ("topics", one.topics() == other.topics()),
        ("configs", one.configs() == other.configs()),
        ("quotas", one.quotas() == other.quotas()),
        ("producer ids", one.producer_id() == other.producer_id()),
        ("access control entries", one.acls() == other.acls()),
        ("credentials", one.scram() == other.scram()),
        ("tokens", one.tokens() == other.tokens()),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect()
}

/// The file says that the controller led, and who may vote.
fn quorum_state(name: &str, data_dir: &Path, quorum: Quorum, findings: &mut Findings) {
    let found = match FoundQuorumState::read(&data_dir.join("__cluster_metadata-0").join("quorum-state")) {
        Ok(found) => found,
        Err(error) => return findings.broken(format!("{name}: {error}")),
    };
    let me = NodeId(CONTROLLER);
    let (version, voters) = match quorum {
        Quorum::Static => (0, vec![me]),
        Quorum::Dynamic => (1, Vec::new()),
    };
    let as_expected = found.version == version && found.voters == voters && found.leader == Some(me);
    if !as_expected || found.leader_epoch.0 < 1 {
        findings.broken(format!("{name}: quorum-state is not what such a controller has: {found:?}"));
    }
}

/// What was not there to be read was not tried.
fn missing(release: Release, read: &Read, findings: &mut Findings) {
    let of_release: &[(&str, i64)] = if release == Release::V4 { &TYPES_4 } else { &TYPES_3_9 };
    for (kind, version) in TYPES.iter().chain(of_release) {
        if !read.versions.contains(&((*kind).to_owned(), *version)) {
            findings.not_run(format!("Kafka {release} wrote no {kind} of version {version} that could be read"));
        }
    }
}
