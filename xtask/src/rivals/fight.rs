//! Two rivals fight for the leadership, epoch after epoch.

use std::collections::BTreeMap;
use std::time::Duration;

use metadata_core::id::{KRaftLeaderEpoch, NodeId};

use super::arena::Arena;
use super::judge::Judgement;
use crate::cli::{Failure, Interrupt, Progress};
use crate::controller::VerifyReport;
use crate::seed::Random;

/// Elections of a rush.
const RUSH: u32 = 4;
/// Longer than this a sleeper's session does not last, beyond its timeout.
const EXPIRY_MARGIN: Duration = Duration::from_secs(2);

/// How to fight.
#[derive(Debug, Clone, Copy)]
pub struct FightOptions {
    /// Epochs in which the leader is let write. Others, whose leaders are replaced at once, come on top.
    pub epochs: u64,
    /// Decides who is elected, what happens to the others, and the changes.
    pub seed: u64,
    /// The rivals' session timeout.
    pub session_timeout: Duration,
}

/// How one epoch goes over into the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// The other is elected while the leader writes.
    Handover,
    /// The leader is elected again while it writes.
    Again,
    /// The leader falls asleep with writes in flight, the other is elected, the writes arrive, the sleeper wakes.
    Sleeper,
    /// The leader is cut off from the log with writes in flight, and still believes that it leads when the other does.
    Believer,
    /// The standby is elected in its sleep, then the leader again; it wakes up as a leader of the past.
    Dreamer,
    /// Several elections follow each other at once.
    Rush,
    /// The leader sleeps until its session has expired.
    LongSleep,
}

impl Turn {
    fn of(random: &mut Random) -> Self {
        match random.below(1000) {
            0..400 => Self::Handover,
            400..550 => Self::Again,
            550..700 => Self::Sleeper,
            700..850 => Self::Believer,
            850..920 => Self::Dreamer,
            920..995 => Self::Rush,
            _ => Self::LongSleep,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Handover => "handover",
            Self::Again => "again",
            Self::Sleeper => "sleeper",
            Self::Believer => "believer",
            Self::Dreamer => "dreamer",
            Self::Rush => "rush",
            Self::LongSleep => "long-sleep",
        }
    }
}

/// What came of a fight, as counted on our side; ZooKeeper's side is the [`Judgement`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FightCounts {
    /// Turns, by kind.
    pub turns: BTreeMap<&'static str, u64>,
    /// Epochs whose leader was replaced before it could write.
    pub passed_over: u64,
    /// Records in the log at the end.
    pub log_end: i64,
    /// Claims after which dual writing went on where it was.
    pub resumes: u64,
    /// Claims after which everything was synced, that of the copy included.
    pub full_syncs: u64,
    /// Claims that were refused, or failed.
    pub refused_claims: u64,
    /// Writes and barriers whose failure a deposed rival has seen.
    pub seen_bouncing: u64,
}

/// A fight and its end.
pub struct Fight {
    /// As counted on our side.
    pub counts: FightCounts,
    /// By ZooKeeper's own account.
    pub judgement: Judgement,
    /// The comparison at the end.
    pub verified: VerifyReport,
}

impl Fight {
    /// Fights it out in `arena`, whose first rival leads in `epoch` already.
    ///
    /// # Errors
    /// A rival does not do what it must, or ended. Broken invariants and differences are no errors: see the result.
    pub async fn out(
        arena: &mut Arena,
        epoch: KRaftLeaderEpoch,
        options: FightOptions,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        let leaders = BTreeMap::from([(epoch, arena.rival(0)?.node)]);
        let random = Random::of(options.seed, "fight", 0);
        let mut ring = Ring { arena, random, options, leader: 0, epoch, leaders, counts: FightCounts::default() };
        progress.advance(1);
        while (ring.leaders.len() as u64) < options.epochs && !interrupt.is_requested() {
            let turn = Turn::of(&mut ring.random);
            ring.take(turn)
                .await
                .map_err(|failure| failure.while_doing(format!("turn {} after epoch {}", turn.name(), ring.epoch)))?;
            *ring.counts.turns.entry(turn.name()).or_default() += 1;
            progress.advance(1);
        }
        if interrupt.is_requested() {
            return Err(Failure::failed("interrupted").why(format!("{} epochs were fought", ring.leaders.len())));
        }
        ring.end().await
    }
}

/// A fight under way.
struct Ring<'a> {
    arena: &'a mut Arena,
    random: Random,
    options: FightOptions,
    /// Who leads, in which epoch.
    leader: usize,
    epoch: KRaftLeaderEpoch,
    /// The leaders that were let write.
    leaders: BTreeMap<KRaftLeaderEpoch, NodeId>,
    counts: FightCounts,
}

impl Ring<'_> {
    fn other(&self) -> usize {
        1 - self.leader
    }

    async fn take(&mut self, turn: Turn) -> Result<(), Failure> {
        let (leader, other) = (self.leader, self.other());
        match turn {
            Turn::Handover => {
                self.burst().await?;
                self.elect(other).await
            }
            Turn::Again => {
                self.burst().await?;
                self.elect(leader).await
            }
            Turn::Sleeper => {
                self.writes_in_flight().await?;
                self.arena.rival(leader)?.pause()?;
                let elected = self.elect(other).await;
                // What was in flight arrives while its sender sleeps.
                self.arena.rival(leader)?.proxy.set_frozen(false);
                self.arena.rival(leader)?.wake()?;
                elected
            }
            Turn::Believer => {
                self.writes_in_flight().await?;
                let node = self.arena.rival(leader)?.node;
                let before = self.arena.rival(leader)?.seen().bounced;
                self.arena.log.cut_off(node);
                let elected = self.elect(other).await;
                self.arena.rival(leader)?.proxy.set_frozen(false);
                elected?;
                let what = "a write of a leader that was deposed without knowing bounces";
                let bounced = self.arena.rival(leader)?.wait(what, |seen| seen.bounced > before).await;
                self.arena.log.join(node);
                bounced.map(drop)
            }
            Turn::Dreamer => {
                self.arena.rival(other)?.pause()?;
                self.arena.elect(other)?;
                self.counts.passed_over += 1;
                let elected = self.elect(leader).await;
                self.arena.rival(other)?.wake()?;
                elected
            }
            Turn::Rush => {
                for _ in 1..RUSH {
                    let next = usize::from(self.random.percent(50));
                    self.arena.elect(next)?;
                    self.counts.passed_over += 1;
                    self.burst().await?;
                }
                self.elect(other).await
            }
            Turn::LongSleep => {
                self.arena.rival(leader)?.pause()?;
                self.burst().await?;
                self.elect(other).await?;
                tokio::time::sleep(self.options.session_timeout + EXPIRY_MARGIN).await;
                self.arena.rival(leader)?.wake()
            }
        }
    }

    /// Some changes, not waited for.
    async fn burst(&mut self) -> Result<(), Failure> {
        let count = 1 + self.random.below(12) as usize;
        self.arena.change(count).await
    }

    /// Changes that the leader has handed to ZooKeeper and that have not got there.
    async fn writes_in_flight(&mut self) -> Result<(), Failure> {
        let rival = self.arena.rival(self.leader)?;
        let end = self.arena.log.end().0;
        rival.proxy.set_frozen(true);
        self.burst().await?;
        let rival = self.arena.rival(self.leader)?;
        rival.wait("writes are on their way", |seen| seen.submitted > end).await.map(drop)
    }

    /// Elects a rival, has it write something, and waits until it has.
    async fn elect(&mut self, who: usize) -> Result<(), Failure> {
        self.epoch = self.arena.elect(who)?;
        self.leader = who;
        // Until it has claimed, the one before it may still write what comes into the log, and rightly so.
        let (rival, epoch) = (self.arena.rival(who)?, self.epoch.0);
        let what = format!("it dual-writes in epoch {epoch}");
        rival.wait(&what, |seen| seen.state == "DUAL_WRITE" && seen.epoch == Some(epoch)).await?;
        self.burst().await?;
        self.arena.wait_until_written(who, self.epoch).await?;
        self.leaders.insert(self.epoch, self.arena.rival(who)?.node);
        Ok(())
    }

    /// Both come to rest; what they did is judged.
    async fn end(mut self) -> Result<Fight, Failure> {
        let standby = self.other();
        self.arena.wait_until_written(self.leader, self.epoch).await?;
        self.arena.rival(standby)?.wait("it is a standby", |seen| seen.state == "INACTIVE").await?;
        let verified = self.arena.verify().await?;
        let mut judgement = Judgement::of(&self.arena.history()?, self.arena.chroot());
        judgement.hold_against(&self.leaders);
        for rival in &self.arena.rivals {
            let seen = rival.seen();
            self.counts.resumes += seen.resumes;
            self.counts.full_syncs += seen.full_syncs + seen.copies;
            self.counts.refused_claims += seen.refused_claims;
            self.counts.seen_bouncing += seen.bounced;
        }
        self.counts.log_end = self.arena.log.end().0;
        Ok(Fight { counts: self.counts, judgement, verified })
    }
}
