//! Several controllers on this machine, each a process of its own that runs `migrate`, and the view of who watches over them.
//!
//! - [`Fleet`] starts, kills, pauses and stops them; [`FleetView`] is what they say of themselves, asked at their sockets.
//! - [`members_in`] finds the data directories of a fleet, so that verbs can be pointed at all of it.

mod agree;
mod member;
mod place;
mod view;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metadata_core::id::NodeId;
use store_zk::testkit::free_port;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{Failure, Voters};
use crate::control::{Request, ask};

pub use self::agree::{Agreement, logs_agree};
pub use self::member::{Ended, MemberProcess};
pub use self::place::{FleetMember, leader_dir, look_in, members_in};
pub use self::view::{FleetView, MemberView};

/// Pause between two looks at a fleet.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A controller that does not say how it is within this time is silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A controller that was asked to stop has ended within this time, or is killed.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct FleetSpec {
    /// The program to run: this one.
    pub program: PathBuf,
    /// The folder in which each controller gets a data directory and a log of what it says.
    pub folder: PathBuf,
    /// The controllers.
    pub ids: Vec<NodeId>,
    /// What `migrate` is told beside who it is and who the others are.
    pub arguments: Vec<String>,
}

/// Controllers that run. Dropping it kills them.
pub struct Fleet {
    spec: FleetSpec,
    voters: Voters,
    members: BTreeMap<NodeId, MemberProcess>,
}

impl Fleet {
    /// Starts all of them. Their quorum is formed if their directories are new.
    ///
    /// # Errors
    /// No free port, or a process can't be started.
    pub fn start(spec: FleetSpec) -> Result<Self, Failure> {
        let mut voters = BTreeMap::new();
        for id in &spec.ids {
            // None that an outgoing connection may take, also while a controller is down.
            let port = free_port().map_err(|error| Failure::failed("there is no free port").because(&error))?;
            voters.insert(*id, format!("127.0.0.1:{port}"));
        }
        let mut fleet = Self { spec, voters: Voters(voters), members: BTreeMap::new() };
        for id in fleet.spec.ids.clone() {
            fleet.start_member(id)?;
        }
        Ok(fleet)
    }

    /// Who they are and where they listen.
    pub fn voters(&self) -> &Voters {
        &self.voters
    }

    /// The data directory of a controller.
    pub fn data_dir(&self, id: NodeId) -> PathBuf {
        place::data_dir(&self.spec.folder, id)
    }

    /// What a controller says goes to this file.
    pub fn log_file(&self, id: NodeId) -> PathBuf {
        self.spec.folder.join(format!("controller-{id}.log"))
    }

    /// Starts a controller that does not run.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start_member(&mut self, id: NodeId) -> Result<(), Failure> {
        let mut arguments: Vec<String> = ["migrate", "--json", "--data-dir"].map(str::to_owned).into();
        arguments.push(self.data_dir(id).display().to_string());
        arguments.extend([
            "--node-id".to_owned(),
            id.to_string(),
            "--quorum-voters".to_owned(),
            self.voters.to_string(),
        ]);
        arguments.extend(self.spec.arguments.iter().cloned());
        let process = MemberProcess::start(&self.spec.program, &arguments, &self.log_file(id))?;
        self.members.insert(id, process);
        Ok(())
    }

    /// Ends a controller at once (SIGKILL).
    pub fn kill(&mut self, id: NodeId) {
        self.members.remove(&id);
    }

    /// The processes, by id.
    pub fn members(&self) -> &BTreeMap<NodeId, MemberProcess> {
        &self.members
    }

    /// Sends a signal, by name as `STOP`.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, id: NodeId, signal: &str) -> Result<(), Failure> {
        match self.members.get(&id) {
            Some(process) => process.signal(signal),
            None => Err(Failure::failed(format!("controller {id} does not run"))),
        }
    }

    /// Asks all of them how they are.
    pub async fn look(&self) -> FleetView {
        let mut members = BTreeMap::new();
        for id in &self.spec.ids {
            let dir = self.data_dir(*id);
            let view = match self.members.get(id).map(MemberProcess::ended) {
                None => MemberView::Absent,
                Some(Some(ended)) => MemberView::Ended(ended),
                Some(None) => look_at(&dir).await,
            };
            members.insert(*id, view);
        }
        FleetView { members }
    }

    /// Waits until they are as they should be; `what` names that.
    ///
    /// # Errors
    /// It is not so within `within`: how they were last.
    pub async fn wait(
        &self,
        what: &str,
        within: Duration,
        fits: impl Fn(&FleetView) -> bool,
    ) -> Result<FleetView, Failure> {
        let deadline = Instant::now() + within;
        loop {
            let view = self.look().await;
            if fits(&view) {
                return Ok(view);
            }
            if Instant::now() > deadline {
                return Err(Failure::failed(format!("the controllers never came to this: {what}"))
                    .why(format!("not within {} s", within.as_secs()))
                    .whys(view.lines())
                    .next(format!("what each of them said is in {}", self.spec.folder.display())));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Stops all of them, and waits for their end.
    pub async fn stop(&mut self) {
        for process in self.members.values().filter(|process| process.ended().is_none()) {
            // It may end just now.
            let _ = process.signal("TERM");
        }
        let ended = async {
            while self.members.values().any(|process| process.ended().is_none()) {
                sleep(LOOK_EVERY).await;
            }
        };
        if timeout(STOP_WITHIN, ended).await.is_err() {
            tracing::warn!("a controller did not stop within {} s, and is killed", STOP_WITHIN.as_secs());
        }
        self.members.clear();
    }
}

/// Asks the controller of a data directory how it is.
async fn look_at(data_dir: &Path) -> MemberView {
    match timeout(ANSWER_WITHIN, ask(data_dir, &Request::Status, |_| {})).await {
        Ok(Ok(Some(status))) => MemberView::Answers(Box::new(status)),
        Ok(Ok(None)) => MemberView::Silent("it is starting or ending".to_owned()),
        Ok(Err(failure)) => MemberView::Silent(failure.to_string()),
        Err(_) => MemberView::Silent(format!("it says nothing for {} s", ANSWER_WITHIN.as_secs())),
    }
}
