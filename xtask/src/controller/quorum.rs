//! The quorum as ZooKeeper's side and the verbs see it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fencing::{FixedQuorum, Quorum, QuorumIdentity};
use metadata_core::error::{Error, ErrorKind, Outcome};
use metadata_core::id::NodeId;
use metadata_core::log::MetadataLog as _;
use serde::{Deserialize, Serialize};
use store_kraft::{KraftLog, QuorumMember, QuorumSeal, QuorumStatus};
use tokio::time::timeout;

use super::data_dir::DataDir;
use crate::cli::Failure;

/// For so long a verb waits for somebody to lead, as it waits at the gate.
const LEADER_WITHIN: Duration = Duration::from_secs(30);

/// A controller of which nothing was heard for so long is called silent, in milliseconds: what it said counts no more then.
const SILENT_MS: u64 = 15_000;

impl DataDir {
    /// The quorum of a directory that is not open: enough to compare, not to claim.
    pub fn quorum(&self) -> Arc<dyn Quorum> {
        let identity = QuorumIdentity { cluster_id: self.cluster_id.clone(), log_id: self.log_id.clone() };
        Arc::new(FixedQuorum::new(identity, BTreeSet::from([self.node_id])))
    }
}

/// How the quorum is, as one of its controllers sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumReport {
    /// Who leads; `None` while nobody is known to.
    pub leader: Option<i32>,
    /// The epoch, also while nobody leads.
    pub epoch: i32,
    /// Whether this controller votes.
    pub voter: bool,
    /// Whether more than half of the voters were heard of lately.
    pub majority: bool,
    /// Everybody, by id.
    pub members: Vec<MemberReport>,
}

/// One controller of the quorum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Its id.
    pub id: i32,
    /// Where it listens for the others; empty for a quorum of one.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// End of its log (exclusive), as it said within the last seconds.
    pub end_offset: Option<i64>,
    /// Records of this controller's log that it lacks, if it said lately where its log ends.
    pub lag_records: Option<i64>,
    /// For how long nothing came from it, in milliseconds; `None` when nothing ever did.
    pub silent_ms: Option<u64>,
}

impl QuorumReport {
    pub(super) fn of(status: &QuorumStatus, own_end: i64) -> Self {
        let member = |member: &QuorumMember| MemberReport {
            id: member.id.0,
            address: member.address.clone(),
            voter: member.voter,
            end_offset: member.end_offset.map(|end| end.0),
            lag_records: member.end_offset.map(|end| (own_end - end.0).max(0)),
            silent_ms: member.silent.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
        };
        Self {
            leader: status.leader.map(|leader| leader.0),
            epoch: status.epoch.0,
            voter: status.is_voter(),
            majority: status.has_majority(),
            members: status.members.iter().map(member).collect(),
        }
    }

    /// For people, a line each; none for a quorum of one.
    pub fn lines(&self) -> Vec<String> {
        if self.members.len() < 2 {
            return Vec::new();
        }
        let leader = match self.leader {
            Some(leader) => format!("controller {leader} leads in epoch {}", self.epoch),
            None => format!("nobody leads; epoch {}", self.epoch),
        };
        let mut lines =
            vec![format!("quorum: {leader}{}", if self.majority { "" } else { "; NO MAJORITY is heard of" })];
        lines.extend(self.members.iter().map(|member| {
            let voter = if member.voter { "" } else { ", does not vote" };
            let state = match (member.end_offset, member.lag_records, member.silent_ms) {
                (Some(end), Some(0), _) => format!("log ends at {end}"),
                (Some(end), Some(lag), _) => format!("log ends at {end}, {lag} records behind"),
                (_, _, Some(silent @ ..SILENT_MS)) => {
                    format!("heard of {silent} ms ago, and has not told where its log ends")
                }
                (_, _, Some(silent)) => format!("SILENT for {} s", silent / 1000),
                _ => "was never heard of".to_owned(),
            };
            format!("  controller {} at {}: {state}{voter}", member.id, member.address)
        }));
        lines
    }
}

/// What is to be said of a log that a rollback has sealed.
pub(super) fn why_nobody_acts(seal: Option<QuorumSeal>) -> Option<String> {
    seal.map(|seal| match seal {
        QuorumSeal::RollbackBegun => {
            "a rollback was begun and is not known to be done: run `rollback` again, it does the rest"
        }
        QuorumSeal::RolledBack => "rolled back: use a fresh --data-dir for a new migration",
    })
    .map(str::to_owned)
}

/// Why nobody leads, if nobody does and that is worth a word.
pub(super) fn why_nobody_leads(status: &QuorumStatus) -> Option<String> {
    if status.leader.is_some() {
        return None;
    }
    if status.members.is_empty() {
        return Some(
            "no quorum is formed yet, or this controller waits to be added to one: nothing can be written".to_owned(),
        );
    }
    let silent = status.silent_voters();
    if status.has_majority() || silent.is_empty() {
        return Some("the voters elect a leader: nothing can be written until there is one".to_owned());
    }
    let ids: Vec<_> = silent.iter().map(ToString::to_string).collect();
    Some(format!(
        "no majority of the voters is there, nothing is heard of {}: writes wait until one is",
        ids.join(", ")
    ))
}

/// Waits until the controller of `log` leads. Only the leader changes, compares, finalizes and rolls back.
///
/// # Errors
/// Another controller leads, or nobody does for long: who, or why.
pub(super) async fn lead(log: &KraftLog) -> Result<(), Failure> {
    let waiting = async {
        let mut now = log.leadership(None).await?;
        loop {
            if now.active {
                return Ok(());
            }
            // One that was just elected becomes active in a moment.
            if let Some(leader) = now.leader.filter(|leader| *leader != log.options().node_id) {
                return Err(led_by(leader, &log.quorum()));
            }
            now = log.leadership(Some(now)).await?;
        }
    };
    match timeout(LEADER_WITHIN, waiting).await {
        Ok(result) => result,
        Err(_) => Err(Failure::blocked("no controller leads")
            .whys(why_nobody_leads(&log.quorum()))
            .why(format!("it was waited for {} s", LEADER_WITHIN.as_secs()))
            .next("start the controllers that are missing, or mend the network between them, then try again")),
    }
}

/// Waits until the controller of `log` leads, and returns whether it acts: on a log that a rollback has sealed no leader does, and
/// yet it is the one to ask.
///
/// # Errors
/// As [`lead`].
pub(super) async fn leads(log: &KraftLog) -> Result<bool, Failure> {
    let now = log.leadership(None).await?;
    if log.seal().is_some() && now.leader == Some(log.options().node_id) {
        return Ok(now.active);
    }
    lead(log).await.map(|()| true)
}

fn led_by(leader: NodeId, quorum: &QuorumStatus) -> Failure {
    let at = quorum.members.iter().find(|member| member.id == leader).map(|member| member.address.clone());
    Failure::failed("this controller does not lead")
        .why(format!("controller {leader} does, at {}", at.unwrap_or_else(|| "an unknown address".to_owned())))
        .next(format!("ask there: name the data directory of controller {leader}"))
        .field("leader", leader.0)
}

/// Why the members were not changed, or may have been.
pub(super) fn members_unchanged(error: Error) -> Failure {
    let (kind, outcome) = (error.kind(), error.outcome());
    let failure = Failure::from(error);
    if outcome == Outcome::Unknown {
        return failure
            .while_doing("it is not known whether the members were changed")
            .next("`status` shows who is a member; run the same again if it did not happen");
    }
    let failure = failure.while_doing("the members of the quorum were not changed");
    match kind {
        ErrorKind::ControllerFenced => failure.next("ask the controller that leads"),
        ErrorKind::Conflict => failure.next("`status` shows who is a member"),
        ErrorKind::Unavailable => failure.next(
            "start that controller first: `migrate --data-dir DIR --node-id ID --listen HOST:PORT`, with a new DIR; then run \
             this again",
        ),
        _ => failure.next("correct what is named"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: i32, end: Option<i64>, own_end: i64) -> MemberReport {
        MemberReport {
            id,
            address: format!("h:{id}"),
            voter: id != 3,
            end_offset: end,
            lag_records: end.map(|end| own_end - end),
            silent_ms: (id != 2).then_some(17_100),
        }
    }

    #[test]
    fn the_members_are_told_a_line_each() {
        let mut report = QuorumReport {
            leader: Some(1),
            epoch: 4,
            voter: true,
            majority: true,
            members: vec![member(0, Some(40), 40), member(1, Some(30), 40), member(2, None, 40), member(3, None, 40)],
        };
        let just_heard = MemberReport { silent_ms: Some(80), ..member(3, None, 40) };
        assert_eq!(
            report.lines(),
            [
                "quorum: controller 1 leads in epoch 4",
                "  controller 0 at h:0: log ends at 40",
                "  controller 1 at h:1: log ends at 30, 10 records behind",
                "  controller 2 at h:2: was never heard of",
                "  controller 3 at h:3: SILENT for 17 s, does not vote",
            ]
        );
        report.members[3] = just_heard;
        assert!(report.lines()[4].contains("heard of 80 ms ago"), "{:?}", report.lines());
        (report.leader, report.majority) = (None, false);
        assert_eq!(report.lines()[0], "quorum: nobody leads; epoch 4; NO MAJORITY is heard of");
        report.members.truncate(1);
        assert_eq!(report.lines(), [""; 0], "a quorum of one is no news");
    }
}
