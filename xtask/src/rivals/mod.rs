//! Several controllers, each a process with its own session, over one small log server that hands out leadership.
//!
//! What real controllers do to each other shows only between processes: one sleeps in the middle of its writes, another is
//! elected and claims ZooKeeper, the first wakes up and knows nothing of it. Here the log is a server of ours
//! ([`LogServer`]), so that who leads, who hears of it and who is cut off is decided by whoever runs it; ZooKeeper and the
//! migration are the real ones.
//!
//! - [`LogServer`], [`RemoteLog`]: a metadata log for several processes over a Unix socket.
//! - [`run_driver`]: a process with a migration over such a log; [`Rival`]: the handle on one.
//! - [`Arena`]: a ZooKeeper, a log and two rivals.
//! - [`ZkHistory`]: what ZooKeeper's own transaction log says happened; [`Judgement`]: whether only one wrote at a time.

mod arena;
mod driver;
mod fight;
mod history;
mod judge;
mod protocol;
mod remote;
mod replica;
mod report;
mod rival;
mod server;
#[cfg(test)]
mod tests;
mod told;

pub use self::arena::Arena;
pub use self::driver::{DriverArgs, run_driver};
pub use self::fight::{Fight, FightCounts, FightOptions};
pub use self::history::{Change, Transaction, ZkHistory};
pub use self::judge::{Claimed, Judgement};
pub use self::remote::RemoteLog;
pub use self::report::{ClaimOutcome, Report};
pub use self::rival::{Rival, Seen};
pub use self::server::LogServer;
