//! Makes a data directory, as `kafka-storage format` does.

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{FeatureLevelRecord, VersionedRecord};

use crate::disk::Disk;
use crate::log::MetaProperties;
use crate::log::layout::Layout;
use crate::log::lock::DirectoryLock;
use crate::log::properties::random_directory_id;
use crate::log::snapshot::SnapshotWriter;
use crate::log::writer::segment_names;
use crate::quorum::propose::now;
use crate::sidecar::Sidecar;

/// The records that Kafka's tool formats a directory with: the metadata version (`BootstrapMetadata.java`).
pub(crate) fn bootstrap_records(metadata_version: MetadataVersion) -> Vec<VersionedRecord> {
    let feature = FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: metadata_version.level(),
        ..Default::default()
    };
    vec![VersionedRecord::new(feature, 0)]
}

pub(crate) fn format(
    disk: &Disk,
    layout: &Layout,
    node_id: NodeId,
    cluster_id: &str,
    metadata_version: MetadataVersion,
) -> Result<MetaProperties> {
    let refuse = |message: String| Err(Error::not_applied(ErrorKind::Invalid, message));
    if node_id.known().is_none() {
        return refuse(format!("{node_id} is no node id: it must not be negative"));
    }
    if cluster_id.is_empty() {
        return refuse("the cluster id is empty".to_owned());
    }
    if metadata_version < MetadataVersion::V3_3_IV0 {
        let least = MetadataVersion::V3_3_IV0;
        return refuse(format!("a log can't be started at metadata version {metadata_version}, only from {least} on"));
    }
    disk.create_dir(layout.root())?;
    let _lock = DirectoryLock::acquire(&layout.lock())?;
    let path = layout.meta_properties();
    if MetaProperties::read(&path)?.is_some() {
        return refuse(format!("{} is formatted already: {} is there", layout.root().display(), path.display()));
    }
    if holds_a_log(layout)? {
        let partition = layout.partition();
        return refuse(format!("{} holds a log of someone else's; use an empty data directory", partition.display()));
    }
    disk.create_dir(&layout.partition())?;
    disk.create_dir(&layout.raft())?;
    write_bootstrap(disk, layout, metadata_version)?;
    write_sidecar(disk, layout)?;
    // Last, since it makes the directory a formatted one.
    let properties =
        MetaProperties { node_id, cluster_id: cluster_id.to_owned(), directory_id: Some(random_directory_id()?) };
    properties.write(disk, &path)?;
    Ok(properties)
}

fn write_bootstrap(disk: &Disk, layout: &Layout, metadata_version: MetadataVersion) -> Result<()> {
    let write = || {
        let mut writer = SnapshotWriter::create_bootstrap(disk, layout.bootstrap_checkpoint(), now())?;
        for record in bootstrap_records(metadata_version) {
            writer.push(&record)?;
        }
        writer.finish()
    };
    write().map_err(|error| Error::not_applied(ErrorKind::Unavailable, error.to_string()))
}

/// Says that nothing was applied yet.
pub(crate) fn write_sidecar(disk: &Disk, layout: &Layout) -> Result<()> {
    let written = Sidecar::default().write(disk, &layout.raft());
    written.map_err(|error| Error::not_applied(ErrorKind::Unavailable, error.to_string()))
}

/// Whether there are segments or snapshots.
pub(crate) fn holds_a_log(layout: &Layout) -> Result<bool> {
    let dir = layout.partition();
    if !dir.is_dir() {
        return Ok(false);
    }
    let snapshots = crate::log::snapshot::list_snapshots(&dir)?;
    Ok(!snapshots.is_empty() || !segment_names(&dir)?.is_empty())
}
