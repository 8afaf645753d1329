//! `cargo xtask finalize`: the migration's last step.

use std::path::PathBuf;
use std::sync::Arc;

use super::follow::{Followed, Until, follow};
use super::status;
use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeperArgs};
use crate::control::{Request, ask};
use crate::controller::{Controller, ControllerOptions, FinalizeReport, look_first};

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

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
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

/// Runs the controller itself for as long as it takes: until ZooKeeper has everything, and the end is in the log.
async fn by_itself(args: &Args, shell: &Shell) -> Result<FinalizeReport, Failure> {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let data_dir = status::open(&args.data_dir)?;
    let zookeeper = args.zookeeper.open(Absent::Refuse, shell).await.map_err(|failure| {
        failure.while_doing(format!("no controller holds {}, so ZooKeeper must be named", args.data_dir.display()))
    })?;
    let seen = interrupt.unless_requested(look_first(zookeeper.connector.as_ref())).await?;
    if seen.cluster_id != data_dir.cluster_id {
        return Err(Failure::failed("the data directory and ZooKeeper are of two clusters")
            .why(format!("{} belongs to cluster {}", data_dir.path.display(), data_dir.cluster_id))
            .why(format!("ZooKeeper at {} is that of cluster {}", seen.place, seen.cluster_id))
            .next("check --data-dir and --zookeeper"));
    }
    let options = ControllerOptions {
        connector: Arc::clone(&zookeeper.connector),
        settings: zookeeper.settings.clone(),
        metadata_version: metadata_core::metadata_version::MetadataVersion::LATEST_PRODUCTION,
        unserved_brokers: false,
        overrule_zk_governed: false,
        inter_broker_protocol: None,
        deletions_share_max: None,
    };
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
