//! Everything a person types in this repository: `cargo xtask <verb>`. The binary is [`main`] and nothing else; the rest
//! is a library so that its tests, and the verbs among each other, can use it. Nobody else is meant to, so there is no
//! example here: docs/cli.md shows what is typed.
//!
//! - [`cli`] is what all verbs share;
//! - `verb` has a module for each verb, thin;
//! - [`seed`] makes up a cluster and writes it into a ZooKeeper;
//! - [`export`] turns a stopped cluster into directories that KRaft starts from;
//! - [`kafka`] is Apache Kafka itself: real releases, their servers and tools;
//! - [`interop`] has Kafka judge what we write, and reads what Kafka wrote;
//! - `bench` measures the log and the takeover;
//! - [`rivals`] has several controllers fight over one ZooKeeper, each a process;
//! - `codegen` writes the record types of `metadata-core`, `fragment` the generated parts of the documents;
//! - `sim` runs several controllers in virtual time, and breaks what can break;
//! - `suite` runs every test and accounts for each; `ci` runs every check.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod bench;
mod cargo;
pub mod change;
mod ci;
pub mod cli;
mod codegen;
mod columns;
pub mod control;
pub mod controller;
mod dispatch;
#[cfg(test)]
mod documents;
pub mod export;
pub mod fleet;
mod fragment;
pub mod interop;
pub mod kafka;
mod own;
pub mod rivals;
pub mod seed;
mod sim;
mod suite;
mod verb;

pub use self::dispatch::main;

/// The code in README.md compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// What `codegen` returns: how the process ends, or why it failed.
type VerbResult = Result<ExitCode, Box<dyn std::error::Error + Send + Sync>>;

/// The folder above this crate.
pub(crate) fn repository_root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_path_buf()
}
