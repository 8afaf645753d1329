//! The few figures that whoever watches over a controller asks for again and again.

use metadata_core::log::MetadataLog as _;
use migration::State;
use serde::{Deserialize, Serialize};

use super::process::Controller;

/// How a controller is, in figures that cost the same however large the cluster is. A status tells more, and looks through the
/// whole image for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthReport {
    /// The driver's state, as Kafka spells it.
    pub driver_state: String,
    /// Who leads the quorum, as this controller knows it.
    pub leader: Option<i32>,
    /// The quorum's epoch, also while nobody leads.
    pub epoch: i32,
    /// End of the log (exclusive).
    pub log_end_offset: i64,
    /// Where ZooKeeper is, as this controller knows it: the end of what it holds of the log (exclusive).
    pub zookeeper_end_offset: Option<i64>,
    /// Records that ZooKeeper lacks, once everything is copied and while its position is known.
    pub lag_records: Option<i64>,
    /// Seconds for which this process has made ZooKeeper equal to the log, all full syncs together.
    pub sync_seconds: f64,
}

impl Controller {
    /// How it is, in short.
    pub fn health(&self) -> HealthReport {
        let quorum = self.log.quorum();
        let (log_end, sync) = (self.log.image().position(), self.chronicle.spent_in(State::SyncKRaftToZk));
        let watch = self.watch();
        let status = watch.borrow();
        HealthReport {
            driver_state: status.state.to_string(),
            leader: quorum.leader.map(|leader| leader.0),
            epoch: quorum.epoch.0,
            log_end_offset: log_end.end_offset.0,
            zookeeper_end_offset: status.zookeeper_at.map(|position| position.end_offset.0),
            lag_records: status.lag_records(),
            sync_seconds: sync.as_secs_f64(),
        }
    }
}
