//! What all verbs share: how they end, what they print, how they show progress, how they are stopped, and how they find
//! a ZooKeeper. A verb is a file in `verb`; it knows its own flags and nothing of the others.

mod brokers;
mod exit;
mod failure;
mod interrupt;
mod log;
mod outcome;
mod progress;
mod quorum;
mod shell;
mod zookeeper;

pub use self::brokers::{BrokersArgs, ServeBrokers};
pub use self::exit::Exit;
pub use self::failure::Failure;
pub use self::interrupt::Interrupt;
pub use self::outcome::{Fields, Outcome, VerbResult};
pub use self::progress::Progress;
pub use self::quorum::{QuorumArgs, Voters};
pub use self::shell::Shell;
pub use self::zookeeper::{Absent, ZooKeeper, ZooKeeperArgs, start_zookeeper};

pub(crate) use self::failure::in_words;
pub(crate) use self::log::start as start_logging;
pub(crate) use self::quorum::address_of;
pub(crate) use self::zookeeper::{HEAP, TICK, unblocked};
