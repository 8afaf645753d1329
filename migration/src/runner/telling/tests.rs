use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use metadata_core::contract::MemLog;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{BrokerEpoch, NodeId, Position, ZkControllerEpoch, ZkVersion};
use metadata_core::leadership::{AfterClaim, KraftLeadership, Leadership, ZkClaim};
use metadata_core::log::Append;
use metadata_core::record::{BrokerEndpoint, MetadataRecord, RegisterBrokerRecord, TopicRecord, VersionedRecord};
use metadata_core::store::Txn;

use super::*;
use crate::propagate::{BrokerRequest, Enqueued, Receiver, RequestType};

const OWN: NodeId = NodeId(3000);

/// What was done at the channel, in words.
#[derive(Default)]
struct Told {
    words: Mutex<Vec<String>>,
    /// So many sends fail first.
    failures: Mutex<usize>,
}

impl Told {
    fn say(&self, word: String) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).push(word);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn until(&self, count: usize) -> Vec<String> {
        while self.words.lock().unwrap_or_else(PoisonError::into_inner).len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.take()
    }
}

#[async_trait]
impl BrokerChannel for Told {
    async fn open(&self, receiver: &Receiver) -> Result<()> {
        self.say(format!("open {}", receiver.id));
        Ok(())
    }

    async fn send(&self, receiver: NodeId, requests: Vec<BrokerRequest>) -> Result<Enqueued> {
        {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if *failures > 0 {
                *failures -= 1;
                return Err(Error::not_applied(ErrorKind::Unavailable, "not now"));
            }
        }
        for request in requests {
            let (what, stamp, full) = match &request {
                BrokerRequest::UpdateMetadata(it) => ("update", it.stamp, it.request_type == RequestType::Full),
                BrokerRequest::LeaderAndIsr(it) => ("lead", it.stamp, it.request_type == RequestType::Full),
                BrokerRequest::StopReplica(it) => ("stop", it.stamp, false),
            };
            let full = if full { "everything" } else { "a change" };
            self.say(format!("{what} {receiver}: {full} in epoch {}", stamp.controller.zk_epoch));
        }
        Ok(Enqueued::Queued)
    }

    async fn close(&self, receiver: NodeId) -> Result<()> {
        self.say(format!("close {receiver}"));
        Ok(())
    }
}

async fn append(log: &MemLog, record: impl Into<MetadataRecord>, version: i16) {
    let epoch = log.leadership(None).await.unwrap().epoch;
    let expected = Some(log.image().position().end_offset);
    let records = vec![VersionedRecord::new(record, version)];
    log.append(Append { epoch, expected, txn: Txn::None, records }).await.unwrap();
}

async fn claimed(log: &MemLog, zk_epoch: i32) -> Claimed {
    let epoch = log.leadership(None).await.unwrap().epoch;
    let claim = ZkClaim { epoch: ZkControllerEpoch(zk_epoch), epoch_zk_version: ZkVersion(zk_epoch) };
    Claimed {
        leadership: Leadership { kraft: KraftLeadership { id: OWN, epoch }, fence: Fence::ZooKeeper(claim) },
        position: Position::START,
        batch_end: None,
        next: AfterClaim::Resume,
    }
}

/// A log that this controller leads, with broker 1 in ZooKeeper mode.
async fn led() -> MemLog {
    let log = MemLog::new();
    log.elect(OWN);
    let end_point = BrokerEndpoint { name: "PLAINTEXT".into(), host: "h".into(), port: 9092, ..Default::default() };
    let broker = RegisterBrokerRecord {
        broker_id: NodeId(1),
        broker_epoch: BrokerEpoch(1),
        is_migrating_zk_broker: true,
        fenced: false,
        end_points: vec![end_point],
        ..Default::default()
    };
    append(&log, broker, 3).await;
    log
}

fn telling(log: &MemLog, channel: &Arc<Told>) -> Telling {
    let (telling, work) = Telling::new(Arc::new(log.clone()), Arc::<Told>::clone(channel), "PLAINTEXT".to_owned());
    drop(tokio::spawn(work));
    telling
}

#[tokio::test]
async fn after_a_claim_everything_is_told_and_then_what_changes_until_another_leads() {
    let (log, channel) = (led().await, Arc::<Told>::default());
    let telling = telling(&log, &channel);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(channel.take(), Vec::<String>::new(), "nobody is told anything before the claim");

    telling.clone().everything(claimed(&log, 5).await).await;
    assert_eq!(channel.take(), ["open 1", "update 1: everything in epoch 5", "lead 1: everything in epoch 5"]);

    // No order of the driver is needed for a change, nor a ZooKeeper.
    let another = RegisterBrokerRecord { broker_id: NodeId(2), fenced: false, ..Default::default() };
    append(&log, another, 3).await;
    assert_eq!(channel.until(1).await, ["update 1: a change in epoch 5"]);
    append(&log, TopicRecord { name: "t".into(), ..Default::default() }, 0).await;

    telling.clone().everything(claimed(&log, 6).await).await;
    let again = channel.take();
    assert!(again.ends_with(&["lead 1: everything in epoch 6".to_owned()]), "{again:?}");

    telling.stop();
    assert_eq!(channel.until(1).await, ["close 1"]);
    telling.stop();
    let broker = RegisterBrokerRecord { broker_id: NodeId(3), fenced: false, ..Default::default() };
    append(&log, broker, 3).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(channel.take(), Vec::<String>::new());
    // Elected again, it begins anew.
    telling.clone().everything(claimed(&log, 9).await).await;
    assert_eq!(channel.take()[..2], ["open 1", "update 1: everything in epoch 9"]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_is_tried_again_before_the_brokers_count_as_told() {
    let (log, channel) = (led().await, Arc::<Told>::default());
    *channel.failures.lock().unwrap_or_else(PoisonError::into_inner) = 3;
    telling(&log, &channel).everything(claimed(&log, 5).await).await;
    let words = channel.take();
    assert_eq!(words.iter().filter(|word| word.starts_with("lead 1: everything")).count(), 1, "{words:?}");
}
