//! Who the brokers are, and whether the migration may go on with them: rules alone. Facts come from two sources. One is the
//! port [`BrokerIds`](metadata_core::brokers::BrokerIds), the watch on `/brokers/ids` (what watches lives in `store-zk`); the
//! other is what brokers ask the active controller for, which whoever embeds this feeds into [`BrokerSessions`]. Every fact
//! says where it comes from ([`BrokerFacts`]).
//!
//! - [`Presence`] follows what the port reports and names each change.
//! - [`check_registration`] judges what a broker asks for, by Kafka's rules and those that Kafka lacks.
//! - [`registrations`] decides what the active controller writes about brokers; `migration::registrar` writes it.
//! - [`assess`] judges whether the migration may go on: which brokers are there, registered, missing, and why it waits.
//!   [`unready_controllers`] does so for the controllers.
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

mod controllers;
mod facts;
mod incarnation;
mod obstacles;
mod plan;
mod presence;
mod readiness;
mod reasons;
mod registration;
mod sessions;
mod settings;
mod view;

pub use controllers::{ExpectedOfControllers, UnreadyController, UnreadyControllerReason, unready_controllers};
pub use facts::{BrokerFacts, BrokerMode, Known, RegisteredAs};
pub use incarnation::{watched_czxid, watched_incarnation};
pub use plan::{
    ChangeReason, PlannedChange, RegistrationChange, RegistrationEpoch, Registrations, records, registrations,
};
pub use presence::{Presence, PresenceChange};
pub use readiness::{Assessment, BrokerStanding, Readiness, Service, assess, readiness};
pub use reasons::{BrokerWarning, UnreadyBroker, UnreadyReason};
pub use registration::{RegistrationRefusal, RegistrationRequest, ResponseError, check_registration};
pub use sessions::{BrokerSession, BrokerSessions, Heartbeat, RefusedRequest};
pub use settings::{OperatorsSettings, RESERVED_BROKER_MAX_ID, RegisterBy, RegistrySettings};
pub use view::{ClusterView, Surroundings};
