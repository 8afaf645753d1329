//! The watch on `/brokers/ids`.
//!
//! One-shot watches alone: persistent ones do not survive a reconnect with the client underneath. After each firing the
//! children are read again *together with* the next watch, so no change can fall between the two; and after a loss of
//! connection or session everything is read anew, since a watch says nothing about the time in which it was deaf.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metadata_core::brokers::{BrokerIds, BrokerPresence, BrokerSource};
use metadata_core::error::Result;
use metadata_core::id::NodeId;

use crate::client::{
    Children, ReadOutcome, UnknownCause, WatchFuture, ZkCode, ZkConnector, ZkError, ZkRead, ZkSession,
};
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
    let (children, watch) = match session.watch_children(path::BROKER_IDS).await {
        Ok(found) => found,
        Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => {
            // Kafka makes the parent before the first broker registers: wait for it.
            let (stat, watch) = session.watch_exists(path::BROKER_IDS).await?;
            if stat.is_some() {
                // Made in between: look again at once.
                return Ok((BTreeMap::new(), Box::pin(std::future::ready(crate::client::WatchEvent::Created))));
            }
            return Ok((BTreeMap::new(), watch));
        }
        Err(error) => return Err(error),
    };
    Ok((registrations(session, children).await?, watch))
}

async fn registrations(
    session: &Arc<dyn ZkSession>,
    children: Children,
) -> std::result::Result<BTreeMap<NodeId, BrokerPresence>, ZkError> {
    let named: Vec<(NodeId, String)> = children
        .names
        .iter()
        .filter_map(|name| match name.parse() {
            Ok(id) => Some((NodeId(id), format!("{}/{name}", path::BROKER_IDS))),
            Err(_) => {
                tracing::warn!(znode = name, "a child of /brokers/ids is no broker id and is ignored");
                None
            }
        })
        .collect();
    let reads = named.iter().map(|(_, path)| ZkRead::Data(path.clone())).collect();
    let outcomes = session.multi_read(reads).await?;
    // A broker that left between the two reads has no data any more; the watch will tell of it.
    Ok(named
        .into_iter()
        .zip(outcomes)
        .filter_map(|((id, _), outcome)| match outcome {
            ReadOutcome::Data(node) => Some((id, presence(&node.data, node.stat.czxid))),
            ReadOutcome::Failed(ZkCode::NoNode) | ReadOutcome::Children(_) => None,
            ReadOutcome::Failed(code) => Some((id, unreadable(0, code.to_string()))),
        })
        .collect())
}

fn unreadable(incarnation: i64, reason: String) -> BrokerPresence {
    BrokerPresence {
        source: BrokerSource::ZooKeeper,
        endpoints: BTreeMap::new(),
        rack: None,
        incarnation,
        malformed: Some(reason),
    }
}

fn presence(data: &[u8], czxid: i64) -> BrokerPresence {
    match BrokerIdZnode::decode(data) {
        Ok(broker) => BrokerPresence {
            endpoints: broker
                .endpoints
                .iter()
                .map(|e| (e.listener.clone(), format!("{}:{}", e.host.as_deref().unwrap_or_default(), e.port)))
                .collect(),
            rack: broker.rack,
            malformed: None,
            ..unreadable(czxid, String::new())
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
                    tokio::time::sleep(PAUSE).await;
                    return Err(error);
                }
            }
        }
    }
}
