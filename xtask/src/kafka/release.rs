//! The releases of Apache Kafka that we are judged by, and where each keeps its programs.

use std::fmt;

use clap::ValueEnum;
use store_zk::testkit::Artifact;

/// A release of Apache Kafka. All of them run on Java 17.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Release {
    /// From before topics had ids, and the last line whose tools speak to ZooKeeper for everything.
    #[value(name = "2.4")]
    V2_4,
    /// The last line that can migrate; its newest patch.
    #[value(name = "3.9")]
    V3_9,
    /// The newest of the lines that know KRaft alone.
    #[value(name = "4")]
    V4,
}

/// A program of Kafka's. Main classes have moved between releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// A broker, a controller, or both.
    Server,
    /// `kafka-storage`
    Storage,
    /// `kafka-dump-log`
    DumpLog,
    /// `kafka-topics`
    Topics,
    /// `kafka-configs`
    Configs,
    /// `kafka-acls`
    Acls,
    /// `kafka-delegation-tokens`
    DelegationTokens,
    /// `kafka-reassign-partitions`
    Reassign,
    /// `kafka-console-producer`
    ConsoleProducer,
    /// `kafka-console-consumer`
    ConsoleConsumer,
    /// `kafka-producer-perf-test`, which can use transactions
    ProducerPerformance,
    /// `kafka-features`
    Features,
    /// `kafka-metadata-quorum`
    Quorum,
    /// `kafka-cluster`, which unregisters brokers and controllers
    Cluster,
}

impl Release {
    /// The exact version.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V2_4 => "2.4.1",
            Self::V3_9 => "3.9.2",
            Self::V4 => "4.4.0",
        }
    }

    /// What Maven is asked for: the server, the tools, and a logger, without which Kafka logs nothing. The log tool of 3.9
    /// reads snapshots with kafka-shell.
    pub(super) fn artifacts(self) -> Vec<Artifact> {
        let version = self.version();
        let of_kafka = |name| Artifact::new("org.apache.kafka", name, version);
        let mut artifacts = vec![of_kafka("kafka_2.13"), of_kafka("kafka-tools")];
        if self == Self::V3_9 {
            artifacts.push(of_kafka("kafka-shell"));
        }
        artifacts.push(Artifact::new("org.slf4j", "slf4j-reload4j", "1.7.36"));
        artifacts
    }

    /// The program's main class in this release, or `None` where it has no such program.
    pub const fn main_class(self, program: Program) -> Option<&'static str> {
        use Release::{V2_4, V3_9, V4};
        Some(match (program, self) {
            (Program::Server, _) => "kafka.Kafka",
            (Program::Storage | Program::Features | Program::Quorum | Program::Cluster, V2_4) => return None,
            (Program::Storage, V3_9 | V4) => "kafka.tools.StorageTool",
            (Program::DumpLog, V2_4 | V3_9) => "kafka.tools.DumpLogSegments",
            (Program::DumpLog, V4) => "org.apache.kafka.tools.DumpLogSegments",
            (Program::Topics, V2_4) => "kafka.admin.TopicCommand",
            (Program::Topics, V3_9 | V4) => "org.apache.kafka.tools.TopicCommand",
            (Program::Configs, V2_4 | V3_9) => "kafka.admin.ConfigCommand",
            (Program::Configs, V4) => "org.apache.kafka.tools.ConfigCommand",
            (Program::Acls, V2_4 | V3_9) => "kafka.admin.AclCommand",
            (Program::Acls, V4) => "org.apache.kafka.tools.AclCommand",
            (Program::DelegationTokens, V2_4) => "kafka.admin.DelegationTokenCommand",
            (Program::DelegationTokens, V3_9 | V4) => "org.apache.kafka.tools.DelegationTokenCommand",
            (Program::Reassign, V2_4) => "kafka.admin.ReassignPartitionsCommand",
            (Program::Reassign, V3_9 | V4) => "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
            (Program::ConsoleProducer, V2_4 | V3_9) => "kafka.tools.ConsoleProducer",
            (Program::ConsoleProducer, V4) => "org.apache.kafka.tools.ConsoleProducer",
            (Program::ConsoleConsumer, V2_4) => "kafka.tools.ConsoleConsumer",
            (Program::ConsoleConsumer, V3_9 | V4) => "org.apache.kafka.tools.consumer.ConsoleConsumer",
            (Program::ProducerPerformance, _) => "org.apache.kafka.tools.ProducerPerformance",
            (Program::Features, V3_9 | V4) => "org.apache.kafka.tools.FeatureCommand",
            (Program::Quorum, V3_9 | V4) => "org.apache.kafka.tools.MetadataQuorumCommand",
            (Program::Cluster, V3_9 | V4) => "org.apache.kafka.tools.ClusterTool",
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.version())
    }
}
