//! `/brokers/ids/N`: a running ZooKeeper-mode broker (Kafka: `BrokerIdZNode`). The migration never writes it, and reads it
//! only to say who is there.

use std::collections::BTreeMap;

use metadata_core::brokers::BrokerListener;
use metadata_core::id::TimestampMs;
use metadata_core::metadata_version::{MetadataVersion, MetadataVersionRange};

use super::Malformed;
use super::json::Object;

/// One listener of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// Name of the listener, in upper case.
    pub listener: String,
    /// Host name or address without brackets; `None` when the broker advertises none.
    pub host: Option<String>,
    /// TCP port; −1 when there is none.
    pub port: i32,
    /// Name of the security protocol, `SASL_SSL` for instance.
    pub security_protocol: String,
}

/// A broker's registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerIdZnode {
    /// All listeners.
    pub endpoints: Vec<BrokerEndpoint>,
    /// Rack, if told.
    pub rack: Option<String>,
    /// When it registered, if the text is a number.
    pub timestamp: Option<TimestampMs>,
    /// JMX port; −1 when there is none.
    pub jmx_port: i32,
    /// Supported levels of each feature, lowest and highest, both inclusive.
    pub features: BTreeMap<String, (i16, i16)>,
    /// Id of the broker's cluster. No release of Kafka writes it; drafts of KIP-866 wanted it here, and others may add it.
    pub cluster_id: Option<String>,
    /// Version of the JSON.
    pub version: i32,
}

/// The JSON's version since 2.7-IV0, the first `inter.broker.protocol.version` whose brokers write features.
const VERSION_WITH_FEATURES: i32 = 5;

/// The level of every metadata version that is too old for a metadata log (Kafka: `MetadataVersion.featureLevel`).
const LEVEL_BEFORE_KRAFT: i16 = -1;

const PLAINTEXT: &str = "PLAINTEXT";

/// A listener's name is also the name of its protocol when the broker gives no map.
const PROTOCOLS: [&str; 4] = [PLAINTEXT, "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

impl BrokerIdZnode {
    /// Decodes versions from 1; there is no upper bound, as in Kafka.
    ///
    /// # Errors
    /// Not a JSON object, a version below 1, a value missing or of the wrong type, an endpoint that is none.
    pub fn decode(data: &[u8]) -> Result<Self, Malformed> {
        let json = Object::parse(data)?;
        let version = json.int("version")?;
        let endpoints = match version {
            ..1 => return Err(Malformed::new("the version is below 1")),
            1 => vec![BrokerEndpoint {
                listener: PLAINTEXT.to_owned(),
                host: json.opt_string("host")?.map(str::to_owned),
                port: json.int("port")?,
                security_protocol: PLAINTEXT.to_owned(),
            }],
            _ => endpoints(&json)?,
        };
        Ok(Self {
            endpoints,
            rack: json.opt_string("rack")?.map(str::to_owned),
            timestamp: json.opt_string("timestamp").ok().flatten().and_then(|ms| ms.parse().ok()).map(TimestampMs),
            jmx_port: json.int("jmx_port")?,
            features: features(&json)?,
            cluster_id: json.opt_string("clusterId")?.map(str::to_owned),
            version,
        })
    }

    /// What the broker says about `metadata.version`, if anything: as a feature, which no release of Kafka writes here, or
    /// by a JSON that is older than its brokers write since 2.7-IV0.
    pub fn metadata_versions(&self) -> Option<MetadataVersionRange> {
        match self.features.get(MetadataVersion::FEATURE_NAME) {
            Some((min, max)) => MetadataVersionRange::of_levels(*min, *max),
            None if self.version < VERSION_WITH_FEATURES => {
                MetadataVersionRange::of_levels(LEVEL_BEFORE_KRAFT, LEVEL_BEFORE_KRAFT)
            }
            None => None,
        }
    }
}

impl From<BrokerEndpoint> for (String, BrokerListener) {
    fn from(endpoint: BrokerEndpoint) -> Self {
        let BrokerEndpoint { listener, host, port, security_protocol } = endpoint;
        (listener, BrokerListener { host, port, security_protocol })
    }
}

fn endpoints(json: &Object) -> Result<Vec<BrokerEndpoint>, Malformed> {
    let protocols = match json.opt_object("listener_security_protocol_map")? {
        Some(map) => map.string_map()?,
        None => PROTOCOLS.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect(),
    };
    json.strings("endpoints")?
        .into_iter()
        .map(|text| endpoint(text, &protocols).ok_or_else(|| Malformed::new(format!("{text:?} is not an endpoint"))))
        .collect()
}

/// `NAME://host:port`; the host may stand in brackets or be missing (Kafka: `EndPoint.scala`).
fn endpoint(text: &str, protocols: &BTreeMap<String, String>) -> Option<BrokerEndpoint> {
    let (name, address) = text.rsplit_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte)) {
        return None;
    }
    let listener = name.to_uppercase();
    let security_protocol = protocols.get(&listener)?.clone();
    let host = (!host.is_empty()).then(|| host.to_owned());
    Some(BrokerEndpoint { listener, host, port: port.parse().ok()?, security_protocol })
}

fn features(json: &Object) -> Result<BTreeMap<String, (i16, i16)>, Malformed> {
    let Some(features) = json.opt_object("features")? else { return Ok(BTreeMap::new()) };
    features
        .object_map()?
        .into_iter()
        .map(|(name, range)| {
            let level = |key: &str| {
                let level = range.int(key)?;
                i16::try_from(level)
                    .map_err(|_| Malformed::new(format!("level {level} of feature {name:?} is out of range")))
            };
            let (min, max) = (level("min_version")?, level("max_version")?);
            if min > max {
                return Err(Malformed::new(format!("feature {name:?} is supported from level {min} to {max}")));
            }
            Ok((name.to_owned(), (min, max)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(json: &str) -> Vec<(String, Option<String>, i32, String)> {
        let broker = BrokerIdZnode::decode(json.as_bytes()).unwrap();
        broker.endpoints.into_iter().map(|e| (e.listener, e.host, e.port, e.security_protocol)).collect()
    }

    fn row(listener: &str, host: Option<&str>, port: i32, protocol: &str) -> (String, Option<String>, i32, String) {
        (listener.to_owned(), host.map(str::to_owned), port, protocol.to_owned())
    }

    #[test]
    fn version_1_has_host_and_port() {
        let json = r#"{"version":1,"host":"h1","port":9092,"jmx_port":-1,"timestamp":"5"}"#;
        assert_eq!(hosts(json), [row("PLAINTEXT", Some("h1"), 9092, "PLAINTEXT")]);
    }

    #[test]
    fn versions_2_and_3_take_protocols_from_the_listeners_names() {
        let json = r#"{"version":3,"host":"h1","port":9092,"jmx_port":9999,"timestamp":"5","rack":"a",
            "endpoints":["PLAINTEXT://h1:9092","ssl://[::1]:9093","SASL_SSL://:9094"]}"#;
        let expected = [
            row("PLAINTEXT", Some("h1"), 9092, "PLAINTEXT"),
            row("SSL", Some("::1"), 9093, "SSL"),
            row("SASL_SSL", None, 9094, "SASL_SSL"),
        ];
        assert_eq!(hosts(json), expected);
        assert_eq!(BrokerIdZnode::decode(json.as_bytes()).unwrap().rack.as_deref(), Some("a"));
    }

    #[test]
    fn versions_4_and_5_have_a_protocol_map_and_features() {
        let json = r#"{"features":{"f":{"min_version":1,"max_version":3}},"version":5,"host":null,"port":-1,"jmx_port":-1,
            "timestamp":"1729500000123","endpoints":["EXTERNAL://b.example:9093"],"rack":null,
            "listener_security_protocol_map":{"EXTERNAL":"SASL_SSL"}}"#;
        assert_eq!(hosts(json), [row("EXTERNAL", Some("b.example"), 9093, "SASL_SSL")]);
        let broker = BrokerIdZnode::decode(json.as_bytes()).unwrap();
        assert_eq!(broker.features, BTreeMap::from([("f".to_owned(), (1, 3))]));
        assert_eq!(broker.timestamp, Some(TimestampMs(1_729_500_000_123)));
        assert_eq!(broker.rack, None);
        assert_eq!((broker.cluster_id.clone(), broker.metadata_versions()), (None, None), "3.9 tells neither");
    }

    #[test]
    fn a_metadata_version_is_told_as_a_feature_or_by_an_old_json() {
        let told = |version: i32, more: &str| {
            let json = format!(r#"{{"version":{version},"jmx_port":-1,"endpoints":[]{more}}}"#);
            let broker = BrokerIdZnode::decode(json.as_bytes()).unwrap();
            (broker.metadata_versions().map(|range| (range.min(), range.max())), broker.cluster_id)
        };
        let feature = r#","features":{"metadata.version":{"min_version":21,"max_version":21}},"clusterId":"c""#;
        assert_eq!(told(5, feature), (Some((21, 21)), Some("c".to_owned())));
        assert_eq!(told(5, ""), (None, None));
        assert_eq!(told(4, ""), (Some((-1, -1)), None));
        assert_eq!(told(2, ""), (Some((-1, -1)), None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (r#"{"version":0,"jmx_port":-1}"#, "version"),
            (r#"{"version":1,"host":"h","port":"9092","jmx_port":-1}"#, "`port`"),
            (r#"{"version":4,"endpoints":["PLAINTEXT://h:9092"]}"#, "`jmx_port`"),
            (r#"{"version":4,"jmx_port":-1}"#, "`endpoints`"),
            (r#"{"version":4,"endpoints":["h:9092"],"jmx_port":-1}"#, "not an endpoint"),
            (r#"{"version":4,"endpoints":["PLAINTEXT://h h:9092"],"jmx_port":-1}"#, "not an endpoint"),
            (r#"{"version":4,"endpoints":["OTHER://h:9092"],"jmx_port":-1}"#, "not an endpoint"),
            (r#"{"version":4,"endpoints":["SSL://h:99999999999"],"jmx_port":-1}"#, "not an endpoint"),
            (
                r#"{"version":5,"endpoints":[],"jmx_port":-1,"features":{"f":{"min_version":3,"max_version":2}}}"#,
                "from level 3 to 2",
            ),
            (r#"{"version":5,"endpoints":[],"jmx_port":-1,"clusterId":7}"#, "`clusterId`"),
        ];
        for (json, reason) in cases {
            let error = BrokerIdZnode::decode(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
