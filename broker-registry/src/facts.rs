//! What is known of one broker, each fact with its source.

use std::fmt;

use metadata_core::brokers::BrokerSource;
use metadata_core::id::{BrokerEpoch, NodeId};
use metadata_core::metadata_version::MetadataVersionRange;

use crate::incarnation::watched_czxid;
use crate::view::ClusterView;

/// A fact and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<T> {
    /// The fact.
    pub value: T,
    /// Who says so.
    pub source: BrokerSource,
}

impl<T> Known<T> {
    fn of(value: T, source: BrokerSource) -> Self {
        Self { value, source }
    }
}

impl<T: fmt::Display> fmt::Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", self.value, self.source)
    }
}

/// In which mode a broker runs, or last ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokerMode {
    /// With ZooKeeper; a migration must register it.
    ZooKeeper,
    /// With the metadata log alone.
    KRaft,
}

/// A broker's registration in the log, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisteredAs {
    /// The offset of its record.
    pub epoch: BrokerEpoch,
    /// Registered, and not allowed to lead.
    pub fenced: bool,
    /// As a broker in ZooKeeper mode.
    pub is_migrating_zk_broker: bool,
    /// Who made it: the watch on `/brokers/ids`, or the broker itself.
    pub source: BrokerSource,
}

/// What is known of one broker. A broker that asked for registration is believed before its znode, and its znode before the
/// operator's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFacts {
    /// Who.
    pub id: NodeId,
    /// Its mode; `None` when only replicas tell of it.
    pub mode: Option<Known<BrokerMode>>,
    /// Whether it is in `/brokers/ids`.
    pub in_zookeeper: bool,
    /// Whether it has a session with this controller.
    pub has_session: bool,
    /// Its registration in the log.
    pub registered: Option<RegisteredAs>,
    /// The id of its cluster.
    pub cluster_id: Option<Known<String>>,
    /// What it supports of `metadata.version`; in ZooKeeper mode its `inter.broker.protocol.version`.
    pub metadata_versions: Option<Known<MetadataVersionRange>>,
    /// Whether it runs with `zookeeper.metadata.migration.enable`. Only a registration tells.
    pub migration_flag: Option<Known<bool>>,
    /// How many log directories it has. Only a registration tells.
    pub log_dirs: Option<Known<usize>>,
}

impl BrokerFacts {
    /// Gathers what is known of broker `id`.
    pub fn gather(id: NodeId, view: &ClusterView<'_>) -> Self {
        let present = view.present(id);
        let registered = view.registered(id);
        let session = view.sessions.live(id).map(|session| &session.request);
        let refused = view.refused_itself(id).map(|refused| &refused.request);
        // What was asked counts, whether or not it was granted.
        let asked = session.or(refused);
        let operator = &view.settings.operator;
        let in_zookeeper_mode = asked.is_none_or(|it| it.is_migrating_zk_broker) && present.is_some();
        let by_itself = view.registered_by_itself(id);
        Self {
            id,
            mode: mode(id, view),
            in_zookeeper: present.is_some(),
            has_session: session.is_some(),
            registered: registered.map(|it| RegisteredAs {
                epoch: it.epoch,
                fenced: it.fenced,
                is_migrating_zk_broker: it.is_migrating_zk_broker,
                source: match watched_czxid(it.incarnation_id) {
                    Some(_) => BrokerSource::ZooKeeper,
                    None => BrokerSource::Registration,
                },
            }),
            cluster_id: asked
                .map(|it| Known::of(it.cluster_id.clone(), BrokerSource::Registration))
                .or_else(|| present?.cluster_id.clone().map(|it| Known::of(it, BrokerSource::ZooKeeper)))
                .or_else(|| operator.cluster_id.clone().map(|it| Known::of(it, BrokerSource::OperatorsSettings))),
            metadata_versions: asked
                .and_then(|it| it.metadata_versions())
                .map(|it| Known::of(it, BrokerSource::Registration))
                .or_else(|| Some(Known::of(present?.metadata_versions?, BrokerSource::ZooKeeper)))
                .or_else(|| {
                    let settings = operator.inter_broker_protocol.filter(|_| in_zookeeper_mode)?;
                    Some(Known::of(settings, BrokerSource::OperatorsSettings))
                }),
            migration_flag: asked
                .map(|it| it.is_migrating_zk_broker)
                .or_else(|| by_itself.map(|it| it.is_migrating_zk_broker))
                .map(|it| Known::of(it, BrokerSource::Registration)),
            log_dirs: asked
                .map(|it| it.log_dirs.len())
                .or_else(|| by_itself.map(|it| it.directories.len()))
                .filter(|count| *count > 0)
                .map(|it| Known::of(it, BrokerSource::Registration)),
        }
    }
}

fn mode(id: NodeId, view: &ClusterView<'_>) -> Option<Known<BrokerMode>> {
    let of = |migrating| if migrating { BrokerMode::ZooKeeper } else { BrokerMode::KRaft };
    if let Some(session) = view.sessions.live(id) {
        return Some(Known::of(of(session.request.is_migrating_zk_broker), BrokerSource::Registration));
    }
    if view.present(id).is_some() {
        return Some(Known::of(BrokerMode::ZooKeeper, BrokerSource::ZooKeeper));
    }
    let registered = view.registered(id)?;
    let source = match watched_czxid(registered.incarnation_id) {
        Some(_) => BrokerSource::ZooKeeper,
        None => BrokerSource::Registration,
    };
    Some(Known::of(of(registered.is_migrating_zk_broker), source))
}
