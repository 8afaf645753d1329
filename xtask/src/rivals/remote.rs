//! A log in another process.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use metadata_core::store::Receipt;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::protocol::{FromMember, FromServer, next, to_line};
use super::replica::Replica;

/// Nothing waits longer for an answer: a leader that is cut off does not get one.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A member of a [`LogServer`](super::LogServer)'s log: everything but appending and asking for the end is answered from its
/// own copy.
#[derive(Debug)]
pub struct RemoteLog {
    shared: Arc<Shared>,
    calls: Mutex<Calls>,
    tasks: [JoinHandle<()>; 2],
}

/// Calls are numbered and sent under one lock, so that their order is that of the calls.
#[derive(Debug)]
struct Calls {
    last: u64,
    lines: mpsc::UnboundedSender<Vec<u8>>,
}

#[derive(Debug)]
struct Shared {
    replica: RwLock<Replica>,
    leader: watch::Sender<LeaderAndEpoch>,
    end: watch::Sender<Offset>,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Result<Position>>>>,
    /// Why the connection is no more.
    gone: watch::Sender<Option<String>>,
}

impl RemoteLog {
    /// Joins the log at `socket` as `node`.
    ///
    /// # Errors
    /// Nobody serves there.
    pub async fn join(socket: &Path, node: NodeId) -> io::Result<Self> {
        let (reader, mut writer) = UnixStream::connect(socket).await?.into_split();
        writer.write_all(&to_line(&FromMember::Hello { node: node.0 })?).await?;
        let nobody = LeaderAndEpoch { leader: None, epoch: KRaftLeaderEpoch(0), active: false };
        let shared = Arc::new(Shared {
            replica: RwLock::new(Replica::new()),
            leader: watch::Sender::new(nobody),
            end: watch::Sender::new(Offset::ZERO),
            waiting: Mutex::default(),
            gone: watch::Sender::new(None),
        });
        let (lines, queued) = mpsc::unbounded_channel();
        let hearing = tokio::spawn(hear(BufReader::new(reader), Arc::clone(&shared)));
        let tasks = [hearing, tokio::spawn(send(writer, queued))];
        Ok(Self { shared, calls: Mutex::new(Calls { last: 0, lines }), tasks })
    }

    /// Sends a call, and registers whoever waits for its answer.
    fn call(&self, message: impl FnOnce(u64) -> Result<FromMember>) -> Receipt {
        let (answer, answered) = oneshot::channel();
        {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let call = calls.last + 1;
            let line = message(call).and_then(|message| {
                to_line(&message).map_err(|error| {
                    Error::not_applied(ErrorKind::Invalid, "the call can't be written").with_source(error)
                })
            });
            let line = match line {
                Ok(line) => line,
                Err(error) => return Receipt::refused(error),
            };
            calls.last = call;
            let registered = self.shared.waiting().map(|mut waiting| waiting.insert(call, answer)).is_some();
            if !registered {
                return Receipt::refused(self.shared.stopped());
            }
            // It fails only once the connection is gone, and then the answer is dropped too.
            drop(calls.lines.send(line));
        }
        Receipt::new(async move {
            let lost =
                |reason: &str| Error::unknown(ErrorKind::Unavailable, format!("the log did not answer: {reason}"));
            match timeout(ANSWER_MAX, answered).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(lost("the connection has ended")),
                Err(_) => Err(lost("this member is cut off from it, or it is stopped")),
            }
        })
    }
}

impl Drop for RemoteLog {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn replica(&self) -> RwLockReadGuard<'_, Replica> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait; `None` once nobody will be answered any more.
    fn waiting(&self) -> Option<MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Result<Position>>>>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock under which the last are let go.
        self.gone.borrow().is_none().then_some(waiting)
    }

    fn stopped(&self) -> Error {
        let reason = self.gone.borrow().clone().unwrap_or_else(|| "nobody knows why".to_owned());
        Error::not_applied(ErrorKind::Unavailable, format!("the log is gone: {reason}"))
    }

    fn end_with(&self, reason: String) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.gone.send_replace(Some(reason));
        waiting.clear();
    }

    /// Waits until the connection is no more.
    async fn ended(&self) -> Error {
        // The sender is our own.
        drop(self.gone.subscribe().wait_for(Option::is_some).await);
        self.stopped()
    }
}

async fn send(mut writer: OwnedWriteHalf, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if writer.write_all(&line).await.is_err() {
            // Whoever hears learns of it, too.
            return;
        }
    }
}

async fn hear(mut reader: BufReader<OwnedReadHalf>, shared: Arc<Shared>) {
    let mut incomplete = Vec::new();
    let reason = loop {
        match next(&mut reader).await {
            Ok(Some(message)) => {
                if let Err(error) = take(message, &mut incomplete, &shared) {
                    break error.to_string();
                }
            }
            Ok(None) => break "its server has ended the connection".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    shared.end_with(reason);
}

fn take(message: FromServer, incomplete: &mut Vec<LogBatch>, shared: &Shared) -> Result<()> {
    match message {
        FromServer::Batches { batches, more } => {
            for batch in batches {
                incomplete.push(batch.batch()?);
            }
            if !more {
                let end = {
                    let mut replica = shared.replica.write().unwrap_or_else(PoisonError::into_inner);
                    replica.extend(std::mem::take(incomplete))?;
                    replica.end()
                };
                shared.end.send_replace(end);
            }
        }
        FromServer::Leadership { leader, epoch, active } => {
            let now = LeaderAndEpoch { leader: leader.map(NodeId), epoch: KRaftLeaderEpoch(epoch), active };
            shared.leader.send_replace(now);
        }
        FromServer::Answer { call, answer } => {
            let waits = shared.waiting().and_then(|mut waiting| waiting.remove(&call));
            if let Some(waits) = waits {
                // Nobody need wait any more.
                drop(waits.send(answer.result()));
            }
        }
    }
    Ok(())
}

#[async_trait]
impl MetadataLog for RemoteLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        let mut watch = self.shared.leader.subscribe();
        tokio::select! {
            biased;
            leader = watch.wait_for(|leader| Some(*leader) != known) => {
                leader.map(|leader| *leader).map_err(|_| self.shared.stopped())
            }
            error = self.shared.ended() => Err(error),
        }
    }

    fn append(&self, append: Append) -> Receipt {
        if let Err(error) = append.check() {
            return Receipt::refused(error);
        }
        self.call(|call| FromMember::append(call, &append))
    }

    async fn end(&self) -> Result<Position> {
        self.call(|call| Ok(FromMember::End { call })).await
    }

    fn extent(&self) -> LogExtent {
        self.shared.replica().extent()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        let mut watch = self.shared.end.subscribe();
        tokio::select! {
            biased;
            end = watch.wait_for(|end| *end > end_offset) => end.map(|end| *end).map_err(|_| self.shared.stopped()),
            error = self.shared.ended() => Err(error),
        }
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        Ok(self.shared.replica().read(from, records_max))
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        Ok(Some(self.shared.replica().image_at_most(end_offset)))
    }

    fn image(&self) -> MetadataImage {
        self.shared.replica().image().clone()
    }

    /// Nothing is ever purged.
    fn hold(&self, _end_offset: Offset) {}
}
