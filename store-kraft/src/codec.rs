//! The one place where bincode is used: values that nobody but this crate reads.
//!
//! Each value is `format byte | kind | version | bincode`. The format byte stands for bincode 2 with its standard
//! configuration; another codec gets another byte. The version counts the layouts of a kind, which bincode can't evolve by
//! itself: a changed struct is a new version, and the old struct stays for as long as its bytes may lie on a disk. Sizes
//! are limited before anything is allocated, and no byte may be left over.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// bincode 2, `config::standard()`.
const FORMAT: u8 = 1;

/// Largest value, inclusive: an entry with [`GROUP_BYTES_MAX`](crate::quorum::GROUP_BYTES_MAX) and what is around it.
pub(crate) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a value is. The numbers are on disk: they are never given to another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An entry of Raft's log.
    Entry = 1,
    /// Raft's vote.
    Vote = 2,
    /// The last purged entry of Raft's log.
    Purged = 3,
    /// What ties Raft's log to the Kafka log.
    Sidecar = 4,
    /// The position of the cached image.
    CachePosition = 5,
    /// Records of the cached image.
    CacheValue = 6,
    /// The directories of the other controllers.
    Directories = 7,
    /// The first message of a connection between controllers.
    Hello = 8,
    /// The answer to it.
    Welcome = 9,
    /// What a controller asks of another.
    PeerRequest = 10,
    /// The answer to it.
    PeerAnswer = 11,
}

/// The version of every kind's present layout. Messages between controllers have the version that both sides agreed on
/// before: theirs stays the same here.
const VERSION: u8 = 1;

/// Why bytes are no such value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("it is not of format {FORMAT}, kind {expected:?}, version {VERSION}, but starts with {found:02x?}")]
    Header { expected: Kind, found: Vec<u8> },
    #[error("it has {0} bytes too many")]
    Trailing(usize),
    #[error("it has {0} bytes, at most {BYTES_MAX} are allowed")]
    TooLarge(usize),
    #[error(transparent)]
    Decode(#[from] bincode::error::DecodeError),
    #[error(transparent)]
    Encode(#[from] bincode::error::EncodeError),
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<BYTES_MAX>()
}

/// The bytes of a value.
pub(crate) fn encode<T: Serialize>(kind: Kind, value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![FORMAT, kind as u8, VERSION];
    let mut writer = VecWriter(&mut bytes);
    bincode::serde::encode_into_writer(value, &mut writer, config())?;
    match bytes.len() {
        length if length > BYTES_MAX => Err(CodecError::TooLarge(length)),
        _ => Ok(bytes),
    }
}

struct VecWriter<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for VecWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// The value with these bytes.
pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > BYTES_MAX {
        return Err(CodecError::TooLarge(bytes.len()));
    }
    let Some(body) = bytes.strip_prefix(&[FORMAT, kind as u8, VERSION]) else {
        return Err(CodecError::Header { expected: kind, found: bytes.iter().take(3).copied().collect() });
    };
    let (value, read) = bincode::serde::decode_from_slice(body, config())?;
    match body.len() - read {
        0 => Ok(value),
        rest => Err(CodecError::Trailing(rest)),
    }
}

/// Bytes that are written as they are, not one by one. Debug shows how many: they may hold secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Blob(pub(crate) Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BlobVisitor;
        impl Visitor<'_> for BlobVisitor {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes.into()))
            }
        }
        deserializer.deserialize_byte_buf(BlobVisitor).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Sample {
        number: u64,
        text: String,
        maybe: Option<i32>,
        blob: Blob,
    }

    fn sample() -> Sample {
        Sample { number: 300, text: "kraft".into(), maybe: Some(-2), blob: Blob(Bytes::from_static(&[7, 8])) }
    }

    #[test]
    fn the_bytes_stay_what_they_are() {
        let bytes = encode(Kind::Vote, &sample()).unwrap();
        let golden = [1, 2, 1, 0xfb, 0x2c, 0x01, 5, b'k', b'r', b'a', b'f', b't', 1, 3, 2, 7, 8];
        assert_eq!(bytes, golden);
        assert_eq!(decode::<Sample>(Kind::Vote, &golden).unwrap(), sample());
    }

    #[test]
    fn another_kind_format_version_or_length_is_refused() {
        let bytes = encode(Kind::Vote, &sample()).unwrap();
        assert!(matches!(decode::<Sample>(Kind::Entry, &bytes), Err(CodecError::Header { .. })));
        for at in 0..3 {
            let mut other = bytes.clone();
            other[at] += 1;
            assert!(matches!(decode::<Sample>(Kind::Vote, &other), Err(CodecError::Header { .. })));
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(decode::<Sample>(Kind::Vote, &longer), Err(CodecError::Trailing(1))));
        for cut in 0..bytes.len() {
            assert!(decode::<Sample>(Kind::Vote, &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_hostile_length_is_an_error_and_no_allocation() {
        // A blob that says it has 2^60 bytes.
        let mut bytes = vec![1, 2, 1, 0, 0, 0, 0xfd];
        bytes.extend((1u64 << 60).to_le_bytes());
        assert!(decode::<Sample>(Kind::Vote, &bytes).is_err());
    }

    #[test]
    fn debug_output_hides_the_bytes() {
        assert_eq!(format!("{:?}", Blob(Bytes::from_static(b"secret"))), "6 bytes");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut headed = vec![1, 2, 1];
            headed.extend(bytes);
            let _ = decode::<Sample>(Kind::Vote, &headed);
        }
    }
}
