//! SASL against real servers. Digest authentication is in the conformance suite.

use std::time::Duration;

use store_zk::client::config::{Credentials, Secret, ZkClientConfig};
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{ConnectError, Permissions, ZkAcl, ZkCode, ZkConnector, ZkError, ZkOp};
use store_zk::testkit::server::{ServerOptions, ZkServer};

use crate::{config, connect, own_server, run, session};

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials { user: user.to_owned(), password: Secret::new(password) }
}

async fn sasl_server(extra: &[&str]) -> ZkServer {
    own_server(ServerOptions {
        sasl: vec![credentials("kafka", "kafka \"secret\"\\"), credentials("other", "other-secret")],
        extra: extra.iter().map(|line| (*line).to_owned()).collect(),
        ..ServerOptions::default()
    })
    .await
}

fn as_user(server: &ZkServer, user: &str, password: &str) -> ZooKeeperConnector {
    ZooKeeperConnector::new(ZkClientConfig { sasl: Some(credentials(user, password)), ..config(&server.address()) })
}

#[test]
fn a_sasl_user_owns_what_it_creates_also_after_resuming() {
    run(async {
        let server = sasl_server(&[]).await;
        let s = connect(&as_user(&server, "kafka", "kafka \"secret\"\\")).await;
        s.multi(vec![ZkOp::create("/secret", "x", ZkAcl::creator_all())]).await.unwrap();
        let stored = s.get_acl("/secret").await.unwrap().0;
        let [entry] = stored.entries() else { panic!("{stored:?}") };
        assert_eq!((entry.permissions, &*entry.scheme, &*entry.id), (Permissions::ALL, "sasl", "kafka"));

        let refused = ZkError::definite(ZkCode::NoAuth, "/secret");
        let other = connect(&as_user(&server, "other", "other-secret")).await;
        assert_eq!(other.get_data("/secret").await.unwrap_err(), refused);
        assert_eq!(session(&server.address()).await.get_data("/secret").await.unwrap_err(), refused);

        let mut server = server;
        server.restart().await.unwrap();
        let resumed = s.resume().await.unwrap();
        assert_eq!(resumed.get_data("/secret").await.unwrap().data, "x");
    });
}

#[test]
fn wrong_credentials_are_refused_with_the_reason() {
    run(async {
        let server = sasl_server(&[]).await;
        for (user, password) in [("kafka", "not-the-password"), ("nobody", "any-password")] {
            let error = as_user(&server, user, password).connect().await.map(|_| ()).unwrap_err();
            assert!(matches!(error, ConnectError::AuthFailed { .. }), "{error:?}");
            assert!(error.to_string().contains("refused the credentials"), "{error}");
            assert!(!format!("{error} {error:?}").contains(password), "a password in an error: {error:?}");
        }
    });
}

#[test]
fn a_server_that_demands_sasl_refuses_those_without() {
    run(async {
        let server = sasl_server(&["enforce.auth.enabled=true", "enforce.auth.schemes=sasl"]).await;
        let impatient =
            ZkClientConfig { connection_timeout: Duration::from_millis(2_000), ..config(&server.address()) };
        let error = ZooKeeperConnector::new(impatient).connect().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ConnectError::AuthFailed { .. }), "{error:?}");
        connect(&as_user(&server, "kafka", "kafka \"secret\"\\")).await.exists("/").await.unwrap();
    });
}
