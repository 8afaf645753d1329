//! MIG-9. The log never has two copies.
//!
//! Source: KIP-866: the state goes NONE, PRE_MIGRATION, MIGRATION, POST_MIGRATION and never back; a copy whose answer was
//! lost is not made again.

use metadata_core::record::{MetadataRecord, ZkMigrationState};

use super::{Broken, Invariant};
use crate::sim::truth::AppendStep;

#[derive(Default)]
pub(super) struct OneCopy {
    copies: u32,
}

/// How far a state is.
fn rank(state: ZkMigrationState) -> u8 {
    match state {
        ZkMigrationState::None => 0,
        ZkMigrationState::PreMigration => 1,
        ZkMigrationState::Migration => 2,
        _ => 3,
    }
}

impl Invariant for OneCopy {
    fn id(&self) -> &'static str {
        "MIG-9"
    }

    fn never(&self) -> &'static str {
        "the log holds two copies of ZooKeeper, or its migration state goes back (KIP-866)"
    }

    fn append(&mut self, step: &AppendStep<'_>) -> Broken {
        let copied = MetadataRecord::from(ZkMigrationState::Migration.to_record());
        self.copies += u32::from(step.batch.records.iter().any(|record| record.record == copied));
        if self.copies > 1 {
            return Err(format!("the copy at {} is the second one", step.batch.base_offset));
        }
        let (before, after) = (step.before.state(), step.after.state());
        if rank(after) < rank(before) { Err(format!("the log went from {before} to {after}")) } else { Ok(()) }
    }
}
