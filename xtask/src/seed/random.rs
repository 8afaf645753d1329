//! Numbers that only the seed decides.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and the same on every machine. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers for one thing. They depend on nothing but the arguments, so that things may be made in any order, and
    /// a change to one of them leaves the others as they are.
    pub(crate) fn of(seed: u64, thing: &str, index: u64) -> Self {
        // FNV-1a keeps the streams of different things apart.
        let label = thing.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut random = Self(seed);
        let mut random = Self(random.next() ^ label);
        Self(random.next() ^ index)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (exclusive); 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The high half of a 64 x 32 bit product. Its bias is far below what a seed could show.
        u32::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or_default()
    }

    /// True in `percent` of 100 cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, items: [T; N]) -> T {
        const { assert!(N > 0 && N < 1 << 16) };
        items[self.below(N as u32) as usize]
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
            items.swap(last, self.below(bound) as usize);
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 7);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_be_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// A random UUID (version 4) as Kafka spells its ids: 22 characters of URL-safe base64. Like Kafka's own
    /// (`Uuid.randomUuid`) it never starts with a dash, which a command line would take for an option.
    pub(crate) fn uuid(&mut self) -> String {
        let mut bytes = self.bytes(16);
        if let [first, _, _, _, _, _, version, _, variant, ..] = bytes.as_mut_slice() {
            *version = (*version & 0x0f) | 0x40;
            *variant = (*variant & 0x3f) | 0x80;
            // 62 is the dash.
            if *first >> 2 == 62 {
                *first ^= 0x80;
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_splitmix64() {
        let mut random = Random(1_234_567);
        // From the reference implementation.
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        assert_eq!(random.next(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn things_have_streams_of_their_own() {
        let first = |seed, thing, index| Random::of(seed, thing, index).next();
        assert_eq!(first(1, "topic", 7), first(1, "topic", 7));
        assert_ne!(first(1, "topic", 7), first(2, "topic", 7));
        assert_ne!(first(1, "topic", 7), first(1, "scram", 7));
        assert_ne!(first(1, "topic", 7), first(1, "topic", 8));
    }

    #[test]
    fn bounds_are_exclusive_and_reached() {
        let mut random = Random::of(1, "bounds", 0);
        let drawn: std::collections::BTreeSet<_> = (0..200).map(|_| random.below(5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.bytes(9).len(), 9);
    }

    #[test]
    fn ids_are_kafkas() {
        let mut random = Random::of(1, "uuid", 0);
        for _ in 0..1000 {
            let id = random.uuid();
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'));
            let bytes = URL_SAFE_NO_PAD.decode(&id).unwrap();
            assert_eq!((bytes[6] >> 4, bytes[8] >> 6), (4, 2));
        }
    }
}
