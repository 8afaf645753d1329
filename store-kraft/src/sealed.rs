//! Small files that are replaced as a whole: a checksum, then a value.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CodecError, Kind};
use crate::disk::{Disk, DiskError, During};
use crate::log::Damage;
use crate::log::damage::LogError;

/// Why a small file was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("can't encode {kind:?}: {source}")]
    Encode { kind: Kind, source: CodecError },
}

/// Makes the file hold `value`, durably: after a crash it holds the old value or the new one.
pub(crate) fn write<T: Serialize>(disk: &Disk, path: &Path, kind: Kind, value: &T) -> Result<(), SealError> {
    let value = codec::encode(kind, value).map_err(|source| SealError::Encode { kind, source })?;
    let mut bytes = crc32c::crc32c(&value).to_be_bytes().to_vec();
    bytes.extend(value);
    Ok(disk.replace(path, &bytes)?)
}

/// The value in the file, or `None` when there is no file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<Option<T>, LogError> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.during("read", path)?,
    };
    let damage = |reason: String| Damage { file: path.to_owned(), position: 0, offset: None, reason };
    let (stored, value) = bytes.split_first_chunk::<4>().ok_or_else(|| damage("it is cut off".to_owned()))?;
    let (stored, computed) = (u32::from_be_bytes(*stored), crc32c::crc32c(value));
    if stored != computed {
        return Err(damage(format!("the checksum is {computed:08x}, stored is {stored:08x}")).into());
    }
    codec::decode(kind, value).map(Some).map_err(|error| damage(error.to_string()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("value");
        assert_eq!(read::<u64>(&path, Kind::Vote).unwrap(), None);
        write(&Disk::default(), &path, Kind::Vote, &77u64).unwrap();
        assert_eq!(read::<u64>(&path, Kind::Vote).unwrap(), Some(77));
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, flipped).unwrap();
            assert!(matches!(read::<u64>(&path, Kind::Vote), Err(LogError::Damage(_))), "byte {at}");
            std::fs::write(&path, &sound[..at]).unwrap();
            assert!(matches!(read::<u64>(&path, Kind::Vote), Err(LogError::Damage(_))), "cut at {at}");
        }
    }
}
