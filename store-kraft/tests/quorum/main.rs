//! Several controllers, each with its two logs, over TCP on the loopback.

#![cfg(test)]

mod contract;
mod election;
mod hostile;
mod membership;
mod proxy;
mod quorum;
#[cfg(feature = "tls")]
mod tls;
