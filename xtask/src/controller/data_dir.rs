//! The data directory: made on first use, and refused when it is another cluster's.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersion;
use store_kraft::KraftLog;
use store_kraft::log::DirectoryLock;

use crate::cli::Failure;

/// What may lie in a directory that is to be formatted: what an interrupted format leaves.
const LEFT_BY_FORMATTING: [&str; 7] = [
    ".lock",
    "bootstrap.checkpoint",
    "bootstrap.checkpoint.tmp",
    "__cluster_metadata-0",
    "raft",
    "cache",
    // Files come into being under this name, and the last of them makes the directory formatted.
    "meta.properties.tmp",
];

/// Kafka's name of the lock.
const LOCK: &str = ".lock";

/// A formatted data directory of one controller of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    /// Where.
    pub path: PathBuf,
    /// Whose: the controller.
    pub node_id: NodeId,
    /// Whose: the cluster.
    pub cluster_id: String,
    /// The identity of the log: the id of its first leader's data directory, or this one's own as long as it has none.
    pub log_id: String,
    /// Whether it was formatted just now.
    pub is_new: bool,
}

impl DataDir {
    /// What a directory says about itself; `None` when it is not formatted.
    ///
    /// # Errors
    /// It can't be read, or what it says is no `meta.properties`.
    pub fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let properties = KraftLog::properties(path).map_err(|error| {
            Failure::from(error)
                .next("restore that file from a backup of the data directory, or use a new data directory")
        })?;
        let Some(properties) = properties else { return Ok(None) };
        let directory_id = properties.directory_id.ok_or_else(|| {
            Failure::failed(format!("{} has no directory.id", path.join("meta.properties").display()))
                .why("it was formatted by an old version of Kafka")
                .next("use a new data directory")
        })?;
        let log_id = KraftLog::log_id_in(path).map_err(Failure::from)?.unwrap_or(directory_id);
        Ok(Some(Self {
            path: path.to_owned(),
            node_id: properties.node_id,
            cluster_id: properties.cluster_id,
            log_id: log_id.to_string(),
            is_new: false,
        }))
    }

    /// The directory of `node_id` in `cluster_id`, formatted for them if nobody has used it yet. It blocks on the disk.
    ///
    /// # Errors
    /// It belongs to another cluster or node, holds what is none of ours, is in use, or can't be written.
    pub fn prepare(
        path: &Path,
        node_id: NodeId,
        cluster_id: &str,
        metadata_version: MetadataVersion,
    ) -> Result<Self, Failure> {
        if let Some(found) = Self::read(path)? {
            return found.expect(node_id, cluster_id);
        }
        refuse_foreign_content(path)?;
        // Private, since the log holds credentials.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unusable(path, &error))?;
        KraftLog::format(path, node_id, cluster_id, metadata_version).map_err(|error| {
            who_holds(path)
                .unwrap_or_else(|| Failure::from(error).while_doing(format!("can't format {}", path.display())))
        })?;
        let made = Self::read(path)?.ok_or_else(|| {
            Failure::failed(format!("{} was formatted and says nothing about itself", path.display()))
                .next("remove it, and try again")
        })?;
        Ok(Self { is_new: true, ..made })
    }

    fn expect(self, node_id: NodeId, cluster_id: &str) -> Result<Self, Failure> {
        let path = self.path.display();
        if self.cluster_id != cluster_id {
            return Err(Failure::failed(format!("{path} is the data directory of another cluster"))
                .why(format!("it belongs to cluster {}, and ZooKeeper's is cluster {cluster_id}", self.cluster_id))
                .next("check --data-dir and --zookeeper; for a new migration use a new data directory"));
        }
        if self.node_id != node_id {
            return Err(Failure::failed(format!("{path} is the data directory of another node"))
                .why(format!("it belongs to node {}, and --node-id says {node_id}", self.node_id))
                .next(format!("use --node-id {}, or another data directory", self.node_id)));
        }
        Ok(self)
    }
}

/// The lock of a data directory, held: no controller starts in it until this is dropped.
#[derive(Debug)]
pub struct DirectoryHold {
    _lock: Option<DirectoryLock>,
}

impl DirectoryHold {
    /// Takes the lock.
    ///
    /// # Errors
    /// Blocked: a process has it. Failed: its file can't be opened.
    pub fn take(path: &Path) -> Result<Self, Failure> {
        // Nobody has ever started in it, a copy for instance: nothing is made there.
        if !path.join(LOCK).exists() {
            return Ok(Self { _lock: None });
        }
        let taken = DirectoryLock::take(path);
        Ok(Self { _lock: Some(taken.map_err(|error| who_holds(path).unwrap_or_else(|| Failure::from(error)))?) })
    }
}

/// How to refuse a data directory that a process holds; `None` when no process does.
pub fn who_holds(path: &Path) -> Option<Failure> {
    let holder = DirectoryLock::held_by(path).ok()??;
    let path = path.display();
    let held = Failure::blocked(format!("the data directory {path} is in use by {holder}"))
        .why("one process at a time may have it, and this one may just be starting or ending")
        .next(format!("ask it (`cargo xtask status --data-dir {path}`), stop it, or try again in a moment"));
    Some(held)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} can't be used as a data directory", path.display()))
        .because(error)
        .next("check the path and its permissions")
}

fn refuse_foreign_content(path: &Path) -> Result<(), Failure> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| unusable(path, &error))?,
    };
    for entry in entries {
        let name = entry.map_err(|error| unusable(path, &error))?.file_name();
        if !LEFT_BY_FORMATTING.iter().any(|known| name == *known) {
            return Err(Failure::failed(format!("{} is no data directory", path.display()))
                .why(format!("it has no meta.properties, and it holds {}", Path::new(&name).display()))
                .next("name an empty directory, or one that does not exist yet"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const VERSION: MetadataVersion = MetadataVersion::V3_9_IV0;

    #[test]
    fn a_directory_is_formatted_once_and_kept_private() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        assert_eq!(DataDir::read(&path).unwrap(), None);
        let made = DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap();
        assert!(made.is_new);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let found = DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap();
        assert_eq!(found, DataDir { is_new: false, ..made });
    }

    #[test]
    fn a_directory_of_another_cluster_or_node_is_refused_by_name() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("dir");
        DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap();
        let cluster = DataDir::prepare(&path, NodeId(3000), "theirs", VERSION).unwrap_err().to_string();
        assert!(cluster.contains("cluster ours") && cluster.contains("cluster theirs"), "{cluster}");
        let node = DataDir::prepare(&path, NodeId(3001), "ours", VERSION).unwrap_err().to_string();
        assert!(node.contains("node 3000") && node.contains("3001"), "{node}");
    }

    #[test]
    fn a_damaged_meta_properties_is_damage() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("dir");
        DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap();
        fs::write(path.join("meta.properties"), "version=1\nnode.id=3000\nclus").unwrap();
        for damaged in
            [DataDir::read(&path).unwrap_err(), DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap_err()]
        {
            assert_eq!(damaged.exit(), crate::cli::Exit::Damaged);
            let lines = damaged.lines().join("\n");
            assert!(lines.contains("meta.properties") && lines.contains("next: "), "{lines}");
        }
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("thesis.tex"), "x").unwrap();
        let refused = DataDir::prepare(outer.path(), NodeId(3000), "ours", VERSION).unwrap_err().to_string();
        assert!(refused.contains("thesis.tex"), "{refused}");
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_held_is_blocked_and_its_holder_named() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("dir");
        DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap();
        assert!(who_holds(&path).is_none());
        let hold = DirectoryHold::take(&path).unwrap();
        for refused in [who_holds(&path).unwrap(), DirectoryHold::take(&path).unwrap_err()] {
            assert_eq!(refused.exit(), crate::cli::Exit::Blocked);
            assert!(refused.to_string().contains(&format!("in use by process {}", std::process::id())), "{refused}");
        }
        drop(hold);
        DirectoryHold::take(&path).unwrap();
    }

    #[test]
    fn an_interrupted_format_is_done_again() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("dir");
        DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap();
        // Killed before the last file was begun, and while it was written: `chaos` has come upon both.
        for half in [None, Some("meta.properties.tmp"), Some("bootstrap.checkpoint.tmp")] {
            fs::remove_file(path.join("meta.properties")).unwrap();
            if let Some(half) = half {
                fs::write(path.join(half), "version=1\nnode.i").unwrap();
            }
            assert!(DataDir::prepare(&path, NodeId(3000), "ours", VERSION).unwrap().is_new, "{half:?}");
        }
    }
}
