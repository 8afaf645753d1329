//! The port to whoever knows which brokers are there.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::{IncarnationId, NodeId};
use crate::metadata_version::MetadataVersionRange;

/// Where a fact about a broker comes from. A report always says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BrokerSource {
    /// `/brokers/ids`, watched.
    ZooKeeper,
    /// A registration request or a heartbeat.
    Registration,
    /// The broker does not tell; the operator's settings say so for all brokers.
    OperatorsSettings,
}

impl fmt::Display for BrokerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZooKeeper => "/brokers/ids",
            Self::Registration => "its registration",
            Self::OperatorsSettings => "the operator's settings",
        })
    }
}

/// Which run of a broker. Two that differ are two runs, or two sessions of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BrokerIncarnation {
    /// The znode in `/brokers/ids`, by the transaction that made it. In ZooKeeper mode that is the broker epoch.
    Znode {
        /// Its `czxid`; 0 when the znode can't be read.
        czxid: i64,
    },
    /// The process, by the id that it gave itself when it started.
    Process(IncarnationId),
}

/// Where a listener of a broker is reached, as the broker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerListener {
    /// Host name or address without brackets; `None` when the broker advertises none.
    pub host: Option<String>,
    /// TCP port; −1 when there is none.
    pub port: i32,
    /// Name of the security protocol, `SASL_SSL` for instance.
    pub security_protocol: String,
}

impl fmt::Display for BrokerListener {
    /// `host:port`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host.as_deref().unwrap_or_default(), self.port)
    }
}

/// A broker that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerPresence {
    /// Where the fact comes from, and every other below.
    pub source: BrokerSource,
    /// By listener name, in upper case.
    pub endpoints: BTreeMap<String, BrokerListener>,
    /// The rack, if told.
    pub rack: Option<String>,
    /// Tells a restarted broker from one that stayed.
    pub incarnation: BrokerIncarnation,
    /// The id of its cluster, if told. The brokers of Kafka 3.9 don't tell it in `/brokers/ids`.
    pub cluster_id: Option<String>,
    /// The levels of `metadata.version` that it supports, if told: for a broker in ZooKeeper mode exactly its
    /// `inter.broker.protocol.version`. The brokers of Kafka 3.9 don't tell it in `/brokers/ids`, but for one thing: those
    /// below 2.7-IV0 write an older version of the znode.
    pub metadata_versions: Option<MetadataVersionRange>,
    /// Why the entry can't be understood, if so. The broker is there all the same.
    pub malformed: Option<String>,
}

impl BrokerPresence {
    /// A broker in `/brokers/ids` of which nothing is known but that its znode was made by transaction `czxid`.
    pub fn in_zookeeper(czxid: i64) -> Self {
        Self {
            source: BrokerSource::ZooKeeper,
            endpoints: BTreeMap::new(),
            rack: None,
            incarnation: BrokerIncarnation::Znode { czxid },
            cluster_id: None,
            metadata_versions: None,
            malformed: None,
        }
    }
}

/// A stream of who is there.
#[async_trait]
pub trait BrokerIds: Send {
    /// The brokers that are there: at once on the first call, then each time after something changed. States in between
    /// may be skipped; the last one never is, whatever happens to connections and sessions. Dropping the future before
    /// it resolves loses nothing.
    ///
    /// # Errors
    /// `Unavailable` or `Unauthorized`; calling again goes on, starting with the present state.
    async fn next(&mut self) -> Result<BTreeMap<NodeId, BrokerPresence>>;
}

/// Who has replicas, wherever the brokers are.
#[async_trait]
pub trait AssignedReplicas: Send + Sync {
    /// How many replicas each broker id has in the assignments of all topics that are not being deleted.
    ///
    /// # Errors
    /// `Invalid` names a topic that can't be understood; `Unavailable`, `Unauthorized`.
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>>;
}
