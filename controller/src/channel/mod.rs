//! Tells brokers in ZooKeeper mode what `migration::propagate` plans, over Kafka's protocol: the port [`BrokerChannel`].
//!
//! Each broker has a queue and a connection of its own, and one request under way, as Kafka has it
//! (`ControllerChannelManager`). A request is sent again until it is answered. A slow or dead broker holds up nobody: its queue
//! is bounded, and when it is full it is emptied, since everything can be told anew.

mod connection;
mod queue;
mod requests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use migration::propagate::{BrokerChannel, BrokerRequest, Enqueued, Receiver};
use tokio::task::AbortHandle;

use self::connection::deliver;
use self::queue::Queue;

/// Requests that wait for one broker, at most. Most of them are small: a change of some partitions.
const QUEUE_MAX: usize = 256;

/// A channel over TCP. Dropping it ends every queue.
#[derive(Debug, Default)]
pub struct TcpBrokerChannel {
    brokers: Mutex<BTreeMap<NodeId, Open>>,
}

/// A queue that is open.
#[derive(Debug)]
struct Open {
    queue: Arc<Queue>,
    delivering: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        // The connection is closed with it.
        self.delivering.abort();
    }
}

impl TcpBrokerChannel {
    /// No queue yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn brokers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Open>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BrokerChannel for TcpBrokerChannel {
    async fn open(&self, receiver: &Receiver) -> Result<()> {
        let queue = Arc::new(Queue::new(QUEUE_MAX));
        let delivering = tokio::spawn(deliver(receiver.clone(), Arc::clone(&queue))).abort_handle();
        self.brokers().insert(receiver.id, Open { queue, delivering });
        Ok(())
    }

    async fn send(&self, receiver: NodeId, requests: Vec<BrokerRequest>) -> Result<Enqueued> {
        let brokers = self.brokers();
        let open = brokers.get(&receiver).ok_or_else(|| {
            Error::not_applied(ErrorKind::Conflict, format!("no queue is open for broker {receiver}"))
        })?;
        Ok(open.queue.push(requests))
    }

    async fn close(&self, receiver: NodeId) -> Result<()> {
        self.brokers().remove(&receiver);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
