//! What a migration leaves, in a form in which two of them can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use metadata_core::id::{BrokerEpoch, IncarnationId, NodeId};
use metadata_core::image::{BrokerRegistration, MetadataDelta, MetadataImage, ReplayError};
use metadata_core::record::UnregisterBrokerRecord;
use serde_json::Value;
use store_zk::client::config::ZkSettings;
use store_zk::client::{ReadOutcome, ZkRead, ZkSession};
use store_zk::znode::path::{
    ACL_CHANGES, CONFIG_CHANGES, CONTROLLER, CONTROLLER_EPOCH, EXTENDED_ACL_CHANGES, MIGRATION, Place, TOKEN_CHANGES,
};

use crate::cli::Failure;
use crate::controller::LogOnDisk;

/// Reads of one request.
const READS_PER_REQUEST: usize = 500;

/// All znodes and the image.
pub(super) struct EndState {
    znodes: BTreeMap<String, Value>,
    /// Of every znode, the transaction that wrote it last.
    written: BTreeMap<String, i64>,
    image: MetadataImage,
}

impl EndState {
    /// Reads both. Nobody must write to ZooKeeper.
    ///
    /// # Errors
    /// One of them can't be read.
    pub(super) async fn read(config: &Path, data_dir: &Path) -> Result<Self, Failure> {
        let settings = ZkSettings::load(config)
            .map_err(|error| Failure::failed("the configuration can't be used").because(&error))?;
        let session = settings.client.connector()?.connect().await?;
        let (znodes, written) = tree(session.as_ref()).await?;
        session.close().await?;
        Ok(Self { znodes, written, image: LogOnDisk::read(data_dir, None)?.image })
    }

    pub(super) fn znodes(&self) -> usize {
        self.znodes.len()
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.written.contains_key(path)
    }

    pub(super) fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// What was written to ZooKeeper since an earlier look, whatever it was.
    pub(super) fn written_since(&self, earlier: &Self) -> Vec<String> {
        let paths: BTreeSet<&String> = self.written.keys().chain(earlier.written.keys()).collect();
        let moved = paths.into_iter().filter(|path| self.written.get(*path) != earlier.written.get(*path));
        moved.cloned().collect()
    }

    /// How this one differs from another: paths, and whether the images do.
    pub(super) fn differences_from(&self, expected: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        for (path, znode) in &expected.znodes {
            match self.znodes.get(path) {
                None => differences.push(format!("{path}: it is missing")),
                Some(found) if found != znode => differences.push(format!("{path}: its data or its version differ")),
                Some(_) => {}
            }
        }
        let beyond = self.znodes.keys().filter(|path| !expected.znodes.contains_key(*path));
        differences.extend(beyond.map(|path| format!("{path}: the undisturbed run has none")));
        match (registered(&self.image), registered(&expected.image)) {
            (Ok((brokers, image)), Ok((expected_brokers, expected_image))) => {
                if !image.same_metadata(&expected_image) {
                    differences.push("the images in the logs differ".to_owned());
                }
                if brokers != expected_brokers {
                    differences.push(format!(
                        "the brokers in the logs differ: {brokers:?}, in the undisturbed run {expected_brokers:?}"
                    ));
                }
            }
            (Err(error), _) | (_, Err(error)) => differences.push(format!("an image can't be compared: {error}")),
        }
        differences
    }
}

/// The registered brokers without what differs from cluster to cluster (the offset that is the epoch, and the id that comes
/// of the transaction behind the znode), and the image without them.
fn registered(image: &MetadataImage) -> Result<(BTreeMap<NodeId, BrokerRegistration>, MetadataImage), ReplayError> {
    let mut without = MetadataDelta::new(image);
    let mut brokers = BTreeMap::new();
    for (id, broker) in image.cluster().brokers() {
        let unregistered =
            UnregisterBrokerRecord { broker_id: id, broker_epoch: broker.epoch, ..UnregisterBrokerRecord::default() };
        without.replay(&unregistered.into())?;
        let broker = BrokerRegistration {
            epoch: BrokerEpoch::default(),
            incarnation_id: IncarnationId::default(),
            ..BrokerRegistration::clone(broker)
        };
        brokers.insert(id, broker);
    }
    Ok((brokers, without.apply(image.position(), image.timestamp())))
}

/// Every znode by path, with all that must not depend on how often somebody began anew; and who wrote it last.
async fn tree(session: &dyn ZkSession) -> Result<(BTreeMap<String, Value>, BTreeMap<String, i64>), Failure> {
    let (mut found, mut written) = (BTreeMap::new(), BTreeMap::new());
    let mut level = vec!["/".to_owned()];
    while !level.is_empty() {
        let mut children = Vec::new();
        for paths in level.chunks(READS_PER_REQUEST / 2) {
            let reads = paths.iter().flat_map(|path| [ZkRead::Data(path.clone()), ZkRead::Children(path.clone())]);
            let outcomes = session.multi_read(reads.collect()).await?;
            for (path, outcomes) in paths.iter().zip(outcomes.chunks(2)) {
                let [ReadOutcome::Data(node), ReadOutcome::Children(names)] = outcomes else {
                    return Err(Failure::failed(format!("{path} went while it was read")));
                };
                let parent = if path == "/" { "" } else { path };
                children.extend(names.iter().map(|name| format!("{parent}/{name}")));
                written.insert(path.clone(), node.stat.mzxid);
                if let Some(shown) = shown(path, &node.data, node.stat.version.0) {
                    found.insert(path.clone(), shown);
                }
            }
        }
        level = children;
    }
    Ok((found, written))
}

/// What of a znode is compared. The three that count claims and offsets are not, and neither is the claim's epoch in a
/// partition's state; but the state's version is: it is the partition's epoch to ZooKeeper-mode brokers. Change
/// notifications are not: whoever has just claimed makes them, until he has seen that no broker is there to read them.
fn shown(path: &str, data: &[u8], version: i32) -> Option<Value> {
    let is_below = |parent: &&str| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'));
    let is_notification = [CONFIG_CHANGES, ACL_CHANGES, EXTENDED_ACL_CHANGES, TOKEN_CHANGES].iter().any(is_below);
    if is_notification || [CONTROLLER, CONTROLLER_EPOCH, MIGRATION].contains(&path) {
        return None;
    }
    let text = || Value::String(String::from_utf8_lossy(data).into_owned());
    if !matches!(Place::of(path), Place::PartitionState(..)) {
        return Some(text());
    }
    let mut state: Value = serde_json::from_slice(data).unwrap_or_else(|_| text());
    if let Some(object) = state.as_object_mut() {
        object.remove("controller_epoch");
    }
    Some(Value::Array(vec![state, version.into()]))
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{Position, TimestampMs};
    use metadata_core::record::RegisterBrokerRecord;

    use super::*;

    fn state(znodes: &[(&str, &str)]) -> EndState {
        let shown =
            znodes.iter().filter_map(|(path, data)| Some(((*path).to_owned(), shown(path, data.as_bytes(), 3)?)));
        let written = znodes.iter().map(|(path, data)| ((*path).to_owned(), data.len() as i64)).collect();
        EndState { znodes: shown.collect(), written, image: MetadataImage::default() }
    }

    #[test]
    fn only_what_counts_claims_may_differ() {
        let partition = "/brokers/topics/a/partitions/0/state";
        let expected = state(&[(partition, r#"{"leader":1,"controller_epoch":4}"#), ("/migration", "1"), ("/b", "x")]);
        let same = state(&[
            (partition, r#"{"controller_epoch":9,"leader":1}"#),
            ("/migration", "2"),
            ("/b", "x"),
            ("/config/changes/config_change_0000000002", "x"),
        ]);
        assert_eq!(same.differences_from(&expected), [""; 0]);
        let other = state(&[(partition, r#"{"leader":2,"controller_epoch":4}"#), ("/c", "x")]);
        let differences = other.differences_from(&expected);
        assert_eq!(differences.len(), 3, "{differences:?}");
    }
    #[test]
    fn whatever_is_written_made_or_removed_later_is_named() {
        let earlier = state(&[("/migration", "1"), ("/b", "x"), ("/gone", "x")]);
        let later = state(&[("/migration", "22"), ("/b", "x"), ("/config/changes/config_change_0000000002", "x")]);
        let written = later.written_since(&earlier);
        assert_eq!(written, ["/config/changes/config_change_0000000002", "/gone", "/migration"]);
        assert_eq!(earlier.written_since(&earlier), [""; 0]);
    }

    #[test]
    fn brokers_are_the_same_at_other_offsets_and_not_when_one_is_fenced() {
        let with = |epoch, fenced| {
            let mut delta = MetadataDelta::new(&MetadataImage::empty());
            let (broker_id, broker_epoch) = (NodeId(1), BrokerEpoch(epoch));
            let broker = RegisterBrokerRecord { broker_id, broker_epoch, fenced, ..Default::default() };
            delta.replay(&broker.into()).unwrap();
            EndState { image: delta.apply(Position::START, TimestampMs(0)), ..state(&[]) }
        };
        assert_eq!(with(7, true).differences_from(&with(9, true)), [""; 0]);
        for other in [with(7, false), state(&[])] {
            assert_eq!(other.differences_from(&with(7, true)).len(), 1);
        }
    }
}
