//! The mutants that sit between the write chain and its session.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metadata_core::id::{KRaftLeaderEpoch, ZkVersion};
use store_zk::client::{NodeData, OpResult, ReadOutcome, UnknownCause, ZkCode, ZkError, ZkFuture, ZkOp, ZkSession};
use store_zk::znode::controller::ControllerZnode;
use store_zk::znode::marker::{Marker, SyncState};
use store_zk::znode::path;

use super::mutant::Mutant;
use super::net::Net;

/// Ops that stand before the plan's in a multi of the chain.
const OPS_BEFORE: usize = 3;

/// What a multi of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Claim,
    Chain,
    Barrier,
    Other,
}

impl Kind {
    pub(super) fn of(ops: &[ZkOp]) -> Self {
        match ops {
            [ZkOp::SetData { path, .. }, ..] if path == path::CONTROLLER_EPOCH => Self::Claim,
            [ZkOp::Check { path, .. }, rest @ ..]
                if path == path::CONTROLLER_EPOCH && rest.iter().all(|op| matches!(op, ZkOp::Check { .. })) =>
            {
                Self::Barrier
            }
            [ZkOp::Check { .. }, ZkOp::SetData { path, .. }, ..] if path == path::MIGRATION => Self::Chain,
            _ => Self::Other,
        }
    }
}

/// The tampering with one session. Clones are of the same session.
#[derive(Debug, Clone, Default)]
pub(super) struct Tamper {
    /// The session was let in by a mere bump, and believes in a claim that never was.
    bumped: Arc<AtomicBool>,
}

/// Changes a marker's chain state.
fn edit(data: &mut bytes::Bytes, change: impl FnOnce(&mut Marker)) {
    if let Ok(mut marker) = Marker::decode(Some(data)) {
        change(&mut marker);
        *data = marker.encode();
    }
}

fn shift(marker: &mut Marker, by: i32) {
    if let Some(chain) = &mut marker.chain {
        chain.epoch_zk_version = ZkVersion(chain.epoch_zk_version.0 + by);
    }
}

fn marker_sets(ops: &mut [ZkOp]) -> impl Iterator<Item = (&mut bytes::Bytes, &mut Option<ZkVersion>)> {
    ops.iter_mut().filter_map(|op| match op {
        ZkOp::SetData { path, data, version } if path == path::MIGRATION => Some((data, version)),
        _ => None,
    })
}

/// The results of a multi that nobody saw applied.
fn made_up(ops: usize) -> Vec<OpResult> {
    vec![OpResult::Check; ops]
}

fn is_lost(error: &ZkError) -> bool {
    error.cause() == Some(UnknownCause::ConnectionLost)
}

impl Tamper {
    pub(super) fn forgets_sync(&self, net: &Net) -> bool {
        net.is(Mutant::StaleMarkerAtClaim)
    }

    pub(super) fn multi(&self, net: &Arc<Net>, session: &dyn ZkSession, mut ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
        let kind = Kind::of(&ops);
        let Some(mutant) = net.mutant else { return session.multi(ops) };
        match (mutant, kind) {
            (Mutant::BumpInsteadOfReclaim, _) => self.bump(session, ops, kind),
            (Mutant::LostAnswerTakenForSuccess, Kind::Chain) => {
                let (count, answer) = (ops.len(), session.multi(ops));
                Box::pin(async move {
                    answer.await.or_else(|error| if is_lost(&error) { Ok(made_up(count)) } else { Err(error) })
                })
            }
            (Mutant::BlindRetry, Kind::Chain) => {
                marker_sets(&mut ops).for_each(|(_, version)| *version = None);
                let (again, answer) = (session.resume(), session.multi(ops.clone()));
                Box::pin(async move {
                    match answer.await {
                        Err(error) if is_lost(&error) => again.await?.multi(ops).await,
                        answer => answer,
                    }
                })
            }
            (Mutant::ClaimUnconditional, Kind::Claim) => {
                ops.retain(|op| !matches!(op, ZkOp::Check { .. }));
                for op in &mut ops {
                    if let ZkOp::SetData { version, .. } | ZkOp::Delete { version, .. } = op {
                        *version = None;
                    }
                }
                session.multi(ops)
            }
            (Mutant::NoEpochCheck, Kind::Chain) => {
                if let Some(first) = ops.first_mut() {
                    *first = ZkOp::check("/cluster/id", ZkVersion(0));
                }
                session.multi(ops)
            }
            (Mutant::MarkerApart, Kind::Chain) => marker_apart(session, ops),
            (Mutant::StaleMarkerAtClaim, Kind::Claim) => {
                marker_sets(&mut ops).for_each(|(_, version)| *version = None);
                session.multi(ops)
            }
            (Mutant::EpochRefreshedWhenFenced, Kind::Chain) => refreshed(session, ops),
            (Mutant::PollStops, Kind::Chain) => {
                let answer = session.multi(ops);
                Box::pin(async move {
                    match answer.await {
                        Err(error) if is_lost(&error) => std::future::pending().await,
                        answer => answer,
                    }
                })
            }
            (Mutant::MarkerFirst, Kind::Chain) => {
                let positions = net.state().positions.clone();
                for (data, _) in marker_sets(&mut ops) {
                    edit(data, |marker| {
                        let end = marker.chain.as_mut().and_then(|chain| chain.batch_end.take());
                        if let Some(end) = positions.iter().find(|position| Some(position.end_offset) == end) {
                            marker.position = *end;
                        }
                    });
                }
                session.multi(ops)
            }
            _ => session.multi(ops),
        }
    }

    fn bump(&self, session: &dyn ZkSession, mut ops: Vec<ZkOp>, kind: Kind) -> ZkFuture<Vec<OpResult>> {
        let again = matches!(ops.as_slice(), [_, ZkOp::Check { path, .. }, ..] if path == path::CONTROLLER);
        if kind == Kind::Claim && again {
            if let Some(ZkOp::SetData { version: Some(version), .. }) = ops.first() {
                ops[0] = ZkOp::check(path::CONTROLLER_EPOCH, *version);
            }
            marker_sets(&mut ops).for_each(|(data, _)| edit(data, |marker| shift(marker, -1)));
            let (answer, bumped) = (session.multi(ops), Arc::clone(&self.bumped));
            return Box::pin(async move {
                let mut results = answer.await?;
                bumped.store(true, Ordering::Relaxed);
                // The claim reads its own set-data first.
                results.reverse();
                Ok(results)
            });
        }
        if self.bumped.load(Ordering::Relaxed) {
            for op in &mut ops {
                if let ZkOp::Check { path, version } = op
                    && path == path::CONTROLLER_EPOCH
                {
                    *version = ZkVersion(version.0 - 1);
                }
            }
            marker_sets(&mut ops).for_each(|(data, _)| edit(data, |marker| shift(marker, -1)));
        }
        session.multi(ops)
    }

    /// A marker read by itself, to see how much of a window is applied.
    pub(super) fn marker_read(&self, found: &mut NodeData) {
        if self.bumped.load(Ordering::Relaxed) {
            edit(&mut found.data, |marker| shift(marker, 1));
        }
    }

    /// What a claim is decided on.
    pub(super) fn decisive(&self, net: &Net, outcomes: &mut [ReadOutcome]) {
        let Some(mutant) = net.mutant else { return };
        let [epoch, controller, marker] = outcomes else { return };
        if let (Mutant::OwnClaimNotRecognised, ReadOutcome::Data(node)) = (mutant, &mut *controller)
            && let Ok(mut found) = ControllerZnode::decode(&node.data)
        {
            found.kraft_epoch = found.kraft_epoch.map(|epoch| KRaftLeaderEpoch(epoch.0 + 1));
            node.data = found.encode();
        }
        let (ReadOutcome::Data(epoch), ReadOutcome::Data(marker)) = (epoch, marker) else { return };
        let at = epoch.stat.version;
        edit(&mut marker.data, |marker| {
            let written = marker.position.last().is_some();
            let Some(chain) = &mut marker.chain else { return };
            match mutant {
                Mutant::ResumeOneOpLate if chain.batch_end.is_some() => chain.next_op += 1,
                Mutant::ResumeOneOpEarly if chain.batch_end.is_some() => {
                    chain.next_op = chain.next_op.saturating_sub(1);
                }
                Mutant::InterruptedSyncTakenForDone if written => chain.sync = SyncState::Done,
                Mutant::GovernedIgnored => chain.epoch_zk_version = at,
                _ => {}
            }
        });
    }
}

/// The ops first, then the marker by itself.
fn marker_apart(session: &dyn ZkSession, mut ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
    let planned = ops.split_off(OPS_BEFORE.min(ops.len()));
    let Some(check) = ops.first().cloned().filter(|_| !planned.is_empty()) else { return session.multi(ops) };
    let apart = session.multi([vec![check], planned].concat());
    let marker = session.multi(ops);
    Box::pin(async move {
        let results = apart.await.map_err(|error| match error {
            ZkError::Definite { code, op_index: Some(index), path } if index > 0 => {
                ZkError::definite_op(code, index + OPS_BEFORE - 1, path)
            }
            error => error,
        })?;
        let mut all = marker.await?;
        all.extend(results.into_iter().skip(1));
        Ok(all)
    })
}

/// Whoever is fenced asks for the new versions and goes on.
fn refreshed(session: &dyn ZkSession, mut ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
    let answer = session.multi(ops.clone());
    let fresh = session.resume();
    Box::pin(async move {
        let fenced = match answer.await {
            Err(ZkError::Definite { op_index: Some(0), code: ZkCode::BadVersion, path }) => path,
            answer => return answer,
        };
        let session = fresh.await?;
        let epoch = session.exists(path::CONTROLLER_EPOCH).await?;
        let marker = session.exists(path::MIGRATION).await?;
        let (Some(epoch), Some(marker)) = (epoch, marker) else {
            return ready(Err(ZkError::definite_op(ZkCode::BadVersion, 0, fenced))).await;
        };
        ops[0] = ZkOp::check(path::CONTROLLER_EPOCH, epoch.version);
        for (count, (_, version)) in (0u32..).zip(marker_sets(&mut ops)) {
            *version = Some(marker.version.plus(count));
        }
        session.multi(ops).await
    })
}
