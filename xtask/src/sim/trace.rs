//! What happened: the last events in words, and a digest of all of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;

/// Events that are kept for the report of a failure.
const EVENTS_KEPT: usize = 60;

/// The history as it happens.
#[derive(Debug)]
pub(super) struct Trace {
    began: tokio::time::Instant,
    last: VecDeque<String>,
    digest: u64,
    events: u64,
    counts: Coverage,
}

/// How often what happened, by kind.
pub(crate) type Coverage = BTreeMap<&'static str, u64>;

impl Trace {
    pub(super) fn new() -> Self {
        let (last, counts) = (VecDeque::new(), Coverage::new());
        Self { began: tokio::time::Instant::now(), last, digest: 0xcbf2_9ce4_8422_2325, events: 0, counts }
    }

    /// Virtual time since the beginning.
    pub(super) fn millis(&self) -> u128 {
        self.began.elapsed().as_millis()
    }

    pub(super) fn event(&mut self, what: impl Display) {
        let line = format!("{:>7} ms  {what}", self.millis());
        self.digest =
            line.bytes().fold(self.digest, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        self.events += 1;
        if self.last.len() == EVENTS_KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// An event of a kind that is counted.
    pub(super) fn count(&mut self, kind: &'static str, what: impl Display) {
        self.tick(kind);
        self.event(format_args!("{kind}: {what}"));
    }

    /// Counts without a word.
    pub(super) fn tick(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn counts(&self) -> &Coverage {
        &self.counts
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
