use metadata_core::image::MetadataImage;
use metadata_core::record::{MetadataRecord, RegisterBrokerRecord, ZkMigrationState};

use super::*;
use crate::decide::testkit::{TOPIC, broker, found, ids, image, partition, place, then};

/// Brokers 1 to 3 are unfenced, 4 is fenced. Partition 0 is on all of them.
fn cluster() -> MetadataImage {
    let fenced = RegisterBrokerRecord { fenced: true, ..broker(4) };
    let brokers = [1, 2, 3].map(|id| MetadataRecord::from(broker(id))).into_iter().chain([fenced.into()]);
    image(ZkMigrationState::Migration, brokers.chain([partition(0, &[1, 2, 3, 4], &[1, 2], 1).into()]))
}

fn wanted(isr: &[(i32, i64)]) -> Wanted {
    let epoch = |epoch: i64| (epoch >= 0).then_some(BrokerEpoch(epoch));
    Wanted {
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(8),
        isr: isr.iter().map(|(id, known)| (NodeId(*id), epoch(*known))).collect(),
        recovery: LeaderRecoveryState::Recovered,
    }
}

fn decided(image: &MetadataImage, from: i32, wanted: &[(TopicPartition, Wanted)]) -> Decided<Outcomes> {
    let fitness = ClusterFitness { image, in_zookeeper: None };
    alter_partitions(&fitness, NodeId(from), BrokerEpoch(from.into()), wanted).unwrap()
}

fn outcome(image: &MetadataImage, from: i32, wanted: Wanted) -> Outcome {
    decided(image, from, &[(place(0), wanted)]).answer.remove(0).1
}

#[test]
fn who_caught_up_is_in_sync_and_who_fell_behind_is_not() {
    let image = cluster();
    let grown = outcome(&image, 1, wanted(&[(1, 1), (2, 2), (3, 3)])).unwrap();
    assert_eq!(
        (&grown.isr[..], grown.leader_epoch, grown.partition_epoch.0),
        (&ids(&[1, 2, 3])[..], LeaderEpoch(5), 9)
    );
    let shrunk = outcome(&image, 1, wanted(&[(1, -1)])).unwrap();
    // S31: followers in ZooKeeper mode truncate by the epoch.
    assert_eq!((&shrunk.isr[..], shrunk.leader_epoch), (&ids(&[1])[..], LeaderEpoch(6)));
    let same = decided(&image, 1, &[(place(0), wanted(&[(1, -1), (2, -1)]))]);
    assert_eq!(same.records, []);
    assert_eq!(same.answer[0].1.as_ref().unwrap().partition_epoch.0, 8);
}

#[test]
fn what_is_answered_is_what_is_written() {
    let image = cluster();
    let decided = decided(&image, 1, &[(place(0), wanted(&[(1, 1), (3, 3)]))]);
    assert_eq!(found(&then(&image, &decided.records), 0), *decided.answer[0].1.as_ref().unwrap());
}

#[test]
fn each_rule_has_kafkas_error() {
    let image = cluster();
    let base = || wanted(&[(1, 1), (2, 2)]);
    let table = [
        (1, Wanted { leader_epoch: LeaderEpoch(6), ..base() }, KafkaError::NotController),
        (1, Wanted { partition_epoch: PartitionEpoch(9), ..base() }, KafkaError::NotController),
        (1, Wanted { leader_epoch: LeaderEpoch(4), ..base() }, KafkaError::FencedLeaderEpoch),
        (2, base(), KafkaError::InvalidRequest),
        (1, Wanted { partition_epoch: PartitionEpoch(7), ..base() }, KafkaError::InvalidUpdateVersion),
        (1, wanted(&[]), KafkaError::InvalidRequest),
        (1, wanted(&[(2, 2)]), KafkaError::InvalidRequest),
        (1, wanted(&[(1, 1), (9, -1)]), KafkaError::InvalidRequest),
        (1, wanted(&[(1, 1), (2, 2), (2, 2)]), KafkaError::InvalidRequest),
        (1, Wanted { recovery: LeaderRecoveryState::Recovering, ..wanted(&[(1, 1)]) }, KafkaError::InvalidRequest),
        (1, wanted(&[(1, 1), (4, 4)]), KafkaError::IneligibleReplica),
        (1, wanted(&[(1, 1), (3, 2)]), KafkaError::IneligibleReplica),
    ];
    for (from, wanted, error) in table {
        let shown = format!("{wanted:?}");
        assert_eq!(outcome(&image, from, wanted).unwrap_err(), error, "{shown}");
    }
    let unknown = |place| decided(&image, 1, &[(place, base())]).answer.remove(0).1.unwrap_err();
    assert_eq!(unknown(place(7)), KafkaError::UnknownTopicOrPartition);
    let elsewhere = metadata_core::id::TopicId(metadata_core::uuid::Uuid::from_u64_pair(3, 3));
    assert_ne!(elsewhere, TOPIC);
    assert_eq!(unknown(TopicPartition { topic_id: elsewhere, ..place(0) }), KafkaError::UnknownTopicId);
}

#[test]
fn a_broker_that_was_registered_anew_is_not_heard() {
    let image = cluster();
    let fitness = ClusterFitness { image: &image, in_zookeeper: None };
    for (from, epoch) in [(1, 0), (1, 2), (9, 9)] {
        let refused = alter_partitions(&fitness, NodeId(from), BrokerEpoch(epoch), &[]);
        assert_eq!(refused.unwrap_err(), KafkaError::StaleBrokerEpoch);
    }
}

#[test]
fn a_partition_that_is_named_twice_changes_once() {
    let image = cluster();
    let twice = [(place(0), wanted(&[(1, 1)])), (place(0), wanted(&[(1, 1), (3, 3)]))];
    let decided = decided(&image, 1, &twice);
    assert_eq!(decided.records.len(), 1);
    assert!(decided.answer[0].1.is_ok());
    assert_eq!(decided.answer[1].1, Err(KafkaError::FencedLeaderEpoch), "the first one raised the epoch");
}

#[test]
fn a_reassignment_that_takes_the_leader_away_is_written_and_told() {
    let moved = metadata_core::record::PartitionChangeRecord {
        topic_id: TOPIC,
        partition_id: metadata_core::id::PartitionId(0),
        adding_replicas: Some(ids(&[3])),
        removing_replicas: Some(ids(&[1])),
        ..Default::default()
    };
    let image = then(&cluster(), &[moved.into()]);
    let base = Wanted { partition_epoch: PartitionEpoch(9), ..wanted(&[(1, 1), (2, 2), (3, 3)]) };
    let decided = decided(&image, 1, &[(place(0), base)]);
    assert_eq!(decided.answer[0].1, Err(KafkaError::NewLeaderElected));
    let then = found(&then(&image, &decided.records), 0);
    assert_eq!((&then.replicas[..], then.leader), (&ids(&[2, 3, 4])[..], Some(NodeId(2))));
}
