//! What a broker says when it asks to be registered.

use std::collections::BTreeMap;

use metadata_core::id::{BrokerEpoch, DirectoryId, IncarnationId, NodeId};
use metadata_core::image::{BrokerRegistration, Endpoint, FeatureRange};
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};

/// A registration request (Kafka: `BrokerRegistrationRequest`, API key 62), without what only the wire needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationRequest {
    /// The broker's id.
    pub id: NodeId,
    /// Drawn by the process when it started.
    pub incarnation_id: IncarnationId,
    /// Whether it runs in ZooKeeper mode, with the flag for the migration.
    pub is_migrating_zk_broker: bool,
    /// The id of its cluster.
    pub cluster_id: String,
    /// By listener name.
    pub listeners: BTreeMap<String, Endpoint>,
    /// By feature name. A broker in ZooKeeper mode supports its `inter.broker.protocol.version` as `metadata.version` and
    /// nothing else.
    pub features: BTreeMap<String, FeatureRange>,
    /// Its log directories; empty when it does not tell.
    pub log_dirs: Vec<DirectoryId>,
    /// Its rack.
    pub rack: Option<String>,
}

impl RegistrationRequest {
    /// The request that gave a registration. Whoever is registered passed the check of the cluster's id.
    pub fn of_registered(id: NodeId, registration: &BrokerRegistration, cluster_id: &str) -> Self {
        Self {
            id,
            incarnation_id: registration.incarnation_id,
            is_migrating_zk_broker: registration.is_migrating_zk_broker,
            cluster_id: cluster_id.to_owned(),
            listeners: registration.endpoints.clone(),
            features: registration.features.clone(),
            log_dirs: registration.directories.clone(),
            rack: registration.rack.clone(),
        }
    }

    /// The levels of `metadata.version` that the broker supports. One that does not tell supports the first alone
    /// (Kafka: `ClusterControlManager.registerBroker`).
    pub fn metadata_versions(&self) -> Option<MetadataVersionRange> {
        match self.features.get(MetadataVersion::FEATURE_NAME) {
            Some(range) => MetadataVersionRange::of_levels(range.min, range.max),
            None => Some(MetadataVersionRange::only(MetadataVersion::LOWEST)),
        }
    }

    /// The registration that this request gives. Its epoch is set where its offset is known.
    pub fn to_registration(&self, epoch: BrokerEpoch, fenced: bool) -> BrokerRegistration {
        let mut directories = self.log_dirs.clone();
        directories.sort();
        BrokerRegistration {
            epoch,
            incarnation_id: self.incarnation_id,
            endpoints: self.listeners.clone(),
            features: self.features.clone(),
            rack: self.rack.clone(),
            fenced,
            in_controlled_shutdown: false,
            is_migrating_zk_broker: self.is_migrating_zk_broker,
            directories,
            cordoned_directories: None,
        }
    }
}
