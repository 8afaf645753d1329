//! What brokers in ZooKeeper mode are told while a KRaft controller leads them (KIP-866).
//!
//! A broker in ZooKeeper mode reads no metadata log for what it serves: its controller tells it. So whoever takes the
//! controller role over from ZooKeeper has to send the same three requests as the controller in ZooKeeper did.
//! [`Propagator`] remembers whom it has told what, and plans from images; the port [`BrokerChannel`] sends.
//!
//! | what happened | UpdateMetadata | LeaderAndIsr | StopReplica |
//! | --- | --- | --- | --- |
//! | a new claim: after an election, the copy, a lost session | to all, FULL | to all, FULL | none |
//! | a broker registers, restarts, is unfenced, comes back to ZooKeeper mode | to it FULL; to the others the list of brokers | to it, FULL | none |
//! | a broker's queue was full, or could not be written to | to it, FULL | to it, FULL | none |
//! | a broker is registered or unregistered | the list of brokers to all; partitions with replicas there | none | none |
//! | a partition changes | the partition to all | to its replicas | to replicas that left it |
//! | a topic is deleted | leader -2 to all | none | to its replicas, epoch -2 |
//! | anything else | none | none | none |
//!
//! Receivers are the registered, migrating, unfenced brokers; a KRaft broker never is one. What a broker gets at once is in
//! this order: the list of brokers and deletions (UpdateMetadata), StopReplica, LeaderAndIsr, UpdateMetadata. So it knows
//! where a leader is before it is told to follow it, and a topic that was deleted and made anew under its name is gone
//! before it comes: StopReplica has names only.
//!
//! Where Kafka 3.9 does otherwise (gaps G11 to G15):
//!
//! - Its first full UpdateMetadata is of type UNKNOWN, after which a broker keeps deleted topics until the second. Ours is
//!   FULL, and there is one.
//! - It sends no LeaderAndIsr to a broker without replicas, which then never drops its strays. Ours gets an empty FULL one.
//! - A full request makes brokers drop topics, never single partitions. That is so in the brokers; metadata logs never drop
//!   single partitions either. If one does, the incremental requests say so.
//! - Its list of offline replicas of a deleted topic holds the online ones. Ours holds the offline ones, and partitions whose
//!   replicas go on- or offline without any other change are told too.
//! - Its `isNew` is always true. Ours is true for a replica that the broker did not have before.
//!
//! As in Kafka, a broker that is registered and fenced counts as live: right after the copy all brokers are fenced until they
//! have read the log, and clients must find them meanwhile.

mod channel;
mod plan;
mod propagator;
mod request;

pub use channel::{BrokerChannel, Enqueued, Receiver};
pub use propagator::{Order, Propagated, Propagator};
pub use request::{
    ActingController, BrokerRequest, LeaderAndIsrPartition, LeaderAndIsrRequest, LiveBroker, LiveLeader, RequestType,
    Stamp, StopReplicaPartition, StopReplicaRequest, TopicStates, UpdateMetadataPartition, UpdateMetadataRequest,
};
