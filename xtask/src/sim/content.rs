//! What the cluster holds before the migration.

use std::collections::BTreeMap;

use fencing::QuorumIdentity;
use metadata_core::contract::Workload;
use metadata_core::id::{Position, TimestampMs, ZkControllerEpoch};
use metadata_core::image::{MetadataDelta, MetadataImage};
use store_zk::client::{CreateMode, ZkAcl, ZkError, ZkOp};
use store_zk::project::{self, EntityKind, ProjectionContext, Projector, ZnodeOp, plan_sync};
use store_zk::testkit::fake::FakeZooKeeper;

const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qg";

pub(super) fn quorum() -> QuorumIdentity {
    QuorumIdentity { cluster_id: CLUSTER_ID.to_owned(), log_id: "J8aAPcfLQt2bqs1JT_rMgQ".to_owned() }
}

/// An op of a plan as an operator would send it.
pub(super) fn zk_op(op: &ZnodeOp) -> ZkOp {
    match op {
        ZnodeOp::Create { path, data, mode, .. } => ZkOp::Create {
            path: path.to_string(),
            data: data.clone().unwrap_or_default(),
            acl: ZkAcl::world_all(),
            mode: match mode {
                project::CreateMode::Persistent => CreateMode::Persistent,
                project::CreateMode::PersistentSequential => CreateMode::PersistentSequential,
            },
        },
        ZnodeOp::Set { path, data } => ZkOp::set_data(path.to_string(), data.clone().unwrap_or_default(), None),
        ZnodeOp::Delete { path } => ZkOp::delete(path.to_string(), None),
    }
}

/// A cluster of `changes` changes in an empty ZooKeeper, as its last ZooKeeper-mode controller left it.
pub(super) fn make(zookeeper: &FakeZooKeeper, seed: u64, changes: usize) -> Result<(), ZkError> {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for change in Workload::new(seed ^ 0x5eed).changes(delta.image(), changes) {
        // The workload fits its image; what would not is left out.
        _ = delta.replay_all(&change);
    }
    let image = delta.apply(Position::START, TimestampMs(0));
    let context = ProjectionContext { zk_epoch: ZkControllerEpoch(1), secret: None, secure: false, notify: false };
    let projector = Projector::new(&image, &context);
    let create = |path: &str, data: String| ZkOp::create(path, data, ZkAcl::world_all());
    zookeeper.foreign(vec![
        create("/controller_epoch", "1".to_owned()),
        create("/cluster", String::new()),
        create("/cluster/id", format!(r#"{{"version":"1","id":"{CLUSTER_ID}"}}"#)),
        create("/brokers", String::new()),
        create("/brokers/ids", String::new()),
    ])?;
    let there: BTreeMap<String, _> = BTreeMap::new();
    for kind in EntityKind::ALL {
        for entity in projector.entities(kind).collect::<Vec<_>>() {
            for planned in plan_sync(&projector, &entity, &there).ops {
                match zookeeper.foreign(vec![zk_op(&planned.op)]) {
                    // Containers that are there already.
                    Ok(_) | Err(ZkError::Definite { code: store_zk::client::ZkCode::NodeExists, .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}
