//! Snapshots and the bootstrap file: a header, batches of records, a footer (`RecordsSnapshotWriter.java`,
//! `BatchFileWriter.java`).

use std::fs;
use std::path::{Path, PathBuf};

use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage, UnwritableMetadata};
use metadata_core::record::{ControlRecord, SnapshotFooterRecord, SnapshotHeaderRecord, VersionedRecord};

use super::damage::{Damage, LogError};
use super::layout::SnapshotId;
use super::segment::{BatchReader, Sequence};
use crate::batch::{Batch, BatchBuilder, BatchFull, Record};
use crate::disk::{Disk, DiskFile, DiskResult, During};

/// Records that Kafka puts into one batch of a snapshot, at most.
const RECORDS_PER_BATCH: usize = 1024;

/// Writes a snapshot beside its final name, which it gets when it is whole and synced. Dropped before that, it leaves
/// nothing: a full disk gets its last bytes back.
pub(crate) struct SnapshotWriter {
    disk: Disk,
    file: DiskFile,
    target: PathBuf,
    position: u64,
    next: Offset,
    epoch: KRaftLeaderEpoch,
    timestamp: TimestampMs,
    batch: BatchBuilder,
    frame: Vec<u8>,
    finished: bool,
}

/// Why a snapshot can't be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    /// A record that was read from a log can be written to a snapshot; this one was not.
    #[error("{record} does not fit into a snapshot: {reason}")]
    Record { record: &'static str, reason: String },
    /// A snapshot without it would be a loss.
    #[error(transparent)]
    Unwritable(#[from] UnwritableMetadata),
}

impl SnapshotWriter {
    /// Begins the snapshot `id` in `dir`. `timestamp` is when the last batch that it covers was written; all its batches
    /// carry that time, so that the same image gives the same bytes.
    pub(crate) fn create(
        disk: &Disk,
        dir: &Path,
        id: SnapshotId,
        timestamp: TimestampMs,
    ) -> Result<Self, SnapshotError> {
        Self::create_at(disk, dir.join(id.file_name()), id.epoch, timestamp, timestamp)
    }

    /// Begins a bootstrap file. Its epoch is 0 and its header's time is 0, as in Kafka's; `now` is the batches' time.
    pub(crate) fn create_bootstrap(disk: &Disk, target: PathBuf, now: TimestampMs) -> Result<Self, SnapshotError> {
        Self::create_at(disk, target, KRaftLeaderEpoch(0), TimestampMs(0), now)
    }

    fn create_at(
        disk: &Disk,
        target: PathBuf,
        epoch: KRaftLeaderEpoch,
        last_contained: TimestampMs,
        timestamp: TimestampMs,
    ) -> Result<Self, SnapshotError> {
        let mut part = target.clone().into_os_string();
        part.push(".part");
        let mut writer = Self {
            disk: disk.clone(),
            file: disk.create(Path::new(&part))?,
            target,
            position: 0,
            next: Offset(0),
            epoch,
            timestamp,
            batch: BatchBuilder::data(timestamp),
            frame: Vec::new(),
            finished: false,
        };
        let header = SnapshotHeaderRecord { last_contained_log_timestamp: last_contained, ..Default::default() };
        writer.control(&header.into())?;
        Ok(writer)
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &VersionedRecord) -> Result<(), SnapshotError> {
        let name = record.record.name();
        self.frame.clear();
        record.encode(&mut self.frame).map_err(|error| record_error(name, error))?;
        if self.batch.records() >= RECORDS_PER_BATCH {
            self.flush()?;
        }
        match self.batch.push(&self.frame) {
            Err(BatchFull::Bytes(_)) if !self.batch.is_empty() => {
                self.flush()?;
                self.batch.push(&self.frame).map_err(|error| record_error(name, error))
            }
            other => other.map_err(|error| record_error(name, error)),
        }
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, BatchBuilder::data(self.timestamp));
        self.write(batch)
    }

    fn control(&mut self, record: &ControlRecord) -> Result<(), SnapshotError> {
        let mut batch = BatchBuilder::control(self.timestamp);
        batch.push_control(record).map_err(|error| record_error(record.name(), error))?;
        self.write(batch)
    }

    fn write(&mut self, batch: BatchBuilder) -> Result<(), SnapshotError> {
        let records = batch.records() as i64;
        let bytes = batch.finish(self.next, self.epoch);
        self.file.write_at(&bytes, self.position)?;
        self.position += bytes.len() as u64;
        self.next = self.next.plus(records);
        Ok(())
    }

    /// Closes the snapshot and gives it its name. Once this returns it is durable, whole, and to be found.
    pub(crate) fn finish(mut self) -> Result<(), SnapshotError> {
        self.flush()?;
        self.control(&SnapshotFooterRecord::default().into())?;
        self.file.sync()?;
        self.disk.rename(self.file.path(), &self.target)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // If it can't be removed now, the next open does it.
            let _ = self.disk.remove(self.file.path());
        }
    }
}

fn record_error(record: &'static str, error: impl std::fmt::Display) -> SnapshotError {
    SnapshotError::Record { record, reason: error.to_string() }
}

/// Writes `image` as the snapshot of its position.
pub(crate) fn write_snapshot(disk: &Disk, dir: &Path, image: &MetadataImage) -> Result<SnapshotId, SnapshotError> {
    let id = SnapshotId::from(image.position());
    let records = image.to_records()?;
    let mut writer = SnapshotWriter::create(disk, dir, id, image.timestamp())?;
    for record in records {
        writer.push(&record)?;
    }
    writer.finish()?;
    Ok(id)
}

/// Reads a snapshot or bootstrap file. It holds one batch at a time.
pub(crate) struct SnapshotReader {
    file: BatchReader,
    sequence: Sequence,
    last_contained: TimestampMs,
    complete: bool,
}

impl SnapshotReader {
    /// Opens the file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        let mut file = BatchReader::open(path, 0)?;
        let mut sequence = Sequence::starting_at(Offset(0));
        let damage = |reason: String| Damage { file: path.to_owned(), position: 0, offset: None, reason };
        let batch = file.next(None)?.ok_or_else(|| damage("the file is empty".to_owned()))?;
        sequence.take(batch.header()).map_err(damage)?;
        check_control(&batch).map_err(damage)?;
        let first = batch.records().next().and_then(Result::ok).and_then(|record| record.control());
        let last_contained = match first {
            Some(Ok(ControlRecord::SnapshotHeader(header))) => header.last_contained_log_timestamp,
            _ => return Err(damage("it does not start with a snapshot header".to_owned()).into()),
        };
        Ok(Self { file, sequence, last_contained, complete: false })
    }

    /// The records of the next batch of metadata, or `None` behind the footer.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<VersionedRecord>>, LogError> {
        loop {
            let position = self.file.position();
            let path = self.file.path().to_owned();
            let damage = |reason| Damage { file: path.clone(), position, offset: None, reason };
            let Some(batch) = self.file.next(None)? else {
                return match self.complete {
                    true => Ok(None),
                    false => Err(damage("it has no footer: it was not written to its end".to_owned()).into()),
                };
            };
            if self.complete {
                return Err(damage("a batch follows the footer".to_owned()).into());
            }
            self.sequence.take(batch.header()).map_err(damage)?;
            if batch.header().control {
                check_control(&batch).map_err(damage)?;
                self.complete = batch.records().flatten().any(|record| is_footer(&record));
                continue;
            }
            return decode_records(&batch).map(Some).map_err(|reason| damage(reason).into());
        }
    }

    /// Replays the whole file.
    pub(crate) fn load(mut self, position: Position) -> Result<MetadataImage, LogError> {
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        let path = self.file.path().to_owned();
        loop {
            let at = self.file.position();
            let Some(records) = self.next()? else { break };
            delta.replay_all(&records).map_err(|error| Damage {
                file: path.clone(),
                position: at,
                offset: None,
                reason: error.to_string(),
            })?;
        }
        Ok(delta.apply(position, self.last_contained))
    }
}

fn is_footer(record: &Record<'_>) -> bool {
    matches!(record.control(), Some(Ok(ControlRecord::SnapshotFooter(_))))
}

/// Whether all control records of a batch are known: one that is not may change how what follows is to be read.
pub(crate) fn check_control(batch: &Batch<'_>) -> Result<(), String> {
    for record in batch.records() {
        let record = record.map_err(|flaw| flaw.to_string())?;
        if let Some(Err(error)) = record.control() {
            return Err(format!("the control record at offset {}: {error}", record.offset));
        }
    }
    Ok(())
}

/// The metadata records of a data batch, or which of them can't be read.
pub(crate) fn decode_records(batch: &Batch<'_>) -> Result<Vec<VersionedRecord>, String> {
    let mut records = Vec::with_capacity(batch.header().records as usize);
    for record in batch.records() {
        let record = record.map_err(|flaw| flaw.to_string())?;
        let decoded = VersionedRecord::decode(record.value);
        records.push(decoded.map_err(|error| format!("the record at offset {}: {error}", record.offset))?);
    }
    Ok(records)
}

/// The finished snapshots in a directory, oldest first.
pub(crate) fn list_snapshots(dir: &Path) -> DiskResult<Vec<SnapshotId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(dir).during("list", dir)? {
        let name = entry.during("list", dir)?.file_name();
        ids.extend(name.to_str().and_then(SnapshotId::from_file_name));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Removes what an interrupted write left: snapshots without their final name, and replacements that replaced nothing.
pub(crate) fn remove_unfinished(disk: &Disk, dir: &Path) -> DiskResult<()> {
    for entry in fs::read_dir(dir).during("list", dir)? {
        let path = entry.during("list", dir)?.path();
        if path.extension().is_some_and(|extension| extension == "part" || extension == "tmp") {
            disk.remove(&path)?;
        }
    }
    Ok(())
}
