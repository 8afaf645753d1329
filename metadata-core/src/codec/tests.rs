use super::*;
use crate::uuid::Uuid;

/// The bytes that `put` appends.
fn written(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

/// What `get` makes of all of `bytes`.
fn read<'a, T>(
    bytes: &'a [u8],
    get: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeReason> {
    let mut reader = Reader::new(bytes);
    let value = get(&mut reader).map_err(|error| error.reason())?;
    reader.finish().map_err(|error| error.reason())?;
    Ok(value)
}

#[test]
fn unsigned_varints_have_seven_bits_a_byte_low_bits_first() {
    for (value, bytes) in [
        (0, &[0][..]),
        (1, &[1]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (300, &[0xac, 2]),
        (16383, &[0xff, 0x7f]),
        (16384, &[0x80, 0x80, 1]),
        (u32::MAX, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(written(|out| put_uvarint(out, value)), bytes);
        assert_eq!(read(bytes, Reader::uvarint), Ok(value));
    }
}

#[test]
fn signed_varints_are_in_zigzag_form() {
    for (value, bytes) in [
        (0, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (-2, &[3]),
        (63, &[0x7e]),
        (-64, &[0x7f]),
        (64, &[0x80, 1]),
        (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(written(|out| put_varint(out, value)), bytes);
        assert_eq!(read(bytes, Reader::varint), Ok(value));
        assert_eq!(written(|out| put_varlong(out, i64::from(value))), bytes);
        assert_eq!(read(bytes, Reader::varlong), Ok(i64::from(value)));
    }
    for (value, bytes) in [
        (i64::MAX, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (i64::MIN, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        assert_eq!(written(|out| put_varlong(out, value)), bytes);
        assert_eq!(read(&bytes, Reader::varlong), Ok(value));
    }
}

#[test]
fn a_varint_may_be_longer_than_necessary_but_not_than_its_type() {
    let too_long = Err(DecodeReason::VarintTooLong { bits: 32 });
    assert_eq!(read(&[0x81, 0], Reader::uvarint), Ok(1));
    assert_eq!(read(&[0x81, 0x80, 0x80, 0x80, 0], Reader::uvarint), Ok(1));
    assert_eq!(read(&[0x81, 0x80, 0x80, 0x80, 0x80, 0], Reader::uvarint), too_long);
    assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x10], Reader::uvarint), too_long);
    assert_eq!(read(&[0xff; 5], Reader::varint), Err(DecodeReason::VarintTooLong { bits: 32 }));
    let mut long = [0xff; 10];
    long[9] = 2;
    assert_eq!(read(&long, Reader::varlong), Err(DecodeReason::VarintTooLong { bits: 64 }));
    assert_eq!(read(&[0x80], Reader::uvarint), Err(DecodeReason::Truncated { needed: 1, remaining: 0 }));
}

#[test]
fn fixed_size_values_are_big_endian() {
    assert_eq!(written(|out| put_i8(out, -2)), [0xfe]);
    assert_eq!(written(|out| put_i16(out, -2)), [0xff, 0xfe]);
    assert_eq!(written(|out| put_u16(out, 9092)), [0x23, 0x84]);
    assert_eq!(written(|out| put_i32(out, 1)), [0, 0, 0, 1]);
    assert_eq!(written(|out| put_u32(out, u32::MAX)), [0xff; 4]);
    assert_eq!(written(|out| put_i64(out, 1)), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(written(|out| put_f64(out, 1_048_576.0)), [0x41, 0x30, 0, 0, 0, 0, 0, 0]);
    assert_eq!(written(|out| put_bool(out, true)), [1]);

    assert_eq!(read(&[0xfe], Reader::i8), Ok(-2));
    assert_eq!(read(&[0xff, 0xfe], Reader::i16), Ok(-2));
    assert_eq!(read(&[0x23, 0x84], Reader::u16), Ok(9092));
    assert_eq!(read(&[0, 0, 0, 1], Reader::i32), Ok(1));
    assert_eq!(read(&[0xff; 4], Reader::u32), Ok(u32::MAX));
    assert_eq!(read(&[0, 0, 0, 0, 0, 0, 0, 1], Reader::i64), Ok(1));
    assert_eq!(read(&[0x41, 0x30, 0, 0, 0, 0, 0, 0], Reader::f64), Ok(1_048_576.0));
    let id = Uuid::from_u64_pair(1, 2);
    assert_eq!(read(&written(|out| put_uuid(out, id)), Reader::uuid), Ok(id));
}

#[test]
fn any_byte_but_zero_is_true_as_in_kafka() {
    for byte in 0..=u8::MAX {
        assert_eq!(read(&[byte], Reader::bool), Ok(byte != 0));
    }
}

#[test]
fn a_compact_length_is_one_more_and_zero_is_null() {
    assert_eq!(read(&[0], Reader::compact_length), Ok(None));
    assert_eq!(read(&[1], Reader::compact_length), Ok(Some(0)));
    assert_eq!(read(&[0], Reader::compact_length_not_null), Err(DecodeReason::Null));
    assert_eq!(written(put_compact_null), [0]);
    assert_eq!(written(|out| put_compact_length(out, 127).unwrap()), [0x80, 1]);
    for length in [i32::MAX as usize, usize::MAX] {
        let error = put_compact_length(&mut Vec::new(), length).unwrap_err();
        assert_eq!(error.reason(), EncodeReason::TooLong { length });
    }
}

#[test]
fn strings_and_bytes_come_back() {
    for text in ["", "foo", "中é"] {
        let bytes = written(|out| put_compact_string(out, text).unwrap());
        assert_eq!(read(&bytes, Reader::compact_string), Ok(text));
        assert_eq!(read(&bytes, Reader::compact_bytes), Ok(text.as_bytes()));
    }
}

#[test]
fn a_string_has_kafkas_greatest_length_in_both_directions() {
    let longest = "x".repeat(STRING_BYTES_MAX);
    let bytes = written(|out| put_compact_string(out, &longest).unwrap());
    assert_eq!(read(&bytes, Reader::compact_string), Ok(longest.as_str()));

    let length = STRING_BYTES_MAX + 1;
    let error = put_compact_string(&mut Vec::new(), &"x".repeat(length)).unwrap_err();
    assert_eq!(error.reason(), EncodeReason::StringTooLong { length });
    let bytes = written(|out| put_compact_bytes(out, &vec![b'x'; length]).unwrap());
    assert_eq!(read(&bytes, Reader::compact_string), Err(DecodeReason::StringTooLong { length }));
}

#[test]
fn bad_utf8_is_refused_at_the_bad_byte() {
    let error = Reader::new(&[4, b'a', b'b', 0xff]).compact_string().unwrap_err();
    assert_eq!((error.offset(), error.reason()), (3, DecodeReason::InvalidUtf8));
}

#[test]
fn a_length_beyond_the_end_is_refused() {
    let missing = DecodeReason::Truncated { needed: 4, remaining: 3 };
    assert_eq!(read(&[5, 0, 0, 0], Reader::compact_bytes), Err(missing));
    assert_eq!(read(&[5, 0, 0, 0], Reader::compact_string), Err(missing));
    assert_eq!(read(&[0, 0, 0], Reader::i32), Err(missing));
    assert_eq!(read(&[0, 0, 0], |reader| reader.take(4)), Err(missing));
}

#[test]
fn a_part_keeps_the_offsets_of_the_whole() {
    let mut reader = Reader::new(&[1, 2, 3, 4]);
    reader.take(1).unwrap();
    let mut part = reader.part(2).unwrap();
    assert_eq!((reader.offset(), part.offset(), part.remaining()), (3, 1, 2));
    assert_eq!(part.take(3).unwrap_err().offset(), 1);
    assert_eq!(part.finish().unwrap_err().reason(), DecodeReason::TrailingBytes { count: 2 });
}

#[test]
fn debug_output_shows_no_bytes() {
    assert_eq!(format!("{:?}", Reader::new(&[99; 7])), "Reader { offset: 0, remaining: 7 }");
    let tags = UnknownTags::new(vec![RawTag { tag: 5, bytes: vec![99; 7] }]);
    assert_eq!(format!("{tags:?}"), "[tag 5 (7 bytes)]");
}

#[test]
fn unknown_tags_follow_the_known_ones_and_must_ascend() {
    let raw = |tag| RawTag { tag, bytes: vec![7] };
    let finish = |tags: &[u32], known_end| {
        let mut out = Vec::new();
        let unknown = UnknownTags::new(tags.iter().copied().map(raw).collect());
        TagWriter::default().finish(&unknown, known_end, &mut out).map(|()| out).map_err(|error| error.reason())
    };
    assert_eq!(finish(&[], 2), Ok(vec![0]));
    assert_eq!(finish(&[2, 9], 2), Ok(vec![2, 2, 1, 7, 9, 1, 7]));
    assert_eq!(finish(&[1], 2), Err(EncodeReason::TagOrder { found: 1, lowest: 2 }));
    assert_eq!(finish(&[3, 3], 2), Err(EncodeReason::TagOrder { found: 3, lowest: 4 }));
    assert_eq!(
        finish(&[u32::MAX, u32::MAX], 0),
        Err(EncodeReason::TagOrder { found: u32::MAX, lowest: u64::from(u32::MAX) + 1 })
    );
}
