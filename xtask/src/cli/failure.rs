//! Why a verb did not do what it was asked: what, why, and the next step.

use std::error::Error as StdError;
use std::fmt;

use store_zk::client::config::ConfigError;
use store_zk::client::{ConnectError, ZkCode, ZkError};

use super::exit::Exit;
use super::outcome::{Fields, to_value};

/// The end of a verb that did not do what it was asked.
///
/// `Display` is one line: what, and why. [`Failure::lines`] is the whole story for a terminal.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    reasons: Vec<String>,
    next: Vec<String>,
    fields: Fields,
}

impl Failure {
    fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), reasons: Vec::new(), next: Vec::new(), fields: Fields::new() }
    }

    /// It failed ([`Exit::Failed`]). `what` names the thing, as "can't write /var/lib/x".
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// It was asked for in a way that makes no sense ([`Exit::Usage`]); nothing was tried.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// It must not be done now ([`Exit::Blocked`]). Add every reason.
    pub fn blocked(what: impl Into<String>) -> Self {
        Self::new(Exit::Blocked, what)
    }

    /// The two sides differ ([`Exit::Divergent`]).
    pub fn divergent(what: impl Into<String>) -> Self {
        Self::new(Exit::Divergent, what)
    }

    /// Data are damaged or an invariant is broken ([`Exit::Damaged`]).
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::new(Exit::Damaged, what)
    }

    /// Adds a reason.
    #[must_use]
    pub fn why(mut self, reason: impl Into<String>) -> Self {
        self.reasons.push(reason.into());
        self
    }

    /// Adds several reasons.
    #[must_use]
    pub fn whys(mut self, reasons: impl IntoIterator<Item = String>) -> Self {
        self.reasons.extend(reasons);
        self
    }

    /// Adds an error and its chain of causes as reasons, in words.
    #[must_use]
    pub fn because(mut self, error: &(dyn StdError + 'static)) -> Self {
        self.reasons.extend(in_words(error));
        self
    }

    /// Adds a step that leads on.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }

    /// Adds a field to the object that `--json` prints.
    #[must_use]
    pub fn field(mut self, key: &str, value: impl serde::Serialize) -> Self {
        self.fields.insert(key.to_owned(), to_value(value));
        self
    }

    /// Puts what was being done before the rest: the old `what` becomes the first reason.
    #[must_use]
    pub fn while_doing(mut self, what: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.what, what.into());
        self.reasons.insert(0, cause);
        self
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What was not done.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why, the nearest cause first; for [`Exit::Blocked`] every reason.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    /// For a terminal: what, why, next step, a line each.
    pub fn lines(&self) -> Vec<String> {
        let head = match self.exit {
            Exit::Blocked => "blocked",
            Exit::Divergent => "divergent",
            Exit::Damaged => "damaged",
            Exit::Usage => "wrong usage",
            Exit::Done | Exit::Failed => "error",
        };
        let mut lines = vec![format!("{head}: {}", self.what)];
        lines.extend(self.reasons.iter().map(|reason| format!("  why: {}", indented(reason))));
        lines.extend(self.next.iter().map(|step| format!("  next: {}", indented(step))));
        lines
    }

    /// The fields of the object that `--json` prints, without those that every object has.
    pub fn into_fields(self) -> Fields {
        let error = self.to_string();
        let mut fields = self.fields;
        fields.insert("error".to_owned(), error.into());
        fields.insert("exit_code".to_owned(), self.exit.code().into());
        fields.insert("reasons".to_owned(), self.reasons.into());
        fields.insert("next".to_owned(), self.next.into());
        fields
    }
}

/// Continues a text of several lines (a server's log, say) under its own first line.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n       ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.reasons.is_empty() {
            write!(f, ": {}", self.reasons.join("; "))?;
        }
        Ok(())
    }
}

/// An error and its causes in words, nearest first. A cause that the error before it quotes already is left out.
pub(crate) fn in_words(error: &(dyn StdError + 'static)) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        if words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        next = cause.source();
    }
    words
}

impl From<metadata_core::error::Error> for Failure {
    fn from(error: metadata_core::error::Error) -> Self {
        let mut words = in_words(&error).into_iter();
        Self::new(error.kind().into(), words.next().unwrap_or_default()).whys(words)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::failed(error.to_string()).next("check --zookeeper and the file of --zookeeper-config")
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let failure = Self::failed("can't open a ZooKeeper session").because(&error);
        match error {
            ConnectError::Unreachable { .. } => {
                failure.next("check that the servers run and that --zookeeper is right")
            }
            _ => failure.next("check the credentials, the TLS settings and the servers of --zookeeper-config"),
        }
    }
}

impl From<ZkError> for Failure {
    fn from(error: ZkError) -> Self {
        let failure = Self::failed("a ZooKeeper request failed").because(&error);
        match error.code() {
            Some(ZkCode::NoAuth | ZkCode::InvalidAcl) => {
                failure.next("check the credentials in --zookeeper-config: the znodes' ACL must allow them")
            }
            _ => failure.next("look at the ZooKeeper's own log, and try again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::error::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_failure_says_what_why_and_the_next_step() {
        let failure =
            Failure::blocked("can't seed zk:2181").why("it holds brokers").why("and config\nand more").next("move");
        assert_eq!(
            failure.lines(),
            [
                "blocked: can't seed zk:2181",
                "  why: it holds brokers",
                "  why: and config\n       and more",
                "  next: move"
            ]
        );
        assert_eq!(failure.to_string(), "can't seed zk:2181: it holds brokers; and config\nand more");
        let fields = failure.while_doing("can't demo").field("n", 7).into_fields();
        let expected = serde_json::json!({
            "error": "can't demo: can't seed zk:2181; it holds brokers; and config\nand more", "exit_code": 3,
            "next": ["move"], "n": 7,
            "reasons": ["can't seed zk:2181", "it holds brokers", "and config\nand more"],
        });
        assert_eq!(serde_json::Value::from(fields), expected);
    }

    #[test]
    fn causes_are_told_once_and_in_words() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such thing");
        let inner = Error::not_applied(ErrorKind::Unavailable, "the log can't be read: no such thing").with_source(io);
        let outer = Error::not_applied(ErrorKind::Corrupt, "can't open the store").with_source(inner);
        assert_eq!(in_words(&outer), ["can't open the store", "the log can't be read: no such thing"]);
        let failure = Failure::from(outer);
        assert_eq!((failure.exit(), failure.what()), (Exit::Damaged, "can't open the store"));
        assert_eq!(failure.reasons(), ["the log can't be read: no such thing"]);
    }
}
