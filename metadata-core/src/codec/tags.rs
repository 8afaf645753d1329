//! Tag sections (KIP-482): fields that may be left out, each with its number and its size, so that a reader can carry
//! along those that it does not know.

use std::fmt;

use super::writer::{checked_length, put_uvarint};
use super::{DecodeError, DecodeReason, EncodeError, EncodeReason, Reader};

/// A tagged field that this code does not know. A newer Kafka wrote it; it is kept and written again.
#[derive(Clone, PartialEq, Eq)]
pub struct RawTag {
    /// The field's number.
    pub tag: u32,
    /// Its encoding, without number and size.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for RawTag {
    /// Number and size, not the bytes: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag {} ({} bytes)", self.tag, self.bytes.len())
    }
}

/// The unknown tagged fields of one struct, by ascending number. Nearly always none, and then it owns no memory.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UnknownTags(Box<[RawTag]>);

impl UnknownTags {
    /// These fields. Their numbers must grow and be none that the struct knows, else the struct can't be written.
    pub fn new(tags: Vec<RawTag>) -> Self {
        Self(tags.into_boxed_slice())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields, by ascending number.
    pub fn iter(&self) -> std::slice::Iter<'_, RawTag> {
        self.0.iter()
    }
}

impl fmt::Debug for UnknownTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Collects the tagged fields of one struct. Fields are added by ascending number.
#[derive(Default)]
pub(crate) struct TagWriter {
    count: u32,
    bytes: Vec<u8>,
}

impl TagWriter {
    /// Adds a field, which `encode` writes.
    pub(crate) fn add(
        &mut self,
        tag: u32,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut field = Vec::new();
        encode(&mut field)?;
        self.add_raw(tag, &field)
    }

    fn add_raw(&mut self, tag: u32, field: &[u8]) -> Result<(), EncodeError> {
        let size = checked_length(field.len())?;
        self.count += 1;
        put_uvarint(&mut self.bytes, tag);
        put_uvarint(&mut self.bytes, size);
        self.bytes.extend_from_slice(field);
        Ok(())
    }

    /// Writes the section: the fields added, then the unknown ones. Known tags are those below `known_end`.
    pub(crate) fn finish(
        mut self,
        unknown: &UnknownTags,
        known_end: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut lowest = u64::from(known_end);
        for RawTag { tag, bytes } in unknown.iter() {
            if u64::from(*tag) < lowest {
                return Err(EncodeError::new(EncodeReason::TagOrder { found: *tag, lowest }).in_field("tags"));
            }
            lowest = u64::from(*tag) + 1;
            self.add_raw(*tag, bytes)?;
        }
        put_uvarint(out, self.count);
        out.extend_from_slice(&self.bytes);
        Ok(())
    }
}

/// Reads the tag section of a struct and returns what it does not know.
///
/// `known` is called with each tag below `known_end` and a reader of its bytes; it stores the field and returns true,
/// or returns false when the struct's `version` lacks the tag, which is an error as in Kafka. Stricter than Kafka: the
/// tags must ascend, and a field must fill its size.
pub(crate) fn read_tags(
    reader: &mut Reader<'_>,
    version: i16,
    known_end: u32,
    mut known: impl FnMut(u32, &mut Reader<'_>) -> Result<bool, DecodeError>,
) -> Result<UnknownTags, DecodeError> {
    let in_tags = |error: DecodeError| error.in_field("tags");
    let mut previous = None;
    let mut unknown = Vec::new();
    for _ in 0..reader.uvarint().map_err(in_tags)? {
        let at = reader.offset();
        let refuse = |reason| in_tags(DecodeError::new(at, reason));
        let tag = reader.uvarint().map_err(in_tags)?;
        if let Some(previous) = previous.filter(|previous| *previous >= tag) {
            return Err(refuse(DecodeReason::TagOrder { found: tag, previous }));
        }
        previous = Some(tag);
        let declared = reader.uvarint().map_err(in_tags)? as usize;
        let mut field = reader.part(declared).map_err(in_tags)?;
        if tag >= known_end {
            unknown.push(RawTag { tag, bytes: field.take(declared)?.to_vec() });
            continue;
        }
        if !known(tag, &mut field)? {
            return Err(refuse(DecodeReason::TagNotInVersion { tag, version }));
        }
        if field.remaining() > 0 {
            let consumed = declared - field.remaining();
            return Err(refuse(DecodeReason::TagSize { tag, declared, consumed }));
        }
    }
    Ok(UnknownTags::new(unknown))
}

/// The same for a struct that has no tagged fields of its own.
pub(crate) fn read_unknown_tags(reader: &mut Reader<'_>) -> Result<UnknownTags, DecodeError> {
    read_tags(reader, 0, 0, |_, _| Ok(false))
}
