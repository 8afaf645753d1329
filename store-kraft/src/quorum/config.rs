//! How openraft is set up.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use metadata_core::error::Result;
use metadata_core::id::NodeId;
use openraft::{Config, SnapshotPolicy};

use crate::open::unavailable;
use crate::options::{KraftLogOptions, PeerOptions, QuorumTimeouts};

/// Up to so many voters never draw the same time-out of elections.
const ELECTION_PARTS: u64 = 5;

/// Snapshots travel in pieces of so many bytes.
const SNAPSHOT_CHUNK_BYTES: u64 = 1 << 20;

/// Each piece of a snapshot is answered within this time.
const SNAPSHOT_PIECE_MS: u64 = 60_000;

/// The configuration of the controller that `options` are for, where `voters` are those that its log knows.
pub(crate) fn raft_config(options: &KraftLogOptions, voters: &BTreeSet<NodeId>) -> Result<Config> {
    let timeouts = options.peers.as_ref().map(|peers| peers.timeouts).unwrap_or_default();
    let part = election_part(&timeouts, place(options.node_id, voters, options.peers.as_ref()));
    let config = Config {
        cluster_name: options.cluster_id.clone(),
        election_timeout_min: part.start,
        election_timeout_max: part.end,
        heartbeat_interval: millis(timeouts.heartbeat),
        // Snapshots are due by bytes of the Kafka log, which openraft does not know.
        snapshot_policy: SnapshotPolicy::Never,
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
        // The last piece of a snapshot is answered once all of it is verified and loaded.
        install_snapshot_timeout: SNAPSHOT_PIECE_MS,
        // What snapshots cover is purged by hand: see `Leading`.
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    };
    config.validate().map_err(unavailable)
}

/// Where `own` stands among the voters of the log, or else among those that were configured, from 0. Who is to be added to a
/// quorum that it knows nothing of goes by its id, until it is started again.
fn place(own: NodeId, voters: &BTreeSet<NodeId>, peers: Option<&PeerOptions>) -> u64 {
    let configured: BTreeSet<NodeId> = peers.into_iter().flat_map(|peers| peers.voters.keys().copied()).collect();
    match [voters, &configured].into_iter().find(|voters| voters.contains(&own)) {
        Some(voters) => voters.range(..own).count() as u64,
        None => u64::from(own.0.unsigned_abs()),
    }
}

/// The milliseconds among which a voter draws its time-out of elections. openraft draws once in a process: two voters that
/// drew nearly the same would stand against each other again and again (46 s were seen). So each has a part of the range to
/// itself, by its place among the voters.
fn election_part(timeouts: &QuorumTimeouts, place: u64) -> Range<u64> {
    let (min, max) = (millis(timeouts.election_min), millis(timeouts.election_max));
    let length = ((max - min) / ELECTION_PARTS).max(1);
    let start = (min + length * (place % ELECTION_PARTS)).min(max - 1);
    start..(start + length).min(max)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parts(ids: &[i32], timeouts: QuorumTimeouts) -> Vec<Range<u64>> {
        let voters = ids.iter().map(|id| (NodeId(*id), "localhost:1".to_owned())).collect();
        let mut peers = PeerOptions::new("localhost:1", voters);
        peers.timeouts = timeouts;
        let of = |id: &i32| {
            let mut options = KraftLogOptions::new("unused", NodeId(*id), "cluster");
            options.peers = Some(peers.clone());
            let config = raft_config(&options, &BTreeSet::new()).unwrap();
            config.election_timeout_min..config.election_timeout_max
        };
        ids.iter().map(of).collect()
    }

    #[test]
    fn voters_never_draw_the_same_timeout_of_elections_whatever_their_ids_are() {
        let default = QuorumTimeouts::default();
        for ids in [&[3000, 3001, 3002][..], &[100, 200, 300], &[1, 6, 11, 16, 21], &[1, 2, 3, 4, 5]] {
            let parts = parts(ids, default);
            for part in &parts {
                assert!(part.start >= 1000 && part.start < part.end && part.end <= 2000, "{ids:?} {parts:?}");
            }
            assert!(parts.windows(2).all(|two| two[0].end <= two[1].start), "{ids:?} {parts:?}");
        }
    }

    /// Nothing is divided that can't be; openraft takes what comes out.
    #[test]
    fn a_short_range_is_shared() {
        let timeouts = QuorumTimeouts {
            heartbeat: Duration::from_millis(10),
            election_min: Duration::from_millis(20),
            election_max: Duration::from_millis(22),
        };
        assert_eq!(parts(&[1, 2, 3], timeouts), [20..21, 21..22, 21..22]);
    }

    #[test]
    fn the_log_knows_the_voters_better_and_who_is_added_goes_by_its_id() {
        let ids = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let peers =
            PeerOptions::new("localhost:1", ids(&[1, 2, 3]).into_iter().map(|id| (id, String::new())).collect());
        assert_eq!(place(NodeId(3), &ids(&[]), Some(&peers)), 2);
        assert_eq!(place(NodeId(3), &ids(&[3, 7, 8]), Some(&peers)), 0);
        let none = PeerOptions::new("localhost:1", BTreeMap::new());
        assert_eq!(place(NodeId(8), &ids(&[3, 7, 8]), Some(&none)), 2);
        assert_eq!(place(NodeId(3003), &ids(&[]), Some(&none)), 3003);
    }

    /// Cut off cleanly, a leader that hears from no majority ends before a successor can begin.
    #[test]
    fn who_is_not_confirmed_stops_before_anybody_else_can_be_elected() {
        let timeouts = QuorumTimeouts::default();
        let unconfirmed = millis(timeouts.unconfirmed_max());
        for part in parts(&[1, 2, 3, 4, 5], timeouts) {
            // A voter stands once the lease (the end of its part) and then its own time-out have passed.
            assert!(part.end + part.start >= unconfirmed, "{part:?}");
        }
    }
}
