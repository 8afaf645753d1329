//! Files that are damaged while no process has them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::*;
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::Offset;
use metadata_core::log::MetadataLog;
use metadata_core::record::{VersionedRecord, ZkMigrationStateRecord};
use store_kraft::KraftLog;

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

fn segment(dir: &Path) -> PathBuf {
    files(&dir.join("__cluster_metadata-0"), "log").remove(0)
}

fn entries(dir: &Path) -> PathBuf {
    files(&dir.join("raft"), "entries").remove(0)
}

fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        let target = target.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A directory as a killed process leaves it: the Kafka log reaches past the sidecar, which was written when the log was
/// named. And the log's end.
async fn killed() -> (tempfile::TempDir, Offset) {
    let dir = formatted();
    let log = open(dir.path()).await;
    let epoch = epoch(&log).await;
    assert_eq!(log.extent().end_offset, NAMED);
    for number in 0..20 {
        log.append(at(epoch, 1 + number, vec![topic(number as u64)])).await.unwrap();
    }
    let end = log.extent().end_offset;
    let killed = tempfile::tempdir().unwrap();
    copy(dir.path(), killed.path());
    log.shutdown().await.unwrap();
    (killed, end)
}

/// Where the log ended when it was named: behind its LeaderChange.
const NAMED: Offset = Offset(1);

/// The same after a clean stop.
async fn stopped() -> tempfile::TempDir {
    let (dir, _) = killed().await;
    open(dir.path()).await.shutdown().await.unwrap();
    dir
}

async fn refused(dir: &Path) -> Error {
    let error = KraftLog::open(options(dir)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    error
}

#[tokio::test]
async fn a_kafka_log_that_is_torn_past_the_sidecar_is_written_again_byte_for_byte() {
    let (dir, end) = killed().await;
    let path = segment(dir.path());
    let sound = fs::read(&path).unwrap();
    // The first batch is below the sidecar.
    let kept = 12 + u32::from_be_bytes(sound[8..12].try_into().unwrap()) as usize;
    assert!(sound.len() > kept);
    for (name, bytes) in [
        ("cut in its last batch", sound[..sound.len() - 3].to_vec()),
        ("cut in its second batch", sound[..kept + 10].to_vec()),
        ("cut behind its first batch", sound[..kept].to_vec()),
        ("flipped", sound.iter().enumerate().map(|(at, byte)| if at == 300 { !byte } else { *byte }).collect()),
        ("zeros behind it", sound.iter().copied().chain([0; 500]).collect()),
    ] {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        fs::write(segment(copied.path()), &bytes).unwrap();
        let log = open(copied.path()).await;
        let recovery = log.recovery().clone();
        assert_eq!(recovery.rewritten_bytes, (bytes.len() - kept) as u64, "{name}");
        assert_eq!(recovery.torn_kafka_log.is_some(), bytes.len() > kept, "{name}");
        assert_eq!(log.extent().end_offset, end.plus(1), "{name}: and the new leader's batch");
        log.shutdown().await.unwrap();
        assert!(fs::read(segment(copied.path())).unwrap().starts_with(&sound), "{name}");
    }
}

#[tokio::test]
async fn a_kafka_log_that_is_damaged_below_the_sidecar_is_refused_with_the_place() {
    let dir = stopped().await;
    let path = segment(dir.path());
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(97) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = refused(dir.path()).await.to_string();
        assert!(error.contains(&path.display().to_string()) && error.contains("at byte"), "byte {at}: {error}");
    }
    fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    refused(dir.path()).await;
    fs::remove_file(&path).unwrap();
    refused(dir.path()).await;
    fs::write(&path, sound).unwrap();
    open(dir.path()).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_raft_log_that_is_damaged_below_the_synced_position_is_refused_with_the_place() {
    let (dir, _) = killed().await;
    let path = entries(dir.path());
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(61) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = refused(dir.path()).await.to_string();
        assert!(error.contains(&path.display().to_string()) && error.contains("at byte"), "byte {at}: {error}");
        assert!(error.contains("restore the data directory"), "byte {at}: {error}");
    }
    fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    refused(dir.path()).await;
    fs::write(&path, sound).unwrap();
    open(dir.path()).await.shutdown().await.unwrap();
}

/// The last flush was under way when the power failed: the mark of what is synced still stands before it.
#[tokio::test]
async fn a_raft_log_whose_last_flush_is_torn_is_cut_and_goes_on() {
    let (dir, end) = killed().await;
    let path = entries(dir.path());
    let sound = fs::read(&path).unwrap();
    for missing in [1, 20, 60] {
        let copied = tempfile::tempdir().unwrap();
        copy(dir.path(), copied.path());
        fs::write(entries(copied.path()), &sound[..sound.len() - missing]).unwrap();
        fs::remove_file(copied.path().join("raft/synced")).unwrap();
        let log = open(copied.path()).await;
        let torn = log.recovery().torn_raft_log.clone().unwrap();
        assert_eq!(torn.file, entries(copied.path()));
        // The torn append is gone, the new leader's batch is there.
        assert_eq!(log.extent().end_offset, end);
        assert_eq!(log.image().topics().len(), 19);
        log.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_raft_log_that_lost_what_was_applied_is_refused() {
    let dir = stopped().await;
    let path = entries(dir.path());
    let sound = fs::read(&path).unwrap();
    fs::remove_file(dir.path().join("raft/synced")).unwrap();
    fs::write(&path, &sound[..sound.len() - 1]).unwrap();
    let error = refused(dir.path()).await.to_string();
    assert!(error.contains("was applied, but it ends with entry"), "{error}");
}

#[tokio::test]
async fn a_damaged_small_file_is_refused_by_name() {
    for name in ["raft/sidecar", "raft/vote"] {
        let dir = stopped().await;
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[5] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = refused(dir.path()).await.to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_vote_that_is_lost_or_older_than_the_log_is_refused_by_name() {
    let dir = formatted();
    let path = dir.path().join("raft/vote");
    open(dir.path()).await.shutdown().await.unwrap();
    let older = fs::read(&path).unwrap();
    open(dir.path()).await.shutdown().await.unwrap();
    let sound = fs::read(&path).unwrap();
    fs::write(&path, older).unwrap();
    assert!(refused(dir.path()).await.to_string().contains("raft/vote"));
    fs::remove_file(&path).unwrap();
    assert!(refused(dir.path()).await.to_string().contains("raft/vote"));
    fs::write(&path, sound).unwrap();
    open(dir.path()).await.shutdown().await.unwrap();
}

/// Killed before its first sidecar: nothing else knows that there were entries.
#[tokio::test]
async fn a_log_that_lost_all_entries_but_not_its_vote_is_refused() {
    let dir = formatted();
    let raft = dir.path().join("raft");
    let sidecar = fs::read(raft.join("sidecar")).unwrap();
    open(dir.path()).await.shutdown().await.unwrap();
    fs::write(raft.join("sidecar"), sidecar).unwrap();
    fs::remove_file(raft.join("synced")).unwrap();
    fs::remove_file(raft.join("00000000000000000000.entries")).unwrap();
    let error = refused(dir.path()).await.to_string();
    assert!(error.contains("lost all of its entries"), "{error}");
}

#[tokio::test]
async fn a_log_of_another_program_is_refused_and_left_alone() {
    let dir = stopped().await;
    fs::remove_dir_all(dir.path().join("raft")).unwrap();
    let sound = fs::read(segment(dir.path())).unwrap();
    let error = KraftLog::open(options(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("another program wrote it"), "{error}");
    assert_eq!(fs::read(segment(dir.path())).unwrap(), sound);
}

/// What Kafka leaves when its own controller was started on the directory.
#[tokio::test]
async fn a_log_that_kafka_went_on_with_is_refused_and_left_alone() {
    let dir = stopped().await;
    let path = dir.path().join("__cluster_metadata-0/quorum-state");
    let ours = fs::read_to_string(&path).unwrap();
    assert!(ours.contains(r#""leaderEpoch":2"#), "{ours}");
    fs::write(&path, ours.replace(r#""leaderEpoch":2"#, r#""leaderEpoch":3"#)).unwrap();
    let error = KraftLog::open(options(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("another controller went on"), "{error}");
    fs::write(&path, ours).unwrap();
    open(dir.path()).await.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_cache_that_is_gone_or_garbled_changes_nothing() {
    let dir = stopped().await;
    let expected = open(dir.path()).await;
    let image = expected.image();
    expected.shutdown().await.unwrap();
    let cache = dir.path().join("cache");

    fs::remove_dir_all(&cache).unwrap();
    let log = open(dir.path()).await;
    assert!(log.image().same_metadata(&image));
    assert_eq!((log.recovery().replayed_from, &log.recovery().cache), (Offset(0), &None));
    log.shutdown().await.unwrap();

    let log = open(dir.path()).await;
    assert!(log.recovery().replayed_from > Offset(0), "the cache was built anew");
    log.shutdown().await.unwrap();

    for (name, bytes) in [("db", vec![0xaa; 9000]), ("conf", b"garbage".to_vec())] {
        fs::write(cache.join(name), bytes).unwrap();
        let log = open(dir.path()).await;
        assert!(log.image().same_metadata(&image), "{name}");
        log.shutdown().await.unwrap();
    }
}

/// Sets a byte of the value that a record of the log begins with, in a batch whose checksum is right again.
fn rewrite(path: &Path, value: &[u8], at: usize, byte: u8) {
    let mut bytes = fs::read(path).unwrap();
    // A batch's header is 61 bytes.
    let mut start = 0;
    let (size, found) = loop {
        let size = 12 + u32::from_be_bytes(bytes[start + 8..start + 12].try_into().unwrap()) as usize;
        if let Some(found) = bytes[start + 61..start + size].windows(value.len()).position(|part| part == value) {
            break (size, start + 61 + found);
        }
        start += size;
    };
    bytes[found + at] = byte;
    let crc = crc32c::crc32c(&bytes[start + 21..start + size]);
    bytes[start + 17..start + 21].copy_from_slice(&crc.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_log_with_a_record_of_a_newer_kafka_is_refused_by_its_number() {
    let dir = stopped().await;
    // The image is to be made of the log, not taken from the cache.
    fs::remove_dir_all(dir.path().join("cache")).unwrap();
    // Frame, topic, version.
    rewrite(&segment(dir.path()), b"\x01\x02\x00\x08topic-3", 1, 77);
    let error = refused(dir.path()).await;
    assert!(error.to_string().contains("unknown record type 77 (version 0)"), "{error}");
}

#[tokio::test]
async fn a_migration_state_out_of_range_is_neither_written_nor_read() {
    let dir = stopped().await;
    let log = open(dir.path()).await;
    let (now, end) = (epoch(&log).await, log.end().await.unwrap().end_offset);
    let state = |code| ZkMigrationStateRecord { zk_migration_state: code, ..Default::default() };
    for code in [5, i8::MAX, -1, i8::MIN] {
        let error = log.append(at(now, end.0, vec![VersionedRecord::new(state(code), 0)])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    log.append(at(now, end.0, vec![VersionedRecord::new(state(1), 0)])).await.unwrap();
    log.shutdown().await.unwrap();
    fs::remove_dir_all(dir.path().join("cache")).unwrap();
    // Frame, state record, version, state, no tags.
    rewrite(&segment(dir.path()), b"\x01\x15\x00\x01\x00", 3, 9);
    let error = refused(dir.path()).await;
    assert!(format!("{error:?}").contains("migration state 9 is unknown"), "{error:?}");
}
