//! What a driver process says of itself: a line of JSON on its stdout for each change.

use metadata_core::error::Error;
use metadata_core::leadership::AfterClaim;
use migration::Status;
use serde::{Deserialize, Serialize};

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Report {
    /// The migration's status is another.
    Status {
        /// The driver's state, in Kafka's spelling.
        state: String,
        /// The epoch in which this process leads, if it thinks so.
        epoch: Option<i32>,
        /// Where ZooKeeper is known to be (exclusive end).
        zookeeper_at: Option<i64>,
        /// End of the log (exclusive).
        log_end: i64,
        /// Why nothing goes on.
        reason: Option<String>,
        /// The kind of the failure in `reason`.
        blocked_by: Option<String>,
        /// Failures in a row.
        attempt: u32,
    },
    /// ZooKeeper's controllership was claimed, or not.
    Claim {
        /// The KRaft epoch.
        epoch: i32,
        /// How it went.
        outcome: ClaimOutcome,
    },
    /// A batch was handed to ZooKeeper's writer.
    Submitted {
        /// The KRaft epoch of the claim.
        epoch: i32,
        /// End of the batch (exclusive).
        end: i64,
    },
    /// A write or a barrier failed since someone newer has claimed.
    Bounced {
        /// The KRaft epoch of the claim.
        epoch: i32,
        /// In the store's words.
        reason: String,
    },
    /// A full sync is done.
    Synced {
        /// The KRaft epoch of the claim.
        epoch: i32,
        /// Znodes created or changed.
        written: u64,
        /// Znodes deleted.
        deleted: u64,
    },
}

/// How a claim went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimOutcome {
    /// Claimed; the copy follows.
    Copy,
    /// Claimed; a full sync follows.
    FullSync,
    /// Claimed; dual writing goes on where it stopped.
    Resume,
    /// Refused, or failed.
    Failed {
        /// The kind of the error.
        kind: String,
        /// In the store's words.
        reason: String,
    },
}

impl From<AfterClaim> for ClaimOutcome {
    fn from(next: AfterClaim) -> Self {
        match next {
            AfterClaim::Copy => Self::Copy,
            AfterClaim::FullSync => Self::FullSync,
            AfterClaim::Resume => Self::Resume,
        }
    }
}

impl From<&Error> for ClaimOutcome {
    fn from(error: &Error) -> Self {
        Self::Failed { kind: format!("{:?}", error.kind()), reason: error.to_string() }
    }
}

impl Report {
    /// Of a migration's status.
    pub(super) fn of(status: &Status) -> Self {
        Self::Status {
            state: status.state.to_string(),
            epoch: status.leadership.map(|leadership| leadership.epoch.0),
            zookeeper_at: status.zookeeper_at.map(|position| position.end_offset.0),
            log_end: status.log_end.end_offset.0,
            reason: status.reason.clone(),
            blocked_by: status.blocked_by.map(|kind| format!("{kind:?}")),
            attempt: status.attempt,
        }
    }
}
