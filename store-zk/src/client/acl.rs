//! Access control lists of nodes.

use std::borrow::Cow;
use std::fmt;
use std::ops::BitOr;

/// What an entry of a list allows: a set of five bits, as ZooKeeper numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permissions(i32);

impl Permissions {
    /// Read data and children.
    pub const READ: Self = Self(1);
    /// Set data.
    pub const WRITE: Self = Self(2);
    /// Create children.
    pub const CREATE: Self = Self(4);
    /// Delete children.
    pub const DELETE: Self = Self(8);
    /// Change the list.
    pub const ADMIN: Self = Self(16);
    /// All five.
    pub const ALL: Self = Self(31);

    /// The bits of `bits` that mean something.
    pub fn from_bits(bits: i32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The number that ZooKeeper stores.
    pub fn bits(self) -> i32 {
        self.0
    }

    /// Whether all of `other` is allowed.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Permissions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Who may do what.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AclEntry {
    /// What is allowed.
    pub permissions: Permissions,
    /// ZooKeeper's scheme: `world`, `auth`, `digest`, `sasl`, `x509`, `ip`.
    pub scheme: Cow<'static, str>,
    /// The identity within the scheme. `anyone` for `world`, empty for `auth`.
    pub id: Cow<'static, str>,
}

/// A digest id ends in a hash of the password, which is not shown.
impl fmt::Debug for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = match (self.scheme.as_ref(), self.id.split_once(':')) {
            ("digest", Some((user, _))) => format!("{user}:[redacted]"),
            _ => self.id.to_string(),
        };
        write!(f, "{}:{}={:#04x}", self.scheme, id, self.permissions.bits())
    }
}

/// An access control list. Never empty in ZooKeeper; an empty one is refused at create.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ZkAcl(Cow<'static, [AclEntry]>);

const fn entry(permissions: Permissions, scheme: &'static str, id: &'static str) -> AclEntry {
    AclEntry { permissions, scheme: Cow::Borrowed(scheme), id: Cow::Borrowed(id) }
}

static WORLD_ALL: [AclEntry; 1] = [entry(Permissions::ALL, "world", "anyone")];
static CREATOR_ALL: [AclEntry; 1] = [entry(Permissions::ALL, "auth", "")];
static CREATOR_ALL_WORLD_READ: [AclEntry; 2] =
    [entry(Permissions::ALL, "auth", ""), entry(Permissions::READ, "world", "anyone")];

impl ZkAcl {
    /// Anyone may do anything. Kafka's list for every node unless `zookeeper.set.acl` is on.
    pub fn world_all() -> Self {
        Self(Cow::Borrowed(&WORLD_ALL))
    }

    /// Only the identities of the session that creates the node. Kafka's list for sensitive nodes in secure mode
    /// (`ZkData.defaultAcls`). ZooKeeper stores the identities, not this list; without any it refuses with
    /// [`InvalidAcl`](super::ZkCode::InvalidAcl).
    pub fn creator_all() -> Self {
        Self(Cow::Borrowed(&CREATOR_ALL))
    }

    /// As [`ZkAcl::creator_all`], and anyone may read. Kafka's list for the other nodes in secure mode.
    pub fn creator_all_world_read() -> Self {
        Self(Cow::Borrowed(&CREATOR_ALL_WORLD_READ))
    }

    /// A list of one's own.
    pub fn new(entries: Vec<AclEntry>) -> Self {
        Self(Cow::Owned(entries))
    }

    /// The entries in their order.
    pub fn entries(&self) -> &[AclEntry] {
        &self.0
    }
}
