//! A broker in ZooKeeper mode, as far as the three requests go: what `ReplicaManager`, `ZkMetadataCache` and `KafkaApis` of
//! Kafka 3.9 do with them while a migration is enabled. It panics at what a real one would answer with an error, since the
//! controller only logs those.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata_core::id::{BrokerEpoch, NodeId, PartitionId, TopicId, ZkControllerEpoch};
use metadata_core::image::{MetadataImage, PartitionRegistration};
use migration::propagate::{
    BrokerRequest, LeaderAndIsrRequest, LiveBroker, RequestType, Stamp, StopReplicaRequest, UpdateMetadataPartition,
    UpdateMetadataRequest,
};

type Registration = Arc<PartitionRegistration>;

/// What clients of the broker are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cache {
    pub(crate) live: BTreeMap<NodeId, LiveBroker>,
    /// Partitions with their offline replicas, by name.
    pub(crate) partitions: BTreeMap<String, BTreeMap<PartitionId, (Registration, Vec<NodeId>)>>,
    pub(crate) ids: BTreeMap<String, TopicId>,
}

/// The broker's logs by name, with the topic id and the state in which it serves them.
pub(crate) type Logs = BTreeMap<(String, PartitionId), (TopicId, Registration)>;

#[derive(Debug, Clone)]
pub(crate) struct Broker {
    id: NodeId,
    epoch: BrokerEpoch,
    controller_epoch: ZkControllerEpoch,
    pub(crate) cache: Cache,
    pub(crate) logs: Logs,
}

impl Broker {
    pub(crate) fn new(id: NodeId, epoch: BrokerEpoch) -> Self {
        let controller_epoch = ZkControllerEpoch(0);
        Self { id, epoch, controller_epoch, cache: Cache::default(), logs: Logs::new() }
    }

    /// Another process over the same disks.
    pub(crate) fn restart(&mut self, epoch: BrokerEpoch) {
        *self = Self { logs: std::mem::take(&mut self.logs), ..Self::new(self.id, epoch) };
    }

    pub(crate) fn epoch(&self) -> BrokerEpoch {
        self.epoch
    }

    pub(crate) fn receive(&mut self, request: &BrokerRequest) {
        self.check(request.stamp());
        match request {
            BrokerRequest::UpdateMetadata(request) => self.update_metadata(request),
            BrokerRequest::LeaderAndIsr(request) => self.lead(request),
            BrokerRequest::StopReplica(request) => self.stop(request),
        }
    }

    fn check(&mut self, stamp: Stamp) {
        assert!(stamp.broker_epoch.is_none_or(|epoch| epoch >= self.epoch), "STALE_BROKER_EPOCH at {}", self.id);
        assert!(stamp.controller.zk_epoch >= self.controller_epoch, "STALE_CONTROLLER_EPOCH at {}", self.id);
        self.controller_epoch = stamp.controller.zk_epoch;
    }

    fn update_metadata(&mut self, request: &UpdateMetadataRequest) {
        let cache = &mut self.cache;
        cache.live = request.live_brokers.iter().map(|broker| (broker.id, broker.clone())).collect();
        if request.request_type == RequestType::Full {
            let named: BTreeSet<TopicId> = request.topics.iter().map(|topic| topic.id).collect();
            let dropped: Vec<String> =
                cache.ids.iter().filter(|(_, id)| !named.contains(id)).map(|(name, _)| name.clone()).collect();
            for name in dropped {
                cache.partitions.remove(&name);
                cache.ids.remove(&name);
            }
        }
        // The ids of all topics in the request come first, then its partitions, by name. So a topic that is deleted and made
        // anew within one request ends up without an id.
        cache.ids.extend(request.topics.iter().map(|topic| (topic.name.to_string(), topic.id)));
        for topic in request.topics.iter() {
            for partition in &topic.partitions {
                let known = cache.partitions.entry(topic.name.to_string()).or_default();
                match partition {
                    UpdateMetadataPartition::Present { partition, registration, offline_replicas } => {
                        known.insert(*partition, (Arc::clone(registration), offline_replicas.clone()));
                    }
                    UpdateMetadataPartition::Deleted { partition, .. } => {
                        known.remove(partition);
                        if known.is_empty() {
                            cache.partitions.remove(&*topic.name);
                            cache.ids.remove(&*topic.name);
                        }
                    }
                }
            }
        }
    }

    fn lead(&mut self, request: &LeaderAndIsrRequest) {
        if request.request_type == RequestType::Full {
            let listed: BTreeSet<_> = (request.topics.iter())
                .flat_map(|topic| topic.partitions.iter().map(|p| (topic.name.to_string(), p.partition, topic.id)))
                .collect();
            self.logs.retain(|(name, partition), (id, _)| listed.contains(&(name.clone(), *partition, *id)));
        }
        for leader in &request.live_leaders {
            assert!(self.cache.live.contains_key(&leader.id), "leader {} is unknown to broker {}", leader.id, self.id);
        }
        for topic in &request.topics {
            for partition in &topic.partitions {
                let what = format!("{}-{} at broker {}", topic.name, partition.partition, self.id);
                let registration = &partition.registration;
                assert!(registration.replicas.contains(&self.id), "no replica: {what}");
                let key = (topic.name.to_string(), partition.partition);
                if let Some((id, present)) = self.logs.get(&key) {
                    assert_eq!(*id, topic.id, "INCONSISTENT_TOPIC_ID: {what}");
                    assert!(registration.leader_epoch >= present.leader_epoch, "stale leader epoch: {what}");
                    assert!(!partition.is_new, "it has this replica already: {what}");
                }
                self.logs.insert(key, (topic.id, Arc::clone(registration)));
            }
        }
    }

    fn stop(&mut self, request: &StopReplicaRequest) {
        for topic in &request.topics {
            for partition in &topic.partitions {
                let key = (topic.name.to_string(), partition.partition);
                if let (Some((_, present)), Some(epoch)) = (self.logs.get(&key), partition.leader_epoch) {
                    assert!(epoch >= present.leader_epoch, "stale leader epoch: {key:?} at broker {}", self.id);
                }
                self.logs.remove(&key);
            }
        }
    }
}

/// What a broker that was told everything answers its clients, by the image alone.
pub(crate) fn cache_of(image: &MetadataImage) -> Cache {
    let live = image
        .cluster()
        .brokers()
        .map(|(id, broker)| (id, LiveBroker { id, endpoints: broker.endpoints.clone(), rack: broker.rack.clone() }));
    let mut cache = Cache { live: live.collect(), ..Cache::default() };
    for (key, registration) in image.topics().all_partitions() {
        let name = image.topics().name(key.topic_id).expect("a partition has a topic").to_string();
        let registered = |id: &&NodeId| image.cluster().broker(**id).is_some();
        let offline = registration.replicas.iter().filter(|id| !registered(id)).copied().collect();
        cache.ids.insert(name.clone(), key.topic_id);
        cache.partitions.entry(name).or_default().insert(key.partition, (Arc::clone(registration), offline));
    }
    cache
}

/// The logs that a broker has, by the image alone.
pub(crate) fn logs_of(image: &MetadataImage, id: NodeId) -> Logs {
    let there = image.topics().all_partitions().filter(|(_, registration)| registration.replicas.contains(&id));
    there
        .map(|(key, registration)| {
            let name = image.topics().name(key.topic_id).expect("a partition has a topic").to_string();
            ((name, key.partition), (key.topic_id, Arc::clone(registration)))
        })
        .collect()
}
