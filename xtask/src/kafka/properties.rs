//! Java's property files, written.

use std::fmt;

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

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The text of a file that Java reads back as this.
    pub fn text(&self) -> String {
        self.0.iter().map(|(key, value)| format!("{}={}\n", escaped(key, true), escaped(value, false))).collect()
    }
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
}
