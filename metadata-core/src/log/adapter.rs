//! Any log as a [`MetadataStore`].

mod in_flight;
#[cfg(test)]
#[cfg(feature = "contract")]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

use self::in_flight::InFlight;
use super::{Append, LeaderAndEpoch, MetadataLog};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Position;
use crate::image::MetadataImage;
use crate::leadership::{AfterClaim, Expected, Fence, KraftLeadership, Leadership};
use crate::store::{
    Capability, Claimed, MetadataBatch, MetadataStore, Receipt, RecordSink, StoreWriter, Survey, SyncReport, Txn,
};

/// Records handed to the sink at a time.
const LOAD_RECORDS_MAX: usize = 1024;
/// Appends that may be unresolved before [`StoreWriter::ready`] waits.
const BATCHES_IN_FLIGHT_MAX: usize = 64;

/// Whether `leadership` is the log's own, and may act. The claim and the barrier ask the same.
fn check_leads(leadership: &KraftLeadership, now: &LeaderAndEpoch) -> Result<()> {
    if now.epoch == leadership.epoch && now.leader == Some(leadership.id) && now.active {
        return Ok(());
    }
    Err(Error::not_applied(
        ErrorKind::ControllerFenced,
        format!(
            "node {} claims the log for epoch {}, but the log is in epoch {} led by {}{}; observe the leadership again",
            leadership.id,
            leadership.epoch,
            now.epoch,
            now.leader.map_or_else(|| "nobody".to_owned(), |id| format!("node {id}")),
            if now.active { "" } else { ", and may not act here" },
        ),
    ))
}

/// A metadata log seen as a store. Its fence is the log's own epoch: an append decided under an older one is refused.
pub struct LogStore<L: ?Sized> {
    log: Arc<L>,
}

impl<L: MetadataLog + ?Sized> LogStore<L> {
    /// The store that this log is.
    pub fn new(log: Arc<L>) -> Self {
        Self { log }
    }
}

#[async_trait]
impl<L: MetadataLog + ?Sized + 'static> MetadataStore for LogStore<L> {
    fn capability(&self) -> Capability {
        // The log is the truth: nobody makes it equal to something else.
        Capability::new("log").with_full_sync(false).with_batches_in_flight_max(BATCHES_IN_FLIGHT_MAX)
    }

    async fn load(&self, sink: &mut (dyn RecordSink + Send)) -> Result<Position> {
        self.log.end().await?;
        let image = self.log.image();
        let mut batch = Vec::new();
        let records = image.to_records().map_err(|error| {
            Error::not_applied(ErrorKind::Invalid, format!("the log's metadata can't be loaded: {error}"))
        })?;
        for record in records {
            batch.push(record);
            if batch.len() == LOAD_RECORDS_MAX {
                sink.accept(std::mem::take(&mut batch)).await?;
            }
        }
        if !batch.is_empty() {
            sink.accept(batch).await?;
        }
        Ok(image.position())
    }

    async fn position(&self) -> Result<Position> {
        self.log.end().await
    }

    async fn survey(&self, leadership: &KraftLeadership, _expected: &Expected) -> Result<Survey> {
        check_leads(leadership, &self.log.leadership(None).await?)?;
        Ok(Survey { claimed_before: true, position: self.log.end().await?, next: AfterClaim::Resume })
    }

    async fn claim(&self, leadership: &KraftLeadership, _expected: &Expected) -> Result<Claimed> {
        check_leads(leadership, &self.log.leadership(None).await?)?;
        Ok(Claimed {
            leadership: Leadership { kraft: *leadership, fence: Fence::KraftEpoch },
            position: self.log.end().await?,
            batch_end: None,
            next: AfterClaim::Resume,
        })
    }

    async fn writer(&self, claimed: Claimed) -> Result<Box<dyn StoreWriter>> {
        match claimed.leadership.fence {
            Fence::KraftEpoch => Ok(Box::new(LogWriter {
                log: Arc::clone(&self.log),
                leadership: claimed.leadership.kraft,
                in_flight: InFlight::default(),
            })),
            Fence::ZooKeeper(_) => {
                Err(Error::not_applied(ErrorKind::Invalid, "this claim is of a ZooKeeper, not of a log"))
            }
        }
    }
}

struct LogWriter<L: ?Sized> {
    log: Arc<L>,
    leadership: KraftLeadership,
    in_flight: InFlight,
}

#[async_trait]
impl<L: MetadataLog + ?Sized> StoreWriter for LogWriter<L> {
    async fn ready(&mut self) -> Result<()> {
        self.in_flight.fewer_than(BATCHES_IN_FLIGHT_MAX).await;
        Ok(())
    }

    fn submit(&mut self, batch: MetadataBatch) -> Receipt {
        let expected = match batch.txn {
            Txn::None => Some(batch.expected().end_offset),
            // Records of a transaction get their offsets when it ends.
            Txn::Begin | Txn::In | Txn::End { .. } => None,
        };
        self.in_flight.add(self.log.append(Append {
            epoch: self.leadership.epoch,
            expected,
            txn: batch.txn,
            records: batch.records.to_vec(),
        }))
    }

    async fn barrier(&mut self) -> Result<Position> {
        let end = self.log.end().await?;
        // Asked after the end: whoever leads still led when the end was read.
        check_leads(&self.leadership, &self.log.leadership(None).await?)?;
        Ok(end)
    }

    async fn full_sync(&mut self, _image: &MetadataImage) -> Result<SyncReport> {
        Err(Error::not_applied(
            ErrorKind::Unsupported,
            "a log is the truth and is not made equal to anything; sync the projection instead",
        ))
    }
}
