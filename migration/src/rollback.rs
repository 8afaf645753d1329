//! The way back: ZooKeeper's controller role is given to the brokers, and this log never claims again.
//!
//! [`plan_rollback`] looks and writes nothing. [`roll_back`] does it:
//!
//! 1. Dual writing stands still at a whole batch ([`MigrationHandle::hold`]). A migration that has copied nothing yet is
//!    stopped.
//! 2. The keeper takes a copy of what will go, and notes durably that a rollback has begun.
//! 3. One write gives the role back, or nothing happens.
//! 4. The keeper seals the log, and the migration is stopped.
//! 5. It is looked whether a ZooKeeper-mode controller can be elected, and while brokers live, until one is.
//!
//! Whatever dies at any point, the same call does the rest: what was written is told by what is there. Between steps 2 and 4
//! a controller must not start on this log, which the keeper's note says; in log state MIGRATION none would claim anyway,
//! since a ZooKeeper without marker and controller is governed elsewhere.
//!
//! ```no_run
//! # async fn example(
//! #     ports: migration::rollback::RollbackPorts,
//! #     handle: migration::MigrationHandle,
//! # ) -> Result<(), metadata_core::error::Error> {
//! use migration::rollback::{RollbackOptions, plan_rollback, roll_back};
//!
//! // What was found, what would be deleted, and which brokers should be restarted. Nothing is written.
//! let plan = plan_rollback(&ports).await?;
//! println!("{}: {:?}, {:?}", plan.stage.name(), plan.deleted, plan.partitions.named);
//!
//! let done = roll_back(&ports, Some(&handle), RollbackOptions::default()).await?;
//! println!("controller now: {:?}, not well: {:?}", done.elected, done.troubles());
//! # Ok(())
//! # }
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a rollback waits: for dual writing to stand still, and for an election"
)]

use std::sync::Arc;
use std::time::Duration;

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::give_back::{ControllerRole, GiveBackPlan, GiveBackStage, OwnLog, RollbackKeeper};
use metadata_core::id::{NodeId, Position, ZkControllerEpoch};
use metadata_core::image::MetadataImage;
use metadata_core::log::MetadataLog;
use metadata_core::record::ZkMigrationState;
use tokio::time::{Instant, sleep, timeout};

use crate::driver::{LogFinding, State};
use crate::runner::{Held, MigrationHandle};

/// Pause between two looks, and between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// So often a plan is made anew because something moved, or because nobody answered.
const ATTEMPTS_MAX: u32 = 10;

/// What a rollback is carried out over.
#[derive(Clone)]
pub struct RollbackPorts {
    /// The metadata log.
    pub log: Arc<dyn MetadataLog>,
    /// ZooKeeper's controller role.
    pub role: Arc<dyn ControllerRole>,
    /// What our side keeps.
    pub keeper: Arc<dyn RollbackKeeper>,
}

/// How patient a rollback is.
#[derive(Debug, Clone, Copy)]
pub struct RollbackOptions {
    /// How long dual writing may take to be reached and to stand still. Nothing was given back when that is over.
    pub drain_max: Duration,
    /// How long live brokers may take to elect one of them. The role is given back all the same.
    pub election_max: Duration,
}

impl Default for RollbackOptions {
    /// A minute to stand still, half a minute for the election.
    fn default() -> Self {
        Self { drain_max: Duration::from_secs(60), election_max: Duration::from_secs(30) }
    }
}

/// A rollback that was done: nothing of this log is in ZooKeeper any more, and the log is sealed.
#[derive(Debug, Clone)]
pub struct RolledBack {
    /// The plan that was carried out. Its stage is [`GiveBackStage::GivenBack`] when all was done before, and
    /// [`GiveBackStage::NothingTaken`] when there was nothing to do.
    pub plan: GiveBackPlan,
    /// Whether this call wrote to ZooKeeper.
    pub wrote: bool,
    /// What `/controller_epoch` holds now.
    pub epoch: Option<ZkControllerEpoch>,
    /// The highest controller epoch in a partition state now: not above `epoch`, or the partition can't be served.
    pub partition_epoch_max: Option<ZkControllerEpoch>,
    /// The brokers in `/brokers/ids` at the end.
    pub brokers: Vec<NodeId>,
    /// Who governs now, if a ZooKeeper-mode controller does.
    pub elected: Option<NodeId>,
    /// The KRaft controller of another log that governs now: somebody migrates anew.
    pub migrating_anew: Option<NodeId>,
    /// How long it took from the write until it was seen to govern, or how long nobody did.
    pub waited: Duration,
}

impl RolledBack {
    /// What keeps partitions from being served, in sentences; none when all is well. With brokers alive and nobody elected
    /// the cluster has no controller.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        if self.elected.is_none() && self.migrating_anew.is_none() && !self.brokers.is_empty() {
            troubles.push(format!(
                "no broker became the controller within {:.1} s, though {} are alive",
                self.waited.as_secs_f64(),
                self.brokers.len()
            ));
        }
        if let (Some(highest), Some(epoch)) = (self.partition_epoch_max, self.epoch)
            && highest > epoch
        {
            troubles.push(format!(
                "a partition's state has controller epoch {highest}, above {epoch} in /controller_epoch: the controller will \
                 not touch it"
            ));
        }
        troubles
    }
}

/// Makes the plan of a rollback. Nothing is written, and nothing stands still: a plan in dual write may be unfinished, and
/// [`roll_back`] finishes it.
///
/// # Errors
/// As [`ControllerRole::plan_give_back`]; the log's.
pub async fn plan_rollback(ports: &RollbackPorts) -> Result<GiveBackPlan> {
    ports.log.end().await?;
    plan(ports, &ports.log.image(), None).await
}

/// Gives the role back. `handle` is that of the migration that runs over the same log and ZooKeeper; without one nothing
/// can be drained, and a ZooKeeper at no whole batch is refused. On return the migration is stopped.
///
/// # Errors
/// As [`ControllerRole::plan_give_back`] and [`ControllerRole::give_back`], and nothing of it happened while the outcome is
/// `NotApplied`; the migration then goes on, unless it had copied nothing yet. With an unknown outcome, and after a failure
/// of the keeper, call it again. `Unavailable`: dual writing was not reached within the limit.
pub async fn roll_back(
    ports: &RollbackPorts,
    handle: Option<&MigrationHandle>,
    options: RollbackOptions,
) -> Result<RolledBack> {
    ports.log.end().await?;
    let before = ports.log.image().zk_migration_state();
    if let Some(handle) = handle.filter(|_| before != ZkMigrationState::Migration) {
        // What is refused must not stop anything.
        plan(ports, &ports.log.image(), None).await?;
        stop(handle).await;
        ports.log.end().await?;
    }
    let image = ports.log.image();
    if image.zk_migration_state() != before {
        return Err(Error::not_applied(
            ErrorKind::Conflict,
            format!(
                "the copy ended just now: the log went from {before} to {}; run the rollback again",
                image.zk_migration_state()
            ),
        ));
    }
    let Done { plan, wrote, since, held } = given_back(ports, handle, options, &image).await?;
    ports.keeper.seal(&plan).await?;
    if let Some(handle) = handle {
        stop(handle).await;
    }
    drop(held);
    verified(ports, plan, wrote, since, options).await
}

/// Plans. While a migration runs, ZooKeeper may get records between the look at the log and the look at the marker: that is
/// no log that is behind, as long as it has grown.
async fn plan(ports: &RollbackPorts, image: &MetadataImage, drained: Option<Position>) -> Result<GiveBackPlan> {
    for _ in 1..ATTEMPTS_MAX {
        let end = ports.log.extent().end_offset;
        match plan_once(ports, image, drained).await {
            Err(error) if error.kind() == ErrorKind::Corrupt && ports.log.extent().end_offset > end => {}
            planned => return planned,
        }
    }
    plan_once(ports, image, drained).await
}

async fn plan_once(ports: &RollbackPorts, image: &MetadataImage, drained: Option<Position>) -> Result<GiveBackPlan> {
    let extent = ports.log.extent();
    let led = ports.log.leadership(None).await?.epoch;
    let own = OwnLog {
        state: image.zk_migration_state(),
        empty: LogFinding::of(image) == LogFinding::Empty,
        epoch: extent.epochs.last().map_or(led, |(newest, _)| led.max(*newest)),
        extent,
        drained,
        sealed: ports.keeper.is_sealed().await?,
    };
    ports.role.plan_give_back(&own, image).await
}

/// ZooKeeper has it.
struct Done {
    plan: GiveBackPlan,
    wrote: bool,
    /// Since when nobody of ours governs, as far as this call knows.
    since: Instant,
    /// Dual writing stands still until the migration is stopped.
    held: Option<Held>,
}

/// Drains, plans and writes, until ZooKeeper has it.
async fn given_back(
    ports: &RollbackPorts,
    handle: Option<&MigrationHandle>,
    options: RollbackOptions,
    image: &MetadataImage,
) -> Result<Done> {
    let mut last: Option<(GiveBackPlan, Error)> = None;
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        let (held, planned) = match drained_plan(ports, handle, options, image).await {
            Ok(planned) => planned,
            // Nobody knows yet what became of the write, and nobody answers.
            Err(error) if last.is_some() && error.kind() == ErrorKind::Unavailable => continue,
            Err(error) => return Err(error),
        };
        if !planned.writes() {
            // A write without an answer happened, or all was done before.
            return Ok(match last {
                Some((tried, _)) => Done { plan: tried, wrote: true, since: Instant::now(), held },
                None => Done { plan: planned, wrote: false, since: Instant::now(), held },
            });
        }
        ports.keeper.begin(&planned).await?;
        let error = match ports.role.give_back(&planned).await {
            Ok(()) => return Ok(Done { plan: planned, wrote: true, since: Instant::now(), held }),
            Err(error) => error,
        };
        drop(held);
        let may_have_happened = error.outcome() == Outcome::Unknown || last.is_some();
        if may_have_happened {
            last = Some((planned, error));
        } else if error.kind() != ErrorKind::Conflict {
            ports.keeper.abandon().await?;
            return Err(error);
        }
    }
    Err(match last {
        Some((_, error)) => Error::unknown(
            error.kind(),
            format!("nobody knows whether the role was given back; run the rollback again ({error})"),
        ),
        None => {
            ports.keeper.abandon().await?;
            Error::not_applied(
                ErrorKind::Unavailable,
                format!("the controller znodes kept changing during {ATTEMPTS_MAX} attempts; find out who writes them"),
            )
        }
    })
}

/// A plan that can be carried out now, and what keeps it so. Where ZooKeeper holds what was copied, dual writing must stand
/// still first.
async fn drained_plan(
    ports: &RollbackPorts,
    handle: Option<&MigrationHandle>,
    options: RollbackOptions,
    image: &MetadataImage,
) -> Result<(Option<Held>, GiveBackPlan)> {
    let found = plan(ports, image, None).await?;
    let must_drain = image.zk_migration_state() == ZkMigrationState::Migration
        && matches!(found.stage, GiveBackStage::Migrating | GiveBackStage::ControllerLeft);
    match handle.filter(|_| must_drain) {
        None => Ok((None, found)),
        Some(handle) => {
            let held = hold(ports, handle, options.drain_max).await?;
            let planned = plan(ports, &held.image, Some(held.image.position())).await?;
            Ok((Some(held), planned))
        }
    }
}

/// Makes dual writing stand still, however long it takes to be reached within the limit.
async fn hold(ports: &RollbackPorts, handle: &MigrationHandle, drain_max: Duration) -> Result<Held> {
    let began = Instant::now();
    let deadline = began + drain_max;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let why_not = match timeout(left, handle.hold()).await {
            Ok(Ok(held)) => return Ok(held),
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable => error.to_string(),
            Ok(Err(error)) => return Err(error),
            Err(_) => "dual writing does not come to a rest".to_owned(),
        };
        // Somebody finalized it meanwhile: dual writing never comes back, and the plan says so.
        let image = ports.log.image();
        if image.zk_migration_state() == ZkMigrationState::PostMigration {
            plan(ports, &image, None).await?;
        }
        let status = handle.watch().borrow().clone();
        let for_good = matches!(status.state, State::Blocked | State::ZkGoverned);
        if for_good || Instant::now() >= deadline {
            let reason = status.reason.unwrap_or(why_not);
            return Err(Error::not_applied(
                ErrorKind::Unavailable,
                format!(
                    "ZooKeeper could not be brought to a whole batch: after {:.0} s the migration is in state {} ({reason}). \
                     Nothing was given back",
                    began.elapsed().as_secs_f64(),
                    status.state
                ),
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Stops a migration, and waits until it has stopped.
async fn stop(handle: &MigrationHandle) {
    handle.stop();
    let mut status = handle.watch();
    // Its sender goes with it.
    while status.changed().await.is_ok() {}
}

/// Looks whether a controller can be elected, and while brokers live, until one is.
async fn verified(
    ports: &RollbackPorts,
    plan: GiveBackPlan,
    wrote: bool,
    began: Instant,
    options: RollbackOptions,
) -> Result<RolledBack> {
    loop {
        let governance = ports.role.governance().await;
        let waited = began.elapsed();
        let over = waited >= options.election_max;
        match governance {
            Ok(now) if over || now.brokers.is_empty() || now.controller.is_some() => {
                let partition_epoch_max = ports.role.partition_epoch_max().await?;
                return Ok(RolledBack {
                    elected: now.elected_broker(),
                    migrating_anew: now.controller.and_then(|(id, kraft)| kraft.map(|_| id)),
                    epoch: now.epoch,
                    brokers: now.brokers,
                    plan,
                    wrote,
                    partition_epoch_max,
                    waited,
                });
            }
            Err(error) if over || error.kind() != ErrorKind::Unavailable => return Err(error),
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    }
}
