//! Kafka's binary primitives: integers, variable-length integers, compact strings and arrays, tag sections. Pure bytes,
//! no record is known here.
//!
//! Everything is big-endian. The reader is as strict as Kafka's generated classes or stricter, checks every length
//! against what is left before it allocates, and never panics, whatever the bytes. Source: Kafka's `Readable`,
//! `Writable` and `ByteUtils` (`clients/.../common/protocol`, `common/utils`), and KIP-482 for the compact forms.

mod error;
mod reader;
mod tags;
#[cfg(test)]
mod tests;
mod writer;

pub use error::{DecodeError, DecodeReason, EncodeError, EncodeReason};
pub use reader::Reader;
pub use tags::{RawTag, UnknownTags};
pub(crate) use tags::{TagWriter, read_tags, read_unknown_tags};
pub use writer::{
    put_bool, put_compact_bytes, put_compact_length, put_compact_null, put_compact_string, put_f64, put_i8, put_i16,
    put_i32, put_i64, put_u16, put_u32, put_uuid, put_uvarint, put_varint, put_varlong,
};

/// Longest string in bytes of UTF-8, inclusive. Kafka's generated classes refuse longer ones in both directions, in the
/// compact form too (`MessageDataGenerator.java`).
pub const STRING_BYTES_MAX: usize = 0x7fff;
