//! Connections lost and claims deposed: what is told of each batch, and when the chain gives up.

use std::sync::Arc;

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{AfterClaim, Expected};
use metadata_core::projection::Projection;
use metadata_core::store::{MetadataBatch, MetadataStore};
use store_zk::client::{ZkAcl, ZkOp};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};
use store_zk::{ZkStore, ZkStoreOptions};

use crate::fake_faults::{chain_session, cluster, obstruct, until};
use crate::records::{batch, config, topic};
use crate::story::{Story, leader, make_cluster, options, store};

#[tokio::test(start_paused = true)]
async fn a_foreign_write_on_the_marker_is_not_counted_as_a_multi_of_ours() {
    let story = Story::new(70, 60);
    for (answered, writes) in [(true, 1), (false, 1), (true, 2), (true, 3), (false, 3), (true, 4)] {
        for applied in 0..8 {
            let (zookeeper, store) = cluster().await;
            let mut writer = story.begin(&store, 1).await;
            let session = chain_session(&zookeeper);
            zookeeper.hold(session);
            let receipts: Vec<_> = story.batches.iter().map(|batch| writer.submit(batch.clone())).collect();
            until(|| zookeeper.held(session) == 8).await;

            // Some are applied, then an operator writes what is there already, then the rest comes.
            if !answered {
                zookeeper.disconnect(session);
            }
            zookeeper.release_some(session, applied);
            let marker = zookeeper.dump().get("/migration").expect("a marker").data.clone();
            for _ in 0..writes {
                let set = ZkOp::set_data("/migration", marker.clone(), None);
                zookeeper.foreign(vec![set]).expect("the operator's write");
            }
            zookeeper.release(session);

            let end = writer.barrier().await.expect("the chain goes on");
            assert_eq!(end, story.last().position());
            for receipt in receipts {
                receipt.await.expect("every batch is acknowledged");
            }
            story.is_told(&store).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn foreign_writes_on_the_marker_are_not_counted_as_multis_that_never_came() {
    let story = Story::new(77, 60);
    for writes in 1..=4 {
        for received in 0..8 {
            let (zookeeper, store) = cluster().await;
            let mut writer = story.begin(&store, 1).await;
            let session = chain_session(&zookeeper);
            zookeeper.hold(session);
            let receipts: Vec<_> = story.batches.iter().map(|batch| writer.submit(batch.clone())).collect();
            until(|| zookeeper.held(session) == 8).await;
            zookeeper.disconnect_after(session, received);
            zookeeper.release(session);
            let marker = zookeeper.dump().get("/migration").expect("a marker").data.clone();
            for _ in 0..writes {
                let set = ZkOp::set_data("/migration", marker.clone(), None);
                zookeeper.foreign(vec![set]).expect("the operator's write");
            }
            assert_eq!(writer.barrier().await.expect("the chain goes on"), story.last().position());
            for receipt in receipts {
                receipt.await.expect("every batch is acknowledged");
            }
            story.is_told(&store).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_sent_is_told_as_not_applied_when_a_rival_claims() {
    let story = Story::new(71, 80);
    for applied in 0..=3 {
        let (zookeeper, store) = cluster().await;
        let mut writer = story.begin(&store, 1).await;
        let session = chain_session(&zookeeper);
        zookeeper.hold(session);
        let receipts: Vec<_> = story.batches.iter().map(|batch| writer.submit(batch.clone())).collect();
        until(|| zookeeper.held(session) == 8).await;
        // The server received three; some of them it carries out before a rival claims, the rest after.
        zookeeper.disconnect_after(session, 3);
        zookeeper.release_some(session, applied);
        let rival = self::store(zookeeper.connector());
        let claimed = rival.claim(&leader(2), &story.log()).await.expect("the rival's claim");
        zookeeper.release(session);

        let error = writer.barrier().await.expect_err("deposed");
        assert_eq!(error.kind(), ErrorKind::ControllerFenced, "{error}");
        let mut certain = 0;
        for (batch, receipt) in story.batches.iter().zip(receipts) {
            let error = receipt.await.expect_err("deposed");
            if error.outcome() == Outcome::NotApplied {
                certain += 1;
                let begun = claimed.batch_end == Some(batch.end().end_offset);
                assert!(batch.end() > claimed.position && !begun, "it is applied, or begun: {}", batch.end());
            }
        }
        assert!(certain > 0, "what was never sent is certain");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_a_part_is_there_is_never_told_as_not_applied() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(72, 0);
    let mut writer = story.begin(&store, 1).await;
    let session = chain_session(&zookeeper);
    zookeeper.hold(session);
    let wide = batch(story.last(), topic(1, "wide", 150));
    let behind = batch(&wide.after, topic(2, "behind", 1));
    let (wide, behind) = (writer.submit(wide), writer.submit(behind));
    until(|| zookeeper.held(session) > 3).await;
    zookeeper.release_some(session, 1);
    zookeeper.foreign(vec![ZkOp::set_data("/controller_epoch", "9", None)]).expect("an election");
    zookeeper.release(session);
    let error = wide.await.expect_err("deposed in the middle");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::Unknown));
    let error = behind.await.expect_err("deposed");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_confirmed_by_a_claim_over_someone_who_governed_meanwhile() {
    for governed in [false, true] {
        let (zookeeper, store) = cluster().await;
        let claimed = store.claim(&leader(1), &Expected::Nothing).await.expect("the first claim");
        assert_eq!(claimed.next, AfterClaim::Copy);
        let mut writer = store.writer(claimed).await.expect("a writer");
        let session = chain_session(&zookeeper);
        if governed {
            let ops = vec![
                ZkOp::set_data("/controller_epoch", "9", None),
                ZkOp::delete("/controller", None),
                ZkOp::create("/brokers/topics/unseen", "{}", ZkAcl::world_all()),
            ];
            zookeeper.foreign(ops).expect("a broker governs, and dies");
        }
        zookeeper.expire(session);
        let confirmed = writer.barrier().await.map_err(|error| error.kind());
        let expected = if governed { Err(ErrorKind::Conflict) } else { Ok(claimed.position) };
        assert_eq!(confirmed, expected, "governed: {governed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_while_looking_at_a_foreign_write_is_no_refusal() {
    let story = Story::new(73, 8);
    let first = store_zk::project::project(
        &story.batches[0].before,
        &story.batches[0].after,
        &store_zk::project::ProjectionContext {
            zk_epoch: metadata_core::id::ZkControllerEpoch(2),
            secret: None,
            secure: false,
            notify: false,
        },
    );
    for fault in [Fault::DropRequest, Fault::LoseReply] {
        // The refused multi, the barrier, a look at the node and one at its parent.
        for at in 1..=3 {
            let (zookeeper, store) = cluster().await;
            let mut writer = story.begin(&store, 1).await;
            assert!(first.ops.iter().any(|planned| obstruct(&zookeeper, &planned.op)), "nothing to obstruct");
            zookeeper.fail_request(at, fault);
            let end = story.tell(&mut *writer).await.unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            assert_eq!(end, story.last().position());
            story.is_told(&store).await;
        }
    }
}

/// Configs of brokers with a value of this many bytes each.
fn configs(before: &MetadataImage, brokers: std::ops::Range<i32>, bytes: usize) -> MetadataBatch {
    let value = "x".repeat(bytes);
    batch(before, brokers.map(|id| config(4, &id.to_string(), "advertised.listeners", Some(&value))).collect())
}

/// A server that takes requests up to `limit`, and a store that believes in `believed`.
async fn limited(limit: usize, believed: Option<usize>) -> (FakeZooKeeper, ZkStore) {
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    zookeeper.set_request_size_limit(limit);
    let defaults = options();
    let request_size_max = believed.unwrap_or(defaults.request_size_max);
    let store = ZkStore::new(Arc::new(zookeeper.connector()), ZkStoreOptions { request_size_max, ..defaults });
    (zookeeper, store)
}

#[tokio::test(start_paused = true)]
async fn multis_are_packed_to_the_servers_limit_and_not_beyond() {
    const LIMIT: usize = 16 << 10;
    let story = Story::new(74, 0);
    let many = configs(story.last(), 100..200, 1 << 10);
    let (_, store) = limited(LIMIT, Some(LIMIT)).await;
    let mut writer = story.begin(&store, 1).await;
    writer.submit(many.clone()).await.expect("as many multis as it takes");
    let written = store.compare(&many.after, 10).await.expect("a comparison");
    assert_eq!(written.differences, []);

    let (_, store) = limited(LIMIT, Some(LIMIT)).await;
    let mut writer = story.begin(&store, 1).await;
    let report = writer.full_sync(&many.after).await.expect("a sync in as many multis as it takes");
    assert_eq!(report.unrepresentable, []);
    let synced = store.compare(&many.after, 10).await.expect("a comparison");
    assert_eq!(synced.differences, []);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_the_server_never_takes_is_not_sent_for_ever() {
    let (_, store) = limited(64 << 10, None).await;
    let story = Story::new(75, 0);
    let mut writer = story.begin(&store, 1).await;
    let huge = configs(story.last(), 100..101, 100 << 10);
    let error = writer.submit(huge.clone()).await.expect_err("larger than the server takes");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let bytes = error.to_string().split_whitespace().filter_map(|word| word.parse().ok()).any(|n: usize| n > 100 << 10);
    assert!(bytes && error.to_string().contains("jute.maxbuffer"), "{error}");
    writer.barrier().await.expect_err("the chain has stopped");

    let (_, store) = limited(64 << 10, None).await;
    let mut writer = story.begin(&store, 1).await;
    let error = writer.full_sync(&huge.after).await.expect_err("larger than the server takes");
    assert!(error.to_string().contains("jute.maxbuffer"), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown, "the sync has begun");
}

#[tokio::test(start_paused = true)]
async fn loading_does_not_use_the_connection_of_the_chain() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(76, 0);
    let mut writer = story.begin(&store, 1).await;
    let session = chain_session(&zookeeper);
    zookeeper.hold(session);
    let waiting = writer.submit(batch(story.last(), topic(1, "held", 1)));
    until(|| zookeeper.held(session) > 0).await;
    let hour = std::time::Duration::from_secs(3600);
    let position = tokio::time::timeout(hour, store.position()).await.expect("it waits behind the chain's multis");
    assert_eq!(position.expect("a position"), story.last().position());
    zookeeper.release(session);
    waiting.await.expect("the batch");
}

#[tokio::test(start_paused = true)]
async fn asking_for_the_writer_of_an_old_claim_does_not_lose_the_newest() {
    let (_, store) = cluster().await;
    let old = store.claim(&leader(1), &Expected::Nothing).await.expect("a claim");
    let newest = store.claim(&leader(1), &Expected::Nothing).await.expect("another");
    assert!(store.writer(old).await.is_err());
    store.writer(newest).await.expect("the newest claim's writer");
}
