//! The log, and who leads it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use metadata_core::contract::MemLog;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position};
use metadata_core::image::MetadataImage;
use metadata_core::log::{Append, LeaderAndEpoch, MetadataLog as _};
use metadata_core::record::VersionedRecord;
use metadata_core::store::Txn;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::protocol::{BATCHES_PER_LINE, FromMember, FromServer, WireAnswer, WireBatch, appended, next, to_line};

/// Messages of a member that wait for their turn.
const MESSAGES_MAX: usize = 64;

/// A metadata log in memory for members in other processes. It elects whom it is told to. Dropping it ends all connections.
///
/// Each member has a copy of the log, pushed to it in order, with the news who leads behind the batches of that
/// leadership. A member that is [cut off](Self::cut_off) hears and is heard no more until it is joined again: it believes what it
/// believed.
#[derive(Debug)]
pub struct LogServer {
    log: MemLog,
    cut_off: watch::Sender<BTreeSet<NodeId>>,
    socket: PathBuf,
    accepting: JoinHandle<()>,
}

impl LogServer {
    /// An empty log, served at `socket`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// There can be no socket there.
    pub fn start(socket: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let log = MemLog::new();
        let cut_off = watch::Sender::new(BTreeSet::new());
        let accepting = tokio::spawn(accept(listener, log.clone(), cut_off.subscribe()));
        Ok(Self { log, cut_off, socket: socket.to_owned(), accepting })
    }

    /// Where members connect.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes `node` the leader of a new epoch. Whoever is cut off does not hear of it.
    pub fn elect(&self, node: NodeId) -> KRaftLeaderEpoch {
        self.log.elect(node).epoch
    }

    /// Ends a member's contact with the log: its appends go unanswered, and nothing reaches it.
    pub fn cut_off(&self, node: NodeId) {
        self.cut_off.send_modify(|nodes| {
            nodes.insert(node);
        });
    }

    /// Joins it again.
    pub fn join(&self, node: NodeId) {
        self.cut_off.send_modify(|nodes| {
            nodes.remove(&node);
        });
    }

    /// Appends a batch as whoever leads, in the present epoch.
    ///
    /// # Errors
    /// As [`MetadataLog::append`](metadata_core::log::MetadataLog::append).
    pub async fn append(&self, records: Vec<VersionedRecord>) -> Result<Position> {
        let epoch = self.log.leadership(None).await?.epoch;
        let expected = Some(self.end());
        self.log.append(Append { epoch, expected, txn: Txn::None, records }).await
    }

    /// The image at the end of the log.
    pub fn image(&self) -> MetadataImage {
        self.log.image()
    }

    /// The end of the log (exclusive).
    pub fn end(&self) -> Offset {
        self.log.image().position().end_offset
    }
}

impl Drop for LogServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: UnixListener, log: MemLog, cut_off: watch::Receiver<BTreeSet<NodeId>>) {
    // They end with this task.
    let mut members = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    members.spawn(serve(stream, log.clone(), cut_off.clone()));
                }
                Err(error) => {
                    tracing::warn!("the log can't accept a member: {error}");
                    return;
                }
            },
            Some(served) = members.join_next() => match served {
                Ok(Err(error)) => tracing::debug!("a member went: {error}"),
                Ok(Ok(())) => {}
                Err(error) => tracing::warn!("a member's conversation ended: {error}"),
            },
        }
    }
}

/// A conversation with a member, until it goes.
async fn serve(stream: UnixStream, log: MemLog, mut cut_off: watch::Receiver<BTreeSet<NodeId>>) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let Some(FromMember::Hello { node }) = next(&mut reader).await? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a member must say first who it is"));
    };
    let (messages, mut heard) = mpsc::channel(MESSAGES_MAX);
    // Reading a line must not be interrupted half way, so a task of its own does it. It ends with the connection.
    let reading: JoinHandle<io::Result<()>> = tokio::spawn(async move {
        while let Some(message) = next::<FromMember>(&mut reader).await? {
            if messages.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    let mut member = Member { node: NodeId(node), log, writer, sent: Offset::ZERO, leader: None };
    let conversation = member.converse(&mut heard, &mut cut_off).await;
    reading.abort();
    conversation
}

/// The server's side of a member.
struct Member {
    node: NodeId,
    log: MemLog,
    writer: OwnedWriteHalf,
    /// What was sent of the log: its end (exclusive).
    sent: Offset,
    /// Who it was told leads.
    leader: Option<LeaderAndEpoch>,
}

impl Member {
    async fn converse(
        &mut self,
        heard: &mut mpsc::Receiver<FromMember>,
        cut_off: &mut watch::Receiver<BTreeSet<NodeId>>,
    ) -> io::Result<()> {
        let log = self.log.clone();
        let node = self.node;
        loop {
            if cut_off.wait_for(|nodes| !nodes.contains(&node)).await.is_err() {
                return Ok(());
            }
            self.push().await?;
            tokio::select! {
                _ = cut_off.changed() => {}
                _ = log.leadership(self.leader) => {}
                _ = log.committed(self.sent) => {}
                message = heard.recv() => match message {
                    Some(message) => self.answer(message).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn answer(&mut self, message: FromMember) -> io::Result<()> {
        let (call, result) = match message {
            FromMember::Hello { .. } => return Ok(()),
            FromMember::End { call } => (call, self.log.end().await),
            FromMember::Append { call, epoch, expected, txn, records } => {
                (call, self.append(appended(epoch, expected, txn, &records)).await)
            }
        };
        // Whoever is answered has everything that the answer speaks of.
        self.push().await?;
        self.say(&FromServer::Answer { call, answer: WireAnswer::of(result) }).await
    }

    async fn append(&self, append: Result<Append>) -> Result<Position> {
        let append = append?;
        let leader = self.log.leadership(None).await?;
        if leader.leader != Some(self.node) {
            let message = format!("node {} does not lead in epoch {}", self.node, leader.epoch);
            return Err(Error::not_applied(ErrorKind::ControllerFenced, message));
        }
        self.log.append(append).await
    }

    /// Sends what is new: batches, then who leads. In this order, since a leader acts on a log that has its own epoch.
    async fn push(&mut self) -> io::Result<()> {
        let unavailable = |error: Error| io::Error::other(error.to_string());
        let leader = self.log.leadership(None).await.map_err(unavailable)?;
        let batches = self.log.read(self.sent, usize::MAX).await.map_err(unavailable)?;
        let pieces = batches.len().div_ceil(BATCHES_PER_LINE);
        for (piece, batches) in batches.chunks(BATCHES_PER_LINE).enumerate() {
            let wire = batches.iter().map(WireBatch::of).collect::<Result<Vec<_>>>().map_err(unavailable)?;
            self.say(&FromServer::Batches { batches: wire, more: piece + 1 < pieces }).await?;
        }
        self.sent = batches.last().map_or(self.sent, |batch| batch.end_offset);
        if self.leader != Some(leader) {
            self.say(&FromServer::leadership(self.node, leader)).await?;
            self.leader = Some(leader);
        }
        Ok(())
    }

    async fn say(&mut self, message: &FromServer) -> io::Result<()> {
        self.writer.write_all(&to_line(message)?).await
    }
}
