//! When a migration has stopped for good, and how its process ends then.

use metadata_core::error::ErrorKind;
use metadata_core::record::ZkMigrationState;
use migration::{Decision, State, Status};

use crate::cli::Failure;

/// Refusals in a row, before the copy, after which waiting for better credentials makes no sense any more.
const REFUSALS_MAX: u32 = 3;

/// Why a migration doesn't go on by itself; `None` while it may. What passes (a ZooKeeper that is away, say) is waited
/// for. So are refused credentials once everything is copied: whoever ends then leaves a cluster without any controller.
pub fn why_it_stopped(status: &Status) -> Option<Failure> {
    let reasons = reasons_of(status);
    match (status.state, status.blocked_by) {
        (State::Blocked, Some(ErrorKind::Corrupt)) => Some(
            Failure::damaged("the metadata log and ZooKeeper contradict each other")
                .whys(reasons)
                .next("change nothing by hand; find the newest copy of the data directory and start with that"),
        ),
        (State::Blocked, _) => Some(
            Failure::blocked("the migration can't go on")
                .whys(reasons)
                .next("mend what is named, then run the same command again"),
        ),
        (State::ZkGoverned, _) => Some(
            Failure::blocked("ZooKeeper was governed by someone else since this log was last written to it")
                .whys(reasons)
                .next(
                    "find out what was changed there and decide which side is right; to begin anew from ZooKeeper, stop every \
                     controller of this log, delete /migration, and /controller if it names one of them, and use a new data \
                     directory; to throw away what was changed there, `migrate --overrule-zk-governed`",
                ),
        ),
        // A quorum of one waits for nobody else.
        (State::WaitForControllerQuorum, None)
            if status.decision == Some(Decision::WaitForControllers) && status.voters.len() < 2 =>
        {
            Some(
                Failure::blocked("the controllers don't allow the migration")
                    .whys(reasons)
                    .next("set zookeeper.metadata.migration.enable on every controller"),
            )
        }
        // Not a failure to look at them, which passes, but what was seen.
        (State::WaitForBrokers, None) if status.reason.is_some() && !status.serves_brokers => Some(
            Failure::blocked("the brokers don't allow the migration")
                .whys(reasons)
                .next(
                    "serve the brokers with --broker-listener; use --unserved-brokers only if nobody needs them, as in a \
                     rehearsal; if this controller's id is a broker's, choose another --node-id and a new --data-dir",
                ),
        ),
        (_, Some(ErrorKind::Unauthorized))
            if status.attempt >= REFUSALS_MAX && status.log_state != ZkMigrationState::Migration =>
        {
            Some(
            Failure::failed("ZooKeeper refuses us")
                .whys(reasons)
                .next("check the credentials in --zookeeper-config: they must be the brokers'"),
            )
        }
        _ => None,
    }
}

/// The reasons in a status, one each: the driver joins those of several brokers, and an import lists its problems in lines.
pub fn reasons_of(status: &Status) -> Vec<String> {
    let Some(reason) = &status.reason else { return Vec::new() };
    if status.blocked_by.is_none() {
        return reason.split("; ").map(str::to_owned).collect();
    }
    reason.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metadata_core::brokers::{AssignedReplicas, BrokerIds, BrokerPresence};
    use metadata_core::contract::{MemLog, MemStore};
    use metadata_core::id::NodeId;
    use migration::{Migration, MigrationOptions, Ports};

    use super::*;
    use crate::cli::Exit;

    struct Nobody;

    type Voters = std::collections::BTreeMap<NodeId, Option<metadata_core::controllers::ControllerAnnouncement>>;

    #[async_trait::async_trait]
    impl BrokerIds for Nobody {
        async fn next(&mut self) -> metadata_core::error::Result<std::collections::BTreeMap<NodeId, BrokerPresence>> {
            std::future::pending().await
        }
    }

    #[async_trait::async_trait]
    impl metadata_core::controllers::Controllers for Nobody {
        async fn next(&mut self) -> metadata_core::error::Result<Voters> {
            std::future::pending().await
        }
    }

    #[async_trait::async_trait]
    impl metadata_core::projection::Projection for Nobody {
        async fn compare(
            &self,
            _: &metadata_core::image::MetadataImage,
            _: usize,
        ) -> metadata_core::error::Result<metadata_core::projection::Comparison> {
            std::future::pending().await
        }
    }

    #[async_trait::async_trait]
    impl AssignedReplicas for Nobody {
        async fn assigned_replicas(&self) -> metadata_core::error::Result<std::collections::BTreeMap<NodeId, u64>> {
            Ok(Default::default())
        }
    }

    fn status() -> Status {
        let ports = Ports {
            log: Arc::new(MemLog::new()),
            zookeeper: Arc::new(MemStore::new()),
            projection: Arc::new(Nobody),
            controllers: Box::new(Nobody),
            broker_ids: Box::new(Nobody),
            assigned_replicas: Arc::new(Nobody),
            channel: None,
        };
        let (_, handle) = Migration::new(ports, MigrationOptions::new("c"));
        handle.watch().borrow().clone()
    }

    #[test]
    fn refused_credentials_end_it_only_while_nothing_is_copied() {
        let mut refused = status();
        refused.state = State::BecomeController;
        refused.reason = Some("NoAuth".into());
        refused.blocked_by = Some(ErrorKind::Unauthorized);
        for (log_state, attempt, exit) in [
            (ZkMigrationState::PreMigration, 2, None),
            (ZkMigrationState::PreMigration, 3, Some(Exit::Failed)),
            (ZkMigrationState::Migration, 3, None),
            (ZkMigrationState::Migration, 1000, None),
        ] {
            (refused.log_state, refused.attempt) = (log_state, attempt);
            assert_eq!(why_it_stopped(&refused).map(|failure| failure.exit()), exit, "{log_state} {attempt}");
        }
    }
}
