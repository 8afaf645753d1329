//! Kafka's 16-byte ids and their text form.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::URL_SAFE_NO_PAD};

/// Decodes with or without padding, and ignores the bits of the last character that belong to no byte, as Java's
/// URL-safe decoder does.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A 16-byte id. Its text form is Kafka's: URL-safe base64 without padding, 22 characters
/// (`clients/.../common/Uuid.java`). Ordered as its bytes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: expected 16 bytes as URL-safe base64, 22 characters without padding")]
pub struct ParseUuidError {
    text: String,
}

impl Uuid {
    /// All bits zero; Kafka's "no id".
    pub const ZERO: Self = Self([0; 16]);

    /// The id with these bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id made of Java's two halves.
    pub const fn from_u64_pair(most: u64, least: u64) -> Self {
        Self((((most as u128) << 64) | least as u128).to_be_bytes())
    }

    /// The id that is made of the first half of a hash: with the version and variant of a UUID of other data (RFC 9562,
    /// version 8), hence never a reserved one, and without a `-` in front, as Kafka sees to for its own.
    pub const fn of_hash(hash: [u8; 32]) -> Self {
        let [mut a, b, c, d, e, f, mut version, h, mut variant, j, k, l, m, n, o, p, ..] = hash;
        a &= 0x7f;
        version = version & 0x0f | 0x80;
        variant = variant & 0x3f | 0x80;
        Self::from_bytes([a, b, c, d, e, f, version, h, variant, j, k, l, m, n, o, p])
    }

    /// The bytes, most significant first, as on the wire.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Java's two halves: most significant, least significant.
    pub const fn as_u64_pair(&self) -> (u64, u64) {
        let all = u128::from_be_bytes(self.0);
        ((all >> 64) as u64, all as u64)
    }

    /// Whether this is [`Uuid::ZERO`].
    pub const fn is_zero(&self) -> bool {
        u128::from_be_bytes(self.0) == 0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    /// Takes what Kafka takes: up to 24 characters, padded or not. Kafka's own text has no surplus bits in its last
    /// character; a text that has some is another spelling of the same id.
    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        let error = || ParseUuidError { text: text.to_owned() };
        if text.len() > 24 {
            return Err(error());
        }
        let bytes = LENIENT.decode(text).map_err(|_| error())?;
        Ok(Self(bytes.try_into().map_err(|_| error())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_topics_id_has_kafkas_text() {
        assert_eq!(Uuid::from_u64_pair(0, 1).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ".parse(), Ok(Uuid::from_u64_pair(0, 1)));
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ==".parse(), Ok(Uuid::from_u64_pair(0, 1)));
    }

    #[test]
    fn surplus_bits_of_the_last_character_are_ignored_as_in_java() {
        // The last character holds two bits of the id and four that belong to nothing.
        for (text, least) in
            [("AAAAAAAAAAAAAAAAAAAAAR", 1), ("AAAAAAAAAAAAAAAAAAAAAf==", 1), ("AAAAAAAAAAAAAAAAAAAAAg", 2)]
        {
            assert_eq!(text.parse(), Ok(Uuid::from_u64_pair(0, least)), "{text}");
        }
    }

    #[test]
    fn a_text_of_the_wrong_length_or_alphabet_is_refused_with_the_text() {
        for bad in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAQ=====", "kafka"] {
            let error = bad.parse::<Uuid>().unwrap_err();
            assert!(error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn an_id_of_a_hash_is_no_reserved_one_and_begins_with_no_dash() {
        for byte in [0x00, 0x5a, 0xff] {
            let id = Uuid::of_hash([byte; 32]);
            assert_eq!((id.as_bytes()[6] >> 4, id.as_bytes()[8] >> 6), (8, 2));
            assert!(!id.to_string().starts_with('-'), "{id}");
            assert_eq!(id.as_bytes()[15], byte);
        }
        assert_ne!(Uuid::of_hash([1; 32]), Uuid::of_hash([2; 32]));
    }
}
