//! What is wrong with a znode.

/// Why data can't be understood: a sentence without the znode's name. It never repeats a value that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    reason: String,
}

impl Malformed {
    /// Data that is wrong for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// The same, naming the znode.
    pub fn at(self, path: impl Into<String>) -> MalformedZnode {
        MalformedZnode { path: path.into(), reason: self }
    }
}

/// A znode that can't be understood: which one, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct MalformedZnode {
    /// The znode.
    pub path: String,
    /// What is wrong with it.
    pub reason: Malformed,
}
