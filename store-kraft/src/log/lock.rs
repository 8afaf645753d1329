//! One process per data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use metadata_core::error::{Error, ErrorKind, Result};

use crate::disk::During;

/// Held while this process owns the data directory. The operating system gives it up when the process ends, however it
/// ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// `Unavailable`: another process has it, or the lock's file can't be opened.
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).to_owned();
        let mut file = options.open(path).during("open the lock", path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = std::fs::read_to_string(path).ok().filter(|text| is_process_id(text));
                let holder = holder.map_or_else(|| "another process".to_owned(), |id| format!("process {}", id.trim()));
                let dir = path.parent().unwrap_or(path).display();
                let message = format!("the data directory {dir} is in use by {holder}; stop it, or talk to it instead");
                return Err(Error::not_applied(ErrorKind::Unavailable, message));
            }
            Err(TryLockError::Error(error)) => return Err(error).during("lock", path)?,
        }
        // For the message above alone; the lock itself is the operating system's.
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).during("write to", path)?;
        Ok(Self { _file: file })
    }
}

fn is_process_id(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let held = DirectoryLock::acquire(&path).unwrap();
        let error = DirectoryLock::acquire(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
        drop(held);
        DirectoryLock::acquire(&path).unwrap();
    }
}
