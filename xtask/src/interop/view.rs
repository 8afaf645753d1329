//! A cluster as Kafka's own tools show it, in a form that can be compared: before and after it became another one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::lab::failed;
use crate::cli::Failure;
use crate::kafka::{Kafka, Program, Properties};

/// Tools that run at the same time.
const TOOLS_AT_ONCE: usize = 3;

/// Where a cluster is asked.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Whose tools ask.
    pub kafka: &'a Kafka,
    /// The listener without security.
    pub bootstrap: String,
    /// The listener with SCRAM.
    pub sasl_bootstrap: String,
    /// Whose delegation tokens are shown: settings of a client that logs in, see [`login`].
    pub login: PathBuf,
    /// Those who own delegation tokens, as `User:alice`: the tool shows nobody else's but one's own.
    pub owners: Vec<String>,
    /// Whether it is, or was, a cluster from before topics had ids, quotas and users could be asked for. They are not.
    pub is_old: bool,
}

/// What is shown, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View(BTreeMap<&'static str, BTreeSet<String>>);

/// The settings of a client that logs in with SCRAM, as a file in `folder`. With a token, the user is the token's id and the
/// password its HMAC.
///
/// # Errors
/// The file can't be written.
pub fn login(folder: &Path, name: &str, user: &str, password: &str, is_token: bool) -> Result<PathBuf, Failure> {
    let token = if is_token { " tokenauth=\"true\"" } else { "" };
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule required";
    let properties = Properties::new()
        .with("security.protocol", "SASL_PLAINTEXT")
        .with("sasl.mechanism", "SCRAM-SHA-256")
        .with("sasl.jaas.config", format!("{module} username=\"{user}\" password=\"{password}\"{token};"));
    let path = folder.join(format!("{name}.client.properties"));
    properties
        .write(&path)
        .map_err(|error| Failure::failed(format!("can't write {}", path.display())).because(&error))?;
    Ok(path)
}

/// What kind of output a tool prints.
type Lines = fn(&str) -> BTreeSet<String>;

impl View {
    /// Asks a cluster for everything.
    ///
    /// # Errors
    /// One of the tools fails.
    pub async fn of(asked: &Asked<'_>) -> Result<Self, Failure> {
        let mut calls: Vec<(&'static str, Program, Vec<String>, Lines)> = Vec::new();
        let at = |arguments: &[&str]| -> Vec<String> {
            let all = ["--bootstrap-server", &asked.bootstrap].into_iter().chain(arguments.iter().copied());
            all.map(str::to_owned).collect()
        };
        let of_topics: Lines = if asked.is_old { topics_without_ids } else { topics };
        calls.push(("topics", Program::Topics, at(&["--describe"]), of_topics));
        calls.push(("acls", Program::Acls, at(&["--list"]), acls));
        let of_brokers: Lines = if asked.is_old { broker_configs_of_old } else { broker_configs };
        let of_tokens: Lines = if asked.is_old { tokens_of_old } else { tokens_of };
        let mut describe = |kind: &'static str, entity: &[&str], lines: Lines| {
            calls.push((kind, Program::Configs, at(&[&["--describe"], entity].concat()), lines));
        };
        // Those of each broker that is there, and the defaults.
        describe("brokers", &["--entity-type", "brokers"], of_brokers);
        if !asked.is_old {
            describe("users", &["--entity-type", "users"], entities);
            describe("clients", &["--entity-type", "clients"], entities);
            describe("users with clients", &["--entity-type", "users", "--entity-type", "clients"], entities);
            describe("addresses", &["--entity-type", "ips"], entities);
        }
        let config = asked.login.display().to_string();
        let mut tokens = ["--bootstrap-server", &asked.sasl_bootstrap, "--command-config", &config, "--describe"]
            .map(str::to_owned)
            .to_vec();
        tokens.extend(asked.owners.iter().flat_map(|owner| ["--owner-principal".to_owned(), owner.clone()]));
        calls.push(("tokens", Program::DelegationTokens, tokens, of_tokens));
        let runs = calls.into_iter().map(|(kind, program, arguments, lines)| async move {
            let printed = asked.kafka.run(program, &arguments, "").await.map_err(failed("a tool of Kafka fails"))?;
            Ok::<_, Failure>((kind, lines(&printed)))
        });
        let found: Vec<_> = stream::iter(runs).buffer_unordered(TOOLS_AT_ONCE).try_collect().await?;
        let mut view = Self::default();
        for (kind, lines) in found {
            view.0.entry(kind).or_default().extend(lines);
        }
        Ok(view)
    }

    /// Takes away what is meant to be gone afterwards.
    pub fn forget(&mut self, is_forgotten: impl Fn(&str, &str) -> bool) {
        for (kind, lines) in &mut self.0 {
            lines.retain(|line| !is_forgotten(kind, line));
        }
    }

    /// The first kind of which nothing is shown, of all that are asked for. A comparison would say nothing of it.
    pub fn empty(&self) -> Option<&'static str> {
        self.0.iter().find_map(|(kind, lines)| lines.is_empty().then_some(*kind))
    }

    /// How many lines there are, by kind.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.0.iter().map(|(kind, lines)| (*kind, lines.len())).collect()
    }

    /// What `after` shows otherwise, a line each.
    pub fn differences(&self, after: &Self) -> Vec<String> {
        let none = BTreeSet::new();
        let kinds: BTreeSet<_> = self.0.keys().chain(after.0.keys()).collect();
        let mut differences = Vec::new();
        for kind in kinds {
            let [before, after] = [&self.0, &after.0].map(|view| view.get(kind).unwrap_or(&none));
            differences.extend(before.difference(after).map(|line| format!("{kind}: lost: {line}")));
            differences.extend(after.difference(before).map(|line| format!("{kind}: not there before: {line}")));
        }
        differences
    }
}

/// `Quota configs for user-principal 'a' are x=1, y=2`: each by itself, since their order is that of a hash.
fn entities(printed: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in printed.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (of, configs) = line.rsplit_once(" are ").unwrap_or((line, ""));
        lines.extend(configs.split(", ").map(|config| format!("{of} {config}")));
    }
    lines
}

/// The value behind a key in a line of tab-separated `Key: value`.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split('\t').find_map(|field| field.trim().strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

/// Topics with their ids, their configs one by one, and their partitions. Not the leaders, which change, and the in-sync
/// replicas as a set.
fn topics(printed: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in printed.lines() {
        let Some(topic) = field(line, "Topic") else { continue };
        let value = |key| field(line, key).unwrap_or_default();
        if field(line, "PartitionCount").is_some() {
            lines.insert(format!("{topic} id {} partitions {}", value("TopicId"), value("PartitionCount")));
            for config in configs(value("Configs")) {
                lines.insert(format!("{topic} config {config}"));
            }
        } else {
            let mut isr: Vec<_> = value("Isr").split(',').collect();
            isr.sort_unstable();
            let (partition, replicas) = (value("Partition"), value("Replicas"));
            lines.insert(format!("{topic}-{partition} replicas {replicas} isr {}", isr.join(",")));
        }
    }
    lines
}

/// The same without ids, which topics did not always have.
fn topics_without_ids(printed: &str) -> BTreeSet<String> {
    let without = |line: &String| match line.split_once(" id ") {
        Some((topic, rest)) => format!("{topic} {}", rest.split_once(' ').map_or(rest, |(_, rest)| rest)),
        None => line.clone(),
    };
    topics(printed).iter().map(without).collect()
}

/// `a=1,b=x,y` are two configs: values may have commas, names have no such sign.
fn configs(text: &str) -> Vec<String> {
    let mut configs: Vec<String> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match configs.last_mut() {
            Some(last) if !part.contains('=') => last.push_str(&format!(",{part}")),
            _ => configs.push(part.to_owned()),
        }
    }
    configs
}

/// `  key=value sensitive=false synonyms={...}`: the synonyms name defaults, which differ between releases.
fn broker_configs(printed: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut of = String::new();
    for line in printed.lines() {
        if let Some((config, rest)) = line.trim().split_once(" sensitive=") {
            let sensitive = rest.split(' ').next().unwrap_or_default();
            lines.insert(format!("{of}{config} sensitive={sensitive}"));
        } else if line.starts_with("D") {
            of = format!("{} ", line.trim_end_matches(" are:").trim());
        }
    }
    lines
}

/// Each entry together with its resource.
fn acls(printed: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut resource = String::new();
    for line in printed.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("Current ACLs for resource ") {
            rest.trim_end_matches([':', ' ']).clone_into(&mut resource);
        } else {
            lines.insert(format!("{resource} {line}"));
        }
    }
    lines
}

/// A row for each token: id, HMAC, owner, requester, renewers, dates. The columns are as wide as they have to be. The HMAC is
/// a secret, and told by its digest.
fn tokens_of(printed: &str) -> BTreeSet<String> {
    let rows = printed.lines().filter(|line| line.contains("User:") && !line.starts_with("Calling"));
    let row = |line: &str| {
        let words = line.split_whitespace().enumerate();
        let shown = words.map(|(column, word)| if column == 1 { digest(word) } else { word.to_owned() });
        shown.collect::<Vec<_>>().join(" ")
    };
    rows.map(row).collect()
}

/// The same without the requester, whom old releases do not know.
fn tokens_of_old(printed: &str) -> BTreeSet<String> {
    let without = |row: &String| {
        let words = row.split(' ').enumerate().filter(|(column, _)| *column != 3);
        words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    };
    tokens_of(printed).iter().map(without).collect()
}

/// Without the dynamic configs that are no configs of the broker itself: old releases show them as secrets.
fn broker_configs_of_old(printed: &str) -> BTreeSet<String> {
    broker_configs(printed).into_iter().filter(|line| !line.contains(" leader.replication.throttled.rate=")).collect()
}

fn digest(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(lines: &[&str]) -> BTreeSet<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn topics_are_shown_without_what_changes_by_itself() {
        let printed = "Topic: a\tTopicId: Ur2NuSrDQ8CsDQQKBgcHaQ\tPartitionCount: 1\tReplicationFactor: 2\tConfigs: \
            cleanup.policy=compact,delete,retention.ms=5\n\tTopic: a\tPartition: 0\tLeader: 2\tReplicas: 2,1\tIsr: 2,1\t\
            Elr: N/A\n";
        let expected = [
            "a id Ur2NuSrDQ8CsDQQKBgcHaQ partitions 1",
            "a config cleanup.policy=compact,delete",
            "a config retention.ms=5",
            "a-0 replicas 2,1 isr 1,2",
        ];
        assert_eq!(topics(printed), set(&expected));
        assert!(topics_without_ids(printed).contains("a partitions 1"));
    }

    #[test]
    fn entries_are_told_with_what_they_belong_to() {
        let printed = "Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=t, patternType=LITERAL)`: \n \
            \t(principal=User:a, host=*, operation=READ, permissionType=ALLOW) \n\n";
        let expected = "`ResourcePattern(resourceType=TOPIC, name=t, patternType=LITERAL)` (principal=User:a, host=*, \
            operation=READ, permissionType=ALLOW)";
        assert_eq!(acls(printed), set(&[expected]));
        let printed = "Dynamic configs for broker 0 are:\n  log.cleaner.threads=1 sensitive=false synonyms={X:a=1}\n";
        assert_eq!(
            broker_configs(printed),
            set(&["Dynamic configs for broker 0 log.cleaner.threads=1 sensitive=false"])
        );
    }

    #[test]
    fn tokens_are_told_without_their_secrets() {
        let printed = "Calling describe token operation for owners :[User:a]\nTOKENID  HMAC  OWNER\n\nid1   c2VjcmV0==   User:a  \
            User:b   [User:c]   2026-11-26T21:18\n";
        let [row] = tokens_of(printed).into_iter().collect::<Vec<_>>().try_into().unwrap();
        assert!(row.starts_with("id1 ") && row.ends_with(" User:a User:b [User:c] 2026-11-26T21:18"), "{row}");
        assert!(!row.contains("c2VjcmV0"), "{row}");
        let [old] = tokens_of_old(printed).into_iter().collect::<Vec<_>>().try_into().unwrap();
        assert!(old.ends_with(" User:a [User:c] 2026-11-26T21:18"), "{old}");
    }

    #[test]
    fn configs_of_an_entity_are_told_one_by_one() {
        let printed = |configs: &str| format!("Quota configs for user-principal 'a are b' are {configs}\n\n");
        let expected = ["x=1.0", "y=2.0"].map(|config| format!("Quota configs for user-principal 'a are b' {config}"));
        for configs in ["x=1.0, y=2.0", "y=2.0, x=1.0"] {
            assert_eq!(entities(&printed(configs)), expected.clone().into());
        }
    }

    #[test]
    fn what_is_lost_and_what_is_new_are_told_apart() {
        let view = |lines: &[&str]| View([("users", set(lines))].into());
        let (mut before, after) = (view(&["a", "b", "old"]), view(&["b", "c"]));
        before.forget(|kind, line| kind == "users" && line == "old");
        assert_eq!(before.differences(&after), ["users: lost: a", "users: not there before: c"]);
        assert!(after.differences(&after).is_empty());
        assert_eq!(before.counts(), [("users", 2)].into());
    }
}
