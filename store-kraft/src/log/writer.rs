//! Writes the log's segments, and finds batches in them.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};

use super::damage::{Damage, LogError};
use super::epochs::Epochs;
use super::layout::{parse_segment_name, segment_name};
use super::segment::{BatchReader, Sequence};
use crate::batch::BatchHeader;
use crate::disk::{Disk, DiskFile, DiskResult, During};

/// Bytes of a segment between two places that its index knows.
const INDEX_INTERVAL: u64 = 16 * 1024;

/// A segment: its batches start at `base` (inclusive).
#[derive(Debug)]
struct Segment {
    base: Offset,
    file: DiskFile,
    size: u64,
    /// Offset after its last batch (exclusive).
    end: Offset,
    /// Some batches' first offsets and byte positions, ascending. The first batch is always among them.
    index: Vec<(Offset, u64)>,
}

impl Segment {
    fn note(&mut self, header: &BatchHeader) {
        if self.index.last().is_none_or(|(_, position)| self.size - position >= INDEX_INTERVAL) {
            self.index.push((header.base_offset, self.size));
        }
        self.size += header.size as u64;
        self.end = header.end_offset();
    }
}

/// The segments of a log, shared by its writer and its readers.
///
/// `start <= segments' bases <= end`. Readers look only at batches before the committed end, which the writer announces
/// after it wrote them; what lies behind may still be cut.
#[derive(Debug, Default)]
pub(crate) struct Segments(RwLock<VecDeque<Segment>>);

impl Segments {
    /// A file and a byte position in it from which a forward scan meets the batch at `offset`, or `None` when the log has
    /// no such batch.
    pub(crate) fn locate(&self, offset: Offset) -> Option<(PathBuf, u64)> {
        let segments = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let after = segments.partition_point(|segment| segment.base <= offset);
        let segment = segments.get(after.checked_sub(1)?)?;
        let after = segment.index.partition_point(|(base, _)| *base <= offset);
        let (_, position) = segment.index.get(after.checked_sub(1)?)?;
        Some((segment.file.path().to_owned(), *position))
    }

    fn with<T>(&self, change: impl FnOnce(&mut VecDeque<Segment>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the log has a batch at `offset`, committed or about to be.
    pub(crate) fn reaches(&self, offset: Offset) -> bool {
        let segments = self.0.read().unwrap_or_else(PoisonError::into_inner);
        segments.back().is_some_and(|last| last.end > offset)
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().map(|segment| segment.size).sum()
    }
}

/// What was cut off a log when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Bytes that are gone.
    pub(crate) bytes: u64,
    /// The first unsound batch among them, if one was met.
    pub(crate) torn: Option<Damage>,
}

/// What is known of a log before it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    /// Everything before it (exclusive) was synced and must be there.
    pub(crate) end: Offset,
    /// The epochs of what must be there.
    pub(crate) epochs: &'a Epochs,
    /// Segments that start before it are no part of the log any more, and go.
    pub(crate) restarted_at: Offset,
}

/// A place at the end of the log to which it can be cut back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    end: Offset,
}

/// The only writer of a log's segments.
///
/// `start <= synced <= end`: batches before `synced` survive a power failure. Appending moves `end` alone.
#[derive(Debug)]
pub(crate) struct LogWriter {
    disk: Disk,
    dir: PathBuf,
    segment_bytes: u64,
    segments: Arc<Segments>,
    epochs: Epochs,
    /// When epochs began, by the LeaderChange batches that are in the log.
    began: BTreeMap<KRaftLeaderEpoch, TimestampMs>,
    start: Offset,
    end: Offset,
    synced: Offset,
    /// Segments that are no part of the log any more.
    replaced: Vec<Offset>,
}

impl LogWriter {
    /// Opens the log in `dir`: verifies every batch before `kept.end`, and cuts what lies behind. A log without segments
    /// starts at `kept.end`.
    ///
    /// # Errors
    /// Damage before `kept.end`, with the place, which includes that the log ends before it.
    pub(crate) fn open(
        disk: &Disk,
        dir: &Path,
        segment_bytes: u64,
        kept: Kept<'_>,
    ) -> Result<(Self, Option<Cut>), LogError> {
        let keep_until = kept.end;
        let mut names = segment_names(dir)?;
        for replaced in names.extract_if(.., |base| *base < kept.restarted_at) {
            disk.remove(&dir.join(segment_name(replaced)))?;
        }
        // What starts behind the kept end is cut, so it does not say where the log starts.
        let start = names.first().copied().filter(|base| *base <= keep_until).unwrap_or(keep_until);
        let mut writer = Self {
            disk: disk.clone(),
            dir: dir.to_owned(),
            segment_bytes,
            segments: Arc::default(),
            epochs: Epochs::default(),
            began: BTreeMap::new(),
            start,
            end: start,
            synced: start,
            replaced: Vec::new(),
        };
        let mut sequence = Sequence::starting_at(start);
        let mut cut = Cut { bytes: 0, torn: None };
        for base in names {
            writer.open_segment(base, kept, &mut sequence, &mut cut)?;
        }
        if writer.end != keep_until {
            let file = writer.last_path().unwrap_or_else(|| dir.join(segment_name(start)));
            let position = file.metadata().map_or(0, |metadata| metadata.len());
            let reason = format!("the log ends here, but it was synced up to offset {keep_until}");
            return Err(Damage { file, position, offset: Some(writer.end), reason }.into());
        }
        if cut.bytes > 0 {
            disk.sync_dir(dir)?;
        }
        // The snapshot that a log began anew with ends in an epoch of which there may be no batch.
        if let Some(epoch) = kept.epochs.last().filter(|_| writer.end == start) {
            writer.epochs.observe(epoch, start);
        }
        writer.synced = writer.end;
        Ok((writer, (cut.bytes > 0).then_some(cut)))
    }

    fn open_segment(
        &mut self,
        base: Offset,
        kept: Kept<'_>,
        sequence: &mut Sequence,
        cut: &mut Cut,
    ) -> Result<(), LogError> {
        let keep_until = kept.end;
        let path = self.dir.join(segment_name(base));
        let mut reader = BatchReader::open(&path, 0)?;
        if self.end >= keep_until {
            cut.torn = cut.torn.take().or(first_unsound(&mut reader, Sequence::starting_at(base))?);
            cut.bytes += reader.file_len();
            return Ok(self.disk.remove(&path)?);
        }
        if base != sequence.next {
            let reason = format!("the segment starts at offset {base}, the one before ends at {}", sequence.next);
            return Err(Damage { file: path, position: 0, offset: Some(sequence.next), reason }.into());
        }
        let mut segment = Segment { base, file: self.disk.open(&path)?, size: 0, end: base, index: Vec::new() };
        while self.end < keep_until {
            let position = reader.position();
            let Some(batch) = reader.next(Some(sequence.next))? else { break };
            let header = *batch.header();
            let damage = |reason| Damage { file: path.clone(), position, offset: Some(sequence.next), reason };
            let mut after = *sequence;
            after.take(&header).map_err(damage)?;
            // The checksum does not cover the epoch.
            let epoch = kept.epochs.epoch_before(header.base_offset.plus(1));
            if epoch != Some(header.epoch) {
                let epoch = epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
                return Err(damage(format!("the batch is of epoch {}, expected is {epoch}", header.epoch)).into());
            }
            if header.end_offset() > keep_until {
                let reason = format!("the batch reaches past offset {keep_until}, up to which the log was synced");
                return Err(damage(reason).into());
            }
            *sequence = after;
            segment.note(&header);
            self.observe(&header);
            self.end = sequence.next;
        }
        let rest = reader.file_len().saturating_sub(segment.size);
        if rest > 0 {
            cut.torn = first_unsound(&mut reader, *sequence)?;
            cut.bytes += rest;
            segment.file.set_len(segment.size)?;
            segment.file.sync()?;
        }
        self.segments.with(|segments| segments.push_back(segment));
        Ok(())
    }

    /// The table that readers use.
    pub(crate) fn segments(&self) -> Arc<Segments> {
        Arc::clone(&self.segments)
    }

    /// Where each epoch starts.
    pub(crate) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// When epochs began, as far as the log reaches back to their first batch.
    pub(crate) fn began(&self) -> &BTreeMap<KRaftLeaderEpoch, TimestampMs> {
        &self.began
    }

    /// Notes a batch. The first one of an epoch is its LeaderChange, which is the only control batch in it.
    fn observe(&mut self, header: &BatchHeader) {
        let is_new = self.epochs.last().is_none_or(|last| last < header.epoch);
        self.epochs.observe(header.epoch, header.base_offset);
        if is_new {
            self.forget_epochs();
            if header.control {
                self.began.insert(header.epoch, header.timestamp);
            }
        }
    }

    /// Forgets when epochs began that are in the log no more.
    fn forget_epochs(&mut self) {
        let epochs = self.epochs.as_slice();
        self.began.retain(|began, _| epochs.iter().any(|(epoch, _)| epoch == began));
    }

    /// First offset of the log (inclusive).
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// Offset after the last batch (exclusive), committed or about to be.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    fn last_path(&self) -> Option<PathBuf> {
        self.segments.with(|segments| segments.back().map(|segment| segment.file.path().to_owned()))
    }

    /// Appends a batch that lies at the log's end.
    ///
    /// After an error the log may have a torn tail and must not be written to again.
    pub(crate) fn append(&mut self, header: &BatchHeader, bytes: &[u8]) -> DiskResult<()> {
        debug_assert_eq!(header.base_offset, self.end, "batches are appended without gaps");
        let full = self.segments.with(|segments| {
            segments.back().is_none_or(|last| last.size > 0 && last.size + header.size as u64 > self.segment_bytes)
        });
        if full {
            self.roll()?;
        }
        self.segments.with(|segments| {
            let Some(last) = segments.back_mut() else { return Ok(()) };
            last.file.write_at(bytes, last.size)?;
            last.note(header);
            Ok(())
        })?;
        self.observe(header);
        self.end = header.end_offset();
        Ok(())
    }

    /// Begins the next segment. The one before is synced first, so that only the last one ever needs it.
    fn roll(&mut self) -> DiskResult<()> {
        self.sync()?;
        let file = self.disk.create(&self.dir.join(segment_name(self.end)))?;
        self.disk.sync_dir(&self.dir)?;
        let segment = Segment { base: self.end, file, size: 0, end: self.end, index: Vec::new() };
        self.segments.with(|segments| segments.push_back(segment));
        Ok(())
    }

    /// Makes everything appended so far durable.
    pub(crate) fn sync(&mut self) -> DiskResult<()> {
        if self.synced == self.end {
            return Ok(());
        }
        let last = self.segments.with(|segments| segments.back().map(|segment| segment.file.clone()));
        if let Some(file) = last {
            file.sync()?;
        }
        self.synced = self.end;
        Ok(())
    }

    /// The present end, to come back to.
    pub(crate) fn mark(&self) -> Mark {
        Mark { end: self.end }
    }

    /// Cuts what was appended since `mark`, none of which was announced to readers.
    pub(crate) fn cut_back(&mut self, mark: Mark) -> Result<(), LogError> {
        while self.segments.with(|segments| segments.back().is_some_and(|last| last.base >= mark.end)) {
            if let Some(segment) = self.segments.with(VecDeque::pop_back) {
                self.disk.remove(segment.file.path())?;
            }
        }
        if let Some((path, position)) = mark.end.0.checked_sub(1).and_then(|last| self.segments.locate(Offset(last))) {
            let mut reader = BatchReader::open(&path, position)?;
            let mut size = position;
            while let Some(batch) = reader.next(None)? {
                if batch.header().base_offset >= mark.end {
                    break;
                }
                size += batch.header().size as u64;
            }
            self.segments.with(|segments| match segments.back_mut() {
                Some(last) => {
                    last.size = size;
                    last.end = mark.end;
                    last.index.retain(|(base, _)| *base < mark.end);
                    last.file.set_len(size)
                }
                None => Ok(()),
            })?;
        }
        self.epochs.truncate(mark.end);
        self.forget_epochs();
        self.end = mark.end;
        self.synced = self.synced.min(mark.end);
        Ok(())
    }

    /// Removes the segments that lie wholly before `offset` (exclusive), but never the last one. Returns the new start.
    pub(crate) fn remove_before(&mut self, offset: Offset) -> DiskResult<Offset> {
        loop {
            let second = self.segments.with(|segments| segments.get(1).map(|segment| segment.base));
            let Some(start) = second.filter(|base| *base <= offset) else { break };
            if let Some(segment) = self.segments.with(VecDeque::pop_front) {
                self.disk.remove(segment.file.path())?;
            }
            self.start = start;
        }
        self.epochs.trim(self.start);
        self.forget_epochs();
        self.disk.sync_dir(&self.dir)?;
        Ok(self.start)
    }

    /// Forgets everything: the log goes on at `position`, where a snapshot that was received ends. The files go with
    /// [`Self::remove_replaced`].
    pub(crate) fn restart_at(&mut self, position: Position) {
        self.replaced = self.segments.with(|segments| segments.drain(..).map(|segment| segment.base).collect());
        let offset = position.end_offset;
        self.epochs = Epochs::default();
        self.began.clear();
        if offset > Offset::ZERO {
            self.epochs.observe(position.epoch, offset);
        }
        (self.start, self.end, self.synced) = (offset, offset, offset);
    }

    /// Removes the files that [`Self::restart_at`] has left behind.
    pub(crate) fn remove_replaced(&mut self) -> DiskResult<()> {
        for base in std::mem::take(&mut self.replaced) {
            self.disk.remove(&self.dir.join(segment_name(base)))?;
        }
        self.disk.sync_dir(&self.dir)
    }
}

/// Goes through what will be cut, only to be able to say whether an interrupted write is among it.
fn first_unsound(reader: &mut BatchReader, mut sequence: Sequence) -> Result<Option<Damage>, LogError> {
    loop {
        let (position, file) = (reader.position(), reader.path().to_owned());
        match reader.next(Some(sequence.next)) {
            Ok(None) => return Ok(None),
            Ok(Some(batch)) => {
                if let Err(reason) = sequence.take(batch.header()) {
                    return Ok(Some(Damage { file, position, offset: Some(sequence.next), reason }));
                }
            }
            Err(LogError::Damage(damage)) => return Ok(Some(damage)),
            Err(error) => return Err(error),
        }
    }
}

/// The base offsets of the segments in a directory, ascending.
pub(crate) fn segment_names(dir: &Path) -> DiskResult<Vec<Offset>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir).during("list", dir)? {
        let name = entry.during("list", dir)?.file_name();
        bases.extend(name.to_str().and_then(parse_segment_name));
    }
    bases.sort_unstable();
    Ok(bases)
}
