//! Why a controller does not speak with another.

use std::collections::BTreeSet;

use metadata_core::id::{DirectoryId, NodeId};

use super::message::Versions;

/// Why not. The text goes to both sides' logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "versions {} to {} of the messages between controllers are spoken here, there {} to {}: run programs whose versions \
         overlap", own.lowest, own.highest, other.lowest, other.highest
    )]
    Versions { own: Versions, other: Versions },
    #[error("this controller is of cluster {own}, the other of cluster {other}: check the addresses of the voters")]
    Cluster { own: String, other: String },
    #[error(
        "this controller is a member of log {own}, the other one of another log, {other}: two quorums were formed for one \
         cluster; check the voters and the data directories"
    )]
    Log { own: DirectoryId, other: DirectoryId },
    #[error("this is controller {own}, not controller {wanted}: check the addresses of the voters")]
    NotThisOne { own: NodeId, wanted: NodeId },
    #[error("two controllers have the id {0}: give each an id of its own")]
    OwnId(NodeId),
    #[error("controller {0} is no member of this quorum: add it first, or check the voters in its configuration")]
    NoMember(NodeId),
    #[error("here a quorum of {} is formed, there one of {}: name the same voters to all", list(own), list(other))]
    Forming { own: BTreeSet<NodeId>, other: BTreeSet<NodeId> },
    #[error(
        "controller {id} is known by the data directory {known}, this one has {found}: a directory that was made anew has \
         forgotten how it voted; remove the controller from the quorum and add it again"
    )]
    Directory { id: NodeId, known: DirectoryId, found: DirectoryId },
    #[error("another process with the id {0} is connected: two run with one id or on copies of one data directory")]
    Twin(NodeId),
    #[error("controller {0} has too many connections open")]
    TooMany(NodeId),
    #[error("who was met can't be remembered: {0}")]
    Disk(String),
}

fn list(ids: &BTreeSet<NodeId>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
