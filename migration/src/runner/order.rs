//! The orders as futures. Each owns what it needs, so that dropping it drops the claim's writer too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_registry::{ExpectedOfControllers, Readiness};
use futures::future::BoxFuture;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{AfterClaim, Expected, KraftLeadership};
use metadata_core::log::MetadataLog;
use metadata_core::projection::Projection;
use metadata_core::record::ZkMigrationState;
use metadata_core::store::{Claimed, MetadataStore, StoreWriter};
use tokio::sync::{mpsc, watch};

use super::bootstrap::bootstrap;
use super::options::MigrationOptions;
use super::registry::Registry;
use super::watched::{Voters, Watched};
use crate::copy::{CopyProgress, copy, rehearse};
use crate::driver::{Decision, Event, Facts, LogFinding, MarkerFinding};
use crate::dual_write::{Acknowledged, DualWriteProgress, DualWriter, Ended, Request, image_at, led_by_another};

/// What is passed from order to order: the writer of the present claim, and the image that ZooKeeper then holds.
#[derive(Default)]
pub(super) struct Claim {
    writer: Option<Box<dyn StoreWriter>>,
    image: Option<MetadataImage>,
}

/// An order under way: what it answers, and the claim to go on with.
pub(super) type Work = BoxFuture<'static, (Event, Claim)>;

/// What orders share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) log: Arc<dyn MetadataLog>,
    pub(super) zookeeper: Arc<dyn MetadataStore>,
    pub(super) projection: Arc<dyn Projection>,
    pub(super) assigned_replicas: Arc<dyn metadata_core::brokers::AssignedReplicas>,
    pub(super) registry: Registry,
    pub(super) voters: Arc<watch::Sender<Watched<Voters>>>,
    pub(super) copy: Arc<watch::Sender<CopyProgress>>,
    pub(super) dual_write: Arc<watch::Sender<DualWriteProgress>>,
    pub(super) acknowledged: Acknowledged,
    /// The operator's word that leads out of ZK_GOVERNED, until a claim has used it.
    pub(super) overrules: Arc<AtomicBool>,
}

fn event(result: Result<Event>) -> Event {
    result.unwrap_or_else(Event::Failed)
}

fn no_claim() -> Error {
    Error::not_applied(ErrorKind::Conflict, "ZooKeeper is not claimed any more; claim it again")
}

/// What the other controllers must agree with.
pub(super) fn expected_of_controllers(
    image: &MetadataImage,
    id: NodeId,
    options: &MigrationOptions,
) -> ExpectedOfControllers {
    ExpectedOfControllers {
        id,
        metadata_version: image.features().metadata_version().unwrap_or(options.metadata_version),
        zookeeper_fingerprint: options.zookeeper_fingerprint,
    }
}

impl Shared {
    /// The order to gather what decides.
    pub(super) fn survey(self, claim: Claim, leadership: KraftLeadership, options: &MigrationOptions) -> Work {
        let options = options.clone();
        Box::pin(async move { (event(self.facts(leadership, &options).await.map(Event::Surveyed)), claim) })
    }

    async fn facts(&self, leadership: KraftLeadership, options: &MigrationOptions) -> Result<Facts> {
        // A linearizable look: what an earlier leader committed is in the image then.
        self.log.end().await?;
        let image = self.log.image();
        let (log, own) = (LogFinding::of(&image), options.migration_enable);
        let mut voters = self.voters.subscribe();
        // What the others say changes nothing here, and they may be gone for good.
        if !matches!(log, LogFinding::Post | LogFinding::Born) {
            Watched::first(&mut voters).await;
        }
        let peers = voters.borrow().peers(&expected_of_controllers(&image, leadership.id, options), own);
        let mut facts = Facts { log, own, peers, marker: MarkerFinding::NotAsked, refusal: None };
        if facts.decision() == Decision::LookAtZooKeeper {
            let survey = self.zookeeper.survey(&leadership, &self.expected()).await;
            (facts.marker, facts.refusal) = MarkerFinding::of(survey)?;
        }
        Ok(facts)
    }

    /// The image at the log's end, as long as the log is in our epoch: what a newer leader wrote is its own to claim with and
    /// to sync.
    async fn image_of(&self, leadership: KraftLeadership) -> Result<MetadataImage> {
        self.log.end().await?;
        let image = self.log.image();
        let newest = image.position().epoch;
        if newest > leadership.epoch { Err(led_by_another(newest, leadership.epoch)) } else { Ok(image) }
    }

    fn expected(&self) -> Expected {
        match self.log.image().zk_migration_state() {
            ZkMigrationState::Migration if self.overrules.load(Ordering::Relaxed) => {
                Expected::LogOverruling(self.log.extent())
            }
            ZkMigrationState::Migration => Expected::Log(self.log.extent()),
            _ => Expected::Nothing,
        }
    }

    /// The order to write the first records.
    pub(super) fn bootstrap(
        self,
        claim: Claim,
        leadership: KraftLeadership,
        options: &MigrationOptions,
        state: ZkMigrationState,
    ) -> Work {
        let version = options.metadata_version;
        Box::pin(async move {
            let done = bootstrap(&*self.log, leadership, version, state).await;
            (event(done.map(|()| Event::Bootstrapped)), claim)
        })
    }

    /// The order to judge the brokers.
    pub(super) fn judge_brokers(self, claim: Claim) -> Work {
        Box::pin(async move { (event(self.judge().await), claim) })
    }

    /// The order to read everything as the copy would. What led here may be long ago by its end, so all of it is asked
    /// again.
    pub(super) fn rehearse(self, claim: Claim, leadership: KraftLeadership, options: &MigrationOptions) -> Work {
        let options = options.clone();
        let rehearsing = async move {
            rehearse(&*self.zookeeper).await?;
            let judged = self.judge().await?;
            if !matches!(judged, Event::BrokersJudged(Readiness::Ready { .. })) {
                return Ok(judged);
            }
            let facts = self.facts(leadership, &options).await?;
            let still = facts.decision() == Decision::WaitForBrokers;
            Ok(if still { Event::Rehearsed } else { Event::Surveyed(facts) })
        };
        Box::pin(async move { (event(rehearsing.await), claim) })
    }

    async fn judge(&self) -> Result<Event> {
        let present = Watched::present(self.registry.brokers.subscribe(), "who is in /brokers/ids").await?;
        self.registry.assigned(self.assigned_replicas.assigned_replicas().await?);
        Ok(Event::BrokersJudged(self.registry.assess(&self.log.image(), Some(&present)).verdict))
    }

    /// The order to claim.
    pub(super) fn claim(self, leadership: KraftLeadership) -> Work {
        Box::pin(async move {
            match self.claim_zookeeper(leadership).await {
                Ok((claimed, claim)) => (Event::Claimed(claimed), claim),
                Err(error) => (Event::Failed(error), Claim::default()),
            }
        })
    }

    /// Claims, and makes sure that what was claimed can be gone on with: without an image at ZooKeeper's position the
    /// difference to it can't be told, and a full sync must find it.
    async fn claim_zookeeper(&self, leadership: KraftLeadership) -> Result<(Claimed, Claim)> {
        self.image_of(leadership).await?;
        let expected = self.expected();
        let mut claimed = self.zookeeper.claim(&leadership, &expected).await?;
        if matches!(expected, Expected::LogOverruling(_)) {
            self.overrules.store(false, Ordering::Relaxed);
        }
        let mut image = None;
        if claimed.next == AfterClaim::Resume {
            // From now on, not only from the first batch on: the log may be purged while the brokers are being told.
            self.log.hold(claimed.position.end_offset);
            image = match self.acknowledged.image_at(claimed.position) {
                Some(image) => Some(image),
                None => image_at(&*self.log, claimed.position).await?,
            };
            if image.is_none() {
                claimed.next = AfterClaim::FullSync;
                claimed.batch_end = None;
            }
        }
        let writer = self.zookeeper.writer(claimed).await?;
        Ok((claimed, Claim { writer: Some(writer), image }))
    }

    /// The order to copy.
    pub(super) fn copy(self, mut claim: Claim, leadership: KraftLeadership) -> Work {
        Box::pin(async move {
            let copied = match claim.writer.as_deref_mut() {
                Some(writer) => copy(&*self.log, &*self.zookeeper, writer, leadership.epoch, &self.copy).await,
                None => Err(no_claim()),
            };
            (event(copied.map(|_| Event::Copied)), claim)
        })
    }

    /// The order to make ZooKeeper equal to the image.
    pub(super) fn sync(self, mut claim: Claim, leadership: KraftLeadership) -> Work {
        Box::pin(async move {
            let synced = async {
                let writer = claim.writer.as_deref_mut().ok_or_else(no_claim)?;
                let now = self.image_of(leadership).await?;
                // Once the sync is done, whoever comes next goes on from here.
                self.log.hold(now.position().end_offset);
                let report = writer.full_sync(&now).await?;
                self.acknowledged.keep(now.clone());
                claim.image = Some(now);
                Ok(Event::Synced(report))
            };
            let synced = synced.await;
            (event(synced), claim)
        })
    }

    /// The order to dual-write, from the claim's image on, and to do what `requests` ask.
    pub(super) fn dual_write(
        self,
        claim: Claim,
        leadership: KraftLeadership,
        claimed: Option<Claimed>,
        requests: mpsc::Receiver<Request>,
    ) -> Work {
        Box::pin(async move {
            let (Some(writer), Some(image)) = (claim.writer, claim.image) else {
                return (Event::Failed(no_claim()), Claim::default());
            };
            let epoch = leadership.epoch;
            let batch_end = claimed.and_then(|claimed| claimed.batch_end);
            let batch_end = batch_end.filter(|end| *end > image.position().end_offset);
            let writer = DualWriter::new(self.log, epoch, writer, image, batch_end, self.dual_write, self.acknowledged);
            let ended = match writer.run(requests).await {
                Ended::Failed(error) => Event::Failed(error),
                Ended::Finalized => Event::Finalized,
            };
            (ended, Claim::default())
        })
    }
}
