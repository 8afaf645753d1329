//! Blocks of producer ids (`ProducerIdControlManager`).

use crate::error::KafkaError;
use metadata_core::id::{BrokerEpoch, NodeId, ProducerId};
use metadata_core::image::MetadataImage;
use metadata_core::record::ProducerIdsRecord;

use super::Decided;

/// Ids in a block (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const BLOCK: i32 = 1000;

/// The first id of the block that the broker gets (inclusive); it has [`BLOCK`] ids.
///
/// # Errors
/// STALE_BROKER_EPOCH: the broker is not registered with this epoch. UNKNOWN_SERVER_ERROR: there are no ids left.
pub fn allocate(image: &MetadataImage, broker: NodeId, epoch: BrokerEpoch) -> Result<Decided<ProducerId>, KafkaError> {
    let registered = image.cluster().broker(broker);
    if registered.is_none_or(|registered| registered.epoch != epoch) {
        return Err(KafkaError::StaleBrokerEpoch);
    }
    let first = image.producer_id().unwrap_or(ProducerId(0));
    let end = first.0.checked_add(i64::from(BLOCK)).ok_or(KafkaError::UnknownServerError)?;
    let record = ProducerIdsRecord {
        broker_id: broker,
        broker_epoch: epoch,
        next_producer_id: ProducerId(end),
        ..ProducerIdsRecord::default()
    };
    Ok(Decided { records: vec![record.into()], answer: first })
}
