//! Raft's own log: private, synced before anything is acknowledged.
//!
//! | file in `raft/` | content |
//! | --- | --- |
//! | `%020d.entries` | a segment: [frames](frame) of entries, the first of which has the index in the name |
//! | `synced` | how far the last segment is known to be synced, overwritten in place: see [`synced`] |
//! | `vote` | the vote |
//! | `purged` | the last entry that was removed because a snapshot covers it |
//!
//! # Torn or damaged
//!
//! After a power failure the end of the last segment may be anything: the flush that was under way was not acknowledged,
//! so it may go. Anything else that is unsound is damage: entries that were acknowledged are gone, and a voter that went on
//! without them could elect a leader that lacks committed records. The two are told apart by these positions of the last
//! segment:
//!
//! ```text
//! mark <= synced <= start of the last flush <= end of the file
//! ```
//!
//! - A flush is written only after the one before was synced. Each frame names the byte at which its flush started, so a
//!   sound frame at the start of a flush proves that everything before it was synced.
//! - `mark` is written after each sync, without a sync of its own: it may lag, but never leads.
//!
//! - A frame with a sound checksum whose entry can't be read was written so, by a later version say: it is never torn.
//!
//! So unsound bytes at `p` are a torn flush, and are cut and reported, if `mark <= p` and no later flush starts behind `p`.
//! Otherwise, and in every segment but the last, they are damage, and the log is not opened. A segment is begun only after
//! the one before was synced.
//!
//! `openraft` sees the log as [`storage::RaftLogStore`]. One thread owns the files ([`writer`]); no worker of the async
//! runtime ever waits for a disk.

mod entry;
mod frame;
mod open;
pub(crate) mod storage;
mod synced;
mod table;
mod writer;

pub(crate) use entry::{StoredLastMembership, StoredLogId, decode as decode_entry, encode as encode_entry};
pub(crate) use open::Opened;
pub(crate) use storage::RaftLogStore;
pub(crate) use table::{EntryError, RaftLogTable};
pub(crate) use writer::{StoredVote, vote_path};

#[cfg(test)]
mod tests;
