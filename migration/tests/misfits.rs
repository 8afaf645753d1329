//! Brokers that do not fit: before the copy they keep it from being made, after it they disturb nobody. Each is named.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]
#![expect(clippy::disallowed_methods, reason = "the migration runs as a task beside the test")]

mod cluster;
mod ports;

use std::collections::BTreeMap;

use broker_registry::{Heartbeat, RegistrationRequest, Service};
use metadata_core::brokers::BrokerPresence;
use metadata_core::id::{BrokerEpoch, DirectoryId, IncarnationId, NodeId};
use metadata_core::image::FeatureRange;
use metadata_core::log::MetadataLog;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::ZkMigrationState;
use metadata_core::uuid::Uuid;
use migration::{MigrationHandle, State};

use crate::cluster::{CONTROLLER, Cluster, end, reach};

/// A broker whose znode says whatever a broker that fits says.
fn znode() -> BrokerPresence {
    BrokerPresence::in_zookeeper(1)
}

fn of_another_cluster() -> BrokerPresence {
    BrokerPresence { cluster_id: Some("another".into()), ..znode() }
}

fn of_another_version() -> BrokerPresence {
    let old = MetadataVersionRange::only(MetadataVersion::V3_6_IV1);
    BrokerPresence { metadata_versions: Some(old), ..znode() }
}

/// S41, S42, S10: whatever the operator says about serving them.
#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_a_broker_would_mix_up_clusters_versions_or_ids() {
    for (id, presence, texts) in [
        (4, of_another_cluster(), ["broker 4", "cluster another", "to cluster:"]),
        (5, of_another_version(), ["broker 5", "3.6-IV1", "3.9-IV0"]),
        (CONTROLLER.0, znode(), ["broker 3000", "a controller's too", "another node id"]),
    ] {
        let cluster = Cluster::new();
        cluster.watch_reports(Ok([(NodeId(1), znode()), (NodeId(id), presence)].into()));
        let (handle, task) = cluster.start(Service::NoneByOperatorsWord);
        cluster.log.elect(CONTROLLER);
        let status = reach(&handle, |status| status.reason.is_some()).await;
        let reason = status.reason.unwrap_or_default();
        assert!(texts.iter().all(|text| reason.contains(text)), "{reason}");
        assert!(!reason.contains("broker 1 "), "the broker that fits is not named: {reason}");
        assert_eq!((status.state, status.log_state), (State::WaitForBrokers, ZkMigrationState::PreMigration));
        assert_eq!(cluster.calls.count("claim"), 0);
        cluster.watch_reports(Ok([(NodeId(1), znode())].into()));
        cluster.in_step(&handle).await;
        end(handle, task).await;
    }
}

fn asks(id: i32) -> RegistrationRequest {
    let number = u64::from(id.unsigned_abs());
    RegistrationRequest {
        id: NodeId(id),
        incarnation_id: IncarnationId(Uuid::from_u64_pair(0x4000, number)),
        is_migrating_zk_broker: true,
        cluster_id: "cluster".into(),
        listeners: BTreeMap::new(),
        features: [(MetadataVersion::FEATURE_NAME.to_owned(), FeatureRange { min: 21, max: 21 })].into(),
        log_dirs: vec![DirectoryId(Uuid::from_u64_pair(7, number))],
        rack: None,
    }
}

/// Registers a broker that fits, and lets it be heard. Returns its epoch.
async fn joins(cluster: &Cluster, handle: &MigrationHandle, id: i32) -> BrokerEpoch {
    handle.broker_registers(asks(id)).expect("it fits");
    let (log, registered) = (cluster.log.clone(), move |log: &metadata_core::contract::MemLog| {
        log.image().cluster().broker(NodeId(id)).map(|it| (it.epoch, it.fenced))
    });
    reach(handle, move |_| registered(&log).is_some()).await;
    let (epoch, _) = registered(&cluster.log).expect("it is registered");
    let metadata_offset = cluster.log.image().position().end_offset;
    let heartbeat = Heartbeat { epoch, metadata_offset, want_fence: false, want_shutdown: false };
    handle.broker_heartbeats(NodeId(id), heartbeat).expect("its epoch is the log's");
    let log = cluster.log.clone();
    reach(handle, move |_| registered(&log) == Some((epoch, false))).await;
    epoch
}

/// S4, S5, S40: one that joins while both sides are written, and does not fit or does not know of KRaft.
#[tokio::test(start_paused = true)]
async fn whoever_joins_late_and_does_not_fit_leads_nothing_stops_nothing_and_is_named() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::Served);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.watch_reports(Ok([(NodeId(11), znode())].into()));
    let epoch = joins(&cluster, &handle, 11).await;

    let late = [(11, znode()), (12, znode()), (13, of_another_cluster()), (14, of_another_version())];
    cluster.watch_reports(Ok(late.map(|(id, presence)| (NodeId(id), presence)).into()));
    // It asks, and has several directories of which another broker has one.
    let copied = RegistrationRequest { id: NodeId(15), ..asks(11) };
    let refused = handle.broker_registers(copied).expect_err("a copied disk");
    assert!(refused.to_string().contains("which is broker 11's"), "{refused}");

    let named = |status: &migration::Status, id: i32| {
        let brokers = status.assessment.iter().flat_map(|assessment| &assessment.brokers);
        let standing = brokers.filter(|it| it.facts.id == NodeId(id)).flat_map(|it| &it.unready);
        standing.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let status = reach(&handle, move |status| !named(status, 14).is_empty()).await;
    for (id, text) in [
        (12, "does not ask to be registered: start it with zookeeper.metadata.migration.enable"),
        (13, "belongs to cluster another"),
        (14, "inter.broker.protocol.version 3.6-IV1"),
    ] {
        assert!(named(&status, id).contains(text), "broker {id}: {:?}", status.assessment);
        // Whoever is not registered can lead nothing, and is told nothing.
        assert!(cluster.log.image().cluster().broker(NodeId(id)).is_none(), "broker {id} is registered");
    }
    assert_eq!(named(&status, 11), "", "broker 11 is as it was");

    cluster.change(3, 50).await;
    cluster.in_step(&handle).await;
    let status = handle.watch().borrow().clone();
    assert_eq!((status.state, status.reason, status.attempt), (State::DualWrite, None, 0));
    let image = cluster.log.image();
    let first = image.cluster().broker(NodeId(11)).expect("it stays registered");
    assert_eq!((first.epoch, first.fenced), (epoch, false));
    // One that is mended is taken.
    cluster.watch_reports(Ok([(NodeId(11), znode()), (NodeId(12), znode())].into()));
    joins(&cluster, &handle, 12).await;
    end(handle, task).await;
}
