//! `bench append`: batches of records, each acknowledged when it is on the disk.
//!
//! Four contestants write the same batches, one after the other, in every round; each round begins with another of them, so that
//! a machine that is busy for a while is so for all. The bare disk runs twice: with a sync for each batch, as a log without group
//! commit would have it at best, and with a sync for as many batches as are in flight, which no log can do better.

mod disk;
mod quorum;
pub(crate) mod report;
mod workload;

use std::time::Duration;

use self::quorum::Quorum;
pub(crate) use self::report::AppendReport;
use self::workload::Batches;
use super::folder;
use super::machine::Machine;
use crate::cli::{Failure, Shell};

/// Most records of a run, for its memory: about a gigabyte of them.
const RECORDS_MAX: u64 = 2_000_000;

/// Batches of a contestant in a round.
const BATCHES: u32 = 2000;
/// Records in each.
const RECORDS_PER_BATCH: u32 = 100;
/// Batches that wait for their acknowledgement at once.
const IN_FLIGHT: u32 = 64;
/// Rounds.
const ROUNDS: u32 = 3;

/// How much is written, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct AppendArgs {
    /// Batches that each contestant writes in a round
    #[arg(long, default_value_t = BATCHES, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batches: u32,

    /// Records in each batch
    #[arg(long, default_value_t = RECORDS_PER_BATCH, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) records_per_batch: u32,

    /// Batches that wait for their acknowledgement at once
    #[arg(long, default_value_t = IN_FLIGHT, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) in_flight: u32,

    /// Rounds; in each of them every contestant has a turn
    #[arg(long, default_value_t = ROUNDS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
}

impl Default for AppendArgs {
    fn default() -> Self {
        Self { batches: BATCHES, records_per_batch: RECORDS_PER_BATCH, in_flight: IN_FLIGHT, rounds: ROUNDS }
    }
}

impl AppendArgs {
    fn check(&self) -> Result<(), Failure> {
        let records = u64::from(self.batches) * u64::from(self.records_per_batch);
        if records <= RECORDS_MAX {
            return Ok(());
        }
        Err(Failure::usage(format!("{records} records are too many: they are made before the clock starts"))
            .next(format!("take at most {RECORDS_MAX}, --batches times --records-per-batch")))
    }
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contestant {
    /// The bare disk, a sync for each batch.
    Disk,
    /// The bare disk, a sync for as many batches as are in flight.
    DiskInGroups,
    /// A quorum of one voter.
    One,
    /// A quorum of three voters, all of them in this process and on this disk, over TCP on the loopback.
    Three,
}

impl Contestant {
    const ALL: [Self; 4] = [Self::Disk, Self::DiskInGroups, Self::One, Self::Three];

    /// The name in reports.
    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::DiskInGroups => "disk_in_groups",
            Self::One => "quorum_of_1",
            Self::Three => "quorum_of_3",
        }
    }

    /// In words.
    fn text(self) -> &'static str {
        match self {
            Self::Disk => "bare disk, a sync for each batch",
            Self::DiskInGroups => "bare disk, a sync for all that are in flight",
            Self::One => "quorum of 1",
            Self::Three => "quorum of 3, on one disk and one machine",
        }
    }

    /// Whose turn it is, in a round.
    fn order(round: u32) -> [Self; 4] {
        let mut order = Self::ALL;
        order.rotate_left(round as usize % Self::ALL.len());
        order
    }
}

/// Runs all rounds.
///
/// # Errors
/// Wrong usage: too many records. Failed: the disk can't be written, or a quorum lost its leader.
pub(crate) async fn run(args: AppendArgs, shell: &Shell) -> Result<AppendReport, Failure> {
    args.check()?;
    let machine = Machine::of(folder()?.path());
    let batches = Batches::new(args.batches, args.records_per_batch);
    let encoded = batches.encoded()?;
    let mut seconds = vec![Vec::new(); Contestant::ALL.len()];
    let progress = shell.progress("bench append", "turns", u64::from(args.rounds) * Contestant::ALL.len() as u64);
    for round in 0..args.rounds {
        for contestant in Contestant::order(round) {
            let took = turn(contestant, args, &batches, &encoded).await.map_err(|failure| {
                failure.while_doing(format!("round {} of {}, {}", round + 1, args.rounds, contestant.text()))
            })?;
            if let Some(taken) = seconds.get_mut(contestant as usize) {
                taken.push(took.as_secs_f64());
            }
            progress.advance(1);
        }
    }
    drop(progress);
    Ok(AppendReport::of(args, machine, &encoded, &seconds))
}

/// One contestant writes everything, from the first append to the last acknowledgement.
async fn turn(
    contestant: Contestant,
    args: AppendArgs,
    batches: &Batches,
    encoded: &workload::Encoded,
) -> Result<Duration, Failure> {
    let folder = folder()?;
    let in_flight = args.in_flight as usize;
    match contestant {
        Contestant::Disk => disk::write(folder.path(), encoded.clone(), 1).await,
        Contestant::DiskInGroups => disk::write(folder.path(), encoded.clone(), in_flight).await,
        Contestant::One => Quorum::of_one(folder.path()).await?.write(batches.records(), in_flight).await,
        Contestant::Three => Quorum::of_three(folder.path()).await?.write(batches.records(), in_flight).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_contestant() {
        let firsts: Vec<_> = (0..5).map(|round| Contestant::order(round)[0]).collect();
        assert_eq!(firsts[..4], Contestant::ALL);
        assert_eq!(firsts[4], Contestant::ALL[0]);
    }

    #[test]
    fn more_records_than_memory_holds_are_refused() {
        assert!(AppendArgs::default().check().is_ok());
        let args = AppendArgs { batches: 20_001, ..AppendArgs::default() };
        assert_eq!(args.check().unwrap_err().exit(), crate::cli::Exit::Usage);
    }

    mod on_files {
        use super::*;

        #[tokio::test]
        async fn every_contestant_writes_everything() {
            let args = AppendArgs { batches: 5, records_per_batch: 3, in_flight: 2, rounds: 1 };
            let report = run(args, &Shell::new("test", false)).await.unwrap();
            let names: Vec<_> = report.contestants.iter().map(|it| it.contestant).collect();
            assert_eq!(names, Contestant::ALL.map(Contestant::name), "each has a throughput");
            assert_eq!(report.ratios.len(), 5);
        }
    }
}
