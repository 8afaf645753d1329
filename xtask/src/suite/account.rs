//! What was meant to run, what ran, and how it ended.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::backend::Backend;
use super::libtest::{Finished, Printed, Verdict};
use crate::columns::columns;

/// How one test ended, in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// It ran and passed.
    Passed,
    /// It failed, or did not run though it was meant to; with why, or what it printed.
    Failed(String),
    /// It had nothing to do here, and said why.
    Skipped(String),
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Test {
    /// The crate.
    pub(crate) package: String,
    /// The test program: `lib`, `doc`, or its file in `tests`.
    pub(crate) binary: String,
    /// Its path within the program.
    pub(crate) name: String,
    /// How it ended.
    pub(crate) account: Account,
}

impl Test {
    /// The path by which it is named, and its backend is told.
    pub(crate) fn path(&self) -> String {
        path(&self.package, &self.binary, &self.name)
    }
}

/// Crate, program and test as one path.
pub(crate) fn path(package: &str, binary: &str, name: &str) -> String {
    format!("{package}::{binary}::{name}")
}

/// Joins the names that were listed with what was printed. `how` says how the program ended.
///
/// A line of a result is lost where a test writes to standard output behind the harness's back. So a test without one
/// has passed if the program's own count says that all such tests have.
pub(crate) fn join(package: &str, binary: &str, listed: Vec<String>, printed: Printed, how: &str) -> Vec<Test> {
    let seen_to_pass = printed.finished.iter().filter(|test| test.verdict == Verdict::Passed).count();
    let mut finished: BTreeMap<String, Finished> =
        printed.finished.into_iter().map(|test| (test.name.clone(), test)).collect();
    let lost = listed.iter().filter(|name| !finished.contains_key(*name)).count();
    let all_passed = printed.passed == seen_to_pass + lost;
    let account = |name: &str| match finished.remove(name) {
        Some(ended) => judge(&ended),
        None if all_passed => Account::Passed,
        None => Account::Failed(format!("it did not end: the test program {how}")),
    };
    let accounts: Vec<Account> = listed.iter().map(String::as_str).map(account).collect();
    let tests = listed.into_iter().zip(accounts).map(|(name, account)| Test {
        package: package.to_owned(),
        binary: binary.to_owned(),
        name,
        account,
    });
    tests.collect()
}

/// What one test's end means.
pub(crate) fn judge(test: &Finished) -> Account {
    match &test.verdict {
        Verdict::Failed => Account::Failed(test.output.clone()),
        Verdict::Ignored(reason) if reason.is_empty() => {
            Account::Failed("it is marked to be ignored: every test runs".to_owned())
        }
        Verdict::Ignored(reason) => Account::Failed(format!("it is marked to be ignored ({reason}): every test runs")),
        Verdict::Passed => match not_run(test) {
            Some(reason) => Account::Skipped(reason),
            None => Account::Passed,
        },
    }
}

/// `contract case NAME: not run, REASON`, said by the test of that very case; or `case NAME: not run, REASON`, said by a
/// test that needs what only some machines allow.
fn not_run(test: &Finished) -> Option<String> {
    let own_name = test.name.rsplit("::").next().unwrap_or(&test.name);
    let said = format!("case {own_name}: not run, ");
    let lines = test.output.lines().map(|line| line.strip_prefix("contract ").unwrap_or(line));
    lines.filter_map(|line| line.strip_prefix(&said)).next().map(str::to_owned)
}

/// A line of the table: tests of one program on one backend.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// The crate.
    #[serde(rename = "crate")]
    pub(crate) package: String,
    /// The test program.
    pub(crate) binary: String,
    /// What they ran on.
    pub(crate) backend: &'static str,
    /// How many passed.
    pub(crate) passed: u64,
    /// How many failed, or did not run though they were meant to.
    pub(crate) failed: u64,
    /// How many had nothing to do.
    pub(crate) skipped: u64,
}

/// A test by name, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Remark {
    /// Crate, program and name.
    pub(crate) test: String,
    /// What is to be said.
    pub(crate) reason: String,
}

/// The whole run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// By crate, program and backend.
    pub(crate) rows: Vec<Row>,
    /// Every test that failed.
    pub(crate) failures: Vec<Remark>,
    /// Every test that had nothing to do.
    pub(crate) not_run: Vec<Remark>,
    /// Backends that no test ran on.
    pub(crate) idle_backends: Vec<&'static str>,
}

impl Report {
    /// Sums up.
    pub(crate) fn of(tests: &[Test]) -> Self {
        let mut rows: BTreeMap<(&str, &str, Backend), Row> = BTreeMap::new();
        let mut report = Self::default();
        let mut idle = BTreeSet::from(Backend::ALL);
        for test in tests {
            let path = test.path();
            let backend = Backend::of(&path);
            let row = rows.entry((&test.package, &test.binary, backend)).or_insert_with(|| Row {
                package: test.package.clone(),
                binary: test.binary.clone(),
                backend: backend.name(),
                ..Row::default()
            });
            if !matches!(test.account, Account::Skipped(_)) {
                idle.remove(&backend);
            }
            match &test.account {
                Account::Passed => row.passed += 1,
                Account::Failed(reason) => {
                    row.failed += 1;
                    report.failures.push(Remark { test: path, reason: reason.clone() });
                }
                Account::Skipped(reason) => {
                    row.skipped += 1;
                    report.not_run.push(Remark { test: path, reason: reason.clone() });
                }
            }
        }
        report.rows = rows.into_values().collect();
        report.idle_backends = idle.into_iter().map(Backend::name).collect();
        report
    }

    /// How many passed.
    pub(crate) fn passed(&self) -> u64 {
        self.rows.iter().map(|row| row.passed).sum()
    }

    /// How many failed.
    pub(crate) fn failed(&self) -> u64 {
        self.rows.iter().map(|row| row.failed).sum()
    }

    /// How many had nothing to do.
    pub(crate) fn skipped(&self) -> u64 {
        self.rows.iter().map(|row| row.skipped).sum()
    }

    /// The failures with what they printed, the table, what was not run and why, backends without a test, and the sum.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for failure in &self.failures {
            lines.push(format!("FAILED {}", failure.test));
            lines.extend(excerpt(&failure.reason).into_iter().map(|line| format!("    {line}")));
        }
        let mut table = vec![["crate", "tests", "backend", "passed", "failed", "not run"].map(str::to_owned)];
        table.extend(self.rows.iter().map(|row| {
            let Row { package, binary, backend, passed, failed, skipped } = row;
            [
                package.clone(),
                binary.clone(),
                (*backend).to_owned(),
                passed.to_string(),
                failed.to_string(),
                skipped.to_string(),
            ]
        }));
        lines.extend(columns(&table, 3));
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for remark in &self.not_run {
            by_reason.entry(&remark.reason).or_default().push(&remark.test);
        }
        for (reason, tests) in by_reason {
            lines.push(format!("not run, {reason}:"));
            lines.extend(tests.into_iter().map(|test| format!("    {test}")));
        }
        if !self.idle_backends.is_empty() {
            lines.push(format!("not run, no test on: {}", self.idle_backends.join(", ")));
        }
        lines.push(self.sum());
        lines
    }

    /// `N passed, N failed`, and `, N skipped` if there are any.
    pub(crate) fn sum(&self) -> String {
        let sum = format!("{} passed, {} failed", self.passed(), self.failed());
        if self.skipped() == 0 { sum } else { format!("{sum}, {} skipped", self.skipped()) }
    }
}

/// Lines of a failed test's output that are shown.
const EXCERPT_LINES: usize = 60;

/// The end of a long output; what failed is told last.
fn excerpt(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.trim().lines().collect();
    let left_out = lines.len().saturating_sub(EXCERPT_LINES);
    let head = (left_out > 0).then(|| format!("({left_out} lines left out)"));
    head.into_iter().chain(lines.into_iter().skip(left_out).map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(name: &str, verdict: Verdict, output: &str) -> Finished {
        Finished { name: name.to_owned(), verdict, output: output.to_owned() }
    }

    #[test]
    fn each_end_has_its_account() {
        let skipped = "contract case sync: not run, the store cannot sync";
        for (test, account) in [
            (finished("a", Verdict::Passed, "contract case b: not run, no"), Account::Passed),
            (finished("x::sync", Verdict::Passed, skipped), Account::Skipped("the store cannot sync".to_owned())),
            (finished("x", Verdict::Passed, "case x: not run, no root"), Account::Skipped("no root".to_owned())),
            (finished("x::sync", Verdict::Failed, skipped), Account::Failed(skipped.to_owned())),
            (
                finished("a", Verdict::Ignored(String::new()), ""),
                Account::Failed("it is marked to be ignored: every test runs".to_owned()),
            ),
            (
                finished("a", Verdict::Ignored("slow".to_owned()), ""),
                Account::Failed("it is marked to be ignored (slow): every test runs".to_owned()),
            ),
        ] {
            assert_eq!(judge(&test), account, "{test:?}");
        }
    }

    #[test]
    fn a_test_that_was_listed_and_did_not_end_has_failed_unless_the_count_says_otherwise() {
        let accounts = |passed| {
            let listed = vec!["a".to_owned(), "b".to_owned()];
            let printed = Printed { announced: 2, passed, finished: vec![finished("a", Verdict::Passed, "")] };
            let tests = join("fencing", "lib", listed, printed, "died of signal 6");
            tests.into_iter().map(|test| test.account).collect::<Vec<_>>()
        };
        let unfinished = Account::Failed("it did not end: the test program died of signal 6".to_owned());
        assert_eq!(accounts(0), [Account::Passed, unfinished.clone()]);
        assert_eq!(accounts(1), [Account::Passed, unfinished]);
        assert_eq!(accounts(2), [Account::Passed, Account::Passed]);
    }

    #[test]
    fn the_table_the_reasons_and_the_sum() {
        let test = |name: &str, account| Test {
            package: "store-zk".to_owned(),
            binary: "contract".to_owned(),
            name: name.to_owned(),
            account,
        };
        let report = Report::of(&[
            test("real::a", Account::Passed),
            test("fake::a", Account::Passed),
            test("fake::b", Account::Failed("first\nsecond".to_owned())),
            test("real::b", Account::Skipped("it has one node".to_owned())),
        ]);
        assert_eq!(
            report.lines(),
            [
                "FAILED store-zk::contract::fake::b",
                "    first",
                "    second",
                "crate     tests     backend         passed  failed  not run",
                "store-zk  contract  fake ZooKeeper       1       1        0",
                "store-zk  contract  real ZooKeeper       1       0        1",
                "not run, it has one node:",
                "    store-zk::contract::real::b",
                "not run, no test on: memory, files, ZooKeeper ensemble, Kafka's jars",
                "2 passed, 1 failed, 1 skipped",
            ]
        );
        assert_eq!(Report::default().sum(), "0 passed, 0 failed");
    }

    #[test]
    fn a_backend_whose_only_test_had_nothing_to_do_is_idle() {
        let on = |name: &str, account| Test {
            package: "xtask".to_owned(),
            binary: "x".to_owned(),
            name: format!("{name}::a"),
            account,
        };
        let all = ["memory", "files", "fake", "real", "ensemble", "jars"];
        let ran: Vec<_> = all.iter().map(|word| on(word, Account::Passed)).collect();
        assert_eq!(Report::of(&ran).idle_backends, [""; 0]);
        let skipped = [&ran[..5], &[on("jars", Account::Skipped("why".to_owned()))]].concat();
        assert_eq!(Report::of(&skipped).idle_backends, ["Kafka's jars"]);
    }

    #[test]
    fn of_a_long_output_the_end_is_shown() {
        let long: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let shown = excerpt(&long.join("\n"));
        assert_eq!((shown[0].as_str(), shown[1].as_str(), shown.len()), ("(40 lines left out)", "40", 61));
    }
}
