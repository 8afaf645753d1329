//! Kafka's record batches (magic 2), as the metadata log and its snapshots hold them.
//!
//! A batch is a header of 61 bytes and records behind it. This module knows two shapes and refuses every other: data
//! batches, whose records are [metadata record frames](metadata_core::record), and control batches, which Raft itself
//! writes. It builds them ([`BatchBuilder`]), reads them one by one ([`Batch`]) and says for every unsound byte where it
//! is and why ([`BatchFlaw`]).
//!
//! Kafka: `DefaultRecordBatch.java`, `DefaultRecord.java`, and `RecordsIterator.java`, whose demands are stricter than a
//! consumer's: one timestamp for all records of a batch, no keys and no headers, no compression.

mod build;
mod flaw;
mod read;

pub use build::{BatchBuilder, BatchFull, BuildError, place};
pub use flaw::{BatchFlaw, FlawReason};
pub use read::{Batch, BatchHeader, Record, Records};

/// Bytes of a batch before its first record.
pub const HEADER_LEN: usize = 61;

/// Kafka's limit for a batch with its header, inclusive (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES`, 8 MiB).
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Kafka's limit for the records of one append, inclusive (`QuorumController.MAX_RECORDS_PER_BATCH`).
pub const BATCH_RECORDS_MAX: usize = metadata_core::log::RECORDS_PER_BATCH_MAX;

/// Bytes before the `partitionLeaderEpoch` field: base offset and length.
const LENGTH_END: usize = 12;
/// Where the bytes begin that the checksum covers: the attributes.
const CRC_START: usize = 21;
/// The only format that the metadata log knows.
const MAGIC: u8 = 2;
/// Attribute bit of control batches.
const CONTROL_BIT: i16 = 0x20;

#[cfg(test)]
mod tests;
