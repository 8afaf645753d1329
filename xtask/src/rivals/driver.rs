//! A process with a migration over a log server's log and a real ZooKeeper.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use broker_registry::Service;
use fencing::QuorumIdentity;
use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersionRange;
use migration::{FixedVoters, Migration, MigrationOptions, Ports, Status};
use store_zk::client::config::ZkSettings;
use store_zk::{ZkStore, ZkStoreOptions};
use tokio::sync::{mpsc, watch};

use super::remote::RemoteLog;
use super::report::Report;
use super::told::Told;
use crate::cli::{Failure, Outcome, VerbResult};
use crate::controller::secret_of;

/// What such a process is told.
#[derive(Debug, Clone, clap::Args)]
pub struct DriverArgs {
    /// The log server's socket
    #[arg(long, value_name = "FILE")]
    pub(super) log: PathBuf,

    /// Who this member is
    #[arg(long, value_name = "N")]
    pub(super) node_id: i32,

    /// All members
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(super) voters: Vec<i32>,

    /// The cluster
    #[arg(long, value_name = "ID")]
    pub(super) cluster_id: String,

    /// The log's own identity
    #[arg(long, value_name = "ID")]
    pub(super) log_id: String,

    /// Where the ZooKeeper is
    #[arg(long, value_name = "FILE")]
    pub(super) zookeeper_config: PathBuf,
}

/// Runs the migration until the log goes away, and says on stdout what it does.
///
/// # Errors
/// It can't start, or the log has gone: a log server ends its members by going.
pub async fn run_driver(args: DriverArgs) -> VerbResult {
    let settings = ZkSettings::load(&args.zookeeper_config)
        .map_err(|error| Failure::failed("the configuration can't be used").because(&error))?;
    let connector = settings.client.connector()?;
    let node = NodeId(args.node_id);
    let log = RemoteLog::join(&args.log, node)
        .await
        .map_err(|error| Failure::failed("can't join the log").why(args.log.display().to_string()).because(&error))?;
    let cluster_id = args.cluster_id.clone();
    let quorum = QuorumIdentity { cluster_id: args.cluster_id, log_id: args.log_id };
    let voters: BTreeSet<NodeId> = args.voters.into_iter().map(NodeId).collect();
    let announcement = ControllerAnnouncement {
        migration_enabled: true,
        metadata_versions: MetadataVersionRange::production(),
        zookeeper_fingerprint: None,
        zookeeper_reachable: None,
    };
    let mut options = ZkStoreOptions::new(quorum, voters.clone());
    options.secret = secret_of(&settings);
    options.secure = settings.secure_acls;
    let store = Arc::new(ZkStore::new(connector, options));
    let (reports, told) = mpsc::unbounded_channel();
    let ports = Ports {
        log: Arc::new(log),
        zookeeper: Arc::new(Told { inner: Arc::clone(&store), reports: reports.clone() }),
        projection: Arc::<ZkStore>::clone(&store),
        controllers: Box::new(FixedVoters::new(voters.iter().map(|id| (*id, announcement.clone())))),
        broker_ids: Box::new(store.broker_ids()),
        assigned_replicas: store,
        channel: None,
    };
    let options = MigrationOptions { service: Service::NoneByOperatorsWord, ..MigrationOptions::new(cluster_id) };
    let (migration, handle) = Migration::new(ports, options);
    tokio::spawn(tell_status(handle.watch(), reports));
    let telling = tokio::spawn(print(told));
    let ended = migration.run().await;
    telling.abort();
    ended.map_err(Failure::from)?;
    Ok(Outcome::done())
}

/// Tells every status that differs from the last one told.
async fn tell_status(mut status: watch::Receiver<Status>, reports: mpsc::UnboundedSender<Report>) {
    let mut last = None;
    loop {
        let now = Report::of(&status.borrow_and_update());
        if last.as_ref() != Some(&now) {
            last = Some(now.clone());
            if reports.send(now).is_err() {
                return;
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// A line for each. Whoever started us reads them all; if he is gone, so is the log.
async fn print(mut told: mpsc::UnboundedReceiver<Report>) {
    while let Some(report) = told.recv().await {
        let Ok(line) = serde_json::to_string(&report) else { continue };
        let mut stdout = std::io::stdout().lock();
        if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
            return;
        }
    }
}
