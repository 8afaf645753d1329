//! The state machine: entries of Raft's log in, the Kafka log and the image out. Every member comes to the same result.
//!
//! It refuses, deterministically and without a trace in the Kafka log:
//!
//! - a batch decided under another epoch than its entry's term, or before the term's LeaderStart;
//! - a batch whose expected offset is not the log's end;
//! - what [`Append::check`] refuses, records that no image can take, or a transaction that is not open or miscounted.
//!
//! The batches of a transaction stay in Raft's log until its End. Then all of them enter the Kafka log, streamed from
//! Raft's log, and become visible at once; or none ever does. The next Begin, or the first entry of a new term, discards a
//! transaction that is still open.

use std::sync::Arc;

use bytes::BytesMut;
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs};
use metadata_core::image::{ImageLoader, MetadataImage};
use metadata_core::log::Append;
use metadata_core::record::{LeaderChangeMessage, LeaderChangeVoter, VersionedRecord};

use super::proposal::{Applied, Proposal, ProposedBatch, ProposedTxn, Refusal};
use super::types::{Entry, LogId, Payload, StoredMembership};
use crate::batch::{Batch, BatchBuilder, BatchHeader, place};
use crate::disk::DiskError;
use crate::log::damage::LogError;
use crate::log::snapshot::decode_records;
use crate::log::writer::LogWriter;
use crate::raftlog::{EntryError, RaftLogTable, StoredLogId};
use crate::sidecar::{Base, Sidecar, Staged, StoredSnapshot};

/// Why an entry could not be applied. This member stops; the entry is committed and is applied after a restart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error(transparent)]
    Sealed(#[from] crate::sealed::SealError),
    #[error("the leader's first entry can't become a batch: {0}")]
    LeaderChange(#[from] crate::batch::BuildError),
    #[error("the leader's first entry is refused: {0}")]
    LeaderStart(Refusal),
}

/// The leader whose first entry was applied last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) leader: NodeId,
    pub(crate) epoch: KRaftLeaderEpoch,
}

/// An open transaction, and the image before it.
#[derive(Debug)]
struct OpenTransaction {
    staged: Staged,
    image: MetadataImage,
}

/// The state as of the last applied entry.
#[derive(Debug)]
pub(crate) struct StateMachine {
    pub(crate) log: LogWriter,
    loader: ImageLoader,
    raft_log: Arc<RaftLogTable>,
    applied: Option<LogId>,
    membership: StoredMembership,
    transaction: Option<OpenTransaction>,
    started: Option<Started>,
    restarted_at: Offset,
    pub(crate) snapshot: Option<StoredSnapshot>,
    /// From where on (inclusive) the log is kept for a store that lags behind.
    pub(crate) hold: Option<Offset>,
}

/// A state to take a snapshot of.
#[derive(Debug)]
pub(crate) struct SnapshotBase {
    pub(crate) base: Base,
    pub(crate) image: MetadataImage,
}

/// The images that belong to a sidecar.
#[derive(Debug)]
pub(crate) struct Images {
    /// At the end of the Kafka log.
    pub(crate) end: MetadataImage,
    /// Before the open transaction; of no meaning when none is open.
    pub(crate) before: MetadataImage,
}

impl StateMachine {
    /// The state that `sidecar` describes, with the log and the image that belong to it.
    pub(crate) fn new(sidecar: Sidecar, log: LogWriter, images: Images, raft_log: Arc<RaftLogTable>) -> Self {
        Self {
            log,
            loader: ImageLoader::new(images.end),
            raft_log,
            applied: sidecar.applied.map(Into::into),
            membership: sidecar.membership.into(),
            transaction: sidecar.staged.map(|staged| OpenTransaction { staged, image: images.before }),
            started: None,
            restarted_at: Offset(sidecar.restarted_at),
            snapshot: sidecar.snapshot,
            hold: sidecar.hold.map(Offset),
        }
    }

    pub(crate) fn image(&self) -> &MetadataImage {
        self.loader.image()
    }

    pub(crate) fn applied(&self) -> Option<LogId> {
        self.applied
    }

    pub(crate) fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    pub(crate) fn started(&self) -> Option<Started> {
        self.started
    }

    /// What the Kafka log's files amount to. The log must be synced before it is written.
    pub(crate) fn sidecar(&self) -> Sidecar {
        Sidecar {
            applied: self.applied.map(Into::into),
            membership: (&self.membership).into(),
            end_offset: self.log.end().0,
            epochs: self.log.epochs().as_slice().iter().map(|(epoch, start)| (epoch.0, start.0)).collect(),
            restarted_at: self.restarted_at.0,
            staged: self.transaction.as_ref().map(|transaction| transaction.staged.clone()),
            snapshot: self.snapshot.clone(),
            hold: self.hold.map(|hold| hold.0),
        }
    }

    /// Bytes of Raft's log that were applied since the newest snapshot.
    pub(crate) fn bytes_since_snapshot(&self) -> u64 {
        let covered = self.snapshot.as_ref().and_then(|snapshot| snapshot.base.applied);
        let start = covered.map_or(0, |covered| covered.index + 1);
        self.raft_log.bytes(start, self.applied.map_or(0, |applied| applied.index + 1))
    }

    /// The state that a snapshot shows now: the present one, or that before an open transaction.
    pub(crate) fn snapshot_base(&self) -> SnapshotBase {
        match &self.transaction {
            Some(open) => SnapshotBase { base: open.staged.before.clone(), image: open.image.clone() },
            None => SnapshotBase { base: self.base(), image: self.image().clone() },
        }
    }

    fn base(&self) -> Base {
        Base {
            applied: self.applied.map(Into::into),
            membership: (&self.membership).into(),
            position: self.image().position().into(),
        }
    }

    /// Takes the state of a snapshot that was received, in place of everything. The log's files are still those of before:
    /// write the sidecar, then call [`LogWriter::remove_replaced`].
    pub(crate) fn install(&mut self, snapshot: StoredSnapshot, image: MetadataImage) {
        self.log.restart_at(image.position());
        self.restarted_at = image.position().end_offset;
        self.applied = snapshot.base.applied.map(Into::into);
        self.membership = snapshot.base.membership.clone().into();
        self.loader = ImageLoader::new(image);
        self.transaction = None;
        self.snapshot = Some(snapshot);
    }

    /// Applies the next entry.
    ///
    /// # Errors
    /// The Kafka log can't be written or Raft's log can't be read. What was written of the entry is not announced, and cut
    /// at the next open.
    pub(crate) fn apply(&mut self, entry: Entry) -> Result<Applied, ApplyError> {
        let term = entry.log_id.leader_id.term;
        if self.transaction.as_ref().is_some_and(|open| open.staged.begin.term != term) {
            tracing::info!(term, "the open transaction is discarded: a new term begins");
            self.transaction = None;
        }
        let answer = match &entry.payload {
            Payload::Blank => Applied::Nothing,
            Payload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Applied::Nothing
            }
            Payload::Normal(Proposal::LeaderStart { leader, time_ms, voters }) => {
                self.start_epoch(epoch_of(term), NodeId(*leader), TimestampMs(*time_ms), voters)?
            }
            Payload::Normal(Proposal::Append { epoch, batches }) => {
                let mut answers = Vec::with_capacity(batches.len());
                for (number, batch) in batches.iter().enumerate() {
                    let answer = self.batch(entry.log_id, *epoch, number, batch)?;
                    answers.push(answer.map(Into::into));
                }
                Applied::Batches(answers)
            }
        };
        self.applied = Some(entry.log_id);
        Ok(answer)
    }

    /// Writes Kafka's LeaderChange batch, the first one of the epoch.
    fn start_epoch(
        &mut self,
        epoch: KRaftLeaderEpoch,
        leader: NodeId,
        time: TimestampMs,
        voters: &[i32],
    ) -> Result<Applied, ApplyError> {
        let voter = |id: &i32| LeaderChangeVoter { voter_id: NodeId(*id), ..Default::default() };
        let message = LeaderChangeMessage {
            leader_id: leader,
            voters: voters.iter().map(voter).collect(),
            // Who else voted for it is openraft's secret; nobody reads the field.
            granting_voters: vec![voter(&leader.0)],
            ..Default::default()
        };
        let mut builder = BatchBuilder::control(time);
        builder.push_control(&message.into())?;
        let bytes = builder.finish(self.log.end(), epoch);
        // Without records there is nothing that could be refused.
        let header = self.write(&bytes, &[])?.map_err(ApplyError::LeaderStart)?;
        self.started = Some(Started { leader, epoch });
        Ok(Applied::Started(end_of(&header).into()))
    }

    /// Whether the leader of `term` has started: the last batch is of its epoch, whose first is its LeaderChange. After a
    /// snapshot was received that batch is not in the log, so the image is asked.
    fn has_started(&self, term: u64) -> bool {
        self.image().position().epoch == epoch_of(term)
    }

    fn batch(
        &mut self,
        log_id: LogId,
        decided: i32,
        number: usize,
        proposed: &ProposedBatch,
    ) -> Result<Result<Position, Refusal>, ApplyError> {
        let term = log_id.leader_id.term;
        if i64::from(decided) != i64::try_from(term).unwrap_or(i64::MAX) || !self.has_started(term) {
            let present = self.image().position().epoch.0;
            return Ok(Err(Refusal::Epoch { decided, present }));
        }
        let records = match admissible(epoch_of(term), proposed) {
            Ok(records) => records,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let end = self.log.end().0;
        if let Some(expected) = proposed.expected.filter(|expected| *expected != end) {
            return Ok(Err(Refusal::Offset { expected, end }));
        }
        match proposed.txn {
            ProposedTxn::None => {
                let bytes = self.placed(proposed, epoch_of(term));
                Ok(self.write(&bytes, &records)?.map(|header| end_of(&header)))
            }
            ProposedTxn::Begin => Ok(self.begin(log_id, number)),
            ProposedTxn::In => Ok(match &mut self.transaction {
                Some(open) => {
                    open.staged.batches = open.staged.batches.saturating_add(1);
                    Ok(self.image().position())
                }
                None => Err(Refusal::NoTransaction),
            }),
            ProposedTxn::End { batches } => self.end(log_id, number, batches),
        }
    }

    fn begin(&mut self, log_id: LogId, number: usize) -> Result<Position, Refusal> {
        if number != 0 {
            return Err(Refusal::Invalid("a Begin must be the first batch of its entry".to_owned()));
        }
        if self.transaction.is_some() {
            tracing::info!("the open transaction is discarded: another begins");
        }
        let before = self.base();
        let image = self.image().clone();
        let position = image.position();
        let staged = Staged { begin: log_id.into(), batches: 1, before };
        self.transaction = Some(OpenTransaction { staged, image });
        Ok(position)
    }

    fn end(&mut self, log_id: LogId, number: usize, said: u32) -> Result<Result<Position, Refusal>, ApplyError> {
        let Some(open) = self.transaction.take() else { return Ok(Err(Refusal::NoTransaction)) };
        let staged = open.staged.batches.saturating_add(1);
        if staged != said {
            return Ok(Err(Refusal::TransactionIncomplete { staged, said }));
        }
        let mark = self.log.mark();
        let before = self.loader.clone();
        let written = self.write_transaction(open.staged.begin, log_id.index, number, said)?;
        if let Err(refusal) = &written {
            tracing::warn!(%refusal, "the transaction is discarded");
            self.log.cut_back(mark)?;
            self.loader = before;
        }
        Ok(written)
    }

    /// Streams a transaction from Raft's log into the Kafka log. It holds one entry at a time.
    fn write_transaction(
        &mut self,
        begin: StoredLogId,
        end_index: u64,
        end_number: usize,
        said: u32,
    ) -> Result<Result<Position, Refusal>, ApplyError> {
        let discarded = |reason: String| Ok(Err(Refusal::TransactionDiscarded(reason)));
        let mut written = 0u32;
        for index in begin.index..=end_index {
            let entry = self.raft_log.read(index)?;
            let Payload::Normal(Proposal::Append { epoch, batches }) = &entry.payload else { continue };
            if i64::from(*epoch) != i64::try_from(begin.term).unwrap_or(i64::MAX) {
                continue;
            }
            for (number, proposed) in batches.iter().enumerate() {
                // The same batches that were counted when they came: all that belong to a transaction and are sound, the
                // one Begin that opened it and the one End that is being carried out.
                let belongs = match proposed.txn {
                    ProposedTxn::None => false,
                    ProposedTxn::Begin => index == begin.index && number == 0,
                    ProposedTxn::In => index < end_index || number < end_number,
                    ProposedTxn::End { .. } => index == end_index && number == end_number,
                };
                if !belongs {
                    continue;
                }
                let Ok(records) = admissible(epoch_of(begin.term), proposed) else { continue };
                let bytes = self.placed(proposed, epoch_of(begin.term));
                if let Err(refusal) = self.write(&bytes, &records)? {
                    return discarded(refusal.to_string());
                }
                written += 1;
            }
        }
        if written != said {
            return discarded(format!("{written} batches were found of the {said} that were counted"));
        }
        Ok(Ok(self.image().position()))
    }

    /// The batch's bytes as they lie at the log's end.
    fn placed(&self, proposed: &ProposedBatch, epoch: KRaftLeaderEpoch) -> BytesMut {
        let mut bytes = BytesMut::from(&proposed.batch.0[..]);
        place(&mut bytes, self.log.end(), epoch);
        bytes
    }

    /// Appends a placed batch to the log, if the image can take its records.
    fn write(&mut self, bytes: &[u8], records: &[VersionedRecord]) -> Result<Result<BatchHeader, Refusal>, ApplyError> {
        let header = match BatchHeader::parse(bytes) {
            Ok(header) => header,
            Err(flaw) => return Ok(Err(Refusal::Invalid(flaw.to_string()))),
        };
        let before = self.loader.clone();
        let (base, end) = (header.base_offset, header.end_offset());
        if let Err(error) = self.loader.replay_batch(base, end, header.epoch, header.timestamp, records) {
            self.loader = before;
            return Ok(Err(Refusal::Invalid(error.to_string())));
        }
        self.log.append(&header, bytes)?;
        Ok(Ok(header))
    }
}

/// The records of a batch, if it may be in the log at all: sound, of metadata, readable, and an append that may be.
fn admissible(epoch: KRaftLeaderEpoch, proposed: &ProposedBatch) -> Result<Vec<VersionedRecord>, Refusal> {
    let batch = Batch::parse(&proposed.batch.0).map_err(|flaw| Refusal::Invalid(flaw.to_string()))?;
    if batch.header().control {
        return Err(Refusal::Invalid("control records are Raft's own".to_owned()));
    }
    if batch.header().size != proposed.batch.0.len() {
        return Err(Refusal::Invalid("bytes follow the batch".to_owned()));
    }
    let records = decode_records(&batch).map_err(Refusal::Invalid)?;
    let append = Append { epoch, expected: proposed.expected.map(Offset), txn: proposed.txn.into(), records };
    append.check().map_err(|error| Refusal::Invalid(error.to_string()))?;
    Ok(append.records)
}

fn end_of(header: &BatchHeader) -> Position {
    Position { epoch: header.epoch, end_offset: header.end_offset() }
}

/// Kafka's epoch of a term. Kafka counts 31 bits, so the last epoch would come after two thousand million elections.
pub(crate) fn epoch_of(term: u64) -> KRaftLeaderEpoch {
    KRaftLeaderEpoch(i32::try_from(term).unwrap_or(i32::MAX))
}
