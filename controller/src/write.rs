//! The way into the log: whatever is decided is decided on the newest image and written at its end, or decided anew.

use std::sync::Arc;
use std::time::Duration;

use metadata_core::error::{ErrorKind, Outcome};
use metadata_core::image::MetadataImage;
use metadata_core::log::{Append, LeaderAndEpoch, MetadataLog, RECORDS_PER_BATCH_MAX};
use metadata_core::store::Txn;
use migration::gate::{Gate, WriteClass};
use tokio::sync::Mutex;

use crate::decide::{Decided, versioned};
use crate::error::KafkaError;

/// How often a write is decided anew because the log grew in between.
const ATTEMPTS_MAX: u32 = 50;

/// How long an administrative write waits at the gate.
const GATE_WAIT_MAX: Duration = Duration::from_secs(30);

/// Writes what is decided. Clones write into the same log, one at a time.
#[derive(Clone)]
pub struct MetadataWriter {
    log: Arc<dyn MetadataLog>,
    gate: Gate,
    one_at_a_time: Arc<Mutex<()>>,
}

impl MetadataWriter {
    /// A writer into `log`, past `gate`.
    pub fn new(log: Arc<dyn MetadataLog>, gate: Gate) -> Self {
        Self { log, gate, one_at_a_time: Arc::default() }
    }

    /// The leadership under which this controller may write.
    ///
    /// # Errors
    /// NOT_CONTROLLER: another leads, or nobody.
    pub async fn leads(&self) -> Result<LeaderAndEpoch, KafkaError> {
        match self.log.leadership(None).await {
            Ok(now) if now.active => Ok(now),
            _ => Err(KafkaError::NotController),
        }
    }

    /// Decides on the newest image, writes what was decided, and answers once it is committed. `decide` may be asked again:
    /// other writers come in between.
    ///
    /// # Errors
    /// What `decide` says. NOT_CONTROLLER: this controller does not lead, or does no more: then it may have been written, and
    /// whoever asked asks the next leader. What the gate says: REQUEST_TIMED_OUT, or NOT_CONTROLLER before the copy.
    /// UNKNOWN_SERVER_ERROR: the log refuses the records.
    pub async fn write<A>(
        &self,
        class: WriteClass,
        decide: impl Fn(&MetadataImage) -> Result<Decided<A>, KafkaError>,
    ) -> Result<A, KafkaError> {
        self.leads().await?;
        let passed = self.gate.pass(class, GATE_WAIT_MAX).await;
        passed.map_err(|error| KafkaError::of_code(error.kafka_error_code()).unwrap_or(KafkaError::NotController))?;
        let _one_at_a_time = self.one_at_a_time.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let epoch = self.leads().await?.epoch;
            let image = self.log.image();
            let Decided { records, answer } = decide(&image)?;
            if records.is_empty() {
                return Ok(answer);
            }
            if records.len() > RECORDS_PER_BATCH_MAX {
                tracing::error!(records = records.len(), "too many records for one append");
                return Err(KafkaError::UnknownServerError);
            }
            let expected = image.position().end_offset;
            let records = versioned(records, &image);
            match self.log.append(Append { epoch, expected: Some(expected), txn: Txn::None, records }).await {
                Ok(_) => return Ok(answer),
                Err(error) if error.kind() == ErrorKind::Conflict && error.outcome() == Outcome::NotApplied => {
                    // Somebody else's records came first. They are on their way to the image.
                    self.log.end().await.map_err(|_| KafkaError::NotController)?;
                }
                Err(error) => {
                    tracing::warn!(error = migration::error_chain(&error), "a change was not written");
                    return Err(match error.kind() {
                        ErrorKind::Invalid | ErrorKind::Unsupported => KafkaError::UnknownServerError,
                        _ => KafkaError::NotController,
                    });
                }
            }
        }
        tracing::warn!("the log grew {ATTEMPTS_MAX} times between a decision and its append");
        Err(KafkaError::RequestTimedOut)
    }
}
