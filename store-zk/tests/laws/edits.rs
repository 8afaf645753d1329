//! Images made of edits: each edit becomes records that are valid on the image it is applied to.

use std::sync::Arc;

use metadata_core::id::{
    AclId, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, Position, TimestampMs, TopicId,
};
use metadata_core::image::{MetadataDelta, MetadataImage, ScramCredential, ScramKey};
use metadata_core::record::*;
use metadata_core::uuid::Uuid;
use proptest::prelude::*;

/// One change of metadata. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    CreateTopic { name: usize, partitions: Vec<(Vec<i32>, u8)> },
    DeleteTopic { topic: usize },
    AddPartition { topic: usize, replicas: Vec<i32> },
    ChangePartition { partition: usize, change: PartitionEdit },
    Config { resource: usize, key: usize, value: Option<String> },
    Quota { entity: (u8, usize, usize), key: usize, value: Option<f64> },
    RemoveQuota { quota: usize },
    Scram { user: usize, mechanism: i8, keys: Option<Vec<u8>> },
    AddAcl { id: u64, resource: usize, entry: usize, operation: i8 },
    RemoveAcl { acl: usize },
    Token { id: usize, token: Option<(usize, i64)> },
    ProducerIds { next: i64 },
}

#[derive(Debug, Clone)]
pub(crate) enum PartitionEdit {
    Nothing,
    Leader(Option<i32>),
    Isr(Vec<i32>),
    Reassign { replicas: Vec<i32>, adding: Vec<i32>, removing: Vec<i32> },
    Directories(u64),
    Recovering(bool),
}

pub(crate) fn topics() -> Vec<String> {
    let awkward = ["a", "a-b", "a.b", "a_b", "T", "partitions", "state", "__consumer_offsets", "clients"];
    awkward.into_iter().map(str::to_owned).chain(["x".repeat(249)]).collect()
}

/// Users and client ids; the last three have no place in ZooKeeper.
pub(crate) const NAMES: [Option<&str>; 17] = [
    None,
    Some("alice"),
    Some("user/1@prod"),
    Some("<default>"),
    Some("a b"),
    Some("100%"),
    Some("*"),
    Some("~"),
    Some("jörg"),
    Some("日本"),
    Some("+plus"),
    Some("a.b_c-d"),
    Some("😀"),
    Some("clients"),
    Some(""),
    Some("."),
    Some(".."),
];

const IPS: [Option<&str>; 4] = [None, Some("127.0.0.1"), Some("::1"), Some("host.example")];

const QUOTAS: [&str; 6] = [
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
    "connection_creation_rate",
    "no_such_quota",
];

const CONFIG_KEYS: [&str; 6] =
    ["retention.ms", "cleanup.policy", "leader.replication.throttled.replicas", "ssl.key.password", "k e\"y", "ü"];

/// Mostly a key that fits the kind of entity.
fn quota_key(kind: u8, index: usize) -> &'static str {
    match (kind, index % 3) {
        (4, 0 | 1) => "connection_creation_rate",
        _ => QUOTAS[index / 3 % QUOTAS.len()],
    }
}

/// Resource types and names; topics come on top.
const RESOURCES: [(i8, &str); 6] = [(4, ""), (4, "1"), (4, "20"), (4, "x"), (16, "metrics"), (32, "group")];

const ACL_NAMES: [&str; 9] = ["*", "foo", "foo-bar", "name:1", "ü", " ", "Topic", "foo/bar", ".."];

const PRINCIPALS: [&str; 4] = ["User:alice", "User:CN=a:b,O=ü", "User:*", "nobody"];

const TOKENS: [&str; 4] = ["w2bZ9iV2T9W0k0Z3dCkO3A", "-_-", "t", "a/b"];

type QuotaEntity = Vec<QuotaEntityData>;

/// A user, a client id, both, an IP address, or what ZooKeeper does not have.
fn quota_entity((kind, one, other): (u8, usize, usize)) -> QuotaEntity {
    let part = |kind: &str, name: Option<&str>| QuotaEntityData {
        entity_type: kind.to_owned(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    let name = |index| *pick(&NAMES, index).unwrap();
    match kind {
        0 => vec![part("user", name(one))],
        1 => vec![part("client-id", name(one))],
        // Few users with many client ids.
        2 | 3 => vec![part("user", name(one % 4)), part("client-id", name(other))],
        4 => vec![part("ip", *pick(&IPS, one).unwrap())],
        _ => [vec![part("ip", None), part("user", None)], vec![part("group", Some("g"))], vec![]][one % 3].clone(),
    }
}

fn pick<T>(list: &[T], index: usize) -> Option<&T> {
    list.get(index.checked_rem(list.len())?)
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// A fresh topic id: never that of an earlier topic.
fn topic_id(serial: u64) -> TopicId {
    TopicId(Uuid::from_u64_pair(0x0102_0304_0506_0708, serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
}

/// Makes records of edits, one after the other, and the image that they give.
pub(crate) struct Editor {
    pub(crate) image: MetadataImage,
    topics_made: u64,
}

impl Editor {
    pub(crate) fn new() -> Self {
        Self::numbering_from(0)
    }

    /// An editor whose topic ids are others than those of an editor with another start.
    pub(crate) fn numbering_from(topics_made: u64) -> Self {
        Self { image: MetadataImage::empty(), topics_made }
    }

    pub(crate) fn apply(&mut self, edits: &[Edit]) -> MetadataImage {
        for edit in edits {
            let records = self.records(edit);
            let mut delta = MetadataDelta::new(&self.image);
            delta.replay_all(&records).unwrap_or_else(|error| panic!("{edit:?}: {error}"));
            self.image = delta.apply(Position::START, TimestampMs(0));
        }
        self.image.clone()
    }

    fn records(&mut self, edit: &Edit) -> Vec<VersionedRecord> {
        let records = match edit {
            Edit::CreateTopic { name, partitions } => self.create_topic(*name, partitions),
            Edit::DeleteTopic { topic } => {
                let ids: Vec<TopicId> = self.image.topics().iter().map(|(id, _)| id).collect();
                let id = pick(&ids, *topic).copied();
                id.map(|topic_id| RemoveTopicRecord { topic_id, ..Default::default() }.into()).into_iter().collect()
            }
            Edit::AddPartition { topic, replicas } => {
                let ids: Vec<TopicId> = self.image.topics().iter().map(|(id, _)| id).collect();
                let id = pick(&ids, *topic).copied();
                id.map(|id| {
                    let number = self.image.topics().partitions(id).count() as i32;
                    partition(id, number, replicas, 0)
                })
                .into_iter()
                .collect()
            }
            Edit::ChangePartition { partition, change } => self.change_partition(*partition, change),
            Edit::Config { resource, key, value } => {
                let topics = topics().into_iter().map(|name| (2, name));
                let all: Vec<(i8, String)> =
                    RESOURCES.iter().map(|(kind, name)| (*kind, (*name).to_owned())).chain(topics).collect();
                let (resource_type, resource_name) = pick(&all, *resource).unwrap().clone();
                let name = (*pick(&CONFIG_KEYS, *key).unwrap()).to_owned();
                vec![
                    ConfigRecord { resource_type, resource_name, name, value: value.clone(), ..Default::default() }
                        .into(),
                ]
            }
            Edit::Quota { entity, key, value } => vec![
                ClientQuotaRecord {
                    entity: quota_entity(*entity),
                    key: quota_key(entity.0, *key).to_owned(),
                    value: value.unwrap_or_default(),
                    remove: value.is_none(),
                    ..Default::default()
                }
                .into(),
            ],
            Edit::RemoveQuota { quota } => self.remove_quota(*quota),
            Edit::Scram { user, mechanism, keys } => scram(*user, *mechanism, keys.as_deref()),
            Edit::AddAcl { id, resource, entry, operation } => {
                let (pattern, kind) = (3 + (resource / 9 % 2) as i8, 2 + (resource / 18 % 7) as i8);
                vec![
                    AccessControlEntryRecord {
                        id: AclId(Uuid::from_u64_pair(*id, 1)),
                        resource_type: kind,
                        resource_name: (*pick(&ACL_NAMES, *resource).unwrap()).to_owned(),
                        pattern_type: pattern,
                        principal: (*pick(&PRINCIPALS, *entry).unwrap()).to_owned(),
                        host: if entry % 2 == 0 { "*".to_owned() } else { "10.0.0.1".to_owned() },
                        operation: *operation,
                        permission_type: 2 + (entry / 4 % 2) as i8,
                        ..Default::default()
                    }
                    .into(),
                ]
            }
            Edit::RemoveAcl { acl } => {
                let ids: Vec<AclId> = self.image.acls().iter().map(|(id, _)| id).collect();
                let id = pick(&ids, *acl).copied();
                id.map(|id| RemoveAccessControlEntryRecord { id, ..Default::default() }.into()).into_iter().collect()
            }
            Edit::Token { id, token } => token_record(pick(&TOKENS, *id).unwrap(), *token),
            Edit::ProducerIds { next } => {
                let next_producer_id = (*next).into();
                vec![ProducerIdsRecord { broker_id: NodeId(1), next_producer_id, ..Default::default() }.into()]
            }
        };
        records.into_iter().map(|record| VersionedRecord { record, version: 0 }).collect()
    }

    fn remove_quota(&self, index: usize) -> Vec<MetadataRecord> {
        let all: Vec<(QuotaEntity, String)> = self
            .image
            .quotas()
            .iter()
            .flat_map(|(entity, entries)| {
                let parts = entity.0.iter().map(|(kind, name)| QuotaEntityData {
                    entity_type: kind.to_string(),
                    entity_name: name.as_deref().map(str::to_owned),
                    ..Default::default()
                });
                let parts: QuotaEntity = parts.collect();
                entries.keys().map(move |key| (parts.clone(), key.to_string()))
            })
            .collect();
        let Some((entity, key)) = pick(&all, index).cloned() else { return Vec::new() };
        vec![ClientQuotaRecord { entity, key, remove: true, ..Default::default() }.into()]
    }

    fn create_topic(&mut self, name: usize, partitions: &[(Vec<i32>, u8)]) -> Vec<MetadataRecord> {
        let name = pick(&topics(), name).unwrap().clone();
        if self.image.topics().id(&name).is_some() {
            return Vec::new();
        }
        self.topics_made += 1;
        let topic_id = topic_id(self.topics_made);
        let topic = MetadataRecord::from(TopicRecord { name, topic_id, ..Default::default() });
        let partitions = partitions.iter().enumerate();
        let partitions =
            partitions.map(|(number, (replicas, epoch))| partition(topic_id, number as i32, replicas, *epoch));
        std::iter::once(topic).chain(partitions).collect()
    }

    fn change_partition(&mut self, index: usize, change: &PartitionEdit) -> Vec<MetadataRecord> {
        let keys: Vec<_> = self.image.topics().all_partitions().map(|(key, value)| (key, Arc::clone(value))).collect();
        let Some((key, present)) = pick(&keys, index).cloned() else { return Vec::new() };
        let mut record =
            PartitionChangeRecord { partition_id: key.partition, topic_id: key.topic_id, ..Default::default() };
        match change {
            PartitionEdit::Nothing => {}
            PartitionEdit::Leader(id) => record.leader = id.map_or(NodeId::NONE, NodeId),
            PartitionEdit::Isr(isr) => record.isr = Some(nodes(isr)),
            PartitionEdit::Reassign { replicas, adding, removing } => {
                record.replicas = Some(nodes(replicas));
                record.adding_replicas = Some(nodes(adding));
                record.removing_replicas = Some(nodes(removing));
                record.directories = Some(vec![DirectoryId::UNASSIGNED; replicas.len()]);
            }
            PartitionEdit::Directories(seed) => {
                let id = DirectoryId(Uuid::from_u64_pair(7, *seed));
                record.directories = Some(vec![id; present.replicas.len()]);
            }
            PartitionEdit::Recovering(recovering) => record.leader_recovery_state = i8::from(*recovering),
        }
        vec![record.into()]
    }
}

fn partition(topic_id: TopicId, number: i32, replicas: &[i32], epoch: u8) -> MetadataRecord {
    PartitionRecord {
        partition_id: PartitionId(number),
        topic_id,
        replicas: nodes(replicas),
        isr: nodes(replicas),
        leader: NodeId(replicas[0]),
        leader_epoch: LeaderEpoch(i32::from(epoch) / 2),
        partition_epoch: PartitionEpoch(i32::from(epoch)),
        directories: vec![DirectoryId::UNASSIGNED; replicas.len()],
        ..Default::default()
    }
    .into()
}

fn scram(user: usize, mechanism: i8, keys: Option<&[u8]>) -> Vec<MetadataRecord> {
    let Some(user) = pick(&NAMES, user).copied().flatten() else { return Vec::new() };
    let key = ScramKey { user: user.into(), mechanism };
    match keys {
        Some(keys) => {
            let (salt, stored_key, server_key) = (keys.to_vec(), keys.repeat(2), keys.repeat(3));
            vec![ScramCredential { salt, stored_key, server_key, iterations: 4096 }.to_record(&key).into()]
        }
        None => {
            let name = user.to_owned();
            vec![RemoveUserScramCredentialRecord { name, mechanism, ..Default::default() }.into()]
        }
    }
}

fn token_record(id: &str, token: Option<(usize, i64)>) -> Vec<MetadataRecord> {
    match token {
        Some((owner, time)) => vec![
            DelegationTokenRecord {
                owner: (*pick(&PRINCIPALS, owner).unwrap()).to_owned(),
                requester: "User:req uester".to_owned(),
                renewers: if owner % 2 == 0 { vec![] } else { vec!["User:b".to_owned(), "Group:a".to_owned()] },
                issue_timestamp: TimestampMs(time),
                max_timestamp: TimestampMs(time.saturating_add(1)),
                expiration_timestamp: TimestampMs(time.saturating_add(2)),
                token_id: id.to_owned(),
                ..Default::default()
            }
            .into(),
        ],
        None => vec![RemoveDelegationTokenRecord { token_id: id.to_owned(), ..Default::default() }.into()],
    }
}

fn replicas() -> impl Strategy<Value = Vec<i32>> {
    proptest::sample::subsequence(vec![1, 2, 3, 11, 20], 1..4).prop_shuffle()
}

fn partition_edit() -> impl Strategy<Value = PartitionEdit> {
    prop_oneof![
        Just(PartitionEdit::Nothing),
        proptest::option::of(1..4).prop_map(PartitionEdit::Leader),
        proptest::sample::subsequence(vec![1, 2, 3], 0..4).prop_map(PartitionEdit::Isr),
        (replicas(), replicas(), proptest::sample::subsequence(vec![1, 2], 0..3))
            .prop_map(|(replicas, adding, removing)| PartitionEdit::Reassign { replicas, adding, removing }),
        any::<u64>().prop_map(PartitionEdit::Directories),
        any::<bool>().prop_map(PartitionEdit::Recovering),
    ]
}

fn quota_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (1..1_000_000_000u32).prop_map(f64::from),
        1 => Just(10_000_000.0),
        1 => Just(58.58),
        1 => Just(999.999_999_9),
        1 => Just(0.5),
        1 => Just(1e-7),
        1 => any::<f64>(),
    ]
}

/// One edit. Passwords are rare: each costs thousands of hashes.
pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    let value = prop_oneof![3 => "[a-z0-9:,]{0,12}".prop_map(Some), 1 => ".{0,8}".prop_map(Some), 1 => Just(None)];
    let key = prop_oneof![8 => 0..3usize, 8 => 4..6usize, 1 => Just(3usize)];
    prop_oneof![
        4 => (any::<usize>(), proptest::collection::vec((replicas(), 0..8u8), 0..12))
            .prop_map(|(name, partitions)| Edit::CreateTopic { name, partitions }),
        1 => any::<usize>().prop_map(|topic| Edit::DeleteTopic { topic }),
        1 => (any::<usize>(), replicas()).prop_map(|(topic, replicas)| Edit::AddPartition { topic, replicas }),
        6 => (any::<usize>(), partition_edit()).prop_map(|(partition, change)| Edit::ChangePartition { partition, change }),
        4 => (any::<usize>(), key, value).prop_map(|(resource, key, value)| Edit::Config { resource, key, value }),
        8 => ((0..6u8, any::<usize>(), any::<usize>()), any::<usize>(), proptest::option::weighted(0.7, quota_value()))
            .prop_map(|(entity, key, value)| Edit::Quota { entity, key, value }),
        3 => any::<usize>().prop_map(|quota| Edit::RemoveQuota { quota }),
        3 => (any::<usize>(), 1..4i8, proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..8)))
            .prop_map(|(user, mechanism, keys)| Edit::Scram { user, mechanism, keys }),
        4 => (0..12u64, any::<usize>(), any::<usize>(), 0..16i8)
            .prop_map(|(id, resource, entry, operation)| Edit::AddAcl { id, resource, entry, operation }),
        1 => any::<usize>().prop_map(|acl| Edit::RemoveAcl { acl }),
        2 => (any::<usize>(), proptest::option::weighted(0.7, (any::<usize>(), any::<i64>())))
            .prop_map(|(id, token)| Edit::Token { id, token }),
        1 => (-1..5000i64).prop_map(|next| Edit::ProducerIds { next }),
    ]
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec(edit(), 0..40)
}
