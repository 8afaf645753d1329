//! A migration over the in-memory log and store, as tests start it.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use broker_registry::Service;
use metadata_core::brokers::{AssignedReplicas, BrokerIds, BrokerPresence};
use metadata_core::contract::{MemLog, MemStore, Workload};
use metadata_core::controllers::{ControllerAnnouncement, Controllers};
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{BrokerEpoch, NodeId, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::log::{Append, MetadataLog};
use metadata_core::metadata_version::MetadataVersionRange;
use metadata_core::record::{RegisterBrokerRecord, VersionedRecord};
use metadata_core::store::Txn;
use migration::{Migration, MigrationHandle, MigrationOptions, Ports, State};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ports::{self, Calls};

pub(crate) const CONTROLLER: NodeId = NodeId(3000);

/// Who is in `/brokers/ids`, or what the watch on it fails with.
pub(crate) type Watched = std::result::Result<BTreeMap<NodeId, BrokerPresence>, ErrorKind>;

pub(crate) struct Brokers(watch::Receiver<Watched>);

pub(crate) fn broker(id: i32) -> Watched {
    Ok([(NodeId(id), BrokerPresence::in_zookeeper(1))].into())
}

#[async_trait]
impl BrokerIds for Brokers {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, BrokerPresence>> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow().clone().map_err(|kind| Error::not_applied(kind, "the watch failed"))
    }
}

pub(crate) struct NoReplicas;

#[async_trait]
impl AssignedReplicas for NoReplicas {
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>> {
        Ok(BTreeMap::new())
    }
}

/// What the voters announce.
pub(crate) struct Announced(watch::Receiver<BTreeMap<NodeId, Option<ControllerAnnouncement>>>, Arc<Calls>);

#[async_trait]
impl Controllers for Announced {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, Option<ControllerAnnouncement>>> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if ports::take(&self.1.voters_failing) {
            return Err(Error::not_applied(ErrorKind::Invalid, "nobody answers for the voters"));
        }
        Ok(self.0.borrow().clone())
    }
}

pub(crate) fn voter(id: i32, flag: Option<bool>) -> (NodeId, Option<ControllerAnnouncement>) {
    let told = flag.map(|migration_enabled| ControllerAnnouncement {
        migration_enabled,
        metadata_versions: MetadataVersionRange::production(),
        zookeeper_fingerprint: None,
        zookeeper_reachable: None,
    });
    (NodeId(id), told)
}

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) voters: watch::Sender<BTreeMap<NodeId, Option<ControllerAnnouncement>>>,
    pub(crate) options: MigrationOptions,
    pub(crate) log: MemLog,
    pub(crate) store: MemStore,
    pub(crate) brokers: watch::Sender<Watched>,
    pub(crate) calls: Arc<Calls>,
}

pub(crate) fn zookeeper_content() -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for change in Workload::new(7).changes(delta.image(), 300) {
        delta.replay_all(&change).expect("the workload fits its image");
    }
    delta.apply(Position::START, TimestampMs(0))
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::holding(&zookeeper_content())
    }

    pub(crate) fn holding(content: &MetadataImage) -> Self {
        Self {
            voters: watch::Sender::new([voter(3000, Some(true))].into()),
            options: MigrationOptions::new("cluster"),
            log: MemLog::new(),
            store: MemStore::holding(content),
            brokers: watch::Sender::new(Ok(BTreeMap::new())),
            calls: Calls::new(),
        }
    }

    /// From now on the watch on `/brokers/ids` reports this.
    pub(crate) fn watch_reports(&self, watched: Watched) {
        drop(self.brokers.send_replace(watched));
    }

    pub(crate) fn start(&self, service: Service) -> (MigrationHandle, JoinHandle<Result<()>>) {
        let mut broker_ids = self.brokers.subscribe();
        broker_ids.mark_changed();
        let mut voters = self.voters.subscribe();
        voters.mark_changed();
        let ports = Ports {
            projection: Arc::new(ports::Compared(self.store.clone(), Arc::clone(&self.calls))),
            controllers: Box::new(Announced(voters, Arc::clone(&self.calls))),
            log: Arc::new(ports::Log(self.log.clone(), Arc::clone(&self.calls))),
            zookeeper: Arc::new(ports::Store(self.store.clone(), Arc::clone(&self.calls))),
            broker_ids: Box::new(Brokers(broker_ids)),
            assigned_replicas: Arc::new(NoReplicas),
            channel: None,
        };
        let (migration, handle) = Migration::new(ports, MigrationOptions { service, ..self.options.clone() });
        (handle, tokio::spawn(migration.run()))
    }

    /// Every broker with replicas registers in KRaft mode.
    pub(crate) async fn brokers_register(&self) {
        let image = self.log.image();
        let ids: BTreeSet<NodeId> =
            image.topics().all_partitions().flat_map(|(_, partition)| partition.replicas.clone()).collect();
        let epoch = self.log.leadership(None).await.expect("the log runs").epoch;
        for broker_id in ids {
            let end = self.log.image().position().end_offset;
            let broker = RegisterBrokerRecord { broker_id, broker_epoch: BrokerEpoch(end.0), ..Default::default() };
            let records = vec![VersionedRecord::new(broker, 1)];
            let append = Append { epoch, expected: Some(end), txn: Txn::None, records };
            self.log.append(append).await.expect("the broker is registered");
        }
    }

    /// Migrates to dual write, and stops.
    pub(crate) async fn migrated(&self) {
        let (handle, task) = self.start(Service::None);
        self.log.elect(CONTROLLER);
        self.in_step(&handle).await;
        end(handle, task).await;
        self.log.resign();
    }

    pub(crate) async fn change(&self, seed: u64, count: usize) {
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
    pub(crate) async fn in_step(&self, handle: &MigrationHandle) {
        let log = self.log.clone();
        let caught_up = move |status: &migration::Status| {
            status.state == State::DualWrite && status.zookeeper_at == Some(log.image().position())
        };
        reach(handle, caught_up).await;
        let held = handle.hold().await.expect("dual writing stands still");
        assert_eq!(held.image.position(), self.log.image().position());
        assert!(held.image.same_metadata(&self.log.image()));
        assert!(self.store.image().same_metadata(&held.image), "the store differs from the log");
    }
}

pub(crate) async fn reach(
    handle: &MigrationHandle,
    condition: impl FnMut(&migration::Status) -> bool,
) -> migration::Status {
    let mut watch = handle.watch();
    let reached = tokio::time::timeout(std::time::Duration::from_secs(30), watch.wait_for(condition)).await;
    match reached {
        Ok(status) => status.expect("the migration runs").clone(),
        Err(_) => panic!("stuck: {:?}", handle.watch().borrow().clone()),
    }
}

pub(crate) async fn end(handle: MigrationHandle, task: JoinHandle<Result<()>>) {
    handle.stop();
    task.await.expect("no panic").expect("a clean end");
}
