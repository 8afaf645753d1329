//! Whether the migration may go on, and what the operator reads.

use std::collections::BTreeMap;

use broker_registry::*;
use metadata_core::brokers::BrokerSource;
use metadata_core::id::*;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::ZkMigrationState;

use crate::common::*;

fn assessed(world: &World, assigned: &[(i32, u64)], service: Service) -> Assessment {
    let assigned = assigned.iter().map(|(id, count)| (NodeId(*id), *count)).collect();
    assess(&world.view(), &assigned, service)
}

fn waiting(world: &World, assigned: &[(i32, u64)], service: Service) -> Vec<(i32, UnreadyReason)> {
    match assessed(world, assigned, service).verdict {
        Readiness::Ready { .. } => Vec::new(),
        Readiness::Waiting(unready) => unready.into_iter().map(|it| (it.id.0, it.reason)).collect(),
    }
}

fn standing(world: &World, id: i32, service: Service) -> BrokerStanding {
    let brokers = assessed(world, &[], service).brokers;
    brokers.into_iter().find(|it| it.facts.id == NodeId(id)).expect("the broker is named")
}

/// The same rows as by presence alone, where nothing else is known.
#[test]
fn by_presence_alone_both_judge_alike() {
    let none: &[(i32, u64)] = &[];
    for service in [Service::None, Service::NoneByOperatorsWord] {
        for present in [&[][..], &[1], &[1, 2]] {
            for assigned in [none, &[(1, 3)], &[(3, 1)], &[(3000, 2)]] {
                let mut world = World::new();
                present.iter().for_each(|id| world.come(*id, 5));
                let counts: BTreeMap<_, _> = assigned.iter().map(|(id, count)| (NodeId(*id), *count)).collect();
                let alone = readiness(world.watched.as_ref().unwrap(), &counts, CONTROLLER, service);
                let both = assess(&world.view(), &counts, service).verdict;
                let ready = |it: &Readiness| matches!(it, Readiness::Ready { .. });
                assert_eq!(ready(&alone), ready(&both), "{service:?} {present:?} {assigned:?}");
                if ready(&alone) {
                    assert_eq!(alone, both);
                }
            }
        }
    }
}

#[test]
fn with_a_channel_brokers_must_be_registered() {
    let mut world = World::new();
    world.come(1, 5);
    world.come(2, 5);
    let not_yet = vec![(1, UnreadyReason::NotRegistered), (2, UnreadyReason::NotRegistered)];
    assert_eq!(waiting(&world, &[(1, 3)], Service::Served), not_yet);
    world.settle();
    let verdict = assessed(&world, &[(1, 3)], Service::Served).verdict;
    assert_eq!(verdict, Readiness::Ready { served: 2, unserved: vec![] });
    // S48: replicas tell of a third.
    assert_eq!(waiting(&world, &[(1, 3), (7, 4)], Service::Served), [(7, UnreadyReason::Missing { replicas: 4 })]);
    // Registered is enough, as in Kafka: whoever is down now is told when he is back.
    world.go(1);
    world.settle();
    assert_eq!(waiting(&world, &[(1, 3)], Service::Served), []);
    assert_eq!(waiting(&world, &[(1, 3)], Service::None), [(2, UnreadyReason::Unserved)]);
}

/// S49: every broker with every reason.
#[test]
fn every_reason_of_every_broker_is_named() {
    let mut world = World::new();
    world.settings.inter_broker_listener = Some("INTERNAL".into());
    let mut odd = znode(1, 5);
    odd.cluster_id = Some("other".into());
    odd.metadata_versions = MetadataVersionRange::of_levels(20, 20);
    world.watch(1, odd);
    world.come(3000, 5);
    let reasons = waiting(&world, &[(7, 4), (3000, 2)], Service::Served);
    let texts: Vec<_> = reasons.iter().map(|(id, reason)| format!("broker {id} {reason}")).collect();
    assert_eq!(
        texts,
        [
            "broker 1 belongs to cluster other (from /brokers/ids), and the controllers to MkU3OEVBNTcwNTJENDM2Qg: correct one \
         of the two",
            "broker 1 has inter.broker.protocol.version 3.8-IV0 (from /brokers/ids), and the controllers have \
         metadata.version 3.9-IV0: make the two equal",
            "broker 1 has no listener INTERNAL, which is the controllers' inter.broker.listener.name: set both to one",
            "broker 7 has 4 replicas and is not in /brokers/ids",
            "broker 3000 has no listener INTERNAL, which is the controllers' inter.broker.listener.name: set both to one",
            "broker 3000 is a broker with 2 replicas, and its id is a controller's too: choose another node id",
        ]
    );
}

/// What only concerns serving brokers is waived by the operator's word, and shown all the same.
#[test]
fn the_operators_word_waives_what_concerns_serving_alone() {
    let word = Service::NoneByOperatorsWord;
    let mut world = World::new();
    let mut old = znode(1, 5);
    old.metadata_versions = MetadataVersionRange::of_levels(-1, -1);
    world.watch(1, old);
    assert_eq!(waiting(&world, &[(7, 4)], word), []);
    let warnings = standing(&world, 1, word).warnings;
    assert!(
        warnings.iter().any(|it| it.to_string().contains("inter.broker.protocol.version older than 3.0-IV1")),
        "{warnings:?}"
    );
    // Not what would mix up two clusters, or take the wrong version.
    let mut foreign = znode(2, 5);
    foreign.cluster_id = Some("other".into());
    world.watch(2, foreign);
    let mut behind = znode(3, 5);
    behind.metadata_versions = MetadataVersionRange::of_levels(20, 20);
    world.watch(3, behind);
    let ids: Vec<_> = waiting(&world, &[], word).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [2, 3]);
}

/// A report says where each fact comes from; what nobody says is a warning.
#[test]
fn each_fact_has_its_source() {
    let mut world = World::new();
    world.come(1, 5);
    world.come(2, 5);
    world.settings.operator.cluster_id = Some(CLUSTER.into());
    world.ask(zk_request(2, 1)).unwrap();
    world.settle();
    let watched = standing(&world, 1, Service::Served);
    let asked = standing(&world, 2, Service::Served);
    let sources = |it: &BrokerStanding| {
        (
            it.facts.mode.map(|it| it.source),
            it.facts.cluster_id.as_ref().map(|it| it.source),
            it.facts.metadata_versions.map(|it| it.source),
            it.facts.migration_flag.map(|it| (it.value, it.source)),
            it.facts.log_dirs.map(|it| (it.value, it.source)),
        )
    };
    use BrokerSource::*;
    assert_eq!(sources(&watched), (Some(ZooKeeper), Some(OperatorsSettings), None, None, None));
    let registration = Some(Registration);
    let expected = (registration, registration, registration, Some((true, Registration)), Some((1, Registration)));
    assert_eq!(sources(&asked), expected);
    let unknown = BrokerWarning::MetadataVersionUnknown { expected: MetadataVersion::V3_9_IV0 };
    assert_eq!((watched.warnings, asked.warnings), (vec![unknown], vec![]));
    world.settings.operator.inter_broker_protocol = Some(MetadataVersionRange::only(MetadataVersion::V3_9_IV0));
    assert_eq!(sources(&standing(&world, 1, Service::Served)).2, Some(OperatorsSettings));
}

/// Generated ids: sure when the counter is known, a doubt when it is not.
#[test]
fn a_generated_id_blocks_where_it_is_sure() {
    for (id, generated, max, unready, doubted) in [
        (1000, None, None, false, false),
        (1001, None, None, false, true),
        (1001, Some(0), None, false, false),
        (1001, Some(1), None, true, false),
        (1002, Some(1), None, false, false),
        (1001, Some(1), Some(2000), false, false),
        (11, None, Some(10), false, true),
        (i32::MAX, None, Some(-1), false, true),
    ] {
        let mut world = World::new();
        world.settings.operator.ids_generated = generated;
        world.settings.operator.reserved_broker_max_id = max.map(NodeId);
        world.come(id, 5);
        world.settle();
        let it = standing(&world, id, Service::Served);
        let case = format!("{id} {generated:?} {max:?}: {it:?}");
        let reason = |it: &UnreadyReason| matches!(it, UnreadyReason::GeneratedId { .. });
        let doubt = |it: &BrokerWarning| matches!(it, BrokerWarning::PerhapsGeneratedId { .. });
        assert_eq!((it.unready.iter().any(reason), it.warnings.iter().any(doubt)), (unready, doubted), "{case}");
        assert_eq!(world.registered(id).is_some(), !unready, "{case}");
    }
}

/// S43, S45: below 3.7-IV2 the znode does not tell of directories, which is said.
#[test]
fn unknown_directories_are_a_doubt_where_only_one_is_allowed() {
    for (version, doubted) in [(MetadataVersion::V3_6_IV1, true), (MetadataVersion::V3_7_IV2, false)] {
        let mut world = World::at(version, ZkMigrationState::PreMigration);
        world.come(1, 5);
        let warnings = standing(&world, 1, Service::Served).warnings;
        let doubt = BrokerWarning::DirectoriesUnknown { metadata_version: version };
        assert_eq!(warnings.contains(&doubt), doubted, "{version}");
    }
}

/// S76 in the report: the ZooKeeper broker is fine, and the claim on its id is shown.
#[test]
fn a_refused_claim_on_a_brokers_id_is_shown() {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    world.come(1, 5);
    world.settle();
    world.ask(kraft_request(1, 1)).unwrap_err();
    world.settle();
    let it = standing(&world, 1, Service::Served);
    assert_eq!((it.unready.as_slice(), world.registered(1)), ([].as_slice(), Some((false, true))));
    let shown: Vec<_> = it.warnings.iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|it| it.contains("DUPLICATE_BROKER_REGISTRATION")), "{shown:?}");
}

/// S48, S50: what finalization waits for.
#[test]
fn who_still_runs_in_zookeeper_mode_is_computed_from_all_sources() {
    let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
    world.come(1, 5);
    world.settle();
    world.go(1);
    world.settle();
    world.come(2, 5);
    world.ask(kraft_request(3, 3)).unwrap();
    world.settle();
    let ids: Vec<_> = assessed(&world, &[(3, 1), (4, 2)], Service::Served).in_zookeeper_mode();
    // 1 was registered and is down, 2 is alive, 3 is in KRaft mode, of 4 only its replicas tell.
    assert_eq!(ids, [1, 2, 4].map(NodeId));
}
