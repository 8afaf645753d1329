//! What holds for every record, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use metadata_core::codec::{DecodeReason, EncodeReason, Reader, put_uvarint};
use metadata_core::id::{
    AclId, BrokerEpoch, DirectoryId, IncarnationId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId,
    TimestampMs, TopicId,
};
use metadata_core::record::*;
use metadata_core::uuid::Uuid;
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes from which records are made. When they are used up, everything is at its smallest: so a failing case shrinks.
struct Source<'a> {
    bytes: &'a [u8],
}

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Seldom any: 0 to 2.
    fn unknown_tags(&mut self, version: i16) -> UnknownTags {
        let count = u32::from(self.byte().saturating_sub(230) / 10);
        let tags = (0..count).map(|index| RawTag { tag: 1000 + index, bytes: Random::random(self, version) });
        UnknownTags::new(tags.collect())
    }
}

trait Random {
    /// A value that a record of this version can hold.
    fn random(source: &mut Source<'_>, version: i16) -> Self;
}

macro_rules! random_int {
    ($($type:ty)*) => {$(
        impl Random for $type {
            fn random(source: &mut Source<'_>, _version: i16) -> Self {
                <$type>::from_be_bytes(source.array())
            }
        }
    )*};
}

random_int!(i8 i16 i32 i64 u16);

macro_rules! random_newtype {
    ($($type:ident)*) => {$(
        impl Random for $type {
            fn random(source: &mut Source<'_>, version: i16) -> Self {
                Self(Random::random(source, version))
            }
        }
    )*};
}

random_newtype! {
    NodeId PartitionId LeaderEpoch PartitionEpoch BrokerEpoch ProducerId TimestampMs TopicId DirectoryId AclId
    IncarnationId
}

impl Random for bool {
    fn random(source: &mut Source<'_>, _version: i16) -> Self {
        source.byte() % 2 == 1
    }
}

impl Random for f64 {
    fn random(source: &mut Source<'_>, version: i16) -> Self {
        // No NaN, which equals nothing.
        i32::random(source, version) as f64 / 16.0
    }
}

impl Random for Uuid {
    fn random(source: &mut Source<'_>, _version: i16) -> Self {
        Self::from_bytes(source.array())
    }
}

impl Random for String {
    fn random(source: &mut Source<'_>, _version: i16) -> Self {
        const LETTERS: [char; 8] = ['a', 'b', '.', '-', '/', 'é', '中', '🦀'];
        // Now and then one whose length takes more than a byte.
        let length = match source.byte() {
            255 => 200,
            short => short % 12,
        };
        (0..length).map(|_| LETTERS[usize::from(source.byte()) % LETTERS.len()]).collect()
    }
}

impl Random for Vec<u8> {
    fn random(source: &mut Source<'_>, _version: i16) -> Self {
        let length = source.byte() % 40;
        (0..length).map(|_| source.byte()).collect()
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(source: &mut Source<'_>, version: i16) -> Self {
        let length = source.byte() % 5;
        (0..length).map(|_| T::random(source, version)).collect()
    }
}

impl<T: Random> Random for Option<T> {
    fn random(source: &mut Source<'_>, version: i16) -> Self {
        (source.byte() >= 85).then(|| T::random(source, version))
    }
}

/// Each struct's fields with the first version that has them; said again here, as a check of the table.
macro_rules! random_structs {
    ($($name:ident { $($field:ident $since:literal)* })*) => {$(
        impl Random for $name {
            fn random(source: &mut Source<'_>, version: i16) -> Self {
                Self {
                    $($field: match version >= $since {
                        true => Random::random(source, version),
                        false => Self::default().$field,
                    },)*
                    unknown_tags: source.unknown_tags(version),
                }
            }
        }
    )*};
}

random_structs! {
    RegisterBrokerRecord {
        broker_id 0 is_migrating_zk_broker 2 incarnation_id 0 broker_epoch 0 end_points 0 features 0 rack 0 fenced 0
        in_controlled_shutdown 1 log_dirs 3 cordoned_log_dirs 4
    }
    BrokerEndpoint { name 0 host 0 port 0 security_protocol 0 }
    BrokerFeature { name 0 min_supported_version 0 max_supported_version 0 }
    UnregisterBrokerRecord { broker_id 0 broker_epoch 0 }
    TopicRecord { name 0 topic_id 0 }
    PartitionRecord {
        partition_id 0 topic_id 0 replicas 0 isr 0 removing_replicas 0 adding_replicas 0 leader 0
        leader_recovery_state 0 leader_epoch 0 partition_epoch 0 directories 1 eligible_leader_replicas 2
        last_known_elr 2
    }
    ConfigRecord { resource_type 0 resource_name 0 name 0 value 0 }
    PartitionChangeRecord {
        partition_id 0 topic_id 0 isr 0 leader 0 replicas 0 removing_replicas 0 adding_replicas 0
        leader_recovery_state 0 directories 1 eligible_leader_replicas 2 last_known_elr 2
    }
    FenceBrokerRecord { id 0 epoch 0 }
    UnfenceBrokerRecord { id 0 epoch 0 }
    RemoveTopicRecord { topic_id 0 }
    DelegationTokenRecord {
        owner 0 requester 0 renewers 0 issue_timestamp 0 max_timestamp 0 expiration_timestamp 0 token_id 0
    }
    UserScramCredentialRecord { name 0 mechanism 0 salt 0 stored_key 0 server_key 0 iterations 0 }
    FeatureLevelRecord { name 0 feature_level 0 }
    ClientQuotaRecord { entity 0 key 0 value 0 remove 0 }
    QuotaEntityData { entity_type 0 entity_name 0 }
    ProducerIdsRecord { broker_id 0 broker_epoch 0 next_producer_id 0 }
    BrokerRegistrationChangeRecord {
        broker_id 0 broker_epoch 0 fenced 0 in_controlled_shutdown 1 log_dirs 2 cordoned_log_dirs 3
    }
    AccessControlEntryRecord {
        id 0 resource_type 0 resource_name 0 pattern_type 0 principal 0 host 0 operation 0 permission_type 0
    }
    RemoveAccessControlEntryRecord { id 0 }
    NoOpRecord {}
    ZkMigrationStateRecord { zk_migration_state 0 }
    RemoveUserScramCredentialRecord { name 0 mechanism 0 }
    BeginTransactionRecord { name 0 }
    EndTransactionRecord {}
    AbortTransactionRecord { reason 0 }
    RemoveDelegationTokenRecord { token_id 0 }
    RegisterControllerRecord { controller_id 0 incarnation_id 0 zk_migration_ready 0 end_points 0 features 0 }
    ClearElrRecord { topic_name 0 }
    UnregisterControllerRecord { controller_id 0 }
    ControllerEndpoint { name 0 host 0 port 0 security_protocol 0 }
    ControllerFeature { name 0 min_supported_version 0 max_supported_version 0 }
    LeaderChangeMessage { version 0 leader_id 0 voters 0 granting_voters 0 }
    LeaderChangeVoter { voter_id 0 voter_directory_id 1 }
    SnapshotHeaderRecord { version 0 last_contained_log_timestamp 0 }
    SnapshotFooterRecord { version 0 }
    KRaftVersionRecord { version 0 kraft_version 0 }
    VotersRecord { version 0 voters 0 }
    QuorumVoter { voter_id 0 voter_directory_id 0 endpoints 0 kraft_version_feature 0 }
    QuorumVoterEndpoint { name 0 host 0 port 0 }
    KRaftVersionRange { min_supported_version 0 max_supported_version 0 }
}

/// A kind of record: its highest version (the lowest is 0 for all), and how to make one of a version.
type Kind<R> = (i16, fn(&mut Source<'_>, i16) -> R);

macro_rules! kinds {
    ($($record:ident)*) => {
        &[$((*$record::VERSIONS.end(), |source, version| $record::random(source, version).into())),*]
    };
}

const METADATA_RECORDS: &[Kind<MetadataRecord>] = kinds! {
    RegisterBrokerRecord UnregisterBrokerRecord TopicRecord PartitionRecord ConfigRecord PartitionChangeRecord
    FenceBrokerRecord UnfenceBrokerRecord RemoveTopicRecord DelegationTokenRecord UserScramCredentialRecord
    FeatureLevelRecord ClientQuotaRecord ProducerIdsRecord BrokerRegistrationChangeRecord AccessControlEntryRecord
    RemoveAccessControlEntryRecord NoOpRecord ZkMigrationStateRecord RemoveUserScramCredentialRecord
    BeginTransactionRecord EndTransactionRecord AbortTransactionRecord RemoveDelegationTokenRecord
    RegisterControllerRecord ClearElrRecord UnregisterControllerRecord
};

const CONTROL_RECORDS: &[Kind<ControlRecord>] = kinds! {
    LeaderChangeMessage SnapshotHeaderRecord SnapshotFooterRecord KRaftVersionRecord VotersRecord
};

/// A random record of a random kind in a random version.
fn versioned_record() -> impl Strategy<Value = VersionedRecord> {
    (0..METADATA_RECORDS.len(), 0..12i16, vec(any::<u8>(), 0..600)).prop_map(|(kind, version, bytes)| {
        let (highest, random) = METADATA_RECORDS[kind];
        let version = version % (highest + 1);
        VersionedRecord::new(random(&mut Source { bytes: &bytes }, version), version)
    })
}

fn control_record() -> impl Strategy<Value = ControlRecord> {
    (0..CONTROL_RECORDS.len(), vec(any::<u8>(), 0..600)).prop_map(|(kind, bytes)| {
        let (_, random) = CONTROL_RECORDS[kind];
        random(&mut Source { bytes: &bytes }, 0)
    })
}

fn encoded(record: &VersionedRecord) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode(&mut out).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_record_of_any_kind_and_version_comes_back(record in versioned_record()) {
        prop_assert_eq!(VersionedRecord::decode(&encoded(&record)).unwrap(), record);
    }

    #[test]
    fn a_control_record_of_any_kind_comes_back(record in control_record()) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        record.encode(&mut key, &mut value).unwrap();
        prop_assert_eq!(ControlRecord::decode(&key, &value).unwrap(), record);
        for end in 0..key.len() {
            prop_assert!(ControlRecord::decode(&key[..end], &value).is_err());
        }
        for end in 0..value.len() {
            prop_assert!(ControlRecord::decode(&key, &value[..end]).is_err());
        }
        value.push(0);
        prop_assert!(ControlRecord::decode(&key, &value).is_err());
    }

    #[test]
    fn a_value_cut_off_anywhere_is_refused(record in versioned_record()) {
        let bytes = encoded(&record);
        for end in 0..bytes.len() {
            let error = VersionedRecord::decode(&bytes[..end]).unwrap_err();
            prop_assert!(error.offset() <= end, "{error}");
        }
    }

    #[test]
    fn a_byte_too_many_is_refused(record in versioned_record(), byte: u8) {
        let mut bytes = encoded(&record);
        bytes.push(byte);
        let error = VersionedRecord::decode(&bytes).unwrap_err();
        prop_assert_eq!(error.reason(), DecodeReason::TrailingBytes { count: 1 });
    }

    #[test]
    fn damaged_bytes_are_refused_or_are_a_record_that_is_written_as_it_is_read(
        record in versioned_record(),
        damage in vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let mut bytes = encoded(&record);
        for (index, flip) in damage {
            let at = index.index(bytes.len());
            bytes[at] ^= flip;
        }
        if let Ok(read) = VersionedRecord::decode(&bytes) {
            // Bytes are compared, since a NaN differs from itself.
            let written = encoded(&read);
            prop_assert_eq!(encoded(&VersionedRecord::decode(&written).unwrap()), written);
        }
    }

    #[test]
    fn random_bytes_behind_a_good_head_never_panic(
        kind in 0..METADATA_RECORDS.len(),
        version in 0..4i16,
        body in vec(any::<u8>(), 0..200),
    ) {
        let (_, random) = METADATA_RECORDS[kind];
        let mut bytes = vec![1, random(&mut Source { bytes: &[] }, 0).api_key() as u8, version as u8];
        bytes.extend(body);
        if let Ok(read) = VersionedRecord::decode(&bytes) {
            prop_assert!(encoded(&read).len() <= bytes.len());
        }
    }

    #[test]
    fn an_older_version_holds_the_record_whole_or_refuses_it(record in versioned_record(), older in 0..4i16) {
        let older = VersionedRecord { version: older.min(record.version), ..record };
        let mut out = vec![7];
        match older.encode(&mut out) {
            Ok(()) => prop_assert_eq!(VersionedRecord::decode(&out[1..]).unwrap(), older),
            Err(error) => {
                prop_assert_eq!(error.reason(), EncodeReason::NotInVersion { version: older.version });
                prop_assert_eq!(out, [7], "nothing is appended");
            }
        }
    }
}

#[test]
fn every_api_key_but_three_up_to_29_is_a_record() {
    let record = |(_, random): &Kind<MetadataRecord>| random(&mut Source { bytes: &[] }, 0);
    let keys: Vec<i16> = METADATA_RECORDS.iter().map(|kind| record(kind).api_key()).collect();
    let expected: Vec<i16> = (0..=29).filter(|key| ![6, 13, 16].contains(key)).collect();
    assert_eq!(keys, expected);
    let types: Vec<i16> =
        CONTROL_RECORDS.iter().map(|(_, random)| random(&mut Source { bytes: &[] }, 0).record_type()).collect();
    assert_eq!(types, [2, 3, 4, 5, 6]);
}

#[test]
fn a_record_knows_its_name_and_its_versions() {
    for (record, name, highest) in [
        (MetadataRecord::from(RegisterBrokerRecord::default()), "REGISTER_BROKER_RECORD", 4),
        (PartitionRecord::default().into(), "PARTITION_RECORD", 2),
        (NoOpRecord::default().into(), "NO_OP_RECORD", 0),
        (ZkMigrationStateRecord::default().into(), "ZK_MIGRATION_STATE_RECORD", 0),
        (RemoveAccessControlEntryRecord::default().into(), "REMOVE_ACCESS_CONTROL_ENTRY_RECORD", 0),
    ] {
        assert_eq!((record.name(), record.lowest_version(), record.highest_version()), (name, 0, highest));
    }
}

#[test]
fn a_record_takes_no_more_memory_than_its_most_frequent_kind_needs() {
    // Partitions are most of a large log. If another kind outgrew them, it should be boxed.
    assert!(size_of::<MetadataRecord>() <= size_of::<PartitionRecord>() + size_of::<usize>());
    assert!(size_of::<MetadataRecord>() <= 256, "{}", size_of::<MetadataRecord>());
    assert_eq!(size_of::<UnknownTags>(), 2 * size_of::<usize>());
}

/// What is refused: the case, the bytes, and the error's record, path, offset and reason.
type Refused<'a> = (&'a str, Vec<u8>, Option<&'a str>, &'a str, usize, DecodeReason);

/// The value of a record: frame version 1, and the rest as given.
fn value(rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(rest.concat());
    bytes
}

const ID: &[u8] = &[7; 16];
const P0: &[u8] = &[0; 4];
/// A uvarint of 5 bytes that is as large as can be.
const HUGE: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x0f];

#[test]
fn what_is_no_record_is_refused_with_record_field_place_and_reason() {
    use DecodeReason::*;
    let unsupported = |found, highest| UnsupportedVersion { found, lowest: 0, highest };
    let some = |record| Some(record);
    let (topic, change, partition) = (some("TopicRecord"), some("PartitionChangeRecord"), some("PartitionRecord"));
    let cases: Vec<Refused<'_>> = vec![
        ("nothing", vec![], None, "frameVersion", 0, Truncated { needed: 1, remaining: 0 }),
        ("Kafka 2.8's frame", vec![0, 20, 0, 0], None, "", 0, FrameVersion { found: 0 }),
        ("a frame to come", vec![2, 20, 0, 0], None, "", 0, FrameVersion { found: 2 }),
        ("api key 6", value(&[&[6, 0, 0]]), None, "", 1, UnknownApiKey { found: 6, version: 0 }),
        ("api key 13", value(&[&[13, 0, 0]]), None, "", 1, UnknownApiKey { found: 13, version: 0 }),
        ("api key 16", value(&[&[16, 0, 0]]), None, "", 1, UnknownApiKey { found: 16, version: 0 }),
        ("api key 30", value(&[&[30, 7, 0]]), None, "", 1, UnknownApiKey { found: 30, version: 7 }),
        ("api key 30, cut off", value(&[&[30]]), None, "version", 2, Truncated { needed: 1, remaining: 0 }),
        ("an api key of 32 bits", value(&[HUGE, &[0, 0]]), None, "", 1, UnknownApiKey { found: u32::MAX, version: 0 }),
        ("NoOp 1", value(&[&[20, 1, 0]]), some("NoOpRecord"), "", 2, unsupported(1, 0)),
        ("PartitionChange 3", value(&[&[5, 3], P0, ID, &[0]]), change, "", 2, unsupported(3, 2)),
        ("RegisterBroker 5", value(&[&[0, 5]]), some("RegisterBrokerRecord"), "", 2, unsupported(5, 4)),
        ("a version of 32 bits", value(&[&[2], HUGE]), topic, "", 2, unsupported(i64::from(u32::MAX), 0)),
        ("a byte after the end", value(&[&[20, 0, 0, 0]]), some("NoOpRecord"), "", 4, TrailingBytes { count: 1 }),
        (
            "no tag section",
            value(&[&[9, 0], ID]),
            some("RemoveTopicRecord"),
            "tags",
            19,
            Truncated { needed: 1, remaining: 0 },
        ),
        ("a null name", value(&[&[2, 0, 0], ID, &[0]]), topic, "name", 3, Null),
        ("null replicas", value(&[&[3, 0], P0, ID, &[0]]), partition, "replicas", 23, Null),
        (
            "a null among texts",
            value(&[&[10, 0, 1, 1, 3, 1, 0]]),
            some("DelegationTokenRecord"),
            "renewers[1]",
            7,
            Null,
        ),
        ("bad UTF-8", value(&[&[2, 0, 3, b'a', 0x80], ID, &[0]]), topic, "name", 5, InvalidUtf8),
        ("half a character", value(&[&[2, 0, 3, b'a', 0xc3], ID, &[0]]), topic, "name", 5, InvalidUtf8),
        ("a surrogate", value(&[&[2, 0, 4, 0xed, 0xa0, 0x80], ID, &[0]]), topic, "name", 4, InvalidUtf8),
        ("a length of 6 bytes", value(&[&[2, 0], &[0x80; 6]]), topic, "name", 3, VarintTooLong { bits: 32 }),
        (
            "a length of 35 bits",
            value(&[&[2, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]]),
            topic,
            "name",
            3,
            VarintTooLong { bits: 32 },
        ),
        ("a name of 4 GiB", value(&[&[2, 0], HUGE]), topic, "name", 8, StringTooLong { length: 0xffff_fffe }),
        ("a name beyond the end", value(&[&[2, 0, 9, b'a']]), topic, "name", 4, Truncated { needed: 8, remaining: 1 }),
        (
            "4 Gi replicas",
            value(&[&[3, 0], P0, ID, HUGE, &[0, 0, 0, 1]]),
            partition,
            "replicas",
            28,
            Truncated { needed: 0xffff_fffe * 4, remaining: 4 },
        ),
        (
            "more endpoints than bytes",
            value(&[&[27, 0], P0, ID, &[0, 5], &[0; 27]]),
            some("RegisterControllerRecord"),
            "endPoints",
            25,
            Truncated { needed: 28, remaining: 27 },
        ),
        (
            "a field within an array",
            value(&[&[27, 0], P0, ID, &[0, 3], &[1, 1, 0, 0, 0, 0, 0], &[1, 0, 0, 0, 0, 0, 0]]),
            some("RegisterControllerRecord"),
            "endPoints[1].host",
            33,
            Null,
        ),
        (
            "tag 8 in version 0",
            value(&[&[5, 0], P0, ID, &[1, 8, 1, 1]]),
            change,
            "tags",
            24,
            TagNotInVersion { tag: 8, version: 0 },
        ),
        (
            "tag 6 in version 1",
            value(&[&[5, 1], P0, ID, &[1, 6, 1, 1]]),
            change,
            "tags",
            24,
            TagNotInVersion { tag: 6, version: 1 },
        ),
        (
            "tag 1 in version 0",
            value(&[&[17, 0], P0, &[0; 8], &[1, 1, 1, 1]]),
            some("BrokerRegistrationChangeRecord"),
            "tags",
            16,
            TagNotInVersion { tag: 1, version: 0 },
        ),
        (
            "a tag twice",
            value(&[&[20, 0, 2, 5, 0, 5, 0]]),
            some("NoOpRecord"),
            "tags",
            6,
            TagOrder { found: 5, previous: 5 },
        ),
        (
            "tags that descend",
            value(&[&[5, 0], P0, ID, &[2, 5, 1, 0, 0, 1, 1]]),
            change,
            "tags",
            27,
            TagOrder { found: 0, previous: 5 },
        ),
        (
            "a size beyond its field",
            value(&[&[5, 0], P0, ID, &[1, 5, 2, 0, 0]]),
            change,
            "tags",
            24,
            TagSize { tag: 5, declared: 2, consumed: 1 },
        ),
        (
            "a size too small for its field",
            value(&[&[5, 0], P0, ID, &[1, 1, 3, 0, 0, 0]]),
            change,
            "leader",
            26,
            Truncated { needed: 4, remaining: 3 },
        ),
        (
            "a size beyond the end",
            value(&[&[20, 0, 1, 5, 2, 0]]),
            some("NoOpRecord"),
            "tags",
            6,
            Truncated { needed: 2, remaining: 1 },
        ),
        ("4 Gi tags", value(&[&[20, 0], HUGE]), some("NoOpRecord"), "tags", 8, Truncated { needed: 1, remaining: 0 }),
        (
            "an unknown tag of 4 GiB",
            value(&[&[20, 0, 1, 5], HUGE]),
            some("NoOpRecord"),
            "tags",
            10,
            Truncated { needed: u32::MAX as usize, remaining: 0 },
        ),
    ];
    for (case, bytes, record, path, offset, reason) in cases {
        let error = VersionedRecord::decode(&bytes).expect_err(case);
        assert_eq!(
            (error.record(), error.path(), error.offset(), error.reason()),
            (record, path, offset, reason),
            "{case}"
        );
    }
}

#[test]
fn a_tag_is_refused_in_every_version_before_its_first() {
    let directories = vec![DirectoryId::LOST];
    let partition = PartitionRecord::default;
    let change = PartitionChangeRecord::default;
    let registration = BrokerRegistrationChangeRecord::default;
    let cases: Vec<(MetadataRecord, i16, u32)> = vec![
        (RegisterBrokerRecord { log_dirs: directories.clone(), ..Default::default() }.into(), 3, 0),
        (PartitionRecord { eligible_leader_replicas: Some(vec![]), ..partition() }.into(), 2, 1),
        (PartitionRecord { last_known_elr: Some(vec![]), ..partition() }.into(), 2, 2),
        (PartitionChangeRecord { directories: Some(vec![]), ..change() }.into(), 1, 8),
        (PartitionChangeRecord { eligible_leader_replicas: Some(vec![]), ..change() }.into(), 2, 6),
        (PartitionChangeRecord { last_known_elr: Some(vec![]), ..change() }.into(), 2, 7),
        (BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..registration() }.into(), 1, 1),
        (BrokerRegistrationChangeRecord { log_dirs: directories, ..registration() }.into(), 2, 2),
        (RegisterBrokerRecord { cordoned_log_dirs: Some(vec![]), ..Default::default() }.into(), 4, 1),
        (BrokerRegistrationChangeRecord { cordoned_log_dirs: Some(vec![]), ..registration() }.into(), 3, 3),
    ];
    for (record, since, tag) in cases {
        let name = record.name();
        let mut bytes = encoded(&VersionedRecord::new(record, since));
        // One version down nothing but the tags differs.
        let version = since - 1;
        bytes[2] = version as u8;
        let error = VersionedRecord::decode(&bytes).expect_err(name);
        assert_eq!(error.reason(), DecodeReason::TagNotInVersion { tag, version }, "{name}");
    }
}

#[test]
fn what_kafka_reads_leniently_is_read_as_kafka_reads_it() {
    let no_op = VersionedRecord::new(NoOpRecord::default(), 0);
    assert_eq!(VersionedRecord::decode(&[0x81, 0, 0x94, 0, 0x80, 0, 0x80, 0]), Ok(no_op), "integers too long");

    let quota = value(&[&[14, 0, 1, 1], &[0; 8], &[2, 0]]);
    let removed = ClientQuotaRecord { remove: true, ..Default::default() };
    assert_eq!(VersionedRecord::decode(&quota), Ok(VersionedRecord::new(removed, 0)), "any byte but 0 is true");

    let unchanged = PartitionChangeRecord {
        topic_id: TopicId(Uuid::from_bytes([7; 16])),
        partition_id: PartitionId(0),
        ..Default::default()
    };
    let defaults = value(&[&[5, 0], P0, ID, &[3, 0, 1, 0, 1, 4, 0xff, 0xff, 0xff, 0xfe, 5, 1, 0xff]]);
    assert_eq!(VersionedRecord::decode(&defaults), Ok(VersionedRecord::new(unchanged, 0)), "tags at their default");
}

#[test]
fn unknown_tags_are_kept_and_written_behind_the_known_ones() {
    let bytes = value(&[&[5, 0], P0, ID, &[3, 5, 1, 1, 9, 2, 0xaa, 0xbb, 200, 1, 0]]);
    let record = VersionedRecord::decode(&bytes).unwrap();
    let MetadataRecord::PartitionChange(change) = &record.record else { panic!("{record:?}") };
    let tags: Vec<_> = change.unknown_tags.iter().cloned().collect();
    assert_eq!(tags, [RawTag { tag: 9, bytes: vec![0xaa, 0xbb] }, RawTag { tag: 200, bytes: vec![] }]);
    assert_eq!(encoded(&record), bytes);
}

#[test]
fn a_control_record_that_is_none_is_refused() {
    use DecodeReason::*;
    for (case, key, value, record, path, offset, reason) in [
        ("no key", &[][..], &[0, 0, 0][..], None, "controlKey", 0, Truncated { needed: 2, remaining: 0 }),
        ("half a key", &[0, 0, 0], &[0, 0, 0], None, "controlKey", 2, Truncated { needed: 2, remaining: 1 }),
        ("a key too long", &[0, 0, 0, 4, 0], &[0, 0, 0], None, "controlKey", 4, TrailingBytes { count: 1 }),
        (
            "a key to come",
            &[0, 1, 0, 4],
            &[0, 0, 0],
            None,
            "controlKey",
            0,
            UnsupportedVersion { found: 1, lowest: 0, highest: 0 },
        ),
        ("a producer's abort", &[0, 0, 0, 0], &[0; 6], None, "controlKey", 2, UnknownControlType { found: 0 }),
        ("a producer's commit", &[0, 0, 0, 1], &[0; 6], None, "controlKey", 2, UnknownControlType { found: 1 }),
        ("type 7", &[0, 0, 0, 7], &[0, 0, 0], None, "controlKey", 2, UnknownControlType { found: 7 }),
        ("a negative type", &[0, 0, 0xff, 0xff], &[0, 0, 0], None, "controlKey", 2, UnknownControlType { found: -1 }),
        (
            "a value too long",
            &[0, 0, 0, 4],
            &[0, 0, 0, 0],
            Some("SnapshotFooterRecord"),
            "",
            3,
            TrailingBytes { count: 1 },
        ),
        (
            "an empty value",
            &[0, 0, 0, 4],
            &[],
            Some("SnapshotFooterRecord"),
            "version",
            0,
            Truncated { needed: 2, remaining: 0 },
        ),
    ] {
        let error = ControlRecord::decode(key, value).expect_err(case);
        assert_eq!(
            (error.record(), error.path(), error.offset(), error.reason()),
            (record, path, offset, reason),
            "{case}"
        );
    }
}

#[test]
fn a_record_that_its_version_can_not_hold_is_not_written() {
    let directories = vec![DirectoryId::LOST];
    let tags = |tag| UnknownTags::new(vec![RawTag { tag, bytes: vec![] }]);
    let not_in = |version| EncodeReason::NotInVersion { version };
    let cases: Vec<(MetadataRecord, i16, &str, EncodeReason)> = vec![
        (
            RegisterBrokerRecord { is_migrating_zk_broker: true, ..Default::default() }.into(),
            1,
            "isMigratingZkBroker",
            not_in(1),
        ),
        (
            RegisterBrokerRecord { in_controlled_shutdown: true, ..Default::default() }.into(),
            0,
            "inControlledShutdown",
            not_in(0),
        ),
        (RegisterBrokerRecord { log_dirs: directories.clone(), ..Default::default() }.into(), 2, "logDirs", not_in(2)),
        (
            PartitionRecord { directories: directories.clone(), ..Default::default() }.into(),
            0,
            "directories",
            not_in(0),
        ),
        (
            PartitionRecord { eligible_leader_replicas: Some(vec![]), ..Default::default() }.into(),
            1,
            "eligibleLeaderReplicas",
            not_in(1),
        ),
        (
            PartitionChangeRecord { directories: Some(directories), ..Default::default() }.into(),
            0,
            "directories",
            not_in(0),
        ),
        (
            PartitionChangeRecord { last_known_elr: Some(vec![]), ..Default::default() }.into(),
            1,
            "lastKnownElr",
            not_in(1),
        ),
        (
            BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..Default::default() }.into(),
            0,
            "inControlledShutdown",
            not_in(0),
        ),
        (NoOpRecord::default().into(), 1, "", EncodeReason::UnsupportedVersion { asked: 1, lowest: 0, highest: 0 }),
        (
            PartitionRecord::default().into(),
            -1,
            "",
            EncodeReason::UnsupportedVersion { asked: -1, lowest: 0, highest: 2 },
        ),
        (
            TopicRecord { name: "x".repeat(0x8000), ..Default::default() }.into(),
            0,
            "name",
            EncodeReason::StringTooLong { length: 0x8000 },
        ),
        (
            DelegationTokenRecord { renewers: vec![String::new(), "x".repeat(0x8000)], ..Default::default() }.into(),
            0,
            "renewers[1]",
            EncodeReason::StringTooLong { length: 0x8000 },
        ),
        (
            PartitionRecord { unknown_tags: tags(2), ..Default::default() }.into(),
            1,
            "tags",
            EncodeReason::TagOrder { found: 2, lowest: 3 },
        ),
    ];
    for (record, version, path, reason) in cases {
        let name = record.name();
        let mut out = vec![7];
        let error = VersionedRecord::new(record, version).encode(&mut out).expect_err(name);
        assert_eq!((error.path(), error.reason()), (path, reason), "{name}");
        assert!(error.record().is_some_and(|record| error.to_string().starts_with(record)), "{error}");
        assert_eq!(out, [7], "nothing is appended");
    }
    // A voter's directory, in the version that Kafka 3.9 writes.
    let voter = LeaderChangeVoter { voter_directory_id: DirectoryId::LOST, ..Default::default() };
    let message = LeaderChangeMessage { voters: vec![voter], ..Default::default() };
    let mut body = vec![7];
    let error = message.encode_body(0, &mut body).unwrap_err();
    assert_eq!((error.path(), error.reason()), ("voters[0].voterDirectoryId", not_in(0)));
    let (mut key, mut value) = (vec![7], vec![7]);
    assert_eq!(ControlRecord::from(message).encode(&mut key, &mut value), Err(error));
    assert_eq!([body, key, value], [[7], [7], [7]], "nothing is appended");
}

#[test]
fn the_body_ends_where_it_ends() {
    let mut out = Vec::new();
    RemoveTopicRecord::default().encode_body(0, &mut out).unwrap();
    put_uvarint(&mut out, 5);
    let mut reader = Reader::new(&out);
    assert_eq!(RemoveTopicRecord::decode_body(&mut reader, 0), Ok(RemoveTopicRecord::default()));
    assert_eq!(reader.uvarint(), Ok(5));
}

#[test]
fn kafkas_defaults_are_ours() {
    let broker = RegisterBrokerRecord::default();
    assert!(broker.fenced && !broker.is_migrating_zk_broker && broker.rack == Some(String::new()));
    let partition = PartitionRecord::default();
    assert_eq!((partition.leader, partition.leader_epoch.0, partition.partition_epoch.0), (NodeId::NONE, -1, -1));
    assert_eq!((partition.leader_recovery_state, partition.eligible_leader_replicas), (0, None));
    let change = PartitionChangeRecord::default();
    assert_eq!((change.leader, change.leader_recovery_state, change.isr), (NO_LEADER_CHANGE, -1, None));
    assert_eq!(ProducerIdsRecord::default().broker_epoch, BrokerEpoch(-1));
}

#[test]
fn secrets_are_in_no_debug_output() {
    let scram = UserScramCredentialRecord {
        name: "alice".into(),
        salt: b"SALT".to_vec(),
        stored_key: b"STORED".to_vec(),
        server_key: b"SERVER".to_vec(),
        iterations: 4096,
        ..Default::default()
    };
    let config = ConfigRecord { name: "ssl.key.password".into(), value: Some("hunter2".into()), ..Default::default() };
    for record in [MetadataRecord::from(scram), config.into()] {
        let record = VersionedRecord::new(record, 0);
        for shown in [format!("{record:?}"), format!("{record:#?}"), format!("{:?}", record.fields())] {
            assert!(shown.contains("[redacted]"), "{shown}");
            for secret in ["hunter2", "SALT", "STORED", "SERVER", "83, 65, 76, 84", "83, 84, 79", "83, 69, 82"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
    let deleted = ConfigRecord { value: None, ..Default::default() };
    assert!(format!("{deleted:?}").contains("value: None"), "that a config is deleted is no secret");
}

#[test]
fn secrets_are_marked_among_the_fields() {
    let config = ConfigRecord { resource_type: 2, value: Some("v".into()), ..Default::default() };
    assert_eq!(
        config.fields(0),
        [
            ("resourceType", FieldValue::Int(2)),
            ("resourceName", FieldValue::Text(String::new())),
            ("name", FieldValue::Text(String::new())),
            ("value", FieldValue::Secret(Box::new(FieldValue::Text("v".into())))),
        ]
    );
}
