//! Who was told what, and what follows from the next image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata_core::error::Result;
use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;

use super::channel::{BrokerChannel, Enqueued, Receiver};
use super::plan::{Changes, Everything, changes, everything, live_brokers, live_leaders, receivers};
use super::request::{
    ActingController, BrokerRequest, LeaderAndIsrPartition, LeaderAndIsrRequest, LiveBroker, RequestType, Stamp,
    StopReplicaRequest, TopicStates, UpdateMetadataPartition, UpdateMetadataRequest,
};

/// What is to be done at the channel. Orders for one broker are to be carried out in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Begin an empty queue for this broker.
    Open(Receiver),
    /// Put these behind what is queued for the broker.
    Send(NodeId, Vec<BrokerRequest>),
    /// End the broker's queue.
    Close(NodeId),
}

/// What was done for an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Propagated {
    /// Brokers that are told things at all.
    pub receivers: usize,
    /// Brokers that were told everything.
    pub told_everything: usize,
    /// Requests that were queued.
    pub requests: usize,
    /// Times that a queue was full. Those brokers are told everything; if there was no room even then, with the next image.
    pub overflowed: usize,
}

/// How a broker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was told all that the last image said.
    Settled,
    /// It may lack something: it is to be told everything.
    Owed,
    /// It is to be told nothing any more, and its queue is to be closed.
    Closing,
}

/// Plans what brokers in ZooKeeper mode are told. One for each active controller; [`Self::claimed`] begins anew.
///
/// What was ordered and not said to be [`delivered`](Self::delivered) counts as lost, so that its broker is told everything
/// with the next image: whatever fails or is dropped in between, no broker is left behind.
#[derive(Debug)]
pub struct Propagator {
    controller: ActingController,
    listener: String,
    /// The image that those who are settled know.
    told: MetadataImage,
    brokers: BTreeMap<NodeId, (Receiver, Standing)>,
}

impl Propagator {
    /// Nobody was told anything. `listener` is the name of the listener for traffic between brokers, or of the control plane
    /// listener if the brokers have one.
    pub fn new(controller: ActingController, listener: impl Into<String>) -> Self {
        Self { controller, listener: listener.into(), told: MetadataImage::empty(), brokers: BTreeMap::new() }
    }

    /// ZooKeeper was claimed again, or for another leadership: with the next image everybody is told everything.
    pub fn claimed(&mut self, controller: ActingController) {
        self.controller = controller;
        for (_, standing) in self.brokers.values_mut() {
            if *standing == Standing::Settled {
                *standing = Standing::Owed;
            }
        }
    }

    /// What is to be done so that every broker knows what `image` says. Empty if there is nothing to tell.
    pub fn plan(&mut self, image: &MetadataImage) -> Vec<Order> {
        let now = receivers(image, &self.listener);
        let known: BTreeSet<NodeId> = now
            .values()
            .filter(|now| self.brokers.get(&now.id).is_some_and(|(was, s)| was == *now && *s == Standing::Settled))
            .map(|now| now.id)
            .collect();
        let unknown: BTreeSet<NodeId> = now.keys().filter(|id| !known.contains(id)).copied().collect();

        let mut orders = Vec::new();
        for (id, (_, standing)) in self.brokers.iter_mut().filter(|(id, _)| !now.contains_key(id)) {
            *standing = Standing::Closing;
            orders.push(Order::Close(*id));
        }
        let saying = Saying { controller: self.controller, listener: &self.listener, image };
        if !known.is_empty() {
            let changes = changes(&self.told, image, &now);
            orders.extend(saying.changes(changes, now.values().filter(|now| known.contains(&now.id))));
        }
        if !unknown.is_empty() {
            let everything = everything(image, &unknown);
            orders.extend(saying.everything(everything, now.values().filter(|now| unknown.contains(&now.id))));
        }
        for order in &orders {
            if let Order::Send(id, _) = order
                && let Some(now) = now.get(id)
            {
                self.brokers.insert(*id, (now.clone(), Standing::Owed));
            }
        }
        self.told = image.clone();
        orders
    }

    /// The last order for this broker was carried out.
    pub fn delivered(&mut self, id: NodeId) {
        match self.brokers.get_mut(&id) {
            Some((_, Standing::Closing)) => drop(self.brokers.remove(&id)),
            Some((_, standing)) => *standing = Standing::Settled,
            None => {}
        }
    }

    /// Tells every broker what `image` says. Waits for no broker: what is queued is sent by the channel. Dropping the future
    /// loses nothing: the next call makes up for it.
    ///
    /// # Errors
    /// The first error of the channel. The other brokers are told nevertheless, and the next call makes up for it.
    pub async fn propagate(&mut self, channel: &dyn BrokerChannel, image: &MetadataImage) -> Result<Propagated> {
        let mut done = Propagated::default();
        let mut failed = None;
        // A queue that was full is empty now: once more, with everything. If a broker is so slow that even this finds it full,
        // it has to wait for the next image.
        for _ in 0..2 {
            let overflowed = done.overflowed;
            for order in self.plan(image) {
                if let Err(error) = self.carry_out(channel, order, &mut done).await {
                    failed.get_or_insert(error);
                }
            }
            if done.overflowed == overflowed || failed.is_some() {
                break;
            }
        }
        done.receivers = self.brokers.values().filter(|(_, standing)| *standing != Standing::Closing).count();
        failed.map_or(Ok(done), Err)
    }

    /// This controller tells nobody anything any more: every queue is closed. What a channel can't close now it closes when it
    /// is stopped.
    pub async fn end(self, channel: &dyn BrokerChannel) {
        for id in self.brokers.into_keys() {
            if let Err(error) = channel.close(id).await {
                tracing::debug!(broker = %id, %error, "a queue was not closed");
            }
        }
    }

    async fn carry_out(&mut self, channel: &dyn BrokerChannel, order: Order, done: &mut Propagated) -> Result<()> {
        match order {
            Order::Open(receiver) => {
                channel.open(&receiver).await?;
                done.told_everything += 1;
            }
            Order::Send(id, requests) => {
                let count = requests.len();
                match channel.send(id, requests).await? {
                    Enqueued::Queued => {
                        done.requests += count;
                        self.delivered(id);
                    }
                    Enqueued::Overflowed => done.overflowed += 1,
                }
            }
            Order::Close(id) => {
                channel.close(id).await?;
                self.delivered(id);
            }
        }
        Ok(())
    }
}

/// Puts into requests what is to be told.
struct Saying<'a> {
    controller: ActingController,
    listener: &'a str,
    image: &'a MetadataImage,
}

impl Saying<'_> {
    fn everything<'r>(
        &self,
        everything: Everything,
        to: impl Iterator<Item = &'r Receiver>,
    ) -> impl Iterator<Item = Order> {
        let live_brokers = live_brokers(self.image);
        let Everything { topics, mut replicas } = everything;
        to.flat_map(move |receiver| {
            let stamp = self.stamp(receiver);
            let update = self.update(stamp, RequestType::Full, Arc::clone(&topics), Arc::clone(&live_brokers));
            // A broker without replicas is told so: what it has are strays.
            let replicas = replicas.remove(&receiver.id).unwrap_or_default();
            let requests = vec![update, self.lead(stamp, RequestType::Full, replicas)];
            [Order::Open(receiver.clone()), Order::Send(receiver.id, requests)]
        })
    }

    fn changes<'r>(&self, changes: Changes, to: impl Iterator<Item = &'r Receiver>) -> impl Iterator<Item = Order> {
        let live_brokers = live_brokers(self.image);
        let Changes { brokers, deleted, mut stopped, mut replicas, changed } = changes;
        let first = brokers || !deleted.is_empty();
        let (deleted, changed): (Arc<[_]>, Arc<[_]>) = (deleted.into(), changed.into());
        to.filter_map(move |receiver| {
            let stamp = self.stamp(receiver);
            let update = |topics: &Arc<[_]>| {
                self.update(stamp, RequestType::Incremental, Arc::clone(topics), Arc::clone(&live_brokers))
            };
            let stopped = stopped.remove(&receiver.id);
            let stop = stopped.map(|topics| BrokerRequest::StopReplica(StopReplicaRequest { stamp, topics }));
            let replicas = replicas.remove(&receiver.id);
            let lead = replicas.map(|topics| self.lead(stamp, RequestType::Incremental, topics));
            let requests: Vec<_> =
                [first.then(|| update(&deleted)), stop, lead, (!changed.is_empty()).then(|| update(&changed))]
                    .into_iter()
                    .flatten()
                    .collect();
            (!requests.is_empty()).then_some(Order::Send(receiver.id, requests))
        })
    }

    fn stamp(&self, receiver: &Receiver) -> Stamp {
        Stamp { controller: self.controller, broker_epoch: receiver.epoch }
    }

    fn update(
        &self,
        stamp: Stamp,
        request_type: RequestType,
        topics: Arc<[TopicStates<UpdateMetadataPartition>]>,
        live_brokers: Arc<[LiveBroker]>,
    ) -> BrokerRequest {
        BrokerRequest::UpdateMetadata(UpdateMetadataRequest { stamp, request_type, topics, live_brokers })
    }

    fn lead(
        &self,
        stamp: Stamp,
        request_type: RequestType,
        topics: Vec<TopicStates<LeaderAndIsrPartition>>,
    ) -> BrokerRequest {
        let live_leaders = live_leaders(self.image, self.listener, &topics);
        BrokerRequest::LeaderAndIsr(LeaderAndIsrRequest { stamp, request_type, topics, live_leaders })
    }
}
