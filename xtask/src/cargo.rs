//! Cargo, called by a program that cargo runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cli::Failure;
use crate::repository_root;

/// What cargo tells the program that it runs about that program's own package. Build scripts look at some of it, so that
/// passing it on would make cargo build their crates again.
const OWN_PACKAGE: [&str; 6] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// A program that is started at the root of the repository, as from a shell.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(repository_root());
    for (name, _) in std::env::vars_os() {
        if is_own_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether a variable tells a program about its own package.
fn is_own_package(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| OWN_PACKAGE.iter().any(|own| name.starts_with(own)))
}

/// Cargo, at the root of the repository: the same one that runs us, if one does.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Where cargo puts what it builds: `CARGO_TARGET_DIR`, else `target`.
pub(crate) fn target_folder() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    // A relative one counts from the root, where we start cargo.
    repository_root().join(set.unwrap_or_else(|| "target".into()))
}

/// The packages of the workspace and of everything below it, with all features: what `cargo metadata` prints.
///
/// # Errors
/// Cargo can't be run, or refuses; `Cargo.lock` is out of date, say.
pub(crate) fn metadata() -> Result<Value, Failure> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--all-features", "--locked", "--quiet"])
        .output()
        .map_err(|error| Failure::failed("cargo can't be run").because(&error))?;
    if !output.status.success() {
        return Err(Failure::failed("cargo metadata failed").why(String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| Failure::failed("what cargo metadata prints is not understood").because(&error))
}

/// A test program that cargo has built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TestBinary {
    /// The crate that it tests.
    pub(crate) package: String,
    /// `lib` or `bin` for unit tests, else the name of the file or folder in `tests`.
    pub(crate) name: String,
    /// The program.
    pub(crate) file: PathBuf,
    /// The crate's folder, where cargo would run it.
    pub(crate) folder: PathBuf,
}

/// Reads one line of what `cargo test --no-run --message-format=json` prints; `None` for everything but a test program.
pub(crate) fn test_binary(line: &str) -> Option<TestBinary> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let file = message["executable"].as_str().filter(|_| is_test)?;
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    let kind = message["target"]["kind"][0].as_str()?;
    let name = if kind == "test" { message["target"]["name"].as_str()? } else { kind };
    Some(TestBinary {
        package: folder.file_name()?.to_str()?.to_owned(),
        name: name.to_owned(),
        file: PathBuf::from(file),
        folder: folder.to_path_buf(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_told_from_other_artifacts() {
        let message = |test: bool, kind: &str, executable: Value| {
            serde_json::json!({
                "reason": "compiler-artifact", "manifest_path": "/repo/store-zk/Cargo.toml",
                "target": {"kind": [kind], "name": "client_suite"}, "profile": {"test": test}, "executable": executable,
            })
            .to_string()
        };
        let binary = |name: &str| TestBinary {
            package: "store-zk".to_owned(),
            name: name.to_owned(),
            file: PathBuf::from("/repo/target/x"),
            folder: PathBuf::from("/repo/store-zk"),
        };
        let file = || "/repo/target/x".into();
        assert_eq!(test_binary(&message(true, "test", file())), Some(binary("client_suite")));
        assert_eq!(test_binary(&message(true, "lib", file())), Some(binary("lib")));
        assert_eq!(test_binary(&message(false, "bin", file())), None);
        assert_eq!(test_binary(&message(true, "lib", Value::Null)), None);
        assert_eq!(test_binary(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(test_binary("warning: no JSON"), None);
    }

    #[test]
    fn a_child_does_not_learn_our_own_package() {
        for name in ["CARGO_PKG_NAME", "CARGO_PKG_VERSION", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "OUT_DIR"] {
            assert!(is_own_package(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO", "CARGO_INCREMENTAL", "PATH"] {
            assert!(!is_own_package(OsStr::new(name)), "{name}");
        }
        // Whoever runs a test tells it where its package is.
        let removed = cargo().get_envs().any(|(name, value)| name == "CARGO_MANIFEST_DIR" && value.is_none());
        assert!(removed);
    }
}
