//! The plan: every transition, as a table. `step` looks here, the docs print it, and a test walks it.

use super::decision::Decision as D;
use super::effect::Effect;
use super::event::EventKind;
use super::state::State;

/// One row: in this state, on this event, go there and order this.
#[derive(Debug, Clone, Copy)]
pub struct Transition {
    /// Where the driver is; `None` for any state.
    pub state: Option<State>,
    /// What happens.
    pub event: EventKind,
    /// Where it goes; `None` to stay.
    pub next: Option<State>,
    /// What it orders, in order.
    pub effects: &'static [Effect],
}

const fn row(state: State, event: EventKind, next: State, effects: &'static [Effect]) -> Transition {
    Transition { state: Some(state), event, next: Some(next), effects }
}

const fn any(event: EventKind, next: State, effects: &'static [Effect]) -> Transition {
    Transition { state: None, event, next: Some(next), effects }
}

/// What is tried again in a state when the time for it has come.
const fn again(state: State, effects: &'static [Effect]) -> Transition {
    Transition { state: Some(state), event: EventKind::RetryDue, next: None, effects }
}

/// A passing failure leaves the state as it is.
const fn later(state: State) -> Transition {
    Transition { state: Some(state), event: EventKind::FailedForNow, next: None, effects: &[Effect::RetryLater] }
}

/// The other failures after which the same is tried again, in a state that holds no claim.
const fn then_later(state: State, event: EventKind) -> Transition {
    Transition { state: Some(state), event, next: None, effects: &[Effect::Report, Effect::RetryLater] }
}

/// A failure after which ZooKeeper is claimed again, after a pause.
const fn reclaim(state: State, event: EventKind) -> Transition {
    row(state, event, State::BecomeController, &[Effect::Stop, Effect::RetryLater])
}

use Effect::{
    BootstrapKRaft, BootstrapMigration, Claim, Copy, DualWrite, Finalize, JudgeBrokers, Rehearse, Report, RetryLater,
    Stop, Survey, Sync, TellBrokers,
};
use EventKind as On;
use State as S;

/// The whole plan. An event that no row names is ignored: a late answer, say.
pub const TRANSITIONS: &[Transition] = &[
    // Leadership, in every state: a newer epoch always begins anew, whatever was under way under the old one.
    any(On::LeadershipGained, S::WaitForControllerQuorum, &[Stop, Survey]),
    any(On::LeadershipLost, S::Inactive, &[Stop]),
    // What the decision table says (`decision.rs`). Where it ends, an election or an operator begins anew.
    any(On::Decided(D::PlainKRaft), S::Inactive, &[Stop]),
    any(On::Decided(D::Finalized), S::Inactive, &[Stop]),
    any(On::Decided(D::RefuseBornInKRaft), S::Blocked, &[Stop, Report]),
    any(On::Decided(D::RefuseFilledLog), S::Blocked, &[Stop, Report]),
    any(On::Decided(D::RefuseFrozen), S::Blocked, &[Stop, Report]),
    any(On::Decided(D::RefuseMarker), S::Blocked, &[Stop, Report]),
    any(On::Decided(D::RefuseOldCopy), S::Blocked, &[Stop, Report]),
    any(On::Decided(D::ZkGoverned), S::ZkGoverned, &[Stop, Report]),
    any(On::Decided(D::BootstrapKRaft), S::WaitForControllerQuorum, &[BootstrapKRaft]),
    any(On::Decided(D::BootstrapMigration), S::WaitForControllerQuorum, &[BootstrapMigration]),
    any(On::Decided(D::WaitForControllers), S::WaitForControllerQuorum, &[Report, RetryLater]),
    any(On::Decided(D::WaitForBrokers), S::WaitForBrokers, &[JudgeBrokers]),
    any(On::Decided(D::DualWrite), S::BecomeController, &[Claim]),
    any(On::Decided(D::DualWriteDisagreed), S::BecomeController, &[Report, Claim]),
    any(On::Decided(D::DualWriteToFinalize), S::BecomeController, &[Claim]),
    row(S::WaitForControllerQuorum, On::Decided(D::Deposed), S::WaitForControllerQuorum, &[Report, RetryLater]),
    row(S::BecomeController, On::Decided(D::Deposed), S::BecomeController, &[Report, RetryLater]),
    row(S::WaitForControllerQuorum, On::Bootstrapped, S::WaitForControllerQuorum, &[Survey]),
    later(S::WaitForControllerQuorum),
    then_later(S::WaitForControllerQuorum, On::FailedClaim),
    then_later(S::WaitForControllerQuorum, On::Deposed),
    again(S::WaitForControllerQuorum, &[Survey]),
    // The brokers, and whether everything can be copied: nothing is claimed before both are known.
    row(S::WaitForBrokers, On::BrokersReady, S::WaitForBrokers, &[Rehearse]),
    row(S::WaitForBrokers, On::BrokersWaiting, S::WaitForBrokers, &[Report, RetryLater]),
    row(S::WaitForBrokers, On::Rehearsed, S::BecomeController, &[Claim]),
    later(S::WaitForBrokers),
    then_later(S::WaitForBrokers, On::FailedClaim),
    then_later(S::WaitForBrokers, On::Deposed),
    again(S::WaitForBrokers, &[JudgeBrokers]),
    // The claim. A retry decides anew: while nothing is copied, brokers may have come since, and the way leads past them
    // again; once all is copied it leads straight to the claim.
    row(S::BecomeController, On::ClaimedToCopy, S::ZkMigration, &[Copy]),
    row(S::BecomeController, On::ClaimedToSync, S::SyncKRaftToZk, &[Sync]),
    row(S::BecomeController, On::ClaimedToResume, S::KRaftControllerToBrokerComm, &[TellBrokers]),
    later(S::BecomeController),
    then_later(S::BecomeController, On::FailedClaim),
    then_later(S::BecomeController, On::Deposed),
    again(S::BecomeController, &[Survey]),
    // The copy. Nothing of a failed one is visible; it begins again from the start, since ZooKeeper may have moved on.
    row(S::ZkMigration, On::Copied, S::SyncKRaftToZk, &[Sync]),
    reclaim(S::ZkMigration, On::FailedForNow),
    reclaim(S::ZkMigration, On::FailedClaim),
    reclaim(S::ZkMigration, On::Deposed),
    // The sync.
    row(S::SyncKRaftToZk, On::Synced, S::KRaftControllerToBrokerComm, &[TellBrokers]),
    reclaim(S::SyncKRaftToZk, On::FailedForNow),
    reclaim(S::SyncKRaftToZk, On::FailedClaim),
    reclaim(S::SyncKRaftToZk, On::Deposed),
    // The brokers are told before dual writing starts, so that they know every leader that a change may name.
    row(S::KRaftControllerToBrokerComm, On::BrokersTold, S::DualWrite, &[DualWrite]),
    row(S::KRaftControllerToBrokerComm, On::BrokersToldToFinalize, S::DualWrite, &[DualWrite, Finalize]),
    later(S::KRaftControllerToBrokerComm),
    reclaim(S::KRaftControllerToBrokerComm, On::FailedClaim),
    reclaim(S::KRaftControllerToBrokerComm, On::Deposed),
    again(S::KRaftControllerToBrokerComm, &[TellBrokers]),
    // Dual writing stops only for a reason, and goes on through a new claim: no change is lost, the log has them all.
    row(S::DualWrite, On::InStep, S::DualWrite, &[]),
    reclaim(S::DualWrite, On::FailedForNow),
    reclaim(S::DualWrite, On::FailedClaim),
    reclaim(S::DualWrite, On::Deposed),
    row(S::DualWrite, On::FlagsDiffer, S::DualWrite, &[Report]),
    // The end of it. Whatever forbids it is asked again; nobody is left without dual writing meanwhile.
    row(S::DualWrite, On::FlagsGone, S::DualWrite, &[Finalize]),
    row(S::DualWrite, On::FinalizationRefused, S::DualWrite, &[Report, RetryLater]),
    again(S::DualWrite, &[Finalize]),
    any(On::Finalized, S::Inactive, &[Stop]),
    // What only an operator can mend.
    any(On::GovernedElsewhere, S::ZkGoverned, &[Stop, Report]),
    any(On::FailedForGood, S::Blocked, &[Stop, Report]),
];

/// The row for an event in a state, if there is one. A row for the state itself comes before a row for any state.
pub fn transition(state: State, event: EventKind) -> Option<&'static Transition> {
    let fits = |wanted: Option<State>| TRANSITIONS.iter().find(move |t| t.state == wanted && t.event == event);
    fits(Some(state)).or_else(|| fits(None))
}

/// The table as ARCHITECTURE.md prints it.
pub fn as_markdown() -> String {
    let mut text = String::from("| state | event | next state | orders |\n| --- | --- | --- | --- |\n");
    for t in TRANSITIONS {
        let state = t.state.map_or("any", State::name);
        let next = t.next.map_or("same", State::name);
        let event = match t.event {
            EventKind::Decided(decision) => format!("decided {decision}"),
            other => format!("{other:?}"),
        };
        let effects = t.effects.iter().map(|effect| format!("{effect:?}")).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("| {state} | {event} | {next} | {effects} |\n"));
    }
    text
}
