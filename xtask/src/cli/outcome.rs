//! What a verb has to say when it did what it was asked.

use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;

/// Keys and values of a JSON object.
pub type Fields = serde_json::Map<String, Value>;

/// What every verb returns.
pub type VerbResult = Result<Outcome, Failure>;

/// The end of a verb that did what it was asked: the text for people and the fields for programs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    text: Vec<String>,
    fields: Fields,
    printed: bool,
}

impl Outcome {
    /// Done, with nothing to say.
    pub fn done() -> Self {
        Self::default()
    }

    /// Done, and [`Shell::object`](super::Shell::object) has printed the object already: a verb that stays in the
    /// foreground prints it when it is ready, and nothing at its end.
    pub fn printed() -> Self {
        Self { printed: true, ..Self::default() }
    }

    /// Adds a line for people. Programs don't see it.
    #[must_use]
    pub fn say(mut self, line: impl Into<String>) -> Self {
        self.text.push(line.into());
        self
    }

    /// Adds a field for programs. People don't see it.
    #[must_use]
    pub fn field(mut self, key: &str, value: impl Serialize) -> Self {
        self.fields.insert(key.to_owned(), to_value(value));
        self
    }

    /// The lines for people.
    pub fn text(&self) -> &[String] {
        &self.text
    }

    /// The fields for programs; `None` if they were printed already.
    pub fn into_fields(self) -> Option<Fields> {
        (!self.printed).then_some(self.fields)
    }
}

/// Null stands for what JSON can't hold, as a map whose keys are no texts.
pub(super) fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
