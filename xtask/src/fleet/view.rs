//! What the controllers of a fleet say of themselves.

use std::collections::BTreeMap;

use metadata_core::id::NodeId;

use super::member::Ended;
use crate::controller::StatusReport;

/// How a controller is.
#[derive(Debug, Clone)]
pub enum MemberView {
    /// It says how it is.
    Answers(Box<StatusReport>),
    /// It runs and says nothing.
    Silent(String),
    /// It ended by itself.
    Ended(Ended),
    /// It was not started, or was killed.
    Absent,
}

impl MemberView {
    /// In words.
    pub fn word(&self) -> String {
        match self {
            Self::Answers(status) => {
                let reason = status.reason.as_ref().map(|reason| format!(" ({})", reason.replace('\n', " ")));
                format!("{}{}", status.driver_state, reason.unwrap_or_default())
            }
            Self::Silent(why) => why.clone(),
            Self::Ended(ended) => format!("ended, {}", ended.how),
            Self::Absent => "does not run".to_owned(),
        }
    }
}

/// How all of them are.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// By id.
    pub members: BTreeMap<NodeId, MemberView>,
}

impl FleetView {
    /// Those that say how they are.
    pub fn answering(&self) -> impl Iterator<Item = (NodeId, &StatusReport)> {
        self.members.iter().filter_map(|(id, view)| match view {
            MemberView::Answers(status) => Some((*id, status.as_ref())),
            _ => None,
        })
    }

    /// Who leads: of those who say so of themselves, the one of the newest epoch.
    pub fn leader(&self) -> Option<(NodeId, &StatusReport)> {
        let leads = |(id, status): &(NodeId, &StatusReport)| {
            status.quorum.as_ref().is_some_and(|quorum| quorum.leader == Some(id.0))
        };
        self.answering().filter(leads).max_by_key(|(_, status)| status.quorum.as_ref().map(|quorum| quorum.epoch))
    }

    /// The leader, once it dual-writes and ZooKeeper lacks nothing.
    pub fn dual_writer(&self) -> Option<(NodeId, &StatusReport)> {
        self.leader().filter(|(_, status)| status.driver_state == "DUAL_WRITE" && status.lag_records == Some(0))
    }

    /// For people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let leader = self.leader().map(|(id, _)| id);
        let line = |(id, view): (&NodeId, &MemberView)| match view {
            MemberView::Answers(status) => {
                let quorum = status.quorum.as_ref();
                let role = match quorum {
                    Some(_) if leader == Some(*id) => "leads",
                    Some(quorum) if quorum.leader == Some(id.0) => "leads no more, and has not heard it",
                    Some(quorum) if !quorum.voter => "does not vote",
                    _ => "follows",
                };
                let epoch = quorum.map_or(0, |quorum| quorum.epoch);
                let end = status.log_end_offset;
                let lag = match status.lag_records {
                    Some(lag) if leader == Some(*id) => format!(", ZooKeeper lacks {lag} records"),
                    _ => String::new(),
                };
                let word = if leader == Some(*id) || status.reason.is_some() {
                    format!(", {}", view.word())
                } else {
                    String::new()
                };
                format!("controller {id} {role}{word}, epoch {epoch}, log ends at {end}{lag}")
            }
            other => format!("controller {id}: {}", other.word()),
        };
        self.members.iter().map(line).collect()
    }

    /// What people should hear of when it changes: all but how long the logs are.
    pub fn headline(&self) -> Vec<String> {
        let leader = self.leader().map(|(id, status)| (id, status.quorum.as_ref().map_or(0, |quorum| quorum.epoch)));
        let mut words = vec![match leader {
            Some((id, epoch)) => format!("controller {id} leads in epoch {epoch}"),
            None => "nobody leads".to_owned(),
        }];
        words.extend(self.members.iter().filter_map(|(id, view)| match view {
            MemberView::Answers(_) if leader.is_some_and(|(leader, _)| leader == *id) => Some(view.word()),
            MemberView::Answers(_) => None,
            other => Some(format!("controller {id}: {}", other.word())),
        }));
        words
    }
}
