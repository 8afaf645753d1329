//! Opens Raft's log: finds what is there, cuts a torn flush, refuses damage.

use std::collections::VecDeque;
use std::path::Path;

use super::entry::{self, StoredLogId};
use super::frame;
use super::synced::{Mark, SyncedFile};
use super::table::{Place, Segment, State};
use super::writer::{self, Files};
use crate::codec::Kind;
use crate::disk::{Disk, During};
use crate::log::Damage;
use crate::log::damage::LogError;
use crate::quorum::types::{LogId, Vote};
use crate::sealed;

/// First bytes of a segment: what it is, and the version of its frames.
pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"kraft-e\x01";

/// The end of a flush that was under way when the machine stopped. It was not acknowledged, and is gone now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TornFlush {
    /// Where it was, and what was unsound.
    pub(crate) place: Damage,
    /// Bytes that were cut.
    pub(crate) bytes: u64,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) files: Files,
    pub(super) state: State,
    pub(super) vote: Option<Vote>,
    /// A torn flush that was cut.
    pub(crate) torn: Option<TornFlush>,
}

impl Opened {
    /// Opens the log in `dir`, which exists. `segment_bytes`: a segment is closed when it has as many bytes.
    ///
    /// # Errors
    /// Damage that is no torn flush, with the place.
    pub(crate) fn open(disk: &Disk, dir: &Path, segment_bytes: u64) -> Result<Self, LogError> {
        let vote = writer::read_vote(dir)?;
        let purged: Option<StoredLogId> = sealed::read(&writer::purged_path(dir), Kind::Purged)?;
        let purged: Option<LogId> = purged.map(Into::into);
        let (synced, mark) = SyncedFile::open(disk, &writer::synced_path(dir))?;
        let firsts = segment_firsts(dir)?;

        let mut segments = VecDeque::new();
        let mut torn = None;
        let mut expected = None;
        for (number, first) in firsts.iter().enumerate() {
            let is_last = number + 1 == firsts.len();
            let path = dir.join(writer::segment_name(*first));
            check_follows(&path, *first, expected, purged)?;
            let file = disk.open(&path)?;
            let bytes = std::fs::read(&path).during("read", &path)?;
            let scanned = scan(&bytes, *first).map_err(|reason| Damage {
                file: path.clone(),
                position: 0,
                offset: None,
                reason,
            })?;
            let segment = Segment { first: *first, file, places: scanned.places };
            if let Some(Unsound::Unreadable(reason)) = scanned.unsound {
                return Err(Damage { file: path, position: scanned.end, offset: None, reason }.into());
            } else if let Some(Unsound::Torn(reason)) = scanned.unsound {
                let place = Damage { file: path.clone(), position: scanned.end, offset: None, reason };
                // Every segment but the last was synced before the next was begun.
                let synced = match mark {
                    _ if !is_last => u64::MAX,
                    Some(mark) if mark.segment == *first => mark.position,
                    Some(mark) if mark.segment > *first => u64::MAX,
                    _ => 0,
                };
                check_torn(&bytes, &place, synced)?;
                segment.file.set_len(scanned.end)?;
                torn = Some(TornFlush { bytes: bytes.len() as u64 - scanned.end, place });
            } else {
                check_reaches_mark(&path, *first, scanned.end, is_last, mark)?;
            }
            expected = Some(segment.end());
            segments.push_back(segment);
        }
        if let (Some(mark), None) = (mark, segments.back()) {
            check_gone(dir, mark, purged)?;
        }
        let state = State::new(segments, purged);
        let mut files = Files::new(disk.clone(), dir.to_owned(), segment_bytes, synced);
        files.adopt(&state)?;
        Ok(Self { files, state, vote, torn })
    }

    /// The term of the vote, hence the latest that this node knows: 0 before its first.
    pub(crate) fn term(&self) -> u64 {
        self.vote.map_or(0, |vote| vote.leader_id.term)
    }

    /// The last entry, or the last purged one.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.state.last()
    }
}

/// A segment starts where the one before ended, but for entries that were purged meanwhile.
fn check_follows(path: &Path, first: u64, expected: Option<u64>, purged: Option<LogId>) -> Result<(), Damage> {
    let purged_end = purged.map_or(0, |purged| purged.index + 1);
    let sound = match expected {
        Some(expected) => first == expected || (first > expected && first <= purged_end),
        None => first <= purged_end,
    };
    if sound {
        return Ok(());
    }
    let expected = expected.map_or(purged_end, |expected| expected.max(purged_end));
    let reason = format!("the segment starts with entry {first} of Raft's log, expected is entry {expected}");
    Err(Damage { file: path.to_owned(), position: 0, offset: None, reason })
}

/// A last segment that is sound to its end may still be shorter than what was synced.
fn check_reaches_mark(path: &Path, first: u64, end: u64, is_last: bool, mark: Option<Mark>) -> Result<(), Damage> {
    let damage = |reason| Err(Damage { file: path.to_owned(), position: end, offset: None, reason });
    match mark {
        Some(mark) if is_last && mark.segment == first && mark.position > end => {
            damage(format!("the segment ends here, but was synced up to byte {}", mark.position))
        }
        Some(mark) if is_last && mark.segment > first => {
            damage(format!("the segment that starts with entry {} of Raft's log is missing", mark.segment))
        }
        _ => Ok(()),
    }
}

/// With no segment at all, everything that was ever synced must have been purged.
fn check_gone(dir: &Path, mark: Mark, purged: Option<LogId>) -> Result<(), Damage> {
    if mark.position <= SEGMENT_MAGIC.len() as u64 || purged.is_some_and(|purged| purged.index >= mark.segment) {
        return Ok(());
    }
    let file = dir.join(writer::segment_name(mark.segment));
    Err(Damage { file, position: 0, offset: None, reason: "the segment is missing".to_owned() })
}

/// Lets a torn flush pass: unsound bytes behind which no later flush starts, past the synced position.
fn check_torn(bytes: &[u8], place: &Damage, synced: u64) -> Result<(), Damage> {
    let damage = |why: String| Err(Damage { reason: format!("{}; {why}", place.reason), ..place.clone() });
    if place.position < synced {
        return match synced {
            u64::MAX => damage("a later segment follows, so it was synced".to_owned()),
            _ => damage(format!("the segment was synced up to byte {synced}")),
        };
    }
    match frame::find_flush_start(bytes, 0, place.position + 1) {
        Some(later) => damage(format!("a later entry is sound, at byte {later}")),
        None => Ok(()),
    }
}

struct Scanned {
    places: Vec<Place>,
    /// Byte after the last sound frame (exclusive).
    end: u64,
    /// Why there is none after it, unless the segment ends there.
    unsound: Option<Unsound>,
}

/// Why there is no entry where one is expected.
enum Unsound {
    /// The bytes are no frame of this place: they may be of a torn flush.
    Torn(String),
    /// The frame is whole, but its entry is none that is known here.
    Unreadable(String),
}

/// Goes through a segment's frames. An error: it is no segment at all.
fn scan(bytes: &[u8], first: u64) -> Result<Scanned, String> {
    let mut scanned = Scanned { places: Vec::new(), end: 0, unsound: None };
    let Some(mut rest) = bytes.strip_prefix(&SEGMENT_MAGIC) else {
        // The file is created, then its first bytes are written: either may be all that reached the disk.
        if SEGMENT_MAGIC.starts_with(bytes) || bytes.iter().all(|byte| *byte == 0) {
            scanned.unsound = Some(Unsound::Torn("the segment was not begun to its end".to_owned()));
            return Ok(scanned);
        }
        return Err("it is no segment of Raft's log, or one of a version that is not known here".to_owned());
    };
    scanned.end = SEGMENT_MAGIC.len() as u64;
    while !rest.is_empty() {
        match place(rest, scanned.end, first + scanned.places.len() as u64) {
            Ok((place, size)) => {
                scanned.places.push(place);
                scanned.end += size;
                rest = usize::try_from(size).ok().and_then(|size| rest.get(size..)).unwrap_or_default();
            }
            Err(unsound) => {
                scanned.unsound = Some(unsound);
                break;
            }
        }
    }
    Ok(scanned)
}

/// The entry at the front of `bytes`, which must have the index `index`, and its frame's size.
fn place(bytes: &[u8], position: u64, index: u64) -> Result<(Place, u64), Unsound> {
    let frame = frame::parse(bytes).map_err(Unsound::Torn)?;
    if frame.flush_start > position {
        let reason = format!("the frame says that its flush starts behind it, at byte {}", frame.flush_start);
        return Err(Unsound::Torn(reason));
    }
    let unreadable = |error| Unsound::Unreadable(format!("entry {index} of Raft's log can't be read: {error}"));
    let entry = entry::decode(frame.entry).map_err(unreadable)?;
    if entry.log_id.index != index {
        let found = entry.log_id.index;
        return Err(Unsound::Torn(format!("entry {found} of Raft's log lies where entry {index} is expected")));
    }
    let place = Place { term: entry.log_id.leader_id.term, position, size: frame.entry.len() as u32 };
    Ok((place, frame.size()))
}

fn segment_firsts(dir: &Path) -> Result<Vec<u64>, LogError> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(dir).during("list", dir)? {
        let name = entry.during("list", dir)?.file_name();
        firsts.extend(name.to_str().and_then(writer::parse_segment_name));
    }
    firsts.sort_unstable();
    Ok(firsts)
}
