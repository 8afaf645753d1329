//! openraft's own suite for stores, run on ours; and what the state machine does that only other members can cause.

use std::sync::Arc;

use metadata_core::error::ErrorKind;
use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::record::{NoOpRecord, VersionedRecord};
use openraft::testing::{StoreBuilder, Suite};
use tokio::sync::watch;

use super::apply::{Images, StateMachine};
use super::machine::{Failed, Limits, Machine, MachineParts};
use super::proposal::{Applied, Proposal, ProposedBatch, ProposedTxn};
use super::types::{Entry, Payload, RaftTypes, StorageError, log_id};
use super::view::View;
use crate::batch::BatchBuilder;
use crate::codec::Blob;
use crate::disk::Disk;
use crate::health::Health;
use crate::log::epochs::Epochs;
use crate::log::layout::Layout;
use crate::log::lock::DirectoryLock;
use crate::log::writer::{Kept, LogWriter};
use crate::open::check_reaches_applied;
use crate::raftlog::{Opened, RaftLogStore, StoredLogId};
use crate::sidecar::{Base, Sidecar, StoredSnapshot};

struct Builder;

impl StoreBuilder<RaftTypes, RaftLogStore, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, RaftLogStore, Machine), StorageError> {
        Ok(built(Disk::default(), Health::new()))
    }
}

/// A new log without anything that runs on it.
fn built(disk: Disk, health: Health) -> (tempfile::TempDir, RaftLogStore, Machine) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    disk.create_dir(&layout.partition()).unwrap();
    disk.create_dir(&layout.raft()).unwrap();
    let lock = Arc::new(DirectoryLock::acquire(&layout.lock()).unwrap());
    let kept = Kept { end: 0.into(), epochs: &Epochs::EMPTY, restarted_at: 0.into() };
    let (log, _) = LogWriter::open(&disk, &layout.partition(), 1 << 20, kept).unwrap();
    // Small segments, so that purging and cutting meet several.
    let opened = Opened::open(&disk, &layout.raft(), 100).unwrap();
    let (raft_log, _) = RaftLogStore::start(opened, 0, health.clone(), Arc::clone(&lock)).unwrap();
    let images = Images { end: MetadataImage::empty(), before: MetadataImage::empty() };
    let parts = MachineParts {
        state: StateMachine::new(Sidecar::default(), log, images, raft_log.table()),
        disk,
        layout,
        limits: Limits { sidecar_every: 1, snapshot_every: 1 << 20, retention: 1 << 20, hold: 1 << 20 },
        view: watch::Sender::new(View::default()),
        recent: Arc::default(),
        health,
        durable: watch::Sender::new(None),
        lock,
    };
    let (machine, _) = Machine::start(parts).unwrap();
    (dir, raft_log, machine)
}

#[test]
fn openrafts_suite_for_stores_passes() {
    Suite::test_all(Builder).unwrap();
}

/// A snapshot of epoch 7 that was received, and an append of that epoch behind it.
#[tokio::test]
async fn a_member_goes_on_in_the_epoch_of_the_snapshot_that_it_was_sent() {
    let (_dir, _raft_log, machine) = built(Disk::default(), Health::new());
    let position = Position { epoch: KRaftLeaderEpoch(7), end_offset: Offset(40) };
    let image = MetadataDelta::new(&MetadataImage::empty()).apply(position, TimestampMs(5));
    let applied = Some(StoredLogId { term: 7, index: 12 });
    let base = Base { applied, membership: Default::default(), position: position.into() };
    machine.install(StoredSnapshot { base }, image).await.unwrap();

    let mut batch = BatchBuilder::data(TimestampMs(6));
    let mut frame = Vec::new();
    VersionedRecord::new(NoOpRecord::default(), 0).encode(&mut frame).unwrap();
    batch.push(&frame).unwrap();
    let batch = Blob(batch.finish(Offset(0), KRaftLeaderEpoch(0)).into());
    let batch = ProposedBatch { expected: Some(40), txn: ProposedTxn::None, batch };
    let payload = Payload::Normal(Proposal::Append { epoch: 7, batches: vec![batch] });
    let answers = machine.apply(vec![Entry { log_id: log_id(7, 13), payload }]).await.unwrap();
    let end = Position { epoch: KRaftLeaderEpoch(7), end_offset: Offset(41) };
    assert_eq!(answers, [Applied::Batches(vec![Ok(end.into())])]);
    assert_eq!(machine.snapshot_base().await.unwrap().image.position(), end);
}

/// A last snapshot that fails after the log was told to stop.
#[tokio::test]
async fn what_asks_after_a_failure_is_told_the_failure() {
    let disk = Disk::with_room(1 << 20);
    let health = Health::new();
    let (_dir, _raft_log, machine) = built(disk.clone(), health.clone());
    health.stop(ErrorKind::Unavailable, "it was shut down");
    disk.fill();
    machine.snapshot_written(StoredSnapshot::default()).await.unwrap_err();
    let Failed(stopped) = machine.close().await.unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Unavailable);
    assert!(stopped.reason.contains("sidecar.tmp"), "{stopped}");
}

/// Killed between the two, it has the snapshot and still Raft's log of before, which openraft gives back when it starts. Without
/// a snapshot that was installed, the same is a loss.
#[tokio::test]
async fn a_log_that_ends_before_a_snapshot_that_was_installed_has_lost_nothing() {
    let (dir, _raft_log, machine) = built(Disk::default(), Health::new());
    let position = Position { epoch: KRaftLeaderEpoch(7), end_offset: Offset(40) };
    let image = MetadataDelta::new(&MetadataImage::empty()).apply(position, TimestampMs(5));
    let base = Base {
        applied: Some(StoredLogId { term: 7, index: 12 }),
        membership: Default::default(),
        position: position.into(),
    };
    machine.install(StoredSnapshot { base }, image).await.unwrap();
    machine.close().await.unwrap();
    let layout = Layout::new(dir.path());
    let mut sidecar = Sidecar::read(&layout.raft()).unwrap().unwrap();
    let reopened = Opened::open(&Disk::default(), &layout.raft(), 100).unwrap();
    check_reaches_applied(&layout, &sidecar, &reopened).unwrap();
    sidecar.restarted_at = 0;
    assert_eq!(check_reaches_applied(&layout, &sidecar, &reopened).unwrap_err().kind(), ErrorKind::Corrupt);
}
