//! The real client: the crate `zookeeper-client`, kept to one connection per [`ZkSession`].

mod convert;
mod diagnose;
mod link;
#[cfg(feature = "tls")]
mod tls;

use std::future::{Future, ready};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use zookeeper_client as zk;

use self::link::{Link, OpenError, Opened};
use super::config::ZkClientConfig;
use super::{
    Children, ConnectError, NodeData, OpResult, ReadOutcome, SessionId, SessionState, Stat, UnknownCause, WatchEvent,
    WatchFuture, ZkAcl, ZkCode, ZkConnector, ZkError, ZkFuture, ZkOp, ZkRead, ZkSession, check,
};

/// Opens sessions with real servers.
///
/// The futures of its sessions must be awaited on a tokio runtime with a timer. Each connection has a thread of its
/// own, so that a busy runtime doesn't keep it from answering ZooKeeper's heartbeat.
#[derive(Debug, Clone)]
pub struct ZooKeeperConnector {
    config: Arc<ZkClientConfig>,
}

impl ZooKeeperConnector {
    /// A connector for one configuration. Opens nothing yet.
    pub fn new(config: ZkClientConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

#[async_trait]
impl ZkConnector for ZooKeeperConnector {
    async fn connect(&self) -> Result<Arc<dyn ZkSession>, ConnectError> {
        match link::open(Arc::clone(&self.config), None).await {
            Ok(opened) => Ok(RealSession::first(Arc::clone(&self.config), opened).await),
            Err(OpenError::Connect(error)) => Err(error),
            // Only a session that is continued can be expired; the server has no other answer to a new one.
            Err(OpenError::Expired) => Err(ConnectError::Unreachable {
                servers: self.describe(),
                tried: self.config.connection_timeout,
                reason: "the server expired a new session at once".to_owned(),
            }),
        }
    }

    fn describe(&self) -> String {
        self.config.connect.to_string()
    }
}

/// What all connections of one session share.
struct Core {
    config: Arc<ZkClientConfig>,
    /// Id and password, by which the session is continued.
    session: zk::SessionInfo,
    /// Set once the session can't be continued any more.
    over: Mutex<Option<UnknownCause>>,
    /// The newest connection; held while a newer one is made.
    newest: AsyncMutex<Newest>,
}

struct Newest {
    session: Weak<RealSession>,
    link: Arc<Link>,
}

impl Core {
    fn over(&self) -> Option<UnknownCause> {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first reason stays.
    fn set_over(&self, cause: UnknownCause) {
        self.over.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
    }
}

struct RealSession {
    core: Arc<Core>,
    link: Arc<Link>,
    runtime: Handle,
    session_timeout: Duration,
}

impl RealSession {
    async fn first(config: Arc<ZkClientConfig>, opened: Opened) -> Arc<dyn ZkSession> {
        let core = Arc::new(Core {
            config,
            session: opened.session.clone(),
            over: Mutex::new(None),
            newest: AsyncMutex::new(Newest { session: Weak::new(), link: Arc::clone(&opened.link) }),
        });
        let session = Self::new(Arc::clone(&core), opened);
        core.newest.lock().await.session = Arc::downgrade(&session);
        session
    }

    fn new(core: Arc<Core>, opened: Opened) -> Arc<Self> {
        let Opened { link, runtime, session: _, session_timeout } = opened;
        Arc::new(Self { core, link, runtime, session_timeout })
    }

    /// Issues a request: `make` gets the client, and the first poll of what it returns must queue the request.
    ///
    /// The crate queues when its methods are called, but some of its futures borrow the client. So both live in one
    /// future, which is polled once here and later by whoever awaits the answer.
    fn request<T, F>(&self, make: impl FnOnce(Arc<zk::Client>) -> F) -> ZkFuture<T>
    where
        F: Future<Output = Result<T, ZkError>> + Send + 'static,
        T: Send + 'static,
    {
        let Some(client) = self.link.client() else { return Box::pin(ready(Err(self.link.refusal()))) };
        let mut request = Box::pin(make(client));
        let limit = self.core.config.request_timeout;
        let deadline = Instant::now() + limit;
        let link = Arc::clone(&self.link);
        match request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Box::pin(ready(link.settle(answer))),
            Poll::Pending => Box::pin(async move {
                let answer = tokio::select! {
                    biased;
                    answer = request => answer,
                    () = sleep_until(deadline) => Err(ZkError::unknown(
                        UnknownCause::ConnectionLost,
                        format!("no answer within {} ms", limit.as_millis()),
                    )),
                };
                link.settle(answer)
            }),
        }
    }

    /// A request about one node.
    fn node_request<T, F>(&self, path: &str, make: impl FnOnce(Arc<zk::Client>, String) -> F) -> ZkFuture<T>
    where
        F: Future<Output = Result<T, zk::Error>> + Send + 'static,
        T: Send + 'static,
    {
        if !check::is_path(path) {
            return Box::pin(ready(Err(ZkError::definite(ZkCode::BadArguments, path))));
        }
        let path = path.to_owned();
        self.request(move |client| {
            let request = make(client, path.clone());
            async move { request.await.map_err(|error| convert::request_error(&error, &path)) }
        })
    }
}

/// Waits for a one-shot watch on the connection's own runtime: the crate's watcher panics when it outlives its session.
fn watch_future(runtime: &Handle, watcher: zk::OneshotWatcher) -> WatchFuture {
    let (mut fire, fired) = oneshot::channel();
    runtime.spawn(async move {
        tokio::select! {
            event = watcher.changed() => {
                // Whoever waited may be gone.
                _ = fire.send(convert::watch_event(&event));
            }
            () = fire.closed() => {}
        }
    });
    Box::pin(async move { fired.await.unwrap_or(WatchEvent::Ended) })
}

fn add_op(writer: &mut zk::MultiWriter<'_>, op: ZkOp) -> (String, Result<(), zk::Error>) {
    match op {
        ZkOp::Check { path, version } => {
            let added = writer.add_check_version(&path, version.0);
            (path, added)
        }
        ZkOp::Create { path, data, acl, mode } => {
            let acls = convert::acls(&acl);
            let options = convert::create_mode(mode).with_acls(zk::Acls::new(&acls));
            let added = writer.add_create(&path, &data, &options);
            (path, added)
        }
        ZkOp::SetData { path, data, version } => {
            let added = writer.add_set_data(&path, &data, version.map(|version| version.0));
            (path, added)
        }
        ZkOp::Delete { path, version } => {
            let added = writer.add_delete(&path, version.map(|version| version.0));
            (path, added)
        }
    }
}

async fn multi(client: Arc<zk::Client>, ops: Vec<ZkOp>) -> Result<Vec<OpResult>, ZkError> {
    if ops.is_empty() {
        return Err(ZkError::definite(ZkCode::BadArguments, ""));
    }
    let mut writer = client.new_multi_writer();
    let mut paths = Vec::with_capacity(ops.len());
    for (index, op) in ops.into_iter().enumerate() {
        if let Some(code) = check::refusal(&op) {
            return Err(ZkError::definite_op(code, index, op.path()));
        }
        let (path, added) = add_op(&mut writer, op);
        added.map_err(|error| convert::op_error(&error, index, &path))?;
        paths.push(path);
    }
    let results = writer.commit().await.map_err(|error| match error {
        zk::MultiWriteError::RequestFailed { source } => convert::request_error(&source, ""),
        zk::MultiWriteError::OperationFailed { index, source } => {
            convert::op_error(&source, index, paths.get(index).map(String::as_str).unwrap_or_default())
        }
    })?;
    let count = results.len();
    let results: Vec<_> = results.into_iter().filter_map(convert::op_result).collect();
    if results.len() != paths.len() {
        return Err(ZkError::unknown(
            UnknownCause::ConnectionLost,
            format!("the answer to a multi of {} ops has {count} results", paths.len()),
        ));
    }
    Ok(results)
}

async fn multi_read(client: Arc<zk::Client>, reads: Vec<ZkRead>) -> Result<Vec<ReadOutcome>, ZkError> {
    let mut reader = client.new_multi_reader();
    for read in &reads {
        if !check::is_path(read.path()) {
            return Err(ZkError::definite(ZkCode::BadArguments, read.path()));
        }
        let added = match read {
            ZkRead::Data(path) => reader.add_get_data(path),
            ZkRead::Children(path) => reader.add_get_children(path),
        };
        added.map_err(|error| convert::request_error(&error, read.path()))?;
    }
    let results = reader.commit().await.map_err(|error| convert::request_error(&error, ""))?;
    let count = results.len();
    let outcomes: Vec<_> = results.into_iter().map_while(convert::read_outcome).collect();
    if outcomes.len() != reads.len() {
        return Err(ZkError::unknown(
            UnknownCause::ConnectionLost,
            format!("the answer to {} reads has {count} results, of which {} count", reads.len(), outcomes.len()),
        ));
    }
    Ok(outcomes)
}

impl ZkSession for RealSession {
    fn session_id(&self) -> SessionId {
        SessionId(self.core.session.id().0)
    }

    fn session_timeout(&self) -> Duration {
        self.session_timeout
    }

    fn chroot(&self) -> &str {
        self.core.config.connect.chroot()
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.link.states()
    }

    fn multi(&self, ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
        self.request(|client| multi(client, ops))
    }

    fn multi_read(&self, reads: Vec<ZkRead>) -> ZkFuture<Vec<ReadOutcome>> {
        self.request(|client| multi_read(client, reads))
    }

    fn get_data(&self, path: &str) -> ZkFuture<NodeData> {
        self.node_request(path, |client, path| async move {
            let (data, stat) = client.get_data(&path).await?;
            Ok(convert::node_data(data, &stat))
        })
    }

    fn get_children(&self, path: &str) -> ZkFuture<Children> {
        self.node_request(path, |client, path| async move {
            let (names, stat) = client.get_children(&path).await?;
            Ok(Children { names: convert::sorted(names), stat: convert::stat(&stat) })
        })
    }

    fn exists(&self, path: &str) -> ZkFuture<Option<Stat>> {
        self.node_request(path, |client, path| async move {
            let stat = client.check_stat(&path).await?;
            Ok(stat.as_ref().map(convert::stat))
        })
    }

    fn get_acl(&self, path: &str) -> ZkFuture<(ZkAcl, Stat)> {
        self.node_request(path, |client, path| async move {
            let (acls, stat) = client.get_acl(&path).await?;
            Ok((convert::acl(&acls), convert::stat(&stat)))
        })
    }

    fn sync(&self, path: &str) -> ZkFuture<()> {
        self.node_request(path, |client, path| async move { client.sync(&path).await })
    }

    fn watch_data(&self, path: &str) -> ZkFuture<(NodeData, WatchFuture)> {
        let runtime = self.runtime.clone();
        self.node_request(path, |client, path| async move {
            let (data, stat, watcher) = client.get_and_watch_data(&path).await?;
            Ok((convert::node_data(data, &stat), watch_future(&runtime, watcher)))
        })
    }

    fn watch_children(&self, path: &str) -> ZkFuture<(Children, WatchFuture)> {
        let runtime = self.runtime.clone();
        self.node_request(path, |client, path| async move {
            let (names, stat, watcher) = client.get_and_watch_children(&path).await?;
            let children = Children { names: convert::sorted(names), stat: convert::stat(&stat) };
            Ok((children, watch_future(&runtime, watcher)))
        })
    }

    fn watch_exists(&self, path: &str) -> ZkFuture<(Option<Stat>, WatchFuture)> {
        let runtime = self.runtime.clone();
        self.node_request(path, |client, path| async move {
            let (stat, watcher) = client.check_and_watch_stat(&path).await?;
            Ok((stat.as_ref().map(convert::stat), watch_future(&runtime, watcher)))
        })
    }

    fn resume(&self) -> ZkFuture<Arc<dyn ZkSession>> {
        let core = Arc::clone(&self.core);
        Box::pin(async move {
            let mut newest = core.newest.lock().await;
            let living = newest.session.upgrade().filter(|newest| newest.link.state() == SessionState::Connected);
            if let Some(living) = living {
                return Ok(living as Arc<dyn ZkSession>);
            }
            if core.over().is_some() || newest.link.state() != SessionState::Lost {
                return Err(core.over().map_or_else(
                    || newest.link.refusal(),
                    |cause| ZkError::unknown(cause, "this session can't be resumed"),
                ));
            }
            newest.link.finished().await;
            let opened = match link::open(Arc::clone(&core.config), Some(core.session.clone())).await {
                Ok(opened) => opened,
                Err(OpenError::Expired) => {
                    core.set_over(UnknownCause::SessionExpired);
                    let detail = format!("{} knows session {} no more", core.config.connect, core.session.id());
                    return Err(ZkError::unknown(UnknownCause::SessionExpired, detail));
                }
                Err(OpenError::Connect(error)) => {
                    let cause = match error {
                        ConnectError::AuthFailed { .. } => UnknownCause::AuthFailed,
                        _ => UnknownCause::ConnectionLost,
                    };
                    if cause == UnknownCause::AuthFailed {
                        core.set_over(cause);
                    }
                    return Err(ZkError::unknown(cause, error.to_string()));
                }
            };
            newest.link = Arc::clone(&opened.link);
            let session = Self::new(Arc::clone(&core), opened);
            newest.session = Arc::downgrade(&session);
            tracing::info!(session = %core.session.id(), servers = %core.config.connect, "ZooKeeper session resumed");
            Ok(session as Arc<dyn ZkSession>)
        })
    }

    fn close(&self) -> ZkFuture<()> {
        let link = Arc::clone(&self.link);
        link.close();
        self.core.set_over(UnknownCause::Closed);
        Box::pin(async move {
            match link.finished().await {
                SessionState::Closed => Ok(()),
                _ => Err(ZkError::unknown(
                    UnknownCause::ConnectionLost,
                    "the end of the session was not confirmed: it is left to expire",
                )),
            }
        })
    }
}

impl Drop for RealSession {
    fn drop(&mut self) {
        if self.link.state() == SessionState::Connected {
            self.core.set_over(UnknownCause::Closed);
            self.link.close();
        }
    }
}
