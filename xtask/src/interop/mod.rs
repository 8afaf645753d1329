//! Apache Kafka as the judge: real ZooKeeper, real brokers and controllers, on loopback and in temporary folders.
//!
//! Each [`Part`] is a question to Kafka, in a module of its own; it returns [`Findings`], and whether they hold is decided
//! there. [`ZkModeCluster`] is a cluster as Kafka ran before KRaft. Everything that is started here ends with its value.

mod agreement;
mod boot;
mod capture;
mod cluster;
mod differential;
mod findings;
mod kafka_reads;
mod lab;
mod offline;
mod part;
mod populate;
mod reads_kafka;
mod rollback;
mod served;
mod source;
mod view;
mod zk_brokers;

pub use self::boot::{BootSpec, Booted};
pub use self::capture::{Captured, capture};
pub use self::cluster::{ClusterSpec, PASSWORD_ENCODER_SECRET, TOKEN_SECRET, ZkModeCluster};
pub use self::findings::Findings;
pub use self::lab::Lab;
pub use self::part::{Part, PartOptions, PartReport, Verdict};
pub use self::populate::{
    AclEntry, Grant, HalfDone, MadeBrokerConfig, MadeQuota, MadeToken, MadeTopic, MadeUser, Pattern, PopulateOptions,
    Populated, QuotaEntity, Resource, consume, leave_half_done, populate,
};
pub use self::view::{Asked, View, login};
