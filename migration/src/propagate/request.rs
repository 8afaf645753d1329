//! The requests that a controller sends to brokers in ZooKeeper mode, as plain values: LeaderAndIsr, UpdateMetadata and
//! StopReplica of Kafka 3.9. Whoever has a Kafka protocol library encodes them; the constants say in which version.
//!
//! What all three have in common is in [`Stamp`]. Each also has the flag `isKRaftController`, which is always true here: it
//! makes a broker take the sender's epoch for newer than any of a controller in ZooKeeper.

use std::collections::BTreeMap;
use std::sync::Arc;

use metadata_core::id::{BrokerEpoch, KRaftLeaderEpoch, LeaderEpoch, NodeId, PartitionId, TopicId, ZkControllerEpoch};
use metadata_core::image::{Endpoint, PartitionRegistration};
use metadata_core::leadership::{Fence, Leadership};

/// The controller that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActingController {
    /// The active KRaft controller's own id, never another's: brokers send what is meant for the controller to it.
    pub id: NodeId,
    /// The claimed epoch in `/controller_epoch`: brokers refuse requests with a smaller one (STALE_CONTROLLER_EPOCH).
    pub zk_epoch: ZkControllerEpoch,
    /// The epoch of the metadata quorum: the controller epoch of each partition.
    pub kraft_epoch: KRaftLeaderEpoch,
}

impl ActingController {
    /// Who speaks under this leadership; `None` unless it holds a claim of ZooKeeper.
    pub fn of(leadership: &Leadership) -> Option<Self> {
        match leadership.fence {
            Fence::ZooKeeper(claim) => {
                Some(Self { id: leadership.kraft.id, zk_epoch: claim.epoch, kraft_epoch: leadership.kraft.epoch })
            }
            _ => None,
        }
    }
}

/// Who sends a request, and to which registration of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// `ControllerId` and `ControllerEpoch` of the request.
    pub controller: ActingController,
    /// `BrokerEpoch`: the offset of the receiver's registration. A restarted broker refuses an older one
    /// (STALE_BROKER_EPOCH). `None` is Kafka's -1: unknown, which the broker does not check.
    pub broker_epoch: Option<BrokerEpoch>,
}

/// Whether a request says everything. A broker drops what a full one lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestType {
    /// Changes only.
    Incremental,
    /// All there is: topics that are absent, by id, are gone.
    Full,
}

impl RequestType {
    /// The number in the request. (0, unknown, is never sent: a full request of unknown type drops nothing.)
    pub fn code(self) -> i8 {
        match self {
            Self::Incremental => 1,
            Self::Full => 2,
        }
    }
}

/// A topic with some of its partitions. Shared between the requests to all brokers where it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStates<P> {
    /// The name.
    pub name: Arc<str>,
    /// The id.
    pub id: TopicId,
    /// By number, ascending.
    pub partitions: Vec<P>,
}

/// Tells a broker the partitions that it replicates (`LeaderAndIsrRequest`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrRequest {
    /// From whom, to whom.
    pub stamp: Stamp,
    /// Full: a replica on the broker that is not listed, or has another topic id, is a stray and leaves service.
    pub request_type: RequestType,
    /// By topic id.
    pub topics: Vec<TopicStates<LeaderAndIsrPartition>>,
    /// Where the leaders of these partitions are reached: those that are registered and have the brokers' listener.
    pub live_leaders: Vec<LiveLeader>,
}

impl LeaderAndIsrRequest {
    /// Kafka's api key.
    pub const API_KEY: i16 = 4;
    /// The version with `isKRaftController`, the lowest that may be used.
    pub const VERSION: i16 = 7;
}

/// A partition in a [`LeaderAndIsrRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAndIsrPartition {
    /// Its number.
    pub partition: PartitionId,
    /// Replicas, ISR, leader, epochs. Its `directories` and eligible leaders are not told.
    pub registration: Arc<PartitionRegistration>,
    /// The broker has not had this replica before. A broker with a directory offline makes no log for a replica that is not
    /// new, since its log may be in that directory.
    pub is_new: bool,
}

/// A leader's address in a [`LeaderAndIsrRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveLeader {
    /// The broker.
    pub id: NodeId,
    /// Its host, as registered.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Tells a broker what its clients may ask for (`UpdateMetadataRequest`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateMetadataRequest {
    /// From whom, to whom.
    pub stamp: Stamp,
    /// Full: topics that are not listed, by id, are forgotten.
    pub request_type: RequestType,
    /// By topic id.
    pub topics: Arc<[TopicStates<UpdateMetadataPartition>]>,
    /// Every registered broker. A broker replaces its list by this one, so that it is always whole.
    pub live_brokers: Arc<[LiveBroker]>,
}

impl UpdateMetadataRequest {
    /// Kafka's api key.
    pub const API_KEY: i16 = 6;
    /// The version with `isKRaftController`, the lowest that may be used.
    pub const VERSION: i16 = 8;
}

/// A partition in an [`UpdateMetadataRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateMetadataPartition {
    /// It is there.
    Present {
        /// Its number.
        partition: PartitionId,
        /// Replicas, ISR, leader, epochs. The field `ZkVersion` is the partition epoch.
        registration: Arc<PartitionRegistration>,
        /// Replicas on brokers that are not registered.
        offline_replicas: Vec<NodeId>,
    },
    /// It is gone: leader -2, leader epoch 0, version 0, and the claimed ZooKeeper epoch in place of the KRaft epoch.
    Deleted {
        /// Its number.
        partition: PartitionId,
        /// The replicas that it had.
        replicas: Vec<NodeId>,
        /// Of them, those on brokers that are not registered.
        offline_replicas: Vec<NodeId>,
    },
}

impl UpdateMetadataPartition {
    /// The leader of a deleted partition (`LeaderAndIsr.LeaderDuringDelete`).
    pub const LEADER_DURING_DELETE: i32 = -2;

    /// Its number.
    pub fn partition(&self) -> PartitionId {
        match self {
            Self::Present { partition, .. } | Self::Deleted { partition, .. } => *partition,
        }
    }
}

/// A broker in an [`UpdateMetadataRequest`]. Nothing tells whether it runs in ZooKeeper mode or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveBroker {
    /// The broker.
    pub id: NodeId,
    /// All its listeners by name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// Its rack, if told.
    pub rack: Option<String>,
}

/// Tells a broker which replicas it no longer has (`StopReplicaRequest`). They are always deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReplicaRequest {
    /// From whom, to whom.
    pub stamp: Stamp,
    /// By topic id; the request itself carries only names.
    pub topics: Vec<TopicStates<StopReplicaPartition>>,
}

impl StopReplicaRequest {
    /// Kafka's api key.
    pub const API_KEY: i16 = 5;
    /// The version with `isKRaftController`, the lowest that may be used.
    pub const VERSION: i16 = 4;
}

/// A partition in a [`StopReplicaRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopReplicaPartition {
    /// Its number.
    pub partition: PartitionId,
    /// The leader epoch; `None` when the topic is gone.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl StopReplicaPartition {
    /// The leader epoch of a topic that is gone (`LeaderAndIsr.EpochDuringDelete`): no broker compares it.
    pub const EPOCH_DURING_DELETE: i32 = -2;

    /// The number in the request.
    pub fn leader_epoch_code(self) -> i32 {
        self.leader_epoch.map_or(Self::EPOCH_DURING_DELETE, |epoch| epoch.0)
    }
}

/// Any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerRequest {
    /// See [`LeaderAndIsrRequest`].
    LeaderAndIsr(LeaderAndIsrRequest),
    /// See [`UpdateMetadataRequest`].
    UpdateMetadata(UpdateMetadataRequest),
    /// See [`StopReplicaRequest`].
    StopReplica(StopReplicaRequest),
}

impl BrokerRequest {
    /// From whom, to whom.
    pub fn stamp(&self) -> Stamp {
        match self {
            Self::LeaderAndIsr(request) => request.stamp,
            Self::UpdateMetadata(request) => request.stamp,
            Self::StopReplica(request) => request.stamp,
        }
    }
}
