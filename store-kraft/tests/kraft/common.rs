//! What the tests of the log share.

use std::path::Path;

use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, TopicId};
use metadata_core::log::{Append, LogBatch, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{BeginTransactionRecord, EndTransactionRecord, TopicRecord, VersionedRecord};
use metadata_core::store::Txn;
use metadata_core::uuid::Uuid;
use store_kraft::{KraftLog, KraftLogOptions};

pub(crate) const NODE: NodeId = NodeId(3000);
pub(crate) const CLUSTER: &str = "ZcQrXrnVQj-xXqg6iQ0pGg";

pub(crate) fn formatted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    KraftLog::format(dir.path(), NODE, CLUSTER, MetadataVersion::V3_9_IV0).unwrap();
    dir
}

pub(crate) fn options(dir: &Path) -> KraftLogOptions {
    KraftLogOptions::new(dir, NODE, CLUSTER)
}

pub(crate) async fn open(dir: &Path) -> KraftLog {
    KraftLog::open(options(dir)).await.unwrap()
}

pub(crate) fn topic(number: u64) -> VersionedRecord {
    let topic_id = TopicId(Uuid::from_u64_pair(7, number));
    VersionedRecord::new(TopicRecord { name: format!("topic-{number}"), topic_id, ..Default::default() }, 0)
}

pub(crate) fn begin() -> VersionedRecord {
    VersionedRecord::new(BeginTransactionRecord { name: Some("copy".into()), ..Default::default() }, 0)
}

pub(crate) fn end() -> VersionedRecord {
    VersionedRecord::new(EndTransactionRecord::default(), 0)
}

/// An append outside any transaction.
pub(crate) fn at(epoch: KRaftLeaderEpoch, expected: i64, records: Vec<VersionedRecord>) -> Append {
    Append { epoch, expected: Some(Offset(expected)), txn: Txn::None, records }
}

/// An append of a transaction.
pub(crate) fn within(epoch: KRaftLeaderEpoch, txn: Txn, records: Vec<VersionedRecord>) -> Append {
    Append { epoch, expected: None, txn, records }
}

/// The epoch in which the log's only voter leads.
pub(crate) async fn epoch(log: &KraftLog) -> KRaftLeaderEpoch {
    let leadership = log.leadership(None).await.unwrap();
    assert!(leadership.active && leadership.leader == Some(NODE));
    leadership.epoch
}

pub(crate) async fn read_all(log: &KraftLog) -> Vec<LogBatch> {
    log.read(Offset(0), usize::MAX).await.unwrap()
}
