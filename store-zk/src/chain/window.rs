//! The window: multis in flight on one session, each chained to the one before it by the marker's version.
//!
//! Every multi is check(`/controller_epoch`) + set-data(`/migration`, predicted version) + ops. So ZooKeeper applies a
//! prefix of what was issued, whatever happens, and the marker's version says how long it is.
//!
//! A foreign write on the marker raises its version, too. If each of our multis raised it by one, then one foreign write
//! would stand in for the multi that it made fail, and all behind that would be applied: a hole that nobody sees. So
//! each multi sets the marker twice, first to nothing, and a single foreign write puts the version where no multi
//! expects it. (Several, and an even number of them, may still fit: the answers behind the refused multi show that, if
//! they come.)

use std::collections::VecDeque;
use std::sync::Arc;

use metadata_core::id::ZkVersion;

use crate::client::{OpResult, ZkCode, ZkError, ZkFuture, ZkOp, ZkSession};
use crate::znode::marker::Marker;
use crate::znode::path;

/// Multis in flight. Beyond this only the delay grows.
pub(crate) const MULTIS_IN_FLIGHT_MAX: usize = 8;

/// How often each multi sets the marker.
pub(super) const VERSIONS_PER_MULTI: u32 = 2;

/// Ops that stand before ours in every multi.
const OPS_BEFORE: usize = 3;

/// The chain as confirmed by ZooKeeper: the marker, and its version.
#[derive(Debug, Clone)]
pub(crate) struct Confirmed {
    pub(crate) marker: Marker,
    pub(crate) version: ZkVersion,
}

struct InFlight<T> {
    answer: ZkFuture<Vec<OpResult>>,
    multi: Unsettled<T>,
}

/// A multi that was in the window when it, or one before it, failed.
pub(crate) struct Unsettled<T> {
    /// The marker as the multi writes it.
    pub(crate) marker: Marker,
    pub(crate) tag: T,
    /// Bytes of the whole request.
    pub(crate) bytes: usize,
}

/// What was in the window when a multi failed.
pub(crate) struct Drained<T> {
    /// Oldest first, the failed one at its head.
    pub(crate) multis: VecDeque<Unsettled<T>>,
    /// Whether one was applied behind one that was refused: foreign writes on the marker put the version just there.
    pub(crate) hole: bool,
}

/// Why a multi was not applied, in terms of the chain.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Someone newer claimed.
    Deposed,
    /// The marker is gone.
    MarkerGone,
    /// The marker has another version, and no earlier failure explains it.
    MarkerMoved,
    /// An op of ours was refused: someone else wrote there.
    ForeignWrite { op: usize, code: ZkCode },
    /// The request as a whole was refused.
    Refused(ZkError),
    /// Nobody knows. Everything behind it is as unknown.
    Unknown(ZkError),
}

/// Multis in flight, with a tag of the caller's on each.
pub(crate) struct Window<T> {
    session: Arc<dyn ZkSession>,
    epoch_zk_version: ZkVersion,
    confirmed: Confirmed,
    in_flight: VecDeque<InFlight<T>>,
}

impl<T> Window<T> {
    pub(crate) fn new(session: Arc<dyn ZkSession>, epoch_zk_version: ZkVersion, confirmed: Confirmed) -> Self {
        Self { session, epoch_zk_version, confirmed, in_flight: VecDeque::new() }
    }

    pub(crate) fn session(&self) -> &Arc<dyn ZkSession> {
        &self.session
    }

    pub(crate) fn confirmed(&self) -> &Confirmed {
        &self.confirmed
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < MULTIS_IN_FLIGHT_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    fn predicted_version(&self) -> ZkVersion {
        let multis = u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX);
        self.confirmed.version.plus(multis.saturating_mul(VERSIONS_PER_MULTI))
    }

    /// Bytes of a multi that carries no op of ours, for the packing of the rest.
    pub(crate) fn frame_size(&self, marker: &Marker) -> usize {
        let chroot = self.session.chroot().len();
        let before: usize = self.chain_ops(marker).iter().map(|op| op.wire_size(chroot)).sum();
        before + crate::client::MULTI_FRAME_OVERHEAD
    }

    fn chain_ops(&self, marker: &Marker) -> [ZkOp; OPS_BEFORE] {
        [
            ZkOp::check(path::CONTROLLER_EPOCH, self.epoch_zk_version),
            ZkOp::set_data(path::MIGRATION, "", self.predicted_version()),
            ZkOp::set_data(path::MIGRATION, marker.encode(), self.predicted_version().next()),
        ]
    }

    /// Issues one multi, now.
    pub(crate) fn issue(&mut self, marker: Marker, ops: Vec<ZkOp>, tag: T) {
        let mut all = Vec::with_capacity(OPS_BEFORE + ops.len());
        all.extend(self.chain_ops(&marker));
        all.extend(ops);
        let chroot = self.session.chroot().len();
        let bytes = crate::client::MULTI_FRAME_OVERHEAD + all.iter().map(|op| op.wire_size(chroot)).sum::<usize>();
        let answer = self.session.multi(all);
        self.in_flight.push_back(InFlight { answer, multi: Unsettled { marker, tag, bytes } });
    }

    /// The answer to the oldest multi; pending for ever while none is in flight. A multi that failed stays in the window:
    /// [`Self::drain`] must follow, since what is behind it was not applied either, or is as unknown. Dropping the future
    /// loses nothing.
    pub(crate) async fn next(&mut self) -> Result<(T, Vec<OpResult>), Failure> {
        let Some(oldest) = self.in_flight.front_mut() else { return std::future::pending().await };
        let mut results = match (&mut oldest.answer).await {
            Ok(results) => results,
            Err(error) => {
                // Its answer was taken; whoever drains the window must not wait for it again.
                oldest.answer = Box::pin(std::future::ready(Err(error.clone())));
                return Err(failure(error));
            }
        };
        match self.in_flight.pop_front() {
            Some(InFlight { multi: Unsettled { marker, tag, .. }, .. }) => {
                self.confirmed = Confirmed { marker, version: self.confirmed.version.plus(VERSIONS_PER_MULTI) };
                Ok((tag, results.split_off(OPS_BEFORE.min(results.len()))))
            }
            None => std::future::pending().await,
        }
    }

    /// Waits for every answer and returns what was in flight.
    ///
    /// None of it was applied after a definite failure, unless there is a hole, since each multi expects the marker's
    /// version that the one before it would have made. After an answer that never came all of it may be, whatever later
    /// answers say: only the marker tells.
    pub(crate) async fn drain(&mut self) -> Drained<T> {
        let mut drained = Drained { multis: VecDeque::new(), hole: false };
        let mut refused = false;
        while let Some(InFlight { answer, multi }) = self.in_flight.pop_front() {
            match answer.await {
                Ok(_) => drained.hole |= refused,
                Err(error) => refused |= drained.multis.is_empty() && error.is_definite(),
            }
            drained.multis.push_back(multi);
        }
        drained
    }

    /// The barrier: a multi that only checks. ZooKeeper commits it, so whatever was issued before it on this session is
    /// settled, and a read after it sees that.
    pub(crate) async fn barrier(&mut self) -> Result<(), Failure> {
        let check = vec![ZkOp::check(path::CONTROLLER_EPOCH, self.epoch_zk_version)];
        self.session.multi(check).await.map(drop).map_err(failure)
    }

    /// The barrier of a chain that has nothing in flight: it checks the marker too. Whoever has nothing to write would not
    /// notice otherwise that it is gone.
    pub(crate) async fn confirm(&mut self) -> Result<(), Failure> {
        debug_assert!(self.in_flight.is_empty(), "confirmed with multis in flight");
        let checks = vec![
            ZkOp::check(path::CONTROLLER_EPOCH, self.epoch_zk_version),
            ZkOp::check(path::MIGRATION, self.confirmed.version),
        ];
        self.session.multi(checks).await.map(drop).map_err(failure)
    }

    /// Goes on over another connection of the same session, or another session, from what is known to be there.
    pub(crate) fn restart(&mut self, session: Arc<dyn ZkSession>, epoch_zk_version: ZkVersion, confirmed: Confirmed) {
        debug_assert!(self.in_flight.is_empty(), "restarted with multis in flight");
        *self = Self::new(session, epoch_zk_version, confirmed);
    }
}

/// Reads the answer: only the server's own codes are definite.
pub(crate) fn failure(error: ZkError) -> Failure {
    match error {
        ZkError::Definite { op_index: Some(0), code: ZkCode::BadVersion | ZkCode::NoNode, .. } => Failure::Deposed,
        ZkError::Definite { op_index: Some(1..OPS_BEFORE), code: ZkCode::NoNode, .. } => Failure::MarkerGone,
        ZkError::Definite { op_index: Some(1..OPS_BEFORE), code: ZkCode::BadVersion, .. } => Failure::MarkerMoved,
        ZkError::Definite {
            op_index: Some(op),
            code: code @ (ZkCode::NoNode | ZkCode::NodeExists | ZkCode::BadVersion | ZkCode::NotEmpty),
            ..
        } => Failure::ForeignWrite { op: op.saturating_sub(OPS_BEFORE), code },
        error @ ZkError::Definite { .. } => Failure::Refused(error),
        error @ ZkError::Unknown { .. } => Failure::Unknown(error),
    }
}
