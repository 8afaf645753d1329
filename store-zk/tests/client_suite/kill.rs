//! Servers that are killed with thousands of requests in flight.

use std::time::Duration;

use metadata_core::id::ZkVersion;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{SessionState, ZkFuture, ZkOp, ZkSession};
use store_zk::testkit::server::{ServerOptions, ZkEnsemble};

use crate::{config, connect, node, own_server, run, session};

/// Links of a chain that are in flight when the server dies.
const LINKS: i32 = 4000;

/// A chain as the write chain builds it: every multi raises the marker from the version that it expects.
fn issue_chain(s: &dyn ZkSession, from: i32) -> Vec<ZkFuture<()>> {
    let link = |i: i32| {
        let request = s.multi(vec![ZkOp::set_data("/marker", "", ZkVersion(i)), node(&format!("/n/{i:05}"))]);
        Box::pin(async move { request.await.map(drop) }) as ZkFuture<()>
    };
    (from..from + LINKS).map(link).collect()
}

/// Awaits all answers; returns how many are known to be applied.
async fn settle(answers: Vec<ZkFuture<()>>) -> i32 {
    let mut applied = 0;
    for answer in answers {
        match answer.await {
            Ok(()) => applied += 1,
            Err(error) => assert!(!error.is_definite(), "nobody refused anything: {error}"),
        }
    }
    applied
}

/// The nodes are exactly those of the links before the marker's version. Returns the version.
async fn assert_prefix(s: &dyn ZkSession) -> i32 {
    let barrier = s.multi(vec![ZkOp::check("/", ZkVersion(0))]);
    let (marker, nodes) = (s.get_data("/marker"), s.get_children("/n"));
    barrier.await.unwrap();
    let version = marker.await.unwrap().stat.version.0;
    let expected: Vec<_> = (0..version).map(|i| format!("{i:05}")).collect();
    assert!(nodes.await.unwrap().names == expected, "a hole, or more than the marker says");
    version
}

#[test]
fn a_chain_cut_by_kill_nine_is_applied_as_a_prefix_and_goes_on_behind_it() {
    run(async {
        let mut server = own_server(ServerOptions::default()).await;
        let mut s = session(&server.address()).await;
        s.multi(vec![node("/marker"), node("/n")]).await.unwrap();
        let mut length = 0;
        for round in 0..4 {
            let mut answers = issue_chain(&*s, length);
            // Let some be answered, a different number each time.
            let rest = answers.split_off(100 + 700 * round);
            let known = settle(answers).await;
            server.kill();
            let known = known + settle(rest).await;
            assert_eq!(*s.state().borrow(), SessionState::Lost);
            assert!(s.multi(vec![node("/refused")]).await.is_err());

            server.restart().await.unwrap();
            s = s.resume().await.unwrap();
            let now = assert_prefix(&*s).await;
            assert!(now >= length + known, "what was answered is there");
            length = now;
        }
        assert_eq!(s.exists("/refused").await.unwrap(), None);
    });
}

#[test]
fn a_chain_survives_the_death_of_the_leader_of_an_ensemble() {
    run(async {
        let started = ZkEnsemble::start(3, ServerOptions::default()).await;
        let mut ensemble = started.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"));
        let patient = ZkClientConfig { connection_timeout: Duration::from_secs(90), ..config(&ensemble.address()) };
        let mut s = connect(&ZooKeeperConnector::new(patient)).await;
        s.multi(vec![node("/marker"), node("/n")]).await.unwrap();
        let mut length = 0;
        for _ in 0..2 {
            let leader = ensemble.leader().await.expect("an ensemble that serves has a leader");
            let mut answers = issue_chain(&*s, length);
            let rest = answers.split_off(200);
            let known = settle(answers).await;
            ensemble.servers_mut()[leader].kill();
            let known = known + settle(rest).await;
            s = s.resume().await.unwrap();
            let now = assert_prefix(&*s).await;
            assert!(now >= length + known);
            length = now;
            ensemble.restart(leader).await.unwrap();
        }
    });
}
