//! Compares every znode with an image, and shows what differs.

use std::collections::BTreeMap;
use std::time::Duration;

use metadata_core::id::ZkControllerEpoch;
use metadata_core::image::MetadataImage;
use metadata_core::projection::Projection as _;
use store_zk::ZkStore;
use store_zk::client::config::ZkSettings;
use store_zk::client::{ReadOutcome, ZkConnector, ZkRead};
use store_zk::project::{Entity, ProjectionContext, Projector};
use store_zk::znode::path;
use tokio::time::interval;

use super::report::VerifyReport;
use super::secret::secret_of;
use crate::cli::Failure;
use crate::control::Reporter;

/// What a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Showing {
    /// List so many differences; all are counted.
    pub differences_max: usize,
    /// Show passwords and keys as they are.
    pub secrets: bool,
}

/// A ZooKeeper to compare with.
#[derive(Clone, Copy)]
pub struct Compared<'a> {
    /// It, as a store.
    pub store: &'a ZkStore,
    /// It, to look at single znodes.
    pub connector: &'a dyn ZkConnector,
    /// What the configuration says of it.
    pub settings: &'a ZkSettings,
}

/// Compares everything under Kafka's roots with `image`, in a log that ends at `log_end_offset` (exclusive). Reads only.
/// ZooKeeper must stand still meanwhile.
///
/// # Errors
/// ZooKeeper can't be read. A difference is no error.
pub async fn compare(
    zookeeper: Compared<'_>,
    image: &MetadataImage,
    log_end_offset: i64,
    showing: Showing,
    reporter: &Reporter,
) -> Result<VerifyReport, Failure> {
    let store = zookeeper.store;
    let before = store.read_totals().znodes;
    let mut comparing = store.compare(image, showing.differences_max);
    let mut tick = interval(Duration::from_millis(500));
    let compared = loop {
        tokio::select! {
            compared = &mut comparing => break compared,
            _ = tick.tick() => {
                reporter.report(store.read_totals().znodes.saturating_sub(before), Some(estimate(image)), "znodes");
            }
        }
    };
    let compared = compared.map_err(|error| Failure::from(error).while_doing("can't compare"))?;
    let context = context(zookeeper.settings);
    let mut report = VerifyReport::of(compared, image, log_end_offset);
    let unrepresentable = Projector::new(image, &context).unrepresentable();
    report.unrepresentable = unrepresentable.iter().map(|it| format!("{}: {}", it.entity, it.reason)).collect();
    if showing.secrets && !report.differences.is_empty() {
        show_as_it_is(zookeeper.connector, image, context, &mut report).await?;
    }
    Ok(report)
}

/// About how many znodes will be read: topics and partitions are nearly all of them in any large cluster.
pub(super) fn estimate(image: &MetadataImage) -> u64 {
    let (topics, partitions) = (image.topics().len() as u64, image.topics().partition_count() as u64);
    3 * topics + 2 * partitions
}

pub(super) fn context(settings: &ZkSettings) -> ProjectionContext {
    ProjectionContext {
        // Replaced by the claimed one where it is shown; nothing else depends on it.
        zk_epoch: ZkControllerEpoch(0),
        secret: secret_of(settings),
        secure: settings.secure_acls,
        notify: false,
    }
}

/// Replaces both sides of each listed difference by the data themselves.
async fn show_as_it_is(
    connector: &dyn ZkConnector,
    image: &MetadataImage,
    mut context: ProjectionContext,
    report: &mut VerifyReport,
) -> Result<(), Failure> {
    let doing = |error| Failure::from(error).while_doing("can't read the znodes that differ");
    let session = connector.connect().await?;
    let mut reads = vec![ZkRead::Data(path::CONTROLLER_EPOCH.to_owned())];
    reads.extend(report.differences.iter().map(|difference| ZkRead::Data(difference.path.clone())));
    let mut outcomes = session.multi_read(reads).await.map_err(doing)?.into_iter();
    let mut data = || match outcomes.next() {
        Some(ReadOutcome::Data(node)) => Some(String::from_utf8_lossy(&node.data).into_owned()),
        _ => None,
    };
    let epoch = data().and_then(|text| text.parse().ok()).unwrap_or_default();
    context.zk_epoch = ZkControllerEpoch(epoch);
    let projector = Projector::new(image, &context);
    // Neighbours in the list are often of one entity.
    let mut expected: BTreeMap<String, Option<String>> = BTreeMap::new();
    for difference in &mut report.differences {
        difference.found = data();
        if !expected.contains_key(&difference.path)
            && let Some(entity) = Entity::at(&difference.path)
        {
            expected.extend(projector.expected(&entity).into_iter().map(|znode| {
                let data = znode.data.as_deref().map(|data| String::from_utf8_lossy(data).into_owned());
                (znode.path.to_string(), Some(data.unwrap_or_default()))
            }));
        }
        difference.expected = expected.get(&difference.path).cloned().flatten();
    }
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }
    Ok(())
}
