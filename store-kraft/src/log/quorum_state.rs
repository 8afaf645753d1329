//! `quorum-state`: the last known leader (`FileQuorumStateStore.java`, `QuorumStateData.json` version 0).
//!
//! Ours is written for Kafka alone: a controller that takes the directory over starts in the right epoch. What this crate
//! itself votes by is Raft's own vote file.

use std::path::Path;

use metadata_core::id::{KRaftLeaderEpoch, NodeId};
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
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
    pub(crate) fn read_epoch(path: &Path) -> Result<Option<KRaftLeaderEpoch>, LogError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Epoch {
            leader_epoch: i32,
        }
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.during("read", path)?,
        };
        let parsed: Epoch = serde_json::from_str(&text).map_err(|error| {
            let reason = format!("it is no quorum state of Kafka: {error}");
            Damage { file: path.to_owned(), position: 0, offset: None, reason }
        })?;
        Ok(Some(KRaftLeaderEpoch(parsed.leader_epoch)))
    }

    fn to_text(&self) -> String {
        // Numbers and fixed texts alone: there is nothing that could fail to become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> DiskResult<()> {
        disk.replace(path, self.to_text().as_bytes())
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
    fn the_text_is_kafkas() {
        let state = QuorumState::new(Some(NodeId(3000)), KRaftLeaderEpoch(5), &[NodeId(3001), NodeId(3000)]);
        assert_eq!(
            state.to_text(),
            r#"{"clusterId":"","leaderId":3000,"leaderEpoch":5,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":3001},{"voterId":3000}],"data_version":0}"#
        );
    }
}
