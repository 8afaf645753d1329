//! Why there is no session: every reason has a text that an operator can act on.

use std::net::TcpListener;
use std::time::Duration;

use store_zk::client::config::{TlsFiles, ZkClientConfig};
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{ConnectError, ZkConnector};
use store_zk::testkit::proxy::FaultProxy;
use store_zk::testkit::server::{ServerOptions, ZkEnsemble};

use crate::{config, run, session, shared_server};

async fn refusal(config: ZkClientConfig) -> ConnectError {
    match ZooKeeperConnector::new(config).connect().await {
        Ok(_) => panic!("this can't succeed"),
        Err(error) => error,
    }
}

fn impatient(address: &str) -> ZkClientConfig {
    ZkClientConfig { connection_timeout: Duration::from_millis(500), ..config(address) }
}

/// A port on which nobody listens, though one just did.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_server_that_is_down_is_named_with_the_reason() {
    run(async {
        let address = format!("127.0.0.1:{},localhost:{}/kafka", closed_port(), closed_port());
        let error = refusal(impatient(&address)).await;
        assert!(matches!(error, ConnectError::Unreachable { .. }));
        let text = error.to_string();
        assert!(text.starts_with(&format!("no ZooKeeper session with {address} within 500 ms: ")), "{text}");
        assert_eq!(text.matches("refuses connections").count(), 2, "{text}");
    });
}

#[test]
fn a_server_that_does_not_speak_zookeeper_is_named_with_the_reason() {
    run(async {
        // Accepts, as the kernel does for it, and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = refusal(impatient(&silent.local_addr().unwrap().to_string())).await;
        assert!(error.to_string().contains("accepts connections but gave no session"), "{error}");
    });
}

#[test]
fn a_host_without_an_address_is_named_with_the_reason() {
    run(async {
        let error = refusal(impatient("no-such-host.invalid:2181")).await;
        assert!(error.to_string().contains("no-such-host.invalid:2181 has no address"), "{error}");
    });
}

#[test]
fn an_ensemble_without_a_quorum_is_named_with_the_reason() {
    run(async {
        let started = ZkEnsemble::start(3, ServerOptions::default()).await;
        let mut ensemble = started.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"));
        let [first, others @ ..] = ensemble.servers_mut() else { panic!("three servers were started") };
        others.iter_mut().for_each(|server| server.kill());
        while first.mode().await.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let error = refusal(impatient(&first.address())).await;
        assert!(error.to_string().contains("is not serving requests (no quorum?)"), "{error}");
    });
}

#[test]
fn a_server_that_serves_others_is_named_with_the_reason() {
    run(async {
        let server = shared_server().await;
        let proxy = FaultProxy::start(server.socket_address()).await.unwrap();
        let hasty = ZkClientConfig { connection_timeout: Duration::from_millis(50), ..config(&proxy.address()) };
        proxy.set_delay(Duration::from_millis(200));
        let error = refusal(hasty).await;
        assert!(error.to_string().contains("is serving but gave no session in time"), "{error}");
    });
}

#[test]
fn a_session_is_found_behind_servers_that_are_down() {
    run(async {
        let server = shared_server().await;
        let address = format!("127.0.0.1:{},{}", closed_port(), server.address());
        let s = session(&address).await;
        s.exists("/").await.unwrap();
    });
}

#[test]
fn tls_files_that_cannot_be_read_or_a_build_without_tls_are_configuration_errors() {
    run(async {
        let tls = TlsFiles { truststore: "/no/such/file.pem".into(), keystore: None };
        let error = refusal(ZkClientConfig { tls: Some(tls), ..impatient("127.0.0.1:1") }).await;
        assert!(matches!(error, ConnectError::Config(_)), "{error:?}");
        let expected = if cfg!(feature = "tls") { "/no/such/file.pem can't be read" } else { "its feature \"tls\"" };
        assert!(error.to_string().contains(expected), "{error}");
    });
}
