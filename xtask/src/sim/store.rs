//! The port to ZooKeeper, watched: what is handed over, and in which state of the driver.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use metadata_core::error::Result;
use metadata_core::id::{NodeId, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{Expected, KraftLeadership};
use metadata_core::store::{
    Capability, Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Survey, SyncReport,
};
use migration::{State, Status};
use store_zk::ZkStore;
use tokio::sync::watch;

use super::net::Net;

/// What a decorator of one controller knows.
pub(super) struct Watched {
    pub(super) node: NodeId,
    pub(super) net: Arc<Net>,
    /// The controller's status, once it is made.
    pub(super) status: OnceLock<watch::Receiver<Status>>,
}

impl Watched {
    /// Says so if the driver is in none of the states in which this may be handed over.
    fn allowed_in(&self, what: &str, allowed: State) {
        if let Some(state) = self.status.get().map(|status| status.borrow().state).filter(|state| *state != allowed) {
            self.net.report("MIG-2", format!("node {} handed over {what} in state {state}", self.node));
        }
    }
}

/// The store of one controller.
pub(super) struct SimStore {
    pub(super) inner: Arc<ZkStore>,
    pub(super) watched: Arc<Watched>,
}

#[async_trait]
impl MetadataStore for SimStore {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        self.inner.load(sink).await
    }

    async fn position(&self) -> Result<Position> {
        self.inner.position().await
    }

    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey> {
        let survey = self.inner.survey(leadership, expected).await;
        if let Err(error) = &survey {
            self.watched.net.state().trace.event(format_args!("node {} may not claim: {error}", self.watched.node));
        }
        survey
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        let claimed = self.inner.claim(leadership, expected).await;
        let mut state = self.watched.net.state();
        match &claimed {
            Ok(claimed) => {
                state.trace.tick(match claimed.next {
                    metadata_core::leadership::AfterClaim::Copy => "claims to copy",
                    metadata_core::leadership::AfterClaim::Resume if claimed.batch_end.is_some() => {
                        "resumes within a batch"
                    }
                    metadata_core::leadership::AfterClaim::Resume => "resumes",
                    metadata_core::leadership::AfterClaim::FullSync => "claims to sync",
                });
                state.trace.event(format_args!("node {} claimed: {:?}", self.watched.node, claimed.next));
            }
            Err(error) => state.trace.event(format_args!("node {}: no claim, {error}", self.watched.node)),
        }
        drop(state);
        claimed
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        let inner = self.inner.writer(claimed).await?;
        Ok(Box::new(SimWriter { inner, watched: Arc::clone(&self.watched) }))
    }
}

struct SimWriter {
    inner: Box<dyn StoreWriter>,
    watched: Arc<Watched>,
}

#[async_trait]
impl StoreWriter for SimWriter {
    async fn ready(&mut self) -> Result<()> {
        self.inner.ready().await
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        self.watched.allowed_in("a batch", State::DualWrite);
        self.inner.submit(batch)
    }

    async fn barrier(&mut self) -> Result<Position> {
        self.inner.barrier().await
    }

    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        self.watched.allowed_in("a full sync", State::SyncKRaftToZk);
        let report = self.inner.full_sync(image).await;
        if report.is_ok() {
            self.watched.net.state().trace.tick("full syncs");
        }
        report
    }
}
