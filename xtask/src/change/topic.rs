//! Topics and partitions (Kafka: `ReplicationControlManager`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata_core::id::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId};
use metadata_core::image::{MetadataImage, PartitionRegistration};
use metadata_core::record::{
    MetadataRecord, NO_LEADER_CHANGE, PartitionChangeRecord, PartitionRecord, RemoveTopicRecord, TopicRecord,
};

use super::config::config_record;
use super::placement::{RoundRobin, has_directories, known_brokers, new_directories, new_directory};
use super::{Draft, Ground, Refusal, Resource, Secret, config, count, fits_a_change, refuse, topic_name};

pub(super) fn create(
    ground: &Ground<'_>,
    name: &str,
    partitions: u32,
    replication_factor: u32,
    configs: &BTreeMap<String, Secret>,
) -> Draft {
    let image = ground.image;
    topic_name::check(name, image.topics())?;
    config::check_names(configs.keys())?;
    let partitions = match i32::try_from(partitions) {
        Ok(0) => return refuse(format!("topic {name} needs partitions"), "ask for 1 partition or more"),
        Ok(partitions) => at_once(partitions)?,
        Err(_) => return refuse(format!("{partitions} partitions are too many for one topic"), "ask for fewer"),
    };
    let topic_id = TopicId(ground.fresh_id);
    let places = RoundRobin::new(known_brokers(ground), replication_factor, start(topic_id))?;
    let resource = Resource::Topic(name.to_owned());
    let mut records: Vec<MetadataRecord> =
        vec![TopicRecord { name: name.to_owned(), topic_id, ..TopicRecord::default() }.into()];
    records.extend(configs.iter().map(|(key, value)| config_record(&resource, key, Some(value))));
    records.extend((0..partitions).map(|number| new_partition(image, topic_id, PartitionId(number), &places)));
    let partitions = count(usize::try_from(partitions).unwrap_or_default(), "partition");
    Ok((records, format!("topic {name} created with {partitions}, id {topic_id}")))
}

/// So many partitions in one change, before any record of them is made.
fn at_once(partitions: i32) -> Result<i32, Refusal> {
    fits_a_change(usize::try_from(partitions).unwrap_or(usize::MAX))?;
    Ok(partitions)
}

pub(super) fn delete(image: &MetadataImage, name: &str) -> Draft {
    let topic_id = id_of(image, name)?;
    let record = RemoveTopicRecord { topic_id, ..RemoveTopicRecord::default() };
    let partitions = count(image.topics().partitions(topic_id).count(), "partition");
    Ok((vec![record.into()], format!("topic {name} deleted with its {partitions}")))
}

pub(super) fn add_partitions(ground: &Ground<'_>, name: &str, total: u32) -> Draft {
    let image = ground.image;
    let topic_id = id_of(image, name)?;
    // Numbers have no gaps in a sound topic; the highest one decides all the same.
    let next = image.topics().partitions(topic_id).map(|(id, _)| id.0.saturating_add(1)).max().unwrap_or(0);
    let replicas = image.topics().partitions(topic_id).next().map_or(1, |(_, first)| first.replicas.len());
    let total = match i32::try_from(total) {
        Ok(total) if total > next => {
            at_once(total - next)?;
            total
        }
        Ok(total) => {
            return refuse(
                format!("topic {name} has {next} partitions, so it can't be given {total}: a topic never shrinks"),
                format!("ask for more than {next}"),
            );
        }
        Err(_) => return refuse(format!("{total} partitions are too many for one topic"), "ask for fewer"),
    };
    let replication_factor = u32::try_from(replicas).unwrap_or(u32::MAX);
    let places = RoundRobin::new(known_brokers(ground), replication_factor, start(topic_id))?;
    let records: Vec<_> =
        (next..total).map(|number| new_partition(image, topic_id, PartitionId(number), &places)).collect();
    Ok((records, format!("topic {name} has {total} partitions, it had {next}")))
}

/// As Kafka does it: while replicas are added, the partition has the old and the new ones, and says which come and which
/// go. When none is added, there is nothing to wait for.
pub(super) fn reassign(ground: &Ground<'_>, name: &str, partition: i32, target: &[i32]) -> Draft {
    let image = ground.image;
    let (key, present) = partition_of(image, name, partition)?;
    let target = checked_replicas(ground, name, target)?;
    let what = format!("partition {partition} of topic {name}");
    if !present.adding_replicas.is_empty() || !present.removing_replicas.is_empty() {
        return refuse(
            format!("{what} is being reassigned already"),
            "wait until its new replicas have joined the ISR",
        );
    }
    if *target == *present.replicas {
        return refuse(format!("{what} has these replicas already"), "nothing is to be done");
    }
    let adding: Vec<_> = target.iter().filter(|id| !present.replicas.contains(id)).copied().collect();
    let removing: Vec<_> = present.replicas.iter().filter(|id| !target.contains(id)).copied().collect();
    let mut change = key.change();
    let summary = if adding.is_empty() {
        let isr: Vec<_> = present.isr.iter().filter(|id| target.contains(id)).copied().collect();
        let Some(first) = target.iter().find(|id| isr.contains(id)) else {
            return refuse(
                format!("none of the replicas that {what} shall keep is in sync"),
                "keep one of the ISR, or wait until one has caught up",
            );
        };
        if present.leader.is_some_and(|leader| !isr.contains(&leader)) {
            change.leader = *first;
        }
        if isr.len() != present.isr.len() {
            change.isr = Some(isr);
        }
        change.replicas = Some(target.clone());
        format!("{what} has the replicas {}", ids(&target))
    } else {
        change.replicas = Some(target.iter().chain(&removing).copied().collect());
        change.removing_replicas = (!removing.is_empty()).then(|| removing.clone());
        change.adding_replicas = Some(adding.clone());
        format!("{what} is being reassigned to {}: {} must catch up first", ids(&target), ids(&adding))
    };
    change.directories = change.replicas.as_deref().and_then(|replicas| moved_directories(image, present, replicas));
    Ok((vec![change.into()], summary))
}

pub(super) fn elect_preferred(image: &MetadataImage, name: &str, partition: i32) -> Draft {
    let (key, present) = partition_of(image, name, partition)?;
    let what = format!("partition {partition} of topic {name}");
    let Some(preferred) = present.replicas.first().copied() else {
        return refuse(format!("{what} has no replicas"), "reassign it to a broker");
    };
    if present.leader == Some(preferred) {
        return refuse(format!("{what} is led by its preferred leader {preferred} already"), "nothing is to be done");
    }
    if !present.isr.contains(&preferred) {
        return refuse(
            format!("broker {preferred}, the preferred leader of {what}, is not in sync"),
            "wait until it has caught up",
        );
    }
    let change = PartitionChangeRecord { leader: preferred, ..key.change() };
    Ok((vec![change.into()], format!("{what} is led by broker {preferred}")))
}

fn id_of(image: &MetadataImage, name: &str) -> Result<TopicId, Refusal> {
    image.topics().id(name).map_or_else(|| refuse(format!("there is no topic {name:?}"), "check the name"), Ok)
}

struct PartitionKey {
    topic_id: TopicId,
    partition_id: PartitionId,
}

impl PartitionKey {
    fn change(&self) -> PartitionChangeRecord {
        PartitionChangeRecord {
            topic_id: self.topic_id,
            partition_id: self.partition_id,
            leader: NO_LEADER_CHANGE,
            ..PartitionChangeRecord::default()
        }
    }
}

fn partition_of<'a>(
    image: &'a MetadataImage,
    name: &str,
    partition: i32,
) -> Result<(PartitionKey, &'a Arc<PartitionRegistration>), Refusal> {
    let topic_id = id_of(image, name)?;
    let partition_id = PartitionId(partition);
    match image.topics().partition(topic_id, partition_id) {
        Some(present) => Ok((PartitionKey { topic_id, partition_id }, present)),
        None => {
            let there = image.topics().partitions(topic_id).count();
            refuse(
                format!("topic {name} has no partition {partition}"),
                format!("it has {}, counted from 0", count(there, "partition")),
            )
        }
    }
}

fn checked_replicas(ground: &Ground<'_>, name: &str, replicas: &[i32]) -> Result<Vec<NodeId>, Refusal> {
    let replicas: Vec<_> = replicas.iter().copied().map(NodeId).collect();
    if replicas.is_empty() {
        return refuse(format!("a partition of topic {name} needs replicas"), "name at least one broker");
    }
    let known = known_brokers(ground);
    let mut seen = BTreeSet::new();
    for id in &replicas {
        if !seen.insert(*id) {
            return refuse(format!("broker {id} stands twice among the replicas"), "name each broker once");
        }
        if !known.contains(id) {
            return refuse(
                format!("broker {id} is not known"),
                format!("choose from {}", ids(&known.iter().copied().collect::<Vec<_>>())),
            );
        }
    }
    Ok(replicas)
}

fn new_partition(
    image: &MetadataImage,
    topic_id: TopicId,
    partition_id: PartitionId,
    places: &RoundRobin,
) -> MetadataRecord {
    let replicas = places.replicas(partition_id);
    PartitionRecord {
        partition_id,
        topic_id,
        isr: replicas.clone(),
        leader: replicas.first().copied().unwrap_or(NodeId::NONE),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        directories: new_directories(image, &replicas),
        replicas,
        ..PartitionRecord::default()
    }
    .into()
}

/// The directories when a partition's replicas change; `None` to say nothing, while none is known.
fn moved_directories(
    image: &MetadataImage,
    present: &PartitionRegistration,
    replicas: &[NodeId],
) -> Option<Vec<DirectoryId>> {
    let directory = |id: &NodeId| {
        let at = present.replicas.iter().position(|replica| replica == id);
        let kept = at.map(|at| present.directories.get(at).copied().unwrap_or(DirectoryId::MIGRATING));
        kept.unwrap_or_else(|| new_directory(image, *id))
    };
    let directories: Vec<_> = replicas.iter().map(directory).collect();
    let known = directories.iter().any(|id| *id != DirectoryId::MIGRATING) || !present.directories.is_empty();
    (known && has_directories(image)).then_some(directories)
}

/// Where a topic's first partition goes: any number does that differs from topic to topic and stays the same for one.
fn start(topic_id: TopicId) -> usize {
    let (_, least) = topic_id.0.as_u64_pair();
    usize::try_from(least % 10_007).unwrap_or_default()
}

fn ids(brokers: &[NodeId]) -> String {
    let ids: Vec<_> = brokers.iter().map(NodeId::to_string).collect();
    ids.join(", ")
}
