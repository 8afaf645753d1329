//! The way into the log: whatever is decided is decided on the newest image and written at its end, or decided anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Whose turn it is to write, shared by all who write on a controller's behalf. Who holds [`Self::turn`] keeps everybody else
/// from writing: a rollback, say, after which nothing reaches ZooKeeper any more. An acknowledged change of the in-sync replicas
/// that ZooKeeper never hears of would lose messages.
#[derive(Debug, Clone, Default)]
pub struct Turns {
    /// Held by whoever writes.
    pub turn: Arc<Mutex<()>>,
    /// Set for good: nothing is written any more.
    pub closed: Arc<AtomicBool>,
}

/// Writes what is decided. Clones write into the same log, one at a time.
#[derive(Clone)]
pub struct MetadataWriter {
    log: Arc<dyn MetadataLog>,
    gate: Gate,
    turns: Turns,
}

impl MetadataWriter {
    /// A writer into `log`, past `gate`, when it is its turn.
    pub fn new(log: Arc<dyn MetadataLog>, gate: Gate, turns: Turns) -> Self {
        Self { log, gate, turns }
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
    /// whoever asked asks the next leader; or nothing is written any more. What the gate says: REQUEST_TIMED_OUT, or NOT_CONTROLLER before the copy.
    /// UNKNOWN_SERVER_ERROR: the log refuses the records.
    pub async fn write<A>(
        &self,
        class: WriteClass,
        decide: impl Fn(&MetadataImage) -> Result<Decided<A>, KafkaError>,
    ) -> Result<A, KafkaError> {
        self.leads().await?;
        let passed = self.gate.pass(class, GATE_WAIT_MAX).await;
        passed.map_err(|error| KafkaError::of_code(error.kafka_error_code()).unwrap_or(KafkaError::NotController))?;
        let _turn = self.turns.turn.lock().await;
        if self.turns.closed.load(Ordering::SeqCst) {
            return Err(KafkaError::NotController);
        }
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

#[cfg(test)]
mod tests {
    use metadata_core::contract::MemLog;
    use metadata_core::id::NodeId;
    use metadata_core::record::{MetadataRecord, TopicRecord};
    use metadata_core::uuid::Uuid;
    use migration::gate::DivergenceBudget;

    use super::*;
    use crate::decide::testkit;

    async fn led() -> (MemLog, MetadataWriter, Turns) {
        let log = MemLog::new();
        let epoch = log.elect(NodeId(3000)).epoch;
        let image = testkit::image(metadata_core::record::ZkMigrationState::None, []);
        let records = image.to_records().unwrap().collect();
        let append = Append { epoch, expected: Some(log.image().position().end_offset), txn: Txn::None, records };
        log.append(append).await.unwrap();
        let turns = Turns::default();
        let gate = Gate::over(&log.image(), DivergenceBudget::default());
        (log.clone(), MetadataWriter::new(Arc::new(log), gate, turns.clone()), turns)
    }

    fn topic(number: u64) -> MetadataRecord {
        let topic_id = metadata_core::id::TopicId(Uuid::from_u64_pair(3, number));
        TopicRecord { name: format!("t{number}"), topic_id, ..TopicRecord::default() }.into()
    }

    async fn add(writer: &MetadataWriter, number: u64) -> Result<u64, KafkaError> {
        let decide = |_: &MetadataImage| Ok(Decided { records: vec![topic(number)], answer: number });
        writer.write(WriteClass::LeaderAndIsr, decide).await
    }

    #[tokio::test]
    async fn whoever_holds_the_turn_keeps_all_others_from_writing_for_as_long_or_for_good() {
        let (log, writer, turns) = led().await;
        assert_eq!(add(&writer, 1).await, Ok(1));
        let held = turns.turn.lock().await;
        let end = log.image().position().end_offset;
        let waiting = tokio::spawn({
            let writer = writer.clone();
            async move { add(&writer, 2).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(log.image().position().end_offset, end);
        turns.closed.store(true, Ordering::SeqCst);
        drop(held);
        assert_eq!(waiting.await.unwrap(), Err(KafkaError::NotController), "it was closed meanwhile");
        turns.closed.store(false, Ordering::SeqCst);
        assert_eq!(add(&writer, 2).await, Ok(2));
    }

    #[tokio::test]
    async fn what_is_decided_on_an_old_image_is_decided_anew() {
        let (log, writer, _) = led().await;
        let epoch = log.leadership(None).await.unwrap().epoch;
        let (first, other) = (std::sync::atomic::AtomicBool::new(true), log.clone());
        let decide = |image: &MetadataImage| {
            if first.swap(false, Ordering::SeqCst) {
                // Somebody else writes between the decision and its append.
                let records = versioned(vec![topic(8)], image);
                let expected = Some(image.position().end_offset);
                drop(other.append(Append { epoch, expected, txn: Txn::None, records }));
            }
            Ok(Decided { records: vec![topic(9)], answer: image.topics().len() })
        };
        let seen = writer.write(WriteClass::LeaderAndIsr, decide).await.unwrap();
        assert_eq!(seen, 2, "the decision that was written knew the other's topic");
        assert_eq!(log.image().topics().len(), 3);
    }

    #[tokio::test]
    async fn who_does_not_lead_writes_nothing() {
        let (log, writer, _) = led().await;
        log.resign();
        assert_eq!(add(&writer, 1).await, Err(KafkaError::NotController));
    }
}
