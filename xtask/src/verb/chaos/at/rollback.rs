//! The way back: whoever dies on it, `rollback` run again ends it, and a fresh directory migrates as if nothing had been.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;
use store_zk::znode::path::{CONTROLLER, MIGRATION};
use tokio::process::Child;

use super::life::{Ended, Life, SIGKILL};
use crate::cli::Failure;
use crate::controller::{DIE_AT, Moment, Seal};
use crate::own::{RUN_MAX, end, output};
use crate::verb::chaos::Cluster;
use crate::verb::chaos::end_state::EndState;

impl Life {
    /// Asks the running controller to go back. It fails when the controller dies.
    pub(super) async fn roll_back_running(&mut self) -> Result<(), Failure> {
        let planned = self.cluster.ask("rollback", &["--dry-run"]).await?;
        self.epoch_before = planned.get("epoch_before").and_then(Value::as_i64);
        self.cluster.ask("rollback", &[]).await.map(drop)
    }

    /// How far a rollback is, by ZooKeeper and by the directory.
    pub(super) async fn rollback_stage(&self) -> Result<String, Failure> {
        let planned = self.cluster.ask("rollback", &["--dry-run"]).await?;
        let stage = planned.get("stage").and_then(Value::as_str).unwrap_or_default();
        let seal = match Seal::read(&self.cluster.data_dir)? {
            None => "open",
            Some(seal) if seal.is_done() => "sealed",
            Some(_) => "begun",
        };
        Ok(format!("{stage}, {seal}"))
    }

    /// Whoever runs it again may die there too: this time without a controller, and only where there is still something to do.
    pub(super) async fn die_again(&self, moment: Moment) -> Result<(), Failure> {
        let mut command = self.cluster.command("rollback", &[])?;
        command.arg("--zookeeper-config").arg(&self.cluster.config).env(DIE_AT, moment.to_string());
        let (status, object) = output(command).await?;
        if status.success() || status.signal() == Some(SIGKILL) {
            return Ok(());
        }
        Err(Failure::failed("`rollback` run again did not end well").why(format!("{status}, {object}")))
    }

    /// Goes back, or ends what dead ones have begun; then another directory migrates.
    pub(super) async fn end_given_back(&mut self) -> Result<Ended, Failure> {
        if self.died {
            self.cluster.ask("rollback", &[]).await?;
        } else {
            let mut controller = self.cluster.living().await?;
            let rolled_back = self.roll_back_running().await;
            let ended = ended_by_itself(&mut controller).await;
            rolled_back.and(ended)?;
        }
        let again = self.cluster.ask("rollback", &[]).await?;
        let mut broken = self.not_given_back(&again);
        let stage = self.rollback_stage().await?;
        if stage != "GIVEN_BACK, sealed" {
            broken.push(format!("the rollback is over, and its stage is {stage}"));
        }
        broken.extend(self.refuses_to_migrate().await?);
        let given_back = EndState::read(&self.cluster.config, &self.cluster.data_dir).await?;
        let still_there = [MIGRATION, CONTROLLER].into_iter().filter(|path| given_back.has(path));
        broken.extend(still_there.map(|path| format!("{path} is still there after the rollback")));

        let second =
            Cluster { config: self.cluster.config.clone(), data_dir: self.cluster.data_dir.with_extension("second") };
        let (state, counts) = second.finish().await?;
        Ok(Ended { state, counts, broken })
    }

    /// What is wrong with the report of a rollback after which there is nothing left to do.
    fn not_given_back(&self, report: &Value) -> Vec<String> {
        let number = |field: &str| report.get(field).and_then(Value::as_i64);
        let mut broken = Vec::new();
        let says = |field: &str, value: Value| report.get(field) == Some(&value);
        if !(says("rolled_back", true.into()) && says("wrote", false.into()) && says("stage", "GIVEN_BACK".into())) {
            broken.push(format!("`rollback` run once more still had something to do: {report}"));
        }
        match (self.epoch_before, number("epoch"), number("partition_epoch_max")) {
            (Some(before), Some(epoch), Some(highest)) if epoch > before && epoch >= highest => {}
            (before, epoch, highest) => broken.push(format!(
                "/controller_epoch is {epoch:?} after the rollback; it was {before:?}, and partitions have {highest:?}"
            )),
        }
        broken
    }
}

/// A controller ends by itself once the role is given back.
async fn ended_by_itself(controller: &mut Child) -> Result<(), Failure> {
    let status = match tokio::time::timeout(RUN_MAX, controller.wait()).await {
        Ok(status) => status.map_err(|error| Failure::failed("can't watch migrate").because(&error))?,
        Err(_) => {
            end(controller).await;
            return Err(Failure::failed("migrate goes on although the role is given back"));
        }
    };
    if status.success() {
        return Ok(());
    }
    Err(Failure::failed("migrate did not end well after a rollback").why(status.to_string()))
}
