//! What the log and the migration cost, measured against something else within the same run.
//!
//! No figure here stands alone: a machine is as fast as it is, and somebody else may be using it. So each is held against
//! another one that was taken in the same minutes, and what is promised is a ratio.
//!
//! - [`append`]: batches into a quorum of one and of three, against the bare disk.
//! - [`failover`]: from the leader's death to the next dual write, in a large cluster against a small one.
//! - [`figures`] is the arithmetic, [`machine`] what the run ran on.

pub(crate) mod append;
pub(crate) mod failover;
mod figures;
mod machine;

use std::path::Path;

use crate::cli::Failure;

/// A folder that goes with the value, on the disk that is measured.
fn folder() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new().prefix("xtask-bench-").tempdir().map_err(|error| {
        Failure::failed("no temporary folder can be made").because(&error).next("check the space and TMPDIR")
    })
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} can't be written", path.display())).because(error).next("check the space and TMPDIR")
}
