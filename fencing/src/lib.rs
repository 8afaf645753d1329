//! Who may write. Pure rules: epochs and their order, and the decision whether a new leader of the KRaft quorum may
//! claim a ZooKeeper.
//!
//! During a migration two kinds of controllers exist, and each can be slow, paused or cut off while another takes over.
//! Nothing here keeps them apart by itself (ZooKeeper's version checks do), but everything that decides *whether to try*
//! is here, as tables that can be read and tested without a server.
//!
//! Any KRaft epoch beats any ZooKeeper epoch:
//!
//! ```
//! use fencing::ControllerEpoch;
//! use metadata_core::id::{KRaftLeaderEpoch, ZkControllerEpoch};
//!
//! let zk = ControllerEpoch::Zk(ZkControllerEpoch(41));
//! let kraft = ControllerEpoch::KRaft(KRaftLeaderEpoch(1));
//! assert!(kraft > zk);
//! ```

mod claim;
mod epoch;
mod give_back;
mod quorum;

pub use claim::{
    ClaimPlan, ClaimRefusal, ControllerStep, Marker, MarkerStep, MarkerWriter, ObservedController,
    ObservedControllerEpoch, QuorumIdentity, SyncState, ZkFacts, decide_claim,
};
pub use epoch::ControllerEpoch;
pub use give_back::{GiveBackDecision, GiveBackRefusal, decide_give_back};
pub use quorum::{FixedQuorum, Quorum};
