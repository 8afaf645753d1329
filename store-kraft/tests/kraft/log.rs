//! The log through its public API alone.

use std::sync::Arc;

use crate::common::*;
use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, TopicId};
use metadata_core::log::{Append, LogBatch, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{NoOpRecord, RemoveTopicRecord, VersionedRecord, ZkMigrationState};
use metadata_core::store::Txn;
use metadata_core::uuid::Uuid;
use store_kraft::{KraftLog, KraftLogOptions};

#[tokio::test]
async fn an_empty_log_starts_with_a_leader_change_and_kafkas_bootstrap() {
    let dir = formatted();
    let log = open(dir.path()).await;
    assert_eq!(epoch(&log).await, KRaftLeaderEpoch(1));
    let position = log.bootstrap(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration).await.unwrap();
    assert_eq!(position.end_offset, Offset(5));
    let batches = read_all(&log).await;
    assert_eq!(batches.len(), 2);
    assert!(batches[0].records.is_empty());
    let names: Vec<_> = batches[1].records.iter().map(|record| record.record.name()).collect();
    let expected =
        ["BEGIN_TRANSACTION_RECORD", "FEATURE_LEVEL_RECORD", "ZK_MIGRATION_STATE_RECORD", "END_TRANSACTION_RECORD"];
    assert_eq!(names, expected);
    assert_eq!(log.image().zk_migration_state(), ZkMigrationState::PreMigration);
    let again = log.bootstrap(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn each_start_is_a_higher_epoch_with_its_own_leader_change() {
    let dir = formatted();
    for start in 1..5 {
        let log = open(dir.path()).await;
        assert_eq!(epoch(&log).await, KRaftLeaderEpoch(start));
        let end = log.end().await.unwrap();
        assert_eq!(end.end_offset, Offset(2 * i64::from(start) - 1));
        let receipt = log.append(at(KRaftLeaderEpoch(start), end.end_offset.0, vec![topic(start as u64)]));
        assert_eq!(receipt.await.unwrap().end_offset, end.end_offset.plus(1));
        log.shutdown().await.unwrap();
        let error = log.append(at(KRaftLeaderEpoch(start), 0, vec![topic(9)])).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, Outcome::NotApplied));
        let error = log.leadership(None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    let log = open(dir.path()).await;
    let starts: Vec<_> = log.extent().epochs.iter().map(|(epoch, start)| (epoch.0, start.0)).collect();
    assert_eq!(starts, [(1, 0), (2, 2), (3, 4), (4, 6), (5, 8)]);
    assert_eq!(log.image().topics().len(), 4);
    assert_eq!(log.image().position(), log.end().await.unwrap());
    log.shutdown().await.unwrap();
}

/// By this two copies of one directory are told apart, which go on in epochs of the same number.
#[tokio::test]
async fn an_epoch_began_when_its_leader_change_says_so_also_after_a_restart() {
    let dir = formatted();
    for _ in 0..3 {
        open(dir.path()).await.shutdown().await.unwrap();
    }
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    log.append(at(now, log.end().await.unwrap().end_offset.0, vec![topic(1)])).await.unwrap();
    let extent = log.extent();
    let batches = log.read(Offset(0), usize::MAX).await.unwrap();
    // An epoch whose leader wrote nothing else has a LeaderChange all the same.
    assert_eq!(extent.began.len(), extent.epochs.len());
    for (epoch, start) in &extent.epochs {
        let first = batches.iter().find(|batch| batch.base_offset == *start).unwrap();
        assert!(first.records.is_empty(), "a control batch");
        assert_eq!(extent.began.get(epoch), Some(&first.timestamp), "{epoch}");
    }
    let before = extent.began;
    log.shutdown().await.unwrap();
    let log = open(dir.path()).await;
    let mut after = log.extent().began;
    assert!(after.remove(&epoch(&log).await).is_some());
    assert_eq!(after, before);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn appends_are_refused_by_epoch_offset_and_content_and_leave_no_trace() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    let many = vec![topic(1); 10_001];
    let unreplayable = vec![VersionedRecord::new(
        RemoveTopicRecord { topic_id: TopicId(Uuid::from_u64_pair(1, 1)), ..Default::default() },
        0,
    )];
    for (name, refused, kind) in [
        ("an older epoch", at(KRaftLeaderEpoch(0), 1, vec![topic(1)]), ErrorKind::ControllerFenced),
        ("a later epoch", at(KRaftLeaderEpoch(7), 1, vec![topic(1)]), ErrorKind::ControllerFenced),
        ("an offset before the end", at(now, 0, vec![topic(1)]), ErrorKind::Conflict),
        ("an offset past the end", at(now, 2, vec![topic(1)]), ErrorKind::Conflict),
        ("no records", at(now, 1, vec![]), ErrorKind::Invalid),
        ("too many records", at(now, 1, many), ErrorKind::Invalid),
        ("no offset", within(now, Txn::None, vec![topic(1)]), ErrorKind::Invalid),
        ("a version that is none", at(now, 1, vec![VersionedRecord { version: 9, ..topic(1) }]), ErrorKind::Invalid),
        ("what no image can take", at(now, 1, unreplayable), ErrorKind::Invalid),
        ("a Begin outside its place", at(now, 1, vec![topic(1), begin()]), ErrorKind::Invalid),
        ("an offset for a Begin", Append { txn: Txn::Begin, ..at(now, 1, vec![begin()]) }, ErrorKind::Invalid),
        ("an offset within a transaction", Append { txn: Txn::In, ..at(now, 1, vec![topic(1)]) }, ErrorKind::Invalid),
        ("In without Begin", within(now, Txn::In, vec![topic(1)]), ErrorKind::Conflict),
        ("End without Begin", within(now, Txn::End { batches: 1 }, vec![end()]), ErrorKind::Conflict),
    ] {
        let error = log.append(refused).await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotApplied), "{name}: {error}");
        assert_eq!(log.end().await.unwrap().end_offset, Offset(1), "{name}");
    }
    let accepted = log.append(at(now, 1, vec![topic(1)])).await.unwrap();
    assert_eq!(accepted.end_offset, Offset(2));
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_transaction_becomes_visible_at_its_end_and_others_pass_it() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    let position = log.append(within(now, Txn::Begin, vec![begin(), topic(1)])).await.unwrap();
    assert_eq!(position.end_offset, Offset(1));
    log.append(within(now, Txn::In, vec![topic(2), topic(3)])).await.unwrap();
    // A registration meanwhile takes its place in the log at once.
    log.append(at(now, 1, vec![topic(100)])).await.unwrap();
    log.append(within(now, Txn::In, vec![topic(4)])).await.unwrap();
    assert_eq!(log.image().topics().len(), 1);
    assert_eq!(log.end().await.unwrap().end_offset, Offset(2));
    let end = log.append(within(now, Txn::End { batches: 4 }, vec![topic(5), end()])).await.unwrap();
    assert_eq!(end.end_offset, Offset(9));
    assert_eq!(log.image().topics().len(), 6);
    let offsets: Vec<_> = read_all(&log).await.iter().map(|batch| (batch.base_offset.0, batch.end_offset.0)).collect();
    assert_eq!(offsets, [(0, 1), (1, 2), (2, 4), (4, 6), (6, 7), (7, 9)]);
    log.shutdown().await.unwrap();

    let log = open(dir.path()).await;
    assert_eq!(log.image().topics().len(), 6);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_is_miscounted_or_interrupted_leaves_no_trace() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    log.append(within(now, Txn::Begin, vec![begin()])).await.unwrap();
    log.append(within(now, Txn::In, vec![topic(1)])).await.unwrap();
    let error = log.append(within(now, Txn::End { batches: 4 }, vec![end()])).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    // It is over: the next begins afresh, and is interrupted.
    log.append(within(now, Txn::Begin, vec![begin()])).await.unwrap();
    log.append(within(now, Txn::In, vec![topic(2)])).await.unwrap();
    log.shutdown().await.unwrap();

    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    let error = log.append(within(now, Txn::In, vec![topic(3)])).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    let end = log.end().await.unwrap();
    assert_eq!(end.end_offset, Offset(2));
    assert!(read_all(&log).await.iter().all(|batch| batch.records.is_empty()));
    log.shutdown().await.unwrap();
}

/// A copy that failed halfway is begun again by the same leader.
#[tokio::test]
async fn a_begin_discards_the_transaction_before_it() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    log.append(within(now, Txn::Begin, vec![begin()])).await.unwrap();
    log.append(within(now, Txn::In, vec![topic(1)])).await.unwrap();
    // What is refused discards nothing.
    let refused = log.append(within(now, Txn::Begin, vec![topic(2)])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let wrong = Append { txn: Txn::End { batches: 3 }, ..at(now, 9, vec![end()]) };
    assert_eq!(log.append(wrong).await.unwrap_err().kind(), ErrorKind::Conflict);

    log.append(within(now, Txn::Begin, vec![begin(), topic(2)])).await.unwrap();
    let position = log.append(within(now, Txn::End { batches: 2 }, vec![end()])).await.unwrap();
    assert_eq!(position.end_offset, Offset(4));
    let topics = |log: &KraftLog| log.image().topics().iter().map(|(_, name)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(topics(&log), ["topic-2"]);
    log.shutdown().await.unwrap();

    let log = open(dir.path()).await;
    assert_eq!(topics(&log), ["topic-2"]);
    log.shutdown().await.unwrap();
}

/// The first record that contradicts the others is found at the End, when half of the transaction is written.
#[tokio::test]
async fn a_transaction_that_contradicts_itself_is_discarded_whole() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    log.append(within(now, Txn::Begin, vec![begin(), topic(1)])).await.unwrap();
    let unknown = TopicId(Uuid::from_u64_pair(9, 9));
    let remove = RemoveTopicRecord { topic_id: unknown, ..Default::default() };
    log.append(within(now, Txn::In, vec![VersionedRecord::new(remove, 0)])).await.unwrap();
    let error = log.append(within(now, Txn::End { batches: 3 }, vec![end()])).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Conflict, Outcome::NotApplied));
    assert_eq!(log.image().topics().len(), 0);
    let position = log.append(at(now, 1, vec![topic(5)])).await.unwrap();
    assert_eq!(position.end_offset, Offset(2));
    assert_eq!(read_all(&log).await.len(), 2);
    log.shutdown().await.unwrap();
    let log = open(dir.path()).await;
    assert_eq!(log.image().topics().len(), 1);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn many_appends_at_once_keep_their_order_and_their_batches() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    let receipts: Vec<_> = (0..500).map(|number| log.append(at(now, 1 + number as i64, vec![topic(number)]))).collect();
    // Awaited in reverse: the order is that of the calls.
    for (number, receipt) in receipts.into_iter().enumerate().rev() {
        assert_eq!(receipt.await.unwrap().end_offset, Offset(2 + number as i64));
    }
    let batches = read_all(&log).await;
    assert_eq!(batches.len(), 501);
    for (number, batch) in batches.iter().skip(1).enumerate() {
        assert_eq!(batch.records[..], [topic(number as u64)]);
    }
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn reads_are_bounded_and_begin_where_batches_do() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    for number in 0..10 {
        let records = vec![topic(3 * number), topic(3 * number + 1), topic(3 * number + 2)];
        log.append(at(now, 1 + 3 * number as i64, records)).await.unwrap();
    }
    let ends = |batches: Vec<LogBatch>| batches.iter().map(|batch| batch.end_offset.0).collect::<Vec<_>>();
    assert_eq!(ends(log.read(Offset(0), 1).await.unwrap()), [1]);
    assert_eq!(ends(log.read(Offset(4), 4).await.unwrap()), [7, 10]);
    assert_eq!(ends(log.read(Offset(28), 0).await.unwrap()), [31]);
    assert_eq!(ends(log.read(Offset(31), 10).await.unwrap()), [0; 0]);
    assert_eq!(ends(log.read(Offset(90), 10).await.unwrap()), [0; 0]);
    assert_eq!(log.read(Offset(5), 10).await.unwrap_err().kind(), ErrorKind::Invalid);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn watchers_are_woken_and_told_when_the_log_stops() {
    let dir = formatted();
    let log = Arc::new(open(dir.path()).await);
    let now = epoch(&log).await;
    let watcher = Arc::clone(&log);
    let committed = tokio::spawn(async move { watcher.committed(Offset(1)).await });
    log.append(at(now, 1, vec![topic(1)])).await.unwrap();
    assert_eq!(committed.await.unwrap().unwrap(), Offset(2));
    assert_eq!(log.committed(Offset(0)).await.unwrap(), Offset(2));

    let known = log.leadership(None).await.unwrap();
    let watcher = Arc::clone(&log);
    let leadership = tokio::spawn(async move { watcher.leadership(Some(known)).await });
    let watcher = Arc::clone(&log);
    let committed = tokio::spawn(async move { watcher.committed(Offset(2)).await });
    log.shutdown().await.unwrap();
    assert_eq!(leadership.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(committed.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_directory_in_use_or_of_someone_else_is_refused_by_name() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let error = KraftLog::open(options(dir.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("in use by process"), "{error}");
    log.shutdown().await.unwrap();
    for (other, expected) in [
        (KraftLogOptions::new(dir.path(), NodeId(1), CLUSTER), "node id 3000"),
        (KraftLogOptions::new(dir.path(), NODE, "another"), CLUSTER),
    ] {
        let error = KraftLog::open(other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let error = KraftLog::open(options(empty.path())).await.unwrap_err();
    assert!(error.to_string().contains("format it first"), "{error}");
    let error = KraftLog::format(dir.path(), NODE, CLUSTER, MetadataVersion::V3_9_IV0).unwrap_err();
    assert!(error.to_string().contains("formatted already"), "{error}");
}

#[tokio::test]
async fn a_snapshot_is_found_at_its_offset_and_the_log_goes_on() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    log.append(at(now, 1, vec![topic(1)])).await.unwrap();
    let taken = log.snapshot().await.unwrap();
    assert_eq!(taken.end_offset, Offset(2));
    assert_eq!(log.snapshot().await.unwrap(), taken, "nothing happened since");
    log.append(at(now, 2, vec![topic(2)])).await.unwrap();
    // While it runs it has images of the recent past, too.
    for (at_most, found) in [(0, 0), (1, 1), (2, 2), (90, 3)] {
        let image = log.image_at_most(Offset(at_most)).await.unwrap().unwrap();
        assert_eq!(image.position().end_offset, Offset(found), "{at_most}");
    }
    log.shutdown().await.unwrap();
    assert!(dir.path().join("__cluster_metadata-0/00000000000000000002-0000000001.checkpoint").is_file());

    let log = open(dir.path()).await;
    assert_eq!(log.image().topics().len(), 2);
    let image = log.image_at_most(Offset(2)).await.unwrap().unwrap();
    assert_eq!((image.position(), image.topics().len()), (taken, 1));
    assert_eq!(log.image_at_most(Offset(1)).await.unwrap().unwrap().position().end_offset, Offset(0));
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_during_a_transaction_shows_the_state_before_it() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    log.append(at(now, 1, vec![topic(1)])).await.unwrap();
    log.append(within(now, Txn::Begin, vec![begin()])).await.unwrap();
    log.append(at(now, 2, vec![topic(2)])).await.unwrap();
    assert_eq!(log.snapshot().await.unwrap().end_offset, Offset(2));
    log.append(within(now, Txn::End { batches: 2 }, vec![topic(3), end()])).await.unwrap();
    assert_eq!(log.image().topics().len(), 3);
    assert_eq!(log.snapshot().await.unwrap().end_offset, Offset(6));
    log.shutdown().await.unwrap();
    let log = open(dir.path()).await;
    assert_eq!(log.image().topics().len(), 3);
    log.shutdown().await.unwrap();
}

#[tokio::test]
async fn records_stay_byte_for_byte_what_was_appended() {
    let dir = formatted();
    let log = open(dir.path()).await;
    let now = epoch(&log).await;
    let records = vec![VersionedRecord::new(NoOpRecord::default(), 0), topic(1), topic(2)];
    log.append(at(now, 1, records.clone())).await.unwrap();
    assert_eq!(read_all(&log).await[1].records[..], records[..]);
    log.shutdown().await.unwrap();
}
