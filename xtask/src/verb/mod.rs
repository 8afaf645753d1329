//! One module a verb: its flags, and what it does with them.

pub(crate) mod bench;
pub(crate) mod bless;
pub(crate) mod change;
pub(crate) mod chaos;
pub(crate) mod ci;
pub(crate) mod demo;
mod directory;
pub(crate) mod dump_log;
pub(crate) mod export;
pub(crate) mod finalize;
pub(crate) mod fix;
mod follow;
pub(crate) mod interop;
pub(crate) mod migrate;
pub(crate) mod rollback;
pub(crate) mod seed;
pub(crate) mod sim;
pub(crate) mod status;
pub(crate) mod test;
mod told;
pub(crate) mod verify;
pub(crate) mod zookeeper;

/// The fields of a report, for the object that `--json` prints.
fn fields_of(report: &impl serde::Serialize) -> Vec<(String, serde_json::Value)> {
    match serde_json::to_value(report) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().collect(),
        _ => Vec::new(),
    }
}
