//! The entity nodes under `/config`: topics, brokers, users, clients and IP addresses share one form (Kafka:
//! `ConfigEntityZNode`).

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use super::Malformed;
use super::json::{Object, ObjectWriter};

/// The properties of one entity. Some are secrets (credentials, passwords), so `Debug` shows the names alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConfigZnode(pub BTreeMap<String, String>);

impl fmt::Debug for ConfigZnode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ConfigZnode {
    /// Decodes it. No data, and no `config` in the data, mean no properties; `version` is not looked at, as in Kafka.
    ///
    /// # Errors
    /// Broken JSON, a `config` that is no object, a value that is no string. Kafka takes the first two for "no
    /// properties", which would silently drop what an operator believes to be set.
    pub fn decode(data: Option<&[u8]>) -> Result<Self, Malformed> {
        let Some(data) = data.filter(|data| !data.is_empty()) else { return Ok(Self::default()) };
        match Object::parse(data)?.opt_object("config")? {
            Some(config) => Ok(Self(config.string_map()?)),
            None => Ok(Self::default()),
        }
    }

    /// Encodes it as version 1.
    pub fn encode(&self) -> Bytes {
        encode(self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }
}

/// Encodes properties without collecting them first; they are written in the order given.
pub(crate) fn encode<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Bytes {
    let config = properties.into_iter().fold(ObjectWriter::new(), |config, (key, value)| config.string(key, value));
    ObjectWriter::new().int("version", 1).object("config", config).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(pairs: &[(&str, &str)]) -> ConfigZnode {
        ConfigZnode(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn kafkas_form_is_read_and_written() {
        let json = r#"{"version":1,"config":{"cleanup.policy":"compact","retention.ms":"60000"}}"#;
        let properties = ConfigZnode::decode(Some(json.as_bytes())).unwrap();
        assert_eq!(properties, config(&[("cleanup.policy", "compact"), ("retention.ms", "60000")]));
        assert_eq!(properties.encode(), json);
        assert_eq!(config(&[]).encode(), r#"{"version":1,"config":{}}"#);
    }

    #[test]
    fn no_data_and_no_config_mean_no_properties() {
        for none in [None, Some("".as_bytes()), Some(b"{}"), Some(b"{\"version\":1}"), Some(b"{\"config\":null}")] {
            assert_eq!(ConfigZnode::decode(none), Ok(config(&[])));
        }
    }

    #[test]
    fn broken_data_is_no_empty_config() {
        for bad in ["{", "[]", "\"x\"", r#"{"config":[]}"#, r#"{"config":{"a":1}}"#, r#"{"config":{"a":null}}"#] {
            assert!(ConfigZnode::decode(Some(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_and_errors_hide_values() {
        let shown = format!("{:?}", config(&[("sasl.jaas.config", "hunter2")]));
        assert!(shown.contains("sasl.jaas.config") && !shown.contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_properties_survive_the_round_trip(properties: BTreeMap<String, String>) {
            let properties = ConfigZnode(properties);
            prop_assert_eq!(ConfigZnode::decode(Some(&properties.encode())), Ok(properties));
        }
    }
}
