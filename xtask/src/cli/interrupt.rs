//! Ctrl-C.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::Failure;

/// Exit code of a process that a second Ctrl-C ended: 128 plus the number of SIGINT, as shells have it.
const IMPATIENT: i32 = 130;

/// Knows whether somebody asked us to stop: by Ctrl-C, SIGTERM, or by closing the terminal. Cheap to clone.
///
/// The first signal asks; the second ends the process on the spot.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. To be called once, on a tokio runtime.
    ///
    /// # Errors
    /// When the operating system refuses to tell us of signals.
    pub fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [mut interrupt, mut terminate, mut hangup] = {
            let [a, b, c] = kinds.map(signal);
            [a?, b?, c?]
        };
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if ask.send_replace(true) {
                    std::process::exit(IMPATIENT);
                }
            }
        });
        Ok(Self(asked))
    }

    /// One that is never asked: for tests and for callers who have a way of their own.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether somebody has asked.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// One that was asked already.
    #[cfg(test)]
    pub(crate) fn already_requested() -> Self {
        Self(watch::channel(true).1)
    }

    /// Runs `work` unless somebody asks to stop before it is done. It is dropped then, so it must be safe to stop at any
    /// of its awaits.
    ///
    /// # Errors
    /// Those of `work`, and a failure that says "interrupted".
    pub async fn unless_requested<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.requested() => Err(Failure::failed("interrupted").next("type the same again, to start anew")),
            result = work => result,
        }
    }

    /// Returns when somebody asks, at once if somebody has.
    pub async fn requested(&self) {
        let mut asked = self.0.clone();
        if asked.wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_never_asked_waits() {
        let interrupt = Interrupt::never();
        assert!(!interrupt.is_requested());
        tokio::select! {
            biased;
            () = interrupt.requested() => panic!("nobody asked"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn who_is_asked_stays_asked() {
        let (ask, asked) = watch::channel(false);
        let interrupt = Interrupt(asked);
        assert!(interrupt.unless_requested(async { Ok(7) }).await.is_ok());
        ask.send_replace(true);
        interrupt.requested().await;
        interrupt.clone().requested().await;
        assert!(interrupt.is_requested());
        assert_eq!(interrupt.unless_requested(async { Ok(7) }).await.unwrap_err().what(), "interrupted");
    }
}
