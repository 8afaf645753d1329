//! Did it happen? Only the server's own codes say no for certain.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// A code by which the server itself refused a request: nothing of it was applied, nor will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZkCode {
    /// The node, or the parent of a node to create, is absent.
    NoNode,
    /// The node is there already.
    NodeExists,
    /// The node has another data version.
    BadVersion,
    /// The node has children.
    NotEmpty,
    /// The node's access control list doesn't allow it.
    NoAuth,
    /// The parent is ephemeral.
    NoChildrenForEphemerals,
    /// The access control list is empty, malformed, or asks for the creator's identities and there are none.
    InvalidAcl,
    /// The request is malformed, a path for example. Also given by the client, before anything is sent.
    BadArguments,
    /// The server doesn't know the request.
    Unimplemented,
    /// The server could not read the request.
    MarshallingError,
    /// The server serves reads only.
    NotReadOnly,
    /// A quota on the subtree is used up.
    QuotaExceeded,
    /// The server shed the request under load.
    Throttled,
    /// Another of the server's codes about the request (below -100 in ZooKeeper's numbering).
    Other(i32),
}

impl fmt::Display for ZkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode => f.write_str("no such node"),
            Self::NodeExists => f.write_str("the node exists already"),
            Self::BadVersion => f.write_str("the node has another version"),
            Self::NotEmpty => f.write_str("the node has children"),
            Self::NoAuth => f.write_str("not allowed by the node's ACL"),
            Self::NoChildrenForEphemerals => f.write_str("the parent is ephemeral"),
            Self::InvalidAcl => f.write_str("invalid ACL"),
            Self::BadArguments => f.write_str("malformed request"),
            Self::Unimplemented => f.write_str("the server doesn't know this request"),
            Self::MarshallingError => f.write_str("the server couldn't read the request"),
            Self::NotReadOnly => f.write_str("the server is read-only"),
            Self::QuotaExceeded => f.write_str("a quota is used up"),
            Self::Throttled => f.write_str("the server is overloaded"),
            Self::Other(code) => write!(f, "ZooKeeper error {code}"),
        }
    }
}

/// Why the outcome of a request isn't known, and with it what may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnknownCause {
    /// The connection was lost or a request was not answered in time. The session may live: resume it.
    ConnectionLost,
    /// The session is over: connect a new one.
    SessionExpired,
    /// Our credentials were refused. Final until an operator acts.
    AuthFailed,
    /// We closed the session.
    Closed,
}

impl fmt::Display for UnknownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionLost => "connection lost",
            Self::SessionExpired => "session expired",
            Self::AuthFailed => "authentication failed",
            Self::Closed => "session closed",
        })
    }
}

/// Why a request failed, and whether it may have happened all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ZkError {
    /// The server's own word, or the client's before it sent anything: certainly not applied.
    #[error("{code}{}", at(*op_index, path))]
    Definite {
        /// The reason.
        code: ZkCode,
        /// The first op of the multi that failed; `None` for other requests, or if the request as a whole was refused.
        op_index: Option<usize>,
        /// The node that the failed op or request names; empty if the request as a whole was refused.
        path: String,
    },
    /// Everything else: it may be applied, or still be on its way.
    #[error("{cause}: {detail}")]
    Unknown {
        /// What may come next.
        cause: UnknownCause,
        /// What was seen, for people.
        detail: String,
    },
}

fn at(op_index: Option<usize>, path: &str) -> String {
    match (op_index, path) {
        (None, "") => String::new(),
        (None, path) => format!(" ({path})"),
        (Some(index), path) => format!(" (op {index}, {path})"),
    }
}

impl ZkError {
    /// A definite refusal of a request that is not a multi.
    pub fn definite(code: ZkCode, path: impl Into<String>) -> Self {
        Self::Definite { code, op_index: None, path: path.into() }
    }

    /// A definite refusal of a multi by its op `op_index`.
    pub fn definite_op(code: ZkCode, op_index: usize, path: impl Into<String>) -> Self {
        Self::Definite { code, op_index: Some(op_index), path: path.into() }
    }

    /// An unknown outcome.
    pub fn unknown(cause: UnknownCause, detail: impl Into<String>) -> Self {
        Self::Unknown { cause, detail: detail.into() }
    }

    /// Whether the request certainly was not applied.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Definite { .. })
    }

    /// The server's code, if it is definite.
    pub fn code(&self) -> Option<ZkCode> {
        match self {
            Self::Definite { code, .. } => Some(*code),
            Self::Unknown { .. } => None,
        }
    }

    /// The cause, if it is unknown.
    pub fn cause(&self) -> Option<UnknownCause> {
        match self {
            Self::Definite { .. } => None,
            Self::Unknown { cause, .. } => Some(*cause),
        }
    }
}

/// Why no session could be opened. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No server gave us a session in time.
    #[error("no ZooKeeper session with {servers} within {} ms: {reason}", tried.as_millis())]
    Unreachable {
        /// The connect string.
        servers: String,
        /// How long it was tried.
        tried: Duration,
        /// What each server did.
        reason: String,
    },
    /// The servers refused our credentials.
    #[error("ZooKeeper at {servers} refused the credentials: {reason}; check user and password, and the server's log")]
    AuthFailed {
        /// The connect string.
        servers: String,
        /// What was seen.
        reason: String,
    },
    /// The chroot of the connect string is not there.
    #[error("ZooKeeper at {servers} has no node {chroot}: check the chroot in the connect string")]
    NoChroot {
        /// The connect string.
        servers: String,
        /// The missing chroot.
        chroot: String,
    },
    /// The configuration can't be used.
    #[error("{0}")]
    Config(String),
}
