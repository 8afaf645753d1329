//! The file `synced`: up to where the last segment is known to be on the disk.
//!
//! It is overwritten in place after each sync of the segment, without a sync of its own: it costs a write to the page
//! cache, survives a killed process, and after a power failure at worst says too little. Before a segment is cut below the
//! mark, the mark is lowered durably.

use std::path::Path;

use crate::disk::{Disk, DiskFile, DiskResult, During};

/// Everything before byte `position` of the segment that starts with entry `segment` is synced, and every segment before
/// it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) segment: u64,
    pub(super) position: u64,
}

const LEN: usize = 20;

#[derive(Debug)]
pub(super) struct SyncedFile {
    file: DiskFile,
}

impl SyncedFile {
    /// Opens or creates the file and reads the mark. A torn or empty file has none.
    pub(super) fn open(disk: &Disk, path: &Path) -> DiskResult<(Self, Option<Mark>)> {
        let mark = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                disk.create(path)?;
                None
            }
            other => parse(&other.during("read", path)?),
        };
        Ok((Self { file: disk.open(path)? }, mark))
    }

    /// Moves the mark on, after a sync.
    pub(super) fn raise(&self, mark: Mark) -> DiskResult<()> {
        self.file.write_at(&bytes(mark), 0)
    }

    /// Moves the mark back, durably, before what lies behind it is removed.
    pub(super) fn lower(&self, mark: Mark) -> DiskResult<()> {
        self.file.write_at(&bytes(mark), 0)?;
        self.file.sync()
    }
}

fn bytes(mark: Mark) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let (numbers, crc) = bytes.split_at_mut(16);
    for (target, byte) in
        numbers.iter_mut().zip(mark.segment.to_be_bytes().into_iter().chain(mark.position.to_be_bytes()))
    {
        *target = byte;
    }
    crc.copy_from_slice(&crc32c::crc32c(numbers).to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let (segment, rest) = bytes.split_first_chunk::<8>()?;
    let (position, crc) = rest.split_first_chunk::<8>()?;
    let numbers = bytes.get(..16)?;
    (crc == crc32c::crc32c(numbers).to_be_bytes())
        .then(|| Mark { segment: u64::from_be_bytes(*segment), position: u64::from_be_bytes(*position) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_a_torn_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synced");
        let (file, mark) = SyncedFile::open(&Disk::default(), &path).unwrap();
        assert_eq!(mark, None);
        let written = Mark { segment: 7, position: 99 };
        file.raise(written).unwrap();
        assert_eq!(SyncedFile::open(&Disk::default(), &path).unwrap().1, Some(written));
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            assert_eq!(parse(&flipped), None, "byte {at}");
            assert_eq!(parse(&sound[..at]), None, "cut at {at}");
        }
    }
}
