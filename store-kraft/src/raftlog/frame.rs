//! The envelope of an entry: `length | CRC-32C | start of the flush | entry`, numbers big-endian.
//!
//! The checksum covers everything but itself, so that a run of zeros, which a file system may leave after a crash, is no
//! frame.

/// Bytes before the entry.
pub(super) const FRAME_HEADER_LEN: usize = 16;

/// Largest entry, inclusive. What the codec refuses to write can't be longer.
pub(super) const ENTRY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Appends a frame to `out`. `flush_start` is the byte of the file at which its flush begins.
pub(super) fn put(out: &mut Vec<u8>, flush_start: u64, entry: &[u8]) {
    let length = (entry.len() as u32).to_be_bytes();
    let flush_start = flush_start.to_be_bytes();
    let crc = checksum(&length, &flush_start, entry);
    out.extend(length);
    out.extend(crc.to_be_bytes());
    out.extend(flush_start);
    out.extend_from_slice(entry);
}

fn checksum(length: &[u8], flush_start: &[u8], entry: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(length), flush_start);
    crc32c::crc32c_append(crc, entry)
}

/// A sound frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) flush_start: u64,
    pub(super) entry: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub(super) fn size(&self) -> u64 {
        (FRAME_HEADER_LEN + self.entry.len()) as u64
    }
}

/// The frame at the front of `bytes`, or why there is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Frame<'_>, String> {
    let cut = || format!("the frame is cut off after {} bytes", bytes.len());
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let (flush_start, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let size = u32::from_be_bytes(*length) as usize;
    if size == 0 || size > ENTRY_BYTES_MAX {
        return Err(format!("the frame says that its entry has {size} bytes, possible are 1 to {ENTRY_BYTES_MAX}"));
    }
    let entry = rest.get(..size).ok_or_else(cut)?;
    let (stored, computed) = (u32::from_be_bytes(*crc), checksum(length, flush_start, entry));
    if stored != computed {
        return Err(format!("the checksum is {computed:08x}, stored is {stored:08x}"));
    }
    Ok(Frame { flush_start: u64::from_be_bytes(*flush_start), entry })
}

/// Where in `bytes`, which begin at byte `position` of the file, a sound flush starts, from `after` on (both bytes of the
/// file). A frame starts a flush when it names its own place, so nearly no other place needs its checksum computed.
pub(super) fn find_flush_start(bytes: &[u8], position: u64, after: u64) -> Option<u64> {
    let skip = usize::try_from(after.checked_sub(position)?).ok()?;
    (skip..bytes.len()).find_map(|at| {
        let candidate = bytes.get(at..)?;
        let place = position + at as u64;
        let named = candidate.get(8..FRAME_HEADER_LEN)?;
        (named == place.to_be_bytes() && parse(candidate).is_ok()).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_has_these_bytes() {
        let mut out = Vec::new();
        put(&mut out, 8, b"entry");
        assert_eq!(out[..4], [0, 0, 0, 5]);
        assert_eq!(out[8..16], [0, 0, 0, 0, 0, 0, 0, 8]);
        assert_eq!(out[16..], *b"entry");
        assert_eq!(out[4..8], 0x5859_30b1_u32.to_be_bytes());
    }

    #[test]
    fn zeros_are_no_frame() {
        assert!(parse(&[0; 64]).is_err());
    }

    #[test]
    fn only_the_first_frame_of_a_flush_is_found_as_its_start() {
        let mut bytes = vec![0xee; 10];
        put(&mut bytes, 3, b"second of a flush that starts at 3");
        let start = bytes.len() as u64;
        put(&mut bytes, start, b"first of its flush");
        assert_eq!(find_flush_start(&bytes, 0, 0), Some(start));
        assert_eq!(find_flush_start(&bytes, 0, start), Some(start));
        assert_eq!(find_flush_start(&bytes, 0, start + 1), None);
        assert_eq!(find_flush_start(&bytes, 100, 100), None, "the same bytes elsewhere name another place");
    }

    proptest! {
        #[test]
        fn what_was_put_is_parsed(entry in proptest::collection::vec(any::<u8>(), 1..100), flush_start: u64) {
            let mut out = Vec::new();
            put(&mut out, flush_start, &entry);
            out.extend([1, 2, 3]);
            let frame = parse(&out).unwrap();
            prop_assert_eq!(frame, Frame { flush_start, entry: &entry });
            prop_assert_eq!(frame.size() as usize, out.len() - 3);
        }

        #[test]
        fn every_flipped_bit_is_noticed(
            entry in proptest::collection::vec(any::<u8>(), 1..60),
            at in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut out = Vec::new();
            put(&mut out, 8, &entry);
            let at = at.index(out.len());
            out[at] ^= 1 << bit;
            prop_assert!(parse(&out).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), after in 0u64..90) {
            let _ = parse(&bytes);
            let _ = find_flush_start(&bytes, 5, after);
        }
    }
}
