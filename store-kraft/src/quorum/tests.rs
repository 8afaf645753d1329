//! openraft's own suite for stores, run on ours.

use std::sync::Arc;

use metadata_core::image::MetadataImage;
use openraft::testing::{StoreBuilder, Suite};
use tokio::sync::watch;

use super::apply::{Images, StateMachine};
use super::machine::{Limits, Machine, MachineParts};
use super::types::{RaftTypes, StorageError};
use super::view::View;
use crate::disk::Disk;
use crate::health::Health;
use crate::log::epochs::Epochs;
use crate::log::layout::Layout;
use crate::log::lock::DirectoryLock;
use crate::log::writer::{Kept, LogWriter};
use crate::raftlog::{Opened, RaftLogStore};
use crate::sidecar::Sidecar;

struct Builder;

impl StoreBuilder<RaftTypes, RaftLogStore, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, RaftLogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let layout = Layout::new(dir.path());
        disk.create_dir(&layout.partition()).unwrap();
        disk.create_dir(&layout.raft()).unwrap();
        let lock = Arc::new(DirectoryLock::acquire(&layout.lock()).unwrap());
        let health = Health::new();
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
            health,
            lock,
        };
        let (machine, _) = Machine::start(parts).unwrap();
        Ok((dir, raft_log, machine))
    }
}

#[test]
fn openrafts_suite_for_stores_passes() {
    Suite::test_all(Builder).unwrap();
}
