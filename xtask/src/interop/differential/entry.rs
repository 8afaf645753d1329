//! A record as it is compared: what it is, and what it says.

use metadata_core::record::{FieldValue, Fields, VersionedRecord};
use serde_json::{Value, json};

use crate::verb::dump_log;

/// A record of a log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The record, with the version that it was written in.
    pub(super) record: VersionedRecord,
    /// Bytes of its value in the log.
    pub(super) size: usize,
}

impl Entry {
    /// Kafka's name of its type.
    pub(super) fn name(&self) -> &'static str {
        self.record.record.name()
    }

    /// What it is about: two records of one log with the same identity replace each other, but for the entries of access
    /// control lists, which are told apart by what they say.
    pub(super) fn identity(&self) -> String {
        let fields = self.record.fields();
        let identity: Vec<_> = match identifying(self.name()) {
            Identity::Fields(names) => fields.into_iter().filter(|(name, _)| names.contains(name)).collect(),
            Identity::AllBut(but) => fields.into_iter().filter(|(name, _)| *name != but).collect(),
        };
        let identity: Vec<_> = identity.into_iter().map(|(name, value)| (name, without_order(value))).collect();
        // Secrets are hidden in it, and are no part of any identity.
        format!("{} {identity:?}", self.name())
    }

    /// For people, secrets redacted.
    pub(super) fn object(&self) -> Value {
        let fields = dump_log::fields(self.record.fields(), false);
        json!({"type": self.name(), "version": self.record.version, "data": fields})
    }
}

enum Identity {
    Fields(&'static [&'static str]),
    AllBut(&'static str),
}

/// A type that is not named here has one record in a log, or none.
fn identifying(name: &str) -> Identity {
    match name {
        "TOPIC_RECORD" | "FEATURE_LEVEL_RECORD" => Identity::Fields(&["name"]),
        "PARTITION_RECORD" => Identity::Fields(&["topicId", "partitionId"]),
        "CONFIG_RECORD" => Identity::Fields(&["resourceType", "resourceName", "name"]),
        "CLIENT_QUOTA_RECORD" => Identity::Fields(&["entity", "key"]),
        "USER_SCRAM_CREDENTIAL_RECORD" => Identity::Fields(&["name", "mechanism"]),
        "DELEGATION_TOKEN_RECORD" => Identity::Fields(&["tokenId"]),
        "ACCESS_CONTROL_ENTRY_RECORD" => Identity::AllBut("id"),
        _ => Identity::Fields(&[]),
    }
}

/// The parts of a quota's entity have no order.
fn without_order(value: FieldValue) -> FieldValue {
    match value {
        FieldValue::List(mut values) => {
            values.sort_by_key(|value| format!("{value:?}"));
            FieldValue::List(values)
        }
        other => other,
    }
}

/// Whether two values are the same, to the bit.
pub(super) fn same(one: &FieldValue, other: &FieldValue) -> bool {
    use FieldValue::{Double, List, Secret, Struct};
    match (one, other) {
        (Double(one), Double(other)) => one.to_bits() == other.to_bits(),
        (List(one), List(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b)),
        (Struct(one), Struct(other)) => same_fields(one, other),
        (Secret(one), Secret(other)) => same(one, other),
        (one, other) => one == other,
    }
}

pub(super) fn same_fields(one: &Fields, other: &Fields) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((a, x), (b, y))| a == b && same(x, y))
}

#[cfg(test)]
pub(super) mod tests {
    use metadata_core::id::{NodeId, PartitionId, TopicId};
    use metadata_core::record::{
        AccessControlEntryRecord, ClientQuotaRecord, ConfigRecord, MetadataRecord, PartitionRecord, QuotaEntityData,
        TopicRecord,
    };
    use metadata_core::uuid::Uuid;

    use super::*;

    pub(crate) fn entry(record: impl Into<MetadataRecord>) -> Entry {
        let record = VersionedRecord::new(record, 0);
        let mut bytes = Vec::new();
        record.encode(&mut bytes).unwrap();
        Entry { record, size: bytes.len() }
    }

    pub(crate) fn topic(name: &str, id: u64) -> TopicRecord {
        TopicRecord { name: name.into(), topic_id: TopicId(Uuid::from_u64_pair(0, id)), ..Default::default() }
    }

    pub(crate) fn partition(topic: u64, partition: i32) -> PartitionRecord {
        PartitionRecord {
            topic_id: TopicId(Uuid::from_u64_pair(0, topic)),
            partition_id: PartitionId(partition),
            replicas: vec![NodeId(1), NodeId(2)],
            isr: vec![NodeId(1)],
            leader: NodeId(1),
            ..Default::default()
        }
    }

    pub(crate) fn acl(principal: &str, id: u64) -> AccessControlEntryRecord {
        AccessControlEntryRecord {
            id: metadata_core::id::AclId(Uuid::from_u64_pair(9, id)),
            principal: principal.into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_a_record_says_is_no_part_of_what_it_is_about() {
        let mut moved = partition(1, 0);
        moved.leader = NodeId(2);
        assert_eq!(entry(partition(1, 0)).identity(), entry(moved).identity());
        assert_ne!(entry(partition(1, 0)).identity(), entry(partition(1, 1)).identity());
        assert_ne!(entry(partition(1, 0)).identity(), entry(partition(2, 0)).identity());
        assert_eq!(entry(topic("a", 1)).identity(), entry(topic("a", 2)).identity());
        assert_eq!(entry(acl("User:a", 1)).identity(), entry(acl("User:a", 2)).identity());
        assert_ne!(entry(acl("User:a", 1)).identity(), entry(acl("User:b", 1)).identity());
    }

    #[test]
    fn the_parts_of_an_entity_have_no_order() {
        let part = |kind: &str| QuotaEntityData { entity_type: kind.into(), ..Default::default() };
        let quota = |kinds: [&str; 2]| ClientQuotaRecord { entity: kinds.map(part).into(), ..Default::default() };
        assert_eq!(entry(quota(["user", "client-id"])).identity(), entry(quota(["client-id", "user"])).identity());
        assert_ne!(entry(quota(["user", "client-id"])).identity(), entry(quota(["user", "ip"])).identity());
    }

    #[test]
    fn no_secret_is_shown() {
        let config = ConfigRecord {
            name: "ssl.key.password".into(),
            resource_name: "1".into(),
            value: Some("hunter2".into()),
            ..Default::default()
        };
        let entry = entry(config);
        assert!(!entry.object().to_string().contains("hunter2"));
        assert!(!entry.identity().contains("hunter2"));
        assert!(!format!("{entry:?}").contains("hunter2"));
    }

    #[test]
    fn numbers_are_the_same_only_to_the_bit() {
        assert!(same(&FieldValue::Double(f64::NAN), &FieldValue::Double(f64::NAN)));
        assert!(!same(&FieldValue::Double(0.0), &FieldValue::Double(-0.0)));
        let list = |value| FieldValue::List(vec![FieldValue::Int(1), FieldValue::Int(value)]);
        assert!(same(&list(2), &list(2)) && !same(&list(2), &list(3)));
        let secret = |text: &str| FieldValue::Secret(Box::new(FieldValue::Text(text.to_owned())));
        assert!(same(&secret("a"), &secret("a")) && !same(&secret("a"), &secret("b")));
    }
}
