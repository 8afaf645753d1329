//! Stops a request from claiming more than it has.
//!
//! kafka-protocol makes room for as many elements as an array says it has, before it reads the first one: a request of a
//! dozen bytes could ask for all memory there is. In flexible versions (KIP-482) the length of everything is a varint, and
//! nothing else is longer than what is left of the request; so a larger varint is a lie.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::ByteBuf;
use std::ops::Range;

/// Tags may be numbers that are larger than what is left. Kafka's are small.
const TAG_MAX: u64 = 1024;

/// Bytes of a flexible request, which are read with suspicion.
pub(crate) struct Guarded {
    bytes: Bytes,
    varint: u64,
    shift: u32,
}

impl Guarded {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, varint: 0, shift: 0 }
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    /// Varints, and booleans, are read by single bytes; nothing else is.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.varint |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        // The fifth byte is the last one of a varint, whatever it says.
        if byte < 0x80 || self.shift >= 35 {
            let claimed = std::mem::take(&mut self.varint);
            self.shift = 0;
            let available = self.bytes.remaining();
            // A length is one more than it says.
            if claimed > (available as u64 + 1).max(TAG_MAX) {
                let requested = usize::try_from(claimed).unwrap_or(usize::MAX);
                return Err(TryGetError { requested, available });
            }
        }
        Ok(byte)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::alter_partition_request::{PartitionData, TopicData};
    use kafka_protocol::messages::{AlterPartitionRequest, BrokerId};
    use kafka_protocol::protocol::{Decodable, Encodable};

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<AlterPartitionRequest, String> {
        let mut guarded = Guarded::new(Bytes::copy_from_slice(bytes));
        AlterPartitionRequest::decode(&mut guarded, 3).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_array_that_claims_more_than_there_is_takes_no_memory() {
        let start = [&[0; 12][..], &[]].concat();
        for claim in [
            &[0xff, 0xff, 0xff, 0xff, 0x0f][..],
            &[0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff, 0xff, 0x7f],
            &[0x81, 0x10],
        ] {
            let error = decoded(&[&start, claim].concat()).unwrap_err();
            assert!(error.contains("bytes"), "{error}");
        }
    }

    #[test]
    fn what_is_there_is_read() {
        let partitions: Vec<_> = (0..3_000)
            .map(|index| PartitionData::default().with_partition_index(index).with_new_isr_with_epochs(Vec::new()))
            .collect();
        let request = AlterPartitionRequest::default()
            .with_broker_id(BrokerId(1))
            .with_topics(vec![TopicData::default().with_partitions(partitions)]);
        let mut bytes = Vec::new();
        request.encode(&mut bytes, 3).unwrap();
        assert_eq!(decoded(&bytes).unwrap(), request);
        for cut in [0, 5, 12, 13, 40, bytes.len() - 1] {
            assert!(decoded(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}
