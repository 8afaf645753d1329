//! One partition as the image holds it.

use crate::id::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, TopicId};
use crate::record::{NO_LEADER_CHANGE, PartitionChangeRecord, PartitionRecord};

/// Whether a partition's leader was elected from the ISR or not (KIP-704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeaderRecoveryState {
    /// The log is whole: the leader came from the ISR, or has finished recovering.
    #[default]
    Recovered,
    /// An unclean election happened and the leader has not recovered yet.
    Recovering,
}

impl LeaderRecoveryState {
    /// The byte in records and the number in the partition's znode.
    pub fn code(self) -> i8 {
        match self {
            Self::Recovered => 0,
            Self::Recovering => 1,
        }
    }

    /// The state with this code, if there is one.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

/// Kafka's `PartitionRegistration`: who replicates, who leads, and the epochs. It takes 136 bytes on a 64-bit machine, and
/// an allocation for each list that is not empty: that is what bounds an image of a million partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// Replicas in preferred order: the first is the preferred leader.
    pub replicas: Box<[NodeId]>,
    /// In-sync replicas.
    pub isr: Box<[NodeId]>,
    /// Replicas that a running reassignment will take away; also among `replicas`.
    pub removing_replicas: Box<[NodeId]>,
    /// Replicas that a running reassignment has added; also among `replicas`.
    pub adding_replicas: Box<[NodeId]>,
    /// The log directory of each replica, in the order of `replicas`. Empty means that all are
    /// [`DirectoryId::MIGRATING`], as everything copied from ZooKeeper is.
    pub directories: Box<[DirectoryId]>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Box<[NodeId]>,
    /// The last known eligible leader replicas (KIP-966).
    pub last_known_elr: Box<[NodeId]>,
    /// The leader, if there is one.
    pub leader: Option<NodeId>,
    /// Raised by each leader election, also when the same leader is elected.
    pub leader_epoch: LeaderEpoch,
    /// Raised by each change of this registration.
    pub partition_epoch: PartitionEpoch,
    /// Whether the leader still recovers from an unclean election.
    pub leader_recovery_state: LeaderRecoveryState,
}

/// Empty when all are MIGRATING, so that "not known" has one form. Directories that are given must be as many as the
/// replicas, whatever they are.
fn normal_directories(directories: &[DirectoryId], replica_count: usize) -> Result<Box<[DirectoryId]>, String> {
    if !directories.is_empty() && directories.len() != replica_count {
        return Err(format!("{} directories for {replica_count} replicas", directories.len()));
    }
    let unknown = directories.iter().all(|id| *id == DirectoryId::MIGRATING);
    Ok(if unknown { Box::default() } else { directories.into() })
}

fn recovery_state(code: i8) -> Result<LeaderRecoveryState, String> {
    LeaderRecoveryState::from_code(code).ok_or_else(|| format!("leader recovery state {code} is unknown"))
}

impl PartitionRegistration {
    /// What a [`PartitionRecord`] says.
    ///
    /// # Errors
    /// A text that says what is wrong with the record.
    pub fn from_record(record: &PartitionRecord) -> Result<Self, String> {
        Ok(Self {
            replicas: record.replicas.as_slice().into(),
            isr: record.isr.as_slice().into(),
            removing_replicas: record.removing_replicas.as_slice().into(),
            adding_replicas: record.adding_replicas.as_slice().into(),
            directories: normal_directories(&record.directories, record.replicas.len())?,
            elr: record.eligible_leader_replicas.as_deref().unwrap_or_default().into(),
            last_known_elr: record.last_known_elr.as_deref().unwrap_or_default().into(),
            leader: record.leader.known(),
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            leader_recovery_state: recovery_state(record.leader_recovery_state)?,
        })
    }

    /// The record that recreates this partition. Fields that `version` lacks are left out: directories below 1, eligible
    /// leader replicas below 2.
    pub fn to_record(&self, topic_id: TopicId, partition: crate::id::PartitionId, version: i16) -> PartitionRecord {
        let elr = |replicas: &[NodeId]| (version >= 2 && !replicas.is_empty()).then(|| replicas.to_vec());
        PartitionRecord {
            partition_id: partition,
            topic_id,
            replicas: self.replicas.to_vec(),
            isr: self.isr.to_vec(),
            removing_replicas: self.removing_replicas.to_vec(),
            adding_replicas: self.adding_replicas.to_vec(),
            leader: self.leader.unwrap_or(NodeId::NONE),
            leader_recovery_state: self.leader_recovery_state.code(),
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: if version >= 1 { self.directories_per_replica() } else { Vec::new() },
            eligible_leader_replicas: elr(&self.elr),
            last_known_elr: elr(&self.last_known_elr),
            ..PartitionRecord::default()
        }
    }

    /// The directory of each replica, in their order.
    pub fn directories_per_replica(&self) -> Vec<DirectoryId> {
        if self.directories.is_empty() {
            vec![DirectoryId::MIGRATING; self.replicas.len()]
        } else {
            self.directories.to_vec()
        }
    }

    /// This registration with a change merged in (Kafka: `PartitionRegistration.merge`). The partition epoch grows by
    /// one for every record, even an empty one, and the leader epoch whenever the record names a leader, even the
    /// present one.
    ///
    /// # Errors
    /// A text that says what is wrong with the record.
    pub fn merge(&self, change: &PartitionChangeRecord) -> Result<Self, String> {
        let or_else = |changed: &Option<Vec<NodeId>>, present: &[NodeId]| -> Box<[NodeId]> {
            changed.as_deref().unwrap_or(present).into()
        };
        let replicas = or_else(&change.replicas, &self.replicas);
        let directories = match &change.directories {
            Some(directories) => normal_directories(directories, replicas.len())?,
            None if self.directories.is_empty() || replicas.len() == self.replicas.len() => self.directories.clone(),
            None => return Err("the number of replicas changes without their directories".to_owned()),
        };
        let names_leader = change.leader != NO_LEADER_CHANGE;
        Ok(Self {
            isr: or_else(&change.isr, &self.isr),
            removing_replicas: or_else(&change.removing_replicas, &self.removing_replicas),
            adding_replicas: or_else(&change.adding_replicas, &self.adding_replicas),
            elr: or_else(&change.eligible_leader_replicas, &self.elr),
            last_known_elr: or_else(&change.last_known_elr, &self.last_known_elr),
            leader: if names_leader { change.leader.known() } else { self.leader },
            leader_epoch: LeaderEpoch(self.leader_epoch.0.wrapping_add(i32::from(names_leader))),
            partition_epoch: PartitionEpoch(self.partition_epoch.0.wrapping_add(1)),
            leader_recovery_state: match change.leader_recovery_state {
                -1 => self.leader_recovery_state,
                code => recovery_state(code)?,
            },
            replicas,
            directories,
        })
    }
}
