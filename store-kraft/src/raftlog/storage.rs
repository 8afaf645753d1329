//! Raft's log as openraft sees it.

use std::collections::Bound;
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use metadata_core::error::ErrorKind;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader, StorageIOError};
use tokio::sync::{oneshot, watch};

use super::open::Opened;
use super::table::{EntryError, RaftLogTable};
use super::writer::{self, Order, WriteError};
use crate::health::Health;
use crate::log::lock::DirectoryLock;
use crate::quorum::types::{Entry, LogId, RaftNodeId, RaftTypes, StorageError, Vote};

/// Entries go to other members in groups of so many bytes, at most; a larger one goes alone.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// Raft's log. Clones are the same log; its thread ends when the last of them is dropped.
#[derive(Debug, Clone)]
pub(crate) struct RaftLogStore {
    orders: mpsc::Sender<Order>,
    table: Arc<RaftLogTable>,
    vote: Option<Vote>,
    health: Health,
    /// Up to which entry (inclusive) the applied state is durable. Nothing above it is purged.
    durable: Option<watch::Receiver<Option<u64>>>,
}

impl RaftLogStore {
    /// Starts the thread that owns the files of an opened log.
    ///
    /// A leader's own vote is handed to openraft as a mere candidate's. Otherwise it would go on leading in the term in
    /// which it stopped, while a term is Kafka's leader epoch and starts with a LeaderChange batch: each start of a leader
    /// needs a term of its own. Nobody else can lead in the old term, for which this node has voted for itself.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(
        opened: Opened,
        own_id: RaftNodeId,
        health: Health,
        lock: Arc<DirectoryLock>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let Opened { files, state, mut vote, .. } = opened;
        if let Some(vote) = &mut vote
            && vote.leader_id.voted_for == Some(own_id)
        {
            vote.committed = false;
        }
        let table = Arc::new(RaftLogTable::new(state));
        let (orders, receiver) = mpsc::channel();
        let shared = Arc::clone(&table);
        let failure = health.clone();
        let run = move || {
            writer::run(files, &shared, receiver, &failure);
            // Nobody else opens the directory while this thread may still write.
            drop(lock);
        };
        let thread = std::thread::Builder::new().name("raft-log".to_owned()).spawn(run)?;
        Ok((Self { orders, table, vote, health, durable: None }, thread))
    }

    /// Purges no entry before the applied state has it durably. openraft gives the log back while a snapshot that was received
    /// is still being installed: a crash in between would leave neither the entries nor what they amount to.
    pub(crate) fn purging_behind(self, durable: watch::Receiver<Option<u64>>) -> Self {
        Self { durable: Some(durable), ..self }
    }

    #[cfg(test)]
    pub(super) fn stop_for_test(&self) {
        self.health.stop(ErrorKind::Unavailable, "a test says so");
    }

    /// Where entries can be read.
    pub(crate) fn table(&self) -> Arc<RaftLogTable> {
        Arc::clone(&self.table)
    }

    async fn carry_out(&self, order: impl FnOnce(writer::Answer) -> Order) -> Result<(), Arc<WriteError>> {
        let (answer, answered) = oneshot::channel();
        let stopped = || Arc::new(WriteError::Disk(stopped()));
        self.orders.send(order(answer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn stopped() -> crate::disk::DiskError {
    let source = std::io::Error::other("its thread has stopped");
    crate::disk::DiskError { operation: "write to", path: "raft".into(), source }
}

fn write_error(error: &WriteError) -> StorageError {
    StorageIOError::write_logs(AnyError::new(error)).into()
}

/// The bounds of a range: inclusive start, exclusive end.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<RaftTypes> for RaftLogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let (start, end) = bounds(&range);
        let present = self.table.present(start, end);
        let recent: Option<Vec<Entry>> = present.clone().map(|index| self.table.recent(index)).collect();
        if let Some(entries) = recent {
            return Ok(entries);
        }
        let table = Arc::clone(&self.table);
        let read = move || present.map(|index| table.read(index)).collect::<Result<Vec<_>, _>>();
        let entries = tokio::task::spawn_blocking(read).await;
        let error = |error: AnyError| StorageError::from(StorageIOError::read_logs(error));
        entries.map_err(|join| error(AnyError::new(&join)))?.map_err(|unread| {
            let kind = match &unread {
                EntryError::Disk(_) => ErrorKind::Unavailable,
                EntryError::Damage(_) | EntryError::Missing(_) => ErrorKind::Corrupt,
            };
            self.health.stop(kind, unread.to_string());
            error(AnyError::new(&unread))
        })
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let end = self.table.end_within(start, end, BYTES_AT_ONCE);
        self.try_get_log_entries(start..end).await
    }
}

impl RaftLogStorage<RaftTypes> for RaftLogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<RaftTypes>, StorageError> {
        let (last_purged_log_id, last_log_id) = self.table.ends();
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let saved = self.carry_out(|answer| Order::SaveVote(*vote, answer)).await;
        saved.map_err(|error| StorageIOError::write_vote(AnyError::new(&*error)))?;
        self.vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.vote)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<RaftTypes>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        // openraft 0.9 waits for the flush of one append before it makes the next, so there is nothing to overlap.
        let appended = self.carry_out(|answer| Order::Append(entries, answer)).await;
        let reported = appended.clone().map_err(|error| std::io::Error::other(error.to_string()));
        callback.log_io_completed(reported);
        appended.map_err(|error| write_error(&error))
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let cut = self.carry_out(|answer| Order::Truncate(log_id.index, answer)).await;
        cut.map_err(|error| write_error(&error))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        if let Some(durable) = &mut self.durable {
            tokio::select! {
                waited = durable.wait_for(|durable| *durable >= Some(log_id.index)) => {
                    waited.map_err(|_| write_error(&WriteError::Disk(stopped())))?;
                }
                stopped = self.health.wait() => {
                    return Err(StorageIOError::write_logs(AnyError::new(&stopped)).into());
                }
            }
        }
        let purged = self.carry_out(|answer| Order::Purge(log_id, answer)).await;
        purged.map_err(|error| write_error(&error))
    }
}
