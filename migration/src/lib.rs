//! The migration of a Kafka cluster's metadata from ZooKeeper to KRaft (KIP-866), as a library for controllers.
//!
//! - [`driver`]: what to do next, as a pure step function over a table.
//! - [`Migration`]: the runner that carries it out over the [`Ports`] that the application wires in.
//! - [`mod@copy`]: the one transaction that takes everything over; [`dual_write`]: every later change, to both sides.
//! - [`resignation`]: a leader that ZooKeeper is out of reach for makes room for another.
//! - [`rollback`]: the way back, while the migration is not finalized.
//! - [`MigrationHandle`]: look at it ([`Status`]), or make it stand still for a moment.
//!
//! This crate names no store: it knows ZooKeeper as a [`MetadataStore`](metadata_core::store::MetadataStore) and the log as
//! a [`MetadataLog`](metadata_core::log::MetadataLog). Once they are wired in, a migration runs like this:
//!
//! ```no_run
//! # async fn example(ports: migration::Ports) -> Result<(), metadata_core::error::Error> {
//! use migration::{Migration, MigrationOptions, State};
//!
//! let (migration, handle) = Migration::new(ports, MigrationOptions::new("MkU3OEVBNTcwNTJENDM2Qg"));
//! let running = tokio::spawn(migration.run());
//!
//! let mut status = handle.watch();
//! let _ = status.wait_for(|status| status.state == State::DualWrite).await;
//! handle.stop();
//! let _ = running.await;
//! # Ok(())
//! # }
//! ```

pub mod copy;
pub mod driver;
pub mod dual_write;
mod failure;
pub mod finalization;
mod fixed_voters;
pub mod gate;
mod metadata_type;
mod ports;
pub mod propagate;
pub mod registrar;
pub mod resignation;
pub mod rollback;
mod runner;
mod status;

pub use driver::Decision;
pub use driver::State;
pub use failure::chain as error_chain;
pub use fixed_voters::FixedVoters;
pub use metadata_type::{MetadataType, NodeKind};
pub use ports::Ports;
pub use runner::{Held, Migration, MigrationHandle, MigrationOptions, RetryPolicy};
pub use status::{Status, Waiting};
