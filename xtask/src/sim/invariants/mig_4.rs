//! MIG-4. After the copy and after a full sync both sides agree, save declared losses.
//!
//! Source: KIP-866, idea 1: `project(image)` is what ZooKeeper holds, less what it can't hold.

use fencing::SyncState;

use super::{Broken, Completion, Invariant, WholeStep, equal};
use crate::sim::tamper::Kind;
use crate::sim::truth::{Decisive, MultiStep};

pub(super) struct SidesAgree;

impl Invariant for SidesAgree {
    fn id(&self) -> &'static str {
        "MIG-4"
    }

    fn never(&self) -> &'static str {
        "a copy or a full sync ends, or a migration has finished, and ZooKeeper differs from the image (KIP-866)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        let sync = |decisive: &Decisive| decisive.marker().and_then(|marker| marker.chain.as_ref()).map(|it| it.sync);
        let (before, after) = (sync(step.before), sync(step.after));
        if step.by.is_some()
            && step.kind == Kind::Claim
            && (before, after) == (Some(SyncState::Running), Some(SyncState::Done))
        {
            return Err("a claim calls a sync done that was interrupted".to_owned());
        }
        Ok(())
    }

    fn whole(&mut self, step: &WholeStep<'_>) -> Broken {
        let what = match step.by {
            Completion::Batch => return Ok(()),
            Completion::Sync => "the sync",
            Completion::Copy => "the copy",
        };
        equal(step).map_err(|how| format!("{what} is done at {}, and {how}", step.at))
    }
}
