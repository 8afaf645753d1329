//! Who the brokers are, and whether the migration may go on with them. Rules over the port
//! [`BrokerIds`](metadata_core::brokers::BrokerIds); what watches `/brokers/ids` lives in `store-zk`.
//!
//! - [`Presence`] follows what the port reports and names each change.
//! - [`readiness`] judges: which brokers are there, which have replicas and are missing, and why the migration waits.
//!
//! ```
//! use std::collections::BTreeMap;
//! use broker_registry::{Readiness, Service, readiness};
//! use metadata_core::id::NodeId;
//!
//! // An empty cluster: nobody is there and nobody is missed.
//! let judged = readiness(&BTreeMap::new(), &BTreeMap::new(), NodeId(3000), Service::None);
//! assert_eq!(judged, Readiness::Ready { served: 0, unserved: vec![] });
//! ```

mod presence;
mod readiness;

pub use presence::{Presence, PresenceChange};
pub use readiness::{Readiness, Service, UnreadyBroker, UnreadyReason, readiness};
