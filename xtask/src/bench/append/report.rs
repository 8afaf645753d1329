//! What `bench append` tells.

use serde::Serialize;

use super::workload::Encoded;
use super::{AppendArgs, Contestant};
use crate::bench::figures::{Spread, ratios};
use crate::bench::machine::{Machine, is_noisy};
use crate::columns::columns;

/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;

/// What is held against what: throughput over throughput.
const RATIOS: [(Contestant, Contestant); 5] = [
    (Contestant::Three, Contestant::One),
    (Contestant::One, Contestant::Disk),
    (Contestant::Three, Contestant::Disk),
    (Contestant::One, Contestant::DiskInGroups),
    (Contestant::Three, Contestant::DiskInGroups),
];

/// All figures, and under which conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct AppendReport {
    /// What it ran on.
    pub(crate) machine: Machine,
    /// Whether an acknowledgement means that fdatasync has returned. It always does.
    pub(crate) fsync: bool,
    /// Rounds.
    pub(crate) rounds: u32,
    /// Batches of each contestant in a round.
    pub(crate) batches: u32,
    /// Records in each.
    pub(crate) records_per_batch: u32,
    /// Batches that waited for their acknowledgement at once.
    pub(crate) in_flight: u32,
    /// Bytes of a record in its batch, the header's share included.
    pub(crate) record_bytes: f64,
    /// Bytes of a batch.
    pub(crate) batch_bytes: f64,
    /// Who wrote how fast.
    pub(crate) contestants: Vec<Throughput>,
    /// One against the other.
    pub(crate) ratios: Vec<Ratio>,
}

/// How fast one wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Throughput {
    /// Who.
    pub(crate) contestant: &'static str,
    /// Records that were acknowledged in a second.
    pub(crate) records_per_second: Spread,
    /// Bytes of batches, each counted once, in MiB.
    pub(crate) mib_per_second: Spread,
    #[serde(skip)]
    text: &'static str,
}

/// The throughput of one over that of another, round by round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Ratio {
    /// Whose.
    pub(crate) of: &'static str,
    /// Over whose.
    pub(crate) to: &'static str,
    /// How much.
    pub(crate) ratio: Spread,
}

impl AppendReport {
    /// The report of a run, in which each contestant took so many seconds in each round.
    pub(super) fn of(args: AppendArgs, machine: Machine, encoded: &Encoded, seconds: &[Vec<f64>]) -> Self {
        let AppendArgs { batches, records_per_batch, in_flight, rounds } = args;
        let records = f64::from(batches) * f64::from(records_per_batch);
        let bytes = encoded.bytes() as f64;
        let per_second = |contestant: Contestant, amount: f64| -> Vec<f64> {
            let taken = seconds.get(contestant as usize).map(Vec::as_slice).unwrap_or_default();
            taken.iter().filter(|seconds| **seconds > 0.0).map(|seconds| amount / seconds).collect()
        };
        let throughput = |contestant: Contestant| {
            Some(Throughput {
                contestant: contestant.name(),
                text: contestant.text(),
                records_per_second: Spread::of(&per_second(contestant, records))?,
                mib_per_second: Spread::of(&per_second(contestant, bytes / MIB))?,
            })
        };
        let ratio = |(of, to): (Contestant, Contestant)| {
            let ratio = Spread::of(&ratios(&per_second(of, records), &per_second(to, records)))?;
            Some(Ratio { of: of.name(), to: to.name(), ratio })
        };
        Self {
            machine,
            fsync: true,
            rounds,
            batches,
            records_per_batch,
            in_flight,
            record_bytes: bytes / records,
            batch_bytes: bytes / f64::from(batches),
            contestants: Contestant::ALL.into_iter().filter_map(throughput).collect(),
            ratios: RATIOS.into_iter().filter_map(ratio).collect(),
        }
    }

    /// For people, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!(
                "append: {} batches of {} records ({:.0} bytes each, {:.0} a batch), {} in flight, {} rounds",
                self.batches, self.records_per_batch, self.record_bytes, self.batch_bytes, self.in_flight, self.rounds
            ),
            format!("  {}; every acknowledgement after fdatasync", self.machine.text()),
            String::new(),
        ];
        let mut rows = vec![["  ", "records/s", "(least to most)", "MiB/s"].map(str::to_owned)];
        rows.extend(self.contestants.iter().map(|it| {
            let Spread { median, least, most } = it.records_per_second;
            let mib = format!("{:.1}", it.mib_per_second.median);
            [format!("  {}", it.text), format!("{median:.0}"), format!("({least:.0} to {most:.0})"), mib]
        }));
        lines.extend(columns(&rows, 1));
        lines.push(String::new());
        let mut rows = vec![["  ratio", "to", "", "(least to most)"].map(str::to_owned)];
        rows.extend(self.ratios.iter().map(|it| {
            let Spread { median, least, most } = it.ratio;
            [format!("  {}", it.of), it.to.to_owned(), format!("{median:.3}"), format!("({least:.3} to {most:.3})")]
        }));
        lines.extend(columns(&rows, 2));
        let mut doubts = self.machine.doubts();
        if self.ratios.iter().any(|it| is_noisy(&it.ratio)) {
            doubts.push("the rounds differ a good deal: the machine was busy with something else".to_owned());
        }
        lines.extend(doubts.into_iter().map(|doubt| format!("  note: {doubt}")));
        lines.push(format!(
            "  again: cargo xtask bench append --batches {} --records-per-batch {} --in-flight {} --rounds {}",
            self.batches, self.records_per_batch, self.in_flight, self.rounds
        ));
        lines
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;

    /// A run in which the second round was slow for everybody.
    pub(crate) fn a_report() -> AppendReport {
        let args = AppendArgs { batches: 2, records_per_batch: 10, in_flight: 2, rounds: 2 };
        let machine = Machine { build: "release", cores: 2, filesystem: Some("ext4".to_owned()) };
        let seconds = [vec![1.0, 4.0], vec![0.5, 2.0], vec![2.0, 8.0], vec![4.0, 16.0]];
        AppendReport::of(args, machine, &Encoded(Arc::from([vec![0; 1024], vec![0; 1024]])), &seconds)
    }

    #[test]
    fn a_busy_machine_changes_the_figures_and_not_the_ratios() {
        let report = a_report();
        assert_eq!((report.record_bytes, report.batch_bytes), (102.4, 1024.0));
        let found: Vec<_> = report.ratios.iter().map(|it| (it.of, it.to, it.ratio)).collect();
        let always = |ratio| Spread { median: ratio, least: ratio, most: ratio };
        assert_eq!(
            found,
            [
                ("quorum_of_3", "quorum_of_1", always(0.5)),
                ("quorum_of_1", "disk", always(0.5)),
                ("quorum_of_3", "disk", always(0.25)),
                ("quorum_of_1", "disk_in_groups", always(0.25)),
                ("quorum_of_3", "disk_in_groups", always(0.125)),
            ]
        );
        let disk = report.contestants.first().unwrap();
        assert_eq!(disk.records_per_second, Spread { median: 12.5, least: 5.0, most: 20.0 });
        let text = report.lines().join("\n");
        for part in ["2 batches of 10 records", "release build, 2 cores, ext4", "0.125", "--in-flight 2 --rounds 2"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("note:"), "{text}");
    }
}
