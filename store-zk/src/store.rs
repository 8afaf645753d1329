//! ZooKeeper as a [`MetadataStore`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use fencing::{FixedQuorum, Quorum, QuorumIdentity};
use metadata_core::brokers::AssignedReplicas;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{NodeId, Position, TimestampMs};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{AfterClaim, Expected, Fence, KraftLeadership, Leadership};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::projection::{Comparison, Projection};
use metadata_core::store::{Capability, Claimed, MetadataStore, RecordSink, StoreWriter, Survey, Unrepresentable};
use tokio::sync::Mutex;

use crate::broker_ids::ZkBrokerIds;
use crate::chain::claim::{Claimant, HeldClaim, claim, position, survey};
use crate::chain::{ActorOptions, ChainWriter, start};
use crate::client::{REQUEST_SIZE_MAX_DEFAULT, SessionState, ZkConnector, ZkSession};
use crate::error::connect_error;
use crate::import::{ImportContext, Imported, Importer};
use crate::read::{BulkReader, ReadCounters, ReadTotals, assigned_replicas, load};
use crate::verify;
use crate::znode::password::PasswordSecret;

/// Batches that may wait for their answer.
const BATCHES_IN_FLIGHT_MAX: usize = 64;

/// What a store must be told about its cluster.
#[derive(Debug, Clone)]
pub struct ZkStoreOptions {
    /// Our quorum.
    pub quorum: Arc<dyn Quorum>,
    /// The log's metadata version: what it can hold of ZooKeeper's content.
    pub metadata_version: MetadataVersion,
    /// `password.encoder.secret` of the brokers.
    pub secret: Option<PasswordSecret>,
    /// Whether a load gives an id to topics that have none, in place of refusing them: see
    /// [`Importer::with_topic_ids_of`]. Right only while no broker runs.
    pub derives_topic_ids: bool,
    /// `zookeeper.set.acl`: whether new znodes get access lists.
    pub secure: bool,
    /// The largest request that the servers take, in bytes: their `jute.maxbuffer` less a margin.
    pub request_size_max: usize,
    /// A full sync that would delete more than this share of ZooKeeper's topics (0 to 1) is refused. A share of 1 allows
    /// everything.
    pub deletions_share_max: f64,
    /// What time it is. Nothing is decided by it but the age of change notifications.
    pub now: fn() -> TimestampMs,
}

impl ZkStoreOptions {
    /// Options with the defaults of Kafka and ZooKeeper: no secret, no access lists, 1 MiB requests; at most a fifth of
    /// the topics may be deleted by a sync. The quorum never changes.
    pub fn new(quorum: QuorumIdentity, voters: BTreeSet<NodeId>) -> Self {
        Self::of(Arc::new(FixedQuorum::new(quorum, voters)))
    }

    /// The same, for a quorum that says itself who is in it.
    pub fn of(quorum: Arc<dyn Quorum>) -> Self {
        Self {
            quorum,
            metadata_version: MetadataVersion::LATEST_PRODUCTION,
            secret: None,
            derives_topic_ids: false,
            secure: false,
            request_size_max: REQUEST_SIZE_MAX_DEFAULT,
            deletions_share_max: 0.2,
            now: system_time,
        }
    }
}

/// The claim that was made last, until a writer takes it over.
struct Waiting {
    session: Arc<dyn ZkSession>,
    claimant: Claimant,
    expected: Expected,
    held: HeldClaim,
}

/// The metadata of a Kafka cluster in ZooKeeper.
pub struct ZkStore {
    connector: Arc<dyn ZkConnector>,
    options: ZkStoreOptions,
    counters: Arc<ReadCounters>,
    foreign_writes: Arc<AtomicU64>,
    left_out: Arc<std::sync::Mutex<Vec<Unrepresentable>>>,
    /// A session for reading and claiming. A writer gets the session of its claim, and a new one is made here.
    session: Mutex<Option<Arc<dyn ZkSession>>>,
    waiting: Mutex<Option<Waiting>>,
    imported: std::sync::Mutex<Option<Imported>>,
}

impl ZkStore {
    /// A store over whatever the connector reaches. Nothing is opened yet.
    pub fn new(connector: Arc<dyn ZkConnector>, options: ZkStoreOptions) -> Self {
        Self {
            connector,
            options,
            counters: Arc::default(),
            foreign_writes: Arc::default(),
            left_out: Arc::default(),
            session: Mutex::new(None),
            waiting: Mutex::new(None),
            imported: std::sync::Mutex::new(None),
        }
    }

    /// A watch on `/brokers/ids`, over a session of its own.
    pub fn broker_ids(&self) -> ZkBrokerIds {
        ZkBrokerIds::new(Arc::clone(&self.connector))
    }

    /// What reading has cost so far.
    pub fn read_totals(&self) -> ReadTotals {
        self.counters.totals()
    }

    /// How often a writer of this store found that someone else had written where it was to write.
    pub fn foreign_writes(&self) -> u64 {
        self.foreign_writes.load(Ordering::Relaxed)
    }

    /// What the last writer of this store left as it is in ZooKeeper, since it is larger than a request may be. It is
    /// brought in step once it fits.
    pub fn left_out(&self) -> Vec<Unrepresentable> {
        self.left_out.lock().map(|told| told.clone()).unwrap_or_default()
    }

    /// What the last finished load found: counts and warnings.
    pub fn last_import(&self) -> Option<Imported> {
        self.imported.lock().ok().and_then(|imported| imported.clone())
    }

    pub(crate) fn options(&self) -> &ZkStoreOptions {
        &self.options
    }

    pub(crate) async fn session(&self) -> Result<Arc<dyn ZkSession>> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|open| *open.state().borrow() == SessionState::Connected) {
            return Ok(Arc::clone(open));
        }
        let new = self.connector.connect().await.map_err(connect_error)?;
        *session = Some(Arc::clone(&new));
        Ok(new)
    }

    fn claimant(&self, leadership: &KraftLeadership) -> Claimant {
        Claimant {
            leadership: *leadership,
            quorum: self.options.quorum.identity(),
            voters: self.options.quorum.voters(),
            secure: self.options.secure,
        }
    }

    pub(crate) async fn reader(&self) -> Result<BulkReader> {
        Ok(BulkReader::new(self.session().await?, Arc::clone(&self.counters)))
    }
}

/// The one place that reads the clock.
fn system_time() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[async_trait]
impl MetadataStore for ZkStore {
    fn capability(&self) -> Capability {
        Capability::new("zookeeper")
            .with_transactions(false)
            .with_lossless(false)
            .with_batches_in_flight_max(BATCHES_IN_FLIGHT_MAX)
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        let session = self.session().await?;
        // Behind whatever this session or an earlier one wrote: a stale follower must not answer.
        let position = position(&session).await?;
        let reader = BulkReader::new(session, Arc::clone(&self.counters));
        let context =
            ImportContext { secret: self.options.secret.clone(), metadata_version: self.options.metadata_version };
        let mut importer = Importer::new(context);
        if self.options.derives_topic_ids {
            importer = importer.with_topic_ids_of(&self.options.quorum.identity().cluster_id);
        }
        let imported = load(&reader, importer, sink).await?;
        if let Ok(mut last) = self.imported.lock() {
            *last = Some(imported);
        }
        Ok(position)
    }

    async fn position(&self) -> Result<Position> {
        position(&self.session().await?).await
    }

    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey> {
        survey(&self.session().await?, &self.claimant(leadership), expected).await
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        let session = self.session().await?;
        let claimant = self.claimant(leadership);
        let held = claim(&session, &claimant, expected, (self.options.now)()).await?;
        let claimed = Claimed {
            leadership: Leadership { kraft: *leadership, fence: Fence::ZooKeeper(held.zk) },
            position: held.marker.position,
            batch_end: held.chain().and_then(|chain| chain.batch_end),
            next: held.next,
        };
        *self.waiting.lock().await =
            Some(Waiting { session, claimant, expected: expected.clone().without_overruling(), held });
        Ok(claimed)
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        let stale = || {
            Error::not_applied(
                ErrorKind::Invalid,
                "this claim is not the last one made on this store; claim again, then ask for the writer",
            )
        };
        let waiting = {
            let mut slot = self.waiting.lock().await;
            let claimed_last = slot.take_if(|waiting| claimed.leadership.fence == Fence::ZooKeeper(waiting.held.zk));
            claimed_last.ok_or_else(stale)?
        };
        // The chain's requests stay alone on their connection.
        self.session.lock().await.take_if(|session| Arc::ptr_eq(session, &waiting.session));
        let mut held = waiting.held;
        if claimed.next == AfterClaim::FullSync {
            // The caller knows better than the marker: it can't tell what changed since.
            held.next = AfterClaim::FullSync;
        }
        let options = ActorOptions {
            secret: self.options.secret.clone(),
            secure: self.options.secure,
            request_size_max: self.options.request_size_max,
            deletions_share_max: self.options.deletions_share_max,
            counters: Arc::clone(&self.counters),
            foreign_writes: Arc::clone(&self.foreign_writes),
            left_out: Arc::clone(&self.left_out),
            now: self.options.now,
        };
        let commands =
            start(Arc::clone(&self.connector), waiting.session, waiting.claimant, waiting.expected, held, options);
        Ok(Box::new(ChainWriter::new(commands, BATCHES_IN_FLIGHT_MAX)))
    }
}

#[async_trait]
impl AssignedReplicas for ZkStore {
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>> {
        assigned_replicas(&self.reader().await?).await
    }
}

#[async_trait]
impl Projection for ZkStore {
    async fn compare(&self, image: &MetadataImage, differences_max: usize) -> Result<Comparison> {
        let session = self.session().await?;
        verify::compare(&session, &self.counters, &self.options, image, differences_max).await
    }
}
