//! Races with whoever watches and whoever asks: news that comes between two steps, guards that were asked long ago, and
//! ports that fail for good.

#![expect(clippy::disallowed_methods, reason = "the migration runs as a task beside the test")]

mod cluster;
mod ports;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use broker_registry::Service;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::give_back::{
    ControllerRole, GiveBackPlan, GiveBackStage, Governance, OwnLog, PartitionsSeen, RollbackKeeper,
};
use metadata_core::id::{BrokerEpoch, NodeId, ZkControllerEpoch};
use metadata_core::image::MetadataImage;
use metadata_core::log::{Append, MetadataLog};
use metadata_core::record::{RegisterBrokerRecord, VersionedRecord, ZkMigrationState};
use metadata_core::store::Txn;
use migration::finalization::{Blocker, Finalization, FinalizeOptions};
use migration::rollback::{RollbackOptions, RollbackPorts, roll_back};
use migration::{Decision, State};

use crate::cluster::{CONTROLLER, Cluster, end, reach, voter};

/// A cluster in dual write whose brokers all run in KRaft mode, and this controller restarted without the flag.
async fn leaving() -> Cluster {
    let mut cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.brokers_register().await;
    cluster.in_step(&handle).await;
    end(handle, task).await;
    cluster.log.resign();
    cluster.options.migration_enable = false;
    cluster.voters.send_replace([voter(3000, Some(false)), voter(3001, Some(true))].into());
    cluster
}

/// The last flag goes while the claim is being made: after the decision, and before there is dual writing to end.
#[tokio::test(start_paused = true)]
async fn the_last_flag_that_goes_during_the_claim_is_not_missed() {
    let cluster = leaving().await;
    cluster.calls.claiming.send_replace(false);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.decision == Some(Decision::DualWriteDisagreed)).await;
    cluster.voters.send_replace([voter(3000, Some(false)), voter(3001, Some(false))].into());
    let gone = (NodeId(3001), voter(3001, Some(false)).1);
    reach(&handle, |status| status.voters.get(&gone.0) == Some(&gone.1)).await;
    cluster.calls.claiming.send_replace(true);
    reach(&handle, |status| status.log_state == ZkMigrationState::PostMigration).await;
    end(handle, task).await;
}

/// More requests than the dual writer takes at a time: the driver's own is asked again.
#[tokio::test(start_paused = true)]
async fn a_request_to_finalize_that_finds_no_room_is_made_again() {
    let cluster = leaving().await;
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    let held = handle.hold().await.expect("it stands still");
    let mut more = Vec::new();
    for _ in 0..12 {
        let handle = handle.clone();
        more.push(tokio::spawn(async move { handle.hold().await }));
    }
    // Those that find no room are refused.
    for _ in 0..4 {
        let (refused, _, waiting) = futures::future::select_all(more).await;
        assert!(refused.expect("no panic").is_err());
        more = waiting;
    }
    cluster.voters.send_replace([voter(3000, Some(false)), voter(3001, Some(false))].into());
    reach(&handle, |status| status.decision == Some(Decision::DualWriteToFinalize)).await;
    drop(held);
    for waiting in more {
        drop(waiting.await.expect("no panic"));
    }
    reach(&handle, |status| status.log_state == ZkMigrationState::PostMigration).await;
    end(handle, task).await;
}

/// A comparison of a large ZooKeeper takes long. Who came meanwhile counts.
#[tokio::test(start_paused = true)]
async fn a_broker_that_registers_during_the_comparison_forbids_finalization() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.brokers_register().await;
    cluster.in_step(&handle).await;
    cluster.calls.comparing.send_replace(false);
    let asker = handle.clone();
    let asked = tokio::spawn(async move { asker.finalize(FinalizeOptions::default()).await });
    cluster.calls.called("compare").await;

    let end_offset = cluster.log.image().position().end_offset;
    let epoch = cluster.log.leadership(None).await.expect("the log runs").epoch;
    let broker = RegisterBrokerRecord {
        broker_id: NodeId(77),
        broker_epoch: BrokerEpoch(end_offset.0),
        is_migrating_zk_broker: true,
        fenced: false,
        ..Default::default()
    };
    let records = vec![VersionedRecord::new(broker, 2)];
    let append = Append { epoch, expected: Some(end_offset), txn: Txn::None, records };
    cluster.log.append(append).await.expect("registered");
    cluster.calls.comparing.send_replace(true);

    let answer = asked.await.expect("no panic").expect("an answer");
    let left = Blocker::RegisteredInZooKeeperMode { id: NodeId(77), fenced: false };
    assert_eq!(answer, Finalization::Refused(vec![left]));
    assert_eq!(cluster.log.image().zk_migration_state(), ZkMigrationState::Migration);
    end(handle, task).await;
}

/// Whoever takes his flag away while the brokers are waited for, or ZooKeeper is read, is heard before anything is claimed.
#[tokio::test(start_paused = true)]
async fn a_flag_that_goes_before_the_claim_keeps_it_from_being_made() {
    let cluster = Cluster::new();
    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true))].into());
    cluster.calls.loading.send_replace(false);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.calls.called("load").await;
    let gone = voter(3001, Some(false));
    cluster.voters.send_replace([voter(3000, Some(true)), gone.clone()].into());
    reach(&handle, |status| status.voters.get(&gone.0) == Some(&gone.1)).await;
    cluster.calls.loading.send_replace(true);
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert_eq!((status.state, status.decision), (State::WaitForControllerQuorum, Some(Decision::WaitForControllers)));
    assert_eq!(cluster.calls.count("claim"), 0);

    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true))].into());
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

/// Without news of the voters nothing is begun and nothing is ended; but what runs goes on.
#[tokio::test(start_paused = true)]
async fn voters_that_nobody_can_tell_keep_a_migration_from_starting_and_not_from_going_on() {
    let cluster = Cluster::new();
    cluster.calls.voters_failing.store(usize::MAX, Ordering::SeqCst);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.waiting.as_ref().is_some_and(|it| it.next_attempt.is_some())).await;
    assert_eq!((status.state, status.decision), (State::WaitForControllerQuorum, Some(Decision::WaitForControllers)));
    assert!(status.reason.is_some_and(|reason| reason.contains("can't be told")));
    assert_eq!(cluster.calls.count("claim"), 0);
    cluster.calls.voters_failing.store(0, Ordering::SeqCst);
    cluster.voters.send_replace([voter(3000, Some(true))].into());
    cluster.in_step(&handle).await;
    end(handle, task).await;
    cluster.log.resign();

    cluster.calls.voters_failing.store(usize::MAX, Ordering::SeqCst);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    let status = handle.watch().borrow().clone();
    assert_eq!(status.decision, Some(Decision::DualWriteDisagreed));
    assert!(status.warnings.iter().any(|warning| warning.contains("can't be told")), "{:?}", status.warnings);
    end(handle, task).await;
}

/// What a status warns of is what is so now, not what was so when this controller was elected.
#[tokio::test(start_paused = true)]
async fn a_warning_about_the_flags_comes_and_goes_with_them() {
    let cluster = Cluster::new();
    cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true))].into());
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    for _ in 0..2 {
        cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(false))].into());
        let status = reach(&handle, |status| !status.warnings.is_empty()).await;
        assert_eq!(status.decision, Some(Decision::DualWriteDisagreed));
        assert!(status.warnings[0].contains("controller 3001"), "{:?}", status.warnings);
        cluster.voters.send_replace([voter(3000, Some(true)), voter(3001, Some(true))].into());
        let status = reach(&handle, |status| status.warnings.is_empty()).await;
        assert_eq!((status.state, status.decision), (State::DualWrite, Some(Decision::DualWrite)));
    }
    assert_eq!(cluster.calls.count("claim"), 1);
    end(handle, task).await;
}

/// A role that is ours and whole, until the log says that the migration is over.
struct Role;

#[async_trait]
impl ControllerRole for Role {
    async fn plan_give_back(&self, own: &OwnLog, _: &MetadataImage) -> Result<GiveBackPlan> {
        if own.state == ZkMigrationState::PostMigration {
            return Err(Error::not_applied(ErrorKind::Unsupported, "there is no way back"));
        }
        Ok(GiveBackPlan {
            stage: GiveBackStage::Migrating,
            raise: None,
            epoch_zk_version: None,
            deleted: Vec::new(),
            epoch_entry: None,
            unfinished: None,
            position: None,
            partitions: PartitionsSeen::default(),
        })
    }

    async fn give_back(&self, _: &GiveBackPlan) -> Result<()> {
        Err(Error::not_applied(ErrorKind::Invalid, "nothing may be given back after the end"))
    }

    async fn governance(&self) -> Result<Governance> {
        Err(Error::not_applied(ErrorKind::Invalid, "nobody asks who governs"))
    }

    async fn partition_epoch_max(&self) -> Result<Option<ZkControllerEpoch>> {
        Ok(None)
    }
}

#[async_trait]
impl RollbackKeeper for Role {
    async fn is_sealed(&self) -> Result<bool> {
        Ok(false)
    }

    async fn begin(&self, _: &GiveBackPlan) -> Result<()> {
        Ok(())
    }

    async fn abandon(&self) -> Result<()> {
        Ok(())
    }

    async fn seal(&self, _: &GiveBackPlan) -> Result<()> {
        Err(Error::not_applied(ErrorKind::Invalid, "nothing may be sealed"))
    }
}

/// Whoever asks for a rollback behind a finalization hears at once that there is no way back, and waits for no dual writing.
#[tokio::test(start_paused = true)]
async fn a_rollback_behind_a_finalization_is_refused_as_such() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.calls.comparing.send_replace(false);
    let asker = handle.clone();
    let finalizing = tokio::spawn(async move { asker.finalize(FinalizeOptions { despite_brokers: true }).await });
    cluster.calls.called("compare").await;
    let (role, keeper) = (Arc::new(Role), Arc::new(Role));
    let ports = RollbackPorts { log: Arc::new(cluster.log.clone()), role, keeper };
    let asker = handle.clone();
    let going_back = tokio::spawn(async move { roll_back(&ports, Some(&asker), RollbackOptions::default()).await });
    // So that its wish to stand still lies behind the finalization.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    cluster.calls.comparing.send_replace(true);
    assert!(matches!(finalizing.await.expect("no panic"), Ok(Finalization::Done(_))));
    let refused = going_back.await.expect("no panic").expect_err("it is over");
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    end(handle, task).await;
}

/// One of two who ask at the same time is answered when it is done already.
#[tokio::test(start_paused = true)]
async fn two_who_finalize_at_once_are_both_told_that_it_is_done() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    let finalize = || handle.finalize(FinalizeOptions { despite_brokers: true });
    let (one, other) = tokio::join!(finalize(), finalize());
    for answer in [one, other] {
        assert!(matches!(answer, Ok(Finalization::Done(_))), "{answer:?}");
    }
    end(handle, task).await;
}
