//! MIG-10. A multi of a batch holds exactly the next ops of the batch's plan.
//!
//! Source: `write-chain` 4: a second create fails a multi, a second set moves a version, an op left out is a lost change; so
//! a successor goes on at exactly `next_op`.

use fencing::SyncState;
use metadata_core::id::{Offset, Position, ZkControllerEpoch};
use metadata_core::image::MetadataImage;
use store_zk::client::ZkOp;
use store_zk::project::{ProjectionContext, project};
use store_zk::znode::marker::Marker;

use super::{Broken, Invariant};
use crate::sim::tamper::Kind;
use crate::sim::truth::MultiStep;

/// Ops before the plan's in a multi of the chain.
const OPS_BEFORE: usize = 3;

/// The plan is looked at by its paths: the data carry the claimed epoch.
#[derive(Default)]
pub(super) struct PlanAsMade {
    /// Somebody else has written since, so an op may be planned anew, or left out.
    disturbed: bool,
}

fn paths(before: &MetadataImage, after: &MetadataImage, notify: bool) -> Vec<String> {
    let context = ProjectionContext { zk_epoch: ZkControllerEpoch(0), secret: None, secure: false, notify };
    project(before, after, &context).ops.iter().map(|planned| planned.op.path().to_string()).collect()
}

fn synced(marker: &Marker) -> bool {
    marker.chain.as_ref().is_some_and(|chain| chain.sync == SyncState::Done)
}

/// Where the chain is: position, end of the batch under way, ops of it.
fn place(marker: &Marker) -> (Position, Option<Offset>, u32) {
    let chain = marker.chain.as_ref();
    (marker.position, chain.and_then(|chain| chain.batch_end), chain.map_or(0, |chain| chain.next_op))
}

impl Invariant for PlanAsMade {
    fn id(&self) -> &'static str {
        "MIG-10"
    }

    fn never(&self) -> &'static str {
        "a multi of a batch repeats an op of the plan, leaves one out or miscounts them, or a claim moves the chain (write-chain 4)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        if step.by.is_none() {
            self.disturbed = true;
        }
        let (Some(before), Some(after)) = (step.before.marker(), step.after.marker()) else { return Ok(()) };
        if step.kind == Kind::Claim && synced(before) && synced(after) && place(before) != place(after) {
            return Err(format!("a claim moved the chain from {:?} to {:?}", place(before), place(after)));
        }
        if step.kind != Kind::Chain || self.disturbed || !synced(before) || !synced(after) {
            return Ok(());
        }
        let (Some(from), Some(to)) = (&before.chain, &after.chain) else { return Ok(()) };
        let end = to.batch_end.unwrap_or(after.position.end_offset);
        if end == before.position.end_offset {
            // Old notifications are swept.
            return Ok(());
        }
        let (Some(image), Some(next)) = ((step.image_at)(before.position.end_offset), (step.image_at)(end)) else {
            return Err(format!("a batch goes from {} to {end}, and the log has no such batch", before.position));
        };
        let written: Vec<&str> = step.ops.iter().skip(OPS_BEFORE).map(ZkOp::path).collect();
        let begun = if from.batch_end.is_some() { from.next_op } else { 0 };
        let fits = |notify: bool| {
            let plan = paths(&image, &next, notify);
            let first = usize::try_from(begun).unwrap_or(usize::MAX);
            let last = first.saturating_add(written.len());
            let counted = match to.batch_end {
                Some(_) => usize::try_from(to.next_op) == Ok(last),
                None => last == plan.len(),
            };
            counted
                && plan.get(first..last).is_some_and(|ops| ops.iter().map(String::as_str).eq(written.iter().copied()))
        };
        let known = if from.batch_end.is_some() { Some(from.notify) } else { to.batch_end.map(|_| to.notify) };
        if known.map_or_else(|| fits(false) || fits(true), fits) {
            return Ok(());
        }
        Err(format!(
            "{} ops were written from op {begun} of the batch from {} to {end} on, and they are not the plan's: {}",
            written.len(),
            before.position,
            written.iter().take(4).copied().collect::<Vec<_>>().join(", ")
        ))
    }
}
