//! What is written: configs of a few topics, whose values change with every record. So the image stays small however much is
//! written, and what is measured is the log.

use std::sync::Arc;

use metadata_core::id::{KRaftLeaderEpoch, Offset, TimestampMs, TopicId};
use metadata_core::record::{ConfigRecord, TopicRecord, VersionedRecord};
use metadata_core::uuid::Uuid;
use store_kraft::batch::BatchBuilder;

use crate::cli::Failure;

/// Topics whose configs are written.
const TOPICS: u64 = 16;
/// The code of a topic in a `ConfigRecord`.
const OF_A_TOPIC: i8 = 2;
/// With a value of 40 digits a record has about 100 bytes.
const CONFIG: &str = "leader.replication.throttled.replicas";

/// Batches as bytes, as they lie in a log. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Encoded(pub(super) Arc<[Vec<u8>]>);

impl Encoded {
    /// All bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|batch| batch.len() as u64).sum()
    }
}

/// Batches of records, the same whenever they are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batches {
    batches: u32,
    records_per_batch: u32,
}

impl Batches {
    pub(super) fn new(batches: u32, records_per_batch: u32) -> Self {
        Self { batches, records_per_batch }
    }

    /// The records of each batch.
    pub(super) fn records(&self) -> Vec<Vec<VersionedRecord>> {
        let size = u64::from(self.records_per_batch);
        let batch = |number: u64| (number * size..(number + 1) * size).map(config).collect();
        (0..u64::from(self.batches)).map(batch).collect()
    }

    /// The same as the log writes them.
    pub(super) fn encoded(&self) -> Result<Encoded, Failure> {
        let encoded: Result<Vec<_>, Failure> = self.records().iter().map(|batch| encode(batch)).collect();
        Ok(Encoded(encoded?.into()))
    }
}

/// The topics, which come before their configs.
pub(super) fn topics() -> Vec<VersionedRecord> {
    let topic = |number| TopicRecord {
        name: topic_name(number),
        topic_id: TopicId(Uuid::from_u64_pair(7, number + 1)),
        ..TopicRecord::default()
    };
    (0..TOPICS).map(|number| VersionedRecord::new(topic(number), 0)).collect()
}

fn topic_name(number: u64) -> String {
    format!("bench-topic-{number:02}")
}

fn config(number: u64) -> VersionedRecord {
    let record = ConfigRecord {
        resource_type: OF_A_TOPIC,
        resource_name: topic_name(number % TOPICS),
        name: CONFIG.to_owned(),
        value: Some(format!("{number:040}")),
        ..ConfigRecord::default()
    };
    VersionedRecord::new(record, 0)
}

fn encode(records: &[VersionedRecord]) -> Result<Vec<u8>, Failure> {
    let mut builder = BatchBuilder::data(TimestampMs(0));
    let mut frame = Vec::new();
    for record in records {
        frame.clear();
        record.encode(&mut frame).map_err(|error| Failure::failed("a record can't be encoded").because(&error))?;
        builder.push(&frame).map_err(|full| Failure::usage("a batch can't hold so many records").because(&full))?;
    }
    Ok(builder.finish(Offset::ZERO, KRaftLeaderEpoch(0)))
}

#[cfg(test)]
mod tests {
    use metadata_core::image::{MetadataDelta, MetadataImage};

    use super::*;

    #[test]
    fn records_have_about_100_bytes_and_the_image_stays_small() {
        let batches = Batches::new(30, 100);
        let encoded = batches.encoded().unwrap();
        assert_eq!(encoded.0.len(), 30);
        let each = encoded.bytes() / 3000;
        assert!((90..=120).contains(&each), "{each}");

        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        delta.replay_all(&topics()).unwrap();
        for batch in batches.records() {
            delta.replay_all(&batch).unwrap();
        }
        assert_eq!(delta.image().configs().len() as u64, TOPICS);
    }
}
