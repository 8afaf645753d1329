//! Control records: what Raft itself writes into the metadata log and into snapshots. The record's key says which it
//! is, the value is its message.

use super::ControlRecord;
use crate::codec::{DecodeError, DecodeReason, EncodeError, Reader, put_i16};

/// Version of the key, and of every message: Kafka 3.9 reads and writes nothing else, whatever the message's own field
/// `version` says (`ControlRecordType.java`, `ControlRecordUtils.java`).
const VERSION: i16 = 0;

impl ControlRecord {
    /// Appends the record's key to `key` and its value to `value`. After an error nothing is appended.
    ///
    /// # Errors
    /// A field is set that version 0 of the message lacks; a text is too long.
    pub fn encode(&self, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encode_body(VERSION, value)?;
        put_i16(key, VERSION);
        put_i16(key, self.record_type());
        Ok(())
    }

    /// Reads a control record from its key and value, both to the last byte.
    ///
    /// # Errors
    /// The key's version is not 0, its type is unknown, or the value is not that message. Types 0 and 1, the ends of
    /// producers' transactions, are unknown here: they must not appear in a metadata log.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, DecodeError> {
        let in_key = |error: DecodeError| error.in_field("controlKey");
        let mut key = Reader::new(key);
        let version = key.i16().map_err(in_key)?;
        if version != VERSION {
            let reason =
                DecodeReason::UnsupportedVersion { found: i64::from(version), lowest: VERSION, highest: VERSION };
            return Err(in_key(DecodeError::new(0, reason)));
        }
        let type_offset = key.offset();
        let found = key.i16().map_err(in_key)?;
        key.finish().map_err(in_key)?;
        let unknown = || in_key(DecodeError::new(type_offset, DecodeReason::UnknownControlType { found }));

        let (name, _) = Self::known(found).ok_or_else(unknown)?;
        let mut value = Reader::new(value);
        let record = Self::decode_body(found, &mut value, VERSION).ok_or_else(unknown)??;
        value.finish().map_err(|error| error.in_record(name))?;
        Ok(record)
    }
}
