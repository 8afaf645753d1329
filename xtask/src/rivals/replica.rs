//! A member's own copy of the log.

use std::collections::BTreeMap;

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, Offset, TimestampMs};
use metadata_core::image::{ImageLoader, MetadataImage};
use metadata_core::leadership::LogExtent;
use metadata_core::log::LogBatch;

/// An image is kept after so many batches, and what is asked for in between is replayed from there.
const BATCHES_PER_IMAGE: usize = 64;

/// All batches, and some of the images.
#[derive(Debug)]
pub(super) struct Replica {
    batches: Vec<LogBatch>,
    epochs: Vec<(KRaftLeaderEpoch, Offset)>,
    /// When each began: the time of its first batch.
    began: BTreeMap<KRaftLeaderEpoch, TimestampMs>,
    images: Vec<MetadataImage>,
    loader: ImageLoader,
}

impl Replica {
    pub(super) fn new() -> Self {
        let empty = MetadataImage::default();
        Self {
            batches: Vec::new(),
            epochs: Vec::new(),
            began: BTreeMap::new(),
            images: vec![empty.clone()],
            loader: ImageLoader::new(empty),
        }
    }

    /// Takes the batches that follow.
    ///
    /// # Errors
    /// `Corrupt`: they don't follow, or contradict what is there.
    pub(super) fn extend(&mut self, batches: Vec<LogBatch>) -> Result<()> {
        for batch in batches {
            if batch.base_offset != self.end() {
                let message =
                    format!("a batch at offset {} follows one that ends at {}", batch.base_offset, self.end());
                return Err(Error::not_applied(ErrorKind::Corrupt, message));
            }
            let LogBatch { base_offset, end_offset, epoch, timestamp, records } = &batch;
            self.loader.replay_batch(*base_offset, *end_offset, *epoch, *timestamp, records).map_err(|error| {
                let message = format!("the batch at offset {base_offset} contradicts the log");
                Error::not_applied(ErrorKind::Corrupt, message).with_source(error)
            })?;
            if self.epochs.last().is_none_or(|(last, _)| last < epoch) {
                self.epochs.push((*epoch, *base_offset));
                self.began.insert(*epoch, *timestamp);
            }
            self.batches.push(batch);
            if self.batches.len().is_multiple_of(BATCHES_PER_IMAGE) && !self.loader.in_transaction() {
                self.images.push(self.loader.image().clone());
            }
        }
        Ok(())
    }

    /// End of the log (exclusive).
    pub(super) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, |batch| batch.end_offset)
    }

    pub(super) fn extent(&self) -> LogExtent {
        LogExtent { epochs: self.epochs.clone(), end_offset: self.end(), began: self.began.clone() }
    }

    pub(super) fn image(&self) -> &MetadataImage {
        self.loader.image()
    }

    /// As [`read`](metadata_core::log::MetadataLog::read).
    pub(super) fn read(&self, from: Offset, records_max: usize) -> Vec<LogBatch> {
        let start = self.batches.partition_point(|batch| batch.base_offset < from);
        let mut records = 0;
        let wanted = self.batches.iter().skip(start).take_while(|batch| {
            let first = records == 0;
            records += batch.records.len().max(1);
            first || records <= records_max
        });
        wanted.cloned().collect()
    }

    /// The newest image kept whose position is at most `end_offset`.
    pub(super) fn image_at_most(&self, end_offset: Offset) -> MetadataImage {
        let newest = self.image();
        if newest.position().end_offset <= end_offset {
            return newest.clone();
        }
        let older = self.images.iter().rev().find(|image| image.position().end_offset <= end_offset);
        older.cloned().unwrap_or_default()
    }
}
