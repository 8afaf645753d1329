//! A batch on its way: its plan, and the multis that the plan is cut into.

use std::collections::{BTreeMap, HashSet};

use metadata_core::error::{Error, Outcome, Result};
use metadata_core::id::Position;
use metadata_core::store::MetadataBatch;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::client::ZkOp;
use crate::project::{CreateMode, Entity, PlannedOp, Replanned, ZnodeOp};

/// Ops of ours in one multi. Beyond this the rate grows no more.
pub(super) const OPS_PER_MULTI_MAX: usize = 100;

/// Bytes of one multi. An op that is larger goes alone.
pub(super) const MULTI_SIZE_MAX: usize = 512 << 10;

/// A submitted batch.
pub(super) struct Queued {
    pub(super) batch: MetadataBatch,
    /// The plan, made when the first multi of the batch is issued.
    pub(super) plan: Option<Planned>,
    /// Whether its first ops are in ZooKeeper.
    pub(super) partial: bool,
    /// Whether a multi of it was sent of which nobody knows yet whether it is, or will be, applied.
    pub(super) in_doubt: bool,
    answer: Option<oneshot::Sender<Result<Position>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// A batch's plan. Indices never move: what is not sent keeps its place, so that a successor counts as we did.
pub(super) struct Planned {
    pub(super) ops: Vec<PlannedOp>,
    pub(super) notify: bool,
    /// Ops that someone else's write made us plan anew, by index.
    pub(super) replanned: BTreeMap<u32, Replanned>,
    /// Entities that were left out of ZooKeeper and fit again: before the first multi goes out, their ops are replaced
    /// by what makes them whole.
    pub(super) to_mend: Vec<Entity>,
    /// Whether that was done. Such a plan can't be made again, so the marker says that a sync is running until it is
    /// all there.
    pub(super) mended: bool,
}

/// One multi's worth of a plan.
pub(super) struct Cut {
    pub(super) ops: Vec<ZkOp>,
    /// The plan's index of each op.
    pub(super) indices: Vec<u32>,
    /// The first index behind the cut.
    pub(super) next_op: u32,
    /// Whether the plan ends with it.
    pub(super) last: bool,
}

impl Queued {
    pub(super) fn new(
        batch: MetadataBatch,
        answer: oneshot::Sender<Result<Position>>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { batch, plan: None, partial: false, in_doubt: false, answer: Some(answer), _permit: permit }
    }

    /// Tells whoever waits, if anybody still does.
    pub(super) fn answer(&mut self, result: Result<Position>) {
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(result);
        }
    }

    /// What is known of a batch that the chain gives up. Only what never left us, or was refused whole, is certain.
    pub(super) fn outcome(&self) -> Outcome {
        if self.partial || self.in_doubt { Outcome::Unknown } else { Outcome::NotApplied }
    }

    /// Refuses the batch with a copy of `error`.
    pub(super) fn fail(&mut self, error: Error) {
        self.answer(Err(error));
    }
}

impl Planned {
    /// `withheld` has the ops that are not to be sent from the start.
    pub(super) fn new(ops: Vec<PlannedOp>, notify: bool, withheld: BTreeMap<u32, Replanned>) -> Self {
        Self { ops, notify, replanned: withheld, to_mend: Vec::new(), mended: false }
    }

    /// Replaces all ops of `entities` by `whole`, which makes them whole. Before the first multi only: indices move.
    pub(super) fn mend(&mut self, entities: &[Entity], whole: Vec<PlannedOp>) {
        let mut kept = Vec::new();
        let mut replanned = BTreeMap::new();
        for (index, planned) in (0u32..).zip(std::mem::take(&mut self.ops)) {
            if entities.contains(&planned.entity) {
                continue;
            }
            if let (Some(instead), Ok(at)) = (self.replanned.remove(&index), u32::try_from(kept.len())) {
                replanned.insert(at, instead);
            }
            kept.push(planned);
        }
        kept.extend(whole);
        (self.ops, self.replanned) = (kept, replanned);
        self.to_mend.clear();
        self.mended = true;
    }

    /// Cuts the next multi from index `from` on. `room` is how many bytes of ops fit into it.
    pub(super) fn cut(&self, from: u32, room: usize, chroot: usize, left_out: &HashSet<Entity>) -> Cut {
        let mut cut = Cut { ops: Vec::new(), indices: Vec::new(), next_op: from, last: false };
        let mut bytes = 0;
        for (index, planned) in (0u32..).zip(&self.ops).skip(usize::try_from(from).unwrap_or(usize::MAX)) {
            let Some(op) = self.op_at(index, planned, left_out) else {
                cut.next_op = index + 1;
                continue;
            };
            let size = op.wire_size(chroot);
            if !cut.ops.is_empty() && (cut.ops.len() >= OPS_PER_MULTI_MAX || bytes + size > room) {
                return cut;
            }
            bytes += size;
            cut.ops.push(op);
            cut.indices.push(index);
            cut.next_op = index + 1;
        }
        cut.last = true;
        cut
    }

    fn op_at(&self, index: u32, planned: &PlannedOp, left_out: &HashSet<Entity>) -> Option<ZkOp> {
        if left_out.contains(&planned.entity) {
            return None;
        }
        match self.replanned.get(&index) {
            Some(Replanned::Instead(op)) => Some(zk_op(op)),
            Some(Replanned::Nothing) => None,
            Some(Replanned::FullSync) | None => Some(zk_op(&planned.op)),
        }
    }
}

/// An op as the client sends it. None expects a version of its own: the chain's checks fence the multi as a whole.
pub(super) fn zk_op(op: &ZnodeOp) -> ZkOp {
    match op {
        ZnodeOp::Create { path, data, mode, access } => ZkOp::Create {
            path: path.to_string(),
            data: data.clone().unwrap_or_default(),
            acl: super::acl(*access),
            mode: match mode {
                CreateMode::Persistent => crate::client::CreateMode::Persistent,
                CreateMode::PersistentSequential => crate::client::CreateMode::PersistentSequential,
            },
        },
        ZnodeOp::Set { path, data } => {
            ZkOp::SetData { path: path.to_string(), data: data.clone().unwrap_or_default(), version: None }
        }
        ZnodeOp::Delete { path } => ZkOp::Delete { path: path.to_string(), version: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(sizes: &[usize]) -> Planned {
        let ops = (0..).zip(sizes).map(|(index, size)| PlannedOp {
            entity: Entity::Token(format!("t{index}").into()),
            op: ZnodeOp::Set { path: format!("/n{index}").into(), data: Some(vec![b'x'; *size].into()) },
        });
        Planned::new(ops.collect(), false, BTreeMap::new())
    }

    fn cuts(plan: &Planned, room: usize, left_out: &HashSet<Entity>) -> Vec<(Vec<u32>, u32, bool)> {
        let mut from = 0;
        let mut cuts = Vec::new();
        loop {
            let cut = plan.cut(from, room, 0, left_out);
            from = cut.next_op;
            cuts.push((cut.indices, cut.next_op, cut.last));
            if cut.last {
                return cuts;
            }
        }
    }

    #[test]
    fn a_plan_is_cut_by_count_and_by_size_and_a_large_op_goes_alone() {
        let by_count = cuts(&planned(&[10; 250]), MULTI_SIZE_MAX, &HashSet::new());
        assert_eq!(by_count.iter().map(|(ops, ..)| ops.len()).collect::<Vec<_>>(), [100, 100, 50]);
        let by_size = cuts(&planned(&[400, 400, 2000, 400]), 1000, &HashSet::new());
        assert_eq!(by_size, [(vec![0, 1], 2, false), (vec![2], 3, false), (vec![3], 4, true)]);
    }

    #[test]
    fn an_empty_plan_is_one_multi_that_moves_the_marker() {
        assert_eq!(cuts(&planned(&[]), 1000, &HashSet::new()), [(vec![], 0, true)]);
    }

    #[test]
    fn what_is_left_out_keeps_its_index() {
        let left_out = HashSet::from([Entity::Token("t1".into()), Entity::Token("t3".into())]);
        let cut = cuts(&planned(&[400; 4]), 500, &left_out);
        assert_eq!(cut, [(vec![0], 2, false), (vec![2], 4, true)]);
    }

    #[test]
    fn a_replanned_op_stands_under_its_old_index() {
        let mut plan = planned(&[10; 3]);
        plan.replanned.insert(0, Replanned::Nothing);
        plan.replanned.insert(1, Replanned::Instead(ZnodeOp::Delete { path: "/other".into() }));
        let cut = plan.cut(0, 1000, 0, &HashSet::new());
        assert_eq!(cut.indices, [1, 2]);
        assert_eq!(cut.ops.first().map(|op| op.path()), Some("/other"));
    }

    #[test]
    fn what_is_withheld_stays_withheld_when_an_entity_before_it_is_made_whole() {
        let mut plan = planned(&[10; 4]);
        plan.replanned.insert(2, Replanned::Nothing);
        let whole = planned(&[10; 1]).ops;
        plan.mend(&[Entity::Token("t1".into())], whole);
        let kept: Vec<_> = plan.ops.iter().map(|op| op.entity.clone()).collect();
        assert_eq!(kept, ["t0", "t2", "t3", "t0"].map(|id| Entity::Token(id.into())));
        assert_eq!(plan.replanned.keys().collect::<Vec<_>>(), [&1]);
    }
}
