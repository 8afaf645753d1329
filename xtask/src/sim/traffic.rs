//! What is carried out, in which order; and what is checked after each.

use futures::FutureExt as _;
use metadata_core::id::NodeId;
use metadata_core::log::MetadataLog as _;
use metadata_core::projection::{Difference, Projection as _};
use metadata_core::record::ZkMigrationState;
use store_zk::client::{SessionId, ZkOp};
use store_zk::testkit::fake::Applied;
use store_zk::znode::marker::SyncState;

use super::Broken;
use super::invariants::{BeliefStep, Completion, Invariant, WholeStep};
use super::net::image_at;
use super::quorum::Fate;
use super::tamper::Kind;
use super::truth::{AppendStep, Decisive, LogTruth, MultiStep};
use super::world::World;

/// Differences of a tree that are told, and that are looked at.
const DIFFERENCES_TOLD: usize = 3;
const DIFFERENCES_LISTED: usize = 100;

impl World {
    /// Lets ZooKeeper and the quorum get on with what they were asked for.
    pub(super) async fn traffic(&mut self) -> Result<(), String> {
        let mut sessions = self.net.zookeeper.sessions();
        self.random.shuffle(&mut sessions);
        for session in sessions {
            let held = u32::try_from(self.net.zookeeper.held(session)).unwrap_or(u32::MAX);
            if held == 0 {
                continue;
            }
            let lingers = self.net.state().sessions.get(&session.0).is_some_and(|owner| owner.lingers);
            let count = match (self.chances.over, lingers) {
                (true, _) => held,
                (false, true) if self.random.percent(self.chances.late_percent) => 1 + self.random.below(held),
                (false, false) if self.random.percent(self.chances.served_percent) => {
                    1 + self.random.below(held.min(6))
                }
                _ => 0,
            };
            for _ in 0..count {
                self.net.zookeeper.release_some(session, 1);
                self.observe().await?;
                if self.broken.is_some() {
                    return Ok(());
                }
            }
        }
        self.serve_quorum().await
    }

    async fn serve_quorum(&mut self) -> Result<(), String> {
        let mut voters: Vec<NodeId> = self.voters.iter().copied().collect();
        self.random.shuffle(&mut voters);
        for id in voters {
            let over = self.chances.over;
            let mut count = u32::try_from(self.quorum.asked(id)).unwrap_or(u32::MAX);
            if !over {
                count = if self.random.percent(self.chances.served_percent) { self.random.below(count + 1) } else { 0 };
            }
            for _ in 0..count {
                self.serve_one(id).await?;
                if self.broken.is_some() {
                    return Ok(());
                }
            }
            if self.is_awake(id) && (over || self.random.percent(60)) {
                self.quorum.apply(id, over || self.random.percent(50));
            }
            let learns = over || self.random.percent(self.chances.news_percent);
            if learns && self.is_awake(id) && !self.quorum.knows(id) {
                self.quorum.tell(id);
                self.net.state().trace.event(format_args!("node {id} learns who leads"));
            }
        }
        Ok(())
    }

    pub(super) async fn serve_one(&mut self, id: NodeId) -> Result<(), String> {
        let fate = match self.random.below(100) {
            _ if self.chances.over => Fate::Answered,
            roll if roll < self.chances.log_lost_percent => Fate::AnswerLost,
            roll if roll < 2 * self.chances.log_lost_percent => Fate::Dropped,
            _ => Fate::Answered,
        };
        if fate != Fate::Answered && self.quorum.appends_next(id) {
            let kind = if fate == Fate::AnswerLost { "lost answers of the log" } else { "dropped appends" };
            self.net.state().trace.count(kind, format_args!("node {id}"));
        }
        self.quorum.serve(id, fate);
        self.observe_log().await
    }

    fn judge(&mut self, check: impl Fn(&mut dyn Invariant) -> super::invariants::Broken) {
        for rule in &mut self.rules {
            if let Err(how) = check(&mut **rule)
                && self.broken.is_none()
            {
                self.broken = Some(Broken { id: rule.id(), never: rule.never(), how: how.clone() });
                self.net.state().trace.event(format_args!("BROKEN {}: {how}", rule.id()));
            }
        }
    }

    /// A rule was broken where only its own code could see it.
    pub(super) fn breaks(&mut self, id: &'static str, how: &str) {
        let never = self.rules.iter().find(|rule| rule.id() == id).map_or("", |rule| rule.never());
        if self.broken.is_none() {
            self.broken = Some(Broken { id, never, how: how.to_owned() });
            self.net.state().trace.event(format_args!("BROKEN {id}: {how}"));
        }
    }

    /// Looks at the multis that were carried out since the last look.
    pub(super) async fn observe(&mut self) -> Result<(), String> {
        for applied in self.net.zookeeper.history_from(self.seen_multis) {
            self.seen_multis += 1;
            self.observe_multi(&applied).await?;
        }
        Ok(())
    }

    async fn observe_multi(&mut self, applied: &Applied) -> Result<(), String> {
        let after = Decisive::from(&self.net.now());
        let before = std::mem::replace(&mut self.decisive, after.clone());
        let owner = applied.session.and_then(|session| self.net.state().sessions.get(&session.0).cloned());
        let kind = Kind::of(&applied.ops);
        let by = owner.as_ref().zip(applied.session).map(|(owner, session)| (owner.node, session));
        self.tell(by, kind, applied, &after);
        if owner.is_some_and(|owner| owner.lingers) && kind != Kind::Barrier {
            let late = if applied.outcome.is_ok() { "late multis applied" } else { "late multis refused" };
            self.net.state().trace.tick(late);
        }
        if applied.outcome.is_err() {
            return Ok(());
        }
        self.net.remember();
        let (log, voters, truth) = (self.quorum.log(), self.voters.clone(), self.log.clone());
        let image_at = |end| {
            let image = log.image_at_most(end).now_or_never()?.ok()??;
            (image.position().end_offset == end).then_some(image)
        };
        let (ops, image_at) = (&applied.ops, &image_at);
        let step = MultiStep { by, kind, ops, before: &before, after: &after, log: &truth, voters: &voters, image_at };
        self.judge(|rule| rule.multi(&step));
        if let Some(marker) = after.marker() {
            self.furthest = self.furthest.max(marker.position);
        }
        if by.is_some() && kind == Kind::Chain {
            self.compare_if_whole(&before, &after).await?;
        }
        Ok(())
    }

    /// Puts a multi into the trace.
    fn tell(&self, by: Option<(NodeId, SessionId)>, kind: Kind, applied: &Applied, after: &Decisive) {
        let who = by.map_or_else(|| "a stranger".to_owned(), |(node, session)| format!("node {node} by {session}"));
        let outcome = match &applied.outcome {
            Ok(_) => "applied".to_owned(),
            Err(error) => format!("refused, {error}"),
        };
        let marker = after.marker().map_or_else(
            || "no marker".to_owned(),
            |marker| {
                let chain = marker.chain.as_ref();
                let sync = chain.is_none_or(|chain| chain.sync == SyncState::Running);
                let under_way = chain
                    .and_then(|chain| Some(format!(" and {} ops up to {}", chain.next_op, chain.batch_end?)))
                    .unwrap_or_default();
                format!("marker at {}{under_way}{}", marker.position, if sync { ", not in step" } else { "" })
            },
        );
        let first = applied.ops.iter().find(|op| !matches!(op, ZkOp::Check { .. })).map_or("", ZkOp::path);
        let (ops, state) = (applied.ops.len(), &self.net);
        state.state().trace.event(format_args!("{who}: {kind:?} of {ops} ops ({first}) {outcome}; {marker}"));
    }

    /// Compares the tree when the marker says that it is the image at its position.
    async fn compare_if_whole(&mut self, before: &Decisive, after: &Decisive) -> Result<(), String> {
        let whole = |decisive: &Decisive| {
            let marker = decisive.marker()?;
            let chain = marker.chain.as_ref()?;
            (chain.sync == SyncState::Done && chain.batch_end.is_none()).then_some(marker.position)
        };
        let Some(position) = whole(after) else { return Ok(()) };
        if whole(before) == Some(position) {
            return Ok(());
        }
        let was_running = before.marker().and_then(|marker| marker.chain.as_ref()).map(|chain| chain.sync);
        let by = if was_running == Some(SyncState::Running) { Completion::Sync } else { Completion::Batch };
        if by == Completion::Sync {
            self.disturbed = false;
        } else if self.disturbed || !self.random.percent(40) {
            return Ok(());
        }
        self.compare(position, by).await
    }

    /// Holds the tree against the image at a position.
    pub(super) async fn compare(&mut self, at: metadata_core::id::Position, by: Completion) -> Result<(), String> {
        // Another rule speaks of positions that the log does not have.
        let Some(image) = image_at(&self.quorum.log(), at) else { return Ok(()) };
        let comparison = self.oracle.compare(&image, DIFFERENCES_LISTED).await;
        let comparison = comparison.map_err(|error| format!("ZooKeeper can't be compared: {error}"))?;
        self.net.state().trace.tick("comparisons");
        // What a stranger made, and no batch is about, only a sync puts right.
        let strange = |it: &Difference| it.oracle.is_none() && self.foreign.contains(&it.entity);
        let differences: Vec<Difference> = comparison.differences.iter().filter(|it| !strange(it)).cloned().collect();
        let tolerated = comparison.differences.len() - differences.len();
        let divergent = comparison.total().divergent - u64::try_from(tolerated).unwrap_or_default();
        let step = WholeStep {
            at,
            by,
            divergent,
            differences: differences.get(..DIFFERENCES_TOLD.min(differences.len())).unwrap_or_default(),
        };
        self.judge(|rule| rule.whole(&step));
        Ok(())
    }

    /// Looks at the batches that were committed since the last look.
    pub(super) async fn observe_log(&mut self) -> Result<(), String> {
        let log = self.quorum.log();
        let batches = log.read(self.log_end(), usize::MAX).await.map_err(|error| format!("the log: {error}"))?;
        for batch in batches {
            // Within a transaction the image is still the one before it.
            let image = log.image_at_most(batch.end_offset).await.map_err(|error| format!("the log: {error}"))?;
            let image = image.unwrap_or_default().at(batch.end(), batch.timestamp);
            let after = LogTruth { extent: log.extent(), image };
            let before = std::mem::replace(&mut self.log, after.clone());
            {
                let mut state = self.net.state();
                state.positions.push(batch.end());
                state.trace.event(format_args!(
                    "the log ends at {}, {} records, {}",
                    batch.end(),
                    batch.records.len(),
                    after.state()
                ));
            }
            let step = AppendStep { batch: &batch, before: &before, after: &after };
            self.judge(|rule| rule.append(&step));
            let copied = after.state() == ZkMigrationState::Migration && before.state() != after.state();
            if copied {
                self.net.state().trace.tick("copies");
            }
            // Whoever took the role between the copy's last barrier and its end may have written: that is ZK_GOVERNED.
            if copied && !self.decisive.is_governed_elsewhere(&self.voters) {
                self.compare(batch.end(), Completion::Copy).await?;
            }
        }
        Ok(())
    }

    /// What the controllers say of themselves, and what the decorators saw.
    pub(super) fn look_at_beliefs(&mut self) {
        let reported = std::mem::take(&mut self.net.state().broken);
        for (id, how) in reported {
            self.breaks(id, &how);
        }
        let furthest = self.furthest;
        let beliefs: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((*id, node.handle.watch().borrow().zookeeper_at?)))
            .collect();
        for (node, zookeeper_at) in beliefs {
            let step = BeliefStep { node, zookeeper_at, furthest };
            self.judge(|rule| rule.belief(&step));
        }
    }
}
