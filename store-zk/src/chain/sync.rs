//! The full sync: ZooKeeper made equal to an image, entity by entity, writing only differences, through the same chained
//! multis: `write-chain` section 5.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use fencing::SyncState;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::AfterClaim;
use metadata_core::store::SyncReport;

use super::actor::{Actor, Tag};
use super::batch::{OPS_PER_MULTI_MAX, zk_op};
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

/// What a sync has done so far, over all attempts.
#[derive(Default)]
struct Progress {
    report: SyncReport,
    /// Whether anything was sent.
    wrote: bool,
}

/// Ops that wait for more, so that a multi carries as many as it may: entities are small.
#[derive(Default)]
struct Pending {
    ops: Vec<ZkOp>,
    bytes: usize,
}

impl Actor {
    /// Makes ZooKeeper equal to `image`. The queue must be empty.
    pub(super) async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        if self.stopped.is_some() {
            return Err(self.stop_error());
        }
        self.learn(image, self.window.confirmed().marker.position);
        let mut sync = Progress::default();
        match self.attempts(image, &mut sync).await {
            Ok(()) => {
                sync.report.unrepresentable.sort();
                sync.report.unrepresentable.dedup();
                Ok(self.finished_sync(sync.report))
            }
            // Half a sync is something written.
            Err(error) if sync.wrote => Err(Error::unknown(error.kind(), error.to_string())),
            Err(error) => Err(error),
        }
    }

    async fn attempts(&mut self, image: &MetadataImage, sync: &mut Progress) -> Result<()> {
        let mut lost = 0;
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(image, sync).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Stop(error)) => return Err(error),
                Err(Trouble::Again(failure)) => {
                    tracing::info!(?failure, "the full sync begins again");
                    lost += u32::from(matches!(failure, Failure::Unknown(_)));
                    self.settle_sync(failure).await;
                    if self.stopped.is_some() {
                        return Err(self.stop_error());
                    }
                }
            }
        }
        let error = if lost == 0 {
            Error::not_applied(
                ErrorKind::Unavailable,
                format!("someone else kept writing during {ATTEMPTS_MAX} full syncs; find out who, then try again"),
            )
        } else {
            Error::not_applied(
                ErrorKind::Unavailable,
                format!(
                    "of {ATTEMPTS_MAX} full syncs {lost} lost the connection to ZooKeeper, and none came to its end. \
                     Requests are up to {} bytes large: if jute.maxbuffer is set below that on the servers, raise it",
                    self.options.request_size_max
                ),
            )
        };
        self.stop(&error);
        Err(error)
    }

    async fn attempt(&mut self, image: &MetadataImage, sync: &mut Progress) -> std::result::Result<(), Trouble> {
        let context = self.context(self.brokers.get());
        let projector = Projector::new(image, &context);
        let reader = BulkReader::new(Arc::clone(self.window.session()), Arc::clone(&self.options.counters));
        let (mut compared, mut warnings, mut left_out) = (0, Vec::new(), HashSet::new());
        sync.report.unrepresentable = projector.unrepresentable();

        self.check_deletions(&reader, image).await.map_err(|error| self.trouble(error))?;
        // From here on the marker says that only another sync can follow.
        self.next = AfterClaim::FullSync;
        let position = self.window.confirmed().marker.position;
        let running = self.marker(SyncState::Running, position, None, 0, context.notify);
        self.write_multi(running.clone(), Vec::new(), sync).await?;
        let mut pending = Pending::default();
        for kind in EntityKind::ALL {
            let entities = entities(&reader, &projector, kind).await.map_err(|error| self.trouble(error))?;
            for chunk in entities.chunks(ENTITIES_PER_CHUNK) {
                let mut actual = actual(&reader, chunk).await.map_err(|error| self.trouble(error))?;
                for entity in chunk {
                    let plan = plan_sync(&projector, entity, &actual.remove(entity).unwrap_or_default());
                    compared += plan.compared;
                    warnings.extend(plan.warnings);
                    sync.report.unrepresentable.extend(plan.unrepresentable);
                    if plan.ops.iter().any(|planned| self.is_oversize(planned)) {
                        sync.report.unrepresentable.push(self.too_large(entity));
                        left_out.insert(entity.clone());
                        continue;
                    }
                    sync.report.written += plan.written;
                    sync.report.deleted += plan.deleted;
                    self.write(&running, &mut pending, plan.ops, sync).await?;
                }
            }
        }
        self.write_pending(&running, &mut pending, sync).await?;
        self.left_out = left_out;
        self.tell_left_out();
        let done = self.marker(self.sync_state(), image.position(), None, 0, false);
        self.write_multi(done, Vec::new(), sync).await?;
        self.flush().await?;
        (sync.report.compared, sync.report.warnings) = (compared, warnings);
        Ok(())
    }

    /// A read that failed with its session is worth another attempt.
    fn trouble(&self, error: Error) -> Trouble {
        self.lost(&error).map_or(Trouble::Stop(error), Trouble::Again)
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
        // All of them is never a wish, however few they are.
        let many = deletions.len() > DELETIONS_ALWAYS_ALLOWED || deletions.len() == names.len();
        if many && share > self.options.deletions_share_max {
            let some = deletions.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            return Err(Error::not_applied(
                ErrorKind::Invalid,
                format!(
                    "a full sync would delete {} of {} topics in ZooKeeper ({some}, ...), more than the limit of {:.0} %; \
                     nothing was deleted. Check that this is the right data directory, or raise the limit",
                    deletions.len(),
                    names.len(),
                    self.options.deletions_share_max * 100.0
                ),
            ));
        }
        Ok(())
    }

    /// Adds ops to the pending multi, and sends it whenever it is full.
    async fn write(
        &mut self,
        marker: &Marker,
        pending: &mut Pending,
        ops: Vec<PlannedOp>,
        sync: &mut Progress,
    ) -> std::result::Result<(), Trouble> {
        let room = self.room();
        let chroot = self.window.session().chroot().len();
        for planned in ops {
            let op = zk_op(&planned.op);
            let size = op.wire_size(chroot);
            if pending.ops.len() >= OPS_PER_MULTI_MAX || pending.bytes + size > room {
                self.write_pending(marker, pending, sync).await?;
            }
            pending.bytes += size;
            pending.ops.push(op);
        }
        Ok(())
    }

    async fn write_pending(
        &mut self,
        marker: &Marker,
        pending: &mut Pending,
        sync: &mut Progress,
    ) -> std::result::Result<(), Trouble> {
        let Pending { ops, .. } = std::mem::take(pending);
        if ops.is_empty() { Ok(()) } else { self.write_multi(marker.clone(), ops, sync).await }
    }

    async fn write_multi(
        &mut self,
        marker: Marker,
        ops: Vec<ZkOp>,
        sync: &mut Progress,
    ) -> std::result::Result<(), Trouble> {
        while !self.window.has_room() {
            self.next_answer().await?;
        }
        sync.wrote = true;
        self.window.issue(marker, ops, Tag { indices: Vec::new(), last: false });
        Ok(())
    }

    async fn next_answer(&mut self) -> std::result::Result<(), Trouble> {
        self.window.next().await.map_err(Trouble::Again)?;
        self.losses = 0;
        Ok(())
    }

    async fn flush(&mut self) -> std::result::Result<(), Trouble> {
        while !self.window.is_empty() {
            self.next_answer().await?;
        }
        Ok(())
    }

    /// After a failure in the middle of a sync. What of it is applied need not be known: the next attempt compares. Only
    /// the marker's version must be.
    async fn settle_sync(&mut self, failure: Failure) {
        match failure {
            Failure::ForeignWrite { .. } => {
                self.saw_foreign_write();
                drop(self.window.drain().await);
            }
            Failure::Unknown(error) if error.cause() == Some(UnknownCause::ConnectionLost) => {
                drop(self.window.drain().await);
                self.losses += 1;
                self.pause_after_losses().await;
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
