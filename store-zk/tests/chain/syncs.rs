//! Full syncs that are interrupted, repeated, refused; and what a request is too small for.

use std::sync::Arc;

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::{Offset, Position, TimestampMs};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{AfterClaim, Expected, LogExtent};
use metadata_core::projection::Projection;
use metadata_core::store::{MetadataStore, StoreWriter};
use store_zk::client::ZkOp;
use store_zk::testkit::fake::{FakeZooKeeper, Fault};
use store_zk::{ZkStore, ZkStoreOptions};

use crate::fake_faults::cluster;
use crate::records::{batch, config, partitions, remove_topic, topic};
use crate::story::{Story, leader, make_cluster, options, store};

/// The same image further on in the log.
fn later(image: &MetadataImage, by: i64) -> MetadataImage {
    let position = image.position();
    image.at(Position { end_offset: position.end_offset.plus(by), ..position }, TimestampMs(0))
}

/// A log that has all of the images of a test.
fn log(story: &Story) -> Expected {
    let epochs = vec![(story.base.position().epoch, Offset(0))];
    Expected::Log(LogExtent { epochs, end_offset: Offset(1_000_000), ..LogExtent::default() })
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_was_interrupted_is_never_resumed_as_if_it_were_done() {
    let other = Story::new(81, 40);
    for first in [true, false] {
        for fault in [Fault::DropRequest, Fault::LoseReply] {
            let mut whole = None;
            for at in 0.. {
                let (zookeeper, store) = cluster().await;
                let story = Story::new(80, 12);
                let mut writer = if first {
                    let claimed = store.claim(&leader(1), &Expected::Nothing).await.expect("the first claim");
                    store.writer(claimed).await.expect("the first writer")
                } else {
                    // The marker stands in the log, and all would be well to resume.
                    let mut writer = story.begin(&store, 1).await;
                    story.tell(&mut *writer).await.expect("the story");
                    writer
                };
                let image = later(other.last(), 10_000);
                let before = zookeeper.multi_count();
                if whole.is_some() {
                    zookeeper.fail_multi(at - 1, fault);
                    zookeeper.set_reachable(false);
                }
                let result = writer.full_sync(&image).await;
                let applied = zookeeper.multi_count() - before;
                let Some(whole) = whole else {
                    result.expect("an undisturbed sync");
                    whole = Some(applied);
                    continue;
                };
                if at > whole as u64 {
                    break;
                }
                assert_eq!(result.expect_err("interrupted").outcome(), Outcome::Unknown);
                drop(writer);
                zookeeper.set_reachable(true);
                let successor = self::store(zookeeper.connector());
                let claimed = successor.claim(&leader(2), &log(&story)).await.expect("the successor's claim");
                let untouched = applied == 0 && !first;
                let expected = if untouched || applied == whole { AfterClaim::Resume } else { AfterClaim::FullSync };
                assert_eq!(claimed.next, expected, "first: {first}, {fault:?} at multi {}", at - 1);
                let mut writer = successor.writer(claimed).await.expect("the successor's writer");
                if claimed.next == AfterClaim::FullSync {
                    let error = writer.submit(story.batches[0].clone()).await.expect_err("not in step yet");
                    assert_eq!(error.outcome(), Outcome::NotApplied);
                }
                writer.full_sync(&image).await.expect("the sync");
                let compared = successor.compare(&image, 10).await.expect("a comparison");
                assert_eq!(compared.differences, []);
            }
        }
    }
}

#[tokio::test]
async fn a_sync_packs_what_it_writes_and_one_that_writes_nothing_has_two_multis() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(82, 0);
    let before = zookeeper.multi_count();
    let mut writer = story.begin(&store, 1).await;
    let first = zookeeper.multi_count() - before;
    let ops: usize = zookeeper.history().iter().skip(before).map(|multi| multi.ops.len()).sum();
    assert!(first <= 4 + ops / 100, "{first} multis for {ops} ops");
    let before = zookeeper.multi_count();
    let report = writer.full_sync(&story.base).await.expect("a second sync");
    assert_eq!((report.written, report.deleted), (0, 0));
    assert!(zookeeper.multi_count() - before <= 2);
}

#[tokio::test]
async fn a_sync_that_would_delete_every_topic_is_refused_however_few_they_are() {
    for count in [1, 10] {
        let (zookeeper, _) = cluster().await;
        let options = ZkStoreOptions { deletions_share_max: 0.2, ..options() };
        let store = ZkStore::new(Arc::new(zookeeper.connector()), options);
        let empty = MetadataImage::empty().at(Story::new(83, 0).base.position(), TimestampMs(0));
        let topics = (0..count).flat_map(|number| topic(number, &format!("kept-{number}"), 1)).collect();
        let full = batch(&empty, topics).after;
        let claimed = store.claim(&leader(1), &Expected::Nothing).await.expect("a claim");
        let mut writer = store.writer(claimed).await.expect("a writer");
        writer.full_sync(&full).await.expect("a sync that adds");
        let before = zookeeper.dump();
        let error = writer.full_sync(&later(&empty, 10_000)).await.expect_err("every topic would go");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Invalid, Outcome::NotApplied), "{error}");
        assert_eq!(zookeeper.dump(), before);
    }
}

const LIMIT: usize = 16 << 10;

async fn small_requests() -> (FakeZooKeeper, ZkStore, Story, Box<dyn StoreWriter>) {
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    zookeeper.set_request_size_limit(LIMIT);
    let store = small_store(&zookeeper);
    let story = Story::new(84, 0);
    let writer = story.begin(&store, 1).await;
    (zookeeper, store, story, writer)
}

fn small_store(zookeeper: &FakeZooKeeper) -> ZkStore {
    ZkStore::new(Arc::new(zookeeper.connector()), ZkStoreOptions { request_size_max: LIMIT, ..options() })
}

/// What a successor would have to do.
async fn next_of_a_successor(zookeeper: &FakeZooKeeper, story: &Story, epoch: i32) -> AfterClaim {
    let successor = small_store(zookeeper);
    successor.claim(&leader(epoch), &log(story)).await.expect("the successor's claim").next
}

#[tokio::test(start_paused = true)]
async fn while_something_is_left_out_a_successor_compares_everything() {
    let (zookeeper, store, story, mut writer) = small_requests().await;
    let huge = batch(story.last(), topic(1, "huge", 3000));
    writer.submit(huge.clone()).await.expect("the chain goes on without the topic");
    // A sync leaves it out again, and does not call that done.
    let report = writer.full_sync(&huge.after).await.expect("a sync");
    assert!(report.unrepresentable.iter().any(|lost| lost.entity.contains("huge")), "{report:?}");
    let gone = batch(&huge.after, vec![remove_topic(1)]);
    assert_eq!(next_of_a_successor(&zookeeper, &story, 2).await, AfterClaim::FullSync);

    // The successor has deposed the writer; it starts from a sync and goes on.
    let claimed = store.claim(&leader(3), &log(&story)).await.expect("a claim");
    let mut writer = store.writer(claimed).await.expect("a writer");
    writer.full_sync(&huge.after).await.expect("a sync");
    writer.submit(gone.clone()).await.expect("a deletion of what was never there");
    let compared = store.compare(&gone.after, 10).await.expect("a comparison");
    assert_eq!(compared.differences, []);
    assert_eq!(next_of_a_successor(&zookeeper, &story, 4).await, AfterClaim::Resume);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_grew_too_large_is_deleted_as_it_stands() {
    let (zookeeper, store, story, mut writer) = small_requests().await;
    let small = batch(story.last(), topic(1, "growing", 2));
    let grown = batch(&small.after, partitions(1, 2..3000).collect());
    let gone = batch(&grown.after, vec![remove_topic(1)]);
    writer.submit(small).await.expect("a topic that fits");
    writer.submit(grown).await.expect("partitions that don't");
    assert!(zookeeper.dump().contains_key("/brokers/topics/growing/partitions/1/state"), "it stays as it is there");
    let named = store.left_out().into_iter().map(|lost| lost.entity).collect::<Vec<_>>();
    assert_eq!(named, ["topic growing"], "and whoever asks is told");
    writer.submit(gone.clone()).await.expect("the deletion");
    let compared = store.compare(&gone.after, 10).await.expect("a comparison");
    assert_eq!(compared.differences, []);
    assert_eq!(store.left_out(), []);
    assert_eq!(store.foreign_writes(), 0, "nothing had to be guessed");
    assert_eq!(next_of_a_successor(&zookeeper, &story, 2).await, AfterClaim::Resume);
}

#[tokio::test(start_paused = true)]
async fn what_fits_again_is_made_whole_also_behind_a_lost_connection() {
    let undisturbed = too_large_and_back(None).await;
    assert!(undisturbed >= 5, "{undisturbed} requests");
    for fault in [Fault::DropRequest, Fault::LoseReply] {
        for at in 0..undisturbed {
            too_large_and_back(Some((at, fault))).await;
        }
    }
}

/// A config that is too large for a while, with another change meanwhile. Returns how many requests it took.
async fn too_large_and_back(fault: Option<(u64, Fault)>) -> u64 {
    let (zookeeper, store, story, mut writer) = small_requests().await;
    let set =
        |before: &MetadataImage, name: &str, value: Option<&str>| batch(before, vec![config(4, "7", name, value)]);
    let huge = "x".repeat(2 * LIMIT);
    let steps = {
        let too_large = set(story.last(), "advertised.listeners", Some(&huge));
        let meanwhile = set(&too_large.after, "log.cleaner.threads", Some("2"));
        let fits = set(&meanwhile.after, "advertised.listeners", None);
        let next = set(&fits.after, "log.cleaner.threads", Some("3"));
        [too_large, meanwhile, fits, next]
    };
    let before = zookeeper.request_count();
    if let Some((at, fault)) = fault {
        zookeeper.fail_request(at, fault);
    }
    let receipts: Vec<_> = steps.iter().map(|step| writer.submit(step.clone())).collect();
    for receipt in receipts {
        receipt.await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    }
    let requests = zookeeper.request_count() - before;
    let compared = store.compare(&steps[3].after, 10).await.expect("a comparison");
    assert_eq!(compared.differences, [], "{fault:?}");
    assert_eq!(next_of_a_successor(&zookeeper, &story, 2).await, AfterClaim::Resume);
    requests
}

#[tokio::test(start_paused = true)]
async fn a_deleted_marker_in_the_middle_of_a_sync_ends_it() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(85, 0);
    let mut writer = story.begin(&store, 1).await;
    zookeeper.foreign(vec![ZkOp::delete("/migration", None)]).expect("the operator's delete");
    let error = writer.full_sync(&later(&story.base, 10)).await.expect_err("nobody says where ZooKeeper is");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}
