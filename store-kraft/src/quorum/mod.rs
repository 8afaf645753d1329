//! The quorum.
pub(crate) mod apply;
pub(crate) mod lead;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod proposal;
pub(crate) mod propose;
pub(crate) mod shape;
mod storage;
pub(crate) mod types;
pub(crate) mod view;

pub(crate) use proposal::GROUP_BYTES_MAX;

#[cfg(test)]
mod tests;
