//! The controller itself: everything wired together, started and stopped.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_registry::{OperatorsSettings, Service};
use controller::channel::TcpBrokerChannel;
use controller::serve::{BROKER_SESSION_DEFAULT, ServeOptions, Serving};
use controller::write::{MetadataWriter, Turns};
use fencing::Quorum;
use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::error::{Error, ErrorKind, Outcome};
use metadata_core::id::{NodeId, TimestampMs};
use metadata_core::leadership::Fence;
use metadata_core::log::MetadataLog as _;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};
use metadata_core::record::ZkMigrationState;
use migration::finalization::{Finalization, FinalizeOptions};
use migration::gate::{DivergenceBudget, Gate, GateStatus};
use migration::propagate::BrokerChannel;
use migration::{Migration, MigrationHandle, MigrationOptions, Ports, State, Status};
use store_kraft::{KraftLog, KraftLogOptions, PeerOptions};
use store_zk::client::ZkConnector;
use store_zk::client::config::ZkSettings;
use store_zk::project::Projector;
use store_zk::{ZkStore, ZkStoreOptions};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::assigned::Assigned;
use super::changes::{self, Entrance};
use super::chronicle::Chronicle;
use super::compare::{Compared, Showing, compare, context, estimate};
use super::data_dir::{DataDir, who_holds};
use super::fate::Fate;
use super::measured::Measured;
use super::quorum::{QuorumReport, lead, members_unchanged, why_nobody_acts, why_nobody_leads};
use super::refusal::reasons_of;
use super::report::{
    BrokerReport, ClaimReport, ControllerReport, CopyReport, FinalizeReport, GateReport, StatusReport, SyncedReport,
    UnreadyReport, VerifyReport,
};
use super::rollback::{Over, follow_seal};
use super::seal::Seal;
use super::secret::{check_secret, secret_of};
use crate::change::Change;
use crate::cli::{Failure, ServeBrokers};
use crate::control::{ChangesMade, Reporter};

/// How long dual writing may take to settle what is in flight, before a comparison gives up.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// What a controller is started with, beside its directory.
#[derive(Clone)]
pub struct ControllerOptions {
    /// How to reach the ZooKeeper.
    pub connector: Arc<dyn ZkConnector>,
    /// What else the configuration says of it.
    pub settings: ZkSettings,
    /// Written into an empty log.
    pub metadata_version: MetadataVersion,
    /// The operator knows that nobody serves the brokers.
    pub unserved_brokers: bool,
    /// The operator's word that leads out of ZK_GOVERNED.
    pub overrule_zk_governed: bool,
    /// The brokers' `inter.broker.protocol.version`, as the operator says: `/brokers/ids` does not tell it.
    pub inter_broker_protocol: Option<MetadataVersion>,
    /// A full sync may delete this share of ZooKeeper's topics (0 to 1); `None` for the store's own limit.
    pub deletions_share_max: Option<f64>,
    /// How the other controllers are met; `None` for a quorum of one.
    pub peers: Option<PeerOptions>,
    /// How brokers are served; `None` when nobody serves them.
    pub brokers: Option<ServeBrokers>,
}

impl ControllerOptions {
    /// The newest version for an empty log, no word of an operator, and the store's own limits.
    pub fn new(connector: Arc<dyn ZkConnector>, settings: ZkSettings) -> Self {
        Self {
            connector,
            settings,
            metadata_version: MetadataVersion::LATEST_PRODUCTION,
            unserved_brokers: false,
            overrule_zk_governed: false,
            inter_broker_protocol: None,
            deletions_share_max: None,
            peers: None,
            brokers: None,
        }
    }

    /// How the log in `data_dir` is opened.
    pub(super) fn log_options(&self, data_dir: &DataDir) -> KraftLogOptions {
        let mut options = KraftLogOptions::new(&data_dir.path, data_dir.node_id, &data_dir.cluster_id);
        options.announcement = announcement(&self.settings);
        options.peers = self.peers.clone();
        options
    }
}

/// The store of a ZooKeeper, as a controller of `quorum` sees it. Nothing is opened yet.
pub fn zk_store(
    connector: Arc<dyn ZkConnector>,
    settings: &ZkSettings,
    quorum: Arc<dyn Quorum>,
    metadata_version: MetadataVersion,
    deletions_share_max: Option<f64>,
) -> ZkStore {
    let defaults = ZkStoreOptions::of(quorum);
    let options = ZkStoreOptions {
        metadata_version,
        secret: secret_of(settings),
        secure: settings.secure_acls,
        deletions_share_max: deletions_share_max.unwrap_or(defaults.deletions_share_max),
        ..defaults
    };
    ZkStore::new(connector, options)
}

/// Our own flag: on, unless the configuration says otherwise.
fn enabled(settings: &ZkSettings) -> bool {
    settings.migration_enable.unwrap_or(true)
}

fn announcement(settings: &ZkSettings) -> ControllerAnnouncement {
    ControllerAnnouncement {
        migration_enabled: enabled(settings),
        metadata_versions: MetadataVersionRange::production(),
        zookeeper_fingerprint: Some(settings.fingerprint()),
        zookeeper_reachable: None,
    }
}

/// `of_several`: the directory is that of one controller of several.
pub(super) fn not_opened(error: Error, path: &Path, of_several: bool) -> Failure {
    if let Some(holder) = who_holds(path) {
        return holder;
    }
    let path = path.display();
    let step = match error.kind() {
        // The error says how one of several is built anew; no copy of it may take part again.
        ErrorKind::Corrupt if of_several => format!("`cargo xtask dump-log {path}` shows what is sound"),
        ErrorKind::Corrupt => {
            format!("`cargo xtask dump-log {path}` shows what is sound; go on with the newest sound copy")
        }
        _ => "check --data-dir".to_owned(),
    };
    Failure::from(error).while_doing(format!("can't open the data directory {path}")).next(step)
}

/// A running controller.
pub struct Controller {
    pub(super) log: Arc<KraftLog>,
    pub(super) store: Arc<ZkStore>,
    measured: Arc<Measured>,
    pub(super) handle: MigrationHandle,
    pub(super) chronicle: Chronicle,
    running: Mutex<Option<JoinHandle<metadata_core::error::Result<()>>>>,
    pub(super) entrance: Entrance,
    pub(super) data_dir: DataDir,
    pub(super) connector: Arc<dyn ZkConnector>,
    /// How a rollback ended, once one has.
    pub(super) over: watch::Sender<Over>,
    /// Whether this controller itself rolls back.
    pub(super) rolling_back: Arc<AtomicBool>,
    settings: ZkSettings,
    pub(super) fate: Option<Arc<Fate>>,
    /// Answers brokers, until the controller stops.
    serving: std::sync::Mutex<Option<Serving>>,
}

impl Controller {
    /// Opens the log, waits until it leads, and starts the migration. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The directory is in use, damaged, or can't be read; a rollback closed it; the log holds passwords that could not be
    /// written to ZooKeeper.
    pub async fn start(options: ControllerOptions, data_dir: DataDir) -> Result<Self, Failure> {
        Seal::check(&data_dir.path, options.peers.is_some())?;
        Self::open(options, data_dir).await
    }

    /// [`Self::start`], in a directory that a rollback may have closed: for the rollback itself.
    pub(super) async fn open(options: ControllerOptions, data_dir: DataDir) -> Result<Self, Failure> {
        let log_options = options.log_options(&data_dir);
        let ControllerOptions {
            connector,
            settings,
            metadata_version,
            unserved_brokers,
            overrule_zk_governed,
            inter_broker_protocol,
            deletions_share_max,
            peers,
            brokers,
        } = options;
        let fate = Fate::from_environment()?;
        let connector = fate.as_ref().map_or_else(|| Arc::clone(&connector), |fate| fate.connector(connector.clone()));
        let of_several = peers.is_some();
        let opened = KraftLog::open(log_options).await;
        let log = opened.map_err(|error| not_opened(error, &data_dir.path, of_several))?;
        let recovery = log.recovery();
        for damage in [&recovery.torn_raft_log, &recovery.torn_kafka_log].into_iter().flatten() {
            tracing::info!("{damage}: it was cut, and nothing that was acknowledged is lost");
        }
        if let Some(reason) = &recovery.cache {
            tracing::warn!("the cache of the data directory is built anew: {reason}");
        }
        // A finalized migration has no use for a ZooKeeper any more.
        let finalized = log.image().zk_migration_state() == ZkMigrationState::PostMigration;
        let secret = secret_of(&settings);
        if !finalized && let Err(failure) = check_secret(&log.image(), secret.as_ref(), connector.as_ref()).await {
            if let Err(error) = log.shutdown().await {
                tracing::error!(%error, "the log did not close cleanly");
            }
            return Err(failure);
        }
        // A log that has a version of its own goes on with it.
        let metadata_version = log.image().features().metadata_version().unwrap_or(metadata_version);
        let log = Arc::new(log);
        let quorum = Arc::<KraftLog>::clone(&log);
        let store = zk_store(Arc::clone(&connector), &settings, quorum, metadata_version, deletions_share_max);
        let store = Arc::new(store);
        let measured = Arc::new(Measured::new(Arc::clone(&store)));
        let mut ports = Ports {
            log: Arc::<KraftLog>::clone(&log),
            zookeeper: Arc::<Measured>::clone(&measured),
            projection: Arc::<ZkStore>::clone(&store),
            controllers: Box::new(log.controllers()),
            broker_ids: Box::new(store.broker_ids()),
            assigned_replicas: Arc::new(Assigned(Arc::clone(&store))),
            channel: brokers.as_ref().map(|_| Arc::new(TcpBrokerChannel::new()) as Arc<dyn BrokerChannel>),
        };
        if let Some(fate) = &fate {
            ports.log = fate.log(ports.log);
            ports.zookeeper = fate.store(ports.zookeeper);
            ports.assigned_replicas = fate.replicas(ports.assigned_replicas);
            ports.projection = fate.projection(ports.projection);
        }
        let service = match &brokers {
            Some(_) => Service::Served,
            None if unserved_brokers => Service::NoneByOperatorsWord,
            None => Service::None,
        };
        let options = MigrationOptions {
            migration_enable: enabled(&settings),
            metadata_version,
            service,
            overrule_zk_governed,
            zookeeper_fingerprint: Some(settings.fingerprint()),
            inter_broker_listener: brokers.as_ref().map(|brokers| brokers.inter_broker_listener.clone()),
            operator: OperatorsSettings {
                // That of /cluster/id, which every broker compares with its own.
                cluster_id: Some(data_dir.cluster_id.clone()),
                inter_broker_protocol: inter_broker_protocol.map(MetadataVersionRange::only),
                ..OperatorsSettings::default()
            },
            ..MigrationOptions::new(&data_dir.cluster_id)
        };
        let (migration, handle) = Migration::new(ports, options);
        let chronicle = Chronicle::start(handle.watch());
        let running = Mutex::new(Some(tokio::spawn(migration.run())));
        let gate = Gate::over(&log.image(), DivergenceBudget::default());
        let over = watch::Sender::new(None);
        let rolling_back = Arc::new(AtomicBool::new(false));
        let sealed = follow_seal(Arc::clone(&log), data_dir.path.clone(), over.clone(), Arc::clone(&rolling_back));
        drop(tokio::spawn(sealed));
        let entrance = Entrance::new(gate.clone(), over.subscribe());
        let (status, followed) = (handle.watch(), Arc::<KraftLog>::clone(&log));
        // Ends with the migration or the log.
        drop(tokio::spawn(async move {
            let ended = gate.follow(status, followed).await;
            tracing::debug!(%ended, "nothing feeds the gate any more");
        }));
        let serving = match brokers {
            Some(brokers) => {
                let options = ServeOptions {
                    node_id: data_dir.node_id,
                    cluster_id: data_dir.cluster_id.clone(),
                    advertised: brokers.advertised,
                    migration_enable: enabled(&settings),
                    broker_session: BROKER_SESSION_DEFAULT,
                };
                // A rollback keeps brokers from changing anything, as it does people.
                let turns = Turns { turn: Arc::clone(&entrance.one_at_a_time), closed: Arc::clone(&rolling_back) };
                let writer = MetadataWriter::new(Arc::<KraftLog>::clone(&log), entrance.gate.clone(), turns);
                let served = Serving::start(Arc::clone(&log), handle.clone(), writer, &brokers.listen, options);
                Some(served.await.map_err(|error| {
                    Failure::failed(format!("can't listen for brokers at {}", brokers.listen))
                        .because(&error)
                        .next("choose another --broker-listener")
                })?)
            }
            None => None,
        };
        Ok(Self {
            serving: std::sync::Mutex::new(serving),
            log,
            store,
            measured,
            handle,
            chronicle,
            running,
            entrance,
            data_dir,
            connector,
            over,
            rolling_back,
            settings,
            fate,
        })
    }

    /// The migration's status, to look at or to wait on.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.handle.watch()
    }

    /// Returns when the migration has ended without being told to: the log has stopped.
    pub async fn ended(&self) -> Failure {
        let mut status = self.watch();
        while status.changed().await.is_ok() {}
        let running = self.running.lock().await.take();
        match running {
            None => std::future::pending().await,
            Some(running) => match running.await {
                Ok(Err(error)) => Failure::from(error).while_doing("the controller has stopped"),
                Ok(Ok(())) => std::future::pending().await,
                Err(error) => Failure::damaged("the controller has stopped")
                    .because(&error)
                    .next("report this, with what stands above it"),
            },
        }
    }

    /// Stops: what is in flight is given up or settled, the log is synced and closed, the directory is free.
    ///
    /// # Errors
    /// The log had stopped before, or could not be synced. Nothing that was acknowledged is lost.
    pub async fn stop(&self) -> Result<(), Failure> {
        self.serving.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        self.handle.stop();
        if let Some(running) = self.running.lock().await.take() {
            match running.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the migration ended"),
                Err(error) => tracing::error!(%error, "the migration ended"),
            }
        }
        self.log.shutdown().await.map_err(|error| Failure::from(error).while_doing("the log did not close cleanly"))
    }

    /// Znodes read from ZooKeeper so far, for whatever reason.
    pub fn znodes_read(&self) -> u64 {
        self.store.read_totals().znodes
    }

    /// About how many znodes a walk over all that the log knows reads.
    pub fn znodes_expected(&self) -> u64 {
        estimate(&self.log.image())
    }

    /// How long ago the first record came that ZooKeeper lacks: 0 when it lacks none, `None` when that is not known.
    async fn lag_ms(&self, status: &Status) -> Option<i64> {
        let from = match status.lag_records()? {
            0 => return Some(0),
            _ => status.zookeeper_at?.end_offset,
        };
        let first = self.log.read(from, 1).await.ok()?.first()?.timestamp;
        Some(age(first, SystemTime::now()))
    }

    /// How it is.
    pub async fn status(&self) -> StatusReport {
        let status = self.watch().borrow().clone();
        let lag_ms = self.lag_ms(&status).await;
        let image = self.log.image();
        let end = image.position();
        let quorum = self.log.quorum();
        let leads = quorum.leader == Some(self.data_dir.node_id);
        let claim = status.claimed.and_then(|claimed| match claimed.leadership.fence {
            Fence::ZooKeeper(zk) => Some(ClaimReport {
                zk_epoch: zk.epoch.0,
                zk_version: zk.epoch_zk_version.0,
                kraft_epoch: claimed.leadership.kraft.epoch.0,
            }),
            _ => None,
        });
        let report = StatusReport {
            driver_state: status.state.to_string(),
            migration_state: image.zk_migration_state().to_string(),
            reason: why_nobody_acts(self.log.seal()).or(status.reason.clone()).or_else(|| why_nobody_leads(&quorum)),
            decision: status.decision.map(|decision| decision.to_string()),
            warnings: status.warnings.clone(),
            since_ms: Some(self.chronicle.since_ms()),
            waiting_ms: status.waiting.as_ref().map(|waiting| millis(waiting.since.elapsed())),
            next_attempt_ms: status
                .waiting
                .as_ref()
                .and_then(|waiting| waiting.next_attempt)
                .map(|at| millis(at.saturating_duration_since(Instant::now()))),
            zookeeper_may_go: image.zk_migration_state() == ZkMigrationState::PostMigration,
            attempt: status.attempt,
            cluster_id: self.data_dir.cluster_id.clone(),
            node_id: self.data_dir.node_id.0,
            data_dir: self.data_dir.path.display().to_string(),
            process: Some(std::process::id()),
            zookeeper: Some(self.connector.describe()),
            metadata_version: image.features().metadata_version().map(|version| version.to_string()),
            log_end_offset: end.end_offset.0,
            log_epoch: end.epoch.0,
            lag_records: status.lag_records(),
            lag_ms,
            claim,
            dual_write_records: status.dual_write.records,
            // Who does not lead does not write, and knows nothing of ZooKeeper.
            gate: leads.then(|| gate_report(self.gate())),
            unrepresentable: Vec::new(),
            unrepresentable_count: 0,
            foreign_writes: self.store.foreign_writes(),
            hold_given_up: self.log.hold_given_up(),
            copy: CopyReport::of(
                &status,
                self.measured.times(),
                self.store.last_import(),
                self.chronicle.spent_in(State::ZkMigration).as_secs_f64(),
            ),
            sync: status
                .sync
                .as_ref()
                .map(|sync| SyncedReport::of(sync, self.chronicle.spent_in(State::SyncKRaftToZk).as_secs_f64())),
            topics: image.topics().len() as u64,
            partitions: image.topics().partition_count() as u64,
            brokers: status
                .brokers
                .iter()
                .map(|(id, broker)| BrokerReport {
                    id: id.0,
                    endpoints: broker.endpoints.iter().map(|(name, at)| (name.clone(), at.to_string())).collect(),
                    rack: broker.rack.clone(),
                    malformed: broker.malformed.clone(),
                })
                .collect(),
            unready: unready(&status),
            unserved_brokers: status.unserved.iter().map(|id| id.0).collect(),
            controllers: status
                .voters
                .iter()
                .map(|(id, told)| ControllerReport {
                    id: id.0,
                    migration_enabled: told.as_ref().map(|told| told.migration_enabled),
                    metadata_versions: told.as_ref().map(|told| told.metadata_versions.to_string()),
                    zookeeper_fingerprint: told
                        .as_ref()
                        .and_then(|told| told.zookeeper_fingerprint)
                        .map(|fingerprint| fingerprint.to_string()),
                })
                .collect(),
            quorum: Some(QuorumReport::of(&quorum, end.end_offset.0)),
        };
        if report.lag_records.is_none() {
            return report;
        }
        let mut lost = Projector::new(&image, &context(&self.settings)).unrepresentable();
        lost.extend(self.store.left_out());
        report.lacking(&lost)
    }

    /// Makes one change. Returns when it is committed; ZooKeeper follows. An administrative change waits while ZooKeeper is
    /// too far behind, 30 s at most.
    ///
    /// # Errors
    /// The change breaks a rule, or can't be made now.
    pub async fn change(&self, change: &Change) -> Result<ChangesMade, Failure> {
        lead(&self.log).await?;
        let alive: BTreeSet<NodeId> = self.watch().borrow().brokers.keys().copied().collect();
        changes::make(self.log.as_ref(), &self.entrance, &alive, change).await
    }

    /// Makes random changes, many in flight.
    ///
    /// # Errors
    /// The first one that was not taken.
    pub async fn random_changes(&self, count: u64, seed: u64, reporter: &Reporter) -> Result<ChangesMade, Failure> {
        lead(&self.log).await?;
        changes::make_random(self.log.as_ref(), &self.entrance, count, seed, reporter).await
    }

    /// Adds a controller that waits to be added to the voters of the quorum. Returns how the quorum is then.
    ///
    /// # Errors
    /// This controller does not lead, the other can't be reached or refuses, or it is not known whether it was added.
    pub async fn add_voter(&self, id: NodeId, address: &str) -> Result<QuorumReport, Failure> {
        lead(&self.log).await?;
        self.log.add_voter(id, address).await.map_err(members_unchanged)?;
        Ok(self.quorum())
    }

    /// Removes a member of the quorum. Returns how the quorum is then.
    ///
    /// # Errors
    /// This controller does not lead, it is no member or the only voter, or it is not known whether it was removed.
    pub async fn remove_voter(&self, id: NodeId) -> Result<QuorumReport, Failure> {
        lead(&self.log).await?;
        self.log.remove_voter(id).await.map_err(members_unchanged)?;
        Ok(self.quorum())
    }

    fn quorum(&self) -> QuorumReport {
        QuorumReport::of(&self.log.quorum(), self.log.image().position().end_offset.0)
    }

    /// The figures of the gate before the log.
    pub fn gate(&self) -> GateStatus {
        self.entrance.gate.status()
    }

    /// Finalizes the migration.
    ///
    /// # Errors
    /// Blocked, with every reason; or it can't be told now whether it happened. Nothing leads back once it is done.
    pub async fn finalize(&self, despite_brokers: bool) -> Result<FinalizeReport, Failure> {
        lead(&self.log).await?;
        let already = self.log.image().zk_migration_state() == ZkMigrationState::PostMigration;
        let asked = self.handle.finalize(FinalizeOptions { despite_brokers }).await;
        let asked = asked.map_err(|error| {
            let status = self.watch().borrow().clone();
            let what = match error.outcome() {
                Outcome::NotApplied => "the migration is not finalized",
                Outcome::Unknown => "it is not known whether the migration is finalized",
            };
            Failure::from(error)
                .while_doing(what)
                .whys(reasons_of(&status))
                .next("ask `status` why, and wait for DUAL_WRITE")
        })?;
        match asked {
            Finalization::Done(end) => Ok(FinalizeReport { end_offset: end.end_offset.0, already }),
            Finalization::Refused(blockers) => {
                Err(Failure::blocked("the migration must not be finalized yet, and dual writing goes on")
                    .whys(blockers.iter().map(ToString::to_string))
                    .next("mend what is named, then run the same again"))
            }
        }
    }

    /// Makes dual writing stand still, and compares every znode with the image that ZooKeeper then holds.
    ///
    /// # Errors
    /// Nothing is dual-written now, or ZooKeeper can't be read. A difference is no error.
    pub async fn verify(&self, showing: Showing, reporter: &Reporter) -> Result<VerifyReport, Failure> {
        lead(&self.log).await?;
        let held = timeout(SETTLE_MAX, self.handle.hold()).await.map_err(|_| {
            Failure::failed("can't compare now")
                .why(format!("dual writing did not settle within {} s", SETTLE_MAX.as_secs()))
                .next("ask `status` why, then try again")
        })?;
        let held = held.map_err(|error| {
            Failure::from(error).while_doing("can't compare now").next("ask `status` why, and wait for DUAL_WRITE")
        })?;
        let zookeeper = Compared { store: &self.store, connector: self.connector.as_ref(), settings: &self.settings };
        compare(zookeeper, &held.image, self.log.image().position().end_offset.0, showing, reporter).await
    }
}

/// Everyone who keeps the migration waiting or should be looked at, by id.
fn unready(status: &Status) -> Vec<UnreadyReport> {
    let standings = status.assessment.iter().flat_map(|assessment| &assessment.brokers);
    let worth_a_word = standings.filter(|it| !it.unready.is_empty() || !it.warnings.is_empty());
    worth_a_word
        .map(|it| UnreadyReport {
            id: it.facts.id.0,
            registered: it.facts.registered.map(|registered| registered.epoch.0),
            fenced: it.facts.registered.map(|registered| registered.fenced),
            replicas: it.replicas,
            reasons: it.unready.iter().map(ToString::to_string).collect(),
            warnings: it.warnings.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

fn gate_report(gate: GateStatus) -> GateReport {
    GateReport {
        lag_records_max: gate.budget.lag_records_max,
        lag_ms_max: gate.budget.lag_ms_max,
        closed_ms: gate.closed_ms,
        waiting: gate.waiting,
        waited: gate.waited,
        timed_out: gate.timed_out,
        zookeeper_blocking_kraft_ms: gate.zookeeper_blocking_kraft_ms,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn age(of: TimestampMs, now: SystemTime) -> i64 {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX).saturating_sub(of.0).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_as_old_as_the_time_since_it_was_written() {
        let now = UNIX_EPOCH + Duration::from_millis(86_400_000);
        assert_eq!(age(TimestampMs(86_399_950), now), 50);
        assert_eq!(age(TimestampMs(0), now), 86_400_000);
        assert_eq!(age(TimestampMs(86_400_001), now), 0, "clocks differ");
    }
}
