//! Broker registrations. They are ephemeral, so they are there only while somebody holds them.

use super::json::{Object, array, quote};
use super::random::Random;

/// A broker's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedBroker {
    /// The broker's id.
    pub id: i32,
    /// `/brokers/ids/N`, without a chroot.
    pub path: String,
    /// Its JSON.
    pub data: Vec<u8>,
    /// When it registered, in milliseconds since 1970.
    pub registered_ms: i64,
}

/// Brokers 1 to `count`, inclusive. They answer nothing: their hosts don't exist.
pub(super) fn brokers(seed: u64, count: u32, awkward: bool, started_ms: i64) -> impl Iterator<Item = SeedBroker> {
    (1..=count).map(move |id| {
        let mut random = Random::of(seed, "broker", u64::from(id));
        // The fourth, fifth and sixth of each six are old ones, which leave keys out; the third has no plain listener.
        let kind = if awkward { (id - 1) % 6 } else { 0 };
        let version = match kind {
            3 => 4,
            4 => 3,
            5 => 2,
            _ => 5,
        };
        let registered_ms = started_ms + i64::from(random.below(60_000));
        let host = format!("broker-{id}.kafka.example");
        let (internal, plain) = if kind == 2 { ("SASL_SSL", false) } else { ("PLAINTEXT", true) };
        let (client, protocol) = if version >= 4 { ("EXTERNAL", "SSL") } else { ("SSL", "SSL") };
        let endpoints = [format!("{internal}://{host}:9092"), format!("{client}://{host}:9093")];
        let json = Object::default()
            .number("version", version)
            .raw("host", if plain { quote(&host) } else { "null".to_owned() })
            .number("port", if plain { 9092 } else { -1 })
            .number("jmx_port", if kind == 1 { 9999 } else { -1 })
            .text("timestamp", &registered_ms.to_string())
            .raw("endpoints", array(endpoints.iter().map(|endpoint| quote(endpoint))));
        let json = match (version, kind) {
            // Kafka reads null as no rack.
            (3.., 2) => json.raw("rack", "null"),
            (3.., _) => json.text("rack", random.pick(["zone-a", "zone-b", "zone-c"])),
            _ => json,
        };
        let json = if version >= 4 {
            let map = Object::default().text(internal, internal).text(client, protocol);
            json.raw("listener_security_protocol_map", map.shuffled(&mut random))
        } else {
            json
        };
        let json = if version >= 5 { json.raw("features", "{}") } else { json };
        SeedBroker {
            id: i32::try_from(id).unwrap_or(i32::MAX),
            path: format!("/brokers/ids/{id}"),
            data: json.shuffled(&mut random).into_bytes(),
            registered_ms,
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_version_has_the_keys_that_it_introduced() {
        for broker in brokers(1, 6, true, 1_700_000_000_000) {
            let json: Value = serde_json::from_slice(&broker.data).unwrap();
            let version = json["version"].as_i64().unwrap();
            for (key, since) in [("endpoints", 2), ("rack", 3), ("listener_security_protocol_map", 4), ("features", 5)]
            {
                assert_eq!(json.get(key).is_some(), version >= since, "broker {} {key}", broker.id);
            }
            for key in ["host", "port", "jmx_port", "timestamp"] {
                assert!(json.get(key).is_some(), "broker {} {key}", broker.id);
            }
            assert_eq!(broker.path, format!("/brokers/ids/{}", broker.id));
        }
        let versions: std::collections::BTreeSet<_> = brokers(1, 6, true, 0)
            .map(|broker| serde_json::from_slice::<Value>(&broker.data).unwrap()["version"].as_i64().unwrap())
            .collect();
        assert_eq!(versions.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5]);
    }
}
