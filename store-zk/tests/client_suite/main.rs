//! The ZooKeeper client against ZooKeepers: in memory, real, and broken on purpose.
//!
//! Tests that need a real ZooKeeper fail when there is none.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

mod auth;
mod conformance;
mod connecting;
mod fake;
mod kill;
mod servers;
#[cfg(feature = "tls")]
mod tls;
mod traps;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use store_zk::client::config::ZkClientConfig;
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{ZkAcl, ZkConnector, ZkOp, ZkSession};
use store_zk::testkit::server::{ServerOptions, ZkServer};

/// Longer than any hiccup of a busy machine, and within the servers' 2 to 20 ticks.
const SESSION_TIMEOUT: Duration = Duration::from_secs(8);

/// Runs a test's body on a runtime of its own.
fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(body)
}

/// The server that no test breaks.
async fn shared_server() -> &'static ZkServer {
    let server = store_zk::testkit::shared_server().await;
    server.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"))
}

/// A server of the test's own, to break.
async fn own_server(options: ServerOptions) -> ZkServer {
    ZkServer::start(options).await.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"))
}

fn config(address: &str) -> ZkClientConfig {
    ZkClientConfig {
        session_timeout: SESSION_TIMEOUT,
        connection_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(20),
        ..ZkClientConfig::from_connect_string(address).unwrap()
    }
}

/// A connector to a server, or to a path in it.
fn connector(address: &str) -> ZooKeeperConnector {
    ZooKeeperConnector::new(config(address))
}

/// Opens a session or fails the test.
async fn connect(connector: &dyn ZkConnector) -> Arc<dyn ZkSession> {
    connector.connect().await.unwrap_or_else(|error| panic!("{error}"))
}

/// Opens a session with the tests' defaults.
async fn session(address: &str) -> Arc<dyn ZkSession> {
    connect(&connector(address)).await
}

/// An open node without data.
fn node(path: &str) -> ZkOp {
    ZkOp::create(path, "", ZkAcl::world_all())
}
