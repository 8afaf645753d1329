//! Follows a migration, tells people how it goes, and knows when to stop.

use metadata_core::id::NodeId;
use metadata_core::record::{MetadataRecord, TopicRecord};
use migration::{State, Status};

use crate::cli::{Failure, Interrupt, Progress, Shell};
use crate::controller::{Controller, sentence, why_it_stopped};

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
    loop {
        {
            let now = status.borrow_and_update();
            if let Some(failure) = why_it_stopped(&now) {
                return Err(failure);
            }
            for line in narrator.hear(&now) {
                shell.note(line);
            }
            if until == Until::DualWrite && now.lag_records() == Some(0) {
                return Ok(Followed::Reached);
            }
        }
        tokio::select! {
            biased;
            () = interrupt.requested() => return Ok(Followed::Interrupted),
            changed = status.changed() => {
                if changed.is_err() {
                    return Err(ended.await);
                }
            }
            failure = &mut ended => return Err(failure),
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
    copying: Option<Copying>,
}

struct Copying {
    bar: Progress,
    topics: u64,
}

impl<'a> Narrator<'a> {
    fn new(topics: u64, shell: &'a Shell) -> Self {
        Self { topics, shell, state: None, reason: None, unserved: Vec::new(), copying: None }
    }

    fn hear(&mut self, status: &Status) -> Vec<String> {
        let mut lines = Vec::new();
        if self.state != Some(status.state) {
            self.state = Some(status.state);
            lines.push(format!("{}: {}", status.state, sentence(status.state)));
            self.copying = None;
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

    fn copy(&mut self, status: &Status) {
        let name = MetadataRecord::from(TopicRecord::default()).name();
        let topics = status.copy.by_type.get(name).copied().unwrap_or_default();
        let (total, shell) = (self.topics, self.shell);
        let copying =
            self.copying.get_or_insert_with(|| Copying { bar: shell.progress("copy", "topics", total), topics: 0 });
        copying.bar.advance(topics.saturating_sub(copying.topics));
        copying.topics = copying.topics.max(topics);
    }
}
