//! Whatever happens to the brokers, in whatever order it is told: the log comes to rest, and at the same place.

use std::collections::BTreeMap;

use broker_registry::*;
use metadata_core::brokers::BrokerPresence;
use metadata_core::id::*;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::ZkMigrationState;
use proptest::prelude::*;

use crate::common::*;

/// Something happens to a broker.
#[derive(Debug, Clone)]
enum Happening {
    Comes { id: i32, czxid: i64 },
    Goes(i32),
    Malforms(i32),
    Blinds,
    Asks { id: i32, number: u64, zk: bool },
    Beats { id: i32, want_fence: bool },
    Expires(i32),
    FailsOver,
    Writes,
}

fn happening() -> impl Strategy<Value = Happening> {
    let id = 1..=3;
    prop_oneof![
        4 => (id.clone(), 1i64..5).prop_map(|(id, czxid)| Happening::Comes { id, czxid }),
        2 => id.clone().prop_map(Happening::Goes),
        1 => id.clone().prop_map(Happening::Malforms),
        1 => Just(Happening::Blinds),
        3 => (id.clone(), 1u64..4, any::<bool>()).prop_map(|(id, number, zk)| Happening::Asks { id, number, zk }),
        4 => (id.clone(), any::<bool>()).prop_map(|(id, want_fence)| Happening::Beats { id, want_fence }),
        2 => id.prop_map(Happening::Expires),
        1 => Just(Happening::FailsOver),
        3 => Just(Happening::Writes),
    ]
}

fn happens(world: &mut World, happening: &Happening) {
    match happening {
        Happening::Comes { id, czxid } => world.come(*id, *czxid),
        Happening::Goes(id) => world.go(*id),
        Happening::Malforms(id) => {
            world.watch(*id, BrokerPresence { malformed: Some("odd".into()), ..BrokerPresence::in_zookeeper(0) });
        }
        Happening::Blinds => world.watched = None,
        Happening::Asks { id, number, zk: true } => {
            let level = world.image.metadata_version_or_lowest().level();
            drop(world.ask(RegistrationRequest { features: features(level), ..zk_request(*id, *number) }));
        }
        Happening::Asks { id, number, zk: false } => drop(world.ask(kraft_request(*id, *number))),
        Happening::Beats { id, want_fence } => {
            if let Some(it) = world.image.cluster().broker(NodeId(*id)) {
                let _ = world.beat(*id, Heartbeat { want_fence: *want_fence, ..heartbeat(it.epoch) });
            }
        }
        Happening::Expires(id) => world.sessions.expire(NodeId(*id)),
        Happening::FailsOver => world.sessions = BrokerSessions::new(),
        Happening::Writes => drop(world.settle_once()),
    }
}

proptest! {
    /// A second run over its own image writes nothing, and no image ever has two processes of one broker that serve.
    #[test]
    fn what_is_written_comes_to_rest(
        pre_migration: bool,
        directories: bool,
        happenings in proptest::collection::vec(happening(), 0..40),
    ) {
        let state = if pre_migration { ZkMigrationState::PreMigration } else { ZkMigrationState::Migration };
        let version = if directories { MetadataVersion::V3_9_IV0 } else { MetadataVersion::V3_6_IV1 };
        let mut world = World::at(version, state);
        for it in &happenings {
            happens(&mut world, it);
        }
        world.settle();
        prop_assert_eq!(registrations(&world.view()).changes, vec![]);
        for (id, registration) in world.image.cluster().brokers() {
            let kraft_serves = !registration.fenced && !registration.is_migrating_zk_broker;
            let zk_alive = world.watched.as_ref().is_some_and(|it| it.contains_key(&id));
            prop_assert!(!(kraft_serves && zk_alive), "S76: {} serves twice", id);
            prop_assert!(!(pre_migration && kraft_serves), "a KRaft broker before the copy: {}", id);
        }
    }

    /// Whatever was seen on the way, and however often it was written: the last state of `/brokers/ids` decides who is
    /// registered, as which run, and who is fenced.
    #[test]
    fn the_last_state_of_the_watch_decides(
        on_the_way in proptest::collection::vec((1..=4, 1i64..5, any::<bool>(), any::<bool>()), 0..30),
        last in proptest::collection::btree_map(1..=4, 5i64..9, 0..4),
    ) {
        let mut world = World::new();
        for (id, czxid, comes, written) in on_the_way {
            if comes { world.come(id, czxid) } else { world.go(id) }
            if written { world.settle_once(); }
        }
        world.watched = Some(last.iter().map(|(id, czxid)| (NodeId(*id), znode(*id, *czxid))).collect());
        world.settle();
        let unfenced: BTreeMap<i32, i64> = world
            .image
            .cluster()
            .brokers()
            .filter(|(_, it)| !it.fenced)
            .map(|(id, it)| (id.0, watched_czxid(it.incarnation_id).unwrap()))
            .collect();
        prop_assert_eq!(unfenced, last);
    }

    /// A broker epoch is never used for two registrations of one broker.
    #[test]
    fn epochs_of_a_broker_only_grow(happenings in proptest::collection::vec(happening(), 0..40)) {
        let mut world = World::at(MetadataVersion::V3_9_IV0, ZkMigrationState::Migration);
        let mut seen: BTreeMap<NodeId, (BrokerEpoch, IncarnationId)> = BTreeMap::new();
        for it in happenings.iter().flat_map(|it| [it.clone(), Happening::Writes]) {
            happens(&mut world, &it);
            for (id, now) in world.image.cluster().brokers() {
                let before = seen.insert(id, (now.epoch, now.incarnation_id));
                let Some((epoch, incarnation_id)) = before else { continue };
                let same = incarnation_id == now.incarnation_id;
                prop_assert!(if same { epoch == now.epoch } else { epoch < now.epoch }, "{}", id);
            }
        }
    }
}
