//! The controllers of a quorum of one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use metadata_core::controllers::{ControllerAnnouncement, Controllers};
use metadata_core::error::Result;
use metadata_core::id::NodeId;

/// A quorum whose only voter is this process: nobody else announces anything.
#[derive(Debug, Clone)]
pub struct SoleVoter {
    id: NodeId,
    announcement: Option<ControllerAnnouncement>,
}

impl SoleVoter {
    /// The voter with this id, which announces this.
    pub fn new(id: NodeId, announcement: ControllerAnnouncement) -> Self {
        Self { id, announcement: Some(announcement) }
    }
}

#[async_trait]
impl Controllers for SoleVoter {
    async fn next(&mut self) -> Result<BTreeMap<NodeId, Option<ControllerAnnouncement>>> {
        match self.announcement.take() {
            Some(announcement) => Ok(BTreeMap::from([(self.id, Some(announcement))])),
            // It never changes.
            None => std::future::pending().await,
        }
    }
}
