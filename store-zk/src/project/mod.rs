//! The image as znodes: pure, total and deterministic.
//!
//! - [`project`] plans one batch: the operations that take ZooKeeper from the image before to the image after.
//! - [`Projector`] gives the tree of an image, whole or entity by entity; [`plan_sync`] plans the operations that make
//!   what is there equal to it.
//!
//! Which operations a plan has, and in which order, depends on the two images and on `notify` alone: whoever continues a
//! plan after a failover, under a new claim, counts the same operations. The claimed epoch, the secret and the access
//! mode only go into data. Change [`PROJECTION_VERSION`] with every change that breaks this for images of before.
//!
//! What ZooKeeper can't hold is left out and reported ([`Unrepresentable`]); it is never an error. Nor is what must not be
//! written: without `password.encoder.secret` a config with passwords can't be written whole, and stays as it is. A batch's
//! plan has its operations all the same, so that the others keep their indices, and says that they are withheld
//! ([`Plan::withheld`]); a full sync has none.
//!
//! # Normal forms
//!
//! Importing a projected tree gives the image in *normal* form: `import(project(image)) == normal(image)`. What differs:
//!
//! - N1: position, feature levels and registrations are not projected.
//! - N2: log directories are `MIGRATING`; there are no eligible leader replicas.
//! - N3: access control entries have ids derived from their content, and equal entries are one.
//! - N4: a quota whose type in ZooKeeper is an integer, and whose value is within 1e-6 of one, has that value.
//! - N5: a producer id of 0 or less is none.
//! - N6: what was reported as unrepresentable is not there.
//!
//! Projecting an imported tree gives the tree in *canonical* form: `project(import(tree)) == canonical(tree)` for every
//! tree that a real Kafka wrote. What differs:
//!
//! - C1: data have the newest version and one order of keys; other keys are gone.
//! - C2: `controller_epoch` of each partition is the claimed one.
//! - C3: topics that are being deleted are gone, and so is the request to delete them.
//! - C4: each listed partition has its znodes; partitions that are not listed are gone.
//! - C5: each topic has a config node, be it empty; config nodes of topics that don't exist are gone.
//! - C6: config nodes of brokers, users, client ids and IP addresses without properties are gone; a user's node that is
//!   needed for its client ids has an empty config.
//! - C7: access control resources without entries are gone; words that Kafka does not know are `Unknown`.
//! - C8: passwords are encrypted with parameters derived from their content.
//! - C9: quotas have the text that brokers write; keys that are no quotas are gone.
//! - C10: the producer id block belongs to no broker and has 1000 ids, with the same last id.
//! - C11: all containers are there.
//! - C12: tokens without data are gone.

mod acls;
mod configs;
mod entity;
mod op;
mod planner;
mod projector;
mod quotas;
mod sync;
mod tokens;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use metadata_core::id::{PartitionEpoch, ZkControllerEpoch};
use metadata_core::image::MetadataImage;
use metadata_core::store::Unrepresentable;

pub use entity::{Entity, EntityKind};
pub use op::{CreateMode, Found, PlannedOp, Replanned, ZnodeOp};
pub use projector::Projector;
pub use sync::{SyncPlan, plan_sync};

use planner::Planner;

use crate::znode::password::PasswordSecret;
use crate::znode::path;
use crate::znode::producer_ids::ProducerIdBlock;

/// Version of the planning code, as the marker holds it: a plan begun under another one is not continued.
pub const PROJECTION_VERSION: u32 = 1;

/// At most so many sets are spent to bring a partition's znode up to its epoch; beyond that the plan warns instead.
pub const PADDING_MAX: u32 = 10_000;

/// What a projection depends on besides the image.
#[derive(Debug, Clone)]
pub struct ProjectionContext {
    /// The claimed ZooKeeper controller epoch, written into partition states. (Kafka writes the KRaft epoch there, which
    /// makes partitions untouchable after a rollback: KAFKA-20488.)
    pub zk_epoch: ZkControllerEpoch,
    /// `password.encoder.*` of the brokers, if there is a secret. Without it configs with passwords are not written.
    pub secret: Option<PasswordSecret>,
    /// `zookeeper.set.acl`: whether new znodes are protected.
    pub secure: bool,
    /// Whether to create change notifications: ZooKeeper-mode brokers need them, nobody else reads or deletes them.
    pub notify: bool,
}

/// What to do, in this order, and what can't be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Operations. A prefix of them leaves every entity either as before, as after, or in between in a way that the rest
    /// of them completes.
    pub ops: Vec<PlannedOp>,
    /// Entities whose operations must not be sent: what they write is not whole. They keep their indices.
    pub withheld: BTreeSet<Entity>,
    /// What of the changes has no place in ZooKeeper.
    pub unrepresentable: Vec<Unrepresentable>,
    /// What an operator must know before going back to ZooKeeper, a sentence each.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The operations that must not be sent, by index, as if each had been planned anew to nothing.
    pub fn withheld_ops(&self) -> BTreeMap<u32, Replanned> {
        let ops = (0u32..).zip(&self.ops);
        ops.filter(|(_, op)| self.withheld.contains(&op.entity)).map(|(index, _)| (index, Replanned::Nothing)).collect()
    }
}

/// A znode as it should be.
#[derive(Clone, PartialEq, Eq)]
pub struct ExpectedZnode {
    /// Where.
    pub path: Arc<str>,
    /// Its data, `None` for a container.
    pub data: Option<Bytes>,
    /// The epoch of the partition whose state this is: the version that the znode should have.
    pub partition_epoch: Option<PartitionEpoch>,
}

impl ExpectedZnode {
    fn container(path: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), data: None, partition_epoch: None }
    }

    fn with_data(path: impl Into<Arc<str>>, data: Bytes) -> Self {
        Self { path: path.into(), data: Some(data), partition_epoch: None }
    }
}

/// Shows sizes only: the data may hold credentials.
impl std::fmt::Debug for ExpectedZnode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.data.as_ref().map_or(0, Bytes::len);
        write!(f, "{} ({size} bytes)", self.path)
    }
}

/// Plans the change from one image to the next.
///
/// ZooKeeper must hold the projection of `before`. The cost grows with the number of changed entities, not with the size
/// of the images, with two exceptions: a changed assignment rewrites its topic, and when a user gains its first or loses
/// its last quota all quotas are looked at once.
pub fn project(before: &MetadataImage, after: &MetadataImage, context: &ProjectionContext) -> Plan {
    let mut planner = Planner::new(context);
    topics::project(before, after, &mut planner);
    configs::project(before, after, &mut planner);
    quotas::project(before, after, &mut planner);
    project_producer_id(before, after, &mut planner);
    acls::project(before, after, &mut planner);
    tokens::project(before, after, &mut planner);
    let mut plan = planner.finish();
    let touched: BTreeSet<&Entity> = plan.ops.iter().map(|op| &op.entity).collect();
    let withheld =
        touched.into_iter().filter_map(|entity| Some((entity.clone(), configs::withheld(after, entity, context)?)));
    let (withheld, losses): (BTreeSet<Entity>, Vec<Unrepresentable>) = withheld.unzip();
    plan.withheld = withheld;
    plan.unrepresentable.extend(losses);
    plan
}

fn project_producer_id(before: &MetadataImage, after: &MetadataImage, planner: &mut Planner<'_>) {
    if before.producer_id() != after.producer_id() {
        planner.set(&Entity::ProducerIds, path::PRODUCER_IDS, producer_id_block(after));
    }
}

fn producer_id_block(image: &MetadataImage) -> Option<Bytes> {
    image.producer_id().and_then(ProducerIdBlock::before).map(|block| block.encode())
}
