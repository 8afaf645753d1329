//! The end of a history: no more faults, and the migration must finish, or name what forbids it.

use std::time::Duration;

use fencing::SyncState;
use metadata_core::error::ErrorKind;
use metadata_core::record::ZkMigrationState;
use migration::State;
use migration::finalization::{Blocker, Finalization, FinalizeOptions};
use tokio::time::Instant;

use super::invariants::Completion;
use super::mistake::Mistake;
use super::net::Link;
use super::truth::MarkerNode;
use super::world::{World, announced};

/// Virtual time in which it must be over once nothing fails any more.
const FINISHES_WITHIN: Duration = Duration::from_secs(60);

/// Histories that are finalized, of those that may be.
const FINALIZED_PERCENT: u32 = 40;

/// Elections after the end, and how long each leader is watched: longer than a claim and a sync take.
const LEADERS_AFTER_THE_END: u32 = 3;
const TICKS_OF_A_LEADER: u32 = 100;

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
                    if self.broken.is_none() && self.random.percent(FINALIZED_PERCENT) {
                        return self.finalize().await;
                    }
                }
                return Ok(end.to_owned());
            }
        }
        let how = self.standstill();
        self.breaks("MIG-11", &how);
        Ok("broken".to_owned())
    }

    /// Ends the migration too, once every flag is gone, and lets others lead after it.
    async fn finalize(&mut self) -> Result<String, String> {
        self.net.state().trace.event("every flag goes");
        self.flags.send_replace(announced(false));
        let deadline = Instant::now() + FINISHES_WITHIN;
        let mut why = String::new();
        while self.log.state() != ZkMigrationState::PostMigration {
            if Instant::now() >= deadline {
                self.breaks("MIG-11", &format!("the migration is not finalized: {why}"));
                return Ok("broken".to_owned());
            }
            let Some(node) = self.quorum.leader().leader.and_then(|leader| self.nodes.get(&leader)) else { continue };
            let handle = node.handle.clone();
            let despite_brokers = FinalizeOptions { despite_brokers: true };
            let asked = tokio::spawn(async move { handle.finalize(despite_brokers).await });
            while !asked.is_finished() && Instant::now() < deadline && self.broken.is_none() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                self.traffic().await?;
            }
            if self.broken.is_some() {
                return Ok("broken".to_owned());
            }
            match asked.await.map_err(|error| error.to_string())? {
                Ok(Finalization::Done(_)) => {}
                Ok(Finalization::Refused(blockers)) => {
                    let strangers = self.disturbed || !self.foreign.is_empty();
                    if strangers && blockers.iter().all(|blocker| matches!(blocker, Blocker::Divergent { .. })) {
                        return Ok("finished, and not finalized over what strangers wrote".to_owned());
                    }
                    why = blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                }
                Err(error) => why = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.net.state().trace.count("finalized", format_args!("{}", self.log.image.position()));
        for _ in 0..LEADERS_AFTER_THE_END {
            self.elect_one();
            for _ in 0..TICKS_OF_A_LEADER {
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.traffic().await?;
            }
        }
        Ok(if self.broken.is_some() { "broken" } else { "finalized" }.to_owned())
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
