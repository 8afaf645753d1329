//! The handle on a driver process.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use metadata_core::id::{KRaftLeaderEpoch, NodeId};
use store_zk::testkit::Process;
use store_zk::testkit::proxy::FaultProxy;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::report::{ClaimOutcome, Report};
use crate::cli::Failure;

/// A rival that does not do in this time what it must do never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often we look whether a silent process has ended.
const LOOK: Duration = Duration::from_millis(250);
/// Reports that a failure shows.
const LAST_REPORTS: usize = 8;

/// A driver process, with a proxy of its own between it and ZooKeeper. Dropping it kills it.
pub struct Rival {
    /// Who it is in the log.
    pub node: NodeId,
    /// Its way to ZooKeeper.
    pub proxy: FaultProxy,
    process: Process,
    seen: watch::Receiver<Seen>,
    reading: JoinHandle<()>,
}

/// What a rival has said so far, in sum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its last status.
    pub state: String,
    /// The epoch in which it thinks that it leads.
    pub epoch: Option<i32>,
    /// Where it knows ZooKeeper to be.
    pub zookeeper_at: Option<i64>,
    /// The kind of the failure that it waits over.
    pub blocked_by: Option<String>,
    /// Claims after which it copied.
    pub copies: u64,
    /// Claims after which it went on where ZooKeeper was.
    pub resumes: u64,
    /// Claims after which it synced everything.
    pub full_syncs: u64,
    /// Claims that were refused or failed.
    pub refused_claims: u64,
    /// End of the last batch that it has handed to ZooKeeper's writer (exclusive).
    pub submitted: i64,
    /// Writes and barriers that it knows to have bounced.
    pub bounced: u64,
    last: VecDeque<Report>,
}

impl Seen {
    fn take(&mut self, report: Report) {
        match &report {
            Report::Status { state, epoch, zookeeper_at, blocked_by, .. } => {
                self.state.clone_from(state);
                self.epoch = *epoch;
                self.zookeeper_at = *zookeeper_at;
                self.blocked_by.clone_from(blocked_by);
            }
            Report::Claim { outcome: ClaimOutcome::Copy, .. } => self.copies += 1,
            Report::Claim { outcome: ClaimOutcome::Resume, .. } => self.resumes += 1,
            Report::Claim { outcome: ClaimOutcome::FullSync, .. } => self.full_syncs += 1,
            Report::Claim { outcome: ClaimOutcome::Failed { .. }, .. } => self.refused_claims += 1,
            Report::Submitted { end, .. } => self.submitted = *end,
            Report::Bounced { .. } => self.bounced += 1,
            Report::Synced { .. } => {}
        }
        self.last.push_back(report);
        if self.last.len() > LAST_REPORTS {
            self.last.pop_front();
        }
    }

    /// Whether it has written everything up to `end` (exclusive), as the leader of `epoch`.
    pub fn has_written(&self, epoch: KRaftLeaderEpoch, end: i64) -> bool {
        self.state == "DUAL_WRITE" && self.epoch == Some(epoch.0) && self.zookeeper_at >= Some(end)
    }
}

impl Rival {
    /// Starts `program` with these arguments as a driver. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// It can't be started.
    pub(super) fn start(
        program: &Path,
        arguments: &[String],
        node: NodeId,
        proxy: FaultProxy,
    ) -> Result<Self, Failure> {
        let not_started = |error: &std::io::Error| Failure::failed("can't start a driver process").because(error);
        let (reader, writer) = std::io::pipe().map_err(|error| not_started(&error))?;
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(|error| not_started(&error))?;
        let program = program.to_str().ok_or_else(|| {
            Failure::failed("can't start a driver process").why("the path of this program is no UTF-8")
        })?;
        let process = Process::spawn(program, arguments, |command| {
            command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::inherit());
        })
        .map_err(|error| not_started(&error))?;
        let (sender, seen) = watch::channel(Seen::default());
        Ok(Self { node, proxy, process, seen, reading: tokio::spawn(read(reader, sender)) })
    }

    /// What it has said so far.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Stops it where it is (SIGSTOP): it does nothing and knows nothing, and its connections stay.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<(), Failure> {
        self.signal("STOP")
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It has ended.
    pub fn wake(&self) -> Result<(), Failure> {
        self.signal("CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), Failure> {
        self.process.signal(signal).map_err(|error| {
            Failure::failed(format!("can't send SIG{signal} to the driver of node {}", self.node)).because(&error)
        })
    }

    /// Waits until what it has said fits.
    ///
    /// # Errors
    /// The process has ended, or it does not happen in time: what it said last is told.
    pub async fn wait(&self, what: &str, fits: impl Fn(&Seen) -> bool) -> Result<Seen, Failure> {
        let mut seen = self.seen.clone();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Ok(found)) = timeout(LOOK, seen.wait_for(|seen| fits(seen))).await {
                return Ok(found.clone());
            }
            let ended = self.process.ended();
            if ended.is_none() && Instant::now() < deadline {
                continue;
            }
            let why = ended.map_or_else(|| format!("not within {} s", PATIENCE.as_secs()), |status| status.to_string());
            let last = self.seen().last.into_iter().map(|report| serde_json::to_string(&report).unwrap_or_default());
            return Err(Failure::failed(format!("node {} never came to this: {what}", self.node)).why(why).whys(last));
        }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Takes lines until the pipe ends.
async fn read(reader: pipe::Receiver, seen: watch::Sender<Seen>) {
    let mut lines = BufReader::new(reader).lines();
    loop {
        match lines.next_line().await {
            Ok(Some(line)) => match serde_json::from_str::<Report>(&line) {
                Ok(report) => seen.send_modify(|seen| seen.take(report)),
                Err(error) => tracing::warn!("a driver says what is no report: {error}"),
            },
            Ok(None) => return,
            Err(error) => {
                tracing::warn!("a driver can't be heard: {error}");
                return;
            }
        }
    }
}
