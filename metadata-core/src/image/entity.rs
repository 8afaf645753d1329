//! The smaller families: configs, quotas, credentials, access control entries, delegation tokens, features.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::id::{AclId, NodeId, TimestampMs};
use crate::metadata_version::MetadataVersion;
use crate::record::{AccessControlEntryRecord, DelegationTokenRecord, UserScramCredentialRecord, ZkMigrationState};

/// What a config belongs to (Kafka: `ConfigResource`). The codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConfigResourceType {
    /// A topic: code 2.
    Topic,
    /// A broker: code 4. The name `""` stands for all brokers.
    Broker,
    /// Client metrics (KIP-714): code 16. Does not exist in ZooKeeper.
    ClientMetrics,
    /// Consumer and share groups (KIP-848): code 32. Does not exist in ZooKeeper.
    Group,
    /// A code that this version of the library does not know. Kept, never interpreted.
    Unknown(i8),
}

impl ConfigResourceType {
    /// Kafka's code.
    pub fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::Unknown(code) => code,
        }
    }

    /// The type with this code.
    pub fn from_code(code: i8) -> Self {
        match code {
            2 => Self::Topic,
            4 => Self::Broker,
            16 => Self::ClientMetrics,
            32 => Self::Group,
            other => Self::Unknown(other),
        }
    }
}

/// One thing that has configs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its kind.
    pub resource_type: ConfigResourceType,
    /// Its name; `""` for the default of all brokers.
    pub name: Arc<str>,
}

impl ConfigResource {
    /// A topic's configs.
    pub fn topic(name: impl Into<Arc<str>>) -> Self {
        Self { resource_type: ConfigResourceType::Topic, name: name.into() }
    }

    /// A broker's configs; `None` for the default of all brokers.
    pub fn broker(id: Option<NodeId>) -> Self {
        let name = id.map(|id| id.to_string()).unwrap_or_default();
        Self { resource_type: ConfigResourceType::Broker, name: name.into() }
    }
}

/// The configs of one resource. Values may be passwords, so `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConfigEntries(pub BTreeMap<String, String>);

impl fmt::Debug for ConfigEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Who a quota is for: entity type (`user`, `client-id`, `ip`) to name, `None` standing for the default of that type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct QuotaEntity(pub BTreeMap<Arc<str>, Option<Arc<str>>>);

impl QuotaEntity {
    /// An entity of these parts.
    pub fn of<'a>(parts: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        Self(parts.into_iter().map(|(kind, name)| (kind.into(), name.map(Into::into))).collect())
    }
}

/// The value of a quota. Two values are equal when their bits are, so that a NaN equals itself.
#[derive(Debug, Clone, Copy)]
pub struct QuotaValue(pub f64);

impl PartialEq for QuotaValue {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for QuotaValue {}

/// The quotas of one entity, by key.
pub type QuotaEntries = BTreeMap<Arc<str>, QuotaValue>;

/// A user's credential of one mechanism.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScramKey {
    /// The user.
    pub user: Arc<str>,
    /// Kafka's code: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
}

/// The derived keys of a SCRAM credential; there is no password in them, but they are secrets all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// Salt.
    pub salt: Vec<u8>,
    /// Stored key.
    pub stored_key: Vec<u8>,
    /// Server key.
    pub server_key: Vec<u8>,
    /// Iterations of the hash.
    pub iterations: i32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramCredential {{ iterations: {}, keys: [redacted] }}", self.iterations)
    }
}

impl ScramCredential {
    pub(super) fn from_record(record: &UserScramCredentialRecord) -> (ScramKey, Self) {
        (
            ScramKey { user: record.name.as_str().into(), mechanism: record.mechanism },
            Self {
                salt: record.salt.clone(),
                stored_key: record.stored_key.clone(),
                server_key: record.server_key.clone(),
                iterations: record.iterations,
            },
        )
    }

    /// The record that recreates this credential.
    pub fn to_record(&self, key: &ScramKey) -> UserScramCredentialRecord {
        UserScramCredentialRecord {
            name: key.user.to_string(),
            mechanism: key.mechanism,
            salt: self.salt.clone(),
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
            iterations: self.iterations,
            ..UserScramCredentialRecord::default()
        }
    }
}

/// What an access control entry is about (Kafka: `ResourcePattern`). The codes are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourcePattern {
    /// 2 TOPIC, 3 GROUP, 4 CLUSTER, 5 TRANSACTIONAL_ID, 6 DELEGATION_TOKEN, 7 USER.
    pub resource_type: i8,
    /// Name or prefix.
    pub name: Arc<str>,
    /// 3 LITERAL, 4 PREFIXED.
    pub pattern_type: i8,
}

/// One access control entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccessControlEntry {
    /// What it is about.
    pub pattern: ResourcePattern,
    /// Who: `User:alice`.
    pub principal: Arc<str>,
    /// From where; `*` for anywhere.
    pub host: Arc<str>,
    /// Kafka's code of the operation, 2 ALL to 14 DESCRIBE_TOKENS.
    pub operation: i8,
    /// 2 DENY, 3 ALLOW.
    pub permission_type: i8,
}

impl From<&AccessControlEntryRecord> for AccessControlEntry {
    fn from(record: &AccessControlEntryRecord) -> Self {
        Self {
            pattern: ResourcePattern {
                resource_type: record.resource_type,
                name: record.resource_name.as_str().into(),
                pattern_type: record.pattern_type,
            },
            principal: record.principal.as_str().into(),
            host: record.host.as_str().into(),
            operation: record.operation,
            permission_type: record.permission_type,
        }
    }
}

impl AccessControlEntry {
    /// The record that recreates this entry.
    pub fn to_record(&self, id: AclId) -> AccessControlEntryRecord {
        AccessControlEntryRecord {
            id,
            resource_type: self.pattern.resource_type,
            resource_name: self.pattern.name.to_string(),
            pattern_type: self.pattern.pattern_type,
            principal: self.principal.to_string(),
            host: self.host.to_string(),
            operation: self.operation,
            permission_type: self.permission_type,
            ..AccessControlEntryRecord::default()
        }
    }
}

/// All access control entries, by id and by what they are about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AclsImage {
    entries: OrdMap<AclId, Arc<AccessControlEntry>>,
    by_pattern: OrdMap<ResourcePattern, OrdSet<AclId>>,
}

impl AclsImage {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One entry.
    pub fn get(&self, id: AclId) -> Option<&Arc<AccessControlEntry>> {
        self.entries.get(&id)
    }

    /// All entries, by id.
    pub fn iter(&self) -> impl Iterator<Item = (AclId, &Arc<AccessControlEntry>)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// The patterns that have entries, in order.
    pub fn patterns(&self) -> impl Iterator<Item = &ResourcePattern> {
        self.by_pattern.keys()
    }

    /// The entries about one pattern, in the order of their ids.
    pub fn about(&self, pattern: &ResourcePattern) -> impl Iterator<Item = (AclId, &Arc<AccessControlEntry>)> {
        self.by_pattern
            .get(pattern)
            .into_iter()
            .flat_map(|ids| ids.iter())
            .filter_map(|id| self.entries.get(id).map(|entry| (*id, entry)))
    }

    /// The pattern map, for a cheap difference between two images: they share what is equal. (Ids are permanent, so
    /// a pattern whose ids are equal has equal entries.)
    pub fn pattern_map(&self) -> &OrdMap<ResourcePattern, OrdSet<AclId>> {
        &self.by_pattern
    }

    /// The entry map, for a cheap difference between two images.
    pub fn entry_map(&self) -> &OrdMap<AclId, Arc<AccessControlEntry>> {
        &self.entries
    }

    pub(super) fn insert(&mut self, id: AclId, entry: AccessControlEntry) {
        self.remove(id);
        let mut ids = self.by_pattern.get(&entry.pattern).cloned().unwrap_or_default();
        ids.insert(id);
        self.by_pattern.insert(entry.pattern.clone(), ids);
        self.entries.insert(id, Arc::new(entry));
    }

    pub(super) fn remove(&mut self, id: AclId) -> Option<Arc<AccessControlEntry>> {
        let entry = self.entries.remove(&id)?;
        let mut ids = self.by_pattern.get(&entry.pattern).cloned().unwrap_or_default();
        ids.remove(&id);
        if ids.is_empty() {
            self.by_pattern.remove(&entry.pattern);
        } else {
            self.by_pattern.insert(entry.pattern.clone(), ids);
        }
        Some(entry)
    }
}

/// A delegation token (KIP-48). Its HMAC is stored nowhere: servers derive it from the id and their secret key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationToken {
    /// `User:alice`.
    pub owner: Arc<str>,
    /// Who asked for it.
    pub requester: Arc<str>,
    /// Who may renew it.
    pub renewers: Vec<Arc<str>>,
    /// When it was made.
    pub issue_timestamp: TimestampMs,
    /// When it can't be renewed any more.
    pub max_timestamp: TimestampMs,
    /// When it expires unless renewed.
    pub expiration_timestamp: TimestampMs,
}

impl DelegationToken {
    pub(super) fn from_record(record: &DelegationTokenRecord) -> Self {
        Self {
            owner: record.owner.as_str().into(),
            requester: record.requester.as_str().into(),
            renewers: record.renewers.iter().map(|renewer| renewer.as_str().into()).collect(),
            issue_timestamp: record.issue_timestamp,
            max_timestamp: record.max_timestamp,
            expiration_timestamp: record.expiration_timestamp,
        }
    }

    /// The record that recreates this token.
    pub fn to_record(&self, token_id: &str) -> DelegationTokenRecord {
        DelegationTokenRecord {
            owner: self.owner.to_string(),
            requester: self.requester.to_string(),
            renewers: self.renewers.iter().map(|renewer| renewer.to_string()).collect(),
            issue_timestamp: self.issue_timestamp,
            max_timestamp: self.max_timestamp,
            expiration_timestamp: self.expiration_timestamp,
            token_id: token_id.to_owned(),
            ..DelegationTokenRecord::default()
        }
    }
}

/// Feature levels, and how far the cluster's migration is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeaturesImage {
    pub(super) metadata_version: Option<MetadataVersion>,
    pub(super) finalized: OrdMap<Arc<str>, i16>,
    pub(super) zk_migration_state: ZkMigrationState,
}

impl FeaturesImage {
    /// The metadata version, `None` before the first record that sets it.
    pub fn metadata_version(&self) -> Option<MetadataVersion> {
        self.metadata_version
    }

    /// Finalized features by name, without the metadata version.
    pub fn finalized(&self) -> &OrdMap<Arc<str>, i16> {
        &self.finalized
    }

    /// The migration state in the log; `NONE` when no record set it.
    pub fn zk_migration_state(&self) -> ZkMigrationState {
        self.zk_migration_state
    }
}
