//! Writes Kafka's primitives to the end of a vector.

use super::{EncodeError, EncodeReason, STRING_BYTES_MAX};
use crate::uuid::Uuid;

/// A byte, 0 or 1.
pub fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// A signed byte.
pub fn put_i8(out: &mut Vec<u8>, value: i8) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Two bytes, signed.
pub fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Four bytes, signed.
pub fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Eight bytes, signed.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Two bytes, unsigned.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Four bytes, unsigned.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Eight bytes as IEEE 754.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Sixteen bytes, most significant first.
pub fn put_uuid(out: &mut Vec<u8>, value: Uuid) {
    out.extend_from_slice(value.as_bytes());
}

/// An unsigned integer in as few bytes as it needs, 1 to 5, 7 bits each, low bits first.
pub fn put_uvarint(out: &mut Vec<u8>, value: u32) {
    put_leb128(out, u64::from(value));
}

/// A signed 32-bit integer in zig-zag form, 1 to 5 bytes.
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_leb128(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// A signed 64-bit integer in zig-zag form, 1 to 10 bytes.
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_leb128(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_leb128(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What stands before compact bytes, or before a compact array of so many elements.
///
/// # Errors
/// `TooLong` where Kafka, whose lengths are signed 32-bit integers, could not read it.
pub fn put_compact_length(out: &mut Vec<u8>, length: usize) -> Result<(), EncodeError> {
    put_uvarint(out, checked_length(length)? + 1);
    Ok(())
}

/// The length, if Kafka can read it and it can be raised by one.
pub(super) fn checked_length(length: usize) -> Result<u32, EncodeError> {
    match u32::try_from(length) {
        Ok(fits) if fits < i32::MAX as u32 => Ok(fits),
        _ => Err(EncodeError::new(EncodeReason::TooLong { length })),
    }
}

/// What stands for a compact string, bytes or array that is null.
pub fn put_compact_null(out: &mut Vec<u8>) {
    put_uvarint(out, 0);
}

/// A compact string.
///
/// # Errors
/// `StringTooLong` above [`STRING_BYTES_MAX`].
pub fn put_compact_string(out: &mut Vec<u8>, value: &str) -> Result<(), EncodeError> {
    if value.len() > STRING_BYTES_MAX {
        return Err(EncodeError::new(EncodeReason::StringTooLong { length: value.len() }));
    }
    put_compact_bytes(out, value.as_bytes())
}

/// Compact bytes.
///
/// # Errors
/// `TooLong`, see [`put_compact_length`].
pub fn put_compact_bytes(out: &mut Vec<u8>, value: &[u8]) -> Result<(), EncodeError> {
    put_compact_length(out, value.len())?;
    out.extend_from_slice(value);
    Ok(())
}
