//! Which registrations the active controller writes, as a pure function of what is known.

use std::collections::BTreeSet;
use std::fmt;

use metadata_core::id::{BrokerEpoch, NodeId, Offset};
use metadata_core::image::BrokerRegistration;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    BrokerRegistrationChangeRecord, FenceBrokerRecord, MetadataRecord, UnfenceBrokerRecord, VersionedRecord,
    ZkMigrationState, record_version,
};

use crate::reasons::UnreadyBroker;
use crate::view::ClusterView;

mod by_itself;
mod by_the_watch;

/// The epoch that a registration gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationEpoch {
    /// The offset of its record: another process, or another session.
    Next,
    /// The one it has: the same process says something else about itself.
    Kept(BrokerEpoch),
}

/// A change of one broker's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationChange {
    /// It is registered, fenced unless it keeps its epoch and is not.
    Register {
        /// All but the epoch.
        registration: BrokerRegistration,
        /// The epoch.
        epoch: RegistrationEpoch,
        /// Whether it is unfenced right behind, since nobody waits for its heartbeats.
        unfence: bool,
    },
    /// It is fenced.
    Fence(BrokerEpoch),
    /// It is unfenced.
    Unfence(BrokerEpoch),
    /// It shuts down in an orderly way.
    ControlledShutdown(BrokerEpoch),
}

/// Why a registration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeReason {
    /// Its znode is there, and it is not registered.
    Appeared,
    /// Its znode was made anew.
    Restarted,
    /// Its znode says something else.
    Changed,
    /// Its znode is gone.
    Vanished,
    /// Its znode is there, and it is fenced.
    Returned,
    /// It asked.
    Asked,
    /// It wants to be fenced.
    WantsFence,
    /// It has caught up with the log, and wants to be unfenced.
    CaughtUp,
    /// It wants to shut down.
    WantsShutdown,
    /// Its session ended.
    Expired,
    /// A broker in ZooKeeper mode with its id is alive.
    Duplicate,
    /// It may not be registered any more; the report says why.
    Unfit,
}

impl fmt::Display for ChangeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Appeared => "it is in /brokers/ids",
            Self::Restarted => "its entry in /brokers/ids was made anew",
            Self::Changed => "it says something else about itself",
            Self::Vanished => "its entry in /brokers/ids is gone",
            Self::Returned => "it is in /brokers/ids again",
            Self::Asked => "it asked to be registered",
            Self::WantsFence => "it wants to be fenced",
            Self::CaughtUp => "it has caught up with the log",
            Self::WantsShutdown => "it wants to shut down",
            Self::Expired => "its session ended",
            Self::Duplicate => "a broker with its id is alive in /brokers/ids",
            Self::Unfit => "it may not be registered any more",
        })
    }
}

/// A change of one broker's registration, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// Whose.
    pub id: NodeId,
    /// What.
    pub change: RegistrationChange,
    /// Why.
    pub reason: ChangeReason,
}

/// What is to be written, and who is kept out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registrations {
    /// At most one for each broker, by id.
    pub changes: Vec<PlannedChange>,
    /// Brokers that are there and kept out of the log, or fenced in it, with every reason, by id.
    pub kept_out: Vec<UnreadyBroker>,
}

/// Decides what the active controller writes about brokers.
///
/// | broker | in the log | then |
/// | --- | --- | --- |
/// | in `/brokers/ids` | not, or of another znode | registered as a migrating ZooKeeper broker, and unfenced |
/// | in `/brokers/ids`, says something else | of this znode | registered again with the same epoch |
/// | in `/brokers/ids`, and may not be registered | of a znode, unfenced | fenced |
/// | in `/brokers/ids`, and may not be registered | not | kept out |
/// | not in `/brokers/ids` | of a znode, unfenced | fenced |
/// | asked, and may be registered | not, or another process | registered, fenced |
/// | asked, says something else | this process | registered again with the same epoch |
/// | heartbeats: caught up, or wants to be fenced | this process | unfenced, or fenced |
/// | its session ended | by itself, unfenced | fenced |
/// | KRaft broker whose id is in `/brokers/ids` | by itself, unfenced | fenced |
///
/// Nothing is written before the log has a metadata version, and nothing because of `/brokers/ids` unless a migration
/// goes on. A registration that a broker asked for is never replaced because of its znode. While who is in `/brokers/ids`
/// can't be told, nobody appears and nobody vanishes. An entry that can't be understood changes nothing. Leaders are not
/// moved here.
///
/// Over its own result it decides nothing more, but for a broker that is both registered and already caught up.
pub fn registrations(view: &ClusterView<'_>) -> Registrations {
    let mut planned = Registrations::default();
    if view.image.features().metadata_version().is_none() {
        return planned;
    }
    let watched = view.watched.into_iter().flat_map(|brokers| brokers.keys().copied());
    let registered = view.image.cluster().brokers().map(|(id, _)| id);
    let ids: BTreeSet<NodeId> = watched.chain(registered).chain(view.sessions.ids()).collect();
    for id in ids {
        if view.registered_by_itself(id).is_some() || view.sessions.live(id).is_some() {
            by_itself::plan(id, view, &mut planned);
        } else {
            by_the_watch::plan(id, view, &mut planned);
        }
    }
    planned
}

/// Whether brokers in ZooKeeper mode are registered at all.
fn migrates(view: &ClusterView<'_>) -> bool {
    let state = view.image.zk_migration_state();
    view.takes_part(state)
        && view.metadata_version().supports_zk_migration_state()
        && matches!(state, ZkMigrationState::PreMigration | ZkMigrationState::Migration)
}

impl PlannedChange {
    /// How many records it takes.
    pub fn len(&self) -> usize {
        match &self.change {
            RegistrationChange::Register { unfence: true, .. } => 2,
            _ => 1,
        }
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The records, the first of which lands at `base` (inclusive): the epoch of a new registration.
    fn records(&self, base: Offset, version: MetadataVersion) -> Vec<MetadataRecord> {
        let id = self.id;
        match &self.change {
            RegistrationChange::Register { registration, epoch, unfence } => {
                let epoch = match epoch {
                    RegistrationEpoch::Next => BrokerEpoch(base.0),
                    RegistrationEpoch::Kept(epoch) => *epoch,
                };
                let registration = BrokerRegistration { epoch, ..registration.clone() };
                let record = registration.to_record(id, version.register_broker_record_version());
                let unfenced = unfence.then(|| fencing(id, epoch, false, version));
                std::iter::once(record.into()).chain(unfenced).collect()
            }
            RegistrationChange::Fence(epoch) => vec![fencing(id, *epoch, true, version)],
            RegistrationChange::Unfence(epoch) => vec![fencing(id, *epoch, false, version)],
            RegistrationChange::ControlledShutdown(epoch) => vec![
                BrokerRegistrationChangeRecord {
                    broker_id: id,
                    broker_epoch: *epoch,
                    in_controlled_shutdown: 1,
                    ..Default::default()
                }
                .into(),
            ],
        }
    }
}

fn fencing(id: NodeId, epoch: BrokerEpoch, fence: bool, version: MetadataVersion) -> MetadataRecord {
    if version.supports_broker_registration_change() {
        let fenced = if fence { 1 } else { -1 };
        return BrokerRegistrationChangeRecord { broker_id: id, broker_epoch: epoch, fenced, ..Default::default() }
            .into();
    }
    if fence {
        FenceBrokerRecord { id, epoch, ..Default::default() }.into()
    } else {
        UnfenceBrokerRecord { id, epoch, ..Default::default() }.into()
    }
}

/// The records of some changes, as one append whose first record lands at `base` (inclusive). Kafka writes the same for a
/// broker that registers and sends its first heartbeat (`ClusterControlManager`).
pub fn records(changes: &[PlannedChange], base: Offset, version: MetadataVersion) -> Vec<VersionedRecord> {
    let mut records = Vec::new();
    for change in changes {
        let next = base.plus(i64::try_from(records.len()).unwrap_or(i64::MAX));
        records.extend(change.records(next, version).into_iter().map(|record| {
            let version = record_version(&record, version);
            VersionedRecord::new(record, version)
        }));
    }
    records
}
