//! The table, walked: who may go where, and what is ordered on the way.

use std::collections::{BTreeSet, VecDeque};

use broker_registry::{Readiness, UnreadyBroker, UnreadyReason};
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Position, ZkControllerEpoch, ZkVersion};
use metadata_core::leadership::{AfterClaim, Fence, KraftLeadership, Leadership, ZkClaim};
use metadata_core::store::{Claimed, SyncReport};

use super::*;

fn gained(epoch: i32) -> Event {
    Event::LeadershipGained(KraftLeadership { id: NodeId(3000), epoch: KRaftLeaderEpoch(epoch) })
}

/// Facts of a controller with the flag whose peers agree.
fn facts(log: LogFinding, marker: MarkerFinding) -> Event {
    Event::Surveyed(Facts { log, own: true, peers: Peers::none(true), marker, refusal: None })
}

fn empty_log() -> Event {
    facts(LogFinding::Empty, MarkerFinding::Absent)
}

fn nothing_copied() -> Event {
    facts(LogFinding::Pre, MarkerFinding::Absent)
}

fn copied() -> Event {
    facts(LogFinding::Migration, MarkerFinding::Written)
}

/// Facts of a controller whose flag is gone, as those of its peers are.
fn flags_gone() -> Event {
    let peers = Peers::none(false);
    let (log, marker) = (LogFinding::Migration, MarkerFinding::Written);
    Event::Surveyed(Facts { log, own: false, peers, marker, refusal: None })
}

fn ready() -> Event {
    Event::BrokersJudged(Readiness::Ready { served: 0, unserved: vec![] })
}

fn waiting() -> Event {
    let reason = UnreadyReason::Missing { replicas: 4 };
    Event::BrokersJudged(Readiness::Waiting(vec![UnreadyBroker { id: NodeId(5), reason }]))
}

fn claimed(next: AfterClaim) -> Event {
    let fence = Fence::ZooKeeper(ZkClaim { epoch: ZkControllerEpoch(8), epoch_zk_version: ZkVersion(8) });
    let kraft = KraftLeadership { id: NodeId(3000), epoch: KRaftLeaderEpoch(1) };
    Event::Claimed(Claimed {
        leadership: Leadership { kraft, fence },
        position: Position::START,
        batch_end: None,
        next,
    })
}

fn failed(kind: ErrorKind) -> Event {
    Event::Failed(Error::not_applied(kind, "it failed"))
}

/// Steps with an answer to an order of the present epoch, or with the news who leads. Returns what is ordered.
fn step(driver: &mut Driver, event: Event) -> Vec<Effect> {
    let orders = driver.step(Answer { epoch: driver.epoch(), event });
    assert!(orders.iter().all(|order| order.epoch == driver.epoch()), "an order of another epoch");
    orders.into_iter().map(|order| order.effect).collect()
}

/// Walks a story: each event with the orders and the state that it must lead to.
fn walk(story: impl IntoIterator<Item = (Event, &'static [Effect], State)>) -> Driver {
    let mut driver = Driver::default();
    for (event, effects, state) in story {
        let shown = format!("{event:?}");
        assert_eq!(step(&mut driver, event), effects, "orders on {shown}");
        assert_eq!(driver.state, state, "state after {shown}");
    }
    driver
}

fn until_dual_write() -> Vec<(Event, &'static [Effect], State)> {
    use Effect::*;
    vec![
        (gained(1), &[Stop, Survey], State::WaitForControllerQuorum),
        (empty_log(), &[BootstrapMigration], State::WaitForControllerQuorum),
        (Event::Bootstrapped, &[Survey], State::WaitForControllerQuorum),
        (nothing_copied(), &[JudgeBrokers], State::WaitForBrokers),
        (waiting(), &[Report, RetryLater], State::WaitForBrokers),
        (Event::RetryDue, &[JudgeBrokers], State::WaitForBrokers),
        (ready(), &[Rehearse], State::WaitForBrokers),
        (Event::Rehearsed, &[Claim], State::BecomeController),
        (claimed(AfterClaim::Copy), &[Copy], State::ZkMigration),
        (Event::Copied, &[Sync], State::SyncKRaftToZk),
        (Event::Synced(SyncReport::default()), &[TellBrokers], State::KRaftControllerToBrokerComm),
        (Event::BrokersTold, &[DualWrite], State::DualWrite),
    ]
}

#[test]
fn a_first_migration_goes_from_an_empty_log_to_dual_write() {
    let driver = walk(until_dual_write());
    assert_eq!(driver.attempt, 0);
    assert!(driver.claimed.is_some());
}

#[test]
fn a_restarted_controller_resumes_without_copying() {
    use Effect::*;
    walk([
        (gained(2), &[Stop, Survey] as &[_], State::WaitForControllerQuorum),
        (copied(), &[Claim], State::BecomeController),
        (claimed(AfterClaim::Resume), &[TellBrokers], State::KRaftControllerToBrokerComm),
        (Event::BrokersTold, &[DualWrite], State::DualWrite),
    ]);
}

#[test]
fn a_crash_between_the_copys_end_and_the_marker_is_healed_by_a_sync() {
    use Effect::*;
    walk([
        (gained(2), &[Stop, Survey] as &[_], State::WaitForControllerQuorum),
        (copied(), &[Claim], State::BecomeController),
        (claimed(AfterClaim::FullSync), &[Sync], State::SyncKRaftToZk),
        (Event::Synced(SyncReport::default()), &[TellBrokers], State::KRaftControllerToBrokerComm),
    ]);
}

#[test]
fn a_newer_epoch_begins_anew_in_every_state() {
    for state in State::ALL {
        let mut driver = Driver { state, ..Driver::default() };
        assert_eq!(step(&mut driver, gained(9)), &[Effect::Stop, Effect::Survey], "{state}");
        assert_eq!(driver.state, State::WaitForControllerQuorum, "{state}");
        assert_eq!(driver.claimed, None, "the claim of an older epoch is forgotten in {state}");
    }
}

#[test]
fn losing_leadership_stops_everything_in_every_state() {
    for state in State::ALL {
        let mut driver = Driver { state, ..Driver::default() };
        assert_eq!(step(&mut driver, Event::LeadershipLost), &[Effect::Stop], "{state}");
        assert_eq!((driver.state, driver.leadership), (State::Inactive, None), "{state}");
    }
}

#[test]
fn news_of_an_older_epoch_changes_nothing() {
    let mut driver = walk(until_dual_write());
    step(&mut driver, gained(5));
    let before = driver.clone();
    assert_eq!(step(&mut driver, gained(4)), &[] as &[Effect]);
    assert_eq!(driver, before);
}

#[test]
fn what_the_decision_refuses_blocks_and_says_why_and_what_would_help() {
    for (log, marker, refusal, texts) in [
        (LogFinding::Born, MarkerFinding::NotAsked, None, ["NONE", "freshly formatted"]),
        (LogFinding::PreFilled, MarkerFinding::NotAsked, None, ["PRE_MIGRATION", "freshly formatted"]),
        (LogFinding::Pre, MarkerFinding::Refused, Some(ErrorKind::Invalid), ["it is foreign", "foreign"]),
        (LogFinding::Pre, MarkerFinding::Written, None, ["old copy", "newest"]),
        (LogFinding::Migration, MarkerFinding::Ahead, Some(ErrorKind::Corrupt), ["it is foreign", "foreign"]),
    ] {
        let mut driver = Driver::default();
        step(&mut driver, gained(1));
        let refusal = refusal.map(|kind| Error::not_applied(kind, "it is foreign"));
        let kind = refusal.as_ref().map(Error::kind);
        let facts = Facts { log, own: true, peers: Peers::none(true), marker, refusal };
        assert_eq!(step(&mut driver, Event::Surveyed(facts)), [Effect::Stop, Effect::Report]);
        assert_eq!((driver.state, driver.failed_by), (State::Blocked, kind));
        let reason = driver.reason.clone().unwrap_or_default();
        assert!(texts.iter().all(|text| reason.contains(text)), "{log:?}: {reason}");
        assert_eq!(step(&mut driver, Event::RetryDue), &[] as &[Effect]);
    }
}

#[test]
fn a_controller_without_the_flag_leaves_a_frozen_log_alone_and_says_so() {
    let mut driver = Driver::default();
    step(&mut driver, gained(1));
    let facts = Facts {
        log: LogFinding::Pre,
        own: false,
        peers: Peers { flags: PeerFlags::Everywhere, disagreeing: vec![] },
        marker: MarkerFinding::NotAsked,
        refusal: None,
    };
    assert_eq!(step(&mut driver, Event::Surveyed(facts)), [Effect::Stop, Effect::Report]);
    assert_eq!((driver.state, driver.decision), (State::Blocked, Some(Decision::RefuseFrozen)));
    assert!(driver.reason.is_some_and(|reason| reason.contains("zookeeper.metadata.migration.enable")));
}

#[test]
fn a_plain_or_finalized_cluster_is_healthy_and_has_nothing_to_do() {
    for (log, own, decision) in [
        (LogFinding::Born, false, Decision::PlainKRaft),
        (LogFinding::Post, false, Decision::Finalized),
        (LogFinding::Post, true, Decision::Finalized),
    ] {
        let mut driver = Driver::default();
        step(&mut driver, gained(1));
        let facts = Facts { log, own, peers: Peers::none(own), marker: MarkerFinding::NotAsked, refusal: None };
        assert_eq!(step(&mut driver, Event::Surveyed(facts)), [Effect::Stop]);
        let seen = (driver.state, driver.decision, driver.reason);
        assert_eq!(seen, (State::Inactive, Some(decision), None));
        // Settings that are left behind are said to be, once.
        let [warning] = driver.warnings.as_slice() else { panic!("{:?}", driver.warnings) };
        assert!(warning.contains("ZooKeeper settings have no effect"), "{warning}");
    }
}

#[test]
fn controllers_that_disagree_are_named_and_asked_again() {
    let disagree = |log| Facts {
        log,
        own: true,
        peers: Peers { flags: PeerFlags::Mixed, disagreeing: vec!["controller 7 lacks it".into()] },
        marker: MarkerFinding::Unwritten,
        refusal: None,
    };
    let mut driver = Driver::default();
    step(&mut driver, gained(1));
    let orders = step(&mut driver, Event::Surveyed(disagree(LogFinding::Pre)));
    assert_eq!((orders, driver.state), (vec![Effect::Report, Effect::RetryLater], State::WaitForControllerQuorum));
    assert!(driver.reason.as_ref().is_some_and(|reason| reason.contains("controller 7 lacks it")));
    assert_eq!(step(&mut driver, Event::RetryDue), [Effect::Survey]);
    assert_eq!(step(&mut driver, nothing_copied()), [Effect::JudgeBrokers]);
    assert_eq!((&driver.reason, driver.attempt), (&None, 0));

    // Once all is copied it goes on, and warns.
    let mut driver = Driver::default();
    step(&mut driver, gained(1));
    let orders = step(&mut driver, Event::Surveyed(disagree(LogFinding::Migration)));
    assert_eq!((orders, driver.state), (vec![Effect::Report, Effect::Claim], State::BecomeController));
    assert_eq!((&driver.reason, driver.warnings.len()), (&None, 2));
}

#[test]
fn without_any_flag_it_dual_writes_until_it_may_finalize_and_then_never_again() {
    use Effect::*;
    let refused = || Event::FinalizationRefused(vec!["broker 1 is alive".into()]);
    let mut driver = walk([
        (gained(2), &[Stop, Survey] as &[_], State::WaitForControllerQuorum),
        (flags_gone(), &[Claim], State::BecomeController),
        (claimed(AfterClaim::Resume), &[TellBrokers], State::KRaftControllerToBrokerComm),
        (Event::BrokersTold, &[DualWrite, Finalize], State::DualWrite),
        (refused(), &[Report, RetryLater], State::DualWrite),
        (Event::RetryDue, &[Finalize], State::DualWrite),
        (refused(), &[Report, RetryLater], State::DualWrite),
    ]);
    assert_eq!((driver.reason.as_deref(), driver.attempt), (Some("broker 1 is alive"), 2));
    step(&mut driver, Event::RetryDue);
    assert_eq!(step(&mut driver, Event::Finalized), [Stop]);
    assert_eq!((driver.state, driver.decision, &driver.reason), (State::Inactive, Some(Decision::Finalized), &None));
    // Whatever comes late, nothing is ordered any more.
    for late in [Event::RetryDue, Event::InStep, Event::BrokersTold, Event::FlagsGone, refused()] {
        assert_eq!(step(&mut driver, late), &[] as &[Effect]);
    }
}

#[test]
fn flags_that_go_while_it_dual_writes_lead_to_finalization() {
    let mut driver = walk(until_dual_write());
    assert_eq!(step(&mut driver, Event::FlagsGone), [Effect::Finalize]);
    assert_eq!(driver.decision, Some(Decision::DualWriteToFinalize));
}

#[test]
fn what_only_an_operator_can_mend_is_never_retried() {
    let states =
        [State::WaitForBrokers, State::BecomeController, State::ZkMigration, State::SyncKRaftToZk, State::DualWrite];
    for state in states {
        for kind in [ErrorKind::Corrupt, ErrorKind::Invalid, ErrorKind::Unsupported] {
            let mut driver = Driver { state, ..Driver::default() };
            let effects = step(&mut driver, failed(kind));
            assert_eq!(
                (driver.state, effects),
                (State::Blocked, vec![Effect::Stop, Effect::Report]),
                "{state} {kind:?}"
            );
            assert_eq!(step(&mut driver, Event::RetryDue), &[] as &[Effect]);
        }
        let mut driver = Driver { state, ..Driver::default() };
        step(&mut driver, failed(ErrorKind::GovernedElsewhere));
        assert_eq!(driver.state, State::ZkGoverned, "{state}");
        assert_eq!(step(&mut driver, Event::RetryDue), &[] as &[Effect], "nothing but the operator's word leaves it");
    }
}

#[test]
fn no_failure_is_dropped_and_none_ends_in_silence() {
    // Wherever an order may be under way, each failure leads to a retry, to a new order, or to an end that is reported.
    let failures = [
        EventKind::FailedForNow,
        EventKind::FailedClaim,
        EventKind::Deposed,
        EventKind::FailedForGood,
        EventKind::GovernedElsewhere,
    ];
    let idle = [State::Inactive, State::Blocked, State::ZkGoverned];
    for state in State::ALL.into_iter().filter(|state| !idle.contains(state)) {
        for failure in failures {
            let row = transition(state, failure).unwrap_or_else(|| panic!("{failure:?} in {state} is dropped"));
            let next = row.next.unwrap_or(state);
            let retried = row.effects.contains(&Effect::RetryLater)
                && transition(next, EventKind::RetryDue).is_some_and(|retry| !retry.effects.is_empty());
            let reported = idle.contains(&next) && row.effects.contains(&Effect::Report);
            assert!(retried || reported, "{failure:?} in {state} goes to {next}, where nothing goes on");
        }
    }
}

/// What a survey may lead to. (It looks at ZooKeeper by itself, so that decision is never its answer.)
const SURVEYED: [EventKind; 16] = [
    EventKind::Decided(Decision::BootstrapKRaft),
    EventKind::Decided(Decision::BootstrapMigration),
    EventKind::Decided(Decision::PlainKRaft),
    EventKind::Decided(Decision::Finalized),
    EventKind::Decided(Decision::WaitForControllers),
    EventKind::Decided(Decision::WaitForBrokers),
    EventKind::Decided(Decision::DualWrite),
    EventKind::Decided(Decision::DualWriteDisagreed),
    EventKind::Decided(Decision::DualWriteToFinalize),
    EventKind::Decided(Decision::Deposed),
    EventKind::Decided(Decision::ZkGoverned),
    EventKind::Decided(Decision::RefuseBornInKRaft),
    EventKind::Decided(Decision::RefuseFilledLog),
    EventKind::Decided(Decision::RefuseFrozen),
    EventKind::Decided(Decision::RefuseMarker),
    EventKind::Decided(Decision::RefuseOldCopy),
];

#[test]
fn orders_that_answer_are_answered_wherever_they_are_given() {
    // For each state that orders something, some answer to it leads on, and a passing failure is handled.
    for row in TRANSITIONS {
        let states = row.next.map_or_else(|| row.state.into_iter().collect::<Vec<_>>(), |next| vec![next]);
        for state in states {
            for effect in row.effects {
                let answers: &[EventKind] = match effect {
                    Effect::Survey => &SURVEYED,
                    Effect::BootstrapKRaft | Effect::BootstrapMigration => &[EventKind::Bootstrapped],
                    Effect::JudgeBrokers => &[EventKind::BrokersReady, EventKind::BrokersWaiting],
                    Effect::Rehearse => &[EventKind::Rehearsed, EventKind::BrokersWaiting, EventKind::FailedClaim],
                    Effect::Claim => &[
                        EventKind::ClaimedToCopy,
                        EventKind::ClaimedToSync,
                        EventKind::ClaimedToResume,
                        EventKind::Deposed,
                        EventKind::FailedClaim,
                    ],
                    Effect::Copy => &[EventKind::Copied, EventKind::Deposed, EventKind::FailedClaim],
                    Effect::Sync => &[EventKind::Synced, EventKind::Deposed, EventKind::FailedClaim],
                    Effect::TellBrokers => &[EventKind::BrokersTold],
                    Effect::DualWrite => &[EventKind::InStep, EventKind::Deposed, EventKind::FailedClaim],
                    Effect::RetryLater => &[EventKind::RetryDue],
                    Effect::Finalize => &[EventKind::FinalizationRefused, EventKind::Finalized],
                    Effect::Stop | Effect::Report => continue,
                };
                for answer in answers.iter().chain([&EventKind::FailedForGood]) {
                    assert!(transition(state, *answer).is_some(), "{effect:?} in {state} may answer {answer:?}");
                }
                if *effect != Effect::RetryLater {
                    assert!(transition(state, EventKind::FailedForNow).is_some(), "{effect:?} in {state} may fail");
                }
            }
        }
    }
}

#[test]
fn every_state_is_reached_and_every_row_is_used() {
    let kinds: BTreeSet<_> = TRANSITIONS.iter().map(|t| t.event).collect();
    let mut reached = BTreeSet::from([State::Inactive]);
    let mut used = BTreeSet::new();
    let mut queue = VecDeque::from([State::Inactive]);
    while let Some(state) = queue.pop_front() {
        for kind in &kinds {
            let Some(row) = transition(state, *kind) else { continue };
            used.insert((row.state, row.event));
            let next = row.next.unwrap_or(state);
            if reached.insert(next) {
                queue.push_back(next);
            }
        }
    }
    assert_eq!(reached, State::ALL.into_iter().collect());
    let rows: BTreeSet<_> = TRANSITIONS.iter().map(|t| (t.state, t.event)).collect();
    assert_eq!(used, rows, "a row that is never used, or hidden behind another");
    assert_eq!(rows.len(), TRANSITIONS.len(), "two rows for the same state and event");
}

#[test]
fn attempts_count_failures_in_a_row_and_only_what_moves_data_clears_them() {
    let mut driver = walk(until_dual_write());
    for attempt in 1..=3 {
        assert_eq!(
            step(&mut driver, failed(ErrorKind::Conflict)),
            [Effect::Stop, Effect::RetryLater],
            "no retry at once"
        );
        assert_eq!((driver.attempt, driver.reason.as_deref()), (attempt, Some("it failed")));
        step(&mut driver, Event::RetryDue);
        step(&mut driver, copied());
        step(&mut driver, claimed(AfterClaim::Resume));
        step(&mut driver, Event::BrokersTold);
        assert_eq!(driver.state, State::DualWrite);
    }
    assert_eq!((driver.attempt, driver.reason.as_deref()), (3, Some("it failed")), "a claim moves nothing");
    step(&mut driver, Event::InStep);
    assert_eq!((driver.attempt, &driver.reason, driver.failed_by), (0, &None, None));
    step(&mut driver, failed(ErrorKind::Unavailable));
    assert_eq!((driver.attempt, driver.failed_by), (1, Some(ErrorKind::Unavailable)));
    step(&mut driver, gained(2));
    assert_eq!((driver.attempt, driver.reason), (0, None));
}

#[test]
fn an_answer_of_an_older_epoch_changes_nothing() {
    for stale in [
        Event::Copied,
        Event::RetryDue,
        Event::InStep,
        claimed(AfterClaim::Copy),
        failed(ErrorKind::Invalid),
        Event::Synced(SyncReport::default()),
    ] {
        let mut driver = walk([
            (gained(2), &[Effect::Stop, Effect::Survey] as &[_], State::WaitForControllerQuorum),
            (nothing_copied(), &[Effect::JudgeBrokers], State::WaitForBrokers),
            (ready(), &[Effect::Rehearse], State::WaitForBrokers),
            (Event::Rehearsed, &[Effect::Claim], State::BecomeController),
            (claimed(AfterClaim::Copy), &[Effect::Copy], State::ZkMigration),
        ]);
        let before = driver.clone();
        let shown = format!("{stale:?}");
        let orders = driver.step(Answer { epoch: Some(KRaftLeaderEpoch(1)), event: stale });
        assert_eq!((orders.len(), &driver), (0, &before), "{shown}");
    }
}

#[test]
fn before_the_copy_every_retry_looks_at_the_brokers_again() {
    use Effect::*;
    let to_the_copy = || {
        walk([
            (gained(1), &[Stop, Survey] as &[_], State::WaitForControllerQuorum),
            (nothing_copied(), &[JudgeBrokers], State::WaitForBrokers),
            (ready(), &[Rehearse], State::WaitForBrokers),
            (Event::Rehearsed, &[Claim], State::BecomeController),
        ])
    };
    let mut failed_claim = to_the_copy();
    step(&mut failed_claim, failed(ErrorKind::Unavailable));
    let mut failed_copy = to_the_copy();
    step(&mut failed_copy, claimed(AfterClaim::Copy));
    step(&mut failed_copy, failed(ErrorKind::Unavailable));
    for mut driver in [failed_claim, failed_copy] {
        assert_eq!(step(&mut driver, Event::RetryDue), [Survey]);
        assert_eq!(step(&mut driver, nothing_copied()), [JudgeBrokers]);
        assert_eq!(step(&mut driver, waiting()), [Report, RetryLater], "a broker came meanwhile");
        assert_eq!(driver.state, State::WaitForBrokers);
    }
}

#[test]
fn the_role_outlasts_the_claim_until_another_leads_or_governs() {
    let mut driver = walk(until_dual_write());
    step(&mut driver, failed(ErrorKind::Unavailable));
    assert_eq!((driver.claimed, driver.holds_role), (None, true));
    let mut governed = driver.clone();
    step(&mut governed, failed(ErrorKind::GovernedElsewhere));
    assert!(!governed.holds_role);
    step(&mut driver, Event::LeadershipLost);
    assert!(!driver.holds_role);
}

#[test]
fn a_failure_stays_the_reason_while_the_brokers_are_looked_at_again_and_a_verdict_does_not() {
    let mut driver = Driver::default();
    step(&mut driver, gained(1));
    step(&mut driver, nothing_copied());
    step(&mut driver, waiting());
    assert_eq!((driver.reason.is_some(), driver.failed_by), (true, None));
    step(&mut driver, Event::RetryDue);
    step(&mut driver, ready());
    assert_eq!((&driver.reason, driver.attempt), (&None, 0));
    step(&mut driver, failed(ErrorKind::Unavailable));
    step(&mut driver, Event::RetryDue);
    step(&mut driver, ready());
    assert_eq!((driver.reason.as_deref(), driver.attempt), (Some("it failed"), 1));
}
