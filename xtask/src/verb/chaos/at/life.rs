//! The life of one cluster: what it goes through, where in it its controller dies, and how it ends.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;

use crate::cli::Failure;
use crate::controller::{DIE_AT, LogOnDisk, Moment, Step, When};
use crate::own::{Counts, end, finished, output, wait_for_dual_write};
use crate::seed::HeldBrokers;
use crate::verb::chaos::end_state::EndState;
use crate::verb::chaos::{Args, Cluster};

/// The change that is dual-written. Making it twice is making it once.
const CHANGE: [&str; 5] = ["quota", "set", "--user", "chaos", "producer_byte_rate=1048576"];

pub(super) const SIGKILL: i32 = 9;

/// A controller whose answer never came is dead within this time, or it lives.
const DEATH_MAX: Duration = Duration::from_secs(5);

/// What a cluster goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Story {
    /// From the first look into dual writing, with no broker alive.
    Migration,
    /// The same with brokers alive, which then go.
    Registration,
    /// Into dual writing, and to its end.
    Finalization,
    /// Into dual writing, back, and into it anew with another directory.
    Rollback,
}

impl Story {
    /// The one in which a step is taken.
    pub(super) fn of(step: Step) -> Self {
        match step {
            Step::Register | Step::Fence => Self::Registration,
            Step::FinalizeCompare | Step::FinalizeAppend => Self::Finalization,
            Step::RollbackKeep | Step::RollbackGiveBack | Step::RollbackSeal => Self::Rollback,
            _ => Self::Migration,
        }
    }

    /// As its run without a kill is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Migration => "migration",
            Self::Registration => "registration",
            Self::Finalization => "finalization",
            Self::Rollback => "rollback",
        }
    }

    /// Where it ends.
    pub(super) fn end(self) -> &'static str {
        match self {
            Self::Migration => "in dual write",
            Self::Registration => "in dual write, brokers fenced",
            Self::Finalization => "finalized",
            Self::Rollback => "given back, migrated anew",
        }
    }
}

/// What a kill must leave: the log's migration state, or the stage of the rollback and whether the directory is closed. `None`
/// where two of them may be, since brokers are registered while the migration goes on.
pub(super) fn must_leave(Moment { step, when, .. }: Moment) -> Option<&'static str> {
    match (step, when) {
        (Step::Survey | Step::SurveyZooKeeper, _) | (Step::Bootstrap, When::Before) => Some("NONE"),
        (Step::Register, _) => None,
        (Step::Bootstrap, When::After) | (Step::CopyEnd, When::Before) => Some("PRE_MIGRATION"),
        (
            Step::JudgeBrokers
            | Step::Rehearse
            | Step::Claim
            | Step::ClaimMulti
            | Step::CopyBegin
            | Step::CopyRead
            | Step::CopyBatch,
            _,
        ) => Some("PRE_MIGRATION"),
        (Step::CopyEnd, When::After) | (Step::FinalizeAppend, When::Before) => Some("MIGRATION"),
        (Step::Sync | Step::SyncMulti | Step::DualWriteMulti | Step::Fence | Step::FinalizeCompare, _) => {
            Some("MIGRATION")
        }
        (Step::FinalizeAppend, When::After) => Some("POST_MIGRATION"),
        (Step::RollbackKeep, When::Before) => Some("MIGRATING, open"),
        (Step::RollbackKeep, When::After) | (Step::RollbackGiveBack, When::Before) => Some("MIGRATING, begun"),
        (Step::RollbackGiveBack, When::After) | (Step::RollbackSeal, When::Before) => Some("GIVEN_BACK, begun"),
        (Step::RollbackSeal, When::After) => Some("GIVEN_BACK, sealed"),
    }
}

/// How a life ended.
pub(super) struct Ended {
    pub(super) state: EndState,
    pub(super) counts: Counts,
    /// What is not as it must be, whatever the undisturbed run did.
    pub(super) broken: Vec<String>,
}

/// A cluster on its way.
pub(super) struct Life {
    pub(super) story: Story,
    pub(super) cluster: Cluster,
    /// The brokers that are alive.
    pub(super) held: Option<HeldBrokers>,
    /// `/controller_epoch` before the rollback.
    pub(super) epoch_before: Option<i64>,
    /// Whether a controller has died.
    pub(super) died: bool,
}

impl Life {
    pub(super) async fn begin(
        story: Story,
        args: &Args,
        servers: &str,
        folder: &Path,
        name: &str,
    ) -> Result<Self, Failure> {
        let cluster = Cluster::seeded(args, servers, folder, name).await?;
        let mut life = Self { story, cluster, held: None, epoch_before: None, died: false };
        if story == Story::Registration {
            life.hold_brokers(args).await?;
        }
        Ok(life)
    }

    /// Runs a controller that kills itself at `moment`, through the story. Returns what it left, if it came there.
    pub(super) async fn die_at(&mut self, moment: Moment) -> Result<Option<String>, Failure> {
        let mut command = self.cluster.migration(&[])?;
        command.env(DIE_AT, moment.to_string());
        let mut controller = command.spawn().map_err(|error| Failure::failed("can't start migrate").because(&error))?;
        let lived = self.go(&mut controller).await;
        if lived.is_err() {
            // Whoever asked hears of the death before we do.
            drop(tokio::time::timeout(DEATH_MAX, controller.wait()).await);
        }
        let status = match controller.try_wait() {
            Ok(Some(status)) => status,
            // It lives, so it never came to the moment; what went wrong then is told.
            Ok(None) => {
                end(&mut controller).await;
                return lived.map(|()| None);
            }
            Err(error) => return Err(Failure::failed("can't watch migrate").because(&error)),
        };
        if status.signal() != Some(SIGKILL) {
            return Err(Failure::failed("migrate ended by itself").why(status.to_string()));
        }
        self.died = true;
        let left = match self.story {
            Story::Rollback => self.rollback_stage().await?,
            _ => self.log_state()?,
        };
        if self.story == Story::Rollback {
            self.die_again(moment).await?;
        }
        Ok(Some(left))
    }

    /// The part of the story in which a controller may die. It fails when the controller dies.
    async fn go(&mut self, controller: &mut Child) -> Result<(), Failure> {
        self.cluster.live(controller).await?;
        match self.story {
            Story::Migration => Ok(()),
            Story::Registration => self.fence(controller).await,
            Story::Finalization => self.finalize().await.map(drop),
            Story::Rollback => self.roll_back_running().await,
        }
    }

    /// Runs an ordinary controller through what is left of the story, and says what there is in the end.
    pub(super) async fn finish(mut self) -> Result<Ended, Failure> {
        match self.story {
            Story::Migration => {
                let (state, counts) = self.cluster.finish().await?;
                Ok(Ended { state, counts, broken: Vec::new() })
            }
            Story::Registration => self.end_fenced().await,
            Story::Finalization => self.end_finalized().await,
            Story::Rollback => self.end_given_back().await,
        }
    }

    /// The migration state in the log as it lies.
    pub(super) fn log_state(&self) -> Result<String, Failure> {
        Ok(LogOnDisk::read(&self.cluster.data_dir, None)?.image.zk_migration_state().to_string())
    }

    /// A controller must not dual-write here any more, and says so.
    pub(super) async fn refuses_to_migrate(&self) -> Result<Option<String>, Failure> {
        let mut command = self.cluster.command("migrate", &["--until", "dual-write", "--unserved-brokers"])?;
        command.arg("--zookeeper-config").arg(&self.cluster.config);
        let (status, object) = output(command).await?;
        Ok((status.code() != Some(3)).then(|| format!("`migrate` was not refused: {status}, {object}")))
    }
}

impl Cluster {
    /// The life of a controller, up to the comparison after a change. It fails when the controller dies.
    async fn live(&self, controller: &mut Child) -> Result<(), Failure> {
        wait_for_dual_write(&self.data_dir, controller).await?;
        finished("change", self.command("change", &CHANGE)?).await?;
        self.verify().await.map(drop)
    }

    /// A controller that has lived so far.
    pub(super) async fn living(&self) -> Result<Child, Failure> {
        let mut controller = self.start_migration(&[])?;
        if let Err(failure) = self.live(&mut controller).await {
            end(&mut controller).await;
            return Err(failure);
        }
        Ok(controller)
    }

    /// Runs an ordinary controller through the migration and the change, and says what there is in the end.
    pub(super) async fn finish(&self) -> Result<(EndState, Counts), Failure> {
        let mut controller = self.living().await?;
        let counts = self.verify().await;
        end(&mut controller).await;
        Ok((EndState::read(&self.config, &self.data_dir).await?, counts?))
    }

    /// A verb that finds its ZooKeeper itself where no controller answers.
    pub(super) async fn ask(&self, verb: &str, arguments: &[&str]) -> Result<Value, Failure> {
        let mut command = self.command(verb, arguments)?;
        command.arg("--zookeeper-config").arg(&self.config);
        finished(verb, command).await
    }
}
