//! What Kafka keeps in ZooKeeper: a file per znode family with its types, its decoder and, for what we write, its
//! encoder.
//!
//! Decoders are as strict about types as Kafka's (`core/.../utils/json/DecodeJson.scala`) and stricter about broken
//! JSON: where Kafka reads malformed data as "nothing there", they say which znode is malformed and why. Unknown keys
//! are ignored, as everywhere in Kafka. Encoders write Kafka's keys in a fixed order, so equal content gives equal bytes.
//!
//! No IO: paths and bytes in, values out.

pub mod access;
pub mod acl;
mod base64;
pub mod broker;
pub mod cluster;
pub mod config;
pub mod controller;
mod error;
mod json;
pub mod marker;
pub mod name;
pub mod notification;
pub mod partition;
pub mod password;
pub mod path;
pub mod producer_ids;
pub mod quota;
pub mod scram;
pub mod token;
pub mod topic;

use std::fmt;

use bytes::Bytes;
use metadata_core::id::ZkVersion;

pub use error::{Malformed, MalformedZnode};

/// A znode as it was read.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Znode {
    /// Its data. ZooKeeper tells "no data" from "zero bytes" and Kafka writes the former; every reader here takes both
    /// for the same.
    pub data: Option<Bytes>,
    /// Its data version (`Stat.version`).
    pub version: ZkVersion,
}

impl Znode {
    /// A znode with this data and version.
    pub fn new(data: impl Into<Bytes>, version: ZkVersion) -> Self {
        Self { data: Some(data.into()), version }
    }

    /// A znode without data, as containers are.
    pub fn container() -> Self {
        Self::default()
    }

    /// The data, `None` when there is none or it has no bytes.
    pub fn content(&self) -> Option<&[u8]> {
        self.data.as_deref().filter(|data| !data.is_empty())
    }
}

/// Shows sizes only: the data may hold credentials.
impl fmt::Debug for Znode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Some(data) => write!(f, "Znode {{ {} bytes, version {} }}", data.len(), self.version),
            None => write!(f, "Znode {{ no data, version {} }}", self.version),
        }
    }
}
