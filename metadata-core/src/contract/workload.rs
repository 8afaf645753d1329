//! Believable changes, the same for the same seed.

use std::collections::BTreeMap;

use crate::id::{
    AclId, BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionId, ProducerId, TimestampMs,
    TopicId,
};
use crate::image::{ConfigResource, ConfigResourceType, MetadataDelta, MetadataImage};
use crate::metadata_version::MetadataVersion;
use crate::record::{
    AccessControlEntryRecord, BrokerEndpoint, BrokerRegistrationChangeRecord, ClientQuotaRecord, ConfigRecord,
    DelegationTokenRecord, FeatureLevelRecord, MetadataRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, QuotaEntityData, RegisterBrokerRecord, RegisterControllerRecord, RemoveAccessControlEntryRecord,
    RemoveDelegationTokenRecord, RemoveTopicRecord, RemoveUserScramCredentialRecord, TopicRecord,
    UnregisterBrokerRecord, UserScramCredentialRecord, VersionedRecord, record_version,
};
use crate::uuid::Uuid;

/// Names that have hurt someone: everything that is sanitised, Kafka's own, and long ones.
const USERS: [&str; 6] = ["alice", "CN=bob,OU=ops", "user/1@prod", "müller%20*~", "<default>", "a b"];
const CLIENTS: [&str; 3] = ["client-1", "client/1@domain", "*"];
const TOPIC_CONFIGS: [(&str, &str); 3] =
    [("retention.ms", "86400000"), ("cleanup.policy", "compact"), ("max.message.bytes", "1048588")];

/// A stream of changes that any Kafka controller could make and, unless told otherwise, ZooKeeper can hold.
/// Deterministic: the changes follow from the seed and the images alone.
#[derive(Debug, Clone)]
pub struct Workload {
    seed: u64,
    random: u64,
    made: u64,
    kraft: bool,
}

impl Workload {
    /// The workload of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, random: seed ^ 0x9e37_79b9_7f4a_7c15, made: 0, kraft: false }
    }

    /// The workload of this seed with what only KRaft holds among it: registrations, finalized features, log directories,
    /// eligible leader replicas. It takes a metadata version of [`MetadataVersion::V4_0_IV1`] or later.
    pub fn of_kraft(seed: u64) -> Self {
        Self { kraft: true, ..Self::new(seed) }
    }

    /// The same for a log that ends at `end` (exclusive): whoever runs a seed again on what it made before gets other ids.
    pub fn at(mut self, end: Offset) -> Self {
        self.random ^= Self::new(end.0.unsigned_abs()).random();
        self
    }

    /// Splitmix64: small, and good enough to choose changes.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (exclusive, at least 1).
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.random() % bound).unwrap_or(0)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(from.len())).copied()
    }

    fn uuid(&mut self) -> Uuid {
        // The high half is never 0: those ids are reserved.
        Uuid::from_u64_pair(self.random() | 1 << 62, self.random())
    }

    /// Brokers 1 to 6, three of them in an order that rotates.
    fn replicas(&mut self) -> Vec<NodeId> {
        let first = i32::try_from(self.below(6)).unwrap_or(0);
        (0..3).map(|n| NodeId((first + n) % 6 + 1)).collect()
    }

    /// The next change on `image`: one to a dozen records that belong together.
    pub fn next_change(&mut self, image: &MetadataImage) -> Vec<VersionedRecord> {
        self.made += 1;
        if self.kraft && self.below(3) == 0 {
            let records = self.change_of_kraft(image);
            return records.into_iter().map(|record| at_version(record, MetadataVersion::V4_0_IV1)).collect();
        }
        let kind = self.below(20);
        let records = match kind {
            0..=3 => self.create_topic(image),
            4..=8 => self.change_partition(image),
            9 => self.delete_topic(image),
            10 => self.grow_topic(image),
            11 | 12 => self.change_config(image),
            13 | 14 => self.change_quota(),
            15 => self.change_scram(image),
            16 | 17 => self.change_acl(image),
            18 => self.change_token(image),
            _ => vec![self.advance_producer_ids(image)],
        };
        let records = if records.is_empty() { self.create_topic(image) } else { records };
        records.into_iter().map(at_latest_version).collect()
    }

    /// `count` changes, each on the image that the ones before it made.
    pub fn changes(&mut self, image: &MetadataImage, count: usize) -> Vec<Vec<VersionedRecord>> {
        let mut delta = MetadataDelta::new(image);
        let mut changes = Vec::with_capacity(count);
        while changes.len() < count {
            let change = self.next_change(delta.image());
            // The generator looks only at the image, so a change that can't be replayed would be a bug of its own.
            if delta.replay_all(&change).is_ok() {
                changes.push(change);
            }
        }
        changes
    }

    /// A name that no other change of any workload makes.
    fn topic_name(&mut self) -> String {
        let kind = self.below(8);
        let prefix = match kind {
            0 => "__internal",
            1 => &"long".repeat(50),
            2 => "dots.and_underscores",
            _ => "topic",
        };
        format!("{prefix}-{:x}-{}", self.seed, self.made)
    }

    fn partition(&mut self, topic_id: TopicId, partition: i32) -> MetadataRecord {
        let replicas = self.replicas();
        PartitionRecord {
            partition_id: PartitionId(partition),
            topic_id,
            isr: replicas.clone(),
            leader: replicas.first().copied().unwrap_or(NodeId::NONE),
            replicas,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            ..PartitionRecord::default()
        }
        .into()
    }

    fn create_topic(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let mut name = self.topic_name();
        while image.topics().id(&name).is_some() {
            // The same seed ran on this image before.
            self.made += 1;
            name = self.topic_name();
        }
        let topic_id = TopicId(self.uuid());
        let mut records =
            vec![MetadataRecord::from(TopicRecord { name: name.clone(), topic_id, ..TopicRecord::default() })];
        if self.below(3) == 0 {
            records.push(config(ConfigResource::topic(name), "retention.ms", Some("60000")));
        }
        for partition in 0..=i32::try_from(self.below(6)).unwrap_or(0) {
            records.push(self.partition(topic_id, partition));
        }
        records
    }

    fn random_topic(&mut self, image: &MetadataImage) -> Option<TopicId> {
        let at = self.below(image.topics().len());
        image.topics().iter().nth(at).map(|(id, _)| id)
    }

    fn grow_topic(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let Some(topic_id) = self.random_topic(image) else { return Vec::new() };
        let next = image.topics().partitions(topic_id).map(|(id, _)| id.0 + 1).max().unwrap_or(0);
        vec![self.partition(topic_id, next)]
    }

    fn delete_topic(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let topic = self.random_topic(image);
        topic
            .map(|topic_id| RemoveTopicRecord { topic_id, ..RemoveTopicRecord::default() }.into())
            .into_iter()
            .collect()
    }

    fn change_partition(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let Some(topic_id) = self.random_topic(image) else { return Vec::new() };
        let partitions: Vec<_> = image.topics().partitions(topic_id).collect();
        let Some((partition_id, present)) = partitions.get(self.below(partitions.len())) else { return Vec::new() };
        let mut change =
            PartitionChangeRecord { topic_id, partition_id: *partition_id, ..PartitionChangeRecord::default() };
        match self.below(4) {
            0 => {
                change.isr =
                    Some(present.replicas.iter().take(1 + self.below(present.replicas.len())).copied().collect())
            }
            1 => change.leader = present.isr.get(self.below(present.isr.len())).copied().unwrap_or(NodeId::NONE),
            2 => {
                // A reassignment: three new replicas join, the old ones are to leave.
                let target = self.replicas();
                let adding: Vec<_> = target.iter().filter(|id| !present.replicas.contains(id)).copied().collect();
                let removing: Vec<_> = present.replicas.iter().filter(|id| !target.contains(id)).copied().collect();
                let replicas: Vec<_> = target.iter().chain(&removing).copied().collect();
                if !present.directories.is_empty() {
                    change.directories = Some(vec![DirectoryId::UNASSIGNED; replicas.len()]);
                }
                change.replicas = Some(replicas);
                change.adding_replicas = Some(adding);
                change.removing_replicas = Some(removing);
            }
            _ => {
                change.leader = NodeId::NONE;
                change.leader_recovery_state = 0;
            }
        }
        vec![change.into()]
    }

    fn change_config(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let (name, value) = TOPIC_CONFIGS.get(self.below(TOPIC_CONFIGS.len())).copied().unwrap_or(("", ""));
        if self.below(3) == 0 {
            let broker = (self.below(2) == 0).then(|| NodeId(i32::try_from(self.below(6)).unwrap_or(0) + 1));
            let value = (self.below(4) != 0).then_some("3");
            return vec![config(ConfigResource::broker(broker), "log.cleaner.threads", value)];
        }
        let Some(topic) = self.random_topic(image).and_then(|id| image.topics().name(id)) else { return Vec::new() };
        let value = (self.below(4) != 0).then_some(value);
        vec![config(ConfigResource::topic(topic.clone()), name, value)]
    }

    fn change_quota(&mut self) -> Vec<MetadataRecord> {
        let user = Some(self.pick(&USERS).map(str::to_owned)).filter(|_| self.below(4) != 0).flatten();
        let client = Some(self.pick(&CLIENTS).map(str::to_owned)).filter(|_| self.below(4) != 0).flatten();
        let (entity, key, value): (BTreeMap<&str, Option<String>>, _, _) = match self.below(4) {
            0 => ([("user", user)].into(), "producer_byte_rate", 1_048_576.0),
            1 => ([("client-id", client)].into(), "request_percentage", 58.58),
            2 => ([("user", user), ("client-id", client)].into(), "consumer_byte_rate", 2048.0),
            _ => ([("ip", Some("10.0.0.1".to_owned()))].into(), "connection_creation_rate", 12.0),
        };
        let entity = entity.into_iter().map(|(kind, name)| QuotaEntityData {
            entity_type: kind.to_owned(),
            entity_name: name,
            ..QuotaEntityData::default()
        });
        let remove = self.below(4) == 0;
        let record = ClientQuotaRecord {
            entity: entity.collect(),
            key: key.to_owned(),
            value: if remove { 0.0 } else { value },
            remove,
            ..ClientQuotaRecord::default()
        };
        vec![record.into()]
    }

    fn change_scram(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let at = self.below(image.scram().len().max(1) * 3);
        if let Some((key, _)) = image.scram().iter().nth(at) {
            let record = RemoveUserScramCredentialRecord {
                name: key.user.to_string(),
                mechanism: key.mechanism,
                ..RemoveUserScramCredentialRecord::default()
            };
            return vec![record.into()];
        }
        let bytes = |random: u64| random.to_be_bytes().repeat(4);
        let record = UserScramCredentialRecord {
            name: self.pick(&USERS).unwrap_or("alice").to_owned(),
            mechanism: if self.below(2) == 0 { 1 } else { 2 },
            salt: bytes(self.random()),
            stored_key: bytes(self.random()),
            server_key: bytes(self.random()),
            iterations: 4096,
            ..UserScramCredentialRecord::default()
        };
        vec![record.into()]
    }

    fn change_acl(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let at = self.below(image.acls().len().max(1) * 3);
        if let Some((id, _)) = image.acls().iter().nth(at) {
            return vec![RemoveAccessControlEntryRecord { id, ..RemoveAccessControlEntryRecord::default() }.into()];
        }
        let prefixed = self.below(3) == 0;
        let record = AccessControlEntryRecord {
            id: AclId(self.uuid()),
            resource_type: if self.below(2) == 0 { 2 } else { 3 },
            resource_name: format!("team-{}", self.below(4)),
            pattern_type: if prefixed { 4 } else { 3 },
            // Entries differ in the principal, since ZooKeeper keeps a set and two equal ones would be one.
            principal: format!("User:{}-{}", self.pick(&USERS).unwrap_or("alice"), self.made),
            host: "*".to_owned(),
            operation: 3,
            permission_type: if self.below(5) == 0 { 2 } else { 3 },
            ..AccessControlEntryRecord::default()
        };
        vec![record.into()]
    }

    fn change_token(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let at = self.below(image.tokens().len().max(1) * 2);
        if let Some((token_id, _)) = image.tokens().iter().nth(at) {
            let record = RemoveDelegationTokenRecord {
                token_id: token_id.to_string(),
                ..RemoveDelegationTokenRecord::default()
            };
            return vec![record.into()];
        }
        let record = DelegationTokenRecord {
            owner: "User:alice".to_owned(),
            requester: "User:bob".to_owned(),
            renewers: vec!["User:carol".to_owned()],
            issue_timestamp: TimestampMs(1_729_500_000_000),
            max_timestamp: TimestampMs(1_730_104_800_000),
            expiration_timestamp: TimestampMs(1_729_586_400_000),
            token_id: self.uuid().to_string(),
            ..DelegationTokenRecord::default()
        };
        vec![record.into()]
    }

    fn change_of_kraft(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let id = NodeId(i32::try_from(self.below(6)).unwrap_or(0) + 1);
        match self.below(6) {
            0 => match image.cluster().broker(id) {
                Some(present) if self.below(4) == 0 => {
                    let broker_epoch = present.epoch;
                    vec![UnregisterBrokerRecord { broker_id: id, broker_epoch, ..Default::default() }.into()]
                }
                Some(present) => vec![
                    BrokerRegistrationChangeRecord {
                        broker_id: id,
                        broker_epoch: present.epoch,
                        fenced: if present.fenced { -1 } else { 1 },
                        log_dirs: vec![DirectoryId(self.uuid())],
                        ..Default::default()
                    }
                    .into(),
                ],
                None => vec![self.register_broker(id)],
            },
            1 => vec![self.register_broker(id)],
            2 => vec![
                RegisterControllerRecord {
                    controller_id: NodeId(3000 + id.0),
                    zk_migration_ready: self.below(2) == 0,
                    ..Default::default()
                }
                .into(),
            ],
            3 => vec![
                FeatureLevelRecord {
                    name: "group.version".to_owned(),
                    feature_level: i16::try_from(self.below(4)).unwrap_or(0),
                    ..Default::default()
                }
                .into(),
            ],
            kind => self.change_partition_of_kraft(image, kind == 4),
        }
    }

    fn register_broker(&mut self, id: NodeId) -> MetadataRecord {
        RegisterBrokerRecord {
            broker_id: id,
            broker_epoch: BrokerEpoch(i64::try_from(self.made).unwrap_or(0)),
            is_migrating_zk_broker: self.below(2) == 0,
            end_points: vec![BrokerEndpoint {
                name: "PLAINTEXT".to_owned(),
                host: format!("host{id}"),
                port: 9092,
                ..Default::default()
            }],
            log_dirs: vec![DirectoryId(self.uuid())],
            ..Default::default()
        }
        .into()
    }

    fn change_partition_of_kraft(&mut self, image: &MetadataImage, directories: bool) -> Vec<MetadataRecord> {
        let Some(topic_id) = self.random_topic(image) else { return vec![self.register_broker(NodeId(1))] };
        let partitions: Vec<_> = image.topics().partitions(topic_id).collect();
        let Some((partition_id, present)) = partitions.get(self.below(partitions.len())) else { return Vec::new() };
        let mut change =
            PartitionChangeRecord { topic_id, partition_id: *partition_id, ..PartitionChangeRecord::default() };
        if directories {
            change.directories = Some(present.replicas.iter().map(|_| DirectoryId(self.uuid())).collect());
        } else {
            change.eligible_leader_replicas = Some(present.replicas.iter().take(self.below(3)).copied().collect());
            change.last_known_elr = Some(present.replicas.iter().take(self.below(3)).copied().collect());
        }
        vec![change.into()]
    }

    fn advance_producer_ids(&mut self, image: &MetadataImage) -> MetadataRecord {
        let present = image.producer_id().unwrap_or(ProducerId(0));
        ProducerIdsRecord {
            broker_id: NodeId(1),
            broker_epoch: BrokerEpoch(-1),
            next_producer_id: ProducerId(present.0 + 1000),
            ..ProducerIdsRecord::default()
        }
        .into()
    }
}

/// The record at the version that the newest metadata version of Kafka 3.9 has it written in.
pub(super) fn at_latest_version(record: impl Into<MetadataRecord>) -> VersionedRecord {
    at_version(record.into(), MetadataVersion::LATEST_PRODUCTION)
}

/// The record as a cluster at this metadata version writes it.
pub(super) fn at_version(record: MetadataRecord, metadata_version: MetadataVersion) -> VersionedRecord {
    let version = record_version(&record, metadata_version);
    VersionedRecord { record, version }
}

fn config(resource: ConfigResource, name: &str, value: Option<&str>) -> MetadataRecord {
    debug_assert!(resource.resource_type != ConfigResourceType::ClientMetrics);
    ConfigRecord {
        resource_type: resource.resource_type.code(),
        resource_name: resource.name.to_string(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
        ..ConfigRecord::default()
    }
    .into()
}
