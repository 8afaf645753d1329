//! The contract suite over the in-memory ZooKeeper and over a real one.

use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::contract::{StoreHarness, leadership};
use metadata_core::contract_tests;
use metadata_core::leadership::KraftLeadership;
use metadata_core::store::MetadataStore;
use store_zk::ZkStore;
use store_zk::client::ZkConnector;
use store_zk::testkit::fake::FakeZooKeeper;

use crate::real_faults::{chroot_of_shared_server, connector};
use crate::story::{make_cluster, options};

struct Harness {
    connector: Arc<dyn ZkConnector>,
    epoch: i32,
}

impl Harness {
    async fn over(connector: Arc<dyn ZkConnector>) -> Self {
        make_cluster(&*connector).await;
        Self { connector, epoch: 0 }
    }
}

#[async_trait]
impl StoreHarness for Harness {
    async fn store(&mut self) -> Arc<dyn MetadataStore> {
        Arc::new(ZkStore::new(Arc::clone(&self.connector), options()))
    }

    async fn next_leadership(&mut self) -> KraftLeadership {
        self.epoch += 1;
        leadership(3000 + self.epoch % 3, self.epoch)
    }
}

contract_tests!(fake, Harness::over(Arc::new(FakeZooKeeper::new().connector())));
contract_tests!(real, async { Harness::over(Arc::new(connector(&chroot_of_shared_server().await))).await });
