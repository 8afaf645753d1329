//! Between our types and those of the `zookeeper-client` crate. The one that matters is [`classify`].

use std::borrow::Cow;

use bytes::Bytes;
use metadata_core::id::ZkVersion;
use zookeeper_client as zk;

use crate::client::{
    AclEntry, CreateMode, NodeData, OpResult, Permissions, ReadOutcome, Stat, UnknownCause, WatchEvent, ZkAcl, ZkCode,
    ZkError,
};

/// What an error of the crate means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Certainly not applied.
    Definite(ZkCode),
    /// Anything can be.
    Unknown(UnknownCause),
}

/// Codes below -100 that say something about the session and not about the request (`KeeperException.Code`).
const SESSION_CODES: [i32; 5] = [
    -112, // session expired
    -115, // authentication failed
    -118, // session moved
    -122, // request timed out in the server
    -124, // session closed, SASL required
];

/// Sorts an error. Only codes by which the server itself, or the crate before it sends, refuses a request are
/// definite; whatever is not listed here is not. The crate reports a lost connection in several ways (`ConnectionLoss`,
/// an IO error, an internal error when its task is gone), so a list of the unknown ones would never be complete.
pub(super) fn classify(error: &zk::Error) -> Verdict {
    match error {
        zk::Error::NoNode => Verdict::Definite(ZkCode::NoNode),
        zk::Error::NodeExists => Verdict::Definite(ZkCode::NodeExists),
        zk::Error::BadVersion => Verdict::Definite(ZkCode::BadVersion),
        zk::Error::NotEmpty => Verdict::Definite(ZkCode::NotEmpty),
        zk::Error::NoAuth => Verdict::Definite(ZkCode::NoAuth),
        zk::Error::NoChildrenForEphemerals => Verdict::Definite(ZkCode::NoChildrenForEphemerals),
        zk::Error::InvalidAcl => Verdict::Definite(ZkCode::InvalidAcl),
        zk::Error::BadArguments(_) => Verdict::Definite(ZkCode::BadArguments),
        zk::Error::Unimplemented => Verdict::Definite(ZkCode::Unimplemented),
        zk::Error::MarshallingError => Verdict::Definite(ZkCode::MarshallingError),
        zk::Error::NotReadOnly => Verdict::Definite(ZkCode::NotReadOnly),
        zk::Error::QuotaExceeded => Verdict::Definite(ZkCode::QuotaExceeded),
        zk::Error::Throttled => Verdict::Definite(ZkCode::Throttled),
        zk::Error::ReconfigDisabled => Verdict::Definite(ZkCode::Other(-123)),
        zk::Error::UnexpectedErrorCode(code) if *code < -100 && !SESSION_CODES.contains(code) => {
            Verdict::Definite(ZkCode::Other(*code))
        }
        zk::Error::SessionExpired => Verdict::Unknown(UnknownCause::SessionExpired),
        zk::Error::AuthFailed => Verdict::Unknown(UnknownCause::AuthFailed),
        zk::Error::ClientClosed => Verdict::Unknown(UnknownCause::Closed),
        _ => Verdict::Unknown(UnknownCause::ConnectionLost),
    }
}

/// The error of a request about one node.
pub(super) fn request_error(error: &zk::Error, path: &str) -> ZkError {
    match classify(error) {
        Verdict::Definite(code) => ZkError::definite(code, path),
        Verdict::Unknown(cause) => ZkError::unknown(cause, error.to_string()),
    }
}

/// The error of op `index` of a multi that the server answered: nothing of the multi is applied, whatever the code.
pub(super) fn op_error(error: &zk::Error, index: usize, path: &str) -> ZkError {
    match (classify(error), error) {
        (Verdict::Definite(code), _) => ZkError::definite_op(code, index, path),
        (Verdict::Unknown(_), zk::Error::UnexpectedErrorCode(code)) if !SESSION_CODES.contains(code) => {
            ZkError::definite_op(ZkCode::Other(*code), index, path)
        }
        (Verdict::Unknown(cause), _) => ZkError::unknown(cause, error.to_string()),
    }
}

pub(super) fn stat(stat: &zk::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime_ms: stat.ctime,
        mtime_ms: stat.mtime,
        version: ZkVersion(stat.version),
        cversion: stat.cversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
    }
}

pub(super) fn node_data(data: Vec<u8>, of: &zk::Stat) -> NodeData {
    NodeData { data: Bytes::from(data), stat: stat(of) }
}

pub(super) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

pub(super) fn create_mode(mode: CreateMode) -> zk::CreateMode {
    match mode {
        CreateMode::Persistent => zk::CreateMode::Persistent,
        CreateMode::PersistentSequential => zk::CreateMode::PersistentSequential,
        CreateMode::Ephemeral => zk::CreateMode::Ephemeral,
        CreateMode::EphemeralSequential => zk::CreateMode::EphemeralSequential,
    }
}

const PERMISSIONS: [(Permissions, zk::Permission); 5] = [
    (Permissions::READ, zk::Permission::READ),
    (Permissions::WRITE, zk::Permission::WRITE),
    (Permissions::CREATE, zk::Permission::CREATE),
    (Permissions::DELETE, zk::Permission::DELETE),
    (Permissions::ADMIN, zk::Permission::ADMIN),
];

/// The list as the crate has it.
pub(super) fn acls(acl: &ZkAcl) -> Vec<zk::Acl> {
    let permission = |permissions: Permissions| {
        PERMISSIONS
            .iter()
            .filter(|(ours, _)| permissions.contains(*ours))
            .fold(zk::Permission::NONE, |all, (_, theirs)| all | *theirs)
    };
    acl.entries()
        .iter()
        .map(|entry| zk::Acl::new(permission(entry.permissions), zk::AuthId::new(&entry.scheme, &entry.id)))
        .collect()
}

pub(super) fn acl(acls: &[zk::Acl]) -> ZkAcl {
    let permissions = |permission: zk::Permission| {
        let held = PERMISSIONS.iter().filter(|(_, theirs)| permission.has(*theirs));
        held.fold(Permissions::from_bits(0), |all, (ours, _)| all | *ours)
    };
    let entries = acls.iter().map(|acl| AclEntry {
        permissions: permissions(acl.permission()),
        scheme: Cow::Owned(acl.scheme().to_owned()),
        id: Cow::Owned(acl.id().to_owned()),
    });
    ZkAcl::new(entries.collect())
}

pub(super) fn op_result(result: zk::MultiWriteResult) -> Option<OpResult> {
    match result {
        zk::MultiWriteResult::Check => Some(OpResult::Check),
        zk::MultiWriteResult::Create { path, .. } => Some(OpResult::Create { path }),
        zk::MultiWriteResult::SetData { stat: after } => Some(OpResult::SetData { stat: stat(&after) }),
        zk::MultiWriteResult::Delete => Some(OpResult::Delete),
        _ => None,
    }
}

/// `None` when the failure isn't about the node that is read.
pub(super) fn read_outcome(result: zk::MultiReadResult) -> Option<ReadOutcome> {
    match result {
        zk::MultiReadResult::Data { data, stat } => Some(ReadOutcome::Data(node_data(data, &stat))),
        zk::MultiReadResult::Children { children } => Some(ReadOutcome::Children(sorted(children))),
        zk::MultiReadResult::Error { err } => match classify(&err) {
            Verdict::Definite(code) => Some(ReadOutcome::Failed(code)),
            Verdict::Unknown(_) => None,
        },
        _ => None,
    }
}

pub(super) fn watch_event(event: &zk::WatchedEvent) -> WatchEvent {
    match event.event_type {
        zk::EventType::NodeCreated => WatchEvent::Created,
        zk::EventType::NodeDeleted => WatchEvent::Deleted,
        zk::EventType::NodeDataChanged => WatchEvent::DataChanged,
        zk::EventType::NodeChildrenChanged => WatchEvent::ChildrenChanged,
        zk::EventType::Session => WatchEvent::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_word_about_the_request_is_definite() {
        use UnknownCause::*;
        for (error, expected) in [
            (zk::Error::NoNode, Verdict::Definite(ZkCode::NoNode)),
            (zk::Error::NodeExists, Verdict::Definite(ZkCode::NodeExists)),
            (zk::Error::BadVersion, Verdict::Definite(ZkCode::BadVersion)),
            (zk::Error::NotEmpty, Verdict::Definite(ZkCode::NotEmpty)),
            (zk::Error::NoAuth, Verdict::Definite(ZkCode::NoAuth)),
            (zk::Error::NoChildrenForEphemerals, Verdict::Definite(ZkCode::NoChildrenForEphemerals)),
            (zk::Error::InvalidAcl, Verdict::Definite(ZkCode::InvalidAcl)),
            (zk::Error::BadArguments(&"x"), Verdict::Definite(ZkCode::BadArguments)),
            (zk::Error::Unimplemented, Verdict::Definite(ZkCode::Unimplemented)),
            (zk::Error::UnexpectedErrorCode(-120), Verdict::Definite(ZkCode::Other(-120))),
            // System errors, and codes about the session.
            (zk::Error::UnexpectedErrorCode(0), Verdict::Unknown(ConnectionLost)),
            (zk::Error::UnexpectedErrorCode(-1), Verdict::Unknown(ConnectionLost)),
            (zk::Error::UnexpectedErrorCode(-4), Verdict::Unknown(ConnectionLost)),
            (zk::Error::UnexpectedErrorCode(-7), Verdict::Unknown(ConnectionLost)),
            (zk::Error::UnexpectedErrorCode(-100), Verdict::Unknown(ConnectionLost)),
            (zk::Error::UnexpectedErrorCode(-122), Verdict::Unknown(ConnectionLost)),
            (zk::Error::SessionMoved, Verdict::Unknown(ConnectionLost)),
            (zk::Error::ConnectionLoss, Verdict::Unknown(ConnectionLost)),
            (zk::Error::Timeout, Verdict::Unknown(ConnectionLost)),
            (zk::Error::NoHosts, Verdict::Unknown(ConnectionLost)),
            (zk::Error::RuntimeInconsistent, Verdict::Unknown(ConnectionLost)),
            (zk::Error::UnexpectedError("x".to_owned()), Verdict::Unknown(ConnectionLost)),
            (zk::Error::SessionExpired, Verdict::Unknown(SessionExpired)),
            (zk::Error::AuthFailed, Verdict::Unknown(AuthFailed)),
            (zk::Error::ClientClosed, Verdict::Unknown(Closed)),
        ] {
            assert_eq!(classify(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn any_code_of_an_op_of_an_answered_multi_is_definite_unless_it_is_about_the_session() {
        for (error, definite) in [
            (zk::Error::NoNode, true),
            (zk::Error::UnexpectedErrorCode(-3), true),
            (zk::Error::UnexpectedErrorCode(-120), true),
            (zk::Error::UnexpectedErrorCode(-122), false),
            (zk::Error::SessionMoved, false),
        ] {
            assert_eq!(op_error(&error, 3, "/a").is_definite(), definite, "{error:?}");
        }
    }

    #[test]
    fn access_control_lists_survive_the_way_there_and_back() {
        for list in [
            ZkAcl::world_all(),
            ZkAcl::creator_all_world_read(),
            ZkAcl::new(vec![AclEntry {
                permissions: Permissions::READ | Permissions::ADMIN,
                scheme: "digest".into(),
                id: "user:hash".into(),
            }]),
        ] {
            assert_eq!(acl(&acls(&list)), list);
        }
    }
}
