//! Every kind of metadata that Kafka keeps, made by Kafka's own tools in a cluster that runs.
//!
//! [`populate`] leaves a healthy cluster with all of it; [`leave_half_done`] then leaves a reassignment and a deletion
//! that can't come to their end.

mod acls;
mod calls;
mod half_done;
mod made;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};

use self::calls::{Call, Tools};
pub use self::half_done::{HalfDone, leave_half_done};
pub use self::made::{
    AclEntry, Grant, MadeBrokerConfig, MadeQuota, MadeToken, MadeTopic, MadeUser, Pattern, Populated, QuotaEntity,
    Resource,
};
pub(super) use self::plan::UNCLEAN_TOPIC;
use super::lab::failed;
use super::{Lab, ZkModeCluster};
use crate::cli::Failure;
use crate::kafka::{Kafka, Release};

/// Tools that run at the same time. Most of what each does is to start a Java.
const TOOLS_AT_ONCE: usize = 3;

/// How often a login is tried: brokers learn of a new user a moment after it was made.
const LOGINS_MAX: u32 = 10;
const LOGIN_PAUSE: Duration = Duration::from_secs(1);

/// What is made.
#[derive(Debug, Clone, Copy)]
pub struct PopulateOptions {
    /// How many partitions the largest topic has.
    pub partitions: i32,
    /// Whether the settings of a broker that is not there are made, which only the old way over ZooKeeper can.
    pub absent_broker: bool,
}

impl Default for PopulateOptions {
    fn default() -> Self {
        Self { partitions: 40, absent_broker: true }
    }
}

/// Makes every kind of metadata that the cluster's release knows. The cluster's brokers all run, before and after.
///
/// # Errors
/// A tool fails, or a consumer does not get the messages that were sent.
pub async fn populate(lab: &Lab, cluster: &ZkModeCluster, options: &PopulateOptions) -> Result<Populated, Failure> {
    let kafka = cluster.kafka();
    lab.note(format_args!("making every kind of metadata with the tools of Kafka {}", kafka.release()));
    let mut made = plan::plan(kafka.release(), &broker_ids(cluster), options);
    let tools = Tools::of(cluster);
    run_all(kafka, tools.first(&made)).await?;
    run_all(kafka, tools.second(&made)).await?;
    consume_all(cluster, &made).await?;
    make_tokens(cluster, &tools, &mut made).await?;
    Ok(made)
}

/// The values of all messages of a topic, sorted, as a consumer of this group gets them.
///
/// # Errors
/// The consumer fails, or gets fewer within a minute.
pub async fn consume(
    kafka: &Kafka,
    bootstrap: &str,
    topic: &str,
    group: &str,
    count: usize,
) -> Result<Vec<String>, Failure> {
    let call = calls::consumer(bootstrap, topic, group, count);
    let printed = run(kafka, &call).await?;
    let mut values: Vec<String> = printed.lines().map(str::to_owned).collect();
    values.sort();
    if values.len() == count {
        return Ok(values);
    }
    let got = values.len();
    Err(Failure::failed(format!("a consumer of {topic} got {got} messages of {count}")))
}

/// Ids of the brokers that were started.
fn broker_ids(cluster: &ZkModeCluster) -> Vec<i32> {
    let ids = cluster.brokers.iter().filter_map(|broker| broker.spec().properties.get("broker.id"));
    ids.filter_map(|id| id.parse().ok()).collect()
}

async fn run(kafka: &Kafka, call: &Call) -> Result<String, Failure> {
    kafka.run(call.program, &call.arguments, &call.input).await.map_err(failed("a tool of Kafka fails"))
}

/// Runs calls that do not depend on each other.
async fn run_all(kafka: &Kafka, calls: Vec<Call>) -> Result<(), Failure> {
    let runs = calls.into_iter().map(|call| async move { run(kafka, &call).await.map(drop) });
    stream::iter(runs).buffer_unordered(TOOLS_AT_ONCE).try_collect().await
}

/// Each topic's messages are consumed by a group of its own, whose offsets stay.
async fn consume_all(cluster: &ZkModeCluster, made: &Populated) -> Result<(), Failure> {
    let bootstrap = cluster.bootstrap();
    for (topic, group) in &made.groups {
        let mut sent = made.messages.get(topic).cloned().unwrap_or_default();
        sent.sort();
        if consume(cluster.kafka(), &bootstrap, topic, group, sent.len()).await? != sent {
            return Err(Failure::failed(format!("a consumer of {topic} got other messages than were sent")));
        }
    }
    Ok(())
}

async fn make_tokens(cluster: &ZkModeCluster, tools: &Tools, made: &mut Populated) -> Result<(), Failure> {
    let logins: BTreeMap<_, _> = made.users.iter().map(|user| (user.name.clone(), user.password.clone())).collect();
    let login = |user: &str| -> Result<calls::Login, Failure> {
        let password = logins.get(user).map(String::as_str).unwrap_or_default();
        calls::Login::write(cluster.folder(), user, password)
            .map_err(|error| Failure::failed(format!("can't write the login of {user}")).because(&error))
    };
    for wanted in plan::tokens(cluster.kafka().release()) {
        let call = tools.create_token(&login(wanted.requester)?, &wanted);
        let printed = logged_in(cluster.kafka(), &call).await?;
        let token = wanted.made(&printed).ok_or_else(|| {
            // What was printed has the token's secret in it.
            Failure::failed("the tool of delegation tokens printed no token")
        })?;
        if wanted.renewed {
            run(cluster.kafka(), &tools.renew_token(&login(wanted.requester)?, &token)).await?;
        }
        made.tokens.push(token);
    }
    Ok(())
}

/// Runs a call of a user who was made a moment ago.
async fn logged_in(kafka: &Kafka, call: &Call) -> Result<String, Failure> {
    let mut tried = 1;
    loop {
        match run(kafka, call).await {
            Err(_) if tried < LOGINS_MAX => tokio::time::sleep(LOGIN_PAUSE).await,
            ended => return ended,
        }
        tried += 1;
    }
}

/// Whether a release's tools speak to ZooKeeper about users, client ids and topics' configs.
fn over_zookeeper(release: Release) -> bool {
    release == Release::V2_4
}
