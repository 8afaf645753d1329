//! `quorum-state`: the last known leader (`FileQuorumStateStore.java`, `QuorumStateData.json` version 0).
//!
//! Ours is written for Kafka alone: a controller that takes the directory over starts in the right epoch. What this crate
//! itself votes by is Raft's own vote file.

use std::path::Path;

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId};
use metadata_core::uuid::Uuid;
use serde::{Deserialize, Serialize};

use super::damage::{Damage, LogError};
use crate::disk::{Disk, DiskResult, During};

/// The file's content. The fields' order is Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QuorumState {
    cluster_id: &'static str,
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    applied_offset: i64,
    current_voters: Vec<Voter>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Voter {
    voter_id: i32,
}

impl QuorumState {
    /// `leader` leads in `epoch`, elected by `voters`. Kafka never writes the cluster id and the applied offset.
    pub(crate) fn new(leader: Option<NodeId>, epoch: KRaftLeaderEpoch, voters: &[NodeId]) -> Self {
        Self {
            cluster_id: "",
            leader_id: leader.unwrap_or(NodeId::NONE).0,
            leader_epoch: epoch.0,
            voted_id: NodeId::NONE.0,
            applied_offset: 0,
            current_voters: voters.iter().map(|voter| Voter { voter_id: voter.0 }).collect(),
            data_version: 0,
        }
    }

    /// The epoch in the file, if there is a file.
    pub(crate) fn read_epoch(path: &Path) -> std::result::Result<Option<KRaftLeaderEpoch>, LogError> {
        Ok(FoundQuorumState::find(path)?.map(|found| found.leader_epoch))
    }

    fn to_text(&self) -> String {
        // Numbers and fixed texts alone: there is nothing that could fail to become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> DiskResult<()> {
        disk.replace(path, self.to_text().as_bytes())
    }
}

/// What a `quorum-state` says, in either of Kafka's versions: 0 while the voters are in the configuration, 1 once they are
/// in the log (KIP-853).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundQuorumState {
    /// Kafka's `data_version`.
    pub version: i16,
    /// The leader that was known.
    pub leader: Option<NodeId>,
    /// Its epoch.
    pub leader_epoch: KRaftLeaderEpoch,
    /// For whom this voter voted in that epoch.
    pub voted: Option<NodeId>,
    /// The directory of whom it voted for. Version 1 alone.
    pub voted_directory: Option<DirectoryId>,
    /// Everybody who may vote. Version 0 alone.
    pub voters: Vec<NodeId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Version0 {
    #[serde(rename = "clusterId")]
    _cluster_id: String,
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    #[serde(rename = "appliedOffset")]
    _applied_offset: i64,
    current_voters: Vec<Voter>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Version1 {
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    voted_directory_id: String,
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(Deserialize)]
struct AnyVersion {
    data_version: i16,
}

impl FoundQuorumState {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or is no quorum state of a version that we know.
    pub fn read(path: &Path) -> Result<Self> {
        let missing = || Error::not_applied(ErrorKind::Invalid, format!("{} does not exist", path.display()));
        Self::find(path)?.ok_or_else(missing)
    }

    /// The same, or `None` if there is no file.
    fn find(path: &Path) -> std::result::Result<Option<Self>, LogError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.during("read", path)?,
        };
        let damage = |reason| Damage { file: path.to_owned(), position: 0, offset: None, reason };
        Self::parse(&text).map(Some).map_err(|reason| damage(reason).into())
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("it is no quorum state of Kafka: {error}");
        match serde_json::from_str::<AnyVersion>(text).map_err(wrong)?.data_version {
            0 => {
                let found: Version0 = serde_json::from_str(text).map_err(wrong)?;
                Ok(Self {
                    version: found.data_version,
                    leader: NodeId(found.leader_id).known(),
                    leader_epoch: KRaftLeaderEpoch(found.leader_epoch),
                    voted: NodeId(found.voted_id).known(),
                    voted_directory: None,
                    voters: found.current_voters.iter().map(|voter| NodeId(voter.voter_id)).collect(),
                })
            }
            1 => {
                let found: Version1 = serde_json::from_str(text).map_err(wrong)?;
                let directory: Uuid = found
                    .voted_directory_id
                    .parse()
                    .map_err(|error| format!("it is no quorum state of Kafka: votedDirectoryId: {error}"))?;
                let voted = NodeId(found.voted_id).known();
                Ok(Self {
                    version: found.data_version,
                    leader: NodeId(found.leader_id).known(),
                    leader_epoch: KRaftLeaderEpoch(found.leader_epoch),
                    voted,
                    voted_directory: voted.map(|_| DirectoryId(directory)),
                    voters: Vec::new(),
                })
            }
            other => Err(format!("quorum state version {other} is unknown, 0 and 1 are known; a newer Kafka wrote it")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_read_from_both_of_kafkas_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quorum-state");
        assert_eq!(QuorumState::read_epoch(&path).unwrap(), None);
        for text in [
            QuorumState::new(None, KRaftLeaderEpoch(6), &[NodeId(1)]).to_text(),
            r#"{"leaderId":-1,"leaderEpoch":6,"votedId":1,"votedDirectoryId":"J8aAPcfLQt2bqs1JT_rMgQ","data_version":1}"#.into(),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(QuorumState::read_epoch(&path).unwrap(), Some(KRaftLeaderEpoch(6)));
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(QuorumState::read_epoch(&path), Err(LogError::Damage(_))));
    }

    #[test]
    fn both_versions_are_read_with_all_their_fields() {
        let text = QuorumState::new(Some(NodeId(2)), KRaftLeaderEpoch(5), &[NodeId(1), NodeId(2)]).to_text();
        let found = FoundQuorumState {
            version: 0,
            leader: Some(NodeId(2)),
            leader_epoch: KRaftLeaderEpoch(5),
            voted: None,
            voted_directory: None,
            voters: vec![NodeId(1), NodeId(2)],
        };
        assert_eq!(FoundQuorumState::parse(&text), Ok(found));
        let id = "J8aAPcfLQt2bqs1JT_rMgQ";
        let text = |voted: i32| {
            format!(r#"{{"leaderId":-1,"leaderEpoch":6,"votedId":{voted},"votedDirectoryId":"{id}","data_version":1}}"#)
        };
        let found = FoundQuorumState {
            version: 1,
            leader: None,
            leader_epoch: KRaftLeaderEpoch(6),
            voted: Some(NodeId(1)),
            voted_directory: Some(DirectoryId(id.parse().unwrap())),
            voters: Vec::new(),
        };
        assert_eq!(FoundQuorumState::parse(&text(1)), Ok(found));
        assert_eq!(FoundQuorumState::parse(&text(-1)).unwrap().voted_directory, None);
    }

    #[test]
    fn what_a_newer_kafka_may_write_is_refused_by_name() {
        for (text, says) in [
            (r#"{"data_version":2}"#, "quorum state version 2 is unknown"),
            (
                r#"{"leaderId":1,"leaderEpoch":6,"votedId":1,"votedDirectoryId":"","x":1,"data_version":1}"#,
                "unknown field `x`",
            ),
            (
                r#"{"leaderId":1,"leaderEpoch":6,"votedId":1,"votedDirectoryId":"?","data_version":1}"#,
                "votedDirectoryId",
            ),
            ("[]", "no quorum state"),
        ] {
            let reason = FoundQuorumState::parse(text).unwrap_err();
            assert!(reason.contains(says), "{text}: {reason}");
        }
    }

    #[test]
    fn the_text_is_kafkas() {
        let state = QuorumState::new(Some(NodeId(3000)), KRaftLeaderEpoch(5), &[NodeId(3001), NodeId(3000)]);
        assert_eq!(
            state.to_text(),
            r#"{"clusterId":"","leaderId":3000,"leaderEpoch":5,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":3001},{"voterId":3000}],"data_version":0}"#
        );
    }
}
