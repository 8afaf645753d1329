//! What a test program prints, read.

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// Its attribute says that it is not to be run, and perhaps why.
    Ignored(String),
}

/// One test's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its path within the program.
    pub(crate) name: String,
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// What it printed.
    pub(crate) output: String,
}

/// What one or several runs printed, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    /// How many tests were announced.
    pub(crate) announced: usize,
    /// How many passed, as the program counts them in the end.
    pub(crate) passed: usize,
    /// Those that ended.
    pub(crate) finished: Vec<Finished>,
}

/// Reads the plain format, as of `--show-output`.
pub(crate) fn parse(stdout: &str) -> Printed {
    let mut printed = Printed::default();
    // The index of the test whose output follows.
    let mut showing = None;
    for line in stdout.lines() {
        if let Some(count) = announcement(line) {
            printed.announced += count;
            showing = None;
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            showing = printed.finished.iter().rposition(|test| test.name == name);
        } else if let Some(result) = line.strip_prefix("test result: ") {
            printed.passed += passed(result).unwrap_or(0);
            showing = None;
        } else if matches!(line, "successes:" | "failures:") {
            showing = None;
        } else if let Some(test) = showing.and_then(|index| printed.finished.get_mut(index)) {
            test.output.push_str(line);
            test.output.push('\n');
        } else if let Some(test) = result(line) {
            printed.finished.push(test);
        }
    }
    for test in &mut printed.finished {
        test.output.truncate(test.output.trim_end().len());
    }
    printed
}

/// Reads what `--list --format terse` prints.
pub(crate) fn parse_list(stdout: &str) -> Vec<String> {
    stdout.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// `running 7 tests`.
fn announcement(line: &str) -> Option<usize> {
    let (count, what) = line.strip_prefix("running ")?.split_once(' ')?;
    matches!(what, "test" | "tests").then(|| count.parse().ok())?
}

/// `ok. 7 passed; ...`.
fn passed(result: &str) -> Option<usize> {
    result.split_once(". ")?.1.split_once(" passed; ")?.0.parse().ok()
}

/// `test a::b ... ok`; what the attribute adds to the name (` - should panic`, ` - compile`) is left out.
fn result(line: &str) -> Option<Finished> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let verdict = match end {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        _ => Verdict::Ignored(end.strip_prefix("ignored")?.trim_start_matches(", ").to_owned()),
    };
    let added = [" - should panic", " - compile fail", " - compile"];
    let name = added.iter().find_map(|added| name.strip_suffix(added)).unwrap_or(name);
    Some(Finished { name: name.to_owned(), verdict, output: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(name: &str, verdict: Verdict, output: &str) -> Finished {
        Finished { name: name.to_owned(), verdict, output: output.to_owned() }
    }

    #[test]
    fn a_run_with_every_verdict() {
        let stdout = "
running 5 tests
test a::passes ... ok
test a::panics - should panic ... ok
test b::fails ... FAILED
test b::is_left_out ... ignored
test b::is_left_out_too ... ignored, needs a moon

successes:

---- a::passes stdout ----
contract case passes: not run, the store is read-only
second line, of test b::fails ... ok


successes:
    a::passes
    a::panics

failures:

---- b::fails stdout ----

thread 'b::fails' panicked at src/lib.rs:1:1:
no

failures:
    b::fails

test result: FAILED. 2 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.10s
";
        let expected = vec![
            finished(
                "a::passes",
                Verdict::Passed,
                "contract case passes: not run, the store is read-only\nsecond line, of test b::fails ... ok",
            ),
            finished("a::panics", Verdict::Passed, ""),
            finished("b::fails", Verdict::Failed, "\nthread 'b::fails' panicked at src/lib.rs:1:1:\nno"),
            finished("b::is_left_out", Verdict::Ignored(String::new()), ""),
            finished("b::is_left_out_too", Verdict::Ignored("needs a moon".to_owned()), ""),
        ];
        assert_eq!(parse(stdout), Printed { announced: 5, passed: 2, finished: expected });
    }

    #[test]
    fn runs_one_after_the_other_add_up_and_an_aborted_one_shows() {
        let stdout = "
running 1 test
test fencing/src/lib.rs - (line 9) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s


running 3 tests
test migration/src/lib.rs - (line 11) - compile ... ok
";
        let expected = vec![
            finished("fencing/src/lib.rs - (line 9)", Verdict::Passed, ""),
            finished("migration/src/lib.rs - (line 11)", Verdict::Passed, ""),
        ];
        assert_eq!(parse(stdout), Printed { announced: 4, passed: 1, finished: expected });
    }

    #[test]
    fn a_list_names_tests_and_no_benchmarks() {
        assert_eq!(
            parse_list("a::b: test\nc: benchmark\nd - should panic: test\n\n2 tests"),
            ["a::b", "d - should panic"]
        );
    }
}
