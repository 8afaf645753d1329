//! What brokers ask for: the rules of Kafka's controller, and those that it lacks.

use broker_registry::*;
use metadata_core::id::*;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::{FeatureLevelRecord, VersionedRecord, ZkMigrationState};

use crate::common::*;

type Change = fn(&mut World, &mut RegistrationRequest);
/// A case, the request, what is changed before it is made, and the refusal with Kafka's number.
type Row = (&'static str, RegistrationRequest, Change, Option<(RegistrationRefusal, i16)>);

fn asked(request: RegistrationRequest, change: Change) -> Option<RegistrationRefusal> {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    let mut request = request;
    change(&mut world, &mut request);
    world.ask(request).err()
}

fn version(world: &mut World, version: MetadataVersion) {
    *world = World { settings: world.settings.clone(), ..World::at(version, ZkMigrationState::Migration) };
}

#[test]
fn each_rule_refuses_with_kafkas_error() {
    use RegistrationRefusal as Refusal;
    let zk = || zk_request(1, 1);
    let kraft = || kraft_request(1, 1);
    let other = Refusal::OtherCluster { broker: "other".into(), expected: CLUSTER.into() };
    let version_differs = |level, expected, is_migrating_zk_broker| Refusal::OtherMetadataVersion {
        supported: MetadataVersionRange::of_levels(level, level),
        expected,
        is_migrating_zk_broker,
    };
    let state = |state| Some((Refusal::NoMigration(state), 102));
    let table: Vec<Row> = vec![
        ("a broker in ZooKeeper mode", zk(), |_, _| {}, None),
        ("a KRaft broker", kraft(), |_, _| {}, None),
        ("S42", zk(), |_, r| r.cluster_id = "other".into(), Some((other.clone(), 104))),
        (
            "the cluster's id goes first",
            zk(),
            |w, r| (r.cluster_id, r.id) = ("other".into(), w.settings.controllers.first().copied().unwrap()),
            Some((other, 104)),
        ),
        (
            "a live session of another process",
            zk(),
            |w, _| w.ask(zk_request(1, 9)).unwrap(),
            Some((Refusal::LiveSession, 101)),
        ),
        ("a session of the same process", zk(), |w, _| w.ask(zk_request(1, 1)).unwrap(), None),
        (
            "a session that has ended",
            zk(),
            |w, _| {
                w.ask(zk_request(1, 9)).unwrap();
                w.settle();
                w.sessions.expire(NodeId(1));
            },
            None,
        ),
        (
            "unfenced in the log, and not heard since a failover",
            zk(),
            |w, _| {
                w.ask(zk_request(1, 9)).unwrap();
                w.settle();
                w.beat(1, heartbeat(w.epoch(1))).unwrap();
                w.settle();
                w.sessions = BrokerSessions::new();
            },
            Some((Refusal::LiveSession, 101)),
        ),
        ("registered by the watch: no session", zk(), |w, _| (w.come(1, 5), w.settle()).1, None),
        ("S76, S10", kraft(), |w, _| w.come(1, 5), Some((Refusal::ZkBrokerIsAlive, 101))),
        (
            "S10",
            kraft(),
            |w, r| r.id = *w.settings.controllers.first().unwrap(),
            Some((Refusal::HasAControllersId, 119)),
        ),
        ("flag off, all is copied", zk(), |w, _| w.settings.migration_enabled = false, None),
        (
            "flag off, before the copy",
            zk(),
            |w, _| {
                w.settings.migration_enabled = false;
                w.append(&[VersionedRecord::new(ZkMigrationState::PreMigration.to_record(), 0)]);
            },
            Some((Refusal::MigrationDisabled, 102)),
        ),
        ("flag off, KRaft", kraft(), |w, _| w.settings.migration_enabled = false, None),
        (
            "before 3.4-IV0",
            zk(),
            |w, _| version(w, MetadataVersion::V3_3_IV3),
            Some((Refusal::MetadataVersionTooOld(MetadataVersion::V3_3_IV3), 102)),
        ),
        (
            "G16",
            zk(),
            |w, _| w.append(&[VersionedRecord::new(ZkMigrationState::PostMigration.to_record(), 0)]),
            state(ZkMigrationState::PostMigration),
        ),
        (
            "no migration ever",
            zk(),
            |w, _| w.append(&[VersionedRecord::new(ZkMigrationState::None.to_record(), 0)]),
            state(ZkMigrationState::None),
        ),
        (
            "before the copy, ZooKeeper mode",
            zk(),
            |w, _| w.append(&[VersionedRecord::new(ZkMigrationState::PreMigration.to_record(), 0)]),
            None,
        ),
        (
            "before the copy, KRaft",
            kraft(),
            |w, _| w.append(&[VersionedRecord::new(ZkMigrationState::PreMigration.to_record(), 0)]),
            Some((Refusal::NotBeforeTheCopy, 102)),
        ),
        (
            "KAFKA-16468",
            zk(),
            |w, _| w.settings.inter_broker_listener = Some("INTERNAL".into()),
            Some((Refusal::NoInterBrokerListener { wanted: "INTERNAL".into() }, 119)),
        ),
        (
            "KRaft brokers are not reached there",
            kraft(),
            |w, _| w.settings.inter_broker_listener = Some("INTERNAL".into()),
            None,
        ),
        ("no directory", zk(), |_, r| r.log_dirs.clear(), Some((Refusal::NoLogDirectory, 119))),
        (
            "a reserved directory",
            zk(),
            |_, r| r.log_dirs.push(DirectoryId::LOST),
            Some((Refusal::ReservedDirectory(DirectoryId::LOST), 119)),
        ),
        (
            "a doubled directory",
            zk(),
            |_, r| r.log_dirs.push(directory(1)),
            Some((Refusal::DuplicateDirectory(directory(1)), 119)),
        ),
        ("several directories", zk(), |_, r| r.log_dirs.push(directory(9)), None),
        (
            "a copied disk",
            zk(),
            |w, r| {
                w.ask(zk_request(2, 2)).unwrap();
                w.settle();
                r.log_dirs.push(directory(2));
            },
            Some((Refusal::DirectoryOf { directory: directory(2), owner: NodeId(2) }, 119)),
        ),
        (
            "S43: several directories before 3.7-IV2",
            zk(),
            |w, r| {
                version(w, MetadataVersion::V3_6_IV1);
                r.features = features(13);
                r.log_dirs.push(directory(9));
            },
            Some((Refusal::SeveralDirectories { count: 2, metadata_version: MetadataVersion::V3_6_IV1 }, 119)),
        ),
        (
            "no directory told before 3.7-IV2",
            zk(),
            |w, r| {
                version(w, MetadataVersion::V3_6_IV1);
                r.features = features(13);
                r.log_dirs.clear();
            },
            None,
        ),
        (
            "S41",
            zk(),
            |_, r| r.features = features(20),
            Some((version_differs(20, MetadataVersion::V3_9_IV0, true), 35)),
        ),
        (
            "S41, the other way",
            zk(),
            |w, _| version(w, MetadataVersion::V3_8_IV0),
            Some((version_differs(21, MetadataVersion::V3_8_IV0, true), 35)),
        ),
        (
            "no range counts as 1 to 1",
            kraft(),
            |_, r| r.features.clear(),
            Some((version_differs(1, MetadataVersion::V3_9_IV0, false), 35)),
        ),
        (
            "another feature",
            kraft(),
            |w, _| {
                let feature =
                    FeatureLevelRecord { name: "kraft.version".into(), feature_level: 1, ..Default::default() };
                w.append(&[VersionedRecord::new(feature, 0)]);
            },
            Some((Refusal::UnsupportedFeature { feature: "kraft.version".into(), level: 1, supported: None }, 35)),
        ),
    ];
    for (name, request, change, expected) in table {
        let refusal = asked(request, change);
        assert_eq!(refusal.as_ref().map(|it| (it.clone(), it.error().code())), expected, "{name}");
    }
}

/// A text for the operator says both sides, and what to do.
#[test]
fn a_refusal_shows_both_values() {
    let refusal = asked(zk_request(1, 1), |_, r| r.features = features(20)).unwrap();
    assert_eq!(
        refusal.to_string(),
        "has inter.broker.protocol.version 3.8-IV0, and the controllers have metadata.version 3.9-IV0: make the two equal"
    );
    assert_eq!(refusal.error().to_string(), "UNSUPPORTED_VERSION");
    let refusal = asked(zk_request(1, 1), |_, r| r.cluster_id = "other".into()).unwrap().to_string();
    assert!(refusal.contains("other") && refusal.contains(CLUSTER), "{refusal}");
}

/// S43, S5: a refusal names the version or the flag that would help.
#[test]
fn a_refusal_names_what_would_help() {
    let several = asked(zk_request(1, 1), |w, r| {
        version(w, MetadataVersion::V3_6_IV1);
        r.features = features(13);
        r.log_dirs.push(directory(9));
    });
    // Before the copy; once everything is copied, brokers come and go without it too.
    let disabled = asked(zk_request(1, 1), |w, _| {
        *w = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::PreMigration);
        w.settings.migration_enabled = false;
    });
    for (refusal, parts) in [
        (several, ["2 log directories", "to 3.7-IV2 or newer", "or move to one directory"]),
        (disabled, ["in ZooKeeper mode", "this controller", "without zookeeper.metadata.migration.enable"]),
    ] {
        let text = refusal.unwrap().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

/// S43: from 3.7-IV2 on several directories are no reason to refuse anybody.
#[test]
fn several_directories_are_taken_from_3_7_iv2_on() {
    for level in MetadataVersion::V3_4_IV0.level()..=MetadataVersion::V3_9_IV0.level() {
        let mut world = World::at(MetadataVersion::from_level(level).unwrap(), ZkMigrationState::Migration);
        let mut request = RegistrationRequest { features: features(level), ..zk_request(1, 1) };
        request.log_dirs.push(directory(9));
        let taken = world.ask(request).is_ok();
        assert_eq!(taken, level >= MetadataVersion::V3_7_IV2.level(), "{}", world.view().metadata_version());
    }
}

#[test]
fn a_heartbeat_of_another_registration_is_stale() {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    assert_eq!(world.beat(1, heartbeat(BrokerEpoch(0))), Err(ResponseError::StaleBrokerEpoch), "not registered");
    world.come(1, 5);
    world.settle();
    let watched = world.epoch(1);
    assert_eq!(world.beat(1, heartbeat(watched)), Err(ResponseError::StaleBrokerEpoch), "registered by the watch");
    world.ask(zk_request(1, 1)).unwrap();
    world.settle();
    assert_eq!(world.beat(1, heartbeat(watched)), Err(ResponseError::StaleBrokerEpoch), "the earlier epoch");
    assert_eq!(world.beat(1, heartbeat(world.epoch(1))), Ok(()));
    // A new active controller has heard nobody; the log knows the broker.
    world.sessions = BrokerSessions::new();
    assert_eq!(world.beat(1, heartbeat(world.epoch(1))), Ok(()));
    assert_eq!(world.sessions.live(NodeId(1)).unwrap().request, zk_request(1, 1));
}

#[test]
fn a_refusal_is_kept_until_the_broker_does_better() {
    let mut world = World::new();
    world.ask(RegistrationRequest { features: features(20), ..zk_request(1, 1) }).unwrap_err();
    assert_eq!(world.sessions.refused(NodeId(1)).unwrap().refusal.error(), ResponseError::UnsupportedVersion);
    assert_eq!(world.sessions.live(NodeId(1)), None);
    world.ask(zk_request(1, 2)).unwrap();
    assert_eq!(world.sessions.refused(NodeId(1)), None);
}
