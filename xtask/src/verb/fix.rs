//! `cargo xtask fix`: mends what can be mended without thinking.

use std::process::Stdio;

use crate::cargo::cargo;
use crate::cli::{Failure, Outcome, Shell, VerbResult};
use crate::codegen;

pub(crate) fn run(shell: &Shell) -> VerbResult {
    codegen::run(&codegen::Args { check: false })
        .map_err(|error| Failure::failed("codegen failed").because(error.as_ref()))?;
    // Clippy changes only what it is sure of. Its changes need another layout, so that formatting comes last.
    let clippy =
        ["clippy", "--fix", "--workspace", "--all-targets", "--all-features", "--allow-dirty", "--allow-staged"];
    for arguments in [clippy.as_slice(), &["fmt", "--all"]] {
        let typed = format!("cargo {}", arguments.join(" "));
        shell.note(&typed);
        // What cargo prints is for people: stdout may belong to a program.
        let status = cargo().args(arguments).stdout(Stdio::null()).status();
        let status = status.map_err(|error| Failure::failed("cargo can't be run").because(&error))?;
        if !status.success() {
            return Err(Failure::failed(format!("{typed} failed")).next("mend what cargo says above"));
        }
    }
    Ok(Outcome::done().say("fixed what could be fixed; `cargo xtask ci` tells what is left"))
}
