//! Java's `.properties` format, which Kafka's configuration files have.

use std::collections::BTreeMap;

use super::ConfigError;

/// The keys and values of one file. When a key stands twice, the last one counts, as in Java.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Reads the format: `key=value`, `key:value` or `key value`; comments after `#` or `!`; a backslash at a line's end
    /// continues it; `\t \n \r \f \uXXXX` and a backslash before any other character.
    ///
    /// # Errors
    /// A malformed `\u` escape, by line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut entries = BTreeMap::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let mut logical = line.to_owned();
            while continues(&logical) {
                logical.pop();
                let Some((_, next)) = lines.next() else { break };
                logical.push_str(next.trim_start());
            }
            let (key, value) = split(&logical);
            let unescape = |text| unescape(text).ok_or_else(|| malformed(number));
            entries.insert(unescape(key)?, unescape(value)?);
        }
        Ok(Self(entries))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn malformed(line: usize) -> ConfigError {
    ConfigError::new(format!("line {}: a \\u escape needs four hexadecimal digits", line + 1))
}

/// Whether the line ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1
}

/// Key and value, both still escaped. The key ends at the first `=`, `:` or white space that is not escaped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (i, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || c.is_whitespace() {
            let (key, rest) = line.split_at(i);
            let rest = rest.trim_start();
            let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (key, rest.trim_start());
        }
    }
    (line, "")
}

fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                // Half of a surrogate pair alone is no character; names and passwords have no use for it.
                plain.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?);
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_java_reads_them() {
        for (line, key, value) in [
            ("a=b", "a", "b"),
            ("a = b", "a", "b"),
            ("  a:b", "a", "b"),
            ("a b", "a", "b"),
            ("a=", "a", ""),
            ("a", "a", ""),
            ("a==b", "a", "=b"),
            ("a=b=c d", "a", "b=c d"),
            ("a=b ", "a", "b "),
            ("a\\=b=c", "a=b", "c"),
            ("a=c:\\\\dir", "a", "c:\\dir"),
            ("a=\\u00e9\\t", "a", "é\t"),
            ("a=\\q", "a", "q"),
            ("a=b\\\n   c", "a", "bc"),
            ("a=b\\\\\nc=d", "a", "b\\"),
            ("a=b\\", "a", "b"),
            ("a=b\r\n", "a", "b"),
        ] {
            let parsed = Properties::parse(line).unwrap();
            assert_eq!(parsed.get(key), Some(value), "{line:?}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_no_entries_and_the_last_of_a_key_counts() {
        let parsed = Properties::parse("# a=1\n! b=2\n\n  # c=3\nd=4\nd=5").unwrap();
        assert_eq!(parsed.keys().collect::<Vec<_>>(), ["d"]);
        assert_eq!(parsed.get("d"), Some("5"));
    }

    #[test]
    fn a_broken_escape_is_refused_by_line() {
        for text in ["ok=1\na=\\u12", "ok=1\na=\\u12zz", "ok=1\na=\\ud800", "ok=1\na=\\u+123"] {
            let error = Properties::parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("line 2: "), "{error}");
        }
    }
}
