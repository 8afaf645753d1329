//! `migrate --controllers N`: several controllers on this machine, and what whoever watches over them sees.

use std::path::PathBuf;
use std::time::Duration;

use metadata_core::id::NodeId;
use tokio::time::{Instant, sleep};

use super::{Args, fields, ground};
use crate::cli::{Absent, Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::fleet::{Fleet, FleetSpec, FleetView, MemberView};

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A controller that a signal ended is started again after this pause.
const START_AGAIN_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &Args, count: u8, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let zookeeper = args.zookeeper.open(Absent::Refuse, shell).await?;
    let ids: Vec<NodeId> = (0..i32::from(count)).map(|number| NodeId(args.node_id.saturating_add(number))).collect();
    for id in &ids {
        interrupt.unless_requested(ground(args, &zookeeper, *id)).await?;
    }
    let program =
        std::env::current_exe().map_err(|error| Failure::failed("can't find this program").because(&error))?;
    let spec = FleetSpec { program, folder: args.data_dir.clone(), ids, arguments: arguments(args) };
    let mut fleet = Fleet::start(spec)?;
    shell.note(format_args!("{count} controllers: {}; their logs are in {}", fleet.voters(), args.data_dir.display()));
    let watched = watch(args, &mut fleet, &interrupt, shell).await;
    let last = fleet.look().await;
    fleet.stop().await;
    conclude(args, watched?, &last)
}

/// What each controller is told beside who it is.
fn arguments(args: &Args) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
    if let Some(zookeeper) = &args.zookeeper.zookeeper {
        add("--zookeeper", zookeeper.to_string());
    }
    if let Some(file) = &args.zookeeper.zookeeper_config {
        add("--zookeeper-config", file.display().to_string());
    }
    if let Some(version) = args.metadata_version {
        add("--metadata-version", version.to_string());
    }
    if let Some(version) = args.inter_broker_protocol {
        add("--inter-broker-protocol", version.to_string());
    }
    add("--max-deleted-topics-share", args.max_deleted_topics_share.to_string());
    for (flag, given) in
        [("--unserved-brokers", args.unserved_brokers), ("--overrule-zk-governed", args.overrule_zk_governed)]
    {
        if given {
            arguments.push(flag.to_owned());
        }
    }
    arguments
}

/// Why watching ended.
enum Watched {
    Reached,
    Interrupted,
}

async fn watch(args: &Args, fleet: &mut Fleet, interrupt: &Interrupt, shell: &Shell) -> Result<Watched, Failure> {
    let mut told = Vec::new();
    let mut died: Vec<(NodeId, Instant)> = Vec::new();
    loop {
        let view = fleet.look().await;
        let headline = view.headline();
        if headline != told {
            shell.note(headline.join("; "));
            told = headline;
        }
        if args.until.is_some() && view.dual_writer().is_some() {
            return Ok(Watched::Reached);
        }
        if let Some(failure) = all_is_lost(&view) {
            return Err(failure);
        }
        for (id, member) in &view.members {
            // Whoever ends with an exit code has said why, and would say it again.
            let crashed = matches!(member, MemberView::Ended(ended) if ended.code.is_none());
            if crashed && !died.iter().any(|(dead, _)| dead == id) {
                died.push((*id, Instant::now()));
            }
        }
        let due: Vec<_> = died.extract_if(.., |(_, at)| at.elapsed() >= START_AGAIN_AFTER).collect();
        for (id, _) in due {
            shell.note(format_args!("controller {id} is started again"));
            fleet.start_member(id)?;
        }
        tokio::select! {
            () = interrupt.requested() => return Ok(Watched::Interrupted),
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// The failure to end with, once so many have ended for a reason of their own that no majority is left.
fn all_is_lost(view: &FleetView) -> Option<Failure> {
    let ended: Vec<_> = view
        .members
        .iter()
        .filter_map(|(id, member)| match member {
            MemberView::Ended(ended) if ended.code.is_some() => Some((id, ended)),
            _ => None,
        })
        .collect();
    let left = view.members.len() - ended.len();
    if left > view.members.len() / 2 {
        return None;
    }
    let (id, first) = ended.iter().find(|(_, ended)| ended.code != Some(0)).or(ended.first())?;
    Some(first.failure(&format!("controller {id} has ended, and no majority of the controllers is left")))
}

fn conclude(args: &Args, watched: Watched, last: &FleetView) -> VerbResult {
    let again = super::resume(args);
    let mut outcome = match watched {
        Watched::Interrupted if args.until.is_some() => {
            let failure = Failure::failed("stopped before DUAL_WRITE was reached").why("somebody asked for it");
            return Err(failure.next(format!("to go on, run the same again: {again}")));
        }
        Watched::Interrupted => Outcome::done().say("stopped"),
        Watched::Reached => Outcome::done().say("DUAL_WRITE"),
    };
    outcome = last.lines().into_iter().fold(outcome, Outcome::say).say(format!("to go on: {again}"));
    if let Some((id, status)) = last.leader() {
        outcome = outcome.field("leader", id.0);
        for (key, value) in fields(status) {
            outcome = outcome.field(&key, value);
        }
    }
    let dirs: Vec<PathBuf> =
        crate::fleet::members_in(&args.data_dir).into_iter().map(|member| member.data_dir).collect();
    Ok(outcome.field("data_dirs", serde_json::to_value(dirs).unwrap_or_default()))
}
