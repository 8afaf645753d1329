//! What an answer means, and what then: `write-chain` section 3.
//!
//! | answer | meaning | then |
//! | --- | --- | --- |
//! | `/controller_epoch` has another version | deposed | stop |
//! | `/migration` is gone | an operator deleted it | stop; the claim's table decides |
//! | `/migration` has another version | a late multi of ours, or a foreign hand | claim again |
//! | an op is refused | someone else wrote there | nothing of the multi or behind it is applied: look, plan that op anew |
//! | connection lost | unknown | resume the session, barrier, read the marker: its version says how much is there |
//! | session expired | unknown | new session, claim again |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::leadership::AfterClaim;

use super::actor::{Actor, Tag};
use super::claim::claim;
use super::window::{Confirmed, Failure};
use crate::client::{UnknownCause, ZkCode, ZkError, ZkSession};
use crate::error::{connect_error, zk_error};
use crate::project::{Found, Replanned, ZnodeOp};
use crate::znode::access::access_for;
use crate::znode::marker::Marker;
use crate::znode::path::{self, Place};

/// Between attempts to reach a server again for the same session.
const RESUME_PAUSE: Duration = Duration::from_millis(100);

impl Actor {
    /// Deals with the first failure of the window. Afterwards the window is empty and the cursor is behind what is
    /// certainly there, or the chain has stopped.
    pub(super) async fn settle(&mut self, failure: Failure) {
        let unsettled = self.window.drain().await;
        match failure {
            Failure::Deposed => {
                let error = Error::not_applied(
                    ErrorKind::ControllerFenced,
                    format!(
                        "/controller_epoch is no longer at version {}: someone newer claimed ZooKeeper",
                        self.zk.epoch_zk_version
                    ),
                );
                self.stop(&error, Outcome::NotApplied);
            }
            Failure::MarkerGone => {
                let error = Error::not_applied(ErrorKind::Conflict, "/migration was deleted; claim ZooKeeper again");
                self.stop(&error, Outcome::NotApplied);
            }
            Failure::Refused(error) => self.stop(&zk_error("dual write", error), Outcome::NotApplied),
            Failure::MarkerMoved => {
                tracing::warn!("/migration was written by another hand, or by a late multi of ours; claiming again");
                self.reclaim().await;
            }
            Failure::ForeignWrite { op, code } => self.foreign_write(&unsettled, op, code).await,
            Failure::Unknown(error) => match error.cause() {
                Some(UnknownCause::ConnectionLost) => self.resume(unsettled).await,
                Some(UnknownCause::SessionExpired) => self.reclaim().await,
                _ => self.stop(&zk_error("dual write", error), Outcome::Unknown),
            },
        }
    }

    /// Someone else wrote where an op of ours was to go. Nothing of that multi or behind it is applied.
    async fn foreign_write(&mut self, unsettled: &VecDeque<(Marker, Tag)>, op: usize, code: ZkCode) {
        self.foreign_writes += 1;
        self.rewind();
        let index = unsettled.front().and_then(|(_, tag)| tag.indices.get(op)).copied();
        let Some(index) = index else { return self.repair_by_sync().await };
        let planned = self.queue.front().and_then(|queued| queued.plan.as_ref()).and_then(|plan| {
            let at = usize::try_from(index).ok()?;
            Some((plan.ops.get(at)?.op.clone(), plan.replanned.contains_key(&index)))
        });
        let Some((op, twice)) = planned else { return self.repair_by_sync().await };
        tracing::warn!(znode = %op.path(), %code, twice, "a foreign write stands in the way of the chain");
        // A partition's epoch is the version of its state: whoever touched that node also moved the epoch.
        if twice || matches!(Place::of(op.path()), Place::PartitionState(..)) {
            return self.repair_by_sync().await;
        }
        match self.look_at(&op).await {
            Ok(found) => match op.replan(found, access_for(op.path(), self.options.secure)) {
                Replanned::FullSync => self.repair_by_sync().await,
                replanned => {
                    if let Some(plan) = self.queue.front_mut().and_then(|queued| queued.plan.as_mut()) {
                        plan.replanned.insert(index, replanned);
                    }
                }
            },
            // The window is empty, so whatever happened to the session is settled by the same rules.
            Err(failure) => Box::pin(self.settle(failure)).await,
        }
    }

    /// What is where the op was to go, behind a barrier.
    async fn look_at(&mut self, op: &ZnodeOp) -> std::result::Result<Found, Failure> {
        self.window.barrier().await?;
        let session = Arc::clone(self.window.session());
        let parent = op.path().rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        let (node, parent) = (session.exists(op.path()), session.exists(parent));
        let node = node.await.map_err(Failure::Refused)?;
        let parent = parent.await.map_err(Failure::Refused)?;
        Ok(Found {
            exists: node.is_some(),
            has_children: node.is_some_and(|stat| stat.num_children > 0),
            parent_exists: parent.is_some(),
        })
    }

    /// The surroundings are not what the plan was made for: make all of ZooKeeper equal to the newest image submitted,
    /// which is where the queue was going anyway.
    async fn repair_by_sync(&mut self) {
        let Some(image) = self.queue.back().map(|queued| queued.batch.after.clone()) else { return };
        tracing::warn!("running a full sync to repair it");
        let mut queue = std::mem::take(&mut self.queue);
        match Box::pin(self.full_sync(&image)).await {
            Ok(_) => {
                for queued in &mut queue {
                    let end = queued.batch.end();
                    queued.answer(Ok(end));
                }
                self.rewind();
            }
            Err(error) => {
                self.queue = queue;
                self.stop(&error, Outcome::Unknown);
            }
        }
    }

    /// The connection is lost and the session may live: go on behind what is there.
    async fn resume(&mut self, unsettled: VecDeque<(Marker, Tag)>) {
        let session = match self.same_session().await {
            Ok(session) => session,
            Err(_) => return self.reclaim().await,
        };
        let confirmed = self.window.confirmed().clone();
        self.window.restart(Arc::clone(&session), self.zk.epoch_zk_version, confirmed);
        self.brokers = super::brokers_present::BrokersPresent::watch(Arc::clone(&session));
        // Settles whatever the server had received of us; a read behind it sees all of that.
        if let Err(failure) = self.window.barrier().await {
            return Box::pin(self.settle_again(failure, unsettled)).await;
        }
        match session.get_data(path::MIGRATION).await {
            Ok(node) => {
                let applied = node.stat.version.0.wrapping_sub(self.confirmed_version().0);
                match usize::try_from(applied) {
                    Ok(applied) if applied <= unsettled.len() => self.go_on_behind(unsettled, applied),
                    // More than we ever sent: not ours alone.
                    _ => self.reclaim().await,
                }
            }
            Err(error) => {
                let failure = match error {
                    ZkError::Definite { code: ZkCode::NoNode, .. } => Failure::MarkerGone,
                    ZkError::Definite { .. } => Failure::Refused(error),
                    ZkError::Unknown { .. } => Failure::Unknown(error),
                };
                Box::pin(self.settle_again(failure, unsettled)).await;
            }
        }
    }

    /// A failure while an earlier one was being settled: what was unsettled then still is.
    async fn settle_again(&mut self, failure: Failure, unsettled: VecDeque<(Marker, Tag)>) {
        match failure {
            Failure::Unknown(error) if error.cause() == Some(UnknownCause::ConnectionLost) => {
                self.resume(unsettled).await;
            }
            failure => self.settle(failure).await,
        }
    }

    /// The first `applied` of what was unsettled are in ZooKeeper, the rest never will be.
    fn go_on_behind(&mut self, unsettled: VecDeque<(Marker, Tag)>, applied: usize) {
        for (marker, tag) in unsettled.into_iter().take(applied) {
            let version = self.confirmed_version().next();
            let session = Arc::clone(self.window.session());
            self.window.restart(session, self.zk.epoch_zk_version, Confirmed { marker, version });
            self.applied(&tag);
        }
        self.rewind();
    }

    /// Another connection for the session, for as long as it may live.
    async fn same_session(&mut self) -> Result<Arc<dyn ZkSession>> {
        let lost = Arc::clone(self.window.session());
        let deadline = tokio::time::Instant::now() + lost.session_timeout();
        loop {
            match lost.resume().await {
                Ok(session) => return Ok(session),
                Err(error) if error.cause() == Some(UnknownCause::ConnectionLost) => {
                    if tokio::time::Instant::now() >= deadline {
                        return Err(zk_error("reconnect", error));
                    }
                    tokio::time::sleep(RESUME_PAUSE).await;
                }
                Err(error) => return Err(zk_error("reconnect", error)),
            }
        }
    }

    /// A new session, and a new claim as the same leader: late multis of the old session bounce off it. What the old
    /// session had applied shows in the marker.
    pub(super) async fn reclaim(&mut self) {
        match self.try_reclaim().await {
            Ok(()) => self.rewind(),
            Err(error) => self.stop(&error, Outcome::Unknown),
        }
    }

    async fn try_reclaim(&mut self) -> Result<()> {
        let session = self.connector.connect().await.map_err(connect_error)?;
        let held = claim(&session, &self.claimant, &self.expected, (self.options.now)()).await?;
        let (next, position) = (held.next, held.marker.position);
        self.adopt(session, held);
        if next != AfterClaim::Resume && self.next == AfterClaim::Resume {
            // The marker was made anew: what ZooKeeper holds is no longer known.
            return Err(Error::not_applied(
                ErrorKind::Conflict,
                "/migration was written anew by another hand; claim ZooKeeper again",
            ));
        }
        while self.queue.front().is_some_and(|queued| queued.batch.end() <= position) {
            self.applied(&Tag { indices: Vec::new(), last: true });
        }
        let goes_on = self.queue.front().is_none_or(|queued| {
            let begun = self.chain().and_then(|chain| chain.batch_end);
            queued.batch.expected() == position
                && begun.is_none_or(|end| end == queued.batch.end().end_offset)
                // A plan made under other notifications has other ops.
                && queued.plan.as_ref().is_none_or(|plan| {
                    begun.is_none() || self.chain().is_some_and(|chain| chain.notify == plan.notify)
                })
        });
        if goes_on {
            Ok(())
        } else {
            Err(Error::unknown(
                ErrorKind::Conflict,
                format!("ZooKeeper is at {position}, which is not where this chain left it; claim it again"),
            ))
        }
    }
}
