//! A controller's directory that is written whole: all metadata as one snapshot, and no log yet.
//!
//! Kafka boots from a snapshot without any segment (`KafkaMetadataLog.scala`: a log that ends before its newest snapshot
//! starts anew at that snapshot), and so do the brokers that follow the controller. Nothing here needs Raft's own log: the
//! directory is for Kafka's controllers.
//!
//! `meta.properties` makes a directory a formatted one, and comes last: its content is written first of all under another
//! name, which marks the directory as begun, and gets its own name when everything else is on the disk. So a directory is
//! either not formatted, and recognised as begun, or whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::Position;
use metadata_core::image::MetadataImage;

use super::layout::{
    BOOTSTRAP_CHECKPOINT, LOCK, Layout, META_PROPERTIES, PARTITION_DIR, SnapshotId, partition_metadata,
};
use super::lock::DirectoryLock;
use super::properties::MetaProperties;
use super::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter, write_snapshot};
use crate::disk::{Disk, During};
use crate::format::bootstrap_records;

/// The content of `meta.properties` until the directory is whole.
const BEGUN: &str = "meta.properties.begun";

/// What a file system makes by itself at the root of a disk.
const LOST_AND_FOUND: &str = "lost+found";

/// What lies in a directory that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupancy {
    /// Nothing: the directory is empty, or not there.
    Free,
    /// What an interrupted [`write_whole`] left. It can be done anew.
    Begun,
    /// A formatted directory.
    Formatted(MetaProperties),
    /// Something else; one of the names.
    Foreign(String),
}

/// What lies in a directory.
///
/// # Errors
/// `Unavailable`: it can't be read. `Invalid`: its `meta.properties` is not Kafka's.
pub fn occupancy(dir: &Path) -> Result<Occupancy> {
    if let Some(properties) = MetaProperties::read(&dir.join(META_PROPERTIES))? {
        return Ok(Occupancy::Formatted(properties));
    }
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupancy::Free),
        entries => entries.during("list", dir)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.during("list", dir)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name != LOCK && name != LOST_AND_FOUND);
    names.sort();
    if names.is_empty() {
        return Ok(Occupancy::Free);
    }
    let begun = names.iter().any(|name| name == BEGUN);
    let unfinished = format!("{BOOTSTRAP_CHECKPOINT}.part");
    let ours = [BEGUN, BOOTSTRAP_CHECKPOINT, &unfinished, PARTITION_DIR];
    let foreign = names.into_iter().find(|name| !begun || !ours.contains(&name.as_str()));
    Ok(foreign.map_or(Occupancy::Begun, Occupancy::Foreign))
}

/// The files that [`write_whole`] writes for an image at `position`, below the directory.
pub fn files_of_whole(position: Position) -> Vec<PathBuf> {
    let partition = Path::new(PARTITION_DIR);
    vec![
        META_PROPERTIES.into(),
        BOOTSTRAP_CHECKPOINT.into(),
        partition.join("partition.metadata"),
        partition.join(SnapshotId::from(position).file_name()),
    ]
}

/// Makes `dir` the directory of the controller in `properties`, whose log begins with `image` as a snapshot. The same image
/// gives the same snapshot, byte for byte. The snapshot is read back before the directory counts as formatted.
///
/// # Errors
/// `Invalid`: the directory is not free, the image's position is that of an empty log, or its metadata version can't hold it.
/// `Unavailable`: it can't be written, or another process has it. `Corrupt`: what is read back is not what was written.
pub fn write_whole(dir: &Path, properties: &MetaProperties, image: &MetadataImage) -> Result<()> {
    write_on(&Disk::default(), dir, properties, image)
}

fn write_on(disk: &Disk, dir: &Path, properties: &MetaProperties, image: &MetadataImage) -> Result<()> {
    let refuse = |message: String| Err(Error::not_applied(ErrorKind::Invalid, message));
    let position = image.position();
    if position.epoch.0 < 1 || position.end_offset.0 < 1 {
        return refuse(format!("a snapshot at {position} is that of an empty log, which Kafka would not read"));
    }
    let Some(version) = image.features().metadata_version() else {
        return refuse("the metadata have no metadata version".to_owned());
    };
    disk.create_dir(dir)?;
    let layout = Layout::new(dir);
    let _lock = DirectoryLock::acquire(&layout.lock())?;
    match occupancy(dir)? {
        Occupancy::Free => {}
        Occupancy::Begun => clear(disk, &layout)?,
        Occupancy::Formatted(_) => return refuse(format!("{} is formatted already", dir.display())),
        Occupancy::Foreign(name) => return refuse(format!("{} holds {name}; use an empty directory", dir.display())),
    }
    let begun = dir.join(BEGUN);
    let file = disk.create(&begun)?;
    file.write_at(properties.to_text().as_bytes(), 0)?;
    file.sync()?;
    disk.sync_dir(dir)?;
    disk.create_dir(&layout.partition())?;
    disk.replace(&layout.partition_metadata(), partition_metadata().as_bytes())?;
    let mut bootstrap = SnapshotWriter::create_bootstrap(disk, layout.bootstrap_checkpoint(), image.timestamp())
        .map_err(not_written)?;
    bootstrap_records(version).iter().try_for_each(|record| bootstrap.push(record)).map_err(not_written)?;
    bootstrap.finish().map_err(not_written)?;
    let id = write_snapshot(disk, &layout.partition(), image).map_err(not_written)?;
    let path = layout.partition().join(id.file_name());
    let read_back = SnapshotReader::open(&path).and_then(|reader| reader.load(id.position())).map_err(Error::from)?;
    if !read_back.same_metadata(image) {
        let message = format!("{} does not hold what was written into it; try again", path.display());
        return Err(Error::not_applied(ErrorKind::Corrupt, message));
    }
    Ok(disk.rename(&begun, &layout.meta_properties())?)
}

fn not_written(error: SnapshotError) -> Error {
    let kind = match &error {
        SnapshotError::Disk(_) => ErrorKind::Unavailable,
        SnapshotError::Record { .. } | SnapshotError::Unwritable(_) => ErrorKind::Invalid,
    };
    Error::not_applied(kind, error.to_string())
}

/// Takes away what an interrupted write left; what marks it as such goes last.
fn clear(disk: &Disk, layout: &Layout) -> Result<()> {
    let partition = layout.partition();
    if partition.is_dir() {
        fs::remove_dir_all(&partition).during("remove", &partition)?;
    }
    let mut unfinished = layout.bootstrap_checkpoint().into_os_string();
    unfinished.push(".part");
    disk.remove(Path::new(&unfinished))?;
    disk.remove(&layout.bootstrap_checkpoint())?;
    disk.sync_dir(layout.root())?;
    disk.remove(&layout.root().join(BEGUN))?;
    Ok(disk.sync_dir(layout.root())?)
}

#[cfg(test)]
mod tests {
    use metadata_core::id::{DirectoryId, KRaftLeaderEpoch, NodeId, Offset, TimestampMs, TopicId};
    use metadata_core::image::MetadataDelta;
    use metadata_core::metadata_version::MetadataVersion;
    use metadata_core::record::{PartitionRecord, TopicRecord, VersionedRecord, ZkMigrationState};
    use metadata_core::uuid::Uuid;

    use super::*;
    use crate::log::{Dump, DumpItem};

    fn image(topics: u64) -> MetadataImage {
        let mut records = bootstrap_records(MetadataVersion::V3_9_IV0);
        records.push(VersionedRecord::new(ZkMigrationState::PostMigration.to_record(), 0));
        for number in 1..=topics {
            let topic_id = TopicId(Uuid::from_u64_pair(7, number));
            records.push(VersionedRecord::new(
                TopicRecord { name: format!("t{number}"), topic_id, ..Default::default() },
                0,
            ));
            let replicas = vec![NodeId(1), NodeId(2)];
            let partition = PartitionRecord { topic_id, isr: replicas.clone(), replicas, ..Default::default() };
            records.push(VersionedRecord::new(partition, 0));
        }
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        delta.replay_all(&records).unwrap();
        let end_offset = Offset(i64::try_from(records.len()).unwrap());
        delta.apply(Position { epoch: KRaftLeaderEpoch(1), end_offset }, TimestampMs(1_700_000_000_000))
    }

    fn properties() -> MetaProperties {
        let directory_id = Some(DirectoryId(Uuid::from_u64_pair(1 << 40, 9)));
        MetaProperties { node_id: NodeId(3000), cluster_id: "ours".to_owned(), directory_id }
    }

    fn bytes(dir: &Path, image: &MetadataImage) -> Vec<Vec<u8>> {
        files_of_whole(image.position()).iter().map(|file| fs::read(dir.join(file)).unwrap()).collect()
    }

    #[test]
    fn the_same_image_gives_the_same_bytes_and_is_read_back() {
        let outer = tempfile::tempdir().unwrap();
        let image = image(3000);
        let [one, other] = ["one", "other"].map(|name| outer.path().join(name));
        for dir in [&one, &other] {
            write_whole(dir, &properties(), &image).unwrap();
        }
        assert_eq!(bytes(&one, &image), bytes(&other, &image));
        assert_eq!(occupancy(&one).unwrap(), Occupancy::Formatted(properties()));
        let snapshot = one.join(&files_of_whole(image.position())[3]);
        for path in [&snapshot, &one] {
            let mut records = 0;
            for item in Dump::open(path).unwrap() {
                match item.unwrap() {
                    DumpItem::Batch(batch) if !batch.header.control => records += batch.records.len(),
                    DumpItem::Batch(_) => {}
                    DumpItem::Damage(damage) => panic!("{damage}"),
                }
            }
            assert_eq!(records, 6002, "{}", path.display());
        }
        let written: Vec<_> = fs::read_dir(&one).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(written.len(), 4, "nothing else is left: {written:?}");
    }

    /// What was done at any moment is told from a whole directory, and done anew.
    #[test]
    fn a_write_that_was_cut_off_anywhere_is_recognised_and_done_anew() {
        let image = image(5);
        let mut room = 0;
        let mut begun = 0;
        loop {
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join("dir");
            if write_on(&Disk::with_room(room), &dir, &properties(), &image).is_ok() {
                assert!(begun > 5, "the loop saw writes that were cut off: {begun}");
                break;
            }
            match occupancy(&dir).unwrap() {
                Occupancy::Begun => begun += 1,
                Occupancy::Free => {}
                other => panic!("{other:?} with room for {room} bytes"),
            }
            // What a killed process leaves beside it.
            fs::create_dir_all(dir.join(PARTITION_DIR)).unwrap();
            fs::write(dir.join(PARTITION_DIR).join("00000000000000000001-0000000001.checkpoint.part"), "x").unwrap();
            fs::write(dir.join(BEGUN), "").unwrap();
            write_whole(&dir, &properties(), &image).unwrap();
            assert_eq!(bytes(&dir, &image).len(), 4);
            assert_eq!(fs::read_dir(dir.join(PARTITION_DIR)).unwrap().count(), 2);
            room += 41;
        }
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path();
        assert_eq!(occupancy(&dir.join("absent")).unwrap(), Occupancy::Free);
        fs::write(dir.join(LOCK), "").unwrap();
        fs::create_dir(dir.join(LOST_AND_FOUND)).unwrap();
        assert_eq!(occupancy(dir).unwrap(), Occupancy::Free);
        for (name, with_mark) in [("thesis.tex", true), ("thesis.tex", false), (BOOTSTRAP_CHECKPOINT, false)] {
            fs::write(dir.join(name), "x").unwrap();
            if with_mark {
                fs::write(dir.join(BEGUN), "").unwrap();
            }
            assert_eq!(occupancy(dir).unwrap(), Occupancy::Foreign(name.to_owned()));
            let refused = write_whole(dir, &properties(), &image(1)).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
            fs::remove_file(dir.join(name)).unwrap();
            let _ = fs::remove_file(dir.join(BEGUN));
        }
        write_whole(dir, &properties(), &image(1)).unwrap();
        assert!(write_whole(dir, &properties(), &image(1)).unwrap_err().to_string().contains("formatted already"));
    }

    #[test]
    fn an_image_of_nowhere_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let nowhere = image(1).at(Position::START, TimestampMs(0));
        let refused = write_whole(outer.path(), &properties(), &nowhere).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0, "nothing was written");
    }
}
