//! A reference controller, for people who build their own: Kafka's brokers served over their own protocol, on the crates of
//! this workspace.
//!
//! ```text
//!   brokers ──requests──> wire ──> serve ──> decide ──records──> write ──> the log
//!      ^                             │                                       │
//!      │                             └────────── batches, snapshots <────────┤
//!      └──────────────────────── channel <── migration::propagate <──────────┘
//! ```
//!
//! - [`wire`]: frames in, decoded requests to a service, answers out, with limits for everything that comes from outside.
//! - [`decide`]: what the active controller decides, as pure functions over the image.
//! - [`serve`]: each request's answer; sessions of brokers; leaders that follow from who is there.
//! - [`mod@write`]: the one way into the log, past the migration's gate.
//! - [`channel`]: what brokers in ZooKeeper mode are told, with a queue and a connection for each.
//!
//! What is served so far is what brokers of Kafka 3.9 in ZooKeeper mode need to live through a migration, but for what they
//! forward of their clients; [`wire::APIS`] is the list.

pub mod channel;
mod convert;
pub mod decide;
mod error;
pub mod serve;
pub mod wire;
pub mod write;

pub use error::KafkaError;
