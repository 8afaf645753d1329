//! The network and the server: who is connected from where, what of it is held back, and what a follower that lags may say.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metadata_core::id::{NodeId, Position};
use metadata_core::log::MetadataLog;
use store_zk::client::{NodeData, SessionId};
use store_zk::testkit::fake::FakeZooKeeper;
use store_zk::znode::path;
use tokio::time::Instant;

use super::mutant::Mutant;
use super::trace::Trace;
use crate::seed::Random;

/// How long a session may be without a connection.
pub(super) const SESSION_TIMEOUT: Duration = Duration::from_millis(1_500);

/// What decides a claim, in the order in which a claim reads it.
pub(super) const CLAIMED_NODES: [&str; 3] = [path::CONTROLLER_EPOCH, path::CONTROLLER, path::MIGRATION];

/// These three as they were at one moment.
pub(super) type Moment = [Option<NodeData>; 3];

/// How a node reaches ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Link {
    #[default]
    Up,
    /// Nobody answers.
    Down,
    /// The servers take its credentials no more.
    Refused,
}

/// A session, as the server's operator would list it.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) node: NodeId,
    /// Since when nobody is connected with it.
    pub(super) lost_at: Option<Instant>,
    /// Its client takes it for expired, or is dead; the server still has it, and what it sent.
    pub(super) lingers: bool,
}

/// What all nodes share.
pub(super) struct Net {
    pub(super) zookeeper: FakeZooKeeper,
    pub(super) mutant: Option<Mutant>,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) random: Random,
    pub(super) trace: Trace,
    pub(super) sessions: BTreeMap<i64, Owner>,
    pub(super) links: BTreeMap<NodeId, Link>,
    /// Followers lag, and new connections are slow.
    pub(super) slow: bool,
    /// What the three nodes were, change by change.
    pub(super) past: Vec<Moment>,
    /// Rules that a decorator saw broken: id and how.
    pub(super) broken: Vec<(&'static str, String)>,
    /// The log, for mutants that know more than they should.
    pub(super) positions: Vec<Position>,
}

impl Net {
    pub(super) fn new(zookeeper: FakeZooKeeper, mutant: Option<Mutant>, random: Random) -> Self {
        let state = State {
            random,
            trace: Trace::new(),
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            slow: false,
            past: Vec::new(),
            broken: Vec::new(),
            positions: Vec::new(),
        };
        Self { zookeeper, mutant, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// A new session of a node: what it sends is carried out when the world says so.
    pub(super) fn opened(&self, session: SessionId, node: NodeId) {
        self.zookeeper.hold(session);
        let mut state = self.state();
        state.sessions.insert(session.0, Owner { node, lost_at: None, lingers: false });
        state.trace.event(format_args!("node {node}: session {session}"));
    }

    pub(super) fn resumed(&self, session: SessionId) {
        let mut state = self.state();
        if let Some(owner) = state.sessions.get_mut(&session.0) {
            owner.lost_at = None;
        }
        state.trace.event(format_args!("session {session} has another connection"));
    }

    pub(super) fn link(&self, node: NodeId) -> Link {
        self.state().links.get(&node).copied().unwrap_or_default()
    }

    /// How long a connection takes to be made.
    pub(super) fn connecting(&self) -> Duration {
        let mut state = self.state();
        let longest = if state.slow { 40 } else { 3 };
        Duration::from_millis(u64::from(1 + state.random.below(longest)))
    }

    /// The three nodes as they are.
    pub(super) fn now(&self) -> Moment {
        CLAIMED_NODES.map(|path| self.zookeeper.node(path).map(|node| NodeData { data: node.data, stat: node.stat }))
    }

    /// Keeps the three nodes if they have changed.
    pub(super) fn remember(&self) {
        let now = self.now();
        let mut state = self.state();
        if state.past.last() != Some(&now) {
            state.past.push(now);
        }
    }

    /// Which moment a follower shows that has seen at least the one of number `seen`; `None` for the present one.
    pub(super) fn stale(&self, seen: usize) -> Option<Moment> {
        let mut state = self.state();
        let newest = state.past.len().checked_sub(1)?;
        if !state.slow || seen >= newest || !state.random.percent(50) {
            return None;
        }
        let span = u32::try_from(newest - seen).unwrap_or(u32::MAX);
        let at = seen + usize::try_from(state.random.below(span)).unwrap_or_default();
        let moment = state.past.get(at).cloned();
        state.trace.count("stale read", format_args!("moment {at} of {newest}"));
        moment
    }

    pub(super) fn seen(&self) -> usize {
        self.state().past.len().saturating_sub(1)
    }

    /// A rule was broken where only a decorator sees it.
    pub(super) fn report(&self, id: &'static str, how: String) {
        self.state().broken.push((id, how));
    }
}

/// The image of a log at exactly this position, if it has one there.
pub(super) fn image_at(
    log: &metadata_core::contract::MemLog,
    position: Position,
) -> Option<metadata_core::image::MetadataImage> {
    use futures::FutureExt as _;
    let image = log.image_at_most(position.end_offset).now_or_never()?.ok()??;
    (image.position() == position).then_some(image)
}
