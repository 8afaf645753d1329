//! What the migration is doing, for whoever asks.

use std::collections::BTreeMap;

use metadata_core::brokers::BrokerPresence;
use metadata_core::id::{NodeId, Position};
use metadata_core::leadership::KraftLeadership;
use metadata_core::record::ZkMigrationState;
use metadata_core::store::{Claimed, SyncReport};

use crate::copy::CopyProgress;
use crate::driver::State;
use crate::dual_write::DualWriteProgress;

/// A moment of the migration. Published on every change; a reader sees the newest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The driver's state.
    pub state: State,
    /// The migration state in the log.
    pub log_state: ZkMigrationState,
    /// End of the committed log (exclusive).
    pub log_end: Position,
    /// Our leadership, while we lead.
    pub leadership: Option<KraftLeadership>,
    /// The present claim of ZooKeeper.
    pub claimed: Option<Claimed>,
    /// Why nothing goes on, in a sentence, while nothing does.
    pub reason: Option<String>,
    /// The kind of the error that blocked the driver, if it is blocked.
    pub blocked_by: Option<metadata_core::error::ErrorKind>,
    /// Failures in a row.
    pub attempt: u32,
    /// The last copy of this process.
    pub copy: CopyProgress,
    /// The last full sync of this process.
    pub sync: Option<SyncReport>,
    /// Dual writing, since it began.
    pub dual_write: DualWriteProgress,
    /// Who is in `/brokers/ids`.
    pub brokers: BTreeMap<NodeId, BrokerPresence>,
    /// Brokers that are alive and that nobody serves since we hold the controller role.
    pub unserved: Vec<NodeId>,
}

impl Status {
    /// How many records of the log ZooKeeper lacks; `None` while nothing is dual-written.
    pub fn lag_records(&self) -> Option<i64> {
        (self.state == State::DualWrite)
            .then(|| (self.log_end.end_offset.0 - self.dual_write.acknowledged.end_offset.0).max(0))
    }
}
