//! Group commit: appends that wait share an entry of Raft's log, since each entry costs a sync.
//!
//! An append is whole: all of it is in one entry, and it is accepted or refused by itself. Up to 10 000 records or 8 MiB go
//! together; a Begin starts its own entry, so that the state before a transaction is the state before an entry.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::{KRaftLeaderEpoch, Position, TimestampMs};
use metadata_core::log::LeaderAndEpoch;
use openraft::error::ClientWriteError;
use tokio::sync::{mpsc, oneshot, watch};

use super::GROUP_BYTES_MAX;
use super::proposal::{Applied, Proposal, ProposedBatch, ProposedTxn, Refusal};
use super::types::Raft;
use crate::batch::BATCH_RECORDS_MAX;
use crate::health::Health;

/// Entries that are on their way at once, at most: one is synced while others are applied. It bounds what waits in memory.
const IN_FLIGHT_MAX: usize = 4;

/// The present time, for batches that are opened now.
pub(crate) fn now() -> TimestampMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// An append on its way to an entry.
pub(crate) struct Waiting {
    pub(crate) epoch: KRaftLeaderEpoch,
    pub(crate) records: usize,
    pub(crate) batch: ProposedBatch,
    pub(crate) answer: oneshot::Sender<Result<Position>>,
}

/// The appends that go together: taken from the front of what waits, of one epoch, within the limits. Never empty unless
/// nothing waits.
fn take_group(waiting: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let mut group: Vec<Waiting> = Vec::new();
    let (mut records, mut bytes) = (0, 0);
    while let Some(next) = waiting.front() {
        records += next.records;
        bytes += next.batch.batch.0.len();
        let fits = records <= BATCH_RECORDS_MAX && bytes <= GROUP_BYTES_MAX;
        let begins = next.batch.txn == ProposedTxn::Begin;
        let other_epoch = group.first().is_some_and(|first| first.epoch != next.epoch);
        if !group.is_empty() && (!fits || begins || other_epoch) {
            break;
        }
        group.extend(waiting.pop_front());
    }
    group
}

type Written = oneshot::Receiver<
    std::result::Result<
        openraft::raft::ClientWriteResponse<super::types::RaftTypes>,
        ClientWriteError<super::types::RaftNodeId, super::types::MemberAddress>,
    >,
>;

/// What arrives at the proposer.
pub(crate) enum Arriving {
    Append(Waiting),
    /// Is answered once every append that arrived before it is.
    Barrier(oneshot::Sender<()>),
}

struct InFlight {
    written: Written,
    answers: Vec<oneshot::Sender<Result<Position>>>,
}

/// Proposes what arrives, in order, and answers in order. Ends when nobody can append any more and all is answered.
pub(crate) struct Proposer {
    pub(crate) raft: Raft,
    pub(crate) health: Health,
    /// The epoch in which this member may append, if any.
    pub(crate) leadership: watch::Receiver<LeaderAndEpoch>,
    pub(crate) arriving: mpsc::UnboundedReceiver<Arriving>,
}

/// What is under way.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    in_flight: VecDeque<InFlight>,
    arrived: u64,
    answered: u64,
    /// Barriers, with how many appends arrived before each.
    barriers: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Queue {
    fn take_in(&mut self, arriving: Arriving) {
        match arriving {
            Arriving::Append(append) => {
                self.arrived += 1;
                self.waiting.push_back(append);
            }
            Arriving::Barrier(barrier) => self.barriers.push_back((self.arrived, barrier)),
        }
        self.lift_barriers();
    }

    fn note_answered(&mut self, count: usize) {
        self.answered += count as u64;
        self.lift_barriers();
    }

    fn lift_barriers(&mut self) {
        while self.barriers.front().is_some_and(|(arrived, _)| *arrived <= self.answered) {
            if let Some((_, barrier)) = self.barriers.pop_front() {
                let _ = barrier.send(());
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

impl Proposer {
    pub(crate) async fn run(mut self) {
        let mut queue = Queue::default();
        let (mut open, mut followed) = (true, true);
        while open || !queue.is_idle() {
            while let Ok(arriving) = self.arriving.try_recv() {
                queue.take_in(arriving);
            }
            while queue.in_flight.len() < IN_FLIGHT_MAX && !queue.waiting.is_empty() {
                let group = take_group(&mut queue.waiting);
                let size = group.len();
                match self.propose(group).await {
                    Some(entry) => queue.in_flight.push_back(entry),
                    None => queue.note_answered(size),
                }
            }
            tokio::select! {
                arrived = self.arriving.recv(), if open => match arrived {
                    Some(arriving) => queue.take_in(arriving),
                    None => open = false,
                },
                changed = self.leadership.changed(), if followed => {
                    followed = changed.is_ok();
                    if !followed || !self.leadership.borrow().active {
                        self.give_up(&mut queue);
                    }
                }
                Some(result) = first_written(&mut queue.in_flight) => {
                    if let Some(entry) = queue.in_flight.pop_front() {
                        let size = entry.answers.len();
                        self.answer(entry.answers, result);
                        queue.note_answered(size);
                    }
                }
                // Nothing is on its way, and nothing will arrive: the loop ends.
                else => {}
            }
        }
    }

    /// Hands a group to Raft. What is decided under another epoch than that in which this member leads goes no further.
    async fn propose(&self, group: Vec<Waiting>) -> Option<InFlight> {
        let decided = group.first()?.epoch;
        let active = active_epoch(*self.leadership.borrow());
        if active != Some(decided) {
            for waiting in group {
                let _ = waiting.answer.send(Err(fenced(decided, active)));
            }
            return None;
        }
        let (batches, answers) = group.into_iter().map(|waiting| (waiting.batch, waiting.answer)).unzip();
        match self.raft.client_write_ff(Proposal::Append { epoch: decided.0, batches }).await {
            Ok(written) => Some(InFlight { written, answers }),
            Err(fatal) => {
                self.health.stop(ErrorKind::Unavailable, fatal.to_string());
                self.answer(answers, Err(Lost));
                None
            }
        }
    }

    /// Answers everything that is on its way: this member leads no more, and whether the entries are ever decided is for
    /// others to say.
    fn give_up(&self, queue: &mut Queue) {
        for entry in std::mem::take(&mut queue.in_flight) {
            let size = entry.answers.len();
            self.answer(entry.answers, Err(Lost));
            queue.note_answered(size);
        }
    }

    fn answer(&self, answers: Vec<oneshot::Sender<Result<Position>>>, result: std::result::Result<Applied, Lost>) {
        let results = match result {
            Ok(Applied::Batches(results)) if results.len() == answers.len() => results,
            _ => {
                for answer in answers {
                    let _ = answer.send(Err(self.unknown()));
                }
                return;
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // A receipt that was dropped wants no answer.
            let _ = answer.send(result.map(Into::into).map_err(refused));
        }
    }

    fn unknown(&self) -> Error {
        match self.health.stopped() {
            Some(stopped) => stopped.error(Outcome::Unknown),
            None => {
                let message =
                    "the leadership was lost before the answer; read the log to see whether the records are in it";
                Error::unknown(ErrorKind::Unavailable, message)
            }
        }
    }
}

/// Raft gave no answer: leadership was lost, or it stopped.
#[derive(Debug)]
struct Lost;

/// The answer to the first entry on its way; `None` at once when there is none.
async fn first_written(in_flight: &mut VecDeque<InFlight>) -> Option<std::result::Result<Applied, Lost>> {
    let first = in_flight.front_mut()?;
    Some(match (&mut first.written).await {
        Ok(Ok(response)) => Ok(response.data),
        Ok(Err(_)) | Err(_) => Err(Lost),
    })
}

/// The epoch in which this member may append, if it leads.
pub(crate) fn active_epoch(told: LeaderAndEpoch) -> Option<KRaftLeaderEpoch> {
    told.active.then_some(told.epoch)
}

/// The error of an append under an epoch in which this member does not lead.
pub(crate) fn fenced(decided: KRaftLeaderEpoch, active: Option<KRaftLeaderEpoch>) -> Error {
    let message = match active {
        Some(active) => format!("the records were decided in epoch {decided}, this controller leads in epoch {active}"),
        None => format!("the records were decided in epoch {decided}, this controller does not lead now"),
    };
    Error::not_applied(ErrorKind::ControllerFenced, message)
}

fn refused(refusal: Refusal) -> Error {
    let kind = match &refusal {
        Refusal::Epoch { .. } => ErrorKind::ControllerFenced,
        // Another writer, or an append that failed: whoever looks at the log anew may begin again.
        Refusal::Offset { .. }
        | Refusal::NoTransaction
        | Refusal::TransactionIncomplete { .. }
        | Refusal::TransactionDiscarded(_) => ErrorKind::Conflict,
        Refusal::Invalid(_) => ErrorKind::Invalid,
    };
    Error::not_applied(kind, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::codec::Blob;

    fn waiting(epoch: i32, records: usize, bytes: usize, txn: ProposedTxn) -> Waiting {
        let batch = ProposedBatch { expected: None, txn, batch: Blob(Bytes::from(vec![0; bytes])) };
        Waiting { epoch: KRaftLeaderEpoch(epoch), records, batch, answer: oneshot::channel().0 }
    }

    /// The sizes of the groups that a queue is cut into.
    fn groups(appends: Vec<Waiting>) -> Vec<usize> {
        let mut queue = VecDeque::from(appends);
        let mut sizes = Vec::new();
        while !queue.is_empty() {
            sizes.push(take_group(&mut queue).len());
        }
        sizes
    }

    #[test]
    fn appends_share_an_entry_within_the_limits() {
        use ProposedTxn::{Begin, In, None};
        let end = ProposedTxn::End { batches: 2 };
        for (name, appends, expected) in [
            ("all fit", vec![waiting(1, 10, 10, None), waiting(1, 10, 10, None), waiting(1, 1, 1, None)], vec![3]),
            ("exactly full of records", vec![waiting(1, 9_999, 1, None), waiting(1, 1, 1, None)], vec![2]),
            ("one record too many", vec![waiting(1, 9_999, 1, None), waiting(1, 2, 1, None)], vec![1, 1]),
            ("exactly full of bytes", vec![waiting(1, 1, GROUP_BYTES_MAX - 1, None), waiting(1, 1, 1, None)], vec![2]),
            ("a byte too many", vec![waiting(1, 1, GROUP_BYTES_MAX, None), waiting(1, 1, 1, None)], vec![1, 1]),
            ("another epoch", vec![waiting(1, 1, 1, None), waiting(2, 1, 1, None), waiting(2, 1, 1, None)], vec![1, 2]),
            (
                "a begin starts its own",
                vec![waiting(1, 1, 1, None), waiting(1, 1, 1, Begin), waiting(1, 1, 1, In), waiting(1, 1, 1, end)],
                vec![1, 3],
            ),
        ] {
            assert_eq!(groups(appends), expected, "{name}");
        }
    }
}
