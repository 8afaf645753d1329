//! `leader-epoch-checkpoint`: where each epoch starts (`LeaderEpochCheckpointFile.java`).
//!
//! Neither Kafka nor this crate depends on the file: both rebuild it from the batches. It is kept since tools look at it.

use std::fmt::Write as _;
use std::path::Path;

use metadata_core::id::{KRaftLeaderEpoch, Offset};

use crate::disk::{Disk, DiskResult};

/// Each epoch of a log with the offset of its first record (inclusive), both ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<(KRaftLeaderEpoch, Offset)>);

impl Epochs {
    /// No epoch yet.
    #[cfg(test)]
    pub(crate) const EMPTY: Self = Self(Vec::new());

    pub(crate) fn as_slice(&self) -> &[(KRaftLeaderEpoch, Offset)] {
        &self.0
    }

    /// The newest epoch.
    pub(crate) fn last(&self) -> Option<KRaftLeaderEpoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// Notes that there is a batch of `epoch` at `base`. Callers go through the log in order. An epoch that was noted at the
    /// same place has no batch, and is forgotten.
    pub(crate) fn observe(&mut self, epoch: KRaftLeaderEpoch, base: Offset) {
        if self.last().is_none_or(|last| last < epoch) {
            self.truncate(base);
            self.0.push((epoch, base));
        }
    }

    /// Forgets epochs that start at or after `end` (exclusive end of what stays).
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.0.retain(|(_, start)| *start < end);
    }

    /// Forgets what lies before `start`, the log's new first offset (inclusive); the epoch there then starts there.
    pub(crate) fn trim(&mut self, start: Offset) {
        let first = self.0.partition_point(|(_, base)| *base <= start).saturating_sub(1);
        self.0.drain(..first);
        if let Some((_, base)) = self.0.first_mut() {
            *base = (*base).max(start);
        }
    }

    /// The epoch of the last record before `end` (exclusive).
    pub(crate) fn epoch_before(&self, end: Offset) -> Option<KRaftLeaderEpoch> {
        self.0.iter().rev().find(|(_, start)| *start < end).map(|(epoch, _)| *epoch)
    }

    fn to_text(&self) -> String {
        let mut text = format!("0\n{}\n", self.0.len());
        for (epoch, start) in &self.0 {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{epoch} {start}");
        }
        text
    }

    pub(crate) fn write(&self, disk: &Disk, path: &Path) -> DiskResult<()> {
        disk.replace(path, self.to_text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(pairs: &[(i32, i64)]) -> Epochs {
        Epochs(pairs.iter().map(|(e, o)| (KRaftLeaderEpoch(*e), Offset(*o))).collect())
    }

    #[test]
    fn the_text_is_kafkas() {
        assert_eq!(epochs(&[(1, 0), (3, 42)]).to_text(), "0\n2\n1 0\n3 42\n");
        assert_eq!(Epochs::default().to_text(), "0\n0\n");
    }

    #[test]
    fn only_the_first_batch_of_an_epoch_counts() {
        let mut seen = Epochs::default();
        for (epoch, base) in [(1, 0), (1, 5), (3, 9), (3, 12)] {
            seen.observe(KRaftLeaderEpoch(epoch), Offset(base));
        }
        assert_eq!(seen, epochs(&[(1, 0), (3, 9)]));
        let mut begun_anew = epochs(&[(3, 9)]);
        begun_anew.observe(KRaftLeaderEpoch(4), Offset(9));
        assert_eq!(begun_anew, epochs(&[(4, 9)]));
        assert_eq!(seen.epoch_before(Offset(9)), Some(KRaftLeaderEpoch(1)));
        assert_eq!(seen.epoch_before(Offset(10)), Some(KRaftLeaderEpoch(3)));
        assert_eq!(seen.epoch_before(Offset(0)), None);
    }

    #[test]
    fn cutting_the_end_and_the_start_keeps_what_is_between() {
        for (end, expected) in [(0, &[][..]), (9, &[(1, 0)]), (10, &[(1, 0), (3, 9)])] {
            let mut cut = epochs(&[(1, 0), (3, 9)]);
            cut.truncate(Offset(end));
            assert_eq!(cut, epochs(expected), "end {end}");
        }
        for (start, expected) in [(0, &[(1, 0), (3, 9)][..]), (4, &[(1, 4), (3, 9)]), (9, &[(3, 9)]), (12, &[(3, 12)])]
        {
            let mut cut = epochs(&[(1, 0), (3, 9)]);
            cut.trim(Offset(start));
            assert_eq!(cut, epochs(expected), "start {start}");
        }
    }
}
