//! What followers of the log that are no members of its quorum are given: batches as they lie in the files, and snapshots.
//! In Kafka these are brokers, which fetch as observers (KIP-595, KIP-630). Only what is committed is given away.

use bytes::Bytes;
use metadata_core::id::{KRaftLeaderEpoch, Offset};
use metadata_core::leadership::LogExtent;

use crate::log::SnapshotId;

/// Where a follower's log ends, as it says in a Fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerEnd {
    /// The offset that it wants next (inclusive): the end of its log.
    pub offset: Offset,
    /// The epoch of its last record; 0 when it has none.
    pub epoch: KRaftLeaderEpoch,
}

/// What a follower gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Its log is a part of ours. Whole batches follow, byte for byte: from the one that holds the offset on, none at the end
    /// of the log.
    Batches {
        /// The batches, back to back.
        bytes: Bytes,
        /// The end of what is committed (exclusive), as of the look: Kafka's high watermark.
        high_watermark: Offset,
    },
    /// Its log is not a part of ours: they part at the end of this epoch at the latest. It cuts its log there and asks again.
    Diverging {
        /// The newest epoch of ours that is not newer than its last one.
        epoch: KRaftLeaderEpoch,
        /// Where that epoch ends in our log (exclusive).
        end_offset: Offset,
    },
    /// What it needs next stands in no log any more: it begins with this snapshot.
    Snapshot(SnapshotId),
}

/// A piece of a snapshot's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPiece {
    /// Size of the whole file, in bytes.
    pub size: u64,
    /// What stands from the position on that was asked for, cut anywhere.
    pub bytes: Bytes,
}

/// How a follower's log stands to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is a part of ours.
    Within,
    /// See [`Fetched::Diverging`].
    Diverging { epoch: KRaftLeaderEpoch, end_offset: Offset },
    /// See [`Fetched::Snapshot`].
    Behind(SnapshotId),
}

/// Whether a follower's log is a part of ours, as the epochs alone tell: most are, and then nobody need look for snapshots. One
/// that has nothing is better off with a snapshot, if there is one.
pub(crate) fn is_within(extent: &LogExtent, start: Offset, FollowerEnd { offset, epoch }: FollowerEnd) -> bool {
    let ours = end_of_epoch(extent, epoch);
    offset > Offset::ZERO && offset >= start && ours.is_some_and(|(ours, end)| ours == epoch && end >= offset)
}

/// Judges where a follower stands. `start` is the first offset of our log (inclusive), `snapshots` are ascending.
///
/// Source: `KafkaRaftClient.validateFetchOffsetAndEpoch`, `ReplicatedLog.validateOffsetAndEpoch`.
pub(crate) fn standing(extent: &LogExtent, start: Offset, snapshots: &[SnapshotId], follower: FollowerEnd) -> Standing {
    if is_within(extent, start, follower) {
        return Standing::Within;
    }
    let FollowerEnd { offset, epoch } = follower;
    let newest = snapshots.last().copied();
    match newest {
        Some(newest) if offset <= Offset::ZERO || offset < start => return Standing::Behind(newest),
        None if offset <= Offset::ZERO => return Standing::Within,
        _ => {}
    }
    // It began with a snapshot of ours, and our log no longer reaches back to that epoch.
    if offset >= start && snapshots.contains(&SnapshotId { end_offset: offset, epoch }) {
        return Standing::Within;
    }
    match end_of_epoch(extent, epoch) {
        Some((epoch, end_offset)) => Standing::Diverging { epoch, end_offset },
        // All of our epochs are newer than its last one, so all that it has is from elsewhere.
        None => newest
            .map_or(Standing::Diverging { epoch: KRaftLeaderEpoch(0), end_offset: Offset::ZERO }, Standing::Behind),
    }
}

/// The newest epoch of the log that is not newer than `epoch`, and where it ends (exclusive).
fn end_of_epoch(extent: &LogExtent, epoch: KRaftLeaderEpoch) -> Option<(KRaftLeaderEpoch, Offset)> {
    let newer = extent.epochs.partition_point(|(ours, _)| *ours <= epoch);
    let (ours, _) = extent.epochs.get(newer.checked_sub(1)?)?;
    Some((*ours, extent.epochs.get(newer).map_or(extent.end_offset, |(_, start)| *start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(epochs: &[(i32, i64)], end: i64) -> LogExtent {
        let epochs = epochs.iter().map(|(epoch, start)| (KRaftLeaderEpoch(*epoch), Offset(*start))).collect();
        LogExtent { epochs, end_offset: Offset(end), ..LogExtent::default() }
    }

    fn snapshot(end_offset: i64, epoch: i32) -> SnapshotId {
        SnapshotId { end_offset: Offset(end_offset), epoch: KRaftLeaderEpoch(epoch) }
    }

    fn diverging(epoch: i32, end_offset: i64) -> Standing {
        Standing::Diverging { epoch: KRaftLeaderEpoch(epoch), end_offset: Offset(end_offset) }
    }

    fn table(extent: &LogExtent, start: i64, snapshots: &[SnapshotId], cases: &[(i64, i32, Standing)]) {
        for (offset, epoch, expected) in cases {
            let follower = FollowerEnd { offset: Offset(*offset), epoch: KRaftLeaderEpoch(*epoch) };
            assert_eq!(
                standing(extent, Offset(start), snapshots, follower),
                *expected,
                "offset {offset} epoch {epoch}"
            );
        }
    }

    #[test]
    fn a_follower_of_a_whole_log_gets_what_it_lacks_or_is_told_where_it_parts() {
        let log = extent(&[(2, 0), (5, 10)], 20);
        table(
            &log,
            0,
            &[],
            &[
                (0, 0, Standing::Within),
                (1, 2, Standing::Within),
                (10, 2, Standing::Within),
                (11, 2, diverging(2, 10)),
                (10, 3, diverging(2, 10)),
                (12, 4, diverging(2, 10)),
                (11, 5, Standing::Within),
                (20, 5, Standing::Within),
                (21, 5, diverging(5, 20)),
                (5, 9, diverging(5, 20)),
                (5, 1, diverging(0, 0)),
            ],
        );
    }

    #[test]
    fn a_follower_that_is_too_far_behind_begins_with_the_newest_snapshot() {
        let log = extent(&[(5, 10), (7, 30)], 40);
        let (old, new) = (snapshot(10, 2), snapshot(25, 5));
        table(
            &log,
            10,
            &[old, new],
            &[
                (0, 0, Standing::Behind(new)),
                (9, 2, Standing::Behind(new)),
                // The log begins right behind the old snapshot, whose epoch it does not know any more.
                (10, 2, Standing::Within),
                (10, 3, Standing::Behind(new)),
                (10, 1, Standing::Behind(new)),
                (25, 5, Standing::Within),
                (11, 5, Standing::Within),
                (31, 5, diverging(5, 30)),
                (31, 6, diverging(5, 30)),
                (40, 7, Standing::Within),
                (41, 7, diverging(7, 40)),
            ],
        );
    }

    #[test]
    fn with_a_snapshot_there_is_a_better_way_to_begin_than_the_log() {
        table(
            &extent(&[(1, 0)], 20),
            0,
            &[snapshot(15, 1)],
            &[(0, 0, Standing::Behind(snapshot(15, 1))), (1, 1, Standing::Within)],
        );
    }

    #[test]
    fn what_makes_no_sense_is_no_panic() {
        table(
            &extent(&[], 0),
            0,
            &[],
            &[(0, 0, Standing::Within), (-1, -1, Standing::Within), (5, 3, diverging(0, 0))],
        );
    }
}
