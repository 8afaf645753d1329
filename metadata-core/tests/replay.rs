//! What each record does to an image, a row for each rule of Kafka's `image/*Delta.java`; and transactions in a log.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use metadata_core::id::{
    AclId, BrokerEpoch, DirectoryId, IncarnationId, KRaftLeaderEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch,
    PartitionId, Position, ProducerId, TimestampMs, TopicId,
};
use metadata_core::image::{
    Endpoint, FeatureRange, ImageLoader, LeaderRecoveryState, MetadataDelta, MetadataImage, ReplayError,
};
use metadata_core::record::*;
use metadata_core::uuid::Uuid;

/// What a row expects.
enum Then {
    /// The image that these records make on an empty one.
    Holds(Vec<MetadataRecord>),
    /// An error that says this; the image stays as it was.
    Refused(&'static str),
}

use Then::{Holds, Refused};

struct Row {
    rule: &'static str,
    before: Vec<MetadataRecord>,
    record: MetadataRecord,
    then: Then,
}

fn row(rule: &'static str, before: impl AsRef<[MetadataRecord]>, record: impl Into<MetadataRecord>, then: Then) -> Row {
    Row { rule, before: before.as_ref().to_vec(), record: record.into(), then }
}

fn replayed(records: &[MetadataRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    records.iter().for_each(|record| delta.replay(record).unwrap());
    delta.image().clone()
}

fn check(rows: Vec<Row>) {
    for Row { rule, before, record, then } in rows {
        let before = replayed(&before);
        let mut delta = MetadataDelta::new(&before);
        let result = delta.replay(&record);
        match then {
            Holds(records) => {
                result.unwrap_or_else(|error| panic!("{rule}: {error}"));
                let expected = replayed(&records);
                assert!(delta.image().same_metadata(&expected), "{rule}: {:?}, not {expected:?}", delta.image());
            }
            Refused(reason) => {
                let error = result.map_or_else(|error| error.to_string(), |()| panic!("{rule}: it was taken"));
                assert!(error.contains(reason) && error.contains(record.name()), "{rule}: {error}");
                assert!(delta.image().same_metadata(&before), "{rule}: the image changed");
            }
        }
    }
}

const TOPIC: TopicId = TopicId(Uuid::from_u64_pair(9, 1));
const OTHER: TopicId = TopicId(Uuid::from_u64_pair(9, 2));
const D1: DirectoryId = DirectoryId(Uuid::from_u64_pair(7, 1));
const D2: DirectoryId = DirectoryId(Uuid::from_u64_pair(7, 2));
const D3: DirectoryId = DirectoryId(Uuid::from_u64_pair(7, 3));
const ACL: AclId = AclId(Uuid::from_u64_pair(8, 1));

fn nodes<const N: usize>(ids: [i32; N]) -> Vec<NodeId> {
    ids.map(NodeId).to_vec()
}

fn some<const N: usize>(ids: [i32; N]) -> Option<Vec<NodeId>> {
    Some(nodes(ids))
}

fn broker() -> RegisterBrokerRecord {
    RegisterBrokerRecord {
        broker_id: NodeId(1),
        broker_epoch: BrokerEpoch(70),
        incarnation_id: IncarnationId(Uuid::from_u64_pair(6, 1)),
        is_migrating_zk_broker: true,
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".into(),
            host: "host1".into(),
            port: 9092,
            security_protocol: 0,
            ..Default::default()
        }],
        features: vec![BrokerFeature {
            name: "metadata.version".into(),
            min_supported_version: 1,
            max_supported_version: 21,
            ..Default::default()
        }],
        rack: Some("r1".into()),
        log_dirs: vec![D2, D1],
        ..Default::default()
    }
}

fn controller() -> RegisterControllerRecord {
    RegisterControllerRecord {
        controller_id: NodeId(3000),
        incarnation_id: IncarnationId(Uuid::from_u64_pair(6, 2)),
        zk_migration_ready: true,
        end_points: vec![ControllerEndpoint {
            name: "CONTROLLER".into(),
            host: "host3".into(),
            port: 9093,
            security_protocol: 1,
            ..Default::default()
        }],
        features: vec![ControllerFeature {
            name: "kraft.version".into(),
            min_supported_version: 0,
            max_supported_version: 1,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn change_broker(epoch: i64) -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord { broker_id: NodeId(1), broker_epoch: BrokerEpoch(epoch), ..Default::default() }
}

fn topic(id: TopicId, name: &str) -> MetadataRecord {
    TopicRecord { name: name.into(), topic_id: id, ..Default::default() }.into()
}

/// Partition 0 of the topic, on brokers 1 to 3, led by 1.
fn partition() -> PartitionRecord {
    PartitionRecord {
        partition_id: PartitionId(0),
        topic_id: TOPIC,
        replicas: nodes([1, 2, 3]),
        isr: nodes([1, 2]),
        removing_replicas: nodes([3]),
        adding_replicas: nodes([2]),
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(9),
        ..Default::default()
    }
}

fn change() -> PartitionChangeRecord {
    PartitionChangeRecord { partition_id: PartitionId(0), topic_id: TOPIC, ..Default::default() }
}

fn config(resource_type: i8, resource: &str, name: &str, value: Option<&str>) -> MetadataRecord {
    ConfigRecord {
        resource_type,
        resource_name: resource.into(),
        name: name.into(),
        value: value.map(str::to_owned),
        ..Default::default()
    }
    .into()
}

fn quota(entity: &[(&str, Option<&str>)], key: &str, value: f64, remove: bool) -> MetadataRecord {
    let part = |(kind, name): &(&str, Option<&str>)| QuotaEntityData {
        entity_type: (*kind).into(),
        entity_name: name.map(str::to_owned),
        ..Default::default()
    };
    ClientQuotaRecord {
        entity: entity.iter().map(part).collect(),
        key: key.into(),
        value,
        remove,
        ..Default::default()
    }
    .into()
}

fn level(name: &str, feature_level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.into(), feature_level, ..Default::default() }.into()
}

fn state(code: i8) -> MetadataRecord {
    ZkMigrationStateRecord { zk_migration_state: code, ..Default::default() }.into()
}

fn acl(id: AclId, principal: &str) -> MetadataRecord {
    AccessControlEntryRecord {
        id,
        resource_type: 2,
        resource_name: "orders".into(),
        pattern_type: 3,
        principal: principal.into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
        ..Default::default()
    }
    .into()
}

fn scram(user: &str, mechanism: i8, iterations: i32) -> MetadataRecord {
    UserScramCredentialRecord { name: user.into(), mechanism, iterations, ..Default::default() }.into()
}

fn remove_scram(user: &str, mechanism: i8) -> MetadataRecord {
    RemoveUserScramCredentialRecord { name: user.into(), mechanism, ..Default::default() }.into()
}

fn token(id: &str, expires: i64) -> MetadataRecord {
    DelegationTokenRecord {
        token_id: id.into(),
        owner: "User:alice".into(),
        expiration_timestamp: TimestampMs(expires),
        ..Default::default()
    }
    .into()
}

fn producer_ids(next: i64) -> MetadataRecord {
    ProducerIdsRecord { next_producer_id: ProducerId(next), broker_id: NodeId(next as i32), ..Default::default() }
        .into()
}

fn no_op() -> MetadataRecord {
    NoOpRecord::default().into()
}

fn begin() -> MetadataRecord {
    BeginTransactionRecord::default().into()
}

fn end() -> MetadataRecord {
    EndTransactionRecord::default().into()
}

fn abort() -> MetadataRecord {
    AbortTransactionRecord::default().into()
}

#[test]
fn every_field_of_a_registration_and_a_partition_is_in_the_image() {
    let directories = vec![D1, DirectoryId::MIGRATING, DirectoryId::UNASSIGNED];
    let with = PartitionRecord {
        leader_recovery_state: 1,
        directories: directories.clone(),
        eligible_leader_replicas: some([3]),
        last_known_elr: some([2]),
        ..partition()
    };
    let image = replayed(&[broker().into(), controller().into(), topic(TOPIC, "orders"), with.into()]);

    let broker = image.cluster().broker(NodeId(1)).unwrap();
    assert_eq!((broker.epoch, broker.incarnation_id.0), (BrokerEpoch(70), Uuid::from_u64_pair(6, 1)));
    let plain = Endpoint { host: "host1".into(), port: 9092, security_protocol: 0 };
    assert_eq!(broker.endpoints, [("PLAINTEXT".to_owned(), plain)].into());
    assert_eq!(broker.features, [("metadata.version".to_owned(), FeatureRange { min: 1, max: 21 })].into());
    assert_eq!(broker.rack.as_deref(), Some("r1"));
    assert_eq!((broker.fenced, broker.in_controlled_shutdown, broker.is_migrating_zk_broker), (true, false, true));
    assert_eq!(broker.directories, [D1, D2], "ascending");

    let controller = image.cluster().controller(NodeId(3000)).unwrap();
    assert_eq!((controller.incarnation_id.0, controller.zk_migration_ready), (Uuid::from_u64_pair(6, 2), true));
    let ssl = Endpoint { host: "host3".into(), port: 9093, security_protocol: 1 };
    assert_eq!(controller.endpoints, [("CONTROLLER".to_owned(), ssl)].into());
    assert_eq!(controller.features, [("kraft.version".to_owned(), FeatureRange { min: 0, max: 1 })].into());

    let partition = image.topics().partition(TOPIC, PartitionId(0)).unwrap();
    assert_eq!((&*partition.replicas, &*partition.isr), (&*nodes([1, 2, 3]), &*nodes([1, 2])));
    assert_eq!((&*partition.removing_replicas, &*partition.adding_replicas), (&*nodes([3]), &*nodes([2])));
    assert_eq!((&*partition.elr, &*partition.last_known_elr), (&*nodes([3]), &*nodes([2])));
    assert_eq!(*partition.directories, *directories);
    assert_eq!((partition.leader, partition.leader_epoch), (Some(NodeId(1)), LeaderEpoch(5)));
    assert_eq!(partition.partition_epoch, PartitionEpoch(9));
    assert_eq!(partition.leader_recovery_state, LeaderRecoveryState::Recovering);
}

#[test]
fn registrations() {
    let fence =
        |id: i32, epoch: i64| FenceBrokerRecord { id: NodeId(id), epoch: BrokerEpoch(epoch), ..Default::default() };
    let unfence =
        |id: i32, epoch: i64| UnfenceBrokerRecord { id: NodeId(id), epoch: BrokerEpoch(epoch), ..Default::default() };
    let unregister = |id: i32, epoch: i64| UnregisterBrokerRecord {
        broker_id: NodeId(id),
        broker_epoch: BrokerEpoch(epoch),
        ..Default::default()
    };
    let fenced = [broker().into()];
    let unfenced = [RegisterBrokerRecord { fenced: false, ..broker() }.into()];
    let stopping = RegisterBrokerRecord { in_controlled_shutdown: true, ..broker() };
    // A new start: nothing of the earlier registration stays.
    let anew = RegisterBrokerRecord {
        broker_id: NodeId(1),
        broker_epoch: BrokerEpoch(90),
        rack: None,
        fenced: false,
        ..Default::default()
    };
    let restarted = RegisterControllerRecord { controller_id: NodeId(3000), ..Default::default() };
    check(vec![
        row("RegisterBroker adds", [], broker(), Holds(fenced.to_vec())),
        row("RegisterBroker replaces all of it", [stopping.clone().into()], anew.clone(), Holds(vec![anew.into()])),
        row("UnregisterBroker removes", &fenced, unregister(1, 70), Holds(vec![])),
        row("UnregisterBroker does not compare the epoch", &fenced, unregister(1, 1), Holds(vec![])),
        row("UnregisterBroker of an unknown id is ignored", &fenced, unregister(2, 70), Holds(fenced.to_vec())),
        row("FenceBroker fences", &unfenced, fence(1, 70), Holds(fenced.to_vec())),
        row("FenceBroker fences again", &fenced, fence(1, 70), Holds(fenced.to_vec())),
        row("FenceBroker of an unknown id", &unfenced, fence(2, 70), Refused("broker 2 is not registered")),
        row("FenceBroker of another epoch", &unfenced, fence(1, 71), Refused("with epoch 70, not 71")),
        row("UnfenceBroker unfences", &fenced, unfence(1, 70), Holds(unfenced.to_vec())),
        row("UnfenceBroker of an unknown id", &fenced, unfence(2, 70), Refused("broker 2 is not registered")),
        row("UnfenceBroker of another epoch", &fenced, unfence(1, 69), Refused("with epoch 70, not 69")),
        row("an empty change changes nothing", &fenced, change_broker(70), Holds(fenced.to_vec())),
        row(
            "Fenced -1 unfences",
            &fenced,
            BrokerRegistrationChangeRecord { fenced: -1, ..change_broker(70) },
            Holds(unfenced.to_vec()),
        ),
        row(
            "Fenced 1 fences",
            &unfenced,
            BrokerRegistrationChangeRecord { fenced: 1, ..change_broker(70) },
            Holds(fenced.to_vec()),
        ),
        row(
            "Fenced 2 means nothing",
            &fenced,
            BrokerRegistrationChangeRecord { fenced: 2, ..change_broker(70) },
            Refused("fencing change 2 is unknown"),
        ),
        row(
            "InControlledShutdown 1 enters it",
            &fenced,
            BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..change_broker(70) },
            Holds(vec![stopping.clone().into()]),
        ),
        row(
            "InControlledShutdown 0 does not leave it",
            [stopping.clone().into()],
            change_broker(70),
            Holds(vec![stopping.clone().into()]),
        ),
        row(
            "InControlledShutdown -1 means nothing",
            [stopping.into()],
            BrokerRegistrationChangeRecord { in_controlled_shutdown: -1, ..change_broker(70) },
            Refused("controlled shutdown change -1 is unknown"),
        ),
        row(
            "LogDirs replaces the set",
            &fenced,
            BrokerRegistrationChangeRecord { log_dirs: vec![D3, D2], ..change_broker(70) },
            Holds(vec![RegisterBrokerRecord { log_dirs: vec![D2, D3], ..broker() }.into()]),
        ),
        row(
            "CordonedLogDirs replaces the set, also by none",
            [RegisterBrokerRecord { cordoned_log_dirs: Some(vec![D1]), ..broker() }.into()],
            BrokerRegistrationChangeRecord { cordoned_log_dirs: Some(vec![]), ..change_broker(70) },
            Holds(vec![RegisterBrokerRecord { cordoned_log_dirs: Some(vec![]), ..broker() }.into()]),
        ),
        row(
            "CordonedLogDirs null leaves the set",
            [RegisterBrokerRecord { cordoned_log_dirs: Some(vec![D1]), ..broker() }.into()],
            BrokerRegistrationChangeRecord { fenced: 1, ..change_broker(70) },
            Holds(vec![RegisterBrokerRecord { cordoned_log_dirs: Some(vec![D1]), ..broker() }.into()]),
        ),
        row(
            "a change of another epoch",
            &fenced,
            BrokerRegistrationChangeRecord { fenced: -1, ..change_broker(71) },
            Refused("with epoch 70, not 71"),
        ),
        row("a change of an unknown broker", [], change_broker(70), Refused("broker 1 is not registered")),
        row("RegisterController adds", [], controller(), Holds(vec![controller().into()])),
        row(
            "UnregisterController removes",
            [controller().into()],
            UnregisterControllerRecord { controller_id: NodeId(3000), ..Default::default() },
            Holds(vec![]),
        ),
        row(
            "UnregisterController of an unknown id is ignored",
            [controller().into()],
            UnregisterControllerRecord { controller_id: NodeId(3001), ..Default::default() },
            Holds(vec![controller().into()]),
        ),
        row(
            "RegisterController replaces all of it",
            [controller().into()],
            restarted.clone(),
            Holds(vec![restarted.into()]),
        ),
    ]);
}

#[test]
fn features_and_the_migration_state() {
    let version = level("metadata.version", 21);
    check(vec![
        row("metadata.version is set", [], version.clone(), Holds(vec![version.clone()])),
        row("metadata.version goes up", [level("metadata.version", 14)], version.clone(), Holds(vec![version.clone()])),
        row(
            "metadata.version goes down",
            [version.clone()],
            level("metadata.version", 20),
            Holds(vec![level("metadata.version", 20)]),
        ),
        row(
            "metadata.version 23 is the highest",
            [],
            level("metadata.version", 23),
            Holds(vec![level("metadata.version", 23)]),
        ),
        row(
            "metadata.version 34 is unknown",
            [version.clone()],
            level("metadata.version", 34),
            Refused("level 34 is unknown"),
        ),
        row(
            "metadata.version can't be removed",
            [version.clone()],
            level("metadata.version", 0),
            Refused("level 0 is unknown"),
        ),
        row("another feature is finalized", [], level("group.version", 1), Holds(vec![level("group.version", 1)])),
        row(
            "level 0 removes it",
            [level("group.version", 1), version.clone()],
            level("group.version", 0),
            Holds(vec![version]),
        ),
        row("level 0 of an unknown one", [], level("group.version", 0), Holds(vec![])),
        row("the state is set", [], state(2), Holds(vec![state(2)])),
        row("any change of it is taken", [state(3)], state(1), Holds(vec![state(1)])),
        row("NONE is the state without a record", [state(1)], state(0), Holds(vec![])),
        row("4 is read", [], state(4), Holds(vec![state(4)])),
        row("5 is unknown", [state(1)], state(5), Refused("migration state 5 is unknown")),
    ]);
}

#[test]
fn topics() {
    let orders = [topic(TOPIC, "orders"), partition().into(), config(2, "orders", "retention.ms", Some("1"))];
    let remove = |topic_id| RemoveTopicRecord { topic_id, ..Default::default() };
    let broker = config(4, "orders", "log.cleaner.threads", Some("2"));
    let with_broker = [orders.as_slice(), std::slice::from_ref(&broker)].concat();
    check(vec![
        row("Topic creates it without partitions", [], topic(TOPIC, "orders"), Holds(vec![topic(TOPIC, "orders")])),
        row("the same id again resets it", &orders[..2], topic(TOPIC, "orders"), Holds(vec![topic(TOPIC, "orders")])),
        row("the same id under another name", &orders[..2], topic(TOPIC, "new"), Holds(vec![topic(TOPIC, "new")])),
        row("another id of a name in use", &orders, topic(OTHER, "orders"), Refused("\"orders\" exists already")),
        row("RemoveTopic takes partitions and configs along", &orders, remove(TOPIC), Holds(vec![])),
        row("RemoveTopic leaves a broker's configs of that name", &with_broker, remove(TOPIC), Holds(vec![broker])),
        row("RemoveTopic of an unknown id", &orders, remove(OTHER), Refused("no topic with id")),
        row(
            "a topic is created anew under another id",
            [orders.as_slice(), &[remove(TOPIC).into()]].concat(),
            topic(OTHER, "orders"),
            Holds(vec![topic(OTHER, "orders")]),
        ),
    ]);
}

#[test]
fn partitions() {
    let topic_only = [topic(TOPIC, "orders")];
    let of = |partition: PartitionRecord| vec![topic(TOPIC, "orders"), partition.into()];
    let base = of(partition());
    // After a change the partition epoch is one up; after one that names a leader the leader epoch, too.
    let after = |leader_epoch: i32| PartitionRecord {
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(10),
        ..partition()
    };
    let known = PartitionRecord { directories: vec![D1, D2, D3], ..partition() };
    let migrating = vec![DirectoryId::MIGRATING; 3];
    let elr = PartitionRecord { eligible_leader_replicas: some([3]), last_known_elr: some([2]), ..partition() };
    let clear = |name: &str| ClearElrRecord { topic_name: name.into(), ..Default::default() };
    let cleared = PartitionRecord { partition_epoch: PartitionEpoch(partition().partition_epoch.0 + 1), ..partition() };
    let other_too = [of(elr.clone()), vec![topic(OTHER, "other")]].concat();
    let recovering = PartitionRecord { leader_recovery_state: 1, ..partition() };
    let known_after = PartitionRecord { directories: vec![D1, D2, D3], ..after(5) };
    check(vec![
        row("Partition adds", &topic_only, partition(), Holds(base.clone())),
        row("Partition replaces all of it", of(elr.clone()), partition(), Holds(base.clone())),
        row("Partition of an unknown topic", [], partition(), Refused("no topic with id")),
        row(
            "Leader -1 is no leader",
            &topic_only,
            PartitionRecord { leader: NodeId(-1), ..partition() },
            Holds(of(PartitionRecord { leader: NodeId(-7), ..partition() })),
        ),
        row(
            "LeaderRecoveryState 2 means nothing",
            &topic_only,
            PartitionRecord { leader_recovery_state: 2, ..partition() },
            Refused("leader recovery state 2 is unknown"),
        ),
        row(
            "all MIGRATING is the same as none",
            &topic_only,
            PartitionRecord { directories: migrating.clone(), ..partition() },
            Holds(base.clone()),
        ),
        row(
            "fewer directories than replicas",
            &topic_only,
            PartitionRecord { directories: vec![D1, D2], ..partition() },
            Refused("2 directories for 3 replicas"),
        ),
        row(
            "more directories than replicas, all MIGRATING",
            &topic_only,
            PartitionRecord { directories: vec![DirectoryId::MIGRATING; 4], ..partition() },
            Refused("4 directories for 3 replicas"),
        ),
        row("an empty change raises the partition epoch", &base, change(), Holds(of(after(5)))),
        row(
            "a change of an unknown partition",
            &base,
            PartitionChangeRecord { partition_id: PartitionId(1), ..change() },
            Refused("no partition 1"),
        ),
        row("a change of an unknown topic", [], change(), Refused("no partition 0")),
        row(
            "another leader raises the leader epoch",
            &base,
            PartitionChangeRecord { leader: NodeId(2), ..change() },
            Holds(of(PartitionRecord { leader: NodeId(2), ..after(6) })),
        ),
        row(
            "the same leader raises it as well",
            &base,
            PartitionChangeRecord { leader: NodeId(1), ..change() },
            Holds(of(after(6))),
        ),
        row(
            "no leader raises it as well",
            &base,
            PartitionChangeRecord { leader: NodeId(-1), ..change() },
            Holds(of(PartitionRecord { leader: NodeId(-1), ..after(6) })),
        ),
        row(
            "an ISR alone raises no leader epoch",
            &base,
            PartitionChangeRecord { isr: some([1]), ..change() },
            Holds(of(PartitionRecord { isr: nodes([1]), ..after(5) })),
        ),
        row(
            "an empty ISR is an ISR",
            &base,
            PartitionChangeRecord { isr: some([]), ..change() },
            Holds(of(PartitionRecord { isr: vec![], ..after(5) })),
        ),
        row(
            "replicas replace",
            &base,
            PartitionChangeRecord { replicas: some([3, 1]), ..change() },
            Holds(of(PartitionRecord { replicas: nodes([3, 1]), ..after(5) })),
        ),
        row(
            "empty lists clear what is removed and added",
            &base,
            PartitionChangeRecord { removing_replicas: some([]), adding_replicas: some([]), ..change() },
            Holds(of(PartitionRecord { removing_replicas: vec![], adding_replicas: vec![], ..after(5) })),
        ),
        row(
            "LeaderRecoveryState -1 is no change",
            of(recovering),
            change(),
            Holds(of(PartitionRecord { leader_recovery_state: 1, ..after(5) })),
        ),
        row(
            "LeaderRecoveryState 1",
            &base,
            PartitionChangeRecord { leader_recovery_state: 1, ..change() },
            Holds(of(PartitionRecord { leader_recovery_state: 1, ..after(5) })),
        ),
        row(
            "LeaderRecoveryState 2 in a change",
            &base,
            PartitionChangeRecord { leader_recovery_state: 2, ..change() },
            Refused("leader recovery state 2 is unknown"),
        ),
        row("no directories is no change", of(known.clone()), change(), Holds(of(known_after.clone()))),
        row(
            "directories replace",
            &base,
            PartitionChangeRecord { directories: Some(vec![D1, D2, D3]), ..change() },
            Holds(of(known_after.clone())),
        ),
        row(
            "an empty list makes all MIGRATING",
            of(known.clone()),
            PartitionChangeRecord { directories: Some(vec![]), ..change() },
            Holds(of(after(5))),
        ),
        row(
            "all MIGRATING in a change",
            of(known.clone()),
            PartitionChangeRecord { directories: Some(migrating), ..change() },
            Holds(of(after(5))),
        ),
        row(
            "directories that don't fit the present replicas",
            &base,
            PartitionChangeRecord { directories: Some(vec![D1]), ..change() },
            Refused("1 directories for 3 replicas"),
        ),
        row(
            "directories that don't fit the new replicas",
            of(known.clone()),
            PartitionChangeRecord { replicas: some([1, 2]), directories: Some(vec![D1, D2, D3]), ..change() },
            Refused("3 directories for 2 replicas"),
        ),
        row(
            "MIGRATING that does not fit the new replicas",
            &base,
            PartitionChangeRecord {
                replicas: some([1, 2]),
                directories: Some(vec![DirectoryId::MIGRATING; 3]),
                ..change()
            },
            Refused("3 directories for 2 replicas"),
        ),
        row(
            "another number of replicas needs directories when some are known",
            of(known.clone()),
            PartitionChangeRecord { replicas: some([1, 2]), ..change() },
            Refused("without their directories"),
        ),
        row(
            "as many replicas keep the directories in their places",
            of(known),
            PartitionChangeRecord { replicas: some([3, 2, 1]), ..change() },
            Holds(of(PartitionRecord { replicas: nodes([3, 2, 1]), ..known_after })),
        ),
        row("ClearElr clears a topic's", of(elr.clone()), clear("orders"), Holds(of(cleared.clone()))),
        row("ClearElr without a name clears all topics'", of(elr.clone()), clear(""), Holds(of(cleared))),
        row("ClearElr leaves other topics", other_too.clone(), clear("other"), Holds(other_too)),
        row("ClearElr raises no epoch where there is nothing to clear", &base, clear(""), Holds(base.clone())),
        row("ClearElr of an unknown topic", &base, clear("gone"), Refused("no topic \"gone\"")),
        row(
            "no ELR is no change",
            of(elr.clone()),
            change(),
            Holds(of(PartitionRecord { eligible_leader_replicas: some([3]), last_known_elr: some([2]), ..after(5) })),
        ),
        row(
            "an empty ELR clears it",
            of(elr),
            PartitionChangeRecord { eligible_leader_replicas: some([]), last_known_elr: some([]), ..change() },
            Holds(of(after(5))),
        ),
        row(
            "an ELR is set",
            &base,
            PartitionChangeRecord { eligible_leader_replicas: some([2]), last_known_elr: some([1]), ..change() },
            Holds(of(PartitionRecord { eligible_leader_replicas: some([2]), last_known_elr: some([1]), ..after(5) })),
        ),
    ]);
}

#[test]
fn configs_quotas_and_producer_ids() {
    let retention = config(2, "orders", "retention.ms", Some("1"));
    let cleanup = config(2, "orders", "cleanup.policy", Some("compact"));
    let default = config(4, "", "log.cleaner.threads", Some("2"));
    let alice = [("user", Some("alice")), ("client-id", None)];
    let swapped = [("client-id", None), ("user", Some("alice"))];
    let rate = quota(&alice, "producer_byte_rate", 10.0, false);
    let share = quota(&alice, "request_percentage", 50.0, false);
    check(vec![
        row("Config of what does not exist", [], retention.clone(), Holds(vec![retention.clone()])),
        row(
            "Config replaces",
            [retention.clone()],
            config(2, "orders", "retention.ms", Some("2")),
            Holds(vec![config(2, "orders", "retention.ms", Some("2"))]),
        ),
        row(
            "Config without value deletes the key",
            [retention.clone(), cleanup.clone()],
            config(2, "orders", "retention.ms", None),
            Holds(vec![cleanup]),
        ),
        row(
            "the last key takes the resource along",
            [retention.clone()],
            config(2, "orders", "retention.ms", None),
            Holds(vec![]),
        ),
        row(
            "an empty value is a value",
            [],
            config(2, "orders", "retention.ms", Some("")),
            Holds(vec![config(2, "orders", "retention.ms", Some(""))]),
        ),
        row("an unknown key is deleted", [], config(2, "orders", "retention.ms", None), Holds(vec![])),
        row("BROKER \"\" is the default of all", [], default.clone(), Holds(vec![default])),
        row(
            "an unknown type is kept",
            [],
            config(99, "x", "a", Some("b")),
            Holds(vec![config(99, "x", "a", Some("b"))]),
        ),
        row("ClientQuota adds a key", [rate.clone()], share.clone(), Holds(vec![rate.clone(), share.clone()])),
        row(
            "ClientQuota replaces, in whatever order its parts come",
            [rate.clone()],
            quota(&swapped, "producer_byte_rate", 20.0, false),
            Holds(vec![quota(&alice, "producer_byte_rate", 20.0, false)]),
        ),
        row(
            "another entity is another quota",
            [rate.clone()],
            quota(&alice[..1], "producer_byte_rate", 20.0, false),
            Holds(vec![rate.clone(), quota(&alice[..1], "producer_byte_rate", 20.0, false)]),
        ),
        row(
            "Remove deletes the key, whatever the value",
            [rate.clone(), share.clone()],
            quota(&swapped, "producer_byte_rate", 77.0, true),
            Holds(vec![share]),
        ),
        row(
            "the last key takes the entity along",
            [rate.clone()],
            quota(&alice, "producer_byte_rate", 0.0, true),
            Holds(vec![]),
        ),
        row("Remove of an unknown one is ignored", [], quota(&alice, "x", 0.0, true), Holds(vec![])),
        row("ProducerIds sets the next id", [], producer_ids(1000), Holds(vec![producer_ids(1000)])),
        row("ProducerIds goes back as well", [producer_ids(1000)], producer_ids(10), Holds(vec![producer_ids(10)])),
        row("NoOp changes nothing", [rate.clone()], no_op(), Holds(vec![rate])),
    ]);
}

#[test]
fn entries_credentials_and_tokens() {
    let entry = acl(ACL, "User:alice");
    let remove_acl = RemoveAccessControlEntryRecord { id: ACL, ..Default::default() };
    let twin = AclId(Uuid::from_u64_pair(8, 2));
    let remove_token = |id: &str| RemoveDelegationTokenRecord { token_id: id.into(), ..Default::default() };
    check(vec![
        row("AccessControlEntry adds", [], entry.clone(), Holds(vec![entry.clone()])),
        row("the same id replaces", [entry.clone()], acl(ACL, "User:bob"), Holds(vec![acl(ACL, "User:bob")])),
        row(
            "the same content under another id is another entry",
            [entry.clone(), acl(twin, "User:alice")],
            remove_acl.clone(),
            Holds(vec![acl(twin, "User:alice")]),
        ),
        row("RemoveAccessControlEntry removes", [entry], remove_acl.clone(), Holds(vec![])),
        row("RemoveAccessControlEntry of an unknown id", [], remove_acl, Refused("no entry with id")),
        row("UserScramCredential adds", [], scram("alice", 1, 4096), Holds(vec![scram("alice", 1, 4096)])),
        row("it replaces", [scram("alice", 1, 4096)], scram("alice", 1, 8192), Holds(vec![scram("alice", 1, 8192)])),
        row(
            "each mechanism for itself",
            [scram("alice", 1, 4096), scram("alice", 2, 4096)],
            remove_scram("alice", 1),
            Holds(vec![scram("alice", 2, 4096)]),
        ),
        row(
            "RemoveUserScramCredential of an unknown one is ignored",
            [scram("alice", 1, 4096)],
            remove_scram("bob", 1),
            Holds(vec![scram("alice", 1, 4096)]),
        ),
        row("DelegationToken adds", [], token("t1", 3), Holds(vec![token("t1", 3)])),
        row("a renewal replaces", [token("t1", 3)], token("t1", 9), Holds(vec![token("t1", 9)])),
        row("RemoveDelegationToken removes", [token("t1", 3)], remove_token("t1"), Holds(vec![])),
        row(
            "RemoveDelegationToken of an unknown one is ignored",
            [token("t1", 3)],
            remove_token("t2"),
            Holds(vec![token("t1", 3)]),
        ),
    ]);
}

#[test]
fn a_transaction_is_not_for_a_delta() {
    let orders = [topic(TOPIC, "orders")];
    check(vec![
        row("BeginTransaction", &orders, begin(), Refused("a transaction has no place here")),
        row("EndTransaction", &orders, end(), Refused("a transaction has no place here")),
        row("AbortTransaction", &orders, abort(), Refused("a transaction has no place here")),
    ]);
}

/// The names of the topics that are visible, and the end of the image (exclusive).
fn visible(loader: &ImageLoader) -> (Vec<&str>, i64) {
    let names = loader.image().topics().iter_by_name().map(|(name, _)| &**name).collect();
    (names, loader.image().position().end_offset.0)
}

/// Replays batches of the letters of each word: a small letter is the topic of that name, `(` begins, `)` ends, `!`
/// aborts.
fn loaded(batches: &[&str]) -> Result<ImageLoader, ReplayError> {
    let mut loader = ImageLoader::new(MetadataImage::empty());
    let mut base = Offset(0);
    for batch in batches {
        let records: Vec<VersionedRecord> = batch
            .bytes()
            .map(|letter| match letter {
                b'(' => begin(),
                b')' => end(),
                b'!' => abort(),
                name => topic(TopicId(Uuid::from_u64_pair(5, name.into())), &char::from(name).to_string()),
            })
            .map(|record| VersionedRecord { record, version: 0 })
            .collect();
        let next = base.plus(batch.len() as i64);
        loader.replay_batch(base, next, KRaftLeaderEpoch(1), TimestampMs(0), &records)?;
        assert_eq!(loader.replayed_end(), next, "{batches:?}");
        base = next;
    }
    Ok(loader)
}

#[test]
fn a_transaction_becomes_visible_as_a_whole_or_never() {
    for (rule, batches, names, end, open) in [
        ("without one each batch is visible", &["a", "bc"][..], &["a", "b", "c"][..], 3, false),
        ("an open one hides its records", &["a", "(b"], &["a"], 1, true),
        ("also those of later batches", &["a", "(b", "c"], &["a"], 1, true),
        ("End shows all", &["a", "(b", "c", "d)"], &["a", "b", "c", "d"], 6, false),
        ("what stands before a Begin is visible, up to there", &["a", "b(c"], &["a", "b"], 2, true),
        ("also at the start of the log", &["ab(c"], &["a", "b"], 2, true),
        ("records behind an End are visible with it", &["(a", "b)c"], &["a", "b", "c"], 5, false),
        ("a whole one in a batch", &["(a)b"], &["a", "b"], 4, false),
        ("Abort hides them for good", &["a", "(b", "c!"], &["a"], 5, false),
        ("records behind an Abort don't show the aborted ones", &["a", "(b", "c!d"], &["a", "d"], 6, false),
        ("nor do later batches", &["(a!", "b"], &["b"], 4, false),
        ("nor does the next one", &["(a!(b)"], &["b"], 6, false),
        ("an open one behind an aborted one", &["x", "(a!(b"], &["x"], 4, true),
        ("one after the other", &["(a)(b)"], &["a", "b"], 6, false),
    ] {
        let loader = loaded(batches).unwrap();
        assert_eq!(visible(&loader), (names.to_vec(), end), "{rule}");
        assert_eq!(loader.in_transaction(), open, "{rule}");
    }
}

#[test]
fn transaction_records_out_of_order_are_refused() {
    for (batches, record, reason) in [
        (&["(a", "(b"][..], "BEGIN_TRANSACTION_RECORD", "open already"),
        (&["(("], "BEGIN_TRANSACTION_RECORD", "open already"),
        (&["a)"], "END_TRANSACTION_RECORD", "no transaction is open"),
        (&["(a))"], "END_TRANSACTION_RECORD", "no transaction is open"),
        (&["a", "!"], "ABORT_TRANSACTION_RECORD", "no transaction is open"),
        (&["(a!)"], "END_TRANSACTION_RECORD", "no transaction is open"),
    ] {
        let error = loaded(batches).map(drop).unwrap_err();
        assert_eq!(error.record, record, "{batches:?}");
        assert!(error.reason.contains(reason), "{batches:?}: {error}");
    }
}

#[test]
fn a_position_names_the_last_record_and_its_epoch() {
    let loader = loaded(&["ab", "c"]).unwrap();
    assert_eq!(loader.image().position(), Position::after(Offset(2), KRaftLeaderEpoch(1)));
}
