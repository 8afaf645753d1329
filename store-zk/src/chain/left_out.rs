//! What is too large for one request. ZooKeeper answers such a request by closing the connection, so it is never sent:
//! its entity is left out, and the chain goes on without it.
//!
//! What ZooKeeper holds of such an entity is then some older state, or nothing, and no plan that is made from images
//! alone fits it. So once the entity fits again, or is gone from the image, its znodes are read and made whole, as a full
//! sync would do it. Until none is left out any more the marker says that a sync is running: a successor does not know
//! the set, and compares everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata_core::error::Error;
use metadata_core::store::Unrepresentable;

use super::actor::{Actor, report};
use super::batch::zk_op;
use super::sync::actual;
use super::window::Failure;
use crate::project::{Entity, PlannedOp, Projector, plan_sync};
use crate::read::BulkReader;

/// Whether the plan at the cursor can be issued as it is.
pub(super) enum Mended {
    Yes,
    /// Not before everything in flight is answered.
    AfterTheWindow,
    /// No; the failure was settled, so the cursor may stand elsewhere now.
    Failed,
}

enum MendError {
    /// The session is lost.
    Failure(Failure),
    /// It can't be read.
    Stop(Error),
}

impl Actor {
    pub(super) fn is_oversize(&self, planned: &PlannedOp) -> bool {
        let size = zk_op(&planned.op).wire_size(self.window.session().chroot().len());
        self.frame() + size > self.options.request_size_max
    }

    pub(super) fn too_large(&self, entity: &Entity) -> Unrepresentable {
        Unrepresentable {
            entity: entity.to_string(),
            reason: format!(
                "larger than ZooKeeper takes in one request ({} bytes); it stays as it is there",
                self.options.request_size_max
            ),
        }
    }

    /// Leaves out the entities of the plan at the cursor that have an op which is too large.
    pub(super) fn leave_out_oversize(&mut self) {
        let Some(planned) = self.queue.get(self.cursor.batch).and_then(|queued| queued.plan.as_ref()) else { return };
        let oversize: Vec<Entity> = planned
            .ops
            .iter()
            .filter(|planned| self.is_oversize(planned))
            .map(|planned| planned.entity.clone())
            .collect();
        if oversize.is_empty() {
            return;
        }
        for entity in oversize {
            if self.left_out.insert(entity.clone()) {
                report(&[self.too_large(&entity)]);
            }
        }
        self.tell_left_out();
    }

    /// Tells the store, whose owner may want to know, what is left out now.
    pub(super) fn tell_left_out(&self) {
        if let Ok(mut told) = self.options.left_out.lock() {
            *told = self.left_out.iter().map(|entity| self.too_large(entity)).collect();
            told.sort();
        }
    }

    /// Finds the entities that the plan at the cursor is about, were left out before, and fit as they will be.
    pub(super) fn note_what_fits_again(&mut self) {
        let Some(queued) = self.queue.get(self.cursor.batch) else { return };
        let Some(plan) = queued.plan.as_ref() else { return };
        let mut touched: Vec<Entity> = Vec::new();
        for planned in &plan.ops {
            if self.left_out.contains(&planned.entity) && !touched.contains(&planned.entity) {
                touched.push(planned.entity.clone());
            }
        }
        if touched.is_empty() {
            return;
        }
        let context = self.context(plan.notify);
        let projector = Projector::new(&queued.batch.after, &context);
        // Made from nothing, every znode of it is written.
        let fits = |entity: &Entity| {
            let whole = plan_sync(&projector, entity, &BTreeMap::new());
            whole.unrepresentable.is_empty() && !whole.ops.iter().any(|planned| self.is_oversize(planned))
        };
        touched.retain(fits);
        if let Some(plan) = self.queue.get_mut(self.cursor.batch).and_then(|queued| queued.plan.as_mut()) {
            plan.to_mend = touched;
        }
    }

    /// Replaces the ops of what fits again by those that make it whole.
    pub(super) async fn mend_at_cursor(&mut self) -> Mended {
        let Some(plan) = self.queue.get(self.cursor.batch).and_then(|queued| queued.plan.as_ref()) else {
            return Mended::Yes;
        };
        if plan.to_mend.is_empty() {
            return Mended::Yes;
        }
        if !self.window.is_empty() {
            return Mended::AfterTheWindow;
        }
        match self.mend(plan.to_mend.clone(), plan.notify).await {
            Ok(()) => Mended::Yes,
            Err(MendError::Failure(failure)) => {
                Box::pin(self.settle(failure)).await;
                Mended::Failed
            }
            Err(MendError::Stop(error)) => {
                self.stop(&error);
                Mended::Failed
            }
        }
    }

    /// Everything before the batch is answered, so a read on our session sees what the batch will find.
    async fn mend(&mut self, entities: Vec<Entity>, notify: bool) -> Result<(), MendError> {
        let Some(image) = self.queue.get(self.cursor.batch).map(|queued| queued.batch.after.clone()) else {
            return Ok(());
        };
        let reader = BulkReader::new(Arc::clone(self.window.session()), Arc::clone(&self.options.counters));
        let mut actual = actual(&reader, &entities).await.map_err(|error| match self.lost(&error) {
            Some(failure) => MendError::Failure(failure),
            None => MendError::Stop(error),
        })?;
        let context = self.context(notify);
        let projector = Projector::new(&image, &context);
        let mut ops = Vec::new();
        for entity in &entities {
            let sync = plan_sync(&projector, entity, &actual.remove(entity).unwrap_or_default());
            for warning in &sync.warnings {
                tracing::warn!(warning, "dual write");
            }
            tracing::info!(%entity, "it fits into a request again, or is gone: ZooKeeper is brought in step with it");
            ops.extend(sync.ops);
            self.left_out.remove(entity);
        }
        self.tell_left_out();
        if let Some(plan) = self.queue.get_mut(self.cursor.batch).and_then(|queued| queued.plan.as_mut()) {
            plan.mend(&entities, ops);
        }
        Ok(())
    }
}
