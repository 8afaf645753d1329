//! Configs of topics and brokers (Kafka: `ConfigurationControlManager`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use metadata_core::id::NodeId;
use metadata_core::image::{ConfigResource, MetadataImage};
use metadata_core::record::{ConfigRecord, MetadataRecord};
use serde::{Deserialize, Serialize};

use super::{Draft, Refusal, Secret, count, refuse};

/// What configs belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// A topic, by name.
    Topic(String),
    /// A broker, by id.
    Broker(i32),
    /// All brokers: the default of what a broker does not set itself.
    AllBrokers,
}

impl Resource {
    fn in_image(&self) -> ConfigResource {
        match self {
            Self::Topic(name) => ConfigResource::topic(name.as_str()),
            Self::Broker(id) => ConfigResource::broker(Some(NodeId(*id))),
            Self::AllBrokers => ConfigResource::broker(None),
        }
    }

    fn check(&self, image: &MetadataImage) -> Result<(), Refusal> {
        match self {
            Self::Topic(name) if image.topics().id(name).is_none() => {
                refuse(format!("there is no topic {name:?}"), "check the name")
            }
            Self::Broker(id) if *id < 0 => refuse(format!("{id} is no broker id"), "use an id of 0 or more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
            Self::AllBrokers => f.write_str("all brokers"),
        }
    }
}

pub(super) fn set(image: &MetadataImage, resource: &Resource, values: &BTreeMap<String, Secret>) -> Draft {
    resource.check(image)?;
    check_names(values.keys())?;
    if values.is_empty() {
        return refuse("no config is named", "add at least one KEY=VALUE");
    }
    let records = values.iter().map(|(key, value)| config_record(resource, key, Some(value))).collect();
    Ok((records, format!("{} of {resource} set: {}", count(values.len(), "config"), names(values.keys()))))
}

pub(super) fn delete(image: &MetadataImage, resource: &Resource, keys: &BTreeSet<String>) -> Draft {
    resource.check(image)?;
    if keys.is_empty() {
        return refuse("no config is named", "add at least one KEY");
    }
    let present = image.config(&resource.in_image());
    if let Some(key) = keys.iter().find(|key| present.is_none_or(|present| !present.contains_key(*key))) {
        return refuse(format!("{resource} does not set {key:?}"), "check the name; only what is set can be deleted");
    }
    let records = keys.iter().map(|key| config_record(resource, key, None)).collect();
    Ok((records, format!("{} of {resource} deleted: {}", count(keys.len(), "config"), names(keys.iter()))))
}

pub(super) fn check_names<'a>(keys: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    for key in keys {
        if key.is_empty() || !key.chars().all(legal) {
            return refuse(format!("no config can be called {key:?}"), "use Kafka's names, as retention.ms");
        }
    }
    Ok(())
}

pub(super) fn config_record(resource: &Resource, key: &str, value: Option<&Secret>) -> MetadataRecord {
    let ConfigResource { resource_type, name } = resource.in_image();
    ConfigRecord {
        resource_type: resource_type.code(),
        resource_name: name.to_string(),
        name: key.to_owned(),
        value: value.map(|value| value.expose().to_owned()),
        ..ConfigRecord::default()
    }
    .into()
}

fn names<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    keys.map(String::as_str).collect::<Vec<_>>().join(", ")
}
