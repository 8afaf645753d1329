use std::sync::Mutex;

use async_trait::async_trait;
use broker_registry::{RegistrationRequest, Surroundings, UnreadyReason, watched_incarnation};
use metadata_core::brokers::BrokerListener;
use metadata_core::contract::MemLog;
use metadata_core::error::Outcome;
use metadata_core::id::{BrokerEpoch, IncarnationId, KRaftLeaderEpoch, Offset, TopicId};
use metadata_core::image::{BrokerRegistration, FeatureRange};
use metadata_core::leadership::LogExtent;
use metadata_core::log::LogBatch;
use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{
    BeginTransactionRecord, EndTransactionRecord, FeatureLevelRecord, MetadataRecord, TopicRecord, VersionedRecord,
    ZkMigrationState,
};
use metadata_core::store::Receipt;
use metadata_core::uuid::Uuid;
use tokio::task::JoinHandle;

use super::*;

const NODE: NodeId = NodeId(3000);
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// What goes wrong with the next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It happens, and its answer is lost.
    AnswerLost,
    /// It never arrives, and nobody says so.
    Lost,
    /// Somebody else's append comes first.
    Overtaken,
    /// The log does not take the records.
    Refused,
    /// The log can't be reached.
    Unavailable,
}

/// A log with trouble, which counts what it is asked for.
struct Troubled {
    log: MemLog,
    troubles: Mutex<Vec<Trouble>>,
    appends: Mutex<Vec<Vec<VersionedRecord>>>,
}

#[async_trait]
impl MetadataLog for Troubled {
    async fn leadership(&self, known: Option<LeaderAndEpoch>) -> Result<LeaderAndEpoch> {
        self.log.leadership(known).await
    }

    fn append(&self, append: Append) -> Receipt {
        self.appends.lock().unwrap().push(append.records.clone());
        let trouble = self.troubles.lock().unwrap().pop();
        match trouble {
            None => return self.log.append(append),
            Some(Trouble::AnswerLost) => self.log.lose_replies(1),
            Some(Trouble::Overtaken) => {
                let end = self.log.image().position().end_offset;
                drop(self.log.append(at(append.epoch, end, vec![topic(99)])));
            }
            Some(Trouble::Lost) => {
                return Receipt::ready(Err(Error::unknown(ErrorKind::Unavailable, "nobody knows")));
            }
            Some(Trouble::Refused) => return Receipt::refused(Error::not_applied(ErrorKind::Invalid, "odd records")),
            Some(Trouble::Unavailable) => {
                return Receipt::refused(Error::not_applied(ErrorKind::Unavailable, "nobody is there"));
            }
        }
        self.log.append(append)
    }

    async fn end(&self) -> Result<Position> {
        self.log.end().await
    }

    fn extent(&self) -> LogExtent {
        self.log.extent()
    }

    async fn committed(&self, end_offset: Offset) -> Result<Offset> {
        self.log.committed(end_offset).await
    }

    async fn read(&self, from: Offset, records_max: usize) -> Result<Vec<LogBatch>> {
        self.log.read(from, records_max).await
    }

    async fn image_at_most(&self, end_offset: Offset) -> Result<Option<MetadataImage>> {
        self.log.image_at_most(end_offset).await
    }

    fn image(&self) -> MetadataImage {
        self.log.image()
    }

    fn hold(&self, end_offset: Offset) {
        self.log.hold(end_offset);
    }
}

fn at(epoch: KRaftLeaderEpoch, expected: Offset, records: Vec<VersionedRecord>) -> Append {
    Append { epoch, expected: Some(expected), txn: Txn::None, records }
}

fn topic(number: u64) -> VersionedRecord {
    let topic_id = TopicId(Uuid::from_u64_pair(7, number));
    VersionedRecord::new(TopicRecord { name: format!("topic-{number}"), topic_id, ..Default::default() }, 0)
}

/// A cluster whose registrar can be started and stopped.
struct Cluster {
    log: Arc<Troubled>,
    leadership: KraftLeadership,
    watched: watch::Sender<Option<BTreeMap<NodeId, BrokerPresence>>>,
    sessions: watch::Sender<BrokerSessions>,
    settings: watch::Sender<RegistrySettings>,
}

impl Cluster {
    async fn start() -> Self {
        let log = MemLog::new();
        let leader = log.elect(NODE);
        let version = MetadataVersion::V3_9_IV0;
        let level = FeatureLevelRecord {
            name: MetadataVersion::FEATURE_NAME.into(),
            feature_level: version.level(),
            ..Default::default()
        };
        let bootstrap =
            vec![VersionedRecord::new(level, 0), VersionedRecord::new(ZkMigrationState::PreMigration.to_record(), 0)];
        log.append(at(leader.epoch, log.image().position().end_offset, bootstrap)).await.unwrap();
        Self {
            log: Arc::new(Troubled { log, troubles: Mutex::default(), appends: Mutex::default() }),
            leadership: KraftLeadership { id: NODE, epoch: leader.epoch },
            watched: watch::Sender::new(Some(BTreeMap::new())),
            sessions: watch::Sender::new(BrokerSessions::new()),
            settings: watch::Sender::new(RegistrySettings::new(CLUSTER, version, NODE)),
        }
    }

    fn registrar(&self) -> (JoinHandle<Error>, watch::Receiver<RegistrarReport>) {
        let inputs = RegistrarInputs {
            watched: self.watched.subscribe(),
            sessions: self.sessions.subscribe(),
            settings: self.settings.subscribe(),
        };
        let (registrar, report) =
            Registrar::new(Arc::clone(&self.log) as Arc<dyn MetadataLog>, self.leadership, inputs);
        (tokio::spawn(registrar.run()), report)
    }

    /// The trouble with the next appends, in order.
    fn trouble(&self, mut troubles: Vec<Trouble>) {
        troubles.reverse();
        *self.log.troubles.lock().unwrap() = troubles;
    }

    fn comes(&self, id: i32, czxid: i64) {
        let listener = BrokerListener { host: Some("h".into()), port: 9092, security_protocol: "PLAINTEXT".into() };
        let presence = BrokerPresence {
            endpoints: [("PLAINTEXT".into(), listener)].into(),
            ..BrokerPresence::in_zookeeper(czxid)
        };
        self.watched.send_modify(|watched| {
            watched.get_or_insert_default().insert(NodeId(id), presence);
        });
    }

    fn goes(&self, id: i32) {
        self.watched.send_modify(|watched| {
            watched.get_or_insert_default().remove(&NodeId(id));
        });
    }

    fn registration(&self, id: i32) -> Option<Arc<BrokerRegistration>> {
        self.log.image().cluster().broker(NodeId(id)).cloned()
    }

    /// Waits until a broker's registration is as wanted.
    async fn until(
        &self,
        id: i32,
        wanted: impl Fn(Option<&BrokerRegistration>) -> bool,
    ) -> Option<Arc<BrokerRegistration>> {
        for _ in 0..1_000 {
            let image = self.log.image();
            let registration = image.cluster().broker(NodeId(id)).cloned();
            if wanted(registration.as_deref()) {
                return registration;
            }
            let _ = tokio::time::timeout(PAUSE, self.log.committed(image.position().end_offset)).await;
        }
        panic!("broker {id} stays {:?}", self.registration(id));
    }

    /// The offsets of the records that register a broker, with the epochs in them.
    async fn registered_at(&self, id: i32) -> Vec<(Offset, BrokerEpoch)> {
        let mut found = Vec::new();
        for batch in self.log.read(Offset(0), usize::MAX).await.unwrap() {
            for (index, record) in batch.records.iter().enumerate() {
                if let MetadataRecord::RegisterBroker(record) = &record.record
                    && record.broker_id == NodeId(id)
                {
                    found.push((batch.base_offset.plus(index as i64), record.broker_epoch));
                }
            }
        }
        found
    }

    fn appends(&self) -> usize {
        self.log.appends.lock().unwrap().len()
    }
}

fn serves(registration: Option<&BrokerRegistration>) -> bool {
    registration.is_some_and(|it| !it.fenced)
}

/// Its epoch is the offset of its record, and nothing was written twice.
async fn assert_registered_once(cluster: &Cluster, id: i32) {
    let [(offset, epoch)] = cluster.registered_at(id).await.try_into().unwrap();
    assert_eq!(epoch.0, offset.0);
}

#[tokio::test(start_paused = true)]
async fn brokers_come_restart_and_go() {
    let cluster = Cluster::start().await;
    let (_running, report) = cluster.registrar();
    cluster.comes(1, 5);
    cluster.comes(2, 6);
    cluster.until(1, serves).await;
    let second = cluster.until(2, serves).await.unwrap();
    assert!(second.is_migrating_zk_broker && second.incarnation_id == watched_incarnation(6));
    cluster.goes(1);
    cluster.until(1, |it| it.is_some_and(|it| it.fenced)).await;
    cluster.comes(2, 7);
    let again = cluster.until(2, |it| it.is_some_and(|it| it.incarnation_id == watched_incarnation(7))).await.unwrap();
    assert!(again.epoch > second.epoch);
    for (offset, epoch) in cluster.registered_at(2).await {
        assert_eq!(epoch.0, offset.0);
    }
    cluster.until(2, serves).await;
    assert!(report.borrow().written >= 4 && report.borrow().failure.is_none());
}

/// The copy is one transaction that may take long: brokers come and go meanwhile, and take their offsets at once.
#[tokio::test(start_paused = true)]
async fn registrations_pass_while_the_copys_transaction_is_open() {
    let cluster = Cluster::start().await;
    let epoch = cluster.leadership.epoch;
    let within = |txn, records| Append { epoch, expected: None, txn, records };
    cluster.comes(1, 5);
    let (_running, _report) = cluster.registrar();
    let first = cluster.until(1, serves).await.unwrap();
    let begin = VersionedRecord::new(BeginTransactionRecord::default(), 0);
    cluster.log.append(within(Txn::Begin, vec![begin])).await.unwrap();
    cluster.log.append(within(Txn::In, vec![topic(1)])).await.unwrap();
    cluster.comes(2, 6);
    cluster.goes(1);
    cluster.until(2, serves).await;
    cluster.until(1, |it| it.is_some_and(|it| it.fenced)).await;
    assert!(cluster.log.image().topics().is_empty(), "nothing of the transaction shows before its end");
    cluster.log.append(within(Txn::In, vec![topic(2)])).await.unwrap();
    cluster.comes(1, 7);
    cluster.until(1, |it| serves(it) && it.is_some_and(|it| it.epoch > first.epoch)).await;
    let end = vec![
        VersionedRecord::new(ZkMigrationState::Migration.to_record(), 0),
        VersionedRecord::new(EndTransactionRecord::default(), 0),
    ];
    cluster.log.append(within(Txn::End { batches: 4 }, end)).await.unwrap();
    let image = cluster.log.image();
    assert_eq!((image.topics().len(), image.zk_migration_state()), (2, ZkMigrationState::Migration));
    assert_eq!(image.cluster().brokers().count(), 2);
    assert_registered_once(&cluster, 2).await;
    // And it goes on behind it.
    cluster.goes(2);
    cluster.until(2, |it| it.is_some_and(|it| it.fenced)).await;
}

/// Registrations are there before the copy, and the log still counts as one that nothing was copied into.
#[tokio::test(start_paused = true)]
async fn a_log_with_registrations_alone_is_free_of_cluster_metadata() {
    let cluster = Cluster::start().await;
    cluster.comes(1, 5);
    let (_running, _report) = cluster.registrar();
    cluster.until(1, serves).await;
    assert!(cluster.log.image().is_free_of_cluster_metadata());
}

/// Whether or not an append happened whose answer never came: it is there once.
#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_leads_to_one_registration() {
    for troubles in [
        vec![Trouble::AnswerLost],
        vec![Trouble::Lost],
        vec![Trouble::Lost, Trouble::Lost, Trouble::AnswerLost],
        vec![Trouble::Unavailable, Trouble::AnswerLost],
        vec![Trouble::Overtaken],
        vec![Trouble::Overtaken, Trouble::Overtaken, Trouble::AnswerLost],
    ] {
        let cluster = Cluster::start().await;
        cluster.trouble(troubles.clone());
        cluster.comes(1, 5);
        let (running, mut report) = cluster.registrar();
        cluster.until(1, serves).await;
        // A change behind it shows that it came to rest, and that it goes on.
        cluster.comes(2, 6);
        cluster.until(2, serves).await;
        let acknowledged = report.wait_for(|report| report.failure.is_none() && report.written > 0).await;
        assert!(acknowledged.is_ok(), "{troubles:?}");
        drop(acknowledged);
        assert_registered_once(&cluster, 1).await;
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_leader_writes_nothing_that_is_there() {
    let mut cluster = Cluster::start().await;
    cluster.comes(1, 5);
    let (running, _report) = cluster.registrar();
    cluster.until(1, serves).await;
    let before = cluster.appends();
    let leader = cluster.log.log.elect(NODE);
    let error = running.await.unwrap();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ControllerFenced, Outcome::NotApplied));
    cluster.leadership.epoch = leader.epoch;
    cluster.comes(2, 6);
    let (running, _report) = cluster.registrar();
    cluster.until(2, serves).await;
    assert_eq!(cluster.appends(), before + 1, "the second broker alone");
    assert_registered_once(&cluster, 1).await;
    cluster.log.log.resign();
    assert_eq!(running.await.unwrap().kind(), ErrorKind::ControllerFenced);
}

/// A deposed registrar ends though there is nothing to write, and writes nothing though there is.
#[tokio::test(start_paused = true)]
async fn a_deposed_registrar_writes_nothing() {
    let cluster = Cluster::start().await;
    cluster.log.log.elect(NodeId(3001));
    cluster.comes(1, 5);
    let (running, _report) = cluster.registrar();
    assert_eq!(running.await.unwrap().kind(), ErrorKind::ControllerFenced);
    assert_eq!((cluster.appends(), cluster.registration(1)), (0, None));
}

#[tokio::test(start_paused = true)]
async fn what_the_log_refuses_is_reported_and_tried_again_when_something_changes() {
    let cluster = Cluster::start().await;
    cluster.trouble(vec![Trouble::Refused]);
    cluster.comes(1, 5);
    let (_running, mut report) = cluster.registrar();
    let failed = report.wait_for(|report| report.failure.is_some()).await.unwrap().failure.clone();
    assert_eq!(failed.as_deref(), Some("odd records"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(cluster.appends(), 1, "the same again would be refused again");
    cluster.comes(2, 6);
    cluster.until(1, serves).await;
    assert!(report.wait_for(|report| report.failure.is_none()).await.is_ok());
}

/// Who does not fit is in the report for as long as he does not, and nothing is asked of the log for him.
#[tokio::test(start_paused = true)]
async fn whoever_is_kept_out_is_reported() {
    let cluster = Cluster::start().await;
    cluster.settings.send_modify(|settings| settings.inter_broker_listener = Some("INTERNAL".into()));
    cluster.comes(1, 5);
    let (_running, mut report) = cluster.registrar();
    let kept_out = report.wait_for(|report| !report.kept_out.is_empty()).await.unwrap().kept_out.clone();
    let reason = UnreadyReason::NoInterBrokerListener { wanted: "INTERNAL".into() };
    assert_eq!(kept_out, [UnreadyBroker { id: NodeId(1), reason }]);
    assert_eq!((cluster.appends(), cluster.registration(1)), (0, None));
    cluster.settings.send_modify(|settings| settings.inter_broker_listener = Some("PLAINTEXT".into()));
    cluster.until(1, serves).await;
    assert!(report.wait_for(|report| report.kept_out.is_empty()).await.is_ok());
}

/// What a broker asks for is written, and its heartbeats unfence it.
#[tokio::test(start_paused = true)]
async fn a_broker_that_asks_is_registered_by_its_own_word() {
    let cluster = Cluster::start().await;
    cluster.comes(1, 5);
    let (_running, _report) = cluster.registrar();
    cluster.until(1, serves).await;
    let incarnation_id = IncarnationId(Uuid::from_u64_pair(0x4000, 1));
    let request = RegistrationRequest {
        id: NodeId(1),
        incarnation_id,
        is_migrating_zk_broker: true,
        cluster_id: CLUSTER.into(),
        listeners: BTreeMap::new(),
        features: [(MetadataVersion::FEATURE_NAME.to_owned(), FeatureRange { min: 21, max: 21 })].into(),
        log_dirs: vec![metadata_core::id::DirectoryId(Uuid::from_u64_pair(7, 7))],
        rack: None,
    };
    let feed = |fed: &mut dyn FnMut(&mut BrokerSessions, Surroundings<'_>)| {
        let image = cluster.log.image();
        let (watched, settings) = (cluster.watched.borrow().clone(), cluster.settings.borrow().clone());
        let around = Surroundings { image: &image, watched: watched.as_ref(), settings: &settings };
        cluster.sessions.send_modify(|sessions| fed(sessions, around));
    };
    feed(&mut |sessions, around| sessions.register(request.clone(), around).unwrap());
    let own = cluster.until(1, |it| it.is_some_and(|it| it.incarnation_id == incarnation_id)).await.unwrap();
    assert!(own.fenced);
    let heartbeat = broker_registry::Heartbeat {
        epoch: own.epoch,
        metadata_offset: Offset(own.epoch.0),
        want_fence: false,
        want_shutdown: false,
    };
    feed(&mut |sessions, around| sessions.heartbeat(NodeId(1), heartbeat, around).unwrap());
    cluster.until(1, serves).await;
    feed(&mut |sessions, _| sessions.expire(NodeId(1)));
    cluster.until(1, |it| it.is_some_and(|it| it.fenced)).await;
}

/// Senders that are gone say nothing new, and keep nobody busy.
#[tokio::test(start_paused = true)]
async fn inputs_that_ended_do_not_end_the_registrar() {
    let mut cluster = Cluster::start().await;
    cluster.comes(1, 5);
    let (running, report) = cluster.registrar();
    cluster.watched = watch::Sender::new(None);
    cluster.sessions = watch::Sender::new(BrokerSessions::new());
    let settings = cluster.settings.borrow().clone();
    cluster.settings = watch::Sender::new(settings);
    cluster.until(1, serves).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((report.borrow().written, running.is_finished()), (1, false));
    cluster.log.log.resign();
    assert_eq!(running.await.unwrap().kind(), ErrorKind::ControllerFenced);
}
