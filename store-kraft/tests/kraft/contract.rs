//! The public suites: that for logs, and that for stores on the log through its adapter.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use metadata_core::contract::{LogHarness, StoreHarness};
use metadata_core::error::Result;
use metadata_core::id::{Offset, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::{KraftLeadership, LogExtent};
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, LogStore, MetadataLog};
use metadata_core::store::{MetadataStore, Receipt};
use metadata_core::{contract_tests, log_contract_tests};
use store_kraft::KraftLog;

use crate::common::*;

/// A log whose only voter is elected anew by being stopped and started, as whoever embeds it would see it.
struct Restarting(RwLock<Arc<KraftLog>>);

impl Restarting {
    fn now(&self) -> Arc<KraftLog> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl MetadataLog for Restarting {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        self.now().leadership(known).await
    }

    fn append(&self, append: Append) -> Receipt {
        self.now().append(append)
    }

    async fn end(&self) -> Result<Position> {
        self.now().end().await
    }

    fn extent(&self) -> LogExtent {
        self.now().extent()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        self.now().committed(end_offset).await
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        self.now().read(from, records_max).await
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        self.now().image_at_most(end_offset).await
    }

    fn image(&self) -> MetadataImage {
        self.now().image()
    }

    fn hold(&self, end_offset: Offset) {
        self.now().hold(end_offset);
    }
}

struct Harness {
    dir: tempfile::TempDir,
    log: Arc<Restarting>,
}

impl Harness {
    async fn start() -> Self {
        let dir = formatted();
        let log = Arc::new(Restarting(RwLock::new(Arc::new(open(dir.path()).await))));
        Self { dir, log }
    }
}

#[async_trait]
impl StoreHarness for Harness {
    async fn store(&mut self) -> Arc<dyn MetadataStore> {
        Arc::new(LogStore::new(Arc::clone(&self.log)))
    }

    async fn next_leadership(&mut self) -> KraftLeadership {
        self.log.now().shutdown().await.unwrap();
        let again = Arc::new(open(self.dir.path()).await);
        let epoch = epoch(&again).await;
        *self.log.0.write().unwrap_or_else(PoisonError::into_inner) = again;
        KraftLeadership { id: NODE, epoch }
    }

    fn takes_made_up_leadership(&self) -> bool {
        false
    }
}

contract_tests!(kraft_log, async { Harness::start().await });

/// The log before its first election: a log that is open leads at once.
struct Unopened {
    dir: tempfile::TempDir,
    log: Option<Arc<Restarting>>,
}

#[async_trait]
impl LogHarness for Unopened {
    async fn log(&mut self) -> Arc<dyn MetadataLog> {
        Arc::clone(self.log.as_ref().expect("a leader is elected first")) as Arc<dyn MetadataLog>
    }

    async fn next_leader(&mut self) -> LeaderAndEpoch {
        if let Some(log) = self.log.take() {
            log.now().shutdown().await.unwrap();
        }
        let log = open(self.dir.path()).await;
        let leader = log.leadership(None).await.unwrap();
        self.log = Some(Arc::new(Restarting(RwLock::new(Arc::new(log)))));
        leader
    }
}

log_contract_tests!(kraft_log_as_a_log, async { Unopened { dir: formatted(), log: None } });
