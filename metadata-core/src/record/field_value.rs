//! The fields of a record as plain values with Kafka's names, for whoever prints or compares records.

use std::fmt;

use crate::uuid::Uuid;

/// A struct's fields: Kafka's lower camel case name and the value, in the order of Kafka's schema.
pub type Fields = Vec<(&'static str, FieldValue)>;

/// The value of a field.
#[derive(Clone, PartialEq)]
pub enum FieldValue {
    /// True or false.
    Bool(bool),
    /// Any integer, id or epoch.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A 16-byte id.
    Uuid(Uuid),
    /// The elements of an array.
    List(Vec<FieldValue>),
    /// A struct within the record.
    Struct(Fields),
    /// Null, where a field may be null.
    Null,
    /// A value that must not be shown unless the operator asked for secrets. Its own Debug output hides it.
    Secret(Box<FieldValue>),
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Bytes(value) => value.fmt(f),
            Self::Uuid(value) => value.fmt(f),
            Self::List(values) => f.debug_list().entries(values).finish(),
            Self::Struct(fields) => f.debug_map().entries(fields.iter().map(|(name, value)| (name, value))).finish(),
            Self::Null => f.write_str("null"),
            Self::Secret(_) => Redacted.fmt(f),
        }
    }
}

/// Stands for a secret in Debug output.
pub(super) struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Redacted {
    /// Hides the value, but not whether there is one.
    pub(super) fn option<T>(value: &Option<T>) -> Option<Self> {
        value.as_ref().map(|_| Self)
    }
}
