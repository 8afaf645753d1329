//! Files: every byte that this crate writes goes through here, so that each error names its file, and a full disk can be
//! rehearsed.
//!
//! What "durable" takes on a POSIX file system: the file's data by `fdatasync`, and a created, renamed or removed name
//! by `fsync` of its directory. All calls block; none is made on a worker of the async runtime.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata_core::error::{Error, ErrorKind};

#[cfg(test)]
use crate::power_failure::{Journal, Operation};

/// An operation on a file that failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {operation} {}: {source}{}", path.display(), hint(source))]
pub(crate) struct DiskError {
    pub(crate) operation: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// The next step, where there is an obvious one.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room, then start again",
        io::ErrorKind::PermissionDenied => "; make it accessible to this user, then start again",
        _ => "",
    }
}

impl From<DiskError> for Error {
    /// Whether a record was written is for the caller to say: this is the error of whoever only opens or reads.
    fn from(error: DiskError) -> Self {
        Self::not_applied(ErrorKind::Unavailable, error.to_string()).with_source(error.source)
    }
}

pub(crate) type DiskResult<T> = Result<T, DiskError>;

/// Adds the operation and the file to an error.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str, path: &Path) -> DiskResult<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, operation: &'static str, path: &Path) -> DiskResult<T> {
        self.map_err(|source| DiskError { operation, path: path.to_owned(), source })
    }
}

/// Where files are. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    room: Option<Arc<std::sync::atomic::AtomicU64>>,
    #[cfg(test)]
    journal: Option<Journal>,
}

impl Disk {
    /// A disk on which so many more bytes can be written.
    #[cfg(test)]
    pub(crate) fn with_room(bytes: u64) -> Self {
        Self { room: Some(Arc::new(bytes.into())), journal: None }
    }

    /// A disk whose operations are noted.
    #[cfg(test)]
    pub(crate) fn noted_in(journal: Journal) -> Self {
        Self { room: None, journal: Some(journal) }
    }

    /// Notes an operation that succeeded.
    #[cfg(test)]
    fn note(&self, operation: impl FnOnce() -> Operation) {
        if let Some(journal) = &self.journal {
            journal.note(operation());
        }
    }

    /// How many of `wanted` bytes there is room for.
    #[cfg(test)]
    fn take_room(&self, wanted: usize) -> usize {
        use std::sync::atomic::Ordering::SeqCst;
        let Some(room) = &self.room else { return wanted };
        let had = room.fetch_update(SeqCst, SeqCst, |room| Some(room.saturating_sub(wanted as u64)));
        wanted.min(usize::try_from(had.unwrap_or(0)).unwrap_or(usize::MAX))
    }

    #[cfg(not(test))]
    fn take_room(&self, wanted: usize) -> usize {
        wanted
    }

    /// Creates an empty file, or empties the one that is there. Its name is durable after [`Self::sync_dir`].
    pub(crate) fn create(&self, path: &Path) -> DiskResult<DiskFile> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).to_owned();
        let file = self.open_with(&options, "create", path)?;
        #[cfg(test)]
        self.note(|| Operation::Create(path.to_owned()));
        Ok(file)
    }

    /// Opens a file that exists, for reading and writing.
    pub(crate) fn open(&self, path: &Path) -> DiskResult<DiskFile> {
        self.open_with(&OpenOptions::new().read(true).write(true).to_owned(), "open", path)
    }

    fn open_with(&self, options: &OpenOptions, operation: &'static str, path: &Path) -> DiskResult<DiskFile> {
        let file = options.open(path).during(operation, path)?;
        Ok(DiskFile { file: Arc::new(file), path: path.to_owned(), disk: self.clone() })
    }

    /// Makes the file hold `bytes`, durably: readers see the old content or the new one, whenever the power fails.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> DiskResult<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let file = self.create(&temporary)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        drop(file);
        self.rename(&temporary, path)
    }

    /// Renames a file within its directory, durably.
    pub(crate) fn rename(&self, source: &Path, target: &Path) -> DiskResult<()> {
        fs::rename(source, target).during("rename", source)?;
        #[cfg(test)]
        self.note(|| Operation::Rename(source.to_owned(), target.to_owned()));
        self.sync_parent(target)
    }

    /// Ends what room there is.
    #[cfg(test)]
    pub(crate) fn fill(&self) {
        if let Some(room) = &self.room {
            room.store(0, std::sync::atomic::Ordering::SeqCst);
        }
    }

    /// Gives the room of a file back.
    #[cfg(test)]
    fn give_room(&self, path: &Path) {
        if let (Some(room), Ok(metadata)) = (&self.room, fs::metadata(path)) {
            room.fetch_add(metadata.len(), std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[cfg(not(test))]
    fn give_room(&self, _path: &Path) {}

    /// Removes a file. Durable after [`Self::sync_dir`]. A file that is not there is fine.
    pub(crate) fn remove(&self, path: &Path) -> DiskResult<()> {
        self.give_room(path);
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.during("remove", path),
        }?;
        #[cfg(test)]
        self.note(|| Operation::Remove(path.to_owned()));
        Ok(())
    }

    /// Creates a directory and those above it, durably. One that is there is fine.
    pub(crate) fn create_dir(&self, path: &Path) -> DiskResult<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.create_dir(parent)?;
        }
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other.during("create the directory", path),
        }?;
        self.sync_parent(path)
    }

    /// Makes the names in a directory durable.
    pub(crate) fn sync_dir(&self, path: &Path) -> DiskResult<()> {
        File::open(path).and_then(|dir| dir.sync_all()).during("sync the directory", path)?;
        #[cfg(test)]
        self.note(|| Operation::SyncDir(path.to_owned()));
        Ok(())
    }

    fn sync_parent(&self, path: &Path) -> DiskResult<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_dir(parent),
            _ => self.sync_dir(Path::new(".")),
        }
    }
}

/// A file that is open. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct DiskFile {
    file: Arc<File>,
    path: PathBuf,
    disk: Disk,
}

impl DiskFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes now.
    pub(crate) fn len(&self) -> DiskResult<u64> {
        Ok(self.file.metadata().during("look at", &self.path)?.len())
    }

    /// Writes all of `bytes` at `position`. After an error a part of them may be there.
    pub(crate) fn write_at(&self, bytes: &[u8], position: u64) -> DiskResult<()> {
        let fitting = self.disk.take_room(bytes.len());
        let (fits, rest) = bytes.split_at_checked(fitting).unwrap_or((bytes, &[]));
        let written = self.file.write_all_at(fits, position);
        let written = if rest.is_empty() { written } else { Err(io::ErrorKind::StorageFull.into()) };
        written.during("write to", &self.path)?;
        #[cfg(test)]
        self.disk.note(|| Operation::Write(self.path.clone(), position, bytes.to_vec()));
        Ok(())
    }

    /// Fills `buffer` from `position` on.
    pub(crate) fn read_at(&self, buffer: &mut [u8], position: u64) -> DiskResult<()> {
        self.file.read_exact_at(buffer, position).during("read", &self.path)
    }

    /// Makes everything written so far durable. After an error nothing may be assumed of what is on the disk, and the
    /// file must not be written to again: a second sync may claim success for pages that were lost.
    pub(crate) fn sync(&self) -> DiskResult<()> {
        self.file.sync_data().during("sync", &self.path)?;
        #[cfg(test)]
        self.disk.note(|| Operation::Sync(self.path.clone()));
        Ok(())
    }

    /// Cuts the file to `length` bytes. Durable after [`Self::sync`].
    pub(crate) fn set_len(&self, length: u64) -> DiskResult<()> {
        self.file.set_len(length).during("cut", &self.path)?;
        #[cfg(test)]
        self.disk.note(|| Operation::SetLen(self.path.clone(), length));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_content_and_leaves_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let disk = Disk::default();
        disk.replace(&path, b"one").unwrap();
        disk.replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_names_the_file_and_keeps_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let disk = Disk::with_room(5);
        disk.replace(&path, b"one").unwrap();
        let error = disk.replace(&path, b"three").unwrap_err();
        assert!(error.to_string().contains("a.tmp"), "{error}");
        assert!(error.to_string().contains("make room"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn directories_are_created_with_their_parents() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let deep = dir.path().join("a/b/c");
        disk.create_dir(&deep).unwrap();
        disk.create_dir(&deep).unwrap();
        assert!(deep.is_dir());
    }
}
