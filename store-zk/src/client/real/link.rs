//! One connection of one session, on a thread and a small runtime of its own.
//!
//! The crate's client reconnects by itself and then sends what was issued while it was disconnected, behind requests
//! that were lost. To keep order, a connection must end for good when it is lost, with everything that is queued on it.
//! The crate offers no way to stop its task, but the task lives on the runtime that it was started on: we give it one,
//! and drop it at the first sign of a loss.
//!
//! That sign is always seen before anything can be sent on a new connection. The runtime has one thread and polls
//! [`serve`] after every poll of a task (`event_interval(1)`); the crate's task announces the loss, then has to wait for
//! a new socket at least once; before it runs again, [`serve`] has returned and the runtime is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use zookeeper_client as zk;

use super::diagnose;
#[cfg(not(feature = "tls"))]
use crate::client::config::TLS_MISSING;
use crate::client::config::ZkClientConfig;
use crate::client::{ConnectError, SessionState, UnknownCause, ZkError};

/// Pause after a vain round through all servers. It doubles up to the larger one, which is well below any session
/// timeout: whoever comes back late finds his session expired. (The crate's own pause doubles without a bound.)
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(800);

/// How long a session that is of no use may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the owner asks of the connection's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Serve,
    /// Let the crate end the session after what is queued.
    Close,
    /// End now; nothing more is sent.
    Abandon,
}

/// A connection as its owner and the futures of its requests see it.
pub(super) struct Link {
    client: Mutex<Slot>,
    state: watch::Sender<SessionState>,
    control: watch::Sender<Control>,
    /// How the thread ended. From then on nothing is sent.
    finished: watch::Sender<Option<SessionState>>,
    servers: String,
}

/// The link's own hold on the client. When nobody holds the client any more, the crate ends the session in ZooKeeper: so
/// it is let go to close, and kept when the session is to be continued.
enum Slot {
    /// Whoever wants may issue.
    Open(Arc<zk::Client>),
    /// Nobody may, but the session goes on.
    Kept {
        _client: Arc<zk::Client>,
    },
    Gone,
}

/// A link that was just opened.
pub(super) struct Opened {
    pub(super) link: Arc<Link>,
    /// The connection's own runtime, for tasks that must not outlive it.
    pub(super) runtime: Handle,
    pub(super) session: zk::SessionInfo,
    pub(super) session_timeout: Duration,
}

/// Why no link could be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The session that was to be continued is over.
    Expired,
    Connect(ConnectError),
}

impl Link {
    fn new(client: Arc<zk::Client>, servers: String) -> Self {
        Self {
            client: Mutex::new(Slot::Open(client)),
            state: watch::Sender::new(SessionState::Connected),
            control: watch::Sender::new(Control::Serve),
            finished: watch::Sender::new(None),
            servers,
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing can panic while the slot is held, so a poisoned one is sound.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, while the link is connected.
    pub(super) fn client(&self) -> Option<Arc<zk::Client>> {
        match &*self.slot() {
            Slot::Open(client) => Some(Arc::clone(client)),
            Slot::Kept { .. } | Slot::Gone => None,
        }
    }

    pub(super) fn state(&self) -> SessionState {
        *self.state.borrow()
    }

    pub(super) fn states(&self) -> watch::Receiver<SessionState> {
        self.state.subscribe()
    }

    /// Moves from `Connected` to `end`, once. Returns whether this was that once.
    fn end(&self, end: SessionState) -> bool {
        self.state.send_if_modified(|state| {
            let first = *state == SessionState::Connected;
            if first {
                *state = end;
            }
            first
        })
    }

    /// Ends without another byte sent: the session may be continued.
    fn abandon(&self, end: SessionState) {
        let mut slot = self.slot();
        if let Slot::Open(client) = &*slot {
            *slot = Slot::Kept { _client: Arc::clone(client) };
        }
        drop(slot);
        self.end(end);
        self.control.send_replace(Control::Abandon);
    }

    /// Ends with a goodbye to the server, if connected.
    pub(super) fn close(&self) {
        if self.end(SessionState::Closed) {
            self.control.send_if_modified(|control| {
                let serving = *control == Control::Serve;
                if serving {
                    *control = Control::Close;
                }
                serving
            });
            let client = std::mem::replace(&mut *self.slot(), Slot::Gone);
            drop(client);
        }
    }

    /// Waits until the thread is done: nothing is sent any more. Returns how it ended; `Closed` only when the server
    /// confirmed the end of the session.
    pub(super) async fn finished(&self) -> SessionState {
        let mut finished = self.finished.subscribe();
        match finished.wait_for(Option::is_some).await.map(|end| *end) {
            Ok(Some(end)) => end,
            // The sender is our own field; it can't be gone.
            Ok(None) | Err(_) => SessionState::Lost,
        }
    }

    /// The error for what is not answered, or not even issued, because the link has ended.
    pub(super) fn refusal(&self) -> ZkError {
        let cause = match self.state() {
            SessionState::Connected | SessionState::Lost => UnknownCause::ConnectionLost,
            SessionState::Expired => UnknownCause::SessionExpired,
            SessionState::AuthFailed => UnknownCause::AuthFailed,
            SessionState::Closed => UnknownCause::Closed,
        };
        ZkError::unknown(cause, format!("no answer from {} before the connection ended", self.servers))
    }

    /// Passes an answer on. One of unknown outcome ends the link, so that nothing can be issued behind it.
    pub(super) fn settle<T>(&self, answer: Result<T, ZkError>) -> Result<T, ZkError> {
        match answer {
            Err(ZkError::Unknown { cause, detail }) => {
                let ended_before = self.state() != SessionState::Connected;
                self.abandon_unless_closing(match cause {
                    UnknownCause::ConnectionLost => SessionState::Lost,
                    UnknownCause::SessionExpired => SessionState::Expired,
                    UnknownCause::AuthFailed => SessionState::AuthFailed,
                    UnknownCause::Closed => SessionState::Closed,
                });
                // When the link has ended, its reason is better than what the crate says about a dropped request.
                Err(if ended_before { self.refusal() } else { ZkError::Unknown { cause, detail } })
            }
            known => known,
        }
    }

    fn abandon_unless_closing(&self, end: SessionState) {
        if self.state() != SessionState::Closed {
            self.abandon(end);
        }
    }
}

/// Opens a link for a new session, or for `session` again.
pub(super) async fn open(config: Arc<ZkClientConfig>, session: Option<zk::SessionInfo>) -> Result<Opened, OpenError> {
    let (opened, answer) = oneshot::channel();
    let failed = |reason: String| OpenError::Connect(ConnectError::Config(reason));
    std::thread::Builder::new()
        .name("zookeeper-session".to_owned())
        .spawn(move || run(&config, session, opened))
        .map_err(|error| failed(format!("no thread for the ZooKeeper session: {error}")))?;
    answer.await.unwrap_or_else(|_| Err(failed("the thread of the ZooKeeper session ended early".to_owned())))
}

/// The thread.
fn run(config: &ZkClientConfig, session: Option<zk::SessionInfo>, opened: oneshot::Sender<Result<Opened, OpenError>>) {
    let runtime = match runtime::Builder::new_current_thread().enable_time().event_interval(1).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let reason = format!("no runtime for the ZooKeeper session: {error}");
            // Whoever asked may be gone.
            _ = opened.send(Err(OpenError::Connect(ConnectError::Config(reason))));
            return;
        }
    };
    let (link, client) = match runtime.block_on(establish(config, session)) {
        Ok(client) => {
            let client = Arc::new(client);
            (Arc::new(Link::new(Arc::clone(&client), config.connect.to_string())), client)
        }
        Err(error) => {
            let error = explained(error, config);
            _ = opened.send(Err(error));
            return;
        }
    };
    let states = client.state_watcher();
    let answer = Opened {
        link: Arc::clone(&link),
        runtime: runtime.handle().clone(),
        session: client.session().clone(),
        session_timeout: client.session_timeout(),
    };
    // From here on only the link and the requests hold the client: the crate ends the session when they let it go.
    drop(client);
    if opened.send(Ok(answer)).is_err() {
        link.close();
    }
    let end = runtime.block_on(serve(&link, states, config.request_timeout));
    // In this order: whoever's request is dropped with the runtime must find out why, and the client may go only when
    // there is nobody left to say goodbye for it.
    link.end(end);
    drop(runtime);
    let client = std::mem::replace(&mut *link.slot(), Slot::Gone);
    drop(client);
    link.finished.send_replace(Some(end));
    tracing::debug!(servers = %config.connect, ?end, "ZooKeeper connection ended");
}

/// Waits for the end of the connection and says what it was. The crate's tasks run meanwhile.
async fn serve(link: &Link, mut states: zk::StateWatcher, close_timeout: Duration) -> SessionState {
    if states.peek_state() != zk::SessionState::SyncConnected {
        return SessionState::Lost;
    }
    let mut control = link.control.subscribe();
    control.mark_changed();
    let mut close_deadline = None;
    loop {
        tokio::select! {
            biased;
            state = states.changed() => return match state {
                zk::SessionState::Closed => SessionState::Closed,
                zk::SessionState::Expired => SessionState::Expired,
                zk::SessionState::AuthFailed => SessionState::AuthFailed,
                // Even "connected": it would be by another connection.
                _ => SessionState::Lost,
            },
            changed = control.changed() => match (changed.is_ok(), *control.borrow()) {
                (true, Control::Serve) => {}
                (true, Control::Close) => close_deadline = Some(Instant::now() + close_timeout),
                (true, Control::Abandon) | (false, _) => return SessionState::Lost,
            },
            () = sleep_until(close_deadline.unwrap_or_else(Instant::now)), if close_deadline.is_some() => {
                return SessionState::Lost;
            }
        }
    }
}

/// What went wrong while connecting, before it is made presentable.
enum EstablishError {
    Expired,
    Timeout,
    AuthFailed(String),
    NoChroot,
    Config(String),
}

async fn establish(config: &ZkClientConfig, session: Option<zk::SessionInfo>) -> Result<zk::Client, EstablishError> {
    let deadline = Instant::now() + config.connection_timeout;
    let resumed = session.is_some();
    let mut pause = RETRY_PAUSE;
    let client = loop {
        let attempt = connect_once(config, session.clone());
        match timeout_at(deadline, attempt).await {
            Err(_) => return Err(EstablishError::Timeout),
            Ok(Ok(client)) => break client,
            Ok(Err(AttemptError::Config(reason))) => return Err(EstablishError::Config(reason)),
            Ok(Err(AttemptError::Zk(error))) => match error {
                zk::Error::SessionExpired if resumed => return Err(EstablishError::Expired),
                zk::Error::AuthFailed => return Err(EstablishError::AuthFailed(error.to_string())),
                zk::Error::BadArguments(reason) => return Err(EstablishError::Config((*reason).to_owned())),
                other => {
                    tracing::debug!(servers = %config.connect, %other, "no ZooKeeper session yet");
                    sleep_until(deadline.min(Instant::now() + pause)).await;
                    pause = RETRY_PAUSE_MAX.min(pause * 2);
                }
            },
        }
    };
    // A chroot that is missing shows as "no such node" at every path: find out now.
    if resumed || config.connect.chroot().is_empty() {
        return Ok(client);
    }
    match timeout_at(deadline, client.check_stat("/")).await {
        Err(_) => Err(EstablishError::Timeout),
        Ok(Ok(None)) => {
            let mut states = client.state_watcher();
            drop(client);
            // Politeness only: the session ends by itself otherwise.
            _ = timeout(GOODBYE_TIMEOUT, states.changed()).await;
            Err(EstablishError::NoChroot)
        }
        // Not allowed to look at it, or lost again: later requests will say so.
        Ok(Ok(Some(_)) | Err(_)) => Ok(client),
    }
}

enum AttemptError {
    Config(String),
    Zk(zk::Error),
}

async fn connect_once(config: &ZkClientConfig, session: Option<zk::SessionInfo>) -> Result<zk::Client, AttemptError> {
    let mut connector = zk::Client::connector().with_session_timeout(config.session_timeout).with_fail_eagerly();
    if let Some(session) = session {
        connector = connector.with_session(session);
    }
    if let Some(digest) = &config.digest {
        let identity = format!("{}:{}", digest.user, digest.password.expose());
        connector = connector.with_auth("digest", identity.as_bytes());
    }
    if let Some(sasl) = &config.sasl {
        let options = zk::SaslOptions::digest_md5(sasl.user.clone(), sasl.password.expose().to_owned());
        connector = connector.with_sasl(options);
    }
    let servers = config.connect.to_string();
    let connected = match &config.tls {
        None => connector.connect(&servers).await,
        #[cfg(feature = "tls")]
        Some(files) => {
            let options = super::tls::options(files).map_err(AttemptError::Config)?;
            connector.with_tls(options).secure_connect(&servers).await
        }
        #[cfg(not(feature = "tls"))]
        Some(_) => {
            return Err(AttemptError::Config(TLS_MISSING.to_owned()));
        }
    };
    connected.map_err(AttemptError::Zk)
}

fn explained(error: EstablishError, config: &ZkClientConfig) -> OpenError {
    let servers = config.connect.to_string();
    OpenError::Connect(match error {
        EstablishError::Expired => return OpenError::Expired,
        EstablishError::Timeout => ConnectError::Unreachable {
            servers,
            tried: config.connection_timeout,
            reason: diagnose::what_servers_say(config),
        },
        EstablishError::AuthFailed(reason) => ConnectError::AuthFailed { servers, reason },
        EstablishError::NoChroot => ConnectError::NoChroot { servers, chroot: config.connect.chroot().to_owned() },
        EstablishError::Config(reason) => ConnectError::Config(format!("ZooKeeper at {servers}: {reason}")),
    })
}
