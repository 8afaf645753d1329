//! One znode of the seed, and what a correct import makes of it.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// A persistent znode. Parents come before their children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedNode {
    /// Absolute path, without a chroot.
    pub path: String,
    /// Data; empty for a mere parent.
    pub data: Vec<u8>,
    /// Data version that the znode ends at: the number of set-datas after its creation. Of a partition's `state` it is the
    /// partition epoch.
    pub version: i32,
    /// What kind of metadata it is.
    pub family: Family,
    /// Records that a correct import makes of it.
    pub records: RecordCounts,
    /// Why it is unusual, if it is so on purpose.
    pub awkward: Option<&'static str>,
}

impl SeedNode {
    /// A parent without data.
    pub(super) fn parent(family: Family, path: impl Into<String>) -> Self {
        Self::new(family, path, Vec::new())
    }

    /// A znode that is created once and not touched again, and that no record comes of.
    pub(super) fn new(family: Family, path: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let records = RecordCounts::default();
        Self { path: path.into(), data: data.into(), version: 0, family, records, awkward: None }
    }

    pub(super) fn at_version(mut self, version: i32) -> Self {
        self.version = version;
        self
    }

    pub(super) fn making(mut self, records: RecordCounts) -> Self {
        self.records = records;
        self
    }

    pub(super) fn awkward(mut self, why: Option<&'static str>) -> Self {
        self.awkward = why;
        self
    }
}

/// Kinds of metadata, for the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Paths that Kafka makes at start-up.
    Parents,
    /// `/cluster/id`.
    ClusterId,
    /// `/controller_epoch`.
    ControllerEpoch,
    /// `/feature`.
    Features,
    /// `/latest_producer_id_block`.
    ProducerIds,
    /// `/brokers/topics/T` and its `partitions`.
    Topics,
    /// `/brokers/topics/T/partitions/P` and its `state`.
    Partitions,
    /// `/config/topics`.
    TopicConfigs,
    /// `/config/brokers`.
    BrokerConfigs,
    /// `/config/users`: quotas and SCRAM credentials.
    Users,
    /// `/config/clients`.
    Clients,
    /// `/config/ips`.
    Ips,
    /// Both roots of access control lists.
    Acls,
    /// `/delegation_token/tokens`.
    DelegationTokens,
    /// `/admin/delete_topics`.
    PendingDeletions,
    /// Change notifications that nobody has removed yet.
    Notifications,
    /// What consumers of old left below `/consumers`.
    Consumers,
}

/// Records of each type that a correct import makes. The names in JSON are Kafka's (`MetadataRecordType`), as those of the
/// importer's manifest are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are those of Kafka's record types")]
pub struct RecordCounts {
    pub topic_record: u64,
    pub partition_record: u64,
    pub config_record: u64,
    pub client_quota_record: u64,
    pub user_scram_credential_record: u64,
    pub access_control_entry_record: u64,
    pub delegation_token_record: u64,
    pub producer_ids_record: u64,
}

impl RecordCounts {
    pub(super) fn configs(count: usize) -> Self {
        Self { config_record: count as u64, ..Self::default() }
    }

    /// The counts that are not 0, by Kafka's name of the record type. The importer's manifest has the same keys.
    pub fn by_type(&self) -> BTreeMap<&'static str, u64> {
        let all = [
            ("TOPIC_RECORD", self.topic_record),
            ("PARTITION_RECORD", self.partition_record),
            ("CONFIG_RECORD", self.config_record),
            ("CLIENT_QUOTA_RECORD", self.client_quota_record),
            ("USER_SCRAM_CREDENTIAL_RECORD", self.user_scram_credential_record),
            ("ACCESS_CONTROL_ENTRY_RECORD", self.access_control_entry_record),
            ("DELEGATION_TOKEN_RECORD", self.delegation_token_record),
            ("PRODUCER_IDS_RECORD", self.producer_ids_record),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.by_type().values().sum()
    }
}

impl AddAssign for RecordCounts {
    fn add_assign(&mut self, other: Self) {
        self.topic_record += other.topic_record;
        self.partition_record += other.partition_record;
        self.config_record += other.config_record;
        self.client_quota_record += other.client_quota_record;
        self.user_scram_credential_record += other.user_scram_credential_record;
        self.access_control_entry_record += other.access_control_entry_record;
        self.delegation_token_record += other.delegation_token_record;
        self.producer_ids_record += other.producer_ids_record;
    }
}
