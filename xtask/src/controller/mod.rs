//! A controller as a process: the metadata log of a data directory, a ZooKeeper, and the migration between them.
//!
//! `migrate` runs one in the foreground, `demo` within itself. [`look_first`] and [`DataDir`] come before it, so that
//! nothing is written before ZooKeeper was seen to be a Kafka cluster's. Others talk to it over the control socket
//! ([`Controller`] is a [`Handler`](crate::control::Handler)); [`LogOnDisk`] reads the directory when no process holds it.

mod assigned;
mod changes;
mod chronicle;
mod compare;
mod data_dir;
mod fate;
mod fresh;
mod health;
mod look;
mod measured;
mod on_disk;
mod process;
mod quorum;
mod refusal;
mod report;
mod rollback;
mod rollback_report;
mod seal;
mod secret;
mod serve;

pub use self::changes::random_changes_need;
pub use self::compare::{Compared, Showing, compare};
pub use self::data_dir::{DataDir, DirectoryHold, who_holds};
pub use self::fresh::{fresh_bytes, fresh_uuid};
pub use self::health::HealthReport;
pub use self::look::{Seen, blockers, look_first};
pub use self::measured::CopyTimes;
pub use self::on_disk::{LogOnDisk, is_torn_end};
pub use self::process::{Controller, ControllerOptions, zk_store};
pub use self::quorum::{MemberReport, QuorumReport};
pub use self::refusal::{reasons_of, why_it_stopped};
pub use self::report::{
    BrokerReport, ClaimReport, ControllerReport, CopyReport, DifferenceReport, FamilyReport, FinalizeReport,
    GateReport, StatusReport, SyncedReport, UnreadyReport, VerifyReport, peak_resident_bytes, sentence,
};
pub use self::rollback::{RollbackOrder, nothing_to_roll_back, rollback_on_disk, sealed};
pub use self::rollback_report::{RollbackReport, RollbackStep};
pub use self::seal::{ROLLBACK_FILE, Seal};

pub(crate) use self::fate::{DIE_AT, Moment, Step, When};
pub(crate) use self::secret::secret_of;
