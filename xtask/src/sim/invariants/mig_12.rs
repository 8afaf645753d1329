//! MIG-12. Nobody believes that ZooKeeper holds more than it does.
//!
//! Source: idea 4. A controller's own status decides when a migration may be finalized, and images are kept by it.

use super::{BeliefStep, Broken, Invariant};

pub(super) struct NobodyBelievesMore;

impl Invariant for NobodyBelievesMore {
    fn id(&self) -> &'static str {
        "MIG-12"
    }

    fn never(&self) -> &'static str {
        "a controller takes a batch for written that ZooKeeper's marker never named (idea 4)"
    }

    fn belief(&mut self, step: &BeliefStep) -> Broken {
        if step.zookeeper_at <= step.furthest {
            return Ok(());
        }
        Err(format!(
            "node {} says that ZooKeeper is at {}, and the marker never came past {}",
            step.node, step.zookeeper_at, step.furthest
        ))
    }
}
