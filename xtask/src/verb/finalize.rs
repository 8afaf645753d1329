//! `cargo xtask finalize`: the migration's last step.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata_core::record::ZkMigrationState;

use super::directory;
use super::follow::{Followed, Until, follow};
use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeperArgs};
use crate::control::{Request, ask};
use crate::controller::{Controller, ControllerOptions, FinalizeReport, LogOnDisk, look_first};
use crate::fleet::leader_dir;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The controller's directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Used when no process holds the directory; a running controller knows its own
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// Finalize although brokers are left behind that will get no metadata any more
    ///
    /// Right for a rehearsal on a copy of the ZooKeeper, wrong for a cluster that somebody uses.
    #[arg(long)]
    despite_brokers: bool,
}

pub(crate) async fn run(mut args: Args, shell: &Shell) -> VerbResult {
    args.data_dir = leader_dir(&args.data_dir).await?;
    let request = Request::Finalize { despite_brokers: args.despite_brokers };
    let report = match ask::<FinalizeReport>(&args.data_dir, &request, |_| {}).await? {
        Some(report) => report,
        None => by_itself(&args, shell).await?,
    };
    let said = if report.already { "it was finalized before" } else { "finalized" };
    let outcome = Outcome::done()
        .say(format!("{said}: the log says POST_MIGRATION and ends at offset {}", report.end_offset))
        .say("ZooKeeper is written no more, and may be switched off; no way leads back");
    let fields = super::fields_of(&report);
    Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value)))
}

/// What the log alone says. A finalized migration needs no ZooKeeper to say so; and one that has copied nothing is not begun
/// here, since whoever types this does not ask for a claim and a copy.
async fn before_anything_starts(data_dir: &Path) -> Result<Option<FinalizeReport>, Failure> {
    let path = data_dir.to_owned();
    let read = tokio::task::spawn_blocking(move || LogOnDisk::read(&path, None)).await;
    let Ok(Ok(log)) = read else {
        // Torn or damaged: whoever opens it for writing mends it, or says what it is.
        return Ok(None);
    };
    judge(log.image.zk_migration_state(), log.end.end_offset.0)
}

fn judge(state: ZkMigrationState, end_offset: i64) -> Result<Option<FinalizeReport>, Failure> {
    match state {
        ZkMigrationState::PostMigration => Ok(Some(FinalizeReport { end_offset, already: true })),
        ZkMigrationState::Migration => Ok(None),
        ZkMigrationState::None | ZkMigrationState::PreMigration | ZkMigrationState::Zk => {
            Err(Failure::blocked("there is no migration to finalize")
                .why(format!("the log is in state {state}: nothing was copied into it"))
                .next("`migrate` copies; finalize once it dual-writes and all brokers run in KRaft mode"))
        }
    }
}

/// Runs the controller itself for as long as it takes: until ZooKeeper has everything, and the end is in the log.
async fn by_itself(args: &Args, shell: &Shell) -> Result<FinalizeReport, Failure> {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let data_dir = directory::open(&args.data_dir)?;
    if let Some(report) = before_anything_starts(&args.data_dir).await? {
        return Ok(report);
    }
    let zookeeper = directory::zookeeper(&args.zookeeper, &args.data_dir, shell).await?;
    let seen = interrupt.unless_requested(look_first(zookeeper.connector.as_ref())).await?;
    directory::of_one_cluster(&data_dir, &seen)?;
    let options = ControllerOptions::new(Arc::clone(&zookeeper.connector), zookeeper.settings.clone());
    let controller = Controller::start(options, data_dir).await?;
    let finalized = async {
        match follow(&controller, Until::DualWrite, seen.topics, &interrupt, shell).await? {
            Followed::Interrupted | Followed::RolledBack => {
                Err(Failure::failed("interrupted").why("nothing was finalized"))
            }
            Followed::Reached | Followed::Finalized => controller.finalize(args.despite_brokers).await,
        }
    };
    let finalized = finalized.await;
    let stopped = controller.stop().await;
    let report = finalized?;
    stopped?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use metadata_core::id::NodeId;
    use metadata_core::metadata_version::MetadataVersion;

    use super::*;
    use crate::cli::Exit;
    use crate::controller::DataDir;

    #[test]
    fn the_log_alone_says_what_is_over_and_what_has_not_begun() {
        let judged = |state| judge(state, 7).map_err(|failure| failure.exit());
        assert_eq!(judged(ZkMigrationState::PostMigration), Ok(Some(FinalizeReport { end_offset: 7, already: true })));
        assert_eq!(judged(ZkMigrationState::Migration), Ok(None));
        for state in [ZkMigrationState::None, ZkMigrationState::PreMigration] {
            assert_eq!(judged(state), Err(Exit::Blocked), "{state}");
        }
    }

    /// No ZooKeeper is named, and none is asked for.
    #[tokio::test]
    async fn a_directory_that_nobody_has_migrated_into_is_refused_before_anything_starts() {
        let outer = tempfile::tempdir().unwrap();
        let data_dir = outer.path().join("d");
        DataDir::prepare(&data_dir, NodeId(3000), "cluster", MetadataVersion::V3_9_IV0).unwrap();
        let args = Args { data_dir, zookeeper: ZooKeeperArgs::default(), despite_brokers: true };
        let refused = run(args, &Shell::new("finalize", true)).await.unwrap_err();
        assert_eq!(refused.exit(), Exit::Blocked, "{refused}");
    }
}
