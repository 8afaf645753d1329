//! What the driver orders. An effect is a value; the runner carries it out and answers with an event.

use metadata_core::id::KRaftLeaderEpoch;

/// An effect with the leader epoch under which it was ordered. Its answer carries the same epoch, so that the driver knows
/// an answer that comes too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// The epoch; `None` while nobody of ours leads.
    pub epoch: Option<KRaftLeaderEpoch>,
    /// What to do.
    pub effect: Effect,
}

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Gather what decides: the image at the log's end, the flags, and where they ask for it a look at ZooKeeper. Writes
    /// nothing. Answers `Surveyed`.
    Survey,
    /// Write the first records of an empty log, NONE among them. Answers `Bootstrapped`.
    BootstrapKRaft,
    /// Write the first records of an empty log, PRE_MIGRATION among them. Answers `Bootstrapped`.
    BootstrapMigration,
    /// Ask who the brokers are and judge. Answers `BrokersJudged`.
    JudgeBrokers,
    /// Read everything as the copy would, and forget it: what can't be copied must show before anything is claimed. It may
    /// take long, so ask once more at its end for all that led here. Answers `Rehearsed`, `BrokersJudged` when the brokers
    /// don't allow the claim any more, or `Surveyed` when something else is decided now.
    Rehearse,
    /// Claim ZooKeeper's controllership. Answers `Claimed`.
    Claim,
    /// Copy everything, in one transaction. Answers `Copied`.
    Copy,
    /// Make ZooKeeper equal to the image. Answers `Synced`.
    Sync,
    /// Tell the brokers everything. Answers `BrokersTold`.
    TellBrokers,
    /// Write every change to ZooKeeper, from where it is. Answers `InStep` as it gets on, and `Failed` when it stops.
    DualWrite,
    /// Have the dual writer finalize: once ZooKeeper has everything and nothing forbids it, POST_MIGRATION is appended. The
    /// writer goes on meanwhile. Answers `Finalized` or `FinalizationRefused`.
    Finalize,
    /// Stop whatever is under way and forget the claim. No answer.
    Stop,
    /// Wait, longer each time, then answer `RetryDue`.
    RetryLater,
    /// Say why nothing goes on. No answer.
    Report,
}
