//! The incarnation id of a broker that is registered because its znode is there.
//!
//! Such a broker never told us an id of its process. What tells its runs apart is the transaction that made its znode, so
//! the id is made of that: the same znode gives the same id on every controller, and a registration in the log says by its
//! id alone who made it, the watch or the broker itself.

use metadata_core::id::IncarnationId;
use metadata_core::uuid::Uuid;

/// The upper 48 bits: the letters `zknode`.
const MARK: u64 = 0x7a6b_6e6f_6465_0000;
/// The next four: a UUID of other data (RFC 9562, version 8). The ids that Java draws have 4 there.
const VERSION: u64 = 0x8000;
/// The upper two bits of the lower half: the variant of all UUIDs of today.
const VARIANT: u64 = 0b10 << 62;
const LOWER_BITS: u64 = u64::MAX >> 2;

/// The id for the run whose znode was made by transaction `czxid`.
pub fn watched_incarnation(czxid: i64) -> IncarnationId {
    let bits = czxid.cast_unsigned();
    IncarnationId(Uuid::from_u64_pair(MARK | VERSION | bits >> 62, VARIANT | bits & LOWER_BITS))
}

/// The transaction in such an id; `None` when the broker chose the id itself.
pub fn watched_czxid(id: IncarnationId) -> Option<i64> {
    let (most, least) = id.0.as_u64_pair();
    let ours = most & !0b11 == MARK | VERSION && least & !LOWER_BITS == VARIANT;
    ours.then(|| ((most & 0b11) << 62 | least & LOWER_BITS).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_that_brokers_choose_are_not_ours() {
        for id in [Uuid::ZERO, "MvDxzVmcRsaTz33bUuRU6A".parse().unwrap(), Uuid::of_hash([0x7a; 32])] {
            assert_eq!(watched_czxid(IncarnationId(id)), None);
        }
    }

    proptest! {
        #[test]
        fn a_transaction_comes_back_from_its_id(czxid: i64) {
            prop_assert_eq!(watched_czxid(watched_incarnation(czxid)), Some(czxid));
        }

        /// Java's random ids: version 4.
        #[test]
        fn no_random_id_is_taken_for_ours(most: u64, least: u64) {
            let random = Uuid::from_u64_pair(most & !0xf000 | 0x4000, least & LOWER_BITS | VARIANT);
            prop_assert_eq!(watched_czxid(IncarnationId(random)), None);
        }
    }
}
