//! Kafka's protocol, served: frames in, decoded requests to a [`Service`], answers out. One request of a connection is under
//! way at a time, and answers come in the order of the requests, as Kafka has it.

mod api;
mod connection;
mod frame;
mod guard;
mod listener;

pub use api::{APIS, Api, Request, Response, advertised};
pub use connection::{Caller, Service};
pub use frame::REQUEST_BYTES_MAX;
pub(crate) use frame::framed;
pub(crate) use guard::Guarded;
pub use listener::{ListenerLimits, ListenerPort, listen};
