//! What an import finds besides records.

use std::fmt;

/// So many problems, and so many warnings, are kept with their text; all are counted.
pub const PROBLEMS_KEPT_MAX: usize = 1000;

/// Something that must be repaired in ZooKeeper before the import can succeed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The znode.
    pub path: String,
    /// What is wrong and, where there is one answer, what to do.
    pub reason: String,
}

/// Something that does not stand in the way, and that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The znode.
    pub path: String,
    /// What was found and how it was taken.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// Problems and warnings, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    problems: Vec<Problem>,
    problem_count: u64,
    warnings: Vec<Warning>,
    warning_count: u64,
}

impl Findings {
    /// The first problems, at most [`PROBLEMS_KEPT_MAX`].
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there are.
    pub fn problem_count(&self) -> u64 {
        self.problem_count
    }

    /// The first warnings, at most [`PROBLEMS_KEPT_MAX`].
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// How many warnings there are.
    pub fn warning_count(&self) -> u64 {
        self.warning_count
    }

    pub(super) fn problem(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_KEPT_MAX {
            self.problems.push(Problem { path: path.into(), reason: reason.into() });
        }
    }

    pub(super) fn warn(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.warning_count += 1;
        if self.warnings.len() < PROBLEMS_KEPT_MAX {
            self.warnings.push(Warning { path: path.into(), reason: reason.into() });
        }
    }

    pub(super) fn into_warnings(self) -> Result<(Vec<Warning>, u64), ImportError> {
        if self.problem_count == 0 {
            Ok((self.warnings, self.warning_count))
        } else {
            Err(ImportError { problems: self.problems, problem_count: self.problem_count })
        }
    }
}

/// ZooKeeper holds something that can't be imported. Its text names the first problem and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    /// The first problems, at most [`PROBLEMS_KEPT_MAX`].
    pub problems: Vec<Problem>,
    /// How many there are.
    pub problem_count: u64,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.first() {
            Some(first) if self.problem_count == 1 => write!(f, "{first}"),
            Some(first) => write!(f, "{} znodes can't be imported, the first: {first}", self.problem_count),
            None => f.write_str("znodes can't be imported"),
        }
    }
}

impl std::error::Error for ImportError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_counted_and_only_some_kept() {
        let mut findings = Findings::default();
        for number in 0..PROBLEMS_KEPT_MAX + 5 {
            findings.problem(format!("/{number}"), "reason");
        }
        assert_eq!(findings.problems().len(), PROBLEMS_KEPT_MAX);
        let error = findings.into_warnings().unwrap_err();
        assert_eq!(error.problem_count, PROBLEMS_KEPT_MAX as u64 + 5);
        assert_eq!(error.to_string(), "1005 znodes can't be imported, the first: /0: reason");
    }
}
