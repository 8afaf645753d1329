//! What is watched beside the log: the brokers, and the other controllers.

#![expect(clippy::disallowed_methods, reason = "a watch that failed is set again later")]

use std::collections::BTreeMap;
use std::time::Duration;

use broker_registry::ExpectedOfControllers;
use futures::future::BoxFuture;
use metadata_core::brokers::{BrokerIds, BrokerPresence};
use metadata_core::controllers::{ControllerAnnouncement, Controllers};
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::NodeId;
use tokio::sync::watch;

use crate::driver::Peers;

pub(super) type Brokers = BTreeMap<NodeId, BrokerPresence>;
pub(super) type Voters = BTreeMap<NodeId, Option<ControllerAnnouncement>>;

/// How long a decision waits for the first report about the voters.
const VOTERS_WITHIN: Duration = Duration::from_secs(10);

/// What a watch reports, as far as we know.
pub(super) enum Watched<T> {
    /// Nobody has looked yet.
    NotYet,
    /// The watch stands, and this is what it reports.
    Known(T),
    /// The watch failed: what is there now can't be told.
    Lost(ErrorKind, String),
}

impl<T> Watched<T> {
    /// The present report, where there is one.
    pub(super) const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(present) => Some(present),
            Self::NotYet | Self::Lost(..) => None,
        }
    }

    /// Takes that the watch failed. One that stays away is said once, as `what`.
    pub(super) fn lose(watched: &watch::Sender<Self>, error: &Error, what: &str) {
        let text = crate::failure::chain(error);
        let before = watched.send_replace(Self::Lost(error.kind(), text.clone()));
        if !matches!(before, Self::Lost(_, said) if said == text) {
            tracing::warn!(error = text, "{what}");
        }
    }
}

impl<T: Clone> Watched<T> {
    /// The present report, waiting for the first one. `what` is for the error's text.
    pub(super) async fn present(mut watched: watch::Receiver<Self>, what: &str) -> Result<T> {
        let unknown = |kind, reason: &str| Error::not_applied(kind, format!("{what} can't be told: {reason}"));
        let seen = watched.wait_for(|watched| !matches!(watched, Self::NotYet)).await;
        match seen.as_deref() {
            Ok(Self::Known(present)) => Ok(present.clone()),
            Ok(Self::Lost(kind, reason)) => Err(unknown(*kind, reason)),
            Ok(Self::NotYet) | Err(_) => Err(unknown(ErrorKind::Unavailable, "the watch has ended")),
        }
    }
}

impl Watched<Voters> {
    /// The voters other than this one, as entering the migration judges them (`own`), or leaving it. What can't be told
    /// agrees with nobody.
    pub(super) fn peers(&self, expected: &ExpectedOfControllers, own: bool) -> Peers {
        self.known().map_or_else(Peers::unknown, |voters| Peers::of(voters, expected, own))
    }

    /// Waits for the first report or failure, but not for long: a decision can be made without.
    pub(super) async fn first(watched: &mut watch::Receiver<Self>) {
        let seen = watched.wait_for(|watched| !matches!(watched, Self::NotYet));
        // Either way the caller looks at what is there.
        let _ = tokio::time::timeout(VOTERS_WITHIN, seen).await;
    }
}

/// The next report of a port, as a future that lives across turns of the loop: a look takes a few round trips, and
/// beginning it anew at every turn might never let it end.
pub(super) type Next<P, T> = BoxFuture<'static, (P, Result<T>)>;

pub(super) fn next_brokers(mut broker_ids: Box<dyn BrokerIds>, pause: Duration) -> Next<Box<dyn BrokerIds>, Brokers> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        let seen = broker_ids.next().await;
        (broker_ids, seen)
    })
}

pub(super) fn next_voters(
    mut controllers: Box<dyn Controllers>,
    pause: Duration,
) -> Next<Box<dyn Controllers>, Voters> {
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        let seen = controllers.next().await;
        (controllers, seen)
    })
}
