//! `/brokers/topics/T`: the topic's id and who replicates its partitions (Kafka: `TopicZNode`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use metadata_core::id::{NodeId, PartitionId, TopicId};

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// Who replicates one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// All replicas in preferred order, those of a running reassignment included.
    pub replicas: Vec<NodeId>,
    /// Replicas that a running reassignment adds.
    pub adding: Vec<NodeId>,
    /// Replicas that a running reassignment takes away.
    pub removing: Vec<NodeId>,
}

/// The content of a topic's znode, of whatever version. The `version` key is not looked at, as in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicZnode {
    /// Missing when the topic was made with an inter-broker protocol below 2.8 and no later controller has added it.
    pub topic_id: Option<TopicId>,
    /// By partition.
    pub partitions: BTreeMap<PartitionId, Assignment>,
    /// Partitions that are reassigned and are not listed. Nobody, Kafka neither, does anything about them.
    pub unlisted: BTreeSet<PartitionId>,
}

type Replicas = BTreeMap<PartitionId, Vec<NodeId>>;

fn replicas(json: &Object, key: &str) -> Result<Replicas, Malformed> {
    let Some(map) = json.opt_object(key)? else { return Ok(Replicas::new()) };
    let lists = map.ints_map().map_err(|error| Malformed::new(format!("in `{key}`: {error}")))?;
    lists
        .into_iter()
        .map(|(partition, ids)| {
            // Another spelling of a number would stand for the same partition a second time.
            let id = partition
                .parse()
                .ok()
                .filter(|id: &i32| *id >= 0 && id.to_string() == partition)
                .ok_or_else(|| Malformed::new(format!("in `{key}`: {partition:?} is not a partition number")))?;
            Ok((PartitionId(id), ids.into_iter().map(NodeId).collect()))
        })
        .collect()
}

impl TopicZnode {
    /// Decodes versions 1 to 3. Of reassignments of partitions that are not listed only the numbers are kept.
    ///
    /// # Errors
    /// Not a JSON object, a value of the wrong type, or a topic id that is none. Kafka takes broken JSON for "no id".
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let json = Object::parse(data)?;
        let topic_id = match json.opt_string("topic_id")? {
            None => None,
            Some(text) => {
                Some(TopicId(text.parse().map_err(|error| Malformed::new(format!("in `topic_id`: {error}")))?))
            }
        };
        let mut adding = replicas(&json, "adding_replicas")?;
        let mut removing = replicas(&json, "removing_replicas")?;
        let partitions: BTreeMap<PartitionId, Assignment> = replicas(&json, "partitions")?
            .into_iter()
            .map(|(partition, replicas)| {
                let assignment = Assignment {
                    replicas,
                    adding: adding.remove(&partition).unwrap_or_default(),
                    removing: removing.remove(&partition).unwrap_or_default(),
                };
                (partition, assignment)
            })
            .collect();
        let unlisted = adding.into_keys().chain(removing.into_keys()).collect();
        Ok(Self { topic_id, partitions, unlisted })
    }

    /// Encodes as version 3: all three maps always, the id if there is one.
    pub fn encode(&self) -> Bytes {
        let partitions = self.partitions.iter().map(|(partition, assignment)| {
            let lists = AssignmentRef {
                replicas: &assignment.replicas,
                adding: &assignment.adding,
                removing: &assignment.removing,
            };
            (*partition, lists)
        });
        encode(self.topic_id, partitions)
    }
}

/// An [`Assignment`] that is kept elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AssignmentRef<'a> {
    pub(crate) replicas: &'a [NodeId],
    pub(crate) adding: &'a [NodeId],
    pub(crate) removing: &'a [NodeId],
}

/// Encodes a topic without building a [`TopicZnode`] first.
pub(crate) fn encode<'a>(
    topic_id: Option<TopicId>,
    partitions: impl Iterator<Item = (PartitionId, AssignmentRef<'a>)> + Clone,
) -> Bytes {
    let list = |map: ObjectWriter, partition: PartitionId, ids: &[NodeId]| {
        map.ints(&partition.to_string(), ids.iter().map(|id| id.0))
    };
    // A reassignment is listed only where there is one.
    let reassigned = |ids: fn(&AssignmentRef<'a>) -> &'a [NodeId]| {
        let running = partitions.clone().filter(|(_, lists)| !ids(lists).is_empty());
        running.fold(ObjectWriter::new(), |map, (partition, lists)| list(map, partition, ids(&lists)))
    };
    let json = ObjectWriter::new().int("version", 3);
    let json = match topic_id {
        Some(id) => json.string("topic_id", &id.to_string()),
        None => json,
    };
    let replicas =
        partitions.clone().fold(ObjectWriter::new(), |map, (partition, lists)| list(map, partition, lists.replicas));
    json.object("partitions", replicas)
        .object("adding_replicas", reassigned(|lists| lists.adding))
        .object("removing_replicas", reassigned(|lists| lists.removing))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metadata_core::uuid::Uuid;

    fn ids(list: &[i32]) -> Vec<NodeId> {
        list.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn all_three_versions_are_read() {
        let one = TopicZnode::decode(br#"{"version":1,"partitions":{"0":[1,2],"11":[]}}"#).unwrap();
        assert_eq!(one.topic_id, None);
        assert_eq!(one.partitions[&PartitionId(0)].replicas, ids(&[1, 2]));
        assert_eq!(one.partitions[&PartitionId(11)], Assignment::default());

        let two = TopicZnode::decode(
            br#"{"removing_replicas":{"0":[1]},"partitions":{"0":[3,1,2]},"adding_replicas":{"0":[3],"9":[4]},"version":2}"#,
        )
        .unwrap();
        let expected = Assignment { replicas: ids(&[3, 1, 2]), adding: ids(&[3]), removing: ids(&[1]) };
        assert_eq!(two.partitions, BTreeMap::from([(PartitionId(0), expected)]));
        assert_eq!(two.unlisted, BTreeSet::from([PartitionId(9)]));

        let three =
            TopicZnode::decode(br#"{"version":3,"topic_id":"AAAAAAAAAAAAAAAAAAAABw","partitions":{}}"#).unwrap();
        assert_eq!(three.topic_id, Some(TopicId(Uuid::from_u64_pair(0, 7))));
    }

    #[test]
    fn missing_and_null_maps_are_empty() {
        let topic = TopicZnode::decode(br#"{"partitions":null,"topic_id":null,"future":{"key":1}}"#).unwrap();
        assert_eq!(topic, TopicZnode::default());
    }

    #[test]
    fn partitions_are_written_in_the_order_of_their_numbers() {
        let topic = TopicZnode {
            topic_id: Some(TopicId(Uuid::from_u64_pair(0, 7))),
            partitions: BTreeMap::from([
                (PartitionId(10), Assignment { replicas: ids(&[1]), ..Default::default() }),
                (PartitionId(2), Assignment { replicas: ids(&[2, 1, 3]), adding: ids(&[3]), removing: ids(&[1]) }),
            ]),
            unlisted: BTreeSet::new(),
        };
        let json = topic.encode();
        assert_eq!(
            json,
            "{\"version\":3,\"topic_id\":\"AAAAAAAAAAAAAAAAAAAABw\",\"partitions\":{\"2\":[2,1,3],\"10\":[1]},\
             \"adding_replicas\":{\"2\":[3]},\"removing_replicas\":{\"2\":[1]}}"
        );
        assert_eq!(TopicZnode::decode(&json), Ok(topic));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (r#"{"partitions":{"x":[1]}}"#, "partition number"),
            (r#"{"partitions":{"-1":[1]}}"#, "partition number"),
            (r#"{"partitions":{"0":[1],"00":[2]}}"#, "\"00\" is not a partition number"),
            (r#"{"partitions":{"+0":[1]}}"#, "partition number"),
            (r#"{"partitions":{"-0":[1]}}"#, "partition number"),
            (r#"{"partitions":{"01":[1]}}"#, "partition number"),
            (r#"{"partitions":{"1":[1]},"adding_replicas":{"01":[1]}}"#, "in `adding_replicas`"),
            (r#"{"partitions":{"4294967296":[1]}}"#, "partition number"),
            (r#"{"partitions":{"0":[1.5]}}"#, "`0`"),
            (r#"{"partitions":{"0":{}}}"#, "`0`"),
            (r#"{"partitions":[]}"#, "`partitions`"),
            (r#"{"partitions":{},"topic_id":"short"}"#, "`topic_id`"),
            (r#"{"partitions":{},"topic_id":7}"#, "`topic_id`"),
            ("", "no data"),
            ("{", "not JSON"),
        ];
        for (json, reason) in cases {
            let error = TopicZnode::decode(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
