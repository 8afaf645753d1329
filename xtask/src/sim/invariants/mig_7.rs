//! MIG-7. Epochs and offsets never go back.
//!
//! Source: KIP-866 (a KRaft controller takes over only with a higher epoch), KIP-595 (terms), idea 3.

use super::{Broken, Invariant};
use crate::sim::truth::{AppendStep, MultiStep};

pub(super) struct NothingGoesBack;

impl Invariant for NothingGoesBack {
    fn id(&self) -> &'static str {
        "MIG-7"
    }

    fn never(&self) -> &'static str {
        "a write of ours lowers /controller_epoch, the KRaft epoch in /controller or the marker, or the log goes back (KIP-595)"
    }

    fn multi(&mut self, step: &MultiStep<'_>) -> Broken {
        if step.by.is_none() {
            return Ok(());
        }
        let (before, after) = (step.before, step.after);
        if let (Some((from, _)), Some((to, _))) = (before.epoch, after.epoch)
            && to < from
        {
            return Err(format!("/controller_epoch went from {from} to {to}"));
        }
        let kraft = |controller: &Option<_>| (*controller).and_then(|(_, epoch)| epoch);
        if let (Some(from), Some(to)) = (kraft(&before.controller), kraft(&after.controller))
            && to < from
        {
            return Err(format!("the KRaft epoch in /controller went from {from} to {to}"));
        }
        match (before.marker(), after.marker()) {
            (Some(from), Some(to)) if to.position < from.position => {
                Err(format!("/migration went from {} to {}", from.position, to.position))
            }
            _ => Ok(()),
        }
    }

    fn append(&mut self, step: &AppendStep<'_>) -> Broken {
        let (before, after) = (step.before.image.position(), step.after.image.position());
        let goes_on = after.end_offset > before.end_offset && after.epoch >= before.epoch;
        if goes_on { Ok(()) } else { Err(format!("the log went from {before} to {after}")) }
    }
}
