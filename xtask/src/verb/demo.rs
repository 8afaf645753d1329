//! `cargo xtask demo`: a whole migration of a made-up cluster, checked znode by znode.

mod quorum;
mod story;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersion;
use store_zk::client::config::{PasswordEncoderSettings, Properties, ZkSettings};

use self::story::{Told, tell};
use super::follow::{Followed, Until, follow};
use super::migrate::{manifest, prepare};
use super::seed::write_seed;
use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeper, ZooKeeperArgs};
use crate::controller::{Controller, ControllerOptions, look_first};
use crate::seed::{Blueprint, HeldBrokers, Manifest, PASSWORD_ENCODER_SECRET, SeedOptions};

/// The controller's id: far from the brokers'.
const NODE_ID: NodeId = NodeId(3000);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// Ordinary topics of the cluster
    #[arg(long, default_value_t = 1000, value_name = "N")]
    topics: u32,

    /// Partitions of each
    #[arg(long, default_value_t = 10, value_name = "N")]
    partitions_per_topic: u32,

    /// Random changes while both sides are written
    #[arg(long, default_value_t = 200, value_name = "N")]
    changes: u64,

    /// Keep the controller's data directory
    #[arg(long)]
    keep: bool,

    /// Run so many controllers instead of one, each a process of its own, with a metadata quorum between them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(3..=5))]
    controllers: Option<u8>,

    /// Kill the leader in the middle of the copy, and the next one in the middle of dual writing
    #[arg(long, requires = "controllers")]
    kill_leader: bool,

    /// Do it so many times, each with another cluster
    #[arg(long, default_value_t = 1, value_name = "N", requires = "controllers",
          value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    if let Some(count) = args.controllers {
        return quorum::run(&args, count, shell).await;
    }
    let options =
        SeedOptions { topics: args.topics, partitions_per_topic: args.partitions_per_topic, ..SeedOptions::default() };
    let blueprint = Blueprint::new(options).map_err(|error| Failure::usage(error.to_string()))?;
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let opening = args.zookeeper.open(Absent::Start, shell);
    let mut zookeeper = interrupt.unless_requested(opening).await?.for_large_work()?;
    // The seed's passwords are encoded with the seed's own secret.
    zookeeper.settings.password_encoder = Some(password_encoder()?);

    let manifest = seed(&blueprint, &zookeeper, &interrupt, shell).await?;
    let brokers = blueprint.brokers().collect();
    let holding = HeldBrokers::register(zookeeper.connector.as_ref(), brokers, zookeeper.settings.secure_acls);
    let mut held = interrupt.unless_requested(holding).await?;
    shell.say(format_args!(
        "brokers 1 to {} are registered, 1 as controller: znodes that the demo holds itself, with no process behind them",
        manifest.brokers.len()
    ));

    let result = tokio::select! {
        result = migrate_and_check(&args, &zookeeper, &manifest, &interrupt, shell) => result,
        failure = held.keep(zookeeper.connector.as_ref()) => {
            Err(if interrupt.is_requested() { interrupted() } else { failure })
        }
    };
    held.release().await;
    result
}

/// What the seed encodes its passwords with.
fn password_encoder() -> Result<PasswordEncoderSettings, Failure> {
    let text = format!("zookeeper.connect=localhost:1\npassword.encoder.secret={PASSWORD_ENCODER_SECRET}\n");
    let settings = Properties::parse(&text)
        .and_then(|properties| ZkSettings::from_properties(&properties, &|_| Ok(String::new())))?;
    settings.password_encoder.ok_or_else(|| Failure::failed("the seed's secret is not understood"))
}

async fn seed(
    blueprint: &Blueprint,
    zookeeper: &ZooKeeper,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Manifest, Failure> {
    let manifest = write_seed(blueprint, zookeeper, interrupt, shell).await?;
    shell.say(format_args!(
        "seeded {}: {} topics with {} partitions, {} znodes, as a Kafka 3.9 cluster in ZooKeeper mode has them",
        zookeeper.connector.describe(),
        manifest.topics,
        manifest.partitions,
        manifest.znodes
    ));
    Ok(manifest)
}

/// The controller's directory, removed at the end unless it is to be kept.
enum Folder {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn new(keep: bool) -> Result<Self, Failure> {
        let made = tempfile::Builder::new().prefix("xtask-demo-").tempdir().map_err(|error| {
            Failure::failed("no temporary folder can be made").because(&error).next("check the space and TMPDIR")
        })?;
        Ok(if keep { Self::Kept(made.keep()) } else { Self::Temporary(made) })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.path().join("controller")
    }
}

async fn migrate_and_check(
    args: &Args,
    zookeeper: &ZooKeeper,
    seeded: &Manifest,
    interrupt: &Interrupt,
    shell: &Shell,
) -> VerbResult {
    let folder = Folder::new(args.keep)?;
    let seen = interrupt.unless_requested(look_first(zookeeper.connector.as_ref())).await?;
    let version = MetadataVersion::LATEST_PRODUCTION;
    let data_dir = prepare(folder.data_dir(), NODE_ID, seen.cluster_id, version).await?;
    shell.say(
        "migrating with --unserved-brokers: right here, since nobody is behind these brokers; on a real cluster they \
         would be left without a controller",
    );
    let options = ControllerOptions {
        metadata_version: version,
        unserved_brokers: true,
        ..ControllerOptions::new(Arc::clone(&zookeeper.connector), zookeeper.settings.clone())
    };
    let controller = Controller::start(options, data_dir).await?;
    let told = story(args, &controller, zookeeper, seeded, seen.topics, interrupt, shell).await;
    let stopped = controller.stop().await;
    let outcome = conclude(told?, seeded, args.keep.then(|| folder.data_dir()), shell)?;
    stopped?;
    Ok(outcome)
}

async fn story(
    args: &Args,
    controller: &Controller,
    zookeeper: &ZooKeeper,
    seeded: &Manifest,
    topics: u64,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Told, Failure> {
    if follow(controller, Until::DualWrite, topics, interrupt, shell).await? == Followed::Interrupted {
        return Err(interrupted());
    }
    for line in manifest(&controller.status().await) {
        shell.say(line);
    }
    tokio::select! {
        told = tell(controller, zookeeper.connector.as_ref(), seeded, args.changes, shell) => told,
        () = interrupt.requested() => Err(interrupted()),
    }
}

fn interrupted() -> Failure {
    Failure::failed("the demo was interrupted").next("run it again: it starts from the beginning")
}

/// The end: what a person enjoys reading, and what a program checks.
fn conclude(told: Told, seeded: &Manifest, kept: Option<PathBuf>, shell: &Shell) -> VerbResult {
    let copy = told.status.copy.clone().unwrap_or_default();
    let records = seeded.expected_records.total();
    let fields = [
        ("topics", seeded.topics.into()),
        ("partitions", seeded.partitions.into()),
        ("records", told.copied.into()),
        ("expected_records", records.into()),
        ("copy_seconds", copy.seconds.into()),
        ("dual_write_changes", told.changes.into()),
        ("changes_per_second", told.changes_per_second.into()),
        ("compared_znodes", told.verified.total.compared.into()),
        ("masked_znodes", told.verified.total.masked.into()),
        ("ignored_znodes", told.verified.total.ignored.into()),
        ("divergent_znodes", told.verified.total.divergent.into()),
        ("families", serde_json::to_value(&told.verified.families).unwrap_or_default()),
        ("migration_state", told.status.migration_state.clone().into()),
        ("driver_state", told.status.driver_state.clone().into()),
        ("peak_resident_bytes", crate::controller::peak_resident_bytes().into()),
        ("data_dir", kept.as_ref().map(|dir| dir.display().to_string()).into()),
        ("differences", serde_json::to_value(&told.verified.differences).unwrap_or_default()),
    ];
    let divergent = told.verified.total.divergent;
    if divergent > 0 || !told.miscounted.is_empty() {
        for line in told.verified.lines() {
            shell.say(line);
        }
        let mut failure = Failure::divergent("the two sides differ").whys(told.miscounted.clone());
        if divergent > 0 {
            let compared = told.verified.total.compared;
            failure = failure.why(format!("{divergent} of {compared} compared znodes are not what the log says"));
        }
        let failure = failure.next("this is a bug: keep the output, run again with --keep, and report both");
        return Err(fields
            .into_iter()
            .fold(failure, |failure, (key, value): (_, serde_json::Value)| failure.field(key, value)));
    }
    let total = told.verified.total;
    let mut outcome = Outcome::done()
        .say("")
        .say(format!("  {} topics, {} partitions moved from ZooKeeper to KRaft", seeded.topics, seeded.partitions))
        .say(format!(
            "  {records} records and the migration state in one transaction, {:.1} s; every count as seeded",
            copy.seconds
        ))
        .say(format!(
            "  {} changes since, each in both places, {:.0} per second",
            told.changes, told.changes_per_second
        ))
        .say(format!(
            "  {} znodes compared: divergent 0 ({} masked, {} ignored)",
            total.compared, total.masked, total.ignored
        ))
        .say(format!(
            "  the log says {}, the driver {}: nothing was lost",
            told.status.migration_state, told.status.driver_state
        ));
    if let Some(dir) = &kept {
        outcome = outcome.say(format!("  the log is in {0}: try `cargo xtask dump-log {0}`", dir.display()));
    }
    Ok(fields.into_iter().fold(outcome, |outcome, (key, value): (_, serde_json::Value)| outcome.field(key, value)))
}
