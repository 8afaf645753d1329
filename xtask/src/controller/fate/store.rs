//! A store on the way to its fate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use metadata_core::brokers::AssignedReplicas;
use metadata_core::error::Result;
use metadata_core::id::{NodeId, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{Expected, KraftLeadership};
use metadata_core::projection::{Comparison, Projection};
use metadata_core::store::{
    Capability, Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Survey, SyncReport,
};

use super::{Fate, Phase, Step, When};

/// Passes everything on.
pub(super) struct FatedStore {
    pub(super) inner: Arc<dyn MetadataStore>,
    pub(super) fate: Arc<Fate>,
}

struct FatedWriter {
    inner: Box<dyn StoreWriter>,
    fate: Arc<Fate>,
}

/// Counts replicas on the way to its fate.
pub(super) struct FatedReplicas {
    pub(super) inner: Arc<dyn AssignedReplicas>,
    pub(super) fate: Arc<Fate>,
}

/// Compares on the way to its fate.
pub(super) struct FatedProjection {
    pub(super) inner: Arc<dyn Projection>,
    pub(super) fate: Arc<Fate>,
}

#[async_trait]
impl MetadataStore for FatedStore {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        let copying = self.fate.copying.load(Ordering::SeqCst);
        let step = if copying { Step::CopyRead } else { Step::Rehearse };
        self.fate.meet(step, When::Before);
        let loaded = self.inner.load(sink).await;
        self.fate.meet(step, When::After);
        loaded
    }

    async fn position(&self) -> Result<Position> {
        self.inner.position().await
    }

    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey> {
        self.fate.meet(Step::SurveyZooKeeper, When::Before);
        let found = self.inner.survey(leadership, expected).await;
        self.fate.meet(Step::SurveyZooKeeper, When::After);
        found
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        self.fate.meet(Step::Claim, When::Before);
        self.fate.enter(Phase::Claim);
        let claimed = self.inner.claim(leadership, expected).await;
        self.fate.enter(Phase::Other);
        self.fate.meet(Step::Claim, When::After);
        claimed
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        let inner = self.inner.writer(claimed).await?;
        Ok(Box::new(FatedWriter { inner, fate: Arc::clone(&self.fate) }))
    }
}

#[async_trait]
impl StoreWriter for FatedWriter {
    async fn ready(&mut self) -> Result<()> {
        self.inner.ready().await
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        self.fate.enter(Phase::DualWrite);
        self.inner.submit(batch)
    }

    async fn barrier(&mut self) -> Result<Position> {
        self.inner.barrier().await
    }

    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        self.fate.meet(Step::Sync, When::Before);
        self.fate.enter(Phase::Sync);
        let synced = self.inner.full_sync(image).await;
        self.fate.enter(Phase::Other);
        self.fate.meet(Step::Sync, When::After);
        synced
    }
}

#[async_trait]
impl AssignedReplicas for FatedReplicas {
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>> {
        self.fate.meet(Step::JudgeBrokers, When::Before);
        let counted = self.inner.assigned_replicas().await;
        self.fate.meet(Step::JudgeBrokers, When::After);
        counted
    }
}

#[async_trait]
impl Projection for FatedProjection {
    async fn compare(&self, image: &MetadataImage, differences_max: usize) -> Result<Comparison> {
        self.fate.meet(Step::FinalizeCompare, When::Before);
        let compared = self.inner.compare(image, differences_max).await;
        self.fate.meet(Step::FinalizeCompare, When::After);
        compared
    }
}
