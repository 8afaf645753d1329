//! Files of batches, back to back, read from front to end: segments and snapshots alike.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use metadata_core::id::{KRaftLeaderEpoch, Offset};

use super::damage::{Damage, LogError};
use crate::batch::{Batch, BatchHeader, HEADER_LEN};
use crate::disk::During;

/// Bytes that are read from the file at once.
const READ_AHEAD: usize = 256 * 1024;

/// Reads one file of batches. It holds one batch at a time, at most 8 MiB.
#[derive(Debug)]
pub(crate) struct BatchReader {
    file: BufReader<File>,
    path: PathBuf,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl BatchReader {
    /// Reads from byte `position` (inclusive) to the end that the file has now.
    pub(crate) fn open(path: &Path, position: u64) -> Result<Self, LogError> {
        let mut file = File::open(path).during("open", path)?;
        let end = file.metadata().during("look at", path)?.len();
        file.seek(SeekFrom::Start(position)).during("read", path)?;
        let file = BufReader::with_capacity(READ_AHEAD, file);
        Ok(Self { file, path: path.to_owned(), position, end, buffer: Vec::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Byte at which the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the file when it was opened.
    pub(crate) fn file_len(&self) -> u64 {
        self.end
    }

    /// The next batch, verified, or `None` at the end of the file. `expected` is the offset to name in an error.
    ///
    /// After damage the reader stays where it is: what follows has no known boundary.
    pub(crate) fn next(&mut self, expected: Option<Offset>) -> Result<Option<Batch<'_>>, LogError> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        self.fill(0, left.min(HEADER_LEN as u64))?;
        // The header tells the size, which is at most 8 MiB, before anything is allocated for it.
        let sound = match BatchHeader::parse(&self.buffer) {
            Ok(header) => {
                let had = self.buffer.len();
                self.fill(had, left.min(header.size as u64))?;
                Batch::parse(&self.buffer)
            }
            Err(flaw) => Err(flaw),
        };
        match sound {
            Ok(batch) => {
                self.position += batch.bytes().len() as u64;
                Ok(Some(batch))
            }
            Err(flaw) => Err(Damage {
                file: self.path.clone(),
                position: self.position,
                offset: expected,
                reason: flaw.to_string(),
            }
            .into()),
        }
    }

    /// Reads until the buffer has `length` bytes, of which it has `had`.
    fn fill(&mut self, had: usize, length: u64) -> Result<(), LogError> {
        self.buffer.truncate(had);
        let wanted = length - had as u64;
        let read = (&mut self.file).take(wanted).read_to_end(&mut self.buffer).during("read", &self.path)?;
        if read as u64 == wanted {
            return Ok(());
        }
        let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Err(error).during("read", &self.path).map_err(LogError::from)
    }
}

/// What must hold from one batch of a log to the next: offsets without gaps, epochs that never go back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    /// Offset at which the next batch must begin (inclusive).
    pub(crate) next: Offset,
    /// Epoch of the last batch.
    pub(crate) epoch: KRaftLeaderEpoch,
}

impl Sequence {
    pub(crate) fn starting_at(next: Offset) -> Self {
        Self { next, epoch: KRaftLeaderEpoch(0) }
    }

    /// Takes the next batch, or says what is wrong with its place.
    pub(crate) fn take(&mut self, header: &BatchHeader) -> Result<(), String> {
        if header.base_offset != self.next {
            return Err(format!("the batch starts at offset {}, expected is {}", header.base_offset, self.next));
        }
        if header.epoch < self.epoch {
            return Err(format!("the batch is of epoch {}, after one of epoch {}", header.epoch, self.epoch));
        }
        self.next = header.end_offset();
        self.epoch = header.epoch;
        Ok(())
    }
}
