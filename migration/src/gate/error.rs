//! Why a write was not let through.

use metadata_core::error::{Error, ErrorKind};

use super::admission::{DivergenceBudget, LogPhase, Refusal, WaitReason, WriteClass};

/// A write was not let through. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Not in this phase of the migration.
    #[error("{} writes are refused while the log says {phase}: {refusal}", class.name())]
    Refused {
        /// What it was.
        class: WriteClass,
        /// What the log said.
        phase: LogPhase,
        /// Why, and what to do.
        refusal: Refusal,
    },
    /// ZooKeeper did not come close enough in time.
    #[error(
        "{} writes wait for ZooKeeper: {}, and at most {budget} are allowed; this one waited {waited_ms} ms, and the \
         gate has been closed for {closed_ms} ms; see in the status why ZooKeeper does not follow, then try again",
        class.name(), behind(*reason)
    )]
    TimedOut {
        /// What it was.
        class: WriteClass,
        /// Why it still had to wait.
        reason: WaitReason,
        /// The limits.
        budget: DivergenceBudget,
        /// How long this write waited.
        waited_ms: u64,
        /// How long the gate had been closed then.
        closed_ms: u64,
    },
}

fn behind(reason: WaitReason) -> String {
    match reason {
        WaitReason::OverBudget(lag) => format!("it is {lag} behind"),
        WaitReason::LagUnknown => "how far it is behind is not known".to_owned(),
    }
}

impl GateError {
    /// The code of Kafka's protocol for it: NOT_CONTROLLER (41), INVALID_UPDATE_VERSION (95), REQUEST_TIMED_OUT (7).
    pub fn kafka_error_code(&self) -> i16 {
        match self {
            Self::Refused { refusal, .. } => refusal.kafka_error_code(),
            Self::TimedOut { .. } => 7,
        }
    }
}

impl From<GateError> for Error {
    /// Never applied. `Invalid` for what no later attempt mends, `Unavailable` else.
    fn from(error: GateError) -> Self {
        let kind = match &error {
            GateError::Refused { refusal: Refusal::MetadataVersionFixed, .. } => ErrorKind::Invalid,
            GateError::Refused { .. } | GateError::TimedOut { .. } => ErrorKind::Unavailable,
        };
        Self::not_applied(kind, error.to_string())
    }
}
