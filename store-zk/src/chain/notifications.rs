//! Change notifications that everybody has read are removed, as brokers remove them (Kafka:
//! `ZkNodeChangeNotificationListener`): after 15 minutes, by the time of their creation. Once no broker runs in ZooKeeper
//! mode any more, nobody else does it.

use std::sync::Arc;
use std::time::Duration;

use metadata_core::leadership::AfterClaim;

use super::actor::{Actor, Tag};
use super::batch::OPS_PER_MULTI_MAX;
use super::window::Failure;
use crate::client::{ReadOutcome, ZkCode, ZkError, ZkOp, ZkRead};
use crate::znode::path;

/// How long a notification stays (Kafka: `CHANGE_EXPIRATION_MS`).
const KEPT_FOR_MS: i64 = 15 * 60 * 1000;

/// How often we look.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);

const ROOTS: [&str; 4] = [path::CONFIG_CHANGES, path::ACL_CHANGES, path::EXTENDED_ACL_CHANGES, path::TOKEN_CHANGES];

impl Actor {
    /// Removes what is old, by multis of their own that leave position, batch and op as they are. Only while nothing
    /// else is under way.
    pub(super) async fn sweep_notifications(&mut self) {
        if self.stopped.is_some() || self.next != AfterClaim::Resume || !self.queue.is_empty() {
            return;
        }
        for root in ROOTS {
            let expired = match self.expired_below(root).await {
                Ok(expired) => expired,
                Err(error) => {
                    tracing::debug!(%error, root, "notifications can't be listed now");
                    return;
                }
            };
            for chunk in expired.chunks(OPS_PER_MULTI_MAX) {
                let marker = self.window.confirmed().marker.clone();
                let ops = chunk.iter().map(|path| ZkOp::delete(path, None)).collect();
                self.window.issue(marker, ops, Tag { indices: Vec::new(), last: false });
                match self.window.next().await {
                    Ok(_) => self.losses = 0,
                    // A broker was faster. What is left goes next time.
                    Err(Failure::ForeignWrite { .. }) => {
                        drop(self.window.drain().await);
                        break;
                    }
                    Err(failure) => return self.settle(failure).await,
                }
            }
        }
    }

    async fn expired_below(&mut self, root: &str) -> Result<Vec<String>, ZkError> {
        let session = Arc::clone(self.window.session());
        let names = match session.get_children(root).await {
            Ok(children) => children.names,
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let now = (self.options.now)().0;
        let mut expired = Vec::new();
        for chunk in names.chunks(crate::read::READS_PER_REQUEST) {
            let paths: Vec<String> = chunk.iter().map(|name| format!("{root}/{name}")).collect();
            let outcomes = session.multi_read(paths.iter().cloned().map(ZkRead::Data).collect()).await?;
            expired.extend(paths.into_iter().zip(outcomes).filter_map(|(path, outcome)| match outcome {
                ReadOutcome::Data(node) if now.saturating_sub(node.stat.ctime_ms) > KEPT_FOR_MS => Some(path),
                _ => None,
            }));
        }
        Ok(expired)
    }
}
