//! `cargo xtask status`: how a migration is, from its process or from its directory.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use metadata_core::record::ZkMigrationState;

use super::directory;
use crate::cli::{Failure, Outcome, Shell, VerbResult};
use crate::control::{Request, ask};
use crate::controller::{DataDir, LogOnDisk, StatusReport, is_torn_end, sealed, who_holds};
use crate::fleet::{MemberView, look_in, members_in};

/// The driver's state while there is no driver.
const NOT_RUNNING: &str = "NOT_RUNNING";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The controller's directory, or the folder of several
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    if !members_in(&args.data_dir).is_empty() {
        return of_all(&args.data_dir).await;
    }
    let status = match ask::<StatusReport>(&args.data_dir, &Request::Status, |_| {}).await? {
        Some(status) => status,
        None => on_disk(&args.data_dir, shell).await?,
    };
    let outcome = status.lines(now_ms()).into_iter().fold(Outcome::done(), Outcome::say);
    Ok(super::fields_of(&status).into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value)))
}

/// How several controllers on this machine are: a line each, and the leader's own account.
async fn of_all(folder: &Path) -> VerbResult {
    let view = look_in(folder).await;
    let mut outcome = view.lines().into_iter().fold(Outcome::done(), Outcome::say);
    let controllers: Vec<_> = view.members.iter().map(|(id, member)| member_fields(id.0, member)).collect();
    outcome = outcome.field("members", controllers);
    let Some((id, status)) = view.leader() else {
        return Ok(outcome.field("leader", serde_json::Value::Null));
    };
    outcome = outcome.say("").field("leader", id.0);
    outcome = status.lines(now_ms()).into_iter().fold(outcome, Outcome::say);
    Ok(super::fields_of(status).into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value)))
}

fn member_fields(id: i32, member: &MemberView) -> serde_json::Value {
    let (driver_state, log_end_offset) = match member {
        MemberView::Answers(status) => (status.driver_state.clone(), Some(status.log_end_offset)),
        _ => (NOT_RUNNING.to_owned(), None),
    };
    serde_json::json!({
        "id": id, "driver_state": driver_state, "log_end_offset": log_end_offset, "word": member.word(),
    })
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// What the directory says by itself.
async fn on_disk(data_dir: &Path, shell: &Shell) -> Result<StatusReport, Failure> {
    let found = read(data_dir.to_owned()).await?;
    let (DataDir { node_id, cluster_id, path, .. }, log) = found;
    let damage = damage_of(&log, &path);
    if log.damage.is_some() && damage.is_none() {
        shell.note("the end of the log is torn, as a killed process leaves it: the next `migrate` mends it");
    }
    let image = &log.image;
    let report = StatusReport {
        driver_state: NOT_RUNNING.to_owned(),
        migration_state: image.zk_migration_state().to_string(),
        reason: Some(match (who_holds(&path), sealed(&path)) {
            (None, Some(sealed)) => sealed,
            (Some(_), _) => {
                "a process holds this data directory and does not answer: it is starting or ending".to_owned()
            }
            (None, None) => "no controller answers for this data directory: start `migrate`".to_owned(),
        }),
        decision: None,
        warnings: Vec::new(),
        since_ms: None,
        waiting_ms: None,
        next_attempt_ms: None,
        zookeeper_may_go: image.zk_migration_state() == ZkMigrationState::PostMigration,
        attempt: 0,
        cluster_id,
        node_id: node_id.0,
        data_dir: path.display().to_string(),
        process: None,
        zookeeper: None,
        metadata_version: image.features().metadata_version().map(|version| version.to_string()),
        log_end_offset: log.end.end_offset.0,
        log_epoch: log.end.epoch.0,
        lag_records: None,
        lag_ms: None,
        claim: None,
        dual_write_records: 0,
        gate: None,
        unrepresentable: Vec::new(),
        unrepresentable_count: 0,
        foreign_writes: 0,
        hold_given_up: false,
        copy: None,
        sync: None,
        topics: image.topics().len() as u64,
        partitions: image.topics().partition_count() as u64,
        brokers: Vec::new(),
        unready: Vec::new(),
        unserved_brokers: Vec::new(),
        controllers: Vec::new(),
        quorum: None,
    };
    match damage {
        None => Ok(report),
        Some(failure) => {
            let fields = super::fields_of(&report);
            Err(fields.into_iter().fold(failure, |failure, (key, value)| failure.field(&key, value)))
        }
    }
}

/// What keeps a log from being read to its end, unless it is no more than the torn end of a killed process.
pub(super) fn damage_of(log: &LogOnDisk, data_dir: &Path) -> Option<Failure> {
    let damage = log.damage.as_ref().filter(|damage| !is_torn_end(damage))?;
    let path = data_dir.display();
    Some(
        Failure::damaged(format!("the log in {path} can't be read to its end"))
            .because(damage)
            .next(format!("`cargo xtask dump-log {path}` shows what is sound; go on with the newest sound copy")),
    )
}

async fn read(data_dir: PathBuf) -> Result<(DataDir, LogOnDisk), Failure> {
    let reading = tokio::task::spawn_blocking(move || {
        let found = directory::open(&data_dir)?;
        let log = LogOnDisk::read(&data_dir, None)?;
        Ok((found, log))
    });
    reading.await.map_err(|error| Failure::failed("the data directory was not read").because(&error))?
}
