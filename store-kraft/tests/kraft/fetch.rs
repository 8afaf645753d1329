//! What followers that are no members get: bytes as they lie in the files.

use std::path::{Path, PathBuf};

use crate::common::*;
use metadata_core::id::{KRaftLeaderEpoch, Offset};
use metadata_core::log::MetadataLog;
use store_kraft::KraftLog;
use store_kraft::batch::Batch;
use store_kraft::fetch::{Fetched, FollowerEnd};
use store_kraft::log::SnapshotId;

fn at_the_start() -> FollowerEnd {
    FollowerEnd { offset: Offset(0), epoch: KRaftLeaderEpoch(0) }
}

fn segments(dir: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(dir.join("__cluster_metadata-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
    paths.sort();
    paths.iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
}

/// Where a follower is once it has these batches.
fn end_of(mut bytes: &[u8], mut end: FollowerEnd) -> FollowerEnd {
    while !bytes.is_empty() {
        let batch = Batch::parse(bytes).unwrap();
        end = FollowerEnd { offset: batch.header().end_offset(), epoch: batch.header().epoch };
        bytes = &bytes[batch.bytes().len()..];
    }
    end
}

async fn batches(log: &KraftLog, from: FollowerEnd, bytes_max: usize) -> (Vec<u8>, Offset) {
    match log.fetch(from, bytes_max).await.unwrap() {
        Fetched::Batches { bytes, high_watermark } => (bytes.to_vec(), high_watermark),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_follower_that_fetches_to_the_end_has_the_files_byte_for_byte() {
    let dir = formatted();
    for round in 0..3 {
        let log = open(dir.path()).await;
        let epoch = epoch(&log).await;
        for number in 0..5 {
            let end = log.extent().end_offset.0;
            log.append(at(epoch, end, (0..7).map(|it| topic(round * 100 + number * 10 + it)).collect())).await.unwrap();
        }
        log.shutdown().await.unwrap();
    }
    let log = open(dir.path()).await;
    let end = log.extent().end_offset;
    for bytes_max in [0, 1, 700, 1 << 20] {
        let (mut follower, mut copy) = (at_the_start(), Vec::new());
        let mut fetches = 0;
        loop {
            let (bytes, high_watermark) = batches(&log, follower, bytes_max).await;
            assert_eq!(high_watermark, end);
            if bytes.is_empty() {
                break;
            }
            assert!(
                bytes.len() <= bytes_max.max(1)
                    || end_of(&bytes, follower) == end_of(&bytes[..first(&bytes)], follower)
            );
            follower = end_of(&bytes, follower);
            copy.extend(bytes);
            fetches += 1;
        }
        assert_eq!(follower.offset, end);
        assert!(copy == segments(dir.path()), "with at most {bytes_max} bytes");
        assert!(if bytes_max > 1000 { fetches == 1 } else { fetches > 5 }, "{fetches} fetches of {bytes_max} bytes");
    }
    // In the midst of a batch: the whole batch comes.
    let (bytes, _) = batches(&log, FollowerEnd { offset: Offset(3), epoch: KRaftLeaderEpoch(1) }, 0).await;
    let header = *Batch::parse(&bytes).unwrap().header();
    assert!(header.base_offset < Offset(3) && header.end_offset() > Offset(3));
    // Its log parts from ours in the first epoch.
    let parted = log.fetch(FollowerEnd { offset: end, epoch: KRaftLeaderEpoch(1) }, 1).await.unwrap();
    let Fetched::Diverging { epoch, end_offset } = parted else { panic!("{parted:?}") };
    assert_eq!(epoch, KRaftLeaderEpoch(1));
    assert!(end_offset < end && log.extent().epoch_at(end_offset).unwrap() > epoch);
    log.shutdown().await.unwrap();
}

fn first(bytes: &[u8]) -> usize {
    Batch::parse(bytes).unwrap().bytes().len()
}

#[tokio::test]
async fn a_snapshot_comes_in_pieces_and_what_is_not_there_is_nothing() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let epoch = epoch(&log).await;
    log.append(at(epoch, log.extent().end_offset.0, (0..50).map(topic).collect())).await.unwrap();
    let id = SnapshotId::from(log.snapshot().await.unwrap());
    assert_eq!(log.fetch(at_the_start(), 1).await.unwrap(), Fetched::Snapshot(id));

    let file = std::fs::read(dir.path().join("__cluster_metadata-0").join(id.file_name())).unwrap();
    let mut copy = Vec::new();
    loop {
        let piece = log.fetch_snapshot(id, copy.len() as u64, 100).await.unwrap().unwrap();
        assert_eq!(piece.size, file.len() as u64);
        if piece.bytes.is_empty() {
            break;
        }
        assert!(piece.bytes.len() <= 100);
        copy.extend(piece.bytes);
    }
    assert!(copy == file);
    assert!(log.fetch_snapshot(id, u64::MAX, 100).await.unwrap().unwrap().bytes.is_empty());
    let none = SnapshotId { end_offset: id.end_offset.plus(1), epoch };
    assert_eq!(log.fetch_snapshot(none, 0, 100).await.unwrap(), None);

    // Whoever has loaded it goes on with the log.
    log.append(at(epoch, log.extent().end_offset.0, vec![topic(99)])).await.unwrap();
    let (bytes, _) = batches(&log, FollowerEnd { offset: id.end_offset, epoch: id.epoch }, 1).await;
    assert_eq!(Batch::parse(&bytes).unwrap().header().base_offset, id.end_offset);
    log.shutdown().await.unwrap();
    assert!(log.fetch(at_the_start(), 1).await.is_err(), "it was stopped");
}
