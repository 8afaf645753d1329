//! MIG-8. ZK_GOVERNED is left by nobody.
//!
//! Source: idea 6: a ZooKeeper-mode controller may have made changes since; only the operator's word ends that. Kafka has
//! no such state and writes over them.

use metadata_core::record::ZkMigrationState;

use super::{Broken, Invariant};
use crate::sim::tamper::Kind;
use crate::sim::truth::MultiStep;

pub(super) struct GovernedIsKept;

impl Invariant for GovernedIsKept {
    fn id(&self) -> &'static str {
        "MIG-8"
    }

    fn never(&self) -> &'static str {
        "we write a ZooKeeper that somebody else has governed since we last wrote it, once all is copied (idea 6)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        let Some((node, _)) = step.by.filter(|_| step.kind != Kind::Barrier) else { return Ok(()) };
        let copied = step.log.state() == ZkMigrationState::Migration;
        if copied && step.before.is_governed_elsewhere(step.voters) {
            return Err(format!("node {node} wrote a ZooKeeper that is governed by somebody else: {:?}", step.before));
        }
        Ok(())
    }
}
