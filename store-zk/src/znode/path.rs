//! Paths: what stands where, and how a tree is walked.

use std::cmp::Ordering;
use std::fmt;

use metadata_core::id::PartitionId;

use super::acl::{PatternType, ResourceType};

/// `/controller`.
pub const CONTROLLER: &str = "/controller";
/// `/controller_epoch`.
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
/// `/migration`.
pub const MIGRATION: &str = "/migration";
/// `/cluster/id`.
pub const CLUSTER_ID: &str = "/cluster/id";
/// `/feature`.
pub const FEATURE: &str = "/feature";
/// Parent of the running ZooKeeper-mode brokers.
pub const BROKER_IDS: &str = "/brokers/ids";
/// Parent of the topics.
pub const TOPICS: &str = "/brokers/topics";
/// Parent of the topics' configs.
pub const TOPIC_CONFIGS: &str = "/config/topics";
/// Parent of the brokers' configs.
pub const BROKER_CONFIGS: &str = "/config/brokers";
/// Parent of the users' quotas and credentials.
pub const USERS: &str = "/config/users";
/// Parent of the client ids' quotas.
pub const CLIENTS: &str = "/config/clients";
/// Parent of the IP addresses' quotas.
pub const IPS: &str = "/config/ips";
/// Parent of the topics that are being deleted.
pub const PENDING_DELETIONS: &str = "/admin/delete_topics";
/// The last block of producer ids.
pub const PRODUCER_IDS: &str = "/latest_producer_id_block";
/// Parent of the delegation tokens.
pub const TOKENS: &str = "/delegation_token/tokens";
/// Parent of config change notifications.
pub const CONFIG_CHANGES: &str = "/config/changes";
/// Parent of change notifications for literal access control resources.
pub const ACL_CHANGES: &str = "/kafka-acl-changes";
/// Parent of change notifications for prefixed access control resources.
pub const EXTENDED_ACL_CHANGES: &str = "/kafka-acl-extended-changes";
/// Parent of change notifications for delegation tokens.
pub const TOKEN_CHANGES: &str = "/delegation_token/token_changes";
/// Prefix of config change notifications.
pub const CONFIG_CHANGE_PREFIX: &str = "/config/changes/config_change_";
/// Prefix of change notifications for literal access control resources.
pub const ACL_CHANGE_PREFIX: &str = "/kafka-acl-changes/acl_changes_";
/// Prefix of change notifications for prefixed access control resources.
pub const EXTENDED_ACL_CHANGE_PREFIX: &str = "/kafka-acl-extended-changes/acl_changes_";
/// Prefix of change notifications for delegation tokens.
pub const TOKEN_CHANGE_PREFIX: &str = "/delegation_token/token_changes/token_change_";

const LITERAL_ACLS: &str = "/kafka-acl";
const PREFIXED_ACLS: &str = "/kafka-acl-extended/prefixed";

/// Parent of [`PREFIXED_ACLS`](acl_root), and of nothing else that Kafka knows.
pub const EXTENDED_ACLS: &str = "/kafka-acl-extended";

/// Parent of the directories of access control resources, one for each resource type.
pub fn acl_root(pattern: PatternType) -> &'static str {
    match pattern {
        PatternType::Literal => LITERAL_ACLS,
        PatternType::Prefixed => PREFIXED_ACLS,
    }
}

/// The roots of everything that is Kafka's, in the order of a walk. Whatever else a ZooKeeper holds is not looked at.
pub const ROOTS: [&str; 17] = [
    "/admin",
    "/brokers",
    "/cluster",
    "/config",
    "/consumers",
    CONTROLLER,
    CONTROLLER_EPOCH,
    "/delegation_token",
    FEATURE,
    "/isr_change_notification",
    LITERAL_ACLS,
    ACL_CHANGES,
    EXTENDED_ACLS,
    EXTENDED_ACL_CHANGES,
    PRODUCER_IDS,
    "/log_dir_event_notification",
    MIGRATION,
];

/// `/brokers/topics/T`.
pub fn topic(topic: &str) -> String {
    format!("{TOPICS}/{topic}")
}

/// `/brokers/topics/T/partitions`.
pub fn partitions(topic: &str) -> String {
    format!("{TOPICS}/{topic}/partitions")
}

/// `/brokers/topics/T/partitions/P`.
pub fn partition(topic: &str, partition: PartitionId) -> String {
    format!("{TOPICS}/{topic}/partitions/{partition}")
}

/// `/brokers/topics/T/partitions/P/state`.
pub fn partition_state(topic: &str, partition: PartitionId) -> String {
    format!("{TOPICS}/{topic}/partitions/{partition}/state")
}

/// `/config/topics/T`.
pub fn topic_config(topic: &str) -> String {
    format!("{TOPIC_CONFIGS}/{topic}")
}

/// `/admin/delete_topics/T`.
pub fn pending_deletion(topic: &str) -> String {
    format!("{PENDING_DELETIONS}/{topic}")
}

/// `/config/brokers/N`; `znode` is the id or [`DEFAULT`](super::name::DEFAULT).
pub fn broker_config(znode: &str) -> String {
    format!("{BROKER_CONFIGS}/{znode}")
}

/// `/config/users/U`; `znode` is sanitised or [`DEFAULT`](super::name::DEFAULT), as in all paths below.
pub fn user(znode: &str) -> String {
    format!("{USERS}/{znode}")
}

/// `/config/users/U/clients`.
pub fn user_clients(znode: &str) -> String {
    format!("{USERS}/{znode}/clients")
}

/// `/config/users/U/clients/C`.
pub fn user_client(user: &str, client: &str) -> String {
    format!("{USERS}/{user}/clients/{client}")
}

/// `/config/clients/C`.
pub fn client(znode: &str) -> String {
    format!("{CLIENTS}/{znode}")
}

/// `/config/ips/I`.
pub fn ip(znode: &str) -> String {
    format!("{IPS}/{znode}")
}

/// The directory of the resources of one type.
pub fn acl_directory(pattern: PatternType, resource: ResourceType) -> String {
    let root = match pattern {
        PatternType::Literal => LITERAL_ACLS,
        PatternType::Prefixed => PREFIXED_ACLS,
    };
    format!("{root}/{}", resource.directory())
}

/// The znode of one access control resource.
pub fn acl(pattern: PatternType, resource: ResourceType, name: &str) -> String {
    format!("{}/{name}", acl_directory(pattern, resource))
}

/// `/delegation_token/tokens/<id>`.
pub fn token(id: &str) -> String {
    format!("{TOKENS}/{id}")
}

/// The containers that are always there, in the order of a walk: those that every ZooKeeper-mode broker and KRaft
/// controller makes when it starts (Kafka: `KafkaZkClient.createTopLevelPaths`), and those that the authorizer and the
/// token manager of brokers make. Kafka's migration does not make the latter, so its writes fail where access control
/// or tokens were never used before.
pub fn containers() -> impl Iterator<Item = String> {
    let fixed = |paths: &'static [&'static str]| paths.iter().map(|path| (*path).to_owned());
    let directories =
        |pattern| sorted_resource_types().into_iter().map(move |resource| acl_directory(pattern, resource));
    fixed(&[
        "/admin",
        PENDING_DELETIONS,
        "/brokers",
        BROKER_IDS,
        "/brokers/seqid",
        TOPICS,
        "/config",
        BROKER_CONFIGS,
        CONFIG_CHANGES,
        CLIENTS,
        IPS,
        TOPIC_CONFIGS,
        USERS,
        "/consumers",
        "/delegation_token",
        TOKEN_CHANGES,
        TOKENS,
        "/isr_change_notification",
        LITERAL_ACLS,
    ])
    .chain(directories(PatternType::Literal))
    .chain(fixed(&[ACL_CHANGES, "/kafka-acl-extended", PREFIXED_ACLS]))
    .chain(directories(PatternType::Prefixed))
    .chain(fixed(&[EXTENDED_ACL_CHANGES, PRODUCER_IDS, "/log_dir_event_notification"]))
}

/// The resource types in the order of their directories' names.
pub(crate) fn sorted_resource_types() -> [ResourceType; 6] {
    let mut types = ResourceType::ALL;
    types.sort_by_key(|resource| resource.directory());
    types
}

/// Compares two paths in the order of a walk: a node before its children, children by their names' bytes. It is not the
/// order of the texts: `/a/b` comes before `/a-b`.
pub fn walk_order(one: &str, other: &str) -> Ordering {
    one.split('/').cmp(other.split('/'))
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'p> {
    /// A node that only holds others, see [`containers`]; also `/cluster`.
    Container,
    /// [`CONTROLLER`].
    Controller,
    /// [`CONTROLLER_EPOCH`].
    ControllerEpoch,
    /// [`MIGRATION`].
    Migration,
    /// [`CLUSTER_ID`].
    ClusterId,
    /// `/brokers/ids/N`.
    BrokerId(&'p str),
    /// `/brokers/topics/T`.
    Topic(&'p str),
    /// `/brokers/topics/T/partitions`.
    Partitions(&'p str),
    /// `/brokers/topics/T/partitions/P`.
    Partition(&'p str, PartitionId),
    /// `/brokers/topics/T/partitions/P/state`.
    PartitionState(&'p str, PartitionId),
    /// `/config/topics/T`.
    TopicConfig(&'p str),
    /// `/config/brokers/N`.
    BrokerConfig(&'p str),
    /// `/config/users/U`.
    User(&'p str),
    /// `/config/users/U/clients`.
    UserClients(&'p str),
    /// `/config/users/U/clients/C`.
    UserClient(&'p str, &'p str),
    /// `/config/clients/C`.
    Client(&'p str),
    /// `/config/ips/I`.
    Ip(&'p str),
    /// `/config/changes/config_change_…`.
    ConfigChange,
    /// `/admin/delete_topics/T`.
    PendingDeletion(&'p str),
    /// `/admin/reassign_partitions`: a request of an old tool. Running reassignments are in the topics.
    Reassignment,
    /// `/admin/preferred_replica_election`: a request of an old tool.
    PreferredElection,
    /// `/isr_change_notification/…`: from a leader to a ZooKeeper-mode controller.
    IsrChange,
    /// `/log_dir_event_notification/…`: from a broker to a ZooKeeper-mode controller.
    LogDirEvent,
    /// [`PRODUCER_IDS`].
    ProducerIds,
    /// One access control resource.
    Acl(PatternType, ResourceType, &'p str),
    /// `/kafka-acl-changes/…` or `/kafka-acl-extended-changes/…`.
    AclChange,
    /// `/delegation_token/tokens/<id>`.
    Token(&'p str),
    /// `/delegation_token/token_changes/…`.
    TokenChange,
    /// [`FEATURE`].
    Feature,
    /// Anything below `/consumers`, of consumers before 0.9.
    OldConsumer,
    /// Nothing that Kafka puts there.
    Unknown,
}

impl<'p> Place<'p> {
    /// What stands at `path`. Total: a path that is not Kafka's is [`Place::Unknown`].
    pub fn of(path: &'p str) -> Self {
        let Some(path) = path.strip_prefix('/') else { return Self::Unknown };
        // The longest path of Kafka's has six parts.
        let mut parts = [""; 7];
        let mut count = 0;
        for part in path.split('/') {
            match parts.get_mut(count) {
                Some(slot) if !part.is_empty() => *slot = part,
                // Old consumers put offsets deeper than anything else.
                None if path.starts_with("consumers/") => return Self::OldConsumer,
                _ => return Self::Unknown,
            }
            count += 1;
        }
        Self::of_parts(parts.get(..count).unwrap_or_default())
    }

    fn of_parts(parts: &[&'p str]) -> Self {
        match *parts {
            ["admin" | "brokers" | "cluster" | "config" | "consumers" | "delegation_token"]
            | ["kafka-acl" | "kafka-acl-changes" | "kafka-acl-extended" | "kafka-acl-extended-changes"]
            | ["isr_change_notification" | "log_dir_event_notification"]
            | ["admin", "delete_topics"]
            | ["brokers", "ids" | "seqid" | "topics"]
            | ["config", "brokers" | "changes" | "clients" | "ips" | "topics" | "users"]
            | ["delegation_token", "tokens" | "token_changes"]
            | ["kafka-acl-extended", "prefixed"] => Self::Container,
            ["controller"] => Self::Controller,
            ["controller_epoch"] => Self::ControllerEpoch,
            ["migration"] => Self::Migration,
            ["feature"] => Self::Feature,
            ["latest_producer_id_block"] => Self::ProducerIds,
            ["cluster", "id"] => Self::ClusterId,
            ["admin", "reassign_partitions"] => Self::Reassignment,
            ["admin", "preferred_replica_election"] => Self::PreferredElection,
            ["admin", "delete_topics", topic] => Self::PendingDeletion(topic),
            ["brokers", "ids", id] => Self::BrokerId(id),
            ["brokers", "topics", ref topic @ ..] => Self::of_topic(topic),
            ["config", "topics", topic] => Self::TopicConfig(topic),
            ["config", "brokers", broker] => Self::BrokerConfig(broker),
            ["config", "users", user] => Self::User(user),
            ["config", "users", user, "clients"] => Self::UserClients(user),
            ["config", "users", user, "clients", client] => Self::UserClient(user, client),
            ["config", "clients", client] => Self::Client(client),
            ["config", "ips", ip] => Self::Ip(ip),
            ["config", "changes", _] => Self::ConfigChange,
            ["isr_change_notification", _] => Self::IsrChange,
            ["log_dir_event_notification", _] => Self::LogDirEvent,
            ["kafka-acl", ref acl @ ..] => Self::of_acl(PatternType::Literal, acl),
            ["kafka-acl-extended", "prefixed", ref acl @ ..] => Self::of_acl(PatternType::Prefixed, acl),
            ["kafka-acl-changes" | "kafka-acl-extended-changes", _] => Self::AclChange,
            ["delegation_token", "tokens", id] => Self::Token(id),
            ["delegation_token", "token_changes", _] => Self::TokenChange,
            ["consumers", ..] => Self::OldConsumer,
            _ => Self::Unknown,
        }
    }

    fn of_topic(parts: &[&'p str]) -> Self {
        let number = |text: &str| {
            let id = text.parse().ok().map(PartitionId)?;
            (id.0 >= 0 && id.to_string() == text).then_some(id)
        };
        match *parts {
            [topic] => Self::Topic(topic),
            [topic, "partitions"] => Self::Partitions(topic),
            [topic, "partitions", partition] => {
                number(partition).map_or(Self::Unknown, |id| Self::Partition(topic, id))
            }
            [topic, "partitions", partition, "state"] => {
                number(partition).map_or(Self::Unknown, |id| Self::PartitionState(topic, id))
            }
            _ => Self::Unknown,
        }
    }

    fn of_acl(pattern: PatternType, parts: &[&'p str]) -> Self {
        let resource = parts.first().and_then(|directory| ResourceType::from_directory(directory));
        match (resource, parts) {
            (Some(_), [_]) => Self::Container,
            (Some(resource), [_, name]) => Self::Acl(pattern, resource, name),
            _ => Self::Unknown,
        }
    }

    /// The family that the place belongs to.
    pub fn family(&self) -> Family {
        match self {
            Self::Container => Family::Containers,
            Self::Controller | Self::ControllerEpoch => Family::Controller,
            Self::Migration => Family::Migration,
            Self::ClusterId => Family::ClusterId,
            Self::BrokerId(_) => Family::BrokerIds,
            Self::Topic(_) | Self::Partitions(_) | Self::Partition(..) => Family::Topics,
            Self::PartitionState(..) => Family::PartitionStates,
            Self::TopicConfig(_) => Family::TopicConfigs,
            Self::BrokerConfig(_) => Family::BrokerConfigs,
            Self::User(_) | Self::UserClients(_) | Self::UserClient(..) => Family::Users,
            Self::Client(_) => Family::Clients,
            Self::Ip(_) => Family::Ips,
            Self::ConfigChange | Self::AclChange | Self::TokenChange => Family::Notifications,
            Self::PendingDeletion(_) => Family::PendingDeletions,
            Self::Reassignment | Self::PreferredElection => Family::AdminRequests,
            Self::IsrChange | Self::LogDirEvent => Family::BrokerEvents,
            Self::ProducerIds => Family::ProducerIds,
            Self::Acl(..) => Family::Acls,
            Self::Token(_) => Family::DelegationTokens,
            Self::Feature => Family::Features,
            Self::OldConsumer => Family::OldConsumers,
            Self::Unknown => Family::Unknown,
        }
    }
}

/// Znodes that are treated alike. The names in reports are those of `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Nodes that only hold others.
    Containers,
    /// Topics with their assignments.
    Topics,
    /// Leaders and ISRs.
    PartitionStates,
    /// Topic configs.
    TopicConfigs,
    /// Broker configs.
    BrokerConfigs,
    /// Quotas and credentials of users, quotas of users with client ids.
    Users,
    /// Quotas of client ids.
    Clients,
    /// Quotas of IP addresses.
    Ips,
    /// The producer id block.
    ProducerIds,
    /// Access control entries.
    Acls,
    /// Delegation tokens.
    DelegationTokens,
    /// Topics being deleted. There are none once ZooKeeper is projected.
    PendingDeletions,
    /// Who is the controller.
    Controller,
    /// The marker.
    Migration,
    /// The cluster's id.
    ClusterId,
    /// Running brokers.
    BrokerIds,
    /// Change notifications to brokers.
    Notifications,
    /// Notifications from brokers to a ZooKeeper-mode controller.
    BrokerEvents,
    /// Requests of old tools.
    AdminRequests,
    /// Finalized features.
    Features,
    /// Consumers before 0.9.
    OldConsumers,
    /// Not Kafka's.
    Unknown,
}

impl Family {
    /// Whether the family's znodes are a function of the image. The others are left alone and compared with nothing.
    pub fn is_projected(self) -> bool {
        matches!(
            self,
            Self::Containers
                | Self::Topics
                | Self::PartitionStates
                | Self::TopicConfigs
                | Self::BrokerConfigs
                | Self::Users
                | Self::Clients
                | Self::Ips
                | Self::ProducerIds
                | Self::Acls
                | Self::DelegationTokens
                | Self::PendingDeletions
        )
    }

    /// The family's name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Topics => "topics",
            Self::PartitionStates => "partition-states",
            Self::TopicConfigs => "topic-configs",
            Self::BrokerConfigs => "broker-configs",
            Self::Users => "users",
            Self::Clients => "clients",
            Self::Ips => "ips",
            Self::ProducerIds => "producer-ids",
            Self::Acls => "acls",
            Self::DelegationTokens => "delegation-tokens",
            Self::PendingDeletions => "pending-deletions",
            Self::Controller => "controller",
            Self::Migration => "migration",
            Self::ClusterId => "cluster-id",
            Self::BrokerIds => "broker-ids",
            Self::Notifications => "notifications",
            Self::BrokerEvents => "broker-events",
            Self::AdminRequests => "admin-requests",
            Self::Features => "features",
            Self::OldConsumers => "old-consumers",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_path_of_kafka_has_its_place() {
        use Place::*;
        let cases = [
            ("/controller", Controller),
            ("/controller_epoch", ControllerEpoch),
            ("/migration", Migration),
            ("/cluster", Container),
            ("/cluster/id", ClusterId),
            ("/brokers/ids/1", BrokerId("1")),
            ("/brokers/seqid", Container),
            ("/brokers/topics/t", Topic("t")),
            ("/brokers/topics/t/partitions", Partitions("t")),
            ("/brokers/topics/partitions/partitions/0/state", PartitionState("partitions", PartitionId(0))),
            ("/brokers/topics/t/partitions/12", Partition("t", PartitionId(12))),
            ("/brokers/topics/t/partitions/x", Unknown),
            ("/brokers/topics/t/partitions/-1/state", Unknown),
            ("/brokers/topics/t/partitions/007", Unknown),
            ("/brokers/topics/t/other", Unknown),
            ("/config/topics/t", TopicConfig("t")),
            ("/config/topics/t/u", Unknown),
            ("/config/brokers/<default>", BrokerConfig("<default>")),
            ("/config/users/u", User("u")),
            ("/config/users/u/clients", UserClients("u")),
            ("/config/users/clients/clients/c", UserClient("clients", "c")),
            ("/config/clients/c", Client("c")),
            ("/config/ips/i", Ip("i")),
            ("/config/changes/config_change_0000000001", ConfigChange),
            ("/config/client-metrics", Unknown),
            ("/admin/delete_topics/t", PendingDeletion("t")),
            ("/admin/reassign_partitions", Reassignment),
            ("/admin/preferred_replica_election", PreferredElection),
            ("/isr_change_notification/isr_change_0000000001", IsrChange),
            ("/log_dir_event_notification/log_dir_event_0000000001", LogDirEvent),
            ("/latest_producer_id_block", ProducerIds),
            ("/kafka-acl/Topic", Container),
            ("/kafka-acl/Topic/a", Acl(PatternType::Literal, ResourceType::Topic, "a")),
            ("/kafka-acl/topic/a", Unknown),
            ("/kafka-acl/Topic/a/b", Unknown),
            ("/kafka-acl-extended/prefixed/User/a", Acl(PatternType::Prefixed, ResourceType::User, "a")),
            ("/kafka-acl-extended/PREFIXED/User/a", Unknown),
            ("/kafka-acl-changes/acl_changes_0000000001", AclChange),
            ("/kafka-acl-extended-changes/acl_changes_0000000001", AclChange),
            ("/delegation_token/tokens/t", Token("t")),
            ("/delegation_token/token_changes/token_change_0000000001", TokenChange),
            ("/feature", Feature),
            ("/consumers", Container),
            ("/consumers/g/offsets/t/0", OldConsumer),
            ("/consumers/a/b/c/d/e/f/g/h", OldConsumer),
            ("/zookeeper/quota", Unknown),
            ("/", Unknown),
            ("", Unknown),
            ("//controller", Unknown),
            ("/controller/", Unknown),
            ("/a/b/c/d/e/f/g/h/i", Unknown),
        ];
        for (path, place) in cases {
            assert_eq!(Place::of(path), place, "{path}");
        }
    }

    #[test]
    fn containers_are_recognised_and_in_the_order_of_a_walk() {
        let paths: Vec<String> = containers().collect();
        for path in &paths {
            let expected = if path == PRODUCER_IDS { Place::ProducerIds } else { Place::Container };
            assert_eq!(Place::of(path), expected, "{path}");
        }
        assert!(paths.is_sorted_by(|a, b| walk_order(a, b) == Ordering::Less), "{paths:?}");
        assert!(ROOTS.is_sorted_by(|a, b| walk_order(a, b) == Ordering::Less));
        for path in &paths {
            assert!(ROOTS.iter().any(|root| path == root || path.starts_with(&format!("{root}/"))), "{path}");
        }
    }

    #[test]
    fn a_walk_visits_children_before_the_next_sibling() {
        assert_eq!(walk_order("/a/b", "/a-b"), Ordering::Less);
        assert_eq!(walk_order("/a", "/a/b"), Ordering::Less);
        assert_eq!(walk_order("/a/b", "/a/b"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn any_text_has_a_place(path: String) {
            let _ = Place::of(&path).family();
        }
    }
}
