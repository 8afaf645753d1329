//! When a leader makes room for another because ZooKeeper is out of its reach.
//!
//! The metadata quorum elects by who has the log, and knows nothing of ZooKeeper. A leader that is cut off from ZooKeeper alone
//! would lead for ever, and ZooKeeper would fall behind, while another voter could go on. Kafka 3.9 waits.

use std::collections::BTreeMap;
use std::time::Duration;

use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::id::NodeId;
use metadata_core::record::ZkMigrationState;

/// Whether the leader `own`, which has not reached ZooKeeper for `out_of_reach`, should resign: for longer than `patience`, while
/// another voter says that it does reach it. Where nobody does, another leader would be no better; and in a log that says
/// `state` POST_MIGRATION or NONE nobody has any use for ZooKeeper.
pub fn should_resign(
    state: ZkMigrationState,
    own: NodeId,
    out_of_reach: Option<Duration>,
    patience: Duration,
    voters: &BTreeMap<NodeId, Option<ControllerAnnouncement>>,
) -> bool {
    let reaches = |(id, told): (&NodeId, &Option<ControllerAnnouncement>)| {
        *id != own && told.as_ref().is_some_and(|told| told.migration_enabled && told.zookeeper_reachable == Some(true))
    };
    let concerned = !matches!(state, ZkMigrationState::PostMigration | ZkMigrationState::None);
    concerned && out_of_reach.is_some_and(|out_of_reach| out_of_reach >= patience) && voters.iter().any(reaches)
}

#[cfg(test)]
mod tests {
    use metadata_core::metadata_version::MetadataVersionRange;

    use super::*;

    #[test]
    fn each_row() {
        let voter = |migration_enabled, zookeeper_reachable| {
            Some(ControllerAnnouncement {
                migration_enabled,
                metadata_versions: MetadataVersionRange::production(),
                zookeeper_fingerprint: None,
                zookeeper_reachable,
            })
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (name, out_of_reach, others, expected) in [
            ("it is reached", None, vec![voter(true, Some(true))], false),
            ("not for long", seconds(4), vec![voter(true, Some(true))], false),
            (
                "long enough, and another reaches it",
                seconds(5),
                vec![voter(true, Some(false)), voter(true, Some(true))],
                true,
            ),
            ("nobody reaches it", seconds(50), vec![voter(true, Some(false)), voter(true, Some(false))], false),
            ("the others have not told", seconds(50), vec![None, voter(true, None)], false),
            ("the one that reaches it would not migrate", seconds(50), vec![voter(false, Some(true))], false),
            ("a quorum of one", seconds(50), vec![], false),
        ] {
            let own = (NodeId(1), voter(true, Some(true)));
            let voters = (2..).map(NodeId).zip(others).chain([own]).collect();
            let resigns = |state| should_resign(state, NodeId(1), out_of_reach, Duration::from_secs(5), &voters);
            assert_eq!(resigns(ZkMigrationState::Migration), expected, "{name}");
            assert_eq!(resigns(ZkMigrationState::PreMigration), expected, "{name}");
            assert!(!resigns(ZkMigrationState::PostMigration) && !resigns(ZkMigrationState::None), "{name}");
        }
    }
}
