//! What Kafka's controller says of its copy, read from its log.

use std::collections::BTreeMap;

/// What every line about a finished copy begins with, behind its logger's prefix (`KRaftMigrationDriver.java`).
pub(super) const FINISHED: &str = "Completed migration of metadata from ZooKeeper to KRaft";

/// Kafka's account of a copy (`MigrationManifest.java`).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KafkaManifest {
    /// Records, without those that begin and end the transaction and the migration state.
    pub(super) records: u64,
    /// How long it took, in seconds.
    pub(super) seconds: f64,
    /// In how many batches.
    pub(super) batches: u64,
    /// Records by type.
    pub(super) by_type: BTreeMap<String, u64>,
}

impl KafkaManifest {
    /// Finds it in the log of a controller.
    pub(super) fn find(log: &str) -> Result<Self, String> {
        let line = log.lines().find(|line| line.contains(FINISHED)).ok_or("no line says that the copy is finished")?;
        Self::parse(line).ok_or_else(|| format!("a line that is not understood: {line}"))
    }

    fn parse(line: &str) -> Option<Self> {
        let between = |before: &str, after: &str| {
            let (_, rest) = line.split_once(before)?;
            rest.split_once(after).map(|(text, _)| text)
        };
        let milliseconds: u32 = between("were generated in ", " ms")?.parse().ok()?;
        let by_type = between("The record types were {", "}")?.split(", ").map(|pair| {
            let (name, count) = pair.split_once('=')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Some(Self {
            records: between(". ", " records were generated")?.parse().ok()?,
            seconds: f64::from(milliseconds) / 1000.0,
            batches: between(" ms across ", " batches")?.parse().ok()?,
            by_type: by_type.collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "[2026-11-26 20:12:23,808] INFO [KRaftMigrationDriver id=3000] Completed migration of metadata \
        from ZooKeeper to KRaft. 364 records were generated in 617 ms across 2 batches. The average time spent waiting \
        on a batch was 45.00 ms. The record types were {TOPIC_RECORD=23, PARTITION_RECORD=341}. The current metadata \
        offset is now 392 with an epoch of 1. Saw 6 brokers in the migrated metadata [1, 2, 3, 4, 5, 6].";

    #[test]
    fn kafkas_account_is_read() {
        let expected = KafkaManifest {
            records: 364,
            seconds: 0.617,
            batches: 2,
            by_type: [("TOPIC_RECORD".to_owned(), 23), ("PARTITION_RECORD".to_owned(), 341)].into(),
        };
        assert_eq!(KafkaManifest::find(&format!("started\n{LINE}\nmore")), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(KafkaManifest::find("started").unwrap_err().contains("no line"));
        let other = LINE.replace("617 ms", "long");
        assert!(KafkaManifest::find(&other).unwrap_err().contains("not understood"));
        assert!(KafkaManifest::find(&LINE.replace("=23", "")).is_err());
    }
}
