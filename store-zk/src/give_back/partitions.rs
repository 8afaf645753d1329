//! The look at all partition states: the highest controller epoch, and the znode versions beside the partition epochs of our
//! image.

use metadata_core::error::Result;
use metadata_core::give_back::PartitionsSeen;
use metadata_core::id::PartitionId;
use metadata_core::image::MetadataImage;

use crate::error::malformed;
use crate::read::{BulkReader, READS_PER_REQUEST};
use crate::znode::partition::PartitionState;
use crate::znode::{Znode, path};

/// Topics whose partitions are listed together.
const TOPICS_PER_CHUNK: usize = 100;

/// So many partitions are named; all are counted.
const NAMED_MAX: usize = 20;

/// Reads every state that is in ZooKeeper, those of topics that are being deleted included: the next controller reads them
/// too. A partition without a state has no epoch yet.
pub(super) async fn look_at_partitions(reader: &BulkReader, image: &MetadataImage) -> Result<PartitionsSeen> {
    let mut seen = PartitionsSeen::default();
    let topics = reader.children(path::TOPICS).await?;
    for topics in topics.chunks(TOPICS_PER_CHUNK) {
        let listed = reader.children_of(topics.iter().map(|topic| path::partitions(topic)).collect()).await?;
        let all: Vec<(&str, PartitionId)> = topics
            .iter()
            .zip(listed)
            .flat_map(|(topic, names)| {
                let numbers = names.unwrap_or_default().into_iter().filter_map(|name| name.parse().ok());
                numbers.map(|number| (topic.as_str(), PartitionId(number)))
            })
            .collect();
        for chunk in all.chunks(READS_PER_REQUEST) {
            let paths = chunk.iter().map(|(topic, partition)| path::partition_state(topic, *partition)).collect();
            for ((topic, partition), znode) in chunk.iter().zip(reader.nodes(paths).await?) {
                if let Some(znode) = znode {
                    look(&mut seen, image, topic, *partition, &znode)?;
                }
            }
        }
    }
    Ok(seen)
}

fn look(
    seen: &mut PartitionsSeen,
    image: &MetadataImage,
    topic: &str,
    partition: PartitionId,
    znode: &Znode,
) -> Result<()> {
    let state = PartitionState::decode(znode.content().unwrap_or_default())
        .map_err(|reason| malformed(reason.at(path::partition_state(topic, partition))))?;
    seen.states += 1;
    seen.epoch_max = seen.epoch_max.max(Some(state.controller_epoch));
    let topics = image.topics();
    let Some(known) = topics.id(topic).and_then(|id| topics.partition(id, partition)) else { return Ok(()) };
    let (version, epoch) = (znode.version.0, known.partition_epoch.0);
    let brokers = known.replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let said = match version.cmp(&epoch) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Greater => {
            seen.version_above += 1;
            format!(
                "{topic}-{partition}: its znode has version {version}, above its partition epoch {epoch}: restart brokers \
                 {brokers}"
            )
        }
        std::cmp::Ordering::Less => {
            seen.version_below += 1;
            format!(
                "{topic}-{partition}: its znode has version {version}, below its partition epoch {epoch}: brokers {brokers} \
                 ignore the next controller until they are restarted"
            )
        }
    };
    if seen.named.len() < NAMED_MAX {
        seen.named.push(said);
    }
    Ok(())
}
