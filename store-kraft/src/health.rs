//! Why a log stopped, told once and kept.

use metadata_core::error::{Error, ErrorKind, Outcome};
use tokio::sync::watch;

/// The reason for which a log stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Stopped {
    pub(crate) kind: ErrorKind,
    pub(crate) reason: String,
}

impl Stopped {
    /// The error for whoever asks something of the stopped log.
    pub(crate) fn error(&self, outcome: Outcome) -> Error {
        let message = format!("the metadata log has stopped: {}", self.reason);
        match outcome {
            Outcome::NotApplied => Error::not_applied(self.kind, message),
            Outcome::Unknown => Error::unknown(self.kind, message),
        }
    }
}

/// Whether a log still runs. Clones tell of the same log.
#[derive(Debug, Clone)]
pub(crate) struct Health(watch::Sender<Option<Stopped>>);

impl Health {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Notes why the log stops. The first reason stays: later ones follow from it.
    pub(crate) fn stop(&self, kind: ErrorKind, reason: impl Into<String>) {
        self.0.send_if_modified(|stopped| {
            if stopped.is_some() {
                return false;
            }
            *stopped = Some(Stopped { kind, reason: reason.into() });
            true
        });
    }

    /// Why it stopped, if it did.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.0.borrow().clone()
    }

    /// Waits until it stops.
    pub(crate) async fn wait(&self) -> Stopped {
        let mut watch = self.0.subscribe();
        match watch.wait_for(Option::is_some).await.ok().and_then(|stopped| stopped.clone()) {
            Some(stopped) => stopped,
            // The sender lives in `self`, so this is never reached.
            None => std::future::pending().await,
        }
    }

    /// The error of something that was asked after the stop, or while it stopped for a reason that is not known yet.
    pub(crate) fn error(&self, outcome: Outcome) -> Error {
        let unknown = || Stopped { kind: ErrorKind::Unavailable, reason: "it is shutting down".to_owned() };
        self.stopped().unwrap_or_else(unknown).error(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let health = Health::new();
        assert_eq!(health.stopped(), None);
        health.stop(ErrorKind::Corrupt, "first");
        health.stop(ErrorKind::Unavailable, "second");
        let error = health.error(Outcome::Unknown);
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Corrupt, Outcome::Unknown));
        assert!(error.to_string().contains("first"), "{error}");
    }
}
