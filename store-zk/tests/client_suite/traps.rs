//! The four traps of the crate underneath, each shown on the crate itself and then on our session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use metadata_core::id::ZkVersion;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{CreateMode, OpResult, SessionState, UnknownCause, ZkAcl, ZkFuture, ZkOp, ZkSession};
use store_zk::testkit::proxy::{FaultProxy, ProxyFault, Requests};
use store_zk::testkit::server::ServerOptions;
use store_zk::testkit::unique_path;
use tokio::time::timeout;
use zookeeper_client as zk;

use crate::{SESSION_TIMEOUT, config, connect, node, own_server, run, session, shared_server};

/// A proxy in front of the shared server, and a path of one's own behind it.
async fn proxied() -> (FaultProxy, String) {
    let server = shared_server().await;
    let path = unique_path();
    session(&server.address()).await.multi(vec![node(&path)]).await.unwrap();
    (FaultProxy::start(server.socket_address()).await.unwrap(), path)
}

async fn raw(address: &str, session_timeout: Duration) -> zk::Client {
    zk::Client::connector().with_session_timeout(session_timeout).connect(address).await.unwrap()
}

const OPEN: zk::CreateOptions<'static> = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());

async fn reaches(client: &zk::Client, wanted: zk::SessionState) {
    let mut states = client.state_watcher();
    while states.peek_state() != wanted {
        states.changed().await;
    }
}

/// Trap 1: what is issued while disconnected is sent after the reconnect, behind what was lost.
#[test]
fn the_crate_writes_behind_a_hole_and_our_session_does_not() {
    run(async {
        let (proxy, path) = proxied().await;
        let (lost, late) = (format!("{path}/lost"), format!("{path}/late"));

        let client = raw(&proxy.address(), SESSION_TIMEOUT).await;
        proxy.set_refusing(true);
        proxy.fail(Requests::Any, 0, ProxyFault::DropRequest);
        client.create(&lost, b"", &OPEN).await.unwrap_err();
        reaches(&client, zk::SessionState::Disconnected).await;
        let behind = client.create(&late, b"", &OPEN);
        proxy.set_refusing(false);
        behind.await.unwrap();
        assert_eq!(client.check_stat(&lost).await.unwrap(), None, "lost, and yet a later one was applied");
        client.delete(&late, None).await.unwrap();

        let s = session(&proxy.address()).await;
        proxy.set_refusing(true);
        proxy.fail(Requests::Multi, 0, ProxyFault::DropRequest);
        // The answer is not looked at yet: it's the loss that must end the object, not its discovery.
        let lost = s.multi(vec![node(&lost)]);
        while proxy.seen(Requests::Multi) == 0 {
            tokio::task::yield_now().await;
        }
        let behind = s.multi(vec![node(&late)]);
        proxy.set_refusing(false);
        assert_eq!(behind.await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(lost.await.unwrap_err().cause(), Some(UnknownCause::ConnectionLost));
        let s = s.resume().await.unwrap();
        s.multi(vec![ZkOp::check(path.clone(), ZkVersion(0))]).await.unwrap();
        assert_eq!(s.get_children(&path).await.unwrap().names, Vec::<String>::new());
    });
}

/// Trap 1 again, at the moment of the loss itself: requests are issued without a pause before, while and after the
/// connection goes. None of those behind the first that was lost may come through.
#[test]
fn no_request_that_is_issued_during_a_loss_comes_through() {
    run(async {
        let (proxy, path) = proxied().await;
        let mut s = session(&proxy.address()).await;
        for round in 0..10 {
            let sent = 200 * round;
            proxy.fail(Requests::Multi, sent as u64, ProxyFault::DropRequest);
            let requests = issue_through_a_loss(&s, &format!("{path}/{round}-")).await;
            let mut answered = 0;
            for (i, request) in requests.into_iter().enumerate() {
                if request.await.is_ok() {
                    assert_eq!(i, answered, "round {round}: a hole");
                    answered += 1;
                }
            }
            s = s.resume().await.unwrap();
            s.multi(vec![ZkOp::check(path.clone(), ZkVersion(0))]).await.unwrap();
            let names = s.get_children(&path).await.unwrap().names;
            let applied = names.iter().filter(|name| name.starts_with(&format!("{round}-"))).count();
            assert_eq!(applied, sent, "round {round}: exactly what was sent before the fault");
            assert!(answered <= applied);
        }
    });
}

/// Issues from a thread of its own until some time after the object has ended.
async fn issue_through_a_loss(s: &Arc<dyn ZkSession>, prefix: &str) -> Vec<ZkFuture<Vec<OpResult>>> {
    let (s, prefix) = (Arc::clone(s), prefix.to_owned());
    let issue = move || {
        let (mut requests, mut behind) = (Vec::new(), 0);
        while behind < 500 && requests.len() < 30_000 {
            requests.push(s.multi(vec![node(&format!("{prefix}{:05}", requests.len()))]));
            behind += usize::from(*s.state().borrow() != SessionState::Connected);
        }
        requests
    };
    tokio::task::spawn_blocking(issue).await.unwrap()
}

/// Trap 2: a lost connection shows in several ways, none of which says that the write did not happen.
#[test]
fn the_crates_errors_after_a_loss_are_never_definite() {
    run(async {
        let (proxy, path) = proxied().await;
        let lost = format!("{path}/lost");

        let client = raw(&proxy.address(), SESSION_TIMEOUT).await;
        proxy.fail(Requests::Any, 0, ProxyFault::LoseReply);
        let error = client.create(&lost, b"", &OPEN).await.unwrap_err();
        assert!(matches!(error, zk::Error::ConnectionLoss | zk::Error::Custom(_)), "{error:?}");
        reaches(&client, zk::SessionState::SyncConnected).await;
        assert!(client.check_stat(&lost).await.unwrap().is_some(), "it had been applied");
        client.delete(&lost, None).await.unwrap();

        let s = session(&proxy.address()).await;
        proxy.fail(Requests::Any, 0, ProxyFault::LoseReply);
        let error = s.multi(vec![node(&lost)]).await.unwrap_err();
        assert_eq!(error.cause(), Some(UnknownCause::ConnectionLost));
        assert_eq!(*s.state().borrow(), SessionState::Lost, "an unknown answer ends the object");
        assert!(s.resume().await.unwrap().exists(&lost).await.unwrap().is_some());
    });
}

/// Trap 3: the crate restores one-shot watches after a reconnect, persistent ones fall silent. We offer one-shot watches
/// only, and they end with their connection (see the conformance suite), so that nobody waits for a watch that is gone.
#[test]
fn the_crates_persistent_watches_fall_silent_after_a_reconnect() {
    run(async {
        let (proxy, path) = proxied().await;
        let (watched, sentinel) = (format!("{path}/watched"), format!("{path}/sentinel"));
        let client = raw(&proxy.address(), SESSION_TIMEOUT).await;
        client.create(&watched, b"", &OPEN).await.unwrap();
        client.create(&sentinel, b"", &OPEN).await.unwrap();
        let mut persistent = client.watch(&watched, zk::AddWatchMode::Persistent).await.unwrap();
        client.set_data(&watched, b"1", None).await.unwrap();
        assert_eq!(persistent.changed().await.event_type, zk::EventType::NodeDataChanged);
        let (_, one_shot) = client.check_and_watch_stat(&sentinel).await.unwrap();
        proxy.cut_all();
        reaches(&client, zk::SessionState::Disconnected).await;
        reaches(&client, zk::SessionState::SyncConnected).await;

        client.set_data(&watched, b"2", None).await.unwrap();
        client.set_data(&sentinel, b"2", None).await.unwrap();
        assert_eq!(one_shot.changed().await.event_type, zk::EventType::NodeDataChanged);
        // The watched node was set before the sentinel, whose event has come.
        while let Some(event) = persistent.changed().now_or_never() {
            assert_eq!(event.event_type, zk::EventType::Session, "if this fails, the crate has been mended");
        }
    });
}

/// Trap 4: the crate calls a session expired by its own clock, while the server still holds it.
#[test]
fn the_crate_expires_a_session_that_lives_and_ours_is_resumed() {
    run(async {
        let mut server = own_server(ServerOptions::default()).await;
        let session_timeout = Duration::from_secs(4);
        let client = raw(&server.address(), session_timeout).await;
        let ephemeral = zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
        client.create("/crates", b"", &ephemeral).await.unwrap();
        let ours = ZooKeeperConnector::new(ZkClientConfig { session_timeout, ..config(&server.address()) });
        let s = connect(&ours).await;
        let (data, acl) = (Bytes::new(), ZkAcl::world_all());
        s.multi(vec![ZkOp::Create { path: "/ours".to_owned(), data, acl, mode: CreateMode::Ephemeral }]).await.unwrap();

        server.kill();
        reaches(&client, zk::SessionState::Expired).await;
        assert_eq!(*s.state().borrow(), SessionState::Lost);
        server.restart().await.unwrap();

        let resumed = s.resume().await.unwrap();
        assert_eq!(resumed.session_id(), s.session_id());
        assert_eq!(resumed.get_children("/").await.unwrap().names, ["crates", "ours", "zookeeper"]);
    });
}

/// The other half of trap 4: when the server itself says so, the session is over, and a new one can be had.
#[test]
fn a_session_is_expired_when_the_server_says_so() {
    run(async {
        let server = shared_server().await;
        let path = unique_path();
        let proxy = FaultProxy::start(server.socket_address()).await.unwrap();
        let session_timeout = Duration::from_secs(1);
        let short = ZooKeeperConnector::new(ZkClientConfig { session_timeout, ..config(&proxy.address()) });
        let s = connect(&short).await;
        assert_eq!(s.session_timeout(), session_timeout);
        let (data, acl) = (Bytes::new(), ZkAcl::world_all());
        s.multi(vec![ZkOp::Create { path: path.clone(), data, acl, mode: CreateMode::Ephemeral }]).await.unwrap();
        let observer = session(&server.address()).await;
        let (_, gone) = observer.watch_exists(&path).await.unwrap();

        proxy.set_refusing(true);
        proxy.cut_all();
        gone.await;
        proxy.set_refusing(false);
        assert_eq!(s.resume().await.map(|_| ()).unwrap_err().cause(), Some(UnknownCause::SessionExpired));
        assert_eq!(s.resume().await.map(|_| ()).unwrap_err().cause(), Some(UnknownCause::SessionExpired));
        let new = connect(&short).await;
        assert_ne!(new.session_id(), s.session_id());
    });
}

/// The crate has no limit for one answer; ours ends the connection, and must not end the session with it.
#[test]
fn an_answer_that_never_comes_is_unknown_and_the_session_lives_on() {
    run(async {
        let (proxy, path) = proxied().await;
        let client = raw(&proxy.address(), SESSION_TIMEOUT).await;
        proxy.set_frozen(true);
        let forever = client.check_stat(&path);
        assert!(timeout(Duration::from_millis(300), forever).await.is_err(), "the crate waits on");
        proxy.set_frozen(false);

        let limited = ZkClientConfig { request_timeout: Duration::from_millis(100), ..config(&proxy.address()) };
        let mut s = connect(&ZooKeeperConnector::new(limited)).await;
        let id = s.session_id();
        for round in 0..10 {
            proxy.set_frozen(true);
            let error = s.multi(vec![node(&format!("{path}/{round}"))]).await.unwrap_err();
            assert_eq!(error.cause(), Some(UnknownCause::ConnectionLost));
            assert!(error.to_string().contains("no answer within 100 ms"), "{error}");
            assert_eq!(*s.state().borrow(), SessionState::Lost);
            proxy.set_frozen(false);
            s = s.resume().await.unwrap();
            assert_eq!(s.session_id(), id);
        }
    });
}
