//! JSON as Kafka's znodes use it: an object whose keys are looked up one by one with Kafka's strictness, and a writer
//! with a fixed order of keys. Parsing and escaping are serde_json's.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::Malformed;

/// A JSON object, with the name under which errors mention it.
pub(super) struct Object {
    keys: Map<String, Value>,
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction or a number too large",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong(key: &str, expected: &str, found: &Value) -> Malformed {
    Malformed::new(format!("`{key}` should be {expected} and is {}", kind(found)))
}

fn int(key: &str, value: &Value) -> Result<i32, Malformed> {
    value.as_i64().and_then(|long| i32::try_from(long).ok()).ok_or_else(|| wrong(key, "an integer of 32 bits", value))
}

fn string<'v>(key: &str, value: &'v Value) -> Result<&'v str, Malformed> {
    value.as_str().ok_or_else(|| wrong(key, "a string", value))
}

fn array<'v>(key: &str, value: &'v Value) -> Result<&'v [Value], Malformed> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| wrong(key, "an array", value))
}

impl Object {
    /// Parses data whose whole is one object. Of a key that occurs twice the last one counts, as in Kafka.
    pub(super) fn parse(data: &[u8]) -> Result<Self, Malformed> {
        if data.is_empty() {
            return Err(Malformed::new("there is no data"));
        }
        // serde_json's messages give the place, never the content.
        match serde_json::from_slice(data).map_err(|error| Malformed::new(format!("not JSON: {error}")))? {
            Value::Object(keys) => Ok(Self { keys }),
            other => Err(Malformed::new(format!("should be a JSON object and is {}", kind(&other)))),
        }
    }

    /// A value that may be missing; `null` counts as missing.
    fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    fn require(&self, key: &str) -> Result<&Value, Malformed> {
        self.keys.get(key).ok_or_else(|| Malformed::new(format!("`{key}` is missing")))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    pub(super) fn int(&self, key: &str) -> Result<i32, Malformed> {
        int(key, self.require(key)?)
    }

    pub(super) fn opt_int(&self, key: &str) -> Result<Option<i32>, Malformed> {
        self.get(key).map(|value| int(key, value)).transpose()
    }

    pub(super) fn long(&self, key: &str) -> Result<i64, Malformed> {
        let value = self.require(key)?;
        value.as_i64().ok_or_else(|| wrong(key, "an integer of 64 bits", value))
    }

    pub(super) fn opt_long(&self, key: &str) -> Result<Option<i64>, Malformed> {
        self.get(key).map(|_| self.long(key)).transpose()
    }

    pub(super) fn bool(&self, key: &str) -> Result<bool, Malformed> {
        let value = self.require(key)?;
        value.as_bool().ok_or_else(|| wrong(key, "true or false", value))
    }

    pub(super) fn string(&self, key: &str) -> Result<&str, Malformed> {
        string(key, self.require(key)?)
    }

    pub(super) fn opt_string(&self, key: &str) -> Result<Option<&str>, Malformed> {
        self.get(key).map(|value| string(key, value)).transpose()
    }

    pub(super) fn ints(&self, key: &str) -> Result<Vec<i32>, Malformed> {
        array(key, self.require(key)?)?.iter().map(|value| int(key, value)).collect()
    }

    pub(super) fn strings(&self, key: &str) -> Result<Vec<&str>, Malformed> {
        array(key, self.require(key)?)?.iter().map(|value| string(key, value)).collect()
    }

    /// An array of objects.
    pub(super) fn objects(&self, key: &str) -> Result<Vec<Self>, Malformed> {
        array(key, self.require(key)?)?.iter().map(|value| Self::of(key, value)).collect()
    }

    fn of(key: &str, value: &Value) -> Result<Self, Malformed> {
        let keys = value.as_object().ok_or_else(|| wrong(key, "an object", value))?;
        Ok(Self { keys: keys.clone() })
    }

    /// An object, `None` when it is missing or null.
    pub(super) fn opt_object(&self, key: &str) -> Result<Option<Self>, Malformed> {
        self.get(key).map(|value| Self::of(key, value)).transpose()
    }

    /// An object whose values are all strings. Its errors name the key, never the value.
    pub(super) fn string_map(&self) -> Result<BTreeMap<String, String>, Malformed> {
        self.keys.iter().map(|(key, value)| Ok((key.clone(), string(key, value)?.to_owned()))).collect()
    }

    /// An object whose values are all arrays of integers.
    pub(super) fn ints_map(&self) -> Result<BTreeMap<&str, Vec<i32>>, Malformed> {
        self.keys.keys().map(|key| Ok((key.as_str(), self.ints(key)?))).collect()
    }

    /// An object whose values are all objects.
    pub(super) fn object_map(&self) -> Result<BTreeMap<&str, Self>, Malformed> {
        self.keys.iter().map(|(key, value)| Ok((key.as_str(), Self::of(key, value)?))).collect()
    }
}

/// Writes one JSON object, keys in the order of the calls.
pub(super) struct ObjectWriter {
    text: String,
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl ObjectWriter {
    pub(super) fn new() -> Self {
        Self { text: String::from("{") }
    }

    fn raw(mut self, key: &str, json: &str) -> Self {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(&quoted(key));
        self.text.push(':');
        self.text.push_str(json);
        self
    }

    pub(super) fn int(self, key: &str, value: impl Into<i64>) -> Self {
        let value: i64 = value.into();
        self.raw(key, &value.to_string())
    }

    pub(super) fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    pub(super) fn string(self, key: &str, value: &str) -> Self {
        self.raw(key, &quoted(value))
    }

    pub(super) fn null(self, key: &str) -> Self {
        self.raw(key, "null")
    }

    pub(super) fn ints(self, key: &str, values: impl IntoIterator<Item = i32>) -> Self {
        self.array(key, values.into_iter().map(|value| value.to_string()))
    }

    pub(super) fn strings<'v>(self, key: &str, values: impl IntoIterator<Item = &'v str>) -> Self {
        self.array(key, values.into_iter().map(quoted))
    }

    pub(super) fn objects(self, key: &str, values: impl IntoIterator<Item = Self>) -> Self {
        self.array(key, values.into_iter().map(Self::into_text))
    }

    fn array(self, key: &str, values: impl Iterator<Item = String>) -> Self {
        let json = format!("[{}]", values.collect::<Vec<_>>().join(","));
        self.raw(key, &json)
    }

    pub(super) fn object(self, key: &str, value: Self) -> Self {
        self.raw(key, &value.into_text())
    }

    pub(super) fn into_text(mut self) -> String {
        self.text.push('}');
        self.text
    }

    pub(super) fn finish(self) -> Bytes {
        self.into_text().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_are_taken_as_kafkas_decoder_takes_them() {
        let json = object(
            r#"{"int":7,"neg":-7,"long":3000000000,"frac":1.0,"exp":1e3,"text":"7","null":null,"big":92233720368547758080,"bool":true}"#,
        );
        assert_eq!(json.int("int"), Ok(7));
        assert_eq!(json.int("neg"), Ok(-7));
        for bad in ["long", "frac", "exp", "text", "null", "big", "bool", "absent"] {
            let reason = json.int(bad).unwrap_err().to_string();
            assert!(reason.contains(bad), "{reason}");
        }
        assert_eq!(json.long("long"), Ok(3_000_000_000));
        for bad in ["frac", "exp", "text", "null", "big", "bool", "absent"] {
            assert!(json.long(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn null_is_missing_where_a_value_is_optional_and_wrong_where_it_is_not() {
        let json = object(r#"{"null":null,"text":"x"}"#);
        assert_eq!(json.opt_int("null"), Ok(None));
        assert_eq!(json.opt_int("absent"), Ok(None));
        assert_eq!(json.opt_string("null"), Ok(None));
        assert!(json.opt_int("text").is_err());
        assert!(json.string("null").is_err());
    }

    #[test]
    fn of_a_key_that_occurs_twice_the_last_counts() {
        assert_eq!(object(r#"{"leader":1,"leader":2}"#).int("leader"), Ok(2));
    }

    #[test]
    fn what_is_no_object_is_refused_with_a_reason() {
        let deep = "[".repeat(5000);
        let cases: [&[u8]; 9] =
            [b"", b"{", b"[1]", b"7", b"null", b"{\"a\":1}x", b"{\"a\":\"\xff\"}", b"{\"a\":1e999}", deep.as_bytes()];
        for case in cases {
            assert!(Object::parse(case).is_err(), "{}", String::from_utf8_lossy(&case[..case.len().min(20)]));
        }
    }

    #[test]
    fn errors_show_no_values() {
        let json = object(r#"{"password":["hunter2"]}"#);
        for error in [json.string("password").unwrap_err(), json.int("password").unwrap_err()] {
            assert!(!error.to_string().contains("hunter2"));
        }
        let error = Object::parse(br#"{"password":hunter2}"#).err().unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_writer_keeps_the_order_and_escapes() {
        let json = ObjectWriter::new()
            .int("z", 1)
            .string("a", "q\"\\\n\u{1}ü")
            .ints("list", [3, 1])
            .strings("names", ["b", "a"])
            .object("inner", ObjectWriter::new().null("n").bool("b", true))
            .objects("many", [ObjectWriter::new(), ObjectWriter::new().int("x", 2)])
            .finish();
        assert_eq!(
            json,
            "{\"z\":1,\"a\":\"q\\\"\\\\\\n\\u0001ü\",\"list\":[3,1],\"names\":[\"b\",\"a\"],\
             \"inner\":{\"n\":null,\"b\":true},\"many\":[{},{\"x\":2}]}"
        );
    }
}
