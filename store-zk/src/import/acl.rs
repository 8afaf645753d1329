//! Access control entries, and their ids.

use metadata_core::id::AclId;
use metadata_core::image::{AccessControlEntry, ResourcePattern};
use metadata_core::uuid::Uuid;
use sha2::{Digest as _, Sha256};

use super::{Importer, Step};
use crate::znode::Znode;
use crate::znode::acl::{AclZnode, PatternType, ResourceType};

/// The id that an imported entry gets. ZooKeeper has none and Kafka takes a random one; this one is derived from the
/// content (name-based, SHA-256, in the layout of RFC 9562's version 8), so that importing again gives the same records.
pub fn acl_id(entry: &AccessControlEntry) -> AclId {
    let mut hash = Sha256::new();
    let pattern = &entry.pattern;
    for text in ["store-zk access control entry", &pattern.name, &entry.principal, &entry.host] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    for code in [pattern.resource_type, pattern.pattern_type, entry.operation, entry.permission_type] {
        hash.update(code.to_be_bytes());
    }
    AclId(Uuid::of_hash(hash.finalize().into()))
}

impl Importer {
    pub(super) fn acl(
        &mut self,
        pattern: PatternType,
        resource: ResourceType,
        name: &str,
        znode_path: &str,
        znode: &Znode,
    ) -> Step {
        let node = AclZnode::decode(znode.content())?;
        for word in &node.unknown_words {
            self.findings.warn(
                znode_path,
                format!(
                    "{word:?} is no operation or permission that Kafka knows: the entry is copied and matches nothing"
                ),
            );
        }
        let pattern =
            ResourcePattern { resource_type: resource.code(), name: name.into(), pattern_type: pattern.code() };
        let records = node.entries.into_iter().map(|entry| {
            let entry = AccessControlEntry {
                pattern: pattern.clone(),
                principal: entry.principal.into(),
                host: entry.host.into(),
                operation: entry.operation,
                permission_type: entry.permission_type,
            };
            entry.to_record(acl_id(&entry)).into()
        });
        Ok(records.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, principal: &str, operation: i8) -> AccessControlEntry {
        AccessControlEntry {
            pattern: ResourcePattern { resource_type: 2, name: name.into(), pattern_type: 3 },
            principal: principal.into(),
            host: "*".into(),
            operation,
            permission_type: 3,
        }
    }

    #[test]
    fn ids_depend_on_the_whole_content_and_on_nothing_else() {
        // Pinned: a change of the derivation makes every re-import differ from the log.
        assert_eq!(acl_id(&entry("t", "User:a", 3)).to_string(), "frs5P-vQhzii5lATtSL2wQ");
        let others = [entry("t", "User:a", 4), entry("tU", "ser:a", 3), entry("t", "User:b", 3)];
        for other in others {
            assert_ne!(acl_id(&other), acl_id(&entry("t", "User:a", 3)));
        }
    }

    #[test]
    fn no_id_starts_with_a_dash() {
        for number in 0..500 {
            let id = acl_id(&entry(&format!("topic-{number}"), "User:a", 3));
            assert!(!id.to_string().starts_with('-'), "{id}");
        }
    }
}
