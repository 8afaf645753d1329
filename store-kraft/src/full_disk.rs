//! A disk that is full at any moment of a log's life.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fencing::Quorum as _;
use metadata_core::error::{Error, ErrorKind, Outcome};
use metadata_core::id::{NodeId, Offset};
use metadata_core::image::ConfigResource;
use metadata_core::log::{Append, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{ConfigRecord, VersionedRecord};
use metadata_core::store::Txn;

use crate::disk::Disk;
use crate::log::layout::Layout;
use crate::log::lock::DirectoryLock;
use crate::{KraftLog, KraftLogOptions, PeerOptions, QuorumTimeouts};

pub(crate) const NODE: NodeId = NodeId(1);

pub(crate) fn options(dir: &Path) -> KraftLogOptions {
    let mut options = KraftLogOptions::new(dir, NODE, "cluster");
    // Sidecars and snapshots all the time, and no database: what sled does with a broken disk is its own affair.
    options.sidecar_every = 500;
    options.snapshot_every = 2_000;
    options.cache = false;
    options
}

pub(crate) fn config(number: i64) -> VersionedRecord {
    let record = ConfigRecord {
        resource_type: 2,
        resource_name: format!("topic-{number}"),
        name: "retention.ms".into(),
        value: Some("1".repeat(100)),
        ..Default::default()
    };
    VersionedRecord::new(record, 0)
}

fn resource(number: i64) -> ConfigResource {
    ConfigResource::topic(format!("topic-{number}"))
}

/// What was acknowledged before something failed, and how that was told.
struct Failure {
    acknowledged: Offset,
    /// Where the first append that failed was to land.
    attempted: Offset,
    error: Error,
}

/// Appends until something fails.
async fn append_until_full(disk: Disk, dir: &Path) -> Failure {
    let none = Offset(0);
    let log = match KraftLog::open_on(disk, options(dir)).await {
        Ok(log) => log,
        // Whatever had been started has ended.
        Err(error) => {
            DirectoryLock::acquire(&Layout::new(dir).lock()).unwrap();
            return Failure { acknowledged: none, attempted: none, error };
        }
    };
    let mut acknowledged = none;
    let epoch = log.extent().epochs.last().unwrap().0;
    let (attempted, error) = loop {
        let expected = log.extent().end_offset;
        let append = Append { epoch, expected: Some(expected), txn: Txn::None, records: vec![config(expected.0)] };
        match log.append(append).await {
            Ok(position) => acknowledged = position.end_offset,
            Err(error) => break (expected, error),
        }
    };
    // A stop is told to everybody, and a shutdown after it does not hang.
    assert!(log.leadership(None).await.is_err());
    assert!(log.shutdown().await.is_err());
    Failure { acknowledged, attempted, error }
}

#[tokio::test]
async fn a_full_disk_is_told_by_file_and_loses_nothing_that_was_acknowledged() {
    let mut outcomes = BTreeMap::new();
    for room in (0..14_000).step_by(487) {
        let dir = tempfile::tempdir().unwrap();
        KraftLog::format(dir.path(), NODE, "cluster", MetadataVersion::V3_9_IV0).unwrap();
        let Failure { acknowledged, attempted, error } = append_until_full(Disk::with_room(room), dir.path()).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "room {room}: {error}");
        assert!(error.to_string().contains("make room"), "room {room}: {error}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "room {room}: {error}");

        let log = KraftLog::open(options(dir.path())).await.unwrap();
        for offset in 1..acknowledged.0 {
            assert!(log.image().config(&resource(offset)).is_some(), "room {room}: offset {offset} was acknowledged");
        }
        if attempted > Offset(0) {
            let applied = log.image().config(&resource(attempted.0)).is_some();
            assert!(!applied || error.outcome() == Outcome::Unknown, "room {room}: {error}");
            *outcomes.entry(format!("{:?}", error.outcome())).or_insert(0) += 1;
        }
        log.shutdown().await.unwrap();
    }
    assert!(outcomes.contains_key("Unknown"), "{outcomes:?}");
}

#[tokio::test]
async fn a_snapshot_without_room_is_refused_by_file_and_the_log_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    KraftLog::format(dir.path(), NODE, "cluster", MetadataVersion::V3_9_IV0).unwrap();
    let mut options = options(dir.path());
    options.snapshot_every = u64::MAX;
    options.sidecar_every = u64::MAX;
    // A snapshot repeats what the log has, behind a header.
    let disk = Disk::with_room(9_000);
    let log = KraftLog::open_on(disk, options.clone()).await.unwrap();
    let epoch = log.extent().epochs.last().unwrap().0;
    let append = |expected: i64| {
        log.append(Append {
            epoch,
            expected: Some(Offset(expected)),
            txn: Txn::None,
            records: (0..20).map(|number| config(expected + number)).collect(),
        })
    };
    append(1).await.unwrap();
    let error = log.snapshot().await.unwrap_err();
    assert!(error.to_string().contains(".checkpoint.part") && error.to_string().contains("make room"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(log.leadership(None).await.unwrap().active);
    // What was written of it is gone, so there is room again.
    let partition = dir.path().join("__cluster_metadata-0");
    let names = std::fs::read_dir(partition).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.ends_with(".part")).collect::<Vec<_>>(), [""; 0]);
    let position = log.append(Append { epoch, expected: Some(Offset(21)), txn: Txn::None, records: vec![config(21)] });
    assert_eq!(position.await.unwrap().end_offset, Offset(22));
    let _ = log.shutdown().await;
}

/// The disk fills while the log is told to stop: the reason is that of the disk, not that it was told to.
#[tokio::test]
async fn a_last_sync_that_fails_is_told_by_file() {
    let dir = tempfile::tempdir().unwrap();
    KraftLog::format(dir.path(), NODE, "cluster", MetadataVersion::V3_9_IV0).unwrap();
    let disk = Disk::with_room(1 << 20);
    let log = KraftLog::open_on(disk.clone(), options(dir.path())).await.unwrap();
    disk.fill();
    let error = log.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("sidecar.tmp") && error.to_string().contains("make room"), "{error}");
    KraftLog::open(options(dir.path())).await.unwrap().shutdown().await.unwrap();
}

/// Three controllers, of which one, the leader or not, runs out of space.
#[tokio::test(flavor = "multi_thread")]
async fn a_voter_with_a_full_disk_stops_and_the_others_go_on() {
    for the_leader in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let ids = [NodeId(3000), NodeId(3001), NodeId(3002)];
        // From below the range that outgoing connections get their ports from.
        let mut free = (30_000..32_000u16).cycle().skip(usize::try_from(std::process::id() * 7 % 2_000).unwrap());
        let voters: BTreeMap<_, _> = ids
            .iter()
            .map(|id| {
                let port = free.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
                (*id, format!("127.0.0.1:{port}"))
            })
            .collect();
        let mut members = BTreeMap::new();
        for id in ids {
            let data_dir = dir.path().join(id.to_string());
            KraftLog::format(&data_dir, id, "cluster", MetadataVersion::V3_9_IV0).unwrap();
            let mut peers = PeerOptions::new(&voters[&id], voters.clone());
            peers.timeouts = QuorumTimeouts {
                heartbeat: Duration::from_millis(100),
                election_min: Duration::from_millis(300),
                election_max: Duration::from_millis(600),
            };
            let mut options = KraftLogOptions::new(&data_dir, id, "cluster");
            options.peers = Some(peers);
            let disk = Disk::with_room(1 << 30);
            members.insert(id, (disk.clone(), KraftLog::open_on(disk, options).await.unwrap()));
        }
        let leads = |members: &BTreeMap<NodeId, (Disk, KraftLog)>| {
            members.iter().find(|(_, (_, log))| log.voters().len() == 3 && log.active().is_some()).map(|(id, _)| *id)
        };
        let leader = wait_for(|| leads(&members)).await;
        let full = if the_leader { leader } else { *ids.iter().find(|id| **id != leader).unwrap() };

        members[&full].0.fill();
        // It is written to until it stops.
        let (mut number, mut acknowledged) = (0, Vec::new());
        while members[&full].1.leadership(None).await.is_ok() {
            let Some(leader) = leads(&members) else { continue };
            let log = &members[&leader].1;
            let (Some(epoch), expected) = (log.active(), log.extent().end_offset) else { continue };
            number += 1;
            let append = Append { epoch, expected: Some(expected), txn: Txn::None, records: vec![config(number)] };
            if log.append(append).await.is_ok() {
                acknowledged.push(number);
            }
        }
        let (_, stopped) = members.remove(&full).unwrap();
        let error = stopped.shutdown().await.unwrap_err();
        assert!(error.to_string().contains("make room"), "{error}");

        let next = wait_for(|| leads(&members)).await;
        let log = &members[&next].1;
        let append = Append {
            epoch: log.active().unwrap(),
            expected: Some(log.extent().end_offset),
            txn: Txn::None,
            records: vec![config(10_000)],
        };
        log.append(append).await.unwrap();
        for number in acknowledged {
            assert!(log.image().config(&resource(number)).is_some(), "{number} was acknowledged");
        }
        for (_, (_, log)) in members {
            log.shutdown().await.unwrap();
        }
    }
}

/// What is found, once it is.
async fn wait_for<T>(find: impl Fn() -> Option<T>) -> T {
    let finding = async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), finding).await.unwrap()
}
