//! The whole tree of an image.

use std::sync::Arc;

use metadata_core::image::{ConfigResourceType, MetadataImage};
use metadata_core::store::Unrepresentable;

use super::quotas::QuotaTree;
use super::{Entity, EntityKind, ExpectedZnode, ProjectionContext, acls, configs, tokens, topics};
use crate::znode::acl::{PatternType, ResourceType};
use crate::znode::path::{self, sorted_resource_types};

/// The tree that an image projects to. Making one costs memory in proportion to the number of quotas and credentials;
/// znodes are made when they are asked for.
#[derive(Debug)]
pub struct Projector<'a> {
    image: &'a MetadataImage,
    context: &'a ProjectionContext,
    quotas: QuotaTree,
    brokers: Vec<Arc<str>>,
}

impl<'a> Projector<'a> {
    /// The projection of `image`.
    pub fn new(image: &'a MetadataImage, context: &'a ProjectionContext) -> Self {
        let resources = image.configs().keys().filter(|resource| resource.resource_type == ConfigResourceType::Broker);
        let mut brokers: Vec<Arc<str>> = resources
            .filter_map(|resource| match configs::place_of(resource, image) {
                Ok(configs::ConfigPlace::Broker(znode)) => Some(znode),
                _ => None,
            })
            .collect();
        brokers.sort();
        Self { image, context, quotas: QuotaTree::new(image), brokers }
    }

    /// What the projection depends on besides the image.
    pub fn context(&self) -> &'a ProjectionContext {
        self.context
    }

    /// The entities of one kind that have znodes, in the order of the names' bytes.
    pub fn entities(&self, kind: EntityKind) -> Box<dyn Iterator<Item = Entity> + '_> {
        match kind {
            EntityKind::Containers => Box::new(std::iter::once(Entity::Containers)),
            EntityKind::Topics => {
                let names = self.image.topics().iter_by_name().map(|(name, _)| name);
                Box::new(names.filter(|name| topics::lost_topic(name).is_none()).cloned().map(Entity::Topic))
            }
            EntityKind::BrokerConfigs => Box::new(self.brokers.iter().cloned().map(Entity::BrokerConfig)),
            EntityKind::Users => Box::new(self.quotas.users().cloned().map(Entity::User)),
            EntityKind::Clients => Box::new(self.quotas.clients().cloned().map(Entity::Client)),
            EntityKind::Ips => Box::new(self.quotas.ips().cloned().map(Entity::Ip)),
            EntityKind::ProducerIds => Box::new(std::iter::once(Entity::ProducerIds)),
            EntityKind::Acls => Box::new(PatternType::ALL.into_iter().flat_map(move |pattern| {
                sorted_resource_types().into_iter().flat_map(move |resource| {
                    acls::names(self.image, pattern, resource)
                        .into_iter()
                        .filter(move |name| acls::node(self.image, pattern, resource, name).is_some())
                        .map(move |name| Entity::Acl(pattern, resource, name.into()))
                })
            })),
            EntityKind::Tokens => Box::new(
                self.image
                    .tokens()
                    .iter()
                    .filter(|(id, token)| tokens::lost(id, token).is_none())
                    .map(|(id, _)| Entity::Token(Arc::clone(id))),
            ),
        }
    }

    /// The znodes of one entity, parents before children; none if the image has no such entity.
    pub fn expected(&self, entity: &Entity) -> Vec<ExpectedZnode> {
        match entity {
            Entity::Containers => entity.roots().into_iter().map(ExpectedZnode::container).collect(),
            Entity::Topic(name) => match self.image.topics().id(name) {
                Some(id) => {
                    let config = configs::topic_node(self.image, name, self.context);
                    topics::nodes(self.image, name, id, self.context).into_iter().chain(config).collect()
                }
                None => Vec::new(),
            },
            Entity::BrokerConfig(znode) => configs::broker_node(self.image, znode, self.context).into_iter().collect(),
            Entity::User(znode) => self.quotas.user_nodes(znode),
            Entity::Client(znode) => self.quotas.client_node(znode).into_iter().collect(),
            Entity::Ip(znode) => self.quotas.ip_node(znode).into_iter().collect(),
            Entity::ProducerIds => vec![self.producer_ids()],
            Entity::Acl(pattern, resource, name) => {
                acls::node(self.image, *pattern, *resource, name).into_iter().collect()
            }
            Entity::Token(id) => tokens::node(self.image, id).into_iter().collect(),
        }
    }

    fn producer_ids(&self) -> ExpectedZnode {
        ExpectedZnode { data: super::producer_id_block(self.image), ..ExpectedZnode::container(path::PRODUCER_IDS) }
    }

    /// Every znode of the projection, in the order of a walk ([`path::walk_order`]), made one entity at a time.
    pub fn znodes(&self) -> impl Iterator<Item = ExpectedZnode> + '_ {
        path::containers().flat_map(move |container| {
            let below = self.below(&container);
            let node =
                if container == path::PRODUCER_IDS { self.producer_ids() } else { ExpectedZnode::container(container) };
            std::iter::once(node).chain(below)
        })
    }

    /// What stands below a container that is no container.
    fn below(&self, container: &str) -> Box<dyn Iterator<Item = ExpectedZnode> + '_> {
        let kind = match container {
            path::TOPICS => {
                let topics = self.image.topics().iter_by_name();
                return Box::new(topics.flat_map(|(name, id)| topics::nodes(self.image, name, id, self.context)));
            }
            path::TOPIC_CONFIGS => {
                let names = self.image.topics().iter_by_name().map(|(name, _)| name);
                return Box::new(names.filter_map(|name| configs::topic_node(self.image, name, self.context)));
            }
            path::BROKER_CONFIGS => EntityKind::BrokerConfigs,
            path::USERS => EntityKind::Users,
            path::CLIENTS => EntityKind::Clients,
            path::IPS => EntityKind::Ips,
            path::TOKENS => EntityKind::Tokens,
            other => return self.acls_below(other),
        };
        Box::new(self.entities(kind).flat_map(|entity| self.expected(&entity)))
    }

    fn acls_below(&self, container: &str) -> Box<dyn Iterator<Item = ExpectedZnode> + '_> {
        let directories = PatternType::ALL
            .into_iter()
            .flat_map(|pattern| ResourceType::ALL.into_iter().map(move |resource| (pattern, resource)));
        let found =
            directories.into_iter().find(|(pattern, resource)| path::acl_directory(*pattern, *resource) == container);
        let Some((pattern, resource)) = found else { return Box::new(std::iter::empty()) };
        let names = acls::names(self.image, pattern, resource).into_iter();
        Box::new(names.filter_map(move |name| acls::node(self.image, pattern, resource, name)))
    }

    /// Why nothing may be written to an entity's znodes, although the image has it.
    pub(super) fn withheld(&self, entity: &Entity) -> Option<Unrepresentable> {
        configs::withheld(self.image, entity, self.context)
    }

    /// Everything in the image that has no place in ZooKeeper.
    pub fn unrepresentable(&self) -> Vec<Unrepresentable> {
        let topics = self.image.topics().iter_by_name().filter_map(|(name, _)| topics::lost_topic(name));
        let configs =
            self.image.configs().keys().filter_map(|resource| match configs::place_of(resource, self.image) {
                Ok(configs::ConfigPlace::Topic(name)) => self.withheld(&Entity::Topic(name)),
                Ok(configs::ConfigPlace::Broker(znode)) => self.withheld(&Entity::BrokerConfig(znode)),
                Err(lost) => Some(lost),
            });
        let acls = self.image.acls().patterns().flat_map(|pattern| acls::losses(self.image, pattern));
        let tokens = self.image.tokens().iter().filter_map(|(id, token)| tokens::lost(id, token));
        topics.chain(configs).chain(self.quotas.losses.iter().cloned()).chain(acls).chain(tokens).collect()
    }
}
