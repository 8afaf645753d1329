//! A small cluster's life as batches, and controllers that write it, die and are succeeded.

use std::collections::BTreeSet;
use std::sync::Arc;

use fencing::QuorumIdentity;
use metadata_core::contract::Workload;
use metadata_core::error::Result;
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::leadership::{AfterClaim, Expected, KraftLeadership, LogExtent};
use metadata_core::projection::Projection;
use metadata_core::store::{Claimed, MetadataBatch, MetadataStore, StoreWriter, Txn};
use store_zk::client::{ZkAcl, ZkConnector, ZkOp};
use store_zk::{ZkStore, ZkStoreOptions};

/// All of the story happens in one epoch of the log; the controllers that tell it again have newer ones.
const EPOCH: KRaftLeaderEpoch = KRaftLeaderEpoch(1);

pub(crate) fn quorum() -> QuorumIdentity {
    QuorumIdentity { cluster_id: "MkU3OEVBNTcwNTJENDM2Qg".into(), log_id: "J8aAPcfLQt2bqs1JT_rMgQ".into() }
}

/// Options of a store that may delete every topic in a sync: images of different seeds have nothing in common.
pub(crate) fn options() -> ZkStoreOptions {
    let voters: BTreeSet<NodeId> = (3000..3100).map(NodeId).collect();
    ZkStoreOptions { deletions_share_max: 1.0, ..ZkStoreOptions::new(quorum(), voters) }
}

/// Makes what a ZooKeeper-mode controller leaves behind when it stops: its epoch, and no registration.
pub(crate) async fn make_cluster(connector: &dyn ZkConnector) {
    let session = connector.connect().await.expect("a session for the cluster's first znodes");
    let create = |path: &str, data: &'static str| ZkOp::create(path, data, ZkAcl::world_all());
    let ops = vec![
        create("/controller_epoch", "1"),
        create("/cluster", ""),
        create("/cluster/id", r#"{"version":"1","id":"MkU3OEVBNTcwNTJENDM2Qg"}"#),
        create("/brokers", ""),
        create("/brokers/ids", ""),
        create("/brokers/topics", ""),
    ];
    session.multi(ops).await.expect("the cluster's first znodes");
}

pub(crate) fn leader(epoch: i32) -> KraftLeadership {
    KraftLeadership { id: NodeId(3000 + epoch % 3), epoch: KRaftLeaderEpoch(epoch) }
}

/// An image to begin with, and batches behind it.
pub(crate) struct Story {
    pub(crate) base: MetadataImage,
    pub(crate) batches: Vec<MetadataBatch>,
}

impl Story {
    /// `changes` changes, up to four of them in each batch.
    pub(crate) fn new(seed: u64, changes: usize) -> Self {
        let mut workload = Workload::new(seed);
        let mut delta = MetadataDelta::new(&MetadataImage::empty());
        for change in workload.changes(delta.image(), 30) {
            delta.replay_all(&change).expect("the workload fits its image");
        }
        let base = delta.apply(Position { epoch: EPOCH, end_offset: Offset(100) }, TimestampMs(0));
        let mut image = base.clone();
        let all = workload.changes(&base, changes);
        let batches = all
            .chunks(4)
            .map(|changes| {
                let records: Vec<_> = changes.iter().flatten().cloned().collect();
                let mut delta = MetadataDelta::new(&image);
                delta.replay_all(&records).expect("the workload fits its image");
                let end_offset = image.position().end_offset.plus(records.len() as i64);
                let after = delta.apply(Position { epoch: EPOCH, end_offset }, TimestampMs(0));
                let before = std::mem::replace(&mut image, after.clone());
                MetadataBatch { txn: Txn::None, records: records.into(), before, after }
            })
            .collect();
        Self { base, batches }
    }

    pub(crate) fn last(&self) -> &MetadataImage {
        self.batches.last().map_or(&self.base, |batch| &batch.after)
    }

    /// The whole story is committed in our log.
    pub(crate) fn log(&self) -> Expected {
        let end_offset = self.last().position().end_offset;
        Expected::Log(LogExtent { epochs: vec![(EPOCH, Offset(0))], end_offset, ..LogExtent::default() })
    }

    /// A first controller: claims, and brings ZooKeeper in step with the beginning of the story.
    pub(crate) async fn begin(&self, store: &ZkStore, epoch: i32) -> Box<dyn StoreWriter> {
        let claimed = store.claim(&leader(epoch), &Expected::Nothing).await.expect("the first claim");
        assert_eq!(claimed.next, AfterClaim::Copy);
        let mut writer = store.writer(claimed).await.expect("the first writer");
        writer.full_sync(&self.base).await.expect("the first sync");
        writer
    }

    /// Writes every batch from a position of the story on.
    pub(crate) async fn tell_from(&self, writer: &mut dyn StoreWriter, position: Position) -> Result<Position> {
        let rest = self.batches.iter().skip_while(|batch| batch.expected() != position);
        let mut receipts = Vec::new();
        for batch in rest {
            writer.ready().await?;
            receipts.push(writer.submit(batch.clone()));
        }
        let position = writer.barrier().await?;
        for receipt in receipts {
            receipt.await?;
        }
        Ok(position)
    }

    pub(crate) async fn tell(&self, writer: &mut dyn StoreWriter) -> Result<Position> {
        self.tell_from(writer, self.base.position()).await
    }

    /// A successor of a controller that died: it must be able to go on where ZooKeeper is, and does.
    pub(crate) async fn succeed(&self, store: &ZkStore, epoch: i32) -> Claimed {
        let claimed = store.claim(&leader(epoch), &self.log()).await.expect("the successor's claim");
        assert_eq!(claimed.next, AfterClaim::Resume, "a successor resumes, it does not compare everything");
        let mut writer = store.writer(claimed).await.expect("the successor's writer");
        let end = self.tell_from(&mut *writer, claimed.position).await.expect("the rest of the story");
        assert_eq!(end, self.last().position());
        claimed
    }

    /// ZooKeeper holds the end of the story: every znode, and the version of every partition's state.
    pub(crate) async fn is_told(&self, store: &ZkStore) {
        let comparison = store.compare(self.last(), 10).await.expect("a comparison");
        assert_eq!(comparison.differences, [], "ZooKeeper differs from the image");
        assert_eq!(comparison.total().divergent, 0);
        assert!(comparison.total().compared > 30, "a comparison of nothing proves nothing");
        assert_eq!(comparison.unknown, [] as [String; 0]);
    }
}

pub(crate) fn store(connector: impl ZkConnector + 'static) -> ZkStore {
    ZkStore::new(Arc::new(connector), options())
}
