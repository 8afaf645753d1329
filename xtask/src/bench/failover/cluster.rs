//! One cluster with three controllers, whose leader is killed again and again.

use std::path::Path;

use metadata_core::id::NodeId;

use super::report::Size;
use super::takeover::{Takeover, kill_leader};
use super::{CHANGES, CONTROLLERS};
use crate::bench::not_written;
use crate::cli::{Failure, Interrupt, Shell, ZooKeeper};
use crate::fleet::{Fleet, FleetSpec};
use crate::seed::{Blueprint, HeldBrokers, SeedOptions};
use crate::verb::seed::{properties, write_seed};

/// Partitions of each topic.
const PARTITIONS_PER_TOPIC: u32 = 10;
/// The first controller's id: far from the brokers'.
const FIRST_ID: i32 = 3000;

/// Seeds a cluster of about so many partitions, migrates it, and kills its leader `rounds` times.
pub(super) async fn measure(
    partitions: u32,
    rounds: u32,
    zookeeper: &ZooKeeper,
    folder: &Path,
    interrupt: &Interrupt,
    shell: &Shell,
) -> Result<Size, Failure> {
    let options = SeedOptions {
        topics: partitions.div_ceil(PARTITIONS_PER_TOPIC),
        partitions_per_topic: PARTITIONS_PER_TOPIC,
        awkward: false,
        ..SeedOptions::default()
    };
    let blueprint = Blueprint::new(options).map_err(|error| Failure::usage(error.to_string()))?;
    let seeded = write_seed(&blueprint, zookeeper, interrupt, shell).await?;
    shell.note(format_args!("seeded {} partitions of {} topics", seeded.partitions, seeded.topics));
    let brokers = blueprint.brokers().collect();
    let connector = zookeeper.connector.as_ref();
    let mut held = HeldBrokers::register(connector, brokers, zookeeper.settings.secure_acls).await?;
    let mut fleet = start(zookeeper, folder)?;
    let killed = tokio::select! {
        killed = kills(&mut fleet, rounds, shell) => killed,
        failure = held.keep(connector) => Err(failure),
    };
    fleet.stop().await;
    held.release().await;
    Ok(Size::of(seeded.partitions, seeded.topics, CHANGES, killed?))
}

fn start(zookeeper: &ZooKeeper, folder: &Path) -> Result<Fleet, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| not_written(folder, &error))?;
    let config = folder.join("zookeeper.properties");
    std::fs::write(&config, properties(&zookeeper.connector.describe()))
        .map_err(|error| not_written(&config, &error))?;
    let program =
        std::env::current_exe().map_err(|error| Failure::failed("can't find this program").because(&error))?;
    Fleet::start(FleetSpec {
        program,
        folder: folder.to_owned(),
        ids: (FIRST_ID..FIRST_ID + CONTROLLERS).map(NodeId).collect(),
        arguments: ["--unserved-brokers", "--zookeeper-config", &config.display().to_string()]
            .map(str::to_owned)
            .into(),
    })
}

async fn kills(fleet: &mut Fleet, rounds: u32, shell: &Shell) -> Result<Vec<Takeover>, Failure> {
    let mut kills = Vec::new();
    for round in 1..=rounds {
        let kill = kill_leader(fleet, round).await;
        let kill = kill.map_err(|failure| failure.while_doing(format!("kill {round} of {rounds}")))?;
        shell.note(format_args!(
            "kill {round} of {rounds}: controller {} leads after {} ms, and dual-writes {} ms later",
            kill.next, kill.elected_ms, kill.takeover_ms
        ));
        kills.push(kill);
    }
    Ok(kills)
}
