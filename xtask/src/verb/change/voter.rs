//! `change voter`: who votes in the metadata quorum.

use std::path::Path;

use clap::Subcommand;
use metadata_core::id::NodeId;

use crate::cli::{Outcome, VerbResult, Voters, address_of};
use crate::control::{Request, ask};
use crate::controller::{MemberReport, QuorumReport};

#[derive(Subcommand)]
pub(super) enum Voter {
    /// Add a controller that runs and waits to be added: it gets the log first, and votes then
    Add {
        /// Its id and where it listens
        #[arg(value_name = "ID@HOST:PORT", value_parser = one)]
        voter: (NodeId, String),
    },
    /// Remove a controller; it must not be started again on its data directory
    Remove {
        /// Its id
        #[arg(value_name = "ID")]
        id: i32,
    },
}

fn one(text: &str) -> Result<(NodeId, String), String> {
    let voters: Voters = text.parse()?;
    let mut voters = voters.0.into_iter();
    match (voters.next(), voters.next()) {
        (Some((id, address)), None) => Ok((id, address_of(&address)?)),
        _ => Err("one at a time".to_owned()),
    }
}

impl Voter {
    pub(super) fn request(self) -> Request {
        match self {
            Self::Add { voter: (id, address) } => Request::AddVoter { id: id.0, address },
            Self::Remove { id } => Request::RemoveVoter { id },
        }
    }
}

/// Asks the leader for it.
pub(super) async fn run(data_dir: &Path, request: &Request) -> VerbResult {
    let report: Option<QuorumReport> = ask(data_dir, request, |_| {}).await?;
    let report = report.ok_or_else(|| super::nobody(data_dir))?;
    Ok(conclude(request, &report))
}

fn conclude(request: &Request, report: &QuorumReport) -> Outcome {
    let voters = |members: &[MemberReport]| {
        let ids: Vec<_> = members.iter().filter(|it| it.voter).map(|it| it.id.to_string()).collect();
        ids.join(", ")
    };
    let done = match request {
        Request::AddVoter { id, .. } => format!("controller {id} votes"),
        Request::RemoveVoter { id } => format!("controller {id} is removed"),
        _ => String::new(),
    };
    let outcome = Outcome::done().say(format!("{done}; the voters are {}", voters(&report.members)));
    let outcome = report.lines().into_iter().fold(outcome, Outcome::say);
    super::super::fields_of(report).into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_voter_is_named_at_a_time() {
        assert_eq!(one("3003@h:1").unwrap(), (NodeId(3003), "h:1".to_owned()));
        for wrong in ["3003", "3003@h", "3003@h:1,3004@h:2", ""] {
            assert!(one(wrong).is_err(), "{wrong:?}");
        }
    }
}
