//! Quorums of this process, and batches into them.

use std::collections::{BTreeMap, VecDeque};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use metadata_core::error::Error;
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset};
use metadata_core::log::{Append, MetadataLog as _};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{VersionedRecord, ZkMigrationState};
use metadata_core::store::{Receipt, Txn};
use store_kraft::{KraftLog, KraftLogOptions, PeerOptions};
use tokio::time::{sleep, timeout};

use super::workload::topics;
use crate::cli::Failure;

const CLUSTER: &str = "ZcQrXrnVQj-xXqg6iQ0pGg";
const IDS: [NodeId; 3] = [NodeId(3000), NodeId(3001), NodeId(3002)];
const VERSION: MetadataVersion = MetadataVersion::LATEST_PRODUCTION;

/// A quorum that has no leader after this time gets none.
const LEADER_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks for a leader.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Voters, all of them in this process, with the limits and time-outs that a controller has.
pub(super) struct Quorum {
    logs: Vec<KraftLog>,
}

impl Quorum {
    /// A single voter, which leads.
    pub(super) async fn of_one(folder: &Path) -> Result<Self, Failure> {
        let [id, ..] = IDS;
        Ok(Self { logs: vec![open(folder, id, None).await?] })
    }

    /// Three voters that speak over TCP on the loopback.
    pub(super) async fn of_three(folder: &Path) -> Result<Self, Failure> {
        let voters = addresses()?;
        let mut logs = Vec::new();
        for (id, address) in &voters {
            logs.push(open(folder, *id, Some(PeerOptions::new(address, voters.clone()))).await?);
        }
        Ok(Self { logs })
    }

    /// Appends all batches at the leader, so many in flight. From the first append to the last acknowledgement. The quorum is
    /// shut down afterwards.
    pub(super) async fn write(self, batches: Vec<Vec<VersionedRecord>>, in_flight: usize) -> Result<Duration, Failure> {
        let (leader, epoch) = self.leader().await?;
        let start = leader.bootstrap(VERSION, ZkMigrationState::None).await?;
        let first = append(leader, epoch, start.end_offset, topics()).await?;
        let took = pour(leader, epoch, first.end_offset, batches, in_flight).await?;
        for log in &self.logs {
            log.shutdown().await?;
        }
        Ok(took)
    }

    async fn leader(&self) -> Result<(&KraftLog, KRaftLeaderEpoch), Failure> {
        let looking = async {
            loop {
                for log in &self.logs {
                    let now = log.leadership(None).await?;
                    if now.active {
                        return Ok::<_, Error>((log, now.epoch));
                    }
                }
                sleep(LOOK_EVERY).await;
            }
        };
        let found = timeout(LEADER_WITHIN, looking).await.map_err(|_| {
            Failure::failed("the quorum elects no leader")
                .why(format!("not within {} s", LEADER_WITHIN.as_secs()))
                .next("run it again on a machine that is less busy")
        })?;
        Ok(found?)
    }
}

/// A free port for each voter. All are held until each has one, so that no two get the same.
fn addresses() -> Result<BTreeMap<NodeId, String>, Failure> {
    let no_port = |error: std::io::Error| Failure::failed("there is no free port").because(&error);
    let mut held = Vec::new();
    let mut addresses = BTreeMap::new();
    for id in IDS {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(no_port)?;
        addresses.insert(id, listener.local_addr().map_err(no_port)?.to_string());
        held.push(listener);
    }
    Ok(addresses)
}

async fn open(folder: &Path, id: NodeId, peers: Option<PeerOptions>) -> Result<KraftLog, Failure> {
    let dir = folder.join(id.to_string());
    KraftLog::format(&dir, id, CLUSTER, VERSION)?;
    let mut options = KraftLogOptions::new(dir, id, CLUSTER);
    options.peers = peers;
    Ok(KraftLog::open(options).await?)
}

fn append(log: &KraftLog, epoch: KRaftLeaderEpoch, at: Offset, records: Vec<VersionedRecord>) -> Receipt {
    log.append(Append { epoch, expected: Some(at), txn: Txn::None, records })
}

async fn pour(
    log: &KraftLog,
    epoch: KRaftLeaderEpoch,
    mut at: Offset,
    batches: Vec<Vec<VersionedRecord>>,
    in_flight: usize,
) -> Result<Duration, Failure> {
    let mut receipts: VecDeque<Receipt> = VecDeque::with_capacity(in_flight);
    let start = Instant::now();
    for records in batches {
        if receipts.len() >= in_flight
            && let Some(receipt) = receipts.pop_front()
        {
            receipt.await?;
        }
        let next = at.plus(i64::try_from(records.len()).unwrap_or(i64::MAX));
        receipts.push_back(append(log, epoch, at, records));
        at = next;
    }
    for receipt in receipts {
        receipt.await?;
    }
    Ok(start.elapsed())
}
