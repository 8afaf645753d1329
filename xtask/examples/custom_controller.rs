//! A controller of one's own that moves a Kafka cluster out of ZooKeeper.
//!
//! ```text
//! cargo run --package xtask --example custom_controller -- [--unserved-brokers] HOST:PORT[/chroot]|FILE
//! ```
//!
//! FILE is a configuration file of Kafka's: `zookeeper.connect` and its company, and `password.encoder.secret`, without which
//! encrypted passwords can't be copied.
//!
//! It stands for an application that has a consensus of its own: [`OwnLog`] is the metadata log that such an application
//! would replicate, and all that the migration asks of it is the port `MetadataLog`. The other side, ZooKeeper, is the
//! store of this project. Nothing here is special to the example: the crates are used as any dependent would.
//!
//! The log is kept in memory, so the migration can't be gone on with once the program has ended; a second run is refused,
//! since the marker in ZooKeeper says that more was copied than its log holds. Do not point it at a cluster that you need.

use std::error::Error as StdError;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use broker_registry::Service;
use fencing::{FixedQuorum, QuorumIdentity};
use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{
    KRaftLeaderEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionId, Position, TimestampMs, TopicId,
};
use metadata_core::image::{ImageLoader, MetadataImage};
use metadata_core::leadership::LogExtent;
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use metadata_core::metadata_version::MetadataVersionRange;
use metadata_core::record::{PartitionRecord, TopicRecord, VersionedRecord};
use metadata_core::store::{Receipt, Txn};
use metadata_core::uuid::Uuid;
use migration::{FixedVoters, Migration, MigrationHandle, MigrationOptions, Ports, State};
use store_zk::client::ZkConnector;
use store_zk::client::config::{ZkClientConfig, ZkSettings};
use store_zk::znode::cluster::decode_cluster_id;
use store_zk::{ZkStore, ZkStoreOptions};
use tokio::sync::watch;

/// Our node id. It must not be the id of a broker, present or past.
const CONTROLLER: NodeId = NodeId(3000);

/// This application has one member, which leads from the start. A real one numbers the epoch of each new leader: that is
/// what keeps a deposed leader from writing, here and in ZooKeeper.
const EPOCH: KRaftLeaderEpoch = KRaftLeaderEpoch(1);

/// The application's log: the place to put a consensus.
struct OwnLog {
    state: Mutex<LogState>,
    /// Told to whoever waits for more.
    end: watch::Sender<Offset>,
}

#[derive(Default)]
struct LogState {
    /// What is committed. Its offsets have no gaps.
    batches: Vec<LogBatch>,
    /// The image at the end of each batch. Images share all that did not change, so this is cheap.
    images: Vec<MetadataImage>,
    /// The batches of the transaction that is open. Nobody sees them before its end.
    open: Option<Vec<Vec<VersionedRecord>>>,
}

impl LogState {
    fn image(&self) -> MetadataImage {
        self.images.last().cloned().unwrap_or_default()
    }

    fn end(&self) -> Offset {
        self.image().position().end_offset
    }

    /// Commits batches, all or none: they are replayed first, and a record that contradicts the log refuses them.
    fn commit(&mut self, batches: Vec<Vec<VersionedRecord>>) -> Result<Position> {
        let mut loader = ImageLoader::new(self.image());
        let mut written = Vec::new();
        let mut base = self.end();
        for records in batches {
            let end = base.plus(i64::try_from(records.len()).unwrap_or(i64::MAX));
            // A real leader takes the time here, once, and replicates it with the records.
            let timestamp = TimestampMs(end.0);
            loader.replay_batch(base, end, EPOCH, timestamp, &records).map_err(|error| {
                Error::not_applied(ErrorKind::Conflict, "a record contradicts the log").with_source(error)
            })?;
            let (base_offset, end_offset, records) = (base, end, records.into());
            let batch = LogBatch { base_offset, end_offset, epoch: EPOCH, timestamp, records };
            written.push((batch, loader.image().clone()));
            base = end;
        }
        for (batch, image) in written {
            self.batches.push(batch);
            self.images.push(image);
        }
        Ok(self.image().position())
    }

    fn append(&mut self, append: Append) -> Result<Position> {
        // Whoever decided under another epoch decided on another log.
        if append.epoch != EPOCH {
            return Err(Error::not_applied(ErrorKind::ControllerFenced, "decided under another epoch"));
        }
        // The rules that hold for any log: counts, offsets, where Begin and End may stand.
        append.check()?;
        if append.expected.is_some_and(|expected| expected != self.end()) {
            return Err(Error::not_applied(ErrorKind::Conflict, "the log ends elsewhere"));
        }
        let gone = || Error::not_applied(ErrorKind::Conflict, "no such transaction is open; begin again");
        match append.txn {
            Txn::None => self.commit(vec![append.records]),
            // A Begin discards a transaction that is still open: its owner gave it up.
            Txn::Begin => {
                self.open = Some(vec![append.records]);
                Ok(self.image().position())
            }
            Txn::In => {
                self.open.as_mut().ok_or_else(gone)?.push(append.records);
                Ok(self.image().position())
            }
            Txn::End { batches } => {
                let mut whole = self.open.take().ok_or_else(gone)?;
                whole.push(append.records);
                // A batch that was lost on its way must not make half a transaction.
                if u32::try_from(whole.len()) != Ok(batches) {
                    return Err(gone());
                }
                self.commit(whole)
            }
        }
    }
}

impl OwnLog {
    fn new() -> Self {
        Self { state: Mutex::default(), end: watch::Sender::new(Offset::ZERO) }
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MetadataLog for OwnLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        let now = LeaderAndEpoch { leader: Some(CONTROLLER), epoch: EPOCH, active: true };
        if known == Some(now) {
            // It returns when somebody else leads, which never happens here.
            std::future::pending::<()>().await;
        }
        Ok(now)
    }

    fn append(&self, append: Append) -> Receipt {
        // With a consensus the append is proposed here, in the order of the calls, and the receipt resolves once a majority
        // has it. If the leadership is lost before, the receipt says `Outcome::Unknown`.
        let appended = self.state().append(append);
        let end = self.state().end();
        self.end.send_replace(end);
        Receipt::ready(appended)
    }

    async fn end(&self) -> Result<Position> {
        // With a consensus: after making sure that this member still leads.
        Ok(self.image().position())
    }

    fn extent(&self) -> LogExtent {
        // A store that says it is further than this, or of another epoch, belongs to another log. A log that can be copied
        // says in `began` when each epoch began, so that two copies are told apart.
        LogExtent { epochs: vec![(EPOCH, Offset::ZERO)], end_offset: self.state().end(), ..LogExtent::default() }
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        let mut end = self.end.subscribe();
        let reached = end.wait_for(|end| *end > end_offset).await;
        reached.map(|end| *end).map_err(|_| Error::not_applied(ErrorKind::Unavailable, "the log has stopped"))
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        let state = self.state();
        let (mut read, mut records) = (Vec::new(), 0);
        for batch in state.batches.iter().filter(|batch| batch.base_offset >= from) {
            // At least one batch, however large.
            if !read.is_empty() && records >= records_max {
                break;
            }
            records += batch.records.len();
            read.push(batch.clone());
        }
        Ok(read)
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        let state = self.state();
        let old_enough = state.images.iter().rfind(|image| image.position().end_offset <= end_offset);
        Ok(Some(old_enough.cloned().unwrap_or_default()))
    }

    fn image(&self) -> MetadataImage {
        self.state().image()
    }

    fn hold(&self, _end_offset: Offset) {
        // Nothing of this log is ever purged.
    }
}

/// A change as an application makes it: decided on the image, appended where that image ends.
async fn create_topic(log: &OwnLog, name: &str) -> Result<Position> {
    let image = log.image();
    // Fixed, to keep the example short; an application draws a random one.
    let topic_id = TopicId(Uuid::from_u64_pair(0x6375_7374_6f6d, 1));
    let topic = TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() };
    let replicas = vec![NodeId(1)];
    let partition = PartitionRecord {
        partition_id: PartitionId(0),
        topic_id,
        isr: replicas.clone(),
        leader: NodeId(1),
        replicas,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        ..PartitionRecord::default()
    };
    let records = vec![VersionedRecord::new(topic, 0), VersionedRecord::new(partition, 0)];
    let expected = Some(image.position().end_offset);
    log.append(Append { epoch: EPOCH, expected, txn: Txn::None, records }).await
}

/// Waits until the migration is in dual write and ZooKeeper has the log up to `end`. Whatever holds it up ends the wait: the
/// migration would go on trying, but an example should not.
async fn in_step(handle: &MigrationHandle, end: Position) -> std::result::Result<(), Box<dyn StdError>> {
    let mut status = handle.watch();
    let reached = status.wait_for(|status| {
        let has_all = status.zookeeper_at.is_some_and(|at| at.end_offset >= end.end_offset);
        (status.state == State::DualWrite && has_all) || status.reason.is_some()
    });
    let reached = reached.await?.clone();
    match reached.reason {
        Some(reason) => Err(format!("{}: {reason}", reached.state).into()),
        None => Ok(()),
    }
}

/// The way to ZooKeeper, and what the store must know to read and write there as the brokers do.
struct ZooKeeper {
    connector: Arc<dyn ZkConnector>,
    options: ZkStoreOptions,
}

impl ZooKeeper {
    /// `place` is an address, or a configuration file of Kafka's.
    fn at(place: &str) -> std::result::Result<Self, Box<dyn StdError>> {
        let unknown = QuorumIdentity { cluster_id: String::new(), log_id: String::new() };
        let mut options = ZkStoreOptions::new(unknown, [CONTROLLER].into());
        let client = if Path::new(place).is_file() {
            let settings = ZkSettings::load(Path::new(place))?;
            options.secret = settings.password_encoder.map(|encoder| encoder.password_secret());
            options.secure = settings.secure_acls;
            settings.client
        } else {
            ZkClientConfig::from_connect_string(place)?
        };
        Ok(Self { connector: client.connector()?, options })
    }
}

/// What we say of ourselves to the other controllers, if there were any: the migration starts once all have the flag.
fn announcement() -> ControllerAnnouncement {
    ControllerAnnouncement {
        migration_enabled: true,
        metadata_versions: MetadataVersionRange::production(),
        zookeeper_fingerprint: None,
        zookeeper_reachable: None,
    }
}

/// The whole example, on the ZooKeeper at `place`, an address or a configuration file. `service` says who serves brokers in
/// ZooKeeper mode. What it says goes to `out`.
///
/// # Errors
/// The address can't be understood, nobody answers there, no Kafka cluster is there, or the migration can't begin; with the
/// reason and what to do.
pub(crate) async fn run(
    place: &str,
    service: Service,
    out: &mut (dyn Write + Send),
) -> std::result::Result<(), Box<dyn StdError>> {
    // 1. The way to ZooKeeper.
    let ZooKeeper { connector, mut options } = ZooKeeper::at(place)?;

    // 2. Which cluster is it?
    let session = connector.connect().await?;
    let cluster_id = decode_cluster_id(&session.get_data("/cluster/id").await?.data)?;
    session.close().await?;

    // The marker there will name our log, and the cluster beside it. A quorum whose voters change says itself who they are.
    let quorum = QuorumIdentity { cluster_id: cluster_id.clone(), log_id: "log-of-the-example".to_owned() };
    options.quorum = Arc::new(FixedQuorum::new(quorum, [CONTROLLER].into()));

    // 3. The two sides, and two views of the brokers, each behind its port.
    let log = Arc::new(OwnLog::new());
    let store = Arc::new(ZkStore::new(connector, options));
    let ports = Ports {
        log: Arc::<OwnLog>::clone(&log),
        zookeeper: Arc::<ZkStore>::clone(&store),
        projection: Arc::<ZkStore>::clone(&store),
        controllers: Box::new(FixedVoters::sole(CONTROLLER, announcement())),
        broker_ids: Box::new(store.broker_ids()),
        assigned_replicas: Arc::<ZkStore>::clone(&store),
        channel: None,
    };

    // 4. The migration runs as a task. With `Service::None` brokers hold it back, since nobody here serves them.
    let options = MigrationOptions { service, ..MigrationOptions::new(&cluster_id) };
    let (migration, handle) = Migration::new(ports, options);
    let running = tokio::task::spawn(migration.run());
    let told = story(&log, &handle, &cluster_id, out).await;

    // 5. Stopping gives nothing back: the claim stays, and a log that outlives its process goes on with it.
    handle.stop();
    running.await??;
    told
}

async fn story(
    log: &OwnLog,
    handle: &MigrationHandle,
    cluster_id: &str,
    out: &mut (dyn Write + Send),
) -> std::result::Result<(), Box<dyn StdError>> {
    in_step(handle, Position::START).await?;
    let status = handle.watch().borrow().clone();
    writeln!(out, "cluster {cluster_id}: {}, {} records copied", status.state, status.copy.records)?;

    // From now on a change is made in the log, and ZooKeeper follows.
    let end = create_topic(log, "made-by-a-custom-controller").await?;
    in_step(handle, end).await?;
    let status = handle.watch().borrow().clone();
    let lag = status.lag_records().unwrap_or_default();
    writeln!(out, "log at {}, of which ZooKeeper lacks {lag} records; {}", status.log_end, status.log_state)?;
    Ok(())
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (place, service) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [place] if !place.starts_with('-') => ((*place).to_owned(), Service::None),
        ["--unserved-brokers", place] => ((*place).to_owned(), Service::NoneByOperatorsWord),
        _ => return Err("usage: custom_controller [--unserved-brokers] HOST:PORT[/chroot]|FILE".into()),
    };
    run(&place, service, &mut std::io::stdout()).await
}
