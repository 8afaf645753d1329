//! The step: state and event in, state and orders out. Nothing else decides.

use metadata_core::leadership::KraftLeadership;
use metadata_core::store::Claimed;

use super::effect::Effect;
use super::event::Event;
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
    /// Why nothing goes on, in the words of the last failure or verdict; cleared by progress.
    pub reason: Option<String>,
    /// Failures in a row without progress: the pause before the next attempt grows with it.
    pub attempt: u32,
}

impl Default for Driver {
    fn default() -> Self {
        Self { state: State::Inactive, leadership: None, claimed: None, reason: None, attempt: 0 }
    }
}

impl Driver {
    /// Takes an event. Returns the orders, to be carried out in their order under the present leadership.
    ///
    /// An event that the table has no row for changes nothing: it answers an order that is no longer current.
    pub fn step(&mut self, event: Event) -> &'static [Effect] {
        if let Event::LeadershipGained(gained) = &event
            && self.leadership.is_some_and(|present| present.epoch > gained.epoch)
        {
            return &[];
        }
        let Some(row) = transition(self.state, event.kind()) else { return &[] };
        let before = self.state;
        self.state = row.next.unwrap_or(before);
        if row.effects.contains(&Effect::Stop) {
            self.claimed = None;
        }
        match event {
            Event::LeadershipGained(leadership) => {
                self.leadership = Some(leadership);
                self.progress();
            }
            Event::LeadershipLost => {
                self.leadership = None;
                self.progress();
            }
            Event::Claimed(claimed) => {
                self.claimed = Some(claimed);
                self.progress();
            }
            Event::Failed(error) => self.setback(crate::failure::chain(&error)),
            Event::BrokersJudged(broker_registry::Readiness::Waiting(brokers)) => {
                let names: Vec<_> = brokers.iter().map(ToString::to_string).collect();
                self.setback(names.join("; "));
            }
            Event::LogRead(facts) if self.state == State::Blocked => self.setback(format!(
                "the metadata log is in state {} {} and can't be migrated into; start with a freshly formatted one",
                facts.state,
                if facts.has_cluster_metadata { "with metadata in it" } else { "without metadata" },
            )),
            Event::RetryDue => {}
            _ => self.progress(),
        }
        row.effects
    }

    fn progress(&mut self) {
        self.reason = None;
        self.attempt = 0;
    }

    fn setback(&mut self, reason: String) {
        self.reason = Some(reason);
        self.attempt = self.attempt.saturating_add(1);
    }
}
