//! What keeps a broker in `/brokers/ids` out of the log.

use metadata_core::brokers::{BrokerListener, BrokerPresence};
use metadata_core::id::NodeId;
use metadata_core::image::Endpoint;

use crate::facts::BrokerFacts;
use crate::reasons::UnreadyReason;
use crate::settings::RegisterBy;
use crate::view::ClusterView;

/// Every reason for which broker `id`, which is in `/brokers/ids`, must not be registered by the watch, nor unfenced if it
/// is; none if it may.
pub(crate) fn obstacles(id: NodeId, presence: &BrokerPresence, view: &ClusterView<'_>) -> Vec<UnreadyReason> {
    let facts = BrokerFacts::gather(id, view);
    let mut reasons = Vec::new();
    if view.settings.controllers.contains(&id) {
        reasons.push(UnreadyReason::HasTheControllersId { replicas: 0 });
    }
    let duplicate = view.live_kraft_broker(id);
    if duplicate {
        reasons.push(UnreadyReason::DuplicateId);
    }
    reasons.extend(incompatibilities(presence, &facts, view));
    if let Some(refused) = view.refused_itself(id) {
        reasons.push(UnreadyReason::Refused(refused.refusal.clone()));
    } else if !duplicate && !facts.has_session && may_lack_the_flag(&facts, view) {
        reasons.push(UnreadyReason::WithoutTheFlag);
    }
    reasons
}

/// Whether a broker without a session would have one, had it been started with the flag.
fn may_lack_the_flag(facts: &BrokerFacts, view: &ClusterView<'_>) -> bool {
    match view.registered_by_itself(facts.id) {
        // It asked once, so it can; after a failover it is waited for.
        Some(it) => view.sessions.has_expired(facts.id) || !it.is_migrating_zk_broker,
        None => view.settings.register_by == RegisterBy::Request,
    }
}

/// What does not fit in the broker itself.
fn incompatibilities(presence: &BrokerPresence, facts: &BrokerFacts, view: &ClusterView<'_>) -> Vec<UnreadyReason> {
    if let Some(reason) = &presence.malformed {
        return vec![UnreadyReason::Malformed(reason.clone())];
    }
    let settings = view.settings;
    let mut reasons = Vec::new();
    if let Err(reason) = endpoints(presence) {
        reasons.push(UnreadyReason::Malformed(reason));
    }
    if let Some(broker) = facts.cluster_id.clone().filter(|it| it.value != settings.cluster_id) {
        reasons.push(UnreadyReason::OtherCluster { broker, expected: settings.cluster_id.clone() });
    }
    let expected = view.metadata_version();
    if let Some(supported) = facts.metadata_versions.filter(|it| !it.value.contains(expected)) {
        reasons.push(UnreadyReason::OtherMetadataVersion { supported, expected });
    }
    if let Some(wanted) = &settings.inter_broker_listener
        && !presence.endpoints.contains_key(wanted)
    {
        reasons.push(UnreadyReason::NoInterBrokerListener { wanted: wanted.clone() });
    }
    if let Some(true) = id_was_generated(facts.id, view) {
        reasons.push(UnreadyReason::GeneratedId { reserved_max: settings.operator.reserved_max() });
    }
    reasons
}

/// Whether the id was generated: ids above the reserved ones, counted up from there. `None` when it can't be told.
pub(crate) fn id_was_generated(id: NodeId, view: &ClusterView<'_>) -> Option<bool> {
    let above = i64::from(id.0) - i64::from(view.settings.operator.reserved_max().0);
    if above <= 0 {
        return Some(false);
    }
    view.settings.operator.ids_generated.map(|count| above <= i64::from(count))
}

/// The broker's listeners as a registration holds them.
///
/// # Errors
/// A listener that nobody could reach, or with a security protocol that Kafka does not have.
pub(crate) fn endpoints(presence: &BrokerPresence) -> Result<Vec<(String, Endpoint)>, String> {
    let endpoint = |(name, listener): (&String, &BrokerListener)| {
        let BrokerListener { host, port, security_protocol } = listener;
        let host = host.clone().ok_or_else(|| format!("listener {name} has no host"))?;
        let port = u16::try_from(*port).map_err(|_| format!("listener {name} has port {port}"))?;
        let security_protocol = match security_protocol.as_str() {
            "PLAINTEXT" => 0,
            "SSL" => 1,
            "SASL_PLAINTEXT" => 2,
            "SASL_SSL" => 3,
            unknown => return Err(format!("listener {name} has the unknown security protocol {unknown}")),
        };
        Ok((name.clone(), Endpoint { host, port, security_protocol }))
    };
    presence.endpoints.iter().map(endpoint).collect()
}
