//! What goes over the log's socket: lines of JSON, records as Kafka's frames in base64.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs};
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch};
use metadata_core::record::VersionedRecord;
use metadata_core::store::Txn;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Longest line, its end included, in bytes: the largest append of a copy (2 MiB of records) in base64, many times over.
pub(super) const LINE_BYTES_MAX: u64 = 64 << 20;

/// Batches in one line, so that a member that starts late gets a long log in pieces.
pub(super) const BATCHES_PER_LINE: usize = 1_000;

/// What a member says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum FromMember {
    /// First of all: who it is.
    Hello { node: i32 },
    /// Append this.
    Append { call: u64, epoch: i32, expected: Option<i64>, txn: WireTxn, records: Vec<String> },
    /// Where does the log end?
    End { call: u64 },
}

/// What the server says. An answer stands behind the batches that it speaks of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum FromServer {
    /// More of the log. With `more` the rest follows at once, and nothing of it is to be shown before.
    Batches { batches: Vec<WireBatch>, more: bool },
    /// Who leads. `active` is the member's own affair: it leads.
    Leadership { leader: Option<i32>, epoch: i32, active: bool },
    /// To a call.
    Answer { call: u64, answer: WireAnswer },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireTxn {
    None,
    Begin,
    In,
    End(u32),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireBatch {
    base: i64,
    end: i64,
    epoch: i32,
    timestamp: i64,
    records: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireAnswer {
    Done { epoch: i32, end: i64 },
    Failed { kind: WireKind, unknown: bool, message: String },
}

/// The kinds of errors that a log has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WireKind {
    ControllerFenced,
    Conflict,
    Invalid,
    Corrupt,
    Unavailable,
}

impl WireKind {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ControllerFenced => Self::ControllerFenced,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Corrupt => Self::Corrupt,
            _ => Self::Unavailable,
        }
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::ControllerFenced => ErrorKind::ControllerFenced,
            Self::Conflict => ErrorKind::Conflict,
            Self::Invalid => ErrorKind::Invalid,
            Self::Corrupt => ErrorKind::Corrupt,
            Self::Unavailable => ErrorKind::Unavailable,
        }
    }
}

fn to_wire(records: &[VersionedRecord]) -> Result<Vec<String>> {
    let encoded = records.iter().map(|record| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes).map_err(|error| {
            let message = format!("{} can't be encoded", record.record.name());
            Error::not_applied(ErrorKind::Invalid, message).with_source(error)
        })?;
        Ok(STANDARD.encode(bytes))
    });
    encoded.collect()
}

fn from_wire(records: &[String]) -> Result<Vec<VersionedRecord>> {
    let bad = |what: &str| Error::not_applied(ErrorKind::Invalid, format!("the log's protocol: {what}"));
    let decoded = records.iter().map(|text| {
        let bytes = STANDARD.decode(text).map_err(|error| bad("no base64").with_source(error))?;
        VersionedRecord::decode(&bytes).map_err(|error| bad("no record").with_source(error))
    });
    decoded.collect()
}

impl FromMember {
    /// # Errors
    /// `Invalid`: a record can't be encoded.
    pub(super) fn append(call: u64, append: &Append) -> Result<Self> {
        let txn = match append.txn {
            Txn::None => WireTxn::None,
            Txn::Begin => WireTxn::Begin,
            Txn::In => WireTxn::In,
            Txn::End { batches } => WireTxn::End(batches),
        };
        let records = to_wire(&append.records)?;
        Ok(Self::Append { call, epoch: append.epoch.0, expected: append.expected.map(|it| it.0), txn, records })
    }
}

/// The append as the member meant it.
pub(super) fn appended(epoch: i32, expected: Option<i64>, txn: WireTxn, records: &[String]) -> Result<Append> {
    let txn = match txn {
        WireTxn::None => Txn::None,
        WireTxn::Begin => Txn::Begin,
        WireTxn::In => Txn::In,
        WireTxn::End(batches) => Txn::End { batches },
    };
    let records = from_wire(records)?;
    Ok(Append { epoch: KRaftLeaderEpoch(epoch), expected: expected.map(Offset), txn, records })
}

impl WireBatch {
    /// # Errors
    /// `Invalid`: a record can't be encoded.
    pub(super) fn of(batch: &LogBatch) -> Result<Self> {
        Ok(Self {
            base: batch.base_offset.0,
            end: batch.end_offset.0,
            epoch: batch.epoch.0,
            timestamp: batch.timestamp.0,
            records: to_wire(&batch.records)?,
        })
    }

    /// # Errors
    /// `Invalid`: these are no records.
    pub(super) fn batch(&self) -> Result<LogBatch> {
        Ok(LogBatch {
            base_offset: Offset(self.base),
            end_offset: Offset(self.end),
            epoch: KRaftLeaderEpoch(self.epoch),
            timestamp: TimestampMs(self.timestamp),
            records: Arc::from(from_wire(&self.records)?),
        })
    }
}

impl WireAnswer {
    pub(super) fn of(result: Result<Position>) -> Self {
        match result {
            Ok(position) => Self::Done { epoch: position.epoch.0, end: position.end_offset.0 },
            Err(error) => Self::Failed {
                kind: WireKind::of(error.kind()),
                unknown: error.outcome() == Outcome::Unknown,
                message: error.to_string(),
            },
        }
    }

    pub(super) fn result(self) -> Result<Position> {
        match self {
            Self::Done { epoch, end } => Ok(Position { epoch: KRaftLeaderEpoch(epoch), end_offset: Offset(end) }),
            Self::Failed { kind, unknown: false, message } => Err(Error::not_applied(kind.kind(), message)),
            Self::Failed { kind, unknown: true, message } => Err(Error::unknown(kind.kind(), message)),
        }
    }
}

impl FromServer {
    pub(super) fn leadership(member: NodeId, now: LeaderAndEpoch) -> Self {
        let active = now.active && now.leader == Some(member);
        Self::Leadership { leader: now.leader.map(|id| id.0), epoch: now.epoch.0, active }
    }
}

/// A message as a line.
pub(super) fn to_line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// The next message; `None` at the end of the connection.
///
/// # Errors
/// The connection broke, a line is too long, or it is no message.
pub(super) async fn next<T: DeserializeOwned>(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a line has no end, or is too long")),
    }
}
