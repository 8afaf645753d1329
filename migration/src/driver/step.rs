//! The step: state and answer in, state and orders out. Nothing else decides.

use broker_registry::Readiness;
use metadata_core::error::ErrorKind;
use metadata_core::id::KRaftLeaderEpoch;
use metadata_core::leadership::KraftLeadership;
use metadata_core::store::Claimed;

use super::effect::{Effect, Order};
use super::event::{Answer, Event};
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
        let Some(row) = transition(self.state, event.kind()) else { return Vec::new() };
        self.state = row.next.unwrap_or(self.state);
        if row.effects.contains(&Effect::Stop) {
            self.claimed = None;
        }
        self.remember(event);
        row.effects.iter().map(|effect| Order { epoch: self.epoch(), effect: *effect }).collect()
    }

    /// What an event leaves behind, beside the state. Progress is what moved data, and a new leadership: a claim that
    /// succeeds again and again moves nothing.
    fn remember(&mut self, event: Event) {
        match event {
            Event::LeadershipGained(leadership) => {
                self.leadership = Some(leadership);
                self.holds_role = false;
                self.progress();
            }
            Event::LeadershipLost => {
                self.leadership = None;
                self.holds_role = false;
                self.progress();
            }
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
            Event::LogRead(facts) if self.state == State::Blocked => self.setback(
                format!(
                    "the metadata log is in state {} {} and can't be migrated into; start with a freshly formatted one",
                    facts.state,
                    if facts.has_cluster_metadata { "with metadata in it" } else { "without metadata" },
                ),
                None,
            ),
            Event::BrokersJudged(_)
            | Event::LogRead(_)
            | Event::Bootstrapped
            | Event::Rehearsed
            | Event::BrokersTold
            | Event::RetryDue => {}
        }
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
