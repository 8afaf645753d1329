//! Three controllers over a real ZooKeeper, and what cuts them off: from each other, from ZooKeeper, from both.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

mod asleep;
mod cut_off;
mod operators;
// The same ways between controllers that the quorum's own tests cut.
#[path = "../../../store-kraft/tests/quorum/proxy.rs"]
mod proxy;
mod trio;
