//! `cargo xtask bless`: rewrites what tests compare with, from what the code says now. Read the difference before you
//! commit it.

use std::fs;

use crate::cli::{Failure, Outcome, VerbResult};
use crate::fragment::FRAGMENTS;
use crate::repository_root;

pub(crate) fn run() -> VerbResult {
    let root = repository_root();
    let mut outcome = Outcome::done();
    let mut written = Vec::new();
    for fragment in FRAGMENTS {
        let (present, fresh) = fragment.present_and_fresh(&root).map_err(Failure::failed)?;
        let name = format!("{} in {}", fragment.name, fragment.document);
        if present == fresh {
            outcome = outcome.say(format!("{name} is up to date"));
            continue;
        }
        let file = root.join(fragment.document);
        fs::write(&file, fresh)
            .map_err(|error| Failure::failed(format!("{} can't be written", file.display())).because(&error))?;
        outcome = outcome.say(format!("{name} written"));
        written.push(name);
    }
    Ok(outcome.field("written", written))
}
