//! Keeps what a controller wrote, for the tests of store-kraft, which need no Kafka then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::agreement::{Agreement, log_files};
use crate::cli::Failure;
use crate::kafka::agree::Told;

/// Larger files are not kept: what is in them is in smaller ones.
const FILE_BYTES_MAX: u64 = 100 * 1024;

/// Puts into a folder, which must not exist: the first segments as far as they are small, the oldest and the newest snapshot,
/// quorum-state, and what Kafka's own tool counted in each.
pub(super) fn keep(folder: &Path, data_dir: &Path, found: &[Agreement]) -> Result<(), Failure> {
    let small = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| found.len() <= FILE_BYTES_MAX);
    let mut files: Vec<PathBuf> = log_files(data_dir, ".log")?.into_iter().take_while(small).collect();
    let snapshots: Vec<PathBuf> = log_files(data_dir, ".checkpoint")?.into_iter().filter(small).collect();
    files.extend(snapshots.first().cloned());
    files.extend(snapshots.last().filter(|_| snapshots.len() > 1).cloned());
    let mut counted = String::from("file\ttype\tversion\trecords\n");
    for file in &files {
        let told = found.iter().find(|agreement| agreement.file == *file);
        counted += &told.map(|told| counts(file, &told.theirs)).unwrap_or_default();
    }
    files.push(data_dir.join("__cluster_metadata-0").join("quorum-state"));
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        for file in &files {
            let copy = folder.join(file.file_name().unwrap_or_default());
            fs::write(copy, fs::read(file)?)?;
        }
        fs::write(folder.join("counts.tsv"), counted)
    };
    copy().map_err(|error| Failure::failed(format!("can't keep files in {}", folder.display())).because(&error))
}

fn counts(file: &Path, told: &Told) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut counts: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for kind in told.kinds() {
        *counts.entry(kind).or_default() += 1;
    }
    let lines = counts.iter().map(|((kind, version), count)| format!("{name}\t{kind}\t{version}\t{count}\n"));
    lines.collect()
}
