//! MIG-2. No delta reaches ZooKeeper unless the driver's state allows dual write.
//!
//! Source: KIP-866, the driver's states. Seen here: no metadata of ours in ZooKeeper before the log says MIGRATION. The
//! other half, that batches and syncs are handed over in their states alone, is watched at the port (`sim/store.rs`).

use metadata_core::record::ZkMigrationState;

use super::{Broken, Invariant};
use crate::sim::truth::MultiStep;

pub(super) struct NoDeltaBeforeItsTime;

impl Invariant for NoDeltaBeforeItsTime {
    fn id(&self) -> &'static str {
        "MIG-2"
    }

    fn never(&self) -> &'static str {
        "metadata of ours reaches ZooKeeper while the log is not in state MIGRATION, or out of a state that writes (KIP-866)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        let content = step.content();
        if step.by.is_some() && content > 0 && step.log.state() != ZkMigrationState::Migration {
            return Err(format!(
                "{content} ops of metadata were applied while the log is in state {}",
                step.log.state()
            ));
        }
        Ok(())
    }
}
