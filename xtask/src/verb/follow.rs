//! Follows a migration, tells people how it goes, and knows when to stop.

use std::time::Duration;

use metadata_core::id::NodeId;
use metadata_core::record::{MetadataRecord, TopicRecord};
use migration::{Decision, State, Status};
use tokio::time::interval;

use crate::cli::{Failure, Interrupt, Progress, Shell};
use crate::controller::{Controller, sentence, why_it_stopped};

/// How often the work of a state that reports nothing by itself is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Until when a migration is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Every change goes to both sides, and ZooKeeper has them all.
    DualWrite,
    /// Somebody asks to stop.
    Stopped,
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Followed {
    /// The state that was waited for is there.
    Reached,
    /// Somebody asked to stop.
    Interrupted,
    /// There is nothing to follow: the migration is finalized.
    Finalized,
    /// Somebody asked to roll back, and it is done.
    RolledBack,
}

/// Follows until then, or until the migration can't go on. `topics` is how many topics a copy will find.
///
/// # Errors
/// Why the migration can't go on by itself.
pub(super) async fn follow(
    controller: &Controller,
    until: Until,
    topics: u64,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Followed, Failure> {
    let mut status = controller.watch();
    let mut narrator = Narrator::new(topics, shell);
    let mut ended = Box::pin(controller.ended());
    let mut look = interval(LOOK_EVERY);
    let mut closed = false;
    loop {
        {
            let now = status.borrow_and_update();
            if let Some(failure) = why_it_stopped(&now) {
                return Err(failure);
            }
            for line in narrator.hear(&now) {
                shell.note(line);
            }
            if until == Until::DualWrite && now.decision == Some(Decision::Finalized) {
                return Ok(Followed::Finalized);
            }
            if until == Until::DualWrite && now.state == State::DualWrite && now.lag_records() == Some(0) {
                return Ok(Followed::Reached);
            }
        }
        tokio::select! {
            biased;
            () = interrupt.requested() => return Ok(Followed::Interrupted),
            over = controller.over() => return over.map(|()| Followed::RolledBack),
            // Its end is told below: by itself, or for a rollback.
            changed = status.changed(), if !closed => closed = changed.is_err(),
            failure = &mut ended => return Err(failure),
            _ = look.tick() => narrator.look(controller.znodes_read(), || controller.znodes_expected()),
        }
    }
}

/// Turns statuses into lines, each said once.
struct Narrator<'a> {
    topics: u64,
    shell: &'a Shell,
    state: Option<State>,
    reason: Option<String>,
    unserved: Vec<NodeId>,
    copying: Option<Counted>,
    walking: Option<Counted>,
    /// Znodes read before the present state.
    read_before: Option<u64>,
}

/// A bar, and how far it has been moved.
struct Counted {
    bar: Progress,
    done: u64,
}

impl Counted {
    fn new(bar: Progress) -> Self {
        Self { bar, done: 0 }
    }

    /// What comes late moves nothing back.
    fn reach(&mut self, done: u64) {
        self.bar.advance(done.saturating_sub(self.done));
        self.done = self.done.max(done);
    }
}

impl<'a> Narrator<'a> {
    fn new(topics: u64, shell: &'a Shell) -> Self {
        Self {
            topics,
            shell,
            state: None,
            reason: None,
            unserved: Vec::new(),
            copying: None,
            walking: None,
            read_before: None,
        }
    }

    fn hear(&mut self, status: &Status) -> Vec<String> {
        let mut lines = Vec::new();
        if self.state != Some(status.state) {
            self.enter(status.state);
            lines.push(format!("{}: {}", status.state, sentence(status.state, status.decision)));
        }
        if status.state == State::ZkMigration {
            self.copy(status);
        }
        if self.reason != status.reason {
            self.reason.clone_from(&status.reason);
            lines.extend(status.reason.as_ref().map(|reason| format!("waiting: {reason}")));
        }
        let new: Vec<_> = status.unserved.iter().filter(|id| !self.unserved.contains(id)).collect();
        if !new.is_empty() {
            let ids: Vec<_> = new.iter().map(ToString::to_string).collect();
            lines.push(format!("nobody serves the brokers {}: they have no controller any more", ids.join(", ")));
        }
        self.unserved.clone_from(&status.unserved);
        lines
    }

    fn enter(&mut self, state: State) {
        self.state = Some(state);
        (self.copying, self.walking, self.read_before) = (None, None, None);
    }

    fn copy(&mut self, status: &Status) {
        let name = MetadataRecord::from(TopicRecord::default()).name();
        let topics = status.copy.by_type.get(name).copied().unwrap_or_default();
        let (total, shell) = (self.topics, self.shell);
        self.copying.get_or_insert_with(|| Counted::new(shell.progress("copy", "topics", total))).reach(topics);
    }

    /// How far the states are that walk over ZooKeeper before there is anything to count: the look at what is to be copied,
    /// and the full sync. `znodes_read` is all that was ever read, `expected` about what a walk reads.
    fn look(&mut self, znodes_read: u64, expected: impl Fn() -> u64) {
        let (label, total) = match self.state {
            // Nothing is known of the partitions yet; topics have a znode, a config and at least one state each.
            Some(State::WaitForBrokers) => ("look", 3 * self.topics),
            Some(State::SyncKRaftToZk) => ("sync", expected()),
            _ => return,
        };
        let read = znodes_read.saturating_sub(*self.read_before.get_or_insert(znodes_read));
        if read > 0 {
            let shell = self.shell;
            let walking =
                self.walking.get_or_insert_with(|| Counted::new(shell.progress(label, "znodes", total.max(read))));
            walking.reach(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_counted_from_its_beginning_and_only_in_states_that_walk() {
        let shell = Shell::new("migrate", true);
        let mut narrator = Narrator::new(10, &shell);
        for (state, read, shown) in [
            (State::WaitForBrokers, 100, None),
            (State::WaitForBrokers, 130, Some(30)),
            (State::BecomeController, 140, None),
            (State::SyncKRaftToZk, 150, None),
            (State::SyncKRaftToZk, 175, Some(25)),
            (State::SyncKRaftToZk, 170, Some(25)),
            (State::DualWrite, 200, None),
        ] {
            if narrator.state != Some(state) {
                narrator.enter(state);
            }
            narrator.look(read, || 1_000);
            assert_eq!(narrator.walking.as_ref().map(|walking| walking.done), shown, "{state} {read}");
        }
    }
}
