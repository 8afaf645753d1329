//! `cargo xtask export`: a stopped cluster in ZooKeeper mode becomes directories that KRaft starts from.
//!
//! `plan` reads and decides all of it, here it is written, and `report` says what it was.

mod plan;
mod report;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersion;
use store_kraft::log::{BACKUP, convert, write_topic_id, write_whole};

use self::plan::{Plan, plan};
use self::report::{print_records, report};
use crate::cli::{Absent, Failure, Interrupt, Shell, VerbResult, ZooKeeperArgs};
use crate::export::supported_version;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// The controller's directory to be made: empty, or not there
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The metadata version to begin at, from 3.3-IV3 to 3.9-IV0
    #[arg(long, default_value = "3.9", value_name = "VERSION", value_parser = version)]
    metadata_version: MetadataVersion,

    /// The controller's id; no broker may have it
    #[arg(long, default_value_t = 3000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    node_id: i32,

    /// A log directory of a broker, to be checked; once for each directory of its log.dirs
    #[arg(long, value_name = "ID=DIR", value_parser = broker_dir)]
    broker_dir: Vec<(NodeId, PathBuf)>,

    /// A broker's server.properties: its log directories are checked, and its settings translated
    #[arg(long, value_name = "FILE")]
    broker_config: Vec<PathBuf>,

    /// Change the log directories that are named: meta.properties (the old one is kept) and missing partition.metadata
    #[arg(long)]
    convert_brokers: bool,

    /// Give an id to topics that have none, as those of brokers before Kafka 2.8; otherwise they are refused
    #[arg(long)]
    make_topic_ids: bool,

    /// Where the controller will listen, for the configurations that are proposed
    #[arg(long, default_value = "localhost:9093", value_name = "HOST:PORT")]
    controller: String,

    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Print every record as JSON, as dump-log does, secrets redacted
    #[arg(long, requires = "dry_run")]
    records: bool,
}

fn version(text: &str) -> Result<MetadataVersion, String> {
    supported_version(text.parse().map_err(|error| format!("{error}"))?)
}

fn broker_dir(text: &str) -> Result<(NodeId, PathBuf), String> {
    let (id, dir) = text.split_once('=').ok_or("write it as ID=DIR, 1=/var/lib/kafka for instance")?;
    let id = id.trim().parse().ok().filter(|id| *id >= 0).ok_or_else(|| format!("{id:?} is no broker id"))?;
    if dir.is_empty() { Err("the directory is missing".to_owned()) } else { Ok((NodeId(id), dir.into())) }
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let zookeeper = args.zookeeper.open(Absent::Refuse, shell).await?;
    let planned = tokio::select! {
        planned = plan(&args, &zookeeper) => planned?,
        () = interrupt.requested() => return Err(Failure::failed("interrupted").why("nothing was written")),
    };
    if args.records {
        print_records(&planned)?;
    }
    // Uninterrupted on purpose: it is short, and what a kill leaves is done anew.
    let (args, planned, shell) = (Arc::new(args), planned, shell.clone());
    let writing = {
        let args = Arc::clone(&args);
        tokio::task::spawn_blocking(move || {
            if !args.dry_run {
                write(&args, &planned, &shell)?;
            }
            Ok::<_, Failure>(report(&args, &planned))
        })
    };
    writing.await.map_err(|error| Failure::failed("the export did not end").because(&error))?
}

/// Writes everything. The controller's directory comes last: if it is whole, everything is.
fn write(args: &Args, plan: &Plan, shell: &Shell) -> Result<(), Failure> {
    if args.convert_brokers {
        convert_brokers(plan, shell)?;
    }
    // Private, since the log holds credentials.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.data_dir);
    made.map_err(|error| Failure::failed(format!("can't make {}", args.data_dir.display())).because(&error))?;
    write_whole(&args.data_dir, &plan.properties, &plan.prepared.image).map_err(|error| {
        Failure::from(error)
            .while_doing(format!("can't write {}", args.data_dir.display()))
            .next("no controller starts on it; run the same command again, it is done anew")
    })
}

fn convert_brokers(plan: &Plan, shell: &Shell) -> Result<(), Failure> {
    let failed = |dir: &Path, error: metadata_core::error::Error| {
        Failure::from(error).while_doing(format!("can't convert {}", dir.display())).next(format!(
            "run the same command again, or go back: rename {BACKUP} to meta.properties in each directory that has it"
        ))
    };
    for missing in &plan.judged.without_topic_id {
        write_topic_id(&missing.dir, &missing.replica, missing.topic_id)
            .map_err(|error| failed(&missing.dir.join(&missing.replica), error))?;
    }
    for conversion in plan.judged.conversions.iter().filter(|conversion| !conversion.is_done) {
        shell.note(format_args!("converting {}", conversion.dir.display()));
        convert(&conversion.dir, conversion.broker, &plan.cluster_id, conversion.directory_id)
            .map_err(|error| failed(&conversion.dir, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
