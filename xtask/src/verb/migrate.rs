//! `cargo xtask migrate`: a controller process in the foreground. Several of them are in [`controllers`].

mod controllers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use metadata_core::id::NodeId;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::ZkMigrationState;
use serde_json::Value;

use super::follow::{Followed, Until, follow};
use crate::cli::{
    Absent, BrokersArgs, Failure, Interrupt, Outcome, QuorumArgs, Shell, VerbResult, ZooKeeper, ZooKeeperArgs,
};
use crate::control::{ControlServer, Request, ask};
use crate::controller::{
    Controller, ControllerOptions, DataDir, LogOnDisk, Seal, StatusReport, blockers, look_first, peak_resident_bytes,
};

/// A full sync may delete so much of ZooKeeper's topics, unless the operator says otherwise.
const DELETED_TOPICS_SHARE: f64 = 0.2;

/// A new log starts at this, unless the operator says otherwise.
const NEW_LOG_VERSION: MetadataVersion = MetadataVersion::V3_9_IV0;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    #[command(flatten)]
    quorum: QuorumArgs,

    #[command(flatten)]
    brokers: BrokersArgs,

    /// Run so many controllers on this machine, each a process with its own directory below --data-dir
    ///
    /// They get the ids from --node-id on, and are watched over: who leads is told when it changes, and one that is killed is
    /// started again.
    #[arg(long, value_name = "N", conflicts_with_all = ["quorum_voters", "listen", "broker_listener"], help_heading = "Quorum",
          value_parser = clap::value_parser!(u8).range(1..=5))]
    controllers: Option<u8>,

    /// The controller's directory: made on first use, then its own
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// The controller's id; no broker may have it
    #[arg(long, default_value_t = 3000, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    node_id: i32,

    /// The metadata version that a new log starts at, 3.9 if it is not given; a log that has one goes on with it
    #[arg(long, value_name = "VERSION", value_parser = metadata_version)]
    metadata_version: Option<MetadataVersion>,

    /// The brokers' inter.broker.protocol.version, which /brokers/ids does not tell: it must equal the metadata version
    #[arg(long, value_name = "VERSION")]
    inter_broker_protocol: Option<MetadataVersion>,

    /// Take over although nobody will serve the brokers that are alive or have replicas
    ///
    /// No leader is elected for their partitions any more. Right for a rehearsal on a copy of the ZooKeeper, wrong for a
    /// cluster that somebody uses: see --broker-listener.
    #[arg(long)]
    unserved_brokers: bool,

    /// A full sync may delete at most this share of ZooKeeper's topics, from 0 to 1 (ten topics it may always)
    ///
    /// Deleting more is refused, since it is more often a wrong data directory than a wish.
    #[arg(long, default_value_t = DELETED_TOPICS_SHARE, value_name = "SHARE", value_parser = share)]
    max_deleted_topics_share: f64,

    /// Claim ZooKeeper although somebody else governed it since this log was last written to it (state ZK_GOVERNED)
    ///
    /// Whatever was changed there meanwhile is lost: the log is written over it. Serves for one claim.
    #[arg(long)]
    overrule_zk_governed: bool,

    /// Stop, with exit code 0, once this is reached
    #[arg(long, value_name = "STATE")]
    until: Option<UntilState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UntilState {
    /// State DUAL_WRITE, and ZooKeeper lacks nothing
    DualWrite,
}

fn metadata_version(text: &str) -> Result<MetadataVersion, String> {
    let version: MetadataVersion = text.parse().map_err(|error| format!("{error}"))?;
    if !version.supports_zk_migration_start() {
        return Err(format!("a migration needs metadata transactions: choose {} or newer", MetadataVersion::V3_6_IV1));
    }
    if !version.is_production() {
        let latest = MetadataVersion::LATEST_PRODUCTION;
        return Err(format!(
            "Kafka 4 can't migrate, and its metadata versions are not for 3.9: choose {latest} or older"
        ));
    }
    Ok(version)
}

/// What to say when the operator named another version than the log has.
fn version_note(given: Option<MetadataVersion>, in_log: Option<&str>) -> Option<String> {
    let (given, in_log) = (given?.to_string(), in_log?);
    let differs = given != in_log;
    differs.then(|| {
        format!("note: the log has metadata version {in_log} and goes on with it; --metadata-version {given} is for new logs")
    })
}

impl Args {
    fn new_log_version(&self) -> MetadataVersion {
        self.metadata_version.unwrap_or(NEW_LOG_VERSION)
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".to_owned()),
    }
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    if let Some(count) = args.controllers {
        return controllers::run(&args, count, shell).await;
    }
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let zookeeper = args.zookeeper.open(Absent::Refuse, shell).await?;
    if zookeeper.settings.migration_enable == Some(false) {
        return Err(Failure::blocked("the configuration forbids the migration")
            .why("zookeeper.metadata.migration.enable is false")
            .next("set it to true on every controller and broker, or leave it out of this file"));
    }
    let node_id = NodeId(args.node_id);
    let looked = interrupt.unless_requested(ground(&args, &zookeeper, node_id)).await;
    let Ground { cluster_id, place, topics } = match looked {
        Ok(ground) => ground,
        // A finalized migration needs no ZooKeeper, and minds none.
        Err(failure) => finalized_before(&args.data_dir, failure, shell).await?,
    };
    // The lock says the same, unless somebody took its file for a stale one and removed it.
    if let Ok(Some(running)) = ask::<StatusReport>(&args.data_dir, &Request::Status, |_| {}).await {
        let holder = running.process.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"));
        return Err(Failure::blocked(format!("the data directory {} is in use by {holder}", args.data_dir.display()))
            .why("a controller answers at its control socket")
            .next("talk to that one, or stop it first"));
    }
    Seal::check(&args.data_dir, args.quorum.peers(node_id)?.is_some())?;
    let data_dir = prepare(args.data_dir.clone(), node_id, cluster_id.clone(), args.new_log_version()).await?;
    shell.note(format_args!(
        "cluster {cluster_id} at {place}, {topics} topics; {} {}",
        if data_dir.is_new { "formatted" } else { "going on in" },
        data_dir.path.display()
    ));
    let controller = start(&args, &zookeeper, data_dir).await?;
    if let Some(note) = version_note(args.metadata_version, controller.status().await.metadata_version.as_deref()) {
        shell.note(note);
    }
    let server = ControlServer::start(&args.data_dir, Arc::<Controller>::clone(&controller));
    let result = match server {
        Ok(server) => {
            let result = stay(&args, &controller, topics, &interrupt, shell).await;
            // Whoever asked for a rollback is still to be answered.
            server.finish().await;
            result
        }
        Err(failure) => Err(failure),
    };
    let last = controller.status().await;
    let stopped = controller.stop().await;
    let followed = result.map_err(|failure| with_status(failure, &last))?;
    stopped?;
    end(&args, followed, &last)
}

/// What the first look found.
struct Ground {
    cluster_id: String,
    place: String,
    topics: u64,
}

/// Looks at ZooKeeper before anything is written anywhere.
async fn ground(args: &Args, zookeeper: &ZooKeeper, node_id: NodeId) -> Result<Ground, Failure> {
    let seen = look_first(zookeeper.connector.as_ref()).await?;
    let reasons = blockers(&seen, node_id, args.unserved_brokers || args.brokers.broker_listener.is_some());
    if reasons.is_empty() {
        return Ok(Ground { cluster_id: seen.cluster_id, place: seen.place, topics: seen.topics });
    }
    Err(Failure::blocked(format!("the migration of cluster {} must not start", seen.cluster_id))
        .whys(reasons)
        .next(
            "live brokers: serve them with --broker-listener, or use --unserved-brokers if nobody needs them, as in a \
             rehearsal; node id: choose another --node-id",
        )
        .field("cluster_id", seen.cluster_id))
}

/// Goes on without a ZooKeeper where the log says that the migration is finalized; else what the look failed with.
async fn finalized_before(data_dir: &Path, failure: Failure, shell: &Shell) -> Result<Ground, Failure> {
    let path = data_dir.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let found = DataDir::read(&path).ok()??;
        let log = LogOnDisk::read(&path, None).ok()?;
        let finalized = log.image.zk_migration_state() == ZkMigrationState::PostMigration;
        finalized.then(|| (found.cluster_id, log.image.topics().len() as u64))
    });
    let Ok(Some((cluster_id, topics))) = read.await else { return Err(failure) };
    shell.note(format_args!("the migration is finalized, so ZooKeeper is not needed any more; it said: {failure}"));
    Ok(Ground { cluster_id, place: "no ZooKeeper".to_owned(), topics })
}

/// The data directory, formatted if it is new. Off the async threads, since it waits for the disk.
pub(super) async fn prepare(
    path: PathBuf,
    node_id: NodeId,
    cluster_id: String,
    version: MetadataVersion,
) -> Result<DataDir, Failure> {
    let preparing = tokio::task::spawn_blocking(move || DataDir::prepare(&path, node_id, &cluster_id, version));
    preparing.await.map_err(|error| Failure::failed("the data directory was not prepared").because(&error))?
}

async fn start(args: &Args, zookeeper: &ZooKeeper, data_dir: DataDir) -> Result<Arc<Controller>, Failure> {
    let options = ControllerOptions {
        metadata_version: args.new_log_version(),
        unserved_brokers: args.unserved_brokers,
        overrule_zk_governed: args.overrule_zk_governed,
        inter_broker_protocol: args.inter_broker_protocol,
        deletions_share_max: Some(args.max_deleted_topics_share),
        peers: args.quorum.peers(NodeId(args.node_id))?,
        brokers: args.brokers.serve(NodeId(args.node_id))?,
        ..ControllerOptions::new(Arc::clone(&zookeeper.connector), zookeeper.settings.clone())
    };
    Ok(Arc::new(Controller::start(options, data_dir).await?))
}

/// Follows the migration to the state that was asked for, or until somebody asks to stop.
async fn stay(
    args: &Args,
    controller: &Controller,
    topics: u64,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Followed, Failure> {
    let first = follow(controller, Until::DualWrite, topics, interrupt, shell).await?;
    if first == Followed::Reached {
        for line in manifest(&controller.status().await) {
            shell.say(line);
        }
    }
    if matches!(first, Followed::Interrupted | Followed::RolledBack) || args.until.is_some() {
        return Ok(first);
    }
    if first == Followed::Finalized {
        shell.say("finalized: an ordinary KRaft controller; Ctrl-C stops it");
        return follow(controller, Until::Stopped, topics, interrupt, shell).await;
    }
    shell.say(format_args!(
        "dual writing; `cargo xtask status --data-dir {}` looks at it, Ctrl-C stops it",
        args.data_dir.display()
    ));
    follow(controller, Until::Stopped, topics, interrupt, shell).await
}

/// What was copied and synced, for people.
pub(super) fn manifest(status: &StatusReport) -> Vec<String> {
    let mut lines: Vec<String> = status.copy.iter().flat_map(|copy| copy.lines()).collect();
    if let Some(sync) = &status.sync {
        lines.push(format!(
            "synced ZooKeeper: {} compared, {} written, {} deleted, {:.1} s",
            sync.compared, sync.written, sync.deleted, sync.seconds
        ));
        lines.extend(sync.unrepresentable.iter().map(|what| format!("  ZooKeeper can't hold {what}")));
        lines.extend(sync.warnings.iter().map(|warning| format!("  {warning}")));
    }
    if let Some(peak) = peak_resident_bytes() {
        lines.push(format!("peak resident memory: {} MiB", peak >> 20));
    }
    lines
}

fn end(args: &Args, followed: Followed, last: &StatusReport) -> VerbResult {
    let again = resume(args);
    if followed == Followed::RolledBack {
        return rolled_back(args, last);
    }
    if followed == Followed::Interrupted && args.until.is_some() {
        let failure = Failure::failed("stopped before DUAL_WRITE was reached").why("somebody asked for it");
        return Err(with_status(failure.next(format!("to go on, run the same again: {again}")), last));
    }
    if followed == Followed::Finalized {
        let failure = Failure::blocked("DUAL_WRITE is never reached again")
            .why("the migration is finalized: ZooKeeper is written no more, whatever is set")
            .next("leave out --until to run it as an ordinary KRaft controller");
        return Err(with_status(failure, last));
    }
    let mut outcome = Outcome::done()
        .say(match followed {
            Followed::Reached => format!("{}, and {}", last.driver_state, last.zookeeper_has()),
            Followed::Interrupted | Followed::Finalized | Followed::RolledBack => {
                format!("stopped in {}", last.driver_state)
            }
        })
        .say(format!("to go on: {again}"));
    for (key, value) in fields(last) {
        outcome = outcome.field(&key, value);
    }
    Ok(outcome)
}

/// Somebody ended the migration by a rollback. Whoever waits for dual write waits in vain.
fn rolled_back(args: &Args, last: &StatusReport) -> VerbResult {
    let next = "ZooKeeper is its brokers' again; for a new migration use a fresh --data-dir";
    if args.until.is_some() {
        let failure = Failure::blocked("the migration was rolled back").why("`rollback` was asked for, and it is done");
        return Err(with_status(failure.next(next), last));
    }
    let outcome = Outcome::done().say(format!("rolled back, in {}", last.driver_state)).say(next);
    Ok(fields(last).into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value)))
}

fn with_status(failure: Failure, last: &StatusReport) -> Failure {
    fields(last).into_iter().fold(failure, |failure, (key, value)| failure.field(&key, value))
}

/// The fields of the verb's object: those of `status`, and what only the process itself knows.
fn fields(last: &StatusReport) -> Vec<(String, Value)> {
    let mut fields = super::fields_of(last);
    fields.push(("peak_resident_bytes".to_owned(), peak_resident_bytes().into()));
    fields
}

/// The command that goes on.
fn resume(args: &Args) -> String {
    let mut command = "cargo xtask migrate".to_owned();
    let mut add = |flag: &str, value: &dyn std::fmt::Display| command.push_str(&format!(" {flag} {value}"));
    if let Some(zookeeper) = &args.zookeeper.zookeeper {
        add("--zookeeper", zookeeper);
    }
    if let Some(file) = &args.zookeeper.zookeeper_config {
        add("--zookeeper-config", &shell_word(file));
    }
    add("--data-dir", &shell_word(&args.data_dir));
    if args.node_id != 3000 {
        add("--node-id", &args.node_id);
    }
    if let Some(count) = args.controllers {
        add("--controllers", &count);
    }
    if let Some(voters) = &args.quorum.quorum_voters {
        add("--quorum-voters", voters);
    }
    if let Some(listen) = &args.quorum.listen {
        add("--listen", listen);
    }
    #[cfg(feature = "tls")]
    for (flag, file) in [
        ("--quorum-authorities", &args.quorum.quorum_authorities),
        ("--quorum-certificate", &args.quorum.quorum_certificate),
        ("--quorum-key", &args.quorum.quorum_key),
    ] {
        if let Some(file) = file {
            add(flag, &shell_word(file));
        }
    }
    if args.max_deleted_topics_share != DELETED_TOPICS_SHARE {
        add("--max-deleted-topics-share", &args.max_deleted_topics_share);
    }
    if let Some(version) = args.inter_broker_protocol {
        add("--inter-broker-protocol", &version);
    }
    let brokers = &args.brokers;
    if let Some(listener) = &brokers.broker_listener {
        add("--broker-listener", listener);
        add("--controller-listener-name", &brokers.controller_listener_name);
        add("--inter-broker-listener", &brokers.inter_broker_listener);
    }
    if let Some(voters) = &brokers.broker_voters {
        add("--broker-voters", voters);
    }
    if args.unserved_brokers {
        command.push_str(" --unserved-brokers");
    }
    command
}

/// A path as a shell takes it.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Command::try_parse_from(["migrate"].iter().chain(line)).map(|command| command.args)
    }

    #[test]
    fn the_command_that_goes_on_is_the_one_that_was_given() {
        let plain = parse(&["--zookeeper", "zk:2181/kafka", "--data-dir", "/var/c"]).unwrap();
        assert_eq!(resume(&plain), "cargo xtask migrate --zookeeper zk:2181/kafka --data-dir /var/c");
        let all = parse(&[
            "--zookeeper-config",
            "it's",
            "--data-dir",
            "a b",
            "--node-id",
            "7",
            "--unserved-brokers",
            "--max-deleted-topics-share",
            "0.5",
            "--until",
            "dual-write",
        ]);
        let expected = "cargo xtask migrate --zookeeper-config 'it'\\''s' --data-dir 'a b' --node-id 7 \
                        --max-deleted-topics-share 0.5 --unserved-brokers";
        assert_eq!(resume(&all.unwrap()), expected);
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        for line in [
            &["--zookeeper", "zk:1"][..],
            &["--data-dir", "d", "--node-id", "-1"],
            &["--data-dir", "d", "--metadata-version", "3.5"],
            &["--data-dir", "d", "--metadata-version", "x"],
            &["--data-dir", "d", "--until", "tomorrow"],
            &["--data-dir", "d", "--max-deleted-topics-share", "1.1"],
            &["--data-dir", "d", "--max-deleted-topics-share", "NaN"],
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        let defaults = parse(&["--data-dir", "d"]).unwrap();
        assert_eq!((defaults.node_id, defaults.new_log_version()), (3000, MetadataVersion::V3_9_IV0));
    }

    #[test]
    fn a_version_that_is_not_used_is_told() {
        let given = Some(MetadataVersion::V3_6_IV1);
        for (given, in_log, told) in [
            (None, None, false),
            (None, Some("3.9-IV0"), false),
            (given, None, false),
            (given, Some("3.6-IV1"), false),
            (given, Some("3.9-IV0"), true),
        ] {
            let note = version_note(given, in_log);
            assert_eq!(note.is_some(), told, "{given:?} {in_log:?}");
            assert!(note.is_none_or(|note| note.contains("3.9-IV0") && note.contains("3.6-IV1")));
        }
    }
}
