//! Reads batches, trusting no byte.

use metadata_core::codec::Reader;
use metadata_core::id::{KRaftLeaderEpoch, Offset, TimestampMs};
use metadata_core::record::{ControlRecord, DecodeError};

use super::flaw::{BatchFlaw, FlawReason};
use super::{BATCH_BYTES_MAX, CONTROL_BIT, CRC_START, HEADER_LEN, LENGTH_END, MAGIC};

/// Bytes of the smallest record: a byte each for length, attributes, both deltas, key length, value length, value and headers.
const RECORD_BYTES_MIN: usize = 8;

/// The first 61 bytes of a batch, as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (inclusive).
    pub base_offset: Offset,
    /// The batch's bytes, this header included.
    pub size: usize,
    /// Epoch of the leader that wrote it.
    pub epoch: KRaftLeaderEpoch,
    /// Checksum of everything from the attributes on.
    pub crc: u32,
    /// When the batch was opened; all its records have this time.
    pub timestamp: TimestampMs,
    /// Whether its records are control records.
    pub control: bool,
    /// How many records, at least one.
    pub records: u32,
}

impl BatchHeader {
    /// Offset after the last record (exclusive).
    pub fn end_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.records))
    }

    /// Reads the header at the front of `bytes`. The checksum is not verified; [`Batch::parse`] does.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 61 bytes, else the first field that can't be.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchFlaw> {
        let header = bytes.first_chunk::<HEADER_LEN>().ok_or(BatchFlaw {
            at: bytes.len() as u64,
            reason: FlawReason::Truncated { needed: HEADER_LEN as u64, have: bytes.len() as u64 },
        })?;
        let size = batch_size(header)?;
        let flaw = |at: u64, reason| Err(BatchFlaw { at, reason });
        let magic = u8::from_be_bytes(field(header, 16));
        if magic != MAGIC {
            return flaw(16, FlawReason::Magic(magic));
        }
        let field_flaw = |at, name, value, rule| flaw(at, FlawReason::Field { field: name, value, rule });
        let base_offset = i64::from_be_bytes(field(header, 0));
        let epoch = i32::from_be_bytes(field(header, 12));
        let attributes = i16::from_be_bytes(field(header, 21));
        let last_offset_delta = i32::from_be_bytes(field(header, 23));
        let count = i32::from_be_bytes(field(header, 57));
        if base_offset < 0 {
            return field_flaw(0, "baseOffset", base_offset, "offsets start at 0");
        }
        if epoch < 0 {
            return field_flaw(12, "partitionLeaderEpoch", i64::from(epoch), "epochs start at 0");
        }
        if attributes & !CONTROL_BIT != 0 {
            return field_flaw(21, "attributes", i64::from(attributes), "only the control bit may be set");
        }
        // How many there are at most is a rule for writers: another one may put several appends into a batch.
        if count < 1 || count as usize > (size - HEADER_LEN) / RECORD_BYTES_MIN {
            let rule = "a batch has at least one record, and at least 8 bytes for each";
            return field_flaw(57, "record count", i64::from(count), rule);
        }
        if last_offset_delta != count - 1 {
            let rule = "it must be one less than the record count";
            return field_flaw(23, "lastOffsetDelta", i64::from(last_offset_delta), rule);
        }
        if base_offset.checked_add(i64::from(count)).is_none() {
            return field_flaw(0, "baseOffset", base_offset, "the batch would end past the largest offset");
        }
        Ok(Self {
            base_offset: Offset(base_offset),
            size,
            epoch: KRaftLeaderEpoch(epoch),
            crc: u32::from_be_bytes(field(header, 17)),
            timestamp: TimestampMs(i64::from_be_bytes(field(header, 27))),
            control: attributes & CONTROL_BIT != 0,
            records: count as u32,
        })
    }
}

/// The bytes of the batch that starts with `header`, header included.
fn batch_size(header: &[u8; HEADER_LEN]) -> Result<usize, BatchFlaw> {
    let length = i32::from_be_bytes(field(header, 8));
    let (min, max) = (HEADER_LEN - LENGTH_END, BATCH_BYTES_MAX - LENGTH_END);
    match usize::try_from(length) {
        Ok(bytes) if (min..=max).contains(&bytes) => Ok(bytes + LENGTH_END),
        _ => Err(BatchFlaw { at: 8, reason: FlawReason::Length { length, min, max } }),
    }
}

/// The field at `at`. All callers pass constants that lie within the header.
fn field<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (target, byte) in out.iter_mut().zip(header.iter().skip(at)) {
        *target = *byte;
    }
    out
}

/// A batch whose checksum and records were verified.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads the batch at the front of `bytes` and verifies it: checksum, and each record's envelope. What the records'
    /// values mean is not looked at.
    ///
    /// # Errors
    /// The first flaw. `Truncated` means that `bytes` ends within the batch.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchFlaw> {
        let header = BatchHeader::parse(bytes)?;
        let truncated = FlawReason::Truncated { needed: header.size as u64, have: bytes.len() as u64 };
        let bytes = bytes.get(..header.size).ok_or(BatchFlaw { at: bytes.len() as u64, reason: truncated })?;
        let computed = crc32c::crc32c(bytes.get(CRC_START..).unwrap_or_default());
        if computed != header.crc {
            return Err(BatchFlaw { at: 17, reason: FlawReason::Crc { stored: header.crc, computed } });
        }
        let batch = Self { header, bytes };
        let mut records = batch.records();
        for record in &mut records {
            record?;
        }
        match records.rest.len() as u64 {
            0 => Ok(batch),
            count => Err(BatchFlaw { at: header.size as u64 - count, reason: FlawReason::Trailing { count } }),
        }
    }

    /// The header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All bytes of the batch, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records, in order. Since the batch was verified, none of them is an error.
    pub fn records(&self) -> Records<'a> {
        let rest = self.bytes.get(HEADER_LEN..).unwrap_or_default();
        Records { header: self.header, total: self.bytes.len(), rest, index: 0 }
    }
}

/// A record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: Offset,
    /// The key of a control record, or `None` for a metadata record.
    pub key: Option<&'a [u8]>,
    /// The metadata record's frame, or the control record's message. Never empty.
    pub value: &'a [u8],
}

impl Record<'_> {
    /// The control record, or `None` for a metadata record.
    ///
    /// # Errors
    /// The message, or its key, is not what Kafka writes, or of a type that we do not know.
    pub fn control(&self) -> Option<Result<ControlRecord, DecodeError>> {
        self.key.map(|key| ControlRecord::decode(key, self.value))
    }
}

/// The records of a batch, in order. After an error it ends.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    header: BatchHeader,
    total: usize,
    rest: &'a [u8],
    index: u32,
}

impl<'a> Records<'a> {
    fn next_record(&mut self) -> Result<Record<'a>, &'static str> {
        let mut input = Reader::new(self.rest);
        let length = input.varint().map_err(|_| "its length is cut off or too large")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let mut body = input.part(length).map_err(|_| "it is longer than the batch")?;
        let record = self.body(&mut body)?;
        self.rest = self.rest.get(input.offset()..).unwrap_or_default();
        Ok(record)
    }

    fn body(&self, body: &mut Reader<'a>) -> Result<Record<'a>, &'static str> {
        // Kafka does not look at the record's own attributes either.
        body.i8().map_err(|_| "it is empty")?;
        if body.varlong().map_err(|_| "its timestamp delta is cut off")? != 0 {
            return Err("its timestamp differs from the batch's");
        }
        // Offsets count from the base without gaps, whatever the delta says; Kafka ignores it too.
        body.varint().map_err(|_| "its offset delta is cut off")?;
        let key = take_bytes(body).ok_or("its key is cut off")?;
        let value = take_bytes(body).ok_or("its value is cut off")?;
        if body.remaining() != 1 || body.i8() != Ok(0) {
            return Err("it has headers, or bytes follow its value");
        }
        match (self.header.control, key) {
            (true, Some(key)) => check_control_key(key)?,
            (true, None) => return Err("a control record has no key"),
            (false, None) => {}
            (false, Some(_)) => return Err("a metadata record has a key"),
        }
        let value = value.filter(|value| !value.is_empty()).ok_or("its value is missing or empty")?;
        Ok(Record { offset: self.header.base_offset.plus(i64::from(self.index)), key, value })
    }
}

/// A control record's key is its version and its type. Types 0 and 1 end transactions of producers and have no place in
/// a metadata log (`ControlRecordType.java`, `RecordsIterator.java`). Types above those that we know are left to whoever
/// reads the record: [`Record::control`] refuses them by number.
fn check_control_key(key: &[u8]) -> Result<(), &'static str> {
    let [v0, v1, t0, t1] = *key.first_chunk::<4>().ok_or("the control record's key is shorter than 4 bytes")?;
    if i16::from_be_bytes([v0, v1]) < 0 {
        return Err("the control record's key has a negative version");
    }
    match i16::from_be_bytes([t0, t1]) {
        2.. => Ok(()),
        _ => Err("the control record's type has no place in a metadata log"),
    }
}

/// Bytes behind a zig-zag length, or an inner `None` for a negative length. The outer `None`: they are cut off.
fn take_bytes<'a>(input: &mut Reader<'a>) -> Option<Option<&'a [u8]>> {
    match usize::try_from(input.varint().ok()?) {
        Ok(length) => Some(Some(input.take(length).ok()?)),
        Err(_) => Some(None),
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchFlaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.records {
            return None;
        }
        let at = (self.total - self.rest.len()) as u64;
        let index = self.index;
        match self.next_record() {
            Ok(record) => {
                self.index += 1;
                Some(Ok(record))
            }
            Err(rule) => {
                self.index = self.header.records;
                Some(Err(BatchFlaw { at, reason: FlawReason::Record { index, rule } }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some((self.header.records - self.index) as usize))
    }
}
