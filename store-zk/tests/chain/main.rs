//! The write chain and the store over it: the contract suite, then each rule of the protocol, on the in-memory ZooKeeper
//! and on real servers.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]

mod brokers;
mod contract;
mod fake_captured;
mod fake_claims;
mod fake_faults;
mod fake_give_back;
mod fake_passwords;
mod fake_writes;
mod losses;
mod real_faults;
mod real_rules;
mod records;
mod story;
mod syncs;
mod wide_batches;
