//! MIG-5. An aborted copy leaves nothing visible.
//!
//! Source: KIP-868: the copy is one transaction, and before its end the log shows nothing of it.

use metadata_core::record::ZkMigrationState;

use super::{Broken, Invariant};
use crate::sim::truth::AppendStep;

pub(super) struct AbortedCopyIsInvisible;

impl Invariant for AbortedCopyIsInvisible {
    fn id(&self) -> &'static str {
        "MIG-5"
    }

    fn never(&self) -> &'static str {
        "the log shows metadata of the cluster while it says that nothing was copied (KIP-868)"
    }

    fn append(&mut self, step: &AppendStep<'_>) -> Broken {
        let copied = matches!(step.after.state(), ZkMigrationState::Migration | ZkMigrationState::PostMigration);
        // Within a batch that is a whole transaction nothing shows; the copy's batches become visible as one.
        let ends_later = step.batch.end_offset < step.after.extent.end_offset;
        if copied || ends_later || step.after.image.is_free_of_cluster_metadata() {
            return Ok(());
        }
        Err(format!(
            "the log is in state {} at {} and has metadata of the cluster",
            step.after.state(),
            step.after.image.position()
        ))
    }
}
