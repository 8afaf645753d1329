//! What `bench failover` tells, and its verdict.

use serde::Serialize;

use super::takeover::Takeover;
use super::{CONTROLLERS, FailoverArgs};
use crate::bench::figures::{Spread, growth};
use crate::bench::machine::Machine;
use crate::columns::columns;

/// All figures, and under which conditions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FailoverReport {
    /// What it ran on.
    pub(crate) machine: Machine,
    /// Whether an acknowledgement means that fdatasync has returned. It always does.
    pub(crate) fsync: bool,
    /// Controllers of each cluster, each a process.
    pub(crate) controllers: i32,
    /// Kills in each cluster.
    pub(crate) rounds: u32,
    /// The clusters, the smallest first.
    pub(crate) sizes: Vec<Size>,
    /// Median takeover of the largest cluster over that of the smallest; `None` with one size alone.
    pub(crate) growth: Option<f64>,
    /// What it may be.
    pub(crate) growth_max: f64,
    #[serde(skip)]
    asked: Vec<u32>,
}

/// A cluster, and what became of its leaders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Size {
    /// Its partitions.
    pub(crate) partitions: u64,
    /// Its topics.
    pub(crate) topics: u64,
    /// Random changes before each kill.
    pub(crate) changes: u64,
    /// From the kill until another said that it leads.
    pub(crate) elected_ms: Option<Spread>,
    /// From then until ZooKeeper had a change that was made there.
    pub(crate) takeover_ms: Option<Spread>,
    /// How long a status took at the leader.
    pub(crate) status_ms: Option<Spread>,
    /// Each kill.
    pub(crate) kills: Vec<Takeover>,
}

impl Size {
    /// Of at least one kill.
    pub(super) fn of(partitions: u64, topics: u64, changes: u64, kills: Vec<Takeover>) -> Self {
        let spread = |of: fn(&Takeover) -> u64| {
            let values: Vec<f64> = kills.iter().map(|kill| of(kill) as f64).collect();
            Spread::of(&values)
        };
        Self {
            partitions,
            topics,
            changes,
            elected_ms: spread(|kill| kill.elected_ms),
            takeover_ms: spread(|kill| kill.takeover_ms),
            status_ms: spread(|kill| kill.status_ms),
            kills,
        }
    }
}

impl FailoverReport {
    pub(super) fn of(args: &FailoverArgs, machine: Machine, sizes: Vec<Size>) -> Self {
        let medians: Vec<_> =
            sizes.iter().filter_map(|size| Some((size.partitions, size.takeover_ms?.median))).collect();
        Self {
            machine,
            fsync: true,
            controllers: CONTROLLERS,
            rounds: args.rounds,
            sizes,
            growth: growth(&medians),
            growth_max: args.growth_max,
            asked: args.partitions.clone(),
        }
    }

    /// Every reason why it is not as it should be; none if it is.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if let Some(growth) = self.growth.filter(|growth| *growth > self.growth_max) {
            complaints.push(format!(
                "the takeover grows with the cluster: {growth:.1} times as long in the largest as in the smallest, and \
                 {:.1} times is the most (--growth-max)",
                self.growth_max
            ));
        }
        for size in &self.sizes {
            let full = size.kills.iter().filter(|kill| kill.full_sync).count();
            if full > 0 {
                complaints.push(format!(
                    "with {} partitions {full} of {} new leaders wrote all of ZooKeeper anew, instead of going on",
                    size.partitions,
                    size.kills.len()
                ));
            }
        }
        complaints
    }

    /// For people, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("failover: {} controllers, {} kills of the leader in each cluster", self.controllers, self.rounds),
            format!("  {}; every acknowledgement after fdatasync", self.machine.text()),
            String::new(),
        ];
        let mut rows = vec![["  partitions", "elected ms", "takeover ms", "status ms", "behind"].map(str::to_owned)];
        rows.extend(self.sizes.iter().map(|size| {
            let text = |spread: Option<Spread>| spread.map_or_else(String::new, |spread| spread.text(0));
            let behind: Vec<f64> = size.kills.iter().map(|kill| kill.records_behind as f64).collect();
            [
                format!("  {}", size.partitions),
                text(size.elected_ms),
                text(size.takeover_ms),
                text(size.status_ms),
                text(Spread::of(&behind)),
            ]
        }));
        lines.extend(columns(&rows, 1));
        lines.push("  each as median (least to most); behind: records that ZooKeeper lacked at the kill".to_owned());
        if let Some(growth) = self.growth {
            lines.push(format!("  growth: {growth:.2}, of at most {:.2}", self.growth_max));
        }
        lines.extend(self.machine.doubts().into_iter().map(|doubt| format!("  note: {doubt}")));
        let partitions: Vec<_> = self.asked.iter().map(ToString::to_string).collect();
        lines.push(format!(
            "  again: cargo xtask bench failover --partitions {} --rounds {} --growth-max {}",
            partitions.join(","),
            self.rounds,
            self.growth_max
        ));
        lines
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn kill(takeover_ms: u64, full_sync: bool) -> Takeover {
        Takeover {
            killed: 3000,
            next: 3001,
            epoch: 2,
            records_behind: 7,
            elected_ms: 3200,
            takeover_ms,
            full_sync,
            status_ms: 1,
        }
    }

    /// A run with one kill in each cluster, which took so long.
    pub(crate) fn a_report(small: u64, large: u64, full_sync: bool) -> FailoverReport {
        let size = |partitions, took, full| {
            Size::of(partitions, partitions / 10, 100, vec![kill(took, full), kill(took, full)])
        };
        let machine = Machine { build: "release", cores: 2, filesystem: Some("ext4".to_owned()) };
        let sizes = vec![size(1_050, small, false), size(100_050, large, full_sync)];
        FailoverReport::of(&FailoverArgs::default(), machine, sizes)
    }

    #[test]
    fn a_takeover_that_grows_or_writes_everything_anew_is_complained_of() {
        for (small, large, full, complaints) in [
            (50, 50, false, 0),
            (50, 150, false, 0),
            (50, 151, false, 1),
            (500, 50, false, 0),
            (50, 60, true, 1),
            (50, 600, true, 2),
        ] {
            let found = a_report(small, large, full).complaints();
            assert_eq!(found.len(), complaints, "{small} {large} {full}: {found:?}");
        }
        let complaint = a_report(50, 500, false).complaints().remove(0);
        assert!(complaint.contains("10.0 times") && complaint.contains("--growth-max"), "{complaint}");
    }

    #[test]
    fn the_table_has_a_line_for_each_cluster() {
        let text = a_report(50, 75, false).lines().join("\n");
        for part in ["1050", "100050", "75 (75 to 75)", "growth: 1.50, of at most 3.00", "--partitions 1000,100000"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
