//! Everything under Kafka's roots, compared with the image, reading only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::image::MetadataImage;
use metadata_core::projection::Comparison;

use crate::chain::actual_znodes;
use crate::chain::claim::observe;
use crate::client::ZkSession;
use crate::compare::{CompareContext, Comparer};
use crate::error::zk_error;
use crate::project::{Entity, EntityKind, ExpectedZnode, ProjectionContext, Projector};
use crate::read::{BulkReader, ReadCounters};
use crate::store::ZkStoreOptions;
use crate::znode::Znode;
use crate::znode::path::{self, ROOTS};

/// Entities compared together: what a comparison holds of the tree at a time.
const ENTITIES_PER_CHUNK: usize = 200;

pub(crate) async fn compare(
    session: &Arc<dyn ZkSession>,
    counters: &Arc<ReadCounters>,
    options: &ZkStoreOptions,
    image: &MetadataImage,
    differences_max: usize,
) -> Result<Comparison> {
    // Behind everything that was acknowledged: a stale follower must not look like a divergence.
    session.sync("/").await.map_err(|error| zk_error("sync before the comparison", error))?;
    let claimed = observe(session).await?.controller_epoch.ok_or_else(|| {
        Error::not_applied(ErrorKind::Invalid, "there is no /controller_epoch: this is not a Kafka cluster's ZooKeeper")
    })?;
    let context = ProjectionContext {
        zk_epoch: claimed.epoch,
        secret: options.secret.clone(),
        secure: options.secure,
        notify: false,
    };
    let projector = Projector::new(image, &context);
    let reader = BulkReader::new(Arc::clone(session), Arc::clone(counters));
    let mut comparer = Comparer::new(CompareContext::from(&context), differences_max);
    for kind in EntityKind::ALL.into_iter().filter(|kind| *kind != EntityKind::Containers) {
        let mut entities: BTreeSet<Entity> = projector.entities(kind).collect();
        for parent in kind.parents() {
            let names = reader.children(&parent).await?;
            entities.extend(names.iter().filter_map(|name| Entity::at(&format!("{parent}/{name}"))));
        }
        let entities: Vec<Entity> = entities.into_iter().collect();
        for chunk in entities.chunks(ENTITIES_PER_CHUNK) {
            let mut actual = actual_znodes(&reader, chunk).await?;
            for entity in chunk {
                let found = actual.remove(entity).unwrap_or_default();
                compare_one(&mut comparer, projector.expected(entity), found);
            }
        }
    }
    // The rest: containers, and whatever belongs to no entity.
    let rest = reader
        .walk(ROOTS.iter().map(|root| (*root).to_owned()).collect(), |path| {
            matches!(Entity::at(path), None | Some(Entity::Containers))
        })
        .await?;
    let rest = rest.into_iter().filter(|(path, _)| path != path::PRODUCER_IDS).collect();
    compare_one(&mut comparer, projector.expected(&Entity::Containers), rest);
    let (mut comparison, warnings) = comparer.finish();
    for warning in warnings {
        tracing::warn!(warning, "comparison");
    }
    comparison.differences.sort_by(|one, other| one.entity.cmp(&other.entity));
    Ok(comparison)
}

fn compare_one(comparer: &mut Comparer, expected: Vec<ExpectedZnode>, mut found: BTreeMap<String, Znode>) {
    for node in &expected {
        let candidate = found.remove(&*node.path);
        comparer.znode(&node.path, Some(node), candidate.as_ref());
    }
    for (path, znode) in &found {
        comparer.znode(path, None, Some(znode));
    }
}
