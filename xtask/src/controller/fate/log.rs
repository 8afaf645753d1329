//! A log on the way to its fate.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use metadata_core::error::Result;
use metadata_core::id::{Offset, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use metadata_core::record::{MetadataRecord, ZkMigrationState};
use metadata_core::store::{Receipt, Txn};

use super::{Fate, Step, When};

/// Passes everything on.
pub(super) struct FatedLog {
    pub(super) inner: Arc<dyn MetadataLog>,
    pub(super) fate: Arc<Fate>,
}

/// What an append is; nothing that counts for an ordinary change.
fn step_of(append: &Append) -> Option<Step> {
    match append.txn {
        Txn::Begin => Some(Step::CopyBegin),
        Txn::In => Some(Step::CopyBatch),
        Txn::End { .. } => Some(Step::CopyEnd),
        Txn::None => append.records.iter().find_map(|record| match &record.record {
            MetadataRecord::ZkMigrationState(state) => Some(match state.zk_migration_state {
                state if state == ZkMigrationState::PostMigration.code() => Step::FinalizeAppend,
                _ => Step::Bootstrap,
            }),
            MetadataRecord::RegisterBroker(_) => Some(Step::Register),
            MetadataRecord::FenceBroker(_) => Some(Step::Fence),
            MetadataRecord::BrokerRegistrationChange(change) => (change.fenced == FENCED).then_some(Step::Fence),
            _ => None,
        }),
    }
}

/// In a change of a registration: from now on fenced.
const FENCED: i8 = 1;

#[async_trait]
impl MetadataLog for FatedLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        self.inner.leadership(known).await
    }

    fn append(&self, append: Append) -> Receipt {
        let Some(step) = step_of(&append) else { return self.inner.append(append) };
        match step {
            Step::Bootstrap => self.fate.copying.store(false, Ordering::SeqCst),
            Step::CopyBegin | Step::CopyBatch | Step::CopyEnd => self.fate.copying.store(true, Ordering::SeqCst),
            _ => {}
        }
        self.fate.meet(step, When::Before);
        let receipt = self.inner.append(append);
        let fate = Arc::clone(&self.fate);
        Receipt::new(async move {
            let answer = receipt.await;
            fate.meet(step, When::After);
            answer
        })
    }

    async fn end(&self) -> Result<Position> {
        self.fate.meet(Step::Survey, When::Before);
        let end = self.inner.end().await;
        self.fate.meet(Step::Survey, When::After);
        end
    }

    fn extent(&self) -> LogExtent {
        self.inner.extent()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        self.inner.committed(end_offset).await
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        self.inner.read(from, records_max).await
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        self.inner.image_at_most(end_offset).await
    }

    fn image(&self) -> MetadataImage {
        self.inner.image()
    }

    fn hold(&self, end_offset: Offset) {
        self.inner.hold(end_offset);
    }
}
