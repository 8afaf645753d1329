//! The chain on real servers: killed, cut off, and expired.

use std::time::Duration;

use metadata_core::leadership::{AfterClaim, Expected};
use metadata_core::store::MetadataStore;
use store_zk::client::config::ZkClientConfig;
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{ZkAcl, ZkConnector, ZkOp};
use store_zk::testkit::proxy::{FaultProxy, ProxyFault, Requests};
use store_zk::testkit::server::{ServerOptions, ZkServer};
use store_zk::testkit::{shared_server, unique_path};

use crate::story::{Story, leader, make_cluster, store};

/// A connector with time-outs for a busy machine.
pub(crate) fn connector(address: &str) -> ZooKeeperConnector {
    let config = ZkClientConfig::from_connect_string(address).expect("an address of ours");
    ZooKeeperConnector::new(ZkClientConfig {
        session_timeout: Duration::from_secs(8),
        connection_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(20),
        ..config
    })
}

/// A path of its own in the server that all tests share.
pub(crate) async fn chroot_of_shared_server() -> String {
    let server = shared_server().await.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"));
    let path = unique_path();
    let session = connector(&server.address()).connect().await.expect("a session");
    session.multi(vec![ZkOp::create(&path, "", ZkAcl::world_all())]).await.expect("a chroot");
    format!("{}{path}", server.address())
}

pub(crate) async fn own_server() -> ZkServer {
    let started = ZkServer::start(ServerOptions::default()).await;
    started.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"))
}

pub(crate) fn run<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(body)
}

#[test]
fn real_a_request_or_an_answer_lost_at_any_multi_loses_nothing() {
    run(async {
        let story = Story::new(21, 48);
        let chroot = chroot_of_shared_server().await;
        let (address, path) = chroot.split_once('/').expect("an address with a chroot");
        for fault in [ProxyFault::DropRequest, ProxyFault::LoseReply] {
            for at in 0..14 {
                let proxy = FaultProxy::start(address.parse().expect("a socket address")).await.expect("a proxy");
                let cluster = format!("/{path}-{fault:?}-{at}");
                let root = connector(address).connect().await.expect("a session");
                root.multi(vec![ZkOp::create(&*cluster, "", ZkAcl::world_all())]).await.expect("a chroot");
                make_cluster(&connector(&format!("{address}{cluster}"))).await;

                let store = store(connector(&format!("{}{cluster}", proxy.address())));
                let mut writer = story.begin(&store, 1).await;
                proxy.fail(Requests::Multi, at, fault);
                let end = story.tell(&mut *writer).await.unwrap_or_else(|e| panic!("{fault:?} at multi {at}: {e}"));
                assert_eq!(end, story.last().position());
                story.is_told(&store).await;
            }
        }
    });
}

#[test]
fn real_a_server_killed_in_the_middle_leaves_a_prefix_and_the_chain_goes_on() {
    run(async {
        let mut server = own_server().await;
        let story = Story::new(22, 1200);
        make_cluster(&connector(&server.address())).await;
        let store = store(connector(&server.address()));
        let mut writer = story.begin(&store, 1).await;
        let mut receipts = Vec::new();
        for (index, batch) in story.batches.iter().enumerate() {
            writer.ready().await.expect("room");
            receipts.push(writer.submit(batch.clone()));
            if index % 60 == 59 {
                server.kill();
                server.restart().await.expect("the server comes back");
            }
        }
        assert_eq!(writer.barrier().await.expect("the chain goes on"), story.last().position());
        for receipt in receipts {
            receipt.await.expect("every batch is acknowledged");
        }
        story.is_told(&store).await;
    });
}

#[test]
fn real_a_controller_that_vanishes_with_multis_in_flight_is_succeeded_where_it_was() {
    run(async {
        let server = own_server().await;
        for round in 0..6 {
            let cluster = format!("/round-{round}");
            let root = connector(&server.address()).connect().await.expect("a session");
            root.multi(vec![ZkOp::create(&*cluster, "", ZkAcl::world_all())]).await.expect("a chroot");
            make_cluster(&connector(&format!("{}{cluster}", server.address()))).await;
            let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
            let story = Story::new(30 + round, 400);
            let dying = store(connector(&format!("{}{cluster}", proxy.address())));
            let mut writer = story.begin(&dying, 1).await;
            for batch in &story.batches {
                drop(writer.submit(batch.clone()));
            }
            // Some are on their way; from here on nothing of it is ever heard again.
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            proxy.set_refusing(true);
            proxy.cut_all();
            drop(writer);

            let successor = store(connector(&format!("{}{cluster}", server.address())));
            story.succeed(&successor, 2).await;
            story.is_told(&successor).await;
        }
    });
}

#[test]
fn real_a_session_that_expires_is_claimed_again_by_the_chain_itself() {
    run(async {
        let server = own_server().await;
        make_cluster(&connector(&server.address())).await;
        let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
        let config = ZkClientConfig::from_connect_string(&proxy.address()).expect("an address");
        let store = store(ZooKeeperConnector::new(ZkClientConfig {
            session_timeout: Duration::from_secs(2),
            connection_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            ..config
        }));
        let story = Story::new(40, 200);
        let mut writer = story.begin(&store, 1).await;
        let half = story.batches.len() / 2;
        for batch in &story.batches[..half] {
            writer.submit(batch.clone()).await.expect("a batch before the cut");
        }
        proxy.set_refusing(true);
        proxy.cut_all();
        let mut receipts = Vec::new();
        for batch in &story.batches[half..] {
            receipts.push(writer.submit(batch.clone()));
        }
        // Longer than the session lives on the server.
        tokio::time::sleep(Duration::from_secs(5)).await;
        proxy.set_refusing(false);
        match writer.barrier().await {
            Ok(position) => {
                assert_eq!(position, story.last().position());
                for receipt in receipts {
                    receipt.await.expect("every batch is acknowledged");
                }
            }
            // The chain may have given up while nothing could be reached; a new claim by the same leader goes on then.
            Err(error) => {
                assert_eq!(error.kind(), metadata_core::error::ErrorKind::Unavailable, "{error}");
                let claimed = store.claim(&leader(1), &story.log()).await.expect("a new claim");
                assert_eq!(claimed.next, AfterClaim::Resume);
                let mut writer = store.writer(claimed).await.expect("a new writer");
                story.tell_from(&mut *writer, claimed.position).await.expect("the rest");
            }
        }
        story.is_told(&store).await;
    });
}

#[test]
fn real_many_rivals_claim_one_after_the_other_and_one_writes() {
    run(async {
        let chroot = chroot_of_shared_server().await;
        make_cluster(&connector(&chroot)).await;
        let story = Story::new(50, 40);
        drop(story.begin(&store(connector(&chroot)), 1).await);
        // Epochs rise; each claim fences the one before it, and a claim of an older epoch is refused.
        let first = store(connector(&chroot));
        let claimed = first.claim(&leader(2), &story.log()).await.expect("epoch 2");
        let mut deposed = first.writer(claimed).await.expect("its writer");
        let second = store(connector(&chroot));
        story.succeed(&second, 3).await;
        let error = deposed.submit(story.batches[0].clone()).await.expect_err("deposed");
        assert_eq!(error.kind(), metadata_core::error::ErrorKind::ControllerFenced);
        let old = first.claim(&leader(2), &story.log()).await.expect_err("an older epoch");
        assert_eq!(old.kind(), metadata_core::error::ErrorKind::ControllerFenced);
        assert!(first.claim(&leader(4), &Expected::Nothing).await.is_err(), "a log without metadata");
        story.is_told(&second).await;
    });
}
