//! The questions to Kafka, and what came of them.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::{Findings, Lab, differential, kafka_reads, offline, reads_kafka, rollback, served, zk_brokers};
use crate::cli::{Failure, Fields};

/// A question to Kafka. Their order is that of a full run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Kafka 3.9's own controller migrates the same ZooKeeper, and both logs say the same
    Differential,
    /// Kafka's tools read our logs and snapshots, and a KRaft controller with brokers boots from an exported directory
    KafkaReads,
    /// A stopped ZooKeeper-mode cluster is exported, and Kafka 4.x serves it, data included
    Offline,
    /// We read the logs, snapshots and quorum-state of Kafka's controllers
    ReadsKafka,
    /// After our rollback the brokers elect a controller and serve everything, and a second migration works
    Rollback,
    /// ZooKeeper-mode brokers that run are taken over and served by our controller, which elects their leaders
    Served,
    /// Changes that are written to ZooKeeper take effect in a ZooKeeper-mode broker that runs
    ZkBrokers,
}

/// How a part is run.
#[derive(Debug, Clone, Default)]
pub struct PartOptions {
    /// On small clusters, with Kafka 3.9 alone: for CI.
    pub quick: bool,
    /// Where `reads-kafka` puts what it captured, for fixtures.
    pub keep: Option<PathBuf>,
}

/// What came of a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// All ran, and all is as it should be.
    Holds,
    /// Something is not as it should be.
    Broken(Vec<String>),
    /// Something did not run, with why.
    NotRun(Vec<String>),
}

/// A part that was run, or was to be.
#[derive(Debug, Clone)]
pub struct PartReport {
    /// Which.
    pub part: Part,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took.
    pub seconds: f64,
    /// Its lines for people.
    pub lines: Vec<String>,
    /// Its fields for programs.
    pub fields: Fields,
}

#[derive(Serialize)]
struct PartObject<'a> {
    part: &'static str,
    result: &'static str,
    reasons: &'a [String],
    seconds: f64,
    #[serde(flatten)]
    fields: &'a Fields,
}

impl Part {
    /// As typed and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Differential => "differential",
            Self::KafkaReads => "kafka-reads",
            Self::Offline => "offline",
            Self::ReadsKafka => "reads-kafka",
            Self::Rollback => "rollback",
            Self::Served => "served",
            Self::ZkBrokers => "zk-brokers",
        }
    }

    /// Runs it, to its end.
    pub async fn run(self, lab: &Lab, options: PartOptions) -> PartReport {
        let started = std::time::Instant::now();
        let found = match self {
            Self::Differential => differential::run(lab, options).await,
            Self::KafkaReads => kafka_reads::run(lab, options).await,
            Self::Offline => offline::run(lab, options).await,
            Self::ReadsKafka => reads_kafka::run(lab, options).await,
            Self::Rollback => rollback::run(lab, options).await,
            Self::Served => served::run(lab, options).await,
            Self::ZkBrokers => zk_brokers::run(lab, options).await,
        };
        PartReport::new(self, found, started.elapsed().as_secs_f64())
    }
}

impl PartReport {
    /// A part that ended. One that failed on its way did not show what it was to show.
    fn new(part: Part, found: Result<Findings, Failure>, seconds: f64) -> Self {
        let (lines, fields, verdict) = match found {
            Err(failure) => (Vec::new(), Fields::new(), Verdict::NotRun(failure.lines())),
            Ok(findings) => {
                let (broken, not_run) = (findings.what_is_broken(), findings.what_did_not_run());
                let verdict = if !broken.is_empty() {
                    Verdict::Broken(broken.iter().chain(not_run).cloned().collect())
                } else if !not_run.is_empty() {
                    Verdict::NotRun(not_run.to_vec())
                } else {
                    Verdict::Holds
                };
                (findings.lines().to_vec(), findings.fields().clone(), verdict)
            }
        };
        Self { part, verdict, seconds, lines, fields }
    }

    /// Whether it ran and holds.
    pub fn holds(&self) -> bool {
        self.verdict == Verdict::Holds
    }

    /// In a word, and why.
    pub fn result(&self) -> (&'static str, &[String]) {
        match &self.verdict {
            Verdict::Holds => ("holds", &[]),
            Verdict::Broken(reasons) => ("broken", reasons),
            Verdict::NotRun(reasons) => ("not run", reasons),
        }
    }

    /// For programs.
    pub fn object(&self) -> serde_json::Value {
        let (result, reasons) = self.result();
        let seconds = (self.seconds * 10.0).round() / 10.0;
        let object = PartObject { part: self.part.name(), result, reasons, seconds, fields: &self.fields };
        serde_json::to_value(object).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_holds_only_if_all_of_it_ran_and_is_right() {
        let report = |findings| PartReport::new(Part::Offline, Ok(findings), 1.0);
        let mut findings = Findings::new();
        findings.field("topics", 7);
        assert!(report(findings.clone()).holds());
        findings.not_run("no Java");
        assert_eq!(report(findings.clone()).verdict, Verdict::NotRun(vec!["no Java".to_owned()]));
        findings.broken("a topic is missing");
        let both = vec!["a topic is missing".to_owned(), "no Java".to_owned()];
        assert_eq!(report(findings).verdict, Verdict::Broken(both));
        let failed = PartReport::new(Part::Offline, Err(Failure::failed("no Maven")), 1.0);
        assert_eq!(failed.result().0, "not run");
    }

    #[test]
    fn a_part_as_an_object_has_its_name_result_and_fields() {
        let mut findings = Findings::new();
        findings.field("topics", 7);
        let object = PartReport::new(Part::ZkBrokers, Ok(findings), 1.23).object();
        let expected = serde_json::json!(
            {"part": "zk-brokers", "result": "holds", "reasons": [], "seconds": 1.2, "topics": 7}
        );
        assert_eq!(object, expected);
    }
}
