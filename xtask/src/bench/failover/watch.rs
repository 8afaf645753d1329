//! Looks at controllers in a way that costs the same however large the cluster is. A status would not do: it looks through the
//! whole image, so that whoever asks for it often measures himself.

use std::collections::BTreeMap;
use std::time::Duration;

use metadata_core::id::NodeId;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::Failure;
use crate::control::{Request, ask};
use crate::controller::HealthReport;
use crate::fleet::Fleet;

/// Pause between two looks: what is measured is as exact as this.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A controller that does not answer within this time counts as silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Nothing that is waited for takes longer, the copy of a million partitions included.
const PATIENCE: Duration = Duration::from_secs(900);

/// How those are that answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// By id.
    pub(super) healths: BTreeMap<NodeId, HealthReport>,
    /// How many run, whether or not they answer.
    pub(super) running: usize,
}

impl Seen {
    /// Who leads: of those who say so of themselves, the one of the newest epoch.
    pub(super) fn leader(&self) -> Option<(NodeId, &HealthReport)> {
        let leads = |(id, health): &(&NodeId, &HealthReport)| health.leader == Some(id.0);
        let newest = self.healths.iter().filter(leads).max_by_key(|(_, health)| health.epoch);
        newest.map(|(id, health)| (*id, health))
    }

    /// The leader, once it dual-writes, ZooKeeper lacks nothing, and all others run and have its whole log.
    pub(super) fn settled(&self) -> Option<(NodeId, &HealthReport)> {
        let (id, health) = self.leader()?;
        let all_there = self.healths.len() == self.running;
        let all_follow = self.healths.values().all(|other| other.log_end_offset == health.log_end_offset);
        let dual_writes = health.driver_state == "DUAL_WRITE" && health.lag_records == Some(0);
        (all_there && all_follow && dual_writes).then_some((id, health))
    }

    fn lines(&self) -> Vec<String> {
        let line = |(id, health): (&NodeId, &HealthReport)| {
            let lag = health.lag_records.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
            format!(
                "controller {id}: {}, epoch {}, log ends at {}, ZooKeeper lacks {lag} records",
                health.driver_state, health.epoch, health.log_end_offset
            )
        };
        self.healths.iter().map(line).collect()
    }
}

/// Asks all that run.
pub(super) async fn look(fleet: &Fleet) -> Seen {
    let mut seen = Seen { running: fleet.members().len(), ..Seen::default() };
    for id in fleet.members().keys() {
        if let Some(health) = look_at(fleet, *id).await {
            seen.healths.insert(*id, health);
        }
    }
    seen
}

/// Asks one; `None` while it does not answer.
pub(super) async fn look_at(fleet: &Fleet, id: NodeId) -> Option<HealthReport> {
    let dir = fleet.data_dir(id);
    timeout(ANSWER_WITHIN, ask(&dir, &Request::Health, |_| {})).await.ok()?.ok()?
}

/// Waits until `found` finds something; `what` names it.
///
/// # Errors
/// It does not within [`PATIENCE`], or a controller has ended by itself.
pub(super) async fn wait<T>(
    fleet: &Fleet,
    what: &str,
    mut found: impl FnMut(&Seen) -> Option<T>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look(fleet).await;
        if let Some(found) = found(&seen) {
            return Ok(found);
        }
        for (id, process) in fleet.members() {
            if let Some(ended) = process.ended() {
                return Err(ended.failure(&format!("controller {id} has ended by itself")));
            }
        }
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("the controllers never came to this: {what}"))
                .why(format!("not within {} s", PATIENCE.as_secs()))
                .whys(seen.lines()));
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(leader: i32, epoch: i32, end: i64, lag: Option<i64>) -> HealthReport {
        HealthReport {
            driver_state: if lag.is_some() { "DUAL_WRITE" } else { "INACTIVE" }.to_owned(),
            leader: Some(leader),
            epoch,
            log_end_offset: end,
            zookeeper_end_offset: lag.map(|lag| end - lag),
            lag_records: lag,
            sync_seconds: 0.0,
        }
    }

    #[test]
    fn it_is_settled_once_all_have_everything() {
        let all = |one, two, three| {
            let healths = [one, two, three].into_iter().enumerate();
            let healths = healths.filter_map(|(n, health)| Some((NodeId(i32::try_from(n).unwrap() + 1), health?)));
            Seen { healths: healths.collect(), running: 3 }
        };
        let follows = |end| Some(health(1, 4, end, None));
        for (name, seen, settled) in [
            ("all are there", all(Some(health(1, 4, 9, Some(0))), follows(9), follows(9)), true),
            ("one is behind", all(Some(health(1, 4, 9, Some(0))), follows(8), follows(9)), false),
            ("one is silent", all(Some(health(1, 4, 9, Some(0))), None, follows(9)), false),
            ("ZooKeeper lacks something", all(Some(health(1, 4, 9, Some(2))), follows(9), follows(9)), false),
            ("nobody leads", all(None, follows(9), follows(9)), false),
        ] {
            assert_eq!(seen.settled().is_some(), settled, "{name}");
        }
        // One that was cut off believes that it leads; the newer epoch counts.
        let seen = all(Some(health(1, 4, 9, Some(0))), Some(health(2, 5, 9, None)), follows(9));
        assert_eq!(seen.leader().unwrap().0, NodeId(2));
    }
}
