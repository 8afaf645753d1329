//! The frame around a metadata record: what stands in the value of a record of the log.

use std::fmt;

use super::{Fields, MetadataRecord, record_version};
use crate::codec::{DecodeError, DecodeReason, EncodeError, Reader, put_uvarint};
use crate::metadata_version::MetadataVersion;

/// The only frame version there is (`AbstractApiMessageSerde.java`). Kafka 2.8 wrote 0, in a layout of its own.
const FRAME_VERSION: u32 = 1;

/// What a record says of itself in front of its body: enough to name one that nobody here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind {
    /// Kafka's number of the record's type.
    pub api_key: u32,
    /// The version of its encoding.
    pub version: u32,
}

impl RecordKind {
    /// Reads the front of a record's value, whatever follows it.
    ///
    /// # Errors
    /// The bytes are no frame of a metadata record.
    pub fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        front(bytes).map(|front| front.kind)
    }

    /// Whether [`VersionedRecord::decode`] knows this type in this version.
    pub fn is_known(self) -> bool {
        let known = i16::try_from(self.api_key).ok().and_then(MetadataRecord::known);
        known.is_some_and(|(_, versions)| i16::try_from(self.version).is_ok_and(|version| versions.contains(&version)))
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type {} version {}", self.api_key, self.version)
    }
}

/// A record's value, read up to its body.
struct Front<'a> {
    kind: RecordKind,
    key_offset: usize,
    version_offset: usize,
    body: Reader<'a>,
}

fn front(bytes: &[u8]) -> Result<Front<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let found = reader.uvarint().map_err(|error| error.in_field("frameVersion"))?;
    if found != FRAME_VERSION {
        return Err(DecodeError::new(0, DecodeReason::FrameVersion { found }));
    }
    let key_offset = reader.offset();
    let api_key = reader.uvarint().map_err(|error| error.in_field("apiKey"))?;
    let version_offset = reader.offset();
    let version = reader.uvarint().map_err(|error| {
        let error = error.in_field("version");
        match i16::try_from(api_key).ok().and_then(MetadataRecord::known) {
            Some((name, _)) => error.in_record(name),
            None => error,
        }
    })?;
    Ok(Front { kind: RecordKind { api_key, version }, key_offset, version_offset, body: reader })
}

/// A record with the version in which it is, or will be, written. Kafka: `ApiMessageAndVersion`.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionedRecord {
    /// The record.
    pub record: MetadataRecord,
    /// The version of its encoding. What a cluster writes follows from its metadata version, see
    /// [`record_version`](super::record_version).
    pub version: i16,
}

impl VersionedRecord {
    /// `record` in `version`. Whether the record has that version shows when it is encoded.
    pub fn new(record: impl Into<MetadataRecord>, version: i16) -> Self {
        Self { record: record.into(), version }
    }

    /// Appends the whole value: frame version 1, api key and version as unsigned varints, then the body. After an error
    /// nothing is appended.
    ///
    /// # Errors
    /// The version does not exist, or lacks a field that is not at its default; a text is too long.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        put_uvarint(out, FRAME_VERSION);
        put_uvarint(out, u32::from(self.record.api_key().unsigned_abs()));
        // A negative version gets no further than the body.
        put_uvarint(out, u32::from(self.version.unsigned_abs()));
        self.record.encode_body(self.version, out).inspect_err(|_| out.truncate(start))
    }

    /// Reads a whole value, to its last byte.
    ///
    /// Stricter than Kafka 3.9 where that is lenient by accident: an unknown record version, tags out of order, a
    /// tagged field that does not fill its size, bad UTF-8 and integers with bits to spare are refused. As lenient as
    /// Kafka in this: integers in more bytes than necessary, booleans other than 0 and 1 (true), tagged fields that are
    /// written although at their default.
    ///
    /// # Errors
    /// The bytes are not one metadata record. The error says where and why.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Front { kind, key_offset, version_offset, body: mut reader } = front(bytes)?;
        let RecordKind { api_key: key, version: found } = kind;
        let unknown_key = || DecodeError::new(key_offset, DecodeReason::UnknownApiKey { found: key, version: found });
        let api_key = i16::try_from(key).map_err(|_| unknown_key())?;
        let (name, versions) = MetadataRecord::known(api_key).ok_or_else(unknown_key)?;
        let version = i16::try_from(found).ok().filter(|version| versions.contains(version)).ok_or_else(|| {
            let (lowest, highest) = versions.into_inner();
            let reason = DecodeReason::UnsupportedVersion { found: i64::from(found), lowest, highest };
            DecodeError::new(version_offset, reason).in_record(name)
        })?;

        let record = MetadataRecord::decode_body(api_key, &mut reader, version).ok_or_else(unknown_key)??;
        reader.finish().map_err(|error| error.in_record(name))?;
        Ok(Self { record, version })
    }

    /// The record's fields, as far as its version has them. See [`MetadataRecord::fields`].
    pub fn fields(&self) -> Fields {
        self.record.fields(self.version)
    }
}

/// In the version of [`MetadataVersion::LATEST_PRODUCTION`]: what Kafka 3.9 writes unless told otherwise. Whoever
/// writes for a cluster asks [`record_version`] with the cluster's own metadata version.
impl<R> From<R> for VersionedRecord
where
    MetadataRecord: From<R>,
{
    fn from(record: R) -> Self {
        let record = MetadataRecord::from(record);
        let version = record_version(&record, MetadataVersion::LATEST_PRODUCTION);
        Self { record, version }
    }
}
