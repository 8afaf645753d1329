//! Lag in time, and when to raise the alarm. Pure: the caller says what time it is, as the time since any fixed moment.

use std::collections::VecDeque;
use std::time::Duration;

use metadata_core::id::Offset;

use super::admission::{Admission, DivergenceBudget, Lag, Observation, WaitReason, WriteClass, admission};

/// Ends of the log that are seen closer together than this are taken for one.
const MARKS_APART: Duration = Duration::from_millis(100);
/// So many are remembered at most; then the last one stands for all that come.
const MARKS_MAX: usize = 1024;

/// Measures how far ZooKeeper is behind, by when this process saw the log grow: wall clocks, which jump, are not asked.
///
/// It never says less than is true of what it saw itself, and at most 100 ms more until 1024 ends are remembered.
#[derive(Debug, Clone, Default)]
pub struct LagMeter {
    /// Ends of the log (exclusive) with the moment from which on records below them were there; both ascending.
    marks: VecDeque<(Offset, Duration)>,
}

impl LagMeter {
    /// The lag at `now`, when the log ends at `log_end` and ZooKeeper is at `zookeeper_at` (both exclusive); `None` if the
    /// latter is not known. `now` must never go back.
    pub fn observe(&mut self, log_end: Offset, zookeeper_at: Option<Offset>, now: Duration) -> Option<Lag> {
        self.mark(log_end, now);
        let at = zookeeper_at?;
        while self.marks.front().is_some_and(|(end, _)| *end <= at) {
            self.marks.pop_front();
        }
        let oldest = self.marks.front().map_or(now, |(_, seen)| *seen);
        let records = u64::try_from(log_end.0.saturating_sub(at.0)).unwrap_or(0);
        Some(Lag { records, ms: millis(now.saturating_sub(oldest)) })
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.marks.len()
    }

    fn mark(&mut self, log_end: Offset, now: Duration) {
        let full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut() {
            Some((end, _)) if *end >= log_end => {}
            Some((end, seen)) if full || now.saturating_sub(*seen) < MARKS_APART => *end = log_end,
            _ => self.marks.push_back((log_end, now)),
        }
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Knows since when administrative writes wait, and tells each closing and each opening once.
#[derive(Debug, Clone, Default)]
pub(super) struct Alarm {
    closed: Option<Closed>,
}

#[derive(Debug, Clone, Copy)]
struct Closed {
    since: Duration,
    worst: Lag,
    raised: bool,
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The budget is exceeded.
    Exceeded(Lag),
    /// Where ZooKeeper is has not been known for so long.
    LagUnknown(Duration),
    /// It is over: how long it took, and the largest figures meanwhile.
    Back { after: Duration, worst: Lag },
}

impl Alarm {
    /// Since when administrative writes wait.
    pub(super) fn closed_since(&self) -> Option<Duration> {
        self.closed.map(|closed| closed.since)
    }

    /// Takes note. After an election the position is unknown for a moment; that is news only when it lasts as long as a
    /// lag may.
    pub(super) fn observe(&mut self, seen: Observation, budget: DivergenceBudget, now: Duration) -> Option<News> {
        let Admission::Wait(reason) = admission(seen, WriteClass::Administrative, budget) else {
            let closed = self.closed.take().filter(|closed| closed.raised)?;
            return Some(News::Back { after: now.saturating_sub(closed.since), worst: closed.worst });
        };
        let closed = self.closed.get_or_insert(Closed { since: now, worst: Lag::default(), raised: false });
        let lag = seen.lag.unwrap_or_default();
        closed.worst = Lag { records: closed.worst.records.max(lag.records), ms: closed.worst.ms.max(lag.ms) };
        let lasted = now.saturating_sub(closed.since);
        let news = match reason {
            WaitReason::OverBudget(lag) => News::Exceeded(lag),
            WaitReason::LagUnknown if millis(lasted) > budget.lag_ms_max => News::LagUnknown(lasted),
            WaitReason::LagUnknown => return None,
        };
        (!std::mem::replace(&mut closed.raised, true)).then_some(news)
    }
}
