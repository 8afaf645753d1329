//! Access control entries. ZooKeeper holds all entries of a resource in one znode, without ids.

use std::collections::BTreeSet;

use imbl::ordmap::DiffItem;
use metadata_core::image::{AccessControlEntry, MetadataImage, ResourcePattern};
use metadata_core::store::Unrepresentable;

use super::planner::{Planner, loss};
use super::{Entity, ExpectedZnode};
use crate::znode::acl::{AclEntry, AclZnode, PatternType, ResourceType, operation_word, permission_word};
use crate::znode::name::not_a_component;
use crate::znode::path;

/// Where the entries about a pattern stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct AclPlace<'a> {
    pattern: PatternType,
    resource: ResourceType,
    name: &'a str,
}

impl AclPlace<'_> {
    fn entity(&self) -> Entity {
        Entity::Acl(self.pattern, self.resource, self.name.into())
    }

    fn path(&self) -> String {
        path::acl(self.pattern, self.resource, self.name)
    }
}

/// Where a pattern stands in ZooKeeper, or why nowhere. KRaft takes names with slashes, which ZooKeeper would nest.
pub(super) fn place_of(pattern: &ResourcePattern) -> Result<AclPlace<'_>, Unrepresentable> {
    let lost = |reason: String| {
        let ResourcePattern { resource_type, name, pattern_type } = pattern;
        let kind = ResourceType::from_code(*resource_type)
            .map_or_else(|| format!("resource type {resource_type}"), |resource| resource.directory().to_owned());
        let mark = if *pattern_type == PatternType::Prefixed.code() { "*" } else { "" };
        loss(format!("acl of {kind} {name:?}{mark}"), reason)
    };
    let resource = ResourceType::from_code(pattern.resource_type)
        .ok_or_else(|| lost("ZooKeeper has no such resource type".to_owned()))?;
    let kind = PatternType::from_code(pattern.pattern_type)
        .ok_or_else(|| lost(format!("ZooKeeper has no pattern type {}", pattern.pattern_type)))?;
    match not_a_component(&pattern.name) {
        Some(reason) => Err(lost(format!("its name is no znode: {reason}"))),
        None => Ok(AclPlace { pattern: kind, resource, name: &pattern.name }),
    }
}

/// Why one entry can't stand in its resource's znode, if it can't.
fn lost_entry(entry: &AccessControlEntry) -> Option<Unrepresentable> {
    let reason = if operation_word(entry.operation).is_none() {
        format!("ZooKeeper has no word for operation {}", entry.operation)
    } else if permission_word(entry.permission_type).is_none() {
        format!("ZooKeeper has no word for permission {}", entry.permission_type)
    } else if !entry.principal.contains(':') {
        "its principal is not of the form type:name".to_owned()
    } else {
        return None;
    };
    Some(loss(format!("acl of {:?} for {:?}", entry.pattern.name, entry.principal), reason))
}

fn entries(image: &MetadataImage, pattern: &ResourcePattern) -> BTreeSet<AclEntry> {
    let representable = image.acls().about(pattern).filter(|(_, entry)| lost_entry(entry).is_none());
    representable
        .map(|(_, entry)| AclEntry {
            principal: entry.principal.to_string(),
            host: entry.host.to_string(),
            operation: entry.operation,
            permission_type: entry.permission_type,
        })
        .collect()
}

/// What of one pattern has no place.
pub(super) fn losses<'a>(
    image: &'a MetadataImage,
    pattern: &'a ResourcePattern,
) -> impl Iterator<Item = Unrepresentable> + 'a {
    let place = place_of(pattern).err();
    let placed = place.is_none();
    let entries = image.acls().about(pattern).filter(move |_| placed).filter_map(|(_, entry)| lost_entry(entry));
    place.into_iter().chain(entries)
}

/// The znode of one resource; there is none without entries.
pub(super) fn node(
    image: &MetadataImage,
    pattern: PatternType,
    resource: ResourceType,
    name: &str,
) -> Option<ExpectedZnode> {
    let pattern = ResourcePattern { resource_type: resource.code(), name: name.into(), pattern_type: pattern.code() };
    let place = place_of(&pattern).ok()?;
    let entries = entries(image, &pattern);
    (!entries.is_empty()).then(|| ExpectedZnode::with_data(place.path(), AclZnode::new(entries).encode()))
}

/// All resources of one directory that have entries, by name.
pub(super) fn names(image: &MetadataImage, pattern: PatternType, resource: ResourceType) -> Vec<&str> {
    let from = ResourcePattern { resource_type: resource.code(), name: "".into(), pattern_type: i8::MIN };
    let to = ResourcePattern { resource_type: resource.code() + 1, name: "".into(), pattern_type: i8::MIN };
    let patterns = image.acls().pattern_map().range(from..to).map(|(key, _)| key);
    patterns.filter(|key| key.pattern_type == pattern.code()).map(|key| &*key.name).collect()
}

/// Each touched resource is written whole: which ones is told by the entries of both images, since an entry that went is
/// only in the former.
pub(super) fn project(before: &MetadataImage, after: &MetadataImage, planner: &mut Planner<'_>) {
    let mut touched: BTreeSet<&ResourcePattern> = BTreeSet::new();
    for item in before.acls().entry_map().diff(after.acls().entry_map()) {
        let (old, new) = match item {
            DiffItem::Add(_, new) => (None, Some(new)),
            DiffItem::Remove(_, old) => (Some(old), None),
            DiffItem::Update { old: (_, old), new: (_, new) } => (Some(old), Some(new)),
        };
        for entry in [old, new].into_iter().flatten() {
            touched.insert(&entry.pattern);
        }
    }
    for pattern in touched {
        if let Ok(place) = place_of(pattern) {
            let present = |image| Some(entries(image, pattern)).filter(|entries| !entries.is_empty());
            planner.replace(
                &place.entity(),
                &place.path(),
                present(before).as_ref(),
                present(after).as_ref(),
                |entries| AclZnode::new(entries.iter().cloned()).encode(),
            );
        }
        if after.acls().about(pattern).next().is_some() {
            planner.unrepresentable(losses(after, pattern));
        }
    }
}
