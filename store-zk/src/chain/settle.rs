//! What an answer means, and what then: `write-chain` section 3.
//!
//! | answer | meaning | then |
//! | --- | --- | --- |
//! | `/controller_epoch` has another version | deposed | stop |
//! | `/migration` is gone | an operator deleted it | stop; the claim's table decides |
//! | `/migration` has another version | a late multi of ours, or a foreign hand | claim again |
//! | an op is refused | someone else wrote there | nothing of the multi or behind it is applied: look, plan that op anew |
//! | connection lost | unknown | resume the session, barrier, read the marker: its version says how much is there, its content that it is ours |
//! | connection lost, again and again over one multi | unknown | stop: it is larger than the server takes |
//! | session expired | unknown | new session, claim again |

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::Position;
use metadata_core::leadership::AfterClaim;

use super::actor::{Actor, Tag};
use super::claim::{HeldClaim, claim};
use super::window::{Confirmed, Drained, Failure, Unsettled, VERSIONS_PER_MULTI, failure};
use crate::client::{NodeData, SessionState, UnknownCause, ZkCode, ZkError, ZkSession};
use crate::error::{connect_error, zk_error};
use crate::project::{Found, Replanned, ZnodeOp};
use crate::znode::access::access_for;
use crate::znode::path::{self, Place};

/// Between attempts to reach a server again for the same session.
const RESUME_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may be lost in a row without a multi being applied. A network is not that unlucky: the server closes
/// them, since it takes no request as large as the one that we send.
const LOSSES_MAX: u32 = 5;

impl Actor {
    /// Deals with the first failure of the window. Afterwards the window is empty and the cursor is behind what is
    /// certainly there, or the chain has stopped.
    pub(super) async fn settle(&mut self, failure: Failure) {
        let Drained { multis: unsettled, hole } = self.window.drain().await;
        if hole {
            tracing::warn!("/migration was written by another hand so that a multi is missing in the middle");
            return self.repair_by_sync(true).await;
        }
        if matches!(failure, Failure::Unknown(_) | Failure::MarkerMoved) {
            self.doubt();
        }
        match failure {
            Failure::Deposed => {
                let error = Error::not_applied(
                    ErrorKind::ControllerFenced,
                    format!(
                        "/controller_epoch is no longer at version {}: someone newer claimed ZooKeeper",
                        self.zk.epoch_zk_version
                    ),
                );
                self.stop(&error);
            }
            Failure::MarkerGone => {
                let error = Error::not_applied(ErrorKind::Conflict, "/migration was deleted; claim ZooKeeper again");
                self.stop(&error);
            }
            Failure::Refused(error) => self.stop(&zk_error("dual write", error)),
            Failure::MarkerMoved => {
                tracing::warn!("/migration was written by another hand, or by a late multi of ours; claiming again");
                self.reclaim().await;
            }
            Failure::ForeignWrite { op, code } => self.foreign_write(&unsettled, op, code).await,
            Failure::Unknown(error) => match error.cause() {
                Some(UnknownCause::ConnectionLost) => self.resume(unsettled).await,
                Some(UnknownCause::SessionExpired) => self.reclaim().await,
                _ => self.stop(&zk_error("dual write", error)),
            },
        }
    }

    /// Someone else wrote where an op of ours was to go. Nothing of that multi or behind it is applied.
    async fn foreign_write(&mut self, unsettled: &VecDeque<Unsettled<Tag>>, op: usize, code: ZkCode) {
        self.saw_foreign_write();
        self.rewind();
        let index = unsettled.front().and_then(|multi| multi.tag.indices.get(op)).copied();
        let Some(index) = index else { return self.repair_by_sync(false).await };
        let planned = self.queue.front().and_then(|queued| queued.plan.as_ref()).and_then(|plan| {
            let at = usize::try_from(index).ok()?;
            Some((plan.ops.get(at)?.op.clone(), plan.replanned.contains_key(&index)))
        });
        let Some((op, twice)) = planned else { return self.repair_by_sync(false).await };
        tracing::warn!(znode = %op.path(), %code, twice, "a foreign write stands in the way of the chain");
        // A partition's epoch is the version of its state: whoever touched that node also moved the epoch.
        if twice || matches!(Place::of(op.path()), Place::PartitionState(..)) {
            return self.repair_by_sync(false).await;
        }
        match self.look_at(&op).await {
            Ok(found) => match op.replan(found, access_for(op.path(), self.options.secure)) {
                Replanned::FullSync => self.repair_by_sync(false).await,
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
        let (node, parent) = (node.await.map_err(failure)?, parent.await.map_err(failure)?);
        Ok(Found {
            exists: node.is_some(),
            has_children: node.is_some_and(|stat| stat.num_children > 0),
            parent_exists: parent.is_some(),
        })
    }

    /// The surroundings are not what the plan was made for: make all of ZooKeeper equal to the newest image submitted,
    /// which is where the queue was going anyway.
    ///
    /// With `claim` ZooKeeper is claimed first, since the marker has a version that nobody knows.
    async fn repair_by_sync(&mut self, claim: bool) {
        let Some(image) = self.queue.back().map(|queued| queued.batch.after.clone()) else {
            if claim {
                self.reclaim().await;
            }
            return;
        };
        tracing::warn!("running a full sync to repair it");
        let mut queue = std::mem::take(&mut self.queue);
        let result = match if claim { self.try_reclaim().await } else { Ok(()) } {
            Ok(()) => Box::pin(self.full_sync(&image)).await,
            Err(error) => Err(Error::unknown(error.kind(), error.to_string())),
        };
        match result {
            Ok(_) => {
                for queued in &mut queue {
                    let end = queued.batch.end();
                    queued.answer(Ok(end));
                }
                self.rewind();
            }
            Err(error) => {
                // It wrote towards the end of the queue, so what it did is part of any of the batches.
                for queued in &mut queue {
                    queued.in_doubt |= error.outcome() == Outcome::Unknown;
                }
                self.queue = queue;
                self.stop(&error);
            }
        }
    }

    /// The connection is lost and the session may live: go on behind what is there.
    async fn resume(&mut self, unsettled: VecDeque<Unsettled<Tag>>) {
        loop {
            self.losses += 1;
            self.pause_after_losses().await;
            match self.look_behind(&unsettled).await {
                Ok(applied) => {
                    let bytes = unsettled.get(applied).map(|multi| multi.bytes);
                    self.go_on_behind(unsettled, applied);
                    if self.losses >= LOSSES_MAX {
                        self.stop(&self.too_many_losses(bytes));
                    }
                    return;
                }
                Err(Failure::Unknown(error)) if error.cause() == Some(UnknownCause::ConnectionLost) => {
                    if self.losses >= LOSSES_MAX {
                        return self.stop(&self.too_many_losses(unsettled.front().map(|multi| multi.bytes)));
                    }
                }
                // What was unsettled still is, and the batches know that they are in doubt.
                Err(failure) => return Box::pin(self.settle(failure)).await,
            }
        }
    }

    /// From the second loss in a row on, longer each time: reconnecting is a load on the server too.
    pub(super) async fn pause_after_losses(&mut self) {
        if let Some(again) = self.losses.checked_sub(2) {
            tokio::time::sleep(RESUME_PAUSE * 2u32.pow(again.min(LOSSES_MAX))).await;
        }
    }

    pub(super) fn too_many_losses(&self, bytes: Option<usize>) -> Error {
        let (losses, limit) = (self.losses, self.options.request_size_max);
        let multi = bytes.map_or_else(String::new, |bytes| format!(" over a request of {bytes} bytes"));
        Error::unknown(
            ErrorKind::Unavailable,
            format!(
                "ZooKeeper's connection was lost {losses} times in a row{multi}, and nothing was applied in between. Requests \
                 are up to {limit} bytes large: if jute.maxbuffer is set below that on the servers, raise it"
            ),
        )
    }

    /// Another connection for the session, and how many of the unsettled multis are in ZooKeeper.
    async fn look_behind(&mut self, unsettled: &VecDeque<Unsettled<Tag>>) -> std::result::Result<usize, Failure> {
        let session = self.same_session().await.map_err(Failure::Unknown)?;
        let confirmed = self.window.confirmed().clone();
        self.window.restart(Arc::clone(&session), self.zk.epoch_zk_version, confirmed);
        self.brokers = super::brokers_present::BrokersPresent::watch(Arc::clone(&session));
        // Settles whatever the server had received of us; a read behind it sees all of that.
        self.window.barrier().await?;
        match session.get_data(path::MIGRATION).await {
            Ok(node) => self.applied_of(unsettled, &node).ok_or(Failure::MarkerMoved),
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => Err(Failure::MarkerGone),
            Err(error) => Err(failure(error)),
        }
    }

    /// How many of the multis are in ZooKeeper, by the marker. `None` if it is not one of ours: the version alone would
    /// count a foreign write as a multi.
    fn applied_of(&self, unsettled: &VecDeque<Unsettled<Tag>>, node: &NodeData) -> Option<usize> {
        let confirmed = self.window.confirmed();
        let versions = u32::try_from(node.stat.version.0.wrapping_sub(confirmed.version.0)).ok()?;
        let applied =
            usize::try_from(versions / VERSIONS_PER_MULTI).ok().filter(|_| versions % VERSIONS_PER_MULTI == 0)?;
        let written = match applied.checked_sub(1) {
            None => &confirmed.marker,
            Some(last) => &unsettled.get(last)?.marker,
        };
        (node.data == written.encode()).then_some(applied)
    }

    /// The first `applied` of what was unsettled are in ZooKeeper, the rest never will be.
    fn go_on_behind(&mut self, unsettled: VecDeque<Unsettled<Tag>>, applied: usize) {
        for Unsettled { marker, tag, .. } in unsettled.into_iter().take(applied) {
            let version = self.confirmed_version().plus(VERSIONS_PER_MULTI);
            let session = Arc::clone(self.window.session());
            self.window.restart(session, self.zk.epoch_zk_version, Confirmed { marker, version });
            self.losses = 0;
            self.applied(&tag);
        }
        self.settled();
    }

    /// Another connection for the session, for as long as it may live. A session that can't be reached for that long is
    /// as good as expired.
    async fn same_session(&mut self) -> std::result::Result<Arc<dyn ZkSession>, ZkError> {
        let lost = Arc::clone(self.window.session());
        let deadline = tokio::time::Instant::now() + lost.session_timeout();
        loop {
            match lost.resume().await {
                Ok(session) => return Ok(session),
                Err(error) if error.cause() == Some(UnknownCause::ConnectionLost) => {
                    if tokio::time::Instant::now() >= deadline {
                        return Err(ZkError::unknown(UnknownCause::SessionExpired, error.to_string()));
                    }
                    tokio::time::sleep(RESUME_PAUSE).await;
                }
                Err(error) => return Err(ZkError::unknown(UnknownCause::SessionExpired, error.to_string())),
            }
        }
    }

    /// What a read's failure means for the session; `None` while it is connected.
    pub(super) fn lost(&self, error: &Error) -> Option<Failure> {
        let state = self.window.session().state();
        let cause = match *state.borrow() {
            SessionState::Connected => return None,
            SessionState::Lost => UnknownCause::ConnectionLost,
            SessionState::Expired => UnknownCause::SessionExpired,
            SessionState::AuthFailed => UnknownCause::AuthFailed,
            SessionState::Closed => UnknownCause::Closed,
        };
        Some(Failure::Unknown(ZkError::unknown(cause, error.to_string())))
    }

    /// A new session, and a new claim as the same leader: late multis of the old session bounce off it. What the old
    /// session had applied shows in the marker.
    pub(super) async fn reclaim(&mut self) {
        match self.try_reclaim().await {
            Ok(()) => self.settled(),
            Err(error) => self.stop(&error),
        }
    }

    async fn try_reclaim(&mut self) -> Result<()> {
        let session = self.connector.connect().await.map_err(connect_error)?;
        let held = claim(&session, &self.claimant, &self.expected, (self.options.now)()).await?;
        if self.next == AfterClaim::Copy && !self.nobody_between(&held) {
            // Nothing in our log says what ZooKeeper held before, so the table could not see it.
            return Err(Error::not_applied(
                ErrorKind::Conflict,
                "someone else governed ZooKeeper while it was copied; claim it again and copy it anew",
            ));
        }
        let (next, position) = (held.next, held.marker.position);
        self.adopt(session, held);
        if next != AfterClaim::Resume && self.next == AfterClaim::Resume {
            let reason = if self.left_out.is_empty() {
                "/migration was written anew by another hand"
            } else {
                "something too large for a request was left out, so a new session must compare everything"
            };
            return Err(Error::not_applied(ErrorKind::Conflict, format!("{reason}; claim ZooKeeper again")));
        }
        self.applied_up_to(position)?;
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

    /// Whether our new claim is the very next one after our last: nobody governed in between.
    fn nobody_between(&self, held: &HeldClaim) -> bool {
        held.controller_kept && held.zk.epoch_zk_version == self.zk.epoch_zk_version.next()
    }

    /// The batches up to the marker's position are in ZooKeeper. Only what was sent can be.
    fn applied_up_to(&mut self, position: Position) -> Result<()> {
        while self.queue.front().is_some_and(|queued| queued.batch.end() <= position) {
            if self.cursor.batch == 0 {
                return Err(Error::not_applied(
                    ErrorKind::Conflict,
                    format!("/migration says {position}, which this chain never wrote; claim ZooKeeper again"),
                ));
            }
            self.applied(&Tag { indices: Vec::new(), last: true });
        }
        Ok(())
    }
}
