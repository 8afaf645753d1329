//! A Kafka cluster's metadata in ZooKeeper, as a [`MetadataStore`](metadata_core::store::MetadataStore).
//!
//! - [`znode`]: every znode family that Kafka has, read and written in Kafka's formats.
//! - [`import`]: znodes to records. [`project`]: an image, or a change of it, to operations on znodes. [`compare`]: what may
//!   differ and what may not. All three are pure.
//! - `chain`: the protocol by which changes reach ZooKeeper; whatever dies, ZooKeeper holds a prefix of them.
//! - [`client`]: the edge to ZooKeeper, one small trait; `testkit` (feature) has an in-memory one, real servers and faults.
//! - `give_back`: the way back, in one multi ([`ControllerRole`](metadata_core::give_back::ControllerRole)).
//! - [`ZkStore`] puts them together; [`ZkBrokerIds`] watches `/brokers/ids`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use fencing::QuorumIdentity;
//! use metadata_core::id::NodeId;
//! use metadata_core::store::MetadataStore;
//! use store_zk::client::config::ZkClientConfig;
//! use store_zk::{ZkStore, ZkStoreOptions};
//!
//! let config = ZkClientConfig::from_connect_string("zk1:2181,zk2:2181/kafka")?;
//! let quorum = QuorumIdentity { cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".into(), log_id: "a-log".into() };
//! let store = ZkStore::new(config.connector()?, ZkStoreOptions::new(quorum, [NodeId(3000)].into()));
//!
//! // Everything that ZooKeeper holds, as records. Nothing is written.
//! let mut records = Vec::new();
//! let position = store.load(&mut records).await?;
//! println!("{} records, written from a log up to {position}", records.len());
//! # Ok(())
//! # }
//! ```

mod broker_ids;
mod chain;
pub mod client;
pub mod compare;
mod error;
mod give_back;
pub mod import;
pub mod project;
mod read;
mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
mod verify;
pub mod znode;

pub use broker_ids::ZkBrokerIds;
pub use read::{ReadCounters, ReadTotals};
pub use store::{ZkStore, ZkStoreOptions};
