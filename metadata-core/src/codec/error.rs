//! Why bytes are no message, or a message can't become bytes: record, field, place and reason. Never a value, since it
//! could be a secret.

use std::fmt;

use super::STRING_BYTES_MAX;

/// Bytes that can't be read.
///
/// The message names the record, the path of the field as Kafka spells it (`endPoints[1].host`), and the offset of the
/// byte, counted from the start of what the reader was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    place: Place,
    offset: usize,
    reason: DecodeReason,
}

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeReason {
    /// They end too early.
    #[error("{needed} more bytes are needed, {remaining} are left")]
    Truncated {
        /// How many bytes should follow, at least.
        needed: usize,
        /// How many do.
        remaining: usize,
    },
    /// A variable-length integer has too many bytes, or bits, for its type.
    #[error("the variable-length integer does not fit into {bits} bits")]
    VarintTooLong {
        /// Width of the integer.
        bits: u32,
    },
    /// A null where none may be.
    #[error("null is not allowed here")]
    Null,
    /// A text that is not UTF-8. Kafka would replace the bad bytes, so the record would change by being read.
    #[error("the text is not UTF-8")]
    InvalidUtf8,
    /// A text longer than [`STRING_BYTES_MAX`].
    #[error("the text has {length} bytes, at most {STRING_BYTES_MAX} are allowed")]
    StringTooLong {
        /// Length in bytes.
        length: usize,
    },
    /// The value's frame is of a version that nobody knows.
    #[error("frame version {found} is unknown, only 1 is; the value may not be a metadata record at all")]
    FrameVersion {
        /// The version found.
        found: u32,
    },
    /// No metadata record has this api key.
    #[error("unknown record type {found} (version {version}); a newer Kafka may have written it")]
    UnknownApiKey {
        /// The key found.
        found: u32,
        /// The version behind it.
        version: u32,
    },
    /// No control record has this type, or none that may be in this log.
    #[error("no control record of a metadata log has the type {found}")]
    UnknownControlType {
        /// The type found.
        found: i16,
    },
    /// The record has no such version.
    #[error("version {found} is unknown, versions {lowest} to {highest} are known; a newer Kafka may have written it")]
    UnsupportedVersion {
        /// The version found.
        found: i64,
        /// Lowest known version, inclusive.
        lowest: i16,
        /// Highest known version, inclusive.
        highest: i16,
    },
    /// Tags must grow within a section.
    #[error("tag {found} follows tag {previous}")]
    TagOrder {
        /// The tag found.
        found: u32,
        /// The tag before it.
        previous: u32,
    },
    /// The tag exists, but not in this version of the record.
    #[error("tag {tag} does not exist in version {version}")]
    TagNotInVersion {
        /// The tag.
        tag: u32,
        /// The record's version.
        version: i16,
    },
    /// A tagged field ends before its declared size.
    #[error("tag {tag} is {declared} bytes long, its field only {consumed}")]
    TagSize {
        /// The tag.
        tag: u32,
        /// The size before the field.
        declared: usize,
        /// The size of the field.
        consumed: usize,
    },
    /// Bytes after the end.
    #[error("{count} bytes follow after the end")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

/// A message that can't be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeError {
    place: Place,
    reason: EncodeReason,
}

/// What is wrong with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeReason {
    /// The record has no such version.
    #[error("version {asked} does not exist, versions {lowest} to {highest} do")]
    UnsupportedVersion {
        /// The version asked for.
        asked: i16,
        /// Lowest version, inclusive.
        lowest: i16,
        /// Highest version, inclusive.
        highest: i16,
    },
    /// The field is set, but the version can't carry it: writing would lose it.
    #[error(
        "the field is set, but version {version} does not have it; leave it at its default or write a newer version"
    )]
    NotInVersion {
        /// The record's version.
        version: i16,
    },
    /// A text longer than [`STRING_BYTES_MAX`].
    #[error("the text has {length} bytes, at most {STRING_BYTES_MAX} can be written")]
    StringTooLong {
        /// Length in bytes.
        length: usize,
    },
    /// More bytes or elements than a length can say.
    #[error("{length} bytes or elements are too many for a length of 31 bits")]
    TooLong {
        /// The length.
        length: usize,
    },
    /// Unknown tags must grow, and be none of the tags that the record knows.
    #[error("the unknown tag {found} must be {lowest} or more")]
    TagOrder {
        /// The tag.
        found: u32,
        /// The lowest tag that may stand here, inclusive.
        lowest: u64,
    },
}

/// Record and path of a field. Built from the inside out while an error travels up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Place {
    record: Option<&'static str>,
    path: String,
}

impl Place {
    fn in_field(&mut self, name: &str) {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{separator}{}", self.path);
    }

    fn in_element(&mut self, index: usize) {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{separator}{}", self.path);
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.record, self.path.as_str()) {
            (None, "") => f.write_str("value"),
            (None, path) => f.write_str(path),
            (Some(record), "") => f.write_str(record),
            (Some(record), path) => write!(f, "{record}.{path}"),
        }
    }
}

impl DecodeError {
    /// An error at the byte `offset`, as yet without record and field.
    pub fn new(offset: usize, reason: DecodeReason) -> Self {
        Self { place: Place::default(), offset, reason }
    }

    /// The same error, found within this field.
    #[must_use]
    pub fn in_field(mut self, name: &str) -> Self {
        self.place.in_field(name);
        self
    }

    /// The same error, found within this element of an array.
    #[must_use]
    pub fn in_element(mut self, index: usize) -> Self {
        self.place.in_element(index);
        self
    }

    /// The same error, found within this record.
    #[must_use]
    pub fn in_record(mut self, name: &'static str) -> Self {
        self.place.record = Some(name);
        self
    }

    /// Kafka's name of the record, if the reader came that far.
    pub fn record(&self) -> Option<&'static str> {
        self.place.record
    }

    /// Path of the field, empty for the record as a whole.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// Offset of the byte that is wrong, or where bytes are missing.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What is wrong.
    pub fn reason(&self) -> DecodeReason {
        self.reason
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.place, self.offset, self.reason)
    }
}

impl std::error::Error for DecodeError {}

impl EncodeError {
    /// An error, as yet without record and field.
    pub fn new(reason: EncodeReason) -> Self {
        Self { place: Place::default(), reason }
    }

    /// The same error, found within this field.
    #[must_use]
    pub fn in_field(mut self, name: &str) -> Self {
        self.place.in_field(name);
        self
    }

    /// The same error, found within this element of an array.
    #[must_use]
    pub fn in_element(mut self, index: usize) -> Self {
        self.place.in_element(index);
        self
    }

    /// The same error, found within this record.
    #[must_use]
    pub fn in_record(mut self, name: &'static str) -> Self {
        self.place.record = Some(name);
        self
    }

    /// Kafka's name of the record.
    pub fn record(&self) -> Option<&'static str> {
        self.place.record
    }

    /// Path of the field, empty for the record as a whole.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// What is wrong.
    pub fn reason(&self) -> EncodeReason {
        self.reason
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for EncodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_record_path_place_and_reason() {
        let error = DecodeError::new(37, DecodeReason::Null)
            .in_field("host")
            .in_element(1)
            .in_field("endPoints")
            .in_record("RegisterBrokerRecord");
        assert_eq!(error.to_string(), "RegisterBrokerRecord.endPoints[1].host at byte 37: null is not allowed here");
        assert_eq!((error.record(), error.path()), (Some("RegisterBrokerRecord"), "endPoints[1].host"));

        let error = EncodeError::new(EncodeReason::NotInVersion { version: 0 }).in_element(2).in_field("renewers");
        assert!(error.to_string().starts_with("renewers[2]: the field is set, but version 0"), "{error}");
        assert_eq!(DecodeError::new(0, DecodeReason::Null).to_string(), "value at byte 0: null is not allowed here");
    }
}
