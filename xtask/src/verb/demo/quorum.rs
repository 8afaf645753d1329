//! `demo --controllers N`: the same story with several controllers, each a process, and their leader killed in its middle.

use std::path::Path;
use std::time::{Duration, Instant};

use metadata_core::id::NodeId;
use serde::Serialize;
use serde_json::Value;

use super::story::named_changes;
use super::{Args, NODE_ID, interrupted, password_encoder, seed};
use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult, ZooKeeper};
use crate::control::{ChangesMade, Request, ask};
use crate::controller::{StatusReport, VerifyReport};
use crate::fleet::{Fleet, FleetSpec, FleetView, logs_agree, members_in};
use crate::seed::{Blueprint, HeldBrokers, SeedOptions};

/// Nothing in the story takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// Random changes that are asked for when the leader is to die among them: more than can be made before.
const ENDLESS: u64 = 10_000_000;

/// A kill of the leader, and what came after.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Kill {
    /// In which state of the driver.
    during: &'static str,
    /// Who was killed.
    killed: i32,
    /// End of its log (exclusive) when it was seen last: as much was decided by a majority.
    decided: i64,
    /// Who led next.
    next: i32,
    /// In which epoch.
    epoch: i32,
    /// From the kill until the next leader dual-wrote and ZooKeeper lacked nothing, in milliseconds.
    recovered_ms: u64,
    /// Where the next leader's log ended then (exclusive).
    log_end_offset: i64,
    /// Whether the next leader wrote all of ZooKeeper anew; going on where the other had stopped, it does not.
    full_sync: bool,
}

/// A run from start to end.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Round {
    kills: Vec<Kill>,
    changes: u64,
    compared: u64,
    masked: u64,
    ignored: u64,
    divergent: u64,
    /// Batches that were the same in the logs of two controllers.
    batches_agreed: u64,
    topics: u64,
    partitions: u64,
    seconds: f64,
}

pub(super) async fn run(args: &Args, count: u8, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let opening = args.zookeeper.open(Absent::Start, shell);
    let mut zookeeper = interrupt.unless_requested(opening).await?.for_large_work()?;
    zookeeper.settings.password_encoder = Some(password_encoder()?);
    let folder = super::Folder::new(args.keep)?;
    let mut rounds = Vec::new();
    for number in 1..=args.repeat {
        if args.repeat > 1 {
            shell.say(format_args!("run {number} of {}", args.repeat));
        }
        let place = zookeeper.within(&format!("demo-{number}"))?;
        let below = folder.path().join(format!("run-{number}"));
        let round = tokio::select! {
            round = one(args, count, number, &place, &below, &interrupt, shell) => round,
            () = interrupt.requested() => Err(interrupted()),
        };
        let round = round.map_err(|failure| {
            let failure = failure.field("rounds", serde_json::to_value(&rounds).unwrap_or_default());
            failure.while_doing(format!("run {number} of {}", args.repeat))
        })?;
        rounds.push(round);
    }
    conclude(args, count, &rounds)
}

async fn one(
    args: &Args,
    count: u8,
    number: u32,
    zookeeper: &ZooKeeper,
    folder: &Path,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Round, Failure> {
    let began = Instant::now();
    let options = SeedOptions {
        topics: args.topics,
        partitions_per_topic: args.partitions_per_topic,
        seed: u64::from(number),
        ..SeedOptions::default()
    };
    let blueprint = Blueprint::new(options).map_err(|error| Failure::usage(error.to_string()))?;
    let seeded = seed(&blueprint, zookeeper, interrupt, shell).await?;
    let brokers = blueprint.brokers().collect();
    let holding = HeldBrokers::register(zookeeper.connector.as_ref(), brokers, zookeeper.settings.secure_acls);
    let mut held = holding.await?;

    std::fs::create_dir_all(folder).map_err(|error| Failure::failed("no folder can be made").because(&error))?;
    let config = folder.join("zookeeper.properties");
    let text = crate::verb::seed::properties(&zookeeper.connector.describe());
    std::fs::write(&config, text).map_err(|error| Failure::failed("no file can be written").because(&error))?;
    let program =
        std::env::current_exe().map_err(|error| Failure::failed("can't find this program").because(&error))?;
    let spec = FleetSpec {
        program,
        folder: folder.to_owned(),
        ids: (0..i32::from(count)).map(|more| NodeId(NODE_ID.0 + more)).collect(),
        arguments: ["--unserved-brokers", "--zookeeper-config", &config.display().to_string()]
            .map(str::to_owned)
            .into(),
    };
    let mut fleet = Fleet::start(spec)?;
    shell.say(format_args!("{count} controllers, each a process: {}", fleet.voters()));
    let told = tokio::select! {
        told = tell(args, &mut fleet, shell) => told,
        failure = held.keep(zookeeper.connector.as_ref()) => Err(failure),
    };
    fleet.stop().await;
    held.release().await;
    let (kills, changes, verified, status) = told?;
    let agreed = logs_agree(&members_in(folder))?;
    shell.say(format_args!(
        "{} znodes compared: divergent {}; {} batches are the same, byte by byte, in the logs of the controllers",
        verified.total.compared, verified.total.divergent, agreed.batches
    ));
    let round = Round {
        kills,
        changes,
        compared: verified.total.compared,
        masked: verified.total.masked,
        ignored: verified.total.ignored,
        divergent: verified.total.divergent,
        batches_agreed: agreed.batches,
        topics: seeded.topics,
        partitions: seeded.partitions,
        seconds: began.elapsed().as_secs_f64(),
    };
    if round.divergent > 0 {
        let lines = verified.lines();
        return Err(Failure::divergent("ZooKeeper is not what the log says")
            .whys(lines)
            .field("differences", serde_json::to_value(&verified.differences).unwrap_or_default())
            .next("this is a bug: keep the output, run again with --keep, and report both"));
    }
    drop(status);
    Ok(round)
}

type Told = (Vec<Kill>, u64, VerifyReport, StatusReport);

/// The story itself.
async fn tell(args: &Args, fleet: &mut Fleet, shell: &Shell) -> Result<Told, Failure> {
    let mut kills = Vec::new();
    if args.kill_leader {
        let copying = |view: &FleetView| leads_in(view, "ZK_MIGRATION") || view.dual_writer().is_some();
        let view = fleet.wait("a leader copies", PATIENCE, copying).await?;
        kills.push(kill_leader(fleet, &view, "ZK_MIGRATION", shell).await?);
    }
    let view = fleet.wait("a leader dual-writes", PATIENCE, |view| view.dual_writer().is_some()).await?;
    let (leader, status) = led(&view)?;
    shell.say(format_args!(
        "controller {leader} dual-writes: {} topics, {} partitions in the log, and ZooKeeper lacks nothing",
        status.topics, status.partitions
    ));
    let mut changes = 0;
    for (change, _) in named_changes()? {
        let made: ChangesMade = asked(&fleet.data_dir(leader), &Request::Change { change }).await?;
        changes += made.changes;
    }
    if args.kill_leader {
        let before = status.log_end_offset;
        let dir = fleet.data_dir(leader);
        let random = Request::Random { count: ENDLESS, seed: 1 };
        let changing = tokio::spawn(async move { asked::<ChangesMade>(&dir, &random).await });
        let grown = i64::try_from(args.changes).unwrap_or(i64::MAX);
        let amid = |view: &FleetView| view.leader().is_some_and(|(_, now)| now.log_end_offset > before + grown);
        let view = fleet.wait("changes are made", PATIENCE, amid).await?;
        if changing.is_finished() {
            return Err(Failure::failed("the changes ended before the leader was killed"));
        }
        kills.push(kill_leader(fleet, &view, "DUAL_WRITE", shell).await?);
        // It fails with its controller; what had been decided by then is in the log of the others.
        drop(changing.await);
    }
    let view = fleet.wait("a leader dual-writes", PATIENCE, |view| view.dual_writer().is_some()).await?;
    let (leader, _) = led(&view)?;
    let dir = fleet.data_dir(leader);
    let made: ChangesMade = asked(&dir, &Request::Random { count: args.changes, seed: 2 }).await?;
    changes += made.changes;
    let verified: VerifyReport = asked(&dir, &Request::Verify { differences_max: 100, show_secrets: false }).await?;
    let all_follow = |view: &FleetView| {
        let end = view.leader().map(|(_, status)| status.log_end_offset);
        view.answering().count() == view.members.len() && view.answering().all(|(_, it)| Some(it.log_end_offset) == end)
    };
    let view = fleet.wait("all have the whole log", PATIENCE, all_follow).await?;
    let (_, status) = led(&view)?;
    Ok((kills, changes, verified, status))
}

fn leads_in(view: &FleetView, state: &str) -> bool {
    view.leader().is_some_and(|(_, status)| status.driver_state == state)
}

fn led(view: &FleetView) -> Result<(NodeId, StatusReport), Failure> {
    let (id, status) = view.leader().ok_or_else(|| Failure::failed("nobody leads").whys(view.lines()))?;
    Ok((id, status.clone()))
}

/// Asks a controller that runs.
async fn asked<T: serde::de::DeserializeOwned>(data_dir: &Path, request: &Request) -> Result<T, Failure> {
    let answer = ask(data_dir, request, |_| {}).await?;
    answer.ok_or_else(|| Failure::failed(format!("no controller holds {}", data_dir.display())))
}

/// Kills the leader of `view`, waits until another has taken over and ZooKeeper lacks nothing, and starts it again.
async fn kill_leader(
    fleet: &mut Fleet,
    view: &FleetView,
    during: &'static str,
    shell: &Shell,
) -> Result<Kill, Failure> {
    let (killed, status) = led(view)?;
    if status.driver_state != during {
        return Err(Failure::failed(format!("the leader could not be killed in {during}"))
            .why(format!("it was in {} already", status.driver_state))
            .next("use more --topics, so that it takes longer"));
    }
    fleet.kill(killed);
    let at = Instant::now();
    shell.say(format_args!(
        "killed controller {killed}, the leader, in {during}; its log ended at {}",
        status.log_end_offset
    ));
    let another = |view: &FleetView| view.dual_writer().is_some_and(|(id, _)| id != killed);
    let view = fleet.wait("another leader dual-writes", PATIENCE, another).await?;
    let recovered = at.elapsed();
    let (next, now) = led(&view)?;
    let kill = Kill {
        during,
        killed: killed.0,
        decided: status.log_end_offset,
        next: next.0,
        epoch: now.quorum.as_ref().map_or(0, |quorum| quorum.epoch),
        recovered_ms: u64::try_from(recovered.as_millis()).unwrap_or(u64::MAX),
        log_end_offset: now.log_end_offset,
        full_sync: now.sync.is_some(),
    };
    if kill.log_end_offset < kill.decided {
        return Err(Failure::damaged("the next leader's log is shorter than what was decided")
            .why(format!("it ends at {}, and {} had been decided", kill.log_end_offset, kill.decided)));
    }
    shell.say(format_args!(
        "controller {next} took over in epoch {}, {} ms after the kill; {}",
        kill.epoch,
        kill.recovered_ms,
        if kill.full_sync { "all of ZooKeeper was written anew" } else { "it went on where the other had stopped" }
    ));
    fleet.start_member(killed)?;
    Ok(kill)
}

fn conclude(args: &Args, count: u8, rounds: &[Round]) -> VerbResult {
    let kills: Vec<&Kill> = rounds.iter().flat_map(|round| &round.kills).collect();
    let compared: u64 = rounds.iter().map(|round| round.compared).sum();
    let divergent: u64 = rounds.iter().map(|round| round.divergent).sum();
    let slowest = kills.iter().map(|kill| kill.recovered_ms).max();
    let mut outcome = Outcome::done().say("").say(format!(
        "  {} runs with {count} controllers, {} kills of the leader: {compared} znodes compared, divergent {divergent}",
        rounds.len(),
        kills.len()
    ));
    if let Some(slowest) = slowest {
        outcome = outcome.say(format!("  the longest from a kill to a ZooKeeper that lacked nothing: {slowest} ms"));
    }
    let fields: [(&str, Value); 8] = [
        ("controllers", count.into()),
        ("runs", rounds.len().into()),
        ("kills", kills.len().into()),
        ("compared_znodes", compared.into()),
        ("divergent_znodes", divergent.into()),
        ("slowest_recovery_ms", slowest.into()),
        ("kill_leader", args.kill_leader.into()),
        ("rounds", serde_json::to_value(rounds).unwrap_or_default()),
    ];
    outcome = fields.into_iter().fold(outcome, |outcome, (key, value)| outcome.field(key, value));
    Ok(outcome)
}
