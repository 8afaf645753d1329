//! A migration over the in-memory log and store: from an empty log to dual write, through failures and restarts.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]
#![expect(clippy::disallowed_methods, reason = "the migration runs as a task beside the test")]

mod cluster;
mod ports;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use broker_registry::{Heartbeat, RegistrationRequest, ResponseError, Service};
use metadata_core::contract::{MemLog, leadership};
use metadata_core::error::ErrorKind;
use metadata_core::id::{DirectoryId, IncarnationId, NodeId, Offset, Position, TimestampMs};
use metadata_core::image::{ConfigResourceType, FeatureRange, MetadataDelta, MetadataImage};
use metadata_core::leadership::Expected;
use metadata_core::log::MetadataLog;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{ConfigRecord, MetadataRecord, ZkMigrationState};
use metadata_core::store::MetadataStore;
use metadata_core::uuid::Uuid;
use migration::State;

use crate::cluster::{CONTROLLER, Cluster, broker, end, reach, zookeeper_content};
use crate::ports::Calls;

#[tokio::test(start_paused = true)]
async fn everything_is_copied_in_one_transaction_and_later_changes_follow() {
    let cluster = Cluster::new();
    let before = cluster.store.image();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    let image = cluster.log.image();
    assert_eq!(image.zk_migration_state(), ZkMigrationState::Migration);
    assert_eq!(image.topics(), before.topics());
    assert_eq!(image.tokens(), before.tokens());
    cluster.change(1, 200).await;
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_controller_goes_on_without_copying_again() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    cluster.change(1, 50).await;
    end(handle, task).await;
    // Changes that nobody dual-writes, as if the process had died behind its last append.
    cluster.change(2, 50).await;
    cluster.log.resign();

    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    assert_eq!(handle.watch().borrow().copy.records, 0, "a restart must not copy");
    assert_eq!(handle.watch().borrow().sync, None, "nor sync, when it can resume");
    end(handle, task).await;
}

/// What may happen to a controller at any moment.
#[derive(Debug, Clone, Copy)]
enum Interruption {
    NewEpoch,
    LeadershipLost,
    Killed,
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_at_whichever_call_the_migration_ends_in_step() {
    for interruption in [Interruption::NewEpoch, Interruption::LeadershipLost, Interruption::Killed] {
        let mut interrupted = Vec::new();
        for number in 1.. {
            let mut cluster = Cluster { calls: Calls::stopping_at(number), ..Cluster::new() };
            let (mut handle, mut task) = cluster.start(Service::None);
            cluster.log.elect(CONTROLLER);
            let undisturbed = async {
                reach(&handle, |status| status.state == State::DualWrite).await;
                cluster.change(1, 5).await;
                cluster.in_step(&handle).await;
            };
            let stopped = tokio::select! {
                call = cluster.calls.stopped() => Some(call),
                () = undisturbed => None,
            };
            let Some(call) = stopped else {
                end(handle, task).await;
                break;
            };
            interrupted.push(call);
            match interruption {
                Interruption::NewEpoch => {}
                Interruption::LeadershipLost => {
                    cluster.log.resign();
                    reach(&handle, |status| status.state == State::Inactive).await;
                }
                Interruption::Killed => {
                    task.abort();
                    assert!(task.await.is_err_and(|error| error.is_cancelled()));
                    cluster.calls = Calls::new();
                    (handle, task) = cluster.start(Service::None);
                }
            }
            cluster.log.elect(CONTROLLER);
            cluster.in_step(&handle).await;
            cluster.change(2, 5).await;
            cluster.in_step(&handle).await;
            let batches = cluster.log.read(Offset::ZERO, usize::MAX).await.expect("the log is read");
            let records = batches.iter().flat_map(|batch| batch.records.iter());
            let copies = records.filter(|it| it.record == ZkMigrationState::Migration.to_record().into()).count();
            assert_eq!(copies, 1, "{interruption:?} at call {number}, {interrupted:?}");
            end(handle, task).await;
        }
        for call in
            ["survey", "accept", "claim", "claimed", "writer", "append", "barrier", "full_sync", "synced", "submit"]
        {
            assert!(interrupted.contains(&call), "{interruption:?} never came at {call}: {interrupted:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answers_of_the_log_never_lose_a_change_or_copy_half() {
    for lost in 1..8 {
        let cluster = Cluster::new();
        cluster.log.lose_replies(lost);
        let (handle, task) = cluster.start(Service::None);
        cluster.log.elect(CONTROLLER);
        cluster.in_step(&handle).await;
        assert_eq!(cluster.log.image().topics(), zookeeper_content().topics(), "{lost} answers lost");
        end(handle, task).await;
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_zookeeper_did_not_answer_are_written_after_a_new_claim() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    for failures in 1..5 {
        cluster.store.fail_batches(failures);
        cluster.change(100 + failures as u64, 20).await;
        cluster.in_step(&handle).await;
    }
    end(handle, task).await;
}

/// Everything that a copy writes stands in one transaction, with the mark that it is complete, and stands there once.
async fn is_one_transaction(cluster: &Cluster) {
    let batches = cluster.log.read(Offset::ZERO, usize::MAX).await.expect("the log is read");
    let records: Vec<_> = batches.iter().flat_map(|batch| batch.records.iter()).map(|it| &it.record).collect();
    let places = |wanted: fn(&MetadataRecord) -> bool| -> Vec<usize> {
        records.iter().enumerate().filter(|(_, record)| wanted(record)).map(|(at, _)| at).collect()
    };
    let marks = places(|record| *record == ZkMigrationState::Migration.to_record().into());
    let [mark] = marks.as_slice() else { panic!("{} marks", marks.len()) };
    let begin = places(|it| matches!(it, MetadataRecord::BeginTransaction(_))).into_iter().rfind(|at| at < mark);
    let end = places(|it| matches!(it, MetadataRecord::EndTransaction(_))).into_iter().find(|at| at > mark);
    let (begin, end) = (begin.expect("a Begin before the mark"), end.expect("an End behind it"));
    let topics = places(|record| matches!(record, MetadataRecord::Topic(_)));
    assert_eq!(topics.len(), zookeeper_content().topics().len(), "every topic once");
    assert!(topics.iter().all(|at| (begin..end).contains(at)), "{begin} {topics:?} {end}");
    assert!(
        places(|it| matches!(it, MetadataRecord::BeginTransaction(_))).iter().all(|at| !(begin + 1..end).contains(at))
    );
}

#[tokio::test(start_paused = true)]
async fn the_copy_and_the_mark_that_it_is_complete_are_one_transaction() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    is_one_transaction(&cluster).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn whichever_append_is_refused_nothing_is_copied_outside_the_transaction() {
    let mut appends = 1;
    let mut number = 0;
    while number < appends {
        number += 1;
        let cluster = Cluster::new();
        cluster.calls.append_refused.store(number, Ordering::SeqCst);
        let (handle, task) = cluster.start(Service::None);
        cluster.log.elect(CONTROLLER);
        cluster.in_step(&handle).await;
        assert_eq!(cluster.log.image().topics(), zookeeper_content().topics(), "append {number} was refused");
        is_one_transaction(&cluster).await;
        if number == 1 {
            appends = cluster.calls.count("append");
        }
        end(handle, task).await;
    }
    assert!(appends > 2, "the Begin and the End were among them: {appends}");
}

#[tokio::test(start_paused = true)]
async fn what_is_copied_is_read_after_the_claim() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    let journal = cluster.calls.journal();
    let claimed = journal.iter().position(|call| *call == "claimed").expect("a claim");
    // The look at what can be copied comes first, and nothing of it is kept.
    let loads: Vec<_> = journal.iter().enumerate().filter(|(_, call)| **call == "load").map(|(at, _)| at).collect();
    assert!(matches!(loads.as_slice(), [look, copy] if *look < claimed && claimed < *copy), "{journal:?}");
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_elected_while_zookeeper_is_away_goes_on_once_it_is_back() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.calls.claims_failing.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..3 {
        cluster.log.resign();
        reach(&handle, |status| status.state == State::Inactive).await;
        let epoch = cluster.log.elect(CONTROLLER).epoch;
        let elected = |status: &migration::Status| status.leadership.is_some_and(|it| it.epoch == epoch);
        let status = reach(&handle, |status| elected(status) && status.attempt >= 4).await;
        assert_eq!((status.blocked_by, status.claimed), (Some(ErrorKind::Unavailable), None));
    }
    cluster.change(1, 20).await;
    cluster.calls.claims_failing.store(0, Ordering::SeqCst);
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn live_brokers_that_nobody_serves_hold_the_claim_back_until_they_leave() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(1));
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert_eq!(status.state, State::WaitForBrokers);
    assert!(status.reason.is_some_and(|reason| reason.contains("broker 1")), "the broker is named");
    assert_eq!(status.claimed, None);
    cluster.watch_reports(Ok(BTreeMap::new()));
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn by_the_operators_word_unserved_brokers_are_named_and_do_not_block() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(4));
    let (handle, task) = cluster.start(Service::NoneByOperatorsWord);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    assert_eq!(handle.watch().borrow().unserved, vec![NodeId(4)]);
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_another_log_has_written_blocks_and_says_why() {
    let first = Cluster::new();
    let (handle, task) = first.start(Service::None);
    first.log.elect(CONTROLLER);
    reach(&handle, |status| status.state == State::DualWrite).await;
    end(handle, task).await;

    // A freshly formatted log over the same store: the first log's marker is there (P1, F9, G9).
    let before = first.store.image();
    let second = Cluster { log: MemLog::new(), ..first };
    second.log.elect(NodeId(1));
    second.log.elect(NodeId(1));
    let (handle, task) = second.start(Service::None);
    second.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.state == State::Blocked).await;
    assert!(status.reason.is_some_and(|reason| reason.contains("not in the log")));
    let after = second.store.image();
    assert!(after.same_metadata(&before) && after.position() == before.position(), "the store was written");
    end(handle, task).await;
}

/// Nobody makes a change that would bounce: it is noticed all the same.
#[tokio::test(start_paused = true)]
async fn a_controller_that_is_deposed_while_it_is_idle_does_not_go_on_as_one() {
    let cluster = Cluster::new();
    cluster.log.elect(CONTROLLER);
    let (handle, task) = cluster.start(Service::None);
    reach(&handle, |status| status.state == State::DualWrite && status.lag_records() == Some(0)).await;
    let rival = leadership(4000, 99);
    cluster.store.claim(&rival, &Expected::Log(cluster.log.extent())).await.expect("a rival claims");
    let status = reach(&handle, |status| status.state != State::DualWrite).await;
    assert!(status.claimed.is_none(), "{status:?}");
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_copied_is_found_before_anything_is_claimed() {
    let cluster = Cluster::new();
    cluster.calls.loads_refused.store(1, Ordering::SeqCst);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.state == State::Blocked).await;
    assert!(status.reason.is_some_and(|reason| reason.contains("/brokers/topics/odd")));
    assert_eq!(cluster.calls.count("claim"), 0);
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fails_is_the_reason_and_nobody_is_taken_for_absent() {
    let cluster = Cluster::new();
    cluster.watch_reports(Err(ErrorKind::Unauthorized));
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert_eq!((status.state, status.blocked_by), (State::WaitForBrokers, Some(ErrorKind::Unauthorized)));
    assert!(status.reason.is_some_and(|reason| reason.contains("/brokers/ids") && reason.contains("the watch failed")));
    assert_eq!(cluster.calls.count("claim"), 0);
    cluster.watch_reports(Ok(BTreeMap::new()));
    cluster.in_step(&handle).await;
    assert_eq!(handle.watch().borrow().reason, None);
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn brokers_that_come_during_an_outage_hold_the_claim_back() {
    let cluster = Cluster::new();
    cluster.calls.claims_failing.store(1, Ordering::SeqCst);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    reach(&handle, |status| status.attempt > 0).await;
    // What was known of the brokers before the outage is not believed after it.
    cluster.watch_reports(Err(ErrorKind::Unavailable));
    reach(&handle, |status| status.reason.as_ref().is_some_and(|reason| reason.contains("the watch failed"))).await;
    cluster.watch_reports(broker(1));
    let status = reach(&handle, |status| status.reason.as_ref().is_some_and(|it| it.contains("broker 1"))).await;
    assert_eq!((status.state, status.claimed), (State::WaitForBrokers, None));
    assert_eq!(cluster.calls.count("claim"), 1, "only the one before the outage");
    cluster.watch_reports(Ok(BTreeMap::new()));
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn brokers_that_come_while_everything_is_looked_at_hold_the_claim_back() {
    let cluster = Cluster::new();
    cluster.calls.loading.send_replace(false);
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    while cluster.calls.count("load") == 0 {
        tokio::task::yield_now().await;
    }
    cluster.watch_reports(broker(1));
    reach(&handle, |status| status.brokers.contains_key(&NodeId(1))).await;
    cluster.calls.loading.send_replace(true);
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert!(status.reason.is_some_and(|reason| reason.contains("broker 1")));
    assert_eq!((status.state, cluster.calls.count("claim")), (State::WaitForBrokers, 0));
    cluster.watch_reports(Ok(BTreeMap::new()));
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn what_zookeeper_lacks_and_whom_nobody_serves_is_told_while_it_cannot_be_written() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(4));
    let (handle, task) = cluster.start(Service::NoneByOperatorsWord);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    assert_eq!(handle.watch().borrow().lag_records(), Some(0));
    let before = cluster.log.image().position().end_offset;
    cluster.store.fail_batches(usize::MAX);
    cluster.change(3, 20).await;
    let lacking = cluster.log.image().position().end_offset.0 - before.0;
    let told = |status: &migration::Status| {
        assert_eq!((status.lag_records(), &status.unserved), (Some(lacking), &vec![NodeId(4)]), "{}", status.state);
    };
    // Claims succeed and batches fail: that is no progress, and the pauses grow.
    told(&reach(&handle, |status| status.attempt == 4 && status.state == State::BecomeController).await);
    cluster.calls.claims_failing.store(usize::MAX, Ordering::SeqCst);
    let status = reach(&handle, |status| status.attempt == 8 && status.claimed.is_none()).await;
    assert_eq!(status.blocked_by, Some(ErrorKind::Unavailable));
    told(&status);
    cluster.store.fail_batches(0);
    cluster.calls.claims_failing.store(0, Ordering::SeqCst);
    cluster.in_step(&handle).await;
    let status = reach(&handle, |status| status.reason.is_none()).await;
    assert_eq!((status.lag_records(), status.attempt), (Some(0), 0));
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_forgotten_when_zookeeper_confirms_that_it_has_everything() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.store.fail_batches(1);
    cluster.calls.claims_failing.store(2, Ordering::SeqCst);
    cluster.change(3, 1).await;
    reach(&handle, |status| status.attempt == 3).await;
    let status = reach(&handle, |status| status.reason.is_none()).await;
    assert_eq!((status.state, status.attempt), (State::DualWrite, 0));
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn going_on_after_a_failure_uses_the_image_at_hand() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    for seed in 0..5 {
        cluster.store.fail_batches(1);
        cluster.change(seed, 10).await;
        cluster.in_step(&handle).await;
    }
    assert_eq!(cluster.calls.count("image_at_most"), 0, "{:?}", cluster.calls.journal());
    end(handle, task).await;

    // A new process has none. What it replays from must not be purged meanwhile.
    cluster.log.resign();
    let cluster = Cluster { calls: Calls::new(), ..cluster };
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    let journal = cluster.calls.journal();
    let first =
        |call| journal.iter().position(|name| *name == call).unwrap_or_else(|| panic!("no {call}: {journal:?}"));
    assert!(first("claimed") < first("hold") && first("hold") < first("image_at_most"), "{journal:?}");
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn dual_writing_stands_still_when_asked_however_much_the_log_has() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    cluster.change(1, 20).await;
    let asked_at = cluster.log.image().position().end_offset;
    cluster.calls.growing.store(2_000, Ordering::SeqCst);
    let held = handle.hold().await.expect("dual writing stands still");
    assert!(cluster.store.image().same_metadata(&held.image));
    assert!(held.image.position().end_offset >= asked_at, "what was in the log when it was asked for is there");
    let left = cluster.calls.growing.load(Ordering::SeqCst);
    assert!(left > 1_000, "the request had to wait for the end of the load: {left} of it are left");
    drop(held);
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn large_records_are_copied_in_appends_that_the_log_takes() {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for number in 0..2_000 {
        let config = ConfigRecord {
            resource_type: ConfigResourceType::Broker.code(),
            resource_name: "1".into(),
            name: format!("listener.name.l{number}.sasl.jaas"),
            value: Some("x".repeat(5_000)),
            ..ConfigRecord::default()
        };
        delta.replay(&config.into()).expect("the record fits");
    }
    let cluster = Cluster::holding(&delta.apply(Position::START, TimestampMs(0)));
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    let reached = reach(&handle, |status| matches!(status.state, State::DualWrite | State::Blocked)).await;
    assert_eq!((reached.state, reached.reason), (State::DualWrite, None));
    assert_eq!(reached.copy.by_type.get("CONFIG_RECORD"), Some(&2_000));
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_in_zookeeper_is_in_the_log_while_it_is_there_and_fenced_when_it_goes() {
    let cluster = Cluster::new();
    cluster.watch_reports(broker(4));
    let (handle, task) = cluster.start(Service::NoneByOperatorsWord);
    cluster.log.elect(CONTROLLER);
    let registered = |fenced| {
        let log = cluster.log.clone();
        move |_: &migration::Status| {
            log.image().cluster().broker(NodeId(4)).is_some_and(|it| it.is_migrating_zk_broker && it.fenced == fenced)
        }
    };
    reach(&handle, registered(false)).await;
    cluster.in_step(&handle).await;
    let status = handle.watch().borrow().clone();
    let standing = status.assessment.expect("who is there is known").brokers;
    assert!(standing.iter().any(|it| it.facts.id == NodeId(4) && it.facts.registered.is_some()), "{standing:?}");
    cluster.watch_reports(Ok(BTreeMap::new()));
    reach(&handle, registered(true)).await;
    // ZooKeeper being away keeps nobody from being registered.
    cluster.store.fail_batches(usize::MAX);
    cluster.calls.claims_failing.store(usize::MAX, Ordering::SeqCst);
    cluster.watch_reports(broker(4));
    reach(&handle, registered(false)).await;
    cluster.store.fail_batches(0);
    cluster.calls.claims_failing.store(0, Ordering::SeqCst);
    cluster.in_step(&handle).await;
    end(handle, task).await;
}

#[tokio::test(start_paused = true)]
async fn where_brokers_are_served_each_must_ask_to_be_registered_before_anything_is_claimed() {
    let cluster = Cluster::holding(&MetadataImage::empty());
    cluster.watch_reports(broker(4));
    let (handle, task) = cluster.start(Service::Served);
    cluster.log.elect(CONTROLLER);
    let status = reach(&handle, |status| status.reason.is_some()).await;
    assert_eq!(status.state, State::WaitForBrokers);
    assert!(status.reason.is_some_and(|reason| reason.contains("broker 4") && reason.contains("does not ask")));

    let mut request = RegistrationRequest {
        id: NodeId(4),
        incarnation_id: IncarnationId(Uuid::from_u64_pair(4, 4)),
        is_migrating_zk_broker: true,
        cluster_id: "another".into(),
        listeners: BTreeMap::new(),
        features: [(MetadataVersion::FEATURE_NAME.to_owned(), FeatureRange { min: 21, max: 21 })].into(),
        log_dirs: vec![DirectoryId(Uuid::from_u64_pair(7, 7))],
        rack: None,
    };
    assert_eq!(
        handle.broker_registers(request.clone()).map_err(|it| it.error()),
        Err(ResponseError::InconsistentClusterId)
    );
    request.cluster_id = "cluster".into();
    handle.broker_registers(request.clone()).expect("it may");
    cluster.in_step(&handle).await;
    let registered = cluster.log.image().cluster().broker(NodeId(4)).cloned().expect("it is in the log");
    assert_eq!(registered.incarnation_id, request.incarnation_id);
    assert!(registered.is_migrating_zk_broker && registered.fenced, "until its heartbeat asks for more");
    let heartbeat = Heartbeat {
        epoch: registered.epoch,
        metadata_offset: cluster.log.image().position().end_offset,
        want_fence: false,
        want_shutdown: false,
    };
    handle.broker_heartbeats(NodeId(4), heartbeat).expect("its epoch is the log's");
    let log = cluster.log.clone();
    reach(&handle, move |_| log.image().cluster().broker(NodeId(4)).is_some_and(|it| !it.fenced)).await;
    handle.broker_session_ended(NodeId(4));
    let log = cluster.log.clone();
    reach(&handle, move |_| log.image().cluster().broker(NodeId(4)).is_some_and(|it| it.fenced)).await;
    end(handle, task).await;
}

/// A log need not tell who leads before it shows what the new leader wrote.
#[tokio::test(start_paused = true)]
async fn what_a_newer_leader_wrote_is_not_written_by_one_that_has_not_heard_of_it() {
    let cluster = Cluster::new();
    let (handle, task) = cluster.start(Service::None);
    cluster.log.elect(CONTROLLER);
    cluster.in_step(&handle).await;
    let before = cluster.store.image().position();
    cluster.calls.news.send_replace(false);
    cluster.log.elect(NodeId(3001));
    cluster.change(5, 20).await;
    let status = reach(&handle, |status| status.state != State::DualWrite).await;
    assert_eq!((status.state, status.blocked_by), (State::BecomeController, Some(ErrorKind::ControllerFenced)));
    reach(&handle, |status| status.attempt >= 3).await;
    assert_eq!(cluster.store.image().position(), before, "the newer leader's to write");
    cluster.log.elect(CONTROLLER);
    cluster.calls.news.send_replace(true);
    cluster.in_step(&handle).await;
    end(handle, task).await;
}
