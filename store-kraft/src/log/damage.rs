//! Bytes on disk that are not what was written.

use std::fmt;
use std::path::PathBuf;

use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::Offset;

use crate::disk::DiskError;

/// Where a file is damaged and how. The text names all of it and says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Byte in the file, from 0, at which the unsound batch, entry or field begins.
    pub position: u64,
    /// The log's offset that was expected there, if the file has offsets.
    pub offset: Option<Offset>,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}", self.file.display(), self.position)?;
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for Damage {}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        let message = format!(
            "{damage}; restore the data directory from a backup, or remove it and fill this node again from the others"
        );
        Self::not_applied(ErrorKind::Corrupt, message).with_source(damage)
    }
}

/// Why a file of the log can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The operating system says no.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The bytes are wrong.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// A read was to begin within a batch.
    #[error("offset {from} is inside the batch that starts at offset {base}: a read must begin where a batch does")]
    InsideBatch { from: Offset, base: Offset },
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Disk(error) => error.into(),
            LogError::Damage(damage) => damage.into(),
            inside @ LogError::InsideBatch { .. } => Self::not_applied(ErrorKind::Invalid, inside.to_string()),
        }
    }
}
