//! JSON as text. Kafka writes its objects from hash maps, so the order of their keys means nothing and is never the same;
//! here the seed shuffles it.

use super::random::Random;

/// An object that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Object(Vec<(String, String)>);

impl Object {
    /// Adds a key with a value that is JSON already.
    pub(super) fn raw(mut self, key: &str, json: impl Into<String>) -> Self {
        self.0.push((key.to_owned(), json.into()));
        self
    }

    /// Adds a number.
    pub(super) fn number(self, key: &str, number: impl Into<i64>) -> Self {
        let number: i64 = number.into();
        self.raw(key, number.to_string())
    }

    /// Adds a text.
    pub(super) fn text(self, key: &str, text: &str) -> Self {
        self.raw(key, quote(text))
    }

    /// The object on one line, its keys in an order that `random` decides.
    pub(super) fn shuffled(mut self, random: &mut Random) -> String {
        random.shuffle(&mut self.0);
        let mut json = String::from("{");
        for (i, (key, value)) in self.0.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            json.push_str(&quote(key));
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

/// A text in quotes, escaped.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An array of values that are JSON already.
pub(super) fn array(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(","))
}

/// An array of numbers.
pub(super) fn numbers(items: &[i32]) -> String {
    array(items.iter().map(i32::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json_in_every_order() {
        let object = || Object::default().number("a", 1).text("b", "\"x\"\n\\ü").raw("c", numbers(&[1, -1]));
        let orders: std::collections::BTreeSet<_> =
            (0..50).map(|i| object().shuffled(&mut Random::of(1, "json", i))).collect();
        assert_eq!(orders.len(), 6);
        let expected = serde_json::json!({"a": 1, "b": "\"x\"\n\\ü", "c": [1, -1]});
        for text in orders {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_at_all_is_json_too() {
        assert_eq!(Object::default().shuffled(&mut Random::of(1, "json", 0)), "{}");
        assert_eq!(array([]), "[]");
    }
}
