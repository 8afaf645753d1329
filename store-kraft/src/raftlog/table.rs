//! Where each entry lies, shared by the thread that writes and everybody who reads.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use super::entry;
use super::frame::{self, FRAME_HEADER_LEN};
use crate::disk::{DiskError, DiskFile};
use crate::log::Damage;
use crate::quorum::types::{Entry, LogId, log_id};

/// Bytes of the newest entries that are kept in memory: what is applied was nearly always just written.
const RECENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where an entry's frame lies in its segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) term: u64,
    pub(super) position: u64,
    pub(super) size: u32,
}

/// A segment of consecutive entries.
#[derive(Debug)]
pub(super) struct Segment {
    /// Index of the first entry, also of an empty segment.
    pub(super) first: u64,
    pub(super) file: DiskFile,
    pub(super) places: Vec<Place>,
}

impl Segment {
    /// Index after the last entry (exclusive).
    pub(super) fn end(&self) -> u64 {
        self.first + self.places.len() as u64
    }
}

/// Why an entry can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EntryError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("entry {0} of Raft's log was purged or never written")]
    Missing(u64),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) segments: VecDeque<Segment>,
    /// The last entry that is gone because a snapshot covers it.
    pub(super) purged: Option<LogId>,
    recent: VecDeque<(Entry, usize)>,
    recent_bytes: usize,
}

impl State {
    pub(super) fn new(segments: VecDeque<Segment>, purged: Option<LogId>) -> Self {
        Self { segments, purged, ..Self::default() }
    }

    fn segment_of(&self, index: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.first <= index);
        self.segments.get(after.checked_sub(1)?).filter(|segment| index < segment.end())
    }

    pub(super) fn place(&self, index: u64) -> Option<(&Segment, Place)> {
        let segment = self.segment_of(index)?;
        let place = segment.places.get(usize::try_from(index - segment.first).ok()?)?;
        Some((segment, *place))
    }

    /// The last entry, or the last purged one when there is none.
    pub(super) fn last(&self) -> Option<LogId> {
        let last = self.segments.iter().rev().find(|segment| !segment.places.is_empty()).and_then(|segment| {
            let place = segment.places.last()?;
            Some(log_id(place.term, segment.end() - 1))
        });
        last.filter(|last| self.purged.is_none_or(|purged| purged.index < last.index)).or(self.purged)
    }

    /// First index that is there (inclusive), were there any.
    fn first(&self) -> u64 {
        let written = self.segments.front().map_or(0, |segment| segment.first);
        written.max(self.purged.map_or(0, |purged| purged.index + 1))
    }

    /// Index after the last entry (exclusive).
    pub(super) fn end(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    pub(super) fn remember(&mut self, entry: Entry, size: usize) {
        self.recent_bytes += size;
        self.recent.push_back((entry, size));
        while self.recent_bytes > RECENT_BYTES_MAX {
            let Some((_, size)) = self.recent.pop_front() else { break };
            self.recent_bytes -= size;
        }
    }

    /// Forgets entries from `index` on (inclusive).
    pub(super) fn forget_from(&mut self, index: u64) {
        while self.recent.back().is_some_and(|(entry, _)| entry.log_id.index >= index) {
            if let Some((_, size)) = self.recent.pop_back() {
                self.recent_bytes -= size;
            }
        }
    }

    fn recent(&self, index: u64) -> Option<&Entry> {
        let first = self.recent.front()?.0.log_id.index;
        let (entry, _) = self.recent.get(usize::try_from(index.checked_sub(first)?).ok()?)?;
        Some(entry)
    }
}

/// Reads entries. Every entry that was acknowledged and not purged can be read; what is being written can't.
#[derive(Debug, Default)]
pub(crate) struct RaftLogTable(RwLock<State>);

impl RaftLogTable {
    pub(super) fn new(state: State) -> Self {
        Self(RwLock::new(state))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last purged entry, and the last entry or the last purged one.
    pub(super) fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        self.with(|state| (state.purged, state.last()))
    }

    /// The part of `start` (inclusive) to `end` (exclusive) that is there.
    pub(super) fn present(&self, start: u64, end: u64) -> std::ops::Range<u64> {
        self.with(|state| start.max(state.first())..end.min(state.end()))
    }

    /// Bytes of the entries from `start` (inclusive) to `end` (exclusive) that are there.
    pub(crate) fn bytes(&self, start: u64, end: u64) -> u64 {
        let size = |state: &State, index| state.place(index).map_or(0, |(_, place)| u64::from(place.size));
        self.present(start, end).map(|index| self.with(|state| size(state, index))).sum()
    }

    /// The end (exclusive) of the entries from `start` (inclusive) on that have `bytes` together, at most, and are before
    /// `end` (exclusive). One is always among them, however large it is.
    pub(super) fn end_within(&self, start: u64, end: u64, bytes: u64) -> u64 {
        self.with(|state| {
            let mut total = 0;
            let fits = |index: &u64| {
                total += state.place(*index).map_or(0, |(_, place)| u64::from(place.size));
                *index == start || total <= bytes
            };
            start + (start..end).take_while(fits).count() as u64
        })
    }

    /// The entry, if it is still in memory.
    pub(super) fn recent(&self, index: u64) -> Option<Entry> {
        self.with(|state| state.recent(index).cloned())
    }

    /// Reads an entry. It may wait for the disk.
    ///
    /// # Errors
    /// It is not there, can't be read, or is damaged.
    pub(crate) fn read(&self, index: u64) -> Result<Entry, EntryError> {
        enum Found {
            Recent(Entry),
            OnDisk(DiskFile, Place),
        }
        let found = self.with(|state| match state.recent(index) {
            Some(entry) => Some(Found::Recent(entry.clone())),
            None => state.place(index).map(|(segment, place)| Found::OnDisk(segment.file.clone(), place)),
        });
        let (file, place) = match found.ok_or(EntryError::Missing(index))? {
            Found::Recent(entry) => return Ok(entry),
            Found::OnDisk(file, place) => (file, place),
        };
        let mut bytes = vec![0; place.size as usize + FRAME_HEADER_LEN];
        file.read_at(&mut bytes, place.position)?;
        let damage = |reason: String| Damage {
            file: file.path().to_owned(),
            position: place.position,
            offset: None,
            reason: format!("entry {index} of Raft's log: {reason}"),
        };
        let frame = frame::parse(&bytes).map_err(damage)?;
        let entry = entry::decode(frame.entry).map_err(|error| damage(error.to_string()))?;
        if entry.log_id != log_id(place.term, index) {
            return Err(damage(format!("it says that it is {}", entry.log_id)).into());
        }
        Ok(entry)
    }
}
