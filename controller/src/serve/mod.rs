//! Answers to requests: each comes from the log, or goes into it.

mod features;
mod lifecycle;
mod observer;
mod partitions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use metadata_core::id::{NodeId, TimestampMs};
use metadata_core::log::MetadataLog;
use migration::MigrationHandle;
use store_kraft::KraftLog;
use tokio::task::JoinSet;

use self::features::api_versions;
use self::lifecycle::Lifecycle;
use self::observer::Observing;
use self::partitions::Partitions;
use crate::wire::{self, Caller, ListenerLimits, ListenerPort, Request, Response, Service};
use crate::write::MetadataWriter;

/// Where brokers reach a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvertisedListener {
    /// The first of `controller.listener.names`.
    pub listener: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// All controllers, as brokers reach them: what their `controller.quorum.voters` says.
pub type Advertised = BTreeMap<NodeId, AdvertisedListener>;

/// What brokers are served with.
#[derive(Clone)]
pub struct ServeOptions {
    /// This controller.
    pub node_id: NodeId,
    /// The id of the cluster.
    pub cluster_id: String,
    /// All controllers.
    pub advertised: Advertised,
    /// This controller's own flag, `zookeeper.metadata.migration.enable`.
    pub migration_enable: bool,
    /// A broker that was not heard for so long is fenced: `broker.session.timeout.ms`.
    pub broker_session: Duration,
}

/// Kafka's default for `broker.session.timeout.ms`.
pub const BROKER_SESSION_DEFAULT: Duration = Duration::from_secs(9);

/// Answers brokers.
pub struct BrokerService {
    log: Arc<dyn MetadataLog>,
    options: ServeOptions,
    observing: Observing,
    lifecycle: Lifecycle,
    partitions: Partitions,
}

impl BrokerService {
    /// Serves the brokers of a log that `migration` drives. Nothing happens before requests come, or [`Self::run`] is called.
    pub fn new(log: Arc<KraftLog>, migration: MigrationHandle, writer: MetadataWriter, options: ServeOptions) -> Self {
        Self {
            observing: Observing::new(Arc::clone(&log), &options),
            lifecycle: Lifecycle::new(Arc::<KraftLog>::clone(&log), migration.clone(), writer.clone()),
            partitions: Partitions::new(Arc::<KraftLog>::clone(&log), migration, writer),
            log,
            options,
        }
    }

    /// Does what no broker asks for: ends the sessions of those that are silent, and moves leaders away from those that are
    /// fenced. Runs until it is dropped, or the log has stopped.
    pub async fn run(&self) {
        tokio::join!(self.lifecycle.watch(self.options.broker_session), self.partitions.watch());
    }
}

/// A [`BrokerService`] behind a listener. Dropping it closes the listener and every connection.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    _port: ListenerPort,
    _running: JoinSet<()>,
}

impl Serving {
    /// Listens at `listen` (`host:port`) and serves brokers. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The address can't be listened at.
    pub async fn start(
        log: Arc<KraftLog>,
        migration: MigrationHandle,
        writer: MetadataWriter,
        listen: &str,
        options: ServeOptions,
    ) -> std::io::Result<Self> {
        let service = Arc::new(BrokerService::new(log, migration, writer, options));
        let port = wire::listen(listen, Arc::<BrokerService>::clone(&service), ListenerLimits::default()).await?;
        let mut running = JoinSet::new();
        running.spawn(async move { service.run().await });
        Ok(Self { address: port.address, _port: port, _running: running })
    }
}

#[async_trait]
impl Service for BrokerService {
    async fn answer(&self, caller: &Caller, request: Request, version: i16) -> Response {
        tracing::trace!(address = %caller.address, request = request.name(), version, "asked");
        match request {
            Request::ApiVersions(_) => {
                Response::ApiVersions(api_versions(&self.log.image(), self.options.migration_enable, version))
            }
            Request::Fetch(request) => Response::Fetch(self.observing.fetch(request, version).await),
            Request::FetchSnapshot(request) => Response::FetchSnapshot(self.observing.fetch_snapshot(request).await),
            Request::DescribeQuorum(request) => {
                Response::DescribeQuorum(self.observing.describe_quorum(request, version).await)
            }
            Request::BrokerRegistration(request) => {
                Response::BrokerRegistration(self.lifecycle.register(request).await)
            }
            Request::BrokerHeartbeat(request) => Response::BrokerHeartbeat(self.lifecycle.heartbeat(request).await),
            Request::UnregisterBroker(request) => Response::UnregisterBroker(self.lifecycle.unregister(request).await),
            Request::AlterPartition(request) => Response::AlterPartition(self.partitions.alter(request).await),
            Request::AssignReplicasToDirs(request) => {
                Response::AssignReplicasToDirs(self.partitions.assign_directories(request).await)
            }
            Request::AllocateProducerIds(request) => {
                Response::AllocateProducerIds(self.partitions.allocate_producer_ids(request).await)
            }
        }
    }
}

fn now() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
