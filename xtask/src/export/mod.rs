//! A stopped cluster in ZooKeeper mode as directories that KRaft starts from.
//!
//! All of ZooKeeper's metadata become one snapshot in a controller's directory; the brokers' log directories get what KRaft
//! asks of them. [`look`] sees whether the cluster is stopped, [`prepare`] makes the metadata of the records that
//! `store-zk` reads, [`judge_brokers`] says what the log directories lack, [`settings`] what of a broker's configuration
//! nobody takes any more. All decisions are pure; `cargo xtask export` carries them out, and the formats are those of
//! `store-kraft`.

mod brokers;
mod configs;
mod guard;
mod prepare;
pub mod settings;

pub(crate) use self::brokers::derived;
pub use self::brokers::{BrokerLogs, Conversion, JudgedBrokers, TopicIdToWrite, judge_brokers};
pub use self::configs::{ConfigChange, translate};
pub use self::guard::{Stopped, look};
pub use self::prepare::{EPOCH, LOWEST, Prepared, place, prepare, supported_version};
