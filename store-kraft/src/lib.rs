//! Kafka's metadata log.
pub mod batch;
mod cache;
mod codec;
mod disk;
mod format;
mod health;
mod kraft_log;
pub mod log;
mod open;
mod options;
mod quorum;
mod raftlog;
mod sealed;
mod sidecar;

pub use kraft_log::{KraftLog, Recovery};
pub use options::{KraftLogOptions, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN};

#[cfg(test)]
mod full_disk;
