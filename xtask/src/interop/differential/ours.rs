//! Our own migration of a content.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use store_zk::testkit::server::ZkServer;
use tokio::process::Command;

use super::super::lab::{Lab, failed};
use super::content::Content;
use super::log::MigrationLog;
use crate::cli::Failure;
use crate::own;

/// The exit code of `migrate` when it must not go on.
const BLOCKED: i32 = 3;

/// What came of it.
pub(super) struct OurMigration {
    /// The log that it wrote.
    pub(super) log: MigrationLog,
    /// Seconds in state ZK_MIGRATION.
    pub(super) seconds: f64,
    /// Records by type, as the controller counts them.
    pub(super) by_type: BTreeMap<String, u64>,
}

/// Runs `migrate` on a copy of the content until both sides are equal.
pub(super) async fn migrate(lab: &Lab, content: &Content) -> Result<OurMigration, Failure> {
    let (_server, data_dir, command) = prepare(lab, content).await?;
    let object = own::finished("our migration", command).await?;
    let (seconds, by_type) = account(&object)
        .ok_or_else(|| Failure::failed("our migration does not say what it copied").why(object.to_string()))?;
    Ok(OurMigration { log: read(data_dir).await?, seconds, by_type })
}

/// Runs `migrate` on a copy of a content that it must refuse, and returns its reasons.
pub(super) async fn refuse(lab: &Lab, content: &Content) -> Result<Vec<String>, Failure> {
    let (_server, _, command) = prepare(lab, content).await?;
    let (status, object) = own::output(command).await?;
    if status.code() != Some(BLOCKED) {
        return Err(Failure::failed(format!("our migration of {} was to be refused", content.name))
            .why(format!("it ended with {status}: {object}")));
    }
    let reasons = object.get("reasons").and_then(Value::as_array).into_iter().flatten();
    Ok(reasons.filter_map(|reason| reason.as_str().map(str::to_owned)).collect())
}

/// A ZooKeeper with the content, a data directory to be, and the command that migrates from one to the other.
async fn prepare(lab: &Lab, content: &Content) -> Result<(ZkServer, PathBuf, Command), Failure> {
    let server = content.thaw(lab, "our").await?;
    let folder = lab.folder(&format!("{}-our", content.name))?;
    let config = folder.join("zookeeper.properties");
    let settings = content.settings.clone();
    let settings = settings.with("zookeeper.connect", server.address()).with("zookeeper.session.timeout.ms", 60_000);
    settings
        .write(&config)
        .map_err(|error| Failure::failed(format!("can't write {}", config.display())).because(&error))?;
    let data_dir = folder.join("controller");
    let mut command = own::this_program("migrate")?;
    command.arg("--zookeeper-config").arg(&config).arg("--data-dir").arg(&data_dir);
    command.args(["--unserved-brokers", "--until", "dual-write"]);
    Ok((server, data_dir, command))
}

fn account(object: &Value) -> Option<(f64, BTreeMap<String, u64>)> {
    let copy = object.get("copy")?;
    let counts = copy.get("by_type")?.as_object()?.iter();
    let by_type = counts.map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect::<Option<_>>()?;
    Some((copy.get("seconds")?.as_f64()?, by_type))
}

/// Reads the log of a migration, off the async threads.
pub(super) async fn read(data_dir: PathBuf) -> Result<MigrationLog, Failure> {
    let reading = tokio::task::spawn_blocking(move || MigrationLog::read(&data_dir));
    let read = reading.await.map_err(|error| Failure::failed("the log was not read").because(&error))?;
    read.map_err(failed("the log of a migration can't be compared"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_account_of_a_copy_is_whole_or_none() {
        let object = json!({"copy": {"seconds": 0.5, "by_type": {"TOPIC_RECORD": 3}}});
        assert_eq!(account(&object), Some((0.5, [("TOPIC_RECORD".to_owned(), 3)].into())));
        assert_eq!(account(&json!({"copy": {"seconds": 0.5}})), None);
        assert_eq!(account(&json!({"copy": null})), None);
    }
}
