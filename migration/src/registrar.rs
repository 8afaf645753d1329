//! The registrar: writes into the log who the brokers are, while this controller leads.
//!
//! What is written is decided by [`broker_registry::registrations`], from the image, who is in `/brokers/ids`, and what
//! brokers asked for. Here is only the writing of it. A broker epoch is the offset of its record, so every append expects
//! the log's end; when the end was elsewhere, all is decided anew. Nothing is remembered: a registration whose answer never
//! came is looked for in the image before anything else is written.
//!
//! It goes on whatever the migration does: before the copy, since brokers must be registered for it; while the copy's
//! transaction is open, whose batches take their offsets at its end; and in dual-write mode, whether or not ZooKeeper can be
//! reached.

#![expect(clippy::disallowed_methods, reason = "a log that can't be reached is asked again later")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_registry::{
    BrokerSessions, ClusterView, PlannedChange, Registrations, RegistrySettings, UnreadyBroker, records, registrations,
};
use metadata_core::brokers::BrokerPresence;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{NodeId, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::{Append, LeaderAndEpoch, MetadataLog};
use metadata_core::store::Txn;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// How long to wait after a failure that may pass.
const PAUSE: Duration = Duration::from_millis(200);

/// Changes of one append. Each is at most two records, so an append has far fewer than Kafka's limit.
const CHANGES_PER_APPEND: usize = 1_000;

/// What the registrar listens to. A sender that is gone says nothing new.
#[derive(Debug, Clone)]
pub struct RegistrarInputs {
    /// Who is in `/brokers/ids`; `None` while that can't be told.
    pub watched: watch::Receiver<Option<BTreeMap<NodeId, BrokerPresence>>>,
    /// What brokers asked for.
    pub sessions: watch::Receiver<BrokerSessions>,
    /// What the rules must know beside.
    pub settings: watch::Receiver<RegistrySettings>,
}

/// What the registrar did, and whom it keeps out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistrarReport {
    /// The log's end as of the last look (exclusive).
    pub at: Position,
    /// Changes of registrations whose append was acknowledged.
    pub written: u64,
    /// Brokers that are there and kept out of the log, or fenced in it, with every reason, by id.
    pub kept_out: Vec<UnreadyBroker>,
    /// Why the last append failed, until one succeeds.
    pub failure: Option<String>,
}

/// Registers brokers in the log for one leadership.
pub struct Registrar {
    log: Arc<dyn MetadataLog>,
    leadership: KraftLeadership,
    inputs: RegistrarInputs,
    report: watch::Sender<RegistrarReport>,
}

/// What to do after an append.
enum Next {
    /// Decide anew.
    Decide,
    /// Wait a little first.
    Pause,
    /// Wait until something changes: the same again would be refused again.
    Wait,
}

impl Registrar {
    /// A registrar for this leadership, and its report. Nothing is read or written before [`Self::run`].
    pub fn new(
        log: Arc<dyn MetadataLog>,
        leadership: KraftLeadership,
        inputs: RegistrarInputs,
    ) -> (Self, watch::Receiver<RegistrarReport>) {
        let report = watch::Sender::new(RegistrarReport::default());
        let reported = report.subscribe();
        (Self { log, leadership, inputs, report }, reported)
    }

    /// Runs until the leadership is lost or the log ends, and returns that: `ControllerFenced` for the first, the log's own
    /// error for the other. Dropping the future loses nothing: an append on its way happens or not, and the next registrar
    /// looks.
    pub async fn run(mut self) -> Error {
        match self.work().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn work(&mut self) -> Result<std::convert::Infallible> {
        // Appends of a predecessor, or of this leader before it was interrupted, may still be on their way.
        let mut next = self.settle().await;
        loop {
            let known = self.leads().await?;
            match next {
                Next::Decide => {}
                Next::Pause => self.paused(known).await?,
                Next::Wait => self.news(known).await?,
            }
            let image = self.log.image();
            let Registrations { mut changes, kept_out } = self.decide(&image);
            let at = image.position();
            self.report.send_if_modified(|report| {
                let news = report.kept_out != kept_out;
                if news {
                    kept_out.iter().for_each(|broker| tracing::warn!(%broker, "kept out of the log"));
                }
                let moved = std::mem::replace(&mut report.at, at) != at;
                report.kept_out = kept_out;
                news || moved
            });
            changes.truncate(CHANGES_PER_APPEND);
            next = if changes.is_empty() { Next::Wait } else { self.write(&changes, &image).await };
        }
    }

    /// Decides by the newest inputs; marks them as seen.
    fn decide(&mut self, image: &MetadataImage) -> Registrations {
        let RegistrarInputs { watched, sessions, settings } = &mut self.inputs;
        let (watched, sessions, settings) =
            (watched.borrow_and_update(), sessions.borrow_and_update(), settings.borrow_and_update());
        let view = ClusterView { image, watched: watched.as_ref(), sessions: &sessions, settings: &settings };
        registrations(&view)
    }

    /// Writes what was decided on `image`, at its end and nowhere else.
    async fn write(&self, changes: &[PlannedChange], image: &MetadataImage) -> Next {
        let base = image.position().end_offset;
        let append = Append {
            epoch: self.leadership.epoch,
            expected: Some(base),
            txn: Txn::None,
            records: records(changes, base, image.metadata_version_or_lowest()),
        };
        let error = match self.log.append(append).await {
            Ok(_) => {
                for PlannedChange { id, reason, .. } in changes {
                    tracing::info!(broker = %id, %reason, "registration");
                }
                self.report.send_modify(|report| {
                    report.written += changes.len() as u64;
                    report.failure = None;
                });
                return Next::Decide;
            }
            Err(error) => error,
        };
        match error.kind() {
            // Someone else wrote there first.
            ErrorKind::Conflict => self.settle().await,
            kind => {
                let text = crate::failure::chain(&error);
                tracing::warn!(error = text, "registrations were not written");
                self.report.send_modify(|report| report.failure = Some(text));
                match (kind, self.settle().await) {
                    // The log refuses the records themselves.
                    (ErrorKind::Invalid | ErrorKind::Unsupported, _) => Next::Wait,
                    // Whether it happened shows in the image; loss of leadership shows next.
                    _ => Next::Pause,
                }
            }
        }
    }

    /// Waits until the fate of every append so far is decided, so that the image says what happened.
    async fn settle(&self) -> Next {
        match self.log.end().await {
            Ok(_) => Next::Decide,
            Err(_) => Next::Pause,
        }
    }

    /// The leadership, as long as it is ours.
    async fn leads(&self) -> Result<LeaderAndEpoch> {
        let now = self.log.leadership(None).await?;
        self.still_leads(now).map(|()| now)
    }

    fn still_leads(&self, now: LeaderAndEpoch) -> Result<()> {
        let KraftLeadership { id, epoch } = self.leadership;
        if now.epoch == epoch && now.leader == Some(id) && now.active {
            return Ok(());
        }
        let message = format!("node {id} leads the log in epoch {epoch} no more, and registers no brokers");
        Err(Error::not_applied(ErrorKind::ControllerFenced, message))
    }

    /// Waits until anything is new. What is new and was not looked at yet returns at once.
    async fn news(&mut self, known: LeaderAndEpoch) -> Result<()> {
        let RegistrarInputs { watched, sessions, settings } = &mut self.inputs;
        let seen = self.report.borrow().at.end_offset;
        tokio::select! {
            biased;
            () = changed(watched) => Ok(()),
            () = changed(sessions) => Ok(()),
            () = changed(settings) => Ok(()),
            end = self.log.committed(seen) => end.map(drop),
            now = self.log.leadership(Some(known)) => self.still_leads(now?),
        }
    }

    /// Waits a little, but not for longer than the leadership lasts.
    async fn paused(&self, known: LeaderAndEpoch) -> Result<()> {
        tokio::select! {
            biased;
            () = tokio::time::sleep(PAUSE) => self.log.end().await.map(drop).or_else(|error| match error.kind() {
                ErrorKind::Corrupt => Err(error),
                _ => Ok(()),
            }),
            now = self.log.leadership(Some(known)) => self.still_leads(now?),
        }
    }
}

/// Waits for something new; for ever, once nobody can say anything new.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
