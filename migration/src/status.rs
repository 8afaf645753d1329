//! What the migration is doing, for whoever asks.

use std::collections::BTreeMap;

use broker_registry::Assessment;
use metadata_core::brokers::BrokerPresence;
use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::id::{NodeId, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::KraftLeadership;
use metadata_core::record::ZkMigrationState;
use metadata_core::store::{Claimed, SyncReport};
use tokio::time::Instant;

use crate::copy::CopyProgress;
use crate::driver::{Decision, State};
use crate::dual_write::DualWriteProgress;
use crate::registrar::RegistrarReport;

/// A moment of the migration. Published on every change; a reader sees the newest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The driver's state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// What the decision table said last under this leadership; `None` until it is asked.
    pub decision: Option<Decision>,
    /// The migration state in the log.
    pub log_state: ZkMigrationState,
    /// End of the committed log (exclusive).
    pub log_end: Position,
    /// Where ZooKeeper is known to be: as of the last claim, sync or acknowledged batch of this process.
    pub zookeeper_at: Option<Position>,
    /// Our leadership, while we lead.
    pub leadership: Option<KraftLeadership>,
    /// The present claim of ZooKeeper.
    pub claimed: Option<Claimed>,
    /// Why nothing goes on, in a sentence, while nothing does.
    pub reason: Option<String>,
    /// The same with its times.
    pub waiting: Option<Waiting>,
    /// What an operator should mend although the migration goes on, a sentence each.
    pub warnings: Vec<String>,
    /// The kind of the failure in `reason`; `None` when the reason is a verdict on what was found.
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
    /// How each broker stands, by everything that is known of it; `None` while who is there can't be told.
    pub assessment: Option<Assessment>,
    /// What the registrar did under this leadership, and whom it keeps out; `None` while there is none.
    pub registrar: Option<RegistrarReport>,
    /// The voters of the quorum, each with what it announces; empty while that can't be told.
    pub voters: BTreeMap<NodeId, Option<ControllerAnnouncement>>,
    /// Brokers that are alive and that nobody serves since we took the controller role, whether or not we can write now.
    pub unserved: Vec<NodeId>,
    /// Whether brokers in ZooKeeper mode are served here: then it is worth waiting for them.
    pub serves_brokers: bool,
}

/// What nothing goes on for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Why, in a sentence or several.
    pub reason: String,
    /// Since when something has kept it waiting, whether or not the reason was the same all the time. Monotonic time: a
    /// wall clock that jumps changes nothing.
    pub since: Instant,
    /// When it is tried again by itself; `None` when an attempt is being made, or when only an operator or an election
    /// leads on.
    pub next_attempt: Option<Instant>,
}

impl Status {
    /// As of a migration that has not begun to run.
    pub(crate) fn first(image: &MetadataImage, now: Instant) -> Self {
        Self {
            state: State::Inactive,
            since: now,
            decision: None,
            log_state: image.zk_migration_state(),
            log_end: image.position(),
            zookeeper_at: None,
            leadership: None,
            claimed: None,
            reason: None,
            waiting: None,
            warnings: Vec::new(),
            blocked_by: None,
            attempt: 0,
            copy: CopyProgress::default(),
            sync: None,
            dual_write: DualWriteProgress::default(),
            brokers: BTreeMap::new(),
            assessment: None,
            registrar: None,
            voters: BTreeMap::new(),
            unserved: Vec::new(),
            serves_brokers: false,
        }
    }

    /// How many records of the log ZooKeeper lacks, from the moment on when everything is copied: whatever the driver is
    /// doing, and the more so while it can't write. `None` while ZooKeeper's position is not known.
    pub fn lag_records(&self) -> Option<i64> {
        let behind = |position: Position| (self.log_end.end_offset.0 - position.end_offset.0).max(0);
        self.zookeeper_at.filter(|_| self.log_state == ZkMigrationState::Migration).map(behind)
    }
}
