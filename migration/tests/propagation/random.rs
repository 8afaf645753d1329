//! Thousands of random changes: whatever happens, every broker ends up with what the image says.

use metadata_core::contract::Workload;
use metadata_core::id::{
    BrokerEpoch, IncarnationId, KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs, TopicId, ZkControllerEpoch,
};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::record::{
    BrokerEndpoint, FenceBrokerRecord, MetadataRecord, PartitionChangeRecord, RegisterBrokerRecord, RemoveTopicRecord,
    TopicRecord, UnfenceBrokerRecord, UnregisterBrokerRecord, VersionedRecord,
};
use metadata_core::uuid::Uuid;
use migration::propagate::{ActingController, Propagator};
use proptest::prelude::*;

use crate::cluster::Cluster;

pub(crate) fn controller(zk_epoch: i32) -> ActingController {
    ActingController {
        id: NodeId(3000),
        zk_epoch: ZkControllerEpoch(zk_epoch),
        kraft_epoch: KRaftLeaderEpoch(zk_epoch + 100),
    }
}

pub(crate) fn registration(id: i32, epoch: i64, zk: bool, fenced: bool) -> MetadataRecord {
    RegisterBrokerRecord {
        broker_id: NodeId(id),
        broker_epoch: BrokerEpoch(epoch),
        incarnation_id: IncarnationId(Uuid::from_u64_pair(1, epoch.unsigned_abs())),
        is_migrating_zk_broker: zk,
        fenced,
        end_points: vec![BrokerEndpoint {
            name: "PLAINTEXT".to_owned(),
            host: format!("host{id}"),
            port: 9092,
            ..Default::default()
        }],
        ..Default::default()
    }
    .into()
}

/// Changes of every kind, among them what the workload lacks: topics made anew under their name within one batch, brokers
/// that are fenced, restart, change their mode and leave.
struct Changes {
    workload: Workload,
    random: u64,
    made: u64,
}

impl Changes {
    fn new(seed: u64) -> Self {
        Self { workload: Workload::new(seed), random: seed | 1, made: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn next(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        self.made += 1;
        match self.below(10) {
            0 | 1 => self.of_a_broker(image),
            2 => self.anew(image),
            3 => self.completed(image),
            _ => self.workload.next_change(image).into_iter().map(|VersionedRecord { record, .. }| record).collect(),
        }
    }

    fn of_a_broker(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let id = i32::try_from(self.below(6)).unwrap_or(0) + 1;
        let epoch = i64::try_from(self.made).unwrap_or(0);
        let Some(present) = image.cluster().broker(NodeId(id)) else {
            return vec![registration(id, epoch, self.below(4) != 0, self.below(3) == 0)];
        };
        match self.below(6) {
            0 => vec![registration(id, epoch, self.below(4) != 0, true)],
            1 => vec![registration(id, epoch, !present.is_migrating_zk_broker, false)],
            2 => vec![
                UnregisterBrokerRecord { broker_id: NodeId(id), broker_epoch: present.epoch, ..Default::default() }
                    .into(),
            ],
            _ if present.fenced => {
                vec![UnfenceBrokerRecord { id: NodeId(id), epoch: present.epoch, ..Default::default() }.into()]
            }
            _ => vec![FenceBrokerRecord { id: NodeId(id), epoch: present.epoch, ..Default::default() }.into()],
        }
    }

    /// Reassignments come to their end: what was to leave leaves, and what is not in sync follows.
    fn completed(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let moving =
            image.topics().all_partitions().filter(|(_, registration)| !registration.removing_replicas.is_empty());
        let completed = moving.take(3).map(|(key, registration)| {
            let stays = |id: &&NodeId| !registration.removing_replicas.contains(id);
            let replicas: Vec<NodeId> = registration.replicas.iter().filter(stays).copied().collect();
            PartitionChangeRecord {
                topic_id: key.topic_id,
                partition_id: key.partition,
                leader: replicas.first().copied().unwrap_or(NodeId::NONE),
                isr: Some(replicas.clone()),
                replicas: Some(replicas),
                adding_replicas: Some(Vec::new()),
                removing_replicas: Some(Vec::new()),
                ..Default::default()
            }
            .into()
        });
        completed.collect()
    }

    /// A topic is deleted and made anew, with the partitions of another one.
    fn anew(&mut self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let topics: Vec<_> = image.topics().iter().collect();
        let count = u64::try_from(topics.len()).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        let mut pick = || usize::try_from(self.below(count)).map_or(0, |at| at);
        let ((topic_id, name), (other, _)) = (topics[pick()], topics[pick()]);
        let anew = TopicId(Uuid::from_u64_pair(self.made, u64::MAX));
        let mut records = vec![
            RemoveTopicRecord { topic_id, ..Default::default() }.into(),
            TopicRecord { name: name.to_string(), topic_id: anew, ..Default::default() }.into(),
        ];
        for (partition, registration) in image.topics().partitions(other) {
            let mut record = registration.to_record(anew, partition, 0);
            record.leader_epoch = Default::default();
            records.push(record.into());
        }
        records
    }
}

pub(crate) fn apply(image: &MetadataImage, records: &[MetadataRecord]) -> MetadataImage {
    let mut delta = MetadataDelta::new(image);
    for record in records {
        delta.replay(record).expect("the change fits its image");
    }
    let count = i64::try_from(records.len()).expect("few");
    let end_offset = image.position().end_offset.plus(count);
    delta.apply(Position { epoch: KRaftLeaderEpoch(1), end_offset }, TimestampMs(0))
}

fn six_brokers() -> MetadataImage {
    let records: Vec<_> = (1..=6).map(|id| registration(id, 0, id != 6, false)).collect();
    apply(&MetadataImage::empty().at(Position::after(Offset(0), KRaftLeaderEpoch(1)), TimestampMs(0)), &records)
}

/// What a new controller tells new brokers over the disks that the others have.
async fn told_at_once(image: &MetadataImage, as_told: &Cluster) {
    let fresh = Cluster::with_room(2);
    fresh.becomes(image);
    let mut propagator = Propagator::new(controller(1), "PLAINTEXT");
    let done = propagator.propagate(&fresh, image).await.expect("nothing fails");
    assert_eq!((done.told_everything, done.requests), (done.receivers, 2 * done.receivers));
    fresh.deliver_all();
    fresh.assert_equals(image);
    for id in fresh.queued().keys() {
        let (one, other) = (fresh.copy_of(*id), as_told.copy_of(*id));
        assert_eq!((one.cache, one.logs), (other.cache, other.logs), "broker {id}");
    }
}

#[tokio::test]
async fn telling_changes_leads_where_telling_everything_leads() {
    for seed in 1..=4 {
        let cluster = Cluster::with_room(usize::MAX);
        let mut propagator = Propagator::new(controller(1), "PLAINTEXT");
        let mut changes = Changes::new(seed);
        let mut image = six_brokers();
        for step in 0..1500 {
            let records = changes.next(&image);
            let after = apply(&image, &records);
            cluster.becomes(&after);
            let nothing_new = after.topics() == image.topics() && after.cluster() == image.cluster() && step > 0;
            let done = propagator.propagate(&cluster, &after).await.expect("nothing fails");
            assert!(!nothing_new || done.requests == 0, "{done:?} for {records:?}");
            cluster.deliver_all();
            cluster.assert_equals(&after);
            image = after;
            if step % 100 == 99 {
                told_at_once(&image, &cluster).await;
            }
        }
        assert!(image.topics().len() > 50, "seed {seed}: there is something to tell");
    }
}

#[derive(Debug, Clone)]
enum Happening {
    /// So many changes, told at once.
    Changes(usize),
    /// Some requests arrive at a broker.
    Arrive(i32, usize),
    /// The channel fails, or works again.
    Stopped(bool),
    /// Another claim of ZooKeeper.
    Claimed,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..4usize).prop_map(Happening::Changes),
        6 => (1..7i32, 1..6usize).prop_map(|(id, count)| Happening::Arrive(id, count)),
        1 => any::<bool>().prop_map(Happening::Stopped),
        1 => Just(Happening::Claimed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn slow_brokers_full_queues_and_a_failing_channel_leave_nobody_behind(
        seed in 1..u64::MAX,
        room in 2..12usize,
        happenings in proptest::collection::vec(happening(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let cluster = Cluster::with_room(room);
            let mut propagator = Propagator::new(controller(1), "PLAINTEXT");
            let mut changes = Changes::new(seed);
            let mut image = six_brokers();
            let mut claims = 1;
            cluster.becomes(&image);
            for happening in happenings {
                match happening {
                    Happening::Changes(count) => {
                        for _ in 0..count {
                            image = apply(&image, &changes.next(&image));
                        }
                        cluster.becomes(&image);
                        // It may fail; then the next call makes up for it.
                        drop(propagator.propagate(&cluster, &image).await);
                    }
                    Happening::Arrive(id, count) => cluster.deliver(NodeId(id), count),
                    Happening::Stopped(stopped) => {
                        cluster.stop(stopped);
                        drop(propagator.propagate(&cluster, &image).await);
                    }
                    Happening::Claimed => {
                        claims += 1;
                        propagator.claimed(controller(claims));
                    }
                }
            }
            cluster.stop(false);
            // A queue may be full once more; then it is empty, and takes everything.
            for _ in 0..2 {
                propagator.propagate(&cluster, &image).await.expect("the channel works again");
                cluster.deliver_all();
            }
            cluster.assert_equals(&image);
            told_at_once(&image, &cluster).await;
        });
    }
}
