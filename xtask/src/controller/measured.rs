//! A store that says where the time of a copy goes.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use metadata_core::error::Result;
use metadata_core::id::Position;
use metadata_core::leadership::{Expected, KraftLeadership};
use metadata_core::record::VersionedRecord;
use metadata_core::store::{Capability, Claimed, MetadataStore, RecordSink, StoreWriter, Survey};
use store_zk::{ReadTotals, ZkStore};

/// Where the time of the last load went, and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyTimes {
    /// From its begin to its end, or to now.
    pub total: Duration,
    /// Of it, turning znodes into records.
    pub transform: Duration,
    /// Of it, waiting until the log took records.
    pub append: Duration,
    /// Requests to ZooKeeper.
    pub requests: u64,
    /// Znodes whose data came.
    pub znodes: u64,
    /// Bytes of data that they had.
    pub bytes: u64,
}

impl CopyTimes {
    /// What is left: waiting for ZooKeeper.
    pub fn read(&self) -> Duration {
        self.total.saturating_sub(self.transform).saturating_sub(self.append)
    }
}

/// Passes everything on to a [`ZkStore`] and measures its loads.
pub(super) struct Measured {
    inner: Arc<ZkStore>,
    last: Mutex<CopyTimes>,
}

impl Measured {
    pub(super) fn new(inner: Arc<ZkStore>) -> Self {
        Self { inner, last: Mutex::default() }
    }

    /// The last load of this process, also one that failed.
    pub(super) fn times(&self) -> CopyTimes {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, CopyTimes> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time spent in a sink, as a whole and at work.
#[derive(Debug, Default)]
struct InSink {
    whole: Duration,
    polled: Duration,
}

struct TimedSink<'a> {
    inner: &'a mut (dyn RecordSink + Send),
    spent: InSink,
}

#[async_trait]
impl RecordSink for TimedSink<'_> {
    async fn accept(&mut self, records: Vec<VersionedRecord>) -> Result<()> {
        let start = Instant::now();
        let accepted = timed(self.inner.accept(records), &mut self.spent.polled).await;
        self.spent.whole += start.elapsed();
        accepted
    }
}

/// Adds the time that the future is at work, as opposed to waiting, to `spent`.
async fn timed<T>(future: impl Future<Output = T>, spent: &mut Duration) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        let start = Instant::now();
        let polled = future.as_mut().poll(context);
        *spent += start.elapsed();
        polled
    })
    .await
}

fn since(now: ReadTotals, before: ReadTotals) -> ReadTotals {
    ReadTotals {
        requests: now.requests.saturating_sub(before.requests),
        znodes: now.znodes.saturating_sub(before.znodes),
        bytes: now.bytes.saturating_sub(before.bytes),
    }
}

#[async_trait]
impl MetadataStore for Measured {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        *self.lock() = CopyTimes::default();
        let before = self.inner.read_totals();
        let start = Instant::now();
        let mut sink = TimedSink { inner: sink, spent: InSink::default() };
        // The records are made while the load is polled, its sink's work apart.
        let mut polled = Duration::ZERO;
        let loaded = timed(self.inner.load(&mut sink), &mut polled).await;
        let cost = since(self.inner.read_totals(), before);
        *self.lock() = CopyTimes {
            total: start.elapsed(),
            transform: polled.saturating_sub(sink.spent.polled),
            append: sink.spent.whole,
            requests: cost.requests,
            znodes: cost.znodes,
            bytes: cost.bytes,
        };
        loaded
    }

    async fn position(&self) -> Result<Position> {
        self.inner.position().await
    }

    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey> {
        self.inner.survey(leadership, expected).await
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        self.inner.claim(leadership, expected).await
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        self.inner.writer(claimed).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_work_nor_appending_is_reading() {
        let seconds = Duration::from_secs;
        let times = CopyTimes { total: seconds(10), transform: seconds(3), append: seconds(2), ..CopyTimes::default() };
        assert_eq!(times.read(), seconds(5));
        assert_eq!(CopyTimes { append: seconds(9), ..times }.read(), Duration::ZERO, "clocks may round");
    }
}
