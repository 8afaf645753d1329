//! The change of one partition: who is in sync, who leads, and what follows from both (`PartitionChangeBuilder`).

use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::image::{LeaderRecoveryState, MetadataImage, PartitionRegistration, TopicPartition};
use metadata_core::record::{NO_LEADER_CHANGE, PartitionChangeRecord};

/// The log directory of a new replica, as Kafka's controller names it (`ClusterControlManager.defaultDir`): the only one of a
/// broker that has one, UNASSIGNED for a broker that has several, MIGRATING for a broker that has told of none.
pub fn new_directory(image: &MetadataImage, broker: NodeId) -> DirectoryId {
    match image.cluster().broker(broker).map(|broker| broker.directories.as_slice()) {
        None | Some([]) => DirectoryId::MIGRATING,
        Some([only]) => *only,
        Some(_) => DirectoryId::UNASSIGNED,
    }
}

/// Which leaders are allowed (Kafka: `PartitionChangeBuilder.Election`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The present leader if it can, else the first replica in sync that can.
    Online,
    /// The first replica if it can, else as [`Self::Online`].
    Preferred,
    /// As [`Self::Online`], and if nobody in sync can, the first replica that can: messages may be lost.
    Unclean,
}

/// Who may do what now.
pub trait Fitness: Send + Sync {
    /// Whether a broker may become a leader.
    fn may_lead(&self, id: NodeId) -> bool;

    /// Whether a broker that leads, or is in sync, may stay so.
    fn may_stay(&self, id: NodeId) -> bool {
        self.may_lead(id)
    }

    /// The log directory in which a new replica on this broker is put.
    fn directory(&self, id: NodeId) -> DirectoryId;
}

/// A change to be made. Begin with [`Self::of`], set what is to be, and [`build`](Self::build).
pub struct PartitionChange<'a> {
    place: TopicPartition,
    now: &'a PartitionRegistration,
    fitness: &'a dyn Fitness,
    /// Which leaders are allowed.
    pub election: Election,
    /// The replicas in sync. Empty if none is: then nobody leads, and the record of who was in sync last stays.
    pub isr: Vec<NodeId>,
    /// All replicas.
    pub replicas: Vec<NodeId>,
    /// Of these, the ones that come.
    pub adding: Vec<NodeId>,
    /// Of these, the ones that go.
    pub removing: Vec<NodeId>,
    /// Whether the leader has recovered from an unclean election.
    pub recovery: LeaderRecoveryState,
    /// Whether the leader epoch is raised when a replica falls out of sync: so it must be while there are brokers in
    /// ZooKeeper mode, whose followers truncate by it (KAFKA-15021).
    pub raise_epoch_on_shrink: bool,
}

impl<'a> PartitionChange<'a> {
    /// No change yet.
    pub fn of(place: TopicPartition, now: &'a PartitionRegistration, fitness: &'a dyn Fitness) -> Self {
        Self {
            place,
            now,
            fitness,
            election: Election::Online,
            isr: now.isr.to_vec(),
            replicas: now.replicas.to_vec(),
            adding: now.adding_replicas.to_vec(),
            removing: now.removing_replicas.to_vec(),
            recovery: now.leader_recovery_state,
            raise_epoch_on_shrink: false,
        }
    }

    /// The record, or `None` if nothing changes.
    pub fn build(mut self) -> Option<PartitionChangeRecord> {
        let now = self.now;
        self.complete_reassignment();
        let mut record = PartitionChangeRecord {
            partition_id: self.place.partition,
            topic_id: self.place.topic_id,
            ..PartitionChangeRecord::default()
        };
        let (leader, unclean) = self.elect();
        if leader != now.leader {
            record.leader = leader.unwrap_or(NodeId::NONE);
            if let Some(leader) = leader.filter(|_| unclean) {
                self.isr = vec![leader];
                self.recovery = LeaderRecoveryState::Recovering;
            }
        }
        let shrinks = !self.isr.is_empty() && now.isr.iter().any(|id| !self.isr.contains(id));
        let leaves = now.replicas.iter().any(|id| !self.replicas.contains(id));
        if record.leader == NO_LEADER_CHANGE && (leaves || shrinks && self.raise_epoch_on_shrink) {
            // The same leader, in a new epoch.
            record.leader = now.leader.unwrap_or(NodeId::NONE);
        }
        record.isr = (!self.isr.is_empty() && self.isr[..] != now.isr[..]).then(|| self.isr.clone());
        if self.replicas[..] != now.replicas[..] {
            record.directories = Some(self.directories());
            record.replicas = Some(self.replicas);
        }
        record.removing_replicas = (self.removing[..] != now.removing_replicas[..]).then_some(self.removing);
        record.adding_replicas = (self.adding[..] != now.adding_replicas[..]).then_some(self.adding);
        if self.recovery != now.leader_recovery_state {
            record.leader_recovery_state = self.recovery.code();
        }
        let empty = PartitionChangeRecord {
            partition_id: record.partition_id,
            topic_id: record.topic_id,
            ..PartitionChangeRecord::default()
        };
        (record != empty).then_some(record)
    }

    /// A reassignment is complete once everyone who comes is in sync, and somebody is who stays.
    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let stays = |id: &NodeId| !self.removing.contains(id);
        let isr: Vec<NodeId> = self.isr.iter().copied().filter(stays).collect();
        if isr.is_empty() || self.adding.iter().any(|id| !isr.contains(id)) {
            return;
        }
        self.replicas = self.replicas.iter().copied().filter(stays).collect();
        self.isr = isr;
        self.adding.clear();
        self.removing.clear();
    }

    /// Who leads, and whether somebody was taken who is not in sync.
    fn elect(&self) -> (Option<NodeId>, bool) {
        let in_sync = |id: &NodeId| self.isr.contains(id);
        let stays =
            self.now.leader.filter(|id| in_sync(id) && self.replicas.contains(id) && self.fitness.may_stay(*id));
        let fit = |id: &NodeId| self.fitness.may_lead(*id);
        let preferred = self.replicas.first().copied().filter(|id| in_sync(id) && fit(id));
        if self.election == Election::Preferred && preferred.is_some() {
            return (preferred, false);
        }
        let clean = stays.or_else(|| self.replicas.iter().copied().find(|id| in_sync(id) && fit(id)));
        if clean.is_some() || self.election != Election::Unclean {
            return (clean, false);
        }
        let unclean = self.replicas.iter().copied().find(fit);
        (unclean, unclean.is_some())
    }

    fn directories(&self) -> Vec<DirectoryId> {
        let present = self.now.directories_per_replica();
        let of = |id: &NodeId| {
            let place = self.now.replicas.iter().position(|replica| replica == id);
            place.and_then(|place| present.get(place).copied()).unwrap_or_else(|| self.fitness.directory(*id))
        };
        self.replicas.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests;
