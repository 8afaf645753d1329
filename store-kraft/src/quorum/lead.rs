//! Who leads, as this member knows it, and what a new leader does first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metadata_core::error::ErrorKind;
use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::log::LeaderAndEpoch;
use openraft::{ChangeMembers, ServerState};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::apply::{Started, epoch_of};
use super::members::Members;
use super::proposal::Proposal;
use super::propose::now;
use super::types::{LogId, MemberAddress, Raft, RaftNodeId, node_id, raft_id};
use super::view::View;
use crate::health::Health;
use crate::peer::roster::Roster;

/// Follows Raft and the applied state, and proposes LeaderStart once in each term in which this member leads.
pub(crate) struct Leading {
    pub(crate) raft: Raft,
    pub(crate) own: NodeId,
    pub(crate) health: Health,
    pub(crate) view: watch::Receiver<View>,
    /// What is told to others. Who is active there may append.
    pub(crate) leadership: watch::Sender<LeaderAndEpoch>,
    /// Who is in the quorum, told to others.
    pub(crate) members: watch::Sender<Members>,
    /// Speaks with the members. None in a quorum of one without peers.
    pub(crate) roster: Option<Arc<Roster>>,
    /// Those who form a quorum, while there is none.
    pub(crate) configured: BTreeMap<NodeId, MemberAddress>,
    /// A leader that no majority has confirmed for so long acts no more.
    pub(crate) unconfirmed_max: Duration,
    /// The term that is to be given up.
    pub(crate) resigning: watch::Receiver<Option<u64>>,
    /// What a log without an id is named by: this controller's data directory.
    pub(crate) directory_id: DirectoryId,
    /// The log's id, once it is decided.
    pub(crate) decided_name: Option<DirectoryId>,
    /// Changes of the members that somebody asked for and that are under way.
    pub(crate) changes: Arc<AtomicUsize>,
}

/// What was seen of Raft.
struct Seen {
    term: u64,
    leads: bool,
    leader: Option<NodeId>,
    /// How long ago a majority confirmed that this member leads.
    confirmed: Option<Duration>,
    members: Members,
    /// Whether the members are those of applied entries.
    members_applied: bool,
    /// The voters of after, of a change that is half done and that nobody carries on: its leader is gone, or whoever asked for it.
    half_done: Option<BTreeSet<RaftNodeId>>,
    snapshot: Option<LogId>,
}

impl Leading {
    pub(crate) async fn run(mut self) {
        let mut metrics = self.raft.metrics();
        let mut proposed_in = None;
        // Nobody waits for the answer, since the applied entry shows in the view; it is kept so that it can be given.
        let mut _answer = None;
        let mut leads_since: Option<(u64, Instant)> = None;
        let mut snapshot = None;
        let mut changing: Option<JoinHandle<()>> = None;
        let mut resigned = false;
        let mut told_at = Instant::now();
        // Without news of Raft, what it said last grows old: so it does while its disk hangs.
        let mut ageing = tokio::time::interval(self.unconfirmed_max / 8);
        ageing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if metrics.has_changed().unwrap_or(false) {
                told_at = Instant::now();
            }
            let seen = {
                let now = metrics.borrow_and_update();
                if let Err(fatal) = &now.running_state {
                    self.health.stop(ErrorKind::Unavailable, fatal.to_string());
                    return;
                }
                let membership = &now.membership_config;
                let half_done = match membership.membership().get_joint_config().as_slice() {
                    [_, after]
                        if membership.log_id().is_none_or(|id| id.leader_id.term < now.current_term)
                            || self.changes.load(Ordering::SeqCst) == 0 =>
                    {
                        Some(after.clone())
                    }
                    _ => None,
                };
                Seen {
                    term: now.current_term,
                    leads: now.state == ServerState::Leader,
                    leader: now.current_leader.map(node_id),
                    confirmed: now.millis_since_quorum_ack.map(|ms| Duration::from_millis(ms) + told_at.elapsed()),
                    members: membership.membership().into(),
                    members_applied: *membership.log_id() <= now.last_applied,
                    half_done,
                    snapshot: now.snapshot,
                }
            };
            if seen.leads && proposed_in != Some(seen.term) {
                proposed_in = Some(seen.term);
                _answer = match self.raft.client_write_ff(self.start(&seen.members)).await {
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
            if snapshot != seen.snapshot {
                let before = std::mem::replace(&mut snapshot, seen.snapshot);
                self.purge(before, &seen).await;
            }
            leads_since = seen.leads.then(|| match leads_since {
                Some((term, since)) if term == seen.term => (term, since),
                _ => (seen.term, Instant::now()),
            });
            let resigns = seen.leads && *self.resigning.borrow_and_update() == Some(seen.term);
            if resigns != resigned {
                // openraft can't hand its leadership on. A leader that is silent loses it to whom the others elect, and hears of
                // it from that one.
                self.raft.runtime_config().heartbeat(!resigns);
                resigned = resigns;
            }
            if seen.members_applied {
                self.decided_name = seen.members.log_id();
            }
            self.tell_members(&seen.members);
            let begun = started == Some(Started { leader: self.own, epoch: epoch_of(seen.term) });
            if seen.leads && begun && changing.as_ref().is_none_or(JoinHandle::is_finished) {
                changing = self.change_due(&seen);
            }
            self.tell(&seen, started, leads_since.map(|(_, since)| since), resigns);
            let changed = tokio::select! {
                changed = metrics.changed() => {
                    told_at = Instant::now();
                    changed
                }
                changed = self.view.changed() => changed,
                changed = self.resigning.changed() => changed,
                _ = ageing.tick(), if seen.leads => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// The leader's first entry.
    fn start(&self, members: &Members) -> Proposal {
        let voters = members.voters.iter().map(|id| id.0).collect();
        Proposal::LeaderStart { leader: self.own.0, time_ms: now().0, voters }
    }

    /// Gives back what a snapshot covers of Raft's log: all of it, if nobody else needs it; else up to the snapshot before,
    /// so that a member which lags behind a little needs no snapshot.
    async fn purge(&self, before: Option<LogId>, seen: &Seen) {
        let covered = if seen.members.all.len() > 1 { before } else { seen.snapshot };
        if let Some(covered) = covered {
            // Fails only if Raft has stopped, which shows in the metrics.
            let _ = self.raft.trigger().purge_log(covered.index).await;
        }
    }

    /// What a new leader has to change of the members: a log without an id gets one, and a change of the voters that was left
    /// half done is carried to its end.
    fn change_due(&self, seen: &Seen) -> Option<JoinHandle<()>> {
        let change = if let Some(voters) = &seen.half_done {
            ChangeMembers::ReplaceAllVoters(voters.clone())
        } else if seen.members.log_id().is_none() || self.knows_more(&seen.members) {
            ChangeMembers::SetNodes(self.named(&seen.members))
        } else {
            return None;
        };
        let raft = self.raft.clone();
        Some(tokio::spawn(async move {
            if let Err(error) = raft.change_membership(change, false).await {
                // Whoever leads next tries again.
                tracing::debug!(%error, "the members were not changed");
            }
        }))
    }

    fn directory_of(&self, id: NodeId) -> Option<DirectoryId> {
        match id == self.own {
            true => Some(self.directory_id),
            false => self.roster.as_ref().and_then(|roster| roster.directory_of(id)),
        }
    }

    /// Whether a member is in the membership without its directory, and was met since: all others must know it by that.
    fn knows_more(&self, members: &Members) -> bool {
        members.all.iter().any(|(id, member)| member.directory_id.is_none() && self.directory_of(*id).is_some())
    }

    /// The members with the log's id, and with the directories by which they were met.
    fn named(&self, members: &Members) -> BTreeMap<RaftNodeId, MemberAddress> {
        let log_id = Some(members.log_id().unwrap_or(self.directory_id));
        let named = members.all.iter().map(|(id, member)| {
            let directory_id = member.directory_id.or_else(|| self.directory_of(*id));
            (raft_id(*id), MemberAddress { directory_id, log_id, ..member.clone() })
        });
        named.collect()
    }

    fn tell_members(&self, members: &Members) {
        if let Some(roster) = &self.roster {
            let none = members.all.is_empty();
            roster.members_changed(if none { &self.configured } else { &members.all }, self.decided_name);
        }
        self.members.send_if_modified(|present| {
            let news = present != members;
            if news {
                *present = members.clone();
            }
            news
        });
    }

    fn tell(&self, seen: &Seen, started: Option<Started>, leads_since: Option<Instant>, resigns: bool) {
        let epoch = epoch_of(seen.term);
        // openraft's leader goes on leading until it hears of another. Cut off from the others, it must not act for ever.
        let confirmed = match (seen.members.voters.len(), leads_since) {
            (0 | 1, _) | (_, None) => Duration::ZERO,
            (_, Some(since)) => seen.confirmed.unwrap_or(Duration::MAX).min(since.elapsed()),
        };
        let alone = confirmed > self.unconfirmed_max;
        let begun = started == Some(Started { leader: self.own, epoch });
        // Whoever acts knows which log it is: the first leader names it, and acts once that is decided.
        let named = seen.members.log_id().is_some() && seen.members_applied;
        let present = *self.leadership.borrow();
        let acts = present.active && present.epoch == epoch;
        // On a sealed log nobody begins to act. Whoever seals it acts already, and must see it through.
        let may_begin = named && seen.members.seal().is_none();
        let active = seen.leads && !alone && !resigns && begun && (may_begin || acts);
        let leader = if alone || resigns { None } else { seen.leader };
        let told = LeaderAndEpoch { leader, epoch, active };
        self.leadership.send_if_modified(|present| {
            // Epochs never go back: metrics may lag behind what was told already.
            if told == *present || told.epoch < present.epoch {
                return false;
            }
            if alone && present.active {
                tracing::warn!(%epoch, "no majority has confirmed for {} ms that this controller leads", confirmed.as_millis());
            }
            *present = told;
            true
        });
    }
}
