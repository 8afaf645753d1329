//! The promises that a store can break, each killed by at least one case of the suite.

/// One bug, built into [`MemStore`](super::MemStore) on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// A batch is acknowledged and its change is not there.
    LastRecordLost,
    /// The last record is missing when the store is loaded.
    LoadStopsEarly,
    /// An error of the sink does not end the load.
    SinkErrorSwallowed,
    /// A batch is applied wherever the store is.
    ExpectedPositionIgnored,
    /// A writer goes on after someone newer claimed.
    FencingForgotten,
    /// An older epoch can claim.
    OldEpochMayClaim,
    /// Another node can claim with the same epoch.
    RivalMayClaim,
    /// A store that is ahead of the log can be claimed.
    AheadOfLogMayClaim,
    /// Claiming again as the same leader leaves the first writer alive.
    ReclaimFencesNobody,
    /// Batches are applied in the wrong order.
    OrderReversed,
    /// A batch behind a failed one is applied.
    HoleAfterFailure,
    /// A failed batch is acknowledged.
    FailureAcknowledged,
    /// Dropping a receipt cancels its batch.
    DroppedReceiptCancels,
    /// A barrier returns before everything submitted is settled.
    BarrierDoesNotWait,
    /// A sync rewrites what is equal.
    SyncAlwaysWrites,
    /// A sync says done and changes nothing.
    SyncDoesNothing,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::LastRecordLost,
        Self::LoadStopsEarly,
        Self::SinkErrorSwallowed,
        Self::ExpectedPositionIgnored,
        Self::FencingForgotten,
        Self::OldEpochMayClaim,
        Self::RivalMayClaim,
        Self::AheadOfLogMayClaim,
        Self::ReclaimFencesNobody,
        Self::OrderReversed,
        Self::HoleAfterFailure,
        Self::FailureAcknowledged,
        Self::DroppedReceiptCancels,
        Self::BarrierDoesNotWait,
        Self::SyncAlwaysWrites,
        Self::SyncDoesNothing,
    ];
}
