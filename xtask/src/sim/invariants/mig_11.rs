//! MIG-11. Once the faults stop, the migration finishes, or says by name why it can't.
//!
//! Source: migration-driver G1 to G27 (Kafka's polls that stop, retries that do not come). The world judges it at the end
//! of a history: within the time allowed a leader is in DUAL_WRITE with nothing left to write, or, after a mistake of the
//! operator's that forbids it, in the state that names it.

use super::Invariant;

pub(super) struct Finishes;

impl Invariant for Finishes {
    fn id(&self) -> &'static str {
        "MIG-11"
    }

    fn never(&self) -> &'static str {
        "the faults are over and the migration neither finishes nor says why it can't (migration-driver, G1 to G27)"
    }
}
