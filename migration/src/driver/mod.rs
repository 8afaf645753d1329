//! The driver: a pure step function over a table. No IO, no clock, no tasks: time is an event, and what must be done is
//! returned as a value.

mod decision;
mod effect;
mod event;
mod facts;
mod state;
mod step;
mod table;

pub use decision::{
    DECISIONS, Decision, DecisionRow, LogFinding, MarkerFinding, PeerFlags, decide, decisions_as_markdown,
};
pub use effect::{Effect, Order};
pub use event::{Answer, Event, EventKind};
pub use facts::{Facts, Peers};
pub use state::State;
pub use step::Driver;
pub use table::{TRANSITIONS, Transition, as_markdown, transition};

#[cfg(test)]
mod tests;
