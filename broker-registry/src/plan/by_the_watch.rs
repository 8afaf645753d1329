//! A broker that never asked: its znode decides.

use std::collections::BTreeMap;

use metadata_core::brokers::{BrokerIncarnation, BrokerPresence};
use metadata_core::id::{BrokerEpoch, NodeId};
use metadata_core::image::{BrokerRegistration, FeatureRange};
use metadata_core::metadata_version::MetadataVersion;

use super::{ChangeReason, PlannedChange, RegistrationChange, RegistrationEpoch, Registrations, migrates};
use crate::facts::BrokerFacts;
use crate::incarnation::watched_incarnation;
use crate::obstacles::{endpoints, obstacles};
use crate::reasons::UnreadyBroker;
use crate::view::ClusterView;

pub(super) fn plan(id: NodeId, view: &ClusterView<'_>, planned: &mut Registrations) {
    let Some(watched) = view.watched.filter(|_| migrates(view)) else { return };
    let registered = view.registered(id);
    let fence = |reason| {
        let unfenced = registered.filter(|it| !it.fenced)?;
        Some(PlannedChange { id, change: RegistrationChange::Fence(unfenced.epoch), reason })
    };
    let Some(presence) = watched.get(&id) else {
        planned.changes.extend(fence(ChangeReason::Vanished));
        return;
    };
    let reasons = obstacles(id, presence, view);
    if !reasons.is_empty() {
        // Whoever can't be read may be as he was: it is no reason to take a working broker's leaders away.
        if presence.malformed.is_none() {
            planned.changes.extend(fence(ChangeReason::Unfit));
        }
        planned.kept_out.extend(reasons.into_iter().map(|reason| UnreadyBroker { id, reason }));
        return;
    }
    let Some(wanted) = registration(id, presence, view) else { return };
    let changed = match registered {
        None => Some((register(wanted, RegistrationEpoch::Next), ChangeReason::Appeared)),
        Some(it) if it.incarnation_id != wanted.incarnation_id => {
            Some((register(wanted, RegistrationEpoch::Next), ChangeReason::Restarted))
        }
        Some(it) if !says_the_same(it, &wanted) => {
            let wanted = BrokerRegistration { fenced: it.fenced, ..wanted };
            Some((register(wanted, RegistrationEpoch::Kept(it.epoch)), ChangeReason::Changed))
        }
        Some(it) if it.fenced => Some((RegistrationChange::Unfence(it.epoch), ChangeReason::Returned)),
        Some(_) => None,
    };
    planned.changes.extend(changed.map(|(change, reason)| PlannedChange { id, change, reason }));
}

/// A broker in ZooKeeper mode sends no heartbeats that it could be unfenced by: its znode is its heartbeat.
fn register(registration: BrokerRegistration, epoch: RegistrationEpoch) -> RegistrationChange {
    let unfence = registration.fenced;
    RegistrationChange::Register { registration, epoch, unfence }
}

/// The registration that the znode stands for; `None` for one that is no znode or can't be registered.
fn registration(id: NodeId, presence: &BrokerPresence, view: &ClusterView<'_>) -> Option<BrokerRegistration> {
    let BrokerIncarnation::Znode { czxid } = presence.incarnation else { return None };
    let metadata_versions = BrokerFacts::gather(id, view).metadata_versions;
    let features = metadata_versions.map(|known| {
        let range = FeatureRange { min: known.value.min(), max: known.value.max() };
        (MetadataVersion::FEATURE_NAME.to_owned(), range)
    });
    Some(BrokerRegistration {
        epoch: BrokerEpoch(-1),
        incarnation_id: watched_incarnation(czxid),
        endpoints: endpoints(presence).ok()?.into_iter().collect(),
        features: features.into_iter().collect::<BTreeMap<_, _>>(),
        rack: presence.rack.clone(),
        fenced: true,
        in_controlled_shutdown: false,
        is_migrating_zk_broker: true,
        directories: Vec::new(),
        cordoned_directories: None,
    })
}

fn says_the_same(one: &BrokerRegistration, other: &BrokerRegistration) -> bool {
    let said = |it: &BrokerRegistration| (it.endpoints.clone(), it.features.clone(), it.rack.clone());
    said(one) == said(other) && one.is_migrating_zk_broker == other.is_migrating_zk_broker
}
