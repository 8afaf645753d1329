//! What is really there, seen past everybody: the nodes that a claim is decided on, and the committed log.

use std::collections::BTreeSet;

use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, ZkVersion};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;
use metadata_core::log::LogBatch;
use metadata_core::record::ZkMigrationState;
use store_zk::client::{SessionId, ZkOp};
use store_zk::znode::controller::{ControllerZnode, decode_epoch};
use store_zk::znode::marker::Marker;

use super::net::Moment;
use super::tamper::Kind;

/// `/migration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MarkerNode {
    Absent,
    Unreadable,
    There(Marker),
}

/// The nodes that decide who may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decisive {
    /// Text and version of `/controller_epoch`.
    pub(super) epoch: Option<(i32, ZkVersion)>,
    /// Who is in `/controller`, and with which KRaft epoch.
    pub(super) controller: Option<(NodeId, Option<KRaftLeaderEpoch>)>,
    pub(super) marker: MarkerNode,
}

impl From<&Moment> for Decisive {
    fn from([epoch, controller, marker]: &Moment) -> Self {
        Self {
            epoch: epoch.as_ref().and_then(|node| Some((decode_epoch(&node.data).ok()?.0, node.stat.version))),
            controller: controller.as_ref().and_then(|node| {
                let found = ControllerZnode::decode(&node.data).ok()?;
                Some((found.id, found.kraft_epoch.filter(|epoch| epoch.0 > 0)))
            }),
            marker: match marker {
                None => MarkerNode::Absent,
                Some(node) => Marker::decode(Some(&node.data)).map_or(MarkerNode::Unreadable, MarkerNode::There),
            },
        }
    }
}

impl Decisive {
    pub(super) fn marker(&self) -> Option<&Marker> {
        match &self.marker {
            MarkerNode::There(marker) => Some(marker),
            MarkerNode::Absent | MarkerNode::Unreadable => None,
        }
    }

    /// Once all is copied: whether somebody who is none of the voters governs, or has governed, ZooKeeper.
    pub(super) fn is_governed_elsewhere(&self, voters: &BTreeSet<NodeId>) -> bool {
        match &self.marker {
            MarkerNode::There(marker) => {
                let claimed = marker.chain.as_ref().map(|chain| chain.epoch_zk_version);
                claimed != self.epoch.map(|(_, version)| version)
            }
            MarkerNode::Unreadable => false,
            MarkerNode::Absent => !matches!(self.controller, Some((id, Some(_))) if voters.contains(&id)),
        }
    }
}

/// The committed log.
#[derive(Debug, Clone)]
pub(super) struct LogTruth {
    pub(super) extent: LogExtent,
    pub(super) image: MetadataImage,
}

impl LogTruth {
    pub(super) fn state(&self) -> ZkMigrationState {
        self.image.zk_migration_state()
    }

    /// Whether the log has this position.
    pub(super) fn has(&self, position: Position) -> bool {
        position.last().is_none_or(|last| self.extent.epoch_at(last) == Some(position.epoch))
    }
}

/// A multi that ZooKeeper carried out.
pub(super) struct MultiStep<'a> {
    /// Who sent it; `None` for an operator or a broker.
    pub(super) by: Option<(NodeId, SessionId)>,
    pub(super) kind: Kind,
    pub(super) ops: &'a [ZkOp],
    pub(super) before: &'a Decisive,
    pub(super) after: &'a Decisive,
    pub(super) log: &'a LogTruth,
    pub(super) voters: &'a BTreeSet<NodeId>,
    /// The image at a boundary of the log (exclusive end), if it is one.
    pub(super) image_at: &'a dyn Fn(Offset) -> Option<MetadataImage>,
}

impl MultiStep<'_> {
    /// The ops that are about metadata: those that touch anything but the three decisive nodes.
    pub(super) fn content(&self) -> usize {
        let change = |op: &&ZkOp| !matches!(op, ZkOp::Check { .. });
        self.ops.iter().filter(change).filter(|op| !super::net::CLAIMED_NODES.contains(&op.path())).count()
    }
}

/// A batch that the quorum committed.
pub(super) struct AppendStep<'a> {
    pub(super) batch: &'a LogBatch,
    pub(super) before: &'a LogTruth,
    pub(super) after: &'a LogTruth,
}
