//! Batches of several multis: whoever goes on in the middle of one must count as its predecessor did.

use store_zk::client::{SessionId, ZkAcl, ZkConnector, ZkOp};
use store_zk::project::{ProjectionContext, project};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};
use store_zk::testkit::proxy::{FaultProxy, ProxyFault, Requests};
use store_zk::{ZkStore, testkit};

use crate::fake_faults::{chain_session, cluster, eventually, kill_after, obstruct, until};
use crate::real_faults::{chroot_of_shared_server, connector, run};
use crate::records::{batch, config, new_leader, remove_topic, topic};
use crate::story::{Story, make_cluster, store};

/// Topics of 150 partitions, their leaders, and configs that brokers must hear of: 250 to 1000 ops a batch.
fn wide_story(seed: u64) -> Story {
    let mut story = Story::new(seed, 0);
    let all = [
        [topic(1, "wide-1", 150), topic(2, "wide-2", 150)].concat(),
        (0..150).map(|partition| new_leader(1, partition, 2)).chain(configs("1000")).collect(),
        [vec![remove_topic(1)], configs("2000")].concat(),
        [topic(3, "wide-3", 150), (0..100).map(|partition| new_leader(2, partition, 3)).collect()].concat(),
    ];
    for records in all {
        let next = batch(story.last(), records);
        story.batches.push(next);
    }
    story
}

fn configs(value: &str) -> Vec<metadata_core::record::VersionedRecord> {
    (0..130).map(|broker| config(4, &broker.to_string(), "log.cleaner.threads", Some(value))).collect()
}

/// One broker registers, or goes.
fn toggle_broker(present: bool) -> Vec<ZkOp> {
    match present {
        true => vec![ZkOp::create("/brokers/ids/1", "{}", ZkAcl::world_all())],
        false => vec![ZkOp::delete("/brokers/ids/1", None)],
    }
}

/// Multis that left a batch half written.
fn half_written(zookeeper: &FakeZooKeeper) -> usize {
    let in_the_middle = |op: &ZkOp| match op {
        ZkOp::SetData { path, data, .. } if path == "/migration" => {
            let marker = String::from_utf8_lossy(data);
            marker.contains("\"batch_end\":") && !marker.contains("\"batch_end\":null")
        }
        _ => false,
    };
    let applied = zookeeper.history().into_iter().filter(|multi| multi.outcome.is_ok());
    applied.filter(|multi| multi.ops.iter().any(in_the_middle)).count()
}

#[test]
fn the_batches_are_as_wide_as_they_should_be() {
    let context = |notify| ProjectionContext {
        zk_epoch: metadata_core::id::ZkControllerEpoch(2),
        secret: None,
        secure: false,
        notify,
    };
    for batch in wide_story(60).batches {
        let count = |notify| project(&batch.before, &batch.after, &context(notify)).ops.len();
        assert!((250..1000).contains(&count(true)), "{} ops", count(true));
    }
}

async fn begun(story: &Story, broker: bool) -> (FakeZooKeeper, ZkStore, Box<dyn metadata_core::store::StoreWriter>) {
    let (zookeeper, store) = cluster().await;
    if broker {
        zookeeper.foreign(toggle_broker(true)).expect("a broker");
    }
    let writer = story.begin(&store, 1).await;
    // The watch on the brokers needs a few turns.
    eventually(|| false).await;
    (zookeeper, store, writer)
}

#[tokio::test(start_paused = true)]
async fn a_controller_killed_inside_a_batch_is_succeeded_there_whatever_brokers_do_meanwhile() {
    let story = wide_story(61);
    for broker in [false, true] {
        let mut in_the_middle = 0;
        for applied in 0.. {
            let (zookeeper, _, mut writer) = begun(&story, broker).await;
            let whole = kill_after(&zookeeper, &mut *writer, &story, applied).await;
            zookeeper.foreign(toggle_broker(!broker)).expect("the broker comes, or goes");

            let successor = self::store(zookeeper.connector());
            let claimed = story.succeed(&successor, 2).await;
            in_the_middle += usize::from(claimed.batch_end.is_some());
            story.is_told(&successor).await;
            if whole {
                assert!(applied > 15, "the story has more multis than {applied}");
                break;
            }
        }
        assert!(in_the_middle > 10, "only {in_the_middle} successors began inside a batch");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_or_answer_inside_a_batch_loses_nothing_and_writes_nothing_twice() {
    let story = wide_story(62);
    let undisturbed = {
        let (zookeeper, _, mut writer) = begun(&story, true).await;
        let before = zookeeper.multi_count();
        story.tell(&mut *writer).await.expect("the story");
        assert!(half_written(&zookeeper) > 10, "the marker was hardly ever inside a batch");
        zookeeper.multi_count() - before
    };
    for fault in [Fault::DropRequest, Fault::LoseReply] {
        for at in 0..undisturbed as u64 {
            let (zookeeper, store, mut writer) = begun(&story, true).await;
            zookeeper.fail_multi(at, fault);
            zookeeper.foreign(toggle_broker(false)).expect("the broker goes");
            let end = story.tell(&mut *writer).await.unwrap_or_else(|error| panic!("{fault:?} at multi {at}: {error}"));
            assert_eq!(end, story.last().position(), "{fault:?} at multi {at}");
            story.is_told(&store).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn late_multis_from_inside_a_batch_bounce_off_the_new_claim() {
    let story = wide_story(63);
    for applied_late in 0..=8 {
        let (zookeeper, store, mut writer) = begun(&story, true).await;
        let old: SessionId = chain_session(&zookeeper);
        zookeeper.hold(old);
        let receipts: Vec<_> = story.batches.iter().map(|batch| writer.submit(batch.clone())).collect();
        until(|| zookeeper.held(old) == 8).await;
        zookeeper.release_some(old, applied_late);
        zookeeper.foreign(toggle_broker(false)).expect("the broker goes");
        zookeeper.linger(old);
        until(|| chain_session(&zookeeper) != old).await;
        let claims = zookeeper.multi_count();
        zookeeper.release(old);
        let late: Vec<_> = zookeeper.history().into_iter().skip(claims).filter(|m| m.session == Some(old)).collect();
        assert_eq!(late.len(), 8 - applied_late);
        assert!(late.iter().all(|multi| multi.outcome.is_err()), "a late multi was applied behind the new claim");
        assert_eq!(writer.barrier().await.expect("the chain goes on"), story.last().position());
        for receipt in receipts {
            receipt.await.expect("every batch is acknowledged");
        }
        assert!(half_written(&zookeeper) > 0);
        story.is_told(&store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_write_inside_a_batch_is_repaired_under_its_own_number() {
    let story = wide_story(64);
    let context = ProjectionContext {
        zk_epoch: metadata_core::id::ZkControllerEpoch(2),
        secret: None,
        secure: false,
        notify: true,
    };
    let mut disturbed = 0;
    for (at, batch) in story.batches.iter().enumerate() {
        let ops = project(&batch.before, &batch.after, &context).ops;
        for planned in ops.iter().step_by(17) {
            let (zookeeper, store, mut writer) = begun(&story, true).await;
            for earlier in &story.batches[..at] {
                writer.submit(earlier.clone()).await.expect("a batch before the disturbed one");
            }
            if planned.op.is_notification() || !obstruct(&zookeeper, &planned.op) {
                continue;
            }
            disturbed += 1;
            let end = story.tell_from(&mut *writer, batch.expected()).await.expect("the chain goes on");
            assert_eq!(end, story.last().position(), "batch {at}, {:?}", planned.op);
            assert!(store.foreign_writes() > 0);
            story.is_told(&store).await;
        }
    }
    assert!(disturbed > 20, "only {disturbed} ops could be disturbed");
}

/// A chroot of its own on the shared server: its path within the server, and the server's address.
async fn real_cluster() -> (String, &'static testkit::server::ZkServer) {
    let chroot = chroot_of_shared_server().await;
    let server = testkit::shared_server().await.expect("the server that gave the chroot");
    make_cluster(&connector(&chroot)).await;
    let path = chroot.strip_prefix(&server.address()).expect("the server's own address").to_owned();
    (path, server)
}

#[test]
fn real_a_lost_request_or_answer_inside_a_batch_loses_nothing() {
    run(async {
        let story = wide_story(65);
        for fault in [ProxyFault::DropRequest, ProxyFault::LoseReply] {
            for at in [0, 1, 2, 5, 8, 11, 14] {
                let (path, server) = real_cluster().await;
                let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
                let store = store(connector(&format!("{}{path}", proxy.address())));
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
fn real_a_controller_that_vanishes_inside_a_batch_is_succeeded_there() {
    run(async {
        let story = wide_story(66);
        let mut in_the_middle = 0;
        for at in 0..12 {
            let (path, server) = real_cluster().await;
            let direct = format!("{}{path}", server.address());
            let session = connector(&direct).connect().await.expect("a session");
            session.multi(toggle_broker(true)).await.expect("a broker");
            let proxy = FaultProxy::start(server.socket_address()).await.expect("a proxy");
            let dying = store(connector(&format!("{}{path}", proxy.address())));
            let mut writer = story.begin(&dying, 1).await;
            proxy.fail(Requests::Multi, at, ProxyFault::LoseReply);
            proxy.set_refusing(true);
            let receipts: Vec<_> = story.batches.iter().map(|batch| writer.submit(batch.clone())).collect();
            drop(writer);
            session.multi(toggle_broker(false)).await.expect("the broker goes");
            // The server has carried out that multi once the marker says so, or the proxy has cut.
            while proxy.seen(Requests::Multi) < at {
                tokio::task::yield_now().await;
            }
            let successor = store(connector(&direct));
            in_the_middle += usize::from(story.succeed(&successor, 2).await.batch_end.is_some());
            story.is_told(&successor).await;
            drop(receipts);
        }
        assert!(in_the_middle > 4, "only {in_the_middle} successors began inside a batch");
    });
}
