//! A tree of znodes with versions, as strict as ZooKeeper.

use std::collections::BTreeMap;

use metadata_core::image::MetadataImage;
use store_zk::project::{CreateMode, ExpectedZnode, Plan, PlannedOp, ProjectionContext, Projector, ZnodeOp};
use store_zk::znode::Znode;
use store_zk::znode::path::{Place, walk_order};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) znodes: BTreeMap<String, Znode>,
    /// Sequential znodes that were created: prefix and data.
    pub(crate) notifications: Vec<(String, String)>,
}

impl Tree {
    /// The projection of an image, as a full sync leaves it.
    pub(crate) fn of(image: &MetadataImage, context: &ProjectionContext) -> Self {
        let mut tree = Self::default();
        for node in Projector::new(image, context).znodes() {
            tree.put(&node);
        }
        tree
    }

    pub(crate) fn put(&mut self, node: &ExpectedZnode) {
        let version = node.partition_epoch.map_or(0, |epoch| epoch.0);
        self.znodes.insert(node.path.to_string(), Znode { data: node.data.clone(), version: version.into() });
    }

    pub(crate) fn apply_all(&mut self, ops: &[PlannedOp]) {
        for op in ops {
            self.apply(&op.op).unwrap_or_else(|error| panic!("{:?}: {error}\nin {ops:#?}", op.op));
        }
    }

    /// What of a batch's plan may be sent.
    pub(crate) fn apply_plan(&mut self, plan: &Plan) {
        let sent: Vec<PlannedOp> = plan.ops.iter().filter(|op| !plan.withheld.contains(&op.entity)).cloned().collect();
        self.apply_all(&sent);
    }

    pub(crate) fn apply(&mut self, op: &ZnodeOp) -> Result<(), &'static str> {
        let path = op.path().to_string();
        let parent = path.rsplit_once('/').map(|(parent, _)| parent).filter(|parent| !parent.is_empty());
        let parent_exists = parent.is_none_or(|parent| self.znodes.contains_key(parent));
        match op {
            ZnodeOp::Create { .. } if !parent_exists => return Err("no parent"),
            ZnodeOp::Create { data, mode: CreateMode::PersistentSequential, .. } => {
                let data = String::from_utf8(data.clone().unwrap_or_default().into()).unwrap();
                self.notifications.push((path, data));
            }
            ZnodeOp::Create { data, .. } => {
                let znode = Znode { data: data.clone(), version: 0.into() };
                if self.znodes.insert(path, znode).is_some() {
                    return Err("exists");
                }
            }
            ZnodeOp::Set { data, .. } => {
                let znode = self.znodes.get_mut(&path).ok_or("no node")?;
                *znode = Znode { data: data.clone(), version: znode.version.next() };
            }
            ZnodeOp::Delete { .. } => {
                let below = format!("{path}/");
                if self.znodes.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below)) {
                    return Err("not empty");
                }
                self.znodes.remove(&path).ok_or("no node")?;
            }
        }
        Ok(())
    }

    /// The znodes at and below the entity's roots.
    pub(crate) fn below(&self, roots: &[String], recursive: bool) -> BTreeMap<String, Znode> {
        let belongs =
            |path: &str| roots.iter().any(|root| path == root || (recursive && path.starts_with(&format!("{root}/"))));
        self.znodes
            .iter()
            .filter(|(path, _)| belongs(path))
            .map(|(path, znode)| (path.clone(), znode.clone()))
            .collect()
    }

    /// All znodes in the order of a walk.
    pub(crate) fn walk(&self) -> Vec<(String, Znode)> {
        let mut all: Vec<(String, Znode)> =
            self.znodes.iter().map(|(path, znode)| (path.clone(), znode.clone())).collect();
        all.sort_by(|one, other| walk_order(&one.0, &other.0));
        all
    }

    /// Data as texts, and the versions of partition states: what must be equal for two trees to be the same projection.
    pub(crate) fn content(&self) -> BTreeMap<String, (String, Option<i32>)> {
        self.znodes
            .iter()
            .map(|(path, znode)| {
                let data = String::from_utf8_lossy(znode.data.as_deref().unwrap_or_default()).into_owned();
                let state = matches!(Place::of(path), Place::PartitionState(..));
                let version = state.then_some(znode.version.0);
                (path.clone(), (data, version))
            })
            .collect()
    }
}
