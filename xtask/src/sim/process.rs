//! A process that can be stopped for a while, or for good, at any of its calls.

use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Paused,
    Dead,
}

/// One run of a controller. Whatever it calls passes by here.
#[derive(Debug)]
pub(super) struct Process {
    life: Mutex<Life>,
    changed: Notify,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { life: Mutex::new(Life::Running), changed: Notify::new() }
    }

    fn life(&self) -> Life {
        *self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, to: Life) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if *life != Life::Dead {
            *life = to;
        }
        drop(life);
        self.changed.notify_waiters();
    }

    /// It gets no answer and no news from now on, and does not know that time passes.
    pub(super) fn pause(&self) {
        self.set(Life::Paused);
    }

    pub(super) fn wake(&self) {
        self.set(Life::Running);
    }

    /// No call of it ever happens or returns any more.
    pub(super) fn kill(&self) {
        self.set(Life::Dead);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.life() == Life::Dead
    }

    pub(super) fn is_paused(&self) -> bool {
        self.life() == Life::Paused
    }

    /// Returns once the process runs: at once, later, or never.
    pub(super) async fn turn(&self) {
        loop {
            let changed = self.changed.notified();
            if self.life() == Life::Running {
                return;
            }
            changed.await;
        }
    }
}
