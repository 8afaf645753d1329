//! One test per row of the table, and the boundaries between them.

use metadata_core::id::{Offset, Position};
use metadata_core::leadership::LogExtent;

use super::*;

fn ours() -> QuorumIdentity {
    QuorumIdentity { cluster_id: "cluster".into(), log_id: "log".into() }
}

/// What ZooKeeper holds, in a test's words.
#[derive(Clone)]
struct Zk {
    facts: ZkFacts,
    partition_epoch_max: Option<ZkControllerEpoch>,
}

/// Epoch 7 at version 9, a controller of ours in epoch 5, a marker behind offset 150 that was written whole.
fn dual_writing() -> Zk {
    let facts = ZkFacts {
        controller_epoch: Some(ObservedControllerEpoch { epoch: ZkControllerEpoch(7), zk_version: ZkVersion(9) }),
        controller: Some(controller(3000, Some(5))),
        marker: Some(marker(Some(150))),
    };
    Zk { facts, partition_epoch_max: Some(ZkControllerEpoch(7)) }
}

fn controller(id: i32, kraft_epoch: Option<i32>) -> ObservedController {
    ObservedController { id: NodeId(id), kraft_epoch: kraft_epoch.map(KRaftLeaderEpoch), zk_version: ZkVersion(0) }
}

fn marker(last: Option<i64>) -> Marker {
    Marker {
        zk_version: ZkVersion(33),
        writer: None,
        quorum: Some(ours()),
        position: last.map_or(Position::START, |last| Position::after(Offset(last), KRaftLeaderEpoch(2))),
        epoch_zk_version: Some(ZkVersion(9)),
        sync: SyncState::Done,
        batch_end: None,
        next_op: 0,
        projection: 1,
    }
}

/// Epoch 2 from offset 100, epoch 5 from 190, the end at 200.
fn log(state: ZkMigrationState) -> OwnLog {
    OwnLog {
        state,
        empty: state == ZkMigrationState::None,
        epoch: KRaftLeaderEpoch(5),
        extent: LogExtent {
            epochs: vec![
                (KRaftLeaderEpoch(1), Offset(0)),
                (KRaftLeaderEpoch(2), Offset(100)),
                (KRaftLeaderEpoch(5), Offset(190)),
            ],
            end_offset: Offset(200),
            ..LogExtent::default()
        },
        drained: None,
        sealed: false,
    }
}

fn migrating() -> OwnLog {
    log(ZkMigrationState::Migration)
}

fn decide(zk: &Zk, own: &OwnLog) -> Result<GiveBackDecision, GiveBackRefusal> {
    decide_give_back(&zk.facts, zk.partition_epoch_max, own, &ours(), &[3000, 3001].map(NodeId).into())
}

fn with(change: impl FnOnce(&mut Zk)) -> Zk {
    let mut zk = dual_writing();
    change(&mut zk);
    zk
}

fn with_marker(change: impl FnOnce(&mut Marker)) -> Zk {
    with(|zk| {
        let mut marker = marker(Some(150));
        change(&mut marker);
        zk.facts.marker = Some(marker);
    })
}

/// A decision in few words: stage, the raised epoch, what is deleted, whether it must wait.
fn brief(zk: &Zk, own: &OwnLog) -> (GiveBackStage, Option<i32>, &'static str, bool) {
    let decided = decide(zk, own).unwrap();
    let deleted = match (decided.delete_controller.is_some(), decided.delete_marker.is_some()) {
        (true, true) => "both",
        (true, false) => "controller",
        (false, true) => "marker",
        (false, false) => "nothing",
    };
    (decided.stage, decided.raise.map(|raise| raise.raised.0), deleted, decided.unfinished.is_some())
}

fn kind(zk: &Zk, own: &OwnLog) -> ErrorKind {
    decide(zk, own).unwrap_err().kind()
}

#[test]
fn a_finalized_migration_is_refused_whatever_zookeeper_says() {
    let own = log(ZkMigrationState::PostMigration);
    let sealed = OwnLog { sealed: true, ..own.clone() };
    for own in [own, sealed] {
        assert_eq!(decide(&dual_writing(), &own), Err(GiveBackRefusal::Finalized));
        assert_eq!(kind(&dual_writing(), &own), ErrorKind::Unsupported);
    }
}

#[test]
fn the_log_of_a_plain_kraft_cluster_is_refused() {
    let own = OwnLog { empty: false, ..log(ZkMigrationState::None) };
    assert_eq!(decide(&dual_writing(), &own), Err(GiveBackRefusal::NotAMigration { state: ZkMigrationState::None }));
}

#[test]
fn in_dual_write_both_go_and_the_epoch_is_raised() {
    let decided = decide(&dual_writing(), &migrating()).unwrap();
    assert_eq!(decided.stage, GiveBackStage::Migrating);
    assert_eq!((decided.delete_controller, decided.delete_marker), (Some(ZkVersion(0)), Some(ZkVersion(33))));
    let raise = decided.raise.unwrap();
    assert_eq!((raise.present.0, raise.zk_version, raise.raised.0), (7, ZkVersion(9), 8));
    assert_eq!(decided.unfinished, None);
}

#[test]
fn the_epoch_is_raised_above_partitions_and_above_the_kraft_epoch() {
    for (partitions, kraft, raised) in [(Some(6), 5, 8), (Some(7), 5, 8), (Some(40), 5, 41), (None, 90, 91)] {
        let zk = with(|zk| zk.partition_epoch_max = partitions.map(ZkControllerEpoch));
        let own = OwnLog { epoch: KRaftLeaderEpoch(kraft), ..migrating() };
        assert_eq!(brief(&zk, &own).1, Some(raised), "{partitions:?} {kraft}");
    }
}

#[test]
fn an_epoch_that_leaves_no_room_for_the_next_controller_is_refused() {
    for (epoch, expected) in [(i32::MAX - 2, Some(i32::MAX - 1)), (i32::MAX - 1, None), (i32::MAX, None)] {
        let zk = with(|zk| zk.partition_epoch_max = Some(ZkControllerEpoch(epoch)));
        let raised = decide(&zk, &migrating()).map(|decided| decided.raise.unwrap().raised.0).ok();
        assert_eq!(raised, expected, "{epoch}");
    }
}

#[test]
fn a_deleted_controller_is_no_obstacle() {
    let zk = with(|zk| zk.facts.controller = None);
    assert_eq!(brief(&zk, &migrating()), (GiveBackStage::Migrating, Some(8), "marker", false));
}

#[test]
fn what_is_half_written_is_finished_first() {
    let half = with_marker(|marker| (marker.batch_end, marker.next_op) = (Some(Offset(180)), 3));
    let syncing = with_marker(|marker| marker.sync = SyncState::Running);
    for zk in [&half, &syncing] {
        assert_eq!(brief(zk, &migrating()), (GiveBackStage::Migrating, Some(8), "both", true));
    }
    // A writer that stands still knows that only what it left out keeps the sync from being done.
    let held = |last| OwnLog { drained: Some(Position::after(Offset(last), KRaftLeaderEpoch(2))), ..migrating() };
    assert!(!brief(&syncing, &held(150)).3);
    assert!(brief(&syncing, &held(151)).3, "the marker is not where the writer stands");
    assert!(brief(&half, &held(150)).3, "a batch is never left in its middle");
}

#[test]
fn before_the_copy_nothing_was_written_that_must_be_finished() {
    let zk = with_marker(|marker| (marker.position, marker.sync) = (Position::START, SyncState::Running));
    // After it the first sync may have written something, and leaves the position until its end.
    assert_eq!(brief(&zk, &migrating()), (GiveBackStage::Migrating, Some(8), "both", true));
    for state in [ZkMigrationState::None, ZkMigrationState::PreMigration] {
        assert_eq!(brief(&zk, &log(state)), (GiveBackStage::RoleHeld, Some(8), "both", false), "{state}");
    }
}

#[test]
fn a_marker_ahead_of_the_log_is_damage() {
    let ahead = with_marker(|marker| marker.position = Position::after(Offset(200), KRaftLeaderEpoch(5)));
    let branch = with_marker(|marker| marker.position = Position::after(Offset(150), KRaftLeaderEpoch(3)));
    for zk in [&ahead, &branch] {
        assert_eq!(kind(zk, &migrating()), ErrorKind::Corrupt);
    }
    assert_eq!(kind(&dual_writing(), &log(ZkMigrationState::PreMigration)), ErrorKind::Corrupt);
}

#[test]
fn what_another_log_wrote_is_left_alone() {
    let other = QuorumIdentity { log_id: "other".into(), ..ours() };
    for quorum in [None, Some(other)] {
        let zk = with_marker(|marker| marker.quorum = quorum);
        assert_eq!(kind(&zk, &migrating()), ErrorKind::Invalid);
        // After our own rollback it is somebody else's migration, which is none of our business.
        let sealed = OwnLog { sealed: true, ..migrating() };
        for epoch in [1, 9] {
            let facts = ZkFacts { controller: Some(controller(3000, Some(epoch))), ..zk.facts.clone() };
            let zk = Zk { facts, ..zk.clone() };
            assert_eq!(brief(&zk, &sealed), (GiveBackStage::GivenBack, None, "nothing", false), "{epoch}");
        }
    }
}

#[test]
fn a_controller_that_is_not_ours_is_left_alone() {
    let stranger = with(|zk| zk.facts.controller = Some(controller(3002, Some(4))));
    assert_eq!(kind(&stranger, &migrating()), ErrorKind::Invalid);
    // Of ours, but from a later state of this very log.
    let newer = with(|zk| zk.facts.controller = Some(controller(3001, Some(6))));
    assert_eq!(kind(&newer, &migrating()), ErrorKind::Corrupt);
    let newer = with(|zk| (zk.facts.controller, zk.facts.marker) = (Some(controller(3000, Some(6))), None));
    assert_eq!(kind(&newer, &migrating()), ErrorKind::Invalid);
}

#[test]
fn a_controller_without_its_marker_goes_too() {
    let zk = with(|zk| zk.facts.marker = None);
    let held = OwnLog { drained: Some(Position::START), ..migrating() };
    assert_eq!(brief(&zk, &held), (GiveBackStage::ControllerLeft, Some(8), "controller", false));
    assert!(brief(&zk, &migrating()).3, "nobody knows how far ZooKeeper was written");
    let pre = log(ZkMigrationState::PreMigration);
    assert_eq!(brief(&zk, &pre), (GiveBackStage::ControllerLeft, Some(8), "controller", false));
    let zk = with(|zk| (zk.facts.marker, zk.facts.controller_epoch) = (None, None));
    assert!(matches!(decide(&zk, &pre), Err(GiveBackRefusal::NoControllerEpoch { .. })));
}

#[test]
fn what_is_given_back_stays_so() {
    for holder in [None, Some(controller(1, None))] {
        let zk = with(|zk| (zk.facts.marker, zk.facts.controller) = (None, holder));
        assert_eq!(brief(&zk, &migrating()), (GiveBackStage::GivenBack, None, "nothing", false));
        for state in [ZkMigrationState::None, ZkMigrationState::PreMigration] {
            assert_eq!(brief(&zk, &log(state)), (GiveBackStage::NothingTaken, None, "nothing", false), "{state}");
            let sealed = OwnLog { sealed: true, ..log(state) };
            assert_eq!(brief(&zk, &sealed).0, GiveBackStage::GivenBack, "{state}");
        }
    }
}

#[test]
fn an_epoch_that_a_rollback_by_hand_left_too_low_is_raised_while_nobody_governs() {
    let by_hand = |holder| {
        with(|zk| {
            (zk.facts.marker, zk.facts.controller) = (None, holder);
            zk.partition_epoch_max = Some(ZkControllerEpoch(8));
        })
    };
    assert_eq!(brief(&by_hand(None), &migrating()), (GiveBackStage::EpochTooLow, Some(9), "nothing", false));
    // Whoever governs checks that version with each of his writes.
    let governed = by_hand(Some(controller(1, None)));
    assert_eq!(brief(&governed, &migrating()), (GiveBackStage::GivenBack, None, "nothing", false));
    let governed = by_hand(None);
    assert_eq!(brief(&governed, &log(ZkMigrationState::PreMigration)).0, GiveBackStage::NothingTaken);
}

#[test]
fn a_marker_that_a_rollback_by_hand_left_goes_and_the_governing_broker_is_not_disturbed() {
    let left = |holder| with(|zk| zk.facts.controller = holder);
    let moved = |mut zk: Zk| {
        zk.facts.controller_epoch =
            Some(ObservedControllerEpoch { epoch: ZkControllerEpoch(8), zk_version: ZkVersion(10) });
        zk
    };
    let governed = moved(left(Some(controller(1, None))));
    assert_eq!(brief(&governed, &migrating()), (GiveBackStage::MarkerLeft, None, "marker", false));
    assert_eq!(brief(&moved(left(None)), &migrating()), (GiveBackStage::MarkerLeft, Some(9), "marker", false));
    // The epoch was raised by hand, as Kafka's documents advise, and nobody was elected yet.
    let raised = moved(left(Some(controller(3000, Some(5)))));
    assert_eq!(brief(&raised, &migrating()), (GiveBackStage::MarkerLeft, Some(9), "both", false));
    // What is half written can't be finished under another controller.
    for change in [(|marker: &mut Marker| marker.batch_end = Some(Offset(180))) as fn(&mut Marker), |marker| {
        marker.sync = SyncState::Running
    }] {
        let mut zk = moved(with_marker(change));
        zk.facts.controller = Some(controller(1, None));
        assert_eq!(kind(&zk, &migrating()), ErrorKind::GovernedElsewhere);
    }
}

#[test]
fn a_broker_that_nobody_elected_is_refused() {
    let zk = with(|zk| zk.facts.controller = Some(controller(1, None)));
    assert_eq!(decide(&zk, &migrating()), Err(GiveBackRefusal::NotElected { holder: NodeId(1) }));
}

#[test]
fn a_missing_epoch_is_named_with_the_number_to_restore() {
    let zk = with(|zk| (zk.facts.controller_epoch, zk.partition_epoch_max) = (None, Some(ZkControllerEpoch(12))));
    let refusal = decide(&zk, &migrating()).unwrap_err();
    assert!(refusal.to_string().contains("above 12"), "{refusal}");
}
