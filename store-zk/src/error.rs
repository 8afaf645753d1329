//! ZooKeeper's answers as the errors of the ports.

use metadata_core::error::{Error, ErrorKind};

use crate::client::{ConnectError, UnknownCause, ZkCode, ZkError};
use crate::znode::MalformedZnode;

/// An answer to `what` that was no success.
pub(crate) fn zk_error(what: &str, error: ZkError) -> Error {
    let message = format!("{what}: {error}");
    match &error {
        ZkError::Definite { code, .. } => {
            let kind = match code {
                ZkCode::NoAuth => ErrorKind::Unauthorized,
                ZkCode::BadVersion | ZkCode::NoNode | ZkCode::NodeExists | ZkCode::NotEmpty => ErrorKind::Conflict,
                ZkCode::Throttled | ZkCode::NotReadOnly => ErrorKind::Unavailable,
                _ => ErrorKind::Invalid,
            };
            Error::not_applied(kind, message)
        }
        ZkError::Unknown { cause: UnknownCause::AuthFailed, .. } => Error::unknown(ErrorKind::Unauthorized, message),
        ZkError::Unknown { .. } => Error::unknown(ErrorKind::Unavailable, message),
    }
}

/// A znode that is not what Kafka writes.
pub(crate) fn malformed(error: MalformedZnode) -> Error {
    Error::not_applied(ErrorKind::Invalid, error.to_string())
}

/// No session could be had.
pub(crate) fn connect_error(error: ConnectError) -> Error {
    let kind = match &error {
        ConnectError::AuthFailed { .. } => ErrorKind::Unauthorized,
        ConnectError::NoChroot { .. } | ConnectError::Config(_) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    Error::not_applied(kind, error.to_string())
}
