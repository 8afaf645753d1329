//! Names in paths, spelled as Java's `URLEncoder` does and as Kafka's `Sanitizer` then changes them. Written apart from
//! the importer's own spelling on purpose: the two check each other.

use std::fmt::Write as _;

/// The znode that stands for every user, client id, address or broker.
pub(super) const DEFAULT: &str = "<default>";

/// A user, client id, address or principal as part of a path, or of a delegation token.
pub(super) fn sanitised(name: &str) -> String {
    let mut path = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            path.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String can't fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

/// The znode of an entity; none is the default.
pub(super) fn entity(name: Option<&str>) -> String {
    name.map_or_else(|| DEFAULT.to_owned(), sanitised)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The right column is what Kafka 3.9's own Sanitizer printed.
    #[test]
    fn names_are_spelled_as_kafka_spells_them() {
        for (name, path) in [
            ("billing", "billing"),
            ("A-z_0.9", "A-z_0.9"),
            ("user/1@EXAMPLE.COM", "user%2F1%40EXAMPLE.COM"),
            ("a b+c*d~e%f", "a%20b%2Bc%2Ad%7Ee%25f"),
            ("CN=Größe,O=Example", "CN%3DGr%C3%B6%C3%9Fe%2CO%3DExample"),
            ("<default>", "%3Cdefault%3E"),
            ("2001:db8::7", "2001%3Adb8%3A%3A7"),
            ("日本 😀", "%E6%97%A5%E6%9C%AC%20%F0%9F%98%80"),
            ("User:billing", "User%3Abilling"),
            ("", ""),
        ] {
            assert_eq!(sanitised(name), path);
        }
    }

    #[test]
    fn the_default_is_not_a_user_called_default() {
        assert_eq!(entity(None), "<default>");
        assert_eq!(entity(Some("<default>")), "%3Cdefault%3E");
    }
}
