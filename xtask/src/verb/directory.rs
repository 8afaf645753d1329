//! What a verb does for itself when no controller holds the data directory.

use std::path::Path;

use crate::cli::{Absent, Failure, Shell, ZooKeeper, ZooKeeperArgs};
use crate::controller::{DataDir, Seen};

/// The data directory that a verb is pointed at; it must be one.
pub(super) fn open(data_dir: &Path) -> Result<DataDir, Failure> {
    DataDir::read(data_dir)?.ok_or_else(|| {
        Failure::failed(format!("{} is no data directory", data_dir.display()))
            .why("it has no meta.properties")
            .next("check --data-dir; `migrate` makes one")
    })
}

/// The ZooKeeper of such a verb: only a controller knows one by itself.
pub(super) async fn zookeeper(args: &ZooKeeperArgs, data_dir: &Path, shell: &Shell) -> Result<ZooKeeper, Failure> {
    args.open(Absent::Refuse, shell).await.map_err(|failure| {
        failure.while_doing(format!("no controller holds {}, so ZooKeeper must be named", data_dir.display()))
    })
}

/// The directory and what lies in ZooKeeper must be of one cluster.
pub(super) fn of_one_cluster(data_dir: &DataDir, seen: &Seen) -> Result<(), Failure> {
    if seen.cluster_id == data_dir.cluster_id {
        return Ok(());
    }
    Err(Failure::failed("the data directory and ZooKeeper are of two clusters")
        .why(format!("{} belongs to cluster {}", data_dir.path.display(), data_dir.cluster_id))
        .why(format!("ZooKeeper at {} is that of cluster {}", seen.place, seen.cluster_id))
        .next("check --data-dir and --zookeeper"))
}
