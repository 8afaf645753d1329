//! What a read returns.

use std::fmt;

use bytes::Bytes;
use metadata_core::id::ZkVersion;

/// ZooKeeper's bookkeeping of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stat {
    /// zxid of the transaction that created the node.
    pub czxid: i64,
    /// zxid of the transaction that last set its data.
    pub mzxid: i64,
    /// When it was created, in milliseconds since 1970 by the leader's clock.
    pub ctime_ms: i64,
    /// When its data was last set, in milliseconds since 1970.
    pub mtime_ms: i64,
    /// Data version: 0 when created.
    pub version: ZkVersion,
    /// Counts creations and deletions of children.
    pub cversion: i32,
    /// Session id of the owner of an ephemeral node, 0 for any other node.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Children now.
    pub num_children: i32,
}

/// A node's data and stat. Null data (a node made by Kafka as a mere parent) and empty data read alike: the client
/// underneath doesn't tell them apart.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeData {
    /// The data.
    pub data: Bytes,
    /// The node's stat.
    pub stat: Stat,
}

/// Shows the length only: data may hold credentials.
impl fmt::Debug for NodeData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeData")
            .field("data", &format_args!("{} bytes", self.data.len()))
            .field("stat", &self.stat)
            .finish()
    }
}

/// The names of a node's children and the node's own stat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Children {
    /// Names without the parent's path, sorted.
    pub names: Vec<String>,
    /// Stat of the parent.
    pub stat: Stat,
}
