//! Batches of a log, one after the other, into images. A transaction becomes visible as one change.

use super::{MetadataDelta, MetadataImage, ReplayError};
use crate::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs};
use crate::record::{MetadataRecord, VersionedRecord};

/// Replays committed batches in order and publishes images at batch ends.
///
/// Unlike Kafka's loader it forgets an aborted transaction wherever the Abort stands in a batch (there, records behind
/// an Abort in the same commit make the aborted ones visible).
#[derive(Debug, Clone)]
pub struct ImageLoader {
    working: MetadataImage,
    /// The image before the open transaction's Begin, while one is open.
    before_txn: Option<MetadataImage>,
}

impl ImageLoader {
    /// Starts from an image outside any transaction.
    pub fn new(image: MetadataImage) -> Self {
        Self { working: image, before_txn: None }
    }

    /// The newest published image: what is visible. Within a transaction it is the image before its Begin.
    pub fn image(&self) -> &MetadataImage {
        self.before_txn.as_ref().unwrap_or(&self.working)
    }

    /// Where the next batch must begin: end of the last one replayed (exclusive), within a transaction or not.
    pub fn replayed_end(&self) -> Offset {
        self.working.position().end_offset
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.before_txn.is_some()
    }

    /// Replays the batch whose records start at `base_offset` (inclusive) and end before `end_offset` (exclusive).
    /// Batches of control records have no `records` and move the position alone.
    ///
    /// # Errors
    /// A record that can't be replayed, or a transaction record out of order. The loader is unusable afterwards: the log
    /// and the image contradict each other.
    pub fn replay_batch(
        &mut self,
        base_offset: Offset,
        end_offset: Offset,
        epoch: KRaftLeaderEpoch,
        timestamp: TimestampMs,
        records: &[VersionedRecord],
    ) -> Result<(), ReplayError> {
        let mut delta = MetadataDelta::new(&self.working);
        for (index, record) in (0..).zip(records) {
            let at = |delta: MetadataDelta| {
                let position = Position { epoch, end_offset: base_offset.plus(index) };
                // The Begin of a batch's first record leaves the position where the batch before ended.
                if index == 0 { delta.image().clone() } else { delta.apply(position, timestamp) }
            };
            let misplaced = |reason: &str| ReplayError { record: record.record.name(), reason: reason.to_owned() };
            match &record.record {
                MetadataRecord::BeginTransaction(_) => {
                    if self.before_txn.is_some() {
                        return Err(misplaced("a transaction is open already"));
                    }
                    let before = at(delta);
                    delta = MetadataDelta::new(&before);
                    self.before_txn = Some(before);
                }
                MetadataRecord::EndTransaction(_) => {
                    self.before_txn.take().ok_or_else(|| misplaced("no transaction is open"))?;
                }
                MetadataRecord::AbortTransaction(_) => {
                    let before = self.before_txn.take().ok_or_else(|| misplaced("no transaction is open"))?;
                    delta = MetadataDelta::new(&before);
                }
                other => delta.replay(other)?,
            }
        }
        self.working = delta.apply(Position { epoch, end_offset }, timestamp);
        Ok(())
    }
}
