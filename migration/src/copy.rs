//! The copy: all of ZooKeeper into the log, in one metadata transaction (KIP-866, KIP-868).
//!
//! Begin, batches, End with MIGRATION. The batches are appended while the next ones are read, a few in flight, so that
//! memory stays bounded by [`APPENDS_IN_FLIGHT_MAX`] batches however large the cluster is. Before End a barrier confirms
//! that the ZooKeeper claim still holds: had a broker become controller meanwhile, what was read may be of two worlds.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, Position};
use metadata_core::log::{Append, MetadataLog};
use metadata_core::record::{
    BeginTransactionRecord, EndTransactionRecord, MetadataRecord, VersionedRecord, ZkMigrationState,
};
use metadata_core::store::{MetadataStore, Receipt, RecordSink, StoreWriter, Txn};
use tokio::sync::watch;

/// Appends that may wait for their answer while the next records are read.
pub const APPENDS_IN_FLIGHT_MAX: usize = 4;

/// Records gathered into one append. (Kafka's own soft minimum is 200; larger batches cost nothing here, since they are
/// read and appended at the same time.)
pub const RECORDS_PER_APPEND: usize = 2_000;

/// Encoded bytes gathered into one append, well below what a log takes in one (8 MiB in `store-kraft`). A record that is
/// larger travels alone.
pub const BYTES_PER_APPEND: usize = 2 << 20;

/// Kafka's name for the transaction; operators look for it in dumps.
const TRANSACTION_NAME: &str = "ZK Migration";

/// How far a copy is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyProgress {
    /// Records handed over so far, without Begin and End.
    pub records: u64,
    /// The same by Kafka's record name.
    pub by_type: BTreeMap<&'static str, u64>,
    /// Batches appended so far.
    pub batches: u32,
}

/// Copies everything that `zookeeper` holds into the log, under `epoch`. Returns where the log is then.
///
/// # Errors
/// Whatever stopped it. The transaction is then not ended, nothing of it is visible and nothing of it ever will be: the
/// next Begin, or the next leader, discards it. `Unknown` only if the answer to End never came.
pub async fn copy(
    log: &dyn MetadataLog,
    zookeeper: &dyn MetadataStore,
    writer: &mut dyn StoreWriter,
    epoch: KRaftLeaderEpoch,
    progress: &watch::Sender<CopyProgress>,
) -> Result<Position> {
    progress.send_replace(CopyProgress::default());
    let mut sink =
        Appender { log, epoch, gathered: Gathered::default(), in_flight: VecDeque::new(), batches: 0, progress };
    let begin = BeginTransactionRecord { name: Some(TRANSACTION_NAME.to_owned()), ..Default::default() };
    sink.append(vec![VersionedRecord::new(begin, 0)], Txn::Begin).await?;
    zookeeper.load(&mut sink).await?;
    sink.flush().await?;
    sink.settle(0).await?;

    writer.barrier().await?;
    let end = vec![
        VersionedRecord::new(ZkMigrationState::Migration.to_record(), 0),
        VersionedRecord::new(EndTransactionRecord::default(), 0),
    ];
    let batches = sink.batches + 1;
    sink.append(end, Txn::End { batches }).await?;
    sink.settle(0)
        .await?
        .ok_or_else(|| Error::unknown(ErrorKind::Unavailable, "the log answered no append of the copy's end"))
}

/// Reads everything as [`copy`] would, and forgets it. What it succeeds with can be copied, unless somebody changes
/// ZooKeeper in between: so it comes before the claim, after which no broker can be controller any more.
///
/// # Errors
/// What the copy would fail with; `Invalid` lists everything that can't be copied.
pub async fn rehearse(zookeeper: &dyn MetadataStore) -> Result<()> {
    zookeeper.load(&mut Forgets).await.map(drop)
}

/// Takes what the log could take, and forgets it.
struct Forgets;

#[async_trait]
impl RecordSink for Forgets {
    async fn accept(&mut self, records: Vec<VersionedRecord>) -> Result<()> {
        let mut scratch = Vec::new();
        records.iter().try_for_each(|record| encoded_size(record, &mut scratch).map(drop))
    }
}

/// Records that wait for their append, and how large they are.
#[derive(Default)]
struct Gathered {
    records: Vec<VersionedRecord>,
    bytes: usize,
}

struct Appender<'a> {
    log: &'a dyn MetadataLog,
    epoch: KRaftLeaderEpoch,
    gathered: Gathered,
    in_flight: VecDeque<Receipt>,
    batches: u32,
    progress: &'a watch::Sender<CopyProgress>,
}

impl Appender<'_> {
    async fn append(&mut self, records: Vec<VersionedRecord>, txn: Txn) -> Result<()> {
        self.settle(APPENDS_IN_FLIGHT_MAX - 1).await?;
        self.batches += 1;
        let batches = self.batches;
        self.progress.send_modify(|progress| {
            progress.batches = batches;
            for record in &records {
                if !is_transaction_record(&record.record) {
                    progress.records += 1;
                    *progress.by_type.entry(record.record.name()).or_default() += 1;
                }
            }
        });
        self.in_flight.push_back(self.log.append(Append { epoch: self.epoch, expected: None, txn, records }));
        Ok(())
    }

    /// Waits until at most `left` appends are unanswered. Returns the position of the last answer.
    async fn settle(&mut self, left: usize) -> Result<Option<Position>> {
        let mut position = None;
        while self.in_flight.len() > left {
            if let Some(receipt) = self.in_flight.pop_front() {
                position = Some(receipt.await?);
            }
        }
        Ok(position)
    }

    async fn flush(&mut self) -> Result<()> {
        let Gathered { records, .. } = std::mem::take(&mut self.gathered);
        if records.is_empty() { Ok(()) } else { self.append(records, Txn::In).await }
    }
}

fn encoded_size(record: &VersionedRecord, scratch: &mut Vec<u8>) -> Result<usize> {
    scratch.clear();
    record.encode(scratch).map_err(|error| {
        Error::not_applied(ErrorKind::Invalid, format!("a {} can't be written into the log", record.record.name()))
            .with_source(error)
    })?;
    Ok(scratch.len())
}

fn is_transaction_record(record: &MetadataRecord) -> bool {
    matches!(record, MetadataRecord::BeginTransaction(_) | MetadataRecord::EndTransaction(_))
}

#[async_trait]
impl RecordSink for Appender<'_> {
    async fn accept(&mut self, records: Vec<VersionedRecord>) -> Result<()> {
        let mut scratch = Vec::new();
        for record in records {
            let bytes = encoded_size(&record, &mut scratch)?;
            if self.gathered.bytes + bytes > BYTES_PER_APPEND || self.gathered.records.len() >= RECORDS_PER_APPEND {
                self.flush().await?;
            }
            self.gathered.bytes += bytes;
            self.gathered.records.push(record);
        }
        Ok(())
    }
}
