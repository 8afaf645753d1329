//! A ZooKeeper in memory.
//!
//! It has versions, atomic multis, ephemeral and sequential nodes, ACLs, one-shot watches and each session's FIFO, and
//! its sessions have the same life as real ones. Nothing in it depends on time or chance: a request is carried out when
//! it is issued, unless a fault or a hold was asked for.
//!
//! ```
//! use store_zk::client::{ZkAcl, ZkConnector, ZkOp, ZkSession};
//! use store_zk::testkit::fake::{FakeZooKeeper, Fault};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let zookeeper = FakeZooKeeper::new();
//! let session = zookeeper.connector().connect().await?;
//! zookeeper.fail_multi(1, Fault::LoseReply);
//!
//! let first = session.multi(vec![ZkOp::create("/a", "1", ZkAcl::world_all())]);
//! let second = session.multi(vec![ZkOp::create("/b", "2", ZkAcl::world_all())]);
//! assert!(first.await.is_ok());
//! assert!(!second.await.unwrap_err().is_definite());
//!
//! // It happened all the same.
//! let session = session.resume().await?;
//! assert_eq!(session.get_data("/b").await?.data, "2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod server;
mod session;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use self::server::Server;
use self::session::FakeSession;
use crate::client::{ConnectError, OpResult, SessionId, Stat, ZkAcl, ZkConnector, ZkError, ZkOp, ZkSession, check};

/// The limit of a real server: `jute.maxbuffer` by default.
pub const REQUEST_SIZE_LIMIT: usize = 0xf_ffff;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost before the server gets the request: not applied.
    DropRequest,
    /// The server carries the request out, then the connection is lost: applied, not answered.
    LoseReply,
}

/// A node as [`FakeZooKeeper::dump`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeNode {
    /// Its data.
    pub data: Bytes,
    /// Its stat.
    pub stat: Stat,
    /// Its list as stored: identities, not `auth`.
    pub acl: ZkAcl,
}

/// A multi that reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Who sent it; `None` for [`FakeZooKeeper::foreign`].
    pub session: Option<SessionId>,
    /// Its ops, by absolute path.
    pub ops: Vec<ZkOp>,
    /// What the server decided; paths are absolute.
    pub outcome: Result<Vec<OpResult>, ZkError>,
}

/// One in-memory ZooKeeper. Clones are the same server.
#[derive(Clone)]
pub struct FakeZooKeeper {
    server: Arc<Mutex<Server>>,
}

impl Default for FakeZooKeeper {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeZooKeeper {
    /// A server with an empty tree (but for `/zookeeper`).
    pub fn new() -> Self {
        Self { server: Arc::new(Mutex::new(Server::new())) }
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        lock(&self.server)
    }

    /// Opens sessions without identities and without a chroot.
    pub fn connector(&self) -> FakeConnector {
        FakeConnector { zookeeper: self.clone(), chroot: String::new(), identities: Vec::new() }
    }

    /// Lets `skip` more requests pass, of any session and kind, and then does `fault` to the next one.
    pub fn fail_request(&self, skip: u64, fault: Fault) {
        self.lock().faults.fail_request(skip, fault);
    }

    /// Lets `skip` more multis pass, of any session, and then does `fault` to the next one.
    pub fn fail_multi(&self, skip: u64, fault: Fault) {
        self.lock().faults.fail_multi(skip, fault);
    }

    /// [`Fault::LoseReply`] for the next request.
    pub fn lose_next_reply(&self) {
        self.fail_request(0, Fault::LoseReply);
    }

    /// [`Fault::DropRequest`] for the next request.
    pub fn drop_next_request(&self) {
        self.fail_request(0, Fault::DropRequest);
    }

    /// Keeps the session's requests in the server's queue from now on: received, not carried out, not answered.
    pub fn hold(&self, session: SessionId) {
        self.lock().hold(session);
    }

    /// Carries out what was held, in order, and holds no longer. Also for a session whose client is gone.
    pub fn release(&self, session: SessionId) {
        self.lock().release(session, usize::MAX);
    }

    /// Carries out the first `count` of the held requests and keeps holding.
    pub fn release_some(&self, session: SessionId, count: usize) {
        self.lock().release_some(session, count);
    }

    /// Requests of the session that are held.
    pub fn held(&self, session: SessionId) -> usize {
        self.lock().held(session)
    }

    /// Cuts the session's connection. Its held requests stay in the server's queue; the session can be resumed.
    pub fn disconnect(&self, session: SessionId) {
        self.lock().disconnect(session);
    }

    /// Cuts the session's connection when the server had received only the first `received` of the held requests; the
    /// others never happen.
    pub fn disconnect_after(&self, session: SessionId, received: usize) {
        let mut server = self.lock();
        server.forget_held(session, received);
        server.disconnect(session);
    }

    /// Cuts the session's connection and lets its client find the session expired, while the server still has it: its
    /// ephemerals and its held requests linger until [`FakeZooKeeper::release`] and [`FakeZooKeeper::expire`].
    pub fn linger(&self, session: SessionId) {
        self.lock().linger(session);
    }

    /// Ends the session in the server, behind nothing: what is held is lost, its ephemerals go. Its client finds out
    /// when it resumes.
    pub fn expire(&self, session: SessionId) {
        self.lock().expire(session);
    }

    /// Cuts the session's connection as a server does that takes its credentials no more.
    pub fn refuse_credentials(&self, session: SessionId) {
        self.lock().refuse_credentials(session);
    }

    /// Whether new connections succeed. Cutting the present ones is [`FakeZooKeeper::disconnect`].
    pub fn set_reachable(&self, reachable: bool) {
        self.lock().reachable = reachable;
    }

    /// The largest request frame, in bytes; a larger one closes the connection. [`REQUEST_SIZE_LIMIT`] at first.
    pub fn set_request_size_limit(&self, limit: usize) {
        self.lock().request_size_limit = limit;
    }

    /// The server's clock, for the times in stats. It stands still at 0 otherwise.
    pub fn set_time_ms(&self, now_ms: i64) {
        self.lock().tree.now_ms = now_ms;
    }

    /// Sessions that the server has, oldest first.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.lock().sessions()
    }

    /// Writes past everybody: a stranger without a session, to whom no ACL applies.
    ///
    /// # Errors
    /// The first op that fails, as for any multi.
    pub fn foreign(&self, ops: Vec<ZkOp>) -> Result<Vec<OpResult>, ZkError> {
        self.lock().foreign(ops)
    }

    /// All nodes by path, without the root and ZooKeeper's own.
    pub fn dump(&self) -> BTreeMap<String, FakeNode> {
        self.lock().dump()
    }

    /// The nodes that are watched, by whomever.
    pub fn watched(&self) -> BTreeSet<String> {
        self.lock().watched()
    }

    /// Every multi that was carried out, in order, failed ones included.
    pub fn history(&self) -> Vec<Applied> {
        self.lock().history.clone()
    }

    /// The same from the multi of this number on (from 0, inclusive).
    pub fn history_from(&self, number: usize) -> Vec<Applied> {
        self.lock().history.get(number..).unwrap_or_default().to_vec()
    }

    /// One node, as [`Self::dump`] shows it.
    pub fn node(&self, path: &str) -> Option<FakeNode> {
        self.lock().tree.get(path).map(shown)
    }

    /// Multis carried out so far, failed ones included.
    pub fn multi_count(&self) -> usize {
        self.lock().history.len()
    }

    /// Requests issued so far, of any kind.
    pub fn request_count(&self) -> u64 {
        self.lock().faults.requests()
    }
}

fn shown(node: &tree::Node) -> FakeNode {
    FakeNode { data: node.data.clone(), stat: node.stat(), acl: node.acl.clone() }
}

fn lock(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    // A panic of some test's thread leaves the tree whole: it is changed in one go.
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens sessions with a [`FakeZooKeeper`].
#[derive(Clone)]
pub struct FakeConnector {
    zookeeper: FakeZooKeeper,
    chroot: String,
    identities: Vec<(String, String)>,
}

impl FakeConnector {
    /// The same with a chroot, an absolute path that must exist when a session is opened.
    #[must_use]
    pub fn with_chroot(mut self, chroot: &str) -> Self {
        self.chroot = chroot.trim_end_matches('/').to_owned();
        self
    }

    /// The same with one more identity, as ZooKeeper's digest scheme makes it of a user and a password.
    #[must_use]
    pub fn with_digest(mut self, user: &str, password: &str) -> Self {
        let hash = STANDARD.encode(Sha1::digest(format!("{user}:{password}").as_bytes()));
        self.identities.push(("digest".to_owned(), format!("{user}:{hash}")));
        self
    }
}

#[async_trait]
impl ZkConnector for FakeConnector {
    async fn connect(&self) -> Result<Arc<dyn ZkSession>, ConnectError> {
        let mut server = self.zookeeper.lock();
        if !self.chroot.is_empty() && !check::is_path(&self.chroot) {
            return Err(ConnectError::Config(format!("chroot \"{}\" is no path", self.chroot)));
        }
        if !server.reachable {
            return Err(ConnectError::Unreachable {
                servers: self.describe(),
                tried: std::time::Duration::ZERO,
                reason: "the fake is set to be unreachable".to_owned(),
            });
        }
        if !self.chroot.is_empty() && server.tree.get(&self.chroot).is_none() {
            return Err(ConnectError::NoChroot { servers: self.describe(), chroot: self.chroot.clone() });
        }
        let id = server.open(&self.identities);
        drop(server);
        Ok(FakeSession::first(&self.zookeeper.server, id, self.chroot.clone()))
    }

    fn describe(&self) -> String {
        format!("fake{}", self.chroot)
    }
}
