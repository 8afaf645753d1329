//! A rollback on the way to its fate.

use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::error::Result;
use metadata_core::give_back::{ControllerRole, GiveBackPlan, Governance, OwnLog, RollbackKeeper};
use metadata_core::id::ZkControllerEpoch;
use metadata_core::image::MetadataImage;

use super::{Fate, Step, When};

/// Passes everything on.
pub(super) struct FatedRole {
    pub(super) inner: Arc<dyn ControllerRole>,
    pub(super) fate: Arc<Fate>,
}

/// Passes everything on.
pub(super) struct FatedKeeper {
    pub(super) inner: Arc<dyn RollbackKeeper>,
    pub(super) fate: Arc<Fate>,
}

#[async_trait]
impl ControllerRole for FatedRole {
    async fn plan_give_back(&self, own: &OwnLog, image: &MetadataImage) -> Result<GiveBackPlan> {
        self.inner.plan_give_back(own, image).await
    }

    async fn give_back(&self, plan: &GiveBackPlan) -> Result<()> {
        self.fate.meet(Step::RollbackGiveBack, When::Before);
        let given = self.inner.give_back(plan).await;
        self.fate.meet(Step::RollbackGiveBack, When::After);
        given
    }

    async fn governance(&self) -> Result<Governance> {
        self.inner.governance().await
    }

    async fn partition_epoch_max(&self) -> Result<Option<ZkControllerEpoch>> {
        self.inner.partition_epoch_max().await
    }
}

#[async_trait]
impl RollbackKeeper for FatedKeeper {
    async fn is_sealed(&self) -> Result<bool> {
        self.inner.is_sealed().await
    }

    async fn begin(&self, plan: &GiveBackPlan) -> Result<()> {
        self.fate.meet(Step::RollbackKeep, When::Before);
        let begun = self.inner.begin(plan).await;
        self.fate.meet(Step::RollbackKeep, When::After);
        begun
    }

    async fn abandon(&self) -> Result<()> {
        self.inner.abandon().await
    }

    async fn seal(&self, plan: &GiveBackPlan) -> Result<()> {
        self.fate.meet(Step::RollbackSeal, When::Before);
        let sealed = self.inner.seal(plan).await;
        self.fate.meet(Step::RollbackSeal, When::After);
        sealed
    }
}
