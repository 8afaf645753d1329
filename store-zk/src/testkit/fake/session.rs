//! The client's side: the same life as a real session's.

use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::lock;
use super::server::{Pending, Server, WatchKind};
use super::tree::Actor;
use crate::client::{
    Children, MULTI_FRAME_OVERHEAD, NodeData, OpResult, ReadOutcome, SessionId, SessionState, Stat, UnknownCause,
    WatchEvent, WatchFuture, ZkAcl, ZkCode, ZkError, ZkFuture, ZkOp, ZkRead, ZkSession, check,
};

/// Numbers connections, so that an old object can't use a new one's.
static GENERATION: AtomicU64 = AtomicU64::new(0);

pub(super) struct FakeSession {
    server: Arc<Mutex<Server>>,
    id: i64,
    generation: u64,
    chroot: String,
    /// Ends when the server cuts, or when we close; whichever is first.
    state: watch::Sender<SessionState>,
}

impl FakeSession {
    pub(super) fn first(server: &Arc<Mutex<Server>>, id: i64, chroot: String) -> Arc<dyn ZkSession> {
        Self::connected(server, id, chroot)
    }

    fn connected(server: &Arc<Mutex<Server>>, id: i64, chroot: String) -> Arc<Self> {
        let state = watch::Sender::new(SessionState::Connected);
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Self { server: Arc::clone(server), id, generation, chroot, state: state.clone() });
        lock(server).attach(id, generation, state, Arc::downgrade(&session));
        session
    }

    fn absolute(&self, path: &str) -> String {
        if self.chroot.is_empty() {
            path.to_owned()
        } else if path == "/" {
            self.chroot.clone()
        } else {
            format!("{}{path}", self.chroot)
        }
    }

    /// Issues a request; it is carried out before this returns, unless it is held or fails.
    fn submit<T: Send + 'static>(
        &self,
        size: usize,
        is_multi: bool,
        request: impl FnOnce(&mut Server, &Actor) -> Result<T, ZkError> + Send + 'static,
    ) -> ZkFuture<T> {
        if *self.state.borrow() != SessionState::Connected {
            return Box::pin(ready(Err(refusal(&self.state))));
        }
        let (pending, answered) = pending(request);
        lock(&self.server).submit(self.id, self.generation, size, is_multi, pending);
        let state = self.state.clone();
        Box::pin(async move { answered.await.unwrap_or_else(|_| Err(refusal(&state))) })
    }

    /// Refuses requests from now on, and ends the session behind those that were issued.
    fn close_with(&self, goodbye: Pending) {
        let was_connected = self.state.send_if_modified(|state| {
            let connected = *state == SessionState::Connected;
            if connected {
                *state = SessionState::Closed;
            }
            connected
        });
        if was_connected {
            lock(&self.server).close(self.id, self.generation, goodbye);
        } else {
            (goodbye.silence)();
        }
    }

    fn node_request<T: Send + 'static>(
        &self,
        path: &str,
        request: impl FnOnce(&mut Server, &Actor, &str) -> Result<T, ZkCode> + Send + 'static,
    ) -> ZkFuture<T> {
        if !check::is_path(path) {
            return Box::pin(ready(Err(ZkError::definite(ZkCode::BadArguments, path))));
        }
        let (absolute, path) = (self.absolute(path), path.to_owned());
        let size = absolute.len() + 16;
        self.submit(size, false, move |server, actor| {
            request(server, actor, &absolute).map_err(|code| ZkError::definite(code, path))
        })
    }

    fn watched<T: Send + 'static>(
        &self,
        path: &str,
        kind: WatchKind,
        read: impl FnOnce(&Server, &Actor, &str) -> Result<T, ZkCode> + Send + 'static,
    ) -> ZkFuture<(T, WatchFuture)> {
        let (id, generation) = (self.id, self.generation);
        self.node_request(path, move |server, actor, path| {
            let found = read(server, actor, path)?;
            let fired = server.watch(id, generation, path, kind);
            let watch: WatchFuture = Box::pin(async move { fired.await.unwrap_or(WatchEvent::Ended) });
            Ok((found, watch))
        })
    }
}

/// A request for the server's queue, and where its answer comes. Silence takes the way to answer away.
fn pending<T: Send + 'static>(
    request: impl FnOnce(&mut Server, &Actor) -> T + Send + 'static,
) -> (Pending, oneshot::Receiver<T>) {
    let (answer, answered) = oneshot::channel();
    let to_answer = Arc::new(Mutex::new(Some(answer)));
    let to_silence = Arc::clone(&to_answer);
    let take = |slot: &Mutex<Option<oneshot::Sender<T>>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let job = move |server: &mut Server, actor: &Actor| {
        // Before the request: carrying out a goodbye cuts its own connection.
        let answer = take(&to_answer);
        let outcome = request(server, actor);
        if let Some(answer) = answer {
            // Nobody need wait.
            _ = answer.send(outcome);
        }
    };
    (Pending { job: Box::new(job), silence: Box::new(move || drop(take(&to_silence))) }, answered)
}

/// Ends the session when its turn comes.
fn goodbye() -> (Pending, oneshot::Receiver<()>) {
    pending(|server, actor| {
        server.cut(actor.session, SessionState::Closed);
        server.end(actor.session);
    })
}

fn refusal(state: &watch::Sender<SessionState>) -> ZkError {
    let cause = match *state.borrow() {
        SessionState::Connected | SessionState::Lost => UnknownCause::ConnectionLost,
        SessionState::Expired => UnknownCause::SessionExpired,
        SessionState::AuthFailed => UnknownCause::AuthFailed,
        SessionState::Closed => UnknownCause::Closed,
    };
    ZkError::unknown(cause, "no answer from the fake before the connection ended")
}

fn with_chroot(op: ZkOp, absolute: impl Fn(&str) -> String) -> ZkOp {
    match op {
        ZkOp::Check { path, version } => ZkOp::Check { path: absolute(&path), version },
        ZkOp::Create { path, data, acl, mode } => ZkOp::Create { path: absolute(&path), data, acl, mode },
        ZkOp::SetData { path, data, version } => ZkOp::SetData { path: absolute(&path), data, version },
        ZkOp::Delete { path, version } => ZkOp::Delete { path: absolute(&path), version },
    }
}

fn without_chroot(path: &str, chroot: &str) -> String {
    match path.strip_prefix(chroot) {
        Some("") => "/".to_owned(),
        Some(rest) => rest.to_owned(),
        None => path.to_owned(),
    }
}

impl ZkSession for FakeSession {
    fn session_id(&self) -> SessionId {
        SessionId(self.id)
    }

    fn session_timeout(&self) -> Duration {
        crate::client::config::SESSION_TIMEOUT_DEFAULT
    }

    fn chroot(&self) -> &str {
        &self.chroot
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.state.subscribe()
    }

    fn multi(&self, ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
        if ops.is_empty() {
            return Box::pin(ready(Err(ZkError::definite(ZkCode::BadArguments, ""))));
        }
        let refused = ops.iter().enumerate().find_map(|(index, op)| Some((index, check::refusal(op)?, op.path())));
        if let Some((index, code, path)) = refused {
            return Box::pin(ready(Err(ZkError::definite_op(code, index, path))));
        }
        let size = MULTI_FRAME_OVERHEAD + ops.iter().map(|op| op.wire_size(self.chroot.len())).sum::<usize>();
        let ops: Vec<_> = ops.into_iter().map(|op| with_chroot(op, |path| self.absolute(path))).collect();
        let chroot = self.chroot.clone();
        self.submit(size, true, move |server, actor| {
            let mut outcome = server.multi(actor, ops);
            match &mut outcome {
                Ok(results) => {
                    for result in results {
                        if let OpResult::Create { path } = result {
                            *path = without_chroot(path, &chroot);
                        }
                    }
                }
                Err(ZkError::Definite { path, .. }) => *path = without_chroot(path, &chroot),
                Err(ZkError::Unknown { .. }) => {}
            }
            outcome
        })
    }

    fn multi_read(&self, reads: Vec<ZkRead>) -> ZkFuture<Vec<ReadOutcome>> {
        if let Some(read) = reads.iter().find(|read| !check::is_path(read.path())) {
            return Box::pin(ready(Err(ZkError::definite(ZkCode::BadArguments, read.path()))));
        }
        if reads.is_empty() {
            let answer = if *self.state.borrow() == SessionState::Connected {
                Ok(Vec::new())
            } else {
                Err(refusal(&self.state))
            };
            return Box::pin(ready(answer));
        }
        let reads: Vec<_> = reads
            .into_iter()
            .map(|read| match read {
                ZkRead::Data(path) => ZkRead::Data(self.absolute(&path)),
                ZkRead::Children(path) => ZkRead::Children(self.absolute(&path)),
            })
            .collect();
        // Header of the request and of each read, path with its length, the watch flag.
        let size = MULTI_FRAME_OVERHEAD + reads.iter().map(|read| 9 + 4 + read.path().len() + 1).sum::<usize>();
        self.submit(size, false, move |server, actor| {
            Ok(reads.iter().map(|read| server.tree.read(actor, read)).collect())
        })
    }

    fn get_data(&self, path: &str) -> ZkFuture<NodeData> {
        self.node_request(path, |server, actor, path| server.tree.read_data(actor, path))
    }

    fn get_children(&self, path: &str) -> ZkFuture<Children> {
        self.node_request(path, |server, actor, path| server.tree.read_children(actor, path))
    }

    fn exists(&self, path: &str) -> ZkFuture<Option<Stat>> {
        self.node_request(path, |server, _, path| Ok(server.tree.get(path).map(super::tree::Node::stat)))
    }

    fn get_acl(&self, path: &str) -> ZkFuture<(ZkAcl, Stat)> {
        self.node_request(path, |server, actor, path| server.tree.read_acl(actor, path))
    }

    fn sync(&self, path: &str) -> ZkFuture<()> {
        self.node_request(path, |_, _, _| Ok(()))
    }

    fn watch_data(&self, path: &str) -> ZkFuture<(NodeData, WatchFuture)> {
        self.watched(path, WatchKind::Node, |server, actor, path| server.tree.read_data(actor, path))
    }

    fn watch_children(&self, path: &str) -> ZkFuture<(Children, WatchFuture)> {
        self.watched(path, WatchKind::Children, |server, actor, path| server.tree.read_children(actor, path))
    }

    fn watch_exists(&self, path: &str) -> ZkFuture<(Option<Stat>, WatchFuture)> {
        self.watched(path, WatchKind::Node, |server, _, path| Ok(server.tree.get(path).map(super::tree::Node::stat)))
    }

    fn resume(&self) -> ZkFuture<Arc<dyn ZkSession>> {
        let (server, id, chroot, state) = (Arc::clone(&self.server), self.id, self.chroot.clone(), self.state.clone());
        Box::pin(async move {
            // Upgraded outside the lock: dropping the last reference takes the lock.
            let newest = lock(&server).newest(id).upgrade();
            if let Some(newest) = newest
                && *newest.state.borrow() == SessionState::Connected
            {
                return Ok(newest as Arc<dyn ZkSession>);
            }
            if !matches!(*state.borrow(), SessionState::Connected | SessionState::Lost) {
                return Err(refusal(&state));
            }
            {
                let server = lock(&server);
                if !server.reachable {
                    return Err(ZkError::unknown(UnknownCause::ConnectionLost, "the fake is set to be unreachable"));
                }
                if !server.is_resumable(id) {
                    return Err(ZkError::unknown(UnknownCause::SessionExpired, "the fake knows the session no more"));
                }
            }
            Ok(Self::connected(&server, id, chroot) as Arc<dyn ZkSession>)
        })
    }

    fn close(&self) -> ZkFuture<()> {
        let (goodbye, confirmed) = goodbye();
        self.close_with(goodbye);
        Box::pin(async move {
            confirmed
                .await
                .map_err(|_| ZkError::unknown(UnknownCause::ConnectionLost, "the end of the session was not confirmed"))
        })
    }
}

/// A client that goes without a word still says goodbye, in the background.
impl Drop for FakeSession {
    fn drop(&mut self) {
        self.close_with(goodbye().0);
    }
}
