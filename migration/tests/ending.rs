//! Entering and leaving over the in-memory log and store: the controllers' flags, finalization, and what comes after it.

#![expect(clippy::disallowed_methods, reason = "the migration runs as a task beside the test")]

mod cluster;
mod ports;

use std::sync::atomic::Ordering;

use broker_registry::Service;
use metadata_core::error::ErrorKind;
use metadata_core::id::NodeId;
use metadata_core::log::MetadataLog;
use metadata_core::record::ZkMigrationState;
use migration::finalization::{Blocker, Finalization, FinalizeOptions};
use migration::{Decision, MigrationOptions, State};

use crate::cluster::{CONTROLLER, Cluster, broker, end, reach, voter};
use crate::ports::Calls;

#[tokio::test(start_paused = true)]
async fn a_migration_starts_only_once_every_controller_has_the_flag() {
    let cluster = Cluster::new();
    for told in [None, Some(false)] {
        cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true)), voter(3002, told)].into());
        let (handle, task) = cluster.start(Service::None);
        cluster.log.elect(CONTROLLER);
        let status = reach(&handle, |status| status.reason.is_some()).await;
        assert_eq!((status.state, status.log_state), (State::WaitForControllerQuorum, ZkMigrationState::PreMigration));
        let waiting = status.waiting.expect("it waits");
        assert!(waiting.reason.contains("controller 3002"), "{}", waiting.reason);
        let next = reach(&handle, |status| status.waiting.as_ref().is_some_and(|it| it.next_attempt.is_some())).await;
        assert!(next.waiting.is_some_and(|now| now.since == waiting.since), "since the first reason");
        assert_eq!(cluster.calls.count("claim"), 0);
        end(handle, task).await;
        cluster.log.resign();
    }
    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true))].into());
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

/// The last flag that was missing starts it at once, without a new election.
#[tokio::test(start_paused = true)]
async fn a_flag_that_arrives_starts_it() {
    let cluster = Cluster::new();
    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, None)].into());
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.reason.is_some()).await;
    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true))].into());
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn an_election_without_the_flag_neither_finalizes_nor_stops_dual_writing_while_another_has_it() {
    let mut cluster = Cluster::new();
    cluster.migrated().await;
    cluster.options.migration_enable = false;
    cluster.voters.send_replace([voter(3000, Some(false)), voter(3001, Some(true))].into());
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.change(5, 20).await;
    cluster.in_step(&handle).await;
    let status = handle.watch().borrow().clone();
    assert_eq!(status.decision, Some(Decision::DualWriteDisagreed));
    assert!(status.warnings.iter().any(|warning| warning.contains("controller 3001 has")), "{:?}", status.warnings);
    assert_eq!(status.log_state, ZkMigrationState::Migration);

    // The last flag goes: nobody has it any more. Brokers that are not in KRaft mode still forbid it, and are named.
    cluster.voters.send_replace([voter(3000, Some(false)), voter(3001, Some(false))].into());
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert!(status.reason.is_some_and(|reason| reason.contains("not registered in KRaft mode")));
    assert_eq!((status.state, status.log_state), (State::DualWrite, ZkMigrationState::Migration));
    cluster.brokers_register().await;
    let status = reach(&handle, |status| status.log_state == ZkMigrationState::PostMigration).await;
    assert!(status.warnings.is_empty());
    reach(&handle, |status| status.state == State::Inactive).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn by_the_operators_word_it_is_finalized_and_zookeeper_is_written_no_more() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.change(1, 30).await;
    cluster.brokers_register().await;
    let done = handle.finalize(FinalizeOptions::default()).await.expect("it is finalized");
    let Finalization::Done(end_position) = done else { panic!("refused: {done:?}") };
    let status = reach(&handle, |status| status.state == State::Inactive).await;
    assert_eq!((status.log_state, status.decision), (ZkMigrationState::PostMigration, Some(Decision::Finalized)));
    assert_eq!(status.unserved, vec![], "nobody is left unserved by a ZooKeeper that is of no concern");
    // POST_MIGRATION is the only record that ZooKeeper lacks.
    let zookeeper = cluster.store.image();
    assert_eq!(zookeeper.position().end_offset.plus(1), end_position.end_offset);

    let written = cluster.calls.journal().len();
    cluster.change(2, 30).await;
    // Again is no error, and does nothing.
    let again = handle.finalize(FinalizeOptions::default()).await.expect("it is");
    assert!(matches!(again, Finalization::Done(_)), "{again:?}");
    end(handle, task).await;

    // After a restart neither, whatever the settings say, and be ZooKeeper gone for good.
    cluster.calls.surveys_failing.store(usize::MAX, Ordering::SeqCst);
    cluster.log.resign();
    for flag in [true, false] {
        cluster.voters.send_replace([voter(3000, Some(flag))].into());
        let options = MigrationOptions { migration_enable: flag, ..MigrationOptions::new("cluster") };
        let (handle, task) = Cluster { options, ..cluster.clone() }.start(Service::None);
        cluster.log.elect(CONTROLLER);
        let status = reach(&handle, |status| status.decision.is_some()).await;
        assert_eq!((status.state, status.reason), (State::Inactive, None), "flag {flag}");
        assert!(matches!(&*status.warnings, [one] if one.contains("finalized")), "{:?}", status.warnings);
        end(handle, task).await;
        cluster.log.resign();
    }
    let journal = cluster.calls.journal();
    let of_zookeeper = |call: &&&str| ["survey", "claim", "writer", "submit", "barrier", "full_sync"].contains(*call);
    assert_eq!(journal[written..].iter().filter(of_zookeeper).count(), 0, "{:?}", &journal[written..]);
    assert!(cluster.store.image().position() == zookeeper.position());
}

#[tokio::test(start_paused = true)]
async fn finalization_is_refused_with_every_reason_and_dual_writing_goes_on() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(4));
    let (handle, task) = cluster.start(Service::NoneByOperatorsWord);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true)), voter(3002, None)].into());
    reach(&handle, |status| status.voters.len() == 3).await;
    let asked = handle.finalize(FinalizeOptions::default()).await.expect("an answer");
    let Finalization::Refused(blockers) = asked else { panic!("finalized") };
    assert!(blockers.contains(&Blocker::AliveInZooKeeper(NodeId(4))), "{blockers:?}");
    let controllers = blockers.iter().filter(|blocker| matches!(blocker, Blocker::Controller(_))).count();
    assert_eq!(controllers, 2, "{blockers:?}");
    assert!(blockers.iter().any(|it| matches!(it, Blocker::NotMigrated { .. })), "{blockers:?}");

    // Brokers can be overruled, a divergence can't.
    cluster.voters.send_replace([voter(3000, Some(true))].into());
    reach(&handle, |status| status.voters.len() == 1).await;
    cluster.calls.differing.store(1, Ordering::SeqCst);
    let despite_brokers = FinalizeOptions { despite_brokers: true };
    let asked = handle.finalize(despite_brokers).await.expect("an answer");
    let divergent = Blocker::Divergent { znodes: 1, first: vec![] };
    assert_eq!(asked, Finalization::Refused(vec![divergent]));
    cluster.change(3, 20).await;
    cluster.in_step(&handle).await;
    assert_eq!(cluster.log.image().zk_migration_state(), ZkMigrationState::Migration);

    let done = handle.finalize(despite_brokers).await.expect("an answer");
    assert!(matches!(done, Finalization::Done(_)), "{done:?}");
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_finalized_at_exactly_what_zookeeper_has_however_much_the_log_grows() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.calls.growing.store(40, Ordering::SeqCst);
    let done = handle.finalize(FinalizeOptions { despite_brokers: true }).await.expect("an answer");
    let Finalization::Done(position) = done else { panic!("{done:?}") };
    assert_eq!(cluster.store.image().position().end_offset.plus(1), position.end_offset);
    let image = cluster.log.image();
    assert!(cluster.store.image().topics() == image.topics() && cluster.store.image().configs() == image.configs());
    end(handle, task).await;
}

/// S63: somebody made a topic in the log before the copy was.
#[tokio::test(start_paused = true)]
async fn a_log_that_holds_metadata_already_is_never_copied_into() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(1));
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::WaitForBrokers && status.reason.is_some()).await;
    end(handle, task).await;
    cluster.change(4, 30).await;
    let before = cluster.log.image();
    assert!(!before.topics().is_empty());
    cluster.log.resign();

    cluster.watch_reports(Ok(Default::default()));
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.state == State::Blocked).await;
    assert_eq!((status.decision, status.log_state), (Some(Decision::RefuseFilledLog), ZkMigrationState::PreMigration));
    assert!(status.reason.is_some_and(|reason| reason.contains("freshly formatted directory")));
    end(handle, task).await;
    assert!(cluster.log.image().same_metadata(&before));
    assert_eq!(cluster.calls.count("claim"), 0);
}

/// An outage of ZooKeeper before it was ever claimed is waited out, and said.
#[tokio::test(start_paused = true)]
async fn a_zookeeper_that_cannot_be_asked_is_asked_again() {
    for kind in [1, 7] {
        let cluster = Cluster::new();
        cluster.calls.surveys_failing.store(kind, Ordering::SeqCst);
        let (handle, task) = cluster.start(Service::None);
        cluster.log.elect(CONTROLLER);
        let status = reach(&handle, |status| status.attempt == u32::try_from(kind).expect("small")).await;
        assert_eq!((status.state, status.blocked_by), (State::WaitForControllerQuorum, Some(ErrorKind::Unavailable)));
        cluster.in_step(&handle).await;
        end(handle, task).await;
    }
}

/// "If the answer never comes, did it happen?" Either way the next decision is made on the log.
#[tokio::test(start_paused = true)]
async fn a_finalization_whose_answer_is_lost_is_known_by_the_log() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.log.lose_replies(1);
    let lost = handle.finalize(FinalizeOptions { despite_brokers: true }).await.expect_err("the answer was lost");
    assert_eq!(lost.outcome(), metadata_core::error::Outcome::Unknown, "{lost}");
    let status = reach(&handle, |status| status.state == State::Inactive).await;
    assert_eq!((status.decision, status.log_state), (Some(Decision::Finalized), ZkMigrationState::PostMigration));
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_finalized_from_any_other_state() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(1));
    let (handle, task) = cluster.start(Service::None);
    for _ in 0..2 {
        let refused = handle.finalize(FinalizeOptions { despite_brokers: true }).await.expect_err("nothing is copied");
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        cluster.log.elect(CONTROLLER);
        reach(&handle, |status| status.state == State::WaitForBrokers && status.reason.is_some()).await;
    }
    assert_eq!(cluster.log.image().zk_migration_state(), ZkMigrationState::PreMigration);
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_cluster_without_the_flag_becomes_a_plain_one_and_asks_no_zookeeper() {
    let mut cluster = Cluster::new();
    cluster.options.migration_enable = false;
    cluster.voters.send_replace([voter(3000, Some(false))].into());
    cluster.calls.surveys_failing.store(usize::MAX, Ordering::SeqCst);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.decision == Some(Decision::PlainKRaft)).await;
    assert_eq!((status.state, status.reason, status.log_state), (State::Inactive, None, ZkMigrationState::None));
    assert!(matches!(&*status.warnings, [one] if one.contains("created in KRaft mode")), "{:?}", status.warnings);
    assert!(cluster.log.image().features().metadata_version().is_some(), "it was bootstrapped");
    end(handle, task).await;
    assert_eq!(cluster.calls.count("survey"), 0);

    // With the flag, later: refused in words, and the process lives.
    cluster.log.resign();
    cluster.voters.send_replace([voter(3000, Some(true))].into());
    let cluster = Cluster { calls: Calls::new(), options: MigrationOptions::new("cluster"), ..cluster };
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.state == State::Blocked).await;
    assert!(status.reason.is_some_and(|reason| reason.contains("created in KRaft mode")));
    assert_eq!(cluster.calls.count("survey"), 0);
    end(handle, task).await;
}
