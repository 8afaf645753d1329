//! A session on the way to its fate.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_zk::client::{
    Children, ConnectError, NodeData, OpResult, ReadOutcome, SessionId, SessionState, Stat, WatchFuture, ZkAcl,
    ZkConnector, ZkFuture, ZkOp, ZkRead, ZkSession,
};
use tokio::sync::watch;

use super::{Fate, When};

/// Passes everything on.
pub(super) struct FatedConnector {
    pub(super) inner: Arc<dyn ZkConnector>,
    pub(super) fate: Arc<Fate>,
}

struct FatedSession {
    inner: Arc<dyn ZkSession>,
    fate: Arc<Fate>,
}

#[async_trait]
impl ZkConnector for FatedConnector {
    async fn connect(&self) -> Result<Arc<dyn ZkSession>, ConnectError> {
        let inner = self.inner.connect().await?;
        Ok(Arc::new(FatedSession { inner, fate: Arc::clone(&self.fate) }))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl ZkSession for FatedSession {
    fn session_id(&self) -> SessionId {
        self.inner.session_id()
    }

    fn session_timeout(&self) -> Duration {
        self.inner.session_timeout()
    }

    fn chroot(&self) -> &str {
        self.inner.chroot()
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.inner.state()
    }

    /// A multi of one op is a barrier, and does not count.
    fn multi(&self, ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
        let Some(step) = self.fate.multi().filter(|_| ops.len() > 1) else { return self.inner.multi(ops) };
        self.fate.meet(step, When::Before);
        let answer = self.inner.multi(ops);
        let fate = Arc::clone(&self.fate);
        Box::pin(async move {
            let answer = answer.await;
            fate.meet(step, When::After);
            answer
        })
    }

    fn multi_read(&self, reads: Vec<ZkRead>) -> ZkFuture<Vec<ReadOutcome>> {
        self.inner.multi_read(reads)
    }

    fn get_data(&self, path: &str) -> ZkFuture<NodeData> {
        self.inner.get_data(path)
    }

    fn get_children(&self, path: &str) -> ZkFuture<Children> {
        self.inner.get_children(path)
    }

    fn exists(&self, path: &str) -> ZkFuture<Option<Stat>> {
        self.inner.exists(path)
    }

    fn get_acl(&self, path: &str) -> ZkFuture<(ZkAcl, Stat)> {
        self.inner.get_acl(path)
    }

    fn sync(&self, path: &str) -> ZkFuture<()> {
        self.inner.sync(path)
    }

    fn watch_data(&self, path: &str) -> ZkFuture<(NodeData, WatchFuture)> {
        self.inner.watch_data(path)
    }

    fn watch_children(&self, path: &str) -> ZkFuture<(Children, WatchFuture)> {
        self.inner.watch_children(path)
    }

    fn watch_exists(&self, path: &str) -> ZkFuture<(Option<Stat>, WatchFuture)> {
        self.inner.watch_exists(path)
    }

    fn resume(&self) -> ZkFuture<Arc<dyn ZkSession>> {
        let resumed = self.inner.resume();
        let fate = Arc::clone(&self.fate);
        Box::pin(async move {
            let inner = resumed.await?;
            let session: Arc<dyn ZkSession> = Arc::new(FatedSession { inner, fate });
            Ok(session)
        })
    }

    fn close(&self) -> ZkFuture<()> {
        self.inner.close()
    }
}
