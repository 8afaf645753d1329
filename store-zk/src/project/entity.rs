//! What a projection is made of: entities, each with znodes that nothing else shares.

use std::fmt;
use std::sync::Arc;

use crate::znode::acl::{PatternType, ResourceType};
use crate::znode::path::{self, Place};

/// Something in the image that has znodes of its own. Entities don't share znodes, so they can be synced one by one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// The containers that are always there.
    Containers,
    /// A topic by its name: assignment, partitions, config, and a pending deletion.
    Topic(Arc<str>),
    /// A broker's config by the name of its znode.
    BrokerConfig(Arc<str>),
    /// A user by the name of its znode: quotas, credentials, and the quotas of the user with each client id.
    User(Arc<str>),
    /// A client id by the name of its znode.
    Client(Arc<str>),
    /// An IP address by the name of its znode.
    Ip(Arc<str>),
    /// The producer id block.
    ProducerIds,
    /// The entries of one access control resource.
    Acl(PatternType, ResourceType, Arc<str>),
    /// A delegation token by its id.
    Token(Arc<str>),
}

/// Kinds of entities, in the order in which they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// [`Entity::Containers`].
    Containers,
    /// [`Entity::Topic`].
    Topics,
    /// [`Entity::BrokerConfig`].
    BrokerConfigs,
    /// [`Entity::User`].
    Users,
    /// [`Entity::Client`].
    Clients,
    /// [`Entity::Ip`].
    Ips,
    /// [`Entity::ProducerIds`].
    ProducerIds,
    /// [`Entity::Acl`].
    Acls,
    /// [`Entity::Token`].
    Tokens,
}

impl EntityKind {
    /// All kinds, in the order in which they are written: Kafka's, containers first.
    pub const ALL: [Self; 9] = [
        Self::Containers,
        Self::Topics,
        Self::BrokerConfigs,
        Self::Users,
        Self::Clients,
        Self::Ips,
        Self::ProducerIds,
        Self::Acls,
        Self::Tokens,
    ];

    /// The znodes whose children are entities of this kind ([`Entity::at`] says which). Empty for the two kinds that
    /// have a single entity.
    pub fn parents(self) -> Vec<String> {
        let fixed = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        match self {
            Self::Containers | Self::ProducerIds => Vec::new(),
            Self::Topics => fixed(&[path::TOPICS, path::TOPIC_CONFIGS, path::PENDING_DELETIONS]),
            Self::BrokerConfigs => fixed(&[path::BROKER_CONFIGS]),
            Self::Users => fixed(&[path::USERS]),
            Self::Clients => fixed(&[path::CLIENTS]),
            Self::Ips => fixed(&[path::IPS]),
            Self::Acls => PatternType::ALL
                .into_iter()
                .flat_map(|pattern| {
                    path::sorted_resource_types().map(|resource| path::acl_directory(pattern, resource))
                })
                .collect(),
            Self::Tokens => fixed(&[path::TOKENS]),
        }
    }
}

impl Entity {
    /// The entity that the znode at `path` belongs to, if it belongs to one.
    pub fn at(path: &str) -> Option<Self> {
        let entity = match Place::of(path) {
            Place::Container => Self::Containers,
            Place::Topic(name)
            | Place::Partitions(name)
            | Place::Partition(name, _)
            | Place::PartitionState(name, _)
            | Place::TopicConfig(name)
            | Place::PendingDeletion(name) => Self::Topic(name.into()),
            Place::BrokerConfig(name) => Self::BrokerConfig(name.into()),
            Place::User(user) | Place::UserClients(user) | Place::UserClient(user, _) => Self::User(user.into()),
            Place::Client(name) => Self::Client(name.into()),
            Place::Ip(name) => Self::Ip(name.into()),
            Place::ProducerIds => Self::ProducerIds,
            Place::Acl(pattern, resource, name) => Self::Acl(pattern, resource, name.into()),
            Place::Token(id) => Self::Token(id.into()),
            _ => return None,
        };
        Some(entity)
    }

    /// Its kind.
    pub fn kind(&self) -> EntityKind {
        match self {
            Self::Containers => EntityKind::Containers,
            Self::Topic(_) => EntityKind::Topics,
            Self::BrokerConfig(_) => EntityKind::BrokerConfigs,
            Self::User(_) => EntityKind::Users,
            Self::Client(_) => EntityKind::Clients,
            Self::Ip(_) => EntityKind::Ips,
            Self::ProducerIds => EntityKind::ProducerIds,
            Self::Acl(..) => EntityKind::Acls,
            Self::Token(_) => EntityKind::Tokens,
        }
    }

    /// The znodes that are this entity, together with everything below them; for [`Entity::Containers`] the very znodes
    /// without what is below.
    pub fn roots(&self) -> Vec<String> {
        match self {
            Self::Containers => path::containers().filter(|path| path != path::PRODUCER_IDS).collect(),
            Self::Topic(name) => vec![path::pending_deletion(name), path::topic(name), path::topic_config(name)],
            Self::BrokerConfig(name) => vec![path::broker_config(name)],
            Self::User(user) => vec![path::user(user)],
            Self::Client(name) => vec![path::client(name)],
            Self::Ip(name) => vec![path::ip(name)],
            Self::ProducerIds => vec![path::PRODUCER_IDS.to_owned()],
            Self::Acl(pattern, resource, name) => vec![path::acl(*pattern, *resource, name)],
            Self::Token(id) => vec![path::token(id)],
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Containers => f.write_str("the containers"),
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::BrokerConfig(name) => write!(f, "config of broker {name}"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Client(name) => write!(f, "client id {name}"),
            Self::Ip(name) => write!(f, "IP address {name}"),
            Self::ProducerIds => f.write_str("the producer id block"),
            Self::Acl(PatternType::Literal, resource, name) => write!(f, "acl of {} {name}", resource.directory()),
            Self::Acl(PatternType::Prefixed, resource, name) => write!(f, "acl of {} {name}*", resource.directory()),
            Self::Token(id) => write!(f, "delegation token {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_belongs_to_its_entity() {
        let name: Arc<str> = "x".into();
        let entities = [
            Entity::Containers,
            Entity::Topic(name.clone()),
            Entity::BrokerConfig(name.clone()),
            Entity::User(name.clone()),
            Entity::Client(name.clone()),
            Entity::Ip(name.clone()),
            Entity::ProducerIds,
            Entity::Acl(PatternType::Prefixed, ResourceType::Group, name.clone()),
            Entity::Token(name),
        ];
        assert_eq!(entities.each_ref().map(Entity::kind), EntityKind::ALL);
        for entity in entities {
            for root in entity.roots() {
                assert_eq!(Entity::at(&root).as_ref(), Some(&entity), "{root}");
            }
            for parent in entity.kind().parents() {
                assert_eq!(Entity::at(&format!("{parent}/x")).map(|child| child.kind()), Some(entity.kind()));
            }
        }
        assert_eq!(Entity::at("/controller"), None);
        assert_eq!(Entity::at("/config/changes/config_change_0000000001"), None);
    }
}
