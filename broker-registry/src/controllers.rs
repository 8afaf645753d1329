//! Whether every controller of the quorum is ready for the migration.

use std::collections::BTreeMap;
use std::fmt;

use metadata_core::controllers::{ControllerAnnouncement, ZooKeeperFingerprint};
use metadata_core::id::NodeId;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};

/// Why a controller keeps the migration waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadyControllerReason {
    /// It votes, and nothing is known of it.
    NoInformation,
    /// It was started without `zookeeper.metadata.migration.enable`. Were it elected, it would end the migration.
    WithoutTheFlag,
    /// It does not support the log's metadata version.
    OtherMetadataVersion {
        /// What it supports.
        supported: MetadataVersionRange,
        /// The log's.
        expected: MetadataVersion,
    },
    /// Its ZooKeeper settings are not this controller's.
    OtherZooKeeper {
        /// Its settings; `None` when it has none or does not tell.
        theirs: Option<ZooKeeperFingerprint>,
        /// This controller's.
        expected: ZooKeeperFingerprint,
    },
    /// It does not reach ZooKeeper.
    ZooKeeperOutOfReach,
    /// It is no voter as far as the log knows, though it asks: this controller itself.
    NoVoter,
}

impl fmt::Display for UnreadyControllerReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInformation => {
                f.write_str("has told nothing about itself: start it, and see that it reaches the active controller")
            }
            Self::WithoutTheFlag => {
                f.write_str("was started without zookeeper.metadata.migration.enable: restart it with it")
            }
            Self::OtherMetadataVersion { supported, expected } => {
                write!(f, "supports metadata.version {supported}, and the log has {expected}: replace its software")
            }
            Self::OtherZooKeeper { theirs: Some(theirs), expected } => write!(
                f,
                "has other ZooKeeper settings than this controller (fingerprints {theirs} and {expected}): give all \
                 controllers one configuration"
            ),
            Self::OtherZooKeeper { theirs: None, .. } => {
                f.write_str("has no ZooKeeper settings: give all controllers one configuration")
            }
            Self::ZooKeeperOutOfReach => {
                f.write_str("does not reach ZooKeeper: mend its way there, since it could not go on with the migration")
            }
            Self::NoVoter => f.write_str("is this controller, and no voter of the quorum"),
        }
    }
}

/// A controller that keeps the migration waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadyController {
    /// Which.
    pub id: NodeId,
    /// Why.
    pub reason: UnreadyControllerReason,
}

impl fmt::Display for UnreadyController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "controller {} {}", self.id, self.reason)
    }
}

/// What every controller must agree with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedOfControllers {
    /// This controller.
    pub id: NodeId,
    /// The log's metadata version.
    pub metadata_version: MetadataVersion,
    /// This controller's ZooKeeper settings; `None` when they can't be compared.
    pub zookeeper_fingerprint: Option<ZooKeeperFingerprint>,
}

/// Every reason for which the controllers are not ready to enter a migration, by id; none if all are. `voters` is as from
/// the port [`Controllers`](metadata_core::controllers::Controllers). No voters at all are no readiness: Kafka 3.9 takes an
/// empty list for one (KIP-853's quorums have no static list).
pub fn unready_controllers(
    voters: &BTreeMap<NodeId, Option<ControllerAnnouncement>>,
    expected: &ExpectedOfControllers,
) -> Vec<UnreadyController> {
    let mut unready = Vec::new();
    if !voters.contains_key(&expected.id) {
        unready.push(UnreadyController { id: expected.id, reason: UnreadyControllerReason::NoVoter });
    }
    for (id, announcement) in voters {
        let reasons = match announcement {
            None => vec![UnreadyControllerReason::NoInformation],
            Some(announcement) => unready_reasons(announcement, expected),
        };
        unready.extend(reasons.into_iter().map(|reason| UnreadyController { id: *id, reason }));
    }
    unready.sort_by_key(|controller| controller.id);
    unready
}

fn unready_reasons(
    announcement: &ControllerAnnouncement,
    expected: &ExpectedOfControllers,
) -> Vec<UnreadyControllerReason> {
    let mut reasons = Vec::new();
    if !announcement.migration_enabled {
        reasons.push(UnreadyControllerReason::WithoutTheFlag);
    }
    let supported = announcement.metadata_versions;
    if !supported.contains(expected.metadata_version) {
        let expected = expected.metadata_version;
        reasons.push(UnreadyControllerReason::OtherMetadataVersion { supported, expected });
    }
    if let Some(expected) = expected.zookeeper_fingerprint
        && announcement.zookeeper_fingerprint != Some(expected)
    {
        let theirs = announcement.zookeeper_fingerprint;
        reasons.push(UnreadyControllerReason::OtherZooKeeper { theirs, expected });
    }
    if announcement.zookeeper_reachable == Some(false) {
        reasons.push(UnreadyControllerReason::ZooKeeperOutOfReach);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> ControllerAnnouncement {
        ControllerAnnouncement {
            migration_enabled: true,
            metadata_versions: MetadataVersionRange::production(),
            zookeeper_fingerprint: Some(ZooKeeperFingerprint::of_digest([1; 32])),
            zookeeper_reachable: Some(true),
        }
    }

    fn expected() -> ExpectedOfControllers {
        ExpectedOfControllers {
            id: NodeId(3000),
            metadata_version: MetadataVersion::V3_9_IV0,
            zookeeper_fingerprint: Some(ZooKeeperFingerprint::of_digest([1; 32])),
        }
    }

    /// The reasons when voter 3001 announces this, beside a ready 3000.
    fn reasons(announced: Option<ControllerAnnouncement>) -> Vec<(i32, UnreadyControllerReason)> {
        let voters = BTreeMap::from([(NodeId(3000), Some(announcement())), (NodeId(3001), announced)]);
        unready_controllers(&voters, &expected()).into_iter().map(|it| (it.id.0, it.reason)).collect()
    }

    #[test]
    fn each_reason_has_its_row() {
        use UnreadyControllerReason as Reason;
        let old = MetadataVersionRange::of_levels(1, 20).unwrap();
        let elsewhere = ZooKeeperFingerprint::of_digest([2; 32]);
        let mine = ZooKeeperFingerprint::of_digest([1; 32]);
        let too_old = Reason::OtherMetadataVersion { supported: old, expected: MetadataVersion::V3_9_IV0 };
        let strange = |theirs| Reason::OtherZooKeeper { theirs, expected: mine };
        let table: [(Option<ControllerAnnouncement>, Vec<Reason>); 9] = [
            (Some(announcement()), vec![]),
            (None, vec![Reason::NoInformation]),
            (Some(ControllerAnnouncement { migration_enabled: false, ..announcement() }), vec![Reason::WithoutTheFlag]),
            (Some(ControllerAnnouncement { metadata_versions: old, ..announcement() }), vec![too_old]),
            (
                Some(ControllerAnnouncement { zookeeper_fingerprint: Some(elsewhere), ..announcement() }),
                vec![strange(Some(elsewhere))],
            ),
            (Some(ControllerAnnouncement { zookeeper_fingerprint: None, ..announcement() }), vec![strange(None)]),
            (Some(ControllerAnnouncement { zookeeper_reachable: None, ..announcement() }), vec![]),
            (
                Some(ControllerAnnouncement { zookeeper_reachable: Some(false), ..announcement() }),
                vec![Reason::ZooKeeperOutOfReach],
            ),
            (
                Some(ControllerAnnouncement {
                    migration_enabled: false,
                    metadata_versions: old,
                    zookeeper_fingerprint: None,
                    zookeeper_reachable: Some(false),
                }),
                vec![Reason::WithoutTheFlag, too_old, strange(None), Reason::ZooKeeperOutOfReach],
            ),
        ];
        for (announced, expected) in table {
            let expected: Vec<_> = expected.into_iter().map(|reason| (3001, reason)).collect();
            assert_eq!(reasons(announced.clone()), expected, "{announced:?}");
        }
    }

    /// Kafka asks a static list, and is content when it is empty (G27).
    #[test]
    fn without_voters_nobody_is_ready() {
        let unready = unready_controllers(&BTreeMap::new(), &expected());
        assert_eq!(
            unready.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["controller 3000 is this controller, and no voter of the quorum"]
        );
    }

    #[test]
    fn settings_that_can_not_be_compared_are_not_compared() {
        let expected = ExpectedOfControllers { zookeeper_fingerprint: None, ..expected() };
        assert_eq!(unready_controllers(&[(NodeId(3000), Some(announcement()))].into(), &expected), []);
    }

    #[test]
    fn both_versions_are_shown() {
        let old = MetadataVersionRange::of_levels(1, 20).unwrap();
        let voters = [(NodeId(3000), Some(ControllerAnnouncement { metadata_versions: old, ..announcement() }))].into();
        let text = unready_controllers(&voters, &expected())[0].to_string();
        assert!(text.contains("3.0-IV1 to 3.8-IV0") && text.contains("3.9-IV0"), "{text}");
    }
}
