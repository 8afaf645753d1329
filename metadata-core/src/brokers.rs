//! The port to whoever knows which brokers are there.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::NodeId;

/// Where a fact about a broker comes from. A report always says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BrokerSource {
    /// `/brokers/ids`, watched.
    ZooKeeper,
    /// A registration request.
    Registration,
}

/// A broker that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerPresence {
    /// Where the fact comes from.
    pub source: BrokerSource,
    /// Listener name to `host:port`.
    pub endpoints: BTreeMap<String, String>,
    /// The rack, if told.
    pub rack: Option<String>,
    /// When the broker's entry was made: tells a restarted broker from one that stayed (the czxid of its znode).
    pub incarnation: i64,
    /// Why the entry can't be understood, if so. The broker is there all the same.
    pub malformed: Option<String>,
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
