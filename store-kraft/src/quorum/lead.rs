//! Who leads, as this member knows it, and what a new leader does first.

use metadata_core::error::ErrorKind;
use metadata_core::id::{KRaftLeaderEpoch, NodeId};
use metadata_core::log::LeaderAndEpoch;
use openraft::ServerState;
use tokio::sync::watch;

use super::apply::{Started, epoch_of};
use super::proposal::Proposal;
use super::propose::now;
use super::types::{Raft, node_id};
use super::view::View;
use crate::health::Health;

/// Follows Raft and the applied state, and proposes LeaderStart once in each term in which this member leads.
pub(crate) struct Leading {
    pub(crate) raft: Raft,
    pub(crate) own: NodeId,
    pub(crate) health: Health,
    pub(crate) view: watch::Receiver<View>,
    /// What is told to others. Who is active there may append.
    pub(crate) leadership: watch::Sender<LeaderAndEpoch>,
}

impl Leading {
    pub(crate) async fn run(mut self) {
        let mut metrics = self.raft.metrics();
        let mut proposed_in = None;
        // Nobody waits for the answer, since the applied entry shows in the view; it is kept so that it can be given.
        let mut _answer = None;
        loop {
            let (term, leads, leader) = {
                let now = metrics.borrow_and_update();
                if let Err(fatal) = &now.running_state {
                    self.health.stop(ErrorKind::Unavailable, fatal.to_string());
                    return;
                }
                (now.current_term, now.state == ServerState::Leader, now.current_leader)
            };
            if leads && proposed_in != Some(term) {
                proposed_in = Some(term);
                _answer = match self.raft.client_write_ff(self.start()).await {
                    Ok(answer) => Some(answer),
                    Err(fatal) => {
                        self.health.stop(ErrorKind::Unavailable, fatal.to_string());
                        return;
                    }
                };
            }
            let (started, snapshot_due) = {
                let view = self.view.borrow_and_update();
                (view.started, view.snapshot_due)
            };
            // While one is under way, openraft ignores it.
            if snapshot_due && self.raft.trigger().snapshot().await.is_err() {
                self.health.stop(ErrorKind::Unavailable, "Raft has stopped");
                return;
            }
            self.tell(epoch_of(term), leads, leader.map(node_id), started);
            let changed = tokio::select! {
                changed = metrics.changed() => changed,
                changed = self.view.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// The leader's first entry.
    fn start(&self) -> Proposal {
        let membership = self.raft.metrics().borrow().membership_config.clone();
        let voters = membership.membership().voter_ids().map(|id| node_id(id).0).collect();
        Proposal::LeaderStart { leader: self.own.0, time_ms: now().0, voters }
    }

    fn tell(&self, epoch: KRaftLeaderEpoch, leads: bool, leader: Option<NodeId>, started: Option<Started>) {
        let active = leads && started == Some(Started { leader: self.own, epoch });
        let told = LeaderAndEpoch { leader, epoch, active };
        self.leadership.send_if_modified(|present| {
            // Epochs never go back: metrics may lag behind what was told already.
            if told == *present || told.epoch < present.epoch {
                return false;
            }
            *present = told;
            true
        });
    }
}
