//! From `/brokers/ids` into the metadata log, and from there into Apache Kafka's own controller, which replays every record
//! of a registration strictly: one that it does not take halts the process.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_registry::{BrokerSessions, OperatorsSettings, RegistrySettings};
use metadata_core::brokers::BrokerIds as _;
use metadata_core::id::{BrokerEpoch, NodeId, Offset};
use metadata_core::image::BrokerRegistration;
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::MetadataLog;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::{MetadataRecord, ZkMigrationState};
use migration::registrar::{Registrar, RegistrarInputs};
use store_kraft::{KraftLog, KraftLogOptions};
use store_zk::ZkBrokerIds;
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::testkit::fake::FakeZooKeeper;
use store_zk::testkit::free_port;
use tokio::sync::watch;
use xtask::kafka::{Kafka, KafkaServer, Properties, RecordText, Release, ServerSpec};

const NODE: NodeId = NodeId(3000);
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";
const LIMIT: Duration = Duration::from_secs(60);

fn znode(id: i32, host: &str) -> String {
    format!(
        r#"{{"version":5,"host":"{host}","port":9092,"jmx_port":-1,"timestamp":"1","rack":"r{id}","features":{{}},
            "endpoints":["PLAINTEXT://{host}:9092","INSIDE://{host}:9093"],
            "listener_security_protocol_map":{{"PLAINTEXT":"PLAINTEXT","INSIDE":"SASL_SSL"}}}}"#
    )
}

fn create(path: &str, data: &str) -> ZkOp {
    ZkOp::create(path, data.to_owned(), ZkAcl::world_all())
}

/// Waits until a broker is registered as wanted.
async fn until(log: &KraftLog, id: i32, wanted: impl Fn(&BrokerRegistration) -> bool) {
    let reached = async {
        loop {
            let image = log.image();
            if image.cluster().broker(NodeId(id)).is_some_and(|it| wanted(it)) {
                return;
            }
            log.committed(image.position().end_offset).await.unwrap();
        }
    };
    tokio::time::timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("broker {id}: {:?}", log.image().cluster()));
}

/// A log of a migration that has not copied anything, with the registrations of brokers that came, changed, restarted and
/// went. Returns where it ends.
async fn write_registrations(dir: &Path) -> Offset {
    KraftLog::format(dir, NODE, CLUSTER, MetadataVersion::V3_9_IV0).unwrap();
    let log = Arc::new(KraftLog::open(KraftLogOptions::new(dir, NODE, CLUSTER)).await.unwrap());
    log.bootstrap(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration).await.unwrap();
    let zookeeper = FakeZooKeeper::new();
    let parents = vec![create("/brokers", ""), create("/brokers/ids", "")];
    zookeeper.foreign(parents).unwrap();

    let (watched, seen) = watch::channel(None);
    let mut broker_ids = ZkBrokerIds::new(Arc::new(zookeeper.connector()));
    let watching = tokio::spawn(async move {
        loop {
            let now = broker_ids.next().await.ok();
            watched.send_replace(now);
        }
    });
    let leader = log.leadership(None).await.unwrap();
    let (_sessions, sessions) = watch::channel(BrokerSessions::new());
    let ibp = Some(MetadataVersionRange::only(MetadataVersion::V3_9_IV0));
    let settings = RegistrySettings {
        operator: OperatorsSettings { inter_broker_protocol: ibp, ..Default::default() },
        ..RegistrySettings::new(CLUSTER, MetadataVersion::V3_9_IV0, NODE)
    };
    let (_settings, settings) = watch::channel(settings);
    let inputs = RegistrarInputs { watched: seen, sessions, settings };
    let leadership = KraftLeadership { id: NODE, epoch: leader.epoch };
    let (registrar, _report) = Registrar::new(Arc::<KraftLog>::clone(&log), leadership, inputs);
    let registering = tokio::spawn(registrar.run());

    let ids = ["/brokers/ids/1", "/brokers/ids/2", "/brokers/ids/3"];
    zookeeper.foreign(vec![create(ids[0], &znode(1, "one")), create(ids[1], &znode(2, "two"))]).unwrap();
    until(&log, 1, |it| !it.fenced).await;
    until(&log, 2, |it| !it.fenced).await;
    let first = log.image().cluster().broker(NodeId(2)).unwrap().epoch;
    // One says something else, one restarts, one comes and goes.
    zookeeper.foreign(vec![ZkOp::set_data(ids[0], znode(1, "moved"), None)]).unwrap();
    until(&log, 1, |it| it.endpoints["INSIDE"].host == "moved").await;
    zookeeper.foreign(vec![ZkOp::delete(ids[1], None), create(ids[1], &znode(2, "two"))]).unwrap();
    until(&log, 2, |it| !it.fenced && it.epoch > first).await;
    zookeeper.foreign(vec![create(ids[2], &znode(3, "three"))]).unwrap();
    until(&log, 3, |it| !it.fenced).await;
    zookeeper.foreign(vec![ZkOp::delete(ids[2], None)]).unwrap();
    until(&log, 3, |it| it.fenced).await;

    for batch in log.read(Offset(0), usize::MAX).await.unwrap() {
        for (offset, record) in (batch.base_offset.0..).zip(&*batch.records) {
            if let MetadataRecord::RegisterBroker(record) = &record.record {
                let kept = record.end_points.iter().any(|it| it.host == "moved");
                assert!(record.is_migrating_zk_broker && (kept || record.broker_epoch == BrokerEpoch(offset)));
            }
        }
    }
    registering.abort();
    watching.abort();
    let end = log.end().await.unwrap().end_offset;
    log.shutdown().await.unwrap();
    end
}

fn segment(dir: &Path) -> PathBuf {
    dir.join("__cluster_metadata-0/00000000000000000000.log")
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_controller_goes_on_with_our_registrations() {
    let find = || Kafka::find(Release::V3_9, &|line| eprintln!("{line}")).unwrap();
    let kafka = tokio::task::spawn_blocking(find).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("controller");
    let end = write_registrations(&dir).await;

    let port = free_port().unwrap();
    let properties = Properties::new()
        .with("process.roles", "controller")
        .with("node.id", NODE)
        .with("controller.quorum.voters", format!("{NODE}@localhost:{port}"))
        .with("listeners", format!("CONTROLLER://localhost:{port}"))
        .with("controller.listener.names", "CONTROLLER")
        .with("listener.security.protocol.map", "CONTROLLER:PLAINTEXT")
        .with("log.dirs", dir.display());
    let mut server =
        KafkaServer::start(ServerSpec::new(&kafka, "controller", folder.path(), properties)).await.unwrap();
    // Only a controller that has replayed everything leads, and only one that leads writes.
    let wrote = async {
        loop {
            let dumps = kafka.dump_files(&[segment(&dir)]).await.unwrap();
            let batches = dumps.into_iter().flat_map(|dump| dump.batches);
            let mut records = batches.filter(|it| it.base_offset >= end.0).flat_map(|batch| batch.records);
            if records.any(|record| matches!(record.text, RecordText::Metadata(_))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(LIMIT, wrote).await.unwrap_or_else(|_| panic!("it never leads:\n{}", server.log()));
    assert!(!server.log().contains("fault handler"), "{}", server.log());
    server.stop().await.unwrap();

    // And ours with what Kafka left.
    let dumps = kafka.dump_files(&[segment(&dir)]).await.unwrap();
    let registered = dumps.iter().flat_map(|dump| &dump.batches).flat_map(|batch| &batch.records).filter(|record| {
        matches!(&record.text, RecordText::Metadata(value) if value["type"] == "REGISTER_BROKER_RECORD"
            && value["data"]["isMigratingZkBroker"] == true)
    });
    assert_eq!(registered.count(), 5, "two came, one changed, one restarted, one came and went");
}
