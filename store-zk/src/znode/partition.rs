//! `/brokers/topics/T/partitions/P/state`: who leads (Kafka: `TopicPartitionStateZNode`). The partition's epoch is not in
//! the data: it is the znode's version.

use bytes::Bytes;
use metadata_core::id::{LeaderEpoch, NodeId, ZkControllerEpoch};
use metadata_core::image::LeaderRecoveryState;

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// The content of a partition's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// The leader, if there is one.
    pub leader: Option<NodeId>,
    /// Its epoch.
    pub leader_epoch: LeaderEpoch,
    /// Epoch of the controller that wrote this. A ZooKeeper-mode controller whose own epoch is lower refuses to touch the
    /// partition, so a KRaft epoch must never get here.
    pub controller_epoch: ZkControllerEpoch,
    /// In-sync replicas.
    pub isr: Vec<NodeId>,
    /// Whether the leader still recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
}

impl PartitionState {
    /// Decodes it; `version` is not looked at, as in Kafka.
    ///
    /// # Errors
    /// Not a JSON object, a value missing or of the wrong type. Kafka takes broken JSON for a missing state, which makes
    /// the leader epoch start again at 0.
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let json = Object::parse(data)?;
        let leader = match json.int("leader")? {
            -1 => None,
            id if id >= 0 => Some(NodeId(id)),
            id => return Err(Malformed::new(format!("`leader` is {id}, neither a broker nor -1"))),
        };
        let recovery = json.opt_int("leader_recovery_state")?.unwrap_or_default();
        let leader_recovery_state = i8::try_from(recovery)
            .ok()
            .and_then(LeaderRecoveryState::from_code)
            .ok_or_else(|| Malformed::new(format!("`leader_recovery_state` {recovery} is unknown")))?;
        Ok(Self {
            leader,
            leader_epoch: LeaderEpoch(json.int("leader_epoch")?),
            controller_epoch: ZkControllerEpoch(json.int("controller_epoch")?),
            isr: json.ints("isr")?.into_iter().map(NodeId).collect(),
            leader_recovery_state,
        })
    }

    /// Encodes it as version 1. The recovery state is written only when the leader recovers.
    pub fn encode(&self) -> Bytes {
        let json = ObjectWriter::new()
            .int("version", 1)
            .int("leader", self.leader.unwrap_or(NodeId::NONE).0)
            .int("leader_epoch", self.leader_epoch.0)
            .int("controller_epoch", self.controller_epoch.0)
            .ints("isr", self.isr.iter().map(|id| id.0));
        match self.leader_recovery_state {
            LeaderRecoveryState::Recovered => json.finish(),
            state => json.int("leader_recovery_state", state.code()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kafkas_form_is_read_and_written() {
        let json = r#"{"version":1,"leader":2,"leader_epoch":14,"controller_epoch":7,"isr":[2,1]}"#;
        let state = PartitionState::decode(json.as_bytes()).unwrap();
        assert_eq!(state.leader, Some(NodeId(2)));
        assert_eq!(state.leader_recovery_state, LeaderRecoveryState::Recovered);
        assert_eq!(state.encode(), json);
    }

    #[test]
    fn no_leader_and_recovering_have_kafkas_spelling() {
        let state = PartitionState {
            leader: None,
            leader_epoch: LeaderEpoch(0),
            controller_epoch: ZkControllerEpoch(1),
            isr: Vec::new(),
            leader_recovery_state: LeaderRecoveryState::Recovering,
        };
        let json = state.encode();
        assert_eq!(
            json,
            r#"{"version":1,"leader":-1,"leader_epoch":0,"controller_epoch":1,"isr":[],"leader_recovery_state":1}"#
        );
        assert_eq!(PartitionState::decode(&json), Ok(state));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (r#"{"leader":-2,"leader_epoch":0,"controller_epoch":1,"isr":[]}"#, "`leader`"),
            (r#"{"leader":1,"leader_epoch":"0","controller_epoch":1,"isr":[]}"#, "`leader_epoch`"),
            (r#"{"leader":1,"leader_epoch":0,"isr":[]}"#, "`controller_epoch`"),
            (r#"{"leader":1,"leader_epoch":0,"controller_epoch":1,"isr":{}}"#, "`isr`"),
            (
                r#"{"leader":1,"leader_epoch":0,"controller_epoch":1,"isr":[],"leader_recovery_state":256}"#,
                "`leader_recovery_state`",
            ),
        ];
        for (json, reason) in cases {
            let error = PartitionState::decode(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_state_survives_the_round_trip(
            leader in proptest::option::of(0..i32::MAX),
            leader_epoch: i32,
            controller_epoch: i32,
            isr: Vec<i32>,
            recovering: bool,
        ) {
            let state = PartitionState {
                leader: leader.map(NodeId),
                leader_epoch: LeaderEpoch(leader_epoch),
                controller_epoch: ZkControllerEpoch(controller_epoch),
                isr: isr.into_iter().map(NodeId).collect(),
                leader_recovery_state: LeaderRecoveryState::from_code(i8::from(recovering)).unwrap(),
            };
            prop_assert_eq!(PartitionState::decode(&state.encode()), Ok(state));
        }

        #[test]
        fn arbitrary_bytes_never_panic(data: Vec<u8>) {
            let _ = PartitionState::decode(&data);
        }
    }
}
