//! The one error of every port. It says what the caller should do ([`ErrorKind`]) and, for a write, whether it
//! happened ([`Outcome`]).

use std::error::Error as StdError;
use std::fmt;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Someone with a newer claim writes. Stop writing; decide anew from what is stored.
    ControllerFenced,
    /// ZooKeeper was governed by someone else since we last wrote it, so it may hold changes that our log lacks. Only an
    /// operator's word leads out of this.
    GovernedElsewhere,
    /// The expected position or version was not there. Read again, then decide.
    Conflict,
    /// The other side can't be reached now. Try again later.
    Unavailable,
    /// The other side refuses us (authentication or authorization). Retrying won't help until an operator acts.
    Unauthorized,
    /// The input breaks a rule: a malformed znode, a wrong argument, another cluster's data. Retrying won't help.
    Invalid,
    /// This backend can't do it, as its [`Capability`](crate::store::Capability) says.
    Unsupported,
    /// Stored data is damaged or breaks an invariant. Stop; an operator must look.
    Corrupt,
}

/// Whether a failed write happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Certainly not: nothing of it is stored and nothing of it will be.
    NotApplied,
    /// It may be stored, or still be on its way. Never retry blindly: read after a barrier, compare, decide.
    Unknown,
}

/// An error of a store, a log or a registry: kind, outcome, a text that names the thing and the reason, and the source.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    outcome: Outcome,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of every port.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error after which certainly nothing was written.
    pub fn not_applied(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, outcome: Outcome::NotApplied, message: message.into(), source: None }
    }

    /// An error after which the write may have happened.
    pub fn unknown(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, outcome: Outcome::Unknown, message: message.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the failed write happened. For a read it is [`Outcome::NotApplied`].
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
