//! The public suites on a quorum of three, whose leaders are replaced by being stopped.

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

use crate::quorum::Quorum;

/// The member that leads, as one who follows the leader sees it.
struct Leading(RwLock<Arc<KraftLog>>);

impl Leading {
    fn now(&self) -> Arc<KraftLog> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl MetadataLog for Leading {
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
    quorum: Quorum,
    leading: Arc<Leading>,
}

impl Harness {
    async fn start() -> Self {
        let quorum = Quorum::of_three().await;
        let leading = Arc::new(Leading(RwLock::new(quorum.leader().await.0)));
        Self { quorum, leading }
    }

    /// Stops the leader, waits for the next, and starts the one before again, so that no majority is lost by it.
    async fn next_leader(&mut self) -> LeaderAndEpoch {
        let before = self.leading.now().options().node_id;
        self.quorum.stop(before).await;
        let (next, _) = self.quorum.leader().await;
        *self.leading.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        self.quorum.start(before).await;
        next.leadership(None).await.unwrap()
    }
}

#[async_trait]
impl StoreHarness for Harness {
    async fn store(&mut self) -> Arc<dyn MetadataStore> {
        Arc::new(LogStore::new(Arc::clone(&self.leading)))
    }

    async fn next_leadership(&mut self) -> KraftLeadership {
        let next = self.next_leader().await;
        KraftLeadership { id: next.leader.unwrap(), epoch: next.epoch }
    }

    fn takes_made_up_leadership(&self) -> bool {
        false
    }
}

contract_tests!(quorum_of_three, async { Harness::start().await });

/// A quorum whose first leader is not known before the case wants one.
struct Unled(Option<Harness>);

#[async_trait]
impl LogHarness for Unled {
    async fn log(&mut self) -> Arc<dyn MetadataLog> {
        let harness = self.0.as_ref().expect("a leader is elected first");
        Arc::clone(&harness.leading) as Arc<dyn MetadataLog>
    }

    async fn next_leader(&mut self) -> LeaderAndEpoch {
        match &mut self.0 {
            Some(harness) => harness.next_leader().await,
            None => {
                let harness = Harness::start().await;
                let leader = harness.leading.leadership(None).await.unwrap();
                self.0 = Some(harness);
                leader
            }
        }
    }
}

log_contract_tests!(quorum_of_three_as_a_log, async { Unled(None) });
