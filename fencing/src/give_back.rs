//! The table of giving back: what ZooKeeper and our log say, and how its controller role goes back to the brokers.
//!
//! "Ours" is a KRaft registration of one of our voters, not newer than our log. First row that fits:
//!
//! | log | `/migration` | `/controller` | `/controller_epoch` | decision |
//! | --- | --- | --- | --- | --- |
//! | POST_MIGRATION | any | any | any | refuse: finalized |
//! | has metadata and no migration | any | any | any | refuse: not of a migration |
//! | sealed | none, or not ours | any | any | given back |
//! | any | of another quorum, or not written by us | any | any | refuse: foreign marker |
//! | any | ours | our own id, newer than our log | any | refuse: the log is an old copy |
//! | any | any | KRaft, not ours | any | refuse: another log's controller |
//! | any | none | ours | absent | refuse: no epoch to raise |
//! | any | none | ours | any | delete `/controller`, raise |
//! | MIGRATION | none | absent | below a partition's | raise |
//! | MIGRATION | none | absent, or a broker's | any | given back |
//! | any other | none | absent, or a broker's | any | nothing taken |
//! | any other | ours, something written | any | any | refuse: the marker is ahead of the log |
//! | MIGRATION | ours, not in our log | any | any | refuse: the marker is ahead of the log |
//! | any | ours | any | absent | refuse: no epoch to raise |
//! | any | ours | a broker's | as the marker says | refuse: governed elsewhere |
//! | any | ours | ours, or absent | as the marker says | delete both, raise; first finish what is half written |
//! | any | ours, half written | any | other version | refuse: governed elsewhere |
//! | any | ours, whole | a broker's | other version | delete the marker |
//! | any | ours, whole | ours, or absent | other version | delete both, raise |
//!
//! Where the role is held in state MIGRATION, the caller first makes the write chain stand still at a whole batch, and
//! decides again with that position. An epoch is raised above all epochs in partition states and in our log, and no
//! further than that a controller can still be elected.

use std::collections::BTreeSet;

use metadata_core::error::{Error, ErrorKind};
use metadata_core::give_back::{GiveBackStage, OwnLog, RaisedEpoch};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, ZkControllerEpoch, ZkVersion};
use metadata_core::record::ZkMigrationState;

use crate::claim::{
    ClaimRefusal, Marker, ObservedController, ObservedControllerEpoch, QuorumIdentity, SyncState, ZkFacts, in_log,
    own_marker,
};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiveBackDecision {
    /// What was found.
    pub stage: GiveBackStage,
    /// How `/controller_epoch` is raised, if it is.
    pub raise: Option<RaisedEpoch>,
    /// `/controller` is deleted at this version.
    pub delete_controller: Option<ZkVersion>,
    /// `/migration` is deleted at this version.
    pub delete_marker: Option<ZkVersion>,
    /// Why it must not be done yet.
    pub unfinished: Option<String>,
}

/// Why nothing is given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveBackRefusal {
    /// The migration is over.
    #[error(
        "the migration is finalized (POST_MIGRATION): ZooKeeper gets no change any more, so going back would lose every \
         change since; there is no way back"
    )]
    Finalized,
    /// The log is that of a cluster that was never migrated.
    #[error(
        "the metadata log is in state {state} and holds metadata: it is not the log of a migration, so nothing can be rolled \
         back; check --data-dir"
    )]
    NotAMigration {
        /// The state in it.
        state: ZkMigrationState,
    },
    /// As for a claim.
    #[error(transparent)]
    NotOurs(ClaimRefusal),
    /// A KRaft controller of another log, or a newer one of ours, holds the role.
    #[error(
        "/controller belongs to KRaft controller {holder} with epoch {holder_epoch}, and our log ({}) has come to epoch \
         {own_epoch}: its controller governs this ZooKeeper, so roll back with its data directory", voters(.ours)
    )]
    ForeignController {
        /// Who holds it.
        holder: NodeId,
        /// With which epoch.
        holder_epoch: KRaftLeaderEpoch,
        /// Our voters.
        ours: Vec<NodeId>,
        /// Our epoch.
        own_epoch: KRaftLeaderEpoch,
    },
    /// `/controller_epoch` is gone.
    #[error(
        "/controller_epoch does not exist, so there is nothing to raise; the next controller would begin at 1, below the \
         epochs in the partition states. Restore it with a number above {highest}, then run this again"
    )]
    NoControllerEpoch {
        /// The highest epoch that anything has.
        highest: i64,
    },
    /// No number is left for the next controller.
    #[error(
        "/controller_epoch would have to be raised to {wanted}, and the next controller must raise an epoch between 0 and \
         2147483646; find out who wrote such an epoch into /controller_epoch or into a partition's state, and correct it there"
    )]
    EpochOutOfRange {
        /// What it would have to hold.
        wanted: i64,
    },
    /// Somebody else governed ZooKeeper while a change of ours was half written.
    #[error(
        "ZooKeeper was governed by someone else since this log last wrote it ({reason}), and {unfinished}, which nobody can \
         finish now. Compare the topics that were changed last with the metadata log (`dump-log`), mend them in ZooKeeper, then \
         delete /migration by hand and run this again"
    )]
    GovernedElsewhere {
        /// What shows it.
        reason: String,
        /// What is not whole.
        unfinished: String,
    },
    /// A broker is registered, and no election was held.
    #[error(
        "broker {holder} is registered in /controller, but /controller_epoch is as our claim left it, so no controller was \
         elected: somebody wrote /controller by hand. Delete it, then run this again"
    )]
    NotElected {
        /// Who is registered.
        holder: NodeId,
    },
}

fn voters(ids: &[NodeId]) -> String {
    format!("voters {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

impl GiveBackRefusal {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Finalized | Self::NotAMigration { .. } => ErrorKind::Unsupported,
            Self::NotOurs(refusal) => refusal.kind(),
            Self::ForeignController { .. }
            | Self::NoControllerEpoch { .. }
            | Self::EpochOutOfRange { .. }
            | Self::NotElected { .. } => ErrorKind::Invalid,
            Self::GovernedElsewhere { .. } => ErrorKind::GovernedElsewhere,
        }
    }
}

impl From<GiveBackRefusal> for Error {
    fn from(refusal: GiveBackRefusal) -> Self {
        Self::not_applied(refusal.kind(), refusal.to_string())
    }
}

/// Who holds `/controller`.
#[derive(Clone, Copy)]
enum Holder {
    Nobody,
    Broker(ObservedController),
    Ours(ObservedController),
    Foreign(ObservedController, KRaftLeaderEpoch),
}

impl Holder {
    fn of(observed: Option<ObservedController>, own: &OwnLog, voters: &BTreeSet<NodeId>) -> Self {
        match observed {
            None => Self::Nobody,
            Some(holder) => match holder.kraft_epoch {
                None => Self::Broker(holder),
                Some(epoch) if voters.contains(&holder.id) && epoch <= own.epoch => Self::Ours(holder),
                Some(epoch) => Self::Foreign(holder, epoch),
            },
        }
    }
}

/// What every row works with.
struct Table<'a> {
    epoch: Option<ObservedControllerEpoch>,
    highest: i64,
    own: &'a OwnLog,
}

/// Decides by the table above. `partition_epoch_max` is the highest controller epoch in a partition's state.
///
/// # Errors
/// The row's refusal.
pub fn decide_give_back(
    facts: &ZkFacts,
    partition_epoch_max: Option<ZkControllerEpoch>,
    own: &OwnLog,
    quorum: &QuorumIdentity,
    voters: &BTreeSet<NodeId>,
) -> Result<GiveBackDecision, GiveBackRefusal> {
    match own.state {
        ZkMigrationState::PostMigration => return Err(GiveBackRefusal::Finalized),
        ZkMigrationState::None if own.empty => {}
        state @ (ZkMigrationState::None | ZkMigrationState::Zk) => {
            return Err(GiveBackRefusal::NotAMigration { state });
        }
        ZkMigrationState::PreMigration | ZkMigrationState::Migration => {}
    }
    let holder = Holder::of(facts.controller, own, voters);
    let ours = facts.marker.as_ref().map(|marker| own_marker(marker, quorum));
    // Node ids tell logs apart no better than names do: after a rollback only the marker shows that something is ours.
    if own.sealed && !matches!(ours, Some(Ok(()))) {
        return Ok(GiveBackDecision::nothing(GiveBackStage::GivenBack));
    }
    if let Some(Err(foreign)) = ours {
        return Err(GiveBackRefusal::NotOurs(foreign));
    }
    if let Holder::Foreign(holder, holder_epoch) = holder {
        return Err(foreign_controller(holder.id, holder_epoch, facts.marker.is_some(), own, voters));
    }
    let epochs = [
        facts.controller_epoch.map(|it| it.epoch.0),
        partition_epoch_max.map(|epoch| epoch.0),
        Some(own.epoch.0),
        facts.controller.and_then(|it| it.kraft_epoch).map(|epoch| epoch.0),
    ];
    let highest = epochs.into_iter().flatten().max().unwrap_or_default().into();
    let table = Table { epoch: facts.controller_epoch, highest, own };
    match &facts.marker {
        None => table.without_marker(holder, partition_epoch_max),
        Some(marker) => table.with_marker(marker, holder),
    }
}

fn foreign_controller(
    id: NodeId,
    holder_epoch: KRaftLeaderEpoch,
    marker_is_ours: bool,
    own: &OwnLog,
    voters: &BTreeSet<NodeId>,
) -> GiveBackRefusal {
    if marker_is_ours && voters.contains(&id) {
        return GiveBackRefusal::NotOurs(ClaimRefusal::OldCopy { id, holder_epoch, own_epoch: own.epoch });
    }
    let ours = voters.iter().copied().collect();
    GiveBackRefusal::ForeignController { holder: id, holder_epoch, ours, own_epoch: own.epoch }
}

impl GiveBackDecision {
    fn nothing(stage: GiveBackStage) -> Self {
        Self { stage, raise: None, delete_controller: None, delete_marker: None, unfinished: None }
    }
}

impl Table<'_> {
    fn without_marker(
        &self,
        holder: Holder,
        partition_epoch_max: Option<ZkControllerEpoch>,
    ) -> Result<GiveBackDecision, GiveBackRefusal> {
        let migrating = self.own.state == ZkMigrationState::Migration;
        let out_of_reach = self.epoch.is_some_and(|it| partition_epoch_max.is_some_and(|highest| highest > it.epoch));
        match holder {
            Holder::Ours(holder) => Ok(GiveBackDecision {
                raise: Some(self.raise()?),
                delete_controller: Some(holder.zk_version),
                unfinished: self.without_position(),
                ..GiveBackDecision::nothing(GiveBackStage::ControllerLeft)
            }),
            Holder::Nobody if migrating && out_of_reach => Ok(GiveBackDecision {
                raise: Some(self.raise()?),
                ..GiveBackDecision::nothing(GiveBackStage::EpochTooLow)
            }),
            _ if migrating => Ok(GiveBackDecision::nothing(GiveBackStage::GivenBack)),
            _ => Ok(GiveBackDecision::nothing(GiveBackStage::NothingTaken)),
        }
    }

    fn with_marker(&self, marker: &Marker, holder: Holder) -> Result<GiveBackDecision, GiveBackRefusal> {
        let migrating = self.own.state == ZkMigrationState::Migration;
        if !migrating && marker.copy_is_complete() {
            let reason = "but this log has copied nothing yet".to_owned();
            return Err(GiveBackRefusal::NotOurs(ClaimRefusal::AheadOfLog { marker: marker.position, reason }));
        }
        if migrating {
            in_log(marker, &self.own.extent).map_err(GiveBackRefusal::NotOurs)?;
        }
        let Some(epoch) = self.epoch else {
            return Err(GiveBackRefusal::NoControllerEpoch { highest: self.highest });
        };
        let both = GiveBackDecision {
            delete_marker: Some(marker.zk_version),
            ..GiveBackDecision::nothing(if migrating { GiveBackStage::Migrating } else { GiveBackStage::RoleHeld })
        };
        let controller = match holder {
            Holder::Ours(holder) => Some(holder.zk_version),
            _ => None,
        };
        let unfinished = if migrating { self.unfinished(marker) } else { None };
        if marker.epoch_zk_version == Some(epoch.zk_version) {
            if let Holder::Broker(holder) = holder {
                return Err(GiveBackRefusal::NotElected { holder: holder.id });
            }
            return Ok(GiveBackDecision {
                raise: Some(self.raise()?),
                delete_controller: controller,
                unfinished,
                ..both
            });
        }
        if let Some(unfinished) = unfinished {
            let reason = format!(
                "/controller_epoch has version {}, our last claim left it at {}",
                epoch.zk_version,
                marker.epoch_zk_version.map_or_else(|| "no version".to_owned(), |version| version.to_string()),
            );
            return Err(GiveBackRefusal::GovernedElsewhere { reason, unfinished });
        }
        let raise = match holder {
            // The broker that governs wrote it, and every write of his checks its version.
            Holder::Broker(_) => None,
            _ => Some(self.raise()?),
        };
        Ok(GiveBackDecision { stage: GiveBackStage::MarkerLeft, raise, delete_controller: controller, ..both })
    }

    /// What is not whole in ZooKeeper, by the marker. A writer that stands still knows better: what it can't send is left
    /// out, and then the marker says for good that a sync is running.
    fn unfinished(&self, marker: &Marker) -> Option<String> {
        if let Some(end) = marker.batch_end {
            return Some(format!(
                "{} ops of the batch up to offset {end} are written, and not all of it",
                marker.next_op
            ));
        }
        if let Some(held) = self.own.drained {
            return (held != marker.position)
                .then(|| format!("dual writing stands still at {held}, but /migration is at {}", marker.position));
        }
        // The first one leaves the marker at the start until it ends, so the position does not tell whether it has begun.
        (marker.sync == SyncState::Running)
            .then(|| "a full sync has begun, or must follow, and has not ended".to_owned())
    }

    fn without_position(&self) -> Option<String> {
        (self.own.state == ZkMigrationState::Migration && self.own.drained.is_none())
            .then(|| "/migration is gone, so nobody can tell how far ZooKeeper was written".to_owned())
    }

    fn raise(&self) -> Result<RaisedEpoch, GiveBackRefusal> {
        let epoch = self.epoch.ok_or(GiveBackRefusal::NoControllerEpoch { highest: self.highest })?;
        let wanted = self.highest + 1;
        let raised = i32::try_from(wanted).ok().filter(|raised| (0..i32::MAX).contains(raised));
        let raised = ZkControllerEpoch(raised.ok_or(GiveBackRefusal::EpochOutOfRange { wanted })?);
        Ok(RaisedEpoch { present: epoch.epoch, zk_version: epoch.zk_version, raised })
    }
}

#[cfg(test)]
mod tests;
