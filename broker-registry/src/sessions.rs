//! The sessions of brokers with the active controller, as events that an embedding controller feeds in.

use std::collections::BTreeMap;

use metadata_core::id::{BrokerEpoch, NodeId, Offset};

use crate::registration::{RegistrationRefusal, RegistrationRequest, ResponseError, check_registration};
use crate::view::Surroundings;

/// A heartbeat (Kafka: `BrokerHeartbeatRequest`, API key 63).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// The epoch of the registration that the broker knows.
    pub epoch: BrokerEpoch,
    /// Offset of the last record of the log that the broker has seen (inclusive).
    pub metadata_offset: Offset,
    /// It wants to be fenced: it is not ready yet.
    pub want_fence: bool,
    /// It wants to shut down in an orderly way.
    pub want_shutdown: bool,
}

/// A session: what the broker asked for, and what it last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerSession {
    /// As it asked.
    pub request: RegistrationRequest,
    /// Its last heartbeat in this session.
    pub heartbeat: Option<Heartbeat>,
}

/// A request that was refused, and nothing better came from its sender since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRequest {
    /// The request.
    pub request: RegistrationRequest,
    /// Why.
    pub refusal: RegistrationRefusal,
}

/// The sessions of all brokers that asked to be registered, and the last refusals. Pure state: whoever embeds says what
/// came in, and when a session has ended; nothing here knows the time.
///
/// A new active controller starts with none. Who is registered and unfenced in the log counts as alive until its session
/// is said to have ended, as in Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerSessions {
    /// `None` for a session that has ended.
    sessions: BTreeMap<NodeId, Option<BrokerSession>>,
    refused: BTreeMap<NodeId, RefusedRequest>,
}

impl BrokerSessions {
    /// Nobody was heard yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A broker asks to be registered. It is in the log once an image has its incarnation id; the epoch to answer with is
    /// that registration's.
    ///
    /// # Errors
    /// The rule that the request breaks, see [`check_registration`]. It is kept for the report; a session that is there
    /// stays.
    pub fn register(
        &mut self,
        request: RegistrationRequest,
        around: Surroundings<'_>,
    ) -> Result<(), RegistrationRefusal> {
        let id = request.id;
        if let Err(refusal) = check_registration(&request, &around.with(self)) {
            self.refused.insert(id, RefusedRequest { request, refusal: refusal.clone() });
            return Err(refusal);
        }
        self.refused.remove(&id);
        let same_process = |session: &&BrokerSession| session.request.incarnation_id == request.incarnation_id;
        let heartbeat = self.live(id).filter(same_process).and_then(|session| session.heartbeat);
        self.sessions.insert(id, Some(BrokerSession { request, heartbeat }));
        Ok(())
    }

    /// A broker sends a heartbeat. One that this controller has not heard yet gets a session if the log has its
    /// registration.
    ///
    /// # Errors
    /// `STALE_BROKER_EPOCH`: there is no registration with this epoch by the broker itself. It must register anew.
    pub fn heartbeat(
        &mut self,
        id: NodeId,
        heartbeat: Heartbeat,
        around: Surroundings<'_>,
    ) -> Result<(), ResponseError> {
        let registered = around.with(self).registered_by_itself(id).cloned();
        let registered = registered.filter(|it| it.epoch == heartbeat.epoch).ok_or(ResponseError::StaleBrokerEpoch)?;
        match self.sessions.get_mut(&id) {
            Some(Some(session)) if session.request.incarnation_id == registered.incarnation_id => {
                session.heartbeat = Some(heartbeat);
            }
            // Another process asked meanwhile; this one's registration is about to be replaced.
            Some(Some(_)) => return Err(ResponseError::StaleBrokerEpoch),
            // As in Kafka, a heartbeat revives a session that had ended, while the registration stands.
            Some(None) | None => {
                let request = RegistrationRequest::of_registered(id, &registered, &around.settings.cluster_id);
                self.sessions.insert(id, Some(BrokerSession { request, heartbeat: Some(heartbeat) }));
            }
        }
        Ok(())
    }

    /// A broker was not heard for as long as a session lasts (Kafka: `broker.session.timeout.ms`).
    pub fn expire(&mut self, id: NodeId) {
        self.sessions.insert(id, None);
    }

    /// The broker's session, if it has one.
    pub fn live(&self, id: NodeId) -> Option<&BrokerSession> {
        self.sessions.get(&id)?.as_ref()
    }

    /// Whether the broker's session was said to have ended.
    pub fn has_expired(&self, id: NodeId) -> bool {
        matches!(self.sessions.get(&id), Some(None))
    }

    /// The broker's last request, if it was refused.
    pub fn refused(&self, id: NodeId) -> Option<&RefusedRequest> {
        self.refused.get(&id)
    }

    /// Everyone who was heard of, by id.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.sessions.keys().chain(self.refused.keys()).copied()
    }
}
