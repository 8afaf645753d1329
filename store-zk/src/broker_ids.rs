//! The watch on `/brokers/ids`.
//!
//! One-shot watches alone: persistent ones do not survive a reconnect with the client underneath. One is on the children
//! and one on the data of each child, since a broker may write its registration anew. After each firing everything is read
//! again *together with* the next watches, so no change can fall between the two; and after a loss of connection or
//! session too, since a watch says nothing about the time in which it was deaf.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::select_all;
use metadata_core::brokers::{BrokerIds, BrokerPresence};
use metadata_core::error::Result;
use metadata_core::id::NodeId;

use crate::client::{Children, UnknownCause, WatchFuture, ZkCode, ZkConnector, ZkError, ZkSession};
use crate::error::{connect_error, zk_error};
use crate::znode::broker::BrokerIdZnode;
use crate::znode::path;

/// How long to wait before the next look while `/brokers/ids` does not exist or ZooKeeper can't be reached.
const PAUSE: Duration = Duration::from_millis(200);

/// Watches `/brokers/ids` over a session of its own.
pub struct ZkBrokerIds {
    connector: Arc<dyn ZkConnector>,
    session: Option<Arc<dyn ZkSession>>,
    watch: Option<WatchFuture>,
    last: Option<BTreeMap<NodeId, BrokerPresence>>,
}

impl ZkBrokerIds {
    /// A watch that has not looked yet.
    pub fn new(connector: Arc<dyn ZkConnector>) -> Self {
        Self { connector, session: None, watch: None, last: None }
    }

    async fn session(&mut self) -> Result<Arc<dyn ZkSession>> {
        if let Some(session) = &self.session {
            return Ok(Arc::clone(session));
        }
        let session = self.connector.connect().await.map_err(connect_error)?;
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Reads the present state and leaves a watch for the next change.
    async fn look(&mut self) -> Result<BTreeMap<NodeId, BrokerPresence>> {
        let session = self.session().await?;
        let result = read_and_watch(&session).await;
        match result {
            Ok((brokers, watch)) => {
                self.watch = Some(watch);
                Ok(brokers)
            }
            Err(error) => {
                if let ZkError::Unknown { cause, .. } = &error {
                    self.session = match cause {
                        UnknownCause::ConnectionLost => session.resume().await.ok(),
                        _ => None,
                    };
                }
                Err(zk_error("watch on /brokers/ids", error))
            }
        }
    }
}

async fn read_and_watch(
    session: &Arc<dyn ZkSession>,
) -> std::result::Result<(BTreeMap<NodeId, BrokerPresence>, WatchFuture), ZkError> {
    loop {
        match session.watch_children(path::BROKER_IDS).await {
            Ok((children, watch)) => {
                let (brokers, mut watches) = registrations(session, children).await?;
                watches.push(watch);
                return Ok((brokers, Box::pin(async move { select_all(watches).await.0 })));
            }
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => {
                // Kafka makes the parent before the first broker registers: wait for it.
                let (stat, watch) = session.watch_exists(path::BROKER_IDS).await?;
                if stat.is_none() {
                    return Ok((BTreeMap::new(), watch));
                }
                // Made in between.
            }
            Err(error) => return Err(error),
        }
    }
}

/// What each child says, and a watch on each.
async fn registrations(
    session: &Arc<dyn ZkSession>,
    children: Children,
) -> std::result::Result<(BTreeMap<NodeId, BrokerPresence>, Vec<WatchFuture>), ZkError> {
    let named = children.names.iter().filter_map(|name| match name.parse() {
        Ok(id) => Some((NodeId(id), format!("{}/{name}", path::BROKER_IDS))),
        Err(_) => {
            tracing::warn!(znode = name, "a child of /brokers/ids is no broker id and is ignored");
            None
        }
    });
    // All are issued before the first answer is awaited.
    let reads: Vec<_> = named.map(|(id, path)| (id, session.watch_data(&path))).collect();
    let (mut brokers, mut watches) = (BTreeMap::new(), Vec::new());
    for (id, read) in reads {
        match read.await {
            Ok((node, watch)) => {
                brokers.insert(id, presence(&node.data, node.stat.czxid));
                watches.push(watch);
            }
            // A broker that left between the two reads has no data any more; the watch on the children tells of it.
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => {}
            Err(ZkError::Definite { code, .. }) => {
                brokers.insert(id, unreadable(0, code.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((brokers, watches))
}

fn unreadable(czxid: i64, reason: String) -> BrokerPresence {
    BrokerPresence { malformed: Some(reason), ..BrokerPresence::in_zookeeper(czxid) }
}

fn presence(data: &[u8], czxid: i64) -> BrokerPresence {
    match BrokerIdZnode::decode(data) {
        Ok(broker) => BrokerPresence {
            metadata_versions: broker.metadata_versions(),
            endpoints: broker.endpoints.into_iter().map(Into::into).collect(),
            rack: broker.rack,
            cluster_id: broker.cluster_id,
            ..BrokerPresence::in_zookeeper(czxid)
        },
        Err(reason) => unreadable(czxid, reason.to_string()),
    }
}

#[async_trait]
impl BrokerIds for ZkBrokerIds {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, BrokerPresence>> {
        loop {
            if let Some(watch) = &mut self.watch {
                watch.await;
                self.watch = None;
            }
            let first = self.last.is_none();
            match self.look().await {
                Ok(now) if first || self.last.as_ref() != Some(&now) => {
                    self.last = Some(now.clone());
                    return Ok(now);
                }
                Ok(_) => {}
                Err(error) => {
                    // Whoever was told of the error must be told when it is over, though nobody came or went.
                    self.last = None;
                    tokio::time::sleep(PAUSE).await;
                    return Err(error);
                }
            }
        }
    }
}
