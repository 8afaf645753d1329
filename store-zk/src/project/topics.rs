//! Topics, partitions and their states.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use imbl::ordmap::DiffItem;
use metadata_core::id::{PartitionId, TopicId, ZkControllerEpoch};
use metadata_core::image::{ConfigResource, MetadataImage, PartitionRegistration};
use metadata_core::store::Unrepresentable;

use super::planner::{Planner, loss};
use super::{Entity, ExpectedZnode, ProjectionContext, configs};
use crate::znode::name::not_a_component;
use crate::znode::partition::PartitionState;
use crate::znode::path;
use crate::znode::topic::{self, AssignmentRef};

/// What has no place if the topic's name is no path component. Kafka allows no such name.
pub(super) fn lost_topic(name: &str) -> Option<Unrepresentable> {
    not_a_component(name).map(|reason| loss(format!("topic {name:?}"), format!("its name is no znode: {reason}")))
}

fn topic_data(image: &MetadataImage, id: TopicId) -> Bytes {
    let partitions = image.topics().partitions(id).map(|(partition, registration)| {
        let assignment = AssignmentRef {
            replicas: &registration.replicas,
            adding: &registration.adding_replicas,
            removing: &registration.removing_replicas,
        };
        (partition, assignment)
    });
    let partitions: Vec<_> = partitions.collect();
    topic::encode(Some(id), partitions.into_iter())
}

fn state_data(registration: &PartitionRegistration, controller_epoch: ZkControllerEpoch) -> Bytes {
    PartitionState {
        leader: registration.leader,
        leader_epoch: registration.leader_epoch,
        controller_epoch,
        isr: registration.isr.to_vec(),
        leader_recovery_state: registration.leader_recovery_state,
    }
    .encode()
}

/// Whether both look alike in the partition's state.
fn same_state(one: &PartitionRegistration, other: &PartitionRegistration) -> bool {
    one.leader == other.leader
        && one.leader_epoch == other.leader_epoch
        && one.isr == other.isr
        && one.leader_recovery_state == other.leader_recovery_state
}

/// Whether both look alike in the topic.
fn same_assignment(one: &PartitionRegistration, other: &PartitionRegistration) -> bool {
    one.replicas == other.replicas
        && one.adding_replicas == other.adding_replicas
        && one.removing_replicas == other.removing_replicas
}

/// The znodes of a topic under `/brokers/topics`, in the order of a walk.
pub(super) fn nodes(image: &MetadataImage, name: &str, id: TopicId, context: &ProjectionContext) -> Vec<ExpectedZnode> {
    if lost_topic(name).is_some() {
        return Vec::new();
    }
    let mut nodes = vec![
        ExpectedZnode::with_data(path::topic(name), topic_data(image, id)),
        ExpectedZnode::container(path::partitions(name)),
    ];
    let mut partitions: Vec<(String, &Arc<PartitionRegistration>, PartitionId)> = image
        .topics()
        .partitions(id)
        .map(|(partition, registration)| (partition.to_string(), registration, partition))
        .collect();
    // A walk sorts the numbers as texts.
    partitions.sort_by(|one, other| one.0.cmp(&other.0));
    for (_, registration, partition) in partitions {
        nodes.push(ExpectedZnode::container(path::partition(name, partition)));
        nodes.push(ExpectedZnode {
            path: path::partition_state(name, partition).into(),
            data: Some(state_data(registration, context.zk_epoch)),
            partition_epoch: Some(registration.partition_epoch),
        });
    }
    nodes
}

/// What happened to one partition of a topic that is the same before and after.
enum PartitionChange<'a> {
    Added(&'a PartitionRegistration),
    Changed { before: &'a PartitionRegistration, after: &'a PartitionRegistration },
    Removed,
}

type PartitionChanges<'a> = Vec<(PartitionId, PartitionChange<'a>)>;

/// What happened to one topic that is there afterwards.
enum TopicChange<'a> {
    Created(&'a str),
    Changed(PartitionChanges<'a>),
}

/// Deletes topics first, by id, then creates and changes topics, by id: a topic that was deleted and made again under its
/// name has another id, so its znodes go before they come.
pub(super) fn project(before: &MetadataImage, after: &MetadataImage, planner: &mut Planner<'_>) {
    let mut changes: BTreeMap<TopicId, TopicChange<'_>> = BTreeMap::new();
    for item in before.topics().names().diff(after.topics().names()) {
        let (deleted, created) = match item {
            DiffItem::Remove(id, name) => (Some((*id, name)), None),
            DiffItem::Add(id, name) => (None, Some((*id, name))),
            DiffItem::Update { old: (id, old), new: (_, new) } => (Some((*id, old)), Some((*id, new))),
        };
        if let Some((id, name)) = deleted {
            delete_topic(before, after, id, name, planner);
        }
        if let Some((id, name)) = created {
            changes.insert(id, TopicChange::Created(name));
        }
    }
    for item in before.topics().partition_map().diff(after.topics().partition_map()) {
        let (key, change) = match item {
            DiffItem::Add(key, registration) => (key, PartitionChange::Added(registration)),
            DiffItem::Remove(key, _) => (key, PartitionChange::Removed),
            DiffItem::Update { old: (key, before), new: (_, after) } => {
                (key, PartitionChange::Changed { before, after })
            }
        };
        if after.topics().name(key.topic_id).is_none() {
            continue;
        }
        let topic = changes.entry(key.topic_id).or_insert_with(|| TopicChange::Changed(Vec::new()));
        if let TopicChange::Changed(partitions) = topic {
            partitions.push((key.partition, change));
        }
    }
    for (id, change) in changes {
        match change {
            TopicChange::Created(name) => create_topic(after, id, name, planner),
            TopicChange::Changed(partitions) => change_topic(after, id, &partitions, planner),
        }
    }
}

/// Leaves first, the topic's own znode last.
fn delete_topic(
    before: &MetadataImage,
    after: &MetadataImage,
    id: TopicId,
    name: &Arc<str>,
    planner: &mut Planner<'_>,
) {
    if lost_topic(name).is_none() {
        let entity = Entity::Topic(Arc::clone(name));
        for (partition, _) in before.topics().partitions(id) {
            delete_partition(&entity, name, partition, planner);
        }
        planner.delete(&entity, path::partitions(name));
        planner.delete(&entity, path::topic_config(name));
        planner.delete(&entity, path::topic(name));
    }
    if after.topics().id(name).is_none() && after.config(&ConfigResource::topic(Arc::clone(name))).is_some() {
        planner.unrepresentable([configs::lost_topic_config(name)]);
    }
}

fn delete_partition(entity: &Entity, name: &str, partition: PartitionId, planner: &mut Planner<'_>) {
    planner.delete(entity, path::partition_state(name, partition));
    planner.delete(entity, path::partition(name, partition));
}

/// The config comes with the topic, so that no log is ever made with the wrong one.
fn create_topic(after: &MetadataImage, id: TopicId, name: &str, planner: &mut Planner<'_>) {
    if let Some(lost) = lost_topic(name) {
        planner.unrepresentable([lost]);
        return;
    }
    let entity = Entity::Topic(name.into());
    planner.create(&entity, path::topic(name), Some(topic_data(after, id)));
    configs::create_topic_config(after, name, &entity, planner);
    planner.create(&entity, path::partitions(name), None);
    for (partition, registration) in after.topics().partitions(id) {
        create_partition(&entity, name, partition, registration, planner);
    }
}

fn create_partition(
    entity: &Entity,
    name: &str,
    partition: PartitionId,
    registration: &PartitionRegistration,
    planner: &mut Planner<'_>,
) {
    planner.create(entity, path::partition(name, partition), None);
    create_state(entity, name, partition, registration, planner);
}

/// A new znode has version 0, and its version is the partition's epoch.
fn create_state(
    entity: &Entity,
    name: &str,
    partition: PartitionId,
    registration: &PartitionRegistration,
    planner: &mut Planner<'_>,
) {
    let state_path: Arc<str> = path::partition_state(name, partition).into();
    let data = state_data(registration, planner.context.zk_epoch);
    planner.create(entity, Arc::clone(&state_path), Some(data.clone()));
    planner.pad(entity, &state_path, &data, 0, registration.partition_epoch.0);
}

fn change_topic(after: &MetadataImage, id: TopicId, changes: &PartitionChanges<'_>, planner: &mut Planner<'_>) {
    let Some(name) = after.topics().name(id).filter(|name| lost_topic(name).is_none()) else { return };
    let entity = Entity::Topic(Arc::clone(name));
    let reassigned = changes.iter().any(|(_, change)| match change {
        PartitionChange::Added(_) | PartitionChange::Removed => true,
        PartitionChange::Changed { before, after } => !same_assignment(before, after),
    });
    if reassigned {
        planner.set(&entity, path::topic(name), Some(topic_data(after, id)));
    }
    for (partition, change) in changes {
        match change {
            PartitionChange::Added(registration) => create_partition(&entity, name, *partition, registration, planner),
            PartitionChange::Changed { before, after } => {
                change_partition(&entity, name, *partition, before, after, planner);
            }
            PartitionChange::Removed => delete_partition(&entity, name, *partition, planner),
        }
    }
}

/// One set for each change of the partition, since the znode's version counts them as its epoch does. Kafka merges
/// several into one set, and brokers that were not restarted then ignore the next controller's requests.
fn change_partition(
    entity: &Entity,
    name: &str,
    partition: PartitionId,
    before: &PartitionRegistration,
    after: &PartitionRegistration,
    planner: &mut Planner<'_>,
) {
    let state_path: Arc<str> = path::partition_state(name, partition).into();
    let (from, to) = (before.partition_epoch.0, after.partition_epoch.0);
    if to > from {
        let data = state_data(after, planner.context.zk_epoch);
        let reached = planner.pad(entity, &state_path, &data, from, to);
        if reached != to {
            planner.set(entity, state_path, Some(data));
        }
    } else if to < from || !same_state(before, after) {
        // No change record does this; a partition that was recorded anew under the same topic id may.
        planner.delete(entity, state_path);
        create_state(entity, name, partition, after, planner);
    }
}
