//! Compares what is in ZooKeeper with what should be there: by meaning, never by bytes.
//!
//! What may differ without meaning anything is *masked*:
//!
//! | family | masked |
//! | --- | --- |
//! | all | order of keys, unknown keys, the version of the format |
//! | containers, topics' inner nodes | data |
//! | partition states | `controller_epoch` between 1 and the claimed one, both inclusive; a version above the epoch |
//! | configs | the encryption of passwords; passwords altogether where no secret is set |
//! | quotas | the spelling of numbers; whether a node that only holds client ids has an empty config or no data |
//! | producer ids | the block's broker and first id |
//! | access control entries | their order, and how words are spelled |
//!
//! Passwords that the secret does not decrypt are a difference: they can't be compared.
//!
//! A partition's version below its epoch is a difference. A version above it can't be mended by writing: it is masked, and
//! reported as a warning.

mod meaning;
mod redact;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use metadata_core::id::ZkControllerEpoch;
use metadata_core::projection::{Comparison, Difference, FamilyCounts};

pub(crate) use meaning::{Meaning, meaning};

use crate::project::{ExpectedZnode, ProjectionContext};
use crate::znode::Znode;
use crate::znode::password::PasswordSecret;
use crate::znode::path::{Family, Place, walk_order};

/// What a comparison depends on.
#[derive(Debug, Clone)]
pub struct CompareContext {
    /// The claimed ZooKeeper controller epoch: the highest that a partition state may have.
    pub zk_epoch: ZkControllerEpoch,
    /// `password.encoder.*`, to compare passwords by what they say.
    pub secret: Option<PasswordSecret>,
}

impl From<&ProjectionContext> for CompareContext {
    fn from(context: &ProjectionContext) -> Self {
        Self { zk_epoch: context.zk_epoch, secret: context.secret.clone() }
    }
}

/// How many warnings, and how many unknown paths, are listed.
const LISTED_MAX: usize = 1000;

/// Compares znode by znode and counts.
///
/// Hand it every path that is expected or there, once; [`compare_trees`] does so for two walks.
#[derive(Debug)]
pub struct Comparer {
    context: CompareContext,
    differences_max: usize,
    families: BTreeMap<Family, FamilyCounts>,
    comparison: Comparison,
    warnings: Vec<String>,
}

impl Comparer {
    /// A comparer that lists at most `differences_max` differences; all are counted.
    pub fn new(context: CompareContext, differences_max: usize) -> Self {
        Self {
            context,
            differences_max,
            families: BTreeMap::new(),
            comparison: Comparison::default(),
            warnings: Vec::new(),
        }
    }

    /// Compares what should be at `path` with what is there.
    pub fn znode(&mut self, path: &str, oracle: Option<&ExpectedZnode>, candidate: Option<&Znode>) {
        let place = Place::of(path);
        let family = place.family();
        let counts = self.families.entry(family).or_default();
        if !family.is_projected() {
            counts.ignored += 1;
            if family == Family::Unknown && self.comparison.unknown.len() < LISTED_MAX {
                self.comparison.unknown.push(path.to_owned());
            }
            return;
        }
        counts.compared += 1;
        let equal = match (oracle, candidate) {
            (Some(oracle), Some(candidate)) => match meaning(&place, oracle, candidate, &self.context) {
                Meaning::Same { masked } => {
                    counts.masked += u64::from(masked);
                    true
                }
                Meaning::VersionAhead { version, epoch } => {
                    counts.masked += 1;
                    let warning = format!(
                        "{path} has version {version}, above its partition epoch {epoch}: restart the brokers of this \
                         partition after a rollback"
                    );
                    if self.warnings.len() < LISTED_MAX {
                        self.warnings.push(warning);
                    }
                    true
                }
                Meaning::VersionBehind { .. }
                | Meaning::Undecryptable(_)
                | Meaning::ProducerIdsAhead { .. }
                | Meaning::Different
                | Meaning::Malformed(_) => false,
            },
            // The node of a container that Kafka would make on its next start, too.
            (None, Some(_)) if matches!(place, Place::Container) => true,
            (None, None) => true,
            _ => false,
        };
        if !equal {
            counts.divergent += 1;
            if self.comparison.differences.len() < self.differences_max {
                let (oracle, candidate) = redact::sides(&place, oracle, candidate, &self.context);
                self.comparison.differences.push(Difference { entity: path.to_owned(), oracle, candidate });
            }
        }
    }

    /// The result, and what an operator must know before going back to ZooKeeper, a sentence each.
    pub fn finish(mut self) -> (Comparison, Vec<String>) {
        let families = self.families.into_iter().map(|(family, counts)| (family.to_string(), counts));
        self.comparison.families = families.collect();
        (self.comparison, self.warnings)
    }
}

/// Compares two trees, each in the order of a walk ([`walk_order`]).
pub fn compare_trees(
    oracle: impl IntoIterator<Item = ExpectedZnode>,
    candidate: impl IntoIterator<Item = (String, Znode)>,
    comparer: &mut Comparer,
) {
    let mut oracle = oracle.into_iter().peekable();
    let mut candidate = candidate.into_iter().peekable();
    loop {
        let order = match (oracle.peek(), candidate.peek()) {
            (Some(expected), Some((path, _))) => walk_order(&expected.path, path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let expected = if order.is_le() { oracle.next() } else { None };
        let found = if order.is_ge() { candidate.next() } else { None };
        match (&expected, &found) {
            (_, Some((path, znode))) => comparer.znode(path, expected.as_ref(), Some(znode)),
            (Some(expected), None) => comparer.znode(&expected.path, Some(expected), None),
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use metadata_core::id::PartitionEpoch;

    use super::*;
    use crate::znode::password;

    const STATE: &str = "/brokers/topics/t/partitions/0/state";

    fn context() -> CompareContext {
        CompareContext { zk_epoch: ZkControllerEpoch(9), secret: Some(PasswordSecret::new("encoder-secret")) }
    }

    fn expected(path: &str, data: &str) -> ExpectedZnode {
        let data = (!data.is_empty()).then(|| Bytes::from(data.to_owned()));
        let partition_epoch = path.ends_with("/state").then_some(PartitionEpoch(5));
        ExpectedZnode { path: path.into(), data, partition_epoch }
    }

    fn found(data: &str, version: i32) -> Znode {
        if data.is_empty() { Znode::container() } else { Znode::new(data.to_owned(), version.into()) }
    }

    /// Compares one znode: how often it was masked and divergent, and the result.
    fn compare(path: &str, oracle: &str, candidate: Option<(&str, i32)>) -> (u64, u64, Comparison, Vec<String>) {
        let mut comparer = Comparer::new(context(), 10);
        let candidate = candidate.map(|(data, version)| found(data, version));
        comparer.znode(path, Some(&expected(path, oracle)), candidate.as_ref());
        let (comparison, warnings) = comparer.finish();
        let total = comparison.total();
        assert_eq!((total.compared, total.ignored), (1, 0));
        (total.masked, total.divergent, comparison, warnings)
    }

    fn config(properties: &str) -> String {
        format!(r#"{{"version":1,"config":{{{properties}}}}}"#)
    }

    #[test]
    fn what_is_masked_is_what_the_table_says() {
        let state =
            |epoch: i32| format!(r#"{{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":{epoch},"isr":[1]}}"#);
        let secret = PasswordSecret::new("encoder-secret");
        let encoded = |password: &str, place: &str| {
            config(&format!(r#""ssl.key.password":"{}""#, password::encode(password, place, "k", &secret)))
        };
        let block = |broker: i32, first: i32, last: i32| {
            format!(r#"{{"version":1,"broker":{broker},"block_start":"{first}","block_end":"{last}"}}"#)
        };
        let acl = |operation: &str| {
            format!(
                r#"{{"version":1,"acls":[{{"principal":"User:a","permissionType":"Allow","operation":"{operation}","host":"*"}}]}}"#
            )
        };
        let topic = r#"{"version":3,"topic_id":"AAAAAAAAAAEAAAAAAAAABw","partitions":{"0":[1]},"adding_replicas":{},"removing_replicas":{}}"#;
        let old_topic = r#"{"version":1,"topic_id":"AAAAAAAAAAEAAAAAAAAABw","partitions":{"0":[1]}}"#;
        let credential = |order: &str| config(&format!(r#""SCRAM-SHA-256":"{order}""#));
        let same_credential = credential("iterations=1,salt=YQ,stored_key=Yg==,server_key=Yw==");
        let credential = credential("salt=YQ==,stored_key=Yg==,server_key=Yw==,iterations=1");
        // Path, what should be there, what is there, masked, divergent.
        let cases: Vec<(&str, String, String, u64, u64)> = vec![
            ("/brokers/topics/t", topic.into(), topic.into(), 0, 0),
            ("/brokers/topics/t", topic.into(), old_topic.into(), 1, 0),
            ("/brokers/topics/t", topic.into(), topic.replace("[1]", "[2]"), 0, 1),
            ("/brokers/topics/t", topic.into(), topic.replace("ABw", "ABg"), 0, 1),
            ("/brokers/topics/t/partitions", String::new(), "junk".into(), 1, 0),
            (STATE, state(9), state(9), 0, 0),
            (STATE, state(9), state(1), 1, 0),
            (STATE, state(9), state(10), 0, 1),
            (STATE, state(9), state(0), 0, 1),
            (STATE, state(9), state(9).replace("\"leader\":1", "\"leader\":2"), 0, 1),
            ("/config/topics/t", config(r#""a":"1""#), r#"{"config":{"a":"1"},"x":0}"#.into(), 1, 0),
            ("/config/topics/t", config(r#""a":"1""#), config(r#""a":"2""#), 0, 1),
            ("/config/topics/t", config(""), String::new(), 1, 0),
            ("/config/brokers/1", encoded("p", "here"), encoded("p", "there"), 1, 0),
            ("/config/brokers/1", encoded("p", "here"), encoded("q", "here"), 0, 1),
            ("/config/users/u", config(r#""request_percentage":"10.0""#), config(r#""request_percentage":"10""#), 1, 0),
            ("/config/users/u", config(r#""request_percentage":"10.0""#), config(r#""request_percentage":"11""#), 0, 1),
            ("/config/users/u", config(""), String::new(), 1, 0),
            ("/config/users/u", credential.clone(), same_credential, 1, 0),
            ("/config/users/u", credential.clone(), credential.replace("YQ==", "YR=="), 1, 0),
            ("/config/users/u", credential.clone(), credential.replace("Yg==", "Ww=="), 0, 1),
            ("/latest_producer_id_block", block(-1, 0, 999), block(4, 500, 999), 1, 0),
            ("/latest_producer_id_block", block(-1, 0, 999), block(-1, 0, 1999), 0, 1),
            ("/latest_producer_id_block", block(-1, 0, 999), String::new(), 0, 1),
            ("/kafka-acl/Topic/t", acl("Read"), acl("READ"), 1, 0),
            ("/kafka-acl/Topic/t", acl("Read"), acl("Write"), 0, 1),
            ("/kafka-acl/Topic/t", acl("Read"), String::new(), 0, 1),
            ("/kafka-acl/Topic", String::new(), "junk".into(), 1, 0),
            ("/config/topics/t", config(""), "[]".into(), 0, 1),
        ];
        for (path, oracle, candidate, masked, divergent) in cases {
            let (got_masked, got_divergent, _, warnings) = compare(path, &oracle, Some((&candidate, 5)));
            assert_eq!((got_masked, got_divergent), (masked, divergent), "{path} {candidate}");
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn a_version_below_the_epoch_differs_and_one_above_is_a_warning() {
        let state = r#"{"version":1,"leader":1,"leader_epoch":0,"controller_epoch":9,"isr":[1]}"#;
        let (masked, divergent, comparison, _) = compare(STATE, state, Some((state, 4)));
        assert_eq!((masked, divergent), (0, 1));
        let difference = &comparison.differences[0];
        assert_eq!(difference.oracle.as_deref(), Some("version 5"));
        assert_eq!(difference.candidate.as_deref(), Some("version 4"));
        let (masked, divergent, _, warnings) = compare(STATE, state, Some((state, 6)));
        assert_eq!((masked, divergent), (1, 0));
        assert!(warnings[0].contains("version 6, above its partition epoch 5"), "{warnings:?}");
    }

    #[test]
    fn missing_and_surplus_znodes_differ() {
        let (_, divergent, comparison, _) = compare("/config/brokers/1", &config(""), None);
        assert_eq!(divergent, 1);
        assert_eq!((comparison.differences[0].oracle.is_some(), &comparison.differences[0].candidate), (true, &None));
        let mut comparer = Comparer::new(context(), 10);
        comparer.znode("/admin/delete_topics/t", None, Some(&Znode::container()));
        comparer.znode("/cluster", None, Some(&Znode::container()));
        let (comparison, _) = comparer.finish();
        assert_eq!(comparison.differences[0].entity, "/admin/delete_topics/t");
        assert_eq!(comparison.families["pending-deletions"].divergent, 1);
        assert_eq!(comparison.families["containers"].divergent, 0);
    }

    #[test]
    fn secrets_are_redacted_on_both_sides() {
        let secret = PasswordSecret::new("encoder-secret");
        let text = |password: &str| {
            config(&format!(
                r#""a":"{password}1","ssl.key.password":"{}""#,
                password::encode(password, "p", "k", &secret)
            ))
        };
        let (_, _, comparison, _) = compare("/config/brokers/1", &text("x"), Some((&text("y"), 0)));
        let difference = &comparison.differences[0];
        assert_eq!(difference.oracle.as_deref(), Some(config(r#""a":"x1","ssl.key.password":"[redacted]""#).as_str()));
        let other = config(r#""a":"y1","ssl.key.password":"[redacted, another]""#);
        assert_eq!(difference.candidate.as_deref(), Some(other.as_str()));

        // What Kafka does not know may be anybody's secret, and is one if it is called so.
        let plugin = |text: &str| config(&format!(r#""a":"{text}","x.password":"{text}","my.Secret.token":"{text}""#));
        let (_, _, comparison, _) = compare("/config/brokers/1", &plugin("hunter2"), Some((&plugin("hunter3"), 0)));
        let found = comparison.differences[0].candidate.as_deref().unwrap();
        assert_eq!(found.matches("hunter3").count(), 1, "{found}");

        let user = |keys: &str| config(&format!(r#""SCRAM-SHA-256":"{keys}","request_percentage":"1.0""#));
        let (_, _, comparison, _) = compare("/config/users/u", &user("hunter2"), Some((&user("hunter3"), 0)));
        assert!(!format!("{comparison:?}").contains("hunter"));
        assert!(format!("{comparison:?}").contains("request_percentage"));
        // Nor does data that can't be understood show what it holds.
        let (_, divergent, comparison, _) = compare("/config/users/u", &user("x"), Some(("{\"config\":hunter2", 0)));
        assert_eq!(divergent, 1);
        assert!(comparison.differences[0].candidate.as_deref().unwrap().starts_with("malformed: not JSON"));
        assert!(!format!("{comparison:?}").contains("hunter2"));
    }

    #[test]
    fn without_a_secret_passwords_are_not_compared() {
        let context = CompareContext { secret: None, ..context() };
        let mut comparer = Comparer::new(context, 10);
        let path = "/config/brokers/1";
        let with = config(r#""a":"1","ssl.key.password":"anything""#);
        comparer.znode(path, Some(&expected(path, &config(r#""a":"1""#))), Some(&found(&with, 0)));
        let total = comparer.finish().0.total();
        assert_eq!((total.masked, total.divergent), (1, 0));
    }

    #[test]
    fn passwords_that_the_secret_does_not_decrypt_differ_and_say_why() {
        let text = |secret: &str| {
            let encoded = password::encode("hunter2", "p", "k", &PasswordSecret::new(secret));
            config(&format!(r#""ssl.key.password":"{encoded}""#))
        };
        let (masked, divergent, comparison, _) =
            compare("/config/brokers/1", &text("encoder-secret"), Some((&text("another"), 0)));
        assert_eq!((masked, divergent), (0, 1));
        let found = comparison.differences[0].candidate.as_deref().unwrap();
        assert!(found.starts_with("`ssl.key.password`: the password can't be decrypted"), "{found}");
    }

    #[test]
    fn all_differences_are_counted_and_only_some_listed() {
        let mut comparer = Comparer::new(context(), 2);
        for broker in 0..5 {
            comparer.znode(&format!("/config/brokers/{broker}"), None, Some(&found(&config(r#""a":"1""#), 0)));
        }
        let (comparison, _) = comparer.finish();
        assert_eq!((comparison.total().divergent, comparison.differences.len()), (5, 2));
    }

    #[test]
    fn two_walks_are_merged_and_everything_is_counted() {
        let oracle = ["/config/brokers", "/config/brokers/1", "/config/topics"];
        let oracle = oracle
            .map(|path| expected(path, if path.ends_with('1') { r#"{"version":1,"config":{"a":"1"}}"# } else { "" }));
        let candidate = [
            "/config/brokers",
            "/config/brokers-old",
            "/config/changes/config_change_1",
            "/config/topics",
            "/controller",
        ];
        let mut comparer = Comparer::new(context(), 10);
        compare_trees(oracle, candidate.map(|path| (path.to_owned(), Znode::container())), &mut comparer);
        let (comparison, _) = comparer.finish();
        let counts = |name: &str| comparison.families[name];
        assert_eq!(counts("containers").compared, 2);
        assert_eq!((counts("broker-configs").compared, counts("broker-configs").divergent), (1, 1));
        assert_eq!(counts("notifications").ignored, 1);
        assert_eq!(counts("controller").ignored, 1);
        assert_eq!(counts("unknown").ignored, 1);
        assert_eq!(comparison.unknown, ["/config/brokers-old"]);
        assert_eq!(comparison.total().divergent, 1);
    }
}
