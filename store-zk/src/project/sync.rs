//! Planning what makes the znodes that are there equal to the projection, one entity at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use metadata_core::id::PartitionEpoch;
use metadata_core::store::Unrepresentable;

use super::planner::{Planner, loss};
use super::{Entity, ExpectedZnode, PlannedOp, Projector};
use crate::compare::{CompareContext, Meaning, meaning};
use crate::znode::Znode;
use crate::znode::acl::AclZnode;
use crate::znode::config::ConfigZnode;
use crate::znode::path::{Place, walk_order};
use crate::znode::topic::TopicZnode;

/// What to do to one entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncPlan {
    /// Operations, deletions first.
    pub ops: Vec<PlannedOp>,
    /// Znodes that were looked at.
    pub compared: u64,
    /// Znodes that are created or set.
    pub written: u64,
    /// Znodes that are deleted.
    pub deleted: u64,
    /// What stays as it is although it differs.
    pub unrepresentable: Vec<Unrepresentable>,
    /// What an operator must know before going back to ZooKeeper, a sentence each.
    pub warnings: Vec<String>,
}

/// Plans the operations that make an entity's znodes what the image says. `actual` holds every znode at and below the
/// entity's [roots](Entity::roots), by path; for [`Entity::Containers`] those of the roots that exist.
///
/// Only what differs in meaning is written, so a second plan on the result is empty. A topic whose id is another one is
/// deleted whole and created anew. A partition's state is written only if its meaning differs, then as often as it takes
/// to bring its version up to the partition's epoch; a version above the epoch can't be mended and is reported. What
/// Kafka does not know is left alone, unless it stands below something that must go.
///
/// Three things are never written over. A config with passwords stays as it is without a secret ([`Projector`] reports
/// it), and so does one whose passwords the secret does not decrypt: writing would destroy what brokers start with. A
/// producer id block beyond the image's stays: a lower one would have ids handed out twice.
pub fn plan_sync(projector: &Projector<'_>, entity: &Entity, actual: &BTreeMap<String, Znode>) -> SyncPlan {
    if projector.withheld(entity).is_some() {
        return SyncPlan { compared: actual.len() as u64, ..SyncPlan::default() };
    }
    let expected = projector.expected(entity);
    let mut sync = Sync {
        entity,
        context: projector.context().into(),
        planner: Planner::new(projector.context()),
        plan: SyncPlan { compared: actual.len() as u64, ..SyncPlan::default() },
    };
    let surplus = sync.surplus(&expected, actual);
    sync.delete(&surplus, &expected, actual);
    for node in &expected {
        match actual.get(&*node.path).filter(|_| !surplus.contains(&*node.path)) {
            None => sync.create(node),
            Some(found) => sync.mend(node, found),
        }
    }
    let plan = sync.planner.finish();
    SyncPlan { ops: plan.ops, unrepresentable: plan.unrepresentable, warnings: plan.warnings, ..sync.plan }
}

struct Sync<'p> {
    entity: &'p Entity,
    context: CompareContext,
    planner: Planner<'p>,
    plan: SyncPlan,
}

impl Sync<'_> {
    /// Paths that must go: what is not expected and is known, all of a topic with another id, and everything below.
    fn surplus<'a>(&self, expected: &[ExpectedZnode], actual: &'a BTreeMap<String, Znode>) -> BTreeSet<&'a str> {
        let expected_paths: BTreeSet<&str> = expected.iter().map(|node| &*node.path).collect();
        let another_topic = expected.iter().any(|node| is_another_topic(node, actual.get(&*node.path)));
        let mut surplus: BTreeSet<&str> = BTreeSet::new();
        let mut sorted: Vec<&str> = actual.keys().map(String::as_str).collect();
        sorted.sort_by(|one, other| walk_order(one, other));
        // Parents come before children, so whatever must go with its parent is found in one pass.
        for path in sorted {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let known = Entity::at(path).as_ref() == Some(self.entity);
            if surplus.contains(parent) || another_topic || (known && !expected_paths.contains(path)) {
                surplus.insert(path);
            }
        }
        surplus
    }

    /// Children before parents.
    fn delete(&mut self, surplus: &BTreeSet<&str>, expected: &[ExpectedZnode], actual: &BTreeMap<String, Znode>) {
        let expected_paths: BTreeSet<&str> = expected.iter().map(|node| &*node.path).collect();
        let mut sorted: Vec<&str> = surplus.iter().copied().collect();
        sorted.sort_by(|one, other| walk_order(other, one));
        for path in sorted {
            self.planner.delete(self.entity, path);
            self.plan.deleted += 1;
            // Nobody needs to hear about a config that goes with its topic, nor about what comes back at once.
            let place = Place::of(path);
            let comes_back = expected_paths.contains(path) || matches!(place, Place::TopicConfig(_));
            if !comes_back && !actual.get(path).is_some_and(|znode| says_nothing(&place, znode)) {
                self.planner.notify(self.entity, path);
            }
        }
    }

    fn create(&mut self, node: &ExpectedZnode) {
        self.planner.create(self.entity, Arc::clone(&node.path), node.data.clone());
        self.plan.written += 1;
        if let (Some(PartitionEpoch(epoch)), Some(data)) = (node.partition_epoch, &node.data) {
            self.planner.pad(self.entity, &node.path, data, 0, epoch);
        }
        let created = Znode { data: node.data.clone(), ..Znode::default() };
        if !says_nothing(&Place::of(&node.path), &created) {
            self.planner.notify(self.entity, &node.path);
        }
    }

    fn mend(&mut self, node: &ExpectedZnode, found: &Znode) {
        match meaning(&Place::of(&node.path), node, found, &self.context) {
            Meaning::Same { .. } => {}
            Meaning::VersionAhead { version, epoch } => self.warn_ahead(node, version, epoch),
            Meaning::VersionBehind { version, epoch } => {
                if let Some(data) = &node.data {
                    let before = self.planner.len();
                    self.planner.pad(self.entity, &node.path, data, version, epoch);
                    // A gap too wide is not closed.
                    self.plan.written += u64::from(self.planner.len() > before);
                }
            }
            Meaning::Undecryptable(reason) => {
                let reason = format!("{}: {reason}; it stays as it is there", node.path);
                self.planner.unrepresentable([loss(self.entity.to_string(), reason)]);
            }
            Meaning::ProducerIdsAhead { found, expected } => self.planner.warn(format!(
                "{}: ZooKeeper's next producer id is {found}, {}; it stays, since a lower one would be handed out again. \
                 Check that this is the right data directory",
                node.path,
                expected.map_or_else(|| "and the log has none".to_owned(), |next| format!("above the log's {next}")),
            )),
            // Nothing is to be written, and what it stands for is not known.
            Meaning::Malformed(reason) if node.data.is_none() => {
                self.planner.warn(format!("{}: {reason}; it stays as it is", node.path));
            }
            Meaning::Different | Meaning::Malformed(_) => {
                self.plan.written += 1;
                self.planner.set(self.entity, Arc::clone(&node.path), node.data.clone());
                if let (Some(PartitionEpoch(epoch)), Some(data)) = (node.partition_epoch, &node.data) {
                    self.pad_after_set(node, data, found.version.next().0, epoch);
                }
                self.planner.notify(self.entity, &node.path);
            }
        }
    }

    fn pad_after_set(&mut self, node: &ExpectedZnode, data: &Bytes, version: i32, epoch: i32) {
        if version > epoch {
            self.warn_ahead(node, version, epoch);
        } else {
            self.planner.pad(self.entity, &node.path, data, version, epoch);
        }
    }

    fn warn_ahead(&mut self, node: &ExpectedZnode, version: i32, epoch: i32) {
        self.planner.warn(format!(
            "{} has version {version}, above its partition epoch {epoch}: restart the brokers of this partition after a \
             rollback",
            node.path
        ));
    }
}

/// Whether a topic of another id stands where one is expected. What can't be read is mended where it stands.
fn is_another_topic(node: &ExpectedZnode, found: Option<&Znode>) -> bool {
    let id = |data: Option<&[u8]>| TopicZnode::decode(data?).ok()?.topic_id;
    let Some(found) = found.filter(|_| matches!(Place::of(&node.path), Place::Topic(_))) else { return false };
    match (id(node.data.as_deref()), id(found.content())) {
        (Some(expected), Some(found)) => expected != found,
        _ => false,
    }
}

/// Whether a znode says no more than a missing one: a config without properties, a resource without entries.
fn says_nothing(place: &Place<'_>, znode: &Znode) -> bool {
    match place {
        Place::TopicConfig(_)
        | Place::BrokerConfig(_)
        | Place::User(_)
        | Place::UserClient(..)
        | Place::Client(_)
        | Place::Ip(_) => ConfigZnode::decode(znode.content()).is_ok_and(|config| config.0.is_empty()),
        Place::Acl(..) => AclZnode::decode(znode.content()).is_ok_and(|acl| acl.entries.is_empty()),
        _ => false,
    }
}
