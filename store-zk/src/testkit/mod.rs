//! ZooKeepers to test against: one in memory, real ones, and a proxy that breaks their connections.
//!
//! - [`fake`]: no sockets, no clock, every fault at a chosen request. For everything that can be tested in memory.
//! - [`server`]: real servers, alone or as an ensemble, killed, paused and restarted at will.
//! - [`captured`]: trees that a real Kafka wrote, as files.
//! - [`proxy`]: stands in front of a real server and cuts, delays, or loses the reply to a write that was applied.

pub mod captured;
mod debian;
pub mod fake;
mod install;
mod maven;
mod process;
pub mod proxy;
pub mod server;
mod shared;

pub use self::install::{ZooKeeperProgram, find_java, find_zookeeper};
pub use self::maven::{Artifact, NoMaven, class_path, maven_jars};
pub use self::process::Process;
pub use self::server::free_port;
pub use self::shared::{shared_server, unique_path};
