//! A node's sessions with ZooKeeper: every request and every answer passes by the process, and by the mutant at work.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metadata_core::id::NodeId;
use store_zk::client::{
    Children, ConnectError, NodeData, OpResult, ReadOutcome, SessionId, SessionState, Stat, UnknownCause, WatchFuture,
    ZkAcl, ZkConnector, ZkError, ZkFuture, ZkOp, ZkRead, ZkSession,
};
use store_zk::znode::path;
use tokio::sync::watch;

use super::net::{CLAIMED_NODES, Link, Net, SESSION_TIMEOUT};
use super::process::Process;
use super::tamper::Tamper;

/// Opens sessions for one run of one node.
pub(super) struct SimConnector {
    pub(super) net: Arc<Net>,
    pub(super) process: Arc<Process>,
    pub(super) node: NodeId,
}

#[async_trait]
impl ZkConnector for SimConnector {
    async fn connect(&self) -> Result<Arc<dyn ZkSession>, ConnectError> {
        self.process.turn().await;
        tokio::time::sleep(self.net.connecting()).await;
        self.process.turn().await;
        match self.net.link(self.node) {
            Link::Up => {}
            Link::Down => {
                return Err(ConnectError::Unreachable {
                    servers: self.describe(),
                    tried: Duration::ZERO,
                    reason: "the network is down".to_owned(),
                });
            }
            Link::Refused => {
                return Err(ConnectError::AuthFailed {
                    servers: self.describe(),
                    reason: "the credentials are refused".to_owned(),
                });
            }
        }
        let session = self.net.zookeeper.connector().connect().await?;
        self.net.opened(session.session_id(), self.node);
        let (net, process) = (Arc::clone(&self.net), Arc::clone(&self.process));
        Ok(SimSession::over(session, net, process, self.node, Tamper::default()))
    }

    fn describe(&self) -> String {
        "the simulated ensemble".to_owned()
    }
}

/// One session over one connection.
pub(super) struct SimSession {
    pub(super) inner: Arc<dyn ZkSession>,
    pub(super) net: Arc<Net>,
    pub(super) process: Arc<Process>,
    pub(super) node: NodeId,
    /// Nothing went out yet that makes a follower catch up.
    fresh: AtomicBool,
    /// The newest moment that this session may have seen.
    seen: Arc<AtomicUsize>,
    pub(super) tamper: Tamper,
}

impl SimSession {
    fn over(
        inner: Arc<dyn ZkSession>,
        net: Arc<Net>,
        process: Arc<Process>,
        node: NodeId,
        tamper: Tamper,
    ) -> Arc<dyn ZkSession> {
        let seen = Arc::new(AtomicUsize::new(net.seen()));
        Arc::new(Self { inner, net, process, node, fresh: AtomicBool::new(true), seen, tamper })
    }

    /// The answer, once the process runs. Whatever was answered was seen.
    fn answer<T: Send + 'static>(&self, answer: ZkFuture<T>) -> ZkFuture<T> {
        let (net, process, seen) = (Arc::clone(&self.net), Arc::clone(&self.process), Arc::clone(&self.seen));
        Box::pin(async move {
            let answer = answer.await;
            process.turn().await;
            if answer.is_ok() {
                seen.fetch_max(net.seen(), Ordering::Relaxed);
            }
            answer
        })
    }

    fn request<T: Send + 'static>(&self, issue: impl FnOnce(&dyn ZkSession) -> ZkFuture<T>) -> ZkFuture<T> {
        if self.process.is_dead() { Box::pin(pending()) } else { self.answer(issue(&*self.inner)) }
    }

    fn watching<T: Send + 'static>(
        &self,
        issue: impl FnOnce(&dyn ZkSession) -> ZkFuture<(T, WatchFuture)>,
    ) -> ZkFuture<(T, WatchFuture)> {
        let (answer, process) = (self.request(issue), Arc::clone(&self.process));
        Box::pin(async move {
            let (found, watch) = answer.await?;
            let watch: WatchFuture = Box::pin(async move {
                let event = watch.await;
                process.turn().await;
                event
            });
            Ok((found, watch))
        })
    }
}

impl ZkSession for SimSession {
    fn session_id(&self) -> SessionId {
        self.inner.session_id()
    }

    fn session_timeout(&self) -> Duration {
        SESSION_TIMEOUT
    }

    fn chroot(&self) -> &str {
        ""
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.inner.state()
    }

    fn multi(&self, ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
        self.fresh.store(false, Ordering::Relaxed);
        let net = Arc::clone(&self.net);
        self.request(|session| self.tamper.multi(&net, session, ops))
    }

    fn multi_read(&self, reads: Vec<ZkRead>) -> ZkFuture<Vec<ReadOutcome>> {
        let decides = reads.iter().map(ZkRead::path).eq(CLAIMED_NODES);
        let answer = self.request(|session| session.multi_read(reads));
        if !decides {
            return answer;
        }
        // Decided before the answer comes, as the answer itself is.
        let (fresh, seen) = (self.fresh.load(Ordering::Relaxed), self.seen.load(Ordering::Relaxed));
        let (net, shift) = (Arc::clone(&self.net), self.tamper.clone());
        Box::pin(async move {
            let mut outcomes = answer.await?;
            if fresh && let Some(moment) = net.stale(seen) {
                outcomes = moment
                    .into_iter()
                    .map(|node| node.map_or(ReadOutcome::Failed(store_zk::client::ZkCode::NoNode), ReadOutcome::Data))
                    .collect();
            }
            shift.decisive(&net, &mut outcomes);
            Ok(outcomes)
        })
    }

    fn get_data(&self, node: &str) -> ZkFuture<NodeData> {
        let answer = self.request(|session| session.get_data(node));
        if node != path::MIGRATION {
            return answer;
        }
        let (fresh, seen) = (self.fresh.load(Ordering::Relaxed), self.seen.load(Ordering::Relaxed));
        let (net, shift) = (Arc::clone(&self.net), self.tamper.clone());
        Box::pin(async move {
            let mut found = answer.await?;
            if fresh && let Some([_, _, Some(marker)]) = net.stale(seen) {
                found = marker;
            }
            shift.marker_read(&mut found);
            Ok(found)
        })
    }

    fn get_children(&self, path: &str) -> ZkFuture<Children> {
        self.request(|session| session.get_children(path))
    }

    fn exists(&self, path: &str) -> ZkFuture<Option<Stat>> {
        self.request(|session| session.exists(path))
    }

    fn get_acl(&self, path: &str) -> ZkFuture<(ZkAcl, Stat)> {
        self.request(|session| session.get_acl(path))
    }

    fn sync(&self, path: &str) -> ZkFuture<()> {
        if self.tamper.forgets_sync(&self.net) {
            return Box::pin(std::future::ready(Ok(())));
        }
        self.fresh.store(false, Ordering::Relaxed);
        self.request(|session| session.sync(path))
    }

    fn watch_data(&self, path: &str) -> ZkFuture<(NodeData, WatchFuture)> {
        self.watching(|session| session.watch_data(path))
    }

    fn watch_children(&self, path: &str) -> ZkFuture<(Children, WatchFuture)> {
        self.watching(|session| session.watch_children(path))
    }

    fn watch_exists(&self, path: &str) -> ZkFuture<(Option<Stat>, WatchFuture)> {
        self.watching(|session| session.watch_exists(path))
    }

    fn resume(&self) -> ZkFuture<Arc<dyn ZkSession>> {
        let (inner, net, process) = (Arc::clone(&self.inner), Arc::clone(&self.net), Arc::clone(&self.process));
        let (node, seen, tamper) = (self.node, Arc::clone(&self.seen), self.tamper.clone());
        Box::pin(async move {
            process.turn().await;
            tokio::time::sleep(net.connecting()).await;
            process.turn().await;
            if net.link(node) != Link::Up {
                return Err(ZkError::unknown(UnknownCause::ConnectionLost, "the network is down"));
            }
            let inner = inner.resume().await?;
            net.resumed(inner.session_id());
            let session = Self { inner, net, process, node, fresh: AtomicBool::new(true), seen, tamper };
            Ok(Arc::new(session) as Arc<dyn ZkSession>)
        })
    }

    fn close(&self) -> ZkFuture<()> {
        self.request(|session| session.close())
    }
}
