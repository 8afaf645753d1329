//! How each type of a field is written, read and shown. The generated code is a list of calls of these.

use super::field_value::{FieldValue, Fields};
use crate::codec::{
    DecodeError, DecodeReason, EncodeError, EncodeReason, Reader, put_bool, put_compact_bytes, put_compact_length,
    put_compact_null, put_compact_string, put_f64, put_i8, put_i16, put_i32, put_i64, put_u16, put_uuid,
};
use crate::id::{
    AclId, BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId,
    TimestampMs, TopicId,
};
use crate::uuid::Uuid;

/// So many elements of an array are made room for at once; more only as they are really there. A few bytes can declare
/// an array that takes many times their space.
const PREALLOCATED_MAX: usize = 1024;

/// A type that a field can have. `version` is that of the record around it; only structs care.
pub(super) trait Wire: Sized {
    /// The fewest bytes that a value takes: bounds what a declared array may claim.
    const SIZE_MIN: usize = 1;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError>;

    fn value(&self, version: i16) -> FieldValue;
}

/// A type whose encoding starts with its length, so that a null can be told from it.
pub(super) trait Prefixed: Wire {
    /// Reads what follows the length.
    fn get_rest(reader: &mut Reader<'_>, version: i16, length: usize) -> Result<Self, DecodeError>;
}

/// Writes a field; an error names it.
pub(super) fn put_field(out: &mut Vec<u8>, version: i16, name: &str, value: &impl Wire) -> Result<(), EncodeError> {
    value.put(version, out).map_err(|error| error.in_field(name))
}

/// Reads a field; an error names it.
pub(super) fn get_field<T: Wire>(reader: &mut Reader<'_>, version: i16, name: &str) -> Result<T, DecodeError> {
    T::get(reader, version).map_err(|error| error.in_field(name))
}

/// The error of a field that is set although `version` lacks it.
pub(super) fn not_in_version(version: i16, name: &str) -> EncodeError {
    EncodeError::new(EncodeReason::NotInVersion { version }).in_field(name)
}

/// Lists the fields of a struct that its version has.
pub(super) struct FieldLister {
    version: i16,
    fields: Fields,
}

impl FieldLister {
    pub(super) fn new(version: i16) -> Self {
        Self { version, fields: Fields::new() }
    }

    pub(super) fn add(mut self, since: i16, name: &'static str, value: &impl Wire) -> Self {
        if self.version >= since {
            self.fields.push((name, value.value(self.version)));
        }
        self
    }

    pub(super) fn add_secret(mut self, since: i16, name: &'static str, value: &impl Wire) -> Self {
        if self.version >= since {
            self.fields.push((name, FieldValue::Secret(Box::new(value.value(self.version)))));
        }
        self
    }

    pub(super) fn finish(self) -> Fields {
        self.fields
    }
}

macro_rules! wire_plain {
    ($($type:ty: $size:literal, $put:ident, $get:ident, $value:expr;)*) => {$(
        impl Wire for $type {
            const SIZE_MIN: usize = $size;

            fn put(&self, _version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                $put(out, *self);
                Ok(())
            }

            fn get(reader: &mut Reader<'_>, _version: i16) -> Result<Self, DecodeError> {
                reader.$get()
            }

            fn value(&self, _version: i16) -> FieldValue {
                $value(*self)
            }
        }
    )*};
}

wire_plain! {
    bool: 1, put_bool, bool, FieldValue::Bool;
    i8: 1, put_i8, i8, |value| FieldValue::Int(i64::from(value));
    i16: 2, put_i16, i16, |value| FieldValue::Int(i64::from(value));
    i32: 4, put_i32, i32, |value| FieldValue::Int(i64::from(value));
    i64: 8, put_i64, i64, FieldValue::Int;
    u16: 2, put_u16, u16, |value| FieldValue::Int(i64::from(value));
    f64: 8, put_f64, f64, FieldValue::Double;
    Uuid: 16, put_uuid, uuid, FieldValue::Uuid;
}

macro_rules! wire_newtype {
    ($($type:ident($inner:ty),)*) => {$(
        impl Wire for $type {
            const SIZE_MIN: usize = <$inner>::SIZE_MIN;

            fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                self.0.put(version, out)
            }

            fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
                <$inner>::get(reader, version).map(Self)
            }

            fn value(&self, version: i16) -> FieldValue {
                self.0.value(version)
            }
        }
    )*};
}

wire_newtype! {
    NodeId(i32),
    PartitionId(i32),
    LeaderEpoch(i32),
    PartitionEpoch(i32),
    BrokerEpoch(i64),
    ProducerId(i64),
    TimestampMs(i64),
    TopicId(Uuid),
    DirectoryId(Uuid),
    AclId(Uuid),
    IncarnationId(Uuid),
}

impl Wire for String {
    fn put(&self, _version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_compact_string(out, self)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let length = reader.compact_length_not_null()?;
        Self::get_rest(reader, version, length)
    }

    fn value(&self, _version: i16) -> FieldValue {
        FieldValue::Text(self.clone())
    }
}

impl Prefixed for String {
    fn get_rest(reader: &mut Reader<'_>, _version: i16, length: usize) -> Result<Self, DecodeError> {
        reader.text(length).map(str::to_owned)
    }
}

impl Wire for Vec<u8> {
    fn put(&self, _version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_compact_bytes(out, self)
    }

    fn get(reader: &mut Reader<'_>, _version: i16) -> Result<Self, DecodeError> {
        reader.compact_bytes().map(<[u8]>::to_vec)
    }

    fn value(&self, _version: i16) -> FieldValue {
        FieldValue::Bytes(self.clone())
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_compact_length(out, self.len())?;
        for (index, element) in self.iter().enumerate() {
            element.put(version, out).map_err(|error| error.in_element(index))?;
        }
        Ok(())
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let length = reader.compact_length_not_null()?;
        Self::get_rest(reader, version, length)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::List(self.iter().map(|element| element.value(version)).collect())
    }
}

impl<T: Wire> Prefixed for Vec<T> {
    fn get_rest(reader: &mut Reader<'_>, version: i16, length: usize) -> Result<Self, DecodeError> {
        let (needed, remaining) = (length.saturating_mul(T::SIZE_MIN), reader.remaining());
        if needed > remaining {
            return Err(reader.error(DecodeReason::Truncated { needed, remaining }));
        }
        let mut elements = Self::with_capacity(length.min(PREALLOCATED_MAX));
        for index in 0..length {
            elements.push(T::get(reader, version).map_err(|error| error.in_element(index))?);
        }
        Ok(elements)
    }
}

impl<T: Prefixed> Wire for Option<T> {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Some(value) => value.put(version, out),
            None => {
                put_compact_null(out);
                Ok(())
            }
        }
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        reader.compact_length()?.map(|length| T::get_rest(reader, version, length)).transpose()
    }

    fn value(&self, version: i16) -> FieldValue {
        self.as_ref().map_or(FieldValue::Null, |value| value.value(version))
    }
}
