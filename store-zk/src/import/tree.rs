//! Importing a whole tree that is at hand. Also the order of the families, as code.

use std::collections::{BTreeMap, BTreeSet};

use metadata_core::id::PartitionId;
use metadata_core::record::VersionedRecord;

use super::{ImportContext, ImportError, Imported, Importer, TopicZnodes};
use crate::znode::acl::{PatternType, ResourceType};
use crate::znode::topic::TopicZnode;
use crate::znode::{Znode, path};

/// Znodes that can be read at once.
pub trait ZnodeTree {
    /// The znode at a path.
    fn get(&self, path: &str) -> Option<&Znode>;

    /// The names of a znode's children, sorted by their bytes; none if there is no such znode.
    fn children(&self, path: &str) -> Vec<&str>;
}

impl ZnodeTree for BTreeMap<String, Znode> {
    fn get(&self, path: &str) -> Option<&Znode> {
        self.get(path)
    }

    fn children(&self, path: &str) -> Vec<&str> {
        let prefix = format!("{path}/");
        let below = self.range(prefix.clone()..).map_while(|(path, _)| path.strip_prefix(prefix.as_str()));
        // Descendants of a child don't always follow it: `/t/a-b` stands between `/t/a` and `/t/a/c`.
        let names: BTreeSet<&str> = below.map(|rest| rest.split_once('/').map_or(rest, |(name, _)| name)).collect();
        names.into_iter().collect()
    }
}

/// Imports a tree. The order of the families is Kafka's: topics with their configs and partitions, configs of brokers,
/// users, client ids, users with client ids, IP addresses, the producer id block, access control entries, tokens.
///
/// # Errors
/// There was at least one problem.
pub fn import_tree(
    tree: &(impl ZnodeTree + ?Sized),
    context: ImportContext,
) -> Result<(Vec<VersionedRecord>, Imported), ImportError> {
    let mut importer = Importer::new(context);
    let mut records = Vec::new();
    let pending: BTreeSet<&str> = tree.children(path::PENDING_DELETIONS).into_iter().collect();
    for topic in tree.children(path::TOPICS) {
        if pending.contains(topic) {
            importer.pending_deletion(topic);
        } else {
            records.extend(import_topic(tree, topic, &mut importer));
        }
    }
    for parent in [path::BROKER_CONFIGS, path::USERS, path::CLIENTS] {
        import_children(tree, parent, &mut importer, &mut records);
    }
    for user in tree.children(path::USERS) {
        import_children(tree, &path::user_clients(user), &mut importer, &mut records);
    }
    import_children(tree, path::IPS, &mut importer, &mut records);
    if let Some(znode) = tree.get(path::PRODUCER_IDS) {
        records.extend(importer.znode(path::PRODUCER_IDS, znode));
    }
    importer.acl_directories(path::EXTENDED_ACLS, tree.children(path::EXTENDED_ACLS), is_prefixed);
    for pattern in PatternType::ALL {
        let root = path::acl_root(pattern);
        importer.acl_directories(root, tree.children(root), is_resource_type);
        for resource in ResourceType::ALL {
            import_children(tree, &path::acl_directory(pattern, resource), &mut importer, &mut records);
        }
    }
    import_children(tree, path::TOKENS, &mut importer, &mut records);
    importer.finish().map(|imported| (records, imported))
}

/// Whether Kafka knows this child of `/kafka-acl-extended`.
pub(crate) fn is_prefixed(name: &str) -> bool {
    path::acl_root(PatternType::Prefixed).rsplit_once('/').is_some_and(|(_, prefixed)| prefixed == name)
}

/// Whether Kafka knows this directory of access control resources.
pub(crate) fn is_resource_type(name: &str) -> bool {
    ResourceType::from_directory(name).is_some()
}

fn import_topic(tree: &(impl ZnodeTree + ?Sized), name: &str, importer: &mut Importer) -> Vec<VersionedRecord> {
    let topic = tree.get(&path::topic(name));
    let listed = topic.and_then(|znode| TopicZnode::decode(znode.data.as_deref()?).ok()).unwrap_or_default();
    let states: BTreeMap<PartitionId, Znode> = listed
        .partitions
        .keys()
        .filter_map(|partition| Some((*partition, tree.get(&path::partition_state(name, *partition))?.clone())))
        .collect();
    let stateless = listed
        .partitions
        .into_keys()
        .filter(|partition| !states.contains_key(partition) && tree.get(&path::partition(name, *partition)).is_some());
    let stateless = stateless.collect();
    let config = tree.get(&path::topic_config(name));
    importer.topic(&TopicZnodes { name, topic, config, states: &states, stateless: &stateless })
}

fn import_children(
    tree: &(impl ZnodeTree + ?Sized),
    parent: &str,
    importer: &mut Importer,
    records: &mut Vec<VersionedRecord>,
) {
    for child in tree.children(parent) {
        let child = format!("{parent}/{child}");
        if let Some(znode) = tree.get(&child) {
            records.extend(importer.znode(&child, znode));
        }
    }
}
