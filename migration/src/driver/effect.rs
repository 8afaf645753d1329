//! What the driver orders. An effect is a value; the runner carries it out and answers with an event.

/// An order. Each is made under one leader epoch, and the runner drops it, and its answer, once that epoch is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Look at the image at the log's end. Answers `LogRead`.
    ReadLog,
    /// Write the first records of an empty log, PRE_MIGRATION among them. Answers `Bootstrapped`.
    Bootstrap,
    /// Ask who the brokers are and judge. Answers `BrokersJudged`.
    JudgeBrokers,
    /// Claim ZooKeeper's controllership. Answers `Claimed`.
    Claim,
    /// Copy everything, in one transaction. Answers `Copied`.
    Copy,
    /// Make ZooKeeper equal to the image. Answers `Synced`.
    Sync,
    /// Tell the brokers everything. Answers `BrokersTold`.
    TellBrokers,
    /// Write every change to ZooKeeper, from where it is. Answers only when it stops, with `Failed`.
    DualWrite,
    /// Stop whatever is under way and forget the claim. No answer.
    Stop,
    /// Wait, longer each time, then answer `RetryDue`.
    RetryLater,
    /// Say why nothing goes on. No answer.
    Report,
}
