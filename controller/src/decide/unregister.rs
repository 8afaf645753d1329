//! A broker that is taken out for good (`ClusterControlManager.unregisterBroker`).

use crate::error::KafkaError;
use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use metadata_core::record::UnregisterBrokerRecord;

use super::Decided;

/// What takes the broker out. It falls out of sync everywhere by the next [`elections`](super::elections::elections).
///
/// # Errors
/// BROKER_ID_NOT_REGISTERED: there is no such broker.
pub fn unregister(image: &MetadataImage, broker: NodeId) -> Result<Decided<()>, KafkaError> {
    let registered = image.cluster().broker(broker).ok_or(KafkaError::BrokerIdNotRegistered)?;
    let record = UnregisterBrokerRecord {
        broker_id: broker,
        broker_epoch: registered.epoch,
        ..UnregisterBrokerRecord::default()
    };
    Ok(Decided { records: vec![record.into()], answer: () })
}
