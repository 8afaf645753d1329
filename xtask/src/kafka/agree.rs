//! Whether Kafka's `DumpLogSegments` and our `dump-log` say the same of a file: batch by batch, record by record, field by
//! field. Pure: both have spoken already.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{KafkaBatch, KafkaDump, KafkaRecord, RecordText, Release};

/// The types of records that a copy of the seed and every kind of change leave in a log.
pub const TYPES_OF_OURS: [&str; 16] = [
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

/// Fields that Kafka's tool leaves out while they have these values: those that the record's schema tags. Ours prints every
/// field. In JSON, so that the table is one constant. All releases leave out the same.
const TAGGED_DEFAULTS: [(&str, &str, &str); 20] = [
    ("REGISTER_BROKER_RECORD", "logDirs", "[]"),
    ("REGISTER_BROKER_RECORD", "cordonedLogDirs", "null"),
    ("PARTITION_RECORD", "leaderRecoveryState", "0"),
    ("PARTITION_RECORD", "eligibleLeaderReplicas", "null"),
    ("PARTITION_RECORD", "lastKnownElr", "null"),
    ("PARTITION_CHANGE_RECORD", "isr", "null"),
    ("PARTITION_CHANGE_RECORD", "leader", "-2"),
    ("PARTITION_CHANGE_RECORD", "replicas", "null"),
    ("PARTITION_CHANGE_RECORD", "removingReplicas", "null"),
    ("PARTITION_CHANGE_RECORD", "addingReplicas", "null"),
    ("PARTITION_CHANGE_RECORD", "leaderRecoveryState", "-1"),
    ("PARTITION_CHANGE_RECORD", "directories", "null"),
    ("PARTITION_CHANGE_RECORD", "eligibleLeaderReplicas", "null"),
    ("PARTITION_CHANGE_RECORD", "lastKnownElr", "null"),
    ("BROKER_REGISTRATION_CHANGE_RECORD", "fenced", "0"),
    ("BROKER_REGISTRATION_CHANGE_RECORD", "inControlledShutdown", "0"),
    ("BROKER_REGISTRATION_CHANGE_RECORD", "logDirs", "[]"),
    ("BROKER_REGISTRATION_CHANGE_RECORD", "cordonedLogDirs", "null"),
    ("BEGIN_TRANSACTION_RECORD", "name", "null"),
    ("ABORT_TRANSACTION_RECORD", "reason", "null"),
];

/// Control records by Kafka's two names: that of the type, which we print, and that in front of the fields.
const CONTROL_NAMES: [(&str, &str); 5] = [
    ("LEADER_CHANGE", "LeaderChange"),
    ("SNAPSHOT_HEADER", "SnapshotHeader"),
    ("SNAPSHOT_FOOTER", "SnapshotFooter"),
    ("KRAFT_VERSION", "KRaftVersion"),
    ("KRAFT_VOTERS", "KRaftVoters"),
];

/// The control record whose fields Kafka 3.9 does not print.
const WITHOUT_FIELDS: &str = "LEADER_CHANGE";

/// Differences that are told of one file; more say nothing new.
const DIFFERENCES_MAX: usize = 8;

/// Record types that hold secrets: no value of theirs is told.
const SECRET_TYPES: [&str; 2] = ["CONFIG_RECORD", "USER_SCRAM_CREDENTIAL_RECORD"];

/// What a tool says of a file, in words that both share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// The batches, in the order of the file.
    pub batches: Vec<ToldBatch>,
    /// Bytes at the end of the file that are no whole batch.
    pub torn_bytes: u64,
    /// Records of which we only know that a newer Kafka wrote them.
    pub unknown: u64,
}

/// A batch and its records.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldBatch {
    /// Its header.
    pub header: Value,
    /// Its records.
    pub records: Vec<Value>,
}

impl Told {
    /// Type and version of each record.
    pub fn kinds(&self) -> impl Iterator<Item = (String, i64)> {
        let records = self.batches.iter().flat_map(|batch| &batch.records);
        records.map(|record| (kind(record).to_owned(), record["version"].as_i64().unwrap_or(-1)))
    }

    /// How many records there are of each type.
    pub fn types(&self) -> BTreeMap<String, u64> {
        let mut types = BTreeMap::new();
        for (kind, _) in self.kinds() {
            *types.entry(kind).or_default() += 1;
        }
        types
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.batches.iter().map(|batch| batch.records.len() as u64).sum()
    }
}

fn kind(record: &Value) -> &str {
    record["type"].as_str().unwrap_or("unknown")
}

/// What Kafka's tool of this release says.
///
/// # Errors
/// A record that has no fields where it should, or a batch whose checksum is wrong.
pub fn kafkas(release: Release, dump: &KafkaDump) -> Result<Told, String> {
    if let Some(batch) = dump.batches.iter().find(|batch| !batch.is_valid) {
        return Err(format!("Kafka finds the batch at byte {} not valid", batch.position));
    }
    let batches = dump.batches.iter().map(|batch| {
        let records = batch.records.iter().map(|record| kafkas_record(release, record)).collect::<Result<_, _>>()?;
        Ok(ToldBatch { header: kafkas_header(batch), records })
    });
    Ok(Told { batches: batches.collect::<Result<_, String>>()?, torn_bytes: dump.invalid_bytes, unknown: 0 })
}

fn kafkas_header(batch: &KafkaBatch) -> Value {
    json!({
        "position": batch.position, "size": batch.size, "baseOffset": batch.base_offset,
        "lastOffset": batch.last_offset, "count": batch.count, "partitionLeaderEpoch": batch.epoch,
        "isControl": batch.is_control, "timestamp": batch.timestamp, "crc": batch.crc,
    })
}

fn kafkas_record(release: Release, record: &KafkaRecord) -> Result<Value, String> {
    let said = match &record.text {
        RecordText::Metadata(said) => said.clone(),
        RecordText::Control(name, data) => {
            let known = CONTROL_NAMES.iter().find(|(of_type, of_fields)| name == of_type || name == of_fields);
            let (kind, _) = known.ok_or_else(|| format!("Kafka tells of a control record {name}"))?;
            if data.is_none() && !(release == Release::V3_9 && *kind == WITHOUT_FIELDS) {
                return Err(format!("Kafka tells no fields of the control record at offset {}", record.offset));
            }
            json!({"type": kind, "version": 0, "data": data})
        }
    };
    let Value::Object(mut told) = said else {
        return Err(format!("Kafka tells no fields of the record at offset {}", record.offset));
    };
    told.insert("offset".to_owned(), record.offset.into());
    told.insert("valueSize".to_owned(), record.value_size.into());
    Ok(told.into())
}

/// What our `dump-log --json --show-secrets` says of one file of `file_size` bytes, in as many words as Kafka's tool of this
/// release.
///
/// # Errors
/// A line that is no line of a dump.
pub fn ours(release: Release, lines: &str, file_size: u64) -> Result<Told, String> {
    let mut told = Told::default();
    for line in lines.lines() {
        let wrong = || format!("a line of dump-log that is not understood: {line}");
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else { return Err(wrong()) };
        match fields.remove("item").as_ref().and_then(Value::as_str) {
            Some("batch") => {
                fields.remove("file");
                told.batches.push(ToldBatch { header: fields.into(), records: Vec::new() });
            }
            Some("record") => {
                told.unknown += u64::from(fields.contains_key("unknown"));
                let record = without_what_kafka_leaves_out(release, fields);
                told.batches.last_mut().ok_or_else(wrong)?.records.push(record);
            }
            Some("damage") => {
                let position = fields.get("position").and_then(Value::as_u64).ok_or_else(wrong)?;
                told.torn_bytes = file_size.saturating_sub(position);
            }
            // The object that `--json` closes with.
            _ => {}
        }
    }
    Ok(told)
}

fn without_what_kafka_leaves_out(release: Release, mut record: Map<String, Value>) -> Value {
    let kind = record.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if kind == WITHOUT_FIELDS && release == Release::V3_9 {
        record.insert("data".to_owned(), Value::Null);
    }
    if let Some(Value::Object(data)) = record.get_mut("data") {
        for (_, field, default) in TAGGED_DEFAULTS.iter().filter(|(of, ..)| *of == kind) {
            let default: Value = serde_json::from_str(default).unwrap_or_default();
            if data.get(*field) == Some(&default) {
                data.remove(*field);
            }
        }
    }
    record.into()
}

/// In what the two differ, the first few; nothing if they agree.
pub fn differences(kafkas: &Told, ours: &Told) -> Vec<String> {
    let mut found = Vec::new();
    if kafkas.batches.len() != ours.batches.len() {
        found.push(format!("Kafka sees {} batches, we {}", kafkas.batches.len(), ours.batches.len()));
    }
    if kafkas.torn_bytes != ours.torn_bytes {
        let (theirs, own) = (kafkas.torn_bytes, ours.torn_bytes);
        found.push(format!("Kafka sees {theirs} bytes at the end that are no batch, we {own}"));
    }
    for (theirs, own) in kafkas.batches.iter().zip(&ours.batches) {
        let offset = &theirs.header["baseOffset"];
        found.extend(fields_that_differ(&theirs.header, &own.header, false, &format!("batch at {offset}")));
        if theirs.records.len() != own.records.len() {
            let (theirs, own) = (theirs.records.len(), own.records.len());
            found.push(format!("batch at {offset}: Kafka sees {theirs} records, we {own}"));
        }
        for (theirs, own) in theirs.records.iter().zip(&own.records) {
            let secret = [theirs, own].iter().any(|record| SECRET_TYPES.contains(&kind(record)));
            let place = format!("{} at {}", kind(theirs), theirs["offset"]);
            found.extend(fields_that_differ(theirs, own, secret, &place));
        }
        if found.len() > DIFFERENCES_MAX {
            break;
        }
    }
    found.truncate(DIFFERENCES_MAX);
    found
}

/// The fields of two objects that differ, one level deeper where both have `data`.
fn fields_that_differ(theirs: &Value, own: &Value, secret: bool, place: &str) -> Vec<String> {
    let (Value::Object(theirs), Value::Object(own)) = (theirs, own) else {
        let what = if secret { "a secret".to_owned() } else { format!("Kafka says {theirs}, we {own}") };
        return if theirs == own { Vec::new() } else { vec![format!("{place}: {what}")] };
    };
    let names: BTreeSet<&String> = theirs.keys().chain(own.keys()).collect();
    let differing = names.into_iter().filter(|name| theirs.get(*name) != own.get(*name));
    differing
        .flat_map(|name| {
            let [theirs, own] = [theirs, own].map(|object| object.get(name).unwrap_or(&Value::Null));
            if name == "data" && theirs.is_object() && own.is_object() {
                return fields_that_differ(theirs, own, secret, place);
            }
            let hidden = secret && !["offset", "type", "version", "valueSize"].contains(&name.as_str());
            let what = if hidden { "[redacted]".to_owned() } else { format!("Kafka says {theirs}, we {own}") };
            vec![format!("{place}: {name}: {what}")]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = r#""position":0,"size":90,"baseOffset":0,"lastOffset":1,"count":2,"partitionLeaderEpoch":1,
        "isControl":false,"timestamp":7,"crc":9"#;

    fn kafka(records: Vec<RecordText>) -> KafkaDump {
        let records = (0..).zip(records).map(|(offset, text)| KafkaRecord { offset, value_size: 5, text }).collect();
        let batch = KafkaBatch {
            base_offset: 0,
            last_offset: 1,
            count: 2,
            epoch: 1,
            is_control: false,
            position: 0,
            timestamp: 7,
            size: 90,
            crc: 9,
            is_valid: true,
            records,
        };
        KafkaDump { batches: vec![batch], ..KafkaDump::default() }
    }

    fn own(records: &[Value]) -> String {
        let batch = format!(r#"{{"item":"batch","file":"x.log",{}}}"#, HEADER.replace('\n', ""));
        let records = (0..).zip(records).map(|(offset, record)| {
            let mut record = record.clone();
            record["item"] = "record".into();
            record["offset"] = json!(offset);
            record["valueSize"] = 5.into();
            record.to_string()
        });
        [vec![batch], records.collect(), vec![r#"{"ok":true,"verb":"dump-log"}"#.to_owned()]].concat().join("\n")
    }

    fn compared(release: Release, theirs: Vec<RecordText>, records: &[Value]) -> Vec<String> {
        differences(&kafkas(release, &kafka(theirs)).unwrap(), &ours(release, &own(records), 90).unwrap())
    }

    fn metadata(kind: &str, data: Value) -> (RecordText, Value) {
        let said = json!({"type": kind, "version": 0, "data": data});
        (RecordText::Metadata(said.clone()), said)
    }

    #[test]
    fn what_kafka_leaves_out_is_no_difference_and_what_it_says_is_compared() {
        let (theirs, _) = metadata("PARTITION_CHANGE_RECORD", json!({"partitionId": 1, "leader": 3}));
        let full = |leader: i32| {
            metadata(
                "PARTITION_CHANGE_RECORD",
                json!({"partitionId": 1, "leader": leader, "isr": null, "leaderRecoveryState": -1, "directories": null}),
            )
            .1
        };
        assert!(compared(Release::V3_9, vec![theirs.clone()], &[full(3)]).is_empty());
        let told = compared(Release::V3_9, vec![theirs.clone()], &[full(4)]);
        assert_eq!(told, ["PARTITION_CHANGE_RECORD at 0: leader: Kafka says 3, we 4"]);
        // A default that Kafka does say, or a value that is none, stays.
        let told = compared(Release::V4, vec![theirs], &[full(-2)]);
        assert_eq!(told, ["PARTITION_CHANGE_RECORD at 0: leader: Kafka says 3, we null"]);
    }

    #[test]
    fn a_leader_change_has_fields_in_kafka_4_and_none_in_3_9() {
        let data = json!({"version": 0, "leaderId": 1});
        let ours = json!({"type": "LEADER_CHANGE", "version": 0, "data": data});
        let without = RecordText::Control("LEADER_CHANGE".into(), None);
        let with = RecordText::Control("LeaderChange".into(), Some(data));
        assert!(compared(Release::V3_9, vec![without.clone()], std::slice::from_ref(&ours)).is_empty());
        assert!(compared(Release::V4, vec![with], &[ours]).is_empty());
        assert!(kafkas(Release::V4, &kafka(vec![without])).is_err());
        assert!(kafkas(Release::V4, &kafka(vec![RecordText::Control("Hello".into(), None)])).is_err());
    }

    #[test]
    fn batches_records_and_torn_ends_are_counted() {
        let (theirs, ours_too) = metadata("NO_OP_RECORD", json!({}));
        let agreed = compared(Release::V4, vec![theirs.clone()], std::slice::from_ref(&ours_too));
        assert!(agreed.is_empty(), "{agreed:?}");
        let told = compared(Release::V4, vec![theirs.clone(), theirs.clone()], std::slice::from_ref(&ours_too));
        assert_eq!(told, ["batch at 0: Kafka sees 2 records, we 1"]);

        let mut torn = kafka(vec![theirs]);
        torn.invalid_bytes = 30;
        let damage = r#"{"item":"damage","file":"x.log","position":90,"offset":1,"reason":"cut off"}"#;
        let lines = format!("{}\n{damage}", own(&[ours_too]));
        let kafkas = kafkas(Release::V4, &torn).unwrap();
        assert!(differences(&kafkas, &ours(Release::V4, &lines, 120).unwrap()).is_empty());
        let told = differences(&kafkas, &ours(Release::V4, &lines, 121).unwrap());
        assert_eq!(told, ["Kafka sees 30 bytes at the end that are no batch, we 31"]);
        torn.batches[0].is_valid = false;
        assert!(super::kafkas(Release::V4, &torn).is_err());
    }

    #[test]
    fn unknown_records_are_counted_and_secrets_are_not_told() {
        let unknown = json!({"error": "unknown record type 99 version 0", "unknown": {"apiKey": 99, "version": 0}});
        let told = ours(Release::V4, &own(&[unknown]), 90).unwrap();
        assert_eq!((told.unknown, told.records()), (1, 1));
        assert_eq!(told.types().into_iter().collect::<Vec<_>>(), [("unknown".to_owned(), 1)]);
        let (theirs, _) = metadata("CONFIG_RECORD", json!({"name": "a", "value": "hunter2"}));
        let (_, other) = metadata("CONFIG_RECORD", json!({"name": "a", "value": "hunter3"}));
        assert_eq!(compared(Release::V4, vec![theirs], &[other]), ["CONFIG_RECORD at 0: value: [redacted]"]);
    }

    #[test]
    fn what_is_no_dump_is_refused() {
        for lines in ["{", "[]", r#"{"item":"record"}"#] {
            assert!(ours(Release::V4, lines, 0).is_err(), "{lines}");
        }
    }
}
