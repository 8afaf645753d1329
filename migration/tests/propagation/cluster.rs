//! Brokers behind queues, as a channel that a test looks into.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use migration::propagate::{BrokerChannel, BrokerRequest, Enqueued, Receiver};

use crate::model::{Broker, cache_of, logs_of};

/// A channel to modelled brokers. Nothing is delivered before a test says so.
pub(crate) struct Cluster {
    room: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    brokers: BTreeMap<NodeId, Broker>,
    queues: BTreeMap<NodeId, VecDeque<BrokerRequest>>,
    stopped: bool,
    stall_after: Option<usize>,
    image: MetadataImage,
}

impl Cluster {
    /// With room for so many requests in each queue.
    pub(crate) fn with_room(room: usize) -> Self {
        Self { room, inner: Mutex::default() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic")
    }

    /// The cluster is as the image says: registered brokers run, those that registered anew have restarted.
    pub(crate) fn becomes(&self, image: &MetadataImage) {
        let mut inner = self.inner();
        for (id, registration) in image.cluster().brokers() {
            let broker = inner.brokers.entry(id).or_insert_with(|| Broker::new(id, registration.epoch));
            if broker.epoch() != registration.epoch {
                broker.restart(registration.epoch);
            }
        }
        inner.image = image.clone();
    }

    /// The first requests in a broker's queue arrive, `count` at most.
    pub(crate) fn deliver(&self, id: NodeId, count: usize) {
        let mut inner = self.inner();
        let Inner { brokers, queues, image, stopped, .. } = &mut *inner;
        if *stopped {
            return;
        }
        let Some(queue) = queues.get_mut(&id) else { return };
        for request in queue.drain(..count.min(queue.len())) {
            let registration = image.cluster().broker(id).expect("only registered brokers are told things");
            assert!(registration.is_migrating_zk_broker, "broker {id} runs in KRaft mode");
            assert!(!registration.fenced, "broker {id} is fenced");
            brokers.get_mut(&id).expect("it runs").receive(&request);
        }
    }

    pub(crate) fn deliver_all(&self) {
        let ids: Vec<NodeId> = self.inner().queues.keys().copied().collect();
        ids.into_iter().for_each(|id| self.deliver(id, usize::MAX));
    }

    /// What stands in the queues.
    pub(crate) fn queued(&self) -> BTreeMap<NodeId, Vec<BrokerRequest>> {
        let inner = self.inner();
        inner.queues.iter().map(|(id, queue)| (*id, queue.iter().cloned().collect())).collect()
    }

    /// The channel takes no orders and delivers nothing; or it works again, with the queues that it had.
    pub(crate) fn stop(&self, stopped: bool) {
        self.inner().stopped = stopped;
    }

    /// Of the next calls, so many return; then one never does.
    pub(crate) fn stall_after(&self, calls: usize) {
        self.inner().stall_after = Some(calls);
    }

    async fn may_stall(&self) {
        let stalls = {
            let mut inner = self.inner();
            let stalls = inner.stall_after == Some(0);
            inner.stall_after = inner.stall_after.and_then(|left| left.checked_sub(1));
            stalls
        };
        if stalls {
            std::future::pending::<()>().await;
        }
    }

    /// Looks at a broker, or changes what lies on its disks.
    pub(crate) fn broker<T>(&self, id: i32, look: impl FnOnce(&mut Broker) -> T) -> T {
        look(self.inner().brokers.get_mut(&NodeId(id)).expect("it runs"))
    }

    /// Every receiver knows and has exactly what the image says.
    pub(crate) fn assert_equals(&self, image: &MetadataImage) {
        let inner = self.inner();
        let expected = cache_of(image);
        let mut compared = 0;
        for (id, registration) in image.cluster().brokers() {
            if registration.is_migrating_zk_broker && !registration.fenced {
                let broker = &inner.brokers[&id];
                assert_eq!(broker.cache, expected, "the cache of broker {id}");
                assert_eq!(broker.logs, logs_of(image, id), "the logs of broker {id}");
                compared += 1;
            }
        }
        assert_eq!(inner.queues.len(), compared, "one queue for each broker that is told things");
    }

    /// All brokers, for a comparison with another cluster.
    pub(crate) fn copy_of(&self, id: NodeId) -> Broker {
        self.inner().brokers[&id].clone()
    }
}

#[async_trait]
impl BrokerChannel for Cluster {
    async fn open(&self, receiver: &Receiver) -> Result<()> {
        self.may_stall().await;
        let mut inner = self.inner();
        if inner.stopped {
            return Err(Error::not_applied(ErrorKind::Unavailable, "the channel has been stopped"));
        }
        assert_eq!(receiver.epoch, Some(inner.image.cluster().broker(receiver.id).expect("it is registered").epoch));
        inner.queues.insert(receiver.id, VecDeque::new());
        Ok(())
    }

    async fn send(&self, receiver: NodeId, requests: Vec<BrokerRequest>) -> Result<Enqueued> {
        self.may_stall().await;
        let mut inner = self.inner();
        if inner.stopped {
            return Err(Error::not_applied(ErrorKind::Unavailable, "the channel has been stopped"));
        }
        let missing = || Error::not_applied(ErrorKind::Conflict, "no queue");
        let queue = inner.queues.get_mut(&receiver).ok_or_else(missing)?;
        if queue.len() + requests.len() > self.room {
            queue.clear();
            return Ok(Enqueued::Overflowed);
        }
        queue.extend(requests);
        Ok(Enqueued::Queued)
    }

    async fn close(&self, receiver: NodeId) -> Result<()> {
        self.may_stall().await;
        let mut inner = self.inner();
        if inner.stopped {
            return Err(Error::not_applied(ErrorKind::Unavailable, "the channel has been stopped"));
        }
        inner.queues.remove(&receiver);
        Ok(())
    }
}
