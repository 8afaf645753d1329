//! What controllers say to each other. The layouts are ours, not those of openraft's types, so that a new version of it
//! changes no message.
//!
//! ```text
//!   who connects                       who listens
//!   Hello ─────────────────────────────────────────>  who I am, whom I look for
//!   <───────────────────────────────────────── Welcome  who I am, or why not
//!   Request ───────────────────────────────────────>
//!   <────────────────────────────────────────── Answer
//!   ...
//! ```

use std::collections::BTreeSet;

use metadata_core::controllers::{ControllerAnnouncement, ZooKeeperFingerprint};
use metadata_core::id::{KRaftLeaderEpoch, Offset, Position};
use metadata_core::metadata_version::MetadataVersionRange;
use openraft::error::SnapshotMismatch;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::codec::{Blob, CodecError};
use crate::quorum::types::{RaftNodeId, RaftTypes, SnapshotMeta};
use crate::raftlog::{StoredLastMembership, StoredLogId, StoredVote, decode_entry, encode_entry};

/// The versions of the messages behind the first two that this program speaks: the lowest and the highest, inclusive.
pub(super) const VERSIONS: Versions = Versions { lowest: 1, highest: 1 };

/// A range of versions, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(super) lowest: u16,
    pub(super) highest: u16,
}

impl Versions {
    /// The highest version that both speak.
    pub(super) fn agreed(self, other: Self) -> Option<u16> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

/// Who a controller is. Whatever version comes, this message stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    pub(crate) versions: Versions,
    pub(crate) cluster_id: String,
    pub(crate) node_id: i32,
    /// That of its data directory: two directories are never one controller.
    pub(crate) directory_id: Option<[u8; 16]>,
    /// Drawn anew by each process.
    pub(crate) incarnation: u64,
    /// That of the log that it is a member of.
    pub(crate) log_id: Option<[u8; 16]>,
    /// With whom it begins a log, as long as that has no id.
    pub(crate) forming: Option<BTreeSet<i32>>,
}

/// The first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) from: Introduction,
    /// Whom it expects to find.
    pub(crate) to: i32,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Welcome {
    Accepted(Introduction),
    /// Why not, for the other one's log.
    Refused(String),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    Append { vote: StoredVote, prev: Option<StoredLogId>, committed: Option<StoredLogId>, entries: Vec<Blob> },
    Vote { vote: StoredVote, last: Option<StoredLogId> },
    Snapshot { vote: StoredVote, meta: StoredSnapshotMeta, offset: u64, data: Blob, done: bool },
    Announce(Announced),
}

/// The answer, of the same kind as the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Append(AppendAnswer),
    Vote {
        vote: StoredVote,
        granted: bool,
        last: Option<StoredLogId>,
    },
    Snapshot {
        vote: StoredVote,
    },
    /// The pieces of a snapshot don't follow each other: it must be sent from its start.
    SnapshotMismatch {
        expected: (String, u64),
        got: (String, u64),
    },
    Announce(Announced),
    /// It could not be done, and why.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendAnswer {
    Success,
    PartialSuccess(Option<StoredLogId>),
    Conflict,
    HigherVote(StoredVote),
}

/// Of which state a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSnapshotMeta {
    last: Option<StoredLogId>,
    membership: StoredLastMembership,
    id: String,
}

/// What a controller says of itself, again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    migration_enabled: bool,
    /// Both inclusive.
    metadata_versions: (i16, i16),
    zookeeper_fingerprint: Option<[u8; 32]>,
    zookeeper_reachable: Option<bool>,
    epoch: i32,
    end_offset: i64,
    /// Said by the leader alone: from where on (inclusive) the log is kept for the store that lags behind.
    pub(crate) hold: Option<i64>,
}

impl Announced {
    pub(crate) fn new(announcement: &ControllerAnnouncement, position: Position, hold: Option<Offset>) -> Self {
        let ControllerAnnouncement { migration_enabled, metadata_versions, zookeeper_fingerprint, zookeeper_reachable } =
            announcement;
        Self {
            migration_enabled: *migration_enabled,
            metadata_versions: (metadata_versions.min(), metadata_versions.max()),
            zookeeper_fingerprint: zookeeper_fingerprint.map(|it| *it.as_bytes()),
            zookeeper_reachable: *zookeeper_reachable,
            epoch: position.epoch.0,
            end_offset: position.end_offset.0,
            hold: hold.map(|hold| hold.0),
        }
    }

    /// `None` when the versions are none that exist.
    pub(crate) fn announcement(&self) -> Option<ControllerAnnouncement> {
        let (lowest, highest) = self.metadata_versions;
        Some(ControllerAnnouncement {
            migration_enabled: self.migration_enabled,
            metadata_versions: MetadataVersionRange::of_levels(lowest, highest)?,
            zookeeper_fingerprint: self.zookeeper_fingerprint.map(ZooKeeperFingerprint::of_digest),
            zookeeper_reachable: self.zookeeper_reachable,
        })
    }

    /// The same without what may have changed meanwhile: whether it reaches ZooKeeper is true only for as long as it says so.
    pub(crate) fn without_passing_news(&self) -> Self {
        Self { zookeeper_reachable: None, ..self.clone() }
    }

    /// Where its log ends.
    pub(crate) fn position(&self) -> Position {
        Position { epoch: KRaftLeaderEpoch(self.epoch), end_offset: Offset(self.end_offset) }
    }
}

impl Request {
    pub(crate) fn append(request: &AppendEntriesRequest<RaftTypes>) -> Result<Self, CodecError> {
        let entries = request.entries.iter().map(|entry| Ok(Blob(encode_entry(entry)?.into())));
        Ok(Self::Append {
            vote: (&request.vote).into(),
            prev: request.prev_log_id.map(Into::into),
            committed: request.leader_commit.map(Into::into),
            entries: entries.collect::<Result<_, CodecError>>()?,
        })
    }

    pub(crate) fn vote(request: &VoteRequest<RaftNodeId>) -> Self {
        Self::Vote { vote: (&request.vote).into(), last: request.last_log_id.map(Into::into) }
    }

    pub(crate) fn snapshot(request: InstallSnapshotRequest<RaftTypes>) -> Self {
        let InstallSnapshotRequest { vote, meta, offset, data, done } = request;
        let meta = StoredSnapshotMeta {
            last: meta.last_log_id.map(Into::into),
            membership: (&meta.last_membership).into(),
            id: meta.snapshot_id,
        };
        Self::Snapshot { vote: (&vote).into(), meta, offset, data: Blob(data.into()), done }
    }
}

/// The request of openraft's that was sent.
pub(crate) fn append_request(
    vote: StoredVote,
    prev: Option<StoredLogId>,
    committed: Option<StoredLogId>,
    entries: &[Blob],
) -> Result<AppendEntriesRequest<RaftTypes>, CodecError> {
    Ok(AppendEntriesRequest {
        vote: vote.into(),
        prev_log_id: prev.map(Into::into),
        leader_commit: committed.map(Into::into),
        entries: entries.iter().map(|entry| decode_entry(&entry.0)).collect::<Result<_, _>>()?,
    })
}

/// As [`append_request`].
pub(crate) fn snapshot_request(
    vote: StoredVote,
    meta: StoredSnapshotMeta,
    offset: u64,
    data: &Blob,
    done: bool,
) -> InstallSnapshotRequest<RaftTypes> {
    let meta = SnapshotMeta {
        last_log_id: meta.last.map(Into::into),
        last_membership: meta.membership.into(),
        snapshot_id: meta.id,
    };
    InstallSnapshotRequest { vote: vote.into(), meta, offset, data: data.0.to_vec(), done }
}

impl From<AppendEntriesResponse<RaftNodeId>> for AppendAnswer {
    fn from(response: AppendEntriesResponse<RaftNodeId>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::Success,
            AppendEntriesResponse::PartialSuccess(matching) => Self::PartialSuccess(matching.map(Into::into)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::HigherVote((&vote).into()),
        }
    }
}

impl From<AppendAnswer> for AppendEntriesResponse<RaftNodeId> {
    fn from(answer: AppendAnswer) -> Self {
        match answer {
            AppendAnswer::Success => Self::Success,
            AppendAnswer::PartialSuccess(matching) => Self::PartialSuccess(matching.map(Into::into)),
            AppendAnswer::Conflict => Self::Conflict,
            AppendAnswer::HigherVote(vote) => Self::HigherVote(vote.into()),
        }
    }
}

impl From<VoteResponse<RaftNodeId>> for Answer {
    fn from(response: VoteResponse<RaftNodeId>) -> Self {
        Self::Vote {
            vote: (&response.vote).into(),
            granted: response.vote_granted,
            last: response.last_log_id.map(Into::into),
        }
    }
}

impl From<InstallSnapshotResponse<RaftNodeId>> for Answer {
    fn from(response: InstallSnapshotResponse<RaftNodeId>) -> Self {
        Self::Snapshot { vote: (&response.vote).into() }
    }
}

impl From<SnapshotMismatch> for Answer {
    fn from(mismatch: SnapshotMismatch) -> Self {
        let SnapshotMismatch { expect, got } = mismatch;
        Self::SnapshotMismatch { expected: (expect.id, expect.offset), got: (got.id, got.offset) }
    }
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, LeaderId, LogId, Vote};
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, Kind};
    use crate::quorum::types::{Entry, Payload};

    fn log_id(term: u64, index: u64) -> LogId<RaftNodeId> {
        LogId::new(CommittedLeaderId::new(term, 0), index)
    }

    fn vote(term: u64, node: u64, committed: bool) -> Vote<RaftNodeId> {
        Vote { leader_id: LeaderId { term, voted_for: Some(node) }, committed }
    }

    fn introduction() -> Introduction {
        Introduction {
            versions: VERSIONS,
            cluster_id: "c".into(),
            node_id: 3000,
            directory_id: Some([7; 16]),
            incarnation: 9,
            log_id: None,
            forming: Some(BTreeSet::from([3000, 3001])),
        }
    }

    #[test]
    fn the_first_two_messages_stay_what_they_are() {
        let hello = Hello { from: introduction(), to: 3001 };
        let body =
            [&[1, 1, 1, b'c', 0xfb, 0x70, 0x17, 1][..], &[7; 16], &[9, 0, 1, 2, 0xfb, 0x70, 0x17, 0xfb, 0x72, 0x17]]
                .concat();
        let golden = [&[1, 8, 1][..], &body, &[0xfb, 0x72, 0x17]].concat();
        assert_eq!(codec::encode(Kind::Hello, &hello).unwrap(), golden);
        assert_eq!(codec::decode::<Hello>(Kind::Hello, &golden).unwrap(), hello);

        let accepted = Welcome::Accepted(introduction());
        assert_eq!(codec::encode(Kind::Welcome, &accepted).unwrap(), [&[1, 9, 1, 0][..], &body].concat());
        let refused = Welcome::Refused("no".into());
        assert_eq!(codec::encode(Kind::Welcome, &refused).unwrap(), [1, 9, 1, 1, 2, b'n', b'o']);
    }

    #[test]
    fn the_requests_and_answers_stay_what_they_are() {
        let entry = Entry { log_id: log_id(2, 4), payload: Payload::Blank };
        let append = AppendEntriesRequest {
            vote: vote(2, 5, true),
            prev_log_id: Some(log_id(1, 3)),
            entries: vec![entry],
            leader_commit: None,
        };
        let append = Request::append(&append).unwrap();
        let golden = [1, 10, 1, 0, 2, 1, 5, 1, 1, 1, 3, 0, 1, 6, 1, 1, 1, 2, 4, 0];
        assert_eq!(codec::encode(Kind::PeerRequest, &append).unwrap(), golden);

        let asked = Request::vote(&VoteRequest::new(vote(3, 5, false), Some(log_id(2, 4))));
        assert_eq!(codec::encode(Kind::PeerRequest, &asked).unwrap(), [1, 10, 1, 1, 3, 1, 5, 0, 1, 2, 4]);

        let announcement = ControllerAnnouncement {
            migration_enabled: true,
            metadata_versions: MetadataVersionRange::production(),
            zookeeper_fingerprint: None,
            zookeeper_reachable: Some(true),
        };
        let position = Position { epoch: KRaftLeaderEpoch(3), end_offset: Offset(40) };
        let announced = Announced::new(&announcement, position, Some(Offset(30)));
        assert_eq!(announced.announcement(), Some(announcement));
        assert_eq!(announced.position(), position);
        let announce = Request::Announce(announced);
        assert_eq!(
            codec::encode(Kind::PeerRequest, &announce).unwrap(),
            [1, 10, 1, 3, 1, 2, 42, 0, 1, 1, 6, 80, 1, 60]
        );

        let answers = [
            (Answer::Append(AppendAnswer::Conflict), vec![0, 2]),
            (VoteResponse::new(vote(3, 5, false), None, true).into(), vec![1, 3, 1, 5, 0, 1, 0]),
            (Answer::Failed("x".into()), vec![5, 1, b'x']),
        ];
        for (answer, body) in answers {
            let golden = [&[1, 11, 1][..], &body].concat();
            assert_eq!(codec::encode(Kind::PeerAnswer, &answer).unwrap(), golden, "{answer:?}");
        }
    }

    #[test]
    fn an_append_comes_back_as_it_was() {
        let entries = (4..8).map(|index| Entry { log_id: log_id(2, index), payload: Payload::Blank }).collect();
        let request = AppendEntriesRequest::<RaftTypes> {
            vote: vote(2, 5, true),
            prev_log_id: Some(log_id(1, 3)),
            entries,
            leader_commit: Some(log_id(1, 2)),
        };
        let Request::Append { vote, prev, committed, entries } = Request::append(&request).unwrap() else {
            panic!("it is an append");
        };
        let back = append_request(vote, prev, committed, &entries).unwrap();
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
    }

    #[test]
    fn versions_agree_on_the_highest_that_both_speak() {
        let versions = |lowest, highest| Versions { lowest, highest };
        for (one, other, agreed) in [
            (versions(1, 1), versions(1, 1), Some(1)),
            (versions(1, 3), versions(2, 5), Some(3)),
            (versions(1, 2), versions(3, 5), None),
            (versions(3, 5), versions(1, 2), None),
            (versions(2, 2), versions(3, 1), None),
        ] {
            assert_eq!(one.agreed(other), agreed, "{one:?} {other:?}");
            assert_eq!(other.agreed(one), agreed, "{other:?} {one:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_no_panic(kind in 8u8..12, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let message = [&[1, kind, 1][..], &bytes].concat();
            let _ = codec::decode::<Hello>(Kind::Hello, &message);
            let _ = codec::decode::<Welcome>(Kind::Welcome, &message);
            let _ = codec::decode::<Answer>(Kind::PeerAnswer, &message);
            if let Ok(Request::Append { vote, prev, committed, entries }) = codec::decode(Kind::PeerRequest, &message) {
                let _ = append_request(vote, prev, committed, &entries);
            }
        }
    }
}
