//! The rules through their public API: tables for each, and properties of what the active controller writes.

// All of it is test code, helpers too; the attribute tells the lints so.
#[cfg(test)]
mod common;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod readiness;
#[cfg(test)]
mod requests;
