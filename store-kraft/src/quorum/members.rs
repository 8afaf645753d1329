//! Who is in the quorum.

use std::collections::{BTreeMap, BTreeSet};

use metadata_core::id::{DirectoryId, NodeId};

use super::types::{MemberAddress, Membership, QuorumSeal, node_id};

/// The members that Raft goes by now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Members {
    /// Who votes. While the voters change, those of before and those of after.
    pub(crate) voters: BTreeSet<NodeId>,
    /// Everybody, also those who only listen, with their addresses.
    pub(crate) all: BTreeMap<NodeId, MemberAddress>,
}

impl Members {
    /// The log's id, once it has one.
    pub(crate) fn log_id(&self) -> Option<DirectoryId> {
        self.all.values().find_map(|member| member.log_id)
    }

    /// Whether the log is sealed.
    pub(crate) fn seal(&self) -> Option<QuorumSeal> {
        self.all.values().find_map(|member| member.seal)
    }
}

impl From<&Membership> for Members {
    fn from(membership: &Membership) -> Self {
        Self {
            voters: membership.voter_ids().map(node_id).collect(),
            all: membership.nodes().map(|(id, member)| (node_id(*id), member.clone())).collect(),
        }
    }
}
