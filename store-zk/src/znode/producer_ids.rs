//! `/latest_producer_id_block`: the last block of producer ids that was handed out (Kafka: `ProducerIdBlockZNode`).

use bytes::Bytes;
use metadata_core::id::{NodeId, ProducerId};

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// Ids in a block (Kafka: `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const BLOCK_SIZE: i64 = 1000;

/// A block of producer ids, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// Who got it, if a broker did.
    pub broker: Option<NodeId>,
    /// First id, inclusive.
    pub first: i64,
    /// Last id, inclusive.
    pub last: i64,
}

impl ProducerIdBlock {
    /// The block that makes `next` the first id not handed out: it ends right before `next`. So nothing is skipped after
    /// a rollback, and reading it back gives `next` again. (Kafka writes the block that *starts* at `next` and so skips
    /// up to 1000 ids.) `None` when no id was handed out.
    pub fn before(next: ProducerId) -> Option<Self> {
        (next.0 > 0).then(|| Self { broker: None, first: (next.0 - BLOCK_SIZE).max(0), last: next.0 - 1 })
    }

    /// The first id that was not handed out.
    pub fn next(&self) -> ProducerId {
        ProducerId(self.last + 1)
    }

    /// Decodes it. `None` when there is no data: the node is a container until the first block is handed out.
    ///
    /// # Errors
    /// Not a JSON object, a value of the wrong type, or a block that is none.
    pub fn decode(data: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        let Some(data) = data.filter(|data| !data.is_empty()) else { return Ok(None) };
        let json = Object::parse(data)?;
        let id = |key: &str| {
            let text = json.string(key)?;
            text.parse::<i64>()
                .ok()
                .filter(|id| (0..i64::MAX).contains(id))
                .ok_or_else(|| Malformed::new(format!("`{key}` {text:?} is not a producer id")))
        };
        let (first, last) = (id("block_start")?, id("block_end")?);
        if first > last {
            return Err(Malformed::new(format!("the block starts at {first} and ends before it, at {last}")));
        }
        Ok(Some(Self { broker: NodeId(json.int("broker")?).known(), first, last }))
    }

    /// Encodes it as version 1; both ends are strings.
    pub fn encode(&self) -> Bytes {
        ObjectWriter::new()
            .int("version", 1)
            .int("broker", self.broker.unwrap_or(NodeId::NONE).0)
            .string("block_start", &self.first.to_string())
            .string("block_end", &self.last.to_string())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kafkas_block_is_read_and_written() {
        let json = r#"{"version":1,"broker":4,"block_start":"3000","block_end":"3999"}"#;
        let block = ProducerIdBlock::decode(Some(json.as_bytes())).unwrap().unwrap();
        assert_eq!((block.broker, block.next()), (Some(NodeId(4)), ProducerId(4000)));
        assert_eq!(block.encode(), json);
    }

    #[test]
    fn a_container_is_no_block() {
        assert_eq!(ProducerIdBlock::decode(None), Ok(None));
        assert_eq!(ProducerIdBlock::decode(Some(b"")), Ok(None));
    }

    #[test]
    fn blocks_that_are_none_are_refused() {
        let cases = [
            r#"{"broker":4,"block_start":3000,"block_end":"3999"}"#,
            r#"{"broker":4,"block_start":"3000","block_end":"2999"}"#,
            r#"{"broker":4,"block_start":"-1","block_end":"2999"}"#,
            r#"{"broker":4,"block_start":"0","block_end":"9223372036854775807"}"#,
            r#"{"broker":"4","block_start":"0","block_end":"999"}"#,
            "{}",
        ];
        for bad in cases {
            assert!(ProducerIdBlock::decode(Some(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_handed_out_is_no_block() {
        assert_eq!(ProducerIdBlock::before(ProducerId(0)), None);
        assert_eq!(ProducerIdBlock::before(ProducerId(-1)), None);
        assert_eq!(ProducerIdBlock::before(ProducerId(1)).map(|block| (block.first, block.last)), Some((0, 0)));
    }

    proptest! {
        #[test]
        fn the_next_id_survives_the_round_trip(next in 1..i64::MAX) {
            let block = ProducerIdBlock::before(ProducerId(next)).unwrap();
            let read = ProducerIdBlock::decode(Some(&block.encode())).unwrap().unwrap();
            prop_assert_eq!(read.next(), ProducerId(next));
            prop_assert!(block.first >= 0 && block.last - block.first < BLOCK_SIZE);
        }
    }
}
