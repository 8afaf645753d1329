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
use serde_json::{Map, Value, json};
use store_kraft::{KraftLog, KraftLogOptions, SEGMENT_BYTES_MIN};
use xtask::kafka::{Kafka, KafkaBatch, KafkaDump, KafkaRecord, RecordText, Release};

use self::harness::{Cluster, Running, xtask};

/// Fields that Kafka's tool leaves out while they have these values: those that the record's schema tags. Ours prints
/// every field. In JSON, so that the table is one constant.
const TAGGED_DEFAULTS: [(&str, &str, &str); 8] = [
    ("PARTITION_RECORD", "leaderRecoveryState", "0"),
    ("PARTITION_CHANGE_RECORD", "isr", "null"),
    ("PARTITION_CHANGE_RECORD", "leader", "-2"),
    ("PARTITION_CHANGE_RECORD", "replicas", "null"),
    ("PARTITION_CHANGE_RECORD", "removingReplicas", "null"),
    ("PARTITION_CHANGE_RECORD", "addingReplicas", "null"),
    ("PARTITION_CHANGE_RECORD", "leaderRecoveryState", "-1"),
    ("PARTITION_CHANGE_RECORD", "directories", "null"),
];

/// The types of records that a copy of the seed and every kind of change leave in a log.
const TYPES: [&str; 16] = [
    "ACCESS_CONTROL_ENTRY_RECORD",
    "BEGIN_TRANSACTION_RECORD",
    "CLIENT_QUOTA_RECORD",
    "CONFIG_RECORD",
    "DELEGATION_TOKEN_RECORD",
    "END_TRANSACTION_RECORD",
    "FEATURE_LEVEL_RECORD",
    "PARTITION_CHANGE_RECORD",
    "PARTITION_RECORD",
    "PRODUCER_IDS_RECORD",
    "REMOVE_ACCESS_CONTROL_ENTRY_RECORD",
    "REMOVE_DELEGATION_TOKEN_RECORD",
    "REMOVE_TOPIC_RECORD",
    "TOPIC_RECORD",
    "USER_SCRAM_CREDENTIAL_RECORD",
    "ZK_MIGRATION_STATE_RECORD",
];

/// A batch, then its records, as both tools tell it.
type Batch = (Value, Vec<Value>);

async fn kafka() -> Kafka {
    tokio::task::spawn_blocking(|| Kafka::find(Release::V3_9, &|line| eprintln!("{line}")).unwrap()).await.unwrap()
}

async fn kafkas(kafka: &Kafka, file: &Path) -> KafkaDump {
    let (kafka, file) = (kafka.clone(), file.to_owned());
    let dump = tokio::task::spawn_blocking(move || kafka.dump(&file).unwrap()).await.unwrap();
    assert!(dump.batches.iter().all(|batch| batch.is_valid), "{dump:#?}");
    dump
}

/// What Kafka says, in our words.
fn in_our_words(dump: &KafkaDump) -> Vec<Batch> {
    let batch = |batch: &KafkaBatch| {
        json!({
            "position": batch.position, "size": batch.size, "baseOffset": batch.base_offset,
            "lastOffset": batch.last_offset, "count": batch.count, "partitionLeaderEpoch": batch.epoch,
            "isControl": batch.is_control, "timestamp": batch.timestamp, "crc": batch.crc,
        })
    };
    let record = |record: &KafkaRecord| {
        let said = match &record.text {
            RecordText::Metadata(said) => said.clone(),
            // The one control record whose fields Kafka does not print.
            RecordText::Control(kind, None) => json!({"type": kind, "version": 0, "data": null}),
            RecordText::Control(kind, Some(data)) => json!({"type": kind, "version": 0, "data": data}),
        };
        let placed = json!({"offset": record.offset, "valueSize": record.value_size});
        joined(placed, said)
    };
    dump.batches.iter().map(|it| (batch(it), it.records.iter().map(record).collect())).collect()
}

fn joined(one: Value, other: Value) -> Value {
    let objects = [one, other].map(|value| value.as_object().unwrap().clone());
    objects.into_iter().flatten().collect::<Map<_, _>>().into()
}

/// What our `dump-log` says of a file, in as many words as Kafka.
async fn ours(file: &Path) -> Vec<Batch> {
    let dumped = xtask(&["dump-log", "--show-secrets", file.to_str().unwrap()]).await;
    let mut batches: Vec<Batch> = Vec::new();
    for line in dumped.stdout.lines() {
        let Value::Object(mut line) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        match line.remove("item").unwrap().as_str().unwrap() {
            "batch" => {
                line.remove("file");
                batches.push((line.into(), Vec::new()));
            }
            "record" => batches.last_mut().unwrap().1.push(without_what_kafka_leaves_out(line)),
            _ => {}
        }
    }
    batches
}

fn without_what_kafka_leaves_out(mut record: Map<String, Value>) -> Value {
    let kind = record["type"].as_str().unwrap().to_owned();
    if kind == "LEADER_CHANGE" {
        record["data"] = Value::Null;
    } else if kind.starts_with("SNAPSHOT_") {
        record["type"] = if kind == "SNAPSHOT_HEADER" { "SnapshotHeader" } else { "SnapshotFooter" }.into();
    }
    for (_, field, default) in TAGGED_DEFAULTS.iter().filter(|(of, ..)| *of == kind) {
        let data = record["data"].as_object_mut().unwrap();
        let default: Value = serde_json::from_str(default).unwrap();
        if data.get(*field) == Some(&default) {
            data.remove(*field);
        }
    }
    record.into()
}

fn assert_equal(kafkas: &[Batch], ours: &[Batch], file: &Path) {
    for (kafkas, ours) in kafkas.iter().zip(ours) {
        assert_eq!(kafkas.0, ours.0, "{}", file.display());
        for (kafkas, ours) in kafkas.1.iter().zip(&ours.1) {
            assert_eq!(kafkas, ours, "{}", file.display());
        }
        assert_eq!(kafkas.1.len(), ours.1.len(), "{}: {}", file.display(), ours.0);
    }
    assert_eq!(kafkas.len(), ours.len(), "{}", file.display());
}

/// Both tools read the whole file and agree on it. Returns Kafka's dump.
async fn both_agree(kafka: &Kafka, file: &Path) -> KafkaDump {
    let dump = kafkas(kafka, file).await;
    assert_eq!(dump.invalid_bytes, 0, "{}", file.display());
    assert!(dump.records().count() > 0, "{}", file.display());
    assert_equal(&in_our_words(&dump), &ours(file).await, file);
    dump
}

fn types_in(dump: &KafkaDump) -> BTreeSet<String> {
    let kind = |record: &KafkaRecord| match &record.text {
        RecordText::Metadata(said) => Some(said["type"].as_str().unwrap().to_owned()),
        RecordText::Control(..) => None,
    };
    dump.records().filter_map(kind).collect()
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
        types.extend(types_in(&both_agree(&kafka, segment).await));
    }
    let missing: Vec<_> = TYPES.iter().filter(|name| !types.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {types:?}");
    for snapshot in &snapshots {
        let types = types_in(&both_agree(&kafka, snapshot).await);
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
        let dump = kafkas(&kafka, segment).await;
        found.push((dump.invalid_bytes, in_our_words(&dump)));
    }
    let last = found.iter().flat_map(|(_, batches)| batches).next_back().unwrap().0["lastOffset"].as_i64().unwrap();
    assert!(last >= made["last_offset"].as_i64().unwrap(), "what was acknowledged and applied is there: {last}");

    // The next open cuts a torn end, and would refuse one that reaches below what the sidecar says.
    let log = KraftLog::open(options(&cluster)).await.unwrap();
    let torn = log.recovery().torn_kafka_log.is_some();
    log.shutdown().await.unwrap();
    assert_eq!(torn, found.iter().any(|(invalid, _)| *invalid > 0), "both tools see the torn end");
    let mended = files(Path::new(&cluster.data_dir()), ".log");
    assert!(mended.starts_with(&segments), "{mended:?} {segments:?}");
    for (segment, (_, before)) in segments.iter().zip(&found) {
        let now = in_our_words(&both_agree(&kafka, segment).await);
        assert!(now.len() >= before.len(), "{}", segment.display());
        assert_equal(before, &now[..before.len()], segment);
    }
}
