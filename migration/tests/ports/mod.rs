//! The in-memory log and store behind ports that can stop at any call, fail, and keep a journal.

#![expect(clippy::expect_used, reason = "a test fails by panicking, in its supporting functions too")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metadata_core::contract::{MemLog, MemStore, Workload};
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{Offset, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{Expected, KraftLeadership, LogExtent};
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use metadata_core::projection::{Comparison, FamilyCounts, Projection};
use metadata_core::record::VersionedRecord;
use metadata_core::store::{
    Capability, Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Survey, SyncReport, Txn,
};
use tokio::sync::watch;

/// What a log takes in one append, in encoded bytes.
const BYTES_PER_APPEND_MAX: usize = 8 << 20;

/// What goes over the ports: counted, written down, and stopped or refused where a test wants it.
pub(crate) struct Calls {
    journal: Mutex<Vec<&'static str>>,
    /// Calls so far that could have been stopped.
    passed: AtomicUsize,
    /// The number of the call that never returns; 0 for none.
    stop_at: AtomicUsize,
    stopped: watch::Sender<Option<&'static str>>,
    /// Whether news of the leadership come through.
    pub(crate) news: watch::Sender<bool>,
    /// Whether loads go on.
    pub(crate) loading: watch::Sender<bool>,
    /// Whether claims go on.
    pub(crate) claiming: watch::Sender<bool>,
    /// Whether comparisons go on.
    pub(crate) comparing: watch::Sender<bool>,
    /// So many looks at what the voters announce fail.
    pub(crate) voters_failing: AtomicUsize,
    /// So many claims are refused as if ZooKeeper were away.
    pub(crate) claims_failing: AtomicUsize,
    /// So many surveys too.
    pub(crate) surveys_failing: AtomicUsize,
    /// The append of this number (from 1) is refused as if the leader had been busy; 0 for none.
    pub(crate) append_refused: AtomicUsize,
    appends: AtomicUsize,
    /// So many loads find something that can't be copied.
    pub(crate) loads_refused: AtomicUsize,
    /// So many comparisons find a difference.
    pub(crate) differing: AtomicUsize,
    /// So many reads of the log find that it has grown once more.
    pub(crate) growing: AtomicUsize,
}

/// Takes one off a count. Whether there was one.
pub(crate) fn take(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Calls {
    pub(crate) fn new() -> Arc<Self> {
        Self::stopping_at(0)
    }

    /// The call of this number (from 1) never returns.
    pub(crate) fn stopping_at(number: usize) -> Arc<Self> {
        Arc::new(Self {
            journal: Mutex::default(),
            passed: AtomicUsize::new(0),
            stop_at: AtomicUsize::new(number),
            stopped: watch::Sender::new(None),
            news: watch::Sender::new(true),
            loading: watch::Sender::new(true),
            claiming: watch::Sender::new(true),
            comparing: watch::Sender::new(true),
            voters_failing: AtomicUsize::new(0),
            claims_failing: AtomicUsize::new(0),
            surveys_failing: AtomicUsize::new(0),
            append_refused: AtomicUsize::new(0),
            appends: AtomicUsize::new(0),
            loads_refused: AtomicUsize::new(0),
            differing: AtomicUsize::new(0),
            growing: AtomicUsize::new(0),
        })
    }

    /// Every call so far, in order.
    pub(crate) fn journal(&self) -> Vec<&'static str> {
        self.journal.lock().expect("no panic").clone()
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.journal().iter().filter(|name| **name == call).count()
    }

    /// Returns once a call has stopped for ever, and which.
    pub(crate) async fn stopped(&self) -> &'static str {
        let mut stopped = self.stopped.subscribe();
        let call = stopped.wait_for(Option::is_some).await.expect("the sender is ours");
        call.expect("it was waited for")
    }

    /// Returns once this call was made.
    pub(crate) async fn called(&self, call: &str) {
        while self.count(call) == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn note(&self, call: &'static str) {
        self.journal.lock().expect("no panic").push(call);
    }

    async fn pass(&self, call: &'static str) {
        self.note(call);
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.stop_at.load(Ordering::SeqCst) {
            self.stopped.send_replace(Some(call));
            std::future::pending::<()>().await;
        }
    }
}

/// A call that has happened, and whose answer passes by the journal.
fn answered(calls: &Arc<Calls>, call: &'static str, receipt: Receipt) -> Receipt {
    let calls = Arc::clone(calls);
    Receipt::new(async move {
        calls.pass(call).await;
        receipt.await
    })
}

pub(crate) struct Log(pub(crate) MemLog, pub(crate) Arc<Calls>);

#[async_trait]
impl MetadataLog for Log {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        let leader = self.0.leadership(known).await;
        self.1.news.subscribe().wait_for(|news| *news || known.is_none()).await.expect("the sender is ours");
        leader
    }

    fn append(&self, append: Append) -> Receipt {
        let mut bytes = Vec::new();
        for record in &append.records {
            record.encode(&mut bytes).expect("a record that can be written");
        }
        if bytes.len() > BYTES_PER_APPEND_MAX {
            let reason = format!("{} bytes in one append", bytes.len());
            return Receipt::refused(Error::not_applied(ErrorKind::Invalid, reason));
        }
        let number = self.1.appends.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.1.append_refused.load(Ordering::SeqCst) {
            return Receipt::refused(Error::not_applied(ErrorKind::Unavailable, "the log takes nothing now"));
        }
        answered(&self.1, "append", self.0.append(append))
    }

    async fn end(&self) -> Result<Position> {
        self.1.pass("end").await;
        self.0.end().await
    }

    fn extent(&self) -> LogExtent {
        self.0.extent()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        self.0.committed(end_offset).await
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        self.1.pass("read").await;
        if take(&self.1.growing) {
            let image = self.0.image();
            let records = Workload::new(11).next_change(&image);
            let (epoch, expected) = (self.0.leadership(None).await?.epoch, Some(image.position().end_offset));
            self.0.append(Append { epoch, expected, txn: Txn::None, records }).await?;
        }
        self.0.read(from, records_max).await
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        self.1.pass("image_at_most").await;
        self.0.image_at_most(end_offset).await
    }

    fn image(&self) -> MetadataImage {
        self.0.image()
    }

    fn hold(&self, end_offset: Offset) {
        self.1.note("hold");
        self.0.hold(end_offset);
    }
}

pub(crate) struct Store(pub(crate) MemStore, pub(crate) Arc<Calls>);

struct Sink<'a>(&'a mut (dyn RecordSink + Send), Arc<Calls>);

#[async_trait]
impl RecordSink for Sink<'_> {
    async fn accept(&mut self, records: Vec<VersionedRecord>) -> Result<()> {
        self.1.pass("accept").await;
        self.0.accept(records).await
    }
}

#[async_trait]
impl MetadataStore for Store {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        self.1.pass("load").await;
        self.1.loading.subscribe().wait_for(|loading| *loading).await.expect("the sender is ours");
        let loaded = self.0.load(&mut Sink(sink, Arc::clone(&self.1))).await;
        if take(&self.1.loads_refused) {
            return Err(Error::not_applied(ErrorKind::Invalid, "/brokers/topics/odd can't be copied"));
        }
        loaded
    }

    async fn position(&self) -> Result<Position> {
        self.0.position().await
    }

    async fn survey(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Survey> {
        self.1.pass("survey").await;
        if take(&self.1.surveys_failing) {
            return Err(Error::not_applied(ErrorKind::Unavailable, "the server can't be reached"));
        }
        self.0.survey(leadership, expected).await
    }

    async fn claim(&self, leadership: &KraftLeadership, expected: &Expected) -> Result<Claimed> {
        self.1.pass("claim").await;
        self.1.claiming.subscribe().wait_for(|claiming| *claiming).await.expect("the sender is ours");
        if take(&self.1.claims_failing) {
            return Err(Error::unknown(ErrorKind::Unavailable, "the server can't be reached"));
        }
        let claimed = self.0.claim(leadership, expected).await;
        self.1.pass("claimed").await;
        claimed
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        self.1.pass("writer").await;
        Ok(Box::new(Writer(self.0.writer(claimed).await?, Arc::clone(&self.1))))
    }
}

/// Compares the store with an image, as one entity.
pub(crate) struct Compared(pub(crate) MemStore, pub(crate) Arc<Calls>);

#[async_trait]
impl Projection for Compared {
    async fn compare(&self, image: &MetadataImage, _differences_max: usize) -> Result<Comparison> {
        self.1.pass("compare").await;
        let equal = self.0.image().same_metadata(image) && !take(&self.1.differing);
        self.1.comparing.subscribe().wait_for(|comparing| *comparing).await.expect("the sender is ours");
        let counts = FamilyCounts { compared: 1, divergent: u64::from(!equal), ..FamilyCounts::default() };
        Ok(Comparison { families: [("all".to_owned(), counts)].into(), ..Comparison::default() })
    }
}

struct Writer(Box<dyn StoreWriter>, Arc<Calls>);

#[async_trait]
impl StoreWriter for Writer {
    async fn ready(&mut self) -> Result<()> {
        self.1.pass("ready").await;
        self.0.ready().await
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        answered(&self.1, "submit", self.0.submit(batch))
    }

    async fn barrier(&mut self) -> Result<Position> {
        self.1.pass("barrier").await;
        self.0.barrier().await
    }

    async fn full_sync(&mut self, image: &MetadataImage) -> Result<SyncReport> {
        self.1.pass("full_sync").await;
        let synced = self.0.full_sync(image).await;
        self.1.pass("synced").await;
        synced
    }
}
