//! What a rollback is to do or has done, for people and for programs.

use std::collections::BTreeMap;

use metadata_core::give_back::{GiveBackPlan, GiveBackStage, Governance};
use metadata_core::id::NodeId;
use metadata_core::record::ZkMigrationState;
use migration::rollback::RolledBack;
use serde::{Deserialize, Serialize};

use super::seal::ROLLBACK_FILE;

/// Whose rollback it is.
#[derive(Debug, Clone)]
pub(super) struct Where {
    pub(super) cluster_id: String,
    pub(super) data_dir: Option<String>,
    pub(super) zookeeper: String,
}

/// A step of the plan, with what must hold before and what holds after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackStep {
    /// What is done.
    pub step: String,
    /// What must hold before.
    pub before: String,
    /// What holds after.
    pub after: String,
}

/// A rollback, planned or done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RollbackReport {
    /// The stage that was found.
    pub stage: String,
    /// The migration state in the log, as Kafka spells it; `NONE` without a log.
    pub migration_state: String,
    /// Whether this is the plan alone.
    pub dry_run: bool,
    /// Whether nothing of this log is in ZooKeeper any more.
    pub rolled_back: bool,
    /// Whether this run wrote to ZooKeeper.
    pub wrote: bool,
    /// The cluster.
    pub cluster_id: String,
    /// The data directory, if there is one.
    pub data_dir: Option<String>,
    /// The connect string of the ZooKeeper.
    pub zookeeper: String,
    /// The plan.
    pub steps: Vec<RollbackStep>,
    /// What `/controller_epoch` held before.
    pub epoch_before: Option<i32>,
    /// What it was, or is to be, raised to; `None` when it stays.
    pub epoch_raised: Option<i32>,
    /// What it holds now.
    pub epoch: Option<i32>,
    /// The highest controller epoch in a partition's state.
    pub partition_epoch_max: Option<i32>,
    /// What was, or is to be, deleted.
    pub removed: Vec<String>,
    /// Where the copy of it is.
    pub kept_in: Option<String>,
    /// Partition states that were looked at.
    pub partition_states: u64,
    /// Partitions whose znode has a version above their partition epoch.
    pub versions_above: u64,
    /// Partitions whose znode has a version below their partition epoch.
    pub versions_below: u64,
    /// The first of both, a sentence each.
    pub restart: Vec<String>,
    /// Brokers in `/brokers/ids`.
    pub alive: Vec<i32>,
    /// Brokers that have replicas and are not there.
    pub absent: Vec<i32>,
    /// The broker that governs now.
    pub elected: Option<i32>,
    /// The KRaft controller of another log that governs now.
    pub migrating_anew: Option<i32>,
    /// Seconds from the write until it was seen to govern.
    pub election_seconds: Option<f64>,
    /// What is not as it should be after a rollback that was done.
    pub troubles: Vec<String>,
}

impl RollbackReport {
    fn of(place: Where, state: ZkMigrationState, plan: &GiveBackPlan) -> Self {
        let partitions = &plan.partitions;
        let kept_in = place.data_dir.as_ref().map(|dir| format!("{dir}/{ROLLBACK_FILE}"));
        Self {
            stage: plan.stage.name().to_owned(),
            migration_state: state.to_string(),
            cluster_id: place.cluster_id,
            data_dir: place.data_dir,
            zookeeper: place.zookeeper,
            epoch_before: plan.raise.map(|raise| raise.present.0),
            epoch_raised: plan.raise.map(|raise| raise.raised.0),
            partition_epoch_max: partitions.epoch_max.map(|epoch| epoch.0),
            removed: plan.deleted.iter().map(|entry| entry.path.clone()).collect(),
            kept_in: kept_in.filter(|_| plan.writes()),
            partition_states: partitions.states,
            versions_above: partitions.version_above,
            versions_below: partitions.version_below,
            restart: partitions.named.clone(),
            ..Self::default()
        }
    }

    fn with_brokers(mut self, alive: &[NodeId], assigned: &BTreeMap<NodeId, u64>) -> Self {
        self.alive = alive.iter().map(|id| id.0).collect();
        self.absent = assigned.keys().filter(|id| !alive.contains(id)).map(|id| id.0).collect();
        self
    }

    pub(super) fn planned(
        place: Where,
        state: ZkMigrationState,
        plan: &GiveBackPlan,
        now: &Governance,
        assigned: &BTreeMap<NodeId, u64>,
    ) -> Self {
        let report = Self {
            dry_run: true,
            rolled_back: matches!(plan.stage, GiveBackStage::GivenBack),
            epoch: now.epoch.map(|epoch| epoch.0),
            elected: now.elected_broker().map(|id| id.0),
            ..Self::of(place, state, plan)
        };
        let report = report.with_brokers(&now.brokers, assigned);
        Self { steps: steps(plan, &report), ..report }
    }

    pub(super) fn done(
        place: Where,
        state: ZkMigrationState,
        done: &RolledBack,
        assigned: &BTreeMap<NodeId, u64>,
    ) -> Self {
        let report = Self {
            rolled_back: true,
            wrote: done.wrote,
            epoch: done.epoch.map(|epoch| epoch.0),
            partition_epoch_max: done.partition_epoch_max.map(|epoch| epoch.0),
            elected: done.elected.map(|id| id.0),
            migrating_anew: done.migrating_anew.map(|id| id.0),
            election_seconds: done.elected.map(|_| done.waited.as_secs_f64()),
            troubles: done.troubles(),
            ..Self::of(place, state, &done.plan)
        };
        let report = report.with_brokers(&done.brokers, assigned);
        Self { steps: steps(&done.plan, &report), ..report }
    }

    pub(super) fn nothing(place: Where, now: &Governance) -> Self {
        let report = Self {
            stage: GiveBackStage::NothingTaken.name().to_owned(),
            migration_state: ZkMigrationState::None.to_string(),
            cluster_id: place.cluster_id,
            zookeeper: place.zookeeper,
            epoch: now.epoch.map(|epoch| epoch.0),
            elected: now.elected_broker().map(|id| id.0),
            ..Self::default()
        };
        report.with_brokers(&now.brokers, &BTreeMap::new())
    }

    /// Whether dual writing must stand still before this plan.
    pub(super) fn must_drain(&self) -> bool {
        let held = [GiveBackStage::Migrating, GiveBackStage::ControllerLeft].map(GiveBackStage::name);
        held.contains(&self.stage.as_str())
    }

    /// For people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} (log: {}): {}", self.stage, self.migration_state, self.meaning())];
        for (number, step) in self.steps.iter().enumerate() {
            lines.push(format!("{}. {}", number + 1, step.step));
            lines.push(format!("     before: {}", step.before));
            lines.push(format!("     after:  {}", step.after));
        }
        if self.versions_above + self.versions_below > 0 {
            lines.push(format!(
                "{} of {} partitions have a znode version above their partition epoch, {} below it:",
                self.versions_above, self.partition_states, self.versions_below
            ));
            lines.extend(self.restart.iter().map(|partition| format!("  {partition}")));
            let named = self.restart.len() as u64;
            let all = self.versions_above + self.versions_below;
            if all > named {
                lines.push(format!("  and {} more", all - named));
            }
        }
        if !self.absent.is_empty() {
            lines.push(format!(
                "brokers {} have replicas and are not in /brokers/ids: one that runs in KRaft mode goes back to ZooKeeper mode \
                 first, with the migration still enabled",
                list(&self.absent)
            ));
        }
        if let (Some(id), Some(seconds)) = (self.elected, self.election_seconds) {
            lines.push(format!("broker {id} is the controller, seen after {seconds:.3} s"));
        }
        lines.extend(self.migrating_anew.map(|id| format!("KRaft controller {id} of another log governs now")));
        lines.extend(self.troubles.iter().map(|trouble| format!("  {trouble}")));
        lines
    }

    fn meaning(&self) -> &'static str {
        match self.stage.as_str() {
            "NOTHING_TAKEN" => "this log never took over anything",
            "ROLE_HELD" => "the controller role is taken, nothing is copied",
            "MIGRATING" => "the metadata is copied, and ZooKeeper is kept in step",
            "CONTROLLER_LEFT" => "the marker is gone, and our registration is still there",
            "MARKER_LEFT" => "the role is not ours any more, and our marker is still there",
            "EPOCH_TOO_LOW" => "nothing of ours is there, but the next controller could not touch every partition",
            _ => "nothing of this log is in ZooKeeper any more",
        }
    }
}

fn list(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn steps(plan: &GiveBackPlan, report: &RollbackReport) -> Vec<RollbackStep> {
    let step = |step: String, before: String, after: String| RollbackStep { step, before, after };
    let mut steps = Vec::new();
    if report.must_drain() {
        steps.push(step(
            "make dual writing stand still at a whole batch".to_owned(),
            plan.unfinished.clone().unwrap_or_else(|| "DUAL_WRITE, or on the way there".to_owned()),
            "ZooKeeper has every change of the log, and no batch is half written".to_owned(),
        ));
    }
    let versions: Vec<String> = plan
        .epoch_entry
        .iter()
        .chain(&plan.deleted)
        .map(|entry| format!("{} has version {}", entry.path, entry.zk_version))
        .collect();
    if plan.writes() {
        let kept = report.kept_in.clone().unwrap_or_default();
        steps.push(step(
            format!("keep a copy of what changes in {kept}"),
            versions.join(", "),
            "the copy is on disk, and no controller starts in the data directory any more".to_owned(),
        ));
        let mut done: Vec<String> = plan
            .raise
            .iter()
            .map(|raise| format!("set /controller_epoch from {} to {}", raise.present, raise.raised))
            .collect();
        done.extend(plan.deleted.iter().map(|entry| format!("delete {}", entry.path)));
        steps.push(step(
            format!("in one multi: {}", done.join(", ")),
            "all of them still have these versions, else nothing is done".to_owned(),
            "there is no marker and no KRaft controller, late writes of ours bounce, and no partition state is above \
             /controller_epoch"
                .to_owned(),
        ));
    }
    if report.data_dir.is_some() {
        steps.push(step(
            "seal the data directory".to_owned(),
            "nothing of this log is in ZooKeeper".to_owned(),
            "no controller claims with it again; a new migration needs a fresh --data-dir".to_owned(),
        ));
    }
    let before = match report.alive.as_slice() {
        [] => "no broker is in /brokers/ids: the first one that starts is elected".to_owned(),
        alive => format!("brokers {} are in /brokers/ids", list(alive)),
    };
    steps.push(step(
        "wait until a broker is the controller".to_owned(),
        before,
        "a broker in ZooKeeper mode holds /controller".to_owned(),
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_fields_stand_in_the_reference() {
        let value = serde_json::to_value(RollbackReport::default()).unwrap();
        let fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        crate::documents::assert_fields_are_documented(fields.iter().map(String::as_str));
    }
}
