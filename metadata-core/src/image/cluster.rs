//! Registered brokers and controllers.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;

use crate::id::{BrokerEpoch, DirectoryId, IncarnationId, NodeId};
use crate::record::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ControllerEndpoint, ControllerFeature,
    RegisterBrokerRecord, RegisterControllerRecord,
};

/// Where a listener is reached, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Kafka's code: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// The levels of a feature that a node supports, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureRange {
    /// Lowest level, inclusive.
    pub min: i16,
    /// Highest level, inclusive.
    pub max: i16,
}

/// A broker as registered with the KRaft controller (Kafka: `BrokerRegistration`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The registration's epoch: the offset of its record.
    pub epoch: BrokerEpoch,
    /// The process.
    pub incarnation_id: IncarnationId,
    /// By listener name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// By feature name.
    pub features: BTreeMap<String, FeatureRange>,
    /// Rack, if told.
    pub rack: Option<String>,
    /// Whether it is fenced: registered, and not allowed to lead.
    pub fenced: bool,
    /// Whether it is shutting down in an orderly way.
    pub in_controlled_shutdown: bool,
    /// Whether it runs in ZooKeeper mode and takes part in the migration.
    pub is_migrating_zk_broker: bool,
    /// Its log directories, ascending.
    pub directories: Vec<DirectoryId>,
    /// Its log directories that get no new replicas (KIP-1066), ascending, or `None` if it never said.
    pub cordoned_directories: Option<Vec<DirectoryId>>,
}

/// A controller as registered with the active one (KIP-919).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The process.
    pub incarnation_id: IncarnationId,
    /// Whether it was started with `zookeeper.metadata.migration.enable`.
    pub zk_migration_ready: bool,
    /// By listener name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// By feature name.
    pub features: BTreeMap<String, FeatureRange>,
}

/// Everything that is registered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClusterImage {
    pub(super) brokers: OrdMap<NodeId, Arc<BrokerRegistration>>,
    pub(super) controllers: OrdMap<NodeId, Arc<ControllerRegistration>>,
}

impl ClusterImage {
    /// One broker.
    pub fn broker(&self, id: NodeId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// All brokers, by id.
    pub fn brokers(&self) -> impl Iterator<Item = (NodeId, &Arc<BrokerRegistration>)> {
        self.brokers.iter().map(|(id, registration)| (*id, registration))
    }

    /// One controller.
    pub fn controller(&self, id: NodeId) -> Option<&Arc<ControllerRegistration>> {
        self.controllers.get(&id)
    }

    /// All controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = (NodeId, &Arc<ControllerRegistration>)> {
        self.controllers.iter().map(|(id, registration)| (*id, registration))
    }

    pub(super) fn change_broker(&mut self, change: &BrokerRegistrationChangeRecord) -> Result<(), String> {
        let fenced = match change.fenced {
            -1 => Some(false),
            0 => None,
            1 => Some(true),
            other => return Err(format!("fencing change {other} is unknown")),
        };
        let shutdown = match change.in_controlled_shutdown {
            0 => false,
            1 => true,
            other => return Err(format!("controlled shutdown change {other} is unknown")),
        };
        self.update_broker(change.broker_id, change.broker_epoch, |broker| {
            broker.fenced = fenced.unwrap_or(broker.fenced);
            broker.in_controlled_shutdown |= shutdown;
            if !change.log_dirs.is_empty() {
                broker.directories = sorted(&change.log_dirs);
            }
            if let Some(cordoned) = &change.cordoned_log_dirs {
                broker.cordoned_directories = Some(sorted(cordoned));
            }
        })
    }

    pub(super) fn update_broker(
        &mut self,
        id: NodeId,
        epoch: BrokerEpoch,
        update: impl FnOnce(&mut BrokerRegistration),
    ) -> Result<(), String> {
        let present = self.brokers.get(&id).ok_or_else(|| format!("broker {id} is not registered"))?;
        if present.epoch != epoch {
            return Err(format!("broker {id} is registered with epoch {}, not {epoch}", present.epoch));
        }
        let mut changed = BrokerRegistration::clone(present);
        update(&mut changed);
        self.brokers.insert(id, Arc::new(changed));
        Ok(())
    }
}

fn sorted(directories: &[DirectoryId]) -> Vec<DirectoryId> {
    let mut directories = directories.to_vec();
    directories.sort();
    directories
}

impl From<&RegisterBrokerRecord> for BrokerRegistration {
    fn from(record: &RegisterBrokerRecord) -> Self {
        Self {
            epoch: record.broker_epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record
                .end_points
                .iter()
                .map(|e| {
                    let endpoint =
                        Endpoint { host: e.host.clone(), port: e.port, security_protocol: e.security_protocol };
                    (e.name.clone(), endpoint)
                })
                .collect(),
            features: record
                .features
                .iter()
                .map(|f| (f.name.clone(), FeatureRange { min: f.min_supported_version, max: f.max_supported_version }))
                .collect(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            is_migrating_zk_broker: record.is_migrating_zk_broker,
            directories: sorted(&record.log_dirs),
            cordoned_directories: record.cordoned_log_dirs.as_deref().map(sorted),
        }
    }
}

impl BrokerRegistration {
    /// The record that recreates this registration. Fields that `version` lacks are left out: controlled shutdown below
    /// 1, the migrating mark below 2, directories below 3, cordoned directories below 4.
    pub fn to_record(&self, id: NodeId, version: i16) -> RegisterBrokerRecord {
        RegisterBrokerRecord {
            broker_id: id,
            is_migrating_zk_broker: version >= 2 && self.is_migrating_zk_broker,
            incarnation_id: self.incarnation_id,
            broker_epoch: self.epoch,
            end_points: self
                .endpoints
                .iter()
                .map(|(name, e)| BrokerEndpoint {
                    name: name.clone(),
                    host: e.host.clone(),
                    port: e.port,
                    security_protocol: e.security_protocol,
                    ..BrokerEndpoint::default()
                })
                .collect(),
            features: self
                .features
                .iter()
                .map(|(name, range)| BrokerFeature {
                    name: name.clone(),
                    min_supported_version: range.min,
                    max_supported_version: range.max,
                    ..BrokerFeature::default()
                })
                .collect(),
            rack: self.rack.clone(),
            fenced: self.fenced,
            in_controlled_shutdown: version >= 1 && self.in_controlled_shutdown,
            log_dirs: if version >= 3 { self.directories.clone() } else { Vec::new() },
            cordoned_log_dirs: self.cordoned_directories.clone().filter(|_| version >= 4),
            ..RegisterBrokerRecord::default()
        }
    }
}

impl From<&RegisterControllerRecord> for ControllerRegistration {
    fn from(record: &RegisterControllerRecord) -> Self {
        Self {
            incarnation_id: record.incarnation_id,
            zk_migration_ready: record.zk_migration_ready,
            endpoints: record
                .end_points
                .iter()
                .map(|e| {
                    let endpoint =
                        Endpoint { host: e.host.clone(), port: e.port, security_protocol: e.security_protocol };
                    (e.name.clone(), endpoint)
                })
                .collect(),
            features: record
                .features
                .iter()
                .map(|f| (f.name.clone(), FeatureRange { min: f.min_supported_version, max: f.max_supported_version }))
                .collect(),
        }
    }
}

impl ControllerRegistration {
    /// The record that recreates this registration.
    pub fn to_record(&self, id: NodeId) -> RegisterControllerRecord {
        RegisterControllerRecord {
            controller_id: id,
            incarnation_id: self.incarnation_id,
            zk_migration_ready: self.zk_migration_ready,
            end_points: self
                .endpoints
                .iter()
                .map(|(name, e)| ControllerEndpoint {
                    name: name.clone(),
                    host: e.host.clone(),
                    port: e.port,
                    security_protocol: e.security_protocol,
                    ..ControllerEndpoint::default()
                })
                .collect(),
            features: self
                .features
                .iter()
                .map(|(name, range)| ControllerFeature {
                    name: name.clone(),
                    min_supported_version: range.min,
                    max_supported_version: range.max,
                    ..ControllerFeature::default()
                })
                .collect(),
            ..RegisterControllerRecord::default()
        }
    }
}
