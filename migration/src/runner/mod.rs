//! The runner: carries out what the driver orders, and answers with events. One order is under way at a time; `Stop`
//! drops it. An answer carries the epoch of its order, and the driver takes none of another epoch.

#![expect(clippy::disallowed_methods, reason = "the runner is where time passes: attempts are made later")]

mod bootstrap;
mod handle;
mod options;
mod order;
mod registry;
mod telling;
mod watched;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use broker_registry::{Assessment, Presence};
use futures::future::BoxFuture;
use metadata_core::brokers::BrokerIds;
use metadata_core::controllers::{Announcer, Controllers};
use metadata_core::error::Result;
use metadata_core::id::{KRaftLeaderEpoch, Position};
use metadata_core::image::MetadataImage;
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::LeaderAndEpoch;
use metadata_core::record::ZkMigrationState;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

pub use self::handle::{Held, MigrationHandle};
pub use self::options::{MigrationOptions, RetryPolicy};

use self::handle::Word;
use self::order::{Claim, Shared, Work};
use self::registry::{Registering, Registry, registered};
use self::telling::{Telling, told};
use self::watched::{Voters, Watched, next_brokers, next_voters};
use crate::driver::{Answer, Decision, Driver, Effect, Event, Order, PeerFlags, State};
use crate::dual_write::{Acknowledged, DualWriteProgress, FinalizeRequest, Request};
use crate::finalization::{Finalization, FinalizeOptions, blockers, not_dual_writing};
use crate::ports::Ports;
use crate::resignation::should_resign;
use crate::status::{Status, Waiting};

/// The order under way.
struct UnderWay {
    epoch: Option<KRaftLeaderEpoch>,
    work: Work,
}

/// When to try again, and in which epoch that was decided. A deadline, not a pause: whatever else happens meanwhile, the
/// attempt comes.
#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    epoch: Option<KRaftLeaderEpoch>,
}

/// A request of the driver itself to finalize, until it is answered.
struct Finalizing {
    epoch: Option<KRaftLeaderEpoch>,
    answer: oneshot::Receiver<Result<Finalization>>,
}

/// A migration that can be run.
pub struct Migration {
    shared: Shared,
    options: MigrationOptions,
    driver: Driver,
    claim: Claim,
    presence: Presence,
    registering: Option<Registering>,
    /// Tells brokers in ZooKeeper mode, if anybody does.
    telling: Option<Telling>,
    assessment: Option<Assessment>,
    zookeeper_at: Option<Position>,
    sync: Option<metadata_core::store::SyncReport>,
    to_writer: Option<mpsc::Sender<Request>>,
    finalizing: Option<Finalizing>,
    /// Since when ZooKeeper has not been reached.
    out_of_reach_since: Option<Instant>,
    /// When it was last looked whether to resign for that.
    looked_at: Option<Instant>,
    retry: Option<Retry>,
    /// Since when the driver is in its state, and since when it waits for something.
    since: Instant,
    waiting_since: Option<Instant>,
    status: watch::Sender<Status>,
    inputs: Option<Inputs>,
}

/// What the loop listens to, beside the log.
struct Inputs {
    broker_ids: Box<dyn BrokerIds>,
    controllers: Box<dyn Controllers>,
    words: mpsc::Receiver<Word>,
    stop: watch::Receiver<bool>,
    /// The work of `telling`.
    tells: Option<BoxFuture<'static, ()>>,
}

impl Migration {
    /// A migration over these ports, and a handle on it.
    pub fn new(ports: Ports, options: MigrationOptions) -> (Self, MigrationHandle) {
        let (stop_sender, stop) = watch::channel(false);
        let (word_sender, words) = mpsc::channel(8);
        let since = Instant::now();
        let status = watch::Sender::new(Status::first(&ports.log.image(), since));
        let registry = Registry::new(&options);
        let handle = MigrationHandle {
            status: status.subscribe(),
            words: word_sender,
            stop: Arc::new(stop_sender),
            registry: registry.clone(),
            log: Arc::clone(&ports.log),
        };
        let listener = options.inter_broker_listener.clone().unwrap_or_else(|| "PLAINTEXT".to_owned());
        let telling = ports.channel.map(|channel| Telling::new(Arc::clone(&ports.log), channel, listener));
        let (telling, tells) = telling.unzip();
        let migration = Self {
            shared: Shared {
                log: ports.log,
                zookeeper: ports.zookeeper,
                projection: ports.projection,
                assigned_replicas: ports.assigned_replicas,
                registry,
                voters: Arc::new(watch::Sender::new(Watched::NotYet)),
                copy: Arc::default(),
                dual_write: Arc::new(watch::Sender::new(DualWriteProgress::default())),
                acknowledged: Acknowledged::default(),
                overrules: Arc::new(AtomicBool::new(options.overrule_zk_governed)),
            },
            options,
            driver: Driver::default(),
            claim: Claim::default(),
            presence: Presence::new(),
            registering: None,
            telling,
            assessment: None,
            zookeeper_at: None,
            sync: None,
            to_writer: None,
            finalizing: None,
            retry: None,
            out_of_reach_since: None,
            looked_at: None,
            since,
            waiting_since: None,
            status,
            inputs: Some(Inputs { broker_ids: ports.broker_ids, controllers: ports.controllers, words, stop, tells }),
        };
        (migration, handle)
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// The log's, when it can't say any more who leads: it was stopped, or is damaged. Every other failure is part of the
    /// migration's life and shows in its status.
    pub async fn run(mut self) -> Result<()> {
        let Some(Inputs { broker_ids, controllers, mut words, mut stop, mut tells }) = self.inputs.take() else {
            return Ok(());
        };
        let log = Arc::clone(&self.shared.log);
        let (mut copy, mut dual_write) = (self.shared.copy.subscribe(), self.shared.dual_write.subscribe());
        let retry_first = self.options.retry.first;
        let again_after = |failed: bool| if failed { retry_first } else { Duration::ZERO };
        let announcer = controllers.announcer();
        let mut brokers = next_brokers(broker_ids, Duration::ZERO);
        let mut voters = next_voters(controllers, Duration::ZERO);
        let mut sessions = self.shared.registry.sessions.subscribe();
        let mut known: Option<LeaderAndEpoch> = None;
        let mut under_way: Option<UnderWay> = None;
        loop {
            self.publish();
            let log_end = log.image().position().end_offset;
            let answer = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                leader = log.leadership(known) => {
                    let leader = leader?;
                    let news = news_of(known, leader);
                    known = Some(leader);
                    news
                }
                (epoch, event, claim) = answered(&mut under_way) => {
                    under_way = None;
                    self.claim = claim;
                    Some(Answer { epoch, event })
                }
                () = passed(self.resigns_at()) => {
                    self.resign_if_another_could_go_on();
                    None
                }
                epoch = due(self.retry) => {
                    self.retry = None;
                    Some(Answer { epoch, event: Event::RetryDue })
                }
                (epoch, event) = finalization_answered(&mut self.finalizing) => {
                    self.finalizing = None;
                    event.map(|event| Answer { epoch, event })
                }
                (broker_ids, seen) = &mut brokers, if !self.is_over() => {
                    brokers = next_brokers(broker_ids, again_after(seen.is_err()));
                    self.zookeeper_answered(seen.is_ok(), announcer.as_deref());
                    let news = self.shared.registry.brokers_changed(&mut self.presence, seen);
                    self.brokers_look_otherwise(news)
                }
                () = registered(&mut self.registering) => self.brokers_look_otherwise(true),
                () = told(&mut tells) => None,
                _ = sessions.changed() => self.brokers_look_otherwise(true),
                (controllers, seen) = &mut voters => {
                    voters = next_voters(controllers, again_after(seen.is_err()));
                    self.voters_changed(seen)
                }
                Some(word) = words.recv() => {
                    self.hear(word);
                    None
                }
                _ = copy.changed() => None,
                _ = dual_write.changed() => self.dual_writing_got_on(),
                _ = log.committed(log_end) => None,
            };
            let Some(answer) = answer else { continue };
            let before = self.driver.state;
            self.take(answer, &mut under_way);
            if self.driver.state == State::DualWrite && before != State::DualWrite {
                // Voters may have changed since the decision, when there was nothing that they could end.
                if let Some(news) = self.flags_look_otherwise() {
                    self.take(news, &mut under_way);
                }
            }
            let (leadership, decision) = (self.driver.leadership, self.driver.decision);
            if let Some(telling) = self.telling.as_ref().filter(|_| leadership.is_none()) {
                telling.stop();
            }
            let running = self.registering.take();
            self.registering = Registering::kept(running, &log, leadership, decision, &self.shared.registry);
        }
    }

    /// Takes whether ZooKeeper was reached, and tells the other controllers.
    fn zookeeper_answered(&mut self, reached: bool, announcer: Option<&dyn Announcer>) {
        if let Some(announcer) = announcer {
            announcer.zookeeper_reachable(reached);
        }
        self.out_of_reach_since = match self.out_of_reach_since {
            _ if reached => None,
            None => Some(Instant::now()),
            since => since,
        };
    }

    /// When it is to be looked whether this leader should resign; never, while ZooKeeper is reached or this one does not lead.
    fn resigns_at(&self) -> Option<Instant> {
        self.driver.leadership?;
        let due = self.out_of_reach_since? + self.options.resign_after;
        // Looked at again and again, since another voter may reach it later.
        Some(due.max(self.looked_at.map_or(due, |looked| looked + self.options.resign_after)))
    }

    fn resign_if_another_could_go_on(&mut self) {
        self.looked_at = Some(Instant::now());
        let Some(KraftLeadership { id, epoch }) = self.driver.leadership else { return };
        let voters = self.shared.voters.borrow();
        let Some(voters) = voters.known() else { return };
        let out_of_reach = self.out_of_reach_since.map(|since| since.elapsed());
        let state = self.shared.log.image().zk_migration_state();
        if should_resign(state, id, out_of_reach, self.options.resign_after, voters) {
            tracing::warn!(%epoch, "ZooKeeper is out of reach here and not for another voter: this controller resigns");
            self.shared.log.resign(epoch);
        }
    }

    /// Whether nothing of ZooKeeper concerns us any more, or ever did: it may be switched off, and nobody minds.
    fn is_over(&self) -> bool {
        // A follower decides nothing, and learns it from the log.
        self.shared.log.image().zk_migration_state() == ZkMigrationState::PostMigration
            || matches!(self.driver.decision, Some(Decision::Finalized | Decision::PlainKRaft))
    }

    fn take(&mut self, answer: Answer, under_way: &mut Option<UnderWay>) {
        if self.driver.is_current(&answer) {
            self.note(&answer.event);
        }
        for order in self.step(answer) {
            self.carry_out(order, under_way);
        }
    }

    /// One step of the driver, and what a status tells of it.
    fn step(&mut self, answer: Answer) -> Vec<Order> {
        let before = self.driver.state;
        let orders = self.driver.step(answer);
        if before != self.driver.state {
            self.since = Instant::now();
            tracing::info!(state = %self.driver.state, from = %before, reason = self.driver.reason, "driver state");
        }
        match &self.driver.reason {
            None => self.waiting_since = None,
            Some(_) => self.waiting_since = self.waiting_since.or_else(|| Some(Instant::now())),
        }
        orders
    }

    fn carry_out(&mut self, Order { epoch, effect }: Order, under_way: &mut Option<UnderWay>) {
        match effect {
            Effect::Stop => {
                *under_way = None;
                self.retry = None;
                self.claim = Claim::default();
                self.to_writer = None;
                self.finalizing = None;
            }
            Effect::RetryLater => {
                let pause = self.options.retry.pause(self.driver.attempt);
                self.retry = Some(Retry { at: Instant::now() + pause, epoch });
            }
            Effect::Report => {
                for warning in &self.driver.warnings {
                    tracing::warn!(state = %self.driver.state, warning, "the migration goes on");
                }
                if let Some(reason) = &self.driver.reason {
                    tracing::warn!(state = %self.driver.state, reason, "waiting");
                }
            }
            Effect::Finalize => {
                self.retry = None;
                self.finalizing = self.ask_to_finalize(FinalizeOptions::default(), epoch);
            }
            order => {
                self.retry = None;
                *under_way = self.order(order).map(|work| UnderWay { epoch, work });
            }
        }
    }

    /// Keeps what the driver does not need and the status shows.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Synced(report) => {
                self.sync = Some(report.clone());
                self.zookeeper_at = self.shared.acknowledged.position();
            }
            // A claim that the copy follows is of a ZooKeeper that was never written.
            Event::Claimed(claimed) if claimed.position.last().is_some() => self.zookeeper_at = Some(claimed.position),
            Event::BrokersJudged(_) | Event::Rehearsed => self.assess(),
            Event::LeadershipGained(leadership) => {
                if let Some(voters) = self.shared.voters.borrow().known() {
                    self.shared.registry.voters_changed(voters, Some(leadership.id));
                }
            }
            Event::Failed(error) => tracing::warn!(error = crate::failure::chain(error), "order failed"),
            _ => {}
        }
    }

    /// Takes news of the dual writer: where ZooKeeper is, and, while there is a failure to forget, that it gets on.
    fn dual_writing_got_on(&mut self) -> Option<Answer> {
        let progress = *self.shared.dual_write.borrow();
        if self.driver.state != State::DualWrite {
            return None;
        }
        self.zookeeper_at = Some(progress.acknowledged);
        let news = progress.confirmed && self.driver.failed_by.is_some();
        news.then(|| Answer { epoch: self.driver.epoch(), event: Event::InStep })
    }

    /// The brokers, or what is known of them, changed: whoever waits for them looks again at once.
    fn brokers_look_otherwise(&mut self, news: bool) -> Option<Answer> {
        if news {
            self.assess();
        }
        self.hurry(news && self.driver.state == State::WaitForBrokers)
    }

    fn assess(&mut self) {
        self.assessment = self.shared.registry.assess_now(&self.shared.log.image());
    }

    /// Takes what the voters announce, or that it can't be told.
    fn voters_changed(&mut self, voters: Result<Voters>) -> Option<Answer> {
        match voters {
            Ok(now) => {
                self.shared.registry.voters_changed(&now, self.driver.leadership.map(|leadership| leadership.id));
                self.shared.voters.send_replace(Watched::Known(now));
            }
            Err(error) => {
                Watched::lose(&self.shared.voters, &error, "what the controllers announce can't be told now");
            }
        }
        self.flags_look_otherwise()
    }

    /// What the voters say may have changed: whoever waits for them looks again at once. Whoever dual-writes learns how they
    /// disagree now, and without the flag that nobody has it any more.
    fn flags_look_otherwise(&mut self) -> Option<Answer> {
        let leadership = self.driver.leadership?;
        let own = self.options.migration_enable;
        let known = self.shared.voters.borrow().known().is_some();
        match self.driver.state {
            State::WaitForControllerQuorum => return self.hurry(known),
            State::DualWrite => {}
            _ => return None,
        }
        let expected = order::expected_of_controllers(&self.shared.log.image(), leadership.id, &self.options);
        let peers = self.shared.voters.borrow().peers(&expected, own);
        if !own && peers.flags == PeerFlags::Nowhere {
            let known = self.driver.decision == Some(Decision::DualWriteToFinalize);
            return if known {
                self.hurry(true)
            } else {
                Some(Answer { epoch: self.driver.epoch(), event: Event::FlagsGone })
            };
        }
        let agreed = own && peers.flags == PeerFlags::Everywhere;
        let warnings = if agreed { Vec::new() } else { peers.disagreement(own, true) };
        let news = warnings != self.driver.warnings;
        news.then(|| Answer { epoch: self.driver.epoch(), event: Event::FlagsDiffer(warnings) })
    }

    /// Makes the next attempt due at once, if one is planned.
    fn hurry(&mut self, now: bool) -> Option<Answer> {
        let retry = if now { self.retry.take() } else { None };
        retry.map(|retry| Answer { epoch: retry.epoch, event: Event::RetryDue })
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Hold(hold) => self.pass_on(Request::Hold(hold)),
            Word::Finalize(options, answer) => {
                if self.driver.state != State::DualWrite {
                    // Whoever asked and went away does not need the answer.
                    let _ = answer.send(Err(not_dual_writing(self.driver.state)));
                } else if let Some(request) = self.finalize_request(options, answer) {
                    self.pass_on(request);
                }
            }
        }
    }

    fn ask_to_finalize(&self, options: FinalizeOptions, epoch: Option<KRaftLeaderEpoch>) -> Option<Finalizing> {
        let (sender, answer) = oneshot::channel();
        self.pass_on(self.finalize_request(options, sender)?);
        Some(Finalizing { epoch, answer })
    }

    /// The request, with guards that look at what is there when they are asked.
    fn finalize_request(
        &self,
        options: FinalizeOptions,
        answer: oneshot::Sender<Result<Finalization>>,
    ) -> Option<Request> {
        let KraftLeadership { id, epoch } = self.driver.leadership?;
        let (brokers, voters) = (self.shared.registry.brokers.subscribe(), self.shared.voters.subscribe());
        let migration_options = self.options.clone();
        let guard = move |image: &MetadataImage| {
            let expected = order::expected_of_controllers(image, id, &migration_options);
            let peers = voters.borrow().peers(&expected, false);
            blockers(image, brokers.borrow().known(), &peers, options)
        };
        let projection = Arc::clone(&self.shared.projection);
        Some(Request::Finalize(FinalizeRequest { guard: Box::new(guard), projection, epoch, answer }))
    }

    /// Hands a request to the dual writer. Full or gone: dropping the request tells the asker.
    fn pass_on(&self, request: Request) {
        if let Some(writer) = &self.to_writer {
            let _ = writer.try_send(request);
        }
    }

    fn publish(&self) {
        let image = self.shared.log.image();
        // Nobody gives the role back, and in state MIGRATION it is ours across restarts; but not after somebody else took it.
        let copied = image.zk_migration_state() == ZkMigrationState::Migration;
        let finalized = image.zk_migration_state() == ZkMigrationState::PostMigration;
        let holds_role = (self.driver.holds_role || copied) && self.driver.state != State::ZkGoverned && !finalized;
        let next_attempt = self.retry.map(|retry| retry.at);
        let waiting = self.driver.reason.clone().map(|reason| Waiting {
            reason,
            since: self.waiting_since.unwrap_or(self.since),
            next_attempt,
        });
        self.status.send_modify(|status| {
            status.state = self.driver.state;
            status.since = self.since;
            status.decision = self.driver.decision;
            status.log_state = image.zk_migration_state();
            status.log_end = image.position();
            status.zookeeper_at = self.zookeeper_at;
            status.leadership = self.driver.leadership;
            status.claimed = self.driver.claimed;
            status.reason.clone_from(&self.driver.reason);
            status.waiting = waiting;
            status.warnings.clone_from(&self.driver.warnings);
            status.blocked_by = self.driver.failed_by;
            status.attempt = self.driver.attempt;
            status.copy = self.shared.copy.borrow().clone();
            status.sync.clone_from(&self.sync);
            status.dual_write = *self.shared.dual_write.borrow();
            status.brokers.clone_from(self.presence.brokers());
            status.assessment.clone_from(&self.assessment);
            status.registrar = self.registering.as_ref().map(Registering::report);
            status.voters = self.shared.voters.borrow().known().cloned().unwrap_or_default();
            status.serves_brokers = self.telling.is_some();
            let unserved = holds_role && self.telling.is_none();
            status.unserved = if unserved { self.presence.brokers().keys().copied().collect() } else { Vec::new() };
        });
    }

    /// Starts an order.
    fn order(&mut self, order: Effect) -> Option<Work> {
        let claim = std::mem::take(&mut self.claim);
        let (shared, options) = (self.shared.clone(), &self.options);
        let leadership = self.driver.leadership?;
        Some(match order {
            Effect::Survey => shared.survey(claim, leadership, options),
            Effect::BootstrapKRaft => shared.bootstrap(claim, leadership, options, ZkMigrationState::None),
            Effect::BootstrapMigration => shared.bootstrap(claim, leadership, options, ZkMigrationState::PreMigration),
            Effect::JudgeBrokers => shared.judge_brokers(claim),
            Effect::Rehearse => shared.rehearse(claim, leadership, options),
            Effect::Claim => shared.claim(leadership),
            Effect::Copy => shared.copy(claim, leadership),
            Effect::Sync => shared.sync(claim, leadership),
            // Without a channel nobody is served, and the status says so.
            Effect::TellBrokers => {
                let (telling, claimed) = (self.telling.clone(), self.driver.claimed);
                Box::pin(async move {
                    if let (Some(telling), Some(claimed)) = (telling, claimed) {
                        telling.everything(claimed).await;
                    }
                    (Event::BrokersTold, claim)
                })
            }
            Effect::DualWrite => {
                let (sender, requests) = mpsc::channel(8);
                self.to_writer = Some(sender);
                shared.dual_write(claim, leadership, self.driver.claimed, requests)
            }
            Effect::Stop | Effect::RetryLater | Effect::Report | Effect::Finalize => return None,
        })
    }
}

/// The order under way; never, while there is none.
async fn answered(under_way: &mut Option<UnderWay>) -> (Option<KRaftLeaderEpoch>, Event, Claim) {
    match under_way {
        Some(UnderWay { epoch, work }) => {
            let (event, claim) = work.await;
            (*epoch, event, claim)
        }
        None => std::future::pending().await,
    }
}

/// The answer to the driver's own request to finalize. That it is done is the dual writer's last word, and is told by it.
async fn finalization_answered(finalizing: &mut Option<Finalizing>) -> (Option<KRaftLeaderEpoch>, Option<Event>) {
    let Some(Finalizing { epoch, answer }) = finalizing else { return std::future::pending().await };
    let event = match answer.await {
        Ok(Ok(Finalization::Refused(blockers))) => {
            Some(Event::FinalizationRefused(blockers.iter().map(ToString::to_string).collect()))
        }
        Ok(Err(error)) => Some(Event::FinalizationRefused(vec![crate::failure::chain(&error)])),
        // Dropped. Had the dual writer ended, its last word would have come first: so it had no room for the request.
        Err(_) => Some(Event::FinalizationRefused(vec!["dual writing has too many other requests now".to_owned()])),
        Ok(Ok(Finalization::Done(_))) => None,
    };
    (*epoch, event)
}

/// Returns at this time; never, without one.
async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The time of the next attempt; never, while there is none.
async fn due(retry: Option<Retry>) -> Option<KRaftLeaderEpoch> {
    match retry {
        Some(Retry { at, epoch }) => {
            tokio::time::sleep_until(at).await;
            epoch
        }
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Every handle is gone: nobody can stop us but the process.
        std::future::pending::<()>().await;
    }
}

fn news_of(known: Option<LeaderAndEpoch>, now: LeaderAndEpoch) -> Option<Answer> {
    let gained = now.active && known.is_none_or(|known| !known.active || known.epoch != now.epoch);
    match now.leader {
        Some(id) if gained => Some(Answer::leadership(Some(KraftLeadership { id, epoch: now.epoch }))),
        _ if now.active => None,
        _ => Some(Answer::leadership(None)),
    }
}
