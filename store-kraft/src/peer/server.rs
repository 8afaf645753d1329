//! Answers other controllers.
//!
//! Whatever arrives that is no message, or of somebody who is not spoken with, ends that connection and nothing else. Until
//! a connection has said who it is, it gets little memory, little time, and one of few places.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metadata_core::id::NodeId;
use openraft::error::{InstallSnapshotError, RaftError};
use tokio::io::BufStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::announcer::Announcing;
use super::frame::{self, HELLO_BYTES_MAX, MESSAGE_BYTES_MAX};
use super::link::BoxedStream;
use super::message::{Answer, Hello, Introduction, Request, Welcome, append_request, snapshot_request};
use super::refusal::Refusal;
use super::roster::Roster;
use super::security::Security;
use crate::codec::{self, CodecError, Kind};
use crate::quorum::types::Raft;

/// Connections that have not said yet who they are, at most.
const STRANGERS_MAX: usize = 32;
/// A connection says within this time who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Connections of one controller, at most.
const CONNECTIONS_MAX: usize = 16;
/// A connection on which nothing is asked for so long is closed.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// A connection that takes no answer for so long is closed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// After this pause connections are accepted again, when the operating system gave none.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What is needed to answer.
pub(crate) struct Answering {
    pub(crate) raft: Raft,
    pub(crate) roster: Arc<Roster>,
    pub(crate) announcing: Arc<Announcing>,
    pub(crate) security: Security,
}

/// Accepts connections until it is dropped, which ends all of them.
pub(crate) async fn serve(listener: TcpListener, answering: Arc<Answering>) {
    let mut strangers: VecDeque<(AbortHandle, Arc<AtomicBool>)> = VecDeque::new();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (tcp, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection of another controller can be accepted now");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        strangers.retain(|(connection, greeted)| !greeted.load(Ordering::SeqCst) && !connection.is_finished());
        if strangers.len() >= STRANGERS_MAX
            && let Some((oldest, _)) = strangers.pop_front()
        {
            // A controller says at once who it is: whoever came later is more likely to be one.
            tracing::warn!("too many connections have not said who they are; the oldest is closed");
            oldest.abort();
        }
        let answering = Arc::clone(&answering);
        let known = Arc::<AtomicBool>::default();
        let greeted = Arc::clone(&known);
        let connection = connections.spawn(async move {
            let greeted = timeout(HELLO_WITHIN, greet(tcp, &answering)).await;
            known.store(true, Ordering::SeqCst);
            let ended = match greeted {
                Ok(Ok((stream, other))) => answering.answer_all(stream, &other).await,
                Ok(Err(ended)) => Err(ended),
                Err(_) => Err(Ended::Silent),
            };
            match ended {
                Ok(()) => tracing::debug!(%from, "a controller closed its connection"),
                Err(ended) => tracing::warn!(%from, %ended, "a connection of another controller ends"),
            }
        });
        strangers.push_back((connection, greeted));
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it did not say who it is within {} s", HELLO_WITHIN.as_secs())]
    Silent,
    #[error("it was refused: {0}")]
    Refused(#[from] Refusal),
    #[error("what it sent is no message: {0}")]
    Nonsense(#[from] CodecError),
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("it took no answer within {} s", ANSWER_WITHIN.as_secs())]
    Stuck,
}

/// Learns who connected.
async fn greet(tcp: TcpStream, answering: &Answering) -> Result<(BoxedStream, Introduction), Ended> {
    tcp.set_nodelay(true)?;
    let mut stream = BufStream::new(answering.security.accept(tcp).await?);
    let hello = frame::read(&mut stream, HELLO_BYTES_MAX).await?;
    let hello = hello.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let hello: Hello = codec::decode(Kind::Hello, &hello)?;
    let id = NodeId(hello.from.node_id);
    let mut judged = answering.roster.greeted(&hello).await;
    if judged.is_ok() && answering.roster.connections(id) >= CONNECTIONS_MAX {
        judged = Err(Refusal::TooMany(id));
    }
    let welcome = match &judged {
        Ok(()) => Welcome::Accepted(answering.roster.introduction()),
        Err(refusal) => Welcome::Refused(refusal.to_string()),
    };
    frame::write(&mut stream, &codec::encode(Kind::Welcome, &welcome)?).await?;
    judged?;
    Ok((stream, hello.from))
}

impl Answering {
    /// Answers until the other side closes.
    async fn answer_all(&self, mut stream: BoxedStream, other: &Introduction) -> Result<(), Ended> {
        let id = NodeId(other.node_id);
        let _connected = self.roster.connected(id, other.incarnation);
        loop {
            let request = match timeout(IDLE_FOR, frame::read(&mut stream, MESSAGE_BYTES_MAX)).await {
                Ok(Ok(Some(request))) => request,
                Ok(Ok(None)) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(error.into()),
            };
            let request: Request = codec::decode(Kind::PeerRequest, &request)?;
            if !self.roster.heard(id, other.incarnation) {
                return Err(Refusal::Twin(id).into());
            }
            if !self.roster.speaks_with(id) {
                return Err(Refusal::NoMember(id).into());
            }
            let answer = self.answer(id, other.incarnation, request).await?;
            let answer = codec::encode(Kind::PeerAnswer, &answer)?;
            match timeout(ANSWER_WITHIN, frame::write(&mut stream, &answer)).await {
                Ok(written) => written?,
                Err(_) => return Err(Ended::Stuck),
            }
        }
    }

    async fn answer(&self, id: NodeId, incarnation: u64, request: Request) -> Result<Answer, Ended> {
        Ok(match request {
            Request::Append { vote, prev, committed, entries } => {
                let request = append_request(vote, prev, committed, &entries)?;
                drop(entries);
                match self.raft.append_entries(request).await {
                    Ok(response) => Answer::Append(response.into()),
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Request::Vote { vote, last } => {
                let request = openraft::raft::VoteRequest::new(vote.into(), last.map(Into::into));
                match self.raft.vote(request).await {
                    Ok(response) => response.into(),
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Request::Snapshot { vote, meta, offset, data, done } => {
                match self.raft.install_snapshot(snapshot_request(vote, meta, offset, &data, done)).await {
                    Ok(response) => response.into(),
                    Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch))) => mismatch.into(),
                    Err(error) => Answer::Failed(error.to_string()),
                }
            }
            Request::Announce(announced) => {
                self.announcing.heard(id, &announced);
                self.roster.announced(id, incarnation, announced);
                Answer::Announce(self.announcing.now())
            }
        })
    }
}
