//! What a run ran on: without it a figure says nothing.

use std::path::Path;

use serde::Serialize;

use super::figures::Spread;

/// What figures depend on, beside what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// `dev` or `release`.
    pub(crate) build: &'static str,
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// The kind of the file system that was written to; `None` if it can't be told.
    pub(crate) filesystem: Option<String>,
}

impl Machine {
    /// This one, writing to `folder`.
    pub(crate) fn of(folder: &Path) -> Self {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Self {
            build: if cfg!(debug_assertions) { "dev" } else { "release" },
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            filesystem: filesystem_of(&folder, &mounts),
        }
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        let filesystem = self.filesystem.as_deref().unwrap_or("an unknown file system");
        format!("{} build, {} cores, {filesystem}", self.build, self.cores)
    }

    /// What makes the figures mean less than they seem to.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.filesystem.as_deref() == Some("tmpfs") {
            doubts.push("the files were in memory, where a sync costs nothing: name a disk with TMPDIR".to_owned());
        }
        if self.build == "dev" {
            doubts.push("a dev build: `cargo run --release --package xtask -- bench` is faster".to_owned());
        }
        doubts
    }
}

/// What several rounds say against each other.
pub(crate) fn is_noisy(spread: &Spread) -> bool {
    spread.least > 0.0 && spread.most / spread.least > NOISE_MAX
}

/// Rounds that differ by more than this were disturbed by something.
const NOISE_MAX: f64 = 2.0;

/// The type of the mount that `folder` lies in, of those in the form of /proc/mounts. Of two at the same place the later one
/// counts, since it hides the earlier one.
fn filesystem_of(folder: &Path, mounts: &str) -> Option<String> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?.replace("\\040", " "), fields.next()?.to_owned());
        folder.starts_with(&place).then_some((place.len(), kind))
    };
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lies_in_the_deepest_mount_above_it() {
        let mounts = "/dev/a / ext4 rw 0 0\nnone /tmp tmpfs rw 0 0\n/dev/b /data xfs rw 0 0\n/dev/c /data btrfs rw 0 0\n\
                      /dev/d /with\\040space zfs rw 0 0\nodd";
        for (folder, expected) in [
            ("/home/x", Some("ext4")),
            ("/tmp/x", Some("tmpfs")),
            ("/tmpx", Some("ext4")),
            ("/data/x", Some("btrfs")),
            ("/with space/x", Some("zfs")),
            ("relative", None),
        ] {
            assert_eq!(filesystem_of(Path::new(folder), mounts).as_deref(), expected, "{folder}");
        }
    }

    #[test]
    fn what_weakens_the_figures_is_said() {
        let machine = |build, filesystem: &str| Machine { build, cores: 2, filesystem: Some(filesystem.to_owned()) };
        assert_eq!(machine("release", "ext4").doubts(), [""; 0]);
        assert_eq!(machine("dev", "tmpfs").doubts().len(), 2);
        assert!(is_noisy(&Spread { median: 1.0, least: 0.9, most: 1.9 }));
        assert!(!is_noisy(&Spread { median: 1.0, least: 1.0, most: 2.0 }));
    }
}
