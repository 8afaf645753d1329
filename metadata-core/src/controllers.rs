//! The port to whoever knows what the controllers of the quorum say about themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Result;
use crate::id::NodeId;
use crate::metadata_version::MetadataVersionRange;

/// A digest of the ZooKeeper settings of a controller. Two controllers that would lead the migration against different
/// ZooKeepers, or with other settings, have different ones.
///
/// It travels between controllers and shows in reports, so it must not be made of secrets: a digest of a short password
/// can be guessed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZooKeeperFingerprint([u8; 32]);

impl ZooKeeperFingerprint {
    /// The fingerprint with this digest. All controllers must make it in one way.
    pub const fn of_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ZooKeeperFingerprint {
    /// The first eight digits: enough to see that two differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Debug for ZooKeeperFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a controller says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerAnnouncement {
    /// Whether it was started with `zookeeper.metadata.migration.enable`.
    pub migration_enabled: bool,
    /// The levels of `metadata.version` that it supports.
    pub metadata_versions: MetadataVersionRange,
    /// Its ZooKeeper settings; `None` when it has none, or does not tell (Kafka's controllers don't).
    pub zookeeper_fingerprint: Option<ZooKeeperFingerprint>,
    /// Whether it reaches ZooKeeper, as it found last; `None` while it has not looked, or does not tell.
    pub zookeeper_reachable: Option<bool>,
}

/// Tells the other controllers what changes while this one runs.
pub trait Announcer: Send + Sync {
    /// This controller reaches ZooKeeper, or has found that it does not.
    fn zookeeper_reachable(&self, reachable: bool);
}

/// A stream of what the voters announce.
#[async_trait]
pub trait Controllers: Send {
    /// Every voter of the quorum, this process included, with its announcement: at once on the first call, then each time
    /// after something changed. A voter that has announced nothing, or can't be asked, is there with `None`, which counts
    /// as not ready. The voters are those of the log itself, never a list in a configuration. States in between may be
    /// skipped; the last one never is. Dropping the future before it resolves loses nothing.
    ///
    /// Kafka: `QuorumFeatures.reasonAllControllersZkMigrationNotReady`, which asks a static list that may be empty.
    ///
    /// # Errors
    /// `Unavailable`; calling again goes on, starting with the present state.
    async fn next(&mut self) -> Result<BTreeMap<NodeId, Option<ControllerAnnouncement>>>;

    /// Where this controller's own news is told; `None` where nobody listens, as in a quorum of one.
    fn announcer(&self) -> Option<Arc<dyn Announcer>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_shown_short_and_compared_whole() {
        let mut digest = [0; 32];
        digest[0] = 0xab;
        let one = ZooKeeperFingerprint::of_digest(digest);
        digest[31] = 1;
        let other = ZooKeeperFingerprint::of_digest(digest);
        assert_eq!((one.to_string(), format!("{other:?}")), ("ab000000".into(), "ab000000".into()));
        assert_ne!(one, other);
    }
}
