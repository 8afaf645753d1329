//! One process per data directory.
//!
//! The lock is one of `fcntl` over the whole file, as Java's `FileChannel.tryLock` takes it: a Kafka that runs on the
//! directory is kept out, and keeps us out. It is of the open file (`F_OFD_SETLK`), not of the process, so that a second
//! open within this process is refused too. Only Linux has both; elsewhere it is a lock that only we see.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use metadata_core::error::{Error, ErrorKind, Result};

use super::layout::Layout;
use crate::disk::During;

/// Held while this process owns the data directory. The operating system gives it up when the process ends, however it
/// ends.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock of a data directory: the file `.lock` in it, which is made if it is not there.
    ///
    /// # Errors
    /// `Unavailable`: another process has it, or the lock's file can't be opened.
    pub fn take(data_dir: &Path) -> Result<Self> {
        Self::acquire(&Layout::new(data_dir).lock())
    }

    /// Who has the lock of a data directory, for people: `process 4711`, say. `None` when nobody has it; it is not taken.
    ///
    /// # Errors
    /// `Unavailable`: the lock's file is there and can't be read.
    pub fn held_by(data_dir: &Path) -> Result<Option<String>> {
        let path = Layout::new(data_dir).lock();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.during("open the lock", &path)?,
        };
        let held = system::is_held(&file).during("look at the lock", &path)?;
        Ok(held.then(|| named_holder(&file, &path)))
    }

    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// `Unavailable`: another process has it, or the lock's file can't be opened.
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).to_owned();
        let file = options.open(path).during("open the lock", path)?;
        if !system::try_lock(&file).during("lock", path)? {
            let holder = named_holder(&file, path);
            let dir = path.parent().unwrap_or(path).display();
            let message = format!("the data directory {dir} is in use by {holder}; stop it, or talk to it instead");
            return Err(Error::not_applied(ErrorKind::Unavailable, message));
        }
        let mut lock = Self { file };
        lock.sign().during("write to", path)?;
        Ok(lock)
    }

    /// For the message above alone; the lock itself is the operating system's.
    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for DirectoryLock {
    /// Closing the file would not be enough: a child process that was just forked has it open too, until it runs its own
    /// program. What fails here the operating system does when the last of them closes it.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        system::unlock(&self.file);
    }
}

fn named_holder(file: &File, path: &Path) -> String {
    holder(file, path).map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

/// The process that has the lock: as the kernel says of Kafka's kind of lock, or as the holder of ours wrote into the file.
fn holder(file: &File, path: &Path) -> Option<String> {
    if let Some(id) = system::holder(file) {
        return Some(id.to_string());
    }
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    let is_id = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| text.to_owned())
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    /// A lock of this kind from the first byte to the end of the file, wherever that is.
    pub(super) fn whole_file(kind: libc::c_int) -> libc::flock {
        // The kernel's constants fit; their types differ by platform.
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        libc::flock { l_type, l_whence, l_start: 0, l_len: 0, l_pid: 0 }
    }

    /// Takes the lock, unless someone has it.
    pub(super) fn try_lock(file: &File) -> io::Result<bool> {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn unlock(file: &File) {
        let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK)));
    }

    /// Whether another open file or process has it.
    pub(super) fn is_held(file: &File) -> io::Result<bool> {
        Ok(i32::from(in_the_way(file)?.l_type) != libc::F_UNLCK)
    }

    /// The process that has it, if it is a lock of a process and not of an open file.
    pub(super) fn holder(file: &File) -> Option<libc::pid_t> {
        in_the_way(file).ok().map(|lock| lock.l_pid).filter(|id| *id > 0)
    }

    /// The lock that keeps us from taking it; `F_UNLCK` if none does.
    fn in_the_way(file: &File) -> io::Result<libc::flock> {
        let mut lock = whole_file(libc::F_WRLCK);
        fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
        Ok(lock)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::{File, TryLockError};
    use std::io;

    pub(super) fn try_lock(file: &File) -> io::Result<bool> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn unlock(file: &File) {
        let _ = file.unlock();
    }

    pub(super) fn is_held(file: &File) -> io::Result<bool> {
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn holder(_file: &File) -> Option<i32> {
        None
    }
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
        assert_eq!(DirectoryLock::held_by(dir.path()).unwrap(), Some(format!("process {}", std::process::id())));
        drop(held);
        assert_eq!(DirectoryLock::held_by(dir.path()).unwrap(), None);
        DirectoryLock::take(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_without_a_lock_is_held_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(DirectoryLock::held_by(dir.path()).unwrap(), None);
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "a look makes nothing");
    }

    /// What a child process has between fork and exec.
    #[test]
    fn a_duplicate_of_the_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let held = DirectoryLock::acquire(&path).unwrap();
        let duplicate = held.file.try_clone().unwrap();
        drop(held);
        DirectoryLock::acquire(&path).unwrap();
        drop(duplicate);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod kafka {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::*;

    /// Where the child process finds the lock's file.
    const PATH: &str = "STORE_KRAFT_LOCK_PATH";

    /// Locks as Java does, says so, and holds on until its standard input ends.
    ///
    /// Without a file it is not a child, and there is nothing to do.
    #[test]
    fn child_that_locks_as_java_does() {
        let Ok(path) = std::env::var(PATH) else { return };
        let file = OpenOptions::new().write(true).open(path).unwrap();
        fcntl(&file, FcntlArg::F_SETLK(&system::whole_file(libc::F_WRLCK))).unwrap();
        println!("locked");
        let _ = io::stdin().read_line(&mut String::new());
    }

    #[test]
    fn a_kafka_that_runs_on_the_directory_keeps_us_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        // A process that crashed left its number behind.
        std::fs::write(&path, "1").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::lock::kafka::child_that_locks_as_java_does", "--nocapture"])
            .env(PATH, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.ends_with("locked")), "the child ended without a lock");
        let error = DirectoryLock::acquire(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(&format!("in use by process {};", child.id())), "{error}");
        assert_eq!(DirectoryLock::held_by(dir.path()).unwrap(), Some(format!("process {}", child.id())));
        drop(child.stdin.take());
        // What else it has to say is let through.
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        DirectoryLock::acquire(&path).unwrap();
    }
}
