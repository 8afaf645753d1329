//! What all records have in common: a name, versions, a body. The generated code names the records, the macros here
//! give them these.

use std::ops::RangeInclusive;

use super::wire::Wire;
use crate::codec::{DecodeError, DecodeReason, EncodeError, EncodeReason, Reader};

/// Writes a body, or nothing.
pub(super) fn encode_body(
    name: &'static str,
    versions: RangeInclusive<i16>,
    record: &impl Wire,
    version: i16,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = if versions.contains(&version) {
        record.put(version, out)
    } else {
        let (lowest, highest) = versions.into_inner();
        Err(EncodeError::new(EncodeReason::UnsupportedVersion { asked: version, lowest, highest }))
    };
    written.map_err(|error| {
        out.truncate(start);
        error.in_record(name)
    })
}

/// Reads a body and leaves the reader behind it.
pub(super) fn decode_body<T: Wire>(
    name: &'static str,
    versions: RangeInclusive<i16>,
    reader: &mut Reader<'_>,
    version: i16,
) -> Result<T, DecodeError> {
    let read = if versions.contains(&version) {
        T::get(reader, version)
    } else {
        let (lowest, highest) = versions.into_inner();
        Err(reader.error(DecodeReason::UnsupportedVersion { found: i64::from(version), lowest, highest }))
    };
    read.map_err(|error| error.in_record(name))
}

/// Gives a record its name, its versions and its body.
macro_rules! message {
    ($record:ident, $lowest:literal..=$highest:literal) => {
        impl $record {
            /// Kafka's name of the record.
            pub const NAME: &'static str = stringify!($record);

            /// The versions that exist, both ends inclusive.
            pub const VERSIONS: std::ops::RangeInclusive<i16> = $lowest..=$highest;

            /// Appends the body alone: no frame, no api key, no version. After an error nothing is appended.
            ///
            /// # Errors
            /// The version does not exist, or lacks a field that is not at its default; a text is too long.
            pub fn encode_body(&self, version: i16, out: &mut Vec<u8>) -> Result<(), crate::codec::EncodeError> {
                super::message::encode_body(Self::NAME, Self::VERSIONS, self, version, out)
            }

            /// Reads the body alone. What follows it is left to the caller.
            ///
            /// # Errors
            /// The version does not exist, or the bytes are not such a record.
            pub fn decode_body(
                reader: &mut crate::codec::Reader<'_>,
                version: i16,
            ) -> Result<Self, crate::codec::DecodeError> {
                super::message::decode_body(Self::NAME, Self::VERSIONS, reader, version)
            }
        }
    };
}

/// An enum of records: `Variant(Record) = number, "KAFKAS_NAME"`.
macro_rules! message_enum {
    (
        $(#[$doc:meta])*
        $enum:ident, $(#[$number_doc:meta])* $number:ident: $number_type:ty;
        $($(#[$variant_doc:meta])* $variant:ident($record:ident) = $value:literal, $name:literal;)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $enum {
            $($(#[$variant_doc])* $variant($record),)*
        }

        impl $enum {
            $(#[$number_doc])*
            pub fn $number(&self) -> $number_type {
                match self {
                    $(Self::$variant(_) => $value,)*
                }
            }

            /// Kafka's name, as its dump tool prints it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// The lowest version that exists, inclusive.
            pub fn lowest_version(&self) -> i16 {
                match self {
                    $(Self::$variant(_) => *$record::VERSIONS.start(),)*
                }
            }

            /// The highest version that exists, inclusive.
            pub fn highest_version(&self) -> i16 {
                match self {
                    $(Self::$variant(_) => *$record::VERSIONS.end(),)*
                }
            }

            /// Appends the body alone: no frame, no number, no version. After an error nothing is appended.
            ///
            /// # Errors
            /// The version does not exist, or lacks a field that is not at its default; a text is too long.
            pub fn encode_body(&self, version: i16, out: &mut Vec<u8>) -> Result<(), crate::codec::EncodeError> {
                match self {
                    $(Self::$variant(record) => record.encode_body(version, out),)*
                }
            }

            /// Kafka's name and the versions of the record with this number, or `None` when there is no such record.
            pub(super) fn known(number: $number_type) -> Option<(&'static str, std::ops::RangeInclusive<i16>)> {
                match number {
                    $($value => Some(($record::NAME, $record::VERSIONS)),)*
                    _ => None,
                }
            }

            /// Reads the body of the record with this number, or returns `None` when there is no such record.
            pub(super) fn decode_body(
                number: $number_type,
                reader: &mut crate::codec::Reader<'_>,
                version: i16,
            ) -> Option<Result<Self, crate::codec::DecodeError>> {
                Some(match number {
                    $($value => $record::decode_body(reader, version).map(Self::$variant),)*
                    _ => return None,
                })
            }

            /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
            pub fn fields(&self, version: i16) -> super::Fields {
                match self {
                    $(Self::$variant(record) => record.fields(version),)*
                }
            }
        }

        $(
            impl From<$record> for $enum {
                fn from(record: $record) -> Self {
                    Self::$variant(record)
                }
            }
        )*
    };
}

pub(super) use {message, message_enum};
