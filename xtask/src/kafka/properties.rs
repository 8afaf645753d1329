//! Java's property files, written.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Keys and values, in the order in which they were set. Setting a key again replaces its value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this key set.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.set(key, value);
        self
    }

    /// Sets a key.
    pub fn set(&mut self, key: &str, value: impl fmt::Display) {
        let value = value.to_string();
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Removes a key, if it is there.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|(known, value)| (known == key).then_some(value.as_str()))
    }

    /// Writes a file that Java reads back as this, and its owner alone can read: values may be passwords.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_private(path, &self.text())
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The text of a file that Java reads back as this.
    pub fn text(&self) -> String {
        self.0.iter().map(|(key, value)| format!("{}={}\n", escaped(key, true), escaped(value, false))).collect()
    }
}

/// Writes a file that its owner alone can read.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// Values may be passwords.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

fn escaped(text: &str, is_key: bool) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '=' | ':' | '#' | '!' if is_key => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_java_takes_for_something_else_is_escaped() {
        let properties = Properties::new()
            .with("listeners", "PLAINTEXT://localhost:1")
            .with("a key:", " a\\b\nc")
            .with("gone", 1)
            .with("listeners", "X://h:2");
        let mut properties = properties;
        properties.remove("gone");
        assert_eq!(properties.text(), "listeners=X://h:2\na\\ key\\:=\\ a\\\\b\\nc\n");
        assert_eq!(properties.get("listeners"), Some("X://h:2"));
        assert_eq!(format!("{properties:?}"), r#"["listeners", "a key:"]"#);
    }

    #[test]
    fn a_written_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a");
        let properties = Properties::new().with("password", "x");
        properties.write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), properties.text());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(properties.write(&outer.path().join("no/folder")).is_err());
    }
}
