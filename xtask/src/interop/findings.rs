//! What a part found.

use serde::Serialize;

use crate::cli::Fields;

/// What a part found: it holds if nothing in it says otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    lines: Vec<String>,
    fields: Fields,
    broken: Vec<String>,
    not_run: Vec<String>,
}

impl Findings {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line for people.
    pub fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Adds a field for programs.
    pub fn field(&mut self, key: &str, value: impl Serialize) {
        self.fields.insert(key.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }

    /// Adds something that is not as it should be.
    pub fn broken(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// Adds something that was meant to run and did not.
    pub fn not_run(&mut self, what: impl Into<String>) {
        self.not_run.push(what.into());
    }

    /// Whether all ran, and all is as it should be.
    pub fn holds(&self) -> bool {
        self.broken.is_empty() && self.not_run.is_empty()
    }

    /// The lines for people.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The fields for programs.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// What is not as it should be.
    pub fn what_is_broken(&self) -> &[String] {
        &self.broken
    }

    /// What did not run.
    pub fn what_did_not_run(&self) -> &[String] {
        &self.not_run
    }
}
