//! Reads committed batches while the log is written.

use std::path::Path;
use std::sync::Arc;

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{Offset, Position, TimestampMs};
use metadata_core::image::{ImageLoader, MetadataImage};
use metadata_core::log::LogBatch;

use super::damage::{Damage, LogError};
use super::segment::{BatchReader, Sequence};
use super::snapshot::{check_control, decode_records};
use super::writer::Segments;
use crate::batch::Batch;
use crate::disk::DiskError;

/// Goes through the batches of a log from one offset (inclusive) to another (exclusive), across its segments. It holds one
/// batch at a time.
pub(crate) struct LogReader {
    segments: Arc<Segments>,
    end: Offset,
    sequence: Sequence,
    current: Option<BatchReader>,
}

impl LogReader {
    /// `from` must be where a batch begins, and `end` where one ends.
    pub(crate) fn new(segments: Arc<Segments>, from: Offset, end: Offset) -> Self {
        Self { segments, end, sequence: Sequence::starting_at(from), current: None }
    }

    /// The next batch, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<LogBatch>, LogError> {
        self.take(|batch| {
            let header = *batch.header();
            let records = match header.control {
                true => check_control(batch).map(|()| Vec::new()),
                false => decode_records(batch),
            };
            Ok(LogBatch {
                base_offset: header.base_offset,
                end_offset: header.end_offset(),
                epoch: header.epoch,
                timestamp: header.timestamp,
                records: records?.into(),
            })
        })
    }

    /// What `of` makes of the next batch, or `None` at the end. What it says of a batch that can't be used is damage.
    fn take<T>(&mut self, of: impl Fn(&Batch<'_>) -> Result<T, String>) -> Result<Option<T>, LogError> {
        loop {
            let expected = self.sequence.next;
            if expected >= self.end {
                return Ok(None);
            }
            let reader = match &mut self.current {
                Some(reader) => reader,
                None => self.current.insert(open_at(&self.segments, expected)?),
            };
            let (file, position) = (reader.path().to_owned(), reader.position());
            let damage = |reason| Damage { file, position, offset: Some(expected), reason };
            let Some(batch) = reader.next(Some(expected))? else {
                // The segment was rolled, or its reader opened it before it had grown: both are found by looking again.
                self.current = None;
                if !self.segments.reaches(expected) {
                    return Err(damage("the log ends here".to_owned()).into());
                }
                continue;
            };
            let header = *batch.header();
            if header.end_offset() <= expected {
                continue;
            }
            if header.base_offset < expected {
                return Err(LogError::InsideBatch { from: expected, base: header.base_offset });
            }
            return match self.sequence.take(&header).and_then(|()| of(&batch)) {
                Ok(taken) => Ok(Some(taken)),
                Err(reason) => Err(damage(reason).into()),
            };
        }
    }
}

fn open_at(segments: &Segments, offset: Offset) -> Result<BatchReader, LogError> {
    match segments.locate(offset) {
        Some((path, position)) => BatchReader::open(&path, position),
        None => {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, format!("no segment has offset {offset}"));
            Err(DiskError { operation: "read", path: "__cluster_metadata-0".into(), source }.into())
        }
    }
}

/// Batches from `from` (inclusive) on, until `records_max` records are passed; at least one if there is one before `end`.
pub(crate) fn read_batches(
    segments: Arc<Segments>,
    from: Offset,
    end: Offset,
    records_max: usize,
) -> Result<Vec<LogBatch>, LogError> {
    let mut reader = LogReader::new(segments, from, end);
    let mut batches = Vec::new();
    let mut records = 0;
    while records < records_max.max(1) {
        let Some(batch) = reader.next()? else { break };
        records += usize::try_from(batch.end_offset.0 - batch.base_offset.0).unwrap_or(usize::MAX);
        batches.push(batch);
    }
    Ok(batches)
}

/// The bytes of whole batches, from the one that holds `from` (inclusive) on, up to `end` (exclusive). At least one if there is
/// one; then as many as fit into `bytes_max`.
pub(crate) fn read_bytes(
    segments: Arc<Segments>,
    from: Offset,
    end: Offset,
    bytes_max: usize,
) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    let mut reader = LogReader::new(Arc::clone(&segments), from, end);
    loop {
        let room = bytes_max.saturating_sub(bytes.len());
        let first = bytes.is_empty();
        let next = reader.take(|batch| {
            let fits = first || batch.bytes().len() <= room;
            Ok(fits.then(|| batch.bytes().to_vec()))
        });
        match next {
            Ok(Some(Some(batch))) => bytes.extend(batch),
            Ok(Some(None) | None) => return Ok(bytes),
            Err(LogError::InsideBatch { base, .. }) => reader = LogReader::new(Arc::clone(&segments), base, end),
            Err(error) => return Err(error),
        }
    }
}

/// Replays the log behind `image` up to `end` (exclusive; where a batch ends). On the way it calls `passing` with each
/// image at a batch end, and with the first.
pub(crate) fn replay(
    segments: Arc<Segments>,
    dir: &Path,
    image: MetadataImage,
    end: Offset,
    mut passing: impl FnMut(&MetadataImage),
) -> Result<MetadataImage, LogError> {
    passing(&image);
    let mut reader = LogReader::new(segments, image.position().end_offset, end);
    let mut loader = ImageLoader::new(image);
    while let Some(batch) = reader.next()? {
        let replayed =
            loader.replay_batch(batch.base_offset, batch.end_offset, batch.epoch, batch.timestamp, &batch.records);
        replayed.map_err(|error| Damage {
            file: dir.to_owned(),
            position: 0,
            offset: Some(batch.base_offset),
            reason: format!("the log contradicts itself: {error}"),
        })?;
        passing(loader.image());
    }
    Ok(loader.image().clone())
}

/// The time and checksum of the batch that ends at `end` (exclusive), of the epoch that is said.
pub(crate) fn batch_ending_at(segments: &Segments, start: Offset, end: Position) -> Option<(TimestampMs, u32)> {
    let last = end.last().filter(|last| *last >= start)?;
    let (path, position) = segments.locate(last)?;
    let mut reader = BatchReader::open(&path, position).ok()?;
    loop {
        let header = *reader.next(None).ok()??.header();
        if header.end_offset() >= end.end_offset {
            let matches = header.end_offset() == end.end_offset && header.epoch == end.epoch;
            return matches.then_some((header.timestamp, header.crc));
        }
    }
}

/// The error of a read below the log's start.
pub(crate) fn below_start(from: Offset, start: Offset) -> Error {
    let message = format!("the log starts at offset {start}, {from} is below it; begin with the image of a snapshot");
    Error::not_applied(ErrorKind::Conflict, message)
}
