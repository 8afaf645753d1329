//! Giving the controller role back to the brokers: `write-chain` section 6. What may be given back is decided by
//! [`fencing::decide_give_back`]; here it is read, and done in one multi.
//!
//! The multi sets `/controller_epoch` at the version that was read, deletes `/migration` at its version, and deletes
//! `/controller`. So whatever dies, ZooKeeper has all of it or nothing; multis of the chain that are still on their way check
//! a version that is gone; and an election that comes first moves that version and fails the multi.

mod partitions;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use fencing::{GiveBackDecision, decide_give_back};
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::give_back::{ControllerRole, GiveBackPlan, Governance, KeptEntry, OwnLog, PartitionsSeen};
use metadata_core::id::{NodeId, ZkControllerEpoch};
use metadata_core::image::MetadataImage;

use self::partitions::look_at_partitions;
use crate::chain::claim::{Observed, observe, read_decisive};
use crate::client::{NodeData, ZkCode, ZkError, ZkOp, ZkSession};
use crate::error::zk_error;
use crate::store::ZkStore;
use crate::znode::controller::encode_epoch;
use crate::znode::path;

/// How often a look is taken anew because something moved in it.
const LOOKS_MAX: u32 = 5;

/// The three znodes of one moment, judged and as they lie.
struct Found {
    observed: Observed,
    raw: BTreeMap<&'static str, NodeData>,
}

/// Reads them behind a barrier: where there is an epoch to check, a multi that ZooKeeper commits, else `sync` alone.
async fn find(session: &Arc<dyn ZkSession>) -> Result<Found> {
    session.sync(path::CONTROLLER_EPOCH).await.map_err(|error| zk_error("sync before the rollback", error))?;
    for _ in 0..LOOKS_MAX {
        if let Some(epoch) = observe(session).await?.controller_epoch {
            match session.multi(vec![ZkOp::check(path::CONTROLLER_EPOCH, epoch.zk_version)]).await {
                Ok(_) => {}
                Err(ZkError::Definite { code: ZkCode::BadVersion | ZkCode::NoNode, .. }) => continue,
                Err(error) => return Err(zk_error("barrier before the rollback", error)),
            }
        }
        let raw = read_decisive(session).await?;
        return Ok(Found { observed: Observed::of(&raw)?, raw });
    }
    Err(Error::not_applied(
        ErrorKind::Unavailable,
        format!("/controller_epoch kept changing during {LOOKS_MAX} looks at it; try again"),
    ))
}

impl Found {
    fn kept(&self, path: &str) -> Option<KeptEntry> {
        let NodeData { data, stat } = self.raw.get(path)?;
        Some(KeptEntry {
            path: path.to_owned(),
            data: data.to_vec(),
            zk_version: stat.version,
            czxid: stat.czxid,
            mzxid: stat.mzxid,
            ctime_ms: stat.ctime_ms,
            mtime_ms: stat.mtime_ms,
            ephemeral_owner: stat.ephemeral_owner,
        })
    }

    fn plan(&self, decision: GiveBackDecision, partitions: PartitionsSeen) -> GiveBackPlan {
        let GiveBackDecision { stage, raise, delete_controller, delete_marker, unfinished } = decision;
        let marker = delete_marker.and_then(|_| self.kept(path::MIGRATION));
        let controller = delete_controller.and_then(|_| self.kept(path::CONTROLLER));
        GiveBackPlan {
            stage,
            raise,
            epoch_zk_version: self.observed.controller_epoch.map(|it| it.zk_version),
            deleted: marker.into_iter().chain(controller).collect(),
            epoch_entry: self.kept(path::CONTROLLER_EPOCH),
            unfinished,
            position: self.observed.marker.as_ref().map(|(marker, _)| marker.position),
            partitions,
        }
    }
}

/// The one multi of a plan. The epoch comes first, so that a newer controller is what a conflict names.
fn ops(plan: &GiveBackPlan) -> Vec<ZkOp> {
    let epoch = match (&plan.raise, plan.epoch_zk_version) {
        (Some(raise), _) => Some(ZkOp::set_data(path::CONTROLLER_EPOCH, encode_epoch(raise.raised), raise.zk_version)),
        (None, Some(version)) => Some(ZkOp::check(path::CONTROLLER_EPOCH, version)),
        (None, None) => None,
    };
    let deletions = plan.deleted.iter().map(|entry| ZkOp::delete(entry.path.as_str(), entry.zk_version));
    epoch.into_iter().chain(deletions).collect()
}

#[async_trait]
impl ControllerRole for ZkStore {
    async fn plan_give_back(&self, own: &OwnLog, image: &MetadataImage) -> Result<GiveBackPlan> {
        let session = self.session().await?;
        // The states first: while the role is held nobody but we write them, and afterwards the plan says what is stored.
        session.sync(path::TOPICS).await.map_err(|error| zk_error("sync before the rollback", error))?;
        let partitions = look_at_partitions(&self.reader().await?, image).await?;
        let found = find(&session).await?;
        let (quorum, voters) = (self.options().quorum.identity(), self.options().quorum.voters());
        let facts = found.observed.judged();
        let decision = decide_give_back(&facts, partitions.epoch_max, own, &quorum, &voters)?;
        Ok(found.plan(decision, partitions))
    }

    async fn give_back(&self, plan: &GiveBackPlan) -> Result<()> {
        if let Some(reason) = &plan.unfinished {
            return Err(Error::not_applied(
                ErrorKind::Conflict,
                format!("ZooKeeper is not at a whole batch: {reason}"),
            ));
        }
        if !plan.writes() {
            return Ok(());
        }
        let session = self.session().await?;
        session.multi(ops(plan)).await.map(drop).map_err(|error| zk_error("the multi that gives the role back", error))
    }

    async fn governance(&self) -> Result<Governance> {
        let session = self.session().await?;
        session.sync(path::CONTROLLER).await.map_err(|error| zk_error("sync before looking who governs", error))?;
        let Observed { controller_epoch, controller, marker, .. } = observe(&session).await?;
        let names = self.reader().await?.children(path::BROKER_IDS).await?;
        Ok(Governance {
            controller: controller.map(|it| (it.id, it.kraft_epoch)),
            epoch: controller_epoch.map(|it| it.epoch),
            marker: marker.is_some(),
            brokers: names.iter().filter_map(|name| name.parse().ok()).map(NodeId).collect(),
        })
    }

    async fn partition_epoch_max(&self) -> Result<Option<ZkControllerEpoch>> {
        let session = self.session().await?;
        session.sync(path::TOPICS).await.map_err(|error| zk_error("sync before the look at partitions", error))?;
        Ok(look_at_partitions(&self.reader().await?, &MetadataImage::empty()).await?.epoch_max)
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::give_back::{GiveBackStage, RaisedEpoch};
    use metadata_core::id::ZkVersion;

    use super::*;

    #[test]
    fn the_multi_checks_or_sets_the_epoch_before_it_deletes() {
        let entry = |path: &str, version| KeptEntry {
            path: path.to_owned(),
            data: Vec::new(),
            zk_version: ZkVersion(version),
            czxid: 0,
            mzxid: 0,
            ctime_ms: 0,
            mtime_ms: 0,
            ephemeral_owner: 0,
        };
        let raise =
            RaisedEpoch { present: ZkControllerEpoch(7), zk_version: ZkVersion(9), raised: ZkControllerEpoch(8) };
        let plan = GiveBackPlan {
            stage: GiveBackStage::Migrating,
            raise: Some(raise),
            epoch_zk_version: Some(ZkVersion(9)),
            deleted: vec![entry("/migration", 33), entry("/controller", 0)],
            epoch_entry: None,
            unfinished: None,
            position: None,
            partitions: PartitionsSeen::default(),
        };
        let deletions = [ZkOp::delete("/migration", ZkVersion(33)), ZkOp::delete("/controller", ZkVersion(0))].to_vec();
        let set = ZkOp::set_data("/controller_epoch", "8", ZkVersion(9));
        assert_eq!(ops(&plan), [vec![set], deletions.clone()].concat());
        let plan = GiveBackPlan { raise: None, ..plan };
        assert_eq!(ops(&plan), [vec![ZkOp::check("/controller_epoch", ZkVersion(9))], deletions].concat());
    }
}
