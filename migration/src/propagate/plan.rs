//! From images to what is to be told, without who was told what: pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use metadata_core::id::{LeaderEpoch, NodeId, TopicId};
use metadata_core::image::{BrokerRegistration, MetadataImage, PartitionRegistration, TopicPartition};

use super::channel::Receiver;
use super::request::{
    LeaderAndIsrPartition, LiveBroker, LiveLeader, StopReplicaPartition, TopicStates, UpdateMetadataPartition,
};

/// Brokers by id, each with what concerns it.
pub(super) type ByBroker<P> = BTreeMap<NodeId, Vec<TopicStates<P>>>;

/// Who is to be told things: registered, migrating, not fenced. A KRaft broker reads the log itself.
pub(super) fn receivers(image: &MetadataImage, listener: &str) -> BTreeMap<NodeId, Receiver> {
    let is_receiver = |broker: &BrokerRegistration| broker.is_migrating_zk_broker && !broker.fenced;
    let brokers = image.cluster().brokers().filter(|(_, broker)| is_receiver(broker));
    let receiver = |id, broker: &BrokerRegistration| Receiver {
        id,
        epoch: (broker.epoch.0 >= 0).then_some(broker.epoch),
        incarnation_id: broker.incarnation_id,
        endpoint: broker.endpoints.get(listener).cloned(),
    };
    brokers.map(|(id, broker)| (id, receiver(id, broker))).collect()
}

/// Every registered broker, of either mode, fenced or not.
pub(super) fn live_brokers(image: &MetadataImage) -> Arc<[LiveBroker]> {
    let brokers = image.cluster().brokers();
    brokers
        .map(|(id, broker)| LiveBroker { id, endpoints: broker.endpoints.clone(), rack: broker.rack.clone() })
        .collect()
}

/// Where the leaders of these partitions are reached.
pub(super) fn live_leaders(
    image: &MetadataImage,
    listener: &str,
    topics: &[TopicStates<LeaderAndIsrPartition>],
) -> Vec<LiveLeader> {
    let partitions = topics.iter().flat_map(|topic| &topic.partitions);
    let leaders: BTreeSet<NodeId> = partitions.filter_map(|partition| partition.registration.leader).collect();
    let live = |id: NodeId| {
        let endpoint = image.cluster().broker(id)?.endpoints.get(listener)?;
        Some(LiveLeader { id, host: endpoint.host.clone(), port: endpoint.port })
    };
    leaders.into_iter().filter_map(live).collect()
}

/// Everything that an image says.
pub(super) struct Everything {
    pub(super) topics: Arc<[TopicStates<UpdateMetadataPartition>]>,
    pub(super) replicas: ByBroker<LeaderAndIsrPartition>,
}

/// Everything, with the replicas of `told` brokers.
pub(super) fn everything(image: &MetadataImage, told: &BTreeSet<NodeId>) -> Everything {
    let mut topics = Vec::new();
    let mut replicas = ByBroker::new();
    for (key, registration) in image.topics().all_partitions() {
        let Some(name) = image.topics().name(key.topic_id) else { continue };
        push(&mut topics, name, key.topic_id, present(image, key, registration));
        for id in registration.replicas.iter().filter(|id| told.contains(id)) {
            let is_new = false;
            let registration = Arc::clone(registration);
            let partition = LeaderAndIsrPartition { partition: key.partition, registration, is_new };
            push(replicas.entry(*id).or_default(), name, key.topic_id, partition);
        }
    }
    Everything { topics: topics.into(), replicas }
}

/// Adds to the last topic, or begins the next: keys come in order.
fn push<P>(topics: &mut Vec<TopicStates<P>>, name: &Arc<str>, id: TopicId, partition: P) {
    match topics.last_mut() {
        Some(topic) if topic.id == id && topic.name == *name => topic.partitions.push(partition),
        _ => topics.push(TopicStates { name: Arc::clone(name), id, partitions: vec![partition] }),
    }
}

fn present(
    image: &MetadataImage,
    key: TopicPartition,
    registration: &Arc<PartitionRegistration>,
) -> UpdateMetadataPartition {
    UpdateMetadataPartition::Present {
        partition: key.partition,
        registration: Arc::clone(registration),
        offline_replicas: offline(image, &registration.replicas),
    }
}

fn offline(image: &MetadataImage, replicas: &[NodeId]) -> Vec<NodeId> {
    replicas.iter().copied().filter(|id| image.cluster().broker(*id).is_none()).collect()
}

/// What one image says and another did not.
#[derive(Default)]
pub(super) struct Changes {
    /// Whether the list of live brokers is another.
    pub(super) brokers: bool,
    /// Partitions that are gone.
    pub(super) deleted: Vec<TopicStates<UpdateMetadataPartition>>,
    /// Replicas that each broker no longer has.
    pub(super) stopped: ByBroker<StopReplicaPartition>,
    /// Partitions that changed, at each of their replicas.
    pub(super) replicas: ByBroker<LeaderAndIsrPartition>,
    /// Partitions that changed, or whose replicas went on- or offline.
    pub(super) changed: Vec<TopicStates<UpdateMetadataPartition>>,
}

/// A partition that is there now: what it was, and what it is.
type Pair<'a> = (Option<&'a PartitionRegistration>, &'a Arc<PartitionRegistration>);

/// Replicas that leave a broker: the topic's name, and the leader epoch if the topic stays.
type Stops<'a> = BTreeMap<TopicPartition, (&'a Arc<str>, Option<LeaderEpoch>)>;

/// Partitions that are gone, and those that are there and must be told.
#[derive(Default)]
struct Difference<'a> {
    gone: BTreeMap<TopicPartition, (&'a Arc<str>, &'a PartitionRegistration)>,
    there: BTreeMap<TopicPartition, Pair<'a>>,
}

impl<'a> Difference<'a> {
    /// Costs as much as differs, and a walk over all partitions if the set of registered brokers does.
    fn between(before: &'a MetadataImage, after: &'a MetadataImage) -> Self {
        let mut difference = Self::default();
        let whole = difference.topics(before, after);
        for item in before.topics().partition_map().diff(after.topics().partition_map()) {
            match item {
                DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. }
                    if whole.contains(&key.topic_id) => {}
                DiffItem::Add(key, registration) => {
                    difference.there.insert(*key, (None, registration));
                }
                DiffItem::Update { old: (_, old), new: (key, new) } if old != new => {
                    difference.there.insert(*key, (Some(old), new));
                }
                DiffItem::Update { .. } => {}
                DiffItem::Remove(key, registration) => {
                    if let Some(name) = before.topics().name(key.topic_id) {
                        difference.gone.insert(*key, (name, registration));
                    }
                }
            }
        }
        difference.of_brokers(before, after);
        difference
    }

    /// Takes topics that came or went, whole. Another name for the same id is another topic.
    fn topics(&mut self, before: &'a MetadataImage, after: &'a MetadataImage) -> BTreeSet<TopicId> {
        let mut whole = BTreeSet::new();
        for item in before.topics().names().diff(after.topics().names()) {
            let (id, gone, made) = match item {
                DiffItem::Remove(id, name) => (*id, Some(name), false),
                DiffItem::Add(id, _) => (*id, None, true),
                DiffItem::Update { old: (id, old), new: (_, new) } if old != new => (*id, Some(old), true),
                DiffItem::Update { .. } => continue,
            };
            whole.insert(id);
            let key = |partition| TopicPartition { topic_id: id, partition };
            if let Some(name) = gone {
                let partitions = before.topics().partitions(id);
                self.gone.extend(partitions.map(|(partition, was)| (key(partition), (name, was.as_ref()))));
            }
            if made {
                let partitions = after.topics().partitions(id);
                self.there.extend(partitions.map(|(partition, is)| (key(partition), (None, is))));
            }
        }
        whole
    }

    /// Takes partitions with a replica on a broker that was registered or unregistered: their offline replicas differ.
    fn of_brokers(&mut self, before: &'a MetadataImage, after: &'a MetadataImage) {
        let ids = |image: &MetadataImage| image.cluster().brokers().map(|(id, _)| id).collect::<BTreeSet<_>>();
        let came_or_went: BTreeSet<NodeId> = ids(before).symmetric_difference(&ids(after)).copied().collect();
        if came_or_went.is_empty() {
            return;
        }
        for (key, registration) in after.topics().all_partitions() {
            if registration.replicas.iter().any(|id| came_or_went.contains(id)) {
                self.there.entry(key).or_insert((Some(registration), registration));
            }
        }
    }
}

/// What `after` says and `before` did not, as far as it concerns these receivers.
pub(super) fn changes(
    before: &MetadataImage,
    after: &MetadataImage,
    receivers: &BTreeMap<NodeId, Receiver>,
) -> Changes {
    let difference = Difference::between(before, after);
    let mut changes = Changes { brokers: live_brokers(before) != live_brokers(after), ..Changes::default() };
    let mut stopped: BTreeMap<NodeId, Stops<'_>> = BTreeMap::new();
    let mut stop = |id: NodeId, key, name, epoch| {
        if receivers.contains_key(&id) {
            stopped.entry(id).or_default().insert(key, (name, epoch));
        }
    };
    for (key, (name, was)) in difference.gone {
        let partition = UpdateMetadataPartition::Deleted {
            partition: key.partition,
            replicas: was.replicas.to_vec(),
            offline_replicas: offline(after, &was.replicas),
        };
        push(&mut changes.deleted, name, key.topic_id, partition);
        was.replicas.iter().for_each(|id| stop(*id, key, name, None));
    }
    for (key, (was, is)) in difference.there {
        let Some(name) = after.topics().name(key.topic_id) else { continue };
        push(&mut changes.changed, name, key.topic_id, present(after, key, is));
        if was == Some(is.as_ref()) {
            continue;
        }
        let had = |id: &NodeId| was.is_some_and(|was| was.replicas.contains(id));
        for id in is.replicas.iter().filter(|id| receivers.contains_key(id)) {
            let (partition, registration, is_new) = (key.partition, Arc::clone(is), !had(id));
            let partition = LeaderAndIsrPartition { partition, registration, is_new };
            push(changes.replicas.entry(*id).or_default(), name, key.topic_id, partition);
        }
        let left = was.into_iter().flat_map(|was| &was.replicas).filter(|id| !is.replicas.contains(id));
        left.for_each(|id| stop(*id, key, name, Some(is.leader_epoch)));
    }
    for (id, partitions) in stopped {
        for (key, (name, leader_epoch)) in partitions {
            let partition = StopReplicaPartition { partition: key.partition, leader_epoch };
            push(changes.stopped.entry(id).or_default(), name, key.topic_id, partition);
        }
    }
    changes
}
