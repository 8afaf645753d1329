//! One kill of the leader, and what it takes until somebody else dual-writes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metadata_core::id::NodeId;
use serde::Serialize;

use super::CHANGES;
use super::watch::{Seen, look, look_at, wait};
use crate::change::{Change, Resource, Secret};
use crate::cli::Failure;
use crate::control::{ChangesMade, Request, ask};
use crate::controller::StatusReport;
use crate::fleet::Fleet;

/// A config that any broker has. Its change is a small one, and the same in every round.
const CONFIG: &str = "log.cleaner.threads";

/// A kill of the leader, and what came after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Takeover {
    /// Who was killed.
    pub(crate) killed: i32,
    /// Who led next.
    pub(crate) next: i32,
    /// In which epoch.
    pub(crate) epoch: i32,
    /// Records that ZooKeeper lacked just before the kill.
    pub(crate) records_behind: i64,
    /// From the kill until another said that it leads, in milliseconds: the time-outs of an election.
    pub(crate) elected_ms: u64,
    /// From then until ZooKeeper had a change that was made at the next leader, in milliseconds.
    pub(crate) takeover_ms: u64,
    /// Whether the next leader wrote all of ZooKeeper anew. It goes on where the other had stopped, so it does not.
    pub(crate) full_sync: bool,
    /// How long the leader took to say how it is, before it was killed, in milliseconds.
    pub(crate) status_ms: u64,
}

/// Waits until all is at rest, makes some changes, kills the leader in their wake, and starts it again once another has taken
/// over. `round` decides the changes.
///
/// # Errors
/// They don't come to it, or the leadership went on to a third one meanwhile.
pub(super) async fn kill_leader(fleet: &mut Fleet, round: u32) -> Result<Takeover, Failure> {
    let leads = |seen: &Seen| seen.settled().map(|(id, health)| (id, health.epoch));
    let (killed, epoch) = wait(fleet, "a leader dual-writes, and all have the whole log", leads).await?;
    let status_ms = time_of_a_status(fleet, killed).await?;
    let synced: BTreeMap<_, _> =
        look(fleet).await.healths.into_iter().map(|(id, health)| (id, health.sync_seconds)).collect();
    let random = Request::Random { count: CHANGES, seed: u64::from(round) };
    let made: ChangesMade = asked(fleet, killed, &random).await?;
    let zookeeper_at = look_at(fleet, killed).await.and_then(|health| health.zookeeper_end_offset);
    let records_behind = zookeeper_at.map_or(0, |at| (made.last_offset + 1 - at).max(0));

    let at = Instant::now();
    fleet.kill(killed);
    let leads_anew = |seen: &Seen| seen.leader().filter(|(_, now)| now.epoch > epoch).map(|(id, now)| (id, now.epoch));
    let (next, epoch) = wait(fleet, "another leads", leads_anew).await?;
    let elected = at.elapsed();

    let made = change(fleet, next, round).await?;
    let arrived = move |seen: &Seen| {
        let (id, now) = seen.leader()?;
        if (id, now.epoch) != (next, epoch) {
            return Some(Err(moved_on(next, epoch, id, now.epoch)));
        }
        let has_it = now.zookeeper_end_offset.is_some_and(|end| end > made.last_offset);
        (has_it && now.driver_state == "DUAL_WRITE").then_some(Ok(now.sync_seconds))
    };
    let sync_seconds = wait(fleet, "the next leader dual-writes", arrived).await??;
    let takeover = at.elapsed() - elected;
    fleet.start_member(killed)?;
    Ok(Takeover {
        killed: killed.0,
        next: next.0,
        epoch,
        records_behind,
        elected_ms: millis(elected),
        takeover_ms: millis(takeover),
        full_sync: sync_seconds > synced.get(&next).copied().unwrap_or_default(),
        status_ms,
    })
}

fn moved_on(next: NodeId, epoch: i32, id: NodeId, now: i32) -> Failure {
    Failure::failed("the leadership moved on before the takeover was done")
        .why(format!("controller {next} led in epoch {epoch}, controller {id} leads in epoch {now}"))
        .next("run it again on a machine that is less busy: an election takes 1 to 2 s of silence")
}

/// A small change, which waits at the gate until the leader has claimed ZooKeeper.
async fn change(fleet: &Fleet, leader: NodeId, round: u32) -> Result<ChangesMade, Failure> {
    let values = BTreeMap::from([(CONFIG.to_owned(), Secret::new(round.to_string()))]);
    let change = Change::SetConfigs { resource: Resource::AllBrokers, values };
    asked(fleet, leader, &Request::Change { change }).await
}

async fn time_of_a_status(fleet: &Fleet, id: NodeId) -> Result<u64, Failure> {
    let start = Instant::now();
    let _: StatusReport = asked(fleet, id, &Request::Status).await?;
    Ok(millis(start.elapsed()))
}

async fn asked<T: serde::de::DeserializeOwned>(fleet: &Fleet, id: NodeId, request: &Request) -> Result<T, Failure> {
    let answer = ask(&fleet.data_dir(id), request, |_| {}).await?;
    answer.ok_or_else(|| Failure::failed(format!("controller {id} does not listen")))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
