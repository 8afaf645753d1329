//! The write chain: how changes reach ZooKeeper so that, whatever dies, ZooKeeper holds a prefix of them and says how
//! long it is.
//!
//! - [`claim`]: taking the controllership; decided by the table in `fencing`.
//! - [`window`]: multis in flight, chained by the marker's version.
//! - [`batch`]: a batch's plan, cut into multis.
//! - [`actor`]: the one task that issues; [`settle`]: what it does after a failure; [`sync`]: the full sync;
//!   [`notifications`]: the removal of old ones; [`left_out`]: what is too large for a request.
//! - [`writer`]: the handle on it, as the port [`StoreWriter`](metadata_core::store::StoreWriter).
//!
//! The rules, and the experiments behind each of them, are in ARCHITECTURE.md, "The write chain".

mod actor;
mod batch;
mod brokers_present;
pub(crate) mod claim;
mod left_out;
mod notifications;
mod settle;
mod sync;
mod window;
mod writer;

pub(crate) use actor::{ActorOptions, start};
pub(crate) use sync::actual as actual_znodes;
pub(crate) use writer::ChainWriter;

use crate::client::ZkAcl;
use crate::znode::access::{Access, access_for};

/// The access list of a new znode.
pub(crate) fn acl_of(path: &str, secure: bool) -> ZkAcl {
    acl(access_for(path, secure))
}

pub(crate) fn acl(access: Access) -> ZkAcl {
    match access {
        Access::Open => ZkAcl::world_all(),
        Access::CreatorAndReaders => ZkAcl::creator_all_world_read(),
        Access::CreatorOnly => ZkAcl::creator_all(),
    }
}
