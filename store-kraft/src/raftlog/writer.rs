//! The files of Raft's log, owned by one thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata_core::error::ErrorKind;
use serde::{Deserialize, Serialize};

use super::entry::{self, StoredLogId};
use super::frame;
use super::open::SEGMENT_MAGIC;
use super::synced::{Mark, SyncedFile};
use super::table::{Place, RaftLogTable, Segment, State};
use crate::codec::Kind;
use crate::disk::{Disk, DiskFile, DiskResult};
use crate::health::Health;
use crate::log::damage::LogError;
use crate::quorum::types::{Entry, LogId, Vote};
use crate::sealed::{self, SealError};

/// Why Raft's log was not written. Nothing may be written after it: see [`DiskFile::sync`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    #[error(transparent)]
    Sealed(#[from] SealError),
    #[error("entry {index} of Raft's log can't be encoded: {source}")]
    Encode { index: u64, source: crate::codec::CodecError },
    #[error("entry {found} of Raft's log was to be written, expected is entry {expected}")]
    Gap { found: u64, expected: u64 },
}

/// The vote as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredVote {
    term: u64,
    voted_for: Option<u64>,
    committed: bool,
}

impl From<&Vote> for StoredVote {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, voted_for: vote.leader_id.voted_for, committed: vote.committed }
    }
}

impl From<StoredVote> for Vote {
    fn from(stored: StoredVote) -> Self {
        let leader_id = openraft::LeaderId { term: stored.term, voted_for: stored.voted_for };
        Self { leader_id, committed: stored.committed }
    }
}

pub(super) fn segment_name(first: u64) -> String {
    format!("{first:020}.entries")
}

pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".entries")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

pub(super) fn synced_path(dir: &Path) -> PathBuf {
    dir.join("synced")
}

pub(super) fn purged_path(dir: &Path) -> PathBuf {
    dir.join("purged")
}

pub(crate) fn vote_path(dir: &Path) -> PathBuf {
    dir.join("vote")
}

/// The vote that was last saved.
pub(super) fn read_vote(dir: &Path) -> Result<Option<Vote>, LogError> {
    let stored: Option<StoredVote> = sealed::read(&vote_path(dir), Kind::Vote)?;
    Ok(stored.map(Into::into))
}

/// The files. Not shared: the table says to others what is in them.
#[derive(Debug)]
pub(super) struct Files {
    disk: Disk,
    dir: PathBuf,
    segment_bytes: u64,
    synced: SyncedFile,
    /// The last segment and its bytes.
    last: Option<(u64, DiskFile, u64)>,
    buffer: Vec<u8>,
}

impl Files {
    pub(super) fn new(disk: Disk, dir: PathBuf, segment_bytes: u64, synced: SyncedFile) -> Self {
        Self { disk, dir, segment_bytes, synced, last: None, buffer: Vec::new() }
    }

    /// Goes on where an opened log ends. What was found there, synced by whom it may, is synced now.
    pub(super) fn adopt(&mut self, state: &State) -> DiskResult<()> {
        let Some(segment) = state.segments.back() else { return Ok(()) };
        let mut length = segment.file.len()?;
        if length < SEGMENT_MAGIC.len() as u64 {
            segment.file.write_at(&SEGMENT_MAGIC, 0)?;
            length = SEGMENT_MAGIC.len() as u64;
        }
        segment.file.sync()?;
        self.disk.sync_dir(&self.dir)?;
        self.last = Some((segment.first, segment.file.clone(), length));
        self.synced.raise(Mark { segment: segment.first, position: length })
    }

    /// Writes entries as one flush and syncs them. Once it returns they are durable and can be read.
    pub(super) fn append(&mut self, table: &RaftLogTable, entries: &[Entry]) -> Result<(), WriteError> {
        let Some(first) = entries.first().map(|entry| entry.log_id.index) else { return Ok(()) };
        // Only right after a purge of everything there may be a gap: then the log starts anew.
        let (expected, is_empty) = table.with(|state| (state.end(), state.last() == state.purged));
        if first != expected && !is_empty {
            return Err(WriteError::Gap { found: first, expected });
        }
        let follows = table.with(|state| state.segments.back().is_some_and(|last| last.end() == first));
        let full = self.last.as_ref().is_none_or(|(_, _, length)| *length >= self.segment_bytes);
        if full || !follows {
            self.roll(table, first)?;
        }
        let Some((segment, file, length)) = &mut self.last else { return Ok(()) };
        let flush_start = *length;
        self.buffer.clear();
        let mut places = Vec::with_capacity(entries.len());
        let mut sizes = Vec::with_capacity(entries.len());
        for (expected, entry) in (first..).zip(entries) {
            let index = entry.log_id.index;
            if index != expected {
                return Err(WriteError::Gap { found: index, expected });
            }
            let bytes = entry::encode(entry).map_err(|source| WriteError::Encode { index, source })?;
            let position = flush_start + self.buffer.len() as u64;
            places.push(Place { term: entry.log_id.leader_id.term, position, size: bytes.len() as u32 });
            sizes.push(bytes.len());
            frame::put(&mut self.buffer, flush_start, &bytes);
        }
        file.write_at(&self.buffer, flush_start)?;
        file.sync()?;
        *length += self.buffer.len() as u64;
        self.synced.raise(Mark { segment: *segment, position: *length })?;
        // A buffer for one large flush is not kept for many small ones.
        self.buffer.shrink_to(1 << 20);
        table.change(|state| {
            if let Some(last) = state.segments.back_mut() {
                last.places.extend(places);
            }
            for (entry, size) in entries.iter().zip(sizes) {
                state.remember(entry.clone(), size);
            }
        });
        Ok(())
    }

    /// Begins a segment. The one before is synced: every flush is.
    fn roll(&mut self, table: &RaftLogTable, first: u64) -> DiskResult<()> {
        let file = self.disk.create(&self.dir.join(segment_name(first)))?;
        file.write_at(&SEGMENT_MAGIC, 0)?;
        file.sync()?;
        self.disk.sync_dir(&self.dir)?;
        table.change(|state| {
            state.segments.push_back(Segment { first, file: file.clone(), places: Vec::new() });
            state.forget_from(first);
        });
        self.last = Some((first, file, SEGMENT_MAGIC.len() as u64));
        Ok(())
    }

    /// Removes the entries from `index` on (inclusive), durably.
    pub(super) fn truncate(&mut self, table: &RaftLogTable, index: u64) -> Result<(), WriteError> {
        let cut = table.with(|state| state.place(index).map(|(segment, place)| (segment.first, place.position)));
        let Some((segment, position)) = cut else { return Ok(()) };
        self.synced.lower(Mark { segment, position })?;
        // Later segments first: a crash leaves a log that is cut further back than before, never one with a hole.
        while let Some(last) = table.change(|state| match state.segments.back() {
            Some(last) if last.first > segment => state.segments.pop_back(),
            _ => None,
        }) {
            self.disk.remove(last.file.path())?;
            self.disk.sync_dir(&self.dir)?;
        }
        let file = table.change(|state| {
            state.forget_from(index);
            let last = state.segments.back_mut()?;
            last.places.truncate(usize::try_from(index - last.first).unwrap_or(0));
            Some(last.file.clone())
        });
        if let Some(file) = file {
            file.set_len(position)?;
            file.sync()?;
            self.last = Some((segment, file, position));
        }
        Ok(())
    }

    /// Removes the entries up to `upto` (inclusive). Space is given back by whole segments.
    pub(super) fn purge(&mut self, table: &RaftLogTable, upto: LogId) -> Result<(), WriteError> {
        if table.with(|state| state.purged.is_some_and(|purged| purged.index >= upto.index)) {
            return Ok(());
        }
        sealed::write(&self.disk, &purged_path(&self.dir), Kind::Purged, &StoredLogId::from(upto))?;
        table.change(|state| state.purged = Some(upto));
        loop {
            // The last segment stays: the mark names it.
            let removed = table.change(|state| {
                let second = state.segments.get(1)?.first;
                if second <= upto.index + 1 { state.segments.pop_front() } else { None }
            });
            let Some(segment) = removed else { break };
            self.disk.remove(segment.file.path())?;
        }
        self.disk.sync_dir(&self.dir)?;
        Ok(())
    }

    /// Saves the vote, durably.
    pub(super) fn save_vote(&self, vote: &Vote) -> Result<(), WriteError> {
        Ok(sealed::write(&self.disk, &vote_path(&self.dir), Kind::Vote, &StoredVote::from(vote))?)
    }
}

/// An order to the thread, with where its answer goes.
pub(super) enum Order {
    Append(Vec<Entry>, Answer),
    Truncate(u64, Answer),
    Purge(LogId, Answer),
    SaveVote(Vote, Answer),
}

pub(super) type Answer = tokio::sync::oneshot::Sender<Result<(), Arc<WriteError>>>;

/// Carries out orders, one after the other, until nobody can send any more. After the first failure every order fails
/// with it.
pub(super) fn run(mut files: Files, table: &RaftLogTable, orders: std::sync::mpsc::Receiver<Order>, health: &Health) {
    let mut failed: Option<Arc<WriteError>> = None;
    for order in orders {
        let mut carry_out = |work: &dyn Fn(&mut Files) -> Result<(), WriteError>| match &failed {
            Some(error) => Err(Arc::clone(error)),
            None => work(&mut files).map_err(Arc::new),
        };
        let (answer, result) = match order {
            Order::Append(entries, answer) => (answer, carry_out(&|files| files.append(table, &entries))),
            Order::Truncate(index, answer) => (answer, carry_out(&|files| files.truncate(table, index))),
            Order::Purge(upto, answer) => (answer, carry_out(&|files| files.purge(table, upto))),
            Order::SaveVote(vote, answer) => (answer, carry_out(&|files| files.save_vote(&vote))),
        };
        if let Err(error) = &result {
            failed.get_or_insert_with(|| {
                tracing::error!(%error, "Raft's log stops");
                health.stop(ErrorKind::Unavailable, error.to_string());
                Arc::clone(error)
            });
        }
        // Whoever asked may have been stopped meanwhile; the order was carried out all the same.
        let _ = answer.send(result);
    }
}
