//! The checks, one by one.

use clap::ValueEnum;

use super::arrows::wrong_arrows;
use super::captured::{self, Output, failed};
use crate::cargo::{cargo, command, metadata};
use crate::cli::{Interrupt, Shell};
use crate::codegen;
use crate::fragment::FRAGMENTS;
use crate::repository_root;
use crate::sim::Mutant;
use crate::suite;

/// How a stage ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It passed; with what is worth saying.
    Passed(String),
    /// There was nothing to check it on; with why.
    NotRun(String),
    /// It failed: what failed, then why.
    Failed(Vec<String>),
}

/// A check. Their order is that of the run: what needs no build, what needs the compiler's checks alone, what needs
/// programs. Stages of one kind share build results, as they all take every feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// `cargo fmt --check`
    Format,
    /// Generated code and generated parts of documents are what their sources give
    Generated,
    /// No crate uses one that it must not use
    Arrows,
    /// Licences, banned crates and sources, by deny.toml
    Deny,
    /// Clippy has nothing to say
    Clippy,
    /// The libraries build without optional features
    Features,
    /// rustdoc has nothing to say
    Docs,
    /// Every test, as `cargo xtask test` runs them
    Tests,
    /// `cargo xtask demo` on a small cluster, and with three controllers whose leaders are killed, finds no divergence
    Demo,
    /// `cargo xtask chaos`: a few random kills, one at each step of a migration, two rivals, and no divergence in the end
    Chaos,
    /// `cargo xtask sim`: a minute of fresh histories and those that failed once break no rule, and every known bug is found
    Sim,
    /// `cargo xtask interop --quick`: Apache Kafka migrates the same content, reads ours, and boots from it
    Interop,
    /// The tree is as it was before
    Tree,
}

impl Stage {
    /// As typed and printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Generated => "generated",
            Self::Arrows => "arrows",
            Self::Deny => "deny",
            Self::Clippy => "clippy",
            Self::Features => "features",
            Self::Docs => "docs",
            Self::Tests => "tests",
            Self::Demo => "demo",
            Self::Chaos => "chaos",
            Self::Sim => "sim",
            Self::Interop => "interop",
            Self::Tree => "tree",
        }
    }

    /// What it checks, as the command line's help has it.
    pub(super) fn what(self) -> String {
        self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }
}

/// Runs one. `tree_before` is the [`tree_state`] before the first.
pub(super) async fn run_stage(
    stage: Stage,
    tree_before: &Result<String, String>,
    shell: &Shell,
    interrupt: &Interrupt,
) -> End {
    match stage {
        Stage::Format => format().await,
        Stage::Generated => generated(),
        Stage::Arrows => arrows(),
        Stage::Deny => deny().await,
        Stage::Clippy => clippy().await,
        Stage::Features => features().await,
        Stage::Docs => docs().await,
        Stage::Tests => tests(shell, interrupt).await,
        Stage::Demo => demos().await,
        Stage::Chaos => chaos().await,
        Stage::Sim => simulation().await,
        Stage::Interop => interop().await,
        Stage::Tree => tree(tree_before).await,
    }
}

fn with(mut command: std::process::Command, arguments: &[&str]) -> std::process::Command {
    command.args(arguments);
    command
}

/// A cargo command that neither writes the lock file nor tells of downloads.
fn locked(arguments: &[&str]) -> std::process::Command {
    let (verb, rest) = arguments.split_at(1.min(arguments.len()));
    with(with(with(cargo(), verb), &["--locked", "--quiet"]), rest)
}

/// A verb of ours, as typed.
fn xtask(arguments: &[&str]) -> std::process::Command {
    with(locked(&["run", "--package", "xtask", "--"]), arguments)
}

async fn format() -> End {
    match captured::run(with(cargo(), &["fmt", "--all", "--check", "--", "-l"]), "cargo fmt --check").await {
        End::Failed(files) => {
            let mend = "these files are laid out otherwise: run `cargo xtask fix`".to_owned();
            End::Failed([mend].into_iter().chain(files.into_iter().skip(1)).collect())
        }
        end => end,
    }
}

fn generated() -> End {
    let stale: Vec<String> = FRAGMENTS
        .iter()
        .filter_map(|fragment| match fragment.present_and_fresh(&repository_root()) {
            Ok((present, fresh)) if present == fresh => None,
            Ok(_) => Some(format!("{} in {} is stale: run `cargo xtask bless`", fragment.name, fragment.document)),
            Err(reason) => Some(reason),
        })
        .collect();
    match codegen::run(&codegen::Args { check: true }) {
        Ok(_) if stale.is_empty() => End::Passed(String::new()),
        Ok(_) => End::Failed(stale),
        Err(error) => End::Failed([error.to_string()].into_iter().chain(stale).collect()),
    }
}

fn arrows() -> End {
    let metadata = match metadata() {
        Ok(metadata) => metadata,
        Err(failure) => return End::Failed(failure.lines()),
    };
    match wrong_arrows(&metadata) {
        Ok(wrong) if wrong.is_empty() => End::Passed(String::new()),
        Ok(wrong) => End::Failed(wrong),
        Err(reason) => End::Failed(vec![reason]),
    }
}

async fn deny() -> End {
    let version = captured::output(with(cargo(), &["deny", "--version"])).await;
    if !version.is_ok_and(|output| output.success) {
        return End::Failed(vec!["cargo-deny is not installed: run `cargo install cargo-deny --locked`".to_owned()]);
    }
    let check = with(cargo(), &["deny", "--locked", "check", "licenses", "bans", "sources"]);
    match captured::run(check, "cargo deny check").await {
        End::Passed(_) => End::Passed("advisories not run: they need the network's database".to_owned()),
        end => end,
    }
}

async fn clippy() -> End {
    let arguments = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    captured::run(locked(&arguments), "cargo clippy").await
}

/// Each library as its users get it; with all features on, a missing `cfg` would not show.
async fn features() -> End {
    let libraries =
        ["metadata-core", "fencing", "broker-registry", "migration", "store-zk", "store-kraft", "controller"];
    let mut arguments = vec!["check"];
    arguments.extend(libraries.iter().flat_map(|library| ["--package", library]));
    captured::run(locked(&arguments), "cargo check of the libraries").await
}

async fn docs() -> End {
    let mut docs = locked(&["doc", "--workspace", "--no-deps", "--all-features"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    captured::run(docs, "cargo doc").await
}

async fn tests(shell: &Shell, interrupt: &Interrupt) -> End {
    let options = suite::Options { filter: None, frozen_tree: true };
    match suite::run(&options, shell, interrupt).await {
        Ok(report) if report.failed() == 0 => {
            for line in report.lines() {
                shell.note(line);
            }
            End::Passed(report.sum())
        }
        Ok(report) => End::Failed([report.sum()].into_iter().chain(report.lines()).collect()),
        Err(failure) => End::Failed(failure.lines()),
    }
}

/// Small, but with everything in it; and with three controllers, large enough for the leader to be killed in the copy.
const DEMOS: [&[&str]; 2] = [
    &["demo", "--topics", "50", "--partitions-per-topic", "3", "--changes", "50"],
    &["demo", "--controllers", "3", "--kill-leader", "--repeat", "2"],
];

async fn demos() -> End {
    let mut told = Vec::new();
    for arguments in DEMOS {
        match without_divergence(arguments).await {
            End::Passed(counts) => told.push(counts),
            end => return end,
        }
    }
    End::Passed(told.join("; with three controllers: "))
}

const CHAOS: [[&str; 7]; 3] = [
    ["chaos", "--topics", "50", "--partitions-per-topic", "3", "--kills", "2"],
    ["chaos", "--topics", "20", "--partitions-per-topic", "3", "--at", "all"],
    ["chaos", "--topics", "20", "--partitions-per-topic", "3", "--rivals", "100"],
];

async fn chaos() -> End {
    let mut told = Vec::new();
    for arguments in &CHAOS {
        match without_divergence(arguments).await {
            End::Passed(counts) => told.push(format!("{} {}: {counts}", arguments[5], arguments[6])),
            end => return end,
        }
    }
    End::Passed(told.join("; "))
}

/// Runs a verb that ends with a comparison.
async fn without_divergence(arguments: &[&str]) -> End {
    let typed = format!("cargo xtask {}", arguments.join(" "));
    match captured::output(with(xtask(arguments), &["--json"])).await {
        Ok(output) => judge_comparison(&typed, &output),
        Err(error) => End::Failed(vec![format!("cargo can't be run: {error}")]),
    }
}

/// The exit code alone is not enough: that nothing diverges must have been counted.
fn judge_comparison(typed: &str, output: &Output) -> End {
    let object: Option<serde_json::Value> =
        output.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let count = |key: &str| object.as_ref().and_then(|object| object[key].as_u64());
    match (count("divergent_znodes"), count("compared_znodes")) {
        (Some(0), Some(compared)) if output.success && compared > 0 => {
            End::Passed(format!("{compared} znodes compared, 0 diverge"))
        }
        _ => failed(typed, output),
    }
}

/// Fresh histories, the kept ones, and each mutant.
async fn simulation() -> End {
    let arguments = ["sim", "--seconds", "60", "--json"];
    let mut told = match captured::output(xtask(&arguments)).await {
        Ok(output) => match judge_histories(&output) {
            Some(told) => told,
            None => return failed(&format!("cargo xtask {}", arguments.join(" ")), &output),
        },
        Err(error) => return End::Failed(vec![format!("cargo can't be run: {error}")]),
    };
    for mutant in Mutant::ALL {
        let name = mutant.to_string();
        let arguments = ["sim", "--mutant", &name, "--json"];
        match captured::output(xtask(&arguments)).await {
            Ok(output) if found(&output, mutant) => {}
            Ok(output) => return failed(&format!("cargo xtask {}", arguments.join(" ")), &output),
            Err(error) => return End::Failed(vec![format!("cargo can't be run: {error}")]),
        }
    }
    told.push_str(&format!("; {} mutants found", Mutant::ALL.len()));
    End::Passed(told)
}

fn last_object(output: &Output) -> Option<serde_json::Value> {
    output.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok())
}

/// The exit code alone is not enough: that histories ran must have been counted. What never happened is said.
fn judge_histories(output: &Output) -> Option<String> {
    let object = last_object(output).filter(|_| output.success)?;
    let histories = object["histories"].as_u64().filter(|count| *count > 0)?;
    let seed = object["first_fresh_seed"].as_u64()?;
    let never: Vec<&str> = object["never_happened"].as_array()?.iter().filter_map(serde_json::Value::as_str).collect();
    let never = if never.is_empty() { String::new() } else { format!(", never happened: {}", never.join(", ")) };
    Some(format!("{histories} histories, fresh from seed {seed} on, break no rule{never}"))
}

/// Whether a mutant was found, by a rule that is to find it.
fn found(output: &Output, mutant: Mutant) -> bool {
    let object = last_object(output).filter(|_| output.success);
    object.is_some_and(|object| object["invariant"].as_str().is_some_and(|id| mutant.story().caught_by.contains(&id)))
}

/// Kafka's verdict.
async fn interop() -> End {
    let arguments = ["interop", "--quick", "--json"];
    match captured::output(xtask(&arguments)).await {
        Ok(output) => judge_parts(&format!("cargo xtask {}", arguments.join(" ")), &output),
        Err(error) => End::Failed(vec![format!("cargo can't be run: {error}")]),
    }
}

/// The exit code alone is not enough: each part must be named as one that holds.
fn judge_parts(typed: &str, output: &Output) -> End {
    let object: Option<serde_json::Value> =
        output.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let parts = object.as_ref().and_then(|object| object["parts"].as_array());
    match parts {
        Some(parts) if output.success && !parts.is_empty() && parts.iter().all(|part| part["result"] == "holds") => {
            let names: Vec<_> = parts.iter().filter_map(|part| part["part"].as_str()).collect();
            End::Passed(format!("{} hold", names.join(", ")))
        }
        _ => failed(typed, output),
    }
}

/// The state of the tree, to be compared with a later one; or why there is none.
pub(super) async fn tree_state() -> Result<String, String> {
    let mut state = String::new();
    for arguments in [["status", "--porcelain"].as_slice(), &["diff"]] {
        let mut git = command("git");
        git.args(arguments);
        match captured::output(git).await {
            Ok(output) if output.success => state.push_str(&output.stdout),
            Ok(output) => return Err(format!("git {}: {}", arguments.join(" "), output.stderr.trim())),
            Err(error) => return Err(format!("git can't be run: {error}")),
        }
    }
    Ok(state)
}

async fn tree(before: &Result<String, String>) -> End {
    match (before, tree_state().await) {
        (Ok(before), Ok(now)) if *before == now => End::Passed(String::new()),
        (Ok(before), Ok(now)) => {
            let known: Vec<&str> = before.lines().collect();
            let new = now.lines().filter(|line| !known.contains(line)).map(str::to_owned);
            End::Failed(["the checks have changed the tree".to_owned()].into_iter().chain(new).collect())
        }
        (Err(reason), _) => End::NotRun(reason.clone()),
        (_, Err(reason)) => End::NotRun(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_passes_only_with_counts() {
        let output = |success, stdout: &str| Output { success, stdout: stdout.to_owned(), stderr: String::new() };
        for (success, stdout, passes) in [
            (true, "text\n{\"divergent_znodes\": 0, \"compared_znodes\": 9}\n", true),
            (true, "{\"divergent_znodes\": 1, \"compared_znodes\": 9}\n", false),
            (true, "{\"divergent_znodes\": 0, \"compared_znodes\": 0}\n", false),
            (true, "{\"divergent_znodes\": 0}\n", false),
            (true, "{\"compared_znodes\": 9}\n", false),
            (false, "{\"divergent_znodes\": 0, \"compared_znodes\": 9}\n", false),
            (true, "", false),
        ] {
            let end = judge_comparison("it", &output(success, stdout));
            assert_eq!(matches!(end, End::Passed(_)), passes, "{stdout}");
        }
    }

    #[test]
    fn a_simulation_passes_only_with_counts_and_a_mutant_only_by_its_rule() {
        let output = |success, stdout: &str| Output { success, stdout: stdout.to_owned(), stderr: String::new() };
        let counted = r#"{"histories":9,"first_fresh_seed":7,"never_happened":["pauses"]}"#;
        let told = judge_histories(&output(true, counted));
        assert_eq!(told.as_deref(), Some("9 histories, fresh from seed 7 on, break no rule, never happened: pauses"));
        assert_eq!(judge_histories(&output(false, counted)), None);
        let none = r#"{"histories":0,"first_fresh_seed":7,"never_happened":[]}"#;
        assert_eq!(judge_histories(&output(true, none)), None);
        for (invariant, by_its_rule) in [("MIG-5", true), ("MIG-7", false)] {
            let output = output(true, &format!(r#"{{"invariant":"{invariant}"}}"#));
            assert_eq!(found(&output, Mutant::CopyShownEarly), by_its_rule);
        }
    }

    #[test]
    fn kafkas_verdict_passes_only_if_every_part_is_named_and_holds() {
        let output = |success, stdout: &str| Output { success, stdout: stdout.to_owned(), stderr: String::new() };
        for (success, stdout, passes) in [
            (true, r#"{"parts":[{"part":"differential","result":"holds"},{"part":"offline","result":"holds"}]}"#, true),
            (
                true,
                r#"{"parts":[{"part":"differential","result":"holds"},{"part":"offline","result":"not run"}]}"#,
                false,
            ),
            (true, r#"{"parts":[]}"#, false),
            (true, "", false),
            (false, r#"{"parts":[{"part":"differential","result":"holds"}]}"#, false),
        ] {
            let end = judge_parts("interop", &output(success, stdout));
            assert_eq!(matches!(end, End::Passed(_)), passes, "{stdout}");
        }
    }

    #[tokio::test]
    async fn a_changed_tree_is_told_by_what_changed() {
        let unlike = Ok("nothing like it\n".to_owned());
        let end = tree(&unlike).await;
        // Outside a checkout there is nothing to compare.
        assert!(
            matches!(&end, End::Failed(lines) if lines[0].contains("changed the tree"))
                || matches!(end, End::NotRun(_))
        );
        assert_eq!(tree(&Err("no git".to_owned())).await, End::NotRun("no git".to_owned()));
    }

    #[test]
    fn every_stage_says_what_it_checks_under_the_name_that_is_typed() {
        for stage in Stage::value_variants() {
            assert!(!stage.what().is_empty(), "{stage:?}");
            assert_eq!(stage.to_possible_value().unwrap().get_name(), stage.name());
        }
    }
}
