//! `cargo xtask dump-log`: every batch and record of a metadata log, as JSON.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata_core::record::{FieldValue, Fields as RecordFields, RecordKind};
use serde_json::{Map, Value, json};
use store_kraft::log::{Damage, Dump, DumpItem, DumpedBatch, DumpedRecord, RecordContent, UnknownRecord, Unreadable};

use crate::cli::{Failure, Outcome, Shell, VerbResult};
use crate::control::is_held;
use crate::controller::is_torn_end;

/// Stands for a secret.
const REDACTED: &str = "[redacted]";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A data directory, its __cluster_metadata-0, or a single .log or .checkpoint file
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Show credentials and the values of configs
    #[arg(long)]
    show_secrets: bool,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    // Asked before: what is being written while we read must not look like damage.
    let held = is_held(&args.path).await;
    let shell = shell.clone();
    let dumping = tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::new(io::stdout().lock());
        let dumped = dump(&args, held, &mut out, &shell);
        // Nobody may be reading any more, which is no reason to fail.
        drop(out.flush());
        dumped
    });
    dumping.await.map_err(|error| Failure::failed("the log was not dumped").because(&error))?
}

#[derive(Default)]
struct Counts {
    batches: u64,
    records: u64,
    /// Of types that we know, with wrong bytes.
    unreadable: u64,
    /// Of a newer Kafka.
    unknown: BTreeMap<UnknownRecord, u64>,
}

fn dump(args: &Args, held: bool, out: &mut impl Write, shell: &Shell) -> VerbResult {
    let mut counts = Counts::default();
    let mut damage = Vec::new();
    let mut line = |line: Value| {
        // As above: the counts are still worth having.
        drop(writeln!(out, "{line}"));
    };
    let items = Dump::open(&args.path).map_err(|error| {
        Failure::from(error).next("name a data directory, its __cluster_metadata-0, or a file of it")
    })?;
    for item in items {
        match item.map_err(|error| Failure::from(error).next("check the path and its permissions"))? {
            DumpItem::Batch(batch) => {
                counts.batches += 1;
                line(batch_line(&batch));
                for record in &batch.records {
                    counts.records += 1;
                    match &record.content {
                        Ok(_) => {}
                        Err(Unreadable::Unknown(unknown)) => *counts.unknown.entry(*unknown).or_default() += 1,
                        Err(Unreadable::Damaged(_)) => counts.unreadable += 1,
                    }
                    line(record_line(record, args.show_secrets));
                }
            }
            DumpItem::Damage(found) if held && is_torn_end(&found) => {
                shell.note(format_args!("{} is being written: its last batch is not whole yet", found.file.display()));
            }
            DumpItem::Damage(found) => {
                line(damage_line(&found));
                damage.push(found);
            }
        }
    }
    conclude(args, &counts, &damage, shell)
}

fn conclude(args: &Args, counts: &Counts, damage: &[Damage], shell: &Shell) -> VerbResult {
    let Counts { batches, records, unreadable, unknown } = counts;
    let summary = format!("{batches} batches, {records} records");
    let damaged = !damage.is_empty() || *unreadable > 0;
    if !damaged && unknown.is_empty() {
        shell.note(summary);
        let outcome = Outcome::done().field("batches", batches).field("records", records);
        return Ok(outcome.field("damage", json!([])).field("unknown", json!([])));
    }
    if *batches == 0 && damaged && !has_a_logs_name(&args.path) {
        let reasons = damage.iter().map(ToString::to_string);
        return Err(Failure::failed(format!("{} is no metadata log", args.path.display()))
            .whys(reasons)
            .next("name a data directory, its __cluster_metadata-0, or a .log or .checkpoint file of it"));
    }
    let what = if damaged { "is damaged" } else { "has records of a newer Kafka" };
    let what = format!("{} {what}", args.path.display());
    let mut failure = if damaged { Failure::damaged(what) } else { Failure::failed(what) };
    for found in damage {
        failure = failure.why(found.to_string());
        if is_torn_end(found) {
            failure = failure.next("a torn end is what a killed process leaves: the next `migrate` mends it");
        }
    }
    if *unreadable > 0 {
        failure = failure.why(format!("{unreadable} records can't be read: see their lines"));
    }
    if damaged {
        failure = failure.next("restore the data directory from a backup, unless only its end is torn");
    }
    for (which, count) in unknown {
        failure = failure.why(format!("unknown {which}: {count} of them"));
    }
    if !unknown.is_empty() {
        failure = failure.next("what these records say is not known here: read this log with the Kafka that wrote it");
    }
    let damage: Vec<_> = damage.iter().map(damage_line).collect();
    let unknown: Vec<_> = unknown.iter().map(|(which, count)| unknown_kind(*which, Some(*count))).collect();
    Err(failure.field("batches", batches).field("records", records).field("damage", damage).field("unknown", unknown))
}

/// Whether a damaged file that has no batch was a log: a directory's files are told by their names, other files by these.
fn has_a_logs_name(path: &Path) -> bool {
    let is_logs = |extension: &std::ffi::OsStr| extension == "log" || extension == "checkpoint";
    path.is_dir() || path.extension().is_some_and(is_logs)
}

/// A kind of record that we don't know, by Kafka's numbers, and how many there are.
fn unknown_kind(unknown: UnknownRecord, count: Option<u64>) -> Value {
    let mut kind = match unknown {
        UnknownRecord::Metadata(RecordKind { api_key, version }) => json!({"apiKey": api_key, "version": version}),
        UnknownRecord::Control(control_type) => json!({"controlType": control_type}),
    };
    if let (Some(object), Some(count)) = (kind.as_object_mut(), count) {
        object.insert("records".to_owned(), count.into());
    }
    kind
}

fn batch_line(batch: &DumpedBatch) -> Value {
    let header = &batch.header;
    json!({
        "item": "batch",
        "file": batch.file.display().to_string(),
        "position": batch.position,
        "size": header.size,
        "baseOffset": header.base_offset.0,
        "lastOffset": header.end_offset().0 - 1,
        "count": header.records,
        "partitionLeaderEpoch": header.epoch.0,
        "isControl": header.control,
        "timestamp": header.timestamp.0,
        "crc": header.crc,
    })
}

/// A record as a line of JSON.
pub(super) fn record_line(record: &DumpedRecord, show_secrets: bool) -> Value {
    let mut line = Map::new();
    line.insert("item".to_owned(), "record".into());
    line.insert("offset".to_owned(), record.offset.0.into());
    line.insert("valueSize".to_owned(), record.value_len.into());
    match &record.content {
        Ok(RecordContent::Metadata(metadata)) => {
            line.insert("type".to_owned(), metadata.record.name().into());
            line.insert("version".to_owned(), metadata.version.into());
            line.insert("data".to_owned(), fields(metadata.fields(), show_secrets));
        }
        Ok(RecordContent::Control(control)) => {
            line.insert("type".to_owned(), control.name().into());
            line.insert("version".to_owned(), 0.into());
            line.insert("data".to_owned(), fields(control.fields(0), show_secrets));
        }
        Err(error) => {
            line.insert("error".to_owned(), error.to_string().into());
            if let Unreadable::Unknown(unknown) = error {
                line.insert("unknown".to_owned(), unknown_kind(*unknown, None));
            }
        }
    }
    line.into()
}

fn damage_line(damage: &Damage) -> Value {
    json!({
        "item": "damage",
        "file": damage.file.display().to_string(),
        "position": damage.position,
        "offset": damage.offset.map(|offset| offset.0),
        "reason": damage.reason,
    })
}

/// The fields of a record as JSON.
pub(crate) fn fields(fields: RecordFields, show_secrets: bool) -> Value {
    let values = fields.into_iter().map(|(name, field)| (name.to_owned(), value(field, show_secrets)));
    values.collect::<Map<_, _>>().into()
}

/// A field as JSON: bytes in base64, ids in Kafka's text form.
fn value(field: FieldValue, show_secrets: bool) -> Value {
    match field {
        FieldValue::Bool(value) => value.into(),
        FieldValue::Int(value) => value.into(),
        // JSON has no NaN and no infinity; their names are better than null.
        FieldValue::Double(value) => {
            serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)
        }
        FieldValue::Text(value) => value.into(),
        FieldValue::Bytes(value) => STANDARD.encode(value).into(),
        FieldValue::Uuid(value) => value.to_string().into(),
        FieldValue::List(values) => values.into_iter().map(|it| value(it, show_secrets)).collect::<Vec<_>>().into(),
        FieldValue::Struct(values) => fields(values, show_secrets),
        FieldValue::Null => Value::Null,
        FieldValue::Secret(secret) => match *secret {
            // That there is none is no secret.
            FieldValue::Null => Value::Null,
            secret if show_secrets => value(secret, true),
            _ => REDACTED.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, TimestampMs};
    use metadata_core::record::{
        ConfigRecord, LeaderChangeMessage, TopicRecord, UserScramCredentialRecord, VersionedRecord,
    };
    use store_kraft::batch::BatchBuilder;

    use super::*;

    fn metadata(record: impl Into<metadata_core::record::MetadataRecord>) -> DumpedRecord {
        let content = Ok(RecordContent::Metadata(VersionedRecord::new(record, 0)));
        DumpedRecord { offset: Offset(7), value_len: 9, content }
    }

    #[test]
    fn records_have_kafkas_names_and_fields() {
        let topic = TopicRecord {
            name: "orders".into(),
            topic_id: metadata_core::id::TopicId(metadata_core::uuid::Uuid::from_u64_pair(0, 1)),
            ..Default::default()
        };
        let expected = json!({
            "item": "record", "offset": 7, "valueSize": 9, "type": "TOPIC_RECORD", "version": 0,
            "data": {"name": "orders", "topicId": "AAAAAAAAAAAAAAAAAAAAAQ"},
        });
        assert_eq!(record_line(&metadata(topic), false), expected);
        let leader = LeaderChangeMessage { leader_id: NodeId(3000), ..Default::default() };
        let control =
            DumpedRecord { offset: Offset(0), value_len: 1, content: Ok(RecordContent::Control(leader.into())) };
        let line = record_line(&control, false);
        assert_eq!((&line["data"]["leaderId"], &line["version"]), (&3000.into(), &0.into()));
        assert!(line["type"].is_string());
    }

    #[test]
    fn secrets_are_shown_on_demand_alone() {
        let config =
            ConfigRecord { name: "ssl.key.password".into(), value: Some("hunter2".into()), ..Default::default() };
        let gone = ConfigRecord { value: None, ..config.clone() };
        let scram = UserScramCredentialRecord { salt: vec![1, 2, 3], iterations: 4096, ..Default::default() };
        assert_eq!(record_line(&metadata(config.clone()), false)["data"]["value"], "[redacted]");
        assert_eq!(record_line(&metadata(config), true)["data"]["value"], "hunter2");
        assert_eq!(record_line(&metadata(gone), false)["data"]["value"], Value::Null);
        let hidden = record_line(&metadata(scram.clone()), false);
        assert_eq!((&hidden["data"]["salt"], &hidden["data"]["iterations"]), (&"[redacted]".into(), &4096.into()));
        assert_eq!(record_line(&metadata(scram), true)["data"]["salt"], "AQID");
    }

    #[test]
    fn odd_numbers_have_names() {
        assert_eq!(value(FieldValue::Double(0.5), false), json!(0.5));
        assert_eq!(value(FieldValue::Double(f64::NAN), false), json!("NaN"));
        assert_eq!(value(FieldValue::Double(f64::NEG_INFINITY), false), json!("-inf"));
        assert_eq!(value(FieldValue::List(vec![FieldValue::Null, FieldValue::Bool(true)]), false), json!([null, true]));
    }

    #[test]
    fn a_file_that_is_no_log_is_told_from_a_damaged_one() {
        use crate::cli::Exit;

        let folder = tempfile::tempdir().unwrap();
        let shell = Shell::new("dump-log", true);
        let mut log = BatchBuilder::data(TimestampMs(1));
        log.push(&[1, 20, 0, 0]).unwrap();
        let log = log.finish(Offset(0), KRaftLeaderEpoch(1));
        for (name, bytes, exit, says) in [
            (
                "notes.txt",
                &b"this is no log, but it has enough bytes to look for a batch's head in it"[..],
                Exit::Failed,
                "no metadata log",
            ),
            ("notes", b"short", Exit::Failed, "no metadata log"),
            ("00000000000000000000.log", b"short", Exit::Damaged, "is damaged"),
            ("copy-of-a-log", &[log.as_slice(), b"torn"].concat(), Exit::Damaged, "is damaged"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let failure = dump(&Args { path, show_secrets: false }, false, &mut Vec::new(), &shell).unwrap_err();
            assert_eq!(failure.exit(), exit, "{name}");
            assert!(failure.what().contains(says), "{name}: {failure}");
        }
    }

    #[test]
    fn records_of_a_newer_kafka_are_listed_by_number_and_end_in_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("00000000000000000000.log");
        let args = Args { path: file.clone(), show_secrets: false };
        let shell = Shell::new("dump-log", true);
        let dumped = |frames: &[&[u8]]| {
            let mut builder = BatchBuilder::data(TimestampMs(1));
            frames.iter().for_each(|frame| builder.push(frame).unwrap());
            std::fs::write(&file, builder.finish(Offset(0), KRaftLeaderEpoch(1))).unwrap();
            let mut out = Vec::new();
            let failure = dump(&args, false, &mut out, &shell).unwrap_err();
            let lines: Vec<Value> =
                String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (failure, lines)
        };
        let (no_op, new, newer): (&[u8], &[u8], &[u8]) = (&[1, 20, 0, 0], &[1, 30, 2, 9, 9], &[1, 20, 7, 0]);
        let (failure, lines) = dumped(&[new, no_op, new, newer]);
        assert_eq!(failure.exit(), crate::cli::Exit::Failed, "it is not damaged");
        let expected = json!({
            "item": "record", "offset": 0, "valueSize": 5, "unknown": {"apiKey": 30, "version": 2},
            "error": "unknown record type 30 version 2: a newer Kafka may have written it",
        });
        assert_eq!((&lines[1], &lines[2]["type"]), (&expected, &"NO_OP_RECORD".into()));
        let said = failure.lines().join("\n");
        assert!(said.contains("unknown record type 30 version 2: 2 of them"), "{said}");
        assert!(said.contains("unknown record type 20 version 7: 1 of them"), "{said}");
        let fields = failure.into_fields();
        let unknown = json!([
            {"apiKey": 20, "version": 7, "records": 1}, {"apiKey": 30, "version": 2, "records": 2},
        ]);
        assert_eq!((&fields["unknown"], &fields["records"]), (&unknown, &4.into()));
        crate::documents::assert_fields_are_documented(fields.keys().map(String::as_str));

        let (failure, _) = dumped(&[new, &[1, 2, 0]]);
        assert_eq!(failure.exit(), crate::cli::Exit::Damaged, "wrong bytes are damage");
    }

    #[test]
    fn damage_says_where_and_a_torn_end_is_told_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("00000000000000000000.log");
        let mut frame = Vec::new();
        VersionedRecord::new(TopicRecord::default(), 0).encode(&mut frame).unwrap();
        let mut builder = BatchBuilder::data(TimestampMs(1));
        builder.push(&frame).unwrap();
        let sound = builder.finish(Offset(0), KRaftLeaderEpoch(1));
        let args = Args { path: file.clone(), show_secrets: false };
        let shell = Shell::new("dump-log", true);
        let dumped = |bytes: &[u8], held| {
            std::fs::write(&file, bytes).unwrap();
            dump(&args, held, &mut io::sink(), &shell)
        };
        let whole = dumped(&sound, false).unwrap().into_fields().unwrap();
        assert_eq!((&whole["batches"], &whole["records"]), (&1.into(), &1.into()));

        let torn = [&sound[..], &sound[..30]].concat();
        let failure = dumped(&torn, false).unwrap_err();
        assert_eq!(failure.exit(), crate::cli::Exit::Damaged);
        assert!(failure.lines().join("\n").contains("the next `migrate` mends it"));
        let fields = failure.into_fields();
        assert_eq!((&fields["damage"][0]["position"], &fields["batches"]), (&sound.len().into(), &1.into()));
        assert!(dumped(&torn, true).is_ok(), "a process may be writing it");

        let mut flipped = sound.clone();
        flipped[70] ^= 1;
        let failure = dumped(&flipped, true).unwrap_err();
        assert_eq!(failure.exit(), crate::cli::Exit::Damaged, "held or not, this is damage");
        assert!(!failure.lines().join("\n").contains("mends"));
    }
}
