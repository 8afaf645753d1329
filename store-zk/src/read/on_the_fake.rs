//! Reading from the in-memory ZooKeeper: how much is under way, what it costs, and what vanishes meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its supporting functions too")]

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metadata_core::metadata_version::MetadataVersion;
use metadata_core::record::{MetadataRecord, VersionedRecord};
use tokio::sync::watch;

use super::*;
use crate::client::{
    Children, NodeData, OpResult, SessionId, SessionState, Stat, WatchFuture, ZkAcl, ZkConnector as _, ZkOp,
};
use crate::import::{ImportContext, Imported, Importer};
use crate::testkit::fake::FakeZooKeeper;
use crate::znode::path;

/// What someone else does right before a znode is read, once each.
type Meanwhile = Vec<(String, Vec<ZkOp>)>;

/// A session that counts multi-reads whose answers nobody has taken yet.
struct Observed {
    inner: Arc<dyn ZkSession>,
    zookeeper: FakeZooKeeper,
    in_flight: Arc<AtomicUsize>,
    in_flight_max: AtomicUsize,
    meanwhile: Mutex<Meanwhile>,
}

impl ZkSession for Observed {
    fn multi_read(&self, reads: Vec<ZkRead>) -> ZkFuture<Vec<ReadOutcome>> {
        let mut meanwhile = self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |(path, _): &(String, Vec<ZkOp>)| reads.iter().any(|read| read.path() == path);
        if let Some(at) = meanwhile.iter().position(due) {
            let (_, ops) = meanwhile.remove(at);
            self.zookeeper.foreign(ops).unwrap();
        }
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_flight_max.fetch_max(now, Ordering::Relaxed);
        let (answer, in_flight) = (self.inner.multi_read(reads), Arc::clone(&self.in_flight));
        Box::pin(async move {
            let outcome = answer.await;
            in_flight.fetch_sub(1, Ordering::Relaxed);
            outcome
        })
    }

    fn get_children(&self, path: &str) -> ZkFuture<Children> {
        self.inner.get_children(path)
    }

    fn session_id(&self) -> SessionId {
        self.inner.session_id()
    }

    fn session_timeout(&self) -> Duration {
        self.inner.session_timeout()
    }

    fn chroot(&self) -> &str {
        self.inner.chroot()
    }

    fn state(&self) -> watch::Receiver<SessionState> {
        self.inner.state()
    }

    fn multi(&self, ops: Vec<ZkOp>) -> ZkFuture<Vec<OpResult>> {
        self.inner.multi(ops)
    }

    fn get_data(&self, path: &str) -> ZkFuture<NodeData> {
        self.inner.get_data(path)
    }

    fn exists(&self, path: &str) -> ZkFuture<Option<Stat>> {
        self.inner.exists(path)
    }

    fn get_acl(&self, path: &str) -> ZkFuture<(ZkAcl, Stat)> {
        self.inner.get_acl(path)
    }

    fn sync(&self, path: &str) -> ZkFuture<()> {
        self.inner.sync(path)
    }

    fn watch_data(&self, path: &str) -> ZkFuture<(NodeData, WatchFuture)> {
        self.inner.watch_data(path)
    }

    fn watch_children(&self, path: &str) -> ZkFuture<(Children, WatchFuture)> {
        self.inner.watch_children(path)
    }

    fn watch_exists(&self, path: &str) -> ZkFuture<(Option<Stat>, WatchFuture)> {
        self.inner.watch_exists(path)
    }

    fn resume(&self) -> ZkFuture<Arc<dyn ZkSession>> {
        self.inner.resume()
    }

    fn close(&self) -> ZkFuture<()> {
        self.inner.close()
    }
}

fn create(path: &str, data: &str) -> ZkOp {
    ZkOp::create(path, data.to_owned(), ZkAcl::world_all())
}

fn delete(path: &str) -> ZkOp {
    ZkOp::delete(path, None)
}

/// A ZooKeeper with Kafka's containers and these znodes, parents first.
fn zookeeper<'a>(znodes: impl IntoIterator<Item = (&'a str, &'a str)>) -> FakeZooKeeper {
    let zookeeper = FakeZooKeeper::new();
    let containers = path::containers().map(|path| create(&path, ""));
    zookeeper.foreign(containers.collect()).unwrap();
    zookeeper.foreign(znodes.into_iter().map(|(path, data)| create(path, data)).collect()).unwrap();
    zookeeper
}

async fn observe(zookeeper: &FakeZooKeeper, meanwhile: Meanwhile) -> (Arc<Observed>, BulkReader) {
    let session = Arc::new(Observed {
        inner: zookeeper.connector().connect().await.unwrap(),
        zookeeper: zookeeper.clone(),
        in_flight: Arc::default(),
        in_flight_max: AtomicUsize::new(0),
        meanwhile: Mutex::new(meanwhile),
    });
    let reader = BulkReader::new(Arc::clone(&session) as Arc<dyn ZkSession>, Arc::default());
    (session, reader)
}

async fn load_all(reader: &BulkReader) -> Result<(Vec<VersionedRecord>, Imported)> {
    let mut records = Vec::new();
    let context = ImportContext { secret: None, metadata_version: MetadataVersion::V3_9_IV0 };
    let imported = load(reader, Importer::new(context), &mut records).await?;
    Ok((records, imported))
}

fn topic(id: u8, partitions: &[i32]) -> String {
    let partitions: Vec<String> = partitions.iter().map(|partition| format!(r#""{partition}":[1]"#)).collect();
    let partitions = partitions.join(",");
    format!(r#"{{"version":3,"topic_id":"AQIDBAUGBwieN3m5f0p8F{}","partitions":{{{partitions}}}}}"#, char::from(id))
}

const STATE: &str = r#"{"version":1,"leader":1,"leader_epoch":7,"controller_epoch":1,"isr":[1]}"#;
const QUOTA: &str = r#"{"version":1,"config":{"request_percentage":"1.0"}}"#;

/// One topic may have any number of partitions; how many requests wait for their answers must not follow it.
#[tokio::test]
async fn the_requests_in_flight_are_bounded_whatever_a_topic_has() {
    const PARTITIONS: i32 = 20_000;
    let partitions: Vec<i32> = (0..PARTITIONS).collect();
    let wide = topic(b'Q', &partitions);
    let zookeeper = zookeeper([("/brokers/topics/wide", wide.as_str()), ("/brokers/topics/wide/partitions", "")]);
    for chunk in partitions.chunks(1000) {
        let path = |partition| format!("/brokers/topics/wide/partitions/{partition}");
        let ops = chunk.iter().flat_map(|id| [create(&path(id), ""), create(&format!("{}/state", path(id)), STATE)]);
        zookeeper.foreign(ops.collect()).unwrap();
    }
    let (session, reader) = observe(&zookeeper, vec![]).await;
    let (records, _) = load_all(&reader).await.unwrap();
    assert_eq!(records.len(), 1 + PARTITIONS as usize);
    let most = session.in_flight_max.load(Ordering::Relaxed);
    assert!((2..=REQUESTS_IN_FLIGHT_MAX + 1).contains(&most), "{most}");

    // Nor do reads that nobody waits for yet hold up the one that somebody does.
    let paths: Vec<String> =
        partitions.iter().map(|id| format!("/brokers/topics/wide/partitions/{id}/state")).collect();
    let reads: Vec<ZnodesFuture> = (0..4).map(|_| reader.nodes(paths.clone())).collect();
    for read in reads.into_iter().rev() {
        assert_eq!(read.await.unwrap().iter().flatten().count(), PARTITIONS as usize);
    }
    let most = session.in_flight_max.load(Ordering::Relaxed);
    assert!(most <= REQUESTS_IN_FLIGHT_MAX + 1, "{most}");
}

#[tokio::test]
async fn many_users_cost_few_requests() {
    let zookeeper = zookeeper([]);
    let users: Vec<String> = (0..2000).map(|number| format!("/config/users/u{number:04}")).collect();
    for chunk in users.chunks(500) {
        zookeeper.foreign(chunk.iter().map(|path| create(path, QUOTA)).collect()).unwrap();
    }
    for user in users.iter().step_by(10) {
        let clients = format!("{user}/clients");
        let client = format!("{clients}/c");
        zookeeper.foreign(vec![create(&clients, ""), create(&client, QUOTA)]).unwrap();
    }
    let (_, empty) = observe(&self::zookeeper([]), vec![]).await;
    load_all(&empty).await.unwrap();
    let (_, reader) = observe(&zookeeper, vec![]).await;
    let (records, _) = load_all(&reader).await.unwrap();
    assert_eq!(records.len(), 2200);
    // The names of the clients of those that have some, and the clients: one each. The users: four.
    assert_eq!(reader.counters.totals().requests, empty.counters.totals().requests + 6);
}

/// What was listed and is not there any more was deleted, each family on its own.
#[tokio::test]
async fn what_vanishes_after_it_was_listed_is_left_out() {
    let acl = r#"{"version":1,"acls":[{"principal":"User:a","permissionType":"Allow","operation":"Read","host":"*"}]}"#;
    let token = |id: &str| {
        format!(
            r#"{{"version":1,"owner":"User%3Aa","renewers":[],"issueTimestamp":1,"maxTimestamp":2,"expiryTimestamp":3,"tokenId":"{id}"}}"#
        )
    };
    let connections = r#"{"version":1,"config":{"connection_creation_rate":"1"}}"#;
    let (one, two) = (token("1"), token("2"));
    let families: [(&str, [&str; 2]); 7] = [
        ("/config/brokers", [QUOTA; 2]),
        ("/config/users", [QUOTA; 2]),
        ("/config/clients", [QUOTA; 2]),
        ("/config/users/0/clients", [QUOTA; 2]),
        ("/config/ips", [connections; 2]),
        ("/kafka-acl/Topic", [acl; 2]),
        ("/delegation_token/tokens", [&one, &two]),
    ];
    for (parent, data) in families {
        let zookeeper = zookeeper([]);
        if parent.ends_with("/0/clients") {
            zookeeper.foreign(vec![create("/config/users/0", ""), create(parent, "")]).unwrap();
        }
        let paths = [format!("{parent}/1"), format!("{parent}/2")];
        zookeeper.foreign(paths.iter().zip(data).map(|(path, data)| create(path, data)).collect()).unwrap();
        let meanwhile = vec![(paths[0].clone(), vec![delete(&paths[0])])];
        let (_, reader) = observe(&zookeeper, meanwhile).await;
        let (records, _) = load_all(&reader).await.unwrap();
        assert_eq!(records.len(), 1, "{parent}");
    }
}

/// Two topics of one partition each; what someone else does right before `trigger` is read.
async fn load_topics(trigger: &str, ops: Vec<ZkOp>) -> Result<(Vec<String>, Vec<String>)> {
    load_topics_while(vec![(trigger.to_owned(), ops)]).await
}

async fn load_topics_while(meanwhile: Meanwhile) -> Result<(Vec<String>, Vec<String>)> {
    let (a, b) = (topic(b'Q', &[0]), topic(b'g', &[0]));
    let zookeeper = zookeeper([
        ("/brokers/topics/a", a.as_str()),
        ("/brokers/topics/a/partitions", ""),
        ("/brokers/topics/a/partitions/0", ""),
        ("/brokers/topics/a/partitions/0/state", STATE),
        ("/config/topics/a", r#"{"version":1,"config":{"x":"1"}}"#),
        ("/brokers/topics/b", b.as_str()),
        ("/brokers/topics/b/partitions", ""),
        ("/brokers/topics/b/partitions/0", ""),
        ("/brokers/topics/b/partitions/0/state", STATE),
    ]);
    let (_, reader) = observe(&zookeeper, meanwhile).await;
    let (records, imported) = load_all(&reader).await?;
    let names = records.iter().map(|record| match &record.record {
        MetadataRecord::Topic(topic) => format!("topic {}", topic.name),
        MetadataRecord::Config(config) => format!("config of {}", config.resource_name),
        MetadataRecord::Partition(partition) => format!("leader epoch {}", partition.leader_epoch),
        other => other.name().to_owned(),
    });
    Ok((names.collect(), imported.warnings.iter().map(ToString::to_string).collect()))
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_it_is_read_is_left_out_whole() {
    let state = "/brokers/topics/a/partitions/0/state";
    let whole = || {
        let inner = ["/brokers/topics/a/partitions/0", "/brokers/topics/a/partitions", "/brokers/topics/a"];
        [state].into_iter().chain(inner).chain(["/config/topics/a"]).map(delete).collect::<Vec<_>>()
    };
    let pending = create("/admin/delete_topics/a", "");
    let deleted = "/brokers/topics/a: the topic was deleted while ZooKeeper was read, and is not copied";
    let leaving = "/admin/delete_topics/a: the topic is being deleted and is not copied";
    // Before what is read someone else has done what; and what is said.
    let cases = [
        ("/brokers/topics/a", whole(), deleted),
        (state, whole(), deleted),
        (state, vec![pending.clone(), delete(state)], leaving),
        (state, vec![pending, delete(state), delete("/brokers/topics/a/partitions/0")], leaving),
    ];
    for (trigger, ops, expected) in cases {
        let (records, warnings) = load_topics(trigger, ops.clone()).await.unwrap();
        assert_eq!(records, ["topic b", "leader epoch 7"], "{trigger} {ops:?}");
        assert_eq!(warnings, [expected], "{trigger} {ops:?}");
    }
    // Made anew under its name, it is neither of the two.
    let again = whole().into_iter().chain([create("/brokers/topics/a", &topic(b'w', &[0]))]).collect();
    let error = load_topics(state, again).await.unwrap_err().to_string();
    assert!(error.contains("/brokers/topics/a: the topic was made anew while it was read"), "{error}");
}

#[tokio::test]
async fn a_lost_state_is_a_problem_and_a_new_partition_has_none_yet() {
    let state = "/brokers/topics/a/partitions/0/state";
    let error = load_topics(state, vec![delete(state)]).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{state}: the partition has lost its state")), "{error}");
    let ops = vec![delete(state), delete("/brokers/topics/a/partitions/0")];
    let (records, warnings) = load_topics(state, ops).await.unwrap();
    assert_eq!(records, ["topic a", "config of a", "leader epoch 0", "topic b", "leader epoch 7"]);
    assert!(warnings[0].starts_with(state), "{warnings:?}");
}

/// A controller makes a partition's znode first and its state right after it.
#[tokio::test]
async fn a_partition_that_is_made_while_it_is_read_has_lost_nothing() {
    let (partition, state) = ("/brokers/topics/a/partitions/0", "/brokers/topics/a/partitions/0/state");
    let meanwhile = vec![
        (state.to_owned(), vec![delete(state), delete(partition)]),
        (partition.to_owned(), vec![create(partition, ""), create(state, STATE)]),
    ];
    let (records, warnings) = load_topics_while(meanwhile).await.unwrap();
    assert_eq!(records, ["topic a", "config of a", "leader epoch 7", "topic b", "leader epoch 7"]);
    assert_eq!(warnings, [] as [&str; 0]);
}
