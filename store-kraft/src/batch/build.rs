//! Builds batches.

use metadata_core::codec::{EncodeError, put_varint};
use metadata_core::id::{KRaftLeaderEpoch, Offset, TimestampMs};
use metadata_core::record::ControlRecord;

use super::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, CONTROL_BIT, CRC_START, HEADER_LEN, LENGTH_END, MAGIC};

/// The record would not fit into the batch any more; the batch is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFull {
    /// It would have more than [`BATCH_RECORDS_MAX`] records.
    #[error("a batch has at most {BATCH_RECORDS_MAX} records")]
    Records,
    /// It would have more than [`BATCH_BYTES_MAX`] bytes.
    #[error("a batch has at most {BATCH_BYTES_MAX} bytes, with this record it would have {0}")]
    Bytes(usize),
}

/// Why a record can't be put into a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The batch has no room for it.
    #[error(transparent)]
    Full(#[from] BatchFull),
    /// It has no bytes.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Collects records of one kind, data or control, and makes a batch of them.
///
/// All records share one timestamp: when the batch was opened, as in Kafka. Base offset and epoch come last, since they
/// are known last: at the place in the log where the batch is written ([`place`]).
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    records: i32,
    attributes: i16,
    timestamp: TimestampMs,
}

impl BatchBuilder {
    /// An empty batch of metadata records, opened at `timestamp`.
    pub fn data(timestamp: TimestampMs) -> Self {
        Self::new(0, timestamp)
    }

    /// An empty batch of control records, opened at `timestamp`.
    pub fn control(timestamp: TimestampMs) -> Self {
        Self::new(CONTROL_BIT, timestamp)
    }

    fn new(attributes: i16, timestamp: TimestampMs) -> Self {
        Self { bytes: vec![0; HEADER_LEN], records: 0, attributes, timestamp }
    }

    /// Adds a metadata record, given as its frame. The builder must be one for data.
    ///
    /// # Errors
    /// The batch is full.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), BatchFull> {
        debug_assert!(self.attributes & CONTROL_BIT == 0, "a data record in a control batch");
        debug_assert!(!frame.is_empty(), "Kafka refuses empty values");
        self.push_record(None, frame)
    }

    /// Adds a control record. The builder must be one for control records.
    ///
    /// # Errors
    /// The batch is full, or the record can't be encoded.
    pub fn push_control(&mut self, record: &ControlRecord) -> Result<(), BuildError> {
        debug_assert!(self.attributes & CONTROL_BIT != 0, "a control record in a data batch");
        let (mut key, mut message) = (Vec::new(), Vec::new());
        record.encode(&mut key, &mut message)?;
        Ok(self.push_record(Some(&key), &message)?)
    }

    fn push_record(&mut self, key: Option<&[u8]>, value: &[u8]) -> Result<(), BatchFull> {
        if self.records as usize >= BATCH_RECORDS_MAX {
            return Err(BatchFull::Records);
        }
        let value_len = i32::try_from(value.len()).map_err(|_| BatchFull::Bytes(value.len()))?;
        let key_bytes = key.map_or(1, |key| varint_len(key.len() as i32) + key.len());
        // Attributes and timestamp delta take a byte each, the number of headers another.
        let body = 2 + varint_len(self.records) + key_bytes + varint_len(value_len) + value.len() + 1;
        let total = self.bytes.len() + varint_len(body as i32) + body;
        if total > BATCH_BYTES_MAX {
            return Err(BatchFull::Bytes(total));
        }
        put_varint(&mut self.bytes, body as i32);
        self.bytes.extend([0, 0]);
        put_varint(&mut self.bytes, self.records);
        match key {
            None => put_varint(&mut self.bytes, -1),
            Some(key) => {
                put_varint(&mut self.bytes, key.len() as i32);
                self.bytes.extend(key);
            }
        }
        put_varint(&mut self.bytes, value_len);
        self.bytes.extend_from_slice(value);
        self.bytes.push(0);
        self.records += 1;
        Ok(())
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        self.records as usize
    }

    /// Whether it has no record yet. Such a batch must not be written: Kafka has none.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The batch's bytes with the header as of now.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished batch at `base_offset` (inclusive) of `epoch`.
    pub fn finish(mut self, base_offset: Offset, epoch: KRaftLeaderEpoch) -> Vec<u8> {
        let length = (self.bytes.len() - LENGTH_END) as i32;
        let mut put = |at: usize, field: &[u8]| {
            if let Some(target) = self.bytes.get_mut(at..at + field.len()) {
                target.copy_from_slice(field);
            }
        };
        put(8, &length.to_be_bytes());
        put(16, &[MAGIC]);
        put(21, &self.attributes.to_be_bytes());
        put(23, &(self.records - 1).to_be_bytes());
        put(27, &self.timestamp.0.to_be_bytes());
        put(35, &self.timestamp.0.to_be_bytes());
        // No producer wrote this: id, epoch and sequence are -1.
        put(43, &[0xff; 14]);
        put(57, &self.records.to_be_bytes());
        let crc = crc32c::crc32c(self.bytes.get(CRC_START..).unwrap_or_default());
        if let Some(target) = self.bytes.get_mut(17..CRC_START) {
            target.copy_from_slice(&crc.to_be_bytes());
        }
        place(&mut self.bytes, base_offset, epoch);
        self.bytes
    }
}

/// Puts a finished batch at another place: its base offset and its epoch are the two fields that its checksum does not
/// cover, so the rest stays as it is.
pub fn place(batch: &mut [u8], base_offset: Offset, epoch: KRaftLeaderEpoch) {
    if let Some(field) = batch.get_mut(0..8) {
        field.copy_from_slice(&base_offset.0.to_be_bytes());
    }
    if let Some(field) = batch.get_mut(LENGTH_END..16) {
        field.copy_from_slice(&epoch.0.to_be_bytes());
    }
}

/// How many bytes [`put_varint`] appends.
fn varint_len(value: i32) -> usize {
    let zigzag = ((value << 1) ^ (value >> 31)) as u32;
    (u32::BITS - zigzag.leading_zeros()).max(1).div_ceil(7) as usize
}
