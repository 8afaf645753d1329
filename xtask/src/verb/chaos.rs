//! `cargo xtask chaos`: kills `migrate` with SIGKILL at random moments of the copy and of dual writing, runs it again, and
//! compares znode by znode what it ends with. `--at` is in [`at`], `--rivals` in [`rivals`].

mod at;
mod end_state;
mod rivals;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeperArgs};
use crate::own::{Counts, counted, end, finished, output, this_program, wait_for_dual_write};
use crate::seed::{Random, SeedOptions};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    zookeeper: ZooKeeperArgs,

    /// Kills in the copy, and as many in dual writing
    #[arg(long, default_value_t = 20, value_name = "N")]
    kills: u32,

    /// Decides the moments of the kills, the clusters, and the changes
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,

    /// Ordinary topics of each cluster
    #[arg(long, default_value_t = 300, value_name = "N")]
    topics: u32,

    /// Partitions of each ordinary topic
    #[arg(long, default_value_t = 10, value_name = "N")]
    partitions_per_topic: u32,

    /// Instead: have two controller processes fight for so many epochs over a ZooKeeper of their own
    #[arg(long, value_name = "EPOCHS", conflicts_with_all = ["kills", "zookeeper", "zookeeper_config"],
          value_parser = clap::value_parser!(u64).range(1..))]
    rivals: Option<u64>,

    /// Instead: kill it at this moment of the migration, or at every one of a step, or at `all`
    #[arg(long, value_name = "MOMENT", conflicts_with_all = ["kills", "rivals"])]
    at: Option<String>,

    /// Instead: list the moments of --at
    #[arg(long, conflicts_with_all = ["kills", "rivals", "at", "zookeeper", "zookeeper_config"])]
    list: bool,
}

impl Args {
    /// The clusters that `seed` makes for these flags.
    fn cluster(&self) -> SeedOptions {
        SeedOptions {
            topics: self.topics,
            partitions_per_topic: self.partitions_per_topic,
            seed: self.seed,
            ..SeedOptions::default()
        }
    }
}

/// Changes that are asked for in a round of dual writing: more than can be made before the kill.
const CHANGES: &str = "1000000";

/// What the rounds of dual writing came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Changed {
    /// Rounds in which changes had been made and more were on their way when the kill came.
    rounds: u32,
    /// Records of changes that were in the log after a kill.
    records: i64,
}

/// A cluster of its own, in a path of the ZooKeeper, with a data directory of its own.
struct Cluster {
    config: PathBuf,
    data_dir: PathBuf,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    if args.list {
        return Ok(at::list());
    }
    if let Some(epochs) = args.rivals {
        return rivals::run(&args, epochs, &interrupt, shell).await;
    }
    let zookeeper = interrupt.unless_requested(args.zookeeper.open(Absent::Start, shell)).await?;
    let folder = tempfile::tempdir().map_err(|error| Failure::failed("can't make a folder").because(&error))?;
    let servers = zookeeper.connector.describe();
    let mut random = Random::of(args.seed, "chaos", 0);
    if let Some(moment) = &args.at {
        return interrupt.unless_requested(at::run(&args, moment, &servers, folder.path(), shell)).await;
    }
    interrupt.unless_requested(rounds(&args, &servers, folder.path(), &mut random, shell)).await
}

async fn rounds(args: &Args, servers: &str, folder: &Path, random: &mut Random, shell: &Shell) -> VerbResult {
    let undisturbed = Cluster::seeded(args, servers, folder, "undisturbed").await?;
    let began = Instant::now();
    undisturbed.migrate_until_dual_write().await?;
    let copy_time = began.elapsed();
    let mut counts = undisturbed.verify().await?;
    let compared = counts.compared;
    shell.say(format!("undisturbed: {:.1} s to dual write, {compared} znodes compared", copy_time.as_secs_f64()));

    let mut interrupted = 0;
    let progress = shell.progress("kills in the copy", "kills", args.kills.into());
    for round in 0..args.kills {
        let label = |failure: Failure| failure.while_doing(format!("copy round {round}"));
        let cluster = Cluster::seeded(args, servers, folder, &format!("copy-{round}")).await?;
        let after = copy_time.mul_f64(f64::from(random.below(1000)) / 1000.0);
        interrupted += u32::from(cluster.killed_migration(after).await?);
        cluster.migrate_until_dual_write().await.map_err(label)?;
        let now = cluster.verify().await.map_err(label)?;
        if now.compared != compared {
            let what = format!("{} znodes compared, undisturbed {compared}", now.compared);
            return Err(label(Failure::divergent(what).next("run again with the same --seed, and report this")));
        }
        counts.divergent += now.divergent;
        progress.advance(1);
    }
    drop(progress);
    shell.say(format!("copy: {} kills, {interrupted} of them before dual write, all completed", args.kills));

    let mut changed = Changed::default();
    let progress = shell.progress("kills in dual write", "kills", args.kills.into());
    for round in 0..args.kills {
        let label = |failure: Failure| failure.while_doing(format!("dual-write round {round}"));
        let mut controller = undisturbed.start_migration(&[])?;
        let result = undisturbed.change_and_kill(&mut controller, random).await;
        end(&mut controller).await;
        let made = result.map_err(label)?;
        changed.rounds += u32::from(made > 0);
        changed.records += made;
        undisturbed.migrate_until_dual_write().await.map_err(label)?;
        let now = undisturbed.verify().await.map_err(label)?;
        counts = Counts { compared: now.compared, divergent: counts.divergent + now.divergent };
        progress.advance(1);
    }
    drop(progress);
    conclude(args.kills, interrupted, changed, counts)
}

/// Kills that hit nothing prove nothing, so they are no success.
fn conclude(kills: u32, interrupted: u32, changed: Changed, counts: Counts) -> VerbResult {
    let fields: [(&str, Value); 7] = [
        ("kills_in_copy", kills.into()),
        ("kills_before_dual_write", interrupted.into()),
        ("kills_in_dual_write", kills.into()),
        ("kills_under_changes", changed.rounds.into()),
        ("records_in_dual_write", changed.records.into()),
        ("compared_znodes", counts.compared.into()),
        ("divergent_znodes", counts.divergent.into()),
    ];
    if kills > 0 && (interrupted == 0 || changed.rounds == 0) {
        let failure = Failure::failed("the kills came when there was nothing to interrupt")
            .why(format!("{interrupted} of {kills} came before dual write, {} while changes were made", changed.rounds))
            .next("run it again with more --kills, more --topics or another --seed");
        return Err(fields.into_iter().fold(failure, |failure, (key, value)| failure.field(key, value)));
    }
    let outcome = Outcome::done().say(format!(
        "dual write: {kills} kills, {} of them while changes were made ({} records), all completed; divergent {} of {} \
         znodes",
        changed.rounds, changed.records, counts.divergent, counts.compared
    ));
    Ok(fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(key, value)))
}

impl Cluster {
    async fn seeded(args: &Args, servers: &str, folder: &Path, name: &str) -> Result<Self, Failure> {
        let config = folder.join(format!("{name}.properties"));
        let manifest = folder.join(format!("{name}.json"));
        let place = format!("{}/{name}", servers.trim_end_matches('/'));
        let numbers =
            [("--topics", args.topics.to_string()), ("--partitions-per-topic", args.partitions_per_topic.to_string())];
        let mut command = this_program("seed")?;
        command.args(["--zookeeper", &place, "--seed", &args.seed.to_string(), "--manifest"]).arg(&manifest);
        command.arg("--zookeeper-config-out").arg(&config);
        for (flag, number) in &numbers {
            command.args([flag, number.as_str()]);
        }
        finished("seed", command).await?;
        Ok(Self { config, data_dir: folder.join(name) })
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Result<Command, Failure> {
        let mut command = this_program(verb)?;
        command.args(arguments).arg("--data-dir").arg(&self.data_dir);
        Ok(command)
    }

    /// A migration as a child whose words nobody reads: a full pipe must not hold it.
    fn migration(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let mut command = self.command("migrate", arguments)?;
        command.arg("--unserved-brokers").arg("--zookeeper-config").arg(&self.config);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    fn start_migration(&self, arguments: &[&str]) -> Result<Child, Failure> {
        self.migration(arguments)?.spawn().map_err(|error| Failure::failed("can't start migrate").because(&error))
    }

    /// Starts a migration and kills it after a while. Returns whether it was killed before it had reached dual write.
    async fn killed_migration(&self, after: Duration) -> Result<bool, Failure> {
        let mut child = self.start_migration(&["--until", "dual-write"])?;
        let killed = tokio::time::timeout(after, child.wait()).await.is_err();
        end(&mut child).await;
        Ok(killed)
    }

    async fn migrate_until_dual_write(&self) -> Result<(), Failure> {
        let mut command = self.command("migrate", &["--until", "dual-write"])?;
        command.arg("--unserved-brokers").arg("--zookeeper-config").arg(&self.config);
        finished("migrate", command).await.map(drop)
    }

    /// Makes changes through a running controller and kills the controller in their middle. Returns how many records of
    /// changes the log had got by then; 0 if no change was on its way.
    async fn change_and_kill(&self, controller: &mut Child, random: &mut Random) -> Result<i64, Failure> {
        wait_for_dual_write(&self.data_dir, controller).await?;
        let before = self.log_end().await?;
        let seed = random.below(u32::MAX).to_string();
        let changing = self.command("change", &["random", "--count", CHANGES, "--seed", &seed])?;
        let after = Duration::from_millis(200 + u64::from(random.below(500)));
        let (_, changed) = tokio::join!(
            async {
                tokio::time::sleep(after).await;
                end(controller).await;
            },
            output(changing)
        );
        // The change fails with its controller. One that did not was done before the kill.
        let (status, _) = changed?;
        let made = self.log_end().await? - before;
        Ok(if status.success() { 0 } else { made })
    }

    /// End of the log (exclusive), as a running controller or the directory says.
    async fn log_end(&self) -> Result<i64, Failure> {
        let object = finished("status", self.command("status", &[])?).await?;
        let offset = object.get("log_end_offset").and_then(Value::as_i64);
        offset.ok_or_else(|| Failure::failed("status does not say where the log ends").why(object.to_string()))
    }

    /// Compares everything. A divergence is a failure.
    async fn verify(&self) -> Result<Counts, Failure> {
        let mut command = self.command("verify", &[])?;
        command.arg("--zookeeper-config").arg(&self.config);
        let object = finished("verify", command).await?;
        counted(&object)
            .filter(|counts| counts.compared > 0 && counts.divergent == 0)
            .ok_or_else(|| Failure::divergent("verify does not say that everything is equal").why(object.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    #[test]
    fn kills_that_hit_nothing_are_no_success() {
        let counts = Counts { compared: 9, divergent: 0 };
        let changed = |rounds| Changed { rounds, records: 7 };
        assert_eq!(conclude(5, 0, changed(5), counts).unwrap_err().exit(), Exit::Failed);
        assert_eq!(conclude(5, 5, changed(0), counts).unwrap_err().exit(), Exit::Failed);
        let fields = conclude(5, 1, changed(2), counts).unwrap().into_fields().unwrap();
        assert_eq!((&fields["kills_under_changes"], &fields["records_in_dual_write"]), (&2.into(), &7.into()));
        assert_eq!((&fields["compared_znodes"], &fields["divergent_znodes"]), (&9.into(), &0.into()));
        crate::documents::assert_fields_are_documented(fields.keys().map(String::as_str));
    }
}
