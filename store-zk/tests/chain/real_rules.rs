//! The rules of the chain on real servers: late multis, foreign writes, access lists, sizes, the marker.

use std::sync::Arc;
use std::time::Duration;

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::leadership::AfterClaim;
use metadata_core::projection::Projection;
use metadata_core::store::MetadataStore;
use store_zk::client::config::{Credentials, Secret, ZkClientConfig};
use store_zk::client::real::ZooKeeperConnector;
use store_zk::client::{ZkAcl, ZkConnector, ZkOp, ZkSession};
use store_zk::project::{ProjectionContext, ZnodeOp, project};
use store_zk::testkit::proxy::{FaultProxy, ProxyFault, Requests};
use store_zk::testkit::server::{ServerOptions, ZkServer};
use store_zk::{ZkStore, ZkStoreOptions};

use crate::real_faults::{chroot_of_shared_server, connector, own_server, run};
use crate::records::{batch, remove_topic, topic};
use crate::story::{Story, leader, make_cluster, options, store};

async fn server_with(options: ServerOptions) -> ZkServer {
    ZkServer::start(options).await.unwrap_or_else(|error| panic!("this test needs a real ZooKeeper: {error}"))
}

async fn session(address: &str) -> Arc<dyn ZkSession> {
    connector(address).connect().await.expect("a session")
}

#[test]
fn real_late_multis_bounce_off_a_claim_of_the_same_leader() {
    run(async {
        let server = own_server().await;
        make_cluster(&connector(&server.address())).await;
        let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
        let story = Story::new(90, 100);
        let slow = store(connector(&proxy.address()));
        let mut writer = story.begin(&slow, 1).await;
        let before = proxy.seen(Requests::Multi);

        // Eight multis are on their way, and stay there.
        proxy.set_frozen(true);
        let receipts: Vec<_> = story.batches.iter().map(|batch| writer.submit(batch.clone())).collect();
        let direct = store(connector(&server.address()));
        let claimed = direct.claim(&leader(1), &story.log()).await.expect("the same leader, on a new session");
        assert_eq!((claimed.next, claimed.position), (AfterClaim::Resume, story.base.position()));
        let mut again = direct.writer(claimed).await.expect("its writer");
        let (first, rest) = story.batches.split_at(2);
        for batch in first {
            again.submit(batch.clone()).await.expect("a batch of the new session");
        }

        // Now they come.
        proxy.set_frozen(false);
        for receipt in receipts {
            let error = receipt.await.expect_err("the claim is another one now");
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied), "{error}");
        }
        assert_eq!(proxy.seen(Requests::Multi) - before, 8, "they reached the server");
        for batch in rest {
            again.submit(batch.clone()).await.expect("a batch behind the late ones");
        }
        story.is_told(&direct).await;
    });
}

/// Makes an op fail that is about to come.
async fn obstruct(session: &dyn ZkSession, op: &ZnodeOp) -> bool {
    let foreign = match op {
        ZnodeOp::Create { path, .. } => ZkOp::create(&**path, "foreign", ZkAcl::world_all()),
        ZnodeOp::Set { path, .. } | ZnodeOp::Delete { path } => ZkOp::delete(&**path, None),
    };
    session.multi(vec![foreign]).await.is_ok()
}

#[test]
fn real_a_foreign_write_in_the_middle_is_repaired() {
    run(async {
        let story = Story::new(91, 40);
        let context = ProjectionContext {
            zk_epoch: metadata_core::id::ZkControllerEpoch(2),
            secret: None,
            secure: false,
            notify: false,
        };
        let mut disturbed = 0;
        for (at, batch) in story.batches.iter().enumerate().step_by(2) {
            for planned in project(&batch.before, &batch.after, &context).ops.iter().step_by(3) {
                let chroot = chroot_of_shared_server().await;
                make_cluster(&connector(&chroot)).await;
                let store = store(connector(&chroot));
                let mut writer = story.begin(&store, 1).await;
                for earlier in &story.batches[..at] {
                    writer.submit(earlier.clone()).await.expect("a batch before the disturbed one");
                }
                if !obstruct(&*session(&chroot).await, &planned.op).await {
                    continue;
                }
                disturbed += 1;
                let end = story.tell_from(&mut *writer, batch.expected()).await.expect("the chain goes on");
                assert_eq!(end, story.last().position(), "batch {at}, {:?}", planned.op);
                assert!(store.foreign_writes() > 0, "batch {at}, {:?}", planned.op);
                story.is_told(&store).await;
            }
        }
        assert!(disturbed > 5, "only {disturbed} ops could be disturbed");
    });
}

#[test]
fn real_secrets_are_the_brokers_alone_by_their_full_path() {
    run(async {
        let kafka = Credentials { user: "kafka".to_owned(), password: Secret::new("a-password") };
        let server = server_with(ServerOptions { sasl: vec![kafka.clone()], ..ServerOptions::default() }).await;
        let root = session(&server.address()).await;
        root.multi(vec![ZkOp::create("/kafka", "", ZkAcl::world_all())]).await.expect("a chroot");
        let config = ZkClientConfig::from_connect_string(&format!("{}/kafka", server.address())).expect("an address");
        let identified = ZooKeeperConnector::new(ZkClientConfig { sasl: Some(kafka), ..config });
        make_cluster(&identified).await;
        let store = ZkStore::new(Arc::new(identified.clone()), ZkStoreOptions { secure: true, ..options() });
        let story = Story::new(92, 60);
        let mut writer = story.begin(&store, 1).await;
        story.tell(&mut *writer).await.expect("the story");
        story.is_told(&store).await;

        let owner = identified.connect().await.expect("a session with an identity");
        let (mut secret, mut open) = (0, 0);
        for parent in ["/config/users", "/config/brokers", "/delegation_token/tokens", "/config/topics"] {
            for name in owner.get_children(parent).await.expect("a list").names {
                let path = format!("{parent}/{name}");
                let (acl, _) = owner.get_acl(&path).await.expect("an access list");
                let entries = acl.entries();
                assert!(
                    entries.iter().any(|entry| (&*entry.scheme, &*entry.id) == ("sasl", "kafka")),
                    "{path}: {acl:?}"
                );
                let for_all = entries.iter().any(|entry| entry.scheme == "world");
                // What anyone may read, anyone may only read.
                assert_eq!(for_all, parent == "/config/topics", "{path}: {acl:?}");
                *if for_all { &mut open } else { &mut secret } += 1;
                assert_eq!(root.get_data(&format!("/kafka{path}")).await.is_ok(), for_all, "{path}");
            }
        }
        assert!(secret > 5 && open > 5, "{secret} secret and {open} open znodes");
    });
}

#[test]
fn real_what_is_too_large_is_left_out_and_what_is_larger_than_we_know_ends_the_chain() {
    run(async {
        const LIMIT: usize = 64 << 10;
        let max_buffer = Some(u32::try_from(LIMIT).expect("a small number"));
        let server = server_with(ServerOptions { max_buffer, ..ServerOptions::default() }).await;
        make_cluster(&connector(&server.address())).await;
        let connector = Arc::new(connector(&server.address()));
        let knowing = ZkStore::new(connector.clone(), ZkStoreOptions { request_size_max: LIMIT - 4096, ..options() });
        let story = Story::new(93, 0);
        let huge = batch(story.last(), topic(1, "huge", 8000));
        let small = batch(&huge.after, topic(2, "small", 20));
        let gone = batch(&small.after, vec![remove_topic(1)]);
        let mut writer = story.begin(&knowing, 1).await;
        writer.submit(huge).await.expect("the chain goes on without the topic");
        writer.submit(small).await.expect("a topic behind it");
        writer.submit(gone.clone()).await.expect("the deletion");
        let compared = knowing.compare(&gone.after, 10).await.expect("a comparison");
        assert_eq!(compared.differences, []);

        let unknowing = ZkStore::new(connector, options());
        let claimed = unknowing.claim(&leader(2), &log_up_to(&gone)).await.expect("a claim");
        assert_eq!(claimed.next, AfterClaim::Resume, "nothing is left out any more");
        let mut writer = unknowing.writer(claimed).await.expect("a writer");
        let error = writer.submit(batch(&gone.after, topic(3, "huge", 8000))).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("jute.maxbuffer"), "{error}");
    });
}

fn log_up_to(batch: &metadata_core::store::MetadataBatch) -> metadata_core::leadership::Expected {
    metadata_core::leadership::Expected::Log(metadata_core::leadership::LogExtent {
        epochs: vec![(batch.end().epoch, metadata_core::id::Offset(0))],
        end_offset: batch.end().end_offset,
        ..Default::default()
    })
}

#[test]
fn real_a_deleted_marker_stops_the_chain_and_a_sync_follows() {
    run(async {
        let chroot = chroot_of_shared_server().await;
        make_cluster(&connector(&chroot)).await;
        let story = Story::new(94, 24);
        let store = store(connector(&chroot));
        let mut writer = story.begin(&store, 1).await;
        session(&chroot).await.multi(vec![ZkOp::delete("/migration", None)]).await.expect("the operator's delete");
        let error = story.tell(&mut *writer).await.expect_err("nobody says where ZooKeeper is");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        let claimed = store.claim(&leader(1), &story.log()).await.expect("/controller is still ours");
        assert_eq!(claimed.next, AfterClaim::FullSync);
        let mut writer = store.writer(claimed).await.expect("a writer");
        writer.full_sync(story.last()).await.expect("a sync");
        story.is_told(&store).await;
    });
}

#[test]
fn real_a_sync_that_was_interrupted_is_followed_by_another() {
    run(async {
        let server = own_server().await;
        for fault in [ProxyFault::DropRequest, ProxyFault::LoseReply] {
            for at in 1..4 {
                let cluster = format!("/cluster-{fault:?}-{at}");
                let root = session(&server.address()).await;
                root.multi(vec![ZkOp::create(&*cluster, "", ZkAcl::world_all())]).await.expect("a chroot");
                let direct = format!("{}{cluster}", server.address());
                make_cluster(&connector(&direct)).await;
                let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
                let config = ZkClientConfig::from_connect_string(&format!("{}{cluster}", proxy.address()));
                let impatient = ZooKeeperConnector::new(ZkClientConfig {
                    session_timeout: Duration::from_secs(1),
                    connection_timeout: Duration::from_secs(1),
                    request_timeout: Duration::from_secs(20),
                    ..config.expect("an address")
                });
                let story = Story::new(95, 0);
                let dying = store(impatient);
                let mut writer = story.begin(&dying, 1).await;
                let much = batch(story.last(), topic(1, "wide", 300));
                proxy.fail(Requests::Multi, at, fault);
                proxy.set_refusing(true);
                let error = writer.full_sync(&much.after).await.expect_err("interrupted");
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");

                let successor = store(connector(&direct));
                let claimed = successor.claim(&leader(2), &log_up_to(&much)).await.expect("the successor's claim");
                assert_eq!(claimed.next, AfterClaim::FullSync, "{fault:?} at multi {at}");
                let mut writer = successor.writer(claimed).await.expect("its writer");
                writer.full_sync(&much.after).await.expect("the sync");
                let compared = successor.compare(&much.after, 10).await.expect("a comparison");
                assert_eq!(compared.differences, []);
            }
        }
    });
}

/// What Kafka's ZooKeeper-mode controller does: each of its writes checks the version of `/controller_epoch`.
#[test]
fn real_a_paused_zookeeper_controllers_write_bounces_off_the_claim() {
    run(async {
        let server = own_server().await;
        make_cluster(&connector(&server.address())).await;
        let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
        let broker = session(&proxy.address()).await;
        let epoch = broker.get_data("/controller_epoch").await.expect("the epoch").stat.version;
        proxy.set_frozen(true);
        let ops = vec![
            ZkOp::check("/controller_epoch", epoch),
            ZkOp::create("/brokers/topics/late", "{}", ZkAcl::world_all()),
        ];
        let late = broker.multi(ops);
        let store = store(connector(&server.address()));
        store.claim(&leader(1), &metadata_core::leadership::Expected::Nothing).await.expect("the claim");
        proxy.set_frozen(false);
        let error = late.await.expect_err("it was deposed meanwhile");
        assert!(error.is_definite() && error.to_string().contains("/controller_epoch"), "{error}");
        let direct = session(&server.address()).await;
        assert_eq!(direct.get_children("/brokers/topics").await.expect("a list").names, [] as [String; 0]);
    });
}
