//! What Kafka's metadata is, and every port through which it is stored. No IO, no clock, no random numbers.
//!
//! - [`id`], [`uuid`]: ids, epochs, versions and offsets as types of their own.
//! - [`record`], [`codec`]: Kafka's metadata records and their bytes, generated from `schema/`.
//! - [`image`]: all metadata at one position ([`image::MetadataImage`]) and replay ([`image::MetadataDelta`]).
//! - [`store`]: the port [`store::MetadataStore`]; [`log`]: the port [`log::MetadataLog`]; [`leadership`]: the proof that
//!   writing needs; [`brokers`], [`controllers`], [`projection`]: the ports to broker ids, to what the voters announce,
//!   and to a projection's content.
//!   writing needs; [`brokers`], [`projection`]: the ports to broker ids and to a projection's content.
//! - [`give_back`]: the ports of a rollback.
//! - [`error`]: one error for all ports. It says whether a failed write happened.
//! - `contract` (feature `contract`): the suite that any store can run, with the in-memory store and the stores that are
//!   broken on purpose.
//!
//! Records go in, an image comes out:
//!
//! ```
//! use metadata_core::id::{KRaftLeaderEpoch, Offset, Position, TimestampMs, TopicId};
//! use metadata_core::image::{MetadataDelta, MetadataImage};
//! use metadata_core::record::{TopicRecord, VersionedRecord};
//! use metadata_core::uuid::Uuid;
//!
//! let id = TopicId(Uuid::from_u64_pair(7, 7));
//! let topic = TopicRecord { name: "orders".into(), topic_id: id, ..Default::default() };
//!
//! let before = MetadataImage::empty();
//! let mut delta = MetadataDelta::new(&before);
//! delta.replay(&topic.clone().into())?;
//! let after = delta.apply(Position::after(Offset(0), KRaftLeaderEpoch(1)), TimestampMs(0));
//!
//! assert_eq!(after.topics().id("orders"), Some(id));
//! assert!(before.topics().is_empty());
//!
//! // The record's bytes are Kafka's.
//! let mut bytes = Vec::new();
//! VersionedRecord::new(topic, 0).encode(&mut bytes)?;
//! assert_eq!(VersionedRecord::decode(&bytes)?.record.name(), "TOPIC_RECORD");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod brokers;
pub mod codec;
#[cfg(feature = "contract")]
pub mod contract;
pub mod controllers;
pub mod error;
pub mod give_back;
pub mod id;
pub mod image;
pub mod leadership;
pub mod log;
pub mod metadata_version;
pub mod projection;
pub mod record;
pub mod store;
pub mod uuid;
