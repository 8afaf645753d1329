//! The way back on the in-memory ZooKeeper: one multi, whatever is lost, and nothing half written.

use std::sync::Arc;

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::give_back::{ControllerRole, GiveBackPlan, GiveBackStage, OwnLog};
use metadata_core::id::{KRaftLeaderEpoch, Position, ZkControllerEpoch};
use metadata_core::leadership::Expected;
use metadata_core::record::ZkMigrationState;
use metadata_core::store::MetadataStore;
use store_zk::ZkStore;
use store_zk::client::{CreateMode, ZkAcl, ZkConnector, ZkOp, ZkSession};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};

use crate::fake_faults::{cluster, kill_after};
use crate::records::{batch, topic};
use crate::story::{Story, leader, store};

const MARKER: &str = "/migration";
const CONTROLLER: &str = "/controller";
const EPOCH: &str = "/controller_epoch";

/// The log of a story, by a controller of this epoch.
fn log(story: &Story, epoch: i32, drained: Option<Position>) -> OwnLog {
    let Expected::Log(extent) = story.log() else { panic!("a story is a log") };
    OwnLog {
        state: ZkMigrationState::Migration,
        empty: false,
        epoch: KRaftLeaderEpoch(epoch),
        extent,
        drained,
        sealed: false,
    }
}

async fn plan(store: &ZkStore, story: &Story, epoch: i32, drained: bool) -> GiveBackPlan {
    let at = drained.then(|| story.last().position());
    store.plan_give_back(&log(story, epoch, at), story.last()).await.expect("a plan")
}

/// There is no marker and no controller, and this is the epoch.
fn assert_given_back(zookeeper: &FakeZooKeeper, epoch: &str) {
    let tree = zookeeper.dump();
    assert!(!tree.contains_key(MARKER) && !tree.contains_key(CONTROLLER), "something of ours is left");
    assert_eq!(tree[EPOCH].data, epoch);
}

/// What an election writes (Kafka: `KafkaZkClient.registerControllerAndIncrementControllerEpoch`).
async fn elect(zookeeper: &FakeZooKeeper, epoch: &str) -> Arc<dyn ZkSession> {
    let session = zookeeper.connector().connect().await.expect("a broker's session");
    let present = session.get_data(EPOCH).await.expect("an epoch").stat.version;
    let registration = ZkOp::Create {
        path: CONTROLLER.to_owned(),
        data: r#"{"version":2,"brokerid":1,"timestamp":"5","kraftControllerEpoch":-1}"#.into(),
        acl: ZkAcl::world_all(),
        mode: CreateMode::Ephemeral,
    };
    let ops = vec![registration, ZkOp::set_data(EPOCH, epoch.to_owned(), present)];
    session.multi(ops).await.expect("an election");
    session
}

#[tokio::test]
async fn dual_writing_is_given_back_in_one_multi_and_late_writes_bounce() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(31, 60);
    let mut writer = story.begin(&store, 7).await;
    story.tell(&mut *writer).await.expect("the story");
    let before = zookeeper.dump();
    let planned = plan(&store, &story, 7, true).await;
    assert_eq!((planned.stage, planned.unfinished.as_deref()), (GiveBackStage::Migrating, None));
    let raise = planned.raise.expect("the epoch is raised");
    // The claim made it 2, and the log is in epoch 7.
    assert_eq!((raise.present, raise.raised), (ZkControllerEpoch(2), ZkControllerEpoch(8)));
    assert_eq!(planned.partitions.epoch_max, Some(ZkControllerEpoch(2)), "states carry the claimed epoch");
    assert_eq!((planned.partitions.version_above, planned.partitions.version_below), (0, 0));
    assert!(planned.partitions.states > 10);
    for entry in &planned.deleted {
        assert_eq!(entry.data, before[&entry.path].data, "{}", entry.path);
        assert_eq!((entry.zk_version, entry.mzxid), (before[&entry.path].stat.version, before[&entry.path].stat.mzxid));
    }
    let multis = zookeeper.multi_count();
    store.give_back(&planned).await.expect("given back");
    assert_eq!(zookeeper.multi_count() - multis, 1, "one multi");
    assert_given_back(&zookeeper, "8");
    // Everything else is as it was.
    let mut after = zookeeper.dump();
    for path in [MARKER, CONTROLLER, EPOCH] {
        after.insert(path.to_owned(), before[path].clone());
    }
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(after.iter().all(|(path, node)| path == "/" || node.data == before[path].data));

    let error = writer.barrier().await.expect_err("the writer is deposed");
    assert_ne!(error.kind(), ErrorKind::Unavailable, "{error}");
    let late = store.claim(&leader(8), &story.log()).await.expect_err("no claim follows");
    assert_eq!(late.kind(), ErrorKind::GovernedElsewhere, "{late}");
    let again = plan(&store, &story, 8, false).await;
    assert_eq!((again.stage, again.writes()), (GiveBackStage::GivenBack, false));
    store.give_back(&again).await.expect("nothing to do");
}

#[tokio::test]
async fn a_lost_request_or_answer_leaves_all_of_it_or_nothing_and_the_next_plan_tells() {
    for (fault, happened) in [(Fault::DropRequest, false), (Fault::LoseReply, true)] {
        let (zookeeper, store) = cluster().await;
        let story = Story::new(32, 20);
        let mut writer = story.begin(&store, 1).await;
        story.tell(&mut *writer).await.expect("the story");
        let planned = plan(&store, &story, 1, true).await;
        zookeeper.fail_multi(0, fault);
        let error = store.give_back(&planned).await.expect_err("nobody answers");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown), "{fault:?}: {error}");
        assert_eq!(!zookeeper.dump().contains_key(MARKER), happened, "{fault:?}");
        let next = plan(&store, &story, 1, true).await;
        let expected = if happened { GiveBackStage::GivenBack } else { GiveBackStage::Migrating };
        assert_eq!(next.stage, expected, "{fault:?}");
        store.give_back(&next).await.expect("the rest");
        assert_given_back(&zookeeper, "3");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_half_written_holds_it_back_until_a_successor_has_finished_it() {
    // A batch that takes several multis.
    let base = Story::new(33, 0).base;
    let wide = batch(&base, topic(900, "wide", 300));
    let story = Story { base, batches: vec![wide] };
    let mut half = 0;
    for applied in 0..12 {
        let (zookeeper, store) = cluster().await;
        let mut writer = story.begin(&store, 1).await;
        if kill_after(&zookeeper, &mut *writer, &story, applied).await {
            break;
        }
        let planned = plan(&store, &story, 2, false).await;
        if planned.unfinished.is_some() {
            half += 1;
            let before = zookeeper.dump();
            let error = store.give_back(&planned).await.expect_err("half a batch");
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied), "{error}");
            assert_eq!(zookeeper.dump(), before, "nothing is given back half way");
        }
        story.succeed(&store, 2).await;
        let planned = plan(&store, &story, 2, true).await;
        store.give_back(&planned).await.expect("given back at a whole batch");
        story.is_told(&store).await;
    }
    assert!(half > 1, "no kill fell into the batch, so nothing was shown");
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_never_ended_holds_it_back() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(34, 10);
    let claimed = store.claim(&leader(1), &Expected::Nothing).await.expect("a claim");
    let mut writer = store.writer(claimed).await.expect("a writer");
    // Nobody can tell that nothing was written yet.
    assert!(plan(&store, &story, 1, false).await.unfinished.is_some());
    writer.full_sync(&story.base).await.expect("a first sync");
    // Of the second one the first multi arrives, and then nobody is there.
    zookeeper.fail_multi(1, Fault::DropRequest);
    zookeeper.set_reachable(false);
    writer.full_sync(story.last()).await.expect_err("nothing is reachable");
    zookeeper.set_reachable(true);
    let planned = plan(&store, &story, 1, false).await;
    assert!(planned.unfinished.is_some_and(|reason| reason.contains("full sync")), "{:?}", planned.position);
}

#[tokio::test]
async fn an_election_between_the_plan_and_the_multi_fails_it_whole() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(35, 20);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    let planned = plan(&store, &story, 1, true).await;
    // An operator deletes /controller, as Kafka's documents say, and a broker is quick.
    zookeeper.foreign(vec![ZkOp::delete(CONTROLLER, None)]).expect("deleted by hand");
    let _broker = elect(&zookeeper, "3").await;
    let before = zookeeper.dump();
    let error = store.give_back(&planned).await.expect_err("the epoch moved");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied), "{error}");
    assert_eq!(zookeeper.dump(), before);
    // What is left then is the marker, and the broker that governs is not disturbed.
    let next = plan(&store, &story, 1, false).await;
    assert_eq!((next.stage, next.raise), (GiveBackStage::MarkerLeft, None));
    store.give_back(&next).await.expect("the marker goes");
    let tree = zookeeper.dump();
    assert!(!tree.contains_key(MARKER));
    assert_eq!((tree[EPOCH].data.as_ref(), tree[EPOCH].stat.version), (&b"3"[..], before[EPOCH].stat.version));
    let now = store.governance().await.expect("somebody governs");
    assert_eq!((now.elected_broker().map(|id| id.0), now.marker), (Some(1), false));
}

#[tokio::test]
async fn partitions_whose_znode_version_is_not_their_epoch_are_counted_and_named() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(36, 20);
    let mut writer = story.begin(&store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    let tree = zookeeper.dump();
    let (path, node) = tree.iter().find(|(path, _)| path.ends_with("/state")).expect("a partition");
    let epoch = r#"{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":40,"isr":[1]}"#;
    zookeeper.foreign(vec![ZkOp::set_data(path.as_str(), epoch, node.stat.version)]).expect("a foreign write");
    let planned = plan(&store, &story, 1, true).await;
    assert_eq!((planned.partitions.version_above, planned.partitions.version_below), (1, 0));
    let topic = path.split('/').nth(3).expect("a topic");
    assert!(planned.partitions.named[0].contains(topic), "{:?}", planned.partitions.named);
    // The epoch that somebody wrote there is no trap for the next controller.
    assert_eq!(planned.raise.expect("raised").raised, ZkControllerEpoch(41));
    store.give_back(&planned).await.expect("given back");
    assert_eq!(store.partition_epoch_max().await.expect("an epoch"), Some(ZkControllerEpoch(40)));
    assert_given_back(&zookeeper, "41");
}

#[tokio::test]
async fn after_a_rollback_another_log_begins_anew() {
    let (zookeeper, first) = cluster().await;
    let story = Story::new(37, 40);
    let mut writer = story.begin(&first, 9).await;
    story.tell(&mut *writer).await.expect("the story");
    let planned = plan(&first, &story, 9, true).await;
    first.give_back(&planned).await.expect("given back");
    drop(writer);
    let _broker = elect(&zookeeper, "11").await;
    // The same znodes, under a log whose epochs begin at 1 again.
    let second = store(zookeeper.connector());
    let mut writer = story.begin(&second, 1).await;
    story.tell(&mut *writer).await.expect("the story again");
    story.is_told(&second).await;
}

/// A `/migration` without data counts as none here too (KAFKA-19480): the role is given back, and the empty node stays.
#[tokio::test]
async fn an_empty_marker_keeps_nobody_from_going_back() {
    let (zookeeper, zk_store) = cluster().await;
    let story = Story::new(131, 12);
    let mut writer = story.begin(&zk_store, 1).await;
    story.tell(&mut *writer).await.expect("the story");
    drop(writer);
    zookeeper.foreign(vec![ZkOp::set_data(MARKER, "", None)]).expect("somebody empties it");
    let plan = plan(&zk_store, &story, 1, true).await;
    assert_eq!(plan.stage, GiveBackStage::ControllerLeft);
    zk_store.give_back(&plan).await.expect("it is given back");
    assert!(!zookeeper.dump().contains_key(CONTROLLER), "our registration is left");
}
