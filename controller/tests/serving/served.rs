//! A controller of a cluster that was born in KRaft, and a ZooKeeper that nobody needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker_registry::Service;
use controller::serve::{AdvertisedListener, ServeOptions, Serving};
use controller::write::{MetadataWriter, Turns};
use metadata_core::brokers::{AssignedReplicas, BrokerIds, BrokerPresence};
use metadata_core::contract::MemStore;
use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::error::Result;
use metadata_core::id::{NodeId, Offset};
use metadata_core::image::MetadataImage;
use metadata_core::log::{Append, MetadataLog};
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::projection::{Comparison, Projection};
use metadata_core::record::VersionedRecord;
use metadata_core::store::Txn;
use migration::gate::{DivergenceBudget, Gate};
use migration::{FixedVoters, Migration, MigrationOptions, Ports};
use store_kraft::{KraftLog, KraftLogOptions};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Client, PATIENCE};

pub(crate) const CLUSTER: &str = "ZcQrXrnVQj-xXqg6iQ0pGg";
pub(crate) const OWN: NodeId = NodeId(3000);

/// A broker is fenced after this time.
const SESSION: Duration = Duration::from_secs(2);

struct Nobody;

#[async_trait]
impl BrokerIds for Nobody {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, BrokerPresence>> {
        std::future::pending().await
    }
}

#[async_trait]
impl Projection for Nobody {
    async fn compare(&self, _: &MetadataImage, _: usize) -> Result<Comparison> {
        std::future::pending().await
    }
}

#[async_trait]
impl AssignedReplicas for Nobody {
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>> {
        Ok(BTreeMap::new())
    }
}

/// See the module.
pub(crate) struct Served {
    pub(crate) log: Arc<KraftLog>,
    pub(crate) address: SocketAddr,
    _serving: Serving,
    _running: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Served {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        KraftLog::format(dir.path(), OWN, CLUSTER, MetadataVersion::V3_9_IV0).unwrap();
        let log = KraftLog::open(KraftLogOptions::new(dir.path(), OWN, CLUSTER)).await.unwrap();
        let log = Arc::new(log);
        let announcement = ControllerAnnouncement {
            migration_enabled: false,
            metadata_versions: MetadataVersionRange::production(),
            zookeeper_fingerprint: None,
            zookeeper_reachable: None,
        };
        let ports = Ports {
            log: Arc::<KraftLog>::clone(&log),
            zookeeper: Arc::new(MemStore::new()),
            projection: Arc::new(Nobody),
            controllers: Box::new(FixedVoters::sole(OWN, announcement)),
            broker_ids: Box::new(Nobody),
            assigned_replicas: Arc::new(Nobody),
            channel: None,
        };
        let options =
            MigrationOptions { migration_enable: false, service: Service::Served, ..MigrationOptions::new(CLUSTER) };
        let (migration, handle) = Migration::new(ports, options);
        let gate = Gate::over(&log.image(), DivergenceBudget::default());
        let mut running = JoinSet::new();
        running.spawn(async move { drop(migration.run().await) });
        let (fed, status, followed) = (gate.clone(), handle.watch(), Arc::<KraftLog>::clone(&log));
        running.spawn(async move { drop(fed.follow(status, followed).await) });
        let listener = AdvertisedListener { listener: "CONTROLLER".into(), host: "localhost".into(), port: 9093 };
        let options = ServeOptions {
            node_id: OWN,
            cluster_id: CLUSTER.into(),
            advertised: [(OWN, listener)].into(),
            migration_enable: false,
            broker_session: SESSION,
        };
        let writer = MetadataWriter::new(Arc::<KraftLog>::clone(&log), gate, Turns::default());
        let serving = Serving::start(Arc::clone(&log), handle, writer, "127.0.0.1:0", options).await.unwrap();
        let served = Self { log, address: serving.address, _serving: serving, _running: running, _dir: dir };
        served.until("the log has its first records", |image| image.features().metadata_version().is_some()).await;
        served
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Waits until the image is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&MetadataImage) -> bool) -> MetadataImage {
        let looking = async {
            loop {
                let image = self.log.image();
                if is_so(&image) {
                    return image;
                }
                self.log.committed(image.position().end_offset).await.unwrap();
            }
        };
        timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    /// Appends records as somebody else would, wherever the log ends.
    pub(crate) async fn append(&self, records: Vec<VersionedRecord>) -> Offset {
        loop {
            let epoch = self.log.leadership(None).await.unwrap().epoch;
            let expected = Some(self.log.end().await.unwrap().end_offset);
            let append = Append { epoch, expected, txn: Txn::None, records: records.clone() };
            if let Ok(position) = self.log.append(append).await {
                return position.end_offset;
            }
        }
    }
}
