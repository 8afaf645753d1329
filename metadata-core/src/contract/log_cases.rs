//! The suite that any [`MetadataLog`] can run: what the port's docs promise, case by case.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Outcome};
use crate::id::{KRaftLeaderEpoch, Offset, Position, TopicId};
use crate::image::MetadataImage;
use crate::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use crate::record::{
    BeginTransactionRecord, EndTransactionRecord, MetadataRecord, RemoveTopicRecord, TopicRecord, VersionedRecord,
};
use crate::store::Txn;
use crate::uuid::Uuid;

/// An empty log for one case, and the power to elect leaders for it. Dropping it cleans up.
#[async_trait]
pub trait LogHarness: Send {
    /// The log, as a process that just started sees it.
    async fn log(&mut self) -> Arc<dyn MetadataLog>;

    /// Makes the log's own member the leader of a new epoch, and waits until it is active.
    async fn next_leader(&mut self) -> LeaderAndEpoch;
}

/// Makes a module of tests, one for each case of the suite: `log_contract_tests!(memory, async { MyHarness::start().await })`.
///
/// The expression is evaluated for every case, inside a tokio runtime; it yields a
/// [`LogHarness`](crate::contract::LogHarness).
#[macro_export]
macro_rules! log_contract_tests {
    ($module:ident, $harness:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the harness expression may be self-contained")]
            use super::*;

            $crate::log_contract_tests!(@cases $harness;
                an_append_of_another_epoch_is_refused
                an_append_lands_where_it_is_expected_or_nowhere
                what_no_log_may_hold_is_refused
                a_transaction_is_seen_as_a_whole_at_its_end
                a_miscounted_transaction_leaves_no_trace
                a_transaction_that_contradicts_the_log_leaves_no_trace
                a_begin_discards_the_transaction_before_it
                the_next_leader_discards_an_open_transaction
                each_epoch_starts_where_its_leader_was_elected
                reads_are_bounded_and_go_to_the_end
                whoever_waits_for_more_is_woken_by_it
                an_image_at_most_is_not_past_its_offset
                what_is_held_can_be_read
            );
        }
    };
    (@cases $harness:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::contract::run_log_case(stringify!($case), $harness);
            }
        )*

        #[test]
        fn every_case_of_the_suite_is_listed() {
            assert_eq!([$(stringify!($case)),*].as_slice(), $crate::contract::log_case_names().as_slice());
        }
    };
}

/// What a case found wrong.
type Broken = String;
type Verdict = Result<(), Broken>;
type Run = for<'a> fn(&'a mut dyn LogHarness) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

struct LogCase {
    name: &'static str,
    run: Run,
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        const CASES: &[LogCase] = &[$(LogCase { name: stringify!($name), run: |harness| Box::pin($name(harness)) }),*];
    };
}

cases![
    an_append_of_another_epoch_is_refused,
    an_append_lands_where_it_is_expected_or_nowhere,
    what_no_log_may_hold_is_refused,
    a_transaction_is_seen_as_a_whole_at_its_end,
    a_miscounted_transaction_leaves_no_trace,
    a_transaction_that_contradicts_the_log_leaves_no_trace,
    a_begin_discards_the_transaction_before_it,
    the_next_leader_discards_an_open_transaction,
    each_epoch_starts_where_its_leader_was_elected,
    reads_are_bounded_and_go_to_the_end,
    whoever_waits_for_more_is_woken_by_it,
    an_image_at_most_is_not_past_its_offset,
    what_is_held_can_be_read,
];

/// The names of all cases for logs, in order.
pub fn log_case_names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).collect()
}

/// Runs one case by name on the log of a harness, in a runtime of its own.
///
/// # Panics
/// When the log breaks the promise that the case is about, or there is no such case.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn run_log_case<H: LogHarness>(name: &str, harness: impl Future<Output = H>) {
    if let Err(broken) = check_log_case(name, harness) {
        panic!("contract case {name}: {broken}");
    }
}

/// As [`run_log_case`], and says what it found.
///
/// # Errors
/// How the log breaks the promise that the case is about.
///
/// # Panics
/// When there is no such case.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn check_log_case<H: LogHarness>(name: &str, harness: impl Future<Output = H>) -> Result<(), String> {
    let case = CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case {name}"));
    super::in_a_runtime(async {
        let mut harness = harness.await;
        (case.run)(&mut harness).await
    })
}

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

fn text(what: &'static str) -> impl Fn(Error) -> Broken {
    move |error| format!("{what}: {error} ({:?}, {:?})", error.kind(), error.outcome())
}

fn topic(number: u64) -> VersionedRecord {
    let topic_id = TopicId(Uuid::from_u64_pair(7, number));
    VersionedRecord::new(TopicRecord { name: format!("topic-{number}"), topic_id, ..Default::default() }, 0)
}

/// The removal of a topic that no image of the suite has.
fn contradiction() -> VersionedRecord {
    let topic_id = TopicId(Uuid::from_u64_pair(8, 8));
    VersionedRecord::new(RemoveTopicRecord { topic_id, ..Default::default() }, 0)
}

fn begin() -> VersionedRecord {
    VersionedRecord::new(BeginTransactionRecord { name: Some("suite".to_owned()), ..Default::default() }, 0)
}

fn end() -> VersionedRecord {
    VersionedRecord::new(EndTransactionRecord::default(), 0)
}

/// A log that is led.
struct Led {
    log: Arc<dyn MetadataLog>,
    epoch: KRaftLeaderEpoch,
}

impl Led {
    async fn by_the_next(harness: &mut dyn LogHarness) -> Self {
        let leader = harness.next_leader().await;
        Self { log: harness.log().await, epoch: leader.epoch }
    }

    async fn end(&self) -> Result<Offset, Broken> {
        Ok(self.log.end().await.map_err(text("end"))?.end_offset)
    }

    fn outside(&self, expected: Offset, records: Vec<VersionedRecord>) -> Append {
        Append { epoch: self.epoch, expected: Some(expected), txn: Txn::None, records }
    }

    fn within(&self, txn: Txn, records: Vec<VersionedRecord>) -> Append {
        Append { epoch: self.epoch, expected: None, txn, records }
    }

    async fn accept(&self, append: Append) -> Result<Position, Broken> {
        self.log.append(append).await.map_err(text("append"))
    }

    /// Appends topics with these numbers, each in a batch of its own.
    async fn write(&self, numbers: std::ops::Range<u64>) -> Verdict {
        for number in numbers {
            let expected = self.end().await?;
            let position = self.accept(self.outside(expected, vec![topic(number)])).await?;
            let end = Position { epoch: self.epoch, end_offset: expected.plus(1) };
            ensure!(position == end, "an append that ends at {end} was acknowledged at {position}");
        }
        Ok(())
    }

    /// The append is refused as one of `kind` that certainly did not happen, and the log ends where it did.
    async fn refuse(&self, what: &str, append: Append, kind: ErrorKind) -> Verdict {
        let before = self.end().await?;
        match self.log.append(append).await {
            Ok(position) => return Err(format!("{what} was accepted, at {position}")),
            Err(error) => ensure!(
                (error.kind(), error.outcome()) == (kind, Outcome::NotApplied),
                "{what}: {}",
                text("expected another refusal")(error)
            ),
        }
        let after = self.end().await?;
        ensure!(before == after, "{what} was refused, and moved the log's end from {before} to {after}");
        Ok(())
    }

    async fn read_all(&self) -> Result<Vec<LogBatch>, Broken> {
        self.log.read(Offset::ZERO, usize::MAX).await.map_err(text("read"))
    }

    /// The log and its image have exactly these topics, in this order.
    async fn holds(&self, numbers: &[u64]) -> Verdict {
        self.end().await?;
        let name = |record: &VersionedRecord| match &record.record {
            MetadataRecord::Topic(topic) => Some(topic.name.clone()),
            _ => None,
        };
        let batches = self.read_all().await?;
        let found: Vec<String> = batches.iter().flat_map(|batch| batch.records.iter().filter_map(name)).collect();
        let expected: Vec<String> = numbers.iter().map(|number| format!("topic-{number}")).collect();
        ensure!(found == expected, "the log has {found:?}, expected {expected:?}");
        let image = self.log.image();
        let missing = expected.iter().find(|name| image.topics().id(name).is_none());
        ensure!(missing.is_none() && image.topics().len() == expected.len(), "the image has other topics than the log");
        Ok(())
    }
}

async fn an_append_of_another_epoch_is_refused(harness: &mut dyn LogHarness) -> Verdict {
    let earlier = Led::by_the_next(harness).await;
    earlier.write(0..1).await?;
    let led = Led::by_the_next(harness).await;
    ensure!(led.epoch > earlier.epoch, "epoch {} came after epoch {}", led.epoch, earlier.epoch);
    let end = led.end().await?;
    for epoch in [earlier.epoch, KRaftLeaderEpoch(led.epoch.0 + 1)] {
        let append = Append { epoch, ..led.outside(end, vec![topic(1)]) };
        led.refuse("an append of another epoch", append, ErrorKind::ControllerFenced).await?;
    }
    led.write(2..3).await?;
    led.holds(&[0, 2]).await
}

async fn an_append_lands_where_it_is_expected_or_nowhere(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    led.write(0..2).await?;
    let end = led.end().await?;
    for wrong in [end.plus(-1), end.plus(1)] {
        led.refuse("an append for another offset", led.outside(wrong, vec![topic(9)]), ErrorKind::Conflict).await?;
    }
    led.write(2..3).await?;
    led.holds(&[0, 1, 2]).await
}

async fn what_no_log_may_hold_is_refused(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    let end_offset = led.end().await?;
    for (what, append) in [
        ("an append of nothing", led.outside(end_offset, Vec::new())),
        ("an append without an offset", led.within(Txn::None, vec![topic(1)])),
        ("a Begin with an offset", Append { txn: Txn::Begin, ..led.outside(end_offset, vec![begin()]) }),
        ("a transaction that is not begun by a Begin", led.within(Txn::Begin, vec![topic(1)])),
        ("half a transaction", led.outside(end_offset, vec![begin(), topic(1)])),
        ("a version that is none", led.outside(end_offset, vec![VersionedRecord { version: 99, ..topic(1) }])),
        ("what contradicts the log", led.outside(end_offset, vec![contradiction()])),
    ] {
        led.refuse(what, append, ErrorKind::Invalid).await?;
    }
    led.accept(led.within(Txn::Begin, vec![begin()])).await?;
    let within = Append { txn: Txn::In, ..led.outside(end_offset, vec![topic(1)]) };
    led.refuse("an offset within a transaction", within, ErrorKind::Invalid).await?;
    // What was refused does not count.
    led.accept(led.within(Txn::End { batches: 2 }, vec![topic(2), end()])).await?;
    led.holds(&[2]).await
}

async fn a_transaction_is_seen_as_a_whole_at_its_end(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    let start = led.end().await?;
    for append in [led.within(Txn::Begin, vec![begin(), topic(0)]), led.within(Txn::In, vec![topic(1)])] {
        let position = led.accept(append).await?;
        ensure!(position.end_offset == start, "what is not visible yet moved the end from {start} to {position}");
        led.holds(&[]).await?;
    }
    // Another writer's batch takes its place at once.
    led.write(7..8).await?;
    led.holds(&[7]).await?;
    let position = led.accept(led.within(Txn::End { batches: 3 }, vec![topic(2), end()])).await?;
    ensure!(position.end_offset == start.plus(6), "the transaction ends at {position}, not 6 past {start}");
    led.holds(&[7, 0, 1, 2]).await
}

async fn a_miscounted_transaction_leaves_no_trace(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    for batches in [2, 4] {
        led.accept(led.within(Txn::Begin, vec![begin()])).await?;
        led.accept(led.within(Txn::In, vec![topic(0)])).await?;
        let wrong = led.within(Txn::End { batches }, vec![end()]);
        led.refuse("an End that counts otherwise", wrong, ErrorKind::Conflict).await?;
        let late = led.within(Txn::End { batches: 3 }, vec![end()]);
        led.refuse("an End of what is over", late, ErrorKind::Conflict).await?;
    }
    led.refuse("a batch of no transaction", led.within(Txn::In, vec![topic(1)]), ErrorKind::Conflict).await?;
    led.holds(&[]).await
}

async fn a_transaction_that_contradicts_the_log_leaves_no_trace(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    led.accept(led.within(Txn::Begin, vec![begin(), topic(0)])).await?;
    led.accept(led.within(Txn::In, vec![contradiction()])).await?;
    let over = led.within(Txn::End { batches: 3 }, vec![end()]);
    led.refuse("a transaction that contradicts the log", over, ErrorKind::Conflict).await?;
    led.write(1..2).await?;
    led.holds(&[1]).await
}

async fn a_begin_discards_the_transaction_before_it(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    led.accept(led.within(Txn::Begin, vec![begin(), topic(0)])).await?;
    led.accept(led.within(Txn::In, vec![topic(1)])).await?;
    led.accept(led.within(Txn::Begin, vec![begin(), topic(2)])).await?;
    led.accept(led.within(Txn::End { batches: 2 }, vec![end()])).await?;
    led.holds(&[2]).await
}

async fn the_next_leader_discards_an_open_transaction(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    led.accept(led.within(Txn::Begin, vec![begin(), topic(0)])).await?;
    let led = Led::by_the_next(harness).await;
    let over = led.within(Txn::End { batches: 2 }, vec![end()]);
    led.refuse("an End of the leader before", over, ErrorKind::Conflict).await?;
    led.holds(&[]).await
}

async fn each_epoch_starts_where_its_leader_was_elected(harness: &mut dyn LogHarness) -> Verdict {
    let mut starts = Vec::new();
    let mut ends = Offset::ZERO;
    for round in 0..3 {
        let led = Led::by_the_next(harness).await;
        starts.push((led.epoch, ends));
        let present = led.log.leadership(None).await.map_err(text("leadership"))?;
        ensure!(present.active && present.epoch == led.epoch, "the leader of epoch {} is not active", led.epoch);
        led.write(round..round + 1).await?;
        ends = led.end().await?;
        let extent = led.log.extent();
        ensure!(extent.epochs == starts, "the epochs are {:?}, expected {starts:?}", extent.epochs);
        ensure!(extent.end_offset == ends, "the extent ends at {}, the log at {ends}", extent.end_offset);
        let epochs: Vec<_> = led.read_all().await?.iter().map(|batch| extent.epoch_at(batch.base_offset)).collect();
        let written: Vec<_> = led.read_all().await?.iter().map(|batch| Some(batch.epoch)).collect();
        ensure!(epochs == written, "the extent tells other epochs than the batches: {epochs:?}, {written:?}");
    }
    Ok(())
}

async fn reads_are_bounded_and_go_to_the_end(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    let start = led.end().await?;
    led.write(0..6).await?;
    let mut next = Offset::ZERO;
    for batch in led.read_all().await? {
        ensure!(batch.base_offset == next, "a batch starts at {}, expected {next}", batch.base_offset);
        next = batch.end_offset;
    }
    let end = led.end().await?;
    ensure!(next == end, "what was read ends at {next}, the log at {end}");
    for (from, records_max, batches) in [(start, 3, 3), (start, 0, 1), (start, 1, 1), (end.plus(-1), 9, 1), (end, 9, 0)]
    {
        let read = led.log.read(from, records_max).await.map_err(text("read"))?;
        let count = read.len();
        ensure!(count == batches, "{records_max} records from {from} on are {count} batches, expected {batches}");
        ensure!(read.first().is_none_or(|first| first.base_offset == from), "a read from {from} on starts elsewhere");
    }
    Ok(())
}

async fn whoever_waits_for_more_is_woken_by_it(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    let seen = led.end().await?;
    let mut waiting = led.log.committed(seen);
    let waits = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await;
    ensure!(waits, "whoever has seen {seen}, where the log ends, does not wait for more");
    led.write(0..1).await?;
    let told = waiting.await.map_err(text("committed"))?;
    ensure!(told > seen, "whoever has seen {seen} was told {told}");
    let told = led.log.committed(Offset::ZERO).await.map_err(text("committed"))?;
    ensure!(told == seen.plus(1), "the log ends at {}, told was {told}", seen.plus(1));
    Ok(())
}

async fn an_image_at_most_is_not_past_its_offset(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    led.write(0..4).await?;
    let end = led.end().await?;
    for offset in (0..=end.0).map(Offset) {
        let found = led_image(&led.log, offset).await?;
        let position = found.position();
        ensure!(position.end_offset <= offset, "the image at most at {offset} is at {position}");
        // It is a state that the log was in: replaying the rest leads to the present one.
        let topics = found.topics().len();
        let batches = led.log.read(position.end_offset, usize::MAX).await.map_err(text("read"))?;
        let rest: usize = batches.iter().map(|batch| batch.records.len()).sum();
        ensure!(topics + rest == 4, "{topics} topics at {position} and {rest} records behind it are not 4");
    }
    let newest = led_image(&led.log, end.plus(9)).await?;
    ensure!(newest.position().end_offset == end, "the newest image is at {}, the log ends at {end}", newest.position());
    Ok(())
}

async fn led_image(log: &Arc<dyn MetadataLog>, offset: Offset) -> Result<MetadataImage, Broken> {
    let image = log.image_at_most(offset).await.map_err(text("image_at_most"))?;
    image.ok_or_else(|| format!("a log that starts at 0 has no image at most at {offset}"))
}

async fn what_is_held_can_be_read(harness: &mut dyn LogHarness) -> Verdict {
    let led = Led::by_the_next(harness).await;
    led.write(0..2).await?;
    let held = led.end().await?;
    led.log.hold(held);
    led.write(2..5).await?;
    led.log.hold(held);
    let led = Led::by_the_next(harness).await;
    let image = led_image(&led.log, held).await?;
    let batches = led.log.read(image.position().end_offset, usize::MAX).await.map_err(text("read"))?;
    let records: usize = batches.iter().map(|batch| batch.records.len()).sum();
    ensure!(image.topics().len() + records == 5, "what is held from {held} on can't be replayed");
    Ok(())
}
