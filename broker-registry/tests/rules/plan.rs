//! What the active controller writes, case by case.

use broker_registry::*;
use metadata_core::brokers::{BrokerListener, BrokerPresence};
use metadata_core::id::*;
use metadata_core::image::{Endpoint, FeatureRange};
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::{MetadataRecord, VersionedRecord, ZkMigrationState};

use crate::common::*;

const FENCED: Option<(bool, bool)> = Some((true, true));
const UNFENCED: Option<(bool, bool)> = Some((false, true));

#[test]
fn a_broker_in_zookeeper_is_registered_field_by_field_as_a_migrating_one() {
    let mut world = World::new();
    world.settings.operator.inter_broker_protocol = Some(MetadataVersionRange::only(MetadataVersion::V3_9_IV0));
    let ssl = BrokerListener { host: Some("::1".into()), port: 9093, security_protocol: "SASL_SSL".into() };
    let mut presence = BrokerPresence { rack: Some("r1".into()), ..znode(7, 5) };
    presence.endpoints.insert("EXTERNAL".into(), ssl);
    world.watch(7, presence);
    let planned = registrations(&world.view());
    let written = records(&planned.changes, Offset(40), MetadataVersion::V3_9_IV0);
    let [first, second] = written.as_slice() else { panic!("{written:?}") };
    let MetadataRecord::RegisterBroker(record) = &first.record else { panic!("{first:?}") };
    assert_eq!((first.version, record.broker_id, record.broker_epoch), (3, NodeId(7), BrokerEpoch(40)));
    assert_eq!(record.incarnation_id, watched_incarnation(5));
    assert!(record.is_migrating_zk_broker && record.fenced && !record.in_controlled_shutdown);
    assert_eq!((record.rack.as_deref(), record.log_dirs.as_slice()), (Some("r1"), [].as_slice()));
    let listeners: Vec<_> =
        record.end_points.iter().map(|e| (&*e.name, &*e.host, e.port, e.security_protocol)).collect();
    assert_eq!(listeners, [("EXTERNAL", "::1", 9093, 3), ("PLAINTEXT", "b7.example", 9092, 0)]);
    let features: Vec<_> =
        record.features.iter().map(|f| (&*f.name, f.min_supported_version, f.max_supported_version)).collect();
    assert_eq!(features, [("metadata.version", 21, 21)]);
    let MetadataRecord::BrokerRegistrationChange(change) = &second.record else { panic!("{second:?}") };
    assert_eq!(
        (second.version, change.broker_id, change.broker_epoch, change.fenced),
        (0, NodeId(7), BrokerEpoch(40), -1)
    );
}

#[test]
fn below_3_7_iv2_no_directories_are_written_and_nothing_is_claimed_that_nobody_said() {
    let mut world = World::at(MetadataVersion::V3_6_IV1, ZkMigrationState::PreMigration);
    world.come(1, 5);
    let written = records(&registrations(&world.view()).changes, Offset(2), MetadataVersion::V3_6_IV1);
    let MetadataRecord::RegisterBroker(record) = &written[0].record else { panic!("{written:?}") };
    assert_eq!((written[0].version, record.features.len()), (2, 0));
}

#[test]
fn each_broker_of_an_append_gets_the_offset_of_its_own_record() {
    let mut world = World::new();
    for id in 1..=3 {
        world.come(id, 5);
    }
    let base = world.image.position().end_offset.0;
    world.settle();
    assert_eq!([1, 2, 3].map(|id| world.epoch(id).0), [base, base + 2, base + 4]);
}

/// Each step of a broker's life in ZooKeeper mode.
#[test]
fn the_life_of_a_broker_that_never_asks() {
    let mut world = World::new();
    world.come(1, 5);
    world.settle();
    assert_eq!(world.registered(1), UNFENCED);
    let first = world.epoch(1);
    // It says something else about itself.
    let moved = Endpoint { host: "moved".into(), port: 9092, security_protocol: 0 };
    let mut presence = znode(1, 5);
    presence.endpoints.get_mut("PLAINTEXT").unwrap().host = Some("moved".into());
    world.watch(1, presence.clone());
    world.settle();
    assert_eq!((world.registered(1), world.epoch(1)), (UNFENCED, first), "the same process");
    assert_eq!(world.image.cluster().broker(NodeId(1)).unwrap().endpoints["PLAINTEXT"], moved);
    // Its session ends.
    world.go(1);
    world.settle();
    assert_eq!((world.registered(1), world.epoch(1)), (FENCED, first));
    // The same znode is seen again, as it was, and then after it changed meanwhile: it is unfenced.
    for presence in [presence, znode(1, 5)] {
        world.watch(1, presence);
        world.settle();
        assert_eq!((world.registered(1), world.epoch(1)), (UNFENCED, first));
        world.go(1);
        world.settle();
        assert_eq!(world.registered(1), FENCED);
    }
    // It restarts, and nobody saw it away.
    world.come(1, 6);
    world.settle();
    assert!(world.registered(1) == UNFENCED && world.epoch(1) > first);
}

#[test]
fn while_the_watch_is_blind_nobody_appears_and_nobody_vanishes() {
    let mut world = World::new();
    world.come(1, 5);
    world.settle();
    world.watched = None;
    assert_eq!(registrations(&world.view()), Registrations::default());
}

#[test]
fn nothing_is_written_because_of_zookeeper_unless_a_migration_goes_on() {
    use ZkMigrationState::*;
    for (state, registered) in [(None, false), (PreMigration, true), (Migration, true), (PostMigration, false)] {
        let mut world = World::at(MetadataVersion::V3_9_IV0, state);
        world.come(1, 5);
        world.settle();
        assert_eq!(world.registered(1).is_some(), registered, "{state}");
        let mut world = World::at(MetadataVersion::V3_9_IV0, state);
        world.settings.migration_enabled = false;
        world.come(1, 5);
        world.settle();
        // An election of a controller without it ends no migration, so brokers come and go as before.
        assert_eq!(world.registered(1).is_some(), state == Migration, "{state} without the flag");
        world.go(1);
        world.settle();
        assert!(world.registered(1).is_none_or(|(fenced, _)| fenced), "{state} without the flag");
    }
    // A log that was not started yet would count as started if anything were in it.
    let mut world = World::new();
    world.image = metadata_core::image::MetadataImage::empty();
    world.come(1, 5);
    assert_eq!(registrations(&world.view()), Registrations::default());
}

/// S4, S5, S41, S42, S43, S45, S10: a broker that joins late and does not fit is named and kept harmless; one that was
/// registered before is fenced.
#[test]
fn whoever_does_not_fit_is_kept_out_or_fenced_and_named() {
    type Change = fn(&mut World, &mut BrokerPresence);
    let table: Vec<(&str, Change, &str)> = vec![
        ("another cluster", |_, p| p.cluster_id = Some("other".into()), "belongs to cluster other (from /brokers/ids)"),
        (
            "another cluster, as the operator says",
            |w, _| w.settings.operator.cluster_id = Some("other".into()),
            "belongs to cluster other (from the operator's settings)",
        ),
        (
            "another IBP",
            |_, p| p.metadata_versions = MetadataVersionRange::of_levels(20, 20),
            "inter.broker.protocol.version 3.8-IV0 (from /brokers/ids), and the controllers have metadata.version 3.9-IV0",
        ),
        (
            "another IBP, as the operator says",
            |w, _| w.settings.operator.inter_broker_protocol = MetadataVersionRange::of_levels(20, 20),
            "inter.broker.protocol.version 3.8-IV0 (from the operator's settings)",
        ),
        ("no such listener", |w, _| w.settings.inter_broker_listener = Some("INTERNAL".into()), "no listener INTERNAL"),
        ("a controller's id", |w, _| _ = w.settings.controllers.insert(NodeId(1001)), "its id is a controller's too"),
        (
            "a generated id",
            |w, _| w.settings.operator.ids_generated = Some(1),
            "has an id above 1000 that was generated",
        ),
        (
            "without the flag",
            |w, _| w.settings.register_by = RegisterBy::Request,
            "does not ask to be registered: start it with zookeeper.metadata.migration.enable",
        ),
        (
            "refused when it asked",
            |w, _| {
                w.ask(RegistrationRequest { features: features(20), ..zk_request(1001, 1) }).unwrap_err();
            },
            "asked to be registered, UNSUPPORTED_VERSION",
        ),
    ];
    for (name, change, reason) in table {
        for registered_before in [false, true] {
            let mut world = World::new();
            let mut presence = znode(1001, 5);
            if registered_before {
                world.watch(1001, presence.clone());
                world.settle();
            }
            change(&mut world, &mut presence);
            world.watch(1001, presence);
            world.settle();
            let expected = if registered_before { FENCED } else { None };
            assert_eq!(world.registered(1001), expected, "{name}");
            let reasons = world.kept_out(1001);
            assert!(reasons.iter().any(|it| it.to_string().contains(reason)), "{name}: {reasons:?}");
        }
    }
}

#[test]
fn an_entry_that_can_not_be_understood_changes_nothing() {
    for malformed in [
        BrokerPresence { malformed: Some("no port".into()), ..BrokerPresence::in_zookeeper(0) },
        BrokerPresence { malformed: Some("no port".into()), ..znode(1, 5) },
    ] {
        let mut world = World::new();
        world.watch(1, malformed.clone());
        world.settle();
        assert_eq!(world.registered(1), None);
        world.come(1, 5);
        world.settle();
        world.watch(1, malformed);
        world.settle();
        assert_eq!(world.registered(1), UNFENCED, "a broker that serves goes on");
        assert_eq!(world.kept_out(1), [UnreadyReason::Malformed("no port".into())]);
    }
}

#[test]
fn a_listener_that_nobody_can_reach_is_named() {
    for (host, port, protocol, reason) in [
        (None, 9092, "PLAINTEXT", "listener PLAINTEXT has no host"),
        (Some("h"), -1, "PLAINTEXT", "listener PLAINTEXT has port -1"),
        (Some("h"), 9092, "PLAIN", "unknown security protocol PLAIN"),
    ] {
        let mut world = World::new();
        let mut presence = znode(1, 5);
        let listener = BrokerListener { host: host.map(str::to_owned), port, security_protocol: protocol.into() };
        presence.endpoints.insert("PLAINTEXT".into(), listener);
        world.watch(1, presence);
        world.settle();
        assert_eq!(world.registered(1), None);
        assert!(world.kept_out(1)[0].to_string().contains(reason), "{:?}", world.kept_out(1));
    }
}

/// A registration that a broker asks for replaces that by the watch, and the watch only reports from then on.
#[test]
fn a_broker_that_asks_is_its_own_source() {
    let mut world = World::new();
    world.come(1, 5);
    world.settle();
    let watched = world.epoch(1);
    world.ask(zk_request(1, 1)).unwrap();
    world.settle();
    assert_eq!(world.registered(1), FENCED, "until it has caught up");
    assert!(world.epoch(1) > watched);
    let own = world.epoch(1);
    let behind = Heartbeat { metadata_offset: Offset(own.0 - 1), ..heartbeat(own) };
    world.beat(1, behind).unwrap();
    world.settle();
    assert_eq!(world.registered(1), FENCED, "not caught up");
    world.beat(1, heartbeat(own)).unwrap();
    world.settle();
    assert_eq!(world.registered(1), UNFENCED);
    let facts = BrokerFacts::gather(NodeId(1), &world.view());
    assert_eq!(facts.registered.unwrap().source, metadata_core::brokers::BrokerSource::Registration);
    // Neither its znode's end nor a new one says anything any more.
    world.go(1);
    assert_eq!(world.settle_once().changes, []);
    world.come(1, 9);
    assert_eq!(world.settle_once().changes, []);
    // Nor when a new active controller has heard nobody.
    world.sessions = BrokerSessions::new();
    world.go(1);
    assert_eq!(world.settle_once().changes, []);
    // The end of its session does.
    world.sessions.expire(NodeId(1));
    world.settle();
    assert_eq!((world.registered(1), world.epoch(1)), (FENCED, own));
    world.come(1, 10);
    world.settle();
    assert_eq!(world.registered(1), FENCED, "who could ask and does not is not let in by the watch");
    assert_eq!(world.kept_out(1), [UnreadyReason::WithoutTheFlag]);
}

#[test]
fn heartbeats_fence_unfence_and_shut_down() {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    world.ask(kraft_request(1, 1)).unwrap();
    world.settle();
    let epoch = world.epoch(1);
    let mut step = |heartbeat: Heartbeat| {
        world.beat(1, heartbeat).unwrap();
        world.settle();
        let it = world.image.cluster().broker(NodeId(1)).unwrap();
        (it.fenced, it.in_controlled_shutdown)
    };
    assert_eq!(step(Heartbeat { want_fence: true, ..heartbeat(epoch) }), (true, false));
    assert_eq!(step(Heartbeat { want_shutdown: true, ..heartbeat(epoch) }), (true, false), "it leads nothing");
    assert_eq!(step(heartbeat(epoch)), (false, false));
    assert_eq!(step(Heartbeat { want_fence: true, ..heartbeat(epoch) }), (true, false));
    assert_eq!(step(heartbeat(epoch)), (false, false));
    assert_eq!(step(Heartbeat { want_shutdown: true, ..heartbeat(epoch) }), (false, true));
}

#[test]
fn the_same_process_that_asks_again_keeps_its_epoch_and_another_does_not() {
    let mut world = World::new();
    world.ask(zk_request(1, 1)).unwrap();
    world.settle();
    let epoch = world.epoch(1);
    world.beat(1, heartbeat(epoch)).unwrap();
    world.settle();
    world.ask(RegistrationRequest { rack: Some("r2".into()), ..zk_request(1, 1) }).unwrap();
    world.settle();
    assert_eq!((world.registered(1), world.epoch(1)), (UNFENCED, epoch));
    world.sessions.expire(NodeId(1));
    world.settle();
    world.ask(zk_request(1, 2)).unwrap();
    world.settle();
    assert!(world.epoch(1) > epoch && world.registered(1) == FENCED);
}

/// S76: two live brokers with one id never both serve.
#[test]
fn a_kraft_broker_with_the_id_of_a_live_zookeeper_broker_is_fenced() {
    for heard in [true, false] {
        let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
        world.ask(kraft_request(1, 1)).unwrap();
        world.settle();
        world.beat(1, heartbeat(world.epoch(1))).unwrap();
        world.settle();
        assert_eq!(world.registered(1), Some((false, false)));
        if !heard {
            world.sessions = BrokerSessions::new();
        }
        world.come(1, 5);
        assert_eq!(world.kept_out(1), [UnreadyReason::DuplicateId], "reported");
        world.settle();
        assert_eq!(world.registered(1), Some((true, false)), "fenced, and not replaced by the watch");
        // Its heartbeats go on: it stays fenced for as long as the other is alive.
        world.beat(1, heartbeat(world.epoch(1))).unwrap();
        world.settle();
        assert_eq!(world.registered(1), Some((true, false)));
        world.go(1);
        world.settle();
        assert_eq!(world.registered(1), Some((false, false)), "the duplicate is gone");
    }
}

/// Another cluster's broker was given our controllers' addresses, or somebody copied a configuration: the broker whose id
/// it has goes on serving.
#[test]
fn whoever_asks_under_another_brokers_id_does_it_no_harm() {
    let elsewhere = |request: RegistrationRequest| {
        let endpoint = Endpoint { host: "elsewhere".into(), port: 9092, security_protocol: 0 };
        RegistrationRequest { listeners: [("PLAINTEXT".to_owned(), endpoint)].into(), ..request }
    };
    for (stranger, error) in [
        (elsewhere(RegistrationRequest { cluster_id: "other".into(), ..zk_request(1, 9) }), 104),
        (elsewhere(RegistrationRequest { features: features(20), ..zk_request(1, 9) }), 35),
        (RegistrationRequest { cluster_id: "other".into(), ..kraft_request(1, 9) }, 104),
        (kraft_request(1, 9), 101),
    ] {
        for has_session in [false, true] {
            let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
            world.come(1, 5);
            world.settle();
            if has_session {
                world.ask(zk_request(1, 1)).unwrap();
                world.settle();
                world.beat(1, heartbeat(world.epoch(1))).unwrap();
                world.settle();
            }
            let epoch = world.epoch(1);
            let refused = world.ask(stranger.clone()).unwrap_err().error().code();
            assert!(refused == error || has_session && refused == 101, "{refused}");
            world.settle();
            assert_eq!((world.registered(1), world.epoch(1)), (UNFENCED, epoch), "{stranger:?}");
            assert_eq!(world.kept_out(1), [], "{stranger:?}");
            let assessed = assess(&world.view(), &Default::default(), Service::Served);
            assert_eq!(assessed.verdict, Readiness::Ready { served: 1, unserved: vec![] });
            let shown = |it: &BrokerWarning| matches!(it, BrokerWarning::Refused(_));
            assert!(assessed.brokers[0].warnings.iter().any(shown), "{:?}", assessed.brokers);
        }
    }
}

/// A broker that goes back to ZooKeeper mode asks again, once the session of its KRaft process has ended.
#[test]
fn a_broker_may_go_to_kraft_mode_and_back() {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    world.come(1, 5);
    world.settle();
    world.go(1);
    world.ask(kraft_request(1, 1)).unwrap();
    world.settle();
    assert_eq!(world.registered(1), Some((true, false)));
    world.sessions.expire(NodeId(1));
    world.come(1, 6);
    world.ask(zk_request(1, 2)).unwrap();
    world.settle();
    assert_eq!(world.registered(1), FENCED);
}

/// What was right when a broker asked may be so no more when it is written.
#[test]
fn a_request_is_judged_again_when_it_is_written() {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    world.ask(zk_request(1, 1)).unwrap();
    world.append(&[VersionedRecord::new(ZkMigrationState::PostMigration.to_record(), 0)]);
    world.settle();
    assert_eq!(world.registered(1), None);
    assert_eq!(
        world.kept_out(1),
        [UnreadyReason::Refused(RegistrationRefusal::NoMigration(ZkMigrationState::PostMigration))]
    );
}

#[test]
fn below_3_3_iv2_the_older_records_fence() {
    let mut world = World::at(MetadataVersion::from_level(5).unwrap(), ZkMigrationState::None);
    let features = [("metadata.version".to_owned(), FeatureRange { min: 1, max: 21 })].into();
    world.ask(RegistrationRequest { features, ..kraft_request(1, 1) }).unwrap();
    world.settle();
    world.beat(1, heartbeat(world.epoch(1))).unwrap();
    world.settle();
    assert_eq!(world.registered(1), Some((false, false)));
    world.sessions.expire(NodeId(1));
    world.settle();
    assert_eq!(world.registered(1), Some((true, false)));
}
