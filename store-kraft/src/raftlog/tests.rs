use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{RaftLogId, RaftLogReader};

use super::RaftLogStore;
use super::open::{Opened, SEGMENT_MAGIC, TornFlush};
use super::table::{EntryError, RaftLogTable};
use super::writer::{Files, WriteError};
use crate::codec::Blob;
use crate::disk::Disk;
use crate::health::Health;
use crate::log::Damage;
use crate::log::damage::LogError;
use crate::log::lock::DirectoryLock;
use crate::quorum::proposal::{Proposal, ProposedBatch, ProposedTxn};
use crate::quorum::types::{Entry, Payload, Vote, log_id};

/// Small, so that there are several segments.
const SEGMENT_BYTES: u64 = 200;

fn entry(term: u64, index: u64) -> Entry {
    let batch = Blob(Bytes::from(vec![index as u8; 40]));
    let batch = ProposedBatch { expected: Some(index as i64), txn: ProposedTxn::None, batch };
    Entry { log_id: log_id(term, index), payload: Payload::Normal(Proposal::Append { epoch: 1, batches: vec![batch] }) }
}

/// The log without its thread.
struct Direct {
    files: Files,
    table: RaftLogTable,
    torn: Option<TornFlush>,
}

fn try_open(disk: &Disk, dir: &Path) -> Result<Direct, LogError> {
    let opened = Opened::open(disk, dir, SEGMENT_BYTES)?;
    Ok(Direct { table: RaftLogTable::new(opened.state), files: opened.files, torn: opened.torn })
}

fn open(dir: &Path) -> Direct {
    try_open(&Disk::default(), dir).unwrap()
}

fn damage(dir: &Path) -> Damage {
    match try_open(&Disk::default(), dir) {
        Err(LogError::Damage(damage)) => damage,
        Err(error) => panic!("{error}"),
        Ok(opened) => panic!("opened, {:?}", opened.torn),
    }
}

impl Direct {
    fn append(&mut self, entries: Vec<Entry>) {
        self.files.append(&self.table, &entries).unwrap();
    }

    fn indexes(&self) -> Vec<u64> {
        let present = self.table.present(0, u64::MAX);
        present.map(|index| self.table.read(index).unwrap().log_id.index).collect()
    }
}

/// Entries 0 to 12, each a flush of its own but for 10, 11 and 12, which share the last one.
fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    for index in 0..10 {
        log.append(vec![entry(1, index)]);
    }
    log.append((10..13).map(|index| entry(1, index)).collect());
    dir
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "entries"));
    files.sort();
    files
}

/// The bytes at which the frames of a segment begin.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = SEGMENT_MAGIC.len();
    while let Ok(frame) = super::frame::parse(&bytes[at..]) {
        starts.push(at);
        at += frame.size() as usize;
    }
    starts
}

#[test]
fn entries_are_found_again() {
    let dir = written();
    let log = open(dir.path());
    assert!(segments(dir.path()).len() > 2);
    assert_eq!(log.torn, None);
    assert_eq!(log.indexes(), (0..13).collect::<Vec<_>>());
    assert_eq!(log.table.ends().1, Some(log_id(1, 12)));
    for index in 0..13 {
        let (read, expected) = (log.table.read(index).unwrap(), entry(1, index));
        assert_eq!(format!("{:?}", read.payload), format!("{:?}", expected.payload));
    }
    assert!(matches!(log.table.read(13), Err(EntryError::Missing(13))));
}

#[test]
fn a_torn_last_flush_is_cut_at_every_byte_and_reported_once() {
    let dir = written();
    let last = segments(dir.path()).pop().unwrap();
    let sound = fs::read(&last).unwrap();
    let starts = frames(&sound);
    let first_of_flush = *starts.iter().rev().nth(2).unwrap();
    // The mark lags by one flush, as after a power failure in the middle of the last one.
    for cut in first_of_flush + 1..sound.len() {
        fs::remove_file(dir.path().join("synced")).unwrap();
        fs::write(&last, &sound[..cut]).unwrap();
        let whole = starts.iter().filter(|start| **start > first_of_flush && **start <= cut).count() as u64;
        let boundary = starts.contains(&cut);
        let log = open(dir.path());
        assert_eq!(log.torn.is_none(), boundary, "cut at {cut}");
        if let Some(torn) = &log.torn {
            assert_eq!(torn.place.file, last);
            assert!(starts.contains(&(torn.place.position as usize)), "cut at {cut}: {:?}", torn);
            assert_eq!(torn.bytes as usize, cut - torn.place.position as usize);
        }
        assert_eq!(log.indexes().len() as u64, 10 + whole, "cut at {cut}");
        assert_eq!(open(dir.path()).torn, None, "cut at {cut}");
        fs::write(&last, &sound).unwrap();
    }
}

#[test]
fn a_torn_last_flush_may_have_lost_any_of_its_pages() {
    let dir = written();
    let last = segments(dir.path()).pop().unwrap();
    let sound = fs::read(&last).unwrap();
    let starts = frames(&sound);
    let [first, second, third] = starts[starts.len() - 3..] else { panic!() };
    for (name, zeroed, kept) in
        [("first", first..second, 10), ("second", second..third, 11), ("third", third..sound.len(), 12)]
    {
        let mut torn = sound.clone();
        torn[zeroed].fill(0);
        fs::write(&last, &torn).unwrap();
        fs::remove_file(dir.path().join("synced")).unwrap();
        let log = open(dir.path());
        assert!(log.torn.is_some(), "{name}");
        assert_eq!(log.indexes().len(), kept, "{name}");
        fs::write(&last, &sound).unwrap();
    }
}

/// What a later version wrote is not cut, wherever it lies and whatever is known to be synced.
#[test]
fn a_whole_frame_whose_entry_is_not_known_is_refused_and_left_alone() {
    let dir = written();
    let last = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let position = bytes.len() as u64;
    super::frame::put(&mut bytes, position, b"an entry of a later version");
    fs::write(&last, &bytes).unwrap();
    fs::remove_file(dir.path().join("synced")).unwrap();
    let damage = damage(dir.path());
    assert_eq!((&damage.file, damage.position), (&last, position));
    assert!(damage.reason.contains("entry 13 of Raft's log can't be read"), "{damage}");
    assert_eq!(fs::read(&last).unwrap(), bytes);
}

#[test]
fn what_was_synced_must_be_there() {
    let dir = written();
    let last = segments(dir.path()).pop().unwrap();
    let sound = fs::read(&last).unwrap();
    for cut in 0..sound.len() {
        fs::write(&last, &sound[..cut]).unwrap();
        let damage = damage(dir.path());
        assert_eq!(damage.file, last, "cut at {cut}");
        assert!(damage.reason.contains("was synced up to byte"), "cut at {cut}: {damage}");
    }
}

#[test]
fn a_flipped_byte_anywhere_is_refused_with_the_place_of_its_entry() {
    let dir = written();
    for file in segments(dir.path()) {
        let sound = fs::read(&file).unwrap();
        let starts = frames(&sound);
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 0x10;
            fs::write(&file, &flipped).unwrap();
            let damage = damage(dir.path());
            let start = starts.iter().rev().find(|start| **start <= at).copied().unwrap_or(0);
            assert_eq!((&damage.file, damage.position), (&file, start as u64), "byte {at}");
        }
        fs::write(&file, &sound).unwrap();
    }
    assert_eq!(open(dir.path()).indexes().len(), 13);
}

/// The mark is only a hint that may be lost: a sound later flush proves as well that what precedes it was synced.
#[test]
fn damage_before_a_later_flush_is_refused_without_the_mark_too() {
    let dir = written();
    fs::remove_file(dir.path().join("synced")).unwrap();
    let last = segments(dir.path()).pop().unwrap();
    let sound = fs::read(&last).unwrap();
    let starts = frames(&sound);
    assert!(starts.len() >= 4, "the last segment must have a flush before its last one");
    let flush = starts[starts.len() - 3];
    for at in SEGMENT_MAGIC.len()..flush {
        let mut flipped = sound.clone();
        flipped[at] ^= 1;
        fs::write(&last, &flipped).unwrap();
        assert!(damage(dir.path()).reason.contains("a later entry is sound"), "byte {at}");
        let _ = fs::remove_file(dir.path().join("synced"));
    }
}

#[test]
fn a_missing_segment_is_refused() {
    let dir = written();
    let files = segments(dir.path());
    for (number, file) in files.iter().enumerate() {
        let bytes = fs::read(file).unwrap();
        fs::remove_file(file).unwrap();
        let damage = damage(dir.path());
        let expected = if number + 1 == files.len() { "is missing" } else { "expected is entry" };
        assert!(damage.reason.contains(expected), "{number}: {damage}");
        fs::write(file, bytes).unwrap();
    }
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    assert!(damage(dir.path()).reason.contains("is missing"));
}

#[test]
fn a_segment_of_another_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("00000000000000000000.entries");
    fs::write(&path, b"kraft-e\x02 whatever a later version writes").unwrap();
    assert!(damage(dir.path()).reason.contains("not known here"));
    assert!(fs::metadata(&path).unwrap().len() > 8);
}

#[test]
fn a_segment_that_was_hardly_begun_is_begun_again() {
    for begun in [&b""[..], b"kra", &SEGMENT_MAGIC, &[0; 30]] {
        let dir = written();
        let first = 13;
        let path = dir.path().join(format!("{first:020}.entries"));
        fs::write(&path, begun).unwrap();
        let mut log = open(dir.path());
        log.append(vec![entry(2, first)]);
        drop(log);
        assert_eq!(open(dir.path()).indexes().len(), 14, "{begun:?}");
    }
}

#[test]
fn truncation_removes_the_end_durably() {
    for index in 0..13 {
        let dir = written();
        let mut log = open(dir.path());
        log.files.truncate(&log.table, index).unwrap();
        assert_eq!(log.indexes(), (0..index).collect::<Vec<_>>());
        assert_eq!(open(dir.path()).indexes(), (0..index).collect::<Vec<_>>(), "from {index}");
        log.append(vec![entry(3, index)]);
        let log = open(dir.path());
        assert_eq!((log.torn, log.table.ends().1), (None, Some(log_id(3, index))), "from {index}");
    }
}

#[test]
fn purging_removes_the_start_and_survives_a_restart() {
    for upto in 0..13 {
        let dir = written();
        let mut log = open(dir.path());
        log.files.purge(&log.table, log_id(1, upto)).unwrap();
        for log in [&log, &open(dir.path())] {
            assert_eq!(log.indexes(), (upto + 1..13).collect::<Vec<_>>(), "up to {upto}");
            assert_eq!(log.table.ends(), (Some(log_id(1, upto)), Some(log_id(1, 12))));
            assert!(matches!(log.table.read(upto + 1), Ok(_) | Err(EntryError::Missing(13))));
        }
        log.append(vec![entry(2, 13)]);
        assert_eq!(open(dir.path()).table.ends().1, Some(log_id(2, 13)));
    }
    let dir = written();
    let before = segments(dir.path()).len();
    let mut log = open(dir.path());
    log.files.purge(&log.table, log_id(1, 12)).unwrap();
    assert!(segments(dir.path()).len() < before, "segments give their space back");
}

/// After a snapshot from the leader the log goes on behind what it never had.
#[test]
fn purging_past_the_end_lets_the_log_go_on_there() {
    let dir = written();
    let mut log = open(dir.path());
    log.files.purge(&log.table, log_id(4, 20)).unwrap();
    assert_eq!(log.table.ends(), (Some(log_id(4, 20)), Some(log_id(4, 20))));
    log.append(vec![entry(4, 21)]);
    let log = open(dir.path());
    assert_eq!(log.indexes(), [21]);
    assert_eq!(log.table.ends().1, Some(log_id(4, 21)));
}

#[test]
fn a_hole_is_never_written() {
    let dir = written();
    let mut log = open(dir.path());
    let error = log.files.append(&log.table, &[entry(1, 14)]).unwrap_err();
    assert!(matches!(error, WriteError::Gap { found: 14, expected: 13 }));
    let error = log.files.append(&log.table, &[entry(1, 13), entry(1, 15)]).unwrap_err();
    assert!(matches!(error, WriteError::Gap { found: 15, expected: 14 }));
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    for room in (0..900).step_by(7) {
        let dir = tempfile::tempdir().unwrap();
        let mut acknowledged = 0;
        let error = match try_open(&Disk::with_room(room), dir.path()) {
            Err(error) => error.to_string(),
            Ok(mut log) => loop {
                match log.files.append(&log.table, &[entry(1, acknowledged)]) {
                    Ok(()) => acknowledged += 1,
                    Err(error) => break error.to_string(),
                }
            },
        };
        assert!(error.contains("make room"), "room {room}: {error}");
        assert!(open(dir.path()).indexes().len() as u64 >= acknowledged, "room {room}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn start(dir: &Path, disk: &Disk) -> RaftLogStore {
    // The tests open a log twice at once, which the lock is there to prevent.
    let own = tempfile::NamedTempFile::new_in(dir).unwrap();
    let lock = Arc::new(DirectoryLock::acquire(own.path()).unwrap());
    RaftLogStore::start(Opened::open(disk, dir, SEGMENT_BYTES).unwrap(), 1, Health::new(), lock).unwrap().0
}

#[test]
fn a_vote_survives_and_an_own_leadership_comes_back_as_a_candidacy() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut log = start(dir.path(), &Disk::default());
        assert_eq!(log.read_vote().await.unwrap(), None);
        for (saved, expected) in [
            (Vote::new(3, 2), Vote::new(3, 2)),
            (Vote::new_committed(3, 2), Vote::new_committed(3, 2)),
            (Vote::new(4, 1), Vote::new(4, 1)),
            (Vote::new_committed(4, 1), Vote::new(4, 1)),
        ] {
            log.save_vote(&saved).await.unwrap();
            assert_eq!(log.read_vote().await.unwrap(), Some(saved));
            let mut again = start(dir.path(), &Disk::default());
            assert_eq!(again.read_vote().await.unwrap(), Some(expected));
        }
    });
}

#[test]
fn reads_take_what_is_there() {
    let dir = written();
    runtime().block_on(async {
        let mut log = start(dir.path(), &Disk::default());
        let mut read = async |from, to| {
            let entries = log.try_get_log_entries(from..to).await.unwrap();
            entries.iter().map(|entry| entry.get_log_id().index).collect::<Vec<_>>()
        };
        assert_eq!(read(3, 6).await, [3, 4, 5]);
        assert_eq!(read(11, 90).await, [11, 12]);
        assert_eq!(read(13, 90).await, [0; 0]);
    });
}

#[test]
fn after_a_failed_write_every_other_fails_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut log = start(dir.path(), &Disk::with_room(300));
        let mut acknowledged = 0;
        let error = loop {
            match log.blocking_append([entry(1, acknowledged)]).await {
                Ok(()) => acknowledged += 1,
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains(".entries") && error.contains("make room"), "{error}");
        let later = log.save_vote(&Vote::new(9, 1)).await.unwrap_err().to_string();
        assert!(later.contains(".entries"), "{later}");
        assert_eq!(open(dir.path()).indexes(), (0..acknowledged).collect::<Vec<_>>());
    });
}

#[test]
fn memberships_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let membership = crate::quorum::types::Membership::new(vec![BTreeSet::from([1, 2])], BTreeSet::from([1, 2, 3]));
    let mut log = open(dir.path());
    log.append(vec![Entry { log_id: log_id(0, 0), payload: Payload::Membership(membership.clone()) }]);
    let read = open(dir.path()).table.read(0).unwrap();
    assert!(matches!(read.payload, Payload::Membership(read) if read == membership));
}

/// openraft gives the log back while a snapshot that was received is still being installed.
#[test]
fn nothing_is_purged_before_what_it_amounts_to_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let durable = tokio::sync::watch::Sender::new(Some(3));
        let mut log = start(dir.path(), &Disk::default()).purging_behind(durable.subscribe());
        log.purge(log_id(1, 3)).await.unwrap();
        let mut reader = log.clone();
        let purging = tokio::spawn(async move { log.purge(log_id(1, 9)).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reader.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 3)));
        durable.send_replace(Some(9));
        purging.await.unwrap().unwrap();
        assert_eq!(reader.get_log_state().await.unwrap().last_purged_log_id, Some(log_id(1, 9)));
    });
}

#[test]
fn a_purge_does_not_outwait_a_log_that_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let durable = tokio::sync::watch::Sender::new(None);
        let mut log = start(dir.path(), &Disk::default()).purging_behind(durable.subscribe());
        log.stop_for_test();
        assert!(log.purge(log_id(1, 9)).await.is_err());
    });
}
