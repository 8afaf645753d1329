//! A controller that kills itself at a chosen moment (`chaos --at`), so that what a crash leaves just there can be looked at.
//!
//! The moment comes in an environment variable that nothing but the wiring of a controller reads. Whoever names none gets
//! his ports as they are.

mod give_back;
mod log;
mod moment;
mod session;
mod store;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use metadata_core::brokers::AssignedReplicas;
use metadata_core::log::MetadataLog;
use metadata_core::projection::Projection;
use metadata_core::store::MetadataStore;
use migration::rollback::RollbackPorts;
use store_zk::client::ZkConnector;

use self::give_back::{FatedKeeper, FatedRole};
use self::log::FatedLog;
pub(crate) use self::moment::{Moment, Step, When};
use self::session::FatedConnector;
use self::store::{FatedProjection, FatedReplicas, FatedStore};
use crate::cli::Failure;

/// The environment variable that names the moment.
pub(crate) const DIE_AT: &str = "XTASK_DIE_AT";

/// What ZooKeeper's session is used for, as far as multis are told apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Other,
    Claim,
    Sync,
    DualWrite,
}

/// The moment, and how near it is.
#[derive(Debug)]
pub(super) struct Fate {
    moment: Moment,
    passed: AtomicU32,
    phase: AtomicU8,
    copying: AtomicBool,
}

impl Fate {
    /// The fate that the environment names, if it names one.
    ///
    /// # Errors
    /// It names a moment that does not exist.
    pub(super) fn from_environment() -> Result<Option<Arc<Self>>, Failure> {
        let Ok(text) = std::env::var(DIE_AT) else { return Ok(None) };
        let moment: Moment = text.parse().map_err(|reason: String| {
            Failure::usage(format!("{DIE_AT}={text} names no moment")).why(reason).next(format!("unset {DIE_AT}"))
        })?;
        tracing::warn!("this controller will kill itself at {moment}: {DIE_AT} is set");
        Ok(Some(Arc::new(Self {
            moment,
            passed: AtomicU32::new(0),
            phase: AtomicU8::new(Phase::Other as u8),
            copying: AtomicBool::new(false),
        })))
    }

    /// The log, as this fate has it.
    pub(super) fn log(self: &Arc<Self>, inner: Arc<dyn MetadataLog>) -> Arc<dyn MetadataLog> {
        Arc::new(FatedLog { inner, fate: Arc::clone(self) })
    }

    /// The store.
    pub(super) fn store(self: &Arc<Self>, inner: Arc<dyn MetadataStore>) -> Arc<dyn MetadataStore> {
        Arc::new(FatedStore { inner, fate: Arc::clone(self) })
    }

    /// The look at who has replicas.
    pub(super) fn replicas(self: &Arc<Self>, inner: Arc<dyn AssignedReplicas>) -> Arc<dyn AssignedReplicas> {
        Arc::new(FatedReplicas { inner, fate: Arc::clone(self) })
    }

    /// The comparison.
    pub(super) fn projection(self: &Arc<Self>, inner: Arc<dyn Projection>) -> Arc<dyn Projection> {
        Arc::new(FatedProjection { inner, fate: Arc::clone(self) })
    }

    /// What a rollback is carried out over.
    pub(super) fn rollback(self: &Arc<Self>, RollbackPorts { log, role, keeper }: RollbackPorts) -> RollbackPorts {
        let role = Arc::new(FatedRole { inner: role, fate: Arc::clone(self) });
        RollbackPorts { log, role, keeper: Arc::new(FatedKeeper { inner: keeper, fate: Arc::clone(self) }) }
    }

    /// The way to ZooKeeper.
    pub(super) fn connector(self: &Arc<Self>, inner: Arc<dyn ZkConnector>) -> Arc<dyn ZkConnector> {
        Arc::new(FatedConnector { inner, fate: Arc::clone(self) })
    }

    /// A moment has come. It returns unless it is the one.
    fn meet(&self, step: Step, when: When) {
        if (step, when) == (self.moment.step, self.moment.when)
            && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.moment.number
        {
            die();
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// What a multi of the chain is now; nothing that counts outside the phases.
    fn multi(&self) -> Option<Step> {
        let phase = self.phase.load(Ordering::SeqCst);
        [(Phase::Claim, Step::ClaimMulti), (Phase::Sync, Step::SyncMulti), (Phase::DualWrite, Step::DualWriteMulti)]
            .into_iter()
            .find_map(|(in_phase, step)| (in_phase as u8 == phase).then_some(step))
    }
}

/// SIGKILL to ourselves, as `kill -9` has it: nothing is flushed, nobody is told. Our thread goes no step further.
fn die() -> ! {
    // It returns only if there is no `kill`; an abort is the next best thing, and whoever waits for SIGKILL tells them apart.
    let sent = Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
    tracing::error!(?sent, "can't kill this process");
    std::process::abort()
}
