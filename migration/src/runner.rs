//! The runner: carries out what the driver orders, and answers with events. One order is under way at a time; `Stop`
//! drops it. An answer carries the epoch of its order, and the driver takes none of another epoch.

#![expect(clippy::disallowed_methods, reason = "the runner is where time passes: attempts are made later")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_registry::{Presence, Readiness, Service, readiness};
use futures::future::BoxFuture;
use metadata_core::brokers::{BrokerIds, BrokerPresence};
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{AfterClaim, Expected, KraftLeadership};
use metadata_core::log::{Append, LeaderAndEpoch, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, VersionedRecord, ZkMigrationState,
};
use metadata_core::store::{Claimed, StoreWriter, Txn};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::copy::{CopyProgress, copy, rehearse};
use crate::driver::{Answer, Driver, Effect, Event, LogFacts, Order, State};
use crate::dual_write::{Acknowledged, DualWriteProgress, DualWriter, HoldRequest, image_at};
use crate::ports::Ports;
use crate::status::Status;

/// How long to wait between attempts: doubled each time, from `first` to `longest`.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Before the second attempt.
    pub first: Duration,
    /// Before any later one, at most.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// 100 ms to 10 s. (Kafka waits up to 60 s; nobody wants to watch that.)
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    /// The pause after so many failures in a row (at least 1).
    fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct MigrationOptions {
    /// Written into an empty log. Must be at least 3.6-IV1, since the copy is a metadata transaction.
    pub metadata_version: MetadataVersion,
    /// Who serves brokers in ZooKeeper mode.
    pub service: Service,
    /// How patient to be.
    pub retry: RetryPolicy,
}

impl Default for MigrationOptions {
    fn default() -> Self {
        Self {
            metadata_version: MetadataVersion::LATEST_PRODUCTION,
            service: Service::None,
            retry: RetryPolicy::default(),
        }
    }
}

/// What is passed from order to order: the writer of the present claim, and the image that ZooKeeper then holds.
#[derive(Default)]
struct Claim {
    writer: Option<Box<dyn StoreWriter>>,
    image: Option<MetadataImage>,
}

type Work = BoxFuture<'static, (Event, Claim)>;
type Brokers = BTreeMap<NodeId, BrokerPresence>;

/// Who is in `/brokers/ids`, as far as we know.
enum Watched {
    /// Nobody has looked yet.
    NotYet,
    /// The watch stands, and this is what it reports.
    Known(Brokers),
    /// The watch failed: who is there now can't be told.
    Lost(ErrorKind, String),
}

/// The order under way.
struct UnderWay {
    epoch: Option<KRaftLeaderEpoch>,
    work: Work,
}

/// When to try again, and in which epoch that was decided. A deadline, not a pause: whatever else happens meanwhile, the
/// attempt comes.
#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    epoch: Option<KRaftLeaderEpoch>,
}

/// A migration that can be run.
pub struct Migration {
    ports: SharedPorts,
    options: MigrationOptions,
    driver: Driver,
    claim: Claim,
    presence: Presence,
    brokers: watch::Sender<Watched>,
    copy: Arc<watch::Sender<CopyProgress>>,
    dual_write: Arc<watch::Sender<DualWriteProgress>>,
    acknowledged: Acknowledged,
    zookeeper_at: Option<Position>,
    sync: Option<metadata_core::store::SyncReport>,
    holds_to_writer: Option<mpsc::Sender<HoldRequest>>,
    status: watch::Sender<Status>,
    inputs: Option<Inputs>,
}

/// What the loop listens to, beside the log.
struct Inputs {
    broker_ids: Box<dyn BrokerIds>,
    holds: mpsc::Receiver<HoldRequest>,
    stop: watch::Receiver<bool>,
}

/// The ports that orders share.
#[derive(Clone)]
struct SharedPorts {
    log: Arc<dyn MetadataLog>,
    zookeeper: Arc<dyn metadata_core::store::MetadataStore>,
    assigned_replicas: Arc<dyn metadata_core::brokers::AssignedReplicas>,
}

/// A look at a running migration, and a few words to it. Clones are of the same migration.
#[derive(Clone)]
pub struct MigrationHandle {
    status: watch::Receiver<Status>,
    holds: mpsc::Sender<HoldRequest>,
    stop: Arc<watch::Sender<bool>>,
}

/// A migration that stands still: ZooKeeper holds exactly [`Held::image`] until this is dropped.
pub struct Held {
    /// What ZooKeeper holds.
    pub image: MetadataImage,
    _release: oneshot::Sender<()>,
}

impl MigrationHandle {
    /// The newest status, to look at or to wait on.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Writes what the log has now, settles it, and makes dual writing stand still until the answer is dropped. The log
    /// goes on.
    ///
    /// # Errors
    /// `Unavailable`: nothing is dual-written now, or dual writing stopped meanwhile.
    pub async fn hold(&self) -> Result<Held> {
        let not_writing = || {
            let message = match self.status.borrow().state {
                State::DualWrite => "dual writing can't stand still now: ZooKeeper does not answer".to_owned(),
                state => {
                    format!("the migration is in state {state} and writes nothing to ZooKeeper; wait for DUAL_WRITE")
                }
            };
            Error::not_applied(ErrorKind::Unavailable, message)
        };
        let (answer, image) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.holds.send(HoldRequest { answer, released }).await.map_err(|_| not_writing())?;
        let image = image.await.map_err(|_| not_writing())??;
        Ok(Held { image, _release: release })
    }

    /// Ends [`Migration::run`] after the event at hand. What is in flight may or may not happen; the next run finds out.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Migration {
    /// A migration over these ports, and a handle on it.
    pub fn new(ports: Ports, options: MigrationOptions) -> (Self, MigrationHandle) {
        let (stop_sender, stop) = watch::channel(false);
        let (hold_sender, holds) = mpsc::channel(8);
        let copy = Arc::new(watch::Sender::new(CopyProgress::default()));
        let dual_write = Arc::new(watch::Sender::new(DualWriteProgress::default()));
        let first = Status {
            state: State::Inactive,
            log_state: ports.log.image().zk_migration_state(),
            log_end: ports.log.image().position(),
            zookeeper_at: None,
            leadership: None,
            claimed: None,
            reason: None,
            blocked_by: None,
            attempt: 0,
            copy: CopyProgress::default(),
            sync: None,
            dual_write: DualWriteProgress::default(),
            brokers: Brokers::new(),
            unserved: Vec::new(),
        };
        let status = watch::Sender::new(first);
        let handle = MigrationHandle { status: status.subscribe(), holds: hold_sender, stop: Arc::new(stop_sender) };
        let migration = Self {
            ports: SharedPorts {
                log: ports.log,
                zookeeper: ports.zookeeper,
                assigned_replicas: ports.assigned_replicas,
            },
            options,
            driver: Driver::default(),
            claim: Claim::default(),
            presence: Presence::new(),
            brokers: watch::Sender::new(Watched::NotYet),
            copy,
            dual_write,
            acknowledged: Acknowledged::default(),
            zookeeper_at: None,
            sync: None,
            holds_to_writer: None,
            status,
            inputs: Some(Inputs { broker_ids: ports.broker_ids, holds, stop }),
        };
        (migration, handle)
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// The log's, when it can't say any more who leads: it was stopped, or is damaged. Every other failure is part of the
    /// migration's life and shows in its status.
    pub async fn run(mut self) -> Result<()> {
        let Some(Inputs { broker_ids, mut holds, mut stop }) = self.inputs.take() else { return Ok(()) };
        let log = Arc::clone(&self.ports.log);
        let (mut copy, mut dual_write) = (self.copy.subscribe(), self.dual_write.subscribe());
        let retry_first = self.options.retry.first;
        let mut brokers = next_brokers(broker_ids, Duration::ZERO);
        let mut known: Option<LeaderAndEpoch> = None;
        let mut under_way: Option<UnderWay> = None;
        let mut retry: Option<Retry> = None;
        loop {
            self.publish();
            let log_end = log.image().position().end_offset;
            let answer = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                leader = log.leadership(known) => {
                    let leader = leader?;
                    let news = news_of(known, leader);
                    known = Some(leader);
                    news
                }
                (epoch, event, claim) = answered(&mut under_way) => {
                    under_way = None;
                    self.claim = claim;
                    Some(Answer { epoch, event })
                }
                epoch = due(retry) => {
                    retry = None;
                    Some(Answer { epoch, event: Event::RetryDue })
                }
                (broker_ids, seen) = &mut brokers => {
                    brokers = next_brokers(broker_ids, if seen.is_err() { retry_first } else { Duration::ZERO });
                    let due = self.brokers_changed(seen).then(|| retry.take()).flatten();
                    due.map(|retry| Answer { epoch: retry.epoch, event: Event::RetryDue })
                }
                Some(request) = holds.recv() => {
                    self.pass_on(request);
                    None
                }
                _ = copy.changed() => None,
                _ = dual_write.changed() => self.dual_writing_got_on(),
                _ = log.committed(log_end) => None,
            };
            let Some(answer) = answer else { continue };
            if self.driver.is_current(&answer) {
                self.note(&answer.event);
            }
            let before = self.driver.state;
            let orders = self.driver.step(answer);
            if before != self.driver.state {
                tracing::info!(state = %self.driver.state, from = %before, reason = self.driver.reason, "driver state");
            }
            for Order { epoch, effect } in orders {
                match effect {
                    Effect::Stop => {
                        under_way = None;
                        retry = None;
                        self.claim = Claim::default();
                        self.holds_to_writer = None;
                    }
                    Effect::RetryLater => {
                        let pause = self.options.retry.pause(self.driver.attempt);
                        retry = Some(Retry { at: Instant::now() + pause, epoch });
                    }
                    Effect::Report => {
                        tracing::warn!(state = %self.driver.state, reason = self.driver.reason, "waiting");
                    }
                    order => {
                        retry = None;
                        under_way = self.order(order).map(|work| UnderWay { epoch, work });
                    }
                }
            }
        }
    }

    /// Keeps what the driver does not need and the status shows.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Synced(report) => {
                self.sync = Some(report.clone());
                self.zookeeper_at = self.acknowledged.position();
            }
            // A claim that the copy follows is of a ZooKeeper that was never written.
            Event::Claimed(claimed) if claimed.position.last().is_some() => self.zookeeper_at = Some(claimed.position),
            Event::Failed(error) => tracing::warn!(error = crate::failure::chain(error), "order failed"),
            _ => {}
        }
    }

    /// Takes news of the dual writer: where ZooKeeper is, and, while there is a failure to forget, that it gets on.
    fn dual_writing_got_on(&mut self) -> Option<Answer> {
        let progress = *self.dual_write.borrow();
        if self.driver.state != State::DualWrite {
            return None;
        }
        self.zookeeper_at = Some(progress.acknowledged);
        let news = progress.confirmed && self.driver.reason.is_some();
        news.then(|| Answer { epoch: self.driver.epoch(), event: Event::InStep })
    }

    /// Takes the present brokers, or that they can't be told. Returns whether whoever waits for brokers should look again
    /// at once.
    fn brokers_changed(&mut self, brokers: Result<Brokers>) -> bool {
        match brokers {
            Ok(now) => {
                let changes = self.presence.update(now.clone());
                for change in &changes {
                    tracing::info!(?change, "/brokers/ids");
                }
                let before = self.brokers.send_replace(Watched::Known(now));
                let news = !changes.is_empty() || !matches!(before, Watched::Known(_));
                news && self.driver.state == State::WaitForBrokers
            }
            Err(error) => {
                let text = crate::failure::chain(&error);
                tracing::warn!(error = text, "/brokers/ids can't be watched now");
                self.brokers.send_replace(Watched::Lost(error.kind(), text));
                false
            }
        }
    }

    fn pass_on(&self, request: HoldRequest) {
        if let Some(writer) = &self.holds_to_writer {
            // Full or gone: dropping the request tells the asker.
            let _ = writer.try_send(request);
        }
    }

    fn publish(&self) {
        let image = self.ports.log.image();
        // Nobody gives the role back, and in state MIGRATION it is ours across restarts; but not after somebody else took it.
        let copied = image.zk_migration_state() == ZkMigrationState::Migration;
        let holds_role = (self.driver.holds_role || copied) && self.driver.state != State::ZkGoverned;
        self.status.send_modify(|status| {
            status.state = self.driver.state;
            status.log_state = image.zk_migration_state();
            status.log_end = image.position();
            status.zookeeper_at = self.zookeeper_at;
            status.leadership = self.driver.leadership;
            status.claimed = self.driver.claimed;
            status.reason.clone_from(&self.driver.reason);
            status.blocked_by = self.driver.failed_by;
            status.attempt = self.driver.attempt;
            status.copy = self.copy.borrow().clone();
            status.sync.clone_from(&self.sync);
            status.dual_write = *self.dual_write.borrow();
            status.brokers.clone_from(self.presence.brokers());
            status.unserved = if holds_role { self.presence.brokers().keys().copied().collect() } else { Vec::new() };
        });
    }

    /// Starts an order. Its future owns what it needs, so that dropping it drops the claim's writer too.
    fn order(&mut self, order: Effect) -> Option<Work> {
        let claim = std::mem::take(&mut self.claim);
        let (ports, options) = (self.ports.clone(), self.options.clone());
        let leadership = self.driver.leadership?;
        let work: Work = match order {
            Effect::ReadLog => Box::pin(async move { (read_log(&*ports.log).await, claim) }),
            Effect::Bootstrap => Box::pin(async move {
                let done = bootstrap(&*ports.log, leadership, options.metadata_version).await;
                (event(done.map(|()| Event::Bootstrapped)), claim)
            }),
            Effect::JudgeBrokers => {
                let brokers = self.brokers.subscribe();
                let judging = async move { judge(&ports, brokers, leadership.id, options.service).await };
                Box::pin(async move { (event(judging.await), claim) })
            }
            Effect::Rehearse => {
                let brokers = self.brokers.subscribe();
                let rehearsing = async move {
                    rehearse(&*ports.zookeeper).await?;
                    Ok(match judge(&ports, brokers, leadership.id, options.service).await? {
                        Event::BrokersJudged(Readiness::Ready { .. }) => Event::Rehearsed,
                        waiting => waiting,
                    })
                };
                Box::pin(async move { (event(rehearsing.await), claim) })
            }
            Effect::Claim => {
                let kept = self.acknowledged.clone();
                Box::pin(async move {
                    match claim_zookeeper(&ports, leadership, &kept).await {
                        Ok((claimed, claim)) => (Event::Claimed(claimed), claim),
                        Err(error) => (Event::Failed(error), Claim::default()),
                    }
                })
            }
            Effect::Copy => Box::pin(copy_order(claim, ports, leadership, Arc::clone(&self.copy))),
            Effect::Sync => Box::pin(sync_order(claim, ports, self.acknowledged.clone())),
            // No broker channel is wired in: nobody is served, and the status says so.
            Effect::TellBrokers => Box::pin(async move { (Event::BrokersTold, claim) }),
            Effect::DualWrite => {
                let batch_end = self.driver.claimed.and_then(|claimed| claimed.batch_end);
                let (holds, requests) = mpsc::channel(8);
                self.holds_to_writer = Some(holds);
                let progress = Arc::clone(&self.dual_write);
                let kept = self.acknowledged.clone();
                Box::pin(async move {
                    let (Some(writer), Some(image)) = (claim.writer, claim.image) else {
                        return (Event::Failed(no_claim()), Claim::default());
                    };
                    let batch_end = batch_end.filter(|end| *end > image.position().end_offset);
                    let writer = DualWriter::new(ports.log, writer, image, batch_end, progress, kept);
                    (Event::Failed(writer.run(requests).await), Claim::default())
                })
            }
            Effect::Stop | Effect::RetryLater | Effect::Report => return None,
        };
        Some(work)
    }
}

/// The order under way; never, while there is none.
async fn answered(under_way: &mut Option<UnderWay>) -> (Option<KRaftLeaderEpoch>, Event, Claim) {
    match under_way {
        Some(UnderWay { epoch, work }) => {
            let (event, claim) = work.await;
            (*epoch, event, claim)
        }
        None => std::future::pending().await,
    }
}

/// The next state of `/brokers/ids`, as a future that lives across turns of the loop: a look takes a few round trips, and
/// beginning it anew at every turn might never let it end.
fn next_brokers(
    mut broker_ids: Box<dyn BrokerIds>,
    pause: Duration,
) -> BoxFuture<'static, (Box<dyn BrokerIds>, Result<Brokers>)> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        let seen = broker_ids.next().await;
        (broker_ids, seen)
    })
}

/// The time of the next attempt; never, while there is none.
async fn due(retry: Option<Retry>) -> Option<KRaftLeaderEpoch> {
    match retry {
        Some(Retry { at, epoch }) => {
            tokio::time::sleep_until(at).await;
            epoch
        }
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Every handle is gone: nobody can stop us but the process.
        std::future::pending::<()>().await;
    }
}

fn news_of(known: Option<LeaderAndEpoch>, now: LeaderAndEpoch) -> Option<Answer> {
    let gained = now.active && known.is_none_or(|known| !known.active || known.epoch != now.epoch);
    match now.leader {
        Some(id) if gained => Some(Answer::leadership(Some(KraftLeadership { id, epoch: now.epoch }))),
        _ if now.active => None,
        _ => Some(Answer::leadership(None)),
    }
}

fn event(result: Result<Event>) -> Event {
    result.unwrap_or_else(Event::Failed)
}

fn no_claim() -> Error {
    Error::not_applied(ErrorKind::Conflict, "ZooKeeper is not claimed any more; claim it again")
}

async fn copy_order(
    mut claim: Claim,
    ports: SharedPorts,
    leadership: KraftLeadership,
    progress: Arc<watch::Sender<CopyProgress>>,
) -> (Event, Claim) {
    let copied = match claim.writer.as_deref_mut() {
        Some(writer) => copy(&*ports.log, &*ports.zookeeper, writer, leadership.epoch, &progress).await,
        None => Err(no_claim()),
    };
    (event(copied.map(|_| Event::Copied)), claim)
}

async fn sync_order(mut claim: Claim, ports: SharedPorts, kept: Acknowledged) -> (Event, Claim) {
    let synced = async {
        let writer = claim.writer.as_deref_mut().ok_or_else(no_claim)?;
        ports.log.end().await?;
        let now = ports.log.image();
        // Once the sync is done, whoever comes next goes on from here.
        ports.log.hold(now.position().end_offset);
        let report = writer.full_sync(&now).await?;
        kept.keep(now.clone());
        claim.image = Some(now);
        Ok(Event::Synced(report))
    };
    let synced = synced.await;
    (event(synced), claim)
}

async fn read_log(log: &dyn MetadataLog) -> Event {
    // A linearizable look: what an earlier leader committed is in the image then.
    if let Err(error) = log.end().await {
        return Event::Failed(error);
    }
    let image = log.image();
    Event::LogRead(LogFacts {
        empty: image.features().metadata_version().is_none() && image.is_free_of_cluster_metadata(),
        state: image.zk_migration_state(),
        has_cluster_metadata: !image.is_free_of_cluster_metadata(),
    })
}

/// The first records of a log that is started for a migration, as one append (Kafka: `ActivationRecordsGenerator`).
async fn bootstrap(log: &dyn MetadataLog, leadership: KraftLeadership, version: MetadataVersion) -> Result<()> {
    if !version.supports_zk_migration_start() {
        return Err(Error::not_applied(
            ErrorKind::Invalid,
            format!(
                "metadata.version {version} has no transactions, so a failed copy could not be undone; choose {} or newer",
                MetadataVersion::V3_6_IV1
            ),
        ));
    }
    let level = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: version.level(),
        ..FeatureLevelRecord::default()
    };
    let begin = BeginTransactionRecord { name: Some("Bootstrap records".to_owned()), ..Default::default() };
    let records = vec![
        VersionedRecord::new(begin, 0),
        VersionedRecord::new(level, 0),
        VersionedRecord::new(ZkMigrationState::PreMigration.to_record(), 0),
        VersionedRecord::new(EndTransactionRecord::default(), 0),
    ];
    let expected = log.end().await?.end_offset;
    // One append holds the whole transaction, so the log needs to stage nothing.
    log.append(Append { epoch: leadership.epoch, expected: Some(expected), txn: Txn::None, records }).await.map(drop)
}

async fn judge(
    ports: &SharedPorts,
    mut brokers: watch::Receiver<Watched>,
    controller: NodeId,
    service: Service,
) -> Result<Event> {
    let unknown =
        |kind, reason: &str| Error::not_applied(kind, format!("who is in /brokers/ids can't be told: {reason}"));
    let present = {
        let watched = brokers.wait_for(|watched| !matches!(watched, Watched::NotYet)).await;
        match watched.as_deref() {
            Ok(Watched::Known(brokers)) => brokers.clone(),
            Ok(Watched::Lost(kind, reason)) => return Err(unknown(*kind, reason)),
            Ok(Watched::NotYet) | Err(_) => return Err(unknown(ErrorKind::Unavailable, "the watch has ended")),
        }
    };
    let assigned = ports.assigned_replicas.assigned_replicas().await?;
    Ok(Event::BrokersJudged(readiness(&present, &assigned, controller, service)))
}

/// Claims, and makes sure that what was claimed can be gone on with: without an image at ZooKeeper's position the
/// difference to it can't be told, and a full sync must find it.
async fn claim_zookeeper(
    ports: &SharedPorts,
    leadership: KraftLeadership,
    kept: &Acknowledged,
) -> Result<(Claimed, Claim)> {
    ports.log.end().await?;
    let image = ports.log.image();
    let expected = match image.zk_migration_state() {
        ZkMigrationState::Migration => Expected::Log(ports.log.extent()),
        _ => Expected::Nothing,
    };
    let mut claimed = ports.zookeeper.claim(&leadership, &expected).await?;
    let mut image = None;
    if claimed.next == AfterClaim::Resume {
        // From now on, not only from the first batch on: the log may be purged while the brokers are being told.
        ports.log.hold(claimed.position.end_offset);
        image = match kept.image_at(claimed.position) {
            Some(image) => Some(image),
            None => image_at(&*ports.log, claimed.position).await?,
        };
        if image.is_none() {
            claimed.next = AfterClaim::FullSync;
            claimed.batch_end = None;
        }
    }
    let writer = ports.zookeeper.writer(claimed).await?;
    Ok((claimed, Claim { writer: Some(writer), image }))
}
