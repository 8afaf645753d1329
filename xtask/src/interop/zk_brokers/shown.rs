//! What Kafka's tools show, as facts that can be looked up: a text for each thing that a broker says about itself.

use std::collections::BTreeSet;

/// The facts in what `kafka-configs --describe` and `kafka-acls --list` printed. Each names whom it is about first:
///
/// - `topic orders: retention.ms=1000`, `broker 0: listeners=...`, `all brokers: log.retention.ms=1000`
/// - `user-principal 'bob', the default client-id: producer_byte_rate=100.0`
/// - `user-principal 'bob': SCRAM-SHA-512=iterations=4096`
/// - `TOPIC orders LITERAL: User:bob from * may WRITE`, `... may not WRITE`
pub(super) fn facts(text: &str) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    // Whom the lines that follow are about.
    let mut whose = String::new();
    for line in text.lines() {
        if let Some(named) = heading(line) {
            whose = named;
        } else if let Some(rest) = line.strip_prefix("Quota configs for ") {
            facts.extend(of_one_line(rest.strip_prefix("the ").unwrap_or(rest), rest.starts_with("the ")));
        } else if let Some(rest) = line.strip_prefix("SCRAM credential configs for ") {
            facts.extend(of_one_line(rest, false));
        } else if let Some(config) = line.strip_prefix("  ").filter(|_| !whose.is_empty()) {
            // `key=value sensitive=false synonyms={...}`
            let pair = config.split_once(" sensitive=").map_or(config, |(pair, _)| pair);
            facts.insert(format!("{whose}: {pair}"));
        } else if let Some(entry) = line.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            facts.extend(permission(entry).map(|entry| format!("{whose}: {entry}")));
        }
    }
    facts
}

fn heading(line: &str) -> Option<String> {
    if let Some(rest) = line.strip_prefix("Dynamic configs for ") {
        return rest.strip_suffix(" are:").map(str::to_owned);
    }
    if line.starts_with("Default configs for brokers in the cluster are:") {
        return Some("all brokers".to_owned());
    }
    let pattern = line.strip_prefix("Current ACLs for resource `ResourcePattern(resourceType=")?;
    let (kind, rest) = pattern.split_once(", name=")?;
    let (name, rest) = rest.rsplit_once(", patternType=")?;
    let (pattern, _) = rest.split_once(')')?;
    Some(format!("{kind} {name} {pattern}"))
}

/// `WHO are KEY=VALUE, KEY=VALUE`
fn of_one_line(text: &str, is_default: bool) -> Vec<String> {
    let Some((whose, pairs)) = text.rsplit_once(" are ") else { return Vec::new() };
    let the = if is_default { "the " } else { "" };
    pairs.split(", ").map(|pair| format!("{the}{whose}: {}", pair.trim())).collect()
}

/// `principal=P, host=H, operation=O, permissionType=ALLOW`
fn permission(entry: &str) -> Option<String> {
    let (principal, rest) = entry.strip_prefix("principal=")?.rsplit_once(", host=")?;
    let (host, rest) = rest.split_once(", operation=")?;
    let (operation, permission) = rest.split_once(", permissionType=")?;
    let may = if permission == "DENY" { "may not" } else { "may" };
    Some(format!("{principal} from {host} {may} {operation}"))
}

/// What `kafka-producer-perf-test --print-metrics` says of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Produced {
    /// Records that the broker took.
    pub(super) sent: u64,
    /// The longest time that the broker told the producer to wait, in milliseconds.
    pub(super) throttled_ms: f64,
}

impl Produced {
    /// Reads what the tool printed. `None` if it says neither number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let sent = text.lines().rev().find_map(|line| line.split_once(" records sent")?.0.parse().ok())?;
        let metric = text.lines().find(|line| line.contains(":produce-throttle-time-max:"))?;
        let throttled = metric.rsplit_once(": ")?.1.trim();
        // No request was answered: no time.
        let throttled_ms = if throttled == "NaN" { 0.0 } else { throttled.parse().ok()? };
        Some(Self { sent, throttled_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(facts: &[&str]) -> BTreeSet<String> {
        facts.iter().map(|fact| (*fact).to_owned()).collect()
    }

    #[test]
    fn configs_are_known_by_whose_they_are() {
        let text = "Dynamic configs for topic events-1 are:\nDynamic configs for topic orders are:\n  \
            retention.ms=7200000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=7200000}\n\
            Dynamic configs for broker 0 are:\n  a.jaas.config=null sensitive=true synonyms={}\n\
            Default configs for brokers in the cluster are:\n  message.max.bytes=9 sensitive=false synonyms={}\n";
        let expected =
            ["topic orders: retention.ms=7200000", "broker 0: a.jaas.config=null", "all brokers: message.max.bytes=9"];
        assert_eq!(facts(text), set(&expected));
    }

    #[test]
    fn quotas_and_credentials_stand_on_one_line() {
        let text = "Quota configs for the default user-principal, client-id 'solo' are consumer_byte_rate=780.0\n\
            Quota configs for user-principal 'CN=ann, OU=ops', client-id 'app 1/x' are a=2.5, b=777.0\n\
            Quota configs for ip '10.1.2.3' are connection_creation_rate=7.0\n\
            SCRAM credential configs for user-principal 'carol' are SCRAM-SHA-256=iterations=8192\n";
        let expected = [
            "the default user-principal, client-id 'solo': consumer_byte_rate=780.0",
            "user-principal 'CN=ann, OU=ops', client-id 'app 1/x': a=2.5",
            "user-principal 'CN=ann, OU=ops', client-id 'app 1/x': b=777.0",
            "ip '10.1.2.3': connection_creation_rate=7.0",
            "user-principal 'carol': SCRAM-SHA-256=iterations=8192",
        ];
        assert_eq!(facts(text), set(&expected));
    }

    #[test]
    fn access_control_entries_are_sentences() {
        let text = "Current ACLs for resource `ResourcePattern(resourceType=TOPIC, name=orders, patternType=LITERAL)`: \n \
            \t(principal=User:CN=ann,OU=ops, host=127.0.0.1, operation=ALL, permissionType=ALLOW)\n\
            \t(principal=User:bob, host=*, operation=READ, permissionType=DENY) \n\n";
        let expected = [
            "TOPIC orders LITERAL: User:CN=ann,OU=ops from 127.0.0.1 may ALL",
            "TOPIC orders LITERAL: User:bob from * may not READ",
        ];
        assert_eq!(facts(text), set(&expected));
    }

    #[test]
    fn a_run_of_the_producer_has_two_numbers() {
        let text = |sent: &str, throttled: &str| {
            format!(
                "{sent} records sent, 3.0 records/sec\n\nMetric Name   Value\n\
                 producer-metrics:produce-throttle-time-avg:{{client-id=a b}}     : 1.000\n\
                 producer-metrics:produce-throttle-time-max:{{client-id=a b}}     : {throttled}\n"
            )
        };
        let produced = |sent, throttled_ms| Some(Produced { sent, throttled_ms });
        assert_eq!(Produced::parse(&text("20", "9.500")), produced(20, 9.5));
        assert_eq!(Produced::parse(&text("0", "NaN")), produced(0, 0.0));
        assert_eq!(Produced::parse("20 records sent\n"), None);
        assert_eq!(Produced::parse(""), None);
    }
}
