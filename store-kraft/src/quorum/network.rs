//! Where other members are reached. A quorum of one has none.

use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};

use super::types::{MemberAddress, RaftNodeId, RaftTypes};

/// The network of a quorum of one: openraft never calls it, and it reaches nobody if it did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoPeers;

type Failure<E> = RPCError<RaftNodeId, MemberAddress, RaftError<RaftNodeId, E>>;

fn nobody<E: std::error::Error>() -> Failure<E> {
    let error = std::io::Error::other("this quorum has one member and no network");
    RPCError::Network(NetworkError::new(&error))
}

impl RaftNetworkFactory<RaftTypes> for NoPeers {
    type Network = Self;

    async fn new_client(&mut self, _target: RaftNodeId, _node: &MemberAddress) -> Self {
        *self
    }
}

impl RaftNetwork<RaftTypes> for NoPeers {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<RaftTypes>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, RPCError<RaftNodeId, MemberAddress, RaftError<RaftNodeId>>> {
        Err(nobody())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<RaftTypes>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftNodeId>, Failure<InstallSnapshotError>> {
        Err(nobody())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<RaftNodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<RaftNodeId>, RPCError<RaftNodeId, MemberAddress, RaftError<RaftNodeId>>> {
        Err(nobody())
    }
}
