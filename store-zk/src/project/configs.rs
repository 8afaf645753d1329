//! Configs of topics and brokers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use imbl::ordmap::DiffItem;
use metadata_core::image::{ConfigResource, ConfigResourceType, MetadataImage};
use metadata_core::store::Unrepresentable;

use super::planner::{Planner, loss};
use super::topics::lost_topic;
use super::{Entity, ExpectedZnode, ProjectionContext};
use crate::znode::name::DEFAULT;
use crate::znode::password::{self, is_password_key};
use crate::znode::{config, path};

/// Where a resource's configs stand.
pub(super) enum ConfigPlace {
    /// The topic exists.
    Topic(Arc<str>),
    /// The name of the broker's znode.
    Broker(Arc<str>),
}

/// Where a resource's configs stand in ZooKeeper, or why nowhere.
pub(super) fn place_of(resource: &ConfigResource, image: &MetadataImage) -> Result<ConfigPlace, Unrepresentable> {
    let name = &resource.name;
    match resource.resource_type {
        ConfigResourceType::Topic if image.topics().id(name).is_none() => Err(lost_topic_config(name)),
        ConfigResourceType::Topic => match lost_topic(name) {
            Some(lost) => Err(lost),
            None => Ok(ConfigPlace::Topic(Arc::clone(name))),
        },
        ConfigResourceType::Broker if name.is_empty() => Ok(ConfigPlace::Broker(DEFAULT.into())),
        ConfigResourceType::Broker => {
            let id = name.parse::<i32>().ok().filter(|id| *id >= 0 && id.to_string() == **name);
            match id {
                Some(_) => Ok(ConfigPlace::Broker(Arc::clone(name))),
                None => Err(loss(format!("config of broker {name:?}"), "the name is no broker id")),
            }
        }
        other => {
            let kind = match other {
                ConfigResourceType::ClientMetrics => "client-metrics".to_owned(),
                ConfigResourceType::Group => "group".to_owned(),
                other => format!("resource type {}", other.code()),
            };
            Err(loss(format!("config of {kind} {name:?}"), "ZooKeeper has no such configs"))
        }
    }
}

pub(super) fn lost_topic_config(name: &str) -> Unrepresentable {
    loss(format!("config of topic {name:?}"), "the topic does not exist")
}

/// Why an entity's znodes are withheld: its config holds passwords, and there is no secret to encrypt them with. Whatever
/// was written would lack them, and so erase those that brokers start with.
pub(super) fn withheld(image: &MetadataImage, entity: &Entity, context: &ProjectionContext) -> Option<Unrepresentable> {
    if context.secret.is_some() {
        return None;
    }
    let resource = match entity {
        Entity::Topic(name) => ConfigResource::topic(Arc::clone(name)),
        Entity::BrokerConfig(znode) => broker_resource(znode),
        _ => return None,
    };
    let passwords: Vec<&str> =
        image.config(&resource)?.keys().map(String::as_str).filter(|key| is_password_key(key)).collect();
    (!passwords.is_empty()).then(|| {
        let reason = format!(
            "it holds passwords ({}) and password.encoder.secret is not set: it stays as it is there",
            passwords.join(", ")
        );
        loss(entity.to_string(), reason)
    })
}

fn broker_resource(znode: &str) -> ConfigResource {
    let name = if znode == DEFAULT { "" } else { znode };
    ConfigResource { resource_type: ConfigResourceType::Broker, name: name.into() }
}

/// The data of a config node; passwords are encrypted. Without a secret they are missing, which is good for comparing the
/// rest and for nothing else: see [`withheld`].
fn data(znode_path: &str, entries: &BTreeMap<String, String>, context: &ProjectionContext) -> Bytes {
    let properties: Vec<(&str, Cow<'_, str>)> = entries
        .iter()
        .filter_map(|(key, value)| {
            let text = if is_password_key(key) {
                Cow::Owned(password::encode(value, znode_path, key, context.secret.as_ref()?))
            } else {
                Cow::Borrowed(value.as_str())
            };
            Some((key.as_str(), text))
        })
        .collect();
    config::encode(properties.iter().map(|(key, value)| (*key, value.as_ref())))
}

fn topic_data(image: &MetadataImage, name: &str, context: &ProjectionContext) -> Bytes {
    let none = BTreeMap::new();
    let entries = image.config(&ConfigResource::topic(name)).unwrap_or(&none);
    data(&path::topic_config(name), entries, context)
}

/// The config node of a topic that exists; each has one, be it empty (KAFKA-16003).
pub(super) fn topic_node(image: &MetadataImage, name: &str, context: &ProjectionContext) -> Option<ExpectedZnode> {
    lost_topic(name)
        .is_none()
        .then(|| ExpectedZnode::with_data(path::topic_config(name), topic_data(image, name, context)))
}

/// The config node of a broker, by the node's name. It exists if the broker has configs, even where all of them are
/// passwords that can't be encrypted: what exists must not depend on the secret.
pub(super) fn broker_node(image: &MetadataImage, znode: &str, context: &ProjectionContext) -> Option<ExpectedZnode> {
    let resource = broker_resource(znode);
    let entries = image.config(&resource).filter(|entries| !entries.is_empty())?;
    place_of(&resource, image).ok()?;
    let znode_path = path::broker_config(znode);
    let data = data(&znode_path, entries, context);
    Some(ExpectedZnode::with_data(znode_path, data))
}

pub(super) fn create_topic_config(image: &MetadataImage, name: &str, entity: &Entity, planner: &mut Planner<'_>) {
    let znode_path = path::topic_config(name);
    planner.create(entity, znode_path.as_str(), Some(topic_data(image, name, planner.context)));
    if image.config(&ConfigResource::topic(name)).is_some() {
        planner.notify(entity, &znode_path);
    }
}

/// Configs of topics that are the same before and after, and of brokers. Those of created and deleted topics came and
/// went with them.
pub(super) fn project(before: &MetadataImage, after: &MetadataImage, planner: &mut Planner<'_>) {
    for item in before.configs().diff(after.configs()) {
        let (resource, old, new) = match item {
            DiffItem::Add(resource, new) => (resource, None, Some(new)),
            DiffItem::Remove(resource, old) => (resource, Some(old), None),
            DiffItem::Update { old: (resource, old), new: (_, new) } => (resource, Some(old), Some(new)),
        };
        match place_of(resource, after) {
            Ok(ConfigPlace::Topic(name)) => {
                if before.topics().id(&name) == after.topics().id(&name) {
                    let entity = Entity::Topic(Arc::clone(&name));
                    let znode_path = path::topic_config(&name);
                    planner.set(&entity, znode_path.as_str(), Some(topic_data(after, &name, planner.context)));
                    planner.notify(&entity, &znode_path);
                }
            }
            Ok(ConfigPlace::Broker(znode)) => {
                let znode_path = path::broker_config(&znode);
                let entity = Entity::BrokerConfig(znode);
                let context = planner.context;
                planner.replace(&entity, &znode_path, old, new, |entries| data(&znode_path, &entries.0, context));
            }
            // What is going away is no loss.
            Err(lost) => planner.unrepresentable(new.map(|_| lost)),
        }
    }
}
