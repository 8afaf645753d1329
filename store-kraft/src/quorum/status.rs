//! How a quorum is, as one of its members sees it.

use std::time::Duration;

use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId, Offset};

/// How the quorum is. Kafka: what `DescribeQuorum` answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuorumStatus {
    /// This controller.
    pub own: NodeId,
    /// Who leads, if that is known.
    pub leader: Option<NodeId>,
    /// The epoch, also while nobody leads.
    pub epoch: KRaftLeaderEpoch,
    /// Everybody, by id.
    pub members: Vec<QuorumMember>,
    /// Said by a member that Raft takes for the leader, in a quorum of more than one: how long ago a majority confirmed it.
    /// Beyond [`QuorumTimeouts::unconfirmed_max`](crate::QuorumTimeouts::unconfirmed_max) it acts no more.
    pub confirmed: Option<Duration>,
}

impl QuorumStatus {
    /// Whether this controller votes.
    pub fn is_voter(&self) -> bool {
        self.members.iter().any(|member| member.id == self.own && member.voter)
    }

    /// The voters from whom nothing was heard lately, this one not among them.
    pub fn silent_voters(&self) -> Vec<NodeId> {
        let silent = |member: &&QuorumMember| member.voter && member.id != self.own && member.announcement.is_none();
        self.members.iter().filter(silent).map(|member| member.id).collect()
    }

    /// Whether more than half of the voters were heard of lately, this one among them if it votes.
    pub fn has_majority(&self) -> bool {
        let voters = self.members.iter().filter(|member| member.voter).count();
        let heard = voters - self.silent_voters().len();
        heard > voters / 2
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QuorumMember {
    /// Its id.
    pub id: NodeId,
    /// Where it is reached; empty in a quorum of one.
    pub address: String,
    /// By which data directory it is known.
    pub directory_id: Option<DirectoryId>,
    /// Whether it votes, or only listens.
    pub voter: bool,
    /// End of its log (exclusive), as it said itself within the last fifteen seconds.
    pub end_offset: Option<Offset>,
    /// Since when nothing came from it; zero for this controller, `None` when nothing ever came.
    pub silent: Option<Duration>,
    /// What it said of itself within the last fifteen seconds.
    pub announcement: Option<ControllerAnnouncement>,
}

#[cfg(test)]
mod tests {
    use metadata_core::metadata_version::MetadataVersionRange;

    use super::*;

    fn member(id: i32, voter: bool, heard: bool) -> QuorumMember {
        let announcement = ControllerAnnouncement {
            migration_enabled: true,
            metadata_versions: MetadataVersionRange::production(),
            zookeeper_fingerprint: None,
            zookeeper_reachable: None,
        };
        QuorumMember {
            id: NodeId(id),
            address: String::new(),
            directory_id: None,
            voter,
            end_offset: None,
            silent: None,
            announcement: heard.then_some(announcement),
        }
    }

    #[test]
    fn a_majority_is_more_than_half_of_the_voters() {
        let status = |members: &[(bool, bool)]| QuorumStatus {
            own: NodeId(0),
            leader: None,
            epoch: KRaftLeaderEpoch(1),
            members: (0..).zip(members).map(|(id, (voter, heard))| member(id, *voter, *heard)).collect(),
            confirmed: None,
        };
        for (members, silent, majority) in [
            (&[(true, true)][..], 0, true),
            (&[(true, true), (true, true), (true, false)], 1, true),
            (&[(true, true), (true, false), (true, false)], 2, false),
            (&[(true, true), (true, false)], 1, false),
            (&[(true, true), (true, true), (true, false), (true, false)], 2, false),
            // Who only listens counts for nothing.
            (&[(true, true), (true, false), (true, false), (false, true)], 2, false),
            (&[(false, true), (true, true), (true, false)], 1, false),
        ] {
            let status = status(members);
            assert_eq!((status.silent_voters().len(), status.has_majority()), (silent, majority), "{members:?}");
        }
    }
}
