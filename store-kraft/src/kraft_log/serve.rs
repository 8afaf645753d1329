//! What followers that are no members are given: see [`crate::fetch`].

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::Offset;

use super::KraftLog;
use crate::fetch::{Fetched, FollowerEnd, SnapshotPiece, Standing, is_within, standing};
use crate::log::SnapshotId;
use crate::log::read::read_bytes;
use crate::log::snapshot::list_snapshots;

impl KraftLog {
    /// What a follower whose log ends at `follower` gets: see [`Fetched`]. Of batches it is at least one, if there is one, and
    /// then as many as fit into `bytes_max`. What is not committed is never given away. Whether this member leads is the
    /// caller's question: any member can answer.
    ///
    /// # Errors
    /// `Corrupt`: damage, with the place. `Unavailable`: the files can't be read, or the log was stopped.
    pub async fn fetch(&self, follower: FollowerEnd, bytes_max: usize) -> Result<Fetched> {
        if let Some(stopped) = self.health.stopped() {
            return Err(stopped.error(Outcome::NotApplied));
        }
        let (segments, dir, view) = (Arc::clone(&self.segments), self.layout.partition(), self.view.clone());
        let fetching = tokio::task::spawn_blocking(move || {
            loop {
                let (extent, start) = {
                    let view = view.borrow();
                    (view.extent.clone(), view.start)
                };
                let within = is_within(&extent, start, follower);
                let snapshots = if within { Vec::new() } else { list_snapshots(&dir)? };
                match standing(&extent, start, &snapshots, follower) {
                    Standing::Diverging { epoch, end_offset } => return Ok(Fetched::Diverging { epoch, end_offset }),
                    Standing::Behind(id) => return Ok(Fetched::Snapshot(id)),
                    Standing::Within => {}
                }
                let high_watermark = extent.end_offset;
                let from = follower.offset.max(Offset::ZERO);
                match read_bytes(Arc::clone(&segments), from, high_watermark, bytes_max) {
                    Ok(bytes) => return Ok(Fetched::Batches { bytes: bytes.into(), high_watermark }),
                    // The segment was removed while it was read: a snapshot is in its place.
                    Err(_) if view.borrow().start > from => {}
                    Err(error) => return Err(Error::from(error)),
                }
            }
        });
        fetching.await.map_err(|error| Error::not_applied(ErrorKind::Unavailable, error.to_string()))?
    }

    /// A piece of a snapshot: at most `bytes_max` bytes from byte `position` (inclusive) on. `None`: there is no such snapshot,
    /// or no longer. A position at the end or behind it gives no bytes.
    ///
    /// # Errors
    /// `Unavailable`: it can't be read.
    pub async fn fetch_snapshot(
        &self,
        id: SnapshotId,
        position: u64,
        bytes_max: usize,
    ) -> Result<Option<SnapshotPiece>> {
        let path = self.layout.partition().join(id.file_name());
        let reading = tokio::task::spawn_blocking(move || read_piece(&path, position, bytes_max));
        let piece = reading.await.map_err(|error| Error::not_applied(ErrorKind::Unavailable, error.to_string()))?;
        piece.map_err(|error| {
            Error::not_applied(ErrorKind::Unavailable, format!("the snapshot {id} can't be read: {error}"))
        })
    }
}

fn read_piece(path: &Path, position: u64, bytes_max: usize) -> std::io::Result<Option<SnapshotPiece>> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(position.min(size)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(Some(SnapshotPiece { size, bytes: bytes.into() }))
}
