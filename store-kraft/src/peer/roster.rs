//! Who the other controllers are, and what was last heard of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metadata_core::id::{DirectoryId, NodeId};
use metadata_core::uuid::Uuid;
use tokio::sync::watch;
use tokio::time::Instant;

use super::message::{Announced, Hello, Introduction, VERSIONS};
use super::refusal::Refusal;
use crate::codec::Kind;
use crate::disk::Disk;
use crate::log::damage::LogError;
use crate::quorum::types::MemberAddress;
use crate::sealed;

/// A process that was heard of within this time is alive: another one with its id is a second one, not its successor.
const ALIVE: Duration = Duration::from_secs(3);

/// What a controller said of itself counts for so long: longer than elections take, even when votes split. A leader that dies
/// while it copies must not keep its successor waiting for what it had said.
pub(super) const NEWS_KEPT: Duration = Duration::from_secs(15);

/// Who this process is.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) cluster_id: String,
    pub(crate) node_id: NodeId,
    pub(crate) directory_id: Option<DirectoryId>,
    pub(crate) incarnation: u64,
}

/// What was heard of a controller.
#[derive(Debug, Clone)]
struct Heard {
    incarnation: u64,
    at: Instant,
    announced: Option<(Announced, Instant)>,
}

/// What can be told of another controller.
#[derive(Debug, Clone)]
pub(crate) struct PeerNews {
    /// Since when nothing was heard of it.
    pub(crate) silent: Duration,
    /// What it said of itself last, unless that is too long ago.
    pub(crate) announced: Option<Announced>,
}

#[derive(Debug, Default)]
struct State {
    /// All members but this one. Nobody else is spoken to.
    members: BTreeMap<NodeId, MemberAddress>,
    /// The log's id, once it has one.
    log_id: Option<DirectoryId>,
    /// With whom a log is begun, as long as it has no id. Empty: this controller waits for any quorum to add it.
    forming: Option<BTreeSet<NodeId>>,
    /// Those who are about to be added, so that they are spoken with before they are members.
    invited: BTreeSet<NodeId>,
    /// By which directory each was met first, where the membership says nothing of it.
    met: BTreeMap<NodeId, DirectoryId>,
    /// Those among `met` that could not be written. Until they are, they are strangers each time.
    unwritten: BTreeSet<NodeId>,
    heard: BTreeMap<NodeId, Heard>,
    /// Open connections that each process made to this one.
    open: BTreeMap<(NodeId, u64), usize>,
}

impl State {
    fn speaks_with(&self, id: NodeId) -> bool {
        let waits = self.forming.as_ref().is_some_and(BTreeSet::is_empty);
        waits || self.members.contains_key(&id) || self.invited.contains(&id)
    }
}

/// See the module. It is shared by everything that speaks with other controllers.
#[derive(Debug)]
pub(crate) struct Roster {
    own: Own,
    state: Mutex<State>,
    /// Where it is kept who was met first.
    path: PathBuf,
    disk: Disk,
    /// Held while that is written.
    writing: tokio::sync::Mutex<()>,
    /// Counts news.
    news: watch::Sender<u64>,
}

impl Roster {
    pub(crate) fn path(raft_dir: &Path) -> PathBuf {
        raft_dir.join("directories")
    }

    /// Knows whom this controller met before.
    ///
    /// # Errors
    /// The file is damaged.
    pub(crate) fn open(disk: &Disk, raft_dir: &Path, own: Own) -> Result<Self, LogError> {
        let path = Self::path(raft_dir);
        let met: Option<BTreeMap<i32, [u8; 16]>> = sealed::read(&path, Kind::Directories)?;
        let met = met.into_iter().flatten().map(|(id, bytes)| (NodeId(id), DirectoryId(Uuid::from_bytes(bytes))));
        let state = State { met: met.collect(), ..State::default() };
        let writing = tokio::sync::Mutex::default();
        Ok(Self { own, state: Mutex::new(state), path, disk: disk.clone(), writing, news: watch::Sender::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is told whenever something was heard or the members changed.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes the members of the quorum, or those of the configuration as long as there is no quorum, and the log's id once it is
    /// decided: one that a leader only wrote to its own log may never be. If this controller is no member, and the log has no
    /// id yet, it waits to be added.
    pub(crate) fn members_changed(&self, members: &BTreeMap<NodeId, MemberAddress>, log_id: Option<DirectoryId>) {
        {
            let mut state = self.state();
            let ids: BTreeSet<NodeId> = members.keys().copied().collect();
            state.log_id = log_id;
            let within = ids.contains(&self.own.node_id);
            state.forming = state.log_id.is_none().then(|| if within { ids } else { BTreeSet::new() });
            let others = members.iter().filter(|(id, _)| **id != self.own.node_id);
            let others: BTreeMap<_, _> = others.map(|(id, member)| (*id, member.clone())).collect();
            if state.members == others {
                return;
            }
            let State { heard, invited, .. } = &mut *state;
            heard.retain(|id, _| others.contains_key(id) || invited.contains(id));
            state.members = others;
        }
        self.tell();
    }

    /// Speaks with a controller that is about to be added, until [`Self::uninvite`].
    pub(crate) fn invite(&self, id: NodeId) {
        self.state().invited.insert(id);
    }

    /// It is a member now, or won't be.
    pub(crate) fn uninvite(&self, id: NodeId) {
        self.state().invited.remove(&id);
    }

    /// Whether this controller speaks with `id`.
    pub(super) fn speaks_with(&self, id: NodeId) -> bool {
        self.state().speaks_with(id)
    }

    /// By which directory a controller is known.
    pub(crate) fn directory_of(&self, id: NodeId) -> Option<DirectoryId> {
        let state = self.state();
        state.members.get(&id).and_then(|member| member.directory_id).or_else(|| state.met.get(&id).copied())
    }

    /// The other members.
    pub(crate) fn members(&self) -> BTreeMap<NodeId, MemberAddress> {
        self.state().members.clone()
    }

    /// How this controller introduces itself.
    pub(super) fn introduction(&self) -> Introduction {
        let Own { cluster_id, node_id, directory_id, incarnation } = &self.own;
        let state = self.state();
        let forming = state.forming.as_ref().filter(|ids| !ids.is_empty());
        let forming = forming.map(|ids| ids.iter().map(|id| id.0).collect());
        let log_id = state.log_id.map(|id| *id.0.as_bytes());
        Introduction {
            versions: VERSIONS,
            cluster_id: cluster_id.clone(),
            node_id: node_id.0,
            directory_id: directory_id.map(|id| *id.0.as_bytes()),
            incarnation: *incarnation,
            log_id,
            forming,
        }
    }

    /// Judges who connected. A controller that is met for the first time is remembered durably by its directory.
    ///
    /// # Errors
    /// It is not spoken with, and why.
    pub(super) async fn greeted(&self, hello: &Hello) -> Result<(), Refusal> {
        if hello.to != self.own.node_id.0 {
            return Err(Refusal::NotThisOne { own: self.own.node_id, wanted: NodeId(hello.to) });
        }
        let is_new = self.judge(&hello.from, true, Instant::now())?;
        self.remember(is_new.then_some(NodeId(hello.from.node_id))).await
    }

    /// Judges who answered.
    ///
    /// # Errors
    /// It is not spoken with, and why.
    pub(super) async fn answered(&self, target: NodeId, found: &Introduction) -> Result<(), Refusal> {
        if found.node_id != target.0 {
            return Err(Refusal::NotThisOne { own: NodeId(found.node_id), wanted: target });
        }
        let is_new = self.judge(found, false, Instant::now())?;
        self.remember(is_new.then_some(target)).await
    }

    /// Returns whether it is still to be remembered that the controller was met.
    fn judge(&self, other: &Introduction, connects: bool, now: Instant) -> Result<bool, Refusal> {
        let own = &self.own;
        let id = NodeId(other.node_id);
        if VERSIONS.agreed(other.versions).is_none() {
            return Err(Refusal::Versions { own: VERSIONS, other: other.versions });
        }
        if other.cluster_id != own.cluster_id {
            return Err(Refusal::Cluster { own: own.cluster_id.clone(), other: other.cluster_id.clone() });
        }
        if id == own.node_id {
            return Err(Refusal::OwnId(id));
        }
        let mut state = self.state();
        if !state.speaks_with(id) {
            return Err(Refusal::NoMember(id));
        }
        let log = other.log_id.map(|bytes| DirectoryId(Uuid::from_bytes(bytes)));
        if let (Some(own), Some(other)) = (state.log_id, log)
            && own != other
        {
            return Err(Refusal::Log { own, other });
        }
        if let (Some(own), Some(other)) = (&state.forming, &other.forming) {
            let other: BTreeSet<NodeId> = other.iter().copied().map(NodeId).collect();
            if !own.is_empty() && *own != other {
                return Err(Refusal::Forming { own: own.clone(), other });
            }
        }
        let directory = other.directory_id.map(|bytes| DirectoryId(Uuid::from_bytes(bytes)));
        let member = state.members.get(&id);
        // One that is invited brings the directory by which it will be known.
        let invited = state.invited.contains(&id) && member.is_none();
        let met = state.met.get(&id).copied().filter(|_| !invited);
        let known = member.and_then(|member| member.directory_id).or(met);
        if let (Some(known), Some(found)) = (known, directory)
            && known != found
        {
            return Err(Refusal::Directory { id, known, found });
        }
        if connects && let Some(heard) = state.heard.get(&id) {
            let open = state.open.get(&(id, heard.incarnation)).is_some_and(|count| *count > 0);
            if heard.incarnation != other.incarnation && open && now.duration_since(heard.at) < ALIVE {
                return Err(Refusal::Twin(id));
            }
        }
        self.note(&mut state, id, other.incarnation, now);
        match (known, directory) {
            (None, Some(found)) => {
                state.met.insert(id, found);
                Ok(true)
            }
            _ => Ok(state.unwritten.contains(&id)),
        }
    }

    async fn remember(&self, new: Option<NodeId>) -> Result<(), Refusal> {
        let Some(new) = new else { return Ok(()) };
        let _writing = self.writing.lock().await;
        let met: BTreeMap<i32, [u8; 16]> = {
            let state = self.state();
            state.met.iter().map(|(id, directory)| (id.0, *directory.0.as_bytes())).collect()
        };
        let (disk, path, remembered) = (self.disk.clone(), self.path.clone(), met.clone());
        let written = tokio::task::spawn_blocking(move || sealed::write(&disk, &path, Kind::Directories, &met)).await;
        let refused = match written {
            Ok(Ok(())) => {
                self.state().unwritten.retain(|id| !remembered.contains_key(&id.0));
                return Ok(());
            }
            Ok(Err(error)) => Refusal::Disk(error.to_string()),
            Err(error) => Refusal::Disk(error.to_string()),
        };
        self.state().unwritten.insert(new);
        Err(refused)
    }

    fn note(&self, state: &mut State, id: NodeId, incarnation: u64, now: Instant) {
        match state.heard.get_mut(&id) {
            Some(heard) if heard.incarnation == incarnation => heard.at = now,
            _ => {
                state.heard.insert(id, Heard { incarnation, at: now, announced: None });
            }
        }
    }

    /// Notes that a controller sent something. Returns whether it is the process that is known by this id now: one that slept while
    /// another took its id, on a copy of its directory say, is not listened to when it wakes up.
    pub(super) fn heard(&self, id: NodeId, incarnation: u64) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        let other = state.heard.get(&id).filter(|heard| heard.incarnation != incarnation);
        if other.is_some_and(|heard| now.duration_since(heard.at) < ALIVE) {
            return false;
        }
        self.note(&mut state, id, incarnation, now);
        true
    }

    /// Notes what a controller said of itself.
    pub(super) fn announced(&self, id: NodeId, incarnation: u64, announced: Announced) {
        if !self.heard(id, incarnation) {
            return;
        }
        if let Some(heard) = self.state().heard.get_mut(&id) {
            heard.announced = Some((announced, Instant::now()));
        }
        self.tell();
    }

    /// Counts a connection that `id` made, until the guard is dropped.
    pub(super) fn connected(&self, id: NodeId, incarnation: u64) -> Connected<'_> {
        *self.state().open.entry((id, incarnation)).or_default() += 1;
        Connected { roster: self, key: (id, incarnation) }
    }

    /// Connections that `id` has open to this controller.
    pub(super) fn connections(&self, id: NodeId) -> usize {
        self.state().open.iter().filter(|((of, _), _)| *of == id).map(|(_, count)| count).sum()
    }

    /// What is known of each other member now.
    pub(crate) fn look(&self) -> BTreeMap<NodeId, Option<PeerNews>> {
        let state = self.state();
        let now = Instant::now();
        let news = |id| {
            let heard = state.heard.get(id)?;
            let announced = heard.announced.as_ref().filter(|(_, at)| now.duration_since(*at) < NEWS_KEPT);
            Some(PeerNews {
                silent: now.duration_since(heard.at),
                announced: announced.map(|(announced, at)| match now.duration_since(*at) < ALIVE {
                    true => announced.clone(),
                    false => announced.without_passing_news(),
                }),
            })
        };
        state.members.keys().map(|id| (*id, news(id))).collect()
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Connected<'a> {
    roster: &'a Roster,
    key: (NodeId, u64),
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        let mut state = self.roster.state();
        if let Some(count) = state.open.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Versions;
    use super::*;

    fn own(id: i32) -> Own {
        Own {
            cluster_id: "c".into(),
            node_id: NodeId(id),
            directory_id: Some(DirectoryId(Uuid::from_u64_pair(1, id.unsigned_abs().into()))),
            incarnation: 1,
        }
    }

    fn roster(dir: &Path, id: i32) -> Roster {
        let roster = Roster::open(&Disk::default(), dir, own(id)).unwrap();
        roster.members_changed(&named(&[1, 2, 3]), NAME);
        roster
    }

    fn members(ids: &[i32]) -> BTreeMap<NodeId, MemberAddress> {
        ids.iter().map(|id| (NodeId(*id), MemberAddress::at(format!("h:{id}")))).collect()
    }

    const NAME: Option<DirectoryId> = Some(DirectoryId(Uuid::from_u64_pair(5, 5)));

    /// Members of a log that has an id.
    fn named(ids: &[i32]) -> BTreeMap<NodeId, MemberAddress> {
        let mut named = members(ids);
        named.values_mut().for_each(|member| member.log_id = NAME);
        named
    }

    fn hello(roster: &Roster) -> Hello {
        Hello { from: roster.introduction(), to: 1 }
    }

    #[tokio::test]
    async fn who_is_spoken_with() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 2));
        type Change = fn(&mut Hello);
        let cases: [(&str, Change, Option<&str>); 11] = [
            ("a member", |_| {}, None),
            ("again", |_| {}, None),
            ("a newer program that speaks our version too", |it| it.from.versions.highest = 9, None),
            ("of another cluster", |it| it.from.cluster_id = "d".into(), Some("cluster")),
            ("of another log", |it| it.from.log_id = Some([5; 16]), Some("of another log")),
            ("of no log yet", |it| it.from.log_id = None, None),
            ("looks for another", |it| it.to = 3, Some("this is controller 1, not controller 3")),
            ("with our own id", |it| it.from.node_id = 1, Some("id 1")),
            ("no member", |it| it.from.node_id = 7, Some("no member")),
            ("with another directory", |it| it.from.directory_id = Some([9; 16]), Some("data directory")),
            ("too new", |it| it.from.versions = Versions { lowest: 2, highest: 9 }, Some("there 2 to 9")),
        ];
        for (name, change, refused) in cases {
            let mut hello = hello(&two);
            change(&mut hello);
            let judged = one.greeted(&hello).await.map_err(|refusal| refusal.to_string());
            match refused {
                None => assert_eq!(judged, Ok(()), "{name}"),
                Some(part) => assert!(judged.as_ref().is_err_and(|it| it.contains(part)), "{name}: {judged:?}"),
            }
        }
    }

    #[tokio::test]
    async fn those_who_form_a_quorum_must_agree_with_whom() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 2));
        one.members_changed(&members(&[1, 2, 3]), None);
        two.members_changed(&members(&[1, 2, 4]), None);
        let refused = one.greeted(&hello(&two)).await.unwrap_err();
        assert!(refused.to_string().contains("1, 2, 3") && refused.to_string().contains("1, 2, 4"), "{refused}");
        two.members_changed(&named(&[1, 2, 4]), NAME);
        one.greeted(&hello(&two)).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_waits_to_be_added_speaks_with_any_controller_of_its_cluster() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, four) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 4));
        four.members_changed(&BTreeMap::new(), None);
        four.greeted(&Hello { from: one.introduction(), to: 4 }).await.unwrap();
        let mut stranger = one.introduction();
        stranger.cluster_id = "d".into();
        assert!(four.greeted(&Hello { from: stranger, to: 4 }).await.is_err());

        let found = four.introduction();
        assert!(matches!(one.answered(NodeId(4), &found).await, Err(Refusal::NoMember(_))));
        one.invite(NodeId(4));
        one.answered(NodeId(4), &found).await.unwrap();
        one.uninvite(NodeId(4));
        assert!(matches!(one.answered(NodeId(4), &found).await, Err(Refusal::NoMember(_))));
    }

    #[tokio::test]
    async fn a_directory_that_was_met_is_known_after_a_restart() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 2));
        one.answered(NodeId(2), &two.introduction()).await.unwrap();
        drop(one);
        let one = roster(dirs[0].path(), 1);
        let mut made_anew = two.introduction();
        made_anew.directory_id = Some([9; 16]);
        assert!(matches!(one.answered(NodeId(2), &made_anew).await, Err(Refusal::Directory { .. })));

        // Removed and added with the new one.
        let mut added = named(&[1, 2, 3]);
        added.get_mut(&NodeId(2)).unwrap().directory_id = Some(DirectoryId(Uuid::from_bytes([9; 16])));
        one.members_changed(&added, NAME);
        one.answered(NodeId(2), &made_anew).await.unwrap();
        assert!(matches!(one.answered(NodeId(2), &two.introduction()).await, Err(Refusal::Directory { .. })));
    }

    /// A leader that died before others had its first entry must be able to come back: another name was decided meanwhile.
    #[tokio::test]
    async fn a_name_that_is_only_written_here_keeps_nobody_out() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 2));
        let mut other = named(&[1, 2, 3]);
        other.values_mut().for_each(|member| member.log_id = Some(DirectoryId(Uuid::from_u64_pair(6, 6))));
        two.members_changed(&other, None);
        one.greeted(&hello(&two)).await.unwrap();
        two.greeted(&Hello { from: one.introduction(), to: 2 }).await.unwrap();
        two.members_changed(&other, Some(DirectoryId(Uuid::from_u64_pair(6, 6))));
        assert!(matches!(one.greeted(&hello(&two)).await, Err(Refusal::Log { .. })));
    }

    #[tokio::test]
    async fn whoever_can_not_be_remembered_stays_a_stranger() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let gone = dirs[0].path().join("gone");
        std::fs::create_dir(&gone).unwrap();
        let (one, two) = (roster(&gone, 1), roster(dirs[1].path(), 2));
        std::fs::remove_dir(&gone).unwrap();
        for _ in 0..2 {
            assert!(matches!(one.greeted(&hello(&two)).await, Err(Refusal::Disk(_))));
        }
        std::fs::create_dir(&gone).unwrap();
        one.greeted(&hello(&two)).await.unwrap();
        drop(one);
        let mut made_anew = two.introduction();
        made_anew.directory_id = Some([9; 16]);
        let one = roster(&gone, 1);
        assert!(matches!(one.answered(NodeId(2), &made_anew).await, Err(Refusal::Directory { .. })));
    }

    /// What a dead voter said of ZooKeeper must not make a leader resign for it.
    #[tokio::test(start_paused = true)]
    async fn that_it_reaches_zookeeper_is_known_of_a_controller_only_while_it_says_so() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 2));
        one.greeted(&hello(&two)).await.unwrap();
        let announcement = metadata_core::controllers::ControllerAnnouncement {
            migration_enabled: true,
            metadata_versions: metadata_core::metadata_version::MetadataVersionRange::production(),
            zookeeper_fingerprint: None,
            zookeeper_reachable: Some(true),
        };
        one.announced(NodeId(2), 1, Announced::new(&announcement, Default::default(), None));
        let told = || one.look()[&NodeId(2)].clone()?.announced?.announcement();
        assert_eq!(told(), Some(announcement.clone()));
        tokio::time::advance(ALIVE).await;
        let later = told().unwrap();
        assert_eq!((later.zookeeper_reachable, later.migration_enabled), (None, true));
        tokio::time::advance(NEWS_KEPT).await;
        assert_eq!(told(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_process_is_told_from_a_successor() {
        let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        let (one, two) = (roster(dirs[0].path(), 1), roster(dirs[1].path(), 2));
        let mut successor = hello(&two);
        successor.from.incarnation = 2;
        one.greeted(&hello(&two)).await.unwrap();
        one.greeted(&successor).await.unwrap();

        one.greeted(&hello(&two)).await.unwrap();
        let connection = one.connected(NodeId(2), 1);
        assert!(matches!(one.greeted(&successor).await, Err(Refusal::Twin(NodeId(2)))), "both are alive");
        tokio::time::advance(ALIVE).await;
        one.greeted(&successor).await.unwrap();
        assert!(!one.heard(NodeId(2), 1), "the one that slept wakes up");
        assert!(one.heard(NodeId(2), 2));
        drop(connection);
        assert_eq!(one.connections(NodeId(2)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_long_ago_counts_no_more() {
        use metadata_core::controllers::ControllerAnnouncement;
        use metadata_core::metadata_version::MetadataVersionRange;

        let dir = tempfile::tempdir().unwrap();
        let one = roster(dir.path(), 1);
        assert!(one.look().values().all(Option::is_none) && one.look().len() == 2);
        let announcement = ControllerAnnouncement {
            migration_enabled: true,
            metadata_versions: MetadataVersionRange::production(),
            zookeeper_fingerprint: None,
            zookeeper_reachable: None,
        };
        one.announced(NodeId(2), 1, Announced::new(&announcement, Default::default(), None));
        let of_two = || one.look().remove(&NodeId(2)).flatten().unwrap();
        assert!(of_two().announced.is_some());
        tokio::time::advance(NEWS_KEPT).await;
        one.heard(NodeId(2), 1);
        assert!(of_two().announced.is_none() && of_two().silent.is_zero());
        // A new process has said nothing.
        one.announced(NodeId(2), 1, Announced::new(&announcement, Default::default(), None));
        tokio::time::advance(ALIVE).await;
        one.heard(NodeId(2), 5);
        assert!(of_two().announced.is_none());
    }
}
