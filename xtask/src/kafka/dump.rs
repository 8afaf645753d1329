//! What Kafka's `DumpLogSegments` prints, read: a line for each batch, one for each record, and remarks.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::Value;

/// A dump.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KafkaDump {
    /// The batches, in the order of the file.
    pub batches: Vec<KafkaBatch>,
    /// Bytes at the end of the file that are no whole batch.
    pub invalid_bytes: u64,
    /// Which file of a log the tool takes it for.
    pub place: Option<FilePlace>,
    /// Whatever else it says.
    pub remarks: Vec<String>,
}

/// Which file of a log it is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePlace {
    /// A segment that starts at this offset (inclusive).
    Segment(i64),
    /// A snapshot of all before an offset (exclusive), the last record of which is of an epoch.
    Snapshot(i64, i64),
}

/// A batch.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaBatch {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record (inclusive).
    pub last_offset: i64,
    /// How many records.
    pub count: i64,
    /// The epoch of the leader that wrote it.
    pub epoch: i64,
    /// Whether its records are control records.
    pub is_control: bool,
    /// Its first byte in the file.
    pub position: i64,
    /// Its time, in milliseconds since 1970.
    pub timestamp: i64,
    /// Its bytes.
    pub size: i64,
    /// Its checksum, as it is written in it.
    pub crc: i64,
    /// Whether the checksum is right.
    pub is_valid: bool,
    /// Its records.
    pub records: Vec<KafkaRecord>,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaRecord {
    /// Its offset.
    pub offset: i64,
    /// Bytes of its value.
    pub value_size: i64,
    /// What it says.
    pub text: RecordText,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordText {
    /// A metadata record: `type`, `version` and `data`.
    Metadata(Value),
    /// A control record by its name, with its fields where the tool prints them.
    Control(String, Option<Value>),
}

impl KafkaDump {
    /// Reads what the tool printed.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut dump = Self::default();
        for line in text.lines() {
            let not_understood = || format!("a line that is not understood: {line}");
            if line.starts_with("baseOffset: ") {
                dump.batches.push(batch(line).ok_or_else(not_understood)?);
            } else if let Some(rest) = line.strip_prefix("| ") {
                let record = record(rest).ok_or_else(not_understood)?;
                dump.batches.last_mut().ok_or_else(not_understood)?.records.push(record);
            } else if let Some(place) = place(line) {
                dump.place = Some(place);
            } else if let Some(rest) = line.strip_prefix("Found ") {
                let (bytes, _) = rest.split_once(" invalid bytes").ok_or_else(not_understood)?;
                dump.invalid_bytes = bytes.parse().map_err(|_| not_understood())?;
            } else {
                dump.remarks.push(line.to_owned());
            }
        }
        Ok(dump)
    }

    /// Reads what the tool printed of several files: a dump for each, in their order.
    ///
    /// # Errors
    /// The line that is not understood.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let mut parts: Vec<String> = Vec::new();
        for line in text.lines() {
            if line.starts_with("Dumping ") || parts.is_empty() {
                parts.push(String::new());
            }
            parts.last_mut().into_iter().for_each(|part| *part += &format!("{line}\n"));
        }
        parts.iter().map(|part| Self::parse(part)).collect()
    }

    /// The records of all batches.
    pub fn records(&self) -> impl Iterator<Item = &KafkaRecord> {
        self.batches.iter().flat_map(|batch| &batch.records)
    }
}

/// The pairs of `key: value` of a line, whose values have no spaces.
fn pairs(line: &str) -> HashMap<&str, &str> {
    let words: Vec<&str> = line.split(' ').collect();
    words.windows(2).filter_map(|pair| Some((pair.first()?.strip_suffix(':')?, *pair.get(1)?))).collect()
}

fn number<T: FromStr>(pairs: &HashMap<&str, &str>, key: &str) -> Option<T> {
    pairs.get(key)?.parse().ok()
}

/// `Log starting offset: 7` or `Snapshot end offset: 7, epoch: 2`
fn place(line: &str) -> Option<FilePlace> {
    if let Some(offset) = line.strip_prefix("Log starting offset: ") {
        return Some(FilePlace::Segment(offset.parse().ok()?));
    }
    let (offset, epoch) = line.strip_prefix("Snapshot end offset: ")?.split_once(", epoch: ")?;
    Some(FilePlace::Snapshot(offset.parse().ok()?, epoch.parse().ok()?))
}

fn batch(line: &str) -> Option<KafkaBatch> {
    let pairs = pairs(line);
    Some(KafkaBatch {
        base_offset: number(&pairs, "baseOffset")?,
        last_offset: number(&pairs, "lastOffset")?,
        count: number(&pairs, "count")?,
        epoch: number(&pairs, "partitionLeaderEpoch")?,
        is_control: number(&pairs, "isControl")?,
        position: number(&pairs, "position")?,
        timestamp: number(&pairs, "CreateTime")?,
        size: number(&pairs, "size")?,
        crc: number(&pairs, "crc")?,
        is_valid: number(&pairs, "isvalid")?,
        records: Vec::new(),
    })
}

fn record(line: &str) -> Option<KafkaRecord> {
    // No metadata record has headers; behind their list comes what the record says.
    let (head, text) = line.split_once(" headerKeys: [] ")?;
    let pairs = pairs(head);
    let text = match text.split_once(' ') {
        Some(("payload:", json)) => RecordText::Metadata(serde_json::from_str(json).ok()?),
        // `controlType: LEADER_CHANGE(2)`
        Some(("controlType:", kind)) => RecordText::Control(kind.split('(').next()?.to_owned(), None),
        // `SnapshotHeader {..}`, and `LeaderChange: {..}` in Kafka 4
        Some((kind, json)) => {
            let kind = kind.strip_suffix(':').unwrap_or(kind);
            RecordText::Control(kind.to_owned(), Some(serde_json::from_str(json).ok()?))
        }
        None => return None,
    };
    Some(KafkaRecord { offset: number(&pairs, "offset")?, value_size: number(&pairs, "valueSize")?, text })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BATCH: &str = "baseOffset: 1 lastOffset: 2 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 \
        producerEpoch: -1 partitionLeaderEpoch: 7 isTransactional: false isControl: false deleteHorizonMs: \
        OptionalLong.empty position: 91 CreateTime: 1700000000000 size: 145 magic: 2 compresscodec: none crc: 4277097927 \
        isvalid: true";

    fn record_line(text: &str) -> String {
        format!("| offset: 1 CreateTime: 1700000000000 keySize: -1 valueSize: 24 sequence: -1 headerKeys: [] {text}")
    }

    #[test]
    fn batches_records_and_remarks_are_told_apart() {
        let payload = r#"payload: {"type":"TOPIC_RECORD","version":0,"data":{"name":"a headerKeys: [] b"}}"#;
        let text = format!(
            "Dumping x.log\n{BATCH}\n{}\n{}\n{}\nFound 43 invalid bytes at the end of x.log\n",
            record_line(payload),
            record_line("controlType: LEADER_CHANGE(2)"),
            record_line(r#"SnapshotHeader {"version":0}"#)
        );
        let record = |text| KafkaRecord { offset: 1, value_size: 24, text };
        let records = vec![
            record(RecordText::Metadata(
                json!({"type": "TOPIC_RECORD", "version": 0, "data": {"name": "a headerKeys: [] b"}}),
            )),
            record(RecordText::Control("LEADER_CHANGE".to_owned(), None)),
            record(RecordText::Control("SnapshotHeader".to_owned(), Some(json!({"version": 0})))),
        ];
        let batch = KafkaBatch {
            base_offset: 1,
            last_offset: 2,
            count: 2,
            epoch: 7,
            is_control: false,
            position: 91,
            timestamp: 1_700_000_000_000,
            size: 145,
            crc: 4_277_097_927,
            is_valid: true,
            records,
        };
        let remarks = vec!["Dumping x.log".to_owned()];
        let expected = KafkaDump { batches: vec![batch], invalid_bytes: 43, place: None, remarks };
        assert_eq!(KafkaDump::parse(&text).unwrap(), expected);
        assert_eq!(expected.records().count(), 3);
    }

    #[test]
    fn several_files_are_several_dumps_and_each_has_its_place() {
        let leader = record_line(r#"LeaderChange: {"version":0,"leaderId":1,"voters":[{"voterId":1}]}"#);
        let text = format!(
            "Dumping a.log\nLog starting offset: 7\n{BATCH}\n{leader}\nDumping b.checkpoint\n\
             Snapshot end offset: 9, epoch: 2\n{BATCH}\nDumping bootstrap.checkpoint\n"
        );
        let dumps = KafkaDump::parse_all(&text).unwrap();
        let places: Vec<_> = dumps.iter().map(|dump| dump.place).collect();
        assert_eq!(places, [Some(FilePlace::Segment(7)), Some(FilePlace::Snapshot(9, 2)), None]);
        let data = json!({"version": 0, "leaderId": 1, "voters": [{"voterId": 1}]});
        let said = RecordText::Control("LeaderChange".to_owned(), Some(data));
        assert_eq!(dumps[0].batches[0].records[0].text, said);
        assert_eq!(dumps[1].batches.len(), 1);
    }

    #[test]
    fn what_is_not_understood_is_no_dump() {
        for text in [
            "baseOffset: 1 lastOffset: 2".to_owned(),
            record_line("payload: {}"),
            format!("{BATCH}\n{}", record_line("payload: {broken")),
            format!("{BATCH}\n{}", record_line("nothing")),
            "Found no way out".to_owned(),
        ] {
            assert!(KafkaDump::parse(&text).is_err(), "{text}");
        }
    }
}
