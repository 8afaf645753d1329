//! The state machine as openraft sees it. A Raft snapshot is a `.checkpoint` of Kafka; what else Raft must know of it is in
//! the snapshot's id and in the sidecar.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use metadata_core::id::Offset;
use metadata_core::image::MetadataImage;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError};

use super::apply::SnapshotBase;
use super::machine::Machine;
use super::proposal::{Applied, StoredPosition};
use super::types::{Entry, LogId, RaftTypes, SnapshotMeta, StorageError, StoredMembership};
use crate::log::SnapshotId;
use crate::log::snapshot::{SnapshotReader, write_snapshot};
use crate::sidecar::{Base, StoredSnapshot};

/// Wraps any error of a snapshot for openraft, which stops over it.
fn snapshot_error(error: impl std::fmt::Display) -> StorageError {
    StorageIOError::write_snapshot(None, AnyError::error(error.to_string())).into()
}

/// Runs what waits for a disk outside the workers of the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(text).flatten()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Raft's id of a snapshot: Kafka's, and the entry that it covers last, since different entries may amount to the same
/// Kafka log.
fn raft_snapshot_id(snapshot: &StoredSnapshot) -> String {
    let index = snapshot.base.applied.map_or(0, |applied| applied.index);
    format!("{}-{index}", snapshot.id())
}

fn kafka_snapshot_id(raft: &str) -> Option<SnapshotId> {
    let (kafka, _index) = raft.rsplit_once('-')?;
    SnapshotId::from_file_name(&format!("{kafka}.checkpoint"))
}

fn meta(snapshot: &StoredSnapshot) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: snapshot.base.applied.map(Into::into),
        last_membership: snapshot.base.membership.clone().into(),
        snapshot_id: raft_snapshot_id(snapshot),
    }
}

impl Machine {
    /// The file of a snapshot. While the Kafka log is empty there is no `.checkpoint` to have: Kafka would take one at
    /// offset 0 for something else. The state then is that of a new log, and its file is empty.
    fn snapshot_path(&self, id: SnapshotId) -> PathBuf {
        match id.end_offset {
            Offset(0) => self.layout.empty_snapshot(),
            _ => self.layout.partition().join(id.file_name()),
        }
    }

    fn incoming_path(&self) -> PathBuf {
        self.layout.raft().join("incoming-snapshot.part")
    }

    async fn open_snapshot(&self, snapshot: &StoredSnapshot) -> Result<Snapshot<RaftTypes>, StorageError> {
        let path = self.snapshot_path(snapshot.id());
        let file = tokio::fs::File::open(&path).await;
        let file = file.map_err(|error| snapshot_error(format!("can't open {}: {error}", path.display())))?;
        Ok(Snapshot { meta: meta(snapshot), snapshot: Box::new(file) })
    }
}

impl RaftSnapshotBuilder<RaftTypes> for Machine {
    /// A snapshot that can't be written, on a full disk say, is told and otherwise left out: openraft is handed the one
    /// before, and purges nothing.
    async fn build_snapshot(&mut self) -> Result<Snapshot<RaftTypes>, StorageError> {
        let building = Arc::clone(&self.building);
        let _building = building.lock().await;
        let SnapshotBase { base, image } = self.snapshot_base().await?;
        let snapshot = StoredSnapshot { base };
        let (machine, id) = (self.clone(), snapshot.id());
        match blocking(move || write(&machine, id, &image)).await {
            Ok(()) => {
                self.snapshot_written(snapshot.clone()).await?;
                self.open_snapshot(&snapshot).await
            }
            Err(reason) => {
                self.snapshot_failed(reason).await?;
                // Without one before it is that of an empty log.
                let before = self.current_snapshot().await?.unwrap_or_default();
                self.open_snapshot(&before).await
            }
        }
    }
}

/// Writes the file of a snapshot, unless it is there already.
fn write(machine: &Machine, id: SnapshotId, image: &MetadataImage) -> Result<(), String> {
    let path = machine.snapshot_path(id);
    if id.end_offset == Offset(0) {
        return machine.disk.create(&path).map(drop).map_err(text);
    }
    if path.is_file() {
        return Ok(());
    }
    write_snapshot(&machine.disk, &machine.layout.partition(), image).map(drop).map_err(text)
}

impl RaftStateMachine<RaftTypes> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok(self.state().await?)
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        Ok(Machine::apply(self, entries).await?)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<tokio::fs::File>, StorageError> {
        let (disk, path) = (self.disk.clone(), self.incoming_path());
        let file = blocking(move || {
            disk.create(&path).map_err(text)?;
            File::options().read(true).write(true).open(&path).map_err(text)
        });
        Ok(Box::new(tokio::fs::File::from_std(file.await.map_err(snapshot_error)?)))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<tokio::fs::File>,
    ) -> Result<(), StorageError> {
        let id = kafka_snapshot_id(&meta.snapshot_id)
            .ok_or_else(|| snapshot_error(format!("{} is no id of a snapshot", meta.snapshot_id)))?;
        let position = StoredPosition { epoch: id.epoch.0, end_offset: id.end_offset.0 };
        let base =
            Base { applied: meta.last_log_id.map(Into::into), membership: (&meta.last_membership).into(), position };
        let received = snapshot.into_std().await;
        let machine = self.clone();
        let image = blocking(move || adopt(&machine, received, id)).await.map_err(snapshot_error)?;
        Ok(self.install(StoredSnapshot { base }, image).await?)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<RaftTypes>>, StorageError> {
        match self.current_snapshot().await? {
            Some(snapshot) => self.open_snapshot(&snapshot).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Verifies a received snapshot to its last byte and gives it its name.
fn adopt(machine: &Machine, mut received: File, id: SnapshotId) -> Result<MetadataImage, String> {
    use std::io::{Seek, SeekFrom};
    let target = machine.snapshot_path(id);
    if id.end_offset == Offset(0) {
        machine.disk.create(&target).map_err(text)?;
        return Ok(MetadataImage::empty());
    }
    received.seek(SeekFrom::Start(0)).map_err(text)?;
    let part = machine.layout.partition().join(format!("{}.part", id.file_name()));
    let mut copied = || {
        let mut file = File::create(&part).map_err(text)?;
        std::io::copy(&mut received, &mut file).and_then(|_| file.sync_all()).map_err(text)?;
        let image = SnapshotReader::open(&part).and_then(|reader| reader.load(id.position())).map_err(text)?;
        machine.disk.rename(&part, &target).map_err(text)?;
        Ok(image)
    };
    let image = copied().inspect_err(|_: &String| {
        let _ = machine.disk.remove(&part);
    })?;
    machine.disk.remove(&machine.incoming_path()).map_err(text)?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use metadata_core::id::KRaftLeaderEpoch;

    use super::*;
    use crate::raftlog::StoredLogId;

    #[test]
    fn raft_and_kafka_ids_of_a_snapshot_belong_together() {
        let snapshot = StoredSnapshot {
            base: Base {
                applied: Some(StoredLogId { term: 4, index: 77 }),
                membership: Default::default(),
                position: StoredPosition { epoch: 3, end_offset: 42 },
            },
        };
        let raft = raft_snapshot_id(&snapshot);
        assert_eq!(raft, "00000000000000000042-0000000003-77");
        let expected = SnapshotId { end_offset: Offset(42), epoch: KRaftLeaderEpoch(3) };
        assert_eq!(kafka_snapshot_id(&raft), Some(expected));
        assert_eq!(kafka_snapshot_id("42-3-1"), None);
    }
}
