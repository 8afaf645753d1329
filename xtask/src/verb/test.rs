//! `cargo xtask test`: every test of the workspace, and what became of each.

use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::suite::{self, Options, Report};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only tests whose path within their test program contains this
    filter: Option<String>,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let options = Options { filter: args.filter, frozen_tree: false };
    let report = suite::run(&options, shell, &interrupt).await?;
    if report.failed() == 0 {
        let outcome = report.lines().into_iter().fold(Outcome::done(), |outcome, line| outcome.say(line));
        return Ok(fields(&report).into_iter().fold(outcome, |outcome, (key, value)| outcome.field(key, value)));
    }
    for line in report.lines() {
        shell.say(line);
    }
    let failure = Failure::failed(format!("{} tests failed", report.failed()));
    Err(fields(&report).into_iter().fold(failure, |failure, (key, value)| failure.field(key, value)))
}

fn fields(report: &Report) -> [(&'static str, serde_json::Value); 7] {
    [
        ("passed", report.passed().into()),
        ("failed", report.failed().into()),
        ("skipped", report.skipped().into()),
        ("tests", serde_json::json!(report.rows)),
        ("failures", serde_json::json!(report.failures)),
        ("not_run", serde_json::json!(report.not_run)),
        ("idle_backends", serde_json::json!(report.idle_backends)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_documented() {
        crate::documents::assert_fields_are_documented(fields(&Report::default()).map(|(name, _)| name));
    }
}
