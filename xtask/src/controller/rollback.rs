//! The rollback of a data directory: by the controller that holds it, or by a process that opens it for that alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metadata_core::brokers::AssignedReplicas as _;
use metadata_core::error::{Error, ErrorKind, Outcome};
use metadata_core::give_back::{GiveBackPlan, RollbackKeeper};
use metadata_core::log::MetadataLog as _;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::ZkMigrationState;
use migration::MigrationHandle;
use migration::rollback::{RollbackOptions, RollbackPorts, plan_rollback, roll_back};
use store_kraft::{KraftLog, QuorumSeal};
use store_zk::ZkStore;
use tokio::sync::watch;

use super::data_dir::DataDir;
use super::fate::Fate;
use super::process::{Controller, ControllerOptions, not_opened, zk_store};
use super::quorum::leads;
use super::rollback_report::{RollbackReport, Where};
use super::seal::{Seal, SealKeeper};
use crate::cli::Failure;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackOrder {
    /// Only make the plan.
    pub dry_run: bool,
    /// How long live brokers may take to elect a controller.
    pub election_max: Duration,
}

/// All that a rollback needs of a controller. It goes on when whoever asked is gone.
struct Work {
    ports: RollbackPorts,
    store: Arc<ZkStore>,
    handle: Option<MigrationHandle>,
    place: Where,
    order: RollbackOrder,
}

impl Work {
    fn new(
        log: Arc<KraftLog>,
        store: Arc<ZkStore>,
        handle: Option<MigrationHandle>,
        data_dir: &DataDir,
        zookeeper: String,
        order: RollbackOrder,
        fate: Option<&Arc<Fate>>,
    ) -> Self {
        let keeper = Arc::new(QuorumKeeper { own: SealKeeper::new(&data_dir.path), log: Arc::clone(&log) });
        let role = Arc::<ZkStore>::clone(&store);
        let place = Where {
            cluster_id: data_dir.cluster_id.clone(),
            data_dir: Some(data_dir.path.display().to_string()),
            zookeeper,
        };
        let ports = RollbackPorts { log, role, keeper };
        let ports = match fate {
            Some(fate) => fate.rollback(ports),
            None => ports,
        };
        Self { ports, store, handle, place, order }
    }

    async fn run(self) -> Result<RollbackReport, Failure> {
        let state = self.ports.log.image().zk_migration_state();
        // For the report alone: a topic that can't be understood must not keep anybody from going back.
        let brokers = self.store.assigned_replicas().await.unwrap_or_default();
        if self.order.dry_run {
            let plan = plan_rollback(&self.ports).await.map_err(refused)?;
            let governance = self.ports.role.governance().await.map_err(refused)?;
            return Ok(RollbackReport::planned(self.place, state, &plan, &governance, &brokers));
        }
        let options = RollbackOptions { election_max: self.order.election_max, ..RollbackOptions::default() };
        let done = roll_back(&self.ports, self.handle.as_ref(), options).await.map_err(refused)?;
        Ok(RollbackReport::done(self.place, state, &done, &brokers))
    }
}

/// A refusal of the ports as the end of a verb.
fn refused(error: Error) -> Failure {
    let (kind, outcome) = (error.kind(), error.outcome());
    let failure = Failure::from(error);
    if outcome == Outcome::Unknown {
        return failure.while_doing("it is not known whether the rollback happened").next("run it again: it tells");
    }
    match kind {
        ErrorKind::Unsupported | ErrorKind::Invalid | ErrorKind::GovernedElsewhere | ErrorKind::ControllerFenced => {
            Failure::blocked("nothing was rolled back")
                .whys([failure.what().to_owned()])
                .whys(failure.reasons().iter().cloned())
                .next("do what the reason says; `rollback --dry-run` shows the plan and changes nothing")
        }
        ErrorKind::Corrupt => failure
            .while_doing("nothing was rolled back")
            .next("find the newest copy of the data directory and roll back with that"),
        _ => failure.while_doing("nothing was rolled back").next("mend what is named, then run it again"),
    }
}

impl Controller {
    /// Rolls the migration back, or only plans it. When it is done, the migration has stopped and [`Self::over`] tells.
    ///
    /// # Errors
    /// Blocked, damaged or failed; the migration goes on, unless it had copied nothing yet or ZooKeeper fell silent.
    pub async fn rollback(&self, order: RollbackOrder) -> Result<RollbackReport, Failure> {
        let acts = leads(&self.log).await?;
        // A change that comes meanwhile would be acknowledged, and lost.
        let one_at_a_time = Arc::clone(&self.entrance.one_at_a_time).lock_owned().await;
        let (log, store) = (Arc::clone(&self.log), Arc::clone(&self.store));
        // A leader that was elected in the middle of a rollback runs no migration: it only does the rest.
        let handle = acts.then(|| self.handle.clone());
        let place = self.connector.describe();
        let work = Work::new(log, store, handle, &self.data_dir, place, order, self.fate.as_ref());
        let (over, status) = (self.over.clone(), self.watch());
        let rolling_back = Arc::clone(&self.rolling_back);
        rolling_back.store(!order.dry_run, Ordering::SeqCst);
        let working = tokio::spawn(async move {
            let result = work.run().await;
            rolling_back.store(!order.dry_run && result.is_ok(), Ordering::SeqCst);
            match &result {
                Ok(_) if !order.dry_run => drop(over.send_replace(Some(Ok(())))),
                // The migration was stopped for it, and nothing starts it again here.
                Err(failure) if status.has_changed().is_err() => {
                    drop(over.send_replace(Some(Err(failure.to_string()))));
                }
                Ok(_) | Err(_) => {}
            }
            drop(one_at_a_time);
            result
        });
        working
            .await
            .map_err(|error| Failure::failed("the rollback did not end").because(&error).next("run it again"))?
    }

    /// Returns once there is nothing left to control: a rollback is done.
    ///
    /// # Errors
    /// A rollback stopped the migration and was not done; what it was told it was told by its asker.
    pub async fn over(&self) -> Result<(), Failure> {
        let mut over = self.over.subscribe();
        let over = over.wait_for(Option::is_some).await.map(|over| over.clone());
        match over {
            Ok(Some(Err(reason))) => {
                Err(Failure::failed("the migration was stopped by a rollback that did not end well")
                    .why(reason)
                    .next("run `rollback` again: it does the rest"))
            }
            Ok(_) => Ok(()),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Keeps a rollback in the directory, and for all members of the quorum in its log: whoever leads next must not claim.
#[derive(Debug)]
struct QuorumKeeper {
    own: SealKeeper,
    log: Arc<KraftLog>,
}

impl QuorumKeeper {
    async fn tell(&self, seal: Option<QuorumSeal>) -> metadata_core::error::Result<()> {
        // The directory of the only member is sealed by its own file.
        if self.log.quorum().members.len() > 1 { self.log.set_seal(seal).await } else { Ok(()) }
    }
}

#[async_trait]
impl RollbackKeeper for QuorumKeeper {
    async fn is_sealed(&self) -> metadata_core::error::Result<bool> {
        Ok(self.own.is_sealed().await? || self.log.seal() == Some(QuorumSeal::RolledBack))
    }

    async fn begin(&self, plan: &GiveBackPlan) -> metadata_core::error::Result<()> {
        // The quorum first: a directory alone says nothing to the others, and would be left behind if they can't be told.
        self.tell(Some(QuorumSeal::RollbackBegun)).await?;
        let kept = self.own.begin(plan).await;
        if kept.is_err()
            && let Err(error) = self.tell(None).await
        {
            tracing::warn!(%error, "the quorum still takes the rollback for begun; run it again");
        }
        kept
    }

    async fn abandon(&self) -> metadata_core::error::Result<()> {
        self.tell(None).await?;
        self.own.abandon().await
    }

    async fn seal(&self, plan: &GiveBackPlan) -> metadata_core::error::Result<()> {
        self.tell(Some(QuorumSeal::RolledBack)).await?;
        self.own.seal(plan).await
    }
}

/// Follows the seal of the log. When another member has rolled back, this directory is sealed too, and there is nothing left to
/// control.
pub(super) async fn follow_seal(
    log: Arc<KraftLog>,
    data_dir: PathBuf,
    over: watch::Sender<Over>,
    rolling_back: Arc<AtomicBool>,
) {
    let mut known = log.seal();
    loop {
        if known == Some(QuorumSeal::RolledBack) {
            if rolling_back.load(Ordering::SeqCst) {
                // It is this one, which ends by itself.
                return;
            }
            let sealed = tokio::task::spawn_blocking(move || SealKeeper::new(&data_dir).seal_after_another()).await;
            if let Ok(Err(error)) = sealed {
                tracing::error!(%error, "the data directory could not be sealed: do not start a controller in it again");
            }
            over.send_if_modified(|over| {
                let first = over.is_none();
                over.get_or_insert(Ok(()));
                first
            });
            return;
        }
        let Ok(now) = log.seal_changed(known).await else { return };
        known = now;
    }
}

/// How a rollback ended, once one has.
pub(super) type Over = Option<Result<(), String>>;

/// Rolls back without a controller: opens the directory, and where ZooKeeper is being written it finishes what is half
/// written first, as a controller would.
///
/// # Errors
/// As [`Controller::rollback`]; the directory is in use, damaged or can't be read.
pub async fn rollback_on_disk(
    options: ControllerOptions,
    data_dir: DataDir,
    order: RollbackOrder,
) -> Result<RollbackReport, Failure> {
    let fate = Fate::from_environment()?;
    let log =
        KraftLog::open(options.log_options(&data_dir)).await.map_err(|error| not_opened_alone(error, &data_dir))?;
    let log = Arc::new(log);
    let version = log.image().features().metadata_version().unwrap_or(options.metadata_version);
    let connector = Arc::clone(&options.connector);
    let quorum = Arc::<KraftLog>::clone(&log);
    let store = Arc::new(zk_store(connector, &options.settings, quorum, version, options.deletions_share_max));
    let zookeeper = options.connector.describe();
    let work = |order| {
        let (log, store) = (Arc::clone(&log), Arc::clone(&store));
        Work::new(log, store, None, &data_dir, zookeeper.clone(), order, fate.as_ref())
    };
    let migrating = log.image().zk_migration_state() == ZkMigrationState::Migration;
    let planned = if migrating && !order.dry_run {
        work(RollbackOrder { dry_run: true, ..order }).run().await.map(Some)
    } else {
        Ok(None)
    };
    let result = match planned {
        // Only a controller that writes can bring ZooKeeper to a whole batch.
        Ok(Some(plan)) if plan.must_drain() => Ok(None),
        Ok(_) => work(order).run().await.map(Some),
        Err(failure) => Err(failure),
    };
    log.shutdown().await.map_err(|error| Failure::from(error).while_doing("the log did not close cleanly"))?;
    match result? {
        Some(report) => Ok(report),
        None => {
            drop((log, store));
            with_a_controller(options, data_dir, order).await
        }
    }
}

fn not_opened_alone(error: Error, data_dir: &DataDir) -> Failure {
    let invalid = error.kind() == ErrorKind::Invalid;
    let failure = not_opened(error, &data_dir.path, false);
    if !invalid {
        return failure;
    }
    failure.next(
        "of several controllers one alone decides nothing: start them with `migrate` again, also those in which a rollback was \
         begun, and run `rollback` at the one that leads",
    )
}

async fn with_a_controller(
    options: ControllerOptions,
    data_dir: DataDir,
    order: RollbackOrder,
) -> Result<RollbackReport, Failure> {
    // Nobody is served for as long as this takes; then a broker governs again.
    let options = ControllerOptions { unserved_brokers: true, ..options };
    let controller = Controller::open(options, data_dir).await?;
    let result = controller.rollback(order).await;
    let stopped = controller.stop().await;
    let report = result?;
    stopped?;
    Ok(report)
}

/// Looks at a ZooKeeper for a directory that nobody has made: there must be no trace of a migration.
///
/// # Errors
/// Blocked: somebody's marker or KRaft controller is there.
pub async fn nothing_to_roll_back(
    options: &ControllerOptions,
    cluster_id: &str,
    path: &Path,
) -> Result<RollbackReport, Failure> {
    let nobody = DataDir {
        path: path.to_owned(),
        node_id: metadata_core::id::NodeId::NONE,
        cluster_id: cluster_id.to_owned(),
        log_id: String::new(),
        is_new: false,
    };
    let version = MetadataVersion::LATEST_PRODUCTION;
    let store = zk_store(Arc::clone(&options.connector), &options.settings, nobody.quorum(), version, None);
    let governance = metadata_core::give_back::ControllerRole::governance(&store).await.map_err(refused)?;
    let mut traces = Vec::new();
    if governance.marker {
        traces.push("/migration is there: a migration was begun with another data directory".to_owned());
    }
    if let Some((id, Some(epoch))) = governance.controller {
        traces.push(format!("/controller belongs to KRaft controller {id} with epoch {epoch}"));
    }
    if traces.is_empty() {
        let place =
            Where { cluster_id: cluster_id.to_owned(), data_dir: None, zookeeper: options.connector.describe() };
        return Ok(RollbackReport::nothing(place, &governance));
    }
    Err(Failure::blocked(format!("{} is no data directory, and there is something to roll back", path.display()))
        .whys(traces)
        .next("name the data directory of the controller that took over; if it is lost, stop that controller, delete \
               /migration and /controller by hand, and raise /controller_epoch above the partition states' controller_epoch"))
}

/// Why no controller may start in this directory, if so: for verbs that only look.
pub fn sealed(data_dir: &Path) -> Option<String> {
    Seal::read(data_dir).ok().flatten().map(|seal| seal.says())
}
