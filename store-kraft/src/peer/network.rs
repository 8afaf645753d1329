//! How openraft reaches other members.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, SnapshotMismatch, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use tokio::time::Instant;

use super::dialer::Dialer;
use super::link::PeerError;
use super::message::{Answer, Request};
use crate::codec::CodecError;
use crate::quorum::types::{LogId, MemberAddress, RaftNodeId, RaftTypes, Vote, node_id};

/// An exchange that takes longer is given up. openraft waits only for one heartbeat; in between, large entries go on their
/// way.
const EXCHANGE_MAX: Duration = Duration::from_secs(3);

/// After a member could not be reached, it is tried again so much later.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(200);

/// Makes the connections for openraft. A quorum of one without peers reaches nobody.
#[derive(Clone)]
pub(crate) struct Network(pub(crate) Option<Arc<Dialer>>);

impl RaftNetworkFactory<RaftTypes> for Network {
    type Network = Member;

    async fn new_client(&mut self, target: RaftNodeId, member: &MemberAddress) -> Member {
        Member { dialer: self.0.clone(), target, address: member.clone(), pending: None }
    }
}

/// One member, as seen by one of openraft's tasks.
pub(crate) struct Member {
    dialer: Option<Arc<Dialer>>,
    target: RaftNodeId,
    address: MemberAddress,
    pending: Option<Pending>,
}

/// Never locked: openraft wants what it holds to be `Sync`, which a future on a connection is not by itself.
type Exchange = Mutex<Pin<Box<dyn Future<Output = Result<Answer, PeerError>> + Send>>>;

/// An append that is under way.
///
/// openraft gives each append the time of a heartbeat, and drops it then. Were the exchange dropped with it, an entry that
/// takes longer to travel or to be synced would never arrive. So it stays here, and the next append that begins at the same
/// place takes its answer.
struct Pending {
    since: Instant,
    vote: Vote,
    prev: Option<LogId>,
    /// The last entry that was sent, or `prev`.
    last: Option<LogId>,
    exchange: Exchange,
}

impl Pending {
    /// Whether the answer says something of `request`.
    fn serves(&self, request: &AppendEntriesRequest<RaftTypes>) -> bool {
        self.vote == request.vote && self.prev == request.prev_log_id && self.since.elapsed() < EXCHANGE_MAX
    }

    /// The answer to `request`, of which this may have sent less.
    fn answer(
        &self,
        answer: AppendEntriesResponse<RaftNodeId>,
        request: &AppendEntriesRequest<RaftTypes>,
    ) -> AppendEntriesResponse<RaftNodeId> {
        let wanted = last_of(request);
        match answer {
            AppendEntriesResponse::Success if self.last < wanted => AppendEntriesResponse::PartialSuccess(self.last),
            AppendEntriesResponse::PartialSuccess(matching) if matching >= wanted => AppendEntriesResponse::Success,
            other => other,
        }
    }
}

fn last_of(request: &AppendEntriesRequest<RaftTypes>) -> Option<LogId> {
    request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id)
}

type Failure<E> = RPCError<RaftNodeId, MemberAddress, RaftError<RaftNodeId, E>>;

fn failure<E: std::error::Error>(error: &PeerError) -> Failure<E> {
    if error.is_unreachable() { Unreachable::new(error).into() } else { NetworkError::new(error).into() }
}

/// The other side answered something else than was asked.
fn mismatch<E: std::error::Error>(answer: Answer, address: &MemberAddress) -> Failure<E> {
    let address = address.to_string();
    failure(&match answer {
        Answer::Failed(reason) => PeerError::Failed { address, reason },
        _ => PeerError::Nonsense { address, reason: "an answer of another kind".to_owned() },
    })
}

impl Member {
    fn exchange(&self, request: Result<Request, CodecError>) -> Exchange {
        let (dialer, target, address) = (self.dialer.clone(), node_id(self.target), self.address.clone());
        Mutex::new(Box::pin(async move {
            let dialer = dialer.ok_or(PeerError::NoAddress(target))?;
            Ok(dialer.call(target, &address, &request?).await?.0)
        }))
    }

    async fn call<E: std::error::Error>(&self, request: Request) -> Result<Answer, Failure<E>> {
        let dialer = self.dialer.as_ref().ok_or_else(|| failure(&PeerError::NoAddress(node_id(self.target))))?;
        let called = dialer.call(node_id(self.target), &self.address, &request).await;
        called.map(|(answer, _)| answer).map_err(|error| failure(&error))
    }
}

impl RaftNetwork<RaftTypes> for Member {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<RaftTypes>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, RPCError<RaftNodeId, MemberAddress, RaftError<RaftNodeId>>> {
        let begun = self.pending.take().filter(|pending| pending.serves(&request));
        let begun = begun.unwrap_or_else(|| Pending {
            since: Instant::now(),
            vote: request.vote,
            prev: request.prev_log_id,
            last: last_of(&request),
            exchange: self.exchange(Request::append(&request)),
        });
        // If this future is dropped while it waits, the exchange stays where the next call finds it.
        let pending = self.pending.insert(begun);
        let exchange = pending.exchange.get_mut().unwrap_or_else(PoisonError::into_inner);
        let answer = exchange.as_mut().await;
        let answer = answer.map(|answer| match answer {
            Answer::Append(answer) => Ok(pending.answer(answer.into(), &request)),
            other => Err(other),
        });
        self.pending = None;
        match answer.map_err(|error| failure(&error))? {
            Ok(answer) => Ok(answer),
            Err(other) => Err(mismatch(other, &self.address)),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<RaftTypes>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftNodeId>, Failure<InstallSnapshotError>> {
        match self.call(Request::snapshot(request)).await? {
            Answer::Snapshot { vote } => Ok(InstallSnapshotResponse { vote: vote.into() }),
            Answer::SnapshotMismatch { expected, got } => {
                let mismatch = SnapshotMismatch { expect: expected.into(), got: got.into() };
                let refused = RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RemoteError::new(self.target, refused).into())
            }
            other => Err(mismatch(other, &self.address)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<RaftNodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<RaftNodeId>, RPCError<RaftNodeId, MemberAddress, RaftError<RaftNodeId>>> {
        match self.call(Request::vote(&request)).await? {
            Answer::Vote { vote, granted, last } => {
                Ok(VoteResponse { vote: vote.into(), vote_granted: granted, last_log_id: last.map(Into::into) })
            }
            other => Err(mismatch(other, &self.address)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}
