//! Each rule of the chain on the in-memory ZooKeeper, with a fault at every point where it can strike.

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::{Offset, Position, TimestampMs};
use metadata_core::image::{ConfigResource, MetadataDelta};
use metadata_core::leadership::{AfterClaim, Expected, LogExtent};
use metadata_core::projection::Projection;
use metadata_core::record::{ConfigRecord, TopicRecord, VersionedRecord};
use metadata_core::store::{MetadataStore, StoreWriter};
use metadata_core::uuid::Uuid;
use store_zk::client::{CreateMode, SessionId, ZkAcl, ZkOp};
use store_zk::project::{ProjectionContext, ZnodeOp, project};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};
use store_zk::{ZkStore, ZkStoreOptions};

use crate::records::{batch, topic};
use crate::story::{Story, leader, make_cluster, options, store};

pub(crate) async fn cluster() -> (FakeZooKeeper, ZkStore) {
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    let store = store(zookeeper.connector());
    (zookeeper, store)
}

/// The session of the claim made last: the chain's.
pub(crate) fn chain_session(zookeeper: &FakeZooKeeper) -> SessionId {
    let history = zookeeper.history();
    let claim = history.iter().rev().find(|multi| multi.ops.iter().any(|op| op.path() == "/controller"));
    claim.and_then(|multi| multi.session).expect("a claim was made")
}

/// Lets the other tasks run until the condition holds; says whether it ever did.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..1_000 {
        if condition() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

pub(crate) async fn until(condition: impl FnMut() -> bool) {
    assert!(eventually(condition).await, "it never came");
}

/// Tells the story until the server has carried out exactly so many multis; then the controller is gone with all that is in
/// flight. Returns whether the story was over before.
pub(crate) async fn kill_after(
    zookeeper: &FakeZooKeeper,
    writer: &mut dyn StoreWriter,
    story: &Story,
    applied: usize,
) -> bool {
    let session = chain_session(zookeeper);
    zookeeper.hold(session);
    for batch in &story.batches {
        drop(writer.submit(batch.clone()));
    }
    let mut whole = false;
    for _ in 0..applied {
        if !eventually(|| zookeeper.held(session) > 0).await {
            whole = true;
            break;
        }
        zookeeper.release_some(session, 1);
        tokio::task::yield_now().await;
    }
    zookeeper.set_reachable(false);
    zookeeper.disconnect_after(session, 0);
    writer.barrier().await.expect_err("nothing is reachable");
    zookeeper.set_reachable(true);
    whole
}

#[tokio::test]
async fn a_story_without_faults_is_told_whole_and_in_few_multis() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(1, 200);
    let mut writer = story.begin(&store, 1).await;
    let before = zookeeper.multi_count();
    story.tell(&mut *writer).await.expect("the story");
    story.is_told(&store).await;
    let multis = zookeeper.multi_count() - before;
    assert!(multis <= story.batches.len() * 2, "{multis} multis for {} batches", story.batches.len());
}

#[tokio::test(start_paused = true)]
async fn a_request_or_an_answer_lost_at_any_multi_loses_nothing_and_writes_nothing_twice() {
    let story = Story::new(2, 80);
    let undisturbed = {
        let (zookeeper, store) = cluster().await;
        let mut writer = story.begin(&store, 1).await;
        let begun = zookeeper.multi_count();
        story.tell(&mut *writer).await.expect("the story");
        zookeeper.multi_count() - begun
    };
    for fault in [Fault::DropRequest, Fault::LoseReply] {
        for at in 0..undisturbed as u64 {
            let (zookeeper, store) = cluster().await;
            let mut writer = story.begin(&store, 1).await;
            zookeeper.fail_multi(at, fault);
            let end = story.tell(&mut *writer).await.unwrap_or_else(|error| panic!("{fault:?} at multi {at}: {error}"));
            assert_eq!(end, story.last().position(), "{fault:?} at multi {at}");
            story.is_told(&store).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_killed_between_any_two_multis_is_succeeded_at_that_very_op() {
    let story = Story::new(3, 60);
    for applied in 0.. {
        let (zookeeper, store) = cluster().await;
        let mut writer = story.begin(&store, 1).await;
        let whole = kill_after(&zookeeper, &mut *writer, &story, applied).await;

        let successor = self::store(zookeeper.connector());
        story.succeed(&successor, 2).await;
        story.is_told(&successor).await;
        if whole {
            assert!(applied > 10, "the story has more multis than that");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn late_multis_of_an_expired_session_bounce_off_the_new_claim() {
    let story = Story::new(4, 60);
    for applied_late in 0..=8 {
        let (zookeeper, store) = cluster().await;
        let mut writer = story.begin(&store, 1).await;
        let old = chain_session(&zookeeper);
        zookeeper.hold(old);
        let mut receipts = Vec::new();
        for batch in &story.batches {
            receipts.push(writer.submit(batch.clone()));
        }
        until(|| zookeeper.held(old) == 8).await;
        // Some are carried out while the client already thinks that its session is over, the rest after the new claim.
        zookeeper.release_some(old, applied_late);
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
        story.is_told(&store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_never_possible_whatever_is_cut_when() {
    // Whatever happens, what ZooKeeper applied of our multis is a prefix of what was issued, seen in the marker.
    for seed in 0..30 {
        let story = Story::new(100 + seed, 40);
        let (zookeeper, store) = cluster().await;
        let mut writer = story.begin(&store, 1).await;
        zookeeper.fail_multi(seed % 7, if seed % 2 == 0 { Fault::DropRequest } else { Fault::LoseReply });
        if seed % 3 == 0 {
            zookeeper.fail_request(seed % 5, Fault::LoseReply);
        }
        story.tell(&mut *writer).await.expect("the story");
        let mut version = None;
        for multi in zookeeper.history().iter().filter(|multi| multi.outcome.is_ok()) {
            for op in &multi.ops {
                if let ZkOp::SetData { path, version: Some(at), .. } = op
                    && path == "/migration"
                {
                    assert!(version.is_none_or(|before: i32| at.0 == before + 1), "seed {seed}: a marker was skipped");
                    version = Some(at.0);
                }
            }
        }
        story.is_told(&store).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_write_under_any_op_is_repaired_and_counted_as_no_success_of_ours() {
    let story = Story::new(5, 24);
    let context = ProjectionContext {
        zk_epoch: metadata_core::id::ZkControllerEpoch(2),
        secret: None,
        secure: false,
        notify: false,
    };
    let mut disturbed = 0;
    for (at, batch) in story.batches.iter().enumerate() {
        let ops = project(&batch.before, &batch.after, &context).ops;
        for (index, planned) in ops.iter().enumerate() {
            let (zookeeper, store) = cluster().await;
            let mut writer = story.begin(&store, 1).await;
            for earlier in &story.batches[..at] {
                writer.submit(earlier.clone()).await.expect("a batch before the disturbed one");
            }
            if !obstruct(&zookeeper, &planned.op) {
                continue;
            }
            disturbed += 1;
            let rest = story.tell_from(&mut *writer, batch.expected()).await;
            assert_eq!(rest.expect("the chain goes on"), story.last().position(), "batch {at}, op {index}");
            story.is_told(&store).await;
        }
    }
    assert!(disturbed > 30, "only {disturbed} ops could be disturbed");
}

/// Makes an op fail that is about to come: creates what it will create, deletes what it will set or delete.
pub(crate) fn obstruct(zookeeper: &FakeZooKeeper, op: &ZnodeOp) -> bool {
    let ops = match op {
        ZnodeOp::Create { path, .. } => vec![ZkOp::create(&**path, "foreign", ZkAcl::world_all())],
        ZnodeOp::Set { path, .. } | ZnodeOp::Delete { path } => vec![ZkOp::delete(&**path, None)],
    };
    // A node whose parent is not there yet, or that has children, can't be obstructed so.
    zookeeper.foreign(ops).is_ok()
}

#[tokio::test]
async fn an_operator_who_deletes_the_marker_stops_the_chain_before_it_writes_more() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(6, 12);
    let mut writer = story.begin(&store, 1).await;
    zookeeper.foreign(vec![ZkOp::delete("/migration", None)]).expect("the operator's delete");
    let before = zookeeper.dump();
    let error = writer.submit(story.batches[0].clone()).await.expect_err("the marker is gone");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied), "{error}");
    assert_eq!(zookeeper.dump(), before, "something was written behind the deletion");

    // /controller is still ours: the table lets us claim, and a full sync follows.
    let claimed = store.claim(&leader(2), &story.log()).await.expect("a claim without a marker");
    assert_eq!(claimed.next, AfterClaim::FullSync);
    let mut writer = store.writer(claimed).await.expect("a writer");
    writer.full_sync(story.last()).await.expect("a sync");
    story.is_told(&store).await;
}

/// Whoever has nothing to write asks all the same, now and then, and must not take himself for the controller.
#[tokio::test]
async fn a_marker_that_is_deleted_shows_at_the_next_barrier_though_nothing_is_written() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(6, 12);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    writer.barrier().await.expect("nothing has happened");
    zookeeper.foreign(vec![ZkOp::delete("/migration", None)]).expect("the operator's delete");
    let error = writer.barrier().await.expect_err("the marker is gone");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn after_a_zk_controller_was_elected_nothing_is_claimed() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(7, 12);
    drop(story.begin(&store, 1).await);
    // A rollback by hand that left the marker: a broker was elected.
    let ops = vec![
        ZkOp::set_data("/controller_epoch", "9", None),
        ZkOp::delete("/controller", None),
        ZkOp::create(
            "/controller",
            r#"{"version":2,"brokerid":1,"timestamp":"1","kraftControllerEpoch":-1}"#,
            ZkAcl::world_all(),
        ),
    ];
    zookeeper.foreign(ops).expect("the election");
    let before = zookeeper.dump();
    let error = store.claim(&leader(2), &story.log()).await.expect_err("a ZooKeeper controller governs");
    assert_eq!(error.kind(), ErrorKind::GovernedElsewhere, "{error}");
    assert_eq!(zookeeper.dump(), before);
}

#[tokio::test]
async fn a_sync_that_would_delete_most_topics_is_refused_before_it_writes() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(9, 4);
    drop(story.begin(&store, 1).await);
    let careful = ZkStore::new(
        std::sync::Arc::new(zookeeper.connector()),
        ZkStoreOptions { deletions_share_max: 0.2, ..options() },
    );
    let mut many = MetadataDelta::new(&story.base);
    for index in 0..30 {
        let id = metadata_core::id::TopicId(Uuid::from_u64_pair(9, index));
        many.replay(&TopicRecord { name: format!("kept-{index}"), topic_id: id, ..Default::default() }.into())
            .expect("a topic");
    }
    let full = many.apply(Position { end_offset: Offset(500), ..story.base.position() }, TimestampMs(0));
    let epochs = vec![(full.position().epoch, Offset(0))];
    let extent = LogExtent { epochs, end_offset: Offset(900), ..LogExtent::default() };
    let claimed = store.claim(&leader(2), &Expected::Log(extent.clone())).await.expect("a claim");
    store.writer(claimed).await.expect("a writer").full_sync(&full).await.expect("a sync that adds");

    let claimed = careful.claim(&leader(3), &Expected::Log(extent)).await.expect("a claim");
    let mut writer = careful.writer(claimed).await.expect("a writer");
    let before = zookeeper.dump();
    let nearly_empty = story.base.at(Position { end_offset: Offset(600), ..story.base.position() }, TimestampMs(0));
    let error = writer.full_sync(&nearly_empty).await.expect_err("30 topics would go");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Invalid, Outcome::NotApplied), "{error}");
    assert!(error.to_string().contains("kept-"), "the topics are named: {error}");
    assert_eq!(zookeeper.dump(), before);
}

#[tokio::test]
async fn an_op_above_the_servers_limit_is_never_sent_and_the_chain_goes_on() {
    const LIMIT: usize = 16 << 10;
    let zookeeper = FakeZooKeeper::new();
    make_cluster(&zookeeper.connector()).await;
    zookeeper.set_request_size_limit(LIMIT);
    let options = ZkStoreOptions { request_size_max: LIMIT, ..options() };
    let store = ZkStore::new(std::sync::Arc::new(zookeeper.connector()), options);
    let story = Story::new(10, 0);
    let mut writer = story.begin(&store, 1).await;

    let huge = batch(story.last(), topic(1, "huge", 3000));
    let end = writer.submit(huge.clone()).await.expect("the chain goes on without the topic");
    assert_eq!(end, huge.end());
    let config = ConfigRecord {
        resource_type: ConfigResource::topic("x").resource_type.code(),
        resource_name: "huge".into(),
        name: "retention.ms".into(),
        value: Some("1".into()),
        ..Default::default()
    };
    let later = batch(&huge.after, vec![VersionedRecord::new(config, 0)]);
    writer.submit(later.clone()).await.expect("what depends on the topic is left out with it");

    assert!(!zookeeper.dump().contains_key("/brokers/topics/huge"));
    let comparison = store.compare(&later.after, 10).await.expect("a comparison");
    assert!(comparison.total().divergent > 0, "what is left out shows as divergence");
    assert!(comparison.differences.iter().all(|difference| difference.entity.contains("huge")));

    // A sync finds the same, reports it, and does not fail on it.
    let report = writer.full_sync(&later.after).await.expect("a sync");
    assert!(report.unrepresentable.iter().any(|lost| lost.entity.contains("huge")), "{report:?}");
}

#[tokio::test]
async fn notifications_are_written_while_a_broker_is_there_and_only_then() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(11, 0);
    let mut writer = story.begin(&store, 1).await;
    let topic = batch(story.last(), topic(1, "noted", 1));
    writer.submit(topic.clone()).await.expect("a topic");
    let set = |before: &_, value: &str| {
        let record = ConfigRecord {
            resource_type: 2,
            resource_name: "noted".into(),
            name: "retention.ms".into(),
            value: Some(value.into()),
            ..Default::default()
        };
        batch(before, vec![VersionedRecord::new(record, 0)])
    };
    let changes = |zookeeper: &FakeZooKeeper| -> Vec<String> {
        let dump = zookeeper.dump();
        let children = dump.iter().filter(|(path, _)| path.starts_with("/config/changes/"));
        children.map(|(_, node)| String::from_utf8_lossy(&node.data).into_owned()).collect()
    };
    let unheard = set(&topic.after, "1");
    writer.submit(unheard.clone()).await.expect("a config that nobody waits for");
    assert_eq!(changes(&zookeeper), [] as [String; 0]);

    let broker = ZkOp::Create {
        path: "/brokers/ids/1".into(),
        data: "{}".into(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::Persistent,
    };
    zookeeper.foreign(vec![broker]).expect("a broker registers");
    let heard = set(&unheard.after, "2");
    // The watch needs a few turns to fire; nothing else runs here.
    eventually(|| false).await;
    writer.submit(heard).await.expect("a config that the broker waits for");
    assert_eq!(changes(&zookeeper), [r#"{"version":2,"entity_path":"topics/noted"}"#]);
}

#[tokio::test(start_paused = true)]
async fn notifications_are_removed_a_quarter_of_an_hour_after_they_were_made_and_not_before() {
    let (zookeeper, _) = cluster().await;
    let options = ZkStoreOptions { now: || TimestampMs(20 * 60 * 1000), ..options() };
    let store = ZkStore::new(std::sync::Arc::new(zookeeper.connector()), options);
    let story = Story::new(12, 8);
    let writer = story.begin(&store, 1).await;
    let sequential = |path: &str| ZkOp::Create {
        path: path.into(),
        data: "{}".into(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::PersistentSequential,
    };
    let both = || vec![sequential("/config/changes/config_change_"), sequential("/kafka-acl-changes/acl_changes_")];
    zookeeper.foreign(both()).expect("old notifications");
    zookeeper.set_time_ms(10 * 60 * 1000);
    zookeeper.foreign(both()).expect("young notifications");
    let left = |zookeeper: &FakeZooKeeper| -> Vec<String> {
        let dump = zookeeper.dump();
        let roots = ["/config/changes/", "/kafka-acl-changes/"];
        dump.keys().filter(|path| roots.iter().any(|root| path.starts_with(root))).cloned().collect()
    };
    assert_eq!(left(&zookeeper).len(), 4);
    tokio::time::sleep(std::time::Duration::from_secs(301)).await;
    let young = ["/config/changes/config_change_0000000001", "/kafka-acl-changes/acl_changes_0000000001"];
    assert_eq!(left(&zookeeper), young);
    // The chain goes on as if nothing had happened.
    let mut writer = writer;
    story.tell(&mut *writer).await.expect("the story");
    story.is_told(&store).await;
}

#[tokio::test]
async fn in_secure_mode_credentials_are_the_creators_alone_by_their_full_path() {
    let zookeeper = FakeZooKeeper::new();
    let connector = zookeeper.connector().with_digest("kafka", "a-password");
    make_cluster(&connector).await;
    let store = ZkStore::new(std::sync::Arc::new(connector), ZkStoreOptions { secure: true, ..options() });
    let story = Story::new(13, 60);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    story.is_told(&store).await;
    let mut judged = 0;
    for (path, node) in zookeeper.dump() {
        let open = node.acl.entries().iter().any(|entry| entry.scheme == "world");
        let secret = ["/config/users/", "/config/brokers/", "/delegation_token/tokens/"];
        if secret.iter().any(|prefix| path.starts_with(prefix)) {
            assert!(!open, "{path} can be read by anyone (L17)");
            judged += 1;
        }
    }
    assert!(judged > 5, "only {judged} secret znodes");
}

/// A successor that lacks the image at the marker syncs, though it could resume: what a predecessor had begun is over then.
#[tokio::test(start_paused = true)]
async fn after_a_sync_in_place_of_a_resumption_the_next_batch_is_written_from_its_first_op() {
    let story = Story::new(6, 60);
    let small = |zookeeper: &FakeZooKeeper| {
        let options = ZkStoreOptions { request_size_max: 6 << 10, ..options() };
        ZkStore::new(std::sync::Arc::new(zookeeper.connector()), options)
    };
    let mut within_a_batch = 0;
    for applied in 1..15 {
        let zookeeper = FakeZooKeeper::new();
        make_cluster(&zookeeper.connector()).await;
        let store = small(&zookeeper);
        let mut writer = story.begin(&store, 1).await;
        kill_after(&zookeeper, &mut *writer, &story, applied).await;

        let successor = small(&zookeeper);
        let mut claimed = successor.claim(&leader(2), &story.log()).await.expect("the successor's claim");
        within_a_batch += u32::from(claimed.batch_end.is_some());
        (claimed.next, claimed.batch_end) = (AfterClaim::FullSync, None);
        let mut writer = successor.writer(claimed).await.expect("the successor's writer");
        let middle = story.batches[9].after.clone();
        writer.full_sync(&middle).await.expect("the sync");
        story.tell_from(&mut *writer, middle.position()).await.expect("the rest of the story");
        story.is_told(&successor).await;
    }
    assert!(within_a_batch > 0, "the predecessor never died within a batch");
}
