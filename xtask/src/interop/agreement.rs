//! Both log tools on the same files: Kafka's, and our `dump-log` as an operator runs it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::kafka::agree::{Told, differences, kafkas, ours};
use crate::kafka::{Kafka, Release};
use crate::own::{RUN_MAX, this_program};

use super::lab::failed;

/// What both say of a file.
pub(super) struct Agreement {
    /// Which.
    pub(super) file: PathBuf,
    /// What Kafka says.
    pub(super) theirs: Told,
    /// Records that we know by number only.
    pub(super) unknown: u64,
    /// In what they differ.
    pub(super) differences: Vec<String>,
}

/// The files of a data directory's metadata log that end like this, in order.
pub(super) fn log_files(data_dir: &Path, end: &str) -> Result<Vec<PathBuf>, Failure> {
    let partition = data_dir.join("__cluster_metadata-0");
    let entries = fs::read_dir(&partition).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let entries =
        entries.map_err(|error| Failure::failed(format!("can't list {}", partition.display())).because(&error))?;
    let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)));
    files.sort();
    Ok(files)
}

/// Has both read the files.
pub(super) async fn agreement(kafka: &Kafka, files: &[PathBuf]) -> Result<Vec<Agreement>, Failure> {
    let dumps = kafka.dump_files(files).await.map_err(failed("Kafka does not read a log"))?;
    let mut agreements = Vec::new();
    for (file, dump) in files.iter().zip(&dumps) {
        let release = kafka.release();
        let theirs = kafkas(release, dump).map_err(failed("what Kafka says of a log is not understood"))?;
        let ours = our_dump(release, file).await?;
        let differences = differences(&theirs, &ours);
        agreements.push(Agreement { file: file.clone(), theirs, unknown: ours.unknown, differences });
    }
    Ok(agreements)
}

/// What `dump-log` says of a file, in as many words as Kafka's tool of this release. A file with damage or with unknown
/// records is told of as well: its lines say so.
async fn our_dump(release: Release, file: &Path) -> Result<Told, Failure> {
    let size = fs::metadata(file)
        .map_err(|error| Failure::failed(format!("can't look at {}", file.display())).because(&error))?;
    let mut command = this_program("dump-log")?;
    command.arg("--show-secrets").arg(file);
    let output = tokio::time::timeout(RUN_MAX, command.output())
        .await
        .map_err(|_| Failure::failed("dump-log takes too long").why(format!("longer than {} s", RUN_MAX.as_secs())))?
        .map_err(|error| Failure::failed("can't run dump-log").because(&error))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ours(release, &said, size.len()).map_err(failed("what dump-log says is not understood"))
}
