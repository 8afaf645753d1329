//! A store that tells what is done with it.

use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{Expected, KraftLeadership};
use metadata_core::store::{
    Capability, Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Survey, SyncReport,
};
use store_zk::ZkStore;
use tokio::sync::mpsc;

use super::report::{ClaimOutcome, Report};

/// Passes everything on.
pub(super) struct Told {
    pub(super) inner: Arc<ZkStore>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
}

struct ToldWriter {
    inner: Box<dyn StoreWriter>,
    epoch: KRaftLeaderEpoch,
    reports: mpsc::UnboundedSender<Report>,
}

/// Nobody listens any more only when the process ends.
fn tell(reports: &mpsc::UnboundedSender<Report>, report: Report) {
    drop(reports.send(report));
}

fn tell_bounce(reports: &mpsc::UnboundedSender<Report>, epoch: KRaftLeaderEpoch, error: &Error) {
    if error.kind() == ErrorKind::ControllerFenced {
        tell(reports, Report::Bounced { epoch: epoch.0, reason: error.to_string() });
    }
}

#[async_trait]
impl MetadataStore for Told {
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
        self.inner.survey(leadership, expected).await
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        let claimed = self.inner.claim(leadership, expected).await;
        let outcome = claimed.as_ref().map_or_else(ClaimOutcome::from, |claimed| claimed.next.into());
        tell(&self.reports, Report::Claim { epoch: leadership.epoch.0, outcome });
        claimed
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        let (epoch, reports) = (claimed.leadership.kraft.epoch, self.reports.clone());
        let inner = self.inner.writer(claimed).await?;
        Ok(Box::new(ToldWriter { inner, epoch, reports }))
    }
}

#[async_trait]
impl StoreWriter for ToldWriter {
    async fn ready(&mut self) -> Result<()> {
        self.inner.ready().await
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        let (epoch, end) = (self.epoch, batch.end().end_offset.0);
        let receipt = self.inner.submit(batch);
        tell(&self.reports, Report::Submitted { epoch: epoch.0, end });
        let reports = self.reports.clone();
        Receipt::new(async move {
            let answer = receipt.await;
            if let Err(error) = &answer {
                tell_bounce(&reports, epoch, error);
            }
            answer
        })
    }

    async fn barrier(&mut self) -> Result<Position> {
        let settled = self.inner.barrier().await;
        if let Err(error) = &settled {
            tell_bounce(&self.reports, self.epoch, error);
        }
        settled
    }

    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        let synced = self.inner.full_sync(image).await;
        match &synced {
            Ok(SyncReport { written, deleted, .. }) => {
                let (written, deleted) = (*written, *deleted);
                tell(&self.reports, Report::Synced { epoch: self.epoch.0, written, deleted });
            }
            Err(error) => tell_bounce(&self.reports, self.epoch, error),
        }
        synced
    }
}
