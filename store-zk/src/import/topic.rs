//! A topic: its id, its configs and its partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metadata_core::id::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicId, ZkControllerEpoch};
use metadata_core::image::LeaderRecoveryState;
use metadata_core::record::{MetadataRecord, PartitionRecord, TopicRecord, VersionedRecord};
use metadata_core::uuid::Uuid;
use sha2::{Digest as _, Sha256};

use super::config::Resource;
use super::{Importer, Step};
use crate::znode::partition::PartitionState;
use crate::znode::topic::{Assignment, TopicZnode};
use crate::znode::{Malformed, Znode, path};

/// The znodes of one topic.
#[derive(Debug, Clone, Copy)]
pub struct TopicZnodes<'a> {
    /// The topic's name.
    pub name: &'a str,
    /// `/brokers/topics/T`; `None` when it was deleted after it was listed.
    pub topic: Option<&'a Znode>,
    /// `/config/topics/T`, if it exists.
    pub config: Option<&'a Znode>,
    /// `/brokers/topics/T/partitions/P/state` of each partition that has one. Partitions that the topic does not list
    /// are ignored.
    pub states: &'a BTreeMap<PartitionId, Znode>,
    /// Partitions without a state whose `/brokers/topics/T/partitions/P` exists all the same: their state was lost. One
    /// that has neither is new, and its controller has not got to it yet.
    pub stateless: &'a BTreeSet<PartitionId>,
}

impl Importer {
    /// The records of one topic: the topic, its configs by name, its partitions by number. Whoever has it pending for
    /// deletion calls [`Importer::pending_deletion`] instead.
    ///
    /// With a problem anywhere in the topic it gives no records; all its problems are kept.
    pub fn topic(&mut self, znodes: &TopicZnodes<'_>) -> Vec<VersionedRecord> {
        let Some(znode) = znodes.topic else {
            self.deleted_meanwhile(znodes.name);
            return Vec::new();
        };
        let problems = self.findings.problem_count();
        let topic_path = path::topic(znodes.name);
        let topic = match self.topic_record(znodes.name, znode, &topic_path) {
            Ok((topic_id, topic)) => Some((topic_id, topic)),
            Err(reason) => {
                self.findings.problem(&topic_path, reason.to_string());
                None
            }
        };
        let configs = self.topic_configs(znodes);
        let partitions = match &topic {
            Some((topic_id, topic)) => self.partitions(znodes, *topic_id, topic),
            None => Vec::new(),
        };
        let record = topic.map(|(topic_id, _)| {
            MetadataRecord::from(TopicRecord { name: znodes.name.to_owned(), topic_id, ..Default::default() })
        });
        let all = record.into_iter().chain(configs).chain(partitions).collect();
        let step = if self.findings.problem_count() == problems { Ok(all) } else { Ok(Vec::new()) };
        self.conclude(&topic_path, step)
    }

    /// Notes that a topic was left out, all of it, since it was deleted after it was listed.
    pub fn deleted_meanwhile(&mut self, topic: &str) {
        self.findings.warn(path::topic(topic), "the topic was deleted while ZooKeeper was read, and is not copied");
    }

    /// Notes that a topic was deleted and made anew while it was read: what was read is of neither.
    pub fn made_anew_meanwhile(&mut self, topic: &str) {
        self.findings.problem(path::topic(topic), "the topic was made anew while it was read: read again");
    }

    fn topic_record(
        &mut self,
        name: &str,
        znode: &Znode,
        topic_path: &str,
    ) -> Result<(TopicId, TopicZnode), Malformed> {
        let topic = TopicZnode::decode(znode.data.as_deref().unwrap_or_default())?;
        let derived = self.cluster_id.as_ref().filter(|_| topic.topic_id.is_none());
        let derived = derived.map(|cluster_id| derived_topic_id(cluster_id, name));
        if let Some(topic_id) = derived {
            self.findings.warn(topic_path, format!("the topic has no id and gets {topic_id}"));
        }
        let topic_id = topic.topic_id.or(derived).ok_or_else(|| {
            Malformed::new(
                "the topic has no id: let a broker with inter.broker.protocol.version 2.8 or later become the \
                 controller, which gives it one",
            )
        })?;
        if topic_id.0.is_zero() {
            return Err(Malformed::new("the topic's id is zero, which Kafka reserves"));
        }
        if let Some(other) = self.topic_ids.insert(topic_id, Arc::from(name)).filter(|other| **other != *name) {
            return Err(Malformed::new(format!("topic {other:?} has the same id {topic_id}")));
        }
        let replicas = topic.partitions.values().flat_map(|assignment| assignment.replicas.iter().copied());
        self.manifest.replicas.extend(replicas.filter(|id| id.0 >= 0));
        for partition in &topic.unlisted {
            let reason =
                format!("partition {partition} is reassigned and is not listed: the reassignment is not copied");
            self.findings.warn(topic_path, reason);
        }
        for (partition, assignment) in &topic.partitions {
            if let Err(reason) = check(assignment) {
                self.findings.problem(topic_path, format!("partition {partition}: {reason}"));
            }
        }
        Ok((topic_id, topic))
    }

    fn topic_configs(&mut self, znodes: &TopicZnodes<'_>) -> Vec<MetadataRecord> {
        let Some(znode) = znodes.config else { return Vec::new() };
        let config_path = path::topic_config(znodes.name);
        let step = self.configs(Resource::Topic(znodes.name), &config_path, znode);
        self.or_problem(&config_path, step)
    }

    fn partitions(&mut self, znodes: &TopicZnodes<'_>, topic_id: TopicId, topic: &TopicZnode) -> Vec<MetadataRecord> {
        let mut records = Vec::with_capacity(topic.partitions.len());
        for (partition, assignment) in &topic.partitions {
            let state_path = path::partition_state(znodes.name, *partition);
            let state = match znodes.states.get(partition) {
                Some(znode) => PartitionState::decode(znode.data.as_deref().unwrap_or_default())
                    .and_then(|state| check_state(&state).map(|()| (state, PartitionEpoch(znode.version.0)))),
                None if znodes.stateless.contains(partition) => Err(Malformed::new(format!(
                    "the partition has lost its state: restore the state, or delete {}, and the partition begins at \
                     leader epoch 0 as a new one does",
                    path::partition(znodes.name, *partition)
                ))),
                None => {
                    self.findings.warn(
                        &state_path,
                        "the partition has no state; it is copied with its first replica as leader and leader epoch 0",
                    );
                    Ok((first_state(assignment), PartitionEpoch(0)))
                }
            };
            match state {
                Ok((state, epoch)) => {
                    for id in strangers(&state, assignment) {
                        let reason = format!("broker {id} leads or is in sync, and is no replica: it is copied so");
                        self.findings.warn(&state_path, reason);
                    }
                    records.push(partition_record(topic_id, *partition, assignment, &state, epoch));
                }
                Err(reason) => self.findings.problem(state_path, reason.to_string()),
            }
        }
        records
    }

    /// The records of a part of an entity; a reason becomes a problem.
    fn or_problem(&mut self, znode_path: &str, step: Step) -> Vec<MetadataRecord> {
        step.unwrap_or_else(|reason| {
            self.findings.problem(znode_path, reason.to_string());
            Vec::new()
        })
    }
}

/// The id of a topic that has none: the same for the same cluster and name. Not reserved, and its text begins with no dash.
pub fn derived_topic_id(cluster_id: &str, name: &str) -> TopicId {
    let mut hash = Sha256::new();
    for text in ["store-zk topic without an id", cluster_id, name] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    TopicId(Uuid::of_hash(hash.finalize().into()))
}

/// What Kafka takes for granted about an assignment, and a hand-written one may lack.
fn check(assignment: &Assignment) -> Result<(), String> {
    check_brokers("replicas", &assignment.replicas)?;
    check_brokers("adding replicas", &assignment.adding)?;
    check_brokers("removing replicas", &assignment.removing)?;
    if assignment.replicas.is_empty() { Err("it has no replicas".to_owned()) } else { Ok(()) }
}

fn check_brokers(name: &str, list: &[NodeId]) -> Result<(), String> {
    if let Some(id) = list.iter().find(|id| id.0 < 0) {
        return Err(format!("{id} among its {name} is not a broker id"));
    }
    let mut sorted = list.to_vec();
    sorted.sort();
    match sorted.array_windows::<2>().find(|[one, next]| one == next) {
        Some([id, _]) => Err(format!("broker {id} is twice among its {name}")),
        None => Ok(()),
    }
}

/// What no controller writes into a state.
fn check_state(state: &PartitionState) -> Result<(), Malformed> {
    if state.leader_epoch.0 < 0 {
        return Err(Malformed::new(format!("`leader_epoch` is {}, below 0", state.leader_epoch)));
    }
    check_brokers("in-sync replicas (`isr`)", &state.isr).map_err(Malformed::new)
}

/// The leader and the in-sync replicas that are no replicas: possible for a moment during a reassignment.
fn strangers(state: &PartitionState, assignment: &Assignment) -> BTreeSet<NodeId> {
    let known = state.isr.iter().copied().chain(state.leader);
    known.filter(|id| !assignment.replicas.contains(id)).collect()
}

/// What Kafka takes for the state of a partition that has none.
fn first_state(assignment: &Assignment) -> PartitionState {
    PartitionState {
        leader: assignment.replicas.first().copied(),
        leader_epoch: LeaderEpoch(0),
        controller_epoch: ZkControllerEpoch(0),
        isr: assignment.replicas.clone(),
        leader_recovery_state: LeaderRecoveryState::Recovered,
    }
}

fn partition_record(
    topic_id: TopicId,
    partition_id: PartitionId,
    assignment: &Assignment,
    state: &PartitionState,
    partition_epoch: PartitionEpoch,
) -> MetadataRecord {
    PartitionRecord {
        partition_id,
        topic_id,
        replicas: assignment.replicas.clone(),
        isr: state.isr.clone(),
        removing_replicas: assignment.removing.clone(),
        adding_replicas: assignment.adding.clone(),
        leader: state.leader.unwrap_or(NodeId::NONE),
        leader_recovery_state: state.leader_recovery_state.code(),
        leader_epoch: state.leader_epoch,
        partition_epoch,
        directories: Vec::<DirectoryId>::new(),
        ..Default::default()
    }
    .into()
}

#[cfg(test)]
mod tests {
    use metadata_core::id::ZkVersion;
    use metadata_core::metadata_version::MetadataVersion;

    use super::*;
    use crate::import::ImportContext;

    #[test]
    fn a_topic_without_an_id_gets_one_only_where_it_is_asked_for() {
        let context = ImportContext { secret: None, metadata_version: MetadataVersion::V3_9_IV0 };
        let topic = Znode { data: Some(r#"{"version":1,"partitions":{"0":[1]}}"#.into()), version: ZkVersion(0) };
        let znodes = TopicZnodes {
            name: "t",
            topic: Some(&topic),
            config: None,
            states: &BTreeMap::new(),
            stateless: &BTreeSet::new(),
        };
        let mut refuses = Importer::new(context.clone());
        assert!(refuses.topic(&znodes).is_empty());
        assert_eq!(refuses.findings().problem_count(), 1);
        let mut gives = Importer::new(context).with_topic_ids_of("ours");
        let records = gives.topic(&znodes);
        let MetadataRecord::Topic(record) = &records[0].record else { panic!("{records:?}") };
        assert_eq!(record.topic_id, derived_topic_id("ours", "t"));
        assert_eq!((records.len(), gives.findings().problem_count()), (2, 0));
        let said = gives.findings().warnings().iter().any(|warning| warning.reason.contains("has no id"));
        assert!(said, "{:?}", gives.findings().warnings());
    }

    #[test]
    fn derived_ids_depend_on_cluster_and_name() {
        // Pinned: an id that was derived once is in the directories of brokers.
        assert_eq!(derived_topic_id("ours", "t").to_string(), "Zjt3QEWXiYKfD2rBJDoesw");
        let ids = [("ours", "t"), ("ours", "u"), ("our", "st")].map(|(cluster, name)| derived_topic_id(cluster, name));
        assert_eq!(BTreeSet::from(ids).len(), 3);
        assert!((0..300).all(|number| !derived_topic_id("c", &number.to_string()).to_string().starts_with('-')));
    }
}
