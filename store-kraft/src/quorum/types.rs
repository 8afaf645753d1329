//! The types that openraft is run with.

use std::fmt;

use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::uuid::Uuid;
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

/// Where a member can be reached, by which data directory it is known, and which log it is a member of. Its text is `host:port`,
/// and behind blanks the directory's id, `-` while that is not known, and the log's id. A quorum of one may have no address:
/// the text begins with a blank then, or is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub(crate) struct MemberAddress {
    /// `host:port`, or nothing.
    pub(crate) address: String,
    /// Said of members that the leader had met when it named the log, and of those that were added later.
    pub(crate) directory_id: Option<DirectoryId>,
    /// The log's own id: the first leader names it, and every member has it, so that it is there whoever goes.
    pub(crate) log_id: Option<DirectoryId>,
    /// Whether anybody may act on this log; the same for every member.
    pub(crate) seal: Option<QuorumSeal>,
}

/// Why nobody may act on a log any more. It is part of the membership, so that every later leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuorumSeal {
    /// A rollback was begun: whoever leads next may finish it, and nothing else.
    RollbackBegun,
    /// It is done.
    RolledBack,
}

impl QuorumSeal {
    const ALL: [Self; 2] = [Self::RollbackBegun, Self::RolledBack];

    const fn word(self) -> &'static str {
        match self {
            Self::RollbackBegun => "rollback-begun",
            Self::RolledBack => "rolled-back",
        }
    }
}

impl MemberAddress {
    /// A member at `host:port` of which nothing else is known yet.
    pub(crate) fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }
}

impl From<MemberAddress> for String {
    fn from(member: MemberAddress) -> Self {
        member.to_string()
    }
}

impl From<String> for MemberAddress {
    fn from(text: String) -> Self {
        let mut parts = text.split(' ');
        let address = parts.next().unwrap_or_default().to_owned();
        let mut id = || parts.next()?.parse::<Uuid>().ok().map(DirectoryId);
        let (directory_id, log_id) = (id(), id());
        let seal = parts.next().and_then(|word| QuorumSeal::ALL.into_iter().find(|seal| seal.word() == word));
        Self { address, directory_id, log_id, seal }
    }
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        let id = |id: Option<DirectoryId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let parts = [id(self.directory_id), id(self.log_id), self.seal.map_or("-", QuorumSeal::word).to_owned()];
        let known = parts.iter().rposition(|part| part != "-").map_or(0, |last| last + 1);
        parts.iter().take(known).try_for_each(|part| write!(f, " {part}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_text_says_where_it_is_which_directory_it_has_and_of_which_log_it_is() {
        let id = |number| DirectoryId(Uuid::from_u64_pair(1, number));
        let member = |address: &str, directory_id, log_id| MemberAddress {
            address: address.into(),
            directory_id,
            log_id,
            seal: None,
        };
        for (member, text) in [
            (MemberAddress::default(), String::new()),
            (MemberAddress::at("h:1"), "h:1".to_owned()),
            (member("h:1", Some(id(2)), None), format!("h:1 {}", id(2))),
            (member("h:1", None, Some(id(3))), format!("h:1 - {}", id(3))),
            (member("", None, Some(id(3))), format!(" - {}", id(3))),
            (member("h:1", Some(id(2)), Some(id(3))), format!("h:1 {} {}", id(2), id(3))),
            (
                MemberAddress { seal: Some(QuorumSeal::RollbackBegun), ..member("h:1", None, Some(id(3))) },
                format!("h:1 - {} rollback-begun", id(3)),
            ),
            (
                MemberAddress { seal: Some(QuorumSeal::RolledBack), ..member("h:1", Some(id(2)), Some(id(3))) },
                format!("h:1 {} {} rolled-back", id(2), id(3)),
            ),
        ] {
            assert_eq!(String::from(member.clone()), text);
            assert_eq!(MemberAddress::from(text), member);
        }
    }
}
