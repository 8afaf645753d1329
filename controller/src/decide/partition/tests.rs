use metadata_core::id::LeaderEpoch;
use metadata_core::image::MetadataDelta;

use super::*;
use crate::decide::testkit::{found, ids, image, partition, place};

/// Those who may lead; those who may stay beside them.
struct Fit(&'static [i32], &'static [i32]);

impl Fitness for Fit {
    fn may_lead(&self, id: NodeId) -> bool {
        self.0.contains(&id.0)
    }

    fn may_stay(&self, id: NodeId) -> bool {
        self.may_lead(id) || self.1.contains(&id.0)
    }

    fn directory(&self, _id: NodeId) -> DirectoryId {
        DirectoryId::UNASSIGNED
    }
}

fn registered(replicas: &[i32], isr: &[i32], leader: i32) -> PartitionRegistration {
    let state = metadata_core::record::ZkMigrationState::Migration;
    found(&image(state, [partition(0, replicas, isr, leader).into()]), 0)
}

/// What becomes of a partition: leader, ISR, how far the leader epoch is raised.
fn after(
    now: &PartitionRegistration,
    fit: &Fit,
    set: impl FnOnce(&mut PartitionChange<'_>),
) -> (i32, Vec<NodeId>, i32) {
    let mut change = PartitionChange::of(place(0), now, fit);
    set(&mut change);
    let then = change.build().map_or(now.clone(), |record| now.merge(&record).unwrap());
    let raised = then.leader_epoch.0 - now.leader_epoch.0;
    (then.leader.map_or(-1, |leader| leader.0), then.isr.to_vec(), raised)
}

#[test]
fn the_first_replica_in_sync_leads_and_without_one_nobody_does() {
    use Election::{Online, Preferred, Unclean};
    /// The replicas, those in sync, the leader, who may lead, the election, and who is to be in sync.
    type Case = (&'static [i32], &'static [i32], i32, Fit, Election, &'static [i32]);
    /// Who leads then, who is in sync, and how far the leader epoch is raised.
    type Then = (i32, &'static [i32], i32);
    #[rustfmt::skip]
    let table: &[(Case, Then)] = &[
        ((&[1, 2, 3], &[1, 2, 3], 1, Fit(&[1, 2, 3], &[]), Online, &[1, 2, 3]), (1, &[1, 2, 3], 0)),
        ((&[1, 2, 3], &[1, 2, 3], 2, Fit(&[1, 2, 3], &[]), Online, &[1, 2, 3]), (2, &[1, 2, 3], 0)),
        ((&[1, 2, 3], &[1, 2, 3], 2, Fit(&[1, 2, 3], &[]), Preferred, &[1, 2, 3]), (1, &[1, 2, 3], 1)),
        ((&[1, 2, 3], &[2, 3], 2, Fit(&[1, 2, 3], &[]), Preferred, &[2, 3]), (2, &[2, 3], 0)),
        ((&[1, 2, 3], &[1, 2, 3], 1, Fit(&[2, 3], &[]), Online, &[2, 3]), (2, &[2, 3], 1)),
        ((&[1, 2, 3], &[1, 3], 1, Fit(&[2, 3], &[]), Online, &[3]), (3, &[3], 1)),
        // The last one in sync is gone: it stays the one that was.
        ((&[1, 2], &[1], 1, Fit(&[2], &[]), Online, &[]), (-1, &[1], 1)),
        ((&[1, 2], &[1], -1, Fit(&[2], &[]), Online, &[]), (-1, &[1], 0)),
        ((&[1, 2], &[1], -1, Fit(&[1, 2], &[]), Online, &[1]), (1, &[1], 1)),
        ((&[1, 2], &[1], 1, Fit(&[2], &[]), Unclean, &[]), (2, &[2], 1)),
        ((&[1, 2], &[1], 1, Fit(&[], &[]), Unclean, &[]), (-1, &[1], 1)),
        ((&[1, 2], &[1, 2], 1, Fit(&[2], &[]), Unclean, &[2]), (2, &[2], 1)),
        // Who may stay keeps what it has, and gets nothing new.
        ((&[1, 2], &[1, 2], 1, Fit(&[2], &[1]), Online, &[1, 2]), (1, &[1, 2], 0)),
        ((&[1, 2], &[1, 2], 2, Fit(&[], &[1]), Online, &[1]), (-1, &[1], 1)),
    ];
    for ((replicas, isr, leader, fit, election, isr_then), (leads, in_sync, raised)) in table {
        let now = registered(replicas, isr, *leader);
        let got = after(&now, fit, |change| {
            change.election = *election;
            change.isr = ids(isr_then);
        });
        assert_eq!(got, (*leads, ids(in_sync), *raised), "{replicas:?} {isr:?} {leader} {election:?} {isr_then:?}");
    }
}

#[test]
fn an_unclean_leader_recovers_and_says_so() {
    let now = registered(&[1, 2], &[1], 1);
    let fit = Fit(&[2], &[]);
    let mut change = PartitionChange::of(place(0), &now, &fit);
    change.election = Election::Unclean;
    change.isr.clear();
    let then = now.merge(&change.build().unwrap()).unwrap();
    assert_eq!(then.leader_recovery_state, LeaderRecoveryState::Recovering);
}

#[test]
fn with_brokers_in_zookeeper_mode_a_smaller_isr_is_a_new_epoch() {
    let now = registered(&[1, 2, 3], &[1, 2, 3], 1);
    let fit = Fit(&[1, 2, 3], &[]);
    for (raise, isr, raised) in
        [(true, &[1, 2][..], 1), (false, &[1, 2], 0), (true, &[1, 2, 3], 0), (true, &[3, 2, 1], 0)]
    {
        let got = after(&now, &fit, |change| {
            change.raise_epoch_on_shrink = raise;
            change.isr = ids(isr);
        });
        assert_eq!(got, (1, ids(isr), raised), "{raise} {isr:?}");
    }
    let small = registered(&[1, 2, 3], &[1], 1);
    let grown = after(&small, &fit, |change| {
        change.raise_epoch_on_shrink = true;
        change.isr = ids(&[1, 2]);
    });
    assert_eq!(grown, (1, ids(&[1, 2]), 0), "not when it grows");
}

#[test]
fn a_reassignment_is_complete_once_all_that_come_are_in_sync() {
    let mut now = registered(&[1, 2, 3, 4], &[1, 2], 1);
    now.adding_replicas = ids(&[3, 4]).into();
    now.removing_replicas = ids(&[1, 2]).into();
    let fit = Fit(&[1, 2, 3, 4], &[]);
    let half = PartitionChange { isr: ids(&[1, 2, 3]), ..PartitionChange::of(place(0), &now, &fit) };
    let half = now.merge(&half.build().unwrap()).unwrap();
    assert_eq!((half.replicas.len(), half.adding_replicas.len(), half.leader), (4, 2, Some(NodeId(1))));

    let whole = PartitionChange { isr: ids(&[1, 2, 3, 4]), ..PartitionChange::of(place(0), &now, &fit) };
    let record = whole.build().unwrap();
    let whole = now.merge(&record).unwrap();
    assert_eq!((&whole.replicas[..], &whole.isr[..]), (&ids(&[3, 4])[..], &ids(&[3, 4])[..]));
    assert!(whole.adding_replicas.is_empty() && whole.removing_replicas.is_empty());
    assert_eq!((whole.leader, whole.leader_epoch), (Some(NodeId(3)), LeaderEpoch(6)));
    assert_eq!(record.directories.unwrap().len(), 2);
}

#[test]
fn nothing_changes_without_a_record_and_what_is_written_can_be_replayed() {
    let now = registered(&[1, 2], &[1, 2], 1);
    assert_eq!(PartitionChange::of(place(0), &now, &Fit(&[1, 2], &[])).build(), None);
    let fit = Fit(&[2], &[]);
    let change = PartitionChange { isr: ids(&[2]), ..PartitionChange::of(place(0), &now, &fit) };
    let state = metadata_core::record::ZkMigrationState::Migration;
    let mut delta = MetadataDelta::new(&image(state, [partition(0, &[1, 2], &[1, 2], 1).into()]));
    delta.replay(&change.build().unwrap().into()).unwrap();
    assert_eq!(found(delta.image(), 0).leader, Some(NodeId(2)));
}
