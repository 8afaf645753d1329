//! `cargo xtask interop`: Apache Kafka judges what we write, and we read what Kafka wrote.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::columns::columns;
use crate::interop::{Captured, Lab, Part, PartOptions, PartReport, capture};
use crate::kafka::Release;
use crate::repository_root;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// One part alone; without it, all parts one after another
    #[command(subcommand)]
    part: Option<Command>,

    /// Small clusters and Kafka 3.9 alone: the parts `differential`, `kafka-reads` and `served`, as CI runs them
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Writes trees of znodes that real clusters in ZooKeeper mode have made, for the tests of store-zk
    Capture(CaptureArgs),
    /// Kafka 3.9's own controller migrates the same ZooKeeper, and both logs are compared record by record
    Differential,
    /// Kafka's tools read our logs and snapshots, and a KRaft cluster boots from an exported directory
    KafkaReads,
    /// A stopped ZooKeeper-mode cluster is exported, and Kafka 4.x serves it, data included
    Offline,
    /// We read logs, snapshots and quorum-state that Kafka's controllers wrote
    ReadsKafka {
        /// Keep small files of each release in this folder, for the tests of store-kraft
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
    /// After our rollback the brokers elect a controller and serve everything, and a second migration works
    Rollback,
    /// ZooKeeper-mode brokers that run are taken over and served by our controller, which elects their leaders
    Served,
    /// Changes of ours take effect in a ZooKeeper-mode broker that runs
    ZkBrokers,
}

#[derive(clap::Args)]
struct CaptureArgs {
    /// Only clusters of this release; may be given several times
    #[arg(long, value_name = "RELEASE")]
    kafka: Vec<Release>,

    /// Folder of the files; those of the same name are replaced [default: store-zk/testdata/captured]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What `--quick` runs.
const QUICK: [Part; 3] = [Part::Differential, Part::KafkaReads, Part::Served];

const ALL: [Part; 7] = [
    Part::Differential,
    Part::KafkaReads,
    Part::Offline,
    Part::ReadsKafka,
    Part::Rollback,
    Part::Served,
    Part::ZkBrokers,
];

impl Args {
    fn parts(&self) -> Vec<Part> {
        match &self.part {
            Some(Command::Differential) => vec![Part::Differential],
            Some(Command::KafkaReads) => vec![Part::KafkaReads],
            Some(Command::Offline) => vec![Part::Offline],
            Some(Command::ReadsKafka { .. }) => vec![Part::ReadsKafka],
            Some(Command::Rollback) => vec![Part::Rollback],
            Some(Command::Served) => vec![Part::Served],
            Some(Command::ZkBrokers) => vec![Part::ZkBrokers],
            // It asks Kafka nothing.
            Some(Command::Capture(_)) => Vec::new(),
            None if self.quick => QUICK.to_vec(),
            None => ALL.to_vec(),
        }
    }
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    if let Some(Command::Capture(args)) = &args.part {
        return interrupt.unless_requested(capture_trees(args, shell)).await;
    }
    let keep = match &args.part {
        Some(Command::ReadsKafka { keep }) => keep.clone(),
        _ => None,
    };
    let options = PartOptions { quick: args.quick, keep };
    let mut reports = Vec::new();
    for part in args.parts() {
        shell.note(format_args!("{}:", part.name()));
        let run = async {
            // Each in a place of its own, so that none can lean on what another left.
            let lab = Lab::new(shell)?;
            Ok(part.run(&lab, options.clone()).await)
        };
        let report = interrupt.unless_requested(run).await?;
        report.lines.iter().for_each(|line| shell.say(line));
        reports.push(report);
    }
    conclude(&reports)
}

#[derive(Serialize)]
struct CapturedObject {
    file: String,
    bytes: u64,
    znodes: u64,
    families: BTreeMap<String, u64>,
}

impl From<&Captured> for CapturedObject {
    fn from(captured: &Captured) -> Self {
        Self {
            file: captured.file.display().to_string(),
            bytes: captured.bytes,
            znodes: captured.znodes(),
            families: captured.families.iter().map(|(family, count)| (family.to_string(), *count)).collect(),
        }
    }
}

async fn capture_trees(args: &CaptureArgs, shell: &Shell) -> VerbResult {
    if args.kafka.contains(&Release::V4) {
        return Err(Failure::usage(format!("Kafka {} has no ZooKeeper mode", Release::V4))
            .next("name one of the releases that have: --kafka 2.4, --kafka 3.9"));
    }
    let releases = if args.kafka.is_empty() { vec![Release::V3_9, Release::V2_4] } else { args.kafka.clone() };
    let out = args.out.clone().unwrap_or_else(|| repository_root().join("store-zk/testdata/captured"));
    let captured = capture(&Lab::new(shell)?, &releases, &out).await?;
    let objects: Vec<_> = captured.iter().map(CapturedObject::from).collect();
    let head = ["file", "znodes", "KiB"].map(str::to_owned);
    let rows = captured
        .iter()
        .map(|it| [it.file.display().to_string(), it.znodes().to_string(), format!("{:.0}", it.bytes as f64 / 1024.0)]);
    let table = columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), 1);
    let outcome = Outcome::done().field("captured", objects);
    Ok(table.into_iter().fold(outcome, Outcome::say))
}

fn conclude(reports: &[PartReport]) -> VerbResult {
    let objects: Vec<_> = reports.iter().map(PartReport::object).collect();
    let table = table(reports);
    if reports.iter().all(PartReport::holds) {
        let outcome = Outcome::done().field("parts", objects);
        return Ok(table.into_iter().fold(outcome, Outcome::say));
    }
    let failing: Vec<_> = reports.iter().filter(|report| !report.holds()).map(|report| report.part.name()).collect();
    Err(Failure::failed(format!("not all parts hold: {}", failing.join(", "))).whys(table).field("parts", objects))
}

fn table(reports: &[PartReport]) -> Vec<String> {
    let head = ["part", "result", "minutes"].map(str::to_owned);
    let rows = reports.iter().map(|report| {
        [report.part.name().to_owned(), report.result().0.to_owned(), format!("{:.1}", report.seconds / 60.0)]
    });
    let mut lines = columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), 2);
    for report in reports {
        lines.extend(report.result().1.iter().map(|reason| format!("{}: {reason}", report.part.name())));
    }
    lines
}
