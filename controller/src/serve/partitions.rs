//! Leaders, in-sync replicas and producer ids: what brokers ask of partitions, and what follows from the brokers that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::messages::alter_partition_request::PartitionData as Asked;
use kafka_protocol::messages::alter_partition_response::{PartitionData, TopicData};
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    AssignReplicasToDirsRequest, AssignReplicasToDirsResponse, ProducerId, assign_replicas_to_dirs_request,
    assign_replicas_to_dirs_response,
};
use metadata_core::brokers::BrokerPresence;
use metadata_core::id::{BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId};
use metadata_core::image::{LeaderRecoveryState, TopicPartition};
use metadata_core::log::{LeaderAndEpoch, MetadataLog, RECORDS_PER_BATCH_MAX};
use migration::MigrationHandle;
use migration::gate::WriteClass;
use tokio::sync::watch;

use crate::convert::{broker, brokers, from_kafka, node, to_kafka};
use crate::decide::alter_partition::{Outcome, Wanted, alter_partitions};
use crate::decide::assign_directories::assign_directories;
use crate::decide::elections::{ClusterFitness, elections};
use crate::decide::{Decided, producer_ids};
use crate::error::KafkaError;
use crate::write::MetadataWriter;

/// Who is in `/brokers/ids`, or that it can't be told.
type InZooKeeper = watch::Receiver<Option<BTreeMap<NodeId, BrokerPresence>>>;

/// Answers what concerns partitions.
pub(super) struct Partitions {
    log: Arc<dyn MetadataLog>,
    migration: MigrationHandle,
    writer: MetadataWriter,
}

impl Partitions {
    pub(super) fn new(log: Arc<dyn MetadataLog>, migration: MigrationHandle, writer: MetadataWriter) -> Self {
        Self { log, migration, writer }
    }

    /// Who is alive as a broker in ZooKeeper mode: it is in `/brokers/ids`, and did not fall silent here. ZooKeeper's sessions
    /// may last longer than ours.
    fn alive(&self, there: &Option<BTreeMap<NodeId, BrokerPresence>>) -> Option<BTreeSet<NodeId>> {
        let ids = there.as_ref()?.keys().copied();
        Some(ids.filter(|id| !self.migration.has_broker_session_ended(*id)).collect())
    }

    pub(super) async fn alter(&self, request: AlterPartitionRequest) -> AlterPartitionResponse {
        let response = AlterPartitionResponse::default();
        let (id, epoch) = (node(request.broker_id), BrokerEpoch(request.broker_epoch));
        let wanted = match wanted(&request) {
            Ok(wanted) => wanted,
            Err(error) => return response.with_error_code(error.code()),
        };
        let there = self.alive(&self.migration.brokers_in_zookeeper().borrow());
        let decide = |image: &_| {
            let fitness = ClusterFitness { image, in_zookeeper: there.as_ref() };
            alter_partitions(&fitness, id, epoch, &wanted)
        };
        match self.writer.write(WriteClass::LeaderAndIsr, decide).await {
            Ok(outcomes) => response.with_topics(answered(outcomes)),
            Err(error) => response.with_error_code(error.code()),
        }
    }

    pub(super) async fn allocate_producer_ids(
        &self,
        request: AllocateProducerIdsRequest,
    ) -> AllocateProducerIdsResponse {
        let response = AllocateProducerIdsResponse::default();
        let (id, epoch) = (node(request.broker_id), BrokerEpoch(request.broker_epoch));
        let decide = |image: &_| producer_ids::allocate(image, id, epoch);
        match self.writer.write(WriteClass::ProducerIds, decide).await {
            Ok(first) => response.with_producer_id_start(ProducerId(first.0)).with_producer_id_len(producer_ids::BLOCK),
            Err(error) => response.with_error_code(error.code()),
        }
    }

    pub(super) async fn assign_directories(
        &self,
        request: AssignReplicasToDirsRequest,
    ) -> AssignReplicasToDirsResponse {
        let response = AssignReplicasToDirsResponse::default();
        let (id, epoch) = (node(request.broker_id), BrokerEpoch(request.broker_epoch));
        let places: Vec<_> = placed(&request).collect();
        let decide = |image: &_| assign_directories(image, id, epoch, &places);
        match self.writer.write(WriteClass::LeaderAndIsr, decide).await {
            Ok(outcomes) => response.with_directories(assigned(&request, outcomes)),
            Err(error) => response.with_error_code(error.code()),
        }
    }

    /// Elects leaders whenever the brokers look otherwise, while this controller leads. Runs until the log has stopped.
    pub(super) async fn watch(&self) {
        let mut there = self.migration.brokers_in_zookeeper();
        while let Ok(now) = self.log.leadership(None).await {
            let image = self.log.image();
            let seen = self.alive(&there.borrow_and_update());
            if now.active && self.elect(seen.as_ref()).await {
                // There may be more than one append holds.
                continue;
            }
            if self.news(now, &image, &mut there).await.is_err() {
                return;
            }
        }
    }

    /// Returns whether anything was written.
    async fn elect(&self, there: Option<&BTreeSet<NodeId>>) -> bool {
        let decide = |image: &_| {
            let records = elections(&ClusterFitness { image, in_zookeeper: there }, RECORDS_PER_BATCH_MAX);
            let answer = records.len();
            Ok(Decided { records, answer })
        };
        match self.writer.write(WriteClass::LeaderAndIsr, decide).await {
            Ok(0) => false,
            Ok(changed) => {
                tracing::info!(changed, "partitions follow the brokers that are there");
                true
            }
            Err(error) => {
                // Before the copy there is nothing to elect, and without the leadership nobody to do it.
                tracing::debug!(%error, "no leaders were elected");
                false
            }
        }
    }

    /// Waits until the brokers or the topics may be others than in `image`, or somebody else leads.
    async fn news(
        &self,
        now: LeaderAndEpoch,
        image: &metadata_core::image::MetadataImage,
        there: &mut InZooKeeper,
    ) -> metadata_core::error::Result<()> {
        let mut end = image.position().end_offset;
        loop {
            tokio::select! {
                committed = self.log.committed(end) => end = committed?,
                other = self.log.leadership(Some(now)) => return other.map(drop),
                changed = there.changed() => match changed {
                    Ok(()) => return Ok(()),
                    // Nobody watches ZooKeeper any more.
                    Err(_) => std::future::pending().await,
                },
            }
            let then = self.log.image();
            let same_brokers = then.cluster().brokers().eq(image.cluster().brokers());
            if !same_brokers || then.zk_migration_state() != image.zk_migration_state() {
                return Ok(());
            }
        }
    }
}

/// What the request wants, in our own types.
fn wanted(request: &AlterPartitionRequest) -> Result<Vec<(TopicPartition, Wanted)>, KafkaError> {
    let mut all = Vec::new();
    for topic in &request.topics {
        let topic_id = TopicId(from_kafka(topic.topic_id));
        for asked in &topic.partitions {
            let place = TopicPartition { topic_id, partition: PartitionId(asked.partition_index) };
            all.push((place, of_one(asked)?));
        }
    }
    Ok(all)
}

fn of_one(asked: &Asked) -> Result<Wanted, KafkaError> {
    let known = |epoch: i64| (epoch >= 0).then_some(BrokerEpoch(epoch));
    // Version 2 has the ids alone.
    let with_epochs = asked.new_isr_with_epochs.iter().map(|it| (node(it.broker_id), known(it.broker_epoch)));
    let isr = asked.new_isr.iter().map(|id| (node(*id), None)).chain(with_epochs).collect();
    Ok(Wanted {
        leader_epoch: LeaderEpoch(asked.leader_epoch),
        partition_epoch: PartitionEpoch(asked.partition_epoch),
        isr,
        recovery: LeaderRecoveryState::from_code(asked.leader_recovery_state).ok_or(KafkaError::InvalidRequest)?,
    })
}

/// Every replica that the request places, in its order.
fn placed(request: &AssignReplicasToDirsRequest) -> impl Iterator<Item = (DirectoryId, TopicPartition)> {
    request.directories.iter().flat_map(|directory| {
        let id = DirectoryId(from_kafka(directory.id));
        directory.topics.iter().flat_map(move |topic| {
            let topic_id = TopicId(from_kafka(topic.topic_id));
            let place = move |partition: i32| TopicPartition { topic_id, partition: PartitionId(partition) };
            topic.partitions.iter().map(move |partition| (id, place(partition.partition_index)))
        })
    })
}

/// The outcomes in the shape of the request.
fn assigned(
    request: &AssignReplicasToDirsRequest,
    outcomes: Vec<Result<(), KafkaError>>,
) -> Vec<assign_replicas_to_dirs_response::DirectoryData> {
    use assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
    let mut outcomes = outcomes.into_iter();
    let mut directories = Vec::new();
    for directory in &request.directories {
        let mut topics = Vec::new();
        for topic in &directory.topics {
            let partition = |asked: &assign_replicas_to_dirs_request::PartitionData| {
                let code = outcomes.next().and_then(Result::err).map_or(0, KafkaError::code);
                PartitionData::default().with_partition_index(asked.partition_index).with_error_code(code)
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            topics.push(TopicData::default().with_topic_id(topic.topic_id).with_partitions(partitions));
        }
        directories.push(DirectoryData::default().with_id(directory.id).with_topics(topics));
    }
    directories
}

/// The outcomes, topic by topic, in the order in which they were asked.
fn answered(outcomes: Vec<(TopicPartition, Outcome)>) -> Vec<TopicData> {
    let mut topics: Vec<TopicData> = Vec::new();
    for (place, outcome) in outcomes {
        let data = PartitionData::default().with_partition_index(place.partition.0);
        let data = match outcome {
            Ok(now) => data
                .with_leader_id(broker(now.leader.unwrap_or(NodeId::NONE)))
                .with_leader_epoch(now.leader_epoch.0)
                .with_isr(brokers(&now.isr))
                .with_leader_recovery_state(now.leader_recovery_state.code())
                .with_partition_epoch(now.partition_epoch.0),
            Err(error) => data.with_error_code(error.code()),
        };
        let topic_id = to_kafka(place.topic_id.0);
        match topics.last_mut().filter(|topic| topic.topic_id == topic_id) {
            Some(topic) => topic.partitions.push(data),
            None => topics.push(TopicData::default().with_topic_id(topic_id).with_partitions(vec![data])),
        }
    }
    topics
}
