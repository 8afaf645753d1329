//! MIG-6. PostMigration is final.
//!
//! Source: KIP-866, "Finalizing the migration": there is no way back, and ZooKeeper may be switched off.

use metadata_core::record::ZkMigrationState;

use super::{Broken, Invariant};
use crate::sim::tamper::Kind;
use crate::sim::truth::{AppendStep, MultiStep};

pub(super) struct PostMigrationIsFinal;

impl Invariant for PostMigrationIsFinal {
    fn id(&self) -> &'static str {
        "MIG-6"
    }

    fn never(&self) -> &'static str {
        "a log in state POST_MIGRATION goes to another state, or ZooKeeper is written after it (KIP-866)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        if step.by.is_some() && step.kind != Kind::Barrier && step.log.state() == ZkMigrationState::PostMigration {
            return Err("ZooKeeper was written after the migration was finalized".to_owned());
        }
        Ok(())
    }

    fn append(&mut self, step: &AppendStep<'_>) -> Broken {
        let (before, after) = (step.before.state(), step.after.state());
        if before == ZkMigrationState::PostMigration && after != before {
            return Err(format!("the log went from {before} to {after}"));
        }
        Ok(())
    }
}
