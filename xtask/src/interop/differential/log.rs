//! The log of a migration, cut into what is compared and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use metadata_core::record::MetadataRecord;
use store_kraft::log::{Dump, DumpItem, RecordContent};

use super::entry::Entry;

/// The name of the copy's transaction (`QuorumController.java`, `MigrationRecordConsumer`).
const COPY: &str = "ZK Migration";

/// Records of live nodes: a controller writes them as they come and go, or to move its offset on, also in the middle of the
/// copy. No znode makes them.
const OF_LIVE_NODES: [&str; 4] =
    ["REGISTER_BROKER_RECORD", "BROKER_REGISTRATION_CHANGE_RECORD", "REGISTER_CONTROLLER_RECORD", "NO_OP_RECORD"];

/// The records of a finished migration.
#[derive(Debug, Default, PartialEq)]
pub(super) struct MigrationLog {
    /// Before the copy.
    pub(super) bootstrap: Vec<Entry>,
    /// The copy, from the record that begins its transaction to the one that ends it (inclusive).
    pub(super) copy: Vec<Entry>,
    /// Records of live nodes up to the copy's end, by type. They are not compared.
    pub(super) of_live_nodes: BTreeMap<&'static str, u64>,
    /// Records behind the copy. They are not compared.
    pub(super) later: u64,
}

/// In which part of the log we are.
enum Part {
    Bootstrap,
    Copy,
    Later,
}

impl MigrationLog {
    /// Reads the log in a data directory. Blocks.
    ///
    /// # Errors
    /// The log can't be read, is damaged, has a record that we don't know, or no finished copy.
    pub(super) fn read(data_dir: &Path) -> Result<Self, String> {
        let in_dir = |reason: &dyn std::fmt::Display| format!("the log in {}: {reason}", data_dir.display());
        let mut entries = Vec::new();
        for item in Dump::open(data_dir).map_err(|error| in_dir(&error))? {
            let batch = match item.map_err(|error| in_dir(&error))? {
                DumpItem::Batch(batch) => batch,
                DumpItem::Damage(damage) => {
                    return Err(in_dir(&format_args!("damage at byte {}: {}", damage.position, damage.reason)));
                }
            };
            for record in batch.records {
                let unknown = |error| in_dir(&format_args!("the record at offset {}: {error}", record.offset));
                if let RecordContent::Metadata(content) = record.content.map_err(unknown)? {
                    entries.push(Entry { record: content, size: record.value_len });
                }
            }
        }
        Self::of(entries).map_err(|reason| in_dir(&reason))
    }

    fn of(entries: impl IntoIterator<Item = Entry>) -> Result<Self, String> {
        let (mut log, mut part) = (Self::default(), Part::Bootstrap);
        for entry in entries {
            if matches!(part, Part::Later) {
                log.later += 1;
                continue;
            }
            if OF_LIVE_NODES.contains(&entry.name()) {
                *log.of_live_nodes.entry(entry.name()).or_default() += 1;
                continue;
            }
            match (&part, &entry.record.record) {
                (Part::Bootstrap, MetadataRecord::BeginTransaction(begin)) if begin.name.as_deref() == Some(COPY) => {
                    part = Part::Copy;
                    log.copy.push(entry);
                }
                (Part::Copy, MetadataRecord::AbortTransaction(_)) => return Err("its copy was aborted".to_owned()),
                (Part::Copy, MetadataRecord::EndTransaction(_)) => {
                    part = Part::Later;
                    log.copy.push(entry);
                }
                (Part::Copy, _) => log.copy.push(entry),
                _ => log.bootstrap.push(entry),
            }
        }
        match part {
            Part::Bootstrap => Err("it has no copy".to_owned()),
            Part::Copy => Err("its copy has no end".to_owned()),
            Part::Later => Ok(log),
        }
    }

    /// The copy's records by type.
    pub(super) fn by_type(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for entry in &self.copy {
            *counts.entry(entry.name().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Versions in which records of a type are written in the copy.
    pub(super) fn versions(&self, name: &str) -> BTreeMap<i16, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.copy.iter().filter(|entry| entry.name() == name) {
            *counts.entry(entry.record.version).or_default() += 1;
        }
        counts
    }

    /// Which families of metadata the copy has, in its order. Within a family the order is free.
    pub(super) fn families(&self) -> Vec<&'static str> {
        let mut families: Vec<_> = self.copy.iter().map(family).collect();
        families.dedup();
        families
    }

    /// The first record that names a topic which has not come yet: a reader would not know what it is about.
    pub(super) fn before_its_topic(&self) -> Option<&Entry> {
        let mut known = BTreeSet::new();
        self.copy.iter().find(|entry| match &entry.record.record {
            MetadataRecord::Topic(topic) => {
                known.insert(topic.topic_id);
                false
            }
            MetadataRecord::Partition(partition) => !known.contains(&partition.topic_id),
            _ => false,
        })
    }

    /// Brokers that have a replica of some partition.
    pub(super) fn replicas(&self) -> BTreeSet<i32> {
        let partitions = self.copy.iter().filter_map(|entry| match &entry.record.record {
            MetadataRecord::Partition(partition) => Some(&partition.replicas),
            _ => None,
        });
        partitions.flatten().map(|replica| replica.0).collect()
    }
}

/// Kafka's resource type of a topic's config (`ConfigResource.java`).
const TOPIC_CONFIG: i8 = 2;

fn family(entry: &Entry) -> &'static str {
    match &entry.record.record {
        MetadataRecord::Topic(_) | MetadataRecord::Partition(_) => "topics",
        MetadataRecord::Config(config) if config.resource_type == TOPIC_CONFIG => "topics",
        MetadataRecord::ClientQuota(_) | MetadataRecord::UserScramCredential(_) => "quotas and credentials",
        _ => entry.name(),
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::record::{
        AbortTransactionRecord, BeginTransactionRecord, ConfigRecord, EndTransactionRecord, FeatureLevelRecord,
        NoOpRecord,
    };

    use super::super::entry::tests::{acl, entry, partition, topic};
    use super::*;

    fn begin(name: &str) -> Entry {
        entry(BeginTransactionRecord { name: Some(name.into()), ..Default::default() })
    }

    fn end() -> Entry {
        entry(EndTransactionRecord::default())
    }

    fn no_op() -> Entry {
        entry(NoOpRecord::default())
    }

    #[test]
    fn a_log_is_cut_at_the_copys_transaction() {
        let feature = || entry(FeatureLevelRecord::default());
        let log = MigrationLog::of([
            begin("Bootstrap records"),
            feature(),
            end(),
            no_op(),
            begin(COPY),
            entry(topic("a", 1)),
            no_op(),
            entry(partition(1, 0)),
            end(),
            no_op(),
            entry(topic("b", 2)),
        ]);
        let expected = MigrationLog {
            bootstrap: vec![begin("Bootstrap records"), feature(), end()],
            copy: vec![begin(COPY), entry(topic("a", 1)), entry(partition(1, 0)), end()],
            of_live_nodes: [("NO_OP_RECORD", 2)].into(),
            later: 2,
        };
        assert_eq!(log, Ok(expected));
    }

    #[test]
    fn only_a_finished_copy_is_one() {
        assert!(MigrationLog::of([]).unwrap_err().contains("no copy"));
        assert!(MigrationLog::of([begin("other"), end()]).unwrap_err().contains("no copy"));
        assert!(MigrationLog::of([begin(COPY), entry(topic("a", 1))]).unwrap_err().contains("no end"));
        let aborted = [begin(COPY), entry(AbortTransactionRecord::default()), begin(COPY), end()];
        assert!(MigrationLog::of(aborted).unwrap_err().contains("aborted"));
    }

    #[test]
    fn the_order_that_matters_is_seen() {
        let log = |records: Vec<Entry>| MigrationLog { copy: records, ..Default::default() };
        let broker = entry(ConfigRecord { resource_type: 4, ..Default::default() });
        let of_topic = entry(ConfigRecord { resource_type: TOPIC_CONFIG, ..Default::default() });
        let ordered = log(vec![
            entry(topic("a", 1)),
            of_topic,
            entry(partition(1, 0)),
            entry(topic("b", 2)),
            broker,
            entry(acl("User:a", 1)),
        ]);
        assert_eq!(ordered.families(), ["topics", "CONFIG_RECORD", "ACCESS_CONTROL_ENTRY_RECORD"]);
        assert_eq!(ordered.before_its_topic(), None);
        assert_eq!(ordered.replicas(), [1, 2].into());
        assert_eq!(ordered.versions("PARTITION_RECORD"), [(0, 1)].into());
        let turned = log(vec![entry(partition(1, 0)), entry(topic("a", 1))]);
        assert_eq!(turned.before_its_topic(), Some(&entry(partition(1, 0))));
    }
}
