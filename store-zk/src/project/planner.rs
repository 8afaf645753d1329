//! Collects the steps of a plan.

use std::sync::Arc;

use bytes::Bytes;
use metadata_core::store::Unrepresentable;

use super::{CreateMode, Entity, PADDING_MAX, Plan, PlannedOp, ProjectionContext, ZnodeOp};
use crate::znode::access::access_for;
use crate::znode::notification::Notification;
use crate::znode::path::Place;

pub(super) struct Planner<'c> {
    pub(super) context: &'c ProjectionContext,
    plan: Plan,
}

impl<'c> Planner<'c> {
    pub(super) fn new(context: &'c ProjectionContext) -> Self {
        Self { context, plan: Plan::default() }
    }

    /// How many operations there are so far.
    pub(super) fn len(&self) -> usize {
        self.plan.ops.len()
    }

    pub(super) fn finish(self) -> Plan {
        self.plan
    }

    fn push(&mut self, entity: &Entity, op: ZnodeOp) {
        self.plan.ops.push(PlannedOp { entity: entity.clone(), op });
    }

    pub(super) fn create(&mut self, entity: &Entity, path: impl Into<Arc<str>>, data: Option<Bytes>) {
        let path = path.into();
        let access = access_for(&path, self.context.secure);
        self.push(entity, ZnodeOp::Create { path, data, mode: CreateMode::Persistent, access });
    }

    pub(super) fn set(&mut self, entity: &Entity, path: impl Into<Arc<str>>, data: Option<Bytes>) {
        self.push(entity, ZnodeOp::Set { path: path.into(), data });
    }

    pub(super) fn delete(&mut self, entity: &Entity, path: impl Into<Arc<str>>) {
        self.push(entity, ZnodeOp::Delete { path: path.into() });
    }

    /// Sets the same data again until the znode's version, now `version`, is `epoch`. Returns the version it ends at.
    pub(super) fn pad(&mut self, entity: &Entity, path: &Arc<str>, data: &Bytes, version: i32, epoch: i32) -> i32 {
        let missing = u32::try_from(i64::from(epoch) - i64::from(version)).unwrap_or(0);
        if missing > PADDING_MAX {
            self.warn(format!(
                "{path} has version {version} and its partition epoch is {epoch}: the gap is too wide to close, so restart \
                 the brokers of this partition after a rollback"
            ));
            return version;
        }
        for _ in 0..missing {
            self.set(entity, Arc::clone(path), Some(data.clone()));
        }
        version.max(epoch)
    }

    /// Brings a znode that holds the whole of something from one state to another: nothing, created, set, or deleted;
    /// then tells brokers about it.
    pub(super) fn replace<T: PartialEq>(
        &mut self,
        entity: &Entity,
        path: &str,
        before: Option<&T>,
        after: Option<&T>,
        encode: impl FnOnce(&T) -> Bytes,
    ) {
        match (before, after) {
            (None, Some(after)) => self.create(entity, path, Some(encode(after))),
            (Some(before), Some(after)) if before != after => self.set(entity, path, Some(encode(after))),
            (Some(_), None) => self.delete(entity, path),
            _ => return,
        }
        self.notify(entity, path);
    }

    /// Tells ZooKeeper-mode brokers that what stands at `path` changed, if anyone needs to be told.
    pub(super) fn notify(&mut self, entity: &Entity, path: &str) {
        if !self.context.notify {
            return;
        }
        if let Some(Notification { prefix, data }) = notification(path) {
            let access = access_for(prefix, self.context.secure);
            let mode = CreateMode::PersistentSequential;
            self.push(entity, ZnodeOp::Create { path: prefix.into(), data: Some(data), mode, access });
        }
    }

    pub(super) fn unrepresentable(&mut self, losses: impl IntoIterator<Item = Unrepresentable>) {
        self.plan.unrepresentable.extend(losses);
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.plan.warnings.push(warning);
    }
}

/// The notification that goes with a change of the znode at `path`: configs, quotas, credentials, access control
/// entries and tokens have one; topics and partitions reach brokers by requests.
fn notification(path: &str) -> Option<Notification> {
    match Place::of(path) {
        Place::TopicConfig(_)
        | Place::BrokerConfig(_)
        | Place::User(_)
        | Place::UserClient(..)
        | Place::Client(_)
        | Place::Ip(_) => path.strip_prefix("/config/").map(Notification::config),
        Place::Acl(pattern, resource, name) => Some(Notification::acl(pattern, resource, name)),
        Place::Token(id) => Some(Notification::token(id)),
        _ => None,
    }
}

/// Something that has no place in ZooKeeper.
pub(super) fn loss(entity: impl Into<String>, reason: impl Into<String>) -> Unrepresentable {
    Unrepresentable { entity: entity.into(), reason: reason.into() }
}
