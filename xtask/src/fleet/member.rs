//! One controller process.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use store_zk::testkit::Process;

use crate::cli::{Exit, Failure};

/// How a controller ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<u8>,
    /// In words.
    pub how: String,
    /// What it said last: the object that `--json` prints.
    pub object: Value,
}

impl Ended {
    /// The failure that it ended with, as the failure of whoever watched over it.
    pub fn failure(&self, what: &str) -> Failure {
        let failure = match self.code {
            Some(code) if code == Exit::Blocked.code() => Failure::blocked(what),
            Some(code) if code == Exit::Damaged.code() => Failure::damaged(what),
            Some(code) if code == Exit::Divergent.code() => Failure::divergent(what),
            Some(code) if code == Exit::Usage.code() => Failure::usage(what),
            _ => Failure::failed(what),
        };
        let texts = |key: &str| -> Vec<String> {
            let list = self.object.get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let reasons = texts("reasons");
        let error = self.object.get("error").and_then(Value::as_str).unwrap_or(&self.how).to_owned();
        // The error has the reasons in it.
        let failure = if reasons.is_empty() { failure.why(error) } else { failure.whys(reasons) };
        texts("next").into_iter().fold(failure, Failure::next)
    }
}

/// A controller that runs, or has ended by itself. Dropping it kills it.
pub struct MemberProcess {
    process: Process,
    /// Its stdout.
    said: PathBuf,
}

impl MemberProcess {
    /// Starts `program`. What it logs goes to the end of `log`.
    pub(super) fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self, Failure> {
        let not_started = |error: &std::io::Error| Failure::failed("can't start a controller process").because(error);
        let said = log.with_extension("json");
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder).map_err(|error| not_started(&error))?;
        }
        let errors = OpenOptions::new().create(true).append(true).open(log).map_err(|error| not_started(&error))?;
        let output = File::create(&said).map_err(|error| not_started(&error))?;
        let program = program.to_str().ok_or_else(|| {
            Failure::failed("can't start a controller process").why("the path of this program is no UTF-8")
        })?;
        let process = Process::spawn(program, arguments, |command| {
            // A group of its own: Ctrl-C is for whoever watches over it, who stops it in order.
            std::os::unix::process::CommandExt::process_group(command, 0);
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
        })
        .map_err(|error| not_started(&error))?;
        Ok(Self { process, said })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(super) fn signal(&self, signal: &str) -> Result<(), Failure> {
        self.process
            .signal(signal)
            .map_err(|error| Failure::failed(format!("can't send SIG{signal} to a controller")).because(&error))
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&self) -> Option<Ended> {
        let status = self.process.ended()?;
        Some(Ended { code: code_of(status), how: status.to_string(), object: last_object(&self.said) })
    }
}

fn code_of(status: ExitStatus) -> Option<u8> {
    if status.signal().is_some() {
        return None;
    }
    status.code().and_then(|code| u8::try_from(code).ok())
}

fn last_object(file: &Path) -> Value {
    let lines = File::open(file).map(|file| BufReader::new(file).lines().map_while(Result::ok).last());
    lines.ok().flatten().and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_controller_ended_with_is_told_by_whoever_watched() {
        let object = serde_json::json!({"ok": false, "error": "blocked", "reasons": ["because"], "next": ["do this"]});
        let ended = Ended { code: Some(3), how: "exit status: 3".to_owned(), object };
        let failure = ended.failure("the controllers can't go on");
        assert_eq!(failure.exit(), Exit::Blocked);
        let text = failure.lines().join("\n");
        for part in ["the controllers can't go on", "because", "do this"] {
            assert!(text.contains(part), "{text}");
        }
        let killed = Ended { code: None, how: "signal: 9 (SIGKILL)".to_owned(), object: Value::Null };
        assert!(killed.failure("x").lines().join("\n").contains("signal: 9"));
    }
}
