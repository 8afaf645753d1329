//! What a KRaft broker will find in its log directories, against the metadata that it will be told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use metadata_core::id::{DirectoryId, NodeId, PartitionId, TopicId};
use metadata_core::image::MetadataImage;
use metadata_core::uuid::Uuid;
use sha2::{Digest as _, Sha256};
use store_kraft::log::{BrokerDir, MetaPropertiesVersion};

/// The log directories of one broker, looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerLogs {
    /// The broker.
    pub id: NodeId,
    /// All that are known of its `log.dirs`.
    pub dirs: Vec<BrokerDir>,
}

/// A log directory as KRaft wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Where it is.
    pub dir: PathBuf,
    /// Whose it is.
    pub broker: NodeId,
    /// Its id: the one that it has, or one derived from cluster, broker and path, so that two exports are alike.
    pub directory_id: DirectoryId,
    /// Whether its `meta.properties` is of version 1 and has an id already.
    pub is_done: bool,
    /// How many replicas lie in it.
    pub replicas: usize,
}

/// A replica without `partition.metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicIdToWrite {
    /// The log directory.
    pub dir: PathBuf,
    /// The replica's directory in it.
    pub replica: String,
    /// What belongs into it.
    pub topic_id: TopicId,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgedBrokers {
    /// Why no broker must start on these directories.
    pub problems: Vec<String>,
    /// What an operator should know.
    pub notes: Vec<String>,
    /// Replicas that the metadata do not have: Kafka sets them aside when it starts.
    pub strays: Vec<String>,
    /// Replicas whose `partition.metadata` is missing: Kafka does not start over them.
    pub without_topic_id: Vec<TopicIdToWrite>,
    /// Each directory.
    pub conversions: Vec<Conversion>,
    /// In which directory each replica lies.
    pub places: BTreeMap<(TopicId, PartitionId, NodeId), DirectoryId>,
}

/// Holds log directories against the metadata.
pub fn judge_brokers(brokers: &[BrokerLogs], image: &MetadataImage, cluster_id: &str) -> JudgedBrokers {
    let mut judged = JudgedBrokers::default();
    let mut ids = BTreeMap::new();
    for broker in brokers {
        for dir in &broker.dirs {
            judged.directory(broker.id, dir, cluster_id, image, &mut ids);
        }
        judged.missing_logs(broker, image);
    }
    let named: BTreeSet<NodeId> = brokers.iter().map(|broker| broker.id).collect();
    let replicas = image.topics().all_partitions().flat_map(|(_, partition)| partition.replicas.iter().copied());
    let unnamed: BTreeSet<NodeId> = replicas.filter(|id| !named.contains(id)).collect();
    if !unnamed.is_empty() {
        let list = unnamed.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ");
        judged.notes.push(format!("no log directory was named of these brokers, which have replicas: {list}"));
    }
    judged
}

impl JudgedBrokers {
    fn directory(
        &mut self,
        broker: NodeId,
        dir: &BrokerDir,
        cluster_id: &str,
        image: &MetadataImage,
        ids: &mut BTreeMap<DirectoryId, PathBuf>,
    ) {
        let path = dir.path.display();
        if let Some(holder) = &dir.held_by {
            self.problems.push(format!("{path} is in use by {holder}: stop the broker"));
        }
        if dir.has_metadata_log {
            self.problems.push(format!(
                "{path} holds a metadata log (__cluster_metadata-0), which an earlier migration left: move it away"
            ));
        }
        let Some((version, properties)) = &dir.properties else {
            self.problems.push(format!(
                "{path} has no meta.properties: no broker has used it; name a directory of its log.dirs"
            ));
            return;
        };
        if properties.node_id != broker {
            self.problems.push(format!("{path} belongs to broker {}, not to broker {broker}", properties.node_id));
        }
        if properties.cluster_id != cluster_id {
            let other = &properties.cluster_id;
            self.problems.push(format!("{path} belongs to cluster {other}, and ZooKeeper's is cluster {cluster_id}"));
        }
        let directory_id = properties.directory_id.unwrap_or_else(|| derived_id(cluster_id, broker, &path.to_string()));
        if let Some(other) = ids.insert(directory_id, dir.path.clone()) {
            self.problems.push(format!("{path} has the same directory.id as {}", other.display()));
        }
        self.conversions.push(Conversion {
            dir: dir.path.clone(),
            broker,
            directory_id,
            is_done: *version == MetaPropertiesVersion::V1 && properties.directory_id.is_some(),
            replicas: dir.replicas.len(),
        });
        for marked in &dir.marked {
            self.notes.push(format!("{path}/{marked} is no replica that is served: Kafka decides what becomes of it"));
        }
        for replica in &dir.replicas {
            let name = replica.name();
            let found = image.topics().id(&replica.topic).and_then(|topic_id| {
                let partition = image.topics().partition(topic_id, replica.partition)?;
                partition.replicas.contains(&broker).then_some(topic_id)
            });
            let known = image.topics().id(&replica.topic);
            if let (Some(in_log), Some(in_metadata)) = (replica.topic_id, known)
                && in_log != in_metadata
            {
                self.problems.push(format!(
                    "{path}/{name} is of a topic with id {in_log}, and the topic of that name has id {in_metadata}: it is of \
                     an earlier topic; move it away"
                ));
                continue;
            }
            let Some(topic_id) = found else {
                self.strays.push(format!("{path}/{name}"));
                continue;
            };
            if replica.topic_id.is_none() {
                let dir = dir.path.clone();
                self.without_topic_id.push(TopicIdToWrite { dir, replica: name.clone(), topic_id });
            }
            if let Some(other) = self.places.insert((topic_id, replica.partition, broker), directory_id)
                && other != directory_id
            {
                self.problems.push(format!("{path}/{name} lies in another directory of broker {broker}, too"));
            }
        }
    }

    /// An in-sync replica without a log has lost its messages, or lies in a directory that was not named.
    fn missing_logs(&mut self, broker: &BrokerLogs, image: &MetadataImage) {
        for (key, partition) in image.topics().all_partitions() {
            if partition.isr.contains(&broker.id)
                && !self.places.contains_key(&(key.topic_id, key.partition, broker.id))
            {
                let topic = image.topics().name(key.topic_id).map_or("", |name| name);
                self.problems.push(format!(
                    "broker {} is in sync for {topic}-{}, and none of its directories that were named has it: name all of its \
                     log.dirs",
                    broker.id, key.partition
                ));
            }
        }
    }
}

/// The id of a log directory that has none.
fn derived_id(cluster_id: &str, broker: NodeId, path: &str) -> DirectoryId {
    derived(&["broker's log directory", cluster_id, &broker.to_string(), path])
}

/// An id that depends on all of `parts` and nothing else: not reserved, and without a leading `-`.
pub(crate) fn derived(parts: &[&str]) -> DirectoryId {
    let mut hash = Sha256::new();
    for part in ["cargo xtask export"].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    DirectoryId(Uuid::of_hash(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use metadata_core::id::TimestampMs;
    use metadata_core::metadata_version::MetadataVersion;
    use metadata_core::record::{PartitionRecord, TopicRecord, VersionedRecord};
    use store_kraft::log::{MetaProperties, ReplicaDir};

    use super::super::prepare;
    use super::*;

    const TOPIC: TopicId = TopicId(Uuid::from_u64_pair(1, 1));

    /// Topic `t` with partitions 0 and 1 on brokers 1 and 2, the second in sync on broker 2 alone.
    fn image() -> MetadataImage {
        let partition = |partition, isr: &[i32]| {
            let replicas = vec![NodeId(1), NodeId(2)];
            let isr = isr.iter().copied().map(NodeId).collect();
            let partition_id = PartitionId(partition);
            VersionedRecord::new(
                PartitionRecord { topic_id: TOPIC, partition_id, replicas, isr, ..Default::default() },
                0,
            )
        };
        let topic = TopicRecord { name: "t".into(), topic_id: TOPIC, ..Default::default() };
        let records = vec![VersionedRecord::new(topic, 0), partition(0, &[1, 2]), partition(1, &[2])];
        prepare(records, MetadataVersion::V3_9_IV0, TimestampMs(0)).unwrap().image
    }

    fn replica(topic: &str, partition: i32, topic_id: Option<TopicId>) -> ReplicaDir {
        ReplicaDir { topic: topic.into(), partition: PartitionId(partition), topic_id }
    }

    fn dir(path: &str, replicas: Vec<ReplicaDir>) -> BrokerDir {
        let properties = MetaProperties { node_id: NodeId(1), cluster_id: "ours".into(), directory_id: None };
        BrokerDir {
            path: path.into(),
            properties: Some((MetaPropertiesVersion::V0, properties)),
            held_by: None,
            replicas,
            marked: Vec::new(),
            has_metadata_log: false,
        }
    }

    fn sound(path: &str) -> BrokerDir {
        dir(path, vec![replica("t", 0, Some(TOPIC)), replica("t", 1, Some(TOPIC))])
    }

    fn judge(dirs: Vec<BrokerDir>) -> JudgedBrokers {
        judge_brokers(&[BrokerLogs { id: NodeId(1), dirs }], &image(), "ours")
    }

    #[test]
    fn sound_directories_are_converted_and_their_replicas_placed() {
        let judged = judge(vec![sound("/a")]);
        assert_eq!((judged.problems.as_slice(), judged.strays.as_slice()), (&[][..], &[][..]));
        let [conversion] = judged.conversions.as_slice() else { panic!("{judged:?}") };
        assert!(!conversion.is_done && !conversion.directory_id.is_reserved());
        assert_eq!(judged.places.len(), 2);
        assert!(judged.places.values().all(|id| *id == conversion.directory_id));
        assert!(judged.notes[0].ends_with(": 2"), "{:?}", judged.notes);
        assert_eq!(judge(vec![sound("/a")]), judged, "the same directories give the same ids");
    }

    #[test]
    fn a_directory_that_was_converted_keeps_its_id() {
        let own = derived(&["x"]);
        let mut converted = sound("/a");
        let (_, properties) = converted.properties.take().unwrap();
        converted.properties =
            Some((MetaPropertiesVersion::V1, MetaProperties { directory_id: Some(own), ..properties }));
        let judged = judge(vec![converted]);
        assert!(judged.conversions[0].is_done && judged.problems.is_empty());
        assert_eq!(judged.conversions[0].directory_id, own);
    }

    #[test]
    fn everything_that_would_stop_a_broker_is_told() {
        let other = TopicId(Uuid::from_u64_pair(1, 2));
        type Spoil = fn(&mut BrokerDir);
        let rows: [(&str, Spoil); 5] = [
            ("in use by process 7", |dir| dir.held_by = Some("process 7".into())),
            ("holds a metadata log", |dir| dir.has_metadata_log = true),
            ("no meta.properties", |dir| dir.properties = None),
            ("belongs to broker 2", |dir| dir.properties.as_mut().unwrap().1.node_id = NodeId(2)),
            ("belongs to cluster theirs", |dir| dir.properties.as_mut().unwrap().1.cluster_id = "theirs".into()),
        ];
        for (expected, spoil) in rows {
            let mut spoilt = sound("/a");
            spoil(&mut spoilt);
            let judged = judge(vec![spoilt]);
            assert!(judged.problems[0].contains(expected), "{:?}", judged.problems);
        }
        let earlier = judge(vec![dir("/a", vec![replica("t", 0, Some(other)), replica("t", 1, Some(TOPIC))])]);
        assert!(earlier.problems[0].contains("of an earlier topic"), "{:?}", earlier.problems);
        let lost = judge(vec![dir("/a", vec![replica("t", 1, Some(TOPIC))])]);
        assert!(lost.problems[0].contains("in sync for t-0"), "{:?}", lost.problems);
        let twice = judge(vec![sound("/a"), dir("/b", vec![replica("t", 0, Some(TOPIC))])]);
        assert!(twice.problems[0].contains("lies in another directory"), "{:?}", twice.problems);
    }

    #[test]
    fn a_replica_out_of_sync_may_be_missing() {
        let judged = judge(vec![dir("/a", vec![replica("t", 0, Some(TOPIC))])]);
        assert_eq!(judged.problems, Vec::<String>::new());
        assert_eq!(judged.places.len(), 1);
    }

    #[test]
    fn strays_and_missing_topic_ids_are_listed() {
        let replicas = vec![
            replica("t", 0, None),
            replica("t", 1, Some(TOPIC)),
            replica("t", 9, Some(TOPIC)),
            replica("gone", 0, None),
        ];
        let judged = judge(vec![dir("/a", replicas)]);
        assert_eq!(judged.strays, ["/a/t-9", "/a/gone-0"]);
        let expected = TopicIdToWrite { dir: "/a".into(), replica: "t-0".into(), topic_id: TOPIC };
        assert_eq!(judged.without_topic_id, [expected]);
        assert_eq!(judged.problems, Vec::<String>::new());
    }

    #[test]
    fn ids_depend_on_every_part() {
        let ids: BTreeSet<_> = [
            derived_id("a", NodeId(1), "/x"),
            derived_id("a", NodeId(1), "/y"),
            derived_id("a", NodeId(2), "/x"),
            derived_id("b", NodeId(1), "/x"),
        ]
        .into();
        assert_eq!(ids.len(), 4);
        for number in 0..200 {
            assert!(!derived(&[&number.to_string()]).0.to_string().starts_with('-'));
        }
    }
}
