//! `cargo xtask chaos`: kills `migrate` with SIGKILL at random moments of the copy and of dual writing, runs it again, and
//! compares znode by znode what it ends with.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeperArgs};
use crate::seed::Random;

/// A run that takes longer than this hangs.
const RUN_MAX: Duration = Duration::from_secs(600);

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
}

/// A cluster of its own, in a path of the ZooKeeper, with a data directory of its own.
struct Cluster {
    config: PathBuf,
    data_dir: PathBuf,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let zookeeper = interrupt.unless_requested(args.zookeeper.open(Absent::Start, shell)).await?;
    let folder = tempfile::tempdir().map_err(|error| Failure::failed("can't make a folder").because(&error))?;
    let servers = zookeeper.connector.describe();
    let mut random = Random::of(args.seed, "chaos", 0);
    interrupt.unless_requested(rounds(&args, &servers, folder.path(), &mut random, shell)).await
}

async fn rounds(args: &Args, servers: &str, folder: &Path, random: &mut Random, shell: &Shell) -> VerbResult {
    let undisturbed = Cluster::seeded(args, servers, folder, "undisturbed").await?;
    let began = Instant::now();
    undisturbed.migrate_until_dual_write().await?;
    let copy_time = began.elapsed();
    let compared = undisturbed.verify().await?;
    shell.say(format!("undisturbed: {:.1} s to dual write, {compared} znodes compared", copy_time.as_secs_f64()));

    let mut interrupted = 0;
    let progress = shell.progress("kills in the copy", "kills", args.kills.into());
    for round in 0..args.kills {
        let cluster = Cluster::seeded(args, servers, folder, &format!("copy-{round}")).await?;
        let after = copy_time.mul_f64(f64::from(random.below(1000)) / 1000.0);
        interrupted += u32::from(cluster.killed_migration(after).await?);
        cluster.migrate_until_dual_write().await.map_err(|error| error.while_doing(format!("copy round {round}")))?;
        let now = cluster.verify().await.map_err(|error| error.while_doing(format!("copy round {round}")))?;
        if now != compared {
            return Err(Failure::divergent(format!(
                "copy round {round}: {now} znodes compared, undisturbed {compared}"
            )));
        }
        progress.advance(1);
    }
    drop(progress);
    shell.say(format!(
        "copy: {} kills, {interrupted} of them before dual write, all completed, divergent 0",
        args.kills
    ));

    let progress = shell.progress("kills in dual write", "kills", args.kills.into());
    let before = undisturbed.log_end().await?;
    for round in 0..args.kills {
        let label = || format!("dual-write round {round}");
        let mut controller = undisturbed.start_migration(&[])?;
        let result = undisturbed.change_and_kill(&mut controller, random, round).await;
        end(&mut controller).await;
        result.map_err(|error| error.while_doing(label()))?;
        undisturbed.migrate_until_dual_write().await.map_err(|error| error.while_doing(label()))?;
        undisturbed.verify().await.map_err(|error| error.while_doing(label()))?;
        progress.advance(1);
    }
    drop(progress);
    let records = undisturbed.log_end().await? - before;
    Ok(Outcome::done()
        .say(format!("dual write: {} kills under {records} records of changes, all completed, divergent 0", args.kills))
        .field("kills_in_copy", args.kills)
        .field("kills_before_dual_write", interrupted)
        .field("kills_in_dual_write", args.kills)
        .field("records_in_dual_write", records)
        .field("compared_znodes", compared)
        .field("divergent_znodes", 0))
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

    fn start_migration(&self, arguments: &[&str]) -> Result<Child, Failure> {
        let mut command = self.command("migrate", arguments)?;
        command.arg("--unserved-brokers").arg("--zookeeper-config").arg(&self.config);
        // Nobody reads what it says; a full pipe must not hold it.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| Failure::failed("can't start migrate").because(&error))
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

    /// Makes changes through a running controller and kills the controller in their middle.
    async fn change_and_kill(&self, controller: &mut Child, random: &mut Random, round: u32) -> Result<(), Failure> {
        self.wait_for_dual_write(controller).await?;
        let seed = (u64::from(round) + 1).to_string();
        let changing = self.command("change", &["random", "--count", "5000", "--seed", &seed])?;
        let after = Duration::from_millis(50 + u64::from(random.below(1500)));
        let (_, changed) = tokio::join!(
            async {
                tokio::time::sleep(after).await;
                end(controller).await;
            },
            output(changing)
        );
        // The change itself fails with its controller. What matters is that it ends.
        changed.map(drop)
    }

    /// End of the log (exclusive), once no controller runs.
    async fn log_end(&self) -> Result<i64, Failure> {
        let object = finished("status", self.command("status", &[])?).await?;
        let offset = object.get("log_end_offset").and_then(Value::as_i64);
        offset.ok_or_else(|| Failure::failed("status does not say where the log ends").why(object.to_string()))
    }

    async fn wait_for_dual_write(&self, controller: &mut Child) -> Result<(), Failure> {
        let deadline = Instant::now() + RUN_MAX;
        loop {
            let (status, object) = output(self.command("status", &[])?).await?;
            if status.success() && object.get("driver_state").and_then(Value::as_str) == Some("DUAL_WRITE") {
                return Ok(());
            }
            let ended =
                controller.try_wait().map_err(|error| Failure::failed("can't watch migrate").because(&error))?;
            if let Some(status) = ended {
                return Err(Failure::failed("migrate ended by itself").why(status.to_string()));
            }
            if Instant::now() > deadline {
                return Err(Failure::failed("migrate never reached dual write").why(object.to_string()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Compares everything. Returns how many znodes were compared; a divergence is a failure.
    async fn verify(&self) -> Result<u64, Failure> {
        let mut command = self.command("verify", &[])?;
        command.arg("--zookeeper-config").arg(&self.config);
        let object = finished("verify", command).await?;
        let total = |field: &str| object.pointer(&format!("/{field}")).and_then(Value::as_u64);
        match (total("compared"), total("divergent")) {
            (Some(compared), Some(0)) if compared > 0 => Ok(compared),
            _ => Err(Failure::divergent("verify does not say that everything is equal").why(object.to_string())),
        }
    }
}

fn this_program(verb: &str) -> Result<Command, Failure> {
    let program =
        std::env::current_exe().map_err(|error| Failure::failed("can't find this program").because(&error))?;
    let mut command = Command::new(program);
    command
        .args([verb, "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Kills a child of ours, if it still runs, and waits for its end.
async fn end(child: &mut Child) {
    // It may have ended already.
    drop(child.start_kill());
    drop(child.wait().await);
}

async fn output(mut command: Command) -> Result<(ExitStatus, Value), Failure> {
    let output = tokio::time::timeout(RUN_MAX, command.output())
        .await
        .map_err(|_| Failure::failed("a run takes too long").why(format!("longer than {} s", RUN_MAX.as_secs())))?
        .map_err(|error| Failure::failed("can't run this program again").because(&error))?;
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    Ok((output.status, serde_json::from_str(&last).unwrap_or_default()))
}

async fn finished(what: &str, command: Command) -> Result<Value, Failure> {
    let (status, object) = output(command).await?;
    if status.success() {
        return Ok(object);
    }
    let reason = object.get("error").and_then(Value::as_str).unwrap_or("it said nothing").to_owned();
    let failure = Failure::failed(format!("{what} failed ({status})")).why(reason);
    Err(match status.code() {
        Some(4) => Failure::divergent(failure.to_string()).field("verify", object),
        Some(5) => Failure::damaged(failure.to_string()),
        _ => failure,
    })
}
