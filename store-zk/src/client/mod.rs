//! The edge to ZooKeeper: one small trait, its types, and the real client behind it.
//!
//! Two ideas make it safe to pipeline writes through this edge.
//!
//! **A request is issued when its method is called**, not when its future is first polled. The order of calls on one
//! [`ZkSession`] is the order on the wire, and ZooKeeper applies one session's requests in that order.
//!
//! **A [`ZkSession`] is one session over one connection.** When the connection is lost, the object is finished: what was
//! in flight is answered [`ZkError::Unknown`], nothing of it is ever sent again, and new requests are refused. The
//! session itself may live on in ZooKeeper, and [`ZkSession::resume`] returns a *new* object for it. So a writer that
//! holds the object can't, by accident, write behind a hole: it must notice the loss, settle what is unknown, and say
//! that it goes on. (The crate underneath keeps what is issued while it is disconnected and sends it after it has
//! reconnected, behind requests that were lost. [`real`] never lets it reconnect.)
//!
//! What is **not** promised: a request that was answered `Unknown` may be applied, once, at any time until a barrier (a
//! committed multi, or a `sync`) of the same session was answered; and when the session has ended, at any time until
//! something that the request checks has changed. Versions decide, see the write chain.

mod acl;
pub(crate) mod check;
pub mod config;
mod error;
mod node;
mod op;
pub mod real;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use self::acl::{AclEntry, Permissions, ZkAcl};
pub use self::error::{ConnectError, UnknownCause, ZkCode, ZkError};
pub use self::node::{Children, NodeData, Stat};
pub use self::op::{CreateMode, MULTI_FRAME_OVERHEAD, OpResult, REQUEST_SIZE_MAX_DEFAULT, ReadOutcome, ZkOp, ZkRead};

/// The answer to a request that was issued already. Dropping it cancels nothing: the request stays on its way.
pub type ZkFuture<T> = BoxFuture<'static, Result<T, ZkError>>;

/// Resolves when a one-shot watch fires, or with [`WatchEvent::Ended`] when its connection is lost. Dropping it takes
/// the watch away.
pub type WatchFuture = BoxFuture<'static, WatchEvent>;

/// ZooKeeper's id of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Where a [`ZkSession`] is in its life. It starts `Connected` and moves once; every other state is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Requests are sent.
    Connected,
    /// The connection is lost, or a request was not answered in time. The session may live: [`ZkSession::resume`].
    Lost,
    /// ZooKeeper said that the session is over. Its ephemerals and its late requests may still be there for a moment.
    Expired,
    /// ZooKeeper refused our credentials.
    AuthFailed,
    /// We closed it.
    Closed,
}

/// What a one-shot watch saw. It says that there was a change, not what is there now: read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchEvent {
    /// The node was created (exists watches).
    Created,
    /// The node was deleted.
    Deleted,
    /// The node's data was set.
    DataChanged,
    /// A child was created or deleted.
    ChildrenChanged,
    /// The [`ZkSession`] ended; changes since then were not seen. Resume or connect, then read and watch again.
    Ended,
}

/// One ZooKeeper session over one connection.
///
/// Every request method issues its request before it returns (see the module's head), so none of them is `async`.
/// Paths are absolute within the session's chroot. Requests are answered in the order of their calls. **An answer that
/// is [`ZkError::Unknown`] means that the object is finished**: its state is final by then, and requests are refused. A
/// request that is not answered within the configured limit, while its future is awaited, ends the object as
/// [`SessionState::Lost`].
///
/// Dropping the last reference closes the session in the background, as [`ZkSession::close`] does.
pub trait ZkSession: Send + Sync {
    /// ZooKeeper's id of the session; the same after [`ZkSession::resume`].
    fn session_id(&self) -> SessionId;

    /// The session timeout that ZooKeeper granted.
    fn session_timeout(&self) -> Duration;

    /// The chroot that is put before every path, without a slash at its end; empty if there is none. Its length counts
    /// in [`ZkOp::wire_size`].
    fn chroot(&self) -> &str;

    /// The state, to look at or to wait on.
    fn state(&self) -> watch::Receiver<SessionState>;

    /// Applies all of `ops` or none, in their order; each op sees the effects of those before it. The results stand in
    /// the order of the ops.
    ///
    /// # Errors
    /// [`ZkError::Definite`] with the index of the first op that failed: nothing is applied. An empty list, a malformed
    /// path, an empty ACL and the version -1 (which would mean "any" to the server) are definite too, as
    /// [`ZkCode::BadArguments`] or [`ZkCode::InvalidAcl`], and nothing is sent. A frame above the server's
    /// `jute.maxbuffer` makes the server close the connection, hence `Unknown`: count with [`ZkOp::wire_size`].
    fn multi(&self, ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>>;

    /// Reads all of `reads` from one state of the tree. The outcomes stand in the order of the reads, and a node that
    /// is missing or may not be read fails its own outcome only. An empty list is answered without a request.
    fn multi_read(&self, reads: Vec<ZkRead>) -> ZkFuture<Vec<ReadOutcome>>;

    /// Reads a node's data and stat. [`ZkCode::NoNode`] if it is absent.
    fn get_data(&self, path: &str) -> ZkFuture<NodeData>;

    /// Reads the names of a node's children, sorted, and the node's stat. [`ZkCode::NoNode`] if it is absent.
    fn get_children(&self, path: &str) -> ZkFuture<Children>;

    /// A node's stat, `None` if it is absent.
    fn exists(&self, path: &str) -> ZkFuture<Option<Stat>>;

    /// A node's ACL and stat. [`ZkCode::NoNode`] if it is absent.
    fn get_acl(&self, path: &str) -> ZkFuture<(ZkAcl, Stat)>;

    /// Brings the server that we are connected to up to the leader as of now; later reads of this session see at least
    /// that. It is no quorum operation (ZOOKEEPER-1675): a committed multi is the stronger barrier.
    fn sync(&self, path: &str) -> ZkFuture<()>;

    /// Like [`ZkSession::get_data`], and watches for set-data and deletion. No watch is left if the node is absent.
    fn watch_data(&self, path: &str) -> ZkFuture<(NodeData, WatchFuture)>;

    /// Like [`ZkSession::get_children`], and watches for children created or deleted, and for the node's own deletion.
    /// No watch is left if the node is absent.
    fn watch_children(&self, path: &str) -> ZkFuture<(Children, WatchFuture)>;

    /// Like [`ZkSession::exists`], and watches for creation, set-data and deletion.
    fn watch_exists(&self, path: &str) -> ZkFuture<(Option<Stat>, WatchFuture)>;

    /// Continues the session over a new connection, once this one is [`SessionState::Lost`]. On success every request
    /// of the old object has its answer, and none of them will be sent any more; those that the server received are
    /// settled by a barrier on the new object. While the object is connected, or was resumed before and that successor
    /// is connected, the living one is returned: two owners who both resume get the same successor.
    ///
    /// # Errors
    /// All are [`ZkError::Unknown`]. `SessionExpired`: ZooKeeper knows the session no more, connect anew and claim
    /// again; this is no proof that its ephemerals are gone. `ConnectionLost`: no server was reached within the
    /// connection timeout, may be tried again. `AuthFailed` and `Closed` are final.
    fn resume(&self) -> ZkFuture<Arc<dyn ZkSession>>;

    /// Ends the session in ZooKeeper after all that was issued before, so that its ephemerals go at once. Later
    /// requests are refused. Await or drop the futures of earlier requests first: they hold the connection open.
    ///
    /// # Errors
    /// [`ZkError::Unknown`] when the server did not confirm within the request limit, or the object was finished
    /// already: the session is left to expire by itself.
    fn close(&self) -> ZkFuture<()>;
}

/// Makes sessions with one ensemble.
#[async_trait]
pub trait ZkConnector: Send + Sync {
    /// Opens a **new** session, within the configured connection timeout.
    ///
    /// # Errors
    /// Names the servers and the reason: see [`ConnectError`].
    async fn connect(&self) -> Result<Arc<dyn ZkSession>, ConnectError>;

    /// The connect string, for messages: servers and chroot, no secrets.
    fn describe(&self) -> String;
}
