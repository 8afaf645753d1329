//! What an export is to write: read, and decided.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fencing::QuorumIdentity;
use metadata_core::error::ErrorKind;
use metadata_core::id::NodeId;
use metadata_core::record::VersionedRecord;
use metadata_core::store::MetadataStore as _;
use store_kraft::log::{BrokerDir, MetaProperties, Occupancy, occupancy};
use store_zk::client::config::PasswordEncoderSettings;
use store_zk::{ZkStore, ZkStoreOptions};

use super::Args;
use crate::cli::{Failure, ZooKeeper};
use crate::export::settings::{self, BrokerConfig};
use crate::export::{
    BrokerLogs, Conversion, JudgedBrokers, Prepared, Stopped, derived, judge_brokers, look, place, prepare,
};

/// Warnings of the import that are told, and kept in the object.
const WARNINGS_MAX: usize = 100;

/// What is to be written, all of it decided.
pub(super) struct Plan {
    pub(super) cluster_id: String,
    pub(super) properties: MetaProperties,
    pub(super) prepared: Prepared,
    pub(super) judged: JudgedBrokers,
    pub(super) warnings: Vec<String>,
    pub(super) warning_count: u64,
    pub(super) pending_deletions: u64,
    pub(super) configs: BrokerConfigs,
}

/// Configuration files, by whose they are.
pub(super) type BrokerConfigs = Vec<(NodeId, BrokerConfig)>;

/// Reads everything and decides everything. Nothing is written.
pub(super) async fn plan(args: &Args, zookeeper: &ZooKeeper) -> Result<Plan, Failure> {
    let stopped = look(zookeeper.connector.as_ref()).await?;
    let (brokers, configs) = brokers(args)?;
    let mut reasons = stopped.reasons.clone();
    reasons.extend(target_reason(&args.data_dir)?);
    let cluster_id = stopped.seen.cluster_id.clone();
    let read = load(args, zookeeper, &cluster_id).await;
    let (records, store) = match read {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::Invalid => {
            // What can't be imported, a line each behind a heading.
            let text = error.to_string();
            let problems: Vec<String> = text.lines().skip(1).map(|line| line.trim().to_owned()).collect();
            reasons.extend(if problems.is_empty() { vec![text] } else { problems });
            return Err(refused(args, &stopped, reasons));
        }
        Err(error) => return Err(Failure::from(error).while_doing("can't read ZooKeeper's metadata")),
    };
    let prepared = prepare(records, args.metadata_version, stopped.time).map_err(contradiction)?;
    let node_id = NodeId(args.node_id);
    let mut judged = judge_brokers(&brokers, &prepared.image, &cluster_id);
    let has_replicas = prepared.image.topics().all_partitions().any(|(_, it)| it.replicas.contains(&node_id));
    if has_replicas || brokers.iter().any(|broker| broker.id == node_id) {
        reasons.push(format!("node id {node_id} is a broker's: choose another --node-id"));
    }
    if let Err(unwritable) = prepared.image.to_records() {
        reasons.push(unwritable.to_string());
    }
    reasons.append(&mut judged.problems);
    if !reasons.is_empty() {
        return Err(refused(args, &stopped, reasons));
    }
    // An id that is not in the directory yet is true only if it is put there.
    let known = |conversion: &&Conversion| args.convert_brokers || conversion.is_done;
    let ids: Vec<_> = judged.conversions.iter().filter(known).map(|conversion| conversion.directory_id).collect();
    let image = place(&prepared.image, |topic_id, partition, broker| {
        judged.places.get(&(topic_id, partition, broker)).filter(|id| ids.contains(id)).copied()
    });
    let prepared = Prepared { image: image.map_err(contradiction)?, ..prepared };
    let imported = store.last_import().unwrap_or_default();
    let warnings = stopped.notes.iter().cloned().chain(imported.warnings.iter().map(ToString::to_string));
    let directory_id = Some(derived(&["controller's directory", &cluster_id, &node_id.to_string()]));
    Ok(Plan {
        properties: MetaProperties { node_id, cluster_id: cluster_id.clone(), directory_id },
        cluster_id,
        prepared,
        judged,
        warnings: warnings.take(WARNINGS_MAX).collect(),
        warning_count: imported.warning_count + stopped.notes.len() as u64,
        pending_deletions: imported.manifest.pending_deletions,
        configs,
    })
}

fn refused(args: &Args, stopped: &Stopped, reasons: Vec<String>) -> Failure {
    Failure::blocked(format!(
        "cluster {} must not be exported into {}",
        stopped.seen.cluster_id,
        args.data_dir.display()
    ))
    .whys(reasons)
    .next("mend what is named, then run the same command again; nothing was written")
    .field("cluster_id", &stopped.seen.cluster_id)
}

fn contradiction(error: metadata_core::image::ReplayError) -> Failure {
    Failure::damaged("the metadata in ZooKeeper contradict each other").because(&error)
}

/// Why the directory can't be written into, if it can't.
fn target_reason(dir: &Path) -> Result<Option<String>, Failure> {
    let at = dir.display();
    Ok(match occupancy(dir).map_err(Failure::from)? {
        Occupancy::Free | Occupancy::Begun => None,
        Occupancy::Formatted(properties) => Some(format!(
            "{at} is formatted already, for node {} of cluster {}: name another --data-dir",
            properties.node_id, properties.cluster_id
        )),
        Occupancy::Foreign(name) => Some(format!("{at} is not empty, it holds {name}: name another --data-dir")),
    })
}

async fn load(
    args: &Args,
    zookeeper: &ZooKeeper,
    cluster_id: &str,
) -> metadata_core::error::Result<(Vec<VersionedRecord>, ZkStore)> {
    let quorum = QuorumIdentity { cluster_id: cluster_id.to_owned(), log_id: String::new() };
    let options = ZkStoreOptions {
        metadata_version: args.metadata_version,
        derives_topic_ids: args.make_topic_ids,
        secret: zookeeper.settings.password_encoder.as_ref().map(PasswordEncoderSettings::password_secret),
        ..ZkStoreOptions::new(quorum, [NodeId(args.node_id)].into())
    };
    let store = ZkStore::new(Arc::clone(&zookeeper.connector), options);
    let mut records = Vec::new();
    store.load(&mut records).await?;
    Ok((records, store))
}

/// The log directories that are named, looked at, and the configurations of brokers.
fn brokers(args: &Args) -> Result<(Vec<BrokerLogs>, BrokerConfigs), Failure> {
    let mut named: Vec<(NodeId, PathBuf)> = args.broker_dir.clone();
    let mut configs = Vec::new();
    for file in &args.broker_config {
        let unusable = |reason: String| Failure::failed("a broker's configuration can't be used").why(reason);
        let config = settings::read(file).map_err(unusable)?;
        let id = config.id().ok_or_else(|| {
            unusable(format!("{} has no broker.id", file.display()))
                .next("add broker.id: it is in meta.properties of the broker's log directories")
        })?;
        named.extend(config.log_dirs().into_iter().map(|dir| (id, dir)));
        configs.push((id, config));
    }
    let mut brokers: BTreeMap<NodeId, BTreeMap<PathBuf, BrokerDir>> = BTreeMap::new();
    for (id, path) in named {
        // One directory may be named in two ways.
        let path = path.canonicalize().map_err(|error| {
            Failure::failed(format!("{} of broker {id} can't be used", path.display()))
                .because(&error)
                .next("name a directory of its log.dirs that this user may read and write")
        })?;
        let dir = BrokerDir::look(&path).map_err(Failure::from)?;
        brokers.entry(id).or_default().insert(path, dir);
    }
    let brokers = brokers.into_iter().map(|(id, dirs)| BrokerLogs { id, dirs: dirs.into_values().collect() });
    Ok((brokers.collect(), configs))
}
