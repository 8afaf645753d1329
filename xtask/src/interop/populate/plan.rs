//! What is made, decided beforehand.

use std::collections::BTreeMap;

use super::PopulateOptions;
use super::calls::WantedToken;
use super::made::{Grant, MadeBrokerConfig, MadeQuota, MadeTopic, MadeUser, Pattern, Populated, QuotaEntity, Resource};
use crate::kafka::Release;

/// A name that must be encoded wherever it becomes a part of a path.
const AWKWARD: &str = "a b/c@d";

/// The topic that transactions write to.
pub(super) const TRANSACTIONS: &str = "transactions";

/// The topic whose leader need not have been in sync.
pub(in crate::interop) const UNCLEAN_TOPIC: &str = "audit-log";

/// A broker that is not there.
const ABSENT_BROKER: i32 = 7;

pub(super) fn plan(release: Release, brokers: &[i32], options: &PopulateOptions) -> Populated {
    let orders: Vec<String> = (0..60).map(|n| format!("order {n}: ünïcode ✓")).collect();
    let payments: Vec<String> = (0..20).map(|n| format!("payment={n}")).collect();
    Populated {
        topics: topics(brokers, options),
        messages: BTreeMap::from([("orders".to_owned(), orders), ("payments.v1_eu".to_owned(), payments)]),
        groups: [("orders", "billing"), ("payments.v1_eu", "audit group/1")]
            .map(|(topic, group)| (topic.to_owned(), group.to_owned()))
            .into(),
        users: [("admin", (4096, 4096)), ("alice", (8192, 4096)), ("bob", (4096, 8192)), (AWKWARD, (4096, 4096))]
            .map(|(name, iterations)| MadeUser {
                name: name.to_owned(),
                password: format!("secret-of-{}", name.len()),
                iterations,
            })
            .into(),
        broker_configs: broker_configs(brokers, options),
        quotas: quotas(release),
        former: vec![quota(QuotaEntity::Client(Some("former".into())), &[("producer_byte_rate", 1.0)])],
        grants: grants(release),
        tokens: Vec::new(),
        transactional_ids: vec!["tx-1".into(), "tx-2".into()],
    }
}

/// Replicas of each partition, spread over the brokers.
pub(super) fn spread(brokers: &[i32], partitions: i32, replicas: usize) -> Vec<Vec<i32>> {
    let replicas = replicas.min(brokers.len());
    let first = (0..brokers.len()).cycle().take(usize::try_from(partitions).unwrap_or_default());
    first.map(|first| brokers.iter().cycle().skip(first).take(replicas).copied().collect()).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn topics(brokers: &[i32], options: &PopulateOptions) -> Vec<MadeTopic> {
    let topic = |name: &str, partitions: i32, replicas, configs: &[(&str, &str)]| {
        let replicas = spread(brokers, partitions, replicas);
        MadeTopic { name: name.to_owned(), created_with: replicas.len(), replicas, configs: texts(configs) }
    };
    let orders = topic("orders", options.partitions, 2, &[]);
    vec![
        MadeTopic { created_with: orders.replicas.len().div_ceil(2), ..orders },
        topic("payments.v1_eu", 3, 3, &[("cleanup.policy", "compact,delete"), ("retention.ms", "86400000")]),
        topic(
            UNCLEAN_TOPIC,
            2,
            3,
            &[
                ("compression.type", "gzip"),
                ("max.message.bytes", "200000"),
                ("message.format.version", "2.3-IV1"),
                ("message.timestamp.type", "LogAppendTime"),
                ("min.insync.replicas", "2"),
                ("segment.bytes", "1048576"),
                ("unclean.leader.election.enable", "true"),
            ],
        ),
        topic(TRANSACTIONS, 2, 2, &[]),
    ]
}

fn broker_configs(brokers: &[i32], options: &PopulateOptions) -> Vec<MadeBrokerConfig> {
    let jaas = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="x" password="y=1,z";"#;
    let setting = |broker, key: &str, value: &str| MadeBrokerConfig { broker, key: key.into(), value: value.into() };
    let (first, last) = (brokers.first().copied(), brokers.last().copied());
    let mut configs = vec![
        setting(None, "log.cleaner.threads", "2"),
        setting(None, "message.max.bytes", "2000000"),
        setting(first, "log.cleaner.threads", "1"),
        setting(first, "listener.name.sasl_plaintext.ssl.keystore.password", "keystore's secret, with = and ,"),
        setting(first, "listener.name.sasl_plaintext.ssl.key.password", "key's secret"),
        setting(last, "listener.name.sasl_plaintext.plain.sasl.jaas.config", jaas),
        setting(last, "leader.replication.throttled.rate", "100000000"),
    ];
    if options.absent_broker {
        let absent = Some(ABSENT_BROKER);
        configs.push(setting(absent, "listener.name.external.ssl.key.password", "secret of the absent"));
        configs.push(setting(absent, "background.threads", "11"));
    }
    configs
}

fn quota(entity: QuotaEntity, values: &[(&str, f64)]) -> MadeQuota {
    MadeQuota { entity, values: values.iter().map(|&(key, value)| (key.to_owned(), value)).collect() }
}

fn quotas(release: Release) -> Vec<MadeQuota> {
    use QuotaEntity::{Client, Ip, User, UserClient};
    let some = |name: &str| Some(name.to_owned());
    let mut quotas = vec![
        quota(User(some("alice")), &[("producer_byte_rate", 1_000_000.0), ("request_percentage", 58.58)]),
        quota(User(some("carol 100%*")), &[("consumer_byte_rate", 2_000_000.0)]),
        quota(User(None), &[("producer_byte_rate", 30_000_000.0), ("consumer_byte_rate", 40_000_000.0)]),
        quota(Client(some("client one/+~")), &[("request_percentage", 100.0)]),
        quota(Client(None), &[("producer_byte_rate", 12_345_678_901.0)]),
        quota(UserClient(some("alice"), some(AWKWARD)), &[("consumer_byte_rate", 1024.0)]),
        quota(UserClient(some("dave"), None), &[("producer_byte_rate", 2048.0)]),
        quota(UserClient(None, some("app")), &[("producer_byte_rate", 4096.0)]),
        quota(UserClient(None, None), &[("request_percentage", 0.5)]),
    ];
    if release != Release::V2_4 {
        quotas.push(quota(User(some("erin")), &[("controller_mutation_rate", 10.0)]));
        quotas.push(quota(Ip(some("127.0.0.1")), &[("connection_creation_rate", 1000.0)]));
        quotas.push(quota(Ip(None), &[("connection_creation_rate", 2000.0)]));
    }
    quotas
}

fn grants(release: Release) -> Vec<Grant> {
    use Resource::{Cluster, DelegationToken, Group, Topic, TransactionalId, User};
    let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let named = |pairs: &[(Resource, &str)]| pairs.iter().map(|&(kind, name)| (kind, name.to_owned())).collect();
    let nobody = (Vec::new(), Vec::new());
    let literal = |resources, operations: &[&str], allowed: &str| Grant {
        resources: named(resources),
        pattern: Pattern::Literal,
        operations: list(operations),
        allow: (list(&[allowed]), list(&["*"])),
        deny: nobody.clone(),
    };
    let topics_and_groups = [(Topic, "orders"), (Topic, "payments.v1_eu"), (Group, "billing"), (Group, "group: 1 %")];
    let prefixes = [(Topic, "pay"), (Group, "app-"), (TransactionalId, "tx-")];
    let all_names = [(Topic, "*"), (Group, "*"), (TransactionalId, "*")];
    let of_topics = ["Write", "Create", "Delete", "Alter", "DescribeConfigs", "AlterConfigs"];
    let of_the_cluster =
        ["Create", "ClusterAction", "DescribeConfigs", "AlterConfigs", "IdempotentWrite", "Alter", "Describe"];
    let mut grants = vec![
        Grant {
            allow: (list(&["User:alice", "User:bob"]), list(&["127.0.0.1", "10.1.2.3"])),
            deny: (list(&["User:mallory"]), list(&["*"])),
            ..literal(&topics_and_groups, &["Read", "Describe"], "")
        },
        Grant { pattern: Pattern::Prefixed, ..literal(&prefixes, &["Describe", "All"], "User:CN=writer,OU=a:b,O=c d") },
        literal(&all_names, &["Describe"], "User:*"),
        literal(&[(Topic, "audit-log")], &of_topics, "User:alice"),
        Grant {
            deny: (list(&["User:mallory"]), list(&["10.6.6.6"])),
            ..literal(&[(Cluster, "kafka-cluster")], &of_the_cluster, "User:admin")
        },
        literal(&[(DelegationToken, "some-token")], &["Describe"], "User:bob"),
    ];
    if release != Release::V2_4 {
        grants.push(literal(&[(User, "User:bob")], &["CreateTokens", "DescribeTokens"], "User:alice"));
    }
    grants
}

/// The delegation tokens that are asked for.
pub(super) fn tokens(release: Release) -> Vec<WantedToken> {
    // For somebody else since Kafka 3.3.
    let owner = (release != Release::V2_4).then_some("User:bob");
    vec![
        WantedToken { requester: "alice", owner: None, renewers: &["User:bob", "User:a b/c@d"], renewed: true },
        WantedToken { requester: "admin", owner, renewers: &[], renewed: false },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_spread_over_the_brokers_there_are() {
        assert_eq!(spread(&[0, 1, 2], 4, 2), [[0, 1], [1, 2], [2, 0], [0, 1]]);
        assert_eq!(spread(&[5], 2, 3), [[5], [5]]);
        assert!(spread(&[], 0, 3).is_empty());
    }

    #[test]
    fn what_the_old_release_does_not_know_is_not_asked_of_it() {
        let made = |release| plan(release, &[0, 1, 2], &PopulateOptions::default());
        let (old, new) = (made(Release::V2_4), made(Release::V3_9));
        let ips =
            |made: &Populated| made.quotas.iter().filter(|quota| matches!(quota.entity, QuotaEntity::Ip(_))).count();
        assert_eq!([&old, &new].map(ips), [0, 2]);
        let on_users = |made: &Populated| made.acl_entries().iter().any(|entry| entry.resource == Resource::User);
        assert_eq!([&old, &new].map(on_users), [false, true]);
        let entries = new.acl_entries();
        assert!(entries.windows(2).all(|pair| pair[0] != pair[1]), "no entry is asked for twice");
    }
}
