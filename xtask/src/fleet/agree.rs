//! Whether the controllers of a fleet have the same log.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use metadata_core::id::Offset;
use store_kraft::log::{Dump, DumpItem};

use super::place::FleetMember;
use crate::cli::Failure;

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Batches that two or more have, each counted for every pair of neighbours that has it.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Compares the logs of controllers that are stopped, byte by byte, where their offsets overlap.
///
/// # Errors
/// Damaged: two logs differ, and where. Failed: one can't be read.
pub fn logs_agree(members: &[FleetMember]) -> Result<Agreement, Failure> {
    let mut logs = Vec::new();
    for member in members {
        logs.push((member, read(&member.data_dir)?));
    }
    let mut agreement = Agreement::default();
    for pair in logs.windows(2) {
        let [(one, first), (other, second)] = pair else { continue };
        compare(first, second, &mut agreement).map_err(|at| {
            Failure::damaged(format!("the logs of the controllers {} and {} differ", one.id, other.id))
                .why(format!("at offset {at}"))
                .next("keep the directories and report this: it must never happen")
        })?;
    }
    Ok(agreement)
}

type Batches = BTreeMap<Offset, Vec<u8>>;

/// The offset at which two logs differ, if they do within what both have.
fn compare(one: &Batches, other: &Batches, agreement: &mut Agreement) -> Result<(), Offset> {
    let (Some(first), Some(last)) =
        (one.keys().next().max(other.keys().next()), one.keys().next_back().min(other.keys().next_back()))
    else {
        return Ok(());
    };
    if first > last {
        return Ok(());
    }
    let within = |batches: &Batches| -> Vec<(Offset, Vec<u8>)> {
        batches.range(*first..=*last).map(|(offset, bytes)| (*offset, bytes.clone())).collect()
    };
    let (one, other) = (within(one), within(other));
    for (number, (offset, bytes)) in one.iter().enumerate() {
        if other.get(number) != Some(&(*offset, bytes.clone())) {
            return Err(*offset);
        }
        agreement.batches += 1;
        agreement.bytes += bytes.len() as u64;
    }
    if other.len() == one.len() { Ok(()) } else { Err(*last) }
}

fn read(data_dir: &Path) -> Result<Batches, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("the log in {} can't be read", data_dir.display())).why(error.to_string())
    };
    let mut batches = Batches::new();
    for item in Dump::open(&data_dir.join("__cluster_metadata-0")).map_err(|error| unreadable(&error))? {
        match item.map_err(|error| unreadable(&error))? {
            DumpItem::Batch(batch) => {
                let mut bytes = vec![0; batch.header.size];
                let file = File::open(&batch.file).map_err(|error| unreadable(&error))?;
                file.read_exact_at(&mut bytes, batch.position).map_err(|error| unreadable(&error))?;
                batches.insert(batch.header.base_offset, bytes);
            }
            DumpItem::Damage(damage) => return Err(unreadable(&damage)),
        }
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(batches: &[(i64, &[u8])]) -> Batches {
        batches.iter().map(|(offset, bytes)| (Offset(*offset), bytes.to_vec())).collect()
    }

    #[test]
    fn logs_agree_where_both_have_something() {
        let whole = batches(&[(0, b"a"), (1, b"b"), (5, b"c"), (9, b"d")]);
        for (name, other, expected) in [
            ("the same", batches(&[(0, b"a"), (1, b"b"), (5, b"c"), (9, b"d")]), Ok(4)),
            ("shorter", batches(&[(0, b"a"), (1, b"b")]), Ok(2)),
            ("begins later", batches(&[(5, b"c"), (9, b"d"), (12, b"e")]), Ok(2)),
            ("begins behind its end", batches(&[(12, b"e")]), Ok(0)),
            ("empty", batches(&[]), Ok(0)),
            ("other bytes", batches(&[(0, b"a"), (1, b"x"), (5, b"c")]), Err(1)),
            ("a batch too few", batches(&[(0, b"a"), (5, b"c")]), Err(1)),
            ("a batch too many", batches(&[(0, b"a"), (1, b"b"), (3, b"z"), (5, b"c")]), Err(5)),
        ] {
            let mut agreement = Agreement::default();
            let compared = compare(&whole, &other, &mut agreement).map(|()| agreement.batches).map_err(|at| at.0);
            assert_eq!(compared, expected, "{name}");
        }
    }
}
