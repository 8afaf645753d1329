//! What is removed, what is kept, and for whom.

use std::path::Path;
use std::time::Duration;

use crate::common::*;
use metadata_core::error::ErrorKind;
use metadata_core::id::{KRaftLeaderEpoch, Offset};
use metadata_core::log::MetadataLog;
use metadata_core::record::{ConfigRecord, VersionedRecord};
use metadata_core::store::Txn;
use store_kraft::{KraftLog, KraftLogOptions};

/// Segments of 8 MiB, the least there are, and room for little more than one.
fn small(dir: &Path) -> KraftLogOptions {
    let mut options = options(dir);
    options.segment_bytes = 0;
    options.retention_bytes = 9 << 20;
    options.cache = false;
    options
}

/// About a mebibyte of configs, which replace those of the batch before.
fn mebibyte() -> Vec<VersionedRecord> {
    let config = |number: usize| ConfigRecord {
        resource_type: 2,
        resource_name: "orders".into(),
        name: format!("name-{number}"),
        value: Some("v".repeat(32_000)),
        ..Default::default()
    };
    (0..32).map(|number| VersionedRecord::new(config(number), 0)).collect()
}

async fn append_mebibytes(log: &KraftLog, epoch: KRaftLeaderEpoch, count: usize) {
    for _ in 0..count {
        log.append(at(epoch, log.extent().end_offset.0, mebibyte())).await.unwrap();
    }
}

fn count(dir: &Path, extension: &str) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).count()
}

async fn read_to_end(log: &KraftLog, mut from: Offset) -> usize {
    let mut batches = 0;
    loop {
        let read = log.read(from, 100).await.unwrap();
        let Some(last) = read.last() else { return batches };
        batches += read.len();
        from = last.end_offset;
    }
}

#[tokio::test]
async fn old_segments_and_snapshots_go_and_the_log_starts_later() {
    let dir = formatted();
    let partition = dir.path().join("__cluster_metadata-0");
    let log = KraftLog::open(small(dir.path())).await.unwrap();
    let epoch = epoch(&log).await;
    for _ in 0..4 {
        append_mebibytes(&log, epoch, 7).await;
        log.snapshot().await.unwrap();
    }
    assert!(count(&partition, "checkpoint") < 4);
    assert!(count(&partition, "log") < 4);
    assert_eq!(log.read(Offset(0), 10).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(log.image_at_most(Offset(10)).await.unwrap().is_none());
    let end = log.extent().end_offset;
    append_mebibytes(&log, epoch, 1).await;
    let base = log.image_at_most(end).await.unwrap().unwrap();
    assert_eq!(base.position().end_offset, end, "the newest snapshot stays");
    assert_eq!(read_to_end(&log, end).await, 1);
    let image = log.image();
    log.shutdown().await.unwrap();

    let log = KraftLog::open(small(dir.path())).await.unwrap();
    assert!(log.image().same_metadata(&image));
    assert!(log.recovery().replayed_from > Offset(0));
    append_mebibytes(&log, KRaftLeaderEpoch(epoch.0 + 1), 2).await;
    log.shutdown().await.unwrap();
    KraftLog::open(small(dir.path())).await.unwrap().shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_held_stays_until_the_hold_moves_on() {
    let dir = formatted();
    let log = KraftLog::open(small(dir.path())).await.unwrap();
    let epoch = epoch(&log).await;
    append_mebibytes(&log, epoch, 7).await;
    let held = log.snapshot().await.unwrap();
    log.hold(held.end_offset);
    for _ in 0..3 {
        append_mebibytes(&log, epoch, 7).await;
        log.snapshot().await.unwrap();
    }
    // From the held offset on everything can still be had: an image and the batches behind it.
    let image = log.image_at_most(held.end_offset).await.unwrap().unwrap();
    assert_eq!(image.position(), held);
    assert_eq!(read_to_end(&log, held.end_offset).await, 21);

    log.hold(log.extent().end_offset);
    append_mebibytes(&log, epoch, 1).await;
    log.snapshot().await.unwrap();
    assert_eq!(log.read(held.end_offset, 1).await.unwrap_err().kind(), ErrorKind::Conflict);
    log.shutdown().await.unwrap();
}

/// A store that lags behind may come back long after the log was started.
#[tokio::test]
async fn a_hold_outlives_a_restart() {
    let dir = formatted();
    let log = KraftLog::open(small(dir.path())).await.unwrap();
    let first = epoch(&log).await;
    append_mebibytes(&log, first, 7).await;
    let held = log.snapshot().await.unwrap();
    log.hold(held.end_offset);
    log.shutdown().await.unwrap();

    let log = KraftLog::open(small(dir.path())).await.unwrap();
    for _ in 0..3 {
        append_mebibytes(&log, epoch(&log).await, 7).await;
        log.snapshot().await.unwrap();
    }
    assert_eq!(log.image_at_most(held.end_offset).await.unwrap().unwrap().position(), held);
    assert_eq!(read_to_end(&log, held.end_offset).await, 22);
    assert!(!log.hold_given_up());
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_hold_is_given_up_above_its_limit() {
    let dir = formatted();
    let mut options = small(dir.path());
    options.hold_bytes = 12 << 20;
    let log = KraftLog::open(options.clone()).await.unwrap();
    let now = epoch(&log).await;
    append_mebibytes(&log, now, 3).await;
    let held = log.snapshot().await.unwrap();
    log.hold(held.end_offset);
    assert!(!log.hold_given_up());
    for _ in 0..4 {
        append_mebibytes(&log, now, 7).await;
        log.snapshot().await.unwrap();
    }
    assert_eq!(log.read(held.end_offset, 1).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(log.hold_given_up());
    log.shutdown().await.unwrap();

    let log = KraftLog::open(options).await.unwrap();
    assert!(log.hold_given_up(), "it is still so after a restart");
    // Whoever was synced anew holds again.
    log.hold(log.extent().end_offset);
    log.snapshot().await.unwrap();
    assert!(!log.hold_given_up());
    log.shutdown().await.unwrap();
}

fn raft_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir.join("raft")).unwrap().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| path.extension().is_some_and(|found| found == "entries"));
    // A segment may be removed while it is looked at.
    entries.map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum()
}

/// A copy that fails at every start: nothing of it is in the Kafka log, all of it is in Raft's.
#[tokio::test]
async fn rafts_log_is_given_back_though_every_transaction_is_discarded() {
    let dir = formatted();
    for _ in 0..6 {
        let log = KraftLog::open(options(dir.path())).await.unwrap();
        let epoch = epoch(&log).await;
        log.append(within(epoch, Txn::Begin, vec![begin()])).await.unwrap();
        for _ in 0..30 {
            log.append(within(epoch, Txn::In, mebibyte())).await.unwrap();
        }
        log.shutdown().await.unwrap();
    }
    let log = KraftLog::open(options(dir.path())).await.unwrap();
    // A segment of 64 MiB is closed, then another is begun.
    wait_for(&|| raft_bytes(dir.path()), |bytes| bytes < 100 << 20).await;
    log.shutdown().await.unwrap();
}

/// Raft's log holds every byte once more until a snapshot covers it, but never past the Begin of an open transaction.
#[tokio::test]
async fn rafts_log_is_given_back_up_to_the_snapshot_but_not_past_an_open_begin() {
    let dir = formatted();
    let mut options = options(dir.path());
    options.snapshot_every = u64::MAX;
    let log = KraftLog::open(options).await.unwrap();
    let epoch = epoch(&log).await;
    let raft_bytes = || raft_bytes(dir.path());
    // More than a segment of Raft's log, which has 64 MiB.
    append_mebibytes(&log, epoch, 70).await;
    assert!(raft_bytes() > 64 << 20);
    log.append(within(epoch, Txn::Begin, vec![begin()])).await.unwrap();
    for _ in 0..70 {
        log.append(within(epoch, Txn::In, mebibyte())).await.unwrap();
    }
    log.snapshot().await.unwrap();
    let with_open_transaction = wait_for(&raft_bytes, |bytes| bytes < 140 << 20).await;
    assert!(with_open_transaction > 70 << 20, "the transaction is still there");
    let end = log.append(within(epoch, Txn::End { batches: 72 }, vec![end()])).await.unwrap();
    assert_eq!(end.end_offset, Offset(1 + 140 * 32 + 2));
    log.snapshot().await.unwrap();
    wait_for(&raft_bytes, |bytes| bytes < 70 << 20).await;
    log.shutdown().await.unwrap();
}

/// Purging happens some time after its snapshot.
async fn wait_for(bytes: &impl Fn() -> u64, reached: impl Fn(u64) -> bool) -> u64 {
    for _ in 0..WAIT_TRIES {
        if reached(bytes()) {
            return bytes();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("Raft's log still has {} bytes", bytes());
}

/// A minute.
const WAIT_TRIES: usize = 6_000;
