//! One process per data directory.
//!
//! The lock is one of `fcntl` over the whole file, as Java's `FileChannel.tryLock` takes it: a Kafka that runs on the
//! directory is kept out, and keeps us out. It is of the open file (`F_OFD_SETLK`), not of the process, so that a second
//! open within this process is refused too.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use metadata_core::error::{Error, ErrorKind, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::disk::During;

/// Held while this process owns the data directory. The operating system gives it up when the process ends, however it
/// ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock, or says who has it.
    ///
    /// # Errors
    /// `Unavailable`: another process has it, or the lock's file can't be opened.
    pub(crate) fn acquire(path: &Path) -> Result<Self> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).to_owned();
        let file = options.open(path).during("open the lock", path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let holder =
                    holder(&file, path).map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
                let dir = path.parent().unwrap_or(path).display();
                let message = format!("the data directory {dir} is in use by {holder}; stop it, or talk to it instead");
                return Err(Error::not_applied(ErrorKind::Unavailable, message));
            }
            Err(error) => return Err(io::Error::from(error)).during("lock", path)?,
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
        let _ = fcntl(&self.file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK)));
    }
}

/// A lock of this kind from the first byte to the end of the file, wherever that is.
fn whole_file(kind: libc::c_int) -> libc::flock {
    // The kernel's constants fit; their types differ by platform.
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// The process that has the lock: as the kernel says of Kafka's kind of lock, or as the holder of ours wrote into the file.
fn holder(file: &File, path: &Path) -> Option<String> {
    let mut lock = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)).ok()?;
    if lock.l_pid > 0 {
        return Some(lock.l_pid.to_string());
    }
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    let is_id = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

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

    /// Where the child process finds the lock's file.
    const PATH: &str = "STORE_KRAFT_LOCK_PATH";

    /// Locks as Java does, says so, and holds on until its standard input ends.
    ///
    /// Without a file it is not a child, and there is nothing to do.
    #[test]
    fn child_that_locks_as_java_does() {
        let Ok(path) = std::env::var(PATH) else { return };
        let file = OpenOptions::new().write(true).open(path).unwrap();
        fcntl(&file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))).unwrap();
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
            .args(["--exact", "log::lock::tests::child_that_locks_as_java_does", "--nocapture"])
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
        drop(child.stdin.take());
        // What else it has to say is let through.
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        DirectoryLock::acquire(&path).unwrap();
    }
}
