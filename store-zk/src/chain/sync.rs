//! The full sync: ZooKeeper made equal to an image, entity by entity, writing only differences, through the same chained
//! multis: `write-chain` section 5.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fencing::SyncState;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::AfterClaim;
use metadata_core::store::SyncReport;

use super::actor::{Actor, Tag};
use super::batch::{MULTI_SIZE_MAX, OPS_PER_MULTI_MAX, zk_op};
use super::window::Failure;
use crate::client::{UnknownCause, ZkOp};
use crate::project::{Entity, EntityKind, PlannedOp, Projector, plan_sync};
use crate::read::BulkReader;
use crate::znode::marker::Marker;
use crate::znode::topic::TopicZnode;
use crate::znode::{Znode, path};

/// Entities whose znodes are read and planned together: what a sync holds of the tree at a time.
const ENTITIES_PER_CHUNK: usize = 100;

/// Attempts, when someone else writes meanwhile or the connection is lost. Each compares anew, so each is shorter.
const ATTEMPTS_MAX: u32 = 5;

/// So many topics may be deleted whatever share of all topics they are: small clusters would be refused for one topic.
const DELETIONS_ALWAYS_ALLOWED: usize = 10;

/// How one attempt ended that did not succeed.
enum Trouble {
    /// Compare and write again.
    Again(Failure),
    /// Nothing helps here.
    Stop(Error),
}

impl Actor {
    /// Makes ZooKeeper equal to `image`. The queue must be empty.
    pub(super) async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        if self.stopped.is_some() {
            return Err(self.stop_error());
        }
        self.learn(image, self.window.confirmed().marker.position);
        let mut total = SyncReport::default();
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(image, &mut total).await {
                Ok(()) => {
                    total.unrepresentable.sort();
                    total.unrepresentable.dedup();
                    return Ok(self.finished_sync(total));
                }
                Err(Trouble::Stop(error)) => return Err(error),
                Err(Trouble::Again(failure)) => {
                    tracing::info!(?failure, "the full sync begins again");
                    self.settle_sync(failure).await;
                    if self.stopped.is_some() {
                        return Err(self.stop_error());
                    }
                }
            }
        }
        let error = Error::not_applied(
            ErrorKind::Unavailable,
            format!("someone else kept writing during {ATTEMPTS_MAX} full syncs; find out who, then try again"),
        );
        self.stop(&error, metadata_core::error::Outcome::Unknown);
        Err(error)
    }

    async fn attempt(&mut self, image: &MetadataImage, total: &mut SyncReport) -> std::result::Result<(), Trouble> {
        let context = self.context(self.brokers.get());
        let projector = Projector::new(image, &context);
        let reader = BulkReader::new(Arc::clone(self.window.session()), Arc::clone(&self.options.counters));
        let (mut compared, mut warnings) = (0, Vec::new());
        total.unrepresentable = projector.unrepresentable();

        let position = self.window.confirmed().marker.position;
        let running = self.marker_in(SyncState::Running, position, None, 0, context.notify);
        self.check_deletions(&reader, image).await.map_err(Trouble::Stop)?;
        // From here on the marker says that only another sync can follow.
        self.next = AfterClaim::FullSync;
        self.write(&running, Vec::new()).await?;
        for kind in EntityKind::ALL {
            let entities = entities(&reader, &projector, kind).await.map_err(Trouble::Stop)?;
            for chunk in entities.chunks(ENTITIES_PER_CHUNK) {
                let mut actual = actual(&reader, chunk).await.map_err(Trouble::Stop)?;
                for entity in chunk {
                    let plan = plan_sync(&projector, entity, &actual.remove(entity).unwrap_or_default());
                    compared += plan.compared;
                    warnings.extend(plan.warnings);
                    if plan.ops.iter().any(|planned| self.is_oversize(planned)) {
                        total.unrepresentable.push(self.too_large(entity));
                        self.leave_out(entity.clone());
                        continue;
                    }
                    total.written += plan.written;
                    total.deleted += plan.deleted;
                    self.write(&running, plan.ops).await?;
                }
            }
        }
        self.flush().await?;
        let done = self.marker_in(SyncState::Done, image.position(), None, 0, false);
        self.write_multi(done, Vec::new()).await?;
        self.flush().await?;
        (total.compared, total.warnings) = (compared, warnings);
        Ok(())
    }

    /// Refuses a sync that would delete most of ZooKeeper: more often a wrong data directory than a wish.
    async fn check_deletions(&mut self, reader: &BulkReader, image: &MetadataImage) -> Result<()> {
        let pending: BTreeSet<String> = reader.children(path::PENDING_DELETIONS).await?.into_iter().collect();
        let mut names = reader.children(path::TOPICS).await?;
        names.retain(|name| !pending.contains(name));
        let mut deletions = Vec::new();
        for chunk in names.chunks(crate::read::READS_PER_REQUEST) {
            let paths = chunk.iter().map(|name| path::topic(name)).collect();
            for (name, znode) in chunk.iter().zip(reader.nodes(paths).await?) {
                let id =
                    znode.and_then(|znode| TopicZnode::decode(znode.content()?).ok()).and_then(|topic| topic.topic_id);
                let kept = image.topics().id(name);
                if kept.is_none() || id.is_some_and(|id| Some(id) != kept) {
                    deletions.push(name.clone());
                }
            }
        }
        let share = deletions.len() as f64 / names.len().max(1) as f64;
        if deletions.len() > DELETIONS_ALWAYS_ALLOWED && share > self.options.deletions_share_max {
            let some = deletions.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::not_applied(
                ErrorKind::Invalid,
                format!(
                    "a full sync would delete {} of {} topics in ZooKeeper ({some}, ...), more than the limit of {:.0} %; \
                     nothing was written. Check that this is the right data directory, or raise the limit",
                    deletions.len(),
                    names.len(),
                    self.options.deletions_share_max * 100.0
                ),
            ));
        }
        Ok(())
    }

    /// Writes ops in as few multis as they fit in.
    async fn write(&mut self, marker: &Marker, ops: Vec<PlannedOp>) -> std::result::Result<(), Trouble> {
        let room = MULTI_SIZE_MAX.saturating_sub(self.window.frame_size(marker));
        let chroot = self.window.session().chroot().len();
        let mut multi: Vec<ZkOp> = Vec::new();
        let mut bytes = 0;
        let first = ops.is_empty();
        for planned in ops {
            let op = zk_op(&planned.op);
            let size = op.wire_size(chroot);
            if !multi.is_empty() && (multi.len() >= OPS_PER_MULTI_MAX || bytes + size > room) {
                self.write_multi(marker.clone(), std::mem::take(&mut multi)).await?;
                bytes = 0;
            }
            bytes += size;
            multi.push(op);
        }
        if first || !multi.is_empty() {
            self.write_multi(marker.clone(), multi).await?;
        }
        Ok(())
    }

    async fn write_multi(&mut self, marker: Marker, ops: Vec<ZkOp>) -> std::result::Result<(), Trouble> {
        while !self.window.has_room() {
            self.window.next().await.map_err(Trouble::Again)?;
        }
        self.window.issue(marker, ops, Tag { indices: Vec::new(), last: false });
        Ok(())
    }

    async fn flush(&mut self) -> std::result::Result<(), Trouble> {
        while !self.window.is_empty() {
            self.window.next().await.map_err(Trouble::Again)?;
        }
        Ok(())
    }

    /// After a failure in the middle of a sync. What of it is applied need not be known: the next attempt compares. Only
    /// the marker's version must be.
    async fn settle_sync(&mut self, failure: Failure) {
        match failure {
            Failure::ForeignWrite { .. } => {
                self.foreign_writes += 1;
                drop(self.window.drain().await);
            }
            Failure::Unknown(error) if error.cause() == Some(UnknownCause::ConnectionLost) => {
                drop(self.window.drain().await);
                self.reclaim().await;
            }
            failure => self.settle(failure).await,
        }
    }
}

/// The entities of one kind that the image or ZooKeeper has, in order.
async fn entities(reader: &BulkReader, projector: &Projector<'_>, kind: EntityKind) -> Result<Vec<Entity>> {
    let mut all: BTreeSet<Entity> = projector.entities(kind).collect();
    for parent in kind.parents() {
        let names = reader.children(&parent).await?;
        all.extend(names.iter().filter_map(|name| Entity::at(&format!("{parent}/{name}"))));
    }
    Ok(all.into_iter().collect())
}

/// The znodes that each of the entities has.
pub(crate) async fn actual(
    reader: &BulkReader,
    entities: &[Entity],
) -> Result<BTreeMap<Entity, BTreeMap<String, Znode>>> {
    let roots: Vec<String> = entities.iter().flat_map(Entity::roots).collect();
    let containers = entities.contains(&Entity::Containers);
    // Containers are their own znodes without what is below; everything else is a subtree.
    let found = reader.walk(roots, |_| !containers).await?;
    let mut sorted: BTreeMap<Entity, BTreeMap<String, Znode>> = BTreeMap::new();
    let by_root: BTreeMap<String, &Entity> =
        entities.iter().flat_map(|entity| entity.roots().into_iter().map(move |root| (root, entity))).collect();
    for (path, znode) in found {
        // What Kafka does not know belongs to the entity that it stands below.
        let mut root = path.as_str();
        let owner = loop {
            if let Some(entity) = by_root.get(root) {
                break Some(*entity);
            }
            match root.rsplit_once('/') {
                Some((parent, _)) if !parent.is_empty() => root = parent,
                _ => break None,
            }
        };
        if let Some(entity) = owner {
            sorted.entry(entity.clone()).or_default().insert(path, znode);
        }
    }
    Ok(sorted)
}
