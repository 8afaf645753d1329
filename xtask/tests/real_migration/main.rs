//! Whole migrations on a real ZooKeeper, by the binary as people run it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

mod change;
mod demo;
mod finalize;
mod full_disk;
mod harness;
mod migrate;
mod refusals;
mod rollback;
mod takeover;
mod verify;
