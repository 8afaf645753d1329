//! Proof of the right to write. A writer can't be had without it, though what really keeps others out is the check
//! that the server makes on each write; these types only make forgetting that check hard.

use std::collections::BTreeMap;

use crate::id::{KRaftLeaderEpoch, NodeId, TimestampMs, ZkControllerEpoch, ZkVersion};

/// The leadership of the metadata quorum, as observed from the log: node `id` leads in `epoch`, and the log has
/// applied the first entry of that epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KraftLeadership {
    /// The active controller.
    pub id: NodeId,
    /// Its epoch: Raft's term.
    pub epoch: KRaftLeaderEpoch,
}

/// The claimed ZooKeeper controllership: what `/controller_epoch` held after our claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ZkClaim {
    /// The text of `/controller_epoch`: goes into partition states and into requests to ZooKeeper-mode brokers.
    pub epoch: ZkControllerEpoch,
    /// The znode's version: checked by every write, so that writes of a deposed controller bounce.
    pub epoch_zk_version: ZkVersion,
}

/// What makes a store refuse the writes of anyone older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fence {
    /// The log's own epoch: an append under an older one is refused.
    KraftEpoch,
    /// ZooKeeper's version check of `/controller_epoch`.
    ZooKeeper(ZkClaim),
}

/// Both halves: who leads the quorum, and what the store gave for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// Who leads.
    pub kraft: KraftLeadership,
    /// What fences the leader's predecessors in this store.
    pub fence: Fence,
}

/// What a candidate for leadership of a store knows from its own log. The store compares it with what it finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing was copied yet (log state PRE_MIGRATION): a store that says it was already written from a log is
    /// refused, since it is another log's.
    Nothing,
    /// The log has the metadata (log state MIGRATION) and ends as said: a store that is ahead of it, or on another
    /// branch of it, is refused.
    Log(LogExtent),
    /// As [`Expected::Log`], and by the operator's word also over a store that somebody else governed since: whatever
    /// they changed there is lost to the full sync that follows. Only for the one claim that the word was given for.
    LogOverruling(LogExtent),
}

impl Expected {
    /// What the log has, when it has the metadata.
    pub fn extent(&self) -> Option<&LogExtent> {
        match self {
            Self::Nothing => None,
            Self::Log(extent) | Self::LogOverruling(extent) => Some(extent),
        }
    }

    /// The same without the operator's word: what holds for every claim after the first.
    #[must_use]
    pub fn without_overruling(self) -> Self {
        match self {
            Self::LogOverruling(extent) => Self::Log(extent),
            other => other,
        }
    }
}

/// The epochs of a log and where it ends; Kafka's `leader-epoch-checkpoint` as a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogExtent {
    /// Each epoch with the offset of its first record (inclusive), ascending.
    pub epochs: Vec<(KRaftLeaderEpoch, crate::id::Offset)>,
    /// End of the committed log: exclusive.
    pub end_offset: crate::id::Offset,
    /// When epochs began: the time in the LeaderChange record that each starts with. Two copies of one log that both went on
    /// have the same epochs, and are told apart by this alone. An epoch is missing where the log does not reach back to that
    /// record; a log that keeps no such times leaves it empty.
    pub began: BTreeMap<KRaftLeaderEpoch, TimestampMs>,
}

impl LogExtent {
    /// The epoch of the record at `offset` (inclusive), or `None` past the end or before the first epoch.
    pub fn epoch_at(&self, offset: crate::id::Offset) -> Option<KRaftLeaderEpoch> {
        if offset >= self.end_offset {
            return None;
        }
        self.epochs.iter().rev().find(|(_, start)| *start <= offset).map(|(epoch, _)| *epoch)
    }
}

/// What must follow a successful claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterClaim {
    /// The store was never written from a log: copy its metadata into the log.
    Copy,
    /// Go on with the changes behind the store's position; a batch may be half written, the writer knows.
    Resume,
    /// The store can't be resumed: make it equal to the image with
    /// [`full_sync`](crate::store::StoreWriter::full_sync) before any change is submitted.
    FullSync,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Offset;

    #[test]
    fn the_epoch_at_an_offset_is_the_last_one_that_started_there_or_before() {
        let extent = LogExtent {
            epochs: vec![(KRaftLeaderEpoch(1), Offset(0)), (KRaftLeaderEpoch(4), Offset(10))],
            end_offset: Offset(20),
            ..LogExtent::default()
        };
        assert_eq!(extent.epoch_at(Offset(0)), Some(KRaftLeaderEpoch(1)));
        assert_eq!(extent.epoch_at(Offset(9)), Some(KRaftLeaderEpoch(1)));
        assert_eq!(extent.epoch_at(Offset(10)), Some(KRaftLeaderEpoch(4)));
        assert_eq!(extent.epoch_at(Offset(19)), Some(KRaftLeaderEpoch(4)));
        assert_eq!(extent.epoch_at(Offset(20)), None);
    }
}
