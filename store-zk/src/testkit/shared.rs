//! One real server for all tests of a process, and a path in it for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::OnceCell;

use super::maven::target_folder;
use super::server::{ServerError, ServerOptions, ZkServer};

/// Start of the names of the folders that shared servers keep their data in.
const FOLDER_PREFIX: &str = "shared-zookeeper-";

/// A server that every test of this process may use and none may break. Started by the first who asks; it ends with the
/// process, and its data are cleared away by a later one.
///
/// # Errors
/// As for [`ZkServer::start`]. A test that needs a real ZooKeeper must fail then, not skip.
pub async fn shared_server() -> Result<&'static ZkServer, ServerError> {
    static SERVER: OnceCell<ZkServer> = OnceCell::const_new();
    let start = || async {
        let folder = Some(own_folder(&target_folder()));
        ZkServer::start(ServerOptions { folder, ..ServerOptions::default() }).await
    };
    SERVER.get_or_try_init(start).await
}

/// A folder named by our process id. A value in a static is never dropped, so those of processes that are gone are
/// removed here.
fn own_folder(all: &Path) -> PathBuf {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX));
        if owner.is_some_and(|pid| Path::new("/proc/self").exists() && !Path::new("/proc").join(pid).exists()) {
            // Another process may be clearing up, too.
            _ = fs::remove_dir_all(entry.path());
        }
    }
    all.join(format!("{FOLDER_PREFIX}{}", std::process::id()))
}

/// An absolute path of one name that nobody else in this process was given.
pub fn unique_path() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("/test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
