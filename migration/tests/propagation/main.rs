//! What brokers in ZooKeeper mode are told, seen from the brokers: nothing but memory.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]

mod cluster;
mod model;
mod random;
mod table;
