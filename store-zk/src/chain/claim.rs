//! Claiming ZooKeeper's controllership: `write-chain` section 1. What may be claimed is decided by
//! [`fencing::decide_claim`]; here it is read, tried, and recognised when the answer was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fencing::{
    ClaimPlan, ClaimRefusal, ControllerStep, Marker as MarkerFacts, MarkerStep, MarkerWriter, ObservedController,
    ObservedControllerEpoch, QuorumIdentity, SyncState, ZkFacts, decide_claim,
};
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{NodeId, Position, TimestampMs, ZkControllerEpoch, ZkVersion};
use metadata_core::leadership::{AfterClaim, Expected, KraftLeadership, ZkClaim};
use metadata_core::store::Survey;

use crate::client::{NodeData, OpResult, ReadOutcome, ZkCode, ZkError, ZkOp, ZkRead, ZkSession};
use crate::error::{malformed, zk_error};
use crate::project::PROJECTION_VERSION;
use crate::znode::controller::{ControllerZnode, decode_epoch, encode_epoch};
use crate::znode::marker::{ChainState, Marker};
use crate::znode::{Malformed, path};

/// How often a claim is tried anew because something moved between its reads and its multi. Each round reads again and
/// decides again; more than a few means that somebody keeps writing.
const ROUNDS_MAX: u32 = 10;

/// Who claims, for which quorum.
#[derive(Debug, Clone)]
pub(crate) struct Claimant {
    pub(crate) leadership: KraftLeadership,
    pub(crate) quorum: QuorumIdentity,
    pub(crate) voters: BTreeSet<NodeId>,
    /// Whether new znodes get access lists (`zookeeper.set.acl`).
    pub(crate) secure: bool,
}

impl Claimant {
    fn decide(&self, facts: &Observed, expected: &Expected) -> Result<ClaimPlan, ClaimRefusal> {
        let Self { leadership, quorum, voters, .. } = self;
        decide_claim(&facts.judged(), leadership, expected, quorum, voters, PROJECTION_VERSION)
    }
}

/// A claim that holds, and the chain's state as of it.
#[derive(Debug, Clone)]
pub(crate) struct HeldClaim {
    pub(crate) zk: ZkClaim,
    pub(crate) next: AfterClaim,
    /// The marker as it is now.
    pub(crate) marker: Marker,
    pub(crate) marker_version: ZkVersion,
    /// Whether `/controller` was still ours, from an earlier claim in the same KRaft epoch.
    pub(crate) controller_kept: bool,
}

impl HeldClaim {
    pub(crate) fn chain(&self) -> Option<&ChainState> {
        self.marker.chain.as_ref()
    }
}

/// Claims over `session`.
///
/// # Errors
/// The table's refusal; `ControllerFenced` when someone newer wins meanwhile; `Unavailable` with an unknown outcome
/// when the answer never came: claim again on a new session, which recognises our own claim.
pub(crate) async fn claim(
    session: &Arc<dyn ZkSession>,
    claimant: &Claimant,
    expected: &Expected,
    now: TimestampMs,
) -> Result<HeldClaim> {
    // Before the first claim there is no version to check, so `sync` is the barrier.
    session.sync(path::CONTROLLER_EPOCH).await.map_err(|error| zk_error("sync before the claim", error))?;
    for _ in 0..ROUNDS_MAX {
        let facts = observe(session).await?;
        let mut plan = claimant.decide(&facts, expected)?;
        if let (MarkerStep::Create, Some(version)) = (plan.marker, facts.empty_marker) {
            plan.marker = MarkerStep::Set(version);
        }
        let present = facts.marker.as_ref().map(|(marker, _)| marker);
        let marker = claimed_marker(claimant, &plan, present, expected);
        match session.multi(claim_ops(claimant, &plan, &marker, now)).await {
            Ok(results) => return Ok(held(&plan, marker, &results)),
            // Someone was there between our reads and the multi, or a late multi of ours moved the marker: the table
            // decides on what is there now, never a mere repetition.
            Err(ZkError::Definite { code: ZkCode::BadVersion | ZkCode::NoNode | ZkCode::NodeExists, path, .. }) => {
                tracing::info!(znode = path, "something moved during the claim; deciding again");
            }
            Err(error) => return Err(zk_error("claim of /controller", error)),
        }
    }
    Err(Error::not_applied(
        ErrorKind::Unavailable,
        format!(
            "/controller, /controller_epoch or /migration kept changing during {ROUNDS_MAX} attempts to claim them"
        ),
    ))
}

/// What a claim over `session` would find: the same reads and the same table, and nothing written.
///
/// # Errors
/// The table's refusal, `Unavailable`, or what can't be read.
pub(crate) async fn survey(session: &Arc<dyn ZkSession>, claimant: &Claimant, expected: &Expected) -> Result<Survey> {
    session.sync(path::CONTROLLER_EPOCH).await.map_err(|error| zk_error("sync before the look", error))?;
    let facts = observe(session).await?;
    let plan = claimant.decide(&facts, expected)?;
    Ok(Survey { claimed_before: facts.marker.is_some(), position: plan.position, next: plan.next })
}

/// The three znodes, read in one request.
pub(crate) struct Observed {
    pub(crate) controller_epoch: Option<ObservedControllerEpoch>,
    pub(crate) controller: Option<ObservedController>,
    pub(crate) marker: Option<(Marker, ZkVersion)>,
    /// The version of a `/migration` without data. Kafka's tool for access lists makes one (KAFKA-19480), and since it says
    /// nothing it counts as none: what the log and the other two znodes say decides.
    pub(crate) empty_marker: Option<ZkVersion>,
}

/// Reads them. What can't be read is an error, never "absent".
pub(crate) async fn observe(session: &Arc<dyn ZkSession>) -> Result<Observed> {
    Observed::of(&read_decisive(session).await?)
}

/// The three znodes as they lie, by path, read in one request.
pub(crate) async fn read_decisive(session: &Arc<dyn ZkSession>) -> Result<BTreeMap<&'static str, NodeData>> {
    let paths = [path::CONTROLLER_EPOCH, path::CONTROLLER, path::MIGRATION];
    let reads = paths.map(|path| ZkRead::Data(path.to_owned())).to_vec();
    let failed = |error| zk_error("read of the controller znodes", error);
    let outcomes = session.multi_read(reads).await.map_err(failed)?;
    let found = paths.into_iter().zip(outcomes).filter_map(|(path, outcome)| match outcome {
        ReadOutcome::Data(node) => Some(Ok((path, node))),
        ReadOutcome::Failed(ZkCode::NoNode) | ReadOutcome::Children(_) => None,
        ReadOutcome::Failed(code) => Some(Err(failed(ZkError::definite(code, path)))),
    });
    found.collect()
}

fn at(path: &'static str) -> impl Fn(Malformed) -> Error {
    move |reason| malformed(reason.at(path))
}

impl Observed {
    /// What they say.
    ///
    /// # Errors
    /// `Invalid`: one of them can't be understood.
    pub(crate) fn of(nodes: &BTreeMap<&'static str, NodeData>) -> Result<Self> {
        let controller_epoch = nodes
            .get(path::CONTROLLER_EPOCH)
            .map(|node| {
                let epoch = decode_epoch(&node.data).map_err(at(path::CONTROLLER_EPOCH))?;
                Ok::<_, Error>(ObservedControllerEpoch { epoch, zk_version: node.stat.version })
            })
            .transpose()?;
        let controller = nodes
            .get(path::CONTROLLER)
            .map(|node| {
                let registered = ControllerZnode::decode(&node.data).map_err(at(path::CONTROLLER))?;
                let kraft_epoch = registered.kraft_epoch.filter(|_| registered.is_kraft());
                Ok::<_, Error>(ObservedController { id: registered.id, kraft_epoch, zk_version: node.stat.version })
            })
            .transpose()?;
        let migration = nodes.get(path::MIGRATION);
        let marker = migration
            .filter(|node| !node.data.is_empty())
            .map(|node| {
                let marker = Marker::decode(Some(&node.data)).map_err(at(path::MIGRATION))?;
                Ok::<_, Error>((marker, node.stat.version))
            })
            .transpose()?;
        let empty_marker = migration.filter(|node| node.data.is_empty()).map(|node| node.stat.version);
        Ok(Self { controller_epoch, controller, marker, empty_marker })
    }

    pub(crate) fn judged(&self) -> ZkFacts {
        ZkFacts {
            controller_epoch: self.controller_epoch,
            controller: self.controller,
            marker: self.marker.as_ref().map(|(marker, zk_version)| marker_facts(marker, *zk_version)),
        }
    }
}

fn marker_facts(marker: &Marker, zk_version: ZkVersion) -> MarkerFacts {
    let chain = marker.chain.as_ref();
    MarkerFacts {
        zk_version,
        quorum: chain.map(|chain| chain.quorum.clone()),
        writer: marker.controller.zip(marker.controller_epoch).map(|(id, epoch)| MarkerWriter {
            id,
            epoch,
            began: chain.and_then(|chain| chain.epoch_began),
        }),
        position: marker.position,
        epoch_zk_version: chain.map(|chain| chain.epoch_zk_version),
        sync: chain.map_or(SyncState::Running, |chain| chain.sync),
        batch_end: chain.and_then(|chain| chain.batch_end),
        next_op: chain.map_or(0, |chain| chain.next_op),
        projection: chain.map_or(0, |chain| chain.projection),
    }
}

/// The marker as the claim writes it: the position stays, the version of `/controller_epoch` moves on, and whatever
/// can't be resumed is marked as such.
fn claimed_marker(claimant: &Claimant, plan: &ClaimPlan, present: Option<&Marker>, expected: &Expected) -> Marker {
    let resumed = present.and_then(|marker| marker.chain.as_ref()).filter(|_| plan.next == AfterClaim::Resume);
    Marker {
        controller: Some(claimant.leadership.id),
        controller_epoch: Some(claimant.leadership.epoch),
        position: plan.position,
        chain: Some(ChainState {
            quorum: claimant.quorum.clone(),
            epoch_zk_version: plan.controller_epoch.zk_version.next(),
            epoch_began: epoch_began(claimant, present, expected),
            sync: if resumed.is_some() { SyncState::Done } else { SyncState::Running },
            batch_end: resumed.and_then(|chain| chain.batch_end),
            next_op: resumed.map_or(0, |chain| chain.next_op),
            notify: resumed.is_some_and(|chain| chain.notify),
            projection: PROJECTION_VERSION,
        }),
    }
}

/// When the claimant's epoch began, by its log; or by its own earlier claim in this epoch, since a chain that claims again
/// knows no more of the log than what it has written.
fn epoch_began(claimant: &Claimant, present: Option<&Marker>, expected: &Expected) -> Option<TimestampMs> {
    let epoch = claimant.leadership.epoch;
    let by_log = expected.extent().and_then(|extent| extent.began.get(&epoch).copied());
    let own = present.filter(|marker| marker.controller_epoch == Some(epoch));
    by_log.or_else(|| own.and_then(|marker| marker.chain.as_ref()).and_then(|chain| chain.epoch_began))
}

fn claimed_epoch(plan: &ClaimPlan) -> ZkControllerEpoch {
    ZkControllerEpoch(plan.controller_epoch.epoch.0.wrapping_add(1))
}

fn claim_ops(claimant: &Claimant, plan: &ClaimPlan, marker: &Marker, now: TimestampMs) -> Vec<ZkOp> {
    let acl = |path: &str| super::acl_of(path, claimant.secure);
    let ours = ControllerZnode {
        id: claimant.leadership.id,
        timestamp: Some(now),
        kraft_epoch: Some(claimant.leadership.epoch),
    };
    let create = || ZkOp::create(path::CONTROLLER, ours.encode(), acl(path::CONTROLLER));
    let epoch = encode_epoch(claimed_epoch(plan));
    let mut ops = vec![ZkOp::set_data(path::CONTROLLER_EPOCH, epoch, plan.controller_epoch.zk_version)];
    match plan.controller {
        ControllerStep::Create => ops.push(create()),
        ControllerStep::Replace(version) => ops.extend([ZkOp::delete(path::CONTROLLER, version), create()]),
        ControllerStep::Keep(version) => ops.push(ZkOp::check(path::CONTROLLER, version)),
    }
    ops.push(match plan.marker {
        MarkerStep::Create => ZkOp::create(path::MIGRATION, marker.encode(), acl(path::MIGRATION)),
        MarkerStep::Set(version) => ZkOp::set_data(path::MIGRATION, marker.encode(), version),
    });
    ops
}

fn held(plan: &ClaimPlan, marker: Marker, results: &[OpResult]) -> HeldClaim {
    debug_assert!(matches!(results.first(), Some(OpResult::SetData { .. })));
    HeldClaim {
        zk: ZkClaim { epoch: claimed_epoch(plan), epoch_zk_version: plan.controller_epoch.zk_version.next() },
        next: plan.next,
        marker,
        marker_version: match plan.marker {
            MarkerStep::Create => ZkVersion(0),
            MarkerStep::Set(version) => version.next(),
        },
        controller_kept: matches!(plan.controller, ControllerStep::Keep(_)),
    }
}

/// Where ZooKeeper is, by its marker; [`Position::START`] without one.
pub(crate) async fn position(session: &Arc<dyn ZkSession>) -> Result<Position> {
    session.sync(path::MIGRATION).await.map_err(|error| zk_error("sync before reading /migration", error))?;
    let observed = observe(session).await?;
    if observed.controller_epoch.is_none() {
        return Err(fencing::ClaimRefusal::NoKafkaCluster.into());
    }
    Ok(observed.marker.map_or(Position::START, |(marker, _)| marker.position))
}
