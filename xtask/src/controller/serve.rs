//! Answers the control socket.

use std::time::Duration;

use async_trait::async_trait;
use metadata_core::id::NodeId;
use serde::Serialize;
use serde_json::Value;

use super::compare::Showing;
use super::process::Controller;
use super::rollback::RollbackOrder;
use crate::cli::Failure;
use crate::control::{Handler, Reporter, Request};

/// Most differences that one answer lists.
const DIFFERENCES_MAX: usize = 10_000;

#[async_trait]
impl Handler for Controller {
    async fn handle(&self, request: Request, reporter: &Reporter) -> Result<Value, Failure> {
        match request {
            Request::Status => to_value(self.status().await),
            Request::Health => to_value(self.health()),
            Request::Change { change } => to_value(self.change(&change).await?),
            Request::Random { count, seed } => to_value(self.random_changes(count, seed, reporter).await?),
            Request::AddVoter { id, address } => to_value(self.add_voter(NodeId(id), &address).await?),
            Request::RemoveVoter { id } => to_value(self.remove_voter(NodeId(id)).await?),
            Request::Finalize { despite_brokers } => to_value(self.finalize(despite_brokers).await?),
            Request::Verify { differences_max, show_secrets } => {
                let showing = Showing { differences_max: differences_max.min(DIFFERENCES_MAX), secrets: show_secrets };
                to_value(self.verify(showing, reporter).await?)
            }
            Request::Rollback { dry_run, election_seconds } => {
                let order = RollbackOrder { dry_run, election_max: Duration::from_secs(election_seconds) };
                to_value(self.rollback(order).await?)
            }
        }
    }
}

fn to_value(answer: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure::failed("the answer can't be written as JSON").because(&error))
}
