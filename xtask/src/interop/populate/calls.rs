//! The command lines of Kafka's tools.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::made::{MadeQuota, MadeToken, MadeTopic, MadeUser, Populated, QuotaEntity};
use super::over_zookeeper;
use super::plan::TRANSACTIONS;
use crate::interop::cluster::{PASSWORD_ENCODER_SECRET, ZkModeCluster};
use crate::kafka::{Program, Properties, Release};

/// A tool with its arguments, and what it reads on stdin. They have passwords in them, so there is no `Debug`.
pub(super) struct Call {
    pub(super) program: Program,
    pub(super) arguments: Vec<String>,
    pub(super) input: String,
}

/// Where the tools find the cluster.
pub(super) struct Tools {
    release: Release,
    bootstrap: String,
    sasl_bootstrap: String,
    zookeeper: String,
}

/// Settings of a client that logs in with SCRAM, in a file.
pub(super) struct Login(PathBuf);

/// A token to be asked for.
pub(super) struct WantedToken {
    pub(super) requester: &'static str,
    /// `None` is the requester.
    pub(super) owner: Option<&'static str>,
    pub(super) renewers: &'static [&'static str],
    pub(super) renewed: bool,
}

fn call<A: Into<String>>(program: Program, arguments: impl IntoIterator<Item = A>) -> Call {
    Call { program, arguments: arguments.into_iter().map(Into::into).collect(), input: String::new() }
}

impl Call {
    fn and<A: Into<String>>(mut self, more: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(more.into_iter().map(Into::into));
        self
    }
}

/// Settings as the tool of configs takes them. Brackets keep commas and equals signs apart from its own.
fn settings<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let setting = |(key, value): (&str, &str)| match value.contains([',', '=']) {
        true => format!("{key}=[{value}]"),
        false => format!("{key}={value}"),
    };
    pairs.into_iter().map(setting).collect::<Vec<_>>().join(",")
}

/// Replicas as the tool of topics takes them.
fn assignment(replicas: &[Vec<i32>]) -> String {
    let partition = |ids: &Vec<i32>| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(":");
    replicas.iter().map(partition).collect::<Vec<_>>().join(",")
}

fn entity(entity: &QuotaEntity) -> Vec<String> {
    let one = |kind: &str, name: &Option<String>| {
        let mut arguments = vec!["--entity-type".to_owned(), kind.to_owned()];
        match name {
            Some(name) => arguments.extend(["--entity-name".to_owned(), name.clone()]),
            None => arguments.push("--entity-default".to_owned()),
        }
        arguments
    };
    match entity {
        QuotaEntity::User(user) => one("users", user),
        QuotaEntity::Client(client) => one("clients", client),
        QuotaEntity::UserClient(user, client) => [one("users", user), one("clients", client)].concat(),
        QuotaEntity::Ip(ip) => one("ips", ip),
    }
}

/// A consumer that gets so many messages, from the beginning, and commits what it got.
pub(super) fn consumer(bootstrap: &str, topic: &str, group: &str, count: usize) -> Call {
    let count = count.to_string();
    call(Program::ConsoleConsumer, ["--bootstrap-server", bootstrap, "--topic", topic, "--group", group]).and([
        "--from-beginning",
        "--timeout-ms",
        "60000",
        "--max-messages",
        &count,
    ])
}

impl Tools {
    pub(super) fn of(cluster: &ZkModeCluster) -> Self {
        Self {
            release: cluster.kafka().release(),
            bootstrap: cluster.bootstrap(),
            sasl_bootstrap: cluster.sasl_bootstrap(),
            zookeeper: cluster.zookeeper_connect(),
        }
    }

    /// What can be made in any order, in an empty cluster.
    pub(super) fn first(&self, made: &Populated) -> Vec<Call> {
        let mut calls: Vec<Call> = made.topics.iter().map(|topic| self.create_topic(topic)).collect();
        calls.extend(made.users.iter().map(|user| self.create_user(user)));
        calls.extend(self.broker_configs(made));
        calls.extend(made.quotas.iter().chain(&made.former).map(|quota| self.set_quota(quota)));
        calls.extend(made.grants.iter().map(|grant| self.at_brokers(Program::Acls).and(grant.arguments())));
        calls
    }

    /// What comes after it, in any order.
    pub(super) fn second(&self, made: &Populated) -> Vec<Call> {
        let grown = made.topics.iter().filter(|topic| topic.created_with < topic.replicas.len());
        let mut calls: Vec<Call> = grown.map(|topic| self.add_partitions(topic)).collect();
        calls.extend(made.former.iter().map(|quota| self.remove_quota(quota)));
        calls.extend(made.messages.iter().map(|(topic, values)| self.produce(topic, values)));
        calls.extend(made.transactional_ids.iter().map(|id| self.transactions(id)));
        calls
    }

    fn at_brokers(&self, program: Program) -> Call {
        call(program, ["--bootstrap-server", &self.bootstrap])
    }

    fn configs(&self) -> Call {
        let configs = match over_zookeeper(self.release) {
            true => call(Program::Configs, ["--zookeeper", &self.zookeeper]),
            false => self.at_brokers(Program::Configs),
        };
        configs.and(["--alter"])
    }

    pub(super) fn create_topic(&self, topic: &MadeTopic) -> Call {
        let replicas = assignment(topic.replicas.get(..topic.created_with).unwrap_or(&topic.replicas));
        let mut create = self.at_brokers(Program::Topics).and([
            "--create",
            "--topic",
            &topic.name,
            "--replica-assignment",
            &replicas,
        ]);
        for (key, value) in &topic.configs {
            create = create.and(["--config".to_owned(), format!("{key}={value}")]);
        }
        create
    }

    fn add_partitions(&self, topic: &MadeTopic) -> Call {
        let (count, replicas) = (topic.replicas.len().to_string(), assignment(&topic.replicas));
        let alter = self.at_brokers(Program::Topics).and(["--alter", "--topic", &topic.name]);
        alter.and(["--partitions", &count, "--replica-assignment", &replicas])
    }

    pub(super) fn delete_topic(&self, name: &str) -> Call {
        self.at_brokers(Program::Topics).and(["--delete", "--topic", name])
    }

    pub(super) fn reassign(&self, plan: &Path, throttle: u64) -> Call {
        let at = match over_zookeeper(self.release) {
            true => call(Program::Reassign, ["--zookeeper", &self.zookeeper]),
            false => self.at_brokers(Program::Reassign),
        };
        let throttle = throttle.to_string();
        at.and(["--execute", "--throttle", &throttle, "--reassignment-json-file"]).and([plan.display().to_string()])
    }

    fn create_user(&self, user: &MadeUser) -> Call {
        let credential = |iterations: u32| format!("iterations={iterations},password={}", user.password);
        let [sha_256, sha_512] = [user.iterations.0, user.iterations.1].map(credential);
        let credentials = settings([("SCRAM-SHA-256", &*sha_256), ("SCRAM-SHA-512", &*sha_512)]);
        self.configs().and(["--entity-type", "users", "--entity-name", &user.name, "--add-config", &credentials])
    }

    fn broker_configs(&self, made: &Populated) -> Vec<Call> {
        let mut by_broker: BTreeMap<Option<i32>, Vec<(&str, &str)>> = BTreeMap::new();
        for config in &made.broker_configs {
            by_broker.entry(config.broker).or_default().push((&config.key, &config.value));
        }
        let present: Vec<i32> = made.topics.iter().flat_map(|topic| topic.replicas.iter().flatten().copied()).collect();
        let alter = |(broker, pairs): (Option<i32>, Vec<(&str, &str)>)| match broker {
            None => self.at_brokers(Program::Configs).and(["--entity-type", "brokers", "--entity-default"]).and([
                "--alter".to_owned(),
                "--add-config".to_owned(),
                settings(pairs),
            ]),
            Some(id) => {
                let id_text = id.to_string();
                let at = match present.contains(&id) {
                    true => self.at_brokers(Program::Configs),
                    false => call(Program::Configs, ["--zookeeper", &self.zookeeper]),
                };
                // The tool itself encodes what it puts into ZooKeeper, and is told how; another way than the brokers' here.
                let encoder = [
                    ("password.encoder.secret", PASSWORD_ENCODER_SECRET),
                    ("password.encoder.cipher.algorithm", "AES/GCM/NoPadding"),
                    ("password.encoder.iterations", "2048"),
                ];
                let encoder = encoder.into_iter().filter(|_| !present.contains(&id));
                let pairs = settings(pairs.into_iter().chain(encoder));
                at.and(["--alter", "--entity-type", "brokers", "--entity-name", &id_text, "--add-config", &pairs])
            }
        };
        by_broker.into_iter().map(alter).collect()
    }

    fn set_quota(&self, quota: &MadeQuota) -> Call {
        let values: Vec<(&str, String)> = quota.values.iter().map(|(key, value)| (&**key, value.to_string())).collect();
        let values = settings(values.iter().map(|(key, value)| (*key, &**value)));
        self.configs().and(entity(&quota.entity)).and(["--add-config", &values])
    }

    fn remove_quota(&self, quota: &MadeQuota) -> Call {
        let keys: Vec<&str> = quota.values.keys().map(String::as_str).collect();
        self.configs().and(entity(&quota.entity)).and(["--delete-config", &keys.join(",")])
    }

    fn produce(&self, topic: &str, values: &[String]) -> Call {
        let at = if self.release == Release::V2_4 { "--broker-list" } else { "--bootstrap-server" };
        let produce =
            call(Program::ConsoleProducer, [at, &self.bootstrap, "--topic", topic, "--request-required-acks"]);
        // With keys, since compacted topics want them.
        let keyed = ["--property", "parse.key=true", "--property", "key.separator=|"];
        let lines = values.iter().enumerate().map(|(number, value)| format!("key-{number}|{value}\n"));
        Call { input: lines.collect(), ..produce.and(["-1"]).and(keyed) }
    }

    fn transactions(&self, id: &str) -> Call {
        let transactional = ["--transactional-id", id, "--transaction-duration-ms", "50"];
        self.perf(TRANSACTIONS, 50, 100).and(transactional)
    }

    /// A producer of so many records of so many bytes.
    pub(super) fn perf(&self, topic: &str, count: u32, size: u32) -> Call {
        let (count, size) = (count.to_string(), size.to_string());
        let records = ["--topic", topic, "--num-records", &count, "--record-size", &size, "--throughput", "-1"];
        let bootstrap = format!("bootstrap.servers={}", self.bootstrap);
        call(Program::ProducerPerformance, records).and(["--producer-props", &bootstrap])
    }

    fn tokens(&self, login: &Login) -> Call {
        let file = login.0.display().to_string();
        call(Program::DelegationTokens, ["--bootstrap-server", &self.sasl_bootstrap, "--command-config", &file])
    }

    pub(super) fn create_token(&self, login: &Login, token: &WantedToken) -> Call {
        let mut create = self.tokens(login).and(["--create", "--max-life-time-period", "-1"]);
        for renewer in token.renewers {
            create = create.and(["--renewer-principal", renewer]);
        }
        match token.owner {
            Some(owner) => create.and(["--owner-principal", owner]),
            None => create,
        }
    }

    pub(super) fn renew_token(&self, login: &Login, token: &MadeToken) -> Call {
        self.tokens(login).and(["--renew", "--renew-time-period", "-1", "--hmac", &token.hmac])
    }
}

impl Login {
    /// Writes the settings of a user into a folder, for its owner alone to read.
    pub(super) fn write(folder: &Path, user: &str, password: &str) -> io::Result<Self> {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        let properties = Properties::new()
            .with("security.protocol", "SASL_PLAINTEXT")
            .with("sasl.mechanism", "SCRAM-SHA-256")
            .with("sasl.jaas.config", format!("{module} username=\"{user}\" password=\"{password}\";"));
        let path = folder.join(format!("login-of-{user}.properties"));
        properties.write(&path)?;
        Ok(Self(path))
    }
}

impl WantedToken {
    /// The token that the tool has printed: a table whose columns begin with id and HMAC.
    pub(super) fn made(&self, printed: &str) -> Option<MadeToken> {
        let table = printed.lines().skip_while(|line| !line.starts_with("TOKENID")).skip(1);
        // Newer tools leave lines empty in between.
        let token = table.map(str::trim).find(|line| !line.is_empty())?;
        let mut columns = token.split_whitespace().map(str::to_owned);
        let requester = format!("User:{}", self.requester);
        Some(MadeToken {
            id: columns.next()?,
            hmac: columns.next()?,
            owner: self.owner.map_or_else(|| requester.clone(), str::to_owned),
            requester,
            renewers: self.renewers.iter().map(|&renewer| renewer.to_owned()).collect(),
            renewed: self.renewed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(release: Release) -> Tools {
        let text = str::to_owned;
        Tools { release, bootstrap: text("b:1"), sasl_bootstrap: text("s:1"), zookeeper: text("z:1/kafka") }
    }

    #[test]
    fn values_that_would_be_taken_apart_stand_in_brackets() {
        assert_eq!(settings([("a", "1"), ("b", "x,y"), ("c", "k=v")]), "a=1,b=[x,y],c=[k=v]");
    }

    #[test]
    fn the_old_tool_of_configs_speaks_to_zookeeper() {
        let quota = MadeQuota {
            entity: QuotaEntity::UserClient(Some("a b".into()), None),
            values: [("request_percentage".to_owned(), 0.5), ("producer_byte_rate".to_owned(), 1e10)].into(),
        };
        let line = |release| tools(release).set_quota(&quota).arguments.join(" ");
        let rest = "--alter --entity-type users --entity-name a b --entity-type clients --entity-default --add-config \
                    producer_byte_rate=10000000000,request_percentage=0.5";
        assert_eq!(line(Release::V2_4), format!("--zookeeper z:1/kafka {rest}"));
        assert_eq!(line(Release::V3_9), format!("--bootstrap-server b:1 {rest}"));
    }

    #[test]
    fn partitions_are_created_at_first_and_added_later() {
        let topic = MadeTopic {
            name: "t".into(),
            replicas: vec![vec![0, 1], vec![1, 0], vec![0, 1]],
            created_with: 2,
            configs: [("a.b".to_owned(), "c".to_owned())].into(),
        };
        let create = tools(Release::V3_9).create_topic(&topic).arguments.join(" ");
        assert!(create.ends_with("--create --topic t --replica-assignment 0:1,1:0 --config a.b=c"), "{create}");
        let alter = tools(Release::V3_9).add_partitions(&topic).arguments.join(" ");
        assert!(alter.ends_with("--alter --topic t --partitions 3 --replica-assignment 0:1,1:0,0:1"), "{alter}");
    }

    #[test]
    fn a_token_is_read_from_the_tools_table() {
        let wanted = WantedToken { requester: "alice", owner: None, renewers: &["User:bob"], renewed: false };
        let printed = "Calling create token operation with renewers :[..] \nCreated delegation token with tokenId : i-d\n\n\
                       TOKENID         HMAC      OWNER           RENEWERS\ni-d_2           aG1hYw==  User:alice      [User:bob]\n";
        let made = wanted.made(printed).unwrap();
        assert_eq!(
            (&*made.id, &*made.hmac, &*made.owner, &*made.requester),
            ("i-d_2", "aG1hYw==", "User:alice", "User:alice")
        );
        assert!(wanted.made("TOKENID HMAC\n").is_none());
        let newer = printed.replace("OWNER           RENEWERS\n", "OWNER           REQUESTER       RENEWERS\n\n");
        assert_eq!(wanted.made(&newer).unwrap().hmac, "aG1hYw==");
    }
}
