//! MIG-3. `/migration` never says more than is committed, nor more than ZooKeeper holds.
//!
//! Source: `write-chain`, names and 2: ZooKeeper holds exactly a prefix of the chain, and the marker says how long it is.
//! Kafka sets the marker apart from the writes and retries both (L10, L11).

use super::{Broken, Completion, Invariant, WholeStep, equal};
use crate::sim::tamper::Kind;
use crate::sim::truth::MultiStep;

pub(super) struct ExactPrefix;

impl Invariant for ExactPrefix {
    fn id(&self) -> &'static str {
        "MIG-3"
    }

    fn never(&self) -> &'static str {
        "the marker is ahead of the committed log, names content that ZooKeeper lacks, or stays behind what it holds (KIP-866)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        if step.by.is_none() {
            return Ok(());
        }
        if step.kind != Kind::Chain && step.content() > 0 {
            return Err(format!("{} ops of metadata were applied without the marker", step.content()));
        }
        let Some(marker) = step.after.marker() else { return Ok(()) };
        let end = step.log.extent.end_offset;
        if step.kind != Kind::Barrier && !step.log.has(marker.position) {
            return Err(format!(
                "the marker says {}, the log ends at {end} or has another epoch there",
                marker.position
            ));
        }
        match marker.chain.as_ref().and_then(|chain| chain.batch_end) {
            Some(under_way) if under_way > end => {
                Err(format!("a batch up to {under_way} is under way and the log ends at {end}"))
            }
            _ => Ok(()),
        }
    }

    fn whole(&mut self, step: &WholeStep<'_>) -> Broken {
        if step.by != Completion::Batch {
            return Ok(());
        }
        equal(step).map_err(|how| format!("the marker says {}, and {how}", step.at))
    }
}
