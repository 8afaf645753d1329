//! Processes that are killed, and what is there afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::*;
use metadata_core::id::Offset;
use metadata_core::log::{LogBatch, MetadataLog};
use metadata_core::record::{MetadataRecord, VersionedRecord};
use metadata_core::store::{Receipt, Txn};
use store_kraft::{KraftLog, KraftLogOptions};

/// Where the child process finds its directory.
const DIR: &str = "STORE_KRAFT_CRASH_DIR";

/// Limits so low that sidecars and snapshots are written all the time.
fn busy(dir: &Path) -> KraftLogOptions {
    let mut options = options(dir);
    options.sidecar_every = 4 << 10;
    options.snapshot_every = 32 << 10;
    options
}

/// Appends until it is killed, and says on stdout what was acknowledged: `number end-offset`.
///
/// Each batch holds one topic with a number, so that the numbers tell the order; each tenth append is a transaction of
/// three batches, whose topics have the numbers of one append.
///
/// Without a directory it is not a child, and there is nothing to do.
#[tokio::test]
async fn child_that_appends_until_it_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let log = KraftLog::open(busy(Path::new(&dir))).await.unwrap();
    let epoch = epoch(&log).await;
    let mut next = read_all(&log).await.iter().flat_map(numbers).max().map_or(0, |last| last + 1);
    let mut waiting: VecDeque<(u64, Receipt)> = VecDeque::new();
    let mut expected = log.end().await.unwrap().end_offset.0;
    loop {
        if next % 10 == 9 {
            // The transaction's receipts come after those of the appends before it.
            drain(&mut waiting, 0).await;
            let receipts = [
                log.append(within(epoch, Txn::Begin, vec![begin(), topic(3 * next)])),
                log.append(within(epoch, Txn::In, vec![topic(3 * next + 1)])),
            ];
            for receipt in receipts {
                receipt.await.unwrap();
            }
            let receipt = log.append(within(epoch, Txn::End { batches: 3 }, vec![topic(3 * next + 2), end()]));
            waiting.push_back((next, receipt));
            expected += 5;
        } else {
            waiting.push_back((next, log.append(at(epoch, expected, vec![topic(3 * next)]))));
            expected += 1;
        }
        next += 1;
        drain(&mut waiting, 8).await;
    }
}

/// Waits for the oldest appends until so many are left, and says that they were acknowledged.
async fn drain(waiting: &mut VecDeque<(u64, Receipt)>, left: usize) {
    while waiting.len() > left {
        let (number, receipt) = waiting.pop_front().unwrap();
        let end = receipt.await.unwrap().end_offset;
        let mut out = std::io::stdout().lock();
        writeln!(out, "acknowledged {number} {end}").unwrap();
        out.flush().unwrap();
    }
}

/// The numbers of the appends that a batch is of.
fn numbers(batch: &LogBatch) -> Vec<u64> {
    let number = |record: &VersionedRecord| match &record.record {
        MetadataRecord::Topic(topic) => Some(topic.topic_id.0.as_u64_pair().1 / 3),
        _ => None,
    };
    batch.records.iter().filter_map(number).collect()
}

/// Starts the child, kills it after a while, and returns what it said was acknowledged: end offset by number.
fn run_and_kill(dir: &Path, after: Duration) -> BTreeMap<u64, i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_appends_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut acknowledged = BTreeMap::new();
    let mut take = |line: String| {
        // The test harness writes lines too, and may leave one unended.
        let Some((_, said)) = line.split_once("acknowledged ") else { return false };
        let (number, end) = said.split_once(' ').unwrap();
        acknowledged.insert(number.parse().unwrap(), end.parse().unwrap());
        true
    };
    // The time to kill counts from the first acknowledgement, so that a slow start is no empty round.
    while !take(lines.next().expect("the child ended by itself")) {}
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::park_timeout(after);
            child.kill().unwrap();
        });
        for line in lines {
            // The last line may be cut off.
            if line.split(' ').count() >= 3 {
                take(line);
            }
        }
    });
    child.wait().unwrap();
    acknowledged
}

fn segments(dir: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(dir.join("__cluster_metadata-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == "log")).collect();
    segments.sort();
    segments.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// Checks what `read` has against what was acknowledged, and that transactions are whole.
fn check(batches: &[LogBatch], acknowledged: &BTreeMap<u64, i64>) {
    let mut offset = Offset(0);
    let mut found: BTreeMap<u64, (usize, i64)> = BTreeMap::new();
    let mut last = None;
    for batch in batches {
        assert_eq!(batch.base_offset, offset, "a gap");
        offset = batch.end_offset;
        for number in numbers(batch) {
            assert!(last.is_none_or(|last| last <= number), "{number} after {last:?}");
            last = Some(number);
            let entry = found.entry(number).or_default();
            *entry = (entry.0 + 1, batch.end_offset.0);
        }
    }
    for (number, (count, _)) in &found {
        let whole = if number % 10 == 9 { 3 } else { 1 };
        assert_eq!(*count, whole, "append {number} is there in part");
    }
    for (number, end) in acknowledged {
        let there = found.get(number).map(|(_, end)| end);
        assert_eq!(there, Some(end), "append {number} was acknowledged");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_dash_nine_at_any_moment() {
    let dir = formatted();
    let mut acknowledged = BTreeMap::new();
    let mut before = Vec::new();
    for round in 0..10u64 {
        // Spread over the first moments, in which elections, sidecars and snapshots happen.
        let after = Duration::from_millis(round * round * 7 % 190);
        let directory = dir.path().to_owned();
        acknowledged.extend(tokio::task::spawn_blocking(move || run_and_kill(&directory, after)).await.unwrap());

        let log = KraftLog::open(busy(dir.path())).await.unwrap();
        check(&read_all(&log).await, &acknowledged);
        log.shutdown().await.unwrap();
        let after = segments(dir.path());
        assert!(after.starts_with(&before), "round {round}: what was in the log changed");
        before = after;
    }
    assert!(!acknowledged.is_empty());
}
