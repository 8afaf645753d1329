//! Who has replicas, and all that is wrong with ZooKeeper's content if that can't be told.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use metadata_core::brokers::AssignedReplicas;
use metadata_core::error::{ErrorKind, Result};
use metadata_core::id::NodeId;
use migration::copy::rehearse;
use store_zk::ZkStore;

/// Counts replicas. The count stops at the first topic that can't be understood; then everything is read once, as the
/// copy would, so that the operator is told of all problems at once.
pub(super) struct Assigned(pub(super) Arc<ZkStore>);

#[async_trait]
impl AssignedReplicas for Assigned {
    async fn assigned_replicas(&self) -> Result<BTreeMap<NodeId, u64>> {
        match self.0.assigned_replicas().await {
            Err(first) if first.kind() == ErrorKind::Invalid => {
                rehearse(self.0.as_ref()).await?;
                // The copy would take what the count can't: its own reason stands.
                Err(first)
            }
            counted => counted,
        }
    }
}
