//! Since when the migration is where it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use migration::{State, Status};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Follows a migration and remembers when it came where it is. What changes faster than it is followed may be missed.
#[derive(Debug)]
pub(super) struct Chronicle {
    present: Arc<Mutex<Present>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Present {
    state: State,
    reason: Option<String>,
    since: SystemTime,
    entered: Instant,
    spent: BTreeMap<State, Duration>,
}

impl Present {
    fn follow(&mut self, state: State, reason: Option<&str>, now: Instant, wall: SystemTime) {
        if self.state != state {
            *self.spent.entry(self.state).or_default() += now.saturating_duration_since(self.entered);
            self.entered = now;
        }
        // A retry says the same again: that is no news.
        if self.state != state || self.reason.as_deref() != reason {
            self.since = wall;
        }
        self.state = state;
        self.reason = reason.map(str::to_owned);
    }
}

impl Chronicle {
    pub(super) fn start(mut status: watch::Receiver<Status>) -> Self {
        let first = Present {
            state: status.borrow().state,
            reason: None,
            since: SystemTime::now(),
            entered: Instant::now(),
            spent: BTreeMap::new(),
        };
        let present = Arc::new(Mutex::new(first));
        let followed = Arc::clone(&present);
        let task = tokio::spawn(async move {
            loop {
                {
                    let status = status.borrow_and_update();
                    let mut present = followed.lock().unwrap_or_else(PoisonError::into_inner);
                    present.follow(status.state, status.reason.as_deref(), Instant::now(), SystemTime::now());
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { present, task }
    }

    /// When the present state, or the reason to stay in it, came: milliseconds since 1970.
    pub(super) fn since_ms(&self) -> i64 {
        let since = self.present.lock().unwrap_or_else(PoisonError::into_inner).since;
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Time spent in a state so far, all stays together.
    pub(super) fn spent_in(&self, state: State) -> Duration {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let before = present.spent.get(&state).copied().unwrap_or_default();
        before + if present.state == state { present.entered.elapsed() } else { Duration::ZERO }
    }
}

impl Drop for Chronicle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_when_state_or_reason_changed_last() {
        let (start, wall) = (Instant::now(), UNIX_EPOCH);
        let mut present =
            Present { state: State::Inactive, reason: None, since: wall, entered: start, spent: BTreeMap::new() };
        let at = |seconds| (start + Duration::from_secs(seconds), wall + Duration::from_secs(seconds));
        let follow = |present: &mut Present, seconds, state, reason| {
            let (now, wall) = at(seconds);
            present.follow(state, reason, now, wall);
        };
        follow(&mut present, 3, State::WaitForBrokers, None);
        follow(&mut present, 5, State::WaitForBrokers, Some("broker 1"));
        follow(&mut present, 9, State::WaitForBrokers, Some("broker 1"));
        assert_eq!(present.since, at(5).1);
        follow(&mut present, 10, State::BecomeController, None);
        follow(&mut present, 11, State::WaitForBrokers, None);
        follow(&mut present, 14, State::BecomeController, None);
        assert_eq!(present.since, at(14).1);
        assert_eq!(present.spent[&State::WaitForBrokers], Duration::from_secs(7 + 3));
        assert_eq!(present.spent[&State::Inactive], Duration::from_secs(3));
    }
}
