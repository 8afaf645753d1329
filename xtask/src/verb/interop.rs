//! `cargo xtask interop`: Apache Kafka judges what we write, and we read what Kafka wrote.

use clap::Subcommand;

use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::columns::columns;
use crate::interop::{Lab, Part, PartOptions, PartReport};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// One part alone; without it, all parts one after another
    #[command(subcommand)]
    part: Option<Command>,

    /// Small clusters and Kafka 3.9 alone: the parts `differential` and `kafka-reads`, as CI runs them
    #[arg(long)]
    quick: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Kafka 3.9's own controller migrates the same ZooKeeper, and both logs are compared record by record
    Differential,
    /// Kafka's tools read our logs and snapshots, and a KRaft cluster boots from an exported directory
    KafkaReads,
    /// A stopped ZooKeeper-mode cluster is exported, and Kafka 4.x serves it, data included
    Offline,
    /// We read logs, snapshots and quorum-state that Kafka's controllers wrote
    ReadsKafka,
    /// Changes of ours take effect in a ZooKeeper-mode broker that runs
    ZkBrokers,
}

/// What `--quick` runs.
const QUICK: [Part; 2] = [Part::Differential, Part::KafkaReads];

const ALL: [Part; 5] = [Part::Differential, Part::KafkaReads, Part::Offline, Part::ReadsKafka, Part::ZkBrokers];

impl Args {
    fn parts(&self) -> Vec<Part> {
        match self.part {
            Some(Command::Differential) => vec![Part::Differential],
            Some(Command::KafkaReads) => vec![Part::KafkaReads],
            Some(Command::Offline) => vec![Part::Offline],
            Some(Command::ReadsKafka) => vec![Part::ReadsKafka],
            Some(Command::ZkBrokers) => vec![Part::ZkBrokers],
            None if self.quick => QUICK.to_vec(),
            None => ALL.to_vec(),
        }
    }
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let options = PartOptions { quick: args.quick };
    let mut reports = Vec::new();
    for part in args.parts() {
        shell.note(format_args!("{}:", part.name()));
        let run = async {
            // Each in a place of its own, so that none can lean on what another left.
            let lab = Lab::new(shell)?;
            Ok(part.run(&lab, options).await)
        };
        let report = interrupt.unless_requested(run).await?;
        report.lines.iter().for_each(|line| shell.say(line));
        reports.push(report);
    }
    conclude(&reports)
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
