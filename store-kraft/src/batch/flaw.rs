//! Why bytes are no sound batch.

use std::fmt;

/// What is wrong with a batch, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFlaw {
    /// Byte of the flaw, counted from the batch's first byte.
    pub at: u64,
    /// What is wrong there.
    pub reason: FlawReason,
}

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlawReason {
    /// The bytes end within the batch: what an interrupted write leaves.
    #[error("the batch ends after {have} of its {needed} bytes")]
    Truncated {
        /// Bytes that the batch says it has, or 61 while its header is cut.
        needed: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// The length field can't be.
    #[error("the length field says {length}, possible is {min} to {max}")]
    Length {
        /// What it says.
        length: i32,
        /// Least possible, inclusive.
        min: usize,
        /// Most possible, inclusive.
        max: usize,
    },
    /// Another format than version 2.
    #[error("the magic byte is {0}, expected 2")]
    Magic(u8),
    /// The checksum of the bytes from the attributes on is another than the stored one.
    #[error("the checksum is {computed:08x}, stored is {stored:08x}")]
    Crc {
        /// What the batch says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// A field of the header holds what the metadata log never has.
    #[error("{field} is {value}, {rule}")]
    Field {
        /// Kafka's name of the field.
        field: &'static str,
        /// What it holds.
        value: i64,
        /// What it may hold.
        rule: &'static str,
    },
    /// A record breaks a rule.
    #[error("record {index} of the batch: {rule}")]
    Record {
        /// Which, from 0.
        index: u32,
        /// What is wrong.
        rule: &'static str,
    },
    /// Bytes follow the last record.
    #[error("{count} bytes follow the last record")]
    Trailing {
        /// How many.
        count: u64,
    },
}

impl BatchFlaw {
    /// Whether the batch is merely cut off, as an interrupted write leaves it.
    pub fn is_truncation(&self) -> bool {
        matches!(self.reason, FlawReason::Truncated { .. })
    }
}

impl fmt::Display for BatchFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {} of the batch)", self.reason, self.at)
    }
}

impl std::error::Error for BatchFlaw {}
