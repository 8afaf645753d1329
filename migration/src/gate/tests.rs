use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use metadata_core::contract::MemLog;
use metadata_core::id::{NodeId, Offset};
use metadata_core::image::MetadataDelta;
use metadata_core::log::Append;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord, RegisterBrokerRecord,
    TopicRecord, VersionedRecord, ZkMigrationState,
};
use metadata_core::store::Txn;
use proptest::prelude::*;

use super::*;

const BUDGET: DivergenceBudget = DivergenceBudget { lag_records_max: 100, lag_ms_max: 1000 };
const WITHIN: Lag = Lag { records: 100, ms: 1000 };
const OVER: Lag = Lag { records: 101, ms: 0 };
const LONG: Duration = Duration::from_secs(3600);

fn dual_writing(lag: Lag) -> Observation {
    Observation { phase: LogPhase::Migration, lag: Some(lag) }
}

fn in_phase(phase: LogPhase) -> Observation {
    Observation { phase, lag: None }
}

#[test]
fn the_table_is_this_one() {
    // What a user meets in each phase. `pass` is told apart from `wait` by the lag in the next test.
    let table = "\
| write | empty | NONE | PRE_MIGRATION | MIGRATION | POST_MIGRATION |
| --- | --- | --- | --- | --- | --- |
| administrative | NOT_CONTROLLER | pass | NOT_CONTROLLER | wait while over the budget | pass |
| metadata.version | NOT_CONTROLLER | pass | INVALID_UPDATE_VERSION | INVALID_UPDATE_VERSION | pass |
| leader and ISR | NOT_CONTROLLER | pass | NOT_CONTROLLER | pass | pass |
| producer ids | NOT_CONTROLLER | pass | NOT_CONTROLLER | pass | pass |
| broker lifecycle | NOT_CONTROLLER | pass | pass | pass | pass |
| controller registration | NOT_CONTROLLER | pass | pass | pass | pass |
| migration records | pass | pass | pass | pass | pass |
";
    assert_eq!(as_markdown(), table);
}

#[test]
fn only_administrative_writes_in_migration_ever_wait() {
    let lags = [None, Some(Lag::default()), Some(WITHIN), Some(OVER), Some(Lag { records: 1, ms: 1001 })];
    for phase in LogPhase::ALL {
        for class in WriteClass::ALL {
            for lag in lags {
                let verdict = admission(Observation { phase, lag }, class, BUDGET);
                let may_wait = phase == LogPhase::Migration && class == WriteClass::Administrative;
                match lag {
                    Some(lag) if may_wait && BUDGET.holds(lag) => assert_eq!(verdict, Admission::Pass),
                    Some(lag) if may_wait => assert_eq!(verdict, Admission::Wait(WaitReason::OverBudget(lag))),
                    None if may_wait => assert_eq!(verdict, Admission::Wait(WaitReason::LagUnknown)),
                    _ => assert!(!matches!(verdict, Admission::Wait(_)), "{phase} {class:?} {lag:?}"),
                }
            }
        }
    }
}

#[test]
fn both_bounds_are_inclusive() {
    for (records, ms, holds) in [(100, 1000, true), (101, 1000, false), (100, 1001, false), (0, 0, true)] {
        assert_eq!(BUDGET.holds(Lag { records, ms }), holds, "{records} {ms}");
    }
}

#[test]
fn the_phase_is_what_the_image_says() {
    let mut delta = MetadataDelta::new(&MetadataImage::empty());
    assert_eq!(LogPhase::of(delta.image()), LogPhase::Empty);
    // A registration alone does not make a log one that may be written: the first records are still missing.
    delta.replay(&RegisterBrokerRecord { broker_id: NodeId(1), ..Default::default() }.into()).unwrap();
    assert_eq!(LogPhase::of(delta.image()), LogPhase::Empty);
    delta.replay(&version_record().into()).unwrap();
    let phases = [
        (ZkMigrationState::None, LogPhase::None),
        (ZkMigrationState::PreMigration, LogPhase::PreMigration),
        (ZkMigrationState::Migration, LogPhase::Migration),
        (ZkMigrationState::PostMigration, LogPhase::PostMigration),
        (ZkMigrationState::Zk, LogPhase::PreMigration),
    ];
    for (state, phase) in phases {
        delta.replay(&state.to_record().into()).unwrap();
        assert_eq!(LogPhase::of(delta.image()), phase, "{state}");
    }
}

fn version_record() -> FeatureLevelRecord {
    FeatureLevelRecord {
        name: MetadataVersion::FEATURE_NAME.to_owned(),
        feature_level: MetadataVersion::LATEST_PRODUCTION.level(),
        ..Default::default()
    }
}

#[test]
fn errors_say_what_why_and_how_kafka_says_it() {
    let refused = |phase, refusal| GateError::Refused { class: WriteClass::Administrative, phase, refusal };
    let frozen = refused(LogPhase::PreMigration, Refusal::Frozen);
    assert!(frozen.to_string().contains("while the log says PRE_MIGRATION"), "{frozen}");
    assert_eq!(frozen.kafka_error_code(), 41, "clients try again");
    let fixed = refused(LogPhase::Migration, Refusal::MetadataVersionFixed);
    assert_eq!(fixed.kafka_error_code(), 95);
    assert_eq!(Error::from(fixed).kind(), ErrorKind::Invalid);
    let late = GateError::TimedOut {
        class: WriteClass::Administrative,
        reason: WaitReason::OverBudget(OVER),
        budget: BUDGET,
        waited_ms: 5000,
        closed_ms: 9000,
    };
    for part in ["101 records", "100 records or 1000 ms", "waited 5000 ms", "closed for 9000 ms"] {
        assert!(late.to_string().contains(part), "{late}");
    }
    assert_eq!(late.kafka_error_code(), 7);
    let error = Error::from(late);
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Unavailable, metadata_core::error::Outcome::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_let_through_when_zookeeper_has_come_close_and_is_counted() {
    let gate = Gate::new(dual_writing(OVER), BUDGET);
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.pass(WriteClass::Administrative, LONG).await }
    });
    sleep(Duration::from_secs(2)).await;
    let status = gate.status();
    assert_eq!((status.waiting, status.waited, status.zookeeper_blocking_kraft_ms), (1, 1, 2000));
    assert_eq!(status.closed_ms, Some(2000));
    // Still too far: nothing changes, and nobody else is held up.
    gate.update(dual_writing(Lag { records: 5000, ms: 4000 }));
    for class in WriteClass::ALL.into_iter().filter(|class| *class != WriteClass::Administrative) {
        if class != WriteClass::MetadataVersion {
            assert_eq!(gate.pass(class, Duration::ZERO).await.unwrap().waited(), Duration::ZERO, "{class:?}");
        }
    }
    assert!(!waiting.is_finished());
    sleep(Duration::from_secs(1)).await;
    gate.update(dual_writing(WITHIN));
    assert_eq!(waiting.await.unwrap().unwrap().waited(), Duration::from_secs(3));
    sleep(Duration::from_secs(10)).await;
    let status = gate.status();
    assert_eq!((status.waiting, status.waited, status.timed_out), (0, 1, 0));
    assert_eq!((status.zookeeper_blocking_kraft_ms, status.closed_ms), (3000, None));
}

#[tokio::test(start_paused = true)]
async fn two_that_wait_at_once_block_once_and_giving_up_is_counted() {
    let gate = Gate::new(in_phase(LogPhase::Migration), BUDGET);
    let pass = |wait| gate.pass(WriteClass::Administrative, wait);
    let (first, second) = tokio::join!(pass(Duration::from_secs(2)), pass(Duration::from_secs(3)));
    for (late, waited) in [(first, 2000), (second, 3000)] {
        match late.unwrap_err() {
            GateError::TimedOut { reason: WaitReason::LagUnknown, waited_ms, closed_ms, .. } => {
                assert_eq!((waited_ms, closed_ms), (waited, waited));
            }
            other => panic!("{other}"),
        }
    }
    // Whoever drops the future is gone as well.
    drop(tokio::time::timeout(Duration::from_secs(1), pass(LONG)).await);
    let status = gate.status();
    assert_eq!((status.waiting, status.waited, status.timed_out), (0, 3, 2));
    assert_eq!(status.zookeeper_blocking_kraft_ms, 4000);
}

#[tokio::test(start_paused = true)]
async fn a_phase_without_room_for_it_ends_the_wait() {
    let gate = Gate::new(dual_writing(OVER), BUDGET);
    let (answer, ()) = tokio::join!(gate.pass(WriteClass::Administrative, LONG), async {
        gate.update(in_phase(LogPhase::PreMigration));
    });
    assert!(matches!(answer, Err(GateError::Refused { refusal: Refusal::Frozen, .. })), "{answer:?}");
    let gate = Gate::new(dual_writing(OVER), BUDGET);
    let (answer, ()) = tokio::join!(gate.pass(WriteClass::Administrative, LONG), async {
        gate.update(in_phase(LogPhase::PostMigration));
    });
    answer.unwrap();
}

/// A waker that remembers being woken: what is not woken is not polled again, as in any executor.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Pass = Pin<Box<dyn Future<Output = Result<Passed, GateError>>>>;

#[derive(Debug, Clone)]
enum Happening {
    Update(Option<(u64, u64)>),
    Comes,
    /// The waiter of this number is polled, if it was woken.
    RunsIfWoken(usize),
    Leaves(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => proptest::option::of((90..110u64, 900..1100u64)).prop_map(Happening::Update),
        1 => Just(Happening::Comes),
        3 => (0..8usize).prop_map(Happening::RunsIfWoken),
        1 => (0..8usize).prop_map(Happening::Leaves),
    ]
}

proptest! {
    #[test]
    fn no_wake_up_is_ever_lost(happenings in proptest::collection::vec(happening(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let gate = Gate::new(dual_writing(OVER), BUDGET);
        let mut waiting: Vec<(Pass, Arc<Woken>)> = Vec::new();
        let poll = |(pass, woken): &mut (Pass, Arc<Woken>)| {
            woken.0.swap(false, Ordering::SeqCst)
                && pass.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken)))).is_ready()
        };
        let open = Happening::Update(Some((0, 0)));
        for happening in happenings.into_iter().chain([open]) {
            match happening {
                Happening::Update(lag) => {
                    let lag = lag.map(|(records, ms)| Lag { records, ms });
                    gate.update(Observation { phase: LogPhase::Migration, lag });
                }
                Happening::Comes => {
                    let gate = gate.clone();
                    let pass: Pass = Box::pin(async move { gate.pass(WriteClass::Administrative, LONG).await });
                    let mut waiter = (pass, Arc::new(Woken(AtomicBool::new(true))));
                    if !poll(&mut waiter) {
                        waiting.push(waiter);
                    }
                }
                Happening::RunsIfWoken(at) if at < waiting.len() => {
                    if poll(&mut waiting[at]) {
                        drop(waiting.remove(at));
                    }
                }
                Happening::Leaves(at) if at < waiting.len() => drop(waiting.remove(at)),
                Happening::RunsIfWoken(_) | Happening::Leaves(_) => {}
            }
            prop_assert_eq!(gate.status().waiting, waiting.len() as u64);
        }
        // The gate is open: whoever still waits has been woken, and passes on the next turn.
        for waiter in &mut waiting {
            prop_assert!(poll(waiter));
        }
        prop_assert_eq!(gate.status().waiting, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_all_come_through() {
    let gate = Gate::new(dual_writing(OVER), BUDGET);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..64u32 {
        let gate = gate.clone();
        asking.spawn(async move {
            for turn in 0..50 {
                // Some are out of time at once, which takes the same locks in another order.
                let hurried = (number + turn) % 3 == 0;
                let wait_max = if hurried { Duration::ZERO } else { LONG };
                let answer = gate.pass(WriteClass::Administrative, wait_max).await;
                assert!(answer.is_ok() || hurried, "{answer:?}");
            }
        });
    }
    let shaking = tokio::spawn({
        let gate = gate.clone();
        async move {
            loop {
                for lag in [WITHIN, OVER, OVER, WITHIN] {
                    gate.update(dual_writing(lag));
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
    shaking.abort();
    assert_eq!(gate.status().waiting, 0);
}

#[test]
fn the_alarm_rings_once_and_tells_when_it_is_over() {
    let at = Duration::from_millis;
    let lag = |records, ms| dual_writing(Lag { records, ms });
    let unknown = in_phase(LogPhase::Migration);
    let mut alarm = Alarm::default();
    let story = [
        (0, lag(100, 0), None),
        (10, lag(500, 20), Some(News::Exceeded(Lag { records: 500, ms: 20 }))),
        (20, lag(900, 30), None),
        (30, lag(700, 40), None),
        (40, lag(100, 10), Some(News::Back { after: at(30), worst: Lag { records: 900, ms: 40 } })),
        (50, lag(0, 0), None),
        // An election: the position is unknown for less than a lag may last.
        (60, unknown, None),
        (1060, unknown, None),
        (1061, lag(0, 0), None),
        // And for longer.
        (2000, unknown, None),
        (3001, unknown, Some(News::LagUnknown(at(1001)))),
        (9000, unknown, None),
        (9001, in_phase(LogPhase::PostMigration), Some(News::Back { after: at(7001), worst: Lag::default() })),
        (9002, in_phase(LogPhase::PostMigration), None),
    ];
    for (now, seen, news) in story {
        assert_eq!(alarm.observe(seen, BUDGET, at(now)), news, "at {now} ms");
    }
}

#[test]
fn the_lag_in_time_is_that_of_the_oldest_record_that_zookeeper_lacks() {
    let mut meter = LagMeter::default();
    let mut look = |log_end, zookeeper_at: Option<i64>, now| {
        meter.observe(Offset(log_end), zookeeper_at.map(Offset), Duration::from_millis(now))
    };
    let lag = |records, ms| Some(Lag { records, ms });
    assert_eq!(look(10, Some(10), 0), lag(0, 0));
    assert_eq!(look(12, Some(10), 500), lag(2, 0));
    assert_eq!(look(20, Some(10), 1500), lag(10, 1000));
    // Records 10 and 11 are written: what is missing came at 1500.
    assert_eq!(look(20, Some(12), 1600), lag(8, 100));
    assert_eq!(look(30, None, 2000), None);
    assert_eq!(look(30, Some(20), 2600), lag(10, 600));
    assert_eq!(look(30, Some(30), 2700), lag(0, 0));
    // A position ahead of what was seen of the log is no lag.
    assert_eq!(look(30, Some(40), 2800), lag(0, 0));
    assert_eq!(look(50, Some(40), 2900), lag(10, 0));
}

proptest! {
    #[test]
    fn the_meter_stays_small_and_never_says_too_little(
        steps in proptest::collection::vec((0..50i64, 0..400u64, 0..40i64), 1..3000),
    ) {
        let (mut meter, mut log_end, mut at, mut now) = (LagMeter::default(), 0, 0, 0);
        let mut grown: Vec<(i64, u64)> = Vec::new();
        for (grows, passes, written) in steps {
            log_end += grows;
            now += passes;
            at = (at + written).min(log_end);
            grown.push((log_end, now));
            let lag = meter.observe(Offset(log_end), Some(Offset(at)), Duration::from_millis(now)).unwrap();
            let oldest = grown.iter().find(|(end, _)| *end > at).map_or(now, |(_, seen)| *seen);
            prop_assert_eq!(lag.records, (log_end - at).unsigned_abs());
            prop_assert!(lag.ms >= now - oldest, "{lag} at {now}, and the oldest came at {oldest}");
            prop_assert!(meter.remembered() <= 1024);
        }
    }
}

async fn started(state: ZkMigrationState) -> (Arc<MemLog>, metadata_core::id::KRaftLeaderEpoch) {
    let log = MemLog::new();
    let epoch = log.elect(NodeId(3000)).epoch;
    let records = vec![VersionedRecord::new(version_record(), 0), VersionedRecord::new(state.to_record(), 0)];
    append(&log, epoch, Txn::None, records).await;
    (Arc::new(log), epoch)
}

async fn append(log: &MemLog, epoch: metadata_core::id::KRaftLeaderEpoch, txn: Txn, records: Vec<VersionedRecord>) {
    let expected = (txn == Txn::None).then_some(log.image().position().end_offset);
    log.append(Append { epoch, expected, txn, records }).await.unwrap();
}

#[tokio::test]
async fn registrations_pass_and_commit_while_the_copys_transaction_is_open() {
    let (log, epoch) = started(ZkMigrationState::PreMigration).await;
    let one = |record: MetadataRecord| vec![VersionedRecord { record, version: 0 }];
    append(&log, epoch, Txn::Begin, one(BeginTransactionRecord::default().into())).await;
    append(&log, epoch, Txn::In, one(TopicRecord { name: "copied".into(), ..Default::default() }.into())).await;

    let gate = Gate::over(&log.image(), BUDGET);
    for class in [WriteClass::BrokerLifecycle, WriteClass::ControllerRegistration, WriteClass::MigrationRecords] {
        gate.pass(class, Duration::ZERO).await.unwrap();
    }
    let refused = gate.pass(WriteClass::Administrative, LONG).await.unwrap_err();
    assert_eq!(refused.kafka_error_code(), 41);
    append(&log, epoch, Txn::None, one(RegisterBrokerRecord { broker_id: NodeId(1), ..Default::default() }.into()))
        .await;
    assert!(log.image().cluster().broker(NodeId(1)).is_some(), "the broker is registered before the copy has ended");
    assert!(log.image().topics().is_empty(), "and nothing of the copy shows");

    let end = EndTransactionRecord::default().into();
    append(&log, epoch, Txn::End { batches: 3 }, one(end)).await;
    assert!(log.image().topics().id("copied").is_some());
    assert!(log.image().cluster().broker(NodeId(1)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_followed_migration_closes_and_opens_the_gate() {
    let (log, epoch) = started(ZkMigrationState::Migration).await;
    let budget = DivergenceBudget { lag_records_max: 2, lag_ms_max: 60_000 };
    let gate = Gate::over(&log.image(), budget);
    let position = watch::Sender::new(None);
    let following = tokio::spawn({
        let (gate, positions, log) = (gate.clone(), position.subscribe(), Arc::clone(&log));
        async move { gate.follow_position(positions, |position| *position, log).await }
    });
    let pass = |wait| gate.pass(WriteClass::Administrative, Duration::from_secs(wait));
    let topic = |name: &str| {
        let id = metadata_core::id::TopicId(metadata_core::uuid::Uuid::from_u64_pair(7, u64::from(name.as_bytes()[0])));
        let record = TopicRecord { name: name.into(), topic_id: id, ..Default::default() };
        vec![VersionedRecord { record: record.into(), version: 0 }]
    };

    // Nobody has claimed ZooKeeper yet.
    let late = pass(5).await.unwrap_err();
    assert!(late.to_string().contains("is not known"), "{late}");
    position.send_replace(Some(log.image().position()));
    pass(5).await.unwrap();

    // Three records are one too many; once ZooKeeper has one of them, the gate is open again.
    let mut behind = log.image().position();
    for name in ["a", "b", "c"] {
        append(&log, epoch, Txn::None, topic(name)).await;
    }
    sleep(Duration::from_millis(1)).await;
    assert!(pass(5).await.is_err());
    behind.end_offset = behind.end_offset.plus(1);
    position.send_replace(Some(behind));
    pass(5).await.unwrap();

    // Nothing moves any more, and the lag in time grows by itself.
    sleep(Duration::from_secs(61)).await;
    let late = pass(0).await.unwrap_err();
    assert!(
        matches!(late, GateError::TimedOut { reason: WaitReason::OverBudget(Lag { records: 2, .. }), .. }),
        "{late}"
    );
    let (passed, ()) = tokio::join!(pass(3600), async {
        sleep(Duration::from_secs(10)).await;
        position.send_replace(Some(log.image().position()));
    });
    assert_eq!(passed.unwrap().waited(), Duration::from_secs(10));

    drop(position);
    assert_eq!(following.await.unwrap().kind(), ErrorKind::Unavailable);
}
