//! The order of controller epochs.

use metadata_core::id::{KRaftLeaderEpoch, ZkControllerEpoch};

/// The epoch of a controller of either kind. The order of the variants is the rule of KIP-866: any KRaft epoch is newer
/// than any ZooKeeper epoch, whatever the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControllerEpoch {
    /// A broker that won the election in ZooKeeper.
    Zk(ZkControllerEpoch),
    /// The leader of the metadata quorum.
    KRaft(KRaftLeaderEpoch),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_kraft_epoch_beats_any_zk_epoch() {
        for (zk, kraft) in [(0, 0), (i32::MAX, 0), (7, 7), (1_000_000, 1)] {
            assert!(
                ControllerEpoch::KRaft(KRaftLeaderEpoch(kraft)) > ControllerEpoch::Zk(ZkControllerEpoch(zk)),
                "KRaft {kraft} against ZooKeeper {zk}"
            );
        }
    }

    #[test]
    fn epochs_of_one_kind_are_ordered_by_number() {
        assert!(ControllerEpoch::KRaft(KRaftLeaderEpoch(3)) > ControllerEpoch::KRaft(KRaftLeaderEpoch(2)));
        assert!(ControllerEpoch::Zk(ZkControllerEpoch(3)) > ControllerEpoch::Zk(ZkControllerEpoch(2)));
    }
}
