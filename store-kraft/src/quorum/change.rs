//! Adds and removes voters while the quorum runs (Kafka: KIP-853, `kafka-metadata-quorum.sh add-controller`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::sync::watch;
use tokio::time::timeout;

use super::members::Members;
use super::types::{MemberAddress, QuorumSeal, Raft, RaftNodeId, node_id, raft_id};
use crate::peer::dialer::Dialer;
use crate::peer::message::Request;

/// A controller that is added must be reached within this time.
const REACH_WITHIN: Duration = Duration::from_secs(5);
/// A new voter gets as much of the log as is needed to follow within this time. It goes on after that, but is no voter then.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(600);
/// A change of the members is decided within this time, or its outcome is unknown.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);

/// Changes who is in the quorum. Only the leader can.
pub(crate) struct Changing<'a> {
    pub(crate) raft: &'a Raft,
    pub(crate) own: NodeId,
    /// How others reach this controller.
    pub(crate) own_address: String,
    pub(crate) dialer: Option<&'a Arc<Dialer>>,
    pub(crate) members: watch::Receiver<Members>,
    /// Counts the changes that are under way.
    pub(crate) changes: &'a Arc<AtomicUsize>,
}

type WriteError = RaftError<RaftNodeId, ClientWriteError<RaftNodeId, MemberAddress>>;

fn invalid(message: String) -> Error {
    Error::not_applied(ErrorKind::Invalid, message)
}

impl Changing<'_> {
    /// Adds `id`, which listens at `address`, as a voter: first it follows, and once it has the log it votes.
    pub(crate) async fn add(&self, id: NodeId, address: &str, probe: Request) -> Result<()> {
        let dialer = self.dialer.ok_or_else(|| {
            invalid("this controller has no address: start it so that it listens for others first".to_owned())
        })?;
        if id == self.own {
            return Err(invalid(format!("{id} is this controller itself")));
        }
        if self.members.borrow().voters.contains(&id) {
            return Err(Error::not_applied(ErrorKind::Conflict, format!("controller {id} is a voter already")));
        }
        let member = self.meet(dialer, id, address, &probe).await?;
        let here = self.members.borrow().all.get(&self.own).cloned().filter(|own| own.address.is_empty());
        if let Some(here) = here {
            // A quorum of one never needed to know where it is.
            let here = MemberAddress { address: self.own_address.clone(), ..here };
            self.change(ChangeMembers::SetNodes(BTreeMap::from([(raft_id(self.own), here)]))).await?;
        }
        let added = BTreeMap::from([(raft_id(id), member)]);
        self.change(ChangeMembers::SetNodes(added)).await?;
        self.caught_up(id).await?;
        self.change(ChangeMembers::AddVoterIds([raft_id(id)].into())).await
    }

    /// Learns which directory it has, before anybody counts on it.
    async fn meet(&self, dialer: &Dialer, id: NodeId, address: &str, probe: &Request) -> Result<MemberAddress> {
        dialer.roster().invite(id);
        dialer.forget(id);
        let asked = timeout(REACH_WITHIN, dialer.meet(id, address, probe)).await;
        dialer.roster().uninvite(id);
        let unreachable = |reason: String| {
            let message = format!("controller {id} was not added: {reason}; start it there, waiting to be added");
            Error::not_applied(ErrorKind::Unavailable, message)
        };
        match asked {
            Ok(Ok(directory_id)) => {
                let (log_id, seal) = {
                    let members = self.members.borrow();
                    (members.log_id(), members.seal())
                };
                Ok(MemberAddress { address: address.to_owned(), directory_id, log_id, seal })
            }
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("{address} did not answer within {} s", REACH_WITHIN.as_secs()))),
        }
    }

    /// Waits until it has all but the newest of the log.
    async fn caught_up(&self, id: NodeId) -> Result<()> {
        let raft = raft_id(id);
        let mut metrics = self.raft.metrics();
        let wanted = metrics.borrow().last_log_index.unwrap_or(0);
        let caught_up = metrics.wait_for(|now| {
            let matched = now.replication.as_ref().map(|all| all.get(&raft).copied().flatten());
            // No leader any more, or the member is where the log was when it was added.
            matched.is_none_or(|matched| matched.is_some_and(|matched| matched.index >= wanted))
        });
        let waited = timeout(CATCH_UP_WITHIN, caught_up).await;
        if waited.is_ok_and(|metrics| metrics.is_ok_and(|metrics| metrics.replication.is_some())) {
            return Ok(());
        }
        let message = format!(
            "controller {id} follows, but is no voter yet: it has not got the log, or this controller leads no more; try again"
        );
        Err(Error::not_applied(ErrorKind::Unavailable, message))
    }

    /// Removes `id`, a voter or not.
    pub(crate) async fn remove(&self, id: NodeId) -> Result<()> {
        let (voter, member, voters) = {
            let members = self.members.borrow();
            (members.voters.contains(&id), members.all.contains_key(&id), members.voters.len())
        };
        if !member {
            return Err(Error::not_applied(
                ErrorKind::Conflict,
                format!("controller {id} is no member of this quorum"),
            ));
        }
        if voter && voters == 1 {
            return Err(invalid(format!("controller {id} is the only voter: nobody would be left to decide anything")));
        }
        if voter {
            return self.change(ChangeMembers::RemoveVoters([raft_id(id)].into())).await;
        }
        self.change(ChangeMembers::RemoveNodes([raft_id(id)].into())).await
    }

    /// Seals the log for every member, or opens it again.
    pub(crate) async fn seal(&self, seal: Option<QuorumSeal>) -> Result<()> {
        let members = self.members.borrow().all.clone();
        if members.values().all(|member| member.seal == seal) {
            return Ok(());
        }
        let sealed = members.into_iter().map(|(id, member)| (raft_id(id), MemberAddress { seal, ..member }));
        self.change(ChangeMembers::SetNodes(sealed.collect())).await
    }

    async fn change(&self, change: ChangeMembers<RaftNodeId, MemberAddress>) -> Result<()> {
        // Of its two steps the second must follow the first, whether or not anybody still waits for it.
        let (raft, under_way) = (self.raft.clone(), UnderWay::of(self.changes));
        let changing = tokio::spawn(async move {
            let _under_way = under_way;
            raft.change_membership(change, false).await
        });
        match timeout(DECIDED_WITHIN, changing).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(not_changed(error)),
            Ok(Err(stopped)) => Err(Error::unknown(ErrorKind::Unavailable, stopped.to_string())),
            Err(_) => {
                let message = format!(
                    "the change of the members was not decided within {} s: is a majority of the voters there? Look at the \
                     members before you try again",
                    DECIDED_WITHIN.as_secs()
                );
                Err(Error::unknown(ErrorKind::Unavailable, message))
            }
        }
    }
}

/// Counts a change as long as it lives.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn of(changes: &Arc<AtomicUsize>) -> Self {
        changes.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(changes))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn not_changed(error: WriteError) -> Error {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => not_leader(forward.leader_id.map(node_id)),
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error @ ChangeMembershipError::InProgress(_))) => {
            let message = format!("another change of the members is under way: {error}; try again");
            Error::not_applied(ErrorKind::Conflict, message)
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => invalid(error.to_string()),
        RaftError::Fatal(fatal) => Error::unknown(ErrorKind::Unavailable, fatal.to_string()),
    }
}

/// Only the leader changes anything.
pub(crate) fn not_leader(leader: Option<NodeId>) -> Error {
    let message = match leader {
        Some(leader) => format!("this controller does not lead: ask controller {leader}"),
        None => "this controller does not lead, and does not know who does: try again".to_owned(),
    };
    Error::not_applied(ErrorKind::ControllerFenced, message)
}
