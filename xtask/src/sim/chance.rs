//! What goes wrong, drawn from the seed. Each history has some kinds of faults and not others: a world in which everything
//! fails at once reaches little.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use metadata_core::id::{BrokerEpoch, NodeId};
use metadata_core::log::{Append, MetadataLog as _};
use metadata_core::record::{RegisterBrokerRecord, VersionedRecord, ZkMigrationState};
use metadata_core::store::Txn;
use store_zk::client::{SessionId, ZkAcl, ZkOp};
use store_zk::znode::path;
use tokio::time::Instant;

use super::net::{Link, SESSION_TIMEOUT};
use super::quorum::Fate;
use super::world::{Down, World};
use crate::seed::Random;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chance {
    Crash,
    Elect,
    Renew,
    Pause,
    Disconnect,
    DisconnectLosing,
    Linger,
    Expire,
    LinkDown,
    Refuse,
    Change,
    Burst,
    Register,
    Broker,
    Foreign,
}

/// Kinds that a run of any length must have seen, as they are counted. Stale reads are none of them: the plain code reads
/// what decides a claim behind a barrier alone, so only mutants see them.
pub(crate) const KINDS: [&str; 21] = [
    "crashes",
    "failovers",
    "renewed epochs",
    "two leaders",
    "pauses",
    "connections lost",
    "requests lost with them",
    "lingering sessions",
    "expired sessions",
    "links down",
    "refused credentials",
    "lost answers of the log",
    "dropped appends",
    "late multis applied",
    "late multis refused",
    "changes",
    "bursts of changes",
    "registrations before the copy",
    "brokers come and go",
    "foreign writes",
    "resumes within a batch",
];

/// How a history's luck is.
pub(super) struct Chances {
    pub(super) steps: u32,
    /// A step of the world takes up to so many milliseconds.
    pub(super) step_ms: u32,
    pub(super) served_percent: u32,
    pub(super) late_percent: u32,
    pub(super) news_percent: u32,
    pub(super) log_lost_percent: u32,
    /// The faults are over.
    pub(super) over: bool,
    /// The leader makes changes.
    pub(super) changes: bool,
    /// The faults begin once dual writing has.
    pub(super) late: bool,
    /// Of 1000 steps, so many have it.
    rates: BTreeMap<Chance, u32>,
    paused: BTreeMap<NodeId, Instant>,
    links: BTreeMap<NodeId, Instant>,
}

impl Chances {
    pub(super) fn draw(random: &mut Random) -> Self {
        use Chance::{
            Broker, Burst, Change, Crash, Disconnect, DisconnectLosing, Elect, Expire, Foreign, Linger, LinkDown,
            Pause, Refuse, Register, Renew,
        };
        let kinds = [
            (Crash, 12),
            (Elect, 12),
            (Renew, 8),
            (Pause, 15),
            (Disconnect, 30),
            (DisconnectLosing, 30),
            (Linger, 20),
            (Expire, 15),
            (LinkDown, 8),
            (Refuse, 5),
            (Register, 60),
            (Broker, 15),
            (Foreign, 10),
        ];
        let mut rates = BTreeMap::new();
        for (kind, rate) in kinds {
            if random.percent(45) {
                rates.insert(kind, rate * (1 + random.below(3)));
            }
        }
        rates.insert(Change, 100 + random.below(400));
        rates.insert(Burst, random.below(60));
        Self {
            steps: 100 + random.below(600),
            step_ms: random.pick([2, 5, 20, 20, 60]),
            served_percent: random.pick([40, 70, 90, 100]),
            late_percent: random.pick([3, 10, 30]),
            news_percent: random.pick([5, 20, 60]),
            log_lost_percent: random.pick([0, 0, 1, 4]),
            over: false,
            changes: true,
            late: random.percent(65),
            rates,
            paused: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }
}

impl World {
    /// One step's events.
    pub(super) async fn take_chances(&mut self) -> Result<(), String> {
        self.what_is_due();
        if self.quorum.leader().leader.is_none() && self.random.percent(20) {
            self.elect_one();
        }
        let rates: Vec<_> = self.chances.rates.iter().map(|(kind, rate)| (*kind, *rate)).collect();
        for (kind, rate) in rates {
            if self.random.below(1000) < rate {
                self.happen(kind).await?;
                self.observe_log().await?;
            }
        }
        let leaders = self.voters.iter().filter(|id| self.quorum.believes(**id)).count();
        if leaders > 1 {
            self.net.state().trace.tick("two leaders");
        }
        Ok(())
    }

    /// What was begun earlier ends.
    fn what_is_due(&mut self) {
        let now = Instant::now();
        let over: Vec<NodeId> =
            self.chances.paused.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.chances.paused.remove(&id);
            self.wake(id);
        }
        let over: Vec<NodeId> =
            self.chances.links.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for id in over {
            self.chances.links.remove(&id);
            self.net.state().links.insert(id, Link::Up);
        }
        let back: Vec<(NodeId, u32)> =
            self.down.iter().filter(|(_, down)| down.until <= now).map(|(id, down)| (*id, down.run)).collect();
        for (id, run) in back {
            self.down.remove(&id);
            self.start(id, run + 1);
        }
        self.expire_what_is_due(now);
    }

    /// Sessions that have been without a connection for too long end, with what they sent and what is not carried out.
    fn expire_what_is_due(&mut self, now: Instant) {
        let known = self.net.zookeeper.sessions();
        let due: Vec<i64> = {
            let mut state = self.net.state();
            state.sessions.retain(|id, _| known.contains(&SessionId(*id)));
            let due =
                state.sessions.iter().filter(|(_, it)| it.lost_at.is_some_and(|lost| lost + SESSION_TIMEOUT < now));
            due.map(|(id, _)| *id).collect()
        };
        for session in due {
            if self.random.percent(20) {
                self.net.zookeeper.expire(SessionId(session));
                self.net.state().sessions.remove(&session);
                self.net.state().trace.event(format_args!("session {} is over", SessionId(session)));
            }
        }
    }

    pub(super) fn wake(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get(&id) {
            node.process.wake();
            self.net.state().trace.event(format_args!("node {id} wakes up"));
        }
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let at = self.random.below(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.get(usize::try_from(at).unwrap_or_default()).copied()
    }

    fn any_node(&mut self) -> Option<NodeId> {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.one_of(&ids)
    }

    /// A session whose client is connected.
    fn any_session(&mut self) -> Option<SessionId> {
        let ids: Vec<i64> = {
            let state = self.net.state();
            state.sessions.iter().filter(|(_, it)| it.lost_at.is_none()).map(|(id, _)| *id).collect()
        };
        self.one_of(&ids).map(SessionId)
    }

    fn lost(&self, session: SessionId, lingers: bool) {
        if let Some(owner) = self.net.state().sessions.get_mut(&session.0) {
            owner.lost_at = Some(Instant::now());
            owner.lingers |= lingers;
        }
    }

    fn pause_ms(&mut self, longest: u32) -> Duration {
        Duration::from_millis(u64::from(10 + self.random.below(longest)))
    }

    /// A new epoch, of whoever can lead.
    pub(super) fn elect_one(&mut self) {
        let awake: Vec<NodeId> = self.nodes.keys().copied().filter(|id| self.is_awake(*id)).collect();
        if let Some(id) = self.one_of(&awake) {
            self.elect(id);
        }
    }

    fn elect(&mut self, id: NodeId) {
        let before = self.quorum.leader();
        let leader = self.quorum.elect(id);
        let kind = if before.leader == Some(id) { "renewed epochs" } else { "failovers" };
        self.net.state().trace.count(kind, format_args!("node {id} leads in epoch {}", leader.epoch));
    }

    async fn happen(&mut self, kind: Chance) -> Result<(), String> {
        match kind {
            Chance::Crash => {
                if let Some(id) = self.any_node() {
                    self.crash(id).await?;
                }
            }
            Chance::Elect => self.elect_one(),
            Chance::Renew => {
                if let Some(id) = self.quorum.leader().leader.filter(|id| self.is_awake(*id)) {
                    self.elect(id);
                }
            }
            Chance::Pause => {
                if let Some(id) = self.any_node().filter(|id| self.is_awake(*id)) {
                    let until = Instant::now() + self.pause_ms(2_500);
                    self.chances.paused.insert(id, until);
                    if let Some(node) = self.nodes.get(&id) {
                        node.process.pause();
                    }
                    self.net.state().trace.count("pauses", format_args!("node {id}"));
                }
            }
            Chance::LinkDown | Chance::Refuse => self.link_fails(kind),
            Chance::Disconnect | Chance::DisconnectLosing | Chance::Linger | Chance::Expire => self.session_fails(kind),
            Chance::Change => self.change(1),
            Chance::Burst => {
                let count = 10 + self.random.below(50);
                self.net.state().trace.count("bursts of changes", count);
                self.change(count);
            }
            Chance::Register => self.register(),
            Chance::Broker => self.broker_comes_or_goes().await?,
            Chance::Foreign => self.foreign_write().await?,
        }
        Ok(())
    }

    fn link_fails(&mut self, kind: Chance) {
        let Some(id) = self.any_node() else { return };
        let (link, name) =
            if kind == Chance::LinkDown { (Link::Down, "links down") } else { (Link::Refused, "refused credentials") };
        let until = Instant::now() + self.pause_ms(2_000);
        self.chances.links.insert(id, until);
        let sessions: Vec<i64> = {
            let mut state = self.net.state();
            state.links.insert(id, link);
            state.trace.count(name, format_args!("node {id}"));
            state.sessions.iter().filter(|(_, it)| it.node == id && it.lost_at.is_none()).map(|(id, _)| *id).collect()
        };
        for session in sessions.into_iter().map(SessionId) {
            if link == Link::Down {
                self.net.zookeeper.disconnect(session);
            } else {
                self.net.zookeeper.refuse_credentials(session);
            }
            self.lost(session, false);
        }
    }

    fn session_fails(&mut self, kind: Chance) {
        let Some(session) = self.any_session() else { return };
        let held = self.net.zookeeper.held(session);
        let (name, lingers) = match kind {
            Chance::Disconnect => {
                self.net.zookeeper.disconnect(session);
                ("connections lost", false)
            }
            Chance::DisconnectLosing => {
                let received = self.random.below(u32::try_from(held).unwrap_or(u32::MAX));
                self.net.zookeeper.disconnect_after(session, usize::try_from(received).unwrap_or_default());
                ("requests lost with them", false)
            }
            Chance::Linger => {
                self.net.zookeeper.linger(session);
                ("lingering sessions", true)
            }
            _ => {
                self.net.zookeeper.expire(session);
                ("expired sessions", false)
            }
        };
        self.lost(session, lingers);
        self.net.state().trace.count(name, format_args!("session {session}, {held} requests under way"));
    }

    /// SIGKILL. What it has sent may be carried out all the same, and late.
    pub(super) async fn crash(&mut self, id: NodeId) -> Result<(), String> {
        let Some(node) = self.nodes.remove(&id) else { return Ok(()) };
        node.process.kill();
        self.net.state().trace.count("crashes", format_args!("node {id}, run {}", node.run));
        let sessions: Vec<i64> = {
            let state = self.net.state();
            state.sessions.iter().filter(|(_, it)| it.node == id && !it.lingers).map(|(id, _)| *id).collect()
        };
        for session in sessions.into_iter().map(SessionId) {
            if self.random.percent(50) {
                let held = u32::try_from(self.net.zookeeper.held(session)).unwrap_or(u32::MAX);
                let received = self.random.below(held.saturating_add(1));
                self.net.zookeeper.disconnect_after(session, usize::try_from(received).unwrap_or_default());
            }
            self.net.zookeeper.linger(session);
            self.lost(session, true);
        }
        node.task.abort();
        for _ in 0..self.random.below(3) {
            self.quorum.serve(id, Fate::AnswerLost);
        }
        self.quorum.crash(id);
        if self.quorum.leader().leader == Some(id) {
            self.quorum.vacate();
        }
        self.chances.paused.remove(&id);
        let until = Instant::now() + self.pause_ms(1_500);
        self.down.insert(id, Down { run: node.run, until });
        Ok(())
    }

    /// Changes of the metadata, by the leader, once everything is copied.
    fn change(&mut self, count: u32) {
        let leader = self.quorum.leader();
        let Some(id) = leader.leader.filter(|id| self.is_awake(*id) && self.quorum.believes(*id)) else { return };
        if self.log.state() != ZkMigrationState::Migration || !self.chances.changes {
            return;
        }
        let log = self.quorum.log();
        for _ in 0..count {
            let image = log.image();
            let records = self.workload.next_change(&image);
            let expected = Some(image.position().end_offset);
            // A change that does not fit is none.
            _ = log.append(Append { epoch: leader.epoch, expected, txn: Txn::None, records }).now_or_never();
            self.net.state().trace.tick("changes");
        }
        self.quorum.apply(id, true);
    }

    /// What may pass while the metadata are frozen: a broker registers.
    fn register(&mut self) {
        let leader = self.quorum.leader();
        let Some(id) = leader.leader.filter(|id| self.is_awake(*id) && self.quorum.believes(*id)) else { return };
        let log = self.quorum.log();
        let image = log.image();
        if image.zk_migration_state() != ZkMigrationState::PreMigration {
            return;
        }
        let expected = image.position().end_offset;
        let record = RegisterBrokerRecord {
            broker_id: NodeId(1 + i32::try_from(self.random.below(6)).unwrap_or_default()),
            broker_epoch: BrokerEpoch(expected.0),
            is_migrating_zk_broker: true,
            ..RegisterBrokerRecord::default()
        };
        let records = vec![VersionedRecord::new(record, 2)];
        let done = log.append(Append { epoch: leader.epoch, expected: Some(expected), txn: Txn::None, records });
        if matches!(done.now_or_never(), Some(Ok(_))) {
            self.quorum.apply(id, true);
            self.net.state().trace.count("registrations before the copy", format_args!("at {expected}"));
        }
    }

    async fn broker_comes_or_goes(&mut self) -> Result<(), String> {
        let id = 1 + self.random.below(3);
        let znode = format!("{}/{id}", path::BROKER_IDS);
        let op = if self.net.zookeeper.node(&znode).is_some() {
            ZkOp::delete(znode, None)
        } else {
            let data = format!(
                r#"{{"version":4,"host":"host{id}","port":9092,"endpoints":["PLAINTEXT://host{id}:9092"],"listener_security_protocol_map":{{"PLAINTEXT":"PLAINTEXT"}},"jmx_port":-1,"timestamp":"0"}}"#
            );
            ZkOp::create(znode, data, ZkAcl::world_all())
        };
        self.net.state().trace.count("brokers come and go", id);
        // It is no metadata, so nothing is disturbed by it.
        self.by_hand(vec![op]).await
    }

    /// Somebody makes a znode that the chain is about to make.
    async fn foreign_write(&mut self) -> Result<(), String> {
        if self.log.state() != ZkMigrationState::Migration {
            return Ok(());
        }
        let missing: Vec<String> = self
            .log
            .image
            .topics()
            .iter_by_name()
            .map(|(name, _)| path::topic_config(name))
            .filter(|znode| self.net.zookeeper.node(znode).is_none())
            .collect();
        let at = self.random.below(u32::try_from(missing.len()).unwrap_or(u32::MAX));
        let Some(znode) = missing.get(usize::try_from(at).unwrap_or_default()) else { return Ok(()) };
        self.net.state().trace.count("foreign writes", znode);
        self.disturbed = true;
        self.foreign.insert(znode.clone());
        let data = r#"{"version":1,"config":{"retention.ms":"7"}}"#;
        self.by_hand(vec![ZkOp::create(znode.clone(), data, ZkAcl::world_all())]).await
    }

    /// Ops that no session of ours sends, each by itself.
    pub(super) async fn by_hand(&mut self, ops: Vec<ZkOp>) -> Result<(), String> {
        for op in ops {
            // What can't be done any more is not done.
            _ = self.net.zookeeper.foreign(vec![op]);
            self.observe().await?;
        }
        Ok(())
    }
}
