use std::future::poll_fn;
use std::sync::Mutex;
use std::task::Poll;

use tokio::sync::oneshot;

use super::*;
use crate::contract::{MemLog, leadership};
use crate::error::Outcome;
use crate::id::{KRaftLeaderEpoch, NodeId, Offset, TimestampMs};
use crate::leadership::LogExtent;
use crate::log::{LeaderAndEpoch, LogBatch};
use crate::record::{DelegationTokenRecord, FeatureLevelRecord, NoOpRecord, VersionedRecord};

/// A log whose appends are answered when the test says so.
#[derive(Default)]
struct SlowLog {
    log: MemLog,
    answers: Mutex<Vec<oneshot::Sender<()>>>,
}

#[async_trait]
impl MetadataLog for SlowLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        self.log.leadership(known).await
    }

    fn append(&self, append: Append) -> Receipt {
        let (answer, answered) = oneshot::channel();
        self.answers.lock().unwrap().push(answer);
        let receipt = self.log.append(append);
        Receipt::new(async move {
            answered.await.unwrap();
            receipt.await
        })
    }

    async fn end(&self) -> Result<Position> {
        self.log.end().await
    }

    fn extent(&self) -> LogExtent {
        self.log.extent()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        self.log.committed(end_offset).await
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        self.log.read(from, records_max).await
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        self.log.image_at_most(end_offset).await
    }

    fn image(&self) -> MetadataImage {
        self.log.image()
    }

    fn hold(&self, end_offset: Offset) {
        self.log.hold(end_offset);
    }
}

async fn claimed<L: MetadataLog + 'static>(log: Arc<L>, epoch: i32) -> Box<dyn StoreWriter> {
    let store = LogStore::new(log);
    let claimed = store.claim(&leadership(3000, epoch), &Expected::Nothing).await.unwrap();
    store.writer(claimed).await.unwrap()
}

fn batch(log: &impl MetadataLog) -> MetadataBatch {
    let before = log.image();
    let end = Position { end_offset: before.position().end_offset.plus(1), ..before.position() };
    let after = before.at(end, TimestampMs(0));
    let record = VersionedRecord::new(NoOpRecord::default(), 0);
    MetadataBatch { txn: Txn::None, records: [record].into(), before, after }
}

/// Whether `ready` returns at once.
async fn is_ready(writer: &mut Box<dyn StoreWriter>) -> bool {
    let mut ready = writer.ready();
    let polled = poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx)));
    match polled.await {
        Poll::Ready(result) => result.is_ok(),
        Poll::Pending => false,
    }
}

fn full(log: &Arc<SlowLog>, writer: &mut Box<dyn StoreWriter>) -> Vec<Receipt> {
    (0..BATCHES_IN_FLIGHT_MAX).map(|_| writer.submit(batch(&log.log))).collect()
}

#[tokio::test]
async fn room_for_one_more_comes_with_the_first_answer_whoever_holds_the_receipts() {
    for keep in [true, false] {
        let log = Arc::new(SlowLog::default());
        log.log.elect(NodeId(3000));
        let mut writer = claimed(Arc::clone(&log), 1).await;
        assert_eq!(LogStore::new(Arc::clone(&log)).capability().batches_in_flight_max, BATCHES_IN_FLIGHT_MAX);
        let mut receipts = full(&log, &mut writer);
        if !keep {
            receipts.clear();
        }
        assert!(!is_ready(&mut writer).await, "as many as there may be are unresolved");
        log.answers.lock().unwrap().remove(0).send(()).unwrap();
        assert!(is_ready(&mut writer).await, "the first has its answer");
        receipts.push(writer.submit(batch(&log.log)));
        assert!(!is_ready(&mut writer).await, "and another one took its place");
    }
}

#[tokio::test]
async fn who_waits_for_room_is_woken_and_the_receipts_have_their_answers_all_the_same() {
    let log = Arc::new(SlowLog::default());
    log.log.elect(NodeId(3000));
    let mut writer = claimed(Arc::clone(&log), 1).await;
    let receipts = full(&log, &mut writer);
    let answers = std::mem::take(&mut *log.answers.lock().unwrap());
    // Each waits on its own; none may swallow the other's wake.
    let (room, ends, ()) = tokio::join!(
        writer.ready(),
        async {
            let mut ends = Vec::new();
            for receipt in receipts.into_iter().rev() {
                ends.push(receipt.await.unwrap().end_offset.0);
            }
            ends
        },
        async {
            for answer in answers {
                tokio::task::yield_now().await;
                answer.send(()).unwrap();
            }
        },
    );
    room.unwrap();
    assert!(ends.is_sorted_by(|later, earlier| later > earlier), "{ends:?}");
    assert_eq!(ends.len(), BATCHES_IN_FLIGHT_MAX);
}

#[tokio::test]
async fn a_leader_that_resigned_has_no_barrier() {
    let log = Arc::new(MemLog::new());
    log.elect(NodeId(3000));
    let mut writer = claimed(Arc::clone(&log), 1).await;
    let (receipt, end) = (writer.submit(batch(&*log)), batch(&*log).before.position());
    assert_eq!(receipt.await.unwrap(), end);
    assert_eq!(writer.barrier().await.unwrap(), end);
    log.resign();
    let error = writer.barrier().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied));
    assert!(error.to_string().contains("led by nobody"), "{error}");
    log.elect(NodeId(3000));
    assert_eq!(
        writer.barrier().await.unwrap_err().kind(),
        ErrorKind::ControllerFenced,
        "a later epoch is another claim"
    );
}

#[tokio::test]
async fn what_the_log_can_not_write_ends_the_load_with_its_name() {
    let log = Arc::new(MemLog::new());
    log.elect(NodeId(3000));
    let level = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 13, ..Default::default() };
    let token = DelegationTokenRecord { token_id: "t1".into(), ..Default::default() };
    let records = vec![VersionedRecord::new(level, 0), VersionedRecord::new(token, 0)];
    let expected = Some(log.image().position().end_offset);
    log.append(Append { epoch: KRaftLeaderEpoch(1), expected, txn: Txn::None, records }).await.unwrap();
    let mut loaded = Vec::new();
    let error = LogStore::new(log).load(&mut loaded).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("the delegation token \"t1\""), "{error}");
    assert_eq!(loaded, [], "nothing that could be taken for all of it");
}
