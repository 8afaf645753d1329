//! Names as parts of paths.
//!
//! Topics, broker ids, access control resources and token ids stand in a path as they are. Users, client ids and IP
//! addresses are *sanitised* (Kafka: `Sanitizer.java`), since they may hold anything.

use std::borrow::Cow;

use super::Malformed;

/// The znode that stands for "all brokers", "any user" and so on. Never sanitised; a user who is really called so is
/// stored as `%3Cdefault%3E` (`ZooKeeperInternals.java`).
pub const DEFAULT: &str = "<default>";

/// A name as Kafka writes it into a path: form-URL-encoded UTF-8, with `%20` for a space and `%2A` for `*`. Letters,
/// digits, `.`, `-` and `_` stay.
pub fn sanitise(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' => path.push(char::from(byte)),
            _ => {
                const HEX: [char; 16] =
                    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
                path.push('%');
                path.extend([byte >> 4, byte & 15].iter().filter_map(|half| HEX.get(usize::from(*half))));
            }
        }
    }
    path
}

/// The name that a sanitised text stands for: form-URL-decoding, so a literal `+` is a space.
///
/// # Errors
/// A `%` that is not followed by two hexadecimal digits, or bytes that are not UTF-8.
pub fn desanitise(text: &str) -> Result<String, Malformed> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (hex, tail) = tail.split_at_checked(2).ok_or_else(|| bad_escape(text))?;
                bytes.push(hex_byte(hex).ok_or_else(|| bad_escape(text))?);
                rest = tail;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| Malformed::new(format!("the name {text:?} is not UTF-8 once decoded")))
}

fn bad_escape(text: &str) -> Malformed {
    Malformed::new(format!("the name {text:?} has a % that is not followed by two hexadecimal digits"))
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0u8, |byte, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some((byte << 4) | u8::try_from(value).ok()?)
    })
}

/// The name of a quota entity or of a broker default as part of a path: `None` is [`DEFAULT`].
pub fn entity(name: Option<&str>) -> Cow<'static, str> {
    match name {
        None => Cow::Borrowed(DEFAULT),
        Some(name) => Cow::Owned(sanitise(name)),
    }
}

/// The entity that a znode's name stands for, the reverse of [`entity`].
///
/// # Errors
/// The name can't be decoded, or Kafka would write the decoded name in another way. Such a znode is invisible to Kafka
/// under its real name, and two znodes could stand for one entity.
pub fn parse_entity(znode: &str) -> Result<Option<String>, Malformed> {
    if znode == DEFAULT {
        return Ok(None);
    }
    let name = desanitise(znode)?;
    let canonical = sanitise(&name);
    if canonical == znode {
        Ok(Some(name))
    } else {
        Err(Malformed::new(format!(
            "Kafka writes this name as {canonical:?}: move the node's data there, or delete the node"
        )))
    }
}

/// Why a text can't be one component of a ZooKeeper path, or `None` if it can.
///
/// The rules are ZooKeeper's (`PathUtils.java`) with closed ranges: no `/`, no `.` or `..`, no control characters, and
/// nothing that Java writes as a surrogate pair.
pub fn not_a_component(name: &str) -> Option<&'static str> {
    match name {
        "" => return Some("it is empty"),
        "." | ".." => return Some("ZooKeeper has no relative paths"),
        _ => {}
    }
    name.chars().find_map(|c| match c {
        '/' => Some("it contains a slash"),
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Some("it contains a control character"),
        '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}' | '\u{10000}'.. => {
            Some("it contains a character that ZooKeeper refuses")
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanitised_names_are_kafkas() {
        let cases = [
            ("alice", "alice"),
            ("user/1@prod", "user%2F1%40prod"),
            ("a b+c*d~e", "a%20b%2Bc%2Ad%7Ee"),
            ("CN=Jörg,O=X", "CN%3DJ%C3%B6rg%2CO%3DX"),
            ("100%", "100%25"),
            ("<default>", "%3Cdefault%3E"),
            ("::1", "%3A%3A1"),
            ("😀", "%F0%9F%98%80"),
            ("A-Z.0_9", "A-Z.0_9"),
            ("", ""),
        ];
        for (name, path) in cases {
            assert_eq!(sanitise(name), path);
            assert_eq!(desanitise(path).as_deref(), Ok(name));
        }
        assert_eq!(desanitise("a+b").as_deref(), Ok("a b"));
        assert_eq!(desanitise("%7e").as_deref(), Ok("~"));
    }

    #[test]
    fn what_can_not_be_decoded_is_named() {
        for bad in ["%", "%4", "%zz", "a%2", "%+1", "%ff"] {
            assert!(desanitise(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn the_default_and_a_user_called_default_are_two() {
        assert_eq!(entity(None), DEFAULT);
        assert_eq!(entity(Some(DEFAULT)), "%3Cdefault%3E");
        assert_eq!(parse_entity(DEFAULT), Ok(None));
        assert_eq!(parse_entity("%3Cdefault%3E"), Ok(Some(DEFAULT.to_owned())));
    }

    #[test]
    fn a_spelling_that_kafka_would_not_find_again_is_refused() {
        for bad in ["a+b", "%7e", "a*b", "%61lice", "j\u{f6}rg"] {
            let reason = parse_entity(bad).unwrap_err().to_string();
            assert!(reason.contains("Kafka writes this name as"), "{reason}");
        }
    }

    #[test]
    fn path_components_follow_zookeepers_rules() {
        for good in ["a", "a.b", "...", "jörg", "a b", "%2F", "<default>", "日本"] {
            assert_eq!(not_a_component(good), None, "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\0b", "a\u{1f}", "\u{7f}", "\u{e001}", "\u{ffff}", "😀"] {
            assert!(not_a_component(bad).is_some(), "{bad:?}");
        }
    }
}
