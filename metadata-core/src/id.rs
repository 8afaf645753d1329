//! Ids, epochs, versions and offsets. Each is a type of its own: a Kafka cluster in migration has five counters that
//! are called "epoch" and three that are called "version", and mixing two of them up loses data.

use std::fmt;

use crate::uuid::Uuid;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

newtype! {
    /// Id of a process of the cluster, broker or controller. Kafka has one number space for both (`node.id`), and a
    /// controller must not share an id with a broker. Not negative in a valid cluster.
    NodeId(i32)
}

newtype! {
    /// Index of a partition within its topic, from 0.
    PartitionId(i32)
}

newtype! {
    /// Kafka's 16-byte topic id (KIP-516). Never zero for a topic that exists.
    TopicId(Uuid)
}

newtype! {
    /// Id of a log directory (KIP-858). Three values are reserved, see [`DirectoryId::MIGRATING`].
    DirectoryId(Uuid)
}

newtype! {
    /// Id of one access control entry in the metadata log. ZooKeeper has no such id.
    AclId(Uuid)
}

newtype! {
    /// Random id of one run of a broker or controller process.
    IncarnationId(Uuid)
}

newtype! {
    /// Epoch of a partition's leader, raised by each leader change. Kafka: `leader_epoch`.
    LeaderEpoch(i32)
}

newtype! {
    /// Counts the changes of a partition's registration. In ZooKeeper it is not in the JSON: it is the version of the
    /// partition's `state` znode.
    PartitionEpoch(i32)
}

newtype! {
    /// Epoch of a broker's registration in KRaft: the offset of its `RegisterBrokerRecord`. (In ZooKeeper mode the
    /// broker epoch is the czxid of `/brokers/ids/N`; the two never meet.)
    BrokerEpoch(i64)
}

newtype! {
    /// Raft's term, which Kafka calls the leader epoch of the metadata quorum. 0 means that there was no leader yet.
    KRaftLeaderEpoch(i32)
}

newtype! {
    /// The decimal text of `/controller_epoch`. Brokers compare it in the requests of controllers; it is **not** what
    /// fences writers, the znode's [`ZkVersion`] is.
    ZkControllerEpoch(i32)
}

newtype! {
    /// Data version of a znode (`Stat.version`): 0 when created, raised by one by each set-data. Always a version that
    /// was seen or predicted; "any" is not a value of this type.
    ZkVersion(i32)
}

newtype! {
    /// Offset of a record in the metadata log: the first record has 0. Whether a bound is inclusive or exclusive is
    /// said where it is used.
    Offset(i64)
}

newtype! {
    /// First producer id that was not handed out yet.
    ProducerId(i64)
}

newtype! {
    /// Wall-clock time in milliseconds since 1970, as records and znodes carry it. The crate never reads a clock:
    /// whoever writes says what time it is.
    TimestampMs(i64)
}

impl NodeId {
    /// Kafka's spelling of "no node" inside records and znodes.
    pub const NONE: Self = Self(-1);

    /// The id as an option: `None` for Kafka's -1 and any other negative number.
    pub fn known(self) -> Option<Self> {
        (self.0 >= 0).then_some(self)
    }
}

impl Offset {
    /// Start of every log.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on. Saturates, so that a damaged length can't wrap an offset around.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl ZkVersion {
    /// The version after one more set-data. ZooKeeper's counter is 32 bits and wraps from the largest to the smallest
    /// number, as this does.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The version after `count` more set-datas.
    #[must_use]
    pub fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add_unsigned(count))
    }
}

impl DirectoryId {
    /// The replica's directory is not known because its broker is in ZooKeeper mode, or was when the topic was copied.
    pub const MIGRATING: Self = Self(Uuid::from_u64_pair(0, 0));
    /// The replica was not assigned to a directory yet.
    pub const UNASSIGNED: Self = Self(Uuid::from_u64_pair(0, 1));
    /// The directory went offline.
    pub const LOST: Self = Self(Uuid::from_u64_pair(0, 2));

    /// Whether Kafka reserves the id (`DirectoryId.java`): the high half is 0 and the low half, as a signed number, is
    /// below 100.
    pub fn is_reserved(self) -> bool {
        let (most, least) = self.0.as_u64_pair();
        most == 0 && (least as i64) < 100
    }
}

/// How far a store or a log is: everything **before** `end_offset` (exclusive), whose last record was written in
/// `epoch`.
///
/// The marker in ZooKeeper stores the inclusive offset, as Kafka does: its -1 is our 0. Ordered by epoch first, as
/// Kafka compares positions (KRaftMigrationDriver): a longer log of an older epoch is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Epoch of the last record, 0 for an empty log.
    pub epoch: KRaftLeaderEpoch,
    /// One past the last record: exclusive.
    pub end_offset: Offset,
}

impl Position {
    /// Nothing is there yet.
    pub const START: Self = Self { epoch: KRaftLeaderEpoch(0), end_offset: Offset(0) };

    /// A position after the record at `last` (inclusive) of `epoch`.
    pub fn after(last: Offset, epoch: KRaftLeaderEpoch) -> Self {
        Self { epoch, end_offset: last.plus(1) }
    }

    /// The last record's offset (inclusive), if there is a record.
    pub fn last(self) -> Option<Offset> {
        (self.end_offset.0 > 0).then(|| Offset(self.end_offset.0 - 1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last() {
            Some(last) => write!(f, "offset {last} of epoch {}", self.epoch),
            None => f.write_str("the start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_ordered_by_epoch_before_offset() {
        let longer = Position::after(Offset(900), KRaftLeaderEpoch(3));
        let newer = Position::after(Offset(10), KRaftLeaderEpoch(4));
        assert!(newer > longer);
        assert!(longer > Position::START);
    }

    #[test]
    fn the_start_has_no_last_record() {
        assert_eq!(Position::START.last(), None);
        assert_eq!(Position::after(Offset(0), KRaftLeaderEpoch(1)).last(), Some(Offset(0)));
    }

    #[test]
    fn directory_ids_below_one_hundred_are_reserved() {
        assert!(DirectoryId::LOST.is_reserved());
        assert!(DirectoryId(Uuid::from_u64_pair(0, 99)).is_reserved());
        assert!(!DirectoryId(Uuid::from_u64_pair(0, 100)).is_reserved());
        // As a signed number the low half is negative, hence below 100.
        assert!(DirectoryId(Uuid::from_u64_pair(0, u64::MAX)).is_reserved());
        assert!(!DirectoryId(Uuid::from_u64_pair(1, 0)).is_reserved());
    }
}
