use metadata_core::id::BrokerEpoch;
use metadata_core::record::{BrokerRegistrationChangeRecord, ConfigRecord};

use super::*;
use crate::decide::testkit::{broker, found, ids, image, partition, then};

fn fenced(id: i32, fenced: bool) -> MetadataRecord {
    BrokerRegistrationChangeRecord {
        broker_id: NodeId(id),
        broker_epoch: BrokerEpoch(id.into()),
        fenced: if fenced { 1 } else { -1 },
        ..BrokerRegistrationChangeRecord::default()
    }
    .into()
}

fn shutting_down(id: i32) -> MetadataRecord {
    BrokerRegistrationChangeRecord {
        broker_id: NodeId(id),
        broker_epoch: BrokerEpoch(id.into()),
        in_controlled_shutdown: 1,
        ..BrokerRegistrationChangeRecord::default()
    }
    .into()
}

fn unclean(resource_type: i8, name: &str, value: &str) -> MetadataRecord {
    ConfigRecord {
        resource_type,
        resource_name: name.into(),
        name: UNCLEAN.into(),
        value: Some(value.into()),
        ..ConfigRecord::default()
    }
    .into()
}

/// Brokers 1 to 3, and two partitions.
fn cluster(state: ZkMigrationState) -> MetadataImage {
    let brokers = [1, 2, 3].map(|id| MetadataRecord::from(broker(id)));
    let partitions = [partition(0, &[1, 2, 3], &[1, 2, 3], 1).into(), partition(1, &[2, 3], &[2, 3], 2).into()];
    image(state, brokers.into_iter().chain(partitions))
}

/// After everything that is due.
fn settled(image: &MetadataImage, in_zookeeper: Option<&BTreeSet<NodeId>>) -> MetadataImage {
    let due = elections(&ClusterFitness { image, in_zookeeper }, usize::MAX);
    let settled = then(image, &due);
    let again = elections(&ClusterFitness { image: &settled, in_zookeeper }, usize::MAX);
    assert_eq!(again, [], "once they are written, nothing more is due");
    settled
}

fn leads(image: &MetadataImage, number: i32) -> (Option<NodeId>, Vec<NodeId>) {
    let partition = found(image, number);
    (partition.leader, partition.isr.to_vec())
}

#[test]
fn a_fenced_broker_leads_nothing_and_is_in_sync_nowhere_and_comes_back() {
    let before = cluster(ZkMigrationState::PostMigration);
    assert_eq!(elections(&ClusterFitness { image: &before, in_zookeeper: None }, usize::MAX), []);
    let without = settled(&then(&before, &[fenced(1, true)]), None);
    assert_eq!(leads(&without, 0), (Some(NodeId(2)), ids(&[2, 3])));
    assert_eq!(leads(&without, 1), (Some(NodeId(2)), ids(&[2, 3])), "it had nothing there");
    let none = settled(&then(&without, &[fenced(2, true), fenced(3, true)]), None);
    assert_eq!(leads(&none, 0).0, None);
    assert_eq!(leads(&none, 1).0, None);
    let one = settled(&then(&none, &[fenced(3, false)]), None);
    let last = leads(&none, 0).1;
    assert_eq!(leads(&one, 0).0, last.contains(&NodeId(3)).then_some(NodeId(3)), "only who was in sync last");
    let all = settled(&then(&one, &[fenced(1, false), fenced(2, false)]), None);
    assert!(leads(&all, 0).0.is_some() && leads(&all, 1).0.is_some());
}

#[test]
fn a_broker_that_shuts_down_or_is_unregistered_hands_over() {
    let before = cluster(ZkMigrationState::None);
    let going = settled(&then(&before, &[shutting_down(2)]), None);
    assert_eq!(leads(&going, 1), (Some(NodeId(3)), ids(&[3])));
    let unregistered = crate::decide::unregister::unregister(&before, NodeId(2)).unwrap();
    let gone = settled(&then(&before, &unregistered.records), None);
    assert_eq!(leads(&gone, 0), (Some(NodeId(1)), ids(&[1, 3])));
}

/// S26: right after the copy all are fenced, and lead as before.
#[test]
fn a_fenced_broker_in_zookeeper_mode_that_is_there_keeps_what_it_has() {
    let migrating = |id| {
        let record =
            metadata_core::record::RegisterBrokerRecord { is_migrating_zk_broker: true, fenced: true, ..broker(id) };
        MetadataRecord::from(record)
    };
    let partition = partition(0, &[1, 2], &[1, 2], 1).into();
    let copied = image(ZkMigrationState::Migration, [migrating(1), migrating(2), partition]);
    let there = |there: &[i32]| ids(there).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(leads(&settled(&copied, None), 0), (Some(NodeId(1)), ids(&[1, 2])), "while nobody can tell");
    assert_eq!(leads(&settled(&copied, Some(&there(&[1, 2]))), 0), (Some(NodeId(1)), ids(&[1, 2])));
    // Its successor must be unfenced.
    assert_eq!(leads(&settled(&copied, Some(&there(&[2]))), 0), (None, ids(&[2])));
    let unfenced = then(&copied, &[fenced(2, false)]);
    assert_eq!(leads(&settled(&unfenced, Some(&there(&[2]))), 0), (Some(NodeId(2)), ids(&[2])));
}

#[test]
fn unclean_leaders_are_for_topics_that_say_so() {
    // Partition 1 lost both, 3 last.
    let without = settled(&then(&cluster(ZkMigrationState::None), &[fenced(2, true)]), None);
    let lost = settled(&then(&without, &[fenced(3, true)]), None);
    assert_eq!(leads(&lost, 1), (None, ids(&[3])));
    let lost = then(&lost, &[fenced(2, false)]);
    let table = [
        (vec![], None),
        (vec![unclean(2, "orders", "true")], Some(2)),
        (vec![unclean(2, "other", "true")], None),
        (vec![unclean(4, "", "true")], Some(2)),
        (vec![unclean(4, "", "true"), unclean(2, "orders", "false")], None),
    ];
    for (configs, leader) in table {
        let now = settled(&then(&lost, &configs), None);
        assert_eq!(leads(&now, 1).0, leader.map(NodeId), "{configs:?}");
    }
}

#[test]
fn no_more_than_fit_into_an_append_at_once() {
    let before = then(&cluster(ZkMigrationState::None), &[fenced(2, true)]);
    assert_eq!(elections(&ClusterFitness { image: &before, in_zookeeper: None }, 1).len(), 1);
    assert_eq!(elections(&ClusterFitness { image: &before, in_zookeeper: None }, 9).len(), 2);
}
