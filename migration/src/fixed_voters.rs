//! The controllers of a quorum that never changes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use metadata_core::controllers::{ControllerAnnouncement, Controllers};
use metadata_core::error::Result;
use metadata_core::id::NodeId;

/// Voters that are known from the start, as in a quorum of one, whose only voter is this process.
#[derive(Debug, Clone)]
pub struct FixedVoters {
    voters: Option<BTreeMap<NodeId, Option<ControllerAnnouncement>>>,
}

impl FixedVoters {
    /// These voters, which announce this.
    pub fn new(voters: impl IntoIterator<Item = (NodeId, ControllerAnnouncement)>) -> Self {
        Self { voters: Some(voters.into_iter().map(|(id, announcement)| (id, Some(announcement))).collect()) }
    }

    /// A quorum of one.
    pub fn sole(id: NodeId, announcement: ControllerAnnouncement) -> Self {
        Self::new([(id, announcement)])
    }
}

#[async_trait]
impl Controllers for FixedVoters {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, Option<ControllerAnnouncement>>> {
        match self.voters.take() {
            Some(voters) => Ok(voters),
            // They never change.
            None => std::future::pending().await,
        }
    }
}
