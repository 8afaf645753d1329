//! A migration over the in-memory log and store: from an empty log to dual write, through failures and restarts.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]
#![expect(clippy::disallowed_methods, reason = "the migration runs as a task beside the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use broker_registry::Service;
use metadata_core::brokers::{AssignedReplicas, BrokerIds, BrokerPresence, BrokerSource};
use metadata_core::contract::{MemLog, MemStore, Workload};
use metadata_core::error::Result;
use metadata_core::id::{NodeId, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::log::{Append, MetadataLog};
use metadata_core::record::ZkMigrationState;
use metadata_core::store::Txn;
use migration::{Migration, MigrationHandle, MigrationOptions, Ports, State};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CONTROLLER: NodeId = NodeId(3000);

struct Brokers(watch::Receiver<BTreeMap<NodeId, BrokerPresence>>);

#[async_trait]
impl BrokerIds for Brokers {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, BrokerPresence>> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(self.0.borrow().clone())
    }
}

struct NoReplicas;

#[async_trait]
impl AssignedReplicas for NoReplicas {
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>> {
        Ok(BTreeMap::new())
    }
}

struct Cluster {
    log: MemLog,
    store: MemStore,
    brokers: watch::Sender<BTreeMap<NodeId, BrokerPresence>>,
}

fn zookeeper_content() -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for change in Workload::new(7).changes(delta.image(), 300) {
        delta.replay_all(&change).expect("the workload fits its image");
    }
    delta.apply(Position::START, TimestampMs(0))
}

impl Cluster {
    fn new() -> Self {
        Self { log: MemLog::new(), store: MemStore::holding(&zookeeper_content()), brokers: watch::Sender::default() }
    }

    fn start(&self, service: Service) -> (MigrationHandle, JoinHandle<Result<()>>) {
        let mut broker_ids = self.brokers.subscribe();
        broker_ids.mark_changed();
        let ports = Ports {
            log: Arc::new(self.log.clone()),
            zookeeper: Arc::new(self.store.clone()),
            broker_ids: Box::new(Brokers(broker_ids)),
            assigned_replicas: Arc::new(NoReplicas),
        };
        let (migration, handle) = Migration::new(ports, MigrationOptions { service, ..MigrationOptions::default() });
        (handle, tokio::spawn(migration.run()))
    }

    async fn change(&self, seed: u64, count: usize) {
        let epoch = self.log.leadership(None).await.expect("the log runs").epoch;
        let mut workload = Workload::new(seed);
        for _ in 0..count {
            let image = self.log.image();
            let records = workload.next_change(&image);
            let expected = Some(image.position().end_offset);
            self.log.append(Append { epoch, expected, txn: Txn::None, records }).await.expect("the change is appended");
        }
    }

    /// Once dual writing has caught up, the store holds what the log says.
    async fn in_step(&self, handle: &MigrationHandle) {
        let log = self.log.clone();
        let caught_up = move |status: &migration::Status| {
            status.state == State::DualWrite && status.dual_write.acknowledged == log.image().position()
        };
        reach(handle, caught_up).await;
        let held = handle.hold().await.expect("dual writing stands still");
        assert_eq!(held.image.position(), self.log.image().position());
        assert!(held.image.same_metadata(&self.log.image()));
        assert!(self.store.image().same_metadata(&held.image), "the store differs from the log");
    }
}

async fn reach(handle: &MigrationHandle, condition: impl FnMut(&migration::Status) -> bool) -> migration::Status {
    let mut watch = handle.watch();
    let reached = tokio::time::timeout(std::time::Duration::from_secs(30), watch.wait_for(condition)).await;
    match reached {
        Ok(status) => status.expect("the migration runs").clone(),
        Err(_) => panic!("stuck: {:?}", handle.watch().borrow().clone()),
    }
}

async fn end(handle: MigrationHandle, task: JoinHandle<Result<()>>) {
    handle.stop();
    task.await.expect("no panic").expect("a clean end");
}

#[tokio::test(start_paused = true)]
async fn everything_is_copied_in_one_transaction_and_later_changes_follow() {
    let cluster = Cluster::new();
    let before = cluster.store.image();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    let image = cluster.log.image();
    assert_eq!(image.zk_migration_state(), ZkMigrationState::Migration);
    assert_eq!(image.topics(), before.topics());
    assert_eq!(image.tokens(), before.tokens());
    cluster.change(1, 200).await;
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_controller_goes_on_without_copying_again() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    cluster.change(1, 50).await;
    end(handle, task).await;
    // Changes that nobody dual-writes, as if the process had died behind its last append.
    cluster.change(2, 50).await;
    cluster.log.resign();

    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    assert_eq!(handle.watch().borrow().copy.records, 0, "a restart must not copy");
    assert_eq!(handle.watch().borrow().sync, None, "nor sync, when it can resume");
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_of_the_same_leader_goes_on_from_every_point() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    for round in 0..20 {
        cluster.log.elect(CONTROLLER);
        if round % 3 == 0 {
            tokio::task::yield_now().await;
        } else {
            reach(&handle, |status| status.state == State::DualWrite).await;
            cluster.change(round, 10).await;
        }
    }
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn lost_answers_of_the_log_never_lose_a_change_or_copy_half() {
    for lost in 1..8 {
        let cluster = Cluster::new();
        cluster.log.lose_replies(lost);
        let (handle, task) = cluster.start(Service::None);
        cluster.log.elect(CONTROLLER);
        cluster.in_step(&handle).await;
        assert_eq!(cluster.log.image().topics(), zookeeper_content().topics(), "{lost} answers lost");
        end(handle, task).await;
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_zookeeper_did_not_answer_are_written_after_a_new_claim() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    for failures in 1..5 {
        cluster.store.fail_batches(failures);
        cluster.change(100 + failures as u64, 20).await;
        cluster.in_step(&handle).await;
    }
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn live_brokers_that_nobody_serves_hold_the_claim_back_until_they_leave() {
    let cluster = Cluster::new();
    let broker = BrokerPresence {
        source: BrokerSource::ZooKeeper,
        endpoints: BTreeMap::new(),
        rack: None,
        incarnation: 1,
        malformed: None,
    };
    cluster.brokers.send_replace([(NodeId(1), broker)].into());
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert_eq!(status.state, State::WaitForBrokers);
    assert!(status.reason.is_some_and(|reason| reason.contains("broker 1")), "the broker is named");
    assert_eq!(status.claimed, None);
    cluster.brokers.send_replace(BTreeMap::new());
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn by_the_operators_word_unserved_brokers_are_named_and_do_not_block() {
    let cluster = Cluster::new();
    let broker = BrokerPresence {
        source: BrokerSource::ZooKeeper,
        endpoints: BTreeMap::new(),
        rack: None,
        incarnation: 1,
        malformed: None,
    };
    cluster.brokers.send_replace([(NodeId(4), broker)].into());
    let (handle, task) = cluster.start(Service::NoneByOperatorsWord);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    assert_eq!(handle.watch().borrow().unserved, vec![NodeId(4)]);
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_another_log_has_written_blocks_and_says_why() {
    let first = Cluster::new();
    let (handle, task) = first.start(Service::None);
    first.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    end(handle, task).await;

    // A freshly formatted log over the same store: the first log's marker is there (P1, F9, G9).
    let second = Cluster { log: MemLog::new(), ..first };
    second.log.elect(NodeId(1));
    second.log.elect(NodeId(1));
    let (handle, task) = second.start(Service::None);
    second.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.state == State::Blocked).await;
    assert!(status.reason.is_some_and(|reason| reason.contains("not in the log")));
    assert!(second.store.image().same_metadata(&second.store.image()));
    end(handle, task).await;
}
