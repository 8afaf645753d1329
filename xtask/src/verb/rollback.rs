//! `cargo xtask rollback`: ZooKeeper is given back to its brokers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::directory;
use crate::cli::{Failure, Outcome, Shell, VerbResult, ZooKeeperArgs};
use crate::control::{Request, ask};
use crate::controller::{
    ControllerOptions, DataDir, RollbackOrder, RollbackReport, look_first, nothing_to_roll_back, rollback_on_disk,
};
use crate::fleet::leader_dir;

/// How long an election is waited for, in seconds, unless the operator says otherwise.
const ELECTION_SECONDS: u64 = 30;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The controller's directory
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Used when no process holds the directory; a running controller knows its own
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// Print the plan, each step with what must hold before and what holds after, and write nothing to ZooKeeper
    #[arg(long)]
    dry_run: bool,

    /// How long live brokers may take to elect one of them, in seconds (at most an hour)
    #[arg(long, default_value_t = ELECTION_SECONDS, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    election_seconds: u64,
}

pub(crate) async fn run(mut args: Args, shell: &Shell) -> VerbResult {
    args.data_dir = leader_dir(&args.data_dir).await?;
    let request = Request::Rollback { dry_run: args.dry_run, election_seconds: args.election_seconds };
    let report = match ask::<RollbackReport>(&args.data_dir, &request, |_| {}).await? {
        Some(report) => report,
        None => by_itself(&args, shell).await?,
    };
    conclude(&report, shell)
}

/// Rolls back without a controller.
async fn by_itself(args: &Args, shell: &Shell) -> Result<RollbackReport, Failure> {
    let zookeeper = directory::zookeeper(&args.zookeeper, &args.data_dir, shell).await?;
    let seen = look_first(zookeeper.connector.as_ref()).await?;
    let options = ControllerOptions::new(Arc::clone(&zookeeper.connector), zookeeper.settings.clone());
    let Some(data_dir) = DataDir::read(&args.data_dir)? else {
        return nothing_to_roll_back(&options, &seen.cluster_id, &args.data_dir).await;
    };
    directory::of_one_cluster(&data_dir, &seen)?;
    let election_max = Duration::from_secs(args.election_seconds);
    rollback_on_disk(options, data_dir, RollbackOrder { dry_run: args.dry_run, election_max }).await
}

/// The words at the end, and what is not as it should be as a failure.
fn conclude(report: &RollbackReport, shell: &Shell) -> VerbResult {
    let fields = super::fields_of(report);
    if report.troubles.is_empty() {
        let outcome = report.lines().into_iter().fold(Outcome::done(), Outcome::say).say(verdict(report));
        return Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value)));
    }
    for line in report.lines() {
        shell.say(line);
    }
    let failure = Failure::failed("the role is given back, and the cluster is not well")
        .whys(report.troubles.clone())
        .next(
            "start a broker in ZooKeeper mode, or restart one: it is elected when it registers; then run this again, it looks \
             anew",
        );
    Err(fields.into_iter().fold(failure, |failure, (key, value)| failure.field(&key, value)))
}

fn verdict(report: &RollbackReport) -> String {
    let fresh = "for a new migration use a fresh --data-dir";
    match (report.dry_run, report.rolled_back, report.wrote) {
        (true, true, _) => "already rolled back: nothing is left to do".to_owned(),
        (true, false, _) => "this is the plan; nothing was written to ZooKeeper".to_owned(),
        (false, true, true) => format!("rolled back; {fresh}"),
        (false, true, false) if report.stage == "NOTHING_TAKEN" => {
            format!("there was nothing to roll back, and the data directory is sealed; {fresh}")
        }
        (false, true, false) => format!("already rolled back; {fresh}"),
        (false, false, _) => "there is nothing to roll back: ZooKeeper holds no trace of a migration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    #[test]
    fn a_cluster_without_a_controller_is_a_failure_that_says_how_long() {
        let report = RollbackReport {
            rolled_back: true,
            wrote: true,
            troubles: vec!["no broker became the controller within 30.0 s, though 2 are alive".to_owned()],
            ..RollbackReport::default()
        };
        let failure = conclude(&report, &Shell::new("rollback", true)).unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed);
        assert!(failure.lines().join("\n").contains("within 30.0 s"));
        assert_eq!(failure.into_fields()["rolled_back"], true);
    }
}
