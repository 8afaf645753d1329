//! A quorum to try things on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, TopicId};
use metadata_core::log::{Append, MetadataLog as _};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{TopicRecord, VersionedRecord};
use metadata_core::store::Txn;
use metadata_core::uuid::Uuid;
use store_kraft::{KraftLog, KraftLogOptions, PeerOptions, QuorumTimeouts};

use crate::proxy::Way;

pub(crate) const CLUSTER: &str = "ZcQrXrnVQj-xXqg6iQ0pGg";

/// Nothing in these tests waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Short, so that elections don't fill the time of the tests; long enough for a busy machine.
pub(crate) const TIMEOUTS: QuorumTimeouts = QuorumTimeouts {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(300),
    election_max: Duration::from_millis(600),
};

/// Controllers, each with a way of its own to each other.
pub(crate) struct Quorum {
    dir: tempfile::TempDir,
    ports: BTreeMap<NodeId, SocketAddr>,
    ways: BTreeMap<(NodeId, NodeId), Way>,
    logs: BTreeMap<NodeId, Arc<KraftLog>>,
    voters: Vec<NodeId>,
    /// Waits to be added, instead of forming a quorum.
    pub(crate) joins: Option<NodeId>,
    pub(crate) tune: fn(&mut KraftLogOptions),
}

/// An address that is free now, from below the range that outgoing connections get theirs from: a controller that is stopped
/// must find it free when it comes back.
fn free_port() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Processes begin at different places; within one, no port comes twice soon.
        let offset = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(offset % 20_000).unwrap();
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

pub(crate) fn ids(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

impl Quorum {
    /// Formatted directories for all, a quorum to be formed by `voters`, and nobody started.
    pub(crate) async fn of(all: &[i32], voters: &[i32]) -> Self {
        let (all, voters) = (ids(all), ids(voters));
        let dir = tempfile::tempdir().unwrap();
        let ports: BTreeMap<NodeId, SocketAddr> = all.iter().map(|id| (*id, free_port())).collect();
        let mut ways = BTreeMap::new();
        for from in &all {
            for to in all.iter().filter(|to| *to != from) {
                ways.insert((*from, *to), Way::to(ports[to]).await);
            }
        }
        let quorum = Self { dir, ports, ways, logs: BTreeMap::new(), voters, joins: None, tune: |_| {} };
        for id in all {
            quorum.format(id);
        }
        quorum
    }

    /// Three voters that run, one of which leads.
    pub(crate) async fn of_three() -> Self {
        let mut quorum = Self::of(&[3000, 3001, 3002], &[3000, 3001, 3002]).await;
        quorum.start_all().await;
        quorum.leader().await;
        quorum
    }

    pub(crate) fn dir_of(&self, id: NodeId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) fn port_of(&self, id: NodeId) -> SocketAddr {
        self.ports[&id]
    }

    pub(crate) fn format(&self, id: NodeId) {
        KraftLog::format(self.dir_of(id), id, CLUSTER, MetadataVersion::V3_9_IV0).unwrap();
    }

    pub(crate) fn options(&self, id: NodeId) -> KraftLogOptions {
        let address = |to: NodeId| match self.ways.get(&(id, to)) {
            Some(way) => way.address.to_string(),
            None => self.ports[&to].to_string(),
        };
        let mut voters: BTreeMap<_, _> = self.voters.iter().map(|to| (*to, address(*to))).collect();
        if self.joins == Some(id) || !self.voters.contains(&id) {
            voters.remove(&id);
        }
        let mut peers = PeerOptions::new(self.ports[&id].to_string(), voters);
        peers.timeouts = TIMEOUTS;
        let mut options = KraftLogOptions::new(self.dir_of(id), id, CLUSTER);
        options.announcement.migration_enabled = true;
        options.peers = Some(peers);
        (self.tune)(&mut options);
        options
    }

    pub(crate) async fn start(&mut self, id: NodeId) -> Arc<KraftLog> {
        let log = Arc::new(KraftLog::open(self.options(id)).await.unwrap());
        self.logs.insert(id, Arc::clone(&log));
        log
    }

    pub(crate) async fn start_all(&mut self) {
        for id in self.voters.clone() {
            self.start(id).await;
        }
    }

    pub(crate) async fn stop(&mut self, id: NodeId) {
        self.logs.remove(&id).unwrap().shutdown().await.unwrap();
    }

    /// Stops all of them. Their logs are complete then.
    pub(crate) async fn stop_all(&mut self) {
        for (_, log) in std::mem::take(&mut self.logs) {
            log.shutdown().await.unwrap();
        }
    }

    pub(crate) fn log(&self, id: NodeId) -> &Arc<KraftLog> {
        &self.logs[&id]
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = (NodeId, &Arc<KraftLog>)> {
        self.logs.iter().map(|(id, log)| (*id, log))
    }

    /// Cuts `id` off from everybody, both ways.
    pub(crate) fn isolate(&self, id: NodeId) {
        self.each_way_of(id, Way::cut);
    }

    pub(crate) fn join(&self, id: NodeId) {
        self.each_way_of(id, Way::mend);
    }

    fn each_way_of(&self, id: NodeId, act: impl Fn(&Way)) {
        self.ways.iter().filter(|((from, to), _)| *from == id || *to == id).for_each(|(_, way)| act(way));
    }

    /// Waits until one of those that run is active, and returns it with its epoch.
    pub(crate) async fn leader(&self) -> (Arc<KraftLog>, KRaftLeaderEpoch) {
        self.leader_among(&self.logs.keys().copied().collect::<Vec<_>>()).await
    }

    pub(crate) async fn leader_among(&self, ids: &[NodeId]) -> (Arc<KraftLog>, KRaftLeaderEpoch) {
        let looking = async {
            loop {
                for id in ids {
                    let log = &self.logs[id];
                    let now = log.leadership(None).await.unwrap();
                    if now.active {
                        return (Arc::clone(log), now.epoch);
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("somebody leads")
    }

    /// Waits until all that run have the log up to `end` (exclusive).
    pub(crate) async fn reaches(&self, end: Offset) {
        for log in self.logs.values() {
            reaches(log, end).await;
        }
    }

    /// The bytes of everybody's Kafka log, by id. All must be stopped.
    pub(crate) fn bytes(&self) -> BTreeMap<NodeId, Vec<u8>> {
        self.ports.keys().map(|id| (*id, log_bytes(&self.dir_of(*id)))).collect()
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("it is never so: {what}"));
}

pub(crate) async fn reaches(log: &KraftLog, end: Offset) {
    let reached = async {
        while log.extent().end_offset < end {
            log.committed(log.extent().end_offset).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("it follows");
}

/// All segments, one after the other.
pub(crate) fn log_bytes(data_dir: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(data_dir.join("__cluster_metadata-0")).unwrap();
    let mut segments: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|it| it == "log"));
    segments.sort();
    segments.iter().flat_map(|path| std::fs::read(path).unwrap()).collect()
}

pub(crate) fn topic(number: u64) -> VersionedRecord {
    let topic_id = TopicId(Uuid::from_u64_pair(7, number));
    VersionedRecord::new(TopicRecord { name: format!("topic-{number}"), topic_id, ..Default::default() }, 0)
}

/// Appends a topic at the end of the log.
pub(crate) fn one_topic(log: &KraftLog, epoch: KRaftLeaderEpoch, number: u64) -> Append {
    let expected = Some(log.extent().end_offset);
    Append { epoch, expected, txn: Txn::None, records: vec![topic(number)] }
}

/// Makes topics `numbers`, one after the other, and returns the end of the log.
pub(crate) async fn make_topics(log: &KraftLog, epoch: KRaftLeaderEpoch, numbers: std::ops::Range<u64>) -> Offset {
    let mut end = log.extent().end_offset;
    for number in numbers {
        end = log.append(one_topic(log, epoch, number)).await.unwrap().end_offset;
    }
    end
}

pub(crate) fn has_topic(log: &KraftLog, number: u64) -> bool {
    log.image().topics().id(&format!("topic-{number}")).is_some()
}
