//! Settings of a broker in ZooKeeper mode that KRaft, or Kafka 4.x, takes no more, and the configurations that take their
//! place.
//!
//! The table was made by comparing the config definitions of Kafka 2.4.1, 3.9.2 and 4.4.0.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use metadata_core::id::NodeId;
use store_zk::client::config::{ConfigError, Properties as Parsed};
use store_zk::znode::password::is_password_key;

use crate::kafka::Properties;

/// Least value of `log.segment.bytes` in Kafka 4.x (KIP-1030).
const SEGMENT_BYTES_MIN: i64 = 1 << 20;

/// Kafka's authorizer in KRaft mode, and those that keep their rules in ZooKeeper.
const STANDARD_AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
const ZOOKEEPERS_AUTHORIZERS: [&str; 2] =
    ["kafka.security.authorizer.AclAuthorizer", "kafka.security.auth.SimpleAclAuthorizer"];

/// Kafka's listeners and their protocols, without the controllers'.
const PROTOCOLS: &str = "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL";

/// The controllers' listener in what is proposed.
const CONTROLLER_LISTENER: &str = "CONTROLLER";

/// A setting that is taken no more.
struct Gone {
    /// Its name; with a `*` at the end, all names that begin so.
    name: &'static str,
    /// What to set instead, if anything.
    replacement: Option<&'static str>,
    /// Why.
    why: &'static str,
}

const fn gone(name: &'static str, replacement: Option<&'static str>, why: &'static str) -> Gone {
    Gone { name, replacement, why }
}

/// Every such setting. The first that fits counts.
const GONE: [Gone; 30] = [
    gone("broker.id", Some("node.id"), "brokers and controllers share one space of ids"),
    gone("broker.id.generation.enable", Some("node.id"), "an id is always given, never made up"),
    gone("reserved.broker.max.id", None, "it bounded generated ids, of which there are none"),
    gone("zookeeper.metadata.migration.*", None, "there is no ZooKeeper to migrate from any more"),
    gone("zookeeper.*", Some("controller.quorum.voters"), "the controllers are asked, not ZooKeeper"),
    gone("control.plane.listener.name", Some("controller.listener.names"), "controllers have listeners of their own"),
    gone(
        "inter.broker.protocol.version",
        Some("metadata.version"),
        "it is in the metadata: kafka-features raises it for all nodes at once",
    ),
    gone("log.message.format.version", None, "every message is written in the newest format"),
    gone("message.format.version", None, "every message is written in the newest format"),
    gone("log.message.downconversion.enable", None, "no message is converted to an older format any more"),
    gone(
        "log.message.timestamp.difference.max.ms",
        Some("log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"),
        "the two sides have limits of their own (KIP-937)",
    ),
    gone(
        "password.encoder.*",
        None,
        "passwords in dynamic configs are not encrypted in the metadata log: protect the controllers' directories",
    ),
    gone("delegation.token.master.key", Some("delegation.token.secret.key"), "it was renamed"),
    gone("controlled.shutdown.max.retries", None, "the controller answers heartbeats until the broker may go"),
    gone("controlled.shutdown.retry.backoff.ms", None, "the controller answers heartbeats until the broker may go"),
    gone("offsets.commit.required.acks", None, "commits are always acknowledged by all in-sync replicas"),
    gone("leader.imbalance.per.broker.percentage", None, "KRaft's controller balances by partition"),
    gone(
        "auto.include.jmx.reporter",
        Some("metric.reporters"),
        "JmxReporter is there unless metric.reporters leaves it out",
    ),
    gone("alter.config.policy.kraft.compatibility.enable", None, "policies see what KRaft gives them"),
    gone("eligible.leader.replicas.enable", Some("eligible.leader.replicas.version"), "it is a feature of the cluster"),
    gone(
        "group.coordinator.new.enable",
        Some("group.coordinator.rebalance.protocols"),
        "there is one coordinator, the new one",
    ),
    gone("group.share.enable", Some("share.version"), "it is a feature of the cluster"),
    gone("group.share.max.groups", None, "the number is not bounded any more"),
    gone("metadata.log.segment.min.bytes", None, "it was meant for tests"),
    gone("advertised.host.name", Some("advertised.listeners"), "listeners have names"),
    gone("advertised.port", Some("advertised.listeners"), "listeners have names"),
    gone("host.name", Some("listeners"), "listeners have names"),
    gone("port", Some("listeners"), "listeners have names"),
    gone("quota.producer.default", Some("kafka-configs --entity-type clients --entity-default"), "quotas are metadata"),
    gone("quota.consumer.default", Some("kafka-configs --entity-type clients --entity-default"), "quotas are metadata"),
];

/// A setting that an operator has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// The setting.
    pub setting: String,
    /// What to set in its place; `None` when nothing is.
    pub replacement: Option<String>,
    /// Why.
    pub why: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replacement {
            Some(replacement) => write!(f, "{} -> {replacement}: {}", self.setting, self.why),
            None => write!(f, "{}: leave it out; {}", self.setting, self.why),
        }
    }
}

/// A broker's configuration file.
#[derive(Clone)]
pub struct BrokerConfig {
    properties: Parsed,
}

/// Values may be secrets.
impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.properties.keys()).finish()
    }
}

/// Where the controllers are, for the configurations that are proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The one controller's id.
    pub node_id: NodeId,
    /// Its host and port.
    pub address: String,
    /// Its directory.
    pub data_dir: PathBuf,
}

impl BrokerConfig {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// It is no properties file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { properties: Parsed::parse(text)? })
    }

    /// The broker's id, if the file has one.
    pub fn id(&self) -> Option<NodeId> {
        let id = self.properties.get("broker.id").or_else(|| self.properties.get("node.id"))?;
        id.trim().parse().ok().filter(|id| *id >= 0).map(NodeId)
    }

    /// Its log directories.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        let list = self.properties.get("log.dirs").or_else(|| self.properties.get("log.dir")).unwrap_or_default();
        list.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
    }

    /// Its listeners, as `NAME://host:port`.
    pub fn listeners(&self) -> Vec<String> {
        let list = self.properties.get("listeners").unwrap_or_default();
        list.split(',').map(|listener| listener.trim().to_owned()).collect()
    }

    /// Each setting that KRaft or Kafka 4.x takes no more, by name.
    pub fn advice(&self) -> Vec<Advice> {
        self.properties.keys().filter_map(|key| advice(key, self.properties.get(key).unwrap_or_default())).collect()
    }

    /// The broker's configuration in KRaft mode.
    pub fn as_broker(&self, id: NodeId, quorum: &Quorum) -> Properties {
        let mut broker = Properties::new().with("process.roles", "broker").with("node.id", id);
        self.keep(&mut broker);
        shared(&mut broker, self.properties.get("listener.security.protocol.map"), quorum);
        broker
    }

    /// The controller's configuration: what of the broker's is the controllers' business now, and its own.
    pub fn as_controller(&self, quorum: &Quorum) -> Properties {
        let port = quorum.address.rsplit_once(':').map_or("9093", |(_, port)| port);
        let mut controller = Properties::new()
            .with("process.roles", "controller")
            .with("node.id", quorum.node_id)
            .with("listeners", format!("{CONTROLLER_LISTENER}://:{port}"))
            .with("log.dirs", quorum.data_dir.display());
        let mut all = Properties::new();
        self.keep(&mut all);
        for (key, value) in all.iter().filter(|(key, _)| is_controllers(key)) {
            controller.set(key, value);
        }
        shared(&mut controller, self.properties.get("listener.security.protocol.map"), quorum);
        controller
    }

    /// What stays, with the names and values that are taken now.
    fn keep(&self, target: &mut Properties) {
        for key in self.properties.keys() {
            let value = self.properties.get(key).unwrap_or_default();
            match (key, advice(key, value)) {
                (_, None) => target.set(key, value),
                ("authorizer.class.name", Some(_)) => target.set(key, STANDARD_AUTHORIZER),
                ("delegation.token.master.key", Some(_)) => target.set("delegation.token.secret.key", value),
                ("log.segment.bytes", Some(_)) => target.set(key, SEGMENT_BYTES_MIN),
                ("log.message.timestamp.difference.max.ms", Some(_)) => {
                    for side in ["before", "after"] {
                        let name = format!("log.message.timestamp.{side}.max.ms");
                        if self.properties.get(&name).is_none() {
                            target.set(&name, value);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Settings that all nodes of a KRaft cluster have alike.
fn shared(properties: &mut Properties, protocols: Option<&str>, quorum: &Quorum) {
    let protocols = protocols.unwrap_or(PROTOCOLS);
    let protocols = match protocols.split(',').any(|it| it.trim().starts_with(&format!("{CONTROLLER_LISTENER}:"))) {
        true => protocols.to_owned(),
        false => format!("{protocols},{CONTROLLER_LISTENER}:PLAINTEXT"),
    };
    properties.set("controller.quorum.voters", format!("{}@{}", quorum.node_id, quorum.address));
    properties.set("controller.listener.names", CONTROLLER_LISTENER);
    properties.set("listener.security.protocol.map", protocols);
}

/// What a controller needs of a broker's settings: who may do what, and what it decides.
fn is_controllers(key: &str) -> bool {
    const PREFIXES: [&str; 7] = [
        "authorizer.",
        "delegation.token.",
        "super.users",
        "allow.everyone.if",
        "principal.builder.",
        "ssl.",
        "quota.",
    ];
    const NAMES: [&str; 12] = [
        "alter.config.policy.class.name",
        "auto.leader.rebalance.enable",
        "client.quota.callback.class",
        "connections.max.idle.ms",
        "create.topic.policy.class.name",
        "default.replication.factor",
        "early.start.listeners",
        "leader.imbalance.check.interval.seconds",
        "min.insync.replicas",
        "num.partitions",
        "sasl.enabled.mechanisms",
        "unclean.leader.election.enable",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || NAMES.contains(&key)
}

/// Whether the value of a setting must not be shown.
pub fn is_secret(key: &str) -> bool {
    is_password_key(key) || ["password", "secret", "secret.key", "master.key"].iter().any(|end| key.ends_with(end))
}

/// The lines of a configuration, for people: without secrets.
pub fn shown(properties: &Properties) -> Vec<String> {
    let value = |key: &str, value: &str| if is_secret(key) { "[redacted]".to_owned() } else { value.to_owned() };
    properties.iter().map(|(key, it)| format!("{key}={}", value(key, it))).collect()
}

/// What to do about a setting; `None` when it is taken as it is.
fn advice(key: &str, value: &str) -> Option<Advice> {
    let replaced =
        |replacement: Option<String>, why: String| Some(Advice { setting: key.to_owned(), replacement, why });
    if key == "authorizer.class.name" {
        return ZOOKEEPERS_AUTHORIZERS.contains(&value.trim()).then(|| Advice {
            setting: key.to_owned(),
            replacement: Some(format!("{key}={STANDARD_AUTHORIZER}")),
            why: format!("{} keeps its rules in ZooKeeper", value.trim()),
        });
    }
    if key == "log.segment.bytes" && value.trim().parse().is_ok_and(|bytes: i64| bytes < SEGMENT_BYTES_MIN) {
        return replaced(
            Some(format!("{key}={SEGMENT_BYTES_MIN}")),
            "the least that Kafka 4.x takes (KIP-1030)".to_owned(),
        );
    }
    let fits = |gone: &&Gone| match gone.name.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == gone.name,
    };
    let gone = GONE.iter().find(fits)?;
    replaced(gone.replacement.map(str::to_owned), gone.why.to_owned())
}

/// Reads a broker's configuration file.
///
/// # Errors
/// It can't be read, or is no properties file.
pub fn read(path: &Path) -> Result<BrokerConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    BrokerConfig::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Settings of several files, each once: what is told of many brokers alike is told once.
pub fn advice_of_all<'a>(configs: impl IntoIterator<Item = &'a BrokerConfig>) -> Vec<Advice> {
    let all = configs.into_iter().flat_map(BrokerConfig::advice).map(|advice| (advice.setting.clone(), advice));
    all.collect::<BTreeMap<_, _>>().into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "broker.id=4\nzookeeper.connect=zk:2181/kafka\nzookeeper.set.acl=true\nlog.dirs=/a, /b\n\
        listeners=PLAINTEXT://:9092\nauthorizer.class.name=kafka.security.authorizer.AclAuthorizer\n\
        inter.broker.protocol.version=2.4\ndelegation.token.master.key=hush\npassword.encoder.secret=hush\n\
        ssl.keystore.password=hush\nlog.segment.bytes=1000\nlog.retention.hours=7\nsuper.users=User:admin\n\
        log.message.timestamp.difference.max.ms=5\n";

    fn quorum() -> Quorum {
        Quorum { node_id: NodeId(3000), address: "c:9093".into(), data_dir: "/c".into() }
    }

    #[test]
    fn every_row_of_the_table_is_reached_and_says_something() {
        for gone in &GONE {
            let key = gone.name.replace('*', "x");
            let advice = advice(&key, "").unwrap_or_else(|| panic!("{key}"));
            assert_eq!((advice.replacement.as_deref(), advice.why.as_str()), (gone.replacement, gone.why), "{key}");
            assert!(!gone.why.is_empty());
        }
        for kept in ["listeners", "log.dirs", "log.retention.hours", "node.id", "portal", "log.segment.bytes"] {
            assert_eq!(advice(kept, "1048576"), None, "{kept}");
        }
    }

    #[test]
    fn a_brokers_file_is_understood() {
        let config = BrokerConfig::parse(OLD).unwrap();
        assert_eq!(config.id(), Some(NodeId(4)));
        assert_eq!(config.log_dirs(), [PathBuf::from("/a"), PathBuf::from("/b")]);
        let settings: Vec<_> = config.advice().into_iter().map(|advice| advice.setting).collect();
        let expected = [
            "authorizer.class.name",
            "broker.id",
            "delegation.token.master.key",
            "inter.broker.protocol.version",
            "log.message.timestamp.difference.max.ms",
            "log.segment.bytes",
            "password.encoder.secret",
            "zookeeper.connect",
            "zookeeper.set.acl",
        ];
        assert_eq!(settings, expected);
        assert!(!format!("{config:?}").contains("hush"));
    }

    #[test]
    fn what_is_proposed_has_nothing_left_to_advise() {
        let config = BrokerConfig::parse(OLD).unwrap();
        let quorum = quorum();
        let (broker, controller) = (config.as_broker(NodeId(4), &quorum), config.as_controller(&quorum));
        for proposed in [&broker, &controller] {
            assert_eq!(BrokerConfig::parse(&proposed.text()).unwrap().advice(), Vec::new());
            assert_eq!(proposed.get("controller.quorum.voters"), Some("3000@c:9093"));
            assert_eq!(proposed.get("authorizer.class.name"), Some(STANDARD_AUTHORIZER));
            assert_eq!(proposed.get("super.users"), Some("User:admin"));
            assert_eq!(proposed.get("delegation.token.secret.key"), Some("hush"));
            assert!(!shown(proposed).concat().contains("hush"));
        }
        assert_eq!(broker.get("process.roles"), Some("broker"));
        assert_eq!(broker.get("node.id"), Some("4"));
        assert_eq!(broker.get("log.dirs"), Some("/a, /b"));
        assert_eq!(broker.get("log.segment.bytes"), Some("1048576"));
        assert_eq!(broker.get("log.message.timestamp.after.max.ms"), Some("5"));
        assert_eq!(controller.get("listeners"), Some("CONTROLLER://:9093"));
        assert_eq!(controller.get("log.dirs"), Some("/c"));
        assert_eq!(controller.get("log.retention.hours"), None);
    }

    #[test]
    fn protocols_that_were_named_stay_and_the_controllers_joins_them() {
        let of = |line: &str| {
            let broker = BrokerConfig::parse(line).unwrap().as_broker(NodeId(1), &quorum());
            broker.get("listener.security.protocol.map").map(str::to_owned).unwrap()
        };
        assert_eq!(of("listener.security.protocol.map=IN:SSL\n"), "IN:SSL,CONTROLLER:PLAINTEXT");
        assert_eq!(of("listener.security.protocol.map=CONTROLLER:SSL\n"), "CONTROLLER:SSL");
        assert!(of("").ends_with("SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT"));
    }
}
