//! A data directory that no process holds, read as it lies. Nothing is written, no lock is taken.
//!
//! What is read is the Kafka log, which is complete after a clean stop. After a kill its end may be torn, and after the
//! loss of the machine it may lack acknowledged records that only the private log beside it has; the next start mends both.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use metadata_core::id::{Offset, Position, TimestampMs};
use metadata_core::image::{ImageLoader, MetadataDelta, MetadataImage};
use metadata_core::record::{ControlRecord, VersionedRecord};
use store_kraft::batch::Batch;
use store_kraft::log::{Damage, Dump, DumpItem, DumpedBatch, RecordContent, SnapshotId};

use crate::cli::Failure;

/// Kafka's directory of the metadata topic's only partition.
const PARTITION_DIR: &str = "__cluster_metadata-0";
/// A torn end is looked at so far, in bytes: more than any batch has.
const TAIL_BYTES_MAX: u64 = 16 << 20;

/// A log as it was read.
#[derive(Debug, Clone)]
pub struct LogOnDisk {
    /// The image at the end, or at the position that was asked for.
    pub image: MetadataImage,
    /// End of the log (exclusive).
    pub end: Position,
    /// Where reading stopped before the end of the file, if it did.
    pub damage: Option<Damage>,
}

impl LogOnDisk {
    /// Reads the log of a data directory. With `at`, the image is that at this offset (exclusive end), as far as there is
    /// a snapshot below it or the log begins at 0.
    ///
    /// # Errors
    /// The log can't be read, contradicts itself, or has no image at `at`.
    pub fn read(data_dir: &Path, at: Option<Offset>) -> Result<Self, Failure> {
        let dir = data_dir.join(PARTITION_DIR);
        let image = newest_snapshot(&dir, at)?;
        let mut end = image.position();
        let mut loader = ImageLoader::new(image);
        let mut wanted = at.map(|at| (at, (end.end_offset == at).then(|| loader.image().clone())));
        let mut damage = None;
        if has_segments(&dir) {
            for item in Dump::open(&dir).map_err(Failure::from)? {
                let batch = match item.map_err(Failure::from)? {
                    DumpItem::Batch(batch) => batch,
                    DumpItem::Damage(found) => {
                        damage = Some(found);
                        break;
                    }
                };
                if batch.header.end_offset() <= end.end_offset {
                    continue;
                }
                replay(&mut loader, &batch)?;
                end = Position { epoch: batch.header.epoch, end_offset: batch.header.end_offset() };
                if let Some((at, found)) = &mut wanted
                    && *at == end.end_offset
                {
                    *found = Some(loader.image().clone());
                }
            }
        }
        let image = match wanted {
            None => loader.image().clone(),
            Some((_, Some(image))) => image,
            Some((at, None)) => {
                return Err(Failure::failed(format!("there is no image at offset {at} in {}", data_dir.display()))
                    .why(format!("the log ends at offset {}, and no batch ends at {at}", end.end_offset))
                    .next("start `migrate` once: it mends what a crash left, and brings ZooKeeper in step"));
            }
        };
        Ok(Self { image, end, damage })
    }
}

/// Whether the file ends within a batch: what an interrupted write leaves, or one that is under way.
pub fn is_torn_end(damage: &Damage) -> bool {
    let mut tail = Vec::new();
    let read = fs::File::open(&damage.file).and_then(|mut file| {
        file.seek(SeekFrom::Start(damage.position))?;
        file.take(TAIL_BYTES_MAX).read_to_end(&mut tail)
    });
    // Whole by now: it was being written when it was read.
    read.is_ok() && Batch::parse(&tail).map_or_else(|flaw| flaw.is_truncation(), |_| true)
}

fn has_segments(dir: &Path) -> bool {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.path().extension().is_some_and(|it| it == "log"))
}

fn replay(loader: &mut ImageLoader, batch: &DumpedBatch) -> Result<(), Failure> {
    let header = &batch.header;
    let records = metadata_of(batch)?;
    loader
        .replay_batch(header.base_offset, header.end_offset(), header.epoch, header.timestamp, &records)
        .map_err(|error| contradiction(batch).because(&error))
}

fn contradiction(batch: &DumpedBatch) -> Failure {
    Failure::damaged(format!("{} contradicts itself at offset {}", batch.file.display(), batch.header.base_offset))
        .next("look at it with `dump-log`; restore the data directory from a backup")
}

/// The metadata records of a batch; none in a batch of control records.
fn metadata_of(batch: &DumpedBatch) -> Result<Vec<VersionedRecord>, Failure> {
    let mut records = Vec::with_capacity(batch.records.len());
    for record in &batch.records {
        match &record.content {
            Ok(RecordContent::Metadata(metadata)) => records.push(metadata.clone()),
            Ok(RecordContent::Control(_)) => {}
            Err(error) => return Err(contradiction(batch).because(error)),
        }
    }
    Ok(records)
}

/// The image of the newest snapshot at or below `at`, or the empty one.
fn newest_snapshot(dir: &Path, at: Option<Offset>) -> Result<MetadataImage, Failure> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let newest = entries
        .filter_map(|entry| Some((SnapshotId::from_file_name(entry.file_name().to_str()?)?, entry.path())))
        .filter(|(id, _)| at.is_none_or(|at| id.end_offset <= at))
        .max();
    let Some((id, path)) = newest else { return Ok(MetadataImage::empty()) };
    let empty = MetadataImage::empty();
    let mut delta = MetadataDelta::new(&empty);
    let mut time = TimestampMs(0);
    for item in Dump::open(&path).map_err(Failure::from)? {
        let batch = match item.map_err(Failure::from)? {
            DumpItem::Batch(batch) => batch,
            DumpItem::Damage(damage) => {
                return Err(Failure::damaged(format!("the snapshot {} can't be read", path.display()))
                    .because(&damage)
                    .next("restore the data directory from a backup"));
            }
        };
        for record in &batch.records {
            if let Ok(RecordContent::Control(ControlRecord::SnapshotHeader(header))) = &record.content {
                time = header.last_contained_log_timestamp;
            }
        }
        delta.replay_all(&metadata_of(&batch)?).map_err(|error| contradiction(&batch).because(&error))?;
    }
    Ok(delta.apply(id.position(), time))
}

#[cfg(test)]
mod tests {
    use metadata_core::contract::Workload;
    use metadata_core::id::NodeId;
    use metadata_core::log::{Append, MetadataLog as _};
    use metadata_core::metadata_version::MetadataVersion;
    use metadata_core::record::ZkMigrationState;
    use metadata_core::store::Txn;
    use store_kraft::{KraftLog, KraftLogOptions};

    use super::*;

    const CLUSTER: &str = "a-cluster";

    async fn open(dir: &Path) -> KraftLog {
        KraftLog::open(KraftLogOptions::new(dir, NodeId(3000), CLUSTER)).await.unwrap()
    }

    async fn change(log: &KraftLog, seed: u64, count: usize) {
        let epoch = log.leadership(None).await.unwrap().epoch;
        for records in Workload::new(seed).changes(&log.image(), count) {
            let expected = Some(log.image().position().end_offset);
            log.append(Append { epoch, expected, txn: Txn::None, records }).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_lies_there_is_what_the_log_had_at_every_batch() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        KraftLog::format(&dir, NodeId(3000), CLUSTER, MetadataVersion::V3_9_IV0).unwrap();
        let unused = LogOnDisk::read(&dir, None).unwrap();
        assert_eq!(unused.end, Position::START);

        let log = open(&dir).await;
        log.bootstrap(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration).await.unwrap();
        change(&log, 1, 40).await;
        let earlier = log.image();
        change(&log, 2, 40).await;
        log.snapshot().await.unwrap();
        change(&log, 3, 40).await;
        let newest = log.image();
        log.shutdown().await.unwrap();

        let found = LogOnDisk::read(&dir, None).unwrap();
        assert_eq!((found.end, found.damage), (newest.position(), None));
        assert_eq!((found.image.position(), found.image.timestamp()), (newest.position(), newest.timestamp()));
        assert!(found.image.same_metadata(&newest));
        let found = LogOnDisk::read(&dir, Some(earlier.position().end_offset)).unwrap();
        assert!(found.image.same_metadata(&earlier) && found.image.position() == earlier.position());
        assert_eq!(found.end, newest.position());

        let past = newest.position().end_offset.plus(1);
        assert!(LogOnDisk::read(&dir, Some(past)).unwrap_err().to_string().contains("there is no image"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_torn_end_is_reported_and_what_is_before_it_counts() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        KraftLog::format(&dir, NodeId(3000), CLUSTER, MetadataVersion::V3_9_IV0).unwrap();
        let log = open(&dir).await;
        log.bootstrap(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration).await.unwrap();
        change(&log, 1, 5).await;
        let before = log.image();
        change(&log, 2, 1).await;
        log.shutdown().await.unwrap();

        let segment = dir.join("__cluster_metadata-0/00000000000000000000.log");
        let length = fs::metadata(&segment).unwrap().len();
        fs::File::options().write(true).open(&segment).unwrap().set_len(length - 3).unwrap();
        let found = LogOnDisk::read(&dir, None).unwrap();
        assert!(found.damage.as_ref().is_some_and(is_torn_end));
        assert!(found.image.same_metadata(&before), "{:?} {:?}", found.end, before.position());
    }
}
