//! How a log is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use metadata_core::controllers::ControllerAnnouncement;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersionRange;

/// Kafka's default for a segment, 1 GiB (`metadata.log.segment.bytes`).
pub const SEGMENT_BYTES_DEFAULT: u64 = 1 << 30;
/// Kafka's least for a segment, 8 MiB (`MetadataLogConfig`): a batch must fit.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 20;
/// Kafka's most for a segment: it counts a segment's bytes in 31 bits.
pub const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// Where a controller's log lies, its limits, and who the other controllers are. All sizes in bytes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KraftLogOptions {
    /// The directory: Kafka's `metadata.log.dir`. See [`KraftLog::format`](crate::KraftLog::format).
    pub data_dir: PathBuf,
    /// Whose it must be.
    pub node_id: NodeId,
    /// The cluster that it must belong to.
    pub cluster_id: String,
    /// A segment is closed when the next batch would exceed this. Kept between [`SEGMENT_BYTES_MIN`] and
    /// [`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
    /// A snapshot is taken after so many bytes of Raft's log, which are those of new batches, also of transactions that are
    /// discarded; Kafka's 20 MiB (`metadata.log.max.record.bytes.between.snapshots`).
    pub snapshot_every: u64,
    /// Old snapshots and the segments below them are removed above this total; Kafka's 100 MiB
    /// (`metadata.max.retention.bytes`). The newest snapshot always stays.
    pub retention_bytes: u64,
    /// Above this total a [`hold`](metadata_core::log::MetadataLog::hold) is given up: see
    /// [`hold_given_up`](crate::KraftLog::hold_given_up).
    pub hold_bytes: u64,
    /// The sidecar is written after so many bytes of Raft's log: as much is applied again after a crash.
    pub sidecar_every: u64,
    /// Whether the image is cached in a `sled` database, which makes the next open faster.
    pub cache: bool,
    /// How the other controllers are met; `None` for a quorum of one that stays alone.
    pub peers: Option<PeerOptions>,
    /// What this controller says of itself: see [`controllers`](crate::KraftLog::controllers). By default the migration is
    /// not enabled.
    pub announcement: ControllerAnnouncement,
}

/// How a controller meets the others of its quorum.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerOptions {
    /// Where it listens: `host:port`; port 0 for any that is free.
    pub listen: String,
    /// The voters by id, with the address of each, `host:port`: Kafka's `controller.quorum.voters`. They form a new quorum if
    /// this controller is one of them and its log is empty; all of them must be given the same ids. Once there is a quorum, its
    /// log says who votes, and only the addresses here count: they win over those in the log. Empty: this controller waits
    /// until it is added to a quorum.
    pub voters: BTreeMap<NodeId, String>,
    /// How long silence is borne.
    pub timeouts: QuorumTimeouts,
    /// How connections are secured.
    pub security: PeerSecurity,
}

impl PeerOptions {
    /// Listens at `listen`, forms a quorum with `voters`, over plain TCP.
    pub fn new(listen: impl Into<String>, voters: BTreeMap<NodeId, String>) -> Self {
        Self { listen: listen.into(), voters, timeouts: QuorumTimeouts::default(), security: PeerSecurity::Plaintext }
    }
}

/// How connections between controllers are secured.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PeerSecurity {
    /// Not at all: whoever reaches the port can read everything, secrets among it, and pass for a controller. For loopback, and for networks
    /// that nobody else is in.
    Plaintext,
    /// TLS, with certificates on both sides.
    #[cfg(feature = "tls")]
    Tls(PeerTls),
}

/// The files for TLS between controllers, all of them PEM.
#[cfg(feature = "tls")]
#[derive(Debug, Clone)]
pub struct PeerTls {
    /// Certificates of the authorities that signed those of the controllers.
    pub authorities: PathBuf,
    /// This controller's certificate, and the chain behind it. It must be good for a server and a client, and name the host
    /// by which others reach this controller.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How long silence is borne, between members of a quorum. From `election_min` to `election_max` every voter has a fifth to
/// itself, by its place among [`PeerOptions::voters`], so that two do not stand against each other again and again. After a
/// leader went silent a voter waits for the end of its part (the lease of the leader), then for a time that it drew within its
/// part when it was started, and stands for election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumTimeouts {
    /// The leader says so often that it leads.
    pub heartbeat: Duration,
    /// See above (inclusive). Kafka's `controller.quorum.election.timeout.ms`.
    pub election_min: Duration,
    /// See above (exclusive).
    pub election_max: Duration,
}

impl Default for QuorumTimeouts {
    /// Kafka's 1000 ms, and as much again to spread the candidates; heartbeats each 250 ms.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(2000),
        }
    }
}

impl QuorumTimeouts {
    /// A leader that no majority has confirmed for so long acts no more: from then on, others elect another. It is a courtesy, no
    /// proof: a voter that stood for election before may be elected sooner. What keeps two leaders apart is that an append needs
    /// a majority, a read that decides a confirmation, and a write to ZooKeeper the present claim.
    pub fn unconfirmed_max(&self) -> Duration {
        self.election_min * 2
    }

    /// Whether they can be used.
    ///
    /// # Errors
    /// `Invalid`: they are not in this order: heartbeat, election_min, election_max; or are not whole milliseconds above 0.
    pub fn check(&self) -> Result<()> {
        let Self { heartbeat, election_min, election_max } = self;
        if heartbeat.as_millis() > 0 && heartbeat < election_min && election_min < election_max {
            return Ok(());
        }
        let message = format!(
            "heartbeats each {} ms and elections after {} to {} ms can't be: each must be longer than the one before",
            heartbeat.as_millis(),
            election_min.as_millis(),
            election_max.as_millis()
        );
        Err(Error::not_applied(ErrorKind::Invalid, message))
    }
}

impl KraftLogOptions {
    /// The log of `node_id` of the cluster `cluster_id` in `data_dir`, with Kafka's limits.
    pub fn new(data_dir: impl Into<PathBuf>, node_id: NodeId, cluster_id: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            node_id,
            cluster_id: cluster_id.into(),
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            snapshot_every: 20 << 20,
            retention_bytes: 100 << 20,
            hold_bytes: 10 << 30,
            sidecar_every: 16 << 20,
            cache: true,
            peers: None,
            announcement: ControllerAnnouncement {
                migration_enabled: false,
                metadata_versions: MetadataVersionRange::production(),
                zookeeper_fingerprint: None,
                zookeeper_reachable: None,
            },
        }
    }
}
