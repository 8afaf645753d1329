//! MIG-1. At most one effective writer per controller epoch.
//!
//! Source: KIP-866 ("at most one active controller"), `write-chain` 1: every new session claims anew, so an epoch of
//! `/controller_epoch` belongs to one session, and a write of another session under it is one that was not fenced.

use std::collections::BTreeMap;

use metadata_core::id::NodeId;
use store_zk::client::SessionId;

use super::{Broken, Invariant};
use crate::sim::tamper::Kind;
use crate::sim::truth::MultiStep;

/// Who claimed which version of `/controller_epoch`.
#[derive(Default)]
pub(super) struct OneWriter {
    claims: BTreeMap<i32, (NodeId, SessionId)>,
}

impl Invariant for OneWriter {
    fn id(&self) -> &'static str {
        "MIG-1"
    }

    fn never(&self) -> &'static str {
        "two sessions write under one controller epoch, or one writes under an epoch that it did not claim (KIP-866)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        let Some(writer) = step.by else { return Ok(()) };
        match step.kind {
            Kind::Claim => {
                if let Some((_, version)) = step.after.epoch {
                    self.claims.insert(version.0, writer);
                }
                Ok(())
            }
            Kind::Barrier => Ok(()),
            Kind::Chain | Kind::Other => {
                let Some((_, version)) = step.before.epoch else {
                    return Err(format!("node {} wrote where no controller epoch is", writer.0));
                };
                match self.claims.get(&version.0) {
                    Some(claimant) if *claimant == writer => Ok(()),
                    claimant => Err(format!(
                        "session {} of node {} wrote under version {version} of /controller_epoch, which was claimed by {}",
                        writer.1,
                        writer.0,
                        claimant.map_or_else(
                            || "nobody of ours".to_owned(),
                            |(node, session)| format!("session {session} of node {node}")
                        ),
                    )),
                }
            }
        }
    }
}
