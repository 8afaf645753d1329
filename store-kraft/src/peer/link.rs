//! A connection to another controller, and the calls on it.

use std::io;

use metadata_core::id::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, BufStream};

use super::frame::{self, HELLO_BYTES_MAX, MESSAGE_BYTES_MAX};
use super::message::{Answer, Hello, Introduction, Request, Welcome};
use super::refusal::Refusal;
use super::roster::Roster;
use crate::codec::{self, CodecError, Kind};

/// What a connection is made of, secured or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) type BoxedStream = BufStream<Box<dyn Stream>>;

/// Why another controller was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("can't connect to {address}: {source}")]
    Connect { address: String, source: io::Error },
    #[error("{address} refuses: {reason}")]
    Refused { address: String, reason: String },
    #[error("{address} is not spoken with: {refusal}")]
    NotSpokenWith { address: String, refusal: Refusal },
    #[error("the connection to {address} broke: {source}")]
    Broken { address: String, source: io::Error },
    #[error("{address} sent something that is no answer: {reason}")]
    Nonsense { address: String, reason: String },
    #[error("{address} could not do it: {reason}")]
    Failed { address: String, reason: String },
    #[error("it can't be asked: {0}")]
    Encode(#[from] CodecError),
    #[error("controller {0} has no address, or this controller has no peers")]
    NoAddress(NodeId),
}

impl PeerError {
    /// Whether nothing reached the other side, so that it is better to wait a while.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Refused { .. } | Self::NotSpokenWith { .. } | Self::NoAddress(_))
    }
}

/// A connection on which both sides know who they are. A call that is not waited for to its end leaves it in an unknown
/// state: then it is dropped.
pub(super) struct Link {
    stream: BoxedStream,
    address: String,
    pub(super) found: Introduction,
}

impl Link {
    /// Introduces this controller on a new connection.
    pub(super) async fn greet(
        mut stream: BoxedStream,
        address: &str,
        target: NodeId,
        roster: &Roster,
    ) -> Result<Self, PeerError> {
        let address = address.to_owned();
        let broken = |source| PeerError::Broken { address: address.clone(), source };
        let hello = codec::encode(Kind::Hello, &Hello { from: roster.introduction(), to: target.0 })?;
        frame::write(&mut stream, &hello).await.map_err(broken)?;
        let welcome = frame::read(&mut stream, HELLO_BYTES_MAX).await.map_err(broken)?;
        let welcome = welcome.ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))?;
        let nonsense = |error: CodecError| PeerError::Nonsense { address: address.clone(), reason: error.to_string() };
        let found = match codec::decode(Kind::Welcome, &welcome).map_err(nonsense)? {
            Welcome::Accepted(found) => found,
            Welcome::Refused(reason) => return Err(PeerError::Refused { address, reason }),
        };
        match roster.answered(target, &found).await {
            Ok(()) => Ok(Self { stream, address, found }),
            Err(refusal) => Err(PeerError::NotSpokenWith { address, refusal }),
        }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<Answer, PeerError> {
        let address = &self.address;
        let broken = |source| PeerError::Broken { address: address.clone(), source };
        frame::write(&mut self.stream, request).await.map_err(broken)?;
        let answer = frame::read(&mut self.stream, MESSAGE_BYTES_MAX).await.map_err(broken)?;
        let answer = answer.ok_or_else(|| broken(io::ErrorKind::UnexpectedEof.into()))?;
        let answer = codec::decode(Kind::PeerAnswer, &answer);
        answer.map_err(|error| PeerError::Nonsense { address: address.clone(), reason: error.to_string() })
    }
}

/// The bytes of a request.
pub(super) fn encode(request: &Request) -> Result<Vec<u8>, CodecError> {
    codec::encode(Kind::PeerRequest, request)
}
