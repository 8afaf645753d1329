//! Runs every test of the workspace and accounts for each: where it ran, on what, how it ended, and why it did not run.
//!
//! - [`backend`]: what a test runs on, by a convention of names;
//! - [`libtest`]: reads what a test program prints;
//! - [`run`]: builds the test programs, runs them one after the other;
//! - [`account`]: joins what was meant to run with what ran, and prints the table;
//! - [`promises`]: after a whole run, each row of docs/promises.md counts as a test: those that it names must have passed.
//!
//! Nothing is skipped in silence: a test that was listed and did not end has failed, and so has one that its attribute
//! tells to ignore. Two may be left out, and say why: cases of a contract suite that the store's capability excludes, and
//! tests of what the machine does not allow.

mod account;
mod backend;
mod libtest;
mod promises;
mod run;

pub(crate) use self::account::Report;
pub(crate) use self::run::{Options, run};
