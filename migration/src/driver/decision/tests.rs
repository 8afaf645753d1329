//! A test per row, in the order of the table, and what must hold for all rows together.

use super::*;

/// An example of every row: the facts, and what follows. The rows are told apart by their place.
const EXAMPLES: &[(LogFinding, bool, PeerFlags, MarkerFinding, Decision)] = &[
    (Post, true, Everywhere, Written, Decision::Finalized),
    (Born, false, Mixed, NotAsked, Decision::PlainKRaft),
    (Born, true, Everywhere, Absent, Decision::RefuseBornInKRaft),
    (Empty, false, Nowhere, NotAsked, Decision::BootstrapKRaft),
    (Empty, false, Mixed, NotAsked, Decision::WaitForControllers),
    (Pre, false, Everywhere, Absent, Decision::RefuseFrozen),
    (PreFilled, true, Everywhere, Absent, Decision::RefuseFilledLog),
    (Pre, true, Everywhere, NotAsked, Decision::LookAtZooKeeper),
    (Migration, true, Everywhere, Governed, Decision::ZkGoverned),
    (Migration, true, Everywhere, Ahead, Decision::RefuseOldCopy),
    (Empty, true, Everywhere, Refused, Decision::RefuseMarker),
    (Migration, false, Nowhere, Newer, Decision::Deposed),
    (Pre, true, Everywhere, Written, Decision::RefuseOldCopy),
    (Empty, true, Mixed, Unwritten, Decision::BootstrapMigration),
    (Pre, true, Mixed, Absent, Decision::WaitForControllers),
    (Pre, true, OutOfReach, Absent, Decision::WaitForControllers),
    (Pre, true, OutOfReach, Unwritten, Decision::WaitForBrokers),
    (Pre, true, Everywhere, Unwritten, Decision::WaitForBrokers),
    (Migration, true, Everywhere, Unwritten, Decision::DualWrite),
    (Migration, true, Mixed, Written, Decision::DualWriteDisagreed),
    (Migration, false, Everywhere, Absent, Decision::DualWriteDisagreed),
    (Migration, false, Nowhere, Written, Decision::DualWriteToFinalize),
];

#[test]
fn each_row_of_the_table_decides_its_example() {
    assert_eq!(EXAMPLES.len(), DECISIONS.len(), "a row without an example, or the other way round");
    for (row, (log, own, peers, marker, decision)) in DECISIONS.iter().zip(EXAMPLES) {
        let shown = format!("{log:?}, {own}, {peers:?}, {marker:?} for the row {row:?}");
        assert_eq!(row.decision, *decision, "{shown}");
        assert_eq!(decide(*log, *own, *peers, *marker), *decision, "{shown}");
        let column = |pattern: &str, value: &str| pattern == "_" || pattern.split(" | ").any(|one| one == value);
        assert!(column(row.log, &format!("{log:?}")), "{shown}");
        assert!(column(row.own, &format!("{own}")), "{shown}");
        assert!(column(row.peers, &format!("{peers:?}")), "{shown}");
        assert!(column(row.marker, &format!("{marker:?}")), "{shown}");
    }
}

fn all() -> impl Iterator<Item = (LogFinding, bool, PeerFlags, MarkerFinding, Decision)> {
    LogFinding::ALL.into_iter().flat_map(|log| {
        [false, true].into_iter().flat_map(move |own| {
            PeerFlags::ALL.into_iter().flat_map(move |peers| {
                MarkerFinding::ALL
                    .into_iter()
                    .map(move |marker| (log, own, peers, marker, decide(log, own, peers, marker)))
            })
        })
    })
}

fn dual_writes(decision: Decision) -> bool {
    matches!(decision, Decision::DualWrite | Decision::DualWriteDisagreed | Decision::DualWriteToFinalize)
}

#[test]
fn nothing_leads_back_to_dual_write_after_finalization() {
    for (log, own, peers, marker, decision) in all().filter(|(log, ..)| *log == Post) {
        assert_eq!(decision, Decision::Finalized, "{log:?} {own} {peers:?} {marker:?}");
    }
}

#[test]
fn a_cluster_born_in_kraft_is_never_touched_whatever_zookeeper_says() {
    for (_, own, peers, marker, decision) in all().filter(|(log, ..)| *log == Born) {
        let expected = if own { Decision::RefuseBornInKRaft } else { Decision::PlainKRaft };
        assert_eq!(decision, expected, "{own} {peers:?} {marker:?}");
    }
}

#[test]
fn entering_needs_every_flag_and_leaving_needs_every_flag_gone() {
    for (log, own, peers, marker, decision) in all() {
        let shown = format!("{log:?} {own} {peers:?} {marker:?}");
        if decision == Decision::WaitForBrokers {
            let entered = peers == OutOfReach && marker == Unwritten;
            assert!(own && (peers == Everywhere || entered), "{shown}");
        }
        if decision == Decision::DualWriteToFinalize {
            assert!(!own && peers == Nowhere, "{shown}");
        }
        if decision == Decision::BootstrapKRaft {
            assert!(!own && peers == Nowhere, "a log of state NONE can never be migrated into: {shown}");
        }
    }
}

#[test]
fn zookeeper_is_asked_once_and_its_refusals_come_before_everything_that_would_write_there() {
    for (log, own, peers, marker, decision) in all() {
        let shown = format!("{log:?} {own} {peers:?} {marker:?}");
        assert_eq!(decision == Decision::LookAtZooKeeper, marker == NotAsked && writes_or_waits(log, own), "{shown}");
        if matches!(marker, Refused | Ahead | Governed | Newer | NotAsked) {
            assert!(!dual_writes(decision) && decision != Decision::WaitForBrokers, "{shown}");
        }
        if marker == Written {
            assert!(
                decision != Decision::WaitForBrokers && decision != Decision::BootstrapMigration,
                "a copy that exists is never made again: {shown}"
            );
        }
    }
}

/// The cases in which the marker matters.
fn writes_or_waits(log: LogFinding, own: bool) -> bool {
    match log {
        Empty | Pre => own,
        Migration => true,
        Born | PreFilled | Post => false,
    }
}

#[test]
fn the_docs_show_every_row() {
    let table = decisions_as_markdown();
    assert_eq!(table.lines().count(), DECISIONS.len() + 2);
    assert!(table.contains("| Post | any | any | any | FINALIZED |"), "{table}");
    assert!(table.contains("| Pre | on | Mixed, Nowhere | Absent, Unwritten | WAIT_FOR_CONTROLLERS |"), "{table}");
}
