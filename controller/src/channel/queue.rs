//! What waits for one broker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use migration::propagate::{BrokerRequest, Enqueued};
use tokio::sync::Notify;

/// Requests in their order, so many at most.
#[derive(Debug)]
pub(super) struct Queue {
    requests: Mutex<VecDeque<Arc<BrokerRequest>>>,
    max: usize,
    news: Notify,
}

impl Queue {
    pub(super) fn new(max: usize) -> Self {
        Self { requests: Mutex::default(), max, news: Notify::new() }
    }

    fn requests(&self) -> MutexGuard<'_, VecDeque<Arc<BrokerRequest>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts requests behind the others: all, or none, and then the queue is empty.
    pub(super) fn push(&self, more: Vec<BrokerRequest>) -> Enqueued {
        let mut requests = self.requests();
        if requests.len() + more.len() > self.max {
            requests.clear();
            return Enqueued::Overflowed;
        }
        requests.extend(more.into_iter().map(Arc::new));
        drop(requests);
        self.news.notify_one();
        Enqueued::Queued
    }

    /// The first request, once there is one. It stays.
    pub(super) async fn first(&self) -> Arc<BrokerRequest> {
        loop {
            if let Some(first) = self.requests().front() {
                return Arc::clone(first);
            }
            self.news.notified().await;
        }
    }

    /// Takes `done` away, if it still is the first one.
    pub(super) fn done(&self, done: &Arc<BrokerRequest>) {
        let mut requests = self.requests();
        if requests.front().is_some_and(|first| Arc::ptr_eq(first, done)) {
            requests.pop_front();
        }
    }
}
