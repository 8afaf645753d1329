//! The metadata quorum: one committed log, and what each member knows of it and of who leads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt as _;
use metadata_core::contract::MemLog;
use metadata_core::error::{Error, ErrorKind, Result};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset, Position, TimestampMs};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::LogExtent;
use metadata_core::log::{Append, LeaderAndEpoch, LogBatch, MetadataLog};
use metadata_core::store::Receipt;
use tokio::sync::{Notify, oneshot};

use super::mutant::Mutant;
use super::process::Process;
use crate::seed::Random;

/// What becomes of a call on the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out, and nobody learns of it.
    AnswerLost,
    /// It never reaches the quorum.
    Dropped,
}

enum Asked {
    Append(Box<Append>, oneshot::Sender<Result<Position>>),
    End(oneshot::Sender<Result<Position>>),
}

/// One voter's part.
struct Member {
    /// Who leads, as far as it knows.
    view: LeaderAndEpoch,
    /// What it has applied.
    image: MetadataImage,
    asked: VecDeque<Asked>,
    news: Arc<Notify>,
}

struct State {
    log: MemLog,
    leader: LeaderAndEpoch,
    members: BTreeMap<NodeId, Member>,
    random: Random,
    /// Of 100 looks for an older image, so many find that it is gone.
    images_gone: u32,
}

/// The quorum. Clones are the same one.
#[derive(Clone)]
pub(super) struct Quorum(Arc<Mutex<State>>);

fn nobody(epoch: KRaftLeaderEpoch) -> LeaderAndEpoch {
    LeaderAndEpoch { leader: None, epoch, active: false }
}

fn unavailable(what: &str) -> Error {
    Error::not_applied(ErrorKind::Unavailable, what)
}

/// The image of the newest batch at most there.
fn image_at_most(log: &MemLog, end: Offset) -> MetadataImage {
    log.image_at_most(end).now_or_never().and_then(Result::ok).flatten().unwrap_or_default()
}

impl State {
    fn tell(&mut self, id: NodeId) {
        let leader = self.leader;
        let end = self.log.image();
        let Some(member) = self.members.get_mut(&id) else { return };
        let leads = leader.leader == Some(id);
        if leads {
            member.image = end;
        }
        member.view = LeaderAndEpoch { active: leads, ..leader };
        member.news.notify_waiters();
    }
}

impl Quorum {
    pub(super) fn new(voters: &[NodeId], log: MemLog, random: Random) -> Self {
        let member = || Member {
            view: nobody(KRaftLeaderEpoch(0)),
            image: MetadataImage::empty(),
            asked: VecDeque::new(),
            news: Arc::new(Notify::new()),
        };
        let members = voters.iter().map(|id| (*id, member())).collect();
        Self(Arc::new(Mutex::new(State { log, leader: nobody(KRaftLeaderEpoch(0)), members, random, images_gone: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The committed log.
    pub(super) fn log(&self) -> MemLog {
        self.state().log.clone()
    }

    /// Who really leads.
    pub(super) fn leader(&self) -> LeaderAndEpoch {
        self.state().leader
    }

    pub(super) fn set_images_gone(&self, percent: u32) {
        self.state().images_gone = percent;
    }

    /// A new epoch. Nobody knows of it yet.
    pub(super) fn elect(&self, id: NodeId) -> LeaderAndEpoch {
        let mut state = self.state();
        state.leader = state.log.elect(id);
        state.leader
    }

    /// The leader is gone and nobody has taken over yet.
    pub(super) fn vacate(&self) {
        let mut state = self.state();
        state.log.resign();
        state.leader = nobody(state.leader.epoch);
    }

    /// Every member starts from an old copy of the log.
    pub(super) fn restore(&self, end: Offset) {
        let mut state = self.state();
        state.log = state.log.old_copy(end);
        let epoch = state.log.extent().epochs.last().map_or(KRaftLeaderEpoch(0), |(epoch, _)| *epoch);
        state.leader = nobody(epoch);
        for member in state.members.values_mut() {
            member.view = nobody(epoch);
            member.image = MetadataImage::empty();
        }
    }

    /// A member learns who leads. A leader has applied the beginning of its epoch.
    pub(super) fn tell(&self, id: NodeId) {
        self.state().tell(id);
    }

    /// Whether a member knows who leads.
    pub(super) fn knows(&self, id: NodeId) -> bool {
        let state = self.state();
        state
            .members
            .get(&id)
            .is_some_and(|member| (member.view.leader, member.view.epoch) == (state.leader.leader, state.leader.epoch))
    }

    /// Whether a member takes itself for the leader.
    pub(super) fn believes(&self, id: NodeId) -> bool {
        self.state().members.get(&id).is_some_and(|member| member.view.active)
    }

    /// A member applies what is committed, or only some of it.
    pub(super) fn apply(&self, id: NodeId, all: bool) {
        let mut state = self.state();
        let end = state.log.image().position().end_offset;
        let Some(from) = state.members.get(&id).map(|member| member.image.position().end_offset) else { return };
        if from >= end {
            return;
        }
        let ahead = u32::try_from(end.0 - from.0).unwrap_or(u32::MAX);
        let to = if all { end } else { from.plus(i64::from(1 + state.random.below(ahead))) };
        let image = image_at_most(&state.log, to);
        if let Some(member) = state.members.get_mut(&id) {
            if image.position().end_offset > member.image.position().end_offset {
                member.image = image;
            }
            member.news.notify_waiters();
            // What a newer leader has written tells of that leader, too.
            if member.image.position().epoch > member.view.epoch {
                state.tell(id);
            }
        }
    }

    /// A member's process is gone. What it has applied it may have to apply again.
    pub(super) fn crash(&self, id: NodeId) {
        let mut state = self.state();
        let epoch = state.leader.epoch;
        let back = i64::from(state.random.below(30));
        let log = state.log.clone();
        let Some(member) = state.members.get_mut(&id) else { return };
        member.asked.clear();
        member.view = nobody(epoch);
        member.image = image_at_most(&log, member.image.position().end_offset.plus(-back));
    }

    /// Calls of a member that wait for the quorum.
    pub(super) fn asked(&self, id: NodeId) -> usize {
        self.state().members.get(&id).map_or(0, |member| member.asked.len())
    }

    /// Whether the oldest of them writes.
    pub(super) fn appends_next(&self, id: NodeId) -> bool {
        let state = self.state();
        state.members.get(&id).and_then(|member| member.asked.front()).is_some_and(|it| matches!(it, Asked::Append(..)))
    }

    /// Carries out the oldest call of a member.
    pub(super) fn serve(&self, id: NodeId, fate: Fate) {
        let mut state = self.state();
        let leads = state.leader.leader == Some(id);
        let log = state.log.clone();
        let Some(member) = state.members.get_mut(&id) else { return };
        match member.asked.pop_front() {
            Some(Asked::Append(append, answer)) => {
                let lost = || Err(Error::unknown(ErrorKind::Unavailable, "the quorum did not answer"));
                if fate == Fate::Dropped {
                    _ = answer.send(lost());
                    return;
                }
                let result = log.append(*append).now_or_never().unwrap_or_else(lost);
                if leads {
                    member.image = log.image();
                    member.news.notify_waiters();
                }
                // Whoever waits may be gone.
                _ = answer.send(if fate == Fate::Answered { result } else { lost() });
            }
            Some(Asked::End(answer)) => {
                let confirmed = leads && member.view.active && fate == Fate::Answered;
                if confirmed {
                    member.image = log.image();
                    member.news.notify_waiters();
                }
                let position = member.image.position();
                _ = answer.send(if confirmed {
                    Ok(position)
                } else {
                    Err(unavailable("no majority confirms that this member still leads"))
                });
            }
            None => {}
        }
    }
}

/// One run of one member, as its controller sees it.
pub(super) struct SimLog {
    pub(super) quorum: Quorum,
    pub(super) id: NodeId,
    pub(super) process: Arc<Process>,
    pub(super) mutant: Option<Mutant>,
}

impl SimLog {
    fn member<T>(&self, look: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.quorum.state().members.get_mut(&self.id).map(look)
    }

    /// Waits for news until `look` finds something.
    async fn until<T>(&self, mut look: impl FnMut(&Member) -> Option<T>) -> T {
        loop {
            let Some(news) = self.member(|member| Arc::clone(&member.news)) else {
                return std::future::pending().await;
            };
            let changed = news.notified();
            self.process.turn().await;
            if let Some(found) = self.member(|member| look(member)).flatten() {
                return found;
            }
            changed.await;
        }
    }
}

#[async_trait]
impl MetadataLog for SimLog {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        Ok(self.until(|member| Some(member.view).filter(|view| Some(*view) != known)).await)
    }

    fn append(&self, append: Append) -> Receipt {
        if self.process.is_dead() {
            return Receipt::new(std::future::pending());
        }
        let (answer, answered) = oneshot::channel();
        self.member(|member| member.asked.push_back(Asked::Append(Box::new(append), answer)));
        let process = Arc::clone(&self.process);
        Receipt::new(async move {
            let answer = answered.await;
            process.turn().await;
            answer.unwrap_or_else(|_| Err(Error::unknown(ErrorKind::Unavailable, "the quorum did not answer")))
        })
    }

    async fn end(&self) -> Result<Position> {
        self.process.turn().await;
        let (answer, answered) = oneshot::channel();
        self.member(|member| member.asked.push_back(Asked::End(answer)));
        let answer = answered.await;
        self.process.turn().await;
        answer.unwrap_or_else(|_| Err(unavailable("the quorum did not answer")))
    }

    fn extent(&self) -> LogExtent {
        let state = self.quorum.state();
        let mut extent = state.log.extent();
        if let Some(member) = state.members.get(&self.id) {
            extent.end_offset = extent.end_offset.min(member.image.position().end_offset);
            extent.epochs.retain(|(_, start)| *start < extent.end_offset);
        }
        extent
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        let applied = |member: &Member| member.image.position().end_offset;
        Ok(self.until(|member| Some(applied(member)).filter(|end| *end > end_offset)).await)
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        self.process.turn().await;
        let log = self.quorum.log();
        let applied = self.image().position().end_offset;
        let batches = log.read(from, records_max).await?;
        Ok(batches.into_iter().take_while(|batch| batch.end_offset <= applied).collect())
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        self.process.turn().await;
        let mut state = self.quorum.state();
        if self.mutant == Some(Mutant::ImageAheadOfMarker) {
            // Content of now, said to be that of then.
            let position = image_at_most(&state.log, end_offset).position();
            let now = state.members.get(&self.id).map(|member| member.image.clone()).unwrap_or_default();
            return Ok(Some(now.at(position, TimestampMs(0))));
        }
        let gone = state.images_gone;
        if state.random.percent(gone) {
            return Ok(None);
        }
        let back = if state.random.percent(50) { i64::from(state.random.below(60)) } else { 0 };
        Ok(Some(image_at_most(&state.log, Offset(end_offset.0.saturating_sub(back)))))
    }

    fn image(&self) -> MetadataImage {
        self.member(|member| member.image.clone()).unwrap_or_default()
    }

    /// Nothing is purged; that an image may be gone all the same is what is tried here.
    fn hold(&self, _end_offset: Offset) {}
}
