//! Znodes that are right and that no Kafka of today would write so: by hand, or by somebody else's tool.

use super::content::Znode;

/// Parents come before children; the seed has made all others.
pub(super) const ODD: &[Znode] = &[
    (
        "/config/users/odd-numbers",
        r#"{"version":1,"config":{"producer_byte_rate":" 1024 ","consumer_byte_rate":"1e3","request_percentage":".5","controller_mutation_rate":"12d"}}"#,
        "numbers as Java's parser takes them: blanks around, an exponent, no digit before the point, a type behind",
    ),
    (
        "/config/clients/odd-numbers",
        r#"{"version":1,"config":{"producer_byte_rate":"+7","consumer_byte_rate":"5.","request_percentage":"1.0E-3f"}}"#,
        "a sign, no digit behind the point, another type behind",
    ),
    (
        "/config/clients/great-numbers",
        r#"{"version":1,"config":{"producer_byte_rate":"9223372036854775807","consumer_byte_rate":"1.7976931348623157E308","request_percentage":"4.9E-324"}}"#,
        "the largest integer, which no double holds, the largest double and the smallest",
    ),
    (
        "/config/users/unknown-quota",
        r#"{"version":1,"config":{"producer_byte_rate":"1","some_other_rate":"7"}}"#,
        "a quota that nobody knows",
    ),
    (
        "/config/clients/strange-numbers",
        r#"{"version":1,"config":{"producer_byte_rate":"Infinity","consumer_byte_rate":"-1","request_percentage":"-0.0"}}"#,
        "numbers that no tool writes, and that Java reads",
    ),
    ("/config/users/%3Cdefault%3E/clients", "", ""),
    (
        "/config/users/%3Cdefault%3E/clients/%3Cdefault%3E",
        r#"{"version":1,"config":{"request_percentage":"3"}}"#,
        "a client who is called <default>, of a user who is called so too",
    ),
    ("/config/users/<default>/clients", "", ""),
    (
        "/config/users/<default>/clients/<default>",
        r#"{"version":1,"config":{"request_percentage":"1"}}"#,
        "all clients of all users",
    ),
    (
        "/config/users/<default>/clients/one",
        r#"{"version":1,"config":{"request_percentage":"2"}}"#,
        "one client of all users",
    ),
    (
        "/config/topics/odd-json",
        "{ \"config\" : {\"retention.ms\":\"1\",\n\t\"retention.ms\":\"2\",\"x.\\u006Eame\":\"\\uD83D\\uDE00 \\/ \\t\"},\"version\":1 }",
        "a key twice, escapes where none are needed, a character of two halves, blanks",
    ),
    (
        "/brokers/topics/odd-json",
        "{ \"topic_id\":\"b2RkLWpzb24tdG9waWMtMQ\",\n\"partitions\":{\"10\":[1,2],\"2\":[2]},\"version\":3,\"version\":3,\
         \"adding_replicas\":{},\"removing_replicas\":{} }",
        "numbers of partitions with gaps and out of order, replicas of different number, a key twice",
    ),
    ("/brokers/topics/odd-json/partitions", "", ""),
    ("/brokers/topics/odd-json/partitions/2", "", ""),
    (
        "/brokers/topics/odd-json/partitions/2/state",
        r#"{"controller_epoch":3,"leader":2,"version":1,"leader_epoch":5,"isr":[2],"leader_recovery_state":0}"#,
        "the recovery state is there and 0",
    ),
    ("/brokers/topics/odd-json/partitions/10", "", ""),
    (
        "/brokers/topics/odd-json/partitions/10/state",
        r#"{"controller_epoch":3,"leader":-1,"version":1,"leader_epoch":5,"isr":[]}"#,
        "no leader, and nobody is in sync",
    ),
    ("/brokers/topics/odd-json/partitions/77", "", "a partition that the topic does not have"),
    (
        "/brokers/topics/odd-json/partitions/77/state",
        r#"{"controller_epoch":3,"leader":1,"version":1,"leader_epoch":5,"isr":[1]}"#,
        "",
    ),
    (
        "/brokers/topics/no-partitions",
        r#"{"version":3,"topic_id":"bm8tcGFydGl0aW9ucy0wMQ","partitions":{},"adding_replicas":{},"removing_replicas":{}}"#,
        "a topic without partitions, and without a znode for its configs",
    ),
    (
        "/config/brokers/99",
        r#"{"version":1,"config":{"log.cleaner.threads":"3"}}"#,
        "settings of a broker that is not there",
    ),
    (
        "/kafka-acl/Topic/odd-entries",
        r#"{"acls":[{"principal":"User:a","permissionType":"Allow","operation":"Read","host":"*"},{"host":"*","operation":"Read","permissionType":"Allow","principal":"User:a"},{"principal":"User:b","permissionType":"Allow","operation":"Write","host":"*","comment":7}],"version":1}"#,
        "an entry twice, and a key that nobody knows",
    ),
    ("/kafka-acl/Group/no-entries", r#"{"version":1,"acls":[]}"#, "a resource without entries"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_znode_stands_twice_and_each_is_json_or_empty() {
        let mut paths: Vec<_> = ODD.iter().map(|(path, ..)| path).collect();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), ODD.len());
        for (path, data, _) in ODD {
            assert!(data.is_empty() || serde_json::from_str::<serde_json::Value>(data).is_ok(), "{path}");
        }
    }
}
