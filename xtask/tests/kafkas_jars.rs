//! Kafka's own `DumpLogSegments`, from Kafka's jars, reads every file that a controller leaves, and finds in it what our
//! `dump-log` finds: batch by batch and record by record.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

#[path = "real_migration/harness.rs"]
#[expect(dead_code, reason = "shared with the tests of migrations, which use all of it")]
mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use metadata_core::id::NodeId;
use metadata_core::log::{Append, MetadataLog as _};
use metadata_core::record::{ConfigRecord, VersionedRecord};
use metadata_core::store::Txn;
use store_kraft::{KraftLog, KraftLogOptions, SEGMENT_BYTES_MIN};
use xtask::kafka::agree::TYPES_OF_OURS;
use xtask::kafka::agree::{Told, differences, kafkas, ours};
use xtask::kafka::{Kafka, Release};

use self::harness::{Cluster, Running, xtask};

async fn kafka() -> Kafka {
    tokio::task::spawn_blocking(|| Kafka::find(Release::V3_9, &|line| eprintln!("{line}")).unwrap()).await.unwrap()
}

/// What both tools say of a file.
async fn told(kafka: &Kafka, file: &Path) -> [Told; 2] {
    let dump = kafka.dump_files(&[file.to_owned()]).await.unwrap().remove(0);
    let lines = xtask(&["dump-log", "--show-secrets", file.to_str().unwrap()]).await.stdout;
    let size = fs::metadata(file).unwrap().len();
    [kafkas(kafka.release(), &dump).unwrap(), ours(kafka.release(), &lines, size).unwrap()]
}

/// Both tools read the whole file and agree on it. Returns what they say.
async fn both_agree(kafka: &Kafka, file: &Path) -> Told {
    let [kafkas, ours] = told(kafka, file).await;
    assert_eq!(differences(&kafkas, &ours), Vec::<String>::new(), "{}", file.display());
    assert_eq!((kafkas.torn_bytes, ours.unknown), (0, 0), "{}", file.display());
    assert!(kafkas.records() > 0, "{}", file.display());
    kafkas
}

/// The files of the data directory that end like this, in order.
fn files(data_dir: &Path, end: &str) -> Vec<PathBuf> {
    let partition = fs::read_dir(data_dir.join("__cluster_metadata-0")).unwrap();
    let mut files: Vec<_> = partition.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_str().unwrap().ends_with(end));
    files.sort();
    files
}

fn options(cluster: &Cluster) -> KraftLogOptions {
    KraftLogOptions::new(cluster.data_dir(), NodeId(3000), &cluster.manifest.cluster_id)
}

/// Makes changes until a second segment is begun, and takes a snapshot.
async fn grow(cluster: &Cluster) {
    let mut options = options(cluster);
    options.segment_bytes = SEGMENT_BYTES_MIN;
    let log = KraftLog::open(options).await.unwrap();
    let epoch = log.leadership(None).await.unwrap().epoch;
    // Long values fill a segment with few records; a text has at most 32 KiB.
    for i in 0.. {
        if files(Path::new(&cluster.data_dir()), ".log").len() > 1 {
            break;
        }
        let record = |j: u32| ConfigRecord {
            resource_type: 4,
            resource_name: "1".to_owned(),
            name: format!("long.{i}.{j}"),
            value: Some("x".repeat(30_000)),
            ..Default::default()
        };
        let records = (0..20).map(|j| VersionedRecord::new(record(j), 0)).collect();
        let expected = Some(log.image().position().end_offset);
        log.append(Append { epoch, expected, txn: Txn::None, records }).await.unwrap();
    }
    log.snapshot().await.unwrap();
    log.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_reads_every_file_of_a_migrated_cluster_as_we_do() {
    let kafka = kafka().await;
    let cluster = Cluster::seeded(70).await;
    let running = Running::start(&cluster).await;
    cluster.get("change", &["random", "--count", "2000", "--seed", "70"]).await;
    assert_eq!(running.stop().await.code, Some(0));
    grow(&cluster).await;

    let data_dir = PathBuf::from(cluster.data_dir());
    let (segments, snapshots) = (files(&data_dir, ".log"), files(&data_dir, ".checkpoint"));
    assert!(segments.len() >= 2 && !snapshots.is_empty(), "{segments:?} {snapshots:?}");
    let mut types = BTreeSet::new();
    for segment in &segments {
        types.extend(both_agree(&kafka, segment).await.types().into_keys());
    }
    let missing: Vec<_> = TYPES_OF_OURS.iter().filter(|name| !types.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {types:?}");
    for snapshot in &snapshots {
        let types = both_agree(&kafka, snapshot).await.types();
        assert!(types.len() >= 8, "{}: {types:?}", snapshot.display());
    }
    both_agree(&kafka, &data_dir.join("bootstrap.checkpoint")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_reads_what_a_killed_controller_had_committed() {
    let kafka = kafka().await;
    let cluster = Cluster::seeded(71).await;
    let running = Running::start(&cluster).await;
    let made = cluster.get("change", &["random", "--count", "500", "--seed", "71"]).await;
    // Killed while more changes are on their way, which fail with it.
    let (_, ()) = tokio::join!(cluster.ask("change", &["random", "--count", "50000"]), async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        running.kill().await;
    });

    let segments = files(Path::new(&cluster.data_dir()), ".log");
    let mut found = Vec::new();
    for segment in &segments {
        let [kafkas, ours] = told(&kafka, segment).await;
        assert_eq!(differences(&kafkas, &ours), Vec::<String>::new(), "torn or not, both say the same");
        found.push(kafkas);
    }
    let last = found.iter().flat_map(|told| &told.batches).next_back().unwrap().header["lastOffset"].as_i64().unwrap();
    assert!(last >= made["last_offset"].as_i64().unwrap(), "what was acknowledged and applied is there: {last}");

    // The next open cuts a torn end, and would refuse one that reaches below what the sidecar says.
    let log = KraftLog::open(options(&cluster)).await.unwrap();
    let torn = log.recovery().torn_kafka_log.is_some();
    log.shutdown().await.unwrap();
    assert_eq!(torn, found.iter().any(|told| told.torn_bytes > 0), "both tools see the torn end");
    let mended = files(Path::new(&cluster.data_dir()), ".log");
    assert!(mended.starts_with(&segments), "{mended:?} {segments:?}");
    for (segment, before) in segments.iter().zip(&found) {
        let now = both_agree(&kafka, segment).await;
        assert!(now.batches.starts_with(&before.batches), "{}", segment.display());
    }
}
