//! A KRaft cluster on directories that `export` made: a controller and brokers, and what they say of their metadata and
//! messages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use metadata_core::id::NodeId;

use super::lab::{failed, port};
use super::view::{Asked, View, login};
use super::{Populated, consume};
use crate::cli::Failure;
use crate::export::settings::{BrokerConfig, Quorum};
use crate::kafka::{Kafka, KafkaServer, Program, ServerSpec};

/// Tools that run at the same time.
const TOOLS_AT_ONCE: usize = 3;

/// How long Kafka's in-sync replicas may take to be all of them again.
const SETTLED_MAX: std::time::Duration = std::time::Duration::from_secs(60);
const SETTLED_POLL: std::time::Duration = std::time::Duration::from_secs(2);

/// What is booted.
#[derive(Debug, Clone)]
pub struct BootSpec<'a> {
    /// The release.
    pub kafka: &'a Kafka,
    /// For the servers' files.
    pub folder: &'a Path,
    /// The directory that `export` wrote.
    pub controller_dir: &'a Path,
    /// The node id that it was told.
    pub node_id: NodeId,
    /// The configuration files of the brokers in ZooKeeper mode. Their log directories have been converted.
    pub configs: Vec<PathBuf>,
    /// As in [`Asked::is_old`].
    pub is_old: bool,
}

/// A KRaft cluster that runs. Dropping it kills it.
pub struct Booted {
    /// Its brokers, in the order of the configurations.
    pub brokers: Vec<KafkaServer>,
    /// Its controller.
    pub controller: KafkaServer,
    kafka: Kafka,
    folder: PathBuf,
    bootstrap: String,
    sasl_bootstrap: String,
    is_old: bool,
}

impl Booted {
    /// Starts a controller, then all brokers at once, with the configurations that `export` proposes.
    ///
    /// # Errors
    /// One of them does not start: the end of its log is in the reasons.
    pub async fn start(spec: &BootSpec<'_>) -> Result<Self, Failure> {
        let address = format!("localhost:{}", port()?);
        let quorum = Quorum { node_id: spec.node_id, address, data_dir: spec.controller_dir.to_owned() };
        let mut configs = Vec::new();
        for file in &spec.configs {
            configs.push(crate::export::settings::read(file).map_err(failed("a broker's configuration"))?);
        }
        let first = configs.first().ok_or_else(|| Failure::failed("there is no broker to boot"))?;
        let server = |name: &str, properties| ServerSpec::new(spec.kafka, name, spec.folder, properties);
        let controller = server("kraft-controller", first.as_controller(&quorum));
        let controller = KafkaServer::start(controller).await.map_err(failed("the controller does not start"))?;
        let mut brokers = Vec::new();
        for config in &configs {
            let id = config.id().ok_or_else(|| Failure::failed("a broker's configuration has no broker.id"))?;
            let broker = server(&format!("kraft-broker-{id}"), config.as_broker(id, &quorum));
            brokers.push(KafkaServer::launch(broker).map_err(failed("a broker does not start"))?);
        }
        for broker in &mut brokers {
            broker.started().await.map_err(failed("a broker does not start"))?;
        }
        let [bootstrap, sasl_bootstrap] =
            ["PLAINTEXT://", "SASL_PLAINTEXT://"].map(|scheme| listeners(&configs, scheme));
        let (kafka, folder) = (spec.kafka.clone(), spec.folder.to_owned());
        Ok(Self { brokers, controller, kafka, folder, bootstrap, sasl_bootstrap, is_old: spec.is_old })
    }

    /// Its listeners without security.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Holds what it shows against what was shown `before`, and against what was made: metadata as the tools show them,
    /// users and tokens by logging in, messages by consuming them, offsets of groups by consuming what is new.
    ///
    /// # Errors
    /// A tool of Kafka fails, which is not expected of any answer.
    pub async fn differences(&self, before: &View, made: &Populated) -> Result<Vec<String>, Failure> {
        let mut differences = self.settled(before, made).await?;
        differences.extend(self.logins(made).await?);
        differences.extend(self.messages(made).await?);
        Ok(differences)
    }

    /// Followers take a moment to be in sync again.
    async fn settled(&self, before: &View, made: &Populated) -> Result<Vec<String>, Failure> {
        let (user, password) = first_user(made)?;
        let asked = Asked {
            kafka: &self.kafka,
            bootstrap: self.bootstrap.clone(),
            sasl_bootstrap: self.sasl_bootstrap.clone(),
            login: login(&self.folder, "after", &user, &password, false)?,
            owners: owners(made),
            is_old: self.is_old,
        };
        let deadline = tokio::time::Instant::now() + SETTLED_MAX;
        loop {
            let differences = before.differences(&View::of(&asked).await?);
            if differences.is_empty() || tokio::time::Instant::now() > deadline {
                return Ok(differences);
            }
            tokio::time::sleep(SETTLED_POLL).await;
        }
    }

    /// Everybody can log in who could.
    async fn logins(&self, made: &Populated) -> Result<Vec<String>, Failure> {
        let users = made.users.iter().map(|user| (user.name.clone(), user.name.clone(), user.password.clone(), false));
        let tokens = made.tokens.iter().enumerate();
        let tokens =
            tokens.map(|(number, token)| (format!("token {number}"), token.id.clone(), token.hmac.clone(), true));
        let tries = users.chain(tokens).enumerate().map(|(number, (who, user, password, is_token))| async move {
            let login = login(&self.folder, &format!("login-{number}"), &user, &password, is_token)?;
            let login = login.display().to_string();
            let arguments = ["--bootstrap-server", &self.sasl_bootstrap, "--command-config", &login, "--list"];
            let tried = self.kafka.run(Program::Topics, &arguments, "").await;
            Ok::<_, Failure>(tried.is_err().then(|| format!("{who} can't log in any more")))
        });
        let tried: Vec<Option<String>> = stream::iter(tries).buffer_unordered(TOOLS_AT_ONCE).try_collect().await?;
        Ok(tried.into_iter().flatten().collect())
    }

    async fn messages(&self, made: &Populated) -> Result<Vec<String>, Failure> {
        let of_topics = made.messages.iter().map(|(topic, sent)| self.messages_of(topic, sent, made.groups.get(topic)));
        let found: Vec<Vec<String>> = stream::iter(of_topics).buffer_unordered(TOOLS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What was sent is there, and a group that had consumed it gets only what is new.
    async fn messages_of(&self, topic: &str, sent: &[String], group: Option<&String>) -> Result<Vec<String>, Failure> {
        let mut differences = Vec::new();
        let mut sent = sent.to_vec();
        sent.sort();
        match consume(&self.kafka, &self.bootstrap, topic, &format!("new to {topic}"), sent.len()).await {
            Ok(found) if found == sent => {}
            Ok(_) => differences.push(format!("messages of {topic} are not those that were sent")),
            Err(failure) => differences.push(failure.to_string()),
        }
        let new: Vec<String> = (0..5).map(|number| format!("new {number}")).collect();
        self.produce(topic, &new).await?;
        let Some(group) = group else { return Ok(differences) };
        // With its offsets lost the group would begin at the first message.
        match consume(&self.kafka, &self.bootstrap, topic, group, new.len()).await {
            Ok(found) if found == new => {}
            Ok(found) => differences.push(format!("group {group:?} of {topic} goes on with {found:?}")),
            Err(failure) => differences.push(failure.to_string()),
        }
        Ok(differences)
    }

    async fn produce(&self, topic: &str, values: &[String]) -> Result<(), Failure> {
        let arguments = ["--bootstrap-server", &self.bootstrap, "--topic", topic, "--request-required-acks", "-1"];
        let keyed = ["--property", "parse.key=true", "--property", "key.separator=|"];
        let lines: String = values.iter().map(|value| format!("{value}|{value}\n")).collect();
        let all: Vec<_> = arguments.into_iter().chain(keyed).collect();
        let run = self.kafka.run(Program::ConsoleProducer, &all, &lines).await;
        run.map(drop).map_err(failed("no message can be produced"))
    }

    /// Stops brokers and controller, as an operator would.
    ///
    /// # Errors
    /// One of them does not stop.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        for server in self.brokers.iter_mut().chain([&mut self.controller]) {
            server.stop().await.map_err(failed("a server does not stop"))?;
        }
        Ok(())
    }
}

/// Who is asked for tokens.
pub(super) fn first_user(made: &Populated) -> Result<(String, String), Failure> {
    let user = made.users.first().ok_or_else(|| Failure::failed("nobody can log in: no user was made"))?;
    Ok((user.name.clone(), user.password.clone()))
}

/// Who owns tokens.
pub(super) fn owners(made: &Populated) -> Vec<String> {
    let owners: BTreeSet<_> = made.tokens.iter().map(|token| token.owner.clone()).collect();
    owners.into_iter().collect()
}

fn listeners(configs: &[BrokerConfig], scheme: &str) -> String {
    let all = configs.iter().flat_map(|config| config.listeners());
    all.filter_map(|listener| listener.strip_prefix(scheme).map(str::to_owned)).collect::<Vec<_>>().join(",")
}
