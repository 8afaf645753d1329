//! Access control entries (Kafka: `AclControlManager`, `AclBinding`).

use std::fmt;
use std::sync::Arc;

use clap::ValueEnum;
use metadata_core::id::AclId;
use metadata_core::image::{AccessControlEntry, MetadataImage, ResourcePattern};
use metadata_core::record::RemoveAccessControlEntryRecord;
use metadata_core::uuid::Uuid;
use serde::{Deserialize, Serialize};

use super::{Draft, Refusal, count, refuse};

/// The only name that the resource `cluster` has.
const CLUSTER_NAME: &str = "kafka-cluster";

/// What an entry is about. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are Kafka's own words")]
pub enum ResourceType {
    Topic = 2,
    Group = 3,
    Cluster = 4,
    TransactionalId = 5,
    DelegationToken = 6,
    User = 7,
}

/// How an entry's resource name is matched. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PatternType {
    /// The very name, or `*` for all.
    Literal = 3,
    /// Every name that starts so.
    Prefixed = 4,
}

/// What is allowed or denied. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are Kafka's own words")]
pub enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    ClusterAction = 9,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
    CreateTokens = 13,
    DescribeTokens = 14,
}

/// Whether it is allowed. The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are Kafka's own words")]
pub enum Permission {
    Deny = 2,
    Allow = 3,
}

/// An access control entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Acl {
    /// What it is about.
    pub resource_type: ResourceType,
    /// The resource's name, or what names begin with.
    pub resource_name: String,
    /// How the name is matched.
    pub pattern_type: PatternType,
    /// Whom it is about: `User:alice`.
    pub principal: String,
    /// From which host; `*` for all.
    pub host: String,
    /// What is allowed or denied.
    pub operation: Operation,
    /// Which of both.
    pub permission: Permission,
}

impl Acl {
    fn check(&self) -> Result<(), Refusal> {
        if self.resource_name.is_empty() {
            return refuse("the resource has no name", "name it, or * for all of its type");
        }
        if self.resource_type == ResourceType::Cluster
            && (self.resource_name != CLUSTER_NAME || self.pattern_type != PatternType::Literal)
        {
            return refuse(
                format!("there is no cluster resource {:?}", self.resource_name),
                format!("use cluster:{CLUSTER_NAME}, literally"),
            );
        }
        if self.principal.split_once(':').is_none_or(|(kind, name)| kind.is_empty() || name.is_empty()) {
            return refuse(format!("{:?} is no principal", self.principal), "write it as User:alice");
        }
        if self.host.is_empty() {
            return refuse("the host is empty", "name one, or * for all");
        }
        Ok(())
    }

    fn in_image(&self) -> AccessControlEntry {
        AccessControlEntry {
            pattern: ResourcePattern {
                resource_type: self.resource_type as i8,
                name: self.resource_name.as_str().into(),
                pattern_type: self.pattern_type as i8,
            },
            principal: self.principal.as_str().into(),
            host: self.host.as_str().into(),
            operation: self.operation as i8,
            permission_type: self.permission as i8,
        }
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource_name, principal, host, .. } = self;
        let prefixed = if self.pattern_type == PatternType::Prefixed { "*" } else { "" };
        write!(
            f,
            "{:?} {:?} to {principal} from {host} on {:?} {resource_name}{prefixed}",
            self.permission, self.operation, self.resource_type
        )
    }
}

fn equal_entries(image: &MetadataImage, wanted: &AccessControlEntry) -> Vec<AclId> {
    let equal = |(_, entry): &(AclId, &Arc<AccessControlEntry>)| ***entry == *wanted;
    image.acls().about(&wanted.pattern).filter(equal).map(|(id, _)| id).collect()
}

pub(super) fn add(image: &MetadataImage, acl: &Acl, fresh_id: Uuid) -> Draft {
    acl.check()?;
    let entry = acl.in_image();
    if !equal_entries(image, &entry).is_empty() {
        return refuse(format!("the entry {acl} is there already"), "nothing is to be done");
    }
    Ok((vec![entry.to_record(AclId(fresh_id)).into()], format!("entry added: {acl}")))
}

pub(super) fn remove(image: &MetadataImage, acl: &Acl) -> Draft {
    acl.check()?;
    let found = equal_entries(image, &acl.in_image());
    if found.is_empty() {
        return refuse(format!("there is no entry {acl}"), "every part must equal the entry's; check them");
    }
    let record =
        |id: &AclId| RemoveAccessControlEntryRecord { id: *id, ..RemoveAccessControlEntryRecord::default() }.into();
    let summary = format!(
        "{} removed: {acl}",
        if found.len() == 1 { "entry".to_owned() } else { count(found.len(), "equal entry") }
    );
    Ok((found.iter().map(record).collect(), summary))
}
