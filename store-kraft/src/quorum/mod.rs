//! The quorum: openraft between the appends that come in and the two logs.
//!
//! ```text
//!   MetadataLog::append ──> propose (group commit) ──> Raft ──> storage ──> machine (a thread) ──> apply ──> view
//!                                                       │                                                     │
//!                                                       └────────────── lead (who leads, LeaderStart) <───────┘
//! ```
//!
//! - [`types`]: what openraft is run with. [`proposal`]: what an entry says and what `apply` answers.
//! - [`propose`]: appends share entries.
//! - [`apply`]: the state machine proper. [`machine`]: the thread that owns it. `storage`: openraft's view of it.
//! - [`lead`]: follows elections and starts each epoch. [`view`]: what readers see; [`recent`]: what they would have seen a little
//!   earlier.
//! - [`members`]: who is in it; [`change`]: adds and removes voters; [`status`]: how it is. How other members are reached is
//!   in [`crate::peer`].

pub(crate) mod apply;
pub(crate) mod change;
pub(crate) mod config;
pub(crate) mod lead;
pub(crate) mod machine;
pub(crate) mod members;
pub(crate) mod proposal;
pub(crate) mod propose;
pub(crate) mod recent;
pub(crate) mod status;
mod storage;
pub(crate) mod types;
pub(crate) mod view;

pub(crate) use proposal::GROUP_BYTES_MAX;

#[cfg(test)]
mod tests;
