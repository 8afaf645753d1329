//! Operations on znodes, as a plan holds them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Entity;
use crate::znode::access::Access;

/// How a znode is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CreateMode {
    /// It stays until it is deleted.
    Persistent,
    /// The same, and ZooKeeper appends a number to the path.
    PersistentSequential,
}

/// One operation. None of them expects a version: the chain's checks fence every multi as a whole.
#[derive(Clone, PartialEq, Eq)]
pub enum ZnodeOp {
    /// Creates a znode; its parent is there.
    Create {
        /// Where.
        path: Arc<str>,
        /// With what; `None` for a container.
        data: Option<Bytes>,
        /// How.
        mode: CreateMode,
        /// For whom.
        access: Access,
    },
    /// Sets a znode's data, and so raises its version.
    Set {
        /// Where.
        path: Arc<str>,
        /// To what.
        data: Option<Bytes>,
    },
    /// Deletes a znode; it has no children.
    Delete {
        /// Where.
        path: Arc<str>,
    },
}

impl ZnodeOp {
    /// The znode's path; for a sequential one without its number.
    pub fn path(&self) -> &Arc<str> {
        match self {
            Self::Create { path, .. } | Self::Set { path, .. } | Self::Delete { path } => path,
        }
    }

    /// The data that it writes.
    pub fn data(&self) -> Option<&Bytes> {
        match self {
            Self::Create { data, .. } | Self::Set { data, .. } => data.as_ref(),
            Self::Delete { .. } => None,
        }
    }

    /// Whether it is a notification, which nobody compares or repairs.
    pub fn is_notification(&self) -> bool {
        matches!(self, Self::Create { mode: CreateMode::PersistentSequential, .. })
    }
}

/// Shows sizes only: the data may hold credentials.
impl fmt::Debug for ZnodeOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.data().map_or(0, Bytes::len);
        match self {
            Self::Create { path, mode: CreateMode::Persistent, .. } => write!(f, "create {path} ({size} bytes)"),
            Self::Create { path, .. } => write!(f, "create sequential {path} ({size} bytes)"),
            Self::Set { path, .. } => write!(f, "set {path} ({size} bytes)"),
            Self::Delete { path } => write!(f, "delete {path}"),
        }
    }
}

/// One step of a plan, with the entity that it serves: when it can't be sent, all steps of that entity are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedOp {
    /// What it is about.
    pub entity: Entity,
    /// What is done.
    pub op: ZnodeOp,
}

/// What stands at an operation's path when the server refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Whether the znode exists.
    pub exists: bool,
    /// Whether it has children.
    pub has_children: bool,
    /// Whether its parent exists.
    pub parent_exists: bool,
}

/// What to do instead of an operation that was refused because someone else had written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replanned {
    /// This operation has the effect that was wanted.
    Instead(ZnodeOp),
    /// Nothing: the effect is there already.
    Nothing,
    /// The surroundings are not what they should be.
    FullSync,
}

impl ZnodeOp {
    /// The same effect on what is really there. Kafka's rules for results ("exists is fine", "no node is fine", "set, else
    /// create") as one table: a leftover node does not stop the creation of a topic, a missing state is created, the
    /// deletion of what is gone succeeds.
    pub fn replan(&self, found: Found, access: Access) -> Replanned {
        match self {
            Self::Create { .. } | Self::Set { .. } if !found.parent_exists => Replanned::FullSync,
            Self::Create { mode: CreateMode::PersistentSequential, .. } => Replanned::Instead(self.clone()),
            Self::Create { path, data, .. } if found.exists => {
                Replanned::Instead(Self::Set { path: Arc::clone(path), data: data.clone() })
            }
            Self::Set { path, data } if !found.exists => Replanned::Instead(Self::Create {
                path: Arc::clone(path),
                data: data.clone(),
                mode: CreateMode::Persistent,
                access,
            }),
            Self::Delete { .. } if !found.exists => Replanned::Nothing,
            Self::Delete { .. } if found.has_children => Replanned::FullSync,
            Self::Create { .. } | Self::Set { .. } | Self::Delete { .. } => Replanned::Instead(self.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Found = Found { exists: true, has_children: false, parent_exists: true };
    const GONE: Found = Found { exists: false, has_children: false, parent_exists: true };

    fn create() -> ZnodeOp {
        let data = Some(Bytes::from_static(b"{}"));
        ZnodeOp::Create { path: "/config/topics/t".into(), data, mode: CreateMode::Persistent, access: Access::Open }
    }

    fn set() -> ZnodeOp {
        ZnodeOp::Set { path: "/config/topics/t".into(), data: Some(Bytes::from_static(b"{}")) }
    }

    fn delete() -> ZnodeOp {
        ZnodeOp::Delete { path: "/config/topics/t".into() }
    }

    #[test]
    fn refused_operations_keep_their_effect() {
        let orphan = Found { parent_exists: false, ..GONE };
        let parent = Found { has_children: true, ..HERE };
        let cases = [
            // L13: a leftover config node does not stop the creation of its topic.
            (create(), HERE, Replanned::Instead(set())),
            (create(), GONE, Replanned::Instead(create())),
            (create(), orphan, Replanned::FullSync),
            // L7: what should be there and is not is created.
            (set(), GONE, Replanned::Instead(create())),
            (set(), HERE, Replanned::Instead(set())),
            (set(), orphan, Replanned::FullSync),
            // L14: what should go and is gone needs nothing.
            (delete(), GONE, Replanned::Nothing),
            (delete(), HERE, Replanned::Instead(delete())),
            (delete(), parent, Replanned::FullSync),
        ];
        for (op, found, expected) in cases {
            assert_eq!(op.replan(found, Access::Open), expected, "{op:?} {found:?}");
        }
    }

    #[test]
    fn debug_hides_data() {
        let op = ZnodeOp::Set { path: "/config/users/a".into(), data: Some(Bytes::from_static(b"hunter2")) };
        assert_eq!(format!("{op:?}"), "set /config/users/a (7 bytes)");
    }
}
