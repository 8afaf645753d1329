//! Tells the verbs apart.

use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::cli::{Exit, Failure, Outcome, Shell, VerbResult, start_logging};
use crate::codegen;
use crate::rivals::{DriverArgs, run_driver};
use crate::verb::{
    bench, bless, change, chaos, ci, demo, dump_log, export, finalize, fix, interop, migrate, rollback, seed, sim,
    status, test, verify, zookeeper,
};

/// Builds, checks and drives the migration from ZooKeeper to KRaft.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 blocked, 4 divergence found, 5 damaged data or a broken invariant.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// Print one JSON object as the last line on stdout, and everything else on stderr
    #[arg(long, global = true)]
    json: bool,

    /// Log what is done; RUST_LOG says it more exactly
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Migrate a made-up cluster from start to dual writing, and check every znode of it
    Demo(demo::Args),
    /// Run a controller in the foreground: copy ZooKeeper's metadata into a log, then keep both in step
    Migrate(migrate::Args),
    /// Make changes through the running controller
    Change(Box<change::Args>),
    /// Say how a migration is
    Status(status::Args),
    /// Compare ZooKeeper with the metadata log, znode by znode
    Verify(verify::Args),
    /// End the migration for good: ZooKeeper is written no more, and no way leads back
    Finalize(finalize::Args),
    /// Give ZooKeeper back to its brokers: the way back from every stage before the migration is finalized
    Rollback(rollback::Args),
    /// Print every batch and record of a metadata log as JSON
    DumpLog(dump_log::Args),
    /// Turn a stopped ZooKeeper-mode cluster into directories that Kafka 3.9 and 4.x start from
    Export(export::Args),
    /// Kill migrate at random moments, run it again, and compare what it ends with
    Chaos(chaos::Args),
    /// Run the whole migration in virtual time, with everything going wrong, and check what may never happen
    Sim(sim::Args),
    /// Have Apache Kafka judge what we write, and read what it wrote
    Interop(interop::Args),
    /// Measure the log against the bare disk, and a takeover in a large cluster against one in a small cluster
    Bench(bench::Args),
    /// Run every test, and account for each
    Test(test::Args),
    /// Run every check, and write nothing
    Ci(ci::Args),
    /// Lay out the code, generate what is generated, and take clippy's safe advice
    Fix,
    /// Rewrite what tests compare with, from what the code says
    Bless,
    /// Generate the record types from their table
    Codegen(codegen::Args),
    /// Write a believable ZooKeeper-mode cluster into an empty ZooKeeper path
    Seed(seed::Args),
    /// Run a real ZooKeeper in the foreground, until Ctrl-C
    Zookeeper(zookeeper::Args),
    /// Be one of the controllers of `chaos --rivals`, which starts it
    #[command(hide = true)]
    Rival(DriverArgs),
}

impl Verb {
    fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Migrate(_) => "migrate",
            Self::Change(_) => "change",
            Self::Status(_) => "status",
            Self::Verify(_) => "verify",
            Self::Finalize(_) => "finalize",
            Self::Rollback(_) => "rollback",
            Self::DumpLog(_) => "dump-log",
            Self::Export(_) => "export",
            Self::Chaos(_) => "chaos",
            Self::Sim(_) => "sim",
            Self::Interop(_) => "interop",
            Self::Bench(_) => "bench",
            Self::Test(_) => "test",
            Self::Ci(_) => "ci",
            Self::Fix => "fix",
            Self::Bless => "bless",
            Self::Codegen(_) => "codegen",
            Self::Seed(_) => "seed",
            Self::Zookeeper(_) => "zookeeper",
            Self::Rival(_) => "rival",
        }
    }

    fn run(self, shell: &Shell) -> VerbResult {
        match self {
            Self::Demo(args) => on_tokio(demo::run(args, shell)),
            Self::Migrate(args) => on_tokio(migrate::run(args, shell)),
            Self::Change(args) => on_tokio(change::run(*args, shell)),
            Self::Status(args) => on_tokio(status::run(args, shell)),
            Self::Verify(args) => on_tokio(verify::run(args, shell)),
            Self::Finalize(args) => on_tokio(finalize::run(args, shell)),
            Self::Rollback(args) => on_tokio(rollback::run(args, shell)),
            Self::DumpLog(args) => on_tokio(dump_log::run(args, shell)),
            Self::Export(args) => on_tokio(export::run(args, shell)),
            Self::Chaos(args) => on_tokio(chaos::run(args, shell)),
            Self::Sim(args) => sim::run(&args, shell),
            Self::Interop(args) => on_tokio(interop::run(args, shell)),
            Self::Bench(args) => on_tokio(bench::run(args, shell)),
            Self::Test(args) => on_tokio(test::run(args, shell)),
            Self::Ci(args) => on_tokio(ci::run(args, shell)),
            Self::Fix => fix::run(shell),
            Self::Bless => bless::run(),
            Self::Codegen(args) => match codegen::run(&args) {
                Ok(_) => Ok(Outcome::done()),
                Err(error) => Err(Failure::failed("codegen failed").because(error.as_ref())),
            },
            Self::Seed(args) => on_tokio(seed::run(args, shell)),
            Self::Zookeeper(args) => on_tokio(zookeeper::run(args, shell)),
            Self::Rival(args) => on_tokio(run_driver(args)),
        }
    }
}

/// The process: reads the command line, runs the verb, says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error).into(),
    };
    start_logging(cli.verbose);
    let shell = Shell::new(cli.verb.name(), cli.json);
    let result = cli.verb.run(&shell);
    shell.finish(result).into()
}

/// Help and versions are answers; all else is wrong usage. The words are clap's; a program gets its object here too.
fn not_parsed(error: &clap::Error) -> Exit {
    // Nobody may be reading.
    drop(error.print());
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Exit::Done;
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let words = error.to_string();
        let first = words.lines().next().unwrap_or_default();
        let failure = Failure::usage(first.strip_prefix("error: ").unwrap_or(first));
        // A verb is a plain word; what is none may be anything.
        let typed = std::env::args_os().filter_map(|argument| argument.into_string().ok());
        let failure = failure.next("see --help behind the verb");
        Shell::new(verb_typed(typed), true).object(false, failure.into_fields());
    }
    Exit::Usage
}

fn on_tokio(verb: impl Future<Output = VerbResult>) -> VerbResult {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::failed("can't start the async runtime").because(&error))?;
    let result = runtime.block_on(verb);
    // Tasks are dropped here, and the servers that they may hold with them. One that blocks must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// The verb among the arguments, or nothing: the first of them that is one.
fn verb_typed(arguments: impl Iterator<Item = String>) -> String {
    let known = verbs();
    arguments.skip(1).find(|argument| known.contains(argument)).unwrap_or_default()
}

/// All that can be typed.
pub(crate) fn command_line() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The verbs, as typed.
pub(crate) fn verbs() -> Vec<String> {
    command_line().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn the_verb_of_a_wrong_line_is_told_if_there_is_one() {
        for (line, verb) in [("xtask --json seed --no 7", "seed"), ("seed --json sead", ""), ("xtask", "")] {
            assert_eq!(verb_typed(line.split(' ').map(str::to_owned)), verb, "{line}");
        }
    }
}
