//! How the controllers of a quorum speak with each other: over TCP, secured or not, in messages of our own.
//!
//! ```text
//!   openraft ──> network ──> dialer ──> link ═══ frames ═══> server ──> openraft
//!                              │                               │
//!   announcer ─────────────────┘          roster <─────────────┘   who they are, and what they say of themselves
//! ```
//!
//! - [`message`]: what is said. `frame`: its envelope. `security`: what it travels in.
//! - [`roster`]: whom this controller speaks with. A controller is known by its data directory: one that was made anew has
//!   forgotten how it voted, and may be a voter again only after it was removed and added.
//! - `link`, [`dialer`]: connections to others. [`network`]: those as openraft wants them. [`server`]: connections of others.
//! - [`announcer`]: flags and versions, told to all others each second; who was not heard of for fifteen has said nothing.
//!
//! Nobody is trusted for what a message says: sizes are bounded before anything is read, and one who is not a member, is of
//! another cluster, or has another directory is refused with the reason.

pub(crate) mod announcer;
pub(crate) mod dialer;
mod frame;
mod link;
pub(crate) mod message;
pub(crate) mod network;
mod refusal;
pub(crate) mod roster;
pub(crate) mod security;
pub(crate) mod server;
#[cfg(feature = "tls")]
pub(crate) mod tls;
