//! `cargo xtask bench`: what the log and the takeover cost, as ratios within one run.

use clap::Subcommand;

use crate::bench::append::{self, AppendArgs, AppendReport};
use crate::bench::failover::{self, FailoverArgs, FailoverReport};
use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is measured; without it, both with their defaults
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Batches into a quorum of one and of three voters, against the bare disk
    Append(AppendArgs),
    /// From the leader's death to the next dual write, in a large cluster against a small one
    Failover(FailoverArgs),
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let (append, failover) = match args.what {
        Some(What::Append(args)) => (Some(args), None),
        Some(What::Failover(args)) => (None, Some(args)),
        None => (Some(AppendArgs::default()), Some(FailoverArgs::default())),
    };
    let append = match append {
        Some(args) => Some(interrupt.unless_requested(append::run(args, shell)).await?),
        None => None,
    };
    let failover = match failover {
        Some(args) => {
            let measured = interrupt.unless_requested(failover::run(&args, &interrupt, shell)).await;
            // What was measured before is told in any case.
            Some(measured.map_err(|failure| with_fields(failure, append.as_ref(), None))?)
        }
        None => None,
    };
    conclude(append.as_ref(), failover.as_ref(), shell)
}

/// The tables; and whether all is as it should be.
fn conclude(append: Option<&AppendReport>, failover: Option<&FailoverReport>, shell: &Shell) -> VerbResult {
    let mut lines = append.map(AppendReport::lines).unwrap_or_default();
    if append.is_some() && failover.is_some() {
        lines.push(String::new());
    }
    lines.extend(failover.map(FailoverReport::lines).unwrap_or_default());
    let complaints = failover.map(FailoverReport::complaints).unwrap_or_default();
    if complaints.is_empty() {
        let outcome = lines.into_iter().fold(Outcome::done(), Outcome::say);
        return Ok(outcome.field("append", append).field("failover", failover));
    }
    for line in lines {
        shell.say(line);
    }
    let failure = Failure::failed("the takeover is not as it should be")
        .whys(complaints)
        .next("run the same again on a machine that does nothing else; if it stays so, report the figures");
    Err(with_fields(failure, append, failover))
}

fn with_fields(failure: Failure, append: Option<&AppendReport>, failover: Option<&FailoverReport>) -> Failure {
    failure.field("append", append).field("failover", failover)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::bench::append::report::tests::a_report as an_append;
    use crate::bench::failover::report::tests::a_report as a_failover;
    use crate::cli::Exit;

    /// The names of all fields of an object, and of those within it.
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                found.insert(name.clone());
                names(value, found);
            }),
            Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_figure_is_printed_and_documented() {
        let shell = Shell::new("test", false);
        let outcome = conclude(Some(&an_append()), Some(&a_failover(50, 60, false)), &shell).unwrap();
        assert!(outcome.text().iter().any(|line| line.contains("bench append --batches")));
        let mut found = BTreeSet::new();
        names(&outcome.into_fields().unwrap().into(), &mut found);
        assert!(found.contains("growth") && found.contains("ratios"), "{found:?}");
        crate::documents::assert_fields_are_documented(found.iter().map(String::as_str));
    }

    #[test]
    fn a_takeover_that_grows_fails_with_all_figures() {
        let shell = Shell::new("test", true);
        let failure = conclude(None, Some(&a_failover(50, 600, false)), &shell).unwrap_err();
        assert_eq!(failure.exit(), Exit::Failed);
        let fields = failure.into_fields();
        assert_eq!((&fields["append"], &fields["failover"]["growth"]), (&Value::Null, &12.0.into()));
    }
}
