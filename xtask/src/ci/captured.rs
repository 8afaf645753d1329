//! Commands whose output is shown only when they fail.

use std::process::Stdio;

use tokio::process::Command;

use super::stage::End;
use crate::repository_root;

/// Lines of a failed command's output that are shown: its end.
const LINES_MAX: usize = 400;

/// Runs a command. If it fails, its output is what is said, behind a line that names it.
pub(super) async fn run(command: std::process::Command, name: &str) -> End {
    match output(command).await {
        Ok(output) if output.success => End::Passed(String::new()),
        Ok(output) => failed(name, &output),
        Err(error) => End::Failed(vec![format!("{name} can't be run: {error}")]),
    }
}

/// What a command printed.
pub(super) struct Output {
    /// Whether it ended well.
    pub(super) success: bool,
    /// Standard output.
    pub(super) stdout: String,
    /// Standard error.
    pub(super) stderr: String,
}

/// Runs a command to its end and keeps what it prints.
pub(super) async fn output(command: std::process::Command) -> std::io::Result<Output> {
    let output = Command::from(command).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    Ok(Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The end of a stage whose command failed.
pub(super) fn failed(name: &str, output: &Output) -> End {
    let mut lines = vec![format!("{name} failed")];
    let said: Vec<&str> = output.stdout.lines().chain(output.stderr.lines()).collect();
    let left_out = said.len().saturating_sub(LINES_MAX);
    if left_out > 0 {
        lines.push(format!("({left_out} lines left out)"));
    }
    let root = format!("{}/", repository_root().display());
    lines.extend(said.into_iter().skip(left_out).map(|line| without_hosts(&line.replace(&root, ""))));
    End::Failed(lines)
}

/// The line with every host of an address hidden: where a machine gets its crates from is nobody's business.
fn without_hosts(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://[host]");
        let end = after.find(|c: char| c == '/' || c.is_whitespace() || "\"'`)>".contains(c)).unwrap_or(after.len());
        rest = after.get(end..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn hosts_are_hidden() {
        for (line, shown) in [
            ("no address", "no address"),
            ("get https://user:pw@host.example:8080/a/b now", "get https://[host]/a/b now"),
            ("from `sparse+https://host`, then http://other", "from `sparse+https://[host]`, then http://[host]"),
            ("://", "://[host]"),
        ] {
            assert_eq!(without_hosts(line), shown);
        }
    }

    #[tokio::test]
    async fn a_command_is_quiet_unless_it_fails() {
        assert_eq!(run(sh("echo out"), "it").await, End::Passed(String::new()));
        let expected = ["it failed", "out", "err"].map(str::to_owned).to_vec();
        assert_eq!(run(sh("echo out; echo err >&2; false"), "it").await, End::Failed(expected));
        let absent = std::process::Command::new("./no-such-program");
        let End::Failed(lines) = run(absent, "it").await else { panic!("it does not exist") };
        assert!(lines[0].starts_with("it can't be run: "), "{lines:?}");
    }

    #[tokio::test]
    async fn of_a_long_output_the_end_is_shown() {
        let End::Failed(lines) = run(sh("seq 1000; false"), "it").await else { panic!("it fails") };
        assert_eq!((lines.len(), lines[1].as_str(), lines[2].as_str()), (402, "(600 lines left out)", "601"));
    }
}
