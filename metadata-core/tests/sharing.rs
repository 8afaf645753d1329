//! What makes an image of a million partitions bearable: two images share what is equal, and their difference is found
//! without looking at the rest. Counted, not timed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use metadata_core::id::{NodeId, PartitionId, TopicId};
use metadata_core::image::{MetadataDelta, MetadataImage, PartitionRegistration, TopicPartition};
use metadata_core::record::{PartitionChangeRecord, PartitionRecord, TopicRecord};
use metadata_core::uuid::Uuid;

const TOPIC: TopicId = TopicId(Uuid::from_u64_pair(1, 1));
const PARTITIONS: i32 = 20_000;
/// Entries of a few nodes of the map: what a change may touch. It does not grow with the image.
const FEW: usize = 200;

fn large() -> MetadataImage {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    delta.replay(&TopicRecord { name: "large".into(), topic_id: TOPIC, ..Default::default() }.into()).unwrap();
    for number in 0..PARTITIONS {
        let partition = PartitionRecord {
            topic_id: TOPIC,
            partition_id: PartitionId(number),
            replicas: vec![NodeId(1), NodeId(2), NodeId(3)],
            isr: vec![NodeId(1), NodeId(2), NodeId(3)],
            leader: NodeId(1),
            ..Default::default()
        };
        delta.replay(&partition.into()).unwrap();
    }
    delta.image().clone()
}

fn with_one_change(image: &MetadataImage) -> MetadataImage {
    let change = PartitionChangeRecord {
        topic_id: TOPIC,
        partition_id: PartitionId(PARTITIONS / 2),
        leader: NodeId(2),
        ..Default::default()
    };
    let mut delta = MetadataDelta::new(image);
    delta.replay(&change.into()).unwrap();
    delta.image().clone()
}

#[test]
fn two_images_share_all_but_what_changed() {
    let before = large();
    let after = with_one_change(&before);
    // A node of the map that both share holds its values once; one that was copied for the change holds them again.
    let copied = before.topics().all_partitions().filter(|(_, partition)| Arc::strong_count(partition) > 1).count();
    assert!((1..FEW).contains(&copied), "{copied} of {PARTITIONS} entries were copied");
    let same = before
        .topics()
        .all_partitions()
        .zip(after.topics().all_partitions())
        .filter(|((_, before), (_, after))| Arc::ptr_eq(before, after))
        .count();
    assert_eq!(i32::try_from(same), Ok(PARTITIONS - 1), "all other partitions are the same in memory");
}

#[test]
fn the_difference_of_two_images_is_what_changed() {
    let before = large();
    let after = with_one_change(&before);
    let key = TopicPartition { topic_id: TOPIC, partition: PartitionId(PARTITIONS / 2) };
    let changed: Vec<_> = before.topics().partition_map().diff(after.topics().partition_map()).collect();
    assert!(matches!(changed.as_slice(), [DiffItem::Update { new: (found, _), .. }] if **found == key), "{changed:?}");
}

/// A value that counts how often it is compared.
#[derive(Clone)]
struct Counted {
    value: i32,
    visits: Arc<AtomicUsize>,
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.visits.fetch_add(1, Ordering::Relaxed);
        self.value == other.value
    }
}

/// The maps of the image don't tell what they look at, so one of the same kind is asked.
#[test]
fn a_difference_looks_at_little_more_than_what_changed() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = |value| Counted { value, visits: Arc::clone(&visits) };
    let before: OrdMap<i32, Counted> = (0..PARTITIONS).map(|key| (key, counted(0))).collect();
    let after = before.update(PARTITIONS / 2, counted(1));
    assert_eq!(before.diff(&after).count(), 1);
    let of_diff = visits.swap(0, Ordering::Relaxed);
    assert!((1..FEW).contains(&of_diff), "a difference of one entry looked at {of_diff}");
    assert!(before != after);
    let of_comparison = visits.swap(0, Ordering::Relaxed);
    assert!((1..FEW).contains(&of_comparison), "a comparison looked at {of_comparison}");
    assert!(before == before.clone());
    assert_eq!(visits.load(Ordering::Relaxed), 0, "a map is equal to its clone at sight");
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_partition_takes_the_memory_that_its_documentation_says() {
    assert_eq!(size_of::<PartitionRegistration>(), 136);
}
