//! What the runner drives. An application wires its log, its ZooKeeper and its view of the brokers in here; nothing in
//! this crate names an implementation.

use std::sync::Arc;

use metadata_core::brokers::{AssignedReplicas, BrokerIds};
use metadata_core::controllers::Controllers;
use metadata_core::log::MetadataLog;
use metadata_core::projection::Projection;
use metadata_core::store::MetadataStore;

use crate::propagate::BrokerChannel;

/// The other side of every order.
pub struct Ports {
    /// The metadata log: the truth.
    pub log: Arc<dyn MetadataLog>,
    /// ZooKeeper: read for the look at what can be copied and for the copy, and then kept in step.
    pub zookeeper: Arc<dyn MetadataStore>,
    /// ZooKeeper again, to be compared with the log before the migration is finalized.
    pub projection: Arc<dyn Projection>,
    /// Who the voters of the quorum are, and what they announce.
    pub controllers: Box<dyn Controllers>,
    /// Who is in `/brokers/ids`.
    pub broker_ids: Box<dyn BrokerIds>,
    /// Who has replicas.
    pub assigned_replicas: Arc<dyn AssignedReplicas>,
    /// How brokers in ZooKeeper mode are told things; `None` when nobody tells them, so that they get no elections.
    pub channel: Option<Arc<dyn BrokerChannel>>,
}
