//! What was made, as data: what others look for afterwards.

use std::collections::BTreeMap;

/// Everything that was made. It has no `Debug`: there are passwords in it.
#[derive(Clone, Default)]
pub struct Populated {
    /// Topics, but for Kafka's own.
    pub topics: Vec<MadeTopic>,
    /// Values of the messages of topics, in the order in which they were sent. Topics that others wrote to have no entry.
    pub messages: BTreeMap<String, Vec<String>>,
    /// Topics with the consumer group that has consumed all their messages.
    pub groups: BTreeMap<String, String>,
    /// Users with SCRAM credentials, of both mechanisms.
    pub users: Vec<MadeUser>,
    /// Dynamic settings of brokers.
    pub broker_configs: Vec<MadeBrokerConfig>,
    /// Quotas of all kinds of entities.
    pub quotas: Vec<MadeQuota>,
    /// Who had a quota that was removed.
    pub former: Vec<MadeQuota>,
    /// Access control lists.
    pub grants: Vec<Grant>,
    /// Delegation tokens.
    pub tokens: Vec<MadeToken>,
    /// Ids with which transactions were committed, in the topic `transactions`.
    pub transactional_ids: Vec<String>,
}

impl Populated {
    /// Each access control entry, sorted.
    pub fn acl_entries(&self) -> Vec<AclEntry> {
        let mut entries: Vec<_> = self.grants.iter().flat_map(Grant::entries).collect();
        entries.sort();
        entries
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeTopic {
    /// Its name.
    pub name: String,
    /// Replicas of each of its partitions.
    pub replicas: Vec<Vec<i32>>,
    /// With how many of its partitions it was created; the others were added later.
    pub created_with: usize,
    /// Its own settings.
    pub configs: BTreeMap<String, String>,
}

/// A user with SCRAM credentials.
#[derive(Clone)]
pub struct MadeUser {
    /// The name.
    pub name: String,
    /// The password, of both mechanisms.
    pub password: String,
    /// Iterations of SCRAM-SHA-256, and of SCRAM-SHA-512.
    pub iterations: (u32, u32),
}

/// A dynamic setting of a broker.
#[derive(Clone)]
pub struct MadeBrokerConfig {
    /// Which broker, or `None` for the default of all.
    pub broker: Option<i32>,
    /// The key.
    pub key: String,
    /// The value; passwords are in the clear.
    pub value: String,
}

/// Whom a quota is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaEntity {
    /// A user; `None` is the default.
    User(Option<String>),
    /// A client id; `None` is the default.
    Client(Option<String>),
    /// A user with a client id.
    UserClient(Option<String>, Option<String>),
    /// An IP address; `None` is the default.
    Ip(Option<String>),
}

/// Quotas of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeQuota {
    /// Whose.
    pub entity: QuotaEntity,
    /// Key and number.
    pub values: BTreeMap<String, f64>,
}

/// Kinds of resources that access is granted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The cluster.
    Cluster,
    /// A transactional id.
    TransactionalId,
    /// A delegation token.
    DelegationToken,
    /// A user, from Kafka 3.3 on.
    User,
}

/// How the name of a resource is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// As it stands; `*` is every name.
    Literal,
    /// As the beginning of names.
    Prefixed,
}

/// What one call of Kafka's tool grants and denies: each operation on each resource, for each principal from each host.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Kind and name.
    pub resources: Vec<(Resource, String)>,
    /// How names are meant.
    pub pattern: Pattern,
    /// In Kafka's spelling, as `DescribeConfigs`.
    pub operations: Vec<String>,
    /// Principals and hosts that may.
    pub allow: (Vec<String>, Vec<String>),
    /// Principals and hosts that must not.
    pub deny: (Vec<String>, Vec<String>),
}

/// An access control entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclEntry {
    /// The kind of resource.
    pub resource: Resource,
    /// Its name.
    pub name: String,
    /// How the name is meant.
    pub pattern: Pattern,
    /// For whom.
    pub principal: String,
    /// From where.
    pub host: String,
    /// What, in Kafka's spelling, as `DescribeConfigs`.
    pub operation: String,
    /// Allowed, or denied.
    pub allow: bool,
}

/// A delegation token.
#[derive(Clone)]
pub struct MadeToken {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub hmac: String,
    /// Whose it is, as `User:alice`.
    pub owner: String,
    /// Who has asked for it.
    pub requester: String,
    /// Who may renew it.
    pub renewers: Vec<String>,
    /// Whether it was renewed.
    pub renewed: bool,
}
