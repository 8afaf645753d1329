//! The gate before the metadata log: what may be written now, what waits for ZooKeeper, what is refused.
//!
//! While both sides are written, ZooKeeper is behind the log by a moment. When it is behind by more than a
//! [`DivergenceBudget`], *administrative* writes wait for it, so that going back never means losing more than that. Brokers,
//! leaders and in-sync replicas never wait: an outage of ZooKeeper takes no partition offline. Before the copy all but the
//! brokers' own registrations is refused, in a way that clients try again. [`admission`] is the rule, a table
//! ([`as_markdown`] prints it).
//!
//! A controller that embeds the migration makes one [`Gate`], feeds it, and asks it before each append:
//!
//! ```no_run
//! # async fn example(log: std::sync::Arc<dyn metadata_core::log::MetadataLog>, handle: migration::MigrationHandle)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use migration::gate::{DivergenceBudget, Gate, WriteClass};
//!
//! let gate = Gate::over(&log.image(), DivergenceBudget::default());
//! let fed = gate.clone();
//! let feeding = tokio::spawn(async move { fed.follow(handle.watch(), log).await });
//!
//! // CreateTopics: wait as long as the client does, then decide on the newest image and append.
//! gate.pass(WriteClass::Administrative, Duration::from_secs(30)).await?;
//! # feeding.abort();
//! # Ok(())
//! # }
//! ```
//!
//! - Ask *before* deciding: the image may have moved while the write waited. And hold no lock meanwhile that a write which
//!   never waits may need.
//! - Answer a [`GateError`] with its [`kafka_error_code`](GateError::kafka_error_code).
//! - [`Gate::status`] has the figures, `ZooKeeperBlockingKRaftMillis` among them.

#![expect(clippy::disallowed_methods, reason = "writes wait here, and time passes")]

mod admission;
mod error;
mod meter;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metadata_core::error::{Error, ErrorKind};
use metadata_core::id::Position;
use metadata_core::image::MetadataImage;
use metadata_core::log::MetadataLog;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub use admission::{
    Admission, DivergenceBudget, Lag, LogPhase, Observation, Refusal, WaitReason, WriteClass, admission, as_markdown,
};
pub use error::GateError;
pub use meter::LagMeter;
use meter::{Alarm, News, millis};

use crate::status::Status;

/// While ZooKeeper is behind, its lag in time grows by itself: look so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A write was let through, after so long a wait. What follows is decided on the image as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    class: WriteClass,
    waited: Duration,
}

impl Passed {
    /// What was let through.
    pub fn class(&self) -> WriteClass {
        self.class
    }

    /// How long it waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

/// The gate's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateStatus {
    /// What the log says, as the gate goes by it.
    pub phase: LogPhase,
    /// How far ZooKeeper is behind; `None` while that is not known.
    pub lag: Option<Lag>,
    /// How far it may be.
    pub budget: DivergenceBudget,
    /// How long administrative writes have had to wait, in milliseconds; `None` while they need not.
    pub closed_ms: Option<u64>,
    /// Writes that wait now.
    pub waiting: u64,
    /// Writes that have had to wait, those that wait now included.
    pub waited: u64,
    /// Of them, those that gave up: out of time.
    pub timed_out: u64,
    /// Kafka's draft metric `ZooKeeperBlockingKRaftMillis`: for how long any write has been waiting for ZooKeeper, the
    /// present wait included. Two that wait at the same time count once.
    pub zookeeper_blocking_kraft_ms: u64,
}

/// The gate. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: DivergenceBudget,
    seen: watch::Sender<Observation>,
    books: Mutex<Books>,
    /// Moments in the books are counted from here.
    start: Instant,
}

#[derive(Debug, Default)]
struct Books {
    alarm: Alarm,
    waiting: u64,
    waiting_since: Duration,
    blocked: Duration,
    waited: u64,
    timed_out: u64,
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Gate {
    /// A gate that knows no more than what is observed here.
    pub fn new(first: Observation, budget: DivergenceBudget) -> Self {
        let (seen, _) = watch::channel(first);
        let shared = Shared { budget, seen, books: Mutex::default(), start: Instant::now() };
        let gate = Self { shared: Arc::new(shared) };
        gate.update(first);
        gate
    }

    /// A gate over a log that ends with this image, before anything is known of ZooKeeper.
    pub fn over(image: &MetadataImage, budget: DivergenceBudget) -> Self {
        Self::new(Observation { phase: LogPhase::of(image), lag: None }, budget)
    }

    /// Takes note of how things are, and lets those through who waited for it. To be called when the log or ZooKeeper's
    /// position has moved, and now and then while ZooKeeper is behind; [`Self::follow`] does.
    pub fn update(&self, seen: Observation) {
        let budget = self.shared.budget;
        let now = self.shared.now();
        let news = {
            let mut books = self.shared.books();
            let verdict = |seen| std::mem::discriminant(&admission(seen, WriteClass::Administrative, budget));
            self.shared.seen.send_if_modified(|present| {
                // Whoever waits need not be woken by every step of the lag, only by what may change a verdict.
                let before = std::mem::replace(present, seen);
                before.phase != seen.phase || verdict(before) != verdict(seen)
            });
            books.alarm.observe(seen, budget, now)
        };
        match news {
            Some(News::Exceeded(lag)) => {
                tracing::warn!(
                    "ZooKeeper is {lag} behind the metadata log, more than {budget}: administrative writes wait"
                );
            }
            Some(News::LagUnknown(lasted)) => tracing::warn!(
                "where ZooKeeper is has not been known for {} ms: administrative writes wait",
                millis(lasted)
            ),
            Some(News::Back { after, worst }) => tracing::warn!(
                "ZooKeeper is within {budget} of the metadata log again, after {} ms; it was up to {worst} behind",
                millis(after)
            ),
            None => {}
        }
    }

    /// Waits until a write of this class may be made, at most `wait_max`. What never waits is answered at once, whatever
    /// waits beside it. Dropping the future gives up the place; nothing is lost with it.
    ///
    /// # Errors
    /// `Refused` in a phase that has no room for it, also when the phase comes while it waits. `TimedOut` after `wait_max`.
    pub async fn pass(&self, class: WriteClass, wait_max: Duration) -> Result<Passed, GateError> {
        let mut updates = self.shared.seen.subscribe();
        // A look holds a lock, so it is over before anything else is asked.
        let seen = *updates.borrow_and_update();
        if let Some(answer) = self.answer(seen, class, Duration::ZERO) {
            return answer;
        }
        let place = Place::take(&self.shared);
        let deadline = sleep(wait_max);
        tokio::pin!(deadline);
        loop {
            let out_of_time = tokio::select! {
                biased;
                // Whatever came since the last look counts as not seen, so no update is missed in between.
                _ = updates.changed() => false,
                () = &mut deadline => true,
            };
            let seen = *updates.borrow_and_update();
            if let Some(answer) = self.answer(seen, class, place.waited()) {
                return answer;
            }
            if out_of_time {
                return Err(self.timed_out(seen, class, &place));
            }
        }
    }

    /// The same without waiting: `None` if it had to wait. Nobody is counted as waiting for it.
    ///
    /// # Errors
    /// `Refused`, as [`Self::pass`].
    pub fn try_pass(&self, class: WriteClass) -> Result<Option<Passed>, GateError> {
        let seen = *self.shared.seen.borrow();
        self.answer(seen, class, Duration::ZERO).transpose()
    }

    fn answer(&self, seen: Observation, class: WriteClass, waited: Duration) -> Option<Result<Passed, GateError>> {
        match admission(seen, class, self.shared.budget) {
            Admission::Pass => Some(Ok(Passed { class, waited })),
            Admission::Refuse(refusal) => Some(Err(GateError::Refused { class, phase: seen.phase, refusal })),
            Admission::Wait(_) => None,
        }
    }

    fn timed_out(&self, seen: Observation, class: WriteClass, place: &Place<'_>) -> GateError {
        let now = self.shared.now();
        let mut books = self.shared.books();
        books.timed_out += 1;
        let closed = books.alarm.closed_since().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        GateError::TimedOut {
            class,
            reason: seen.lag.map_or(WaitReason::LagUnknown, WaitReason::OverBudget),
            budget: self.shared.budget,
            waited_ms: millis(place.waited()),
            closed_ms: millis(closed),
        }
    }

    /// The figures.
    pub fn status(&self) -> GateStatus {
        let Observation { phase, lag } = *self.shared.seen.borrow();
        let now = self.shared.now();
        let books = self.shared.books();
        let present = if books.waiting > 0 { now.saturating_sub(books.waiting_since) } else { Duration::ZERO };
        GateStatus {
            phase,
            lag,
            budget: self.shared.budget,
            closed_ms: books.alarm.closed_since().map(|since| millis(now.saturating_sub(since))),
            waiting: books.waiting,
            waited: books.waited,
            timed_out: books.timed_out,
            zookeeper_blocking_kraft_ms: millis(books.blocked + present),
        }
    }

    /// Feeds the gate from a migration and its log, until one of them has ended.
    ///
    /// # Errors
    /// Returns why it ended: the log's error, or `Unavailable` when the migration is gone. The gate keeps its last verdict.
    pub async fn follow(&self, status: watch::Receiver<Status>, log: Arc<dyn MetadataLog>) -> Error {
        self.follow_position(status, |status| status.zookeeper_at, log).await
    }

    async fn follow_position<S>(
        &self,
        mut status: watch::Receiver<S>,
        zookeeper_at: impl Fn(&S) -> Option<Position>,
        log: Arc<dyn MetadataLog>,
    ) -> Error {
        let mut meter = LagMeter::default();
        loop {
            // ZooKeeper's position first: the lag may come out too large by a moment, never too small.
            let at = zookeeper_at(&status.borrow_and_update()).map(|position| position.end_offset);
            let image = log.image();
            let log_end = image.position().end_offset;
            let lag = meter.observe(log_end, at, self.shared.now());
            self.update(Observation { phase: LogPhase::of(&image), lag });
            tokio::select! {
                changed = status.changed() => if changed.is_err() {
                    return Error::not_applied(ErrorKind::Unavailable, "the migration has ended");
                },
                grown = log.committed(log_end) => if let Err(error) = grown {
                    return error;
                },
                () = sleep(LOOK_EVERY), if lag.is_none_or(|lag| lag.records > 0) => {}
            }
        }
    }
}

/// A place among those who wait, given up when dropped.
struct Place<'a> {
    shared: &'a Shared,
    since: Duration,
}

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Self {
        let since = shared.now();
        let mut books = shared.books();
        if books.waiting == 0 {
            books.waiting_since = since;
        }
        books.waiting += 1;
        books.waited += 1;
        Self { shared, since }
    }

    fn waited(&self) -> Duration {
        self.shared.now().saturating_sub(self.since)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.shared.now();
        let mut books = self.shared.books();
        books.waiting = books.waiting.saturating_sub(1);
        if books.waiting == 0 {
            let lasted = now.saturating_sub(books.waiting_since);
            books.blocked += lasted;
        }
    }
}
