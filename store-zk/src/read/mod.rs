//! Reading Kafka's znodes in bulk: many reads in one request, a few requests in flight, memory bounded by what is in
//! flight.

mod load;
#[cfg(all(test, feature = "testkit"))]
mod on_the_fake;
mod subtree;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use metadata_core::error::Result;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use load::{assigned_replicas, load};

use crate::client::{ReadOutcome, ZkCode, ZkError, ZkFuture, ZkRead, ZkSession};
use crate::error::zk_error;
use crate::znode::Znode;

/// Reads in one request. Beyond some hundreds the rate grows no more.
pub(crate) const READS_PER_REQUEST: usize = 500;

/// Requests of one reader in flight together, however many znodes it is asked for. A request's time runs from when it is
/// issued, so what waits for its turn must wait here and not there.
const REQUESTS_IN_FLIGHT_MAX: usize = 8;

/// What reading cost, since the store was made.
#[derive(Debug, Default)]
pub struct ReadCounters {
    requests: AtomicU64,
    znodes: AtomicU64,
    bytes: AtomicU64,
}

/// [`ReadCounters`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadTotals {
    /// Requests sent: ZooKeeper round trips.
    pub requests: u64,
    /// Znodes whose data came.
    pub znodes: u64,
    /// Bytes of data received.
    pub bytes: u64,
}

impl ReadCounters {
    /// The totals so far.
    pub fn totals(&self) -> ReadTotals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadTotals { requests: load(&self.requests), znodes: load(&self.znodes), bytes: load(&self.bytes) }
    }
}

/// Many answers, in the order of the paths asked for; `None` for a node that is not there.
pub(crate) type ManyFuture<T> = BoxFuture<'static, Result<Vec<Option<T>>>>;

/// Data and versions of many nodes.
pub(crate) type ZnodesFuture = ManyFuture<Znode>;

/// Bulk reads over one session.
#[derive(Clone)]
pub(crate) struct BulkReader {
    session: Arc<dyn ZkSession>,
    counters: Arc<ReadCounters>,
    room: Arc<Semaphore>,
}

impl BulkReader {
    pub(crate) fn new(session: Arc<dyn ZkSession>, counters: Arc<ReadCounters>) -> Self {
        Self { session, counters, room: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX)) }
    }

    /// The names of a node's children, sorted; none if there is no such node.
    pub(crate) async fn children(&self, path: &str) -> Result<Vec<String>> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        match self.session.get_children(path).await {
            Ok(children) => Ok(children.names),
            Err(ZkError::Definite { code: ZkCode::NoNode, .. }) => Ok(Vec::new()),
            Err(error) => Err(zk_error(&format!("list of the children of {path}"), error)),
        }
    }

    /// The names of the children of many nodes, in their order; `None` for a node that is not there.
    pub(crate) fn children_of(&self, paths: Vec<String>) -> ManyFuture<Vec<String>> {
        self.read(paths, ZkRead::Children, |_, outcome| match outcome {
            ReadOutcome::Children(names) => Some(names),
            ReadOutcome::Data(_) | ReadOutcome::Failed(_) => None,
        })
    }

    /// Data and versions of many nodes, in their order; `None` for a node that is not there. As many requests are issued
    /// before this returns as there is room for, so the caller can have the next ones under way while it waits.
    pub(crate) fn nodes(&self, paths: Vec<String>) -> ZnodesFuture {
        self.read(paths, ZkRead::Data, |counters, outcome| data(counters, outcome).map(|(znode, _)| znode))
    }

    /// The same, and whether each node has children.
    pub(crate) fn nodes_with_children(&self, paths: Vec<String>) -> ManyFuture<(Znode, bool)> {
        self.read(paths, ZkRead::Data, data)
    }

    fn read<T: Send + 'static>(
        &self,
        paths: Vec<String>,
        request: fn(String) -> ZkRead,
        take: fn(&ReadCounters, ReadOutcome) -> Option<T>,
    ) -> ManyFuture<T> {
        let mut requests =
            Requests { reader: self.clone(), request, unissued: paths.into_iter(), issued: VecDeque::new() };
        requests.issue();
        let counters = Arc::clone(&self.counters);
        Box::pin(async move {
            let mut found = Vec::with_capacity(requests.unissued.len());
            while let Some(Issued { paths, answer, _room }) = requests.next() {
                for (path, outcome) in
                    paths.into_iter().zip(answer.await.map_err(|error| zk_error("read of many znodes", error))?)
                {
                    match outcome {
                        // Another refusal than "not there" must not look like absence.
                        ReadOutcome::Failed(code) if code != ZkCode::NoNode => {
                            return Err(zk_error("read of a znode", ZkError::definite(code, path)));
                        }
                        outcome => found.push(take(&counters, outcome)),
                    }
                }
            }
            Ok(found)
        })
    }
}

/// The requests of one read, in the order of its paths.
struct Requests {
    reader: BulkReader,
    request: fn(String) -> ZkRead,
    unissued: std::vec::IntoIter<String>,
    issued: VecDeque<Issued>,
}

struct Issued {
    paths: Vec<String>,
    answer: ZkFuture<Vec<ReadOutcome>>,
    /// Given back with the answer.
    _room: Option<OwnedSemaphorePermit>,
}

impl Requests {
    /// Issues as many as there is room for.
    fn issue(&mut self) {
        while self.unissued.len() > 0
            && let Ok(room) = Arc::clone(&self.reader.room).try_acquire_owned()
        {
            self.issue_one(Some(room));
        }
    }

    /// The oldest one, for whoever waits for it now. Reads that nobody waits for yet may hold all the room; one request
    /// goes beyond it then, or this read would wait for them.
    fn next(&mut self) -> Option<Issued> {
        self.issue();
        if self.issued.is_empty() && self.unissued.len() > 0 {
            self.issue_one(None);
        }
        self.issued.pop_front()
    }

    fn issue_one(&mut self, room: Option<OwnedSemaphorePermit>) {
        let paths: Vec<String> = self.unissued.by_ref().take(READS_PER_REQUEST).collect();
        self.reader.counters.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.reader.session.multi_read(paths.iter().cloned().map(self.request).collect());
        self.issued.push_back(Issued { paths, answer, _room: room });
    }
}

fn data(counters: &ReadCounters, outcome: ReadOutcome) -> Option<(Znode, bool)> {
    match outcome {
        ReadOutcome::Data(node) => {
            counters.znodes.fetch_add(1, Ordering::Relaxed);
            counters.bytes.fetch_add(node.data.len() as u64, Ordering::Relaxed);
            let znode = Znode { data: Some(node.data).filter(|data| !data.is_empty()), version: node.stat.version };
            Some((znode, node.stat.num_children > 0))
        }
        ReadOutcome::Children(_) | ReadOutcome::Failed(_) => None,
    }
}
