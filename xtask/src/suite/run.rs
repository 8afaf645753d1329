//! Builds the test programs and runs them, one after the other.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use store_zk::testkit::find_zookeeper;
use tokio::process::Command;

use super::account::{Account, Report, Test, join, judge, path};
use super::backend::Backend;
use super::libtest::{parse, parse_list};
use super::promises;
use crate::cargo::{TestBinary, cargo, command, target_folder, test_binary};
use crate::cli::{Failure, Interrupt, Shell};
use crate::kafka::{Kafka, Release};
use crate::repository_root;

/// A test program that runs longer hangs. The slowest takes a few minutes on two cores.
const PROGRAM_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Tests that run at once where each may start servers.
const THREADS_WITH_JAVA: &str = "2";

/// The doc tests, which cargo runs by itself, count as one more program of each crate.
const DOC: &str = "doc";

/// What to run, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Only tests whose path contains this.
    pub(crate) filter: Option<String>,
    /// Leaves the tree as it is: no lock file is written, and no failing case of a property is kept.
    pub(crate) frozen_tree: bool,
}

/// A test program and the names of its tests.
struct Program {
    binary: TestBinary,
    tests: Vec<String>,
}

impl Program {
    fn backends(&self) -> impl Iterator<Item = Backend> {
        self.tests.iter().map(|test| Backend::of(&path(&self.binary.package, &self.binary.name, test)))
    }
}

/// Builds and runs. Failed tests are in the report; an error means that there is none.
///
/// # Errors
/// The tests can't be built, what they need can't be had, no test matches, or somebody asked to stop.
pub(crate) async fn run(options: &Options, shell: &Shell, interrupt: &Interrupt) -> Result<Report, Failure> {
    tokio::select! {
        report = run_all(options, shell) => report,
        () = interrupt.requested() => Err(Failure::failed("the tests were interrupted")
            .next("run them again; `cargo xtask test FILTER` runs those whose path contains it")),
    }
}

async fn run_all(options: &Options, shell: &Shell) -> Result<Report, Failure> {
    shell.note("building the tests");
    let programs = programs(options).await?;
    get_ready(&programs, shell).await?;
    let folder = target_folder().join("test-output");
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;

    let mut tests = Vec::new();
    let progress = shell.progress("test", "tests", programs.iter().map(|program| program.tests.len() as u64).sum());
    for program in &programs {
        let started = Instant::now();
        let ended = run_program(program, options, &folder).await?;
        progress.advance(program.tests.len() as u64);
        note(shell, &program.binary.package, &program.binary.name, &ended, started);
        tests.extend(ended);
    }
    let started = Instant::now();
    let ended = run_doc_tests(options, &folder).await?;
    note(shell, "all crates", DOC, &ended, started);
    tests.extend(ended);
    if tests.is_empty() {
        return Err(Failure::failed(match &options.filter {
            Some(filter) => format!("no test has {filter} in its path"),
            None => "there are no tests".to_owned(),
        }));
    }
    if options.filter.is_none() {
        tests.extend(promises::account(&repository_root(), &tests));
    }
    shell.note(format_args!("what the tests printed: {}", folder.display()));
    Ok(Report::of(&tests))
}

/// Finds, or fetches, what the tests' backends need, so that a long run does not fail late for it.
async fn get_ready(programs: &[Program], shell: &Shell) -> Result<(), Failure> {
    let backends: BTreeSet<Backend> = programs.iter().flat_map(Program::backends).collect();
    let shell = shell.clone();
    let finding = tokio::task::spawn_blocking(move || {
        let say = |line: &str| shell.note(line);
        // Kafka's tests migrate a cluster first.
        if backends.iter().any(|backend| backend.needs_java()) {
            let found = find_zookeeper(&say);
            found.map_err(|reason| Failure::failed("no ZooKeeper for the tests that need one").why(reason))?;
        }
        if backends.contains(&Backend::Kafka) {
            let found = Kafka::find(Release::V3_9, &say);
            found.map_err(|reason| Failure::failed("no Kafka for the tests that need its jars").why(reason))?;
        }
        Ok(())
    });
    finding.await.map_err(|error| Failure::failed("can't look for what the tests need").because(&error))?
}

fn note(shell: &Shell, package: &str, binary: &str, ended: &[Test], started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    shell.note(format_args!("{package} {binary}: {} in {seconds:.1} s", Report::of(ended).sum()));
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} can't be written", file.display())).because(error)
}

/// `cargo test` over everything that there is to test.
fn cargo_test(options: &Options) -> std::process::Command {
    let mut cargo = cargo();
    cargo.args(["test", "--workspace", "--all-features"]);
    if options.frozen_tree {
        cargo.args(["--locked"]).env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    }
    cargo
}

/// Builds every test program, and asks each for the tests that are to run. Those without any are left out.
async fn programs(options: &Options) -> Result<Vec<Program>, Failure> {
    let mut build = Command::from(cargo_test(options));
    build.args(["--no-run", "--message-format=json-render-diagnostics"]);
    let cannot_run_cargo = |error: std::io::Error| Failure::failed("cargo can't be run").because(&error);
    let build = build.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let built = build.map_err(cannot_run_cargo)?.wait_with_output().await.map_err(cannot_run_cargo)?;
    if !built.status.success() {
        return Err(Failure::failed("the tests can't be built").next("mend what cargo says above"));
    }
    let mut programs = Vec::new();
    for binary in String::from_utf8_lossy(&built.stdout).lines().filter_map(test_binary) {
        let mut list = Command::from(command(&binary.file));
        list.args(["--list", "--format", "terse"]).args(&options.filter).current_dir(&binary.folder);
        let listed = list.kill_on_drop(true).output().await.map_err(|error| cannot_run(&binary, &error))?;
        if !listed.status.success() {
            let why = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
            return Err(Failure::failed(format!("{} can't list its tests", binary.file.display())).why(why));
        }
        let tests = parse_list(&String::from_utf8_lossy(&listed.stdout));
        if !tests.is_empty() {
            programs.push(Program { binary, tests });
        }
    }
    programs.sort_by(|a, b| (&a.binary.package, &a.binary.name).cmp(&(&b.binary.package, &b.binary.name)));
    Ok(programs)
}

fn cannot_run(binary: &TestBinary, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} can't be run", binary.file.display())).because(error)
}

async fn run_program(program: &Program, options: &Options, folder: &Path) -> Result<Vec<Test>, Failure> {
    let TestBinary { package, name, file, folder: home } = &program.binary;
    let mut run = Command::from(command(file));
    run.args(&options.filter).arg("--show-output").current_dir(home).env("CARGO_MANIFEST_DIR", home);
    if options.frozen_tree {
        run.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    }
    if program.backends().any(Backend::needs_java) {
        run.arg("--test-threads").arg(THREADS_WITH_JAVA);
    }
    let ended = run_captured(run, folder, &format!("{package}.{name}")).await?;
    let mut tests = join(package, name, program.tests.clone(), parse(&ended.stdout), &ended.how);
    require_failure(&mut tests, &ended, package, name);
    Ok(tests)
}

/// Cargo runs the doc tests of one crate after the other; a test's name starts with the crate's folder.
async fn run_doc_tests(options: &Options, folder: &Path) -> Result<Vec<Test>, Failure> {
    let mut run = Command::from(cargo_test(options));
    run.args(["--doc", "--no-fail-fast", "--"]).args(&options.filter).arg("--show-output");
    let ended = run_captured(run, folder, DOC).await?;
    let printed = parse(&ended.stdout);
    let unnamed = printed.announced.saturating_sub(printed.finished.len());
    let mut tests: Vec<Test> = printed
        .finished
        .iter()
        .map(|test| {
            let (package, name) = test.name.split_once('/').unwrap_or(("", &test.name));
            Test { package: package.to_owned(), binary: DOC.to_owned(), name: name.to_owned(), account: judge(test) }
        })
        .collect();
    if unnamed > 0 {
        let reason = format!("{unnamed} doc tests did not end: rustdoc {}\n{}", ended.how, ended.stderr);
        tests.push(whole_program("all-crates", DOC, reason));
    }
    require_failure(&mut tests, &ended, "all-crates", DOC);
    Ok(tests)
}

/// A program that failed although all of its tests passed has failed as a whole.
fn require_failure(tests: &mut Vec<Test>, ended: &Ended, package: &str, binary: &str) {
    let explained = tests.iter().any(|test| matches!(test.account, Account::Failed(_)));
    if !ended.success && !explained {
        tests.push(whole_program(package, binary, format!("the program {}\n{}", ended.how, ended.stderr)));
    }
}

fn whole_program(package: &str, binary: &str, reason: String) -> Test {
    Test {
        package: package.to_owned(),
        binary: binary.to_owned(),
        name: "(the program as a whole)".to_owned(),
        account: Account::Failed(reason),
    }
}

/// How a program ended, and what it said.
struct Ended {
    success: bool,
    /// After "the program".
    how: String,
    stdout: String,
    stderr: String,
}

/// Runs a program with its output in files, which remain for whoever wants to know more.
async fn run_captured(mut program: Command, folder: &Path, name: &str) -> Result<Ended, Failure> {
    let [out, err] = ["stdout", "stderr"].map(|stream| folder.join(format!("{name}.{stream}.txt")));
    let [out_file, err_file] = [&out, &err].map(File::create);
    let (out_file, err_file) =
        (out_file.map_err(|error| cannot_write(&out, &error))?, err_file.map_err(|error| cannot_write(&err, &error))?);
    program.stdin(Stdio::null()).stdout(out_file).stderr(err_file).kill_on_drop(true);
    let mut child = program.spawn().map_err(|error| Failure::failed(format!("{name} can't be run")).because(&error))?;
    let status = tokio::time::timeout(PROGRAM_LIMIT, child.wait()).await;
    let (success, how) = match status {
        Ok(status) => {
            let status = status.map_err(|error| Failure::failed(format!("{name} was lost")).because(&error))?;
            (status.success(), describe(status))
        }
        Err(_) => {
            // Gone already, or it goes now.
            drop(child.kill().await);
            (false, format!("was stopped after {} minutes", PROGRAM_LIMIT.as_secs() / 60))
        }
    };
    let read = |file: &Path| {
        let bytes = fs::read(file);
        bytes
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| Failure::failed(format!("{} can't be read", file.display())).because(&error))
    };
    Ok(Ended { success, how, stdout: read(&out)?, stderr: read(&err)? })
}

/// `ended with exit status: 101`.
fn describe(status: ExitStatus) -> String {
    format!("ended with {status}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell_command(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn what_a_program_says_is_kept_and_its_end_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let ended = run_captured(shell_command("echo out; echo err >&2; exit 3"), folder.path(), "x").await.unwrap();
        assert_eq!((ended.success, ended.stdout.as_str(), ended.stderr.as_str()), (false, "out\n", "err\n"));
        assert_eq!(ended.how, "ended with exit status: 3");
        assert_eq!(fs::read_to_string(folder.path().join("x.stderr.txt")).unwrap(), "err\n");
        let killed = run_captured(shell_command("kill -ABRT $$"), folder.path(), "y").await.unwrap();
        assert!(killed.how.contains("signal"), "{}", killed.how);
    }

    #[test]
    fn a_program_that_fails_without_a_failed_test_has_failed_as_a_whole() {
        let ended =
            |success| Ended { success, how: "ended".to_owned(), stdout: String::new(), stderr: "oops".to_owned() };
        let test =
            |account| Test { package: "fencing".to_owned(), binary: "lib".to_owned(), name: "a".to_owned(), account };
        for (success, account, failed) in
            [(true, Account::Passed, 0), (false, Account::Passed, 1), (false, Account::Failed("no".to_owned()), 1)]
        {
            let mut tests = vec![test(account)];
            require_failure(&mut tests, &ended(success), "fencing", "lib");
            assert_eq!(Report::of(&tests).failed(), failed);
        }
    }
}
