//! The step: state and answer in, state and orders out. Nothing else decides.

use broker_registry::Readiness;
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::KRaftLeaderEpoch;
use metadata_core::leadership::KraftLeadership;
use metadata_core::store::Claimed;

use super::decision::Decision;
use super::effect::{Effect, Order};
use super::event::{Answer, Event, EventKind};
use super::facts::Facts;
use super::state::State;
use super::table::transition;

/// Everything the driver remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Where it is.
    pub state: State,
    /// Our leadership, while we lead.
    pub leadership: Option<KraftLeadership>,
    /// The present claim of ZooKeeper, from its success until the driver stops using it.
    pub claimed: Option<Claimed>,
    /// Whether ZooKeeper's controller role was taken under this leadership. Unlike the claim it outlasts failures: nobody
    /// gives the role back.
    pub holds_role: bool,
    /// Why nothing goes on, in the words of the last failure or verdict; cleared by progress.
    pub reason: Option<String>,
    /// The kind of the failure in `reason`; `None` when it is a verdict.
    pub failed_by: Option<ErrorKind>,
    /// Failures in a row without progress: the pause before the next attempt grows with it.
    pub attempt: u32,
    /// What was decided last under this leadership.
    pub decision: Option<Decision>,
    /// What an operator should mend although the migration goes on, a sentence each.
    pub warnings: Vec<String>,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            state: State::Inactive,
            leadership: None,
            claimed: None,
            holds_role: false,
            reason: None,
            failed_by: None,
            attempt: 0,
            decision: None,
            warnings: Vec::new(),
        }
    }
}

impl Driver {
    /// The epoch in which we lead: that of every order made now.
    pub fn epoch(&self) -> Option<KRaftLeaderEpoch> {
        self.leadership.map(|leadership| leadership.epoch)
    }

    /// Whether an answer is one to an order of the present epoch, or the news who leads is not older than what is known.
    pub fn is_current(&self, answer: &Answer) -> bool {
        match &answer.event {
            Event::LeadershipGained(gained) => self.epoch().is_none_or(|present| present <= gained.epoch),
            Event::LeadershipLost => true,
            _ => answer.epoch == self.epoch(),
        }
    }

    /// Takes an answer, or the news who leads. Returns the orders, to be carried out in their order.
    ///
    /// What answers an order of another epoch changes nothing, and neither does an event that the table has no row for.
    pub fn step(&mut self, answer: Answer) -> Vec<Order> {
        if !self.is_current(&answer) {
            return Vec::new();
        }
        let event = answer.event;
        let Some(row) = transition(self.state, self.kind_of(&event)) else { return Vec::new() };
        self.state = row.next.unwrap_or(self.state);
        if row.effects.contains(&Effect::Stop) {
            self.claimed = None;
        }
        self.remember(event);
        row.effects.iter().map(|effect| Order { epoch: self.epoch(), effect: *effect }).collect()
    }

    /// The kind of an event, in the light of what was decided.
    fn kind_of(&self, event: &Event) -> EventKind {
        match event.kind() {
            EventKind::BrokersTold if self.decision == Some(Decision::DualWriteToFinalize) => {
                EventKind::BrokersToldToFinalize
            }
            kind => kind,
        }
    }

    /// What an event leaves behind, beside the state. Progress is what moved data, and a new leadership: a claim that
    /// succeeds again and again moves nothing.
    fn remember(&mut self, event: Event) {
        match event {
            Event::LeadershipGained(leadership) => self.begin_anew(Some(leadership)),
            Event::LeadershipLost => self.begin_anew(None),
            Event::Surveyed(facts) => self.decided(&facts),
            Event::Claimed(claimed) => {
                self.claimed = Some(claimed);
                self.holds_role = true;
            }
            Event::Copied | Event::Synced(_) | Event::InStep => self.progress(),
            Event::Failed(error) => {
                self.setback(crate::failure::chain(&error), Some(error.kind()));
                // Whoever governed ZooKeeper meanwhile has the role now.
                self.holds_role &= error.kind() != ErrorKind::GovernedElsewhere;
            }
            Event::BrokersJudged(Readiness::Waiting(brokers)) => {
                let names: Vec<_> = brokers.iter().map(ToString::to_string).collect();
                self.setback(names.join("; "), None);
            }
            // Another verdict takes the place of the last one. A failure stays the reason until something moves.
            Event::BrokersJudged(Readiness::Ready { .. }) if self.failed_by.is_none() => self.progress(),
            Event::FlagsDiffer(warnings) => {
                let agreed = warnings.is_empty();
                self.decision = Some(if agreed { Decision::DualWrite } else { Decision::DualWriteDisagreed });
                self.warnings = warnings;
            }
            Event::FlagsGone => {
                self.decision = Some(Decision::DualWriteToFinalize);
                self.warnings.clear();
            }
            Event::Finalized => {
                self.decision = Some(Decision::Finalized);
                self.warnings.clear();
                self.progress();
            }
            Event::FinalizationRefused(reasons) => self.setback(reasons.join("; "), None),
            Event::BrokersJudged(_) | Event::Bootstrapped | Event::Rehearsed | Event::BrokersTold | Event::RetryDue => {
            }
        }
    }

    fn begin_anew(&mut self, leadership: Option<KraftLeadership>) {
        self.leadership = leadership;
        self.holds_role = false;
        self.decision = None;
        self.warnings.clear();
        self.progress();
    }

    /// Takes a decision: what it waits for is the reason, what it only minds is a warning.
    fn decided(&mut self, facts: &Facts) {
        let decision = facts.decision();
        self.decision = Some(decision);
        self.warnings = match decision {
            Decision::DualWriteDisagreed => facts.disagreement(),
            _ => facts.left_behind().map(str::to_owned).into_iter().collect(),
        };
        if let Some(reason) = facts.waits_for() {
            self.setback(reason, facts.refusal.as_ref().map(Error::kind));
        } else if self.failed_by.is_none() {
            self.progress();
        }
        // Whoever governed ZooKeeper meanwhile has the role now.
        self.holds_role &= decision != Decision::ZkGoverned;
    }

    fn progress(&mut self) {
        self.reason = None;
        self.failed_by = None;
        self.attempt = 0;
    }

    fn setback(&mut self, reason: String, failed_by: Option<ErrorKind>) {
        self.reason = Some(reason);
        self.failed_by = failed_by;
        self.attempt = self.attempt.saturating_add(1);
    }
}
