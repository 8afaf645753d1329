//! What the operator decides.

use std::time::Duration;

use broker_registry::{OperatorsSettings, Service};
use metadata_core::controllers::ZooKeeperFingerprint;
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

/// A leader is patient with ZooKeeper for so long while another voter could go on: it costs less to lead elsewhere than to wait,
/// but a ZooKeeper that elects its own leader is back within this time.
const RESIGN_AFTER: Duration = Duration::from_secs(5);

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct MigrationOptions {
    /// Our own flag, `zookeeper.metadata.migration.enable`. What it leads to is the decision table's business
    /// ([`crate::driver::decide`]): entering needs every controller's flag, leaving needs every controller's flag gone.
    pub migration_enable: bool,
    /// The id of the cluster that the quorum was formatted for: a broker of another one is kept out.
    pub cluster_id: String,
    /// Written into an empty log. Must be at least 3.6-IV1, since the copy is a metadata transaction.
    pub metadata_version: MetadataVersion,
    /// Who serves brokers in ZooKeeper mode.
    pub service: Service,
    /// The controllers' `inter.broker.listener.name`, in upper case, where brokers in ZooKeeper mode are reached; `None`
    /// when nobody sends them anything.
    pub inter_broker_listener: Option<String>,
    /// What the operator says of all brokers, for facts that the brokers don't tell.
    pub operator: OperatorsSettings,
    /// A digest of our ZooKeeper settings, which every other controller must have too; `None` when they can't be compared.
    pub zookeeper_fingerprint: Option<ZooKeeperFingerprint>,
    /// The operator's word that leads out of ZK_GOVERNED: claim ZooKeeper although somebody else governed it since, and
    /// lose what they changed there. It serves for one claim, the next that succeeds.
    pub overrule_zk_governed: bool,
    /// A leader that has not reached ZooKeeper for so long resigns, if another voter reaches it: see
    /// [`should_resign`](crate::resignation::should_resign).
    pub resign_after: Duration,
    /// How patient to be.
    pub retry: RetryPolicy,
}

impl MigrationOptions {
    /// A migration of this cluster, with the flag, at the newest metadata version that Kafka 3.9 has, served by nobody.
    pub fn new(cluster_id: impl Into<String>) -> Self {
        Self {
            migration_enable: true,
            cluster_id: cluster_id.into(),
            metadata_version: MetadataVersion::LATEST_PRODUCTION,
            service: Service::None,
            inter_broker_listener: None,
            operator: OperatorsSettings::default(),
            zookeeper_fingerprint: None,
            overrule_zk_governed: false,
            resign_after: RESIGN_AFTER,
            retry: RetryPolicy::default(),
        }
    }
}
