//! The end of a history: no more faults, and the migration must finish, or name what forbids it.

use std::time::Duration;

use fencing::SyncState;
use metadata_core::error::ErrorKind;
use metadata_core::record::ZkMigrationState;
use migration::State;
use tokio::time::Instant;

use super::invariants::Completion;
use super::mistake::Mistake;
use super::net::Link;
use super::truth::MarkerNode;
use super::world::World;

/// Virtual time in which it must be over once nothing fails any more.
const FINISHES_WITHIN: Duration = Duration::from_secs(60);

impl World {
    /// Lets it finish. Returns how it ended.
    pub(super) async fn finish(&mut self) -> Result<String, String> {
        self.net.state().trace.event("no more faults");
        self.heal();
        let deadline = Instant::now() + FINISHES_WITHIN;
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.traffic().await?;
            self.look_at_beliefs();
            if self.broken.is_some() {
                return Ok("broken".to_owned());
            }
            if let Some(end) = self.ended() {
                self.net.state().trace.count(end, format_args!("{}", self.log.image.position()));
                if end == "finished" {
                    self.compare(self.log.image.position(), Completion::Sync).await?;
                }
                return Ok(end.to_owned());
            }
        }
        let how = self.standstill();
        self.breaks("MIG-11", &how);
        Ok("broken".to_owned())
    }

    fn heal(&mut self) {
        self.chances.over = true;
        self.quorum.set_images_gone(0);
        {
            let mut state = self.net.state();
            state.slow = false;
            state.links.values_mut().for_each(|link| *link = Link::Up);
        }
        let down: Vec<_> = self.down.iter().map(|(id, down)| (*id, down.run)).collect();
        for (id, run) in down {
            self.down.remove(&id);
            self.start(id, run + 1);
        }
        for id in self.voters.clone() {
            self.wake(id);
        }
        if self.quorum.leader().leader.is_none() {
            self.elect_one();
        }
    }

    /// How it ended, if it did.
    fn ended(&self) -> Option<&'static str> {
        let leader = self.quorum.leader().leader?;
        let status = self.nodes.get(&leader)?.handle.watch().borrow().clone();
        if self.log.state() == ZkMigrationState::Migration && self.decisive.is_governed_elsewhere(&self.voters) {
            return (status.state == State::ZkGoverned).then_some("ZK_GOVERNED, as it must be");
        }
        let mistake = self.mistake.map(|(_, mistake)| mistake);
        if self.decisive.marker == MarkerNode::Unreadable {
            let named = status.state == State::Blocked && status.blocked_by == Some(ErrorKind::Invalid);
            return named.then_some("BLOCKED over an unreadable marker");
        }
        if mistake == Some(Mistake::OldCopy) {
            if status.state == State::Blocked && status.blocked_by == Some(ErrorKind::Corrupt) {
                return Some("BLOCKED over an old copy");
            }
            // The look at what can be copied comes before the claim's judgement, and half a sync can't be copied.
            if status.state == State::Blocked && self.log.state() == ZkMigrationState::PreMigration {
                return Some("BLOCKED over an old copy, for what it finds in ZooKeeper");
            }
            // Another voter claimed in an epoch that this log has not come to: it is deposed until it has.
            if status.blocked_by == Some(ErrorKind::ControllerFenced) {
                return Some("kept out as an old copy");
            }
        }
        let whole = self.decisive.marker().is_some_and(|marker| {
            let step = marker.chain.as_ref().is_some_and(|it| it.sync == SyncState::Done && it.batch_end.is_none());
            step && marker.position == self.log.image.position()
        });
        let done = status.state == State::DualWrite && status.lag_records() == Some(0) && whole;
        done.then_some("finished")
    }

    fn standstill(&self) -> String {
        let leader = self.quorum.leader().leader;
        let states: Vec<String> = self
            .nodes
            .iter()
            .map(|(id, node)| {
                let status = node.handle.watch().borrow().clone();
                let leads = if Some(*id) == leader { " (leader)" } else { "" };
                let reason = status.reason.unwrap_or_else(|| "no reason".to_owned());
                format!("node {id}{leads} in {}, attempt {}, {reason}", status.state, status.attempt)
            })
            .collect();
        format!(
            "{} s after the last fault the log is at {} in state {}, and {}",
            FINISHES_WITHIN.as_secs(),
            self.log.image.position(),
            self.log.state(),
            states.join("; ")
        )
    }
}
