//! Generated from `metadata-core/schema/metadata-records.txt` by `cargo xtask codegen`.
//! Change the table, not this file.

use std::fmt;

use super::field_value::{FieldValue, Fields, Redacted};
use super::message::{message, message_enum};
use super::wire::{FieldLister, Wire, get_field, not_in_version, put_field};
use crate::codec::{DecodeError, EncodeError, Reader};
use crate::codec::{TagWriter, UnknownTags, read_tags, read_unknown_tags};
use crate::id::{
    AclId, BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId,
    TimestampMs, TopicId,
};

message_enum! {
    /// A metadata record: what the value of a record of the log says.
    MetadataRecord,
    /// Kafka's number of the record, as in its frame.
    api_key: i16;

    /// A broker registered, for the first time or again. Replaces everything known of the broker.
    RegisterBroker(RegisterBrokerRecord) = 0, "REGISTER_BROKER_RECORD";
    /// A broker's registration is gone.
    UnregisterBroker(UnregisterBrokerRecord) = 1, "UNREGISTER_BROKER_RECORD";
    /// A topic was created, as yet without partitions.
    Topic(TopicRecord) = 2, "TOPIC_RECORD";
    /// The whole state of one partition: creates it, or replaces what was there.
    Partition(PartitionRecord) = 3, "PARTITION_RECORD";
    /// One config of one resource was set or, with a null value, deleted.
    Config(ConfigRecord) = 4, "CONFIG_RECORD";
    /// Changes to one partition. What is at its default stays as it is.
    PartitionChange(PartitionChangeRecord) = 5, "PARTITION_CHANGE_RECORD";
    /// A broker was fenced; written below metadata version 3.3-IV2 only.
    FenceBroker(FenceBrokerRecord) = 7, "FENCE_BROKER_RECORD";
    /// A broker was unfenced; written below metadata version 3.3-IV2 only.
    UnfenceBroker(UnfenceBrokerRecord) = 8, "UNFENCE_BROKER_RECORD";
    /// A topic was deleted, with its partitions and its configs.
    RemoveTopic(RemoveTopicRecord) = 9, "REMOVE_TOPIC_RECORD";
    /// A delegation token was issued, or its expiry moved.
    DelegationToken(DelegationTokenRecord) = 10, "DELEGATION_TOKEN_RECORD";
    /// A user's SCRAM credential was set.
    UserScramCredential(UserScramCredentialRecord) = 11, "USER_SCRAM_CREDENTIAL_RECORD";
    /// A feature was finalized at a level.
    FeatureLevel(FeatureLevelRecord) = 12, "FEATURE_LEVEL_RECORD";
    /// One quota of one entity was set or removed.
    ClientQuota(ClientQuotaRecord) = 14, "CLIENT_QUOTA_RECORD";
    /// A broker was given a block of producer ids.
    ProducerIds(ProducerIdsRecord) = 15, "PRODUCER_IDS_RECORD";
    /// Changes to a broker's registration. What is at its default stays as it is.
    BrokerRegistrationChange(BrokerRegistrationChangeRecord) = 17, "BROKER_REGISTRATION_CHANGE_RECORD";
    /// An access control entry was added.
    AccessControlEntry(AccessControlEntryRecord) = 18, "ACCESS_CONTROL_ENTRY_RECORD";
    /// An access control entry was removed.
    RemoveAccessControlEntry(RemoveAccessControlEntryRecord) = 19, "REMOVE_ACCESS_CONTROL_ENTRY_RECORD";
    /// Nothing, but at an offset of its own: lets the log grow while the cluster is idle.
    NoOp(NoOpRecord) = 20, "NO_OP_RECORD";
    /// The migration from ZooKeeper entered a state (KIP-866).
    ZkMigrationState(ZkMigrationStateRecord) = 21, "ZK_MIGRATION_STATE_RECORD";
    /// A user's SCRAM credential was removed.
    RemoveUserScramCredential(RemoveUserScramCredentialRecord) = 22, "REMOVE_USER_SCRAM_CREDENTIAL_RECORD";
    /// A metadata transaction begins (KIP-868): what follows counts only once it ends.
    BeginTransaction(BeginTransactionRecord) = 23, "BEGIN_TRANSACTION_RECORD";
    /// The metadata transaction ends: all of it counts from here on (KIP-868).
    EndTransaction(EndTransactionRecord) = 24, "END_TRANSACTION_RECORD";
    /// The metadata transaction is given up: nothing of it ever counts (KIP-868).
    AbortTransaction(AbortTransactionRecord) = 25, "ABORT_TRANSACTION_RECORD";
    /// A delegation token is gone.
    RemoveDelegationToken(RemoveDelegationTokenRecord) = 26, "REMOVE_DELEGATION_TOKEN_RECORD";
    /// A controller registered, which it does when it starts and when what it supports changes.
    RegisterController(RegisterControllerRecord) = 27, "REGISTER_CONTROLLER_RECORD";
    /// The eligible leader replicas of a topic's partitions, and those last known, are forgotten (KIP-966).
    ClearElr(ClearElrRecord) = 28, "CLEAR_ELR_RECORD";
    /// A controller's registration is gone.
    UnregisterController(UnregisterControllerRecord) = 29, "UNREGISTER_CONTROLLER_RECORD";
}

message_enum! {
    /// A control record: what Raft itself says in the log and in snapshots.
    ControlRecord,
    /// Kafka's number of the record, as in its key.
    record_type: i16;

    /// A leader was elected: the first record of its epoch. Kafka 3.9 reads and writes version 0 only.
    LeaderChange(LeaderChangeMessage) = 2, "LEADER_CHANGE";
    /// The first record of a snapshot.
    SnapshotHeader(SnapshotHeaderRecord) = 3, "SNAPSHOT_HEADER";
    /// The last record of a snapshot: without it the snapshot is cut off.
    SnapshotFooter(SnapshotFooterRecord) = 4, "SNAPSHOT_FOOTER";
    /// The level of the Raft protocol itself (KIP-853); not written at level 0.
    KRaftVersion(KRaftVersionRecord) = 5, "KRAFT_VERSION";
    /// The voters from here on (KIP-853); not written at kraft.version 0.
    Voters(VotersRecord) = 6, "KRAFT_VOTERS";
}

/// A broker registered, for the first time or again. Replaces everything known of the broker.
///
/// Api key 0, versions 0 to 4.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterBrokerRecord {
    /// The broker.
    pub broker_id: NodeId,
    /// It runs in ZooKeeper mode and waits to be migrated. Since version 2.
    pub is_migrating_zk_broker: bool,
    /// Differs for each start of the broker's process.
    pub incarnation_id: IncarnationId,
    /// The registration's own epoch: by Kafka's rule the offset at which this record was written.
    pub broker_epoch: BrokerEpoch,
    /// Where it listens, one entry a listener.
    pub end_points: Vec<BrokerEndpoint>,
    /// Which feature levels it can run with.
    pub features: Vec<BrokerFeature>,
    /// Where it stands, if it says so. Null means unknown. Default empty, not null.
    pub rack: Option<String>,
    /// It must not lead partitions yet. Default true.
    pub fenced: bool,
    /// It is about to stop and must not become a leader. Since version 1.
    pub in_controlled_shutdown: bool,
    /// The log directories that it has online. Empty means that it did not say. Since version 3, tag 0.
    pub log_dirs: Vec<DirectoryId>,
    /// The log directories that get no new replicas (KIP-1066). Null means that it did not say. Since version 4, tag 1,
    /// default null.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl Default for RegisterBrokerRecord {
    fn default() -> Self {
        Self {
            broker_id: NodeId::default(),
            is_migrating_zk_broker: false,
            incarnation_id: IncarnationId::default(),
            broker_epoch: BrokerEpoch::default(),
            end_points: Vec::new(),
            features: Vec::new(),
            rack: Some(String::new()),
            fenced: true,
            in_controlled_shutdown: false,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
            unknown_tags: UnknownTags::default(),
        }
    }
}

message!(RegisterBrokerRecord, 0..=4);

impl RegisterBrokerRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "brokerId", &self.broker_id)
            .add(2, "isMigratingZkBroker", &self.is_migrating_zk_broker)
            .add(0, "incarnationId", &self.incarnation_id)
            .add(0, "brokerEpoch", &self.broker_epoch)
            .add(0, "endPoints", &self.end_points)
            .add(0, "features", &self.features)
            .add(0, "rack", &self.rack)
            .add(0, "fenced", &self.fenced)
            .add(1, "inControlledShutdown", &self.in_controlled_shutdown)
            .add(3, "logDirs", &self.log_dirs)
            .add(4, "cordonedLogDirs", &self.cordoned_log_dirs)
            .finish()
    }
}

impl Wire for RegisterBrokerRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "brokerId", &self.broker_id)?;
        if version >= 2 {
            put_field(out, version, "isMigratingZkBroker", &self.is_migrating_zk_broker)?;
        } else if self.is_migrating_zk_broker {
            return Err(not_in_version(version, "isMigratingZkBroker"));
        }
        put_field(out, version, "incarnationId", &self.incarnation_id)?;
        put_field(out, version, "brokerEpoch", &self.broker_epoch)?;
        put_field(out, version, "endPoints", &self.end_points)?;
        put_field(out, version, "features", &self.features)?;
        put_field(out, version, "rack", &self.rack)?;
        put_field(out, version, "fenced", &self.fenced)?;
        if version >= 1 {
            put_field(out, version, "inControlledShutdown", &self.in_controlled_shutdown)?;
        } else if self.in_controlled_shutdown {
            return Err(not_in_version(version, "inControlledShutdown"));
        }
        let mut tags = TagWriter::default();
        if !self.log_dirs.is_empty() {
            if version < 3 {
                return Err(not_in_version(version, "logDirs"));
            }
            tags.add(0, |out| put_field(out, version, "logDirs", &self.log_dirs))?;
        }
        if self.cordoned_log_dirs.is_some() {
            if version < 4 {
                return Err(not_in_version(version, "cordonedLogDirs"));
            }
            tags.add(1, |out| put_field(out, version, "cordonedLogDirs", &self.cordoned_log_dirs))?;
        }
        tags.finish(&self.unknown_tags, 2, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let mut record = Self {
            broker_id: get_field(reader, version, "brokerId")?,
            is_migrating_zk_broker: if version >= 2 {
                get_field(reader, version, "isMigratingZkBroker")?
            } else {
                false
            },
            incarnation_id: get_field(reader, version, "incarnationId")?,
            broker_epoch: get_field(reader, version, "brokerEpoch")?,
            end_points: get_field(reader, version, "endPoints")?,
            features: get_field(reader, version, "features")?,
            rack: get_field(reader, version, "rack")?,
            fenced: get_field(reader, version, "fenced")?,
            in_controlled_shutdown: if version >= 1 {
                get_field(reader, version, "inControlledShutdown")?
            } else {
                false
            },
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
            unknown_tags: UnknownTags::default(),
        };
        record.unknown_tags = read_tags(reader, version, 2, |tag, reader| {
            match tag {
                0 if version >= 3 => record.log_dirs = get_field(reader, version, "logDirs")?,
                1 if version >= 4 => record.cordoned_log_dirs = get_field(reader, version, "cordonedLogDirs")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A listener of a broker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BrokerEndpoint {
    /// The listener's name, unique within the broker.
    pub name: String,
    /// The host name that clients are told.
    pub host: String,
    /// The port that clients are told.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl BrokerEndpoint {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "name", &self.name)
            .add(0, "host", &self.host)
            .add(0, "port", &self.port)
            .add(0, "securityProtocol", &self.security_protocol)
            .finish()
    }
}

impl Wire for BrokerEndpoint {
    const SIZE_MIN: usize = 7;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "host", &self.host)?;
        put_field(out, version, "port", &self.port)?;
        put_field(out, version, "securityProtocol", &self.security_protocol)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            host: get_field(reader, version, "host")?,
            port: get_field(reader, version, "port")?,
            security_protocol: get_field(reader, version, "securityProtocol")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The levels of one feature that a broker can run with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BrokerFeature {
    /// The feature, for instance metadata.version.
    pub name: String,
    /// The lowest level, inclusive.
    pub min_supported_version: i16,
    /// The highest level, inclusive.
    pub max_supported_version: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl BrokerFeature {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "name", &self.name)
            .add(0, "minSupportedVersion", &self.min_supported_version)
            .add(0, "maxSupportedVersion", &self.max_supported_version)
            .finish()
    }
}

impl Wire for BrokerFeature {
    const SIZE_MIN: usize = 6;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "minSupportedVersion", &self.min_supported_version)?;
        put_field(out, version, "maxSupportedVersion", &self.max_supported_version)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            min_supported_version: get_field(reader, version, "minSupportedVersion")?,
            max_supported_version: get_field(reader, version, "maxSupportedVersion")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A broker's registration is gone.
///
/// Api key 1, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnregisterBrokerRecord {
    /// The broker.
    pub broker_id: NodeId,
    /// The epoch of the registration that ends.
    pub broker_epoch: BrokerEpoch,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(UnregisterBrokerRecord, 0..=0);

impl UnregisterBrokerRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "brokerId", &self.broker_id).add(0, "brokerEpoch", &self.broker_epoch).finish()
    }
}

impl Wire for UnregisterBrokerRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "brokerId", &self.broker_id)?;
        put_field(out, version, "brokerEpoch", &self.broker_epoch)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            broker_id: get_field(reader, version, "brokerId")?,
            broker_epoch: get_field(reader, version, "brokerEpoch")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A topic was created, as yet without partitions.
///
/// Api key 2, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicRecord {
    /// The topic's name, unique among the topics that exist.
    pub name: String,
    /// The topic's id, never used again.
    pub topic_id: TopicId,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(TopicRecord, 0..=0);

impl TopicRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "name", &self.name).add(0, "topicId", &self.topic_id).finish()
    }
}

impl Wire for TopicRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "topicId", &self.topic_id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            topic_id: get_field(reader, version, "topicId")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The whole state of one partition: creates it, or replaces what was there.
///
/// Api key 3, versions 0 to 2.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionRecord {
    /// The partition within its topic. Default -1.
    pub partition_id: PartitionId,
    /// The topic, which must exist.
    pub topic_id: TopicId,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The replicas that are in sync.
    pub isr: Vec<NodeId>,
    /// Replicas that a running reassignment takes away.
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a running reassignment brings in.
    pub adding_replicas: Vec<NodeId>,
    /// The leader, or -1 when there is none. Default -1.
    pub leader: NodeId,
    /// 0 recovered, 1 while the leader recovers from an unclean election. Tag 0.
    pub leader_recovery_state: i8,
    /// Epoch of the leader. Default -1.
    pub leader_epoch: LeaderEpoch,
    /// How often the partition changed. Default -1.
    pub partition_epoch: PartitionEpoch,
    /// The log directory of each replica, in the order of the replicas. Empty means that all are migrating. Since
    /// version 1.
    pub directories: Vec<DirectoryId>,
    /// Replicas outside the ISR that may still lead without loss. Null reads as empty. Since version 2, tag 1, default
    /// null.
    pub eligible_leader_replicas: Option<Vec<NodeId>>,
    /// The last leaders known, for an election by hand. Null reads as empty. Since version 2, tag 2, default null.
    pub last_known_elr: Option<Vec<NodeId>>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl Default for PartitionRecord {
    fn default() -> Self {
        Self {
            partition_id: PartitionId(-1),
            topic_id: TopicId::default(),
            replicas: Vec::new(),
            isr: Vec::new(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader: NodeId(-1),
            leader_recovery_state: 0,
            leader_epoch: LeaderEpoch(-1),
            partition_epoch: PartitionEpoch(-1),
            directories: Vec::new(),
            eligible_leader_replicas: None,
            last_known_elr: None,
            unknown_tags: UnknownTags::default(),
        }
    }
}

message!(PartitionRecord, 0..=2);

impl PartitionRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "partitionId", &self.partition_id)
            .add(0, "topicId", &self.topic_id)
            .add(0, "replicas", &self.replicas)
            .add(0, "isr", &self.isr)
            .add(0, "removingReplicas", &self.removing_replicas)
            .add(0, "addingReplicas", &self.adding_replicas)
            .add(0, "leader", &self.leader)
            .add(0, "leaderRecoveryState", &self.leader_recovery_state)
            .add(0, "leaderEpoch", &self.leader_epoch)
            .add(0, "partitionEpoch", &self.partition_epoch)
            .add(1, "directories", &self.directories)
            .add(2, "eligibleLeaderReplicas", &self.eligible_leader_replicas)
            .add(2, "lastKnownElr", &self.last_known_elr)
            .finish()
    }
}

impl Wire for PartitionRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "partitionId", &self.partition_id)?;
        put_field(out, version, "topicId", &self.topic_id)?;
        put_field(out, version, "replicas", &self.replicas)?;
        put_field(out, version, "isr", &self.isr)?;
        put_field(out, version, "removingReplicas", &self.removing_replicas)?;
        put_field(out, version, "addingReplicas", &self.adding_replicas)?;
        put_field(out, version, "leader", &self.leader)?;
        put_field(out, version, "leaderEpoch", &self.leader_epoch)?;
        put_field(out, version, "partitionEpoch", &self.partition_epoch)?;
        if version >= 1 {
            put_field(out, version, "directories", &self.directories)?;
        } else if !self.directories.is_empty() {
            return Err(not_in_version(version, "directories"));
        }
        let mut tags = TagWriter::default();
        if self.leader_recovery_state != 0 {
            tags.add(0, |out| put_field(out, version, "leaderRecoveryState", &self.leader_recovery_state))?;
        }
        if self.eligible_leader_replicas.is_some() {
            if version < 2 {
                return Err(not_in_version(version, "eligibleLeaderReplicas"));
            }
            tags.add(1, |out| put_field(out, version, "eligibleLeaderReplicas", &self.eligible_leader_replicas))?;
        }
        if self.last_known_elr.is_some() {
            if version < 2 {
                return Err(not_in_version(version, "lastKnownElr"));
            }
            tags.add(2, |out| put_field(out, version, "lastKnownElr", &self.last_known_elr))?;
        }
        tags.finish(&self.unknown_tags, 3, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let mut record = Self {
            partition_id: get_field(reader, version, "partitionId")?,
            topic_id: get_field(reader, version, "topicId")?,
            replicas: get_field(reader, version, "replicas")?,
            isr: get_field(reader, version, "isr")?,
            removing_replicas: get_field(reader, version, "removingReplicas")?,
            adding_replicas: get_field(reader, version, "addingReplicas")?,
            leader: get_field(reader, version, "leader")?,
            leader_recovery_state: 0,
            leader_epoch: get_field(reader, version, "leaderEpoch")?,
            partition_epoch: get_field(reader, version, "partitionEpoch")?,
            directories: if version >= 1 { get_field(reader, version, "directories")? } else { Vec::new() },
            eligible_leader_replicas: None,
            last_known_elr: None,
            unknown_tags: UnknownTags::default(),
        };
        record.unknown_tags = read_tags(reader, version, 3, |tag, reader| {
            match tag {
                0 => record.leader_recovery_state = get_field(reader, version, "leaderRecoveryState")?,
                1 if version >= 2 => {
                    record.eligible_leader_replicas = get_field(reader, version, "eligibleLeaderReplicas")?
                }
                2 if version >= 2 => record.last_known_elr = get_field(reader, version, "lastKnownElr")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// One config of one resource was set or, with a null value, deleted.
///
/// Api key 4, version 0.
#[derive(Clone, PartialEq)]
pub struct ConfigRecord {
    /// 2 topic, 4 broker, 16 client metrics.
    pub resource_type: i8,
    /// The resource. Empty with type 4 means the default for all brokers.
    pub resource_name: String,
    /// The config's name.
    pub name: String,
    /// The value, or null to delete it. May be a password, so it is never shown. Default empty, not null.
    pub value: Option<String>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl Default for ConfigRecord {
    fn default() -> Self {
        Self {
            resource_type: 0,
            resource_name: String::new(),
            name: String::new(),
            value: Some(String::new()),
            unknown_tags: UnknownTags::default(),
        }
    }
}

impl fmt::Debug for ConfigRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigRecord")
            .field("resource_type", &self.resource_type)
            .field("resource_name", &self.resource_name)
            .field("name", &self.name)
            .field("value", &Redacted::option(&self.value))
            .field("unknown_tags", &self.unknown_tags)
            .finish()
    }
}

message!(ConfigRecord, 0..=0);

impl ConfigRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "resourceType", &self.resource_type)
            .add(0, "resourceName", &self.resource_name)
            .add(0, "name", &self.name)
            .add_secret(0, "value", &self.value)
            .finish()
    }
}

impl Wire for ConfigRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "resourceType", &self.resource_type)?;
        put_field(out, version, "resourceName", &self.resource_name)?;
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "value", &self.value)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            resource_type: get_field(reader, version, "resourceType")?,
            resource_name: get_field(reader, version, "resourceName")?,
            name: get_field(reader, version, "name")?,
            value: get_field(reader, version, "value")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// Changes to one partition. What is at its default stays as it is.
///
/// Api key 5, versions 0 to 2.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionChangeRecord {
    /// The partition within its topic. Default -1.
    pub partition_id: PartitionId,
    /// The topic.
    pub topic_id: TopicId,
    /// The new ISR, or null for no change. Tag 0, default null.
    pub isr: Option<Vec<NodeId>>,
    /// The new leader, -1 for none, -2 for no change. Unless -2, the leader epoch goes up by one. Tag 1, default -2.
    pub leader: NodeId,
    /// The new replicas, or null for no change. Tag 2, default null.
    pub replicas: Option<Vec<NodeId>>,
    /// Replicas being taken away, or null for no change. Tag 3, default null.
    pub removing_replicas: Option<Vec<NodeId>>,
    /// Replicas being brought in, or null for no change. Tag 4, default null.
    pub adding_replicas: Option<Vec<NodeId>>,
    /// 0 recovered, 1 recovering, -1 for no change. Tag 5, default -1.
    pub leader_recovery_state: i8,
    /// The log directory of each replica, or null for no change. Since version 1, tag 8, default null.
    pub directories: Option<Vec<DirectoryId>>,
    /// Replicas outside the ISR that may still lead, or null for no change. Since version 2, tag 6, default null.
    pub eligible_leader_replicas: Option<Vec<NodeId>>,
    /// The last leaders known, or null for no change. Since version 2, tag 7, default null.
    pub last_known_elr: Option<Vec<NodeId>>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl Default for PartitionChangeRecord {
    fn default() -> Self {
        Self {
            partition_id: PartitionId(-1),
            topic_id: TopicId::default(),
            isr: None,
            leader: NodeId(-2),
            replicas: None,
            removing_replicas: None,
            adding_replicas: None,
            leader_recovery_state: -1,
            directories: None,
            eligible_leader_replicas: None,
            last_known_elr: None,
            unknown_tags: UnknownTags::default(),
        }
    }
}

message!(PartitionChangeRecord, 0..=2);

impl PartitionChangeRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "partitionId", &self.partition_id)
            .add(0, "topicId", &self.topic_id)
            .add(0, "isr", &self.isr)
            .add(0, "leader", &self.leader)
            .add(0, "replicas", &self.replicas)
            .add(0, "removingReplicas", &self.removing_replicas)
            .add(0, "addingReplicas", &self.adding_replicas)
            .add(0, "leaderRecoveryState", &self.leader_recovery_state)
            .add(1, "directories", &self.directories)
            .add(2, "eligibleLeaderReplicas", &self.eligible_leader_replicas)
            .add(2, "lastKnownElr", &self.last_known_elr)
            .finish()
    }
}

impl Wire for PartitionChangeRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "partitionId", &self.partition_id)?;
        put_field(out, version, "topicId", &self.topic_id)?;
        let mut tags = TagWriter::default();
        if self.isr.is_some() {
            tags.add(0, |out| put_field(out, version, "isr", &self.isr))?;
        }
        if self.leader != NodeId(-2) {
            tags.add(1, |out| put_field(out, version, "leader", &self.leader))?;
        }
        if self.replicas.is_some() {
            tags.add(2, |out| put_field(out, version, "replicas", &self.replicas))?;
        }
        if self.removing_replicas.is_some() {
            tags.add(3, |out| put_field(out, version, "removingReplicas", &self.removing_replicas))?;
        }
        if self.adding_replicas.is_some() {
            tags.add(4, |out| put_field(out, version, "addingReplicas", &self.adding_replicas))?;
        }
        if self.leader_recovery_state != -1 {
            tags.add(5, |out| put_field(out, version, "leaderRecoveryState", &self.leader_recovery_state))?;
        }
        if self.eligible_leader_replicas.is_some() {
            if version < 2 {
                return Err(not_in_version(version, "eligibleLeaderReplicas"));
            }
            tags.add(6, |out| put_field(out, version, "eligibleLeaderReplicas", &self.eligible_leader_replicas))?;
        }
        if self.last_known_elr.is_some() {
            if version < 2 {
                return Err(not_in_version(version, "lastKnownElr"));
            }
            tags.add(7, |out| put_field(out, version, "lastKnownElr", &self.last_known_elr))?;
        }
        if self.directories.is_some() {
            if version < 1 {
                return Err(not_in_version(version, "directories"));
            }
            tags.add(8, |out| put_field(out, version, "directories", &self.directories))?;
        }
        tags.finish(&self.unknown_tags, 9, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let mut record = Self {
            partition_id: get_field(reader, version, "partitionId")?,
            topic_id: get_field(reader, version, "topicId")?,
            isr: None,
            leader: NodeId(-2),
            replicas: None,
            removing_replicas: None,
            adding_replicas: None,
            leader_recovery_state: -1,
            directories: None,
            eligible_leader_replicas: None,
            last_known_elr: None,
            unknown_tags: UnknownTags::default(),
        };
        record.unknown_tags = read_tags(reader, version, 9, |tag, reader| {
            match tag {
                0 => record.isr = get_field(reader, version, "isr")?,
                1 => record.leader = get_field(reader, version, "leader")?,
                2 => record.replicas = get_field(reader, version, "replicas")?,
                3 => record.removing_replicas = get_field(reader, version, "removingReplicas")?,
                4 => record.adding_replicas = get_field(reader, version, "addingReplicas")?,
                5 => record.leader_recovery_state = get_field(reader, version, "leaderRecoveryState")?,
                6 if version >= 2 => {
                    record.eligible_leader_replicas = get_field(reader, version, "eligibleLeaderReplicas")?
                }
                7 if version >= 2 => record.last_known_elr = get_field(reader, version, "lastKnownElr")?,
                8 if version >= 1 => record.directories = get_field(reader, version, "directories")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A broker was fenced; written below metadata version 3.3-IV2 only.
///
/// Api key 7, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FenceBrokerRecord {
    /// The broker.
    pub id: NodeId,
    /// The epoch of its registration.
    pub epoch: BrokerEpoch,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(FenceBrokerRecord, 0..=0);

impl FenceBrokerRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "id", &self.id).add(0, "epoch", &self.epoch).finish()
    }
}

impl Wire for FenceBrokerRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "id", &self.id)?;
        put_field(out, version, "epoch", &self.epoch)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            id: get_field(reader, version, "id")?,
            epoch: get_field(reader, version, "epoch")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A broker was unfenced; written below metadata version 3.3-IV2 only.
///
/// Api key 8, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnfenceBrokerRecord {
    /// The broker.
    pub id: NodeId,
    /// The epoch of its registration.
    pub epoch: BrokerEpoch,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(UnfenceBrokerRecord, 0..=0);

impl UnfenceBrokerRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "id", &self.id).add(0, "epoch", &self.epoch).finish()
    }
}

impl Wire for UnfenceBrokerRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "id", &self.id)?;
        put_field(out, version, "epoch", &self.epoch)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            id: get_field(reader, version, "id")?,
            epoch: get_field(reader, version, "epoch")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A topic was deleted, with its partitions and its configs.
///
/// Api key 9, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RemoveTopicRecord {
    /// The topic.
    pub topic_id: TopicId,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(RemoveTopicRecord, 0..=0);

impl RemoveTopicRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "topicId", &self.topic_id).finish()
    }
}

impl Wire for RemoveTopicRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "topicId", &self.topic_id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self { topic_id: get_field(reader, version, "topicId")?, unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A delegation token was issued, or its expiry moved.
///
/// Api key 10, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DelegationTokenRecord {
    /// The principal for whom the token speaks, as type:name.
    pub owner: String,
    /// The principal who asked for it, as type:name.
    pub requester: String,
    /// The principals who may renew it, each as type:name.
    pub renewers: Vec<String>,
    /// When it was issued.
    pub issue_timestamp: TimestampMs,
    /// After this time it can't be renewed any more.
    pub max_timestamp: TimestampMs,
    /// When it ends unless it is renewed.
    pub expiration_timestamp: TimestampMs,
    /// The token's id. The secret part is derived from it and the cluster's token key, and stored nowhere.
    pub token_id: String,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(DelegationTokenRecord, 0..=0);

impl DelegationTokenRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "owner", &self.owner)
            .add(0, "requester", &self.requester)
            .add(0, "renewers", &self.renewers)
            .add(0, "issueTimestamp", &self.issue_timestamp)
            .add(0, "maxTimestamp", &self.max_timestamp)
            .add(0, "expirationTimestamp", &self.expiration_timestamp)
            .add(0, "tokenId", &self.token_id)
            .finish()
    }
}

impl Wire for DelegationTokenRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "owner", &self.owner)?;
        put_field(out, version, "requester", &self.requester)?;
        put_field(out, version, "renewers", &self.renewers)?;
        put_field(out, version, "issueTimestamp", &self.issue_timestamp)?;
        put_field(out, version, "maxTimestamp", &self.max_timestamp)?;
        put_field(out, version, "expirationTimestamp", &self.expiration_timestamp)?;
        put_field(out, version, "tokenId", &self.token_id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            owner: get_field(reader, version, "owner")?,
            requester: get_field(reader, version, "requester")?,
            renewers: get_field(reader, version, "renewers")?,
            issue_timestamp: get_field(reader, version, "issueTimestamp")?,
            max_timestamp: get_field(reader, version, "maxTimestamp")?,
            expiration_timestamp: get_field(reader, version, "expirationTimestamp")?,
            token_id: get_field(reader, version, "tokenId")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A user's SCRAM credential was set.
///
/// Api key 11, version 0.
#[derive(Clone, PartialEq, Default)]
pub struct UserScramCredentialRecord {
    /// The user.
    pub name: String,
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
    /// The salt.
    pub salt: Vec<u8>,
    /// What the server checks a client's proof against (RFC 5802).
    pub stored_key: Vec<u8>,
    /// What the server proves itself with (RFC 5802).
    pub server_key: Vec<u8>,
    /// How many rounds the keys were derived with.
    pub iterations: i32,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl fmt::Debug for UserScramCredentialRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserScramCredentialRecord")
            .field("name", &self.name)
            .field("mechanism", &self.mechanism)
            .field("salt", &Redacted)
            .field("stored_key", &Redacted)
            .field("server_key", &Redacted)
            .field("iterations", &self.iterations)
            .field("unknown_tags", &self.unknown_tags)
            .finish()
    }
}

message!(UserScramCredentialRecord, 0..=0);

impl UserScramCredentialRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "name", &self.name)
            .add(0, "mechanism", &self.mechanism)
            .add_secret(0, "salt", &self.salt)
            .add_secret(0, "storedKey", &self.stored_key)
            .add_secret(0, "serverKey", &self.server_key)
            .add(0, "iterations", &self.iterations)
            .finish()
    }
}

impl Wire for UserScramCredentialRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "mechanism", &self.mechanism)?;
        put_field(out, version, "salt", &self.salt)?;
        put_field(out, version, "storedKey", &self.stored_key)?;
        put_field(out, version, "serverKey", &self.server_key)?;
        put_field(out, version, "iterations", &self.iterations)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            mechanism: get_field(reader, version, "mechanism")?,
            salt: get_field(reader, version, "salt")?,
            stored_key: get_field(reader, version, "storedKey")?,
            server_key: get_field(reader, version, "serverKey")?,
            iterations: get_field(reader, version, "iterations")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A feature was finalized at a level.
///
/// Api key 12, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureLevelRecord {
    /// The feature. For metadata.version the level says how the records that follow are written.
    pub name: String,
    /// The level. 0 removes any feature but metadata.version.
    pub feature_level: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(FeatureLevelRecord, 0..=0);

impl FeatureLevelRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "name", &self.name).add(0, "featureLevel", &self.feature_level).finish()
    }
}

impl Wire for FeatureLevelRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "featureLevel", &self.feature_level)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            feature_level: get_field(reader, version, "featureLevel")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// One quota of one entity was set or removed.
///
/// Api key 14, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientQuotaRecord {
    /// Who has the quota. The order does not matter.
    pub entity: Vec<QuotaEntityData>,
    /// Which quota, for instance producer_byte_rate.
    pub key: String,
    /// Its value, which has no meaning when it is removed.
    pub value: f64,
    /// The quota is removed, not set.
    pub remove: bool,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(ClientQuotaRecord, 0..=0);

impl ClientQuotaRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "entity", &self.entity)
            .add(0, "key", &self.key)
            .add(0, "value", &self.value)
            .add(0, "remove", &self.remove)
            .finish()
    }
}

impl Wire for ClientQuotaRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "entity", &self.entity)?;
        put_field(out, version, "key", &self.key)?;
        put_field(out, version, "value", &self.value)?;
        put_field(out, version, "remove", &self.remove)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            entity: get_field(reader, version, "entity")?,
            key: get_field(reader, version, "key")?,
            value: get_field(reader, version, "value")?,
            remove: get_field(reader, version, "remove")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A part of the name of a quota's entity.
#[derive(Debug, Clone, PartialEq)]
pub struct QuotaEntityData {
    /// user, client-id or ip.
    pub entity_type: String,
    /// The name, or null for the default of this type. Default empty, not null.
    pub entity_name: Option<String>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl Default for QuotaEntityData {
    fn default() -> Self {
        Self { entity_type: String::new(), entity_name: Some(String::new()), unknown_tags: UnknownTags::default() }
    }
}

impl QuotaEntityData {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "entityType", &self.entity_type)
            .add(0, "entityName", &self.entity_name)
            .finish()
    }
}

impl Wire for QuotaEntityData {
    const SIZE_MIN: usize = 3;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "entityType", &self.entity_type)?;
        put_field(out, version, "entityName", &self.entity_name)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            entity_type: get_field(reader, version, "entityType")?,
            entity_name: get_field(reader, version, "entityName")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A broker was given a block of producer ids.
///
/// Api key 15, version 0.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerIdsRecord {
    /// The broker that asked.
    pub broker_id: NodeId,
    /// The epoch of its registration. Default -1.
    pub broker_epoch: BrokerEpoch,
    /// The first id that no block contains: the end of the block, exclusive.
    pub next_producer_id: ProducerId,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl Default for ProducerIdsRecord {
    fn default() -> Self {
        Self {
            broker_id: NodeId::default(),
            broker_epoch: BrokerEpoch(-1),
            next_producer_id: ProducerId::default(),
            unknown_tags: UnknownTags::default(),
        }
    }
}

message!(ProducerIdsRecord, 0..=0);

impl ProducerIdsRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "brokerId", &self.broker_id)
            .add(0, "brokerEpoch", &self.broker_epoch)
            .add(0, "nextProducerId", &self.next_producer_id)
            .finish()
    }
}

impl Wire for ProducerIdsRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "brokerId", &self.broker_id)?;
        put_field(out, version, "brokerEpoch", &self.broker_epoch)?;
        put_field(out, version, "nextProducerId", &self.next_producer_id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            broker_id: get_field(reader, version, "brokerId")?,
            broker_epoch: get_field(reader, version, "brokerEpoch")?,
            next_producer_id: get_field(reader, version, "nextProducerId")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// Changes to a broker's registration. What is at its default stays as it is.
///
/// Api key 17, versions 0 to 3.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BrokerRegistrationChangeRecord {
    /// The broker.
    pub broker_id: NodeId,
    /// The epoch of its registration.
    pub broker_epoch: BrokerEpoch,
    /// 1 fenced, -1 unfenced, 0 for no change. Tag 0.
    pub fenced: i8,
    /// 1 when a controlled shutdown begins, 0 for no change. Since version 1, tag 1.
    pub in_controlled_shutdown: i8,
    /// The log directories online from now on. Empty means no change. Since version 2, tag 2.
    pub log_dirs: Vec<DirectoryId>,
    /// The log directories that get no new replicas from now on (KIP-1066). Null means no change. Since version 3, tag
    /// 3, default null.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(BrokerRegistrationChangeRecord, 0..=3);

impl BrokerRegistrationChangeRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "brokerId", &self.broker_id)
            .add(0, "brokerEpoch", &self.broker_epoch)
            .add(0, "fenced", &self.fenced)
            .add(1, "inControlledShutdown", &self.in_controlled_shutdown)
            .add(2, "logDirs", &self.log_dirs)
            .add(3, "cordonedLogDirs", &self.cordoned_log_dirs)
            .finish()
    }
}

impl Wire for BrokerRegistrationChangeRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "brokerId", &self.broker_id)?;
        put_field(out, version, "brokerEpoch", &self.broker_epoch)?;
        let mut tags = TagWriter::default();
        if self.fenced != 0 {
            tags.add(0, |out| put_field(out, version, "fenced", &self.fenced))?;
        }
        if self.in_controlled_shutdown != 0 {
            if version < 1 {
                return Err(not_in_version(version, "inControlledShutdown"));
            }
            tags.add(1, |out| put_field(out, version, "inControlledShutdown", &self.in_controlled_shutdown))?;
        }
        if !self.log_dirs.is_empty() {
            if version < 2 {
                return Err(not_in_version(version, "logDirs"));
            }
            tags.add(2, |out| put_field(out, version, "logDirs", &self.log_dirs))?;
        }
        if self.cordoned_log_dirs.is_some() {
            if version < 3 {
                return Err(not_in_version(version, "cordonedLogDirs"));
            }
            tags.add(3, |out| put_field(out, version, "cordonedLogDirs", &self.cordoned_log_dirs))?;
        }
        tags.finish(&self.unknown_tags, 4, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let mut record = Self {
            broker_id: get_field(reader, version, "brokerId")?,
            broker_epoch: get_field(reader, version, "brokerEpoch")?,
            fenced: 0,
            in_controlled_shutdown: 0,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
            unknown_tags: UnknownTags::default(),
        };
        record.unknown_tags = read_tags(reader, version, 4, |tag, reader| {
            match tag {
                0 => record.fenced = get_field(reader, version, "fenced")?,
                1 if version >= 1 => {
                    record.in_controlled_shutdown = get_field(reader, version, "inControlledShutdown")?
                }
                2 if version >= 2 => record.log_dirs = get_field(reader, version, "logDirs")?,
                3 if version >= 3 => record.cordoned_log_dirs = get_field(reader, version, "cordonedLogDirs")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// An access control entry was added.
///
/// Api key 18, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccessControlEntryRecord {
    /// The entry's own id.
    pub id: AclId,
    /// 2 topic, 3 group, 4 cluster, 5 transactional id, 6 delegation token, 7 user.
    pub resource_type: i8,
    /// The resource, or the prefix of its name.
    pub resource_name: String,
    /// 3 literal, 4 prefixed.
    pub pattern_type: i8,
    /// Whom the entry is about, as type:name.
    pub principal: String,
    /// From which host, * for all.
    pub host: String,
    /// Kafka's code of the operation: 2 all, 3 read, 4 write and so on up to 14.
    pub operation: i8,
    /// 2 deny, 3 allow.
    pub permission_type: i8,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(AccessControlEntryRecord, 0..=0);

impl AccessControlEntryRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "id", &self.id)
            .add(0, "resourceType", &self.resource_type)
            .add(0, "resourceName", &self.resource_name)
            .add(0, "patternType", &self.pattern_type)
            .add(0, "principal", &self.principal)
            .add(0, "host", &self.host)
            .add(0, "operation", &self.operation)
            .add(0, "permissionType", &self.permission_type)
            .finish()
    }
}

impl Wire for AccessControlEntryRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "id", &self.id)?;
        put_field(out, version, "resourceType", &self.resource_type)?;
        put_field(out, version, "resourceName", &self.resource_name)?;
        put_field(out, version, "patternType", &self.pattern_type)?;
        put_field(out, version, "principal", &self.principal)?;
        put_field(out, version, "host", &self.host)?;
        put_field(out, version, "operation", &self.operation)?;
        put_field(out, version, "permissionType", &self.permission_type)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            id: get_field(reader, version, "id")?,
            resource_type: get_field(reader, version, "resourceType")?,
            resource_name: get_field(reader, version, "resourceName")?,
            pattern_type: get_field(reader, version, "patternType")?,
            principal: get_field(reader, version, "principal")?,
            host: get_field(reader, version, "host")?,
            operation: get_field(reader, version, "operation")?,
            permission_type: get_field(reader, version, "permissionType")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// An access control entry was removed.
///
/// Api key 19, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RemoveAccessControlEntryRecord {
    /// The entry's id.
    pub id: AclId,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(RemoveAccessControlEntryRecord, 0..=0);

impl RemoveAccessControlEntryRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "id", &self.id).finish()
    }
}

impl Wire for RemoveAccessControlEntryRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "id", &self.id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self { id: get_field(reader, version, "id")?, unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// Nothing, but at an offset of its own: lets the log grow while the cluster is idle.
///
/// Api key 20, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NoOpRecord {
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(NoOpRecord, 0..=0);

impl NoOpRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).finish()
    }
}

impl Wire for NoOpRecord {
    fn put(&self, _version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, _version: i16) -> Result<Self, DecodeError> {
        Ok(Self { unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The migration from ZooKeeper entered a state (KIP-866).
///
/// Api key 21, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZkMigrationStateRecord {
    /// 0 none, 1 migration, 2 pre-migration, 3 post-migration. See `ZkMigrationState`.
    pub zk_migration_state: i8,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(ZkMigrationStateRecord, 0..=0);

impl ZkMigrationStateRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "zkMigrationState", &self.zk_migration_state).finish()
    }
}

impl Wire for ZkMigrationStateRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "zkMigrationState", &self.zk_migration_state)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            zk_migration_state: get_field(reader, version, "zkMigrationState")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A user's SCRAM credential was removed.
///
/// Api key 22, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RemoveUserScramCredentialRecord {
    /// The user.
    pub name: String,
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(RemoveUserScramCredentialRecord, 0..=0);

impl RemoveUserScramCredentialRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "name", &self.name).add(0, "mechanism", &self.mechanism).finish()
    }
}

impl Wire for RemoveUserScramCredentialRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "mechanism", &self.mechanism)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            mechanism: get_field(reader, version, "mechanism")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A metadata transaction begins (KIP-868): what follows counts only once it ends.
///
/// Api key 23, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BeginTransactionRecord {
    /// What the transaction is for; people read it, nothing else does. Tag 0, default null.
    pub name: Option<String>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(BeginTransactionRecord, 0..=0);

impl BeginTransactionRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "name", &self.name).finish()
    }
}

impl Wire for BeginTransactionRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut tags = TagWriter::default();
        if self.name.is_some() {
            tags.add(0, |out| put_field(out, version, "name", &self.name))?;
        }
        tags.finish(&self.unknown_tags, 1, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let mut record = Self { name: None, unknown_tags: UnknownTags::default() };
        record.unknown_tags = read_tags(reader, version, 1, |tag, reader| {
            match tag {
                0 => record.name = get_field(reader, version, "name")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The metadata transaction ends: all of it counts from here on (KIP-868).
///
/// Api key 24, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EndTransactionRecord {
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(EndTransactionRecord, 0..=0);

impl EndTransactionRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).finish()
    }
}

impl Wire for EndTransactionRecord {
    fn put(&self, _version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, _version: i16) -> Result<Self, DecodeError> {
        Ok(Self { unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The metadata transaction is given up: nothing of it ever counts (KIP-868).
///
/// Api key 25, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AbortTransactionRecord {
    /// Why; people read it, nothing else does. Tag 0, default null.
    pub reason: Option<String>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(AbortTransactionRecord, 0..=0);

impl AbortTransactionRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "reason", &self.reason).finish()
    }
}

impl Wire for AbortTransactionRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut tags = TagWriter::default();
        if self.reason.is_some() {
            tags.add(0, |out| put_field(out, version, "reason", &self.reason))?;
        }
        tags.finish(&self.unknown_tags, 1, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        let mut record = Self { reason: None, unknown_tags: UnknownTags::default() };
        record.unknown_tags = read_tags(reader, version, 1, |tag, reader| {
            match tag {
                0 => record.reason = get_field(reader, version, "reason")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A delegation token is gone.
///
/// Api key 26, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RemoveDelegationTokenRecord {
    /// The token's id.
    pub token_id: String,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(RemoveDelegationTokenRecord, 0..=0);

impl RemoveDelegationTokenRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "tokenId", &self.token_id).finish()
    }
}

impl Wire for RemoveDelegationTokenRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "tokenId", &self.token_id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self { token_id: get_field(reader, version, "tokenId")?, unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A controller registered, which it does when it starts and when what it supports changes.
///
/// Api key 27, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RegisterControllerRecord {
    /// The controller.
    pub controller_id: NodeId,
    /// Differs for each start of the controller's process.
    pub incarnation_id: IncarnationId,
    /// It is configured for a migration from ZooKeeper.
    pub zk_migration_ready: bool,
    /// Where it listens, one entry a listener.
    pub end_points: Vec<ControllerEndpoint>,
    /// Which feature levels it can run with.
    pub features: Vec<ControllerFeature>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(RegisterControllerRecord, 0..=0);

impl RegisterControllerRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "controllerId", &self.controller_id)
            .add(0, "incarnationId", &self.incarnation_id)
            .add(0, "zkMigrationReady", &self.zk_migration_ready)
            .add(0, "endPoints", &self.end_points)
            .add(0, "features", &self.features)
            .finish()
    }
}

impl Wire for RegisterControllerRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "controllerId", &self.controller_id)?;
        put_field(out, version, "incarnationId", &self.incarnation_id)?;
        put_field(out, version, "zkMigrationReady", &self.zk_migration_ready)?;
        put_field(out, version, "endPoints", &self.end_points)?;
        put_field(out, version, "features", &self.features)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            controller_id: get_field(reader, version, "controllerId")?,
            incarnation_id: get_field(reader, version, "incarnationId")?,
            zk_migration_ready: get_field(reader, version, "zkMigrationReady")?,
            end_points: get_field(reader, version, "endPoints")?,
            features: get_field(reader, version, "features")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A listener of a controller.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ControllerEndpoint {
    /// The listener's name, unique within the controller.
    pub name: String,
    /// The host name to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl ControllerEndpoint {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "name", &self.name)
            .add(0, "host", &self.host)
            .add(0, "port", &self.port)
            .add(0, "securityProtocol", &self.security_protocol)
            .finish()
    }
}

impl Wire for ControllerEndpoint {
    const SIZE_MIN: usize = 7;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "host", &self.host)?;
        put_field(out, version, "port", &self.port)?;
        put_field(out, version, "securityProtocol", &self.security_protocol)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            host: get_field(reader, version, "host")?,
            port: get_field(reader, version, "port")?,
            security_protocol: get_field(reader, version, "securityProtocol")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The levels of one feature that a controller can run with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ControllerFeature {
    /// The feature, for instance metadata.version.
    pub name: String,
    /// The lowest level, inclusive.
    pub min_supported_version: i16,
    /// The highest level, inclusive.
    pub max_supported_version: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl ControllerFeature {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "name", &self.name)
            .add(0, "minSupportedVersion", &self.min_supported_version)
            .add(0, "maxSupportedVersion", &self.max_supported_version)
            .finish()
    }
}

impl Wire for ControllerFeature {
    const SIZE_MIN: usize = 6;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "minSupportedVersion", &self.min_supported_version)?;
        put_field(out, version, "maxSupportedVersion", &self.max_supported_version)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            min_supported_version: get_field(reader, version, "minSupportedVersion")?,
            max_supported_version: get_field(reader, version, "maxSupportedVersion")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The eligible leader replicas of a topic's partitions, and those last known, are forgotten (KIP-966).
///
/// Api key 28, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClearElrRecord {
    /// The topic, or the empty text for all topics.
    pub topic_name: String,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(ClearElrRecord, 0..=0);

impl ClearElrRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "topicName", &self.topic_name).finish()
    }
}

impl Wire for ClearElrRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "topicName", &self.topic_name)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self { topic_name: get_field(reader, version, "topicName")?, unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A controller's registration is gone.
///
/// Api key 29, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnregisterControllerRecord {
    /// The controller.
    pub controller_id: NodeId,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(UnregisterControllerRecord, 0..=0);

impl UnregisterControllerRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "controllerId", &self.controller_id).finish()
    }
}

impl Wire for UnregisterControllerRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "controllerId", &self.controller_id)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            controller_id: get_field(reader, version, "controllerId")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A leader was elected: the first record of its epoch. Kafka 3.9 reads and writes version 0 only.
///
/// Type 2, versions 0 to 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LeaderChangeMessage {
    /// The version that the writer meant; 0.
    pub version: i16,
    /// The new leader.
    pub leader_id: NodeId,
    /// Everybody who may vote.
    pub voters: Vec<LeaderChangeVoter>,
    /// Those who voted for the leader.
    pub granting_voters: Vec<LeaderChangeVoter>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(LeaderChangeMessage, 0..=1);

impl LeaderChangeMessage {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "version", &self.version)
            .add(0, "leaderId", &self.leader_id)
            .add(0, "voters", &self.voters)
            .add(0, "grantingVoters", &self.granting_voters)
            .finish()
    }
}

impl Wire for LeaderChangeMessage {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "version", &self.version)?;
        put_field(out, version, "leaderId", &self.leader_id)?;
        put_field(out, version, "voters", &self.voters)?;
        put_field(out, version, "grantingVoters", &self.granting_voters)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            version: get_field(reader, version, "version")?,
            leader_id: get_field(reader, version, "leaderId")?,
            voters: get_field(reader, version, "voters")?,
            granting_voters: get_field(reader, version, "grantingVoters")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A voter, as a leader names it at its election.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LeaderChangeVoter {
    /// The voter.
    pub voter_id: NodeId,
    /// The directory that holds its log. Since version 1.
    pub voter_directory_id: DirectoryId,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl LeaderChangeVoter {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "voterId", &self.voter_id)
            .add(1, "voterDirectoryId", &self.voter_directory_id)
            .finish()
    }
}

impl Wire for LeaderChangeVoter {
    const SIZE_MIN: usize = 5;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "voterId", &self.voter_id)?;
        if version >= 1 {
            put_field(out, version, "voterDirectoryId", &self.voter_directory_id)?;
        } else if self.voter_directory_id != DirectoryId::default() {
            return Err(not_in_version(version, "voterDirectoryId"));
        }
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            voter_id: get_field(reader, version, "voterId")?,
            voter_directory_id: if version >= 1 {
                get_field(reader, version, "voterDirectoryId")?
            } else {
                DirectoryId::default()
            },
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The first record of a snapshot.
///
/// Type 3, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SnapshotHeaderRecord {
    /// The version that the writer meant; 0.
    pub version: i16,
    /// Time of the last record of the log that the snapshot stands for.
    pub last_contained_log_timestamp: TimestampMs,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(SnapshotHeaderRecord, 0..=0);

impl SnapshotHeaderRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "version", &self.version)
            .add(0, "lastContainedLogTimestamp", &self.last_contained_log_timestamp)
            .finish()
    }
}

impl Wire for SnapshotHeaderRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "version", &self.version)?;
        put_field(out, version, "lastContainedLogTimestamp", &self.last_contained_log_timestamp)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            version: get_field(reader, version, "version")?,
            last_contained_log_timestamp: get_field(reader, version, "lastContainedLogTimestamp")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The last record of a snapshot: without it the snapshot is cut off.
///
/// Type 4, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SnapshotFooterRecord {
    /// The version that the writer meant; 0.
    pub version: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(SnapshotFooterRecord, 0..=0);

impl SnapshotFooterRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "version", &self.version).finish()
    }
}

impl Wire for SnapshotFooterRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "version", &self.version)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self { version: get_field(reader, version, "version")?, unknown_tags: read_unknown_tags(reader)? })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The level of the Raft protocol itself (KIP-853); not written at level 0.
///
/// Type 5, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KRaftVersionRecord {
    /// The version that the writer meant; 0.
    pub version: i16,
    /// The level, kraft.version.
    pub kraft_version: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(KRaftVersionRecord, 0..=0);

impl KRaftVersionRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "version", &self.version).add(0, "kRaftVersion", &self.kraft_version).finish()
    }
}

impl Wire for KRaftVersionRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "version", &self.version)?;
        put_field(out, version, "kRaftVersion", &self.kraft_version)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            version: get_field(reader, version, "version")?,
            kraft_version: get_field(reader, version, "kRaftVersion")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The voters from here on (KIP-853); not written at kraft.version 0.
///
/// Type 6, version 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VotersRecord {
    /// The version that the writer meant; 0.
    pub version: i16,
    /// All voters.
    pub voters: Vec<QuorumVoter>,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

message!(VotersRecord, 0..=0);

impl VotersRecord {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version).add(0, "version", &self.version).add(0, "voters", &self.voters).finish()
    }
}

impl Wire for VotersRecord {
    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "version", &self.version)?;
        put_field(out, version, "voters", &self.voters)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            version: get_field(reader, version, "version")?,
            voters: get_field(reader, version, "voters")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A voter of the quorum and how to reach it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuorumVoter {
    /// The voter.
    pub voter_id: NodeId,
    /// The directory that holds its log.
    pub voter_directory_id: DirectoryId,
    /// Where it listens.
    pub endpoints: Vec<QuorumVoterEndpoint>,
    /// The levels of kraft.version that it can run with.
    pub kraft_version_feature: KRaftVersionRange,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl QuorumVoter {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "voterId", &self.voter_id)
            .add(0, "voterDirectoryId", &self.voter_directory_id)
            .add(0, "endpoints", &self.endpoints)
            .add(0, "kRaftVersionFeature", &self.kraft_version_feature)
            .finish()
    }
}

impl Wire for QuorumVoter {
    const SIZE_MIN: usize = 23;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "voterId", &self.voter_id)?;
        put_field(out, version, "voterDirectoryId", &self.voter_directory_id)?;
        put_field(out, version, "endpoints", &self.endpoints)?;
        put_field(out, version, "kRaftVersionFeature", &self.kraft_version_feature)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            voter_id: get_field(reader, version, "voterId")?,
            voter_directory_id: get_field(reader, version, "voterDirectoryId")?,
            endpoints: get_field(reader, version, "endpoints")?,
            kraft_version_feature: get_field(reader, version, "kRaftVersionFeature")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// A listener of a voter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuorumVoterEndpoint {
    /// The listener's name.
    pub name: String,
    /// The host name to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl QuorumVoterEndpoint {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "name", &self.name)
            .add(0, "host", &self.host)
            .add(0, "port", &self.port)
            .finish()
    }
}

impl Wire for QuorumVoterEndpoint {
    const SIZE_MIN: usize = 5;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "name", &self.name)?;
        put_field(out, version, "host", &self.host)?;
        put_field(out, version, "port", &self.port)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            name: get_field(reader, version, "name")?,
            host: get_field(reader, version, "host")?,
            port: get_field(reader, version, "port")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}

/// The levels of kraft.version that a voter can run with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KRaftVersionRange {
    /// The lowest level, inclusive.
    pub min_supported_version: i16,
    /// The highest level, inclusive.
    pub max_supported_version: i16,
    /// Tagged fields that this code does not know, kept as they are.
    pub unknown_tags: UnknownTags,
}

impl KRaftVersionRange {
    /// The fields that `version` has, absent ones at their default. Unknown tagged fields are not among them.
    pub fn fields(&self, version: i16) -> Fields {
        FieldLister::new(version)
            .add(0, "minSupportedVersion", &self.min_supported_version)
            .add(0, "maxSupportedVersion", &self.max_supported_version)
            .finish()
    }
}

impl Wire for KRaftVersionRange {
    const SIZE_MIN: usize = 5;

    fn put(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        put_field(out, version, "minSupportedVersion", &self.min_supported_version)?;
        put_field(out, version, "maxSupportedVersion", &self.max_supported_version)?;
        TagWriter::default().finish(&self.unknown_tags, 0, out)
    }

    fn get(reader: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {
        Ok(Self {
            min_supported_version: get_field(reader, version, "minSupportedVersion")?,
            max_supported_version: get_field(reader, version, "maxSupportedVersion")?,
            unknown_tags: read_unknown_tags(reader)?,
        })
    }

    fn value(&self, version: i16) -> FieldValue {
        FieldValue::Struct(self.fields(version))
    }
}
