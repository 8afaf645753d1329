//! Access control lists, literal and prefixed.

use super::json::{Object, array, quote};
use super::node::{Family, RecordCounts, SeedNode};
use super::random::Random;

/// Directories that the authorizer makes under both roots.
pub(super) const RESOURCE_TYPES: [&str; 6] =
    ["Topic", "Group", "Cluster", "TransactionalId", "DelegationToken", "User"];
pub(super) const LITERAL_ROOT: &str = "/kafka-acl";
pub(super) const PREFIXED_ROOT: &str = "/kafka-acl-extended/prefixed";

/// Principal, permission, operation, host.
type Entry = (&'static str, &'static str, &'static str, &'static str);

struct Resource {
    prefixed: bool,
    kind: &'static str,
    name: &'static str,
    entries: &'static [Entry],
    why: Option<&'static str>,
}

const fn literal(kind: &'static str, name: &'static str, entries: &'static [Entry]) -> Resource {
    Resource { prefixed: false, kind, name, entries, why: None }
}

const fn prefixed(kind: &'static str, name: &'static str, entries: &'static [Entry]) -> Resource {
    Resource { prefixed: true, kind, name, entries, why: None }
}

const RESOURCES: &[Resource] = &[
    literal("Topic", "*", &[("User:*", "Allow", "Describe", "*"), ("User:reporting", "Allow", "Read", "*")]),
    literal(
        "Topic",
        "payments",
        &[
            ("User:billing", "Allow", "Read", "*"),
            ("User:checkout", "Allow", "Write", "192.0.2.7"),
            ("User:checkout", "Allow", "Create", "192.0.2.7"),
            ("User:reporting", "Deny", "All", "*"),
        ],
    ),
    literal("Topic", "__consumer_offsets", &[("User:*", "Deny", "Delete", "*"), ("User:*", "Deny", "Alter", "*")]),
    literal("Group", "billing", &[("User:billing", "Allow", "Read", "*"), ("User:billing", "Allow", "Delete", "*")]),
    literal(
        "Cluster",
        "kafka-cluster",
        &[
            ("User:provisioning", "Allow", "All", "*"),
            ("User:broker", "Allow", "ClusterAction", "*"),
            ("User:mirror", "Allow", "DescribeConfigs", "*"),
            ("User:mirror", "Allow", "AlterConfigs", "*"),
            ("User:checkout", "Allow", "IdempotentWrite", "*"),
        ],
    ),
    literal("TransactionalId", "checkout-1", &[("User:checkout", "Allow", "Write", "*")]),
    literal("DelegationToken", "token-of-nightly-jobs", &[("User:reporting", "Allow", "Describe", "*")]),
    literal(
        "User",
        "reporting",
        &[("User:provisioning", "Allow", "CreateTokens", "*"), ("User:provisioning", "Allow", "DescribeTokens", "*")],
    ),
    prefixed(
        "Topic",
        "payments",
        &[("User:billing", "Allow", "Read", "*"), ("User:billing", "Allow", "Describe", "*")],
    ),
    prefixed("Topic", "audit.", &[("User:*", "Deny", "Write", "*")]),
    prefixed("Group", "nightly-", &[("User:reporting", "Allow", "All", "*")]),
    prefixed("Cluster", "kafka", &[("User:mirror", "Allow", "Describe", "*")]),
    prefixed("TransactionalId", "mirror-", &[("User:mirror", "Allow", "All", "*")]),
    prefixed("DelegationToken", "token-", &[("User:provisioning", "Allow", "Describe", "*")]),
    prefixed("User", "rep", &[("User:provisioning", "Deny", "CreateTokens", "*")]),
];

const AWKWARD_RESOURCES: &[Resource] = &[
    Resource {
        why: Some("a group's name with spaces, quotes and other letters, unescaped in the path"),
        ..literal("Group", "Größe \"1\": 日本", &[("User:billing", "Allow", "Read", "*")])
    },
    Resource {
        why: Some("principals with colons, commas, a slash and quotes"),
        ..literal(
            "Topic",
            "ledger",
            &[
                ("User:CN=Größe 1,OU=\"a\",O=Example", "Allow", "Read", "2001:db8::7"),
                ("User:user/1@EXAMPLE.COM", "Allow", "Write", "*"),
                ("Group:a:b:c", "Deny", "All", "*"),
            ],
        )
    },
    Resource {
        why: Some("words that only match once in upper case, as Kafka matches them"),
        ..prefixed("Topic", "ledger", &[("User:mirror", "ALLOW", "read", "*"), ("User:mirror", "deny", "DELETE", "*")])
    },
];

/// The resources' znodes. The parents are made with the other parents.
pub(super) fn nodes(seed: u64, awkward: bool) -> impl Iterator<Item = SeedNode> {
    RESOURCES.iter().chain(if awkward { AWKWARD_RESOURCES } else { &[] }).enumerate().map(move |(index, resource)| {
        let mut random = Random::of(seed, "acl", index as u64);
        let root = if resource.prefixed { PREFIXED_ROOT } else { LITERAL_ROOT };
        let path = format!("{root}/{}/{}", resource.kind, resource.name);
        let mut entries: Vec<_> = resource.entries.iter().map(|entry| entry_json(*entry, &mut random)).collect();
        random.shuffle(&mut entries);
        let data = Object::default().number("version", 1).raw("acls", array(entries)).shuffled(&mut random);
        let count = resource.entries.len();
        // Each change of a resource is one more set-data.
        SeedNode::new(Family::Acls, path, data)
            .at_version(i32::try_from(count).map_or(0, |count| count - 1))
            .making(RecordCounts { access_control_entry_record: count as u64, ..Default::default() })
            .awkward(resource.why)
    })
}

fn entry_json((principal, permission, operation, host): Entry, random: &mut Random) -> String {
    Object::default()
        .raw("principal", quote(principal))
        .raw("permissionType", quote(permission))
        .raw("operation", quote(operation))
        .raw("host", quote(host))
        .shuffled(random)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_type_pattern_permission_and_operation_is_there() {
        let kinds: BTreeSet<_> = RESOURCES.iter().map(|r| (r.prefixed, r.kind)).collect();
        assert_eq!(kinds.len(), 2 * RESOURCE_TYPES.len());
        let operations: BTreeSet<_> = RESOURCES.iter().flat_map(|r| r.entries).map(|entry| entry.2).collect();
        assert_eq!(operations.len(), 13, "{operations:?}");
        let permissions: BTreeSet<_> = RESOURCES.iter().flat_map(|r| r.entries).map(|entry| entry.1).collect();
        assert_eq!(permissions, ["Allow", "Deny"].into());
    }

    #[test]
    fn no_entry_stands_twice_in_one_resource() {
        // It would make one record, not two.
        for resource in RESOURCES.iter().chain(AWKWARD_RESOURCES) {
            let distinct: BTreeSet<_> = resource.entries.iter().collect();
            assert_eq!(distinct.len(), resource.entries.len(), "{}", resource.name);
        }
    }
}
