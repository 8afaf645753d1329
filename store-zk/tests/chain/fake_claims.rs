//! Claims whose answer is lost, claims over what somebody did by hand, and what those write who were deposed by one.

use metadata_core::error::{Error, ErrorKind, Outcome};
use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs, ZkVersion};
use metadata_core::leadership::{AfterClaim, Expected, LogExtent};
use metadata_core::store::{Claimed, MetadataStore};
use store_zk::ZkStore;
use store_zk::client::{ZkAcl, ZkCode, ZkConnector, ZkError, ZkOp};
use store_zk::testkit::fake::{FakeZooKeeper, Fault};
use store_zk::znode::marker::Marker;

use crate::fake_faults::{chain_session, cluster};
use crate::story::{Story, leader, store};

/// What a broker writes when it is elected.
fn elect_broker(zookeeper: &FakeZooKeeper) {
    let registration = r#"{"version":2,"brokerid":1,"timestamp":"1","kraftControllerEpoch":-1}"#;
    let ops = vec![
        ZkOp::set_data("/controller_epoch", "9", None),
        ZkOp::create("/controller", registration, ZkAcl::world_all()),
    ];
    zookeeper.foreign(ops).expect("an election");
}

fn delete(zookeeper: &FakeZooKeeper, path: &str) {
    zookeeper.foreign(vec![ZkOp::delete(path, None)]).expect("the operator's delete");
}

fn set(zookeeper: &FakeZooKeeper, path: &str, data: impl Into<bytes::Bytes>) {
    zookeeper.foreign(vec![ZkOp::set_data(path, data, None)]).expect("the operator's set");
}

fn version_of(zookeeper: &FakeZooKeeper, path: &str) -> ZkVersion {
    zookeeper.dump().get(path).unwrap_or_else(|| panic!("{path} is gone")).stat.version
}

/// A claim that must be refused, and must write nothing.
async fn refused(zookeeper: &FakeZooKeeper, store: &ZkStore, epoch: i32, expected: &Expected) -> Error {
    let before = zookeeper.dump();
    let error = store.claim(&leader(epoch), expected).await.expect_err("a claim that must be refused");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert_eq!(zookeeper.dump(), before, "{error}");
    error
}

/// The rest of the story after a claim, whatever it asks for.
async fn go_on(store: &ZkStore, story: &Story, claimed: Claimed) {
    let mut writer = store.writer(claimed).await.expect("a writer");
    let at = if claimed.next == AfterClaim::Resume {
        claimed.position
    } else {
        writer.full_sync(&story.base).await.expect("a sync");
        story.base.position()
    };
    story.tell_from(&mut *writer, at).await.expect("the story");
    story.is_told(store).await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_recognised_as_our_own() {
    for is_first in [true, false] {
        for fault in [Fault::DropRequest, Fault::LoseReply] {
            let (zookeeper, store) = cluster().await;
            let story = Story::new(101, 24);
            let log = if is_first { Expected::Nothing } else { story.log() };
            if !is_first {
                drop(story.begin(&store, 1).await);
            }
            let before = version_of(&zookeeper, "/controller_epoch");
            zookeeper.fail_multi(0, fault);
            let error = store.claim(&leader(2), &log).await.expect_err("no answer came");
            assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::Unknown), "{error}");

            let again = store.claim(&leader(2), &log).await.unwrap_or_else(|e| panic!("{fault:?}, {is_first}: {e}"));
            assert_eq!(again.next, if is_first { AfterClaim::Copy } else { AfterClaim::Resume });
            let claims = version_of(&zookeeper, "/controller_epoch").0 - before.0;
            assert_eq!(claims, if fault == Fault::LoseReply { 2 } else { 1 }, "{fault:?}");
            go_on(&store, &story, again).await;
        }
    }
}

#[tokio::test]
async fn what_a_deposed_zookeeper_controller_had_on_its_way_fails_after_the_claim() {
    let (zookeeper, store) = cluster().await;
    elect_broker(&zookeeper);
    let broker = zookeeper.connector().connect().await.expect("the broker's session");
    let guarded = |version| {
        vec![ZkOp::check("/controller_epoch", version), ZkOp::create("/brokers/topics/late", "{}", ZkAcl::world_all())]
    };
    let epoch = version_of(&zookeeper, "/controller_epoch");
    // It pauses with a write on its way.
    let session = *zookeeper.sessions().last().expect("it is there");
    zookeeper.hold(session);
    let late = broker.multi(guarded(epoch));
    store.claim(&leader(1), &Expected::Nothing).await.expect("the claim");
    zookeeper.release(session);
    let error = late.await.expect_err("it was deposed");
    assert!(
        matches!(&error, ZkError::Definite { code: ZkCode::BadVersion, path, .. } if path == "/controller_epoch"),
        "{error}"
    );
    assert!(!zookeeper.dump().contains_key("/brokers/topics/late"));
}

#[tokio::test]
async fn of_two_copies_of_a_log_that_both_went_on_only_the_one_that_wrote_zookeeper_claims() {
    let story = Story::new(102, 24);
    let of_copy = |began: i64| {
        let Expected::Log(extent) = story.log() else { panic!("the story has a log") };
        let epochs = [extent.epochs, vec![(KRaftLeaderEpoch(2), extent.end_offset)]].concat();
        let end_offset = extent.end_offset.plus(1);
        let began = [(KRaftLeaderEpoch(1), TimestampMs(10)), (KRaftLeaderEpoch(2), TimestampMs(began))].into();
        Expected::Log(LogExtent { epochs, end_offset, began })
    };
    let (first, second) = (of_copy(200), of_copy(201));
    let (zookeeper, store) = cluster().await;
    drop(story.begin(&store, 1).await);
    let claimed = store.claim(&leader(2), &first).await.expect("the copy that was started first");
    let mut writer = store.writer(claimed).await.expect("its writer");
    let (begun, rest) = story.batches.split_at(2);
    for batch in begun {
        writer.submit(batch.clone()).await.expect("a batch");
    }
    drop(writer);

    // The other copy has the same id, the same epoch, and as many records.
    let error = refused(&zookeeper, &store, 2, &second).await;
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("two copies of one data directory"), "{error}");

    let claimed = store.claim(&leader(2), &first).await.expect("the first copy goes on");
    assert_eq!((claimed.next, claimed.position), (AfterClaim::Resume, rest[0].expected()));
    go_on(&store, &story, claimed).await;
}

#[tokio::test]
async fn a_marker_without_data_counts_as_none() {
    // Kafka's tool for access lists makes it before there was a migration (KAFKA-19480).
    let (zookeeper, store) = cluster().await;
    let story = Story::new(103, 24);
    zookeeper.foreign(vec![ZkOp::create("/migration", "", ZkAcl::world_all())]).expect("an empty node");
    assert_eq!(store.position().await.expect("a position"), Position::START);
    let claimed = store.claim(&leader(1), &Expected::Nothing).await.expect("a claim over it");
    assert_eq!(claimed.next, AfterClaim::Copy);
    go_on(&store, &story, claimed).await;

    // Emptied while we hold /controller: as if it had been deleted.
    set(&zookeeper, "/migration", "");
    let claimed = store.claim(&leader(2), &story.log()).await.expect("/controller is ours");
    assert_eq!(claimed.next, AfterClaim::FullSync);
    go_on(&store, &story, claimed).await;

    // Emptied, and nobody holds /controller: nobody can say who governed since.
    set(&zookeeper, "/migration", "");
    delete(&zookeeper, "/controller");
    assert_eq!(refused(&zookeeper, &store, 3, &story.log()).await.kind(), ErrorKind::GovernedElsewhere);
}

#[tokio::test]
async fn a_marker_that_cannot_be_continued_is_refused_with_the_reason() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(104, 8);
    drop(story.begin(&store, 1).await);
    let ours = zookeeper.dump()["/migration"].data.clone();
    let text = String::from_utf8_lossy(&ours).into_owned();
    let mut kafkas = Marker::decode(Some(&ours)).expect("our marker");
    kafkas.chain = None;
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let table = [
        (changed(r#""version":0"#, r#""version":1"#), "version 1 is unknown"),
        (changed("MkU3OEVBNTcwNTJENDM2Qg", "AnotherClustersIdHere"), "cluster AnotherClustersIdHere"),
        (changed("J8aAPcfLQt2bqs1JT_rMgQ", "AnotherLogOfThisOne"), "log AnotherLogOfThisOne"),
        (changed(r#""sync":"done""#, r#""sync":"perhaps""#), "perhaps"),
        (kafkas.encode().to_vec(), "a controller of Kafka's own"),
        (b"{".to_vec(), "/migration"),
        (b"not JSON".to_vec(), "/migration"),
        (vec![0xff, 0xfe], "/migration"),
    ];
    for (data, reason) in table {
        set(&zookeeper, "/migration", data.clone());
        for log in [story.log(), Expected::Nothing] {
            let error = refused(&zookeeper, &store, 2, &log).await;
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(reason), "{:?}: {error}", String::from_utf8_lossy(&data));
        }
    }
    set(&zookeeper, "/migration", ours);
    story.succeed(&store, 2).await;
}

#[tokio::test]
async fn without_the_controller_epoch_nothing_more_is_written() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(105, 24);
    let mut writer = story.begin(&store, 1).await;
    let epoch = zookeeper.dump()["/controller_epoch"].data.clone();
    delete(&zookeeper, "/controller_epoch");
    let before = zookeeper.dump();
    let error = story.tell(&mut *writer).await.expect_err("nothing fences any more");
    assert_eq!(error.kind(), ErrorKind::ControllerFenced, "{error}");
    assert_eq!(zookeeper.dump(), before);
    let error = refused(&zookeeper, &store, 1, &story.log()).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("/controller_epoch does not exist"), "{error}");

    // Made again by hand it is another node, and nobody can say who made it.
    zookeeper.foreign(vec![ZkOp::create("/controller_epoch", epoch, ZkAcl::world_all())]).expect("the node again");
    let error = refused(&zookeeper, &store, 1, &story.log()).await;
    assert_eq!(error.kind(), ErrorKind::GovernedElsewhere, "{error}");
}

#[tokio::test]
async fn a_controller_znode_that_is_deleted_by_hand_lets_brokers_in_and_nobody_else() {
    // Nobody takes the role: we go on, and the next claim makes the node again.
    let (zookeeper, store) = cluster().await;
    let story = Story::new(106, 24);
    let mut writer = story.begin(&store, 1).await;
    delete(&zookeeper, "/controller");
    writer.submit(story.batches[0].clone()).await.expect("the claim still holds");
    drop(writer);
    let claimed = store.claim(&leader(2), &story.log()).await.expect("the next claim");
    assert_eq!((claimed.next, claimed.position), (AfterClaim::Resume, story.batches[0].end()));
    assert!(zookeeper.dump().contains_key("/controller"));

    // An older leader of ours that wakes up is not let in by the gap.
    delete(&zookeeper, "/controller");
    let error = refused(&zookeeper, &store, 1, &story.log()).await;
    assert_eq!(error.kind(), ErrorKind::ControllerFenced, "{error}");

    // A broker takes the role: our writes bounce, and we don't take it back.
    let mut writer = store.writer(claimed).await.expect("the writer of the claim");
    elect_broker(&zookeeper);
    let before = zookeeper.dump();
    let error = writer.submit(story.batches[1].clone()).await.expect_err("a broker governs");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(matches!(error.kind(), ErrorKind::ControllerFenced | ErrorKind::GovernedElsewhere), "{error}");
    assert_eq!(zookeeper.dump(), before);
    assert_eq!(refused(&zookeeper, &store, 2, &story.log()).await.kind(), ErrorKind::GovernedElsewhere);
}

#[tokio::test]
async fn a_claim_and_a_load_catch_up_with_the_ensemble_before_they_read() {
    let (zookeeper, store) = cluster().await;
    let story = Story::new(107, 4);
    drop(story.begin(&store, 1).await);
    // The first request that is lost is told by its name.
    zookeeper.drop_next_request();
    let error = store.claim(&leader(2), &story.log()).await.expect_err("the request was lost");
    assert!(error.to_string().contains("sync before the claim"), "{error}");
    zookeeper.drop_next_request();
    let error = store.load(&mut Vec::new()).await.expect_err("the request was lost");
    assert!(error.to_string().contains("sync before reading"), "{error}");
}

/// The time of a claim is for people alone.
#[tokio::test]
async fn a_clock_that_jumps_decides_nothing() {
    let (zookeeper, _) = cluster().await;
    let story = Story::new(108, 24);
    let clocks: [fn() -> TimestampMs; 4] =
        [|| TimestampMs(i64::MAX), || TimestampMs(0), || TimestampMs(-1), || TimestampMs(1_700_000_000_000)];
    let mut at = None;
    for (epoch, (now, batches)) in (1..).zip(clocks.into_iter().zip(story.batches.chunks(2))) {
        let options = store_zk::ZkStoreOptions { now, ..crate::story::options() };
        let store = ZkStore::new(std::sync::Arc::new(zookeeper.connector()), options);
        let mut writer = if at.is_none() {
            story.begin(&store, epoch).await
        } else {
            let claimed = store.claim(&leader(epoch), &story.log()).await.expect("a claim");
            assert_eq!((claimed.next, Some(claimed.position)), (AfterClaim::Resume, at));
            store.writer(claimed).await.expect("a writer")
        };
        for batch in batches {
            at = Some(writer.submit(batch.clone()).await.expect("a batch"));
        }
    }
    let successor = store(zookeeper.connector());
    let claimed = story.succeed(&successor, 9).await;
    assert_eq!(Some(claimed.position), at);
    story.is_told(&successor).await;
    assert!(at.is_some_and(|at| at.end_offset > Offset::ZERO));
    assert_ne!(chain_session(&zookeeper).0, 0);
}
