//! A look at a running migration, and a few words to it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use broker_registry::{
    BrokerSessions, Heartbeat, RegistrationRefusal, RegistrationRequest, ResponseError, Surroundings,
};
use metadata_core::brokers::BrokerPresence;
use metadata_core::error::{Error, ErrorKind, Outcome, Result};
use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use metadata_core::log::MetadataLog;
use metadata_core::record::ZkMigrationState;
use tokio::sync::{mpsc, oneshot, watch};

use super::registry::Registry;
use crate::driver::State;
use crate::dual_write::HoldRequest;
use crate::finalization::{Finalization, FinalizeOptions, not_dual_writing};
use crate::status::Status;

/// What is asked of the runner.
pub(super) enum Word {
    /// Make dual writing stand still.
    Hold(HoldRequest),
    /// Finalize.
    Finalize(FinalizeOptions, oneshot::Sender<Result<Finalization>>),
}

/// A look at a running migration, and a few words to it. Clones are of the same migration.
#[derive(Clone)]
pub struct MigrationHandle {
    pub(super) status: watch::Receiver<Status>,
    pub(super) words: mpsc::Sender<Word>,
    pub(super) stop: Arc<watch::Sender<bool>>,
    pub(super) registry: Registry,
    pub(super) log: Arc<dyn MetadataLog>,
}

/// A migration that stands still: ZooKeeper holds exactly [`Held::image`] until this is dropped.
pub struct Held {
    /// What ZooKeeper holds.
    pub image: MetadataImage,
    _release: oneshot::Sender<()>,
}

impl MigrationHandle {
    /// The newest status, to look at or to wait on.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Writes what the log has now, settles it, and makes dual writing stand still until the answer is dropped. The log
    /// goes on.
    ///
    /// # Errors
    /// `Unavailable`: nothing is dual-written now, or dual writing stopped meanwhile.
    pub async fn hold(&self) -> Result<Held> {
        let not_writing = || {
            let message = match self.status.borrow().state {
                State::DualWrite => "dual writing can't stand still now: ZooKeeper does not answer".to_owned(),
                state => {
                    format!("the migration is in state {state} and writes nothing to ZooKeeper; wait for DUAL_WRITE")
                }
            };
            Error::not_applied(ErrorKind::Unavailable, message)
        };
        let (answer, image) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.words.send(Word::Hold(HoldRequest { answer, released })).await.map_err(|_| not_writing())?;
        let image = image.await.map_err(|_| not_writing())??;
        Ok(Held { image, _release: release })
    }

    /// Finalizes the migration, by the operator's word, which counts as this controller's flag being gone. The guards of
    /// [`crate::finalization`] are asked first; ZooKeeper is compared as a whole, and dual writing stands still meanwhile.
    /// Once the answer is [`Finalization::Done`], not one write to ZooKeeper is made any more, and no way leads back.
    ///
    /// # Errors
    /// Not applied, `Unavailable`: nothing is dual-written now, or ZooKeeper could not be compared. Unknown: dual writing
    /// stopped before the answer; the migration state in the status tells what came of it.
    pub async fn finalize(&self, options: FinalizeOptions) -> Result<Finalization> {
        // Once it is done it stays done, whoever did it.
        let done = || {
            let image = self.log.image();
            let finalized = image.zk_migration_state() == ZkMigrationState::PostMigration;
            finalized.then(|| Finalization::Done(image.position()))
        };
        if let Some(done) = done() {
            return Ok(done);
        }
        let state = self.status.borrow().state;
        if state != State::DualWrite {
            return Err(not_dual_writing(state));
        }
        let (answer, answered) = oneshot::channel();
        let asked = self.words.send(Word::Finalize(options, answer)).await;
        asked.map_err(|_| Error::not_applied(ErrorKind::Unavailable, "the migration has been stopped"))?;
        match answered.await {
            Ok(Err(error)) if error.outcome() == Outcome::NotApplied => done().ok_or(error),
            Ok(answer) => answer,
            Err(_) => done().ok_or_else(|| {
                Error::unknown(
                    ErrorKind::Unavailable,
                    "dual writing stopped before the migration was finalized, or just then; `status` tells which",
                )
            }),
        }
    }

    /// A broker asks to be registered. It is in the log once an image has its incarnation id; the epoch to answer with is that
    /// registration's. For a controller that serves brokers.
    ///
    /// # Errors
    /// The rule that the request breaks; the refusal has Kafka's error code. It is kept for the report.
    pub fn broker_registers(&self, request: RegistrationRequest) -> Result<(), RegistrationRefusal> {
        self.on_sessions(|sessions, around| sessions.register(request, around))
    }

    /// A broker sends a heartbeat.
    ///
    /// # Errors
    /// `STALE_BROKER_EPOCH`: the log has no registration with this epoch by the broker itself; it must register anew.
    pub fn broker_heartbeats(&self, id: NodeId, heartbeat: Heartbeat) -> Result<(), ResponseError> {
        self.on_sessions(|sessions, around| sessions.heartbeat(id, heartbeat, around))
    }

    /// A broker was not heard for as long as a session lasts: it is fenced.
    pub fn broker_session_ended(&self, id: NodeId) {
        self.on_sessions(|sessions, _| sessions.expire(id));
    }

    /// Who is in `/brokers/ids`, to look at or to wait on; `None` while that can't be told.
    pub fn brokers_in_zookeeper(&self) -> watch::Receiver<Option<BTreeMap<NodeId, BrokerPresence>>> {
        self.registry.present()
    }

    /// Whether a broker had a session with this controller, which has ended.
    pub fn has_broker_session_ended(&self, id: NodeId) -> bool {
        self.registry.sessions.borrow().has_expired(id)
    }

    fn on_sessions<T>(&self, change: impl FnOnce(&mut BrokerSessions, Surroundings<'_>) -> T) -> T {
        let (image, settings) = (self.log.image(), self.registry.settings());
        let brokers = self.registry.brokers.borrow();
        let around = Surroundings { image: &image, watched: brokers.known(), settings: &settings };
        // One change after the other: none may be lost to another.
        let _one = self.registry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sessions = self.registry.sessions.borrow().clone();
        let answer = change(&mut sessions, around);
        self.registry.sessions.send_replace(sessions);
        answer
    }

    /// Ends [`Migration::run`](super::Migration::run) after the event at hand. What is in flight may or may not happen; the
    /// next run finds out.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}
