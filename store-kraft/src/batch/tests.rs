use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId, Offset, TimestampMs};
use metadata_core::record::{
    ControlRecord, KRaftVersionRange, KRaftVersionRecord, LeaderChangeMessage, LeaderChangeVoter, QuorumVoter,
    QuorumVoterEndpoint, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use proptest::prelude::*;

use super::*;

const TIME: TimestampMs = TimestampMs(1_700_000_000_000);

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn control(base: i64, epoch: i32, records: &[ControlRecord]) -> Vec<u8> {
    let mut builder = BatchBuilder::control(TIME);
    for record in records {
        builder.push_control(record).unwrap();
    }
    builder.finish(Offset(base), KRaftLeaderEpoch(epoch))
}

fn data(base: i64, epoch: i32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = BatchBuilder::data(TIME);
    for frame in frames {
        builder.push(frame).unwrap();
    }
    builder.finish(Offset(base), KRaftLeaderEpoch(epoch))
}

fn leader_change() -> ControlRecord {
    let voters = vec![LeaderChangeVoter { voter_id: NodeId(3000), ..Default::default() }];
    let granting_voters = voters.clone();
    LeaderChangeMessage { leader_id: NodeId(3000), voters, granting_voters, ..Default::default() }.into()
}

fn snapshot_header() -> ControlRecord {
    SnapshotHeaderRecord { last_contained_log_timestamp: TIME, ..Default::default() }.into()
}

fn voters() -> ControlRecord {
    let endpoint =
        QuorumVoterEndpoint { name: "CONTROLLER".into(), host: "localhost".into(), port: 9093, ..Default::default() };
    let voter = QuorumVoter {
        voter_id: NodeId(3000),
        voter_directory_id: DirectoryId("J8aAPcfLQt2bqs1JT_rMgQ".parse().unwrap()),
        endpoints: vec![endpoint],
        kraft_version_feature: KRaftVersionRange { max_supported_version: 1, ..Default::default() },
        ..Default::default()
    };
    VotersRecord { voters: vec![voter], ..Default::default() }.into()
}

/// The batches that Kafka 3.9 itself was seen to accept byte by byte.
fn examples() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        (
            "leader change",
            control(0, 1, &[leader_change()]),
            "00000000000000000000004f0000000102e75949580020000000000000018bcfe568000000018bcfe56800ffffffffffffffff
             ffffffffffff000000013a000000080000000226000000000bb80200000bb8000200000bb8000000",
        ),
        (
            "bootstrap",
            data(
                1,
                1,
                &[
                    unhex("01170001001212426f6f747374726170207265636f726473"),
                    unhex("010c00116d657461646174612e76657273696f6e001500"),
                    unhex("0115000200"),
                    unhex("01180000"),
                ],
            ),
            "0000000000000001000000850000000102f4d46efe0000000000030000018bcfe568000000018bcfe56800ffffffffffffffff
             ffffffffffff000000043c000000013001170001001212426f6f747374726170207265636f726473003a000002012e010c0011
             6d657461646174612e76657273696f6e0015000016000004010a0115000200001400000601080118000000",
        ),
        (
            "snapshot header",
            control(0, 1, &[snapshot_header()]),
            "0000000000000000000000470000000102c7ac78040020000000000000018bcfe568000000018bcfe56800ffffffffffffffff
             ffffffffffff000000012a00000008000000031600000000018bcfe568000000",
        ),
        (
            "snapshot footer",
            control(1, 1, &[SnapshotFooterRecord::default().into()]),
            "00000000000000010000003f00000001028f6608e60020000000000000018bcfe568000000018bcfe56800ffffffffffffffff
             ffffffffffff000000011a00000008000000040600000000",
        ),
        (
            "snapshot header with kraft.version and voters",
            control(
                0,
                0,
                &[snapshot_header(), KRaftVersionRecord { kraft_version: 1, ..Default::default() }.into(), voters()],
            ),
            "00000000000000000000009a0000000002049a1e1c0020000000020000018bcfe568000000018bcfe56800ffffffffffffffff
             ffffffffffff000000032a00000008000000031600000000018bcfe5680000001e00000208000000050a000000010000820100
             000408000000066e00000200000bb827c6803dc7cb42dd9baacd494ffacc81020b434f4e54524f4c4c45520a6c6f63616c686f
             73742385000000000100000000",
        ),
    ]
}

#[test]
fn the_bytes_are_those_that_kafka_accepts() {
    for (name, built, expected) in examples() {
        assert_eq!(built, unhex(expected), "{name}");
    }
}

#[test]
fn what_kafka_accepts_is_read_back() {
    for (name, _, bytes) in examples() {
        let bytes = unhex(bytes);
        let batch = Batch::parse(&bytes).unwrap_or_else(|flaw| panic!("{name}: {flaw}"));
        assert_eq!(batch.bytes().len(), bytes.len(), "{name}");
        assert_eq!(batch.header().timestamp, TIME, "{name}");
        let records: Vec<_> = batch.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len(), batch.header().records as usize, "{name}");
        for record in &records {
            assert_eq!(record.key.is_some(), batch.header().control, "{name}");
            assert!(record.control().is_none_or(|control| control.is_ok()), "{name}");
        }
        assert_eq!(records[0].offset, batch.header().base_offset, "{name}");
    }
}

/// Sets a field of a sound batch and mends the checksum, so that only the field is wrong.
fn with_field(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = data(5, 3, &[vec![1, 20, 0, 0], vec![1, 20, 0, 0]]);
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[test]
fn each_broken_rule_is_named_with_its_place() {
    // The first record begins at 61: length, attributes, timestamp delta, offset delta, key length, value length.
    for (name, at, bytes, expected) in [
        ("negative base offset", 0, &(-1i64).to_be_bytes()[..], "baseOffset is -1, offsets start at 0 (at byte 0 "),
        ("offset overflow", 0, &(i64::MAX - 1).to_be_bytes()[..], "would end past the largest offset (at byte 0 "),
        ("short length", 8, &40i32.to_be_bytes()[..], "the length field says 40, possible is 49 to 8388596"),
        ("negative length", 8, &(-1i32).to_be_bytes()[..], "the length field says -1"),
        ("huge length", 8, &i32::MAX.to_be_bytes()[..], "the length field says 2147483647"),
        ("negative epoch", 12, &(-1i32).to_be_bytes()[..], "partitionLeaderEpoch is -1"),
        ("old magic", 16, &[1][..], "the magic byte is 1"),
        ("compressed", 21, &1i16.to_be_bytes()[..], "attributes is 1, only the control bit may be set"),
        ("transactional", 21, &0x10i16.to_be_bytes()[..], "attributes is 16"),
        ("last offset delta", 23, &2i32.to_be_bytes()[..], "lastOffsetDelta is 2"),
        ("no records", 57, &0i32.to_be_bytes()[..], "record count is 0"),
        ("too many records", 57, &10_001i32.to_be_bytes()[..], "record count is 10001"),
        ("record length", 61, &[0x7f][..], "record 0 of the batch: its length is negative"),
        ("record longer than the batch", 61, &[0x7e][..], "record 0 of the batch: it is longer than the batch"),
        ("timestamp delta", 63, &[2][..], "record 0 of the batch: its timestamp differs"),
        ("key", 65, &[0][..], "record 0 of the batch: a metadata record has a key"),
        ("empty value", 66, &[0][..], "record 0 of the batch: it has headers, or bytes follow"),
        ("headers", 71, &[2][..], "record 0 of the batch: it has headers"),
        ("control bit on data", 21, &CONTROL_BIT.to_be_bytes()[..], "record 0 of the batch: a control record has no"),
    ] {
        let flaw = Batch::parse(&with_field(at, bytes)).map(|_| ()).unwrap_err();
        assert!(flaw.to_string().contains(expected), "{name}: {flaw}");
    }
}

#[test]
fn control_types_of_producers_are_refused() {
    // The key of the only record: behind its length, attributes, two deltas and the key's length.
    let key = HEADER_LEN + 5;
    for (bytes, sound) in [
        ([0, 0, 0, 0], false),
        ([0, 0, 0, 1], false),
        ([0, 0, 0, 2], true),
        ([0, 0, 0, 6], true),
        // Of a Kafka to come: the batch is sound, the record is not known.
        ([0, 0, 0, 7], true),
        ([0, 0, 0x7f, 0xff], true),
        ([0, 0, 0xff, 0xff], false),
        ([0xff, 0xff, 0, 2], false),
    ] {
        let mut batch = control(0, 1, &[leader_change()]);
        batch[key..key + 4].copy_from_slice(&bytes);
        let crc = crc32c::crc32c(&batch[CRC_START..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(Batch::parse(&batch).is_ok(), sound, "{bytes:?}");
    }
}

#[test]
fn a_batch_holds_ten_thousand_records_and_no_more() {
    let mut builder = BatchBuilder::data(TIME);
    for _ in 0..BATCH_RECORDS_MAX {
        builder.push(&[1, 20, 0, 0]).unwrap();
    }
    assert_eq!(builder.push(&[1, 20, 0, 0]), Err(BatchFull::Records));
    let bytes = builder.finish(Offset(0), KRaftLeaderEpoch(1));
    assert_eq!(Batch::parse(&bytes).unwrap().header().records as usize, BATCH_RECORDS_MAX);
}

/// Kafka's writer may put several appends into a batch, up to its bytes.
#[test]
fn a_batch_of_another_writer_may_hold_more_records() {
    let mut builder = BatchBuilder::data(TIME);
    for _ in 0..BATCH_RECORDS_MAX {
        builder.push(&[1, 20, 0, 0]).unwrap();
    }
    let mut bytes = builder.finish(Offset(0), KRaftLeaderEpoch(1));
    // Length, attributes, time delta, offset delta 10 000, no key, four bytes of value, no headers.
    bytes.extend([24, 0, 0, 0xa0, 0x9c, 0x01, 1, 8, 1, 20, 0, 0, 0]);
    let length = (bytes.len() - LENGTH_END) as i32;
    for (at, field) in [(8, length), (23, 10_000), (57, 10_001)] {
        bytes[at..at + 4].copy_from_slice(&field.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[CRC_START..]);
    bytes[17..CRC_START].copy_from_slice(&crc.to_be_bytes());
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!((batch.header().records, batch.records().count()), (10_001, 10_001));

    // More records than there are bytes for can't be.
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(BatchHeader::parse(&bytes).unwrap_err().to_string().contains("record count"));
}

#[test]
fn a_batch_holds_eight_mebibytes_and_no_more() {
    let mut builder = BatchBuilder::data(TIME);
    // Header, four bytes of length, five of fields, four of the value's length, one for the headers.
    let largest = BATCH_BYTES_MAX - HEADER_LEN - 4 - 3 - 1 - 4 - 1;
    assert!(matches!(builder.push(&vec![7; largest + 1]), Err(BatchFull::Bytes(_))));
    assert!(builder.is_empty(), "a refused record leaves the batch as it was");
    builder.push(&vec![7; largest]).unwrap();
    let bytes = builder.finish(Offset(0), KRaftLeaderEpoch(1));
    assert_eq!(bytes.len(), BATCH_BYTES_MAX);
    assert_eq!(Batch::parse(&bytes).unwrap().records().next().unwrap().unwrap().value.len(), largest);
}

#[test]
fn placing_a_batch_elsewhere_leaves_its_checksum_valid() {
    let mut bytes = data(0, 0, &[vec![1, 20, 0, 0]]);
    place(&mut bytes, Offset(77), KRaftLeaderEpoch(9));
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!((batch.header().base_offset, batch.header().epoch), (Offset(77), KRaftLeaderEpoch(9)));
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 1..20)
}

proptest! {
    #[test]
    fn records_come_back_as_they_went_in(frames in frames(), base in 0..i64::MAX / 2, epoch in 0..i32::MAX, time: i64) {
        let mut builder = BatchBuilder::data(TimestampMs(time));
        for frame in &frames {
            builder.push(frame).unwrap();
        }
        let length = builder.len();
        let bytes = builder.finish(Offset(base), KRaftLeaderEpoch(epoch));
        prop_assert_eq!(bytes.len(), length);
        let batch = Batch::parse(&bytes).unwrap();
        prop_assert_eq!(batch.header().timestamp, TimestampMs(time));
        prop_assert_eq!(batch.header().epoch, KRaftLeaderEpoch(epoch));
        prop_assert_eq!(batch.header().end_offset(), Offset(base + frames.len() as i64));
        let read: Vec<Vec<u8>> = batch.records().map(|record| record.unwrap().value.to_vec()).collect();
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn every_cut_is_seen_as_a_cut(frames in frames(), cut in any::<proptest::sample::Index>()) {
        let bytes = data(0, 1, &frames);
        let cut = cut.index(bytes.len());
        prop_assert!(Batch::parse(&bytes[..cut]).unwrap_err().is_truncation());
    }

    #[test]
    fn a_flipped_bit_behind_the_place_is_always_noticed(
        frames in frames(),
        at in any::<proptest::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = data(0, 1, &frames);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Base offset and epoch are not covered by the checksum; the log checks them against their neighbours.
        if (0..8).contains(&at) || (12..16).contains(&at) {
            let _ = Batch::parse(&bytes);
        } else {
            prop_assert!(Batch::parse(&bytes).is_err());
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Batch::parse(&bytes);
    }

    /// Reaches the record parser with garbage by giving it a sound header and checksum.
    #[test]
    fn garbage_behind_a_sound_header_never_panics(
        body in proptest::collection::vec(any::<u8>(), 0..100),
        count in 1i32..4,
        control: bool,
    ) {
        let mut bytes = data(0, 1, &[vec![1]]);
        bytes.truncate(HEADER_LEN);
        bytes.extend(&body);
        let length = (bytes.len() - LENGTH_END) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[21..23].copy_from_slice(&(if control { CONTROL_BIT } else { 0 }).to_be_bytes());
        bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CRC_START..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let _ = Batch::parse(&bytes);
    }
}
