//! Everything that is known of the brokers at one moment, from both sources and the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata_core::brokers::BrokerPresence;
use metadata_core::id::NodeId;
use metadata_core::image::{BrokerRegistration, MetadataImage};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::ZkMigrationState;

use crate::incarnation::watched_czxid;
use crate::registration::ResponseError;
use crate::sessions::{BrokerSessions, RefusedRequest};
use crate::settings::RegistrySettings;

/// Everything that is known of the brokers at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ClusterView<'a> {
    /// The log's image: who is registered.
    pub image: &'a MetadataImage,
    /// Who is in `/brokers/ids`; `None` while that can't be told.
    pub watched: Option<&'a BTreeMap<NodeId, BrokerPresence>>,
    /// Who asked to be registered.
    pub sessions: &'a BrokerSessions,
    /// What the rules must know beside.
    pub settings: &'a RegistrySettings,
}

/// The same without the sessions, for whoever changes them.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The log's image: who is registered.
    pub image: &'a MetadataImage,
    /// Who is in `/brokers/ids`; `None` while that can't be told.
    pub watched: Option<&'a BTreeMap<NodeId, BrokerPresence>>,
    /// What the rules must know beside.
    pub settings: &'a RegistrySettings,
}

impl<'a> Surroundings<'a> {
    /// Everything, with these sessions.
    pub fn with(self, sessions: &'a BrokerSessions) -> ClusterView<'a> {
        let Self { image, watched, settings } = self;
        ClusterView { image, watched, sessions, settings }
    }
}

impl<'a> ClusterView<'a> {
    /// The log's metadata version, or the one that it will be started with.
    pub fn metadata_version(&self) -> MetadataVersion {
        self.image.features().metadata_version().unwrap_or(self.settings.metadata_version)
    }

    /// Whether this controller takes part in a migration whose log says `state`: to begin it needs the flag, to go on with
    /// it needs nothing.
    pub(crate) fn takes_part(&self, state: ZkMigrationState) -> bool {
        self.settings.migration_enabled || state == ZkMigrationState::Migration
    }

    /// The broker's entry in `/brokers/ids`.
    pub fn present(&self, id: NodeId) -> Option<&'a BrokerPresence> {
        self.watched?.get(&id)
    }

    /// The broker's registration in the log.
    pub fn registered(&self, id: NodeId) -> Option<&'a Arc<BrokerRegistration>> {
        self.image.cluster().broker(id)
    }

    /// The registration that the broker asked for itself: it is the broker's affair from then on, and the watch only
    /// reports.
    pub fn registered_by_itself(&self, id: NodeId) -> Option<&'a Arc<BrokerRegistration>> {
        self.registered(id).filter(|it| watched_czxid(it.incarnation_id).is_none())
    }

    /// The broker's last request, if it was refused and is the broker's own: in ZooKeeper mode, without a session that
    /// stands, and from where its entry in `/brokers/ids` says. Whoever else asks under its id, a broker of another cluster
    /// that was given our controllers' addresses say, must do it no harm.
    pub fn refused_itself(&self, id: NodeId) -> Option<&'a RefusedRequest> {
        let refused = self.sessions.refused(id)?;
        let is_another = refused.refusal.error() == ResponseError::DuplicateBrokerRegistration;
        let request = &refused.request;
        let from_there = self.present(id).is_none_or(|presence| {
            request.listeners.iter().all(|(name, endpoint)| {
                presence.endpoints.get(name).is_some_and(|listener| {
                    listener.host.as_deref() == Some(&endpoint.host) && listener.port == i32::from(endpoint.port)
                })
            })
        });
        let own = request.is_migrating_zk_broker && !is_another && from_there && self.sessions.live(id).is_none();
        own.then_some(refused)
    }

    /// Whether a KRaft broker with this id is live as far as anybody knows: it has a session, or it is registered,
    /// unfenced, and nobody said that its session ended.
    pub fn live_kraft_broker(&self, id: NodeId) -> bool {
        match self.sessions.live(id) {
            Some(session) => !session.request.is_migrating_zk_broker,
            None => {
                !self.sessions.has_expired(id)
                    && self.registered_by_itself(id).is_some_and(|it| !it.fenced && !it.is_migrating_zk_broker)
            }
        }
    }
}
