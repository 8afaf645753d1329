//! Reads Kafka's primitives from a slice.

use std::fmt;

use super::{DecodeError, DecodeReason, STRING_BYTES_MAX};
use crate::uuid::Uuid;

/// A place in a slice. Every method either returns the value and moves behind it, or says what is wrong and where.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl fmt::Debug for Reader<'_> {
    /// Where it is, not what is there: the bytes may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("offset", &self.offset).field("remaining", &self.rest.len()).finish()
    }
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`, which it calls offset 0.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// An error at the next byte.
    pub fn error(&self, reason: DecodeReason) -> DecodeError {
        DecodeError::new(self.offset, reason)
    }

    /// The end of what there is to read.
    ///
    /// # Errors
    /// `TrailingBytes` when bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.error(DecodeReason::TrailingBytes { count })),
        }
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.error(DecodeReason::Truncated { needed: length, remaining: self.remaining() }));
        };
        self.rest = rest;
        self.offset += length;
        Ok(taken)
    }

    /// A reader of the next `length` bytes alone; this one goes on behind them. Offsets stay those of the whole.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn part(&mut self, length: usize) -> Result<Reader<'a>, DecodeError> {
        let offset = self.offset;
        Ok(Self { rest: self.take(length)?, offset })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.error(DecodeReason::Truncated { needed: N, remaining: self.remaining() }));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*taken)
    }

    /// A byte. Any but 0 is true, as in Kafka.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// A signed byte.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    /// Two bytes, signed.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    /// Four bytes, signed.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Two bytes, unsigned.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes, unsigned.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes as IEEE 754. The bits of a NaN are kept.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// Sixteen bytes, most significant first.
    ///
    /// # Errors
    /// `Truncated`.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// An unsigned integer of 1 to 5 bytes, 7 bits each, low bits first. More bytes than necessary are accepted, as in
    /// Kafka; bits beyond the 32nd are not.
    ///
    /// # Errors
    /// `Truncated`, `VarintTooLong`.
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        Ok(self.leb128(u32::BITS)? as u32)
    }

    /// A signed 32-bit integer in zig-zag form, 1 to 5 bytes, as lengths and deltas in record batches are.
    ///
    /// # Errors
    /// `Truncated`, `VarintTooLong`.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let zigzag = self.uvarint()?;
        Ok((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32))
    }

    /// A signed 64-bit integer in zig-zag form, 1 to 10 bytes, as time deltas in record batches are.
    ///
    /// # Errors
    /// `Truncated`, `VarintTooLong`.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let zigzag = self.leb128(u64::BITS)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    fn leb128(&mut self, bits: u32) -> Result<u64, DecodeError> {
        let too_long = self.error(DecodeReason::VarintTooLong { bits });
        let mut value = 0;
        for shift in (0..bits).step_by(7) {
            let [byte] = self.array()?;
            let group = u64::from(byte & 0x7f);
            // The last group has room for 4 bits of 32, for 1 bit of 64.
            if bits - shift < 7 && group >> (bits - shift) != 0 {
                return Err(too_long);
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(too_long)
    }

    /// What stands before a compact string, bytes or array: the length, or `None` for null. The length is not checked
    /// against anything yet.
    ///
    /// # Errors
    /// `Truncated`, `VarintTooLong`.
    pub fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    /// The same where null is not allowed.
    ///
    /// # Errors
    /// As [`Self::compact_length`], and `Null`.
    pub fn compact_length_not_null(&mut self) -> Result<usize, DecodeError> {
        let null = self.error(DecodeReason::Null);
        self.compact_length()?.ok_or(null)
    }

    /// A text of `length` bytes.
    ///
    /// # Errors
    /// `StringTooLong` above [`STRING_BYTES_MAX`], `Truncated`, `InvalidUtf8`.
    pub fn text(&mut self, length: usize) -> Result<&'a str, DecodeError> {
        if length > STRING_BYTES_MAX {
            return Err(self.error(DecodeReason::StringTooLong { length }));
        }
        let offset = self.offset;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map_err(|error| DecodeError::new(offset + error.valid_up_to(), DecodeReason::InvalidUtf8))
    }

    /// A compact string that is not null.
    ///
    /// # Errors
    /// As [`Self::compact_length_not_null`] and [`Self::text`].
    pub fn compact_string(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.compact_length_not_null()?;
        self.text(length)
    }

    /// Compact bytes that are not null.
    ///
    /// # Errors
    /// As [`Self::compact_length_not_null`] and [`Self::take`].
    pub fn compact_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.compact_length_not_null()?;
        self.take(length)
    }
}
