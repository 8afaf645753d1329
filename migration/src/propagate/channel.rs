//! The port to the brokers in ZooKeeper mode.

use async_trait::async_trait;
use metadata_core::error::Result;
use metadata_core::id::{BrokerEpoch, IncarnationId, NodeId};
use metadata_core::image::Endpoint;

use super::request::BrokerRequest;

/// A broker in ZooKeeper mode that is to be told things: a registration, not just an id. A restarted broker is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Which broker.
    pub id: NodeId,
    /// The offset of its registration; `None` if the registration says none.
    pub epoch: Option<BrokerEpoch>,
    /// The process.
    pub incarnation_id: IncarnationId,
    /// Where it is reached: the listener for traffic between brokers. `None` when it has no listener of that name; the
    /// channel then keeps what it is given until the broker is registered anew.
    pub endpoint: Option<Endpoint>,
}

/// What became of requests that were handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// They stand in the broker's queue.
    Queued,
    /// The broker is so slow that its queue is full. The queue is empty now and these requests are not in it: the broker
    /// must be told everything.
    Overflowed,
}

/// Queues of requests, one for each broker, each sent in order.
///
/// Nothing here is durable: what was queued is gone with the channel, and the next active controller tells everybody
/// everything (KIP-866). A channel that was stopped stays stopped; whoever makes another one tells everybody everything, by
/// [`Propagator::claimed`](super::Propagator::claimed). Nothing here waits for a broker: a slow one must not hold up the others, nor the controller.
///
/// An implementation sends each broker its requests one at a time in the order of the calls, in the versions of the
/// request types, and sends each again until it is answered, whatever the answer: errors in answers are logged. That is
/// safe, since every request states how things are, and none what to add. A broker that can't be reached is tried until its
/// queue is closed (Kafka: every 100 ms).
#[async_trait]
pub trait BrokerChannel: Send + Sync {
    /// Begins an empty queue for this broker. What an earlier queue for the same id still held is never sent; a request of
    /// it that is under way is answered, or its connection closed, before the first one of the new queue is sent.
    ///
    /// # Errors
    /// `Unavailable`: the channel has been stopped.
    async fn open(&self, receiver: &Receiver) -> Result<()>;

    /// Puts requests behind those that are queued for the broker, all or none. Returns as soon as they are queued. A queue
    /// has room for at least two requests, so that telling everything always fits into an empty one.
    ///
    /// # Errors
    /// `Unavailable`: the channel has been stopped. `Conflict`: no queue is open for the broker. None is queued then.
    async fn send(&self, receiver: NodeId, requests: Vec<BrokerRequest>) -> Result<Enqueued>;

    /// Ends the queue: what it holds is never sent. A broker without a queue is no error.
    ///
    /// # Errors
    /// `Unavailable`: the channel has been stopped.
    async fn close(&self, receiver: NodeId) -> Result<()>;
}
