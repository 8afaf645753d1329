//! An image as records: nothing gets lost on the way, and what would be is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use metadata_core::id::{
    AclId, BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, ProducerId, TimestampMs, TopicId,
};
use metadata_core::image::{MetadataDelta, MetadataImage, UnwritableMetadata};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::*;
use metadata_core::uuid::Uuid;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn version(level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: MetadataVersion::FEATURE_NAME.into(), feature_level: level, ..Default::default() }.into()
}

fn topic_id(number: u64) -> TopicId {
    TopicId(Uuid::from_u64_pair(9, number))
}

fn broker(id: i32) -> RegisterBrokerRecord {
    RegisterBrokerRecord { broker_id: NodeId(id), broker_epoch: BrokerEpoch(7), ..Default::default() }
}

fn topic(number: u64) -> MetadataRecord {
    TopicRecord { name: format!("topic-{number}"), topic_id: topic_id(number), ..Default::default() }.into()
}

fn partition(number: u64) -> PartitionRecord {
    PartitionRecord {
        topic_id: topic_id(number),
        partition_id: PartitionId(0),
        replicas: vec![NodeId(1), NodeId(2)],
        ..Default::default()
    }
}

/// Also the three that are reserved.
fn directory() -> impl Strategy<Value = DirectoryId> {
    (0..6u64).prop_map(|low| DirectoryId(Uuid::from_u64_pair(low / 3, low)))
}

fn nodes() -> impl Strategy<Value = Vec<NodeId>> {
    vec((0..5).prop_map(NodeId), 0..4)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-c]{1,2}", Just("müller%20".to_owned())]
}

fn registration() -> impl Strategy<Value = MetadataRecord> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let broker = (0..4, any::<i64>(), text(), option::of(text()), flags, vec(directory(), 0..3)).prop_map(
        |(id, epoch, host, rack, (fenced, in_controlled_shutdown, is_migrating_zk_broker), log_dirs)| {
            let end_points = ["A", "B"].map(|name| BrokerEndpoint {
                name: name.into(),
                host: host.clone(),
                port: 9092,
                ..Default::default()
            });
            let features = vec![BrokerFeature { name: host, max_supported_version: id as i16, ..Default::default() }];
            RegisterBrokerRecord {
                broker_id: NodeId(id),
                broker_epoch: BrokerEpoch(epoch),
                end_points: end_points.into(),
                features,
                rack,
                fenced,
                in_controlled_shutdown,
                is_migrating_zk_broker,
                log_dirs,
                ..Default::default()
            }
            .into()
        },
    );
    let controller = (0..3, any::<bool>(), text()).prop_map(|(id, zk_migration_ready, host)| {
        let end_points =
            vec![ControllerEndpoint { name: "C".into(), host, security_protocol: 3, ..Default::default() }];
        RegisterControllerRecord { controller_id: NodeId(id), zk_migration_ready, end_points, ..Default::default() }
            .into()
    });
    let unregister =
        (0..4).prop_map(|id| UnregisterBrokerRecord { broker_id: NodeId(id), ..Default::default() }.into());
    prop_oneof![3 => broker, 2 => controller, 1 => unregister]
}

fn feature() -> impl Strategy<Value = MetadataRecord> {
    let finalized = (text(), 0..3i16)
        .prop_map(|(name, feature_level)| FeatureLevelRecord { name, feature_level, ..Default::default() }.into());
    let state = (0..4i8)
        .prop_map(|zk_migration_state| ZkMigrationStateRecord { zk_migration_state, ..Default::default() }.into());
    prop_oneof![finalized, state, (1..=23i16).prop_map(version)]
}

fn topics() -> impl Strategy<Value = MetadataRecord> {
    let elr = || option::of(nodes());
    let partition = (0..4u64, 0..3, nodes(), nodes(), (-1..3, 0..2i8, any::<i32>()), vec(directory(), 4), elr(), elr())
        .prop_map(|(topic, number, replicas, isr, (leader, recovery, epoch), directories, elr, last_known_elr)| {
            PartitionRecord {
                topic_id: topic_id(topic),
                partition_id: PartitionId(number),
                directories: directories.into_iter().take(replicas.len()).collect(),
                removing_replicas: isr.clone(),
                adding_replicas: replicas.clone(),
                replicas,
                isr,
                leader: NodeId(leader),
                leader_recovery_state: recovery,
                leader_epoch: LeaderEpoch(epoch),
                partition_epoch: PartitionEpoch(epoch),
                eligible_leader_replicas: elr,
                last_known_elr,
                ..Default::default()
            }
            .into()
        });
    let remove =
        (0..4u64).prop_map(|number| RemoveTopicRecord { topic_id: topic_id(number), ..Default::default() }.into());
    prop_oneof![3 => (0..4u64).prop_map(topic), 6 => partition, 1 => remove]
}

fn entity() -> impl Strategy<Value = MetadataRecord> {
    let config = (prop_oneof![Just(2i8), Just(4), Just(16), any::<i8>()], text(), text(), option::of(text())).prop_map(
        |(resource_type, resource_name, name, value)| {
            ConfigRecord { resource_type, resource_name, name, value, ..Default::default() }.into()
        },
    );
    let part = (prop_oneof![Just("user"), Just("client-id"), Just("ip")], option::of(text()))
        .prop_map(|(kind, name)| QuotaEntityData { entity_type: kind.into(), entity_name: name, ..Default::default() });
    let value = prop_oneof![any::<f64>(), Just(f64::NAN), Just(-0.0)];
    let quota = (vec(part, 1..3), text(), value, any::<bool>()).prop_map(|(entity, key, value, remove)| {
        ClientQuotaRecord { entity, key, value, remove, ..Default::default() }.into()
    });
    let acl = (0..4u64, text(), 2..8i8).prop_map(|(id, name, code)| {
        AccessControlEntryRecord {
            id: AclId(Uuid::from_u64_pair(8, id)),
            resource_type: code,
            resource_name: name.clone(),
            pattern_type: 3,
            principal: name,
            operation: code,
            permission_type: 2,
            ..Default::default()
        }
        .into()
    });
    let scram = (text(), 1..3i8, vec(any::<u8>(), 0..4)).prop_map(|(name, mechanism, salt)| {
        let stored_key = salt.iter().rev().copied().collect();
        let server_key = salt.clone();
        UserScramCredentialRecord {
            name,
            mechanism,
            salt,
            stored_key,
            server_key,
            iterations: 4096,
            ..Default::default()
        }
        .into()
    });
    let token = (text(), vec(text(), 0..3), any::<i64>()).prop_map(|(token_id, renewers, time)| {
        DelegationTokenRecord {
            owner: "User:a".into(),
            requester: "User:b".into(),
            renewers,
            issue_timestamp: TimestampMs(time),
            max_timestamp: TimestampMs(time.wrapping_add(1)),
            expiration_timestamp: TimestampMs(time.wrapping_add(2)),
            token_id,
            ..Default::default()
        }
        .into()
    });
    let producer = any::<i64>()
        .prop_map(|next| ProducerIdsRecord { next_producer_id: ProducerId(next), ..Default::default() }.into());
    prop_oneof![config, quota, acl, scram, token, producer]
}

/// Any image: what can't be replayed is left out.
fn image() -> impl Strategy<Value = MetadataImage> {
    vec(prop_oneof![registration(), feature(), topics(), entity()], 0..60).prop_map(|records| {
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        records.iter().for_each(|record| drop(delta.replay(record)));
        delta.image().clone()
    })
}

/// Through their bytes, on an empty image.
fn replayed(records: impl Iterator<Item = VersionedRecord>) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    for record in records {
        let mut bytes = Vec::new();
        record.encode(&mut bytes).unwrap();
        delta.replay(&VersionedRecord::decode(&bytes).unwrap().record).unwrap();
    }
    delta.image().clone()
}

proptest! {
    #[test]
    fn the_records_of_an_image_give_it_back(image in image()) {
        prop_assert!(replayed(image.to_records_at(MetadataVersion::HIGHEST).unwrap()).same_metadata(&image));
    }

    #[test]
    fn at_any_version_the_records_give_the_image_back_or_there_are_none(image in image(), level in 1..=23i16) {
        let version = MetadataVersion::from_level(level).unwrap();
        match image.to_records_at(version) {
            Ok(records) => prop_assert!(replayed(records).same_metadata(&image)),
            Err(unwritable) => {
                prop_assert_eq!(unwritable.version, version);
                prop_assert!(unwritable.needed > version);
                // From there on it is something else, or nothing.
                let again = image.to_records_at(unwritable.needed).map(drop);
                prop_assert!(again.is_ok() || again.unwrap_err().needed > unwritable.needed);
            }
        }
    }
}

/// What each level brought to the records, with the name that the error has for it.
fn first_at(level: i16) -> Vec<(Vec<MetadataRecord>, &'static str)> {
    let state = |state: ZkMigrationState| vec![state.to_record().into()];
    match level {
        7 => vec![(
            vec![RegisterBrokerRecord { in_controlled_shutdown: true, ..broker(4) }.into()],
            "the controlled shutdown of broker 4",
        )],
        8 => vec![
            (
                vec![RegisterBrokerRecord { is_migrating_zk_broker: true, ..broker(4) }.into()],
                "the mark as a migrating ZooKeeper broker of broker 4",
            ),
            (state(ZkMigrationState::Migration), "the migration state MIGRATION"),
        ],
        11 => vec![(
            vec![UserScramCredentialRecord { name: "alice".into(), mechanism: 1, ..Default::default() }.into()],
            "the SCRAM credential of user \"alice\"",
        )],
        14 => vec![(
            vec![DelegationTokenRecord { token_id: "t1".into(), ..Default::default() }.into()],
            "the delegation token \"t1\"",
        )],
        15 => vec![(
            vec![RegisterControllerRecord { controller_id: NodeId(3000), ..Default::default() }.into()],
            "the registration of controller 3000",
        )],
        17 => vec![
            (
                vec![RegisterBrokerRecord { log_dirs: vec![DirectoryId::LOST], ..broker(4) }.into()],
                "the log directories of broker 4",
            ),
            (
                vec![
                    topic(1),
                    PartitionRecord { directories: vec![DirectoryId::LOST, DirectoryId::MIGRATING], ..partition(1) }
                        .into(),
                ],
                "the log directories of partition topic-1-0",
            ),
        ],
        23 => vec![
            (
                vec![
                    topic(1),
                    PartitionRecord { eligible_leader_replicas: Some(vec![NodeId(1)]), ..partition(1) }.into(),
                ],
                "the eligible leader replicas of partition topic-1-0",
            ),
            (
                vec![topic(1), PartitionRecord { last_known_elr: Some(vec![NodeId(1)]), ..partition(1) }.into()],
                "the eligible leader replicas of partition topic-1-0",
            ),
        ],
        30 => vec![(
            vec![RegisterBrokerRecord { cordoned_log_dirs: Some(vec![]), ..broker(4) }.into()],
            "the cordoned log directories of broker 4",
        )],
        _ => vec![],
    }
}

#[test]
fn what_a_metadata_version_can_not_hold_is_named_and_nothing_is_lost() {
    let mut rows = 0;
    for needed in MetadataVersion::all() {
        for (records, what) in first_at(needed.level()) {
            rows += 1;
            for at in MetadataVersion::all() {
                let mut delta = MetadataDelta::new(&MetadataImage::empty());
                let all = [vec![version(at.level())], records.clone()].concat();
                all.iter().for_each(|record| delta.replay(record).unwrap());
                let image = delta.image();
                match image.to_records() {
                    Ok(kept) => {
                        assert!(at >= needed, "{what} at {at}");
                        assert!(replayed(kept).same_metadata(image), "{what} at {at}");
                    }
                    Err(unwritable) => {
                        let expected = UnwritableMetadata { what: what.to_owned(), version: at, needed };
                        assert_eq!(unwritable, expected);
                        assert!(at < needed, "{what} at {at}");
                    }
                }
            }
        }
    }
    assert_eq!(rows, 11);
}

#[test]
fn the_error_names_the_thing_the_reason_and_the_way_out() {
    let error = UnwritableMetadata {
        what: "the delegation token \"t1\"".into(),
        version: MetadataVersion::V3_6_IV1,
        needed: MetadataVersion::V3_6_IV2,
    };
    assert_eq!(
        error.to_string(),
        "the delegation token \"t1\" can't be written at metadata.version 3.6-IV1, only from 3.6-IV2 on: raise it, or \
         take that away first"
    );
}
