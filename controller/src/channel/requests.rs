//! What [`migration::propagate`] tells brokers in ZooKeeper mode, as Kafka's messages.

use kafka_protocol::messages::leader_and_isr_request::{
    LeaderAndIsrLiveLeader, LeaderAndIsrPartitionState, LeaderAndIsrTopicState,
};
use kafka_protocol::messages::stop_replica_request::{StopReplicaPartitionState, StopReplicaTopicState};
use kafka_protocol::messages::update_metadata_request::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState, UpdateMetadataTopicState,
};
use kafka_protocol::messages::{BrokerId, LeaderAndIsrRequest, StopReplicaRequest, UpdateMetadataRequest};
use metadata_core::id::NodeId;
use migration::propagate::{self, ActingController, LiveBroker, Stamp, UpdateMetadataPartition};

use crate::convert::{broker, brokers, text, to_kafka, topic_name};

fn broker_epoch(stamp: Stamp) -> i64 {
    stamp.broker_epoch.map_or(-1, |epoch| epoch.0)
}

/// For version [`propagate::LeaderAndIsrRequest::VERSION`].
pub(super) fn leader_and_isr(request: &propagate::LeaderAndIsrRequest) -> LeaderAndIsrRequest {
    let controller = request.stamp.controller;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| led_partition(controller, partition));
        LeaderAndIsrTopicState::default()
            .with_topic_name(topic_name(&topic.name))
            .with_topic_id(to_kafka(topic.id.0))
            .with_partition_states(partitions.collect())
    });
    let leaders = request.live_leaders.iter().map(|leader| {
        LeaderAndIsrLiveLeader::default()
            .with_broker_id(broker(leader.id))
            .with_host_name(text(&leader.host))
            .with_port(leader.port.into())
    });
    LeaderAndIsrRequest::default()
        .with_controller_id(broker(controller.id))
        .with_is_k_raft_controller(true)
        .with_controller_epoch(controller.zk_epoch.0)
        .with_broker_epoch(broker_epoch(request.stamp))
        .with_type(request.request_type.code())
        .with_topic_states(topics.collect())
        .with_live_leaders(leaders.collect())
}

fn led_partition(
    controller: ActingController,
    partition: &propagate::LeaderAndIsrPartition,
) -> LeaderAndIsrPartitionState {
    let registration = &partition.registration;
    LeaderAndIsrPartitionState::default()
        .with_partition_index(partition.partition.0)
        .with_controller_epoch(controller.kraft_epoch.0)
        .with_leader(broker(registration.leader.unwrap_or(NodeId::NONE)))
        .with_leader_epoch(registration.leader_epoch.0)
        .with_isr(brokers(&registration.isr))
        .with_partition_epoch(registration.partition_epoch.0)
        .with_replicas(brokers(&registration.replicas))
        .with_adding_replicas(brokers(&registration.adding_replicas))
        .with_removing_replicas(brokers(&registration.removing_replicas))
        .with_is_new(partition.is_new)
        .with_leader_recovery_state(registration.leader_recovery_state.code())
}

/// For version [`propagate::UpdateMetadataRequest::VERSION`].
pub(super) fn update_metadata(request: &propagate::UpdateMetadataRequest) -> UpdateMetadataRequest {
    let controller = request.stamp.controller;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| known_partition(controller, partition));
        UpdateMetadataTopicState::default()
            .with_topic_name(topic_name(&topic.name))
            .with_topic_id(to_kafka(topic.id.0))
            .with_partition_states(partitions.collect())
    });
    UpdateMetadataRequest::default()
        .with_controller_id(broker(controller.id))
        .with_is_k_raft_controller(true)
        .with_type(request.request_type.code())
        .with_controller_epoch(controller.zk_epoch.0)
        .with_broker_epoch(broker_epoch(request.stamp))
        .with_topic_states(topics.collect())
        .with_live_brokers(request.live_brokers.iter().map(live_broker).collect())
}

fn known_partition(controller: ActingController, partition: &UpdateMetadataPartition) -> UpdateMetadataPartitionState {
    let state = UpdateMetadataPartitionState::default();
    match partition {
        UpdateMetadataPartition::Present { partition, registration, offline_replicas } => state
            .with_partition_index(partition.0)
            .with_controller_epoch(controller.kraft_epoch.0)
            .with_leader(broker(registration.leader.unwrap_or(NodeId::NONE)))
            .with_leader_epoch(registration.leader_epoch.0)
            .with_isr(brokers(&registration.isr))
            .with_zk_version(registration.partition_epoch.0)
            .with_replicas(brokers(&registration.replicas))
            .with_offline_replicas(brokers(offline_replicas)),
        UpdateMetadataPartition::Deleted { partition, replicas, offline_replicas } => state
            .with_partition_index(partition.0)
            .with_controller_epoch(controller.zk_epoch.0)
            .with_leader(BrokerId(UpdateMetadataPartition::LEADER_DURING_DELETE))
            .with_leader_epoch(0)
            .with_zk_version(0)
            .with_replicas(brokers(replicas))
            .with_offline_replicas(brokers(offline_replicas)),
    }
}

fn live_broker(live: &LiveBroker) -> UpdateMetadataBroker {
    let endpoints = live.endpoints.iter().map(|(listener, endpoint)| {
        UpdateMetadataEndpoint::default()
            .with_listener(text(listener))
            .with_host(text(&endpoint.host))
            .with_port(endpoint.port.into())
            .with_security_protocol(endpoint.security_protocol)
    });
    UpdateMetadataBroker::default()
        .with_id(broker(live.id))
        .with_endpoints(endpoints.collect())
        .with_rack(live.rack.as_deref().map(text))
}

/// For version [`propagate::StopReplicaRequest::VERSION`].
pub(super) fn stop_replica(request: &propagate::StopReplicaRequest) -> StopReplicaRequest {
    let controller = request.stamp.controller;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            StopReplicaPartitionState::default()
                .with_partition_index(partition.partition.0)
                .with_leader_epoch(partition.leader_epoch_code())
                .with_delete_partition(true)
        });
        StopReplicaTopicState::default()
            .with_topic_name(topic_name(&topic.name))
            .with_partition_states(partitions.collect())
    });
    StopReplicaRequest::default()
        .with_controller_id(broker(controller.id))
        .with_is_k_raft_controller(true)
        .with_controller_epoch(controller.zk_epoch.0)
        .with_broker_epoch(broker_epoch(request.stamp))
        .with_topic_states(topics.collect())
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use bytes::{Bytes, BytesMut};
    use kafka_protocol::protocol::{Decodable, Encodable, Message, Request};
    use metadata_core::contract::Workload;
    use metadata_core::id::{BrokerEpoch, KRaftLeaderEpoch, TopicId, ZkControllerEpoch};
    use metadata_core::image::{MetadataDelta, MetadataImage};
    use metadata_core::record::{BrokerEndpoint, RegisterBrokerRecord};
    use migration::propagate::{BrokerRequest, Order, Propagator};
    use uuid::Uuid;

    use super::*;

    const CONTROLLER: ActingController = ActingController {
        id: NodeId(3000),
        zk_epoch: ZkControllerEpoch(0x0102_0304),
        kraft_epoch: KRaftLeaderEpoch(0x0506_0708),
    };

    /// The bytes, after they were read back as the same request: each field that is set exists in this version.
    fn encoded<R: Request + Decodable + Encodable + PartialEq + Debug>(request: &R, key: i16, version: i16) -> Bytes {
        assert_eq!(R::KEY, key);
        assert_eq!(<R as Message>::VERSIONS.max, version, "the newest that a broker in ZooKeeper mode knows");
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        let bytes = bytes.freeze();
        let mut read = bytes.clone();
        assert_eq!(R::decode(&mut read, version).unwrap(), *request);
        assert!(read.is_empty());
        bytes
    }

    fn bytes_of(request: &BrokerRequest) -> Bytes {
        match request {
            BrokerRequest::LeaderAndIsr(request) => encoded(
                &leader_and_isr(request),
                propagate::LeaderAndIsrRequest::API_KEY,
                propagate::LeaderAndIsrRequest::VERSION,
            ),
            BrokerRequest::UpdateMetadata(request) => encoded(
                &update_metadata(request),
                propagate::UpdateMetadataRequest::API_KEY,
                propagate::UpdateMetadataRequest::VERSION,
            ),
            BrokerRequest::StopReplica(request) => encoded(
                &stop_replica(request),
                propagate::StopReplicaRequest::API_KEY,
                propagate::StopReplicaRequest::VERSION,
            ),
        }
    }

    fn with_brokers(image: &MetadataImage) -> MetadataDelta {
        let mut delta = MetadataDelta::new(image);
        for id in 1..=4 {
            let record = RegisterBrokerRecord {
                broker_id: NodeId(id),
                broker_epoch: BrokerEpoch(0x1112_1314_1516_1700 + i64::from(id)),
                is_migrating_zk_broker: true,
                fenced: false,
                rack: (id > 2).then(|| "r1".to_owned()),
                end_points: vec![BrokerEndpoint {
                    name: "PLAINTEXT".to_owned(),
                    host: format!("host{id}"),
                    port: 65535,
                    ..Default::default()
                }],
                ..Default::default()
            };
            delta.replay(&record.into()).unwrap();
        }
        delta
    }

    fn requests(propagator: &mut Propagator, image: &MetadataImage) -> Vec<(NodeId, BrokerRequest)> {
        let mut requests = Vec::new();
        for order in propagator.plan(image) {
            if let Order::Send(id, sent) = order {
                propagator.delivered(id);
                requests.extend(sent.into_iter().map(|request| (id, request)));
            }
        }
        requests
    }

    #[test]
    fn every_request_is_one_of_kafkas_in_the_stated_version() {
        let mut propagator = Propagator::new(CONTROLLER, "PLAINTEXT");
        let mut delta = with_brokers(&MetadataImage::empty());
        let mut workload = Workload::new(3);
        let mut seen = [0; 3];
        for _ in 0..300 {
            let change = workload.next_change(delta.image());
            delta.replay_all(&change).unwrap();
            for (id, request) in requests(&mut propagator, delta.image()) {
                let bytes = bytes_of(&request);
                // All three begin alike: controller id, isKRaftController, the claimed epoch, the broker's epoch.
                let head: &[u8] = &[0, 0, 0x0b, 0xb8, 1, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17];
                assert_eq!(bytes[..16], *head);
                assert_eq!(i32::from(bytes[16]), id.0);
                match request {
                    // Next comes the type.
                    BrokerRequest::LeaderAndIsr(request) => {
                        assert_eq!(bytes[17], request.request_type.code().unsigned_abs());
                        seen[0] += 1;
                    }
                    // At the end the type: one tagged field, tag 0, one byte.
                    BrokerRequest::UpdateMetadata(request) => {
                        let code = request.request_type.code().unsigned_abs();
                        assert_eq!(bytes[bytes.len() - 4..], [1, 0, 1, code]);
                        seen[1] += 1;
                    }
                    BrokerRequest::StopReplica(_) => seen[2] += 1,
                }
            }
        }
        assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    }

    #[test]
    fn partitions_have_kafkas_numbers() {
        let mut propagator = Propagator::new(CONTROLLER, "PLAINTEXT");
        let mut delta = with_brokers(&MetadataImage::empty());
        let topic_id = TopicId(metadata_core::uuid::Uuid::from_u64_pair(1, 2));
        let topic = metadata_core::record::TopicRecord { name: "t".into(), topic_id, ..Default::default() };
        let partition = metadata_core::record::PartitionRecord {
            topic_id,
            replicas: vec![NodeId(1), NodeId(9)],
            isr: vec![NodeId(1)],
            leader: NodeId(1),
            leader_epoch: metadata_core::id::LeaderEpoch(5),
            partition_epoch: metadata_core::id::PartitionEpoch(8),
            ..Default::default()
        };
        delta.replay(&topic.into()).unwrap();
        delta.replay(&partition.into()).unwrap();
        let full = requests(&mut propagator, delta.image());
        let [BrokerRequest::UpdateMetadata(update), BrokerRequest::LeaderAndIsr(lead)] = [&full[0].1, &full[1].1]
        else {
            panic!("{full:?}");
        };
        let (update, lead) = (update_metadata(update), leader_and_isr(lead));
        assert_eq!((update._type, lead._type), (2, 2));
        let (known, led) = (&update.topic_states[0].partition_states[0], &lead.topic_states[0].partition_states[0]);
        assert_eq!(update.topic_states[0].topic_id, Uuid::from_u64_pair(1, 2));
        assert_eq!(lead.topic_states[0].topic_id, Uuid::from_u64_pair(1, 2));
        assert_eq!((known.leader, known.leader_epoch, known.zk_version), (BrokerId(1), 5, 8));
        assert_eq!((led.leader, led.leader_epoch, led.partition_epoch), (BrokerId(1), 5, 8));
        // Partitions carry the KRaft epoch, the requests the claimed one.
        assert_eq!((known.controller_epoch, led.controller_epoch), (0x0506_0708, 0x0506_0708));
        assert_eq!(known.offline_replicas, [BrokerId(9)]);
        assert_eq!(lead.live_leaders[0].port, 65535);
        assert_eq!(update.live_brokers[3].rack.as_deref(), Some("r1"));

        let gone = metadata_core::record::RemoveTopicRecord { topic_id, ..Default::default() };
        delta.replay(&gone.into()).unwrap();
        let told = requests(&mut propagator, delta.image());
        let [BrokerRequest::UpdateMetadata(update), BrokerRequest::StopReplica(stop)] = [&told[0].1, &told[1].1] else {
            panic!("{told:?}");
        };
        let (update, stop) = (update_metadata(update), stop_replica(stop));
        let gone = &update.topic_states[0].partition_states[0];
        assert_eq!((gone.leader, gone.leader_epoch, gone.zk_version), (BrokerId(-2), 0, 0));
        assert_eq!(gone.controller_epoch, 0x0102_0304, "of a deleted topic it is the ZooKeeper epoch");
        let stopped = &stop.topic_states[0].partition_states[0];
        assert_eq!((stopped.leader_epoch, stopped.delete_partition), (-2, true));

        // No leader and an unknown broker epoch are both -1.
        let none = Stamp { controller: CONTROLLER, broker_epoch: None };
        let empty = propagate::StopReplicaRequest { stamp: none, topics: Vec::new() };
        assert_eq!(stop_replica(&empty).broker_epoch, -1);
    }
}
