//! A data directory that no process holds, read as it lies. Nothing is written, no lock is taken.
//!
//! What is read is the Kafka log, which is complete after a clean stop. After a kill its end may be torn, and after the
//! loss of the machine it may lack acknowledged records that only the private log beside it has; the next start mends both.

use std::fs;
use std::path::Path;

use metadata_core::id::{Offset, Position, TimestampMs};
use metadata_core::image::{ImageLoader, MetadataDelta, MetadataImage};
use metadata_core::record::{ControlRecord, VersionedRecord};
use store_kraft::log::{Damage, Dump, DumpItem, DumpedBatch, RecordContent, SnapshotId};

use crate::cli::Failure;

/// Kafka's directory of the metadata topic's only partition.
const PARTITION_DIR: &str = "__cluster_metadata-0";

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

fn has_segments(dir: &Path) -> bool {
    fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| entry.path().extension().is_some_and(|it| it == "log"))
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
