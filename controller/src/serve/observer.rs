//! The metadata log for brokers, which read it as observers: Fetch, FetchSnapshot, DescribeQuorum (KIP-595, KIP-630).
//!
//! Every answer says who leads and in which epoch, and none says INVALID_REQUEST: that would end the process of a Kafka that
//! speaks Raft (`KafkaRaftClient`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::KafkaError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, FetchRequest, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, describe_quorum_response, fetch_response, fetch_snapshot_response,
};
use metadata_core::error::ErrorKind;
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, TimestampMs};
use metadata_core::log::{LeaderAndEpoch, MetadataLog as _};
use metadata_core::uuid::Uuid;
use store_kraft::KraftLog;
use store_kraft::fetch::{Fetched, FollowerEnd, SnapshotPiece};
use store_kraft::log::SnapshotId;
use tokio::time::{Instant, timeout_at};

use super::{Advertised, ServeOptions, now};
use crate::convert::{broker, node, text, to_kafka, topic_name};

/// Kafka's name and id of the log's topic; its only partition is 0.
const TOPIC: &str = "__cluster_metadata";
const TOPIC_ID: Uuid = Uuid::from_u64_pair(0, 1);

/// An answer has at most so many bytes of batches, or one batch. Kafka's observers ask for 8 MiB.
const BYTES_MAX: usize = 8 << 20;

/// Nobody waits longer for news. Kafka's observers ask for 500 ms.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// An observer that was silent for so long is forgotten (`LeaderState.OBSERVER_SESSION_TIMEOUT_MS`).
const OBSERVER_KEPT: Duration = Duration::from_secs(300);

/// A broker that reads the log.
#[derive(Debug, Clone, Copy)]
struct Observer {
    end_offset: Offset,
    fetched: Instant,
    fetched_at: TimestampMs,
    caught_up_at: Option<TimestampMs>,
}

/// Serves the log.
pub(super) struct Observing {
    log: Arc<KraftLog>,
    own: NodeId,
    cluster_id: String,
    advertised: Advertised,
    observers: Mutex<BTreeMap<NodeId, Observer>>,
}

/// Why there is nothing to give.
type Refused = (KafkaError, LeaderAndEpoch);

impl Observing {
    pub(super) fn new(log: Arc<KraftLog>, options: &ServeOptions) -> Self {
        let ServeOptions { node_id, cluster_id, advertised, .. } = options.clone();
        Self { log, own: node_id, cluster_id, advertised, observers: Mutex::default() }
    }

    /// Whether this controller leads.
    async fn leads(&self) -> Result<LeaderAndEpoch, Refused> {
        let stopped = LeaderAndEpoch { leader: None, epoch: KRaftLeaderEpoch(0), active: false };
        let now = self.log.leadership(None).await.unwrap_or(stopped);
        if !now.active || now.leader != Some(self.own) {
            // One that was elected and has not begun to act is nobody yet.
            let leader = now.leader.filter(|leader| *leader != self.own);
            return Err((KafkaError::NotLeaderOrFollower, LeaderAndEpoch { leader, ..now }));
        }
        Ok(now)
    }

    /// Whether this controller leads in the epoch that the observer knows.
    async fn checked(&self, said: i32) -> Result<LeaderAndEpoch, Refused> {
        let now = self.leads().await?;
        match said.cmp(&now.epoch.0) {
            std::cmp::Ordering::Less => Err((KafkaError::FencedLeaderEpoch, now)),
            std::cmp::Ordering::Greater => Err((KafkaError::UnknownLeaderEpoch, now)),
            std::cmp::Ordering::Equal => Ok(now),
        }
    }

    fn is_other_cluster(&self, said: Option<&kafka_protocol::protocol::StrBytes>) -> bool {
        said.is_some_and(|said| said.as_str() != self.cluster_id)
    }

    pub(super) async fn fetch(&self, request: FetchRequest, version: i16) -> FetchResponse {
        let response = FetchResponse::default();
        if self.is_other_cluster(request.cluster_id.as_ref()) {
            return response.with_error_code(KafkaError::InconsistentClusterId.code());
        }
        let replica = node(if version >= 15 { request.replica_state.replica_id } else { request.replica_id });
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
        let Some(asked) = only_partition(&request, version) else {
            return response.with_error_code(KafkaError::UnknownTopicOrPartition.code());
        };
        let bytes_max = usize::try_from(request.max_bytes.min(asked.partition_max_bytes)).unwrap_or(0).min(BYTES_MAX);
        let (data, leader) = self.partition(asked, replica, bytes_max, Instant::now() + wait).await;
        let topic = fetch_response::FetchableTopicResponse::default().with_partitions(vec![data]);
        let topic = match version >= 13 {
            true => topic.with_topic_id(to_kafka(TOPIC_ID)),
            false => topic.with_topic(topic_name(TOPIC)),
        };
        let endpoints = if version >= 16 { self.endpoint_of(leader) } else { Vec::new() };
        response.with_responses(vec![topic]).with_node_endpoints(endpoints)
    }

    fn endpoint_of(&self, leader: Option<NodeId>) -> Vec<fetch_response::NodeEndpoint> {
        let advertised = leader.and_then(|leader| Some((leader, self.advertised.get(&leader)?)));
        let endpoint = advertised.map(|(leader, at)| {
            fetch_response::NodeEndpoint::default()
                .with_node_id(broker(leader))
                .with_host(text(&at.host))
                .with_port(at.port.into())
        });
        endpoint.into_iter().collect()
    }

    /// What the partition's answer says, and who leads.
    async fn partition(
        &self,
        asked: &FetchPartition,
        replica: NodeId,
        bytes_max: usize,
        until: Instant,
    ) -> (fetch_response::PartitionData, Option<NodeId>) {
        let follower =
            FollowerEnd { offset: Offset(asked.fetch_offset), epoch: KRaftLeaderEpoch(asked.last_fetched_epoch) };
        let data =
            fetch_response::PartitionData::default().with_high_watermark(-1).with_records(Some(Default::default()));
        let leads = |data: fetch_response::PartitionData, now: LeaderAndEpoch| {
            let leader = fetch_response::LeaderIdAndEpoch::default()
                .with_leader_id(broker(now.leader.unwrap_or(NodeId::NONE)))
                .with_leader_epoch(now.epoch.0);
            (data.with_current_leader(leader), now.leader)
        };
        let refused = |(error, now): Refused| leads(data.clone().with_error_code(error.code()), now);
        let now = match self.checked(asked.current_leader_epoch).await {
            Ok(now) => now,
            Err(refusal) => return refused(refusal),
        };
        let fetched = loop {
            match self.log.fetch(follower, bytes_max).await {
                Ok(Fetched::Batches { bytes, high_watermark }) if bytes.is_empty() && Instant::now() < until => {
                    self.heard(replica, follower.offset, high_watermark);
                    let news = async {
                        tokio::select! {
                            end = self.log.committed(high_watermark) => drop(end),
                            leader = self.log.leadership(Some(now)) => drop(leader),
                        }
                    };
                    // Whichever comes first, the next look tells.
                    let _ = timeout_at(until, news).await;
                    if let Err(refusal) = self.checked(asked.current_leader_epoch).await {
                        return refused(refusal);
                    }
                }
                Ok(fetched) => break fetched,
                Err(error) => {
                    tracing::error!(%error, observer = %replica, "the log can't be read for an observer");
                    let code = match error.kind() {
                        ErrorKind::Corrupt => KafkaError::KafkaStorageError,
                        _ => KafkaError::UnknownServerError,
                    };
                    return refused((code, now));
                }
            }
        };
        let start = self.log.extent().epochs.first().map_or(0, |(_, start)| start.0);
        let data = data.clone().with_log_start_offset(start);
        let data = match fetched {
            Fetched::Batches { bytes, high_watermark } => {
                self.heard(replica, follower.offset, high_watermark);
                data.with_high_watermark(high_watermark.0).with_records(Some(bytes))
            }
            Fetched::Diverging { epoch, end_offset } => data.with_diverging_epoch(
                fetch_response::EpochEndOffset::default().with_epoch(epoch.0).with_end_offset(end_offset.0),
            ),
            Fetched::Snapshot(id) => data.with_snapshot_id(
                fetch_response::SnapshotId::default().with_end_offset(id.end_offset.0).with_epoch(id.epoch.0),
            ),
        };
        leads(data, now)
    }

    /// A broker asked for what follows `end_offset`.
    fn heard(&self, replica: NodeId, end_offset: Offset, high_watermark: Offset) {
        if replica.0 < 0 {
            return;
        }
        let (now, at) = (Instant::now(), now());
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.retain(|_, observer| now.duration_since(observer.fetched) < OBSERVER_KEPT);
        let before = observers.get(&replica).and_then(|observer| observer.caught_up_at);
        let caught_up_at = if end_offset >= high_watermark { Some(at) } else { before };
        observers.insert(replica, Observer { end_offset, fetched: now, fetched_at: at, caught_up_at });
    }

    pub(super) async fn fetch_snapshot(&self, request: FetchSnapshotRequest) -> FetchSnapshotResponse {
        let response = FetchSnapshotResponse::default();
        if self.is_other_cluster(request.cluster_id.as_ref()) {
            return response.with_error_code(KafkaError::InconsistentClusterId.code());
        }
        let [topic] = &request.topics[..] else {
            return response.with_error_code(KafkaError::UnknownTopicOrPartition.code());
        };
        let asked = topic.partitions.iter().find(|asked| asked.partition == 0 && topic.name.as_str() == TOPIC);
        let Some(asked) = asked.filter(|_| topic.partitions.len() == 1) else {
            return response.with_error_code(KafkaError::UnknownTopicOrPartition.code());
        };
        let id = SnapshotId {
            end_offset: Offset(asked.snapshot_id.end_offset),
            epoch: KRaftLeaderEpoch(asked.snapshot_id.epoch),
        };
        let data = fetch_snapshot_response::PartitionSnapshot::default()
            .with_snapshot_id(
                fetch_snapshot_response::SnapshotId::default().with_end_offset(id.end_offset.0).with_epoch(id.epoch.0),
            )
            .with_position(asked.position);
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).clamp(1, BYTES_MAX);
        let (data, now) = match self.checked(asked.current_leader_epoch).await {
            Err((error, now)) => (data.with_error_code(error.code()), now),
            Ok(now) => match self.piece(id, asked.position, bytes_max).await {
                Ok(SnapshotPiece { size, bytes }) => {
                    (data.with_size(i64::try_from(size).unwrap_or(i64::MAX)).with_unaligned_records(bytes), now)
                }
                Err(error) => (data.with_error_code(error.code()), now),
            },
        };
        let leader = fetch_snapshot_response::LeaderIdAndEpoch::default()
            .with_leader_id(broker(now.leader.unwrap_or(NodeId::NONE)))
            .with_leader_epoch(now.epoch.0);
        let topic = fetch_snapshot_response::TopicSnapshot::default()
            .with_name(topic_name(TOPIC))
            .with_partitions(vec![data.with_current_leader(leader)]);
        response.with_topics(vec![topic])
    }

    async fn piece(&self, id: SnapshotId, position: i64, bytes_max: usize) -> Result<SnapshotPiece, KafkaError> {
        let position = u64::try_from(position).map_err(|_| KafkaError::PositionOutOfRange)?;
        match self.log.fetch_snapshot(id, position, bytes_max).await {
            Ok(Some(piece)) if position < piece.size => Ok(piece),
            Ok(Some(_)) => Err(KafkaError::PositionOutOfRange),
            Ok(None) => Err(KafkaError::SnapshotNotFound),
            Err(error) => {
                tracing::error!(%error, snapshot = %id, "a snapshot can't be read for an observer");
                Err(KafkaError::UnknownServerError)
            }
        }
    }

    pub(super) async fn describe_quorum(&self, request: DescribeQuorumRequest, version: i16) -> DescribeQuorumResponse {
        let response = DescribeQuorumResponse::default();
        let asked = request.topics.first().and_then(|topic| Some((topic, topic.partitions.first()?)));
        if !asked.is_some_and(|(topic, partition)| topic.topic_name.as_str() == TOPIC && partition.partition_index == 0)
        {
            return response.with_error_code(KafkaError::UnknownTopicOrPartition.code());
        }
        let data = describe_quorum_response::PartitionData::default();
        let data = match self.leads().await {
            Err((_, now)) => data
                .with_error_code(KafkaError::NotLeaderOrFollower.code())
                .with_leader_id(broker(now.leader.unwrap_or(NodeId::NONE)))
                .with_leader_epoch(now.epoch.0)
                .with_high_watermark(-1),
            Ok(leads) => {
                let high_watermark = self.log.extent().end_offset;
                data.with_leader_id(broker(self.own))
                    .with_leader_epoch(leads.epoch.0)
                    .with_high_watermark(high_watermark.0)
                    .with_current_voters(self.voters(high_watermark, version))
                    .with_observers(self.described_observers())
            }
        };
        let nodes = self.advertised.iter().map(|(id, at)| {
            let listener = describe_quorum_response::Listener::default()
                .with_name(text(&at.listener))
                .with_host(text(&at.host))
                .with_port(at.port);
            describe_quorum_response::Node::default().with_node_id(broker(*id)).with_listeners(vec![listener])
        });
        let nodes = if version >= 2 { nodes.collect() } else { Vec::new() };
        let topic = describe_quorum_response::TopicData::default()
            .with_topic_name(topic_name(TOPIC))
            .with_partitions(vec![data]);
        response.with_topics(vec![topic]).with_nodes(nodes)
    }

    fn voters(&self, high_watermark: Offset, version: i16) -> Vec<describe_quorum_response::ReplicaState> {
        let (quorum, at) = (self.log.quorum(), now());
        let voters = quorum.members.iter().filter(|member| member.voter);
        voters
            .map(|member| {
                let end = if member.id == self.own { Some(high_watermark) } else { member.end_offset };
                let heard = member.silent.map(|silent| at.0 - i64::try_from(silent.as_millis()).unwrap_or(i64::MAX));
                let caught_up = heard.filter(|_| end.is_some_and(|end| end >= high_watermark));
                let directory = member.directory_id.filter(|_| version >= 2);
                describe_quorum_response::ReplicaState::default()
                    .with_replica_id(broker(member.id))
                    .with_replica_directory_id(directory.map_or(uuid::Uuid::nil(), |id| to_kafka(id.0)))
                    .with_log_end_offset(end.map_or(-1, |end| end.0))
                    .with_last_fetch_timestamp(heard.unwrap_or(-1))
                    .with_last_caught_up_timestamp(caught_up.unwrap_or(-1))
            })
            .collect()
    }

    fn described_observers(&self) -> Vec<describe_quorum_response::ReplicaState> {
        let observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers
            .iter()
            .map(|(id, observer)| {
                describe_quorum_response::ReplicaState::default()
                    .with_replica_id(broker(*id))
                    .with_log_end_offset(observer.end_offset.0)
                    .with_last_fetch_timestamp(observer.fetched_at.0)
                    .with_last_caught_up_timestamp(observer.caught_up_at.map_or(-1, |at| at.0))
            })
            .collect()
    }
}

/// What a Fetch asks of the log: it must ask for nothing else.
fn only_partition(request: &FetchRequest, version: i16) -> Option<&FetchPartition> {
    let [topic] = &request.topics[..] else { return None };
    let ours = match version >= 13 {
        true => topic.topic_id == to_kafka(TOPIC_ID),
        false => topic.topic.as_str() == TOPIC,
    };
    match &topic.partitions[..] {
        [asked] if ours && asked.partition == 0 => Some(asked),
        _ => None,
    }
}
