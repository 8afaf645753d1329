//! Brokers say in which log directory each of their replicas is (KIP-858, `ReplicationControlManager.handleAssignReplicasToDirs`).

use std::collections::BTreeMap;

use metadata_core::id::{BrokerEpoch, DirectoryId, NodeId};
use metadata_core::image::{MetadataImage, PartitionRegistration, TopicPartition};
use metadata_core::record::PartitionChangeRecord;

use super::Decided;
use crate::error::KafkaError;

/// The fate of every replica of a request, in its order.
pub type Outcomes = Vec<Result<(), KafkaError>>;

/// Decides about all replicas of `broker` that the request places.
///
/// # Errors
/// UNSUPPORTED_VERSION: the metadata version has no directories. STALE_BROKER_EPOCH: the broker is not registered with this
/// epoch.
pub fn assign_directories(
    image: &MetadataImage,
    broker: NodeId,
    epoch: BrokerEpoch,
    places: &[(DirectoryId, TopicPartition)],
) -> Result<Decided<Outcomes>, KafkaError> {
    if image.metadata_version_or_lowest().partition_change_record_version() < 1 {
        return Err(KafkaError::UnsupportedVersion);
    }
    if image.cluster().broker(broker).is_none_or(|registered| registered.epoch != epoch) {
        return Err(KafkaError::StaleBrokerEpoch);
    }
    // A partition that is named twice is where it was placed last.
    let mut changed: BTreeMap<TopicPartition, PartitionRegistration> = BTreeMap::new();
    let mut decided = Decided::answer(Vec::with_capacity(places.len()));
    for (directory, place) in places {
        let outcome = (|| {
            image.topics().name(place.topic_id).ok_or(KafkaError::UnknownTopicId)?;
            let known = image.topics().partition(place.topic_id, place.partition).map(AsRef::as_ref);
            let now = changed.get(place).or(known).ok_or(KafkaError::UnknownTopicOrPartition)?;
            let replica = now.replicas.iter().position(|id| *id == broker).ok_or(KafkaError::NotLeaderOrFollower)?;
            let mut directories = now.directories_per_replica();
            match directories.get_mut(replica) {
                Some(present) if present != directory => *present = *directory,
                _ => return Ok(None),
            }
            let record = PartitionChangeRecord {
                topic_id: place.topic_id,
                partition_id: place.partition,
                directories: Some(directories),
                ..PartitionChangeRecord::default()
            };
            let then = now.merge(&record).map_err(|_| KafkaError::UnknownServerError)?;
            Ok(Some((record, then)))
        })();
        decided.answer.push(outcome.map(|change| {
            if let Some((record, then)) = change {
                decided.records.push(record.into());
                changed.insert(*place, then);
            }
        }));
    }
    Ok(decided)
}

#[cfg(test)]
mod tests {
    use metadata_core::record::{MetadataRecord, ZkMigrationState};
    use metadata_core::uuid::Uuid;

    use super::*;
    use crate::decide::testkit::{broker, found, image, partition, place, then};

    fn directory(number: u64) -> DirectoryId {
        DirectoryId(Uuid::from_u64_pair(4, number))
    }

    fn cluster() -> MetadataImage {
        let brokers = [1, 2].map(|id| MetadataRecord::from(broker(id)));
        let partitions = [partition(0, &[1, 2], &[1, 2], 1).into(), partition(1, &[2], &[2], 2).into()];
        image(ZkMigrationState::Migration, brokers.into_iter().chain(partitions))
    }

    #[test]
    fn a_replica_is_where_its_broker_says_and_the_others_stay() {
        let before = cluster();
        let places = [(directory(7), place(0))];
        let decided = assign_directories(&before, NodeId(2), BrokerEpoch(2), &places).unwrap();
        assert_eq!(decided.answer, [Ok(())]);
        let after = then(&before, &decided.records);
        let (was, is) = (found(&before, 0), found(&after, 0));
        assert_eq!(*is.directories, [was.directories_per_replica()[0], directory(7)]);
        assert_eq!((is.leader, is.leader_epoch), (was.leader, was.leader_epoch), "nothing else changes");
        let again = assign_directories(&after, NodeId(2), BrokerEpoch(2), &places).unwrap();
        assert_eq!((again.answer, again.records), (vec![Ok(())], Vec::new()), "it is there already");
    }

    #[test]
    fn each_replica_has_its_own_outcome() {
        let image = cluster();
        let elsewhere = TopicPartition { topic_id: metadata_core::id::TopicId(Uuid::from_u64_pair(3, 3)), ..place(0) };
        let places = [place(1), place(9), elsewhere, place(0), place(0)];
        let places: Vec<_> = (1..).map(directory).zip(places).collect();
        let decided = assign_directories(&image, NodeId(1), BrokerEpoch(1), &places).unwrap();
        let expected = [
            Err(KafkaError::NotLeaderOrFollower),
            Err(KafkaError::UnknownTopicOrPartition),
            Err(KafkaError::UnknownTopicId),
            Ok(()),
            Ok(()),
        ];
        assert_eq!(decided.answer, expected);
        assert_eq!(found(&then(&image, &decided.records), 0).directories[0], directory(5));
        let stale = assign_directories(&image, NodeId(1), BrokerEpoch(2), &places).unwrap_err();
        assert_eq!(stale, KafkaError::StaleBrokerEpoch);
    }
}
