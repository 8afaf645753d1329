//! Which quorum this controller belongs to.

use std::collections::BTreeSet;
use std::fmt;

use metadata_core::id::NodeId;

use crate::QuorumIdentity;

/// Says which quorum this is, and who its voters are, as of now: a new log gets its identity when its first leader is elected,
/// and voters come and go. Whoever leads knows both.
pub trait Quorum: fmt::Debug + Send + Sync {
    /// The quorum, as the marker names it.
    fn identity(&self) -> QuorumIdentity;

    /// The voters of the quorum, this controller among them.
    fn voters(&self) -> BTreeSet<NodeId>;
}

/// A quorum that never changes.
#[derive(Debug, Clone)]
pub struct FixedQuorum {
    identity: QuorumIdentity,
    voters: BTreeSet<NodeId>,
}

impl FixedQuorum {
    /// This quorum, with these voters.
    pub fn new(identity: QuorumIdentity, voters: BTreeSet<NodeId>) -> Self {
        Self { identity, voters }
    }
}

impl Quorum for FixedQuorum {
    fn identity(&self) -> QuorumIdentity {
        self.identity.clone()
    }

    fn voters(&self) -> BTreeSet<NodeId> {
        self.voters.clone()
    }
}
