//! Kafka's tools and clients, pointed at the running brokers. All of them are those of Kafka 3.9, which speak to brokers of
//! every release.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::super::ZkModeCluster;
use super::shown::{Produced, facts};
use crate::cli::Failure;
use crate::kafka::{Kafka, Program, Properties};

/// Tools that run at the same time.
pub(super) const AT_ONCE: usize = 3;

/// What is tried with a real client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// Does this password open the door?
    Login(Login),
    /// Which topics may the user see? `Describe`, which reading and writing imply.
    Topics(Login),
    /// A record to a topic.
    Produce {
        /// Who; `None` over the listener without security.
        user: Option<Login>,
        /// Where.
        topic: &'static str,
        /// How the client calls itself.
        client_id: &'static str,
        /// How many bytes.
        size: u32,
    },
}

/// A user with a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: &'static str,
    pub(super) password: &'static str,
    pub(super) mechanism: &'static str,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The password is right.
    LoggedIn,
    /// The password is wrong, or there is no such user.
    LoginRefused,
    /// The topics, by name.
    Topics(Vec<String>),
    /// The record was taken, and the broker told the producer to wait or did not.
    Taken {
        /// Whether it had to wait.
        throttled: bool,
    },
    /// The record was not taken.
    NotTaken,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.user, self.mechanism)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login(login) => write!(f, "login of {login:?}"),
            Self::Topics(login) => write!(f, "topics that {login:?} sees"),
            Self::Produce { user, topic, client_id, size } => {
                let user = user.as_ref().map_or("nobody", |login| login.user);
                write!(f, "a record of {size} bytes from {user} as {client_id:?} to {topic}")
            }
        }
    }
}

/// The tools, and where they go.
pub(super) struct Asked {
    kafka: Kafka,
    folder: PathBuf,
    bootstrap: String,
    sasl_bootstrap: String,
    vault_bootstrap: String,
    /// What `kafka-configs --describe` is asked for.
    entity_types: &'static [&'static [&'static str]],
    /// Files of settings that were written.
    files: AtomicU32,
}

/// All that 3.9 tells.
pub(super) const ALL_ENTITY_TYPES: &[&[&str]] =
    &[&["topics"], &["brokers"], &["users"], &["clients"], &["users", "clients"], &["ips"]];

/// What 2.4 tells: it has no request for quotas and credentials.
pub(super) const OLD_ENTITY_TYPES: &[&[&str]] = &[&["brokers"]];

impl Asked {
    pub(super) fn new(
        kafka: &Kafka,
        cluster: &ZkModeCluster,
        vault_bootstrap: String,
        entity_types: &'static [&'static [&'static str]],
    ) -> Self {
        Self {
            kafka: kafka.clone(),
            folder: cluster.folder().to_owned(),
            bootstrap: cluster.bootstrap(),
            sasl_bootstrap: cluster.sasl_bootstrap(),
            vault_bootstrap,
            entity_types,
            files: AtomicU32::new(0),
        }
    }

    /// Runs a tool over the listener without security.
    pub(super) async fn tool(&self, program: Program, arguments: &[&str]) -> Result<String, String> {
        let all: Vec<&str> = ["--bootstrap-server", &self.bootstrap].iter().chain(arguments).copied().collect();
        self.kafka.run(program, &all, "").await
    }

    /// All that the broker shows.
    pub(super) async fn facts(&self) -> Result<BTreeSet<String>, String> {
        let configs = self.entity_types.iter().map(|types| {
            let types = types.iter().flat_map(|kind| ["--entity-type", kind]);
            (Program::Configs, std::iter::once("--describe").chain(types).collect::<Vec<_>>())
        });
        let calls: Vec<_> = configs.chain([(Program::Acls, vec!["--list"])]).collect();
        let texts: Vec<String> = stream::iter(&calls)
            .map(|(program, arguments)| self.tool(*program, arguments))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(texts.iter().flat_map(|text| facts(text)).collect())
    }

    /// Tries it.
    pub(super) async fn answer(&self, question: &Question) -> Result<Answer, String> {
        match question {
            Question::Login(login) => match self.topics_of(login).await {
                Ok(_) => Ok(Answer::LoggedIn),
                Err(reason) if reason.contains("Authentication failed") => Ok(Answer::LoginRefused),
                // Until a controller tells the broker of its new listener, nobody is told the way to it: the client is
                // let in and then finds no broker.
                Err(reason) if login.is_of_vault() && reason.contains("node assignment") => Ok(Answer::LoggedIn),
                Err(reason) => Err(reason),
            },
            Question::Topics(login) => self.topics_of(login).await.map(Answer::Topics),
            Question::Produce { user, topic, client_id, size } => {
                self.produce(user.as_ref(), topic, client_id, *size).await
            }
        }
    }

    async fn topics_of(&self, login: &Login) -> Result<Vec<String>, String> {
        let bootstrap = if login.is_of_vault() { &self.vault_bootstrap } else { &self.sasl_bootstrap };
        let config = self.client_config(Some(login))?;
        let arguments = ["--bootstrap-server", bootstrap, "--command-config", &config, "--list"];
        let text = self.kafka.run(Program::Topics, &arguments, "").await?;
        let mut topics: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        topics.sort_unstable();
        Ok(topics)
    }

    async fn produce(&self, user: Option<&Login>, topic: &str, client_id: &str, size: u32) -> Result<Answer, String> {
        let bootstrap = if user.is_some() { &self.sasl_bootstrap } else { &self.bootstrap };
        let (bootstrap, client_id) = (format!("bootstrap.servers={bootstrap}"), format!("client.id={client_id}"));
        let size = size.to_string();
        let config = self.client_config(user)?;
        let arguments = ["--topic", topic, "--num-records", "1", "--record-size", &size, "--throughput", "-1"];
        let more = ["--print-metrics", "--producer.config", &config, "--producer-props", &bootstrap, &client_id];
        let all: Vec<&str> = arguments.iter().chain(&more).copied().collect();
        let text = self.kafka.run(Program::ProducerPerformance, &all, "").await?;
        let produced = Produced::parse(&text).ok_or_else(|| format!("the producer says no numbers: {text}"))?;
        Ok(match produced.sent {
            0 => Answer::NotTaken,
            _ => Answer::Taken { throttled: produced.throttled_ms > 0.0 },
        })
    }

    /// The file of a client's settings. Nothing here is secret.
    fn client_config(&self, login: Option<&Login>) -> Result<String, String> {
        let mut properties = Properties::new()
            .with("request.timeout.ms", 8000)
            .with("default.api.timeout.ms", 10_000)
            .with("max.block.ms", 15_000)
            // Ids of producers are given by a controller that the brokers can ask; there is none.
            .with("enable.idempotence", false);
        if let Some(login) = login {
            properties.set("security.protocol", "SASL_PLAINTEXT");
            properties.set("sasl.mechanism", login.mechanism);
            properties.set("sasl.jaas.config", login.jaas());
        }
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.join(format!("client-{number}.properties"));
        properties.write(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file.display().to_string())
    }

    /// As [`tool`](Self::tool), for a step without which nothing can be asked.
    pub(super) async fn prepare(&self, program: Program, arguments: &[&str]) -> Result<(), Failure> {
        let done = self.tool(program, arguments).await;
        done.map(drop).map_err(|reason| Failure::failed("the cluster can't be prepared").why(reason))
    }
}

impl Login {
    pub(super) const fn scram(user: &'static str, password: &'static str) -> Self {
        Self { user, password, mechanism: "SCRAM-SHA-512" }
    }

    /// One whose password stands in the dynamic config of a broker.
    pub(super) const fn vault(user: &'static str, password: &'static str) -> Self {
        Self { user, password, mechanism: "PLAIN" }
    }

    fn is_of_vault(&self) -> bool {
        self.mechanism == "PLAIN"
    }

    fn jaas(&self) -> String {
        let module = if self.is_of_vault() { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
        let Self { user, password, .. } = self;
        format!("org.apache.kafka.common.security.{module} required username=\"{user}\" password=\"{password}\";")
    }
}
