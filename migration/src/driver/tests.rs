//! The table, walked: who may go where, and what is ordered on the way.

use std::collections::{BTreeSet, VecDeque};

use broker_registry::{Readiness, UnreadyBroker, UnreadyReason};
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Position, ZkControllerEpoch, ZkVersion};
use metadata_core::leadership::{AfterClaim, Fence, KraftLeadership, Leadership, ZkClaim};
use metadata_core::record::ZkMigrationState;
use metadata_core::store::{Claimed, SyncReport};

use super::*;

fn gained(epoch: i32) -> Event {
    Event::LeadershipGained(KraftLeadership { id: NodeId(3000), epoch: KRaftLeaderEpoch(epoch) })
}

fn log(state: ZkMigrationState, has_cluster_metadata: bool) -> Event {
    Event::LogRead(LogFacts { empty: false, state, has_cluster_metadata })
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

/// Walks a story: each event with the orders and the state that it must lead to.
fn walk(story: impl IntoIterator<Item = (Event, &'static [Effect], State)>) -> Driver {
    let mut driver = Driver::default();
    for (event, effects, state) in story {
        let shown = format!("{event:?}");
        assert_eq!(driver.step(event), effects, "orders on {shown}");
        assert_eq!(driver.state, state, "state after {shown}");
    }
    driver
}

fn until_dual_write() -> Vec<(Event, &'static [Effect], State)> {
    use Effect::*;
    vec![
        (gained(1), &[Stop, ReadLog], State::WaitForControllerQuorum),
        (
            Event::LogRead(LogFacts { empty: true, state: ZkMigrationState::None, has_cluster_metadata: false }),
            &[Bootstrap],
            State::WaitForControllerQuorum,
        ),
        (Event::Bootstrapped, &[ReadLog], State::WaitForControllerQuorum),
        (log(ZkMigrationState::PreMigration, false), &[JudgeBrokers], State::WaitForBrokers),
        (waiting(), &[Report, RetryLater], State::WaitForBrokers),
        (Event::RetryDue, &[JudgeBrokers], State::WaitForBrokers),
        (ready(), &[Claim], State::BecomeController),
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
        (gained(2), &[Stop, ReadLog] as &[_], State::WaitForControllerQuorum),
        (log(ZkMigrationState::Migration, true), &[Claim], State::BecomeController),
        (claimed(AfterClaim::Resume), &[TellBrokers], State::KRaftControllerToBrokerComm),
        (Event::BrokersTold, &[DualWrite], State::DualWrite),
    ]);
}

#[test]
fn a_crash_between_the_copys_end_and_the_marker_is_healed_by_a_sync() {
    use Effect::*;
    walk([
        (gained(2), &[Stop, ReadLog] as &[_], State::WaitForControllerQuorum),
        (log(ZkMigrationState::Migration, true), &[Claim], State::BecomeController),
        (claimed(AfterClaim::FullSync), &[Sync], State::SyncKRaftToZk),
        (Event::Synced(SyncReport::default()), &[TellBrokers], State::KRaftControllerToBrokerComm),
    ]);
}

#[test]
fn a_newer_epoch_begins_anew_in_every_state() {
    for state in State::ALL {
        let mut driver = Driver { state, ..Driver::default() };
        assert_eq!(driver.step(gained(9)), &[Effect::Stop, Effect::ReadLog], "{state}");
        assert_eq!(driver.state, State::WaitForControllerQuorum, "{state}");
        assert_eq!(driver.claimed, None, "the claim of an older epoch is forgotten in {state}");
    }
}

#[test]
fn losing_leadership_stops_everything_in_every_state() {
    for state in State::ALL {
        let mut driver = Driver { state, ..Driver::default() };
        assert_eq!(driver.step(Event::LeadershipLost), &[Effect::Stop], "{state}");
        assert_eq!((driver.state, driver.leadership), (State::Inactive, None), "{state}");
    }
}

#[test]
fn news_of_an_older_epoch_changes_nothing() {
    let mut driver = walk(until_dual_write());
    driver.step(gained(5));
    let before = driver.clone();
    assert_eq!(driver.step(gained(4)), &[] as &[Effect]);
    assert_eq!(driver, before);
}

#[test]
fn a_log_that_cannot_be_migrated_into_blocks_and_says_why() {
    for (state, with_metadata) in [
        (ZkMigrationState::None, true),
        (ZkMigrationState::None, false),
        (ZkMigrationState::PreMigration, true),
        (ZkMigrationState::PostMigration, true),
    ] {
        let mut driver = Driver::default();
        driver.step(gained(1));
        assert_eq!(driver.step(log(state, with_metadata)), &[Effect::Report]);
        assert_eq!(driver.state, State::Blocked);
        let reason = driver.reason.unwrap_or_default();
        assert!(reason.contains(&state.to_string()) && reason.contains("freshly formatted"), "{reason}");
    }
}

#[test]
fn what_only_an_operator_can_mend_is_never_retried() {
    let states =
        [State::WaitForBrokers, State::BecomeController, State::ZkMigration, State::SyncKRaftToZk, State::DualWrite];
    for state in states {
        for kind in [ErrorKind::Corrupt, ErrorKind::Invalid, ErrorKind::Unsupported] {
            let mut driver = Driver { state, ..Driver::default() };
            let effects = driver.step(failed(kind));
            assert_eq!(
                (driver.state, effects),
                (State::Blocked, &[Effect::Stop, Effect::Report] as &[_]),
                "{state} {kind:?}"
            );
            assert_eq!(driver.step(Event::RetryDue), &[] as &[Effect]);
        }
        let mut driver = Driver { state, ..Driver::default() };
        driver.step(failed(ErrorKind::GovernedElsewhere));
        assert_eq!(driver.state, State::ZkGoverned, "{state}");
        assert_eq!(driver.step(Event::RetryDue), &[] as &[Effect], "nothing but the operator's word leaves it");
    }
}

#[test]
fn every_state_that_can_fail_for_now_tries_again() {
    // A failure that passes must end in a state from which the retry orders something (G4, L19: never idle for ever).
    for state in State::ALL {
        let Some(row) = transition(state, EventKind::FailedForNow) else { continue };
        assert!(row.effects.contains(&Effect::RetryLater), "{state}");
        let next = row.next.unwrap_or(state);
        let retry = transition(next, EventKind::RetryDue);
        assert!(
            retry.is_some_and(|retry| !retry.effects.is_empty()),
            "{state} goes to {next}, where nothing is retried"
        );
    }
}

#[test]
fn orders_that_answer_are_answered_wherever_they_are_given() {
    // For each state that orders something, some answer to it leads on, and a passing failure is handled.
    for row in TRANSITIONS {
        let states = row.next.map_or_else(|| row.state.into_iter().collect::<Vec<_>>(), |next| vec![next]);
        for state in states {
            for effect in row.effects {
                let answers: &[EventKind] = match effect {
                    Effect::ReadLog => &[
                        EventKind::LogIsEmpty,
                        EventKind::LogSaysPreMigration,
                        EventKind::LogSaysMigration,
                        EventKind::LogSaysNo,
                    ],
                    Effect::Bootstrap => &[EventKind::Bootstrapped],
                    Effect::JudgeBrokers => &[EventKind::BrokersReady, EventKind::BrokersWaiting],
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
                    Effect::DualWrite => &[EventKind::Deposed, EventKind::FailedClaim],
                    Effect::RetryLater => &[EventKind::RetryDue],
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
fn attempts_count_failures_in_a_row_and_progress_clears_them() {
    let mut driver = Driver::default();
    driver.step(gained(1));
    driver.step(log(ZkMigrationState::Migration, true));
    driver.step(failed(ErrorKind::Unavailable));
    driver.step(Event::RetryDue);
    driver.step(failed(ErrorKind::Unavailable));
    assert_eq!(driver.attempt, 2);
    assert_eq!(driver.reason.as_deref(), Some("it failed"));
    driver.step(claimed(AfterClaim::FullSync));
    assert_eq!((driver.attempt, driver.reason), (0, None));
}
