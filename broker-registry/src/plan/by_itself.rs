//! A broker that asked to be registered: its requests and heartbeats decide.

use metadata_core::id::{BrokerEpoch, NodeId, Offset};
use metadata_core::image::BrokerRegistration;
use metadata_core::metadata_version::MetadataVersion;

use super::{ChangeReason, PlannedChange, RegistrationChange, RegistrationEpoch, Registrations};
use crate::obstacles::obstacles;
use crate::reasons::{UnreadyBroker, UnreadyReason};
use crate::registration::check_registration;
use crate::sessions::BrokerSession;
use crate::view::ClusterView;

pub(super) fn plan(id: NodeId, view: &ClusterView<'_>, planned: &mut Registrations) {
    let registered = view.registered(id).map(AsRef::as_ref);
    let decided = match view.sessions.live(id) {
        Some(session) => with_session(id, session, registered, view, planned),
        None => without_session(id, registered, view),
    };
    planned.changes.extend(decided.map(|(change, reason)| PlannedChange { id, change, reason }));
    if let Some(presence) = view.present(id) {
        let reasons = obstacles(id, presence, view).into_iter();
        planned.kept_out.extend(reasons.map(|reason| UnreadyBroker { id, reason }));
    }
}

type Decided = Option<(RegistrationChange, ChangeReason)>;

/// Whether two brokers, this KRaft one and one in ZooKeeper mode, are alive with one id.
fn is_duplicate(id: NodeId, registered: &BrokerRegistration, view: &ClusterView<'_>) -> bool {
    !registered.is_migrating_zk_broker && view.present(id).is_some()
}

fn fence(registered: &BrokerRegistration, reason: ChangeReason) -> Decided {
    (!registered.fenced).then_some((RegistrationChange::Fence(registered.epoch), reason))
}

fn without_session(id: NodeId, registered: Option<&BrokerRegistration>, view: &ClusterView<'_>) -> Decided {
    let registered = registered?;
    if is_duplicate(id, registered, view) {
        return fence(registered, ChangeReason::Duplicate);
    }
    // Without a word it counts as alive: the controller may just have become the active one.
    if view.sessions.has_expired(id) { fence(registered, ChangeReason::Expired) } else { None }
}

fn with_session(
    id: NodeId,
    session: &BrokerSession,
    registered: Option<&BrokerRegistration>,
    view: &ClusterView<'_>,
    planned: &mut Registrations,
) -> Decided {
    let request = &session.request;
    let registered = match registered {
        Some(it) if it.incarnation_id == request.incarnation_id => it,
        other => {
            // What was right when it asked may be so no more.
            return match check_registration(request, view) {
                Ok(()) => {
                    let registration = request.to_registration(BrokerEpoch(-1), true);
                    Some((register(registration, RegistrationEpoch::Next), ChangeReason::Asked))
                }
                Err(refusal) => {
                    planned.kept_out.push(UnreadyBroker { id, reason: UnreadyReason::Refused(refusal) });
                    other.and_then(|it| fence(it, ChangeReason::Unfit))
                }
            };
        }
    };
    if is_duplicate(id, registered, view) {
        return fence(registered, ChangeReason::Duplicate);
    }
    let wanted = BrokerRegistration {
        in_controlled_shutdown: registered.in_controlled_shutdown,
        cordoned_directories: registered.cordoned_directories.clone(),
        ..request.to_registration(registered.epoch, registered.fenced)
    };
    // Only what the log can hold counts: else a broker that says more would be registered again for ever.
    let record_version = view.metadata_version().register_broker_record_version();
    let wanted = BrokerRegistration::from(&wanted.to_record(id, record_version));
    if wanted != *registered && check_registration(request, view).is_ok() {
        return Some((register(wanted, RegistrationEpoch::Kept(registered.epoch)), ChangeReason::Changed));
    }
    heard(session, registered, view.metadata_version())
}

fn register(registration: BrokerRegistration, epoch: RegistrationEpoch) -> RegistrationChange {
    RegistrationChange::Register { registration, epoch, unfence: false }
}

/// What a heartbeat of this registration asks for (Kafka: `BrokerHeartbeatManager.calculateNextBrokerState`).
fn heard(session: &BrokerSession, registered: &BrokerRegistration, version: MetadataVersion) -> Decided {
    let heartbeat = session.heartbeat.filter(|it| it.epoch == registered.epoch)?;
    let epoch = registered.epoch;
    if heartbeat.want_shutdown {
        // One that is fenced leads nothing, and shuts down by itself.
        let recorded = version >= MetadataVersion::V3_3_IV3;
        let begins = recorded && !registered.fenced && !registered.in_controlled_shutdown;
        return begins.then_some((RegistrationChange::ControlledShutdown(epoch), ChangeReason::WantsShutdown));
    }
    if heartbeat.want_fence {
        return fence(registered, ChangeReason::WantsFence);
    }
    let caught_up = heartbeat.metadata_offset >= Offset(epoch.0);
    let unfences = registered.fenced && caught_up;
    unfences.then_some((RegistrationChange::Unfence(epoch), ChangeReason::CaughtUp))
}
