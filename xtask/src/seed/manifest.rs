//! What was made: counted while it was made, and compared with what others make of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::node::{Family, RecordCounts, SeedNode};
use super::options::SeedOptions;

/// The account of one seeded cluster. Nothing in it comes from the importer, so it can be held against the importer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What was asked for; the same options give the same znodes.
    pub options: SeedOptions,
    /// The id in `/cluster/id`.
    pub cluster_id: String,
    /// The number in `/controller_epoch`, which is also its znode's version.
    pub controller_epoch: i32,
    /// Ids of the brokers.
    pub brokers: Vec<i32>,
    /// Topics without those that are being deleted.
    pub topics: u64,
    /// Their partitions.
    pub partitions: u64,
    /// Topics that are being deleted. Their znodes are still there; an import must leave them out.
    pub pending_deletions: Vec<String>,
    /// Persistent znodes.
    pub znodes: u64,
    /// Bytes of data in them.
    pub bytes: u64,
    /// Set-datas after the creations.
    pub rewrites: u64,
    /// Znodes by family.
    pub znodes_by_family: BTreeMap<Family, u64>,
    /// Records of each type that a correct import makes, record types that only frame a migration left out.
    pub expected_records: RecordCounts,
    /// What is unusual on purpose, and why.
    pub awkward: Vec<Awkward>,
}

/// A znode that is unusual on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awkward {
    /// The znode.
    pub path: String,
    /// What is unusual.
    pub why: String,
}

impl Manifest {
    pub(super) fn new(options: SeedOptions, cluster_id: String, controller_epoch: i32, brokers: Vec<i32>) -> Self {
        Self {
            options,
            cluster_id,
            controller_epoch,
            brokers,
            topics: 0,
            partitions: 0,
            pending_deletions: Vec::new(),
            znodes: 0,
            bytes: 0,
            rewrites: 0,
            znodes_by_family: BTreeMap::new(),
            expected_records: RecordCounts::default(),
            awkward: Vec::new(),
        }
    }

    /// Takes one znode into account.
    pub(super) fn count(&mut self, node: &SeedNode) {
        self.znodes += 1;
        self.bytes += node.data.len() as u64;
        self.rewrites += u64::try_from(node.version).unwrap_or_default();
        *self.znodes_by_family.entry(node.family).or_default() += 1;
        self.expected_records += node.records;
        self.topics = self.expected_records.topic_record;
        self.partitions = self.expected_records.partition_record;
        if node.family == Family::PendingDeletions {
            self.pending_deletions.extend(node.path.rsplit('/').next().map(str::to_owned));
        }
        if let Some(why) = node.awkward {
            self.awkward.push(Awkward { path: node.path.clone(), why: why.to_owned() });
        }
    }
}
