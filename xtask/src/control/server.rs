//! The controller's side of the socket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout};

use super::place::{self, Place};
use super::protocol::{Answer, Progressed, REQUEST_BYTES_MAX, Request, from_line, to_line};
use crate::cli::Failure;

/// Who connects must say what he wants within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Who reads no answer for so long has gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often an asker hears that we are at it.
pub(super) const WORKING_INTERVAL: Duration = Duration::from_secs(1);
/// How long those who are being answered may keep the server that is to end.
const FINISH_MAX: Duration = Duration::from_secs(10);
/// Connections served at a time; the next one is told to come later.
const CONNECTIONS_MAX: usize = 32;

/// Says how far an answer is. Cheap to clone; nobody need listen.
#[derive(Debug, Clone)]
pub struct Reporter(mpsc::Sender<Progressed>);

impl Reporter {
    /// A reporter and what it says; older words are dropped while nobody takes them.
    pub fn new() -> (Self, mpsc::Receiver<Progressed>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// `done` of `total` (if known) are done.
    pub fn report(&self, done: u64, total: Option<u64>, unit: &str) {
        // Full: the asker reads slowly, and the next word says more. Closed: he has gone.
        drop(self.0.try_send(Progressed { done, total, unit: unit.to_owned() }));
    }
}

/// Answers requests.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does what is asked. The future is dropped when the asker goes: what was handed to the log by then stays there.
    ///
    /// # Errors
    /// What the asker is told instead.
    async fn handle(&self, request: Request, reporter: &Reporter) -> Result<Value, Failure>;
}

/// Listens on the socket of a data directory. Dropping it ends all conversations and takes the socket away.
#[derive(Debug)]
pub struct ControlServer {
    task: JoinHandle<()>,
    finish: watch::Sender<bool>,
    _place: Place,
}

impl ControlServer {
    /// Starts to listen. To be called by the owner of the directory's lock, within a tokio runtime.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn start(data_dir: &Path, handler: Arc<dyn Handler>) -> Result<Self, Failure> {
        let (listener, place) = place::bind(data_dir)?;
        let (finish, finishing) = watch::channel(false);
        Ok(Self { task: tokio::spawn(accept(listener, handler, finishing)), finish, _place: place })
    }

    /// Takes no more requests, and ends once those that came are answered, or after ten seconds.
    pub async fn finish(mut self) {
        self.finish.send_replace(true);
        if timeout(FINISH_MAX, &mut self.task).await.is_err() {
            tracing::warn!("somebody who was being answered is left without an answer");
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, handler: Arc<dyn Handler>, mut finishing: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // They end with this task.
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = conversations.join_next() => continue,
            _ = finishing.wait_for(|finish| *finish) => break,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let handler = Arc::clone(&handler);
                    conversations.spawn(async move {
                        converse(stream, handler.as_ref()).await;
                        drop(place);
                    });
                }
                Err(_) => {
                    let busy = Failure::failed("the controller is talking to too many others").next("try again later");
                    // At once or not at all: it must not keep others waiting.
                    if let Ok(line) = to_line(&Answer::failed(busy)) {
                        drop(stream.try_write(&line));
                    }
                }
            },
            Err(error) => {
                tracing::warn!("the control socket can't accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while conversations.join_next().await.is_some() {}
}

/// One request and its answer. Whatever goes wrong with the connection is the asker's loss alone.
async fn converse(stream: UnixStream, handler: &dyn Handler) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let request = match timeout(REQUEST_TIMEOUT, read_request(&mut reader)).await {
        Ok(request) => request,
        Err(_) => Err(Failure::failed(format!("no request came within {} s", REQUEST_TIMEOUT.as_secs()))),
    };
    let answer = match request {
        Ok(Some(request)) => match answer(request, handler, &mut reader, &mut writer).await {
            Some(answer) => answer,
            None => return,
        },
        // Somebody looked whether we are here.
        Ok(None) => return,
        Err(failure) => Answer::failed(failure),
    };
    send(&mut writer, &answer).await;
}

async fn read_request(reader: &mut BufReader<OwnedReadHalf>) -> Result<Option<Request>, Failure> {
    let mut line = Vec::new();
    let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
    let read = reader.take(limit).read_until(b'\n', &mut line).await;
    read.map_err(|error| Failure::failed("the request can't be read").because(&error))?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => from_line(&line).map(Some),
        Some(_) if line.len() >= REQUEST_BYTES_MAX => {
            Err(Failure::failed(format!("the request is longer than {REQUEST_BYTES_MAX} bytes")).next("split it"))
        }
        Some(_) => Err(Failure::failed("the request ends before its line does")),
    }
}

/// The last line of the answer; `None` when the asker went away before it.
async fn answer(
    request: Request,
    handler: &dyn Handler,
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> Option<Answer> {
    let (reporter, mut reports) = Reporter::new();
    let mut handling = handler.handle(request, &reporter);
    let mut working = interval(WORKING_INTERVAL);
    let mut progress = None;
    loop {
        tokio::select! {
            biased;
            result = &mut handling => return Some(result.map_or_else(Answer::failed, |result| Answer::Done { result })),
            Some(report) = reports.recv() => progress = Some(report),
            // He has nothing more to say: this is the end of the connection.
            _ = reader.fill_buf() => return None,
            _ = working.tick() => {
                if !send(writer, &Answer::Working { progress: progress.take() }).await {
                    return None;
                }
            }
        }
    }
}

/// Whether the line is on its way.
async fn send(writer: &mut OwnedWriteHalf, answer: &Answer) -> bool {
    let line = match to_line(answer) {
        Ok(line) => line,
        Err(failure) => {
            tracing::warn!("an answer was not sent: {failure}");
            return false;
        }
    };
    matches!(timeout(WRITE_TIMEOUT, writer.write_all(&line)).await, Ok(Ok(())))
}
