//! The log directories of a broker: what is found in one, and the two small files by which a broker in ZooKeeper mode
//! becomes one of KRaft.
//!
//! Looking takes no lock and changes nothing. Messages are never touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{DirectoryId, NodeId, PartitionId, TopicId};
use metadata_core::uuid::Uuid;

use super::layout::{META_PROPERTIES, PARTITION_DIR};
use super::lock::DirectoryLock;
use super::properties::{MetaProperties, MetaPropertiesVersion};
use crate::disk::{Disk, During};

/// What `meta.properties` of version 0 is kept as.
pub const BACKUP: &str = "meta.properties.zk-backup";

/// Kafka's name of the file with the topic's id.
const PARTITION_METADATA: &str = "partition.metadata";

/// Kafka's marks of a log that is none any more, or none yet (`LocalLog.scala`, `UnifiedLog.scala`).
const MARKS: [&str; 3] = ["-delete", "-future", "-stray"];

/// What lies in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerDir {
    /// Where it is.
    pub path: PathBuf,
    /// What its `meta.properties` says; `None` when there is none.
    pub properties: Option<(MetaPropertiesVersion, MetaProperties)>,
    /// The process that has it, for people.
    pub held_by: Option<String>,
    /// Its replicas, by name.
    pub replicas: Vec<ReplicaDir>,
    /// Directories of logs that were deleted, set aside, or are being moved here.
    pub marked: Vec<String>,
    /// Whether a metadata log lies in it.
    pub has_metadata_log: bool,
}

/// The directory of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaDir {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionId,
    /// The topic's id in `partition.metadata`; `None` when the file is missing.
    pub topic_id: Option<TopicId>,
}

impl ReplicaDir {
    /// The directory's name.
    pub fn name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }
}

impl BrokerDir {
    /// Looks at a log directory.
    ///
    /// # Errors
    /// `Unavailable`: it can't be read. `Invalid`: a `meta.properties` or `partition.metadata` is not Kafka's.
    pub fn look(path: &Path) -> Result<Self> {
        let mut dir = Self {
            path: path.to_owned(),
            properties: MetaProperties::read_versioned(&path.join(META_PROPERTIES))?,
            held_by: DirectoryLock::held_by(path)?,
            replicas: Vec::new(),
            marked: Vec::new(),
            has_metadata_log: false,
        };
        for entry in fs::read_dir(path).during("list", path)? {
            let entry = entry.during("list", path)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.path().is_dir() {
                continue;
            }
            if name == PARTITION_DIR {
                dir.has_metadata_log = true;
            } else if MARKS.iter().any(|mark| name.ends_with(mark)) {
                dir.marked.push(name);
            } else if let Some((topic, partition)) = replica_of(&name) {
                let topic_id = read_topic_id(&entry.path().join(PARTITION_METADATA))?;
                dir.replicas.push(ReplicaDir { topic: topic.to_owned(), partition, topic_id });
            }
        }
        dir.marked.sort();
        dir.replicas.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        Ok(dir)
    }
}

/// Topic and partition of a directory's name: `a-b-7` is partition 7 of `a-b`.
fn replica_of(name: &str) -> Option<(&str, PartitionId)> {
    let (topic, partition) = name.rsplit_once('-')?;
    let number: i32 = partition.parse().ok().filter(|number| *number >= 0)?;
    // `+7` and `007` are no names that Kafka gives.
    (!topic.is_empty() && partition == number.to_string()).then_some((topic, PartitionId(number)))
}

/// Reads `partition.metadata` (`PartitionMetadataFile.java`): two lines, `version: 0` and `topic_id: ID`.
fn read_topic_id(path: &Path) -> Result<Option<TopicId>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.during("read", path)?,
    };
    let words: Vec<_> = text.split_whitespace().collect();
    let id = match words.as_slice() {
        ["version:", "0", "topic_id:", id] => id.parse::<Uuid>().ok(),
        _ => None,
    };
    id.map(|id| Some(TopicId(id))).ok_or_else(|| {
        let message =
            format!("{} is no partition.metadata of Kafka; remove it, and Kafka's id is used", path.display());
        Error::not_applied(ErrorKind::Invalid, message)
    })
}

/// Writes the topic's id into the directory of a replica, durably.
///
/// # Errors
/// `Unavailable`: it can't be written.
pub fn write_topic_id(dir: &Path, replica: &str, topic_id: TopicId) -> Result<()> {
    let text = format!("version: 0\ntopic_id: {topic_id}");
    Ok(Disk::default().replace(&dir.join(replica).join(PARTITION_METADATA), text.as_bytes())?)
}

/// Makes `meta.properties` of a broker's log directory one of version 1, with a directory id; what was there is kept beside
/// it, see [`BACKUP`]. A directory that has been converted is left as it is. It blocks on the disk.
///
/// # Errors
/// `Unavailable`: a process has the directory, or it can't be written. `Invalid`: it is not the broker's.
pub fn convert(dir: &Path, node_id: NodeId, cluster_id: &str, directory_id: DirectoryId) -> Result<()> {
    let disk = Disk::default();
    let path = dir.join(META_PROPERTIES);
    let _lock = DirectoryLock::take(dir)?;
    let Some((version, found)) = MetaProperties::read_versioned(&path)? else {
        let message = format!("{} has no meta.properties: no broker has used it", dir.display());
        return Err(Error::not_applied(ErrorKind::Invalid, message));
    };
    found.expect(&path, node_id, cluster_id)?;
    if version == MetaPropertiesVersion::V1 && found.directory_id.is_some() {
        return Ok(());
    }
    let backup = dir.join(BACKUP);
    // One that is there is from an attempt that was cut off; the first is the true one.
    if !backup.exists() {
        let original = fs::read(&path).during("read", &path)?;
        disk.replace(&backup, &original)?;
    }
    MetaProperties { directory_id: Some(found.directory_id.unwrap_or(directory_id)), ..found }.write(&disk, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZOOKEEPER_MODE: &str = "#\n#Thu Nov 26 20:00:00 UTC 2026\nbroker.id=1\nversion=0\ncluster.id=ours\n";

    fn made() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(META_PROPERTIES), ZOOKEEPER_MODE).unwrap();
        dir
    }

    fn id(number: u64) -> DirectoryId {
        DirectoryId(Uuid::from_u64_pair(1 << 33, number))
    }

    #[test]
    fn replicas_are_told_from_what_else_lies_there() {
        let dir = made();
        for name in ["orders-0", "a-b-12", "gone-0.0123456789abcdef-delete", "x-1.y-future", "z-1.w-stray", "notes"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("log-start-offset-checkpoint"), "0\n0\n").unwrap();
        fs::write(dir.path().join("file-7"), "").unwrap();
        let topic_id = TopicId(Uuid::from_u64_pair(5, 6));
        write_topic_id(dir.path(), "orders-0", topic_id).unwrap();
        let found = BrokerDir::look(dir.path()).unwrap();
        let replica = |topic: &str, partition, topic_id| ReplicaDir {
            topic: topic.into(),
            partition: PartitionId(partition),
            topic_id,
        };
        assert_eq!(found.replicas, [replica("a-b", 12, None), replica("orders", 0, Some(topic_id))]);
        assert_eq!(found.marked, ["gone-0.0123456789abcdef-delete", "x-1.y-future", "z-1.w-stray"]);
        assert!(!found.has_metadata_log && found.held_by.is_none());
        let (version, properties) = found.properties.unwrap();
        assert_eq!((version, properties.node_id), (MetaPropertiesVersion::V0, NodeId(1)));
        fs::create_dir(dir.path().join(PARTITION_DIR)).unwrap();
        assert!(BrokerDir::look(dir.path()).unwrap().has_metadata_log);
    }

    #[test]
    fn names_that_kafka_does_not_give_are_no_replicas() {
        for (name, expected) in [
            ("orders-0", Some(("orders", 0))),
            ("-7", None),
            ("orders", None),
            ("orders-", None),
            ("orders-007", None),
            ("orders-+7", None),
            ("orders--7", Some(("orders-", 7))),
            ("orders-99999999999", None),
        ] {
            let expected = expected.map(|(topic, number)| (topic, PartitionId(number)));
            assert_eq!(replica_of(name), expected, "{name}");
        }
    }

    #[test]
    fn a_directory_is_converted_once_and_what_was_there_is_kept() {
        let dir = made();
        convert(dir.path(), NodeId(1), "ours", id(1)).unwrap();
        let read = || MetaProperties::read_versioned(&dir.path().join(META_PROPERTIES)).unwrap().unwrap();
        let (version, properties) = read();
        assert_eq!(version, MetaPropertiesVersion::V1);
        assert_eq!(
            properties,
            MetaProperties { node_id: NodeId(1), cluster_id: "ours".into(), directory_id: Some(id(1)) }
        );
        assert_eq!(fs::read_to_string(dir.path().join(BACKUP)).unwrap(), ZOOKEEPER_MODE);
        convert(dir.path(), NodeId(1), "ours", id(2)).unwrap();
        assert_eq!(read().1.directory_id, Some(id(1)), "the id stays");
        assert_eq!(fs::read_to_string(dir.path().join(BACKUP)).unwrap(), ZOOKEEPER_MODE, "the backup stays the first");
    }

    #[test]
    fn a_directory_id_that_is_there_is_kept() {
        let dir = made();
        fs::write(dir.path().join(META_PROPERTIES), format!("{ZOOKEEPER_MODE}directory.id={}\n", id(3))).unwrap();
        convert(dir.path(), NodeId(1), "ours", id(1)).unwrap();
        assert_eq!(BrokerDir::look(dir.path()).unwrap().properties.unwrap().1.directory_id, Some(id(3)));
    }

    #[test]
    fn another_brokers_directory_or_one_in_use_is_refused_and_stays() {
        let dir = made();
        assert!(convert(dir.path(), NodeId(2), "ours", id(1)).is_err());
        assert!(convert(dir.path(), NodeId(1), "theirs", id(1)).is_err());
        let held = DirectoryLock::take(dir.path()).unwrap();
        assert!(convert(dir.path(), NodeId(1), "ours", id(1)).unwrap_err().to_string().contains("in use"));
        assert!(BrokerDir::look(dir.path()).unwrap().held_by.is_some());
        drop(held);
        let empty = tempfile::tempdir().unwrap();
        assert!(
            convert(empty.path(), NodeId(1), "ours", id(1)).unwrap_err().to_string().contains("no meta.properties")
        );
        assert_eq!(fs::read_to_string(dir.path().join(META_PROPERTIES)).unwrap(), ZOOKEEPER_MODE);
        assert!(!dir.path().join(BACKUP).exists());
    }

    #[test]
    fn a_topic_id_that_is_none_is_named() {
        let dir = made();
        fs::create_dir(dir.path().join("t-0")).unwrap();
        for text in ["", "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ", "version: 0\ntopic_id: x"] {
            fs::write(dir.path().join("t-0").join(PARTITION_METADATA), text).unwrap();
            assert!(BrokerDir::look(dir.path()).unwrap_err().to_string().contains("t-0/partition.metadata"));
        }
    }
}
