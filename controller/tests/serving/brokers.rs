//! The life of brokers.

use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AlterPartitionRequest, ApiVersionsRequest, BrokerHeartbeatRequest,
    BrokerHeartbeatResponse, BrokerId, BrokerRegistrationRequest, DescribeQuorumRequest, FetchRequest,
    UnregisterBrokerRequest, describe_quorum_request,
};
use kafka_protocol::protocol::StrBytes;
use metadata_core::id::{LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId};
use metadata_core::log::MetadataLog as _;
use metadata_core::record::{PartitionRecord, TopicRecord, VersionedRecord};
use metadata_core::uuid::Uuid;
use store_kraft::batch::Batch;
use uuid::Uuid as KafkaUuid;

use crate::client::Client;
use crate::served::{CLUSTER, Served};

const TOPIC: TopicId = TopicId(Uuid::from_u64_pair(7, 1));
const METADATA_TOPIC: KafkaUuid = KafkaUuid::from_u64_pair(0, 1);

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn registration(id: i32, run: u64) -> BrokerRegistrationRequest {
    BrokerRegistrationRequest::default()
        .with_broker_id(BrokerId(id))
        .with_cluster_id(text(CLUSTER))
        .with_incarnation_id(KafkaUuid::from_u64_pair(8, u64::from(id.unsigned_abs()) << 32 | run))
        .with_listeners(vec![
            Listener::default().with_name(text("PLAINTEXT")).with_host(text("localhost")).with_port(9092),
        ])
        .with_features(vec![
            Feature::default()
                .with_name(text("metadata.version"))
                .with_min_supported_version(1)
                .with_max_supported_version(21),
        ])
        .with_log_dirs(vec![KafkaUuid::from_u64_pair(9, id.unsigned_abs().into())])
}

fn heartbeat(id: i32, epoch: i64, offset: i64) -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest::default()
        .with_broker_id(BrokerId(id))
        .with_broker_epoch(epoch)
        .with_current_metadata_offset(offset)
}

pub(crate) fn fetch(replica: i32, leader_epoch: i32, offset: i64, last_epoch: i32) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(leader_epoch)
        .with_fetch_offset(offset)
        .with_last_fetched_epoch(last_epoch)
        .with_partition_max_bytes(1 << 20);
    FetchRequest::default()
        .with_cluster_id(Some(text(CLUSTER)))
        .with_replica_state(ReplicaState::default().with_replica_id(BrokerId(replica)))
        .with_max_wait_ms(0)
        .with_max_bytes(1 << 20)
        .with_topics(vec![FetchTopic::default().with_topic_id(METADATA_TOPIC).with_partitions(vec![partition])])
}

/// Registers a broker, and makes it unfenced. Its epoch.
async fn joined(served: &Served, client: &mut Client, id: i32) -> i64 {
    let registered = client.ask(&registration(id, 1), 4).await;
    assert_eq!(registered.error_code, 0);
    let end = served.log.image().position().end_offset.0;
    let heard = client.ask(&heartbeat(id, registered.broker_epoch, end - 1), 1).await;
    assert_eq!((heard.error_code, heard.is_caught_up, heard.is_fenced), (0, true, false), "{heard:?}");
    registered.broker_epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_registers_reads_the_log_and_is_let_in() {
    let served = Served::start().await;
    let mut client = served.client().await;
    let versions = client.ask(&ApiVersionsRequest::default(), 4).await;
    assert!(versions.api_keys.iter().any(|api| api.api_key == 62 && api.max_version == 4));
    assert_eq!(versions.finalized_features[0].max_version_level, 21);

    let registered = client.ask(&registration(1, 1), 4).await;
    assert_eq!(registered.error_code, 0);
    let epoch = registered.broker_epoch;
    // S9: until it has read the log as far as its registration it stays out.
    let behind = client.ask(&heartbeat(1, epoch, epoch - 1), 1).await;
    assert_eq!((behind.is_caught_up, behind.is_fenced), (false, true));
    assert_eq!(client.ask(&heartbeat(1, epoch + 1, epoch), 1).await.error_code, 77);

    // It reads from the start to the end, as an observer does.
    let leader_epoch = served.log.leadership(None).await.unwrap().epoch.0;
    let (mut offset, mut last_epoch) = (0, 0);
    while offset <= epoch {
        let answer = client.ask(&fetch(1, leader_epoch, offset, last_epoch), 17).await;
        let data = &answer.responses[0].partitions[0];
        assert_eq!((data.error_code, data.current_leader.leader_id.0), (0, 3000));
        let mut bytes = &data.records.as_ref().unwrap()[..];
        assert!(!bytes.is_empty());
        while !bytes.is_empty() {
            let batch = Batch::parse(bytes).unwrap();
            assert_eq!(batch.header().base_offset.0, offset);
            (offset, last_epoch) = (batch.header().end_offset().0, batch.header().epoch.0);
            bytes = &bytes[batch.bytes().len()..];
        }
    }
    let inside: BrokerHeartbeatResponse = client.ask(&heartbeat(1, epoch, offset - 1), 1).await;
    assert_eq!((inside.is_caught_up, inside.is_fenced), (true, false));
    assert!(!served.log.image().cluster().broker(NodeId(1)).unwrap().fenced);

    let asked = describe_quorum_request::TopicData::default()
        .with_topic_name(kafka_protocol::messages::TopicName(text("__cluster_metadata")))
        .with_partitions(vec![Default::default()]);
    let quorum = client.ask(&DescribeQuorumRequest::default().with_topics(vec![asked]), 2).await;
    let data = &quorum.topics[0].partitions[0];
    assert_eq!(
        (data.leader_id.0, data.current_voters[0].replica_id.0, data.observers[0].replica_id.0),
        (3000, 3000, 1)
    );
    assert_eq!(quorum.nodes[0].listeners[0].port, 9093);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_producer_ids_do_not_meet() {
    let served = Served::start().await;
    let mut client = served.client().await;
    let epoch = joined(&served, &mut client, 1).await;
    let ask = AllocateProducerIdsRequest::default().with_broker_id(BrokerId(1)).with_broker_epoch(epoch);
    let first = client.ask(&ask, 0).await;
    let second = client.ask(&ask, 0).await;
    assert_eq!((first.error_code, first.producer_id_start.0, first.producer_id_len), (0, 0, 1000));
    assert_eq!(second.producer_id_start.0, 1000);
    let stale = client.ask(&ask.with_broker_epoch(epoch + 1), 0).await;
    assert_eq!(stale.error_code, 77);
}

/// A topic whose only partition is on 1 and 2, led by 1.
async fn topic(served: &Served) {
    let topic = TopicRecord { name: "orders".into(), topic_id: TOPIC, ..Default::default() };
    let partition = PartitionRecord {
        topic_id: TOPIC,
        partition_id: PartitionId(0),
        replicas: vec![NodeId(1), NodeId(2)],
        isr: vec![NodeId(1), NodeId(2)],
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        ..Default::default()
    };
    served.append(vec![VersionedRecord::new(topic, 0), VersionedRecord::new(partition, 0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_falls_silent_leads_no_more_and_comes_back() {
    let served = Served::start().await;
    let mut clients = [served.client().await, served.client().await];
    let first = joined(&served, &mut clients[0], 1).await;
    let second = joined(&served, &mut clients[1], 2).await;
    topic(&served).await;
    let leads = |image: &metadata_core::image::MetadataImage| {
        image.topics().partition(TOPIC, PartitionId(0)).map(|it| (it.leader, it.isr.to_vec()))
    };
    let [_, other] = &mut clients;
    // 2 goes on, 1 says nothing.
    let moved = Some((Some(NodeId(2)), vec![NodeId(2)]));
    let waiting = async {
        while leads(&served.log.image()) != moved {
            let heard = other.ask(&heartbeat(2, second, i64::MAX), 1).await;
            assert_eq!((heard.error_code, heard.is_fenced), (0, false));
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, waiting).await.unwrap();
    assert!(served.log.image().cluster().broker(NodeId(1)).unwrap().fenced);

    // It is heard again, in its old registration, and its leader takes it back.
    let back = clients[0].ask(&heartbeat(1, first, i64::MAX), 1).await;
    assert_eq!((back.error_code, back.is_fenced), (0, false));
    let now = served.log.image().topics().partition(TOPIC, PartitionId(0)).unwrap().as_ref().clone();
    let isr = [(2, second), (1, first)]
        .map(|(id, epoch)| BrokerState::default().with_broker_id(BrokerId(id)).with_broker_epoch(epoch));
    let wanted = PartitionData::default()
        .with_leader_epoch(now.leader_epoch.0)
        .with_partition_epoch(now.partition_epoch.0)
        .with_new_isr_with_epochs(isr.into());
    let topic_id = KafkaUuid::from_bytes(*TOPIC.0.as_bytes());
    let alter = AlterPartitionRequest::default()
        .with_broker_id(BrokerId(2))
        .with_broker_epoch(second)
        .with_topics(vec![TopicData::default().with_topic_id(topic_id).with_partitions(vec![wanted])]);
    let altered = clients[1].ask(&alter, 3).await;
    let data = &altered.topics[0].partitions[0];
    assert_eq!((altered.error_code, data.error_code, data.isr.len()), (0, 0, 2), "{altered:?}");
    // The same again builds on an old epoch.
    let again = clients[1].ask(&alter, 3).await;
    assert_eq!(again.topics[0].partitions[0].error_code, 95);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_shuts_down_hands_over_first_and_one_that_is_unregistered_is_gone() {
    let served = Served::start().await;
    let mut client = served.client().await;
    let epoch = joined(&served, &mut client, 1).await;
    joined(&served, &mut client, 2).await;
    topic(&served).await;
    let mut goes = heartbeat(1, epoch, i64::MAX).with_want_shut_down(true);
    let shutting_down = async {
        while !client.ask(&goes, 1).await.should_shut_down {
            client.ask(&registration(2, 1), 4).await;
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, shutting_down).await.unwrap();
    let partition = served.log.image().topics().partition(TOPIC, PartitionId(0)).unwrap().as_ref().clone();
    assert_eq!((partition.leader, &partition.isr[..]), (Some(NodeId(2)), &[NodeId(2)][..]));

    let gone = UnregisterBrokerRequest::default().with_broker_id(BrokerId(1));
    assert_eq!(client.ask(&gone, 0).await.error_code, 0);
    assert_eq!(client.ask(&gone, 0).await.error_code, 102);
    goes.want_shut_down = false;
    assert_eq!(client.ask(&goes, 1).await.error_code, 77);
}
