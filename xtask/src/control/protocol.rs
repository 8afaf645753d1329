//! What goes over the socket.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::change::Change;
use crate::cli::{Exit, Failure, Fields};

/// The version of this protocol. Controller and asker come from the same build, or nearly so; a difference is refused.
pub const VERSION: u32 = 1;

/// Longest request, its line end included, in bytes.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Longest line of an answer, its line end included, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What is asked of a controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Request {
    /// How it is. Answered at once, in every state.
    Status,
    /// The same in a few figures, at a cost that does not grow with the cluster: to be asked often.
    Health,
    /// Make a change.
    Change {
        /// Which.
        change: Change,
    },
    /// Make random changes, as many as any controller would make, many in flight.
    Random {
        /// How many.
        count: u64,
        /// Decides them, together with the metadata that is there.
        seed: u64,
    },
    /// Add a voter to the quorum.
    AddVoter {
        /// Its id.
        id: i32,
        /// Where it listens, `host:port`.
        address: String,
    },
    /// Remove a member of the quorum.
    RemoveVoter {
        /// Its id.
        id: i32,
    },
    /// Finalize the migration.
    Finalize {
        /// Although brokers are left behind.
        despite_brokers: bool,
    },
    /// Stand still and compare ZooKeeper with the image.
    Verify {
        /// List so many differences; all are counted.
        differences_max: usize,
        /// Show passwords and keys as they are.
        show_secrets: bool,
    },
    /// Give ZooKeeper's controller role back to the brokers, and end. It goes on when the asker goes.
    Rollback {
        /// Only say what would be done.
        dry_run: bool,
        /// How long live brokers may take to elect a controller.
        election_seconds: u64,
    },
}

/// What was done, for the asker of [`Request::Change`] and [`Request::Random`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangesMade {
    /// Changes that are in the log: acknowledged, and nothing can undo them.
    pub changes: u64,
    /// Records in them.
    pub records: u64,
    /// Offset of the last record (inclusive).
    pub last_offset: i64,
    /// What the change was, in a sentence; for one change only.
    pub summary: Option<String>,
    /// Seconds from the first append to the last acknowledgement.
    pub append_seconds: f64,
}

/// How far an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progressed {
    /// Done so far.
    pub done: u64,
    /// Out of so many, if that is known.
    pub total: Option<u64>,
    /// Of what.
    pub unit: String,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Answer {
    /// Not yet. Sent at least every few seconds, so that silence means that nobody is there.
    Working {
        /// How far, if that is known.
        progress: Option<Progressed>,
    },
    /// The end: what was asked for.
    Done {
        /// It.
        result: Value,
    },
    /// The end: why not.
    Failed {
        /// How the asker's process is to end.
        exit_code: u8,
        /// What was not done.
        what: String,
        /// Reasons, next steps and other fields, as `--json` prints them.
        fields: Fields,
    },
}

impl Answer {
    pub(super) fn failed(failure: Failure) -> Self {
        let what = failure.what().to_owned();
        Self::Failed { exit_code: failure.exit().code(), what, fields: failure.into_fields() }
    }

    /// The end of the request, or `None` while it is on its way.
    pub(super) fn ending(self) -> Option<Result<Value, Failure>> {
        match self {
            Self::Working { .. } => None,
            Self::Done { result } => Some(Ok(result)),
            Self::Failed { exit_code, what, fields } => Some(Err(failure(exit_code, what, fields))),
        }
    }
}

/// The failure as it was before it travelled.
fn failure(exit_code: u8, what: String, fields: Fields) -> Failure {
    let texts = |key: &str| -> Vec<String> {
        let list = fields.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let failure = match exit_code {
        code if code == Exit::Usage.code() => Failure::usage(what),
        code if code == Exit::Blocked.code() => Failure::blocked(what),
        code if code == Exit::Divergent.code() => Failure::divergent(what),
        code if code == Exit::Damaged.code() => Failure::damaged(what),
        _ => Failure::failed(what),
    };
    let failure = texts("next").into_iter().fold(failure.whys(texts("reasons")), Failure::next);
    let rest = fields.into_iter().filter(|(key, _)| !["error", "exit_code", "reasons", "next"].contains(&key.as_str()));
    rest.fold(failure, |failure, (key, value)| failure.field(&key, value))
}

/// A message and the version of the protocol.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    #[serde(flatten)]
    message: T,
}

/// A message as a line.
pub(super) fn to_line(message: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(&Versioned { v: VERSION, message })
        .map_err(|error| Failure::failed("a message can't be written as JSON").because(&error))?;
    line.push(b'\n');
    Ok(line)
}

/// A line as a message. The words of an error quote nothing of the line: it may hold secrets.
pub(super) fn from_line<T: DeserializeOwned>(line: &[u8]) -> Result<T, Failure> {
    let not_ours = |reason: String| {
        Failure::failed("this is no message of the control protocol")
            .why(reason)
            .next("use the `cargo xtask` of the same build on both sides")
    };
    let value: Value = serde_json::from_slice(line)
        .map_err(|error| not_ours(format!("no JSON: {:?} at column {}", error.classify(), error.column())))?;
    match value.get("v").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(not_ours(format!("its version is {version}, expected {VERSION}"))),
        None => return Err(not_ours("it has no version `v`".to_owned())),
    }
    let message: Result<Versioned<T>, _> = serde_json::from_value(value);
    message.map(|versioned| versioned.message).map_err(|_| not_ours("its fields are not those of version 1".to_owned()))
}
