//! docs/promises.md held against what ran: each promise there names the tests that prove it.
//!
//! A row is `| id | promise | proof |`. The proof is one of:
//!
//! - tests as this account names them, and runs of other verbs (`interop PART`, `chaos`, `sim`, `demo`), each in backticks;
//! - `not yet, real brokers: REASON` or `not yet, several controllers: REASON`, the only two things that a row may wait for;
//! - `pending, PART: REASON`, for what is being built; it fails a whole run;
//! - `no content: REASON`, where the source says nothing.
//!
//! Each row counts as one test in the account of a whole run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::ValueEnum;

use super::account::{Account, Test};
use crate::interop::Part;

/// The table, seen from the root of the repository.
pub(crate) const DOCUMENT: &str = "docs/promises.md";

/// The lists of questions and gaps that each have a row: prefix and last number, from 1.
const LISTS: [(&str, u32); 3] = [("S", 82), ("G", 27), ("L", 20)];

/// The rows whose source says nothing.
const WITHOUT_CONTENT: [&str; 1] = ["S69"];

/// What a row may wait for.
const NEEDS: [&str; 2] = ["real brokers", "several controllers"];

/// Runs of other verbs that prove something, besides the parts of interop.
const RUNS: [&str; 3] = ["chaos", "sim", "demo"];

/// How a promise is shown to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    /// Tests of this account, then runs of other verbs; at least one of either.
    Shown { tests: Vec<String>, runs: Vec<String> },
    /// It is not, for this reason.
    NotYet(String),
    /// Somebody is at it.
    Pending(String),
    /// There is nothing to show.
    NoContent(String),
}

/// What the document is, row by row. A wrong row says what is wrong with it.
type Rows = Vec<(String, Result<Proof, String>)>;

/// The rows of the document under `root` as tests of the account. `ran` is everything that ran.
pub(crate) fn account(root: &Path, ran: &[Test]) -> Vec<Test> {
    match fs::read_to_string(root.join(DOCUMENT)) {
        Ok(text) => judge(&text, ran),
        Err(error) => vec![row("(the document)", Account::Failed(format!("{DOCUMENT} can't be read: {error}")))],
    }
}

fn row(id: &str, account: Account) -> Test {
    Test { package: "docs".to_owned(), binary: "promises".to_owned(), name: id.to_owned(), account }
}

/// All ids, in the order of the lists.
fn ids() -> impl Iterator<Item = String> {
    LISTS.iter().flat_map(|(list, last)| (1..=*last).map(move |number| format!("{list}{number}")))
}

fn judge(text: &str, ran: &[Test]) -> Vec<Test> {
    let ends: BTreeMap<String, &Account> = ran.iter().map(|test| (test.path(), &test.account)).collect();
    let mut rows: BTreeMap<String, Vec<Result<Proof, String>>> = BTreeMap::new();
    for (id, proof) in read(text) {
        rows.entry(id).or_default().push(proof);
    }
    let mut tests: Vec<Test> = ids()
        .map(|id| {
            let account = match rows.remove(&id).as_deref() {
                Some([Ok(proof)]) => judge_proof(&id, proof, &ends),
                Some([Err(wrong)]) => Account::Failed(wrong.clone()),
                Some(several) if several.len() > 1 => Account::Failed(format!("{id} has {} rows", several.len())),
                _ => Account::Failed(format!("{id} has no row in {DOCUMENT}")),
            };
            row(&id, account)
        })
        .collect();
    let known = "S1 to S82, G1 to G27 and L1 to L20";
    tests.extend(rows.keys().map(|id| row(id, Account::Failed(format!("{id:?} is not one of {known}")))));
    tests
}

fn judge_proof(id: &str, proof: &Proof, ends: &BTreeMap<String, &Account>) -> Account {
    match proof {
        Proof::Shown { tests, runs } => {
            let wrong: Vec<String> = tests.iter().filter_map(|test| wrong_with(id, test, ends)).collect();
            if !wrong.is_empty() {
                Account::Failed(wrong.join("\n"))
            } else if tests.is_empty() {
                Account::Skipped(format!("shown by another stage of ci: {}", runs.join(", ")))
            } else {
                Account::Passed
            }
        }
        Proof::NotYet(reason) => Account::Skipped(format!("not yet, {reason}")),
        Proof::Pending(part) => Account::Failed(format!("{id} is still pending, {part}: name the tests that prove it")),
        Proof::NoContent(_) if !WITHOUT_CONTENT.contains(&id) => {
            Account::Failed(format!("{id} has content: only {} has none", WITHOUT_CONTENT.join(", ")))
        }
        Proof::NoContent(reason) => Account::Skipped(format!("no content, {reason}")),
    }
}

/// Why a test does not prove a row, if it does not.
fn wrong_with(id: &str, test: &str, ends: &BTreeMap<String, &Account>) -> Option<String> {
    match ends.get(test) {
        Some(Account::Passed) => None,
        Some(Account::Failed(_)) => Some(format!("{id} names {test}, which failed")),
        Some(Account::Skipped(reason)) => Some(format!("{id} names {test}, which did not run: {reason}")),
        None => Some(match nearest(test, ends.keys()) {
            Some(nearest) => format!("{id} names {test}, which does not exist; the nearest name is {nearest}"),
            None => format!("{id} names {test}, which does not exist, as no test does"),
        }),
    }
}

fn read(text: &str) -> Rows {
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let cells = lines.map(|line| {
        let inner = line.trim().trim_start_matches('|');
        inner.strip_suffix('|').unwrap_or(inner).split('|').map(str::trim).collect::<Vec<_>>()
    });
    let is_head = |cells: &[&str]| cells == ["id", "promise", "proof"] || cells.iter().all(|cell| *cell == "---");
    cells.filter(|cells| !is_head(cells)).map(|cells| (cells[0].to_owned(), read_row(&cells))).collect()
}

fn read_row(cells: &[&str]) -> Result<Proof, String> {
    let [id, promise, proof] = cells else {
        return Err(format!("a row has id, promise and proof, and this has {} cells: {cells:?}", cells.len()));
    };
    if promise.is_empty() {
        return Err(format!("{id} promises nothing"));
    }
    read_proof(id, proof)
}

fn read_proof(id: &str, text: &str) -> Result<Proof, String> {
    let with_reason = |rest: &str| match rest.split_once(':') {
        Some((what, reason)) if !reason.trim().is_empty() => Ok((what.trim().to_owned(), reason.trim().to_owned())),
        _ => Err(format!("{id} does not say why: {text:?}")),
    };
    if let Some(rest) = text.strip_prefix("not yet") {
        let (need, reason) = with_reason(rest.trim_start_matches(','))?;
        return if NEEDS.contains(&need.as_str()) {
            Ok(Proof::NotYet(format!("{need}: {reason}")))
        } else {
            Err(format!("{id} may wait only for {}, not for {need:?}", NEEDS.join(" or ")))
        };
    }
    if let Some(rest) = text.strip_prefix("pending") {
        let (part, reason) = with_reason(rest.trim_start_matches(','))?;
        return Ok(Proof::Pending(format!("{part}: {reason}")));
    }
    if let Some(rest) = text.strip_prefix("no content") {
        return Ok(Proof::NoContent(with_reason(rest)?.1));
    }
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let between: String = text.split('`').step_by(2).collect();
    if quoted.is_empty() || between.chars().any(|c| c != ',' && c != ' ') {
        return Err(format!("{id} has a proof that is no list of names in backticks: {text:?}"));
    }
    let (tests, runs): (Vec<&str>, Vec<&str>) = quoted.into_iter().partition(|name| name.contains("::"));
    if let Some(unknown) = runs.iter().find(|run| !is_run(run)) {
        return Err(format!("{id} names {unknown:?}, which is neither a test nor a run of a verb"));
    }
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    Ok(Proof::Shown { tests: owned(tests), runs: owned(runs) })
}

fn is_run(name: &str) -> bool {
    let of_interop = |part: &str| Part::value_variants().iter().any(|known| known.name() == part);
    RUNS.contains(&name) || name.strip_prefix("interop ").is_some_and(of_interop)
}

/// A test that moved keeps its own name; else the one that takes the fewest edits.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let own = |name: &str| name.rsplit("::").next().unwrap_or_default().to_owned();
    let wanted_own = own(wanted);
    names.map(String::as_str).min_by_key(|name| (own(name) != wanted_own, edits(wanted, name)))
}

/// Levenshtein's distance.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = row[j] + usize::from(a != *b);
            next.push(replaced.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository_root;

    const PROOF: &str = "fencing::lib::claim::tests::a_test";

    /// A document in which every row is right, with `change` made to the line of each row.
    fn document(change: impl Fn(&str, String) -> Option<String>) -> String {
        let rows = ids().filter_map(|id| {
            let proof = match id.as_str() {
                "S69" => "no content: nothing was said".to_owned(),
                "S1" => "not yet, real brokers: none is served".to_owned(),
                "S2" => format!("`{PROOF}`, `interop zk-brokers`"),
                "S3" => "`interop zk-brokers`".to_owned(),
                _ => format!("`{PROOF}`"),
            };
            change(&id, format!("| {id} | It holds. | {proof} |"))
        });
        let head = ["# Promises", "", "| id | promise | proof |", "| --- | --- | --- |"].map(str::to_owned);
        head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    }

    fn ran(account: Account) -> Vec<Test> {
        let (package, binary) = ("fencing".to_owned(), "lib".to_owned());
        vec![Test { package, binary, name: "claim::tests::a_test".to_owned(), account }]
    }

    /// The rows that fail, with why.
    fn failed(text: &str, ran: &[Test]) -> Vec<(String, String)> {
        let failed = judge(text, ran).into_iter().filter_map(|test| match test.account {
            Account::Failed(reason) => Some((test.name, reason)),
            Account::Passed | Account::Skipped(_) => None,
        });
        failed.collect()
    }

    #[test]
    fn a_document_with_every_row_right_passes_and_says_what_is_not_shown() {
        let tests = judge(&document(|_, line| Some(line)), &ran(Account::Passed));
        let skipped = tests.iter().filter_map(|test| match &test.account {
            Account::Skipped(reason) => Some((test.name.as_str(), reason.as_str())),
            Account::Passed | Account::Failed(_) => None,
        });
        assert_eq!(
            skipped.collect::<Vec<_>>(),
            [
                ("S1", "not yet, real brokers: none is served"),
                ("S3", "shown by another stage of ci: interop zk-brokers"),
                ("S69", "no content, nothing was said")
            ]
        );
        let passed = tests.iter().filter(|test| test.account == Account::Passed).count();
        assert_eq!((tests.len(), passed), (129, 126));
    }

    #[test]
    fn each_way_to_spoil_a_row_fails_with_its_id() {
        let table: [(&str, Option<&str>, &str); 14] = [
            ("G7", None, "G7 has no row"),
            ("G7", Some("| G7 | It holds. | `a::b::c` |\n| G7 | It holds. | `a::b::c` |"), "G7 has 2 rows"),
            (
                "L20",
                Some("| L20 | It holds. | `fencing::lib::claim::tests::a_tset` |"),
                "L20 names fencing::lib::claim::tests::a_tset, which does not exist; the nearest name is fencing::lib::claim::tests::a_test",
            ),
            ("S4", Some("| S4 | It holds. | not yet, real brokers: |"), "S4 does not say why"),
            ("S4", Some("| S4 | It holds. | not yet |"), "S4 does not say why"),
            ("S4", Some("| S4 | It holds. | not yet, more time: it is late |"), "S4 may wait only for real brokers"),
            ("S4", Some("| S4 | It holds. | pending, registry: being built |"), "S4 is still pending, registry"),
            ("S4", Some("| S4 | It holds. | no content: nothing |"), "S4 has content"),
            ("S4", Some("| S4 | It holds. | |"), "no list of names"),
            ("S4", Some("| S4 | It holds. | surely `fencing::lib::claim::tests::a_test` |"), "no list of names"),
            ("S4", Some("| S4 | It holds. | `interop everything` |"), "neither a test nor a run"),
            ("S4", Some("| S4 | | `fencing::lib::claim::tests::a_test` |"), "S4 promises nothing"),
            ("S4", Some("| S4 | It holds. |"), "this has 2 cells"),
            ("S4", Some("| S4 | One | or two. | `fencing::lib::claim::tests::a_test` |"), "this has 4 cells"),
        ];
        for (changed, line, reason) in table {
            let text = document(|id, right| if id == changed { line.map(str::to_owned) } else { Some(right) });
            let failed = failed(&text, &ran(Account::Passed));
            assert!(
                matches!(failed.as_slice(), [(id, why)] if id == changed && why.contains(reason)),
                "{line:?}: {failed:?}"
            );
        }
    }

    #[test]
    fn what_is_in_no_list_fails() {
        let text = format!("{}\n| S83 | It holds. | `{PROOF}` |", document(|_, line| Some(line)));
        let failed = failed(&text, &ran(Account::Passed));
        assert!(matches!(failed.as_slice(), [(id, why)] if id == "S83" && why.contains("not one of")), "{failed:?}");
    }

    #[test]
    fn a_test_that_failed_or_did_not_run_proves_nothing() {
        let text = document(|_, line| Some(line));
        for (account, reason) in [
            (Account::Failed("no".to_owned()), "which failed"),
            (Account::Skipped("no root".to_owned()), "which did not run: no root"),
        ] {
            let failed = failed(&text, &ran(account));
            assert_eq!(failed.len(), 126, "all but what names no test");
            assert!(failed.iter().all(|(id, why)| why == &format!("{id} names {PROOF}, {reason}")), "{failed:?}");
        }
        assert!(failed(&text, &[]).iter().all(|(_, why)| why.contains("as no test does")));
    }

    #[test]
    fn a_test_that_moved_is_found_by_its_own_name() {
        let names = ["a::b::c::kept".to_owned(), "fencing::lib::x::other".to_owned()];
        assert_eq!(nearest("fencing::lib::x::kept", names.iter()), Some("a::b::c::kept"));
        assert_eq!(nearest("fencing::lib::x::otter", names.iter()), Some("fencing::lib::x::other"));
    }

    #[test]
    fn the_document_has_each_id_once_and_each_row_can_be_read() {
        let text = fs::read_to_string(repository_root().join(DOCUMENT)).unwrap();
        let rows = read(&text);
        let wrong: Vec<_> = rows.iter().filter_map(|(_, proof)| proof.as_ref().err()).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ids().collect::<Vec<_>>());
    }
}
