//! The rules by which a request is judged, in Kafka's order (`ClusterControlManager.registerBroker`), and those that
//! Kafka 3.9 lacks.

use std::collections::BTreeSet;

use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::ZkMigrationState;

use super::{RegistrationRefusal, RegistrationRequest};
use crate::view::ClusterView;

type Verdict = Result<(), RegistrationRefusal>;

/// Judges a request; `Ok` when the broker may be registered. What is there of the broker already does not matter, but for
/// a session of another process.
///
/// | case | answer | Kafka 3.9 |
/// | --- | --- | --- |
/// | another cluster | `INCONSISTENT_CLUSTER_ID` | same |
/// | another process with a session | `DUPLICATE_BROKER_REGISTRATION` | same |
/// | KRaft broker, and a broker in ZooKeeper mode with its id is alive | `DUPLICATE_BROKER_REGISTRATION` | registered |
/// | a controller's id | `INVALID_REGISTRATION` | registered |
/// | ZooKeeper mode, flag off or metadata.version below 3.4-IV0 | `BROKER_ID_NOT_REGISTERED` | same |
/// | ZooKeeper mode, log state not PRE_MIGRATION or MIGRATION | `BROKER_ID_NOT_REGISTERED` | registered |
/// | KRaft broker in PRE_MIGRATION | `BROKER_ID_NOT_REGISTERED` | same |
/// | ZooKeeper mode, no inter-broker listener | `INVALID_REGISTRATION` | same |
/// | from 3.7-IV2 on: no log directory, a reserved, doubled or foreign one | `INVALID_REGISTRATION` | same |
/// | below 3.7-IV2: several log directories | `INVALID_REGISTRATION` | ZooKeeper brokers don't start |
/// | metadata.version or a feature not supported at its level | `UNSUPPORTED_VERSION` | same |
///
/// # Errors
/// The first rule that the request breaks.
pub fn check_registration(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    check_cluster(request, view)?;
    check_id(request, view)?;
    check_mode(request, view)?;
    check_listener(request, view)?;
    check_directories(request, view)?;
    check_features(request, view)
}

fn check_cluster(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    let expected = &view.settings.cluster_id;
    if request.cluster_id == *expected {
        return Ok(());
    }
    Err(RegistrationRefusal::OtherCluster { broker: request.cluster_id.clone(), expected: expected.clone() })
}

fn check_id(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    let id = request.id;
    let lives_elsewhere = match view.sessions.live(id) {
        Some(session) => session.request.incarnation_id != request.incarnation_id,
        // After a failover nobody has been heard yet: who is unfenced is taken to be alive until somebody says otherwise.
        None => {
            !view.sessions.has_expired(id)
                && view
                    .registered_by_itself(id)
                    .is_some_and(|it| !it.fenced && it.incarnation_id != request.incarnation_id)
        }
    };
    if lives_elsewhere {
        return Err(RegistrationRefusal::LiveSession);
    }
    if !request.is_migrating_zk_broker && view.present(id).is_some() {
        return Err(RegistrationRefusal::ZkBrokerIsAlive);
    }
    if view.settings.controllers.contains(&id) {
        return Err(RegistrationRefusal::HasAControllersId);
    }
    Ok(())
}

fn check_mode(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    let state = view.image.zk_migration_state();
    let version = view.metadata_version();
    match (request.is_migrating_zk_broker, state) {
        (true, state) if !view.takes_part(state) => Err(RegistrationRefusal::MigrationDisabled),
        (true, _) if !version.supports_zk_migration_state() => Err(RegistrationRefusal::MetadataVersionTooOld(version)),
        (true, ZkMigrationState::PreMigration | ZkMigrationState::Migration) => Ok(()),
        (true, state) => Err(RegistrationRefusal::NoMigration(state)),
        (false, ZkMigrationState::PreMigration) => Err(RegistrationRefusal::NotBeforeTheCopy),
        (false, _) => Ok(()),
    }
}

fn check_listener(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    match &view.settings.inter_broker_listener {
        Some(wanted) if request.is_migrating_zk_broker && !request.listeners.contains_key(wanted) => {
            Err(RegistrationRefusal::NoInterBrokerListener { wanted: wanted.clone() })
        }
        _ => Ok(()),
    }
}

fn check_directories(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    let directories = &request.log_dirs;
    let metadata_version = view.metadata_version();
    if !metadata_version.supports_directories() {
        return match directories.len() {
            0 | 1 => Ok(()),
            count => Err(RegistrationRefusal::SeveralDirectories { count, metadata_version }),
        };
    }
    if directories.is_empty() {
        return Err(RegistrationRefusal::NoLogDirectory);
    }
    let mut seen = BTreeSet::new();
    for directory in directories {
        if directory.is_reserved() {
            return Err(RegistrationRefusal::ReservedDirectory(*directory));
        }
        if !seen.insert(*directory) {
            return Err(RegistrationRefusal::DuplicateDirectory(*directory));
        }
    }
    let mut others = view.image.cluster().brokers().filter(|(id, _)| *id != request.id);
    let foreign = others.find_map(|(owner, registration)| {
        let shared = registration.directories.iter().find(|it| seen.contains(it))?;
        Some(RegistrationRefusal::DirectoryOf { directory: *shared, owner })
    });
    foreign.map_or(Ok(()), Err)
}

fn check_features(request: &RegistrationRequest, view: &ClusterView<'_>) -> Verdict {
    let expected = view.metadata_version();
    let supported = request.metadata_versions();
    if !supported.is_some_and(|range| range.contains(expected)) {
        let is_migrating_zk_broker = request.is_migrating_zk_broker;
        return Err(RegistrationRefusal::OtherMetadataVersion { supported, expected, is_migrating_zk_broker });
    }
    for (feature, level) in view.image.features().finalized() {
        let supported = request.features.get(&**feature).copied();
        if !supported.is_some_and(|range| (range.min..=range.max).contains(level)) {
            let feature = feature.to_string();
            return Err(RegistrationRefusal::UnsupportedFeature { feature, level: *level, supported });
        }
    }
    debug_assert!(!view.image.features().finalized().contains_key(MetadataVersion::FEATURE_NAME));
    Ok(())
}
