//! Brokers that register, send heartbeats, and shut down (KIP-631). What is written about them is the registrar's
//! (`migration::registrar`); here is only what they are answered, and when a session has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_registry::{Heartbeat, RegistrationRequest};
use kafka_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use metadata_core::id::{BrokerEpoch, DirectoryId, IncarnationId, KRaftLeaderEpoch, NodeId, Offset};
use metadata_core::image::{BrokerRegistration, Endpoint, FeatureRange, MetadataImage};
use metadata_core::log::{LeaderAndEpoch, MetadataLog};
use migration::MigrationHandle;
use migration::gate::WriteClass;
use tokio::time::{Instant, timeout};

use crate::convert::{from_kafka, node, text};
use crate::decide::unregister::unregister;
use crate::error::KafkaError;
use crate::write::MetadataWriter;

/// A registration is in the log within this time, or the broker asks again.
const REGISTERED_WITHIN: Duration = Duration::from_secs(5);

/// A heartbeat that unfences is answered once that is written, within this time: else the broker learns of it by its next.
const UNFENCED_WITHIN: Duration = Duration::from_secs(1);

/// How often sessions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Answers the life of brokers.
pub(super) struct Lifecycle {
    log: Arc<dyn MetadataLog>,
    migration: MigrationHandle,
    writer: MetadataWriter,
    /// When each broker was heard last, in the present leadership.
    heard: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Lifecycle {
    pub(super) fn new(log: Arc<dyn MetadataLog>, migration: MigrationHandle, writer: MetadataWriter) -> Self {
        Self { log, migration, writer, heard: Mutex::default() }
    }

    pub(super) async fn register(&self, request: BrokerRegistrationRequest) -> BrokerRegistrationResponse {
        let response = BrokerRegistrationResponse::default();
        match self.registered(request).await {
            Ok(epoch) => response.with_broker_epoch(epoch.0),
            Err(code) => response.with_error_code(code),
        }
    }

    async fn registered(&self, request: BrokerRegistrationRequest) -> Result<BrokerEpoch, i16> {
        self.writer.leads().await.map_err(KafkaError::code)?;
        let request = asked(request).map_err(KafkaError::code)?;
        let (id, incarnation_id) = (request.id, request.incarnation_id);
        if let Err(refusal) = self.migration.broker_registers(request) {
            tracing::warn!(broker = %id, %refusal, "a registration is refused");
            return Err(refusal.error().code());
        }
        self.hear(id);
        let found = |image: &MetadataImage| {
            image.cluster().broker(id).filter(|it| it.incarnation_id == incarnation_id).map(|it| it.epoch)
        };
        self.seen(REGISTERED_WITHIN, found).await.map_err(KafkaError::code)
    }

    /// Waits until the image shows what is looked for, while this controller leads.
    async fn seen<T>(&self, within: Duration, look: impl Fn(&MetadataImage) -> Option<T>) -> Result<T, KafkaError> {
        let looking = async {
            loop {
                let image = self.log.image();
                if let Some(found) = look(&image) {
                    return Ok(found);
                }
                let now = self.writer.leads().await?;
                tokio::select! {
                    end = self.log.committed(image.position().end_offset) => drop(end.map_err(|_| KafkaError::NotController)?),
                    other = self.log.leadership(Some(now)) => drop(other.map_err(|_| KafkaError::NotController)?),
                }
            }
        };
        timeout(within, looking).await.unwrap_or(Err(KafkaError::RequestTimedOut))
    }

    pub(super) async fn heartbeat(&self, request: BrokerHeartbeatRequest) -> BrokerHeartbeatResponse {
        // A broker that gets an error goes on as before.
        let response = BrokerHeartbeatResponse::default();
        match self.beaten(request).await {
            Ok(state) => response
                .with_is_caught_up(state.caught_up)
                .with_is_fenced(state.fenced)
                .with_should_shut_down(state.shuts_down),
            Err(code) => response.with_error_code(code),
        }
    }

    async fn beaten(&self, request: BrokerHeartbeatRequest) -> Result<BrokerState, i16> {
        self.writer.leads().await.map_err(KafkaError::code)?;
        let id = node(request.broker_id);
        let heartbeat = Heartbeat {
            epoch: BrokerEpoch(request.broker_epoch),
            metadata_offset: Offset(request.current_metadata_offset),
            want_fence: request.want_fence,
            want_shutdown: request.want_shut_down,
        };
        self.migration.broker_heartbeats(id, heartbeat).map_err(|error| error.code())?;
        self.hear(id);
        let mine = |image: &MetadataImage| {
            image.cluster().broker(id).filter(|it| it.epoch == heartbeat.epoch).map(|it| it.as_ref().clone())
        };
        let image = self.log.image();
        let mut registered = mine(&image).ok_or(KafkaError::StaleBrokerEpoch.code())?;
        if unfences(&registered, &heartbeat) {
            let unfenced = |image: &MetadataImage| mine(image).filter(|it| !it.fenced);
            if let Ok(unfenced) = self.seen(UNFENCED_WITHIN, unfenced).await {
                registered = unfenced;
            }
        }
        Ok(BrokerState::of(&self.log.image(), id, &registered, &heartbeat))
    }

    pub(super) async fn unregister(&self, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse {
        let id = node(request.broker_id);
        let decide = |image: &MetadataImage| unregister(image, id);
        let response = UnregisterBrokerResponse::default();
        match self.writer.write(WriteClass::BrokerLifecycle, decide).await {
            Ok(()) => response,
            Err(error) => response.with_error_code(error.code()).with_error_message(Some(text(error.name()))),
        }
    }

    fn hear(&self, id: NodeId) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Instant::now());
    }

    /// Ends the sessions of brokers that were not heard for `session`. A broker that the log has unfenced has a session from
    /// the moment on at which this controller became the active one. Runs until it is dropped, or the log has stopped.
    pub(super) async fn watch(&self, session: Duration) {
        let mut leads: Option<KRaftLeaderEpoch> = None;
        while let Ok(LeaderAndEpoch { epoch, active, .. }) = self.log.leadership(None).await {
            let now = active.then_some(epoch);
            if now != leads {
                self.heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
                leads = now;
            }
            if active {
                self.end_sessions(session);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn end_sessions(&self, session: Duration) {
        let (now, image) = (Instant::now(), self.log.image());
        let ended: Vec<NodeId> = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, broker) in image.cluster().brokers() {
                if !broker.fenced && broker_registry::watched_czxid(broker.incarnation_id).is_none() {
                    heard.entry(id).or_insert(now);
                }
            }
            let ended = heard.iter().filter(|(_, at)| now.duration_since(**at) >= session).map(|(id, _)| *id).collect();
            heard.retain(|_, at| now.duration_since(*at) < session);
            ended
        };
        for id in ended {
            tracing::warn!(broker = %id, "nothing was heard for {} ms: its session has ended", session.as_millis());
            self.migration.broker_session_ended(id);
        }
    }
}

/// What a broker is told of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BrokerState {
    caught_up: bool,
    fenced: bool,
    shuts_down: bool,
}

impl BrokerState {
    fn of(image: &MetadataImage, id: NodeId, registered: &BrokerRegistration, heartbeat: &Heartbeat) -> Self {
        let leads = || image.topics().all_partitions().any(|(_, partition)| partition.leader == Some(id));
        Self {
            caught_up: heartbeat.metadata_offset >= Offset(registered.epoch.0),
            fenced: registered.fenced,
            // Once nothing is led there any more. A fenced broker leads nothing.
            shuts_down: heartbeat.want_shutdown && (registered.fenced || registered.in_controlled_shutdown && !leads()),
        }
    }
}

/// Whether this heartbeat leads to an unfenced registration.
fn unfences(registered: &BrokerRegistration, heartbeat: &Heartbeat) -> bool {
    registered.fenced
        && !heartbeat.want_fence
        && !heartbeat.want_shutdown
        && heartbeat.metadata_offset >= Offset(registered.epoch.0)
}

/// The request in our own types.
fn asked(request: BrokerRegistrationRequest) -> Result<RegistrationRequest, KafkaError> {
    let mut listeners = BTreeMap::new();
    for listener in &request.listeners {
        let endpoint = Endpoint {
            host: listener.host.to_string(),
            port: listener.port,
            security_protocol: listener.security_protocol,
        };
        if listeners.insert(listener.name.to_string(), endpoint).is_some() {
            return Err(KafkaError::InvalidRegistration);
        }
    }
    let mut features = BTreeMap::new();
    for feature in &request.features {
        let range = FeatureRange { min: feature.min_supported_version, max: feature.max_supported_version };
        if features.insert(feature.name.to_string(), range).is_some() {
            return Err(KafkaError::InvalidRegistration);
        }
    }
    Ok(RegistrationRequest {
        id: node(request.broker_id),
        incarnation_id: IncarnationId(from_kafka(request.incarnation_id)),
        is_migrating_zk_broker: request.is_migrating_zk_broker,
        cluster_id: request.cluster_id.to_string(),
        listeners,
        features,
        log_dirs: request.log_dirs.iter().map(|id| DirectoryId(from_kafka(*id))).collect(),
        rack: request.rack.map(|rack| rack.to_string()),
    })
}

#[cfg(test)]
mod tests;
