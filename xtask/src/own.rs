//! This program run again, as a child: verbs as an operator types them.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::cli::Failure;

/// A run that takes longer than this hangs.
pub(crate) const RUN_MAX: Duration = Duration::from_secs(600);

/// Pause between two looks at a migration.
const POLL: Duration = Duration::from_millis(50);

/// What a comparison has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) compared: u64,
    pub(crate) divergent: u64,
}

/// The counts of a comparison, if its object has both.
pub(crate) fn counted(object: &Value) -> Option<Counts> {
    let count = |field: &str| object.get(field).and_then(Value::as_u64);
    Some(Counts { compared: count("compared")?, divergent: count("divergent")? })
}

/// This program with a verb, to be run as a child that is killed when it is dropped.
pub(crate) fn this_program(verb: &str) -> Result<Command, Failure> {
    let program =
        std::env::current_exe().map_err(|error| Failure::failed("can't find this program").because(&error))?;
    let mut command = Command::new(program);
    command
        .args([verb, "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Waits until the `migrate` that is `controller` dual-writes, with its log in `data_dir`.
pub(crate) async fn wait_for_dual_write(data_dir: &Path, controller: &mut Child) -> Result<(), Failure> {
    let dual_writes = |status: &Value| status.get("driver_state").and_then(Value::as_str) == Some("DUAL_WRITE");
    wait_for_status(data_dir, controller, "dual write", dual_writes).await
}

/// Waits until the status of the `migrate` that is `controller` is as it should be; `what` names that.
pub(crate) async fn wait_for_status(
    data_dir: &Path,
    controller: &mut Child,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + RUN_MAX;
    loop {
        let mut status = this_program("status")?;
        status.arg("--data-dir").arg(data_dir);
        let (status, object) = output(status).await?;
        if status.success() && is_so(&object) {
            return Ok(());
        }
        let ended = controller.try_wait().map_err(|error| Failure::failed("can't watch migrate").because(&error))?;
        if let Some(status) = ended {
            return Err(Failure::failed("migrate ended by itself").why(status.to_string()));
        }
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("migrate never reached {what}")).why(object.to_string()));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Kills a child of ours, if it still runs, and waits for its end.
pub(crate) async fn end(child: &mut Child) {
    // It may have ended already.
    drop(child.start_kill());
    drop(child.wait().await);
}

/// Runs a verb to its end: how it ended, and its object (null if it printed none).
pub(crate) async fn output(mut command: Command) -> Result<(ExitStatus, Value), Failure> {
    let output = tokio::time::timeout(RUN_MAX, command.output())
        .await
        .map_err(|_| Failure::failed("a run takes too long").why(format!("longer than {} s", RUN_MAX.as_secs())))?
        .map_err(|error| Failure::failed("can't run this program again").because(&error))?;
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    Ok((output.status, serde_json::from_str(&last).unwrap_or_default()))
}

/// Runs a verb that must succeed, and returns its object. Another exit code becomes a failure of the same kind.
pub(crate) async fn finished(what: &str, command: Command) -> Result<Value, Failure> {
    let (status, object) = output(command).await?;
    if status.success() {
        return Ok(object);
    }
    let reason = object.get("error").and_then(Value::as_str).unwrap_or("it said nothing").to_owned();
    let failure = Failure::failed(format!("{what} failed ({status})")).why(reason);
    Err(match status.code() {
        Some(4) => {
            let Counts { compared, divergent } = counted(&object).unwrap_or_default();
            let failure = Failure::divergent(failure.to_string()).field("verify", object);
            failure.field("compared_znodes", compared).field("divergent_znodes", divergent)
        }
        Some(5) => Failure::damaged(failure.to_string()),
        _ => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_counts_only_with_both_numbers() {
        let counts = |json: &str| counted(&serde_json::from_str(json).unwrap());
        assert_eq!(counts(r#"{"compared":3,"divergent":1}"#), Some(Counts { compared: 3, divergent: 1 }));
        assert_eq!(counts(r#"{"compared":3}"#), None);
        assert_eq!(counts("null"), None);
    }
}
