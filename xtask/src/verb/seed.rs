//! `cargo xtask seed`: a believable ZooKeeper-mode cluster in an empty ZooKeeper path.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use store_zk::client::ZkConnector;

use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeper, ZooKeeperArgs};
use crate::repository_root;
use crate::seed::{self, Blueprint, HeldBrokers, Manifest, PASSWORD_ENCODER_SECRET, SeedOptions};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// Ordinary topics; Kafka's two internal ones, and the awkward ones, come on top
    #[arg(long, default_value_t = 1000, value_name = "N")]
    topics: u32,

    /// Partitions of each ordinary topic
    #[arg(long, default_value_t = 10, value_name = "N")]
    partitions_per_topic: u32,

    /// Brokers, numbered from 1
    #[arg(long, default_value_t = 6, value_name = "N")]
    brokers: u32,

    /// Replicas of each partition
    #[arg(long, default_value_t = 3, value_name = "N")]
    replication_factor: u32,

    /// Decides ids, names, epochs, credentials and times: the same flags give the same znodes, byte for byte
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    /// Leave out old formats, strange names, topics being deleted or reassigned, and what else collects over the years
    #[arg(long)]
    no_awkward: bool,

    /// Where to write the account of what was made, as JSON [default: target/seed/...]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,

    /// Also write a Kafka configuration file for the verbs that follow, with the password encoder's secret
    #[arg(long, value_name = "FILE", conflicts_with = "zookeeper_config")]
    zookeeper_config_out: Option<PathBuf>,

    /// Stay in the foreground and hold the brokers' ephemeral znodes until Ctrl-C
    #[arg(long)]
    hold_brokers: bool,
}

impl Args {
    fn options(&self) -> SeedOptions {
        SeedOptions {
            topics: self.topics,
            partitions_per_topic: self.partitions_per_topic,
            brokers: self.brokers,
            replication_factor: self.replication_factor,
            seed: self.seed,
            awkward: !self.no_awkward,
        }
    }
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let options = args.options();
    let blueprint = Blueprint::new(options).map_err(|error| Failure::usage(error.to_string()))?;
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let opening = args.zookeeper.open(Absent::Start, shell);
    let zookeeper = interrupt.unless_requested(opening).await?.for_large_work()?;
    let place = zookeeper.connector.describe();

    let manifest = write_seed(&blueprint, &zookeeper, &interrupt, shell).await?;
    let manifest_file = args.manifest.clone().unwrap_or_else(|| default_manifest(&manifest.options));
    write_manifest(&manifest_file, &manifest)?;
    if let Some(file) = &args.zookeeper_config_out {
        write_file(file, properties(&place).as_bytes())?;
    }

    let mut outcome = report(&manifest, &place).say(format!("manifest: {}", manifest_file.display()));
    if let Some(file) = &args.zookeeper_config_out {
        outcome = outcome
            .say(format!("configuration: {} (use it as --zookeeper-config)", file.display()))
            .field("zookeeper_config_file", file);
    }
    let outcome = outcome
        .say(format!("reading the brokers' passwords needs password.encoder.secret={PASSWORD_ENCODER_SECRET}"))
        .field("zookeeper", &place)
        .field("manifest_file", &manifest_file)
        .field("manifest", &manifest)
        .field("held_brokers", args.hold_brokers.then_some(&manifest.brokers))
        .field("password_encoder_secret", PASSWORD_ENCODER_SECRET);

    if !args.hold_brokers && zookeeper.started.is_none() {
        return Ok(outcome);
    }
    let held = if args.hold_brokers {
        let brokers = blueprint.brokers().collect();
        let connector = zookeeper.connector.as_ref();
        let holding = HeldBrokers::register(connector, brokers, zookeeper.settings.secure_acls);
        Some(interrupt.unless_requested(holding).await?)
    } else {
        None
    };
    stay(outcome, held, zookeeper.connector.as_ref(), &interrupt, shell).await
}

/// Writes a blueprint into the empty path of a ZooKeeper, with progress.
pub(crate) async fn write_seed(
    blueprint: &Blueprint,
    zookeeper: &ZooKeeper,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Manifest, Failure> {
    let settings = &zookeeper.settings;
    let opening = async {
        seed::ensure_chroot(&settings.client, settings.secure_acls).await?;
        Ok(zookeeper.connector.connect().await?)
    };
    let session = interrupt.unless_requested(opening).await?;
    let progress = shell.progress("seed", "znodes", blueprint.node_count());
    let manifest = seed::write(session.as_ref(), blueprint, settings.secure_acls, &progress, interrupt).await?;
    if let Err(error) = session.close().await {
        tracing::debug!("the session was not closed: {error}");
    }
    Ok(manifest)
}

/// Prints that all is there, and stays until somebody asks to stop.
async fn stay(
    outcome: Outcome,
    held: Option<HeldBrokers>,
    connector: &dyn ZkConnector,
    interrupt: &Interrupt,
    shell: &Shell,
) -> VerbResult {
    for line in outcome.text() {
        shell.say(line);
    }
    match &held {
        Some(_) => shell.note("holding the brokers' znodes; Ctrl-C lets them go"),
        None => shell.note("the ZooKeeper runs until Ctrl-C"),
    }
    if let Some(fields) = outcome.into_fields() {
        shell.object(true, fields);
    }
    if let Some(mut held) = held {
        tokio::select! {
            () = interrupt.requested() => {}
            failure = held.keep(connector) => {
                // Ctrl-C on a terminal stops a ZooKeeper that we started as well.
                if !interrupt.is_requested() {
                    return Err(failure);
                }
            }
        }
        held.release().await;
    } else {
        interrupt.requested().await;
    }
    Ok(Outcome::printed())
}

fn report(manifest: &Manifest, place: &str) -> Outcome {
    let Manifest { topics, partitions, znodes, bytes, brokers, cluster_id, .. } = manifest;
    Outcome::done()
        .say(format!("seeded {place} with cluster {cluster_id}: {topics} topics, {partitions} partitions"))
        .say(format!("{znodes} znodes, {bytes} bytes, brokers {} to {}", brokers.first().unwrap_or(&0), brokers.len()))
}

/// Below the target folder, named for what decides its content.
fn default_manifest(options: &SeedOptions) -> PathBuf {
    let SeedOptions { topics, partitions_per_topic, brokers, replication_factor, seed, awkward } = options;
    let plain = if *awkward { "" } else { "-plain" };
    let name = format!("{topics}x{partitions_per_topic}x{replication_factor}-on-{brokers}-seed-{seed}{plain}.json");
    repository_root().join("target/seed").join(name)
}

fn write_manifest(file: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let mut json = serde_json::to_vec_pretty(manifest)
        .map_err(|error| Failure::failed("the manifest can't be written as JSON").because(&error))?;
    json.push(b'\n');
    write_file(file, &json)
}

/// Writes beside the file and renames, so that nobody reads half of it.
fn write_file(file: &Path, content: &[u8]) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder)
        .and_then(|()| tempfile::NamedTempFile::new_in(folder))
        .and_then(|mut temporary| temporary.write_all(content).map(|()| temporary))
        .and_then(|temporary| temporary.persist(file).map_err(|error| error.error));
    written.map(drop).map_err(|error| {
        Failure::failed(format!("{} can't be written", file.display()))
            .because(&error)
            .next("check the path, its permissions and the space there; the znodes are written")
    })
}

/// What the other verbs need to know of this cluster.
pub(crate) fn properties(connect: &str) -> String {
    format!(
        "# Written by `cargo xtask seed`. The secret is the seed's own and protects nothing.\n\
         zookeeper.connect={connect}\n\
         zookeeper.metadata.migration.enable=true\n\
         password.encoder.secret={PASSWORD_ENCODER_SECRET}\n"
    )
}

#[cfg(test)]
mod tests {
    use store_zk::client::config::{Properties, ZkSettings};

    use super::*;

    #[test]
    fn the_configuration_file_is_understood() {
        let properties = Properties::parse(&properties("127.0.0.1:2181/kafka")).unwrap();
        let settings = ZkSettings::from_properties(&properties, &|_| unreachable!()).unwrap();
        assert_eq!(settings.client.connect.to_string(), "127.0.0.1:2181/kafka");
        assert_eq!(settings.password_encoder.unwrap().secret.expose(), PASSWORD_ENCODER_SECRET);
        assert_eq!(settings.migration_enable, Some(true));
        assert_eq!(settings.notes, Vec::<String>::new());
    }

    #[test]
    fn a_file_is_written_with_its_folders_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b/manifest.json");
        for content in ["first and long", "second"] {
            write_file(&file, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
    }
}
