//! The types that openraft is run with.

use std::fmt;

use metadata_core::id::NodeId;
use serde::{Deserialize, Serialize};

use super::proposal::{Applied, Proposal};

/// Raft's number of a node: its Kafka node id.
pub(crate) type RaftNodeId = u64;

/// Raft's number for a node id.
pub(crate) fn raft_id(node: NodeId) -> RaftNodeId {
    u64::from(node.0.unsigned_abs())
}

/// The node id behind Raft's number. Only numbers that [`raft_id`] made are in the log.
pub(crate) fn node_id(raft: RaftNodeId) -> NodeId {
    i32::try_from(raft).map_or(NodeId::NONE, NodeId)
}

/// Where a member can be reached. A quorum of one needs no address: it is empty there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct MemberAddress {
    /// `host:port`, or nothing.
    pub(crate) address: String,
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

openraft::declare_raft_types!(
    /// What the quorum is made of.
    pub(crate) RaftTypes:
        D = Proposal,
        R = Applied,
        NodeId = RaftNodeId,
        Node = MemberAddress,
        SnapshotData = tokio::fs::File,
);

pub(crate) type LogId = openraft::LogId<RaftNodeId>;
pub(crate) type Entry = openraft::Entry<RaftTypes>;
pub(crate) type Payload = openraft::EntryPayload<RaftTypes>;
pub(crate) type Membership = openraft::Membership<RaftNodeId, MemberAddress>;
pub(crate) type StoredMembership = openraft::StoredMembership<RaftNodeId, MemberAddress>;
pub(crate) type Vote = openraft::Vote<RaftNodeId>;
pub(crate) type StorageError = openraft::StorageError<RaftNodeId>;
pub(crate) type Raft = openraft::Raft<RaftTypes>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<RaftNodeId, MemberAddress>;

/// A log id of a term. In single-term mode a term has at most one leader, so the leader is no part of it.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::CommittedLeaderId::new(term, 0), index)
}
