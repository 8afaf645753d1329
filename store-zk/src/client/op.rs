//! The requests that a session can carry, and their answers.

use std::fmt;

use bytes::Bytes;
use metadata_core::id::ZkVersion;

use super::acl::ZkAcl;
use super::error::ZkCode;
use super::node::{NodeData, Stat};

/// Bytes of a multi request beside its ops: request header (xid, type) and the closing multi header. The length
/// prefix of the frame doesn't count against the server's limit.
pub const MULTI_FRAME_OVERHEAD: usize = 8 + MULTI_HEADER;

/// The largest request that is safe with a server's default `jute.maxbuffer` of 1 048 575 bytes: 1 MiB less 4 KiB. What
/// is larger makes the server close the connection.
pub const REQUEST_SIZE_MAX_DEFAULT: usize = (1 << 20) - (4 << 10);

/// Type, done flag and error code before each op of a multi.
const MULTI_HEADER: usize = 4 + 1 + 4;

/// Length prefix of a string, of data and of a list; also one 32-bit number.
const INT: usize = 4;

/// What kind of node is created. The names of sequential nodes end in the parent's counter, ten decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateMode {
    /// Stays until it is deleted.
    Persistent,
    /// Persistent, with a number appended to its path.
    PersistentSequential,
    /// Goes with its session. Can't have children.
    Ephemeral,
    /// Ephemeral, with a number appended to its path.
    EphemeralSequential,
}

/// One op of a multi.
///
/// Data is never null on the wire: the client underneath sends empty data instead. Kafka's parents have null data;
/// nobody reads it, and both come back as empty.
#[derive(Clone, PartialEq, Eq)]
pub enum ZkOp {
    /// Fails the multi unless the node exists at this version. To ZooKeeper it is no change.
    Check {
        /// The node.
        path: String,
        /// Its expected data version.
        version: ZkVersion,
    },
    /// Creates a node. Its parent must exist.
    Create {
        /// The node; with a sequential mode, the part before the number.
        path: String,
        /// Its data.
        data: Bytes,
        /// Its access control list.
        acl: ZkAcl,
        /// Its kind.
        mode: CreateMode,
    },
    /// Sets a node's data and raises its version by one.
    SetData {
        /// The node.
        path: String,
        /// Its new data.
        data: Bytes,
        /// Its expected data version; `None` for any.
        version: Option<ZkVersion>,
    },
    /// Deletes a node without children.
    Delete {
        /// The node.
        path: String,
        /// Its expected data version; `None` for any.
        version: Option<ZkVersion>,
    },
}

impl ZkOp {
    /// A persistent node.
    pub fn create(path: impl Into<String>, data: impl Into<Bytes>, acl: ZkAcl) -> Self {
        Self::Create { path: path.into(), data: data.into(), acl, mode: CreateMode::Persistent }
    }

    /// A set-data at a version, or at any.
    pub fn set_data(path: impl Into<String>, data: impl Into<Bytes>, version: impl Into<Option<ZkVersion>>) -> Self {
        Self::SetData { path: path.into(), data: data.into(), version: version.into() }
    }

    /// A delete at a version, or at any.
    pub fn delete(path: impl Into<String>, version: impl Into<Option<ZkVersion>>) -> Self {
        Self::Delete { path: path.into(), version: version.into() }
    }

    /// A version check.
    pub fn check(path: impl Into<String>, version: ZkVersion) -> Self {
        Self::Check { path: path.into(), version }
    }

    /// The node that the op names.
    pub fn path(&self) -> &str {
        match self {
            Self::Check { path, .. }
            | Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::Delete { path, .. } => path,
        }
    }

    /// Bytes that the op adds to a multi's request frame, header, path and ACL included, when the chroot has
    /// `chroot_length` bytes. With [`MULTI_FRAME_OVERHEAD`] added once, the sum over the ops is the frame's size.
    pub fn wire_size(&self, chroot_length: usize) -> usize {
        let path = INT + chroot_length + self.path().len();
        let body = match self {
            Self::Check { .. } | Self::Delete { .. } => path + INT,
            Self::SetData { data, .. } => path + INT + data.len() + INT,
            Self::Create { data, acl, .. } => {
                let entries = acl.entries().iter().map(|e| 3 * INT + e.scheme.len() + e.id.len()).sum::<usize>();
                path + INT + data.len() + INT + entries + INT
            }
        };
        MULTI_HEADER + body
    }
}

/// Shows lengths instead of data, which may hold credentials.
impl fmt::Debug for ZkOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check { path, version } => write!(f, "check({path} v{version})"),
            Self::Create { path, data, acl, mode } => {
                write!(f, "create({path} {} bytes {mode:?} {:?})", data.len(), acl.entries())
            }
            Self::SetData { path, data, version: Some(version) } => {
                write!(f, "set-data({path} {} bytes v{version})", data.len())
            }
            Self::SetData { path, data, version: None } => write!(f, "set-data({path} {} bytes)", data.len()),
            Self::Delete { path, version: Some(version) } => write!(f, "delete({path} v{version})"),
            Self::Delete { path, version: None } => write!(f, "delete({path})"),
        }
    }
}

/// The result of one op of a multi that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// The version was right.
    Check,
    /// The node is there. No stat: servers of the 3.8 line return a wrong one inside a multi (ZOOKEEPER-4026).
    Create {
        /// Its path within the chroot, with its number if the mode is sequential.
        path: String,
    },
    /// The data is set.
    SetData {
        /// The node's stat after the op.
        stat: Stat,
    },
    /// The node is gone.
    Delete,
}

/// One read of a multi-read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZkRead {
    /// A node's data and stat.
    Data(String),
    /// The names of a node's children.
    Children(String),
}

impl ZkRead {
    /// The node that is read.
    pub fn path(&self) -> &str {
        match self {
            Self::Data(path) | Self::Children(path) => path,
        }
    }
}

/// The outcome of one read of a multi-read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadOutcome {
    /// For [`ZkRead::Data`].
    Data(NodeData),
    /// For [`ZkRead::Children`]: names, sorted. ZooKeeper gives no stat here.
    Children(Vec<String>),
    /// This read failed, as `NoNode` or `NoAuth`; the others did not.
    Failed(ZkCode),
}
