//! Connects to other controllers, and keeps connections that are idle for the next call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::uuid::Uuid;
use tokio::io::BufStream;
use tokio::net::TcpStream;

use super::link::{BoxedStream, Link, PeerError, encode};
use super::message::{Answer, Request};
use super::roster::Roster;
use super::security::Security;
use crate::quorum::types::MemberAddress;

/// Connections to one controller that are kept while nothing is asked on them.
const IDLE_MAX: usize = 4;

/// See the module.
pub(crate) struct Dialer {
    roster: Arc<Roster>,
    security: Security,
    /// Addresses by configuration: they win over those that the quorum knows.
    configured: BTreeMap<NodeId, String>,
    idle: Mutex<BTreeMap<NodeId, Vec<Link>>>,
}

impl Dialer {
    pub(crate) fn new(roster: Arc<Roster>, security: Security, configured: BTreeMap<NodeId, String>) -> Self {
        Self { roster, security, configured, idle: Mutex::default() }
    }

    /// Asks `target`. All that controllers ask of each other may be asked twice: a connection that broke while it was idle
    /// is replaced by a new one, and the request sent again.
    ///
    /// Returns the answer, and the incarnation of the process that gave it.
    ///
    /// # Errors
    /// It was not reached, refuses, or gave no answer.
    pub(crate) async fn call(
        &self,
        target: NodeId,
        member: &MemberAddress,
        request: &Request,
    ) -> Result<(Answer, u64), PeerError> {
        let request = encode(request)?;
        if let Some(mut link) = self.take_idle(target) {
            match link.call(&request).await {
                Ok(answer) => return Ok(self.answered(target, link, answer)),
                Err(PeerError::Broken { .. }) => self.forget(target),
                Err(other) => return Err(other),
            }
        }
        let mut link = self.dial(target, member).await?;
        let answer = link.call(&request).await?;
        Ok(self.answered(target, link, answer))
    }

    /// Asks a controller that is no member yet, at `address`. Returns the id of its directory.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(crate) async fn meet(
        &self,
        target: NodeId,
        address: &str,
        request: &Request,
    ) -> Result<Option<DirectoryId>, PeerError> {
        let request = encode(request)?;
        let mut link = self.dial(target, &MemberAddress::at(address)).await?;
        link.call(&request).await?;
        Ok(link.found.directory_id.map(|bytes| DirectoryId(Uuid::from_bytes(bytes))))
    }

    fn answered(&self, target: NodeId, link: Link, answer: Answer) -> (Answer, u64) {
        let incarnation = link.found.incarnation;
        self.roster.heard(target, incarnation);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(target).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(link);
        }
        (answer, incarnation)
    }

    fn take_idle(&self, target: NodeId) -> Option<Link> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&target)?.pop()
    }

    /// Drops the idle connections to `target`.
    pub(crate) fn forget(&self, target: NodeId) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).remove(&target);
    }

    async fn dial(&self, target: NodeId, member: &MemberAddress) -> Result<Link, PeerError> {
        let address = self.configured.get(&target).unwrap_or(&member.address);
        if address.is_empty() {
            return Err(PeerError::NoAddress(target));
        }
        let connect = |source| PeerError::Connect { address: address.clone(), source };
        let tcp = TcpStream::connect(address.as_str()).await.map_err(connect)?;
        // Requests are small and waited for.
        tcp.set_nodelay(true).map_err(connect)?;
        let stream = self.security.connect(tcp, address).await.map_err(connect)?;
        let stream: BoxedStream = BufStream::new(stream);
        Link::greet(stream, address, target, &self.roster).await
    }

    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }
}
