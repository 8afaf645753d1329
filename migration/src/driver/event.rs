//! What can happen to the driver: facts, never orders.

use broker_registry::Readiness;
use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::KRaftLeaderEpoch;
use metadata_core::leadership::{AfterClaim, KraftLeadership};
use metadata_core::store::{Claimed, SyncReport};

use super::decision::Decision;
use super::facts::Facts;

/// An event with the epoch of the order that it answers.
#[derive(Debug)]
pub struct Answer {
    /// The order's epoch. Who leads is no answer: its events carry an epoch of their own.
    pub epoch: Option<KRaftLeaderEpoch>,
    /// What happened.
    pub event: Event,
}

impl Answer {
    /// Who leads now.
    pub fn leadership(now: Option<KraftLeadership>) -> Self {
        Self { epoch: None, event: now.map_or(Event::LeadershipLost, Event::LeadershipGained) }
    }
}

/// A fact, with what came with it.
#[derive(Debug)]
pub enum Event {
    /// This node leads, in this epoch.
    LeadershipGained(KraftLeadership),
    /// Another node leads, or nobody.
    LeadershipLost,
    /// What decides was gathered.
    Surveyed(Facts),
    /// The first records of an empty log are committed.
    Bootstrapped,
    /// The brokers were judged.
    BrokersJudged(Readiness),
    /// Everything in ZooKeeper can be copied, and the brokers still allow the claim.
    Rehearsed,
    /// ZooKeeper's controllership is ours.
    Claimed(Claimed),
    /// Everything was copied, and the log says MIGRATION.
    Copied,
    /// ZooKeeper is equal to the image.
    Synced(SyncReport),
    /// All ZooKeeper-mode brokers that are served were told everything.
    BrokersTold,
    /// Dual writing gets on: ZooKeeper acknowledged a batch, or confirmed that it has everything.
    InStep,
    /// No controller has the flag any more, while this one dual-writes.
    FlagsGone,
    /// The controllers disagree about the flag otherwise than was known, in these sentences, while this one dual-writes;
    /// none when they agree.
    FlagsDiffer(Vec<String>),
    /// The migration is finalized: the log says POST_MIGRATION.
    Finalized,
    /// It is not, for these reasons.
    FinalizationRefused(Vec<String>),
    /// An order could not be carried out, or dual writing stopped.
    Failed(Error),
    /// The time to try again has come.
    RetryDue,
}

/// The kinds of events that the table tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EventKind {
    /// See [`Event::LeadershipGained`].
    LeadershipGained,
    /// See [`Event::LeadershipLost`].
    LeadershipLost,
    /// See [`Event::Surveyed`]: this was decided on it.
    Decided(Decision),
    /// See [`Event::Bootstrapped`].
    Bootstrapped,
    /// The brokers allow the claim.
    BrokersReady,
    /// They don't.
    BrokersWaiting,
    /// See [`Event::Rehearsed`].
    Rehearsed,
    /// Claimed; the copy follows.
    ClaimedToCopy,
    /// Claimed; a full sync follows.
    ClaimedToSync,
    /// Claimed; dual writing goes on where it stopped.
    ClaimedToResume,
    /// See [`Event::Copied`].
    Copied,
    /// See [`Event::Synced`].
    Synced,
    /// See [`Event::BrokersTold`].
    BrokersTold,
    /// The same, where no controller has the flag any more.
    BrokersToldToFinalize,
    /// See [`Event::InStep`].
    InStep,
    /// See [`Event::FlagsGone`].
    FlagsGone,
    /// See [`Event::FlagsDiffer`].
    FlagsDiffer,
    /// See [`Event::Finalized`].
    Finalized,
    /// See [`Event::FinalizationRefused`].
    FinalizationRefused,
    /// A failure that passes: try the same again.
    FailedForNow,
    /// A failure after which ZooKeeper must be claimed again.
    FailedClaim,
    /// Someone newer claimed ZooKeeper. The election that made them leader will reach us; until then, wait.
    Deposed,
    /// A failure that only an operator can mend.
    FailedForGood,
    /// ZooKeeper was governed by someone else.
    GovernedElsewhere,
    /// See [`Event::RetryDue`].
    RetryDue,
}

impl Event {
    /// The kind that the table goes by.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::LeadershipGained(_) => EventKind::LeadershipGained,
            Self::LeadershipLost => EventKind::LeadershipLost,
            Self::Surveyed(facts) => EventKind::Decided(facts.decision()),
            Self::Bootstrapped => EventKind::Bootstrapped,
            Self::BrokersJudged(Readiness::Ready { .. }) => EventKind::BrokersReady,
            Self::BrokersJudged(Readiness::Waiting(_)) => EventKind::BrokersWaiting,
            Self::Rehearsed => EventKind::Rehearsed,
            Self::Claimed(claimed) => match claimed.next {
                AfterClaim::Copy => EventKind::ClaimedToCopy,
                AfterClaim::FullSync => EventKind::ClaimedToSync,
                AfterClaim::Resume => EventKind::ClaimedToResume,
            },
            Self::Copied => EventKind::Copied,
            Self::Synced(_) => EventKind::Synced,
            Self::BrokersTold => EventKind::BrokersTold,
            Self::InStep => EventKind::InStep,
            Self::FlagsGone => EventKind::FlagsGone,
            Self::FlagsDiffer(_) => EventKind::FlagsDiffer,
            Self::Finalized => EventKind::Finalized,
            Self::FinalizationRefused(_) => EventKind::FinalizationRefused,
            Self::Failed(error) => match error.kind() {
                ErrorKind::Conflict => EventKind::FailedClaim,
                ErrorKind::ControllerFenced => EventKind::Deposed,
                ErrorKind::GovernedElsewhere => EventKind::GovernedElsewhere,
                ErrorKind::Invalid | ErrorKind::Unsupported | ErrorKind::Corrupt => EventKind::FailedForGood,
                // Credentials are often mended while we wait, so refusals are tried again and shown meanwhile.
                _ => EventKind::FailedForNow,
            },
            Self::RetryDue => EventKind::RetryDue,
        }
    }
}
