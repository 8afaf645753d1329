//! What controllers say of themselves, and how it is known of all voters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metadata_core::controllers::{Announcer, ControllerAnnouncement, Controllers};
use metadata_core::error::{Outcome, Result};
use metadata_core::id::{NodeId, Offset};
use metadata_core::log::LeaderAndEpoch;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::dialer::Dialer;
use super::message::{Announced, Answer, Request};
use super::roster::Roster;
use crate::health::Health;
use crate::quorum::machine::Machine;
use crate::quorum::members::Members;
use crate::quorum::types::MemberAddress;
use crate::quorum::view::View;

/// Each controller tells all others of itself so often.
const EVERY: Duration = Duration::from_secs(1);

/// This controller's own announcement, part of which changes while it runs. Clones are of the same controller.
#[derive(Clone)]
pub(crate) struct OwnAnnouncement {
    fixed: ControllerAnnouncement,
    reachable: Arc<watch::Sender<Option<bool>>>,
}

impl OwnAnnouncement {
    pub(crate) fn new(fixed: ControllerAnnouncement) -> Self {
        let reachable = Arc::new(watch::Sender::new(fixed.zookeeper_reachable));
        Self { fixed, reachable }
    }

    pub(crate) fn now(&self) -> ControllerAnnouncement {
        ControllerAnnouncement { zookeeper_reachable: *self.reachable.borrow(), ..self.fixed.clone() }
    }
}

impl Announcer for OwnAnnouncement {
    fn zookeeper_reachable(&self, reachable: bool) {
        self.reachable.send_if_modified(|known| known.replace(reachable) != Some(reachable));
    }
}

/// What this controller says of itself now.
pub(crate) struct Announcing {
    pub(crate) announcement: OwnAnnouncement,
    pub(crate) view: watch::Receiver<View>,
    pub(crate) leadership: watch::Receiver<LeaderAndEpoch>,
    /// From where on the log is held on this member.
    pub(crate) held: watch::Sender<Option<Offset>>,
    pub(crate) machine: Machine,
}

impl Announcing {
    pub(crate) fn now(&self) -> Announced {
        let position = self.view.borrow().image.position();
        let active = self.leadership.borrow().active;
        let hold = self.held.borrow().filter(|_| active);
        Announced::new(&self.announcement.now(), position, hold)
    }

    /// Keeps what the leader keeps: if this member leads next, it goes on where ZooKeeper is.
    pub(crate) fn heard(&self, from: NodeId, announced: &Announced) {
        let leads = self.leadership.borrow().leader == Some(from);
        if let Some(hold) = announced.hold.filter(|hold| leads && *hold >= 0).map(Offset) {
            self.held.send_replace(Some(hold));
            self.machine.hold(hold);
        }
    }
}

/// Tells all members of this controller, again and again. Never returns.
pub(crate) async fn announce(dialer: Arc<Dialer>, announcing: Arc<Announcing>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asked = JoinSet::new();
    loop {
        every.tick().await;
        asked.abort_all();
        while asked.join_next().await.is_some() {}
        for (id, member) in dialer.roster().members() {
            asked.spawn(tell(Arc::clone(&dialer), Arc::clone(&announcing), id, member));
        }
    }
}

async fn tell(dialer: Arc<Dialer>, announcing: Arc<Announcing>, id: NodeId, member: MemberAddress) {
    let request = Request::Announce(announcing.now());
    match timeout(EVERY, dialer.call(id, &member, &request)).await {
        Ok(Ok((Answer::Announce(announced), incarnation))) => {
            announcing.heard(id, &announced);
            dialer.roster().announced(id, incarnation, announced);
        }
        Ok(Ok(_)) => tracing::debug!(%id, "a controller says nothing of itself"),
        Ok(Err(error)) => tracing::debug!(%id, %error, "a controller was not told of this one"),
        Err(_) => tracing::debug!(%id, "a controller does not answer"),
    }
}

/// What all voters announce, as the port has it. The voters are those of Raft's own membership.
pub(crate) struct QuorumControllers {
    pub(crate) own: NodeId,
    pub(crate) announcement: OwnAnnouncement,
    pub(crate) members: watch::Receiver<Members>,
    /// None in a quorum of one that has no peers.
    pub(crate) roster: Option<Arc<Roster>>,
    pub(crate) health: Health,
    pub(crate) told: Option<BTreeMap<NodeId, Option<ControllerAnnouncement>>>,
}

impl QuorumControllers {
    fn now(&self) -> BTreeMap<NodeId, Option<ControllerAnnouncement>> {
        let mut news = self.roster.as_ref().map(|roster| roster.look()).unwrap_or_default();
        let voters = self.members.borrow().voters.clone();
        let mut announced = |id| {
            if id == self.own {
                return Some(self.announcement.now());
            }
            news.remove(&id).flatten()?.announced?.announcement()
        };
        voters.into_iter().map(|id| (id, announced(id))).collect()
    }
}

#[async_trait]
impl Controllers for QuorumControllers {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, Option<ControllerAnnouncement>>> {
        let mut news = self.roster.as_ref().map(|roster| roster.news());
        let mut reachable = self.announcement.reachable.subscribe();
        loop {
            if let Some(stopped) = self.health.stopped() {
                return Err(stopped.error(Outcome::NotApplied));
            }
            self.members.mark_unchanged();
            reachable.mark_unchanged();
            if let Some(news) = &mut news {
                news.mark_unchanged();
            }
            let now = self.now();
            if !now.is_empty() && self.told.as_ref() != Some(&now) {
                self.told = Some(now.clone());
                return Ok(now);
            }
            let heard = async {
                match &mut news {
                    Some(news) => news.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.members.changed() => {}
                _ = reachable.changed() => {}
                _ = heard => {}
                _ = self.health.wait() => {}
                // What was said once is too old some time later.
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
    fn announcer(&self) -> Option<Arc<dyn Announcer>> {
        Some(Arc::new(self.announcement.clone()))
    }
}
