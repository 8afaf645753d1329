//! The changes that are made on our side, in two rounds, and by what each of them shows in the brokers.

use super::asked::{Answer, Login, Question};

/// Whether brokers from before topics had ids, which a migration needs, can be asked too, and what about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brokers {
    /// They know all that there is, and have topics.
    New,
    /// They have no topics; quotas and credentials can't be described; they know no quotas of addresses, and not the words
    /// that newer releases use for some types of resources.
    Old,
}

/// By what a change shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// A tool shows this fact.
    Shown(String),
    /// No tool shows this fact.
    NotShown(String),
    /// The broker logs this on its next look.
    Logged(String),
    /// A client finds this out.
    Answered(Question, Answer),
}

/// A change.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// As typed behind `change`.
    pub(super) words: Vec<String>,
    /// All of this holds once it is in effect.
    pub(super) checks: Vec<Check>,
}

/// What the changes need to know.
pub(super) struct Ground {
    /// Whom they are made for.
    pub(super) brokers: Brokers,
    /// A file with [`NEW_PASSWORD`].
    pub(super) password_file: String,
    /// A file with the configs of broker 0: a listener whose users and passwords stand in a config that is secret.
    pub(super) vault_file: String,
    /// What that file says of `listeners`.
    pub(super) listeners: String,
}

/// The password that Kafka's own tool sets.
pub(super) const OLD_PASSWORD: &str = "old-secret";

/// The password that our side sets.
pub(super) const NEW_PASSWORD: &str = "new-secret";

/// A password in a broker's dynamic config, with what property files take for something else.
pub(super) const VAULT_PASSWORD: &str = "vera's: p=1,{x}#!";

/// Users that may do what the rounds say.
const BOB_BEFORE: Login = Login::scram("bob", OLD_PASSWORD);
const BOB: Login = Login::scram("bob", NEW_PASSWORD);
const CAROL: Login = Login { user: "carol", password: NEW_PASSWORD, mechanism: "SCRAM-SHA-256" };
const DORA: Login = Login::scram("dora", NEW_PASSWORD);
const VERA: Login = Login::vault("vera", VAULT_PASSWORD);
const VERA_WRONG: Login = Login::vault("vera", "wrong");

const TAKEN: Answer = Answer::Taken { throttled: false };
const THROTTLED: Answer = Answer::Taken { throttled: true };

/// A client id with what znode names escape.
const APP: &str = "app 1/x";

impl Check {
    /// What it is about: a later check about the same takes its place.
    fn subject(&self) -> String {
        match self {
            Self::Shown(fact) | Self::NotShown(fact) => fact.clone(),
            Self::Logged(line) => format!("log: {line}"),
            Self::Answered(question, _) => format!("{question:?}"),
        }
    }
}

/// The checks that hold after all steps, each with the step that it shows: of those about the same the last one. What
/// was logged on the way is not among them.
pub(super) fn lasting(steps: &[Step]) -> Vec<Step> {
    let all: Vec<(usize, &Check)> =
        steps.iter().enumerate().flat_map(|(at, step)| step.checks.iter().map(move |check| (at, check))).collect();
    let lasts = |at: usize| {
        let of_it = all.iter().enumerate().filter(move |(_, (of, _))| *of == at);
        of_it.filter(|(place, (_, check))| {
            let later = all.get(place + 1..).unwrap_or_default();
            !matches!(check, Check::Logged(_)) && later.iter().all(|(_, other)| other.subject() != check.subject())
        })
    };
    let steps = steps.iter().enumerate();
    let steps = steps.map(|(at, step)| {
        let checks = lasts(at).map(|(_, (_, check))| (*check).clone()).collect();
        Step { words: step.words.clone(), checks }
    });
    steps.filter(|step| !step.checks.is_empty()).collect()
}

fn words(typed: &str) -> Vec<String> {
    // No word needs quotes but those with spaces, which are written as ~.
    typed.split(' ').map(|word| word.replace('~', " ")).collect()
}

fn shown(fact: &str) -> Check {
    Check::Shown(fact.to_owned())
}

fn not_shown(fact: &str) -> Check {
    Check::NotShown(fact.to_owned())
}

fn logged(line: &str) -> Check {
    Check::Logged(line.to_owned())
}

fn override_of(entity_path: &str) -> Check {
    Check::Logged(format!("Processing override for entityPath: {entity_path} with config"))
}

fn login(login: Login, answer: Answer) -> Check {
    Check::Answered(Question::Login(login), answer)
}

fn sees(login: Login, topics: &[&str]) -> Check {
    Check::Answered(Question::Topics(login), Answer::Topics(topics.iter().map(|name| (*name).to_owned()).collect()))
}

/// A record that a topic of small messages does not take, and more bytes than a small quota allows.
fn large(user: Option<Login>, topic: &'static str, client_id: &'static str, answer: Answer) -> Check {
    Check::Answered(Question::Produce { user, topic, client_id, size: 5000 }, answer)
}

struct Steps {
    brokers: Brokers,
    steps: Vec<Step>,
}

impl Steps {
    /// A change that every broker understands.
    fn add(&mut self, typed: &str, checks: impl IntoIterator<Item = Check>) {
        let known = |check: &Check| match (self.brokers, check) {
            (Brokers::New, _) => true,
            // Neither quotas nor credentials can be described, and nothing can be produced.
            (Brokers::Old, Check::Shown(fact) | Check::NotShown(fact)) => {
                let described = ["broker", "all brokers", "TOPIC", "GROUP", "CLUSTER"];
                described.iter().any(|kind| fact.starts_with(kind))
            }
            (Brokers::Old, Check::Answered(question, _)) => matches!(question, Question::Login(_)),
            (Brokers::Old, Check::Logged(line)) => !line.contains("CONTROLLER_MUTATION"),
        };
        let checks = checks.into_iter().filter(known).collect();
        self.steps.push(Step { words: words(typed), checks });
    }

    /// A change that only new brokers understand.
    fn add_new(&mut self, typed: &str, checks: impl IntoIterator<Item = Check>) {
        if self.brokers == Brokers::New {
            self.add(typed, checks);
        }
    }
}

/// What is set, created and added, some of it over what Kafka's tools had made.
pub(super) fn first_round(ground: &Ground) -> Vec<Step> {
    let Ground { brokers, password_file, vault_file, listeners } = ground;
    let mut all = Steps { brokers: *brokers, steps: Vec::new() };
    all.add_new(
        "config topic small set max.message.bytes=2000 retention.ms=7200000",
        [
            override_of("topics/small"),
            shown("topic small: max.message.bytes=2000"),
            shown("topic small: retention.ms=7200000"),
            large(None, "small", "any", Answer::NotTaken),
        ],
    );
    all.add(
        "config default set log.retention.ms=123456789",
        [override_of("brokers/<default>"), shown("all brokers: log.retention.ms=123456789")],
    );
    all.add(
        &format!("config broker 0 set --from-file {vault_file}"),
        [
            override_of("brokers/0"),
            shown("broker 0: background.threads=7"),
            shown(&format!("broker 0: listeners={listeners}")),
            // It is told as secret, and told at all only if it could be decoded.
            shown("broker 0: listener.name.vault.plain.sasl.jaas.config=null"),
            login(VERA_WRONG, Answer::LoginRefused),
            login(VERA, Answer::LoggedIn),
        ],
    );
    all.add(
        "quota set --user bob producer_byte_rate=100",
        [
            logged("Changing PRODUCE quota for user bob to 100.0"),
            shown("user-principal 'bob': producer_byte_rate=100.0"),
            large(Some(BOB), "orders", "any", THROTTLED),
        ],
    );
    all.add(
        "quota set --user-default consumer_byte_rate=3000000",
        [
            logged("Changing FETCH quota for default user to 3000000.0"),
            shown("the default user-principal: consumer_byte_rate=3000000.0"),
        ],
    );
    all.add(
        "quota set --client-id app~1/x producer_byte_rate=100",
        [
            logged("Changing PRODUCE quota for client-id app 1/x to 100.0"),
            shown("client-id 'app 1/x': producer_byte_rate=100.0"),
            large(None, "orders", APP, THROTTLED),
        ],
    );
    all.add(
        "quota set --client-id-default producer_byte_rate=5000000",
        [
            logged("Changing PRODUCE quota for default client-id to 5000000.0"),
            shown("the default client-id: producer_byte_rate=5000000.0"),
            large(None, "orders", "any", TAKEN),
        ],
    );
    all.add(
        "quota set --user CN=ann,~OU=ops --client-id app~1/x producer_byte_rate=777 request_percentage=50.5",
        [
            logged("Changing PRODUCE quota for user CN%3Dann%2C%20OU%3Dops client-id app 1/x to 777.0"),
            logged("Changing REQUEST quota for user CN%3Dann%2C%20OU%3Dops client-id app 1/x to 50.5"),
            shown("user-principal 'CN=ann, OU=ops', client-id 'app 1/x': producer_byte_rate=777.0"),
            shown("user-principal 'CN=ann, OU=ops', client-id 'app 1/x': request_percentage=50.5"),
        ],
    );
    all.add_new(
        "quota set --user eve controller_mutation_rate=2.5",
        [
            logged("Changing CONTROLLER_MUTATION quota for user eve to 2.5"),
            shown("user-principal 'eve': controller_mutation_rate=2.5"),
        ],
    );
    all.add(
        "quota set --user bob --client-id-default consumer_byte_rate=778",
        [
            logged("Changing FETCH quota for user bob default client-id to 778.0"),
            shown("user-principal 'bob', the default client-id: consumer_byte_rate=778.0"),
        ],
    );
    all.add(
        "quota set --user-default --client-id-default consumer_byte_rate=779",
        [
            logged("Changing FETCH quota for default user default client-id to 779.0"),
            shown("the default user-principal, the default client-id: consumer_byte_rate=779.0"),
        ],
    );
    all.add(
        "quota set --user-default --client-id solo consumer_byte_rate=780",
        [
            logged("Changing FETCH quota for default user client-id solo to 780.0"),
            shown("the default user-principal, client-id 'solo': consumer_byte_rate=780.0"),
        ],
    );
    all.add_new(
        "quota set --ip 10.1.2.3 connection_creation_rate=7",
        [override_of("ips/10.1.2.3"), shown("ip '10.1.2.3': connection_creation_rate=7.0")],
    );
    all.add_new(
        "quota set --ip-default connection_creation_rate=1000",
        [override_of("ips/<default>"), shown("the default ip: connection_creation_rate=1000.0")],
    );
    all.add(
        &format!("scram set bob --password-file {password_file}"),
        [
            override_of("users/bob"),
            shown("user-principal 'bob': SCRAM-SHA-512=iterations=4096"),
            login(BOB_BEFORE, Answer::LoginRefused),
            login(BOB, Answer::LoggedIn),
        ],
    );
    all.add(
        &format!("scram set carol --mechanism SCRAM-SHA-256 --iterations 8192 --password-file {password_file}"),
        [
            override_of("users/carol"),
            shown("user-principal 'carol': SCRAM-SHA-256=iterations=8192"),
            login(CAROL, Answer::LoggedIn),
        ],
    );
    all.add(
        &format!("scram set dora --password-file {password_file}"),
        [shown("user-principal 'dora': SCRAM-SHA-512=iterations=4096"), login(DORA, Answer::LoggedIn)],
    );
    all.add(
        "acl add --principal User:carol --operation write --resource topic:events- --prefixed",
        [
            shown("TOPIC events- PREFIXED: User:carol from * may WRITE"),
            sees(CAROL, &["events-1"]),
            large(Some(CAROL), "events-1", "any", TAKEN),
            large(Some(CAROL), "orders", "any", Answer::NotTaken),
        ],
    );
    all.add(
        "acl add --principal User:carol --operation read --resource group:*",
        [shown("GROUP * LITERAL: User:carol from * may READ")],
    );
    all.add(
        "acl add --principal User:CN=ann,OU=ops --operation all --resource topic:orders --host 127.0.0.1",
        [shown("TOPIC orders LITERAL: User:CN=ann,OU=ops from 127.0.0.1 may ALL")],
    );
    all.add(
        "acl add --principal User:dora --operation write --resource topic:* --deny",
        [shown("TOPIC * LITERAL: User:dora from * may not WRITE")],
    );
    all.add(
        "acl add --principal User:bob --operation cluster-action --resource cluster:kafka-cluster",
        [shown("CLUSTER kafka-cluster LITERAL: User:bob from * may CLUSTER_ACTION")],
    );
    all.add_new(
        "acl add --principal User:bob --operation write --resource transactional-id:tx- --prefixed",
        [shown("TRANSACTIONAL_ID tx- PREFIXED: User:bob from * may WRITE")],
    );
    all.add_new(
        "acl add --principal User:bob --operation describe --resource delegation-token:x",
        [shown("DELEGATION_TOKEN x LITERAL: User:bob from * may DESCRIBE")],
    );
    all.add_new(
        "acl add --principal User:bob --operation create-tokens --resource user:carol",
        [shown("USER carol LITERAL: User:bob from * may CREATE_TOKENS")],
    );
    // Kafka's own tool had added this one.
    all.add(
        "acl remove --principal User:dave --operation write --resource topic:orders",
        [not_shown("TOPIC orders LITERAL: User:dave from * may WRITE")],
    );
    all.steps
}

/// What is changed again, deleted and removed.
pub(super) fn second_round(ground: &Ground) -> Vec<Step> {
    let mut all = Steps { brokers: ground.brokers, steps: Vec::new() };
    all.add_new(
        "config topic small set max.message.bytes=100000",
        [
            shown("topic small: max.message.bytes=100000"),
            not_shown("topic small: max.message.bytes=2000"),
            large(None, "small", "any", TAKEN),
        ],
    );
    all.add_new("config topic small delete retention.ms", [not_shown("topic small: retention.ms=7200000")]);
    all.add("config default delete log.retention.ms", [not_shown("all brokers: log.retention.ms=123456789")]);
    // Its secret is written again.
    all.add(
        "config broker 0 set background.threads=8",
        [
            shown("broker 0: background.threads=8"),
            not_shown("broker 0: background.threads=7"),
            shown("broker 0: listener.name.vault.plain.sasl.jaas.config=null"),
            login(VERA_WRONG, Answer::LoginRefused),
            login(VERA, Answer::LoggedIn),
        ],
    );
    all.add(
        "quota delete --user bob producer_byte_rate",
        [
            logged("Removing PRODUCE quota for user bob"),
            not_shown("user-principal 'bob': producer_byte_rate=100.0"),
            // The password stands in the same znode.
            login(BOB, Answer::LoggedIn),
            large(Some(BOB), "orders", "any", TAKEN),
        ],
    );
    all.add(
        "quota delete --client-id app~1/x producer_byte_rate",
        [
            logged("Removing PRODUCE quota for client-id app 1/x"),
            not_shown("client-id 'app 1/x': producer_byte_rate=100.0"),
            large(None, "orders", APP, TAKEN),
        ],
    );
    all.add(
        "quota delete --user-default --client-id-default consumer_byte_rate",
        [
            logged("Removing FETCH quota for default user default client-id"),
            not_shown("the default user-principal, the default client-id: consumer_byte_rate=779.0"),
        ],
    );
    all.add_new(
        "quota delete --ip 10.1.2.3 connection_creation_rate",
        [override_of("ips/10.1.2.3"), not_shown("ip '10.1.2.3': connection_creation_rate=7.0")],
    );
    all.add(
        "scram delete dora",
        [not_shown("user-principal 'dora': SCRAM-SHA-512=iterations=4096"), login(DORA, Answer::LoginRefused)],
    );
    // The only entry of its resource.
    all.add(
        "acl remove --principal User:carol --operation write --resource topic:events- --prefixed",
        [
            not_shown("TOPIC events- PREFIXED: User:carol from * may WRITE"),
            large(Some(CAROL), "events-1", "any", Answer::NotTaken),
        ],
    );
    all.add(
        "acl add --principal User:carol --operation write --resource topic:orders",
        [
            shown("TOPIC orders LITERAL: User:carol from * may WRITE"),
            sees(CAROL, &["orders"]),
            large(Some(CAROL), "orders", "any", TAKEN),
        ],
    );
    all.add(
        "acl remove --principal User:CN=ann,OU=ops --operation all --resource topic:orders --host 127.0.0.1",
        [not_shown("TOPIC orders LITERAL: User:CN=ann,OU=ops from 127.0.0.1 may ALL")],
    );
    all.steps
}

/// A topic: brokers hear of topics from a controller alone, so it shows only once a broker is the controller again.
pub(super) fn topic_round(ground: &Ground) -> Vec<Step> {
    let mut all = Steps { brokers: ground.brokers, steps: Vec::new() };
    all.add_new(
        "topic create late --partitions 2 --config max.message.bytes=2000",
        [
            shown("topic late: max.message.bytes=2000"),
            large(None, "late", "any", Answer::NotTaken),
            Check::Answered(Question::Produce { user: None, topic: "late", client_id: "any", size: 100 }, TAKEN),
        ],
    );
    all.steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(brokers: Brokers) -> Ground {
        let text = str::to_owned;
        Ground { brokers, password_file: text("p"), vault_file: text("v"), listeners: text("A://b:1") }
    }

    #[test]
    fn of_checks_about_the_same_the_last_one_lasts() {
        let step = |typed: &str, checks: &[Check]| Step { words: words(typed), checks: checks.to_vec() };
        let steps = [
            step("a", &[shown("x"), shown("y"), logged("l"), login(BOB, Answer::LoggedIn)]),
            step("b", &[not_shown("x")]),
            step("c", &[login(BOB, Answer::LoginRefused), login(DORA, Answer::LoggedIn)]),
            step("d", &[logged("l")]),
        ];
        let lasting = lasting(&steps);
        let expected = [
            (words("a"), vec![shown("y")]),
            (words("b"), vec![not_shown("x")]),
            (words("c"), vec![login(BOB, Answer::LoginRefused), login(DORA, Answer::LoggedIn)]),
        ];
        assert_eq!(lasting.into_iter().map(|step| (step.words, step.checks)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_change_shows_in_something() {
        for brokers in [Brokers::New, Brokers::Old] {
            let ground = ground(brokers);
            for step in [first_round(&ground), second_round(&ground), topic_round(&ground)].concat() {
                assert!(!step.checks.is_empty(), "{brokers:?}: {:?}", step.words);
            }
        }
        assert!(first_round(&ground(Brokers::Old)).len() < first_round(&ground(Brokers::New)).len());
    }

    #[test]
    fn words_with_spaces_are_one_word() {
        assert_eq!(words("quota set --client-id app~1/x"), ["quota", "set", "--client-id", "app 1/x"]);
    }
}
