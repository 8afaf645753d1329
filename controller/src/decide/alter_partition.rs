//! What a leader says of its followers (`ReplicationControlManager.alterPartition`).

use std::collections::BTreeMap;

use crate::error::KafkaError;
use metadata_core::id::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch};
use metadata_core::image::{LeaderRecoveryState, PartitionRegistration, TopicPartition};

use super::Decided;
use super::elections::{ClusterFitness, raises_epoch_on_shrink};
use super::partition::{Fitness as _, PartitionChange};

/// What a leader wants for one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The leader's epoch, as it knows it.
    pub leader_epoch: LeaderEpoch,
    /// The partition's epoch that this builds on.
    pub partition_epoch: PartitionEpoch,
    /// Who is in sync, with the epoch of the registration that the leader knows; `None` if it knows none.
    pub isr: Vec<(NodeId, Option<BrokerEpoch>)>,
    /// Whether it has recovered from an unclean election.
    pub recovery: LeaderRecoveryState,
}

/// How the partition is now, or why nothing came of it.
pub type Outcome = Result<PartitionRegistration, KafkaError>;

/// The fate of every partition of a request, in its order.
pub type Outcomes = Vec<(TopicPartition, Outcome)>;

/// Decides about all partitions that a leader asks for.
///
/// # Errors
/// STALE_BROKER_EPOCH: the broker is not registered with this epoch.
pub fn alter_partitions(
    fitness: &ClusterFitness<'_>,
    broker: NodeId,
    epoch: BrokerEpoch,
    wanted: &[(TopicPartition, Wanted)],
) -> Result<Decided<Outcomes>, KafkaError> {
    let image = fitness.image;
    if image.cluster().broker(broker).is_none_or(|registered| registered.epoch != epoch) {
        return Err(KafkaError::StaleBrokerEpoch);
    }
    // A partition that is named twice is judged by what the first made of it.
    let mut changed: BTreeMap<TopicPartition, PartitionRegistration> = BTreeMap::new();
    let mut decided = Decided::answer(Vec::with_capacity(wanted.len()));
    for (place, wanted) in wanted {
        let outcome = (|| {
            image.topics().name(place.topic_id).ok_or(KafkaError::UnknownTopicId)?;
            let known = image.topics().partition(place.topic_id, place.partition).map(AsRef::as_ref);
            let now = changed.get(place).or(known).ok_or(KafkaError::UnknownTopicOrPartition)?;
            check(fitness, broker, now, wanted)?;
            let mut change = PartitionChange::of(*place, now, fitness);
            change.isr = wanted.isr.iter().map(|(id, _)| *id).collect();
            change.recovery = wanted.recovery;
            change.raise_epoch_on_shrink = raises_epoch_on_shrink(image);
            let Some(record) = change.build() else { return Ok((now.clone(), None)) };
            let then = now.merge(&record).map_err(|_| KafkaError::UnknownServerError)?;
            Ok((then, Some((record, now.leader))))
        })();
        let outcome = outcome.and_then(|(then, record)| {
            let Some((record, leader)) = record else { return Ok(then) };
            decided.records.push(record.into());
            let elected = then.leader != leader;
            changed.insert(*place, then.clone());
            // A reassignment is complete, and took the leader away. It is written all the same.
            if elected { Err(KafkaError::NewLeaderElected) } else { Ok(then) }
        });
        decided.answer.push((*place, outcome));
    }
    Ok(decided)
}

fn check(
    fitness: &ClusterFitness<'_>,
    broker: NodeId,
    now: &PartitionRegistration,
    wanted: &Wanted,
) -> Result<(), KafkaError> {
    // The leader knows of something newer than we do: somebody else is the controller.
    if wanted.leader_epoch > now.leader_epoch || wanted.partition_epoch > now.partition_epoch {
        return Err(KafkaError::NotController);
    }
    if wanted.leader_epoch < now.leader_epoch {
        return Err(KafkaError::FencedLeaderEpoch);
    }
    if now.leader != Some(broker) {
        return Err(KafkaError::InvalidRequest);
    }
    if wanted.partition_epoch < now.partition_epoch {
        return Err(KafkaError::InvalidUpdateVersion);
    }
    let recovering = wanted.recovery == LeaderRecoveryState::Recovering;
    let mut ids: Vec<NodeId> = wanted.isr.iter().map(|(id, _)| *id).collect();
    let replicas_only = ids.iter().all(|id| now.replicas.contains(id));
    let alone = ids.len() == 1;
    ids.sort_unstable();
    let distinct = ids.windows(2).all(|two| two[0] != two[1]);
    let recovers_again = recovering && now.leader_recovery_state == LeaderRecoveryState::Recovered;
    if !replicas_only || !distinct || !ids.contains(&broker) || recovers_again || recovering && !alone {
        return Err(KafkaError::InvalidRequest);
    }
    let eligible = |(id, epoch): &(NodeId, Option<BrokerEpoch>)| {
        let registered = fitness.image.cluster().broker(*id);
        let same_process = registered.is_some_and(|it| epoch.is_none_or(|epoch| epoch == it.epoch));
        // Who was in sync may stay so as long as it may stay at all.
        same_process && (fitness.may_lead(*id) || now.isr.contains(id) && fitness.may_stay(*id))
    };
    if wanted.isr.iter().all(eligible) { Ok(()) } else { Err(KafkaError::IneligibleReplica) }
}

#[cfg(test)]
mod tests;
