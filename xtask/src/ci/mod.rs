//! What `.ci/run` calls: every check that the repository must pass, none of which writes the tree.
//!
//! - [`stage`]: the checks, cheap ones first, and those that share build results next to each other;
//! - [`arrows`]: which crate may use which;
//! - [`captured`]: commands whose output is shown only when they fail, without the hosts of registries.

mod arrows;
mod captured;
mod stage;

use std::time::Instant;

use serde::Serialize;

pub(crate) use self::stage::Stage;
use self::stage::{End, run_stage, tree_state};
use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::columns::columns;

const PASSED: &str = "passed";
const FAILED: &str = "FAILED";

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    stage: &'static str,
    result: &'static str,
    minutes: f64,
    detail: String,
}

/// Runs these stages, all of them whatever fails, and prints the table.
///
/// # Errors
/// A stage failed, or somebody asked to stop.
pub(crate) async fn run(stages: &[Stage], shell: &Shell, interrupt: &Interrupt) -> VerbResult {
    let tree_before = tree_state().await;
    let mut rows = Vec::new();
    for stage in stages {
        shell.note(format_args!("== {}: {}", stage.name(), stage.what()));
        let started = Instant::now();
        let end = tokio::select! {
            end = run_stage(*stage, &tree_before, shell, interrupt) => end,
            () = interrupt.requested() => return Err(Failure::failed("the checks were interrupted")
                .next("`cargo xtask ci STAGE..` runs only the stages that are named")),
        };
        let (result, detail) = match end {
            End::Passed(detail) => (PASSED, detail),
            End::NotRun(reason) => ("not run", reason),
            End::Failed(lines) => {
                for line in &lines {
                    shell.note(line);
                }
                (FAILED, lines.first().cloned().unwrap_or_default())
            }
        };
        let minutes = (started.elapsed().as_secs_f64() / 6.0).round() / 10.0;
        rows.push(Row { stage: stage.name(), result, minutes, detail });
    }
    report(&rows, shell)
}

fn report(rows: &[Row], shell: &Shell) -> VerbResult {
    let failed: Vec<_> = rows.iter().filter(|row| row.result == FAILED).map(|row| row.stage).collect();
    let outcome = table(rows).into_iter().fold(Outcome::done(), |outcome, line| outcome.say(line));
    if failed.is_empty() {
        return Ok(outcome.field("stages", rows));
    }
    for line in outcome.text() {
        shell.say(line);
    }
    Err(Failure::failed(format!("failed: {}", failed.join(", "))).field("stages", rows))
}

fn table(rows: &[Row]) -> Vec<String> {
    let mut table = vec![["stage", "result", "minutes"].map(str::to_owned)];
    table.extend(rows.iter().map(|row| [row.stage.to_owned(), row.result.to_owned(), format!("{:.1}", row.minutes)]));
    let mut lines = columns(&table, 2);
    for (line, row) in lines.iter_mut().skip(1).zip(rows).filter(|(_, row)| !row.detail.is_empty()) {
        line.push_str("  ");
        line.push_str(&row.detail);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(stage: &'static str, result: &'static str, detail: &str) -> Row {
        Row { stage, result, minutes: 1.26, detail: detail.to_owned() }
    }

    #[test]
    fn the_table_names_stages_results_and_minutes() {
        let rows = [row("format", "passed", ""), row("tests", "FAILED", "1 tests failed")];
        let expected =
            ["stage   result  minutes", "format  passed      1.3", "tests   FAILED      1.3  1 tests failed"];
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn one_failed_stage_fails_the_whole() {
        let shell = Shell::new("ci", true);
        let passed = report(&[row("format", "passed", "")], &shell).unwrap().into_fields().unwrap();
        let of_a_row = passed["stages"][0].as_object().unwrap().keys();
        crate::documents::assert_fields_are_documented(passed.keys().chain(of_a_row).map(String::as_str));
        let failure = report(&[row("format", "passed", ""), row("tests", "FAILED", "")], &shell).unwrap_err();
        assert_eq!(failure.what(), "failed: tests");
    }
}
