//! How other processes talk to a running controller: lines of JSON over a Unix socket in its data directory.
//!
//! One connection carries one request. The asker sends one line, [`Request`] with the version of the protocol; the
//! controller sends lines of [`Answer`]: any number that say how far it is, then one that ends it. Both sides refuse
//! another version, lines that are too long, and what is no JSON. Whoever may open the socket may do everything, so it
//! has mode 0600; secrets travel over it as they are.

mod client;
mod place;
mod protocol;
mod server;

#[cfg(test)]
mod tests;

pub use self::client::{ask, is_held};
pub use self::place::{POINTER_FILE, SOCKET_FILE};
pub use self::protocol::{Answer, ChangesMade, Progressed, REQUEST_BYTES_MAX, Request, VERSION};
pub use self::server::{ControlServer, Handler, Reporter};
