//! Configs in the metadata that Kafka 4.x knows no more, or takes only from another value on.
//!
//! Kafka 4.x ignores the first in silence, so that a limit is gone; over a topic with the second no broker starts. (Tried with
//! 4.4.0; names and ranges: the config definitions of 3.9.2 and 4.4.0, compared.) Both are mended here, so that Kafka does the
//! same as before.

use metadata_core::image::ConfigResourceType;
use metadata_core::record::ConfigRecord;

/// Smallest segment of a log that Kafka 4.x takes (KIP-1030).
const SEGMENT_BYTES_MIN: i64 = 1 << 20;

/// What was done to a config, in place of copying it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// Of which topic or broker.
    pub resource: String,
    /// The config.
    pub name: String,
    /// What became of it, and why.
    pub what: String,
}

/// The configs that a config becomes: itself, others, or none; and what was changed, if anything was.
///
/// `is_set` tells whether the same resource has another config.
pub fn translate(record: ConfigRecord, is_set: impl Fn(&str) -> bool) -> (Vec<ConfigRecord>, Option<ConfigChange>) {
    let kind = ConfigResourceType::from_code(record.resource_type);
    // Brokers' dynamic configs are named as the topics', with a prefix.
    let prefix = match kind {
        ConfigResourceType::Topic => "",
        ConfigResourceType::Broker => "log.",
        _ => return (vec![record], None),
    };
    let Some(name) = record.name.strip_prefix(prefix) else { return (vec![record], None) };
    let change = |what: String| {
        Some(ConfigChange { resource: resource(kind, &record.resource_name), name: record.name.clone(), what })
    };
    match name {
        "message.format.version" => {
            (Vec::new(), change("left out: every message is written in the newest format".to_owned()))
        }
        "message.downconversion.enable" => {
            (Vec::new(), change("left out: no message is converted to an older format any more".to_owned()))
        }
        "message.timestamp.difference.max.ms" => {
            let names = ["before", "after"].map(|side| format!("{prefix}message.timestamp.{side}.max.ms"));
            // Kafka takes the old one only where none of the new ones is set (KIP-937).
            if names.iter().any(|name| is_set(name)) {
                let what = "left out: message.timestamp.before.max.ms or .after.max.ms is set, which counts";
                return (Vec::new(), change(what.to_owned()));
            }
            let what = format!("became {} and {} of the same value", names[0], names[1]);
            let change = change(what);
            (names.map(|name| ConfigRecord { name, ..record.clone() }).to_vec(), change)
        }
        "segment.bytes" => {
            let value = record.value.as_deref().and_then(|value| value.trim().parse::<i64>().ok());
            let Some(value) = value.filter(|value| *value < SEGMENT_BYTES_MIN) else { return (vec![record], None) };
            let change = change(format!("raised from {value} to {SEGMENT_BYTES_MIN}, the least that Kafka 4.x takes"));
            (vec![ConfigRecord { value: Some(SEGMENT_BYTES_MIN.to_string()), ..record }], change)
        }
        _ => (vec![record], None),
    }
}

fn resource(kind: ConfigResourceType, name: &str) -> String {
    match (kind, name) {
        (ConfigResourceType::Broker, "") => "all brokers".to_owned(),
        (ConfigResourceType::Broker, name) => format!("broker {name}"),
        (_, name) => format!("topic {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: ConfigResourceType, name: &str, value: &str) -> ConfigRecord {
        ConfigRecord {
            resource_type: kind.code(),
            resource_name: "7".to_owned(),
            name: name.to_owned(),
            value: Some(value.to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn each_config_becomes_what_both_releases_take() {
        use ConfigResourceType::{Broker, Topic};
        let min = "1048576";
        type Row<'a> = (ConfigResourceType, &'a str, &'a str, &'a [(&'a str, &'a str)], bool);
        let rows: [Row<'_>; 13] = [
            (Topic, "retention.ms", "5", &[("retention.ms", "5")], false),
            (Topic, "message.format.version", "2.4", &[], true),
            (Topic, "message.downconversion.enable", "false", &[], true),
            (Topic, "segment.bytes", "14", &[("segment.bytes", min)], true),
            (Topic, "segment.bytes", min, &[("segment.bytes", min)], false),
            (Topic, "segment.bytes", "odd", &[("segment.bytes", "odd")], false),
            (Broker, "log.segment.bytes", "1024", &[("log.segment.bytes", min)], true),
            (Broker, "segment.bytes", "1024", &[("segment.bytes", "1024")], false),
            (Broker, "log.message.format.version", "2.4", &[], true),
            (Broker, "log.message.downconversion.enable", "true", &[], true),
            (Broker, "log.cleaner.threads", "2", &[("log.cleaner.threads", "2")], false),
            (
                Topic,
                "message.timestamp.difference.max.ms",
                "9",
                &[("message.timestamp.before.max.ms", "9"), ("message.timestamp.after.max.ms", "9")],
                true,
            ),
            (
                Broker,
                "log.message.timestamp.difference.max.ms",
                "9",
                &[("log.message.timestamp.before.max.ms", "9"), ("log.message.timestamp.after.max.ms", "9")],
                true,
            ),
        ];
        for (kind, name, value, expected, changes) in rows {
            let (made, change) = translate(config(kind, name, value), |_| false);
            let made: Vec<_> = made.iter().map(|it| (it.name.as_str(), it.value.as_deref().unwrap())).collect();
            assert_eq!(made, expected, "{name}={value}");
            assert_eq!(change.is_some(), changes, "{name}={value}");
        }
    }

    #[test]
    fn an_old_config_gives_way_to_a_new_one_that_is_set() {
        let old = config(ConfigResourceType::Topic, "message.timestamp.difference.max.ms", "9");
        let (made, change) = translate(old, |name| name == "message.timestamp.after.max.ms");
        assert!(made.is_empty() && change.unwrap().what.starts_with("left out"));
    }
}
