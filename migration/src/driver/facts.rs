//! What a decision is made on, gathered by the runner.

use std::collections::BTreeMap;

use broker_registry::{ExpectedOfControllers, UnreadyControllerReason, unready_controllers};
use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::{NodeId, Offset};
use metadata_core::image::MetadataImage;
use metadata_core::record::ZkMigrationState;
use metadata_core::store::Survey;

use super::decision::{Decision, LogFinding, MarkerFinding, PeerFlags, decide};

/// Everything that the active controller decides on.
#[derive(Debug)]
pub struct Facts {
    /// What the log says.
    pub log: LogFinding,
    /// Our own flag.
    pub own: bool,
    /// The other voters.
    pub peers: Peers,
    /// What ZooKeeper says.
    pub marker: MarkerFinding,
    /// Why ZooKeeper can't be claimed, in words, where `marker` says that it can't.
    pub refusal: Option<Error>,
}

impl Facts {
    /// The decision of the table.
    pub fn decision(&self) -> Decision {
        decide(self.log, self.own, self.peers.flags, self.marker)
    }

    /// Why the decision keeps the migration waiting or ends it, and what would help; `None` when it leads on.
    pub(super) fn waits_for(&self) -> Option<String> {
        let refusal = || self.refusal.as_ref().map(|error| crate::failure::chain(error));
        match self.decision() {
            Decision::WaitForControllers => Some(self.disagreement().join("; ")),
            Decision::Deposed | Decision::ZkGoverned | Decision::RefuseMarker => refusal(),
            Decision::RefuseOldCopy => refusal().or_else(|| {
                Some(
                    "ZooKeeper holds what this log has copied once, and the log knows nothing of it: the data directory \
                     is an old copy; start the controller on its newest one"
                        .to_owned(),
                )
            }),
            Decision::RefuseBornInKRaft => Some(
                "the metadata log is in state NONE: this cluster was created in KRaft mode and has nothing to migrate. \
                 Remove zookeeper.metadata.migration.enable; to migrate another cluster, start with a freshly formatted \
                 directory"
                    .to_owned(),
            ),
            Decision::RefuseFilledLog => Some(
                "the metadata log is in state PRE_MIGRATION with metadata in it that no copy put there, and can't be \
                 migrated into; start with a freshly formatted directory"
                    .to_owned(),
            ),
            Decision::RefuseFrozen => Some(
                "the metadata log is in state PRE_MIGRATION, so no metadata can be changed until the copy is made, and this \
                 controller lacks zookeeper.metadata.migration.enable; set it, or let a controller lead that has it"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// What is said of settings that have no effect any more, or never had one (S72, S77): whoever is here has them.
    pub(super) fn left_behind(&self) -> Option<&'static str> {
        match self.decision() {
            Decision::Finalized => Some(
                "the migration is finalized, so this controller's ZooKeeper settings have no effect any more, \
                 zookeeper.metadata.migration.enable among them: remove them",
            ),
            Decision::PlainKRaft => Some(
                "this cluster was created in KRaft mode, so this controller's ZooKeeper settings have no effect: remove \
                 them",
            ),
            _ => None,
        }
    }

    /// Who disagrees about the flag, a sentence each, and what must become of it.
    pub(super) fn disagreement(&self) -> Vec<String> {
        self.peers.disagreement(self.own, self.log == LogFinding::Migration)
    }
}

/// The flags of the other voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// Together.
    pub flags: PeerFlags,
    /// Each voter that differs from what we have, or tells nothing, in words.
    pub disagreeing: Vec<String>,
}

impl Peers {
    /// No other voter: nobody disagrees.
    pub fn none(own: bool) -> Self {
        Self { flags: if own { PeerFlags::Everywhere } else { PeerFlags::Nowhere }, disagreeing: Vec::new() }
    }

    /// Nothing can be told about them.
    pub fn unknown() -> Self {
        let disagreeing = vec!["what the other controllers announce can't be told now".to_owned()];
        Self { flags: PeerFlags::Mixed, disagreeing }
    }

    /// Who disagrees about the flag, a sentence each, and what must become of it: once everything is `copied`, and before.
    pub(crate) fn disagreement(&self, own: bool, copied: bool) -> Vec<String> {
        let own = if own { "has" } else { "lacks" };
        let then = if copied {
            "nothing is finalized until no controller has it"
        } else {
            "a migration starts once every controller has it"
        };
        let ours = format!("this controller {own} zookeeper.metadata.migration.enable, and {then}");
        self.disagreeing.iter().cloned().chain([ours]).collect()
    }

    /// Judges what the voters announce. `voters` may hold ourselves, who know our own flag best. With the flag all of
    /// [`unready_controllers`]'s rules count, not the flag alone: a controller that could not go on is no successor.
    pub fn of(
        voters: &BTreeMap<NodeId, Option<ControllerAnnouncement>>,
        expected: &ExpectedOfControllers,
        own: bool,
    ) -> Self {
        // No voters at all say nothing: Kafka takes them for agreement (G27).
        let enabled = |flag| {
            let mut others = voters.iter().filter(|(id, _)| **id != expected.id).map(|(_, told)| told);
            !voters.is_empty() && others.all(|told| told.as_ref().is_some_and(|told| told.migration_enabled == flag))
        };
        let mut out_of_reach = false;
        let disagreeing: Vec<String> = if own {
            use UnreadyControllerReason::{NoInformation, NoVoter, ZooKeeperOutOfReach};
            let mut unready = unready_controllers(voters, expected);
            unready.retain(|it| it.id != expected.id || it.reason == NoVoter);
            out_of_reach = unready.iter().all(|it| matches!(it.reason, NoInformation | ZooKeeperOutOfReach));
            unready.iter().map(ToString::to_string).collect()
        } else {
            let others = voters.iter().filter(|(id, _)| **id != expected.id);
            others.filter_map(|(id, told)| disagreement_about_leaving(*id, told.as_ref())).collect()
        };
        let flags = match own {
            true if disagreeing.is_empty() => PeerFlags::Everywhere,
            true if out_of_reach => PeerFlags::OutOfReach,
            true if voters.len() > 1 && enabled(false) => PeerFlags::Nowhere,
            false if enabled(false) => PeerFlags::Nowhere,
            false if enabled(true) => PeerFlags::Everywhere,
            _ => PeerFlags::Mixed,
        };
        Self { flags, disagreeing }
    }
}

fn disagreement_about_leaving(id: NodeId, told: Option<&ControllerAnnouncement>) -> Option<String> {
    match told {
        None => Some(format!("controller {id} has not told whether it has zookeeper.metadata.migration.enable")),
        Some(told) => {
            told.migration_enabled.then(|| format!("controller {id} has zookeeper.metadata.migration.enable"))
        }
    }
}

impl LogFinding {
    /// Judges an image at the log's end.
    pub fn of(image: &MetadataImage) -> Self {
        let free = image.is_free_of_cluster_metadata();
        match image.zk_migration_state() {
            _ if free && image.features().metadata_version().is_none() => Self::Empty,
            ZkMigrationState::PreMigration if free => Self::Pre,
            ZkMigrationState::PreMigration => Self::PreFilled,
            ZkMigrationState::Migration => Self::Migration,
            ZkMigrationState::PostMigration => Self::Post,
            // State ZK is what a broker's metric says and never stands in a log.
            ZkMigrationState::None | ZkMigrationState::Zk => Self::Born,
        }
    }
}

impl MarkerFinding {
    /// Judges what a look at ZooKeeper gave.
    ///
    /// # Errors
    /// What says nothing about the marker: ZooKeeper could not be asked.
    pub fn of(survey: Result<Survey, Error>) -> Result<(Self, Option<Error>), Error> {
        let refused = match survey {
            Ok(Survey { claimed_before: false, .. }) => return Ok((Self::Absent, None)),
            // Offset 0 alone is what a log begins with.
            Ok(Survey { position, .. }) if position.last().is_none_or(|last| last <= Offset(0)) => {
                return Ok((Self::Unwritten, None));
            }
            Ok(_) => return Ok((Self::Written, None)),
            Err(refused) => refused,
        };
        let finding = match refused.kind() {
            ErrorKind::ControllerFenced => Self::Newer,
            ErrorKind::GovernedElsewhere => Self::Governed,
            ErrorKind::Corrupt => Self::Ahead,
            ErrorKind::Invalid | ErrorKind::Unsupported => Self::Refused,
            _ => return Err(refused),
        };
        Ok((finding, Some(refused)))
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::image::MetadataDelta;
    use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
    use metadata_core::record::{FeatureLevelRecord, MetadataRecord, RegisterBrokerRecord, TopicRecord};

    use super::*;

    fn told(flag: bool) -> Option<ControllerAnnouncement> {
        Some(ControllerAnnouncement {
            migration_enabled: flag,
            metadata_versions: MetadataVersionRange::only(MetadataVersion::V3_9_IV0),
            zookeeper_fingerprint: None,
            zookeeper_reachable: None,
        })
    }

    fn without_zookeeper() -> Option<ControllerAnnouncement> {
        told(true).map(|told| ControllerAnnouncement { zookeeper_reachable: Some(false), ..told })
    }

    fn expected() -> ExpectedOfControllers {
        ExpectedOfControllers {
            id: NodeId(9),
            metadata_version: MetadataVersion::V3_9_IV0,
            zookeeper_fingerprint: None,
        }
    }

    /// S63: registrations come before the copy; anything else that stands there no copy has put there.
    #[test]
    fn a_log_is_judged_by_its_state_and_by_what_it_holds() {
        let name = MetadataVersion::FEATURE_NAME.to_owned();
        let level = || -> MetadataRecord {
            FeatureLevelRecord { name: name.clone(), feature_level: 21, ..Default::default() }.into()
        };
        let topic = || -> MetadataRecord { TopicRecord { name: "t".into(), ..Default::default() }.into() };
        let broker = || -> MetadataRecord { RegisterBrokerRecord::default().into() };
        let state = |state: ZkMigrationState| -> MetadataRecord { state.to_record().into() };
        use ZkMigrationState::{Migration, PostMigration, PreMigration};
        let table = [
            (vec![], LogFinding::Empty),
            (vec![broker()], LogFinding::Empty),
            (vec![topic()], LogFinding::Born),
            (vec![level()], LogFinding::Born),
            (vec![level(), state(ZkMigrationState::None), topic()], LogFinding::Born),
            (vec![level(), state(PreMigration)], LogFinding::Pre),
            (vec![level(), state(PreMigration), broker()], LogFinding::Pre),
            (vec![level(), state(PreMigration), broker(), topic()], LogFinding::PreFilled),
            (vec![level(), state(Migration)], LogFinding::Migration),
            (vec![level(), state(Migration), topic()], LogFinding::Migration),
            (vec![level(), state(PostMigration), topic()], LogFinding::Post),
        ];
        for (records, finding) in table {
            let mut delta = MetadataDelta::new(&MetadataImage::empty());
            records.iter().for_each(|record| delta.replay(record).unwrap());
            assert_eq!(LogFinding::of(delta.image()), finding, "{records:?}");
        }
    }

    /// Kafka takes an empty list of voters for agreement (G27).
    #[test]
    fn no_voters_at_all_are_no_agreement() {
        for own in [true, false] {
            assert_eq!(Peers::of(&BTreeMap::new(), &expected(), own).flags, PeerFlags::Mixed, "{own}");
        }
    }

    #[test]
    fn a_controller_with_other_metadata_versions_is_no_successor() {
        let mut old = told(true);
        if let Some(old) = &mut old {
            old.metadata_versions = MetadataVersionRange::only(MetadataVersion::V3_6_IV1);
        }
        let voters = [(NodeId(9), told(true)), (NodeId(1), old)].into();
        let peers = Peers::of(&voters, &expected(), true);
        assert_eq!(peers.flags, PeerFlags::Mixed);
        assert!(peers.disagreeing[0].contains("3.6-IV1"), "{:?}", peers.disagreeing);
    }

    #[test]
    fn voters_that_tell_nothing_agree_with_nobody() {
        let table = [
            (vec![], true, PeerFlags::Everywhere, vec![]),
            (vec![], false, PeerFlags::Nowhere, vec![]),
            (vec![told(true), told(true)], true, PeerFlags::Everywhere, vec![]),
            (vec![told(false), told(false)], false, PeerFlags::Nowhere, vec![]),
            (vec![told(false), told(false)], true, PeerFlags::Nowhere, vec![1, 2]),
            (vec![told(true), told(false)], true, PeerFlags::Mixed, vec![2]),
            (vec![told(true), None], true, PeerFlags::OutOfReach, vec![2]),
            (vec![None, None], true, PeerFlags::OutOfReach, vec![1, 2]),
            (vec![told(false), None], true, PeerFlags::Mixed, vec![1, 2]),
            (vec![told(true), without_zookeeper()], true, PeerFlags::OutOfReach, vec![2]),
            (vec![told(false), without_zookeeper()], true, PeerFlags::Mixed, vec![1, 2]),
            (vec![told(true), None], false, PeerFlags::Mixed, vec![1, 2]),
            (vec![None, None], false, PeerFlags::Mixed, vec![1, 2]),
        ];
        for (others, own, flags, named) in table {
            let shown = format!("{others:?} {own}");
            let mut voters: BTreeMap<_, _> = (1..).map(NodeId).zip(others).collect();
            // What we announced ourselves is not asked.
            voters.insert(NodeId(9), told(!own));
            let peers = Peers::of(&voters, &expected(), own);
            assert_eq!(peers.flags, flags, "{shown}");
            assert_eq!(peers.disagreeing.len(), named.len(), "{shown}");
            for (text, id) in peers.disagreeing.iter().zip(named) {
                assert!(text.contains(&format!("controller {id} ")), "{text}");
            }
        }
    }
}
