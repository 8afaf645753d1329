//! What the brokers are asked, with Kafka's own tools.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::{ZkModeCluster, consume};
use crate::cli::Failure;
use crate::interop::lab::failed;
use crate::kafka::{Kafka, Program};

/// How long partitions may take to be online, all replicas in sync.
const ONLINE_WITHIN: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_secs(1);

/// The partitions as the brokers describe them.
#[derive(Debug, Default, PartialEq)]
pub(in crate::interop) struct Online {
    pub(in crate::interop) partitions: usize,
    pub(in crate::interop) with_leader: usize,
    /// Those without, or with fewer in-sync replicas than replicas, as printed.
    pub(in crate::interop) without_leader: Vec<String>,
}

impl Online {
    /// Reads what `kafka-topics --describe` printed. A replica on `without` need not be in sync, and must not lead.
    fn parse(text: &str, without: Option<i32>) -> Self {
        let without = without.map(|id| id.to_string());
        let mut online = Self::default();
        for line in text.lines().filter(|line| line.contains("Partition: ")) {
            let value = |key: &str| {
                let (_, rest) = line.split_once(key)?;
                rest.split_whitespace().next()
            };
            let is_there = |id: &&str| without.as_deref() != Some(id);
            let count = |key: &str| value(key).map(|list| list.split(',').filter(is_there).count());
            online.partitions += 1;
            let led = value("Leader: ")
                .is_some_and(|leader| is_there(&leader) && leader.parse::<i32>().is_ok_and(|id| id >= 0));
            if led && count("Isr: ") == count("Replicas: ") {
                online.with_leader += 1;
            } else {
                online.without_leader.push(line.trim().replace('\t', " "));
            }
        }
        online
    }
}

/// Kafka's tools, pointed at a cluster.
pub(in crate::interop) struct Asked {
    kafka: Kafka,
    bootstrap: String,
    /// Messages sent, by topic.
    sent: Mutex<BTreeMap<String, usize>>,
}

impl Asked {
    pub(in crate::interop) fn new(cluster: &ZkModeCluster) -> Self {
        Self { kafka: cluster.kafka().clone(), bootstrap: cluster.bootstrap(), sent: Mutex::default() }
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tool(&self, program: Program, arguments: &[&str], input: &str) -> Result<String, String> {
        let all: Vec<&str> = ["--bootstrap-server", &self.bootstrap].iter().chain(arguments).copied().collect();
        self.kafka.run(program, &all, input).await
    }

    /// A step without which nothing can be asked.
    pub(in crate::interop) async fn prepare(&self, program: Program, arguments: &[&str]) -> Result<(), Failure> {
        self.tool(program, arguments, "").await.map(drop).map_err(failed("the cluster can't be prepared"))
    }

    /// Waits until every partition is online, and tells how it is when they are or the time is over.
    pub(in crate::interop) async fn online(&self) -> Result<Online, Failure> {
        self.online_but(None).await
    }

    /// The same while one broker is away.
    pub(in crate::interop) async fn online_without(&self, id: i32) -> Result<Online, Failure> {
        self.online_but(Some(id)).await
    }

    async fn online_but(&self, without: Option<i32>) -> Result<Online, Failure> {
        let deadline = Instant::now() + ONLINE_WITHIN;
        loop {
            let described = self.tool(Program::Topics, &["--describe"], "").await;
            let over = Instant::now() > deadline;
            match described {
                Ok(text) => {
                    let online = Online::parse(&text, without);
                    if over || (online.partitions > 0 && online.without_leader.is_empty()) {
                        return Ok(online);
                    }
                }
                Err(reason) if over => return Err(failed("the topics can't be described")(reason)),
                Err(_) => {}
            }
            sleep(PAUSE).await;
        }
    }

    /// Creates a topic.
    pub(in crate::interop) async fn create(&self, topic: &str) -> Result<(), Failure> {
        let create = ["--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1"];
        self.tool(Program::Topics, &create, "").await.map(drop).map_err(failed("the controller makes no topic"))
    }

    /// Sends messages, acknowledged by all in-sync replicas.
    pub(in crate::interop) async fn produce(&self, topic: &str, values: &[&str]) -> Result<(), Failure> {
        let lines: String = values.iter().map(|value| format!("{value}\n")).collect();
        let arguments = ["--topic", topic, "--request-required-acks", "-1"];
        let sent = self.tool(Program::ConsoleProducer, &arguments, &lines).await;
        sent.map_err(failed("no message can be produced"))?;
        *self.sent().entry(topic.to_owned()).or_default() += values.len();
        Ok(())
    }

    /// Sends a message with this mark and finds it again.
    pub(in crate::interop) async fn goes_through(&self, topic: &str, mark: &str) -> Result<(), Failure> {
        let value = format!("{topic} {mark}");
        let group = value.replace(' ', "-");
        // Messages of before are there too; a group that is new gets them all.
        self.produce(topic, &[&value]).await?;
        let count = self.sent().get(topic).copied().unwrap_or_default();
        let found = consume(&self.kafka, &self.bootstrap, topic, &group, count).await?;
        if found.contains(&value) {
            return Ok(());
        }
        Err(Failure::failed(format!("of {count} messages none is {value:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_without_a_leader_or_out_of_sync_are_told() {
        let text = "Topic: a\tTopicId: x\tPartitionCount: 3\tReplicationFactor: 2\tConfigs: \n\
            \tTopic: a\tPartition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 2,1\tElr: N/A\tLastKnownElr: N/A\n\
            \tTopic: a\tPartition: 1\tLeader: none\tReplicas: 1,2\tIsr: \tElr: N/A\n\
            \tTopic: a\tPartition: 2\tLeader: 1\tReplicas: 1,2\tIsr: 1\tElr: N/A\n";
        let online = Online::parse(text, None);
        assert_eq!((online.partitions, online.with_leader, online.without_leader.len()), (3, 1, 2));
        let without_two = Online::parse(text, Some(2));
        assert_eq!(without_two.with_leader, 2, "what is on broker 2 is not missed");
        assert_eq!(Online::parse(text, Some(1)).with_leader, 0, "it leads, and must not");
        assert!(online.without_leader[0].contains("Leader: none"));
    }
}
