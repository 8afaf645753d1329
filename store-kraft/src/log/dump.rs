//! Every batch and record of a log, a segment or a snapshot, for people and tools to look at.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};

use metadata_core::codec::DecodeReason;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::Offset;
use metadata_core::record::{ControlRecord, DecodeError, RecordKind, VersionedRecord};

use super::damage::{Damage, LogError};
use super::layout::{PARTITION_DIR, parse_segment_name, segment_name};
use super::segment::{BatchReader, Sequence};
use super::snapshot::list_snapshots;
use super::writer::segment_names;
use crate::batch::{Batch, BatchHeader, Record};

/// Goes through files of batches and gives what is in them, one batch at a time. It changes nothing and takes no lock.
///
/// Damage is an item like others. What follows it in its file has no known boundary, so the dump goes on with the next
/// file.
#[derive(Debug)]
pub struct Dump {
    files: VecDeque<PathBuf>,
    current: Option<(BatchReader, Sequence)>,
    /// Segments of one log follow each other; other files stand alone.
    next: Option<Offset>,
}

/// What a dump meets.
#[derive(Debug)]
pub enum DumpItem {
    /// A sound batch.
    Batch(DumpedBatch),
    /// Bytes that are no sound batch, or a batch in a wrong place.
    Damage(Damage),
}

/// A batch with its records.
#[derive(Debug)]
pub struct DumpedBatch {
    /// Its file.
    pub file: PathBuf,
    /// The byte in the file at which it begins.
    pub position: u64,
    /// Its header.
    pub header: BatchHeader,
    /// Its records, in order.
    pub records: Vec<DumpedRecord>,
}

/// A record of a batch.
#[derive(Debug)]
pub struct DumpedRecord {
    /// Its offset. In a snapshot: its number in the file.
    pub offset: Offset,
    /// Bytes of its value.
    pub value_len: usize,
    /// What its value says, or why it can't be read.
    pub content: Result<RecordContent, Unreadable>,
}

/// Why a record can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is of a type, or a version, that we do not know: a newer Kafka wrote it. What it says is not known.
    #[error("unknown {0}: a newer Kafka may have written it")]
    Unknown(UnknownRecord),
    /// It is of a type that we know, and its bytes are wrong.
    #[error(transparent)]
    Damaged(DecodeError),
}

/// A record that a newer Kafka wrote, by Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownRecord {
    /// A metadata record.
    Metadata(RecordKind),
    /// A control record, by its type.
    Control(i16),
}

impl fmt::Display for UnknownRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(kind) => write!(f, "record {kind}"),
            Self::Control(kind) => write!(f, "control record type {kind}"),
        }
    }
}

/// What a record's value says.
#[derive(Debug)]
pub enum RecordContent {
    /// Raft's own record.
    Control(ControlRecord),
    /// A metadata record.
    Metadata(VersionedRecord),
}

impl Dump {
    /// The log of a data directory, of its `__cluster_metadata-0`, or a single `.log` or `.checkpoint` file.
    ///
    /// Of a directory the segments are dumped, in the order of their offsets; its snapshots are files of their own. A
    /// directory that begins with a snapshot, and has no segment yet, is that snapshot.
    ///
    /// # Errors
    /// `Unavailable`: the path can't be read. `Invalid`: there is no log in the directory.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Ok(Self { files: [path.to_owned()].into(), current: None, next: None });
        }
        let inner = path.join(PARTITION_DIR);
        let dir = if inner.is_dir() { inner } else { path.to_owned() };
        let bases = segment_names(&dir)?;
        if bases.is_empty() {
            if let Some(newest) = list_snapshots(&dir)?.last() {
                return Ok(Self { files: [dir.join(newest.file_name())].into(), current: None, next: None });
            }
            let message = format!(
                "there is no metadata log in {}: no file is named like {}",
                dir.display(),
                segment_name(Offset(0))
            );
            return Err(Error::not_applied(ErrorKind::Invalid, message));
        }
        let next = bases.first().copied();
        Ok(Self { files: bases.into_iter().map(|base| dir.join(segment_name(base))).collect(), current: None, next })
    }

    fn step(&mut self) -> Result<Option<DumpItem>, LogError> {
        loop {
            let Some((reader, sequence)) = &mut self.current else {
                let Some(path) = self.files.pop_front() else { return Ok(None) };
                if let Some(damage) = self.start(&path)? {
                    return Ok(Some(DumpItem::Damage(damage)));
                }
                continue;
            };
            let (file, position, expected) = (reader.path().to_owned(), reader.position(), sequence.next);
            let Some(batch) = reader.next(Some(expected))? else {
                self.next = self.next.map(|_| expected);
                self.current = None;
                continue;
            };
            return Ok(Some(match sequence.take(batch.header()) {
                Ok(()) => DumpItem::Batch(dump_batch(file, position, &batch)),
                Err(reason) => {
                    // The batch itself is sound: go on behind it, from where it says it is.
                    *sequence = Sequence { next: batch.header().end_offset(), epoch: batch.header().epoch };
                    DumpItem::Damage(Damage { file, position, offset: Some(expected), reason })
                }
            }));
        }
    }

    /// Opens the next file. A segment must start where the one before ended.
    fn start(&mut self, path: &Path) -> Result<Option<Damage>, LogError> {
        let base = path.file_name().and_then(|name| name.to_str()).and_then(parse_segment_name);
        let start = base.unwrap_or(Offset(0));
        self.current = Some((BatchReader::open(path, 0)?, Sequence::starting_at(start)));
        Ok(self.next.filter(|expected| *expected != start).map(|expected| Damage {
            file: path.to_owned(),
            position: 0,
            offset: Some(expected),
            reason: format!("the segment starts at offset {start}, the one before ends at {expected}"),
        }))
    }
}

impl Iterator for Dump {
    type Item = Result<DumpItem>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(item) => item.map(Ok),
            Err(LogError::Damage(damage)) => {
                self.current = None;
                // Where the next segment must start is no longer known; its own name is taken for it.
                self.next = None;
                Some(Ok(DumpItem::Damage(damage)))
            }
            Err(error) => {
                self.current = None;
                self.files.clear();
                Some(Err(error.into()))
            }
        }
    }
}

fn dump_batch(file: PathBuf, position: u64, batch: &Batch<'_>) -> DumpedBatch {
    let records = batch.records().flatten().map(|record| DumpedRecord {
        offset: record.offset,
        value_len: record.value.len(),
        content: content(&record),
    });
    DumpedBatch { file, position, header: *batch.header(), records: records.collect() }
}

fn content(record: &Record<'_>) -> Result<RecordContent, Unreadable> {
    match record.control() {
        Some(control) => control.map(RecordContent::Control).map_err(|error| match error.reason() {
            DecodeReason::UnknownControlType { found } => Unreadable::Unknown(UnknownRecord::Control(found)),
            _ => Unreadable::Damaged(error),
        }),
        None => {
            VersionedRecord::decode(record.value).map(RecordContent::Metadata).map_err(|error| {
                match RecordKind::of(record.value) {
                    Ok(kind) if !kind.is_known() => Unreadable::Unknown(UnknownRecord::Metadata(kind)),
                    _ => Unreadable::Damaged(error),
                }
            })
        }
    }
}
