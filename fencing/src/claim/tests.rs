//! One test per row of the table, and the boundaries between them.

use metadata_core::leadership::LogExtent;

use super::*;

const PROJECTION: u32 = 1;

fn ours() -> QuorumIdentity {
    QuorumIdentity { cluster_id: "cluster".into(), log_id: "log".into() }
}

fn epoch_node() -> Option<ObservedControllerEpoch> {
    Some(ObservedControllerEpoch { epoch: ZkControllerEpoch(7), zk_version: ZkVersion(9) })
}

fn controller(id: i32, kraft_epoch: Option<i32>) -> Option<ObservedController> {
    Some(ObservedController {
        id: NodeId(id),
        kraft_epoch: kraft_epoch.map(KRaftLeaderEpoch),
        zk_version: ZkVersion(0),
    })
}

fn marker(last: Option<i64>) -> Marker {
    Marker {
        zk_version: ZkVersion(33),
        quorum: Some(ours()),
        writer: None,
        position: last.map_or(Position::START, |last| Position::after(Offset(last), KRaftLeaderEpoch(2))),
        epoch_zk_version: Some(ZkVersion(9)),
        sync: SyncState::Done,
        batch_end: None,
        next_op: 0,
        projection: PROJECTION,
    }
}

/// Epoch 1 from offset 0, epoch 2 from 100, the end at 200.
fn log() -> Expected {
    Expected::Log(LogExtent {
        epochs: vec![(KRaftLeaderEpoch(1), Offset(0)), (KRaftLeaderEpoch(2), Offset(100))],
        end_offset: Offset(200),
        began: [(KRaftLeaderEpoch(1), TimestampMs(1_000)), (KRaftLeaderEpoch(5), TimestampMs(5_000))].into(),
    })
}

/// Controller 3000 in epoch 5.
fn decide(facts: ZkFacts, expected: &Expected) -> Result<ClaimPlan, ClaimRefusal> {
    let own = KraftLeadership { id: NodeId(3000), epoch: KRaftLeaderEpoch(5) };
    let voters = [3000, 3001, 3002].map(NodeId).into();
    decide_claim(&facts, &own, expected, &ours(), &voters, PROJECTION)
}

fn facts(controller: Option<ObservedController>, marker: Option<Marker>) -> ZkFacts {
    ZkFacts { controller_epoch: epoch_node(), controller, marker }
}

fn kind(result: Result<ClaimPlan, ClaimRefusal>) -> Result<AfterClaim, ErrorKind> {
    result.map(|plan| plan.next).map_err(|refusal| refusal.kind())
}

#[test]
fn without_a_controller_epoch_nothing_is_claimed() {
    let facts = ZkFacts { controller_epoch: None, controller: None, marker: None };
    assert_eq!(decide(facts, &Expected::Nothing), Err(ClaimRefusal::NoKafkaCluster));
}

#[test]
fn an_epoch_that_cannot_be_raised_is_not_claimed() {
    let table = [
        (-1, Err(ErrorKind::Invalid)),
        (0, Ok(AfterClaim::Copy)),
        (i32::MAX - 1, Ok(AfterClaim::Copy)),
        (i32::MAX, Err(ErrorKind::Invalid)),
    ];
    for (epoch, expected) in table {
        let node = ObservedControllerEpoch { epoch: ZkControllerEpoch(epoch), zk_version: ZkVersion(9) };
        let facts = ZkFacts { controller_epoch: Some(node), controller: None, marker: None };
        assert_eq!(kind(decide(facts, &Expected::Nothing)), expected, "{epoch}");
    }
}

#[test]
fn a_controller_is_replaced_kept_or_obeyed_by_its_epoch() {
    let table = [
        (None, Ok(ControllerStep::Create)),
        (controller(1, None), Ok(ControllerStep::Replace(ZkVersion(0)))),
        (controller(3001, Some(4)), Ok(ControllerStep::Replace(ZkVersion(0)))),
        (controller(3000, Some(4)), Ok(ControllerStep::Replace(ZkVersion(0)))),
        (controller(3000, Some(5)), Ok(ControllerStep::Keep(ZkVersion(0)))),
        (controller(3001, Some(5)), Err(ErrorKind::ControllerFenced)),
        (controller(3001, Some(6)), Err(ErrorKind::ControllerFenced)),
    ];
    for (holder, expected) in table {
        let decided = decide(facts(holder, Some(marker(None))), &Expected::Nothing);
        assert_eq!(decided.map(|plan| plan.controller).map_err(|r| r.kind()), expected, "{holder:?}");
    }
}

#[test]
fn before_the_copy_a_kraft_controller_without_our_marker_is_of_another_log() {
    for (holder, epoch) in [(3001, 5), (3001, 6), (3000, 6), (1, 9)] {
        let refusal = decide(facts(controller(holder, Some(epoch)), None), &Expected::Nothing).unwrap_err();
        let expected =
            ClaimRefusal::ForeignController { holder: NodeId(holder), holder_epoch: KRaftLeaderEpoch(epoch) };
        assert_eq!((refusal.kind(), refusal), (ErrorKind::Invalid, expected));
    }
    // One that is older gives way, as it always does.
    assert_eq!(kind(decide(facts(controller(3001, Some(4)), None), &Expected::Nothing)), Ok(AfterClaim::Copy));
}

#[test]
fn a_foreign_marker_is_named_before_whoever_holds_the_role() {
    let foreign = Marker { quorum: Some(QuorumIdentity { log_id: "other".into(), ..ours() }), ..marker(Some(150)) };
    for log in [log(), Expected::Nothing] {
        for holder in [controller(3001, Some(9)), controller(3000, Some(9)), controller(1, None), None] {
            let refusal = decide(facts(holder, Some(foreign.clone())), &log).unwrap_err();
            assert!(matches!(refusal, ClaimRefusal::ForeignMarker { .. }), "{holder:?}: {refusal}");
        }
    }
}

#[test]
fn our_own_id_with_an_epoch_that_our_log_does_not_know_means_an_old_copy() {
    let table = [
        // (/controller, marker, log): the row before the last start, and older ones.
        (controller(3000, Some(6)), Some(marker(Some(150))), log(), Err(ErrorKind::Corrupt)),
        (controller(3000, Some(9)), Some(marker(Some(150))), log(), Err(ErrorKind::Corrupt)),
        (controller(3000, Some(6)), None, log(), Err(ErrorKind::Corrupt)),
        (controller(3000, Some(6)), Some(marker(None)), Expected::Nothing, Err(ErrorKind::Corrupt)),
        // Someone else's epoch deposes us.
        (controller(3001, Some(6)), Some(marker(Some(150))), log(), Err(ErrorKind::ControllerFenced)),
        (controller(3001, Some(6)), None, log(), Err(ErrorKind::ControllerFenced)),
        // Our own epoch is our own claim.
        (controller(3000, Some(5)), Some(marker(Some(150))), log(), Ok(AfterClaim::Resume)),
    ];
    for (holder, marker, log, expected) in table {
        let shown = format!("{holder:?} {marker:?} {log:?}");
        assert_eq!(kind(decide(facts(holder, marker), &log)), expected, "{shown}");
    }
}

/// The marker with its last writer: a node, its epoch, and when that began.
fn written_by(id: i32, epoch: i32, began: Option<i64>) -> Option<Marker> {
    let writer = MarkerWriter { id: NodeId(id), epoch: KRaftLeaderEpoch(epoch), began: began.map(TimestampMs) };
    Some(Marker { writer: Some(writer), ..marker(Some(150)) })
}

#[test]
fn a_marker_of_an_epoch_that_began_otherwise_in_our_log_is_of_another_copy() {
    let table = [
        // Epoch 5 is our own, and began at 5000; epoch 1 at 1000.
        (written_by(3000, 5, Some(5_000)), log(), Ok(AfterClaim::Resume)),
        (written_by(3000, 5, Some(5_001)), log(), Err(ErrorKind::Corrupt)),
        (written_by(3001, 1, Some(1_000)), log(), Ok(AfterClaim::Resume)),
        (written_by(3001, 1, Some(999)), log(), Err(ErrorKind::Corrupt)),
        // Our log reaches no further back, or the writer's did not.
        (written_by(3001, 2, Some(7)), log(), Ok(AfterClaim::Resume)),
        (written_by(3000, 5, None), log(), Ok(AfterClaim::Resume)),
    ];
    for (marker, log, expected) in table {
        let shown = format!("{marker:?}");
        // Whoever holds /controller, and also if nobody does.
        for holder in [controller(3000, Some(5)), controller(3001, Some(4)), None] {
            assert_eq!(kind(decide(facts(holder, marker.clone()), &log)), expected, "{holder:?} {shown}");
        }
    }
    let refusal = decide(facts(None, written_by(3000, 5, Some(5_001))), &log()).unwrap_err().to_string();
    assert!(refusal.contains("two copies of one data directory") && refusal.contains("5001"), "{refusal}");
}

#[test]
fn a_deleted_controller_znode_lets_no_older_leader_in() {
    let table = [
        (written_by(3001, 6, None), Err(ErrorKind::ControllerFenced)),
        (written_by(3001, 5, None), Err(ErrorKind::ControllerFenced)),
        (written_by(3000, 6, None), Err(ErrorKind::Corrupt)),
        (written_by(3000, 5, None), Ok(AfterClaim::Resume)),
        (written_by(3001, 4, None), Ok(AfterClaim::Resume)),
    ];
    for (marker, expected) in table {
        let shown = format!("{marker:?}");
        assert_eq!(kind(decide(facts(None, marker), &log())), expected, "{shown}");
    }
}

#[test]
fn before_the_copy_only_an_unwritten_marker_of_ours_is_taken() {
    let foreign = Marker { quorum: Some(QuorumIdentity { log_id: "other".into(), ..ours() }), ..marker(None) };
    let kafkas = Marker { quorum: None, ..marker(None) };
    let table = [
        (None, Ok(AfterClaim::Copy)),
        (Some(marker(None)), Ok(AfterClaim::Copy)),
        (Some(marker(Some(0))), Ok(AfterClaim::Copy)),
        (Some(marker(Some(1))), Err(ErrorKind::Corrupt)),
        (Some(marker(Some(150))), Err(ErrorKind::Corrupt)),
        (Some(foreign), Err(ErrorKind::Invalid)),
        (Some(kafkas), Err(ErrorKind::Invalid)),
    ];
    for (marker, expected) in table {
        let shown = format!("{marker:?}");
        assert_eq!(kind(decide(facts(controller(1, None), marker), &Expected::Nothing)), expected, "{shown}");
    }
}

#[test]
fn before_the_copy_it_does_not_matter_that_a_zk_controller_governs() {
    // The marker of an interrupted first attempt; a broker was elected in between.
    let interrupted = Marker { epoch_zk_version: Some(ZkVersion(8)), ..marker(None) };
    assert_eq!(kind(decide(facts(controller(1, None), Some(interrupted)), &Expected::Nothing)), Ok(AfterClaim::Copy));
}

#[test]
fn a_marker_in_our_log_is_resumed_and_any_other_is_refused() {
    let in_epoch = |epoch: i32, last: i64| Marker {
        position: Position::after(Offset(last), KRaftLeaderEpoch(epoch)),
        ..marker(None)
    };
    let table = [
        (marker(Some(150)), Ok(AfterClaim::Resume)),
        (marker(Some(199)), Ok(AfterClaim::Resume)),
        (in_epoch(1, 99), Ok(AfterClaim::Resume)),
        (marker(Some(200)), Err(ErrorKind::Corrupt)),
        (marker(Some(99)), Err(ErrorKind::Corrupt)),
        (in_epoch(1, 100), Err(ErrorKind::Corrupt)),
        (Marker { batch_end: Some(Offset(200)), ..marker(Some(150)) }, Ok(AfterClaim::Resume)),
        (Marker { batch_end: Some(Offset(201)), ..marker(Some(150)) }, Err(ErrorKind::Corrupt)),
        (Marker { sync: SyncState::Running, ..marker(Some(150)) }, Ok(AfterClaim::FullSync)),
        (Marker { projection: PROJECTION + 1, ..marker(Some(150)) }, Ok(AfterClaim::FullSync)),
        // The transaction's end was committed and the marker never advanced (G18, S60).
        (marker(None), Ok(AfterClaim::FullSync)),
    ];
    for (marker, expected) in table {
        let shown = format!("{marker:?}");
        assert_eq!(kind(decide(facts(controller(3001, Some(4)), Some(marker)), &log())), expected, "{shown}");
    }
}

#[test]
fn a_zk_controller_since_our_last_claim_means_governed_elsewhere() {
    let table = [
        // Our own crash: /controller_epoch is as we left it, whoever of us holds /controller.
        (Some(ZkVersion(9)), controller(3001, Some(4)), Ok(AfterClaim::Resume)),
        (Some(ZkVersion(9)), None, Ok(AfterClaim::Resume)),
        // A broker was elected.
        (Some(ZkVersion(8)), controller(1, None), Err(ErrorKind::GovernedElsewhere)),
        (Some(ZkVersion(8)), None, Err(ErrorKind::GovernedElsewhere)),
        (None, controller(1, None), Err(ErrorKind::GovernedElsewhere)),
    ];
    for (epoch_zk_version, holder, expected) in table {
        let marker = Marker { epoch_zk_version, ..marker(Some(150)) };
        assert_eq!(kind(decide(facts(holder, Some(marker)), &log())), expected, "{epoch_zk_version:?} {holder:?}");
    }
}

#[test]
fn a_deleted_marker_is_made_anew_only_while_we_hold_the_controller_znode() {
    let table = [
        (controller(3001, Some(4)), Ok(AfterClaim::FullSync)),
        (controller(3000, Some(5)), Ok(AfterClaim::FullSync)),
        (controller(4000, Some(4)), Err(ErrorKind::GovernedElsewhere)),
        (controller(3001, None), Err(ErrorKind::GovernedElsewhere)),
        (controller(1, None), Err(ErrorKind::GovernedElsewhere)),
        (None, Err(ErrorKind::GovernedElsewhere)),
    ];
    for (holder, expected) in table {
        assert_eq!(kind(decide(facts(holder, None), &log())), expected, "{holder:?}");
    }
}

#[test]
fn the_operators_word_leads_out_of_governed_elsewhere_and_out_of_nothing_else() {
    let Expected::Log(extent) = log() else { panic!("a log") };
    let word = Expected::LogOverruling(extent);
    let governed = Marker { epoch_zk_version: Some(ZkVersion(8)), ..marker(Some(150)) };
    let foreign = Marker { quorum: Some(QuorumIdentity { log_id: "other".into(), ..ours() }), ..marker(Some(150)) };
    let table = [
        (controller(1, None), Some(governed), Ok(AfterClaim::FullSync)),
        (controller(1, None), None, Ok(AfterClaim::FullSync)),
        (None, None, Ok(AfterClaim::FullSync)),
        (controller(3001, Some(4)), Some(marker(Some(150))), Ok(AfterClaim::FullSync)),
        (controller(3001, Some(6)), Some(marker(Some(150))), Err(ErrorKind::ControllerFenced)),
        (controller(3000, Some(6)), None, Err(ErrorKind::Corrupt)),
        (controller(1, None), Some(marker(Some(900))), Err(ErrorKind::Corrupt)),
        (controller(1, None), Some(foreign), Err(ErrorKind::Invalid)),
        (controller(1, None), written_by(3001, 1, Some(999)), Err(ErrorKind::Corrupt)),
        (controller(1, None), written_by(3001, 1, Some(1_000)), Ok(AfterClaim::FullSync)),
    ];
    for (holder, marker, expected) in table {
        let shown = format!("{holder:?} {marker:?}");
        assert_eq!(kind(decide(facts(holder, marker), &word)), expected, "{shown}");
    }
    // The word is for one claim.
    assert_eq!(word.without_overruling(), log());
}

#[test]
fn every_refusal_names_the_next_step_or_the_reason() {
    let refusals = [
        ClaimRefusal::NoKafkaCluster.to_string(),
        decide(facts(controller(3001, Some(6)), None), &log()).unwrap_err().to_string(),
        decide(facts(controller(3000, Some(6)), None), &log()).unwrap_err().to_string(),
        decide(facts(None, Some(marker(Some(900)))), &log()).unwrap_err().to_string(),
        decide(facts(None, None), &log()).unwrap_err().to_string(),
    ];
    for (text, part) in
        refusals.iter().zip(["--zookeeper", "deposed", "old copy", "newest data directory", "does not end by itself"])
    {
        assert!(text.contains(part), "{text}");
    }
}

/// A log that begins with a snapshot, as one has that was filled by others, does not reach back to where ZooKeeper is.
#[test]
fn a_marker_from_before_the_logs_beginning_is_not_ahead_of_it() {
    let log = |epoch, start| {
        let epochs = vec![(KRaftLeaderEpoch(epoch), Offset(start))];
        Expected::Log(LogExtent { epochs, end_offset: Offset(200), ..LogExtent::default() })
    };
    let table = [
        // The marker is of epoch 2, up to offset 150.
        (log(2, 151), Ok(AfterClaim::Resume)),
        (log(3, 180), Ok(AfterClaim::Resume)),
        (log(2, 150), Ok(AfterClaim::Resume)),
        // There the log is of an older epoch, or of a newer one: another branch.
        (log(1, 180), Err(ErrorKind::Corrupt)),
        (log(3, 150), Err(ErrorKind::Corrupt)),
        (log(1, 100), Err(ErrorKind::Corrupt)),
    ];
    for (log, expected) in table {
        let shown = format!("{log:?}");
        assert_eq!(kind(decide(facts(None, Some(marker(Some(150)))), &log)), expected, "{shown}");
    }
    let Expected::Log(nothing) = log(2, 0) else { unreachable!() };
    let nothing = Expected::Log(LogExtent { epochs: Vec::new(), end_offset: Offset(0), ..nothing });
    assert_eq!(kind(decide(facts(None, Some(marker(Some(150)))), &nothing)), Err(ErrorKind::Corrupt));
}
