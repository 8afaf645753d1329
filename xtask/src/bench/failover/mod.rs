//! `bench failover`: from the leader's death to the next dual write, in clusters of several sizes.
//!
//! Two spans, told apart because they have nothing to do with each other. The election takes as long as its time-outs say,
//! whatever the cluster's size. The takeover begins when somebody leads again, and ends when a change made there is in
//! ZooKeeper: it costs what was under way when the leader died, and must not grow with the cluster.

mod cluster;
pub(crate) mod report;
mod takeover;
mod watch;

use std::collections::BTreeSet;

pub(crate) use self::report::FailoverReport;
use super::folder;
use super::machine::Machine;
use crate::cli::{Absent, Failure, Interrupt, Shell, ZooKeeperArgs};

/// Controllers of each cluster.
const CONTROLLERS: i32 = 3;
/// Partitions of a small and of a large cluster.
const PARTITIONS: [u32; 2] = [1_000, 100_000];
/// Kills in each cluster.
const ROUNDS: u32 = 3;
/// Random changes before each kill.
const CHANGES: u64 = 100;
/// What takes a hundred times the partitions may take so many times as long, by default: twice for all that large memory and
/// a large ZooKeeper slow down, and half as much for the noise of a few rounds.
const GROWTH_MAX: f64 = 3.0;

/// What is killed, and what is borne.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FailoverArgs {
    #[command(flatten)]
    pub(crate) zookeeper: ZooKeeperArgs,

    /// Partitions of the clusters, at least 10 in each
    #[arg(long, value_delimiter = ',', default_values_t = PARTITIONS, value_name = "N,..",
          value_parser = clap::value_parser!(u32).range(10..=10_000_000))]
    pub(crate) partitions: Vec<u32>,

    /// Kills of the leader in each cluster
    #[arg(long, default_value_t = ROUNDS, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// The takeover in the largest cluster may last so many times as long as in the smallest one
    #[arg(long, default_value_t = GROWTH_MAX, value_name = "RATIO")]
    pub(crate) growth_max: f64,
}

impl Default for FailoverArgs {
    fn default() -> Self {
        Self {
            zookeeper: ZooKeeperArgs::default(),
            partitions: PARTITIONS.into(),
            rounds: ROUNDS,
            growth_max: GROWTH_MAX,
        }
    }
}

/// Runs all clusters, the smallest first.
///
/// # Errors
/// No ZooKeeper, or a path of it that is not empty; or the controllers did not come to what they should.
pub(crate) async fn run(args: &FailoverArgs, interrupt: &Interrupt, shell: &Shell) -> Result<FailoverReport, Failure> {
    let zookeeper = args.zookeeper.open(Absent::Start, shell).await?.for_large_work()?;
    let folder = folder()?;
    let machine = Machine::of(folder.path());
    let mut sizes = Vec::new();
    for partitions in args.partitions.iter().copied().collect::<BTreeSet<_>>() {
        let place = zookeeper.within(&format!("bench-{partitions}"))?;
        let below = folder.path().join(partitions.to_string());
        let measured = cluster::measure(partitions, args.rounds, &place, &below, interrupt, shell).await;
        let measured = measured.map_err(|failure| {
            failure
                .while_doing(format!("the cluster of {partitions} partitions"))
                .field("sizes", serde_json::to_value(&sizes).unwrap_or_default())
        })?;
        sizes.push(measured);
    }
    Ok(FailoverReport::of(args, machine, sizes))
}
