//! Makes changes: decides on the newest image, and appends what follows, as the active controller does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata_core::contract::Workload;
use metadata_core::error::{Error, ErrorKind, Outcome};
use metadata_core::id::{KRaftLeaderEpoch, NodeId, Offset};
use metadata_core::image::{MetadataDelta, MetadataImage};
use metadata_core::log::{Append, MetadataLog};
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{VersionedRecord, ZkMigrationState, record_version};
use metadata_core::store::{Receipt, Txn};
use migration::gate::{Gate, GateError, WriteClass};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::fresh::fresh_uuid;
use super::rollback::Over;
use crate::change::{Change, Ground, decide};
use crate::cli::Failure;
use crate::control::{ChangesMade, Reporter};

/// How often a change is decided anew because the log grew in between.
const ATTEMPTS_MAX: u32 = 20;
/// Random changes that may wait for their answer.
const IN_FLIGHT_MAX: usize = 256;
/// How long a change waits until ZooKeeper has come close enough: as long as Kafka's clients wait for an answer by default.
const GATE_WAIT_MAX: Duration = Duration::from_secs(30);
/// Random changes between two words about how far they are.
const REPORT_EVERY: u64 = 50;

/// The lowest metadata version at which random changes can be made: they contain delegation tokens.
pub const fn random_changes_need() -> MetadataVersion {
    MetadataVersion::V3_6_IV2
}

/// The epoch in which this controller may append, in a log that may be changed.
async fn ready(log: &dyn MetadataLog) -> Result<KRaftLeaderEpoch, Failure> {
    let leader = log.leadership(None).await?;
    if !leader.active {
        let who = leader.leader.map_or_else(|| "nobody".to_owned(), |id| format!("node {id}"));
        return Err(Failure::failed("this controller can't make changes")
            .why(format!("{who} leads the metadata quorum"))
            .next("ask the active controller"));
    }
    match log.image().zk_migration_state() {
        ZkMigrationState::Migration | ZkMigrationState::PostMigration => Ok(leader.epoch),
        ZkMigrationState::None | ZkMigrationState::PreMigration | ZkMigrationState::Zk => {
            Err(Failure::blocked("no change can be made yet")
                .why(
                    "ZooKeeper's metadata is not copied yet, and the brokers' controller is still the one in ZooKeeper",
                )
                .next("wait until `status` says MIGRATION"))
        }
    }
}

/// The way into the log.
#[derive(Debug)]
pub(super) struct Entrance {
    /// Says what may be written now.
    pub(super) gate: Gate,
    /// Changes are made one after the other, so that random ones can predict their offsets. Never held while something
    /// waits at the gate: what need not wait must get past it.
    pub(super) one_at_a_time: Arc<Mutex<()>>,
    wait_max: Duration,
    /// How a rollback ended, once one has.
    over: watch::Receiver<Over>,
}

impl Entrance {
    pub(super) fn new(gate: Gate, over: watch::Receiver<Over>) -> Self {
        Self { gate, one_at_a_time: Arc::default(), wait_max: GATE_WAIT_MAX, over }
    }

    /// Waits until it is this change's turn. After a rollback none comes: what is changed would reach ZooKeeper no more.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, Failure> {
        let turn = self.one_at_a_time.lock().await;
        if self.over.borrow().is_none() {
            return Ok(turn);
        }
        Err(Failure::blocked("nothing can be changed any more")
            .why("this controller was rolled back, and ends")
            .next("make the change with Kafka's own tools: the brokers govern themselves"))
    }

    async fn wait(&self, class: WriteClass) -> Result<(), Failure> {
        self.gate.pass(class, self.wait_max).await.map(drop).map_err(held_back)
    }
}

fn held_back(error: GateError) -> Failure {
    let failure = Failure::blocked("no change can be made now").why(error.to_string());
    match error {
        GateError::Refused { .. } => failure.next("wait until `status` says MIGRATION"),
        _ => failure.next("`status` says why ZooKeeper does not follow; try again when it does"),
    }
}

/// Makes one change. Returns when it is committed.
pub(super) async fn make(
    log: &dyn MetadataLog,
    entrance: &Entrance,
    alive: &BTreeSet<NodeId>,
    change: &Change,
) -> Result<ChangesMade, Failure> {
    ready(log).await?;
    entrance.wait(change.write_class()).await?;
    let _one_at_a_time = entrance.turn().await?;
    let epoch = ready(log).await?;
    let fresh_id = fresh_uuid()?;
    let start = Instant::now();
    for _ in 0..ATTEMPTS_MAX {
        let image = log.image();
        let decision = decide(change, &Ground { image: &image, alive, fresh_id })
            .map_err(|refusal| Failure::failed("the change is refused").why(refusal.reason).next(refusal.next))?;
        let expected = image.position().end_offset;
        let records = decision.records.len() as u64;
        let append = Append { epoch, expected: Some(expected), txn: Txn::None, records: decision.records };
        match log.append(append).await {
            Ok(position) => {
                return Ok(ChangesMade {
                    changes: 1,
                    records,
                    last_offset: position.end_offset.0 - 1,
                    summary: Some(decision.summary),
                    append_seconds: start.elapsed().as_secs_f64(),
                });
            }
            // Somebody else's records came first: decide on the image that has them.
            Err(error) if error.kind() == ErrorKind::Conflict && error.outcome() == Outcome::NotApplied => {
                log.committed(expected).await?;
            }
            Err(error) => return Err(not_made(error)),
        }
    }
    Err(Failure::failed("the change was not made")
        .why(format!("the log grew {ATTEMPTS_MAX} times between the decision and the append"))
        .next("try again"))
}

fn not_made(error: Error) -> Failure {
    let unknown = error.outcome() == Outcome::Unknown;
    let failure = Failure::from(error);
    if unknown {
        failure
            .while_doing("it is not known whether the change was made")
            .next("look whether it is there before you try again: `status` says where the log ends")
    } else {
        failure.while_doing("the change was not made").next("ask `status` why, then try again")
    }
}

/// A change that is on its way.
struct Sent {
    receipt: Receipt,
    records: u64,
}

/// Makes `count` random changes, many in flight: each is decided on the image that the ones before it will have made. When
/// they have to wait at the gate, others get their turn.
///
/// # Errors
/// The first change that was not taken, and how many were before it.
pub(super) async fn make_random(
    log: &dyn MetadataLog,
    entrance: &Entrance,
    count: u64,
    seed: u64,
    reporter: &Reporter,
) -> Result<ChangesMade, Failure> {
    let epoch = ready(log).await?;
    entrance.wait(WriteClass::Administrative).await?;
    let mut one_at_a_time = entrance.turn().await?;
    let image = log.image();
    let version = image.metadata_version_or_lowest();
    if version < random_changes_need() {
        return Err(Failure::failed("no random changes can be made")
            .why(format!("they contain delegation tokens, and the log is at metadata version {version}"))
            .next(format!("start a migration with --metadata-version {} or newer", random_changes_need())));
    }
    let mut made = ChangesMade {
        changes: 0,
        records: 0,
        last_offset: image.position().end_offset.0 - 1,
        summary: None,
        append_seconds: 0.0,
    };
    let start = Instant::now();
    let mut source = Source::new(image, seed);
    let mut sent: VecDeque<Sent> = VecDeque::new();
    let mut failed = None;
    let mut asked = 0;
    while failed.is_none() && (asked < count || !sent.is_empty()) {
        let open = entrance.gate.try_pass(WriteClass::Administrative).map_err(held_back);
        let open = open.map_err(|failure| of_random(failure, &made))?.is_some();
        if asked < count && sent.is_empty() && !open {
            drop(one_at_a_time);
            entrance.wait(WriteClass::Administrative).await.map_err(|failure| of_random(failure, &made))?;
            one_at_a_time = entrance.turn().await?;
            source.go_on_from(log.image());
            continue;
        }
        if asked < count && sent.len() < IN_FLIGHT_MAX && open {
            let (expected, records) = source.next(version)?;
            let number = records.len() as u64;
            let receipt = log.append(Append { epoch, expected: Some(expected), txn: Txn::None, records });
            sent.push_back(Sent { receipt, records: number });
            asked += 1;
            continue;
        }
        failed = settle_first(&mut sent, &mut made).await;
        if made.changes.is_multiple_of(REPORT_EVERY) {
            reporter.report(made.changes, Some(count), "changes");
            // Whoever runs on the same thread gets a turn, however fast the log answers.
            tokio::task::yield_now().await;
        }
    }
    made.append_seconds = start.elapsed().as_secs_f64();
    match failed {
        None => Ok(made),
        // Those behind it were decided on what was not taken, so they are refused; their answers are not needed.
        Some(error) => Err(of_random(not_made(error), &made)),
    }
}

/// A failure after some changes.
fn of_random(failure: Failure, made: &ChangesMade) -> Failure {
    failure.field("made", serde_json::to_value(made).unwrap_or_default())
}

async fn settle_first(sent: &mut VecDeque<Sent>, made: &mut ChangesMade) -> Option<Error> {
    let Sent { receipt, records } = sent.pop_front()?;
    match receipt.await {
        Ok(position) => {
            made.changes += 1;
            made.records += records;
            made.last_offset = position.end_offset.0 - 1;
            None
        }
        Err(error) => Some(error),
    }
}

/// The stream of random changes.
struct Source {
    workload: Workload,
    image: MetadataDelta,
    end: Offset,
}

impl Source {
    fn new(image: MetadataImage, seed: u64) -> Self {
        let end = image.position().end_offset;
        Self { workload: Workload::new(seed).at(end), image: MetadataDelta::new(&image), end }
    }

    /// Goes on from this image, if others have changed the log meanwhile. Everything sent so far has been answered.
    fn go_on_from(&mut self, image: MetadataImage) {
        let end = image.position().end_offset;
        if end != self.end {
            (self.image, self.end) = (MetadataDelta::new(&image), end);
        }
    }

    /// The next change and the offset at which it must land (inclusive).
    fn next(&mut self, version: MetadataVersion) -> Result<(Offset, Vec<VersionedRecord>), Failure> {
        let change: Vec<_> = self
            .workload
            .next_change(self.image.image())
            .into_iter()
            .map(|VersionedRecord { record, .. }| VersionedRecord { version: record_version(&record, version), record })
            .collect();
        self.image.replay_all(&change).map_err(|error| {
            Failure::failed("the next random change makes no sense on this metadata")
                .because(&error)
                .next("try another --seed, and report this one")
        })?;
        let expected = self.end;
        self.end = expected.plus(i64::try_from(change.len()).unwrap_or(i64::MAX));
        Ok((expected, change))
    }
}

#[cfg(test)]
mod tests {
    use metadata_core::contract::MemLog;
    use metadata_core::record::{FeatureLevelRecord, MetadataRecord};

    use migration::gate::{DivergenceBudget, Lag, LogPhase, Observation};

    use super::*;
    use crate::cli::Exit;

    async fn log(state: ZkMigrationState, version: MetadataVersion) -> MemLog {
        let log = MemLog::new();
        let epoch = log.elect(NodeId(3000)).epoch;
        let level = FeatureLevelRecord {
            name: MetadataVersion::FEATURE_NAME.to_owned(),
            feature_level: version.level(),
            ..Default::default()
        };
        let records = vec![VersionedRecord::new(level, 0), VersionedRecord::new(state.to_record(), 0)];
        let expected = log.end().await.unwrap().end_offset;
        log.append(Append { epoch, expected: Some(expected), txn: Txn::None, records }).await.unwrap();
        log
    }

    /// An entrance to this log, ZooKeeper being so many records behind it.
    fn entrance(log: &MemLog, records: u64) -> Entrance {
        let lag = Some(Lag { records, ms: 0 });
        let seen = Observation { phase: LogPhase::of(&log.image()), lag };
        let budget = DivergenceBudget { lag_records_max: 100, lag_ms_max: 1000 };
        Entrance::new(Gate::new(seen, budget), watch::Sender::new(None).subscribe())
    }

    fn create(name: &str) -> Change {
        Change::CreateTopic { name: name.into(), partitions: 2, replication_factor: 1, configs: Default::default() }
    }

    #[tokio::test]
    async fn a_change_is_in_the_log_when_it_is_answered() {
        let log = log(ZkMigrationState::Migration, MetadataVersion::V3_9_IV0).await;
        let alive = BTreeSet::from([NodeId(1)]);
        let made = make(&log, &entrance(&log, 0), &alive, &create("orders")).await.unwrap();
        assert_eq!((made.changes, made.records), (1, 3));
        assert_eq!(made.last_offset + 1, log.end().await.unwrap().end_offset.0);
        assert!(log.image().topics().id("orders").is_some());
        let refused = make(&log, &entrance(&log, 0), &alive, &create("orders")).await.unwrap_err();
        assert!(refused.to_string().contains("topic orders exists already"), "{refused}");
        assert_eq!(log.end().await.unwrap().end_offset.0, made.last_offset + 1, "nothing of it was written");
    }

    #[tokio::test]
    async fn no_change_is_made_before_the_copy_or_without_leadership() {
        let alive = BTreeSet::from([NodeId(1)]);
        let bootstrapped = log(ZkMigrationState::PreMigration, MetadataVersion::V3_9_IV0).await;
        // Nor before the first records: a topic would make the log one that can't be migrated into.
        let empty = MemLog::new();
        empty.elect(NodeId(3000));
        for early in [bootstrapped, empty] {
            assert_eq!(
                make(&early, &entrance(&early, 0), &alive, &create("t")).await.unwrap_err().exit(),
                Exit::Blocked
            );
            let (reporter, _reports) = Reporter::new();
            assert_eq!(
                make_random(&early, &entrance(&early, 0), 1, 1, &reporter).await.unwrap_err().exit(),
                Exit::Blocked
            );
            assert!(early.image().topics().is_empty());
        }

        let deposed = log(ZkMigrationState::Migration, MetadataVersion::V3_9_IV0).await;
        deposed.resign();
        let failure = make(&deposed, &entrance(&deposed, 0), &alive, &create("t")).await.unwrap_err();
        assert!(failure.to_string().contains("leads the metadata quorum"), "{failure}");
    }

    #[tokio::test]
    async fn random_changes_follow_from_the_seed() {
        let (reporter, _reports) = Reporter::new();
        let mut images = Vec::new();
        for _ in 0..2 {
            let log = log(ZkMigrationState::Migration, MetadataVersion::V3_9_IV0).await;
            let made = make_random(&log, &entrance(&log, 0), 500, 7, &reporter).await.unwrap();
            assert_eq!(made.changes, 500);
            assert_eq!(made.last_offset + 1, log.end().await.unwrap().end_offset.0);
            // The same seed again goes on: no name and no id is made twice.
            make_random(&log, &entrance(&log, 0), 500, 7, &reporter).await.unwrap();
            let batches = log.read(Offset(0), usize::MAX).await.unwrap();
            let records = batches.iter().flat_map(|batch| batch.records.iter()).map(|record| &record.record);
            let ids: Vec<_> = records
                .filter_map(|record| match record {
                    MetadataRecord::Topic(topic) => Some(topic.topic_id),
                    _ => None,
                })
                .collect();
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "no topic id is ever given twice");
            images.push(log.image());
        }
        assert!(images[0].same_metadata(&images[1]));
        assert!(!images[0].topics().is_empty());
    }

    #[tokio::test]
    async fn random_changes_need_a_log_that_can_hold_them() {
        let (reporter, _reports) = Reporter::new();
        let old = log(ZkMigrationState::Migration, MetadataVersion::V3_6_IV1).await;
        let failure = make_random(&old, &entrance(&old, 0), 1, 1, &reporter).await.unwrap_err();
        assert!(failure.to_string().contains("3.6-IV1"), "{failure}");
        let least = log(ZkMigrationState::Migration, random_changes_need()).await;
        assert_eq!(make_random(&least, &entrance(&least, 0), 200, 1, &reporter).await.unwrap().changes, 200);
    }

    #[tokio::test]
    async fn while_zookeeper_is_too_far_behind_only_an_election_gets_through() {
        let log = log(ZkMigrationState::Migration, MetadataVersion::V3_9_IV0).await;
        let alive = BTreeSet::from([NodeId(1)]);
        make(&log, &entrance(&log, 100), &alive, &create("orders")).await.unwrap();
        let end = log.end().await.unwrap();
        let behind = entrance(&log, 101);
        let elect = Change::ElectPreferredLeader { name: "orders".into(), partition: 0 };
        let (reporter, _reports) = Reporter::new();

        // An election is decided at once, though two others wait: this one finds that the preferred leader leads already.
        let topic = create("late");
        let (held, random, ()) =
            tokio::join!(make(&log, &behind, &alive, &topic), make_random(&log, &behind, 10, 1, &reporter), async {
                let decided = make(&log, &behind, &alive, &elect).await;
                assert_eq!(decided.unwrap_err().exit(), Exit::Failed, "decided, hence past the gate");
                assert_eq!(behind.gate.status().waiting, 2);
                behind.gate.update(Observation { phase: LogPhase::PreMigration, lag: None });
            });
        for held in [held.unwrap_err(), random.unwrap_err()] {
            assert_eq!(held.exit(), Exit::Blocked);
        }

        // Out of time, they say by how much ZooKeeper is behind.
        let hurried = Entrance { wait_max: Duration::ZERO, ..entrance(&log, 101) };
        let held = make(&log, &hurried, &alive, &topic).await.unwrap_err();
        assert_eq!(held.exit(), Exit::Blocked);
        assert!(held.to_string().contains("101 records"), "{held}");
        assert_eq!(log.end().await.unwrap(), end, "nothing was written");
    }

    #[tokio::test]
    async fn random_changes_that_had_to_wait_go_on_after_what_was_written_meanwhile() {
        let log = log(ZkMigrationState::Migration, MetadataVersion::V3_9_IV0).await;
        let alive = BTreeSet::from([NodeId(1)]);
        make(&log, &entrance(&log, 0), &alive, &create("orders")).await.unwrap();
        let entrance = entrance(&log, 0);
        let lag = |records| Observation { phase: LogPhase::Migration, lag: Some(Lag { records, ms: 0 }) };
        let (reporter, mut reports) = Reporter::new();
        let (made, ()) = tokio::join!(make_random(&log, &entrance, 1000, 1, &reporter), async {
            // Some are made; then ZooKeeper is too far behind.
            reports.recv().await.unwrap();
            entrance.gate.update(lag(101));
            while entrance.gate.status().waiting == 0 {
                tokio::task::yield_now().await;
            }
            // Somebody else appends, without the gate.
            let image = log.image();
            let epoch = log.leadership(None).await.unwrap().epoch;
            let records = Workload::new(99).next_change(&image);
            let expected = Some(image.position().end_offset);
            log.append(Append { epoch, expected, txn: Txn::None, records }).await.unwrap();
            entrance.gate.update(lag(100));
        });
        let made = made.unwrap();
        assert_eq!(made.changes, 1000);
        assert_eq!(made.last_offset + 1, log.end().await.unwrap().end_offset.0);
        assert_eq!(entrance.gate.status().waited, 1);
    }
}
