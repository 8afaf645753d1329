//! The server's side: sessions, their queues, watches and faults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Weak;

use tokio::sync::{oneshot, watch};

use super::session::FakeSession;
use super::tree::{Actor, Change, Tree, split};
use super::{Applied, FakeNode, Fault, REQUEST_SIZE_LIMIT, shown};
use crate::client::{OpResult, SessionId, SessionState, WatchEvent, ZkError, ZkOp};

/// What a request does when its turn comes. It holds the way to answer.
pub(super) type Job = Box<dyn FnOnce(&mut Server, &Actor) + Send>;

/// A request in the server's queue.
pub(super) struct Pending {
    pub(super) job: Job,
    /// Takes the way to answer away: the connection is lost.
    pub(super) silence: Box<dyn FnOnce() + Send>,
}

struct Queued {
    job: Job,
    /// `None` once silenced.
    silence: Option<Box<dyn FnOnce() + Send>>,
}

struct Session {
    actor: Actor,
    /// `Some` while requests are held.
    held: Option<VecDeque<Queued>>,
    connection: Option<Connection>,
    /// The client was told that it is over, though it is not.
    lingers: bool,
    /// Nothing can resume it: it was closed by its client.
    closing: bool,
    newest: Weak<FakeSession>,
}

struct Connection {
    generation: u64,
    state: watch::Sender<SessionState>,
}

/// Which nodes' changes a watch is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchKind {
    /// Of [`watch_data`](crate::client::ZkSession::watch_data) and
    /// [`watch_exists`](crate::client::ZkSession::watch_exists).
    Node,
    Children,
}

struct Watcher {
    session: i64,
    generation: u64,
    path: String,
    kind: WatchKind,
    fire: oneshot::Sender<WatchEvent>,
}

/// Faults by the number of the request that they hit.
#[derive(Default)]
pub(super) struct Faults {
    requests: u64,
    multis: u64,
    by_request: BTreeMap<u64, Fault>,
    by_multi: BTreeMap<u64, Fault>,
}

impl Faults {
    pub(super) fn fail_request(&mut self, skip: u64, fault: Fault) {
        self.by_request.insert(self.requests + skip, fault);
    }

    pub(super) fn fail_multi(&mut self, skip: u64, fault: Fault) {
        self.by_multi.insert(self.multis + skip, fault);
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// Counts a request and says what goes wrong with it.
    fn next(&mut self, is_multi: bool) -> Option<Fault> {
        let by_request = self.by_request.remove(&self.requests);
        self.requests += 1;
        let by_multi = is_multi.then(|| self.by_multi.remove(&self.multis)).flatten();
        self.multis += u64::from(is_multi);
        by_request.or(by_multi)
    }
}

pub(super) struct Server {
    pub(super) tree: Tree,
    pub(super) faults: Faults,
    pub(super) reachable: bool,
    pub(super) request_size_limit: usize,
    pub(super) history: Vec<Applied>,
    sessions: BTreeMap<i64, Session>,
    watchers: Vec<Watcher>,
    last_session: i64,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::new(),
            faults: Faults::default(),
            reachable: true,
            request_size_limit: REQUEST_SIZE_LIMIT,
            history: Vec::new(),
            sessions: BTreeMap::new(),
            watchers: Vec::new(),
            last_session: 0x1_0000_0000,
        }
    }

    pub(super) fn open(&mut self, identities: &[(String, String)]) -> i64 {
        self.last_session += 1;
        self.tree.next_zxid();
        let id = self.last_session;
        let session = Session {
            actor: Actor { session: id, identities: identities.to_vec(), superuser: false },
            held: None,
            connection: None,
            lingers: false,
            closing: false,
            newest: Weak::new(),
        };
        self.sessions.insert(id, session);
        id
    }

    /// Makes `state` the session's connection; the one before is lost.
    pub(super) fn attach(
        &mut self,
        id: i64,
        generation: u64,
        state: watch::Sender<SessionState>,
        newest: Weak<FakeSession>,
    ) {
        self.cut(id, SessionState::Lost);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.connection = Some(Connection { generation, state });
            session.newest = newest;
        }
    }

    pub(super) fn newest(&self, id: i64) -> Weak<FakeSession> {
        self.sessions.get(&id).map(|session| session.newest.clone()).unwrap_or_default()
    }

    /// Whether a lost session can be continued.
    pub(super) fn is_resumable(&self, id: i64) -> bool {
        self.sessions.get(&id).is_some_and(|session| !session.lingers && !session.closing)
    }

    fn is_connected(&self, id: i64, generation: u64) -> bool {
        let connection = self.sessions.get(&id).and_then(|session| session.connection.as_ref());
        connection.is_some_and(|connection| connection.generation == generation)
    }

    /// Takes a request over a connection. Its future finds out what became of it: an answer, or silence.
    pub(super) fn submit(&mut self, id: i64, generation: u64, size: usize, is_multi: bool, request: Pending) {
        if !self.is_connected(id, generation) {
            (request.silence)();
            return;
        }
        let fault = self.faults.next(is_multi);
        if size > self.request_size_limit || fault == Some(Fault::DropRequest) {
            self.cut(id, SessionState::Lost);
            (request.silence)();
            return;
        }
        let Pending { job, silence } = request;
        if fault == Some(Fault::LoseReply) {
            self.cut(id, SessionState::Lost);
            silence();
            self.enqueue(id, Queued { job, silence: None });
        } else {
            self.enqueue(id, Queued { job, silence: Some(silence) });
        }
    }

    fn enqueue(&mut self, id: i64, request: Queued) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match &mut session.held {
            Some(held) => held.push_back(request),
            None => self.carry_out(id, request),
        }
    }

    fn carry_out(&mut self, id: i64, request: Queued) {
        let Some(actor) = self.sessions.get(&id).map(|session| session.actor.clone()) else { return };
        (request.job)(self, &actor);
    }

    pub(super) fn multi(&mut self, actor: &Actor, ops: Vec<ZkOp>) -> Result<Vec<OpResult>, ZkError> {
        let outcome = match self.tree.multi(actor, &ops) {
            Ok((results, changes)) => {
                self.fire(&changes);
                Ok(results)
            }
            Err((index, code)) => {
                let path = ops.get(index).map(ZkOp::path).unwrap_or_default();
                Err(ZkError::definite_op(code, index, path))
            }
        };
        let session = (actor.session != 0).then_some(SessionId(actor.session));
        self.history.push(Applied { session, ops, outcome: outcome.clone() });
        outcome
    }

    pub(super) fn foreign(&mut self, ops: Vec<ZkOp>) -> Result<Vec<OpResult>, ZkError> {
        self.multi(&Actor { superuser: true, ..Actor::default() }, ops)
    }

    /// Sets a watch for a session that is still connected.
    pub(super) fn watch(
        &mut self,
        id: i64,
        generation: u64,
        path: &str,
        kind: WatchKind,
    ) -> oneshot::Receiver<WatchEvent> {
        let (fire, fired) = oneshot::channel();
        if self.is_connected(id, generation) {
            self.watchers.push(Watcher { session: id, generation, path: path.to_owned(), kind, fire });
        }
        fired
    }

    pub(super) fn watched(&self) -> BTreeSet<String> {
        self.watchers.iter().map(|watcher| watcher.path.clone()).collect()
    }

    fn fire(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Created(path) => {
                    self.fire_one(path, WatchKind::Node, WatchEvent::Created);
                    self.fire_parent(path);
                }
                Change::Deleted(path) => {
                    self.fire_one(path, WatchKind::Node, WatchEvent::Deleted);
                    self.fire_one(path, WatchKind::Children, WatchEvent::Deleted);
                    self.fire_parent(path);
                }
                Change::DataChanged(path) => self.fire_one(path, WatchKind::Node, WatchEvent::DataChanged),
            }
        }
    }

    fn fire_parent(&mut self, path: &str) {
        if let Some((parent, _)) = split(path) {
            self.fire_one(parent, WatchKind::Children, WatchEvent::ChildrenChanged);
        }
    }

    fn fire_one(&mut self, path: &str, kind: WatchKind, event: WatchEvent) {
        for watcher in self.watchers.extract_if(.., |watcher| watcher.kind == kind && watcher.path == path) {
            // Whoever watched may be gone.
            _ = watcher.fire.send(event);
        }
    }

    /// Ends the session's connection, if there is one: state first, then silence for all that is not answered.
    pub(super) fn cut(&mut self, id: i64, end: SessionState) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(connection) = session.connection.take() else { return };
        connection.state.send_if_modified(|state| {
            let first = *state == SessionState::Connected;
            if first {
                *state = end;
            }
            first
        });
        for request in session.held.iter_mut().flatten() {
            if let Some(silence) = request.silence.take() {
                silence();
            }
        }
        self.watchers.retain(|watcher| (watcher.session, watcher.generation) != (id, connection.generation));
    }

    /// The client's goodbye, behind its earlier requests.
    pub(super) fn close(&mut self, id: i64, generation: u64, goodbye: Pending) {
        if !self.is_connected(id, generation) {
            (goodbye.silence)();
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
        }
        self.enqueue(id, Queued { job: goodbye.job, silence: Some(goodbye.silence) });
    }

    /// Removes the session and its ephemerals; what is still held is lost.
    pub(super) fn end(&mut self, id: i64) {
        if self.sessions.remove(&id).is_some() {
            let changes = self.tree.end_session(id);
            self.fire(&changes);
        }
    }

    pub(super) fn hold(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id.0) {
            session.held.get_or_insert_default();
        }
    }

    pub(super) fn release_some(&mut self, id: SessionId, count: usize) {
        for _ in 0..count {
            let held = self.sessions.get_mut(&id.0).and_then(|session| session.held.as_mut());
            let Some(request) = held.and_then(VecDeque::pop_front) else { return };
            self.carry_out(id.0, request);
        }
    }

    pub(super) fn release(&mut self, id: SessionId, count: usize) {
        self.release_some(id, count);
        if let Some(session) = self.sessions.get_mut(&id.0) {
            session.held = None;
        }
    }

    pub(super) fn held(&self, id: SessionId) -> usize {
        self.sessions.get(&id.0).and_then(|session| session.held.as_ref()).map_or(0, VecDeque::len)
    }

    pub(super) fn forget_held(&mut self, id: SessionId, received: usize) {
        let held = self.sessions.get_mut(&id.0).and_then(|session| session.held.as_mut());
        let Some(held) = held else { return };
        for request in held.split_off(received.min(held.len())) {
            if let Some(silence) = request.silence {
                silence();
            }
        }
    }

    pub(super) fn disconnect(&mut self, id: SessionId) {
        self.cut(id.0, SessionState::Lost);
    }

    pub(super) fn refuse_credentials(&mut self, id: SessionId) {
        self.cut(id.0, SessionState::AuthFailed);
    }

    pub(super) fn linger(&mut self, id: SessionId) {
        self.cut(id.0, SessionState::Lost);
        if let Some(session) = self.sessions.get_mut(&id.0) {
            session.lingers = true;
        }
    }

    pub(super) fn expire(&mut self, id: SessionId) {
        self.cut(id.0, SessionState::Lost);
        self.end(id.0);
    }

    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().map(|&id| SessionId(id)).collect()
    }

    pub(super) fn dump(&self) -> BTreeMap<String, FakeNode> {
        let own = |path: &str| path == "/zookeeper" || path.starts_with("/zookeeper/");
        self.tree
            .iter()
            .filter(|(path, _)| *path != "/" && !own(path))
            .map(|(path, node)| (path.clone(), shown(node)))
            .collect()
    }
}
