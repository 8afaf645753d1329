//! What the operator decides.

use std::time::Duration;

use broker_registry::Service;
use metadata_core::metadata_version::MetadataVersion;

/// How long to wait between attempts: doubled each time, from `first` to `longest`.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Before the second attempt.
    pub first: Duration,
    /// Before any later one, at most.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// 100 ms to 10 s. (Kafka waits up to 60 s; nobody wants to watch that.)
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    /// The pause after so many failures in a row (at least 1).
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct MigrationOptions {
    /// Our own flag, `zookeeper.metadata.migration.enable`. What it leads to is the decision table's business
    /// ([`crate::driver::decide`]): entering needs every controller's flag, leaving needs every controller's flag gone.
    pub migration_enable: bool,
    /// Written into an empty log. Must be at least 3.6-IV1, since the copy is a metadata transaction.
    pub metadata_version: MetadataVersion,
    /// Who serves brokers in ZooKeeper mode.
    pub service: Service,
    /// The operator's word that leads out of ZK_GOVERNED: claim ZooKeeper although somebody else governed it since, and
    /// lose what they changed there. It serves for one claim, the next that succeeds.
    pub overrule_zk_governed: bool,
    /// How patient to be.
    pub retry: RetryPolicy,
}

impl Default for MigrationOptions {
    fn default() -> Self {
        Self {
            migration_enable: true,
            metadata_version: MetadataVersion::LATEST_PRODUCTION,
            service: Service::None,
            overrule_zk_governed: false,
            retry: RetryPolicy::default(),
        }
    }
}
