//! Where the socket is.
//!
//! It is `control.sock` in the data directory. The path of a Unix socket has about 100 bytes, so with a longer one the
//! socket lies in a private folder below the system's temporary one, and `control.path` in the data directory says where.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::cli::Failure;

/// Name of the socket.
pub const SOCKET_FILE: &str = "control.sock";
/// Name of the file that says where the socket is, when it can't be in the data directory.
pub const POINTER_FILE: &str = "control.path";

/// Bytes that a socket's path may have on every Unix: 104 with the closing zero on the smallest, less a little.
const PATH_BYTES_MAX: usize = 100;
/// How the folder in which a socket is made begins. It is private, so nobody can open the socket before it has its mode.
const FOLDER_PREFIX: &str = ".control-";
/// How the folder below the temporary one begins.
const FAR_PREFIX: &str = "xtask-control-";
/// A pointer that is longer is none.
const POINTER_BYTES_MAX: u64 = 4096;

/// A bound socket. Dropping it takes its files away.
#[derive(Debug)]
pub(super) struct Place {
    socket: PathBuf,
    pointer: Option<PathBuf>,
    _folder: Option<TempDir>,
}

impl Drop for Place {
    fn drop(&mut self) {
        for file in [Some(&self.socket), self.pointer.as_ref()].into_iter().flatten() {
            // A later process may have its own there already, but not while we hold the directory's lock.
            if let Err(error) = fs::remove_file(file) {
                tracing::debug!("{} was not removed: {error}", file.display());
            }
        }
    }
}

fn fits(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= PATH_BYTES_MAX
}

/// Binds the socket of a data directory whose lock we hold: whatever socket lies there belongs to a dead process.
pub(super) fn bind(data_dir: &Path) -> Result<(UnixListener, Place), Failure> {
    bind_in(data_dir, &std::env::temp_dir()).map_err(|error| {
        Failure::failed(format!("can't make the control socket of {}", data_dir.display()))
            .because(&error)
            .next("check the permissions and the free space of the data directory and of the temporary folder")
    })
}

fn bind_in(data_dir: &Path, temporary: &Path) -> io::Result<(UnixListener, Place)> {
    remove_left_overs(data_dir);
    let near = private_folder(FOLDER_PREFIX, data_dir)?;
    let made = near.path().join("s");
    if fits(&made) {
        let listener = bind_at(&made)?;
        let socket = data_dir.join(SOCKET_FILE);
        // The socket moves with its name, and replaces that of a dead process in the same moment.
        fs::rename(&made, &socket)?;
        return Ok((listener, Place { socket, pointer: None, _folder: None }));
    }
    let far = private_folder(FAR_PREFIX, temporary)?;
    let socket = far.path().join(SOCKET_FILE);
    let listener = bind_at(&socket)?;
    let pointer = data_dir.join(POINTER_FILE);
    let mut file = tempfile::NamedTempFile::new_in(data_dir)?;
    file.write_all(socket.as_os_str().as_bytes())?;
    file.persist(&pointer).map_err(|error| error.error)?;
    Ok((listener, Place { socket, pointer: Some(pointer), _folder: Some(far) }))
}

fn private_folder(prefix: &str, parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

fn bind_at(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes away what a killed process left: its socket, its pointer and the folders that the socket was in.
fn remove_left_overs(data_dir: &Path) {
    if let Some(socket) = read_pointer(data_dir) {
        let ours = socket
            .parent()
            .filter(|folder| folder.file_name().is_some_and(|name| name.as_bytes().starts_with(FAR_PREFIX.as_bytes())));
        if let Some(folder) = ours {
            ignore(fs::remove_file(&socket));
            ignore(fs::remove_dir(folder));
        }
        ignore(fs::remove_file(data_dir.join(POINTER_FILE)));
    }
    ignore(fs::remove_file(data_dir.join(SOCKET_FILE)));
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(FOLDER_PREFIX.as_bytes()) {
            ignore(fs::remove_file(entry.path().join("s")));
            ignore(fs::remove_dir(entry.path()));
        }
    }
}

fn ignore(result: io::Result<()>) {
    if let Err(error) =
        result.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    {
        tracing::debug!("a left-over of an earlier process was not removed: {error}");
    }
}

/// Where the socket of a data directory would be.
pub(super) fn find(data_dir: &Path) -> PathBuf {
    read_pointer(data_dir).unwrap_or_else(|| data_dir.join(SOCKET_FILE))
}

fn read_pointer(data_dir: &Path) -> Option<PathBuf> {
    let path = data_dir.join(POINTER_FILE);
    if fs::metadata(&path).ok()?.len() > POINTER_BYTES_MAX {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes))).filter(|path| path.is_absolute() && fits(path))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, place) = bind(dir.path()).unwrap();
        let socket = find(dir.path());
        assert_eq!(socket, dir.path().join(SOCKET_FILE));
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let (connected, accepted) = tokio::join!(UnixStream::connect(&socket), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the socket is left");
        drop((listener, place));
        assert!(!socket.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_process_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (listener, place) = bind(dir.path()).unwrap();
        // Killed: nobody takes the files away.
        std::mem::forget(place);
        drop(listener);
        assert!(UnixStream::connect(find(dir.path())).await.is_err(), "nobody listens");
        let (_listener, _place) = bind(dir.path()).unwrap();
        assert!(UnixStream::connect(find(dir.path())).await.is_ok());
    }

    #[tokio::test]
    async fn a_long_path_has_its_socket_elsewhere_and_a_file_says_where() {
        let (outer, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = outer.path().join("d".repeat(120));
        fs::create_dir(&dir).unwrap();
        let (listener, place) = bind_in(&dir, temporary.path()).unwrap();
        let socket = find(&dir);
        assert!(socket.starts_with(temporary.path()));
        assert!(UnixStream::connect(&socket).await.is_ok());
        let folder = fs::metadata(socket.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
        // Killed, and started again: the old folder goes.
        std::mem::forget(place);
        drop(listener);
        let (_listener, place) = bind_in(&dir, temporary.path()).unwrap();
        assert!(!socket.exists());
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
        drop(place);
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    }

    #[test]
    fn a_pointer_that_makes_no_sense_is_no_pointer() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["", "relative", &format!("/{}", "x".repeat(200)), &"/x".repeat(4096)] {
            fs::write(dir.path().join(POINTER_FILE), content).unwrap();
            assert_eq!(find(dir.path()), dir.path().join(SOCKET_FILE), "{content:.20}");
        }
    }
}
