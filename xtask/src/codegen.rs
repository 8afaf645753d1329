//! `cargo xtask codegen`: the record types of `metadata-core` from their table.
//!
//! [`table`] reads the table, [`rust`] writes Rust from it; both are pure. This module does the files, and lets rustfmt
//! lay the code out.

mod rust;
mod table;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::VerbResult;

/// The table, seen from the root of the repository.
const TABLE: &str = "metadata-core/schema/metadata-records.txt";
/// The generated file.
const GENERATED: &str = "metadata-core/src/record/generated.rs";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if the generated file is not what the table gives
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> VerbResult {
    let root = repository_root();
    let fresh = generate(&root)?;
    let path = root.join(GENERATED);
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    match (present == fresh, args.check) {
        (true, _) => eprintln!("{GENERATED} is up to date"),
        (false, false) => {
            std::fs::write(&path, fresh).map_err(|error| format!("can't write {}: {error}", path.display()))?;
            eprintln!("{GENERATED} written");
        }
        (false, true) => {
            return Err(format!("{GENERATED} is not what {TABLE} gives: run `cargo xtask codegen`").into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder above this crate.
fn repository_root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_path_buf()
}

/// What the generated file should be.
fn generate(root: &Path) -> Result<String, Box<dyn Error + Send + Sync>> {
    let path = root.join(TABLE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
    let table = table::parse(&text).map_err(|error| format!("{TABLE}: {error}"))?;
    rustfmt(root, &rust::write(&table, TABLE))
}

/// The code as rustfmt lays it out under the repository's settings.
fn rustfmt(root: &Path, code: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't start rustfmt: {error}; install it with `rustup component add rustfmt`"))?;
    // The pipe is closed at the end of the statement, else rustfmt would wait for more.
    child.stdin.take().ok_or("rustfmt has no standard input")?.write_all(code.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("rustfmt refused the generated code ({}): a bug of the generator", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_file_is_what_the_table_gives() {
        let root = repository_root();
        let present = std::fs::read_to_string(root.join(GENERATED)).unwrap();
        assert!(present == generate(&root).unwrap(), "{GENERATED} is stale: run `cargo xtask codegen`");
    }
}
