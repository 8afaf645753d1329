//! Between the types of the messages and ours.

use kafka_protocol::messages::{BrokerId, TopicName};
use kafka_protocol::protocol::StrBytes;
use metadata_core::id::NodeId;
use metadata_core::uuid::Uuid;

pub(crate) fn node(id: BrokerId) -> NodeId {
    NodeId(id.0)
}

pub(crate) fn broker(id: NodeId) -> BrokerId {
    BrokerId(id.0)
}

pub(crate) fn brokers(ids: &[NodeId]) -> Vec<BrokerId> {
    ids.iter().copied().map(broker).collect()
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

pub(crate) fn from_kafka(id: uuid::Uuid) -> Uuid {
    Uuid::from_bytes(id.into_bytes())
}

pub(crate) fn to_kafka(id: Uuid) -> uuid::Uuid {
    uuid::Uuid::from_bytes(*id.as_bytes())
}
