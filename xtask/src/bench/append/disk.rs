//! The bare disk: the same bytes at the end of one file, and nothing else.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::workload::Encoded;
use crate::bench::not_written;
use crate::cli::Failure;

/// Writes all batches to a new file in `folder`, each `together` of them with one write and one fdatasync.
pub(super) async fn write(folder: &Path, batches: Encoded, together: usize) -> Result<Duration, Failure> {
    let path = folder.join("batches");
    let file = path.clone();
    let written = tokio::task::spawn_blocking(move || write_file(&file, &batches, together)).await;
    let written = written.map_err(|error| Failure::failed("the writer ended").because(&error))?;
    written.map_err(|error| not_written(&path, &error))
}

fn write_file(path: &Path, batches: &Encoded, together: usize) -> io::Result<Duration> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    // The file exists, and has its first block, before the clock starts: as that of a log has.
    file.write_all(b"batches\n")?;
    file.sync_all()?;
    let mut buffer = Vec::new();
    let start = Instant::now();
    for group in batches.0.chunks(together.max(1)) {
        buffer.clear();
        group.iter().for_each(|batch| buffer.extend_from_slice(batch));
        file.write_all(&buffer)?;
        file.sync_data()?;
    }
    Ok(start.elapsed())
}
