//! MIG-4. After the copy and after a full sync both sides agree, save declared losses.
//!
//! Source: KIP-866, idea 1: `project(image)` is what ZooKeeper holds, less what it can't hold.

use super::{Broken, Completion, Invariant, WholeStep, equal};

pub(super) struct SidesAgree;

impl Invariant for SidesAgree {
    fn id(&self) -> &'static str {
        "MIG-4"
    }

    fn never(&self) -> &'static str {
        "a copy or a full sync ends, or a migration has finished, and ZooKeeper differs from the image (KIP-866)"
    }

    fn whole(&mut self, step: &WholeStep<'_>) -> Broken {
        let what = match step.by {
            Completion::Batch => return Ok(()),
            Completion::Sync => "the sync",
            Completion::Copy => "the copy",
        };
        equal(step.comparison).map_err(|how| format!("{what} is done at {}, and {how}", step.at))
    }
}
